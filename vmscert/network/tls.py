"""Real TLS handshakes: in memory for lessons, and the exchange of bytes that sockets carry."""

import secrets
import ssl
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption as Encryption
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

from vmscert.certificates import foreign
from vmscert.certificates.authority import Issued
from vmscert.facts import facts
from vmscert.names import parse_name, printable

Roots = Iterable[x509.Certificate]  # that a client trusts

_OP_LEGACY_SERVER_CONNECT = 0x4  # ssl.OP_LEGACY_SERVER_CONNECT from Python 3.12 on
_RECORDS = range(20, 25)  # first byte of what speaks TLS, RFC 8446 section 5.1
_MOST = 1 << 19  # bytes heard in one handshake: OpenSSL takes 100 kB of certificates
_ALERT, _HANDSHAKE, _CERTIFICATE_REQUEST, _FATAL = 21, 22, 13, 2  # RFC 8446 sections 4, 5.1 and 6
_CAS_OF_A_REQUEST = 47  # the extension certificate_authorities, RFC 8446 section 4.2.4
_TLS13 = 0x0304
_VERSIONS = {0x0303: "TLSv1.2", _TLS13: "TLSv1.3"}
_TEXTS = (12, 19, 20, 22)  # the tags of strings in a directory name, X.680 section 8.4
# What OpenSSL, curl, Node and Java offer by default, measured; Python alone would offer less.
_OFFERED = "DEFAULT:@SECLEVEL=2"

# What keeps a handshake from its end, and which reason of OpenSSL's or alert means it.
PROBLEMS = {row["problem"]: row for row in facts("tls/problems")}
_PROBLEM_OF = {row["reason"]: row["problem"] for row in facts("tls/reasons")}
_SAYS = {int(row["number"]): row["says"] for row in facts("tls/verify-codes")}
_ALERTS = {int(row["number"]): row for row in facts("tls/alerts")}


@dataclass(frozen=True, slots=True)
class Handshake:
    """How one TLS handshake ended, as the client tells it.

    `chain` is what the server presented, leaf first, also when the client refused it. `error` is
    OpenSSL's own text when a certificate was refused, with `verify_code`, its number
    (X509_V_ERR_…); else one sentence of ours. `problem` is a word of PROBLEMS and `rule` the rule
    that is broken when the handshake never came to certificates, or to none that can be read. All
    are empty when `ok`. `hint` tells what a second look showed, `seconds` how long the first took.
    `asked` are the CAs whose client certificates the server takes; None if it asked for none. Where
    a name has several addresses, `address` gave this, and `others` are what the others gave.
    """

    name: str
    ok: bool
    version: str = ""
    cipher: str = ""
    chain: tuple[x509.Certificate, ...] = ()
    error: str = ""
    verify_code: int | None = None
    rule: str = ""
    problem: str = ""
    hint: str = ""
    seconds: float = 0.0
    asked: tuple[str, ...] | None = None
    address: str = ""
    others: tuple["Handshake", ...] = ()

    def stopped(self, problem: str, said: str) -> "Handshake":
        """Return the handshake as ended by a word of PROBLEMS."""
        rule = PROBLEMS[problem]["rule"]
        return replace(self, ok=False, cipher="", error=said, rule=rule, problem=problem)

    def told(
        self, label: str, where: tuple[str, int], timeout: float, seconds: float
    ) -> "Handshake":
        """Return it with the sentence of its problem, and the time that it took."""
        seen = replace(self, seconds=round(seconds, 4))
        if not seen.problem:
            return seen
        said = {"address": where[0], "port": where[1], "where": label, "timeout": timeout}
        sentence = PROBLEMS[seen.problem]["sentence"]
        return replace(seen, error=sentence.format(**said, name=seen.name, said=seen.error))


