"""What people bring back from a computer: an inventory, a request, or another CA's answer."""

from collections.abc import Iterable
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from vmscert.authority import subject_names
from vmscert.deeds import receive
from vmscert.inventory import parse_inventory
from vmscert.job import Job
from vmscert.ledger import Entry, iso
from vmscert.paths import Reading
from vmscert.reading import read
from vmscert.site import PFX, Host

# An inventory may be younger than the notebook that was opened for it; by more, a clock is wrong.
_AHEAD = timedelta(days=2)


def take_back(job: Job, name: str, data: bytes, beside: Iterable[bytes] = ()) -> str:
    """Keep a file that somebody brought back, and say in one sentence what it was.

    `name` is its file name, `beside` the bytes of files that came with it: a CA's answer may be
    several. An inventory that is older than the one that is there is not kept. ValueError in one
    sentence for anything that no computer of this site has to say.
    """
    if _is_json(data):
        return _inventory(job, name, data)
    document = read(data)
    if document.requests:
        return _request(job, name, document.requests[0])
    if document.certificates:
        more = (read(one).certificates for one in beside if not _is_json(one))
        return _answer(job, name, list(document.certificates), [c for found in more for c in found])
    raise ValueError(f"{name} is {document.about}: bring the .json file that the script wrote")


def take_each(job: Job, files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bool]]:
    """Take back (name, bytes) of files that came together; return (sentence, kept) for each.

    One that is odd stops no other.
    """
    files = list(files)
    beside = [data for _, data in files]
    told = []
    for name, data in files:
        try:
            told.append((take_back(job, name, data, beside), True))
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


def _inventory(job: Job, name: str, data: bytes) -> str:
    try:
        stores = parse_inventory(data)
    except ValueError as error:
        raise ValueError(f"{name}: {error}. Run inventory.ps1 there again") from None
    if stores.host not in {host.name for host in job.site}:
        raise ValueError(
            f"{name} is of {stores.host}, which is not in the table of {job.site.name}"
        )
    if stores.at > job.at + _AHEAD:
        raise ValueError(
            f"{name} is of {stores.at:%Y-%m-%d}, which is still to come: set the clock of "
            f"{stores.host}, and run inventory.ps1 there again"
        )
    kept = job.records.inventories().get(stores.host)
    if kept is not None and kept.at > stores.at:
        return f"{stores.host}: a newer inventory of {kept.at:%Y-%m-%d %H:%M} UTC is there already"
    job.records.save_inventory(stores)
    _note(job, stores.host, name)
    return f"{stores.host}: inventory of {stores.at:%Y-%m-%d %H:%M} UTC"


def _request(job: Job, name: str, csr: x509.CertificateSigningRequest) -> str:
    common = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    asked = (*(str(one.value) for one in common), *subject_names(csr))
    host = _asking(job, asked)
    if host is None:
        names = ", ".join(dict.fromkeys(asked)) or "no name"
        raise ValueError(
            f"{name} asks for {names}: no server of the table that makes its own key has that name"
        )
    job.records.save_request(host.name, csr)
    _note(job, host.name, name)
    return f"{host.name}: a request for {', '.join(subject_names(csr))}"


def _asking(job: Job, asked: Iterable[str]) -> Host | None:
    """The server that a request comes from: the first name says it, for a node of a cluster too."""
    mine = {name: one for one in _own_keys(job) for name in (one.name, one.fqdn, *one.aliases)}
    return next((mine[name.lower()] for name in asked if name.lower() in mine), None)


def _answer(
    job: Job, name: str, mine: list[x509.Certificate], beside: list[x509.Certificate]
) -> str:
    """Keep another CA's answer: a certificate of this file, with the CAs of all that came."""
    found = [*mine, *beside]
    # A file that holds CAs only goes with an answer in another file.
    own = [one for one in mine if not Reading(one).is_ca]
    keys = [one.public_key() for one in own or found]
    for host in _own_keys(job):
        csr = job.records.request(host.name)
        if csr is not None and csr.public_key() in keys:
            row = receive(job, host.name, found)
            _note(job, host.name, name)
            return f"{host.name}: its certificate until {row['until']}"
    above = job.records.issuers()
    for host, certificate in job.records.current().items():
        if found[0] in (certificate, *above[host]):
            return f"{host}: what {name} holds is there already"
    raise ValueError(f"{name} fits no request that waits for an answer: is it another server's?")


def _own_keys(job: Job) -> list[Host]:
    return [host for host in job.site.servers if host.enrolment != PFX]


def _note(job: Job, host: str, name: str) -> None:
    job.records.note_all([Entry(iso(job.at), job.number, "brought back", host, note=name)])
