"""What bytes are, and what a certificate says, in human words.

Each reader returns what it found, or nothing if the bytes are something else; none raises. Texts
out of certificates are foreign: control characters and markup never leave here as such.
"""

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7, pkcs12

from vmscert.ber import rounds, values
from vmscert.certificates import foreign
from vmscert.certificates.authority import thumbprint
from vmscert.certificates.foreign import loaded, reason
from vmscert.certificates.reading import Reading, called, moment, quotable, spelled_out

Ask = Callable[[], str]  # → the password of what is being read; empty if nobody knows it
# A block ends before the next one begins, so that a file of beginnings is read in one pass.
_PEM = re.compile(
    r"-----BEGIN ([A-Z0-9 ]+)-----((?:(?!-----BEGIN ).)*?)-----END \1-----", re.DOTALL
)
_HEADER = re.compile(r"^[A-Za-z0-9-]+:.*(?:\n[ \t].*)*", re.MULTILINE)
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")
# PKCS #12: a SEQUENCE that begins with version 3 and a ContentInfo, RFC 7292 section 4.
_PFX = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03\x30", re.DOTALL)
# What encrypts a private key, by the beginning of its OID: RFC 8018's PBES2, RFC 7292's for PFX.
_ENCRYPTED = bytes.fromhex("06092a864886f70d01050d"), bytes.fromhex("2a864886f70d010c01")
_CIPHERS = {
    bytes.fromhex("060960864801650304012a"): "AES-256",
    bytes.fromhex("060a2a864886f70d010c0103"): "3DES",
}
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # RFC 5652 section 5.1
_MOST_ROUNDS = (
    4_000_000  # hashes of a password, some seconds; Windows takes 2,000, this kit 600,000
)
_text = partial(quotable, longest=400)  # letters of one field
_MOST = 20  # names listed in short
_USAGES = {
    "digitalSignature": "digital_signature", "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment", "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement", "keyCertSign": "key_cert_sign", "cRLSign": "crl_sign",
}  # fmt: skip
Rows = list[tuple[str, str]]


@dataclass
class Found:
    """What a piece of data holds; `kinds` are a few words for each thing, in their order."""

    kinds: list[str] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    requests: list[x509.CertificateSigningRequest] = field(default_factory=list)
    crls: list[x509.CertificateRevocationList] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    public_keys: list[bytes] = field(default_factory=list)  # of the private keys

    def add(self, other: "Found") -> None:
        """Take over what another piece holds."""
        for name, held in vars(other).items():
            getattr(self, name).extend(held)


def read_der(data: bytes, ask: Ask) -> Found | None:
    """Return what DER holds, None if it is nothing of ours."""
    if data[:1] != b"\x30":
        return None
    if found := _pfx(data, ask) or _certificate(data):
        return found
    if (request := loaded(x509.load_der_x509_csr, data)) is not None:
        return Found(["a certificate request (CSR)"], requests=[request])
    if (crl := loaded(x509.load_der_x509_crl, data)) is not None:
        return Found(["a revocation list (CRL)"], crls=[crl])
    several = loaded(pkcs7.load_der_pkcs7_certificates, data) or loaded(_in_p7b, data)
    if several is not None:
        return Found([f"a P7B with {counted(several)}"], certificates=list(several))
    if (private := loaded(serialization.load_der_private_key, data, None)) is not None:
        return _key_found(private, "private key, not encrypted")
    if any(scheme in data[:64] for scheme in _ENCRYPTED):
        return Found(["an encrypted private key"], keys=["private key, encrypted"])
    key = loaded(serialization.load_der_public_key, data)
    return key and Found(["a public key"], keys=[f"{described(key)} public key"])


def read_pem(text: str, ask: Ask) -> Found | None:
    """Return what all PEM blocks of a text hold, None if there is none; OpenPGP's are not PEM."""
    found = Found()
    blocks = (block for block in _PEM.finditer(text) if not block[1].startswith("PGP "))
    for number, block in enumerate(blocks, 1):
        found.add(_block(number, block, ask))
    return found if found.kinds else None


def _block(number: int, block: re.Match[str], ask: Ask) -> Found:
    label, body = block.groups()
    if label == "OPENSSH PRIVATE KEY":
        if key := loaded(serialization.load_ssh_private_key, block[0].encode(), None):
            return _key_found(key, "private key, OpenSSH, not encrypted")
        text = "private key, OpenSSH, encrypted or damaged"
        return Found(["an OpenSSH private key"], keys=[text])
    if "ENCRYPTED" in label or "Proc-Type: 4,ENCRYPTED" in body:
        return Found(["an encrypted private key"], keys=["private key, encrypted"])
    data = unbase64(_HEADER.sub("", body))
    found = read_der(data, ask) if data else None
    if label.startswith("TRUSTED") and data and not found:  # OpenSSL appends its own notes
        found = _certificate(data[: _length(data)])
    if found:
        return found
    text = f"block {number} ({label}) can't be read: it is cut off or was changed; export it again"
    return Found([f"a damaged {label.lower()}"], problems=[text])


