"""A site in memory, healthy or broken on purpose.

Every fault takes a healthy lab and changes one thing. It has the name of the rule that finds it,
so that fault and finding are one word. Faults compose.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmscert.certificates.authority import SERVER, Authority, Issued, create_authority, issue_all
from vmscert.checks.acceptance import service
from vmscert.checks.live import Verification, verify_simulated
from vmscert.checks.site import check_site
from vmscert.facts import pfx_encryption
from vmscert.findings import Finding
from vmscert.site.site import Host, Site
from vmscert.windows.stores import Personal, Stores

_SHA256 = bytes.fromhex("2a864886f70d01010b")  # sha256WithRSAEncryption, RFC 8017 appendix A.2.4
_SHA1 = bytes.fromhex("2a864886f70d010105")  # sha1WithRSAEncryption, of the same length


@dataclass(frozen=True)
class Lab:
    """A site with everything its computers hold; `served` is host → what it presents over TLS."""

    site: Site
    authority: Authority
    at: datetime
    served: Mapping[str, Issued]
    stores: Mapping[str, Stores]

    def check(self) -> list[Finding]:
        """Return what an inventory of all computers would show."""
        pfx = {host.name: pfx_encryption(host.windows) for host in self.site.servers}
        return check_site(self.site, self.stores, self.at, pfx)

    def verify(self) -> list[Verification]:
        """Make every connection over real TLS on loopback."""
        served = {host.name: dict(self.ports(host)) for host in self.site.servers}
        bound = {name: label for name in served for label in self.stores[name].bindings.values()}
        return list(verify_simulated(self.site, self.stores, served, bound, self.at))

    def ports(self, host: Host) -> Iterator[tuple[int, Issued | None]]:
        """Yield what is behind each port of a server; no key where its service can't use it."""
        held, issued = self.stores[host.name], self.served[host.name]
        for port, group in host.ports:
            mute = any(one.code != "not-encrypted" for one in service(host, held, group)[1])
            usable = replace(issued, key=None) if mute else issued
            yield port, usable if group in held.bindings else None

    @property
    def server(self) -> Host:
        """The server that faults happen to: the first recording server, else the first server."""
        servers = self.site.servers
        return next((host for host in servers if host.has_cameras), servers[0])

    @property
    def client(self) -> Host:
        """The client that faults happen to: the first that is no server itself, else the last."""
        clients = self.site.clients
        return next((host for host in clients if not host.certified), clients[-1])

    def holding(self, host: Host, **changes: Any) -> Self:
        """Return the lab with changed stores on one computer."""
        stores = replace(self.stores[host.name], **changes)
        return replace(self, stores={**self.stores, host.name: stores})

    def serving(self, host: Host, issued: Issued) -> Self:
        """Return the lab in which a server was given this certificate and uses it."""
        bare = replace(self.stores[host.name], personal=(), bindings={})
        held = bare.serving(issued.certificate, host.groups, host.accounts)
        served, stores = {**self.served, host.name: issued}, {**self.stores, host.name: held}
        return replace(self, served=served, stores=stores)


Fault = Callable[[Lab], Lab]
GALLERY: dict[str, Fault] = {}


def fault(make: Fault) -> Fault:
    """Put a fault into the gallery under the name of the rule that finds it."""
    GALLERY[make.__name__.replace("_", "-")] = make
    return make


def healthy(site: Site, authority: Authority, at: datetime) -> Lab:
    """Return the site as it should be after runbooks 11 to 15."""
    served = dict(issue_all(authority, {host.name: host.issued_names for host in site.servers}, at))
    roots = (authority.certificate,)
    stores = {
        host.name: Stores(host.name, at, windows=host.windows, root=roots) for host in site.clients
    }
    for host in site.servers:
        leaf = served[host.name].certificate
        stores[host.name] = stores[host.name].serving(leaf, host.groups, host.accounts)
    return Lab(site, authority, at, served, stores)


