"""Forms for troubleshooting: paste an error, look at a server or a file, sift a survey.

The password of new PFX files is made here, shown once, written down by a person, kept nowhere.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from vmscert.certificates.keys import new_password
from vmscert.changes.job import NOBODY, Job, records_folder
from vmscert.checks.lacks import missing_certificates
from vmscert.files import write_once
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
from vmscert.site.site import PFX
from vmscert.symptoms import explain

_COLUMNS = ("host", "address", "port", "findings", "days_left", "issued_by")


def show_look(seen: Look) -> Shown:
    """Show one server or file: the path with its faults, the findings, and what to do."""
    drawn = [path_picture(seen.whole, seen.presented)] if seen.whole else []
    return stack(seen.about, *drawn, findings_table(seen.findings))


def error_box(text: str = "") -> Form:
    """Return a box to paste an error into; the answer follows what stands in it."""
    import ipywidgets as widgets

    layout = widgets.Layout(width="100%", height="120px")
    box = widgets.Textarea(value=text, placeholder="Paste the error", layout=layout)
    return Form(box, lambda: explain(box.value))


@dataclass(frozen=True)
class LookForm(Form):
    """Server, name, roots, or a file; `look()` is what was seen when Look was pressed last."""

    look: Callable[[], Look] = field(kw_only=True)

    def then(self, tell: Callable[[Look], Any]) -> Form:
        """Return what is told of the look, anew whenever somebody presses Look."""
        return Form(None, lambda: tell(self.look()), dict.fromkeys(self.acts or (), lambda: None))

    def keep(self, at: datetime) -> Form:
        """Return a button that writes the whole answer to a file, among a site's own records."""
        import ipywidgets as widgets

        button, kept = widgets.Button(description="Keep"), []

        def write() -> None:
            seen = self.look()
            name = re.sub(r"[^\w.-]+", "_", seen.handshake.name or "file")
            data = json.dumps(seen.as_dict(), indent=1, default=str).encode()
            digest = hashlib.sha256(data).hexdigest()[:8]  # another answer is another file
            path = records_folder(Path("looks")) / f"{name}-{at:%Y%m%d-%H%M%S}-{digest}.json"
            write_once(path, data)
            kept[:] = [path]

        def told() -> str:
            return f"Written to {kept[0]}" if kept else "Nothing is kept yet: press Keep."

        return Form(button, told, {button: write})


def look_form(
    at: datetime, *, server: str = "", name: str = "", roots: str = "", file: str = ""
) -> LookForm:
    """Return a form to look at a server or at a file; empty, it looks at a practice server.

    Below it stands what was seen when somebody last pressed Look.
    """
    import ipywidgets as widgets

    show_errors_as_sentences()
    wide = {"description_width": "110px"}
    asked = {"Server": (server, "HOST:PORT"), "Name": (name, "as clients say")}
    asked |= {"Trusted CA": (roots, "ca.cer"), "or a file": (file, "instead of a server")}
    texts = [
        widgets.Text(value, placeholder=hint, description=what, style=wide)
        for what, (value, hint) in asked.items()
    ]
    dropped = widgets.FileUpload(description="Choose a file", multiple=False)
    button = widgets.Button(description="Look", button_style="primary")

    seen: list[Look] = []

    def taken() -> Look:
        where, called, trusted, path = (one.value for one in texts)
        given = bytes(dropped.value[0]["content"]) if dropped.value else path
        return look(at, server=where, name=called, roots=trusted, file=given)

    def last() -> Look:
        if not seen:
            seen.append(taken())
        return seen[0]

    box, acts = widgets.VBox([*texts, dropped, button]), {button: seen.clear}
    return LookForm(box, lambda: show_look(last()), acts, look=last)


def sieve(survey: Survey) -> Form:
    """Return the table of a survey that can be filtered and sorted."""
    import ipywidgets as widgets

    codes = sorted({finding["finding"] for finding in survey.remedies()})
    finding = widgets.Dropdown(options=["all", "verified", *codes], description="Show")
    words = widgets.Text(placeholder="any text of a row", description="that has")
    order: Any = widgets.Dropdown(options=_COLUMNS, value="findings", description="sorted by")

    def told() -> Shown:
        rows = [
            row
            for row in survey.rows()
            if finding.value in ("all", row["verdict"], *row["findings"].split(", "))
            and words.value.casefold() in " ".join(map(str, row.values())).casefold()
        ]
        rows.sort(key=lambda row: (row[order.value] is None, row[order.value]))
        many = f"{len(rows)} of {len(survey.seen)} endpoints"
        return stack(many, table(rows, _COLUMNS, "No endpoint like that."))

    return Form(widgets.HBox([finding, words, order]), told)


@dataclass(frozen=True)
class Password:
    """A password that no text of this object says; `about` is what is said instead.

    One that nobody has seen yet is `fresh`: a form shows it once, which no notebook file keeps.
    """

    text: str = field(repr=False)
    about: str
    fresh: bool = False

    def __str__(self) -> str:
        return self.about

    @cached_property
    def form(self) -> Form:
        """The password in large letters, and a button that takes it off the screen for good."""
        if not self.fresh:
            return Form(None, lambda: self.about, {})
        import ipywidgets as widgets

        style, wide = "font: 22px monospace; padding: 8px 0", widgets.Layout(width="200px")
        letters = widgets.HTML(f'<div style="{style}">{escape(self.text)}</div>')
        button = widgets.Button(description="I have written it down", layout=wide)

        def forget() -> None:
            letters.value = ""
            button.close()

        return Form(widgets.VBox([letters, button]), lambda: self.about, {button: forget})

    def _ipython_display_(self) -> None:
        self.form._ipython_display_()


def pfx_password(job: Job, hosts: Iterable[str] | None = None) -> Password:
    """Return the password of the PFX files that this run is about to make.

    For the servers named, or those without a certificate: a new one, where somebody looks at the
    screen. A run with nobody to look takes VMSCERT_PFX_PASSWORD; RuntimeError if that is not set.
    A rehearsal has one that everybody may know.
    """
    wanted = missing_certificates(job.state()) if hosts is None else hosts
    if not any(job.site[name].enrolment == PFX for name in wanted):
        return Password("", "No PFX file is made in this run, so there is no new password.")
    if job.rehearsal or os.environ.get("VMSCERT_PFX_PASSWORD"):
        about = "a rehearsal, which everybody may know" if job.rehearsal else "this run"
        return Password(job.secret("PFX"), f"The PFX files have the password of {about}.")
    if not _somebody_looks():
        raise RuntimeError(NOBODY.format(what="PFX", label="the PFX files"))
    about = (
        "The password of the PFX files. It is shown here only, and kept nowhere: write it down "
        "now, five words with one blank between them. Whoever imports a file is asked for it."
    )
    return Password(new_password(), about, fresh=True)


def _somebody_looks() -> bool:
    """Whether this kernel's cells are run by a program that can ask a person."""
    from IPython.core.getipython import get_ipython

    # What the front end said of itself with the cell that runs now; ipykernel has no public name.
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))
