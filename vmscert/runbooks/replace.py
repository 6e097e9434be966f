"""What is in use is replaced: certificates that end, or the CA; and what was replaced goes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from vmscert.agenda.gather import dark_to_come
from vmscert.certificates.authority import BACKDATE, ROOT, create_authority
from vmscert.changes.errands import Errand, hand_over
from vmscert.changes.job import Job, Stop
from vmscert.changes.rehearsal import Walk, walk
from vmscert.checks.expiry import PLAN, due_of
from vmscert.checks.lacks import PHASES, lacking_roots, missing_retirement, trusting
from vmscert.checks.live import Verification
from vmscert.facts import doubt, facts
from vmscert.findings import Check
from vmscert.pictures.bands import timeline
from vmscert.records.folder import PROMOTE_CA
from vmscert.records.state import State
from vmscert.runbooks.certificates import (
    ca_name,
    issue_certificates,
    renew_certificates,
    renewed,
    sign_requests,
)
from vmscert.runbooks.overlap import day_by_day
from vmscert.runbooks.stages import Deeds, Parts, Rows
from vmscert.runbooks.visits import OnTheWire, verify_links, verify_site
from vmscert.site.site import THIRD_PARTY

_MOST_DARK = 5  # days on which something goes dark that a plan names
_SHOWN = 3  # computers that a sentence names
_ABOUT = ("case", "trusts", "source", "tag")  # columns that are no client's


def create_next_ca(job: Job) -> None:
    """Create the CA that will take over, unless it waits or signs already.

    It signs nothing before `switch_ca`; until then computers learn to trust it.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        begun = job.change.plan.lines if job.change else 0
        switched = any(entry.action == PROMOTE_CA for entry in state.entries[begun:])
        if state.next_ca is None and not switched:  # and this change has not let it take over
            # Two CAs of one name are the hardest fault to find.
            taken = {one.subject.rfc4514_string() for one in state.cas.values()}
            name = ca_name(job)
            more = (name.replace(f" {job.at:%Y}", f" {job.at:%Y}-{n}") for n in range(2, 100))
            name = next(one for one in (name, *more) if f"CN={one}" not in taken)
            authority = create_authority(name, job.at, ROOT)
            job.records.save_next(authority, job.secret("CA", new=True), job.at)


def switch_ca(job: Job) -> None:
    """Let the next CA sign; Stop where a computer that would go dark does not trust it yet."""
    job.permit()
    with job.records.lock():
        state = job.state()
        if state.next_ca is not None:
            if lacking := lacking_roots(state):
                first = ", ".join(list(lacking)[:_SHOWN])
                raise Stop(f"{len(lacking)} computers do not trust the next CA yet, first {first}: "
                           f"bring them their folders, and their inventories back")  # fmt: skip
            job.records.promote(job.at)


def retirable(job: Job, connections: Iterable[Verification], after_days: int = 0) -> list[str]:
    """Return the computers that may let go of what was replaced: all their links serve the new.

    As long as a server's newest certificate is younger than so many days, it and all that call it
    keep the old one and its CA, as the way back; in a rehearsal nobody waits.
    """
    links, state = list(connections), job.state()
    since = state.at - timedelta(days=after_days) - BACKDATE
    young = {
        name
        for name in (() if job.rehearsal else state.superseded)
        if state.current[name].not_valid_before_utc > since
    }
    waiting = {name for one in links if one.stops(state.site) for name in (one.client, one.server)}
    waiting |= young | {one.client for one in links if one.server in young}
    return [name for name in missing_retirement(state) if name not in waiting]


def once_seen(state: State, computers: Mapping[str, str], deed: str) -> Deeds:
    """Take something away; where a group does not say what it uses, a person looks first."""
    silent = {name: ", ".join(state.site[name].unsaid_groups) for name in computers}
    for groups in ("", *dict.fromkeys(filter(None, silent.values()))):
        mine = {name: why for name, why in computers.items() if silent[name] == groups}
        look = f"a person looks in Server Configurator what {groups} uses, then runs the script to"
        yield mine, f"{look} {deed}" if groups else deed


