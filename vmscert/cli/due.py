"""The command `due`: what ends when, told everywhere, and what lets it be told every day."""

import json
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmscert.cli import printing
from vmscert.facts import newest_file
from vmscert.files import write_atomic
from vmscert.names import iso
from vmscert.network.looks import TIMEOUT
from vmscert.site.table import find_table

if TYPE_CHECKING:
    from vmscert.agenda.gather import Agenda

_AS_ADMINISTRATOR = "as administrator: powershell -ExecutionPolicy Bypass -File"


def due(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Sites' tables or folders, files, HOST:PORT; several."),
    ] = None,
    on: printing.OnOption = "",
    live: Annotated[bool, typer.Option("--live", help="Call the servers of the sites.")] = False,
    folder: printing.FolderOption = "",
    timeout: printing.TimeoutOption = TIMEOUT,
    json_wanted: printing.JsonOption = False,
    nagios: Annotated[bool, typer.Option(help="Print one line; exit 0, 1, 2 or 3.")] = False,
    mail: Annotated[bool, typer.Option(help="Print a mail, or nothing if all is fine.")] = False,
    remember: Annotated[
        Path | None, typer.Option(help="With --mail: a file that keeps in mind what was told.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="With --mail: a file to which each run adds what it told.")
    ] = None,
    ics: Annotated[str, typer.Option(help="Write a calendar; - prints it.")] = "",
    prometheus: Annotated[str, typer.Option(help="Write metrics; - prints them.")] = "",
    csv: Annotated[str, typer.Option("--csv", help="Write the table; - prints it.")] = "",
    html: Annotated[str, typer.Option(help="Write a page to print; - prints it.")] = "",
    windows: Annotated[
        str, typer.Option(help="Write a script that lets Windows warn on each computer.")
    ] = "",
    schedule: Annotated[
        str, typer.Option(help="Write what lets this computer run the mail daily.")
    ] = "",
) -> None:
    """Tell what expires when, soonest first, and what goes dark if nobody acts.

    Of what was issued, is installed and is served: certificates, CAs and revocation lists. Exit 1
    if somebody has to act, or if anything is unknown.
    """
    from vmscert.agenda import channels
    from vmscert.agenda.gather import gather

    sources = sources or []
    if not sources and (schedule or not windows):  # notify.ps1 is the same for all
        raise ValueError("nothing to look at: name sites' tables or folders, files, or HOST:PORT")
    if windows:
        then = f'On each computer, {_AS_ADMINISTRATOR} "{Path(windows).name}" Register'
        _write_script(windows, channels.notification_script(), then)
    if schedule:
        more = [*(["--live"] if live else []), *(["--folder", _whole(folder)] if folder else [])]
        _write_schedule(schedule, [*map(_whole_source, sources), *more], remember, log)
    if windows or schedule:
        return
    made, day = datetime.now(UTC), printing.at(on)
    kit = datetime.fromtimestamp(newest_file(), UTC)
    how = {"live": live, "folder": folder, "timeout": timeout, "now": made, "kit": kit}
    gathered = partial(gather, sources, day, printing.ask_pfx, **how)
    if mail:
        raise typer.Exit(_mail_once(gathered, remember, log))
    agenda = gathered()
    if nagios:
        code, line = channels.nagios(agenda)
        print(line)
        raise typer.Exit(code)
    files = (
        (csv, channels.as_csv),
        (ics, partial(channels.calendar, made=made)),
        (prometheus, partial(channels.metrics, made=made)),
        (html, channels.page_of),
    )
    printed = [_deliver(place, channel(agenda)) for place, channel in files if place]
    if json_wanted:
        print(channels.as_json(agenda))
    elif not any(printed):
        printing.show_due(agenda)
    looked = agenda.rows or any(one.where.startswith("served") for one in agenda.unknown)
    raise printing.ended(agenda.quiet) if looked else typer.Exit(printing.UNUSABLE)


def _write_schedule(
    place: str, sources: list[str], remember: Path | None, log: Path | None
) -> None:
    """Write what runs the mail daily on a computer like this one, with whole paths."""
    from vmscert.agenda.channels import crontab, scheduled_task

    told, kept = _whole(remember or "vmscert-told.json"), _whole(log or "vmscert-due.log")
    command = ["due", *sources, "--mail", "--remember", told, "--log", kept]
    if sys.platform == "win32":
        make, then = scheduled_task, f'In PowerShell, {_AS_ADMINISTRATOR} "{Path(place).name}"'
        then += "; with Look behind it that tells whether it has run"
    else:
        make, then = crontab, "Put its last line into crontab -e; the lines above it tell how to "
        then += "see that it runs"
    _write_script(place, make(_own_program(), command, kept), then)


def _write_script(place: str, data: bytes, then: str) -> None:
    """Write a file byte by byte as it has to be, and say what to do with it."""
    if _deliver(place, data):
        told = "Name a file instead of -: Windows PowerShell 5.1 spoils what > takes from a program"
    else:
        told = f"{place} is written. {then}"
    printing.err.print(f"{told}.", soft_wrap=True, markup=False)


def _own_program() -> str:
    """The whole path of this command, for whoever starts it from another folder."""
    beside = shutil.which("vmscert", path=sysconfig.get_path("scripts"))
    found = shutil.which(sys.argv[0]) or beside or shutil.which("vmscert")
    if found is None:
        raise ValueError("No program `vmscert` is found: install the kit, then run it by this name")
    return _whole(found)


def _whole(path: str | Path) -> str:
    return str(Path(path).resolve())


def _whole_source(text: str) -> str:
    """The whole path of a site, folder or file, or HOST:PORT as it is."""
    path = find_table(text)
    if path.exists():
        return _whole(path)
    if not re.search(r":\d+$", text):
        raise ValueError(f"{text} does not exist: name a table, a folder, a file or HOST:PORT")
    return text


def _deliver(place: str, data: bytes) -> bool:
    """Write a file whole, or print it; return whether it was printed."""
    if place != "-":
        write_atomic(Path(place), data)
        return False
    sys.stdout.buffer.write(data)
    return True


def _mail_once(gathered: "Callable[[], Agenda]", remember: Path | None, log: Path | None) -> int:
    """Print what is new and keep in mind that it was told, in this order: rather twice than never.

    Without a memory everything is new. The log tells of every run, also of one that could not look.
    """
    from vmscert.agenda.channels import mail, news

    try:
        told, memory = news(gathered(), _remembered(remember))
        text = mail(told)
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.flush()
        if remember:
            write_atomic(remember, json.dumps(memory, indent=1).encode())
    except Exception as error:
        _note(log, f"could not look: {printing.said(error)}")
        raise
    _note(log, text or "nothing new")
    return printing.FOUND if text else printing.NOTHING


def _remembered(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None or not path.exists():
        return {}
    try:
        return {str(key): dict(was) for key, was in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"{path} is no memory of `vmscert due`: name another file") from None


def _note(log: Path | None, text: str) -> None:
    """Add a line with its time to a log, if there is one: its newest line tells the last run."""
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(f"{iso(datetime.now(UTC))} {text.rstrip()}\n")
