"""In which order encryption is switched on and off at a site, what waits for what, and why.

What is known of that is second hand at best; each step says how sure it is. Nothing is published
about downtimes: the minutes are estimates, to be measured on a test server.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from vmscert.facts import doubt, facts, sureness
from vmscert.findings import Check
from vmscert.site.site import Host, Site, named

TRUST = 0  # the step before all others: every client holds the CA certificate
_SHOWN = 3  # computers that a sentence names; the rest is counted


@dataclass(frozen=True)
class Step:
    """One visit to one computer: which certificate groups are switched, and what that costs."""

    number: int
    on: bool
    host: str  # empty for the step in which all clients are made to trust
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    ports: tuple[int, ...]
    minutes: int  # expected downtime
    dark: str  # what stands still meanwhile, and who calls here
    sure: str  # how sure its place in the order is: confirmed, second hand or unconfirmed
    minutes_sure: str
    also: tuple[str, ...] = ()  # what else is to be done at this computer
    reasons: tuple[tuple[int, str], ...] = ()  # (step that comes before, what breaks otherwise)

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The numbers of the steps that must be done before this one."""
        trust = (TRUST,) if self.on and self.number != TRUST else ()
        return (*trust, *dict.fromkeys(number for number, _ in self.reasons))


def switch_on(site: Site) -> tuple[Step, ...]:
    """Return the steps that encrypt a site; the first, number 0, is trust on all clients."""
    trust = Step(
        TRUST, True, "", (), (), (), 0, "nothing: clients trust one more CA",
        sure="confirmed", minutes_sure="confirmed",
        also=(f"{len(site.clients)} computers get the CA certificate",),
    )  # fmt: skip
    return (trust, *_steps(site, on=True))


def switch_off(site: Site) -> tuple[Step, ...]:
    """Return the steps, from number 1, that take encryption off a site again."""
    return tuple(_steps(site, on=False))


def turns(site: Site) -> list[tuple[Step, ...]]:
    """Return the visits to switch encryption on: steps that follow each other at one computer."""
    steps = (step for step in switch_on(site) if step.number != TRUST)
    return [tuple(same) for _, same in groupby(steps, key=lambda step: step.host)]


def by_host(visits: Iterable[tuple[Step, ...]]) -> dict[str, list[tuple[Step, ...]]]:
    """Return computer → its steps of each of these visits, in their order."""
    found = defaultdict(list)
    for steps in visits:
        for host, mine in groupby(steps, key=lambda step: step.host):
            found[host].append(tuple(mine))
    return found


def callers(site: Site, step: Step) -> tuple[str, ...]:
    """Return the computers that call the ports of this step, each once."""
    if step.number == TRUST:
        return tuple(host.name for host in site.clients)
    return _calling(site, step.host, step.groups)


def too_early(site: Site, step: Step, done: Collection[int]) -> tuple[str, ...]:
    """Return what would break if this step came now, one sentence for each cause."""
    broken = [text for number, text in step.reasons if number not in done]
    if TRUST in step.waits_for and TRUST not in done:
        names = callers(site, step) or (step.host,)
        goes, does = ("goes", "it does") if len(names) == 1 else ("go", "they do")
        dark = f"{named(names, _SHOWN)} {goes} dark: {does} not hold the CA certificate"
        broken.insert(0, dark)
    return tuple(dict.fromkeys(broken))


def ready(site: Site, step: Step, lost: Mapping[str, str], done: Collection[int]) -> list[Check]:
    """Return what must hold before this step: earlier steps, and that every caller accepts it.

    `lost` is computer → that it goes dark, or may, and why.
    """
    checks = []
    for number in step.waits_for:
        if number != TRUST:
            broken = dict.fromkeys(text for before, text in step.reasons if before == number)
            todo = f"{'; '.join(broken)}. Carry out step {number} first"
            checks.append(Check(f"step {number} is done", number in done, todo))
    if TRUST in step.waits_for:
        needing = dict.fromkeys((*callers(site, step), step.host))
        dark = [f"{name} {lost[name]}" for name in needing if name in lost]
        more = f"; and {len(dark) - _SHOWN} more" if len(dark) > _SHOWN else ""
        todo = f"{'; '.join(dark[:_SHOWN])}{more}. Run 13-trust-the-ca-on-clients there first"
        what = f"{step.host} and all that call it accept its certificate"
        checks.append(Check(what, not dark, todo if dark else ""))
    return checks


