"""The story of a site's folder: one line a deed, chained by hashes so that no line can be altered.

Every line carries the SHA-256 of the line before it and of itself. `ledger.seal` beside it holds
the number of lines and the last hash, so that a line cut off at the end is missed too. This proves
order and integrity against mistakes and tampering with the ledger alone; whoever can rewrite both
files can rewrite history, and the times are the computer's.

Lines are added at the end, and sealed after that. While they are being written, `.ledger.next` says
with which hash they will end: so a part that a killed run left is known for what it is.

A ledger that was begun with fewer columns is read as it is, and gets the others with its next line:
cells that are empty at the end of a line do not count for its hash, so that every hash stays.
"""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

from vmscert.facts import facts
from vmscert.files import write_atomic

_START = hashlib.sha256(b"vmscert ledger 1").hexdigest()
# Deed → the row of the runbook whose it is; another one that does it says so.
RUNBOOK_OF = {deed: row for row in facts("change/runbooks") for deed in row["deeds"].split("|")}
BAR = "bar"  # a key is in other hands: what it belongs to is never to be trusted again
DRILL = "drill"  # a backup was tried
SWITCH_OFF, SWITCH_ON = "switch off", "switch on"  # encryption, of the whole site
SEALED = "seal record"  # a change was signed, or what came to it since


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
    note: str = ""  # read by people only
    change: str = ""  # to which it belongs: its folder in `changes/`
    user: str = ""  # who did it, and where
    machine: str = ""
    command: str = ""  # to be run at the computer
    folder: str = ""  # carried there
    encryption: str = ""  # of a PFX
    key: str = ""  # whether a CA was taken over with it
    digest: str = ""  # SHA-256 of what was approved, made or signed
    result: str = ""  # of a drill
    approved_by: str = ""  # of an approval, as the two after it
    carried_out_by: str = ""
    emergency: str = ""  # why it could not wait

    @property
    def day(self) -> str:
        """The day, as people name it."""
        return self.time[:10]


_NAMES = tuple(field.name for field in fields(Entry))
COLUMNS = (*_NAMES, "hash")
CHANGED = "was changed, or a line before it was changed, removed, added or moved"
_FIRST = _NAMES.index("note") + 1  # columns that every ledger has
# What lines of those alone say in their notes, where programs want to know it: action → pattern.
_NOTED = {row["action"]: row["pattern"] for row in facts("change/older-notes")}


class _Known(NamedTuple):
    """How a ledger was when it was looked through last, and how its files were stamped then."""

    lines: int
    last: str  # the hash of the last line
    size: int  # of the file, in bytes
    stamp: tuple[tuple[int, int], ...]


class Ledger:
    """`ledger.csv` of one folder and its seal. The caller holds the folder's lock to append."""

    def __init__(self, folder: Path):
        self.path = folder / "ledger.csv"
        self.seal = folder / "ledger.seal"
        self._begun = folder / ".ledger.next"  # with which hash lines end that are being written
        self._known: _Known | None = None

    def text(self) -> str:
        """Return the file; ValueError when it is no text any more.

        Lines that a killed run was writing are left out, unless it came to their end.
        """
        data = self.path.read_bytes() if self.path.exists() else b""
        end = b",%s\n" % self._begun.read_bytes() if self._begun.exists() else b""
        if not data.endswith(end) and (seal := self._sealed()):
            data = b"".join(data.splitlines(keepends=True)[: 1 + seal[0]])
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self._spoilt(": was saved in another encoding.") from None

    def entries(self, text: str | None = None) -> tuple[Entry, ...]:
        """Return all lines, oldest first, of the file or of a `text()`; ValueError where none."""
        return tuple(_entry(row) for row in self._rows(text))

    def head(self, lines: int | None = None) -> tuple[int, str]:
        """Return how many lines there are, and the hash of the last; or of the first `lines`."""
        known = self._rows()[:lines]
        return len(known), known[-1][-1] if known else _START

    def since(self, lines: int) -> str:
        """Return the header and all but the first `lines`, as they stand in the file."""
        found = self.text().splitlines(keepends=True)
        return "".join([*found[:1], *found[1 + lines :]])

    def append(self, *entries: Entry) -> None:
        """Add lines, all or none; ValueError where some were cut off: a new seal would hide that.

        A ledger that this object knows is not read again, so that a line costs the same in any.
        """
        if not entries:
            return
        known, self._known = self._known, None
        if known is None or known.stamp != self._stamp():
            known = self._looked_through()
        new, last = "", known.last
        for entry in entries:
            values = [*map(_tame, vars(entry).values())]
            last = _chain(last, values)
            new += _row((*values, last))
        try:
            file = self.path.open("r+b")
        except PermissionError as error:  # what Windows says of a file that is open in Excel
            why = "can't be written: close it where it is open, then run again"
            raise PermissionError(f"{self.path} {why}") from error
        with file:
            self._begun.write_text(last)
            file.truncate(known.size)  # part of what a killed run was writing
            file.seek(known.size)
            file.write(new.encode())
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self._write_seal(known.lines + len(entries), last)
        self._begun.unlink(missing_ok=True)
        self._known = _Known(known.lines + len(entries), last, size, self._stamp())

    def _looked_through(self) -> _Known:
        """What is known of a ledger that nothing is wrong with, and that has every column."""
        text = self.text()
        rows, seal = self._rows(text), self._sealed()
        for problem in self._broken_seal(rows):
            raise self._spoilt(f"{problem}.")
        whole, last = _with_all_columns(text), rows[-1][-1] if rows else _START
        # From the start, so that lines without a seal are never a crash's; and what a killed run
        # has written to its end, before a second one can be killed.
        if seal != (len(rows), last):
            self._write_seal(len(rows), last)
        if whole != text:
            write_atomic(self.path, whole.encode())
        return _Known(len(rows), last, len(whole.encode()), self._stamp())

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """What tells that somebody else wrote one of the files."""
        found = (path.stat() for path in (self.path, self.seal) if path.exists())
        return tuple((one.st_mtime_ns, one.st_size) for one in found)

    def problems(self, text: str | None = None) -> tuple[str, ...]:
        """Return one sentence for every line that was changed, removed, added or moved.

        Of the file, or of what was read of it as `text()`; of a line that is none, that one only.
        """
        try:
            text = self.text() if text is None else text
            rows = self._rows(text)
            found = (*broken_lines(text), *self._broken_seal(rows))
        except ValueError as error:
            return (str(error),)
        return tuple(f"{self.path.name}{problem}" for problem in found)

    def _broken_seal(self, rows: list[list[str]]) -> Iterator[str]:
        seal = self._sealed()
        if seal is None:
            if rows or self.seal.exists():
                yield ": the seal is missing or spoilt, so lines may have been cut off unseen"
            return
        count, last = seal
        # More lines than sealed are what a crash between the two writes leaves: no harm.
        if len(rows) < count:
            yield f": {count} lines were sealed, {len(rows)} are left"
        elif count and rows[count - 1][-1] != last:
            yield f", line {count + 1}: is not the line that was sealed"

    def _rows(self, text: str | None = None) -> list[list[str]]:
        text = self.text() if text is None else text
        try:
            return read_rows(text)
        except ValueError as error:
            raise self._spoilt(str(error)) from None

    def _spoilt(self, what: str) -> ValueError:
        files = f"{self.path.name} and {self.seal.name}"
        return ValueError(f"{self.path.name}{what} Restore {files} from the backup")

    def _sealed(self) -> tuple[int, str] | None:
        """How many lines were sealed, and the hash of the last; None where that can't be read."""
        try:
            seal = json.loads(self.seal.read_bytes())
            return max(0, int(seal["lines"])), str(seal["hash"])
        except (OSError, ValueError, LookupError, TypeError, OverflowError):
            return None

    def _write_seal(self, lines: int, last: str) -> None:
        write_atomic(self.seal, json.dumps({"lines": lines, "hash": last}).encode())


