"""The scripts of the roll-out, run by PowerShell: what they say of a computer is so there."""

import subprocess
from datetime import UTC, datetime
from functools import cache

import computer as computers
import pytest
from computer import Trouble, encoded

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.facts import DATA
from vmscert.site.site import Host
from vmscert.site.table import read_site
from vmscert.windows.rollout import roll_out_files

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
PLACE = "LocalMachine\\"
POLICY = "Root by policy"


@cache
def ca(name):
    return create_authority(name, AT, QUICK).certificate


NEW, OLD, LOST = "Example VMS root 2026", "Old root", "Lost root"


@cache
def folder():
    site = read_site(DATA / "sites" / "example.csv")
    return roll_out_files(ca(NEW), site, AT, old_roots=(ca(OLD),), barred=(ca(LOST),))


class Computer(computers.Computer):
    """A client on which scripts of the roll-out run."""

    def __init__(self, place):
        super().__init__(Host("PC-01", "example.local"), place)
        self.deeds = []  # what was done to it, in order

    def put(self, store, name):
        with self.changed() as windows:
            windows["stores"].setdefault(PLACE + store, []).append({"der": encoded(ca(name))})

    def holds(self):
        """(store, name of a CA) of everything in the stores."""
        names = {encoded(ca(name)): name for name in (NEW, OLD, LOST)}
        return {
            (store.removeprefix(PLACE), names[one["der"]])
            for store, certificates in self.windows["stores"].items()
            for one in certificates
        }

    def run(self, name, words="", answers=""):
        script = self.disk / name
        script.write_bytes(folder()[name])
        self.last = self.powershell(f"& '{script}' {words}", AT, list(answers))
        self.deeds += [" ".join(deed.split()[::3]) for deed in self.last.changes]
        return self.last.told


@pytest.fixture
def computer(windows, tmp_path):
    return Computer(tmp_path)


class TestAdd:
    def test_makes_a_computer_trust_and_has_nothing_to_do_the_next_time(self, computer):
        first, again = (computer.run("trust.ps1") for _ in range(2))
        assert first[0] == again[0] == 0
        assert first[1].startswith(f"PC-01 trusts the certificate {NEW} (")
        assert first[1].endswith("done.")
        assert again[1].endswith("nothing to do.")
        assert computer.holds() == {("Root", NEW)}
        assert computer.deeds == [r"add LocalMachine\Root"]

    def test_of_a_barred_ca_leaves_nothing_behind_and_says_what_to_do(self, computer):
        computer.put("Disallowed", NEW)
        code, told, _ = computer.run("trust.ps1")
        assert code == 1
        assert f"{NEW} is barred" in told
        assert "delete it there, or take it out of the policy" in told
        assert computer.deeds == []
        assert computer.holds() == {("Disallowed", NEW)}

    def test_that_windows_does_not_keep_is_no_success(self, computer):
        with computer.changed() as windows:
            windows["forgets"] = True
        code, told, _ = computer.run("trust.ps1")
        assert (code, "did not keep" in told) == (1, True)

    def test_needs_rights_only_where_it_acts(self, computer):
        computer.trouble = Trouble(elevated=False)
        code, told, _ = computer.run("trust.ps1")
        assert (code, "administrator rights are missing" in told) == (1, True)
        assert computer.run("trust.ps1", "-WhatIf")[0] == 0
        assert computer.deeds == []


class TestRemove:
    def test_refuses_where_the_successor_is_not_trusted(self, computer):
        computer.put("Root", OLD)
        code, told, _ = computer.run("remove-old-ca.ps1")
        assert code == 1
        assert f"{OLD} stays" in told
        assert thumbprint(ca(NEW)) in told
        assert computer.holds() == {("Root", OLD)}
        computer.put("Root", NEW)
        computer.put("Disallowed", NEW)
        assert computer.run("remove-old-ca.ps1")[0] == 1
        assert computer.deeds == []

    def test_takes_it_away_once_the_successor_is_trusted(self, computer):
        for name in (OLD, NEW):
            computer.put("Root", name)
        code, told, _ = computer.run("remove-old-ca.ps1")
        assert (code, told.startswith(f"PC-01 does not trust the certificate {OLD}")) == (0, True)
        assert computer.holds() == {("Root", NEW)}
        assert computer.run("remove-old-ca.ps1")[1].endswith("nothing to do.")

    def test_takes_away_what_shows_again_among_the_third_party_roots(self, computer):
        for store, name in (("Root", NEW), ("Root", OLD), ("AuthRoot", OLD)):
            computer.put(store, name)
        code, told, _ = computer.run("remove-old-ca.ps1")
        assert (code, told.endswith("done.")) == (0, True)
        assert computer.deeds == [r"remove LocalMachine\Root", r"remove LocalMachine\AuthRoot"]
        assert computer.holds() == {("Root", NEW)}

    def test_does_not_claim_what_a_policy_prevents(self, computer):
        for store, name in (("Root", NEW), ("Root", OLD), (POLICY, OLD)):
            computer.put(store, name)
        code, told, _ = computer.run("remove-old-ca.ps1")
        assert code == 1
        assert f"{OLD} is still in LocalMachine\\Root. A Group Policy brings it" in told
        assert "no longer" not in told

    def test_of_the_newest_ca_undoes_add(self, computer):
        computer.put("Root", NEW)
        assert computer.run("trust.ps1", "Remove")[0] == 0
        assert computer.holds() == set()


