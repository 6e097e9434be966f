"""From the bytes of a table to its cells, and how its faults are told: each once.

What is said of each fault stands in `data/table-faults.csv`, and what people write for our words in
`data/table-words.csv`.
"""

import csv
import difflib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from vmscert.facts import facts
from vmscert.site.site import named

_LONGEST_SENTENCE = 1000  # letters, when a cell holds a whole file
_LONGEST_WORD = 80  # letters; what is longer is no word that somebody mistyped
_ALIKE = 0.72  # of two words, one of which was meant
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


def read_cells(text: str, delimiter: str, faults: Faults) -> Iterator[Row]:
    """Yield every row that is not blank."""
    lines = io.StringIO(text, newline="")
    table = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in table:
            cells = [cell.strip() for cell in row]
            if any(cells) and not is_sep(cells[0]):
                yield line, cells
            line = table.line_num + 1
    except csv.Error as error:
        faults.fail(line, "quotes", error=error)


def is_sep(text: str) -> bool:
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
