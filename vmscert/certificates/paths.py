"""Certificates read part by part, and the ways up from a server's certificate to a trusted root.

Nothing here judges; nothing here raises for what a certificate holds, or takes long over a maze.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, lru_cache
from heapq import heappop, heappush
from itertools import count
from typing import Any
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from vmscert.certificates.extensions import Unreadable, read_extensions, reason
from vmscert.certificates.subtrees import Folded, allowing, folded
from vmscert.findings import Finding, finding_of

# Bounds of the search, far above any honest set of certificates.
_MOST_STEPS = 1000  # certificates looked at, over all paths
_MOST_VISITS = 3  # of one certificate, each by another way
_LONGEST_TEXT = 64  # letters of a name in a sentence
_MOST_CHECKS = 400  # signature checks, in units of one RSA 4096 check

_MAILBOX = re.compile(r"[\w.+-]+@[\w.-]+", re.ASCII)
_SERVER = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_FORGEABLE = (hashes.MD5, hashes.SHA1)
# Extensions that clients process, so that they may be critical (RFC 5280 section 4.2).
_KNOWN = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.INHIBIT_ANY_POLICY,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.POLICY_CONSTRAINTS,
    ExtensionOID.POLICY_MAPPINGS,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
}


class Reading:
    """One certificate's parts, each read when first asked for, None if it can't be read.

    pyca raises for odd certificates, and raises many kinds; `broken` collects which part and why.
    A certificate is read once for all who ask: a site asks for the same ones again and again.
    """

    certificate: x509.Certificate
    broken: dict[str, Unreadable]

    @lru_cache(maxsize=4096)
    def __new__(cls, certificate: x509.Certificate) -> "Reading":
        made = super().__new__(cls)
        made.certificate, made.broken = certificate, {}
        return made

    def _read(self, part: str, read: Callable[[x509.Certificate], Any]) -> Any:
        try:
            return read(self.certificate)
        except Exception as error:
            self.broken[part] = Unreadable(reason(error))
            return None

    @cached_property
    def subject(self) -> Folded | None:
        return self._read("subject", lambda one: folded(one.subject))

    @cached_property
    def issuer(self) -> Folded | None:
        return self._read("issuer", lambda one: folded(one.issuer))

    @cached_property
    def serial(self) -> int:
        with catch_warnings():
            simplefilter("ignore")  # pyca warns of a number that is not positive
            return self.certificate.serial_number

    @cached_property
    def validity(self) -> tuple[datetime, datetime] | None:
        return self._read(
            "validity", lambda one: (one.not_valid_before_utc, one.not_valid_after_utc)
        )

    @cached_property
    def key(self) -> Any:
        return self._read("public key", lambda one: one.public_key())

    @cached_property
    def spki(self) -> bytes:
        """The subjectPublicKeyInfo, which tells two keys apart."""
        public = PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(Encoding.DER, public) if self.key else b""

    @cached_property
    def signature_hash(self) -> Any:
        """The hash of the signature, None if it needs none, or the OID of an unknown algorithm."""

        def hash_or_oid(one: x509.Certificate) -> Any:
            try:
                return one.signature_hash_algorithm
            except UnsupportedAlgorithm:
                return one.signature_algorithm_oid

        return self._read("signature algorithm", hash_or_oid)

    @cached_property
    def extensions(self) -> Mapping[x509.ObjectIdentifier, x509.Extension]:
        found, trouble = self._read("extensions", read_extensions) or ({}, {})
        self.broken.update(trouble)
        return found

    def get(self, kind: Any) -> Any:
        """Return the value of an extension, None if the certificate does not have it."""
        extension = self.extensions.get(kind.oid)
        return extension.value if extension else None

    @cached_property
    def readable(self) -> bool:
        """Whether an extension that is not there is really missing."""
        _ = self.extensions
        return not any(
            part.startswith("extension") and trouble.needed for part, trouble in self.broken.items()
        )

    @cached_property
    def trouble(self) -> Mapping[str, Unreadable]:
        """Every part that can't be read, and why."""
        _ = self.subject, self.issuer, self.validity, self.key, self.signature_hash, self.extensions
        return self.broken

    @cached_property
    def is_ca(self) -> bool:
        constraints = self.get(x509.BasicConstraints)
        return bool(constraints and constraints.ca)

    @cached_property
    def signs(self) -> bool:
        """Whether its key usage lets its key sign certificates."""
        usage = self.get(x509.KeyUsage)
        return usage is None or usage.key_cert_sign

    @cached_property
    def signs_lists(self) -> bool:
        """Whether its key usage lets its key sign revocation lists."""
        usage = self.get(x509.KeyUsage)
        return usage is None or usage.crl_sign

    @cached_property
    def serves(self) -> bool:
        """Whether its extended key usage lets it, or what it issued, be a TLS server."""
        purposes = self.get(x509.ExtendedKeyUsage)
        return purposes is None or not _SERVER.isdisjoint(purposes)

    @cached_property
    def forgeable(self) -> bool:
        """Whether somebody else could have made the signature."""
        return isinstance(self.signature_hash, _FORGEABLE)

    @cached_property
    def critical(self) -> set[x509.ObjectIdentifier]:
        """The extensions that clients must understand."""
        return {oid for oid, one in self.extensions.items() if one.critical}

    @cached_property
    def unknown(self) -> list[x509.ObjectIdentifier]:
        """The critical extensions that clients do not know."""
        return sorted(self.critical - _KNOWN, key=str)

    @cached_property
    def general_names(self) -> list[x509.GeneralName]:
        """The DNS names and IP addresses of the subjectAltName."""
        kinds = x509.DNSName | x509.IPAddress
        found = self.get(x509.SubjectAlternativeName) or ()
        return [name for name in found if isinstance(name, kinds)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name.value).lower() for name in self.general_names)

    @cached_property
    def common_names(self) -> list[str]:
        oid = NameOID.COMMON_NAME
        found = self._read("subject", lambda one: one.subject.get_attributes_for_oid(oid))
        return [str(attribute.value) for attribute in found or ()]

    @cached_property
    def mailboxes(self) -> list[x509.RFC822Name]:
        """The mail addresses of the subject, where old certificates carry them."""
        oid = NameOID.EMAIL_ADDRESS
        found = self._read("subject", lambda one: one.subject.get_attributes_for_oid(oid))
        texts = [str(attribute.value) for attribute in found or ()]
        return [x509.RFC822Name(text) for text in texts if _MAILBOX.fullmatch(text)]

    @cached_property
    def label(self) -> str:
        """How a sentence calls this certificate, short and without control characters."""
        name = self.common_names[-1] if self.common_names else (self.names or ("",))[0]
        return repr(plain(name)) if name else f"serial {self.serial:X}"[:64]

    @cached_property
    def issuer_label(self) -> str:
        """How a sentence calls the issuer: its common name, else the last part of its name."""
        parts = self._read("issuer", lambda one: list(one.issuer)) or ()
        common = [str(part.value) for part in parts if part.oid == NameOID.COMMON_NAME]
        return repr(plain((common or [str(part.value) for part in parts] or ["nobody"])[-1]))

    @cached_property
    def key_id(self) -> bytes:
        """The subject key identifier; computed (RFC 5280 section 4.2.1.2) if none is written."""
        written = self.get(x509.SubjectKeyIdentifier)
        if written is None and self.key:
            written = x509.SubjectKeyIdentifier.from_public_key(self.key)
        return written.digest if written else b""

    @cached_property
    def issuer_key_id(self) -> bytes:
        """The key identifier of the issuer, empty if none is written."""
        written = self.get(x509.AuthorityKeyIdentifier)
        return (written and written.key_identifier) or b""

    @cached_property
    def self_signed(self) -> bool:
        """Whether it names itself as its issuer: subject and, where written, key identifier."""
        own = self.issuer_key_id in (b"", self.key_id)
        return own and self.subject is not None and self.subject == self.issuer


