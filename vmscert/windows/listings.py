"""Certificates as programs list them: certutil, PowerShell, openssl, keytool, browsers' viewers.

They are known by structure, in whatever language the labels are: a label and a date on one line,
two such lines in a row, a directory name, 40 hexadecimal digits. `data/windows/listing-words.csv`
holds the words that some source confirms. What is printed in other words stays in `unknown`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

from vmscert.facts import facts
from vmscert.windows.pasted import SHA1, visible

_MOST_LINES = 100_000  # of one text; a store lists some thousand
_LONGEST_LINE = 2000  # letters that are looked at
_ZONES = timedelta(hours=14)  # the furthest that a clock on a wall is from UTC
_NEAR = 3  # lines between two dates that belong together
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NUMBERED = re.compile(r"^=+ \w[^=]* \d+ =+$")  # certutil, in each language
# What a certificate begins with: certutil's line, keytool's number in a chain, openssl's heading.
_BEGINS = re.compile(rf"{_NUMBERED.pattern}|^[^\W\d_]+\[\d+\]:$|^Certificate:$")
_STORE = re.compile(r"^(\w+) \"[^\"]+\"$")  # certutil names the store, and what it is called
_PLACE = re.compile(r"(LocalMachine|CurrentUser)[\\/](\w+)", re.IGNORECASE)
_PROPERTY = re.compile(r"^([A-Z]\w+)\s*:(?:\s(.*))?$")  # PowerShell's Format-List
_DASHES = re.compile(r"^\s*-+(?:\s+-+)+\s*$")
_DIRECTORY = re.compile(r"(?:^|[,/+\s])(?:CN|OU?|DC|C|ST|L|E)\s?=\s?\S")
_NAME = re.compile(
    r"\b(?:DNS|IP)\b[^:=\n\d]{0,12}[:=]\s*([\w.*:-]+)|\b(?:DNSName|IPAddress): (\S+)"
)
_BITS = re.compile(r"\b(\d{3,5})[- ]?bits?\b", re.IGNORECASE)
_WEAK = re.compile(r"\b(md5|sha-?1)[ -]?(?:with)?-?(?:rsa|dsa|ecdsa)|rsa-(sha1|md5)\b", re.I)
_TIME = r"(?P<hour>\d{1,2})[:.](?P<minute>\d\d)(?:[:.](?P<second>\d\d))?(?:[.,]\d+)?"
_TIME += r"\s*(?P<half>[AaPp])?(?(half)\.?\s?[Mm]\b\.?)\s*(?P<zone>(?:GMT|UTC|Z)\b|[+-]\d\d:?\d\d)?"
_TIME += r"(?(zone)|(?:\b[A-Z]{3,4}\b)?)"
_WORD = r"(?P<word>[^\W\d_]{3,12})\.?"
_DATES = [  # in each order of year, month and day, the time after them or before the year
    re.compile(rf"(?<![\w.:/-]){form}(?![\w/-])")
    for form in (
        rf"(?P<year>\d{{4}})(?P<s>[-/.])(?P<a>\d{{1,2}})(?P=s)(?P<b>\d{{1,2}})(?:[T,\s]+{_TIME})?",
        r"(?P<a>\d{1,2})(?P<s>[-/.])\s?(?P<b>\d{1,2})(?P=s)\s?(?P<year>\d{4}|\d\d)"
        rf"(?:[,\s]+{_TIME})?",
        rf"{_WORD}\s+(?P<day>\d{{1,2}})\s+{_TIME}\s+(?P<year>\d{{4}})(?:\s+(?P<late>GMT|UTC))?",
        rf"{_WORD}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})(?:[,\s]+(?:at )?{_TIME})?",
        rf"(?P<day>\d{{1,2}})\.?(?:\s+de|[\s-])\s*{_WORD}(?:\s+de|[\s-])\s*(?P<year>\d{{4}})"
        rf"(?:[,\s]+(?:[^\W\d_]{{1,3}}\.?\s)*{_TIME})?",
    )
]
Moment = tuple[datetime, datetime]  # the earliest and the latest that a printed date can mean


@dataclass(frozen=True)
class Listed:
    """One certificate as a program printed it; what it did not print is empty."""

    thumbprint: str = ""
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    starts: Moment | None = None
    ends: Moment | None = None
    printed: str = ""  # the dates in the words of the program
    location: str = ""  # LocalMachine or CurrentUser
    store: str = ""  # its name in Windows, in capitals
    key: str = ""  # "key-there", "key-missing" or "key-not-readable"
    said: str = ""  # the words that told it
    numbered: bool = False  # as certutil does, which tells of keys, too
    unknown: tuple[str, ...] = ()  # sentences about the key that no table knows
    bits: int = 0  # of an RSA key
    weak_hash: str = ""
    muddled: bool = False  # whether several ran into one another
    whole: bool = False  # whether the extensions were printed, so that missing names are missing

    @property
    def label(self) -> str:
        """How a sentence calls it: its common name, else its thumbprint."""
        common = re.search(r"CN\s?=\s?([^,/+]+)", self.subject)
        label = common[1].strip() if common else self.subject or self.thumbprint
        return label[:64] or "an entry without a name"


@dataclass
class _Line:
    """One line, and the dates that it ends with."""

    text: str
    label: str
    value: str
    dates: list[Moment]


def read_listing(text: str) -> list[Listed]:
    """Return the certificates that a text lists, none if it is no listing."""
    lines = _lines(_cleaned(text))
    places = _places(lines)
    blocks = _blocks(lines) if lines else []
    return [entry for n, block in blocks if (entry := _entry(block, *places[n]))]


def _places(lines: Sequence[_Line]) -> list[tuple[str, str]]:
    """Location and store, as far as the lines down to each one tell them."""
    found, location, store = [], "", ""
    for line in lines:
        if place := _PLACE.findall(line.text):
            location, store = place[-1]
        elif named := _STORE.match(line.text):
            store = named[1]
        elif re.search(r"certutil.* -user ", line.text):
            location = "CurrentUser"
        found.append((location, store))
    return found


def _cleaned(text: str) -> str:
    """A text without colours and invisible signs, its odd spaces as spaces, its tables unfolded."""
    spaced = visible(_COLOUR.sub("", text))
    return "\n".join(_unfolded(spaced.splitlines()[:_MOST_LINES]))


def _unfolded(lines: Sequence[str]) -> Iterator[str]:
    """Write the rows of PowerShell's tables as its lists: a label, a colon, a value."""
    columns: list[tuple[str, int, int | None]] = []
    for place, line in enumerate(lines):
        if _DASHES.match(line) and place:
            begins = [found.start() for found in re.finditer(r"-+", line)]
            ends = [*begins[1:], None]
            heads = [lines[place - 1][b:e].strip() for b, e in zip(begins, ends, strict=True)]
            columns = list(zip(heads, [0, *begins[1:]], ends, strict=True)) if all(heads) else []
        elif not line.strip():
            columns = []
        if columns and not _DASHES.match(line):
            yield from ("", *(f"{head} : {line[b:e].strip()}" for head, b, e in columns))
        else:
            yield line


