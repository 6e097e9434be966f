"""What goes to which computer, in which folder: the stretch that people walk.

`hand_over()` prepares the folders, people carry them, `take_back()` reads what they bring.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from vmscert.changes.job import Job
from vmscert.checks.lacks import PHASES, missing_groups, needed_roots, surplus_roots, unbarred
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.site.order import Step, by_host, switch_off, turns
from vmscert.site.site import PFX, Host, in_order
from vmscert.windows.handover import made_at, pack
from vmscert.windows.load import Load
from vmscert.windows.pemfiles import LOOK, looked_from
from vmscert.windows.rollout import roll_out_files
from vmscert.windows.scripts import script_inputs


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
    with job.records.lock():
        state = job.state()
        wanted = set(PHASES[phase].needed(state) if hosts is None else hosts)
        if strangers := sorted(name for name in wanted if name not in job.site):
            raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")
        able, refused = _able(state, phase, wanted), _refused(state)
        chosen = [host for host in in_order(job.site) if host.name in able]
        folders = {
            load.host.name: _folder(job, load, refused).relative_to(state.folder).as_posix()
            for load in loads(state, chosen, phase == "request")
        }
        errands = [
            Errand(name, job.site[name].owner, folders[name], command, "to do")
            for name, command in _commands(state, phase, folders, hosts is not None)
        ]
        _note_folders(job, state, errands)
    return errands


def _able(state: State, phase: str, wanted: set[str]) -> set[str]:
    """Those of these computers at which this phase makes sense now."""
    if phase in ("trust", "retire"):
        return wanted
    if phase == "request":
        return {name for name in wanted if state.site[name].enrolment != PFX}
    return wanted & set(state.current)


def _commands(
    state: State, phase: str, hosts: Collection[str], every: bool
) -> Iterator[tuple[str, str]]:
    """Yield (computer, what to run there); encryption turn by turn, as the plan has it."""
    if phase != "encrypt":
        yield from ((name, PHASES[phase].command_at(state.site[name])) for name in hosts)
        return
    left, number = missing_groups(state), Counter()
    planned = turns(state.site)
    of_each = Counter(steps[0].host for steps in planned)
    for steps in planned:
        name, groups = steps[0].host, {group for step in steps for group in step.groups}
        number[name] += 1
        if name in hosts and (every or groups & set(left.get(name, ()))):
            more = f" -Turn {number[name]}" if of_each[name] > 1 else ""
            yield name, PHASES[phase].command + more


def loads(state: State, hosts: Iterable[Host], asks: bool = False) -> list[Load]:
    """Return what is to be carried to each of these computers now, and nothing that it can spare.

    With `asks` a server that makes its own key is to ask for a new certificate.
    """
    roots, surplus, barred = needed_roots(state), surplus_roots(state), unbarred(state)
    on, off = by_host(turns(state.site)), by_host([switch_off(state.site)])
    clock = next(iter(state.site.central), None)  # the others' clocks
    every = [
        Load(
            host=host,
            site=state.site.name,
            made=state.at,
            roots=roots.get(host.name, ()),
            old_roots=surplus.get(host.name, ()),
            barred=barred.get(host.name, ()),
            asks=asks and host.enrolment != PFX,
            clock_source=clock.fqdn if clock and clock.name != host.name else "",
            switch_on=tuple(map(_groups, on[host.name])),
            switch_off=_groups(step for steps in off[host.name] for step in steps),
        )
        for host in hosts
    ]
    return every if asks else [*_with_certificates(state, every)]


def _with_certificates(state: State, loads: Iterable[Load]) -> Iterator[Load]:
    """Add to each load of a server its certificate, and what belongs to that."""
    current, pfx, keys, above = state.current, state.pfx, state.keys, state.issuers
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
            superseded=state.superseded.get(name, ()),
        )


def roll_out(job: Job) -> str:
    """Prepare the folder that brings the CA to many computers at once; return where it is."""
    job.permit()
    state = job.state()
    also = [one for one in (state.next_ca,) if one is not None]
    files = roll_out_files(state.signing_ca, job.site, job.at, also, **_gone(state))
    folder = job.records.roll_out(files, job.at)
    return folder.relative_to(job.records.folder).as_posix()


def _gone(state: State) -> dict[str, list[x509.Certificate]]:
    """The CAs that no computer needs any more, and what is barred on every computer."""
    still = {root for roots in needed_roots(state).values() for root in roots}
    return {
        "old_roots": [one for one in state.former_cas if one not in still],
        "barred": [one for one, _ in state.barred if one not in still],
    }


def _folder(job: Job, load: Load, refused: Collection[str]) -> Path:
    """The newest folder of a computer if it is as it should be, else a new one."""
    newest = job.records.handed_over(load.host.name)
    again = load.asks and load.host.name in refused
    if newest is not None and not again and _is_as_it_should_be(newest, load):
        return newest
    return job.records.hand_over(load.host.name, pack(load), job.at)


def _refused(state: State) -> set[str]:
    """The computers whose newest folder brought a request that was refused."""
    told = {e.host: e.action for e in state.entries if e.action in ("hand over", "refuse")}
    return {host for host, action in told.items() if action == "refuse"}


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


def _groups(steps: Iterable[Step]) -> tuple[str, ...]:
    """The certificate groups in the order of these steps."""
    return tuple(group for step in steps for group in step.groups)


def _note_folders(job: Job, state: State, errands: Iterable[Errand]) -> None:
    """Note who gets which folder; what stands there already is not told again by the next run."""
    told = {
        (entry.host, entry.command): entry.folder
        for entry in state.entries
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
