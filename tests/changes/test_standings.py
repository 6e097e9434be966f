"""The board tells where each computer stands, and who has to go where next."""

from dataclasses import replace
from types import SimpleNamespace

import lyon
import pytest
from lyon import check_issued, precheck, take_back

from vmscert.certificates.authority import thumbprint
from vmscert.changes.errands import board, hand_over, mark_carried
from vmscert.checks.expiry import due_of
from vmscert.checks.lacks import MISSING, missing_encryption
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import renew_certificates, sign_requests
from vmscert.runbooks.stages import runbook_of
from vmscert.windows.stores import LogLine, Stores

FAILED = LogLine("2026-11-23T22:00:00Z", "right-time", "failed", "The clock is 400 seconds off.")

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture
def job(tmp_path):
    return lyon.open_lyon(tmp_path / "records", number="13")


def of(job, name):
    return next(one for one in board(job) if one.computer == name)


def report(job, name, **parts):
    """Bring the inventory of a computer back."""
    return take_back(job, f"{name}.json", lyon.inventory_of(job, name, **parts))


def test_a_computer_goes_from_no_folder_to_verified(job):
    told = []

    def note():
        one = of(job, "pc-1")
        told.append((one.state, one.lacks, one.next))

    note()
    (errand,) = hand_over(job, "trust", ["pc-1"])
    note()
    mark_carried(job, ["pc-1"])
    note()
    report(job, "pc-1", log=(FAILED,))
    note()
    lyon.visit(job, errand)
    note()
    place = "hand-over/pc-1/2026-11-23"
    silent = "no inventory came back"
    assert told == [
        ("no folder yet", silent, "prepare its folder"),
        ("to do", silent, f"carry {place} there, run install.ps1"),
        ("carried", silent, "run install.ps1 there, bring pc-1.json back"),
        (
            "reported back",
            "the CA certificate",
            "step right-time failed: The clock is 400 seconds off.",
        ),
        ("verified", "", ""),
    ]


def test_a_step_that_failed_before_the_last_one_is_done_with(job):
    hand_over(job, "trust", ["pc-1"])
    report(job, "pc-1", log=(FAILED, replace(FAILED, result="done", detail="right")))
    assert of(job, "pc-1").next == "run install.ps1 there again"


def test_asking_for_a_folder_again_does_not_unsay_that_it_was_carried(job):
    hand_over(job, "trust")
    mark_carried(job, ["pc-1"])
    hand_over(job, "trust")
    assert of(job, "pc-1").state == "carried"
    hand_over(lyon.changed(job, "pc-1", owner="Somebody else"), "trust")
    assert of(job, "pc-1").state == "to do"


def test_the_board_has_the_order_of_the_plan_and_who_has_nothing_to_do_stands_last(job):
    errands = hand_over(job, "trust", ["pc-1"])
    hand_over(job, "request")
    lyon.visit(job, errands[0])
    mark_carried(job, ["rec-1"])
    assert [(one.computer, one.state) for one in board(job)] == [
        ("rec-1", "carried"),
        ("mob", "to do"),
        ("web-1", "no folder yet"),
        ("pc-1", "verified"),
    ]
    lyon.carry_out(job)
    job = replace(job, runbook="16-verify-the-site")
    everywhere = job.records.inventories()
    for name in ("ms", "rec-1", "mob"):  # nothing is encrypted there any more
        job.records.save_inventory(replace(everywhere[name], bindings={}))
    fresh = [one.computer for one in board(job)]
    assert fresh[:3] == ["ms", "rec-1", "mob"]  # what recorders do follows the management server


@pytest.mark.parametrize(
    ("number", "computers"),
    [
        ("11", set()),
        ("12", {"rec-1", "mob"}),
        ("13", {"rec-1", "mob", "pc-1", "web-1"}),
        ("14", {"rec-1", "mob", "pc-1", "web-1", "ms"}),
        ("15", {"rec-1", "mob", "pc-1", "web-1", "ms"}),
    ],
)
def test_a_runbook_lists_those_that_it_and_the_earlier_ones_send_somebody_to(
    job, number, computers
):
    job = replace(job, runbook=f"{number}-any")
    assert {one.computer for one in board(job)} == computers
    assert {one.computer for one in board(job) if one.lacks} <= {
        name for n in MISSING if n <= number for name in MISSING[n](job.state())
    }


def test_a_server_is_verified_in_one_runbook_and_to_do_again_in_the_next(job):
    job = lyon.numbered(job, "14")
    (errand,) = hand_over(job, "import", ["ms"])
    lyon.visit(job, errand)
    assert of(job, "ms").state == "verified"
    job = lyon.numbered(job, "15")
    assert of(job, "ms").lacks == "server"
    hand_over(job, "encrypt", ["ms"])
    assert of(job, "ms").next.endswith("run install.ps1 -Phase Encrypt")


def test_a_request_that_came_back_waits_for_its_ca_and_nobody_walks(job):
    job = lyon.numbered(job, "12")
    hand_over(job, "request")
    for host in (lyon.REC, lyon.MOB):
        take_back(job, f"{host.name}.req", lyon.csr_of(host))
    assert of(job, "rec-1").next == "sign requests/rec-1.req"
    asked = "send requests/mob.req to its CA, for video.example.com: it waits since 2026-11-23"
    assert of(job, "mob").next == asked
    sign_requests(job)
    take_back(job, "mob.pem", lyon.pem(*lyon.answer_to(job)))
    assert {one.state for one in board(job)} == {"verified"}