def _lines(text: str) -> list[_Line]:
    months_first, found = _order(text), []
    for line in (one[:_LONGEST_LINE].strip() for one in text.splitlines()):
        spans = _spans(line, months_first)
        first, last = (spans[0][0], spans[-1][1]) if spans else (len(line), len(line))
        label, value = _split(line[:first]) if spans else _split(line)
        # A date at the end of a line without other numbers: no log writes that.
        alone = (
            len(spans) < 3 and not re.search(r"\d", line[:first]) and not line[last:].strip(" .")
        )
        dates = [moment for _, _, moment in spans] if alone else []
        found.append(_Line(line, label, line[first:last] if dates else value, dates))
    for above, line in pairwise(found):  # a viewer puts a label above its value
        if line.text and not line.label and not above.dates and above.value in ("", above.text):
            line.label = above.text
    return found


def _split(line: str) -> tuple[str, str]:
    """The label of a line, empty if it has none, and its value."""
    found = re.match(r"([^:=\t]{1,60}?)\s*[:=\t]\s*(.*)$", line)
    return (found[1].strip(), found[2].strip()) if found else ("", line)


def _order(text: str) -> bool | None:
    """Whether dates such as 6/1/2026 begin with the month, None if the text does not betray it."""
    pairs = re.findall(r"(?<![\d./-])(\d{1,2})[/-](\d{1,2})[/-](?:\d{4}|\d\d)(?!\d)", text)
    days_first = any(int(first) > 12 for first, _ in pairs)
    months_first = any(int(second) > 12 for _, second in pairs)
    return None if days_first == months_first else months_first


def _spans(line: str, months_first: bool | None) -> list[tuple[int, int, Moment]]:
    """Each date of a line: where it begins and ends, and when it can be."""
    found: list[tuple[int, int, Moment]] = []
    for form in _DATES:
        for match in form.finditer(line):
            if any(match.start() < end and start < match.end() for start, end, _ in found):
                continue
            if moment := _moment(match, months_first):
                found.append((match.start(), match.end(), moment))
    return sorted(found)


