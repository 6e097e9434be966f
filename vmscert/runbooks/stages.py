"""The runbooks: each is one row of `data/change/runbooks.csv` and one class of this folder.

The row says what people read and who comes before whom; the class (column `code`), what is looked
at, planned, done and proven. What all of them do stands here.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from vmscert.changes.change import Plan, approve, keep_plan, plan_under_way, progress, under_way
from vmscert.changes.errands import Errand, hand_over
from vmscert.changes.execute import close_change, example, parameters
from vmscert.changes.job import EXAMPLE, Job, Stop, folder_of, forget
from vmscert.changes.next import next_steps, told
from vmscert.changes.rehearsal import walk
from vmscert.checks.lacks import MISSING, PHASES, lacks, missing_encryption
from vmscert.facts import facts, newest_file
from vmscert.findings import Check, Finding
from vmscert.pictures.site_map import site_map
from vmscert.records.clock import behind, long_ago
from vmscert.records.folder import Records
from vmscert.records.state import State
from vmscert.runbooks.handbook import write_handbook
from vmscert.site.order import switch_on
from vmscert.site.site import named
from vmscert.site.table import find_table, read_site
from vmscert.windows.stores import UNKNOWN, Stores

RUNBOOKS = {row["runbook"]: row for row in facts("change/runbooks")}
# Those that leave a state behind, which the later ones wait for.
STAGES = {number: row for number, row in RUNBOOKS.items() if row["achieved"]}

Parts = Iterator[object]  # what a call tells, one part after the other
Deeds = Iterable[tuple[Mapping[str, str], str]]  # computer → why, and what is to be done there


def open_job(
    runbook: str, site: str | Path, folder: str | Path = "", at: datetime | None = None
) -> Job:
    """Open a run of a runbook for a site's table and the folder of its records.

    Relative paths count from here, then from the kit's own folder. The teaching site is always a
    rehearsal; what comes before this runbook is carried out on it, so that any can be first.
    """
    forget()
    path = find_table(site)
    described = read_site(path)
    records = Records(folder or folder_of(runbook, path))
    if path.resolve() == EXAMPLE.resolve():
        records.begin_rehearsal()
    # To the second: certificates and the ledger know no finer time.
    now = (at or datetime.now(UTC)).replace(microsecond=0)
    clock = (lambda: at) if at else lambda: datetime.now(UTC)
    kit = None if at else datetime.fromtimestamp(newest_file(), UTC)
    job = Job(runbook, described, records, now, path, clock, kit)
    if path.resolve() != records.table.resolve():
        records.save_table(path.read_bytes())
    if job.rehearsal and not under_way(job):
        for number, row in STAGES.items():
            if number < job.number and MISSING[number](job.state()):
                runbook_of(replace(job, runbook=row["name"])).rehearse()
    return job


def runbook_of(job: Job) -> "Runbook":
    """Return the runbook of a job, as its class has it."""
    module, name = RUNBOOKS[job.number]["code"].split(".")
    return getattr(import_module(f"vmscert.runbooks.{module}"), name)(job)


def unbroken(state: State) -> Check:
    """Return the check that nobody changed the ledger by hand."""
    return Check("the ledger is unbroken", not state.problems, "; ".join(state.problems))


def clock_checks(job: Job, state: State) -> list[Check]:
    """Return the check that this laptop's clock may be right, and what a person must judge."""
    found = job.past(state)
    wrong, odd = behind(job.at, found), long_ago(job.at, found)
    told = f"this laptop's clock says {job.at:%Y-%m-%d %H:%M} UTC"
    return [Check(f"{told}; {odd}: look whether it is right" if odd else told, not wrong, wrong)]