def test_what_simulated_computers_report_counts_as_brought_back(job):
    from vmscert.changes.rehearsal import walk

    (job.records.folder / "REHEARSAL.txt").write_text("test")
    walk(job, hand_over(job, "trust"))
    assert of(job, "pc-1").state == "verified"
    job.records.save_inventory(Stores("pc-1", job.at + lyon.DAY))
    assert of(job, "pc-1").state == "reported back"


def test_a_computer_that_is_not_in_the_table_is_not_marked_and_neither_are_the_others(job):
    before = job.records.ledger.entries()
    with pytest.raises(ValueError, match=r"^pc-8, pc-9: not in the table of lyon$"):
        mark_carried(job, ["pc-1", "pc-8", "pc-9"])
    assert job.records.ledger.entries() == before


class TestRenewal:
    """Runbook 17 on a site that works: whom it sends where, until the old certificates are gone."""

    @pytest.fixture
    def running(self, tmp_path):
        job = lyon.numbered(lyon.open_lyon(tmp_path / "records"), "15")
        lyon.carry_out(job)
        job = replace(job, runbook="17-renew-before-expiry")
        assert {one.state for one in board(job)} == {"verified"}
        return job

    def test_of_a_key_made_here_goes_through_both_visits_in_their_order(self, running):
        renew_certificates(running, ["ms"], lyon.PFX_PASSWORD)
        for _ in range(2):  # run again, the cell changes nothing
            (first, then) = [hand_over(running, phase)[0] for phase in ("import", "encrypt")]
            assert "run install.ps1" in of(running, "ms").next
            assert "Encrypt" not in of(running, "ms").next
        mark_carried(running, ["ms"])
        hand_over(running, "import")
        assert of(running, "ms").state == "carried"
        lyon.visit(running, first)
        assert of(running, "ms").next.startswith("run install.ps1 -Phase Encrypt there")
        lyon.visit(running, then, phase="Encrypt")
        done = of(running, "ms")
        assert done.state == "verified"
        assert done.next.endswith("In a week: install.ps1 -Phase Retire")
        assert of(lyon.numbered(running, "15"), "ms").next == ""
        lyon.visit(running, then, phase="Retire")
        assert of(running, "ms").next == ""

    def test_of_a_key_made_there_asks_for_a_request_though_the_old_certificate_is_good(
        self, running
    ):
        (errand,) = hand_over(running, "request", ["rec-1"])
        assert of(running, "rec-1").state == "to do"
        lyon.visit(running, errand, script="request")
        take_back(running, "rec-1.json", lyon.inventory_of(running, "rec-1"))
        assert of(running, "rec-1").next == "sign requests/rec-1.req"
        assert len(sign_requests(running)) == 1
        assert of(running, "rec-1").lacks == "its certificate"

    def test_of_another_cas_server_asks_once_and_not_for_what_is_new(self, running):
        change = lyon.Approved()
        change.plan = SimpleNamespace(lines=len(running.records.ledger.entries()))
        runbook = runbook_of(replace(running, change=change))

        def asked(due=("mob",)):
            runbook.due = list(due)
            *first, _ = runbook.renew()
            return [errand.host for part in first for errand in part.rows]

        assert asked() == ["mob"]
        take_back(running, "mob.req", lyon.csr_of(lyon.MOB, word="second"))
        assert asked() == []
        end = lyon.AT + 90 * lyon.DAY
        answer = lyon.answer_to(running, word="second", end=end)
        take_back(running, "mob.pem", lyon.pem(*answer))
        assert asked() == []
        list(runbook.ends(90))  # all that it will ever have: else it were due on its first day
        assert "mob" not in runbook.due
        list(runbook.ends(91))
        assert "mob" in runbook.due

    def test_can_be_opened_again_while_its_files_are_under_way(self, running):
        renew_certificates(running, ["ms"], lyon.PFX_PASSWORD)
        assert [check for check in precheck(running) if not check.ok] == []

    def test_forgets_a_server_that_is_no_longer_in_the_table(self, running):
        hosts = tuple(host for host in running.site if host.name != "rec-1")
        left = replace(running, site=replace(running.site, hosts=hosts))
        assert "rec-1" not in {row.label for row in due_of(left.state(), left.at)}
        assert check_issued(left) == []

    def test_of_an_event_server_that_names_no_certificate_is_told_by_what_it_was_given(
        self, running, tmp_path
    ):
        """UNKNOWN is enough only where the inventory says that this certificate was given."""
        stores = running.records.inventories()["ms"]
        bound = dict(stores.bindings) | {"event server": "UNKNOWN"}
        given = {"event server": thumbprint(running.state().current["ms"])}
        running.records.save_inventory(replace(stores, bindings=bound, given=given))
        with_events = lyon.changed(running, "ms", roles=("management server", "event server"))
        assert "ms" not in missing_encryption(with_events.state())
        without = replace(with_events, records=Records(tmp_path / "without certificates"))
        without.records.save_inventory(replace(stores, bindings={"event server": "UNKNOWN"}))
        assert missing_encryption(without.state())["ms"] == "server, event server"
        running.records.save_inventory(replace(stores, bindings=bound, given={}))
        assert missing_encryption(with_events.state()) == {"ms": "event server"}
        unread = {"event server": "its file is cut short"}
        running.records.save_inventory(replace(stores, bindings=bound, given=given, unread=unread))
        assert missing_encryption(with_events.state()) == {"ms": "event server"}
