"""Pages that people read beside their work: one Markdown text, as it stands and as HTML.

The HTML opens offline and prints as it looks. A name out of a table can't become markup in it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt

# What Markdown reads as its own: anywhere, and at the start of a line.
_SPECIAL = re.compile(r"([`*_\[\]<>|&~]|\\(?=[!-/:-@\[-`{-~]|$)|:(?=//)|^[#+=-])")
_NUMBERED = re.compile(r"^(\d+)([.)])")
# The policy says it to the browser too: this page loads nothing and runs nothing.
_FRAME = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
{body}</body>
</html>
"""
_STYLE = """
body { font: 16px/1.5 "Segoe UI", system-ui, "DejaVu Sans", sans-serif; color: #111;
  background: #fff; max-width: 52rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid #bbb; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p, ul, ol, table, pre { margin: .6rem 0; }
li { margin: .35rem 0; } ol, ul { padding-left: 1.6rem; }
code, pre { font-family: Consolas, ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; }
code { overflow-wrap: anywhere; background: #f3f3f3; padding: 0 .2em; }
pre { white-space: pre-wrap; border: 1px solid #bbb; padding: .6rem .8rem; }
pre code { background: none; padding: 0; } td code { overflow-wrap: break-word; }
table { border-collapse: collapse; width: 100%; font-size: .94em; }
th, td { border: 1px solid #bbb; padding: .3rem .55rem; text-align: left; vertical-align: top; }
td:first-child code, th:first-child { white-space: nowrap; } th { background: #f3f3f3; }
svg { display: block; max-width: 100%; height: auto; }
blockquote { margin: .8rem 0; padding: .1rem 1rem; border-left: 4px solid #111; }
@page { size: A4; margin: 10mm; }
@media print {
  body { font-size: 9pt; line-height: 1.3; max-width: none; margin: 0; padding: 0; color: #000; }
  h1 { font-size: 15pt; } h2 { font-size: 12pt; margin: .6rem 0 .2rem; padding-top: .25rem; }
  p, ul, ol, table, pre { margin: .35rem 0; } th, td { padding: .1rem .4rem; }
  li { margin: .15rem 0; }
  h1, h2, h3 { break-after: avoid; page-break-after: avoid; }
  p:has(+ pre), p:has(+ table) { break-after: avoid; page-break-after: avoid; }
  li, tr, pre, svg, blockquote { break-inside: avoid; page-break-inside: avoid; }
  thead { display: table-header-group; } table { width: calc(100% - 2px); }
  code, th { background: none; } a { color: inherit; text-decoration: none; }
}
""".strip()


class Markdown(str):
    """Text that is Markdown already."""


def faces(
    name: str, markdown: str, title: str, pictures: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Return <name>.html and <name>.md, the same text for a browser and for an editor."""
    return {
        f"{name}.html": page(markdown, title, pictures),
        f"{name}.md": markdown.encode(errors="replace"),
    }


def page(
    markdown: str, title: str, pictures: Mapping[str, str] | None = None, lang: str = "en"
) -> bytes:
    """Return a whole HTML page, in UTF-8, that needs no script, no network and no other file.

    `pictures` is file name → SVG, which the page shows where the text has `![words](file name)`;
    of any other picture it shows the words. HTML in the text stays text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("image", _image)
    body = parser.render(markdown, {"pictures": pictures or {}})
    filled = _FRAME.format(lang=escape(lang), title=escape(title), style=_STYLE, body=body)
    return filled.encode(errors="replace")


def plain(text: str) -> Markdown:
    """Return Markdown that shows this text as it is, in one line, also in a table's cell."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return Markdown(_NUMBERED.sub(r"\1\\\2", line))


def literal(text: str) -> Markdown:
    """Return Markdown that shows this text as code, or as plain text where code can't hold it."""
    line = " ".join(text.split())
    return Markdown(f"`{line}`") if line and not set(line) & set("`|") else plain(line)


def rows_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a Markdown table with the keys of the first row as headings; "" without rows.

    A cell is plain text, unless it is Markdown.
    """
    if not rows:
        return ""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    written = [f"| {' | '.join(map(_cell, line))} |" for line in lines]
    return "\n".join([written[0], "|" + " --- |" * len(rows[0]), *written[1:], ""])


def steps(texts: Iterable[str]) -> str:
    """Return a numbered Markdown list; a step of several lines stays one step."""
    return "".join(
        f"{number}. " + text.replace("\n", "\n" + " " * len(f"{number}. ")) + "\n"
        for number, text in enumerate(texts, 1)
    )


def _cell(text: str) -> str:
    return text if isinstance(text, Markdown) else plain(text)


def _image(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """A picture of ours as it is, of any other its words: the page asks nobody for it."""
    words = escape(tokens[index].content)
    picture = env["pictures"].get(tokens[index].attrs["src"])
    return picture if picture is not None else words