def _moment(match: re.Match[str], months_first: bool | None) -> Moment | None:
    """When a date can be: in both orders of day and month, and in every zone, if none is told."""
    told = {"half": "", "zone": "", "late": "", "hour": "", "s": "", **match.groupdict()}
    year = int(told["year"]) + (2000 if len(told["year"]) == 2 else 0)
    zone = (told["zone"] or told["late"] or "").replace(":", "")
    if "word" in told:
        days = {(month, int(told["day"])) for month in _months(told["word"].casefold())}
    else:
        first, second = int(told["a"]), int(told["b"])
        in_order = len(told["year"]) == 4 and match.start("year") == match.start()
        days = {(first, second)} if in_order or months_first is not False else set()
        days |= {(second, first)} if not in_order and months_first is not True else set()
        if told["s"] == "." and not in_order:  # whoever writes points writes the day first
            days = {(second, first)}
    hour = int(told["hour"] or 0)
    if told["half"]:
        hour = hour % 12 + (12 if told["half"] in "pP" else 0)
    clock = (hour, int(told["minute"]), int(told["second"] or 0)) if told["hour"] else (0, 0, 0)
    times = []
    for month, day in days:
        with suppress(ValueError, OverflowError):
            at = datetime(year, month, day, *clock, tzinfo=UTC)
            if zone[:1] in ("+", "-"):
                at -= timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
            end = at if told["hour"] else at + timedelta(days=1)
            times += [at, end] if zone else [at - _ZONES, end + _ZONES]
    return (min(times), max(times)) if times else None


@cache
def _month_names() -> tuple[tuple[str, int], ...]:
    rows = [row["months"].split("|") for row in facts("windows/months")]
    return tuple(
        (name, n) for row in rows for n, cell in enumerate(row, 1) for name in cell.split()
    )


def _months(word: str) -> set[int]:
    """The months that a word or its beginning can mean."""
    return {n for name, n in _month_names() if word and name.startswith(word)}


@cache
def _words() -> tuple[tuple[str, str], ...]:
    rows = facts("windows/listing-words")
    return tuple((word.casefold(), r["means"]) for r in rows for word in r["words"].split("|"))


def _means(label: str, *kinds: str) -> str:
    """What a label means, by the table; empty if it does not know it."""
    label = re.sub(r"\s*\(.*?\)", "", label).strip(" .:").casefold()
    return next((means for word, means in _words() if means in kinds and word == label), "")


def _pairs(lines: Sequence[_Line]) -> list[int]:
    """The lines where two dates begin that belong together."""
    found, last = [], -_NEAR - 1
    for place, line in enumerate(lines):
        if len(line.dates) == 2:
            found.append(place)
        elif len(line.dates) == 1:
            if place - last <= _NEAR:
                found.append(last)
                last = -_NEAR - 1
            else:
                last = place
    return found


def _lone_ends(lines: Sequence[_Line]) -> int:
    return sum(bool(one.dates and _means(one.label, "end")) for one in lines)


def _blocks(lines: list[_Line]) -> list[tuple[int, list[_Line]]]:
    """Each certificate's lines, and where they begin."""
    cuts = [n for n, one in enumerate(lines) if _BEGINS.match(one.text)]
    if not cuts:
        hashes = sum(bool(SHA1.fullmatch(one.value)) for one in lines)
        many = max(len(_pairs(lines)), hashes, _lone_ends(lines))
        labels = [one.label for one in lines if one.label and one.text.startswith(one.label)]
        often = Counter(labels)
        first = next((one for one in labels if often[one] == many > 1), "")
        cuts = [n for n, one in enumerate(lines) if first and one.label == first] or [0]
    return [(a, lines[a:b]) for a, b in zip(cuts, [*cuts[1:], len(lines)], strict=True)]


