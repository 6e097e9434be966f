"""Would this client trust this server, and if not, why: every reason, not only the first.

RFC 5280 section 6 for TLS servers, with the verdicts of real clients where they differ from it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from vmscert.certificates.paths import Path, Question
from vmscert.certificates.profile import (
    departures,
    policies,
    strength,
    unreachable_lists,
    unusual_key,
)
from vmscert.certificates.reading import (
    Reading,
    allowing,
    called,
    folded,
    moments,
    quotable,
    spelled_out,
)
from vmscert.certificates.revocation import RevocationList, revocations
from vmscert.findings import Finding, clients, finding_of, is_measured, worst_first
from vmscert.names import parse_name

WARNING = 30  # days before the end of a certificate: a renewal is to be carried out
_MOST_PATHS = 16  # judged in full
# What people call a CA that is no root.
_BELOW_A_ROOT = (
    "intermediate", "issuing", "subordinate", "signing", "sub ca", "sub-ca", "subca", "policy ca",
    "server ca", "tls ca", "ssl ca", "level 1", "level 2",
)  # fmt: skip
_LONGEST = 10  # certificates; cryptography's verifier follows eight CAs between leaf and root
_HOUSE = (NameOID.ORGANIZATION_NAME, NameOID.DOMAIN_COMPONENT)
_ODD = "odd extension that clients can do without"
_MAILBOX = re.compile(r"[\w.+-]+@[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Diagnosis:
    """The answer: trusted or not, the best path from leaf to root, all findings, worst first."""

    trusted: bool
    path: tuple[x509.Certificate, ...]
    findings: tuple[Finding, ...]

    @property
    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {finding.code for finding in self.findings}

    def as_dict(self) -> dict[str, Any]:
        """Return the diagnosis ready for JSON; certificates as label and SHA-256."""
        told = ((Reading(one).label, one.fingerprint(SHA256()).hex()) for one in self.path)
        path = [{"label": label, "sha256": sha256} for label, sha256 in told]
        findings = [finding.as_dict() for finding in self.findings]
        return {"trusted": self.trusted, "path": path, "findings": findings}


def diagnose(
    presented: Iterable[x509.Certificate],
    name: str,
    roots: Iterable[x509.Certificate] | None,
    at: datetime,
    *,
    intermediates: Iterable[x509.Certificate] = (),
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> Diagnosis:
    """Judge what a server presented to a client that trusts `roots` and asks for `name`.

    Without any the client trusts nobody; None says that nobody told, so trust is not judged. The
    client holds `intermediates` and `crls`, revocation lists, besides. Never raises for what a
    certificate or a list holds; ValueError for an `at` without time zone.
    """
    question = Question(name, at, presented, roots, intermediates, map(RevocationList, crls))
    if not question.presented:
        text = "the server did not present a certificate"
        return Diagnosis(False, (), (Finding("no-certificate", "leaf", text),))
    paths = list(question.paths())  # those that end nowhere only if no other is there
    paths = [path for path in paths if path.anchored] or paths
    judged = []
    for path in paths[:_MOST_PATHS]:
        found = dict.fromkeys(finding for rule in _PATH_RULES for finding in rule(path))
        bad = sum(finding.severity == "bad" for finding in found)
        length = len(path.steps) if path.anchored else -len(path.steps)
        judged.append(((bad, len(found), length), path, found))
    (bad, *_), path, found = min(judged, key=lambda one: one[0])
    findings = worst_first(found)
    certificates = tuple(one.certificate for one in path.steps)
    return Diagnosis(path.anchored and not bad, certificates, findings)


def ends_soon(host: str, end: datetime, at: datetime) -> Iterator[Finding]:
    """Tell if the certificate on a computer ends within the time that a renewal needs."""
    if timedelta(0) <= end - at <= timedelta(days=WARNING):
        text = f"the certificate on {host} ends on {end:%Y-%m-%d}, in {(end - at).days} days"
        yield Finding("expires-soon", host, text)


# The rules, the main causes first. Each takes a path and yields what breaks it.


def _malformed(path: Path) -> Iterator[Finding]:
    for one in dict.fromkeys((*path.steps, *path.question.presented)):
        for part, trouble in one.trouble.items():
            text = f"can't be read in full, its {part} is odd: {trouble.why}"
            case = "" if trouble.needed else _ODD
            yield path.fault("malformed", one, text, case)
        for part, what in one.odd.items():
            text = f"has an odd {part}, which most clients read all the same: {what}"
            case = next((each for each in what.split(", ") if is_measured(each)), _ODD)
            yield path.fault("profile", one, text, case)


def _ending(path: Path) -> Iterator[Finding]:
    """The one reason why the way up ends where it does."""
    top, wanted = path.top, path.top.issuer_label
    named, anchors = path.question.named(top.issuer), path.question.anchors
    namesakes = [one for one in named if one in anchors and one is not top]
    if path.anchored:
        if not top.self_signed:
            text = "is trusted, but is no root: clients that look for its own issuer refuse"
            yield path.fault("untrusted-root", top, text, "trusted CA that is no root")
    elif top.issuer is None:
        return
    elif top is path.leaf and top.self_signed:
        text = "is signed with its own key; no CA stands behind it"
        yield path.fault("self-signed", top, text, "self-signed")
    elif path.question.nobody_told:
        issued = "" if top.self_signed else f", which issued {top.label}"
        detail = f"whether clients trust {wanted}{issued}, is not known: no root was named"
        yield Finding("not-judged", "root", detail)
    elif namesakes:
        held = ", ".join(one.key_id.hex().upper() for one in namesakes[:3])
        used = (top.issuer_key_id or (top.key_id if top.self_signed else b"")).hex().upper()
        detail = f"{top.label} was signed by {wanted} with the key {used or '(not named)'}, "
        detail += f"but the client trusts one of that name with the key {held}"
        case = "root of the same name with another key"
        yield finding_of("root-recreated", "root", detail, case)
    elif not top.self_signed and not path.question.issuers(top) and _stands_below_a_root(path):
        case = "issuing CA's older certificate, of another key" if named else "issuing CA not sent"
        yield finding_of("missing-intermediate", "intermediate", _nobody_has(top, named), case)
    else:
        detail = _nobody_has(top, named)
        if top.self_signed:
            detail = f"the client does not trust the root {top.label}"
        elif path.question.issuers(top):
            detail = f"{top.label} was issued by {wanted}, which is in this chain already: a circle"
        yield finding_of("untrusted-root", "root", detail, "untrusted root")


def _nobody_has(top: Reading, named: Sequence[Reading]) -> str:
    """Say that the way up ends at a certificate whose issuer nobody holds, and what decides why."""
    text = f"{top.label} was issued by {top.issuer_label}, and neither did the server send that "
    text += "CA's certificate, nor does the client hold it"
    others = [one for one in named if one is not top]
    if others:
        held = ", ".join(one.key_id.hex().upper() for one in others[:3])
        used = top.issuer_key_id.hex().upper() or "another one"
        text = f"{top.label} was issued by {top.issuer_label} with the key {used}, but the "
        text += f"certificate of that name that is there has the key {held}"
    return f"{text}. If that CA is its own issuer, clients must trust it, else the server sends it"


def _stands_below_a_root(path: Path) -> bool:
    """Guess whether an issuer that nobody holds is an intermediate: its name or its kin say so."""
    question, top = path.question, path.top
    name = top.issuer_label.casefold()
    trusted = question.trusted
    if not trusted.named or "root" in name:
        return False
    access = top.get(x509.AuthorityInformationAccess) or ()
    # The certificate itself may say that its issuer's issuer is a trusted root.
    written = top.get(x509.AuthorityKeyIdentifier)
    above = (written and written.authority_cert_issuer) or ()
    named = {folded(name.value) for name in above if isinstance(name, x509.DirectoryName)}
    # A trusted root may belong to the same organisation or domain.
    mine = {part for rdn in top.issuer or () for part in rdn if part[0] in _HOUSE}
    return (
        any(word in name for word in _BELOW_A_ROOT)
        or any(not one.self_signed for one in question.named(top.issuer))
        or any(a.access_method == AuthorityInformationAccessOID.CA_ISSUERS for a in access)
        or not named.isdisjoint(trusted.named)
        or not mine.isdisjoint(trusted.parts)
    )


def _signatures(path: Path) -> Iterator[Finding]:
    for child, issuer in pairwise(path.steps):
        fits = path.question.fits(child, issuer)
        if fits is None and issuer.key:
            oid = child.certificate.signature_algorithm_oid.dotted_string
            text = f"has a signature that clients can't check, of algorithm {oid}"
            yield path.fault("weak-signature", child, text)
        elif fits is False:
            text = f"does not carry the signature of {issuer.label}, which it names as its issuer"
            yield path.fault("bad-signature", child, text, "signature that does not fit")
    for one in path.steps:
        # A root is trusted for itself: nobody checks the signature on it.
        if one.forgeable and one not in path.question.anchors and not one.self_signed:
            name = one.signature_hash.name
            case = "SHA-1 signature" if name == "sha1" else "MD5 signature"
            yield path.fault("weak-signature", one, f"is signed with {name.upper()}", case)


def _validity(path: Path) -> Iterator[Finding]:
    at = path.question.at
    for one in path.steps:
        start, end = one.validity or (at, at)
        if at < start:
            text = "is valid from {}, which is after {}".format(*moments(start, at))
            case = "not yet valid" + " for more than a day" * (start - at > timedelta(days=1))
            yield path.fault("not-yet-valid", one, text, case)
        if at > end:
            case = "expired" if one is path.leaf else "root expired" if one is path.top else ""
            text = "ended on {}, before {}".format(*moments(end, at))
            yield path.fault("expired", one, text, case)


def _naming(path: Path) -> Iterator[Finding]:
    """RFC 9525; a common name counts only where there is nothing else, and not for everybody."""
    leaf, name = path.leaf, path.question.name
    if not leaf.names and not leaf.readable:
        return
    try:
        asked = parse_name(name)
    except ValueError as error:
        text = f"no certificate can be for {name[:64]!r}: {error}"
        yield Finding("name-mismatch", "leaf", text)
        return
    if isinstance(asked, str):
        # A wildcard stands for exactly the left-most label; OpenSSL refuses one above a single
        # label, such as *.local.
        parent = asked.partition(".")[2]
        fitting = {asked, f"*.{parent}"} if "." in parent else {asked}
        if not fitting.isdisjoint(leaf.names):
            return
        if not leaf.names and not fitting.isdisjoint(map(str.lower, leaf.common_names)):
            who = " and ".join(clients("CN only", "refuses"))
            text = f"has {quotable(name)} only as common name, where {who} do not look"
            yield path.fault("no-san", leaf, text, "CN only")
            return
    elif x509.IPAddress(asked) in leaf.general_names:
        return
    yield _mismatch(path, asked)


def _mismatch(path: Path, asked: Any) -> Finding:
    offered, case = path.leaf.names, "wrong host or IP address"
    listed = ", ".join(map(quotable, offered[:5])) or "no name"
    more = f" and {len(offered) - 5} more" if len(offered) > 5 else ""
    text = f"was issued to {listed}{more}, but clients ask for {quotable(path.question.name)}"
    if str(asked) in offered:
        text += "; the address stands there as a DNS name, where most clients do not look"
        case = "IP address only as dNSName"
    elif any(one.partition(".")[0] == asked for one in offered if not one.endswith(".")):
        text += "; it has only the full name, not the short one"
    return path.fault("name-mismatch", path.leaf, text, case)


def _purpose(path: Path) -> Iterator[Finding]:
    for one in path.steps:
        purposes, place = one.get(x509.ExtendedKeyUsage), "" if one is path.leaf else " in a CA"
        if not one.serves:
            text = f"is for {', '.join(map(called, purposes))}, not for serverAuth"
            yield path.fault("wrong-eku", one, text, f"wrong EKU{place}")
        elif purposes is not None and ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
            text = "is for any use, but not for serverAuth by name"
            yield path.fault("wrong-eku", one, text, f"EKU any{place}")
    usage = path.leaf.get(x509.KeyUsage)
    if usage is None or usage.digital_signature:
        return
    if usage.key_encipherment or usage.key_agreement:
        text = "has a key usage without digitalSignature, which TLS 1.3 asks for"
        yield path.fault("wrong-eku", path.leaf, text, severity="dubious")
    else:
        case = "leaf keyUsage only keyCertSign" if usage.key_cert_sign else ""
        text = "has a key usage that does not allow TLS"
        yield path.fault("wrong-eku", path.leaf, text, case)


def _what(path: Path, issuer: Reading) -> str:
    """How the cases that were measured call an issuer."""
    return "root" if issuer in path.question.anchors else "issuing CA"


def _authority(path: Path) -> Iterator[Finding]:
    for child, issuer in pairwise(path.steps):
        if not issuer.get(x509.BasicConstraints) and not issuer.readable:
            continue
        old_root = issuer in path.question.anchors and issuer.get(x509.BasicConstraints) is None
        if not issuer.is_ca:
            case = f"{_what(path, issuer)} that says it is no CA"
            case = "root without basicConstraints" if old_root else case
            text = f"issued {child.label}, but does not say that it is a CA"
            yield path.fault("issuer-not-ca", issuer, text, case)
        if (issuer.is_ca or old_root) and not issuer.signs:
            text = f"issued {child.label}, but its key usage has no keyCertSign"
            case = f"{_what(path, issuer)} without keyCertSign"
            yield path.fault("issuer-key-usage", issuer, text, case)


def _lengths(path: Path) -> Iterator[Finding]:
    below = 0
    for issuer in path.steps[1:]:
        limit = getattr(issuer.get(x509.BasicConstraints), "path_length", None)
        if limit is not None and below > limit:
            text = f"allows {limit} CAs below it, and there are {below}"
            case = _what(path, issuer)
            case = f"more CAs than {'the root' if case == 'root' else 'an issuing CA'} allows"
            yield path.fault("path-length", issuer, text, case)
        below += issuer.subject != issuer.issuer
    if len(path.steps) > _LONGEST:
        text = f"stands {len(path.steps) - 1} certificates below the root"
        yield path.fault("chain-too-long", path.leaf, text, "nine issuing CAs")


def _constraints(path: Path) -> Iterator[Finding]:
    for place, issuer in enumerate(path.steps):
        if not place or not (constraints := issuer.get(x509.NameConstraints)):
            continue
        allows = allowing(constraints)
        for one in path.steps[:place]:
            if one is not path.leaf and one.subject == one.issuer:
                continue  # a CA that renews itself is exempt, RFC 5280 section 6.1.3 (b)
            if outside := [n for n in _constrained(one, one is path.leaf) if not allows(n)]:
                told = ", ".join(quotable(spelled_out(name)) for name in outside[:3])
                case = "name outside the root's nameConstraints" if issuer is path.top else ""
                text = f"may not issue for {told}, as in {one.label}"
                yield path.fault("name-constraint", issuer, text, case)


def _constrained(one: Reading, is_leaf: bool) -> Iterator[x509.GeneralName]:
    """Every name of a certificate that a constraint may forbid; RFC 5280 section 4.2.1.10."""
    alternatives = list(one.get(x509.SubjectAlternativeName) or ())
    yield from alternatives
    if not any(isinstance(name, x509.RFC822Name) for name in alternatives):
        mail = one.named(NameOID.EMAIL_ADDRESS)  # where old certificates carry mail addresses
        yield from map(x509.RFC822Name, filter(_MAILBOX.fullmatch, mail))
    if one.subject:
        yield x509.DirectoryName(one.certificate.subject)
    if is_leaf and not one.names:
        yield from (x509.DNSName(name) for name in one.common_names if name.isascii())


def _criticals(path: Path) -> Iterator[Finding]:
    for one in path.steps:
        for name in one.unknown:
            text = f"has the critical extension {name}, which clients do not know"
            yield path.fault("unknown-critical-extension", one, text, "unknown critical extension")


def _misplaced(path: Path) -> Iterator[Finding]:
    sent = path.question.presented
    places = [sent.index(one) for one in path.steps if one in sent]
    if places[0]:
        text = f"is the server's own certificate, but was sent as number {places[0] + 1}"
        yield path.fault("chain-order", path.leaf, text, severity="bad")
    elif places != sorted(places):
        order = ", ".join(str(place + 1) for place in places)
        text = f"is followed by its issuers out of order: they came as {order}"
        yield path.fault("chain-order", path.leaf, text, "issuing CAs out of order")
    if path.leaf.is_ca:
        text = "is a CA certificate, used as a server's own"
        yield path.fault("leaf-is-ca", path.leaf, text, "leaf that is a CA")


_PATH_RULES = (
    _malformed, _ending, _signatures, revocations, _validity, _naming, _purpose, _authority,
    _lengths, _constraints, strength, unusual_key, _criticals, policies, _misplaced, departures,
    unreachable_lists,
)  # fmt: skip
