"""The messages of a TLS handshake in words, as RFC 8446 (TLS 1.3) and RFC 5246 (TLS 1.2) name them.

What is told of a message is the same in every run with the same certificates. Fields of a
certificate are found by the lengths of its DER (ITU-T X.690) and the order of RFC 5280 section 4.1.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat import asn1

from vmscert.certificates.reading import Reading, called, reason
from vmscert.facts import facts

_SERVER_NAME, _GROUPS, _SCHEMES, _VERSIONS, _KEY_SHARE = 0, 10, 13, 43, 51  # extensions
_NO_SUITE = 0x00FF  # a signal that older OpenSSL put among the cipher suites, RFC 5746
_NUMBERS = {(row["what"], int(row["number"], 0)): row for row in facts("tls/numbers")}


@dataclass(frozen=True)
class Message:
    """One message of a connection."""

    sender: str  # "client" or "server"
    name: str  # the RFC's
    protected: bool  # whether it travels encrypted
    data: bytes  # in clear all the same
    facts: Mapping[str, str]  # field → text, the same in every run
    says: str  # one sentence: what the message is for


class Reader:
    """Reads bytes from left to right; ValueError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError(f"The message ends after {len(self.data)} bytes, in the midst of one")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """Return a vector, which has its length in `size` bytes in front (RFC 8446 section 3.4)."""
        return self.take(self.number(size))

    def numbers(self) -> list[int]:
        """Return all that follow, of two bytes each."""
        found = []
        while self.more:
            found.append(self.number(2))
        return found

    def signature(self) -> tuple[str, bytes]:
        """Return an algorithm's name and a signature: digitally-signed, RFC 5246 section 4.7."""
        return _called("signature", [self.number(2)]), self.vector(2)


def handshake_name(data: bytes) -> str:
    """Return the name of a handshake message, which its first byte tells."""
    known = _NUMBERS.get(("message", data[0]))
    return known["name"] if known else f"handshake message {data[0]}"


def message(
    sender: str, name: str, protected: bool, data: bytes, version: str, key_exchange: str
) -> Message:
    """Tell what a message says; `version` is "1.3" or "1.2", `key_exchange` "ECDHE" or "RSA"."""
    told, said = {}, ""
    for row in facts("tls/messages"):  # what is alike in all of its kind; the special comes later
        fits = row["version"] in ("", version) and row["key_exchange"] in ("", key_exchange)
        if row["message"] == name and fits:
            said = row["says"]
            told |= dict(part.split(": ", 1) for part in row["facts"].split("|") if part)
    told |= _READERS[name](data) if name in _READERS else {}
    return Message(sender, name, protected, data, told, said.format(sender=sender))


def hello(data: bytes) -> tuple[int, list[int], dict[int, bytes]]:
    """Return the version field, cipher suites and extensions of a hello (RFC 8446 section 4.1)."""
    reader = Reader(data[4:])
    version, _random, _session = reader.number(2), reader.take(32), reader.vector(1)
    if handshake_name(data) == "ClientHello":
        suites, _compression = Reader(reader.vector(2)).numbers(), reader.vector(1)
    else:
        suites, _compression = [reader.number(2)], reader.take(1)
    return version, suites, _pairs(reader.vector(2) if reader.more else b"")


def _pairs(data: bytes) -> dict[int, bytes]:
    """Extensions and key shares alike: a number, and a vector of its bytes."""
    reader, found = Reader(data), {}
    while reader.more:
        number = reader.number(2)
        found[number] = reader.vector(2)
    return found


def _client_hello(data: bytes) -> dict[str, str]:
    version, suites, extensions = hello(data)
    shares = _pairs(Reader(extensions.get(_KEY_SHARE, b"\0\0")).vector(2))
    known = set(suites) - {_NO_SUITE}
    # Newer OpenSSL offers more; only what all offer is told: a lesson reads the same with each.
    offered = {("signature", one) for one in _listed(extensions, _SCHEMES, 2)}
    kinds = dict.fromkeys(row["kind"] for key, row in _NUMBERS.items() if key in offered)
    asked = "no name"  # of a client that calls an IP address
    if _SERVER_NAME in extensions:  # RFC 6066 section 3
        reader = Reader(Reader(extensions[_SERVER_NAME]).vector(2))
        reader.take(1)
        asked = reader.vector(2).decode("ascii", "replace")
    told = {
        "asks for": asked,
        "offers": _called("version", _listed(extensions, _VERSIONS, 1) or [version]),
        "sends": _half(*shares) if shares else "",
        "knows": f"{len(known)} cipher suite{'s' * (len(known) != 1)}",
        "ECDHE groups": _called("group", _listed(extensions, _GROUPS, 2)),
        "accepts signatures by": ", ".join(kinds),
    }
    return {field: text for field, text in told.items() if text}


def _server_hello(data: bytes) -> dict[str, str]:
    version, suites, extensions = hello(data)
    version = int.from_bytes(extensions[_VERSIONS]) if _VERSIONS in extensions else version
    told = {"chooses": _called("version", [version])}
    told["cipher suite"] = _called("cipher suite", suites)
    if _KEY_SHARE in extensions:
        told["sends"] = _half(Reader(extensions[_KEY_SHARE]).number(2))
    return told


