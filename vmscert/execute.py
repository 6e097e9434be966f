"""Runs a runbook notebook without a browser and keeps it, as it ran, with the site's records."""

import ast
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from vmscert.facts import NOTEBOOKS
from vmscert.records import Records

RUNBOOKS = tuple(sorted(path.stem for path in NOTEBOOKS.glob("1[1-9]-*.ipynb")))


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
    stopped = _run(notebook)
    written = nbformat.writes(notebook).encode()
    kept = [
        records.keep(runbook, "notebook.ipynb", written, at=at),
        records.keep(runbook, "notebook.html", _html(notebook), at=at),
    ]
    if stopped:
        raise NotebookError(stopped)
    return kept


def set_parameters(notebook: Any, parameters: Mapping[str, object]) -> None:
    """Put other values into the cell tagged `parameters`, in place; names and types must fit."""
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    known = _assigned(cell.source)
    for name, value in parameters.items():
        if name not in known:
            raise ValueError(f"The notebook has no parameter {name}: it has {', '.join(known)}")
        if type(value) is not type(known[name]):
            wanted = type(known[name]).__name__
            raise ValueError(f"Parameter {name} is of type {wanted}, which {value!r} is not")
    values = {**known, **parameters}
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())


def _assigned(source: str) -> dict[str, object]:
    """Name → value of the literals that a parameter cell assigns."""
    return {
        node.target.id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }


def _run(notebook: Any) -> str:
    """Run all cells in place; return the line on which the notebook stopped, or nothing."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    # Encrypted between us and the kernel where the system can, and then without a warning.
    config = Config({"KernelManager": {"transport_encryption": "auto"}})
    place = {"metadata": {"path": str(NOTEBOOKS)}}
    client = NotebookClient(notebook, timeout=None, resources=place, config=config)
    # A kernel that is told to end may complain of closed sockets: nobody can use that.
    with Path(os.devnull).open("wb") as nowhere:
        try:
            client.execute(stderr=nowhere)
        except CellExecutionError as error:
            return f"{error.evalue}" if error.ename == "Stop" else f"{error.ename}: {error.evalue}"
        except RuntimeError as error:  # also of a kernel that could not start
            return f"{error}: open the notebook with vmscert lab, which shows what the kernel says"
    return ""


def _html(notebook: Any) -> bytes:
    """Return the notebook as one HTML page that asks no network for anything."""
    page, _ = _exporter().from_notebook_node(notebook)
    return page.encode()


@cache  # loading its templates takes as long as using them
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    return HTMLExporter(
        mathjax_url="", require_js_url="", mermaid_js_url="", jupyter_widgets_base_url=""
    )
