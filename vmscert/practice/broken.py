"""Servers to practise on: real TLS on loopback, broken on purpose, and looked at like real ones."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from vmscert.certificates.authority import QUICK, SERVER, Issued, create_authority
from vmscert.checks.documents import look_into, read, read_roots
from vmscert.names import endpoint
from vmscert.network.looks import Look, look_at
from vmscert.network.servers import LOOPBACK, serving
from vmscert.network.survey import Survey, survey
from vmscert.network.targets import Target, site_targets
from vmscert.practice.faults import GALLERY, Lab, healthy
from vmscert.site.site import Site

PRACTICE_NAME = "vms-rec-01.example.local"
_ROOT = "Example VMS root, teaching"


def look(
    at: datetime,
    *,
    server: str = "",
    name: str = "",
    roots: str | Path = "",
    file: str | Path | bytes = "",
) -> Look:
    """Look at a server (`host:port`) or at a file, as a client that trusts `roots` would.

    `roots` is a file or a folder. With neither server nor file, a broken server on loopback is
    made and looked at, for practice.
    """
    trusted = read_roots(Path(roots)) if roots else []
    if file:
        return look_into(read(file), trusted, name, at)
    if server:
        address, port = endpoint(server)
        return look_at(Target(address, port, name or address), trusted, at)
    issued, root = _long_ago(at)
    with serving({443: issued}) as ports:
        seen = look_at(Target(LOOPBACK, ports[443], PRACTICE_NAME), [root], at)
    return replace(seen, place="a practice server")


def _long_ago(at: datetime) -> tuple[Issued, x509.Certificate]:
    """An old certificate, of a renamed server, whose CA was created anew since."""
    before = create_authority(_ROOT, at - timedelta(days=500), QUICK)
    issued = before.issue("old-rec-01.example.local", "old-rec-01", at=at - timedelta(days=450))
    return issued, create_authority(_ROOT, at - timedelta(days=10), QUICK).certificate


def practice_survey(site: Site, at: datetime) -> Survey:
    """Serve a whole site on loopback with four faults, and survey it as if it were the real one."""
    lab = _troubled(healthy(site, create_authority(_ROOT, at - timedelta(days=450), QUICK), at))
    served = {
        (host.name, port): lab.served[host.name]
        if group in lab.stores[host.name].bindings
        else None
        for host in site.servers
        for port, group in host.ports
    }
    with serving(served) as ports:
        real = {
            replace(t, address=LOOPBACK, port=ports[t.host, t.port]): t
            for t in site_targets(site)
            if t.host  # the shared name of a cluster is no computer's
        }
        found = survey(list(real), [lab.authority.certificate], at)
    return replace(found, seen=tuple(replace(s, target=real[s.target]) for s in found.seen))


def _troubled(lab: Lab) -> Lab:
    """One certificate has ended, one has old names, one ends soon, one server does not encrypt."""
    lab = GALLERY["expired"](lab)
    others = [host for host in lab.site.servers if host is not lab.server]
    renamed, ending, plain = (*others, *[lab.server] * 3)[:3]
    lab = lab.serving(renamed, lab.authority.issue(f"old-{renamed.name}", at=lab.at))
    short = replace(SERVER, days=10)
    lab = lab.serving(ending, lab.authority.issue(*ending.issued_names, at=lab.at, profile=short))
    return lab.holding(plain, bindings={})
