"""Every connection of a site, made for real: the last word belongs to the wire.

Clients that believe the same shake the same hands. So each handshake is made once, and its answer
told for every client for which it stands.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from functools import cache
from threading import Event
from typing import Any, NamedTuple

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.checks.acceptance import acceptance_of, kinds_of, service, towards
from vmscert.findings import Finding
from vmscert.network.looks import VERIFIED, connect, judged
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.network.targets import Target
from vmscert.network.tls import Handshake
from vmscert.site.site import Connection, Site
from vmscert.windows.stores import Chain, Stores, names_of

BY_HAND = "not-judged"  # the server is right, and who calls it tells nobody whom it trusts
_MUTE = ("key-missing", "key-not-readable")  # what lets a service hang up on everybody
_CLIENT = "\ufffc"  # stands in an answer for each client that gets it
Endpoint = Callable[[Connection, str], tuple[str, int]]  # a connection, and by which name
Progress = Callable[[int, int], None]  # how many calls are done, of how many
Row = dict[str, Any]
_AT_ONCE = 8  # handshakes; enough to hide the network's delay
# Of them at one server, all nodes of its cluster together, which records and answers its own
# clients meanwhile: with the pause, no more than these come within a second as at a client's start.
_AT_ONE_SERVER = 4
_PAUSE = 0.05  # seconds before each call
_TICK = 0.2  # seconds between two reports of progress
_MOST_CLIENTS = 400  # in one cell: Excel cuts off what is longer than 32,767 characters


class Verification(NamedTuple):
    """One connection as one client makes it by one name; `verdict` is "verified" or a rule code.

    `handshake` is the number of the one that stands for it, `evidence` what it showed of them all.
    """

    client: str
    server: str
    name: str
    port: int
    group: str
    tls: str
    thumbprint: str
    verdict: str
    evidence: str = ""
    handshake: int = 0

    @property
    def ok(self) -> bool:
        """Whether the client trusts the server."""
        return self.verdict == VERIFIED

    @property
    def detail(self) -> str:
        """The evidence, told of this client."""
        return self.evidence.replace(_CLIENT, self.client)

    def stops(self, site: Site) -> bool:
        """Whether something is to be done: not where only a look at a phone could tell more."""
        unseen = self.verdict == BY_HAND and self.client not in {one.name for one in site.clients}
        return not self.ok and not unseen


def unheard(done: int, of: int) -> None:
    """Tell nobody how far it is."""


class _Call(NamedTuple):
    server: str
    port: int
    name: str


def calls_of(site: Site, connections: Iterable[Connection]) -> dict[_Call, list[Connection]]:
    """Return (server, port, name) → the connections that are made so."""
    found: dict[_Call, list[Connection]] = defaultdict(list)
    for link in connections:
        for name in site[link.server].names:
            found[_Call(link.server, link.port, name)].append(link)
    return dict(found)


def verify_connections(
    site: Site,
    stores: Mapping[str, Stores],
    expected: Mapping[str, str],
    at: datetime,
    endpoint: Endpoint = lambda link, name: (name, link.port),
    connections: Iterable[Connection] | None = None,
    progress: Progress = unheard,
    pause: float = _PAUSE,
) -> Iterator[Verification]:
    """Make every connection of the site by every name of its server, as its client would.

    The verdict is that of `acceptance`, about what was really shown; where nothing was, the stores
    of the server may tell why. `expected` is server → thumbprint that should be served; by a
    cluster's name any node may answer. `endpoint` tells where a name leads. The site's order stays.
    Of a client without stores nobody knows whom it trusts: it is not judged.
    """
    links = site.connections if connections is None else tuple(connections)
    callers = {link.client for link in links}
    kinds, different = kinds_of({n: held for n, held in stores.items() if n in callers})
    calls, below = calls_of(site, links), dict[frozenset[object], Chain]({frozenset(): ()})

    @cache
    def matters(kind: int | None, issuers: frozenset[object]) -> tuple[Chain, ...] | None:
        """What of a trust a handshake can depend on: no root of others, which Windows gathers."""
        return None if kind is None else towards(below[issuers], different[kind].trust)[:2]

    def made(call: _Call) -> dict[int | None, Handshake]:
        """Shake hands once for all kinds of clients to whom what is shown means the same."""
        told, met, issuers = {}, dict[object, Handshake](), frozenset[object]()
        for kind in dict.fromkeys(kinds.get(link.client) for link in calls[call]):
            near = matters(kind, issuers)
            if near not in met and (issuers or not met):
                # OpenSSL builds paths with intermediates, and trusts none of them for itself.
                roots = None if kind is None else sum(different[kind].trust[:2], ())
                seen = connect(*endpoint(calls[call][0], call.name), roots, call.name)
                shown = tuple(one for each in (seen, *seen.others) for one in each.chain)
                issuers = issuers or frozenset(names_of(one)[1] for one in shown)
                below.setdefault(issuers, shown)
                near = matters(kind, issuers)
                met[near] = seen
            told[kind] = met.get(near) or next(iter(met.values()))  # it showed nothing to anybody
        return told

    shaken = _shake(site, list(calls), made, progress, pause)
    numbers: dict[int, int] = {}
    for call in calls:
        for seen in shaken[call].values():
            numbers.setdefault(id(seen), len(numbers) + 1)

    @cache
    def judge(call: _Call, group: str, kind: int | None) -> tuple[Any, ...]:
        """What all clients of a kind are told: all of a Verification behind the client."""
        server, held, seen = site[call.server], stores.get(call.server), shaken[call][kind]
        nodes = site.nodes(server) if call.name in server.cluster else (server,)
        right = {expected[node.name] for node in nodes if node.name in expected}
        target = Target(*endpoint(calls[call][0], call.name), call.name, call.server)
        reasons: Iterable[Finding] = ()
        if kind is None and seen.chain:
            text = f"no inventory of {_CLIENT} has come back: nobody knows whom it trusts"
            reasons = (Finding("not-judged", _CLIENT, text),)
        elif kind is not None and seen.chain:
            reasons = acceptance_of(server, seen.chain, call.name, _CLIENT, different[kind], at)
        elif held and seen.problem == "closed":
            reasons = (one for one in service(server, held, group)[1] if one.code in _MUTE)
        look = judged(seen, (), at, target=target, expected=right, reasons=reasons)
        label = thumbprint(seen.chain[0]) if seen.chain else ""
        made = (call.server, call.name, call.port, group, seen.version, label)
        return *made, look.verdict, look.detail, numbers[id(seen)]

    for link in links:
        for name in site[link.server].names:
            call = _Call(link.server, link.port, name)
            yield Verification(link.client, *judge(call, link.group, kinds.get(link.client)))


def _shake(
    site: Site,
    calls: Sequence[_Call],
    made: Callable[[_Call], dict[int | None, Handshake]],
    progress: Progress,
    pause: float,
) -> dict[_Call, dict[int | None, Handshake]]:
    """Make all calls: several at once, few of them at one server; Ctrl-C gives up what is left."""
    found: dict[_Call, dict[int | None, Handshake]] = {}
    stopped, at_one = Event(), defaultdict(list)
    for call in calls:
        at_one[site.nodes(site[call.server])[0].name].append(call)

    def walk(lane: Iterable[_Call]) -> None:
        for call in lane:
            if stopped.wait(pause):
                return
            found[call] = made(call)

    threads = ThreadPoolExecutor(_AT_ONCE)
    lanes = (one[n::_AT_ONE_SERVER] for n in range(_AT_ONE_SERVER) for one in at_one.values())
    work = [threads.submit(walk, lane) for lane in lanes if lane]
    try:
        while wait(work, _TICK).not_done:
            progress(len(found), len(calls))
    finally:
        stopped.set()
        threads.shutdown(wait=False, cancel_futures=True)
    for one in work:
        one.result()  # raises what went wrong in it
    progress(len(found), len(calls))
    return found


def verify_simulated(
    site: Site,
    stores: Mapping[str, Stores],
    served: Mapping[str, Mapping[int, Issued | None]],
    expected: Mapping[str, str],
    at: datetime,
    connections: Iterable[Connection] | None = None,
    progress: Progress = unheard,
) -> Iterator[Verification]:
    """Make these connections of a simulated site, or all, over real TLS, server by server.

    `served` is host → port → the certificate behind it, None where the port speaks plain HTTP.
    """
    links: dict[str, list[Connection]] = defaultdict(list)
    for link in site.connections if connections is None else connections:
        links[link.server].append(link)
    every = {server: len(calls_of(site, mine)) for server, mine in links.items()}
    before, numbered, of = 0, 0, sum(every.values())
    for server, mine in links.items():
        with on_loopback(served[server]) as ports:
            seen = verify_connections(
                site, stores, expected, at, lambda c, _, on=ports: (LOOPBACK, on[c.port]), mine,
                lambda done, _, before=before: progress(before + done, of), 0,
            )  # fmt: skip
            found = [one._replace(handshake=numbered + one.handshake) for one in seen]
        before, numbered = before + every[server], max(one.handshake for one in found)
        yield from found


def told_together(connections: Iterable[Verification]) -> list[Row]:
    """Return a row for each different answer of each handshake, with all `clients` that get it."""
    same: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for one in connections:
        same[one[1:]].append(one.client)
    names, rows = Verification._fields[1:], []
    for told, clients in same.items():
        row = dict(zip(names, told, strict=True))
        who = clients[0] if len(clients) == 1 else "the client"
        row["detail"] = row.pop("evidence").replace(_CLIENT, who)
        rows.append(row | {"connections": len(clients), "clients": clients})
    return rows


def in_lines(rows: Iterable[Row]) -> bytes:
    """Return rows as JSON, each in a line."""
    return b"[\n%s\n]" % b",\n".join(json.dumps(row).encode() for row in rows)


def read_verification(data: bytes) -> list[Row]:
    """Return the rows of a verification.json; older ones have a row for each connection."""
    return [{"clients": [row.get("client")], "connections": 1} | row for row in json.loads(data)]


def in_cells(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows again whose clients have room in a cell of Excel."""
    for row in rows:
        clients = row["clients"]
        for n in range(0, len(clients), _MOST_CLIENTS):
            some = clients[n : n + _MOST_CLIENTS]
            yield row | {"connections": len(some), "clients": some}


def one_by_one(rows: Iterable[Row]) -> list[Row]:
    """Return a row for each connection, with its one `client`."""
    more = ("connections", "clients")
    each = ((row, {name: it for name, it in row.items() if name not in more}) for row in rows)
    return [{"client": client} | told for row, told in each for client in row["clients"]]
