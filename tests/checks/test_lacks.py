"""A stage is red as long as a finding of its own is bad: gates, board and check say the same."""

from dataclasses import replace

import pytest
from lyon import precheck, switching_checks, verify_stage

from vmscert import open_job
from vmscert.changes.errands import board
from vmscert.checks.lacks import reported_findings
from vmscert.facts import DATA
from vmscert.windows.stores import Service

EXAMPLE = DATA / "sites" / "example.csv"
NAMES = {
    "13": "13-trust-the-ca-on-clients",
    "14": "14-import-server-certificates",
    "15": "15-enable-encryption",
    "16": "16-verify-the-site",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A rehearsal in which everything was done, up to runbook 15."""
    place = tmp_path_factory.mktemp("records")
    open_job(NAMES["16"], EXAMPLE, place)
    return place


@pytest.fixture
def job(folder):
    """The same; what computers report is put back as it was."""
    opened = open_job(NAMES["15"], EXAMPLE, folder)
    before = opened.records.inventories()
    yield opened
    for stores in before.values():
        opened.records.save_inventory(stores)


def report(job, name, **changes):
    job.records.save_inventory(replace(job.records.inventories()[name], **changes))


def red(job, number):
    """What keeps the stage of a runbook from holding."""
    stage, *_ = verify_stage(replace(job, runbook=NAMES[number]))
    return stage.todo


def test_a_finished_rehearsal_holds_at_every_gate(job):
    assert not any(red(job, number) for number in ("13", "14", "15"))
    assert all(one.ok for one in (*precheck(job), *switching_checks(job)))
    assert {one.state for one in board(job)} == {"verified"}
    assert reported_findings(job.state()) == []


def test_a_service_that_runs_as_another_account_stops_the_import_and_what_follows(job):
    """The table names no account, the inventory does, and that one can't read the key."""
    runs = Service("Milestone XProtect Recording Server", "", r"VMS-REC-01\svc-rec", "Running")
    report(job, "vms-rec-01", services=(runs,))
    (finding,) = [one for one in reported_findings(job.state()) if one.severity == "bad"]
    assert finding.code == "key-not-readable"
    assert finding.detail in red(job, "14")
    assert not all(one.ok for one in precheck(job))
    (mine,) = [one for one in board(job) if one.computer == "vms-rec-01"]
    assert (mine.state, mine.lacks) == ("reported back", finding.detail)
    assert mine.next == finding.rule.remedy_text


def test_a_client_that_never_trusts_the_ca_is_told_before_encryption_is_switched_on(job):
    report(job, "vms-pc-01", disallowed=(job.records.ca_certificate,))
    for server in ("vms-rec-01", "vms-ms-01"):
        report(job, server, bindings={})
    assert "vms-pc-01 holds the CA certificate" in red(job, "13")
    told = [one for one in switching_checks(job) if not one.ok]
    assert {one.what.split()[0] for one in told} >= {"vms-rec-01", "vms-ms-01"}
    assert all("vms-pc-01 goes dark: " in one.todo and "Disallowed" in one.todo for one in told)


def test_a_clock_that_is_off_stops_the_stage_of_its_computer(job):
    report(job, "vms-pc-01", clock_offset=3600.0, clock_source="the management server")
    assert "the clock of vms-pc-01 is 60 minutes ahead" in red(job, "13")
    assert red(job, "14") == ""


def test_a_server_is_judged_with_its_newest_certificate_before_it_uses_it(job):
    """Whoever calls it must accept that one, whatever it serves today."""
    held = job.records.inventories()["vms-rec-01"]
    mute = tuple(replace(one, readers=()) for one in held.personal)
    report(job, "vms-rec-01", bindings={}, personal=mute)
    told = next(one.todo for one in switching_checks(job) if one.what.startswith("vms-rec-01"))
    assert "can't read the private key" in told


def test_a_caller_of_which_nothing_is_known_is_said_to_be_unknown_and_stops_the_step(job):
    """Its inventory is put aside for this test, and back afterwards."""
    report(job, "vms-rec-01", bindings={})
    (job.records.folder / "inventory" / "vms-pc-01.json").unlink()
    told = next(one for one in switching_checks(job) if one.what.startswith("vms-rec-01"))
    assert not told.ok
    assert "vms-pc-01 may go dark, nobody knows: no inventory came back" in told.todo
