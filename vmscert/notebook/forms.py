"""Forms for troubleshooting: paste an error, look at a server or a file, sift a survey."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vmscert.certificates.symptoms import explain
from vmscert.network.looks import Look
from vmscert.network.survey import Survey
from vmscert.notebook.tables import (
    Form,
    Shown,
    findings_table,
    show_errors_as_sentences,
    stack,
    table,
)
from vmscert.pictures.path import path_picture
from vmscert.practice.servers import look

_WIDE = {"description_width": "110px"}
_ALL = "all"
_COLUMNS = ("host", "address", "port", "findings", "days_left", "issued_by")


def show_look(seen: Look) -> Shown:
    """Show one server or file: the path with its faults, the findings, and what to do."""
    drawn = [path_picture(seen.diagnosis, seen.presented)] if seen.diagnosis else []
    return stack(seen.about, *drawn, findings_table(seen.findings))


@dataclass(frozen=True)
class ErrorBox(Form):
    """A box to paste an error into, and what it means below."""

    form: Any

    def shown(self) -> dict[str, str]:
        """What the text in the box means."""
        return stack(explain(self.form.value))


def error_box(text: str = "") -> ErrorBox:
    """Return a box to paste an error into; the answer follows what stands in it."""
    import ipywidgets as widgets

    layout = widgets.Layout(width="100%", height="120px")
    return ErrorBox(widgets.Textarea(value=text, placeholder="Paste the error", layout=layout))


@dataclass(frozen=True)
class LookForm(Form):
    """Server, name, roots, or a file; and what was seen there when somebody last pressed Look."""

    form: Any
    look: Callable[[], Look]

    def shown(self) -> dict[str, str]:
        """The path with its faults, the findings, and what to do."""
        return show_look(self.look())

    def acts(self) -> Mapping[Any, Callable[[], Any]]:
        """A look is taken when the button is pressed."""
        return {self.form.children[-1]: lambda: None}


def look_form(
    at: datetime, *, server: str = "", name: str = "", roots: str = "", file: str = ""
) -> LookForm:
    """Return a form to look at a server or at a file; empty, it looks at a practice server."""
    import ipywidgets as widgets

    show_errors_as_sentences()
    texts = [
        widgets.Text(value, placeholder=hint, description=what, style=_WIDE)
        for what, value, hint in (
            ("Server", server, "HOST:PORT"),
            ("Name", name, "as clients say"),
            ("Trusted CA", roots, "ca.cer"),
            ("or a file", file, "instead of a server"),
        )
    ]
    dropped = widgets.FileUpload(description="Choose a file", multiple=False)
    button = widgets.Button(description="Look", button_style="primary")

    def now() -> Look:
        where, called, trusted, path = (one.value for one in texts)
        given = bytes(dropped.value[0]["content"]) if dropped.value else path
        return look(at, server=where, name=called, roots=trusted, file=given)

    return LookForm(widgets.VBox([*texts, dropped, button]), now)


@dataclass(frozen=True)
class Sieve(Form):
    """The table of a survey, with what to show of it and in which order."""

    survey: Survey
    form: Any

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows that are shown now."""
        finding, words, order = (one.value for one in self.form.children)
        rows = [
            row
            for row in self.survey.rows()
            if finding in (_ALL, row["verdict"], *row["findings"].split(", "))
            and words.casefold() in " ".join(map(str, row.values())).casefold()
        ]
        return sorted(rows, key=lambda row: (row[order] is None, row[order]))

    def shown(self) -> dict[str, str]:
        """The rows that are shown now, as a table."""
        words = f"{len(self.rows)} of {len(self.survey.seen)} endpoints"
        return stack(words, table(self.rows, _COLUMNS, "No endpoint like that."))


def sieve(survey: Survey) -> Sieve:
    """Return the table of a survey that can be filtered and sorted."""
    import ipywidgets as widgets

    codes = sorted({finding["finding"] for finding in survey.remedies()})
    controls = [
        widgets.Dropdown(options=[_ALL, "verified", *codes], description="Show"),
        widgets.Text(placeholder="any text of a row", description="that has"),
        widgets.Dropdown(options=_COLUMNS, value="findings", description="sorted by"),
    ]
    return Sieve(survey, widgets.HBox(controls))
