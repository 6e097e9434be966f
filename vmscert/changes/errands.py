"""What goes to which computer, in which folder, and how far it is: the stretch that people walk."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmscert.changes.job import Job
from vmscert.checks.lacks import (
    PHASES,
    missing_groups,
    missing_retirement,
    needed_roots,
    stopping_findings,
    surplus_roots,
    unbarred,
)  # fmt: skip
from vmscert.facts import facts
from vmscert.files import with_sums
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.site.order import by_host, switch_off, turns
from vmscert.site.site import PFX, THIRD_PARTY, Host, in_order
from vmscert.windows.folder import LOOK, Load, made_at, pack
from vmscert.windows.rollout import roll_out_files


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
        if phase == "request":
            wanted = {name for name in wanted if job.site[name].enrolment != PFX}
        elif phase in ("import", "encrypt"):
            wanted &= set(state.current)  # a server whose certificate is still to come can wait
        chosen = [host for host in in_order(job.site) if host.name in wanted]
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
        # What stands there already is not told again by the next run.
        noted = {(e.host, e.command): e.folder for e in state.entries if e.action == "hand over"}
        job.records.note_all(
            Entry(iso(job.at), job.number, "hand over", one.host, command=one.command,
                  folder=one.folder, note=f"{one.command}: {one.folder}")
            for one in errands
            if noted.get((one.host, one.command)) != one.folder
        )  # fmt: skip
    return errands


def _refuse_strangers(job: Job, names: Iterable[str]) -> None:
    if strangers := [name for name in names if name not in job.site]:
        raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")


def _commands(
    state: State, phase: str, hosts: Collection[str], every: bool
) -> Iterator[tuple[str, str]]:
    """Yield (computer, what to run there); encryption turn by turn, as the plan has it."""
    if phase != "encrypt":
        yield from ((name, PHASES[phase].command_at(state.site[name])) for name in hosts)
        return
    left, number, planned = missing_groups(state), Counter(), turns(state.site)
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
    return [
        Load(
            host=host,
            site=state.site.name,
            made=state.at,
            roots=roots.get(host.name, ()),
            old_roots=surplus.get(host.name, ()),
            barred=barred.get(host.name, ()),
            asks=asks and host.enrolment != PFX,
            clock_source=clock.fqdn if clock and clock.name != host.name else "",
            switch_on=tuple(tuple(g for one in turn for g in one.groups) for turn in on[host.name]),
            switch_off=tuple(g for turn in off[host.name] for one in turn for g in one.groups),
            **({} if asks else _with_certificate(state, host)),
        )
        for host in hosts
    ]


def _with_certificate(state: State, host: Host) -> dict[str, Any]:
    """What a load has of a server's certificate, and of what belongs to that."""
    name, pfx, keys = host.name, state.pfx, state.keys
    if name not in state.current or not host.certified:
        return {}
    return {
        "certificate": state.current[name],
        "intermediates": tuple(o for o in state.issuers[name] if o.subject != o.issuer),
        "pfx": pfx[name].read_bytes() if name in pfx and not host.only_pem else b"",
        "key": keys[name].read_bytes() if name in keys and host.pem_files else b"",
        "superseded": state.superseded.get(name, ()),
    }


def roll_out(job: Job) -> str:
    """Prepare the folder that brings the CA to many computers at once; return where it is."""
    job.permit()
    state = job.state()
    needed = {root for roots in needed_roots(state).values() for root in roots}
    also = [state.next_ca] if state.next_ca else []
    old_roots = [one for one in state.former_cas if one not in needed]
    barred = [one for one, _ in state.barred if one not in needed]
    files = roll_out_files(state.signing_ca, job.site, job.at, also, old_roots, barred)
    return job.records.roll_out(files, job.at).relative_to(job.records.folder).as_posix()


def _is_as_it_should_be(folder: Path, load: Load) -> bool:
    """Whether a folder holds what it should; what somebody put beside that does not matter."""
    try:
        script = folder / (LOOK if load.host.only_pem else "install.ps1")
        files = with_sums(pack(replace(load, made=made_at(script.read_bytes()))))
        return all((folder / name).read_bytes() == data for name, data in files.items())
    except (OSError, ValueError, KeyError):  # cut short, or changed by hand
        return False


