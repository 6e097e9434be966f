"""The command `vmscert`: lab, rehearse, run, plan, check, connect, survey, roll-out, due, …"""

import gc
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import typer

from vmscert.changes.execute import NotebookError
from vmscert.cli import change, due, lost, trouble
from vmscert.cli.printing import FOUND, UNUSABLE, said, warn
from vmscert.facts import HOME, NOTEBOOKS

app = typer.Typer(
    help="TLS certificates for an XProtect site: learn, change, troubleshoot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
records_app = typer.Typer(help="The folder of one site.", no_args_is_help=True)
app.add_typer(records_app, name="records")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab at the start notebook; further arguments go to `jupyter lab`."""
    notebooks = NOTEBOOKS
    if not (HOME / "pyproject.toml").exists():  # the kit is installed, and is not written to
        notebooks = Path.cwd() / "notebooks"
        if not notebooks.exists():
            shutil.copytree(NOTEBOOKS, notebooks)
    command = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={notebooks.parent}",  # the tables of sites are in reach, too
        f"--LabApp.default_url=/lab/tree/{notebooks.name}/00-start-here.ipynb",
        # Sites are often offline, and nobody is asked for news or updates.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--MappingKernelManager.transport_encryption=auto",
        *context.args,
    ]
    with tempfile.TemporaryDirectory() as folder:  # JupyterLab shall not even ask for that
        page = Path(folder) / "labconfig" / "page_config.json"
        page.parent.mkdir()
        disabled = {"@jupyterlab/apputils-extension:announcements": True}
        page.write_text(json.dumps({"disabledExtensions": disabled}), encoding="utf-8")
        places = filter(None, [os.environ.get("JUPYTER_CONFIG_PATH"), folder])
        surroundings = os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(places)}
        raise typer.Exit(subprocess.call(command, env=surroundings))


for command in (change.rehearse, change.run, change.plan, change.board,
                trouble.check, trouble.connect, trouble.survey, trouble.explain,
                change.roll_out, due.due, lost.lost):  # fmt: skip
    # An error that is pasted may begin with a dash.
    app.command(context_settings={"ignore_unknown_options": command is trouble.explain})(command)
for command in (change.verify, change.drill):
    records_app.command()(command)


def main() -> None:
    """Run the command; what a person did wrong ends in sentences, not in a traceback."""
    gc.set_threshold(1 << 16)  # a run is short: to look for garbage often costs a fifth of it
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow must not stop a redirected Windows run
    if "--nagios" in sys.argv:
        sys.exit(_watched())
    try:
        app()
    except NotebookError as error:
        warn(str(error))
        sys.exit(FOUND)
    except (ValueError, OSError, RuntimeError) as error:
        warn(said(error))
        sys.exit(UNUSABLE)


def _watched() -> int:
    """Run for a monitoring system: whatever goes wrong is UNKNOWN, in one line, never CRITICAL."""
    try:
        return app(standalone_mode=False)
    except Exception as error:
        from vmscert.agenda.channels import UNKNOWN, nagios_line

        text = error.format_message() if isinstance(error, typer.BadParameter) else said(error)
        print(nagios_line(UNKNOWN, text or type(error).__name__))
        return UNKNOWN
