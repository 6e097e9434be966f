"""The scripts are proved, whatever is wrong, and their simulation is, whichever way it goes."""

import re

import pytest
from bench import FAILS, apart, at, held
from beside import Beside
from computer import HEALTHY, Computer, Trouble
from one import PASSWORD, SERVICE, WAYS

from vmscert.facts import facts
from vmscert.windows.scripts import script_steps
from vmscert.windows.simulated import ScriptError

pytestmark = pytest.mark.ahead

_DONE = {row["code"] for row in facts("windows/exit-codes") if row["ends"] == "done"}
CODES = [row["code"] for row in facts("windows/exit-codes")] + ["77"]
# What is wrong, and at which steps a script stops for it, if it has them.
SWITCHES = "enable-encryption undo-encryption"
SWITCHING = {
    f"configurator {code}": (Trouble(configurator=code), "" if code in _DONE else SWITCHES)
    for code in CODES
} | {
    "services stay stopped": (Trouble(stopped=True), SWITCHES),
    "system": (Trouble(system=True), SWITCHES),
}
TROUBLES = {
    "no administrator": (Trouble(elevated=False), "administrator"),
    "read only": (Trouble(read_only=True), "writable-folder"),
    "another computer": (Trouble(name="vms-9"), "right-computer"),
    "an old Windows": (Trouble(windows="Windows Server 2016"), "right-windows"),
    "clock ahead": (Trouble(clock=4000), ""),  # no other clock answers
    "clock behind": (Trouble(clock=-86400 * 90), "right-time"),
    "wrong password": (Trouble(password="another"), "import-certificate"),
    "unknown account": (Trouble(unknown_accounts=(SERVICE,)), "key-access"),
    "denied account": (Trouble(denied_accounts=(SERVICE,)), "key-access"),
    "busy": (Trouble(busy=True), "no-configurator"),
    "an old .NET": (Trouble(framework=379893), "powershell"),
    "constrained": (Trouble(constrained=True), ""),
    "all at once": (
        Trouble(
            unknown_accounts=(SERVICE,), denied_accounts=(SERVICE,), configurator="100",
            stopped=True,
        ),
        "key-access undo-encryption",
    ),
} | SWITCHING  # fmt: skip
NO_INVENTORY = {"no administrator", "read only", "another computer"}
# The scripts and phases, and those in which Server Configurator switches something.
EACH = ["prepare", "encrypt", "retire-moved", "undo", "request", "accept",
        "inventory"]  # fmt: skip
# Of each way in which a run of it ends, one.
ENDS = ["configurator 1", "configurator 100", "configurator 77", "services stay stopped", "system"]
CASES = [
    *((way, name) for way in EACH for name in TROUBLES if name not in SWITCHING),
    *(("encrypt", name) for name in SWITCHING),
    *((way, name) for way in ("encrypt-renewed", "off") for name in ENDS),
]
LEFT = {"back-moved", "back-barred"}  # what is left to do is told beforehand, too
KILLED = ["prepare", "encrypt", "off", "undo", "retire-moved", "retire-barred", "back-barred",
          "request", "accept"]  # fmt: skip
ENDING = [way for way in WAYS if way not in FAILS]
# A way, the way back, and before which way the computer is then.
UNDONE = [("prepare", "undo", "prepare"), ("encrypt", "off", "encrypt"),
          ("prepare-renewed", "undo-renewed", "prepare-renewed")]  # fmt: skip


# What is wrong


@pytest.mark.parametrize(("way", "name"), CASES)
def test_whatever_is_wrong_a_script_stops_there_and_goes_on_once_it_is_right(bench, way, name):
    trouble, ends = TROUBLES[name]
    here = bench.before(way, trouble=trouble)
    before, failed = held(here), bench.go(here, way)
    stops = [step for step in steps_of(bench, way) if step in ends.split()]
    if way != "prepare" and stops == ["right-windows"]:
        stops = []  # what is imported already needs no Windows that opens it
    assert re.findall("Step ([a-z-]+): ", failed)[:1] == stops  # undo goes on behind it
    refused = name == "constrained" or (way == "inventory" and name in NO_INVENTORY)
    assert bool(failed) == bool(stops or refused)
    assert ("What to do: " in failed) == bool(stops)
    if failed:
        if apart(held(here), before) == {}:
            return  # as if nobody had been here
        assert bench.go(Computer(here.host, here.disk.parent), way) == ""
    assert apart(held(here), held(bench.after(way))) == {}


def steps_of(bench, way):
    """The steps that a script runs on this way."""
    phase = {"request": "Request", "accept": "Prepare"}
    phases = {"Check", WAYS[way].phase or phase.get(WAYS[way].script)}
    steps = script_steps(bench.script(way).read_bytes())
    return [step for kinds, step in steps if phases & set(kinds.split("|"))]


# Which way it goes


@pytest.mark.parametrize("way", ["encrypt", "encrypt-renewed"])
def test_out_of_turn_both_are_refused_and_in_turn_both_go_on(bench, way):
    here = bench.before(way, Beside)
    with pytest.raises(ScriptError, match=r"and not \w{40}\. Server Configurator answered 1: it"):
        here.run(bench.script(way), at(way), phase="Encrypt", out_of_turn=True)
    here.trouble = HEALTHY
    assert bench.go(here, way) == ""
    assert apart(held(here), held(bench.after(way))) == {}


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
    said = dict(line.removeprefix("Step ").partition(": ")[::2] for line in ran.output)
    assert list(said) == steps_of(bench, way)
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
