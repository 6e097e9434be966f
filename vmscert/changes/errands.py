"""What goes to which computer, in which folder, and how far it is: the stretch that people walk."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509

from vmscert.changes.job import Job
from vmscert.checks.lacks import (
    PHASES,
    missing_retirement,
    needed_roots,
    of_public_ca,
    roots_of,
    still_needed,
    stopping_findings,
    surplus_roots,
    unbarred,
)  # fmt: skip
from vmscert.facts import facts
from vmscert.files import with_sums
from vmscert.findings import Finding
from vmscert.names import iso
from vmscert.records.ledger import SWITCH_OFF, SWITCH_ON, Entry
from vmscert.records.sealed import SUMS
from vmscert.records.state import State
from vmscert.site.order import Step, by_host, turns
from vmscert.site.site import PFX, THIRD_PARTY, Host, in_order, named
from vmscert.windows.folder import LOOK, Load, made_at, pack
from vmscert.windows.rollout import roll_out_files
from vmscert.windows.stores import LogLine


@dataclass(frozen=True)
class Errand:
    """One visit to one computer: who goes, with which folder, to run what, how it ended."""

    host: str
    owner: str
    folder: str
    command: str
    result: str


def hand_over(job: Job, phase: str, hosts: Iterable[str] | None = None) -> list[Errand]:
    """Prepare the folders for a phase of `PHASES`; return errands.

    For the computers that still need this, or for those named, in the order in which encryption
    may be switched on, or off; only servers that make their own keys are asked for requests, and
    ValueError says for whose sake a computer has to keep its certificate and CA. A folder that
    is as it should be stays; else there will be a new one, and the old one is left alone.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        wanted = set(PHASES[phase].needed(state) if hosts is None else hosts)
        _refuse_strangers(job, sorted(wanted))
        if phase == "remove":
            needed = still_needed(state)
            for name in needed.keys() & wanted:
                raise ValueError(
                    f"{name} keeps certificate and CA, for the sake of {', '.join(needed[name])}: "
                    f"encrypted with a certificate of this site, or nobody knows. "
                    f"{PHASES['off'].command} goes first there; bring the inventories back"
                )
        if phase == "request":
            wanted = {name for name in wanted if job.site[name].enrolment != PFX}
        elif phase in ("import", "encrypt", "off"):
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
        off, told = phase in ("off", "remove"), {one.command for one in state.switched_off}
        if (errands and off and PHASES[phase].command not in told) or (phase == "encrypt" and told):
            what = SWITCH_OFF if off else SWITCH_ON  # of the whole site, also of who was never on
            job.records.note(job.number, what, at=job.at, command=PHASES[phase].command)
            noted = {}
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
    if phase not in ("encrypt", "off"):
        yield from ((name, PHASES[phase].command_at(state.site[name])) for name in hosts)
        return
    left = PHASES[phase].lacking(state)
    for steps in turns(state.site, on=phase == "encrypt"):
        name, groups = steps[0].host, {group for step in steps for group in step.groups}
        if name in hosts and (every or groups & set(left.get(name, "").split(", "))):
            yield name, PHASES[phase].command + steps[0].option


def loads(state: State, hosts: Iterable[Host], asks: bool = False) -> list[Load]:
    """Return what is to be carried to each of these computers now, and nothing that it can spare.

    With `asks` a server that makes its own key is to ask for a new certificate.
    """
    roots, surplus, barred = needed_roots(state), surplus_roots(state), unbarred(state)
    on, off = by_host(turns(state.site)), by_host(turns(state.site, on=False))
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
            switch_on=_groups(on[host.name]),
            switch_off=_groups(off[host.name]),
            **({} if asks else _with_certificate(state, host)),
        )
        for host in hosts
    ]