def _who(row: Mapping[str, str], answer: str) -> str:
    """The clients that answer so, by name where they differ or nobody tried."""
    asked = [who for who, told in row.items() if told and who not in _ABOUT]
    found, unsure = [who for who in asked if row[who] == answer], doubt(row["tag"])
    if found == asked and not unsure:
        return f"all {len(found)} that were tried"
    return ", ".join(who + unsure for who in found)


class Replacing(OnTheWire):
    """Servers get other certificates, and what they had before goes when nothing serves it."""

    issues = switches = True
    empty = "Not yet: they are the way back."
    to_the_end = False  # it is over when nothing that was replaced is left anywhere

    def _renewed(self, hosts: list[str]) -> Parts:
        """Renew these servers' certificates; those that make their own keys are asked first."""
        days, state = self.parameters.get("days", 0), self.job.state()
        known = renewed(self.job, state) | state.requests.keys()  # nobody is asked twice
        if asked := walk(self.job, hand_over(self.job, "request", set(hosts) - known)):
            yield Rows(asked)
        password, new_key = self.pfx_password(hosts), self.parameters.get("new_key", True)
        made = renew_certificates(self.job, hosts, password, days=days, new_key=new_key)
        yield Rows([*made, *sign_requests(self.job, days=days)])

    def retire(self, after_days: int = 0) -> Parts:
        """Let go of what was replaced, where all links serve the new one for so many days."""
        gone = retirable(self.job, verify_site(self.job, self.progress), after_days)
        yield Rows(self.walked(hand_over(self.job, "retire", gone)), self.empty)

    def achieved(self) -> list[Check]:
        """As on the wire; and, where it is not over before, nothing old is left."""
        checks = super().achieved()
        if self.to_the_end:
            left = missing_retirement(self.job.state())
            first = "; ".join(f"{name}: {what}" for name, what in list(left.items())[:_SHOWN])
            todo = f"{first}. Run this again when the visits are due; the change stays open"
            what = "nothing that was replaced is left on any computer"
            checks.append(Check(what, not left, todo if left else ""))
        return checks

    def deeds(self, state: State) -> Deeds:
        """What a renewal does at these servers, and where an earlier one is not over."""
        under_way = {**PHASES["import"].lacking(state), **PHASES["encrypt"].lacking(state)}
        new = dict.fromkeys(self.concerned(state), "")
        yield new, "a new certificate with a new key, import, encrypt"
        yield {name: why for name, why in under_way.items() if name not in new}, "go on"
        goes = {**new, **missing_retirement(state)}
        yield from once_seen(state, goes, "remove what was replaced, when all links serve the new")


class Renew(Replacing):
    """No certificate ends before it has been replaced."""

    due: list[str] | None = None

    def ends(self, within_days: int) -> Parts:
        """What ends when: due is what ends within so many days."""
        job, state, on = self.job, self.job.state(), self.job.at
        ends = due_of(state, on)
        if job.rehearsal:  # a month before the first ends
            on = min(row.not_after for row in ends if row.label in job.site) - timedelta(days=30)
            ends = due_of(state, on)
        near = (row for row in ends if row.days_left <= within_days)
        # What is new and lives for weeks only is not due, unless somebody wants more than usual.
        soon = (row.label for row in near if row.status != "ok" or within_days > PLAN)
        self.due = [name for name in soon if name in job.site]
        yield timeline(ends, on)
        yield Rows(ends, columns=("label", "not_after", "days_left", "status", "renew_on"))

    def concerned(self, state: State) -> list[str]:
        """The servers whose certificates are due."""
        if self.due is None:
            raise ValueError("nobody has looked yet at what ends when: run the cell above")
        return self.due

    def renew(self) -> Parts:
        """Issue new certificates to the servers that are due."""
        yield from self._renewed(self.concerned(self.job.state()))

    def standing_still(self, state: State) -> Iterable[str]:
        """What goes dark if nobody acts; then what stands still at each visit."""
        rows: list[dict[str, Any]] = dark_to_come(state)[:_MOST_DARK]
        for row in rows:
            servers, clients = ", ".join(row["servers"]), ", ".join(row["clients"])
            since = f"from {row['dark from']} on, since {row['because']}"
            yield f"if nobody acts, {since}: {servers} for {clients}"
        yield from super().standing_still(state)

    def deadline(self, state: State, text: str) -> str:
        """The end of the first certificate that is renewed."""
        known = (name for name in self.concerned(state) if name in state.current)
        ends = [(state.current[name].not_valid_after_utc, name) for name in known]
        return f"{text}: {min(ends)[0]:%Y-%m-%d}, {min(ends)[1]}" if ends else text


