"""Many certificates at once: every server gets its own key, whoever makes the keys."""

import multiprocessing
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from vmscert.authority import SERVER, is_signed_by
from vmscert.fleet import issue_all
from vmscert.keyfile import clear_key

ORDERS = {f"rec-{n}": (f"rec-{n}.lyon.local", f"rec-{n}", f"10.0.0.{n}") for n in (3, 1, 2)}


class Clerk(Executor):
    """Takes every task down, and hands out one and the same key."""

    def __init__(self, key):
        self.der, self.tasks, self.futures = clear_key(key), [], []

    def submit(self, function, /, *arguments):
        self.tasks.append((function, *arguments))
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_result(self.der)
        return self.futures[-1]


def modulus(issued):
    return issued.certificate.public_key().public_numbers().n


def spawned():
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


@pytest.mark.parametrize(
    "pool", [None, ThreadPoolExecutor, spawned], ids=["own", "threads", "processes"]
)
def test_every_server_gets_its_own_key_and_names_in_the_order_of_the_orders(ca, now, pool):
    executor = pool() if pool else None
    made = list(issue_all(ca, ORDERS, now, executor=executor))
    if executor:
        executor.shutdown()
    assert [host for host, _ in made] == list(ORDERS)
    assert [issued.names for _, issued in made] == list(ORDERS.values())
    assert len({modulus(issued) for _, issued in made}) == len(ORDERS)
    for _, issued in made:
        assert issued.key.private_numbers().public_numbers.n == modulus(issued)
        assert is_signed_by(issued.certificate, ca.certificate)


def test_a_key_that_another_process_made_is_a_whole_key(ca, now):
    """The kit skips the check at load; cryptography's own check finds nothing to say."""
    ((_, issued),) = issue_all(ca, {"vms": ("vms",)}, now)
    assert load_der_private_key(clear_key(issued.key), None).key_size == 2048


def test_as_many_keys_are_ordered_as_servers_and_no_two_orders_are_equal(ca, key, now):
    """Dask runs equal tasks once: two servers would share one key."""
    clerk = Clerk(key)
    next(issue_all(ca, {str(n): ("vms",) for n in range(50)}, now, executor=clerk))
    assert len(clerk.tasks) == len(set(clerk.tasks)) == 50


def test_an_order_for_a_key_holds_nothing_secret(ca, key, now):
    """Only a number and a token go out: the CA key never leaves this process."""
    clerk = Clerk(key)
    next(issue_all(ca, ORDERS, now, executor=clerk))
    assert {tuple(map(type, arguments)) for _, *arguments in clerk.tasks} == {(int, str)}


def test_whoever_stops_early_gets_no_more_keys(ca, key, now):
    clerk = Clerk(key)
    work = issue_all(ca, ORDERS, now, executor=clerk)
    assert next(work)[0] == "rec-3"
    work.close()
    assert [future.cancelled() for future in clerk.futures] == [False, True, True]


def test_whoever_stops_early_does_not_wait_for_the_rest(ca, now):
    """200 keys take seconds; the threads are gone after the one at hand."""
    before = threading.active_count()
    work = issue_all(ca, {f"rec-{n}": (f"rec-{n}",) for n in range(200)}, now)
    next(work)
    work.close()
    assert threading.active_count() == before


def test_a_bad_name_stops_the_work_after_what_was_good(ca, key, now):
    clerk = Clerk(key)
    work = issue_all(
        ca, {"vms": ("vms",), "rec 1": ("rec 1",), "rec-2": ("rec-2",)}, now, executor=clerk
    )
    assert next(work)[0] == "vms"
    clerk.futures[1].set_result(clerk.der)
    with pytest.raises(ValueError, match="'rec 1' is not a host name"):
        next(work)
    assert clerk.futures[2].cancelled()


def test_an_executor_that_was_handed_in_stays_open(ca, now):
    with ThreadPoolExecutor(1) as pool:
        list(issue_all(ca, {"vms": ("vms",)}, now, executor=pool))
        assert pool.submit(int, "1").result() == 1


def test_the_profile_decides_how_strong_the_keys_are(ca, now):
    profile = replace(SERVER, key_bits=3072)
    ((_, issued),) = issue_all(ca, {"vms": ("vms",)}, now, profile=profile)
    assert modulus(issued).bit_length() == 3072


def test_no_orders_no_certificates(ca, now):
    assert list(issue_all(ca, {}, now)) == []
