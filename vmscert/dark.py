"""Which connections of a site are dark at a moment: who refuses whom, by which name, and why."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509

from vmscert.authority import is_signed_by
from vmscert.computers import Chain, presented, serving
from vmscert.paths import Reading
from vmscert.site import Connection, Host, Site
from vmscert.trust import diagnose
from vmscert.windows import Stores

_BEFORE = timedelta.resolution  # both the first and the last moment of a certificate are good
_Names = tuple[str, ...]
_Reasons = tuple[tuple[str, str], ...]  # (name, why it is refused)


class DarkLink(NamedTuple):
    """One connection that its client refuses, by one of the server's names."""

    connection: Connection
    name: str
    reason: str

    def __str__(self) -> str:
        link = self.connection
        return f"{link.client} → {link.server}:{link.port} as {self.name}: {self.reason}"


class View(NamedTuple):
    """What a client believes: the roots that it trusts, CAs that it knows, what it has barred."""

    roots: Chain
    known: Chain = ()
    barred: Chain = ()


class Judge:
    """Remembers verdicts: a verdict changes only when a certificate of it begins or ends."""

    def __init__(self) -> None:
        self._moments: dict[tuple[Chain, View], list[datetime]] = {}
        self._verdicts: dict[tuple[Chain, _Names, View, int], _Reasons] = {}
        self._chains: dict[tuple[int, str], tuple[Stores, Chain]] = {}

    def refused(self, chain: Chain, names: _Names, view: View, at: datetime) -> _Reasons:
        """Return by which names such a client refuses this chain, and why."""
        if (chain, view) not in self._moments:
            self._moments[chain, view] = _moments((*chain, *view.roots, *view.known))
        key = chain, names, view, bisect_left(self._moments[chain, view], at)
        if key not in self._verdicts:
            told = ((name, _reason(chain, name, view, at)) for name in names)
            self._verdicts[key] = tuple((name, reason) for name, reason in told if reason)
        return self._verdicts[key]

    def served(self, host: Host, stores: Stores, group: str) -> Chain | None:
        """Return what a computer presents in a group, () for nothing, None where it is plain."""
        key = id(stores), group  # kept beside the chain, so that no other gets its identity
        if key not in self._chains:
            held = serving(host, stores, group) if group in stores.bindings else None
            chain = presented(held.certificate, stores) if held else ()
            self._chains[key] = stores, _cut(chain, stores.trusted)
        return self._chains[key][1] if group in stores.bindings else None


def dark_links(
    site: Site, stores: Mapping[str, Stores], at: datetime, judge: Judge | None = None
) -> tuple[DarkLink, ...]:
    """Return every encrypted connection that its client refuses at this time, and why.

    `stores` is host name → what it holds. Of a computer without an entry nothing is assumed, and a
    group that is not encrypted is refused by nobody. Whoever asks again and again keeps a `judge`.
    """
    judge, views = judge or Judge(), _views(stores)
    dark: dict[tuple[str, str, str], _Reasons] = {}
    for (server, group), callers in site.callers.items():
        chain = judge.served(site[server], stores[server], group) if server in stores else None
        for view, clients in views.items() if chain is not None else ():
            if refused := judge.refused(chain or (), site[server].names, view, at):
                dark |= {(client, server, group): refused for client in clients & {*callers}}
    return tuple(
        DarkLink(one, name, reason)
        for one in (site.connections if dark else ())
        for name, reason in dark.get((one.client, one.server, one.group), ())
    )


def _cut(chain: Chain, roots: Chain) -> Chain:
    """What Windows sends of it: nothing above what one of its own roots signed (second hand).

    So a cross certificate stays behind at a server that trusts the new root itself; see
    data/cross-signing.csv.
    """
    places = (n for n, one in enumerate(chain) if any(is_signed_by(one, root) for root in roots))
    return chain[: next(places, len(chain)) + 1]


def _views(stores: Mapping[str, Stores]) -> dict[View, set[str]]:
    """View → the computers that have it."""
    found = defaultdict(set)
    for name, held in stores.items():
        found[View(held.trusted, held.intermediate, held.disallowed)].add(name)
    return found


def _reason(chain: Chain, name: str, view: View, at: datetime) -> str:
    """Why such a client refuses, or nothing. What it has barred is as if it were not there."""
    left = [tuple(one for one in part if one not in view.barred) for part in (chain, *view[:2])]
    if chain and chain[0] in view.barred:
        return "the client has barred this certificate (Disallowed)"
    verdict = diagnose(left[0], name, left[1], at, intermediates=left[2])
    if verdict.trusted:
        return ""
    barred = view.barred and diagnose(chain, name, view.roots, at, intermediates=view.known).trusted
    return "the client has barred its CA (Disallowed)" if barred else verdict.findings[0].detail


def _moments(certificates: Iterable[x509.Certificate]) -> list[datetime]:
    """When a verdict about these certificates can change."""
    spans = [span for one in certificates if (span := Reading(one).validity)]
    return sorted({moment for start, end in spans for moment in (start - _BEFORE, end)})
