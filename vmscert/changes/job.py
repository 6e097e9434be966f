"""One run of one runbook: the site, the folder of its records, the time, and its secrets."""

import getpass
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vmscert.certificates.keys import check_password
from vmscert.facts import DATA, HOME, facts
from vmscert.records.clock import Clue, clues, of_the_kit
from vmscert.records.folder import Records
from vmscert.records.state import State, read_state
from vmscert.site.site import Site

EXAMPLE = DATA / "sites" / "example.csv"
NOBODY = (
    "Nobody is there to type the password for {label}: open the notebook in JupyterLab, or set "
    "VMSCERT_{what}_PASSWORD for this run"
)
_PASSWORDS = {row["what"]: row for row in facts("change/passwords")}
_TRIES = 3
_TYPED: dict[str, bool] = {}  # by a person in this run, for keys of the site → whether it is new
# What ends → the name of the runbook for it.
RUNBOOK_FOR = {
    kind: row["name"]
    for row in facts("change/runbooks")
    for kind in filter(None, row["ends"].split("|"))
}
RECORD_KEY = "record.key"  # of a site's folder
# Everybody may know it: a rehearsal's CA says in its name that it is one.
_TEACHING_PASSWORD = "for rehearsals only"


class Stop(Exception):  # noqa: N818 - what people read in red is this name
    """The notebook stops here, with one line that says what to do."""

    def _render_traceback_(self) -> list[str]:
        return [f"Stop: {self}"]


class Unapproved(Stop):
    """Nothing was done yet, for want of an approval."""


@dataclass(frozen=True)
class Job:
    """One run of one runbook on one site."""

    runbook: str
    site: Site
    records: Records
    at: datetime  # when it was opened
    table: Path | None = None  # the file that describes the site
    clock: Callable[[], datetime] | None = None  # tells the time of a step, which is later
    kit: datetime | None = None  # when its newest file was written, if `at` is of a real clock
    change: Any = None  # a Change, which knows this module: what was approved, once it was

    @property
    def number(self) -> str:
        """The runbook's number, as the ledger names it."""
        return self.runbook[:2]

    @property
    def rehearsal(self) -> bool:
        """Whether the computers are simulated."""
        return self.records.rehearsal

    @property
    def folder(self) -> str:
        """The folder of the records, short where it lies within the kit."""
        return short(self.records.folder)

    def state(self) -> State:
        """Read what the site's folder says now, to look at; anew after something was done."""
        return read_state(self.records, self.site, self.at)

    def past(self, state: State) -> list[Clue]:
        """Return the times that are past, as far as they are at hand."""
        return [*clues(state), *of_the_kit(self.kit)]

    def permit(self) -> None:
        """Raise Stop unless this may change something: a rehearsal may, and an approved plan."""
        if self.rehearsal:
            return
        if self.change is None:
            raise Stop("this is a real site, and no plan of this run is approved: run the cells "
                       "above, from the top")  # fmt: skip
        self.change.demand(self)

    def secret(
        self, what: str, new: bool = False, opens: Callable[[str], object] | None = None
    ) -> str:
        """Return the password of the "CA", the "PFX" files or the "RECORD" key, as `secret`."""
        return secret(what, self.rehearsal, new, opens)


def secret(
    what: str,
    rehearsal: bool,
    new: bool = False,
    opens: Callable[[str], object] | None = None,
) -> str:
    """Return a password; a person is asked for it, twice for a new one.

    `opens` raises ValueError for a wrong one, and then it is asked for again; one that was typed
    for another key of the site, and opens this one, too, is not. A run with nobody to ask takes it
    from the environment (VMSCERT_CA_PASSWORD and so on; the record key has the CA's if it has none
    of its own); a rehearsal without that uses one that everybody may know. One that another tool
    asked for ("INHERITED") may be short.
    """
    if what == "INHERITED" and (found := os.environ.get("VMSCERT_INHERITED_PASSWORD")) is not None:
        return found  # also nothing, where its files have none
    check = str if what == "INHERITED" else check_password
    names = (what, "CA") if what == "RECORD" else (what,)
    given = [os.environ.get(f"VMSCERT_{name}_PASSWORD") for name in names]
    if found := next(filter(None, given), None):
        return check(found)
    if rehearsal:
        return _TEACHING_PASSWORD
    of_the_site = what in ("CA", "RECORD")
    label, why = _PASSWORDS[what]["label"], _PASSWORDS[what]["why_new" if new else "why"]
    for typed, is_new in _TYPED.items() if of_the_site else ():
        if is_new if new else _opened(opens, typed):  # an old one is given to no new key unasked
            print(f"The password typed before is that of {label}, too.")
            return typed
    print(why)
    try:
        password = _asked(f"Password for {label}", check, opens)
        if new and getpass.getpass(f"Password for {label}, once more: ") != password:
            raise ValueError("The two passwords differ: run the cell again")
    except (EOFError, NotImplementedError, RuntimeError):
        raise RuntimeError(NOBODY.format(what=what, label=label)) from None
    if of_the_site:
        _TYPED[password] = new
    return password


def forget() -> None:
    """Forget what was typed: another run begins, perhaps of another site."""
    _TYPED.clear()


def _asked(label: str, check: Callable[[str], str], opens: Callable[[str], object] | None) -> str:
    """A password that a person typed, and that opens what it is for; a wrong one is told twice."""
    for _ in range(_TRIES - 1):
        password = check(getpass.getpass(f"{label}: "))
        if opens is None or _opened(opens, password):
            return password
        print("That is not the password.")
    password = check(getpass.getpass(f"{label}: "))
    if opens:
        opens(password)  # and says why
    return password


def _opened(opens: Callable[[str], object] | None, password: str) -> bool:
    try:
        return bool(opens and opens(password))
    except ValueError:
        return False


def shell_word(text: str) -> str:
    """Return a word that no shell of this system takes for more than a word: PowerShell's or sh."""
    if os.name != "nt":
        return shlex.quote(text)
    plain = re.fullmatch(r"[\w@%+=:./\\-]+", text)
    # It takes curly quotes for straight ones; any of them, doubled, stands for itself.
    return text if plain else "'" + re.sub("(['\u2018-\u201b])", r"\1\1", text) + "'"


def short(path: Path) -> str:
    """Return a path as people type it: from the kit or from here if it lies below, else whole."""
    whole, places = path.resolve(), (HOME, Path.cwd())
    below = (whole.relative_to(one) for one in places if whole.is_relative_to(one))
    return next(below, whole).as_posix()


def folder_of(runbook: str, site: Path) -> Path:
    """Return where a runbook keeps the records of a site; the example is not two sites at once."""
    folder = records_folder(site)
    rows = (row for row in facts("change/runbooks") if runbook.startswith(row["runbook"]))
    also = next((row["example"] for row in rows if site.resolve() == EXAMPLE.resolve()), "")
    return folder.with_name(f"{folder.name}-{also}") if also else folder


def records_folder(site: Path) -> Path:
    """Return the folder of a site in VMSCERT_RECORDS, in data/records of a checkout, or here."""
    base = HOME / "data" if (HOME / "pyproject.toml").exists() else Path.cwd()
    return Path(os.environ.get("VMSCERT_RECORDS") or base / "records") / site.stem
