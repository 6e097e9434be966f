"""Servers to practise on: real TLS on loopback, broken on purpose, and looked at like real ones."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from vmscert.authority import QUICK, SERVER, Issued, create_authority
from vmscert.faults import GALLERY, Lab, healthy
from vmscert.names import endpoint
from vmscert.reach import connect
from vmscert.reading import AskPassword, read, read_roots
from vmscert.simulate import LOOPBACK, serving
from vmscert.site import Site
from vmscert.surveys import Survey, survey
from vmscert.targets import site_targets
from vmscert.tls import Handshake
from vmscert.trust import Diagnosis, Finding, diagnose, names
from vmscert.verify import judge

PRACTICE_NAME = "vms-rec-01.example.local"
_ROOT = "Example VMS root, teaching"


@dataclass(frozen=True)
class Look:
    """One server or file, looked at: what it is, what was presented, and all that is wrong."""

    about: str
    presented: tuple[x509.Certificate, ...]
    diagnosis: Diagnosis | None
    findings: tuple[Finding, ...]


def look(
    at: datetime,
    *,
    server: str = "",
    name: str = "",
    roots: str | Path = "",
    file: str | Path | bytes = "",
    ask: AskPassword | None = None,
) -> Look:
    """Look at a server (`host:port`) or at a file, as a client that trusts `roots` would.

    `roots` is a file or a folder. With neither server nor file, a broken server on loopback is
    made and looked at, for practice.
    """
    trusted = read_roots(Path(roots), ask) if roots else []
    if file:
        return _at_file(file, name, trusted, at, ask)
    if not server:
        return _practice(at)
    address, port = endpoint(server)
    seen = connect(address, port, trusted, name or address)
    return _judged(f"{server}, asked for {seen.name}", seen, trusted, at)


def _at_file(
    file: str | Path | bytes,
    name: str,
    roots: Iterable[x509.Certificate],
    at: datetime,
    ask: AskPassword | None,
) -> Look:
    document = read(file, ask)
    chain = document.certificates
    if not chain:
        return Look("; ".join((document.about, *document.problems)), (), None, ())
    wanted = name or _first_name(chain[0])
    diagnosis = diagnose(chain, wanted, roots, at, crls=document.crls)
    return Look(f"{document.about}, asked for {wanted}", chain, diagnosis, diagnosis.findings)


def _first_name(leaf: x509.Certificate) -> str:
    return (*names(leaf), "no name")[0]


def _judged(about: str, seen: Handshake, roots: Iterable[x509.Certificate], at: datetime) -> Look:
    looked = bool(seen.chain) or not seen.rule
    diagnosis = diagnose(seen.chain, seen.name, roots, at) if looked else None
    shown = f"{about}: {seen.version or 'no TLS'}"
    hint = f". {seen.hint}" if seen.hint else ""
    return Look(shown + hint, seen.chain, diagnosis, judge(seen, diagnosis))


def _practice(at: datetime) -> Look:
    """An old certificate, of a renamed server, whose CA was created anew since."""
    issued, root = _long_ago(at)
    with serving({443: issued}) as ports:
        seen = connect(LOOPBACK, ports[443], [root], PRACTICE_NAME)
    return _judged(f"a practice server, asked for {PRACTICE_NAME}", seen, [root], at)


def _long_ago(at: datetime) -> tuple[Issued, x509.Certificate]:
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
    numbered = dict(enumerate(served))
    with serving({number: served[place] for number, place in numbered.items()}) as ports:
        place_of = {place: ports[number] for number, place in numbered.items()}
        real = {
            replace(t, address=LOOPBACK, port=place_of[t.host, t.port]): t
            for t in site_targets(site)
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
