"""What departs from RFC 5280 or from what current TLS uses: clients differ about it.

Each rule takes a path and yields what breaks it; data/clients.csv decides how much it counts.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import PublicKeyAlgorithmOID

from vmscert.certificates.paths import Path, points_at
from vmscert.certificates.reading import Reading, quotable
from vmscert.certificates.words import described
from vmscert.findings import Finding, clients, is_measured

_EDWARDS = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
_ANY_POLICY = "2.5.29.32.0"
_POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.33")
_REMOTE = ("http", "https", "ldap", "ldaps")
_HERE = re.compile(r"localhost|.*\.invalid|127\.[0-9.]+|::1|0\.0\.0\.0", re.IGNORECASE)
_NEVER = 1 << 16  # certificates until a policy must be there


def strength(path: Path) -> Iterator[Finding]:
    """Keys too weak for current TLS."""
    for one in path.steps:
        key, text, case, severity = one.key, "", "", "bad"
        if isinstance(key, rsa.RSAPublicKey):
            exponent = key.public_numbers().e
            if exponent < 3 or exponent % 2 == 0:
                text = f"has an RSA key with the exponent {exponent}, which protects nothing"
                case = "RSA exponent 1" if exponent == 1 else ""
            elif key.key_size < 2048:
                text = f"has an RSA key of {key.key_size} bits"
                if key.key_size >= 1024:
                    case, severity = "RSA 1024 leaf" if one is path.leaf else "", ""
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if one.explicit_curve:
                text = f"spells out the parameters of {key.curve.name} instead of its name"
                case, severity = "key with explicit EC parameters", ""
            elif key.key_size < 224 and not is_measured(f"{described(key)} key"):
                text, severity = f"has a key on {key.curve.name}, of {key.key_size} bits", ""
        elif key is not None and not isinstance(key, _EDWARDS):
            text = "has a key of a kind that current TLS does not use"
        if text:
            yield path.fault("weak-key", one, text, case, severity)


def unusual_key(path: Path) -> Iterator[Finding]:
    """A sound key of a kind that not every client offers or takes; told of the server's own."""
    one, kind = path.leaf, described(path.leaf.key) if path.leaf.key else ""
    case = "brainpoolP256r1 key" if kind.startswith("brainpool") else f"{kind} key"
    if one.certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        kind, case = "RSA-PSS", "RSA-PSS key"
    if who := clients(case, "refuses"):
        text = f"has a key of the kind {kind}, which {', '.join(who)} do not take"
        yield path.fault("unusual-key", one, text, case)


def policies(path: Path) -> Iterator[Finding]:
    """A policy that a CA asks for is not left: RFC 5280 section 6.1, as far as nothing maps them.

    The trusted certificate itself asks for nothing.
    """
    left: set[str] | None = None  # None: any
    needed = _NEVER
    for one in reversed(path.steps[: -1 if path.anchored else None]):
        if _POLICY_MAPPINGS in one.extensions:
            return  # what is meant by a policy changes on the way
        written = one.get(x509.CertificatePolicies)
        here = {each.policy_identifier.dotted_string for each in written or ()}
        if _ANY_POLICY not in here:
            left = here if left is None else left & here
        limits = one.get(x509.PolicyConstraints)
        asked = getattr(limits, "require_explicit_policy", None)
        if one is path.leaf:
            needed = 0 if asked == 0 else needed - 1
        if left == set() and needed <= 0:
            text = "has no policy that the CAs above it have, and one of them asks for that"
            yield path.fault("profile", one, text, "explicit policy required by a CA")
            return
        if one.subject != one.issuer:
            needed -= 1
        if asked is not None:
            needed = min(needed, asked)


