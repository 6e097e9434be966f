"""The end of a change: what it made, with what, what it proves; signed with the record key."""

import json
import platform
import ssl
from collections import defaultdict
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
)  # fmt: skip
from vmscert.changes.job import Job, secret
from vmscert.checks.live import read_verification
from vmscert.files import free, write_atomic
from vmscert.network.looks import VERIFIED
from vmscert.pages import faces, render, sheet
from vmscert.records.folder import Records
from vmscert.records.ledger import SEALED
from vmscert.records.sealed import STEPS, details, is_sealed, seal

FILES = "files.csv"
_COLUMNS = ("path", "SHA-256", "is")
_ON_THE_WAY = ("hand over", "carried")  # to a computer: nothing came back yet
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
        seal(folder, change.key, signed, _announce(records, number, at))
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


def keep_run(
    records: Records, runbook: str, run: str, files: Mapping[str, bytes], at: datetime
) -> list[Path]:
    """Keep a notebook as it ran with the change that this run had, or with the next if it had none.

    As long as that is open it takes the place of the run before; a closed one is signed with it.
    """
    with records.lock():
        name = records.owner(runbook).task_of(run)
        folder = records.folder / "changes" / name if name else waiting(records, runbook, at)
        if is_sealed(folder):
            return add_signed(records, folder, files, secret("RECORD", records.rehearsal), at)
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
    change: Change = job.change
    lines = steps(job.records, change.folder, change.plan)
    begun = [one for one in lines if one.action in BEGUN]
    # The same approval once, when it was given.
    approvals = {(e.approved_by, e.carried_out_by, e.emergency): e for e in reversed(begun)}
    noted, told, computers = defaultdict(list), set(), change.plan.computers
    for one in lines:
        noted[one.host].append(f"{one.time[:16].replace('T', ' ')} {one.action}")
        if one.action not in _ON_THE_WAY:
            told.add(one.host)
    # The last look at every connection: what was refused is told whole, the others are counted.
    seen = sorted(change.folder.rglob("verification*.json"), key=lambda p: p.stat().st_mtime_ns)
    links = read_verification(seen[-1].read_bytes()) if seen else []
    good = sum(row["connections"] for row in links if row["verdict"] == VERIFIED)
    about = {"change": change, "site": job.site, "rehearsal": job.rehearsal, "computers": computers}
    about |= {"connections": links, "verification": seen[-1].stem if seen else ""}
    about |= {
        "verified": f"{good} of {sum(row['connections'] for row in links)} connections verified"
        if seen
        else "no connection was made"
    }
    about |= {"approvals": [*approvals.values()][::-1], "steps": lines, "made": made}
    named = {row["computer"] for row in computers}
    about |= {"noted": noted, "named": named, "told": named & told}
    about |= {"begun": begun[0], "closed": lines[-1], "versions": versions()}
    return render("record.md", **about)


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
