"""A laptop's clock against the times that are at hand: who signs by a wrong one is stopped."""

import re
from dataclasses import replace

import lyon
import pytest
from lyon import AT, DAY, told
from site_tables import GUIDE_CLIENTS
from site_tables import as_csv as table_of

from vmscert.agenda.channels import as_csv, as_json, calendar, mail, metrics, nagios, page_of
from vmscert.agenda.gather import gather
from vmscert.changes.change import begin
from vmscert.changes.job import Stop
from vmscert.checks.expiry import Sight, due
from vmscert.checks.lacks import lacking_roots, reported_findings
from vmscert.records.clock import Clue, behind, clues, long_ago
from vmscert.runbooks.returns import take_each
from vmscert.runbooks.stages import Runbook, runbook_of
from vmscert.windows.stores import Stores


@pytest.fixture
def job(tmp_path, lyon_secrets):
    made = lyon.open_lyon(tmp_path / "records", "12")
    others = GUIDE_CLIENTS - {role for host in made.site for role in host.roles}
    made.records.save_table(table_of(replace(made.site, absent=frozenset(others))).encode())
    return made


def seen_at(job, at):
    """The job, opened when the laptop's clock says this."""
    return replace(job, at=at, clock=lambda: at, change=None)


def back(job, host, at, **more):
    """Bring the inventory of a computer back, and say what was told."""
    ((sentence, _),) = take_each(
        job, [(f"{host}.json", lyon.inventory_of(job, host, at=at, **more))]
    )
    return sentence


@pytest.mark.parametrize(
    ("now", "newest", "wrong", "odd"),
    [
        (0, 0, False, False),
        (0, 2, False, False),
        (0, 3, True, False),
        (0, 365, True, False),
        (59, 0, False, False),
        (365, 0, False, True),
    ],
)
def test_behind_is_wrong_and_long_ago_is_odd(now, newest, wrong, odd):
    found = [Clue(AT - 900 * DAY, "a file"), Clue(AT + newest * DAY, "a line of the ledger")]
    sentence = behind(AT + now * DAY, found)
    assert bool(sentence) == wrong and bool(long_ago(AT + now * DAY, found)) == odd
    if wrong:
        assert f"a line of the ledger is of {AT + newest * DAY:%Y-%m-%d}, {newest} days" in sentence
    assert not behind(AT, []) and not long_ago(AT, [])


def test_a_clock_that_is_behind_stops_the_precheck_before_anything_else(job):
    late = seen_at(job, AT - 365 * DAY)
    *fine, wrong = told(Runbook(late).precheck())
    assert [one.ok for one in (*fine, wrong)] == [True, False]
    assert re.search(
        r"says 2025-11-23, but a line of the ledger is of 2026-11-23, 365 days", wrong.todo
    )


def test_nothing_is_begun_by_a_clock_that_is_behind(job):
    plan = next(runbook_of(seen_at(job, AT)).plan())
    lines = job.records.ledger.head()
    with pytest.raises(Stop, match="set the clock; if it is right"):
        begin(seen_at(job, AT - 3 * DAY), plan, "me", "Anna Berg")
    assert job.records.ledger.head() == lines
    assert begin(seen_at(job, AT), plan, "me", "Anna Berg").change.plan == plan


def test_the_plan_of_a_site_that_slept_asks_for_the_clock_and_is_the_same_tomorrow(job):
    plans = [next(runbook_of(seen_at(job, AT + n * DAY)).plan()) for n in (1, 365, 366)]
    assert "the clock is right" not in plans[0].why
    assert "nothing here is younger than 2026-11-23, a line of the ledger" in plans[1].why
    assert "who approves this confirms that the clock is right" in plans[1].why
    assert plans[1].hash == plans[2].hash != plans[0].hash
    assert all(one.ok for one in told(Runbook(seen_at(job, AT + 365 * DAY)).precheck())[:2])


def test_the_kit_itself_tells_a_new_site_what_time_it_must_be(job):
    new = replace(seen_at(job, AT), kit=AT + 30 * DAY)
    assert "a file of this kit is of 2026-12-23" in told(Runbook(new).precheck())[1].todo


