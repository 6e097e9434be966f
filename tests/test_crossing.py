"""An old CA vouches for a new one: what the certificate holds, and what clients make of it."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from lyon import AT, DAY, SITE, key

from vmscert.authority import (
    QUICK,
    Authority,
    Issued,
    create_authority,
    cross_sign,
    is_signed_by,
)
from vmscert.facts import facts
from vmscert.faults import remade
from vmscert.overlap import (
    RIGHT,
    SERVERS_FIRST,
    TRUST,
    Overlap,
    cross_signing_rows,
    plan_overlap,
    planned_stores,
    proof,
    simulate_days,
)
from vmscert.teaching import teaching_key
from vmscert.tls import handshake
from vmscert.trust import diagnose

CASES = [row for row in facts("cross-signing") if row["tag"] == "E"]


def old_root(at, **changes):
    return create_authority("Old root", at, replace(QUICK, **changes), key("old root"))


def new_root(at):
    return create_authority("New root", at, QUICK, key("new root"))


@pytest.fixture(scope="module")
def cross():
    return cross_sign(old_root(AT - 300 * DAY), new_root(AT).certificate, AT)


def value(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def test_a_cross_certificate_has_the_new_name_and_key_and_the_old_signature(cross):
    new, old = new_root(AT).certificate, old_root(AT - 300 * DAY).certificate
    assert (cross.subject, cross.issuer) == (new.subject, old.subject)
    assert cross.public_key() == new.public_key()
    assert is_signed_by(cross, old)
    assert value(cross, x509.SubjectKeyIdentifier) == value(new, x509.SubjectKeyIdentifier)
    above = value(cross, x509.AuthorityKeyIdentifier).key_identifier
    assert above == value(old, x509.SubjectKeyIdentifier).digest


def test_it_is_a_ca_that_allows_none_below_it(cross):
    constraints = cross.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert value(cross, x509.KeyUsage).key_cert_sign


def test_it_ends_with_the_older_of_the_two_and_begins_with_the_younger():
    old, new = old_root(AT - 300 * DAY, days=400), new_root(AT).certificate
    cross = cross_sign(old, new, AT)
    assert cross.not_valid_after_utc == old.certificate.not_valid_after_utc
    assert cross.not_valid_before_utc == new.not_valid_before_utc
    short = create_authority("Short", AT, replace(QUICK, days=20), key("new root")).certificate
    assert cross_sign(old, short, AT).not_valid_after_utc == short.not_valid_after_utc


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"path_length": 0}, "path length 0"),
        ({"is_ca": False}, "basicConstraints"),
        ({"key_usage": ("crl_sign",)}, "keyCertSign"),
        ({"days": 100}, "valid from"),
    ],
)
def test_an_old_root_that_may_not_vouch_says_why(changes, why):
    with pytest.raises(ValueError, match=why):
        cross_sign(old_root(AT - 300 * DAY, **changes), new_root(AT).certificate, AT)


def test_a_root_of_the_guide_s_scripts_which_has_no_basic_constraints_may_not_either():
    old = old_root(AT)
    bare = remade(old.certificate, old.key, without=x509.BasicConstraints)
    with pytest.raises(ValueError, match="basicConstraints"):
        cross_sign(Authority(Issued(bare, old.key)), new_root(AT).certificate, AT)


def test_a_site_s_ca_does_not_vouch_for_one_for_lessons():
    lesson = create_authority("Lesson", AT, QUICK, teaching_key("root", 2048)).certificate
    with pytest.raises(ValueError, match="for lessons"):
        cross_sign(old_root(AT), lesson, AT)


@cache
def stand(now, case):
    """(what the server sends, the old root, the new root) of a case of the table."""
    past = now - timedelta(days=400)
    sound, ended = old_root(past), old_root(past, days=390)
    new, old = new_root(past), sound.certificate
    crossed = cross_sign(sound, new.certificate, now)
    if "path length 0" in case:
        old = old_root(past, path_length=0).certificate
    elif "without basicConstraints" in case:
        old = remade(old, sound.key, without=x509.BasicConstraints)
    if "expired cross" in case:
        crossed = cross_sign(ended, new.certificate, past + DAY)
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
    rows = cross_signing_rows()
    windows = {row["Windows"] for row in rows} - {""}
    assert windows == {"accepts (unconfirmed)", "refuses (unconfirmed)"}
    assert "unconfirmed" not in "".join(row["GnuTLS 3.7"] for row in rows[: len(CASES)])


def crossed_overlap(with_cross=True):
    """A site of which every key is at hand, so that its old CA may vouch."""
    old, new = old_root(AT - 300 * DAY), new_root(AT)
    orders = {host.name: host.issued_names for host in SITE.servers}
    leaves, made = (
        {h: ca.issue(*names, at=AT, key=key("ms")).certificate for h, names in orders.items()}
        for ca in (old, new)
    )
    stores = planned_stores(SITE, {}, [old.certificate], leaves, AT)
    cross = cross_sign(old, new.certificate, AT) if with_cross else None
    return Overlap(SITE, stores, old.certificate, new.certificate, made, cross)


@pytest.mark.parametrize("with_cross", [True, False])
def test_with_a_cross_certificate_servers_may_come_first_and_only_then(with_cross):
    overlap = crossed_overlap(with_cross)
    days = simulate_days(overlap, plan_overlap(overlap, AT, 1, order=SERVERS_FIRST))
    assert proof(days)[0].ok == with_cross
    assert days[-1].serves_old == ()


def test_a_server_that_trusts_the_new_root_sends_no_cross_certificate():
    overlap = crossed_overlap()
    visits = plan_overlap(overlap, AT, 1, order=SERVERS_FIRST)
    trusting = [visit for visit in visits if visit.action == TRUST]
    turned = dict(zip(trusting, reversed(trusting), strict=True))
    hasty = [replace(turned.get(visit, visit), at=visit.at) for visit in visits]
    days = simulate_days(overlap, hasty)
    assert not proof(days)[0].ok
    assert "does not trust" in proof(days)[0].todo


def test_the_right_order_needs_no_cross_certificate():
    overlap = crossed_overlap(with_cross=False)
    assert proof(simulate_days(overlap, plan_overlap(overlap, AT, 1, order=RIGHT)))[0].ok
