"""Pictures for lessons: the bytes of a certificate, padded messages, numbers, costs."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

from vmscert.lessons.der import WRAPPING, Field
from vmscert.pictures.canvas import INK, LINE, PAPER, QUIET, WIDTH, Canvas, Picture, fit

# Pale, so that letters on them are read easily; each is told from its neighbours.
_PALE = ("#cfe3f5", "#fde2c4", "#d3ecd4", "#f3d0dd", "#e3dcf3", "#f7efb5", "#cdeceb", "#e4dccf")
_FAINT, _STRONG = "#f1f3f5", "#ffd34d"
_IN_A_ROW, _BYTE, _ROW = 24, 22, 17  # bytes in a row; pixels of a byte, and from row to row
_LEFT, _TOP = 52, 34
_LEGEND = _LEFT + _IN_A_ROW * _BYTE + 22


def bytes_picture(der: bytes, fields: Sequence[Field], chosen: str = "") -> Picture:
    """Draw every byte of a certificate, coloured by field, with the fields' names at the side.

    `chosen` is the name of a field to stand out; all are coloured when empty.
    """
    rows = -(-len(der) // _IN_A_ROW)
    height = _TOP + max(rows * _ROW, len(fields) * _ROW) + 18
    canvas = Canvas(WIDTH, height, "The bytes of a certificate")
    canvas.text(_LEFT, 20, f"{len(der)} bytes, from top left to bottom right", colour=QUIET)
    pale = cycle(_PALE)
    colours = [PAPER if field.name == WRAPPING else next(pale) for field in fields]
    if chosen:
        colours = [_STRONG if field.name == chosen else _FAINT for field in fields]
    coloured = list(zip(fields, colours, strict=True))
    for field, colour in coloured:
        for row in range(field.start // _IN_A_ROW, (field.end - 1) // _IN_A_ROW + 1):
            begin = max(field.start, row * _IN_A_ROW) - row * _IN_A_ROW
            end = min(field.end, (row + 1) * _IN_A_ROW) - row * _IN_A_ROW
            x, y = _LEFT + begin * _BYTE, _TOP + row * _ROW
            canvas.box(x, y, (end - begin) * _BYTE, _ROW - 1, fill=colour, radius=2)
    for row in range(rows):
        y, data = _TOP + row * _ROW + 12.5, der[row * _IN_A_ROW : (row + 1) * _IN_A_ROW]
        canvas.text(_LEFT - 8, y, str(row * _IN_A_ROW), colour=QUIET, size=10, anchor="end")
        canvas.typed(_LEFT + 4, y, data.hex(" "), len(data) * _BYTE - 8, size=10.5)
    named = [(field, colour) for field, colour in coloured if field.name != WRAPPING]
    for number, (field, colour) in enumerate(named):
        y, bold = _TOP + number * 1.5 * _ROW, field.name == chosen
        canvas.box(_LEGEND, y, 12, 12, fill=colour, radius=2, stroke=LINE)
        canvas.text(_LEGEND + 18, y + 10.5, field.name, size=12, bold=bold)
        canvas.text(WIDTH - 24, y + 10.5, str(field.size), colour=QUIET, size=11, anchor="end")
    told = [f"{field.name} {field.size}" for field, _ in named]
    chosen = f", {chosen} stands out" if chosen else ""
    return canvas.picture(f"{len(der)} bytes of a certificate{chosen}: {', '.join(told)}.")


def blocks_picture(parts: Mapping[str, bytes], title: str) -> Picture:
    """Draw byte strings one below the other: name, length, and how each begins and ends."""
    height = 46 + 30 * len(parts)
    canvas = Canvas(WIDTH, height, title)
    canvas.text(20, 24, title, bold=True)
    longest = max(map(len, parts.values())) or 1
    for number, ((name, data), colour) in enumerate(zip(parts.items(), cycle(_PALE), strict=False)):
        y = 40 + 30 * number
        canvas.text(150, y + 15, name, anchor="end", bold=True)
        canvas.text(212, y + 15, f"{len(data)} bytes", anchor="end", colour=QUIET, size=11)
        width = max(4, 600 * len(data) / longest)
        canvas.box(226, y, width, 22, fill=colour, radius=3, stroke=LINE)
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
    far, high = max(x for x, _ in dots) or 1, max(y for _, y in dots) or 1
    canvas = Canvas(WIDTH, 330, title)
    canvas.text(60, 24, title, bold=True)
    canvas.line(60, 290, 860, 290, colour=QUIET)
    canvas.line(60, 290, 60, 44, colour=QUIET)
    for x, y in dots:
        canvas.box(60 + 790 * x / far, 287 - 236 * y / high, 5, 5, fill="#0072b2", radius=2.5)
    canvas.text(860, 312, f"{across}, 0 to {far}", anchor="end", colour=QUIET)
    canvas.text(60, 312, up + f" upwards, 0 to {high}", colour=QUIET)
    return canvas.picture(f"{title}: {len(dots)} dots, {across} across, {up} upwards.")


def bars(
    rows: Mapping[str, float], title: str, unit: str, chosen: str = "", digits: int = 1
) -> Picture:
    """Draw one bar for each name → amount; the chosen one stands out."""
    canvas = Canvas(WIDTH, 52 + 28 * len(rows), title)
    canvas.text(20, 26, title, bold=True)
    longest = max(rows.values()) or 1
    for number, (name, amount) in enumerate(rows.items()):
        y, bold = 42 + 28 * number, name == chosen
        canvas.text(150, y + 14, fit(name, 130, bold=bold), anchor="end", bold=bold)
        colour = "#0072b2" if bold or not chosen else "#b9cfe0"
        width = max(2, 560 * amount / longest)
        canvas.box(160, y, width, 19, fill=colour, radius=3)
        words = f"{amount:,.{digits}f} {unit}"
        canvas.text(168 + width, y + 14, words, colour=INK if bold else QUIET, bold=bold)
    told = ", ".join(f"{name} {amount:,.{digits}f} {unit}" for name, amount in rows.items())
    return canvas.picture(f"{title}: {told}.")
