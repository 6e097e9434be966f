"""`vmscert lost`: what it means, what to do tonight and this week, and what can be done here."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmscert.changes.change import open_record_key, replace_record_key
from vmscert.changes.job import records_folder, secret
from vmscert.cli.printing import FolderOption, at, out, say, show_table
from vmscert.facts import facts, pfx_encryption_of
from vmscert.pages import render
from vmscert.records.folder import ABANDON, LOSE_KEY, Records
from vmscert.records.ledger import BAR, RUNBOOK_OF
from vmscert.records.state import State, read_state
from vmscert.site.table import find_table, read_site

if TYPE_CHECKING:
    from vmscert.checks.expiry import Due

_LOST = {row["lost"]: row["name"] for row in facts("lost")}
_MOST = 10  # ends that are told
_WAITS, _HAS = "not imported", "imported, needs it no more"
_OUT = "carried, and nothing came back since: ask there, then name it with --host"


def lost(
    what: Annotated[str, typer.Argument(help=", ".join(_LOST))] = "",
    site: Annotated[str, typer.Option("--site", help="The site's table.")] = "",
    folder: FolderOption = "",
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Only this computer; again for others.")
    ] = None,
    because: Annotated[
        str, typer.Option("--because", help="Do what can be done; the ledger keeps this reason.")
    ] = "",
) -> None:
    """Tell what to do when a password, a key, a folder or a stick is lost, and do what can be.

    Without an argument it lists what can be lost. Without --because nothing is changed.
    """
    from rich.markdown import Markdown

    from vmscert.runbooks.handbook import lost_page

    if not what:
        show_table(("lost", "what it is"), _LOST.items())
        say("vmscert lost WHAT tells what to do; with --site SITE also what holds for that site.")
    elif what not in _LOST:
        near = difflib.get_close_matches(what, _LOST, 1) or _LOST
        raise ValueError(f"{what!r} is nothing that can be lost here: try {', '.join(near)}")
    else:
        if not because:
            out.print(Markdown(lost_page(what)))
        if site or folder:
            _tell(what, site, folder, host or [], because)
        elif because:
            raise ValueError("--because is a reason for one site: name it with --site")


def _tell(what: str, site: str, folder: str, hosts: list[str], because: str) -> None:
    """Tell what holds for a site, after what can be done is done."""
    from vmscert.runbooks.handbook import due_of

    table = find_table(site or Path(folder) / "site.csv")
    records, described = Records(folder or records_folder(table)), read_site(table)
    if not records.ledger.path.exists():
        copy = "" if what == "folder" else ", or see vmscert lost folder"
        raise ValueError(f"{records.folder} holds no ledger.csv: name the site's own folder{copy}")
    if strange := [one for one in hosts if one not in described]:
        raise ValueError(f"{', '.join(strange)}: not in the table {table.name}")
    state = read_state(records, described, at("").replace(microsecond=0))
    pfx = [*_newest(state, hosts)]
    open_to_it = (_WAITS, _OUT) if hosts else (_WAITS,)
    chosen = [row["host"] for row in pfx if row["imported"] in open_to_it]
    done = because and _DEEDS[what](records, state, chosen, because)
    if because:
        state = read_state(records, described, state.at)
    due = [row for row in due_of(state, state.at) if row.label in described] if state.ca else []
    told = {"pfx": pfx, "sticks": [*_sticks(state, hosts)], "chosen": chosen, "done": done}
    told |= {"state": state, "due": due[:_MOST], "hosts": hosts, **_again(state, chosen, due)}
    names = {"site": _quoted(table), "folder": _quoted(records.folder), "lost": what}
    say(*(line for line in render("lost.txt", **told, **names).splitlines() if line))


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)


def _newest(state: State, hosts: list[str]) -> Iterator[dict[str, str]]:
    """The PFX of each server's newest certificate, and whether it is imported."""
    for one in state.issued:
        label = state.thumbprints[one.host] == one.thumbprint
        if label and one.host in state.pfx and (not hosts or one.host in hosts):
            made = f"{one.change or one.day}, {one.encryption}"
            yield _row(state, one.host, one.thumbprint, made)


