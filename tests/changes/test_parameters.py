"""The parameters of a runbook: one table says what they are, the notebook's cell says the same."""

import ast
from pathlib import Path

import nbformat
import pytest

from vmscert.changes.execute import example, parameter_cell, parameters, read_settings
from vmscert.facts import NOTEBOOKS, facts

RUNBOOKS = [row["name"] for row in facts("change/runbooks")]
COMPROMISE = "19-answer-a-key-compromise"


def cell_of(runbook):
    cells = nbformat.read(NOTEBOOKS / f"{runbook}.ipynb", as_version=4).cells
    return next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ()))


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_the_cell_of_each_runbook_says_what_the_table_says(runbook):
    assert cell_of(runbook) == parameter_cell(runbook, {})


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_what_says_something_of_the_world_has_no_default_but_in_a_rehearsal(runbook):
    asked = {name: row for name, row in parameters(runbook).items() if row["asks"]}
    assert not any(row["default"] for row in asked.values())
    assert all(example(runbook, name) not in ("", None) for name in asked)


def test_a_cell_holds_just_the_values_that_were_given_as_values():
    odd = "it's \"sold\"\n'); import os #"
    cell = parameter_cell(COMPROMISE, {"REASON": odd, "AT_WORK": True})
    lines = [node for node in ast.parse(cell).body if isinstance(node, ast.AnnAssign)]
    values = {node.target.id: ast.literal_eval(node.value) for node in lines}
    assert values["REASON"] == odd
    assert values["AT_WORK"] is True
    assert values.keys() == parameters(COMPROMISE).keys()
    assert len(lines) == len(ast.parse(cell).body)


def test_settings_are_read_as_their_kind_and_paths_count_from_here():
    told = read_settings(COMPROMISE, ["REASON=5", "AT_WORK=No", "FOLDER=here", "STOLEN=a=b"])
    assert told == {
        "REASON": "5",
        "AT_WORK": False,
        "FOLDER": str(Path("here").resolve()),
        "STOLEN": "a=b",
    }
    assert read_settings("17-renew-before-expiry", ["WITHIN_DAYS=30"]) == {"WITHIN_DAYS": 30}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("WITHIN_DAYS", "write NAME=VALUE with one of SITE, FOLDER, WITHIN_DAYS"),
        ("WITHIN=3", "write NAME=VALUE with one of"),
        ("WITHIN_DAYS=soon", "WITHIN_DAYS is a number"),
        ("NEW_KEY=maybe", "NEW_KEY is yes or no"),
    ],
)
def test_a_setting_that_is_none_is_told_in_a_sentence(setting, told):
    with pytest.raises(ValueError, match=f"--set {setting}: {told}"):
        read_settings("17-renew-before-expiry", [setting])


def test_a_value_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="Parameter DAYS is a number, not '90'"):
        parameter_cell("17-renew-before-expiry", {"DAYS": "90"})
    with pytest.raises(ValueError, match="has no parameter WEEKS: it has SITE, FOLDER"):
        parameter_cell("17-renew-before-expiry", {"WEEKS": 3})
