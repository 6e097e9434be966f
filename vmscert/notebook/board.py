"""The status board: who has to go where next, what is carried there now, and what came back.

A slider or a list to choose from shows what the choice looks like: the time machine is one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Any

from vmscert.agenda.gather import outlook_of
from vmscert.changes.errands import STATES, board, mark_carried
from vmscert.changes.job import Job
from vmscert.checks.acceptance import dark_findings, dark_links
from vmscert.checks.blackout import Outlook, dark, dark_rows
from vmscert.notebook.tables import Form, Shown, stack, table
from vmscert.pictures.site_map import site_map
from vmscert.runbooks.returns import take_dropped, take_each

_FILES = ".json,.req,.csr,.cer,.crt,.pem,.p7b"
_SET_OUT = "Who sets out now? Choose the computers, several with Ctrl."
_BACK = (
    "What came back, several files at once: <code>&lt;computer&gt;.json</code>, a server's "
    "<code>.req</code>, what another CA answered. Or drop them into <code>{drop}</code> in the "
    "file browser, and run this cell again."
)
_SAID = '<div style="line-height: 1.4; padding: 2px 0">{}</div>'
# Each state's sign and the colour behind it: on black and white paper, sign and word remain.
_LOOKS = {
    "no folder yet": ("·", "#e5e7eb"),
    "to do": ("☐", "#fde3b8"),
    "carried": ("→", "#cfe3fb"),
    "reported back": ("←", "#f6f0a6"),
    "not judged": ("?", "#e7dcf5"),
    "verified": ("✓", "#c9ecd5"),
}
_STYLE = (
    "background: {colour}; color: #111; border: 1px solid #888; border-radius: 3px; "
    "padding: 0 5px; print-color-adjust: exact; -webkit-print-color-adjust: exact"
)
_MARKS = {
    state: f'<span style="{_STYLE.format(colour=colour)}">{sign} {state}</span>'
    for state, (sign, colour) in _LOOKS.items()
}


@dataclass
class BoardForm(Form):
    """Where every computer stands; above it, who sets out, and the files that came back."""

    job: Job
    form: Any
    told: list[str] = field(default_factory=list)  # what the last files brought

    def shown(self) -> dict[str, str]:
        """What came back last, how many computers stand where, and the board.

        The list above it offers the folders that wait; where none does, there is none.
        """
        found, leaving = board(self.job), self.form.children[0]
        waiting = [one.computer for one in found if one.state == "to do"]
        leaving.children[1].options = waiting
        leaving.children[1].rows = min(max(len(waiting), 2), 8)
        leaving.layout.display = None if waiting else "none"
        counts = Counter(one.state for one in found)
        listed = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        many = "1 computer" if len(found) == 1 else f"{len(found)} computers"
        told = [*self.told, *([f"{many}: {listed}."] if found else [])]
        return stack(*told, table(found, empty="No computer.", marks=_MARKS))

    def acts(self) -> Mapping[Any, Callable[[], Any]]:
        """The button notes what is chosen as carried; files are taken in as they come."""
        leaving, returning = self.form.children
        (_, chosen, button), (_, files) = leaving.children, returning.children
        return {
            button: lambda: self.carry(chosen.value),
            files: lambda: self.drop((one["name"], bytes(one["content"])) for one in files.value),
        }

    def carry(self, hosts: Iterable[str]) -> None:
        """Note that somebody has taken the folders of these computers along."""
        chosen = list(hosts)
        mark_carried(self.job, chosen)
        self.told = [f"{name}: carried" for name in chosen]

    def drop(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Take back (name, bytes) of files that came together: one that is odd stops no other."""
        self.told = [sentence for sentence, _ in take_each(self.job, files)]


def board_form(job: Job) -> BoardForm:
    """Return the board of a site, with a list to note folders as carried, and a place for files.

    What lies in the folder `drop` of the records is taken in first.
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="400px")
    note = "Note their folders as carried"
    leaving = [
        widgets.HTML(_SAID.format(_SET_OUT), layout=wide),
        widgets.SelectMultiple(layout=wide),
        widgets.Button(description=note, icon="arrow-right", layout=wide),
    ]
    back, what = _BACK.format(drop=escape(f"{job.folder}/drop")), "Choose what came back"
    returning = [
        widgets.HTML(_SAID.format(back), layout=wide),
        widgets.FileUpload(description=what, multiple=True, accept=_FILES, layout=wide),
    ]
    columns = [widgets.VBox(one) for one in (leaving, returning)]
    form = widgets.HBox(columns, layout=widgets.Layout(grid_gap="24px"))
    return BoardForm(job, form, take_dropped(job))


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
