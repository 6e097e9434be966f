"""Real TLS servers on loopback that stand in for XProtect's."""

import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime

from vmscert.authority import Issued
from vmscert.site import Connection, Site
from vmscert.tls import server_context
from vmscert.verify import Verification, verify_connections
from vmscert.windows import Stores

LOOPBACK = "127.0.0.1"


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
    wanted: dict[str, list[Connection]] = defaultdict(list)
    for one in site.connections if connections is None else connections:
        wanted[one.server].append(one)
    for name, calls in wanted.items():
        with serving(served[name]) as ports:
            yield from verify_connections(
                site,
                stores,
                expected,
                at,
                endpoint=lambda c, _name, ports=ports: (LOOPBACK, ports[c.port]),
                connections=calls,
            )


@contextmanager
def serving(ports: Mapping[int, Issued | None]) -> Iterator[dict[int, int]]:
    """Run a server on loopback for each port → certificate; yield port → port on loopback.

    XProtect's own port numbers are often taken or need rights on a laptop, so free ones are used.
    Without a certificate a port speaks plain HTTP, like a server whose encryption is off.
    """
    contexts = {issued.certificate: server_context(issued) for issued in ports.values() if issued}
    listeners = {port: _listen() for port in ports}
    with ThreadPoolExecutor(4 + len(ports)) as threads:
        stop = threading.Event()
        for port, listener in listeners.items():
            issued = ports[port]
            context = contexts[issued.certificate] if issued else None
            threads.submit(_serve, listener, context, threads, stop)
        try:
            yield {port: listener.getsockname()[1] for port, listener in listeners.items()}
        finally:
            stop.set()
            for listener in listeners.values():
                wake(listener)


def _listen() -> socket.socket:
    return socket.create_server((LOOPBACK, 0), backlog=128)


def _serve(
    listener: socket.socket,
    context: ssl.SSLContext | None,
    threads: ThreadPoolExecutor,
    stop: threading.Event,
) -> None:
    with listener:
        while not stop.is_set():
            plain, _ = listener.accept()
            if stop.is_set():
                plain.close()
            else:
                threads.submit(greet, plain, context)


def greet(plain: socket.socket, context: ssl.SSLContext | None) -> None:
    """Shake hands and hang up; what the client makes of it is the client's to tell."""
    plain.settimeout(10)
    with plain, suppress(OSError):
        if context is None:
            plain.recv(1024)
            plain.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.recv(1)  # wait for the client to leave: a reset would swallow the handshake


def wake(listener: socket.socket) -> None:
    """Call a server that waits for a call, so that it sees that it is to end."""
    with suppress(OSError):
        socket.create_connection(listener.getsockname(), timeout=1).close()
