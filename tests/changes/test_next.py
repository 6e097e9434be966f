"""Somebody who does just what `next` says, and nothing else, brings a whole site to its end."""

import shlex
import shutil
from collections import Counter
from dataclasses import replace
from datetime import datetime

import lyon
import pytest
from command import vmscert
from IPython.utils.capture import capture_output

from vmscert.changes.errands import mark_carried
from vmscert.changes.execute import find_runbook, parameter_cell, read_settings
from vmscert.changes.job import Job, Stop
from vmscert.changes.next import Next, all_done, next_steps, told
from vmscert.changes.rehearsal import Walk, simulated
from vmscert.checks.lacks import missing_groups, missing_retirement
from vmscert.checks.live import Verification
from vmscert.facts import NOTEBOOKS
from vmscert.network.looks import VERIFIED
from vmscert.notebook import runbook
from vmscert.records.folder import Records
from vmscert.runbooks import replace as replacing
from vmscert.runbooks import stages, visits
from vmscert.runbooks.returns import take_dropped
from vmscert.site.table import read_site
from vmscert.windows.stores import LogLine

NONE = "dlna server|interconnect site|lpr server|mip integration|old mip integration"
NONE += "|open network bridge"
MUELLER = f"""\
Name;Domain;Aliases;Addresses;Roles;Windows;Owner;Enrolment
AIO;;;10.1.0.10;management server|recording server|event server|log server;Windows Server 2019;B;
REC1;;;10.1.0.11;recording server;Windows Server 2016;B;csr
MOB;;video.example.com;10.1.0.12;mobile server;Windows Server 2022;C;third party
PC1;;;10.1.0.51;smart client|management client;Windows 10;;
PC2;;;10.1.0.52;smart client;Windows 11;D;
none;;;;{NONE};;;
"""
HOUSE = MUELLER.replace("third party", "") + "PC3;;;10.1.0.53;smart client;Windows 11;D;\n"
# Two nodes that share a name, and an event server of its own, which comes before both.
CLUSTER = f"""\
name,cluster,addresses,roles,enrolment,owner
ms-a,vms,10.2.0.1,management server|recording server,,IT
ms-b,vms,10.2.0.2,management server|recording server,,IT
ev,,10.2.0.3,event server,csr,IT
pc,,10.2.0.4,smart client,,Guards
none,,,{NONE}|mobile server|management client,,
"""

pytestmark = pytest.mark.usefixtures("lyon_secrets")


def stop_where_a_check_fails(part):
    """What a cell shows is not what is tested here."""
    bad = [one for one in getattr(part, "checks", ()) if not one.ok]
    if bad:
        raise Stop(bad[0].todo)


