"""The years after: one page for the technician who inherits a site and was not there.

Where what lies, what to do when, whom to ask. It holds no password and no key, and is written
anew whenever the site has changed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from vmscert.agenda import dark_to_come
from vmscert.authority import SERVER
from vmscert.deeds import due_of
from vmscert.facts import doubt, facts
from vmscert.files import write_atomic
from vmscert.job import Job
from vmscert.ledger import Entry
from vmscert.pages import Markdown, faces, literal, plain, rows_table
from vmscert.records import DRILL
from vmscert.site import named
from vmscert.state import State

NAME = "the-years-after"
_MOST = 12  # rows of a table: the page is to print on two sheets
_HALF_A_YEAR, _A_WEEK = timedelta(days=182), timedelta(days=7)
_CHANGES = 6
_BLANK = "_" * 24  # to be filled in by hand, on the print

Row = Mapping[str, str]
Dated = tuple[datetime, str, str]  # by when, what, in which runbook


def write_handbook(job: Job) -> Path:
    """Write the page into the site's folder, in place of the one before; return the HTML's path."""
    title = f"{job.site.name}: the years after"
    with job.records.lock():
        for name, data in faces(NAME, handbook(job), title).items():
            write_atomic(job.records.folder / name, data)
    return job.records.folder / f"{NAME}.html"


def handbook(job: Job) -> str:
    """Return the page as Markdown."""
    state = job.state()
    parts = [
        f"# {plain(job.site.name)}: the years after\n",
        _about(state),
        "## What to do on which day\n",
        rows_table(_cut(_dates(state), "`vmscert due` tells the others")),
        *_dark(state),
        "## What to do when something changes\n",
        rows_table([_occasion(row) for row in facts("occasions")]),
        "## Whom to ask\n",
        rows_table(_cut(_owners(state), "the table tells the others")),
        rows_table(_by_hand()),
        "## What was done last\n",
        rows_table(_last_changes(state)) or "Nothing yet.\n",
        "## Where what lies\n",
        rows_table([_place(row) for row in facts("folder")]),
        "## What to type\n",
        rows_table(_commands(job)),
        "## What nobody has confirmed\n",
        _unconfirmed(state),
    ]
    return "\n".join(parts)


def _about(state: State) -> str:
    site = state.site
    counted = f"{len(site)} computers, {len(site.servers)} servers with certificates"
    warning = " **A rehearsal: the computers are simulated.**" if state.rehearsal else ""
    if state.adopted_without_key:
        warning += " **The key of the CA is not here: nothing can be renewed before runbook 18.**"
    return (
        f"{counted}. Written on {state.at:%Y-%m-%d} from the site's table, its records and what "
        f"computers reported; the runbooks 10 and 16 to 18 write it anew. XProtect warns of no "
        f"expiry: this page and {literal('vmscert due')} do.{warning}\n"
    )


def _dates(state: State) -> list[dict[str, str]]:
    """What is to be done on which day, soonest first; what is late says so."""
    every = sorted([*_ends(state), *_routine(state), *_list(state)], key=lambda dated: dated[0])
    return [
        {
            "by": literal(f"{day:%Y-%m-%d}") if day > state.at else Markdown("**now**"),
            "what": plain(what),
            "runbook": plain(runbook),
        }
        for day, what, runbook in every
    ]


def _ends(state: State) -> Iterator[Dated]:
    """When certificates are to be renewed, several of one day together."""
    rows = [row for row in due_of(state, state.at) if row.label != "CA"]
    for end, same in groupby(rows, lambda row: row.not_after.date()):
        every = list(same)
        names = named([row.label for row in every])
        yield every[0].renew_on, f"renew what ends on {end}: {names}", "17"
    for label, ca in state.cas.items():
        if label in ("CA", "next CA"):
            yield _replaced_by(ca.not_valid_after_utc, label)


def _replaced_by(end: datetime, label: str) -> Dated:
    """A server certificate that is issued later ends with its CA, before its own time."""
    begin = end - timedelta(days=SERVER.days)
    what = f"replace the {label}, which ends on {end:%Y-%m-%d}: both are trusted for a while"
    return begin, what, "18"


def _routine(state: State) -> Iterator[Dated]:
    """The drill twice a year, counted from the last that passed, else from today."""
    passed = [e for e in state.entries if e.action == DRILL and "passed" in e.note]
    last = datetime.fromisoformat(passed[-1].time) if passed else None
    when = last + _HALF_A_YEAR if last else state.at
    told = f"the last passed on {last:%Y-%m-%d}" if last else "none has passed yet"
    yield when, f"copy this folder to a second place, and try that copy in a drill: {told}", ""


def _list(state: State) -> Iterator[Dated]:
    """When to sign a new revocation list: a week before the end of the one that there is."""
    crl = state.crl
    if crl is not None and crl.next_update_utc:
        end = crl.next_update_utc
        yield end - _A_WEEK, f"sign a new revocation list: this one ends on {end:%Y-%m-%d}", "19"


def _dark(state: State) -> list[str]:
    """What goes dark on which day if nobody acts, as `vmscert due` tells it hour by hour."""
    rows = [
        _dark_day(day, list(same))
        for day, same in groupby(dark_to_come(state), lambda row: str(row["dark from"])[:10])
    ]
    shown = rows_table(_cut(rows, "`vmscert due` tells the others"))
    return ["## What goes dark if nobody acts\n", shown] if rows else []


def _dark_day(day: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    causes = list(dict.fromkeys(_cause(row["because"]) for row in rows))
    links = sum(row["links"] for row in rows)
    what = f"{links} links, when these end: {named(causes)}"
    return {"on": literal(day), "goes dark": plain(what)}


def _cause(because: str) -> str:
    """What ends, short: most are certificates of servers."""
    return because.removesuffix(" ends").removeprefix("the certificate on ")


def _occasion(row: Row) -> dict[str, str]:
    return {
        "when": plain(row["when"]),
        "what": plain(row["what"] + doubt(row["tag"])),
        "runbooks": plain(row["runbooks"].replace("|", ", ")),
    }


def _owners(state: State) -> list[dict[str, str]]:
    """Each owner of the table with the computers, the one with most of them first."""
    found = defaultdict(list)
    for host in state.site:
        found[host.owner or "nobody is named in the table"].append(host.name)
    rows = sorted(found.items(), key=lambda pair: -len(pair[1]))
    return [{"who": plain(who), "computers": plain(named(names))} for who, names in rows]


def _by_hand() -> list[dict[str, str]]:
    """What a person writes on the print, since it must stand in no file."""
    asked = ("the password of the CA lies with", "the backup lies", "who decides on a change")
    return [{"write by hand": plain(what), "": plain(_BLANK)} for what in asked]


def _last_changes(state: State) -> list[dict[str, str]]:
    """The last days on which somebody changed something, newest first."""
    every = groupby(state.entries, lambda entry: (entry.day, entry.runbook))
    rows = [_change(day, runbook, list(same)) for (day, runbook), same in every]
    return rows[: -_CHANGES - 1 : -1]


def _change(day: str, runbook: str, entries: list[Entry]) -> dict[str, str]:
    counted = Counter(entry.action for entry in entries)
    what = ", ".join(f"{action} {n} times" if n > 1 else action for action, n in counted.items())
    notes = [entry.note for entry in entries if entry.note and not entry.host]
    approved = [entry.note for entry in entries if entry.action == "approve"]
    words = "; ".join((approved or notes)[-1:])  # an approval names people
    return {"on": day, "runbook": runbook, "what": what, "in its words": words}


def _place(row: Row) -> dict[str, str]:
    never = row["leaves"].startswith("never")
    leaves = Markdown(f"**{row['leaves']}**") if never else plain(row["leaves"])
    return {"where": literal(row["path"]), "what it is": plain(row["what"]), "goes out": leaves}


def _commands(job: Job) -> list[dict[str, str]]:
    folder = f'"{job.folder}"' if " " in job.folder else job.folder
    told = {
        f"vmscert due {folder}": "what ends when",
        f"vmscert board --site {folder}/site.csv --folder {folder}": "who has to go where next",
        f"vmscert check {folder}": "what is wrong, as far as is known",
        f"vmscert records verify {folder}": "whether a line of the ledger was changed",
        f"vmscert records drill BACKUP --folder {folder}": "whether the site could live from it",
        "vmscert lab": "the runbooks and the lessons",
    }
    return [{"type": literal(command), "it tells": what} for command, what in told.items()]


def _unconfirmed(state: State) -> str:
    told = [plain(sentence) for sentence in (*_silent(state), *_odd_ports(state))]
    doubted = plain("What is marked (unconfirmed) or (second hand), nobody read at its source")
    asked = f"what no table answers, {literal('vmscert check site.csv')} asks"
    return "".join(f"* {sentence}.\n" for sentence in (*told, f"{doubted}; {asked}"))


def _silent(state: State) -> Iterator[str]:
    """Computers of which nothing is known, or nothing new."""
    stores = state.inventories
    if silent := [host.name for host in state.site.clients if host.name not in stores]:
        yield f"No inventory has come back of {named(silent)}"
    if stores:
        oldest = min(stores.values(), key=lambda one: one.at)
        yield f"The oldest inventory is that of {oldest.host}, of {oldest.at:%Y-%m-%d}"


def _odd_ports(state: State) -> Iterator[str]:
    confirmed = {one.port for one in state.site.connections if one.confirmed}
    odd = {(one.port, one.group) for one in state.site.connections if one.port not in confirmed}
    if odd:
        told = ", ".join(f"{port} ({group})" for port, group in sorted(odd))
        yield f"These ports were read in no source: {told}"


def _cut(rows: Sequence[Row], more: str) -> Sequence[Row]:
    """The first rows, and a line that says how many are left and who tells them."""
    if len(rows) <= _MOST:
        return rows
    first, *others = rows[0]
    said = {first: Markdown(f"and {len(rows) - _MOST} more"), **dict.fromkeys(others, "")}
    return [*rows[:_MOST], said | {others[0]: Markdown(more)}]
