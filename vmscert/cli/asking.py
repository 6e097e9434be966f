"""What a run asks the person before the terminal: passwords, each once, and who approved.

They reach the notebook's kernel in its environment, for this run alone.
"""

import getpass
import os
import sys
from functools import partial

from vmscert.certificates.keys import new_password
from vmscert.changes.change import open_record_key
from vmscert.changes.job import RECORD_KEY, secret
from vmscert.cli.printing import err, warn
from vmscert.facts import runbook_row
from vmscert.records.folder import Records
from vmscert.site.site import PFX, Site


def somebody_is_there() -> bool:
    """Whether a person sits before the terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_passwords(runbook: str, site: Site, records: Records, approved: bool) -> None:
    """Ask for each password that a run needs and has not been given, and try it at once.

    Before a plan is approved nothing is made or signed, and only what others made is opened.
    """
    wanted = runbook_row(runbook)["passwords"].split("|")
    if records.rehearsal or not somebody_is_there():
        return
    told = {}
    if "INHERITED" in wanted:
        told["INHERITED"] = secret("INHERITED", False)
    if approved:
        made = (records.folder / RECORD_KEY).exists()
        opens = partial(open_record_key, records) if made else None
        if "CA" in wanted:
            there = records.has_authority
            told["CA"] = secret("CA", False, not there, records.authority if there else None)
        told["RECORD"] = secret("RECORD", False, not made, opens)
        if "PFX" in wanted and any(host.enrolment == PFX for host in site.servers):
            told["PFX"] = os.environ.get("VMSCERT_PFX_PASSWORD") or _for_pfx_files()
    os.environ.update({f"VMSCERT_{what}_PASSWORD": password for what, password in told.items()})


def _for_pfx_files() -> str:
    """The password of the PFX files: an old one that is typed, or a new one, shown here alone."""
    if typed := getpass.getpass("Password for the PFX files (Enter: a new one is made): "):
        return typed
    told = "The password of the PFX files. It is shown here only and kept nowhere: write it down"
    err.print(f"{told} now.\n\n    {(new := new_password())}\n", markup=False, highlight=False)
    return new


def ask_approval(why: str) -> str:
    """Ask who approved a plan; nothing where nobody has, or nobody can be asked."""
    if not somebody_is_there():
        return ""
    warn(why)
    err.print("The plan's hash and the name of who approved it (Enter: stop here): ", end="")
    return input().strip()
