"""What several commands take, and how each ends: options, days, CAs, passwords, exit codes."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryptography import x509

NOTHING, FOUND, UNUSABLE = 0, 1, 2  # exit codes

EXAMPLE = "data/sites/example.csv"
SiteArgument = Annotated[str, typer.Argument(help="The site's table.")]
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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def print_json(told: object, **how: Any) -> None:
    """Print what a program reads."""
    print(json.dumps(told, indent=1, **how))


def ended(well: bool) -> typer.Exit:
    """Return the end of a command: code 0 where nothing is wrong, else 1."""
    return typer.Exit(NOTHING if well else FOUND)


def at(text: str) -> datetime:
    """Return the day that --on names, or now."""
    if not text:
        return datetime.now(UTC)
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"--on {text}: write the day as YYYY-MM-DD") from None


def read_roots(paths: list[Path] | None) -> "list[x509.Certificate]":
    """Return the CA certificates that --root names."""
    from vmscert.checks import documents

    found = [one for path in paths or () for one in documents.read_roots(path, ask_pfx)]
    if paths and not found:
        raise ValueError(f"{paths[0]} holds no CA certificate: name a .cer, .pem, .p7b or folder")
    return found


def ask_pfx(name: str) -> str:
    """Return the password of a PFX file, from the environment or from whoever sits there."""
    given = os.environ.get("VMSCERT_PFX_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty():
        raise ValueError(
            f"Nobody is there to type the password of {name}: set VMSCERT_PFX_PASSWORD"
        )
    return typer.prompt(f"Password of {name}", hide_input=True, err=True)


def said(error: Exception) -> str:
    """Return what went wrong, in words of the kit, or of the system where it refused a file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}. Check the path and who may use it"
    return str(error)
