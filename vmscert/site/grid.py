"""From the bytes of a table to cells under known columns, whatever was done to it on the way.

What can be read is read; of what is wrong each thing is told once. What is said of each fault
stands in `data/table-faults.csv`, what people write for our words in `data/table-words.csv`.
"""

import csv
import difflib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NoReturn

from vmscert.facts import facts, release
from vmscert.names import is_address
from vmscert.site.site import ENROLMENTS, named

COLUMNS = (
    "name", "domain", "aliases", "cluster", "addresses", "roles", "account", "enrolment", "windows",
    "leave_off", "owner", "notes", "calls", "via",
)  # fmt: skip
FREE_TEXT = ("account", "owner", "notes")  # kept as written; all other cells are read kindly
_REQUIRED = ("name", "roles")
_DELIMITERS = ";,\t"
_UNLIKE = ("calls", "via")  # what stands in them may stand in others, too
_LONGEST_SENTENCE = 1000  # letters, when a cell holds a whole file
_LONGEST_WORD = 80  # letters; what is longer is no word that somebody mistyped
_ALIKE = 0.72  # of two words, one of which was meant
_FIRST = 5  # rows, among which is the one that names the columns
_SAMPLE = 60  # rows that tell whether columns stand where their names are
_FEW, _MENDS = 2, 3  # so many rows show it; of so many that stand odd, at most one still does
_QUOTES = str.maketrans("", "", "\u201c\u201d\u201e\u00ab\u00bb")
_SENTENCES = {row["fault"]: row["sentence"] for row in facts("table-faults")}
Row = tuple[int, list[str]]  # the line on which it begins, and its cells


class SiteError(ValueError):
    """A table that can't be used; `errors` are all its faults, one sentence each."""

    def __init__(self, errors: Iterable[str]):
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the sentences, not thirty lines of Python."""
        return list(self.errors)


@dataclass
class Faults:
    """What is wrong with one table: each sentence once, with all lines of which it is true."""

    file: str
    told: dict[str, list[int]] = field(default_factory=dict)

    def say(self, line: int | None, fault: str, **told: object) -> None:
        """Note a fault, with what belongs into its sentence; without a line, of the whole table."""
        text = _SENTENCES[fault].format(**told)
        if len(text) > _LONGEST_SENTENCE:
            text = f"{text[:400]} … {text[-200:]}"
        self.told.setdefault(text, []).extend(() if line is None else (line,))

    def error(self) -> SiteError:
        """Return all that was found so far, line by line, what is wrong with the table last."""
        ordered = sorted(self.told.items(), key=lambda one: (not one[1], one[1][:1]))
        return SiteError(f"{self._where(lines)}: {text}" for text, lines in ordered)

    def _where(self, lines: Iterable[int]) -> str:
        numbers = [str(line) for line in dict.fromkeys(lines)]
        which = f", line{'s' * (len(numbers) > 1)} {named(numbers)}" if numbers else ""
        return self.file + which

    def fail(self, line: int | None, fault: str, **told: object) -> NoReturn:
        """Stop at a fault after which nothing else can be judged."""
        self.say(line, fault, **told)
        raise self.error()

    def known(self, line: int, kind: str, found: list[str], allowed: Iterable[str]) -> list[str]:
        """Return what is allowed or was probably meant, once each; complain about the rest."""
        allowed, meanings = tuple(allowed), list[str]()
        for word, times in Counter(found).items():
            near = word if word in allowed else meant(kind, word, allowed)
            meanings.append(near)
            if near != word:
                told = {"near": near} if near else {"known": ", ".join(allowed)}
                self.say(line, "misspelt" if near else "unknown", kind=kind, word=word, **told)
            elif times > 1:
                self.say(line, "twice", kind=kind, word=word)
        return list(dict.fromkeys(filter(None, meanings)))


def meant(kind: str, word: str, allowed: Iterable[str]) -> str:
    """Return which of the allowed words somebody means who writes this one; "" if nobody knows."""
    words, folded = _vocabulary(kind, tuple(allowed)), _folded(word[: _LONGEST_WORD + 1])
    if not folded or len(word) > _LONGEST_WORD:
        return ""
    turned = (one for one in words if sorted(one) == sorted(folded))  # letters in a wrong order
    near = (*turned, *difflib.get_close_matches(folded, words, n=1, cutoff=_ALIKE))
    return words.get(folded) or (words[near[0]] if near else "")


@lru_cache
def _vocabulary(kind: str, allowed: tuple[str, ...]) -> dict[str, str]:
    rows = (row for row in facts("table-words") if row["kind"] == kind and row["means"] in allowed)
    words = {_folded(word): row["means"] for row in rows for word in row["words"].split("|")}
    return words | {_folded(word): word for word in allowed}


def _folded(text: str) -> str:
    """The letters and digits of a word, without case, accents, spaces and hyphens."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))


