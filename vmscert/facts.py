"""The tables in `data/`: facts about XProtect, Windows and TLS clients, each with its source."""

import csv
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
# Beside the package in a checkout, inside it in an installed wheel.
HOME = _PACKAGE.parent if (_PACKAGE.parent / "data" / "xprotect").is_dir() else _PACKAGE
DATA = HOME / "data"
NOTEBOOKS = HOME / "notebooks"


@cache
def facts(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of `data/<name>.csv`, in file order, as column → text."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
