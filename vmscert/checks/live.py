"""Every connection of a site, made for real: the last word belongs to the wire."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.checks.acceptance import acceptance_of, service
from vmscert.findings import Finding
from vmscert.network.looks import VERIFIED, connect, judged
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.network.targets import Target
from vmscert.site.site import Connection, Site
from vmscert.windows.stores import Stores

BY_HAND = "not-judged"  # the server is right, and who calls it tells nobody whom it trusts
_MUTE = ("key-missing", "key-not-readable")  # what lets a service hang up on everybody
Endpoint = Callable[[Connection, str], tuple[str, int]]  # a connection, and by which name
_AT_ONCE = 8  # handshakes; enough to hide the network's delay, too few to disturb a recorder


@dataclass(frozen=True)
class Verification:
    """One connection as one client makes it by one name; `verdict` is "verified" or a rule code."""

    client: str
    server: str
    name: str
    port: int
    group: str
    tls: str
    thumbprint: str
    verdict: str
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the client trusts the server."""
        return self.verdict == VERIFIED

    def stops(self, site: Site) -> bool:
        """Whether something is to be done: not where only a look at a phone could tell more."""
        unseen = self.verdict == BY_HAND and self.client not in {one.name for one in site.clients}
        return not self.ok and not unseen


def verify_connections(
    site: Site,
    stores: Mapping[str, Stores],
    expected: Mapping[str, str],
    at: datetime,
    endpoint: Endpoint = lambda link, name: (name, link.port),
    connections: Iterable[Connection] | None = None,
) -> Iterator[Verification]:
    """Make every connection of the site by every name of its server, as its client would.

    The verdict is that of `acceptance`, about what was really shown; where nothing was, the stores
    of the server may tell why. `expected` is server → thumbprint that should be served; by a
    cluster's name any node may answer. `endpoint` tells where a name leads. The site's order stays.
    """

    def verify(link: Connection, name: str) -> Verification:
        server, held = site[link.server], stores.get(link.server)
        nodes = site.nodes(server) if name in server.cluster else (server,)
        right = {expected[node.name] for node in nodes if node.name in expected}
        client = stores.get(link.client) or Stores(link.client, at)
        target = Target(*endpoint(link, name), name, link.server)
        # OpenSSL builds paths with intermediates, and trusts none of them for itself.
        seen = connect(target.address, target.port, client.trusted + client.intermediate, name)
        reasons: Iterable[Finding] = ()
        if seen.chain:
            reasons = acceptance_of(server, seen.chain, name, client, at)
        elif held and seen.problem == "closed":
            reasons = (one for one in service(server, held, link.group)[1] if one.code in _MUTE)
        look = judged(seen, (), at, target=target, expected=right, reasons=reasons)
        label = thumbprint(seen.chain[0]) if seen.chain else ""
        made = link.client, link.server, name, link.port, link.group
        return Verification(*made, seen.version, label, look.verdict, look.detail)

    links = site.connections if connections is None else connections
    calls = [(link, name) for link in links for name in site[link.server].names]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(lambda call: verify(*call), calls)


def verify_simulated(
    site: Site,
    stores: Mapping[str, Stores],
    served: Mapping[str, Mapping[int, Issued | None]],
    expected: Mapping[str, str],
    at: datetime,
    connections: Iterable[Connection] | None = None,
) -> Iterator[Verification]:
    """Make these connections of a simulated site, or all, over real TLS, server by server.

    `served` is host → port → the certificate behind it, None where the port speaks plain HTTP.
    """
    links: dict[str, list[Connection]] = defaultdict(list)
    for link in site.connections if connections is None else connections:
        links[link.server].append(link)
    for server, mine in links.items():
        with on_loopback(served[server]) as ports:
            yield from verify_connections(
                site, stores, expected, at, lambda c, _, on=ports: (LOOPBACK, on[c.port]), mine
            )
