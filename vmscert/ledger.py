"""The story of a site's folder: one line a deed, chained by hashes so that no line can be altered.

Every line carries the SHA-256 of the line before it and of itself. `ledger.seal` beside it holds
the number of lines and the last hash, so that a line cut off at the end is missed too. This proves
order and integrity against mistakes and tampering with the ledger alone; whoever can rewrite both
files can rewrite history, and the times are the computer's.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from vmscert.files import write_atomic

_START = hashlib.sha256(b"vmscert ledger 1").hexdigest()


@dataclass(frozen=True)
class Entry:
    """One deed. Times are ISO 8601 in UTC, `serial` is hex, `thumbprint` as Windows shows it."""

    time: str
    runbook: str
    action: str
    host: str = ""
    serial: str = ""
    thumbprint: str = ""
    not_after: str = ""
    note: str = ""

    @property
    def day(self) -> str:
        """The day, as people name it."""
        return self.time[:10]


COLUMNS = (*(field.name for field in fields(Entry)), "hash")


class Ledger:
    """`ledger.csv` of one folder and its seal. The caller holds the folder's lock to append."""

    def __init__(self, folder: Path):
        self.path = folder / "ledger.csv"
        self.seal = folder / "ledger.seal"

    def entries(self, text: str | None = None) -> tuple[Entry, ...]:
        """Return every line, oldest first, of the file or of what was read of it as `text()`.

        ValueError when it is not a ledger.
        """
        return tuple(entry for entry, _ in self._lines(text))

    def head(self, lines: int | None = None) -> tuple[int, str]:
        """Return how many lines there are, and the hash of the last; or of the first `lines`."""
        known = self._lines()[:lines]
        return len(known), known[-1][1] if known else _START

    def append(self, *entries: Entry) -> None:
        """Add lines: the whole file is replaced at once, so a crash leaves the old or the new.

        Raises ValueError where lines were cut off: a new seal would hide that for ever.
        """
        if not entries:
            return
        lines = self._lines()
        for problem in self._broken_seal(lines):
            raise self._spoilt(f"{problem}.")
        last = lines[-1][1] if lines else _START
        if not lines:  # sealed from the start: lines without a seal are never a crash's
            self._write_seal(0, last)
        text = self.text() or _row(COLUMNS)
        for entry in entries:
            last = _chain(last, entry)
            text += _row((*_values(entry), last))
        write_atomic(self.path, text.encode())
        self._write_seal(len(lines) + len(entries), last)

    def problems(self, text: str | None = None) -> tuple[str, ...]:
        """Return one sentence for every line that was changed, removed, added or moved.

        Of the file, or of what was read of it as `text()`. A line that is no longer a line at all
        hides those below: then only that one is told.
        """
        try:
            text = self.text() if text is None else text
            lines = self._lines(text)
        except ValueError as error:
            return (str(error),)
        found = (*self._broken_links(lines, text), *self._broken_seal(lines))
        return tuple(f"{self.path.name}{problem}" for problem in found)

    def _broken_links(self, lines: list[tuple[Entry, str]], text: str) -> Iterator[str]:
        """Yield where and what, to stand behind the file's name."""
        last, written = _START, text.splitlines(keepends=True)[1:]
        for number, ((entry, found), line) in enumerate(zip(lines, written, strict=False), 2):
            if found != _chain(last, entry) or line != _row((*_values(entry), found)):
                yield (
                    f", line {number}: was changed, or a line before it was changed, removed, "
                    f"added or moved"
                )
            last = found

    def _broken_seal(self, lines: list[tuple[Entry, str]]) -> Iterator[str]:
        count, last = self._read_seal()
        if count is None:
            if lines or self.seal.exists():
                yield ": the seal is missing or spoilt, so lines may have been cut off unseen"
        # More lines than sealed are what a crash between the two writes leaves: no harm.
        elif len(lines) < count:
            yield f": {count} lines were sealed, {len(lines)} are left"
        elif count and lines[count - 1][1] != last:
            yield f", line {count + 1}: is not the line that was sealed"

    def _lines(self, text: str | None = None) -> list[tuple[Entry, str]]:
        text = self.text() if text is None else text
        if text and not text.startswith(_row(COLUMNS)):
            raise self._spoilt(", line 1: is not as it was written: was it saved in Excel?")
        if text and not text.endswith("\n"):
            raise self._spoilt(": the last line is not whole.")
        return [(Entry(*row[:-1]), row[-1]) for row in self._rows(text.split("\n")[1:-1])]

    def _rows(self, lines: list[str]) -> Iterator[list[str]]:
        reader = csv.reader(lines, strict=True)
        try:
            for row in reader:
                if len(row) != len(COLUMNS):
                    raise csv.Error(f"{len(row)} cells, not {len(COLUMNS)}")
                yield row
        except csv.Error as error:
            raise self._spoilt(f", line {reader.line_num + 1}: was changed, {error}.") from None

    def _spoilt(self, what: str) -> ValueError:
        backup = f"Restore {self.path.name} and {self.seal.name} from the backup"
        return ValueError(f"{self.path.name}{what} {backup}")

    def text(self) -> str:
        """Return the file as it stands there; ValueError when it is no text any more."""
        if not self.path.exists():
            return ""
        try:
            return self.path.read_bytes().decode()
        except UnicodeDecodeError:
            raise self._spoilt(": was saved in another encoding.") from None

    def _write_seal(self, lines: int, last: str) -> None:
        write_atomic(self.seal, json.dumps({"lines": lines, "hash": last}).encode())

    def _read_seal(self) -> tuple[int | None, str]:
        """Return how many lines were sealed, and the hash of the last; None if nobody can tell."""
        try:
            seal = json.loads(self.seal.read_bytes())
            return max(0, int(seal["lines"])), str(seal["hash"])
        except (OSError, ValueError, LookupError, TypeError, OverflowError):
            return None, ""


def iso(at: datetime) -> str:
    """Return a time as the ledger writes it: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _values(entry: Entry) -> tuple[str, ...]:
    return tuple(map(_tame, astuple(entry)))


def _tame(value: str) -> str:
    """One line, since a line is a deed; and nothing that Excel would run as a formula."""
    text = " ".join(value.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _chain(last: str, entry: Entry) -> str:
    return hashlib.sha256(json.dumps([last, *_values(entry)]).encode()).hexdigest()


def _row(values: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
