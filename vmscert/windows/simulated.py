"""Simulated Windows computers: they read the very folders that a person would carry.

The script itself says which steps it has, with which inputs; what a step changes on the computer
is its `@deed` here. A step that only looks needs none.
"""

import json
from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import is_signed_by, read_pfx, request, thumbprint
from vmscert.certificates.keys import decrypt_key, encrypt_key
from vmscert.facts import facts, pfx_encryption
from vmscert.files import write_atomic, write_once
from vmscert.names import iso
from vmscert.site.site import Host
from vmscert.windows.inventory import read_inventory, write_inventory
from vmscert.windows.scripts import script_inputs, script_steps, wanted_names
from vmscert.windows.stores import (
    UNKNOWN,
    LogLine,
    Personal,
    Stores,
    leads_through,
    presented,
    principal,
)

_SYSTEM = ("S-1-5-18", "S-1-5-32-544")  # SYSTEM and Administrators read a new key of the machine
_KEY_PASSWORD = "a key that never leaves its simulated computer"


class ScriptError(Exception):
    """A script stopped on a simulated computer; the text is what a person would read there."""


@dataclass
class Run:
    """One run of one script on one computer; its deeds change what the stores hold."""

    computer: "Computer"
    folder: Path
    inputs: dict[str, str | list[str]]
    stores: Stores
    password: str
    turn: int
    by_hand: Sequence[str]
    out_of_turn: bool
    whole: bool  # back to before the first folder, not only this one
    before: ChainMap[str, str]  # what → how it was, as the first of the folders that count noted it

    def text(self, name: str) -> str:
        """One input of the script."""
        return str(self.inputs[name])

    def carried(self, *names: str) -> list[x509.Certificate]:
        """Certificates of the folder."""
        paths = (self.folder / name for name in names)
        return [x509.load_der_x509_certificate(path.read_bytes()) for path in paths]

    @property
    def held(self) -> Personal | None:
        """The certificate of this folder, if the computer holds it."""
        return self.stores.find(self.text("Thumbprint"))

    def forget(self, what: str) -> None:
        """Forget how something was, once it is so again."""
        for noted in self.before.maps:
            noted.pop(what, None)

    def put_back(self, store: str, was: str, *names: str) -> None:
        """Let a store hold these of the folder again, or no longer, where it was so before."""
        for one in self.carried(*names):
            if self.before.get(what := f"{store} {thumbprint(one)}") == was:
                held = [other for other in getattr(self.stores, store.lower()) if other != one]
                there = (*held, *[one] * (was == "present"))
                self.stores = replace(self.stores, **{store.lower(): there})
                self.forget(what)

    @property
    def in_use(self) -> dict[str, str]:
        """What encrypts here → with which certificate; not what a person has looked at instead."""
        used = {**self.stores.bindings, **self.stores.https}.items()
        return {one: label for one, label in used if label != UNKNOWN or one not in self.by_hand}


