"""In which order encryption is switched on and off at a site, what waits for what, and why.

What is known of that is second hand at best; each step says how sure it is. Nothing is published
about downtimes: the minutes are estimates, to be measured on a test server.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, groupby

from vmscert.facts import doubt, facts, runbook_name, sureness
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
    turn: int = 0  # 1, 2 … where this computer has several, since others come in between

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The numbers of the steps that must be done before this one."""
        trust = (TRUST,) if self.on and self.number != TRUST else ()
        return (*trust, *dict.fromkeys(number for number, _ in self.reasons))

    @property
    def option(self) -> str:
        """What a command says besides, to run this step and not those of another turn."""
        return f" -Turn {self.turn}" if self.turn else ""


def switch_on(site: Site) -> tuple[Step, ...]:
    """Return the steps that encrypt a site; the first, number 0, is trust on all clients."""
    dark, also = "nothing: clients trust one more CA", "computers get the CA certificate"
    sure = ("confirmed", "confirmed")
    trust = Step(TRUST, True, "", (), (), (), 0, dark, *sure, (f"{len(site.clients)} {also}",))
    return (trust, *_steps(site, on=True))


def switch_off(site: Site) -> tuple[Step, ...]:
    """Return the steps, from number 1, that take encryption off a site again."""
    return tuple(_steps(site, on=False))


def turns(site: Site, on: bool = True) -> list[tuple[Step, ...]]:
    """Return the visits to switch encryption on, or off: steps that follow at one computer."""
    return _visits(step for step in (switch_on if on else switch_off)(site) if step.number != TRUST)


def _visits(steps: Iterable[Step]) -> list[tuple[Step, ...]]:
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
    called = (site.callers.get((step.host, group), ()) for group in step.groups)
    return tuple(dict.fromkeys(chain.from_iterable(called)))


def too_early(site: Site, step: Step, done: Collection[int]) -> tuple[str, ...]:
    """Return what would break if this step came now, one sentence for each cause."""
    broken = [text for number, text in step.reasons if number not in done]
    if TRUST in step.waits_for and TRUST not in done:
        names = callers(site, step) or (step.host,)
        goes, does = ("goes", "it does") if len(names) == 1 else ("go", "they do")
        dark = f"{named(names, _SHOWN)} {goes} dark: {does} not hold the CA certificate"
        broken.insert(0, dark)
    return tuple(dict.fromkeys(broken))


def ready(site: Site, step: Step, lost: Mapping[str, str]) -> Check:
    """Return whether all callers accept the server; `lost` is computer → how it goes dark, why."""
    needing = dict.fromkeys((*callers(site, step), step.host))
    dark = [f"{name} {lost[name]}" for name in needing if name in lost]
    more = f"; and {len(dark) - _SHOWN} more" if len(dark) > _SHOWN else ""
    trust_first = f"Run {runbook_name('trust', 'phase')} there first"
    todo = f"{'; '.join(dark[:_SHOWN])}{more}. {trust_first}" if dark else ""
    return Check(f"{step.host} and all that call it accept its certificate", not dark, todo)


def _steps(site: Site, on: bool) -> list[Step]:
    visits = []
    for host in site.servers:
        places = defaultdict(list)  # each group is switched with the first role that has it
        for group in host.groups:
            places[_place(_switching(host, [group]), on)[0]].append(group)
        visits += [(place, host, groups) for place, groups in places.items()]
    visits.sort(key=lambda visit: visit[0])  # within a place the order of the table stays
    steps = [_step(n, on, host, groups) for n, (_, host, groups) in enumerate(visits, 1)]
    by_role: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        for role in step.roles:
            by_role[role].append(step)
    several = [mine for mine in by_host(_visits(steps)).values() if len(mine) > 1]
    turn = {one.number: n for mine in several for n, same in enumerate(mine, 1) for one in same}
    return [
        replace(_in_its_place(site, step, by_role), turn=turn.get(step.number, 0)) for step in steps
    ]


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


def _step(number: int, on: bool, host: Host, groups: Collection[str]) -> Step:
    roles = _switching(host, groups)
    rows = [row for row in facts("xprotect/downtimes") if row["role"] in roles]
    ports = tuple(port for port, group in host.ports if group in groups)
    minutes = max(int(row["minutes"]) for row in rows)
    dark = "; ".join(row["stops"] for row in rows)
    sure, minutes_sure = sureness(_place(roles, on)[1]), sureness(*(row["tag"] for row in rows))
    where = (host.name, roles, tuple(groups), ports)
    return Step(number, on, *where, minutes, dark, sure, minutes_sure)


def _in_its_place(site: Site, step: Step, by_role: Mapping[str, list[Step]]) -> Step:
    """The step with who calls there, what comes before it, and what a node of a cluster needs."""
    host = site[step.host]
    rows = facts("xprotect/clusters") if host.cluster else ()
    nodes = {node.name for node in site.nodes(host)} - {host.name}
    before = dict.fromkeys(
        other
        for role in (step.roles if nodes else ())
        for other in by_role[role]
        if other.host in nodes and other.number < step.number
        if set(other.groups) & set(step.groups)
    )
    waits = [
        (other, row)
        for row in facts("xprotect/switching")
        if row["role"] in step.roles and row["group"] in step.groups
        if (row["switch"] == "on") == step.on and row["waits_for"] not in step.roles
        for other in by_role[row["waits_for"]]
    ]
    waits += [(other, row) for other in before for row in rows if row["breaks"]]
    reasons = (
        (other.number, row["breaks"].format(host=host.name, other=other.host) + doubt(row["tag"]))
        for other, row in waits
    )
    node = ("every", "later" if before else "first")
    also = (
        row["todo"] + doubt(row["tag"])
        for row in rows
        if row["node"] in node and row["role"] in ("", *step.roles)
    )
    also = (*also, *site.warnings(host))
    others = [name for name in callers(site, step) if name != host.name]
    calling = f"called by {named(others, _SHOWN)}" if others else "called by no other computer"
    dark = f"{step.dark}; {calling}"
    return replace(step, dark=dark, reasons=tuple(reasons), also=tuple(also))
