"""Servers broken on purpose: faults of the chain and of the wire, and a site to survey.

Here are the faults that no inventory shows: what a server sends of issuing CAs, how it answers, and
the revocation lists that the client holds. All are real TLS on loopback, looked at like real ones.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import QUICK, SERVER, Issued, create_authority, new_key
from vmscert.checks.documents import read, read_roots
from vmscert.checks.judging import look_into
from vmscert.findings import RULES
from vmscert.names import endpoint
from vmscert.network.looks import Look, look_at
from vmscert.network.servers import LOOPBACK, Answer, Loopback, greeting, on_loopback, plain_http
from vmscert.network.survey import Survey, survey
from vmscert.network.targets import Target, site_targets
from vmscert.network.tls import server_context
from vmscert.practice.faults import GALLERY, Lab, healthy, remade
from vmscert.site.site import Site
from vmscert.site.table import read_site

_SERVER, _CLIENT = "vms-rec-01", "vms-pc-01"  # of the example site
_ROOT = "Example VMS root, teaching"


@dataclass(frozen=True)
class Stand(Lab):
    """A lab as its client meets its server: what this client holds, and how the server answers."""

    others: tuple[x509.Certificate, ...] = ()  # further roots that the client trusts
    crls: tuple[x509.CertificateRevocationList, ...] = ()  # that the client looks into
    answers: str = "TLS"  # or "old TLS", or "nothing"

    @property
    def name(self) -> str:
        """The name that the client asks for."""
        return self.server.names[0]

    @property
    def issued(self) -> Issued:
        """What was issued to the server."""
        return self.served[self.server.name]

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates that the client trusts."""
        return (*self.stores[self.client.name].trusted, *self.others)


WireFault = Callable[[Stand], Stand]
WIRE: dict[str, WireFault] = {}


def _wire_fault(make: WireFault) -> WireFault:
    """Put a fault that no inventory of a site could show under the name of its rule."""
    WIRE[make.__name__.replace("_", "-")] = make
    return make


# The chain: issuing CAs between the server and the root


@_wire_fault
def missing_intermediate(stand: Stand) -> Stand:
    """An issuing CA issued the certificate, and the server does not send that CA's certificate."""
    stand = _below(stand, 1)
    return stand.serving(stand.server, replace(stand.issued, issuers=()))


@_wire_fault
def chain_order(stand: Stand) -> Stand:
    """The server sends the certificates of two issuing CAs in the wrong order."""
    stand = _below(stand, 2)
    lower, upper, _root = stand.issued.issuers
    return stand.serving(stand.server, replace(stand.issued, issuers=(upper, lower)))


@_wire_fault
def path_length(stand: Stand) -> Stand:
    """An issuing CA that allows no CA below itself issued one all the same."""
    return _below(stand, 2, limit=0)


@_wire_fault
def chain_too_long(stand: Stand) -> Stand:
    """Nine issuing CAs stand between the server and the root."""
    return _below(stand, 9)


def _below(stand: Stand, count: int, limit: int | None = None) -> Stand:
    """Put issuing CAs between the server and the root; the topmost allows `limit` below itself."""
    key = new_key(SERVER.key_bits)  # one for all: a lesson can't wait for nine
    above = stand.authority.issued
    for number in range(1, count + 1):
        own = create_authority(f"Example VMS issuing CA {number}", stand.at, QUICK, key).issued
        limited = number == 1 and limit is not None
        having = x509.BasicConstraints(True, limit) if limited else None
        above = _reissued(own, above, having=having, critical=limited)
    return stand.serving(stand.server, _reissued(stand.issued, above))


def _reissued(issued: Issued, above: Issued, **changes: Any) -> Issued:
    """Return the same certificate as another CA would have issued it, with that CA's chain."""
    assert above.key is not None
    issuer = above.certificate.subject
    certificate = remade(issued.certificate, above.key, issuer=issuer, **changes)
    return replace(issued, certificate=certificate, issuers=above.chain)


# How the server answers, and what the client holds


@_wire_fault
def tls_too_old(stand: Stand) -> Stand:
    """The server speaks TLS 1.1 at the most."""
    return replace(stand, answers="old TLS")


@_wire_fault
def not_reachable(stand: Stand) -> Stand:
    """The service does not run: nobody listens on its port."""
    return replace(stand, answers="nothing")


@_wire_fault
def revoked(stand: Stand) -> Stand:
    """The CA has revoked the certificate, and the client holds the revocation list."""
    return _with_list(stand, 30, stand.issued.certificate.serial_number)


@_wire_fault
def crl_unusable(stand: Stand) -> Stand:
    """The client's revocation list ended three days ago, and nobody published a new one."""
    return _with_list(stand, -3)


def _with_list(stand: Stand, days_left: int, *serials: int) -> Stand:
    """Give the client a revocation list of the CA that revokes these serial numbers."""
    authority, day = stand.authority, timedelta(days=1)
    start, end = stand.at - 30 * day, stand.at + days_left * day
    builder = x509.CertificateRevocationListBuilder(authority.certificate.subject, start, end)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, stand.at - 35 * day)
        builder = builder.add_revoked_certificate(entry.build())
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    return replace(stand, crls=(builder.sign(authority.key, hashes.SHA256()),))


