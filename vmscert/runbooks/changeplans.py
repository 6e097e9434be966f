"""What each runbook is going to do on a site, computer by computer, for somebody to approve."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from vmscert.agenda.gather import dark_to_come
from vmscert.changes.change import keep_plan, plan_under_way
from vmscert.changes.job import Job
from vmscert.changes.plan import Plan
from vmscert.checks.lacks import (
    missing_certificates,
    missing_encryption,
    missing_imports,
    missing_requests,
    missing_retirement,
    missing_trust,
)
from vmscert.facts import facts
from vmscert.records.state import State
from vmscert.runbooks.compromise import CA
from vmscert.site.order import switch_on

Row = dict[str, str]
_MOST_DARK = 5  # days on which something goes dark that a plan names


def plan_change(job: Job, hosts: Iterable[str] | None = None, **parameters: object) -> Plan:
    """Return the plan of this runbook, kept in `changes/` for somebody to read and approve.

    `hosts` are the servers concerned, where the runbook leaves a choice; `parameters` are those of
    the notebook. A change that has begun keeps its plan.
    """
    if begun := plan_under_way(job, parameters):
        return begun
    about = next(row for row in facts("change/runbooks") if row["runbook"] == job.number)
    chosen = None if hosts is None else list(hosts)
    lines, last = job.records.ledger.head()
    state, concerned = job.state(), _COMPUTERS.get(job.number)
    deeds = concerned(state, chosen) if concerned else ()
    return keep_plan(
        job,
        Plan(
            runbook=job.runbook,
            site=job.site.name,
            why=about["why"],
            parameters=parameters,
            table=hashlib.sha256((job.table or job.records.table).read_bytes()).hexdigest(),
            lines=lines,
            ledger=last,
            computers=tuple(_rows(state, job.number, deeds)),
            files=(about["files"],),
            untouched=about["untouched"],
            dark=tuple(_standing_still(state, job.number, chosen)),
            back=about["back"],
            trigger=about["trigger"],
            deadline=_deadline(state, about["deadline"], chosen if job.number == "17" else []),
        ),
    )


Deeds = Iterable[tuple[Mapping[str, str], str]]  # computer → why, and what is to be done there


def _issues(state: State, hosts: list[str] | None) -> Deeds:
    yield missing_certificates(state), "a new certificate"
    yield missing_requests(state), "make a key and a request"


def _renews(state: State, hosts: list[str] | None) -> Deeds:
    under_way = {**missing_imports(state), **missing_encryption(state)}
    new = dict.fromkeys(hosts or (), "")
    yield new, "a new certificate with a new key, import, encrypt"
    yield {name: why for name, why in under_way.items() if name not in new}, "go on"
    yield from _once_seen(state, missing_retirement(state), "remove what was replaced")


def _answers(state: State, hosts: list[str] | None) -> Deeds:
    """Where the key of the "CA" was stolen, every server gets a certificate of another one."""
    everywhere = [host.name for host in state.site.servers]
    return _renews(state, everywhere if hosts == [CA] else hosts)


def _once_seen(state: State, computers: Mapping[str, str], deed: str) -> Deeds:
    """A deed that takes something away; where a group does not say what it uses, a person looks
    first."""
    silent = {name: ", ".join(state.site[name].unsaid_groups) for name in computers}
    for groups in ("", *dict.fromkeys(filter(None, silent.values()))):
        mine = {name: why for name, why in computers.items() if silent[name] == groups}
        look = f"a person looks in Server Configurator what {groups} uses, then runs the script to"
        yield mine, f"{look} {deed}" if groups else deed


def _replaces(state: State, hosts: list[str] | None) -> Deeds:
    clients = {host.name: "" for host in state.site.clients}
    yield clients, "trust the new CA beside the old one"
    yield {n: "" for n in clients if state.site[n].certified}, "certificate of the new CA"
    yield from _once_seen(state, clients, "trust the old CA no longer")


_COMPUTERS: Mapping[str, Callable[[State, list[str] | None], Deeds]] = {
    "12": _issues,
    "13": lambda state, _: [(missing_trust(state), "trust the CA")],
    "14": lambda state, _: [(missing_imports(state), "import")],
    "15": lambda state, _: [(missing_encryption(state), "encrypt")],
    "17": _renews,
    "18": _replaces,
    "19": _answers,
}


def _rows(state: State, number: str, deeds: Deeds) -> Iterator[Row]:
    """One row for each computer: what is to be done and why, what it uses now, what it will use."""
    now = _in_use(state)
    new = "made in this change" if number in ("12", "17", "18", "19") else ""
    for computers, deed in deeds:
        for name, why in computers.items():
            then = new or state.thumbprints.get(name, "")
            yield {
                "computer": name,
                "who": state.site[name].owner,
                "to do": deed + (f": {why}" if why else ""),
                "old certificate": now.get(name, ""),
                "new certificate": then if "certificate" in deed else "",
            }


def _in_use(state: State) -> dict[str, str]:
    """Computer → the thumbprints that its services use, as its inventory says."""
    return {
        name: ", ".join(sorted(set(held.bindings.values())))
        for name, held in state.inventories.items()
    }


def _standing_still(state: State, number: str, hosts: list[str] | None) -> Iterable[str]:
    """What stands still at each visit that switches something, in the order of the visits."""
    if number not in ("15", "17", "18", "19"):
        return
    if number == "17":
        yield from (_if_nobody_acts(row) for row in dark_to_come(state)[:_MOST_DARK])
    wanted = set(missing_encryption(state)) | set(hosts or ())
    for step in switch_on(state.site):
        if step.host in wanted or (step.host and number == "18"):
            yield f"{step.host}, {step.minutes} minutes ({step.minutes_sure}): {step.dark}"


def _if_nobody_acts(row: Mapping[str, object]) -> str:
    servers, clients = row["servers"], row["clients"]
    assert isinstance(servers, tuple) and isinstance(clients, tuple)
    return (
        f"if nobody acts, from {row['dark from']} on, since {row['because']}: "
        f"{', '.join(servers)} for {', '.join(clients)}"
    )


def _deadline(state: State, text: str, hosts: list[str] | None) -> str:
    """Until when one can turn back; where that is the end of certificates, the first of them."""
    current = state.current
    ends = [(current[n].not_valid_after_utc, n) for n in hosts or () if n in current]
    return f"{text}: {min(ends)[0]:%Y-%m-%d}, {min(ends)[1]}" if ends else text
