"""What each step of a script does on a simulated computer.

A simulated computer reads which steps a script has from the script itself, and does each of them
as `@step` says: no step of a script is without one, and no step here is in no script. It fails
where Windows is known to fail, and where somebody breaks it on purpose.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import (
    is_signed_by,
    read_pfx,
    request,
    subject_names,
    thumbprint,
)
from vmscert.certificates.keys import decrypt_key, encrypt_key
from vmscert.facts import facts, pfx_encryption, pfx_encryption_of
from vmscert.files import write_atomic, write_once
from vmscert.names import iso
from vmscert.site.site import Host
from vmscert.windows.scripts import wanted_names
from vmscert.windows.stores import (
    CLOCK_SKEW,
    UNKNOWN,
    LogLine,
    Personal,
    Stores,
    account,
    leads_through,
    presented,
    principal,
)

_SYSTEM = ("S-1-5-18", "S-1-5-32-544")  # SYSTEM and Administrators read a new key of the machine
_KEY_PASSWORD = "a key that never leaves its simulated computer"
_UNEXPLAINED = {"meaning": "a code that nobody has explained", "off": "", "ends": "not bound"}
_FRAMEWORK = 393295  # release of .NET Framework 4.6, as Microsoft numbers them


class ScriptError(Exception):
    """A script stopped on a simulated computer; the text is what a person would read there."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a computer, or with the person at it; nothing, unless said.

    `clock` is how many seconds its clock is ahead, `configurator` what Server Configurator answers,
    `busy` whether another one is running. `framework` is the release number of its .NET Framework,
    `denied_accounts` those whom an entry of the key file denies to read it, `constrained` a
    PowerShell that a policy leaves a part of its language, `system` a script that SYSTEM runs,
    `stopped` services that do not start again after encryption was switched.
    """

    elevated: bool = True
    read_only: bool = False
    name: str = ""
    windows: str = ""
    clock: int = 0
    password: str = ""
    unknown_accounts: tuple[str, ...] = ()
    configurator: str = "0"
    busy: bool = False
    framework: int = 528049
    denied_accounts: tuple[str, ...] = ()
    constrained: bool = False
    system: bool = False
    stopped: bool = False


HEALTHY = Trouble()


@dataclass
class Visit:
    """One run of one script on one computer; the steps change what it holds."""

    host: Host
    trouble: Trouble
    folder: Path
    inputs: Mapping[str, str | list[str]]
    stores: Stores
    notes: dict[str, str]
    disk: Path
    password: str
    at: datetime
    turn: int = 1
    by_hand: tuple[str, ...] = ()
    remove_key: bool = False
    log: list[LogLine] = field(default_factory=list)

    def text(self, name: str) -> str:
        """One input of the script."""
        return str(self.inputs[name])

    @property
    def label(self) -> str:
        """The thumbprint of the certificate that the folder is about."""
        return self.text("Thumbprint")

    def carried(self, name: str) -> x509.Certificate:
        """One certificate of the folder."""
        return x509.load_der_x509_certificate((self.folder / name).read_bytes())

    def each(self, *names: str) -> list[tuple[str, ...]]:
        """Several lists of inputs side by side."""
        return list(zip(*(self.inputs[name] for name in names), strict=True))

    @property
    def before(self) -> dict[str, str]:
        """What this folder noted before it changed something: what → how it was."""
        mine = f"{self.text('Made')} "
        found = (one for one in self.notes.items() if one[0].startswith(mine))
        return {what.removeprefix(mine): was for what, was in found}

    def note(self, what: str, was: str) -> None:
        """Note how something was, once."""
        self.notes.setdefault(f"{self.text('Made')} {what}", was)

    def forget(self, what: str) -> None:
        """Forget how something was, once it is so again."""
        self.notes[f"{self.text('Made')} undone"] = "yes"
        self.notes.pop(f"{self.text('Made')} {what}", None)

    @property
    def in_use(self) -> dict[str, str]:
        """What encrypts here → with which certificate; not what a person has looked at instead."""
        used = {**self.stores.bindings, **self.stores.https}
        return {
            one: label for one, label in used.items() if label != UNKNOWN or one not in self.by_hand
        }

    @property
    def held(self) -> Personal | None:
        """The certificate of this folder, if the computer holds it with its private key."""
        found = self.stores.find(self.label)
        return found if found and found.has_key else None

    def hold(self, held: Personal) -> None:
        """Put a certificate into LocalMachine\\My, in place of the same one."""
        others = (p for p in self.stores.personal if p.certificate != held.certificate)
        self.stores = replace(self.stores, personal=(*others, held))

    def drop(self, label: str) -> None:
        """Take a certificate out of LocalMachine\\My, with its key."""
        kept = (p for p in self.stores.personal if thumbprint(p.certificate) != label)
        self.stores = replace(self.stores, personal=tuple(kept))

    def distrust(self, *labels: str) -> None:
        """Take roots out of LocalMachine\\Root, which shows AuthRoot too."""
        root, others = (
            tuple(one for one in held if thumbprint(one) not in labels)
            for held in (self.stores.root, self.stores.third_party_root)
        )
        self.stores = replace(self.stores, root=root, third_party_root=others)


Step = Callable[[Visit], str]
STEPS: dict[str, Step] = {}


def step(do: Step) -> Step:
    """Let simulated computers do this where a script has a step of this name."""
    STEPS[do.__name__.replace("_", "-")] = do
    return do


# Checks


@step
def administrator(visit: Visit) -> str:
    """Whether the person opened PowerShell as administrator."""
    if not visit.trouble.elevated:
        raise ScriptError("Administrator rights are missing.")
    return "PowerShell runs as administrator"


@step
def powershell(visit: Visit) -> str:
    """Whether PowerShell has what the scripts need."""
    if visit.trouble.framework < _FRAMEWORK:
        raise ScriptError(f"This computer has a .NET Framework before 4.6 (release "
                          f"{visit.trouble.framework}). What to do: install .NET Framework "
                          f"4.8.")  # fmt: skip
    return "PowerShell can do what is needed"


@step
def writable_folder(visit: Visit) -> str:
    """Whether the log can be written beside the script."""
    if visit.trouble.read_only:
        raise ScriptError(f"Access to the path '{visit.folder}' is denied.")
    return "this folder can be written to"


@step
def right_computer(visit: Visit) -> str:
    """Whether the folder was carried to its own computer."""
    here, wanted = visit.trouble.name or visit.host.name, visit.text("ComputerName")
    if here != wanted:
        raise ScriptError(f"This folder is for {wanted}, but this computer is {here}.")
    return f"this computer is {here}"


@step
def right_time(visit: Visit) -> str:
    """Whether the clock is right, to five minutes."""
    now, made = visit.at + timedelta(seconds=visit.trouble.clock), visit.text("Made")
    if now < datetime.fromisoformat(made) - timedelta(seconds=CLOCK_SKEW):
        raise ScriptError(f"The clock of {visit.host.name} says {iso(now)}, before this folder "
                          f"was made ({made}).")  # fmt: skip
    source = visit.text("ClockSource")
    if not source:
        return f"it is {iso(now)} here; no other clock answered, so compare that with your watch"
    if abs(visit.trouble.clock) > CLOCK_SKEW:
        raise ScriptError(f"The clock of {visit.host.name} is {visit.trouble.clock} seconds off "
                          f"that of {source}.")  # fmt: skip
    return f"the clock is {visit.trouble.clock} seconds off that of {source}"


@step
def right_windows(visit: Visit) -> str:
    """Whether this Windows opens the PFX, as far as the release tells."""
    if visit.held:
        return "the PFX file is imported already"
    windows = visit.stores.windows
    if int(visit.text("LeastBuild")) and pfx_encryption(windows) == "3DES":
        raise ScriptError(f"{windows} on {visit.host.name} can not open this PFX file, which was "
                          f"made for {visit.text('Windows')}: it would call the password "
                          f"wrong.")  # fmt: skip
    return f"{windows or 'this Windows'} can open the PFX file"


@step
def carried_files(visit: Visit) -> str:
    """Whether every file is as it was made."""
    for name, digest in visit.each("Files", "Hashes"):
        path = visit.folder / name
        if not path.exists():
            raise ScriptError(f"{name} is missing beside this script.")
        if _sha256(path) != digest:
            raise ScriptError(f"{name} has changed since it was made: its SHA-256 is another one.")
    return f"{len(visit.inputs['Files'])} files are as they were made"


@step
def newest_certificate(visit: Visit) -> str:
    """Whether a newer certificate of this computer is here already."""
    mine = datetime.fromisoformat(visit.text("NotBefore"))
    for held in visit.stores.personal:
        newer = held.certificate.not_valid_before_utc > mine
        if newer and visit.host.names[0] in subject_names(held.certificate):
            label = thumbprint(held.certificate)
            raise ScriptError(f"A newer certificate is here already: {label}.")
    return "no newer certificate is here"


@step
def no_configurator(visit: Visit) -> str:
    """Whether a Server Configurator is at work here, which would bind what is taken away."""
    if visit.trouble.busy:
        raise ScriptError("A Server Configurator is running on this computer: nothing is changed.")
    return "no Server Configurator is running"


@step
def way_back(visit: Visit) -> str:
    """Whether there are notes of how things were, if there is something to take back."""
    label = visit.label
    if not visit.before and visit.stores.find(label):
        raise ScriptError(f"This folder has no notes of how {visit.host.name} was before, and the "
                          f"certificate {label} is here.")  # fmt: skip
    return f"{len(visit.before)} notes tell how things were"


# Deeds


@step
def trust_root(visit: Visit) -> str:
    """Put the CAs into LocalMachine\\Root, and note which were not there."""
    for name, label in visit.each("CaFiles", "CaThumbprints"):
        if (one := visit.carried(name)) not in visit.stores.root:
            visit.note(f"Root {label}", "absent")
            visit.stores = visit.stores.trusting(one)
    return f"{', '.join(visit.inputs['CaThumbprints'])} is in LocalMachine\\Root"


@step
def intermediates(visit: Visit) -> str:
    """Put the CAs between server and root into LocalMachine\\CA, where they may stay."""
    new = map(visit.carried, visit.inputs["IntermediateFiles"])
    visit.stores = visit.stores.knowing(*new)
    return f"{', '.join(visit.inputs['IntermediateThumbprints'])} is in LocalMachine\\CA"


@step
def import_certificate(visit: Visit) -> str:
    """Open the PFX with the password that somebody typed; Windows before AES calls it wrong."""
    label = visit.label
    if visit.held:
        return f"{label} is in LocalMachine\\My already, with its private key"
    path = visit.folder / visit.text("PfxFile")
    if not path.exists() or _sha256(path) != visit.text("PfxHash"):
        raise ScriptError(f"{path.name} is missing beside this script, or has changed since it was "
                          f"made.")  # fmt: skip
    old = pfx_encryption(visit.stores.windows) == "3DES"
    try:
        if old and pfx_encryption_of(path.read_bytes()) != "3DES":
            raise ValueError
        issued = read_pfx(path, visit.password)
    except ValueError:
        raise ScriptError("The specified network password is not correct.") from None
    if visit.stores.find(label) is None:
        visit.note(f"My {label}", "absent")
    write_atomic(visit.disk / f"{label}.pfx", path.read_bytes())
    visit.hold(Personal(issued.certificate, True, _SYSTEM))
    return f"{label} is in LocalMachine\\My now, with its private key"


@step
def make_request(visit: Visit) -> str:
    """Make a key that stays, and a request that goes, with the names of request.inf."""
    name, path = visit.text("RequestFile"), visit.disk / f"request-{visit.folder.name}.key"
    if path.exists():
        return f"{name} is there already"
    csr, key = request(*wanted_names((visit.folder / "request.inf").read_bytes()))
    write_once(path, encrypt_key(key, _KEY_PASSWORD))
    visit.stores = replace(visit.stores, request=csr.public_bytes(Encoding.PEM).decode())
    return f"{name} is made; its private key stays on {visit.host.name}"


@step
def accept_certificate(visit: Visit) -> str:
    """Join the certificate with the key that waits for it, if the computer trusts its CA."""
    label, name = visit.label, visit.text("CertificateFile")
    if visit.held:
        return f"{label} is in LocalMachine\\My already, with its private key"
    certificate = visit.carried(name)
    if made_key(visit.disk, certificate) is None:
        raise ScriptError(f"Windows did not take {name}: there is no request that it answers.")
    visit.note(f"My {label}", "absent")
    visit.hold(Personal(certificate, True, _SYSTEM))
    return f"{label} is in LocalMachine\\My now, with its private key"


@step
def name_certificate(visit: Visit) -> str:
    """Give the certificate the name that Server Configurator shows."""
    return f"Server Configurator lists it as {visit.text('FriendlyName')}"


@step
def key_access(visit: Visit) -> str:
    """Let the accounts of the services read the private key, as many as may be."""
    held = visit.held
    if held is None:
        return "there is no private key yet"
    unknown, denied = (
        set(map(account, names))
        for names in (visit.trouble.unknown_accounts, visit.trouble.denied_accounts)
    )
    failed = []
    for one in visit.inputs["Accounts"]:
        if account(one) in unknown and not one.startswith("S-1-"):
            failed.append(f"The account {one} is unknown on {visit.host.name}.")
        elif account(one) in denied:
            failed.append(f"{one} still may not read the key: look for an entry that denies it.")
        elif not held.readable_by(one):
            visit.note(f"Reader {principal(one)}", "absent")
            held = replace(held, readers=(*held.readers, principal(one)))
    visit.hold(held)
    if failed:
        raise ScriptError(" ".join(failed))
    return "; ".join(f"{one} may read the private key now" for one in visit.inputs["Accounts"])


@step
def enable_encryption(visit: Visit) -> str:
    """Let Server Configurator bind the certificate, and look at what it really did."""
    label, name = visit.label, visit.host.name
    if visit.stores.find(label) is None:
        raise ScriptError(f"{name} does not hold the certificate {label} yet. What to do: run "
                          f"install.ps1 without -Phase first.")  # fmt: skip
    if visit.held is None:
        raise ScriptError(f"The private key of {label} on {name} is missing or does not open. "
                          f"What to do: run install.ps1 without -Phase.")  # fmt: skip
    if not _trusted(visit.stores, visit.held.certificate):
        raise ScriptError(f"{name} does not trust the certificate {label} itself. What to do: run "
                          f"install.ps1 without -Phase first.")  # fmt: skip
    known = sorted(set(visit.inputs["Turns"]))
    wanted = str(max(1, visit.turn))
    if wanted not in known or (visit.turn == 0 and len(known) > 1):
        raise ScriptError(f"{name} has these turns: {', '.join(known)}. What to do: "
                          f"write -Turn with the number that the plan names.")  # fmt: skip
    _refuse_system(visit)
    _refuse_stopped(visit)
    mine = [group for group, turn in visit.each("Groups", "Turns") if turn == wanted]
    return "; ".join(_configure(visit, group, label) for group in mine)


def _refuse_system(visit: Visit) -> None:
    if visit.trouble.system:
        raise ScriptError("SYSTEM runs this script, and XProtect does not let it register a "
                          "server. What to do: run it as a person.")  # fmt: skip


def _refuse_stopped(visit: Visit) -> None:
    """Stop where services that a run before stopped do not start."""
    if "stopped" not in visit.notes:
        return
    if visit.trouble.stopped:
        raise ScriptError("These services ran before and do not start. What to do: read the event "
                          "log, start them, then run this script again.")  # fmt: skip
    del visit.notes["stopped"]


@step
def remove_superseded(visit: Visit) -> str:
    """Remove the certificates that were replaced, unless something may still use them."""
    told = []
    for old in visit.inputs["Superseded"]:
        if visit.stores.find(old) is None:
            told.append(f"{old} is not here")
            continue
        if users := _users(visit, old):
            raise ScriptError(f"{old} may still be in use: {users}.")
        if visit.held is None:
            successor = f"its successor {visit.label} is not here with its private key"
            raise ScriptError(f"{old} stays: {successor}.")
        visit.drop(old)
        told.append(f"{old} is removed")
    return "; ".join(told)


@step
def remove_root(visit: Visit) -> str:
    """Trust the CAs that were replaced no longer, unless something here still needs them."""
    _refuse_in_use(visit, visit.inputs["OldCaFiles"], "a CA that is to go has issued it")
    return "; ".join(_remove_root(visit, label) for label in visit.inputs["OldCaThumbprints"])


@step
def bar_certificate(visit: Visit) -> str:
    """Never trust certificates again whose key was stolen, unless something here uses them."""
    _refuse_in_use(visit, visit.inputs["BarredFiles"], "it is to be barred, or its CA is")
    told = [_remove_root(visit, label) for label in visit.inputs["BarredThumbprints"]]
    for name, label in visit.each("BarredFiles", "BarredThumbprints"):
        if (one := visit.carried(name)) not in visit.stores.disallowed:
            visit.note(f"Disallowed {label}", "absent")
            visit.stores = visit.stores.barring(one)
        told.append(f"{label} is in LocalMachine\\Disallowed now")
    return "; ".join(told)


# The way back


@step
def undo_root_removal(visit: Visit) -> str:
    """Trust the CAs again that were trusted before."""
    again = visit.each("OldCaFiles", "OldCaThumbprints")
    return "; ".join(_restore_root(visit, *one) for one in again)


@step
def undo_barring(visit: Visit) -> str:
    """Take out of LocalMachine\\Disallowed what was not there; trust what was trusted before."""
    new = {one for one in visit.inputs["BarredThumbprints"] if f"Disallowed {one}" in visit.before}
    kept = tuple(one for one in visit.stores.disallowed if thumbprint(one) not in new)
    for one in new:
        visit.forget(f"Disallowed {one}")
    visit.stores = replace(visit.stores, disallowed=kept)
    told = [_restore_root(visit, *one) for one in visit.each("BarredFiles", "BarredThumbprints")]
    return "; ".join([f"{one} is no longer in LocalMachine\\Disallowed" for one in new] + told)


@step
def undo_encryption(visit: Visit) -> str:
    """Let each group use what it used before."""
    told, failed = [], []
    if visit.before.keys() & set(visit.inputs["UndoGroups"]):
        _refuse_system(visit)
    for group in visit.inputs["UndoGroups"]:
        try:
            told.append(_restore_group(visit, group))
        except ScriptError as error:
            failed.append(str(error))
    if failed:
        raise ScriptError("; ".join(told + failed))
    _refuse_stopped(visit)
    return "; ".join(told)


def _restore_group(visit: Visit, group: str) -> str:
    """Let one group use again what it used before, unless a person has decided otherwise since."""
    was, now = visit.before.get(group), visit.stores.bindings.get(group, "")
    if was is None:
        return f"{group} was not changed"
    settled = ""
    if group in visit.by_hand:
        settled = f"{group} was switched by hand, as you say"
    elif now not in (UNKNOWN, was, visit.label):
        settled = f"{group} uses {now or 'no certificate'}, which somebody chose since: it stays so"
    if settled:
        visit.notes.pop(f"given {group}", None)
        visit.forget(group)
        return settled
    if was == UNKNOWN:
        raise ScriptError(f"{group} did not say which certificate it used before. What to do: "
                          f"choose it in the window of Server Configurator.")  # fmt: skip
    old = visit.stores.find(was) if was else None
    if was and not _uses(visit, group, was) and not (old and old.has_key):
        raise ScriptError(f"{group} stays on {now}: {was}, which it used before, is gone. What to "
                          f"do: nothing, if it is to stay so.")  # fmt: skip
    told = _configure(visit, group, was)
    if not was:
        visit.notes.pop(f"given {group}", None)
    visit.forget(group)
    return told


@step
def undo_access(visit: Visit) -> str:
    """Take the access to the private key away that was given, unless the key may be in use."""
    given = [what for what in visit.before if what.startswith("Reader ")]
    held, users = visit.held, _users(visit, visit.label)
    if given and held and users:
        raise ScriptError(f"{visit.label} keeps its readers, since it may be in use: {users}.")
    for what in given:
        visit.forget(what)
    if given and held:
        kept = (one for one in held.readers if f"Reader {one}" not in given)
        visit.hold(replace(held, readers=tuple(kept)))
    return "; ".join(f"{what} no longer" for what in given) or "no access was given"


@step
def undo_certificate(visit: Visit) -> str:
    """Remove the certificate if it was not there before, and nothing may use it."""
    label = visit.label
    if visit.before.get(f"My {label}") != "absent":
        return f"{label} stays as it is in LocalMachine\\My"
    if visit.text("KeyMadeHere") and visit.held and not visit.remove_key:
        return f"{label} stays, unused, for its private key was made here and is the only one"
    if (users := _users(visit, label)) and visit.stores.find(label):
        raise ScriptError(f"{label} stays, since it may be in use: {users}.")
    visit.drop(label)
    visit.forget(f"My {label}")
    return f"{label} is no longer in LocalMachine\\My"


@step
def undo_trust(visit: Visit) -> str:
    """Remove the CAs that were not there before, unless something may use what they issued."""
    known = visit.each("CaFiles", "CaThumbprints")
    new = {label: file for file, label in known if visit.before.get(f"Root {label}") == "absent"}
    _refuse_in_use(visit, new.values(), "a CA that is to go has issued it")
    visit.distrust(*new)
    for one in new:
        visit.forget(f"Root {one}")
    return f"{', '.join(sorted(new)) or 'nothing'} is no longer in LocalMachine\\Root"


def _uses(visit: Visit, group: str, label: str) -> bool:
    """Whether a group uses a certificate, or none when the label is empty, as far as it says."""
    now = visit.stores.bindings.get(group, "")
    given = group in visit.host.unsaid_groups and now == UNKNOWN and label
    return now == label != UNKNOWN or bool(given and visit.notes.get(f"given {group}") == label)


def _configure(visit: Visit, group: str, label: str) -> str:
    """What Server Configurator does for one group, and what is seen afterwards."""
    code, bindings = visit.trouble.configurator, dict(visit.stores.bindings)
    known = {row["code"]: row for row in facts("windows/exit-codes")}.get(code, _UNEXPLAINED)
    meaning = known["meaning"] if label or not known["off"] else known["off"]
    answer = f"Server Configurator answered {code}: {meaning}"
    failed = ScriptError(f"{group} uses {label}, but {answer}.")
    uses, waits = f"{group} uses {label or 'no certificate'}", f"unregistered {group}"
    if _uses(visit, group, label):
        if waits not in visit.notes:
            return f"{uses} already"
        if known["ends"] != "done":
            raise failed
        del visit.notes[waits]  # a run before could switch the group, and not register it
        return f"{uses} and is registered now"
    now, given = bindings.get(group, ""), visit.notes.pop(f"given {group}", "")
    unsaid = group in visit.host.unsaid_groups
    visit.note(group, given if unsaid and now == UNKNOWN and given else now)
    if known["ends"] == "not bound":
        visit.notes[f"given {group}"] = given
        raise ScriptError(f"{group} uses {now or 'no certificate'} and not {label}. {answer}.")
    visit.notes[f"given {group}"] = label
    bindings[group] = UNKNOWN if label and unsaid else label
    kept = {one: used for one, used in bindings.items() if used}
    visit.stores = replace(visit.stores, bindings=kept)
    if known["ends"] != "done":
        visit.notes[waits] = code
    visit.notes["stopped"] = "yes"
    _refuse_stopped(visit)
    if known["ends"] != "done":
        raise failed
    visit.notes.pop(waits, None)
    return f"{uses} now; {answer}"


def _users(visit: Visit, label: str) -> str:
    """What uses a certificate, or may do so because it does not say what it uses."""
    told = [
        f"{one} does not say what it uses" if used == UNKNOWN else f"{one} uses it"
        for one, used in visit.in_use.items()
        if used in (label, UNKNOWN)
    ]
    return "; ".join(sorted(told))


def _refuse_in_use(visit: Visit, carried: Iterable[str], why: str) -> None:
    """Stop where a certificate that may be in use is one of these, or is issued below one.

    Where a service does not say what it uses, it may be any certificate with a private key.
    """
    stores, used = visit.stores, set(visit.in_use.values())
    going = list(map(visit.carried, carried))
    for held in stores.personal:
        label, chain = thumbprint(held.certificate), presented(held.certificate, stores)
        may_be = label in used or (UNKNOWN in used and held.has_key)
        if may_be and any(leads_through(chain, one) for one in going):
            raise ScriptError(f"{label} may still be in use, and {why}.")


def _remove_root(visit: Visit, label: str) -> str:
    """Trust a root no longer, once the CAs of the folder are trusted."""
    trusted = set(map(thumbprint, visit.stores.trusted))
    if label not in trusted:
        return f"{label} is not in LocalMachine\\Root"
    for successor in visit.inputs["CaThumbprints"]:
        if successor not in trusted:
            raise ScriptError(f"{label} stays, because {successor} of this folder is not in "
                              f"LocalMachine\\Root.")  # fmt: skip
    visit.note(f"Root {label}", "present")
    visit.distrust(label)
    return f"{label} is no longer in LocalMachine\\Root"


def _restore_root(visit: Visit, name: str, label: str) -> str:
    """Put a root back into LocalMachine\\Root that was taken out."""
    if visit.before.get(f"Root {label}") != "present":
        return f"{label} stays as it is in LocalMachine\\Root"
    visit.stores = visit.stores.trusting(visit.carried(name))
    visit.forget(f"Root {label}")
    return f"{label} is in LocalMachine\\Root again"


def _trusted(stores: Stores, certificate: x509.Certificate) -> bool:
    """Whether the way up from a certificate, over the CAs in LocalMachine\\CA, ends at a root.

    None of them may lie in LocalMachine\\Disallowed, which counts for more than any other store.
    """
    chain, barred = presented(certificate, stores), set(stores.disallowed)
    above = any(is_signed_by(chain[-1], root) for root in stores.trusted if root not in barred)
    return above and not barred & set(chain)


def made_key(disk: Path, certificate: x509.Certificate) -> RSAPrivateKey | None:
    """The private key of a certificate, if the computer with this disk made it."""
    made = (decrypt_key(path.read_bytes(), _KEY_PASSWORD) for path in disk.glob("request-*.key"))
    return next((key for key in made if key.public_key() == certificate.public_key()), None)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest().upper()
