"""Checks net-members.csv against reference assemblies, and writes the rows that are missing.

Run by hand, with PowerShell 7, where a script uses a type or member that is new:

    apt-get download mono-devel libmono-cecil-private-cil
    for package in *.deb; do dpkg -x $package FOLDER; done
    python tests/windows/members.py FOLDER [--write] [TYPE ...]

The packages are Debian's (Mono 6.8). They hold the public surface of .NET Framework 4.5, 4.6.2 and
4.8 as assemblies without code, and Mono.Cecil, which reads assemblies; column ps7 comes from those
of the PowerShell that runs this. Where a member belongs is not written in a script: it is looked
for in the types of the table, in those that their members return, and in each TYPE. What only
PowerShell itself, CIM or a hashtable has is written by hand, with an empty assembly.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import pwsh
from five_one import HERE, MEMBERS, Use, all_uses, members, scripts, set_only, short

FRAMEWORKS = {"net45": "4.5-api", "net462": "4.6.2-api", "net48": "4.8-api"}
Row = dict[str, str]


class Reference:
    """What types have by the assemblies of each framework."""

    def __init__(self, folder: Path, names: Iterable[str]):
        self._cecil = next(folder.glob("usr/lib/mono/gac/Mono.Cecil/0.11*/Mono.Cecil.dll"))
        mono = folder / "usr/lib/mono"
        self._places = {name: mono / place for name, place in FRAMEWORKS.items()}
        self._places["ps7"] = Path("ps7")
        self._names = sorted(names)
        self._known: dict[str, dict[str, Any]] = {name: {} for name in self._places}
        self._asked: set[str] = set()

    def learn(self, types: Iterable[str]) -> None:
        """Look these types up in every framework, once."""
        asked = sorted({*types} - self._asked)
        self._asked.update(asked)
        with TemporaryDirectory() as folder:
            question = Path(folder, "question.json")
            question.write_text(json.dumps({"types": asked, "names": self._names}), "utf-8")
            for name, place in self._places.items():
                answer = pwsh.run(HERE / "members.ps1", self._cecil, place, question)
                self._known[name] |= json.loads(answer)

    def types_with(self, use: Use) -> set[str]:
        """The types of any framework that declare what a script uses of an object."""
        return {
            found["type"]
            for types in self._known.values()
            for one in types
            for found in self._found(types, use._replace(type=one))
        }

    def returned(self, wanted: set[Use]) -> set[str]:
        """The types of what the members return that the scripts use."""
        return {
            name
            for types in self._known.values()
            for one in types
            for use in wanted
            if use.member and use.type in ("", one)
            for found in self._found(types, use._replace(type=one))
            for name in found["returns"].replace(">", "").replace("[]", "").split("<")
        }

    def row(self, use: Use) -> Row:
        """The row for what a script uses, where its type is known."""
        row = use._asdict() | {"readable": "", "writable": "", "assembly": ""}
        for name, types in self._known.items():
            there = [*self._found(types, use)]
            row[name] = "yes" if there else "no"
            if there and not row["assembly"]:
                row["assembly"] = types[short(use.type)]["assembly"]
                if "readable" in there[0]:
                    flags = {key: there[0][key] for key in ("readable", "writable")}
                    row |= {key: "yes" if flag else "no" for key, flag in flags.items()}
        if row["assembly"] == "System.Management.Automation":  # 5.1 has its own, found nowhere here
            row |= dict.fromkeys(FRAMEWORKS, "not checked")
        return row

    def _found(self, types: dict[str, Any], use: Use) -> Iterator[dict[str, Any]]:
        """Yield what a framework knows of one use, the nearest declaration first."""
        known = types.get(short(use.type))
        if known is None:
            return
        if use.use == "type":
            yield known
        properties = set()
        for one in known["members"]:
            if one["member"] != use.member:
                continue
            if one["use"].endswith("property"):
                flag = "writable" if use.use.endswith("write") else "readable"
                kind = use.use.replace("read", "property").replace("write", "property")
                if one["use"] == kind and one["member"] not in properties and one[flag]:
                    yield one
                properties.add(one["member"])  # what lies above it is hidden
            elif one["use"] == use.use and int(use.arguments) in one["arguments"]:
                yield one


def needed(reference: Reference, wanted: set[Use], types: Iterable[str]) -> Iterator[Row]:
    """Yield a row for each use; say where nobody has what a script uses."""
    by_hand = [row for row in members() if not row["assembly"]]
    kept = [row for row in members() if row["assembly"]]
    _learn_all(reference, wanted, types)
    for use in sorted(wanted):
        rows = [row for row in kept if use.fits(row)]
        hand = [row for row in by_hand if use.fits(row)]
        owners = {use.type} if use.type else {row["type"] for row in rows}
        if not owners and not hand:
            owners = reference.types_with(use)
        owners = {one for one in owners if (one, use.member) not in set_only()}
        found = [reference.row(use._replace(type=one)) for one in sorted(owners)]
        found = [row for row in found if row["assembly"]]
        yield from (_own(row, rows) for row in found)
        yield from hand
        if not found and not hand:
            print(f"{use}: found nowhere. Name its type behind the folder, or write its row")


def _learn_all(reference: Reference, wanted: set[Use], types: Iterable[str]) -> None:
    """Look up the types of the table and the scripts, their bases, and what they return."""
    more = {*types, *(short(row["type"]) for row in members()), *(short(u.type) for u in wanted)}
    known: set[str] = set()
    while more - known - {""}:
        reference.learn(more - known - {""})
        known |= more
        more = reference.returned(wanted)
        more |= {one for use in wanted if not use.type for one in reference.types_with(use)}


def _own(row: Row, old: list[Row]) -> Row:
    """A row as it was where these assemblies can not tell."""
    same = next((one for one in old if one["type"] == row["type"]), row)
    return row | {name: same[name] for name in FRAMEWORKS if row[name] == "not checked"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("types", nargs="*", metavar="TYPE")
    parser.add_argument("--write", action="store_true", help="write the table anew")
    given = parser.parse_args()
    wanted = all_uses(scripts().values())
    reference = Reference(given.folder, {use.member for use in wanted if use.member})
    fields = [*members()[0]]
    found = {tuple(row[f] for f in fields) for row in needed(reference, wanted, given.types)}
    there = {tuple(row.values()) for row in members()}
    for sign, rows in (("-", there - found), ("+", found - there)):
        for row in sorted(rows):
            print(sign, ",".join(row))
    if given.write:
        with MEMBERS.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([fields, *sorted(found)])


if __name__ == "__main__":
    main()
