"""A slider or a list to choose from, and below it what the choice looks like; the time machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vmscert.agenda.gather import outlook_of
from vmscert.changes.job import Job
from vmscert.checks.acceptance import dark_findings, dark_links
from vmscert.checks.blackout import Outlook, dark, dark_rows
from vmscert.notebook.tables import Form, Shown, stack, table
from vmscert.pictures.site_map import site_map

_MOST_DAYS = 60  # to choose from; a slider with more can't be set by hand


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


def dark_day(outlook: Outlook, day: datetime) -> Shown:
    """Show a site as it will be on one day if nobody acts, as picture, table and plain text."""
    site, ended = outlook.site, dark(outlook.blackouts, day)
    links = dark_links(site, outlook.stores, day)
    return stack(
        f"{site.name} on {day:%Y-%m-%d}, if nobody acts:",
        site_map(site, findings=dark_findings(links)),
        table(dark_rows(ended, links), empty="Nothing is dark."),
    )


def time_machine(job: Job) -> Explorer:
    """Return a slider over today and each day on which links go dark, set to the first of them."""
    outlook = outlook_of(job.state())
    ends = {f"{one.since:%Y-%m-%d}": one.since + timedelta(seconds=1) for one in outlook.blackouts}
    days = [job.at, *(day for day in ends.values() if day > job.at)][:_MOST_DAYS]
    shown = explore(lambda day: dark_day(outlook, day), day=days)
    shown.form.children[0].value = days[1 if len(days) > 1 else 0]
    return shown