class Robot:
    """Does what a step says, and looks at what comes back; the computers are simulated."""

    def __init__(self, table, monkeypatch, text=""):
        self.table, self.at, self.steps, self.refused = table, lyon.AT, [], 0
        if text:
            table.write_text(text, encoding="utf-8")
        self.records = Records(table.with_suffix(""))
        opened = stages.open_job
        monkeypatch.setattr(runbook, "_show", stop_where_a_check_fails)
        monkeypatch.setattr(stages, "open_job", lambda *a: opened(*a, at=self.at))
        for room in (visits, replacing):
            monkeypatch.setattr(room, "verify_site", self.call)

    @property
    def job(self):
        return Job(
            "17-renew-before-expiry", read_site(self.table), self.records, self.at, self.table
        )

    def call(self, job, progress=None):
        """Every connection, as the computers have reported."""
        left = missing_groups(job.state())
        if not left and self.refused:
            self.refused -= 1
            left = {"rec1"}
        return [
            Verification(one.client, one.server, one.server, one.port, one.group, "", "",
                         "wrong-certificate-served" if one.server in left else VERIFIED)
            for one in job.site.connections
        ]  # fmt: skip

    def next(self):
        """What is to be done; whatever it names is there."""
        steps = next_steps(self.job)
        for one in steps:
            if one.folder and one.kind == "visit":
                assert (self.records.folder / one.folder / one.command.split()[0]).exists(), one
        return steps

    def follow(self, one):
        """Do one thing, and keep in mind that it was asked."""
        asked = replace(one, since="", on="")
        assert asked not in self.steps[-1:], "asks twice"
        self.steps.append(asked)
        other = {"visit": self.walk, "wait": self.answer, "later": self.sleep}
        other.get(one.kind, self.run)(one)

    def after(self, last):
        """As if the runbooks up to this one had been carried out before."""
        self.records.begin_rehearsal()
        for number, row in stages.STAGES.items():
            if number <= last:
                stages.runbook_of(replace(self.job, runbook=row["name"])).rehearse()
        (self.records.folder / "REHEARSAL.txt").unlink()
        return self

    def to_the_end(self, most=60):
        """Follow until nothing is left; return the steps."""
        for _ in range(most):
            one = self.next()[0]
            if one.kind == "nothing":
                return list(self.steps)
            self.follow(one)
        raise AssertionError([step.what for step in self.steps[-4:]])

    def run(self, one):
        """Type the command: the cells of the notebook, in this process."""
        import nbformat

        program, verb, number, *rest = shlex.split(one.type.replace("<name>", "Anna Berg"))
        assert (program, verb) == ("vmscert", "run")
        given = [*zip(rest[::2], rest[1::2], strict=True)]
        parameters = {"SITE": dict(given)["--site"], "FOLDER": str(self.records.folder)}
        runbook_name = find_runbook(number)
        parameters |= read_settings(runbook_name, [text for key, text in given if key == "--set"])
        notebook = nbformat.read(NOTEBOOKS / f"{runbook_name}.ipynb", as_version=4)
        cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
        cell.source = parameter_cell(runbook_name, parameters)
        names = {}
        with capture_output():
            try:
                for cell in (one for one in notebook.cells if one.cell_type == "code"):
                    exec(cell.source, names)
            except Stop as error:
                self.stopped = str(error)

    def walk(self, one):
        """Carry the folder there, run what is said, put into `drop` what came."""
        job, (script, *said) = self.job, shlex.split(one.command)
        options = dict(zip(said[::2], said[1::2], strict=True))
        phase, turn = options.get("-Phase", ""), int(options.get("-Turn", 1))
        host, here = job.site[one.computer], simulated(job, job.site[one.computer])
        if phase == "Encrypt":
            assert not Walk(job)._out_of_turn(host, turn, True), "too early"
            assert one.minutes and one.dark
        by_hand = host.unsaid_groups if "-ByHand" in options else []
        try:
            here.run(self.records.folder / one.folder / script, self.at, lyon.PFX_PASSWORD,
                     phase or "Prepare", turn, by_hand)  # fmt: skip
        finally:
            self.drop(one.file, lyon.inventory_of(job, one.computer))

    def drop(self, name, data):
        """Put a file where people put it, and ask again."""
        self.records.dropped()
        (self.records.folder / "drop" / name).write_bytes(data)
        return take_dropped(self.job)

    def answer(self, one):
        """Another CA answers what was sent there."""
        root, _ = lyon.other_ca()
        request = self.job.state().requests[one.computer]
        answer = root.sign(request, self.job.site[one.computer].issued_names, self.at)
        self.drop(one.file, lyon.pem(*answer.chain))

    def sleep(self, one):
        """Nothing is to be done before a day."""
        self.at = datetime.fromisoformat(one.on) + lyon.DAY


@pytest.fixture
def robot(tmp_path, monkeypatch):
    def on(text):
        return Robot(tmp_path / "site.csv", monkeypatch, text)

    return on


