"""The years after: one page for the technician who inherits a site and was not there.

Where what lies, what to do when, whom to ask. It holds no password and no key, and is written
anew whenever the site has changed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from vmscert.agenda.gather import dark_to_come
from vmscert.certificates.authority import SERVER
from vmscert.changes.job import RUNBOOK_FOR, Job
from vmscert.changes.next import next_steps, told
from vmscert.checks.expiry import due_of
from vmscert.facts import facts
from vmscert.files import write_atomic
from vmscert.pages import faces, page, render
from vmscert.records.ledger import DRILL
from vmscert.records.state import State
from vmscert.site.site import named

NAME = "the-years-after"
_MOST = 12  # rows of a table: the page is to print on two sheets
_HALF_A_YEAR, _A_WEEK = timedelta(days=182), timedelta(days=7)
_CHANGES = 6

_FOR = {kind: name[:2] for kind, name in RUNBOOK_FOR.items()}  # what ends → the runbook's number


def write_handbook(job: Job) -> Path:
    """Write the page into the site's folder, in place of the one before; return the HTML's path."""
    with job.records.lock():
        for name, data in faces(NAME, handbook(job), f"{job.site.name}: the years after").items():
            write_atomic(job.records.folder / name, data)
        lost = page(lost_page(), "Lost something?")
        write_atomic(job.records.folder / "lost.html", lost)
    return job.records.folder / f"{NAME}.html"


def lost_page(what: str = "") -> str:
    """Return what to do when something is lost, or when just this is, as Markdown."""
    rows = [row for row in facts("lost") if what in ("", row["lost"])]
    names = dict.fromkeys(row["lost"] for row in rows)
    return render("lost.md", lost={n: [r for r in rows if r["lost"] == n] for n in names})


def handbook(job: Job) -> str:
    """Return the page as Markdown."""
    site, state, owners = job.site, job.state(), defaultdict(list)
    for host in site:
        owners[host.owner].append(host.name)
    stores = state.inventories
    confirmed = {one.port for one in site.connections if one.confirmed}
    odd = {(one.port, one.group) for one in site.connections if one.port not in confirmed}
    return render(
        f"{NAME}.md",
        site=site,
        at=job.at,
        ahead=[
            one.sentence for one in told(next_steps(job, state, job.change and job.change.folder))
        ],
        rehearsal=job.rehearsal,
        keyless=state.adopted_without_key,
        most=_MOST,
        dates=sorted(_dates(state), key=lambda dated: dated[0]),
        dark=[*_dark(state)],
        occasions=facts("occasions"),
        owners=[
            (who, named(names))
            for who, names in sorted(owners.items(), key=lambda pair: -len(pair[1]))
        ],
        changes=_last_changes(state),
        folder=facts("folder"),
        place=f'"{job.folder}"' if " " in job.folder else job.folder,
        silent=named([host.name for host in site.clients if host.name not in stores]),
        oldest=min(stores.values(), key=lambda one: one.at, default=None),
        odd_ports=[f"{port} ({group})" for port, group in sorted(odd)],
    )


def _dates(state: State) -> Iterator[tuple[datetime, str, str]]:
    servers = (row for row in due_of(state, state.at) if row.label != "CA")
    for day, same in groupby(servers, lambda row: row.not_after.date()):
        rows = list(same)
        names = named([row.label for row in rows])
        yield rows[0].renew_on, f"renew what ends on {day}: {names}", _FOR["server"]
    for label in [one for one in ("CA", "next CA") if one in state.cas]:
        # A server certificate that is issued later ends with its CA, before its own time.
        end = state.cas[label].not_valid_after_utc
        what = f"replace the {label}, which ends on {end:%Y-%m-%d}: both are trusted for a while"
        yield end - timedelta(days=SERVER.days), what, _FOR["CA"]
    # The drill twice a year, counted from the last that passed, else from today.
    passed = [e for e in state.entries if e.action == DRILL and e.result == "passed"]
    last = datetime.fromisoformat(passed[-1].time) if passed else None
    told = f"the last passed on {last:%Y-%m-%d}" if last else "none has passed yet"
    what = f"copy this folder to a second place, and try that copy in a drill: {told}"
    yield last + _HALF_A_YEAR if last else state.at, what, ""
    if state.crl is not None and (end := state.crl.next_update_utc):
        what = f"sign a new revocation list: this one ends on {end:%Y-%m-%d}"
        yield end - _A_WEEK, what, _FOR["CRL"]


def _dark(state: State) -> Iterator[tuple[str, int, str]]:
    """Day, links and causes of what goes dark if nobody acts; `vmscert due` tells the hour."""
    for day, same in groupby(dark_to_come(state), lambda row: str(row["dark from"])[:10]):
        rows: list[dict[str, Any]] = list(same)
        # Short: most are certificates of servers.
        ends = (row["because"].removesuffix(" ends") for row in rows)
        causes = dict.fromkeys(end.removeprefix("the certificate on ") for end in ends)
        yield day, sum(row["links"] for row in rows), named(list(causes))


def _last_changes(state: State) -> list[dict[str, str]]:
    """The last days on which somebody changed something, newest first."""
    rows = []
    for (day, runbook), same in groupby(state.entries, lambda one: (one.day, one.runbook)):
        entries = list(same)
        done = Counter(one.action for one in entries).items()
        approved = [one.note for one in entries if one.action == "approve"]  # it names people
        notes = approved or [one.note for one in entries if one.note and not one.host]
        what = ", ".join(f"{action} {n} times" if n > 1 else action for action, n in done)
        rows.append({"day": day, "runbook": runbook, "what": what, "words": "".join(notes[-1:])})
    return rows[: -_CHANGES - 1 : -1]
