"""A private key was stolen: what is replaced where, in which order, and why not in another one.

The order keeps every link lit while the thief keeps his key a little longer. Where he is at work
already, the other order shuts him out first, and says what is dark until the last step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from vmscert.certificates.authority import is_signed_by, thumbprint
from vmscert.changes.job import RUNBOOK_FOR, Stop
from vmscert.checks.acceptance import DarkLink, accounts, dark_links, served
from vmscert.facts import doubt, facts, sureness
from vmscert.records.ledger import BAR
from vmscert.records.state import State
from vmscert.runbooks.overlap import stand_ins
from vmscert.runbooks.replace import Replacing, once_seen
from vmscert.runbooks.stages import Deeds, Parts, Rows
from vmscert.site.order import turns
from vmscert.site.site import Site, named
from vmscert.windows.stores import Stores

CA = "CA"
_SHOWN = 3  # computers that a row names; the rest is counted


@dataclass(frozen=True)
class Measure:
    """One step: what is done at which computers (none: at the laptop), and why in this place."""

    number: int
    action: str
    computers: tuple[str, ...]
    why: str
    dark: tuple[DarkLink, ...]  # if it is done before the steps above it
    first: bool  # on purpose: they are dark until the servers have been visited

    def row(self) -> dict[str, object]:
        """Return it for people, with who goes dark if it came too early."""
        refusing = named(list(dict.fromkeys(one.connection.client for one in self.dark)), _SHOWN)
        links = len({one.connection for one in self.dark})
        dark = f"{links} links: {refusing} refuse; {self.dark[0]}" if self.dark else ""
        return {
            "step": self.number,
            "what": self.action,
            "at": named(self.computers, _SHOWN) or "the laptop",
            "why here": self.why,
            "dark if it comes first": "" if self.first else dark,
            "dark until the servers are done": dark if self.first else "",
        }


def compromise_plan(
    site: Site,
    stores: Mapping[str, Stores],
    stolen: str,
    ca: x509.Certificate,
    at: datetime,
    at_work: bool = False,
) -> list[Measure]:
    """Return the steps after the key of a server, or that of the "CA", was stolen.

    `stores` is host name → what it holds (see `overlap.planned_stores`). `at_work` where the thief
    uses the key already. ValueError for a name that is no server of the site.
    """
    places = _places(site, _affected(site, stores, stolen, ca))
    barred = (ca,) if stolen == CA else _served(site, stores, stolen)
    kind = (CA if stolen == CA else "server") + (", thief at work" if at_work else "")
    steps = []
    for row in (row for row in facts("compromise") if row["stolen"] == kind):
        names, early, then = places[row["where"]], row["early"], stores
        if early == "bar":
            then = {n: one.barring(*barred) if n in names else one for n, one in stores.items()}
        elif early == "serve":
            then = _serving_unknown(site, stores, names, at)
        dark = dark_links(site, then, at) if early else ()
        first, why = bool(early) and row["step"] == "1", row["why"] + doubt(row["tag"])
        steps.append(Measure(int(row["step"]), row["action"], names, why, dark, first))
    return steps


def _affected(
    site: Site, stores: Mapping[str, Stores], stolen: str, ca: x509.Certificate
) -> tuple[str, ...]:
    """The servers whose certificates are to be replaced, in the order of their visits."""
    switched = (turn[0].host for turn in turns(site))
    order = dict.fromkeys((*switched, *(host.name for host in site.servers)))
    if stolen == CA:
        served = {name: _served(site, stores, name) for name in order}
        return tuple(n for n in order if any(is_signed_by(one, ca) for one in served[n]))
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


def _places(site: Site, servers: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Where a step of data/compromise.csv is done → at which computers."""
    seen = {host.name for host in site.clients}  # a phone is told by its own trust
    links = (one for one in site.connections if one.server in servers)
    calling = (one.client for one in links if one.client in seen)
    own = (name for row in own_trust(site) for name in row["computers"])
    return {
        "laptop": (),
        "server": servers,
        "servers": servers,
        "all": tuple(host.name for host in site.clients),
        "callers": tuple(dict.fromkeys((*calling, *servers))),
        "own trust": tuple(dict.fromkeys(own)),
    }


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
    new = stand_ins(orders, "the new CA", at)[1] if orders else {}
    return {
        name: held.serving(new[name], held.bindings, accounts(site[name], held))
        if name in new
        else held
        for name, held in stores.items()
    }


