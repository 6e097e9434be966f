"""What people look at after the handshakes: a sheet to tick, and what was ticked, by whom.

    acceptance/<sheet>.csv, .html    in the site's folder; a spreadsheet, a form or paper fills it

A sheet is of one table and of the certificates that were the newest then. Where one of them has
changed there is another to tick, and the one before stays beside it as it was.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from io import StringIO

from vmscert.changes.job import Job
from vmscert.facts import doubt, facts
from vmscert.files import foreign_text, read_foreign, write_atomic
from vmscert.pages import page, render, sheet
from vmscert.records.state import State
from vmscert.site.site import Host, Site, named

YES, NO = "yes", "no"
ACCEPTED = "accepted by "  # how the note of a change begins that somebody has accepted
# What people write for it, in the languages of their spreadsheets.
_WORDS = {
    YES: "yes y ok x true 1 ja j oui o si s ✓ ✔ ☑",
    NO: "no n failed false 0 nein non nej ✗ ✘ ☒",
    "": "- ?",
}
_SAID = {word: right for right, words in _WORDS.items() for word in words.split()} | {"": ""}
_COLUMNS = ("sheet", "no", "on", "do", "when", "right", "who", "remark")
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnprstv")  # Excel takes 1e2345 for a number


@dataclass(frozen=True)
class Tick:
    """One thing to look at, where, when it is right, and what somebody said of it."""

    no: int
    on: str
    do: str
    when: str
    right: str = ""  # or YES, or NO
    who: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Sheet:
    """All that is to be looked at, at one site with these certificates."""

    number: str
    ticks: tuple[Tick, ...]

    def outcome(self, accepted_by: str = "") -> str:
        """How a change is closed: accepted by somebody or technically verified, and why."""
        right = [str(one.no) for one in self.ticks if one.right == YES and one.who]
        failed = [f"{one.no}, {one.remark or 'no remark'}" for one in self.ticks if one.right == NO]
        nobodys = [str(one.no) for one in self.ticks if one.right == YES and not one.who]
        left = [str(one.no) for one in self.ticks if not one.right]
        left = ["all"] if len(left) == len(self.ticks) else left
        how = "technically verified" + (f", not accepted by {accepted_by}" if accepted_by else "")
        if accepted_by and right and not failed:
            how = f"{ACCEPTED}{accepted_by}"
        told = [f"people found {len(right)} of {len(self.ticks)} looks right"]
        told += [f"not right: {'; '.join(failed)}"] if failed else []
        told += [f"nobody says who ticked {named(nobodys)}"] if nobodys else []
        told += [f"not looked at: {named(left)}"] if left else []
        return f"{how} ({'; '.join(told)}; sheet {self.number})"


def blank_sheet(state: State) -> Sheet:
    """Return the sheet of a site as it is now, with nothing ticked."""
    ticks = tuple(Tick(no, *row) for no, row in enumerate(_rows(state.site), 1))
    about = json.dumps([[asdict(one) for one in ticks], state.thumbprints], sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()
    return Sheet(digest[:8].translate(_LETTERS), ticks)


def _rows(site: Site) -> Iterator[tuple[str, str, str]]:
    """Where, what to do, when it is right: for each computer that has one of the roles of a row."""
    central = " or ".join(dict.fromkeys(map(_called, site.central)))
    for row in facts("change/acceptance"):
        seats = [host.name for host in site if row["seat"] in host.roles]
        there = [host for host in site if set(host.roles) & set(row["at"].split("|"))]
        for number, host in enumerate(there[: 1 if row["once"] else None]):
            told = {"server": host.name, "name": _called(host), "central": central}
            told["services"] = ", ".join(host.services) or "those of its roles"
            told["node"] = ", where the cluster runs it" if host.cluster else ""
            seat = seats[number % len(seats)] if seats else row["seat"] or host.name
            yield seat, row["do"].format(**told), row["right"].format(**told) + doubt(row["tag"])


def _called(host: Host) -> str:
    """The name by which people call a server."""
    return (*host.cluster, *host.aliases, host.fqdn)[0]


def sheet_of(job: Job) -> Sheet:
    """Return the sheet of the site as it is now, ticked as far as it is; write it if it is new."""
    blank = blank_sheet(job.state())
    path = job.records.folder / "acceptance" / f"{blank.number}.csv"
    if path.exists():
        return read_sheet(path.name, read_foreign(path), blank)
    return keep_sheet(job, blank)


def keep_sheet(job: Job, filled: Sheet) -> Sheet:
    """Write a sheet into the site's folder, for a spreadsheet and for paper."""
    with job.records.lock():
        for kind, data in _faces(job, filled).items():
            write_atomic(job.records.folder / "acceptance" / f"{filled.number}.{kind}", data)
    return filled