class TestBar:
    def test_bars_and_takes_away(self, computer):
        computer.put("Root", LOST)
        code, told, _ = computer.run("bar.ps1")
        assert (code, told.endswith("done.")) == (0, True)
        assert computer.holds() == {("Disallowed", LOST)}

    def test_bars_even_what_a_policy_keeps_and_says_both(self, computer):
        computer.put(POLICY, LOST)
        code, told, _ = computer.run("bar.ps1")
        assert code == 1
        assert "still in LocalMachine\\Root" in told
        assert "barred all the same" in told
        assert ("Disallowed", LOST) in computer.holds()


class TestAsking:
    def test_whatif_tells_each_change_and_makes_none(self, computer):
        computer.put("Root", LOST)
        code, told, _ = computer.run("bar.ps1", "-WhatIf")
        assert code == 0
        assert told.count("What if:") == 2
        assert f"Add {LOST}" in told
        assert f"Remove {LOST}" in told
        assert told.endswith("nothing was changed.")
        assert computer.deeds == []

    def test_confirm_asks_once_for_each_change_and_no_changes_nothing(self, computer):
        computer.put("Root", LOST)
        code, told, _ = computer.run("bar.ps1", "-Confirm", "nn")
        assert (code, len(computer.last.asked)) == (0, 2)
        assert told.endswith("nothing was changed.")
        assert computer.deeds == []
        code, told, _ = computer.run("bar.ps1", "-Confirm", "yn")
        assert (code, len(computer.last.asked)) == (0, 2)
        assert told.endswith("only a part was changed.")
        assert computer.deeds == [r"add LocalMachine\Disallowed"]
        assert (computer.run("trust.ps1", "-Confirm", "y")[0], len(computer.last.asked)) == (0, 1)


class TestDetection:
    def test_for_intune_ends_with_1_where_it_is_missing_or_barred(self, computer):
        code, told, error = computer.run("detect.ps1")
        assert (code, error) == (1, "")
        assert told.startswith(f"PC-01 does not trust the certificate {NEW}")
        computer.put("Root", NEW)
        code, told, error = computer.run("detect.ps1")
        assert (code, error, told.startswith("PC-01 trusts")) == (0, "", True)
        computer.put("Disallowed", NEW)
        assert computer.run("detect.ps1")[0] == 1

    def test_for_an_application_is_silent_where_it_is_missing_or_barred(self, computer):
        assert computer.run("detect-application.ps1") == (0, "", "")
        computer.put("AuthRoot", NEW)
        code, told, error = computer.run("detect-application.ps1")
        assert (code, error, told.startswith("PC-01 trusts")) == (0, "", True)
        computer.put("Disallowed", NEW)
        assert computer.run("detect-application.ps1") == (0, "", "")

    @pytest.mark.parametrize("script", ["detect.ps1", "detect-application.ps1"])
    def test_that_can_not_look_is_no_answer_and_no_noise(self, computer, script):
        with computer.changed() as windows:
            windows["stores"][r"LocalMachine\Root"] = [{"der": "ABCD"}]
        code, told, error = computer.run(script)
        assert (code, error) == (1, "")
        assert told.startswith("PC-01 failed: ")

    def test_says_in_its_synopsis_whom_it_is_for(self):
        for script, whom in (
            ("detect.ps1", "For Intune: "),
            ("detect-application.ps1", "For an application of Configuration Manager: "),
        ):
            assert f".SYNOPSIS\r\n    {whom}".encode() in folder()[script]


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["detect.ps1"], 1, f"does not trust the certificate {NEW} "),
        (["detect-application.ps1"], 0, ""),
        (["remove-old-ca.ps1"], 0, "nothing to do."),
        (["trust.ps1", "Nonsense"], 1, "the action Nonsense is unknown."),
    ],
)
def test_ends_its_process_as_a_management_tool_looks_at_it(pwsh, tmp_path, line, code, told):
    """The computer of the test itself: it has none of these CAs."""
    script = tmp_path / line[0]
    script.write_bytes(folder()[line[0]])
    command = [pwsh, "-NoProfile", "-NonInteractive", "-File", script, *line[1:]]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
    assert (ran.returncode, ran.stderr, told in ran.stdout) == (code, "", True)
    assert bool(ran.stdout) == bool(told)


@pytest.mark.parametrize("script", ["trust.ps1", "detect.ps1", "detect-application.ps1"])
def test_constrained_language_is_told_in_one_sentence_before_anything(computer, script):
    computer.trouble = Trouble(constrained=True)
    code, told, error = computer.run(script)
    assert (code, told) == (1, "")
    assert "constrained language mode" in error
    assert computer.deeds == []
