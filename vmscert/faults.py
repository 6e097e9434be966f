"""A site in memory, healthy or broken on purpose.

Every fault takes a healthy lab and changes one thing. It has the name of the rule that finds it,
so that fault and finding are one word. Faults compose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from vmscert.authority import SERVER, Authority, Issued, create_authority
from vmscert.check import check_site
from vmscert.fleet import issue_all
from vmscert.simulate import verify_simulated
from vmscert.site import Host, Site
from vmscert.trust import Finding
from vmscert.verify import Verification
from vmscert.windows import Personal, Stores, thumbprint


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
        return check_site(self.site, self.stores, self.at)

    def verify(self) -> list[Verification]:
        """Make every connection over real TLS on loopback."""
        served = {
            host.name: {
                port: self.served[host.name] if group in self.stores[host.name].bindings else None
                for port, group in host.ports
            }
            for host in self.site.servers
        }
        bound = {name: label for name in served for label in self.stores[name].bindings.values()}
        return list(verify_simulated(self.site, self.stores, served, bound, self.at))

    @property
    def server(self) -> Host:
        """The server that faults happen to: the first recording server, else the first server."""
        servers = self.site.servers
        return next((host for host in servers if "recording server" in host.roles), servers[0])

    @property
    def client(self) -> Host:
        """The client that faults happen to: the first that is no server itself, else the last."""
        clients = self.site.clients
        return next((host for host in clients if not host.ports), clients[-1])

    def holding(self, host: Host, **changes: Any) -> "Lab":
        """Return the lab with changed stores on one computer."""
        stores = replace(self.stores[host.name], **changes)
        return replace(self, stores={**self.stores, host.name: stores})

    def serving(self, host: Host, issued: Issued) -> "Lab":
        """Return the lab in which a server was given this certificate and uses it."""
        label = thumbprint(issued.certificate)
        held = Personal(issued.certificate, True, host.accounts)
        lab = self.holding(host, personal=(held,), bindings=dict.fromkeys(host.groups, label))
        return replace(lab, served={**self.served, host.name: issued})


Fault = Callable[[Lab], Lab]
GALLERY: dict[str, Fault] = {}


def fault(make: Fault) -> Fault:
    """Put a fault into the gallery under the name of the rule that finds it."""
    GALLERY[make.__name__.replace("_", "-")] = make
    return make


def healthy(site: Site, authority: Authority, at: datetime) -> Lab:
    """Return the site as it should be after runbooks 11 to 15."""
    orders = {host.name: host.names for host in site.servers}
    served = dict(issue_all(authority, orders, at))
    roots = (authority.certificate,)
    stores = {host.name: Stores(host.name, at, host.windows, root=roots) for host in site.clients}
    lab = Lab(site, authority, at, served, stores)
    for host in site.servers:
        lab = lab.serving(host, served[host.name])
    return lab


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
    names = (f"{old}.{lab.server.domain}".rstrip("."), old)
    issued = lab.authority.issue(*names, at=lab.at)
    return lab.serving(lab.server, issued)


@fault
def no_san(lab: Lab) -> Lab:
    """The name stands in the subject only, where current clients no longer look."""
    return _remade(lab, without=x509.SubjectAlternativeName)


@fault
def wrong_eku(lab: Lab) -> Lab:
    """The certificate is for clients, not for servers."""
    profile = replace(SERVER, extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    return lab.serving(
        lab.server, lab.authority.issue(*lab.server.names, at=lab.at, profile=profile)
    )


@fault
def weak_key(lab: Lab) -> Lab:
    """The RSA key has 1,024 bits."""
    key = rsa.generate_private_key(65537, 1024)
    return lab.serving(lab.server, lab.authority.issue(*lab.server.names, at=lab.at, key=key))


@fault
def self_signed(lab: Lab) -> Lab:
    """The server signed its certificate itself; no CA stands behind it."""
    return _remade(lab, self_signed=True)


@fault
def bad_signature(lab: Lab) -> Lab:
    """One bit of the CA's signature was changed."""
    issued = lab.served[lab.server.name]
    der = bytearray(issued.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return lab.serving(
        lab.server, replace(issued, certificate=x509.load_der_x509_certificate(bytes(der)))
    )


@fault
def too_long_for_phones(lab: Lab) -> Lab:
    """The mobile server's certificate is valid for three years."""
    mobile = next(host for host in lab.site.servers if "mobile server" in host.roles)
    profile = replace(SERVER, days=1096)
    return lab.serving(mobile, lab.authority.issue(*mobile.names, at=lab.at, profile=profile))


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
def wrong_certificate_served(lab: Lab) -> Lab:
    """The service was not restarted and still serves another certificate of the same CA."""
    other = lab.authority.issue(*lab.server.names, at=lab.at)
    return replace(lab, served={**lab.served, lab.server.name: other})


def _with_held(lab: Lab, **changes: Any) -> Lab:
    held = lab.stores[lab.server.name].personal
    return lab.holding(lab.server, personal=tuple(replace(one, **changes) for one in held))


def _remade(
    lab: Lab,
    start: datetime | None = None,
    end: datetime | None = None,
    without: type[x509.ExtensionType] | None = None,
    self_signed: bool = False,
) -> Lab:
    """Make the server's certificate again with one part changed, and serve it."""
    issued = lab.served[lab.server.name]
    old, key = issued.certificate, issued.key
    assert key is not None
    builder = x509.CertificateBuilder(
        issuer_name=old.subject if self_signed else old.issuer,
        subject_name=old.subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=start or old.not_valid_before_utc,
        not_valid_after=end or old.not_valid_after_utc,
        extensions=[
            extension
            for extension in old.extensions
            if not (without and isinstance(extension.value, without))
        ],
    )
    if self_signed:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        kept = [e for e in old.extensions if not isinstance(e.value, x509.AuthorityKeyIdentifier)]
        builder._extensions = [*kept, x509.Extension(own.oid, False, own)]
    signer = key if self_signed else lab.authority.key
    return lab.serving(
        lab.server, replace(issued, certificate=builder.sign(signer, hashes.SHA256()))
    )
