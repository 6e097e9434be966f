"""Real servers on loopback that stand in for XProtect's, sound or broken on purpose."""

import socket
import ssl
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread
from typing import TypeVar

from cryptography import x509

from vmscert.certificates.authority import Issued
from vmscert.network.tls import server_context

LOOPBACK = "127.0.0.1"
_PATIENCE = 10  # seconds for a caller that says nothing

Answer = Callable[[socket.socket], None]
K = TypeVar("K", bound=Hashable)


class Loopback:
    """A server at a free port of loopback; `answer` talks to each caller, in a thread of its own.

    `with Loopback(answer) as port` runs it. Without an answer nobody listens, and the port stays
    taken. Its threads end with the program, closed or not: a notebook may forget to close it.
    """

    def __init__(self, answer: Answer | None) -> None:
        self._answer, self._listener = answer, socket.socket()
        self._listener.bind((LOOPBACK, 0))
        self._thread = Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        if self._answer:
            self._listener.listen(128)
            self._thread.start()
        return self._listener.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        self._answer = None
        with self._listener:
            if self._thread.is_alive():
                with suppress(OSError):  # the last call, for which it waits
                    socket.create_connection(self._listener.getsockname(), timeout=1).close()
                self._thread.join(timeout=1)

    def _serve(self) -> None:
        while True:
            (caller, _), answer = self._listener.accept(), self._answer
            if not answer:
                return caller.close()
            Thread(target=_talk, args=(caller, answer), daemon=True).start()


def _talk(caller: socket.socket, answer: Answer) -> None:
    """Answer and hang up; what the client makes of it is the client's to tell."""
    caller.settimeout(_PATIENCE)
    with caller, suppress(OSError):
        answer(caller)


def greeting(context: ssl.SSLContext) -> Answer:
    """Return the answer that shakes hands and waits until the client leaves."""

    def answer(caller: socket.socket) -> None:
        with context.wrap_socket(caller, server_side=True) as tls:
            tls.recv(1)  # a reset would swallow the handshake

    return answer


def plain_http(caller: socket.socket) -> None:
    """Answer like a server whose encryption is off."""
    caller.recv(1024)
    caller.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def _hang_up(caller: socket.socket) -> None:
    """Say nothing, like a service that can't use its private key."""
    caller.recv(1024)


@contextmanager
def on_loopback(ports: Mapping[K, Issued | None]) -> Iterator[dict[K, int]]:
    """Run a server on loopback for each port → certificate; yield port → port on loopback.

    XProtect's own port numbers are often taken or need rights on a laptop, so free ones are used.
    Without a certificate a port speaks plain HTTP, without its key it hangs up.
    """
    answers: dict[x509.Certificate | None, Answer] = {None: plain_http}
    for one in filter(None, ports.values()):
        if one.certificate not in answers:
            answers[one.certificate] = greeting(server_context(one)) if one.key else _hang_up
    with ExitStack() as stack:
        yield {
            port: stack.enter_context(Loopback(answers[issued.certificate if issued else None]))
            for port, issued in ports.items()
        }
