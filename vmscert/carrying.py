"""What goes to which computer, in which folder: the stretch that people walk.

`hand_over()` prepares the folders, people carry them, `take_back()` reads what they bring.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from vmscert.handover import made_at, pack
from vmscert.job import Job
from vmscert.ledger import Entry, iso
from vmscert.load import Load
from vmscert.missing import PHASES, missing_groups, needed_roots, surplus_roots, unbarred
from vmscert.pemfiles import LOOK, looked_from
from vmscert.records import Records
from vmscert.rollout import roll_out_files
from vmscert.scripts import script_inputs
from vmscert.site import PFX, Host, in_order
from vmscert.switching import Step, switch_off, turns


@dataclass(frozen=True)
class Errand:
    """One visit to one computer: who goes, with which folder, to run what, how it ended."""

    host: str
    owner: str
    folder: str
    command: str
    result: str


def hand_over(job: Job, phase: str, hosts: Iterable[str] | None = None) -> list[Errand]:
    """Prepare the folders for "request", "trust", "import", "encrypt" or "retire"; return errands.

    For the computers that still need this, or for those named, in the order in which encryption
    may be switched on; only servers that make their own keys are asked for requests. A folder that
    is as it should be stays; else there will be a new one, and the old one is left alone.
    """
    job.permit()
    wanted = set(PHASES[phase].needed(job) if hosts is None else hosts)
    if strangers := sorted(wanted - {host.name for host in job.site}):
        raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")
    with job.records.lock():
        chosen = [host for host in in_order(job.site) if host.name in _able(job, phase, wanted)]
        folders = {
            load.host.name: _folder(job, load).relative_to(job.records.folder).as_posix()
            for load in loads(job, chosen, phase == "request")
        }
        errands = [
            Errand(name, job.site[name].owner, folders[name], command, "to do")
            for name, command in _commands(job, phase, folders, hosts is not None)
        ]
        _note_folders(job, errands)
    return errands


def _able(job: Job, phase: str, wanted: set[str]) -> set[str]:
    """Those of these computers at which this phase makes sense now."""
    if phase in ("trust", "retire"):
        return wanted
    if phase == "request":
        return {name for name in wanted if job.site[name].enrolment != PFX}
    return wanted & set(job.records.current())


def _commands(job: Job, phase: str, hosts: Iterable[str], every: bool) -> Iterator[tuple[str, str]]:
    """Yield (computer, what to run there); encryption turn by turn, as the plan has it."""
    if phase != "encrypt":
        yield from ((name, PHASES[phase].command_at(job.site[name])) for name in hosts)
        return
    left, number = missing_groups(job), Counter()
    planned = turns(job.site)
    of_each = Counter(steps[0].host for steps in planned)
    for steps in planned:
        name, groups = steps[0].host, {group for step in steps for group in step.groups}
        number[name] += 1
        if name in hosts and (every or groups & set(left.get(name, ()))):
            more = f" -Turn {number[name]}" if of_each[name] > 1 else ""
            yield name, PHASES[phase].command + more


def loads(job: Job, hosts: Iterable[Host], asks: bool = False) -> list[Load]:
    """Return what is to be carried to each of these computers now, and nothing that it can spare.

    With `asks` a server that makes its own key is to ask for a new certificate.
    """
    roots, off = needed_roots(job), switch_off(job.site)
    surplus, barred = surplus_roots(job), unbarred(job)
    on = turns(job.site)
    every = [
        Load(
            host=host,
            site=job.site.name,
            made=job.at,
            roots=roots.get(host.name, ()),
            old_roots=surplus.get(host.name, ()),
            barred=barred.get(host.name, ()),
            asks=asks and host.enrolment != PFX,
            clock_source=_clock(job, host),
            switch_on=tuple(filter(None, (_groups(steps, host) for steps in on))),
            switch_off=_groups(off, host),
        )
        for host in hosts
    ]
    return every if asks else [*_with_certificates(job.records, every)]


def _with_certificates(records: Records, loads: Iterable[Load]) -> Iterator[Load]:
    """Add to each load of a server its certificate, and what belongs to that."""
    current, pfx, keys = records.current(), records.pfx_paths(), records.key_paths()
    above, superseded = records.issuers(), records.superseded()
    for load in loads:
        name = load.host.name
        if name not in current or not load.host.certified:
            yield load
            continue
        yield replace(
            load,
            certificate=current[name],
            intermediates=tuple(one for one in above[name] if one.subject != one.issuer),
            pfx=pfx[name].read_bytes() if name in pfx and not load.host.only_pem else b"",
            key=keys[name].read_bytes() if name in keys and load.host.pem_files else b"",
            superseded=superseded.get(name, ()),
        )


def roll_out(job: Job) -> str:
    """Prepare the folder that brings the CA to many computers at once; return where it is."""
    job.permit()
    ca = job.records.ca_certificate
    also = [one for one in (job.records.next_ca,) if one is not None]
    files = roll_out_files(ca, job.site, job.at, also, **_gone(job))
    folder = job.records.roll_out(files, job.at)
    return folder.relative_to(job.records.folder).as_posix()


def _gone(job: Job) -> dict[str, list[x509.Certificate]]:
    """The CAs that no computer needs any more, and what is barred on every computer."""
    still = {root for roots in needed_roots(job).values() for root in roots}
    return {
        "old_roots": [one for one in job.records.former_cas if one not in still],
        "barred": [one for one, _ in job.records.barred() if one not in still],
    }


def _folder(job: Job, load: Load) -> Path:
    """The newest folder of a computer if it is as it should be, else a new one."""
    newest = job.records.handed_over(load.host.name)
    refused = load.asks and _was_refused(job, load.host.name)
    if newest is not None and not refused and _is_as_it_should_be(newest, load):
        return newest
    return job.records.hand_over(load.host.name, pack(load), job.at)


def _was_refused(job: Job, host: str) -> bool:
    """Whether the request that came from a computer's newest folder was refused."""
    told = [
        entry.action
        for entry in job.records.ledger.entries()
        if entry.host == host and entry.action in ("hand over", "refuse")
    ]
    return told[-1:] == ["refuse"]


