"""The form of the gallery: choose a stand, look, ask for a hint, answer; the score stands below."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vmscert.findings import RULES
from vmscert.notebook.forms import show_look
from vmscert.notebook.tables import Form, show_errors_as_sentences, stack
from vmscert.practice.gallery import Gallery
from vmscert.practice.servers import SEEN

_LABEL = {"description_width": "60px"}
_ROWS = 9  # choices that are seen at once


@dataclass
class ExamForm(Form):
    """A stand, what to do with it, and what may be wrong there; the answer comes below.

    In exported HTML, where no button works, the first stand and its command are told.
    """

    gallery: Gallery
    form: Any
    stand: Any
    codes: Any
    buttons: tuple[Any, ...]
    said: str = ""  # what was last answered; what was seen stays below it
    seen: Any = None

    def shown(self) -> dict[str, str]:
        """What was said last, else where the stand is and how OpenSSL looks at it; the score."""
        number = self.stand.value
        where, command = self.gallery.where(number), self.gallery.command(number)
        told = (
            [f"Stand {number}: {self.said}"] if self.said else [f"{where}. In a terminal:", command]
        )
        return stack(*told, self.gallery.score(), *([self.seen] if self.seen else []))

    def acts(self) -> Mapping[Any, Callable[[], Any]]:
        """Look, hint, solution and check, as the buttons stand; and another stand."""
        return {
            self.stand: self.turn,
            **dict(zip(self.buttons, (self.look, self.hint, self.solve, self.check), strict=True)),
        }

    def turn(self) -> None:
        """Go to another stand with nothing chosen."""
        self.codes.value, self.said, self.seen = (), "", None

    def look(self) -> None:
        """Show what the client sees at the chosen stand."""
        self.seen = self.gallery.look(self.stand.value)

    def hint(self) -> None:
        """Say the next hint."""
        self.said = self.gallery.hint(self.stand.value)

    def solve(self) -> None:
        """Show what is wrong there."""
        self.seen = show_look(self.gallery.solution(self.stand.value))

    def check(self) -> None:
        """Say the verdict on what is chosen."""
        self.said = self.gallery.answer(self.stand.value, *self.codes.value)


def exam_form(gallery: Gallery) -> ExamForm:
    """Return the form of an open gallery or exam; several choices are held with Ctrl."""
    import ipywidgets as widgets

    show_errors_as_sentences()
    stands = [(f"Stand {number}", number) for number in gallery.numbers]
    stand = widgets.Dropdown(options=stands, description="Where", style=_LABEL)
    codes = widgets.SelectMultiple(
        options=[(f"{code}: {RULES[code].meaning}", code) for code in sorted(SEEN)],
        rows=_ROWS,
        description="What",
        style=_LABEL,
        layout=widgets.Layout(width="98%"),
    )
    words = ("Look", "Hint", "Solution", "Check")
    buttons = tuple(widgets.Button(description=word) for word in words)
    buttons[-1].button_style = "primary"
    above = widgets.HBox([stand, *buttons[:-1]])
    return ExamForm(gallery, widgets.VBox([above, codes, buttons[-1]]), stand, codes, buttons)
