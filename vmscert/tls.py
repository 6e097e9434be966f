"""Real TLS handshakes: in memory for lessons, over a socket for a server that somebody names."""

import secrets
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from vmscert.authority import Issued
from vmscert.names import parse_name

_Client = ssl.SSLObject | ssl.SSLSocket
TIMEOUT = 5.0  # seconds for each step; a recorder under load answers within one


@dataclass(frozen=True)
class Handshake:
    """How one TLS handshake ended, as the client tells it.

    `chain` is what the server presented, leaf first, also when the client refused it. `error` is
    OpenSSL's own text, `verify_code` its number (X509_V_ERR_…), `rule` the rule code of a
    connection that never came to certificates, or to none that can be read. All three are empty
    when `ok`.
    """

    name: str
    ok: bool
    version: str = ""
    cipher: str = ""
    chain: tuple[x509.Certificate, ...] = ()
    error: str = ""
    verify_code: int | None = None
    rule: str = ""


def handshake(issued: Issued, roots: Iterable[x509.Certificate], name: str) -> Handshake:
    """Let a client that trusts only `roots` call a server by `name`, in memory: no socket."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(issued).wrap_bio(to_server, to_client, server_side=True)
    client = client_context(roots).wrap_bio(
        to_client, to_server, server_hostname=str(parse_name(name))
    )
    try:
        for _ in range(4):  # flights: two round trips at the most, in TLS 1.2
            _step(client)
            _step(server)
    except ssl.SSLError as error:
        return _ended(client, name, error)
    return _ended(client, name)


def connect(
    address: str,
    port: int,
    roots: Iterable[x509.Certificate],
    name: str,
    timeout: float = TIMEOUT,
) -> Handshake:
    """Connect to `address`:`port`, ask for `name`, and tell how it ended; never raises for that.

    The chain is there even when the client refuses it. `timeout` is in seconds.
    """
    try:
        with socket.create_connection((address, port), timeout) as plain:
            return _over(plain, client_context(roots), name)
    except (OSError, UnicodeError) as error:  # UnicodeError: no such address can exist
        text = f"{address}:{port} can't be reached: {getattr(error, 'strerror', None) or error}"
        return Handshake(name, False, error=text, rule="not-reachable")


def client_context(roots: Iterable[x509.Certificate]) -> ssl.SSLContext:
    """Return the settings of a client that trusts these roots and nothing else.

    The flags are set by hand, since Python's defaults changed with 3.13; names count only in the
    subjectAltName, as for browsers and phones.
    """
    return _client_context(tuple(roots))


def server_context(issued: Issued) -> ssl.SSLContext:
    """Return the settings of a server that presents this certificate and its intermediates.

    OpenSSL loads keys from files only: the key lies there encrypted, with a password of its own,
    for the moment of loading.
    """
    if issued.key is None:
        raise ValueError("A server can't run without its private key, which is not here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    sent = [c for c in issued.chain if c is issued.certificate or c.subject != c.issuer]
    password = secrets.token_hex()
    encryption = BestAvailableEncryption(password.encode())
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "server.pem")
        file.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in sent) + key)
        context.load_cert_chain(file, password=password)
    return context


@lru_cache(maxsize=64)  # a context costs more than a handshake; a site has few sets of roots
def _client_context(roots: tuple[x509.Certificate, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
    context.hostname_checks_common_name = False
    if roots:
        context.load_verify_locations(cadata=b"".join(c.public_bytes(Encoding.DER) for c in roots))
    return context


def _over(plain: socket.socket, context: ssl.SSLContext, name: str) -> Handshake:
    with context.wrap_socket(
        plain, server_hostname=str(parse_name(name)), do_handshake_on_connect=False
    ) as tls:
        try:
            tls.do_handshake()
        except OSError as error:
            return _ended(tls, name, error)
        return _ended(tls, name)


def _step(end: ssl.SSLObject) -> None:
    with suppress(ssl.SSLWantReadError):
        end.do_handshake()


def _ended(client: _Client, name: str, error: OSError | None = None) -> Handshake:
    try:
        chain = _presented(client)
    except (ValueError, x509.InvalidVersion) as reason:  # OpenSSL reads more than we can judge
        text = f"A certificate that the server sent can't be read: {reason}"
        return Handshake(name, False, client.version() or "", error=text, rule="malformed")
    return _failed(client, name, chain, error) if error else _succeeded(client, name, chain)


def _succeeded(client: _Client, name: str, chain: tuple[x509.Certificate, ...]) -> Handshake:
    cipher = client.cipher()
    return Handshake(
        name,
        ok=True,
        version=client.version() or "",
        cipher=cipher[0] if cipher else "",
        chain=chain,
    )


def _failed(
    client: _Client, name: str, chain: tuple[x509.Certificate, ...], error: OSError
) -> Handshake:
    return Handshake(
        name,
        ok=False,
        version=client.version() or "",
        chain=chain,
        error=getattr(error, "verify_message", "") or str(error),
        verify_code=getattr(error, "verify_code", None),
        rule=_rule(error),
    )


def _rule(error: OSError) -> str:
    """The rule that a handshake broke before any certificate was judged."""
    reason = getattr(error, "reason", "") or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return "not-encrypted"
    if "record layer failure" in str(error):  # the same in OpenSSL 3.2 to 3.4, unknown to Python
        return "not-encrypted"
    if reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"):
        return "tls-too-old"
    return "not-reachable"


def _presented(client: _Client) -> tuple[x509.Certificate, ...]:
    """The certificates as the server sent them; Python offers this publicly from 3.13 on."""
    inner = client._sslobj  # type: ignore[union-attr]
    if inner is None:  # the server hung up before TLS began
        return ()
    if sys.version_info >= (3, 13):
        chain = client.get_unverified_chain()
    else:
        found = inner.get_unverified_chain() or ()
        chain = [certificate.public_bytes(2) for certificate in found]  # 2: ENCODING_DER
    return tuple(map(x509.load_der_x509_certificate, chain))
