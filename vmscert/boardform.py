"""The status board with its drop zone: who has to go where next, and what came back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from vmscert.job import Job
from vmscert.returns import take_back
from vmscert.show import table
from vmscert.standings import board, mark_carried

_FILES = ".json,.req,.csr,.cer,.crt,.pem,.p7b"


@dataclass
class BoardForm:
    """Where every computer stands; below a place for files that came back."""

    job: Job
    form: Any
    told: list[str] = field(default_factory=list)  # what the last drop brought

    def shown(self) -> dict[str, str]:
        """What came back last, and the board."""
        rows = table(board(self.job), empty="No computer.")
        html = "".join(f"<p>{escape(one)}</p>" for one in self.told)
        return {
            "text/html": html + rows._repr_html_(),
            "text/plain": "\n".join([*self.told, repr(rows)]),
        }

    def carry(self, hosts: Iterable[str]) -> None:
        """Note that somebody has taken the folders of these computers along."""
        chosen = list(hosts)
        mark_carried(self.job, chosen)
        self.told = [f"{name}: carried" for name in chosen]

    def drop(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Take back (name, bytes) of files that came together: one that is odd stops no other."""
        files = list(files)
        beside = [data for _, data in files]
        self.told = [self._taken(name, data, beside) for name, data in files]

    def _taken(self, name: str, data: bytes, beside: list[bytes]) -> str:
        try:
            return take_back(self.job, name, data, beside)
        except (ValueError, OSError) as error:
            return f"not kept: {error}"

    def _ipython_display_(self) -> None:
        from IPython.display import DisplayHandle, display

        display(self.form._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        said = DisplayHandle()
        said.display(self.shown(), raw=True)
        carried, button, dropped = self.form.children

        def after(do: Callable[[], None]) -> None:
            do()
            said.update(self.shown(), raw=True)

        button.on_click(lambda _button: after(lambda: self.carry(carried.value)))
        dropped.observe(lambda _change: after(lambda: self.drop(_contents(dropped))), "value")


def board_form(job: Job) -> BoardForm:
    """Return the board of a site, with a list to note folders as carried, and a drop zone."""
    import ipywidgets as widgets

    wide = widgets.Layout(width="340px")
    names = [one.computer for one in board(job) if one.state in ("to do", "carried")]
    carried = widgets.SelectMultiple(
        options=names, rows=min(max(len(names), 2), 8), description="Folders of", layout=wide
    )
    button = widgets.Button(description="are carried there now", layout=wide)
    dropped = widgets.FileUpload(
        description="Drop here what came back", multiple=True, accept=_FILES, layout=wide
    )
    return BoardForm(job, widgets.VBox([carried, button, dropped]))


def _contents(dropped: Any) -> list[tuple[str, bytes]]:
    return [(one["name"], bytes(one["content"])) for one in dropped.value]
