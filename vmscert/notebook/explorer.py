"""A slider or a list to choose from, and below it what the choice looks like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vmscert.notebook.tables import Form


@dataclass(frozen=True)
class Explorer(Form):
    """Controls, and what `draw` makes of their values; exported pages show the first choice."""

    draw: Callable[..., Any]
    form: Any

    @property
    def values(self) -> dict[str, Any]:
        """What is chosen now, control → value."""
        return {one.description.replace(" ", "_"): one.value for one in self.form.children}

    def shown(self) -> dict[str, Any]:
        """What `draw` makes of the choice, in every form that it has."""
        from IPython.core.interactiveshell import InteractiveShell

        shell: Any = InteractiveShell.instance()
        return shell.display_formatter.format(self.draw(**self.values))[0]


def explore(draw: Callable[..., Any], **choices: Sequence[Any]) -> Explorer:
    """Return a control for each `name=choices` and show `draw(name=chosen)` below, as it changes.

    Words are chosen from a list, numbers and times with a slider; the first choice comes first.
    """
    import ipywidgets as widgets

    controls = [
        (widgets.Dropdown if isinstance(among[0], str) else widgets.SelectionSlider)(
            options=[(_label(one), one) for one in among],
            value=among[0],
            description=name.replace("_", " "),
            style={"description_width": "130px"},
            layout=widgets.Layout(width="600px"),
        )
        for name, among in choices.items()
    ]
    return Explorer(draw, widgets.VBox(controls))


def _label(value: Any) -> str:
    return f"{value:%Y-%m-%d}" if hasattr(value, "strftime") else str(value)
