"""What people bring back from a computer: an inventory, a request, or another CA's answer."""

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from vmscert.certificates.authority import subject_names
from vmscert.certificates.reading import Reading
from vmscert.changes.job import Job
from vmscert.checks.documents import read
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.runbooks.certificates import receive_answer
from vmscert.site.site import PFX, Host
from vmscert.windows.inventory import parse_inventory

# An inventory may be younger than the notebook that was opened for it; by more, a clock is wrong.
_AHEAD = timedelta(days=2)


def take_back(job: Job, name: str, data: bytes, beside: Iterable[bytes] = ()) -> str:
    """Keep a file that somebody brought back, and say in one sentence what it was.

    `name` is its file name, `beside` the bytes of files that came with it: a CA's answer may be
    several. An inventory that is older than the one that is there is not kept. ValueError in one
    sentence for anything that no computer of this site has to say.
    """
    with _Desk(job, beside) as desk:
        return desk.take(name, data)


def take_each(job: Job, files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bool]]:
    """Take back (name, bytes) of files that came together; return (sentence, kept) for each.

    One that is odd stops no other.
    """
    files, told = list(files), []
    with _Desk(job, [data for _, data in files]) as desk:
        for name, data in files:
            try:
                told.append((desk.take(name, data), True))
            except (ValueError, OSError) as error:
                told.append((f"not kept: {error}", False))
    return told


def take_dropped(job: Job) -> list[str]:
    """Keep all that people put into the folder `drop` of the records; one sentence for each file.

    What was kept goes to `drop/taken`; what was not stays.
    """
    paths = job.records.dropped()
    told = take_each(job, ((path.name, path.read_bytes()) for path in paths))
    for path, (_, kept) in zip(paths, told, strict=True):
        if kept:
            job.records.put_away(path)
    return [sentence for sentence, _ in told]


def _is_json(data: bytes) -> bool:
    """Whether this is a JSON object, in UTF-8 or UTF-16, with a mark or without."""
    return data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{")


class _Desk:
    """Where files are taken back that came together.

    The site's state is read once for them, and the ledger told at the end what was kept.
    """

    def __init__(self, job: Job, files: Iterable[bytes]) -> None:
        self.job, self._files = job, list(files)
        self._notes: list[Entry] = []

    def __enter__(self) -> "_Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self.job.records.note_all(self._notes)

    def _note(self, host: str, name: str) -> None:
        job = self.job
        self._notes.append(Entry(iso(job.at), job.number, "brought back", host, note=name))

    def take(self, name: str, data: bytes) -> str:
        """Keep one file, and say in one sentence what it was."""
        if _is_json(data):
            return self._inventory(name, data)
        document = read(data)
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
    def _beside(self) -> list[x509.Certificate]:
        """All certificates of these files."""
        found = (read(data).certificates for data in self._files if not _is_json(data))
        return list(dict.fromkeys(one for several in found for one in several))

    @cached_property
    def _waiting(self) -> dict[bytes, Host]:
        """Public key → the server whose request for it waits for an answer."""
        requests = self._state.requests.items()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        own = {csr.public_key().public_bytes(*form): self._named.get(h) for h, csr in requests}
        return {key: host for key, host in own.items() if host}

    @cached_property
    def _known(self) -> dict[x509.Certificate, str]:
        """Certificate → a server that has it, or has it above its own."""
        state = self._state
        return {
            one: host
            for host, newest in reversed(state.current.items())
            for one in (newest, *state.issuers[host])
        }

    def _inventory(self, name: str, data: bytes) -> str:
        job = self.job
        try:
            stores = parse_inventory(data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}. Run inventory.ps1 there again") from None
        if stores.host not in job.site:
            raise ValueError(
                f"{name} is of {stores.host}, which is not in the table of {job.site.name}"
            )
        if stores.at > job.at + _AHEAD:
            raise ValueError(
                f"{name} is of {stores.at:%Y-%m-%d}, which is still to come: set the clock of "
                f"{stores.host}, and run inventory.ps1 there again"
            )
        kept = job.records.inventory(stores.host)
        if kept is not None and kept.at > stores.at:
            return (
                f"{stores.host}: a newer inventory of {kept.at:%Y-%m-%d %H:%M} UTC is there already"
            )
        job.records.save_inventory(stores)
        self._note(stores.host, name)
        return f"{stores.host}: inventory of {stores.at:%Y-%m-%d %H:%M} UTC"

    def _request(self, name: str, csr: x509.CertificateSigningRequest) -> str:
        job, common = self.job, csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        asked = (*(str(one.value) for one in common), *subject_names(csr))
        # The first name says it, for a node of a cluster too.
        host = next(filter(None, (self._named.get(name.lower()) for name in asked)), None)
        if host is None:
            names = ", ".join(dict.fromkeys(asked)) or "no name"
            raise ValueError(
                f"{name} asks for {names}: no server of the table that makes its own key has that "
                f"name"
            )
        job.records.save_request(host.name, csr)
        self._note(host.name, name)
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
                csr = self._state.requests[host.name]
                issued = receive_answer(self.job, host.name, csr, found)
                self._note(host.name, name)
                del self._waiting[key]
                self._known.update(dict.fromkeys(issued.chain, host.name))
                return f"{host.name}: its certificate until {issued.until}"
        if host := self._known.get(found[0]):
            return f"{host}: what {name} holds is there already"
        raise ValueError(
            f"{name} fits no request that waits for an answer: is it another server's?"
        )
