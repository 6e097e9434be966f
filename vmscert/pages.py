"""Pages that people read beside their work: a template of data/pages, as Markdown and as HTML.

The wording stands in the templates, and what is put into them stays text: a name out of a table
can't become markup. The HTML opens offline and prints as it looks.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256

from vmscert.facts import DATA, doubt
from vmscert.names import shown

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context

Pictures = Mapping[str, str] | None  # file name → SVG
# What Markdown reads as its own: anywhere, and at the start of a line.
_SPECIAL = re.compile(r"([`*_\[\]<>|&~]|\\(?=[!-/:-@\[-`{-~]|$)|:(?=//)|^[#+=-])")
_HASH = re.compile(r"\b([0-9A-Fa-f]{8})[0-9A-Fa-f]{24,}\b")
_NUMBERED = re.compile(r"^(\d+)([.)])")


class Markup(str):
    """Text that is Markdown or HTML already: a template leaves it as it is."""

    def __html__(self) -> str:
        return self


def render(name: str, /, **values: Any) -> str:
    """Return data/pages/<name>.j2 with these values, each escaped for what the page is.

    A value that the template asks for and nobody gives is an error.
    """
    return _templates().get_template(f"{name}.j2").render(values)


def faces(name: str, markdown: str, title: str, pictures: Pictures = None) -> dict[str, bytes]:
    """Return <name>.html and <name>.md, the same text for a browser and for an editor."""
    html, text = page(markdown, title, pictures), markdown.encode(errors="replace")
    return {f"{name}.html": html, f"{name}.md": text}


def page(markdown: str, title: str, pictures: Pictures = None) -> bytes:
    """Return a whole HTML page, in UTF-8, that needs no script, no network and no other file.

    It shows a picture where the text has `![words](file name)`, the words of one that is not
    among `pictures`. HTML in the text stays text.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("image", _image)
    body = Markup(parser.render(markdown, {"pictures": pictures or {}}))
    return render("page.html", title=title, body=body).encode(errors="replace")


def plain(text: object) -> Markup:
    """Return Markdown that shows this text as it is, in one line, also in a table's cell."""
    line = _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
    return Markup(_NUMBERED.sub(r"\1\\\2", line))


def literal(text: object) -> Markup:
    """Return Markdown that shows this text as code, or as plain text where code can't hold it."""
    line = " ".join(str(text).split())
    return Markup(f"`{line}`") if line and not set(line) & set("`|") else plain(line)


def sheet(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> bytes:
    """Return a table as CSV that Excel opens: UTF-8 with a mark, one line for each row.

    What foreign texts hold becomes no formula there, and steers nothing. Without `columns` they are
    those of the first row.
    """
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns or tuple(rows[0] if rows else ()))
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8-sig", "replace")


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return str(value)
    told = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
    text = shown(told)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

    @pass_context
    def escaped(context: "Context", value: Any) -> str:
        """A value as text of the page, unless it is markup already."""
        how = {"md": plain, "html": escape, "txt": str}[str(context.name).split(".")[-2]]
        return value if hasattr(value, "__html__") else Markup(how(str(value)))

    found = Environment(
        loader=FileSystemLoader(DATA / "pages"),
        undefined=StrictUndefined,
        autoescape=True,  # what a macro returns is markup, and not escaped again
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "code": literal,
        # Long hashes by their beginning, so that a table fits a sheet; they are whole beside it.
        "short": lambda text: _HASH.sub(r"\1…", text),
        "day": lambda moment: f"{moment:%Y-%m-%d}",
        "minute": lambda moment: f"{moment:%Y-%m-%d %H:%M}",
        "clock": lambda told: told.replace("T", " ").removesuffix("Z"),  # of a line of the ledger
        "doubt": doubt,
        "sha256": lambda certificate: certificate.fingerprint(SHA256()).hex(" ", 2).upper(),
    }
    return found


def _image(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """A picture of ours as it is, of any other its words: the page asks nobody for it."""
    return env["pictures"].get(tokens[index].attrs["src"], escape(tokens[index].content))
