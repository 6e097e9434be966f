"""A runbook's notebook, run without a browser or open in one, is kept as it ran."""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from time import sleep
from typing import Any

from vmscert.changes.job import Job, Stop, Unapproved
from vmscert.changes.record import close, keep_run
from vmscert.facts import NOTEBOOKS, facts
from vmscert.files import RUN
from vmscert.records.folder import Records

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
    runbook: str,
    parameters: Mapping[str, object],
    records: Records,
    at: datetime,
    progress: Callable[[str], object] = str,
) -> list[Path]:
    """Run a runbook with these parameters; return where the executed notebook and its HTML lie.

    What somebody typed into the notebook, and what it showed before, counts for nothing. `progress`
    hears how far it is in what takes long. It is kept also when it stopped, as far as it came, and
    then NotebookError is raised: Unapproved, and nothing is kept, where all that lacks is an
    approval; KeyboardInterrupt after a signal to end. ValueError for a parameter that the notebook
    does not have, or of another type.
    """
    import nbformat  # this and what follows loads slowly, so only where a notebook really runs

    notebook = blank(nbformat.read(NOTEBOOKS / f"{runbook}.ipynb", as_version=4))
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    cell.source = parameter_cell(runbook, parameters)
    run = secrets.token_hex(8)
    stopped = _run(notebook, run, progress)
    if isinstance(stopped, Unapproved):
        raise stopped
    files = _kept(notebook, "stopped" if stopped else "notebook")
    kept = keep_run(records, runbook, run, files, at)
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


def _run(notebook: Any, run: str, progress: Callable[[str], object]) -> BaseException | None:
    """Run all cells in place, under this name; return why it stopped before its end, if it did."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    class Heard(NotebookClient):
        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            said = msg["content"].get("data", {}).get("text/plain")
            if said and msg["msg_type"] == "update_display_data":  # a line that is written anew
                progress(said)
            return super().process_message(msg, cell, cell_index)

    # Encrypted between us and the kernel where the system can, and then without a warning.
    config = Config({"KernelManager": {"transport_encryption": "auto"}})
    place = {"metadata": {"path": str(NOTEBOOKS)}}
    # Whoever runs this from a notebook has that one open, not ours.
    ours = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    ours[RUN] = run
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

    client = Heard(
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


def _kept(notebook: Any, name: str = "notebook") -> dict[str, bytes]:
    """The notebook as it ran, and as one HTML page that asks no network for anything."""
    import nbformat

    html, _ = _exporter().from_notebook_node(notebook)
    return {f"{name}.ipynb": nbformat.writes(notebook).encode(), f"{name}.html": html.encode()}


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


# What the parameters mean, and who has to say them; the notebook's own cell says the same.
_KINDS = {"text": str, "path": str, "number": int, "yes or no": bool}
_WANTED = {"text": "a text", "path": "a path", "number": "a number", "yes or no": "yes or no"}
_SAID = {"yes": True, "true": True, "no": False, "false": False, "": None}


def parameters(runbook: str) -> dict[str, dict[str, str]]:
    """Return name → row of the table, for each parameter of a runbook, in the notebook's order."""
    number, rows = runbook[:2], facts("change/parameters")
    return {row["name"]: row for row in rows if number in (row["runbooks"] or number).split("|")}


def usual_parameters(runbook: str) -> dict[str, object]:
    """Return name → what stands for each parameter of a runbook that nobody sets."""
    return {n: _value(row["kind"], row["default"]) for n, row in parameters(runbook).items()}


def parameter_cell(runbook: str, values: Mapping[str, object]) -> str:
    """Return the cell of a runbook's parameters, with these values in place of what stands there.

    ValueError for one that the runbook does not have, or of another type.
    """
    rows, usual, lines = parameters(runbook), usual_parameters(runbook), []
    if unknown := values.keys() - rows.keys():
        named = ", ".join(sorted(unknown))
        raise ValueError(f"The notebook has no parameter {named}: it has {', '.join(rows)}")
    for name, row in rows.items():
        kind, value = _KINDS[row["kind"]], usual[name]
        note = kind.__name__ if value is not None else f"{kind.__name__} | None"
        if name in values:
            value = values[name]
            if type(value) is not kind:
                raise ValueError(f"Parameter {name} is {_WANTED[row['kind']]}, not {value!r}")
        written = repr(value) if not isinstance(value, str) else _quoted(value)
        lines.append(f"{name}: {note} = {written}  # {row['meaning']}")
    return "\n".join(lines)


def read_settings(runbook: str, settings: Iterable[str]) -> dict[str, object]:
    """Return name → value of texts such as `DAYS=90`; relative paths count from here."""
    rows, found = parameters(runbook), dict[str, object]()
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name not in rows:
            raise ValueError(f"--set {text}: write NAME=VALUE with one of {', '.join(rows)}")
        kind = rows[name]["kind"]
        try:
            found[name] = _value(kind, value)
        except (ValueError, KeyError):
            raise ValueError(f"--set {text}: {name} is {_WANTED[kind]}") from None
        if kind == "path" and value:
            found[name] = str(Path(value).resolve())
    return found


def example(runbook: str, name: str) -> object:
    """Return what a rehearsal takes for a parameter that only a person can know."""
    row = parameters(runbook)[name]
    return _value(row["kind"], row["example"])


def _value(kind: str, text: str) -> object:
    if kind == "yes or no":
        return _SAID[text.lower()]
    return _KINDS[kind](text)


def _quoted(text: str) -> str:
    """The text as Python writes it, in double quotes where that is as short."""
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)
