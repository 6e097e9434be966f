"""The board shows a state by word, sign and colour, and says how many computers stand where."""

import pytest

from vmscert.changes.errands import hand_over
from vmscert.changes.job import EXAMPLE
from vmscert.changes.rehearsal import walk
from vmscert.notebook.board import _MARKS, board_form
from vmscert.runbooks.stages import open_job


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A rehearsal in which the mobile server's request came back and nobody answered it."""
    folder = tmp_path_factory.mktemp("records")
    job = open_job("12-create-server-certificates", EXAMPLE, folder)
    walk(job, hand_over(job, "request"))
    return job


def test_the_computers_are_counted_and_a_state_has_its_sign(asked):
    shown = board_form(asked).shown()
    assert "<p>1 computer: 1 reported back.</p>" in shown["text/html"]
    assert "← reported back</span>" in shown["text/html"]
    assert shown["text/plain"].splitlines()[:2] == [
        "Next: 12-create-server-certificates, for vms-ms-01, vms-rec-01, vms-rec-02 and 2 more "
        "(no certificate yet).",
        "1 computer: 1 reported back.",
    ]


def test_folders_are_offered_only_while_some_wait_to_be_carried(asked):
    form = board_form(asked)
    form.shown()
    leaving, _ = form.form.children
    assert (leaving.children[1].options, leaving.layout.display) == ((), "none")


def test_every_state_has_a_look_of_its_own():
    signs = {state: mark.split(">")[1][0] for state, mark in _MARKS.items()}
    assert (signs["carried"], signs["to do"], signs["verified"]) == ("→", "☐", "✓")
    assert len(set(signs.values())) == len({mark.split(";")[0] for mark in _MARKS.values()}) == 7
