"""What is due, gathered from everywhere: what was issued, is installed, is served, and each CA."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeGuard, TypeVar

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.reading import Reading
from vmscert.changes.job import records_folder
from vmscert.checks.blackout import Blackout, Issue, Outlook, assumed, blackouts, dark_rows
from vmscert.checks.documents import (
    SOMETHING_ELSE,
    AskPassword,
    files_below,
    is_ours,
    is_site_folder,
    read,
    read_file,
)
from vmscert.checks.expiry import Due, Sight, Signed, due, fingerprint, issuer_of, kind_of, lasts
from vmscert.checks.site import told_at_once
from vmscert.facts import facts
from vmscert.names import spelled
from vmscert.network.looks import TIMEOUT
from vmscert.network.survey import survey
from vmscert.network.targets import Target, is_table, read_targets, site_targets
from vmscert.records.clock import Clue, behind, clues, of_the_kit
from vmscert.records.folder import Records
from vmscert.records.state import State, read_state
from vmscert.site.site import Site
from vmscert.site.table import find_table, read_site
from vmscert.windows.inventory import read_inventory
from vmscert.windows.stores import UNKNOWN, Stores

CLOCK = "clock"  # what is unknown where this laptop's is behind: how much time is left
_ENDPOINT = re.compile(r"\S+:\d+(-\d+)?|https?://\S+")


@dataclass(frozen=True)
class Unknown:
    """Something that should have told its certificate and did not: never a reason for calm."""

    label: str
    where: str  # "served at vms-rec-01:7563", or the path of a file
    why: str
    status: str = "unknown"


@dataclass(frozen=True)
class Agenda:
    """All that is known of what ends when, seen at one moment; every channel tells it."""

    at: datetime
    rows: tuple[Due, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    reported: Mapping[str, datetime] = field(default_factory=dict)  # when computers reported last
    outlooks: tuple[Outlook, ...] = ()

    @property
    def clock(self) -> str:
        """Why no day here counts: the clock is behind, if it is."""
        return next((one.why for one in self.unknown if one.label == CLOCK), "")

    @property
    def blackouts(self) -> list[Blackout]:
        """What goes dark at all sites, also what has done so already."""
        return [one for outlook in self.outlooks for one in outlook.blackouts]

    @property
    def quiet(self) -> bool:
        """Whether nobody has to act, and nothing is unknown."""
        return not self.unknown and all(row.quiet and not row.findings for row in self.rows)


# What an argument tells: what ends, what should have told and did not, who reported, a whole site.
Told = Sight | Unknown | Stores | Outlook | Clue
T = TypeVar("T")


def gather(
    texts: Iterable[str],
    at: datetime,
    ask: AskPassword,
    *,
    live: bool = False,
    folder: str = "",
    timeout: float = TIMEOUT,
    now: datetime | None = None,
    kit: datetime | None = None,
) -> Agenda:
    """Gather what ends when, seen at a moment, from sites' tables and folders, files, HOST:PORTs.

    A site's table brings its records with it, which lie in `folder` if one is named; with `live`
    its servers are called, too. ValueError for an argument that is nothing of these; what is there
    but can't be read, and servers that do not answer, are unknown; and so is all where the clock
    is behind, which says `now`, while the kit's newest file is of `kit`.
    """
    texts = list(texts)
    asked = [text for text in texts if not Path(text).exists() and _ENDPOINT.fullmatch(text)]
    paths = [Path(text) for text in texts if text not in asked]
    told = [one for path in paths for one in _of_path(path, at, ask, folder)]
    if wrong := behind(now or at, [*_only(Clue, told), *of_the_kit(kit)]):
        told.insert(0, Unknown(CLOCK, "this laptop", wrong))
    targets = read_targets(asked)
    for site in (one.site for one in _only(Outlook, told) if live):
        # Every port of every server once: all of its names lead to the same certificate.
        ports = {(one.host or one.address, one.port): one for one in reversed(site_targets(site))}
        targets += reversed(ports.values())
    if targets:
        told += _served(targets, at, timeout)
    reported = {stores.host: stores.at for stores in _only(Stores, told)}
    outlooks = tuple(_only(Outlook, told))
    rows = _rows(_only(Sight, told), outlooks, at)
    return Agenda(at, tuple(rows), tuple(_only(Unknown, told)), reported, outlooks)


def _only(kind: type[T], told: Iterable[object]) -> list[T]:
    return [one for one in told if isinstance(one, kind)]


def outlook_of(state: State) -> Outlook:
    """Return what goes dark when at one site if nobody acts; also what is dark already."""
    above, stores = state.issuers, state.inventories
    roots = [ca for cas in above.values() for ca in cas if Reading(ca).self_signed]
    given = Issue(state.current, above, tuple(dict.fromkeys([*state.cas.values(), *roots])))
    held = assumed(state.site, stores, given, state.at)
    return Outlook(state.site, held, tuple(blackouts(state.site, held, stores)))


def dark_to_come(state: State) -> list[dict[str, object]]:
    """Who goes dark when, and because of what, if nobody acts: rows for a plan."""
    return dark_rows(one for one in outlook_of(state).blackouts if one.since >= state.at)


def _rows(sights: Iterable[Sight], outlooks: Iterable[Outlook], at: datetime) -> Iterator[Due]:
    """What ends when, with what the tables of sites say of it, and what is told at once."""
    hosts = {host.name: host for one in outlooks for host in one.site}
    met = [
        one._replace(owner=host.owner, note=host.notes) if (host := hosts.get(one.label)) else one
        for one in sights
    ]
    signed = {fingerprint(one.signed): one.signed for one in met}
    certificates = [one for one in signed.values() if _is_certificate(one)]
    cas = [one for one in certificates if kind_of(one) == "CA"]
    for row in due(met, at):
        one, found = signed[row.fingerprint], []
        if _is_certificate(one) and row.status != "replaced":
            found = told_at_once(one, cas, hosts.get(row.label))
        told = tuple(replace(each, where=row.label) for each in found)
        yield replace(row, findings=told) if told else row


def _of_path(path: Path, at: datetime, ask: AskPassword, folder: str) -> Iterable[Told]:
    table = find_table(path)
    if is_table(table):
        records = Records(folder or records_folder(table))
        return _of_state(read_state(records, read_site(table), at))
    if is_site_folder(path):
        records = Records(path)
        site = read_site(records.table) if records.table.exists() else Site(path.name, ())
        return _of_state(read_state(records, site, at))
    if not path.is_dir():
        return _of_file(path, ask)
    found = [told for one in files_below(path) for told in _in_passing(one)]
    if not _only(Sight, found) and not _only(Unknown, found):
        raise ValueError(f"{path} holds nothing that ends: name a folder with certificates")
    return found


def _in_passing(path: Path) -> list[Told]:
    """What a file of a folder tells; what is nothing of ours tells nothing."""
    try:
        return list(_of_file(path, None, passing=True))
    except ValueError as error:  # one locked file must not hide the others
        return [Unknown(path.name, str(path), str(error))]


def _of_file(path: Path, ask: AskPassword | None, *, passing: bool = False) -> Iterator[Told]:
    """What one file tells; in passing, what is nothing of ours tells nothing."""
    if path.suffix.lower() == ".json":
        with suppress(ValueError):  # some other JSON: it is read as what it is
            held = read_inventory(path)
            yield from (held, *_of_computers([held], []))
            return
    found = read_file(path, ask)
    signed = [one for one in (*found.certificates, *found.crls) if lasts(one)]
    yield from (Sight(_label(one), one, path.name) for one in signed)
    unread = [*found.problems, *(one.detail for one in found.told if one.code == "not-judged")]
    if found.entries:
        unread.append(f"it is {found.about}: vmscert check judges it, give the certificates here")
    ours = unread and (found.about != SOMETHING_ELSE or is_ours(path))
    if not signed and (ours or not passing):
        why = "; ".join(unread) or f"it is {found.about}: nothing that ends"
        yield Unknown(path.name, str(path), why)


def _of_state(state: State) -> Iterator[Told]:
    sights = [*_of_a_site(state)]
    if not sights:
        first = next(row["name"] for row in facts("change/runbooks") if row["achieved"])
        why = f"no certificate was issued yet: run {first}"
        yield Unknown(state.folder.name, str(state.folder), why)
        return
    yield from (*sights, *state.inventories.values(), *clues(state))
    if state.site:  # without a table nobody knows who talks to whom
        yield outlook_of(state)


def _of_a_site(state: State) -> Iterator[Sight]:
    """What a site issued and its computers hold; a computer that left the table is left out."""
    site, stores = state.site, state.inventories
    current = {n: one for n, one in state.current.items() if n in site or not site}
    yield from (Sight(label, ca, "issued") for label, ca in state.cas.items())
    for host, one in current.items():
        yield Sight(host, one, "issued")
        yield from (Sight(_label(ca), ca, "issued") for ca in state.issuers[host])
    for host, labels in state.superseded.items():
        older = (state.certificates[host, label] for label in labels)
        yield from (Sight(host, one, "issued before") for one in older if host in current)
    for data in state.lists.values():
        yield from (Sight(_label(crl), crl, "issued") for crl in read(data).crls)
    held = [one for name, one in stores.items() if name in site or not site]
    yield from _of_computers(held, current.values())


def _of_computers(held: Sequence[Stores], issued: Iterable[x509.Certificate]) -> Iterator[Sight]:
    """What computers hold for themselves, and the CAs above that; no CA that is nobody's here."""
    cas = {stores.host: dict.fromkeys(stores.trusted + stores.intermediate) for stores in held}
    own = [one.certificate for stores in held for one in stores.personal]
    above = _above([*issued, *own], {ca for some in cas.values() for ca in some})
    for stores in held:
        used = {*stores.bindings.values(), *stores.https.values()}
        for one in (personal.certificate for personal in stores.personal):
            # Where a service does not say which it uses, any of them may be the one.
            word = "in use on" if used & {UNKNOWN, thumbprint(one)} else "installed on"
            yield Sight(stores.host, one, f"{word} {stores.host}")
        for one in cas[stores.host]:
            if one in above:
                yield Sight(_label(one), one, f"installed on {stores.host}")


