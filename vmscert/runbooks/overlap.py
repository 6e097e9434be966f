"""One CA takes over from another: the visits, and what each day leaves dark, before the first one.

The old root leaves only when nothing of it is served, and the new one comes before it serves.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

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
from vmscert.checks.acceptance import DarkLink, dark_links, served
from vmscert.facts import doubt, facts
from vmscert.findings import Check
from vmscert.site.order import turns
from vmscert.site.site import Host, Site
from vmscert.windows.stores import Chain, Stores

TRUST, SWITCH, WAIT, REMOVE = "trust", "switch", "wait", "remove"
RIGHT = (TRUST, SWITCH, WAIT, REMOVE)
# What goes wrong in the field, for the plan to show.
SERVERS_FIRST = (SWITCH, TRUST, WAIT, REMOVE)
WAITING = 7  # days in which a client that was forgotten shows up, before there is no way back
A_DAY = timedelta(days=1)
_ABOUT = ("case", "trusts", "source", "tag")  # columns that are no client's
_WORDS = {
    TRUST: "the new root is trusted beside the old one",
    SWITCH: "a certificate of the new CA is served",
    WAIT: "every port is verified",
    REMOVE: "the old root is removed",
}


@dataclass(frozen=True)
class Overlap:
    """What is replaced: `leaves` is server → its certificate of the new CA.

    `stores` is host name → what it holds today (see `planned_stores`).
    """

    site: Site
    stores: Mapping[str, Stores]
    old: x509.Certificate
    new: x509.Certificate
    leaves: Mapping[str, x509.Certificate]


@dataclass(frozen=True)
class Visit:
    """What is done at one computer on one day; no computer for the days of waiting."""

    at: datetime
    action: str
    host: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Day:
    """One day: what was done, the links that were dark before or after it, and how many do what.

    `old` and `new` count the computers that trust each root, `on_old` and `on_new` the servers
    that serve certificates of each; `serves_old` are those that present anything of the old root.
    """

    at: datetime
    visits: tuple[Visit, ...]
    dark: tuple[DarkLink, ...]
    old: int
    new: int
    on_old: int
    on_new: int
    serves_old: tuple[str, ...] = ()


def planned_stores(
    site: Site,
    reported: Mapping[str, Stores],
    roots: Sequence[x509.Certificate],
    certificates: Mapping[str, x509.Certificate],
    at: datetime,
) -> dict[str, Stores]:
    """Return what each computer holds: as it reported, else as the records planned it."""
    return {
        host.name: reported.get(host.name) or _planned(host, roots, certificates.get(host.name), at)
        for host in site.clients
    }


def _planned(
    host: Host, roots: Sequence[x509.Certificate], leaf: x509.Certificate | None, at: datetime
) -> Stores:
    stores = Stores(host.name, at, windows=host.windows, root=tuple(roots))
    return stores.serving(leaf, host.groups, host.accounts) if leaf else stores


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
    made = {
        host: authority.issue(*names, at=at, key=key).certificate for host, names in orders.items()
    }
    return authority.certificate, made


def plan_overlap(
    overlap: Overlap,
    start: datetime,
    a_day: int,
    waiting: int = WAITING,
    order: Sequence[str] = RIGHT,
) -> tuple[Visit, ...]:
    """Return the visits, `a_day` computers a day from `start`; what was done already is left out.

    Each part of the `order` begins on the day after the part before. ValueError for no visit a day.
    """
    if a_day < 1:
        raise ValueError(f"{a_day} visits a day lead nowhere: plan one or more")
    planned: list[Visit] = []
    day = start
    for action in order:
        todo = _todo(overlap, action, waiting)
        pace = 1 if action == WAIT else a_day
        for number, (host, groups) in enumerate(todo):
            planned.append(Visit(day + number // pace * A_DAY, action, host, groups))
        day += -(-len(todo) // pace) * A_DAY
    return tuple(planned)


def _todo(overlap: Overlap, action: str, waiting: int) -> list[tuple[str, tuple[str, ...]]]:
    """(computer, certificate groups) of every visit of one kind, in their order."""
    stores = overlap.stores
    if action == WAIT:
        return [("", ())] * waiting
    if action == SWITCH:
        return list(_to_be_switched(overlap))
    wanting = {
        TRUST: lambda held: overlap.new not in held.root,
        REMOVE: lambda held: overlap.old in held.root,
    }
    return [(host.name, ()) for host in overlap.site.clients if wanting[action](stores[host.name])]


def _to_be_switched(overlap: Overlap) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The servers as encryption was switched on, each with the groups of that visit."""
    for turn in turns(overlap.site):
        host, groups = turn[0].host, tuple(group for step in turn for group in step.groups)
        if host in overlap.leaves:
            bound, label = overlap.stores[host].bindings, thumbprint(overlap.leaves[host])
            if any(bound.get(group) != label for group in groups):
                yield host, groups


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
    """What a computer holds after a visit."""
    held = stores[visit.host]
    if visit.action == TRUST:
        return held.trusting(overlap.new)
    if visit.action == SWITCH:
        host = overlap.site[visit.host]
        return held.serving(overlap.leaves[visit.host], visit.groups, host.accounts)
    return held.without(overlap.old)


