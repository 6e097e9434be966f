"""A site is read once: in one command, and in whatever a notebook calls that only looks."""

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from lyon import plan_certificates

from vmscert import open_job
from vmscert.agenda.gather import dark_to_come
from vmscert.changes.errands import board
from vmscert.checks.lacks import lacking_roots
from vmscert.cli import main as cli
from vmscert.notebook.board import time_machine
from vmscert.runbooks.handbook import handbook
from vmscert.runbooks.overlap import overlap_of
from vmscert.runbooks.replace import Renew, retirable
from vmscert.runbooks.stages import STAGES, runbook_of

LOOKING = {
    "board": board,
    "ends": lambda job: list(Renew(job).ends(90)),
    "dark_to_come": lambda job: dark_to_come(job.state()),
    "handbook": handbook,
    "lacking_roots": lambda job: lacking_roots(job.state()),
    "overlap_of": overlap_of,
    "plan_certificates": plan_certificates,
    "retirable": lambda job: retirable(job, []),
    "time_machine": time_machine,
}
COMMANDS = {
    "board": lambda folder: ["board", "--site", f"{folder}/site.csv", "--folder", str(folder)],
    "check": lambda folder: ["check", str(folder)],
    "due": lambda folder: ["due", str(folder)],
    "plan": lambda folder: ["plan", f"{folder}/site.csv"],
}
_opened: list[str] | None = None


def _hear(event, arguments):
    if _opened is not None and event == "open" and isinstance(arguments[0], str | bytes | Path):
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)  # one that is added stays: it listens only while somebody counts


@contextmanager
def counted(folder):
    """Count how often each file below a folder is opened; the lock is no file of the site's."""
    global _opened
    _opened, found = [], Counter()
    try:
        yield found
    finally:
        heard, _opened = _opened, None
        below = (Path(one) for one in heard if Path(one).is_relative_to(folder))
        found.update(one.name for one in below if not one.name.startswith(".lock"))


def twice(found):
    return {name: count for name, count in found.items() if count > 1}


@pytest.fixture(scope="module")
def job(site_folder):
    return open_job("17-renew-before-expiry", "data/sites/example.csv", site_folder)


@pytest.mark.parametrize("call", ["precheck", "verify"])
@pytest.mark.parametrize("row", STAGES.values(), ids=lambda row: row["runbook"])
def test_a_cell_that_looks_at_a_stage_opens_no_file_of_the_site_twice(job, row, call):
    runbook = runbook_of(replace(job, runbook=row["name"]))
    with counted(job.records.folder) as found:
        list(getattr(runbook, call)())
    assert found
    assert twice(found) == {}


@pytest.mark.parametrize("name", LOOKING)
def test_whatever_only_looks_opens_no_file_of_the_site_twice(job, name):
    with counted(job.records.folder) as found:
        LOOKING[name](job)
    assert found
    assert twice(found) == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_opens_no_file_of_the_site_twice(site_folder, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vmscert", *COMMANDS[name](site_folder)])
    with counted(site_folder) as found, pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out
    assert found["site.csv"] == 1
    assert twice(found) == {}
