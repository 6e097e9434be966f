"""What is due, gathered from everywhere: what was issued, is installed, is served, and each CA."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.reading import Reading
from vmscert.changes.job import Job, records_folder
from vmscert.checks.blackout import Blackout, Issue, Outlook, assumed, blackouts, dark_rows
from vmscert.checks.documents import AskPassword, files_below, is_site_folder, read
from vmscert.checks.expiry import Due, Sight, due, fingerprint, kind_of, lasts
from vmscert.checks.site import told_at_once
from vmscert.facts import runbook_name
from vmscert.names import spelled
from vmscert.network.looks import TIMEOUT
from vmscert.network.survey import survey
from vmscert.network.targets import Target, is_table, read_targets, site_targets
from vmscert.records.folder import Records
from vmscert.records.state import State, read_state
from vmscert.site.site import Host, Site
from vmscert.site.table import find_table, read_site
from vmscert.windows.inventory import read_inventory
from vmscert.windows.stores import UNKNOWN, Stores

_ENDPOINT = re.compile(r"\S+:\d+(-\d+)?|https?://\S+")
_NOTHING_OF_OURS = "something else"


@dataclass(frozen=True)
class Unknown:
    """Something that should have told its certificate and did not: never a reason for calm."""

    label: str
    where: str  # "served at vms-rec-01:7563", or the path of a file
    why: str
    status: str = "unknown"


@dataclass(frozen=True)
class Agenda:
    """All that is known of what ends when, seen at one moment; every channel tells it.

    `reported` is computer → the time of its inventory.
    """

    at: datetime
    rows: tuple[Due, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    reported: Mapping[str, datetime] = field(default_factory=dict)
    outlooks: tuple[Outlook, ...] = ()

    @property
    def blackouts(self) -> list[Blackout]:
        """What goes dark at all sites, also what has done so already."""
        return [one for outlook in self.outlooks for one in outlook.blackouts]

    @property
    def quiet(self) -> bool:
        """Whether nobody has to act, and nothing is unknown."""
        return not self.unknown and all(row.quiet and not row.findings for row in self.rows)


@dataclass(frozen=True)
class _Source:
    """What one argument told, or all of them together."""

    sights: tuple[Sight, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    reported: Mapping[str, datetime] = field(default_factory=dict)
    outlooks: tuple[Outlook, ...] = ()

    def __add__(self, other: "_Source") -> "_Source":
        return _Source(
            self.sights + other.sights,
            self.unknown + other.unknown,
            {**self.reported, **other.reported},
            self.outlooks + other.outlooks,
        )


def gather(
    texts: Iterable[str],
    at: datetime,
    ask: AskPassword,
    *,
    live: bool = False,
    folder: str = "",
    timeout: float = TIMEOUT,
) -> Agenda:
    """Gather what ends when, seen at a moment, from sites' tables and folders, files, HOST:PORTs.

    A site's table brings its records with it, which lie in `folder` if one is named; with `live`
    its servers are called, too. ValueError for an argument that is nothing of these; what is there
    but can't be read, and servers that do not answer, are unknown.
    """
    texts = list(texts)
    asked = [text for text in texts if not Path(text).exists() and _ENDPOINT.fullmatch(text)]
    told = _Source()
    for text in texts:
        if text not in asked:
            told += _of_path(Path(text), at, ask, folder)
    targets = read_targets(asked)
    for site in (one.site for one in told.outlooks if live):
        # Every port of every server once: all of its names lead to the same certificate.
        ports = {(one.host or one.address, one.port): one for one in reversed(site_targets(site))}
        targets += reversed(ports.values())
    if targets:
        told += _served(targets, at, timeout)
    return _agenda(told, at)


def outlook_of(state: State) -> Outlook:
    """Return what goes dark when at one site if nobody acts; also what is dark already."""
    above = state.issuers
    roots = [ca for cas in above.values() for ca in cas if Reading(ca).self_signed]
    given = Issue(state.current, above, tuple(dict.fromkeys([*state.cas.values(), *roots])))
    stores = state.inventories
    held = assumed(state.site, stores, given, state.at)
    return Outlook(state.site, held, tuple(blackouts(state.site, held, stores)))


def goes_dark(job: Job) -> list[dict[str, object]]:
    """Who goes dark when, and because of what, if nobody acts: rows for a plan."""
    return dark_to_come(job.state())


def dark_to_come(state: State) -> list[dict[str, object]]:
    """Rows for a plan, as `goes_dark` makes them, of a state that was read already."""
    return dark_rows(one for one in outlook_of(state).blackouts if one.since >= state.at)


def _agenda(told: _Source, at: datetime) -> Agenda:
    hosts = {host.name: host for one in told.outlooks for host in one.site}
    sights = [
        one._replace(owner=host.owner, note=host.notes) if (host := hosts.get(one.label)) else one
        for one in told.sights
    ]
    signed = {fingerprint(one.signed): one.signed for one in sights}
    certificates = [one for one in signed.values() if isinstance(one, x509.Certificate)]
    cas = [one for one in certificates if kind_of(one) == "CA"]
    rows = (
        _with_findings(row, signed[row.fingerprint], cas, hosts.get(row.label))
        for row in due(sights, at)
    )
    return Agenda(at, tuple(rows), told.unknown, told.reported, told.outlooks)


def _with_findings(row: Due, signed: object, cas: Sequence, host: Host | None) -> Due:
    if not isinstance(signed, x509.Certificate) or row.status == "replaced":
        return row
    found = told_at_once(signed, cas, host)
    return replace(row, findings=tuple(replace(one, where=row.label) for one in found))


def _of_path(path: Path, at: datetime, ask: AskPassword, folder: str) -> _Source:
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
    found = [_of_file(one, None, passing=True) for one in files_below(path)]
    told = sum(found, _Source())
    if not (told.sights or told.unknown):
        raise ValueError(f"{path} holds nothing that ends: name a folder with certificates")
    return told


def _of_file(path: Path, ask: AskPassword | None, *, passing: bool = False) -> _Source:
    """What one file tells; in passing, through a folder, what is nothing of ours tells nothing."""
    if path.suffix.lower() == ".json":
        with suppress(ValueError):  # some other JSON: it is read as what it is
            held = read_inventory(path)
            return _Source(tuple(_of_computers([held], [])), reported={held.host: held.at})
    found = read(path, ask)
    signed = [*found.certificates, *found.crls]
    sights = tuple(Sight(_label(one), one, path.name) for one in signed if lasts(one))
    strange = found.problems or not passing
    if sights or (passing and found.about == _NOTHING_OF_OURS) or not strange:
        return _Source(sights)
    why = "; ".join(found.problems) or f"it is {found.about}: nothing that ends"
    return _Source(unknown=(Unknown(path.name, str(path), why),))


def _of_state(state: State) -> _Source:
    sights = tuple(_of_a_site(state))
    if not sights:
        why = f"no certificate was issued yet: run {runbook_name('11')}"
        return _Source(unknown=(Unknown(state.folder.name, str(state.folder), why),))
    reported = {name: one.at for name, one in state.inventories.items()}
    # Without a table nobody knows who talks to whom.
    return _Source(sights, (), reported, (outlook_of(state),) if state.site else ())


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
    own = [one.certificate for stores in held for one in stores.personal]
    above = _above([*issued, *own], {one for stores in held for one in _cas_of(stores)})
    for stores in held:
        used = {*stores.bindings.values(), *stores.https.values()}
        for one in (personal.certificate for personal in stores.personal):
            # Where a service does not say which it uses, any of them may be the one.
            word = "in use on" if used & {UNKNOWN, thumbprint(one)} else "installed on"
            yield Sight(stores.host, one, f"{word} {stores.host}")
        for one in dict.fromkeys(_cas_of(stores)):
            if one in above:
                yield Sight(_label(one), one, f"installed on {stores.host}")


def _cas_of(stores: Stores) -> tuple[x509.Certificate, ...]:
    return stores.trusted + stores.intermediate


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


def _served(targets: Sequence[Target], at: datetime, timeout: float) -> _Source:
    looks = survey(targets, (), at, timeout=timeout).seen
    sights = (
        Sight(_label(shown) if number else look.target.computer, shown, _place(look.target))
        for look in looks
        for number, shown in enumerate(look.presented)
        if lasts(shown)  # not one whose dates can't be read
    )
    why = {look.target: "" if look.presented else look.detail for look in looks}
    silent = (
        Unknown(one.computer, _place(one), why.get(one, "nobody asked: interrupted"))
        for one in targets
        if why.get(one, "interrupted")
    )
    return _Source(tuple(sights), tuple(silent))


def _place(target: Target) -> str:
    return f"served at {spelled((target.computer, target.port))}"


def _label(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    if isinstance(signed, x509.CertificateRevocationList):
        names = signed.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return f"CRL of {names[0].value if names else signed.issuer.rfc4514_string()}"
    return Reading(signed).label.strip("'")