def table_roles() -> list[str]:
    """Return the roles that a table may give a computer."""
    return [r["role"] for r in facts("xprotect/components") if r["kind"] != "implied"]


def decoded(data: bytes, faults: Faults) -> str:
    """Return what a file says, in Unicode or in what Excel on a Western Windows calls "CSV"."""
    if data.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        faults.fail(None, "workbook")
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and b"\0" in data:
        faults.fail(None, "binary")
    wrong = 0
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            wrong = error.start
    faults.fail(data[:wrong].count(b"\n") + 1, "encoding")


def grid(text: str, faults: Faults) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, column → text) of every row below the one that names the columns."""
    lines = [line for line in text.splitlines() if line.strip("; ,\t") and not _is_sep(line)]
    first = next((one for one in lines[:_FIRST] if _names_columns(re.split("[;,\t]", one))), "")
    # The sign between the cells of the first line that has any.
    delimiter = max(_DELIMITERS, key=(first or next(iter(lines), "")).count)
    rows = list(_cells(text, delimiter, faults))
    if rows and all(len(cells) == 1 for _, cells in rows):  # a quote around each whole line
        rows = [(line, next(csv.reader(cells, delimiter=delimiter), [])) for line, cells in rows]
    start = next((n for n, row in enumerate(rows[:_FIRST]) if _names_columns(row[1])), 0)
    line, header = rows[start] if rows else (1, [])
    rows = [row for row in rows[start + 1 :] if row[1] != header]
    for number, cells in rows:
        if len(cells) == 1 < len(header) and any(other in cells[0] for other in _DELIMITERS):
            faults.fail(number, "other-delimiter", delimiter=delimiter)
    sheet = _Sheet(faults, "tab" if delimiter == "\t" else delimiter, rows)
    columns = sheet.columns(line, header)
    for line, cells in sheet.rows:
        row = dict.fromkeys(COLUMNS, "")
        row |= dict(zip(columns, sheet.mended(line, columns, cells), strict=False))
        yield line, {c: row[c] if c in FREE_TEXT else tidy(row[c]) for c in COLUMNS}
    sheet.tell_strays(columns)


def _cells(text: str, delimiter: str, faults: Faults) -> Iterator[Row]:
    """Yield every row that is not blank."""
    lines = io.StringIO(text, newline="")
    table = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in table:
            cells = [cell.strip() for cell in row]
            if any(cells) and not _is_sep(cells[0]):
                yield line, cells
            line = table.line_num + 1
    except csv.Error as error:
        faults.fail(line, "quotes", error=error)


def _names_columns(cells: Iterable[str]) -> bool:
    words = list(map(_header_word, cells))
    exact = any(word in COLUMNS for word in words)
    return exact or sum(bool(meant("column", word, COLUMNS)) for word in words[:99]) > 1


def _header_word(cell: str) -> str:
    return "_".join(tidy(cell).strip('"').lower().split())


@dataclass
class _Sheet:
    """The rows of a table, below the line that names its columns."""

    faults: Faults
    delimiter: str
    rows: list[Row]
    strays: list[tuple[int, int, str]] = field(default_factory=list)  # (line, column, cell)

    def columns(self, line: int, header: list[str]) -> list[str]:
        """Return the columns that the first line names: one without a name is "", one odd "?"."""
        words = list(map(_header_word, header))
        while words and not words[-1]:
            words.pop()
        if not words:
            self.faults.fail(None, "empty")
        if not _names_columns(words):
            self.faults.fail(line, "no-columns", columns=", ".join(COLUMNS))
        columns = [word if word in COLUMNS else "?" if word else "" for word in words]
        for place, word in enumerate(words):
            near = meant("column", word, COLUMNS) if columns[place] == "?" else ""
            columns[place] = near if near and near not in columns else columns[place]
        columns = self._in_place(line, words, columns)
        if len(columns) == len(words):  # else the fault is that a name is missing
            for word, column in zip(words, columns, strict=True):
                if word and word != column:
                    unknown = column == "?"
                    told = {"known": ", ".join(COLUMNS)} if unknown else {"near": column}
                    fault = "unknown" if unknown else "misspelt"
                    self.faults.say(line, fault, kind="column", word=word, **told)
        for word, times in Counter(filter(None, words)).items():
            if times > 1 and word in COLUMNS:
                self.faults.say(line, "twice", kind="column", word=word)
        missing = [column for column in _REQUIRED if column not in columns]
        for column in missing:
            self.faults.say(line, "column-missing", column=column)
        if missing or max(Counter(filter(COLUMNS.__contains__, columns)).values()) > 1:
            raise self.faults.error()
        return columns

    def _in_place(self, line: int, words: list[str], columns: list[str]) -> list[str]:
        """Return the columns as the cells below tell them, where their names stand elsewhere."""
        rows = [cells for _, cells in self.rows[:_SAMPLE]]
        misfits = _misfits(columns, rows)
        blanks = [n for n, one in enumerate(columns) if one == "" and any(_held(rows, n))]
        if not blanks and misfits < _FEW:
            return columns
        absent = [column for column in COLUMNS if column not in (*columns, *_UNLIKE)]
        ways = [] if blanks else [columns]
        for place in blanks or range(len(columns) + 1):
            after = place + (columns[place : place + 1] in ([""], ["?"]))
            ways += [[*columns[:place], one, *columns[after:]] for one in absent]
            ways += [] if blanks else [[*columns[:place], *columns[place + 1 :]]]

        def rank(way: list[str]) -> tuple[int, int]:
            order = [COLUMNS.index(column) for column in way if column in COLUMNS]
            usual = sum(one < other for one, other in pairwise(order))
            return _score(way, rows), usual - len(way)

        best = max(ways, key=rank, default=columns)
        # Cells less odd where anything may stand are no proof, unless all lines have as many.
        sure = _score(best, rows) > _score(columns, rows) + misfits
        sure |= {len(cells) for cells in rows} == {len(best)} != {len(columns)}
        if not blanks and (not sure or _misfits(best, rows) * _MENDS > misfits):
            return columns
        place = next((n for n, one in enumerate(best) if columns[n : n + 1] != [one]), len(best))
        if len(best) < len(columns):
            self.faults.fail(line, "cells-missing", column=columns[place])
        elif len(best) > len(columns) or not words[place]:
            seen = [f"'{cell}'" for cell in _held(rows, place)]
            told = {"near": best[place], "cells": f" ({named(seen, 3)})" if seen else ""}
            left, right = ["", *best][place], "".join(best[place + 1 : place + 2])
            told["where"] = f"between {left!r} and {right!r}" if left and right else (
                f"after {left!r}" if left else f"before {right!r}"
            )  # fmt: skip
            self.faults.say(line, "unnamed-column", **told)
        return best

    def mended(self, line: int, columns: list[str], cells: list[str]) -> list[str]:
        """Return the cells as they were meant, where one is missing, too many, or cut into two."""
        fits = _fits(columns, cells)
        if min(fits, default=0) < 0:
            ways = list(_shifted(columns, cells, self.delimiter))
            fault, place, best = max(ways, key=lambda way: sum(_fits(columns, way[2])))
            better = _fits(columns, best)
            if min(better) >= 0 and sum(better) > sum(fits) + 1:
                if fault != "split-cell" or columns[place] != "addresses":  # which tells it better
                    told = {"cell": "".join(cells[place : place + 1]), "column": columns[place]}
                    told |= {"whole": "|".join(split_cell(best[place]))}
                    self.faults.say(line, fault, delimiter=self.delimiter, **told)
                return best
        beyond = (n for n, cell in enumerate(cells) if cell and not "".join(columns[n : n + 1]))
        self.strays += ((line, n, cells[n]) for n in beyond)
        return cells

    def tell_strays(self, columns: list[str]) -> None:
        """Tell of cells that no column has a name for, column by column."""
        for place in sorted({place for _, place, _ in self.strays}):
            mine = [(line, cell) for line, at, cell in self.strays if at == place]
            cells = [f"'{cell}'" for cell in dict.fromkeys(cell for _, cell in mine)]
            fault = "no-column-name" if len(mine) == 1 else "no-column-names"
            for line, _ in mine:
                told = {"cells": named(cells, 3), "names": len(columns)}
                self.faults.say(line, fault, delimiter=self.delimiter, **told)


def _shifted(
    columns: Sequence[str], cells: list[str], delimiter: str
) -> Iterator[tuple[str, int, list[str]]]:
    """Yield (fault, column, cells) of what a line may have been before something slipped."""
    for place in reversed(range(len(columns))):
        yield "cell-missing", place, [*cells[:place], "", *cells[place:]]
        if not "".join(cells[place : place + 1]):
            yield "cell-surplus", place, [*cells[:place], *cells[place + 1 :]]
        for end in range(place + 2, min(len(cells), place + 9) + 1):
            whole = ("\t" if delimiter == "tab" else delimiter).join(cells[place:end])
            if all(_fit(columns[place], cell) > 0 for cell in cells[place : end - 1]):
                yield "split-cell", place, [*cells[:place], whole, *cells[end:]]


def _held(rows: Iterable[Sequence[str]], place: int) -> list[str]:
    """What stands in one column, each once."""
    return list(dict.fromkeys(filter(None, ("".join(row[place : place + 1]) for row in rows))))


def _score(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How well the cells are what these columns hold; names of a cluster are shared, no others."""
    score = sum(sum(_fits(columns, cells)) for cells in rows)
    for place, column in enumerate(columns):
        if column in ("aliases", "cluster"):
            held = Counter(cells[place] for cells in rows if "".join(cells[place : place + 1]))
            score -= sum((times > 1) == (column == "aliases") for times in held.values())
    return score


