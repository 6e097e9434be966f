"""JupyterLab with a site's own copies of the notebooks: those of the kit stay as they are."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import typer

from vmscert.changes.execute import blank, parameter_cell
from vmscert.changes.job import records_folder
from vmscert.cli import printing
from vmscert.cli.printing import EXAMPLE
from vmscert.facts import DATA, NOTEBOOKS, facts
from vmscert.files import write_atomic
from vmscert.site.table import find_table

_OLDER = "older"  # copies of notebooks that the kit has changed since


def lab(
    context: typer.Context,
    site: printing.SiteOption = EXAMPLE,
    folder: printing.FolderOption = "",
) -> None:
    """Open JupyterLab with a site's own copies of the notebooks; further arguments go to it.

    They lie in `notebooks` of the site's folder, and stay there; the kit's own never change.
    """
    from jupyterlab.labapp import LabApp

    table = find_table(site).resolve()
    if not table.is_file():
        raise ValueError(f"{site} is no file: name the site's table")
    place = Path(folder or records_folder(table)).resolve()
    # Where a runbook looks for a site's folder that nobody names, from wherever it is opened.
    os.environ.setdefault("VMSCERT_RECORDS", str(records_folder(table).resolve().parent))
    given = {"SITE": str(table)} if site != EXAMPLE else {}
    notebooks = work_copies(place, given | ({"FOLDER": str(place)} if folder else {}))
    arguments = [
        f"--ServerApp.root_dir={place}",  # what comes back is in reach, too
        f"--LabApp.default_url=/lab/tree/{notebooks.name}/00-start-here.ipynb",
        f"--LabApp.extra_labextensions_path={DATA / 'lab'}",
        # Sites are often offline, and nobody is asked for news or updates.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--MappingKernelManager.transport_encryption=auto",
        *context.args,
    ]
    with tempfile.TemporaryDirectory() as config:  # JupyterLab shall not even ask for that
        page = Path(config) / "labconfig" / "page_config.json"
        page.parent.mkdir()
        disabled = {"@jupyterlab/apputils-extension:announcements": True}
        page.write_text(json.dumps({"disabledExtensions": disabled}), encoding="utf-8")
        places = filter(None, [os.environ.get("JUPYTER_CONFIG_PATH"), config])
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(places)
        LabApp.launch_instance(argv=arguments)  # in this process: who ends it ends JupyterLab


def work_copies(place: Path, given: Mapping[str, object]) -> Path:
    """Copy the kit's notebooks into a site's folder, runbooks with these parameters and blank.

    A copy stays as it was worked with; where the kit's notebook has changed since, or the
    parameters, the old copy goes to `older` and a new one is made.
    """
    import nbformat

    mine, runbooks = place / "notebooks", {row["name"] for row in facts("change/runbooks")}
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        copy, name = mine / source.name, source.stem
        mark = hashlib.sha256(source.read_bytes() + repr(given).encode()).hexdigest()
        if copy.exists():
            old = nbformat.read(copy, as_version=4)
            if old.metadata.get("vmscert") == mark:
                continue
            kept = hashlib.sha256(copy.read_bytes()).hexdigest()[:8]
            write_atomic(mine / _OLDER / f"{name}-{kept}.ipynb", copy.read_bytes())
        notebook = nbformat.read(source, as_version=4)
        notebook.metadata["vmscert"] = mark
        if name in runbooks:
            cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
            cell.source = parameter_cell(name, given)
            blank(notebook)
        write_atomic(copy, nbformat.writes(notebook).encode())
    return mine
