"""The status board: who has to go where next, what is carried there now, and what came back.

A slider or a list to choose from shows what the choice looks like: the time machine is one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

from vmscert.agenda.gather import outlook_of
from vmscert.changes.errands import STATES, board, mark_carried
from vmscert.changes.job import Job
from vmscert.changes.next import next_steps
from vmscert.changes.next import told as told_next
from vmscert.checks.acceptance import dark_findings, dark_links
from vmscert.checks.blackout import dark, dark_rows
from vmscert.notebook.tables import Form, Shown, stack, table
from vmscert.pictures.canvas import count
from vmscert.pictures.site_map import site_map
from vmscert.runbooks.returns import take_dropped, take_each

_FILES = ".json,.req,.csr,.cer,.crt,.pem,.p7b,.zip"
_SET_OUT = "Who sets out now? Choose the computers, several with Ctrl."
_BACK = (
    "What came back, several files at once: <code>&lt;computer&gt;.json</code>, a server's "
    "<code>.req</code>, what another CA answered. Or drop them into <code>{drop}</code> in the "
    "file browser, and run this cell again."
)
_SAID = '<div style="line-height: 1.4; padding: 2px 0">{}</div>'
# Each state's sign and the colour behind it: on black and white paper, sign and word remain.
_SIGNS = ("·", "☐", "→", "←", "?", "○", "✓")
_BEHIND = ("#e5e7eb", "#fde3b8", "#cfe3fb", "#f6f0a6", "#e7dcf5", "#f5d9d2", "#c9ecd5")
_STYLE = (
    "color: #111; border: 1px solid #888; border-radius: 3px; padding: 0 5px; "
    "print-color-adjust: exact; -webkit-print-color-adjust: exact"
)
_MARKS = {
    state: f'<span style="background: {colour}; {_STYLE}">{sign} {state}</span>'
    for state, sign, colour in zip(STATES, _SIGNS, _BEHIND, strict=True)
}


def board_form(job: Job) -> Form:
    """Return the board of a site: where every computer stands.

    Above it, a list to note folders as carried, while some wait, and a place for files that came
    back: one that is odd stops no other. What lies in `drop` of the records is taken in first.
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="400px")
    waiting = widgets.SelectMultiple(layout=wide)
    note = "Note their folders as carried"
    button = widgets.Button(description=note, icon="arrow-right", layout=wide)
    leaving = widgets.VBox([widgets.HTML(_SAID.format(_SET_OUT), layout=wide), waiting, button])
    back, what = _BACK.format(drop=escape(f"{job.folder}/drop")), "Choose what came back"
    files = widgets.FileUpload(description=what, multiple=True, accept=_FILES, layout=wide)
    returning = widgets.VBox([widgets.HTML(_SAID.format(back), layout=wide), files])
    told = take_dropped(job)  # what the last files brought

    def shown() -> Shown:
        state = job.state()
        found = board(job, state)
        waiting.options = [one.computer for one in found if one.state == "to do"]
        waiting.rows = min(max(len(waiting.options), 2), 8)
        leaving.layout.display = None if waiting.options else "none"
        counts = Counter(one.state for one in found)
        listed = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        stand = [f"{count(found, 'computer')}: {listed}."] if found else []
        ahead = [f"Next: {one.what}." for one in told_next(next_steps(job, state))]
        return stack(*told, *ahead, *stand, table(found, empty="No computer.", marks=_MARKS))

    def carry() -> None:
        mark_carried(job, waiting.value)
        told[:] = [f"{name}: carried" for name in waiting.value]

    def take() -> None:
        came = ((one["name"], bytes(one["content"])) for one in files.value)
        told[:] = [sentence for sentence, _ in take_each(job, came)]

    form = widgets.HBox([leaving, returning], layout=widgets.Layout(grid_gap="24px"))
    return Form(form, shown, {button: carry, files: take})


_MOST_DAYS = 60  # to choose from; a slider with more can't be set by hand


def explore(draw: Callable[..., Any], **choices: Sequence[Any]) -> Form:
    """Return a control for each `name=choices` and show `draw(name=chosen)` below, as it changes.

    Words are chosen from a list, numbers and times with a slider; the first choice comes first,
    and exported pages show that.
    """
    import ipywidgets as widgets
    from IPython.core.interactiveshell import InteractiveShell

    controls = {
        name: (widgets.Dropdown if isinstance(among[0], str) else widgets.SelectionSlider)(
            options=[(f"{v:%Y-%m-%d}" if hasattr(v, "strftime") else str(v), v) for v in among],
            description=name.replace("_", " "),
            style={"description_width": "130px"},
            layout=widgets.Layout(width="600px"),
        )
        for name, among in choices.items()
    }

    def drawn() -> Shown:  # in every form that it has
        shell: Any = InteractiveShell.instance()
        chosen = {name: one.value for name, one in controls.items()}
        return Shown(shell.display_formatter.format(draw(**chosen))[0])

    return Form(widgets.VBox(list(controls.values())), drawn)


def time_machine(job: Job) -> Form:
    """Return a slider over today and each day on which links go dark, set to the first of them.

    Below it stands the site as it will be on that day if nobody acts.
    """
    outlook = outlook_of(job.state())
    site, stores, ends = outlook.site, outlook.stores, outlook.blackouts
    dark_days = {f"{one.since:%Y-%m-%d}": one.since + timedelta(seconds=1) for one in ends}
    days = [job.at, *(day for day in dark_days.values() if day > job.at)][:_MOST_DAYS]

    def on(day: datetime) -> Shown:
        links = dark_links(site, stores, day)
        return stack(
            f"{site.name} on {day:%Y-%m-%d}, if nobody acts:",
            site_map(site, findings=dark_findings(links)),
            table(dark_rows(dark(ends, day), links), empty="Nothing is dark."),
        )

    shown = explore(on, day=days)
    shown.form.children[0].value = days[:2][-1]
    return shown