def unreachable_lists(path: Path) -> Iterator[Finding]:
    """Places of revocation lists that lead nowhere."""
    for one in path.steps:
        points = one.get(x509.CRLDistributionPoints) or ()
        places = [name.value for point in points for name in point.full_name or ()]
        if places and not any(map(_leads_somewhere, places)):
            told = ", ".join(quotable(str(place)) for place in places[:2])
            text = f"names only places of a revocation list that clients can't reach: {told}"
            yield path.fault("crl-unusable", one, text, severity="dubious")


def _leads_somewhere(place: object) -> bool:
    """Whether a client may find a list there: HTTP or LDAP at a computer that has a name."""
    try:
        parts = urlsplit(str(place))
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in _REMOTE and bool(host) and not _HERE.fullmatch(host)


def departures(path: Path) -> Iterator[Finding]:
    """What a certificate has that strict clients mind."""
    for one in path.steps:
        for text, case in _of_one(path, one):
            yield path.fault("profile", one, text, case)
    for child, issuer in pairwise(path.steps):
        written = child.get(x509.AuthorityKeyIdentifier)
        serial = written and written.authority_cert_serial_number
        wrong_key = issuer.get(x509.SubjectKeyIdentifier) and points_at(child, issuer) is False
        if wrong_key or serial not in (None, issuer.serial):
            text = f"names another key or certificate of its issuer than {issuer.label} has"
            yield path.fault("profile", child, text, "AKI names another key")
    top = path.top
    own = top.get(x509.AuthorityKeyIdentifier)
    if top.self_signed and own and own.authority_cert_serial_number not in (None, top.serial):
        text = "names another certificate than itself as its issuer, by the serial number"
        yield path.fault("profile", top, text, "root's AKI names another serial")


def _of_one(path: Path, one: Reading) -> Iterator[tuple[str, str]]:
    """Yield what a certificate does otherwise than RFC 5280 says, with the measured case."""
    is_leaf, usage = one is path.leaf, one.get(x509.KeyUsage)
    if not 0 < one.serial < 1 << 160:
        case = "serial number 0" if not one.serial else "negative serial number"
        text = "has a serial number that is not a positive number of up to 20 bytes"
        yield text, case if one.serial <= 0 else ""
    if one.critical & {"authorityKeyIdentifier", "subjectKeyIdentifier"}:
        yield "has a critical key identifier", "critical key identifier"
    if one.certificate.version is not x509.Version.v3 and one.extensions:
        yield "has extensions, though its version is not 3", "version 1 with extensions"
    elif one.certificate.version is not x509.Version.v3 and is_leaf:
        yield "is of version 1, which has no room for names", ""
    if one.subject == () and one.is_ca:
        yield "is a CA without a subject", "CA without a subject"
    elif one.subject == () and one.names and "subjectAltName" not in one.critical:
        yield "has no subject, and its names are not critical", "no subject, SAN not critical"
    if one.is_ca and "basicConstraints" not in one.critical:
        yield "says that it is a CA in an extension that is not critical", "CA not critical"
    if is_leaf and usage and usage.key_cert_sign and usage.digital_signature and not one.is_ca:
        yield "may sign certificates by its key usage, but is no CA", "no CA, but keyCertSign"
    if is_leaf and one.get(x509.NameConstraints):
        yield "has name constraints, which belong into a CA", "name constraints in a leaf"
    if is_leaf and one.get(x509.TLSFeature):
        yield (
            "asks for an OCSP answer from the server, which XProtect's do not give",
            "must-staple without a stapled answer",
        )
    if not one.readable or one.certificate.version is not x509.Version.v3:
        return
    root = one.self_signed or one in path.question.anchors
    if not (root or one.get(x509.AuthorityKeyIdentifier)):
        case = "leaf without AKI" if is_leaf else "intermediate without AKI"
        yield "has no authority key identifier", case
    if one.is_ca and not is_leaf and not one.get(x509.SubjectKeyIdentifier):
        yield "has no subject key identifier", "CA without SKI"
    if one.is_ca and not is_leaf and not usage:
        yield "has no key usage", "root without keyUsage" if one is path.top else ""
