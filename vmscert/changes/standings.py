"""Where each computer stands: to do, carried, reported back, verified; and what is next."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vmscert.changes.job import Job
from vmscert.checks.lacks import PHASES, missing_retirement, stopping_findings
from vmscert.findings import Finding
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.site.site import PFX, THIRD_PARTY, Host
from vmscert.windows.pemfiles import LOOK
from vmscert.windows.stores import Stores

# What the ledger says of a computer, and how far that brings it.
_STATES = {"hand over": "to do", "carried": "carried", "brought back": "reported back",
           "simulated": "reported back"}  # fmt: skip
NOT_JUDGED = "not judged"
STATES = ("no folder yet", "to do", "carried", "reported back", NOT_JUDGED, "verified")
SETTLED = STATES[-2:]  # nothing is left to do there, or nothing that could be seen from here
# Runbook → the phase that people walk for, in their order, and for which computers.
_WALKED: dict[str, tuple[str, Callable[[Host], bool]]] = {
    "12": ("request", lambda host: host.certified and host.enrolment != PFX),
    "13": ("trust", lambda host: not host.certified),
    "14": ("import", lambda host: host.certified),
    "15": ("encrypt", lambda host: bool(host.ports)),
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
    lacking, visits = _lacking(state, job.number), _visits(state)
    wrong = _stopping(state, job.number, lacking)
    later = missing_retirement(state) if job.number >= "17" else {}
    found = []
    for host in job.site.clients:
        if any(is_for(host) for number, (_, is_for) in _WALKED.items() if number <= job.number):
            phase, lacks = lacking.get(host.name, ("", ""))
            if host.name in wrong:
                found.append(_wrong(host, wrong[host.name]))
            elif phase:
                found.append(_standing(state, host, phase, lacks, visits[host.name]))
            else:
                held = state.inventories.get(host.name)
                found.append(_done(host, later.get(host.name, ""), held))
    return sorted(found, key=lambda one: (STATES.index(one.state), one.who))


def mark_carried(job: Job, hosts: Iterable[str]) -> None:
    """Note that somebody has taken their folders to these computers."""
    chosen = list(hosts)
    if strangers := [name for name in chosen if name not in job.site]:
        raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")
    job.records.note_all(Entry(iso(job.at), job.number, "carried", name) for name in chosen)


def _lacking(state: State, runbook: str) -> dict[str, tuple[str, str]]:
    """Computer → the first phase that it still needs, and what it lacks for that."""
    found: dict[str, tuple[str, str]] = {}
    for number, (phase, is_for) in _WALKED.items():
        if number <= runbook:
            for name, what in PHASES[phase].lacking(state).items():
                if is_for(state.site[name]):
                    found.setdefault(name, (phase, what))
    return found


def _stopping(
    state: State, runbook: str, lacking: Mapping[str, tuple[str, str]]
) -> dict[str, list[Finding]]:
    """Computer that lacks nothing → what is wrong there all the same."""
    return {
        name: found
        for number in _WALKED
        if number <= runbook
        for name, found in stopping_findings(state, number).items()
        if name not in lacking
    }


def _wrong(host: Host, found: list[Finding]) -> Standing:
    told = "; ".join(dict.fromkeys(one.detail for one in found))
    todo = " ".join(dict.fromkeys(one.rule.remedy_text for one in found))
    return Standing(host.name, host.owner, STATES[3], told, todo)


def _done(host: Host, later: str, stores: Stores | None) -> Standing:
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


def _visits(state: State) -> dict[str, list[Entry]]:
    """Computer → what the ledger says of visits to it, oldest first."""
    found = defaultdict(list)
    for entry in state.entries:
        if entry.action in _STATES:
            found[entry.host].append(entry)
    return found


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
    return _again(command, state.inventories.get(host.name))


def _again(command: str, stores: Stores | None) -> str:
    """What to do where somebody was, and something is still missing."""
    last = stores.log[-1] if stores and stores.log else None
    if last is not None and last.result == "failed":
        return f"step {last.step} failed: {last.detail}"
    return f"run {command} there again"
