"""The sheet that pictures are drawn on: SVG text, and words for those who can't see it.

Foreign text is escaped by ElementTree and cut to the room that it has.
"""

import base64
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from xml.etree import ElementTree

from vmscert.findings import SEVERITIES
from vmscert.names import printable

COLOURS = {"ink": "#1f2933", "quiet": "#66727f", "line": "#d8dee4", "paper": "#ffffff"}
COLOURS |= {"bad": "#c62828", "unjudged": "#6a4c93", "dubious": "#a06000"}
COLOURS |= {"good": "#2e7d5b", "blue": "#0072b2"}
_FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
_TYPEWRITER = "ui-monospace, Consolas, 'DejaVu Sans Mono', monospace"
WIDTH = 900  # pixels, of a notebook's column in JupyterLab
_NARROW, _WIDE = frozenset("fijlrtI.,:;'|!()[]- "), frozenset("mwMW@%…")


@dataclass(frozen=True)
class Picture:
    """An SVG that notebooks show, with words for those who can't see it."""

    svg: str
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        # An <img> is the one form that JupyterLab shows in a notebook it does not trust yet.
        data = base64.b64encode(self.svg.encode()).decode("ascii")
        source = f"data:image/svg+xml;base64,{data}"
        image = f'<img alt="{escape(self.alt)}" style="max-width: 100%" src="{source}">'
        return {"text/html": image, "text/plain": self.alt}


class Canvas:
    """An SVG that grows, from the top left corner; a colour is a name of `COLOURS`, or #rrggbb."""

    def __init__(self, title: str, height: float, width: float = WIDTH):
        size = {"width": f"{width:g}", "height": f"{height:g}"}
        looks = {"font-family": _FONT, "font-size": "12", "role": "img"}
        box = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}"}
        self.root = ElementTree.Element("svg", box | size | looks)
        ElementTree.SubElement(self.root, "title").text = printable(title)
        self.box(0, 0, width, height, fill="paper", radius=10)

    def box(self, x, y, width, height, *, fill, radius=5.0, stroke="none") -> None:
        self._add("rect", x=x, y=y, width=width, height=height, rx=radius, fill=fill, stroke=stroke)

    def line(self, x1, y1, x2, y2, *, colour="line", width=1.0) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)

    def shape(self, points: str, colour: str) -> None:
        self._add("polygon", points=points, fill=colour)

    def text(self, x, y, words, *, colour="ink", size=12.0, anchor="start", bold=False) -> None:
        looks = {"font_weight": "600"} if bold else {}
        looks["text_anchor"] = anchor
        self._add("text", words, x=x, y=y, fill=colour, font_size=size, **looks)

    def typed(self, x, y, words, width, *, size=12.0) -> None:
        """Write letters of one width, which fill `width` whatever fonts the reader has."""
        looks = {"font_family": _TYPEWRITER, "textLength": width}
        self._add("text", words, x=x, y=y, fill="ink", font_size=size, **looks)

    def _add(self, tag: str, words: str = "", **attributes: str | float) -> None:
        written: dict[str, str] = {
            name.replace("_", "-"): f"{v:g}" if isinstance(v, int | float) else COLOURS.get(v, v)
            for name, v in attributes.items()
        }
        ElementTree.SubElement(self.root, tag, written).text = printable(words)

    def picture(self, alt: str) -> Picture:
        return Picture(ElementTree.tostring(self.root, encoding="unicode"), printable(alt))


def fit(text: str, width: float, size: float = 12, bold: bool = False) -> str:
    """Cut in the middle what is too wide: names differ at their ends."""
    text, keep, fitting = printable(text), len(text), text
    while keep > 2 and pixels(fitting, size, bold) > width:
        keep -= 1
        fitting = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return fitting


def pixels(text: str, size: float, bold: bool = False) -> float:
    """About how wide a text is drawn, rather too much than too little."""
    return sum(map(_em, text)) * size * (1.12 if bold else 1)


def _em(letter: str) -> float:
    if letter in _NARROW:
        return 0.41
    if letter in _WIDE or unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.78 if letter.isupper() else 0.64


def worst(severities: Iterable[str]) -> str:
    """Return the first of SEVERITIES that is there, or nothing where nothing is wrong."""
    known = set(severities)
    return next((one for one in SEVERITIES if one in known), "")


def count(things: Sequence[object], word: str) -> str:
    """Return how many there are, with the word for one or for several."""
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