class AnswerCompromise(Replacing):
    """A private key that is in other hands is worth nothing any more."""

    empty = "Nothing can be barred yet."
    to_the_end = True
    concerns: Sequence[str] = ()  # the servers that get another certificate

    def said(self, name: str, value: Any) -> Any:
        """As in any runbook; where a rehearsal has not the example's server, its first."""
        found = super().said(name, value)
        strange = (
            name == "stolen" and self.job.rehearsal and found != CA and found not in self.job.site
        )
        return self.job.site.servers[0].name if strange and not value else found

    def measures(self, stolen: str = "", at_work: bool | None = None) -> Parts:
        """What is replaced where, in which order, and who goes dark in any other."""
        stolen, at_work = self.said("stolen", stolen), bool(self.said("at_work", at_work))
        job, stores = self.job, self.job.state().inventories
        ca = job.records.ca_certificate
        steps = compromise_plan(job.site, stores, stolen, ca, job.at, at_work)
        yield Rows([one.row() for one in steps])

    def own_trust(self) -> Parts:
        """Who does not look into Windows' stores."""
        yield Rows(own_trust(self.job.site))

    def revocation(self) -> Parts:
        """What a revocation list costs each client when its place is away; measured or noted."""
        yield Rows([
            {name: row[name] for name in row if name not in ("source", "tag")}
            | {"how sure": sureness(row["tag"])}
            for row in facts("revocation-prices")
        ])  # fmt: skip

    def note_stolen(self) -> Parts:
        """Note that the key was stolen; the runbook stops where it is the CA's and signs still.

        What it certifies stays in use until it is replaced; nothing is barred anywhere before.
        """
        job, state, stolen = self.job, self.job.state(), self.parameters["stolen"]
        if stolen != CA and stolen not in state.current:
            raise ValueError(f"{stolen!r} is no server with a certificate: name one, or {CA!r}")
        job.permit()
        host = "" if stolen == CA else stolen
        lines = state.entries[job.change.plan.lines if job.change else 0 :]
        one = state.current[host] if host else state.signing_ca
        barred = {thumbprint(one) for one, _ in state.barred}
        # What this change has noted already is not noted of the certificate that came since.
        noted = any(entry.action == BAR and entry.host == host for entry in lines)
        if not noted and thumbprint(one) not in barred:
            why = self.parameters["reason"]
            job.records.note(job.number, BAR, one, host=host, at=job.at, note=why)
            barred.add(thumbprint(one))
        if thumbprint(state.signing_ca) in barred:
            raise Stop(f"the CA's own key was stolen, and it signs still: run {RUNBOOK_FOR[CA]} "
                       f"now, then this runbook again")  # fmt: skip
        self.concerns = [name for name, label in state.thumbprints.items() if label in barred]
        yield from ()

    def renew(self) -> Parts:
        """Give a new key and certificate to the servers concerned."""
        yield from self._renewed(list(self.concerns))

    def concerned(self, state: State) -> list[str]:
        """The server whose key was stolen; every one where it was the CA's."""
        stolen = self.parameters["stolen"]
        return [host.name for host in state.site.servers] if stolen == CA else [stolen]

    def deeds(self, state: State) -> Deeds:
        """What a renewal does; then what was stolen is barred wherever somebody might accept it."""
        yield from super().deeds(state)
        stolen, site = self.parameters["stolen"], state.site
        where = _places(site, (stolen,))["all" if stolen == CA else "callers"]
        barring = {name: "" for name in where if not site[name].only_pem}
        yield from once_seen(state, barring, "bar what was stolen")
