"""The commands of a change: rehearse, run, plan, board, roll-out, and the records of a site."""

import os
import secrets
import sys
from dataclasses import asdict, astuple, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from vmscert.changes.execute import NotebookError, execute, find_runbook, parameters, read_settings
from vmscert.changes.job import Job, Unapproved, folder_of, records_folder, secret
from vmscert.cli import printing
from vmscert.cli.asking import ask_approval, ask_passwords, somebody_is_there
from vmscert.cli.printing import EXAMPLE, ended, err, out, print_json, warn
from vmscert.evidence.proof import prove
from vmscert.facts import facts, runbook_row
from vmscert.files import with_sums, write_folder
from vmscert.names import iso
from vmscert.records.clock import behind
from vmscert.records.folder import Records
from vmscert.records.sealed import PLAN, SUMS, count_steps, details, is_sealed, problems
from vmscert.site.table import find_table, read_site

# From the CA to its first renewal: what a rehearsal carries out, and what the board looks over.
_REHEARSED = [row["name"] for row in facts("change/runbooks") if row["rehearsed"]]


_BroughtArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="What people brought back, to be kept first.", exists=True, dir_okay=False),
]


_GOOD = ("verified", "not-judged")  # all that a rehearsal cannot look at are phones


def rehearse(
    site: printing.SiteArgument = EXAMPLE,
    folder: printing.FolderOption = "",
    as_json: printing.JsonOption = False,
) -> None:
    """Carry out runbooks 11 to 17 on simulated computers and verify every connection over TLS."""
    from vmscert.checks.claims import odd_names
    from vmscert.checks.live import one_by_one, read_verification

    path = find_table(site)
    described = read_site(path)
    begun = datetime.now(UTC)
    records = Records(folder or f"{records_folder(path)}-rehearsal-{begun:%Y%m%d-%H%M%S}")
    if records.has_authority:
        raise ValueError(f"{records.folder} has a CA already: rehearse in a new folder")
    records.begin_rehearsal()
    about = f"{len(described)} computers, {len(described.servers)} servers"
    about += f", {len(described.connections)} connections"
    err.print(f"Rehearsing [b]{escape(described.name)}[/b]: {about}")
    for host in described.servers:  # a rehearsal has no such client, the site may have
        warn(*(f"  {one.where}: {one.detail}" for one in odd_names(tuple(host.names), host.name)))
    finished = _carry_out(path, records)
    # Every handshake of the last verification; none if no runbook came that far.
    kept = (records.folder / "changes").glob("**/verification*.json")
    last = max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)
    rows = one_by_one(read_verification(last.read_bytes())) if last else []
    verified = finished and bool(rows) and all(row["verdict"] in _GOOD for row in rows)
    if as_json:
        told = {"site": described.name, "verified": verified, "begun": iso(begun)}
        print_json(told | {"files": str(records.folder.resolve()), "connections": rows})
    else:
        printing.show_verification(rows, records.folder)
    raise ended(verified)


def _carry_out(path: Path, records: Records) -> bool:
    """Run all runbooks, with passwords that are forgotten at the end, as far as none stops."""
    for what in ("CA", "PFX"):
        os.environ[f"VMSCERT_{what}_PASSWORD"] = secrets.token_urlsafe(18)
    for runbook in _REHEARSED:
        try:
            _execute(runbook, path, records)
        except NotebookError as error:
            warn(f"{runbook}: {error}")
            return False
        err.print(f"  [green]✔[/green] {runbook}")
    return True


