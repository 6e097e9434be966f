"""The tables in `data/`: facts about XProtect, Windows and TLS clients, each with its source."""

import csv
import difflib
import re
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
# Beside the package in a checkout, inside it in an installed wheel.
HOME = _PACKAGE.parent if (_PACKAGE.parent / "data" / "xprotect").is_dir() else _PACKAGE
DATA = HOME / "data"
NOTEBOOKS = HOME / "notebooks"

_SURE = {"C": "confirmed", "E": "confirmed", "C2": "second hand"}  # any other tag: nobody read it
UNCONFIRMED = "unconfirmed"


def newest_file() -> float:
    """Return when the newest of these tables was written, in seconds since 1970."""
    return max(path.stat().st_mtime for path in DATA.glob("*.csv"))


@cache
def facts(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of `data/<name>.csv`, in file order, as column → text."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def runbook_row(key: str, column: str = "name") -> dict[str, str]:
    """Return the row of the first runbook with this name, or this text in another column."""
    return next(row for row in facts("change/runbooks") if row[column] == key)


def runbook_name(key: str, column: str = "runbook") -> str:
    """Return the whole name of the first runbook with this number, or this text in a column."""
    return runbook_row(key, column)["name"]


def sureness(*tags: str) -> str:
    """Return how sure facts with these tags are together: confirmed, second hand, unconfirmed."""
    words = [_SURE.get(tag, UNCONFIRMED) for tag in tags]
    return next((word for word in (UNCONFIRMED, "second hand") if word in words), "confirmed")


def doubt(tag: str) -> str:
    """Return what is printed behind a fact with this tag; nothing behind a confirmed one."""
    sure = sureness(tag)
    return "" if sure == "confirmed" else f" ({sure})"


# pbeWithSHA1And3-KeyTripleDES-CBC, RFC 7292 appendix C: what every Windows can open
_OID_3DES = bytes.fromhex("060a2a864886f70d010c0103")
_BUILD = re.compile(r", build (\d+)$")  # how inventory.ps1 ends the name of the release


def release(text: str) -> dict[str, str]:
    """Return the row of data/windows/releases.csv for the name of a Windows release.

    Accepts the name as people and Windows write it: "Windows Server 2022 Standard", "2022",
    "Windows 10 22H2", or with the build at its end, which then decides. Raises ValueError.
    """
    rows = facts("windows/releases")
    build, key = _BUILD.search(text), _release_key(_BUILD.sub("", text))
    kind = "server" if "server" in key else "client"
    for row in rows:
        if build and (row["build"], row["kind"]) == (build[1], kind):
            return row
    for row in rows:
        if key and key in map(_release_key, (row["release"], *row["aliases"].split("|"))):
            return row
    names = {row["release"].casefold(): row["release"] for row in rows}
    near = difflib.get_close_matches(text.strip().casefold(), names, n=1)
    way = f"Did you mean {names[near[0]]!r}?" if near else "Write it like 'Windows Server 2022'"
    raise ValueError(f"{text!r} is not a known Windows release. {way}")


def pfx_encryption(text: str) -> str:
    """Return "AES-256" or "3DES": what a PFX needs for this release; ValueError like `release`."""
    return release(text)["pfx"] if text.strip() else "AES-256"


def imports_pfx(text: str) -> bool:
    """Tell whether this Windows release has a command that imports a PFX; the oldest have none."""
    return not text.strip() or release(text)["pki"] == "yes"


def pfx_encryption_of(pfx: bytes) -> str:
    """Return "AES-256" or "3DES": how a PFX that this kit wrote is encrypted."""
    return "3DES" if _OID_3DES in pfx else "AES-256"


def least_build(encryption: str) -> str:
    """Return the first build of Windows that opens a PFX with this encryption; "0" for any."""
    builds = [row["build"] for row in facts("windows/releases") if row["pfx"] == encryption]
    return "0" if encryption == "3DES" else min(filter(None, builds), key=int)


def _release_key(text: str) -> str:
    """The words that tell releases apart. After "Windows", words such as "Standard" do not."""
    spelled = re.sub(r"\bwin(dows)?(?=[\W\d]|$)", "windows ", text.casefold())
    words = re.findall(r"\w+(?:\.\w+)*", spelled)
    if "windows" in words:
        words = [w for w in words if w == "server" or any(map(str.isdigit, w))]
    return " ".join(words)
