"""Where each field of a certificate stands in its bytes: DER, read by its tags and lengths.

DER writes every value as tag, length, content (ITU-T X.690). Knowing the order of the fields
(RFC 5280 section 4.1), that is enough to say of each byte what it belongs to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat import asn1

from vmscert.certificates.reading import called

_VERSION, _EXTENSIONS = 0xA0, 0xA3  # the explicit tags [0] and [3]
_AFTER_VERSION = ("serialNumber", "signature", "issuer", "validity", "subject")
WRAPPING = "(tags and lengths)"


@dataclass(frozen=True)
class Field:
    """A stretch of a certificate's bytes, from `start` to before `end`, with the RFC's name."""

    name: str
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


@dataclass(frozen=True)
class _Value:
    """One DER value: its tag, where it starts, where its content does, and where it ends."""

    tag: int
    start: int
    body: int
    end: int


def certificate_fields(der: bytes) -> list[Field]:
    """Return the fields of a DER certificate in their order; together they cover every byte.

    Bytes that only wrap others are called "(tags and lengths)". Raises ValueError for bytes that
    are no certificate.
    """
    try:
        named = sorted(_named(der), key=lambda field: field.start)
    except (IndexError, ValueError) as error:
        raise ValueError(f"These bytes are no DER certificate: {error}") from None
    edges = [Field("", 0, 0), *named, Field("", len(der), len(der))]
    gaps = [Field(WRAPPING, one.end, two.start) for one, two in pairwise(edges)]
    return sorted((f for f in (*named, *gaps) if f.size), key=lambda field: field.start)


def _named(der: bytes) -> Iterator[Field]:
    signed, algorithm, signature = _children(der, _value(der, 0))
    parts = _children(der, signed)
    if parts[0].tag == _VERSION:
        yield _field("version", parts.pop(0))
    for name, part in zip(_AFTER_VERSION, parts, strict=False):
        if name == "validity":
            yield from map(_field, ("notBefore", "notAfter"), _children(der, part))
        else:
            yield _field(name, part)
    # The key: its algorithm, and for RSA the two numbers inside the bit string (RFC 8017 A.1.1).
    algorithm_of_key, bits = _children(der, parts[5])
    yield _field("algorithm", algorithm_of_key)
    if der[bits.body + 1] == 0x30:  # after "0 unused bits"
        numbers = _children(der, _value(der, bits.body + 1))
        yield from map(_field, ("modulus", "publicExponent"), numbers)
    else:
        yield _field("subjectPublicKey", bits)
    for part in parts[6:]:
        if part.tag == _EXTENSIONS:
            (sequence,) = _children(der, part)
            for extension in _children(der, sequence):
                oid = _children(der, extension)[0]
                name = asn1.decode_der(x509.ObjectIdentifier, der[oid.start : oid.end])
                yield _field(called(name), extension)
    yield _field("signatureAlgorithm", algorithm)
    yield _field("signatureValue", signature)


def _field(name: str, value: _Value) -> Field:
    return Field(name, value.start, value.end)


def _children(der: bytes, value: _Value) -> list[_Value]:
    found, at = [], value.body
    while at < value.end:
        found.append(_value(der, at))
        at = found[-1].end
    if at != value.end:
        raise ValueError(f"what is inside the value at byte {value.start} is longer than it")
    return found


def _value(der: bytes, start: int) -> _Value:
    """Read the tag and the length that stand at `start` (X.690 section 8.1)."""
    tag, length, body = der[start], der[start + 1], start + 2
    if length >= 0x80:  # the length itself takes several bytes
        body += length - 0x80
        length = int.from_bytes(der[start + 2 : body])
    if body + length > len(der):
        raise ValueError(f"a value at byte {start} is longer than what is there")
    return _Value(tag, start, body, body + length)
