"""Many servers at once: what each presents, whether clients would trust it, and for how long.

One event loop in a thread of its own, so that it works in a script, in a notebook whose loop runs
already, and can be interrupted anywhere without losing what was found.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates import foreign
from vmscert.certificates.authority import thumbprint
from vmscert.certificates.diagnosis import Diagnosis
from vmscert.certificates.reading import Reading
from vmscert.findings import RULES, SEVERITIES
from vmscert.network.calls import called, looked_up
from vmscert.network.looks import AT_ONCE, TIMEOUT, Look, judged
from vmscert.network.targets import Target
from vmscert.network.tls import Handshake, Roots, reading_context

if TYPE_CHECKING:
    import pandas as pd

_SPARE = 100  # files that a process has open besides, of those that it may have
_RESOLVERS = 32  # names looked up at the same time: a dead name server takes seconds for each
_TICK = 0.1  # seconds between two reports of progress
_FAREWELL = 2.0  # seconds for what is under way to be given up


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
        kinds: dict[tuple[int, str], list[Look]] = defaultdict(list)
        for one in self.seen:
            for code, severity in {(f.code, f.severity) for f in one.findings}:
                kinds[SEVERITIES.index(severity), code].append(one)
        order = sorted(kinds.items(), key=lambda kind: (kind[0][0], -len(kind[1]), kind[0][1]))
        return [
            {
                "finding": code,
                "severity": SEVERITIES[worst],
                "endpoints": len(seen),
                "on": ", ".join(dict.fromkeys(one.target.computer for one in seen)),
                "what to do": RULES[code].remedy_text,
                "notebook": RULES[code].remedy,
            }
            for (worst, code), seen in order
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
    roots: Roots | None,
    at: datetime,
    *,
    expected: Mapping[str, str] | None = None,
    at_once: int = AT_ONCE,
    timeout: float = TIMEOUT,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Look at all targets, as a client that trusts `roots` at the time `at`.

    None says that nobody named any. `expected` is computer → thumbprint that should be served
    there. `timeout` is in seconds, for the whole look at one endpoint; `progress(done, of)` is
    called ten times a second.
    Interrupting (Ctrl-C, or the kernel's stop button) returns what was seen until then.
    """
    trusted = roots if roots is None else tuple(roots)
    run, interrupted = _Run(list(targets), trusted, at, expected or {}, timeout), False
    many = max(1, min(at_once, _open_files() - _SPARE, len(run.targets)))
    work: Future[None] = Future()
    threading.Thread(target=_settle, args=(work, run, many), daemon=True).start()
    try:
        while wait([work], _TICK).not_done:
            if progress:
                progress(len(run.seen), len(run.targets))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        run.stopped.set()  # what is under way is given up
    if wait([work], _FAREWELL).done:
        work.result()  # raises what went wrong in it
    order = {target: place for place, target in enumerate(run.targets)}
    found = sorted([*run.seen], key=lambda one: (one.trusted, order[one.target]))
    return Survey(tuple(found), at, interrupted)


def _settle(work: "Future[None]", run: "_Run", many: int) -> None:
    """Do all of it, in a thread that nobody has to wait for."""
    try:
        work.set_result(asyncio.run(run.all(many)))
    except BaseException as error:
        work.set_exception(error)


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
        self._places: dict[str, asyncio.Task] = {}  # of each name, looked up once
        self._certificates: dict[x509.Certificate, x509.Certificate] = {}
        self._diagnoses: dict[tuple[Any, str], Diagnosis] = {}

    async def all(self, at_once: int) -> None:
        """Look at all targets, or at those that are done when it is stopped."""
        waiting = iter(self.targets)
        room = asyncio.Semaphore(at_once)
        left = work = {asyncio.create_task(self._work(waiting, room)) for _ in range(at_once)}
        while left:
            if self.stopped.is_set():
                for task in left:
                    task.cancel()
            _, left = await asyncio.wait(left, timeout=_TICK)
        self._resolvers.shutdown(wait=False, cancel_futures=True)  # left to themselves
        for task in work:
            if not task.cancelled():
                task.result()  # raises what went wrong in it

    async def _work(self, waiting: Iterator[Target], room: asyncio.Semaphore) -> None:
        client = reading_context(False)
        for target in waiting:
            where = (target.address, target.port)
            seen = await called(where, target.name, client, self.timeout, self._resolved, room)
            self.seen.append(self._judged(target, seen))

    async def _resolved(self, host: str) -> Sequence[tuple]:
        """The answer to the question for a name, which is asked once."""
        if host not in self._places:
            self._places[host] = asyncio.create_task(looked_up(self._resolvers, host))
            self._places[host].add_done_callback(lambda d: d.cancelled() or d.exception())
        return await asyncio.shield(self._places[host])

    def _judged(self, target: Target, seen: Handshake) -> Look:
        """The look, which shares with all others what is equal: a server has many names and ports.

        A certificate keeps all of it that was ever read; the copy that is shared has read nothing.
        """
        expected = tuple(filter(None, [self.expected.get(target.host)]))
        known = None if seen.others else self._diagnoses.get((seen.chain, seen.name))
        look = judged(seen, self.roots, self.at, target=target, expected=expected, diagnosed=known)
        seen = self._kept(look.handshake)
        diagnosis = look.diagnosis
        if diagnosis and not known:
            diagnosis = replace(diagnosis, path=tuple(map(self._shared, diagnosis.path)))
            diagnosis = self._diagnoses.setdefault((seen.chain, seen.name), diagnosis)
        return replace(look, handshake=seen, diagnosis=diagnosis)

    def _kept(self, seen: Handshake) -> Handshake:
        others = tuple(map(self._kept, seen.others))
        return replace(seen, chain=tuple(map(self._shared, seen.chain)), others=others)

    def _shared(self, one: x509.Certificate) -> x509.Certificate:
        if one not in self._certificates:
            fresh = foreign.certificate(one.public_bytes(Encoding.DER)) or one
            self._certificates[fresh] = fresh
        return self._certificates[one]
