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
from vmscert.site.site import Host, Site

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
    return (_trust(site), *_steps(site, on=True))


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
    called = (site.callers.get((step.host, group), ()) for group in step.groups)
    return tuple(dict.fromkeys(client for clients in called for client in clients))


def too_early(site: Site, step: Step, done: Collection[int]) -> tuple[str, ...]:
    """Return what would break if this step came now, one sentence for each cause."""
    broken = [text for number, text in step.reasons if number not in done]
    if TRUST in step.waits_for and TRUST not in done:
        broken.insert(0, _in_the_dark(callers(site, step) or (step.host,)))
    return tuple(dict.fromkeys(broken))


def ready(site: Site, step: Step, lost: Mapping[str, str], done: Collection[int]) -> list[Check]:
    """Return what must hold before this step: earlier steps, and that every caller accepts it.

    `lost` is computer → why it would go dark.
    """
    checks = [
        Check(f"step {number} is done", number in done, _first(step, number))
        for number in step.waits_for
        if number != TRUST
    ]
    if TRUST in step.waits_for:
        needing = dict.fromkeys((*callers(site, step), step.host))
        dark = [f"{name} goes dark: {lost[name]}" for name in needing if name in lost]
        more = f"; and {len(dark) - _SHOWN} more" if len(dark) > _SHOWN else ""
        todo = f"{'; '.join(dark[:_SHOWN])}{more}. Run 13-trust-the-ca-on-clients there first"
        what = f"{step.host} and all that call it accept its certificate"
        checks.append(Check(what, not dark, todo if dark else ""))
    return checks


def _trust(site: Site) -> Step:
    return Step(
        TRUST, True, "", (), (), (), 0, "nothing: clients trust one more CA",
        sure="confirmed", minutes_sure="confirmed",
        also=(f"{len(site.clients)} computers get the CA certificate",),
    )  # fmt: skip


def _steps(site: Site, on: bool) -> list[Step]:
    order = _order(on)
    visits = [
        (place, host, groups)
        for host in site.servers
        for place, groups in _visits(host, order).items()
    ]
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


def _order(on: bool) -> dict[str, int]:
    column = "on" if on else "off"
    return {row["role"]: int(row[column]) for row in facts("xprotect/encryption-order")}


def _visits(host: Host, order: Mapping[str, int]) -> dict[int, list[str]]:
    """Place in the order → certificate groups: each is switched with the first role that has it."""
    places = defaultdict(list)
    for group in host.groups:
        roles = _switching(host, [group])
        places[min(order.get(role, len(order) + 1) for role in roles)].append(group)
    return places


def _switching(host: Host, groups: Iterable[str]) -> tuple[str, ...]:
    """The computer's roles whose encryption these groups switch."""
    rows = (row for row in facts("xprotect/certificate-groups") if row["group"] in groups)
    switched = {role for row in rows for role in row["switched_on"].split("|")}
    return tuple(role for role in host.roles if role in switched)


def _step(site: Site, number: int, on: bool, host: Host, groups: Collection[str]) -> Step:
    roles = _switching(host, groups)
    rows = [row for row in facts("xprotect/downtimes") if row["role"] in roles]
    step = Step(
        number=number,
        on=on,
        host=host.name,
        roles=roles,
        groups=tuple(groups),
        ports=tuple(port for port, group in host.ports if group in groups),
        minutes=max(int(row["minutes"]) for row in rows),
        dark="; ".join(row["stops"] for row in rows),
        sure=sureness(_order_tag(roles, on)),
        minutes_sure=sureness(*(row["tag"] for row in rows)),
    )
    others = [name for name in callers(site, step) if name != host.name]
    calling = f"called by {_named(others)}" if others else "called by no other computer"
    return replace(step, dark=f"{step.dark}; {calling}")


def _in_its_place(site: Site, step: Step, by_role: Mapping[str, list[Step]]) -> Step:
    nodes = tuple(_nodes_before(site, step, by_role))
    also = _also(site[step.host], step, "later" if nodes else "first")
    return replace(step, reasons=(*_waits(step, by_role), *nodes), also=tuple(also))


def _waits(step: Step, by_role: Mapping[str, list[Step]]) -> Iterator[tuple[int, str]]:
    """(number, what breaks otherwise) of the steps that the known rules put before this one."""
    for row in facts("xprotect/switching"):
        concerned = row["role"] in step.roles and row["group"] in step.groups
        if concerned and _is_on(row) == step.on and row["waits_for"] not in step.roles:
            for other in by_role[row["waits_for"]]:
                yield other.number, _told(row, step, other)


def _nodes_before(
    site: Site, step: Step, by_role: Mapping[str, list[Step]]
) -> Iterator[tuple[int, str]]:
    """(number, what breaks otherwise) of the nodes of a cluster that come before this one."""
    nodes = {node.name for node in site.nodes(site[step.host])} - {step.host}
    if not nodes:
        return
    alike = (other for role in step.roles for other in by_role[role] if other.host in nodes)
    for other in dict.fromkeys(alike):
        if other.number < step.number and set(other.groups) & set(step.groups):
            for row in facts("xprotect/clusters"):
                if row["breaks"]:
                    yield other.number, _told(row, step, other)


def _also(host: Host, step: Step, node: str) -> Iterator[str]:
    """What else is to be done at the first or a later node of a cluster."""
    for row in facts("xprotect/clusters") if host.cluster else ():
        if row["node"] in ("every", node) and row["role"] in ("", *step.roles):
            yield f"{row['todo']}{doubt(row['tag'])}"


def _told(row: Mapping[str, str], step: Step, other: Step) -> str:
    return row["breaks"].format(host=step.host, other=other.host) + doubt(row["tag"])


def _is_on(row: Mapping[str, str]) -> bool:
    return row["switch"] == "on"


def _order_tag(roles: Iterable[str], on: bool) -> str:
    """The tag of the row that gives a step its place; without one it is inferred."""
    rows = [row for row in facts("xprotect/encryption-order") if row["role"] in roles]
    return min(rows, key=lambda row: int(row["on" if on else "off"]), default={"tag": "I"})["tag"]


def _in_the_dark(names: Collection[str]) -> str:
    one = len(names) == 1
    verbs = ("goes", "it does") if one else ("go", "they do")
    return f"{_named(names)} {verbs[0]} dark: {verbs[1]} not hold the CA certificate"


def _named(names: Collection[str]) -> str:
    shown, more = list(names)[:_SHOWN], len(names) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _first(step: Step, number: int) -> str:
    broken = dict.fromkeys(text for before, text in step.reasons if before == number)
    return f"{'; '.join(broken)}. Carry out step {number} first"
