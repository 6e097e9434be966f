"""One certificate in human words: for whom, from whom, until when, for what; all fields on demand.

Texts out of certificates are foreign: control characters and markup never leave here as such.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.extensions import called
from vmscert.certificates.paths import Reading, moment, plain

_LONGEST = 400  # letters of one field
_MOST = 20  # names listed in short
Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Anatomy:
    """A certificate as (field, text) rows: `rows` says what matters, `fields` holds everything."""

    rows: Rows
    fields: Rows

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.rows)

    def _repr_html_(self) -> str:
        return _table(self.rows) + (
            f"<details><summary>All fields</summary>{_table(self.fields)}</details>"
        )


def anatomy(certificate: x509.Certificate) -> Anatomy:
    """Take a certificate apart; what can't be read is told as such. Never raises."""
    one = Reading(certificate)
    return Anatomy(list(_rows(one)), list(_fields(one)))


def _table(rows: Rows) -> str:
    left = 'style="text-align: left"'
    cells = (
        f"<tr><th {left}>{escape(label)}</th><td {left}>{escape(text)}</td></tr>"
        for label, text in rows
    )
    return f"<table>{''.join(cells)}</table>"


def _rows(one: Reading) -> Iterator[tuple[str, str]]:
    yield "for", _text(one.common_names[-1] if one.common_names else "") or "nobody by name"
    names = [_text(name) for name in one.names[:_MOST]]
    more = len(one.names) - len(names)
    yield "names", (", ".join(names) or "none") + (f" and {more} more" if more > 0 else "")
    yield "issued by", "itself" if one.self_signed else one.issuer_label.strip("'")
    start, end = one.validity or (None, None)
    lasts = f"{moment(start)} to {moment(end)}, {(end - start).days} days" if start and end else ""
    yield "valid", lasts or "can't be read"
    yield "may be used", _purpose(one)
    yield "key", _key(one.key)
    yield "signed with", _signature(one)
    yield "thumbprint", thumbprint(one.certificate)
    for part, trouble in one.trouble.items():
        yield "can't be read", f"{part}: {_text(trouble.why)}"


def _purpose(one: Reading) -> str:
    purposes = one.get(x509.ExtendedKeyUsage)
    said = ["to issue certificates (it is a CA)"] if one.is_ca else []
    if purposes is None:
        said.append("for anything")
    else:
        said += [purpose._name for purpose in purposes]
    usage = one.get(x509.KeyUsage)
    return ", ".join(said) + (f"; key usage: {_usage(usage)}" if usage else "")


def _usage(usage: x509.KeyUsage) -> str:
    flags = {
        "digitalSignature": usage.digital_signature,
        "contentCommitment": usage.content_commitment,
        "keyEncipherment": usage.key_encipherment,
        "dataEncipherment": usage.data_encipherment,
        "keyAgreement": usage.key_agreement,
        "keyCertSign": usage.key_cert_sign,
        "cRLSign": usage.crl_sign,
    }
    return ", ".join(name for name, on in flags.items() if on) or "nothing"


def _key(key: Any) -> str:
    match key:
        case rsa.RSAPublicKey():
            return f"RSA, {key.key_size} bits, exponent {key.public_numbers().e}"
        case ec.EllipticCurvePublicKey():
            return f"elliptic curve {key.curve.name}"
        case None:
            return "can't be read"
    return type(key).__name__.removesuffix("PublicKey")


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
    name = one._read(part, lambda certificate: getattr(certificate, part).rfc4514_string())
    return "can't be read" if name is None else _text(name) or "(empty)"


def _value(value: Any) -> str:
    match value:
        case x509.SubjectAlternativeName() | x509.IssuerAlternativeName():
            texts = (
                (type(name).__name__, getattr(name.value, "rfc4514_string", name.value.__str__)())
                for name in value
            )
            return ", ".join(f"{kind} {text}" for kind, text in texts)
        case x509.KeyUsage():
            return _usage(value)
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


def _text(text: str) -> str:
    return plain(text, _LONGEST)
