"""What goes to which computer, in which folder: the stretch that people walk.

`hand_over()` prepares the folders, people carry them, `take_each()` reads what they bring.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vmscert.changes.job import Job
from vmscert.checks.lacks import (
    PHASES,
    missing_groups,
    missing_retirement,
    needed_roots,
    stopping_findings,
    surplus_roots,
    unbarred,
)
from vmscert.facts import facts
from vmscert.findings import Finding
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.site.order import Step, by_host, switch_off, turns
from vmscert.site.site import PFX, THIRD_PARTY, Host, in_order
from vmscert.windows.folder import LOOK, Load, looked_from, made_at, pack
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
        _refuse_strangers(job, sorted(wanted))
        able = _able(state, phase, wanted)
        chosen = [host for host in in_order(job.site) if host.name in able]
        told = {e.host: e.action for e in state.entries if e.action in ("hand over", "refuse")}
        folders = {}
        for load in loads(state, chosen, phase == "request"):
            name, newest = load.host.name, state.handed_over.get(load.host.name)
            again = load.asks and told.get(name) == "refuse"  # what its folder brought
            if newest is None or again or not _is_as_it_should_be(newest, load):
                newest = job.records.hand_over(name, pack(load), job.at)
            folders[name] = newest.relative_to(state.folder).as_posix()
        errands = [
            Errand(name, job.site[name].owner, folders[name], command, "to do")
            for name, command in _commands(state, phase, folders, hosts is not None)
        ]
        _note_folders(job, state, errands)
    return errands


def _refuse_strangers(job: Job, names: Iterable[str]) -> None:
    if strangers := [name for name in names if name not in job.site]:
        raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")


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
    needed = {root for roots in needed_roots(state).values() for root in roots}
    files = roll_out_files(
        state.signing_ca,
        job.site,
        job.at,
        also,
        old_roots=[one for one in state.former_cas if one not in needed],
        barred=[one for one, _ in state.barred if one not in needed],
    )
    folder = job.records.roll_out(files, job.at)
    return folder.relative_to(job.records.folder).as_posix()


def _is_as_it_should_be(folder: Path, load: Load) -> bool:
    """Whether a folder holds what it should; what somebody put beside that does not matter."""
    try:
        if load.host.only_pem:
            made = looked_from((folder / LOOK).read_bytes())
        else:
            made = made_at(script_inputs((folder / "install.ps1").read_bytes()))
        files = pack(replace(load, made=made))
        lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        carried = {line.partition("  ")[2] for line in lines}
        same = all((folder / name).read_bytes() == data for name, data in files.items())
        return same and carried <= files.keys()
    except (OSError, ValueError, KeyError):  # cut short, or changed by hand
        return False


def _groups(steps: Iterable[Step]) -> tuple[str, ...]:
    """The certificate groups in the order of these steps."""
    return tuple(group for step in steps for group in step.groups)


def _note_folders(job: Job, state: State, errands: Iterable[Errand]) -> None:
    """Note who gets which folder; what stands there already is not told again by the next run."""
    told = {(e.host, e.command): e.folder for e in state.entries if e.action == "hand over"}
    lines = []
    for one in errands:
        if told.get((one.host, one.command)) != one.folder:
            about = {"command": one.command, "folder": one.folder}
            note = f"{one.command}: {one.folder}"
            lines.append(Entry(iso(job.at), job.number, "hand over", one.host, note=note, **about))
    job.records.note_all(lines)


# Where each computer stands

# What the ledger says of a computer, and how far that brings it.
_STATES = {"hand over": "to do", "carried": "carried", "brought back": "reported back",
           "simulated": "reported back"}  # fmt: skip
NOT_JUDGED = "not judged"
STATES = ("no folder yet", "to do", "carried", "reported back", NOT_JUDGED, "verified")
SETTLED = STATES[-2:]  # nothing is left to do there, or nothing that could be seen from here
# The phase that people walk for → for which computers.
_WALKED: dict[str, Callable[[Host], bool]] = {
    "request": lambda host: host.certified and host.enrolment != PFX,
    "trust": lambda host: not host.certified,
    "import": lambda host: host.certified,
    "encrypt": lambda host: bool(host.ports),
}


@dataclass(frozen=True)
class Standing:
    """Where one computer stands, what it still lacks, and who has to do what there next."""

    computer: str
    who: str
    state: str  # one of STATES
    lacks: str
    next: str


def board(job: Job) -> list[Standing]:
    """Return every computer that somebody goes to for the runbooks so far, the next ones first."""
    state = job.state()
    so_far = [row for row in facts("change/runbooks") if row["runbook"] <= job.number]
    walked = {row["runbook"]: row["phase"] for row in so_far if row["phase"]}
    lacking = _lacking(state, walked.values())
    wrong = {name: bad for no in walked for name, bad in stopping_findings(state, no).items()}
    later = missing_retirement(state) if any(row["ends"] for row in so_far) else {}
    visits, found = defaultdict(list), []  # what the ledger says of each computer, oldest first
    for entry in state.entries:
        if entry.action in _STATES:
            visits[entry.host].append(entry)
    for host in job.site.clients:
        if any(_WALKED[phase](host) for phase in walked.values()):
            if host.name in lacking:
                found.append(_standing(state, host, *lacking[host.name], visits[host.name]))
            elif host.name in wrong:
                found.append(_wrong(host, wrong[host.name]))
            else:
                found.append(_done(state, host, later.get(host.name, "")))
    return sorted(found, key=lambda one: (STATES.index(one.state), one.who))


def mark_carried(job: Job, hosts: Iterable[str]) -> None:
    """Note that somebody has taken their folders to these computers."""
    chosen = list(hosts)
    _refuse_strangers(job, chosen)
    job.records.note_all(Entry(iso(job.at), job.number, "carried", name) for name in chosen)


def _lacking(state: State, phases: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Computer → the first phase that it still needs, and what it lacks for that."""
    found: dict[str, tuple[str, str]] = {}
    for phase in phases:
        for name, what in PHASES[phase].lacking(state).items():
            if _WALKED[phase](state.site[name]):
                found.setdefault(name, (phase, what))
    return found


