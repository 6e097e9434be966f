"""The password of new PFX files: made here, shown once, written down by a person, kept nowhere."""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

from vmscert.changes.job import NOBODY, Job
from vmscert.checks.lacks import missing_certificates
from vmscert.notebook.tables import Form, stack
from vmscert.site.site import PFX

# Letters that lie at the same place on English, French and German keyboards, and that nobody takes
# for another one when they are read aloud.
_CONSONANTS, _VOWELS = "bdfghjklnprstv", "eiou"
_WORDS, _SYLLABLES = 5, 3


@dataclass(frozen=True)
class Password(Form):
    """A password that no text of this object says; `about` is what is said instead.

    `fresh` is true if nobody has seen it yet: it is shown on a screen once, in a form whose
    content no notebook file keeps.
    """

    text: str = field(repr=False)
    about: str
    fresh: bool = False

    def __str__(self) -> str:
        return self.about

    @cached_property
    def form(self) -> Any:
        """The password in large letters, and a button that takes it off the screen for good."""
        if not self.fresh:
            return None
        import ipywidgets as widgets

        style = "font: 22px monospace; padding: 8px 0"
        wide = widgets.Layout(width="200px")
        return widgets.VBox(
            [
                widgets.HTML(f'<div style="{style}">{escape(self.text)}</div>'),
                widgets.Button(description="I have written it down", layout=wide),
            ]
        )

    def shown(self) -> dict[str, str]:
        """What is said instead of the password."""
        return stack(self.about)

    def acts(self) -> Mapping[Any, Callable[[], Any]]:
        """The button takes the password off the screen, and goes."""
        if self.form is None:
            return {}
        letters, button = self.form.children
        return {button: lambda: (setattr(letters, "value", ""), button.close())}


def new_password() -> str:
    """Return a password of 87 random bits in ASCII: five words of three syllables to read aloud."""
    words = (
        "".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(_SYLLABLES))
        for _ in range(_WORDS)
    )
    return " ".join(words)


def pfx_password(job: Job, hosts: Iterable[str] | None = None) -> Password:
    """Return the password of the PFX files that this run is about to make.

    For the servers named, or for those without a certificate. A new one, shown once where somebody
    looks at the screen. A run with nobody to look takes VMSCERT_PFX_PASSWORD; a rehearsal has one
    that everybody may know. RuntimeError if there is nobody and nothing was set: then nobody could
    ever open the files.
    """
    wanted = missing_certificates(job.state()) if hosts is None else hosts
    if not any(job.site[name].enrolment == PFX for name in wanted):
        return Password("", "No PFX file is made in this run, so there is no new password.")
    if job.rehearsal or os.environ.get("VMSCERT_PFX_PASSWORD"):
        about = "a rehearsal, which everybody may know" if job.rehearsal else "this run"
        return Password(job.secret("PFX"), f"The PFX files have the password of {about}.")
    if not _somebody_looks():
        raise RuntimeError(NOBODY.format(what="PFX", label="the PFX files"))
    return Password(
        new_password(),
        "The password of the PFX files. It is shown here only, and kept nowhere: write it down "
        "now, five words with one blank between them. Whoever imports a file is asked for it.",
        fresh=True,
    )


def _somebody_looks() -> bool:
    """Whether this kernel's cells are run by a program that can ask a person."""
    from IPython.core.getipython import get_ipython

    # What the front end said of itself with the cell that runs now; ipykernel has no public name.
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))
