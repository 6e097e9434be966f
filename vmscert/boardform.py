"""The status board: who has to go where next, what is carried there now, and what came back."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from vmscert.job import Job
from vmscert.returns import take_dropped, take_each
from vmscert.show import table
from vmscert.standings import STATES, Standing, board, mark_carried

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


@dataclass
class BoardForm:
    """Where every computer stands; above it, who sets out, and the files that came back."""

    job: Job
    form: Any
    told: list[str] = field(default_factory=list)  # what the last files brought

    def shown(self) -> dict[str, str]:
        """What came back last, how many computers stand where, and the board."""
        found = board(self.job)
        rows, told = table(found, empty="No computer."), [*self.told, *_counted(found)]
        html = "".join(f"<p>{escape(one)}</p>" for one in told)
        return {
            "text/html": html + _coloured(rows._repr_html_()),
            "text/plain": "\n".join([*told, repr(rows)]),
        }

    def carry(self, hosts: Iterable[str]) -> None:
        """Note that somebody has taken the folders of these computers along."""
        chosen = list(hosts)
        mark_carried(self.job, chosen)
        self.told = [f"{name}: carried" for name in chosen]

    def drop(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Take back (name, bytes) of files that came together: one that is odd stops no other."""
        self.told = [sentence for sentence, _ in take_each(self.job, files)]

    def _ipython_display_(self) -> None:
        from IPython.display import DisplayHandle, display

        display(self.form._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        said = DisplayHandle()
        said.display(self.shown(), raw=True)
        leaving, returning = self.form.children
        (_, chosen, button), (_, files) = leaving.children, returning.children

        def after(do: Callable[[], None]) -> None:
            do()
            _offer(self.job, leaving)
            said.update(self.shown(), raw=True)

        button.on_click(lambda _button: after(lambda: self.carry(chosen.value)))
        files.observe(lambda _change: after(lambda: self.drop(_contents(files))), "value")


def board_form(job: Job) -> BoardForm:
    """Return the board of a site, with a list to note folders as carried, and a place for files.

    What lies in the folder `drop` of the records is taken in first.
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="400px")
    leaving = [
        widgets.HTML(_SAID.format(_SET_OUT), layout=wide),
        widgets.SelectMultiple(layout=wide),
        widgets.Button(
            description="Note their folders as carried", icon="arrow-right", layout=wide
        ),
    ]
    returning = [
        widgets.HTML(_SAID.format(_BACK.format(drop=escape(f"{job.folder}/drop"))), layout=wide),
        widgets.FileUpload(
            description="Choose what came back", multiple=True, accept=_FILES, layout=wide
        ),
    ]
    columns = [widgets.VBox(one) for one in (leaving, returning)]
    _offer(job, columns[0])
    form = widgets.HBox(columns, layout=widgets.Layout(grid_gap="24px"))
    return BoardForm(job, form, take_dropped(job))


def _offer(job: Job, leaving: Any) -> None:
    """List the computers whose folders wait; where none does, there is nothing to choose."""
    waiting = [one.computer for one in board(job) if one.state == "to do"]
    leaving.children[1].options = waiting
    leaving.children[1].rows = min(max(len(waiting), 2), 8)
    leaving.layout.display = None if waiting else "none"


def _counted(found: Iterable[Standing]) -> list[str]:
    """How many computers stand where, in one sentence."""
    counts = Counter(one.state for one in found)
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    many = "1 computer" if counts.total() == 1 else f"{counts.total()} computers"
    return [f"{many}: {told}."] if told else []


def _coloured(html: str) -> str:
    """The table with every cell that is a state and nothing else as a sign on its colour."""
    return re.sub(f">({'|'.join(STATES)})</td>", lambda cell: f">{_badge(cell[1])}</td>", html)


def _badge(state: str) -> str:
    sign, colour = _LOOKS[state]
    return f'<span style="{_STYLE.format(colour=colour)}">{sign} {state}</span>'


def _contents(files: Any) -> list[tuple[str, bytes]]:
    return [(one["name"], bytes(one["content"])) for one in files.value]
