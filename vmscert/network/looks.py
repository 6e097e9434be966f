"""One look at a server or a file: what it shows, all that is wrong with it, and the verdict."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.diagnosis import Diagnosis, diagnose, ends_soon
from vmscert.certificates.reading import Reading
from vmscert.findings import Finding
from vmscert.names import spelled
from vmscert.network.reach import TIMEOUT, connect
from vmscert.network.targets import NOWHERE, Target
from vmscert.network.tls import Handshake

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
        """The word "verified", or the code of what is worst.

        Where OpenSSL is stricter than most clients, that is said and not hidden.
        """
        accepted = "profile" if self.handshake.verify_code else VERIFIED
        return next((one.code for one in self._bad), accepted)

    @property
    def detail(self) -> str:
        """The evidence for all that is bad, or what OpenSSL says where it stands alone."""
        return "; ".join(one.detail for one in self._bad) or self.handshake.error

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
    def _bad(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "bad"]


def look_at(
    target: Target,
    roots: Iterable[x509.Certificate],
    at: datetime,
    *,
    timeout: float = TIMEOUT,
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> Look:
    """Call one server and judge what it shows, as a client that trusts `roots`."""
    roots = tuple(roots)
    seen = connect(target.address, target.port, roots, target.name, timeout)
    return judged(seen, roots, at, target=target, crls=crls)


def judged(
    seen: Handshake,
    roots: Iterable[x509.Certificate],
    at: datetime,
    *,
    target: Target = NOWHERE,
    expected: Collection[str] = (),
    crls: Iterable[x509.CertificateRevocationList] = (),
    reasons: Iterable[Finding] | None = None,
) -> Look:
    """Say all that is wrong with what was shown: the handshake, the certificates, what is near.

    `expected` are thumbprints of which one should be served; `reasons` stand in place of a
    diagnosis, where more of the client is known than its roots.
    """
    found, diagnosis = list(reasons or ()), None
    found += [Finding(seen.rule, seen.name, seen.error)] if seen.rule else []
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
    found.sort(key=lambda finding: finding.severity != "bad")
    return Look(seen, diagnosis, tuple(found), target)
