"""The runbooks: what each needs before it acts, and what it must have achieved."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vmscert.changes.change import under_way
from vmscert.changes.errands import hand_over
from vmscert.changes.job import EXAMPLE, Job, folder_of
from vmscert.changes.rehearsal import walk
from vmscert.checks.lacks import MISSING, lacks
from vmscert.findings import Check
from vmscert.records.folder import Records
from vmscert.records.state import State
from vmscert.runbooks.deeds import create_ca, issue_certificates, sign_requests
from vmscert.site.table import find_table, read_site


def open_runbook(
    runbook: str, site: str | Path, folder: str | Path = "", at: datetime | None = None
) -> Job:
    """Open a runbook for a site's table and the folder of its records.

    Relative paths count from here, then from the kit's own folder. The teaching site is always a
    rehearsal; what comes before this runbook is carried out on it, so that any runbook can be
    opened first.
    """
    path = find_table(site)
    described = read_site(path)
    records = Records(folder or folder_of(runbook, path))
    if path.resolve() == EXAMPLE.resolve():
        records.begin_rehearsal()
    # To the second: certificates and the ledger know no finer time.
    now = (at or datetime.now(UTC)).replace(microsecond=0)
    clock = (lambda: at) if at else lambda: datetime.now(UTC)
    job = Job(runbook, described, records, now, path, clock)
    if path.resolve() != records.table.resolve():
        records.save_table(path.read_bytes())
    if job.rehearsal and not under_way(job):
        _catch_up(job)
    return job


def precheck(job: Job) -> list[Check]:
    """Return what must hold before this runbook acts: everything the earlier ones leave behind."""
    state = job.state()
    checks = [
        Check(f"{job.site.name}: {len(job.site)} computers, records in {_place(job)}", True),
        _unbroken(state),
    ]
    for number, stage in STAGES.items():
        if number < job.number and number not in _UNDER_WAY.get(job.number, ()):
            checks.append(_stage_check(number, state, f"Run {stage.runbook} first"))
            if not checks[-1].ok:
                break
    return checks


def verify_stage(job: Job) -> list[Check]:
    """Return what this runbook was to achieve, read back from files and inventories."""
    state, todo = job.state(), "Carry the folder there and bring the inventory back"
    return [_stage_check(job.number, state, todo), _unbroken(state)]


def _place(job: Job) -> str:
    return job.folder + (" (a rehearsal)" if job.rehearsal else "")


def _issue(job: Job) -> None:
    """Every way to a certificate that a rehearsal has: in a PFX, or for a key made there."""
    issue_certificates(job)
    walk(job, hand_over(job, "request"))
    sign_requests(job)


# What a runbook itself leaves undone until people have walked: no reason not to open it again.
_UNDER_WAY = {"17": ("14", "15"), "18": ("12", "13", "14", "15"), "19": ("12", "13", "14", "15")}


@dataclass(frozen=True)
class Stage:
    """A runbook that leaves a state behind: which, and how a rehearsal gets there."""

    runbook: str
    achieved: str
    rehearse: Callable[[Job], object]


STAGES = {
    "11": Stage("11-create-the-ca-certificate", "the CA exists", create_ca),
    "12": Stage(
        "12-create-server-certificates",
        "every server has a certificate with its names",
        _issue,
    ),
    "13": Stage(
        "13-trust-the-ca-on-clients",
        "every computer that is no server trusts the CA",
        lambda job: walk(job, hand_over(job, "trust")),
    ),
    "14": Stage(
        "14-import-server-certificates",
        "every server trusts the CA and holds its certificate, and its service can read the key",
        lambda job: walk(job, hand_over(job, "import")),
    ),
    "15": Stage(
        "15-enable-encryption",
        "every server encrypts with its certificate",
        lambda job: walk(job, hand_over(job, "encrypt")),
    ),
}


def _catch_up(job: Job) -> None:
    """Carry out the earlier runbooks of a rehearsal, where they have not been."""
    for number, stage in STAGES.items():
        if number < job.number and MISSING[number](job.state()):
            stage.rehearse(replace(job, runbook=stage.runbook))


def _unbroken(state: State) -> Check:
    return Check("the ledger is unbroken", not state.problems, "; ".join(state.problems))


def _stage_check(number: str, state: State, todo: str) -> Check:
    missing = lacks(state, number)
    named = "; ".join(f"{host}: {what}" for host, what in list(missing.items())[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return Check(STAGES[number].achieved, not missing, f"{named}{more}. {todo}" if missing else "")
