"""What many tests share: two times, keys, a CA, OpenSSL's command line."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import lyon
import pytest
from apart import arrange
from hypothesis import settings
from pwsh import NEEDED, PWSH, WANTED

from vmscert import open_job
from vmscert.certificates.authority import QUICK, create_authority, new_key

# How long an example takes says something of the machine, not of what is tested.
settings.register_profile("vmscert", deadline=None)
settings.load_profile("vmscert")


def without_powershell(config):
    """How many tests were skipped for want of PowerShell."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter and PWSH is None else []
    return sum("powershell" in report.keywords for report in skipped)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark what asks for PowerShell; where there is none, skip it before anything is made."""
    for item in items:
        if "pwsh" in getattr(item, "fixturenames", ()):
            item.add_marker("powershell")
        if PWSH is None and item.get_closest_marker("powershell"):
            item.add_marker(pytest.mark.skip(reason=WANTED))
    arrange(config, items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Let a run that has to have PowerShell fail without it."""
    if os.environ.get(NEEDED) and without_powershell(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter, config):
    """Say last what was skipped for want of PowerShell."""
    result = yield
    if count := without_powershell(config):
        terminalreporter.section("POWERSHELL", yellow=True)
        terminalreporter.line(f"{count} tests were skipped {WANTED}.")
        if os.environ.get(NEEDED):
            terminalreporter.line(f"{NEEDED} is set, so this run failed.", red=True)
    return result


@pytest.fixture(scope="session")
def pwsh():
    """The program of PowerShell 7."""
    if PWSH is None:
        pytest.skip(WANTED)
    return PWSH


@pytest.fixture(scope="session")
def at():
    """A fixed time, for all that asks no real clock."""
    return datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)


@pytest.fixture(scope="session")
def now():
    """The real time, for what OpenSSL judges: its clock can't be set."""
    return datetime.now(UTC) - timedelta(minutes=1)


@pytest.fixture(scope="session")
def keys():
    """Three keys, for tests that do not ask where a key comes from."""
    return [new_key(2048) for _ in range(3)]


@pytest.fixture(scope="session")
def key(keys):
    """The key of a server."""
    return keys[0]


@pytest.fixture(scope="session")
def ca(keys, now):
    """A CA that is valid now."""
    return create_authority("Lyon VMS root 2026", now, QUICK, keys[1])


@pytest.fixture(scope="session")
def stranger(keys, now):
    """Another CA, which nobody trusts."""
    return create_authority("Another root", now, QUICK, keys[2])


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory):
    """The example's folder after runbooks 11 to 15, once for all tests that only read it."""
    folder = tmp_path_factory.mktemp("site")
    open_job("16-verify-the-site", "data/sites/example.csv", folder)
    return folder


@pytest.fixture
def rehearsed(site_folder, tmp_path):
    """A copy of that folder, to be changed."""
    return shutil.copytree(site_folder, tmp_path / "rehearsed")


@pytest.fixture
def lyon_secrets(monkeypatch):
    """Passwords and cheap keys for the real site of lyon.py."""
    lyon.secrets(monkeypatch)


@pytest.fixture(scope="session")
def openssl():
    """Run OpenSSL's command line; the password goes through the environment."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("NOT SHOWN: there is no `openssl` on this machine to ask")

    def run(*arguments, password=""):
        command = [program, *map(str, arguments)]
        secret = os.environ | {"PASSWORD": password}
        return subprocess.run(command, env=secret, capture_output=True, timeout=60)

    return run
