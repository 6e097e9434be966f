"""What ends when: the warning comes early, grows with time, and never goes back."""

from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from vmscert.expiry import STATUSES, due

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
        (398 * DAY, "ok"),
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
