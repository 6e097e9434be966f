"""One CA takes over from another, and what was replaced goes: runbooks 17 to 19."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta

from cryptography import x509

from vmscert.certificates.authority import BACKDATE, ROOT, create_authority, thumbprint
from vmscert.changes.errands import Errand
from vmscert.changes.job import Job, Stop
from vmscert.changes.rehearsal import Walk
from vmscert.checks.lacks import lacking_roots, missing_retirement
from vmscert.checks.live import Verification
from vmscert.findings import Check
from vmscert.records.folder import BAR, PROMOTE_CA
from vmscert.records.state import State
from vmscert.runbooks.deeds import ca_name, verify_links, verify_site

_SHOWN = 3  # computers that a sentence names


def create_next_ca(job: Job) -> x509.Certificate:
    """Create the CA that will take over, unless it waits or signs already; return its certificate.

    It signs nothing before `switch_ca`; until then computers learn to trust it.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        if state.next_ca is None and not _has_switched(job, state):
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


def bar_certificates(job: Job, hosts: Iterable[str], reason: str) -> list[dict[str, str]]:
    """Note that the keys of these servers, or that of the "CA", are in other hands.

    What they certify stays in use until it is replaced; nothing is barred on a computer before.
    """
    job.permit()
    state, rows = job.state(), []
    known = {thumbprint(one) for one, _ in state.barred}
    for name in hosts:
        one = state.signing_ca if name == "CA" else state.current[name]
        if thumbprint(one) not in known:
            job.records.bar(one, "" if name == "CA" else name, at=job.at, note=reason)
            rows.append({"what": name, "thumbprint": thumbprint(one), "why": reason})
    return rows


def _younger(state: State, days: int) -> Iterator[str]:
    """The servers that got another certificate less than so many days ago."""
    since = state.at - timedelta(days=days) - BACKDATE
    for name, one in state.current.items():
        if name in state.superseded and one.not_valid_before_utc > since:
            yield name


def _has_switched(job: Job, state: State) -> bool:
    """Whether this change has let its CA take over already."""
    begun = job.change.plan.lines if job.change else 0
    return any(entry.action == PROMOTE_CA for entry in state.entries[begun:])


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


def dark_links_now(job: Job, computer: str = "") -> list[str]:
    """Call the servers as their clients do; return the links that are refused, and why.

    All links, or those from and to one computer. A server that still shows its older certificate
    is not dark.
    """
    return _dark(verify_site(job, computer))


def _dark(links: Iterable[Verification]) -> list[str]:
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


def answer_compromise(job: Job, stolen: str, reason: str) -> list[str]:
    """Note that the key of a server, or of the "CA", was stolen; return the servers concerned.

    Stop where the CA's own key was stolen and signs still: first another CA has to take over.
    ValueError for a name that is no server of the site.
    """
    state = job.state()
    if stolen != "CA" and stolen not in state.current:
        raise ValueError(f"{stolen!r} is no server with a certificate: name one, or 'CA'")
    job.permit()
    begun = job.change.plan.lines if job.change else 0
    host = "" if stolen == "CA" else stolen
    lines = state.entries[begun:]
    if not any(entry.action == BAR and entry.host == host for entry in lines):
        bar_certificates(job, [stolen], reason)
        state = job.state()
    barred = {thumbprint(one) for one, _ in state.barred}
    if thumbprint(state.signing_ca) in barred:
        raise Stop("the CA's own key was stolen, and it signs still: run 18-replace-the-ca now, "
                   "then this runbook again")  # fmt: skip
    return [name for name, label in state.thumbprints.items() if label in barred]
