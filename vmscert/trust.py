"""Would a client trust this server, and if not, why? Every reason, not the first.

`diagnose` builds the paths from the server's certificate to the roots that the client trusts
(RFC 5280 section 6) and judges the best one. It asks neither clock nor network, and whatever a
certificate holds, it answers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache, cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from vmscert.facts import facts
from vmscert.names import parse_name

_LONGEST = 10  # certificates in a path; OpenSSL and Windows follow about as many
_MOST_PATHS = 200  # paths looked at before the best so far has to do
_KNOWN_EXTENSIONS = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.POLICY_CONSTRAINTS,
    ExtensionOID.INHIBIT_ANY_POLICY,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
}
# Findings about what the client trusts, not about what the server presents.
OF_THE_CLIENT = frozenset(
    {"untrusted-root", "root-recreated", "missing-intermediate", "self-signed", "not-reachable"}
)
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong; the rows of data/rules.csv."""

    code: str
    about: str  # path | computer
    severity: str  # bad: clients refuse | dubious: some do, or it will hurt later
    meaning: str
    remedy: str  # the notebook that repairs it
    remedy_text: str
    source: str


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule. `where` is leaf, intermediate, root, or a computer."""

    code: str
    where: str
    detail: str
    severity: str = ""

    def __post_init__(self) -> None:
        if not self.severity:
            object.__setattr__(self, "severity", self.rule.severity)

    @property
    def rule(self) -> Rule:
        """The rule that is broken."""
        return rules()[self.code]

    def as_dict(self) -> dict[str, str]:
        """Return the finding with its meaning and remedy, for JSON."""
        return asdict(self) | {"meaning": self.rule.meaning, "remedy": self.rule.remedy}


@dataclass(frozen=True)
class Diagnosis:
    """The answer: `trusted` when nothing bad was found, the best path, and all findings."""

    trusted: bool
    path: tuple[x509.Certificate, ...]
    findings: tuple[Finding, ...]

    @property
    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {finding.code for finding in self.findings}

    def as_dict(self) -> dict[str, Any]:
        """Return the diagnosis for JSON; the path as subjects."""
        return {
            "trusted": self.trusted,
            "path": [_Certificate.of(one).label for one in self.path],
            "findings": [finding.as_dict() for finding in self.findings],
        }


@cache
def rules() -> dict[str, Rule]:
    """Return code → rule, in the order of the table: main causes first."""
    return {row["code"]: Rule(**row) for row in facts("rules")}


def __getattr__(name: str) -> Any:
    if name == "RULES":
        return rules()
    raise AttributeError(name)


@dataclass(frozen=True)
class _Certificate:
    """A certificate whose parts are read once, and whose unreadable parts are remembered."""

    raw: x509.Certificate
    unreadable: list[str] = field(default_factory=list, compare=False, hash=False)

    @staticmethod
    @cache
    def of(raw: x509.Certificate) -> "_Certificate":
        return _Certificate(raw)

    def _read(self, part: str, read: Callable[[], Any], otherwise: Any = None) -> Any:
        try:
            return read()
        except _UNREADABLE as error:
            self.unreadable.append(f"{part}: {error}")
            return otherwise

    @cached_property
    def subject(self) -> x509.Name:
        return self._read("subject", lambda: self.raw.subject, x509.Name([]))

    @cached_property
    def issuer(self) -> x509.Name:
        return self._read("issuer", lambda: self.raw.issuer, x509.Name([]))

    @cached_property
    def dates(self) -> tuple[datetime, datetime] | None:
        raw = self.raw
        return self._read("validity", lambda: (raw.not_valid_before_utc, raw.not_valid_after_utc))

    @cached_property
    def public_key(self) -> Any:
        return self._read("public key", self.raw.public_key)

    @cached_property
    def hash_name(self) -> str:
        found = self._read("signature algorithm", lambda: self.raw.signature_hash_algorithm)
        return found.name if found else ""

    @cached_property
    def extensions(self) -> dict[x509.ObjectIdentifier, x509.Extension]:
        found = self._read("extensions", lambda: list(self.raw.extensions), [])
        return {extension.oid: extension for extension in found}

    def value(self, oid: x509.ObjectIdentifier) -> Any:
        extension = self.extensions.get(oid)
        return extension.value if extension else None

    @cached_property
    def common_name(self) -> str:
        found = self.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(found[-1].value) if found else ""

    @cached_property
    def label(self) -> str:
        return repr(self.common_name or self.subject.rfc4514_string() or "without a name")

    @cached_property
    def key_id(self) -> str:
        found = self.value(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
        return found.digest.hex().upper() if found else ""

    @cached_property
    def issuer_key_id(self) -> str:
        found = self.value(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
        return found.key_identifier.hex().upper() if found and found.key_identifier else ""

    @property
    def self_issued(self) -> bool:
        return self.subject == self.issuer

    @cached_property
    def is_ca(self) -> bool:
        found = self.value(ExtensionOID.BASIC_CONSTRAINTS)
        return bool(found and found.ca)

    def signed_by(self, other: "_Certificate") -> bool:
        return _signed_by(self.raw, other.raw)


@cache
def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and IP addresses of the subjectAltName as text; never raises."""
    return tuple(str(value) for value in _alternative_names(_Certificate.of(certificate)))


