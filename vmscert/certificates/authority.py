"""A private certificate authority: it creates itself, issues by RFC 5280, signs requests."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmscert.certificates.keys import WORDS, decrypt_key, encrypt_key, is_teaching
from vmscert.certificates.reading import Reading, aware, made_by
from vmscert.facts import facts
from vmscert.names import parse_name

# Clocks differ: a certificate is valid a day before it is made, or a slow recorder refuses it.
BACKDATE = timedelta(days=1)
LONGEST_COMMON_NAME = 64  # letters; upper bound ub-common-name, RFC 5280 appendix A.1
_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
_OF_A_CA, _OF_A_SERVER = ("key_cert_sign", "crl_sign"), ("digital_signature", "key_encipherment")
_PFX = {
    "AES-256": (pkcs12.PBES.PBESv2SHA256AndAES256CBC, hashes.SHA256()),
    "3DES": (pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC, hashes.SHA1()),
}


@dataclass(frozen=True)
class Profile:
    """What tells one kind of certificate from another: a CA's, or a server's."""

    key_bits: int
    days: int  # validity, RFC 5280 section 4.1.2.5
    is_ca: bool  # and with it what its key may be used for, sections 4.2.1.3 and 4.2.1.12
    policy: str = ""  # its number, section 4.2.1.4


# Ten years: a root outlives several generations of servers, and is changed on a planned day.
ROOT = Profile(4096, 3653, is_ca=True)
# 2,048 bits are the least that iOS and current TLS clients accept, and the fastest to use; 397 days
# are a yearly change with a month to spare, far below the 825 that iPhones allow.
SERVER = Profile(2048, 397, is_ca=False)
# Only for tests and lessons, where half a second for a root key is half a second too long.
QUICK = replace(ROOT, key_bits=2048)
# Only for lessons: their handshakes have to succeed for as long as their CA is valid.
LESSON = replace(SERVER, days=ROOT.days)


@dataclass(frozen=True)
class Issued:
    """A certificate, its private key where we hold it, and the certificates above it."""

    certificate: x509.Certificate
    key: RSAPrivateKey | None
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def until(self) -> str:
        """The day on which it ends, and whether that is its CA's doing."""
        ends = f"{self.certificate.not_valid_after_utc:%Y-%m-%d}"
        return f"{ends} (ends with the CA)" if self.capped else ends

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificate and those above it, leaf first, root last."""
        return (self.certificate, *self.issuers)

    @property
    def names(self) -> tuple[str, ...]:
        """Every DNS name and IP address of the subjectAltName, as text."""
        return subject_names(self.certificate)

    @property
    def friendly_name(self) -> str:
        """The label that Windows and Server Configurator show in their lists."""
        name = self.names[0] if self.names else self.certificate.subject.rfc4514_string()
        return f"VMS {name} until {self.certificate.not_valid_after_utc:%Y-%m-%d}"

    @property
    def capped(self) -> bool:
        """Whether the certificate ends with its CA instead of after its full life."""
        last = self.certificate.not_valid_after_utc
        return last in [issuer.not_valid_after_utc for issuer in self.issuers]

    def pfx(self, password: str, encryption: str = "AES-256") -> bytes:
        """Return certificate, key and intermediates as PKCS #12, ready for Windows to import.

        `encryption` is "AES-256", or "3DES" for Windows before 10 1709 / Server 2019, which call
        the password of an AES file wrong. ValueError for a password that is not printable ASCII:
        Java, Mono and Wine cannot open such a file.
        """
        if self.key is None:
            raise ValueError("The private key was made on the server and is not here: no PFX")
        if not (password and password.isascii() and password.isprintable()):
            raise ValueError("The PFX password must be printable ASCII, or some clients fail")
        cipher, mac = _PFX[encryption]
        # 2,048 rounds, since the file's MAC has that many whatever we choose, and a guesser tries
        # the cheaper of the two: the strength is in the password.
        builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2048).hmac_hash(mac)
        lock = builder.key_cert_algorithm(cipher).build(password.encode())
        # Not the root: Windows would put it into the store of the server certificate.
        above = [issuer for issuer in self.issuers if issuer.subject != issuer.issuer]
        name = self.friendly_name.encode()
        return pkcs12.serialize_key_and_certificates(name, self.key, self.certificate, above, lock)

    def encrypted_key(self, password: str) -> bytes:
        """Return the private key as encrypted PKCS #8 in PEM, for programs that want files."""
        if self.key is None:
            raise ValueError("The private key was made on the server and is not here: no PEM file")
        return encrypt_key(self.key, password)