# The certificate


@fault
def expired(lab: Lab) -> Lab:
    """The server's certificate has ended; XProtect gave no warning."""
    return _remade(lab, start=lab.at - timedelta(days=400), end=lab.at - timedelta(days=3))


@fault
def not_yet_valid(lab: Lab) -> Lab:
    """The certificate is valid from next month: a clock was wrong where it was made."""
    return _remade(lab, start=lab.at + timedelta(days=30), end=lab.at + timedelta(days=427))


@fault
def expires_soon(lab: Lab) -> Lab:
    """The certificate ends in ten days."""
    return _remade(lab, start=lab.at - timedelta(days=387), end=lab.at + timedelta(days=10))


@fault
def name_mismatch(lab: Lab) -> Lab:
    """The certificate was issued to the name that the server had before it was renamed."""
    old = f"old-{lab.server.name}"
    full = f"{old}.{lab.server.domain}".rstrip(".")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, full)])
    names = x509.SubjectAlternativeName([x509.DNSName(full), x509.DNSName(old)])
    return _remade(lab, subject=subject, having=names)


@fault
def no_san(lab: Lab) -> Lab:
    """The name stands in the subject only, where current clients no longer look."""
    return _remade(lab, without=x509.SubjectAlternativeName)


@fault
def wrong_eku(lab: Lab) -> Lab:
    """The certificate is for clients, not for servers."""
    return _remade(lab, having=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))


@fault
def weak_key(lab: Lab) -> Lab:
    """The RSA key has 1,024 bits."""
    key = rsa.generate_private_key(65537, 1024)
    return _changed(_remade(lab, key=key.public_key()), key=key)


@fault
def weak_signature(lab: Lab) -> Lab:
    """The CA signed with SHA-1, as everybody did ten years ago."""
    served = lab.served[lab.server.name]
    return _changed(lab, certificate=_signed_with_sha1(served.certificate, lab.authority.key))


