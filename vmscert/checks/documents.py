"""Reads whatever a technician has at hand, and says what it is; `judging` says what is wrong."""

import binascii
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.reading import Reading, quotable
from vmscert.certificates.words import Found, counted, read_der, read_pem, unbase64
from vmscert.checks.claims import Wanted, hidden_signs, of_inf, of_request
from vmscert.facts import facts
from vmscert.files import ZIP, foreign_text, is_file, read_foreign, unpacked
from vmscert.findings import Finding
from vmscert.records.folder import Records
from vmscert.windows.inventory import parse_inventory
from vmscert.windows.listings import Listed, read_listing
from vmscert.windows.pasted import (
    Binding,
    Event,
    entangled,
    read_bindings,
    read_events,
    thumbprints,
)
from vmscert.windows.pfx import Pfx, pfx_schemes
from vmscert.windows.stores import Stores

AskPassword = Callable[[str], str]  # name of the file → its password, empty if nobody knows it
_MOST_FILES = 100_000  # in a folder; where there are more, that is told
SOMETHING_ELSE = "something else"  # what a file is that is none of ours
_SHORT = 80  # letters that a thumbprint by itself may have around it
_DEEPEST = 3  # base64 within base64
# A line of a hex dump: perhaps an address, bytes, perhaps the same as letters.
_HEX = re.compile(r"\s*(?:[0-9a-fA-F]{4,8}[ \t:]+)?((?:[0-9a-fA-F]{2}[ ,-]*)+)(?:\s\s.*)?")
# Endings of files that are certificates, or should be: one that can't be read is told.
_OURS = {".cer", ".crt", ".der", ".pem", ".pfx", ".p12", ".p7b", ".p7c", ".key", ".csr", ".crl",
         ".jks"}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """What something is, in a few words, and what it holds."""

    about: str
    certificates: tuple[x509.Certificate, ...] = ()
    requests: tuple[x509.CertificateSigningRequest, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    keys: tuple[str, ...] = ()  # words about private keys, never a key
    bindings: tuple[Binding, ...] = ()  # where Windows uses which certificate
    problems: tuple[str, ...] = ()  # sentences
    questions: tuple[str, ...] = ()  # of a site's table: what a person has to ask
    outside: tuple[str, ...] = ()  # of a site's table: what others make certificates for
    entries: tuple[Listed, ...] = ()  # certificates that a program listed
    events: tuple[Event, ...] = ()
    wanted: tuple[Wanted, ...] = ()  # by a certreq .inf
    pfx: tuple[Pfx, ...] = ()
    inventories: tuple[Stores, ...] = ()
    told: tuple[Finding, ...] = ()  # while it was read

    @property
    def holds(self) -> tuple[str, ...]:
        """What is in it besides certificates, each in a line."""
        asked = (one.about for one in (*map(of_request, self.requests), *self.wanted))
        pfx = (f"{one.about}; {one.opened_by}".rstrip("; ") for one in self.pfx)
        return (*self.keys, *asked, *pfx)

    @property
    def thumbprints(self) -> set[str]:
        """Of all certificates that are told in it."""
        listed = {one.thumbprint for one in self.entries if one.thumbprint}
        return listed | {thumbprint(one) for one in self.certificates}


def read(
    source: Path | str | bytes, ask: AskPassword | None = None, *, within: bool = False
) -> Document:
    """Return what a file, a folder, or pasted text or bytes is; never raises for what it holds.

    A text that names no file is taken as pasted. `ask` is called for a password that is needed.
    Bytes out of an archive (`within`) may be none. ValueError only for a path that can't be read.
    """
    if isinstance(source, bytes):
        return _of_bytes(source, "the pasted data", ask, within)
    path = source if isinstance(source, Path) else _existing(source)
    if path is None:
        return _of_bytes(str(source).encode("utf-8", "replace"), "the pasted text", ask)
    return _folder(path) if path.is_dir() else read_file(path, ask)


def read_file(path: Path, ask: AskPassword | None = None) -> Document:
    """Return what a file is; ValueError for one that can't be read, or is a folder or a pipe."""
    return _of_bytes(read_foreign(path), path.name, ask)


def _existing(text: str) -> Path | None:
    """The file or folder that a text names; None for pasted text."""
    with suppress(OSError, ValueError):  # no name that a file could have
        return Path(text) if text.strip() and Path(text).exists() else None
    return None


def read_roots(path: Path, ask: AskPassword | None = None) -> list[x509.Certificate]:
    """Return what clients are to trust: all certificates of a file, the CAs of a folder."""
    if is_site_folder(path):
        return [Records(path).ca_certificate]
    found = read(path, ask)
    if not path.is_dir():
        return list(found.certificates)
    return [one for one in found.certificates if Reading(one).is_ca or Reading(one).self_signed]


def _of_bytes(data: bytes, name: str, ask: AskPassword | None, within: bool = False) -> Document:
    def password() -> str:
        return ask(name) if ask else ""

    if not data.strip():
        return Document("empty", problems=(f"{name} is empty",))
    if row := _of_another_tool(data):
        why = f"it is {row['what']}, which is not read here: {row['instead']}"
        return Document(row["what"], told=(Finding("not-judged", name, why),))
    if data.startswith(ZIP):
        return _archive(data, name, ask, within)
    if found := read_der(data, password):
        schemes = pfx_schemes(data) if found.kinds[0].startswith("a PFX") else None
        return replace(_document(found, name), pfx=(schemes,) if schemes else ())
    text = foreign_text(data)
    signs = tuple(hidden_signs(f"\ufeff{text}" if data[:3] == b"\xef\xbb\xbf" else text))
    document = _of_text(text, name, password)
    return replace(document, told=(*document.told, *signs))


def _of_another_tool(data: bytes) -> Mapping[str, str] | None:
    """The row of a file that another program keeps for itself, by its first bytes."""
    for row in facts("other-tools"):
        begins, at = bytes.fromhex(row["begins"]), int(row["at"] or 0)
        if begins and data.startswith(begins, at) and row["holds"].encode() in data:
            return row
    return None


def tool_of(folder: Path) -> str:
    """Return which other tool keeps its files so, and what to know of it; nothing if none does."""
    return next(
        (
            f"{row['what']}: {row['instead']}"
            for row in facts("other-tools")
            if row["files"] and all(any(folder.glob(one)) for one in row["files"].split("|"))
        ),
        "",
    )


def _archive(data: bytes, name: str, ask: AskPassword | None, within: bool) -> Document:
    """All files of a ZIP archive together, but for an archive within it."""
    try:
        if within:
            raise ValueError("it is an archive within an archive: unpack it first")
        held = [(one, _of_bytes(content, one, ask, within=True)) for one, content in unpacked(data)]
    except ValueError as error:
        return Document("a ZIP archive", told=(Finding("not-judged", name, str(error)),))
    ours = [(one, document) for one, document in held if document.about != SOMETHING_ELSE]
    if not ours:
        why = f"{name}: nothing in this ZIP archive is known here"
        return Document(SOMETHING_ELSE, problems=(why,))
    told = [Finding("not-judged", one, why) for one, each in ours for why in each.problems]
    return _together("a ZIP archive", ours, told)


def _of_text(text: str, name: str, password: Callable[[], str], depth: int = 0) -> Document:
    """What a text is: PEM, a list from Windows, an inventory, or one of them wrapped again."""
    if found := read_pem(text, password):
        return _document(found, name)
    if entangled(text):
        why = "it defines entities of its own, so it is not read: nothing in it is known"
        told = (Finding("not-judged", name, why),)
        return Document("an XML file that is not read: it defines entities of its own", told=told)
    if events := read_events(text):
        kinds = dict.fromkeys(f"{one.provider} {one.number}" for one in events)
        about = f"{len(events)} event{'s' * (len(events) > 1)} of Windows: {', '.join(kinds)}"
        return Document(quotable(about, 200), events=tuple(events))
    if pasted := read_bindings(text):
        return Document(pasted[0], bindings=tuple(pasted[1]))
    if wanted := of_inf(text):
        return Document("a request file for certreq (.inf)", wanted=(wanted,))
    if entries := read_listing(text):
        kind = "a certificate store as certutil lists it" if entries[0].numbered else "a listing"
        many = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
        return Document(f"{kind}: {many}", entries=tuple(entries))
    if text.lstrip().startswith("{"):
        return _inventory(text, name)
    labels = thumbprints(text)
    if len(labels) == 1 and len(text.strip()) < _SHORT:
        return Document(f"the thumbprint {labels[0]}", told=(_only_named(),))
    for inner in (_unhex(text), unbase64(text)):
        if found := read_der(inner, password):
            return _document(found, name)
        wrapped = foreign_text(inner)
        if depth < _DEEPEST and ((wrapped and wrapped.isprintable()) or "-----BEGIN" in wrapped):
            return _of_text(wrapped, name, password, depth + 1)
    if re.search("-----BEGIN (?!PGP )", text):
        why = "a PEM block begins but does not end: copy it with its last line"
        return Document("a damaged PEM file", problems=(f"{name}: {why}",))
    if labels:
        return Document(f"text that names {len(labels)} thumbprints", told=(_only_named(),))
    why = "it is no certificate, key, PFX, request, list or inventory that is known here"
    return Document(SOMETHING_ELSE, problems=(f"{name}: {why}",))


def _only_named() -> Finding:
    why = "a thumbprint says nothing about its certificate: give the .cer file, or what "
    why += "certutil -store My prints on the computer that holds it"
    return Finding("not-judged", "the thumbprint", why)


def _document(found: Found, name: str) -> Document:
    kinds = [
        kind if n == 1 else f"{n} times {kind.removeprefix('an ').removeprefix('a ')}"
        for kind, n in Counter(found.kinds).items()
    ]
    own = {Reading(one).spki for one in found.certificates if found.public_keys}
    why = "the private key belongs to none of the certificates beside it"
    strange = [why for public in found.public_keys if own and public not in own]
    problems = tuple(f"{name}: {text}" for text in (*found.problems, *strange))
    held = tuple(found.certificates), tuple(found.requests), tuple(found.crls), tuple(found.keys)
    return Document(", ".join(kinds), *held, problems=problems)


def _inventory(text: str, name: str) -> Document:
    try:
        stores = parse_inventory(text.encode())
    except ValueError as error:
        text = f"{name}: {error}. Run inventory.ps1 there again"
        return Document("JSON that is no inventory", problems=(text,))
    held = (*(one.certificate for one in stores.personal), *stores.trusted)
    uses = tuple(Binding(stores.host, 0, label, group) for group, label in stores.bindings.items())
    about = f"the inventory of {stores.host}: {counted(stores.personal)} of its own, "
    about += f"{counted(stores.trusted)} in its trusted roots"
    return Document(about, held, bindings=uses, inventories=(stores,))


def _unhex(text: str) -> bytes:
    """Return the bytes of a hex dump, with or without addresses; nothing if any line is none."""
    lines = [_HEX.fullmatch(line) for line in text.splitlines() if line.strip()]
    digits = "".join(line[1] for line in lines if line) if all(lines) else ""
    return binascii.unhexlify(re.sub(r"[ ,-]", "", digits))


def _folder(path: Path) -> Document:
    """All files of a folder together, without asking; what is nothing of ours is passed over."""
    ours: list[tuple[str, Document]] = []
    told: list[Finding] = []
    for number, one in enumerate(files_below(path)):
        if number == _MOST_FILES:
            why = f"only the first {_MOST_FILES} files were looked at: check its folders one by one"
            told.append(Finding("not-judged", path.name, why))
            break
        try:
            document = read_file(one)
        except ValueError as error:  # one locked file must not hide the others
            told.append(Finding("not-judged", one.name, str(error)))
            continue
        if document.about != SOMETHING_ELSE:
            ours.append((one.name, document))
        if document.problems and (document.about != SOMETHING_ELSE or is_ours(one)):
            told += (Finding("not-judged", one.name, why) for why in document.problems)
    if not ours and not told:
        why = "nothing that is known here lies in it: name a folder with certificates, or a site's"
        return Document("a folder", problems=(f"{path.name}: {why}",))
    if tool := tool_of(path):
        told.append(Finding("not-judged", path.name, f"it is {tool}"))
    return _together("a folder", ours, told)


def _together(about: str, parts: Sequence[tuple[str, Document]], told: list[Finding]) -> Document:
    """What several files hold together, and what was told of them besides."""
    kinds = "; ".join(f"{name}: {document.about}" for name, document in parts[:10])
    more = f" and {len(parts) - 10} more" if len(parts) > 10 else ""
    columns = [
        one.name for one in fields(Document) if one.name not in ("about", "problems", "told")
    ]
    held = {name: tuple(o for _, d in parts for o in getattr(d, name)) for name in columns}
    told += (one for _, document in parts for one in document.told)
    return Document(f"{about} with {kinds}{more}", told=tuple(told), **held)


def files_below(path: Path) -> Iterator[Path]:
    """Yield every file that lies in a folder or below it, in order; then folders that are locked.

    What is no file, such as a pipe, is passed over, unless it is called like one of ours.
    """
    locked: list[Path] = []
    for folder, below, names in os.walk(path, onerror=lambda e: locked.append(Path(e.filename))):
        below.sort()
        every = (Path(folder, name) for name in sorted(names))
        yield from (one for one in every if is_file(one) or is_ours(one))
    yield from locked


def is_ours(path: Path) -> bool:
    """Whether a file is called like one that holds certificates, lists or keys."""
    return path.suffix.lower() in _OURS


def is_site_folder(path: Path) -> bool:
    """Tell whether a folder holds the records of a site."""
    return path.is_dir() and (path / "ca.cer").exists()


def in_use(documents: Iterable[Document]) -> Iterator[str]:
    """Tie what is in use according to some documents to the certificates of all of them."""
    documents = list(documents)
    known = {thumbprint(one): label_of(one) for d in documents for one in d.certificates}
    for binding in (binding for d in documents for binding in d.bindings):
        named = known.get(binding.thumbprint, "no certificate that was given here")
        yield f"{binding}: {named}" if binding.thumbprint and known else str(binding)


def label_of(certificate: x509.Certificate) -> str:
    return Reading(certificate).label.strip("'")
