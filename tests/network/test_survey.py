"""Many servers looked at together: mixtures, interruptions, and what only a survey can see."""

import asyncio
import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from vmscert.certificates.authority import SERVER, thumbprint
from vmscert.network.servers import LOOPBACK, Loopback, on_loopback
from vmscert.network.survey import survey
from vmscert.network.targets import Target

NAME = "rec-01.lyon.local"


@pytest.fixture(scope="module")
def site(ca, stranger, keys, now):
    """Port → certificate: good, ended, of another CA, ending soon, with the key of the first."""
    return {
        1: ca.issue(NAME, at=now, key=keys[0]),
        2: ca.issue(NAME, at=now, key=keys[1], profile=replace(SERVER, days=100)),
        3: stranger.issue(NAME, at=now, key=keys[2]),
        4: ca.issue(NAME, at=now, key=keys[1], profile=replace(SERVER, days=210)),
        5: None,
        6: ca.issue("other.lyon.local", at=now, key=keys[0]),
    }


@pytest.fixture(scope="module")
def ports(site):
    with on_loopback(site) as ports:
        yield ports


@pytest.fixture(scope="module")
def at(now):
    """Half a year later."""
    return now + timedelta(days=200)


@pytest.fixture(scope="module")
def found(ports, ca, at):
    targets = [Target(LOOPBACK, ports[n], NAME, f"rec-{n}") for n in sorted(ports)]
    return survey(targets, [ca.certificate], at)


def by_host(found):
    return {one.target.host: one for one in found.seen}


def test_each_endpoint_gets_the_verdict_of_a_client(found):
    assert {host: one.verdict for host, one in by_host(found).items()} == {
        "rec-1": "verified",
        "rec-2": "expired",
        "rec-3": "untrusted-root",
        "rec-4": "verified",
        "rec-5": "not-encrypted",
        "rec-6": "name-mismatch",
    }


def test_what_is_presented_is_there_whatever_the_verdict(found, site):
    for host, one in by_host(found).items():
        issued = site[int(host[-1])]
        assert one.handshake.chain[:1] == ((issued.certificate,) if issued else ())


def test_what_equal_servers_present_is_kept_once(ports, ca, at):
    targets = [Target(LOOPBACK, ports[1], NAME, host) for host in ("rec-1", "rec-1-again")]
    one, other = survey(targets, [ca.certificate], at).seen
    assert one.presented[0] is other.presented[0]
    assert one.diagnosis is other.diagnosis


def test_an_end_that_is_near_is_dubious(found):
    (finding,) = by_host(found)["rec-4"].findings
    assert (finding.code, finding.severity, finding.where) == ("expires-soon", "dubious", "rec-4")


def test_what_needs_a_person_stands_first(found):
    trusted = [one.trusted for one in found.seen]
    assert trusted == sorted(trusted)


def test_what_repairs_most_is_told_first(found):
    rows = found.remedies()
    assert [row["severity"] for row in rows] == ["bad"] * 4 + ["dubious"]
    assert {row["finding"] for row in rows[:4]} == {
        *("expired", "untrusted-root", "not-encrypted", "name-mismatch")
    }
    assert rows[-1]["on"] == "rec-4"


def test_a_key_on_two_computers_is_seen(found):
    shared = {frozenset(hosts) for hosts in found.same_key.values()}
    assert shared == {frozenset({"rec-1", "rec-6"}), frozenset({"rec-2", "rec-4"})}


def test_the_table_has_a_row_for_each_endpoint(found, site):
    frame = found.frame().set_index("host")
    assert len(frame) == len(site)
    assert frame.loc["rec-1", "thumbprint"] == thumbprint(site[1].certificate)
    assert frame.loc["rec-1", "issued_by"] == "Lyon VMS root 2026"
    assert frame.loc["rec-1", "key_shared_by"] == "rec-1, rec-6"
    assert frame.loc["rec-2", "days_left"] < 0
    assert frame.loc["rec-5", "findings"] == "not-encrypted"
    assert (frame["seconds"] >= 0).all()


def test_another_certificate_than_issued_is_told(ports, site, ca, now):
    target = Target(LOOPBACK, ports[1], NAME, "rec-1")
    other = thumbprint(site[4].certificate)
    (one,) = survey([target], [ca.certificate], now, expected={"rec-1": other}).seen
    assert one.verdict == "wrong-certificate-served"
    assert other in one.findings[0].detail


def test_it_runs_where_a_loop_runs_already(ports, ca, now):
    """As in a cell of a notebook."""

    async def cell():
        return survey([Target(LOOPBACK, ports[1], NAME)], [ca.certificate], now)

    assert asyncio.run(cell()).seen[0].trusted


def test_silent_servers_do_not_hold_up_the_others(ports, ca, now):
    enough = threading.Event()
    with Loopback(lambda caller: enough.wait(5)) as silent:
        targets = [Target(LOOPBACK, silent, NAME)] * 3 + [Target(LOOPBACK, ports[1], NAME)] * 20
        begun = time.perf_counter()
        found = survey(targets, [ca.certificate], now, timeout=0.5, at_once=5)
        took = time.perf_counter() - begun
        enough.set()
    verdicts = [one.handshake.problem for one in found.seen]
    assert (verdicts.count("silent"), verdicts.count("")) == (3, 20)
    assert took < 2


def test_closed_ports_and_unknown_names_are_told(ca, now, monkeypatch):
    def unknown(*_question):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    targets = [Target(LOOPBACK, port, NAME), Target("rec-9", 443, "rec-9")]
    found = survey(targets, [ca.certificate], now)
    assert [one.handshake.problem for one in found.seen] == ["refused", "dns"]
    assert "no name service knows rec-9" in found.seen[1].findings[0].detail


def test_a_name_is_looked_up_once_however_many_ports_it_has(ports, ca, now, monkeypatch):
    asked, ask = [], socket.getaddrinfo

    def counting(host, *rest):
        asked.append(host)
        return ask(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", counting)
    targets = [Target("localhost", ports[n], NAME) for n in (1, 2, 3, 4)]
    found = survey(targets, [ca.certificate], now)
    assert asked == ["localhost"]
    assert all(one.handshake.chain for one in found.seen)


def test_an_interruption_keeps_what_was_found(ports, ca, now):
    enough = threading.Event()

    def interrupt(done, of):
        if done == of - 1:
            raise KeyboardInterrupt

    with Loopback(lambda caller: enough.wait(5)) as silent:
        targets = [Target(LOOPBACK, ports[1], NAME), Target(LOOPBACK, silent, NAME)]
        found = survey(targets, [ca.certificate], now, progress=interrupt)
        enough.set()
    assert found.interrupted
    assert [one.trusted for one in found.seen] == [True]


def test_nothing_to_look_at_is_an_empty_survey(ca, now):
    found = survey([], [ca.certificate], now)
    assert (found.seen, found.interrupted, len(found.frame())) == ((), False, 0)
