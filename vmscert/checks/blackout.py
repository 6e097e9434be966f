"""What goes dark on which day if nobody acts: links, by name, and the certificate that ends them.

A link is one client's connection to one port of a server. It goes dark when the client accepted
what the server presents for as long as everything on the way up lasts, and something ends.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from operator import itemgetter

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.reading import Reading
from vmscert.checks.acceptance import (
    DarkLink,
    Offer,
    View,
    accepted,
    bad,
    each_link,
    serving,
    towards,
)
from vmscert.checks.expiry import lasts
from vmscert.site.site import Connection, Host, Site
from vmscert.windows.stores import Stores

# The last second, which still counts (RFC 5280, section 4.1.2.5), what ends, and its thumbprint.
End = tuple[datetime, str, str]


@dataclass(frozen=True)
class Issue:
    """What a site issued and planned: what is assumed of computers that have not reported."""

    certificates: Mapping[str, x509.Certificate]  # server → its newest
    above: Mapping[str, Sequence[x509.Certificate]]  # server → the CAs above that
    roots: Sequence[x509.Certificate]  # that every computer is to trust


@dataclass(frozen=True)
class Blackout:
    """One certificate that ends, and every link that goes dark with it."""

    since: datetime  # the last second in which the links work
    cause: str  # "the certificate on vms-rec-01", "the CA 'Lyon VMS root 2026'"
    thumbprint: str
    links: tuple[Connection, ...]
    assumed: tuple[str, ...] = ()  # computers of these links that have not said what they hold

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers that nobody reaches any more, in the table's order."""
        return tuple(dict.fromkeys(link.server for link in self.links))

    @property
    def clients(self) -> tuple[str, ...]:
        """The computers that lose a server, in the table's order."""
        return tuple(dict.fromkeys(link.client for link in self.links))


@dataclass(frozen=True)
class Outlook:
    """One site as it will be if nobody acts: what its computers hold, and what goes dark when."""

    site: Site
    stores: Mapping[str, Stores]
    blackouts: tuple[Blackout, ...] = ()


def assumed(
    site: Site, stores: Mapping[str, Stores], issue: Issue, at: datetime
) -> dict[str, Stores]:
    """Return what every computer holds: what it reported, else what it was given on paper.

    A server that reported before its certificate reached it is taken to have it by now.
    """
    found = {}
    for host in (*site.clients, *site.phones):
        held = stores.get(host.name) or Stores(host.name, at, root=tuple(issue.roots))
        newest = issue.certificates.get(host.name)
        if newest and not any(serving(host, held, group) for group in host.groups):
            above = [one for one in issue.above.get(host.name, ()) if not Reading(one).self_signed]
            unbound = [group for group in host.groups if group not in held.bindings]
            held = held.serving(newest, unbound, host.accounts).knowing(*above)
        found[host.name] = held
    return found


def blackouts(
    site: Site, stores: Mapping[str, Stores], reported: Iterable[str] = ()
) -> list[Blackout]:
    """Tell what goes dark when, the first day first, if everything stays as these stores say.

    `stores` as `assumed()` returns them; `reported` names the computers that really said so. What
    has gone dark before is among it; a link that never worked is not.
    """
    known, found = set(reported), []
    links: dict[End, list[Connection]] = defaultdict(list)
    for link, _, end in each_link(site, stores, _ending):
        if end:
            links[end].append(link)
    for end, same in sorted(links.items()):
        names = (name for link in same for name in (link.client, link.server))
        silent = dict.fromkeys(name for name in names if name not in known)
        found.append(Blackout(*end, tuple(same), tuple(silent)))
    return found


def dark(found: Iterable[Blackout], day: datetime) -> list[Blackout]:
    """Return those that have come by a day."""
    return [one for one in found if one.since < day]


def dark_rows(found: Iterable[Blackout], links: Iterable[DarkLink] = ()) -> list[dict[str, object]]:
    """Return rows for people: dark from, because, the servers and the clients by name.

    Of these `links`, which are dark on a day, those that nothing of it explains have rows, too.
    """
    told = [(f"{one.since:%Y-%m-%d %H:%M}", f"{one.cause} ends", one) for one in found]
    explained = {link for *_, one in told for link in one.links}
    others: dict[str, dict[Connection, None]] = defaultdict(dict)
    for link, _, why in links:
        if link not in explained:
            others[why.detail][link] = None
    told += (
        ("now", why, Blackout(datetime.max, why, "", (*same,))) for why, same in others.items()
    )
    return [
        {
            "dark from": since,
            "because": because,
            "servers": one.servers,
            "clients": one.clients,
            "links": len(one.links),
            "only assumed of": one.assumed,
        }
        for since, because, one in told
    ]


def _ending(server: Host, offer: Offer, believed: View) -> End | None:
    """What ends the trust in a server for good; None if it is never trusted at all.

    Time is the same for all of its names: the first that is ever trusted tells. What is accepted
    changes for the worse only when something ends, and nothing is good after its own certificate.
    """
    chain, faults = offer
    own = lasts(chain[0]) if chain and not faults else None
    if not own:
        return None
    near, early = towards(chain, believed.trust), max(believed.ahead, timedelta(0))
    spans = ((one, lasts(one)) for one in (*chain, *near.roots, *near.known))
    ends = [(span[1], one) for one, span in spans if span and span[1] <= own[1]]
    ends.sort(key=itemgetter(0), reverse=True)  # of those that end together, the lowest first
    by_clock = f", by a clock {early.total_seconds() / 60:.0f} minutes ahead," if early else ""
    for name, (end, last) in product(server.names, ends):
        since = end - early
        if not bad(accepted(chain, [name], believed, since)[name]):
            what = f"certificate on {server.name}"
            if last != chain[0]:
                kind = "CA" if Reading(last).self_signed else "intermediate CA"
                what = f"{kind} {Reading(last).label}"
            return since, f"the {what}{by_clock}", thumbprint(last)
    return None
