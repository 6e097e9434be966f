"""What is in use is replaced: certificates that end, or the CA; and what was replaced goes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from vmscert.agenda.gather import dark_to_come
from vmscert.certificates.authority import BACKDATE, ROOT, create_authority, is_signed_by
from vmscert.changes.errands import Errand, hand_over
from vmscert.changes.job import Job, Stop
from vmscert.changes.rehearsal import Walk, walk
from vmscert.checks.expiry import PLAN, Due
from vmscert.checks.lacks import (
    lacking_roots,
    missing_encryption,
    missing_imports,
    missing_retirement,
)
from vmscert.checks.live import Verification
from vmscert.findings import Check
from vmscert.pictures.bands import bands, timeline
from vmscert.pictures.canvas import Picture
from vmscert.records.folder import PROMOTE_CA
from vmscert.records.state import State
from vmscert.runbooks.certificates import (
    ca_name,
    due_certificates,
    issue_certificates,
    renew_certificates,
    sign_requests,
)
from vmscert.runbooks.overlap import (
    SERVERS_FIRST,
    Day,
    Overlap,
    cross_signing_rows,
    overlap_rows,
    plan_overlap,
    planned_stores,
    proof,
    simulate_days,
    stand_ins,
)
from vmscert.runbooks.stages import Checks, Deeds, Parts, Rows, downtimes, once_seen
from vmscert.runbooks.visits import OnTheWire, verify_links, verify_site
from vmscert.site.site import THIRD_PARTY

_MOST_DARK = 5  # days on which something goes dark that a plan names
_SHOWN = 3  # computers that a sentence names


def create_next_ca(job: Job) -> x509.Certificate:
    """Create the CA that will take over, unless it waits or signs already; return its certificate.

    It signs nothing before `switch_ca`; until then computers learn to trust it.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        begun = job.change.plan.lines if job.change else 0
        switched = any(entry.action == PROMOTE_CA for entry in state.entries[begun:])
        if state.next_ca is None and not switched:  # and this change has not let it take over
            authority = create_authority(_next_name(job, state), job.at, ROOT)
            job.records.save_next(authority, job.secret("CA", new=True), job.at)
    return job.records.next_ca or job.records.ca_certificate


def switch_ca(job: Job) -> x509.Certificate:
    """Let the next CA sign from now on, if every computer trusts it; return its certificate.

    Stop where one does not: its links would go dark with the first server that is switched.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        if state.next_ca is not None:
            if lacking := lacking_roots(state):
                named = ", ".join(list(lacking)[:_SHOWN])
                raise Stop(f"{len(lacking)} computers do not trust the next CA yet, first {named}: "
                           f"bring them their folders, and their inventories back")  # fmt: skip
            job.records.promote(job.at)
    return job.records.ca_certificate


def retirable(job: Job, connections: Iterable[Verification], after_days: int = 0) -> list[str]:
    """Return the computers that may let go of what was replaced: all their links serve the new.

    As long as a server's newest certificate is younger than so many days, it and all that call it
    keep the old one and its CA, as the way back; in a rehearsal nobody waits.
    """
    links = list(connections)
    state = job.state()
    young = set() if job.rehearsal else set(_younger(state, after_days))
    waiting = {name for one in links if not one.ok for name in (one.client, one.server)}
    waiting |= young | {one.client for one in links if one.server in young}
    return [name for name in missing_retirement(state) if name not in waiting]


def _younger(state: State, days: int) -> Iterator[str]:
    """The servers that got another certificate less than so many days ago."""
    since = state.at - timedelta(days=days) - BACKDATE
    for name, one in state.current.items():
        if name in state.superseded and one.not_valid_before_utc > since:
            yield name


def _next_name(job: Job, state: State) -> str:
    """A name that no CA of this site has had: two CAs of one name are the hardest fault to find."""
    taken = {one.subject.rfc4514_string() for one in state.cas.values()}
    name = ca_name(job)
    numbered = (name.replace(f" {job.at:%Y}", f" {job.at:%Y}-{n}") for n in range(2, 100))
    return next(one for one in (name, *numbered) if f"CN={one}" not in taken)


def walk_and_survey(job: Job, errands: Iterable[Errand]) -> list[dict[str, object]]:
    """Let people, or simulated computers, make these visits, and look at its links after each.

    One row for each visit: what came of it, and which links from and to that computer are dark now.
    On a real site people walk: look at all links when they are back.
    """
    if not job.rehearsal:
        return list(map(_visit_row, errands))
    rows, walking, state = [], Walk(job), job.state()
    links, stores = defaultdict(list), dict(state.inventories)
    for link in job.site.connections:
        for name in {link.client, link.server}:
            links[name].append(link)
    for errand in errands:
        (done,) = walking.visits([errand], {})
        if held := job.records.inventory(done.host):
            stores[done.host] = held
        dark = _dark(verify_links(job, state, links[done.host], stores))
        rows.append({**_visit_row(done), "dark links": tuple(dark) or "none"})
    return rows


def _visit_row(errand: Errand) -> dict[str, object]:
    return {"computer": errand.host, "run": errand.command, "result": errand.result}


def _dark(links: Iterable[Verification]) -> list[str]:
    """The links that are refused, and why: one to a server's older certificate is not dark."""
    return [
        f"{one.client} → {one.server}:{one.port} as {one.name}: {one.verdict}"
        for one in links
        if not one.ok and one.verdict != "wrong-certificate-served"
    ]