def test_doing_just_what_is_said_brings_a_site_to_its_end_and_over_its_renewal(robot):
    robot = robot(MUELLER)
    robot.refused = 1
    done = robot.to_the_end()
    switched = [one.computer for one in done if "-Phase Encrypt" in one.command]
    assert switched == ["aio", "rec1", "mob"]
    kinds = Counter(one.kind for one in done)
    assert kinds == {"run": 11, "approve": 5, "visit": 2 + 2 + 3 + 3, "wait": 1, "repair": 1}
    (refused,) = [one.what for one in done if one.kind == "repair"]
    assert "verification.csv in changes/2026-11-23-16-verify-the-site calls refused" in refused
    (calm,) = robot.next()
    assert all_done([calm])
    robot.sleep(calm)
    renewed = robot.to_the_end()[len(done) :]
    commands = [one.command.partition(" ")[2] for one in renewed if one.computer == "aio"]
    assert commands == ["", "-Phase Encrypt", "-Phase Retire -ByHand 'event server'"]
    assert [one.kind for one in renewed].count("later") == 1
    assert robot.next()[0].on > calm.on


def test_another_ca_takes_over_by_doing_just_what_is_said_and_nodes_take_their_turns(robot):
    robot = robot(CLUSTER).after("15")
    robot.run(Next("ends", "run", "", f"vmscert run 18 --site {robot.table}"))
    done = robot.to_the_end()
    turns = [(one.computer, one.command.partition("-Phase ")[2]) for one in done if one.minutes]
    assert turns == [
        ("ev", "Encrypt"),
        ("ms-a", "Encrypt -Turn 1"),
        ("ms-b", "Encrypt -Turn 1"),
        ("ms-a", "Encrypt -Turn 2"),
        ("ms-b", "Encrypt -Turn 2"),
    ]
    assert [one.kind for one in done].count("later") == 1
    assert len(robot.records.former_cas) == 1
    assert not missing_retirement(robot.job.state())


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        lyon.secrets(patched)
        robot = Robot(tmp_path_factory.mktemp("begun") / "site.csv", patched, HOUSE)
        robot.after("12")
        for _ in range(2):  # the plan, and after its approval the folders
            robot.follow(robot.next()[0])
    return robot.table.parent


