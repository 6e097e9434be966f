"""A rehearsal: simulated computers follow the folders that people would carry, and report back."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cryptography import x509

from vmscert.authority import Issued
from vmscert.carrying import Errand
from vmscert.job import Job
from vmscert.keyfile import decrypt_key
from vmscert.ledger import Entry, iso
from vmscert.records import read_pfx
from vmscert.site import PFX, Host
from vmscert.switching import switch_on, turns
from vmscert.visits import HEALTHY, Computer, ScriptError, Trouble
from vmscert.windows import Personal, Stores, thumbprint


def walk(
    job: Job, errands: Iterable[Errand], troubles: Mapping[str, Trouble] | None = None
) -> list[Errand]:
    """In a rehearsal, let the simulated computers run the scripts and report back.

    `troubles` is host → what is wrong there. On a real site nothing is done: people carry the
    folders, and bring back what `take_back()` reads; the errands come back as they are.
    """
    errands = list(errands)
    if not job.rehearsal:
        return errands
    with job.records.lock():
        done = [
            replace(one, result=_visit(job, one, (troubles or {}).get(one.host, HEALTHY)))
            for one in errands
        ]
        job.records.note_all(
            Entry(
                iso(job.at), job.number, "simulated", one.host, note=f"{one.command}: {one.result}"
            )
            for one in done
        )
    return done


def simulated(job: Job, host: Host, trouble: Trouble = HEALTHY) -> Computer:
    """Return the simulated computer that stands for a host in a rehearsal."""
    return Computer(host, job.records.folder / "simulated", trouble)


def served_by(job: Job, host: Host) -> dict[int, Issued | None]:
    """Return port → what the simulated computer serves there: what was imported and bound."""
    computer = simulated(job, host)
    used = computer.stores(job.at).used
    opened = {label: _opened(job, computer, label) for label in set(used.values())}
    return {port: opened.get(used.get(group, "")) for port, group in host.ports}


def _visit(job: Job, errand: Errand, trouble: Trouble) -> str:
    """What a person does at a computer: run the script, bring the inventory back."""
    host = job.site[errand.host]
    if host.only_pem:
        return _pem_visit(job, errand)
    name, *said = shlex.split(errand.command)
    options = dict(zip(said[::2], said[1::2], strict=True))
    phase, turn = options.get("-Phase", ""), int(options.get("-Turn", 1))
    if phase == "Encrypt" and trouble.configurator == "0" and _out_of_turn(job, host, turn):
        trouble = replace(trouble, configurator="1")  # what Server Configurator says out of turn
    computer = simulated(job, host, trouble)
    password = "" if phase or host.enrolment != PFX or not host.certified else job.secret("PFX")
    try:
        script = job.records.folder / errand.folder / name
        visit = (script, job.at, password, phase or "Prepare", turn)
        if "-ByHand" in options:
            computer.run(*visit, _seen(job, computer))
        else:
            computer.run(*visit)
        result = "done"
    except ScriptError as error:
        result = f"failed: {error}"
    if computer.state.exists():
        job.records.save_inventory(computer.stores(job.at))
    return result


def _seen(job: Job, computer: Computer) -> list[str]:
    """The groups that say nothing and use the newest certificate, as a person sees who looks."""
    newest = thumbprint(job.records.current()[computer.host.name])
    given = computer.stores(job.at).given
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


def _out_of_turn(job: Job, host: Host, turn: int) -> bool:
    """Whether a step that comes before this turn has not been done on its computer yet."""
    steps = switch_on(job.site)
    bound = {host.name: simulated(job, host).stores(job.at).bindings for host in job.site.servers}
    done = {s.number for s in steps if s.number and set(s.groups) <= set(bound[s.host])}
    mine = [one for one in turns(job.site) if one[0].host == host.name][turn - 1]
    waits = {number for step in mine for number in step.waits_for if number}
    return bool(waits - done - {step.number for step in mine})


def _opened(job: Job, computer: Computer, label: str) -> Issued | None:
    """A certificate of a simulated computer with its key: from the PFX, or made there."""
    if computer.pfx(label).exists():
        issued = read_pfx(computer.pfx(label), job.secret("PFX"))
        issuer = job.records.issuer_of(issued.certificate)
        return replace(issued, issuers=(issuer,) if issuer else ())
    stores = computer.stores(job.at)
    held = stores.find(label)
    key = computer.key(held.certificate) if held else None
    return Issued(held.certificate, key, stores.intermediate) if held and key else None
