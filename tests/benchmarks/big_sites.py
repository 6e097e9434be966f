"""A site of any size as its runbooks leave it, built fast: a few real keys take turns.

Every computer has reported; each run of a runbook left lines in the ledger and a folder of a
change.
"""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding
from site_tables import GUIDE_CLIENTS, as_csv

from vmscert.certificates.authority import QUICK, create_authority, new_key, thumbprint
from vmscert.names import iso
from vmscert.records.folder import Records
from vmscert.records.ledger import Entry
from vmscert.site.site import Host, Site
from vmscert.windows.inventory import write_inventory
from vmscert.windows.stores import Personal, Stores

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
PASSWORD = "a PFX for one computer"
_FEW = 9  # servers of a site of clients, clients of a site of servers


@cache
def key(number):
    """One of few keys."""
    return new_key(2048)


@cache
def authority():
    """The CA of all these sites."""
    return create_authority("Benchmark root 2026", AT - timedelta(days=30), QUICK, key(0))


@cache
def pfx():
    """A PFX, which stands for that of every server."""
    return authority().issue("rec-0", at=AT, key=key(1)).pfx(PASSWORD)


def site_of(computers, servers=True):
    """A site of recording servers and few clients, of clients and few servers, or of so many.

    Every client calls every server: with many of both, their links alone are a square.
    """
    many = computers - _FEW - 1
    recorders, clients = (many, _FEW) if servers else (_FEW, many)
    if servers > True:
        recorders, clients = servers, computers - servers - 1
    roles = ("management server", "event server", "log server")
    hosts = [Host("ms", "big.local", roles=roles, owner="IT")]
    hosts += [_host(f"rec-{n}", n, "recording server", 1) for n in range(recorders)]
    hosts += [_host(f"pc-{n}", n, "smart client", 2) for n in range(clients)]
    present = {role for host in hosts for role in host.roles}
    return Site("big", tuple(hosts), frozenset(GUIDE_CLIENTS - present))


def _host(name, number, role, net):
    address = f"10.{net}.{number // 250}.{number % 250 + 1}"
    return Host(name, "big.local", addresses=(address,), roles=(role,), owner="IT")


def build(folder, site, runs=0):
    """Write the folder of a site that encrypts everywhere; return its records."""
    records, ca = Records(folder), authority()
    records.save_authority(ca, PASSWORD, AT)
    records.save_table(as_csv(site).encode())
    entries, root = [], (ca.certificate,)
    stores = {
        host.name: Stores(host.name, AT, windows=host.windows, root=root) for host in site.clients
    }
    for number, host in enumerate(site.servers):
        made = ca.issue(*host.issued_names, at=AT - timedelta(days=1), key=key(number % 4))
        label = thumbprint(made.certificate)
        place = folder / "servers" / host.name
        _write(place / f"{label}.cer", made.certificate.public_bytes(Encoding.DER))
        _write(place / f"{label}.pfx", pfx())
        entries.append(_issued(host, made.certificate, label))
        stores[host.name] = Stores(
            host.name,
            AT,
            windows=host.windows,
            root=root,
            personal=(Personal(made.certificate, True, host.accounts),),
            bindings=dict.fromkeys(host.groups, label),
        )
    for name, held in stores.items():
        _write(folder / "inventory" / f"{name}.json", write_inventory(held))
    names = [host.name for host in site.clients]
    for number in range(runs):
        day = f"{AT - timedelta(days=runs - number):%Y-%m-%d}"
        entries += [_carried(name, day, number) for name in names[number::runs]]
        for part in range(12):
            _write(folder / "changes" / f"{day}-16-verify-the-site" / f"part-{part}", b"seen")
    records.note_all(entries)
    return records


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _issued(host, certificate, label):
    end, serial = iso(certificate.not_valid_after_utc), f"{certificate.serial_number:X}"
    return Entry(iso(AT), "12", "issue", host.name, serial, label, end, "PFX AES-256")


def _carried(name, day, number):
    note = f"install.ps1: hand-over/{name}/{day}"
    return Entry(f"{day}T08:00:00Z", "14", ("hand over", "carried")[number % 2], name, note=note)
