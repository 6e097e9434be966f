"""The command `vmscert`: lab, rehearse, run, next, plan, check, connect, survey, due, …"""

import gc
import io
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from vmscert.changes.execute import NotebookError
from vmscert.changes.job import Stop
from vmscert.cli import change, due, lab, lost, trouble
from vmscert.cli.printing import FOUND, UNUSABLE, said, warn

_INTERRUPTED = 130  # as shells say it: 128 and the number of the signal

app = typer.Typer(
    help="TLS certificates for an XProtect site: learn, change, troubleshoot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
records_app = typer.Typer(help="The folder of one site.", no_args_is_help=True)
app.add_typer(records_app, name="records")


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Let Ctrl-C end a command in a sentence."""

    @wraps(command)
    def run(*values: Any, **named: Any) -> None:
        try:
            command(*values, **named)
        except (KeyboardInterrupt, typer.Abort):  # the latter at a prompt
            warn("Ended by you: what was done stays done, nothing is half. Run it again to go on.")
            raise typer.Exit(_INTERRUPTED) from None

    return run


app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab.lab)
for command in (change.rehearse, change.run, change.plan, change.board,
                trouble.check, trouble.connect, trouble.survey, trouble.explain,
                change.roll_out, due.due, lost.lost):  # fmt: skip
    # An error that is pasted may begin with a dash.
    options = {"ignore_unknown_options": command is trouble.explain}
    app.command(context_settings=options)(_interruptible(command))
app.command("next")(_interruptible(change.what_next))
for command in (change.verify, change.drill):
    records_app.command()(_interruptible(command))


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
    except (NotebookError, Stop) as error:
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
