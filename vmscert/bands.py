"""The overlap of two CAs as a picture: day by day, who trusts and who serves what, what is dark."""

from collections.abc import Sequence
from itertools import groupby

from vmscert.drawing import BAD, LINE, QUIET, WIDTH, Canvas, Picture
from vmscert.overlap import Day

_OLD, _NEW, _VISITS = "#a8327d", "#0072b2", "#4b5563"
_FROM, _TO, _TOP, _BAND, _HIGH = 190, 880, 52, 52, 36  # pixels; a band, and what is drawn of it
_MOST_TICKS = 8
# What a band shows of a day, and its colour; each band is drawn to its own highest day.
_BANDS = (
    ("trust the old root", _OLD, lambda day: day.old),
    ("trust the new root", _NEW, lambda day: day.new),
    ("serve the old CA's", _OLD, lambda day: day.on_old),
    ("serve the new CA's", _NEW, lambda day: day.on_new),
    ("computers visited", _VISITS, lambda day: sum(bool(visit.host) for visit in day.visits)),
    ("dark links", BAD, lambda day: len(day.dark)),
)


def overlap_picture(days: Sequence[Day]) -> Picture:
    """Draw six bands over the days of an overlap, each with its highest number at the right."""
    if not days:
        raise ValueError("No day to draw: plan the overlap first")
    bottom = _TOP + _BAND * len(_BANDS)
    canvas = Canvas(WIDTH + 40, bottom + 16, "The overlap, day by day")
    _draw_days(canvas, days, bottom)
    for number, (words, colour, measure) in enumerate(_BANDS):
        values = [measure(day) for day in days]
        _draw_band(canvas, words, colour, values, _TOP + _BAND * (number + 1) - 8)
    return canvas.picture(_told(days))


def _draw_band(canvas: Canvas, words: str, colour: str, values: list[int], base: float) -> None:
    high, width = max(values), (_TO - _FROM) / len(values)
    canvas.text(_FROM - 12, base - 12, words, anchor="end", bold=colour == BAD)
    canvas.line(_FROM, base, _TO, base)
    canvas.text(_TO + 8, base - 12, str(high), colour=colour if high else QUIET, size=11)
    place = 0
    for value, same in groupby(values):
        length = len(list(same))
        if value:
            tall = max(2.0, _HIGH * value / high)
            canvas.box(
                _FROM + place * width, base - tall, length * width, tall, fill=colour, radius=0
            )
        place += length


def _draw_days(canvas: Canvas, days: Sequence[Day], bottom: float) -> None:
    width, step = (_TO - _FROM) / len(days), -(-len(days) // _MOST_TICKS)
    for number in range(0, len(days), step):
        x = _FROM + number * width
        canvas.line(x, _TOP - 12, x, bottom, colour=LINE)
        canvas.text(x, _TOP - 20, f"{days[number].at:%Y-%m-%d}", colour=QUIET, size=10)


def _told(days: Sequence[Day]) -> str:
    """The picture in words: when what begins, and the dark days."""
    began: dict[str, Day] = {}
    for day in days:
        for visit in day.visits:
            began.setdefault(visit.action, day)
    parts = [f"{action} from {day.at:%Y-%m-%d}" for action, day in began.items()]
    dark = [day for day in days if day.dark]
    parts.append(
        f"{len(dark)} of {len(days)} days with dark links, the first {dark[0].at:%Y-%m-%d}"
        if dark
        else f"no dark link on any of {len(days)} days"
    )
    return "; ".join(parts)
