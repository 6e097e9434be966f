"""Text that lets computers watch by themselves: a script for Windows, and a daily run of `due`."""

import shlex
from collections.abc import Sequence

from vmscert.expiry import WARNING
from vmscert.scripts import refuse_hiding, script

_HOUR = 7  # before people begin; any hour does


def notification_script(days: int = WARNING) -> bytes:
    """Return notify.ps1, the same for every computer: Windows warns there of what ends."""
    return script(
        "notify",
        TaskName="vmscert: certificates that end",
        EventSource="vmscert",
        Folder="C:\\Program Files\\vmscert",  # only administrators change there what SYSTEM runs
        Days=str(days),
    )


def daily_run(program: str, sources: Sequence[str], remember: str) -> str:
    """Return the script and the line that let Windows or cron run `vmscert due` every day.

    `program` is the path of vmscert. ValueError for a value that can't be quoted there.
    """
    arguments = ["due", *sources, "--mail", "--remember", remember]
    return (
        f"# Linux: the next line, without its #, is for crontab -e; cron mails what is printed.\n"
        f"# {cron_line(program, arguments)}\n"
        f"# Windows: all of this is a script for PowerShell.\n"
        f"{scheduled_task(program, arguments).decode('utf-8-sig')}"
    )


def scheduled_task(program: str, arguments: Sequence[str]) -> bytes:
    """Return schedule.ps1, which registers a daily task of Windows."""
    return script(
        "schedule",
        TaskName="vmscert due",
        Program=program,
        Arguments=" ".join(map(_windows, arguments)),
        Time=f"{_HOUR:02}:00",
    )


def cron_line(program: str, arguments: Sequence[str]) -> str:
    """Return a line for crontab: quoted for sh, and each % kept from ending it (crontab(5))."""
    words = [program, *arguments]
    for word in words:
        refuse_hiding(word)
    return f"0 {_HOUR} * * * {shlex.join(words)}".replace("%", "\\%")


def _windows(word: str) -> str:
    """One argument as the C runtime of Windows reads it back: a backslash counts before a quote."""
    if '"' in word:
        raise ValueError(f"{word!r} can't go into a task of Windows: no path there has a quote")
    tail = len(word) - len(word.rstrip("\\"))
    return f'"{word}{chr(92) * tail}"'
