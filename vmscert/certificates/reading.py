"""A certificate read part by part, so that one bad part does not hide the rest.

What pyca does not read is read from a stand-in, whose odd parts were mended. Names are compared as
RFC 5280 does; `allowing` tells which a name constraint permits.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmscert.certificates import foreign
from vmscert.certificates.foreign import reason
from vmscert.facts import doubt, facts
from vmscert.names import printable

Signed = x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList
Extensions = Mapping[x509.ObjectIdentifier, x509.Extension]

# Without these, nobody can tell whom a certificate is for and what it may be used for.
_NEEDED = {
    "authorityKeyIdentifier", "basicConstraints", "extendedKeyUsage", "keyUsage",
    "nameConstraints", "subjectAltName", "subjectKeyIdentifier",
}  # fmt: skip
_MOST = 100  # extensions read one by one; honest certificates have ten or so
Folded = tuple[frozenset, ...]  # a directory name as comparing sees it
_DEEPEST = 64  # parts of a directory name
_LONGEST_TEXT = 64  # letters of a name in a sentence
_SERVER = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
FORGEABLE = (hashes.MD5, hashes.SHA1)
# Extensions that clients process, so that they may be critical (RFC 5280 section 4.2).
_KNOWN = _NEEDED | {
    "cRLDistributionPoints", "certificatePolicies", "inhibitAnyPolicy", "policyConstraints",
    "policyMappings",
}  # fmt: skip


# What a certificate may be used for, where pyca has no name for it.
_PURPOSES = {row["oid"]: row["purpose"] + doubt(row["tag"]) for row in facts("purposes")}


class Unreadable(NamedTuple):
    """A part of a certificate that can't be read: why, and whether clients go on without it."""

    why: str
    needed: bool = True


def called(oid: x509.ObjectIdentifier) -> str:
    """Return the name of an extension or a purpose, its number if nobody here knows it."""
    known = oid._name if oid._name != "Unknown OID" else _PURPOSES.get(oid.dotted_string)
    return known or oid.dotted_string


def made_by(key: Any, signed: Signed) -> bool | None:
    """Tell whether a key made a signature; None if nobody here can check it.

    By arithmetic alone: whether somebody else could have made it, too, is another question.
    """
    how = []
    try:
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            how.append(_parameters(key, signed))
        if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey):
            how.append(signed.signature_hash_algorithm)
    except Exception:  # an algorithm, or its parameters, that pyca does not know
        return None
    if not (how or isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)):
        return None  # a key that can't verify
    try:
        key.verify(signed.signature, foreign.signed_part(signed), *how)
    except UnsupportedAlgorithm:
        return None
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _parameters(key: Any, signed: Signed) -> Any:
    found = signed.signature_algorithm_parameters
    if found is None and isinstance(key, rsa.RSAPublicKey) and signed.signature_hash_algorithm:
        return padding.PKCS1v15()  # pyca does not say it of MD5
    return found


def folded(name: x509.Name) -> Folded:
    """Return a name without what comparing ignores: case and spaces (RFC 5280 section 7.1)."""
    return tuple(frozenset((one.oid, _folded(one.value)) for one in rdn) for rdn in name.rdns)


@lru_cache(maxsize=1 << 12)  # the same organisation stands in every name
def _folded(text: str | bytes) -> str:
    return " ".join(str(text).casefold().split())


def allowing(constraints: x509.NameConstraints) -> Callable[[x509.GeneralName], bool]:
    """Return the test whether a name is allowed (RFC 5280 section 4.2.1.10)."""
    # A subtree is a tuple, kind first; a name lies in it if the tuple is among those around the
    # name. So thousands of names and subtrees cost two set look-ups a name.
    permitted = set(map(_subtree, constraints.permitted_subtrees or ()))
    excluded = set(map(_subtree, constraints.excluded_subtrees or ()))
    kinds = {kind for kind, *_ in permitted}

    def allows(name: x509.GeneralName) -> bool:
        around = set(_around(name))
        inside = any(kind in kinds for kind, *_ in around) <= bool(around & permitted)
        return inside and not around & excluded

    return allows


def _subtree(base: x509.GeneralName) -> tuple:
    value = base.value
    match base:
        case x509.DNSName():
            return "DNS", value.lower().rstrip(".")
        case x509.RFC822Name() | x509.UniformResourceIdentifier():
            return type(base).__name__, value.lower()
        case x509.IPAddress():
            shift = value.max_prefixlen - value.prefixlen
            return "IP", value.version, value.prefixlen, int(value.network_address) >> shift
        case x509.DirectoryName():
            return "directory", folded(value)
    return type(base).__name__, value