class Computer:
    """One simulated Windows computer; its disk is a folder of the rehearsal."""

    def __init__(self, host: Host, disk: Path):
        self.host, self.disk = host, disk / host.name
        self.state, self.notes = self.disk / "state.json", self.disk / "before.json"

    def stores(self, at: datetime) -> Stores:
        """Return what the computer holds, as its inventory would say at this time."""
        if self.state.exists():
            return replace(read_inventory(self.state), at=at, windows=self.host.windows)
        return Stores(self.host.name, at, windows=self.host.windows)

    def run(
        self,
        script: Path,
        at: datetime,
        password: str = "",
        phase: str = "Prepare",
        turn: int = 1,
        by_hand: Sequence[str] = (),
        out_of_turn: bool = False,
        whole: bool = False,
    ) -> None:
        """Run a script of a folder; ScriptError with step and remedy where the real one stops.

        `phase` and `turn` are those of the script, `whole` is -All. `by_hand` are the groups of
        which a person has seen what they use. Server Configurator refuses what is `out_of_turn`.
        An inventory is written at the end, however that was.
        """
        data, folder = script.read_bytes(), script.parent
        inputs = script_inputs(data)
        notes = json.loads(self.notes.read_bytes()) if self.notes.exists() else {}
        made = str(inputs.get("Made", ""))
        notes.setdefault(made, {})
        before = ChainMap(*(notes[one] for one in sorted(notes) if whole or one == made))
        run = Run(self, folder, inputs, self.stores(at), password, turn, by_hand, out_of_turn,
                  whole, before)  # fmt: skip
        brought = self.disk / f"{folder.name}-{self.state.name}"  # has the log of this folder
        log = list(read_inventory(brought).log) if brought.exists() else []
        wanted = {"Check", "Request" if script.stem == "request" else phase}
        rows, problem = {row["step"]: row for row in facts("windows/steps")}, ""
        for phases, name in script_steps(data):
            if problem or wanted.isdisjoint(phases.split("|")):
                continue
            try:
                if name in DEEDS or rows[name]["undo"] != "nothing to undo":
                    DEEDS[name](run)
                log.append(LogLine(iso(at), name, "done", rows[name]["title"]))
            except ScriptError as error:
                log.append(LogLine(iso(at), name, "failed", str(error)))
                problem = f"Step {name}: {error}"
                if "What to do: " not in problem:
                    problem += f" What to do: {rows[name]['remedy']}"
        clock = str(run.inputs.get("ClockSource", ""))
        stores = replace(run.stores, log=tuple(log), clock_source=clock,
                         clock_offset=0.0 if clock else None)  # fmt: skip
        write_atomic(self.notes, json.dumps(notes).encode())
        for path in (brought, self.state):
            write_atomic(path, write_inventory(stores))
        if problem:
            raise ScriptError(problem)

    def pfx(self, label: str) -> Path:
        """Return where the private key of this thumbprint is kept, still inside its PFX."""
        return self.disk / f"{label}.pfx"

    def key(self, certificate: x509.Certificate) -> RSAPrivateKey | None:
        """Return the private key of a certificate, if request.ps1 made it here."""
        made = (decrypt_key(one.read_bytes(), _KEY_PASSWORD) for one in self.disk.glob("*.key"))
        return next((key for key in made if key.public_key() == certificate.public_key()), None)


DEEDS: dict[str, Callable[[Run], None]] = {}


def deed(do: Callable[[Run], None]) -> Callable[[Run], None]:
    """Let simulated computers do this where a script has a step of this name."""
    DEEDS[do.__name__.replace("_", "-")] = do
    return do


@deed
def right_windows(run: Run) -> None:
    """Whether this Windows opens the PFX, as far as the release tells."""
    windows = run.stores.windows
    if not run.held and int(run.text("LeastBuild")) and pfx_encryption(windows) == "3DES":
        raise ScriptError(f"{windows} on {run.text('ComputerName')} can not open this PFX file, "
                          f"which was made for {run.text('Windows')}: it would call the password "
                          f"wrong.")  # fmt: skip


@deed
def trust_root(run: Run) -> None:
    """Put the CAs into LocalMachine\\Root."""
    for one in run.carried(*run.inputs["CaFiles"]):
        if one not in run.stores.trusted:
            run.before.setdefault(f"Root {thumbprint(one)}", "absent")
            run.stores = run.stores.trusting(one)


@deed
def intermediates(run: Run) -> None:
    """Put the CAs between server and root into LocalMachine\\CA."""
    run.stores = run.stores.knowing(*run.carried(*run.inputs["IntermediateFiles"]))


@deed
def import_certificate(run: Run) -> None:
    """Open the PFX with the password that somebody typed."""
    if run.held:
        return
    path = run.folder / run.text("PfxFile")
    try:
        issued = read_pfx(path, run.password)
    except ValueError:
        raise ScriptError("The specified network password is not correct.") from None
    write_atomic(run.computer.pfx(run.text("Thumbprint")), path.read_bytes())
    run.before.setdefault(f"My {run.text('Thumbprint')}", "absent")
    run.stores = run.stores.holding(Personal(issued.certificate, True, _SYSTEM))


@deed
def make_request(run: Run) -> None:
    """Make a key that stays, and a request that goes, with the names of request.inf."""
    path = run.computer.disk / f"request-{run.folder.name}.key"
    if not path.exists():
        csr, key = request(*wanted_names((run.folder / "request.inf").read_bytes()))
        write_once(path, encrypt_key(key, _KEY_PASSWORD))
        run.stores = replace(run.stores, request=csr.public_bytes(Encoding.PEM).decode())


@deed
def accept_certificate(run: Run) -> None:
    """Join the certificate with the key that waits for it."""
    if run.held:
        return
    name = run.text("CertificateFile")
    (certificate,) = run.carried(name)
    if run.computer.key(certificate) is None:
        raise ScriptError(f"Windows did not take {name}: there is no request that it answers.")
    run.before.setdefault(f"My {run.text('Thumbprint')}", "absent")
    run.stores = run.stores.holding(Personal(certificate, True, _SYSTEM))


