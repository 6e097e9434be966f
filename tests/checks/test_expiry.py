"""What ends when: the warning comes early, grows with time, and never goes back."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st
from lyon import crl

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.checks.expiry import STATUSES, Sight, due, kind_of
from vmscert.practice.faults import remade

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
WORST_FIRST = {status: rank for rank, status in enumerate(STATUSES)}


@pytest.fixture(scope="session")
def lasting(key, at):
    """Make a certificate that starts at `at` and lives so many days."""

    def made(days):
        nobody, end = x509.Name([]), at + days * DAY
        builder = x509.CertificateBuilder(nobody, nobody, key.public_key(), 1, at, end)
        return builder.sign(key, hashes.SHA256())

    return made


@pytest.fixture(scope="session")
def yearly(lasting):
    return lasting(397)


def only(certificate, at):
    (row,) = due([("vms", certificate)], at)
    return row


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (397 * DAY + SECOND, "not-yet-valid"),
        (397 * DAY, "ok"),
        (90 * DAY + SECOND, "ok"),
        (90 * DAY, "plan"),
        (30 * DAY + SECOND, "plan"),
        (30 * DAY, "warning"),
        (14 * DAY + SECOND, "warning"),
        (14 * DAY, "critical"),
        (0 * DAY, "critical"),
        (-SECOND, "expired"),
        (-1000 * DAY, "expired"),
    ],
    ids=str,
)
def test_the_status_tells_how_near_the_end_is(yearly, left, expected):
    """The last second still counts: RFC 5280, section 4.1.2.5."""
    assert only(yearly, yearly.not_valid_after_utc - left).status == expected


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (20 * DAY + SECOND, "ok"),
        (20 * DAY, "warning"),
        (10 * DAY + SECOND, "warning"),
        (10 * DAY, "critical"),
        (-SECOND, "expired"),
    ],
    ids=str,
)
def test_a_short_life_is_warned_of_at_a_third_and_a_sixth(lasting, left, expected):
    """Ninety days' notice of a certificate that lives sixty would be no notice."""
    short = lasting(60)
    assert only(short, short.not_valid_after_utc - left).status == expected


@pytest.mark.parametrize(
    ("left", "days"), [(30 * DAY, 30), (1.5 * DAY, 1), (-SECOND, -1), (-2 * DAY, -2)], ids=str
)
def test_days_left_are_whole_days_and_negative_after_the_end(yearly, left, days):
    assert only(yearly, yearly.not_valid_after_utc - left).days_left == days


@pytest.mark.parametrize(("passed", "share"), [(-10, 1), (0, 1), (100, 0.75), (400, 0), (500, 0)])
def test_the_share_of_life_that_is_left_goes_from_one_to_zero(lasting, at, passed, share):
    assert only(lasting(400), at + passed * DAY).share_left == share


def test_renewal_is_due_half_way_between_planning_and_warning(yearly, lasting, at):
    assert only(yearly, at).renew_on == yearly.not_valid_after_utc - 60 * DAY
    assert only(lasting(60), at).renew_on == lasting(60).not_valid_after_utc - 20 * DAY


def test_what_ends_first_comes_first(lasting, yearly, at):
    certificates = [("ca", lasting(3653)), ("vms", yearly), ("rec-1", lasting(30))]
    rows = due(certificates, at)
    assert [row.label for row in rows] == ["rec-1", "vms", "ca"]
    assert [row.not_after for row in rows] == [at + days * DAY for days in (30, 397, 3653)]
    assert {row.not_before for row in rows} == {at}


def test_nothing_has_no_end(at):
    assert due([], at) == []


@given(
    life=st.integers(0, 5000),
    days=st.lists(st.floats(-100, 6000), min_size=2, max_size=10).map(sorted),
)
def test_time_only_makes_it_worse(lasting, at, life, days):
    certificate = lasting(life)
    rows = [only(certificate, at + passed * DAY) for passed in days]
    for earlier, later in pairwise(rows):
        assert WORST_FIRST[later.status] <= WORST_FIRST[earlier.status]
        assert later.share_left <= earlier.share_left
        assert later.renew_on == earlier.renew_on <= later.not_after


