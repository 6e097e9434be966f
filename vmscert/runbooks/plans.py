"""What a runbook is about to do, and what it saw, as rows for people to read."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from vmscert.certificates.authority import thumbprint
from vmscert.changes.job import Job
from vmscert.checks.expiry import PLAN, Due
from vmscert.checks.lacks import (
    issued_findings,
    lost_callers,
    missing_certificates,
    missing_groups,
    reported_findings,
)
from vmscert.checks.live import Verification
from vmscert.facts import facts
from vmscert.findings import Check, Finding
from vmscert.network.looks import VERIFIED
from vmscert.runbooks.deeds import due_certificates, record
from vmscert.site.order import TRUST, ready, switch_off, switch_on, too_early
from vmscert.site.releases import pfx_encryption
from vmscert.site.site import PFX, THIRD_PARTY, Host, Site

Row = dict[str, object]


def describe_ca(job: Job) -> list[Row]:
    """The CA as its file says it, with the fingerprint that people compare by eye."""
    ca = job.records.ca_certificate
    key = ca.public_key()
    told = {
        "name": ca.subject.rfc4514_string(),
        "valid from": f"{ca.not_valid_before_utc:%Y-%m-%d}",
        "valid to": f"{ca.not_valid_after_utc:%Y-%m-%d}",
        "key": f"RSA {key.key_size}" if isinstance(key, RSAPublicKey) else "not RSA",
        "thumbprint (SHA-1, as Windows shows it)": thumbprint(ca),
        "fingerprint (SHA-256)": ca.fingerprint(hashes.SHA256()).hex(" ", 2).upper(),
    }
    return [{"the CA's": part, "is": value} for part, value in told.items()]


def plan_certificates(job: Job) -> list[Row]:
    """Each server, the names its certificate will carry, and what is to be done."""
    missing = missing_certificates(job.state())
    return [
        {
            "server": host.name,
            "names": host.issued_names,
            "Windows": host.windows or "not in the table",
            "private key": _way(host),
            "to do": f"issue: {missing[host.name]}" if host.name in missing else "nothing",
        }
        for host in job.site.servers
    ]


def check_issued(job: Job) -> list[Finding]:
    """What a client that trusts its root would find wrong with each certificate, by any name."""
    state = job.state()
    return issued_findings(job.site, state.current, state.issuers, job.at)


def check_inventories(job: Job) -> list[Finding]:
    """All that is wrong with the site as far as its computers have reported."""
    return reported_findings(job.state())


def who_trusts_whom(site: Site) -> list[Row]:
    """Each computer that needs the CA certificate, and the servers for whose sake."""
    servers = defaultdict(dict)
    for connection in site.connections:
        servers[connection.client][connection.server] = None
    return [
        {
            "computer": host.name,
            "roles": host.roles,
            "trusts the CA because it talks to": tuple(servers[host.name])
            or ("nobody: it must trust its own certificate",),
            "and by its Data Collector, both ways, to": site.collected(host),
        }
        for host in site.clients
    ]


def plan_imports(job: Job) -> list[Row]:
    """Each server, how its certificate gets there, and the accounts that must read the key."""
    return [
        {
            "server": host.name,
            "file": _files(host),
            "private key": _way(host),
            "the key must be readable by": host.accounts,
        }
        for host in job.site.servers
    ]


def _files(host: Host) -> str:
    """In which files a server's certificate and key travel."""
    windows = f"{host.name}.{'pfx' if host.enrolment == PFX else 'cer'}"
    return ", ".join([*([] if host.only_pem else [windows]), *host.pem_files])


def _way(host: Host) -> str:
    """Where a server's private key is made, and how it travels."""
    if host.only_pem:
        return "made here, travels as an encrypted PEM file"
    if host.enrolment == PFX:
        return f"made here, travels in a PFX, {pfx_encryption(host.windows)}"
    signer = "another CA signs" if host.enrolment == THIRD_PARTY else "its request is signed here"
    return f"made there, stays there; {signer}"


def plan_switching(given: Job | Site, off: bool = False) -> list[Row]:
    """Each step in which encryption is switched on, or off: what it costs, and why not earlier.

    What happens to clients that do not trust the CA stands at the step of trust, once for all.
    """
    site = given.site if isinstance(given, Job) else given
    windows = {row["group"]: row["window"] for row in facts("xprotect/certificate-groups")}
    called = {g: f"{g} (in the window: {name})" if name else g for g, name in windows.items()}
    by_itself = "it can't; whoever is left out goes dark with the first server that it calls"
    clustered = any(host.cluster for host in site)
    return [
        {
            "step": step.number,
            "server": step.host or f"all {len(site.clients)} clients",
            "switch": tuple(called[group] for group in step.groups) or ("trust the CA",),
            "downtime": f"{step.minutes} min"
            + ("" if step.minutes_sure == "confirmed" else f" ({step.minutes_sure})"),
            "stands still": step.dark,
            "after": _spans(step.waits_for),
            "if it came too early": by_itself
            if step.on and step.number == TRUST
            else "; ".join(too_early(site, step, (TRUST,))),
            **({"besides": "; ".join(step.also)} if clustered else {}),
            "this order is": step.sure,
        }
        for step in (switch_off if off else switch_on)(site)
    ]


