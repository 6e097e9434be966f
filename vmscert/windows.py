"""What a Windows computer holds, what it is called there, and the scripts that a person runs on it.

The kit changes no Windows computer itself: it fills in a script, a person runs it, and the computer
answers with an inventory.
"""

import base64
import codecs
import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.facts import DATA, facts

INVENTORY_VERSION = 1
# Control, format (with the bidi signs), surrogate, line and paragraph separator: what hides text.
_HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_CURLY = "\u2018\u2019\u201a\u201b"  # PowerShell takes them for the straight single quote
_INPUTS = re.compile(r"(?<=^# inputs: begin\n).*?(?=^# inputs: end\n)", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^# part: ([a-z-]+)\n", re.MULTILINE)
_LITERAL = r"'(?:[^']|'')*'"
_INPUT = re.compile(rf"\$([A-Za-z]\w*) = (?:({_LITERAL})|@\(((?:{_LITERAL}(?:, {_LITERAL})*)?)\))")


@dataclass(frozen=True)
class Personal:
    """A certificate of the store My, whether its private key is there, and who may read the key."""

    certificate: x509.Certificate
    has_key: bool
    readers: tuple[str, ...] = ()

    def readable_by(self, name: str) -> bool:
        """Tell whether this account, in any spelling, is among the readers of the private key."""
        return self.has_key and account(name) in map(account, self.readers)


@dataclass(frozen=True)
class Stores:
    """What one Windows computer holds at one moment; `at` is an aware datetime.

    `root` is LocalMachine\\Root and `personal` LocalMachine\\My; `user_root` and `user_personal`
    are those of CurrentUser, where no service looks. `bindings` is certificate group → thumbprint
    of the certificate in use; a group that is not encrypted is not in it.
    """

    host: str
    at: datetime
    windows: str = ""
    root: tuple[x509.Certificate, ...] = ()
    user_root: tuple[x509.Certificate, ...] = ()
    personal: tuple[Personal, ...] = ()
    user_personal: tuple[Personal, ...] = ()
    bindings: Mapping[str, str] = field(default_factory=dict)

    def find(self, label: str) -> Personal | None:
        """Return the certificate of LocalMachine\\My with this thumbprint, however it is typed."""
        wanted = re.sub(r"[^0-9A-F]", "", label.upper())  # the dialog of Windows adds a U+200E
        return next((p for p in self.personal if thumbprint(p.certificate) == wanted), None)


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-1 of the certificate as Windows shows it: 40 upper-case hex digits.

    It names a certificate and protects nothing, so SHA-1 does no harm here.
    """
    der = certificate.public_bytes(Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def account(text: str) -> str:
    """Return one key for all the spellings of an account, to compare accounts by.

    Well-known accounts are recognised in several languages and by SID (data/windows/accounts.csv);
    any other account is itself, whatever its case.
    """
    return _well_known().get(_folded(text), ("", text.strip().casefold()))[1]


def principal(text: str) -> str:
    """Return what names an account to any Windows: a well-known one by SID, others as written.

    A French Windows does not know the English name of NETWORK SERVICE, but it knows S-1-5-20.
    """
    return _well_known().get(_folded(text), (text.strip(), ""))[0]


def quote(text: str) -> str:
    """Return the text as a PowerShell literal in single quotes, in which nothing is special.

    Raises ValueError for characters that end such a literal unseen, or that hide what it says.
    """
    _refuse_hiding(text)
    if curly := set(text) & set(_CURLY):
        raise ValueError(
            f"{text!r} can't go into a script: PowerShell takes {curly.pop()!r} for a quote. "
            "Type the straight ' instead"
        )
    return "'" + text.replace("'", "''") + "'"


def script(name: str, **inputs: str | Sequence[str]) -> bytes:
    """Return data/windows/<name>.ps1 with its inputs filled in, ready to be carried to Windows.

    The inputs are texts, or lists of texts, with the names that the template gives them. Only its
    inputs block changes. UTF-8 with BOM and CRLF, because Windows PowerShell 5.1 reads a file
    without BOM in the code page of the computer. Raises ValueError for wrong or unsafe inputs.
    """
    template = _template(name)
    wanted = _read_inputs(template)
    if {key: isinstance(value, str) for key, value in inputs.items()} != {
        key: isinstance(value, str) for key, value in wanted.items()
    }:
        raise ValueError(f"{name}.ps1 takes {_described(wanted)}, not {_described(inputs)}")
    block = "".join(f"${key} = {_literal(inputs[key])}\n" for key in wanted)
    text = _INPUTS.sub(lambda _: block, template, count=1)
    return codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode()


def script_inputs(data: bytes) -> dict[str, str | list[str]]:
    """Return the inputs of a filled script, exactly as PowerShell would read them.

    Raises ValueError where the inputs block is missing or holds more than literals.
    """
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("The script is not UTF-8: make it again") from None
    return _read_inputs(text)


def write_inventory(stores: Stores) -> bytes:
    """Return the inventory of a computer as JSON, the same bytes for the same stores."""
    data = {
        "vmscert_inventory": INVENTORY_VERSION,
        "host": stores.host,
        "at": stores.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "windows": stores.windows,
        "root": list(map(_encoded, stores.root)),
        "user_root": list(map(_encoded, stores.user_root)),
        "personal": list(map(_written, stores.personal)),
        "user_personal": list(map(_written, stores.user_personal)),
        "bindings": dict(sorted(stores.bindings.items())),
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def read_inventory(path: str | PathLike[str]) -> Stores:
    """Return what inventory.ps1 wrote about a computer.

    UTF-8 and UTF-16 with or without BOM are read. Raises ValueError with one sentence for a file
    that is anything but an inventory of this version.
    """
    path = Path(path)
    try:
        return parse_inventory(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: can't be read: {error.strerror}. Check the path") from None
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}. Run inventory.ps1 there again") from None


def parse_inventory(data: bytes) -> Stores:
    """Return what the bytes of an inventory say; ValueError with what is wrong with them."""
    return _stores(_json(data))


@cache
def _well_known() -> dict[str, tuple[str, str]]:
    """Folded spelling → (SID, key) of every well-known account."""
    found = {}
    for row in facts("windows/accounts"):
        for spelling in (row["sid"], row["name"], f"{row['authority']}\\{row['name']}"):
            found[_folded(spelling)] = row["sid"], row["account"]
    return found


def _folded(text: str) -> str:
    """The text without case, accents and blanks, in which spellings of one account differ."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not (c.isspace() or unicodedata.combining(c)))


def _refuse_hiding(text: str) -> None:
    hiding = next((c for c in text if unicodedata.category(c) in _HIDING), None)
    if hiding is not None:
        raise ValueError(f"{text!r} holds the invisible character U+{ord(hiding):04X}: remove it")


@cache
def _template(name: str) -> str:
    folder = DATA / "windows"
    text = (folder / f"{name}.ps1").read_text(encoding="utf-8-sig")
    return _PART.sub(
        lambda part: (folder / "parts" / f"{part[1]}.ps1").read_text(encoding="utf-8-sig"), text
    )


def _literal(value: str | Sequence[str]) -> str:
    return quote(value) if isinstance(value, str) else "@(" + ", ".join(map(quote, value)) + ")"


def _described(inputs: Mapping[str, str | Sequence[str]]) -> str:
    names = (f"{k} ({'text' if isinstance(v, str) else 'list'})" for k, v in inputs.items())
    return ", ".join(names) or "no inputs"


def _read_inputs(text: str) -> dict[str, str | list[str]]:
    block = _INPUTS.search(text)
    if block is None:
        raise ValueError("The script has no inputs block: make it again")
    return dict(map(_read_input, block[0].split("\n")[:-1]))


def _read_input(line: str) -> tuple[str, str | list[str]]:
    found = _INPUT.fullmatch(line)
    if found is None:
        raise ValueError(f"The line {line!r} is not an input of a script: make the script again")
    values = [_unquoted(literal) for literal in re.findall(_LITERAL, found[2] or found[3])]
    return found[1], values[0] if found[2] else values


def _unquoted(literal: str) -> str:
    text = literal[1:-1].replace("''", "'")
    quote(text)  # a curly quote would end the literal earlier for PowerShell than for us
    return text


def _encoded(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _written(held: Personal) -> dict[str, Any]:
    return {
        "certificate": _encoded(held.certificate),
        "has_key": held.has_key,
        "readers": list(held.readers),
    }


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)  # finds out itself whether it is UTF-8 or UTF-16
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


def _stores(data: Any) -> Stores:
    version = _get(data, "vmscert_inventory", int)
    if version != INVENTORY_VERSION:
        raise ValueError(f"is an inventory of version {version}, not {INVENTORY_VERSION}")
    return Stores(
        host=_get(data, "host", str),
        at=_time(_get(data, "at", str)),
        windows=_get(data, "windows", str),
        root=_certificates(data, "root"),
        user_root=_certificates(data, "user_root"),
        personal=_personal(data, "personal"),
        user_personal=_personal(data, "user_personal"),
        bindings=_bindings(_get(data, "bindings", dict)),
    )


def _get(data: Any, key: str, kind: type) -> Any:
    """One value of a JSON object, of the right kind and with nothing hidden in its text."""
    if not isinstance(data, dict) or key not in data:
        raise ValueError(f"is not a complete inventory: {key!r} is missing")
    if type(data[key]) is not kind:
        raise ValueError(f"has a wrong value for {key!r}: {str(data[key])[:40]!r}")
    if kind is str:
        _refuse_hiding(data[key])
    return data[key]


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"has a wrong value for 'at': {text!r} is not a UTC time")
    return at.astimezone(UTC)


def _certificates(data: Any, key: str) -> tuple[x509.Certificate, ...]:
    return tuple(_certificate(text, key) for text in _get(data, key, list))


def _certificate(text: Any, where: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except (TypeError, ValueError):
        raise ValueError(f"holds a broken certificate in {where!r}: {str(text)[:20]!r}") from None


def _personal(data: Any, key: str) -> tuple[Personal, ...]:
    return tuple(
        Personal(
            _certificate(_get(entry, "certificate", str), key),
            _get(entry, "has_key", bool),
            tuple(_get({"readers": name}, "readers", str) for name in _get(entry, "readers", list)),
        )
        for entry in _get(data, key, list)
    )


def _bindings(data: dict[str, Any]) -> dict[str, str]:
    labels = {group: _get(data, group, str).upper() for group in data}
    for group, label in labels.items():
        if not re.fullmatch("[0-9A-F]{40}", label):
            raise ValueError(f"has a wrong thumbprint for {group!r}: {label[:50]!r}")
    return labels
