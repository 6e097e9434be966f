"""The form of the gallery: choose a stand, look, ask for a hint, answer; the score stands below."""

from typing import Any

from vmscert.findings import RULES
from vmscert.notebook.forms import show_look
from vmscert.notebook.tables import Form, Shown, show_errors_as_sentences, stack
from vmscert.practice.gallery import Gallery
from vmscert.practice.servers import SEEN

_LABEL = {"description_width": "60px"}


def exam_form(gallery: Gallery) -> Form:
    """Return the form of an open gallery or exam; several choices are held with Ctrl.

    In exported HTML, where no button works, the first stand and its command are told.
    """
    import ipywidgets as widgets

    show_errors_as_sentences()
    stands = [(f"Stand {number}", number) for number in gallery.numbers]
    stand: Any = widgets.Dropdown(options=stands, description="Where", style=_LABEL)
    meanings = [(f"{code}: {RULES[code].meaning}", code) for code in sorted(SEEN)]
    looks = {"rows": 9, "style": _LABEL, "layout": widgets.Layout(width="98%")}
    codes = widgets.SelectMultiple(options=meanings, description="What", **looks)
    last: dict[str, Any] = {}  # what was last "said"; what was "seen" stays below it

    def told() -> Shown:
        words = [f"{gallery.where(stand.value)}. In a terminal:", gallery.command(stand.value)]
        if "said" in last:
            words = [f"Stand {stand.value}: {last['said']}"]
        return stack(*words, gallery.score(), *([last["seen"]] if "seen" in last else []))

    def turn() -> None:
        codes.value = ()
        last.clear()

    doing = {
        "Look": lambda: last.update(seen=gallery.look(stand.value)),
        "Hint": lambda: last.update(said=gallery.hint(stand.value)),
        "Solution": lambda: last.update(seen=show_look(gallery.solution(stand.value))),
        "Check": lambda: last.update(said=gallery.answer(stand.value, *codes.value)),
    }
    buttons = {widgets.Button(description=word): act for word, act in doing.items()}
    *beside, check = buttons
    check.button_style = "primary"
    form = widgets.VBox([widgets.HBox([stand, *beside]), codes, check])
    return Form(form, told, {stand: turn, **buttons})