_FAULTS: Mapping[str, Callable[[Stand], Any]] = GALLERY | WIRE  # a stand stays one in each of them
# What a TLS client can see; the other faults of GALLERY hide behind a perfect handshake.
SEEN = (*(n for n in GALLERY if RULES[n].about == "path"), "not-encrypted", *WIRE)


def healthy_stand(at: datetime) -> Stand:
    """Return a recording server with nothing wrong, and a client that trusts its CA and another."""
    before = at - timedelta(days=500)
    site = read_site("data/sites/example.csv")
    site = replace(site, hosts=(site[_SERVER], site[_CLIENT]))
    authority = create_authority("Example VMS root", before, QUICK)
    other = create_authority("Example office root", before, QUICK)
    return Stand(**vars(healthy(site, authority, at)), others=(other.certificate,))


def broken(stand: Stand, *names: str) -> Stand:
    """Apply faults one after the other, in the first order in which none hides another.

    ValueError for what is no fault that a TLS client sees, and if one stand can't show all of them.
    """
    wanted = [chosen(name, SEEN) for name in names]
    for order in permutations(wanted):
        made = stand
        try:
            for name in order:
                made = _FAULTS[name](made)
        except ValueError:  # pyca can't take apart what is malformed
            continue
        with Loopback(answer_of(made)) as port:
            if call(made, port).codes == set(wanted):
                return made
    raise ValueError(f"One stand can't show all of {', '.join(names)}: one hides another")


def chosen(name: str, among: Iterable[str]) -> str:
    """Return the code that somebody wrote; ValueError with the nearest one if there is none."""
    code, known = name.strip().lower().replace("_", "-"), list(among)
    if code in known:
        return code
    near = get_close_matches(code, known, 1)
    mean = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(known))}"
    raise ValueError(f"{name!r} is not the code of a fault here. {mean}")


def call(stand: Stand, port: int) -> Look:
    """Call a stand whose server runs on this port, as its client does."""
    target = Target(LOOPBACK, port, stand.name)
    return look_at(target, stand.roots, stand.at, crls=stand.crls)


def answer_of(stand: Stand) -> Answer | None:
    """Return how the server of a stand answers its callers; None where nobody listens."""
    if stand.answers == "nothing":
        return None
    if not stand.stores[stand.server.name].bindings:
        return plain_http
    return greeting(server_context(stand.issued, careless=True, old=stand.answers == "old TLS"))


def pem(objects: Iterable[x509.Certificate | x509.CertificateRevocationList]) -> bytes:
    """Return certificates or revocation lists as OpenSSL reads them."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in objects)


def look(
    at: datetime,
    *,
    server: str = "",
    name: str = "",
    roots: str | Path = "",
    file: str | Path | bytes = "",
) -> Look:
    """Look at a server (`host:port`) or a file, as a client that trusts `roots`, a file or folder.

    Without `roots` nobody named any, and whom clients trust is not judged.
    With neither of both, a broken server on loopback is made and looked at, for practice.
    """
    trusted = read_roots(Path(roots)) if roots else None
    if file:
        return look_into(read(file), trusted, name, at)
    if server:
        address, port = endpoint(server)
        return look_at(Target(address, port, name or address), trusted, at)
    # An old certificate, of a renamed server, whose CA was created anew since.
    before, since = (create_authority(_ROOT, at - timedelta(days), QUICK) for days in (500, 10))
    issued = before.issue("old-rec-01.example.local", "old-rec-01", at=at - timedelta(450))
    with on_loopback({443: issued}) as ports:
        target = Target(LOOPBACK, ports[443], f"{_SERVER}.example.local")
        seen = look_at(target, [since.certificate], at)
    return replace(seen, place="a practice server")


def practice_survey(site: Site, at: datetime) -> Survey:
    """Serve a whole site on loopback with four faults, and survey it as if it were the real one."""
    lab = GALLERY["expired"](
        healthy(site, create_authority(_ROOT, at - timedelta(days=450), QUICK), at)
    )
    # Beside the one that has ended: one has old names, one ends soon, one does not encrypt.
    others = [host for host in site.servers if host is not lab.server]
    renamed, ending, plain = (*others, *[lab.server] * 3)[:3]
    lab = lab.serving(renamed, lab.authority.issue(f"old-{renamed.name}", at=at))
    short = replace(SERVER, days=10)
    lab = lab.serving(ending, lab.authority.issue(*ending.issued_names, at=at, profile=short))
    lab = lab.holding(plain, bindings={})
    served = {(h.name, port): issued for h in site.servers for port, issued in lab.ports(h)}
    with on_loopback(served) as ports:
        real = {
            replace(t, address=LOOPBACK, port=ports[t.host, t.port]): t
            for t in site_targets(site)
            if t.host  # the shared name of a cluster is no computer's
        }
        found = survey(list(real), [lab.authority.certificate], at)
    return replace(found, seen=tuple(replace(s, target=real[s.target]) for s in found.seen))
