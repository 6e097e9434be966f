"""What people bring back from a computer: an inventory, a request, or another CA's answer."""

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vmscert.certificates.authority import subject_names
from vmscert.certificates.reading import Reading
from vmscert.changes.acceptance import is_sheet, keep_sheet, read_sheet, sheet_of
from vmscert.changes.job import Job
from vmscert.checks.documents import Document, read
from vmscert.facts import runbook_name
from vmscert.files import read_foreign
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.runbooks.certificates import receive
from vmscert.site.site import PFX, Host
from vmscert.windows.inventory import parse_inventory

# An inventory may be younger than the notebook that was opened for it; by more, a clock is wrong.
_AHEAD = timedelta(days=2)


def take_each(job: Job, files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bool]]:
    """Keep (name, bytes) of files that came together; return (sentence, kept) for each.

    A CA's answer may be several of them. What no computer of this site has to say is not kept, nor
    an inventory that is older than the one that is there; one that is odd stops no other.
    """
    told = []
    opened = []
    for name, data in files:  # an inventory is a JSON object: in UTF-8 or UTF-16, maybe with a mark
        is_json = data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{")
        opened.append((name, data, None if is_json or is_sheet(data) else read(data)))
    desk = _Desk(job, [document for *_, document in opened if document])
    try:
        for name, data, document in opened:
            try:
                told.append((desk.take(name, data, document), True))
            except (ValueError, OSError) as error:
                told.append((f"not kept: {error}", False))
    finally:
        job.records.note_all(
            Entry(iso(job.at), job.number, "brought back", host, note=name)
            for host, name in desk.kept
        )
    return told


def take_files(job: Job, paths: Iterable[Path]) -> list[tuple[str, bool]]:
    """Keep files as `take_each` does; one that can't be read is told, and stops no other."""
    paths = list(paths)
    held: dict[Path, bytes] = {}
    told: dict[Path, tuple[str, bool]] = {}
    for path in paths:
        try:
            held[path] = read_foreign(path)
        except ValueError as error:
            told[path] = f"not kept: {error}", False
    taken = take_each(job, ((path.name, data) for path, data in held.items()))
    told |= zip(held, taken, strict=True)
    return [told[path] for path in paths]


def take_dropped(job: Job) -> list[str]:
    """Keep what people put into `drop` of the records, a sentence for each; it goes to `taken`."""
    paths = job.records.dropped()
    told = take_files(job, paths)
    for path, (_, kept) in zip(paths, told, strict=True):
        if kept:
            job.records.put_away(path)
    return [sentence for sentence, _ in told]


class _Desk:
    """Where files are taken back that came together: the site's state is read once for them."""

    def __init__(self, job: Job, documents: list[Document]) -> None:
        self.job = job
        self.kept: list[tuple[str, str]] = []  # (host, name of its file)
        self._beside = list(dict.fromkeys(one for each in documents for one in each.certificates))

    def take(self, name: str, data: bytes, document: Document | None) -> str:
        """Keep one file, and say in one sentence what it was; ValueError if it is not kept."""
        if document is None:
            return self._sheet(name, data) if is_sheet(data) else self._inventory(name, data)
        if document.requests:
            return self._request(name, document.requests[0])
        if document.certificates:
            return self._answer(name, list(document.certificates))
        raise ValueError(f"{name} is {document.about}: bring the .json file that the script wrote")

    @cached_property
    def _named(self) -> dict[str, Host]:
        """Name → the server that makes its own key and has it."""
        own = (host for host in self.job.site.servers if host.enrolment != PFX)
        return {name: one for one in own for name in (one.name, one.fqdn, *one.aliases)}

    @cached_property
    def _state(self) -> State:
        return self.job.state()

    @cached_property
    def _waiting(self) -> dict[bytes, Host]:
        """Public key → the server whose request for it waits for an answer."""
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        asked = self._state.requests.items()
        own = {csr.public_key().public_bytes(*form): self._named.get(name) for name, csr in asked}
        return {key: host for key, host in own.items() if host}

    @cached_property
    def _known(self) -> dict[x509.Certificate, str]:
        """Certificate → a server that has it, or has it above its own."""
        return {
            one: host
            for host, newest in reversed(self._state.current.items())
            for one in (newest, *self._state.issuers[host])
        }

    def _inventory(self, name: str, data: bytes) -> str:
        job = self.job
        try:
            stores = parse_inventory(data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}. Run inventory.ps1 there again") from None
        host, at = stores.host, stores.at
        if host not in job.site:
            raise ValueError(f"{name} is of {host}, which is not in the table of {job.site.name}")
        if at > job.at + _AHEAD:
            raise ValueError(f"{name} is of {at:%Y-%m-%d}, which is still to come: set the clock "
                             f"of {host}, and run inventory.ps1 there again")  # fmt: skip
        before = job.records.inventory(host)
        if before is not None and before.at > at:
            return f"{host}: a newer inventory of {before.at:%Y-%m-%d %H:%M} UTC is there already"
        job.records.save_inventory(stores)
        self.kept.append((host, name))
        return f"{host}: inventory of {at:%Y-%m-%d %H:%M} UTC"

    def _sheet(self, name: str, data: bytes) -> str:
        filled = keep_sheet(self.job, read_sheet(name, data, sheet_of(self.job)))
        self.kept.append(("", name))
        again = f"run {runbook_name('visits.Verify', 'code')} again with ACCEPTED_BY"
        return f"{name}: {filled.outcome()}. To accept it, {again}"

    def _request(self, name: str, csr: x509.CertificateSigningRequest) -> str:
        common = csr.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        asked = (*(str(one.value) for one in common), *subject_names(csr))
        # The first name says it, for a node of a cluster too.
        host = next(filter(None, (self._named.get(name.lower()) for name in asked)), None)
        if host is None:
            names = ", ".join(dict.fromkeys(asked)) or "no name"
            raise ValueError(f"{name} asks for {names}: no server of the table that makes its own "
                             f"key has that name")  # fmt: skip
        self.job.records.save_request(host.name, csr)
        self.kept.append((host.name, name))
        for part in ("_state", "_waiting", "_known"):  # to be read anew
            self.__dict__.pop(part, None)
        return f"{host.name}: a request for {', '.join(subject_names(csr))}"

    def _answer(self, name: str, mine: list[x509.Certificate]) -> str:
        """Keep another CA's answer: a certificate of this file, with the CAs of all that came."""
        # A file that holds CAs only goes with an answer in another file.
        own = [one for one in mine if not Reading(one).is_ca]
        found = [*mine, *(one for one in self._beside if not own or Reading(one).is_ca)]
        for key in (Reading(one).spki for one in own or found):
            if host := self._waiting.get(key):
                issued = receive(self.job, host.name, self._state.requests[host.name], found)
                self.kept.append((host.name, name))
                del self._waiting[key]
                self._known.update(dict.fromkeys(issued.chain, host.name))
                return f"{host.name}: its certificate until {issued.until}"
        if host := self._known.get(found[0]):
            return f"{host}: what {name} holds is there already"
        raise ValueError(f"{name} fits no request that waits for an answer: is it another "
                         f"server's?")  # fmt: skip
