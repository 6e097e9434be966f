"""What goes dark on which day if nobody acts: links, by name, and the certificate that ends them.

A link is one client's connection to one port of a server. It goes dark when the client trusted
what the server presents for as long as everything on the way up lasts, and something ends.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache

from cryptography import x509

from vmscert.computers import Chain, presented, serving
from vmscert.expiry import lasts
from vmscert.paths import Reading
from vmscert.site import Connection, Host, Site
from vmscert.trust import Diagnosis, Finding, diagnose
from vmscert.windows import Personal, Stores, thumbprint

_SECOND = timedelta(seconds=1)  # the last second still counts: RFC 5280, section 4.1.2.5


@dataclass(frozen=True)
class Issue:
    """What a site issued and planned: what is assumed of computers that have not reported.

    `certificates` is server → its newest certificate, `above` server → the CAs above it, `roots`
    what every computer is to trust.
    """

    certificates: Mapping[str, x509.Certificate]
    above: Mapping[str, Sequence[x509.Certificate]]
    roots: Sequence[x509.Certificate]


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

    @property
    def because(self) -> str:
        """What ends, in half a sentence."""
        return f"{self.cause} ends on {self.since:%Y-%m-%d %H:%M} UTC"


def assumed(
    site: Site, stores: Mapping[str, Stores], issue: Issue, at: datetime
) -> dict[str, Stores]:
    """Return what every computer holds: what it reported, else what it was given on paper.

    A server that reported before its certificate reached it is taken to have it by now.
    """
    return {
        host.name: _with_issued(
            host, stores.get(host.name) or Stores(host.name, at, root=tuple(issue.roots)), issue
        )
        for host in site.clients
    }


def blackouts(
    site: Site, stores: Mapping[str, Stores], reported: Iterable[str] = ()
) -> list[Blackout]:
    """Tell what goes dark when, the first day first, if everything stays as these stores say.

    `stores` as `assumed()` returns them; `reported` names the computers that really said so. What
    has gone dark before is among it; a link that never worked is not.
    """
    known = set(reported)
    links: dict[tuple[datetime, str, str], list[Connection]] = defaultdict(list)
    for link, (since, cause, label) in _endings(site, stores):
        links[since, cause, label].append(link)
    return [
        Blackout(*key, tuple(same), tuple(_silent(same, known)))
        for key, same in sorted(links.items(), key=lambda item: item[0])
    ]


def dark(found: Iterable[Blackout], day: datetime) -> list[Blackout]:
    """Return those that have come by a day."""
    return [one for one in found if one.since < day]


def dark_findings(found: Iterable[Blackout], day: datetime) -> list[Finding]:
    """Return a finding for each link that is dark on a day; the site's map shows them in red."""
    return [
        Finding("expired", f"{link.client} → {link.server}", f"{link.port}: {one.because}")
        for one in dark(found, day)
        for link in one.links
    ]


def dark_rows(found: Iterable[Blackout]) -> list[dict[str, object]]:
    """Return rows for people: dark from, because, the servers and the clients by name."""
    return [
        {
            "dark from": f"{one.since:%Y-%m-%d %H:%M}",
            "because": f"{one.cause} ends",
            "servers": one.servers,
            "clients": one.clients,
            "links": len(one.links),
            "only assumed of": one.assumed,
        }
        for one in found
    ]


def _with_issued(host: Host, held: Stores, issue: Issue) -> Stores:
    newest = issue.certificates.get(host.name)
    if newest is None or any(serving(host, held, group) for group in host.groups):
        return held
    above = [one for one in issue.above.get(host.name, ()) if not Reading(one).self_signed]
    return replace(
        held,
        personal=(*held.personal, Personal(newest, True, host.accounts)),
        intermediate=tuple(dict.fromkeys((*held.intermediate, *above))),
        bindings={**dict.fromkeys(host.groups, thumbprint(newest)), **held.bindings},
    )


def _silent(links: Iterable[Connection], known: set[str]) -> dict[str, None]:
    names = (name for link in links for name in (link.client, link.server))
    return dict.fromkeys(name for name in names if name not in known)


End = tuple[datetime, str, str]  # the last second, what ends, and its thumbprint


def _endings(site: Site, stores: Mapping[str, Stores]) -> Iterator[tuple[Connection, End]]:
    """Every link that works at some time, and what ends it.

    Hundreds of clients trust the same few CAs: each server is judged once for all of them.
    """
    pools = {name: _Pool(one.trusted) for name, one in stores.items()}
    chain_of = cache(lambda server, group: _chain(site[server], stores.get(server), group))
    ending = cache(lambda server, chain, roots: _ending(site[server], chain, roots))
    for link in site.connections:
        if link.client in pools and (chain := chain_of(link.server, link.group)):
            end = ending(link.server, chain, pools[link.client].above(chain))
            if end:
                yield link, end


def _chain(host: Host, held: Stores | None, group: str) -> Chain:
    one = serving(host, held, group) if held else None
    return presented(one.certificate, held) if held and one else ()


class _Pool:
    """The roots that one computer trusts, found by their names."""

    def __init__(self, roots: Iterable[x509.Certificate]) -> None:
        self._named: dict[object, list[x509.Certificate]] = defaultdict(list)
        for root in roots:
            self._named[_subject(root)].append(root)
        self.above = cache(self._above)

    def _above(self, chain: Chain) -> tuple[x509.Certificate, ...]:
        """The roots that the way up from these certificates could reach; the others don't count."""
        found = dict.fromkeys(chain)
        waiting = list(chain)
        while waiting:
            above = self._named.get(_issuer(waiting.pop()), ())
            new = [one for one in above if one not in found]
            found.update(dict.fromkeys(new))
            waiting += new
        return tuple(one for one in found if one not in chain or one in self._named[_subject(one)])


_reading = lru_cache(maxsize=4096)(Reading)  # every computer of a site holds the same few


def _subject(certificate: x509.Certificate) -> object:
    return _reading(certificate).subject


def _issuer(certificate: x509.Certificate) -> object:
    return _reading(certificate).issuer


def _ending(host: Host, chain: Chain, roots: Chain) -> End | None:
    """What ends the trust in a server for good; None if it is never trusted at all.

    Time is the same for all of its names: the first that is ever trusted tells.
    """
    found = (_ending_as(name, host, chain, roots) for name in host.names)
    return next((end for end in found if end), None)


def _ending_as(name: str, host: Host, chain: Chain, roots: Chain) -> End | None:
    """Look at the moments at which something begins or ends: between them nothing changes."""
    after = None
    for moment in reversed(_moments((*chain, *roots))):
        seen = diagnose(chain, name, roots, moment)
        if seen.trusted:
            return _what_ended(host, chain, *after) if after else None
        after = seen, moment - _SECOND
    return None


def _moments(certificates: Iterable[x509.Certificate]) -> list[datetime]:
    spans = [span for one in certificates if (span := lasts(one))]
    return sorted({start for start, _ in spans} | {end + _SECOND for _, end in spans})


def _what_ended(host: Host, chain: Chain, seen: Diagnosis, since: datetime) -> End:
    ended = [one for one in seen.path if (span := lasts(one)) and span[1] <= since]
    last = max(ended or chain[:1], key=lambda one: (lasts(one) or (since, since))[1])
    if last == chain[0]:
        return since, f"the certificate on {host.name}", thumbprint(last)
    kind = "CA" if Reading(last).self_signed else "intermediate CA"
    return since, f"the {kind} {Reading(last).label}", thumbprint(last)