def _wrong(host: Host, found: list[Finding]) -> Standing:
    told = "; ".join(dict.fromkeys(one.detail for one in found))
    todo = " ".join(dict.fromkeys(one.rule.remedy_text for one in found))
    return Standing(host.name, host.owner, STATES[3], told, todo)


def _done(state: State, host: Host, later: str) -> Standing:
    stores = state.inventories.get(host.name)
    then = f"{later}. In a week: {PHASES['retire'].command_at(host)}" if later else ""
    if host.pem_files and not (host.only_pem and stores and stores.https):
        unseen = f"look there with {LOOK} FOLDER PORT at what they serve"
        return Standing(host.name, host.owner, NOT_JUDGED, "", then or unseen)
    return Standing(host.name, host.owner, "verified", "", then)


def _standing(state: State, host: Host, phase: str, lacks: str, told: list[Entry]) -> Standing:
    """Where a computer stands with the phase that it needs next."""
    visits = _since_it_was_ordered(told, PHASES[phase].command_at(host))
    stands = _STATES[visits[-1].action] if visits else STATES[0]
    return Standing(host.name, host.owner, stands, lacks, _next(state, host, stands, visits))


def _since_it_was_ordered(visits: list[Entry], command: str) -> list[Entry]:
    """What happened since a computer was last to be visited for this command."""
    ordered = [
        number
        for number, entry in enumerate(visits)
        if entry.action == "hand over" and entry.command.partition(" -Turn ")[0] == command
    ]
    return visits[ordered[-1] :] if ordered else []


def _next(state: State, host: Host, stands: str, visits: list[Entry]) -> str:
    if stands == "reported back" and host.name in state.requests:
        asked = f"requests/{host.name}.req"
        return f"send {asked} to its CA" if host.enrolment == THIRD_PARTY else f"sign {asked}"
    folder = state.handed_over.get(host.name)
    if not visits or folder is None:
        return "prepare its folder"
    place, command = folder.relative_to(state.folder).as_posix(), visits[0].command
    if stands == "to do":
        return f"carry {place} there, run {command}"
    if stands == "carried":
        return f"run {command} there, bring {host.name}.json back"
    stores = state.inventories.get(host.name)
    last = stores.log[-1] if stores and stores.log else None
    if last is not None and last.result == "failed":
        return f"step {last.step} failed: {last.detail}"
    return f"run {command} there again"