@dataclass(frozen=True)
class Authority:
    """A certificate authority: what it is (`issued`) and what it can do."""

    issued: Issued

    @property
    def certificate(self) -> x509.Certificate:
        """The CA certificate: public, goes to every computer."""
        return self.issued.certificate

    @property
    def name(self) -> str:
        """The CA's common name."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @cached_property
    def key(self) -> RSAPrivateKey:
        """The CA's private key; ValueError when only the certificate is at hand."""
        if self.issued.key is None:
            raise ValueError(f"The private key of {self.name!r} is not here: it can't sign")
        return self.issued.key

    def issue(
        self,
        *names: str,
        at: datetime,
        profile: Profile = SERVER,
        key: RSAPrivateKey | None = None,
        serial: int = 0,
    ) -> Issued:
        """Issue a certificate for these DNS names and IP addresses, with a new key unless given.

        It ends with its CA at the latest. ValueError for no or bad names, an `at` at which the CA
        is not valid, or a teaching key, unless the CA's is one, too.
        """
        key = key or new_key(profile.key_bits)
        certificate = self._certificate(names, key.public_key(), at, profile, serial)
        return Issued(certificate, key, self.issued.chain)

    def sign(
        self,
        csr: x509.CertificateSigningRequest,
        allowed: Iterable[str],
        at: datetime,
        profile: Profile = SERVER,
    ) -> Issued:
        """Answer a request whose key was made on the server itself; the key stays there.

        The certificate carries all `allowed` names, as the site's table decides, and the request's
        key. ValueError when its signature, key or names, all of which are listed, won't do.
        """
        names = tuple(allowed)
        certificate = self._certificate(names, _acceptable_key(csr, names), at, profile)
        return Issued(certificate, None, self.issued.chain)

    def renew(self, certificate: x509.Certificate, at: datetime) -> Issued:
        """Issue the same names again, with a new key that is no smaller."""
        bits = max(SERVER.key_bits, getattr(certificate.public_key(), "key_size", 0))
        names = subject_names(certificate)
        return self.issue(*names, at=at, profile=replace(SERVER, key_bits=bits))

    def encrypted_key(self, password: str) -> bytes:
        """Return the CA's private key as encrypted PKCS #8 PEM."""
        return encrypt_key(self.key, password)

    def _certificate(
        self, names, public_key: RSAPublicKey, at: datetime, profile: Profile, serial: int = 0
    ) -> x509.Certificate:
        if is_teaching(public_key) and not is_teaching(self.certificate.public_key()):
            raise ValueError(
                "This key is for lessons: anybody can derive its private half. Make a new one"
            )
        subject, alternatives = _server_names(names, public_key)
        if not list(alternatives):
            raise ValueError("A server certificate needs at least one name: none was given")
        born, last = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        at = aware(at).replace(microsecond=0)
        if not born <= at < last:
            raise ValueError(
                f"The CA {self.name!r} is valid from {born:%Y-%m-%d} to {last:%Y-%m-%d}, not on "
                f"{at:%Y-%m-%d}: create a new CA, or check the date"
            )
        start = max(at - BACKDATE, born)
        lasts = start, min(start + timedelta(days=profile.days), last)
        above = self.certificate
        return _signed(self.key, profile, subject, public_key, lasts, serial, alternatives, above)


