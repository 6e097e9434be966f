"""What the signed records of a site prove, held against its ledger and its files.

A record tells the SHA-256 of every file as it was when it was closed: what was there before, and
what the change made. So the newest one tells of all. What came later is in no signed list, and is
named as what was not compared; nothing is fine that was not looked at.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple

from vmscert.changes.change import (
    BEFORE,
    BEGUN,
    MADE_KEY,
    OBSERVED,
    is_of_site,
    sha256,
    snapshot,
)  # fmt: skip
from vmscert.changes.record import FILES
from vmscert.records.folder import Records, certificate_entries
from vmscert.records.ledger import SEALED, Entry, read_rows
from vmscert.records.sealed import (
    PLAN,
    PUBLIC,
    STEPS,
    SUMS,
    details,
    is_sealed,
    is_signing,
    problems,
)  # fmt: skip

_FINISHED = ("hand-over", "roll-out")  # of folders to which nothing is ever added
_REPORTS = ("inventory", "requests")  # what a computer says, anew whenever something comes back
_PAGES = ("the-years-after.html", "the-years-after.md", "lost.html")
_CAS = ("ca.cer", "next/ca.cer", "former/*/ca.cer")
_FEW = 3  # names in a sentence
_NEVER = (
    "drop/, notebooks/, simulated/, blanks in ledger.seal, and the files that steer runs (.lock…)"
)


class Proof(NamedTuple):
    """What is wrong with a site's records, how many are closed, what is open, what else to know."""

    wrong: list[str]
    closed: int
    still_open: list[str]
    told: list[str]


def prove(records: Records) -> Proof:
    """Hold ledger, records and files of a site against each other; finish a signature before."""
    if is_signing(records.folder / "changes"):
        with records.lock():
            pass
    rows, entries = read_rows(records.ledger.text()), records.ledger.entries()
    hashes = [records.ledger.head(0)[1], *(row[-1] for row in rows)]
    signed = {one.change: one.digest for one in entries if one.action == SEALED}
    keys = {one.digest: one for one in entries if one.action == MADE_KEY}
    begun = {one.change: one.digest for one in entries if one.action in BEGUN}
    wrong, whole, still_open, used = [], [], [], Counter[str]()
    for folder in records.changes():
        name, found = folder.name, [*problems(folder), *_other_ledger(folder, hashes)]
        if is_sealed(folder):
            used[key := sha256(_bytes(folder / PUBLIC))] += 1
            if key not in keys:
                found.append(f"{PUBLIC} is not the record key that the ledger knows")
            if sha256(_bytes(folder / SUMS)) != signed.get(name):
                found.append("is not the record whose signature the ledger knows")
            whole += [] if found else [folder]
        elif name in signed:
            found.append("was closed, and its signature is gone: restore it from the backup, or "
                         "open its runbook again")  # fmt: skip
        else:
            still_open.append(f"changes/{name}")
            if begun.get(name) and begun[name] != sha256(_bytes(details(folder) / PLAN)):
                found.append(f"{PLAN} is not what was approved")
        wrong += [f"changes/{name}: {problem}" for problem in found]
    gone = sorted(signed.keys() - {folder.name for folder in records.changes()})
    wrong += [f"changes/{name}: was closed, and is missing now" for name in gone]
    files, told = _files(records, entries, whole)
    wrong += [*files, *certificate_problems(records, entries)]
    return Proof(wrong, used.total(), still_open, [*_later_keys([*keys.values()], used), *told])


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _other_ledger(folder: Path, hashes: Sequence[str]) -> Iterator[str]:
    """What a record's plan and steps say of the ledger, and it is not so."""
    try:
        plan: Mapping[str, Any] = json.loads(_bytes(details(folder) / PLAN) or b"{}")
        lines, last = int(plan.get("lines", 0)), plan.get("ledger", hashes[0])
        rows = read_rows(_bytes(details(folder) / STEPS).decode())
    except (ValueError, TypeError, AttributeError):
        return  # told by `problems`, or to be read by the next run of its runbook
    if lines < 0 or hashes[lines : lines + 1] != [last]:
        yield (f"the ledger is not the one from which {PLAN} was made: one of its first {lines} "
               f"lines was changed, removed or added")  # fmt: skip
    elif [row[-1] for row in rows] != hashes[lines + 1 :][: len(rows)]:
        yield f"{STEPS} is not of this ledger"


def _later_keys(keys: Sequence[Entry], used: Counter[str]) -> Iterator[str]:
    """Every record key but the first: whoever made it could sign what he liked from then on."""
    for one in keys[1:]:
        yield (f"another record key since {one.day}, made by {one.user} on {one.machine}: SHA-256 "
               f"{one.digest}; records that it signed: {used[one.digest]}")  # fmt: skip


