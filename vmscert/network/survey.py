"""Many servers at once: what each presents, whether clients would trust it, and for how long.

One event loop in a thread of its own, so that it works in a script, in a notebook whose loop runs
already, and can be interrupted anywhere without losing what was found.
"""

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.diagnosis import Diagnosis
from vmscert.certificates.reading import Reading
from vmscert.findings import RULES
from vmscert.names import parse_name
from vmscert.network import looks
from vmscert.network.looks import AT_ONCE, TIMEOUT, Look, judged
from vmscert.network.targets import Target
from vmscert.network.tls import Exchange, Handshake, Roots, reading_context

if TYPE_CHECKING:
    import pandas as pd

_SPARE = 100  # files that a process has open besides, of those that it may have
_RESOLVERS = 32  # names looked up at the same time: a dead name server takes seconds for each
_TICK = 0.1  # seconds between two reports of progress


@dataclass(frozen=True)
class Survey:
    """All that was seen until the end or an interruption; what needs a person stands first."""

    seen: tuple[Look, ...]
    at: datetime
    interrupted: bool = False

    @cached_property
    def same_key(self) -> Mapping[bytes, Sequence[str]]:
        """SubjectPublicKeyInfo → the computers that use this key, where these are several."""
        users: dict[bytes, dict[str, None]] = defaultdict(dict)
        for one in self.seen:
            for leaf in one.presented[:1]:
                users[Reading(leaf).spki][one.target.computer] = None
        return {key: sorted(hosts) for key, hosts in users.items() if len(hosts) > 1}

    def remedies(self) -> list[dict[str, Any]]:
        """Return what to do, what repairs most refusals first: one row for each kind of finding."""
        kinds: dict[tuple[bool, str], list[Look]] = defaultdict(list)
        for one in self.seen:
            for code, severity in {(f.code, f.severity) for f in one.findings}:
                kinds[severity != "bad", code].append(one)
        order = sorted(kinds.items(), key=lambda kind: (kind[0][0], -len(kind[1]), kind[0][1]))
        return [
            {
                "finding": code,
                "severity": "dubious" if dubious else "bad",
                "endpoints": len(seen),
                "on": ", ".join(dict.fromkeys(one.target.computer for one in seen)),
                "what to do": RULES[code].remedy_text,
                "notebook": RULES[code].remedy,
            }
            for (dubious, code), seen in order
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each endpoint, ready for a table; times are datetimes."""
        return [self._row(one) for one in self.seen]

    def frame(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _row(self, one: Look) -> dict[str, Any]:
        seen, target = one.handshake, one.target
        read = Reading(seen.chain[0]) if seen.chain else None
        end = read.validity[1] if read and read.validity else None
        return {
            "host": target.host,
            "address": target.address,
            "port": target.port,
            "name": target.name,
            "verdict": one.verdict,
            "findings": ", ".join(dict.fromkeys(finding.code for finding in one.findings)),
            "detail": "; ".join(finding.detail for finding in one.findings),
            "issued_to": read and ", ".join(read.names),
            "issued_by": read and read.issuer_label.strip("'"),
            "thumbprint": read and thumbprint(read.certificate),
            "not_after": end,
            "days_left": (end - self.at).days if end else None,
            "key_shared_by": read and ", ".join(self.same_key.get(read.spki, ())),
            "tls": seen.version,
            "cipher": seen.cipher,
            "seconds": seen.seconds,
        }


def survey(
    targets: Iterable[Target],
    roots: Roots,
    at: datetime,
    *,
    expected: Mapping[str, str] | None = None,
    at_once: int = AT_ONCE,
    timeout: float = TIMEOUT,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Look at all targets, as a client that trusts `roots` at the time `at`.

    `expected` is computer → thumbprint that should be served there. `timeout` is in seconds, for
    the call and again for the handshake; `progress(done, of)` is called ten times a second.
    Interrupting (Ctrl-C, or the kernel's stop button) returns what was seen until then.
    """
    run, interrupted = _Run(list(targets), tuple(roots), at, expected or {}, timeout), False
    many = max(1, min(at_once, _open_files() - _SPARE, len(run.targets)))
    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(lambda: asyncio.run(run.all(many)))
        try:
            while wait([work], _TICK).not_done:
                if progress:
                    progress(len(run.seen), len(run.targets))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            run.stopped.set()  # what is under way is given up
        work.result()
    order = {target: place for place, target in enumerate(run.targets)}
    found = sorted(run.seen, key=lambda one: (one.trusted, order[one.target]))
    return Survey(tuple(found), at, interrupted)


def _open_files() -> int:
    """How many files and sockets this process may have open at the same time."""
    try:
        import resource
    except ImportError:  # Windows counts otherwise: its event loop has no such limit
        return 1 << 14
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 14 if limit == resource.RLIM_INFINITY else limit


class _Run:
    """One survey under way; `seen` grows as results come."""

    def __init__(self, targets, roots, at, expected, timeout) -> None:
        self.targets, self.roots, self.at = targets, roots, at
        self.expected, self.timeout = expected, timeout
        self.seen: list[Look] = []
        self.stopped = threading.Event()
        self._resolvers = ThreadPoolExecutor(_RESOLVERS)
        self._places: dict[str, asyncio.Future] = {}  # of each name, looked up once
        self._certificates: dict[x509.Certificate, x509.Certificate] = {}
        self._diagnoses: dict[Diagnosis, Diagnosis] = {}

    async def all(self, at_once: int) -> None:
        """Look at all targets, or at those that are done when it is stopped."""
        waiting = iter(self.targets)
        left = work = {asyncio.create_task(self._work(waiting)) for _ in range(at_once)}
        while left:
            if self.stopped.is_set():
                for task in left:
                    task.cancel()
            _, left = await asyncio.wait(left, timeout=_TICK)
        self._resolvers.shutdown(wait=False, cancel_futures=True)  # left to themselves
        for task in work:
            if not task.cancelled():
                task.result()  # raises what went wrong in it

    async def _work(self, waiting: Iterator[Target]) -> None:
        for target in waiting:
            handshake = await self._shake(target, legacy=False)
            if handshake.problem in looks.MAYBE_OLD:
                old = await self._shake(target, legacy=True)
                handshake = looks.with_old_tls(handshake, old, (target.address, target.port))
            self.seen.append(self._judged(target, handshake))

    async def _shake(self, target: Target, legacy: bool) -> Handshake:
        begun = monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                plain = await _called(await self._resolved(target))
        except (OSError, UnicodeError) as error:
            seen = looks.not_connected(target.name, error)
        else:
            exchange, ended = Exchange(reading_context(legacy), str(parse_name(target.name))), None
            with plain:
                try:
                    async with asyncio.timeout(self.timeout):
                        await _exchange(plain, exchange)
                except OSError as error:
                    ended = error
            seen = exchange.ended(target.name, ended)
        return seen.told((target.address, target.port), self.timeout, monotonic() - begun)

    async def _resolved(self, target: Target) -> list[tuple[int, tuple]]:
        """The (family, socket address) of every place that its address or host name means."""
        host, port, loop = target.address, target.port, asyncio.get_running_loop()
        with suppress(ValueError):
            if ip_address(host).version == 4:
                return [(socket.AF_INET, (host, port))]
        if host not in self._places:
            ask = (socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
            self._places[host] = future = loop.run_in_executor(self._resolvers, *ask)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        found = await asyncio.shield(self._places[host])
        return [(family, (where[0], port, *where[2:])) for family, *_, where in found]

    def _judged(self, target: Target, seen: Handshake) -> Look:
        """The look, which shares with all others what is equal: a server has many names and ports.

        A certificate keeps all of it that was ever read; the copy that is shared has read nothing.
        """
        expected = filter(None, [self.expected.get(target.host)])
        look = judged(seen, self.roots, self.at, target=target, expected=tuple(expected))
        seen = replace(seen, chain=tuple(map(self._shared, seen.chain)))
        diagnosis = look.diagnosis
        if diagnosis:
            diagnosis = replace(diagnosis, path=tuple(map(self._shared, diagnosis.path)))
            diagnosis = self._diagnoses.setdefault(diagnosis, diagnosis)
        return replace(look, handshake=seen, diagnosis=diagnosis)

    def _shared(self, one: x509.Certificate) -> x509.Certificate:
        if one not in self._certificates:
            fresh = x509.load_der_x509_certificate(one.public_bytes(Encoding.DER))
            self._certificates[fresh] = fresh
        return self._certificates[one]


async def _called(places: Iterable[tuple[int, tuple]]) -> socket.socket:
    """Connect to the first place that takes the call; OSError of the last one if none does."""
    refused = OSError("no address")
    for family, where in places:
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(plain, where)
            return plain
        except BaseException as error:  # cancelled, too
            plain.close()
            if not isinstance(error, OSError):
                raise
            refused = error
    raise refused


async def _exchange(plain: socket.socket, exchange: Exchange) -> None:
    loop, done = asyncio.get_running_loop(), False
    while not done:
        try:
            done = exchange.step()
        finally:  # the server is told even why it is refused
            if data := exchange.out():
                with suppress(ConnectionError):
                    await loop.sock_sendall(plain, data)
        if not done:
            exchange.hear(await loop.sock_recv(plain, 1 << 16))
