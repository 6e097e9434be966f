"""What the runbooks do: each deed once, doing only what is missing.

A run that was stopped at any point is continued by the next one. On a real site people carry the
hand-over folders to the computers; in a rehearsal simulated computers read the same folders.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.authority import ROOT, SERVER, Issued, create_authority
from vmscert.expiry import Due, due
from vmscert.facts import facts
from vmscert.fleet import issue_all
from vmscert.job import Job
from vmscert.ledger import Entry, iso
from vmscert.missing import MISSING, missing_ca, missing_certificates
from vmscert.records import read_pfx
from vmscert.releases import pfx_encryption
from vmscert.scripts import script
from vmscert.simulate import Computer, ScriptError, verify_simulated
from vmscert.site import Host, in_order
from vmscert.verify import Verification, verify_connections
from vmscert.windows import principal, thumbprint

CA_KEY_BITS = (3072, 4096)
SERVER_KEY_BITS = (2048, 3072, 4096)


@dataclass(frozen=True)
class Errand:
    """One visit to one computer: who goes, with which folder of the site's, how it ended."""

    host: str
    owner: str
    folder: str
    script: str
    result: str


def create_ca(
    job: Job, *, name: str = "", key_bits: int = ROOT.key_bits, years: int = 10
) -> x509.Certificate:
    """Create the CA if there is none; return its certificate. Bits: 3072 or 4096."""
    _one_of("The CA's RSA key", key_bits, CA_KEY_BITS)
    with job.records.lock():  # looked at inside: a second run that waited finds it done
        if missing_ca(job):
            profile = replace(ROOT, key_bits=key_bits, days=round(years * 365.25))
            password = job.secret("CA", new=True)
            authority = create_authority(name or ca_name(job), job.at, profile)
            job.records.save_authority(authority, password, job.at)
    return job.records.ca_certificate


def ca_name(job: Job) -> str:
    """Return a CA name that is unique to site and year; a rehearsal's says that it is one."""
    ending = f" VMS root {job.at:%Y}" + (" (rehearsal)" if job.rehearsal else "")
    return job.site.name[: 64 - len(ending)] + ending


def issue_certificates(
    job: Job, *, days: int = SERVER.days, key_bits: int = SERVER.key_bits
) -> list[dict[str, str]]:
    """Issue a certificate to every server that has none for its names; return one row for each."""
    with job.records.lock():  # looked at inside: a second run that waited finds it done
        return list(_issue(job, missing_certificates(job), "issue", days, key_bits))


def renew_certificates(
    job: Job, hosts: Iterable[str], *, days: int = SERVER.days, key_bits: int = SERVER.key_bits
) -> list[dict[str, str]]:
    """Issue new certificates with new keys to these servers; the old ones stay as a way back."""
    with job.records.lock():
        return list(_issue(job, hosts, "renew", days, key_bits))


def due_certificates(job: Job, on: datetime) -> list[Due]:
    """Tell what ends when, seen from a day: the CA and every server's newest certificate."""
    ca = [("CA", job.records.ca_certificate)]
    return due([*ca, *job.records.current().items()], on)


def hand_over(job: Job, name: str) -> list[Errand]:
    """Prepare the folders for one script ("trust", "import", "enable"); return the errands.

    Only computers where something is missing are on the list, in the order in which encryption
    may be switched on.
    """
    number = _NUMBER_OF[name]
    errands = []
    with job.records.lock():
        missing = MISSING[number](job)
        for host in in_order(host for host in job.site if host.name in missing):
            folder = job.records.hand_over(host.name, _FILES[name](job, host))
            carried = folder.relative_to(job.records.folder).as_posix()
            errands.append(Errand(host.name, host.owner, carried, f"{name}.ps1", "to do"))
        _note_errands(job, "hand over", errands)
    return errands


def walk(job: Job, errands: Iterable[Errand]) -> list[Errand]:
    """In a rehearsal, let the simulated computers run the scripts and report back.

    On a real site nothing is done: people carry the folders and bring the inventory files to
    `inventory/`; the errands come back as they are.
    """
    errands = list(errands)
    if not job.rehearsal:
        return errands
    with job.records.lock():
        done = [replace(errand, result=_visit(job, errand)) for errand in errands]
        _note_errands(job, "simulated", done)
    return done


def verify_site(job: Job) -> list[Verification]:
    """Make every connection of the site for real, over the network or, in a rehearsal, loopback."""
    stores = job.records.inventories()
    expected = {name: thumbprint(c) for name, c in job.records.current().items()}
    if not job.rehearsal:
        return list(verify_connections(job.site, stores, expected, job.at))
    served = {host.name: _served(job, host) for host in job.site.servers}
    return list(verify_simulated(job.site, stores, served, expected, job.at))