def run(
    number: Annotated[str, typer.Argument(help="The runbook's number, 10 to 20.")],
    site: printing.SiteOption = EXAMPLE,
    folder: printing.FolderOption = "",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE for another parameter.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but what stops it.")] = False,
) -> None:
    """Carry out one runbook without a browser and keep it, as it ran, with the records.

    Passwords and who approved the plan are asked for. With nobody to ask, passwords come from
    VMSCERT_CA_PASSWORD, VMSCERT_PFX_PASSWORD and VMSCERT_RECORD_PASSWORD in the environment, and
    the approval from --set "APPROVED=3f9a1c7e55d0 Anna Berg".
    """
    from vmscert.changes.next import next_steps

    runbook = find_runbook(number)
    given, path = read_settings(runbook, setting or []), find_table(site)
    if twice := given.keys() & {"SITE", "FOLDER"}:
        raise ValueError(f"--set {min(twice)}: give it as --{min(twice).lower()}")
    described, records = read_site(path), Records(folder or folder_of(runbook, path))
    looking = Job(runbook, described, records, datetime.now(UTC).replace(microsecond=0), path)
    while True:
        approved = "APPROVED" not in parameters(runbook) or bool(given.get("APPROVED"))
        ask_passwords(runbook, described, records, approved)
        try:
            kept = _execute(runbook, path, records, **given)
            break
        except Unapproved as error:
            if not (answer := ask_approval(str(error))):
                again = 'Nothing was done. When it is approved: --set "APPROVED=<hash> <name>"'
                raise NotebookError(again if somebody_is_there() else f"{error}. {again}") from None
            given["APPROVED"] = answer
        except NotebookError:
            if not quiet:
                printing.show_next(next_steps(looking))
            raise
    if not quiet:
        makes = {"create CA", "promote CA"} & {*runbook_row(runbook)["deeds"].split("|")}
        keys = not records.rehearsal and "CA" in runbook_row(runbook)["passwords"].split("|")
        ca = records.ca_certificate if keys and makes else None
        printing.show_run(runbook, kept, ca, str(records.folder) if keys else "")
        printing.show_next(next_steps(looking))


def _execute(runbook: str, table: Path, records: Records, **more: object) -> list[Path]:
    """Run a runbook for a site's table, and return where it is kept as it ran."""
    given = {"SITE": str(table.resolve()), "FOLDER": str(records.folder.resolve()), **more}
    with err.status(runbook) as line:

        def said(text: str) -> None:
            line.update(f"{runbook}: {escape(text)}")

        return execute(runbook, given, records, datetime.now(UTC), said)


def plan(
    site: printing.SiteArgument = EXAMPLE,
    off: Annotated[bool, typer.Option("--off", help="Switch encryption off instead.")] = False,
    as_json: printing.JsonOption = False,
) -> None:
    """Number the steps in which encryption is switched on: what each costs, and what it waits for.

    Downtimes are estimates; how sure the order is stands in every line.
    """
    from vmscert.runbooks.visits import plan_switching
    from vmscert.site.order import switch_off, switch_on, too_early

    described = read_site(find_table(site))
    if as_json:
        steps = []
        for step in (switch_off if off else switch_on)(described):
            more = {"waits_for": step.waits_for, "too_early": too_early(described, step, ())}
            steps.append(asdict(step) | more)
            del steps[-1]["reasons"]
        print_json(steps)
    else:
        printing.show_plan(plan_switching(described, off))


def board(
    files: _BroughtArgument = None,
    site: printing.SiteOption = EXAMPLE,
    folder: printing.FolderOption = "",
    as_json: printing.JsonOption = False,
) -> None:
    """Tell where each computer stands, and who has to go where next. Exit 1 if anything is left."""
    from vmscert.changes.errands import SETTLED, board
    from vmscert.changes.next import next_steps
    from vmscert.runbooks.returns import take_dropped, take_files
    from vmscert.runbooks.stages import open_job

    # The site as the last runbook sees it, opened as the first, which catches up on nothing.
    job = replace(open_job(_REHEARSED[0], site, folder), runbook=_REHEARSED[-1])
    given = take_files(job, files or [])
    for told in [*(sentence for sentence, _ in given), *take_dropped(job)]:
        err.print(told, soft_wrap=True, markup=False)
    state = job.state()
    standings, wrong = board(job, state), behind(job.at, job.past(state))
    warn(*filter(None, [wrong]))
    if as_json:
        print_json([asdict(one) for one in standings])
    else:
        printing.show_next(next_steps(job, state))
        headings = ("computer", "who", "state", "lacks", "next")
        printing.show_table(headings, map(astuple, standings), wrapped=("who", "lacks", "next"))
    settled = not wrong and all(one.state in SETTLED for one in standings)
    raise ended(settled and all(kept for _, kept in given))


