"""What many tests share: two times, keys, a CA, OpenSSL's command line."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import lyon
import pytest
from hypothesis import settings

from vmscert import open_runbook
from vmscert.authority import QUICK, create_authority, new_key

# How long an example takes says something of the machine, not of what is tested.
settings.register_profile("vmscert", deadline=None)
settings.load_profile("vmscert")


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
    open_runbook("16-verify-the-site", "data/sites/example.csv", folder)
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
