"""A runbook's notebook, run without a browser or open in one, is kept as it ran."""

import ast
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from vmscert.changes.job import Job, Stop, secret
from vmscert.changes.record import add_signed, close
from vmscert.facts import NOTEBOOKS, facts
from vmscert.records.folder import Records
from vmscert.records.ledger import is_sealed


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

    `progress` hears how far the notebook is in what takes long. They are kept also when the
    notebook stopped, and then NotebookError is raised. ValueError for a parameter that the notebook
    does not have, or of another type.
    """
    import nbformat  # this and what follows loads slowly, so only where a notebook really runs

    notebook = nbformat.read(NOTEBOOKS / f"{runbook}.ipynb", as_version=4)
    set_parameters(notebook, parameters)
    closed = {folder for folder in records.changes(runbook) if is_sealed(folder)}
    stopped = _run(notebook, progress)
    files = _kept(notebook)
    # The folder of the change that the run began or went on with, if it came that far.
    mine = [folder for folder in records.changes(runbook) if folder not in closed]
    folder = mine[-1] if mine else records.new_change(runbook, at)
    if is_sealed(folder):
        kept = add_signed(records, folder, files, secret("RECORD", records.rehearsal), at)
    else:
        kept = [records.keep(folder, name, data) for name, data in files.items()]
    if stopped:
        raise NotebookError(stopped)
    return kept


def set_parameters(notebook: Any, parameters: Mapping[str, object]) -> None:
    """Put other values into the cell tagged `parameters`, in place; names and types must fit."""
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    known: dict[str, object] = {
        node.target.id: ast.literal_eval(node.value)
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }
    for name, value in parameters.items():
        if name not in known:
            raise ValueError(f"The notebook has no parameter {name}: it has {', '.join(known)}")
        if type(value) is not (wanted := type(known[name])):
            told = f"Parameter {name} is of type {wanted.__name__}"
            raise ValueError(f"{told}, which {value!r} is not")
    values = {**known, **parameters}.items()
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values)


def _run(notebook: Any, progress: Callable[[str], object]) -> str:
    """Run all cells in place; return the line on which the notebook stopped, or nothing."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    class Heard(NotebookClient):
        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] == "update_display_data":  # a line that is written anew
                progress(msg["content"]["data"].get("text/plain", ""))
            return super().process_message(msg, cell, cell_index)

    # Encrypted between us and the kernel where the system can, and then without a warning.
    config = Config({"KernelManager": {"transport_encryption": "auto"}})
    place = {"metadata": {"path": str(NOTEBOOKS)}}
    # Whoever runs this from a notebook has that one open, not ours.
    ours = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    client = Heard(notebook, timeout=None, resources=place, config=config)
    # A kernel that is told to end may complain of closed sockets: nobody can use that.
    with Path(os.devnull).open("wb") as nowhere:
        try:
            client.execute(stderr=nowhere, env=ours)
        except CellExecutionError as error:
            return f"{error.evalue}" if error.ename == "Stop" else f"{error.ename}: {error.evalue}"
        except RuntimeError as error:  # also of a kernel that could not start
            return f"{error}: open the notebook with vmscert lab, which shows what the kernel says"
    return ""


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


def close_change(job: Job, note: str) -> str:
    """Finish a change: sign its record, with the notebook as it ran; say where it is.

    A notebook that somebody has open must be saved first: Stop otherwise, on a real site.
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
    # Set by Jupyter for the kernel of a notebook that somebody has open; nothing else has it.
    opened = os.environ.get("JPY_SESSION_NAME")
    if not opened or not Path(opened).is_file():
        return {}, ""  # vmscert run adds the notebook as it ran
    import nbformat
    from IPython.core.getipython import get_ipython

    notebook = nbformat.reads(Path(opened).read_text(encoding="utf-8"), as_version=4)
    # Each code cell above the one that is running must be saved as this kernel ran it.
    history = getattr(get_ipython(), "history_manager", None)
    ran = [text.strip() for text in history.input_hist_raw] if history else []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    mine = (n for n, cell in enumerate(cells) if ran and cell.source.strip() == ran[-1])
    counted = [(cell.execution_count or 0, cell.source.strip()) for cell in cells[: next(mine, 0)]]
    if counted and all(0 < n < len(ran) and ran[n] == source for n, source in counted):
        return _kept(notebook), ""
    return {}, f"{Path(opened).name} on the disk is not what has run here"