@fault
def bad_signature(lab: Lab) -> Lab:
    """One bit of the CA's signature was changed."""
    der = bytearray(lab.served[lab.server.name].certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return _changed(lab, certificate=x509.load_der_x509_certificate(bytes(der)))


@fault
def unknown_critical_extension(lab: Lab) -> Lab:
    """A critical extension asks of clients what none of them knows."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    return _remade(lab, having=unknown, critical=True)


@fault
def malformed(lab: Lab) -> Lab:
    """The extension that tells where the CA's certificate can be fetched is no valid DER."""
    broken = x509.UnrecognizedExtension(x509.AuthorityInformationAccess.oid, b"not DER")
    return _remade(lab, having=broken)


@fault
def profile(lab: Lab) -> Lab:
    """The certificate does not say which of the CA's keys signed it."""
    return _remade(lab, without=x509.AuthorityKeyIdentifier)


@fault
def leaf_is_ca(lab: Lab) -> Lab:
    """The server's own certificate says that it is a CA."""
    return _remade(lab, having=x509.BasicConstraints(True, None), critical=True)


@fault
def self_signed(lab: Lab) -> Lab:
    """The server signed its certificate itself; no CA stands behind it."""
    served = lab.served[lab.server.name]
    assert served.key is not None
    alone = remade(served.certificate, served.key, issuer=served.certificate.subject)
    return _changed(lab, certificate=alone)


@fault
def too_long_for_phones(lab: Lab) -> Lab:
    """The mobile server's certificate is valid for three years."""
    mobile = next(host for host in lab.site.servers if host.meets_phones)
    long = replace(SERVER, days=1096)
    return lab.serving(mobile, lab.authority.issue(*mobile.issued_names, at=lab.at, profile=long))


# The CA


@fault
def issuer_not_ca(lab: Lab) -> Lab:
    """The CA certificate says that it is no CA: it was made like one for a server."""
    return _with_root_having(lab, x509.BasicConstraints(False, None))


@fault
def issuer_key_usage(lab: Lab) -> Lab:
    """The CA certificate lets its key sign revocation lists only."""
    no, crl_sign = False, True
    only_lists = x509.KeyUsage(no, no, no, no, no, no, crl_sign, no, no)
    return _with_root_having(lab, only_lists)


@fault
def name_constraint(lab: Lab) -> Lab:
    """The CA may issue for names below example.org only, and this site is called otherwise."""
    return _with_root_having(lab, x509.NameConstraints([x509.DNSName("example.org")], None))


@fault
def ca_ends_first(lab: Lab) -> Lab:
    """The server's certificate is valid for a month longer than the CA that issued it."""
    end = lab.authority.certificate.not_valid_after_utc
    return _remade(lab, end=end + timedelta(days=30))


@fault
def short_lived_root(lab: Lab) -> Lab:
    """The root is valid for one year, and no server certificate for longer."""
    old = lab.authority.certificate
    year = old.not_valid_before_utc + timedelta(days=365)
    lab = _with_root(lab, remade(old, lab.authority.key, end=year))
    for host in lab.site.servers:
        short = remade(lab.served[host.name].certificate, lab.authority.key, end=year)
        lab = lab.serving(host, replace(lab.served[host.name], certificate=short))
    return lab


# The client


@fault
def untrusted_root(lab: Lab) -> Lab:
    """One client was forgotten: it does not have the CA certificate."""
    return lab.holding(lab.client, root=())


@fault
def root_recreated(lab: Lab) -> Lab:
    """One client holds an older CA of the same name, with another key."""
    other = create_authority(lab.authority.name, lab.at, key=lab.served[lab.server.name].key)
    return lab.holding(lab.client, root=(other.certificate,))


@fault
def wrong_store(lab: Lab) -> Lab:
    """The CA certificate was installed for the user who was logged in, not for the computer."""
    return lab.holding(lab.client, root=(), user_root=(lab.authority.certificate,))


@fault
def disallowed(lab: Lab) -> Lab:
    """Somebody put the CA certificate of one client among those that Windows is never to trust."""
    return lab.holding(lab.client, disallowed=(lab.authority.certificate,))


@fault
def root_twice(lab: Lab) -> Lab:
    """A user of one client installed the CA certificate again, for himself."""
    return lab.holding(lab.client, user_root=(lab.authority.certificate,))


@fault
def clock_off(lab: Lab) -> Lab:
    """The clock of one client is an hour ahead, as after a change of the time zone by hand."""
    return lab.holding(lab.client, clock_offset=3600.0, clock_source="the management server")


# The server computer


@fault
def no_certificate(lab: Lab) -> Lab:
    """Nothing was imported."""
    return lab.holding(lab.server, personal=(), bindings={})


@fault
def key_missing(lab: Lab) -> Lab:
    """The `.cer` was imported where the `.pfx` belongs."""
    return _with_held(lab, has_key=False)


@fault
def key_not_readable(lab: Lab) -> Lab:
    """The service account has no right to read the private key."""
    return _with_held(lab, readers=("BUILTIN\\Administrators",))


@fault
def not_encrypted(lab: Lab) -> Lab:
    """The certificate is there, but nobody switched encryption on."""
    return lab.holding(lab.server, bindings={})


@fault
def superseded_left(lab: Lab) -> Lab:
    """After a renewal nobody removed the certificate that was there before."""
    new = lab.served[lab.server.name].certificate
    start, end = new.not_valid_before_utc, lab.at + timedelta(days=20)
    old = remade(new, lab.authority.key, start=start - timedelta(days=377), end=end)
    held = Personal(old, True, lab.server.accounts)
    return lab.holding(lab.server, personal=(held, *lab.stores[lab.server.name].personal))


@fault
def pfx_too_new_for_windows(lab: Lab) -> Lab:
    """The table names a newer Windows than the computer has, and so its PFX uses AES."""
    return lab.holding(lab.server, windows="Microsoft Windows Server 2016 Standard, build 14393")


@fault
def wrong_certificate_served(lab: Lab) -> Lab:
    """The service was not restarted and still serves another certificate of the same CA."""
    other = lab.authority.issue(*lab.server.issued_names, at=lab.at)
    return replace(lab, served={**lab.served, lab.server.name: other})


def _with_held(lab: Lab, **changes: Any) -> Lab:
    held = lab.stores[lab.server.name].personal
    return lab.holding(lab.server, personal=tuple(replace(one, **changes) for one in held))


def _changed(lab: Lab, **changes: Any) -> Lab:
    """Let the server serve what it has with one part replaced."""
    return lab.serving(lab.server, replace(lab.served[lab.server.name], **changes))


def _remade(lab: Lab, **changes: Any) -> Lab:
    """Let the CA make the server's certificate again with one part changed."""
    old = lab.served[lab.server.name].certificate
    return _changed(lab, certificate=remade(old, lab.authority.key, **changes))


def _with_root_having(lab: Lab, having: x509.ExtensionType) -> Lab:
    """Change one extension of the CA certificate that all computers trust; its key stays."""
    old = lab.authority.certificate
    return _with_root(lab, remade(old, lab.authority.key, having=having, critical=True))


def _with_root(lab: Lab, new: x509.Certificate) -> Lab:
    """Let all computers trust another certificate of the CA, with the same key."""
    old = lab.authority.certificate
    stores = {
        name: replace(held, root=tuple(new if root == old else root for root in held.root))
        for name, held in lab.stores.items()
    }
    authority = Authority(replace(lab.authority.issued, certificate=new))
    return replace(lab, authority=authority, stores=stores)


# One thing of a certificate; pyca's builder writes none that is broken in itself, so those are
# changed afterwards, byte by byte.


def remade(
    old: x509.Certificate,
    signer: rsa.RSAPrivateKey,
    *,
    issuer: x509.Name | None = None,
    subject: x509.Name | None = None,
    key: rsa.RSAPublicKey | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    without: type[x509.ExtensionType] | None = None,
    having: x509.ExtensionType | None = None,
    critical: bool = False,
) -> x509.Certificate:
    """Make a certificate again with some parts changed, signed by `signer`; key identifiers follow.

    `without` is a kind of extension to leave out, `having` one to put in, in place of its like.
    ValueError if pyca can't read the old one's extensions.
    """
    public = key or old.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    builder = x509.CertificateBuilder(
        issuer_name=issuer or old.issuer,
        subject_name=subject or old.subject,
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=start or old.not_valid_before_utc,
        not_valid_after=end or old.not_valid_after_utc,
    )
    ours, above = x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier
    identifiers: dict[x509.ObjectIdentifier, x509.ExtensionType] = {
        ours.oid: ours.from_public_key(public),
        above.oid: above.from_issuer_public_key(signer.public_key()),
    }
    for one in old.extensions:
        if one.oid not in {part.oid for part in (without, having) if part}:
            builder = builder.add_extension(identifiers.get(one.oid) or one.value, one.critical)
    if having:
        builder = builder.add_extension(having, critical)
    return builder.sign(signer, hashes.SHA256())


def _signed_with_sha1(certificate: x509.Certificate, signer: rsa.RSAPrivateKey) -> x509.Certificate:
    """Sign again with SHA-1, which pyca's builder refuses: the algorithm is changed by hand."""
    body = certificate.tbs_certificate_bytes.replace(_SHA256, _SHA1)
    signature = signer.sign(body, padding.PKCS1v15(), hashes.SHA1())
    der = certificate.public_bytes(Encoding.DER).replace(_SHA256, _SHA1)
    return x509.load_der_x509_certificate(der.replace(certificate.signature, signature))
