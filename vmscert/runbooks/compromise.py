"""A private key was stolen: what is replaced where, in which order, and why not in another one.

The order keeps every link lit while the thief keeps his key a little longer. Where he is at work
already, the other order shuts him out first, and says what is dark until the last step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from vmscert.certificates.authority import is_signed_by, thumbprint
from vmscert.changes.job import Job, Stop
from vmscert.checks.acceptance import DarkLink, accounts, dark_links, served
from vmscert.facts import doubt, facts, sureness
from vmscert.findings import Check
from vmscert.records.ledger import BAR
from vmscert.records.state import State
from vmscert.runbooks.overlap import stand_ins
from vmscert.runbooks.replace import Replacing, renewals, retirement_checks
from vmscert.runbooks.stages import RUNBOOKS, Deeds, Parts, Rows
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
        "bar": lambda names: {
            name: held.barring(*barred) if name in names else held for name, held in stores.items()
        },
        "serve": lambda names: _serving_unknown(site, stores, names, at),
    }
    steps = []
    for row in (row for row in facts("compromise") if row["stolen"] == kind):
        names = _where(site, row["where"], servers)
        dark = dark_links(site, early[row["early"]](names), at) if row["early"] else ()
        first, why = bool(row["early"]) and row["step"] == "1", row["why"] + doubt(row["tag"])
        steps.append(Measure(int(row["step"]), row["action"], names, why, dark, first))
    return tuple(steps)


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


def bar_certificates(job: Job, hosts: Iterable[str], reason: str) -> list[dict[str, str]]:
    """Note that the keys of these servers, or that of the "CA", are in other hands.

    What they certify stays in use until it is replaced; nothing is barred on a computer before.
    """
    job.permit()
    state, rows = job.state(), []
    known = {thumbprint(one) for one, _ in state.barred}
    for name in hosts:
        one = state.signing_ca if name == "CA" else state.current[name]
        if thumbprint(one) not in known:
            host = "" if name == "CA" else name
            job.records.note(job.number, BAR, one, host=host, at=job.at, note=reason)
            rows.append({"what": name, "thumbprint": thumbprint(one), "why": reason})
    return rows


class AnswerCompromise(Replacing):
    """A private key that is in other hands is worth nothing any more."""

    empty = "Nothing can be barred yet."
    concerns: Sequence[str] = ()  # the servers that get another certificate

    def measures(self, stolen: str, at_work: bool) -> Parts:
        """What is replaced where, in which order, and who goes dark in any other."""
        job, state = self.job, self.job.state()
        ca, stores = job.records.ca_certificate, state.inventories
        steps = compromise_plan(job.site, stores, stolen, ca, job.at, at_work)
        yield Rows(compromise_rows(steps))

    def own_trust(self) -> Parts:
        """Who does not look into Windows' stores."""
        yield Rows(own_trust(self.job.site))

    def revocation(self) -> Parts:
        """What a revocation list costs each client when its place is away; measured or noted."""
        yield Rows(
            [
                {name: told for name, told in row.items() if name not in ("source", "tag")}
                | {"how sure": sureness(row["tag"])}
                for row in facts("revocation-prices")
            ]
        )

    def concerned(self) -> list[str] | None:
        """The server whose key was stolen, or the "CA"."""
        return [self.parameters["stolen"]]

    def note_stolen(self) -> Parts:
        """Note that the key was stolen; the runbook stops where it is the CA's and signs still."""
        job, state = self.job, self.job.state()
        stolen, reason = self.parameters["stolen"], self.parameters["reason"]
        if stolen != CA and stolen not in state.current:
            raise ValueError(f"{stolen!r} is no server with a certificate: name one, or {CA!r}")
        job.permit()
        begun, host = job.change.plan.lines if job.change else 0, "" if stolen == CA else stolen
        lines = state.entries[begun:]
        if not any(entry.action == BAR and entry.host == host for entry in lines):
            bar_certificates(job, [stolen], reason)
            state = job.state()
        barred = {thumbprint(one) for one, _ in state.barred}
        if thumbprint(state.signing_ca) in barred:
            (other,) = (row["name"] for row in RUNBOOKS.values() if CA in row["ends"].split("|"))
            raise Stop(f"the CA's own key was stolen, and it signs still: run {other} now, "
                       f"then this runbook again")  # fmt: skip
        self.concerns = [name for name, label in state.thumbprints.items() if label in barred]
        yield from ()

    def renew(self) -> Parts:
        """Give a new key and certificate to the servers concerned."""
        yield from self._renewed(list(self.concerns))

    def achieved(self) -> list[Check]:
        """As on the wire, and what was stolen is barred wherever its server is called."""
        return [*super().achieved(), *retirement_checks(self.job)]

    def deeds(self, state: State, hosts: list[str] | None) -> Deeds:
        """Where the CA's key was stolen, every server gets a certificate of another one."""
        everywhere = [host.name for host in state.site.servers]
        return renewals(state, everywhere if hosts == [CA] else hosts)