def diagnose(
    presented: Sequence[x509.Certificate],
    name: str,
    roots: Iterable[x509.Certificate],
    at: datetime,
    *,
    intermediates: Iterable[x509.Certificate] = (),
) -> Diagnosis:
    """Judge what a server presented, for a client that calls it `name` and trusts `roots`.

    `presented` is as the server sent it, leaf first; `at` an aware datetime. Finds everything and
    raises nothing for what a certificate holds; ValueError for a name that is none.
    """
    if not presented:
        return Diagnosis(False, (), (Finding("malformed", "leaf", "the server sent nothing"),))
    sent = [_Certificate.of(raw) for raw in presented]
    trusted = [_Certificate.of(raw) for raw in roots]
    pool = [*sent[1:], *map(_Certificate.of, intermediates)]
    leaf, wanted = sent[0], parse_name(name)
    judged = [(path, list(_judge_path(path, at, wanted))) for path in _paths(leaf, pool, trusted)]
    path, findings = min(judged, key=_badness_of_path, default=((), []))
    if not path:
        path = _reach(leaf, pool)
        findings = [*_why_no_path(path, pool, trusted), *_judge_path(path, at, wanted)]
    findings += _order(sent, path)
    findings += _name(leaf, name, wanted)
    found = _sorted(findings)
    trusted_now = not any(finding.severity == "bad" for finding in found)
    return Diagnosis(trusted_now, tuple(one.raw for one in path), found)


# Paths


def _paths(
    leaf: _Certificate, pool: Sequence[_Certificate], roots: Sequence[_Certificate]
) -> Iterator[tuple[_Certificate, ...]]:
    """Yield paths whose signatures are right, from the leaf to a trusted root."""
    anchors = {root.raw for root in roots}
    by_subject: dict[x509.Name, list[_Certificate]] = {}
    for one in dict.fromkeys([*roots, *pool]):
        by_subject.setdefault(one.subject, []).append(one)
    budget = _MOST_PATHS
    stack = [(leaf,)]
    while stack and budget:
        budget -= 1
        path = stack.pop()
        top = path[-1]
        if top.raw in anchors:
            yield path
            continue
        if len(path) > _LONGEST:
            continue
        for issuer in reversed(by_subject.get(top.issuer, [])):
            if issuer not in path and top.signed_by(issuer):
                stack.append((*path, issuer))


def _reach(leaf: _Certificate, pool: Sequence[_Certificate]) -> tuple[_Certificate, ...]:
    """Return the longest honest way up from the leaf when no root is reached."""
    path = [leaf]
    while len(path) <= _LONGEST:
        issuers = (one for one in pool if one.subject == path[-1].issuer and one not in path)
        up = next((one for one in issuers if path[-1].signed_by(one)), None)
        if up is None:
            break
        path.append(up)
    return tuple(path)


def _why_no_path(
    path: Sequence[_Certificate], pool: Sequence[_Certificate], roots: Sequence[_Certificate]
) -> Iterator[Finding]:
    """Say the one reason why the way up ends where it does."""
    top = path[-1]
    where = "leaf" if len(path) == 1 else "intermediate"
    namesakes = [one for one in (*roots, *pool) if one.subject == top.issuer and one is not top]
    tampered = [
        one for one in namesakes if not top.issuer_key_id or top.issuer_key_id == one.key_id
    ]
    others = [one for one in namesakes if one in roots and one not in tampered]
    if top.self_issued and top.signed_by(top) and not others:
        if len(path) == 1 and not top.is_ca:
            yield Finding("self-signed", "leaf", f"{top.label} is signed with its own key")
        else:
            yield Finding(
                "untrusted-root", "root", f"the client does not trust the root {top.label}"
            )
    elif others:
        yield Finding(
            "root-recreated",
            "root",
            f"the client trusts a CA named {others[0].label} with the key {others[0].key_id}, but "
            f"{top.label} was signed by one with the key {top.issuer_key_id or top.key_id}",
        )
    elif tampered:
        yield Finding(
            "bad-signature", where, f"{top.label} does not carry a right signature of its issuer"
        )
    elif len(path) == 1 and roots and not _alone(top, roots):
        yield Finding(
            "missing-intermediate",
            "intermediate",
            f"the server did not send the certificate of {_named(top.issuer)}, which signed "
            f"{top.label}",
        )
    else:
        yield Finding(
            "untrusted-root",
            "root",
            f"{top.label} was signed by {_named(top.issuer)}, which the client does not trust",
        )


