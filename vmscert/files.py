"""Files and folders that are written whole or not at all, by one run at a time."""

import getpass
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
_PRIVATE = (".key", ".pfx")
is_file = os.path.isfile  # of any text: unlike Path.is_file it never raises
_MOST_FAULTS = 5  # told at once
_SAID = {"missing": "is missing", "unexpected_keyword_argument": "is unknown"}


LARGEST = 16 << 20  # bytes of one file that others made: certificates, lists, a piece of a log


def read_foreign(path: Path) -> bytes:
    """Return what a file that others made holds; ValueError in one sentence where nobody can."""
    try:
        about = path.stat()
        if S_ISDIR(about.st_mode):
            raise ValueError(f"{path} is a folder that can't be looked into: mind its rights")
        if not S_ISREG(about.st_mode):  # to open a pipe waits for ever
            raise ValueError(f"{path} is no file, but a pipe or a device: name a file")
        if about.st_size > LARGEST:
            told = f"{path} is larger than {LARGEST >> 20} MB"
            raise ValueError(f"{told}: give the part that matters")
        with path.open("rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}. Check the path") from None


def foreign_text(data: bytes, otherwise: str = "utf-8") -> str:
    """Return text in the encoding that its bytes show: with a mark, or UTF-16 by its many NULs.

    What is no UTF-8 is read by the codec `otherwise`, with a sign for what that does not know.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if data[first:200:2].count(0) > len(data[:200]) // 3:
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.removeprefix(BOM_UTF8).decode(otherwise, "replace")


ZIP = b"PK\x03\x04"  # how an archive begins that holds anything
_MOST_MEMBERS = 500  # files of one archive
# What macOS, Windows and file servers put into archives by themselves.
_JUNK = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|desktop\.ini$|Thumbs\.db$)", re.IGNORECASE)


def unpacked(data: bytes) -> list[tuple[str, bytes]]:
    """Return (name without its folders, bytes) of each file in a ZIP archive that others made.

    ValueError in one sentence where nobody can, or it would grow too large. Nothing is written.
    """
    from zipfile import ZipFile

    found, left = [], LARGEST
    why = "it is damaged: copy it again, or unpack it"
    with suppress(Exception), ZipFile(BytesIO(data)) as archive:  # zipfile raises many kinds
        named = ((one.filename.replace("\\", "/"), one) for one in archive.infolist())
        members = [(n, one) for n, one in named if not (n.endswith("/") or _JUNK.search(n))]
        if any(one.flag_bits & 1 for _, one in members):
            why = "it is locked with a password: unpack it, and give its files"
        elif len(members) > _MOST_MEMBERS:
            told = f"it holds {len(members)} files, more than {_MOST_MEMBERS}"
            why = f"{told}: unpack it, and give those that matter"
        else:
            for name, one in members:
                with archive.open(one) as stream:  # what it says of its size is not believed
                    content = stream.read(left + 1)
                left -= len(content)
                if left < 0:
                    why = f"unpacked, it is larger than {LARGEST >> 20} MB: give what matters"
                    break
                found.append((name.rpartition("/")[2], content))
            else:
                return found
    raise ValueError(why)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it.

    Files with keys are readable by their owner only (on Windows the folder's rights decide).
    Raises OSError as the system does, with no trace left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        _write(draft, data, 0o600 if path.suffix in _PRIVATE else 0o644)
        draft.replace(path)
    except PermissionError as error:  # what Windows says of a file that is open in Excel
        told = f"{path} can't be written: close it where it is open, then run again"
        raise PermissionError(told) from error
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_once(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, or exists with the same bytes.

    The caller holds the folder's lock. Raises FileExistsError with one sentence otherwise.
    """
    if not path.exists():
        write_atomic(path, data)
    elif path.read_bytes() != data:
        raise FileExistsError(f"{path} exists: it is never overwritten. Move it away yourself")


def free(path: Path) -> Path:
    """Return the path, or the first of name-2, name-3 … that is not taken."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return path if not path.exists() else next(p for p in numbered if not p.exists())


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with these files: it appears whole, or not at all, and is never added to.

    The caller holds the lock of the folder above. Raises FileExistsError where one is already.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists: a finished folder is never changed")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        for name, data in files.items():
            write_atomic(draft / name, data)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def with_sums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return these files and the list of their SHA-256 beside them."""
    return {**files, "SHA256SUMS": sha256sums(files)}