def _entry(block: list[_Line], location: str, store: str) -> Listed | None:
    text = "\n".join(line.text for line in block)
    properties = {one[1]: one[2] or "" for line in block if (one := _PROPERTY.match(line.text))}
    labels = [line for line in block if SHA1.fullmatch(line.value)]
    hashes = [one for one in labels if re.search("sha-?\\s?1|thumbprint", one.label, re.IGNORECASE)]
    starts, ends, printed = _validity(block)
    numbered = bool(_NUMBERED.match(block[0].text))
    subject, issuer = _parties(block, numbered)
    if not (hashes or "Thumbprint" in properties or (ends and (subject or issuer))):
        return None
    if places := _PLACE.findall(text):
        location, store = places[-1]
    key, said, unknown = _key(block, properties, hashes)
    bits = next((int(one[1]) for one in _BITS.finditer(text)), 0)
    weak = next((one for line in block if (one := _WEAK.search(line.value))), None)
    return Listed(
        thumbprint=re.sub("[ :]", "", hashes[-1].value).upper() if hashes else "",
        subject=subject,
        issuer=issuer,
        names=_names(text, properties),
        starts=starts,
        ends=ends,
        printed=printed,
        location=location,
        store=store.upper(),
        key=key,
        said=said,
        numbered=numbered,
        unknown=unknown,
        bits=bits if 500 < bits != 521 and "rsa" in text.casefold() else 0,
        weak_hash=next(filter(None, weak.groups())).upper() if weak and subject != issuer else "",
        muddled=max(len(_pairs(block)), _lone_ends(block)) > 1,
        whole="X509v3" in text or "ObjectId: 2.5.29." in text,
    )


def _validity(block: list[_Line]) -> tuple[Moment | None, Moment | None, str]:
    """The dates of one certificate, and what was printed; a date by itself by its label."""
    for place in _pairs(block)[:1]:
        lines = [line for line in block[place : place + _NEAR + 1] if line.dates]
        if len(lines[0].dates) == 2:
            return min(lines[0].dates), max(lines[0].dates), lines[0].value
        first, last = sorted(lines[:2], key=lambda line: line.dates[0])  # NotAfter may come first
        return first.dates[0], last.dates[0], f"{first.value} to {last.value}"
    told: dict[str, tuple[Moment, str]] = {}
    for line in block:
        if line.dates and (means := _means(line.label, "start", "end")):
            told.setdefault(means, (line.dates[0], line.value))
    start, end = told.get("start"), told.get("end")
    printed = " to ".join(one[1] for one in (start, end) if one)
    return start[0] if start else None, end[0] if end else None, printed


def _parties(block: list[_Line], issuer_first: bool) -> tuple[str, str]:
    """Subject and issuer: by their labels, else by their order, which each program has."""
    found = [one for one in block if one.label and _DIRECTORY.search(f" {one.value}")]
    told: dict[str, str] = {}
    for one in found:
        if means := _means(one.label, "subject", "issuer"):
            told.setdefault(means, one.value)
    heading = ""
    for line in block if not found else ():  # viewers put common names under a heading
        heading = _means(line.text, "subject", "issuer") or heading
        if line.value and (line.label == "Common Name" or "(CN)" in line.label):
            told.setdefault(
                heading or ("issuer" if "subject" in told else "subject"), f"CN={line.value}"
            )
    rest = [one.value for one in found if not _means(one.label, "subject", "issuer")]
    for kind in ("issuer", "subject") if issuer_first else ("subject", "issuer"):
        if kind not in told and rest:
            told[kind] = rest.pop(0)
    return told.get("subject", ""), told.get("issuer", "")


def _names(text: str, properties: dict[str, str]) -> tuple[str, ...]:
    listed = properties.get("DnsNameList", "").strip("{}").split(",")
    found = [*listed, *(one or other for one, other in _NAME.findall(text))]
    return tuple(dict.fromkeys(name.strip().lower().rstrip(",") for name in found if name.strip()))


def _key(
    block: list[_Line], properties: dict[str, str], hashes: list[_Line]
) -> tuple[str, str, tuple[str, ...]]:
    """What is told of the private key, in which words, and the sentences that no table knows."""
    held = properties.get("HasPrivateKey", "").casefold()
    if held in ("true", "false"):
        key = "key-there" if held == "true" else "key-missing"
        return key, f"HasPrivateKey is {held.capitalize()}", ()
    if any("PrivateKeyEntry" in line.value for line in block):
        return "key-there", "PrivateKeyEntry", ()
    after = block[block.index(hashes[-1]) + 1 :] if hashes else []
    sentences = [
        one.text.rstrip(".")
        for one in after
        if one.text and not re.search("[:=]", one.text) and " " in one.text and not one.dates
    ]
    told = {}
    for sentence in sentences:
        if means := _means(sentence, "key-there", "key-missing", "key-not-readable"):
            told.setdefault(means, sentence)
    for means in ("key-not-readable", "key-missing", "key-there"):
        if means in told:
            return means, told[means], ()
    return "", "", tuple(sentences) if _NUMBERED.match(block[0].text) else ()