def _stage_check(number: str, state: State, todo: str) -> Check:
    missing, off = lacks(state, number), state.switched_off
    if off and STAGES[number]["phase"] == "encrypt":
        todo = f"Encryption was switched off on purpose, {off[0].day}. {todo}"
    named = "; ".join(f"{host}: {what}" for host, what in list(missing.items())[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    achieved = STAGES[number]["achieved"]
    return Check(achieved, not missing, f"{named}{more}. {todo}" if missing else "")


def _used(held: Stores) -> list[str]:
    """What a computer's certificate groups use, as far as they say it."""
    labels = sorted({*held.bindings.values()} - {UNKNOWN})
    silent = [group for group, label in held.bindings.items() if label == UNKNOWN]
    return [*labels, *(f"{group} does not say" for group in silent)]


@dataclass(frozen=True)
class Rows:
    """Rows for people to read, or what is said where there is none."""

    rows: Sequence[Any]
    empty: str = "Nothing."
    columns: Sequence[str] | None = None


@dataclass(frozen=True)
class Checks:
    """What must hold: where one does not, the runbook stops."""

    checks: Sequence[Check]


@dataclass(frozen=True)
class Findings:
    """What is wrong, as far as anybody can see."""

    findings: Sequence[Finding]


@dataclass
class Runbook:
    """One runbook that is open.

    Each method that a cell calls yields what is to be seen, one part after the other: Checks, Rows,
    Findings, a sentence, a picture. It has done its work when all parts were taken.
    """

    job: Job
    parameters: dict[str, Any] = field(default_factory=dict)  # those of the plan
    begun_with: Plan | None = None
    issues = False  # whether it makes certificates
    switches = False  # whether encryption is switched on, or to another certificate

    def precheck(self) -> Parts:
        """What must hold before anything is done: all that the earlier runbooks leave behind."""
        job, state = self.job, self.job.state()
        place = job.folder + (" (a rehearsal)" if job.rehearsal else "")
        about = f"{job.site.name}: {len(job.site)} computers, records in {place}"
        checks = [Check(about, True), *clock_checks(job, state), unbroken(state)]
        if not checks[1].ok:  # by a wrong clock all else looks wrong, too
            yield Checks(checks[:2])
            return
        unawaited = RUNBOOKS[job.number]["not_awaited"].split("|")
        for number, row in STAGES.items():
            if number < job.number and number not in unawaited:
                checks.append(_stage_check(number, state, f"Run {row['name']} first"))
                if not checks[-1].ok:
                    break
        yield Checks(checks)
        yield from self.ready(state)

    def site_map(self) -> Parts:
        """Who talks to whom."""
        yield site_map(self.job.site)

    def said(self, name: str, value: Any) -> Any:
        """A parameter that says something about the world: only a person can, the plan asks for it.

        A rehearsal takes the example's. Stop where nobody has said it.
        """
        asks = parameters(self.job.runbook)[name.upper()]["asks"]
        if not asks or value not in ("", None):
            return value
        if not self.job.rehearsal:
            where = "in the parameters and run from there, or with --set on the command line"
            raise Stop(f"say {asks}: set {name.upper()} {where}")
        return example(self.job.runbook, name.upper())

    def plan(self, **parameters: Any) -> Parts:
        """What is going to happen, kept in `changes/` for somebody else to approve.

        Deeds keep to these parameters. A change that has begun keeps its plan.
        """
        job, about = self.job, RUNBOOKS[self.job.number]
        self.parameters = parameters = {n: self.said(n, it) for n, it in parameters.items()}
        self.begun_with = plan_under_way(job, parameters)
        if self.begun_with is None:
            state, (lines, last) = job.state(), job.records.ledger.head()
            told = {name: about[name] for name in ("why", "untouched", "back", "trigger")}
            if odd := long_ago(job.at, job.past(state)):
                told["why"] += f"; {odd}: who approves this confirms that the clock is right"
            plan = Plan(
                runbook=job.runbook,
                site=job.site.name,
                parameters=parameters,
                table=hashlib.sha256((job.table or job.records.table).read_bytes()).hexdigest(),
                lines=lines,
                ledger=last,
                computers=tuple(self._computers(state)),
                files=(about["files"],),
                dark=tuple(self.standing_still(state)),
                deadline=self.deadline(state, about["deadline"]),
                **told,
            )
            self.begun_with = keep_plan(job, plan)
        yield self.begun_with

    def _computers(self, state: State) -> Iterator[dict[str, str]]:
        """What is to be done at each computer and why, what it uses now, what it will use."""
        todo = ((*one, deed) for found, deed in self.deeds(state) for one in found.items())
        for name, why, deed in todo:
            held = state.inventories.get(name)
            then = "made in this change" if self.issues else state.thumbprints.get(name, "")
            yield {
                "computer": name,
                "who": state.site[name].owner,
                "to do": deed + (f": {why}" if why else ""),
                "old certificate": ", ".join(_used(held)) if held else "",
                "new certificate": then if "certificate" in deed else "",
            }

    def approve(self, approved: str = "", carried_out_by: str = "", emergency: str = "") -> Parts:
        """Begin the change, or go on with it, if this plan was approved; and how far it is."""
        if self.begun_with is None:
            raise ValueError("there is no plan yet: run the cell above")
        self.job = approve(self.job, self.begun_with, approved, carried_out_by, emergency)
        yield Rows(progress(self.job), "Nothing is to be done at any computer.")

    def visit(self, *phases: str) -> Parts:
        """Prepare the folders of these phases; a rehearsal's computers follow them at once."""
        yield Rows([row for phase in phases for row in self.walked(hand_over(self.job, phase))])

    def verify(self) -> Parts:
        """What was to be achieved, read back; the runbook stops where it was not."""
        state, todo = self.job.state(), "Carry the folder there and bring the inventory back"
        yield Checks([_stage_check(self.job.number, state, todo), unbroken(state)])
        yield from self.result(state)

    def close(self) -> Parts:
        """Sign the record of the change; and what is to be done next."""
        row = RUNBOOKS[self.job.number]
        if row["handbook"]:
            write_handbook(self.job)
        yield close_change(self.job, row["closing"].format_map(self.parameters))
        yield from (f"Next: {one.sentence}" for one in told(next_steps(self.job)))

    def rehearse(self) -> None:
        """Carry out this runbook on simulated computers, where a later one is opened first."""
        list(self.visit(RUNBOOKS[self.job.number]["phase"]))

    def pfx_password(self, hosts: Iterable[str] | None = None) -> str:
        """The password of PFX files that are made now; without one, a person is asked for it."""
        return ""

    def progress(self, done: int, of: int) -> None:
        """How much is done of what takes long; whoever opened the runbook shows it."""

    # What the calls above ask a runbook.

    def ready(self, state: State) -> Iterable[object]:
        """What has to be ready besides what the earlier runbooks leave behind."""
        return ()

    def result(self, state: State) -> Iterable[object]:
        """What came of it besides, read back."""
        return ()

    def concerned(self, state: State) -> list[str]:
        """The servers that get another certificate."""
        return []

    def deeds(self, state: State) -> Deeds:
        """What is to be done at which computers: those that still need its phase."""
        row = RUNBOOKS[self.job.number]
        if row["visit"]:
            yield PHASES[row["phase"]].lacking(state), row["visit"]

    def standing_still(self, state: State) -> Iterable[str]:
        """What stands still at each visit that switches something, in the order of the visits."""
        wanted = {*missing_encryption(state), *self.concerned(state)} if self.switches else ()
        for step in switch_on(state.site):
            if step.host in wanted:
                lost, dark = named(state.site[step.host].unsigned), step.dark
                dark += f"; for good for whoever calls it {lost}" if lost else ""
                yield f"{step.host}, {step.minutes} minutes ({step.minutes_sure}): {dark}"

    def deadline(self, state: State, text: str) -> str:
        """Until when one can turn back."""
        return text

    def walked(self, errands: Iterable[Errand]) -> Sequence[Any]:
        """A row for each of these visits, and what came of it."""
        return walk(self.job, errands)