def _around(name: x509.GeneralName) -> Iterator[tuple]:
    value: Any = name.value
    match name:
        case x509.DNSName():
            yield from (("DNS", tail) for tail in _domains(value, itself=True))
        case x509.RFC822Name() | x509.UniformResourceIdentifier():
            host, whole = "", [value.lower()] if isinstance(name, x509.RFC822Name) else []
            with suppress(ValueError):
                host = value.rpartition("@")[2] if whole else urlsplit(value).hostname or ""
            hosts = [*whole, *_domains(host, itself=False)]
            yield from ((type(name).__name__, host) for host in hosts)
        case x509.IPAddress() if not hasattr(value, "netmask"):  # eight bytes would be a network
            for length in range(value.max_prefixlen + 1):
                yield "IP", value.version, length, int(value) >> (value.max_prefixlen - length)
        case x509.DirectoryName():
            parts = folded(value)[:_DEEPEST]
            yield from (("directory", parts[:end]) for end in range(len(parts) + 1))
        case _:
            yield type(name).__name__, value


def _domains(host: str, itself: bool) -> Iterator[str]:
    """The constraints that a host meets; with `itself`, none needs a dot to hold for subdomains."""
    labels = host.lower().rstrip(".").split(".")
    tails = [".".join(labels[start:]) for start in range(len(labels) + 1)]
    yield from tails if itself else tails[:1]
    yield from (f".{tail}" for tail in tails[1:])


def _part(name: str, read: Callable[[x509.Certificate], Any]) -> Any:
    """A part of a certificate, None if it can't be read."""
    return cached_property(lambda reading: reading.read(name, read))


