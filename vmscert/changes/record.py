"""The end of a change: what it made, with what, what it proves; signed with the record key."""

import json
import platform
import ssl
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from vmscert.changes.change import (
    BEFORE,
    BEGUN,
    Change,
    known_keys,
    open_record_key,
    sha256,
    snapshot,
    steps,
)  # fmt: skip
from vmscert.changes.job import Job
from vmscert.checks.live import read_verification
from vmscert.files import write_atomic
from vmscert.pages import faces, render, sheet
from vmscert.records.folder import Records
from vmscert.records.ledger import PLAN, PUBLIC, STEPS, SUMS, is_sealed, problems, read_rows, seal

_CLOSED, _SEALED = "close", "seal record"
_FILES = ("path", "SHA-256", "is")
_WITH = ("vmscert", "cryptography", "nbclient", "pandas")


def close(job: Job, note: str, files: Mapping[str, bytes] | None = None) -> Path:
    """Finish a change: keep these files and the rest of the record, sign it; return its folder."""
    change: Change = job.change
    folder, records, number, at = change.folder, job.records, job.number, job.at
    with records.lock():
        for name, data in (files or {}).items():
            records.keep(folder, name, data)
        records.note(number, _CLOSED, at=at, note=note)
        made = _made(job, change)
        kept = {
            STEPS: records.ledger.since(change.plan.lines).encode(),
            "files.csv": sheet(made, _FILES),
            "versions.json": json.dumps(versions(), indent=1).encode(),
            **faces("record", record_markdown(job, made), f"{folder.name}: {job.site.name}"),
        }
        for name, data in kept.items():
            write_atomic(folder / name, data)
        # The ledger knows of a signature before it is there, so that one that vanishes is missed.
        seal(folder, change.key, lambda told: records.note(number, _SEALED, at=at, digest=told))
    return folder


def add_signed(
    records: Records, folder: Path, files: Mapping[str, bytes], password: str, at: datetime
) -> list[Path]:
    """Add files to a record that is closed already, and sign it again with them."""
    with records.lock():
        kept = [records.keep(folder, name, data) for name, data in files.items()]
        mine, number = records.within(folder.name), folder.name.split("-")[3]
        key = open_record_key(records, password)
        seal(folder, key, lambda told: mine.note(number, _SEALED, at=at, digest=told))
    return kept


def record_problems(records: Records) -> tuple[list[str], int, list[str]]:
    """Return what is wrong with the records of all changes, how many are closed, what is open."""
    entries, keys = records.ledger.entries(), known_keys(records)
    chain = {row[-1] for row in read_rows(records.ledger.text())}
    # Folder → SHA-256 of its plan, and of the list that was signed last, as the ledger says.
    begun = {one.change: one.digest for one in entries if one.action in BEGUN}
    signed = {one.change: one.digest for one in entries if one.action == _SEALED}
    found, closed, still_open = [], 0, []
    for folder in records.changes():
        name, path, wrong = folder.name, f"changes/{folder.name}", [*problems(folder)]
        if is_sealed(folder):
            closed += 1
            if sha256(_bytes(folder / PUBLIC)) not in keys:
                wrong.append(f"{PUBLIC} is not the record key that the ledger knows")
            if sha256(_bytes(folder / SUMS)) != signed.get(name):
                wrong.append("is not the record whose signature the ledger knows")
            copied = _bytes(folder / STEPS).decode()
            if not wrong and copied and read_rows(copied)[-1][-1] not in chain:
                wrong.append(f"{STEPS} is not of this ledger")
        elif name in signed:
            wrong.append("was closed, and its signature is gone: restore it from the backup, or "
                         "open its runbook again")  # fmt: skip
        else:
            still_open.append(path)
            if begun.get(name) and begun[name] != sha256(_bytes(folder / PLAN)):
                wrong.append(f"{PLAN} is not what was approved")
        found += [f"{path}: {problem}" for problem in wrong]
    gone = signed.keys() - {folder.name for folder in records.changes()}
    found += [f"changes/{name}: was closed, and is missing now" for name in sorted(gone)]
    return found, closed, still_open


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


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
    seen = sorted(folder.glob("verification*.json"), key=lambda path: path.stat().st_mtime_ns)
    links = read_verification(seen[-1].read_bytes()) if seen else None
    about = {"change": job.change, "site": job.site, "rehearsal": job.rehearsal}
    about |= {"connections": links, "verification": seen[-1].stem if seen else ""}
    about |= {"approvals": [*approvals.values()][::-1], "steps": lines, "made": made}
    return render("record.md", **about, versions=versions())


def _made(job: Job, change: Change) -> list[dict[str, str]]:
    """The files of the site that this change made, changed or moved away."""
    before, after = json.loads((change.folder / BEFORE).read_bytes()), snapshot(job.records)
    told = [
        (path, digest, "changed" if path in before else "new")
        for path, digest in after.items()
        if before.get(path) != digest and not path.startswith("ledger.")
    ]
    told += [(path, before[path], "moved away") for path in before if path not in after]
    return [dict(zip(_FILES, one, strict=True)) for one in told]
