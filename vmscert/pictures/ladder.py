"""The picture of a recorded connection: client at the left, server at the right, time downwards."""

import textwrap
from itertools import groupby

from vmscert.lessons.messages import Message
from vmscert.lessons.recording import Recording
from vmscert.pictures.canvas import (
    BAD,
    GOOD,
    INK,
    LINE,
    PAPER,
    QUIET,
    WIDTH,
    Canvas,
    Picture,
    count,
    fit,
    pixels,
)

_SECRET, _OPEN = GOOD, "#0072b2"  # encrypted, in clear
_VEIL, _LIT, _FAINT = "#eaf4ef", "#fff3cd", "#b4bcc4"  # encrypted, chosen, not come yet
_CLIENT, _SERVER, _FACTS, _RIGHT = 104, 424, 454, WIDTH - 10  # pixels from the left
_HEAD, _SAYS, _ROW, _FOOT = 104, 56, 46, 34  # heights: the head, a sentence below the title, …
_END = textwrap.TextWrapper(50, max_lines=3, placeholder=" …")
_SENTENCE = textwrap.TextWrapper(104, max_lines=2, placeholder=" …")


def ladder(recording: Recording, upto: int | None = None) -> Picture:
    """Draw every message as an arrow, with a padlock where it is encrypted, and what it tells.

    `upto` draws the first so many as they are and the rest faint, with a sentence about the last
    of them: for a slider from 0 to `len(recording.messages)`.
    """
    messages, result = recording.messages, recording.result
    told = len(messages) if upto is None else min(max(upto, 0), len(messages))
    top = _HEAD + (0 if upto is None else _SAYS)
    foot = top + _ROW * len(messages)
    how = "RSA key transport" if recording.key_exchange == "RSA" else "ECDHE"
    title = f"TLS {recording.version} with {how}"
    refused = f"The client refuses: {result.error.rstrip('.')}"
    end = "The client trusts the server" if result.ok else refused
    canvas = Canvas(WIDTH, foot + _FOOT, "A TLS connection, message by message")
    canvas.text(20, 32, title, size=16, bold=True)
    if upto is not None and told:  # what the chosen message is for, and its facts marked
        one, y = messages[told - 1], top + _ROW * (told - 1)
        for line, words in enumerate(_SENTENCE.wrap(f"{told}. {one.name}: {one.says}")):
            canvas.text(20, 60 + 19 * line, words, size=14)
        canvas.box(_FACTS - 10, y + 3, _RIGHT - _FACTS + 10, _ROW - 4, fill=_LIT)
    _draw_sides(canvas, [one.protected for one in messages[:told]], top, foot)
    lines = _END.wrap(end)
    for line, words in enumerate(lines):
        y, colour = top - 32 + 16 * line - 8 * (len(lines) - 1), _SECRET if result.ok else BAD
        canvas.text(_SERVER + 64, y, fit(words, _RIGHT - _SERVER - 64), colour=colour)
    for number, one in enumerate(messages):
        _draw_message(canvas, one, number, number < told, top + _ROW * number + 28)
    canvas.box(20, foot + 11, 10, 10, fill=_OPEN, radius=2)
    canvas.text(36, foot + 20, "in clear: whoever listens on the network reads it", colour=QUIET)
    _draw_padlock(canvas, _FACTS, foot + 20, _SECRET)
    words = "encrypted: a listener sees its length only"
    canvas.text(_FACTS + 18, foot + 20, words, colour=QUIET)
    of = "" if upto is None else f"{told} of "
    steps = [
        f"{one.sender} {one.name}{' (encrypted)' if one.protected else ''}"
        for one in messages[:told]
    ]
    counted = f"{of}{count(messages, 'message')}"
    return canvas.picture(f"{title}. {end}. {counted}: {', '.join(steps) or 'none'}.")


def _draw_sides(canvas: Canvas, protected: list[bool], top: float, foot: float) -> None:
    """Draw the two sides, and a tint behind the messages that are encrypted."""
    for secret, run in groupby(range(len(protected)), key=protected.__getitem__):
        numbers = list(run)
        if secret:
            y, height = top + _ROW * numbers[0], _ROW * len(numbers)
            canvas.box(_CLIENT, y, _SERVER - _CLIENT, height, fill=_VEIL, radius=0)
    for x, name in ((_CLIENT, "client"), (_SERVER, "server")):
        canvas.line(x, top - 22, x, foot, colour=QUIET, width=2)
        canvas.box(x - 46, top - 52, 92, 30, fill=PAPER, stroke=QUIET)
        canvas.text(x, top - 32, name, size=13, anchor="middle", bold=True)


def _draw_message(canvas: Canvas, one: Message, number: int, bold: bool, y: float) -> None:
    shade = BAD if one.name == "Alert" else _SECRET if one.protected else _OPEN
    colour, arrow = (shade, shade) if bold else (_FAINT, LINE)
    canvas.text(20, y + 4, str(number + 1), colour=QUIET if bold else _FAINT, size=11)
    to_server = one.sender == "client"
    start, tip, back = (_CLIENT, _SERVER, -9) if to_server else (_SERVER, _CLIENT, 9)
    start, tip = start - back / 4.5, tip + back / 4.5  # not on the lines of the two sides
    canvas.line(start, y, tip + back, y, colour=arrow, width=2)
    canvas.shape(f"{tip:g},{y:g} {tip + back:g},{y - 5:g} {tip + back:g},{y + 5:g}", arrow)
    middle, half = (_CLIENT + _SERVER) / 2, pixels(one.name, 13, bold=True) / 2
    canvas.text(middle, y - 8, one.name, colour=colour, size=13, anchor="middle", bold=True)
    if one.protected:
        _draw_padlock(canvas, middle - half - 14, y - 8, colour)
    # Two lines at the most: the first fact, and as many more as fit below it.
    first, *more = [f"{field} {text}" for field, text in one.facts.items()] or [""]
    room, below = _RIGHT - _FACTS, ""
    for fact in more:
        longer = f"{below}; {fact}" if below else fit(fact, room)
        below = longer if pixels(longer, 12) <= room else below
    lines = [fit(first, room), *([below] if below else [])]
    for line, words in enumerate(lines):
        shade = (QUIET if line else INK) if bold else _FAINT
        canvas.text(_FACTS, y + 1 + 17 * line - 8 * (len(lines) - 1), words, colour=shade)


def _draw_padlock(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.box(x + 2, y - 11, 7, 10, fill="none", radius=3.5, stroke=colour)
    canvas.box(x, y - 6, 11, 8, fill=colour, radius=1.5)