def what_next(
    site: printing.SiteArgument = EXAMPLE,
    folder: printing.FolderOption = "",
    as_json: printing.JsonOption = False,
) -> None:
    """Tell what is to be done next: who, where, with what; or what is waited for, since when.

    What lies in `drop` of the site's folder is taken in first. Exit 1 if anything is to be done.
    """
    from vmscert.changes.next import all_done, next_steps
    from vmscert.runbooks.returns import take_dropped

    path = find_table(site)
    if path.is_dir():  # the records themselves, with the table that they keep
        folder, path = folder or str(path), path / "site.csv"
    records = Records(folder or records_folder(path))
    now = datetime.now(UTC).replace(microsecond=0)
    job = Job(_REHEARSED[-1], read_site(path), records, now, path)
    if records.folder.exists():
        for told in take_dropped(job):
            err.print(told, soft_wrap=True, markup=False)
    steps = next_steps(job)
    if as_json:
        print_json([asdict(one) for one in steps])
    else:
        printing.show_next(steps)
    raise ended(all_done(steps))


def roll_out(
    site: printing.SiteArgument,
    to: Annotated[Path, typer.Option("--to", help="A new folder for the files.")],
    folder: printing.FolderOption = "",
) -> None:
    """Make the folder with which an administrator brings the CA certificate to all computers.

    For Group Policy, PowerShell Remoting, Intune, Configuration Manager, and for phones.
    """
    from vmscert.changes.errands import rolled_out
    from vmscert.records.state import read_state

    path = find_table(site)
    described, records = read_site(path), Records(folder or records_folder(path))
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ValueError(f"{to} exists and is not an empty folder: name a new one")
    files = rolled_out(read_state(records, described, datetime.now(UTC)))
    if to.exists():
        to.rmdir()  # an empty one, in whose place the whole folder appears
    write_folder(to, with_sums(files))
    out.print(f"Read {escape(str(to / 'README.html'))} first.", soft_wrap=True)


def verify(
    folder: Annotated[Path, typer.Argument(help="A site's folder, or the record of one change.")],
) -> None:
    """Find what was changed, removed, added or moved, in ledger, change records and files.

    That proves order and integrity; not the time, and not who it was.
    """
    # The folder of one change is one wherever it was copied to.
    if (folder / SUMS).exists() or (details(folder) / PLAN).exists():
        if not is_sealed(folder):
            why = "this change is not closed, or lost its signature"
            raise ValueError(f"{folder} is not signed: {why}")
        wrong, told = list(problems(folder)), ["not compared: ledger and files of the site"]
        good = [] if wrong else [f"{count_steps(folder)} steps, signed and unbroken"]
    else:
        records = Records(folder)
        if not records.ledger.path.exists() and not records.ledger.seal.exists():
            raise ValueError(f"{folder} holds no ledger.csv: name the folder of a site's records")
        wrong, told = list(records.ledger.problems()), ["not compared: the records and files"]
        good = [f"{len(records.ledger.entries())} lines, unbroken"] if not wrong else []
        if not wrong:
            wrong, closed, still_open, told = prove(records)
            good.append(f"{closed} change record{'' if closed == 1 else 's'}, signed and unbroken")
            good += [f"{path}: not closed yet" for path in still_open]
    warn(*wrong)
    for line in good if not wrong else ():
        out.print(f"[green]✔[/green] {escape(line)}", soft_wrap=True)
    for line in told:
        out.print(f"  {escape(line)}", soft_wrap=True)
    raise ended(not wrong)


def drill(
    backup: Annotated[Path, typer.Argument(help="The backup of a site's folder.")],
    folder: Annotated[str, typer.Option("--folder", help="The site's own folder.")] = "",
    as_json: printing.JsonOption = False,
) -> None:
    """Prove on a copy that the site could live from a backup: it opens, issues, and is complete.

    With --folder the backup is compared with the site's own folder, whose ledger notes the drill.
    """
    from vmscert.evidence.drill import restore_drill

    own, rehearsal = Records(folder) if folder else None, Records(backup).rehearsal
    ca = secret("CA", rehearsal)
    if rehearsal or os.environ.get("VMSCERT_PFX_PASSWORD"):
        pfx = secret("PFX", rehearsal)
    elif sys.stdin.isatty():
        text = "Password of the PFX files (empty: they are not opened)"
        pfx = typer.prompt(text, default="", hide_input=True, show_default=False, err=True)
    else:
        pfx = ""
    checks = restore_drill(backup, own, ca, datetime.now(UTC), pfx_password=pfx)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        printing.show_checks(checks)
    raise ended(all(check.ok for check in checks))
