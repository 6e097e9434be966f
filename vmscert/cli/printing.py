"""What the command prints for people: tables, colours, findings."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vmscert.findings import Finding
from vmscert.names import spelled

if TYPE_CHECKING:
    from vmscert.agenda.gather import Agenda
    from vmscert.changes.errands import Standing
    from vmscert.checks.documents import Document
    from vmscert.checks.expiry import Due
    from vmscert.findings import Check
    from vmscert.network.survey import Survey

out = Console()
err = Console(stderr=True)

_SHORT = ("step", "server", "switch", "downtime", "after", "this order is")
_LONG = ("stands still", "if it came too early", "besides")  # too long for a table of 80 letters
_MOST_ROWS = 100  # connections shown in a terminal; all of them are in verification.csv
_COLOURS = {"bad": "red", "dubious": "yellow", "expired": "red", "critical": "red",
            "warning": "yellow", "plan": "cyan", "ok": "green", "replaced": "dim",
            "unknown": "magenta"}  # fmt: skip


def show_plan(rows: list[dict[str, object]]) -> None:
    """Show the steps of a plan: what fits in a table, then what does not."""
    table = Table(*_SHORT, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(escape(_cell(row[heading])) for heading in _SHORT))
    out.print(table)
    lines = []
    for row in rows:
        lines.append(f"[b]Step {row['step']}[/b]")
        lines += (escape(f"  {name}: {row[name]}.") for name in _LONG if row.get(name))
    out.print("\n".join(lines), soft_wrap=True, highlight=False)  # at once: a call takes a while


def show_verification(rows: list[dict], folder: Path) -> None:
    """Show every connection of a verification, the refused ones first."""
    by_connection: dict[tuple, list[dict]] = {}
    for row in rows:
        key = (row["client"], row["server"], row["port"], row["verdict"])
        by_connection.setdefault(key, []).append(row)
    # What needs a person stands first.
    shown = sorted(by_connection.items(), key=lambda item: item[0][3] == "verified")
    table = Table(box=SIMPLE_HEAD)
    for heading in ("connection", "name used", "TLS", "certificate", "verdict"):
        table.add_column(heading, no_wrap=True)
    for (client, server, port, verdict), same in shown[:_MOST_ROWS]:
        more = f" +{len(same) - 1}" if len(same) > 1 else ""
        colour = "green" if verdict == "verified" else "red"
        table.add_row(
            f"{client} → {server}:{port}",
            min((row["name"] for row in same), key=len) + more,
            same[0]["tls"].removeprefix("TLSv"),
            same[0]["thumbprint"][:8],
            f"[{colour}]{verdict}[/{colour}]",
        )
    out.print(table)
    if len(shown) > _MOST_ROWS:
        out.print(f"… and {len(shown) - _MOST_ROWS} more connections in verification.csv")
    good = sum(row["verdict"] == "verified" for row in rows)
    out.print(f"{good} of {len(rows)} TLS connections verified.", style="bold")
    out.print(f"Everything lies in {folder.resolve()}", soft_wrap=True)


def show_board(standings: "Iterable[Standing]") -> None:
    """Show where each computer stands."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("computer", "who", "state", "lacks", "next"):
        table.add_column(heading, no_wrap=heading in ("computer", "state"))
    for one in standings:
        table.add_row(*map(escape, (one.computer, one.who, one.state, one.lacks, one.next)))
    out.print(table)


def show_checks(checks: "Iterable[Check]") -> None:
    """Show what was looked at, and under each that does not hold, why and what to do."""
    for check in checks:
        out.print(f"{'[green]✔[/]' if check.ok else '[red]✘[/]'} {escape(check.what)}")
        if check.todo:
            out.print(f"    {check.todo}", soft_wrap=True, markup=False)


def show_due(agenda: "Agenda") -> None:
    """Show what ends when, what is told at once, and what goes dark if nobody acts."""
    from vmscert.agenda.channels import findings_lines

    table = Table(box=SIMPLE_HEAD)
    for heading in ("certificate", "ends", "days left", "renew on", "status", "owner"):
        table.add_column(heading, no_wrap=True)
    live = [row for row in agenda.rows if row.status != "replaced"]
    for row in live[:_MOST_ROWS]:
        table.add_row(*_due_cells(row))
    for one in agenda.unknown[:_MOST_ROWS]:
        table.add_row(escape(one.label), "", "", "", _coloured(one.status), "")
    out.print(table)
    if len(live) > _MOST_ROWS:
        out.print(f"… and {len(live) - _MOST_ROWS} more: --csv FILE writes all of them")
    _show_lines("Unknown", [f"{one.where}: {one.why}" for one in agenda.unknown])
    _show_lines("Told at once", findings_lines(agenda))
    _show_dark(agenda)