def record(job: Job, action: str, note: str, files: Mapping[str, bytes] | None = None) -> str:
    """Write one line into the ledger and keep these files with the change; say what was kept."""
    kept = [
        job.records.keep(job.runbook, name, data, at=job.at) for name, data in (files or {}).items()
    ]
    job.records.note(job.number, action, at=job.at, note=note)
    paths = [path.relative_to(job.records.folder).as_posix() for path in kept]
    return ", ".join(["one line more in ledger.csv", *paths])


def _issue(
    job: Job, hosts: Iterable[str], action: str, days: int, key_bits: int
) -> Iterator[dict[str, str]]:
    """Issue to these servers, one row for each; the caller holds the folder's lock."""
    _one_of("A server's RSA key", key_bits, SERVER_KEY_BITS)
    orders = {name: job.site[name].names for name in hosts}
    if not orders:
        return
    profile = replace(SERVER, key_bits=key_bits, days=days)
    authority = job.records.authority(job.secret("CA"))
    password = job.secret("PFX", new=True)
    job.records.note_all(
        replace(entry, time=iso(job.at), action="abandon", note="never reached a file")
        for entry in job.records.abandoned()
    )
    for name, issued in issue_all(authority, orders, job.at, profile=profile):
        encryption = pfx_encryption(job.site[name].windows)
        job.records.save(
            name, issued, password, encryption,
            at=job.at, runbook=job.number, action=action,
        )  # fmt: skip
        yield _issued_row(name, issued, encryption)


def _issued_row(name: str, issued: Issued, encryption: str) -> dict[str, str]:
    end = issued.certificate.not_valid_after_utc
    return {
        "server": name,
        "names": ", ".join(issued.names),
        "until": f"{end:%Y-%m-%d}" + (" (ends with the CA)" if issued.capped else ""),
        "PFX": encryption,
        "thumbprint": thumbprint(issued.certificate),
    }


def _trust_files(job: Job, host: Host) -> dict[str, bytes]:
    ca = job.records.ca_certificate
    der = ca.public_bytes(Encoding.DER)
    inputs = {
        "ComputerName": host.name,
        "CaThumbprint": thumbprint(ca),
        "CaSha256": hashlib.sha256(der).hexdigest(),
    }
    return {"ca.cer": der, "trust.ps1": script("trust", **inputs), **_inventory(host)}


def _import_files(job: Job, host: Host) -> dict[str, bytes]:
    path = job.records.pfx_paths()[host.name]
    pfx = path.read_bytes()
    certificate = job.records.current()[host.name]
    inputs = {
        "ComputerName": host.name,
        "PfxFile": path.name,
        "PfxSha256": hashlib.sha256(pfx).hexdigest(),
        "Thumbprint": thumbprint(certificate),
        "FriendlyName": Issued(certificate, None).friendly_name,
        "Accounts": list(map(principal, host.accounts)),
    }
    return {path.name: pfx, "import.ps1": script("import", **inputs), **_inventory(host)}


def _enable_files(job: Job, host: Host) -> dict[str, bytes]:
    guids = {row["group"]: row["guid"] for row in facts("xprotect/certificate-groups")}
    inputs = {
        "ComputerName": host.name,
        "Thumbprint": thumbprint(job.records.current()[host.name]),
        "Groups": list(host.groups),
        "GroupIds": [guids[group] for group in host.groups],
    }
    return {"enable.ps1": script("enable", **inputs), **_inventory(host)}


def _inventory(host: Host) -> dict[str, bytes]:
    return {"inventory.ps1": script("inventory", ComputerName=host.name, ClockSource="")}


_NUMBER_OF = {"trust": "13", "import": "14", "enable": "15"}
_FILES = {"trust": _trust_files, "import": _import_files, "enable": _enable_files}


def _disk(job: Job) -> Path:
    return job.records.folder / "simulated"


def _visit(job: Job, errand: Errand) -> str:
    """What a person does at a computer: run the script, bring the inventory back."""
    computer = Computer(job.site[errand.host], _disk(job))
    try:
        password = job.secret("PFX") if errand.script == "import.ps1" else ""
        computer.run(job.records.folder / errand.folder / errand.script, job.at, password)
    except ScriptError as error:
        return f"failed: {error}"
    job.records.save_inventory(computer.stores(job.at))
    return "done"


def _served(job: Job, host: Host) -> dict[int, Issued | None]:
    """Port → what the simulated computer serves there: the PFX that was imported and bound."""
    computer = Computer(host, _disk(job))
    bindings = computer.stores(job.at).bindings
    opened = {
        label: read_pfx(computer.pfx(label), job.secret("PFX"), job.records.ca_certificate)
        for label in set(bindings.values())
    }
    return {port: opened.get(bindings.get(group, "")) for port, group in host.ports}


def _note_errands(job: Job, action: str, errands: Iterable[Errand]) -> None:
    job.records.note_all(
        Entry(
            iso(job.at), job.number, action, errand.host, note=f"{errand.script}: {errand.result}"
        )
        for errand in errands
    )


def _one_of(what: str, value: int, allowed: tuple[int, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{what} has one of {allowed} bits, not {value!r}")