def _alone(top: _Certificate, roots: Sequence[_Certificate]) -> bool:
    """Whether nothing ties the issuer to a trusted root, so that it is likely a root itself."""
    kin = (NameOID.ORGANIZATION_NAME, NameOID.DOMAIN_COMPONENT)
    mine = {a.value for oid in kin for a in top.issuer.get_attributes_for_oid(oid)}
    theirs = {a.value for r in roots for oid in kin for a in r.subject.get_attributes_for_oid(oid)}
    return not mine & theirs


def _order(sent: Sequence[_Certificate], path: Sequence[_Certificate]) -> Iterator[Finding]:
    places = [sent.index(one) for one in path if one in sent]
    if places != sorted(places):
        yield Finding("chain-order", "intermediate", "the certificates are sent out of order")


# Rules of one path


def _judge_path(
    path: Sequence[_Certificate], at: datetime, wanted: str | IPv4Address | IPv6Address
) -> Iterator[Finding]:
    for position, one in enumerate(path):
        where = _where(position, path)
        for rule in _RULES_OF_EACH:
            yield from rule(one, where, at)
        if position:
            for rule in _RULES_OF_ISSUERS:
                yield from rule(one, where, path[:position])
        for part in one.unreadable:
            yield Finding("malformed", where, f"{one.label}: {part}")
    yield from _leaf_use(path[0])


def _where(position: int, path: Sequence[_Certificate]) -> str:
    if position == 0:
        return "leaf"
    return "root" if position == len(path) - 1 and path[position].self_issued else "intermediate"


def _validity(one: _Certificate, where: str, at: datetime) -> Iterator[Finding]:
    if one.dates and at < one.dates[0]:
        yield Finding(
            "not-yet-valid", where, f"{one.label} is valid from {one.dates[0]:%Y-%m-%d %H:%M} UTC"
        )
    if one.dates and at > one.dates[1]:
        yield Finding("expired", where, f"{one.label} ended on {one.dates[1]:%Y-%m-%d %H:%M} UTC")


def _strength(one: _Certificate, where: str, at: datetime) -> Iterator[Finding]:
    key = one.public_key
    if isinstance(key, RSAPublicKey) and key.key_size < 2048:
        yield Finding("weak-key", where, f"{one.label} has an RSA key of {key.key_size} bits")
    if one.hash_name in ("md5", "sha1") and not (one.self_issued and where == "root"):
        yield Finding("weak-signature", where, f"{one.label} is signed with {one.hash_name}")


def _criticals(one: _Certificate, where: str, at: datetime) -> Iterator[Finding]:
    for oid, extension in one.extensions.items():
        if extension.critical and oid not in _KNOWN_EXTENSIONS:
            yield Finding(
                "unknown-critical-extension",
                where,
                f"{one.label} carries the critical extension {oid.dotted_string}",
            )


_RULES_OF_EACH = (_validity, _strength, _criticals)


def _may_sign(one: _Certificate, where: str, below: Sequence[_Certificate]) -> Iterator[Finding]:
    constraints = one.value(ExtensionOID.BASIC_CONSTRAINTS)
    if constraints is None and where == "root":
        yield Finding("profile", where, f"{one.label} does not say that it is a CA")
    elif not one.is_ca:
        yield Finding("issuer-not-ca", where, f"{one.label} is no CA, but signed {below[-1].label}")
    usage = one.value(ExtensionOID.KEY_USAGE)
    if usage is not None and not usage.key_cert_sign:
        yield Finding("issuer-key-usage", where, f"{one.label} may not sign certificates")
    limit = constraints.path_length if constraints else None
    depth = sum(not ca.self_issued for ca in below[1:])
    if limit is not None and depth > limit:
        yield Finding("path-length", where, f"{one.label} allows {limit} CAs below it, not {depth}")


def _eku_of_issuer(
    one: _Certificate, where: str, below: Sequence[_Certificate]
) -> Iterator[Finding]:
    if where != "root":
        yield from _eku(one, where)


