"""The page in each folder: what the person at the computer does, sees, and can take back."""

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from vmscert.facts import facts, sureness
from vmscert.load import Load, numbered
from vmscert.pages import Markdown, literal, plain, rows_table, steps
from vmscert.releases import imports_pfx
from vmscert.scripts import steps_for

Row = Mapping[str, str]
_RUN = "powershell -ExecutionPolicy Bypass -File .\\"
_TALK = 5  # minutes to log on, copy the folder, and read


def leaflet(load: Load) -> str:
    """Return the page as Markdown, short enough to print on one sheet."""
    rows = steps_for("install", load.kinds)
    asking = steps_for("request", {"request"}) if load.asks else []
    deeds = [row for row in rows if not _is_check(row)]
    parts = [
        f"# {plain(load.host.name)}: certificates for XProtect\n",
        rows_table(list(_about(load, [*asking, *rows]))),
        f"**What changes.** {_changes(load, deeds)}\n",
        _begin(load),
        rows_table(list(_visits(load, deeds))),
        _bring(load),
        "## What each step says\n",
        f"{_checks(rows)} One line for each step, in this order. A step that fails ends the "
        f"script, and says why and what to do.\n",
        rows_table([_expected(row) for row in [*asking, *deeds]]),
        "## The way back\n",
        _back(load),
    ]
    return "\n".join(parts)


def _is_check(row: Row) -> bool:
    """Whether a step only looks."""
    return row["undo"] == "nothing to undo"


def _about(load: Load, rows: Iterable[Row]) -> Iterable[dict[str, str]]:
    host, minutes = load.host, _TALK + sum(int(row["minutes"]) for row in rows)
    told = {
        "Computer": literal(host.fqdn),
        "Runs": plain(", ".join(host.roles)),
        "Windows": plain(host.windows or "not in the site's table"),
        "Site, responsible": plain(", ".join(filter(None, [load.site, host.owner]))),
        "Folder made": plain(
            f"{load.made:%Y-%m-%d %H:%M} UTC; all visits take about {minutes} minutes"
        ),
        "You need": plain(_needs(load)),
        **_fingerprints("ca", load.roots),
        **_fingerprints("old-ca", load.old_roots),
        **_fingerprints("barred", load.barred),
    }
    return ({"This folder is for": plain(what), "": text} for what, text in told.items())


def _needs(load: Load) -> str:
    password = f", and the password of {load.host.name}.pfx" if load.pfx else ""
    role = " (to encrypt: in XProtect's role Administrators)" if load.switch_on else ""
    return f"an administrator's account on this computer{role}{password}"


def _fingerprints(stem: str, certificates: Iterable[x509.Certificate]) -> dict[str, Markdown]:
    told = (literal(one.fingerprint(SHA256()).hex(" ", 2).upper()) for one in certificates)
    return {f"SHA-256 of {numbered(stem, number)}": text for number, text in enumerate(told)}


def _changes(load: Load, deeds: Iterable[Row]) -> Markdown:
    """What will be different, and what stays."""
    told = [f"{row['title']}." for row in deeds if row["phase"] != "Retire"]
    if load.asks:
        told.append("The private key stays here.")
    if load.certificate is None:
        told.append("No service restarts, and nothing is encrypted here yet.")
    else:
        told.append("Services restart only when encryption is switched on.")
    last = [f"{row['title']}." for row in deeds if row["phase"] == "Retire"]
    return plain(" ".join([*told, *(["At the last visit:"] if last else []), *last]))


def _begin(load: Load) -> str:
    first = [
        "Copy the whole folder to a disk of this computer, for example to the desktop.",
        "Right-click the Start button, choose *Terminal (Admin)* or *Windows PowerShell (Admin)*, "
        "type `cd -LiteralPath` and the path of the folder between quotes.",
        "Type what stands below, first with ` -WhatIf` at the end of the line: then it only says "
        "what it would do.",
    ]
    stopped = (
        "PowerShell does not start it? `dir | Unblock-File` for files from the Internet; WMF 5.1 "
        "for Windows before 10 and Server 2016; a policy (AllSigned, AppLocker) is its owner's to "
        "lift."
    )
    if load.pfx and not imports_pfx(load.host.windows):
        stopped += (
            f" This Windows has no command that imports a PFX: import "
            f"{literal(f'{load.host.name}.pfx')} by hand first, in mmc, Certificates (Local "
            f"Computer), Personal."
        )
    return f"{steps(first)}\n{stopped}\n"


def _visits(load: Load, deeds: list[dict[str, str]]) -> Iterable[dict[str, str]]:
    phases = {phase for row in deeds for phase in row["phase"].split("|")}
    if load.asks:
        yield _visit("First", "request.ps1")
    yield _visit("Then" if load.asks else "First visit", "install.ps1")
    for number in range(1, len(load.switch_on) + 1 if "Encrypt" in phases else 1):
        turn = f" -Turn {number}" if len(load.switch_on) > 1 else ""
        when = "Next visit" if number > 1 else "Second visit"
        yield _visit(f"{when}, when the plan says so", f"install.ps1 -Phase Encrypt{turn}")
    if "Retire" in phases:
        planned = load.old_roots or load.barred
        when = "Last, when the plan says so" if planned else "A week later"
        silent = ", ".join(load.host.unsaid_groups)
        if silent:
            when += f", once Server Configurator shows the new one for {silent}"
        yield _visit(when, "install.ps1 -Phase Retire" + (f" -ByHand '{silent}'" if silent else ""))


def _visit(when: str, command: str) -> dict[str, str]:
    """First in its row, where a page breaks no line: half a command can't be typed by mistake."""
    return {"type": literal(f"{_RUN}{command}"), "when": plain(when)}


def _bring(load: Load) -> str:
    name = load.host.name
    told = f"**Bring back** {literal(f'{name}.json')} after each visit. It holds no private key."
    if load.pfx:
        told += f" Delete {literal(f'{name}.pfx')} here after the first visit: it does hold one."
    if load.asks:
        told += " Somebody comes again with the certificate, in a new folder."
    return told + "\n"


def _checks(rows: Iterable[Row]) -> Markdown:
    told = (row["title"] for row in rows if _is_check(row))
    return plain(f"First the checks, which change nothing. {'. '.join(told)}.")


def _expected(row: Row) -> dict[str, str]:
    """What a step sees to, says, and how it is undone."""
    return {
        "step": literal(row["step"]),
        "what it sees to": plain(row["title"]),
        "what it says": plain(row["expected"]),
        "to undo": plain(row["undo"]),
    }


def _back(load: Load) -> str:
    told = (
        f"`install.ps1` notes in `%ProgramData%\\vmscert\\before.json` how things were. "
        f"{literal(f'{_RUN}undo.ps1')} puts back what it changed, and nothing else."
    )
    if load.host.unsaid_groups:
        silent = ", ".join(load.host.unsaid_groups)
        told += f" Choose that of {silent} in Server Configurator, and add ` -ByHand '{silent}'`."
    if load.certificate is not None:
        told += f" The order of several {_order_back()}."
    return told + "\n"


def _order_back() -> Markdown:
    """In which order encryption is switched off where several computers have it."""
    rows = sorted(facts("xprotect/encryption-order"), key=lambda row: int(row["off"]))
    sure = sureness(*(row["tag"] for row in rows))
    return plain(f"({sure}): {', '.join(row['role'] for row in rows)}")
