"""A change as auditors know it: planned, approved by somebody else, carried out, closed.

    changes/<date>-<runbook>/details/
      plan.json, plan.html, plan.md    what was to be done; the beginning of plan.json's SHA-256 is
                                       what somebody approves
      before.json                      SHA-256 of every file of the site before
      stopped.ipynb, stopped.html      the last run of its notebook that stopped, if one did

On a real site nothing is done before that. Who approved it, and what is done then, are lines of the
ledger that name the change; `close()` copies them, adds the rest, and signs. From approval to close
one run has the change; another one is told which, and goes on with it when that one has ended.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vmscert.certificates.keys import encrypt_key, open_key
from vmscert.changes.job import RECORD_KEY, Job, Stop, Unapproved
from vmscert.files import fitting, read_json, whoami, write_atomic, write_once
from vmscert.names import iso
from vmscert.pages import faces, render
from vmscert.records.clock import behind
from vmscert.records.folder import Records
from vmscert.records.ledger import DRILL, SEALED, Entry
from vmscert.records.sealed import CLOSED_ALREADY, PLAN, PUBLIC, details, is_sealed, public_pem

_SHORT = 12  # hex digits that people type: 48 bits, far more than anybody tries out in a night


def sha256(data: bytes) -> str:
    """Return the SHA-256 of these bytes, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Plan:
    """What one runbook is going to do on one site, and from which state; it knows no time.

    `table` is the SHA-256 of the site's table, `lines` and `ledger` the length of the ledger and
    its last hash: where one of them has changed, this is no longer the plan.
    """

    runbook: str
    site: str
    why: str
    parameters: Mapping[str, Any]
    table: str
    lines: int
    ledger: str
    computers: tuple[Mapping[str, str], ...]
    files: tuple[str, ...]
    untouched: str
    dark: tuple[str, ...]
    back: str
    trigger: str
    deadline: str
    __pydantic_config__: ClassVar = {"extra": "forbid"}  # for read_plan

    @property
    def hash(self) -> str:
        """The beginning of the SHA-256 of plan.json, for people to type."""
        return sha256(self.data())[:_SHORT]

    def data(self) -> bytes:
        """Return the plan as plan.json holds it: the same bytes for the same plan."""
        told = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, default=str)
        return told.encode(errors="replace")

    def markdown(self) -> str:
        """Return the plan as a text for the person who approves it, without empty columns."""
        used = {key for row in self.computers for key, value in row.items() if value}
        rows = [{key: row[key] for key in row if key in used} for row in self.computers]
        return render("plan.md", plan=self, computers=rows)

    __repr__ = _repr_markdown_ = markdown


def read_plan(data: bytes) -> Plan:
    """Return the plan of a plan.json; ValueError names every place that is wrong in another."""
    from pydantic import TypeAdapter

    try:
        return fitting(read_json(data), TypeAdapter(Plan))
    except ValueError as error:
        raise ValueError(f"plan.json: {error}. Restore it from the backup") from None


# What is only seen and noted, whichever runbook is open: it makes no plan of another one void.
OBSERVED = ("brought back", "receive", "carried", "simulated")
BEGUN = ("approve", "go on")  # a change was begun, or gone on with
CLOSED, ABANDONED = "close", "abandoned"
MADE_KEY = "create record key"
# What tells of a change or of a look, and leaves the site as it is: no plan is another one by it.
_FORMAL = (*BEGUN, CLOSED, SEALED, ABANDONED, MADE_KEY, "verified", DRILL)
_NOT_OF_THE_CHANGE = ("changes", "notebooks", "simulated", "drop")
BEFORE = "before.json"
_OLD_APPROVAL = "approval.jsonl"  # what a change had from its approval on that is not in the ledger


