"""One CA takes over from another: the visits, and what each day leaves dark, before the first one.

The old root leaves only when nothing of it is served, and the new one comes before it serves.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain

from cryptography import x509

from vmscert.certificates.authority import (
    BACKDATE,
    QUICK,
    Authority,
    Issued,
    create_authority,
    is_signed_by,
    new_key,
    thumbprint,
)
from vmscert.changes.job import Job
from vmscert.checks.acceptance import DarkLink, dark_links, served
from vmscert.findings import Check
from vmscert.pictures.bands import bands
from vmscert.pictures.canvas import Picture
from vmscert.runbooks.stages import Checks, Parts, Rows
from vmscert.site.order import turns
from vmscert.site.site import THIRD_PARTY, Site, named
from vmscert.windows.stores import Chain, Stores

TRUST, SWITCH, WAIT, REMOVE = "trust", "switch", "wait", "remove"
RIGHT = (TRUST, SWITCH, WAIT, REMOVE)
# What goes wrong in the field, for the plan to show.
SERVERS_FIRST = (SWITCH, TRUST, WAIT, REMOVE)
A_DAY = timedelta(days=1)
_WORDS = {
    TRUST: "the new root is trusted beside the old one",
    SWITCH: "a certificate of the new CA is served",
    WAIT: "every port is verified",
    REMOVE: "the old root is removed",
}


@dataclass(frozen=True)
class Overlap:
    """What is replaced."""

    site: Site
    stores: Mapping[str, Stores]  # host → what it holds today
    old: x509.Certificate
    new: x509.Certificate
    leaves: Mapping[str, x509.Certificate]  # server → its certificate of the new CA


@dataclass(frozen=True)
class Visit:
    """What is done at one computer on one day; no computer for the days of waiting."""

    at: datetime
    action: str
    host: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Day:
    """One day: what was done, and what came of it."""

    at: datetime
    visits: tuple[Visit, ...]
    dark: tuple[DarkLink, ...]  # before or after the visits
    counts: Mapping[str, int]  # how many do what
    serves_old: tuple[str, ...]  # the servers that present anything of the old root


def overlap_of(job: Job) -> Overlap:
    """Return the change from the CA that signs now to the next one, before any is switched.

    Stand-ins take the place of the next CA, if it is there, and of what it will sign. After the
    next CA has taken over, its certificates are real, and the one before it is the old one.
    """
    state = job.state()
    mine = [host for host in job.site.servers if host.enrolment != THIRD_PARTY]
    roots = [above[-1] for above in state.issuers.values()]
    old, current = state.signing_ca, state.current
    believed = list(dict.fromkeys((old, *roots)))
    stores = planned_stores(job.site, state.inventories, believed, current, job.at)
    former = state.former_cas[-1:]
    if state.next_ca is None and any({*former} & {*held.root} for held in stores.values()):
        made = {h.name: current[h.name] for h in mine if h.name in current}
        leaves = {name: one for name, one in made.items() if is_signed_by(one, old)}
        # A server that makes its own key is still to ask: whoever trusts the CA will take that too.
        coming = {host.name: host.issued_names for host in mine if host.name not in leaves}
        new, more = stand_ins(coming, old, job.at) if coming else (old, {})
        held = {n: one.trusting(new) if old in one.root else one for n, one in stores.items()}
        return Overlap(job.site, held, former[0], old, leaves | more)
    orders = {host.name: host.issued_names for host in mine}
    new, leaves = stand_ins(orders, state.next_ca or "the next CA", job.at)
    known = {  # with the stand-in where the real root is
        name: replace(held, root=tuple(new if one == state.next_ca else one for one in held.root))
        for name, held in stores.items()
    }
    return Overlap(job.site, known, old, new, leaves)


def planned_stores(
    site: Site,
    reported: Mapping[str, Stores],
    roots: Sequence[x509.Certificate],
    certificates: Mapping[str, x509.Certificate],
    at: datetime,
) -> dict[str, Stores]:
    """Return what each computer holds: as it reported, else as the records planned it."""
    stores = dict(reported)
    for host in (host for host in site.clients if host.name not in reported):
        held = Stores(host.name, at, windows=host.windows, root=tuple(roots))
        leaf = certificates.get(host.name)
        stores[host.name] = held.serving(leaf, host.groups, host.accounts) if leaf else held
    return {host.name: stores[host.name] for host in site.clients}


def stand_ins(
    orders: Mapping[str, Sequence[str]], root: x509.Certificate | str, at: datetime
) -> tuple[x509.Certificate, dict[str, x509.Certificate]]:
    """Return a root and certificates for a simulation, where the real ones can't be signed yet.

    `root` is the new CA's certificate, or the name that it will have; `orders` is server → names.
    Issuer, dates and names are as they will be; one throw-away key is behind all of them.
    """
    key, profile, name, born = new_key(QUICK.key_bits), QUICK, root, at
    if isinstance(root, x509.Certificate):
        start, end = root.not_valid_before_utc, root.not_valid_after_utc
        profile, born = replace(QUICK, days=(end - start).days), start + BACKDATE
        name = Authority(Issued(root, None)).name
    authority = create_authority(str(name), born, profile, key)
    made = {name: authority.issue(*of, at=at, key=key).certificate for name, of in orders.items()}
    return authority.certificate, made


def plan_overlap(
    overlap: Overlap, start: datetime, a_day: int, waiting: int = 7, order: Sequence[str] = RIGHT
) -> list[Visit]:
    """Return the visits, `a_day` computers a day from `start`; what was done already is left out.

    Each part of the `order` begins on the day after the part before. ValueError for no visit a day.
    """
    if a_day < 1:
        raise ValueError(f"{a_day} visits a day lead nowhere: plan one or more")
    planned, day = [], start
    for action in order:
        todo = _todo(overlap, action, waiting)
        pace = 1 if action == WAIT else a_day
        for number, (host, groups) in enumerate(todo):
            planned.append(Visit(day + number // pace * A_DAY, action, host, groups))
        day += -(-len(todo) // pace) * A_DAY
    return planned


def _todo(overlap: Overlap, action: str, waiting: int) -> list[tuple[str, tuple[str, ...]]]:
    """(computer, certificate groups) of every visit of one kind, in their order."""
    stores, site = overlap.stores, overlap.site
    if action == WAIT:
        return [("", ())] * waiting
    if action == TRUST:
        return [(h.name, ()) for h in site.clients if overlap.new not in stores[h.name].root]
    if action == REMOVE:
        return [(h.name, ()) for h in site.clients if overlap.old in stores[h.name].root]
    found = []  # the servers as encryption was switched on, each with the groups of that visit
    for turn in turns(site):
        host, groups = turn[0].host, tuple(group for step in turn for group in step.groups)
        if host in overlap.leaves:
            bound, label = stores[host].bindings, thumbprint(overlap.leaves[host])
            if any(bound.get(group) != label for group in groups):
                found.append((host, groups))
    return found


def simulate_days(overlap: Overlap, visits: Sequence[Visit]) -> list[Day]:
    """Return every day from the first visit to a day after the last one, as it will be.

    A link is dark on a day if it is so before or after the visits: what ended overnight counts.
    """
    stores = dict(overlap.stores)
    by_day: dict[datetime, list[Visit]] = defaultdict(list)
    for visit in visits:
        by_day[visit.at].append(visit)
    at, days = visits[0].at, []
    while at <= visits[-1].at + A_DAY:
        dark = dark_links(overlap.site, stores, at)
        for visit in (one for one in by_day[at] if one.host):
            stores[visit.host] = _after(overlap, stores, visit)
        if by_day[at]:
            dark = tuple(dict.fromkeys((*dark, *dark_links(overlap.site, stores, at))))
        days.append(_day(overlap, stores, at, by_day[at], dark))
        at += A_DAY
    return days


def _after(overlap: Overlap, stores: Mapping[str, Stores], visit: Visit) -> Stores:
    held = stores[visit.host]
    if visit.action == TRUST:
        return held.trusting(overlap.new)
    if visit.action == SWITCH:
        host = overlap.site[visit.host]
        return held.serving(overlap.leaves[visit.host], visit.groups, host.accounts)
    return held.without(overlap.old)


def _day(
    overlap: Overlap, stores: Mapping[str, Stores], at: datetime,
    visits: Sequence[Visit], dark: tuple[DarkLink, ...],
) -> Day:  # fmt: skip
    """How a day ends: the computers that trust each root, the servers that serve what of each."""
    old, new = overlap.old, overlap.new
    chains = {host.name: served(host, stores[host.name]) for host in overlap.site.servers}
    leaves = [tuple(sent[0] for sent in mine) for mine in chains.values()]
    trusted = [stores[host.name].trusted for host in overlap.site.clients]
    counts = {
        "trust the old root": sum(old in roots for roots in trusted),
        "trust the new root": sum(new in roots for roots in trusted),
        "serve the old CA's": sum(_any_is_of(mine, old) for mine in leaves),
        "serve the new CA's": sum(_any_is_of(mine, new) for mine in leaves),
        "computers visited": sum(bool(visit.host) for visit in visits),
        "dark links": len(dark),
    }
    serving = (name for name, mine in chains.items() if _any_is_of(tuple(chain(*mine)), old))
    return Day(at, tuple(visits), dark, counts, tuple(serving))


@lru_cache(maxsize=4096)
def _any_is_of(certificates: Chain, root: x509.Certificate) -> bool:
    return any(one == root or is_signed_by(one, root) for one in certificates)


def proof(days: Sequence[Day]) -> list[Check]:
    """Return what must hold on every day of an overlap, with the first day on which it does not."""
    lit = safe = ""
    if dark := next((day for day in days if day.dark), None):
        lit = (f"{dark.at:%Y-%m-%d}: {named([*map(str, dark.dark)], 1)}. Begin earlier, or keep "
               f"the order: trust, switch, wait, remove")  # fmt: skip
    removing = (day for day in days if any(visit.action == REMOVE for visit in day.visits))
    if early := next((day for day in removing if day.serves_old), None):
        still = named(early.serves_old, 3)
        safe = f"{early.at:%Y-%m-%d}: {still} still present it. Switch them first"
    what = "the old root is removed only when no server presents anything of it"
    return [Check("no day with a dark link", not lit, lit), Check(what, not safe, safe)]


def day_by_day(job: Job, a_day: int, waiting: int) -> Parts:
    """The proof of an overlap, its days as rows and as a picture; and one of the wrong order."""
    overlap = overlap_of(job)
    days = simulate_days(overlap, plan_overlap(overlap, job.at, a_day, waiting))
    yield Checks(proof(days))
    yield Rows(overlap_rows(days))
    yield overlap_picture(days, "The right order, day by day: clients before servers")
    days = simulate_days(overlap, plan_overlap(overlap, job.at, a_day, waiting, SERVERS_FIRST))
    yield overlap_picture(days, "The wrong order, day by day: servers before clients")


def overlap_rows(days: Iterable[Day]) -> list[dict[str, object]]:
    """Each day as a row: what is done, at which computers, and what is dark."""
    return [
        {
            "date": f"{day.at:%Y-%m-%d}",
            "what is done": "; ".join(dict.fromkeys(_WORDS[visit.action] for visit in day.visits))
            or "nothing",
            "at": named([visit.host for visit in day.visits if visit.host], 3),
            "trust old / new root": f"{old} / {new}",
            "serve old / new CA's": f"{on_old} / {on_new}",
            "dark links": dark,
            "the first": str(day.dark[0]) if day.dark else "",
        }
        for day in days
        for old, new, on_old, on_new, _, dark in [day.counts.values()]
    ]


def overlap_picture(days: Sequence[Day], title: str) -> Picture:
    """Draw the days of an overlap: who trusts and who serves what, the visits, what is dark."""
    began: dict[str, datetime] = {}
    for visit in (visit for day in days for visit in day.visits):
        began.setdefault(visit.action, visit.at)
    told = [f"{action} from {at:%Y-%m-%d}" for action, at in began.items()]
    if dark := [f"{day.at:%Y-%m-%d}" for day in days if day.dark]:
        told.append(f"{len(dark)} of {len(days)} days with dark links, the first {dark[0]}")
    else:
        told.append(f"no dark link on any of {len(days)} days")
    counts = {what: [day.counts[what] for day in days] for what in days[0].counts}
    return bands([day.at for day in days], counts, title, f"{title}: {'; '.join(told)}")
