"""The picture of a recorded connection: client at the left, server at the right, time downwards."""

import textwrap
from itertools import groupby

from vmscert.drawing import BAD, INK, LINE, PAPER, QUIET, WIDTH, Canvas, Picture, count, fit, pixels
from vmscert.messages import Message
from vmscert.wire import Recording

_SECRET, _OPEN = "#2e7d5b", "#0072b2"  # encrypted, in clear
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
    messages = recording.messages
    told = len(messages) if upto is None else min(max(upto, 0), len(messages))
    top = _HEAD + (0 if upto is None else _SAYS)
    foot = top + _ROW * len(messages)
    canvas = Canvas(WIDTH, foot + _FOOT, "A TLS connection, message by message")
    canvas.text(20, 32, _title(recording), size=16, bold=True)
    if upto is not None and told:
        _draw_sentence(canvas, told, messages[told - 1], top + _ROW * (told - 1))
    _draw_veils(canvas, [one.protected for one in messages[:told]], top)
    _draw_sides(canvas, recording, top, foot)
    for number, one in enumerate(messages):
        _draw_message(canvas, one, number, number < told, top + _ROW * number + 28)
    _draw_key(canvas, foot + 20)
    return canvas.picture(_words(recording, None if upto is None else told))


def _title(recording: Recording) -> str:
    how = "RSA key transport" if recording.key_exchange == "RSA" else "ECDHE"
    return f"TLS {recording.version} with {how}"


def _end(recording: Recording) -> str:
    if recording.result.ok:
        return "The client trusts the server"
    return f"The client refuses: {recording.result.error.rstrip('.')}"


def _draw_sentence(canvas: Canvas, number: int, one: Message, y: float) -> None:
    """Write what the chosen message is for below the title, and mark its facts at the side."""
    for line, words in enumerate(_SENTENCE.wrap(f"{number}. {one.name}: {one.says}")):
        canvas.text(20, 60 + 19 * line, words, size=14)
    canvas.box(_FACTS - 10, y + 3, _RIGHT - _FACTS + 10, _ROW - 4, fill=_LIT)


def _draw_veils(canvas: Canvas, protected: list[bool], top: float) -> None:
    """Lay a tint behind the messages that are encrypted."""
    for secret, run in groupby(range(len(protected)), key=protected.__getitem__):
        numbers = list(run)
        if secret:
            y, height = top + _ROW * numbers[0], _ROW * len(numbers)
            canvas.box(_CLIENT, y, _SERVER - _CLIENT, height, fill=_VEIL, radius=0)


def _draw_sides(canvas: Canvas, recording: Recording, top: float, foot: float) -> None:
    for x, name in ((_CLIENT, "client"), (_SERVER, "server")):
        canvas.line(x, top - 22, x, foot, colour=QUIET, width=2)
        canvas.box(x - 46, top - 52, 92, 30, fill=PAPER, stroke=QUIET)
        canvas.text(x, top - 32, name, size=13, anchor="middle", bold=True)
    colour = _SECRET if recording.result.ok else BAD
    lines = _END.wrap(_end(recording))
    for line, words in enumerate(lines):
        y = top - 32 + 16 * line - 8 * (len(lines) - 1)
        canvas.text(_SERVER + 64, y, fit(words, _RIGHT - _SERVER - 64), colour=colour)


def _draw_message(canvas: Canvas, one: Message, number: int, bold: bool, y: float) -> None:
    colour = _colour(one) if bold else _FAINT
    canvas.text(20, y + 4, str(number + 1), colour=QUIET if bold else _FAINT, size=11)
    _draw_arrow(canvas, one.sender == "client", y, colour if bold else LINE)
    _draw_name(canvas, one, y - 8, colour)
    lines = _lines(one)
    for line, words in enumerate(lines):
        shade = (QUIET if line else INK) if bold else _FAINT
        canvas.text(_FACTS, y + 1 + 17 * line - 8 * (len(lines) - 1), words, colour=shade)


def _draw_arrow(canvas: Canvas, to_server: bool, y: float, colour: str) -> None:
    start, tip, back = (_CLIENT, _SERVER, -9) if to_server else (_SERVER, _CLIENT, 9)
    beside = back / 4.5  # not on the lines of the two sides
    start, tip = start - beside, tip + beside
    canvas.line(start, y, tip + back, y, colour=colour, width=2)
    canvas.shape(f"{tip:g},{y:g} {tip + back:g},{y - 5:g} {tip + back:g},{y + 5:g}", colour)


def _draw_name(canvas: Canvas, one: Message, y: float, colour: str) -> None:
    middle, half = (_CLIENT + _SERVER) / 2, pixels(one.name, 13, bold=True) / 2
    canvas.text(middle, y, one.name, colour=colour, size=13, anchor="middle", bold=True)
    if one.protected:
        _draw_padlock(canvas, middle - half - 14, y, colour)


def _draw_padlock(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.box(x + 2, y - 11, 7, 10, fill="none", radius=3.5, stroke=colour)
    canvas.box(x, y - 6, 11, 8, fill=colour, radius=1.5)


def _lines(one: Message) -> list[str]:
    """Two lines at the most: the first fact, and as many more as fit below it."""
    room = _RIGHT - _FACTS
    first, *more = [f"{field} {text}" for field, text in one.facts.items()] or [""]
    below = ""
    for fact in more:
        longer = f"{below}; {fact}" if below else fit(fact, room)
        below = longer if pixels(longer, 12) <= room else below
    return [fit(first, room), below] if below else [fit(first, room)]


def _colour(one: Message) -> str:
    return BAD if one.name == "Alert" else _SECRET if one.protected else _OPEN


def _draw_key(canvas: Canvas, y: float) -> None:
    canvas.box(20, y - 9, 10, 10, fill=_OPEN, radius=2)
    canvas.text(36, y, "in clear: whoever listens on the network reads it", colour=QUIET)
    _draw_padlock(canvas, _FACTS, y, _SECRET)
    canvas.text(_FACTS + 18, y, "encrypted: a listener sees its length only", colour=QUIET)


def _words(recording: Recording, told: int | None) -> str:
    of = "" if told is None else f"{told} of "
    counted = count(recording.messages, "message")
    steps = [f"{one.sender} {one.name}{_encrypted(one)}" for one in recording.messages[:told]]
    return f"{_title(recording)}. {_end(recording)}. {of}{counted}: {', '.join(steps) or 'none'}."


def _encrypted(one: Message) -> str:
    return " (encrypted)" if one.protected else ""