# What the ledger says of a computer, and how far that brings it.
REPORTED, NOT_JUDGED = "reported back", "not judged"
_STATES = {"hand over": "to do", "carried": "carried", "brought back": REPORTED,
           "simulated": REPORTED}  # fmt: skip
STATES = ("no folder yet", "to do", "carried", REPORTED, NOT_JUDGED, "verified")
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


def board(job: Job, state: State | None = None) -> list[Standing]:
    """Return every computer that somebody goes to for the runbooks so far, the next ones first."""
    state = state or job.state()
    so_far = [row for row in facts("change/runbooks") if row["runbook"] <= job.number]
    walked = {row["runbook"]: row["phase"] for row in so_far if row["phase"]}
    lacking = {  # computer → the first phase that it still needs, and what it lacks for that
        name: (phase, what)
        for phase in reversed(walked.values())
        for name, what in PHASES[phase].lacking(state).items()
        if _WALKED[phase](state.site[name])
    }
    wrong = {name: bad for no in walked for name, bad in stopping_findings(state, no).items()}
    later = missing_retirement(state) if any(row["ends"] for row in so_far) else {}
    visits, found = defaultdict(list), []  # what the ledger says of each computer, oldest first
    for entry in state.entries:
        if entry.action in _STATES:
            visits[entry.host].append(entry)
    for host in job.site.clients:
        name = host.name
        if not any(_WALKED[phase](host) for phase in walked.values()):
            continue
        if name in lacking:
            told = _under_way(state, host, *lacking[name], visits[name])
        elif name in wrong:
            why = "; ".join(dict.fromkeys(one.detail for one in wrong[name]))
            todo = " ".join(dict.fromkeys(one.rule.remedy_text for one in wrong[name]))
            told = (REPORTED, why, todo)
        else:
            told = _done(state, host, later.get(name, ""))
        found.append(Standing(name, host.owner, *told))
    return sorted(found, key=lambda one: (STATES.index(one.state), one.who))


def mark_carried(job: Job, hosts: Iterable[str]) -> None:
    """Note that somebody has taken their folders to these computers."""
    chosen = list(hosts)
    _refuse_strangers(job, chosen)
    job.records.note_all(Entry(iso(job.at), job.number, "carried", name) for name in chosen)


def _done(state: State, host: Host, later: str) -> tuple[str, str, str]:
    stores = state.inventories.get(host.name)
    then = f"{later}. In a week: {PHASES['retire'].command_at(host)}" if later else ""
    if host.pem_files and not (host.only_pem and stores and stores.https):
        return NOT_JUDGED, "", then or f"look there with {LOOK} FOLDER PORT at what they serve"
    return "verified", "", then


def _under_way(
    state: State, host: Host, phase: str, lacks: str, visits: Sequence[Entry]
) -> tuple[str, str, str]:
    """Where a computer stands with the phase that it needs next, what it lacks, what is next."""
    wanted = PHASES[phase].command_at(host)
    orders = [
        number
        for number, entry in enumerate(visits)
        if entry.action == "hand over" and entry.command.partition(" -Turn ")[0] == wanted
    ]
    since = visits[orders[-1] :] if orders else []
    stands = _STATES[since[-1].action] if since else STATES[0]
    return stands, lacks, _next(state, host, stands, since[0].command if since else "")


def _next(state: State, host: Host, stands: str, command: str) -> str:
    if stands == REPORTED and host.name in state.requests:
        asked = f"requests/{host.name}.req"
        return f"send {asked} to its CA" if host.enrolment == THIRD_PARTY else f"sign {asked}"
    folder, stores = state.handed_over.get(host.name), state.inventories.get(host.name)
    if not command or folder is None:
        return "prepare its folder"
    if stands == "to do":
        return f"carry {folder.relative_to(state.folder).as_posix()} there, run {command}"
    if stands == "carried":
        return f"run {command} there, bring {host.name}.json back"
    if stores and stores.log and stores.log[-1].result == "failed":
        return f"step {stores.log[-1].step} failed: {stores.log[-1].detail}"
    return f"run {command} there again"
