"""Chains of three to break: plans of root, intermediate and leaf, and what is done to them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import cryptography_vectors
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmscert.certificates.diagnosis import diagnose
from vmscert.names import parse_name

AT = datetime.now(UTC).replace(microsecond=0)  # OpenSSL's handshake reads the clock itself
NAME = "vms-rec-01.example.local"
DAY = timedelta(days=1)
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@cache
def key(name, bits=2048):
    """One key for each name, made once."""
    return rsa.generate_private_key(65537, bits)


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def usage(*on):
    return x509.KeyUsage(**{name: name in on for name in USAGES})


@dataclass(frozen=True)
class Plan:
    """What one certificate shall contain; `extensions` is kind → (value, critical)."""

    subject: str
    key: str
    start: datetime = AT - 100 * DAY
    end: datetime = AT + 100 * DAY
    serial: int = 4711
    version: x509.Version = x509.Version.v3
    extensions: dict = field(default_factory=dict)

    def having(self, *values, critical=False):
        added = {type(value): (value, critical) for value in values}
        return replace(self, extensions={**self.extensions, **added})

    def without(self, kind):
        kept = {k: v for k, v in self.extensions.items() if k is not kind}
        return replace(self, extensions=kept)


def signed(plan, issuer, signer=None, public=None):
    """Make a certificate; `signer` is the issuer's key if it is not the issuer's own."""
    builder = x509.CertificateBuilder(
        named(issuer.subject),
        named(plan.subject),
        public or key(plan.key).public_key(),
        plan.serial,
        plan.start,
        plan.end,
    )
    for value, critical in plan.extensions.values():
        builder = builder.add_extension(value, critical)
    builder._version = plan.version
    return builder.sign(signer or key(issuer.key), hashes.SHA256())


def key_ids(own, issuer):
    return (
        x509.SubjectKeyIdentifier.from_public_key(key(own).public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key(issuer).public_key()),
    )


def ca(subject, issuer_key=None):
    plan = Plan(subject, subject).having(*key_ids(subject, issuer_key or subject))
    plan = plan.having(x509.BasicConstraints(True, None), critical=True)
    return plan.having(usage("key_cert_sign", "crl_sign"), critical=True)


def san(*texts):
    found = map(parse_name, texts)
    return x509.SubjectAlternativeName(
        [x509.DNSName(one) if isinstance(one, str) else x509.IPAddress(one) for one in found]
    )


def server(issuer_key, *texts):
    plan = Plan(NAME, "leaf").having(*key_ids("leaf", issuer_key), san(*texts))
    plan = plan.having(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    return plan.having(usage("digital_signature", "key_encipherment"), critical=True)


ROOT, MIDDLE = "Example VMS root", "Example VMS intermediate"


@dataclass(frozen=True)
class Chain:
    """The plans of root, intermediate and leaf, and what goes on between server and client."""

    root: Plan = field(default_factory=lambda: ca(ROOT))
    middle: Plan = field(default_factory=lambda: ca(MIDDLE, ROOT))
    leaf: Plan = field(default_factory=lambda: server(MIDDLE, NAME, "vms-rec-01", "10.10.0.21"))
    sends_middle: bool = True
    leaf_first: bool = True
    trusts: str = "root"  # or "nobody", "namesake"
    asks: str = NAME
    tampered: bool = False
    alone: bool = False
    lists: tuple = ()

    def certificates(self):
        root, middle = signed(self.root, self.root), signed(self.middle, self.root)
        leaf = signed(self.leaf, self.leaf if self.alone else self.middle)
        return (damaged(leaf) if self.tampered else leaf), middle, root

    def parts(self):
        """What is presented, and the roots."""
        leaf, middle, root = self.certificates()
        sent = [leaf, middle] if self.sends_middle else [leaf]
        namesake = replace(ca(ROOT), key="other").having(*key_ids("other", "other"))
        roots = {
            "root": [root],
            "middle": [middle],
            "nobody": [signed(ca("Another root"), ca("Another root"))],
            "namesake": [signed(namesake, namesake)],
        }
        return (sent if self.leaf_first else sent[::-1]), roots[self.trusts]

    def diagnose(self, **more):
        sent, roots = self.parts()
        return diagnose(sent, self.asks, roots, AT, crls=self.lists, **more)


def damaged(certificate):
    der = bytearray(certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_certificate(bytes(der))


def revocation_list(
    signer, *serials, start=AT - 9 * DAY, end=AT + 9 * DAY, issuer="", reason=None, extensions=()
):
    """Make the list of a CA: the serial numbers that it revoked; `extensions` are critical."""
    builder = x509.CertificateRevocationListBuilder(named(issuer or signer), start, end)
    builder = builder.add_extension(x509.CRLNumber(7), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, AT - 5 * DAY)
        entry = entry.add_extension(x509.CRLReason(reason), critical=False) if reason else entry
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key(signer), hashes.SHA256())


def codes(diagnosis):
    return sorted(finding.code for finding in diagnosis.findings)


# Each fault changes one thing in a chain. The part that it changes tells which pairs make sense.


def of(part, change):
    return lambda chain: replace(chain, **{part: change(getattr(chain, part))})


def put(**changes):
    return lambda chain: replace(chain, **changes)


def only(suffix):
    return x509.NameConstraints([x509.DNSName(suffix)], None)


def vectors():
    """Every certificate among the odd ones that cryptography collects for its own tests."""
    folder = Path(cryptography_vectors.__file__).parent / "x509"
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".pem", ".der", ".crt", ".cer"):
            yield from loaded(path.read_bytes())


def loaded(data):
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except (ValueError, x509.InvalidVersion):
        return []  # not a certificate at all: nothing to diagnose


CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
ODD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
FAULTS = {
    "expired": of("leaf", lambda p: replace(p, start=AT - 9 * DAY, end=AT - DAY)),
    "expired, middle": of("middle", lambda p: replace(p, end=AT - DAY)),
    "expired, root": of("root", lambda p: replace(p, end=AT - DAY)),
    "not-yet-valid": of("leaf", lambda p: replace(p, start=AT + DAY)),
    "not-yet-valid, middle": of("middle", lambda p: replace(p, start=AT + DAY)),
    "name-mismatch": put(asks="vms-rec-02.example.local"),
    "no-san": of("leaf", lambda p: p.without(x509.SubjectAlternativeName)),
    "untrusted-root": put(trusts="nobody"),
    "root-recreated": put(trusts="namesake"),
    "self-signed": lambda chain: replace(
        chain, alone=True, leaf=chain.leaf.having(key_ids("leaf", "leaf")[1])
    ),
    "missing-intermediate": put(sends_middle=False),
    "chain-order": put(leaf_first=False),
    "bad-signature": put(tampered=True),
    "wrong-eku": of("leaf", lambda p: p.having(CLIENT)),
    "wrong-eku, middle": of("middle", lambda p: p.having(CLIENT)),
    "issuer-not-ca": of(
        "middle", lambda p: p.having(x509.BasicConstraints(False, None), critical=True)
    ),
    "issuer-key-usage": of("middle", lambda p: p.having(usage("crl_sign"), critical=True)),
    "path-length": of("root", lambda p: p.having(x509.BasicConstraints(True, 0), critical=True)),
    "name-constraint": of("root", lambda p: p.having(only("example.org"), critical=True)),
    "unknown-critical-extension": of("leaf", lambda p: p.having(ODD, critical=True)),
    "unknown-critical-extension, middle": of("middle", lambda p: p.having(ODD, critical=True)),
    "leaf-is-ca": of("leaf", lambda p: p.having(x509.BasicConstraints(True, None), critical=True)),
    "profile": of("leaf", lambda p: p.without(x509.AuthorityKeyIdentifier)),
    "profile, root": of("root", lambda p: p.without(x509.KeyUsage)),
}
