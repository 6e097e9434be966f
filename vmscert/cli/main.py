"""The command `vmscert`: lab, rehearse, run, plan, check, connect, survey, roll-out, due, …"""

import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vmscert.cli.printing import (
    err,
    out,
    show_board,
    show_checks,
    show_document,
    show_due,
    show_findings,
    show_plan,
    show_survey,
    show_verification,
)
from vmscert.facts import HOME, NOTEBOOKS
from vmscert.files import is_file
from vmscert.findings import Finding
from vmscert.names import iso
from vmscert.network.reach import AT_ONCE, TIMEOUT
from vmscert.records.folder import Records
from vmscert.site.table import SiteError, find_table, read_site

if TYPE_CHECKING:
    from cryptography import x509

    from vmscert.agenda.gather import Agenda
    from vmscert.changes.job import Job
    from vmscert.checks.documents import Document
    from vmscert.site.order import Step
    from vmscert.site.site import Site

app = typer.Typer(
    help="TLS certificates for an XProtect site: learn, change, troubleshoot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
records_app = typer.Typer(help="The folder of one site.", no_args_is_help=True)
app.add_typer(records_app, name="records")

NOTHING, FOUND, UNUSABLE = 0, 1, 2  # exit codes of check, due and records verify

SiteOption = Annotated[str, typer.Option("--site", help="The site's table.")]
FolderOption = Annotated[str, typer.Option("--folder", help="The folder of the site's records.")]
RootsOption = Annotated[
    list[Path] | None, typer.Option("--root", help="A CA certificate that clients trust.")
]
NameOption = Annotated[str, typer.Option(help="The name that clients use for the server.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each step.")]
OnOption = Annotated[
    str, typer.Option("--on", help="Seen from this day, YYYY-MM-DD; today if empty.")
]
RememberOption = Annotated[
    Path | None, typer.Option(help="With --mail: a file that keeps in mind what was told.")
]
LogOption = Annotated[
    Path | None, typer.Option(help="With --mail: a file to which each run adds what it told.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab at the start notebook; further arguments go to `jupyter lab`."""
    notebooks = _own_notebooks()
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={notebooks.parent}",  # the tables of sites are in reach, too
        f"--LabApp.default_url=/lab/tree/{notebooks.name}/00-start-here.ipynb",
        # Sites are often offline, and nobody is asked for news or updates.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--MappingKernelManager.transport_encryption=auto",
        *context.args,
    ]
    with tempfile.TemporaryDirectory() as folder:
        raise typer.Exit(subprocess.call(command, env=os.environ | _no_news(Path(folder))))


@app.command()
def rehearse(
    site: Annotated[str, typer.Argument(help="The site's table.")] = "data/sites/example.csv",
    folder: FolderOption = "",
    as_json: JsonOption = False,
) -> None:
    """Carry out runbooks 11 to 17 on simulated computers and verify every connection over TLS."""
    from vmscert.changes.job import records_folder

    path = find_table(site)
    described = read_site(path)
    begun = datetime.now(UTC)
    records = Records(folder or f"{records_folder(path)}-rehearsal-{begun:%Y%m%d-%H%M%S}")
    if records.has_authority:
        raise ValueError(f"{records.folder} has a CA already: rehearse in a new folder")
    records.begin_rehearsal()
    err.print(
        f"Rehearsing [b]{escape(described.name)}[/b]: {len(described)} computers, "
        f"{len(described.servers)} servers, {len(described.connections)} connections"
    )
    finished = _carry_out(path, records)
    rows = _last_verification(records)
    verified = finished and bool(rows) and all(row["verdict"] == "verified" for row in rows)
    if as_json:
        about = {"site": described.name, "verified": verified, "begun": iso(begun)}
        place = {"files": str(records.folder.resolve())}
        print(json.dumps(about | place | {"connections": rows}, indent=1))
    else:
        show_verification(rows, records.folder)
    raise typer.Exit(NOTHING if verified else FOUND)


@app.command()
def run(
    number: Annotated[str, typer.Argument(help="The runbook's number, 10 to 19.")],
    site: SiteOption = "data/sites/example.csv",
    folder: FolderOption = "",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE for another parameter (JSON).")
    ] = None,
) -> None:
    """Carry out one runbook without a browser and keep it, as it ran, with the records.

    Passwords come from VMSCERT_CA_PASSWORD and VMSCERT_PFX_PASSWORD in the environment.
    """
    from vmscert.changes.execute import execute, find_runbook
    from vmscert.changes.job import folder_of

    runbook = find_runbook(number)
    path = find_table(site)
    read_site(path)
    records = Records(folder or folder_of(runbook, path))
    parameters = {
        "SITE": str(path.resolve()),
        "FOLDER": str(records.folder.resolve()),
        **dict(map(_setting, setting or [])),
    }
    with err.status(runbook):
        kept = execute(runbook, parameters, records, datetime.now(UTC))
    out.print(f"[green]✔[/green] {runbook}", *map(str, kept), sep="\n  ", soft_wrap=True)


@app.command()
def plan(
    site: Annotated[str, typer.Argument(help="The site's table.")] = "data/sites/example.csv",
    off: Annotated[bool, typer.Option("--off", help="Switch encryption off instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Number the steps in which encryption is switched on: what each costs, and what it waits for.

    Downtimes are estimates; how sure the order is stands in every line.
    """
    from vmscert.runbooks.visits import plan_switching
    from vmscert.site.order import switch_off, switch_on

    described = read_site(find_table(site))
    if as_json:
        steps = (switch_off if off else switch_on)(described)
        print(json.dumps([_step(described, step) for step in steps], indent=1))
    else:
        show_plan(plan_switching(described, off))


def _step(site: "Site", step: "Step") -> dict[str, Any]:
    from vmscert.site.order import too_early

    told = asdict(step)
    del told["reasons"]
    return told | {"waits_for": step.waits_for, "too_early": too_early(site, step, ())}


@app.command(name="board")
def board_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="What people brought back, to be kept first.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    site: SiteOption = "data/sites/example.csv",
    folder: FolderOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tell where each computer stands, and who has to go where next. Exit 1 if anything is left."""
    from vmscert.changes.standings import SETTLED, board
    from vmscert.runbooks.returns import take_dropped, take_each

    job = _job_so_far(site, folder)
    given = take_each(job, [(path.name, path.read_bytes()) for path in files or []])
    for told in [*(sentence for sentence, _ in given), *take_dropped(job)]:
        err.print(told, soft_wrap=True, markup=False)
    standings = board(job)
    if as_json:
        print(json.dumps([asdict(one) for one in standings], indent=1))
    else:
        show_board(standings)
    left = any(one.state not in SETTLED for one in standings) or not all(kept for _, kept in given)
    raise typer.Exit(FOUND if left else NOTHING)


def _job_so_far(site: str, folder: str) -> "Job":
    """A site as the last runbook sees it, opened as the first, which catches up on nothing."""
    from vmscert.runbooks.stages import STAGES, open_runbook

    opened = open_runbook(STAGES["11"]["name"], site, folder)
    return replace(opened, runbook="17-renew-before-expiry")


@app.command()
def check(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders of any kind; - for what is pasted.")
    ],
    roots: RootsOption = None,
    name: NameOption = "",
    on: OnOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Show all fields.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what something is, and everything that is wrong with it.

    Certificates in any wrapping, PFX, P7B, requests, keys, revocation lists, inventories, a site's
    folder or table, and what netsh, certutil or XProtect's configuration files say.
    """
    from vmscert.checks.documents import check_path, in_use, judge_document, read

    trusted, at = _roots(roots), _at(on)
    pasted = {"-": read(sys.stdin.buffer.read())} if Path("-") in paths else {}
    crls = [crl for path in paths if path.is_file() for crl in read(path).crls]
    answers = {
        str(path): (pasted["-"], judge_document(pasted["-"], trusted, name, at, crls))
        if str(path) == "-"
        else check_path(path, trusted, name, at, _ask_pfx, crls)
        for path in paths
    }
    if as_json:
        print(json.dumps({path: _as_dict(*answer) for path, answer in answers.items()}, indent=1))
    else:
        for path, (document, findings) in answers.items():
            show_document(path, document, findings, everything)
        for line in in_use(document for document, _ in answers.values()):
            out.print(line, soft_wrap=True, markup=False)
    raise typer.Exit(_how_it_went(answers.values()))


@app.command()
def connect(
    server: Annotated[str, typer.Argument(help="HOST:PORT, or an address as in a browser.")],
    roots: RootsOption = None,
    name: NameOption = "",
    timeout: TimeoutOption = TIMEOUT,
    as_json: JsonOption = False,
) -> None:
    """Look at one server: what it presents, and every reason why a client would refuse it."""
    from vmscert.certificates.formats import counted
    from vmscert.names import endpoint
    from vmscert.network.looks import look_at
    from vmscert.network.targets import Target

    address, port = endpoint(server)
    target = Target(address, port, name or address)
    look = look_at(target, _roots(roots), datetime.now(UTC), timeout=timeout)
    seen = look.handshake
    if as_json:
        told = {"trusted": look.trusted, "tls": seen.version, "cipher": seen.cipher}
        path = look.diagnosis.as_dict()["path"] if look.diagnosis else []
        more = {"problem": seen.problem, "hint": seen.hint, "seconds": seen.seconds, "path": path}
        findings = [finding.as_dict() for finding in look.findings]
        print(json.dumps({"server": server, **told, **more, "findings": findings}, indent=1))
    else:
        shown = f"{seen.version}, {counted(look.presented)}, asked for {seen.name}"
        about = shown if look.presented else "no certificate was seen"
        show_findings(f"{address}:{port}", about, look.findings)
        if seen.hint:
            out.print(f"  {seen.hint}.", soft_wrap=True, markup=False)
    raise typer.Exit(FOUND if look.findings else NOTHING)


@app.command(name="survey")
def survey_command(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="HOST:PORT, port ranges, networks, or files of such lines or CSV."),
    ] = None,
    site: Annotated[str, typer.Option("--site", help="All servers of this site's table.")] = "",
    folder: FolderOption = "",
    roots: RootsOption = None,
    at_once: Annotated[int, typer.Option(min=1, help="Servers looked at together.")] = AT_ONCE,
    timeout: TimeoutOption = TIMEOUT,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the whole table here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at many servers at once: who presents what, until when, and what to do first.

    With --site, the records of the site tell which CA to trust and what each server should present.
    Ctrl-C ends early and keeps what was found.
    """
    from vmscert.files import write_atomic
    from vmscert.network.survey import survey
    from vmscert.network.targets import read_targets, site_targets

    wanted = read_targets(targets or [])
    trusted, expected = _roots(roots), {}
    if site:
        path = find_table(site)
        described = read_site(path)
        wanted += site_targets(described)
        more, expected = _of_the_records(path, described, folder)
        trusted += more
    if not wanted:
        raise ValueError("Nothing to look at: name servers, or a site's table with --site")
    with err.status("") as status:
        found = survey(
            wanted,
            trusted,
            datetime.now(UTC),
            expected=expected,
            at_once=at_once,
            timeout=timeout,
            progress=lambda done, of: status.update(f"{done} of {of} servers"),
        )
    if table:
        write_atomic(table, found.frame().to_csv(index=False).encode("utf-8-sig"))
    if as_json:
        about = {"interrupted": found.interrupted, "endpoints": found.rows()}
        print(json.dumps(about, indent=1, default=iso))
    else:
        show_survey(found)
    raise typer.Exit(FOUND if any(one.findings for one in found.seen) else NOTHING)


@app.command(name="explain", context_settings={"ignore_unknown_options": True})
def explain_command(
    texts: Annotated[
        list[str] | None, typer.Argument(help="The error's text, a file that holds it, or -.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a pasted error means, and which check decides. Exit 1 if the text is unknown."""
    from vmscert.certificates.symptoms import explain

    given = " ".join(texts or [])
    if given in ("", "-"):
        if sys.stdin.isatty():
            err.print("Paste the error, then press Ctrl-D (Windows: Ctrl-Z and Enter).")
        given = sys.stdin.read()
    elif len(texts or []) == 1 and is_file(given):
        given = Path(given).read_bytes().decode("utf-8", "replace")
    answer = explain(given)
    if as_json:
        print(json.dumps(answer.as_dict(), indent=1))
    else:
        out.print(str(answer), soft_wrap=True, markup=False, highlight=False)
    raise typer.Exit(NOTHING if answer.known else FOUND)


@app.command(name="roll-out")
def roll_out_command(
    site: Annotated[str, typer.Argument(help="The site's table.")],
    to: Annotated[Path, typer.Option("--to", help="A new folder for the files.")],
    folder: FolderOption = "",
) -> None:
    """Make the folder with which an administrator brings the CA certificate to all computers.

    For Group Policy, PowerShell Remoting, Intune, Configuration Manager, and for phones.
    """
    from vmscert.changes.job import records_folder
    from vmscert.files import with_sums, write_folder
    from vmscert.windows.rollout import roll_out_files

    path = find_table(site)
    described, records = read_site(path), Records(folder or records_folder(path))
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ValueError(f"{to} exists and is not an empty folder: name a new one")
    files = roll_out_files(records.ca_certificate, described, datetime.now(UTC))
    if to.exists():
        to.rmdir()  # an empty one, in whose place the whole folder appears
    write_folder(to, with_sums(files))
    out.print(f"Read {escape(str(to / 'README.html'))} first.", soft_wrap=True)


@app.command(name="due")
def due_command(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Sites' tables or folders, files, HOST:PORT; several."),
    ] = None,
    on: OnOption = "",
    live: Annotated[bool, typer.Option("--live", help="Call the servers of the sites.")] = False,
    folder: FolderOption = "",
    timeout: TimeoutOption = TIMEOUT,
    json_wanted: JsonOption = False,
    nagios: Annotated[bool, typer.Option(help="Print one line; exit 0, 1, 2 or 3.")] = False,
    mail: Annotated[bool, typer.Option(help="Print a mail, or nothing if all is fine.")] = False,
    remember: RememberOption = None,
    log: LogOption = None,
    ics: Annotated[str, typer.Option(help="Write a calendar; - prints it.")] = "",
    prometheus: Annotated[str, typer.Option(help="Write metrics; - prints them.")] = "",
    csv: Annotated[str, typer.Option("--csv", help="Write the table; - prints it.")] = "",
    html: Annotated[str, typer.Option(help="Write a page to print; - prints it.")] = "",
    windows: Annotated[
        str, typer.Option(help="Write a script that lets Windows warn on each computer.")
    ] = "",
    schedule: Annotated[
        str, typer.Option(help="Write what lets this computer run the mail daily.")
    ] = "",
) -> None:
    """Tell what expires when, soonest first, and what goes dark if nobody acts.

    Of what was issued, is installed and is served: certificates, CAs and revocation lists. Exit 1
    if somebody has to act, or if anything is unknown.
    """
    from vmscert.agenda.channels import as_csv, as_json, calendar, metrics, page_of
    from vmscert.agenda.gather import gather

    sources = sources or []
    if not sources and (schedule or not windows):  # notify.ps1 is the same for all
        raise ValueError("nothing to look at: name sites' tables or folders, files, or HOST:PORT")
    if windows:
        _write_notification(windows)
    if schedule:
        more = [*(["--live"] if live else []), *(["--folder", _whole(folder)] if folder else [])]
        _write_schedule(schedule, [*map(_whole_source, sources), *more], remember, log)
    if windows or schedule:
        return
    made = datetime.now(UTC)
    gathered = partial(
        gather, sources, _at(on), _ask_pfx, live=live, folder=folder, timeout=timeout
    )
    if mail:
        raise typer.Exit(_mail_once(gathered, remember, log))
    agenda = gathered()
    if nagios:
        raise typer.Exit(_print_nagios(agenda))
    wanted = {
        csv: lambda: as_csv(agenda),
        ics: lambda: calendar(agenda, made),
        prometheus: lambda: metrics(agenda, made),
        html: lambda: page_of(agenda),
    }
    printed = [_deliver(place, make()) for place, make in wanted.items() if place]
    if json_wanted:
        print(as_json(agenda))
    elif not any(printed):
        show_due(agenda)
    raise typer.Exit(_how_due(agenda))


def _write_notification(place: str) -> None:
    from vmscert.agenda.watching import notification_script

    then = "On each computer, as administrator: powershell -ExecutionPolicy Bypass -File"
    _write_script(place, notification_script(), f'{then} "{Path(place).name}" Register')


def _write_schedule(
    place: str, sources: list[str], remember: Path | None, log: Path | None
) -> None:
    """Write what runs the mail daily on a computer like this one, with whole paths."""
    from vmscert.agenda.watching import crontab, scheduled_task

    told, kept = _whole(remember or "vmscert-told.json"), _whole(log or "vmscert-due.log")
    command = ["due", *sources, "--mail", "--remember", told, "--log", kept]
    if sys.platform == "win32":
        data = scheduled_task(_own_program(), command, kept)
        then = "In PowerShell, as administrator: powershell -ExecutionPolicy Bypass -File"
        then = f'{then} "{Path(place).name}"; with Look behind it that tells whether it has run'
    else:
        data = crontab(_own_program(), command, kept)
        then = "Put its last line into crontab -e; the lines above it tell how to see that it runs"
    _write_script(place, data, then)


def _write_script(place: str, data: bytes, then: str) -> None:
    """Write a file byte by byte as it has to be, and say what to do with it."""
    if _deliver(place, data):
        told = "Name a file instead of -: Windows PowerShell 5.1 spoils what > takes from a program"
    else:
        told = f"{place} is written. {then}"
    err.print(f"{told}.", soft_wrap=True, markup=False)


def _own_program() -> str:
    """Return the whole path of this command, for whoever starts it from another folder."""
    beside = shutil.which("vmscert", path=sysconfig.get_path("scripts"))
    found = shutil.which(sys.argv[0]) or beside or shutil.which("vmscert")
    if found is None:
        raise ValueError("No program `vmscert` is found: install the kit, then run it by this name")
    return _whole(found)


def _whole(path: str | Path) -> str:
    return str(Path(path).resolve())


def _whole_source(text: str) -> str:
    """Return the whole path of a site, folder or file, or HOST:PORT as it is."""
    path = find_table(text)
    if path.exists():
        return _whole(path)
    if not re.search(r":\d+$", text):
        raise ValueError(f"{text} does not exist: name a table, a folder, a file or HOST:PORT")
    return text


def _deliver(place: str, data: bytes) -> bool:
    """Write a file whole, or print it; return whether it was printed."""
    from vmscert.files import write_atomic

    if place != "-":
        write_atomic(Path(place), data)
        return False
    sys.stdout.buffer.write(data)
    return True


def _how_due(agenda: "Agenda") -> int:
    """Nothing to do, something, or nothing that could be read at all, which is said in red."""
    if agenda.rows or any(one.where.startswith("served") for one in agenda.unknown):
        return NOTHING if agenda.quiet else FOUND
    return UNUSABLE


def _print_nagios(agenda: "Agenda") -> int:
    from vmscert.agenda.channels import nagios

    code, line = nagios(agenda)
    print(line)
    return code


def _mail_once(gathered: Callable[[], "Agenda"], remember: Path | None, log: Path | None) -> int:
    """Mail what is new; the log tells of every run, also of one that could not look."""
    try:
        text = _print_mail(gathered(), remember)
    except Exception as error:
        _note(log, f"could not look: {_said(error)}")
        raise
    _note(log, text or "nothing new")
    return FOUND if text else NOTHING


def _note(log: Path | None, text: str) -> None:
    """Add a line with its time to a log, if there is one: its newest line tells the last run."""
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(f"{iso(datetime.now(UTC))} {text.rstrip()}\n")


def _print_mail(agenda: "Agenda", remember: Path | None) -> str:
    """Print what is new and keep in mind that it was told, in this order: rather twice than never.

    Without a memory everything is new. Return what was printed.
    """
    from vmscert.agenda.channels import mail, news
    from vmscert.files import write_atomic

    told, memory = news(agenda, _remembered(remember))
    text = mail(told)
    if text:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.flush()
    if remember:
        write_atomic(remember, json.dumps(memory, indent=1).encode())
    return text


def _remembered(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None or not path.exists():
        return {}
    try:
        return {str(key): dict(was) for key, was in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"{path} is no memory of `vmscert due`: name another file") from None


@records_app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A site's folder, or the record of one change.")],
) -> None:
    """Find what was changed, removed, added or moved, in the ledger and in each change record.

    That proves order and integrity; not the time, and not who it was.
    """
    problems, told = _verified_record(folder) if _is_record(folder) else _verified_site(folder)
    for problem in problems:
        err.print(problem, style="red", soft_wrap=True, markup=False)
    for line in told if not problems else ():
        out.print(f"[green]✔[/green] {escape(line)}", soft_wrap=True)
    raise typer.Exit(FOUND if problems else NOTHING)


def _is_record(folder: Path) -> bool:
    """Whether this is the folder of one change, wherever it was copied to."""
    from vmscert.records.evidence import PLAN, SUMS

    return any((folder / name).exists() for name in (PLAN, SUMS))


def _verified_record(folder: Path) -> tuple[list[str], list[str]]:
    from vmscert.records.evidence import count_steps, is_sealed, problems

    if not is_sealed(folder):
        raise ValueError(
            f"{folder} is not signed: this change is not closed, or lost its signature"
        )
    found = list(problems(folder))
    return found, [] if found else [f"{count_steps(folder)} steps, signed and unbroken"]


def _verified_site(folder: Path) -> tuple[list[str], list[str]]:
    from vmscert.changes.record import record_problems

    records = Records(folder)
    if not records.ledger.path.exists() and not records.ledger.seal.exists():
        raise ValueError(f"{folder} holds no ledger.csv: name the folder of a site's records")
    problems = list(records.ledger.problems())
    if problems:
        return problems, []
    found, closed, still_open = record_problems(records)
    told = [
        f"{len(records.ledger.entries())} lines, unbroken",
        f"{closed} change record{'' if closed == 1 else 's'}, signed and unbroken",
    ]
    return found, told + [f"{path}: not closed yet" for path in still_open]


@records_app.command(name="drill")
def drill_command(
    backup: Annotated[Path, typer.Argument(help="The backup of a site's folder.")],
    folder: Annotated[str, typer.Option("--folder", help="The site's own folder.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Prove on a copy that the site could live from a backup: it opens, issues, and is complete.

    With --folder the backup is compared with the site's own folder, whose ledger notes the drill.
    """
    from vmscert.changes.drill import restore_drill
    from vmscert.changes.job import secret

    own, rehearsal = Records(folder) if folder else None, Records(backup).rehearsal
    ca, pfx = secret("CA", rehearsal), _pfx_if_known(rehearsal)
    checks = restore_drill(backup, own, ca, datetime.now(UTC), pfx_password=pfx)
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        show_checks(checks)
    raise typer.Exit(NOTHING if all(check.ok for check in checks) else FOUND)


def main() -> None:
    """Run the command; what a person did wrong ends in sentences, not in a traceback."""
    from vmscert.changes.execute import NotebookError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow must not stop a redirected Windows run
    if "--nagios" in sys.argv:
        sys.exit(_watched())
    try:
        app()
    except NotebookError as error:
        err.print(str(error), style="red", soft_wrap=True, markup=False)
        sys.exit(FOUND)
    except (SiteError, ValueError, OSError, RuntimeError) as error:
        err.print(_said(error), style="red", soft_wrap=True, markup=False)
        sys.exit(UNUSABLE)


def _watched() -> int:
    """Run for a monitoring system: whatever goes wrong is UNKNOWN, in one line, never CRITICAL."""
    try:
        return app(standalone_mode=False)
    except Exception as error:
        from vmscert.agenda.channels import UNKNOWN, nagios_line

        text = error.format_message() if isinstance(error, typer.BadParameter) else _said(error)
        print(nagios_line(UNKNOWN, text or type(error).__name__))
        return UNKNOWN


def _said(error: Exception) -> str:
    """What went wrong, in the words of the kit, or of the system where it refused a file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}. Check the path and who may use it"
    return str(error)


def _no_news(folder: Path) -> dict[str, str]:
    """The environment in which JupyterLab does not even ask whether it may fetch news."""
    page = folder / "labconfig" / "page_config.json"
    page.parent.mkdir()
    disabled = {"@jupyterlab/apputils-extension:announcements": True}
    page.write_text(json.dumps({"disabledExtensions": disabled}), encoding="utf-8")
    known = os.environ.get("JUPYTER_CONFIG_PATH", "")
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [known, str(folder)]))}


def _own_notebooks() -> Path:
    """The notebooks of a checkout; a copy beside the reader's files where the kit is installed."""
    if (HOME / "pyproject.toml").exists():
        return NOTEBOOKS
    copy = Path.cwd() / "notebooks"
    if not copy.exists():
        shutil.copytree(NOTEBOOKS, copy)
    return copy


def _carry_out(path: Path, records: Records) -> bool:
    """Run the runbooks one after the other, with passwords that are forgotten at the end.

    Return whether all of them came to their end; where one stops, its line is shown.
    """
    from vmscert.changes.execute import RUNBOOKS, NotebookError, execute

    for what in ("CA", "PFX"):
        os.environ[f"VMSCERT_{what}_PASSWORD"] = secrets.token_urlsafe(18)
    parameters = {"SITE": str(path.resolve()), "FOLDER": str(records.folder.resolve())}
    for runbook in (name for name in RUNBOOKS if "11" <= name < "18"):
        try:
            with err.status(runbook):
                execute(runbook, parameters, records, datetime.now(UTC))
        except NotebookError as error:
            err.print(f"{runbook}: {error}", style="red", soft_wrap=True, markup=False)
            return False
        err.print(f"  [green]✔[/green] {runbook}")
    return True


def _last_verification(records: Records) -> list[dict]:
    """Every handshake of the last verification; none if no runbook came that far."""
    found = list((records.folder / "changes").glob("*/verification*.json"))
    if not found:
        return []
    return json.loads(max(found, key=lambda path: path.stat().st_mtime_ns).read_bytes())


def _roots(paths: list[Path] | None) -> "list[x509.Certificate]":
    from vmscert.checks.documents import read_roots

    found = [one for path in paths or () for one in read_roots(path, _ask_pfx)]
    if paths and not found:
        raise ValueError(f"{paths[0]} holds no CA certificate: name a .cer, .pem, .p7b or folder")
    return found


def _of_the_records(
    path: Path, site: "Site", folder: str
) -> "tuple[list[x509.Certificate], dict[str, str]]":
    """The CA of a site's records, and what each server should present; nothing if none are kept."""
    from vmscert.changes.job import records_folder
    from vmscert.records.state import read_state

    state = read_state(Records(folder or records_folder(path)), site, datetime.now(UTC))
    return ([state.signing_ca], state.thumbprints) if state.has_authority else ([], {})


def _as_dict(document: "Document", findings: list[Finding]) -> dict[str, Any]:
    told: dict[str, Any] = {"about": document.about, "problems": list(document.problems)}
    if document.questions:
        told |= {"ask": list(document.questions), "outside": list(document.outside)}
    return told | {"findings": [finding.as_dict() for finding in findings]}


def _how_it_went(answers: "Iterable[tuple[Document, list[Finding]]]") -> int:
    answers = list(answers)
    if any(document.problems and not document.certificates for document, _ in answers):
        return UNUSABLE
    return (
        FOUND if any(findings or document.problems for document, findings in answers) else NOTHING
    )


def _ask_pfx(name: str) -> str:
    given = os.environ.get("VMSCERT_PFX_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty():
        raise ValueError(
            f"Nobody is there to type the password of {name}: set VMSCERT_PFX_PASSWORD"
        )
    return typer.prompt(f"Password of {name}", hide_input=True, err=True)


def _pfx_if_known(rehearsal: bool) -> str:
    """The password of the PFX files; empty where nobody says it, and then they are not opened."""
    from vmscert.changes.job import secret

    if rehearsal or os.environ.get("VMSCERT_PFX_PASSWORD"):
        return secret("PFX", rehearsal)
    if not sys.stdin.isatty():
        return ""
    text = "Password of the PFX files (empty: they are not opened)"
    return typer.prompt(text, default="", hide_input=True, show_default=False, err=True)


def _setting(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set {text}: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _at(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"--on {text}: write the day as YYYY-MM-DD") from None
