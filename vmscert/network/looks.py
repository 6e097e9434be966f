"""One look at a server or a file: what it shows, all that is wrong with it, and the verdict."""

import socket
import ssl
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.diagnosis import Diagnosis, diagnose, ends_soon
from vmscert.certificates.reading import Reading
from vmscert.findings import Finding, worst_first
from vmscert.names import check_port, parse_host, parse_name, spelled
from vmscert.network.targets import NOWHERE, Target
from vmscert.network.tls import Exchange, Handshake, Roots, client_context, reading_context

Lists = Iterable[x509.CertificateRevocationList]

TIMEOUT = 5.0  # seconds for each step; a recorder under load answers within one
AT_ONCE = 800  # endpoints of a survey; more are quicker where many never answer, but take memory
_PATIENCE = 0.3  # seconds to wait for a server that refuses after the handshake, as TLS 1.3 does
# What an old server may answer to a client that offers TLS 1.2 and 1.3 only.
MAYBE_OLD = ("too-old", "alert", "closed")
_NAME_FAULTS = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_BY_NAME = "Which certificate comes depends on the name asked for: without one, it is another"


def connect(
    address: str, port: int, roots: Roots | None, name: str = "", timeout: float = TIMEOUT
) -> Handshake:
    """Connect to `address`:`port`, ask for `name`, and tell how it ended; never raises for that.

    The chain is there even when the client refuses it, or when the server is too old to talk to.
    `name` is the address if empty; `timeout` is in seconds. Without any root OpenSSL refuses, with
    None it only reads. ValueError for a port or a name that
    can't exist.
    """
    where = (parse_host(address), check_port(port))
    name = name or where[0]
    reading = reading_context(legacy=False)
    client = reading if roots is None else client_context(tuple(roots))
    seen = _shake(where, client, name, timeout)
    if seen.problem in MAYBE_OLD:
        old = _shake(where, reading_context(legacy=True), name, timeout)
        return with_old_tls(seen, old, where)
    if seen.verify_code:  # OpenSSL stops before protocol and cipher are settled
        bare = _shake(where, reading, name, timeout)
        seen = replace(seen, version=bare.version, cipher=bare.cipher)
    if seen.problem == "name-unknown" or seen.verify_code in _NAME_FAULTS:
        bare = _shake(where, reading, "", timeout)  # without a name (SNI, RFC 6066)
        if bare.chain and bare.chain[:1] != seen.chain[:1]:
            seen = replace(seen, hint=_BY_NAME, chain=seen.chain or bare.chain)
    return seen


def not_connected(name: str, error: Exception) -> Handshake:
    """Return the handshake that never began, with what the network said in `error`."""
    word = "timeout" if isinstance(error, TimeoutError) else "unreachable"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        word = "dns"
    elif isinstance(error, ConnectionRefusedError):
        word = "refused"
    return Handshake(name, False).stopped(word, getattr(error, "strerror", None) or str(error))


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
    return seen.told(where, timeout, monotonic() - begun)


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
        with suppress(TimeoutError, ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            exchange.hear(plain.recv(1 << 16))
            exchange.tls.read(1)


def with_old_tls(seen: Handshake, old: Handshake, where: tuple[str, int]) -> Handshake:
    """Say what an older client would have been served, if that came further."""
    if not old.chain:
        return seen
    stopped = seen.stopped("too-old", f"{old.version}, {old.cipher}")
    seen = stopped.told(where, TIMEOUT, seen.seconds)
    return replace(seen, chain=old.chain, version=old.version, cipher=old.cipher)


VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Look:
    """What a client that trusts some roots makes of what it was shown; `findings`, worst first.

    `handshake.ok` says only that hands were shaken, not trust. Of a file, whose certificates are
    judged as if a server had sent them, `target` is NOWHERE and `place` tells what it is.
    `diagnosis` is None where no certificate was seen.
    """

    handshake: Handshake
    diagnosis: Diagnosis | None = None
    findings: tuple[Finding, ...] = ()
    target: Target = NOWHERE
    place: str = ""

    @property
    def presented(self) -> tuple[x509.Certificate, ...]:
        """The certificates that were shown, leaf first."""
        return self.handshake.chain

    @property
    def verdict(self) -> str:
        """The word "verified", or the code of what is worst; "profile" if only OpenSSL refuses."""
        accepted = "profile" if self.handshake.verify_code else VERIFIED
        return next((one.code for one in self._against), accepted)

    @property
    def detail(self) -> str:
        """The evidence for all that is bad or not judged, or what OpenSSL says by itself."""
        return "; ".join(one.detail for one in self._against) or self.handshake.error

    @property
    def trusted(self) -> bool:
        """Whether a client that trusts the roots would go on."""
        return self.verdict == VERIFIED

    @property
    def codes(self) -> set[str]:
        """The codes of all that is wrong."""
        return {finding.code for finding in self.findings}

    @property
    def about(self) -> str:
        """What was looked at, in words."""
        seen, target = self.handshake, self.target
        asked = f", asked for {seen.name}" if seen.name else ""
        told = f"{self.place or spelled((target.address, target.port))}{asked}"
        hint = f". {seen.hint}" if seen.hint else ""
        return f"{told}: {seen.version or 'no TLS'}{hint}" if target != NOWHERE else told

    @property
    def _against(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity != "dubious"]


def look_at(
    target: Target, roots: Roots | None, at: datetime, *, timeout: float = TIMEOUT, crls: Lists = ()
) -> Look:
    """Call one server and judge what it shows, as a client that trusts `roots`.

    None says that nobody named any: whom clients trust is not judged, all else is.
    """
    roots = roots if roots is None else tuple(roots)
    seen = connect(target.address, target.port, roots, target.name, timeout)
    return judged(seen, roots, at, target=target, crls=crls)


def judged(
    seen: Handshake,
    roots: Roots | None,
    at: datetime,
    *,
    target: Target = NOWHERE,
    expected: Collection[str] = (),
    crls: Lists = (),
    reasons: Iterable[Finding] | None = None,
) -> Look:
    """Say all that is wrong with what was shown; `expected` are thumbprints, one of them right.

    `reasons` stand in place of a diagnosis, where more of the client is known than its roots.
    """
    found, diagnosis = list(reasons or ()), None
    if seen.rule:
        found.append(Finding(seen.rule, seen.name, seen.error))
    if reasons is None and (seen.chain or not seen.rule):
        diagnosis = diagnose(seen.chain, seen.name, roots, at, crls=crls)
        found += diagnosis.findings
    if seen.verify_code and not found:
        found.append(Finding("profile", "leaf", seen.error, "bad"))
    # What no client minds: another certificate than planned, and an end that is near.
    for leaf in seen.chain[:1] if target != NOWHERE else ():
        host = target.computer
        if expected and thumbprint(leaf) not in expected:
            issued = " or ".join(sorted(expected))
            text = f"{host} presents {thumbprint(leaf)}, issued to it was {issued}"
            found.append(Finding("wrong-certificate-served", host, text))
        if validity := Reading(leaf).validity:
            found += ends_soon(host, validity[1], at)
    return Look(seen, diagnosis, worst_first(found), target)
