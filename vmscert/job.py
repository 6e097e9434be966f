"""One run of one runbook: the site, the folder of its records, the time, and its secrets."""

import getpass
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vmscert.facts import DATA, HOME
from vmscert.keyfile import check_password
from vmscert.records import Records
from vmscert.site import Site

EXAMPLE = DATA / "sites" / "example.csv"
NOBODY = (
    "Nobody is there to type the password for {label}: open the notebook in JupyterLab, or set "
    "VMSCERT_{what}_PASSWORD for this run"
)
# Everybody may know it: a rehearsal's CA says in its name that it is one.
_TEACHING_PASSWORD = "for rehearsals only"


@dataclass(frozen=True)
class Job:
    """One run of one runbook on one site; `at` is the time at which it was opened."""

    runbook: str
    site: Site
    records: Records
    at: datetime

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
        folder = self.records.folder.resolve()
        return (folder.relative_to(HOME) if folder.is_relative_to(HOME) else folder).as_posix()

    def secret(self, what: str, new: bool = False) -> str:
        """Return the password of the "CA" or of the "PFX" files; a person is asked for it.

        A run with nobody to ask takes it from the environment (VMSCERT_CA_PASSWORD,
        VMSCERT_PFX_PASSWORD); a rehearsal without that uses one that everybody may know.
        """
        given = os.environ.get(f"VMSCERT_{what}_PASSWORD")
        if given:
            return check_password(given)
        if self.rehearsal:
            return _TEACHING_PASSWORD
        return _ask(what, new)


@dataclass(frozen=True)
class Check:
    """One line of a precheck or a verification: what should hold, whether it does, what to do."""

    what: str
    ok: bool
    todo: str = ""


def records_folder(site: Path) -> Path:
    """Return where a site's records lie unless another folder is named.

    In `data/records/` of a checkout, else in `records/` here; VMSCERT_RECORDS names another place.
    """
    base = HOME / "data" if (HOME / "pyproject.toml").exists() else Path.cwd()
    return Path(os.environ.get("VMSCERT_RECORDS") or base / "records") / site.stem


def _ask(what: str, new: bool) -> str:
    """Ask a person for a password; twice for a new one."""
    label = {"CA": "the CA's private key", "PFX": "the PFX files"}[what]
    try:
        password = check_password(getpass.getpass(f"Password for {label}: "))
        if new and getpass.getpass(f"Password for {label}, once more: ") != password:
            raise ValueError("The two passwords differ: run the cell again")
    except (EOFError, NotImplementedError, RuntimeError):
        raise RuntimeError(NOBODY.format(what=what, label=label)) from None
    return password
