"""What each runbook is going to do on a site, computer by computer, for somebody to approve."""

import hashlib
from collections.abc import Callable, Iterable, Mapping

from vmscert.agenda import goes_dark
from vmscert.changes import keep_plan, plan_under_way
from vmscert.compromise import CA
from vmscert.facts import facts
from vmscert.job import Job
from vmscert.missing import (
    missing_certificates,
    missing_encryption,
    missing_imports,
    missing_requests,
    missing_retirement,
    missing_trust,
)
from vmscert.planned import Plan
from vmscert.switching import switch_on
from vmscert.windows import thumbprint

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
            computers=tuple(_COMPUTERS.get(job.number, _nobody)(job, chosen)),
            files=(about["files"],),
            untouched=about["untouched"],
            dark=tuple(_standing_still(job, chosen)),
            back=about["back"],
            trigger=about["trigger"],
            deadline=_deadline(job, about["deadline"], chosen),
        ),
    )


def _nobody(job: Job, hosts: list[str] | None) -> list[Row]:
    return []


def _issues(job: Job, hosts: list[str] | None) -> list[Row]:
    rows = _rows(job, missing_certificates(job), "a new certificate")
    return rows + _rows(job, missing_requests(job), "make a key and a request")


def _trusts(job: Job, hosts: list[str] | None) -> list[Row]:
    return _rows(job, missing_trust(job), "trust the CA")


def _imports(job: Job, hosts: list[str] | None) -> list[Row]:
    return _rows(job, missing_imports(job), "import")


def _encrypts(job: Job, hosts: list[str] | None) -> list[Row]:
    return _rows(job, missing_encryption(job), "encrypt")


def _renews(job: Job, hosts: list[str] | None) -> list[Row]:
    due = dict.fromkeys(hosts or (), "")
    under_way = {**missing_imports(job), **missing_encryption(job)}
    rows = _rows(job, due, "a new certificate with a new key, import, encrypt")
    rows += _rows(job, {n: w for n, w in under_way.items() if n not in due}, "go on")
    return rows + _once_seen(job, missing_retirement(job), "remove what was replaced")


def _answers(job: Job, hosts: list[str] | None) -> list[Row]:
    """Where the key of the "CA" was stolen, every server gets a certificate of another one."""
    everywhere = [host.name for host in job.site.servers]
    return _renews(job, everywhere if hosts == [CA] else hosts)


def _once_seen(job: Job, computers: Mapping[str, str], deed: str) -> list[Row]:
    """Rows for a deed that takes something away; where a group does not say what it uses, a person
    looks first."""
    silent = {name: ", ".join(job.site[name].unsaid_groups) for name in computers}
    plain = {name: why for name, why in computers.items() if not silent[name]}
    rows = _rows(job, plain, deed)
    for groups in dict.fromkeys(filter(None, silent.values())):
        mine = {name: why for name, why in computers.items() if silent[name] == groups}
        look = f"a person looks in Server Configurator what {groups} uses, then runs the script to"
        rows += _rows(job, mine, f"{look} {deed}")
    return rows


def _replaces(job: Job, hosts: list[str] | None) -> list[Row]:
    servers = {host.name for host in job.site.servers}
    clients = {host.name: "" for host in job.site.clients}
    rows = _rows(job, clients, "trust the new CA beside the old one")
    rows += _rows(job, {n: "" for n in clients if n in servers}, "certificate of the new CA")
    return rows + _once_seen(job, clients, "trust the old CA no longer")


_COMPUTERS: Mapping[str, Callable[[Job, list[str] | None], list[Row]]] = {
    "12": _issues,
    "13": _trusts,
    "14": _imports,
    "15": _encrypts,
    "17": _renews,
    "18": _replaces,
    "19": _answers,
}


def _rows(job: Job, computers: Mapping[str, str], deed: str) -> list[Row]:
    """One row for each computer: what is to be done and why, what it uses now, what it will use."""
    now, then = _in_use(job), {n: thumbprint(c) for n, c in job.records.current().items()}
    new = "made in this change" if job.number in ("12", "17", "18", "19") else ""
    return [
        {
            "computer": name,
            "who": job.site[name].owner,
            "to do": deed + (f": {why}" if why else ""),
            "old certificate": now.get(name, ""),
            "new certificate": (new or then.get(name, "")) if "certificate" in deed else "",
        }
        for name, why in computers.items()
    ]


def _in_use(job: Job) -> dict[str, str]:
    """Computer → the thumbprints that its services use, as its inventory says."""
    stores = job.records.inventories()
    return {name: ", ".join(sorted(set(held.bindings.values()))) for name, held in stores.items()}


def _standing_still(job: Job, hosts: list[str] | None) -> Iterable[str]:
    """What stands still at each visit that switches something, in the order of the visits."""
    if job.number not in ("15", "17", "18", "19"):
        return
    if job.number == "17":
        yield from (_if_nobody_acts(row) for row in goes_dark(job)[:_MOST_DARK])
    wanted = set(missing_encryption(job)) | set(hosts or ())
    for step in switch_on(job.site):
        if step.host in wanted or (step.host and job.number == "18"):
            yield f"{step.host}, {step.minutes} minutes ({step.minutes_sure}): {step.dark}"


def _if_nobody_acts(row: Mapping[str, object]) -> str:
    servers, clients = row["servers"], row["clients"]
    assert isinstance(servers, tuple) and isinstance(clients, tuple)
    return (
        f"if nobody acts, from {row['dark from']} on, since {row['because']}: "
        f"{', '.join(servers)} for {', '.join(clients)}"
    )


def _deadline(job: Job, text: str, hosts: list[str] | None) -> str:
    """Until when one can turn back; where that is the end of certificates, the first of them."""
    current = job.records.current() if job.number == "17" else {}
    ends = [(current[n].not_valid_after_utc, n) for n in hosts or () if n in current]
    return f"{text}: {min(ends)[0]:%Y-%m-%d}, {min(ends)[1]}" if ends else text
