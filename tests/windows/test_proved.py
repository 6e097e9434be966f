"""The simulation is proved: each script beside it, whatever is wrong, and whichever way it goes."""

import base64
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha1
from itertools import count

import one
import pytest
from beside import Beside
from computer import Computer
from cryptography import x509
from one import ASKING, LATER, PASSWORD, SERVICE, WAYS
from workers import AT_ONCE

from vmscert.authority import Issued
from vmscert.facts import facts
from vmscert.scripts import script_steps
from vmscert.visits import HEALTHY, ScriptError, Trouble

pytestmark = pytest.mark.usefixtures("windows")

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
EACH = ["prepare", "encrypt", "retire-moved", "retire-barred", "undo", "request", "accept",
        "inventory"]  # fmt: skip
SWITCHES = ["encrypt", "encrypt-renewed", "undo"]
CASES = [
    (way, name) for way in WAYS for name in TROUBLES
    if way in (SWITCHES if name in SWITCHING else EACH)
]  # fmt: skip
# An event server does not say whether it uses the old one again; or the old one is gone.
FAILS = {"back-renewed", "back-moved", "back-barred"}
KILLED = ["prepare", "encrypt", "undo", "retire-moved", "retire-barred", "back-barred", "request",
          "accept"]  # fmt: skip
ENDING = [way for way in WAYS if way not in FAILS]
# A way, the way back, and before which way the computer is then.
UNDONE = [("prepare", "undo", "prepare"), ("encrypt", "undo", "prepare"),
          ("prepare-renewed", "undo-renewed", "prepare-renewed")]  # fmt: skip


_TELLS_NOTHING = re.compile(" undone$|^given (?!event server)")


class Bench:
    """Computers as they are before a way is gone, and the folders that they get."""

    def __init__(self, folder):
        self._folder, self._numbers, self._ready = folder, count(), {}
        self._shelf = one.shelf(self.place())

    def place(self):
        """A new place for a disk."""
        return self._folder / f"{next(self._numbers)}"

    def script(self, name):
        """The script of a way."""
        return self._shelf[WAYS[name].folder] / f"{WAYS[name].script}.ps1"

    def before(self, name, kind=Computer, trouble=HEALTHY):
        """A computer as it is before a way is gone."""
        way = WAYS[name]
        return self._copy(self._after(way.host, way.before), way.host, kind, trouble)

    def after(self, name):
        """A computer as it is after a way was gone."""
        way = WAYS[name]
        return self._copy(self._after(way.host, (*way.before, name)), way.host, Computer, HEALTHY)

    def go(self, computer, name):
        """Go a way; return why it failed, or nothing."""
        way = WAYS[name]
        try:
            computer.run(self.script(name), at(name), PASSWORD, way.phase or "Prepare", 0, way.seen)
        except ScriptError as error:
            return str(error)
        return ""

    def visit(self, computer, name, answers=(PASSWORD,), **more):
        """Go a way on a computer that is no simulation; return all that was seen."""
        said = {"Phase": WAYS[name].phase} if WAYS[name].phase else {}
        said |= {"ByHand": ", ".join(WAYS[name].seen)} if WAYS[name].seen else {}
        return computer.visit(self.script(name), at(name), answers, **said, **more)

    def _after(self, host, ways):
        if (host.name, ways) not in self._ready:
            folder = self._after(host, ways[:-1]) if ways else None
            here = self._copy(folder, host, Beside, HEALTHY)
            if ways:
                assert bool(self.go(here, ways[-1])) == (ways[-1] in FAILS)
            if ways == ("request",):
                self._answer(here)
            self._ready[host.name, ways] = here.disk.parent.parent
        return self._ready[host.name, ways]

    def _answer(self, here):
        """Let the CA answer the request that this computer made."""
        if "answered" not in self._shelf:
            csr = x509.load_pem_x509_csr(here.stores(at("request")).request.encode())
            signed = one.ca().sign(csr, ASKING.issued_names, one.AT + one.DAY)
            answer = Issued(signed.certificate, None)
            folder = self.place() / "answered"
            self._shelf["answered"] = one.carried(folder, ASKING, answer, made=one.AT + one.DAY)

    def _copy(self, folder, host, kind, trouble):
        place = self.place()
        if folder is not None:
            shutil.copytree(folder, place)
        return kind(host, place / "real", trouble)