def test_lines_of_a_clock_that_ran_ahead_count_until_an_inventory_has_the_right_time(job):
    ahead, now = seen_at(job, AT + 365 * DAY), AT + DAY
    ahead.records.note("14", "carried", at=ahead.at)
    right = seen_at(job, now)
    assert behind(now, clues(right.state()))
    back(right, "pc-1", now)
    assert not behind(now, clues(right.state()))
    assert behind(AT - 9 * DAY, clues(right.state()))  # the inventory's own time is past, too


def test_an_inventory_from_before_the_ca_tells_nothing_and_says_why(job):
    old = AT - 365 * DAY
    root = (job.records.ca_certificate,)
    assert "before there was the CA, which is of 2026-11-22: set the clock of pc-1" in back(
        job, "pc-1", old, root=root
    )
    assert job.records.inventories() == {}
    stores = replace(Stores("pc-1", AT), at=old, root=root)
    job.records.save_inventory(stores)  # it came before the CA did, or by another way
    state = job.state()
    assert "pc-1" not in state.inventories
    assert "its inventory is of 2025-11-23, before" in lacking_roots(state)["pc-1"]
    (found,) = [one for one in reported_findings(state) if one.where == "pc-1"]
    assert "the inventory of pc-1 is of 2025-11-23" in found.detail


def test_an_inventory_from_before_its_folder_is_no_answer_to_the_visit(job):
    lyon.hand_over(job, "trust")
    told = back(job, "pc-1", AT - DAY / 2)
    assert told.endswith("from before its folder was made: run inventory.ps1 there again")
    assert [e.action for e in job.records.ledger.entries()][-1] == "hand over"
    assert back(job, "pc-1", AT).endswith("22:00 UTC")
    assert [e.action for e in job.records.ledger.entries()][-1] == "brought back"


def test_an_inventory_of_a_time_that_cannot_be_gives_way_to_a_new_one(job):
    job.records.save_inventory(replace(Stores("pc-1", AT), at=AT + 400 * DAY))
    assert back(job, "pc-1", AT) == "pc-1: inventory of 2026-11-23 22:00 UTC"


# What ends when


def agenda(job, at, **more):
    return gather([str(job.records.folder)], at, str, **more)


def test_what_was_signed_by_a_clock_ahead_is_never_fine_in_any_channel(tmp_path, lyon_secrets):
    job = lyon.open_lyon(tmp_path / "records", "12")
    found = agenda(job, AT - 30 * DAY, now=AT)
    assert not found.quiet and {row.status for row in found.rows} == {"not-yet-valid"}
    code, line = nagios(found)
    assert code == 2 and "is not valid before 2026-11-2" in line
    assert "is not valid before" in mail(found).splitlines()[0]
    assert '"not-yet-valid"' in as_json(found) and b"not-yet-valid" in as_csv(found)
    assert b"<strong>not-yet-valid</strong>" in page_of(found)
    assert b"Begins: 2026-11-2" in calendar(found, AT).replace(b"\r\n ", b"")
    assert b"x509_cert_not_before" in metrics(found, AT)


def test_due_says_first_that_the_clock_is_behind(job):
    found = agenda(job, AT - 365 * DAY)
    told = "the clock of this laptop says 2025-11-23"
    assert found.clock.startswith(told)
    code, line = nagios(found)
    assert code == 2 and line.startswith(f"CERTIFICATES CRITICAL - {told}")
    assert told in mail(found).splitlines()[0]
    assert told[1:] in page_of(found).decode().partition("<table")[0]
    assert told in as_json(found)
    assert b'vmscert_unknown{filename="clock"' in metrics(found, AT)
    later = agenda(
        job, AT - 365 * DAY, now=AT
    )  # somebody asked for that day, and the clock is right
    assert not later.clock


def test_a_newer_one_that_is_not_valid_yet_puts_none_to_rest():
    ca = lyon.site_ca()
    old = ca.issue("ms.lyon.local", at=AT, key=lyon.key("a")).certificate
    new = ca.issue("ms.lyon.local", at=AT + 100 * DAY, key=lyon.key("b")).certificate
    met = [Sight("ms", one, "issued") for one in (old, new)]
    rows = due(met, AT)
    assert [row.status for row in rows] == ["ok", "not-yet-valid"]
    later = due(met, AT + 100 * DAY)
    assert [row.status for row in later] == ["replaced", "ok"]
