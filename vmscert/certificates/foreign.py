"""Certificates that others made, read as their clients read them. Nothing here raises.

cryptography takes DER to the letter; OpenSSL and most clients overlook much. So what it refuses is
put into a sound certificate part by part. A part that is refused there, too, is mended where that
says the same, else left out. The stand-in answers; bytes, hash and signature stay the original's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, cast
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.hashes import Hash, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.ber import READABLE_TEXTS, Told, Value, as_der, tlv, values

_LARGEST = 1 << 20  # bytes; honest certificates have a thousand or two
_SEQUENCE, _SET, _TEXT, _BITS = b"\x30", b"\x31", b"\x0c", b"\x03"
# A certificate in which each part can be exchanged: RFC 5280 section 4.1, Ed25519 (RFC 8410).
_ALGORITHM = bytes.fromhex("300506032b6570")
_SOUND = {
    "version": bytes.fromhex("a003020102"),
    "serial number": bytes.fromhex("020101"),
    "signature algorithm": _ALGORITHM,
    "issuer": bytes.fromhex("3000"),
    "validity": bytes.fromhex("301e170d3030303130313030303030305a170d3031303130313030303030305a"),
    "subject": bytes.fromhex("3000"),
    "public key": bytes.fromhex("302a300506032b6570032100") + bytes(32),
    "unique identifiers": b"",
    "extensions": b"",
}
_OPTIONAL = {
    b"\x81": "unique identifiers",
    b"\xa1": "unique identifiers",
    b"\x82": "unique identifiers",
    b"\xa2": "unique identifiers",
    b"\xa3": "extensions",
}
# What must be readable in a part, for it to be sound.
_READ: Mapping[str, Callable[[x509.Certificate], Any]] = {
    "issuer": lambda one: one.issuer,
    "validity": lambda one: (one.not_valid_before_utc, one.not_valid_after_utc),
    "subject": lambda one: one.subject,
}
_ODD_VALUES = [bytes([tag]) for tag in (3, *range(7, 12), *range(13, 16), 29, 0x30)]  # OpenSSL's
_FALSE = b"\x01\x01\x00"
_KEY_AGREEMENT = 0x08  # a bit of the first byte of a key usage, RFC 5280 section 4.2.1.3
# GeneralName, RFC 5280 section 4.2.1.6, in the order of its tags.
_KINDS = ("otherName", "rfc822Name", "dNSName", "x400Address", "directoryName", "ediPartyName",
          "uniformResourceIdentifier", "iPAddress", "registeredID")  # fmt: skip
_NO_NAMES = bytes.fromhex("a104a4023000")  # [1] with one empty directory name


class Extension(NamedTuple):
    """An extension as written, and as it can be read: None with the reason `why` if it can't."""

    oid: x509.ObjectIdentifier
    critical: bool
    value: x509.Extension | None
    odd: str = ""
    why: str = ""


class StandIn:
    """A certificate that can't be loaded: `odd` parts were mended, `broken` ones left out.

    All else is asked of a certificate that can be, through the attributes of x509.Certificate.
    """

    def __init__(self, der: bytes) -> None:
        whole = next(values(der))
        signed, algorithm, signature = values(whole.content)
        _expect((whole, signed, algorithm, signature), _SEQUENCE * 3 + _BITS)
        _expect(values(algorithm.content), b"\x06")
        if not signature.content or signature.content[0] > 7:
            raise ValueError("its signature is no bit string")
        self.der = whole.whole
        self.tbs_certificate_bytes, self.signature = signed.whole, signature.content[1:]
        self.odd: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        parts = {name: self._part(name, value) for name, value in _parts(signed.content)}
        certificate = loaded(x509.load_der_x509_certificate, _assembled(parts))
        if certificate is None:  # parts that do not go together
            raise ValueError("it is no certificate")
        self.certificate = cast(x509.Certificate, certificate)

    def _part(self, name: str, value: Value) -> bytes:
        """Return a part as it can be loaded, and note what had to be done to it."""
        if name in ("extensions", "unique identifiers"):
            return b""  # extensions are read one by one, the others by nobody
        told: Told = {}
        for der in chain([value.whole], _mended(name, value.whole, told)):
            one = loaded(x509.load_der_x509_certificate, _assembled({name: der}))
            if one and loaded(_READ.get(name, bool), one) is not None:
                if told:
                    self.odd[name] = ", ".join(told)
                return der
        self.broken[name] = "it is not valid DER"
        return _SOUND[name]

    def public_bytes(self, encoding: Encoding) -> bytes:
        """Return the certificate as it was written."""
        if encoding is Encoding.DER:
            return self.der
        import ssl

        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    def fingerprint(self, algorithm: HashAlgorithm) -> bytes:
        """Return the hash of the certificate as it was written."""
        digest = Hash(algorithm)
        digest.update(self.der)
        return digest.finalize()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["certificate"], name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StandIn) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)


