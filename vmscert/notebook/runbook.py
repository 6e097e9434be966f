"""A runbook as the cells of its notebook call it: what a call tells is drawn below the cell."""

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from vmscert.notebook.acceptance import acceptance_form
from vmscert.notebook.board import board_form, time_machine
from vmscert.notebook.forms import Password, pfx_password
from vmscert.notebook.tables import findings_table, require, table
from vmscert.runbooks import stages
from vmscert.runbooks.stages import Checks, Findings, Parts, Rows, Runbook, runbook_of


class OpenRunbook:
    """A runbook at work: each of its methods shows what it did, or stops in one sentence.

    The methods are those of its class in `vmscert.runbooks`, and these here.
    """

    def __init__(self, runbook: Runbook) -> None:
        self._runbook, self._passwords = runbook, list[Password]()
        runbook.pfx_password = self._shown_password

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in dir(self):
            raise AttributeError(f"this runbook has no {name!r}: try {', '.join(dir(self))}")
        method = getattr(self._runbook, name)

        @wraps(method)
        def shown(*values: Any, **named: Any) -> None:
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
        _show(acceptance_form(self._runbook.job))

    def board(self) -> None:
        """Where each computer stands, who sets out, and a place for what came back."""
        _show(board_form(self._runbook.job))

    def time_machine(self) -> None:
        """What goes dark on which day if nobody acts."""
        _show(time_machine(self._runbook.job))

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
    """
    return OpenRunbook(runbook_of(stages.open_job(runbook, site, folder)))


def _show(part: object) -> None:
    from IPython.display import display

    if isinstance(part, Checks):
        part = require(part.checks)
    elif isinstance(part, Rows):
        part = table(part.rows, part.columns, part.empty)
    elif isinstance(part, Findings):
        part = findings_table(part.findings)
    (print if isinstance(part, str) else display)(part)