def create_authority(
    name: str,
    at: datetime,
    profile: Profile = ROOT,
    key: RSAPrivateKey | None = None,
    serial: int = 0,
) -> Authority:
    """Create a root CA, with a new key unless given; ValueError for a name over 64 letters or none.

    Make the name unique to site and year, or two sites' CAs can't be told apart.
    """
    if not 0 < len(name.strip()) <= LONGEST_COMMON_NAME:
        raise ValueError(f"A CA name has 1 to {LONGEST_COMMON_NAME} letters, not {len(name)}")
    key = key or new_key(profile.key_bits)
    start = aware(at).replace(microsecond=0) - BACKDATE
    subject = _subject([name.strip()], key.public_key())
    lasts = start, start + timedelta(days=profile.days)
    certificate = _signed(key, profile, subject, key.public_key(), lasts, serial)
    return Authority(Issued(certificate, key))


def load_authority(certificate: bytes, encrypted_key: bytes, password: str) -> Authority:
    """Return the authority of a DER certificate and its encrypted key; ValueError if not a pair."""
    key = decrypt_key(encrypted_key, password)
    authority = Authority(Issued(x509.load_der_x509_certificate(certificate), key))
    if is_teaching(authority.certificate.public_key()):
        create = next(row for row in facts("change/runbooks") if row["achieved"] == "the CA exists")
        raise ValueError(
            f"{authority.name!r} is a CA for lessons: anybody can derive its private key. Create "
            f"the site's own CA ({create['name']})"
        )
    if key.public_key() != authority.certificate.public_key():
        raise ValueError(f"The key file does not belong to the certificate of {authority.name!r}")
    return authority


def new_key(bits: int) -> RSAPrivateKey:
    """Return a new random RSA key; under 2,048 bits is refused, as TLS clients do."""
    if bits < SERVER.key_bits:
        raise ValueError(f"An RSA key of {bits} bits is too weak: 2048 is the least")
    return rsa.generate_private_key(65537, bits)


def request(
    *names: str, key: RSAPrivateKey | None = None
) -> tuple[x509.CertificateSigningRequest, RSAPrivateKey]:
    """Return a certificate signing request (RFC 2986) for these names, and the key it is for."""
    key = key or new_key(SERVER.key_bits)
    subject, alternatives = _server_names(names, key.public_key())
    builder = x509.CertificateSigningRequestBuilder(subject)
    return builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256()), key


