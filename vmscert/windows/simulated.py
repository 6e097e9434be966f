"""Simulated Windows computers: they read the very folders that a person would carry."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from vmscert.facts import facts
from vmscert.files import write_atomic
from vmscert.names import iso
from vmscert.site.site import Host
from vmscert.windows.inventory import read_inventory, write_inventory
from vmscert.windows.scripts import script_inputs, script_steps
from vmscert.windows.steps import HEALTHY, STEPS, ScriptError, Trouble, Visit, made_key
from vmscert.windows.stores import LogLine, Stores, account

# Where these fail, the real script can write no inventory either.
_BEFORE_AN_INVENTORY = {"administrator", "writable-folder", "right-computer"}
_ONLY_PHASE = {"request": "Request", "accept": "Prepare", "undo": "Undo"}


class Computer:
    """One simulated Windows computer; its disk is a folder of the rehearsal."""

    def __init__(self, host: Host, disk: Path, trouble: Trouble = HEALTHY):
        self.host, self.trouble = host, trouble
        self._disk = disk / host.name
        self._notes = self._disk / "notes.json"
        self.state = self._disk / "state.json"

    def stores(self, at: datetime) -> Stores:
        """Return what the computer holds, as its inventory would say at this time."""
        held, denied = self._held(at), set(map(account, self.trouble.denied_accounts))
        personal = (
            replace(one, readers=tuple(r for r in one.readers if account(r) not in denied))
            for one in held.personal
        )
        return replace(held, personal=tuple(personal))

    def _held(self, at: datetime) -> Stores:
        """What the computer holds, whoever is denied what."""
        windows = self.trouble.windows or self.host.windows
        if self.state.exists():
            return replace(read_inventory(self.state), at=at, windows=windows)
        return Stores(self.host.name, at, windows=windows)

    def run(
        self,
        script: Path,
        at: datetime,
        password: str = "",
        phase: str = "Prepare",
        turn: int = 1,
        by_hand: Sequence[str] = (),
        remove_key: bool = False,
    ) -> None:
        """Run a script of a folder; ScriptError with step and remedy where the real one stops.

        `phase` and `turn` are those of install.ps1, turn 0 if none is named; each other script has
        one phase only. `by_hand` are the groups of which a person has seen what they use,
        `remove_key` is that of undo.ps1. An inventory is written at the end, unless somebody
        without rights or at the wrong computer ran it.
        """
        if self.trouble.constrained:
            raise ScriptError("This PowerShell runs in constrained language mode.")
        if script.stem == "inventory":
            self._refuse_inventory(script)
        wanted = {"Check", _ONLY_PHASE.get(script.stem, phase)}
        log = self._disk / f"{script.parent.name}.json"  # log.jsonl of the carried folder
        visit = Visit(
            self.host, self.trouble, script.parent, script_inputs(script.read_bytes()),
            self._held(at), _read(self._notes, {}), self._disk, self.trouble.password or password,
            at, turn, tuple(by_hand), remove_key, [LogLine(**line) for line in _read(log, [])],
        )  # fmt: skip
        failures = []
        try:
            for kinds, name in script_steps(script.read_bytes()):
                if wanted & set(kinds.split("|")):
                    failures += self._do(name, visit)
        finally:
            if not self.trouble.read_only:
                write_atomic(log, json.dumps(list(map(asdict, visit.log)), indent=1).encode())
            if not visit.log or visit.log[-1].step not in _BEFORE_AN_INVENTORY:
                write_atomic(self._notes, json.dumps(visit.notes, indent=1).encode())
                write_atomic(self.state, write_inventory(self._reported(visit)))
        if failures:
            raise ScriptError(f"This is left to do. {' '.join(failures)}")

    def _refuse_inventory(self, script: Path) -> None:
        """Stop where inventory.ps1 can not write, or must not."""
        if not self.trouble.elevated:
            raise ScriptError("Administrator rights are missing.")
        if self.trouble.name not in ("", self.host.name):
            raise ScriptError(f"This script is for {self.host.name}, but this computer is "
                              f"{self.trouble.name}.")  # fmt: skip
        if self.trouble.read_only:
            raise ScriptError(f"Access to the path '{script.parent}' is denied.")

    def _do(self, name: str, visit: Visit) -> list[str]:
        """Do one step, and note in the log how it ended; what failed on the way back goes on."""
        try:
            visit.log.append(LogLine(iso(visit.at), name, "done", STEPS[name](visit)))
            return []
        except ScriptError as error:
            told = str(error)
        visit.log.append(LogLine(iso(visit.at), name, "failed", told))
        if "What to do: " not in told:
            (remedy,) = (r["remedy"] for r in facts("windows/steps") if r["step"] == name)
            told += f" What to do: {remedy}"
        if not name.startswith("undo-"):
            raise ScriptError(f"Step {name}: {told}")
        return [f"Step {name}: {told}"]

    def _reported(self, visit: Visit) -> Stores:
        """What the inventory at the end of a visit says."""
        given = {
            what.removeprefix("given "): label
            for what, label in visit.notes.items()
            if what.startswith("given ") and label
        }
        source = str(visit.inputs.get("ClockSource", ""))
        offset = float(self.trouble.clock) if source else None
        found = replace(visit.stores, log=tuple(visit.log), given=given)
        return replace(found, clock_source=source, clock_offset=offset)

    def pfx(self, label: str) -> Path:
        """Return where the private key of this thumbprint is kept, still inside its PFX."""
        return self._disk / f"{label}.pfx"

    def key(self, certificate: x509.Certificate) -> RSAPrivateKey | None:
        """Return the private key of a certificate, if request.ps1 made it here."""
        return made_key(self._disk, certificate)


def _read(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else otherwise
