"""The picture of time: what lasts from when to when, and how many do what on each day."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from vmscert.checks.expiry import STATUSES, Due
from vmscert.pictures.canvas import Canvas, Picture, fit

_ENDED, _PURPLE = "#7a1c1c", "#a8327d"
_COLOURS = (_ENDED, "bad", "dubious", "blue", "good", "quiet", "bad")
_COLOUR_OF: Mapping[str, str] = dict(zip(STATUSES, _COLOURS, strict=True))
_PALETTE = (_PURPLE, "blue", _PURPLE, "blue", "#4b5563", "bad")  # of bands, from the top
_MOST_BARS = 40  # in the timeline; the rest ends later and is counted
_TOP, _BAR, _BAND = 66, 26, 46  # pixels: above the first row; of a row with a bar, with a band
_FROM, _TO = 170, 715  # pixels: names stand at the left of it, words at the right
_FEW_DAYS = 100  # an axis of no more has days on it, any other months

_Axis = tuple[datetime, datetime]  # its first and its last day


class _Row(NamedTuple):
    """A name, spans (from, to, share of the row's height), and words at their right."""

    label: str
    spans: Sequence[tuple[datetime, datetime, float]]
    words: str
    colour: str
    bold: bool = False


def timeline(rows: Sequence[Due], at: datetime) -> Picture:
    """Draw one bar for each certificate from its first day to its last, and the day `at`.

    The CA stands on top, then what ends soonest. The axis covers the servers' lives; a bar that
    goes on, as the CA's does, ends in an arrow.
    """
    ordered = sorted(rows, key=lambda row: (row.label != "CA", row.not_after))
    drawn, told = [], []
    for row in ordered[:_MOST_BARS]:
        words, colour = f"{row.not_after:%Y-%m-%d}  {row.status}", _COLOUR_OF[row.status]
        span = row.not_before, row.not_after, 1
        drawn.append(_Row(row.label, [span], words, colour, row.label == "CA"))
        told.append(f"{row.label} ends {row.not_after:%Y-%m-%d}: {row.status}")
    if rest := ordered[_MOST_BARS:]:
        told.append(f"and {len(rest)} more")
        drawn.append(_Row(told[-1], [], f"from {rest[0].not_after:%Y-%m-%d} on", "quiet"))
    # To a little past the last server's end, so that the CA does not flatten it.
    start = min([at, *(row.not_before for row in rows)])
    servers = [row for row in rows if row.label != "CA"]
    last = max([at, *(row.not_after for row in servers or rows)])
    end = last + max((last - start) / 12, timedelta(days=1))
    alt = "; ".join(told) or "No certificate."
    return _drawn("What ends when", drawn, (start, end), at).picture(alt)


def lifetimes(
    rows: Mapping[str, tuple[datetime, datetime]], at: datetime, verdict: str, title: str
) -> Picture:
    """Draw from when to when each certificate is valid, a line at the day `at`, and a verdict."""
    drawn = []
    for name, (start, end) in rows.items():
        colour = "good" if start <= at <= end else _ENDED
        drawn.append(_Row(name, [(start, end, 1)], f"{start:%Y-%m-%d} to {end:%Y-%m-%d}", colour))
    days = [at, *(day for span in rows.values() for day in span)]
    told = ", ".join(f"{row.label} {row.words}" for row in drawn)
    canvas = _drawn(title, drawn, (min(days), max(days)), at, verdict)
    return canvas.picture(f"{title}, on {at:%Y-%m-%d}: {told}. {verdict}")


def bands(
    days: Sequence[datetime], counts: Mapping[str, Sequence[int]], title: str, told: str
) -> Picture:
    """Draw how many do what on each day, one band for each name → its number on every day.

    A band is as high as its row on its highest day, whose number stands at the right.
    """
    ends = [*days[1:], days[-1] + timedelta(days=1)]
    drawn = []
    for (name, numbers), colour in zip(counts.items(), _PALETTE, strict=False):
        spans, high = [], max(numbers)
        for number, same in groupby(zip(days, ends, numbers, strict=True), lambda day: day[2]):
            run = list(same)
            if number:
                spans.append((run[0][0], run[-1][1], number / high))
        drawn.append(_Row(name, spans, str(high), colour if high else "quiet", colour == "bad"))
    return _drawn(title, drawn, (days[0], ends[-1])).picture(told)


def _drawn(
    title: str, rows: Sequence[_Row], axis: _Axis, at: datetime | None = None, below: str = ""
) -> Canvas:
    (start, end), tall = axis, _BAR if at else _BAND
    bottom = _TOP + tall * len(rows)
    canvas = Canvas(title, bottom + (46 if below else 22))
    canvas.text(20, 26, title, bold=True)

    def x(day: datetime) -> float:
        return _FROM + (min(max(day, start), end) - start) / (end - start) * (_TO - _FROM)

    for tick, words in _ticks(start, end):
        canvas.line(x(tick), _TOP - 8, x(tick), bottom + 6)
        canvas.text(x(tick), _TOP - 14, words, colour="quiet", size=10, anchor="middle")
    for number, (name, spans, words, colour, bold) in enumerate(rows, 1):
        foot, label = _TOP + tall * number - 9, fit(name, _FROM - 24, bold=bold)
        shade = "ink" if spans else colour
        canvas.text(_FROM - 10, foot - 3, label, colour=shade, anchor="end", bold=bold)
        for begin, until, share in spans:
            left, tip, high = x(begin), x(until), max(2, (tall - 13) * share)
            width, rounded = max(3, tip - left), 3 if at else 0
            canvas.box(left, foot - high, width, high, fill=colour, radius=rounded)
            if until > end:
                canvas.shape(f"{tip + 9},{foot - 6.5} {tip},{foot - 13} {tip},{foot}", colour)
        canvas.text(_TO + 19, foot - 3, words, colour=colour, size=11)
    if at:
        canvas.line(x(at), _TOP - 8, x(at), bottom + 6, colour="ink", width=1.5)
        canvas.text(x(at), bottom + 17, f"seen on {at:%Y-%m-%d}", size=10, anchor="middle")
    if below:
        canvas.text(_FROM, bottom + 36, fit(below, 700, bold=True), bold=True)
    return canvas


def _ticks(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Days, or the first days of months: few enough to be read; cut years begin in January."""
    length = (end - start).days
    if length < _FEW_DAYS:
        step, written = max(1, -(-length // 7)), "%Y-%m-%d"
        days = [start + timedelta(days=step * number) for number in range(9)]
    else:
        step = next((n for n in (1, 2, 3, 4, 6, 12, 24, 60) if n >= length / 240), 120)
        first, written = (start.year * 12 + start.month - 1) // step * step, "%Y-%m"
        midnight = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        months = range(first, first + 12 * step, step)
        days = [midnight.replace(year=m // 12, month=m % 12 + 1) for m in months]
    return [(day, f"{day:{written}}") for day in days if start <= day <= end]