@deed
def name_certificate(run: Run) -> None:
    """Nothing: what a computer holds tells no such name."""


@deed
def key_access(run: Run) -> None:
    """Let the accounts of the services read the private key."""
    if held := run.held:
        new = [principal(one) for one in run.inputs["Accounts"] if not held.readable_by(one)]
        for one in new:
            run.before.setdefault(f"Reader {one}", "absent")
        readers = tuple(dict.fromkeys((*held.readers, *new)))
        run.stores = run.stores.holding(replace(held, readers=readers))


@deed
def enable_encryption(run: Run) -> None:
    """Let Server Configurator bind the certificate to the groups that have their turn."""
    label, held, name = run.text("Thumbprint"), run.held, run.text("ComputerName")
    if held is None:
        raise ScriptError(f"{name} does not hold the certificate {label} yet. What to do: run "
                          f"install.ps1 without -Phase first.")  # fmt: skip
    # What lies in LocalMachine\Disallowed counts for more than any other store.
    chain, barred = presented(held.certificate, run.stores), set(run.stores.disallowed)
    above = any(is_signed_by(chain[-1], root) for root in {*run.stores.trusted} - barred)
    if not above or barred & set(chain):
        raise ScriptError(f"{name} does not trust the certificate {label} itself. What to do: run "
                          f"install.ps1 without -Phase first.")  # fmt: skip
    for group, turn in zip(run.inputs["Groups"], run.inputs["Turns"], strict=True):
        used = run.stores.used.get(group)
        if turn != str(run.turn) or used == label:
            continue
        if run.out_of_turn:
            _refused(group, used, label)
        run.before.setdefault(group, used or "")
        _use(run, group, label)


def _refused(group: str, used: str | None, label: str) -> None:
    """Server Configurator's answer to who comes too early."""
    (row,) = (row for row in facts("windows/exit-codes") if row["code"] == "1")
    why, instead = row["meaning" if label else "off"], f" and not {label}" if label else " still"
    raise ScriptError(f"{group} uses {used or 'no certificate'}{instead}. Server Configurator "
                      f"answered 1: {why}.")  # fmt: skip


def _use(run: Run, group: str, label: str) -> None:
    """Let a group use a certificate, or none."""
    shown = UNKNOWN if group in run.computer.host.unsaid_groups else label
    bindings, given = {**run.stores.bindings, group: shown}, {**run.stores.given, group: label}
    if not label:
        del bindings[group], given[group]
    run.stores = replace(run.stores, bindings=bindings, given=given)


@deed
def undo_encryption(run: Run) -> None:
    """Let the groups that have their turn use what they used before; what a person chose stays."""
    own = [run.text("Thumbprint"), *(run.inputs["Superseded"] if run.whole else ())]
    for group, turn in zip(run.inputs["UndoGroups"], run.inputs["UndoTurns"], strict=True):
        now, was = run.stores.used.get(group, ""), run.before.get(group)
        if turn != str(run.turn) or (was is None and now not in own):
            continue
        chosen = group in run.by_hand or now not in (UNKNOWN, was, *own)  # by a person, since
        if was is None or (was == UNKNOWN and not chosen):
            raise ScriptError(f"Nobody noted which certificate {group} used before {now}.")
        if not chosen and was not in (now, "") and run.stores.find(was) is None:
            raise ScriptError(f"{group} stays on {now or 'no certificate'}: {was}, which it used "
                              f"before, is gone from this computer or has no key.")  # fmt: skip
        if not chosen:
            if run.out_of_turn and now and not was:
                _refused(group, now, was)
            _use(run, group, was)
        run.forget(group)


@deed
def undo_root_removal(run: Run) -> None:
    """Trust the CAs again that were taken out."""
    run.put_back("Root", "present", *run.inputs["OldCaFiles"])


@deed
def undo_barring(run: Run) -> None:
    """Bar no longer what was barred."""
    run.put_back("Disallowed", "absent", *run.inputs["BarredFiles"])
    run.put_back("Root", "present", *run.inputs["BarredFiles"])


