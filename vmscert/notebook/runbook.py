"""A runbook as the cells of its notebook call it: what a call tells is drawn below the cell."""

from collections.abc import Callable, Iterable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

from vmscert.changes.execute import ask_page, opened_notebook
from vmscert.changes.job import Stop
from vmscert.facts import NOTEBOOKS
from vmscert.notebook.acceptance import acceptance_form
from vmscert.notebook.board import board_form, time_machine
from vmscert.notebook.forms import Password, pfx_password
from vmscert.notebook.tables import Shown, findings_table, require, table
from vmscert.runbooks import stages
from vmscert.runbooks.stages import Checks, Findings, Parts, Rows, Runbook, runbook_of


class OpenRunbook:
    """A runbook at work: each of its methods shows what it did, or stops in one sentence.

    The methods are those of its class in `vmscert.runbooks`, and these here.
    """

    def __init__(self, runbook: Runbook) -> None:
        self._runbook, self._passwords = runbook, list[Password]()
        self._cell = 0  # the last one that said whose its outputs are
        self._line: Any = None  # below the cell that runs, where something takes long
        runbook.pfx_password, runbook.progress = self._shown_password, self._progress

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in dir(self):
            raise AttributeError(f"this runbook has no {name!r}: try {', '.join(dir(self))}")
        method = getattr(self._runbook, name)

        @wraps(method)
        def shown(*values: Any, **named: Any) -> None:
            self._line = None
            self._say_whose()
            for part in method(*values, **named):
                _show(part)

        return shown

    def __dir__(self) -> list[str]:
        """The methods that tell something to show, and those here."""
        methods = {name: getattr(type(self._runbook), name) for name in dir(type(self._runbook))}
        told = {name: getattr(one, "__annotations__", {}) for name, one in methods.items()}
        cells = (name for name, types in told.items() if types.get("return") == Parts)
        return sorted({*cells, "acceptance", "board", "time_machine"})

    def acceptance(self) -> None:
        """What people look at and tick, after the handshakes."""
        self._say_whose()
        _show(acceptance_form(self._runbook.job))

    def board(self) -> None:
        """Where each computer stands, who sets out, and a place for what came back."""
        self._say_whose()
        _show(board_form(self._runbook.job))

    def time_machine(self) -> None:
        """What goes dark on which day if nobody acts."""
        self._say_whose()
        _show(time_machine(self._runbook.job))

    def _say_whose(self) -> None:
        """Say above a cell's outputs of which site, run and plan they are."""
        from IPython.core.getipython import get_ipython

        cell = getattr(get_ipython(), "execution_count", 0)
        if self._cell == cell:
            return
        self._cell, job, plan = cell, self._runbook.job, self._runbook.begun_with
        told = (
            f"{job.site.name}{' (a rehearsal)' * job.rehearsal}, run of {job.at:%Y-%m-%d %H:%M} UTC"
        )
        told += f", plan {plan.hash}" if plan else ""
        _show(Shown({"text/html": f"<small>{escape(told)}</small>", "text/plain": told}))

    def _progress(self, done: int, of: int) -> None:
        """One line that is written anew; what stands in it at the end stays."""
        from IPython.display import display

        left = f", {of - done} left" if done < of else ""
        told = {"text/plain": f"{done} of {of} calls made{left}"}
        if self._line is None:
            self._line = display(told, raw=True, display_id=True)
        else:
            self._line.update(told, raw=True)

    def _shown_password(self, hosts: Iterable[str] | None = None) -> str:
        """The password of new PFX files, shown first; the same one as long as this run lasts."""
        found = pfx_password(self._runbook.job, hosts)
        if found.fresh:
            self._passwords = self._passwords or [found]
            found = self._passwords[0]
        _show(found)
        return found.text


def open_runbook(runbook: str, site: str | Path, folder: str | Path = "") -> OpenRunbook:
    """Open a runbook for a site's table and the folder of its records, for the cells of a notebook.

    The teaching site is always a rehearsal; what comes before this runbook is carried out on it.
    What the cells below show of another run goes. Stop for a real site in the kit's own notebook.
    """
    job, opened = stages.open_job(runbook, site, folder), opened_notebook()
    if opened and opened.resolve().parent == NOTEBOOKS.resolve() and not job.rehearsal:
        raise Stop(f"{opened.name} is the kit's own, and stays as it is: work in the site's copy, "
                   f"which vmscert lab --site {job.table} opens")  # fmt: skip
    ask_page("begin")
    return OpenRunbook(runbook_of(job))


def _show(part: object) -> None:
    from IPython.display import display

    if isinstance(part, Checks):
        part = require(part.checks)
    elif isinstance(part, Rows):
        part = table(part.rows, part.columns, part.empty)
    elif isinstance(part, Findings):
        part = findings_table(part.findings)
    (print if isinstance(part, str) else display)(part)