def subject_names(signed: x509.Certificate | x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Return the DNS names and IP addresses of the subjectAltName as text, in their order."""
    try:
        san = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(n.value) for n in san if isinstance(n, x509.DNSName | x509.IPAddress))


@lru_cache(maxsize=1 << 14)  # of few CAs and many computers the same is asked again and again
def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether the issuer's key really signed this certificate."""
    child, above = Reading(certificate), Reading(issuer)
    named = child.issuer is not None and child.issuer == above.subject
    return named and bool(made_by(above.key, certificate))


@lru_cache(maxsize=8192)
def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-1 of the certificate as Windows shows it: 40 upper-case hex digits."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    # It names a certificate and protects nothing, so SHA-1 does no harm here.
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def _server_names(
    names: Iterable[str], public_key: RSAPublicKey
) -> tuple[x509.Name, x509.SubjectAlternativeName]:
    """The subject, of the first name that fits (of a DNS name if any does), and all, each once."""
    parsed = list(dict.fromkeys(map(parse_name, names)))
    texts = map(str, sorted(parsed, key=lambda name: not isinstance(name, str)))
    fitting = [text for text in texts if len(text) <= LONGEST_COMMON_NAME][:1]
    general = [x509.DNSName(n) if isinstance(n, str) else x509.IPAddress(n) for n in parsed]
    return _subject(fitting, public_key), x509.SubjectAlternativeName(general)


def _subject(common_names: Iterable[str], public_key: RSAPublicKey) -> x509.Name:
    """A subject; that of a teaching key says what it is, so that nobody takes it for a real one."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, text) for text in common_names]
    if is_teaching(public_key):
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, WORDS))
    return x509.Name(parts)


def _signed(
    signer: RSAPrivateKey,
    profile: Profile,
    subject: x509.Name,
    public_key: RSAPublicKey,
    lasts: tuple[datetime, datetime],
    serial: int,
    names: x509.SubjectAlternativeName | None = None,
    issuer: x509.Certificate | None = None,
) -> x509.Certificate:
    """A certificate by a profile; without an issuer it is a root."""
    above, serial = issuer.subject if issuer else subject, serial or x509.random_serial_number()
    builder = x509.CertificateBuilder(above, subject, public_key, serial, *lasts)
    if names:  # critical exactly when the subject is empty, RFC 5280 section 4.2.1.6
        builder = builder.add_extension(names, critical=not list(subject))
    allowed = _OF_A_CA if profile.is_ca else _OF_A_SERVER
    usage = x509.KeyUsage(**{name: name in allowed for name in _KEY_USAGES})
    own_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
    # That of the issuer is computed when an old script forgot to write one into it.
    issuer_id = Reading(issuer).key_id if issuer else own_id.digest
    authority_id = x509.AuthorityKeyIdentifier(issuer_id, None, None)
    builder = builder.add_extension(x509.BasicConstraints(profile.is_ca, None), critical=True)
    builder = builder.add_extension(usage, critical=True).add_extension(own_id, critical=False)
    builder = builder.add_extension(authority_id, critical=False)
    if not profile.is_ca:  # never critical: cryptography's own verifier refuses a critical one
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(server, critical=False)
    if profile.policy:
        policy = x509.PolicyInformation(x509.ObjectIdentifier(profile.policy), None)
        builder = builder.add_extension(x509.CertificatePolicies([policy]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _acceptable_key(csr: x509.CertificateSigningRequest, allowed: Iterable[str]) -> RSAPublicKey:
    """The key of a request; ValueError where its signature, its key or its names won't do."""
    try:
        key = csr.public_key()
        signed = made_by(key, csr)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
        raise ValueError(f"The request can't be read: {error}. Make it again") from None
    if signed is None:
        how = csr.signature_algorithm_oid.dotted_string
        told = f"The request's signature, of algorithm {how}, can't be checked: use SHA-256"
        raise ValueError(f"{told}. Make it again")
    if not signed:
        raise ValueError(
            "The request's signature is wrong: it was changed on the way. Make it again"
        )
    if not isinstance(key, RSAPublicKey):
        raise ValueError("The request's key is not RSA, as XProtect asks. Make it with RSA")
    exponent = key.public_numbers().e
    if key.key_size < SERVER.key_bits or exponent < 65537:
        weak = f"is weak ({key.key_size} bits, exponent {exponent})"
        raise ValueError(f"The request's RSA key {weak}: make it with 2048 bits or more")
    try:
        common = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        wanted = [*subject_names(csr), *(str(attribute.value) for attribute in common)]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"The request's names can't be read: {error}. Make it again") from None
    known, strangers = set(map(parse_name, allowed)), list(dict.fromkeys(wanted))
    for name in dict.fromkeys(wanted):
        with suppress(ValueError):  # as for a person's name in the common name
            if parse_name(name) in known:
                strangers.remove(name)
    if strangers:
        raise ValueError(
            f"The request asks for {', '.join(strangers)}, which the site's table does not give to "
            f"this computer: correct the table or the request"
        )
    return key


def read_pfx(path: Path, password: str, *issuers: x509.Certificate) -> Issued:
    """Open a PFX file; ValueError in one sentence when it won't open."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(path.read_bytes(), password.encode())
    except ValueError:
        raise ValueError(f"{path.name}: the password is wrong, or the file is not a PFX") from None
    if certificate is None or not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{path.name}: holds no certificate with an RSA private key")
    return Issued(certificate, key, issuers)


def issue_all(
    ca: Authority, orders: Mapping[str, Sequence[str]], at: datetime, profile: Profile = SERVER
) -> Iterator[tuple[str, Issued]]:
    """Yield (host, certificate with its own new key) for every host → names, in their order."""
    # Keys are nearly all of the work, and are made outside Python's lock: a thread for each core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        keys = [pool.submit(new_key, profile.key_bits) for _ in orders]
        try:
            for (host, names), key in zip(orders.items(), keys, strict=True):
                yield host, ca.issue(*names, at=at, profile=profile, key=key.result())
        finally:  # whoever stops early does not wait for keys that nobody wants
            for key in keys:
                key.cancel()
