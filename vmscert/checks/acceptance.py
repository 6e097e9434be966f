"""Does this client accept that server, and if not, why: one answer, for all who ask.

What a server serves, and what a client believes, is in their Stores, as inventories tell them or as
a plan will leave them. Darkness, checks, the wire's expectation, map and gates all ask here.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, TypeVar

from cryptography import x509

from vmscert.certificates.authority import is_signed_by, thumbprint
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.reading import Reading
from vmscert.findings import OF_THE_CLIENT, Finding
from vmscert.site.site import Connection, Host, Site
from vmscert.windows.stores import (
    CLOCK_SKEW,
    UNKNOWN,
    Chain,
    Personal,
    Stores,
    account,
    dns_names,
    names_of,
    presented,
)

_OF_TIME = {"expired", "not-yet-valid"}
_BEFORE = timedelta.resolution  # both the first and the last moment of a certificate are good
_NEVER = datetime.max.replace(tzinfo=UTC)
Reasons = tuple[Finding, ...]
Offer = tuple[Chain, Reasons]  # what a computer presents, and what keeps it from serving that
Told = TypeVar("Told")


class TrustStore(NamedTuple):
    """The CAs of a computer: it trusts `roots`, holds `known` in between, never trusts `barred`."""

    roots: Chain
    known: Chain = ()
    barred: Chain = ()


class View(NamedTuple):
    """What of a computer decides whom it accepts."""

    trust: TrustStore
    astray: tuple[tuple[str, Chain], ...]  # (store, roots that lie there without being trusted)
    ahead: timedelta  # of the time, where the clock is wrong


class DarkLink(NamedTuple):
    """One connection that its client refuses, by one of the server's names."""

    connection: Connection
    name: str
    why: Finding

    def __str__(self) -> str:
        link = self.connection
        return f"{link.client} → {link.server}:{link.port} as {self.name}: {self.why.detail}"


def view(stores: Stores) -> View:
    """Return what of a computer decides whom it accepts."""
    off = stores.clock_offset or 0
    places = {
        "CurrentUser\\Root": stores.user_root,
        "LocalMachine\\CA": stores.intermediate,
        "LocalMachine\\My": (held.certificate for held in stores.personal),
    }
    return View(
        TrustStore(stores.trusted, stores.intermediate, stores.disallowed),
        tuple(
            (place, tuple(one for one in held if names_of(one)[0] == names_of(one)[1]))
            for place, held in places.items()
        ),
        timedelta(seconds=off if abs(off) > CLOCK_SKEW else 0),
    )


def acceptance(
    server: Host, held: Stores, group: str, client: Stores, at: datetime
) -> dict[str, Reasons]:
    """Return each of a server's names → all that is wrong when this client calls a group by it.

    `held` is what the server holds. An accepted server has no finding that is bad. A group that is
    not switched on is judged as if it were, and has the finding "not-encrypted" besides.
    """
    offer = service(server, held, group)
    reasons = accepted(offer[0], server.names, view(client), at)
    return _told(server, offer, client.host, reasons)


def acceptance_of(
    server: Host, shown: Chain, name: str, client: str, believed: View, at: datetime
) -> Reasons:
    """Return all that is wrong when this client was shown these certificates by that server."""
    return _told(server, (shown, ()), client, accepted(shown, [name], believed, at))[name]


def refusals(
    site: Site, stores: Mapping[str, Stores], at: datetime
) -> Iterator[tuple[Connection, dict[str, Reasons]]]:
    """Yield each connection of which anything is wrong, and its `acceptance`, in the site's order.

    Of a computer without an entry in `stores` nothing is assumed: its connections are not judged.
    """

    def judge(server: Host, offer: Offer, believed: View) -> dict[str, Reasons]:
        return accepted(offer[0], server.names, believed, at)

    for link, offer, reasons in each_link(site, stores, judge):
        if offer[1] or any(reasons.values()):
            yield link, _told(site[link.server], offer, link.client, reasons)


def each_link(
    site: Site, stores: Mapping[str, Stores], judge: Callable[[Host, Offer, View], Told]
) -> Iterator[tuple[Connection, Offer, Told]]:
    """Yield each connection between computers that have stores, and what `judge` says of it.

    Hundreds of clients believe the same: each server is judged once for all of them.
    """
    offered, known = offers(site, stores), dict[object, Told]()
    kinds, different = kinds_of(stores)
    for link in site.connections:
        called, kind = (link.server, link.group), kinds.get(link.client)
        if kind is not None and called in offered:
            key = called, kind
            if key not in known:
                known[key] = judge(site[link.server], offered[called], different[kind])
            yield link, offered[called], known[key]