def _sticks(state: State, hosts: list[str]) -> Iterator[dict[str, str]]:
    """Every hand-over folder that holds a private key, whose certificate it is."""
    for path in sorted(state.folder.glob("hand-over/*/*/*")):
        host = path.parts[-3]
        if path.suffix in (".pfx", ".key") and (not hosts or host in hosts):
            data = path.read_bytes()
            same = state.folder.glob(f"servers/{host}/*{path.suffix}")
            label = next((one.stem for one in same if one.read_bytes() == data), "")
            newest = "the newest" if state.thumbprints.get(host) == label else "an older one"
            strength = pfx_encryption_of(data) if path.suffix == ".pfx" else "AES-256"
            about = f"{path.parent.name}, {path.name}, {strength}, {label[:8]}, {newest}"
            yield _row(state, host, label, about)


def _row(state: State, host: str, label: str, about: str) -> dict[str, str]:
    held = state.inventories.get(host)
    one = held and held.find(label)
    visits = ("hand over", "carried", "brought back")
    last = [e.action for e in state.entries if e.host == host and e.action in visits]
    imported = _OUT if last[-1:] == ["carried"] else _WAITS
    return {"host": host, "about": about, "imported": _HAS if one and one.has_key else imported}


def _give_up(records: Records, state: State, hosts: list[str], because: str) -> str:
    """Note that nobody opens the newest PFX of these servers: they are without that certificate."""
    with records.lock():
        for host in hosts:
            why = f"the password of its PFX is lost: {because}"
            records.note("", ABANDON, state.current[host], at=state.at, host=host, note=why)
    return "noted" if hosts else ""


def _again(state: State, hosts: list[str], due: "Sequence[Due]") -> dict[str, object]:
    """Which runbook makes new certificates for which of these servers, and for which besides."""
    from vmscert.checks.lacks import missing_certificates

    missing, barred = missing_certificates(state), {host for _, host in state.barred}
    again: dict[str, list[str]] = {}
    for host in hosts:
        deed = "issue" if host in missing else BAR if host in barred else "renew"
        again.setdefault(deed, []).append(host)
    mine = again.get("renew", ())
    within = max((row.days_left for row in due if row.label in mine), default=0)
    besides = [row.label for row in due if row.days_left <= within and row.label not in mine]
    numbered = [(RUNBOOK_OF[deed]["runbook"], one) for deed, one in again.items()]
    return {"again": numbered, "within": within, "besides": besides if mine else ()}


def _lose_key(records: Records, state: State, hosts: list[str], because: str) -> str:
    """Note that the key of the CA is gone, so that what waits for it does not wait any more."""
    if state.ca and not state.has_authority and not state.adopted_without_key:
        records.note("", LOSE_KEY, state.ca, at=state.at, note=because)
    return "noted"


def _new_record_key(records: Records, state: State, hosts: list[str], because: str) -> str:
    """Make another record key; ValueError where the password opens the one that is there."""
    say("The password that is asked for is a new one, for the new record key.")
    password = secret("RECORD", records.rehearsal, new=True)
    with suppress(ValueError):
        open_record_key(records, password)
        raise RuntimeError(f"This password opens {records.folder / 'record.key'}: nothing is lost")
    return replace_record_key(records, password, because, state.at).as_posix()


def _nothing(records: Records, state: State, hosts: list[str], because: str) -> str:
    raise ValueError("--because does nothing here: leave it out, and read what is to be done")


_DEEDS = dict.fromkeys(_LOST, _nothing) | {
    "pfx-password": _give_up,
    "ca-key": _lose_key,
    "record-password": _new_record_key,
}
