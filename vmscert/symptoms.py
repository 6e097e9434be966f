"""The pasted error: which texts are known, what they can mean, and what would tell it apart.

`data/symptoms.csv` holds what programs print. One text often has many causes: they are ranked, and
the check that decides is named.
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any

from vmscert.facts import facts
from vmscert.findings import RULES, Rule
from vmscert.names import endpoint, spelled

QUESTIONS = (
    "Which program said it, on which computer, and which server did it call by which name?",
    "Do other clients reach the same server, and does this client reach other servers?",
    "What changed last: a certificate, a name, a clock, an update, or a switch in Server "
    "Configurator?",
)
_MOST = 1 << 20  # letters from each end of a long log; a fault that repeats stands in both
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u00ab\u00bb", '\'\'""""', "\0")
_MOST_PLACES = 20  # of one text that are looked at; a log repeats its errors for hours
_GENERIC = 4  # causes: a text with so many only supports what others point at
_STAMP = re.compile(r"^[\s>|]*(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,+]+Z?\]?)?[\s>|]*", re.MULTILINE)
_NUMBER = re.compile(r"(?<![0-9a-z])(?:0x)?([89][0-9a-f]{7})(?![0-9a-z])|(-?\d{9,10})")
_PLACE = re.compile(
    r"https?://[^\s\"'<>]+|(?<![\w.:/-])(?:\[[0-9a-f:]+\]|[a-z0-9][a-z0-9.-]*[a-z0-9]):\d{2,5}\b"
)
_SOURCE_FILE = re.compile(r"\.(?:go|py|cs|js|ts|java|c|cc|cpp|h|rs):\d+$")
_CHECKS = {
    "connect": "vmscert connect {place} --root ca.cer",
    "check": "vmscert check FILE --root ca.cer",
    "inventory": "inventory.ps1 on the server, then notebook {remedy}",
    "due": "vmscert due FOLDER",
    "site": "vmscert check data/sites/SITE.csv",
}


@dataclass(frozen=True)
class Symptom:
    """One text that a program prints; `{}` in it stands for what varies."""

    text: str
    code: str  # HRESULT, eight hexadecimal digits
    near: str  # words of which one must be in the same text, separated by |
    program: str
    language: str
    rules: tuple[str, ...]  # likeliest first
    besides: str  # what else it can mean
    source: str
    tag: str

    @cached_property
    def parts(self) -> list[str]:
        """The fixed parts of the text, as comparing sees them."""
        return [_plain(part) for part in self.text.split("{}")]


@dataclass(frozen=True)
class Cause:
    """One rule that may be broken, and the texts that speak for it."""

    code: str
    rule: Rule
    why: tuple[Symptom, ...]
    check: str


