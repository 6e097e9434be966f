"""A private key was stolen: what is replaced where, in which order, and why not in another one.

The order keeps every link lit while the thief keeps his key a little longer. Where he is at work
already, the other order shuts him out first, and says what is dark until the last step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from vmscert.certificates.authority import is_signed_by
from vmscert.checks.acceptance import DarkLink, accounts, dark_links, served
from vmscert.facts import doubt, facts, sureness
from vmscert.runbooks.overlap import stand_ins
from vmscert.site.order import turns
from vmscert.site.site import Site
from vmscert.windows.stores import Stores

CA = "CA"
_SHOWN = 3  # computers that a row names; the rest is counted


@dataclass(frozen=True)
class Measure:
    """One step: what is done at which computers (none: at the laptop), and why in this place.

    `dark` are the links that go dark if it is done before the steps above it; with a thief at
    work it is done first on purpose, and they are dark until the servers have been visited.
    """

    number: int
    action: str
    computers: tuple[str, ...]
    why: str
    dark: tuple[DarkLink, ...] = ()
    first: bool = False


def compromise_plan(
    site: Site,
    stores: Mapping[str, Stores],
    stolen: str,
    ca: x509.Certificate,
    at: datetime,
    at_work: bool = False,
) -> tuple[Measure, ...]:
    """Return the steps after the key of a server, or that of the "CA", was stolen.

    `stores` is host name → what it holds (see `overlap.planned_stores`). `at_work` where the thief
    uses the key already. ValueError for a name that is no server of the site.
    """
    servers = _affected(site, stores, stolen, ca)
    barred = (ca,) if stolen == CA else _served(site, stores, stolen)
    kind = (CA if stolen == CA else "server") + (", thief at work" if at_work else "")
    early = {
        "": lambda _: stores,
        "bar": lambda names: _barring(stores, names, barred),
        "serve": lambda names: _serving_unknown(site, stores, names, at),
    }
    return tuple(
        _measure(row, _where(site, row["where"], servers), early[row["early"]], site, at)
        for row in facts("compromise")
        if row["stolen"] == kind
    )


def _measure(
    row: Mapping[str, str],
    names: tuple[str, ...],
    early: Callable[[tuple[str, ...]], Mapping[str, Stores]],
    site: Site,
    at: datetime,
) -> Measure:
    dark = dark_links(site, early(names), at) if row["early"] else ()
    first = bool(row["early"]) and row["step"] == "1"
    why = row["why"] + doubt(row["tag"])
    return Measure(int(row["step"]), row["action"], names, why, dark, first)


def _affected(
    site: Site, stores: Mapping[str, Stores], stolen: str, ca: x509.Certificate
) -> tuple[str, ...]:
    """The servers whose certificates are to be replaced, in the order of their visits."""
    switched = (turn[0].host for turn in turns(site))
    order = tuple(dict.fromkeys((*switched, *(host.name for host in site.servers))))
    if stolen == CA:
        return tuple(
            name
            for name in order
            if any(is_signed_by(one, ca) for one in _served(site, stores, name))
        )
    if stolen not in order:
        raise ValueError(f"{stolen!r} is no server of {site.name}: name one, or {CA!r}")
    return (stolen,)


def _served(site: Site, stores: Mapping[str, Stores], name: str) -> tuple[x509.Certificate, ...]:
    """The certificates that a server presents as its own; of PEM files, those that it holds."""
    held = stores.get(name)
    if held is None:
        return ()
    files = [one.certificate for one in held.personal] if site[name].pem_files else []
    return tuple(dict.fromkeys((*(chain[0] for chain in served(site[name], held)), *files)))


def _where(site: Site, where: str, servers: tuple[str, ...]) -> tuple[str, ...]:
    if where == "laptop":
        return ()
    if where in ("server", "servers"):
        return servers
    if where == "all":
        return tuple(host.name for host in site.clients)
    if where == "callers":
        calling = (c.client for c in site.connections if c.server in servers)
        return tuple(dict.fromkeys((*calling, *servers)))
    return tuple(dict.fromkeys(name for row in own_trust(site) for name in row["computers"]))


def own_trust(site: Site) -> list[dict[str, tuple[str, ...] | str]]:
    """Return the kinds of clients that do not look into Windows' stores, and where one may run."""
    return [
        {
            "client": row["client"],
            "computers": tuple(h.name for h in site if set(h.roles) & {*row["roles"].split("|")}),
            "trust lies in": row["where"],
            "what to do": row["how"] + doubt(row["tag"]),
        }
        for row in facts("own-trust")
    ]


def _barring(
    stores: Mapping[str, Stores], names: tuple[str, ...], barred: tuple[x509.Certificate, ...]
) -> dict[str, Stores]:
    return {n: held.barring(*barred) if n in names else held for n, held in stores.items()}


def _serving_unknown(
    site: Site, stores: Mapping[str, Stores], names: tuple[str, ...], at: datetime
) -> dict[str, Stores]:
    """The stores when these servers serve certificates of a CA that nobody trusts yet."""
    orders = {name: site[name].issued_names for name in names if name in stores}
    _, leaves = stand_ins(orders, "the new CA", at) if orders else (None, {})
    return {
        name: held.serving(leaves[name], held.bindings, accounts(site[name], held))
        if name in leaves
        else held
        for name, held in stores.items()
    }


def compromise_rows(plan: tuple[Measure, ...]) -> list[dict[str, object]]:
    """Each step as a row for people, with who goes dark if it came too early."""
    return [
        {
            "step": one.number,
            "what": one.action,
            "at": _named(one.computers) or "the laptop",
            "why here": one.why,
            "dark if it comes first": "" if one.first else _darkened(one.dark),
            "dark until the servers are done": _darkened(one.dark) if one.first else "",
        }
        for one in plan
    ]


def _darkened(dark: tuple[DarkLink, ...]) -> str:
    clients = tuple(dict.fromkeys(link.connection.client for link in dark))
    links = {link.connection for link in dark}
    return f"{len(links)} links: {_named(clients)} refuse; {dark[0]}" if dark else ""


def _named(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def revocation_rows() -> list[dict[str, str]]:
    """Return what a revocation list costs each client when its place is away; measured or noted."""
    return [
        {key: value for key, value in row.items() if key not in ("source", "tag")}
        | {"how sure": sureness(row["tag"])}
        for row in facts("revocation-prices")
    ]
