"""Reads whatever a technician has at hand, says what it is, and then what is wrong with it."""

import binascii
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.reading import Reading
from vmscert.certificates.words import Found, counted, read_der, read_pem, unbase64
from vmscert.checks.site import check_ca, check_site, told_at_once
from vmscert.facts import doubt
from vmscert.files import is_file, read_foreign
from vmscert.findings import Finding
from vmscert.network.looks import Look, judged
from vmscert.network.tls import Handshake
from vmscert.records.folder import Records
from vmscert.records.state import read_state
from vmscert.site.table import read_site
from vmscert.windows.inventory import Binding, parse_inventory, read_pasted, thumbprints

AskPassword = Callable[[str], str]  # name of the file → its password, empty if nobody knows it
_MOST_FILES = 1000  # in a folder
_DEEPEST = 3  # base64 within base64
# A line of a hex dump: perhaps an address, bytes, perhaps the same as letters.
_HEX = re.compile(r"\s*(?:[0-9a-fA-F]{4,8}[ \t:]+)?((?:[0-9a-fA-F]{2}[ ,-]*)+)(?:\s\s.*)?")
# What can't be judged of a certificate alone, when nobody says which CA the clients trust.
_NEEDS_A_ROOT = {"untrusted-root", "missing-intermediate"}


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


def read(source: Path | str | bytes, ask: AskPassword | None = None) -> Document:
    """Return what a file, a folder, or pasted text or bytes is; never raises for what it holds.

    A text that names no file is taken as pasted. `ask` is called for a password that is needed.
    ValueError only for a path that can't be read.
    """
    if isinstance(source, bytes):
        return _of_bytes(source, "the pasted data", ask)
    path = source if isinstance(source, Path) else _existing(source)
    if path is None:
        return _of_bytes(str(source).encode("utf-8", "replace"), "the pasted text", ask)
    if path.is_dir():
        return _folder(path)
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


