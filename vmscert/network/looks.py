"""One look at a server or a file: what it shows, all that is wrong with it, and the verdict."""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.diagnosis import Diagnosis, diagnose, ends_soon
from vmscert.certificates.reading import Reading
from vmscert.findings import SEVERITIES, Finding, worst_first
from vmscert.names import check_port, parse_host, parse_name, spelled
from vmscert.network.calls import called, looked_up
from vmscert.network.targets import NOWHERE, Target
from vmscert.network.tls import Handshake, Roots, client_context, reading_context

Lists = Iterable[x509.CertificateRevocationList]

TIMEOUT = 5.0  # seconds for the whole look at one endpoint; a recorder under load answers within
AT_ONCE = 800  # endpoints of a survey; more are quicker where many never answer, but take memory
_SOUND = re.compile("ECDHE.*(GCM|CHACHA20|CCM)")  # what all current clients prefer in TLS 1.2
_AT_ONE_NAME = 64  # addresses of one name that are called together
_NOBODY_KNOWS = {"untrusted-root", "missing-intermediate", "not-judged"}  # how a strange chain ends


def connect(
    address: str, port: int, roots: Roots | None, name: str = "", timeout: float = TIMEOUT
) -> Handshake:
    """Connect to `address`:`port`, ask for `name`, and tell how it ended; never raises for that.

    The chain is there even when the client refuses it, or when the server is too old to talk to.
    `name` is the address if empty; `timeout` is in seconds, for all of it. Without any root OpenSSL
    refuses, with None it only reads. ValueError for a port or a name that can't exist.
    """
    where = (parse_host(address), check_port(port))
    name = name or where[0]
    parse_name(name)
    client = reading_context(False) if roots is None else client_context(tuple(roots))
    resolvers = ThreadPoolExecutor(1)

    async def call() -> Handshake:
        room = asyncio.Semaphore(_AT_ONE_NAME)
        return await called(where, name, client, timeout, partial(looked_up, resolvers), room)

    try:
        with ThreadPoolExecutor(1) as thread:  # in a notebook a loop runs here already
            return thread.submit(lambda: asyncio.run(call())).result()
    finally:
        resolvers.shutdown(wait=False)  # a dead name server is left to itself


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
        """The word "verified", or the code of what is worst."""
        accepted = VERIFIED if self.findings or self.presented else "not-judged"
        return next((one.code for one in self._against), accepted)

    @property
    def detail(self) -> str:
        """The evidence for all that is bad or not judged, or what OpenSSL says."""
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
        told += f" at {seen.address}" if seen.address else ""
        hint = f". {seen.hint}" if seen.hint else ""
        return f"{told}: {seen.version or 'no TLS'}{hint}" if target != NOWHERE else told

    @property
    def whole(self) -> Diagnosis | None:
        """The diagnosis with all that the look found besides, and the verdict of all."""
        if self.diagnosis:
            return replace(self.diagnosis, trusted=self.trusted, findings=self.findings)
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it ready for JSON."""
        seen = self.handshake
        told: dict[str, Any] = {"about": self.about, "trusted": self.trusted}
        told |= {"verdict": self.verdict, "tls": seen.version}
        told |= {key: getattr(seen, key) for key in ("cipher", "problem", "hint", "seconds")}
        told["asks_for_a_certificate_of"] = seen.asked
        told["addresses"] = [one.address for one in (seen, *seen.others) if one.address]
        told["presented"] = [thumbprint(one) for one in seen.chain]
        told["path"] = self.diagnosis.as_dict()["path"] if self.diagnosis else []
        return told | {"findings": [finding.as_dict() for finding in self.findings]}

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
    diagnosed: Diagnosis | None = None,
) -> Look:
    """Say all that is wrong with what was shown; `expected` are thumbprints, one of them right.

    `reasons` stand in place of a diagnosis, where more of the client is known than its roots.
    One that was made of the same certificates before, `diagnosed`, is not made again.
    """
    if seen.others and reasons is None:
        each = [replace(seen, others=()), *seen.others]
        reached = [one for one in each if one.rule != "not-reachable"] or each[:1]
        told = partial(judged, target=target, expected=expected, crls=crls)
        look = min((told(one, roots, at) for one in reached), key=_worst)
        others = tuple(one for one in each if one is not look.handshake)
        found = worst_first([*look.findings, *_differing(seen)])
        return replace(look, handshake=replace(look.handshake, others=others), findings=found)
    found, diagnosis = list(reasons or ()), None
    if seen.rule:
        found.append(Finding(seen.rule, seen.name, seen.error, "bad"))
    elif seen.asked is not None:
        of = f"; it takes those of {', '.join(seen.asked)}" if seen.asked else ""
        text = f"the server asks for a client certificate, but goes on without one{of}"
        found.append(Finding("client-certificate", seen.name, text, "dubious"))
    if seen.ok and seen.version == "TLSv1.2" and not _SOUND.match(seen.cipher):
        text = f"the server chose {seen.cipher} in TLS 1.2, which clients still take"
        found.append(Finding("weak-cipher", seen.name, text, "dubious"))
    if reasons is None and (seen.chain or not seen.rule):
        diagnosis = diagnosed or diagnose(seen.chain, seen.name, roots, at, crls=crls)
        found += diagnosis.findings
    # OpenSSL is one voice of several: what it refuses alone is as bad as the clients that do so.
    if seen.verify_code and not any(one.refused_by or one.severity == "bad" for one in found):
        found.append(Finding("profile", "leaf", seen.error, "bad"))
    # What no client minds: another certificate than planned, and an end that is near.
    for leaf in seen.chain[:1] if target != NOWHERE else ():
        host = target.computer
        if expected and thumbprint(leaf) not in expected:
            issued = " or ".join(sorted(expected))
            text = f"{host} presents {thumbprint(leaf)}, issued to it was {issued}"
            found = [_signed_again(one) for one in found]
            found.append(Finding("wrong-certificate-served", host, text))
        if validity := Reading(leaf).validity:
            found += ends_soon(host, validity[1], at)
    found += _differing(seen)
    return Look(seen, diagnosis, worst_first(found), target)


def _worst(look: Look) -> int:
    return min((SEVERITIES.index(one.severity) for one in look.findings), default=len(SEVERITIES))


def _signed_again(finding: Finding) -> Finding:
    """A chain of a CA that nobody named, where the site's own had issued, may be a device's."""
    if finding.code not in _NOBODY_KNOWS or finding.where not in ("root", "intermediate"):
        return finding
    text = f"{finding.detail}; the site's CA has issued for this computer, but did not issue this"
    return Finding("signed-again", finding.where, text)


def _differing(seen: Handshake) -> Iterator[Finding]:
    """Tell if the addresses of one name give different answers."""
    each = sorted((seen, *seen.others), key=lambda one: one.address)
    answers = {one.address: _answer(one) for one in each}
    if len(set(answers.values())) > 1:
        text = "; ".join(f"{address}: {answer}" for address, answer in answers.items())
        yield Finding("addresses-differ", seen.name, f"{seen.name} leads to {text}")


def _answer(seen: Handshake) -> str:
    certificate = f"certificate {thumbprint(seen.chain[0])}" if seen.chain else ""
    return ", ".join(filter(None, [seen.problem, certificate])) or "no certificate"
