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
    from vmscert.checks.expiry import due_of

    table = find_table(site or Path(folder) / "site.csv")
    records, described = Records(folder or records_folder(table)), read_site(table)
    if not records.ledger.path.exists():
        copy = "bring a copy there that passed" if what == "folder" else "see vmscert lost folder"
        raise ValueError(f"{records.folder} holds no ledger.csv: name the site's folder, or {copy}")
    if strange := [one for one in hosts if one not in described]:
        raise ValueError(f"{', '.join(strange)}: not in the table {table.name}")
    state = read_state(records, described, at("").replace(microsecond=0))
    pfx = [row for row in _newest(state) if not hosts or row["host"] in hosts]
    given_up = (_WAITS, _OUT) if hosts else (_WAITS,)
    chosen = [row["host"] for row in pfx if row["imported"] in given_up]
    done = because and _DEEDS[what](records, state, chosen, because)
    if because:
        state = read_state(records, described, state.at)
    due = [row for row in due_of(state, state.at) if row.label in described] if state.ca else []
    sticks = [row for row in _sticks(state) if not hosts or row["host"] in hosts]
    told = {"pfx": pfx, "sticks": sticks, "chosen": chosen, "done": done, "due": due[:_MOST]}
    told |= {"state": state, "hosts": hosts, "lost": what, **_again(state, chosen, due)}
    text = render("lost.txt", site=str(table), folder=str(records.folder), **told)
    say(*filter(None, text.splitlines()))


def _newest(state: State) -> Iterator[dict[str, str]]:
    """The PFX of each server's newest certificate, and whether it is imported."""
    for one in state.issued:
        if one.host in state.pfx and state.thumbprints[one.host] == one.thumbprint:
            made = f"{one.change or one.day}, {one.encryption}"
            yield _row(state, one.host, one.thumbprint, made)


def _sticks(state: State) -> Iterator[dict[str, str]]:
    """Every hand-over folder that holds a private key, and whose certificate it is."""
    for path in sorted(state.folder.glob("hand-over/*/*/*")):
        if path.suffix in (".pfx", ".key"):
            host, data = path.parts[-3], path.read_bytes()
            same = state.folder.glob(f"servers/{host}/*{path.suffix}")
            label = next((one.stem for one in same if one.read_bytes() == data), "unknown")
            age = "the newest" if state.thumbprints.get(host) == label else "an older one"
            strength = f" {pfx_encryption_of(data)}," if path.suffix == ".pfx" else ""
            about = f"{path.parent.name}, {path.name},{strength} {label[:8]}, {age}"
            yield _row(state, host, label, about)


def _row(state: State, host: str, label: str, about: str) -> dict[str, str]:
    """A key, and whether it came to its computer, as far as anybody can tell."""
    held, visits = state.inventories.get(host), ("hand over", "carried", "brought back")
    one = held and held.find(label)
    last = [e.action for e in state.entries if e.host == host and e.action in visits][-1:]
    imported = _HAS if one and one.has_key else _OUT if last == ["carried"] else _WAITS
    return {"host": host, "about": about, "imported": imported}


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
    numbered = [(RUNBOOK_OF[deed]["runbook"], names) for deed, names in again.items()]
    return {"again": numbered, "within": within, "besides": besides if mine else ()}


# What can be done, and a word of what was: of it, or nothing.


def _nothing(records: Records, state: State, hosts: list[str], because: str) -> str:
    raise ValueError("--because does nothing here: leave it out, and read what is to be done")


def _give_up(records: Records, state: State, hosts: list[str], because: str) -> str:
    """Note that nobody opens the newest PFX of these servers: they are without that certificate."""
    with records.lock():
        for host in hosts:
            why = f"the password of its PFX is lost: {because}"
            records.note("", ABANDON, state.current[host], at=state.at, host=host, note=why)
    return "noted" if hosts else ""


def _lose_key(records: Records, state: State, hosts: list[str], because: str) -> str:
    """Note that the key of the CA is gone, so that what waits for it does not wait any more."""
    if state.ca and not state.has_authority and not state.adopted_without_key:
        records.note("", LOSE_KEY, state.ca, at=state.at, note=because)
    return "noted"


def _new_record_key(records: Records, state: State, hosts: list[str], because: str) -> str:
    """Make another record key, unless the password opens the one that is there."""
    say("The new record key gets the password of VMSCERT_RECORD_PASSWORD, else of "
        "VMSCERT_CA_PASSWORD, else one that you make up now.")  # fmt: skip
    password = secret("RECORD", records.rehearsal, new=True)
    with suppress(ValueError, OSError):
        open_record_key(records, password)
        raise RuntimeError("This password opens the record key that is there: nothing is lost")
    return replace_record_key(records, password, because, state.at).as_posix()


_DEEDS = dict.fromkeys(_LOST, _nothing) | {
    "pfx-password": _give_up,
    "ca-key": _lose_key,
    "record-password": _new_record_key,
}
