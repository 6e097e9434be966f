"""The commands for trouble: check a file, connect to a server, survey many, explain an error."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmscert.changes.job import records_folder
from vmscert.cli import printing
from vmscert.cli.printing import ended, err, print_json, read_roots, say
from vmscert.files import is_file, read_foreign, write_atomic
from vmscert.names import endpoint
from vmscert.network.looks import AT_ONCE, TIMEOUT, look_at
from vmscert.network.targets import Target, read_targets, site_targets
from vmscert.pages import sheet
from vmscert.records.folder import Records
from vmscert.records.state import read_state
from vmscert.site.table import find_table, read_site

if TYPE_CHECKING:
    from vmscert.checks.judging import Judgement


def check(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders of any kind; - for what is pasted.")
    ],
    roots: printing.RootsOption = None,
    name: printing.NameOption = "",
    on: printing.OnOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Show all fields.")] = False,
    as_json: printing.JsonOption = False,
) -> None:
    """Say what something is, and everything that is wrong with it.

    Certificates in any wrapping, PFX, P7B, requests, keys, revocation lists, inventories, a site's
    folder or table, and what netsh, certutil, PowerShell, openssl, keytool, browsers, events or
    XProtect's configuration files say. What could not be judged is told, and is never fine.
    """
    from vmscert.checks.documents import in_use, is_site_folder, read
    from vmscert.checks.judging import check_path, judge

    trusted, day = read_roots(roots), printing.at(on)
    pasted = read(sys.stdin.buffer.read()) if Path("-") in paths else None
    # What several of them tell together: lists that revoke, certificates that are in use.
    files = [path for path in paths if path.is_file() and path.suffix.lower() != ".csv"]
    beside = [*map(read, files), *([pasted] if pasted else [])]
    beside += [
        read(path)
        for path in paths
        if len(paths) > 1 and path.is_dir() and not is_site_folder(path)
    ]
    crls = [crl for document in beside for crl in document.crls]
    answers = {
        str(path): judge(pasted, trusted, name, day, crls, beside)
        if pasted and str(path) == "-"
        else check_path(path, trusted, name, day, printing.ask_pfx, crls, beside)
        for path in paths
    }
    if as_json:
        print_json({path: _as_dict(answer) for path, answer in answers.items()})
    else:
        for path, answer in answers.items():
            printing.show_document(path, answer, everything)
        say(*in_use(answer.document for answer in answers.values()))
    documents = [answer.document for answer in answers.values()]
    if any(one.problems and not one.certificates for one in documents):
        raise typer.Exit(printing.UNUSABLE)
    judged = all(answer.judged for answer in answers.values())
    raise ended(judged and not any(a.findings or a.document.problems for a in answers.values()))


def _as_dict(answer: "Judgement") -> dict[str, Any]:
    document = answer.document
    told: dict[str, Any] = {"about": document.about, "problems": list(document.problems)}
    if document.questions:
        told |= {"ask": list(document.questions), "outside": list(document.outside)}
    told |= {"judged": list(answer.judged), "not judged here": list(answer.besides)}
    told |= {"holds": list(document.holds)}
    return told | {"findings": [finding.as_dict() for finding in answer.findings]}


def connect(
    server: Annotated[str, typer.Argument(help="HOST:PORT, or an address as in a browser.")],
    roots: printing.RootsOption = None,
    name: printing.NameOption = "",
    timeout: printing.TimeoutOption = TIMEOUT,
    as_json: printing.JsonOption = False,
) -> None:
    """Look at one server: what it presents, and every reason why a client would refuse it."""
    from vmscert.certificates.words import counted

    address, port = endpoint(server)
    target = Target(address, port, name or address)
    look = look_at(target, read_roots(roots), datetime.now(UTC), timeout=timeout)
    seen = look.handshake
    if as_json:
        print_json({"server": server, **look.as_dict()})
    else:
        shown = f"{seen.version}, {counted(look.presented)}, asked for {seen.name}"
        about = shown if look.presented else "no certificate was seen"
        printing.show_findings(f"{address}:{port}", about, look.findings)
        if seen.hint:
            say(f"  {seen.hint}.")
    raise ended(look.trusted and not look.findings)


def survey(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="HOST:PORT, port ranges, networks, or files of such lines or CSV."),
    ] = None,
    site: Annotated[str, typer.Option("--site", help="All servers of this site's table.")] = "",
    folder: printing.FolderOption = "",
    roots: printing.RootsOption = None,
    at_once: Annotated[int, typer.Option(min=1, help="Servers looked at together.")] = AT_ONCE,
    timeout: printing.TimeoutOption = TIMEOUT,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the whole table here.")] = None,
    as_json: printing.JsonOption = False,
) -> None:
    """Look at many servers at once: who presents what, until when, and what to do first.

    With --site, the records of the site tell which CA to trust and what each server should present.
    Ctrl-C ends early and keeps what was found.
    """
    from vmscert.network.survey import survey

    wanted, trusted = read_targets(targets or []), read_roots(roots)
    expected, now = {}, datetime.now(UTC)
    if site:
        path = find_table(site)
        described = read_site(path)
        wanted += site_targets(described)
        state = read_state(Records(folder or records_folder(path)), described, now)
        if state.has_authority:
            trusted, expected = [*(trusted or ()), state.signing_ca], state.thumbprints
    if not wanted:
        raise ValueError("Nothing to look at: name servers, or a site's table with --site")
    with err.status("") as status:
        found = survey(
            wanted, trusted, now, expected=expected, at_once=at_once, timeout=timeout,
            progress=lambda done, of: status.update(f"{done} of {of} servers"),
        )  # fmt: skip
    if table:
        write_atomic(table, sheet(found.rows()))
    if as_json:
        print_json({"interrupted": found.interrupted, "endpoints": found.rows()})
    else:
        printing.show_survey(found)
    well = not found.interrupted and all(one.trusted and not one.findings for one in found.seen)
    raise ended(well)


def explain(
    texts: Annotated[
        list[str] | None, typer.Argument(help="The error's text, a file that holds it, or -.")
    ] = None,
    as_json: printing.JsonOption = False,
) -> None:
    """Tell what a pasted error means, and which check decides. Exit 1 if the text is unknown."""
    from vmscert.symptoms import explain

    given = " ".join(texts or [])
    if given in ("", "-"):
        if sys.stdin.isatty():
            err.print("Paste the error, then press Ctrl-D (Windows: Ctrl-Z and Enter).")
        given = sys.stdin.read()
    elif len(texts or []) == 1 and is_file(given):
        given = read_foreign(Path(given)).decode("utf-8", "replace")
    answer = explain(given)
    if as_json:
        print_json(answer.as_dict())
    else:
        say(str(answer))
    raise ended(answer.known)