def kinds_of(stores: Mapping[str, Stores]) -> tuple[dict[str, int], list[View]]:
    """Return computer → the number of what decides whom it accepts, and the views so numbered."""
    alike: dict[View, int] = {}
    kinds = {name: alike.setdefault(view(held), len(alike)) for name, held in stores.items()}
    return kinds, list(alike)


def dark_links(site: Site, stores: Mapping[str, Stores], at: datetime) -> tuple[DarkLink, ...]:
    """Return every connection that is encrypted and refused now, by which name, and why."""
    return tuple(
        DarkLink(link, name, worst[0])
        for link, reasons in refusals(site, stores, at)
        for name, found in reasons.items()
        if link.group in stores[link.server].bindings and (worst := bad(found))
    )


def offers(site: Site, stores: Mapping[str, Stores]) -> dict[tuple[str, str], Offer]:
    """Return (server, certificate group) → its `service`, of every server that has stores."""
    return {
        (host.name, group): service(host, stores[host.name], group)
        for host in site.servers
        if host.name in stores
        for group in host.groups
    }


def dark_findings(links: Iterable[DarkLink]) -> list[Finding]:
    """Return a finding for each link that is dark; the site's map shows them in red."""
    told = (
        replace(why, where=f"{link.client} → {link.server}", detail=f"{link.port}: {why.detail}")
        for link, _, why in links
    )
    return list(dict.fromkeys(told))


def bad(reasons: Iterable[Finding]) -> list[Finding]:
    """Return those for which a client refuses."""
    return [one for one in reasons if one.severity == "bad"]


def service(server: Host, held: Stores, group: str) -> Offer:
    """Return what a computer presents in a certificate group, and what keeps it from serving it."""
    one, name = serving(server, held, group), server.name
    if one is None:
        return (), (_without_certificate(server, held),)
    label, told = thumbprint(one.certificate), []
    if not one.has_key:
        told.append(("key-missing", f"certificate {label} on {name} has no private key"))
    for reader in accounts(server, held) if one.has_key else ():
        if not one.readable_by(reader):
            text = f"{reader} can't read the private key of {label} on {name}"
            told.append(("key-not-readable", text))
    if group not in held.bindings:
        told.append(("not-encrypted", f"{group} is not switched on on {name}"))
    return presented(one.certificate, held), tuple(Finding(code, name, text) for code, text in told)


def serving(host: Host, stores: Stores, group: str) -> Personal | None:
    """Return what this computer serves in a certificate group: the bound one, else the best."""
    bound = stores.used.get(group)
    if bound and bound != UNKNOWN:
        return stores.find(bound)
    mine = [held for held in stores.personal if host.names[0] in dns_names(held.certificate)]
    return max(mine, key=lambda held: held.certificate.not_valid_before_utc, default=None)


def accounts(host: Host, stores: Stores) -> list[str]:
    """Return who must read the private key: the table's account, and who really runs the services.

    Without an account in the table, the usual one counts only where the inventory names no other.
    """
    wanted = {one.casefold() for one in host.services}
    ours = (s for s in stores.services if wanted & {s.name.casefold(), s.display.casefold()})
    running = [one.account for one in ours if one.account]
    told = () if running and not host.account else host.accounts
    return list({account(one): one for one in (*running, *told)}.values())


def served(server: Host, held: Stores) -> list[Chain]:
    """Return what a computer presents in each certificate group that is switched on."""
    switched = (group for group in server.groups if group in held.bindings)
    return [chain for group in switched if (chain := service(server, held, group)[0])]


def accepted(
    chain: Chain, names: Iterable[str], believed: View, at: datetime
) -> dict[str, Reasons]:
    """Return name → what such a client finds wrong with what was presented, if anything was.

    Each finding's place is a part of the chain, or "client".
    """
    found = diagnosed(chain, names, believed.trust, at)
    for name, reasons in found.items():
        if _pressing(reasons):
            found[name] = tuple(_misplaced(one, chain, believed) for one in reasons)
        elif believed.ahead:
            theirs = at + believed.ahead
            for wrong in bad(diagnosed(chain, [name], believed.trust, theirs)[name])[:1]:
                text = f"by its clock, {theirs:%Y-%m-%d %H:%M} UTC, the certificate is {wrong.code}"
                found[name] = (*reasons, Finding("clock-off", "client", text))
    return found