@deed
def not_in_use(run: Run) -> None:
    """Look whether anything here uses what is to go."""
    label, before = run.text("Thumbprint"), run.before
    brought = before.get(f"My {label}") == "absent" or any(w.startswith("Reader ") for w in before)
    if run.held and brought and (users := "; ".join(_users(run, label))):
        raise ScriptError(f"{label} stays, and so does its CA, since it may be in use: {users}.")
    cas = run.carried(*run.inputs["CaFiles"])
    for used in _used_below(run, [c for c in cas if f"Root {thumbprint(c)}" in before]):
        raise ScriptError(f"The CA stays, since {used}, which it issued, may be in use.")


@deed
def undo_access(run: Run) -> None:
    """Take the access to the private key from those that had it not before."""
    gone = [what for what in run.before if what.startswith("Reader ")]
    if held := run.held:
        kept = tuple(one for one in held.readers if f"Reader {one}" not in gone)
        run.stores = run.stores.holding(replace(held, readers=kept))
    for what in gone:
        run.forget(what)


@deed
def undo_certificate(run: Run) -> None:
    """Remove the certificate if it was not here before, unless its key is the only one."""
    what = f"My {run.text('Thumbprint')}"
    if run.before.get(what) == "absent" and not run.text("KeyMadeHere"):
        kept = tuple(one for one in run.stores.personal if one != run.held)
        run.stores = replace(run.stores, personal=kept)
        run.forget(what)


@deed
def undo_trust(run: Run) -> None:
    """Trust the CAs no longer that were brought."""
    run.put_back("Root", "absent", *run.inputs["CaFiles"])


@deed
def remove_superseded(run: Run) -> None:
    """Remove the certificates that were replaced, unless something may still use them."""
    for old in filter(run.stores.find, run.inputs["Superseded"]):
        if users := _users(run, old):
            raise ScriptError(f"{old} may still be in use: {'; '.join(users)}.")
        if run.held is None:
            raise ScriptError(f"{old} stays: its successor {run.text('Thumbprint')} is not here "
                              f"with its private key.")  # fmt: skip
        kept = (one for one in run.stores.personal if thumbprint(one.certificate) != old)
        run.stores = replace(run.stores, personal=tuple(kept))


def _users(run: Run, label: str) -> list[str]:
    """What uses a certificate here, or may."""
    return [
        f"{one} does not say what it uses" if used == UNKNOWN else f"{one} uses it"
        for one, used in sorted(run.in_use.items())
        if used in (label, UNKNOWN)
    ]


@deed
def remove_root(run: Run) -> None:
    """Trust the CAs that were replaced no longer, unless something here still needs them."""
    _distrust(run, run.carried(*run.inputs["OldCaFiles"]), "a CA that is to go has issued it")


@deed
def bar_certificate(run: Run) -> None:
    """Never trust certificates again whose key was stolen, unless something here uses them."""
    going = run.carried(*run.inputs["BarredFiles"])
    _distrust(run, going, "it is to be barred, or its CA is")
    for one in going:
        if one not in run.stores.disallowed:
            run.before.setdefault(f"Disallowed {thumbprint(one)}", "absent")
    run.stores = run.stores.barring(*going)


def _distrust(run: Run, going: Sequence[x509.Certificate], why: str) -> None:
    """Take these out of LocalMachine\\Root, which shows AuthRoot too, once the new ones are there.

    Not where a certificate that may be in use is one of them, or is issued below one: where a
    service does not say what it uses, that is any with a private key.
    """
    for label in _used_below(run, going):
        raise ScriptError(f"{label} may still be in use, and {why}.")
    gone = [one for one in going if one in run.stores.trusted]
    missing = [one for one in run.carried(*run.inputs["CaFiles"]) if one not in run.stores.trusted]
    if gone and missing:
        raise ScriptError(f"{thumbprint(gone[0])} stays, because {thumbprint(missing[0])} of this "
                          f"folder is not in LocalMachine\\Root.")  # fmt: skip
    root, others = (
        tuple(one for one in held if one not in gone)
        for held in (run.stores.root, run.stores.third_party_root)
    )
    for one in gone:
        run.before.setdefault(f"Root {thumbprint(one)}", "present")
    run.stores = replace(run.stores, root=root, third_party_root=others)


def _used_below(run: Run, above: Sequence[x509.Certificate]) -> Iterator[str]:
    """What may be in use here and is one of these, or is issued below one."""
    used = set(run.in_use.values())
    for held in run.stores.personal:
        label, chain = thumbprint(held.certificate), presented(held.certificate, run.stores)
        may_be = label in used or (UNKNOWN in used and held.has_key)
        if may_be and any(leads_through(chain, one) for one in above):
            yield label