def _certificate(data: bytes) -> dict[str, str]:
    leaf, *others = map(_certified, sent_certificates(data))
    also = ", ".join(one["certificate of"] for one in others)
    return leaf | ({"also sent": also} if others else {})


def sent_certificates(data: bytes) -> Iterator[bytes]:
    """Yield what a Certificate message carries, as DER (RFC 8446 section 4.4.2, RFC 5246 7.4.2)."""
    reader = Reader(data[4:])
    in_12 = int.from_bytes(data[4:7]) == len(data) - 7  # TLS 1.3 puts a context in front
    if not in_12:
        reader.vector(1)
    reader = Reader(reader.vector(3))
    while reader.more:
        yield reader.vector(3)
        if not in_12:
            reader.vector(2)  # extensions


def _certified(der: bytes) -> dict[str, str]:
    try:
        one = Reading(x509.load_der_x509_certificate(der))
    except (ValueError, x509.InvalidVersion) as error:
        return {"certificate of": f"nobody: {reason(error)}"}
    told = {"certificate of": one.label.strip("'"), "issued by": one.issuer_label.strip("'")}
    return told | ({"good for": ", ".join(one.names)} if one.names else {})


def _alert(data: bytes) -> dict[str, str]:
    level, number = data
    known = {one.value: one.name.removeprefix("ALERT_DESCRIPTION_") for one in ssl.AlertDescription}
    return {
        "alert": known.get(number, str(number)).lower(),
        "level": {1: "warning", 2: "fatal"}.get(level, str(level)),
    }


def _half(*groups: int) -> str:
    return f"its half of ECDHE ({_called('group', groups)})"


def _listed(extensions: Mapping[int, bytes], number: int, size: int) -> list[int]:
    listed = Reader(extensions[number]).vector(size) if number in extensions else b""
    return Reader(listed).numbers()


def _called(what: str, numbers: Iterable[int]) -> str:
    """The names of these numbers; what we don't know is told as a number."""
    known = [_NUMBERS.get((what, number), {"name": f"0x{number:04X}"}) for number in numbers]
    return ", ".join(row["name"] for row in known)


_READERS = {
    "ClientHello": _client_hello,
    "ServerHello": _server_hello,
    "EncryptedExtensions": lambda data: (
        {"carries": f"{len(_pairs(Reader(data[4:]).vector(2))) or 'no'} more settings"}
    ),
    "Certificate": _certificate,
    "CertificateVerify": lambda data: {"with": Reader(data[4:]).signature()[0]},
    "Alert": _alert,
    "ApplicationData": lambda data: {"carries": f"{len(data)} bytes of what the programs say"},
}
_VERSION, _EXTENSIONS = 0xA0, 0xA3  # the explicit tags [0] and [3]
_AFTER_VERSION = ("serialNumber", "signature", "issuer", "validity", "subject")
WRAPPING = "(tags and lengths)"


class Field(NamedTuple):
    """A stretch of a certificate's bytes, from `start` to before `end`, with the RFC's name."""

    name: str
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


class _Value(NamedTuple):
    """One DER value: its tag, where it starts, where its content does, and where it ends."""

    tag: int
    start: int
    body: int
    end: int


def certificate_fields(der: bytes) -> list[Field]:
    """Return the fields of a DER certificate in their order; together they cover every byte.

    Bytes that only wrap others are called "(tags and lengths)". ValueError for other bytes.
    """
    try:
        found = (Field(name, value.start, value.end) for name, value in _named(der))
        named = sorted(found, key=itemgetter(1))
    except (IndexError, ValueError) as error:
        raise ValueError(f"These bytes are no DER certificate: {error}") from None
    edges = [Field("", 0, 0), *named, Field("", len(der), len(der))]
    gaps = [Field(WRAPPING, one.end, two.start) for one, two in pairwise(edges)]
    return sorted((field for field in (*named, *gaps) if field.size), key=itemgetter(1))


def _named(der: bytes) -> Iterator[tuple[str, _Value]]:
    signed, algorithm, signature = _children(der, _value(der, 0))
    parts = _children(der, signed)
    if parts[0].tag == _VERSION:
        yield "version", parts.pop(0)
    for name, part in zip(_AFTER_VERSION, parts, strict=False):
        if name == "validity":
            yield from zip(("notBefore", "notAfter"), _children(der, part), strict=True)
        else:
            yield name, part
    # The key: its algorithm, and for RSA the two numbers inside the bit string (RFC 8017 A.1.1).
    algorithm_of_key, bits = _children(der, parts[5])
    yield "algorithm", algorithm_of_key
    if der[bits.body + 1] == 0x30:  # after "0 unused bits"
        numbers = _children(der, _value(der, bits.body + 1))
        yield from zip(("modulus", "publicExponent"), numbers, strict=True)
    else:
        yield "subjectPublicKey", bits
    for part in parts[6:]:
        if part.tag == _EXTENSIONS:
            (sequence,) = _children(der, part)
            for extension in _children(der, sequence):
                oid = _children(der, extension)[0]
                name = asn1.decode_der(x509.ObjectIdentifier, der[oid.start : oid.end])
                yield called(name), extension
    yield "signatureAlgorithm", algorithm
    yield "signatureValue", signature


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
