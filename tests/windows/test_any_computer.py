"""Random computers, visited in any order and killed anywhere: nothing that is used is ever lost."""

import os
import random
from dataclasses import dataclass, field
from itertools import product

import one
import pytest
from bench import labelled
from computer import HEALTHY, Computer, Trouble
from one import AT, DAY, PASSWORD

from vmscert.certificates.authority import thumbprint
from vmscert.site.site import Host

ALL = "VMSCERT_ALL_COMPUTERS"  # any text in this variable: all seeds, not only the first
SEEDS = range(200 if os.environ.get(ALL) else 10)
ROLES = [
    ("recording server",), ("event server",), ("mobile server",), ("log server",),
    ("failover recording server",), ("recording server", "event server"),
    ("management server", "event server"), ("recording server", "mobile server"),
]  # fmt: skip
ACCOUNTS = ["", r"EXAMPLE\svc-vms$", r".\recorder", "LocalSystem", "S-1-5-19"]
SPOKEN = [("en", "en-US"), ("fr", "fr-FR"), ("de", "de-DE"), ("da", "da-DK")]
PHASES = [("Prepare", "Encrypt"), ("Prepare", "Encrypt", "Retire")]
# What is waited for in vain takes long: test_proved.py has it.
CODES = ["1", "-4", "50", "100", "10000", "100000", "300000", "200000"]
SOFTWARE = r"HKEY_LOCAL_MACHINE\SOFTWARE"
OTHERS = {
    "RDP": (r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations"
            r"\RDP-Tcp", "SSLCertificateSHA1Hash"),
    "SQL": (rf"{SOFTWARE}\Microsoft\Microsoft SQL Server\MSSQL16.X\MSSQLServer\SuperSocketNetLib",
            "Certificate"),
    "WinRM": (rf"{SOFTWARE}\Microsoft\Windows\CurrentVersion\WSMAN\Listener\L1", "certThumbprint"),
}  # fmt: skip


@dataclass
class Life:
    """What happens to one computer, drawn from its seed."""

    seed: int
    told: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.draw = random.Random(self.seed)
        account, roles = self.draw.choice(ACCOUNTS), self.draw.choice(ROLES)
        self.host = Host(f"vms-{self.seed}", "example.local", roles=roles, account=account)
        self.language, self.culture = self.draw.choice(SPOKEN)

    def begin(self, place):
        """Install the computer, with what lies on it from before, and make its folders."""
        self.here = Computer(self.host, place / "disk")
        first = one.carried(place / "first", self.host, one.issued(self.host), made=AT)
        renewed = one.carried(
            place / "renewed", self.host, one.issued(self.host, 1), made=AT + 30 * DAY,
            superseded=(one.label(self.host),),
        )  # fmt: skip
        self.folders = [first, renewed]
        self.here.speak(self.language)
        if self.draw.random() < 0.3:
            (self.here.disk / "carried" / "first").mkdir(parents=True)
            (self.here.disk / "carried" / "first" / "log.jsonl").write_text('{"step": "h')

    def go_on(self):
        """Make some visits, and something by hand between them; look after each."""
        for number, (folder, script, phase) in enumerate(self._plan()):
            if self.draw.random() < 0.2:
                self._by_hand()
            self._visit(self.folders[folder], script, phase, AT + (30 + number) * DAY)
        self.undo()

    def _plan(self):
        steps = [(folder, "install", phase) for folder in (0, 1) for phase in PHASES[folder]]
        for step in [one_step for one_step in steps if self.draw.random() < 0.85]:
            yield step
            if self.draw.random() < 0.12:
                yield self.draw.choice([0, 1]), "undo", self.draw.choice(["Off", "Remove"])

    def _by_hand(self):
        """Somebody uses a certificate for something else, or loses a key."""
        mine = self.here.windows["stores"].get(r"LocalMachine\My", [])
        if not mine:
            return
        chosen = self.draw.choice(mine)
        label = thumbprint(one.issued(self.host, 0).certificate)
        if not label.startswith(labelled(chosen["der"])):
            label = one.label(self.host, 1)
        what = self.draw.choice([*OTHERS, "IIS", "key gone", "key shut", "old kind of key",
                                 "free"])  # fmt: skip
        self.told.append(f"by hand: {what} {label[:8]}")
        with self.here.changed() as windows:
            if what == "IIS":
                windows["http"]["www.example.com:443"] = label
            elif what == "key shut":
                windows["unreadable_keys"] = [chosen["key"]]
            elif what == "key gone":
                for path in self.here.disk.rglob(chosen["key"]):
                    path.unlink()
            elif what == "old kind of key":
                for path in self.here.disk.rglob(f"Keys/{chosen['key']}"):
                    self._move_key(windows, chosen["key"], path)
            elif what == "free":
                windows["unreadable_keys"] = []
                windows["http"].pop("www.example.com:443", None)
                for key, _ in OTHERS.values():
                    windows["registry"].pop(key, None)
            else:
                key, name = OTHERS[what]
                value = list(bytes.fromhex(label)) if what == "RDP" else label
                windows["registry"][key] = {name: value}

    def _move_key(self, windows, name, path):
        """Keep a key as programs did that were written before CNG."""
        old = path.parent.parent / "RSA" / "MachineKeys" / name
        old.parent.mkdir(parents=True, exist_ok=True)
        path.rename(old)
        for kept in windows["stores"][r"LocalMachine\My"]:
            kept["capi"] = kept["capi"] or kept["key"] == name
        acl = windows["acls"].pop(path.relative_to(self.here.disk).as_posix())
        windows["acls"][old.relative_to(self.here.disk).as_posix()] = acl

    def _visit(self, folder, script, phase, when):
        before = Seen(self)
        chance = self.draw.random()
        trouble = HEALTHY
        if chance < 0.3:
            trouble = Trouble(configurator=self.draw.choice(CODES))
        elif chance < 0.4:
            trouble = Trouble(busy=True)
        self.here.trouble = trouble
        said = {"Phase": phase} if phase else {}
        copies, dies = folder.parent / f"copies-{len(self.told)}", 0
        if self.draw.random() < 0.3:
            dies = self.draw.choice([20, 60, 120]) + self.draw.randint(-19, 60)
        ran = self.here.visit(folder / f"{script}.ps1", when, [PASSWORD], self.culture,
                              copies if dies else None, dies, **said)  # fmt: skip
        self.told.append(f"{folder.name} {script} {phase} {trouble}: {ran.error}")
        self.check(before, script, phase, ran)
        if copies.exists():
            self.told.append(f"killed before {ran.changes[dies - 1]}")
            self.here = Computer(self.host, copies / f"{dies}")
            self.check(before, script, phase, None)

    def undo(self):
        """Undo both folders, the newer one first, until that is done or only a person can go on."""
        for folder in reversed(self.folders):
            for phase, seen in product(("Off", "Remove"), ({}, {"ByHand": "event server"})):
                before = Seen(self)
                self.here.trouble = HEALTHY
                when, more = AT + 100 * DAY, {"Phase": phase, **seen}
                ran = self.here.visit(folder / "undo.ps1", when, [], self.culture, **more)
                self.told.append(f"{folder.name} undo {more}: {ran.error}")
                self.check(before, "undo", phase, ran, seen=bool(seen))
                if ran.error is None and phase == "Remove":
                    break
            assert ran.error is None or names_a_deed(ran.error), self.told

    def check(self, before, script, phase, ran, seen=False):
        """What must be so after every visit."""
        now = Seen(self)
        assert not now.lost(before, seen), (now.lost(before, seen), self.told)
        if ran is None:
            return
        log = self.here.disk / "carried"
        assert log.exists()
        if ran.error is None:
            assert not (untrue := now.untrue(script, phase, self.folder_label(ran))), (
                untrue, self.told
            )  # fmt: skip

    def folder_label(self, ran):
        """The certificate of the folder that the last visit was made with."""
        return one.label(self.host, 1 if self.told[-1].startswith("renewed") else 0)


