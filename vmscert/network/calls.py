"""One endpoint called: all addresses of its name at once, each step until one deadline.

Here alone stand the steps of a look; `looks` takes one, `survey` many side by side. Nothing here
judges, and nothing that a server does or leaves undone raises.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from time import monotonic

from vmscert.names import parse_name, spelled
from vmscert.network.tls import Exchange, Handshake, reading_context

_PATIENCE = 0.3  # seconds at least for a server that asked for a certificate and may want one
_CHUNK = 1 << 14  # bytes taken at a time; between two of them others have their turn
# What an old server may answer to a client that offers TLS 1.2 and 1.3 only.
_MAYBE_OLD = ("too-old", "no-cipher", "alert", "closed")
_NAME_FAULTS = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_BY_NAME = "Which certificate comes depends on the name asked for: without one, it is another"
_AGAIN = "A second call got an answer: not every call fails"

Place = tuple[int, tuple]  # the family and the address of a socket
Resolve = Callable[[str], Awaitable[Sequence[tuple]]]  # as getaddrinfo answers


async def called(
    where: tuple[str, int],
    name: str,
    client: ssl.SSLContext,
    timeout: float,
    resolve: Resolve,
    room: asyncio.Semaphore,
) -> Handshake:
    """Call every address of one endpoint, and tell how it ended, the worst answer first.

    `timeout` is for the whole look. `client` judges, or only reads; `room` bounds the sockets.
    """
    begun = monotonic()
    try:
        async with asyncio.timeout(timeout):
            places = await _places(where, resolve)
    except (OSError, UnicodeError) as error:
        return not_connected(name, error).told(spelled(where), where, timeout, monotonic() - begun)
    left = max(0.0, timeout - (monotonic() - begun))
    calls = [_Call(where, one, name, timeout, left, len(places) > 1) for one in places]
    if len(calls) == 1:
        return await calls[0].look(client, room)
    every = await asyncio.gather(*(one.look(client, room) for one in calls))
    first, *others = sorted(every, key=_rank)
    return replace(first, others=tuple(others))


def _rank(seen: Handshake) -> int:
    """Where an answer stands: a refusal before a good one, and an address without one last."""
    return 2 if seen.rule == "not-reachable" else 1 if seen.ok else 0


async def looked_up(threads: Executor, host: str) -> Sequence[tuple]:
    """Ask the system for all addresses of a host name."""
    ask = (socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
    return await asyncio.get_running_loop().run_in_executor(threads, *ask)


async def _places(where: tuple[str, int], resolve: Resolve) -> list[Place]:
    """Every place that an address or a host name means."""
    host, port = where
    with suppress(ValueError):
        if ip_address(host).version == 4:
            return [(socket.AF_INET, (host, port))]
    found = await resolve(host)
    places = [(family, (at[0], port, *at[2:])) for family, *_, at in found]
    if not places:
        raise socket.gaierror("no address")
    return list(dict.fromkeys(places))


def not_connected(name: str, error: Exception) -> Handshake:
    """Return the handshake that never began, with what the network said in `error`."""
    word = "timeout" if isinstance(error, TimeoutError) else "unreachable"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        word = "dns"
    elif isinstance(error, ConnectionRefusedError):
        word = "refused"
    return Handshake(name, False).stopped(word, getattr(error, "strerror", None) or str(error))


@dataclass(frozen=True, slots=True)
class _Call:
    """One address of an endpoint; `left` is what of the timeout is left for it."""

    where: tuple[str, int]
    place: Place
    name: str
    timeout: float
    left: float
    several: bool

    async def look(self, client: ssl.SSLContext, room: asyncio.Semaphore) -> Handshake:
        """Take all steps: hands shaken, then what an old client or one without a name gets."""
        async with room:
            end = asyncio.get_running_loop().time() + self.left
            seen = await self._shake(client, self.name, end)
            if seen.problem in _MAYBE_OLD and not seen.chain:
                seen = self._aged(seen, await self._shake(reading_context(True), self.name, end))
            if seen.verify_code:  # OpenSSL stops before anything else is settled
                bare = await self._shake(reading_context(False), self.name, end)
                told = (bare.error, bare.rule, bare.problem) if bare.chain and bare.rule else ()
                error, rule, problem = told or (seen.error, "", "")
                seen = replace(seen, version=bare.version, cipher=bare.cipher, asked=bare.asked)
                seen = replace(seen, error=error, rule=rule, problem=problem)
            if seen.problem == "name-unknown" or seen.verify_code in _NAME_FAULTS:
                bare = await self._shake(reading_context(False), "", end)  # RFC 6066: no SNI
                if bare.chain and bare.chain[:1] != seen.chain[:1]:
                    seen = replace(seen, hint=_BY_NAME, chain=seen.chain or bare.chain)
        return replace(seen, address=self.place[1][0]) if self.several else seen

    def _aged(self, seen: Handshake, old: Handshake) -> Handshake:
        """What a client that takes anything was served, if that came further."""
        if not old.chain:
            return seen
        if old.version == "TLSv1.3":
            return replace(seen, hint=_AGAIN)
        word = "no-cipher" if old.version == "TLSv1.2" else "too-old"
        seen = self._told(seen.stopped(word, f"{old.version}, {old.cipher}"), seen.seconds)
        return replace(seen, chain=old.chain, version=old.version, cipher=old.cipher)

    def _told(self, seen: Handshake, seconds: float) -> Handshake:
        at = f" at {self.place[1][0]}" if self.several else ""
        return seen.told(spelled(self.where) + at, self.where, self.timeout, seconds)

    async def _shake(self, context: ssl.SSLContext, name: str, end: float) -> Handshake:
        """Shake hands once, asking for a name, or for none, until the end of the whole look."""
        begun, ended = monotonic(), None
        exchange = Exchange(context, str(parse_name(name)) if name else "")
        try:
            plain = await self._taken(end)
        except OSError as error:
            seen = not_connected(self.name, error)
        else:
            with plain:
                try:
                    async with asyncio.timeout_at(end):
                        await _exchange(plain, exchange, end)
                except OSError as error:
                    ended = error
            seen = exchange.ended(self.name, ended)
        return self._told(seen, monotonic() - begun)

    async def _taken(self, end: float) -> socket.socket:
        """The socket of a call that was taken."""
        family, address = self.place
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.setblocking(False)
            async with asyncio.timeout_at(end):
                await asyncio.get_running_loop().sock_connect(plain, address)
        except BaseException:  # cancelled, too
            plain.close()
            raise
        return plain


async def _exchange(plain: socket.socket, exchange: Exchange, end: float) -> None:
    loop, begun, done = asyncio.get_running_loop(), monotonic(), False
    while not done:
        try:
            done = exchange.step()
        finally:  # the server is told even why it is refused
            with suppress(ConnectionError):  # what it said before it hung up counts more
                if data := exchange.out():
                    await loop.sock_sendall(plain, data)
        if not done:
            exchange.hear(await loop.sock_recv(plain, _CHUNK))
            await asyncio.sleep(0)  # a server that never stops must not keep the others waiting
    if exchange.asked is None:
        return
    # It may want what it asked for: in TLS 1.3 it says so after the client's end of the handshake,
    # and some shake hands first and hang up then.
    patience = max(_PATIENCE, 2 * (monotonic() - begun))
    with suppress(TimeoutError):  # the end of it comes before that of the look
        async with asyncio.timeout(min(patience, 0.9 * (end - loop.time()))):
            while not exchange.greeted():
                exchange.hear(await loop.sock_recv(plain, _CHUNK))
                await asyncio.sleep(0)
