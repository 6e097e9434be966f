"""Under which column each cell of a table belongs, also where a name or a cell is missing.

A cell tells by what it holds where it stands; so one fault is told where one thing slipped.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, zip_longest

from vmscert.facts import facts, release
from vmscert.names import is_address
from vmscert.site.grid import Faults, Row, is_sep, meant, read_cells, split_cell, table_roles, tidy
from vmscert.site.site import ENROLMENTS, named

COLUMNS = (
    "name", "domain", "aliases", "cluster", "addresses", "roles", "account", "enrolment", "windows",
    "leave_off", "owner", "notes", "calls", "via",
)  # fmt: skip
FREE_TEXT = ("account", "owner", "notes")  # kept as written; all other cells are read kindly
_REQUIRED = ("name", "roles")
_UNLIKE = ("calls", "via")  # what stands in them may stand in others, too
_DELIMITERS = ";,\t"
_FIRST = 5  # rows, among which is the one that names the columns
_SAMPLE = 60  # rows that tell whether columns stand where their names are
_FEW, _MENDS = 2, 3  # so many rows show it; of so many that stand odd, at most one still does
_SPLIT = 8  # cells into which one may have been cut


def rows_of(text: str, faults: Faults) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, column → text) of every row below the one that names the columns."""
    lines = [line for line in text.splitlines() if line.strip("; ,\t") and not is_sep(line)]
    first = next((one for one in lines[:_FIRST] if _names_columns(re.split("[;,\t]", one))), "")
    # The sign between the cells of the first line that has any.
    delimiter = max(_DELIMITERS, key=(first or next(iter(lines), "")).count)
    rows = list(read_cells(text, delimiter, faults))
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


def _names_columns(cells: Iterable[str]) -> bool:
    words = list(map(_header_word, cells))
    exact = any(word in COLUMNS for word in words)
    return exact or sum(bool(meant("column", word, COLUMNS)) for word in words[:99]) > 1


def _header_word(cell: str) -> str:
    return "_".join(tidy(cell).strip('"').lower().split())


class _Sheet:
    """The rows of a table, below the line that names its columns."""

    def __init__(self, faults: Faults, delimiter: str, rows: list[Row]) -> None:
        self.faults, self.delimiter, self.rows = faults, delimiter, rows
        self.strays: dict[int, dict[int, str]] = defaultdict(dict)  # column → line → cell

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
        told = {"kind": "column", "known": ", ".join(COLUMNS)}
        slipped = len(columns) > len(words)  # then the fault is that a name is missing
        for word, column in () if slipped else zip(words, columns, strict=True):
            if word and word != column:
                fault = "unknown" if column == "?" else "misspelt"
                self.faults.say(line, fault, word=word, near=column, **told)
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
        for place, (column, cell) in enumerate(zip_longest(columns, cells, fillvalue="")):
            if cell and not column:
                self.strays[place][line] = cell
        return cells

    def tell_strays(self, columns: list[str]) -> None:
        """Tell of cells that no column has a name for, column by column."""
        for _, mine in sorted(self.strays.items()):
            cells = named([f"'{cell}'" for cell in dict.fromkeys(mine.values())], 3)
            fault = "no-column-name" if len(mine) == 1 else "no-column-names"
            told = {"cells": cells, "names": len(columns), "delimiter": self.delimiter}
            for line in mine:
                self.faults.say(line, fault, **told)


def _shifted(
    columns: Sequence[str], cells: list[str], delimiter: str
) -> Iterator[tuple[str, int, list[str]]]:
    """Yield (fault, column, cells) of what a line may have been before something slipped."""
    for place in reversed(range(len(columns))):
        yield "cell-missing", place, [*cells[:place], "", *cells[place:]]
        if not "".join(cells[place : place + 1]):
            yield "cell-surplus", place, [*cells[:place], *cells[place + 1 :]]
        for end in range(place + 2, min(len(cells), place + _SPLIT) + 1):
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
    return [_fit(*pair) for pair in zip_longest(columns, cells, fillvalue="")]


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


def is_of_phones(text: str) -> bool:
    """Whether this system runs on phones, where no Windows does."""
    return bool(meant("windows", text.partition(" ")[0], ["phone"]))


def _is_release(text: str) -> bool:
    if re.match(r"win|microsoft|server\W*20", text, re.IGNORECASE) or is_of_phones(text):
        return True
    try:
        return bool(release(text))
    except ValueError:
        return False