def _day(overlap, stores, at, visits, dark) -> Day:
    chains = {host.name: served(host, stores[host.name]) for host in overlap.site.servers}
    held = [stores[host.name].trusted for host in overlap.site.clients]
    leaves = {name: [chain[:1] for chain in served] for name, served in chains.items()}
    return Day(
        at,
        tuple(visits),
        dark,
        old=sum(overlap.old in roots for roots in held),
        new=sum(overlap.new in roots for roots in held),
        on_old=len(_of(overlap.old, leaves)),
        on_new=len(_of(overlap.new, leaves)),
        serves_old=_of(overlap.old, chains),
    )


def _of(root: x509.Certificate, served: Mapping[str, Iterable[Chain]]) -> tuple[str, ...]:
    """The servers that present anything of this root."""
    return tuple(name for name, chains in served.items() if any(_is_below(c, root) for c in chains))


@lru_cache(maxsize=4096)
def _is_below(chain: Chain, root: x509.Certificate) -> bool:
    """Whether anything in a chain is of this root."""
    return any(one == root or is_signed_by(one, root) for one in chain)


def proof(days: Sequence[Day]) -> list[Check]:
    """Return what must hold on every day of an overlap, with the first day on which it does not."""
    dark = next((day for day in days if day.dark), None)
    removing = (day for day in days if any(visit.action == REMOVE for visit in day.visits))
    early = next((day for day in removing if day.serves_old), None)
    darkened = dark and (
        f"{dark.at:%Y-%m-%d}: {dark.dark[0]}{_more(len(dark.dark))}. Begin earlier, or keep the "
        f"order: trust, switch, wait, remove"
    )
    hasty = early and (
        f"{early.at:%Y-%m-%d}: {_named(early.serves_old, 3)} still present it. Switch them first"
    )
    what = "the old root is removed only when no server presents anything of it"
    return [
        Check("no day with a dark link", dark is None, darkened or ""),
        Check(what, early is None, hasty or ""),
    ]


def cross_signing_rows() -> list[dict[str, str]]:
    """What clients do with a cross certificate, as measured; Windows is unconfirmed."""
    return [
        {
            "the server sends": row["case"],
            "the client trusts": row["trusts"],
            "who accepts": _who(row, "accepts"),
            "who refuses": _who(row, "refuses"),
        }
        for row in facts("cross-signing")
    ]


def _who(row: Mapping[str, str], answer: str) -> str:
    """The clients that answer so, by name where they differ or nobody tried."""
    asked = [who for who, told in row.items() if told and who not in _ABOUT]
    found, unsure = [who for who in asked if row[who] == answer], doubt(row["tag"])
    if found == asked and not unsure:
        return f"all {len(found)} that were tried"
    return ", ".join(who + unsure for who in found)


def overlap_rows(days: Iterable[Day]) -> list[dict[str, object]]:
    """Each day as a row: what is done, at which computers, and what is dark."""
    return [
        {
            "date": f"{day.at:%Y-%m-%d}",
            "what is done": "; ".join(dict.fromkeys(_WORDS[one.action] for one in day.visits))
            or "nothing",
            "at": _named([visit.host for visit in day.visits if visit.host], 3),
            "trust old / new root": f"{day.old} / {day.new}",
            "serve old / new CA's": f"{day.on_old} / {day.on_new}",
            "dark links": len(day.dark),
            "the first": str(day.dark[0]) if day.dark else "",
        }
        for day in days
    ]


def _named(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + _more(len(names) - most + 1)


def _more(number: int) -> str:
    return f" and {number - 1} more" if number > 1 else ""
