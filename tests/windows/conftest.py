"""What tests share that run the real scripts: PowerShell, and a rehearsal that uses them."""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import bench as benches
import computer
import lyon
import pytest
from workers import AT_ONCE

from vmscert.changes import rehearsal
from vmscert.runbooks import visits

AHEAD = pytest.StashKey()


def pytest_collection_modifyitems(items):
    """What is marked `ahead` is looked at last."""
    items.sort(key=lambda item: bool(item.get_closest_marker("ahead")))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Tell how a test ended that is marked `ahead`."""
    if not pyfuncitem.get_closest_marker("ahead"):
        return None
    pyfuncitem.session.stash[AHEAD][pyfuncitem].result()
    return True


@pytest.fixture(scope="session")
def windows(pwsh):
    """PowerShell in which a Windows computer stands in, where there is no real one."""
    if sys.platform == "win32":
        pytest.skip("a real Windows is here: tests/windows/real_windows.py")
    yield computer.WORKERS
    computer.WORKERS.close()


@pytest.fixture(scope="session")
def bench(request, tmp_path_factory, windows):
    """Computers before and after each visit, and the folders that they get.

    With it begins what is marked `ahead`, two at once, beside the tests that have their turn.
    """
    bench, session = benches.Bench(tmp_path_factory.mktemp("bench")), request.session
    marked = [item for item in session.items if item.get_closest_marker("ahead")]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        session.stash[AHEAD] = {
            item: threads.submit(item.function, bench=bench, **item.callspec.params)
            for item in marked
        }
        yield bench
        threads.shutdown(cancel_futures=True)


@pytest.fixture
def real(windows, monkeypatch):
    """Rehearsals run the real scripts, in place of the simulation of what these do."""

    def served_by(job, _state, host):
        return computer.Computer(host, job.records.folder / "simulated").served()

    if sys.platform == "linux":  # where no notebook's kernel, of the other process, takes a port
        for module in ("network.servers", "checks.live"):
            monkeypatch.setattr(f"vmscert.{module}.LOOPBACK", "127.0.0.2")
    monkeypatch.setattr(rehearsal, "Computer", computer.Computer)
    monkeypatch.setattr(rehearsal, "served_by", served_by)
    monkeypatch.setattr(visits, "served_by", served_by)
    # Keys that are made once for all sites: what takes time here is not what is tested.
    made = count()
    monkeypatch.setattr(
        "vmscert.certificates.authority.new_key", lambda _bits: lyon.key(next(made))
    )