def read_rows(text: str) -> list[list[str]]:
    """Return the cells of each line of a ledger or of a part with its header; the last is its hash.

    ValueError says what and where, to stand behind the file's name.
    """
    header, *lines = text.split("\n")
    if text and f"{header}\n" not in _HEADERS:
        raise ValueError(", line 1: is not as it was written: was it saved in Excel?")
    if text and lines.pop():
        raise ValueError(": the last line is not whole.")
    wanted, reader, found = header.count(",") + 1, csv.reader(lines, strict=True), []
    try:
        for row in reader:
            if len(row) != wanted:
                raise csv.Error(f"{len(row)} cells, not {wanted}")
            found.append(row)
    except csv.Error as error:
        raise ValueError(f", line {reader.line_num + 1}: was changed, {error}.") from None
    return found


def broken_lines(text: str, last: str = _START) -> Iterator[str]:
    """Yield where lines do not follow the line whose hash is `last`; otherwise as `read_rows`."""
    written = text.splitlines(keepends=True)[1:]
    for number, (row, line) in enumerate(zip(read_rows(text), written, strict=False), 2):
        values = [*map(_tame, row[:-1])]
        if row[-1] != _chain(last, values) or line != _row((*values, row[-1])):
            yield f", line {number}: {CHANGED}"
        last = row[-1]


def _entry(row: list[str]) -> Entry:
    """The deed of a line; one from before there were columns tells in its note what they hold."""
    entry = Entry(*row[:-1])
    pattern = _NOTED.get(entry.action)
    told = re.fullmatch(pattern, entry.note) if pattern and not any(row[_FIRST:-1]) else None
    return replace(entry, **told.groupdict("")) if told else entry


def _with_all_columns(text: str) -> str:
    """A ledger with every column, empty where it had fewer; its hashes are the same."""
    if text.startswith(_row(COLUMNS)):
        return text
    header, *lines = text.splitlines(keepends=True) or [""]
    more = "," * (len(_NAMES) - header.count(","))
    parts = (line.rpartition(",") for line in lines)
    return _row(COLUMNS) + "".join(f"{before}{more},{found}" for before, _, found in parts)


def _tame(value: str) -> str:
    """One line, since a line is a deed; and nothing that Excel would run as a formula."""
    text = " ".join(value.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _chain(last: str, values: list[str]) -> str:
    """The hash of a line; what is empty at its end does not count, but in the first columns."""
    end = max((n for n, value in enumerate(values, 1) if value), default=0)
    told = json.dumps([last, *values[: max(end, _FIRST)]])
    return hashlib.sha256(told.encode()).hexdigest()


def _row(values: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


_HEADERS = {_row((*_NAMES[:n], "hash")) for n in range(_FIRST, len(COLUMNS))}
