"""Runs a runbook notebook without a browser and keeps it, as it ran, with the site's records."""

import ast
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from vmscert.changes.job import secret
from vmscert.changes.record import add_signed
from vmscert.facts import NOTEBOOKS
from vmscert.records.evidence import is_sealed
from vmscert.records.folder import Records

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
