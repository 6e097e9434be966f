"""What people bring back from a computer: an inventory, a request, or another CA's answer."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vmscert.certificates.authority import subject_names, thumbprint
from vmscert.certificates.reading import Reading, quotable
from vmscert.changes.acceptance import is_sheet, keep_sheet, read_sheet, sheet_of
from vmscert.changes.job import Job
from vmscert.checks.documents import SOMETHING_ELSE, Document, read
from vmscert.facts import runbook_name
from vmscert.files import ZIP, read_foreign, unpacked
from vmscert.names import iso
from vmscert.records.clock import BROUGHT_BACK, OFF, noted_at
from vmscert.records.ledger import Entry
from vmscert.records.state import State, too_old
from vmscert.runbooks.certificates import receive
from vmscert.site.site import PFX, Host
from vmscert.windows.inventory import parse_inventory

_EARLIER = timedelta(hours=1)  # than its folder was made: by less, two clocks may differ


def take_each(job: Job, files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bool]]:
    """Keep (name, bytes) of files that came together; return (sentence, kept) for each.

    A CA's answer may be several of them. What no computer of this site has to say is not kept, nor
    an inventory that is older than the one that is there; one that is odd stops no other.
    """
    each = [[_opened(*part) for part in _parts(*file)] for file in files]
    desk = _Desk(job, [document for parts in each for *_, document in parts if document])
    try:
        return [_joined([desk.told(*part) for part in parts]) for parts in each]
    finally:
        job.records.note_all(
            Entry(iso(job.at), job.number, BROUGHT_BACK, host, note=name)
            for host, name in desk.kept
        )


def _parts(name: str, data: bytes) -> list[tuple[str, bytes, bool]]:
    """The files of an archive that can be unpacked, or the file itself; whether it was within."""
    with suppress(ValueError):
        if data.startswith(ZIP) and (found := unpacked(data)):
            return [(f"{name}/{quotable(inner)}", content, True) for inner, content in found]
    return [(name, data, False)]


def _opened(name: str, data: bytes, within: bool) -> tuple[str, bytes, Document | None]:
    """What is read at once; an inventory is a JSON object, in UTF-8 or UTF-16, maybe marked."""
    is_json = data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{")
    return name, data, None if is_json or is_sheet(data) else read(data, within=within)


def _joined(told: list[tuple[str, bool, bool]]) -> tuple[str, bool]:
    """One sentence for a file of several parts: of what is nothing of ours only if all is."""
    shown = [sentence for sentence, _, ours in told if ours] or [told[0][0]]
    return "; ".join(dict.fromkeys(shown)), any(kept for _, kept, _ in told)


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

    def told(self, name: str, data: bytes, document: Document | None) -> tuple[str, bool, bool]:
        """Take one file: what it was in one sentence, whether it is kept, whether it is ours."""
        try:
            return self._take(name, data, document), True, True
        except (ValueError, OSError) as error:
            ours = document is None or document.about != SOMETHING_ELSE
            return f"not kept: {error}", False, ours

    def _take(self, name: str, data: bytes, document: Document | None) -> str:
        if document is None:
            return self._sheet(name, data) if is_sheet(data) else self._inventory(name, data)
        if document.requests:
            return self._request(name, document.requests[0])
        if document.keys or (document.pfx and not document.certificates):
            raise ValueError(f"{name} is {document.about}, and a private key has no place in an "
                             f"answer: the server made its own, which stays there. Delete this "
                             f"file, and ask for the certificate alone (.cer, .p7b)")  # fmt: skip
        if document.certificates:
            return self._answer(name, list(document.certificates))
        for why in (*(one.detail for one in document.told), *document.problems)[:1]:
            if document.about != SOMETHING_ELSE and data.strip():
                raise ValueError(f"{name} is {document.about}: {why}")
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

    @cached_property
    def _ca(self) -> x509.Certificate | None:
        return self._state.ca

    @cached_property
    def _handed_over(self) -> dict[str, datetime]:
        """Computer → when its newest folder was noted."""
        told = (one for one in self._state.entries if one.action == "hand over")
        return {one.host: time for one in told if (time := noted_at(one))}

    def _inventory(self, name: str, data: bytes) -> str:
        job = self.job
        try:
            stores = parse_inventory(data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}. Run inventory.ps1 there again") from None
        host, at = stores.host, stores.at
        if host not in job.site:
            raise ValueError(f"{name} is of {host}, which is not in the table of {job.site.name}")
        again = "run inventory.ps1 there again"
        if at > job.at + OFF:
            raise ValueError(f"{name} is of {at:%Y-%m-%d}, which is still to come: set the clock "
                             f"of {host}, or of this laptop if {job.at:%Y-%m-%d} is wrong, and "
                             f"{again}")  # fmt: skip
        if why := too_old(stores, self._ca):
            raise ValueError(f"{name} {why}: set the clock of {host}, and {again}")
        before = job.records.inventory(host)
        if before is not None and job.at + OFF > before.at > at:
            return f"{host}: a newer inventory of {before.at:%Y-%m-%d %H:%M} UTC is there already"
        job.records.save_inventory(stores)
        told = f"{host}: inventory of {at:%Y-%m-%d %H:%M} UTC"
        if at < self._handed_over.get(host, at) - _EARLIER:
            return f"{told}, from before its folder was made: {again}"
        self.kept.append((host, name))
        return told

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
                csr, known = self._state.requests[host.name], self._state.met_cas
                issued = receive(self.job, host.name, csr, found, known)
                self.kept.append((host.name, name))
                del self._waiting[key]
                self._known.update(dict.fromkeys(issued.chain, host.name))
                root = f"{Reading(issued.chain[-1]).label} {thumbprint(issued.chain[-1])}"
                return f"{host.name}: its certificate until {issued.until}, below {root}"
        if host := self._known.get(found[0]):
            return f"{host}: what {name} holds is there already"
        raise ValueError(f"{name} {self._unwanted(own)}")

    def _unwanted(self, own: list[x509.Certificate]) -> str:
        """Why nothing that waits for an answer wants certificates, as far as they tell."""
        if not own:
            return "holds certificates of CAs only: bring the one that was issued to the server too"
        state, (one, *_) = self._state, own
        label, names = thumbprint(one), {name.lower() for name in Reading(one).names}
        issued = ", ".join(map(quotable, sorted(names))) or label
        why = f"is it another server's? It is issued to {issued}"
        for host in self._named.values():
            if (host.name, label) in state.certificates:
                why = f"it is what {host.name} had before; bring the answer to its newest request"
            elif names & {*host.issued_names} and host.name in state.requests:
                since = f"{state.asked_since.get(host.name, self.job.at):%Y-%m-%d}"
                why = f"it is for {host.name}, but not for the key with which that has asked since "
                why += f"{since}: have its CA answer requests/{host.name}.req"
        return f"fits no request that waits for an answer: {why}"