def retirement_checks(job: Job) -> list[Check]:
    """What must hold before a change of CA, or of a stolen key, is over: nothing old is left."""
    left = missing_retirement(job.state())
    named = "; ".join(f"{name}: {what}" for name, what in list(left.items())[:_SHOWN])
    todo = f"{named}. Run this again when the visits are due; the change stays open" if left else ""
    return [Check("nothing that was replaced is left on any computer", not left, todo)]


def renewal_view(job: Job) -> datetime:
    """The day from which expiry is seen: today, or in a rehearsal a month before the end."""
    if not job.rehearsal:
        return job.at
    ends = [row.not_after for row in due_certificates(job, job.at) if row.label in job.site]
    return min(ends) - timedelta(days=30)


def due_servers(ends: Iterable[Due], within_days: int = PLAN) -> list[str]:
    """The servers among these whose certificate ends within so many days."""
    return [row.label for row in ends if row.label != "CA" and row.days_left <= within_days]


def overlap_of(job: Job) -> Overlap:
    """Return the change from the CA that signs now to the next one, before any is switched.

    Stand-ins take the place of the next CA, if it is there, and of what it will sign. After the
    next CA has taken over, its certificates are real, and the one before it is the old one.
    """
    state = job.state()
    mine = [host for host in job.site.servers if host.enrolment != THIRD_PARTY]
    roots = [above[-1] for above in state.issuers.values()]
    old, current = state.signing_ca, state.current
    stores = planned_stores(
        job.site, state.inventories, list(dict.fromkeys((old, *roots))), current, job.at
    )
    former = state.former_cas[-1:]
    if state.next_ca is None and any(
        one in held.root for one in former for held in stores.values()
    ):
        made = {h.name: current[h.name] for h in mine if h.name in current}
        leaves = {name: one for name, one in made.items() if is_signed_by(one, old)}
        return Overlap(job.site, stores, former[0], old, leaves)
    orders = {host.name: host.issued_names for host in mine}
    new, leaves = stand_ins(orders, state.next_ca or "the next CA", job.at)
    known = {  # with the stand-in where the real root is
        name: replace(held, root=tuple(new if one == state.next_ca else one for one in held.root))
        for name, held in stores.items()
    }
    return Overlap(job.site, known, old, new, leaves)


def overlap_picture(days: Sequence[Day], title: str) -> Picture:
    """Draw the days of an overlap: who trusts and who serves what, the visits, what is dark."""
    counts = {
        "trust the old root": [day.old for day in days],
        "trust the new root": [day.new for day in days],
        "serve the old CA's": [day.on_old for day in days],
        "serve the new CA's": [day.on_new for day in days],
        "computers visited": [sum(bool(visit.host) for visit in day.visits) for day in days],
        "dark links": [len(day.dark) for day in days],
    }
    began: dict[str, Day] = {}
    for day in days:
        for visit in day.visits:
            began.setdefault(visit.action, day)
    parts = [f"{action} from {day.at:%Y-%m-%d}" for action, day in began.items()]
    dark = [day for day in days if day.dark]
    parts.append(
        f"{len(dark)} of {len(days)} days with dark links, the first {dark[0].at:%Y-%m-%d}"
        if dark
        else f"no dark link on any of {len(days)} days"
    )
    return bands([day.at for day in days], counts, title, f"{title}: {'; '.join(parts)}")


class Replacing(OnTheWire):
    """Servers get other certificates, and what they had before goes when nothing serves it."""

    issues = True
    empty = "Not yet: they are the way back."

    def _renewed(self, hosts: list[str]) -> Parts:
        """Renew these servers' certificates; those that make their own keys are asked first."""
        days = self.parameters.get("days", 0)
        if asked := walk(self.job, hand_over(self.job, "request", hosts)):
            yield Rows(asked)
        password, new_key = self.pfx_password(hosts), self.parameters.get("new_key", True)
        made = renew_certificates(self.job, hosts, password, days=days, new_key=new_key)
        yield Rows([*made, *sign_requests(self.job, days=days)])

    def retire(self, after_days: int = 0) -> Parts:
        """Let go of what was replaced, where all links serve the new one for so many days."""
        gone = retirable(self.job, verify_site(self.job), after_days)
        yield Rows(self.walked(hand_over(self.job, "retire", gone)), self.empty)

    def standing_still(self, state: State, hosts: list[str] | None) -> Iterable[str]:
        """At these servers, and where something is still to be switched on."""
        return downtimes(state, hosts or ())