class Reading:
    """One certificate's parts, each read when first asked for, None if it can't be read."""

    certificate: x509.Certificate
    broken: dict[str, Unreadable]  # which part can't be read, and why
    odd: dict[str, str]  # which part clients read all the same, and what is odd about it
    subject: Folded | None = _part("subject", lambda one: folded(one.subject))
    issuer: Folded | None = _part("issuer", lambda one: folded(one.issuer))
    validity: tuple[datetime, datetime] | None = _part(
        "validity", attrgetter("not_valid_before_utc", "not_valid_after_utc")
    )
    key: Any = _part("public key", lambda one: one.public_key())

    @lru_cache(maxsize=1 << 14)  # read once for all who ask: a site asks for the same ones again
    def __new__(cls, certificate: x509.Certificate) -> "Reading":
        made = super().__new__(cls)
        made.certificate, made.broken = certificate, {}
        made.odd = {}
        if isinstance(certificate, foreign.StandIn):
            made._take(certificate)
        return made

    def _take(self, stand_in: foreign.StandIn) -> None:
        self.odd |= stand_in.odd
        self.broken |= {part: Unreadable(why) for part, why in stand_in.broken.items()}

    def read(self, part: str, read: Callable[[x509.Certificate], Any]) -> Any:
        """Return what `read` makes of the certificate, None if this part can't be read."""
        if part in self.broken:
            return None
        try:
            return read(self.certificate)
        except Exception as error:
            why = reason(error)
        mended = self._mended
        if mended is not None and part in mended.odd:
            with suppress(Exception):
                self.odd[part] = mended.odd[part]
                return read(mended)
        self.broken[part] = Unreadable(why)
        return None

    @cached_property
    def _mended(self) -> Any:
        return foreign.stand_in(self.certificate.public_bytes(Encoding.DER))

    @cached_property
    def serial(self) -> int:
        with catch_warnings():
            simplefilter("ignore")  # pyca warns of a number that is not positive
            return self.certificate.serial_number

    @cached_property
    def spki(self) -> bytes:
        """The subjectPublicKeyInfo, which tells two keys apart."""
        public = PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(Encoding.DER, public) if self.key else b""

    @cached_property
    def explicit_curve(self) -> bool:
        """Whether its key spells out the parameters of its curve (RFC 5480 forbids it)."""
        return foreign.names_no_curve(self.certificate)

    @cached_property
    def signature_hash(self) -> Any:
        """The hash of the signature, None if it needs none, or the OID of an unknown algorithm."""

        def hash_or_oid(one: x509.Certificate) -> Any:
            try:
                return one.signature_hash_algorithm
            except UnsupportedAlgorithm:
                return one.signature_algorithm_oid

        return self.read("signature algorithm", hash_or_oid)

    @cached_property
    def extensions(self) -> Extensions:
        if not isinstance(self.certificate, foreign.StandIn):
            found = foreign.loaded(lambda: self.certificate.extensions)
            if found is not None:
                return {one.oid: one for one in found}
        return self.read("extensions", self._one_by_one) or {}

    def _one_by_one(self, certificate: x509.Certificate) -> Extensions:
        """The extensions that can be read; those that are odd, and the others' troubles, noted."""
        found: dict[x509.ObjectIdentifier, x509.Extension] = {}
        for number, one in enumerate(foreign.extensions(certificate)):
            name = called(one.oid)
            part = f"extension {name}"
            if number >= _MOST:
                self.broken["extensions"] = Unreadable(f"there are more than {_MOST} of them")
                break
            if one.oid in found:
                self.broken[part] = Unreadable("it stands there twice")
            elif one.value is None:
                self.broken[part] = Unreadable(one.why, one.critical or name in _NEEDED)
            else:
                found[one.oid] = one.value
                if one.odd:
                    self.odd[part] = one.odd
        return found

    def get(self, kind: Any) -> Any:
        """Return the value of an extension, None if the certificate does not have it."""
        extension = self.extensions.get(kind.oid)
        return extension.value if extension else None

    @cached_property
    def trouble(self) -> Mapping[str, Unreadable]:
        """Every part that can't be read, and why; then `odd` is complete, too."""
        _ = self.subject, self.issuer, self.validity, self.key, self.signature_hash, self.extensions
        return self.broken

    @cached_property
    def readable(self) -> bool:
        """Whether an extension that is not there is really missing."""
        _ = self.extensions
        odd = (why for part, why in self.broken.items() if part.startswith("extension"))
        return not any(why.needed for why in odd)

    @cached_property
    def is_ca(self) -> bool:
        return getattr(self.get(x509.BasicConstraints), "ca", False)

    @cached_property
    def signs(self) -> bool:
        """Whether its key usage lets its key sign certificates."""
        return getattr(self.get(x509.KeyUsage), "key_cert_sign", True)

    @cached_property
    def serves(self) -> bool:
        """Whether its extended key usage lets it, or what it issued, be a TLS server."""
        purposes = self.get(x509.ExtendedKeyUsage)
        return purposes is None or not _SERVER.isdisjoint(purposes)

    @cached_property
    def forgeable(self) -> bool:
        """Whether somebody else could have made the signature."""
        return isinstance(self.signature_hash, FORGEABLE)

    @cached_property
    def critical(self) -> set[str]:
        """The extensions that clients must understand, by their names in RFC 5280."""
        return {called(oid) for oid, one in self.extensions.items() if one.critical}

    @cached_property
    def unknown(self) -> list[str]:
        """The critical extensions that clients do not know."""
        return sorted(self.critical - _KNOWN)

    @cached_property
    def general_names(self) -> list[x509.GeneralName]:
        """The DNS names and IP addresses of the subjectAltName."""
        found = self.get(x509.SubjectAlternativeName) or ()
        return [name for name in found if isinstance(name, x509.DNSName | x509.IPAddress)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name.value).lower() for name in self.general_names)

    @cached_property
    def common_names(self) -> list[str]:
        return self.named(NameOID.COMMON_NAME)

    def named(self, oid: x509.ObjectIdentifier) -> list[str]:
        """Return what the subject says of one kind."""
        found = self.read("subject", lambda one: one.subject.get_attributes_for_oid(oid))
        return [str(attribute.value) for attribute in found or ()]

    @cached_property
    def label(self) -> str:
        """How a sentence calls this certificate, short and without control characters."""
        name = self.common_names[-1] if self.common_names else (self.names or ("",))[0]
        return repr(quotable(name)) if name else f"serial {self.serial:X}"[:64]

    @cached_property
    def issuer_label(self) -> str:
        """How a sentence calls the issuer: its common name, else the last part of its name."""
        rdns = self.read("issuer", lambda one: one.issuer.rdns) or ()
        parts = [part for rdn in rdns for part in rdn]
        common = [part for part in parts if part.oid == NameOID.COMMON_NAME] or parts
        return repr(quotable(str(common[-1].value) if common else "nobody"))

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
        return getattr(self.get(x509.AuthorityKeyIdentifier), "key_identifier", None) or b""

    @cached_property
    def self_signed(self) -> bool:
        """Whether it names itself as its issuer: subject and, where written, key identifier."""
        named = self.subject is not None and self.subject == self.issuer
        return named and self.issuer_key_id in (b"", self.key_id)


def spelled_out(name: x509.GeneralName) -> str:
    """Return a name out of a certificate as text."""
    return getattr(name.value, "rfc4514_string", name.value.__str__)()


def aware(at: datetime) -> datetime:
    """Return the time; ValueError if it has no time zone."""
    if at.tzinfo is None:
        raise ValueError(f"The time {at} has no time zone: say UTC")
    return at


def moment(when: datetime) -> str:
    """Return how a sentence tells a time."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def moments(*times: datetime) -> list[str]:
    """Return how a sentence tells times that differ: to the second where they do so by seconds."""
    told = list(map(moment, times))
    exact = [f"{when:%Y-%m-%d %H:%M:%S} UTC" for when in times]
    return told if len(set(told)) == len(set(times)) else exact


def quotable(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text out of a certificate as a sentence may hold it: short, and only to be read."""
    return printable(text if len(text) <= longest else f"{text[:longest]}…")
