"""Proof of a site costs as many handshakes as differ, and the record of it stays small."""

from time import perf_counter

import pytest
from big_sites import AT, authority, key, site_of

from vmscert.certificates.authority import thumbprint
from vmscert.checks.live import in_lines, told_together, verify_connections
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.windows.stores import Stores

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize(
    ("computers", "recorders", "seconds", "megabytes"), [(250, 40, 5, 1), (2000, 250, 30, 50)]
)
def test_a_proof_makes_each_handshake_once(computers, recorders, seconds, megabytes):
    """All ports that serve one certificate are one on loopback."""
    site = site_of(computers, servers=recorders)
    root = (authority().certificate,)
    stores = {host.name: Stores(host.name, AT, root=root) for host in site.clients}
    served = {
        host.name: authority().issue(*host.issued_names, at=AT, key=key(number % 4))
        for number, host in enumerate(site.servers)
    }
    right = {name: thumbprint(one.certificate) for name, one in served.items()}
    with on_loopback(served) as on:
        begun = perf_counter()
        where = (site, stores, right, AT, lambda link, _: (LOOPBACK, on[link.server]))
        seen = list(verify_connections(*where, pause=0))
        shaken = perf_counter() - begun
    assert {one.verdict for one in seen} == {"verified"}
    rows = told_together(seen)
    size = len(in_lines(rows)) / 1e6
    taken = perf_counter() - begun
    made = max(one.handshake for one in seen)
    busiest = max(
        len({one.handshake for one in seen if one.server == host.name}) for host in site.servers[:5]
    )
    print(
        f"\n{computers} computers, {len(site.servers)} servers: {len(seen):,} connections "
        f"by {made:,} handshakes, {busiest} at the busiest server; {shaken:.1f} s, with the record "
        f"{taken:.1f} s, {size:.1f} MB"
    )
    assert taken < seconds and size < megabytes
