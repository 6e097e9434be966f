"""One server, called over the network: what a client sees of it, and what a second look shows."""

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from time import monotonic

from cryptography import x509

from vmscert.names import check_port, parse_host, parse_name, spelled
from vmscert.network.tls import PROBLEMS, Exchange, Handshake, client_context, reading_context

TIMEOUT = 5.0  # seconds for each step; a recorder under load answers within one
AT_ONCE = 800  # endpoints of a survey; more are quicker where many never answer, but take memory
_PATIENCE = 0.3  # seconds to wait for a server that refuses after the handshake, as TLS 1.3 does
# What an old server may answer to a client that offers TLS 1.2 and 1.3 only.
MAYBE_OLD = ("too-old", "alert", "closed")
_NAME_FAULTS = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_BY_NAME = "Which certificate comes depends on the name asked for: without one, it is another"


def connect(
    address: str,
    port: int,
    roots: Iterable[x509.Certificate],
    name: str = "",
    timeout: float = TIMEOUT,
) -> Handshake:
    """Connect to `address`:`port`, ask for `name`, and tell how it ended; never raises for that.

    The chain is there even when the client refuses it, or when the server is too old to talk to.
    `name` is the address if empty; `timeout` is in seconds. ValueError for a port or a name that
    can't exist.
    """
    where = (parse_host(address), check_port(port))
    name = name or where[0]
    parse_name(name)
    seen = _shake(where, client_context(roots), name, timeout)
    if seen.problem in MAYBE_OLD:
        old = _shake(where, reading_context(legacy=True), name, timeout)
        return with_old_tls(seen, old, where)
    reading = reading_context(legacy=False)
    if seen.verify_code:  # OpenSSL stops before protocol and cipher are settled
        bare = _shake(where, reading, name, timeout)
        seen = replace(seen, version=bare.version, cipher=bare.cipher)
    if seen.problem == "name-unknown" or seen.verify_code in _NAME_FAULTS:
        bare = _shake(where, reading, "", timeout)  # without a name (SNI, RFC 6066)
        if bare.chain and bare.chain[:1] != seen.chain[:1]:
            seen = replace(seen, hint=_BY_NAME, chain=seen.chain or bare.chain)
    return seen


def told(seen: Handshake, where: tuple[str, int], timeout: float, seconds: float) -> Handshake:
    """Put the sentence of its problem, and the time, into a handshake."""
    if seen.problem:
        said = {"address": where[0], "port": where[1], "where": spelled(where), "timeout": timeout}
        sentence = PROBLEMS[seen.problem]["sentence"]
        seen = replace(seen, error=sentence.format(**said, name=seen.name, said=seen.error))
    return replace(seen, seconds=round(seconds, 4))


def not_connected(name: str, error: Exception) -> Handshake:
    """Return the handshake that never began, with what the network said in `error`."""
    word = "timeout" if isinstance(error, TimeoutError) else "unreachable"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        word = "dns"
    elif isinstance(error, ConnectionRefusedError):
        word = "refused"
    text = getattr(error, "strerror", None) or str(error)
    return Handshake(name, False).stopped(word, text)


def _shake(where: tuple[str, int], context: ssl.SSLContext, name: str, timeout: float) -> Handshake:
    """Shake hands once, asking for a name, or for none."""
    begun, ended = monotonic(), None
    exchange = Exchange(context, str(parse_name(name)) if name else "")
    try:
        plain = socket.create_connection(where, timeout)
    except (OSError, UnicodeError) as error:
        seen = not_connected(name, error)
    else:
        with plain:
            try:
                _exchange(plain, exchange)
            except OSError as error:
                ended = error
        seen = exchange.ended(name, ended)
    return told(seen, where, timeout, monotonic() - begun)


def _exchange(plain: socket.socket, exchange: Exchange) -> None:
    done = False
    while not done:
        try:
            done = exchange.step()
        finally:  # the server is told even why it is refused
            with suppress(ConnectionError):  # what it said before it hung up counts more
                plain.sendall(exchange.out())
        if not done:
            exchange.hear(plain.recv(1 << 16))
    if exchange.tls.version() == "TLSv1.3":
        # The client ends first; a server that wants its certificate says so afterwards. Nothing,
        # or one of these, is what a healthy session begins or ends with.
        plain.settimeout(_PATIENCE)
        healthy = (TimeoutError, ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError)
        with suppress(*healthy):
            exchange.hear(plain.recv(1 << 16))
            exchange.tls.read(1)


def with_old_tls(seen: Handshake, old: Handshake, where: tuple[str, int]) -> Handshake:
    """Say what an older client would have been served, if that came further."""
    if not old.chain:
        return seen
    seen = seen.stopped("too-old", f"{old.version}, {old.cipher}")
    seen = told(seen, where, TIMEOUT, seen.seconds)
    return replace(seen, chain=old.chain, version=old.version, cipher=old.cipher)