# What else a row tells


@pytest.fixture(scope="module")
def authority(at, keys):
    return create_authority("Lyon VMS root 2026", at, QUICK, keys[1])


@pytest.fixture(scope="module")
def issued(authority, at, key):
    return authority.issue("rec-1.lyon.local", "10.0.0.2", at=at, key=key).certificate


def test_a_row_names_what_people_look_for(issued, authority, at):
    row = only(issued, at)
    assert (row.kind, row.names) == ("server", ("rec-1.lyon.local", "10.0.0.2"))
    assert row.thumbprint == thumbprint(issued)
    assert row.fingerprint == issued.fingerprint(hashes.SHA256()).hex().upper()
    assert int(row.serial, 16) == issued.serial_number
    assert (row.subject, row.issuer) == ("rec-1.lyon.local", authority.name)


def test_a_certificate_is_one_row_however_often_it_was_met(issued, at):
    met = [
        Sight("rec-1", issued, "issued"),
        Sight("rec-1.lyon.local", issued, "served at rec-1:7563", "IT", "building A"),
        Sight("rec-1", issued, "issued"),
    ]
    (row,) = due(met, at)
    assert row.where == ("issued", "served at rec-1:7563")
    assert (row.label, row.owner, row.note) == ("rec-1", "IT", "building A")


def test_a_revocation_list_ends_when_the_next_one_is_due(authority, at):
    (row,) = due([("CRL", crl(authority, at, 60))], at + 45 * DAY)
    assert (row.kind, row.status, row.serial) == ("CRL", "warning", "7")
    assert row.not_after == at + 60 * DAY
    assert (row.issuer, row.thumbprint) == (authority.name, "")


def test_the_next_ca_is_made_while_the_old_one_outlives_what_it_signs(authority, at, key):
    """On its renewal day a CA still issues whole certificates, two months later no more."""
    row = only(authority.certificate, at)
    assert row.kind == "CA"
    assert not authority.issue("a", at=row.renew_on, key=key).capped
    assert authority.issue("a", at=row.renew_on + 62 * DAY, key=key).capped
    assert only(authority.certificate, row.renew_on - SECOND).status == "ok"
    assert only(authority.certificate, row.renew_on).status == "plan"


def test_a_root_of_one_year_is_to_be_replaced_from_its_first_day_on(at, keys):
    year = create_authority("a", at, replace(QUICK, days=365), keys[1]).certificate
    row = only(year, at)
    assert (row.status, row.renew_on) == ("plan", year.not_valid_before_utc)


def test_a_root_of_an_old_script_is_a_ca_though_it_does_not_say_so(authority):
    bare = remade(authority.certificate, authority.key, without=x509.BasicConstraints)
    assert kind_of(bare) == "CA"


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("installed on rec-1", "replaced"),
        ("issued before", "replaced"),
        ("in use on rec-1", "expired"),
        ("served at rec-1:7563", "expired"),
    ],
)
def test_a_certificate_makes_no_noise_when_a_newer_one_took_its_place(
    issued, authority, at, key, place, status
):
    later = at + 380 * DAY
    newer = authority.issue("rec-1.lyon.local", "10.0.0.2", "rec-1", at=later, key=key).certificate
    met = [Sight("rec-1", issued, place), Sight("rec-1", newer, "issued")]
    old, new = due(met, at + 398 * DAY)
    assert (old.status, old.quiet) == (status, status == "replaced")
    assert (new.status, new.quiet) == ("ok", True)


def test_a_newer_certificate_without_one_of_the_names_replaces_nothing(issued, authority, at, key):
    newer = authority.issue("rec-1.lyon.local", at=at + DAY, key=key).certificate
    met = [Sight("rec-1", issued, "installed on rec-1"), Sight("rec-1", newer, "issued")]
    assert [row.status for row in due(met, at)] == ["ok", "ok"]