def loaded(load: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a loader makes of foreign bytes, None if it refuses, which it does in many ways.

    In silence: what is odd is told as a finding.
    """
    with catch_warnings():
        simplefilter("ignore")
        try:
            return load(*arguments)
        except Exception:
            return None


def certificate(der: bytes) -> x509.Certificate | None:
    """Return the certificate that bytes hold, as far as it can be read; None if they hold none."""
    strict = loaded(x509.load_der_x509_certificate, der)
    return strict if strict is not None else stand_in(der)


def stand_in(der: bytes) -> x509.Certificate | None:
    """Return what can be read of a certificate whose parts are odd, None if it is none."""
    # For all who read it, it is a certificate.
    return cast("x509.Certificate | None", loaded(StandIn, der[:_LARGEST]))


def signed_part(signed: Any) -> bytes:
    """Return what the signature on a certificate, request or revocation list is made over.

    ValueError where a certificate names one algorithm inside and another outside (RFC 5280 section
    4.1.1.2): clients take that for a wrong signature.
    """
    for kind in ("list", "request"):
        if found := getattr(signed, f"tbs_cert{kind}_bytes", None):
            return found
    part, algorithm, _ = values(next(values(signed.public_bytes(Encoding.DER))).content)
    if dict(_parts(part.content))["signature algorithm"].whole != algorithm.whole:
        raise ValueError("it names two algorithms")
    return part.whole


def names_no_curve(certificate: x509.Certificate) -> bool:
    """Tell whether a public key has structured parameters, where a curve's name belongs."""
    (signed,) = values(certificate.tbs_certificate_bytes)
    public = dict(_parts(signed.content))["public key"]
    algorithm = next(values(public.content))
    return [one.head for one in values(algorithm.content)] == [b"\x06", _SEQUENCE]


def _parts(signed: bytes) -> Iterator[tuple[str, Value]]:
    """The parts of TBSCertificate by name; ValueError where their order is another."""
    held = list(values(signed))
    if held[0].head != b"\xa0":
        held.insert(0, Value(b"\xa0", b"", b""))
    _expect(held, b"\xa0\x02" + _SEQUENCE * 5)
    yield from zip(_SOUND, held[:7], strict=False)
    heads = [one.head for one in held[7:]]
    if not set(heads) <= set(_OPTIONAL) or heads != sorted(set(heads), key=_tag):
        raise ValueError("it is no certificate")
    yield from ((_OPTIONAL[one.head], one) for one in held[7:])


def _expect(held: Iterable[Value], tags: bytes) -> None:
    """Raise ValueError where values do not begin with these tags: nobody reads that."""
    if not b"".join(one.head for one in held).startswith(tags):
        raise ValueError("it is no certificate")


def _assembled(parts: Mapping[str, bytes]) -> bytes:
    """A whole certificate with these parts, all others sound; its signature is none."""
    held = {**_SOUND, **parts}
    algorithm = held["signature algorithm"]
    return tlv(_SEQUENCE, tlv(_SEQUENCE, b"".join(held.values())) + algorithm + b"\x03\x01\x00")


def _mended(name: str, der: bytes, told: Told) -> Iterator[bytes]:
    """The same part in DER."""
    if name == "version":
        (written,) = values(next(values(der)).content)
        _expect([written], b"\x02")
        number = int.from_bytes(written.content, signed=True) + 1
        told[f"version {number}" if number != 1 else "its version, 1, is spelled out"] = None
        yield _SOUND["version"]
        return
    yield as_der(der, told)
    if name == "signature algorithm":
        told["parameters that this algorithm does not have"] = None
        (algorithm,) = values(der)
        yield tlv(_SEQUENCE, next(values(algorithm.content)).whole)
    if name in ("issuer", "subject"):
        yield _texts_only(as_der(der, told), told)


def _texts_only(name: bytes, told: Told) -> bytes:
    """A directory name whose values are all texts: of any other kind, its bytes in hex digits."""
    rdns = []
    for rdn in values(next(values(name)).content):
        _expect([rdn], _SET)
        pairs = []
        for pair in values(rdn.content):
            kind, value = values(pair.content)
            _expect([pair, kind], _SEQUENCE + b"\x06")
            if value.head[0] not in READABLE_TEXTS:
                if value.head not in _ODD_VALUES:
                    raise ValueError("its value is no text")
                told["a value that is no text"] = None
                value = Value(_TEXT, b"", tlv(_TEXT, b"#" + value.whole.hex().encode()))
            pairs.append(tlv(_SEQUENCE, kind.whole + value.whole))
        rdns.append(tlv(_SET, b"".join(pairs)))
    return tlv(_SEQUENCE, b"".join(rdns))


def extensions(certificate: x509.Certificate) -> Iterator[Extension]:
    """Yield each extension, read by itself; raises for what is no list of them."""
    (signed,) = values(certificate.tbs_certificate_bytes)
    for name, part in _parts(signed.content):
        if name == "extensions":
            (listed,) = values(part.content)
            _expect([listed], _SEQUENCE)
            yield from map(_extension, values(listed.content))


def _extension(written: Value) -> Extension:
    oid, *between, held = values(written.content)
    _expect([written, oid, *between, held], b"\x30\x06\x01\x04" if between else b"\x30\x06\x04")
    if between and len(between[0].content) != 1:
        raise ValueError("whether it is critical can't be read")
    critical = bool(between) and any(between[0].content)
    told: Told = {}
    if between and between[0].content != b"\xff":
        told["TRUE written as 01" if critical else "explicit FALSE in critical"] = None
    number, why = asn1.decode_der(x509.ObjectIdentifier, oid.whole), "it is not valid DER"
    for der in _ways(number, held.content, told):
        try:
            return Extension(number, critical, _alone(number, critical, der), ", ".join(told))
        except Exception as error:  # pyca raises many kinds
            why = reason(error)
    return Extension(number, critical, None, "", why)


def _alone(oid: x509.ObjectIdentifier, critical: bool, value: bytes) -> x509.Extension:
    """An extension out of a sound certificate that has no other."""
    flag = b"\x01\x01\xff" if critical else b""
    one = tlv(_SEQUENCE, asn1.encode_der(oid) + flag + tlv(b"\x04", value))
    part = tlv(b"\xa3", tlv(_SEQUENCE, one))
    with catch_warnings():
        simplefilter("ignore")  # of an issuer's serial number that is not positive
        (found,) = x509.load_der_x509_certificate(_assembled({"extensions": part})).extensions
    return found


def _ways(oid: x509.ObjectIdentifier, value: bytes, told: Told) -> Iterator[bytes]:
    """The value of an extension as written, in DER, and in the form that pyca insists on."""
    yield value
    try:
        der = as_der(value, told)
        yield der
        if oid in _MENDERS:
            (outer,) = values(der)
            yield _MENDERS[oid](outer, told)
    except (ValueError, IndexError):
        return


def _basic_constraints(outer: Value, told: Told) -> bytes:
    held = [one for one in values(outer.content) if one.whole != _FALSE]
    if len(held) < len(list(values(outer.content))):
        told["explicit FALSE in basicConstraints"] = None
    if held and held[0].head == b"\x02":
        told["pathLenConstraint without CA"] = None
        held = []
    return tlv(_SEQUENCE, b"".join(one.whole for one in held))


def _key_usage(outer: Value, told: Told) -> bytes:
    first, second = (*outer.content[1:3], 0, 0)[:2]
    if not first & _KEY_AGREEMENT:
        told["decipherOnly without keyAgreement"] = None
        first, second = first & 0xFE, 0
    bits = bytes([first, second & 0x80]).rstrip(b"\0")
    unused = (bits[-1] & -bits[-1]).bit_length() - 1 if bits else 0
    return tlv(b"\x03", bytes([unused]) + bits)


def _authority_key_identifier(outer: Value, told: Told) -> bytes:
    held = {one.head: one.whole for one in values(outer.content)}
    if (b"\xa1" in held) != (b"\x82" in held):
        if b"\xa1" in held:
            told["AKI of issuer only"] = None
            del held[b"\xa1"]
        else:  # the number counts for clients by itself
            told["AKI of serial only"] = None
            held[b"\xa1"] = _NO_NAMES
    return tlv(_SEQUENCE, b"".join(held[head] for head in sorted(held, key=_tag)))


def _general_names(outer: Value, told: Told) -> bytes:
    kept = []
    for one in values(outer.content):
        whole = tlv(_SEQUENCE, one.whole)
        if loaded(_alone, x509.SubjectAlternativeName.oid, False, whole):
            kept.append(one.whole)
        else:
            kind = _KINDS[_tag(one.head)] if _tag(one.head) < len(_KINDS) else "name"
            told[f"unreadable {kind} in SAN"] = None
    return tlv(_SEQUENCE, b"".join(kept))


def _tag(head: bytes) -> int:
    return head[0] & 0x1F


_MENDERS: Mapping[x509.ObjectIdentifier, Callable[[Value, Told], bytes]] = {
    x509.BasicConstraints.oid: _basic_constraints,
    x509.KeyUsage.oid: _key_usage,
    x509.AuthorityKeyIdentifier.oid: _authority_key_identifier,
    x509.SubjectAlternativeName.oid: _general_names,
    x509.IssuerAlternativeName.oid: _general_names,
}


def reason(error: Exception) -> str:
    """Return why something can't be read, in a few words."""
    text = str(error).partition("\n")[0][:100]
    return "it is not valid DER" if "ParseError" in text else text or type(error).__name__