class Seen:
    """What is really used on a computer, and what there is to use it with."""

    def __init__(self, life):
        here, windows = life.here, life.here.windows
        self.used = {f"group {group}": label for group, label in here.used().items()}
        self.used |= {f"https {place}": label for place, label in windows["http"].items()}
        for what, (key, name) in OTHERS.items():
            value = windows["registry"].get(key, {}).get(name, "")
            self.used[what] = bytes(value).hex().upper() if isinstance(value, list) else value
        mine = windows["stores"].get(r"LocalMachine\My", [])
        self.held = {labelled(one_held["der"]): one_held.get("key", "") for one_held in mine}
        self.keys = {path.name for path in (here.disk / "ProgramData").rglob("*_*-*")}
        self.readers = {
            path.rpartition("/")[2]: {rule["sid"] for rule in acl["access"]}
            for path, acl in windows.get("acls", {}).items()
        }
        self.accounts = {service["sid"] for service in windows["services"]}

    def lost(self, before, seen):
        """What is used now, and could be before, and can not be any more."""
        found = []
        for what, label in self.used.items():
            short, unsaid = label[:8], what == "group event server" and seen
            if not label or unsaid or short not in before.held:
                continue
            key = before.held[short]
            if short not in self.held:
                found.append(f"{what} uses {label}, which is gone")
            elif key in before.keys and key not in self.keys:
                found.append(f"{what} uses {label}, whose key is gone")
            elif what.startswith("group ") and key in self.keys:
                gone = before.readers.get(key, set()) - self.readers.get(key, set())
                if gone & self.accounts:
                    found.append(f"{what} uses {label}, whose key {gone} read")
        return found

    def untrue(self, script, phase, label):
        """What a script that ended well has not done."""
        key = self.held.get(label[:8])
        if (script, phase) == ("install", "Prepare"):
            return [] if key in self.keys and self.accounts <= self.readers[key] else ["prepared"]
        if (script, phase) == ("install", "Encrypt"):
            groups = {what: used for what, used in self.used.items() if what.startswith("group ")}
            return [what for what, used in groups.items() if used != label] or (
                [] if groups else ["encrypted"]
            )
        return ["undone"] if phase == "Remove" and label[:8] in self.held else []


def names_a_deed(error):
    """Whether an error says what a person has to do, and that is not undo itself."""
    return all(error.split("What to do: ")[1:] or [""])


@pytest.mark.ahead
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_nothing_that_is_used_is_lost_and_undo_ends(bench, seed):
    life = Life(seed)
    life.begin(bench.place())
    life.go_on()
