"""The steps of a look: whoever takes it, one server ends it in one way, and until one deadline."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from subprocess import PIPE

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vmscert.findings import RULES
from vmscert.network.looks import look_at
from vmscert.network.servers import LOOPBACK, Loopback, greeting
from vmscert.network.survey import survey
from vmscert.network.targets import Target
from vmscert.network.tls import server_context

NAME = "vms-rec-01.lyon.local"
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def issued(ca, key, now):
    return ca.issue(NAME, LOOPBACK, at=now, key=key)


@pytest.fixture(params=["connect", "survey"])
def look(request, ca, now):
    """Both ways to look at one server."""

    def looked(port, name=NAME, address=LOOPBACK, timeout=5.0, roots=(ca.certificate,)):
        target = Target(address, port, name)
        if request.param == "connect":
            return look_at(target, roots, now, timeout=timeout)
        return survey([target], roots, now, timeout=timeout).seen[0]

    return looked


# A certificate of the client


def asking(issued, ca, version, mode):
    context = server_context(issued)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(cadata=ca.certificate.public_bytes(Encoding.DER))
    context.verify_mode = mode
    return context


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_demanded_client_certificate_is_seen_by_every_look(look, issued, ca, version):
    with Loopback(greeting(asking(issued, ca, version, ssl.CERT_REQUIRED))) as port:
        seen = look(port)
    assert (seen.verdict, seen.trusted) == ("client-certificate", False)
    assert seen.presented[0] == issued.certificate
    assert "wants a certificate from the client (" in seen.detail
    assert seen.handshake.version == {TLS12: "TLSv1.2", TLS13: "TLSv1.3"}[version]


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_client_certificate_that_is_only_asked_for_is_dubious(look, issued, ca, version):
    with Loopback(greeting(asking(issued, ca, version, ssl.CERT_OPTIONAL))) as port:
        seen = look(port)
    (finding,) = seen.findings
    assert (seen.trusted, finding.code, finding.severity) == (True, "client-certificate", "dubious")
    assert finding.detail.endswith("asks for a client certificate, but goes on without one")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_cas_whose_client_certificates_a_server_takes_are_told(
    openssl, issued, ca, stranger, now, tmp_path, version
):
    """Python's servers name none, OpenSSL's do."""
    assert openssl("version").returncode == 0
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    server, cas = tmp_path / "server.pem", tmp_path / "cas.pem"
    server.write_bytes(issued.certificate.public_bytes(Encoding.PEM) + key)
    both = ca.certificate, stranger.certificate
    cas.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in both))
    call = ["openssl", "s_server", "-accept", f"{LOOPBACK}:0", "-Verify", "1", "-CAfile", cas]
    with subprocess.Popen([*call, "-cert", server, version], stdin=PIPE, stdout=PIPE) as process:
        try:
            lines = iter(process.stdout.readline, b"")
            port = next(int(one.rpartition(b":")[2]) for one in lines if b"ACCEPT" in one)
            seen = look_at(Target(LOOPBACK, port, NAME), [ca.certificate], now)
        finally:
            process.kill()
    told = [one.subject.rfc4514_string() for one in both]
    assert seen.verdict == "client-certificate"
    assert all(one.rpartition("=")[2] in seen.findings[0].detail for one in told), told


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_server_that_shakes_hands_and_then_hangs_up_wants_what_it_asked_for(
    look, issued, ca, version
):
    """As Node does."""
    context = asking(issued, ca, version, ssl.CERT_OPTIONAL)

    def answer(caller):
        context.wrap_socket(caller, server_side=True)

    with Loopback(answer) as port:
        assert look(port).verdict == "client-certificate"


def test_a_demand_is_told_beside_a_certificate_that_is_refused(issued, ca, stranger, now):
    with Loopback(greeting(asking(issued, ca, TLS13, ssl.CERT_REQUIRED))) as port:
        seen = look_at(Target(LOOPBACK, port, NAME), [stranger.certificate], now)
    assert seen.codes == {"client-certificate", "untrusted-root"}


# Who refused


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (40, "handshake-refused", "40, handshake_failure"),
        (80, "handshake-refused", "80, internal_error"),
        (120, "handshake-refused", "120, no_application_protocol"),
        (200, "handshake-refused", "200, unknown"),
        (70, "tls-too-old", "70, protocol_version"),
        (71, "weak-cipher", "71, insufficient_security"),
    ],
)
def test_an_alert_is_told_by_number_and_name(look, number, code, said):
    def answer(caller):
        caller.recv(1024)
        caller.sendall(bytes([21, 3, 3, 0, 2, 2, number]))

    with Loopback(answer) as port:
        seen = look(port)
    assert seen.verdict == code
    assert said in seen.detail


def test_what_the_client_itself_refuses_is_not_laid_at_the_servers_key(look, issued, ca, now):
    """A chain of 200 certificates is more than OpenSSL takes."""
    other = ca.issue("ca.lyon.local", at=now, key=issued.key).certificate
    context = server_context(replace(issued, issuers=(other,) * 200))
    with Loopback(greeting(context)) as port:
        seen = look(port)
    assert seen.verdict == "handshake-broken"
    assert "excessive message size" in seen.detail
    assert "private key" not in seen.detail


@contextmanager
def between(port, change):
    """A device between that changes what the server says."""

    def answer(caller):
        with socket.create_connection((LOOPBACK, port)) as server, suppress(OSError):
            caller.settimeout(5)
            server.sendall(caller.recv(1 << 14))
            time.sleep(0.05)
            caller.sendall(change(server.recv(1 << 16)))
            caller.recv(1 << 14)

    with Loopback(answer) as other:
        yield other


def test_a_device_that_spoils_what_is_encrypted_is_told(look, issued):
    with (
        Loopback(greeting(server_context(issued))) as port,
        between(port, lambda data: data[:-1] + bytes([data[-1] ^ 1])) as spoiled,
    ):
        seen = look(spoiled)
    assert seen.verdict == "handshake-broken"
    assert "bad record mac" in seen.detail


# One deadline


def drip(caller):
    with suppress(OSError):
        caller.recv(1024)
        for byte in bytes.fromhex("160303007a020000760303") + bytes(100):
            caller.sendall(bytes([byte]))
            time.sleep(0.1)


def hello_requests(caller):
    with suppress(OSError):
        caller.recv(1024)
        while True:
            caller.sendall(bytes.fromhex("160303000400000000") * 1000)


def noise(caller):
    with suppress(OSError):
        caller.recv(1024)
        caller.sendall(bytes.fromhex("160303ffff"))
        while True:
            caller.sendall(bytes(1 << 14))


@pytest.mark.parametrize(
    ("answer", "said"),
    [(drip, "was not done within 0.5 s"), (hello_requests, "sending"), (noise, "refuses")],
)
def test_a_server_without_end_ends_at_the_deadline(look, answer, said):
    with Loopback(answer) as port:
        begun = time.perf_counter()
        seen = look(port, timeout=0.5)
        took = time.perf_counter() - begun
    assert took < 1.2
    assert seen.verdict == "handshake-broken"
    assert said in seen.detail


def test_one_endless_server_does_not_starve_the_others(issued, ca, now):
    with Loopback(hello_requests) as endless, Loopback(greeting(server_context(issued))) as port:
        ports = [endless, *[port] * 5]
        targets = [Target(LOOPBACK, one, NAME, f"rec-{n}") for n, one in enumerate(ports)]
        found = survey(targets, [ca.certificate], now, timeout=3)
    assert [one.trusted for one in found.seen] == [False, *[True] * 5]


def test_an_interruption_keeps_what_is_there_though_the_loop_is_stuck(issued, ca, now, monkeypatch):
    module = import_module("vmscert.network.survey")
    called, stuck = module.called, threading.Event()

    async def hanging(where, *rest):
        if where[0] == "127.0.0.2":
            stuck.wait(5)  # nothing else in this loop goes on
        return await called(where, *rest)

    def interrupt(done, _of):
        if done == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "called", hanging)
    monkeypatch.setattr(module, "_FAREWELL", 0.2)
    with Loopback(greeting(server_context(issued))) as port:
        targets = [Target(LOOPBACK, port, NAME), Target("127.0.0.2", port, NAME)]
        begun = time.perf_counter()
        found = survey(targets, [ca.certificate], now, at_once=1, progress=interrupt)
        took = time.perf_counter() - begun
    stuck.set()
    assert (found.interrupted, len(found.seen), took < 2) == (True, 1, True)


# Several addresses


@contextmanager
def at_two_addresses(monkeypatch, first, second):
    """127.0.0.1 and 127.0.0.2 behind one name, on one port; None where nobody listens."""
    listeners, port = [], 0
    for address, context in ((LOOPBACK, first), ("127.0.0.2", second)):
        if context is None:
            continue
        try:
            listener = socket.create_server((address, port))
        except OSError:
            pytest.skip("no second address of loopback here")
        port = listener.getsockname()[1]
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, context), daemon=True).start()
    every = [(socket.AF_INET, 1, 6, "", (one, 0)) for one in (LOOPBACK, "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_question: every)
    yield port
    for listener in listeners:
        listener.close()


def _serve(listener, context):
    with suppress(OSError):
        while True:
            caller, _ = listener.accept()
            with caller, suppress(OSError):
                greeting(context)(caller)


def test_addresses_that_show_two_certificates_are_told(
    look, issued, ca, stranger, key, now, monkeypatch
):
    other = stranger.issue(NAME, at=now, key=key)
    contexts = server_context(issued), server_context(other)
    for first, second in (contexts, contexts[::-1]):
        with at_two_addresses(monkeypatch, first, second) as port:
            seen = look(port, address=NAME)
        assert seen.verdict == "untrusted-root"  # the worse of both, wherever it stands
        assert seen.codes == {"untrusted-root", "addresses-differ"}
        (text,) = [one.detail for one in seen.findings if one.code == "addresses-differ"]
        assert f"{NAME} leads to {LOOPBACK}: certificate " in text
        assert "; 127.0.0.2: certificate " in text


def test_a_dead_address_beside_a_living_one_is_told(look, issued, monkeypatch):
    with at_two_addresses(monkeypatch, server_context(issued), None) as port:
        seen = look(port, address=NAME)
    assert (seen.trusted, seen.codes) == (True, {"addresses-differ"})
    assert "127.0.0.2: refused" in seen.findings[0].detail


def test_addresses_that_answer_alike_are_not_worth_a_word(look, issued, monkeypatch):
    context = server_context(issued)
    with at_two_addresses(monkeypatch, context, context) as port:
        assert look(port, address=NAME).findings == ()


# Whose CA


def test_without_a_root_trust_is_not_judged(look, issued):
    with Loopback(greeting(server_context(issued))) as port:
        seen = look(port, roots=None)
    assert (seen.verdict, seen.trusted) == ("not-judged", False)


def test_a_chain_signed_again_is_no_reason_to_trust_its_root(issued, ca, stranger, key, now):
    again = stranger.issue(NAME, at=now, key=key)
    with Loopback(greeting(server_context(again))) as port:
        target = Target(LOOPBACK, port, NAME, "vms-rec-01")
        (seen,) = survey([target], [ca.certificate], now, expected={"vms-rec-01": "A"}).seen
    assert seen.codes == {"signed-again", "wrong-certificate-served"}
    assert r"LocalMachine\Root" not in RULES["signed-again"].remedy_text


def test_a_look_runs_where_a_loop_runs_already(issued, ca, now):
    async def cell(port):
        return look_at(Target(LOOPBACK, port, NAME), [ca.certificate], now)

    with Loopback(greeting(server_context(issued))) as port:
        assert asyncio.run(cell(port)).trusted
