"""The form of the gallery: choose a stand, look, ask for a hint, answer; the score stands below."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmscert.chainfaults import SEEN
from vmscert.exam import Gallery
from vmscert.rules import RULES
from vmscert.show import show_errors_as_sentences
from vmscert.sights import Words

_LABEL = {"description_width": "60px"}
_ROWS = 9  # choices that are seen at once
_NOTHING = {"text/html": "", "text/plain": ""}


@dataclass(frozen=True)
class ExamForm:
    """A stand, what to do with it, and what may be wrong there; the answer comes below.

    In exported HTML, where no button works, the first stand and its command are told.
    """

    gallery: Gallery
    form: Any
    stand: Any
    codes: Any
    buttons: tuple[Any, ...]

    def shown(self) -> dict[str, str]:
        """Where the chosen stand is, and how OpenSSL looks at it."""
        number = self.stand.value
        where, command = self.gallery.where(number), self.gallery.command(number)
        lines = Words(f"{where}. In a terminal:"), command, self.gallery.score()
        html = "".join(line._repr_html_() for line in lines)
        return {"text/html": html, "text/plain": "\n".join(lines)}

    def looked(self) -> dict[str, str]:
        """What the client sees at the chosen stand."""
        return _shown(self.gallery.look(self.stand.value))

    def hinted(self) -> dict[str, str]:
        """The next hint."""
        return self._scored(self.gallery.hint(self.stand.value))

    def solved(self) -> dict[str, str]:
        """What is wrong there."""
        return _shown(self.gallery.solution(self.stand.value))

    def checked(self) -> dict[str, str]:
        """The verdict on what is chosen."""
        return self._scored(self.gallery.answer(self.stand.value, *self.codes.value))

    def _scored(self, words: str) -> dict[str, str]:
        lines = Words(f"Stand {self.stand.value}: {words}"), self.gallery.score()
        html = "".join(line._repr_html_() for line in lines)
        return {"text/html": html, "text/plain": "\n".join(lines)}

    def _ipython_display_(self) -> None:
        from IPython.display import DisplayHandle, display

        # Without the widget's own text, which an exported page would print.
        display(self.form._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        said, seen = DisplayHandle(), DisplayHandle()  # what was seen stays below what is said
        said.display(self.shown(), raw=True)
        seen.display(_NOTHING, raw=True)
        acts = (self.looked, seen), (self.hinted, said), (self.solved, seen), (self.checked, said)
        for button, (act, place) in zip(self.buttons, acts, strict=True):
            button.on_click(_acting(act, place))
        self.stand.observe(lambda _change: self._turn(said, seen), "value")

    def _turn(self, said: Any, seen: Any) -> None:
        """Go to another stand with nothing chosen."""
        self.codes.value = ()
        said.update(self.shown(), raw=True)
        seen.update(_NOTHING, raw=True)


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


def _shown(thing: Any) -> dict[str, str]:
    return {"text/html": thing._repr_html_(), "text/plain": repr(thing)}


def _acting(act: Callable[[], dict[str, str]], place: Any) -> Callable[[Any], None]:
    return lambda _event: place.update(_answer(act), raw=True)


def _answer(act: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What to show after a click: the answer, or the sentence why there is none."""
    try:
        return act()
    except (ValueError, OSError) as error:
        return _shown(Words(error))