@dataclass(frozen=True)
class Change:
    """One change that is being carried out: its plan and its folder."""

    plan: Plan
    folder: Path
    key: Ed25519PrivateKey = field(repr=False)  # signs the record at the end
    looks: bool = False  # it only looks: nobody approved it, and it may change nothing

    def demand(self, job: Job) -> None:
        """Raise Stop when nobody approved the plan, or it is not any more what was approved."""
        if self.looks:
            raise Stop(f"plan {self.plan.hash} only looks, and nobody approved a change: use "
                       f"approve() where something is done")  # fmt: skip
        self.hold(job)
        if reason := void(job, self.plan, begun=True):
            raise Stop(f"{reason}: the approval of plan {self.plan.hash} is void. Run the "
                       f"notebook from its top: it makes a new plan")  # fmt: skip

    def hold(self, job: Job) -> None:
        """Raise Stop unless the change is open, and this run has it still."""
        if is_sealed(self.folder):
            raise Stop(f"{self.folder.name} {CLOSED_ALREADY}")
        if who := job.records.owner(job.number).holder():
            raise _taken(who)


def _taken(who: Mapping[str, Any]) -> Stop:
    """Tell who has a change, whatever has become of the note that says so."""
    names = ("task", "by", "since", "user", "machine", "process")
    task, by, since, user, machine, process = (who.get(name, "unknown") for name in names)
    return Stop(
        f"{task} is carried out by {by} ({user} on {machine}, process {process}) since "
        f"{str(since)[:16].replace('T', ' ')} UTC: wait until it is closed or, if nobody is at "
        f"work there, shut down that notebook's kernel; then run this again"
    )


def plan_under_way(job: Job, parameters: Mapping[str, object]) -> Plan | None:
    """Return the plan of this runbook's open change, if any; Stop if its parameters are others."""
    if job.change is not None:
        return job.change.plan
    with job.records.lock():
        folder, plan = under_way(job) or (None, None)
    if folder and plan and plan.parameters != json.loads(json.dumps(parameters, default=str)):
        told = ", ".join(f"{name.upper()} = {it!r}" for name, it in plan.parameters.items())
        raise Stop(f"{folder.name} has begun with other parameters: {told}. Set them as they were")
    return plan


def keep_plan(job: Job, plan: Plan) -> Plan:
    """Keep a plan for somebody to read, in place of one that nobody has approved."""
    with job.records.lock():
        # One in which nothing is approved yet; a killed run may have left it without a plan.
        folder = waiting(job.records, job.runbook, job.at)
        pages = faces("plan", plan.markdown(), f"Plan {plan.hash}: {plan.runbook}, {plan.site}")
        for name, data in (pages | {PLAN: plan.data()}).items():
            write_atomic(details(folder) / name, data)
    return plan


def waiting(records: Records, runbook: str, at: datetime) -> Path:
    """Return the folder of a runbook's change in which nothing has begun, made if there is none."""
    mine = (one for one in records.changes(runbook) if not _is_begun(records, one))
    return next(mine, None) or records.new_change(runbook, at)


def approve(
    job: Job, plan: Plan, approved: str = "", carried_out_by: str = "", emergency: str = ""
) -> Job:
    """Begin a change, or go on with it, if somebody else has approved just this plan.

    `approved` is the hash of the plan and a name, "3f9a1c7e55d0 Anna Berg". `carried_out_by` is
    you; your user name if empty. `emergency` is a written reason, and then the names may be the
    same. A rehearsal needs no approval. Unapproved in one sentence otherwise.
    """
    me, emergency = carried_out_by.strip() or whoami()["user"], emergency.strip()
    if job.rehearsal:
        return begin(job, plan, me, "nobody: this is a rehearsal")
    page = (details(_folder_of(job, plan)) / "plan.html").relative_to(job.records.folder).as_posix()
    given, _, name = approved.strip().partition(" ")
    name = re.sub(r"^by\b", "", name.strip()).strip()
    if why := _unapproved(plan, f"{job.folder}/{page}", given, name, me, emergency):
        raise Unapproved(why)
    return begin(job, plan, me, name, emergency)