class Question:
    """What is asked, and all certificates at hand, each read once."""

    def __init__(self, name, at, presented, roots, intermediates, lists=()) -> None:
        once = cache(Reading)

        def read(certificates: Iterable[x509.Certificate]) -> list[Reading]:
            return list(dict.fromkeys(map(once, certificates)))

        self.name, self.at, self.lists = name, at, tuple(lists)
        self.roots, more = read(roots), read(intermediates)
        self.presented = read(presented)
        self.anchors = set(self.roots)
        self._trusted_names = {root.subject for root in self.roots}
        self.known: dict[Folded | None, list[Reading]] = defaultdict(list)
        for one in dict.fromkeys((*self.roots, *self.presented, *more)):
            self.known[one.subject].append(one)
        self._fits: dict[tuple[Reading, bytes], bool | None] = {}
        self._issuers: dict[Reading, list[Reading]] = {}
        self._handicaps: dict[Reading, int] = {}
        self._checks = _MOST_CHECKS

    @cached_property
    def leaf(self) -> Reading:
        """The server's own certificate: the first, unless that issued another one sent along."""
        leaf = self.presented[0]
        for one in self.presented:
            if one.issuer == leaf.subject != one.subject:
                leaf = one
        return leaf

    def paths(self) -> Iterator["Path"]:
        """Yield ways up from the leaf, the least faulty first, each to an anchor or a dead end.

        Each certificate is continued a few times at most, so that no maze takes long.
        """
        tick, visits = count(), Counter[Reading]()
        heap: list[tuple[int, int, int, tuple[Reading, ...]]] = [(0, 0, next(tick), (self.leaf,))]
        for _ in range(_MOST_STEPS):
            if not heap:
                return
            cost, _, _, steps = heappop(heap)
            top = steps[-1]
            visits[top] += 1
            anchored = top in self.anchors
            through = {(one.subject, one.spki) for one in steps}
            above = [] if anchored and top.self_signed else self.issuers(top)
            issuers = [one for one in above if (one.subject, one.spki) not in through]
            if anchored or not issuers:
                yield Path(self, steps, anchored)
            if visits[top] > _MOST_VISITS:
                continue
            for issuer in issuers:
                more = self.handicap(issuer) + (points_at(top, issuer) is False)
                heappush(heap, (cost + more, -len(steps), next(tick), (*steps, issuer)))

    def issuers(self, child: Reading) -> list[Reading]:
        """Return who may have issued a certificate, the likeliest first.

        Those whose key fits; else those that can't be checked; else those that seem the issuer
        though their key does not fit: then the child was changed.
        """
        if child in self._issuers:
            return self._issuers[child]

        def unlikeliness(one: Reading) -> tuple:
            stranger = one.issuer not in self._trusted_names
            pointed = points_at(child, one) is True
            return not pointed, one not in self.anchors, self.handicap(one), stranger

        named = self.known[child.issuer] if child.issuer is not None else []
        likely = sorted(named, key=unlikeliness)
        right = next((one.spki for one in likely if self.fits(child, one)), None)
        found = [one for one in likely if one.spki == right]
        if right is None:
            found = [one for one in likely if self.fits(child, one) is None] or [
                one
                for one in likely
                if points_at(child, one)
                or (points_at(child, one) is None and one not in self.anchors)
            ]
        self._issuers[child] = found
        return found

    def handicap(self, one: Reading) -> int:
        """The number of faults that a certificate would bring into a path as an issuer."""
        if one not in self._handicaps:
            start, end = one.validity or (self.at, self.at)
            sound = (start <= self.at <= end, one.is_ca, one.signs, one.serves, one.readable)
            limits = one.get(x509.NameConstraints)
            forbids = limits and not all(map(allowing(limits), self.leaf.general_names))
            more = (one.forgeable and one not in self.anchors, bool(one.unknown), bool(forbids))
            self._handicaps[one] = sum(more) - sum(sound) + len(sound)
        return self._handicaps[one]

    def fits(self, child: Reading, issuer: Reading) -> bool | None:
        """Tell whether the issuer's key made the child's signature; None if it can't be checked."""
        known = (child, issuer.spki)
        if known not in self._fits:
            if self._checks <= 0:
                return False
            self._checks -= max(1, (getattr(issuer.key, "key_size", 0) // 4096) ** 2)
            self._fits[known] = _fits(child, issuer)
        return self._fits[known]


@dataclass(frozen=True)
class Path:
    """A way up from the leaf; `anchored` if it ends in a certificate that the client trusts."""

    question: Question
    steps: tuple[Reading, ...]
    anchored: bool

    @property
    def leaf(self) -> Reading:
        return self.steps[0]

    @property
    def top(self) -> Reading:
        return self.steps[-1]

    @property
    def issuers(self) -> tuple[Reading, ...]:
        return self.steps[1:]

    def fault(
        self, code: str, one: Reading, text: str, case: str = "", severity: str = ""
    ) -> Finding:
        """Return a finding about one certificate of this path, or one sent along with it."""
        if one is self.leaf:
            where = "leaf"
        else:
            where = "root" if one in self.question.anchors or one.self_signed else "intermediate"
        return finding_of(code, where, f"{one.label} {text}", case, severity)


@lru_cache(maxsize=8192)  # under every name, on every day, the same signature
def _fits(child: Reading, issuer: Reading) -> bool | None:
    """Tell whether a key made a certificate's signature; None if nobody here can check it."""
    one, key = child.certificate, issuer.key
    try:
        how = _arguments(one, key)
    except Exception:  # an algorithm, or its parameters, that pyca does not know
        return None
    try:
        key.verify(one.signature, one.tbs_certificate_bytes, *how)
    except UnsupportedAlgorithm:
        return None
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _arguments(child: x509.Certificate, key: Any) -> tuple:
    match key:
        case rsa.RSAPublicKey():
            return child.signature_algorithm_parameters, child.signature_hash_algorithm
        case ec.EllipticCurvePublicKey():
            return (child.signature_algorithm_parameters,)
        case dsa.DSAPublicKey():
            return (child.signature_hash_algorithm,)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return ()
    raise TypeError("a key that can't verify")


def points_at(child: Reading, issuer: Reading) -> bool | None:
    """Whether the authority key identifier is that of this issuer; None if there is none."""
    return child.issuer_key_id == issuer.key_id if child.issuer_key_id else None


def moment(when: datetime) -> str:
    """Return how a sentence tells a time."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def plain(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text out of a certificate as a sentence may hold it: short, and only to be read."""
    shown = text if len(text) <= longest else f"{text[:longest]}…"
    return "".join(letter if letter.isprintable() else "�" for letter in shown)
