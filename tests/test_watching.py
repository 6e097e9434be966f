"""Text that lets computers watch: whatever a folder is called, it stays one word of its command."""

import re
import shlex

import folders
import powershell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmscert.facts import facts
from vmscert.scripts import script_inputs
from vmscert.watching import cron_line, daily_run, notification_script, scheduled_task

HOSTILE = "'`$\"();#@{}%, \\|&!^~*é"
names = st.text(st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=12)


def read_back(line):
    """The words of a command line, as the C runtime of Windows splits it."""
    words = re.findall(r'"((?:[^"\\]|\\(?!\\*"))*)((?:\\\\)*)"', line)
    return [body + tail[::2] for body, tail in words]


@given(name=names, other=names)
def test_cron_hands_every_name_over_as_it_is(name, other):
    try:
        line = cron_line("/opt/vm s/vmscert", ["due", name, other])
    except ValueError as error:
        assert "invisible" in str(error)
    else:
        assert len(line.splitlines()) == 1
        assert not re.search(r"(?<!\\)%", line)
        words = shlex.split(line.removeprefix("0 7 * * * ").replace("\\%", "%"))
        assert words == ["/opt/vm s/vmscert", "due", name, other]


@given(name=names, other=names)
def test_a_task_of_windows_hands_every_name_over_as_it_is(name, other):
    try:
        data = scheduled_task("C:\\vm's\\vmscert.exe", ["due", name, other])
    except ValueError as error:
        assert re.search("invisible|quote", str(error))
    else:
        assert read_back(script_inputs(data)["Arguments"]) == ["due", name, other]
        assert powershell.code(data) == powershell.code(scheduled_task("x", ["due"]))


def test_both_run_the_mail_with_its_memory():
    text = daily_run("vmscert", ["lyon.csv"], "told.json")
    assert text.count("--mail") == text.count("--remember") == 2


def test_the_script_for_windows_knows_every_lifecycle_event_and_which_of_them_start_a_task():
    text = notification_script().decode("utf-8-sig")
    rows = facts("windows/lifecycle-events")
    assert [row["event"] for row in rows] == [str(n) for n in range(1001, 1008)]
    for row in rows:
        assert f"'{row['event']}' = '{row['meaning']}" in text
    assert {row["event"] for row in rows if row["starts_task"] == "Expire"} == {"1002", "1003"}
    assert "-Type Expire" in text


@pytest.mark.parametrize("name", ["TaskName", "EventSource", "Folder", "Days"])
def test_the_script_for_windows_has_all_of_its_values(name):
    assert script_inputs(folders.folders()["watch"]["notify.ps1"])[name]
