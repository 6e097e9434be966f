"""Text that lets computers watch by themselves: a script for Windows, and a daily run of `due`."""

import shlex
from collections.abc import Sequence

from vmscert.certificates.diagnosis import WARNING
from vmscert.facts import facts
from vmscert.windows.scripts import refuse_hiding, script

_HOUR = 7  # before people begin; any hour does


def notification_script() -> bytes:
    """Return notify.ps1, the same for every computer: Windows warns there of what ends."""
    return script(
        "notify",
        TaskName="vmscert-certificates-that-end",  # no colon, slash, backslash: MS-TSCH 2.3.11
        EventSource="vmscert",
        Folder="C:\\Program Files\\vmscert",  # only administrators change there what SYSTEM runs
        Days=str(WARNING),
        StartingEvents=[
            row["event"]
            for row in facts("windows/lifecycle-events")
            if row["starts_task"] == "Expire"
        ],
    )


def scheduled_task(program: str, arguments: Sequence[str], log: str) -> bytes:
    """Return schedule.ps1, with which Windows runs `vmscert due` every day.

    `program` is the whole path of vmscert, `log` that of the file to which each run adds.
    ValueError for a value that a task can't hold.
    """
    for word in (program, *arguments):
        _refuse_for_a_task(word)
    return script(
        "schedule",
        TaskName="vmscert due",
        Program=program,
        Arguments=" ".join(map(_windows, arguments)),
        Time=f"{_HOUR:02}:00",
        Log=log,
    )


def crontab(program: str, arguments: Sequence[str], log: str) -> bytes:
    """Return lines for `crontab -e`, with which cron runs `vmscert due` every day."""
    line = cron_line(program, arguments)
    refuse_hiding(log)
    stale = f"find {shlex.quote(log)} -mmin +1560"
    return (
        "# For `crontab -e`: cron runs this every day, and mails what is printed.\n"
        "# Each run adds to the log, even with nothing to tell. It has not run for a day if this\n"
        f"# prints the name of the log, or does not find it: {stale}\n"
        f"{line}\n"
    ).encode()


def cron_line(program: str, arguments: Sequence[str]) -> str:
    """Return a line for crontab: quoted for sh, and each % kept from ending it (crontab(5))."""
    words = [program, *arguments]
    for word in words:
        refuse_hiding(word)
    return f"0 {_HOUR} * * * {shlex.join(words)}".replace("%", "\\%")


def _refuse_for_a_task(word: str) -> None:
    """Raise ValueError for what a task of Windows does not hand over as it is, or can't reach."""
    if word.startswith("\\\\"):
        raise ValueError(
            f"{word} lies on a share, where a task without a password has no rights: keep it on "
            "this computer"
        )
    if "%" in word or "$(" in word:
        raise ValueError(f"{word!r} can't go into a task of Windows, which puts a variable there")
    if '"' in word:
        raise ValueError(f"{word!r} can't go into a task of Windows: no path there has a quote")


def _windows(word: str) -> str:
    """One argument as the C runtime of Windows reads it back: a backslash counts before a quote."""
    tail = len(word) - len(word.rstrip("\\"))
    return f'"{word}{chr(92) * tail}"'
