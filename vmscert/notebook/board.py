"""The status board: who has to go where next, what is carried there now, and what came back."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from vmscert.changes.errands import STATES, board, mark_carried
from vmscert.changes.job import Job
from vmscert.notebook.tables import Form, stack, table
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