class ReplaceTheCa(Replacing):
    """A new CA signs, the old one is trusted nowhere, and no link is dark on any day."""

    empty = "Not yet: the old CA is the way back."
    to_the_end = True

    def overlap(self, a_day: int, waiting: int) -> Parts:
        """The change day by day, which must leave no link dark; then the wrong order."""
        yield from day_by_day(self.job, a_day, waiting)

    def cross_signing(self) -> Parts:
        """What clients make of a cross certificate, as measured; Windows is unconfirmed."""
        yield Rows([
            {
                "the server sends": row["case"],
                "the client trusts": row["trusts"],
                "who accepts": _who(row, "accepts"),
                "who refuses": _who(row, "refuses"),
            }
            for row in facts("cross-signing")
        ])  # fmt: skip

    def trust_next_ca(self) -> Parts:
        """Create the CA that takes over, and have it trusted everywhere beside the old one."""
        create_next_ca(self.job)
        yield Rows(self.walked(hand_over(self.job, "trust", lacking_roots(self.job.state()))))

    def switch_ca(self) -> Parts:
        """Let the next CA sign from now on, and give each server a certificate of it."""
        switch_ca(self.job)
        issue_certificates(self.job, self.pfx_password())
        yield Rows([*walk(self.job, hand_over(self.job, "request")), *sign_requests(self.job)])

    def concerned(self, state: State) -> list[str]:
        """Every server, but for those whose certificates another CA signs."""
        return [host.name for host in state.site.servers if host.enrolment != THIRD_PARTY]

    def deeds(self, state: State) -> Deeds:
        """Trust at every computer, certificates at servers, then the old root goes."""
        clients = {host.name: "" for host in state.site.clients}
        yield clients, "trust the new CA beside the old one"
        yield dict.fromkeys(self.concerned(state), ""), "certificate of the new CA"
        yield from once_seen(state, clients, "trust the old CA no longer")

    def walked(self, errands: Iterable[Errand]) -> Sequence[Any]:
        """What came of each visit; in a rehearsal also what is dark after it."""
        job, rows = self.job, []
        if not job.rehearsal:
            return [{"computer": e.host, "run": e.command, "result": e.result} for e in errands]
        links, walking, state = defaultdict(list), Walk(job), job.state()
        stores = trusting(state) | dict(state.inventories)
        for link in job.site.connections:
            for name in {link.client, link.server}:
                links[name].append(link)
        for errand in errands:
            (done,) = walking.visits([errand])
            if held := job.records.inventory(done.host):
                stores[done.host] = held
            # One to a server's older certificate is refused here, and not dark.
            dark = tuple(
                f"{one.client} → {one.server}:{one.port} as {one.name}: {one.verdict}"
                for one in verify_links(job, state, links[done.host], stores)
                if one.stops(job.site) and one.verdict != "wrong-certificate-served"
            )
            row = {"computer": done.host, "run": done.command, "result": done.result}
            rows.append({**row, "dark links": dark or "none"})
        return rows
