"""An old CA vouches for a new one: what clients make of it, beside the table that says so."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from lyon import AT, SITE, key, told

from vmscert.certificates.authority import QUICK, create_authority
from vmscert.certificates.diagnosis import diagnose
from vmscert.checks.acceptance import dark_links
from vmscert.facts import facts
from vmscert.network.tls import handshake
from vmscert.practice.faults import remade
from vmscert.runbooks.overlap import planned_stores
from vmscert.runbooks.replace import ReplaceTheCa

CASES = [row for row in facts("cross-signing") if row["tag"] == "E"]


def old_root(at, **changes):
    return create_authority("Old root", at, replace(QUICK, **changes), key("old root"))


def new_root(at):
    return create_authority("New root", at, QUICK, key("new root"))


def vouched(old, new):
    """A certificate for the name and key of the new CA, signed by the old one."""
    end = min(one.certificate.not_valid_after_utc for one in (old, new))
    return remade(new.certificate, old.key, issuer=old.certificate.subject, end=end)


@cache
def stand(now, case):
    """(what the server sends, the old root, the new root) of a case of the table."""
    past = now - timedelta(days=400)
    sound, ended = old_root(past), old_root(past, days=390)
    new, old = new_root(past), sound.certificate
    crossed = vouched(sound, new)
    if "path length 0" in case:
        none_below = x509.BasicConstraints(True, 0)
        old = remade(old, sound.key, having=none_below, critical=True)
    elif "without basicConstraints" in case:
        old = remade(old, sound.key, without=x509.BasicConstraints)
    if "expired cross" in case:
        crossed = vouched(ended, new)
        old = ended.certificate if "old root expired" in case else old
    leaf = new.issue("localhost", at=now, key=key("ms"))
    issuers = (crossed,) if "cross" in case else ()
    return replace(leaf, issuers=issuers), old, new.certificate


def roots_of(trusts, old, new):
    return {"old only": [old], "new only": [new], "both": [old, new]}[trusts]


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row['case']} | {row['trusts']}")
def test_openssl_here_the_table_and_our_verdict_say_the_same(row, now):
    issued, old, new = stand(now.replace(microsecond=0), row["case"])
    roots = roots_of(row["trusts"], old, new)
    measured = row["OpenSSL 3 and curl"] == "accepts"
    assert handshake(issued, roots, "localhost").ok == measured
    assert diagnose(issued.chain, "localhost", roots, now).trusted == measured


def test_what_nobody_tried_is_told_as_unconfirmed():
    rows = told(ReplaceTheCa(None).cross_signing())
    named = [row["who accepts"] + row["who refuses"] for row in rows]
    assert [one for one in named if "Windows" in one] == named[len(CASES) :]
    assert all("(unconfirmed)" in one for one in named[len(CASES) :])
    assert not any("unconfirmed" in one for one in named[: len(CASES)])


def test_clients_are_named_where_they_differ():
    rows = {tuple(row.values()) for row in told(ReplaceTheCa(None).cross_signing())}
    assert ("leaf and cross", "both", "all 8 that were tried", "") in rows
    (mixed,) = [row for row in rows if row[3] == "GnuTLS 3.7"]
    assert mixed[:2] == ("leaf and cross, old root with path length 0", "both")
    assert mixed[2].startswith("OpenSSL 3 and curl, Node 20, NSS 3.87, Java 17")


@pytest.mark.parametrize("trusting", [False, True])
def test_a_server_that_trusts_the_new_root_itself_sends_no_cross_certificate(trusting):
    """So its clients, which trust the old root alone, refuse it."""
    old, new = old_root(AT), new_root(AT)
    ca, root, crossed = old.certificate, new.certificate, vouched(old, new)
    leaves = {
        one.name: new.issue(*one.issued_names, at=AT, key=key("ms")).certificate
        for one in SITE.servers
    }
    stores = planned_stores(SITE, {}, [ca], leaves, AT)
    for host in SITE.servers:
        held = (root, ca) if trusting else (ca,)
        stores[host.name] = replace(stores[host.name], root=held, intermediate=(crossed,))
    assert bool(dark_links(SITE, stores, AT)) == trusting