def switching_checks(job: Job) -> list[Check]:
    """What keeps the steps that are still to do, or that nothing does, if they come in their order.

    A server is ready when all that call it will accept its newest certificate, as their inventories
    say.
    """
    state = job.state()
    left = missing_groups(state)  # not bound to the newest certificates
    to_do = [
        step
        for step in switch_on(job.site)
        if step.number != TRUST and set(step.groups) & set(left.get(step.host, ()))
    ]
    checks = [
        check
        for step in to_do
        for check in ready(job.site, step, lost_callers(state, step), range(step.number))
        if not check.ok
    ]
    servers = ", ".join(dict.fromkeys(step.host for step in to_do)) or "no server"
    return checks or [Check(f"all that call {servers} accept its newest certificate", True)]


def _spans(numbers: Iterable[int]) -> str:
    """Step numbers as people write them: 0, 2-5."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)


def who_serves_what(site: Site) -> list[Row]:
    """Each server's ports, with how many clients call there and by how many names."""
    callers = defaultdict(set)
    for connection in site.connections:
        callers[connection.server, connection.port].add(connection.client)
    confirmed = {(c.server, c.port) for c in site.connections if c.confirmed}
    return [
        {
            "server": host.name,
            "port": port if (host.name, port) in confirmed else f"{port} (unconfirmed)",
            "certificate group": group,
            "clients": len(callers[host.name, port]),
            "names": len(host.names),
            "handshakes": len(callers[host.name, port]) * len(host.names),
        }
        for host in site.servers
        for port, group in host.ports
    ]


def connection_rows(connections: Iterable[Verification], most: int = 100) -> list[Row]:
    """One row for each client, server and port; what did not verify comes first and is all there.

    Of what verified, `most` rows are shown and the rest is counted.
    """
    same: dict[tuple, list[Verification]] = defaultdict(list)
    for one in connections:
        same[one.client, one.server, one.port, one.verdict].append(one)
    rows: list[Row] = [
        {
            "connection": f"{client} → {server}:{port}",
            "names used": len(group),
            "TLS": group[0].tls,
            "certificate": group[0].thumbprint[:8],
            "verdict": verdict,
            "detail": group[0].detail,
        }
        for (client, server, port, verdict), group in same.items()
    ]
    refused = [row for row in rows if row["verdict"] != VERIFIED]
    verified = [row for row in rows if row["verdict"] == VERIFIED]
    rest = len(verified) - most
    more: Row = {"connection": f"and {rest} more", "verdict": VERIFIED}
    return [*refused, *verified[:most], *([more] if rest > 0 else [])]


def connection_checks(connections: Iterable[Verification]) -> list[Check]:
    """One check for each server: every client that calls it trusts it."""
    by_server = defaultdict(list)
    for one in connections:
        by_server[one.server].append(one)
    return [
        Check(
            f"{server}: {len(same)} handshakes verified",
            not any(bad := [one for one in same if not one.ok]),
            f"{len(bad)} refused, first {bad[0].client} as {bad[0].name}: {bad[0].verdict}"
            if bad
            else "",
        )
        for server, same in by_server.items()
    ]


def connection_findings(connections: Iterable[Verification]) -> list[Finding]:
    """What did not verify, as findings that the site's map can show."""
    return [
        Finding(one.verdict, f"{one.client} → {one.server}", one.detail or one.verdict)
        for one in connections
        if not one.ok
    ]


def record_verification(job: Job, connections: list[Verification]) -> str:
    """Keep every handshake with the change, as CSV for people and JSON for programs."""
    import pandas as pd

    rows = [asdict(one) for one in connections]
    good = sum(one.ok for one in connections)
    files = {
        "verification.csv": pd.DataFrame(rows).to_csv(index=False).encode("utf-8-sig"),
        "verification.json": json.dumps(rows, indent=1).encode(),
    }
    return record(job, "verified", f"{good} of {len(rows)} TLS connections verified", files)


def renewal_view(job: Job) -> datetime:
    """The day from which expiry is seen: today, or in a rehearsal a month before the end."""
    if not job.rehearsal:
        return job.at
    ends = [row.not_after for row in due_certificates(job, job.at) if row.label in job.site]
    return min(ends) - timedelta(days=30)


def due_servers(ends: Iterable[Due], within_days: int = PLAN) -> list[str]:
    """The servers among these whose certificate ends within so many days."""
    return [row.label for row in ends if row.label != "CA" and row.days_left <= within_days]