def _above(
    certificates: Iterable[x509.Certificate], pool: Iterable[x509.Certificate]
) -> set[x509.Certificate]:
    """The CAs of a pool that stand above certificates, as the names in them say."""
    wanted = {Reading(one).issuer for one in certificates}
    found, rest = set(), {one: Reading(one) for one in pool}
    while new := {one for one, read in rest.items() if read.subject in wanted} - found:
        found |= new
        wanted |= {rest[one].issuer for one in new}
    return found


def _served(targets: Sequence[Target], at: datetime, timeout: float) -> Iterator[Told]:
    where = {one: f"served at {spelled((one.computer, one.port))}" for one in targets}
    why = dict.fromkeys(targets, "nobody asked: interrupted")
    for look in survey(targets, None, at, timeout=timeout).seen:
        # A certificate may be seen where clients get no further: that is never calm either.
        refused = look.handshake.rule or not look.presented
        why[look.target] = (look.handshake.error or look.detail) if refused else ""
        for number, shown in enumerate(look.presented):
            if lasts(shown):  # not one whose dates can't be read
                label = _label(shown) if number else look.target.computer
                yield Sight(label, shown, where[look.target])
    yield from (Unknown(one.computer, where[one], why[one]) for one in targets if why[one])


def _is_certificate(signed: Signed) -> TypeGuard[x509.Certificate]:
    return not isinstance(signed, x509.CertificateRevocationList)


def _label(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    if isinstance(signed, x509.CertificateRevocationList):
        return f"CRL of {issuer_of(signed)}"
    return Reading(signed).label.strip("'")
