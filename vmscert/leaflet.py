"""The page in each folder: what the person at the computer does, sees, and can take back."""

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from vmscert.load import Load
from vmscert.pages import Markdown, literal, plain, rows_table, steps
from vmscert.scripts import steps_for

Row = Mapping[str, str]
_RUN = "powershell -ExecutionPolicy Bypass -File .\\"


def leaflet(load: Load) -> str:
    """Return the page as Markdown: the computer, each visit with its steps, and the way back."""
    rows = steps_for("install", load.kinds)
    asking = steps_for("request", {"every", "request"}) if load.asks else []
    parts = [
        f"# {plain(load.host.name)}: certificates for XProtect\n",
        rows_table(list(_about(load, rows))),
        _changes(load, rows),
        _begin(),
        _ask(load, asking),
        _prepare(load, rows),
        _encrypt(rows),
        _retire(rows),
        _back(load),
        _trouble([*asking, *rows]),
    ]
    return "\n".join(filter(None, parts))


def _about(load: Load, rows: Iterable[Row]) -> Iterable[dict[str, str]]:
    host, minutes = load.host, sum(int(row["minutes"]) for row in rows)
    told = {
        "Computer": literal(host.fqdn),
        "Site": plain(load.site),
        "What runs on it": plain(", ".join(host.roles)),
        "Windows": plain(host.windows or "not in the site's table"),
        "Responsible": plain(host.owner or "not in the site's table"),
        "Folder made": plain(f"{load.made:%Y-%m-%d %H:%M} UTC"),
        "Time at the computer": plain(f"about {minutes + 5} minutes"),
        "You need": plain(_needs(load)),
        **{f"CA certificate {n if n > 1 else ''}".strip(): _fingerprint(one)
           for n, one in enumerate(load.roots, 1)},
    }  # fmt: skip
    return ({"This folder": plain(what), "is for": text} for what, text in told.items())


def _needs(load: Load) -> str:
    password = f", and the password of {load.host.name}.pfx" if load.pfx else ""
    return f"an administrator's account on this computer{password}"


def _fingerprint(certificate: x509.Certificate) -> Markdown:
    return literal(certificate.fingerprint(SHA256()).hex(" ", 2).upper())


def _changes(load: Load, rows: Iterable[Row]) -> str:
    """What will be different, and what stays."""
    deeds = [row["title"] for row in rows if row["phase"] not in ("Check", "Retire")]
    served = load.certificate is not None
    stays = "Its services restart only when encryption is switched on." if served else (
        "No service restarts, and nothing is encrypted on this computer itself."
    )  # fmt: skip
    told = "".join(f"* {plain(deed)}.\n" for deed in deeds)
    return f"## What will change\n\n{told}\n{stays}\n"


def _begin() -> str:
    first = [
        "Copy the whole folder to a disk of this computer, for example to the desktop.",
        "Open PowerShell there as administrator: right-click the Start button, choose *Terminal "
        "(Admin)* or *Windows PowerShell (Admin)*, and type `cd` with the path of the folder.",
    ]
    return f"## Begin\n\n{steps(first)}"


def _ask(load: Load, rows: Iterable[Row]) -> str:
    if not load.asks:
        return ""
    return (
        "## The request\n\nThe private key is made on this computer and stays here; what goes out "
        f"is a request for a certificate.\n\n{_run('request.ps1', rows)}\n"
        f"{_bring(load)} Somebody comes back later with the certificate, in a new folder.\n"
    )


def _prepare(load: Load, rows: list[dict[str, str]]) -> str:
    chosen = [row for row in rows if row["phase"] in ("Check", "Prepare")]
    kept = (
        f"\nWhen the kit says that this computer is done, delete the folder here: "
        f"{literal(load.host.name + '.pfx')} holds the private key.\n"
        if load.pfx
        else ""
    )
    return f"## First visit\n\n{_run('install.ps1', chosen)}\n{_bring(load)}\n{kept}"


def _encrypt(rows: list[dict[str, str]]) -> str:
    chosen = [row for row in rows if row["phase"] == "Encrypt"]
    if not chosen:
        return ""
    return (
        "## Second visit: encryption\n\nOnly when the plan says that it is this computer's turn: a "
        "client that does not trust the CA yet goes dark with this step. The XProtect services of "
        f"this computer restart.\n\n{_run('install.ps1 -Phase Encrypt', chosen)}\n"
        "Bring the new file back again.\n"
    )


def _retire(rows: list[dict[str, str]]) -> str:
    chosen = [row for row in rows if row["phase"] == "Retire"]
    if not chosen:
        return ""
    return (
        "## Later: what was replaced\n\nWhen the new certificate has been in use for some days.\n\n"
        f"{_run('install.ps1 -Phase Retire', chosen)}"
    )


def _back(load: Load) -> str:
    order = (
        " Where several servers go back, the order is: management server, recording servers, "
        "event server."
        if load.certificate is not None
        else ""
    )
    return (
        "## The way back\n\n`install.ps1` notes in `before.json` how things were, before it "
        f"changes them.{order}\n\n{_run('undo.ps1', steps_for('undo', load.kinds))}"
    )


def _trouble(rows: Iterable[Row]) -> str:
    found = {row["step"]: row for row in rows}
    told = [
        {"step that failed": literal(name), "what to do": plain(row["remedy"])}
        for name, row in found.items()
    ]
    return f"## When a step fails\n\nThe script stops and says why.\n\n{rows_table(told)}"


def _run(command: str, rows: Iterable[Row]) -> str:
    """How to try a script, how to run it, and one line of expectation for each of its steps."""
    table = [
        {
            "step": literal(row["step"]),
            "what it sees to": plain(row["title"]),
            "what it says": plain(row["expected"]),
            "to undo": plain("" if row["phase"] == "Check" else row["undo"]),
        }
        for row in rows
    ]
    return (
        "Try it; this changes nothing:\n\n"
        f"    {_RUN}{command} -WhatIf\n\nThen do it:\n\n    {_RUN}{command}\n\n"
        f"Expected: one line for each step, in this order.\n\n{rows_table(table)}"
    )


def _bring(load: Load) -> str:
    return (
        f"**Bring back:** {literal(load.host.name + '.json')}, which the script writes into the "
        "folder at its end. It holds no private key."
    )