def _is_as_it_should_be(folder: Path, load: Load) -> bool:
    """Whether a folder holds what it should; what somebody put beside that does not matter."""
    try:
        files = pack(replace(load, made=_made(folder, load)))
        return all((folder / name).read_bytes() == data for name, data in files.items()) and not (
            _carried(folder) - set(files)
        )
    except (OSError, ValueError, KeyError):  # cut short, or changed by hand
        return False


def _made(folder: Path, load: Load) -> datetime:
    """When a folder was made, as the script in it says."""
    if load.host.only_pem:
        return looked_from((folder / LOOK).read_bytes())
    return made_at(script_inputs((folder / "install.ps1").read_bytes()))


def _carried(folder: Path) -> set[str]:
    """The files that were made, as the list of their hashes says."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {line.partition("  ")[2] for line in lines}


def _groups(steps: Iterable[Step], host: Host) -> tuple[str, ...]:
    """A computer's certificate groups in the order of these steps."""
    return tuple(group for step in steps if step.host == host.name for group in step.groups)


def _clock(job: Job, host: Host) -> str:
    """The computer whose clock this one is compared with: the management server."""
    first = next((one for one in job.site if "management server" in one.roles), host)
    return "" if first.name == host.name else first.fqdn


def _note_folders(job: Job, errands: Iterable[Errand]) -> None:
    """Note who gets which folder; what stands there already is not told again by the next run."""
    told = {
        (entry.host, entry.command): entry.folder
        for entry in job.records.ledger.entries()
        if entry.action == "hand over"
    }
    job.records.note_all(
        Entry(
            iso(job.at),
            job.number,
            "hand over",
            one.host,
            note=f"{one.command}: {one.folder}",
            command=one.command,
            folder=one.folder,
        )
        for one in errands
        if told.get((one.host, one.command)) != one.folder
    )