def _unapproved(plan: Plan, page: str, given: str, name: str, me: str, emergency: str) -> str:
    """Why an approval does not count, in a sentence; nothing where it does."""
    if not given:
        return (f"plan {plan.hash} is not approved. Let somebody else read {page}, "
                f"then write APPROVED = '{plan.hash} <name>' into the parameters")  # fmt: skip
    if given.casefold() != plan.hash:
        return (f"{given} was approved, but the plan is {plan.hash} now: the table, the ledger "
                f"or a parameter is another one. Let {page} be read")  # fmt: skip
    if not name:
        return f"APPROVED does not say who approved plan {given}: write '{given} <name>'"
    if emergency and len(emergency.split()) < 3:  # words
        return "EMERGENCY is not a reason: write in a sentence why nobody else could approve"
    # One person may have two names: all words of the shorter stand in the longer.
    words, others = (set(re.findall(r"\w+", one.casefold())) for one in (name, me))
    if not emergency and words and (words <= others or others <= words):
        return (f"{name} both approves and carries out plan {given}. Let somebody else approve, "
                f"or write into EMERGENCY why that can't wait")  # fmt: skip
    return ""


def begin(
    job: Job, plan: Plan, me: str, approved_by: str, emergency: str = "", looks: bool = False
) -> Job:
    """Begin a change that `me` carries out, or go on with it; one that only looks needs no more.

    Stop where another run has it, or the laptop's clock is wrong.
    """
    if reason := behind(job.at, job.past(job.state())):
        raise Stop(reason)
    folder = _folder_of(job, plan)
    begun = replace(job, records=job.records.within(folder.name, job.clock))
    with job.records.lock():
        if is_sealed(folder):
            raise Stop(f"{folder.name} {CLOSED_ALREADY}")
        again = _is_begun(job.records, folder)
        if reason := void(job, plan, begun=again):
            raise Stop(f"{reason}: run the notebook from its top, it makes a new plan")
        if who := job.records.owner(job.number).take(folder.name, by=me, since=iso(job.at)):
            raise _taken(who)
        key = record_key(begun) if again else None
        if not again:
            before = json.dumps(snapshot(job.records), indent=1)
            write_atomic(details(folder) / BEFORE, before.encode())
        # From this line on the change has begun, also for a run after one that was killed.
        about = f"plan {plan.hash}, approved by {approved_by}, carried out by {me}"
        about += f"; emergency: {emergency}" if emergency else ""
        names = {"approved_by": approved_by, "carried_out_by": me, "emergency": emergency}
        told = {"note": about, "digest": sha256(plan.data()), **names}
        begun.records.note(job.number, BEGUN[again], at=job.at, **told)
        return replace(begun, change=Change(plan, folder, key or record_key(begun), looks))


def _folder_of(job: Job, plan: Plan) -> Path:
    if job.change is not None and job.change.plan == plan:
        return job.change.folder
    for folder in job.records.changes(job.runbook):
        path = details(folder) / PLAN
        if not is_sealed(folder) and path.exists() and path.read_bytes() == plan.data():
            return folder
    raise Stop(f"plan {plan.hash} is not kept any more: run the cell that makes it")


def snapshot(records: Records) -> dict[str, str]:
    """Return path → SHA-256 of every file of a site's folder, but for what changes by itself."""
    paths = {path.relative_to(records.folder): path for path in sorted(records.folder.rglob("*"))}
    return {
        name.as_posix(): sha256(path.read_bytes())
        for name, path in paths.items()
        if is_of_site(name.parts[0]) and path.is_file()
    }


def is_of_site(part: str) -> bool:
    """Tell whether a change may answer for what has this name in a site's folder."""
    return part not in _NOT_OF_THE_CHANGE and not part.startswith((".lock", "ledger.", ".ledger."))


def steps(records: Records, folder: Path, plan: Plan) -> list[Entry]:
    """Return the lines of the ledger that belong to a change; old ones name but its runbook."""
    since, number = records.ledger.entries()[plan.lines :], plan.runbook[:2]
    return [e for e in since if e.change == folder.name or (not e.change and e.runbook == number)]


