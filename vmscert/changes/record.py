"""The end of a change: what it made, with what, what it proves; signed with the record key."""

import json
import platform
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from vmscert.changes.change import (
    BEFORE,
    BEGUN,
    CLOSED,
    Change,
    is_of_site,
    open_record_key,
    snapshot,
    steps,
    waiting,
)
from vmscert.changes.job import Job
from vmscert.files import write_atomic
from vmscert.pages import faces, render, sheet
from vmscert.records.folder import Records, free
from vmscert.records.ledger import SEALED
from vmscert.records.sealed import STEPS, details, seal

FILES = "files.csv"
_COLUMNS = ("path", "SHA-256", "is")
_WITH = ("vmscert", "cryptography", "nbclient", "pandas")


def close(job: Job, note: str, files: Mapping[str, bytes] | None = None) -> Path:
    """Finish a change: keep these files and the rest of the record, sign it; return its folder.

    Stop where it is closed already, or another run has it.
    """
    change: Change = job.change
    folder, records, number, at = change.folder, job.records, job.number, job.at
    with records.lock():
        change.hold(job)
        records.note(number, CLOSED, at=at, note=note)
        made = _made(job, change)
        page = faces("record", record_markdown(job, made), f"{folder.name}: {job.site.name}")
        kept = {
            **(files or {}),
            STEPS: records.ledger.since(change.plan.lines).encode(),
            FILES: sheet(made, _COLUMNS),
            "versions.json": json.dumps(versions(), indent=1).encode(),
            "record.md": page["record.md"],
        }
        place = details(folder)
        signed = {place / name: data for name, data in kept.items()}
        signed[folder / "record.html"] = page["record.html"]
        seal(
            folder,
            change.key,
            signed,
            lambda told: records.note(number, SEALED, at=at, digest=told),
        )
        records.owner(number).let_go()
    return folder


def add_signed(
    records: Records, folder: Path, files: Mapping[str, bytes], password: str, at: datetime
) -> list[Path]:
    """Add files to a record that is closed already, and sign it again with them.

    A name that is taken gets a number: what was signed stays as it is.
    """
    with records.lock():
        paths = [free(details(folder) / name) for name in files]
        named = dict(zip(paths, files.values(), strict=True))
        mine, number = records.within(folder.name), folder.name.split("-")[3]
        key = open_record_key(records, password)
        seal(folder, key, named, _announce(mine, number, at))
    return paths


def _announce(records: Records, number: str, at: datetime) -> Callable[[str], None]:
    """The ledger knows of a signature before it is there, so that one that vanishes is missed."""
    return lambda told: records.note(number, SEALED, at=at, digest=told)


def record_of(records: Records, runbook: str, run: str, at: datetime) -> Path:
    """Return the folder of the change that a run had, or of the next one, if it never had any."""
    name = records.owner(runbook).task_of(run)
    return records.folder / "changes" / name if name else waiting(records, runbook, at)


def keep_last(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Keep files with a change that is open, in place of those of the run before.

    The caller holds the lock of the records.
    """
    paths = [details(folder) / name for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        write_atomic(path, data)
    return paths


def versions() -> dict[str, str]:
    """Return with what a change was made."""
    system = f"{platform.system()} {platform.release()}"
    own = {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION, "system": system}
    return own | {name: version(name) for name in _WITH}


def record_markdown(job: Job, made: Iterable[Mapping[str, str]]) -> str:
    """Return the record of a change as one text to read and to print."""
    folder, lines = job.change.folder, steps(job.records, job.change.folder, job.change.plan)
    approvals = {
        (one.approved_by, one.carried_out_by, one.emergency): one
        for one in reversed(lines)  # the same approval once, when it was given
        if one.action in BEGUN
    }
    # The last look at every connection: what was refused is told whole, the others are counted.
    seen = sorted(folder.rglob("verification*.json"), key=lambda path: path.stat().st_mtime_ns)
    links = json.loads(seen[-1].read_bytes()) if seen else None
    about = {"change": job.change, "site": job.site, "rehearsal": job.rehearsal}
    about |= {"connections": links, "verification": seen[-1].stem if seen else ""}
    about |= {"approvals": [*approvals.values()][::-1], "steps": lines, "made": made}
    return render("record.md", **about, versions=versions())


def _made(job: Job, change: Change) -> list[dict[str, str]]:
    """The files of the site that this change made, changed or moved away."""
    before, after = (
        json.loads((details(change.folder) / BEFORE).read_bytes()),
        snapshot(job.records),
    )
    told = [
        (path, digest, "changed" if path in before else "new")
        for path, digest in after.items()
        if before.get(path) != digest
    ]
    gone = (path for path in before if path not in after and is_of_site(path.partition("/")[0]))
    told += [(path, before[path], "moved away") for path in gone]
    return [dict(zip(_COLUMNS, one, strict=True)) for one in told]