def _due_cells(row: "Due") -> tuple[str, ...]:
    return (
        escape(row.label),
        f"{row.not_after:%Y-%m-%d}",
        f"{row.days_left} ({row.share_left:.0%})",
        f"{row.renew_on:%Y-%m-%d}",
        _coloured(row.status),
        escape(row.owner),
    )


def _coloured(status: str) -> str:
    return f"[{_COLOURS[status]}]{status}[/{_COLOURS[status]}]"


def _show_dark(agenda: "Agenda") -> None:
    from vmscert.agenda.channels import dark_lines
    from vmscert.checks.blackout import dark

    lines, now = dark_lines(agenda), len(dark(agenda.blackouts, agenda.at))
    _show_lines(f"Dark on {agenda.at:%Y-%m-%d}", lines[:now])
    _show_lines("Goes dark if nobody acts", lines[now:])


def _show_lines(heading: str, lines: Sequence[str]) -> None:
    if lines:
        out.print(f"[b]{heading}[/b]")
    for line in lines[:_MOST_ROWS]:
        out.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)


def show_findings(path: str, about: str, findings: Iterable[Finding], more: bool = False) -> None:
    """Show what something is, and what is wrong with it."""
    out.print(f"[b]{escape(path)}[/b]: {escape(about)}", soft_wrap=True)
    for finding in findings:
        colour = _COLOURS[finding.severity]
        out.print(f"  [{colour}]{finding.severity} {finding.code}[/{colour}]", end=" ")
        out.print(f"{finding.where}: {finding.detail}", soft_wrap=True, markup=False)
        out.print(f"    → {finding.rule.remedy_text} ({finding.rule.remedy})", soft_wrap=True)
    if not findings and not more:
        out.print("  [green]nothing found[/green]")


def show_survey(found: "Survey") -> None:
    """Show the servers of a survey, what to do first, and keys that several share."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("server", "name used", "ends", "findings"):
        table.add_column(heading, no_wrap=heading != "findings")
    for row in found.rows()[:_MOST_ROWS]:
        colour = "green" if row["verdict"] == "verified" else "red"
        table.add_row(
            escape(spelled((row["address"], row["port"]))),
            escape(row["name"]),
            f"{row['not_after']:%Y-%m-%d}" if row["not_after"] else "",
            f"[{colour}]{row['findings'] or row['verdict']}[/{colour}]",
        )
    out.print(table)
    if len(found.seen) > _MOST_ROWS:
        out.print(f"… and {len(found.seen) - _MOST_ROWS} more: --csv FILE writes all of them")
    for row in found.remedies():
        many = f"{row['endpoints']} endpoint{'s' if row['endpoints'] > 1 else ''}"
        out.print(f"[{_COLOURS[row['severity']]}]{row['finding']}[/]: {many} →", end=" ")
        out.print(f"{row['what to do']} ({row['notebook']})", soft_wrap=True, markup=False)
    for hosts in found.same_key.values():
        out.print(f"One private key is used by {', '.join(hosts)}", soft_wrap=True, markup=False)
    good = sum(one.trusted for one in found.seen)
    ended = ", interrupted" if found.interrupted else ""
    out.print(f"{good} of {len(found.seen)} endpoints verified{ended}.", style="bold")


def show_document(
    path: str, document: "Document", findings: list[Finding], everything: bool
) -> None:
    """Show a document, its findings, and its first certificate; all of them if wanted."""
    from vmscert.certificates.words import anatomy

    show_findings(path, document.about, findings, bool(document.problems))
    for problem in document.problems:
        err.print(problem, style="red", soft_wrap=True, markup=False)
    for question in document.questions:
        out.print(f"  ask: {question}", soft_wrap=True, markup=False, highlight=False)
    for other in document.outside:
        out.print(f"  not made here: {other}", soft_wrap=True, markup=False, highlight=False)
    for key in document.keys:
        out.print(f"  holds: {key}", soft_wrap=True, markup=False)
    for certificate in document.certificates[: None if everything else 1]:
        shown = anatomy(certificate)
        rows = shown.fields if everything else shown.rows
        for label, text in rows:
            out.print(f"    {label:<22} {text}", soft_wrap=True, markup=False, highlight=False)


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