def sha256sums(files: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 list of these files, as `sha256sum --check` reads it."""
    digests = ((hashlib.sha256(files[name]).hexdigest(), name) for name in sorted(files))
    return "".join(f"{digest}  {name}\n" for digest, name in digests).encode()


def read_json(data: bytes) -> Any:
    """Return what JSON in UTF-8 or UTF-16 says; ValueError where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


def fitting(told: Any, kind: "TypeAdapter[T]") -> T:
    """Return what JSON said, as something of this kind; ValueError names every wrong place.

    Places are written as PowerShell does: `personal[0].readers[2]`.
    """
    from pydantic import ValidationError

    try:
        return kind.validate_python(told)
    except ValidationError as error:
        wrong = [_fault(one) for one in error.errors(include_url=False)]
    if len(wrong) > _MOST_FAULTS:
        wrong[_MOST_FAULTS:] = [f"and {len(wrong) - _MOST_FAULTS} more"]
    raise ValueError("; ".join(wrong))


def _fault(one: Mapping[str, Any]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"]]
    place = "".join(parts).removeprefix(".").removesuffix(".[key]") or "all of it"
    if one["type"] in _SAID:
        return f"{place!r} {_SAID[one['type']]}"
    if one["type"] == "value_error":
        return f"{place!r}: {one['ctx']['error']}"
    return f"{place!r} has the wrong value {str(one['input'])[:40]!r}"


def sweep(folder: Path) -> None:
    """Remove drafts that a killed run left behind; the caller holds the folder's lock."""
    for draft in list(folder.rglob(".*.draft")):
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)


_PATIENCE = 20  # seconds to wait for another run before saying so
RUN = "VMSCERT_RUN"  # in the environment: by which name whoever started this run knows it
_RUN = os.environ.get(RUN) or secrets.token_hex(8)  # no number, which another one has later
_RUNS = 9  # of how many it is kept what they did
_OURS: dict[Path, Any] = {}  # the locks that this run has until it lets go of them, or ends


class FolderLock:
    """The lock of one folder; who takes it again while holding it keeps it."""

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock

        self.folder = folder
        self._lock = FileLock(folder / ".lock", timeout=_PATIENCE)
        self._holder = folder / ".lock.json"  # Windows lets nobody read a locked file itself

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Keep other runs out, and say whether it was not held already; RuntimeError names whose.

        Drafts of a killed run go where another one had the lock last: to look through a large
        folder takes long, and whoever ends in peace leaves nothing there.
        """
        from filelock import Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        newly = not self._lock.is_locked
        try:
            self._lock.acquire()
        except Timeout:
            who = "another run"
            with suppress(KeyError):
                who = "{user} on {machine} (process {process})".format_map(self._signed())
            told = f"{self.folder} is in use by {who}: wait until it ends, then run again"
            raise RuntimeError(told) from None
        try:
            me = {**whoami(), "process": os.getpid(), "run": _RUN}
            if newly and self._signed() != me:
                sweep(self.folder)
                self._holder.write_text(json.dumps(me), encoding="utf-8")
            yield newly
        finally:
            self._lock.release()

    def _signed(self) -> dict[str, Any]:
        """Who had the lock last, or has it."""
        return _read_note(self._holder)


class Claim:
    """Something that one run has until it lets go of it or ends, however it ends.

    The system gives back the lock of a run that was killed; the note beside it says who has it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._note = path.resolve(), path.resolve().with_name(f"{path.name}.json")

    def take(self, task: str, **about: str) -> dict[str, Any]:
        """Have it for a task; returns nothing, or who has it, in another run's own words."""
        from filelock import FileLock, Timeout

        if who := self.holder():
            self.let_go()
            lock = FileLock(self._path, timeout=0, thread_local=False)
            try:
                lock.acquire()
            except Timeout:
                return who
            _OURS[self._path] = lock
        me = {"task": task, **about, **whoami(), "process": os.getpid(), "run": _RUN}
        runs = [*{**self._runs(), _RUN: task}.items()][-_RUNS:]
        write_atomic(self._note, json.dumps({**me, "runs": dict(runs)}, indent=1).encode())
        return {}

    def holder(self) -> dict[str, Any]:
        """Return nothing as long as this run has it, else who has it or had it last.

        On a share that was out of reach for a while, another run may have been given the lock.
        """
        who = _read_note(self._note)
        mine = self._path in _OURS and who.get("run") == _RUN
        return {} if mine else who or {"run": "another"}

    def let_go(self) -> None:
        """Let others have it."""
        if lock := _OURS.pop(self._path, None):
            lock.release(force=True)

    def task_of(self, run: str) -> str:
        """Return for which task a run had it last, if it ever had."""
        return str(self._runs().get(run, ""))

    def _runs(self) -> dict[str, Any]:
        runs = _read_note(self._note).get("runs")
        return runs if isinstance(runs, dict) else {}


def _read_note(path: Path) -> dict[str, Any]:
    """What a note beside a lock says; nothing where nobody can read it."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def whoami() -> dict[str, str]:
    """Return who runs this, and on which computer, as far as the system tells."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name is set, and nobody knows the number
        user = "unknown"
    return {"user": user, "machine": platform.node()}