def _groups(visits: Iterable[Sequence[Step]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(group for one in turn for group in one.groups) for turn in visits)


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
    return job.records.roll_out(rolled_out(state), job.at).relative_to(state.folder).as_posix()


def rolled_out(state: State) -> dict[str, bytes]:
    """Return file name → content of that folder, as the state has it.

    Phones trust a public CA by themselves; what signs a certificate that is still to come, nobody
    can tell.
    """
    also, going = [state.next_ca] if state.next_ca else [], state.former_cas
    needed, without = needed_roots(state), dict[str, str]()
    every = {root for roots in needed.values() for root in roots}
    phones = dict[x509.Certificate, None]()
    for host in (one for one in state.site.servers if one.meets_phones):
        newest = state.current.get(host.name)
        if newest and of_public_ca(newest):
            without[host.name] = "its certificate says that a public CA signed it"
        elif roots := dict.fromkeys(roots_of(state, host)):
            phones |= roots
        else:
            without[host.name] = "its certificate is still to come; make this folder again then"
    return roll_out_files(
        state.signing_ca, state.site, state.at, also,
        old_roots=[one for one in going if one not in every],
        barred=[one for one, _ in state.barred if one not in every],
        # One that goes is brought to nobody, whether it is still needed or not.
        needed={name: [o for o in roots if o not in going] for name, roots in needed.items()},
        phones=[one for one in phones if one not in going], without=without.items(),
    )  # fmt: skip


def _is_as_it_should_be(folder: Path, load: Load) -> bool:
    """Whether a folder holds what it should; what somebody put beside that does not matter."""
    try:
        script = folder / (LOOK if load.host.only_pem else "install.ps1")
        files = with_sums(pack(replace(load, made=made_at(script.read_bytes()))))
        return all((folder / name).read_bytes() == data for name, data in files.items())
    except (OSError, ValueError, KeyError):  # cut short, or changed by hand
        return False


# What the ledger says of a computer, and how far that brings it.
NO_FOLDER, TO_DO, CARRIED, REPORTED = "no folder yet", "to do", "carried", "reported back"
NOT_JUDGED = "not judged"
_STATES = {"refuse": NO_FOLDER, "hand over": TO_DO, "carried": CARRIED, "brought back": REPORTED,
           "simulated": REPORTED}  # fmt: skip
STATES = (NO_FOLDER, TO_DO, CARRIED, REPORTED, NOT_JUDGED, "switched off", "verified")
SETTLED = STATES[-3:]  # nothing is left to do there, or nothing that could be seen from here
_PHONES = "look on it: the roll-out's page for phones brings the CA there, live video is the proof"
(_ENCRYPT,) = (row for row in facts("change/runbooks") if row["phase"] == "encrypt")
# The phase that people walk for → for which computers.
_WALKED: dict[str, Callable[[Host], bool]] = {
    "request": lambda host: host.certified and host.enrolment != PFX,
    "trust": lambda host: not host.certified,
    "import": lambda host: host.certified,
    "encrypt": lambda host: bool(host.ports),
    "off": lambda host: bool(host.ports),
    "remove": lambda host: not host.only_pem,
    "retire": lambda host: True,
}


@dataclass(frozen=True)
class ToDo:
    """What is still to be done at one computer for one phase, and how far that is."""

    host: Host
    command: str
    lacks: str
    state: str  # of STATES
    folder: str = ""  # that has what is run there; nothing where it is to be made
    there: bool = False  # whether it was carried there before
    since: str = ""  # when the state became so
    failed: LogLine | None = None  # the step on which it stopped
    asked: bool = False  # its request is here, and waits for an answer

    @property
    def next(self) -> str:
        """What somebody has to do, in a few words."""
        name = self.host.name
        if self.asked:
            asked, other = f"requests/{name}.req", self.host.enrolment == THIRD_PARTY
            waits = f"{named(self.host.issued_names)}: it waits since {self.since[:10]}"
            return f"send {asked} to its CA, for {waits}" if other else f"sign {asked}"
        if self.failed:
            return f"step {self.failed.step} failed: {self.failed.detail}"
        return {
            NO_FOLDER: "prepare its folder",
            TO_DO: f"carry {self.folder} there, run {self.command}",
            CARRIED: f"run {self.command} there, bring {name}.json back",
            REPORTED: f"run {self.command} there again",
        }[self.state]


def visits(state: State, phase: str) -> list[ToDo]:
    """Return the visits that a phase still needs, in the order of the plan."""
    lacking, told = PHASES[phase].lacking(state), defaultdict(list)
    for entry in state.entries:  # of each computer, oldest first
        if entry.action in _STATES:
            told[entry.host].append(entry)
    ordered = (host for host in in_order(state.site) if _WALKED[phase](host))
    wanted = [host.name for host in ordered if host.name in lacking]
    found = []
    for name, command in _commands(state, phase, wanted, False):
        host, mine = state.site[name], told[name]
        one = _visit(state, host, command, lacking[name], mine)
        if phase == "request" and name in state.requests:
            since = iso(state.asked_since.get(name, state.at))
            one = ToDo(host, command, lacking[name], REPORTED, since=since, asked=True)
        found.append(one)
    return found


def _visit(state: State, host: Host, command: str, lacks: str, told: Sequence[Entry]) -> ToDo:
    """How far a visit is, as the ledger tells it of this computer."""
    orders = [n for n, e in enumerate(told) if (e.action, e.command) == ("hand over", command)]
    since = told[orders[-1] :] if orders else []
    stands = _STATES[since[-1].action] if since else NO_FOLDER
    held = state.inventories.get(host.name)
    log = held.log if held and stands == REPORTED else ()
    failed = log[-1] if log and log[-1].result == "failed" else None
    if stands == REPORTED and not failed and _untried(command, log):
        stands = TO_DO  # what came back tells of another visit
    folder = since[0].folder if since else ""
    newest = state.handed_over.get(host.name)
    if stands != CARRIED and not (newest and _is_whole(newest, state.folder / folder, command)):
        return ToDo(host, command, lacks, NO_FOLDER)
    first = next((n for n, e in enumerate(told) if folder and e.folder == folder), 0)
    there = any(entry.action in ("carried", "brought back") for entry in told[first:])
    return ToDo(host, command, lacks, stands, folder, there, since[-1].time, failed)


def _untried(command: str, log: Sequence[LogLine]) -> bool:
    """Whether a visit to a computer that has several is not in the log of its folder yet."""
    phase = command.partition(" -Phase ")[2].split()[:1]
    own = {row["step"] for row in facts("windows/steps") if [row["phase"]] == phase}
    return bool(phase) and sum(line.step in own for line in log) < turn_of(command)


def turn_of(command: str) -> int:
    """Return which of a computer's visits to switch encryption on this is; 1 of a single one."""
    return int(command.partition(" -Turn ")[2] or 1)


def _is_whole(newest: Path, folder: Path, command: str) -> bool:
    """Whether the newest folder is this one, and has all its files, what is run among them."""
    try:
        names = (newest / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    files = [line.partition("  ")[2] for line in names]
    there = all((newest / name).exists() for name in files)
    return newest == folder and command.split()[0] in files and there


@dataclass(frozen=True)
class Standing:
    """Where one computer stands, what it still lacks, and who has to do what there next."""

    computer: str
    who: str
    state: str  # one of STATES
    lacks: str
    next: str


def board(job: Job, state: State | None = None) -> list[Standing]:
    """Return every computer that somebody goes to for the runbooks so far, in the plan's order.

    What is left to do stands first, as the runbooks and the turns of encryption follow each other.
    """
    state = state or job.state()
    so_far = [row for row in facts("change/runbooks") if row["runbook"] <= job.number]
    walked = {row["runbook"]: row["phase"] for row in so_far if row["phase"]}
    if off := {one.command for one in state.switched_off}:  # on purpose: that is no failure
        walked = {p: p for p in ("off", "remove") if PHASES[p].command in off}
    left: dict[str, ToDo] = {}  # computer → its first visit
    for phase in walked.values():
        for visit in visits(state, phase):
            left.setdefault(visit.host.name, visit)
    judged = () if off else walked
    wrong = {name: bad for no in judged for name, bad in stopping_findings(state, no).items()}
    later = missing_retirement(state) if any(row["ends"] for row in so_far) else {}
    order, found = [*left, *wrong], {}
    for host in job.site.clients:
        if not any(_WALKED[phase](host) for phase in walked.values()):
            continue
        name = host.name
        if name in left:
            told = (left[name].state, left[name].lacks, left[name].next)
        elif name in wrong:
            told = (REPORTED, *repairs(wrong[name]))
        else:
            told = _done(state, host, later.get(name, ""))
        found[name] = Standing(name, host.owner, *told)
    if any(row["phase"] == "trust" for row in so_far):
        phones = (Standing(p.name, p.owner, NOT_JUDGED, "", _PHONES) for p in job.site.phones)
        found |= {one.computer: one for one in phones}
    return [found[name] for name in dict.fromkeys((*order, *found)) if name in found]


def repairs(found: Iterable[Finding]) -> tuple[str, str]:
    """Return what is wrong with a computer, and what to do about that, each once."""
    told = [(one.detail, one.rule.remedy_text) for one in found]
    why, todo = (dict.fromkeys(words) for words in zip(*told, strict=True))
    return "; ".join(why), " ".join(todo)


def mark_carried(job: Job, hosts: Iterable[str]) -> None:
    """Note that somebody has taken their folders to these computers."""
    chosen = list(hosts)
    _refuse_strangers(job, chosen)
    job.records.note_all(Entry(iso(job.at), job.number, "carried", name) for name in chosen)


def _done(state: State, host: Host, later: str) -> tuple[str, str, str]:
    stores = state.inventories.get(host.name)
    if state.switched_off:
        since = f"encryption: switched off on purpose, {state.switched_off[0].day}"
        return "switched off", since, f"{_ENCRYPT['name']} switches it on again"
    then = f"{later}. In a week: {PHASES['retire'].command_at(host)}" if later else ""
    if host.pem_files and not (host.only_pem and stores and stores.https):
        return NOT_JUDGED, "", then or f"look there with {LOOK} FOLDER PORT at what they serve"
    return "verified", "", then