class Exchange:
    """A client's half of a handshake: bytes that came go in, bytes to send come out."""

    def __init__(self, context: ssl.SSLContext, name: str = "") -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._begin, self._many = b"", 0  # the first bytes that came, and how many came
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name or None)
        self._told: dict[int, tuple[int, bytes]] = {}  # content type → version, and what counts
        self.tls.told = self._told  # type: ignore[attr-defined]

    def step(self) -> bool:
        """Go as far as the bytes allow; True at the end of the handshake, else SSLError."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def out(self) -> bytes:
        """Return what is to be sent."""
        return self._outgoing.read()

    def hear(self, data: bytes) -> None:
        """Take what came; nothing means that the server hung up."""
        self._begin += data[: 512 - len(self._begin)]
        self._many += len(data)
        if self._many > _MOST:
            raise _EndlessError
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    @property
    def asked(self) -> tuple[str, ...] | None:
        """The CAs whose client certificates the server takes; None if it asked for none."""
        request = self._told.get(_HANDSHAKE)
        return _cas(*request) if request else None

    def greeted(self) -> bool:
        """Whether the server has sent something of its own, after the handshake; else SSLError."""
        with suppress(ssl.SSLWantReadError):
            return bool(self.tls.read(1))
        return False

    def ended(self, name: str, error: OSError | None = None) -> Handshake:
        """Return how it ended, with what the server presented until then."""
        try:
            chain = _presented(self.tls)
        except ValueError as reason:  # OpenSSL reads more than we can judge
            text = f"A certificate that the server sent can't be read: {reason}"
            return Handshake(name, False, self.tls.version() or "").stopped("unreadable", text)
        cipher = (self.tls.cipher() or [""])[0]
        # After an alert OpenSSL forgets the version; who asked for a certificate had one.
        asked_in, _ = self._told.get(_HANDSHAKE, (0, b""))
        version = self.tls.version() or _VERSIONS.get(asked_in, "")
        seen = Handshake(name, not error, version, cipher, chain, asked=self.asked)
        if error is None:
            return seen
        if isinstance(error, ssl.SSLCertVerificationError):
            said = error.verify_message or str(error)
            text = _SAYS.get(error.verify_code, said)  # in the same words from every OpenSSL
            return replace(seen, cipher="", error=text, verify_code=error.verify_code)
        return seen.stopped(*self._why(error))

    def _why(self, error: OSError) -> tuple[str, str]:
        """The word of PROBLEMS for what ended the exchange before any verdict, and what it said."""
        if self._begin and self._begin[0] not in _RECORDS:
            line = self._begin.partition(b"\n")[0].decode("ascii", "replace").strip()[:60]
            http = self._begin[:5] == b"HTTP/" or self._begin.lstrip()[:1] == b"<"
            return "plain-http" if http else "plain", repr(line)
        if isinstance(error, TimeoutError):
            return "slow" if self._begin else "silent", f"{self._many} bytes came"
        if isinstance(error, _EndlessError):
            return "endless", f"more than {_MOST >> 10} kB came"
        reason = getattr(error, "reason", "") or ""
        word, said = _PROBLEM_OF.get(reason, "broken"), reason or error.strerror or str(error)
        if alert := self._told.get(_ALERT):
            number = alert[1][1]
            row = _ALERTS.get(number, {"name": "unknown", "problem": "alert"})
            word, said = row["problem"], f"{number}, {row['name']}"
        elif not isinstance(error, ssl.SSLError) or isinstance(error, _HUNG_UP):
            word = "closed"
        if self.asked is not None and word in ("alert", "closed"):
            word = "client-certificate"  # there is nothing else left to disagree about
        if word == "client-certificate":
            said = f"alert {said}" if alert else "it asked for one, then hung up"
            said += f"; it takes those of {', '.join(self.asked)}" if self.asked else ""
        return word, said if alert else said.replace("_", " ").lower()


_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _EndlessError(OSError):
    """More came than any handshake needs."""


def _listen(tls: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
    """Keep of all that comes what OpenSSL tells nobody: alerts, and what a request asks for."""
    if direction == "read" and (
        (content == _ALERT and data[0] == _FATAL)
        or (content == _HANDSHAKE and kind == _CERTIFICATE_REQUEST)
    ):
        tls.told[int(content)] = int(version), data


def _cas(version: int, request: bytes) -> tuple[str, ...]:
    """The names of CAs in a CertificateRequest: RFC 8446 section 4.3.2, RFC 5246 section 7.4.4."""
    body, names = request[4:], b""
    _, body = _vector(body, 1)  # a context, or the kinds of certificates
    if version == _TLS13:
        extensions, _ = _vector(body, 2)
        while extensions:
            number = int.from_bytes(extensions[:2], "big")
            data, extensions = _vector(extensions[2:], 2)
            names = _vector(data, 2)[0] if number == _CAS_OF_A_REQUEST else names
    else:
        names, rest = _vector(body, 2)  # the signatures that it takes, from TLS 1.2 on
        names = _vector(rest, 2)[0] if rest else names
    found = []
    while names:
        one, names = _vector(names, 2)
        found.append(" ".join(_texts(one)) or "a CA without a name")
    return tuple(found)


def _vector(data: bytes, size: int) -> tuple[bytes, bytes]:
    """What a length of `size` bytes stands before, and the rest."""
    end = size + int.from_bytes(data[:size], "big")
    return data[size:end], data[end:]


def _texts(der: bytes) -> Iterator[str]:
    """The strings of a directory name, made harmless."""
    while len(der) > 2:
        tag, length, start = der[0], der[1], 2
        if length > 128:
            start += length - 128
            length = int.from_bytes(der[2:start], "big")
        value, der = der[start : start + length], der[start + length :]
        if tag & 32:
            yield from _texts(value)
        elif tag in _TEXTS:
            yield printable(value.decode("utf-8", "replace"))


def handshake(issued: Issued, roots: Roots, name: str, *, verify: bool = True) -> Handshake:
    """Let a client that trusts only `roots` call a server by `name`, in memory: no socket.

    Without `verify` the client takes whatever certificate it is shown, as careless programs do.
    """
    context = client_context(tuple(roots)) if verify else reading_context(legacy=False)
    return InMemory(context, name, server_context(issued)).shake_hands()


class InMemory:
    """A client and a server in memory, and a copy of every byte that goes between them."""

    def __init__(self, client: ssl.SSLContext, name: str, server: ssl.SSLContext) -> None:
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._name, self._client = name, Exchange(client, str(parse_name(name)))
        self._server = server.wrap_bio(self._to_server, self._to_client, server_side=True)
        self.wire = {"client": b"", "server": b""}

    def shake_hands(self) -> Handshake:
        """Go on until both are content, or the client is not."""
        ended = None
        try:
            for _ in range(4):  # flights: two round trips at the most, in TLS 1.2
                self._client.step()
                self._carry()
                with suppress(ssl.SSLWantReadError):
                    self._server.do_handshake()
                self._carry()
        except ssl.SSLError as error:
            ended = error
            self._carry()
        return self._client.ended(self._name, ended)

    def talk(self, client: bytes, server: bytes) -> None:
        """Let the client say something, and the server answer."""
        with suppress(ssl.SSLWantReadError):  # takes the tickets, which come first
            self._client.tls.read()
        ends = self._client.tls, self._server
        for (speaker, hearer), said in ((ends, client), (ends[::-1], server)):
            speaker.write(said)
            self._carry()
            left = len(said)
            while left > 0:  # it may come in several records
                left -= len(hearer.read(left))

    def _carry(self) -> None:
        sent, answered = self._client.out(), self._to_client.read()
        self._to_server.write(sent)
        if answered:
            self._client.hear(answered)
        self.wire["client"] += sent
        self.wire["server"] += answered


def server_context(issued: Issued, *, careless: bool = False, old: bool = False) -> ssl.SSLContext:
    """Return the settings of a server that presents this certificate and its intermediates.

    A careless one serves what current clients refuse, an old one speaks TLS 1.1 at the most.
    ValueError without its private key. OpenSSL loads keys from files only: the key lies there
    encrypted, with a password of its own, for the moment of loading.
    """
    if issued.key is None:
        raise ValueError("A server can't run without its private key, which is not here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if careless or old:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # short keys, SHA-1, and TLS before 1.2
    if old:
        with catch_warnings():
            simplefilter("ignore", DeprecationWarning)  # Python warns of TLS 1.1, rightly
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    sent = [c for c in issued.chain if c is issued.certificate or c.subject != c.issuer]
    password = secrets.token_hex()
    encryption = Encryption(password.encode())
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "server.pem")
        file.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in sent) + key)
        context.load_cert_chain(file, password=password)
    return context


def own_client_context(roots: Roots) -> ssl.SSLContext:
    """Return the settings of a client that trusts these roots and nothing else, to be changed.

    The flags are set by hand, since Python's defaults changed with 3.13; names count only in the
    subjectAltName, as for browsers and phones.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Debian's Python would go lower
    context.set_ciphers(_OFFERED)
    context._msg_callback = _listen  # type: ignore[attr-defined]
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
    context.hostname_checks_common_name = False
    if trusted := b"".join(one.public_bytes(Encoding.DER) for one in roots):
        context.load_verify_locations(cadata=trusted)
    return context


# The same for a tuple of roots, shared: it costs more than a handshake, and a site has few of them.
client_context = lru_cache(maxsize=64)(own_client_context)


@lru_cache(maxsize=2)
def reading_context(legacy: bool) -> ssl.SSLContext:
    """Return the settings of a client that judges nothing, to read what a server presents.

    `legacy` goes back to TLS 1.0, short keys and old ciphers, as far as this OpenSSL does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context._msg_callback = _listen  # type: ignore[attr-defined]
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_OFFERED)
    if legacy:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.options |= _OP_LEGACY_SERVER_CONNECT
    return context


def _presented(client: ssl.SSLObject) -> tuple[x509.Certificate, ...]:
    """The certificates as the server sent them; Python offers this publicly from 3.13 on."""
    if sys.version_info >= (3, 13):
        chain = client.get_unverified_chain()
    else:
        found = client._sslobj.get_unverified_chain() or ()  # type: ignore[union-attr]
        chain = [certificate.public_bytes(2) for certificate in found]  # 2: ENCODING_DER
    found = tuple(map(foreign.certificate, chain))
    if None in found:
        raise ValueError("it is no DER that is known here")
    return cast("tuple[x509.Certificate, ...]", found)