def bearable(data: bytes) -> bool:
    """Whether a password for this PFX or PEM is tried within seconds, and not within hours."""
    blocks = _PEM.findall(data.decode("latin-1"))
    within = (unbase64(_HEADER.sub("", body)) for label, body in blocks if "ENCRYPTED" in label)
    return max(map(rounds, (data, *within))) <= _MOST_ROUNDS


def unbase64(text: str) -> bytes:
    """Return what base64 stands for, whatever stands between its letters; nothing if it is none."""
    letters = _NO_BASE64.sub("", text)
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except binascii.Error:
        return b""


def _length(data: bytes) -> int:
    """The whole length of the DER value that data begins with."""
    if len(data) < 2 or data[1] < 0x80:
        return 2 + (data[1] if len(data) > 1 else 0)
    size = data[1] & 0x7F
    return 2 + size + int.from_bytes(data[2 : 2 + size], "big")


def _certificate(data: bytes) -> Found | None:
    one = foreign.certificate(data)
    return one and Found(["a certificate"], certificates=[one])


def _in_p7b(data: bytes) -> list[x509.Certificate]:
    """The certificates of SignedData (RFC 5652 section 5.1), odd ones, too."""
    (content,) = values(data)
    kind, wrapped = values(content.content)
    (signed,) = values(wrapped.content)
    if kind.content != _SIGNED_DATA:
        raise ValueError("it is no P7B")
    held = [one for one in values(signed.content) if one.head == b"\xa0"]
    found = (foreign.certificate(one.whole) for one in values(held[0].content))
    return [one for one in found if one is not None]


def _key_found(key: Any, text: str) -> Found:
    kind = f"{described(key)} {text}"
    return Found(["a private key"], keys=[kind], public_keys=[spki(key.public_key())])


def counted(certificates: Collection[object]) -> str:
    """Return how many certificates there are, in words."""
    return f"{len(certificates)} certificate{'' if len(certificates) == 1 else 's'}"


def described(key: Any) -> str:
    """Return kind and size of a key, public or private."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return key.curve.name
    return type(key).__name__.removeprefix("_").partition("P")[0]


def spki(key: Any) -> bytes:
    """Return the SubjectPublicKeyInfo, empty for a kind of key that has none."""
    return loaded(lambda: key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)) or b""


def _pfx(data: bytes, ask: Ask) -> Found | None:
    if not _PFX.match(data):
        return None
    how = next((how for oid, how in _CIPHERS.items() if oid in data), "another or no encryption")
    kind = f"a PFX ({how})"
    if _length(data) > len(data):
        text = f"it is cut off: {len(data)} of {_length(data)} bytes are there; copy it again"
        return Found([kind], problems=[text])
    if not bearable(data):
        text = f"its password is to be hashed {rounds(data)} times, which takes hours: make it anew"
        return Found([kind], problems=[text])
    bag, text = loaded(pkcs12.load_pkcs12, data, None), "its password is needed to look into it"
    if not bag and (password := ask()):
        try:
            bag = pkcs12.load_pkcs12(data, password.encode())
        except Exception as error:  # pyca raises many kinds
            text = "the password does not open it: type it again, or the file was changed"
            if "password" not in str(error):
                text = f"the password opens it, but it can't be read: {reason(error)}"
    if not bag:
        return Found([kind], problems=[text])
    held = [one.certificate for one in (bag.cert, *bag.additional_certs) if one]
    found = Found([f"{kind} with {counted(held)}"], certificates=held)
    if bag.key is None:
        found.problems.append("no server can use it without a private key: export it with its key")
        return found
    found.keys.append(f"{described(bag.key)} private key")
    public = spki(bag.key.public_key())
    if not held:
        found.problems.append(
            "no certificate stands beside its key: export it with its certificate"
        )
    elif not bag.cert or spki(loaded(bag.cert.certificate.public_key)) != public:
        found.problems.append("its private key belongs to another certificate: export it again")
    return found


@dataclass(frozen=True)
class Anatomy:
    """A certificate as (field, text) rows: `rows` says what matters, `fields` holds everything."""

    rows: Rows
    fields: Rows

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.rows)

    def _repr_html_(self) -> str:
        more = f"<details><summary>All fields</summary>{_table(self.fields)}</details>"
        return _table(self.rows) + more


def anatomy(certificate: x509.Certificate) -> Anatomy:
    """Take a certificate apart; what can't be read is told as such. Never raises."""
    one = Reading(certificate)
    return Anatomy(list(_rows(one)), list(_fields(one)))


