"""A survey costs little more than shaking hands, and slow servers do not hold it up."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter

import pytest
from cryptography import x509
from endpoints import endpoints, name_of
from measure import side_by_side

from vmscert.network.survey import survey
from vmscert.network.targets import Target

pytestmark = pytest.mark.benchmark
AT_ONCE = 50

# Printed by a fresh interpreter: the growth of its memory over what importing takes, in MB.
_MEMORY = """
import json, resource, sys
import pandas
from datetime import UTC, datetime
from cryptography import x509
from vmscert.network.survey import survey
from vmscert.network.targets import Target
import vmscert.checks.site, vmscert.checks.live, asyncio, ssl
root, places = json.loads(sys.stdin.read())
def kept(what):  # in MB; getrusage would count what the parent held before this program began
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024
def peak():
    linux = sys.platform == "linux"
    return kept("VmHWM") if linux else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = kept("VmRSS") if sys.platform == "linux" else peak()
roots = x509.load_pem_x509_certificates(open(root, "rb").read())
targets = [Target(a, p, f"rec-{n}.lyon.local") for n, (a, p) in enumerate(places)]
found = survey(targets, roots, datetime.now(UTC))
print(json.dumps([peak() - before, sum(one.trusted for one in found.seen)]))
"""

_SSLYZE = """
import json, sys, time
from sslyze import Scanner, ScanCommand, ServerNetworkLocation, ServerScanRequest
scanner = Scanner(concurrent_server_scans_limit=int(sys.argv[1]))
places = json.loads(sys.stdin.read())
begun = time.perf_counter()
scanner.queue_scans([
    ServerScanRequest(ServerNetworkLocation(*place), scan_commands={ScanCommand.CERTIFICATE_INFO})
    for place in places
])
assert all(result.scan_result for result in scanner.get_results())
print(time.perf_counter() - begun)
"""


def targets(places):
    return [Target(address, port, name_of(n)) for n, (address, port) in enumerate(places)]


def roots(file):
    return x509.load_pem_x509_certificates(file.read_bytes())


def only_shake_hands(places):
    """What asyncio and ssl do at the least: no certificate is looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def work(waiting):
        for number, (address, port) in waiting:
            _, writer = await asyncio.open_connection(
                address, port, ssl=context, server_hostname=name_of(number)
            )
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def everything():
        waiting = iter(enumerate(places))
        await asyncio.gather(*(work(waiting) for _ in range(AT_ONCE)))

    asyncio.run(everything())


def test_a_survey_of_1000_takes_at_most_a_third_more_than_bare_handshakes(tmp_path):
    with endpoints(1000, tmp_path) as (root, places):
        looked_at, trusted = targets(places), roots(root)

        def look():
            found = survey(looked_at, trusted, datetime.now(UTC), at_once=AT_ONCE)
            assert all(one.trusted for one in found.seen)

        ours, bare = side_by_side(look, lambda: only_shake_hands(places), rounds=5)
    ratio = bare / ours
    print(f"\n1000 endpoints: survey {ours:.2f} s, bare handshakes {bare:.2f} s: {ratio:.2f}")
    assert ratio >= 0.7


@pytest.mark.skipif("SSLYZE_PYTHON" not in os.environ, reason="names a Python that has sslyze")
def test_sslyze_takes_ten_times_as_long_for_the_certificates_alone(tmp_path):
    """It needs an older cryptography than the kit, so it runs in an environment of its own."""
    with endpoints(300, tmp_path) as (root, places):
        looked_at, trusted = targets(places), roots(root)
        begun = perf_counter()
        found = survey(looked_at, trusted, datetime.now(UTC), at_once=AT_ONCE)
        ours = perf_counter() - begun
        theirs = min(_scan(places, workers) for workers in (4, 10, 30))
    assert all(one.trusted for one in found.seen)
    print(f"\n300 endpoints: survey {ours:.2f} s, sslyze {theirs:.2f} s: {theirs / ours:.1f} x")
    assert theirs >= 10 * ours


def _scan(places, workers):
    """Let sslyze time its certificate scan."""
    command = [os.environ["SSLYZE_PYTHON"], "-c", _SSLYZE, str(workers)]
    given = json.dumps([[name_of(n), port, address] for n, (address, port) in enumerate(places)])
    return float(subprocess.run(command, input=given, capture_output=True, text=True).stdout)


def test_thirty_that_never_answer_do_not_hold_up_970_that_do(tmp_path):
    with endpoints(1000, tmp_path, delay=0.1, silent=30) as (root, places):
        late = targets(places)[::-1]  # at the worst, the silent ones come last
        begun = perf_counter()
        found = survey(late, roots(root), datetime.now(UTC), timeout=3)
        took = perf_counter() - begun
    problems = [one.handshake.problem for one in found.seen]
    print(f"\n970 answer after 0.1 s, 30 never: {took:.2f} s")
    assert (problems.count(""), problems.count("silent")) == (970, 30)
    assert took <= 1.5 * 3


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read from POSIX's getrusage")
def test_a_survey_of_5000_grows_by_at_most_60_megabytes(tmp_path):
    with endpoints(1000, tmp_path) as (root, places):
        given = json.dumps([str(root), places * 5])
        ran = subprocess.run(
            [sys.executable, "-c", _MEMORY], input=given, capture_output=True, text=True, check=True
        )
    grown, _trusted = json.loads(ran.stdout)
    print(f"\n5000 endpoints: {grown:.0f} MB over the imports")
    assert grown <= 60


def test_ten_thousand_endpoints_in_one_run_bring_no_error_of_ours(tmp_path):
    with endpoints(1000, tmp_path) as (root, places):
        looked_at = targets(places) * 10
        begun = perf_counter()
        found = survey(looked_at, roots(root), datetime.now(UTC))
        took = perf_counter() - begun
    print(f"\n10000 endpoints in {took:.1f} s")
    assert len(found.seen) == 10_000
    assert all(one.trusted for one in found.seen)
