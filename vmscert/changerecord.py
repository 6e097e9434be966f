"""The end of a change: what it made, with what, what it proves; signed with the record key."""

import csv
import io
import json
import platform
import ssl
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vmscert.changes import Change, snapshot
from vmscert.evidence import PUBLIC, SUMS, is_sealed, problems, read_steps, seal
from vmscert.files import write_atomic
from vmscert.job import Job
from vmscert.ledger import Entry
from vmscert.pages import faces, render
from vmscert.recordkey import known_keys, open_record_key
from vmscert.records import Records

_CLOSED = "close"
_WITH = ("vmscert", "cryptography", "nbclient", "pandas")


def close(job: Job, note: str, files: Mapping[str, bytes] | None = None) -> Path:
    """Finish a change: keep these files and the rest of the record, and sign it; return its folder.

    What comes later, as the notebook that ran without a browser, is added by `add_signed`.
    """
    change: Change = job.change
    with job.records.lock():
        for name, data in (files or {}).items():
            change.keep(job, name, data)
        job.records.note(job.number, _CLOSED, at=job.at, note=note)
        made = _made(job, change)
        write_atomic(change.folder / "files.csv", _csv(made, ("path", "SHA-256", "is")))
        write_atomic(change.folder / "versions.json", json.dumps(versions(), indent=1).encode())
        title = f"{change.folder.name}: {job.site.name}"
        for name, data in faces("record", record_markdown(job, made), title).items():
            write_atomic(change.folder / name, data)
        job.records.listener = None
        _sign(job.records, change.folder, change.key, job.number, job.at)
    return change.folder


def add_signed(
    records: Records, folder: Path, files: Mapping[str, bytes], password: str, at
) -> list[Path]:
    """Add files to a record that is closed already, and sign it again with them."""
    with records.lock():
        kept = [records.keep(folder, name, data) for name, data in files.items()]
        number = folder.name.split("-")[3]
        _sign(records, folder, open_record_key(records, password), number, at)
    return kept


def record_problems(records: Records) -> tuple[list[str], int, list[str]]:
    """Return what is wrong with the records of all changes, how many are closed, what is open."""
    found, count, still_open = [], 0, []
    signed = _noted(records)
    for folder in records.changes():
        path = f"changes/{folder.name}"
        found += [f"{path}: {problem}" for problem in problems(folder)]
        if not is_sealed(folder):
            if path in signed:
                found.append(f"{path}: was closed, and its signature is gone: restore it from the "
                             f"backup, or open its runbook again")  # fmt: skip
            else:
                still_open.append(path)
            continue
        count += 1
        found += _against_the_ledger(records, folder, signed.get(path, ""))
    there = {f"changes/{folder.name}" for folder in records.changes()}
    found += [f"{path}: was closed, and is missing now" for path in signed if path not in there]
    return found, count, still_open


def versions() -> dict[str, str]:
    """Return with what a change was made."""
    libraries = {name: version(name) for name in _WITH}
    system = f"{platform.system()} {platform.release()}"
    return {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION,
            "system": system, **libraries}  # fmt: skip


def record_markdown(job: Job, made: Iterable[Mapping[str, str]]) -> str:
    """Return the record of a change as one text to read and to print."""
    folder = job.change.folder
    approvals = (folder / "approval.jsonl").read_text(encoding="utf-8").splitlines()
    # The last look at every connection: what was refused is told whole, the others are counted.
    seen = sorted(folder.glob("verification*.json"), key=lambda path: path.stat().st_mtime_ns)
    return render(
        "record.md",
        change=job.change,
        site=job.site,
        rehearsal=job.rehearsal,
        approvals=[json.loads(line) for line in approvals],
        steps=read_steps(folder),
        connections=json.loads(seen[-1].read_bytes()) if seen else None,
        verification=seen[-1].stem if seen else "",
        made=made,
        versions=versions(),
    )


def _made(job: Job, change: Change) -> list[dict[str, str]]:
    """The files of the site that this change made, changed or moved away."""
    before = json.loads((change.folder / "before.json").read_bytes())
    after = snapshot(job.records)
    changed = {path: digest for path, digest in after.items() if before.get(path) != digest}
    rows = [
        {"path": path, "SHA-256": digest, "is": "changed" if path in before else "new"}
        for path, digest in changed.items()
        if not path.startswith("ledger.")
    ]
    return rows + [
        {"path": path, "SHA-256": before[path], "is": "moved away"}
        for path in before
        if path not in after
    ]


def _csv(rows: Iterable[Mapping[str, str]], columns: tuple[str, ...]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def _sign(records: Records, folder: Path, key: Ed25519PrivateKey, number: str, at) -> None:
    """Sign a record; the ledger knows of it first, so that one that vanishes is missed."""
    seal(
        folder,
        key,
        lambda digest: records.note(
            number, "seal record", at=at, note=f"changes/{folder.name}: SHA256SUMS {digest}"
        ),
    )


def _noted(records: Records) -> dict[str, str]:
    """Folder → SHA-256 of the list that was signed last, as the ledger says."""
    signed = (e for e in records.ledger.entries() if _is_signature(e))
    return dict(entry.note.split(": SHA256SUMS ") for entry in signed)


def _is_signature(entry: Entry) -> bool:
    return entry.note.startswith("changes/") and ": SHA256SUMS " in entry.note


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _against_the_ledger(records: Records, folder: Path, signed: str) -> list[str]:
    """What the ledger says otherwise of a record that is whole by itself."""
    found = []
    if _hash(folder / PUBLIC) not in known_keys(records):
        found.append(f"changes/{folder.name}: {PUBLIC} is not the record key that the ledger knows")
    if _hash(folder / SUMS) != signed:
        found.append(f"changes/{folder.name}: is not the record whose signature the ledger knows")
    return found
