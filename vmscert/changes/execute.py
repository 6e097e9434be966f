"""A runbook's notebook, run without a browser or open in one, is kept as it ran."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from time import sleep
from typing import Any

from vmscert.changes.job import Job, Stop, Unapproved, secret
from vmscert.changes.parameters import parameter_cell
from vmscert.changes.record import add_signed, close
from vmscert.facts import NOTEBOOKS, facts
from vmscert.records.folder import Records
from vmscert.records.ledger import is_sealed

_LOOKS, _PAUSE = 20, 0.25  # how often, in which seconds, a page that saves is looked after


class NotebookError(Exception):
    """A notebook stopped before its end; the text is the line on which it stopped."""


def find_runbook(number: str) -> str:
    """Return the full name of a runbook for any beginning of it that no other one has."""
    names = [row["name"] for row in facts("change/runbooks")]
    found = [name for name in names if name.startswith(number)]
    if len(found) != 1:
        raise ValueError(f"There is no runbook {number!r}: choose one of {', '.join(names)}")
    return found[0]


def execute(
    runbook: str, parameters: Mapping[str, object], records: Records, at: datetime
) -> list[Path]:
    """Run a runbook with these parameters; return where the executed notebook and its HTML lie.

    What somebody typed into the notebook, and what it showed before, counts for nothing. It is kept
    also when it stopped, as far as it came, and then NotebookError is raised: Unapproved, and
    nothing is kept, where all that lacks is an approval; KeyboardInterrupt after a signal to end.
    ValueError for a parameter that the notebook does not have, or of another type.
    """
    import nbformat  # this and what follows loads slowly, so only where a notebook really runs

    notebook = blank(nbformat.read(NOTEBOOKS / f"{runbook}.ipynb", as_version=4))
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    cell.source = parameter_cell(runbook, parameters)
    closed = {folder for folder in records.changes(runbook) if is_sealed(folder)}
    stopped = _run(notebook)
    if isinstance(stopped, Unapproved):
        raise stopped
    files = _kept(notebook)
    # The folder of the change that the run began or went on with, if it came that far.
    mine = [folder for folder in records.changes(runbook) if folder not in closed]
    folder = mine[-1] if mine else records.new_change(runbook, at)
    if is_sealed(folder):
        kept = add_signed(records, folder, files, secret("RECORD", records.rehearsal), at)
    else:
        kept = [records.keep(folder, name, data) for name, data in files.items()]
    if stopped:
        raise stopped
    return kept


def blank(notebook: Any) -> Any:
    """The notebook without anything that it showed: what stands below a stop would be a lie."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    return notebook


def _run(notebook: Any) -> BaseException | None:
    """Run all cells in place; return why the notebook stopped before its end, if it did."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    # Encrypted between us and the kernel where the system can, and then without a warning.
    config = Config({"KernelManager": {"transport_encryption": "auto"}})
    place = {"metadata": {"path": str(NOTEBOOKS)}}
    # Whoever runs this from a notebook has that one open, not ours.
    ours = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    ended = []

    def end_with_signal(notebook: Any) -> None:
        """Let a signal to end cancel the run, and its kernel with it; Windows interrupts us."""
        loop, running = asyncio.get_running_loop(), asyncio.current_task()

        def end() -> None:
            ended.append(running)
            if running:
                running.cancel()

        with suppress(RuntimeError):  # on Windows, and where this is no main thread
            loop.add_signal_handler(signal.SIGINT, end)
            loop.add_signal_handler(signal.SIGTERM, end)

    client = NotebookClient(
        notebook, timeout=None, resources=place, config=config, on_notebook_start=end_with_signal
    )
    # A kernel that is told to end may complain of closed sockets: nobody can use that.
    with Path(os.devnull).open("wb") as nowhere:
        try:
            client.execute(stderr=nowhere, env=ours)
        except CellExecutionError as error:
            if error.ename == Unapproved.__name__:
                return Unapproved(error.evalue)
            told = (
                error.evalue if error.ename == Stop.__name__ else f"{error.ename}: {error.evalue}"
            )
            return NotebookError(told)
        except KeyboardInterrupt as error:
            return error
        except RuntimeError as error:  # also of a kernel that could not start
            if ended:
                return KeyboardInterrupt()
            why = "open the notebook with vmscert lab, which shows what the kernel says"
            return NotebookError(f"{error}: {why}")
    return None


def _kept(notebook: Any) -> dict[str, bytes]:
    """The notebook as it ran, and as one HTML page that asks no network for anything."""
    import nbformat

    html, _ = _exporter().from_notebook_node(notebook)
    return {"notebook.ipynb": nbformat.writes(notebook).encode(), "notebook.html": html.encode()}


@cache  # loading its templates takes as long as using them
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    asked = ("mathjax_url", "require_js_url", "mermaid_js_url", "jupyter_widgets_base_url")
    return HTMLExporter(**dict.fromkeys(asked, ""))


def opened_notebook() -> Path | None:
    """The file of the notebook that a person has open and whose kernel this is, if it is one."""
    # Set by Jupyter for the kernel of a notebook that somebody has open; nothing else has it.
    opened = os.environ.get("JPY_SESSION_NAME")
    return Path(opened) if opened and Path(opened).is_file() else None


def ask_page(what: str) -> None:
    """Ask JupyterLab's page for something that `data/lab` does there: "begin" or "save".

    No page has an output with that name, so that nobody else shows anything.
    """
    from IPython.display import display

    asked = {"application/vnd.vmscert+json": {"do": what}, "text/plain": ""}
    display(asked, raw=True, display_id="vmscert", update=True)


def close_change(job: Job, note: str) -> str:
    """Finish a change: sign its record, with the notebook as it ran; say where it is.

    A notebook that somebody has open is saved first, where its page does that; Stop on a real site
    where it was not.
    """
    saved, without = _saved_notebook()
    if without and not job.rehearsal:
        raise Stop(f"{without}: save it with Ctrl-S, then run this cell again")
    place = close(job, note, saved).relative_to(job.records.folder).as_posix()
    more = f" Without the notebook: {without}." if without else ""
    told = f"Closed and signed: {job.folder}/{place}/record.html.{more}"
    return f"{told}\nCheck it with: vmscert records verify {job.folder}"


def _saved_notebook() -> tuple[dict[str, bytes], str]:
    """The notebook of this kernel as its file holds it, or why it can't be kept."""
    if (opened := opened_notebook()) is None:
        return {}, ""  # vmscert run adds the notebook as it ran
    import nbformat

    for _ in range(_LOOKS):
        try:
            notebook = nbformat.reads(opened.read_text(encoding="utf-8"), as_version=4)
        except (OSError, ValueError):  # it is being written
            notebook = None
        if notebook and _is_what_ran(notebook):
            return _kept(notebook), ""
        ask_page("save")
        sleep(_PAUSE)
    return {}, f"{opened.name} on the disk is not what has run here"


def _is_what_ran(notebook: Any) -> bool:
    """Whether each code cell above the one that is running is saved as this kernel ran it."""
    from IPython.core.getipython import get_ipython

    history = getattr(get_ipython(), "history_manager", None)
    ran = [text.strip() for text in history.input_hist_raw] if history else []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    mine = (n for n, cell in enumerate(cells) if ran and cell.source.strip() == ran[-1])
    counted = [(cell.execution_count or 0, cell.source.strip()) for cell in cells[: next(mine, 0)]]
    return bool(counted) and all(0 < n < len(ran) and ran[n] == source for n, source in counted)
