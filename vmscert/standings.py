"""Where each computer stands: to do, carried, reported back, verified; and what is next."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vmscert.job import Job
from vmscert.ledger import Entry, iso
from vmscert.missing import MISSING
from vmscert.site import CSR, PFX, Host
from vmscert.windows import Stores

# What the ledger says of a computer, and how far that brings it.
_STATES = {"hand over": "to do", "carried": "carried", "brought back": "reported back",
           "simulated": "reported back"}  # fmt: skip
STATES = ("no folder yet", "to do", "carried", "reported back", "verified")
# The runbooks whose work people carry to computers, and to which of them.
_WALKED: dict[str, Callable[[Host], bool]] = {
    "12": lambda host: bool(host.ports) and host.enrolment != PFX,
    "13": lambda host: not host.ports,
    "14": lambda host: bool(host.ports),
    "15": lambda host: bool(host.ports),
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
    lacking, stores = _lacking(job), job.records.inventories()
    visits: dict[str, list[Entry]] = defaultdict(list)
    for entry in job.records.ledger.entries():
        if entry.action in _STATES:
            visits[entry.host].append(entry)
    found = [
        _standing(job, host, lacking.get(host.name, ""), visits[host.name], stores.get(host.name))
        for host in job.site.clients
        if any(is_for(host) for number, is_for in _WALKED.items() if number <= job.number)
    ]
    return sorted(found, key=lambda one: (STATES.index(one.state), one.who))


def mark_carried(job: Job, hosts: Iterable[str]) -> None:
    """Note that somebody has taken their folders to these computers."""
    known = {host.name for host in job.site}
    chosen = list(hosts)
    if strangers := [name for name in chosen if name not in known]:
        raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")
    job.records.note_all(Entry(iso(job.at), job.number, "carried", name) for name in chosen)


def _lacking(job: Job) -> dict[str, str]:
    """Computer → what it lacks for all that was walked for so far, this runbook included."""
    found: dict[str, str] = {}
    for number, is_for in _WALKED.items():
        if number <= job.number:
            for name, what in MISSING[number](job).items():
                if is_for(job.site[name]):
                    found.setdefault(name, what)
    return found


def _standing(
    job: Job, host: Host, lacks: str, visits: list[Entry], stores: Stores | None
) -> Standing:
    state = _STATES[visits[-1].action] if visits else STATES[0]
    if not lacks:
        state = "verified"
    return Standing(host.name, host.owner, state, lacks, _next(job, host, state, visits, stores))


def _next(job: Job, host: Host, state: str, visits: list[Entry], stores: Stores | None) -> str:
    if state == "verified":
        return ""
    folder = job.records.handed_over(host.name)
    if not visits or folder is None:
        return "prepare its folder"
    if state == "reported back" and job.records.request(host.name) is not None:
        asked = f"requests/{host.name}.req"
        return f"sign {asked}" if host.enrolment == CSR else f"send {asked} to its CA"
    place = folder.relative_to(job.records.folder).as_posix()
    ordered = [one for one in visits if one.action == "hand over"]
    command = ordered[-1].note.partition(": ")[0] if ordered else "install.ps1"
    if state == "to do":
        return f"carry {place} there, run {command}"
    if state == "carried":
        return f"run {command} there, bring {host.name}.json back"
    return _again(command, stores)


def _again(command: str, stores: Stores | None) -> str:
    """What to do where somebody was, and something is still missing."""
    last = stores.log[-1] if stores and stores.log else None
    if last is not None and last.result == "failed":
        return f"step {last.step} failed: {last.detail}"
    return f"run {command} there again"
