"""The record of one change, whose files are signed: it is closed, or open, and never half of that.

    changes/<date>-<runbook>/
      record.html                      all of it, to read and to print
      verify.py                        checks it without the kit
      SHA256SUMS                       the list of all files, those in `details` too
      SHA256SUMS.sig, record.pem       its signature, and the public half of the key that made it
      details/                         what the record is made from

A record from before there was `details` has everything beside its `record.html`, and stays so.

The list is signed with Ed25519 (RFC 8032), by the record key, which is not the CA's. The steps are
all lines of the ledger from the hash in the plan on. It does not prove the time. Whoever holds the
record key and its password can make another record; the ledger and a copy of its last hash in other
hands would tell.

All that a signature needs is first made ready in `changes/.signing`, then told to the ledger, then
put in its place: whoever takes the records' lock next ends what a killed run began, without a key.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from vmscert.facts import DATA
from vmscert.files import sha256sums, write_folder
from vmscert.records.ledger import CHANGED, broken_lines, read_rows

PLAN, STEPS, VERIFY = "plan.json", "steps.csv", "verify.py"
SUMS, SIGNATURE, PUBLIC = "SHA256SUMS", "SHA256SUMS.sig", "record.pem"
_OLD_STEPS = "steps.jsonl"  # what records had that were begun when steps were a chain of their own
_SIGNING = ".signing"
CLOSED_ALREADY = "is closed and signed: run the notebook from its top, for a change of its own"


def details(folder: Path) -> Path:
    """Return where what a record is made from lies, or is to lie."""
    return folder if (folder / PLAN).exists() else folder / "details"


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public half of a record key, as it lies in every record."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def is_sealed(folder: Path) -> bool:
    """Tell whether a record was closed."""
    return (folder / SIGNATURE).exists()


def seal(
    folder: Path,
    key: Ed25519PrivateKey,
    files: Mapping[Path, bytes],
    announce: Callable[[str], None],
) -> None:
    """Sign all files of a record, and these besides, which come to it with the signature.

    `announce` is told the SHA-256 of the list before it is in its place. What was signed before
    must still be as it was: ValueError otherwise, so that nothing that was changed is ever signed
    anew. The caller holds the lock of the records.
    """
    if is_sealed(folder):
        for problem in problems(folder):
            raise ValueError(f"{folder.name}: {problem}. It is not signed anew")
        if (folder / PUBLIC).read_bytes() != public_pem(key):
            raise ValueError(f"{folder.name} was signed with another key. It is not signed anew")
    else:
        script = (DATA / "change" / VERIFY).read_bytes()
        files = {**files, folder / VERIFY: script, folder / PUBLIC: public_pem(key)}
    new = {path.relative_to(folder).as_posix(): data for path, data in files.items()}
    there = {name: path.read_bytes() for name, path in _listed(folder).items()}
    sums = sha256sums({**there, **new})
    ready = {**new, SUMS: sums, SIGNATURE: key.sign(sums)}
    named = {f"{folder.name}/{name}": data for name, data in ready.items()}
    write_folder(folder.parent / _SIGNING, named)
    digest = hashlib.sha256(sums).hexdigest()
    announce(digest)
    finish_signing(folder.parent, {digest})


def is_signing(changes: Path) -> bool:
    """Tell whether a record is being signed, or a killed run was about to."""
    return (changes / _SIGNING).exists()


def finish_signing(changes: Path, announced: Collection[str]) -> None:
    """Put in its place what was made ready, if the ledger was told of it; forget it otherwise."""
    for sums in (changes / _SIGNING).glob(f"*/{SUMS}"):
        if _sha256(sums) in announced:
            # The list goes last: as long as it waits, there is something to do.
            for path in sorted(sums.parent.rglob("*"), key=lambda one: one == sums):
                if path.is_file():
                    place = changes / path.relative_to(changes / _SIGNING)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(place)
    shutil.rmtree(changes / _SIGNING)


def problems(folder: Path) -> tuple[str, ...]:
    """Say everything that is not as it was signed in a record."""
    found = (*_bad_signature(folder), *_other_files(folder)) if is_sealed(folder) else ()
    return (*found, *_broken_steps(folder))


def count_steps(folder: Path) -> int:
    """Return how many steps a record tells."""
    if (path := details(folder) / STEPS).exists():
        return len(read_rows(path.read_bytes().decode()))
    return len((folder / _OLD_STEPS).read_bytes().splitlines())


def _listed(folder: Path) -> dict[str, Path]:
    """The files of a record that its list names: all but the list and its signature."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: found[name] for name in sorted(found) if name not in (SUMS, SIGNATURE)}


def _bad_signature(folder: Path) -> Iterator[str]:
    try:
        key = load_pem_public_key((folder / PUBLIC).read_bytes())
        assert isinstance(key, Ed25519PublicKey)
        key.verify((folder / SIGNATURE).read_bytes(), (folder / SUMS).read_bytes())
    except InvalidSignature:
        yield f"{SUMS} is not what was signed with {PUBLIC}"
    except (OSError, ValueError, AssertionError):
        yield f"{SUMS}, {SIGNATURE} or {PUBLIC} is missing or damaged"


def _other_files(folder: Path) -> Iterator[str]:
    path = folder / SUMS
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    signed = {line[66:]: line[:64] for line in text.splitlines()}
    there = {name: _sha256(path) for name, path in _listed(folder).items()}
    for name, digest in signed.items():
        if there.get(name) != digest:
            yield f"{name} was changed" if name in there else f"{name} is missing"
    yield from (f"{name} was added later" for name in there if name not in signed)


def _broken_steps(folder: Path) -> Iterator[str]:
    plan, steps, old = (details(folder) / name for name in (PLAN, STEPS, _OLD_STEPS))
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
