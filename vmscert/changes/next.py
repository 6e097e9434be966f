"""What is to be done next at a site: who, where, with what; or what is waited for, since when.

Small rules in the order in which things have to be: the first that has something to say says all
that may be done side by side. They look at one `State` and at the open changes, and write nothing.
The sentences are in `data/change/next.csv`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from vmscert.certificates.authority import BACKDATE, thumbprint
from vmscert.changes.acceptance import ACCEPTED, blank_sheet
from vmscert.changes.change import ABANDONED, BEGUN, CLOSED, Plan, read_plan, void
from vmscert.changes.errands import (
    CARRIED,
    NO_FOLDER,
    NOT_JUDGED,
    ToDo,
    board,
    repairs,
    turn_of,
    visits,
)
from vmscert.changes.execute import usual_parameters
from vmscert.changes.job import EXAMPLE, RUNBOOK_FOR, Job, folder_of, shell_word, short
from vmscert.checks.expiry import due_of
from vmscert.checks.lacks import (
    MISSING,
    PHASES,
    lacks,
    missing_retirement,
    stopping_findings,
    unbarred,
)
from vmscert.facts import facts
from vmscert.names import iso
from vmscert.records.folder import ADOPT_CA, certificate_entries
from vmscert.records.ledger import RUNBOOK_OF, SWITCH_ON, Entry
from vmscert.records.sealed import PLAN, details, is_sealed
from vmscert.records.state import State
from vmscert.site.order import by_host, turns
from vmscert.site.site import THIRD_PARTY, named

_ROWS = {row["runbook"]: row for row in facts("change/runbooks")}
_SAYS = {row["say"]: row for row in facts("change/next")}
_SHOWN = 3  # computers that a sentence names


@dataclass(frozen=True)
class Next:
    """One thing to be done now, or waited for: in a sentence, and in its parts."""

    say: str  # the row of its sentence
    kind: str  # run, approve, visit, wait, repair, restore, later or nothing
    what: str
    type: str = ""  # at the laptop
    who: str = ""
    computer: str = ""
    folder: str = ""  # to be carried there, of the site's folder
    command: str = ""  # to be run there
    minutes: int = 0  # that what is dark stands still meanwhile, as the plan estimates
    dark: str = ""
    file: str = ""  # that comes back
    since: str = ""  # when the waiting began
    on: str = ""  # the day before which nothing is to be done

    @property
    def sentence(self) -> str:
        """All of it, in one line."""
        return f"{self.what}{f'. Type: {self.type}' if self.type else '.'}"


def _next(*says: str, type: str = "", **parts: Any) -> Next:  # noqa: A002
    times = {"since": parts.get("since", "")[:16].replace("T", " "), "on": parts.get("on", "")[:10]}
    what = "".join(_SAYS[one]["sentence"] for one in says).format_map(parts | times)
    own = {one.name: parts[one.name] for one in fields(Next) if one.name in parts}
    return Next(says[0], _SAYS[says[0]]["kind"], what, type, **own)


class _Open(NamedTuple):
    """A change that is not closed, and why it can't go on, if it can't."""

    folder: Path
    plan: Plan
    begun: Entry | None  # the line with which it was approved last
    void: str

    @property
    def number(self) -> str:
        return self.plan.runbook[:2]

    @property
    def settings(self) -> dict[str, object]:
        """The parameters of its plan, as the notebook calls them."""
        return {name.upper(): value for name, value in self.plan.parameters.items()}


@dataclass(frozen=True)
class _Look:
    """What the rules look at."""

    job: Job
    state: State
    closing: Path | None  # the folder of a change that counts as closed
    rehearsal: bool

    @cached_property
    def stage(self) -> str:
        """The first runbook whose state does not hold; nothing if all do."""
        return next((number for number in MISSING if lacks(self.state, number)), "")

    @cached_property
    def open(self) -> list[_Open]:
        """The changes that are not closed and wait for no earlier runbook, in their order."""
        begun = {one.change: one for one in self.state.entries if one.action in BEGUN}
        gone = {one.change for one in self.state.entries if one.action == ABANDONED}
        found = []
        for folder in self.job.records.changes():
            name, path = folder.name, details(folder) / PLAN
            if name in gone or folder == self.closing or is_sealed(folder) or not path.exists():
                continue
            try:
                plan, line = read_plan(path.read_bytes()), begun.get(name)
            except ValueError as error:
                raise ValueError(f"changes/{name}/{error}") from None
            unawaited = _ROWS[plan.runbook[:2]]["not_awaited"].split("|")
            if not self.stage or self.stage >= plan.runbook[:2] or self.stage in unawaited:
                job = replace(self.job, runbook=plan.runbook)
                found.append(_Open(folder, plan, line, void(job, plan, begun=line is not None)))
        return sorted(found, key=lambda one: one.number)

    def under_way(self, number: str = "") -> _Open | None:
        """The first change, of one runbook or of any, that has begun and can go on."""
        good = (one for one in self.open if one.begun and not one.void)
        return next((one for one in good if number in ("", one.number)), None)

    def typed(self, number: str, settings: Mapping[str, object]) -> str:
        """The command of a runbook for this site, with what is not as usual."""
        table, records = self.job.table or self.job.records.table, self.job.records.folder
        words = ["vmscert", "run", number, "--site", short(table)]
        if records.resolve() != folder_of(_ROWS[number]["name"], table).resolve():
            words += ["--folder", short(records)]
        usual = usual_parameters(_ROWS[number]["name"])
        for name, value in settings.items():
            if usual.get(name, value) != value:
                text = value if isinstance(value, str) else json.dumps(value)
                words += ["--set", f"{name}={text}"]
        return " ".join(map(shell_word, words))

    def run(self, say: str, number: str, names: Iterable[str] = (), **parts: object) -> Next:
        """A runbook, from its beginning or on with its change."""
        change, says, settings = self.under_way(number), [say], {}
        if change and change.begun:
            line, settings = change.begun, change.settings
            if not self.rehearsal:
                settings |= {"APPROVED": f"{change.plan.hash} {line.approved_by}"}
                settings |= {"EMERGENCY": line.emergency}
            if line.carried_out_by != line.user:
                settings["CARRIED_OUT_BY"] = line.carried_out_by
        elif spoilt := [one for one in self.open if one.number == number and one.void]:
            says.append("void")
            parts |= {"hash": spoilt[-1].plan.hash, "void": spoilt[-1].void}
        parts |= {"name": _ROWS[number]["name"], "names": named([*names], _SHOWN)}
        return _next(*says, type=self.typed(number, settings), **parts)

    def about(self, name: str) -> dict[str, str]:
        """What any sentence about a computer may say."""
        who = next((one.owner for one in self.state.site if one.name == name), "") or "somebody"
        return {"who": who, "computer": name, "file": f"{name}.json", "place": self.job.folder}

    def visit(self, one: ToDo) -> Next:
        """Go to a computer, or wait for whoever went, or for the CA that was asked there."""
        name, says = one.host.name, ["there" if one.there else "carry", "back"]
        parts: dict[str, Any] = self.about(name) | {"since": one.since}
        if one.asked:
            return _next("asked", **parts | {"file": f"{name}.cer"})
        parts |= {"folder": one.folder, "command": one.command}
        if one.state == CARRIED:
            return _next("carried", **parts | {"folder": ""})
        if one.failed:
            rows = (row for row in facts("windows/steps") if row["step"] == one.failed.step)
            parts |= {"step": one.failed.step, "detail": one.failed.detail.removesuffix(".")}
            parts["remedy"] = next((row["remedy"] for row in rows), "")
            says[0] = "failed"
        if re.search(" -Phase (Encrypt|Off)", one.command):
            on = " -Phase Encrypt" in one.command
            steps = by_host(turns(self.state.site, on=on))[name][turn_of(one.command) - 1]
            stops = (part for step in steps for part in step.dark.split("; "))
            also = (todo for step in steps for todo in step.also)
            parts["dark"] = "; ".join(dict.fromkeys((*stops, *also)))
            parts |= {"minutes": sum(step.minutes for step in steps), "sure": steps[0].minutes_sure}
            says.insert(1, "still")
        return _next(*says, **parts)


def next_steps(
    job: Job, state: State | None = None, closing: Path | None = None
) -> tuple[Next, ...]:
    """Return what is to be done now, side by side: never nothing, also of what can't be read.

    `closing` is the folder of a change that is being closed, and counts as closed.
    """
    try:
        here = job.table and job.table.resolve() == EXAMPLE.resolve()
        look = _Look(job, state or job.state(), closing, bool(here) or job.rehearsal)
        return next(found for rule in RULES if (found := tuple(rule(look))))
    except (ValueError, OSError) as error:
        return (_next("unread", lacks=str(error).removesuffix(".")),)


def told(steps: Iterable[Next]) -> list[Next]:
    """Return one step for each person and what is to be done: the first, which names the others."""
    alike: dict[tuple[str, ...], list[Next]] = {}
    for one in steps:
        same = (one.say, one.who, one.command) if one.command else (one.what,)
        alike.setdefault((*same, one.what) if one.say == "failed" else same, []).append(one)
    found = []
    for first, *others in alike.values():
        more = _next("others", names=named([one.computer for one in others], _SHOWN)).what
        found.append(replace(first, what=first.what + more) if others else first)
    return found


def all_done(steps: Iterable[Next]) -> bool:
    """Return whether nothing is left to be done today."""
    return all(one.kind in ("later", "nothing") for one in steps)


def _damaged(look: _Look) -> Iterator[Next]:
    if problems := look.state.problems:
        yield _next("ledger", lacks=problems[0])
    elif look.stage == min(MISSING) and certificate_entries(look.state.entries):
        yield _next("half", lacks=lacks(look.state, look.stage)["CA"])


def _stolen_ca(look: _Look) -> Iterator[Next]:
    ca, number = look.state.ca, RUNBOOK_FOR["CA"][:2]
    if ca and thumbprint(ca) in _barred(look.state):
        going = _go_on(look, number) if look.under_way(number) else _planned(look, number)
        yield from [*going] or [look.run("stolen-ca", number)]


def _under_way(look: _Look) -> Iterator[Next]:
    if change := look.under_way():
        yield from _go_on(look, change.number)


def _go_on(look: _Look, number: str) -> Iterator[Next]:
    """What people still walk for in a change, phase by phase; else the end of its runbook."""
    row, state, change = _ROWS[number], look.state, look.under_way(number)
    walked = [one["phase"] for one in _ROWS.values()] if row["ends"] else [row["phase"]]
    if row["phase"] == "off":  # both phases of the way back, where its plan has the second
        told = {one.command for one in state.switched_off}
        walked = [one for one in ("off", "remove") if one == "off" or PHASES[one].command in told]
    elif row["ends"]:
        walked = [one for one in walked if one != "off"]
    for phase in filter(None, () if look.rehearsal else walked):
        found = visits(state, phase)[: 1 if phase in ("encrypt", "off") else None]  # turn by turn
        asked = [one.host.name for one in found if one.asked and one.host.enrolment != THIRD_PARTY]
        if made := [one.host.name for one in found if one.state == NO_FOLDER]:
            yield look.run("prepare", number, made)
        elif asked and all(one.asked for one in found):
            yield look.run("sign", number, asked)
        else:
            yield from (look.visit(one) for one in found if one.host.name not in asked)
        if found:
            return
    if row["ends"] and missing_retirement(state):
        yield from _retire(look, number)
        return
    last = [one for one in state.entries if one.action in ("verified", "brought back")][-1:]
    refused = change and [one.change for one in last if one.action == "verified"] == [
        change.folder.name
    ]
    page = f"changes/{change.folder.name}" if change else ""
    yield look.run("refused" if refused else "finish", number, page=page)


def _planned(look: _Look, number: str = "") -> Iterator[Next]:
    for one in look.open:
        if number in ("", one.number) and not (one.begun or one.void or look.rehearsal):
            settings = one.settings | {"APPROVED": f"{one.plan.hash} <name>"}
            page = details(one.folder).relative_to(look.state.folder).as_posix() + "/plan.html"
            about = {"hash": one.plan.hash, "name": one.plan.runbook, "since": one.folder.name[:10]}
            yield _next("approve", type=look.typed(one.number, settings), page=page, **about)
            return


def _off(look: _Look) -> Iterator[Next]:
    """On purpose: that is no failure, and what the stages lack is wanted."""
    if told := look.state.switched_off:
        yield replace(look.run("off", RUNBOOK_OF[SWITCH_ON]["runbook"]), type="", on=told[0].day)


def _stage(look: _Look) -> Iterator[Next]:
    number, state = look.stage, look.state
    missing = MISSING[number](state) if number else {}
    if number == min(MISSING):
        yield look.run("create", number, other=RUNBOOK_OF[ADOPT_CA]["name"])
    elif missing:
        if state.adopted_without_key and _ROWS[number]["phase"] == "request":
            number = RUNBOOK_FOR["CA"][:2]
        yield look.run("begin", number, missing, lacks=next(iter(missing.values())))
    elif number:
        for name, found in stopping_findings(state, number).items():
            why, remedy = repairs(found)
            yield _next("repair", lacks=why, remedy=remedy, **look.about(name))


def _stolen(look: _Look) -> Iterator[Next]:
    state, number = look.state, RUNBOOK_FOR["CRL"][:2]
    used = [name for name, label in state.thumbprints.items() if label in _barred(state)]
    if names := used or [*(unbarred(state) if state.barred else ())]:
        settings = {"STOLEN": state.barred[-1][1] or "CA"}
        yield replace(look.run("stolen", number, names), type=look.typed(number, settings))


def _unproven(look: _Look) -> Iterator[Next]:
    entries = look.state.entries
    proofs = {one.change for one in entries if one.action == "verified"} - {""}
    closed = [n for n, e in enumerate(entries) if e.action == "close" and e.change in proofs]
    deeds = [n for n, e in enumerate(entries) if e.action in (*RUNBOOK_OF, "hand over")]
    if (look.closing and look.closing.name) not in proofs and (
        not closed or deeds[-1:] > closed[-1:]
    ):
        yield look.run("prove", RUNBOOK_OF["verified"]["runbook"])


def _ends(look: _Look) -> Iterator[Next]:
    state = look.state
    due = [row for row in due_of(state, state.at) if row.renew_on <= state.at]
    if mine := [row for row in due if row.kind == "CA"] or due:
        kind = "CA" if mine[0].kind == "CA" or state.adopted_without_key else "server"
        names, day = [row.label for row in mine], f"{mine[0].not_after:%Y-%m-%d}"
        yield look.run("ends", RUNBOOK_FOR[kind][:2], names, day=day)


def _replaced(look: _Look) -> Iterator[Next]:
    if missing_retirement(look.state):
        yield from _retire(look, RUNBOOK_FOR["server"][:2])


def _retire(look: _Look, number: str) -> Iterator[Next]:
    """What was replaced goes when it has been the way back for long enough."""
    state, change, left = look.state, look.under_way(number), missing_retirement(look.state)
    if ready := [one for one in visits(state, "retire") if one.state != NO_FOLDER]:
        yield from map(look.visit, ready)
        return
    settings = {**usual_parameters(_ROWS[number]["name"]), **(change.settings if change else {})}
    days: Any = settings.get("RETIRE_AFTER_DAYS", settings.get("WAITING", 0))
    made = [name for name in state.superseded if name in left] or state.superseded
    since = (state.current[name].not_valid_before_utc for name in made)
    when = max(since, default=state.at) + BACKDATE + timedelta(days=days)
    if when > state.at and not look.rehearsal:
        yield look.run("later", number, left, on=iso(when))
    else:
        yield look.run("gone", number, left)


def _calm(look: _Look) -> Iterator[Next]:
    state = look.state
    first = min(due_of(state, state.at), key=lambda row: row.renew_on)
    looked = board(replace(look.job, runbook=max(_ROWS)), state)
    unseen = [one.computer for one in looked if one.state == NOT_JUDGED]
    but = f", but not {named(unseen, _SHOWN)}" if unseen else ""
    about = {"on": iso(first.renew_on), "day": f"{first.not_after:%Y-%m-%d}"}
    number = RUNBOOK_OF["verified"]["runbook"]
    closed = [one.note for one in state.entries if (one.action, one.runbook) == (CLOSED, number)]
    if not look.rehearsal and closed and not closed[-1].startswith(ACCEPTED):
        typed = look.typed(number, {"ACCEPTED_BY": "<name>"})
        but += _next(
            "unaccepted", file=f"acceptance/{blank_sheet(state).number}.html", run=typed
        ).what
    yield _next("calm", names=first.label, but=but, **about)


RULES: tuple[Callable[[_Look], Iterator[Next]], ...] = (
    _damaged, _stolen_ca, _under_way, _planned, _stolen, _off, _stage, _unproven, _ends, _replaced,
    _calm,
)  # fmt: skip


def _barred(state: State) -> set[str]:
    return {thumbprint(one) for one, _ in state.barred}
