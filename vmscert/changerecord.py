"""The end of a change: what it made, with what, what it proves; signed with the record key."""

import csv
import io
import json
import platform
import re
import ssl
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vmscert.changes import BEGUN, Change, snapshot, steps
from vmscert.evidence import PLAN, PUBLIC, STEPS, SUMS, is_sealed, problems, seal
from vmscert.files import write_atomic
from vmscert.job import Job
from vmscert.ledger import Entry, read_rows
from vmscert.pages import faces, literal, plain, rows_table
from vmscert.recordkey import known_keys, open_record_key
from vmscert.records import Records

_CLOSED, _SEALED = "close", "seal record"
_WITH = ("vmscert", "cryptography", "nbclient", "pandas")
_PROVES = """\
`python verify.py` compares every file here with the list that was signed, the signature with the
key in `record.pem`, and each step with the one before; it needs nothing but Python and OpenSSL 3.

* **It proves** that the files are those that were signed, that no step was changed, left out or
  moved, and that the plan is the one whose hash was approved.
* **It does not prove** the time, which is the laptop's, nor who sat before it. Whoever has the
  record key and its password can make another record: give the last line of `ledger.csv` to
  somebody else, on paper or by mail, and that is found, too.
"""


def close(job: Job, note: str, files: Mapping[str, bytes] | None = None) -> Path:
    """Finish a change: keep these files and the rest of the record, and sign it; return its folder.

    What comes later, as the notebook that ran without a browser, is added by `add_signed`.
    """
    change: Change = job.change
    with job.records.lock():
        for name, data in (files or {}).items():
            job.records.keep(change.folder, name, data)
        job.records.note(job.number, _CLOSED, at=job.at, note=note)
        lines = job.records.ledger.since(change.plan.lines)
        write_atomic(change.folder / STEPS, lines.encode())
        made = _made(job, change)
        write_atomic(change.folder / "files.csv", _csv(made, ("path", "SHA-256", "is")))
        write_atomic(change.folder / "versions.json", json.dumps(versions(), indent=1).encode())
        title = f"{change.folder.name}: {job.site.name}"
        for name, data in faces("record", record_markdown(job, made), title).items():
            write_atomic(change.folder / name, data)
        _sign(job.records, change.folder, change.key, job.number, job.at)
    return change.folder


def add_signed(
    records: Records, folder: Path, files: Mapping[str, bytes], password: str, at
) -> list[Path]:
    """Add files to a record that is closed already, and sign it again with them."""
    with records.lock():
        kept = [records.keep(folder, name, data) for name, data in files.items()]
        key, number = open_record_key(records, password), folder.name.split("-")[3]
        _sign(records.within(folder.name), folder, key, number, at)
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
        name, path = folder.name, f"changes/{folder.name}"
        wrong = [*problems(folder)]
        if is_sealed(folder):
            closed += 1
            if _hash(folder / PUBLIC) not in keys:
                wrong.append(f"{PUBLIC} is not the record key that the ledger knows")
            if _hash(folder / SUMS) != signed.get(name):
                wrong.append("is not the record whose signature the ledger knows")
            if (
                not wrong
                and (folder / STEPS).exists()
                and read_rows((folder / STEPS).read_bytes().decode())[-1][-1] not in chain
            ):
                wrong.append(f"{STEPS} is not of this ledger")
        elif name in signed:
            wrong.append("was closed, and its signature is gone: restore it from the backup, or "
                         "open its runbook again")  # fmt: skip
        else:
            still_open.append(path)
            if begun.get(name) and begun[name] != _hash(folder / PLAN):
                wrong.append(f"{PLAN} is not what was approved")
        found += [f"{path}: {problem}" for problem in wrong]
    gone = signed.keys() - {folder.name for folder in records.changes()}
    found += [f"changes/{name}: was closed, and is missing now" for name in sorted(gone)]
    return found, closed, still_open


def versions() -> dict[str, str]:
    """Return with what a change was made."""
    libraries = {name: version(name) for name in _WITH}
    system = f"{platform.system()} {platform.release()}"
    return {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION,
            "system": system, **libraries}  # fmt: skip


def record_markdown(job: Job, made: Iterable[Mapping[str, str]]) -> str:
    """Return the record of a change as one text to read and to print."""
    change: Change = job.change
    lines = steps(job.records, change.folder, change.plan)
    return "\n".join(
        [
            f"# {plain(change.folder.name)}: {plain(job.site.name)}\n",
            f"{plain(change.plan.why[:1].upper() + change.plan.why[1:])}.\n",
            *(["**A rehearsal:** the computers were simulated.\n"] if job.rehearsal else []),
            "## Plan and approval\n",
            f"Plan {literal(change.plan.hash)}, whole in `plan.html` and `plan.json`.\n",
            rows_table(_approvals(lines, change.plan.hash)),
            f"**Way back.** {plain(change.plan.back)}, when {plain(change.plan.trigger)}; until "
            f"{plain(change.plan.deadline)}\n",
            "## Steps\n",
            rows_table([_step(number, one) for number, one in enumerate(lines, 1)]),
            "## Verification\n",
            _verification(change.folder),
            "## Files that were made or changed\n",
            "Whole hashes are in `files.csv` and `steps.csv`.\n",
            rows_table([{key: _shortened(value) for key, value in row.items()} for row in made])
            or "None.\n",
            "## With what\n",
            rows_table([{"what": name, "version": text} for name, text in versions().items()]),
            "## What this record proves\n",
            _PROVES,
        ]
    )


def _approvals(lines: Iterable[Entry], plan: str) -> list[dict[str, str]]:
    """Who approved the plan, for whom to carry out, when and where; the same approval once."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for one in lines:
        told = {"approved by": one.approved_by, "carried out by": one.carried_out_by,
                "emergency": one.emergency}  # fmt: skip
        if one.action in BEGUN:
            when = {"time": one.time, "machine": one.machine}
            found.setdefault((*told.values(),), {"plan": plan, **told, **when})
    return [*found.values()]


def _step(number: int, one: Entry) -> dict[str, str]:
    return {
        "no": f"{number}", "time": one.time, "user": one.user, "action": one.action,
        "computer": one.host, "thumbprint": _shortened(one.thumbprint),
        "result": _shortened(one.note),
    }  # fmt: skip


def _shortened(text: str) -> str:
    """Long hashes by their beginning, so that the table fits a sheet; they are whole beside it."""
    return re.sub(r"\b([0-9A-Fa-f]{8})[0-9A-Fa-f]{24,}\b", r"\1…", text)


def _verification(folder: Path) -> str:
    """What the last look at every connection saw: the refused ones whole, the others counted."""
    found = sorted(folder.glob("verification*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        return "Read back from the files and inventories, step by step above.\n"
    rows = json.loads(found[-1].read_bytes())
    refused = [
        {key: str(row[key]) for key in ("client", "server", "port", "name", "verdict", "detail")}
        for row in rows
        if row["verdict"] != "verified"
    ]
    good = len(rows) - len(refused)
    told = f"{good} of {len(rows)} TLS connections verified; all are in `{found[-1].stem}.csv`.\n"
    return "\n".join([told, rows_table(refused)])


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
    seal(folder, key, lambda digest: records.note(number, _SEALED, at=at, digest=digest))


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.exists() else ""
