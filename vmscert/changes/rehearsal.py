"""A rehearsal: simulated computers follow the folders that people would carry, and report back."""

import shlex
from collections.abc import Iterable
from dataclasses import replace

from cryptography import x509

from vmscert.certificates.authority import SERVER, Issued, create_authority, read_pfx
from vmscert.certificates.keys import decrypt_key
from vmscert.changes.errands import Errand
from vmscert.changes.job import Job
from vmscert.checks.claims import answer_to
from vmscert.facts import facts
from vmscert.names import iso
from vmscert.records.ca import CaFiles
from vmscert.records.ledger import Entry
from vmscert.records.state import State
from vmscert.site.order import TRUST, by_host, turns
from vmscert.site.site import PFX, THIRD_PARTY, Host
from vmscert.windows.simulated import Computer, ScriptError
from vmscert.windows.stores import Personal, Stores


def walk(job: Job, errands: Iterable[Errand]) -> list[Errand]:
    """Let a rehearsal's simulated computers run the scripts and report; else people walk later."""
    return Walk(job).visits(errands) if job.rehearsal else list(errands)


class Walk:
    """Somebody who goes from computer to computer in a rehearsal, and knows the site's order."""

    def __init__(self, job: Job) -> None:
        self.job, self.newest = job, job.state().thumbprints
        # Whether on or off → computer → its visits for that, and the steps by their numbers.
        self.turns = {on: by_host(turns(job.site, on)) for on in (True, False)}
        self.steps = {
            on: {one.number: one for turns in mine.values() for turn in turns for one in turn}
            for on, mine in self.turns.items()
        }

    def visits(self, errands: Iterable[Errand]) -> list[Errand]:
        """Go there, and note how each visit ended."""
        job, done = self.job, []
        with job.records.lock():
            for one in errands:
                visit = self._look_at_pem if job.site[one.host].only_pem else self._run
                done.append(replace(one, result=visit(one)))
            told = [(one.host, f"{one.command}: {one.result}") for one in done]
            job.records.note_all(
                Entry(iso(job.at), job.number, "simulated", host, note=note) for host, note in told
            )
        return done

    def _run(self, errand: Errand) -> str:
        """What a person does at a computer: run the script, bring the inventory back."""
        job, host = self.job, self.job.site[errand.host]
        name, *said = shlex.split(errand.command)
        whole = "-All" in said
        said = [one for one in said if one != "-All"]
        options = dict(zip(said[::2], said[1::2], strict=True))
        phase, turn = options.get("-Phase", ""), int(options.get("-Turn", 1))
        early = phase in ("Encrypt", "Off") and self._out_of_turn(host, turn, phase == "Encrypt")
        computer, by_hand = simulated(job, host), []
        if "-ByHand" in options:  # whoever looks sees which silent groups use the newest one
            given, newest = computer.stores(job.at).given, self.newest[host.name]
            by_hand = [group for group in host.unsaid_groups if given.get(group) == newest]
        own_key = phase or host.enrolment != PFX or not host.certified
        password = "" if own_key else job.secret("PFX")
        try:
            script = job.records.folder / errand.folder / name
            phase = phase or ("Remove" if name == "undo.ps1" else "Prepare")
            computer.run(script, job.at, password, phase, turn, by_hand, early, whole)
            result = "done"
        except ScriptError as error:
            result = f"failed: {error}"
        job.records.save_inventory(computer.stores(job.at))
        if name == "request.ps1" and host.enrolment == THIRD_PARTY:
            self._ask_other_ca(host)
        return result

    def _ask_other_ca(self, host: Host) -> None:
        """Let another CA answer a request that waits: one made for this rehearsal and named so.

        A public one where all names are such as it may sign, else one of the site's own house.
        """
        job, csr = self.job, self.job.state().requests.get(host.name)
        if csr is None:
            return
        (row,) = (
            r for r in facts("change/other-cas") if (r["ca"] == "public") != bool(host.internal)
        )
        place = CaFiles(job.records.folder / "simulated" / row["name"])
        if not place.complete:
            made = create_authority(f"{row['name']} {job.at:%Y} (rehearsal)", job.at)
            place.write(made.certificate, made.encrypted_key(job.secret("CA")))
        profile = replace(SERVER, days=int(row["days"]), policy=row["policies"].partition("|")[0])
        answer = place.open(job.secret("CA")).sign(csr, host.issued_names, job.at, profile)
        issued = answer_to(csr, answer.chain, host.issued_names, job.at)
        job.records.save_signed(host.name, issued, at=job.at, runbook=job.number, action="receive")

    def _out_of_turn(self, host: Host, turn: int, on: bool) -> bool:
        """Whether a step that comes before this turn has not been done on its computer yet."""
        mine = self.turns[on][host.name][turn - 1]
        waits = {number for step in mine for number in step.waits_for if number != TRUST}
        for one in (self.steps[on][number] for number in waits - {step.number for step in mine}):
            held = simulated(self.job, self.job.site[one.host]).stores(self.job.at).bindings.keys()
            if not set(one.groups) <= held if on else set(one.groups) & held:
                return True
        return False

    def _look_at_pem(self, errand: Errand) -> str:
        """What a person does where PEM files lie: open the key, look at all, bring it back."""
        job, folder = self.job, self.job.records.folder / errand.folder
        held = {what: folder / name for name, what in job.site[errand.host].pem_files.items()}
        leaf, *between = x509.load_pem_x509_certificates(held["certificate"].read_bytes())
        if held["key"].exists():  # else it was made by somebody else, and lies there already
            key = decrypt_key(held["key"].read_bytes(), job.secret("PFX"))
            if key.public_key() != leaf.public_key():
                return f"failed: {held['key'].name} does not fit {held['certificate'].name}"
        roots = tuple(x509.load_pem_x509_certificates(held["roots"].read_bytes()))
        own, above = (Personal(leaf, True),), tuple(between)
        stores = Stores(errand.host, job.at, root=roots, intermediate=above, personal=own)
        job.records.save_inventory(stores)
        return "done"


def simulated(job: Job, host: Host) -> Computer:
    """Return the simulated computer that stands for a host in a rehearsal."""
    return Computer(host, job.records.folder / "simulated")


def served_by(job: Job, state: State, host: Host) -> dict[int, Issued | None]:
    """Return port → what the simulated computer serves there: what was imported and bound."""
    computer, opened = simulated(job, host), {}
    stores = computer.stores(job.at)
    used = stores.used
    for label in set(used.values()):
        held = stores.find(label)
        if computer.pfx(label).exists():
            issued = read_pfx(computer.pfx(label), job.secret("PFX"))
            issuer = state.issuer_of(issued.certificate)
            opened[label] = replace(issued, issuers=(issuer,) if issuer else ())
        elif held and (key := computer.key(held.certificate)):  # it was made there
            opened[label] = Issued(held.certificate, key, stores.intermediate)
    return {port: opened.get(used.get(group, "")) for port, group in host.ports}
