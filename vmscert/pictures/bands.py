"""The picture of time: what lasts from when to when, and how many do what on each day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from vmscert.checks.expiry import Due
from vmscert.pictures.canvas import BAD, DUBIOUS, GOOD, INK, QUIET, WIDTH, Canvas, Picture, fit

STATUS_COLOURS = {
    "ok": GOOD,
    "plan": "#0072b2",
    "warning": DUBIOUS,
    "critical": BAD,
    "expired": "#7a1c1c",
    "replaced": QUIET,
}
_PALETTE = ("#a8327d", "#0072b2", "#a8327d", "#0072b2", "#4b5563", BAD)  # of bands, from the top
_MOST_BARS = 40  # in the timeline; the rest ends later and is counted
_TOP, _BAR, _BAND = 66, 26, 46  # pixels: above the first row; of a row with a bar, with a band
_FROM, _TO = 170, 715  # pixels: names stand at the left of it, words at the right
_FEW_DAYS = 100  # an axis of no more has days on it, any other months


@dataclass(frozen=True)
class _Row:
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
    shown, rest = ordered[:_MOST_BARS], ordered[_MOST_BARS:]
    drawn = [
        _Row(
            row.label,
            [(row.not_before, row.not_after, 1)],
            f"{row.not_after:%Y-%m-%d}  {row.status}",
            STATUS_COLOURS[row.status],
            row.label == "CA",
        )
        for row in shown
    ]
    more = [f"and {len(rest)} more"] if rest else []
    drawn += [_Row(label, [], f"from {rest[0].not_after:%Y-%m-%d} on", QUIET) for label in more]
    # To a little past the last server's end, so that the CA does not flatten it.
    start = min([at, *(row.not_before for row in rows)])
    servers = [row.not_after for row in rows if row.label != "CA"]
    last = max([at, *(servers or [row.not_after for row in rows])])
    end = last + max((last - start) / 12, timedelta(days=1))
    told = [f"{row.label} ends {row.not_after:%Y-%m-%d}: {row.status}" for row in shown]
    alt = "; ".join(told + more) or "No certificate."
    return _drawn("What ends when", drawn, start, end, at).picture(alt)


def lifetimes(
    rows: Mapping[str, tuple[datetime, datetime]], at: datetime, verdict: str, title: str
) -> Picture:
    """Draw from when to when each certificate is valid, a line at the day `at`, and a verdict."""
    drawn = [
        _Row(
            name,
            [(start, end, 1)],
            f"{start:%Y-%m-%d} to {end:%Y-%m-%d}",
            STATUS_COLOURS["ok" if start <= at <= end else "expired"],
        )
        for name, (start, end) in rows.items()
    ]
    days = [at, *(day for span in rows.values() for day in span)]
    told = ", ".join(f"{row.label} {row.words}" for row in drawn)
    canvas = _drawn(title, drawn, min(days), max(days), at, verdict)
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
        drawn.append(_Row(name, spans, str(high), colour if high else QUIET, colour == BAD))
    return _drawn(title, drawn, days[0], ends[-1], tall=_BAND).picture(told)


def _drawn(
    title: str,
    rows: Sequence[_Row],
    start: datetime,
    end: datetime,
    at: datetime | None = None,
    below: str = "",
    tall: int = _BAR,
) -> Canvas:
    bottom = _TOP + tall * len(rows)
    canvas = Canvas(WIDTH, bottom + (46 if below else 22), title)
    canvas.text(20, 26, title, bold=True)

    def x(day: datetime) -> float:
        return _FROM + (min(max(day, start), end) - start) / (end - start) * (_TO - _FROM)

    for tick, words in _ticks(start, end):
        canvas.line(x(tick), _TOP - 8, x(tick), bottom + 6)
        canvas.text(x(tick), _TOP - 14, words, colour=QUIET, size=10, anchor="middle")
    for number, row in enumerate(rows):
        foot, colour = _TOP + tall * (number + 1) - 9, INK if row.spans else row.colour
        label = fit(row.label, _FROM - 24, bold=row.bold)
        canvas.text(_FROM - 10, foot - 3, label, colour=colour, anchor="end", bold=row.bold)
        for begin, until, share in row.spans:
            left, tip, high = x(begin), x(until), max(2, (tall - 13) * share)
            width, rounded = max(3, tip - left), 3 if tall == _BAR else 0
            canvas.box(left, foot - high, width, high, fill=row.colour, radius=rounded)
            if until > end:
                canvas.shape(f"{tip + 9},{foot - 6.5} {tip},{foot - 13} {tip},{foot}", row.colour)
        canvas.text(_TO + 19, foot - 3, row.words, colour=row.colour, size=11)
    if at:
        canvas.line(x(at), _TOP - 8, x(at), bottom + 6, colour=INK, width=1.5)
        canvas.text(x(at), bottom + 17, f"seen on {at:%Y-%m-%d}", size=10, anchor="middle")
    if below:
        canvas.text(_FROM, bottom + 36, fit(below, 700, bold=True), bold=True)
    return canvas


def _ticks(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Days, or the first days of months: few enough to be read; cut years begin in January."""
    length = (end - start).days
    if length < _FEW_DAYS:
        step = max(1, -(-length // 7))
        days = [start + timedelta(days=step * number) for number in range(9)]
    else:
        wanted = length / 30 / 8
        step = next((n for n in (1, 2, 3, 4, 6, 12, 24, 60) if n >= wanted), 120)
        first = (start.year * 12 + start.month - 1) // step * step
        months = [first + n * step for n in range(12)]
        midnight = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        days = [midnight.replace(year=m // 12, month=m % 12 + 1) for m in months]
    written = "%Y-%m-%d" if length < _FEW_DAYS else "%Y-%m"
    return [(day, f"{day:{written}}") for day in days if start <= day <= end]