def at(name):
    """When a way is gone."""
    return LATER + WAYS[name].days * one.DAY


@pytest.fixture(scope="module")
def bench(tmp_path_factory, windows):
    return Bench(tmp_path_factory.mktemp("bench"))


def held(computer):
    """What a computer really holds and uses, and what this kit noted there."""
    windows = computer.windows
    rules = {
        path.rpartition("/")[2]: sorted((rule["sid"], rule["type"]) for rule in acl["access"])
        for path, acl in windows.get("acls", {}).items()
    }
    stores = {
        store.upper(): sorted(
            (labelled(held["der"]), held.get("friendly_name", ""), rules.get(held.get("key")))
            for held in certificates
        )
        for store, certificates in windows["stores"].items()
        if certificates and not store.endswith("REQUEST")  # each request has a key of its own
    }
    notes = computer.disk / "ProgramData/vmscert/before.json"
    noted = json.loads(notes.read_bytes()) if notes.exists() else {}
    # Of a group that says what it uses, what it was given tells nothing more.
    kept = {what: was for what, was in noted.items() if not _TELLS_NOTHING.search(what)}
    running = {service["name"]: service.get("state", "Running") for service in windows["services"]}
    return {"stores": stores, "used": computer.used(), "notes": kept, "services": running,
            "http": windows["http"]}  # fmt: skip


def apart(found, wanted):
    """Where two computers differ."""
    return {what: (found[what], wanted[what]) for what in found if found[what] != wanted[what]}


def labelled(der):
    """The beginning of a thumbprint."""
    return sha1(base64.b64decode(der), usedforsecurity=False).hexdigest()[:8].upper()


# What is wrong


@pytest.mark.parametrize(("way", "name"), CASES)
def test_whatever_is_wrong_both_end_alike_and_go_on_once_it_is_right(bench, way, name):
    here = bench.before(way, Beside, TROUBLES[name])
    failed = bench.go(here, way)
    if failed:
        assert way == "inventory" or "What to do: " in failed or "constrained" in failed
        assert bench.go(Beside(here.host, here.disk.parent), way) == ""
    assert apart(held(here), held(bench.after(way))) == {}


# Which way it goes


@pytest.mark.parametrize("way", ENDING)
def test_a_second_run_changes_nothing_more(bench, way):
    here = bench.before(way, Beside)
    assert bench.go(here, way) == ""
    first = held(here)
    assert bench.go(here, way) == ""
    assert apart(held(here), first) == {}


@pytest.mark.parametrize("way", WAYS)
def test_what_if_changes_nothing_and_says_of_each_step_what_would_be(bench, way):
    ran = bench.visit(bench.before(way), way, (), WhatIf=True)
    assert (ran.error, ran.asked, ran.changes) == (None, [], [])
    phase = {"undo": "Undo", "request": "Request", "accept": "Prepare"}
    phases = {"Check", WAYS[way].phase or phase.get(WAYS[way].script)}
    steps = script_steps(bench.script(way).read_bytes())
    wanted = [step for kinds, step in steps if phases & set(kinds.split("|"))]
    said = dict(line.partition(": ")[::2] for line in ran.output)
    assert list(said) == wanted
    assert all(said.values())


@pytest.mark.parametrize("way", WAYS)
def test_who_says_no_changes_nothing_and_who_says_yes_is_asked_once_for_each_change(bench, way):
    no, yes = bench.before(way), bench.before(way)
    before = held(no)
    bench.visit(no, way, ["n"] * 40, Confirm=True)
    assert apart(held(no), before) == {}
    asked = bench.visit(bench.before(way), way, ["y"] * 40, Confirm=True).asked
    answers = [PASSWORD if "Password" in one else "y" for one in asked]
    ran = bench.visit(yes, way, [*answers, *["y"] * 40], Confirm=True)
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
    """Go a way from each copy, two at once: the change, why it failed, what is there then."""

    def go(copy):
        change, disk = copy
        here = Computer(host, disk)
        failed = bench.visit(here, way).error
        return change, failed, held(here)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(go, copies))


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