class Renew(Replacing):
    """No certificate ends before it has been replaced."""

    due: list[str] | None = None

    def ends(self, within_days: int) -> Parts:
        """What ends when: due is what ends within so many days."""
        on = renewal_view(self.job)
        ends = due_certificates(self.job, on)
        self.due = due_servers(ends, within_days)
        yield timeline(ends, on)
        yield Rows(ends, columns=("label", "not_after", "days_left", "status", "renew_on"))

    def concerned(self) -> list[str] | None:
        """The servers whose certificates are due."""
        if self.due is None:
            raise ValueError("nobody has looked yet at what ends when: run the cell above")
        return self.due

    def renew(self) -> Parts:
        """Issue new certificates to the servers that are due."""
        yield from self._renewed(self.due or [])

    def deeds(self, state: State, hosts: list[str] | None) -> Deeds:
        """The servers that are due, what was begun before, and what was replaced."""
        return renewals(state, hosts)

    def standing_still(self, state: State, hosts: list[str] | None) -> Iterable[str]:
        """What goes dark if nobody acts; then what stands still at each visit."""
        for row in dark_to_come(state)[:_MOST_DARK]:
            servers, clients = row["servers"], row["clients"]
            assert isinstance(servers, tuple) and isinstance(clients, tuple)
            yield (
                f"if nobody acts, from {row['dark from']} on, since {row['because']}: "
                f"{', '.join(servers)} for {', '.join(clients)}"
            )
        yield from super().standing_still(state, hosts)

    def deadline(self, state: State, text: str, hosts: list[str] | None) -> str:
        """The end of the first certificate that is renewed."""
        ends = [
            (state.current[n].not_valid_after_utc, n) for n in hosts or () if n in state.current
        ]
        return f"{text}: {min(ends)[0]:%Y-%m-%d}, {min(ends)[1]}" if ends else text


def renewals(state: State, hosts: Iterable[str] | None) -> Deeds:
    """Yield what a renewal does at these servers, and where an earlier one is not over."""
    under_way = {**missing_imports(state), **missing_encryption(state)}
    new = dict.fromkeys(hosts or (), "")
    yield new, "a new certificate with a new key, import, encrypt"
    yield {name: why for name, why in under_way.items() if name not in new}, "go on"
    yield from once_seen(state, missing_retirement(state), "remove what was replaced")


class ReplaceTheCa(Replacing):
    """A new CA signs, the old one is trusted nowhere, and no link is dark on any day."""

    empty = "Not yet: the old CA is the way back."

    def overlap(self, a_day: int, waiting: int) -> Parts:
        """The change day by day, which must leave no link dark; then the wrong order."""
        overlap, at = overlap_of(self.job), self.job.at
        days = simulate_days(overlap, plan_overlap(overlap, at, a_day, waiting))
        yield Checks(proof(days))
        yield Rows(overlap_rows(days))
        yield overlap_picture(days, "The right order, day by day: clients before servers")
        wrong = plan_overlap(overlap, at, a_day, waiting, SERVERS_FIRST)
        days = simulate_days(overlap, wrong)
        yield overlap_picture(days, "The wrong order, day by day: servers before clients")

    def cross_signing(self) -> Parts:
        """What each client makes of a cross certificate."""
        yield Rows(cross_signing_rows())

    def trust_next_ca(self) -> Parts:
        """Create the CA that takes over, and have it trusted everywhere beside the old one."""
        create_next_ca(self.job)
        lacking = lacking_roots(self.job.state())
        yield Rows(self.walked(hand_over(self.job, "trust", lacking)))

    def switch_ca(self) -> Parts:
        """Let the next CA sign from now on, and give each server a certificate of it."""
        switch_ca(self.job)
        issue_certificates(self.job, self.pfx_password())
        asked = walk(self.job, hand_over(self.job, "request"))
        yield Rows([*asked, *sign_requests(self.job)])

    def achieved(self) -> list[Check]:
        """As on the wire, and nothing old is left."""
        return [*super().achieved(), *retirement_checks(self.job)]

    def deeds(self, state: State, hosts: list[str] | None) -> Deeds:
        """Trust at every computer, certificates at servers, then the old root goes."""
        clients = {host.name: "" for host in state.site.clients}
        yield clients, "trust the new CA beside the old one"
        yield {n: "" for n in clients if state.site[n].certified}, "certificate of the new CA"
        yield from once_seen(state, clients, "trust the old CA no longer")

    def standing_still(self, state: State, hosts: list[str] | None) -> Iterable[str]:
        """At every server."""
        return downtimes(state, (), every=True)

    def walked(self, errands: Iterable[Errand]) -> Sequence[Any]:
        """Each visit, and which links of that computer are dark after it."""
        return walk_and_survey(self.job, errands)