def _table(rows: Rows) -> str:
    row = '<tr><th style="text-align: left">{}</th><td style="text-align: left">{}</td></tr>'
    return f"<table>{''.join(row.format(*map(escape, cells)) for cells in rows)}</table>"


def _rows(one: Reading) -> Iterator[tuple[str, str]]:
    yield "for", _text(one.common_names[-1] if one.common_names else "") or "nobody by name"
    names = [_text(name) for name in one.names[:_MOST]]
    more = len(one.names) - len(names)
    yield "names", (", ".join(names) or "none") + (f" and {more} more" if more > 0 else "")
    yield "issued by", "itself" if one.self_signed else one.issuer_label.strip("'")
    valid = "can't be read"
    if one.validity:
        start, end = one.validity
        valid = f"{moment(start)} to {moment(end)}, {(end - start).days} days"
    yield "valid", valid
    purposes, usage = one.get(x509.ExtendedKeyUsage), one.get(x509.KeyUsage)
    said = ["to issue certificates (it is a CA)"] if one.is_ca else []
    said += ["for anything"] if purposes is None else [purpose._name for purpose in purposes]
    yield "may be used", ", ".join(said) + (f"; key usage: {_value(usage)}" if usage else "")
    yield "key", _key(one.key)
    yield "signed with", _signature(one)
    yield "thumbprint", thumbprint(one.certificate)
    for part, trouble in one.trouble.items():
        yield "can't be read", f"{part}: {_text(trouble.why)}"


def _key(key: Any) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits, exponent {key.public_numbers().e}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"elliptic curve {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey") if key else "can't be read"


def _signature(one: Reading) -> str:
    found = one.signature_hash
    name = found.name.upper() if isinstance(found, hashes.HashAlgorithm) else ""
    algorithm = one.certificate.signature_algorithm_oid
    return name or (algorithm.dotted_string if "nknown" in algorithm._name else algorithm._name)


def _fields(one: Reading) -> Iterator[tuple[str, str]]:
    """Yield every field in the order of the certificate, RFC 5280 section 4.1."""
    yield "version", one.certificate.version.name
    yield "serial number", f"{one.serial:X}"
    yield "signature algorithm", _signature(one)
    yield "issuer", _directory(one, "issuer")
    yield "not before", moment(one.validity[0]) if one.validity else "can't be read"
    yield "not after", moment(one.validity[1]) if one.validity else "can't be read"
    yield "subject", _directory(one, "subject")
    yield "public key", _key(one.key)
    for oid, extension in one.extensions.items():
        critical = ", critical" if extension.critical else ""
        yield f"{called(oid)}{critical}", _text(_value(extension.value))
    yield "signature", _text(one.certificate.signature.hex().upper())
    yield "SHA-1", thumbprint(one.certificate)
    yield "SHA-256", one.certificate.fingerprint(hashes.SHA256()).hex().upper()
    yield "size", f"{len(one.certificate.public_bytes(Encoding.DER))} bytes"


def _directory(one: Reading, part: str) -> str:
    name = one.read(part, lambda certificate: getattr(certificate, part).rfc4514_string())
    return "can't be read" if name is None else _text(name) or "(empty)"


def _value(value: Any) -> str:
    match value:
        case x509.SubjectAlternativeName() | x509.IssuerAlternativeName():
            return ", ".join(f"{type(name).__name__} {spelled_out(name)}" for name in value)
        case x509.KeyUsage():
            allowed = (name for name, flag in _USAGES.items() if getattr(value, flag))
            return ", ".join(allowed) or "nothing"
        case x509.ExtendedKeyUsage():
            return ", ".join(purpose._name for purpose in value)
        case x509.BasicConstraints():
            limit = "" if value.path_length is None else f", path length {value.path_length}"
            return ("CA" if value.ca else "no CA") + limit
        case x509.SubjectKeyIdentifier():
            return value.digest.hex().upper()
        case x509.AuthorityKeyIdentifier():
            return (value.key_identifier or b"").hex().upper() or str(value)
        case x509.UnrecognizedExtension():
            return value.value.hex().upper()
    return str(value)
