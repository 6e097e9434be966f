"""The extensions of a certificate, each read on its own: a bad one does not hide the rest.

pyca reads all of them or raises. Where it raises, each is put alone into a fresh certificate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtensionOID

Extensions = Mapping[x509.ObjectIdentifier, x509.Extension]

# Without these, nobody can tell whom a certificate is for and what it may be used for.
NEEDED = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
}
_MOST = 100  # extensions read one by one; honest certificates have ten or so
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))  # it protects nothing
_NOBODY = (
    *(x509.Name([]), x509.Name([]), _KEY.public_key(), 1),
    *(datetime(2000, 1, 1), datetime(2001, 1, 1)),
)


@dataclass(frozen=True)
class Unreadable:
    """A part of a certificate that can't be read: why, and whether clients go on without it."""

    why: str
    needed: bool = True


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class _ToBeSigned:
    version: Annotated[int | None, asn1.Explicit(0)]
    serial: asn1.TLV
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    public_key: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[_Extension] | None, asn1.Explicit(3)]


def read_extensions(certificate: x509.Certificate) -> tuple[Extensions, dict[str, Unreadable]]:
    """Return the extensions that can be read, and what is wrong with the others, by name.

    Raises what pyca raises when not even their list can be read.
    """
    with catch_warnings():
        simplefilter("ignore")  # pyca warns of an issuer's serial number that is not positive
        try:
            return {one.oid: one for one in certificate.extensions}, {}
        except Exception:  # pyca raises many kinds
            return _one_by_one(certificate)


def _one_by_one(certificate: x509.Certificate) -> tuple[Extensions, dict[str, Unreadable]]:
    written = asn1.decode_der(_ToBeSigned, certificate.tbs_certificate_bytes).extensions or []
    found: dict[x509.ObjectIdentifier, x509.Extension] = {}
    trouble = {} if len(written) <= _MOST else {"extensions": Unreadable(f"{len(written)} of them")}
    for one in written[:_MOST]:
        name = f"extension {called(one.oid)}"
        if one.oid in found:
            trouble[name] = Unreadable("it stands there twice")
            continue
        try:
            alone = x509.UnrecognizedExtension(one.oid, one.value)
            builder = x509.CertificateBuilder(*_NOBODY).add_extension(alone, one.critical)
            (found[one.oid],) = builder.sign(_KEY, None).extensions
        except Exception as error:
            trouble[name] = Unreadable(reason(error), one.critical or one.oid in NEEDED)
    return found, trouble


def called(oid: x509.ObjectIdentifier) -> str:
    """Return the name of an extension in RFC 5280, its number if it has none there."""
    return oid.dotted_string if oid._name == "Unknown OID" else oid._name


def reason(error: Exception) -> str:
    """Return why something can't be read, in a few words."""
    text = str(error).partition("\n")[0][:100]
    return "it is not valid DER" if "ParseError" in text else text or type(error).__name__
