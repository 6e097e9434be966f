"""A change record as evidence: files, steps that chain by hash, and a signed list of SHA-256.

The signature is Ed25519 (RFC 8032) by the record key, which is not the CA's. It proves that the
files are those that were signed, and the chain that no step was changed, left out or moved. It does
not prove the time: the clock is the laptop's. Whoever holds the record key and its password can
make another record; the ledger and a copy of the last hash in other hands would tell.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from vmscert.facts import DATA
from vmscert.files import sha256sums, write_atomic, write_once

PLAN, STEPS, SUMS, SIGNATURE, PUBLIC = (
    "plan.json", "steps.jsonl", "SHA256SUMS", "SHA256SUMS.sig", "record.pem",
)  # fmt: skip
VERIFY = "verify.py"


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
        for problem in (*_bad_signature(folder), *_changed(folder), *_broken_steps(folder)):
            raise ValueError(f"{folder.name}: {problem}. It is not signed anew")
    write_once(folder / PUBLIC, public_pem(key))
    write_once(folder / VERIFY, (DATA / "change" / VERIFY).read_bytes())
    sums = sha256sums({path.name: path.read_bytes() for path in _listed(folder)})
    announce(hashlib.sha256(sums).hexdigest())
    # The signature goes first: a record without one is open, never wrongly signed.
    (folder / SIGNATURE).unlink(missing_ok=True)
    write_atomic(folder / SUMS, sums)
    write_atomic(folder / SIGNATURE, key.sign(sums))


def problems(folder: Path) -> tuple[str, ...]:
    """Return one sentence for everything in a record that is not as it was signed."""
    if not is_sealed(folder):
        return (*_broken_steps(folder),)
    found = (*_bad_signature(folder), *_changed(folder), *_added(folder))
    return (*found, *_broken_steps(folder))


def add_steps(folder: Path, steps: list[Mapping[str, Any]]) -> None:
    """Add steps to the end of the chain, all or none; the caller holds the lock."""
    path = folder / STEPS
    text = path.read_bytes() if path.exists() else b""
    lines = text.splitlines()
    last = lines[-1] if lines else (folder / PLAN).read_bytes()
    for step in steps:
        told = {**step, "previous": hashlib.sha256(last).hexdigest()}
        last = json.dumps(told, ensure_ascii=False).encode(errors="replace")
        text += last + b"\n"
    write_atomic(path, text)


def read_steps(folder: Path) -> list[dict[str, Any]]:
    """Return the steps of a record, oldest first; ValueError for a line that is none."""
    path = folder / STEPS
    try:
        return (
            [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        )
    except ValueError:
        raise ValueError(f"{path} was changed by hand: restore it from the backup") from None


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


def _changed(folder: Path) -> Iterator[str]:
    for name, digest in _sums(folder).items():
        path = folder / name
        if not path.exists():
            yield f"{name} is missing"
        elif not path.is_file() or _sha256(path) != digest:
            yield f"{name} was changed"


def _added(folder: Path) -> Iterator[str]:
    known = _sums(folder)
    yield from (f"{one.name} was added later" for one in _listed(folder) if one.name not in known)


def _sums(folder: Path) -> dict[str, str]:
    """File → SHA-256, as the list says that was signed."""
    path = folder / SUMS
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    return {
        name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())
    }


def _broken_steps(folder: Path) -> Iterator[str]:
    """Which steps do not follow the one before; the first follows the plan."""
    try:
        last, lines = _sha256(folder / PLAN), (folder / STEPS).read_bytes().splitlines()
    except OSError:
        if is_sealed(folder) or (folder / STEPS).exists():
            yield f"{PLAN} or {STEPS} is missing"
        return
    for number, line in enumerate(lines, 1):
        if _previous(line) != last:
            yield (
                f"{STEPS}, line {number}: was changed, or what comes before it was changed, "
                f"removed, added or moved"
            )
        last = hashlib.sha256(line).hexdigest()


def _previous(line: bytes) -> str:
    try:
        return str(json.loads(line)["previous"])
    except (ValueError, LookupError, TypeError):
        return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