def certificate_problems(records: Records, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield what lies in the folders of certificates, and the ledger tells otherwise."""
    entries = tuple(entries)
    told = {(one.host, one.thumbprint) for one in certificate_entries(entries)}
    cas = {one.thumbprint for one in entries if one.action.endswith(" CA")}
    for path in sorted(records.folder.glob("servers/*/*")):
        name = path.relative_to(records.folder).as_posix()
        if (path.parent.name, label := path.name.partition(".")[0]) not in told:
            yield f"{name} is in no line of the ledger"
        if path.suffix == ".cer" and _thumbprint(path) != label:
            yield f"{name} is damaged"
    for path in (p for one in _CAS for p in sorted(records.folder.glob(one))):
        if _thumbprint(path) not in cas:
            yield f"{path.relative_to(records.folder).as_posix()} is no CA that the ledger knows"


def _thumbprint(path: Path) -> str:
    """The name of a certificate, as Windows shows it, whatever is in its file."""
    return sha1(path.read_bytes(), usedforsecurity=False).hexdigest().upper()


def _files(
    records: Records, entries: Sequence[Entry], whole: Iterable[Path]
) -> tuple[list[str], list[str]]:
    """What the newest record proves of the files and is not so; and what was not compared."""
    ends = {folder: _end(folder, entries) for folder in whole}
    newest = max(ends, key=ends.__getitem__, default=None)
    if newest is None:
        return [], [f"not compared: every file, as no whole record tells of one; {_NEVER}"]
    name, lines = newest.name, entries[ends[newest] :]
    since = [one for one in lines if one.change != name]
    signed, now = _signed_state(newest), snapshot(records)
    finished = {Path(path).parent for path in signed if path.startswith(_FINISHED)}
    wrong, later, new = [], [], [path for path in now if path not in signed]
    for path, digest in signed.items():
        if now.get(path) != digest:
            how = "was changed" if path in now else "is missing"
            if _may_differ(path, since):
                later.append(f"{path} {how}")
            else:
                wrong.append(f"{path} {how} since {name} was closed: restore it from the backup")
    wrong += [f"{path} was added later" for path in new if Path(path).parent in finished]
    not_judged = [
        *([f"{_few(later)}, as people or ledger may have had it since {name}"] if later else ()),
        *([f"{_few(new)}, new since {name}"] if new else ()),
        f"lines of the ledger that no record has signed, the last {len(lines)}; {_NEVER}",
    ]
    return wrong, ["not compared: " + "; ".join(not_judged)]


def _may_differ(path: str, since: Collection[Entry]) -> bool:
    """Whether a file may have changed in peace, as lines of the ledger tell that came since.

    Tables, revocation lists and what is ticked come from people; the plan of the next change names
    the table, and a record of what was ticked has its own copy.
    """
    top, name = path.split("/")[0], path.split("/")[-1]
    told = {(one.action, one.host) for one in since}
    deeds = {action for action, _ in told}
    if top in _REPORTS:
        host = re.sub(r"(\.refused(-\d+)?)?\.(json|req)$", "", name)
        return any((action, host) in told for action in (*OBSERVED, "refuse"))
    if name in ("record.key", PUBLIC):
        return MADE_KEY in deeds
    if top in ("next", "former", "ca.cer", "ca.key"):
        return any(action.endswith(" CA") for action in deeds)
    pages = path in _PAGES and any(one.change for one in since)
    return (
        pages
        or top == "acceptance"
        or path == "site.csv"
        or (path == name and name.endswith(".crl"))
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_FEW]) + (f" and {len(names) - _FEW} more" if names[_FEW:] else "")


def _end(folder: Path, entries: Iterable[Entry]) -> int:
    """How many lines the ledger had when a record was closed."""
    rows = read_rows(_bytes(details(folder) / STEPS).decode())
    if not rows:  # a record from when steps were a chain of their own
        named = (n for n, one in enumerate(entries, 1) if one.change == folder.name)
        return next(named, 0)
    return int(json.loads((details(folder) / PLAN).read_bytes())["lines"]) + len(rows)


def _signed_state(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of every file of the site, as a closed record tells it."""
    state = json.loads((details(folder) / BEFORE).read_bytes())
    for row in csv.DictReader((details(folder) / FILES).read_text("utf-8-sig").splitlines()):
        state[row["path"]] = row["SHA-256"] if row["is"] != "moved away" else ""
    return {path: one for path, one in state.items() if one and is_of_site(path.partition("/")[0])}
