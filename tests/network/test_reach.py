"""One server over the network: every way in which a call can end."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.findings import RULES
from vmscert.names import spelled
from vmscert.network.calls import not_connected
from vmscert.network.looks import connect, look_at
from vmscert.network.servers import LOOPBACK, Loopback, greeting
from vmscert.network.survey import survey
from vmscert.network.targets import Target
from vmscert.network.tls import PROBLEMS, server_context

NAME = "vms-rec-01.lyon.local"


@pytest.fixture(scope="module")
def issued(ca, key, now):
    return ca.issue(NAME, LOOPBACK, at=now, key=key)


def say(text):
    def answer(caller):
        caller.recv(1024)
        caller.sendall(text)

    return answer


def hang_up(caller):
    caller.close()


def hang_up_after_hello(caller):
    caller.recv(1024)


def greet_first(caller):
    caller.sendall(b"220 mail.lyon.local ready\r\n")
    caller.recv(1024)


@pytest.mark.parametrize(
    ("answer", "problem", "rule"),
    [
        (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "plain-http", "not-encrypted"),
        (say(b"<html>The plain HTTP request"), "plain-http", "not-encrypted"),
        (greet_first, "plain", "not-encrypted"),
        (hang_up, "closed", "hung-up"),
        (hang_up_after_hello, "closed", "hung-up"),
        # TLS alerts: record type 21, fatal, then the number of RFC 8446 section 6.
        (say(bytes.fromhex("15 0303 0002 02 46")), "too-old", "tls-too-old"),
        (say(bytes.fromhex("15 0303 0002 02 28")), "alert", "handshake-refused"),
        (say(bytes.fromhex("15 0303 0002 02 70")), "name-unknown", "name-mismatch"),
    ],
    ids=["HTTP", "HTML", "SMTP", "hangs up", "after hello", "version", "failure", "name"],
)
def test_a_port_without_the_tls_that_we_speak_says_which_problem_it_has(ca, answer, problem, rule):
    with Loopback(answer) as port:
        seen = connect(LOOPBACK, port, [ca.certificate], NAME)
    assert (seen.ok, seen.problem, seen.rule) == (False, problem, rule)
    assert (seen.chain, seen.verify_code) == ((), None)
    assert f"{LOOPBACK}:{port}" in seen.error
    assert seen.error.isprintable()


def test_what_a_plain_server_says_is_quoted(ca):
    with Loopback(greet_first) as port:
        assert (
            "'220 mail.lyon.local ready'" in connect(LOOPBACK, port, [ca.certificate], NAME).error
        )


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (socket.gaierror(-2, "Name or service not known"), "dns"),
        (ConnectionRefusedError(111, "Connection refused"), "refused"),
        (TimeoutError("timed out"), "timeout"),
        (OSError(113, "No route to host"), "unreachable"),
        (PermissionError(13, "Permission denied"), "unreachable"),
    ],
)
def test_a_call_that_never_gets_through_says_why(error, problem):
    where = ("rec-01.lyon.local", 7563)
    seen = not_connected(where[0], error).told(spelled(where), where, 2, 0.1)
    assert (seen.problem, seen.rule, seen.chain) == (problem, "not-reachable", ())
    assert seen.error.startswith("rec-01.lyon.local:7563")
    assert "{" not in seen.error


def test_a_closed_port_is_refused(ca):
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    seen = connect(LOOPBACK, port, [ca.certificate], NAME)
    assert (seen.ok, seen.problem) == (False, "refused")
    assert seen.error.startswith(f"{LOOPBACK}:{port} can't be reached: ")


def test_a_server_that_stays_silent_is_given_up_after_the_timeout(ca):
    enough = threading.Event()
    with Loopback(lambda caller: enough.wait(5)) as port:
        start = time.perf_counter()
        seen = connect(LOOPBACK, port, [ca.certificate], NAME, timeout=0.2)
        took = time.perf_counter() - start
        enough.set()
    assert (seen.problem, seen.rule) == ("silent", "not-reachable")
    assert "timed out: no TLS answer within 0.2 s" in seen.error
    assert 0.2 <= seen.seconds <= took < 2


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_that_speaks_tls_1_1_at_most_is_too_old_but_read(issued, ca):
    context = server_context(issued)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Loopback(greeting(context)) as port:
        seen = connect(LOOPBACK, port, [ca.certificate], NAME)
    assert (seen.ok, seen.rule, seen.version) == (False, "tls-too-old", "TLSv1.1")
    assert seen.chain == (issued.certificate,)
    assert "speaks no TLS that current clients accept (TLSv1.1, " in seen.error


@pytest.mark.parametrize(
    ("cipher", "found", "verdict"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", set(), "verified"),
        ("AES128-SHA", {"weak-cipher"}, "verified"),  # RSA key transport
        ("ECDHE-RSA-AES256-SHA", {"weak-cipher"}, "verified"),  # CBC
        ("CAMELLIA128-SHA", {"weak-cipher"}, "weak-cipher"),  # offered by nobody
    ],
)
def test_a_server_with_old_ciphers_gets_the_verdict_of_curl(
    issued, ca, now, tmp_path, cipher, found, verdict
):
    context = server_context(issued)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    root = tmp_path / "root.pem"
    root.write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    with Loopback(greeting(context)) as port:
        target = Target(LOOPBACK, port, NAME)
        looks = [look_at(target, [ca.certificate], now)]
        looks += survey([target], [ca.certificate], now).seen
        curl = curled(port, root)
    for look in looks:
        assert (look.codes, look.verdict) == (found, verdict)
        assert (look.presented, look.handshake.cipher) == ((issued.certificate,), cipher)
        assert "TLS 1.2 on" not in look.detail
    assert curl in (None, verdict == "verified")


def curled(port, root):
    """Whether curl shakes hands; None where there is no curl with OpenSSL."""
    curl = shutil.which("curl")
    if not curl or b"OpenSSL" not in subprocess.run([curl, "-V"], capture_output=True).stdout:
        return None
    to = [f"https://{NAME}:{port}/", "--resolve", f"{NAME}:{port}:{LOOPBACK}"]
    call = [curl, "-sv", "--cacert", root, "--max-time", "0.5", *to]
    return b"SSL certificate verify ok" in subprocess.run(call, capture_output=True).stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_demands_a_client_certificate_is_told_from_others(issued, ca, version):
    context = server_context(issued)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    with Loopback(greeting(context)) as port:
        seen = connect(LOOPBACK, port, [ca.certificate], NAME)
    assert (seen.ok, seen.problem) == (False, "client-certificate")
    assert seen.chain == (issued.certificate,)


def test_a_server_that_only_asks_for_a_client_certificate_is_fine(issued, ca):
    context = server_context(issued)
    context.verify_mode = ssl.CERT_OPTIONAL
    with Loopback(greeting(context)) as port:
        assert connect(LOOPBACK, port, [ca.certificate], NAME).ok


def test_a_certificate_that_depends_on_the_name_is_told(issued, ca, keys, now):
    """The wanted name gets a wrong certificate; without a name the right one would come."""
    other = ca.issue("other.lyon.local", at=now, key=keys[2])
    context, wrong = server_context(issued), server_context(other)

    def choose(connection, name, _context):
        if name:
            connection.context = wrong

    context.sni_callback = choose
    with Loopback(greeting(context)) as port:
        seen = connect(LOOPBACK, port, [ca.certificate], NAME)
    assert (seen.ok, seen.chain) == (False, (other.certificate,))
    assert "without one, it is another" in seen.hint


def test_a_server_that_refuses_a_name_shows_what_it_has_without_one(issued, ca):
    context = server_context(issued)
    refuse = ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    context.sni_callback = lambda _connection, name, _context: refuse if name else None
    with Loopback(greeting(context)) as port:
        seen = connect(LOOPBACK, port, [ca.certificate], NAME)
    assert (seen.problem, seen.rule) == ("name-unknown", "name-mismatch")
    assert seen.chain == (issued.certificate,)


def test_an_address_is_also_the_name_if_none_is_given(issued, ca):
    with Loopback(greeting(server_context(issued))) as port:
        assert connect(LOOPBACK, port, [ca.certificate]).ok


def test_ipv6_is_reached(ca, key, now):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    issued = ca.issue("::1", at=now, key=key)

    @contextmanager
    def listening():
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            pytest.skip("no IPv6 loopback here")
        with listener:
            yield listener

    with listening() as listener:

        def answer():
            caller, _ = listener.accept()
            with suppress(OSError):  # a client that saw enough hangs up without a word
                greeting(server_context(issued))(caller)

        thread = threading.Thread(target=answer)
        thread.start()
        assert connect("[::1]", listener.getsockname()[1], [ca.certificate]).ok
        thread.join()


@pytest.mark.parametrize("port", [0, -1, 65536, 70000])
def test_a_port_that_does_not_exist_is_the_callers_mistake(ca, port):
    with pytest.raises(ValueError, match="ports are 1 to 65535"):
        connect(LOOPBACK, port, [ca.certificate], NAME)


@pytest.mark.parametrize("address", ["", "a" * 64, "rec 01", "10.0.0.256"])
def test_an_address_that_cannot_exist_is_the_callers_mistake(ca, address):
    with pytest.raises(ValueError, match=r"^'.*"):
        connect(address, 443, [ca.certificate], NAME)


def test_every_problem_names_the_place_and_the_next_step():
    for word, row in PROBLEMS.items():
        assert row["rule"] in RULES
        assert word == "unreadable" or row["sentence"].startswith("{where}")
