"""What a server presents in each case of `data/clients.csv`, as bytes, with its private key.

Most cases are plans of `chains`; what pyca's builder refuses to write is changed in the DER of a
certificate, which its issuer then signs again.
"""

from dataclasses import dataclass, replace
from functools import cache

from chains import (
    AT,
    DAY,
    FAULTS,
    MIDDLE,
    NAME,
    ROOT,
    Chain,
    ca,
    key,
    key_ids,
    named,
    of,
    only,
    put,
    revocation_list,
    server,
    signed,
    usage,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

KEY_CERT_SIGN = usage("key_cert_sign")
ANY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
BROKEN = x509.UnrecognizedExtension(x509.AuthorityInformationAccess.oid, b"not DER")
AS_DNS = x509.SubjectAlternativeName([x509.DNSName("10.10.0.21")])


@dataclass(frozen=True)
class Served:
    """What one server presents, and to which client."""

    sent: tuple  # DER, leaf first
    roots: tuple  # DER
    key: object = ""  # of the server, as PEM; of chains.key("leaf") if not given
    asks: str = NAME
    crls: tuple = ()
    old: bool = False  # the server speaks TLS 1.1 at the most
    plain: bool = False  # the server answers without TLS

    @property
    def key_pem(self):
        return self.key or pem_of(key("leaf"))


def pem_of(private):
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def der(*certificates):
    return tuple(one.public_bytes(Encoding.DER) for one in certificates)


def whole():
    """A healthy chain; NSS wants that no two certificates of an issuer have one serial number."""
    return replace(Chain(), middle=replace(Chain().middle, serial=4712))


def of_plans(change):
    """What chains of three serve after a change of their plans."""
    chain = change(whole())
    sent, roots = chain.parts()
    return Served(der(*sent), der(*roots), asks=chain.asks, crls=chain.lists)


# Changes of DER: a value is (tag, content), its content bytes, or a list of values.


def parsed(data):
    """The values that stand in bytes, one after the other."""
    values = []
    while data:
        length, start = data[1], 2
        if length > 0x80:
            start = 2 + length - 0x80
            length = int.from_bytes(data[2:start])
        content = data[start : start + length]
        values.append([data[0], parsed(content) if data[0] & 0x20 else content])
        data = data[start + length :]
    return values


def written(values):
    data = b""
    for tag, content in values:
        inner = written(content) if isinstance(content, list) else content
        size = len(inner).to_bytes(max(1, (len(inner).bit_length() + 7) // 8))
        data += bytes([tag]) + (b"" if len(inner) < 0x80 else bytes([0x80 + len(size)])) + size
        data += inner
    return data


SHA256_RSA = bytes.fromhex("2a864886f70d01010b")


def signed_again(certificate, edit, issuer_key, digest=None, oid=SHA256_RSA):
    """The DER of a certificate after `edit` of what its issuer signs, signed anew."""
    ((_, (body, algorithm, _signature)),) = parsed(certificate.public_bytes(Encoding.DER))
    edit(body[1])
    body[1][2][1][0][1] = algorithm[1][0][1] = oid
    signature = issuer_key.sign(written([body]), padding.PKCS1v15(), digest or hashes.SHA256())
    return written([[0x30, [body, algorithm, [0x03, b"\0" + signature]]]])


def edited(edit=lambda body: None, private=None, plan=lambda p: p, **how):
    """A healthy chain whose leaf is changed in its DER; `private` is another key of the server."""
    chain = of("leaf", plan)(whole())
    _, middle, root = chain.certificates()
    leaf = signed(chain.leaf, chain.middle, public=private and private.public_key())
    leaf = signed_again(leaf, edit, key(MIDDLE), **how)
    return Served((leaf, *der(middle)), der(root), private and pem_of(private), chain.asks)


def replacing(old, new):
    """An edit of bytes of the same kind, anywhere."""

    def edit(body):
        before = written(body)
        assert old in before
        body[:] = parsed(before.replace(old, new, 1))

    return edit


def with_extension(oid, value, critical=False):
    """A change of a plan: an extension with bytes that pyca would not write."""
    kind = x509.ObjectIdentifier(oid)
    known = {one.oid: one for one in x509.ExtensionType.__subclasses__() if hasattr(one, "oid")}

    def change(plan):
        plan = plan.without(known[kind])
        return plan.having(x509.UnrecognizedExtension(kind, value), critical=critical)

    return lambda: edited(plan=change)


def extensions_of(body):
    return body[-1][1][0][1]


def explicit_false(body):
    """Write the default of an extension's `critical` in full."""
    one = next(one for one in extensions_of(body) if len(one[1]) == 2)
    one[1].insert(1, [0x01, b"\0"])


def version(number):
    return lambda: edited(lambda body: body[0][1].__setitem__(0, [0x02, bytes([number - 1])]))


def organization(text):
    """A subject whose organization is a PrintableString with characters that it can't have."""
    value = [0x31, [[0x30, [[0x06, bytes.fromhex("55040a")], [0x13, text.encode()]]]]]
    return lambda: edited(lambda body: body[5][1].insert(0, value))


def general_name(tag, content):
    """A subjectAltName with the right name and another one, written by hand."""
    name = [0x82, NAME.encode()]
    value = written([[0x30, [name, [tag, content]]]])
    return with_extension("2.5.29.17", value)


def number(value):
    return [0x02, value.to_bytes(value.bit_length() // 8 + 1)]


def on_curve(curve):
    return lambda: edited(private=ec.generate_private_key(curve()))


def explicit_curve():
    """A key on P-256 whose curve is written out in numbers; FIPS 186-4 appendix D.1.2.3."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    one = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    base = b"\x04" + one.x.to_bytes(32) + one.y.to_bytes(32)
    field = [0x30, [[0x06, bytes.fromhex("2a8648ce3d0101")], number(p)]]
    curve = [0x30, [[0x04, (p - 3).to_bytes(32)], [0x04, b.to_bytes(32)]]]
    numbers = [0x30, [number(1), field, curve, [0x04, base], number(n), number(1)]]

    def edit(body):
        body[6][1][0][1][1] = numbers

    return edited(edit, ec.generate_private_key(ec.SECP256R1()))


def pss_key():
    """A key that may only sign with RSA-PSS; RFC 8017 appendix A.2.3."""
    pss = [[0x06, bytes.fromhex("2a864886f70d01010a")]]

    def edit(body):
        body[6][1][0][1] = pss

    found = edited(edit)
    form = Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    (private,) = parsed(key("leaf").private_bytes(*form))
    private[1][1][1] = pss
    return replace(found, key=as_pem(written([private]), "PRIVATE KEY"))


def exponent_one():
    """A key that changes nothing: whatever is signed is its own signature."""
    numbers = key("leaf").private_numbers()
    n, p, q = numbers.public_numbers.n, numbers.p, numbers.q
    plain = written([[0x30, [number(i) for i in (0, n, 1, 1, p, q, 1, 1, pow(q, -1, p))]]])

    def edit(body):
        body[6][1][1][1] = b"\0" + written([[0x30, [number(n), number(1)]]])

    return replace(edited(edit), key=as_pem(plain, "RSA PRIVATE KEY"))


def as_pem(data, label):
    from base64 import encodebytes

    return f"-----BEGIN {label}-----\n{encodebytes(data).decode()}-----END {label}-----\n".encode()


def weak_hash(digest, oid):
    return lambda: edited(digest=digest, oid=bytes.fromhex(oid))


def long_chain():
    """Nine issuing CAs between leaf and root."""
    chain, issuer = [], ca(ROOT)
    for count in range(1, 10):
        own = replace(ca(f"Example issuing CA {count}"), key=MIDDLE, serial=count)
        own = own.having(*key_ids(MIDDLE, issuer.key))
        chain.insert(0, signed(own, issuer))
        issuer = own
    leaf = signed(server(MIDDLE, NAME), issuer)
    return Served(der(leaf, *chain), der(signed(ca(ROOT), ca(ROOT))))


def two_issuing(in_order=True, limit=None):
    """Two issuing CAs between leaf and root; the upper one allows `limit` CAs below itself."""
    low = replace(ca("Example lower CA"), key="low").having(*key_ids("low", MIDDLE))
    middle, root = whole().middle, whole().root
    middle = middle.having(x509.BasicConstraints(True, limit), critical=True)
    above = signed(low, middle), signed(middle, root)
    sent = signed(server("low", NAME), low), *(above if in_order else above[::-1])
    return Served(der(*sent), der(signed(root, root)))


def older_sent():
    """The leaf was issued with a new key of the issuing CA; sent is the CA's older certificate."""
    newer = replace(ca(MIDDLE), key="newer")
    leaf = signed(server("newer", NAME), newer)
    _, middle, root = whole().certificates()
    return Served(der(leaf, middle), der(root))


def other_serial(serial=4713):
    """A root whose own key identifier names another certificate of itself."""
    above = [x509.DirectoryName(named(ROOT))]
    ident = x509.SubjectKeyIdentifier.from_public_key(key(ROOT).public_key()).digest
    return of("root", lambda p: p.having(x509.AuthorityKeyIdentifier(ident, above, serial)))


ISSUER_NAME = written([[0xA1, [[0xA4, parsed(named(ROOT).public_bytes())]]]])
AKI = "2.5.29.35"
PLANS = {
    "expired": FAULTS["expired"],
    "root expired": FAULTS["expired, root"],
    "not yet valid": of("leaf", lambda p: replace(p, start=AT + DAY / 2)),
    "not yet valid for more than a day": of(
        "leaf", lambda p: replace(p, start=AT + 30 * DAY, end=AT + 99 * DAY)
    ),
    "wrong host or IP address": put(asks="10.10.0.22"),
    "IP address only as dNSName": lambda chain: replace(
        chain, asks="10.10.0.21", leaf=chain.leaf.having(AS_DNS)
    ),
    "CN only": FAULTS["no-san"],
    "untrusted root": FAULTS["untrusted-root"],
    "root of the same name with another key": FAULTS["root-recreated"],
    "self-signed": FAULTS["self-signed"],
    "issuing CA not sent": FAULTS["missing-intermediate"],
    "wrong EKU": FAULTS["wrong-eku"],
    "leaf keyUsage only keyCertSign": of("leaf", lambda p: p.having(KEY_CERT_SIGN, critical=True)),
    "root without basicConstraints": of("root", lambda p: p.without(x509.BasicConstraints)),
    "root that says it is no CA": of(
        "root", lambda p: p.having(x509.BasicConstraints(False, None), critical=True)
    ),
    "issuing CA that says it is no CA": FAULTS["issuer-not-ca"],
    "root without keyCertSign": of("root", lambda p: p.having(usage("crl_sign"), critical=True)),
    "issuing CA without keyCertSign": FAULTS["issuer-key-usage"],
    "more CAs than the root allows": FAULTS["path-length"],
    "name outside the root's nameConstraints": FAULTS["name-constraint"],
    "signature that does not fit": FAULTS["bad-signature"],
    "root without keyUsage": FAULTS["profile, root"],
    "leaf without AKI": FAULTS["profile"],
    "AKI names another key": of("leaf", lambda p: p.having(key_ids("leaf", "other")[1])),
    "root's AKI names another serial": other_serial(),
    "on the revocation list": put(lists=(revocation_list(MIDDLE, 4711),)),
    "revocation list unusable": put(lists=(revocation_list(MIDDLE, end=AT - DAY),)),
    "wrong EKU in a CA": FAULTS["wrong-eku, middle"],
    "EKU any": of("leaf", lambda p: p.having(ANY)),
    "EKU any in a CA": of("middle", lambda p: p.having(ANY)),
    "trusted CA that is no root": put(trusts="middle"),
    "critical key identifier": of(
        "leaf", lambda p: p.having(key_ids("leaf", MIDDLE)[1], critical=True)
    ),
    "version 1 with extensions": of("leaf", lambda p: replace(p, version=x509.Version.v1)),
    "CA without a subject": lambda chain: replace(
        chain, middle=replace(chain.middle, subject="", key=MIDDLE)
    ),
    "no subject, SAN not critical": of("leaf", lambda p: replace(p, subject="")),
    "CA not critical": of("middle", lambda p: p.having(x509.BasicConstraints(True, None))),
    "no CA, but keyCertSign": of(
        "leaf", lambda p: p.having(usage("digital_signature", "key_cert_sign"))
    ),
    "name constraints in a leaf": of("leaf", lambda p: p.having(only("example.local"))),
    "CA without SKI": of("middle", lambda p: p.without(x509.SubjectKeyIdentifier)),
    "intermediate without AKI": of("middle", lambda p: p.without(x509.AuthorityKeyIdentifier)),
    "odd extension that clients can do without": of("leaf", lambda p: p.having(BROKEN)),
    "unknown critical extension": FAULTS["unknown-critical-extension"],
    "leaf that is a CA": FAULTS["leaf-is-ca"],
    "explicit policy required by a CA": of(
        "middle", lambda p: p.having(x509.PolicyConstraints(0, None), critical=True)
    ),
    "must-staple without a stapled answer": of(
        "leaf", lambda p: p.having(x509.TLSFeature([x509.TLSFeatureType.status_request]))
    ),
    "name with an underscore": lambda chain: replace(
        chain,
        asks="vms_rec_01.example.local",
        leaf=chain.leaf.having(
            x509.SubjectAlternativeName([x509.DNSName("vms_rec_01.example.local")])
        ),
    ),
}
MADE = {
    "RSA 1024 leaf": lambda: edited(private=rsa.generate_private_key(65537, 1024)),
    "SHA-1 signature": weak_hash(hashes.SHA1(), "2a864886f70d010105"),
    "MD5 signature": weak_hash(hashes.MD5(), "2a864886f70d010104"),
    "issuing CAs out of order": lambda: two_issuing(in_order=False),
    "issuing CA's older certificate, of another key": older_sent,
    "more CAs than an issuing CA allows": lambda: two_issuing(limit=0),
    "nine issuing CAs": long_chain,
    "secp256k1 key": on_curve(ec.SECP256K1),
    "brainpoolP256r1 key": on_curve(ec.BrainpoolP256R1),
    "secp192r1 key": on_curve(ec.SECP192R1),
    "secp224r1 key": on_curve(ec.SECP224R1),
    "secp521r1 key": on_curve(ec.SECP521R1),
    "key with explicit EC parameters": explicit_curve,
    "Ed25519 key": lambda: edited(private=ed25519.Ed25519PrivateKey.generate()),
    "Ed448 key": lambda: edited(private=ed448.Ed448PrivateKey.generate()),
    "RSA-PSS key": pss_key,
    "RSA exponent 3": lambda: edited(private=rsa.generate_private_key(3, 2048)),
    "RSA exponent 1": exponent_one,
    "AKI of issuer only": with_extension(AKI, written([[0x30, parsed(ISSUER_NAME)]])),
    "AKI of serial only": with_extension(AKI, bytes.fromhex("300482021268")),
    "explicit FALSE in basicConstraints": with_extension(
        "2.5.29.19", bytes.fromhex("3003010100"), critical=True
    ),
    "pathLenConstraint without CA": with_extension(
        "2.5.29.19", bytes.fromhex("3003020100"), critical=True
    ),
    "explicit FALSE in critical": lambda: edited(explicit_false),
    "TRUE written as 01": lambda: edited(replacing(b"\x01\x01\xff", b"\x01\x01\x01")),
    "decipherOnly without keyAgreement": with_extension(
        "2.5.29.15", bytes.fromhex("030307a080"), critical=True
    ),
    "unreadable iPAddress in SAN": general_name(0x87, b"\x0a\x0a\x00\x15\x00"),
    "unreadable x400Address in SAN": general_name(0xA3, [[0x30, []]]),
    **{f"{odd} in a PrintableString": organization(f"Meyer {odd} Co") for odd in "&*@_"},
    "version 4": version(4),
    "version 66": version(66),
    "negative serial number": lambda: edited(lambda body: body.__setitem__(1, [0x02, b"\xf2\x67"])),
    "serial number 0": lambda: edited(lambda body: body.__setitem__(1, [0x02, b"\x00"])),
    "TLS 1.1 at the most": lambda: replace(of_plans(put()), old=True),
    "not encrypted": lambda: replace(of_plans(put()), plain=True),
}


@cache
def served(case):
    """What is served in a case; what is healthy where its name is empty."""
    if case in MADE:
        return MADE[case]()
    return of_plans(PLANS[case] if case else put())