@dataclass(frozen=True)
class Explanation:
    """What a pasted text means: known texts, causes with the likeliest first, next questions."""

    symptoms: tuple[Symptom, ...]
    causes: tuple[Cause, ...]
    besides: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether any text was recognised."""
        return bool(self.symptoms)

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation ready for JSON."""
        causes = []
        for one in self.causes:
            told = {"code": one.code, "meaning": one.rule.meaning, "tell_apart": one.rule.diagnosis}
            told |= {"check": one.check, "remedy": one.rule.remedy}
            why = [symptom.text for symptom in one.why]
            causes.append({**told, "remedy_text": one.rule.remedy_text, "why": why})
        told = {"known": self.known, "causes": causes, "besides": list(self.besides)}
        symptoms = [asdict(symptom) for symptom in self.symptoms]
        return {**told, "symptoms": symptoms, "questions": [] if self.known else list(QUESTIONS)}

    def __str__(self) -> str:
        return "\n".join(text for _, text in self._lines())

    def _repr_html_(self) -> str:
        return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for tag, text in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield (HTML element, line)."""
        if not self.known:
            yield "p", "This text is not known here. Three questions narrow it:"
            yield from (("li", f"• {question}") for question in QUESTIONS)
        for symptom in self.symptoms:
            yield "p", f"{symptom.program} says “{symptom.text}”"
        for place, one in enumerate(self.causes, 1):
            yield "h4", f"{place}. {one.code}: {one.rule.meaning}"
            yield "li", f"   to know: {one.rule.diagnosis}"
            yield "li", f"   check: {one.check}"
            yield "li", f"   repair: {one.rule.remedy_text} ({one.rule.remedy})"
        yield from (("p", f"It can also mean: {text}") for text in self.besides)


def explain(text: str) -> Explanation:
    """Tell what a pasted error, log or stack trace means; any text will do.

    Line breaks, time stamps, case and quotes do not matter; of a long text, both ends are read.
    """
    plain = _plain(text if len(text) <= 2 * _MOST else f"{text[:_MOST]}\n{text[-_MOST:]}")
    found, place = list(_longest(list(_found(plain)))), _place(plain)
    meant = {code for one in found if len(one.rules) < _GENERIC for code in one.rules}
    weights: dict[str, float] = defaultdict(float)  # rule code → how likely it is
    why: dict[str, list[Symptom]] = defaultdict(list)
    for symptom in found:
        for rank, code in enumerate(symptom.rules, 1):
            if code in meant or not meant:
                weights[code] += 1 / (rank * len(symptom.rules))
                why[code].append(symptom)
    causes = []
    for code in sorted(why, key=lambda code: -weights[code]):
        rule = RULES[code]
        check = _CHECKS[rule.check].format(place=place, remedy=rule.remedy)
        causes.append(Cause(code, rule, tuple(why[code]), check))
    besides = dict.fromkeys(symptom.besides for symptom in found if symptom.besides)
    return Explanation(tuple(found), tuple(causes), tuple(besides))


@cache
def _symptoms() -> list[Symptom]:
    return [
        Symptom(**{**row, "rules": tuple(filter(None, row["rules"].split("|")))})
        for row in facts("symptoms")
    ]


def _plain(text: str) -> str:
    """Return a text without what its way through logs and clipboards may have changed."""
    unwrapped = _STAMP.sub("", html.unescape(text.translate(_QUOTES)).translate(_QUOTES))
    return " ".join(unwrapped.casefold().split())


def _found(plain: str) -> Iterator[tuple[Symptom, list[tuple[int, int]]]]:
    """Yield every known text with where it stands; a number alone stands nowhere."""
    # Every number that may be an HRESULT: hexadecimal, or decimal with or without sign.
    numbers = _NUMBER.findall(plain)
    codes = {code.upper() or f"{int(number) & 0xFFFFFFFF:08X}" for code, number in numbers}
    for symptom in _symptoms():
        if not symptom.near or any(word in plain for word in symptom.near.split("|")):
            spans = _spans(symptom, plain)
            if spans or symptom.code in codes:
                yield symptom, spans


def _spans(symptom: Symptom, plain: str) -> list[tuple[int, int]]:
    if not all(part in plain for part in symptom.parts):  # much sooner than the pattern
        return []
    pattern = ".{0,200}?".join(map(re.escape, symptom.parts))
    before = r"(?<![a-z0-9_])" if symptom.parts[0][:1].isalnum() else ""
    after = r"(?![a-z0-9_])" if symptom.parts[-1][-1:].isalnum() else ""
    found = re.finditer(before + pattern + after, plain)
    return [match.span() for match in islice(found, _MOST_PLACES)]


def _longest(found: list[tuple[Symptom, list]]) -> Iterator[Symptom]:
    """Yield those that do not only stand within a longer one; one for each number."""
    covered = [span for _, spans in found for span in spans]
    numbers: set[str] = {s.code for s, spans in found if spans and s.code}

    def within(span: tuple[int, int]) -> bool:
        return any(s <= span[0] and span[1] <= e and (s, e) != span for s, e in covered)

    for symptom, spans in found:
        if not all(map(within, spans)):
            yield symptom
        elif not spans and symptom.code not in numbers:
            numbers.add(symptom.code)
            yield symptom


def _place(plain: str) -> str:
    """Return the first `host:port` that is named, ready for a command line."""
    for match in _PLACE.finditer(plain):
        with suppress(ValueError):
            if not _SOURCE_FILE.search(match[0]):
                return spelled(endpoint(match[0].rstrip(".,;)")))
    return "HOST:PORT"