def close_sheet(job: Job, accepted_by: str = "") -> str:
    """Put the sheet, as far as it is ticked, into the open change; return how that is closed."""
    filled, name = sheet_of(job), " ".join(accepted_by.split())
    for kind, data in _faces(job, filled, name).items() if job.change else ():
        there = job.change.folder.rglob(f"acceptance*.{kind}")
        if all(path.read_bytes() != data for path in there):
            job.records.keep(job.change.folder, f"acceptance.{kind}", data)
    return filled.outcome(name)


def _faces(job: Job, filled: Sheet, accepted_by: str = "") -> dict[str, bytes]:
    rows = [{"sheet": filled.number, **asdict(one)} for one in filled.ticks]
    told, file = filled.outcome(accepted_by), f"{job.folder}/acceptance/{filled.number}.csv"
    about = {"site": job.site, "sheet": filled, "file": file, "told": told}
    text = render("acceptance.md", **about, accepted_by=accepted_by, rehearsal=job.rehearsal)
    title = f"{job.site.name}: does it work?"
    return {"csv": sheet(rows, _COLUMNS), "html": page(text, title)}


def is_sheet(data: bytes) -> bool:
    """Tell whether a file is a sheet to tick, as a spreadsheet saves one."""
    return foreign_text(data, "cp1252").lstrip('" ').casefold().startswith(_COLUMNS[0])


def read_sheet(name: str, data: bytes, known: Sheet) -> Sheet:
    """Return a sheet with what a file says of its looks; ValueError in one sentence otherwise.

    A look of which it says neither yes nor no stays, so that several may each bring their part.
    """
    text = foreign_text(data, "cp1252")
    delimiter = max(";,\t", key=text.partition("\n")[0].count)
    rows = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, restval="")
    ticks = {str(one.no): one for one in known.ticks}
    try:
        if lacking := [one for one in _COLUMNS if one not in (rows.fieldnames or ())]:
            raise csv.Error(f"column {lacking[0]!r} is missing")
        for row in rows:
            cells = {column: " ".join(row[column].split()) for column in _COLUMNS}
            if any(cells.values()):
                ticks[cells["no"]] = _ticked(ticks.get(cells["no"]), cells, known.number)
    except csv.Error as error:
        raise ValueError(f"{name}, line {rows.line_num}: {error}") from None
    return replace(known, ticks=tuple(ticks.values()))


def _ticked(tick: Tick | None, cells: dict[str, str], number: str) -> Tick:
    """A tick with what a row says of it."""
    if cells["sheet"] != number:
        raise csv.Error(f"sheet {cells['sheet']!r} is of another table or of other certificates: "
                        f"tick acceptance/{number}.csv, which is of those of now")  # fmt: skip
    if tick is None:
        raise csv.Error(f"there is no look {cells['no']!r}: leave the column 'no' as it was")
    right = _SAID.get(cells["right"].casefold())
    if right is None:
        raise csv.Error(f"{cells['right']!r} is neither yes nor no: write one, or leave it empty")
    said = {"right": right, "who": cells["who"], "remark": cells["remark"]}
    return replace(tick, **{part: text for part, text in said.items() if text or right})
