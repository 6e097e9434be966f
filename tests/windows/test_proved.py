"""The simulation is proved: each script beside it, whatever is wrong, and whichever way it goes."""

import pytest
from bench import FAILS, apart, held
from beside import Beside
from computer import Computer
from one import PASSWORD, SERVICE, WAYS

from vmscert.facts import facts
from vmscert.windows.scripts import script_steps
from vmscert.windows.steps import Trouble

pytestmark = pytest.mark.ahead

CODES = [row["code"] for row in facts("windows/exit-codes")] + ["77"]
SWITCHING = {f"configurator {code}": Trouble(configurator=code) for code in CODES}
SWITCHING |= {"services stay stopped": Trouble(stopped=True), "system": Trouble(system=True)}
TROUBLES = {
    "no administrator": Trouble(elevated=False),
    "read only": Trouble(read_only=True),
    "another computer": Trouble(name="vms-9"),
    "an old Windows": Trouble(windows="Windows Server 2016"),
    "clock ahead": Trouble(clock=4000),
    "clock behind": Trouble(clock=-86400 * 90),
    "wrong password": Trouble(password="another"),
    "unknown account": Trouble(unknown_accounts=(SERVICE,)),
    "denied account": Trouble(denied_accounts=(SERVICE,)),
    "busy": Trouble(busy=True),
    "an old .NET": Trouble(framework=379893),
    "constrained": Trouble(constrained=True),
    "all at once": Trouble(
        unknown_accounts=(SERVICE,), denied_accounts=(SERVICE,), configurator="100", stopped=True
    ),
} | SWITCHING  # fmt: skip
# The scripts and phases, and those in which Server Configurator switches something.
EACH = ["prepare", "encrypt", "retire-moved", "undo", "request", "accept",
        "inventory"]  # fmt: skip
# Of each way in which a run of it ends, one.
ENDS = ["configurator 1", "configurator 100", "configurator 77", "services stay stopped", "system"]
CASES = [
    *((way, name) for way in EACH for name in TROUBLES if name not in SWITCHING),
    *(("encrypt", name) for name in SWITCHING),
    *((way, name) for way in ("encrypt-renewed", "undo") for name in ENDS),
]
LEFT = {"back-moved", "back-barred"}  # what is left to do is told beforehand, too
KILLED = ["prepare", "encrypt", "undo", "retire-moved", "retire-barred", "back-barred", "request",
          "accept"]  # fmt: skip
ENDING = [way for way in WAYS if way not in FAILS]
# A way, the way back, and before which way the computer is then.
UNDONE = [("prepare", "undo", "prepare"), ("encrypt", "undo", "prepare"),
          ("prepare-renewed", "undo-renewed", "prepare-renewed")]  # fmt: skip


# What is wrong


@pytest.mark.parametrize(("way", "name"), CASES)
def test_whatever_is_wrong_both_end_alike_and_go_on_once_it_is_right(bench, way, name):
    here = bench.before(way, Beside, TROUBLES[name])
    before, failed = held(here), bench.go(here, way)
    if failed:
        assert way == "inventory" or "What to do: " in failed or "constrained" in failed
        if apart(held(here), before) == {}:
            return  # as if nobody had been here
        assert bench.go(Beside(here.host, here.disk.parent), way) == ""
    assert apart(held(here), held(bench.after(way))) == {}


# Which way it goes


@pytest.mark.parametrize("way", ENDING)
def test_a_second_run_changes_nothing_more(bench, way):
    here = bench.after(way, Beside)
    first = held(here)
    assert bench.go(here, way) == ""
    assert apart(held(here), first) == {}


@pytest.mark.parametrize("way", WAYS)
def test_what_if_changes_nothing_and_says_of_each_step_what_would_be(bench, way):
    ran = bench.visit(bench.before(way), way, (), WhatIf=True)
    assert (bool(ran.error), ran.asked, ran.changes) == (way in LEFT, [], [])
    phase = {"undo": "Undo", "request": "Request", "accept": "Prepare"}
    phases = {"Check", WAYS[way].phase or phase.get(WAYS[way].script)}
    steps = script_steps(bench.script(way).read_bytes())
    wanted = [step for kinds, step in steps if phases & set(kinds.split("|"))]
    said = dict(line.removeprefix("Step ").partition(": ")[::2] for line in ran.output)
    assert list(said) == wanted
    assert all(said.values())


@pytest.mark.parametrize("way", WAYS)
def test_who_says_no_changes_nothing_and_who_says_yes_is_asked_once_for_each_change(bench, way):
    no, yes = bench.before(way), bench.before(way)
    before = held(no)
    bench.visit(no, way, ["n"] * 40, Confirm=True)
    assert apart(held(no), before) == {}
    answers = ["y"] * 40
    if WAYS[way].phase == "Prepare" and WAYS[way].folder != "answered":
        asked = bench.visit(bench.before(way), way, answers, Confirm=True).asked
        answers[len(asked) - 1] = PASSWORD  # with a y for a password it ended there
    ran = bench.visit(yes, way, answers, Confirm=True)
    assert bool(ran.error) == (way in FAILS)
    assert len(ran.asked) == len(set(ran.asked))
    assert apart(held(yes), held(bench.after(way))) == {}


def killed(bench, name):
    """Each state in which a power failure leaves a computer on a way, once: where notes, stores,
    services and files of XProtect differ, and not only the log.
    """
    copies, whole = bench.place(), bench.before(name)
    ran = bench.visit(whole, name, snapshots=copies)
    assert bool(ran.error) == (name in FAILS)
    seen = {}
    for number, change in enumerate(ran.changes, 1):
        disk = copies / f"{number}" / whole.host.name
        seen.setdefault(_state_of(disk), (change, disk.parent))
    return whole, list(seen.values())


def _state_of(disk):
    paths = (path for path in sorted(disk.rglob("*")) if path.is_file())
    return tuple(
        (path.relative_to(disk).as_posix(), path.read_bytes())
        for path in paths
        if path.suffix in {".pem", ".xml", ".config", ".req"}
        or path.name in {"windows.json", "before.json"} or "Crypto" in path.parts
    )  # fmt: skip


def each(bench, copies, host, way):
    """Go a way from each copy: the change, why it failed, what is there then."""
    for change, disk in copies:
        here = Computer(host, disk)
        failed = bench.visit(here, way).error
        yield change, failed, held(here)


@pytest.mark.parametrize("way", KILLED)
def test_a_run_that_was_killed_anywhere_is_ended_by_the_next(bench, way):
    whole, copies = killed(bench, way)
    wanted = held(whole)
    for change, failed, found in each(bench, copies, whole.host, way):
        assert (change, bool(failed)) == (change, way in FAILS), failed
        assert (change, apart(found, wanted)) == (change, {})


@pytest.mark.parametrize(("way", "back", "before"), UNDONE)
def test_a_run_that_was_killed_anywhere_can_be_undone(bench, way, back, before):
    whole, copies = killed(bench, way)
    wanted = held(bench.before(before))
    for change, failed, found in each(bench, copies, whole.host, back):
        assert (change, failed) == (change, None)
        assert (change, apart(found, wanted)) == (change, {})
