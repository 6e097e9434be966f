"""Pictures of lessons: bytes of a certificate, padded messages, numbers, costs, handshakes."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, groupby

from vmscert.lessons.messages import WRAPPING, Field, Message
from vmscert.lessons.recording import Recording
from vmscert.pictures.canvas import WIDTH, Canvas, Picture, count, fit, pixels

# Pale, so that letters on them are read easily; each is told from its neighbours.
_PALE = ("#cfe3f5", "#fde2c4", "#d3ecd4", "#f3d0dd", "#e3dcf3", "#f7efb5", "#cdeceb", "#e4dccf")
_FAINT, _STRONG = "#f1f3f5", "#ffd34d"
_IN_A_ROW, _BYTE, _ROW = 24, 22, 17  # bytes in a row; pixels of a byte, and from row to row
_LEFT, _TOP = 52, 34
_LEGEND = _LEFT + _IN_A_ROW * _BYTE + 22


def bytes_picture(der: bytes, fields: Sequence[Field], chosen: str = "") -> Picture:
    """Draw every byte of a certificate, coloured by field; `chosen` is the name of the only one."""
    rows, pale = range(0, len(der), _IN_A_ROW), cycle(_PALE)
    canvas = Canvas("The bytes of a certificate", _TOP + max(len(rows), len(fields)) * _ROW + 18)
    canvas.text(_LEFT, 20, f"{len(der)} bytes, from top left to bottom right", colour="quiet")
    colours = ["paper" if field.name == WRAPPING else next(pale) for field in fields]
    if chosen:
        colours = [_STRONG if field.name == chosen else _FAINT for field in fields]
    coloured = list(zip(fields, colours, strict=True))
    for field, colour in coloured:
        for row in range(field.start // _IN_A_ROW, (field.end - 1) // _IN_A_ROW + 1):
            first = row * _IN_A_ROW
            begin, end = max(field.start - first, 0), min(field.end - first, _IN_A_ROW)
            x, width = _LEFT + begin * _BYTE, (end - begin) * _BYTE
            canvas.box(x, _TOP + row * _ROW, width, _ROW - 1, fill=colour, radius=2)
    for row, first in enumerate(rows):
        y, data = _TOP + row * _ROW + 12.5, der[first : first + _IN_A_ROW]
        canvas.text(_LEFT - 8, y, str(first), colour="quiet", size=10, anchor="end")
        canvas.typed(_LEFT + 4, y, data.hex(" "), len(data) * _BYTE - 8, size=10.5)
    named = [(field, colour) for field, colour in coloured if field.name != WRAPPING]
    for number, (field, colour) in enumerate(named):
        y, bold = _TOP + number * 1.5 * _ROW, field.name == chosen
        canvas.box(_LEGEND, y, 12, 12, fill=colour, radius=2, stroke="line")
        canvas.text(_LEGEND + 18, y + 10.5, field.name, bold=bold)
        canvas.text(WIDTH - 24, y + 10.5, str(field.size), colour="quiet", size=11, anchor="end")
    told = ", ".join(f"{field.name} {field.size}" for field, _ in named)
    chosen = f", {chosen} stands out" if chosen else ""
    return canvas.picture(f"{len(der)} bytes of a certificate{chosen}: {told}.")


def blocks_picture(parts: Mapping[str, bytes], title: str) -> Picture:
    """Draw byte strings one below the other: name, length, and how each begins and ends."""
    canvas = Canvas(title, 46 + 30 * len(parts))
    canvas.text(20, 24, title, bold=True)
    longest = max(map(len, parts.values())) or 1
    for number, ((name, data), colour) in enumerate(zip(parts.items(), cycle(_PALE), strict=False)):
        y, width = 40 + 30 * number, max(4, 600 * len(data) / longest)
        canvas.text(150, y + 15, name, anchor="end", bold=True)
        canvas.text(212, y + 15, f"{len(data)} bytes", anchor="end", colour="quiet", size=11)
        canvas.box(226, y, width, 22, fill=colour, radius=3, stroke="line")
        words, room = data.hex(), max(0, int((width - 12) / 7.4))
        if len(words) > room:  # how it begins and ends; nothing where that would not be readable
            half = (room - 1) // 2
            words = f"{words[:half]}…{words[-half:]}" if half >= 4 else ""
        if words:
            canvas.typed(232, y + 15, words, 7.2 * len(words), size=11.5)
    told = ", ".join(f"{name} {len(data)} bytes" for name, data in parts.items())
    return canvas.picture(f"{title}: {told}.")


def scatter(points: Iterable[tuple[int, int]], title: str, across: str, up: str) -> Picture:
    """Draw whole numbers as dots, `across` and `up` being what the two axes are called."""
    dots = list(points)
    far, high = (max(column) or 1 for column in zip(*dots, strict=True))
    canvas = Canvas(title, 330)
    canvas.text(60, 24, title, bold=True)
    canvas.line(60, 290, 860, 290, colour="quiet")
    canvas.line(60, 290, 60, 44, colour="quiet")
    for x, y in dots:
        canvas.box(60 + 790 * x / far, 287 - 236 * y / high, 5, 5, fill="blue", radius=2.5)
    canvas.text(860, 312, f"{across}, 0 to {far}", anchor="end", colour="quiet")
    canvas.text(60, 312, f"{up} upwards, 0 to {high}", colour="quiet")
    return canvas.picture(f"{title}: {len(dots)} dots, {across} across, {up} upwards.")


def bars(
    rows: Mapping[str, float], title: str, unit: str, chosen: str = "", digits: int = 1
) -> Picture:
    """Draw one bar for each name → amount; the chosen one stands out."""
    canvas = Canvas(title, 52 + 28 * len(rows))
    canvas.text(20, 26, title, bold=True)
    longest, told = max(rows.values()) or 1, []
    for number, (name, amount) in enumerate(rows.items()):
        y, bold, words = 42 + 28 * number, name == chosen, f"{amount:,.{digits}f} {unit}"
        canvas.text(150, y + 14, fit(name, 130, bold=bold), anchor="end", bold=bold)
        width = max(2, 560 * amount / longest)
        canvas.box(160, y, width, 19, fill="blue" if bold or not chosen else "#b9cfe0", radius=3)
        canvas.text(168 + width, y + 14, words, colour="ink" if bold else "quiet", bold=bold)
        told.append(f"{name} {words}")
    return canvas.picture(f"{title}: {', '.join(told)}.")


_VEIL, _LIT, _FADED = "#eaf4ef", "#fff3cd", "#b4bcc4"  # encrypted, chosen, not come yet
_CLIENT, _SERVER, _FACTS, _RIGHT = 104, 424, 454, WIDTH - 10  # pixels from the left
_HEAD, _SAYS, _DOWN = 104, 56, 46  # heights: the head, a sentence below the title, a message
_END = textwrap.TextWrapper(50, max_lines=3, placeholder=" …")
_SENTENCE = textwrap.TextWrapper(104, max_lines=2, placeholder=" …")


def ladder(recording: Recording, upto: int | None = None) -> Picture:
    """Draw every message as an arrow, with a padlock where it is encrypted, and what it tells.

    `upto` draws the first so many as they are and the rest faint, with a sentence about the last
    of them: for a slider from 0 to `len(recording.messages)`.
    """
    messages, result = recording.messages, recording.result
    told = messages if upto is None else messages[: max(upto, 0)]
    top = _HEAD + (0 if upto is None else _SAYS)
    foot = top + _DOWN * len(messages)
    how = "RSA key transport" if recording.key_exchange == "RSA" else "ECDHE"
    title = f"TLS {recording.version} with {how}"
    canvas = Canvas("A TLS connection, message by message", foot + 34)
    canvas.text(20, 32, title, size=16, bold=True)
    if upto is not None and told:  # what the chosen message is for, and its facts marked
        words = f"{len(told)}. {told[-1].name}: {told[-1].says}"
        for line, part in enumerate(_SENTENCE.wrap(words)):
            canvas.text(20, 60 + 19 * line, part, size=14)
        y = top + _DOWN * (len(told) - 1) + 3
        canvas.box(_FACTS - 10, y, _RIGHT - _FACTS + 10, _DOWN - 4, fill=_LIT)
    _draw_sides(canvas, told, top, foot)
    refused = f"The client refuses: {result.error.rstrip('.')}"
    end = "The client trusts the server" if result.ok else refused
    lines = _END.wrap(end)
    for line, words in enumerate(lines):
        y, room = top - 24 + 16 * line - 8 * len(lines), _RIGHT - _SERVER - 64
        canvas.text(_SERVER + 64, y, fit(words, room), colour="good" if result.ok else "bad")
    for number, one in enumerate(messages):
        _draw_message(canvas, one, number, number < len(told), top + _DOWN * number + 28)
    canvas.box(20, foot + 11, 10, 10, fill="blue", radius=2)
    canvas.text(36, foot + 20, "in clear: whoever listens on the network reads it", colour="quiet")
    _draw_padlock(canvas, _FACTS, foot + 20, "good")
    words = "encrypted: a listener sees its length only"
    canvas.text(_FACTS + 18, foot + 20, words, colour="quiet")
    steps = [f"{one.sender} {one.name}{' (encrypted)' * one.protected}" for one in told]
    counted = ("" if upto is None else f"{len(told)} of ") + count(messages, "message")
    return canvas.picture(f"{title}. {end}. {counted}: {', '.join(steps) or 'none'}.")


def _draw_sides(canvas: Canvas, told: Sequence[Message], top: float, foot: float) -> None:
    """Draw the two sides, and a tint behind the messages that are encrypted."""
    y = top
    for secret, run in groupby(one.protected for one in told):
        height = _DOWN * len(list(run))
        if secret:
            canvas.box(_CLIENT, y, _SERVER - _CLIENT, height, fill=_VEIL, radius=0)
        y += height
    for x, name in ((_CLIENT, "client"), (_SERVER, "server")):
        canvas.line(x, top - 22, x, foot, colour="quiet", width=2)
        canvas.box(x - 46, top - 52, 92, 30, fill="paper", stroke="quiet")
        canvas.text(x, top - 32, name, size=13, anchor="middle", bold=True)


def _draw_message(canvas: Canvas, one: Message, number: int, bold: bool, y: float) -> None:
    shade = "bad" if one.name == "Alert" else "good" if one.protected else "blue"
    colour, arrow = (shade, shade) if bold else (_FADED, "line")
    canvas.text(20, y + 4, str(number + 1), colour="quiet" if bold else _FADED, size=11)
    start, tip, back = (_CLIENT, _SERVER, -9) if one.sender == "client" else (_SERVER, _CLIENT, 9)
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
    for line, words in enumerate([fit(first, room), *([below] if below else [])]):
        shade = ("quiet" if line else "ink") if bold else _FADED
        canvas.text(_FACTS, y + (-7 if below else 1) + 17 * line, words, colour=shade)


def _draw_padlock(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.box(x + 2, y - 11, 7, 10, fill="none", radius=3.5, stroke=colour)
    canvas.box(x, y - 6, 11, 8, fill=colour, radius=1.5)
