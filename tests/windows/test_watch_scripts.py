"""The scripts that watch, run by PowerShell: what they register, write, say and take away."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import computer as computers
import pytest
from computer import Trouble, encoded

from vmscert.agenda.channels import notification_script, scheduled_task
from vmscert.certificates.authority import QUICK, create_authority
from vmscert.facts import facts
from vmscert.site.site import Host
from vmscert.windows.scripts import script, script_inputs

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
PROGRAM = r"C:\Program Files\vm's\vmscert.exe"
ARGUMENTS = ["due", r"D:\Site d'été\lyon.csv", "--mail"]


class Computer(computers.Computer):
    """A computer with the script that watches it, in a folder of a person."""

    def __init__(self, place):
        super().__init__(Host("PC-01", "example.local"), place)
        self.folder = self.disk / "Program Files" / "vmscert"
        self.script = self.disk / "notify.ps1"
        inputs = script_inputs(notification_script())
        self.script.write_bytes(script("notify", **(inputs | {"Folder": str(self.folder)})))
        with self.changed() as windows:
            windows["user"] = r"LYON\ann o'neill"

    def run(self, words="", file=None, answers="", culture="en-US"):
        command = f"& '{file or self.script}' {words}"
        self.last = self.powershell(command, AT, list(answers), culture)
        return self.last.told

    def holds(self, name, days):
        """Put a certificate into the store of the computer that ends in so many days."""
        made = AT - timedelta(days=QUICK.days - days)
        one = create_authority(name, made, QUICK).certificate
        with self.changed() as windows:
            mine = windows["stores"].setdefault(r"LocalMachine\My", [])
            mine.append({"der": encoded(one)})
        return one

    def is_old(self):
        """Be a Windows that has no tasks in PowerShell."""
        with self.changed() as windows:
            windows["missing_commands"] = ["Register-ScheduledTask"]

    @property
    def task(self):
        return next(iter(self.windows.get("tasks", [])), None)

    @property
    def events(self):
        return self.windows.get("events", [])

    @property
    def traces(self):
        """What the script left on the computer."""
        windows = self.windows
        kept = {"task" for _ in windows.get("tasks", [])} | set(windows.get("event_sources", []))
        return kept | {path.name for path in self.folder.parent.rglob("*")}


@pytest.fixture
def computer(windows, tmp_path):
    return Computer(tmp_path)


@pytest.fixture
def scheduled(computer):
    computer.script = computer.disk / "schedule.ps1"
    data = scheduled_task(PROGRAM, ARGUMENTS, str(computer.disk / "due.log"))
    computer.script.write_bytes(data)
    return computer


class TestNotify:
    def test_registers_a_task_that_no_execution_policy_of_a_computer_stops(self, computer):
        code, told, error = computer.run("Register")
        assert (code, error) == (0, "")
        assert told.splitlines()[-1] == "PC-01, Register: done."
        for row in facts("windows/lifecycle-events"):
            assert f"Lifecycle event {row['event']}: {row['meaning']}" in told
        root = ET.fromstring(computer.task["xml"])
        assert root.find(f".//{TASK}UserId").text == "S-1-5-18"
        assert root.find(f".//{TASK}StartWhenAvailable").text == "true"
        assert root.find(f".//{TASK}DaysInterval").text == "1"
        program = root.find(f".//{TASK}Command").text
        assert program == r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
        line = root.find(f".//{TASK}Arguments").text
        copied = re.fullmatch(
            r'-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "(.*)" Tell', line
        )
        assert Path(copied[1]).read_bytes() == computer.script.read_bytes()

    def test_the_task_starts_at_the_two_events_of_an_end_and_no_other(self, computer):
        computer.run("Register")
        query = ET.fromstring(computer.task["xml"]).find(f".//{TASK}Subscription").text
        select = ET.fromstring(query.strip()).find(".//Select")
        assert select.text == "*[System[(EventID=1002 or EventID=1003)]]"
        channel = "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational"
        assert select.get("Path") == channel

    def test_register_may_be_repeated_and_from_its_own_copy(self, computer):
        assert [computer.run("Register")[0] for _ in range(2)] == [0, 0]
        copied = computer.folder / "notify.ps1"
        assert computer.run("Register", copied)[0] == 0
        assert copied.read_bytes() == computer.script.read_bytes()

    def test_remove_undoes_register_whole(self, computer):
        computer.run("Register")
        assert computer.traces == {"task", "vmscert", "notify.ps1"}
        code, told, _ = computer.run("Remove", computer.folder / "notify.ps1")
        assert (code, told) == (0, "PC-01, Remove: done.")
        assert computer.traces == set()
        assert computer.run("Remove")[1] == "PC-01, Remove: nothing to do."

    def test_remove_leaves_a_folder_in_which_something_else_lies(self, computer):
        computer.run("Register")
        (computer.folder / "letter.txt").touch()
        assert computer.run("Remove")[0] == 0
        assert [one.name for one in computer.folder.iterdir()] == ["letter.txt"]

    @pytest.mark.parametrize(
        "line",
        [
            "Tell",
            "",
            "Tell 5",
            "-OldCertHash AB12 -NewCertHash CD34 -EventRecordId 5",
            "0123456789abcdef0123456789abcdef01234567 89abcdef0123456789abcdef0123456789abcdef 5",
        ],
    )
    def test_tell_takes_whatever_windows_hands_over(self, computer, line):
        ends, _ = computer.holds("soon", 9), computer.holds("later", 99)
        code, told, error = computer.run(line)
        assert (code, told, error) == (0, "PC-01, Tell: 1 certificates end within 30 days.", "")
        (event,) = computer.events
        assert event.startswith("vmscert Warning 1003: The certificate CN=soon")
        assert f"ends on {ends.not_valid_after_utc:%Y-}" in event

    @pytest.mark.parametrize("culture", ["th-TH", "ar-SA", "fa-IR"])
    def test_dates_are_those_of_everybody_in_every_country(self, computer, culture):
        ends = computer.holds("soon", 9)
        computer.run("Tell", culture=culture)
        assert (
            f"ends on {ends.not_valid_after_utc.astimezone():%Y-%m-%d %H:%M}" in computer.events[0]
        )

    def test_a_mistyped_action_is_told_and_does_nothing(self, computer):
        code, told, _ = computer.run("Registr")
        assert (code, told) == (
            1, "PC-01 failed: the action Registr is unknown. Write Register, Tell or Remove.",
        )  # fmt: skip
        assert computer.traces == set()

    def test_confirm_asks_once_and_no_changes_nothing(self, computer):
        code, _, _ = computer.run("Register -Confirm", answers="n")
        assert (code, len(computer.last.asked), computer.traces) == (0, 1, set())
        code, _, _ = computer.run("Register -Confirm", answers="y")
        assert (code, len(computer.last.asked), computer.task is None) == (0, 1, False)
        code, _, _ = computer.run("Remove -Confirm", answers="y")
        assert (code, len(computer.last.asked), computer.task) == (0, 1, None)

    @pytest.mark.parametrize("action", ["Register", "Tell", "Remove"])
    def test_whatif_tells_what_would_be_and_needs_no_rights(self, computer, action):
        computer.holds("soon", 9)
        if action == "Remove":
            computer.run("Register")
        before = computer.traces
        computer.trouble = Trouble(elevated=False)
        code, told, _ = computer.run(f"{action} -WhatIf")
        assert (code, told.count("What if:")) == (0, 1)
        assert computer.traces == before
        assert computer.run("Register")[1].startswith("PC-01 failed: administrator rights")

    @pytest.mark.parametrize("action", ["Register", "Remove"])
    def test_where_windows_is_too_old_one_sentence_says_what_to_do(self, computer, action):
        computer.is_old()
        code, told, error = computer.run(action)
        assert (code, error, len(told.splitlines())) == (1, "", 1)
        assert "Windows 7 and Windows Server 2008 R2" in told
        assert "vmscert due --live" in told
        assert computer.traces == set()


class TestSchedule:
    def test_registers_what_runs_while_nobody_is_logged_on(self, scheduled):
        code, told, error = scheduled.run()
        assert (code, told, error) == (0, "PC-01, Register: done.", "")
        task = scheduled.task
        assert task["parts"] == {
            "Execute": f'"{PROGRAM}"',
            "Argument": '"due" "D:\\Site d\'été\\lyon.csv" "--mail"', "At": "07:00:00",
            "UserId": "LYON\\ann o'neill", "LogonType": "S4U", "RunLevel": "Limited",
            "StartWhenAvailable": "True", "AllowStartIfOnBatteries": "True",
            "DontStopIfGoingOnBatteries": "True",
        }  # fmt: skip

    def test_look_tells_whether_it_has_run(self, scheduled):
        log = scheduled.disk / "due.log"
        assert "there is no task vmscert due" in scheduled.run("Look")[1]
        scheduled.run()
        code, told, _ = scheduled.run("Look")
        assert (code, "it has not run yet" in told) == (1, True)
        log.write_text("2026-11-30T07:00:00Z nothing new\n", encoding="utf-8")
        ran = AT.timestamp()
        os.utime(log, (ran, ran))
        code, told, _ = scheduled.run("Look", culture="th-TH")
        assert (code, "it ran on 2026-11-30" in told) == (0, True)
        assert "the last result is 267011" in told
        ran -= 27 * 3600
        os.utime(log, (ran, ran))
        code, told, _ = scheduled.run("Look")
        assert (code, "it has not run since" in told) == (1, True)

    def test_remove_takes_the_task_away_and_leaves_the_log(self, scheduled):
        scheduled.run()
        (scheduled.disk / "due.log").touch()
        code, _, _ = scheduled.run("Remove -Confirm", answers="y")
        assert (code, len(scheduled.last.asked), scheduled.task) == (0, 1, None)
        assert (scheduled.disk / "due.log").exists()

    def test_whatif_and_no_change_nothing(self, scheduled):
        scheduled.trouble = Trouble(elevated=False)
        assert scheduled.run("-WhatIf")[1].count("What if:") == 1
        assert scheduled.run("-Confirm", answers="n")[1].endswith("nothing was changed.")
        assert scheduled.run()[1].startswith("PC-01 failed: administrator rights")
        assert scheduled.task is None

    def test_where_windows_is_too_old_one_sentence_says_so(self, scheduled):
        scheduled.is_old()
        code, told, _ = scheduled.run()
        assert (code, "no Register-ScheduledTask" in told) == (1, True)


@pytest.mark.parametrize("kind", ["computer", "scheduled"])
def test_constrained_language_is_told_in_one_sentence_before_anything(request, kind):
    machine = request.getfixturevalue(kind)
    machine.trouble = Trouble(constrained=True)
    code, told, error = machine.run()
    assert (code, told) == (1, "")
    assert "constrained language mode" in error
    assert machine.traces == set()
