"""Certificates read part by part, and the ways up from a server's certificate to a trusted root.

Nothing here judges; nothing here raises for what a certificate holds, or takes long over a maze.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from heapq import heappop, heappush
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import (
    ExtensionOID,
    NameOID,
)

from vmscert.rules import Finding, finding_of

# Bounds of the search, far above any honest set of certificates.
_MOST_STEPS = 1000  # certificates looked at, over all paths
_MOST_VISITS = 3  # of one certificate, each by another way
_MOST_CHECKS = 400  # signature checks, in units of one RSA 4096 check

_KEY_IDS = (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.SUBJECT_KEY_IDENTIFIER)
Folded = tuple[frozenset, ...]  # a name as comparing sees it


class Reading:
    """One certificate's parts, each read when first asked for, None if it can't be read.

    pyca raises for odd certificates, and raises many kinds; `broken` collects which part and why.
    """

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.broken: dict[str, str] = {}

    def _read(self, part: str, read: Callable[[x509.Certificate], Any]) -> Any:
        try:
            return read(self.certificate)
        except Exception as error:
            self.broken[part] = (
                str(error).splitlines()[0][:100] if str(error) else "no reason given"
            )
            return None

    @cached_property
    def subject(self) -> Folded | None:
        return self._read("subject", lambda one: folded(one.subject))

    @cached_property
    def issuer(self) -> Folded | None:
        return self._read("issuer", lambda one: folded(one.issuer))

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
        return self._read("signature algorithm", _hash_or_oid)

    @cached_property
    def extensions(self) -> Mapping[x509.ObjectIdentifier, x509.Extension]:
        found = self._read("extensions", lambda one: {e.oid: e for e in one.extensions})
        return found or {}

    def get(self, kind: Any) -> Any:
        """Return the value of an extension, None if the certificate does not have it."""
        extension = self.extensions.get(kind.oid)
        return extension.value if extension else None

    @cached_property
    def readable(self) -> bool:
        """Whether an extension that is not there is really missing."""
        return bool(self.extensions) or "extensions" not in self.broken

    @cached_property
    def trouble(self) -> Mapping[str, str]:
        """Every part that can't be read, and why."""
        _ = self.subject, self.issuer, self.validity, self.key, self.signature_hash, self.extensions
        return self.broken

    @cached_property
    def is_ca(self) -> bool:
        constraints = self.get(x509.BasicConstraints)
        return bool(constraints and constraints.ca)

    @cached_property
    def general_names(self) -> list[x509.GeneralName]:
        """The DNS names and IP addresses of the subjectAltName."""
        kinds = x509.DNSName | x509.IPAddress
        found = self.get(x509.SubjectAlternativeName) or ()
        return [name for name in found if isinstance(name, kinds)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name.value).lower().rstrip(".") for name in self.general_names)

    @cached_property
    def common_names(self) -> list[str]:
        oid = NameOID.COMMON_NAME
        found = self._read("subject", lambda one: one.subject.get_attributes_for_oid(oid))
        return [str(attribute.value) for attribute in found or ()]

    @cached_property
    def label(self) -> str:
        """How a sentence calls this certificate, short and without control characters."""
        name = self.common_names[-1] if self.common_names else (self.names or ("",))[0]
        return repr(name[:64]) if name else f"serial {self.certificate.serial_number:X}"[:64]

    @cached_property
    def issuer_label(self) -> str:
        """How a sentence calls the issuer: its common name, else the last part of its name."""
        parts = self._read("issuer", lambda one: list(one.issuer)) or ()
        common = [str(part.value) for part in parts if part.oid == NameOID.COMMON_NAME]
        return repr((common or [str(part.value) for part in parts] or ["nobody"])[-1][:64])

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

    def __init__(self, name, at, presented, roots, intermediates) -> None:
        readings: dict[x509.Certificate, Reading] = {}

        def read(certificates: Iterable[x509.Certificate]) -> list[Reading]:
            found = [readings.setdefault(one, Reading(one)) for one in certificates]
            return list(dict.fromkeys(found))

        self.name, self.at = name, at
        self.presented, self.roots, more = read(presented), read(roots), read(intermediates)
        self.anchors = set(self.roots)
        self._trusted_names = {root.subject for root in self.roots}
        self.known: dict[Folded | None, list[Reading]] = defaultdict(list)
        for one in dict.fromkeys((*self.roots, *self.presented, *more)):
            self.known[one.subject].append(one)
        self._fits: dict[tuple[Reading, bytes], bool | None] = {}
        self._issuers: dict[Reading, list[Reading]] = {}
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
            taken = {(one.subject, one.spki) for one in steps}
            issuers = [one for one in self.issuers(top) if (one.subject, one.spki) not in taken]
            if anchored or not issuers:
                yield Path(self, steps, anchored)
            if visits[top] > _MOST_VISITS or (anchored and top.self_signed):
                continue
            for issuer in issuers:
                more = self.handicap(issuer) + (points_at(top, issuer) is False)
                heappush(heap, (cost + more, -len(steps), next(tick), (*steps, issuer)))

    def issuers(self, child: Reading) -> list[Reading]:
        """Return who may have issued a certificate, the likeliest first."""
        if child not in self._issuers:
            self._issuers[child] = self._find_issuers(child)
        return self._issuers[child]

    def _find_issuers(self, child: Reading) -> list[Reading]:
        """Those whose key fits; else those that can't be checked; else those it points at."""
        named = self.known[child.issuer] if child.issuer is not None else []
        likely = sorted(named, key=lambda one: self._unlikeliness(child, one))
        right = next((one.spki for one in likely if self.fits(child, one)), None)
        if right is not None:
            return [one for one in likely if one.spki == right]
        unchecked = [one for one in likely if self.fits(child, one) is None]
        return unchecked or [one for one in likely if self._seems(child, one)]

    def _unlikeliness(self, child: Reading, issuer: Reading) -> tuple:
        return (
            points_at(child, issuer) is not True,
            issuer not in self.anchors,
            self.handicap(issuer),
            issuer.issuer not in self._trusted_names,
        )

    def _seems(self, child: Reading, issuer: Reading) -> bool:
        """Whether it seems the issuer though its key does not fit: then the child was changed."""
        points = points_at(child, issuer)
        return points is True or (points is None and issuer not in self.anchors)

    def handicap(self, one: Reading) -> int:
        """The number of faults that a certificate would bring into a path as an issuer."""
        start, end = one.validity or (self.at, self.at)
        return (not start <= self.at <= end) + (not one.is_ca) + (not one.readable)

    def fits(self, child: Reading, issuer: Reading) -> bool | None:
        """Tell whether the issuer's key made the child's signature; None if it can't be checked."""
        known = (child, issuer.spki)
        if known not in self._fits:
            if self._checks <= 0:
                return False
            self._checks -= max(1, (getattr(issuer.key, "key_size", 0) // 4096) ** 2)
            self._fits[known] = _fits(child.certificate, issuer.key)
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


def folded(name: x509.Name) -> Folded:
    """Return a name without what comparing ignores: case and spaces (RFC 5280 section 7.1)."""
    return tuple(
        frozenset((part.oid, " ".join(str(part.value).casefold().split())) for part in rdn)
        for rdn in name.rdns
    )


def _fits(child: x509.Certificate, key: Any) -> bool | None:
    """Tell whether a key made a certificate's signature; None if nobody here can check it."""
    try:
        how = _arguments(child, key)
    except Exception:  # an algorithm, or its parameters, that pyca does not know
        return None
    try:
        key.verify(child.signature, child.tbs_certificate_bytes, *how)
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


def _hash_or_oid(certificate: x509.Certificate) -> Any:
    try:
        return certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return certificate.signature_algorithm_oid
