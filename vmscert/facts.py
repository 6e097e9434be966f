"""The tables in `data/`: facts about XProtect, Windows and TLS clients, each with its source."""

import csv
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
# Beside the package in a checkout, inside it in an installed wheel.
HOME = _PACKAGE.parent if (_PACKAGE.parent / "data" / "xprotect").is_dir() else _PACKAGE
DATA = HOME / "data"
NOTEBOOKS = HOME / "notebooks"

_SURE = {"C": "confirmed", "E": "confirmed", "C2": "second hand"}  # any other tag: nobody read it
UNCONFIRMED = "unconfirmed"


@cache
def facts(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of `data/<name>.csv`, in file order, as column → text."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def runbook_name(number: str) -> str:
    """Return the whole name of a runbook, as "11-create-the-ca-certificate"."""
    return next(row["name"] for row in facts("change/runbooks") if row["runbook"] == number)


def sureness(*tags: str) -> str:
    """Return how sure facts with these tags are together: confirmed, second hand, unconfirmed."""
    words = [_SURE.get(tag, UNCONFIRMED) for tag in tags]
    return next((word for word in (UNCONFIRMED, "second hand") if word in words), "confirmed")


def doubt(tag: str) -> str:
    """Return what is printed behind a fact with this tag; nothing behind a confirmed one."""
    sure = sureness(tag)
    return "" if sure == "confirmed" else f" ({sure})"
