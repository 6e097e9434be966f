"""A rehearsal: simulated computers follow the folders that people would carry, and report back."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from cryptography import x509

from vmscert.certificates.authority import Issued, read_pfx
from vmscert.certificates.keys import decrypt_key
from vmscert.changes.errands import Errand
from vmscert.changes.job import Job
from vmscert.names import iso
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.site.order import TRUST, Step, by_host, turns
from vmscert.site.site import PFX, Host
from vmscert.windows.simulated import Computer
from vmscert.windows.steps import HEALTHY, ScriptError, Trouble
from vmscert.windows.stores import Personal, Stores


def walk(
    job: Job, errands: Iterable[Errand], troubles: Mapping[str, Trouble] | None = None
) -> list[Errand]:
    """In a rehearsal, let the simulated computers run the scripts and report back.

    `troubles` is host → what is wrong there. On a real site nothing is done: people carry the
    folders, and bring back what `take_each()` reads; the errands come back as they are.
    """
    errands = list(errands)
    return Walk(job).visits(errands, troubles or {}) if job.rehearsal else errands


class Walk:
    """Somebody who goes from computer to computer in a rehearsal, and knows the site's order."""

    def __init__(self, job: Job) -> None:
        self.job, self.newest = job, job.state().thumbprints

    @cached_property
    def turns(self) -> dict[str, list[tuple[Step, ...]]]:
        """Computer → its visits to switch encryption on, in their order."""
        return by_host(turns(self.job.site))

    @cached_property
    def steps(self) -> dict[int, Step]:
        """Number → the step of these visits."""
        return {one.number: one for host in self.turns.values() for turn in host for one in turn}

    def visits(self, errands: Iterable[Errand], troubles: Mapping[str, Trouble]) -> list[Errand]:
        """Go there, and note how each visit ended."""
        job, done, lines = self.job, [], []
        with job.records.lock():
            for one in errands:
                result = _visit(self, one, troubles.get(one.host, HEALTHY))
                note = f"{one.command}: {result}"
                done.append(replace(one, result=result))
                lines.append(Entry(iso(job.at), job.number, "simulated", one.host, note=note))
            job.records.note_all(lines)
        return done


def simulated(job: Job, host: Host, trouble: Trouble = HEALTHY) -> Computer:
    """Return the simulated computer that stands for a host in a rehearsal."""
    return Computer(host, job.records.folder / "simulated", trouble)


def served_by(job: Job, state: State, host: Host) -> dict[int, Issued | None]:
    """Return port → what the simulated computer serves there: what was imported and bound."""
    computer = simulated(job, host)
    used = computer.stores(job.at).used
    opened = {label: _opened(job, state, computer, label) for label in set(used.values())}
    return {port: opened.get(used.get(group, "")) for port, group in host.ports}


def _visit(walk: Walk, errand: Errand, trouble: Trouble) -> str:
    """What a person does at a computer: run the script, bring the inventory back."""
    job, host = walk.job, walk.job.site[errand.host]
    if host.only_pem:
        return _pem_visit(job, errand)
    name, *said = shlex.split(errand.command)
    options = dict(zip(said[::2], said[1::2], strict=True))
    phase, turn = options.get("-Phase", ""), int(options.get("-Turn", 1))
    if phase == "Encrypt" and trouble.configurator == "0" and _out_of_turn(walk, host, turn):
        trouble = replace(trouble, configurator="1")  # what Server Configurator says out of turn
    computer = simulated(job, host, trouble)
    password = "" if phase or host.enrolment != PFX or not host.certified else job.secret("PFX")
    by_hand = _seen(walk, computer) if "-ByHand" in options else []
    try:
        script = job.records.folder / errand.folder / name
        computer.run(script, job.at, password, phase or "Prepare", turn, by_hand)
        result = "done"
    except ScriptError as error:
        result = f"failed: {error}"
    if computer.state.exists():
        job.records.save_inventory(computer.stores(job.at))
    return result


def _seen(walk: Walk, computer: Computer) -> list[str]:
    """The groups that say nothing and use the newest certificate, as a person sees who looks."""
    newest = walk.newest[computer.host.name]
    given = computer.stores(walk.job.at).given
    return [group for group in computer.host.unsaid_groups if given.get(group) == newest]


def _pem_visit(job: Job, errand: Errand) -> str:
    """What a person does where PEM files lie: open the key, look at all three, bring that back."""
    folder = job.records.folder / errand.folder
    held = {what: folder / name for name, what in job.site[errand.host].pem_files.items()}
    leaf, *between = x509.load_pem_x509_certificates(held["certificate"].read_bytes())
    if held["key"].exists():  # else it was made by somebody else, and lies there already
        key = decrypt_key(held["key"].read_bytes(), job.secret("PFX"))
        if key.public_key() != leaf.public_key():
            return f"failed: {held['key'].name} does not fit {held['certificate'].name}"
    job.records.save_inventory(
        Stores(
            errand.host,
            job.at,
            root=tuple(x509.load_pem_x509_certificates(held["roots"].read_bytes())),
            intermediate=tuple(between),
            personal=(Personal(leaf, True),),
        )
    )
    return "done"


def _out_of_turn(walk: Walk, host: Host, turn: int) -> bool:
    """Whether a step that comes before this turn has not been done on its computer yet."""
    job, mine = walk.job, walk.turns[host.name][turn - 1]
    waits = {number for step in mine for number in step.waits_for if number != TRUST}
    before = (walk.steps[number] for number in waits - {step.number for step in mine})
    return any(
        set(step.groups) - simulated(job, job.site[step.host]).stores(job.at).bindings.keys()
        for step in before
    )


def _opened(job: Job, state: State, computer: Computer, label: str) -> Issued | None:
    """A certificate of a simulated computer with its key: from the PFX, or made there."""
    if computer.pfx(label).exists():
        issued = read_pfx(computer.pfx(label), job.secret("PFX"))
        issuer = state.issuer_of(issued.certificate)
        return replace(issued, issuers=(issuer,) if issuer else ())
    stores = computer.stores(job.at)
    held = stores.find(label)
    key = computer.key(held.certificate) if held else None
    return Issued(held.certificate, key, stores.intermediate) if held and key else None
