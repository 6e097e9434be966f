"""What tests share that run the real scripts: PowerShell, and a rehearsal that uses them."""

import computer
import pytest
import workers

from vmscert import deeds, rehearsal


@pytest.fixture(scope="session")
def pwsh():
    """PowerShell in which a Windows computer stands in; the tests skip where there is none."""
    if workers.program() is None:
        pytest.skip("no PowerShell: set VMSCERT_PWSH")
    yield computer.WORKERS
    computer.WORKERS.close()


@pytest.fixture
def real(pwsh, monkeypatch):
    """Rehearsals run the real scripts, in place of the simulation of what these do."""

    def served_by(job, host):
        return rehearsal.simulated(job, host).served()

    monkeypatch.setattr(rehearsal, "Computer", computer.Computer)
    monkeypatch.setattr(rehearsal, "served_by", served_by)
    monkeypatch.setattr(deeds, "served_by", served_by)