def progress(job: Job) -> list[dict[str, str]]:
    """Tell for each computer of the plan how far it is, and what was done last anywhere."""
    plan, told = job.change.plan, steps(job.records, job.change.folder, job.change.plan)
    last = {one.host: f"{one.time} {one.action}: {one.note}".strip() for one in told}
    return [
        {name: row[name] for name in ("computer", "to do")}
        | {"so far": last.get(row["computer"], "nothing yet")}
        for row in plan.computers
    ]


def void(job: Job, plan: Plan, begun: bool) -> str:
    """Tell why a plan is not any more what it was made from, or nothing."""
    table = job.table or job.records.table
    if not table.exists() or sha256(table.read_bytes()) != plan.table:
        return f"{table.name} has changed since the plan was made"
    if job.records.ledger.head(plan.lines) != (plan.lines, plan.ledger):
        return "the ledger is not the one from which the plan was made"
    for one in job.records.ledger.entries()[plan.lines :]:
        other = one.runbook != job.number or not begun
        if other and one.action not in (*_FORMAL, *(OBSERVED if begun else ())):
            told = f"{one.action} (runbook {one.runbook})"
            return f"the ledger has gone on since the plan was made: {told}"
    return ""


def under_way(job: Job) -> tuple[Path, Plan] | None:
    """The change of this runbook that has begun and is not closed; one that is void is left."""
    for folder in reversed(job.records.changes(job.runbook)):
        if not is_sealed(folder) and _is_begun(job.records, folder):
            plan = read_plan((details(folder) / PLAN).read_bytes())
            if any(one.action == ABANDONED for one in steps(job.records, folder, plan)):
                continue
            if not (reason := void(job, plan, begun=True)):
                return folder, plan
            mine, told = job.records.within(folder.name, job.clock), f"{folder.name}: {reason}"
            mine.note(job.number, ABANDONED, at=job.at, note=told)
    return None


def _is_begun(records: Records, folder: Path) -> bool:
    begun = {one.change for one in records.ledger.entries() if one.action in BEGUN}
    return folder.name in begun or (folder / _OLD_APPROVAL).exists()


def record_key(job: Job) -> Ed25519PrivateKey:
    """Return this site's record key, made and noted in the ledger when first needed."""
    path = job.records.folder / RECORD_KEY
    there = path.exists()
    opens = partial(open_record_key, job.records) if there else None
    password = job.secret("RECORD", new=not there, opens=opens)
    with job.records.lock():
        if not path.exists():
            _make_key(job.records, job.number, password, job.at)
    return open_record_key(job.records, password)


def _make_key(records: Records, runbook: str, password: str, at: datetime, why: str = "") -> None:
    key, path = Ed25519PrivateKey.generate(), records.folder / RECORD_KEY
    encrypted, digest = encrypt_key(key, password), sha256(public_pem(key))
    told = f"SHA-256 {digest}" + (f", in place of one that was lost: {why}" if why else "")
    records.note(runbook, MADE_KEY, at=at, note=told, digest=digest)
    write_atomic(path.with_name(PUBLIC), public_pem(key))
    write_once(path, encrypted)


def replace_record_key(records: Records, password: str, why: str, at: datetime) -> Path:
    """Make another record key, as nobody opens the one before; return where that was moved to.

    What is signed stays proven by its own record.pem.
    """
    aside = records.folder / "former" / f"record-{at:%Y%m%d-%H%M%S}"
    with records.lock():
        aside.mkdir(parents=True)
        for path in (records.folder / RECORD_KEY, records.folder / PUBLIC):
            if path.exists():
                path.rename(aside / path.name)
        _make_key(records, "", password, at, why)
    return aside


def open_record_key(records: Records, password: str) -> Ed25519PrivateKey:
    """Open the record key; ValueError in one sentence where it does not open."""
    path = records.folder / RECORD_KEY
    try:
        key = open_key(path.read_bytes(), password)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is not a key that signs records: restore it from the backup")
    return key
