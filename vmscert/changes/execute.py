"""Runs a runbook notebook without a browser and keeps it, as it ran, with the site's records.

A notebook that somebody has open adds itself, with its last cell.
"""

import ast
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from vmscert.changes.job import Job, Stop, secret
from vmscert.changes.record import add_signed, close
from vmscert.facts import NOTEBOOKS
from vmscert.records.folder import Records
from vmscert.records.ledger import is_sealed

RUNBOOKS = tuple(sorted(path.stem for path in NOTEBOOKS.glob("1[0-9]-*.ipynb")))


class NotebookError(Exception):
    """A notebook stopped before its end; the text is the line on which it stopped."""


def find_runbook(number: str) -> str:
    """Return the runbook's full name for "12" or any unambiguous beginning of a name."""
    found = [name for name in RUNBOOKS if name.startswith(number)]
    if len(found) != 1:
        raise ValueError(f"There is no runbook {number!r}: choose one of {', '.join(RUNBOOKS)}")
    return found[0]


def execute(
    runbook: str, parameters: Mapping[str, object], records: Records, at: datetime
) -> list[Path]:
    """Run a runbook with these parameters; return where the executed notebook and its HTML lie.

    They are kept also when the notebook stopped, and then NotebookError is raised. ValueError for
    a parameter that the notebook does not have, or of another type.
    """
    import nbformat  # this and what follows loads slowly, so only where a notebook really runs

    notebook = nbformat.read(NOTEBOOKS / f"{runbook}.ipynb", as_version=4)
    set_parameters(notebook, parameters)
    closed = {folder for folder in records.changes(runbook) if is_sealed(folder)}
    stopped = _run(notebook)
    files = {"notebook.ipynb": nbformat.writes(notebook).encode(), "notebook.html": page(notebook)}
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
        if type(value) is not type(known[name]):
            wanted = type(known[name]).__name__
            raise ValueError(f"Parameter {name} is of type {wanted}, which {value!r} is not")
    values = {**known, **parameters}
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())


def _run(notebook: Any) -> str:
    """Run all cells in place; return the line on which the notebook stopped, or nothing."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    # Encrypted between us and the kernel where the system can, and then without a warning.
    config = Config({"KernelManager": {"transport_encryption": "auto"}})
    place = {"metadata": {"path": str(NOTEBOOKS)}}
    # Whoever runs this from a notebook has that one open, not ours.
    ours = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    client = NotebookClient(notebook, timeout=None, resources=place, config=config)
    # A kernel that is told to end may complain of closed sockets: nobody can use that.
    with Path(os.devnull).open("wb") as nowhere:
        try:
            client.execute(stderr=nowhere, env=ours)
        except CellExecutionError as error:
            return f"{error.evalue}" if error.ename == "Stop" else f"{error.ename}: {error.evalue}"
        except RuntimeError as error:  # also of a kernel that could not start
            return f"{error}: open the notebook with vmscert lab, which shows what the kernel says"
    return ""


def page(notebook: Any) -> bytes:
    """Return the notebook as one HTML page that asks no network for anything."""
    html, _ = _exporter().from_notebook_node(notebook)
    return html.encode()


@cache  # loading its templates takes as long as using them
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    return HTMLExporter(
        mathjax_url="", require_js_url="", mermaid_js_url="", jupyter_widgets_base_url=""
    )


# Set by Jupyter for the kernel of a notebook that somebody has open; nothing else has it.
_OPENED = "JPY_SESSION_NAME"
_BY_RUN = "vmscert run adds the notebook as it ran"


def close_change(job: Job, note: str) -> str:
    """Finish a change: sign its record, with the notebook as it ran; say where it is.

    A notebook that somebody has open must be saved first: Stop otherwise, on a real site. What ran
    without a browser is added by `vmscert run` when it has come to its end.
    """
    saved, why_not = _saved_notebook()
    if not saved and why_not != _BY_RUN and not job.rehearsal:
        raise Stop(f"{why_not}: save it with Ctrl-S, then run this cell again")
    folder = close(job, note, saved)
    place = folder.relative_to(job.records.folder).as_posix()
    without = "" if saved or why_not == _BY_RUN else f" Without the notebook: {why_not}."
    return (
        f"Closed and signed: {job.folder}/{place}/record.html.{without}\n"
        f"Check it with: vmscert records verify {job.folder}"
    )


def _saved_notebook() -> tuple[dict[str, bytes], str]:
    """The notebook of this kernel as its file holds it, or why there is none."""
    opened = os.environ.get(_OPENED)
    if not opened or not Path(opened).is_file():
        return {}, _BY_RUN
    import nbformat

    notebook = nbformat.reads(Path(opened).read_text(encoding="utf-8"), as_version=4)
    if not _is_what_ran(notebook):
        return {}, f"{Path(opened).name} on the disk is not what has run here"
    written = nbformat.writes(notebook).encode()
    return {"notebook.ipynb": written, "notebook.html": page(notebook)}, ""


def _is_what_ran(notebook: Any) -> bool:
    """Whether each code cell above the one that is running was saved as this kernel ran it."""
    from IPython.core.getipython import get_ipython

    history = getattr(get_ipython(), "history_manager", None)
    ran = history.input_hist_raw if history else []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    mine = ran[-1].strip() if ran else ""
    above = cells[: next((n for n, cell in enumerate(cells) if cell.source.strip() == mine), 0)]
    counted = [(cell.execution_count or 0, cell.source.strip()) for cell in above]
    return bool(above) and all(
        0 < count < len(ran) and ran[count].strip() == source for count, source in counted
    )
