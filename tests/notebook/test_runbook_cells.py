"""What the cells of a runbook call shows itself, and stops in one sentence."""

import pytest
from IPython.utils.capture import capture_output

from vmscert.changes.job import EXAMPLE, Stop
from vmscert.findings import Check
from vmscert.notebook import open_runbook, runbook
from vmscert.notebook.forms import Password
from vmscert.runbooks.stages import Checks, Parts, Runbook

IMPORT = "14-import-server-certificates"


@pytest.fixture
def job(rehearsed):
    return open_runbook(IMPORT, EXAMPLE, rehearsed)


def said(told):
    """What was shown, as plain text; without a shell, display() prints."""
    return told.stdout + "".join(one.data["text/plain"] for one in told.outputs)


def shown(call, *values):
    """What a call shows."""
    with capture_output() as told:
        assert call(*values) is None
    return said(told)


def test_a_runbook_offers_what_its_cells_may_call_and_each_says_what_it_does(job):
    assert {"approve", "board", "close", "look", "plan", "precheck", "verify", "visit"} <= {
        *dir(job)
    }
    assert not {"deeds", "job", "rehearse", "roll_out", "standing_still"} & {*dir(job)}
    assert all(getattr(job, name).__doc__ for name in dir(job))


def test_a_name_that_it_has_not_is_answered_with_those_that_it_has(job):
    with pytest.raises(
        AttributeError, match="no 'roll_out': try acceptance, approve, board, close, look"
    ):
        job.roll_out()


def test_it_is_planned_approved_done_verified_and_closed_by_one_call_each(job):
    assert "ms-01.pfx" in shown(job.look)
    assert "every computer that is no server trusts the CA" in shown(job.precheck)
    shown(job.plan)
    left = shown(job.approve, "", "Bob Stone", "").strip()
    assert left == "Nothing is to be done at any computer."  # all is done already
    assert "and its service can read the key" in shown(job.verify)
    assert shown(job.close).startswith("Closed and signed: ")


def test_nothing_is_approved_before_it_is_planned(job):
    with pytest.raises(ValueError, match="no plan yet: run the cell above"):
        job.approve("", "", "")


def test_it_stops_where_a_check_fails_and_shows_what_it_told_before(job, monkeypatch):
    def half(_runbook) -> Parts:
        yield "this much is done"
        yield Checks([Check("the sky is up", False, "Hold it")])
        raise AssertionError("nothing comes after a stop")

    monkeypatch.setattr(Runbook, "precheck", half)
    with capture_output() as told, pytest.raises(Stop, match=r"not yet: the sky is up\. Hold it"):
        job.precheck()
    assert said(told).startswith("this much is done\n")
    assert "Hold it" in said(told)


def test_a_new_password_is_shown_before_it_is_used_and_stays_the_same_in_one_run(
    rehearsed, monkeypatch
):
    made = iter(("first", "second"))

    def fresh(*_):
        return Password(next(made), "shown once", fresh=True)

    monkeypatch.setattr(runbook, "pfx_password", fresh)
    opened = open_runbook("12-create-server-certificates", EXAMPLE, rehearsed)
    used = []
    monkeypatch.setattr(
        "vmscert.runbooks.certificates.issue_certificates",
        lambda _job, password: used.append(password) or [],
    )
    with capture_output():
        opened.issue()
        opened.issue()
    assert used == ["first", "first"]
