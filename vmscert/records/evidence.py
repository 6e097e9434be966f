"""A change record as evidence: files, lines of the ledger, and a signed list of SHA-256.

The signature is Ed25519 (RFC 8032) by the record key, which is not the CA's. It proves that the
files are those that were signed. The steps are all lines of the ledger from the hash in the plan
on: their hashes prove that none was changed, left out or moved. It does not prove the time: the
clock is the laptop's. Whoever holds the record key and its password can make another record; the
ledger and a copy of its last hash in other hands would tell.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from vmscert.facts import DATA
from vmscert.files import sha256sums, write_atomic, write_once
from vmscert.records.ledger import CHANGED, broken_lines, read_rows

PLAN, STEPS, SUMS, SIGNATURE, PUBLIC = (
    "plan.json", "steps.csv", "SHA256SUMS", "SHA256SUMS.sig", "record.pem",
)  # fmt: skip
VERIFY = "verify.py"
_OLD_STEPS = "steps.jsonl"  # what records had that were begun when steps were a chain of their own


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public half of a record key, as it lies in every record."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def is_sealed(folder: Path) -> bool:
    """Tell whether a record was closed."""
    return (folder / SIGNATURE).exists()


def seal(folder: Path, key: Ed25519PrivateKey, announce: Callable[[str], None]) -> None:
    """Sign all files of a record; `announce` is told the SHA-256 of the list before it is signed.

    What was signed before must still be as it was: ValueError otherwise, so that nothing that was
    changed is ever signed anew. The caller holds the lock of the records.
    """
    if is_sealed(folder):
        for problem in problems(folder, more=True):
            raise ValueError(f"{folder.name}: {problem}. It is not signed anew")
    else:
        write_atomic(folder / VERIFY, (DATA / "change" / VERIFY).read_bytes())
    write_once(folder / PUBLIC, public_pem(key))
    sums = sha256sums({path.name: path.read_bytes() for path in _listed(folder)})
    announce(hashlib.sha256(sums).hexdigest())
    # The signature goes first: a record without one is open, never wrongly signed.
    (folder / SIGNATURE).unlink(missing_ok=True)
    write_atomic(folder / SUMS, sums)
    write_atomic(folder / SIGNATURE, key.sign(sums))


def problems(folder: Path, more: bool = False) -> tuple[str, ...]:
    """Return one sentence for everything in a record that is not as it was signed.

    `more` files may have come since.
    """
    signed = is_sealed(folder)
    found = (*_bad_signature(folder), *_other_files(folder, more)) if signed else ()
    return (*found, *_broken_steps(folder))


def count_steps(folder: Path) -> int:
    """Return how many steps a record tells."""
    path = folder / STEPS
    if not path.exists():
        return len((folder / _OLD_STEPS).read_bytes().splitlines())
    return len(read_rows(path.read_bytes().decode()))


def _listed(folder: Path) -> list[Path]:
    """The files of a record that its list names: all but the list and its signature."""
    return [path for path in sorted(folder.iterdir()) if path.name not in (SUMS, SIGNATURE)]


def _bad_signature(folder: Path) -> Iterator[str]:
    try:
        key = load_pem_public_key((folder / PUBLIC).read_bytes())
        assert isinstance(key, Ed25519PublicKey)
        key.verify((folder / SIGNATURE).read_bytes(), (folder / SUMS).read_bytes())
    except InvalidSignature:
        yield f"{SUMS} is not what was signed with {PUBLIC}"
    except (OSError, ValueError, AssertionError):
        yield f"{SUMS}, {SIGNATURE} or {PUBLIC} is missing or damaged"


def _other_files(folder: Path, more: bool) -> Iterator[str]:
    """What the list that was signed says otherwise; `more` files may have come since."""
    path = folder / SUMS
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    signed = {line[66:]: line[:64] for line in text.splitlines()}
    for name, digest in signed.items():
        path = folder / name
        if not path.exists():
            yield f"{name} is missing"
        elif not path.is_file() or _sha256(path) != digest:
            yield f"{name} was changed"
    if not more:
        there = (path.name for path in _listed(folder))
        yield from (f"{name} was added later" for name in there if name not in signed)


def _broken_steps(folder: Path) -> Iterator[str]:
    """Which steps do not follow the one before, and whether they are those of the plan."""
    plan, steps, old = (folder / name for name in (PLAN, STEPS, _OLD_STEPS))
    if not (steps.exists() or old.exists()) and not is_sealed(folder):
        return  # a change that is open: its steps are in the ledger
    try:
        last = _sha256(plan)
        for number, line in enumerate(old.read_bytes().splitlines() if old.exists() else (), 1):
            if f'"previous": "{last}"'.encode() not in line:
                yield f"{_OLD_STEPS}, line {number}: {CHANGED}"
            last = hashlib.sha256(line).hexdigest()
        if steps.exists() or not old.exists():
            text, start = steps.read_bytes().decode(), json.loads(plan.read_bytes())["ledger"]
            yield from (f"{STEPS}{problem}" for problem in broken_lines(text, start))
            if not any(_sha256(plan) in row for row in read_rows(text)):
                yield f"{PLAN} is not the plan of {STEPS}"
    except OSError:
        yield f"{PLAN} or {STEPS} is missing"
    except (ValueError, LookupError, TypeError) as error:
        yield f"{PLAN} or {STEPS} can't be read: {error}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
