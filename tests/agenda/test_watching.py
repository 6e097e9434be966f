"""Text that lets computers watch: whatever a folder is called, it stays one word of its command."""

import re
import shlex

import folders
import powershell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmscert.agenda.channels import crontab, notification_script, scheduled_task
from vmscert.facts import facts
from vmscert.windows.scripts import script_inputs

HOSTILE = "'`$\"();#@{}%, \\|&!^~*é"
names = st.text(st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=12)


def read_back(line):
    """The words of a command line, as the C runtime of Windows splits it."""
    words = re.findall(r'"((?:[^"\\]|\\(?!\\*"))*)((?:\\\\)*)"', line)
    return [body + tail[::2] for body, tail in words]


@given(name=names, other=names)
def test_cron_hands_every_name_over_as_it_is(name, other):
    try:
        text = crontab("/opt/vm s/vmscert", ["due", name, other], "due.log").decode()
    except ValueError as error:
        assert "invisible" in str(error)
    else:
        *_, line = text.splitlines()
        assert text.count("\n") == len(text.splitlines()) == 4
        assert not re.search(r"(?<!\\)%", line)
        words = shlex.split(line.removeprefix("0 7 * * * ").replace("\\%", "%"))
        assert words == ["/opt/vm s/vmscert", "due", name, other]


@given(name=names, other=names)
def test_a_task_of_windows_hands_every_name_over_as_it_is(name, other):
    try:
        data = scheduled_task("C:\\vm's\\vmscert.exe", ["due", name, other], "C:\\due.log")
    except ValueError as error:
        assert re.search("invisible|quote|variable|share", str(error))
    else:
        assert read_back(script_inputs(data)["Arguments"]) == ["due", name, other]
        assert powershell.code(data) == powershell.code(scheduled_task("x", ["due"], ""))


@pytest.mark.parametrize(
    ("word", "why"),
    [("\\\\nas\\lyon.csv", "share"), ("C:\\%TEMP%\\lyon.csv", "variable"), ('a"b', "quote")],
)
def test_what_a_task_of_windows_does_not_hand_over_or_reach_is_told(word, why):
    """A task puts variables into its arguments, and has no rights on shares without a password."""
    with pytest.raises(ValueError, match=why):
        scheduled_task("C:\\kit\\vmscert.exe", ["due", word], "C:\\due.log")


def test_the_lines_for_cron_are_comments_but_the_last_and_tell_how_to_see_that_it_runs():
    lines = crontab("/opt/vmscert", ["due", "lyon.csv"], "/var/log/o'ps/due.log").decode()
    *told, last = lines.splitlines()
    assert all(line.startswith("# ") for line in told)
    assert last == "0 7 * * * /opt/vmscert due lyon.csv"
    assert shlex.quote("/var/log/o'ps/due.log") in " ".join(told)


def test_the_script_for_windows_knows_every_lifecycle_event_and_which_of_them_start_a_task():
    text = notification_script().decode("utf-8-sig")
    rows = facts("windows/lifecycle-events")
    assert [row["event"] for row in rows] == [str(n) for n in range(1001, 1011)]
    for row in rows:
        assert f"'{row['event']}' = '{row['meaning']}" in text
    assert {row["event"] for row in rows if row["starts_task"] == "Expire"} == {"1002", "1003"}


@pytest.mark.parametrize("data", [notification_script(), scheduled_task("x", ["due"], "y")])
def test_a_task_has_a_name_that_windows_takes(data):
    """MS-TSCH 2.3.11 forbids three characters."""
    assert not set(script_inputs(data)["TaskName"]) & set(":/\\")


@pytest.mark.parametrize("name", ["TaskName", "EventSource", "Folder", "Days"])
def test_the_script_for_windows_has_all_of_its_values(name):
    assert script_inputs(folders.folders()["watch"]["notify.ps1"])[name]