def check_path(
    path: Path,
    roots: Iterable[x509.Certificate],
    name: str,
    at: datetime,
    ask: AskPassword,
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> tuple[Document, list[Finding]]:
    """Return what a path is, and the findings about it."""
    if is_site_folder(path):  # its CA, and what computers reported against its table
        records = Records(path)
        state = read_state(records, read_site(records.table), at)
        found = check_ca(state.signing_ca, at)
        found += check_site(state.site, state.inventories, at, state.pfx_encryptions)
        about = f"a site's folder: {len(state.site)} computers, {counted(state.current)}"
        return Document(about), list(dict.fromkeys(found))
    if path.suffix.lower() == ".csv":
        site = read_site(path)
        about = f"a site of {len(site)} computers, {len(site.connections)} connections"
        outside = (f"{r['what']}: {r['why']}{doubt(r['tag'])}. {r['ask']}" for r in site.outside)
        return Document(about, questions=site.questions, outside=tuple(outside)), []
    document = read(path, ask)
    return document, judge_document(document, roots, name, at, crls)


def look_into(
    found: Document,
    roots: Iterable[x509.Certificate],
    name: str,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> Look:
    """Look at the certificates of a document as if a server had sent them, or at a CA alone.

    Without a name, the first one in its certificate is asked for.
    """
    if not found.certificates:
        return Look(Handshake("", False), place="; ".join((found.about, *found.problems)))
    leaf, roots = found.certificates[0], list(roots)
    one = Reading(leaf)
    seen = Handshake(name or next(iter(one.names), _label(leaf)), True, chain=found.certificates)
    if one.self_signed and len(found.certificates) == 1 and not (one.names or one.trouble):
        return Look(seen, None, tuple(check_ca(leaf, at)), place=found.about)
    look = judged(seen, roots, at, crls=[*found.crls, *crls])
    later = told_at_once(leaf, (*found.certificates[1:], *roots))
    return replace(look, findings=(*look.findings, *later), place=found.about)


def judge_document(
    found: Document,
    roots: Iterable[x509.Certificate],
    name: str,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> list[Finding]:
    """Return the findings about a document; without roots, those that need none."""
    roots = list(roots)
    findings = look_into(found, roots, name, at, crls).findings
    return [finding for finding in findings if roots or finding.code not in _NEEDS_A_ROOT]


def _of_bytes(data: bytes, name: str, ask: AskPassword | None) -> Document:
    def password() -> str:
        return ask(name) if ask else ""

    if not data.strip():
        return Document("empty", problems=(f"{name} is empty",))
    found = read_der(data, password)
    return _document(found, name) if found else _of_text(_decoded(data), name, password)


def _of_text(text: str, name: str, password: Callable[[], str], depth: int = 0) -> Document:
    """What a text is: PEM, a list from Windows, an inventory, or one of them wrapped again."""
    if found := read_pem(text, password):
        return _document(found, name)
    if pasted := read_pasted(text):
        return Document(pasted[0], bindings=tuple(pasted[1]))
    if text.lstrip().startswith("{"):
        return _inventory(text, name)
    for inner in (_unhex(text), unbase64(text)):
        if found := read_der(inner, password):
            return _document(found, name)
        wrapped = _decoded(inner)
        if depth < _DEEPEST and ((wrapped and wrapped.isprintable()) or "-----BEGIN" in wrapped):
            return _of_text(wrapped, name, password, depth + 1)
    if re.search("-----BEGIN (?!PGP )", text):
        why = "a PEM block begins but does not end: copy it with its last line"
        return Document("a damaged PEM file", problems=(f"{name}: {why}",))
    if labels := thumbprints(text):
        return Document(f"text that names {len(labels)} thumbprints")
    why = "it is no certificate, key, PFX, request, list or inventory that is known here"
    return Document("something else", problems=(f"{name}: {why}",))


def _document(found: Found, name: str) -> Document:
    kinds = [
        kind if n == 1 else f"{n} times {kind.removeprefix('an ').removeprefix('a ')}"
        for kind, n in Counter(found.kinds).items()
    ]
    own = {Reading(one).spki for one in found.certificates}
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
    return Document(f"{about}{counted(stores.trusted)} in its trusted roots", held, bindings=uses)


def _decoded(data: bytes) -> str:
    """Return text in the encoding that its bytes show: with a mark, or UTF-16 by its many NULs."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if data[first:200:2].count(0) > len(data[:200]) // 3:
            return data.decode(encoding, "replace")
    return data.decode("utf-8-sig", "replace")


def _unhex(text: str) -> bytes:
    """Return the bytes of a hex dump, with or without addresses; nothing if any line is none."""
    lines = [_HEX.fullmatch(line) for line in text.splitlines() if line.strip()]
    digits = "".join(line[1] for line in lines if line) if all(lines) else ""
    return binascii.unhexlify(re.sub(r"[ ,-]", "", digits))


def _folder(path: Path) -> Document:
    """All files of a folder together, without asking; what is nothing of ours is passed over."""
    ours: list[tuple[str, Document]] = []
    for one in files_below(path):
        try:
            document = read(one)
        except ValueError as error:  # one locked file must not hide the others
            document = Document("a file that can't be read", problems=(str(error),))
        if document.about != "something else":
            ours.append((one.name, document))
    if not ours:
        why = "nothing that is known here lies in it: name a folder with certificates, or a site's"
        return Document("a folder", problems=(f"{path.name}: {why}",))
    kinds = "; ".join(f"{name}: {document.about}" for name, document in ours[:10])
    more = f" and {len(ours) - 10} more" if len(ours) > 10 else ""
    parts = ("certificates", "requests", "crls", "keys", "bindings", "problems")
    together = {part: tuple(one for _, d in ours for one in getattr(d, part)) for part in parts}
    return Document(f"a folder with {kinds}{more}", **together)


def files_below(path: Path) -> Iterator[Path]:
    """Yield what lies in a folder and below it, in order, up to a thousand files."""
    return islice(_files(path), _MOST_FILES)


def _files(path: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(path):  # what nobody may enter is passed over
        below.sort()
        yield from filter(is_file, (Path(folder, name) for name in sorted(names)))


def is_site_folder(path: Path) -> bool:
    """Tell whether a folder holds the records of a site."""
    return path.is_dir() and (path / "ca.cer").exists()


def in_use(documents: Iterable[Document]) -> Iterator[str]:
    """Tie what is in use according to some documents to the certificates of all of them."""
    documents = list(documents)
    known = {thumbprint(one): _label(one) for d in documents for one in d.certificates}
    for binding in (binding for d in documents for binding in d.bindings):
        named = known.get(binding.thumbprint, "no certificate that was given here")
        yield f"{binding}: {named}" if binding.thumbprint and known else str(binding)


def _label(certificate: x509.Certificate) -> str:
    return Reading(certificate).label.strip("'")
