"""Every connection of a site, made for real: the last word belongs to the wire."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.checks.acceptance import acceptance_of, service
from vmscert.findings import Finding
from vmscert.network.looks import VERIFIED, connect, judged
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.network.targets import Target
from vmscert.site.site import Connection, Site
from vmscert.windows.stores import Stores

_MUTE = ("key-missing", "key-not-readable")  # what lets a service hang up on everybody
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


def verify_connections(
    site: Site,
    stores: Mapping[str, Stores],
    expected: Mapping[str, str],
    at: datetime,
    endpoint: Callable[[Connection, str], tuple[str, int]] = lambda c, name: (name, c.port),
    connections: Iterable[Connection] | None = None,
) -> Iterator[Verification]:
    """Make every connection of the site by every name of its server, as its client would.

    Each handshake trusts only the roots of the client's LocalMachine, according to `stores`; the
    verdict is that of `acceptance`, about what was really shown. Where a server showed nothing, its
    own stores may tell why.
    `expected` is server → thumbprint that should be served; by a cluster's name any node may
    answer. `endpoint` tells where a name leads (by default to itself). Results come in the order
    of the site's connections.
    """
    wanted = [
        (connection, name, _right(site, expected, connection.server, name))
        for connection in (site.connections if connections is None else connections)
        for name in site[connection.server].names
    ]
    one = partial(_verify, site, stores, at, endpoint)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(one, *zip(*wanted, strict=True)) if wanted else ()


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
    wanted = list(site.connections if connections is None else connections)
    for name in dict.fromkeys(c.server for c in wanted):
        calls = [c for c in wanted if c.server == name]
        with on_loopback(served[name]) as ports:
            yield from verify_connections(
                site,
                stores,
                expected,
                at,
                endpoint=lambda c, _name, ports=ports: (LOOPBACK, ports[c.port]),
                connections=calls,
            )


def _right(site: Site, expected: Mapping[str, str], server: str, name: str) -> frozenset[str]:
    """The thumbprints of which one should be served where this name leads; none if not known."""
    host = site[server]
    nodes = site.nodes(host) if name in host.cluster else (host,)
    return frozenset(expected[node.name] for node in nodes if node.name in expected)


def _verify(
    site: Site,
    stores: Mapping[str, Stores],
    at: datetime,
    endpoint: Callable[[Connection, str], tuple[str, int]],
    connection: Connection,
    name: str,
    right: frozenset[str],
) -> Verification:
    server, held = site[connection.server], stores.get(connection.server)
    client = stores.get(connection.client) or Stores(connection.client, at)
    target = Target(*endpoint(connection, name), name, connection.server)
    # OpenSSL builds paths with intermediates, and trusts none of them for itself.
    seen = connect(target.address, target.port, client.trusted + client.intermediate, name)
    reasons: tuple[Finding, ...] = ()
    if seen.chain:
        reasons = acceptance_of(server, seen.chain, name, client, at)
    elif held and seen.problem == "closed":
        faults = service(server, held, connection.group)[1]
        reasons = tuple(one for one in faults if one.code in _MUTE)
    look = judged(seen, (), at, target=target, expected=right, reasons=reasons)
    return Verification(
        client=connection.client,
        server=connection.server,
        name=name,
        port=connection.port,
        group=connection.group,
        tls=seen.version,
        thumbprint=thumbprint(seen.chain[0]) if seen.chain else "",
        verdict=look.verdict,
        detail=look.detail,
    )