def _calling(site: Site, host: str, groups: Iterable[str]) -> tuple[str, ...]:
    called = (site.callers.get((host, group), ()) for group in groups)
    return tuple(dict.fromkeys(client for clients in called for client in clients))


def _steps(site: Site, on: bool) -> list[Step]:
    visits = []
    for host in site.servers:
        places = defaultdict(list)  # each group is switched with the first role that has it
        for group in host.groups:
            places[_place(_switching(host, [group]), on)[0]].append(group)
        visits += [(place, host, groups) for place, groups in places.items()]
    visits.sort(key=lambda visit: visit[0])  # within a place the order of the table stays
    steps = [
        _step(site, number, on, host, groups)
        for number, (_, host, groups) in enumerate(visits, start=1)
    ]
    by_role: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        for role in step.roles:
            by_role[role].append(step)
    return [_in_its_place(site, step, by_role) for step in steps]


def _place(roles: Collection[str], on: bool) -> tuple[int, str]:
    """Where these roles stand in the order, and the tag of that; without a row it is inferred."""
    order, column = facts("xprotect/encryption-order"), "on" if on else "off"
    rows = ((int(row[column]), row["tag"]) for row in order if row["role"] in roles)
    return min(rows, key=lambda row: row[0], default=(len(order) + 1, "I"))


def _switching(host: Host, groups: Iterable[str]) -> tuple[str, ...]:
    """The computer's roles whose encryption these groups switch."""
    rows = (row for row in facts("xprotect/certificate-groups") if row["group"] in groups)
    switched = {role for row in rows for role in row["switched_on"].split("|")}
    return tuple(role for role in host.roles if role in switched)


def _step(site: Site, number: int, on: bool, host: Host, groups: Collection[str]) -> Step:
    roles = _switching(host, groups)
    rows = [row for row in facts("xprotect/downtimes") if row["role"] in roles]
    others = [name for name in _calling(site, host.name, groups) if name != host.name]
    calling = f"called by {named(others, _SHOWN)}" if others else "called by no other computer"
    return Step(
        number=number,
        on=on,
        host=host.name,
        roles=roles,
        groups=tuple(groups),
        ports=tuple(port for port, group in host.ports if group in groups),
        minutes=max(int(row["minutes"]) for row in rows),
        dark="; ".join([*(row["stops"] for row in rows), calling]),
        sure=sureness(_place(roles, on)[1]),
        minutes_sure=sureness(*(row["tag"] for row in rows)),
    )


def _in_its_place(site: Site, step: Step, by_role: Mapping[str, list[Step]]) -> Step:
    """The step with what comes before it, and what else is to be done at a node of a cluster."""
    host, nodes = site[step.host], list(_nodes_before(site, step, by_role))
    node = "later" if nodes else "first"
    also = [
        f"{row['todo']}{doubt(row['tag'])}"
        for row in (facts("xprotect/clusters") if host.cluster else ())
        if row["node"] in ("every", node) and row["role"] in ("", *step.roles)
    ]
    waits = [
        (other.number, _told(row, step, other))
        for row in facts("xprotect/switching")
        if row["role"] in step.roles and row["group"] in step.groups
        if (row["switch"] == "on") == step.on and row["waits_for"] not in step.roles
        for other in by_role[row["waits_for"]]
    ]
    return replace(step, reasons=(*waits, *nodes), also=tuple(also))


def _nodes_before(
    site: Site, step: Step, by_role: Mapping[str, list[Step]]
) -> Iterator[tuple[int, str]]:
    """(number, what breaks otherwise) of the nodes of a cluster that come before this one."""
    nodes = {node.name for node in site.nodes(site[step.host])} - {step.host}
    alike = (other for role in step.roles for other in by_role[role] if other.host in nodes)
    for other in dict.fromkeys(alike if nodes else ()):
        if other.number < step.number and set(other.groups) & set(step.groups):
            for row in facts("xprotect/clusters"):
                if row["breaks"]:
                    yield other.number, _told(row, step, other)


def _told(row: Mapping[str, str], step: Step, other: Step) -> str:
    return row["breaks"].format(host=step.host, other=other.host) + doubt(row["tag"])
