"""What several commands take, what they print for people, and how each ends."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer
from cryptography.hazmat.primitives.hashes import SHA256
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vmscert.findings import Check, Finding
from vmscert.names import iso, shown, spelled

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from vmscert.agenda.gather import Agenda
    from vmscert.changes.next import Next
    from vmscert.checks.judging import Judgement
    from vmscert.network.survey import Survey

NOTHING, FOUND, UNUSABLE = 0, 1, 2  # exit codes
EXAMPLE = "data/sites/example.csv"
SiteArgument = Annotated[str, typer.Argument(help="The site's table.")]
SiteOption = Annotated[str, typer.Option("--site", help="The site's table.")]
FolderOption = Annotated[str, typer.Option("--folder", help="The folder of the site's records.")]
RootsOption = Annotated[
    list[Path] | None, typer.Option("--root", help="A CA certificate that clients trust.")
]
NameOption = Annotated[str, typer.Option(help="The name that clients use for the server.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds for one server.")]
OnOption = Annotated[
    str, typer.Option("--on", help="Seen from this day, YYYY-MM-DD; today if empty.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]

Rows = Iterable[Iterable[object]]

out, err = Console(), Console(stderr=True)

_SHORT = ("step", "server", "switch", "downtime", "after", "this order is")
_LONG = ("run there", "stands still", "if it came too early", "besides")  # too long for a table
_MOST_ROWS = 100  # shown in a terminal; all of them are in a file
_COLOURS = {"bad": "red", "unjudged": "magenta", "dubious": "yellow", "expired": "red",
            "critical": "red", "warning": "yellow", "plan": "cyan", "ok": "green",
            "replaced": "dim", "not-yet-valid": "red", "unknown": "magenta"}  # fmt: skip


def print_json(told: object) -> None:
    """Print what a program reads."""
    print(json.dumps(told, indent=1, default=iso))


def ended(well: bool) -> typer.Exit:
    """Return the end of a command: code 0 where nothing is wrong, else 1."""
    return typer.Exit(NOTHING if well else FOUND)


def say(*lines: str) -> None:
    """Print lines that may hold anything, each whole."""
    for line in lines:
        out.print(shown(line), soft_wrap=True, markup=False, highlight=False)


def warn(*lines: str) -> None:
    """Print what is wrong, in red, where errors go."""
    for line in lines:
        err.print(shown(line), style="red", soft_wrap=True, markup=False)


def show_plan(rows: list[dict[str, Any]]) -> None:
    """Show the steps of a plan: what fits in a table, then what does not."""
    told = ({**row, "switch": ", ".join(row["switch"])} for row in rows)
    show_table(_SHORT, ([row[heading] for heading in _SHORT] for row in told), wrapped=_SHORT)
    lines = []
    for row in rows:
        lines.append(f"[b]Step {row['step']}[/b]")
        lines += (escape(f"  {name}: {row[name]}.") for name in _LONG if row.get(name))
    out.print("\n".join(lines), soft_wrap=True, highlight=False)  # at once: a call takes a while


def show_run(runbook: str, kept: Iterable[Path], ca: "Certificate | None", folder: str) -> None:
    """Show what a person needs who has carried out a runbook; of a real site, what was made."""
    say(f"✔ {runbook}", *(f"  {path}" for path in kept))
    if ca is not None:
        say("SHA-256 of the CA certificate, to read out when somebody installs it:")
        say(*wrap(ca.fingerprint(SHA256()).hex(" ", 2).upper(), 40, initial_indent="  ",
                  subsequent_indent="  "))  # fmt: skip
    if folder:
        say(f"Copy {folder} to a second place now: without ca.key nothing can be renewed. "
            f"Try the copy with: vmscert records drill COPY --folder {folder}")  # fmt: skip


def show_next(steps: "Sequence[Next]") -> None:
    """Show what is to be done next; what is to be typed stands on a line of its own, to copy."""
    from vmscert.changes.next import told

    for one in told(steps):
        out.print(f"[b]Next:[/b] {escape(shown(one.what))}.", highlight=False)
        say(*(f"    {one.type}" for _ in filter(None, [one.type])))


def show_verification(rows: list[dict], folder: Path) -> None:
    """Show every connection of a verification, the refused ones first."""
    found = defaultdict(list)
    for row in rows:
        found[row["client"], row["server"], row["port"], row["verdict"]].append(row)
    shown = sorted(found.items(), key=lambda item: item[0][3] == "verified")
    cells = []
    for (client, server, port, verdict), same in shown:
        name = min((row["name"] for row in same), key=len)
        name += f" +{len(same) - 1}" if len(same) > 1 else ""
        seen = (same[0]["tls"].removeprefix("TLSv"), same[0]["thumbprint"][:8])
        cells.append((f"{client} → {server}:{port}", name, *seen, _verdict(verdict)))
    headings = ("connection", "name used", "TLS", "certificate", "verdict")
    show_table(headings, cells, more=" connections in verification.csv")
    good = sum(row["verdict"] == "verified" for row in rows)
    out.print(f"{good} of {len(rows)} TLS connections verified.", style="bold")
    out.print(f"Everything lies in {folder.resolve()}", soft_wrap=True)


def show_checks(checks: Iterable[Check]) -> None:
    """Show what was looked at, and under each that does not hold, why and what to do."""
    for check in checks:
        out.print(f"{'[green]✔[/]' if check.ok else '[red]✘[/]'} {escape(check.what)}")
        if check.todo:
            say(f"    {check.todo}")


def show_due(agenda: "Agenda") -> None:
    """Show what ends when, what is told at once, and what goes dark if nobody acts."""
    from vmscert.agenda.channels import dark_lines, findings_lines
    from vmscert.checks.blackout import dark

    warn(*filter(None, [agenda.clock]))
    cells = []
    for row in (row for row in agenda.rows if row.status != "replaced"):
        ends, renew_on = (f"{day:%Y-%m-%d}" for day in (row.not_after, row.renew_on))
        left, status = (
            f"{row.days_left} ({row.share_left:.0%})",
            _coloured(row.status),
        )
        cells.append((row.label, ends, left, renew_on, status, row.owner))
    unread = [(one.label, "", "", "", _coloured(one.status), "") for one in agenda.unknown]
    headings = ("certificate", "ends", "days left", "renew on", "status", "owner")
    show_table(headings, cells, unread[:_MOST_ROWS], more=": --csv FILE writes all of them")
    lines, now = dark_lines(agenda), len(dark(agenda.blackouts, agenda.at))
    parts = {
        "Unknown": [f"{one.where}: {one.why}" for one in agenda.unknown],
        "Told at once": findings_lines(agenda),
        f"Dark on {agenda.at:%Y-%m-%d}": lines[:now],
        "Goes dark if nobody acts": lines[now:],
    }
    for heading, told in parts.items():
        if told:
            out.print(f"[b]{heading}[/b]")
            say(*(f"  {line}" for line in told[:_MOST_ROWS]))


def show_findings(path: str, about: str, findings: Iterable[Finding], more: bool = False) -> None:
    """Show what something is, and what is wrong with it."""
    out.print(f"[b]{escape(path)}[/b]: {escape(about)}", soft_wrap=True)
    for finding in findings:
        colour = _COLOURS[finding.severity]
        out.print(f"  [{colour}]{finding.severity} {finding.code}[/{colour}]", end=" ")
        say(f"{finding.where}: {finding.detail}")
        out.print(f"    → {finding.rule.remedy_text} ({finding.rule.remedy})", soft_wrap=True)
    if not findings and not more:
        out.print("  [green]nothing found[/green]")


def show_survey(found: "Survey") -> None:
    """Show the servers of a survey, what to do first, and keys that several share."""
    cells = []
    for row in found.rows():
        ends = f"{row['not_after']:%Y-%m-%d}" if row["not_after"] else ""
        verdict = _verdict(row["verdict"], row["findings"])
        cells.append((spelled((row["address"], row["port"])), row["name"], ends, verdict))
    headings = ("server", "name used", "ends", "findings")
    show_table(headings, cells, wrapped=("findings",), more=": --csv FILE writes all of them")
    for row in found.remedies():
        many = f"{row['endpoints']} endpoint{'s' if row['endpoints'] > 1 else ''}"
        out.print(f"[{_COLOURS[row['severity']]}]{row['finding']}[/]: {many} →", end=" ")
        say(f"{row['what to do']} ({row['notebook']})")
    for hosts in found.same_key.values():
        say(f"One private key is used by {', '.join(hosts)}")
    good = sum(one.trusted for one in found.seen)
    ended = ", interrupted" if found.interrupted else ""
    out.print(f"{good} of {len(found.seen)} endpoints verified{ended}.", style="bold")


def show_document(path: str, answer: "Judgement", full: bool) -> None:
    """Show a document, what was judged, its findings, and its first certificate; or all of them."""
    from vmscert.certificates.words import anatomy

    document = answer.document
    show_findings(path, document.about, answer.findings, bool(document.problems))
    warn(*document.problems)
    say(*(f"  judged: {', '.join(answer.judged)}" for _ in answer.judged[:1]))
    say(*(f"  not judged here: {'; '.join(answer.besides)}" for _ in answer.besides[:1]))
    say(
        *(f"  ask: {question}" for question in document.questions),
        *(f"  not made here: {other}" for other in document.outside),
        *(f"  holds: {one}" for one in document.holds),
    )
    for certificate in document.certificates[: None if full else 1]:
        shown = anatomy(certificate)
        say(*(f"    {label:<22} {text}" for label, text in (shown.fields if full else shown.rows)))


def show_table(
    columns: Sequence[str], rows: Rows, last: Rows = (), wrapped: Sequence[str] = (), more: str = ""
) -> None:
    """Print a table of any text; with `more`, the first rows only, and where the others are."""
    table, rows = Table(box=SIMPLE_HEAD), list(rows)
    for column in columns:
        fold = column in wrapped  # a path that is cut off leads nowhere
        table.add_column(column, no_wrap=not fold, overflow="fold" if fold else "ellipsis")
    for cells in (*rows[: _MOST_ROWS if more else None], *last):
        told = (cell if isinstance(cell, Text) else Text(shown(str(cell))) for cell in cells)
        table.add_row(*told)
    out.print(table)
    if more and len(rows) > _MOST_ROWS:
        out.print(f"… and {len(rows) - _MOST_ROWS} more{more}")


def _verdict(verdict: str, why: str = "") -> Text:
    return Text(why or verdict, "green" if verdict == "verified" else "red")


def _coloured(status: str) -> Text:
    return Text(status, _COLOURS[status])


def at(text: str) -> datetime:
    """Return the day that --on names, or now."""
    if not text:
        return datetime.now(UTC)
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"--on {text}: write the day as YYYY-MM-DD") from None


def read_roots(paths: list[Path] | None) -> "list[Certificate] | None":
    """Return the CA certificates that --root names; None where it names none."""
    from vmscert.checks import documents

    if not paths:
        return None
    found = [one for path in paths for one in documents.read_roots(path, ask_pfx)]
    if not found:
        raise ValueError(f"{paths[0]} holds no CA certificate: name a .cer, .pem, .p7b or folder")
    return found


def ask_pfx(name: str) -> str:
    """Return the password of a PFX file, from the environment or from whoever sits there."""
    if given := os.environ.get("VMSCERT_PFX_PASSWORD"):
        return given
    if not sys.stdin.isatty():
        alone = f"Nobody is there to type the password of {name}"
        raise ValueError(f"{alone}: set VMSCERT_PFX_PASSWORD")
    return typer.prompt(f"Password of {name}", hide_input=True, err=True)


def said(error: Exception) -> str:
    """Return what went wrong, in words of the kit, or of the system where it refused a file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}. Check the path and who may use it"
    return str(error)
