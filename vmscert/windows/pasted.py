"""What a technician pastes from Windows or XProtect, known by its structure in any language.

`netsh http show sslcert`, RecorderConfig.xml, ServiceEndpoints.xml, events as XML, a thumbprint.
Certificates that a program lists are read by `listings`.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from vmscert.facts import facts

_ENDPOINT = re.compile(r"(?<![\w.])((?:[0-9.]{7,15}|\[[0-9a-fA-F:]+\]|[\w.-]+)):(\d{1,5})\s*$")
_GUID = re.compile(r"[:=]\s*\{[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}\s*$", re.M)
# 40 hexadecimal digits, in one piece or in pairs, as certutil, netsh and the dialog write them.
SHA1 = re.compile(
    r"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{2}[ :]?){19}[0-9a-fA-F]{2}"
    r"(?![0-9a-fA-F]|[ :][0-9a-fA-F]{2}(?![0-9A-Za-z]))"  # no pair follows
)
_LONGEST_LINE = 500  # letters; netsh writes less than a hundred
_STORE = re.compile(r"[:=]\s*(my|root|ca|authroot|webhosting)\s*$", re.IGNORECASE)
_USED_STORES = {"", "MY", "WEBHOSTING"}


@dataclass(frozen=True)
class Binding:
    """One place where a certificate is in use; `what` says which component listens there."""

    address: str
    port: int
    thumbprint: str
    what: str = ""
    store: str = ""  # in which it is looked for, in capitals, where that is told

    def __str__(self) -> str:
        place = f"{self.address}:{self.port}" if self.port else self.address
        used = f"uses certificate {self.thumbprint}" if self.thumbprint else "uses no certificate"
        return f"{place} {used}" + (f" ({self.what})" if self.what else "")

    @property
    def misplaced(self) -> bool:
        """Whether it is looked for in a store that holds no servers' certificates."""
        return self.store not in _USED_STORES


@dataclass(frozen=True)
class Event:
    """One event of Windows about certificates: what was looked at there, and how it ended."""

    provider: str
    number: str
    computer: str
    server: str  # the name that was asked for
    subject: str
    code: str  # eight hexadecimal digits, empty if none is told
    text: str


class _Visible(dict[int, int | str | None]):
    """What becomes of a character, by its number: nothing, a space, or itself."""

    def __missing__(self, number: int) -> int | str | None:
        kind = unicodedata.category(chr(number))
        self[number] = None if kind == "Cf" else " " if kind == "Zs" else number
        return self[number]


_VISIBLE = _Visible()


def visible(text: str) -> str:
    """Return a text without the characters that nobody sees, its odd spaces as spaces."""
    return text if text.isascii() else text.translate(_VISIBLE)


def thumbprints(text: str) -> list[str]:
    """Return every SHA-1 thumbprint in a text, in capitals and without what was copied along."""
    found = SHA1.findall(visible(text))
    return list(dict.fromkeys(re.sub(r"[ :]", "", one).upper() for one in found))


def unseen(text: str) -> list[tuple[int, str, str]]:
    """Return place, number and name of each character of one line that nobody sees."""
    odd = ((place, c) for place, c in enumerate(text, 1) if not c.isascii())
    hidden = ((place, c) for place, c in odd if unicodedata.category(c) in {"Cf", "Zs"})
    return [(place, f"U+{ord(c):04X}", unicodedata.name(c, "unnamed")) for place, c in hidden]


def read_bindings(text: str) -> tuple[str, list[Binding]] | None:
    """Return what a text is and which certificates are in use according to it; None if unknown."""
    text = visible(text)
    if text.lstrip().startswith("<"):
        pasted = _tree(text)
        return None if pasted is None else _recorder(pasted) or _endpoints(pasted)
    if _GUID.search(text) and thumbprints(text) and (found := list(_netsh(text))):
        return "what netsh says of TLS bindings", found
    return None


def entangled(text: str) -> bool:
    """Tell whether a text is XML that defines entities of its own: it is not read."""
    return text.lstrip().startswith("<") and ("<!DOCTYPE" in text or "<!ENTITY" in text)


