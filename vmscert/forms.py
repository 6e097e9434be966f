"""Forms for troubleshooting: paste an error, look at a server or a file, sift a survey."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from vmscert.looks import Look
from vmscert.practice import look
from vmscert.show import (
    display_with_words,
    findings_table,
    show_errors_as_sentences,
    table,
)
from vmscert.surveys import Survey
from vmscert.symptoms import explain
from vmscert.troubles import path_picture

_WIDE = {"description_width": "110px"}
_ALL = "all"
_COLUMNS = ("host", "address", "port", "findings", "days_left", "issued_by")


@dataclass(frozen=True)
class ErrorBox:
    """A box to paste an error into, and what it means below."""

    form: Any

    def shown(self) -> dict[str, str]:
        """What the text in the box means."""
        answer = explain(self.form.value)
        return {"text/html": answer._repr_html_(), "text/plain": str(answer)}

    def _ipython_display_(self) -> None:
        display_with_words(self.form, [self.form], self.shown)


def error_box(text: str = "") -> ErrorBox:
    """Return a box to paste an error into; the answer follows what stands in it."""
    import ipywidgets as widgets

    layout = widgets.Layout(width="100%", height="120px")
    return ErrorBox(widgets.Textarea(value=text, placeholder="Paste the error", layout=layout))


@dataclass(frozen=True)
class LookForm:
    """Server, name, roots, or a file; and what was seen there when somebody last pressed Look."""

    form: Any
    look: Callable[[], Look]

    def shown(self) -> dict[str, str]:
        """The path with its faults, the findings, and what to do."""
        seen = self.look()
        return shown_look(seen, seen.about)

    def _ipython_display_(self) -> None:
        from IPython.display import DisplayHandle, display

        display(self.form._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        said = DisplayHandle()
        said.display(self.shown(), raw=True)
        button = self.form.children[-1]
        button.on_click(lambda _button: said.update(self._answer(), raw=True))

    def _answer(self) -> dict[str, str]:
        """What to show after a click: what was seen, or the sentence why nothing was."""
        try:
            return self.shown()
        except (ValueError, OSError) as error:
            return {"text/html": f"<p>{escape(str(error))}</p>", "text/plain": str(error)}


def look_form(
    at: datetime, *, server: str = "", name: str = "", roots: str = "", file: str = ""
) -> LookForm:
    """Return a form to look at a server or at a file; empty, it looks at a practice server."""
    import ipywidgets as widgets

    show_errors_as_sentences()
    texts = {
        "Server": widgets.Text(server, placeholder="HOST:PORT", description="Server", style=_WIDE),
        "Name": widgets.Text(name, placeholder="as clients say", description="Name", style=_WIDE),
        "Roots": widgets.Text(roots, placeholder="ca.cer", description="Trusted CA"),
        "File": widgets.Text(file, placeholder="instead of a server", description="or a file"),
    }
    for one in texts.values():
        one.style = _WIDE
    dropped = widgets.FileUpload(description="Choose a file", multiple=False)
    button = widgets.Button(description="Look", button_style="primary")

    def now() -> Look:
        given = bytes(dropped.value[0]["content"]) if dropped.value else texts["File"].value
        return look(
            at,
            server=texts["Server"].value,
            name=texts["Name"].value,
            roots=texts["Roots"].value,
            file=given,
        )

    return LookForm(widgets.VBox([*texts.values(), dropped, button]), now)


def shown_look(seen: Look, about: str) -> dict[str, str]:
    """Return what a look showed, as HTML and as words."""
    findings = findings_table(seen.findings)
    html, plain = f"<p>{escape(about)}</p>", about
    if seen.diagnosis:
        drawn = path_picture(seen.diagnosis, seen.presented)._repr_mimebundle_()
        html, plain = html + drawn["text/html"], f"{plain}\n{drawn['text/plain']}"
    return {"text/html": html + findings._repr_html_(), "text/plain": f"{plain}\n{findings!r}"}


@dataclass(frozen=True)
class Sieve:
    """The table of a survey, with what to show of it and in which order."""

    survey: Survey
    form: Any

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows that are shown now."""
        finding, words, order = (one.value for one in self.form.children)
        rows = [row for row in self.survey.rows() if _fits(row, finding, words)]
        return sorted(rows, key=lambda row: (row[order] is None, row[order]))

    def shown(self) -> dict[str, str]:
        """The rows that are shown now, as a table."""
        shown = table(self.rows, _COLUMNS, "No endpoint like that.")
        words = f"{len(self.rows)} of {len(self.survey.seen)} endpoints"
        return {
            "text/html": f"<p>{words}</p>{shown._repr_html_()}",
            "text/plain": f"{words}\n{shown!r}",
        }

    def _ipython_display_(self) -> None:
        display_with_words(self.form, self.form.children, self.shown)


def sieve(survey: Survey) -> Sieve:
    """Return the table of a survey that can be filtered and sorted."""
    import ipywidgets as widgets

    codes = sorted({finding["finding"] for finding in survey.remedies()})
    return Sieve(
        survey,
        widgets.HBox(
            [
                widgets.Dropdown(options=[_ALL, "verified", *codes], description="Show"),
                widgets.Text(placeholder="any text of a row", description="that has"),
                widgets.Dropdown(options=_COLUMNS, value="findings", description="sorted by"),
            ]
        ),
    )


def _fits(row: Mapping[str, Any], finding: str, words: str) -> bool:
    codes: Iterable[str] = (*row["findings"].split(", "), row["verdict"])
    text = " ".join(map(str, row.values())).casefold()
    return finding in (_ALL, *codes) and words.casefold() in text