def _constraints(one: _Certificate, where: str, below: Sequence[_Certificate]) -> Iterator[Finding]:
    found = one.value(ExtensionOID.NAME_CONSTRAINTS)
    if found is None:
        return
    for value in _alternative_names(below[0]):
        if not _permitted(value, found):
            yield Finding("name-constraint", where, f"{one.label} may not sign for {value}")


_RULES_OF_ISSUERS = (_may_sign, _eku_of_issuer, _constraints)


def _leaf_use(leaf: _Certificate) -> Iterator[Finding]:
    yield from _eku(leaf, "leaf")
    if leaf.is_ca:
        yield Finding("leaf-is-ca", "leaf", f"{leaf.label} is a CA certificate")
    usage = leaf.value(ExtensionOID.KEY_USAGE)
    if usage and not (usage.digital_signature or usage.key_encipherment or usage.key_agreement):
        yield Finding("wrong-eku", "leaf", f"the key usage of {leaf.label} does not allow TLS")


def _eku(one: _Certificate, where: str) -> Iterator[Finding]:
    usages = one.value(ExtensionOID.EXTENDED_KEY_USAGE)
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usages is not None and not allowed & set(usages):
        found = ", ".join(usage._name for usage in usages)
        yield Finding("wrong-eku", where, f"{one.label} is for {found}, not for serverAuth")


# Names


def _alternative_names(one: _Certificate) -> list[str | IPv4Address | IPv6Address]:
    san = one.value(ExtensionOID.SUBJECT_ALTERNATIVE_NAME) or ()
    return [
        n.value.lower() if isinstance(n, x509.DNSName) else n.value
        for n in san
        if isinstance(n, x509.DNSName | x509.IPAddress)
    ]


def _name(
    leaf: _Certificate, name: str, wanted: str | IPv4Address | IPv6Address
) -> Iterator[Finding]:
    offered = _alternative_names(leaf)
    if ExtensionOID.SUBJECT_ALTERNATIVE_NAME not in leaf.extensions:
        if _fits(leaf.common_name.lower(), wanted):
            yield Finding("no-san", "leaf", f"{name} stands only in the subject of {leaf.label}")
            return
    elif any(_fits(value, wanted) for value in offered):
        return
    yield Finding("name-mismatch", "leaf", _mismatch(name, wanted, offered))


def _mismatch(name: str, wanted: Any, offered: Sequence[Any]) -> str:
    listed = ", ".join(map(str, offered[:6])) + (" …" if len(offered) > 6 else "")
    text = f"the client asks for {name}, the certificate is for {listed or 'no name at all'}"
    if isinstance(wanted, str) and any(str(n).split(".")[0] == wanted for n in offered):
        return f"{text}: the short name is missing"
    if not isinstance(wanted, str) and str(wanted) in map(str, offered):
        return f"{text}: the address stands there as a DNS name"
    return text


def _fits(offered: Any, wanted: str | IPv4Address | IPv6Address) -> bool:
    """RFC 9525: equal, or a wildcard for exactly one whole left-most label."""
    if not isinstance(offered, str) or not isinstance(wanted, str):
        return type(offered) is type(wanted) and offered == wanted
    offered = offered.rstrip(".")
    if offered.startswith("*.") and "." in wanted:
        return offered[2:] == wanted.split(".", 1)[1] and "." in offered[2:]
    return offered == wanted


def _permitted(value: Any, constraints: x509.NameConstraints) -> bool:
    if any(_inside(value, base) for base in constraints.excluded_subtrees or ()):
        return False
    same = [base for base in constraints.permitted_subtrees or () if _same_kind(value, base)]
    return not same or any(_inside(value, base) for base in same)


def _same_kind(value: Any, base: x509.GeneralName) -> bool:
    return isinstance(base, x509.DNSName if isinstance(value, str) else x509.IPAddress)


def _inside(value: Any, base: x509.GeneralName) -> bool:
    if not _same_kind(value, base):
        return False
    if isinstance(value, str):
        tail = base.value.lower().lstrip(".")
        return not tail or value == tail or value.endswith("." + tail)
    return value in base.value


# Order of the answer


def _badness_of_path(judged: tuple[Sequence[_Certificate], list[Finding]]) -> tuple[int, int, int]:
    path, findings = judged
    severities = [finding.severity for finding in findings]
    return severities.count("bad"), severities.count("dubious"), len(path)


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    order = list(rules())
    return tuple(
        sorted(
            dict.fromkeys(findings),
            key=lambda finding: (finding.severity != "bad", order.index(finding.code)),
        )
    )


def _named(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return repr(str(found[-1].value)) if found else repr(name.rfc4514_string())
