"""Many certificates at once: every server gets its own key."""

import threading
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from vmscert.certificates.authority import SERVER, is_signed_by, issue_all
from vmscert.certificates.keys import clear_key

ORDERS = {f"rec-{n}": (f"rec-{n}.lyon.local", f"rec-{n}", f"10.0.0.{n}") for n in (3, 1, 2)}


def modulus(issued):
    return issued.certificate.public_key().public_numbers().n


def test_every_server_gets_its_own_key_and_names_in_the_order_of_the_orders(ca, now):
    made = list(issue_all(ca, ORDERS, now))
    assert [host for host, _ in made] == list(ORDERS)
    assert [issued.names for _, issued in made] == list(ORDERS.values())
    assert len({modulus(issued) for _, issued in made}) == len(ORDERS)
    for _, issued in made:
        assert issued.key.private_numbers().public_numbers.n == modulus(issued)
        assert load_der_private_key(clear_key(issued.key), None).key_size == 2048
        assert is_signed_by(issued.certificate, ca.certificate)


def test_whoever_stops_early_does_not_wait_for_the_rest(ca, now):
    """200 keys take seconds; the threads are gone after the one at hand."""
    before = threading.active_count()
    work = issue_all(ca, {f"rec-{n}": (f"rec-{n}",) for n in range(200)}, now)
    next(work)
    work.close()
    assert threading.active_count() == before


def test_a_bad_name_stops_the_work_after_what_was_good(ca, now):
    before = threading.active_count()
    work = issue_all(ca, {"vms": ("vms",), "rec 1": ("rec 1",), "rec-2": ("rec-2",)}, now)
    assert next(work)[0] == "vms"
    with pytest.raises(ValueError, match="'rec 1' is not a host name"):
        next(work)
    assert threading.active_count() == before


def test_the_profile_decides_how_strong_the_keys_are(ca, now):
    profile = replace(SERVER, key_bits=3072)
    ((_, issued),) = issue_all(ca, {"vms": ("vms",)}, now, profile=profile)
    assert modulus(issued).bit_length() == 3072


def test_no_orders_no_certificates(ca, now):
    assert list(issue_all(ca, {}, now)) == []