def read_events(text: str) -> list[Event]:
    """Return the events that a text holds as XML."""
    pasted = _tree(visible(text)) if "<Event" in text else None
    return [] if pasted is None else [_event(one) for one in pasted.findall(".//{*}Event")]


def _tree(text: str) -> ElementTree.Element | None:
    """The XML of a text below a root of ours: several pieces in a row are none by themselves."""
    if entangled(text):
        return None
    inner = re.sub(r"<\?xml[^>]*\?>", "", text).strip()
    try:
        return ElementTree.fromstring(f"<pasted>{inner}</pasted>")
    except ElementTree.ParseError:
        return None


def _event(one: ElementTree.Element) -> Event:
    def found(tag: str, attribute: str = "") -> str:
        element = one.find(f".//{{*}}{tag}")
        text = "" if element is None else element.get(attribute) if attribute else element.text
        return (text or "").strip()

    told = (e for e in one.iter() if e.get("Name") and (e.text or "").strip())
    data = " ".join(f"{e.get('Name')}: {(e.text or '').strip()}" for e in told)
    code = found("Result", "value").removeprefix("0x").upper().rjust(8, "0")
    return Event(
        provider=found("Provider", "Name"),
        number=found("EventID"),
        computer=found("Computer") or "the computer",
        server=found("SSLAdditionalPolicyInfo", "serverName"),
        subject=found("Certificate", "subjectName"),
        code=code if re.fullmatch("[0-9A-F]{8}", code) and found("Result", "value") else "",
        text=" ".join(" ".join((found("Result"), found("Message"), data)).split()),
    )


def _netsh(text: str) -> Iterator[Binding]:
    """Each endpoint line begins a binding; first thumbprint and store after it belong to it."""
    place, label, store = None, "", ""
    for line in [*text.splitlines(), "end:0"]:
        found = _ENDPOINT.search(line[:_LONGEST_LINE])
        if found:
            if place and label:
                rows = facts("xprotect/connections")
                servers = dict.fromkeys(row["server"] for row in rows if row["port"] == place[2])
                yield Binding(place[1], int(place[2]), label, " or ".join(servers), store)
            place, label, store = found, "", ""
        elif hashes := thumbprints(line[:_LONGEST_LINE]):
            label = label or hashes[0]
        elif named := _STORE.search(line[:_LONGEST_LINE]):
            store = store or named[1].upper()


def _recorder(pasted: ElementTree.Element) -> tuple[str, list[Binding]] | None:
    """RecorderConfig.xml: recorderconfig/webserver with port and encryption/@certificateHash."""
    server = pasted.find(".//{*}webserver")
    if server is None:
        return None
    port = (server.findtext(".//{*}port") or "").strip()
    number = int(port) if port.isdigit() and len(port) < 6 else 0
    encryption = server.find(".//{*}encryption")
    labels = thumbprints("" if encryption is None else encryption.get("certificateHash", ""))
    role, group, about = _config_file("RecorderConfig.xml")
    return about, [Binding(role, number, next(iter(labels), ""), group)]


def _endpoints(pasted: ElementTree.Element) -> tuple[str, list[Binding]] | None:
    """ServiceEndpoints.xml of an event server, with CertificateEnabled."""
    enabled = pasted.findtext(".//{*}CertificateEnabled")
    if enabled is None:
        return None
    on = enabled.strip().casefold() in ("true", "1")
    attributes = (text for one in pasted.iter() for text in one.attrib.values())
    labels = thumbprints(" ".join((*pasted.itertext(), *attributes))) if on else ()
    role, _, about = _config_file("ServiceEndpoints.xml")
    return about, [Binding(role, 0, next(iter(labels), ""), "" if on else "encryption off")]


def _config_file(name: str) -> tuple[str, str, str]:
    """The role that writes such a file, the certificate group that it is about, and both told."""
    (row,) = (r for r in facts("xprotect/certificate-groups") if r["config"] == name)
    role = row["switched_on"].split("|")[0]
    return role, row["group"], f"{name} of {'an' if role[0] in 'aeiou' else 'a'} {role}"