def diagnosed(
    chain: Chain, names: Iterable[str], trust: TrustStore, at: datetime
) -> dict[str, Reasons]:
    """Return name → the diagnosis of a chain by a client with this trust and a right clock.

    What is asked again, by other clients or for another second, costs next to nothing.
    """
    if not chain:
        return dict.fromkeys(names, ())
    near = towards(chain, trust)
    turns = _turns(chain, near)
    then = turns[bisect_left(turns, at)]  # stands for every second since the turn before
    found = {name: _judged(chain, name, near, then) for name in names}
    # Each client and each second is told in its own words, once it comes to that.
    return {
        name: _judged(chain, name, trust, at) if _pressing(reasons) else reasons
        for name, reasons in found.items()
    }


def _pressing(reasons: Reasons) -> bool:
    return any(one.severity == "bad" or one.code in _OF_TIME for one in reasons)


@lru_cache(maxsize=1 << 14)
def towards(chain: Chain, trust: TrustStore) -> TrustStore:
    """Return of this trust the certificates that a way up from a chain could meet."""
    pool, met, new = {one for part in trust for one in part}, set[x509.Certificate](), {*chain}
    while new:
        met, above = met | new, {names_of(one)[1] for one in new}
        new = {one for one in pool - met if names_of(one)[0] in above}
    return TrustStore(*(tuple(one for one in part if one in met) for part in trust))


@lru_cache(maxsize=1 << 12)
def _turns(chain: Chain, trust: TrustStore) -> list[datetime]:
    """When a verdict can change: when a certificate of it begins or ends."""
    spans = (Reading(one).validity for one in (*chain, *trust.roots, *trust.known))
    turns = {turn for span in spans if span for turn in (span[0] - _BEFORE, span[1])}
    return sorted((*turns, _NEVER))


@lru_cache(maxsize=1 << 16)  # hundreds of clients see the same server with the same roots
def _judged(chain: Chain, name: str, trust: TrustStore, at: datetime) -> Reasons:
    """All that is wrong for a client with a right clock; what it has barred is told besides."""
    verdict = diagnose(chain, name, trust.roots, at, intermediates=trust.known)
    barred = {one for one in trust.barred if one in chain or one in verdict.path}
    if barred and chain[0] not in barred:  # perhaps nothing is barred on another way up
        sent, roots, known = (
            tuple(one for one in part if one not in barred)
            for part in (chain, trust.roots, trust.known)
        )
        if diagnose(sent, name, roots, at, intermediates=known).trusted:
            barred.clear()
    if not barred:
        return verdict.findings
    what, label = "the CA certificate", min(map(thumbprint, barred))
    if chain[0] in barred:
        what, label = "the certificate of a server", thumbprint(chain[0])
    text = f"{{}} holds {what}, {label}, in LocalMachine\\Disallowed"
    return Finding("disallowed", "client", text), *verdict.findings


def _misplaced(finding: Finding, chain: Chain, believed: View) -> Finding:
    """See a root that lies where nobody trusts it for what it is."""
    if finding.code != "untrusted-root":
        return finding
    for place, held in believed.astray:
        if any(is_signed_by(chain[-1], one) for one in held):
            text = f"{{}} holds the CA certificate in {place}, where no service trusts it: it"
            return Finding("wrong-store", "client", f"{text} belongs in LocalMachine\\Root")
    issuer = Reading(chain[-1]).issuer_label
    text = f"{{}} does not trust the CA {issuer}: it refuses every server of that CA"
    return replace(finding, where="client", detail=text)


def _told(
    server: Host, offer: Offer, client: str, reasons: Mapping[str, Reasons]
) -> dict[str, Reasons]:
    """Say of which computer each finding speaks."""
    chain, faults = offer
    return {
        name: (*faults, *(_placed(one, server, client, chain) for one in found))
        for name, found in reasons.items()
    }


def _placed(one: Finding, server: Host, client: str, chain: Chain) -> Finding:
    if one.code in ("name-mismatch", "no-san") and not dns_names(chain[0]):
        text = (
            f"the certificate on {server.name} has no subjectAltName: some clients still read "
            f"the one name in its subject, none finds {', '.join(server.names[1:])}"
        )
        return Finding("no-san", server.name, text, one.severity, one.refused_by)
    if one.where == "client":
        return replace(one, where=client, detail=one.detail.replace("{}", client))
    return replace(one, where=client if one.code in OF_THE_CLIENT else server.name)


def _without_certificate(server: Host, held: Stores) -> Finding:
    full, code = server.names[0], "no-certificate"
    text = f"LocalMachine\\My holds no certificate for {full}"
    if any(full in dns_names(one.certificate) for one in held.user_personal):
        text = f"the certificate for {full} is in CurrentUser\\My on {server.name}, where no "
        code, text = "wrong-store", f"{text}service sees it: it belongs in LocalMachine\\My"
    return Finding(code, server.name, text)