class TestAFault:
    """Trust on three clients has begun: everybody has a folder."""

    @pytest.fixture
    def walking(self, begun, tmp_path, monkeypatch):
        shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
        return Robot(tmp_path / "site.csv", monkeypatch)

    def told(self, robot):
        return {one.computer: one for one in robot.next()}

    def test_is_none_where_everybody_may_go_at_once_and_each_person_has_one_line(self, walking):
        assert [one.computer for one in walking.next()] == ["pc1", "pc2", "pc3"]
        first, second = told(walking.next())
        assert first.sentence.startswith("somebody: take hand-over/pc1/2026-11-23 to pc1 and run ")
        assert second.sentence.endswith("type vmscert next again; the same for pc3.")

    @pytest.mark.parametrize("what", ["hand-over/pc2", "hand-over/pc2/2026-11-23/ca.cer"])
    def test_a_folder_that_is_gone_or_not_whole_is_made_again(self, walking, what):
        path = walking.records.folder / what
        path.rename(walking.table.with_name("gone"))
        (one,) = walking.next()
        assert one.what == "go on with 13-trust-the-ca-on-clients: it prepares folders for pc2"
        walking.follow(one)
        assert self.told(walking)["pc2"].kind == "visit"

    def test_who_went_is_waited_for_and_asked_after(self, walking):
        mark_carried(walking.job, ["pc2"])
        one = self.told(walking)["pc2"]
        assert (one.kind, one.who, one.since[:10]) == ("wait", "D", "2026-11-23")
        assert "pc2.json is waited for since 2026-11-23 22:00: ask D, who took" in one.sentence

    def test_a_file_that_is_cut_changes_nothing(self, walking):
        before = walking.next()
        (said,) = walking.drop("pc2.json", lyon.inventory_of(walking.job, "pc2")[:-9])
        assert said.startswith("not kept: pc2.json: ")
        assert walking.next() == before

    def test_a_step_that_failed_is_told_with_its_remedy(self, walking):
        line = LogLine("2026-11-23T22:00:00Z", "right-time", "failed", "It is 9 days off.")
        walking.drop("pc3.json", lyon.inventory_of(walking.job, "pc3", log=(line,)))
        assert "on pc3 the step right-time failed: It is 9 days off. Set the clock, then" in (
            self.told(walking)["pc3"].what
        )
        walking.follow(self.told(walking)["pc3"])
        assert set(self.told(walking)) == {"pc1", "pc2"}

    def test_a_plan_that_is_void_says_why(self, walking):
        table = walking.table.read_text(encoding="utf-8")
        walking.table.write_text(table.replace("PC2", "PC9"), encoding="utf-8")
        (one,) = walking.next()
        assert one.kind == "run" and "APPROVED" not in one.type
        assert one.what.endswith(" is void: site.csv has changed since the plan was made")

    @pytest.mark.parametrize(
        ("what", "says"),
        [
            ("ledger.csv", "Restore ledger.csv and ledger.seal from the backup"),
            ("ca.cer", "ca.cer is damaged: restore it from the backup"),
            ("changes/2026-11-23-13-trust-the-ca-on-clients/plan.json", "Restore it from the back"),
        ],
    )
    def test_what_can_not_be_read_is_told_in_one_sentence(self, walking, what, says):
        (walking.records.folder / what).write_bytes(b"{")
        (one,) = walking.next()
        assert one.kind == "restore"
        assert says in one.sentence

    def test_a_key_that_is_gone_is_no_reason_for_another_ca(self, walking):
        (walking.records.folder / "ca.key").unlink()
        (one,) = walking.next()
        assert (one.kind, "restore ca.cer and ca.key" in one.what) == ("restore", True)

    def test_is_not_where_computers_are_simulated_and_nobody_approves(self, walking):
        (walking.records.folder / "REHEARSAL.txt").write_text("test", encoding="utf-8")
        (one,) = walking.next()
        assert one.what.startswith("go on with 13-trust-the-ca-on-clients: nobody has to")
        assert "APPROVED" not in one.type


def test_who_went_out_of_turn_is_told_again_when_it_is_the_turn(robot):
    robot = robot(HOUSE).after("14")
    for _ in range(2):
        robot.follow(robot.next()[0])
    failed = LogLine("2026-11-23T22:00:00Z", "enable-encryption", "failed", "Exit code 1.")
    robot.drop("rec1.json", lyon.inventory_of(robot.job, "rec1", log=(failed,)))
    (first,) = robot.next()
    assert first.computer == "aio"
    robot.follow(first)
    (then,) = robot.next()
    assert "on rec1 the step enable-encryption failed: Exit code 1. Read the answer" in then.what


def test_a_stolen_key_comes_before_everything(robot):
    robot = robot(HOUSE).after("12")
    robot.records.note("19", "bar", robot.job.state().current["mob"], host="mob", at=robot.at)
    (one,) = robot.next()
    assert one.type.endswith("--set STOLEN=mob")
    robot.records.note("19", "bar", robot.records.ca_certificate, at=robot.at)
    assert "vmscert run 18 " in robot.next()[0].type


def test_to_ask_changes_nothing(robot, tmp_path):
    robot = robot(HOUSE)
    ran = vmscert("next", robot.table, "--folder", tmp_path / "new", folder=tmp_path)
    assert (ran.returncode, (tmp_path / "new").exists()) == (1, False)
    assert "    vmscert run 11 --site site.csv --folder new\n" in ran.stdout
    robot.after("12")
    before = lyon.tree(robot.records.folder)
    next_steps(robot.job)
    assert lyon.tree(robot.records.folder) == before
