"""What stands in scripts, as PowerShell's parser sees it, held against tables of what 5.1 has."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pwsh
from folders import files
from powershell import CALLS

from vmscert.facts import DATA

HERE = Path(__file__).parent
MEMBERS = HERE / "net-members.csv"
PROGRAMS = {"certreq", "netsh"}
# What the providers of Cert: and of files add to a command, and any command takes.
PROVIDED = {"Remove-Item": "DeleteKey"}
COMMON = (
    "Debug ErrorAction ErrorVariable InformationAction InformationVariable OutBuffer OutVariable "
    "PipelineVariable Verbose WarningAction WarningVariable"
)


class Use(NamedTuple):
    """A type, or a member of one where it is written or known; as the rows of the table have it."""

    use: str
    type: str
    member: str = ""
    arguments: str = ""

    def __str__(self) -> str:
        place = ".".join(filter(None, (self.type, self.member)))
        return f"{self.use} {place}" + (f"({self.arguments})" if self.arguments else "")

    def fits(self, row: Mapping[str, str]) -> bool:
        """Whether a row speaks of this; the type of an object is not known, so any will do."""
        same = (row["use"], row["member"], row["arguments"])
        return same == (self.use, self.member, self.arguments) and self.type in ("", row["type"])


@cache
def scripts() -> dict[str, dict[str, Any]]:
    """Every script that the kit makes, and every template, as the parser sees it."""
    templates = {
        f"templates/{path.relative_to(DATA).as_posix()}": path.read_bytes().replace(b"\n", b"\r\n")
        for path in (DATA / "windows").rglob("*.ps1")
    }
    found = parsed(files(".ps1") | templates)
    declared = [one["functions"] for name, one in found.items() if name in templates]
    for name in templates:  # a template calls what stands in its parts
        found[name]["functions"] = {k: v for one in declared for k, v in one.items()}
    return found


def parsed(sources: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Name → errors, newer, functions, commands and uses of each script, from one PowerShell."""
    with TemporaryDirectory() as folder:
        for name, data in sources.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        answer = json.loads(pwsh.run(HERE / "parsed.ps1", folder))
    return {
        name: _together(one, [answer["seen"][text] for text in one["statements"]])
        for name, one in answer["scripts"].items()
    }


def _together(script: dict[str, Any], seen: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "errors": script["errors"],
        "newer": [*script["newer"], *(one for part in seen for one in part["newer"])],
        "functions": {k: v for part in seen for k, v in part["functions"].items()},
        "commands": [one for part in seen for one in part["commands"]],
        "uses": [one for part in seen for one in part["uses"]],
    }


def offences(script: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a script Windows PowerShell 5.1 does not have, or no table speaks of."""
    yield from (f"error in line {one}" for one in script["errors"])
    yield from (f"newer than 5.1: {one}" for one in script["newer"])
    known = commands() | {name: {*given} for name, given in script["functions"].items()}
    for command in script["commands"]:
        name = command["name"]
        if name in PROGRAMS or command["text"] in CALLS:
            continue
        if name not in known:
            yield f"5.1 has no command {name or command['text']}"
        for parameter in {*command["parameters"]} - known.get(name, {*command["parameters"]}):
            yield f"{name} of 5.1 has no parameter {parameter}"
    for one, guarded in dict.fromkeys(uses(script)):
        rows = [row for row in members() if one.fits(row)]
        if one.use == "read" and one.member in {name for _, name in set_only()}:
            rows = [row for row in rows if row["readable"] == "yes"]
        if fault := _fault(rows, guarded):
            yield f"{one}: {fault}"


def uses(script: Mapping[str, Any]) -> Iterator[tuple[Use, bool]]:
    """Yield every type and member, and whether the script looks first which PowerShell runs it."""
    for one in script["uses"]:
        yield Use(*(one[key] or "" for key in Use._fields)), one["guarded"]


def _fault(rows: list[dict[str, str]], guarded: bool) -> str:
    """What is wrong with a use of which these rows speak; nothing if one of them permits it."""
    if not rows:
        return "no row of net-members.csv"
    if guarded or any(row["net462"] != "no" != row["ps7"] for row in rows):
        return ""
    return "not in both .NET Framework 4.6.2 and PowerShell 7, and no question for PSEdition"


@cache
def commands() -> dict[str, set[str]]:
    """Command of 5.1 → its parameters."""
    told = json.loads((HERE / "commands-5.1.json").read_text("utf-8"))
    return {
        name: {*f"{parameters} {COMMON} {PROVIDED.get(name, '')}".split()}
        for name, parameters in told.items()
    }


@cache
def members() -> list[dict[str, str]]:
    return rows_of(MEMBERS)


@cache
def set_only() -> set[tuple[str, str]]:
    """(type, member) of every property that can be set and not read."""
    return {(row["type"], row["member"]) for row in rows_of(HERE / "net-set-only.csv")}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def short(text: str) -> str:
    """The name of a row's type by which .NET knows what it has."""
    return "System.Array" if text.endswith("[]") else re.sub(r" \(.*\)|\|.*", "", text)


def all_uses(found: Iterable[Mapping[str, Any]]) -> set[Use]:
    """Every type and member of these scripts."""
    return {one for script in found for one, _ in uses(script)}