def _misfits(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    return sum(min(_fits(columns, cells), default=0) < 0 for cells in rows)


def _fits(columns: Sequence[str], cells: Sequence[str]) -> list[int]:
    beyond = len(cells) - len(columns)
    return [_fit(*pair) for pair in zip([*columns, *[""] * beyond], cells, strict=False)]


@lru_cache(maxsize=1 << 14)
def _fit(column: str, cell: str) -> int:
    """1 where a cell looks like what its column holds, -1 where it can't be, 0 if nobody knows."""
    if not cell or column in ("notes", "?", *_UNLIKE) or len(cell) > 1000:
        return 0
    if not column:
        return -1
    parts = split_cell(cell.lower())
    groups = [row["group"] for row in facts("xprotect/certificate-groups")]
    vocabulary = {
        "roles": ("role", table_roles()),
        "enrolment": ("enrolment", ENROLMENTS),
        "leave_off": ("certificate group", groups),
    }
    if column in vocabulary:
        kind, allowed = vocabulary[column]
        parts = split_cell(cell.lower(), "/+&") if column == "roles" else parts
        return 1 if any(meant(kind, part, allowed) for part in parts) else -1
    if column == "addresses":
        return 1 if any(re.fullmatch(r"[\da-f.:%/]*\d[\da-f.:%/]*", one) for one in parts) else -1
    if column == "windows":
        return 1 if _is_release(cell) else -1
    # No name has a space in it, and what runs somewhere has.
    known = [*groups, *table_roles()] if " " in cell else []
    elsewhere = bool(known) and (_is_release(cell) or not set(known).isdisjoint(parts))
    elsewhere |= column != "cluster" and any(map(is_address, parts))
    if column == "account":
        return 1 if set(cell) & set("\\@$") else -elsewhere
    if column == "owner":
        return -elsewhere
    if "\\" in cell or elsewhere or (column == "domain" and len(parts) > 1):
        return -1
    return "." not in cell if column == "name" else "." in cell and column != "cluster"


def _is_release(text: str) -> bool:
    if re.match(r"win|microsoft|server\W*20", text, re.IGNORECASE):
        return True
    try:
        return bool(release(text))
    except ValueError:
        return False


def _is_sep(text: str) -> bool:
    """Whether this is the line by which people tell Excel the delimiter."""
    return text.strip('"\ufeff ').lower().startswith("sep=")


def tidy(text: str) -> str:
    """Undo what Excel, Word and web pages do to names: odd spaces, hyphens, wide or no letters."""
    if text.isascii():
        return text
    letters = unicodedata.normalize("NFKC", text.translate(_QUOTES))
    seen = (c for c in letters if unicodedata.category(c) != "Cf")
    return "".join("-" if unicodedata.category(c) == "Pd" else c for c in seen).strip()


def split_cell(text: str, also: str = "") -> list[str]:
    """Split at `|`; at what people write instead of it, too, since no value can contain that."""
    parts = re.split(rf"[|¦,;\t\r\n{re.escape(also)}]", text)
    return [" ".join(part.split()) for part in parts if part.strip()]
