"""What people do at the computers, and the proof that clients reach the servers then.

Trust in the CA, the import of certificates, encryption; and every connection made for real.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields

from vmscert.changes.acceptance import close_sheet
from vmscert.changes.change import begin
from vmscert.changes.errands import roll_out
from vmscert.changes.job import Job
from vmscert.changes.rehearsal import served_by
from vmscert.checks.lacks import lost_callers, missing_groups, reported_findings
from vmscert.checks.live import Verification, verify_connections, verify_simulated
from vmscert.facts import facts
from vmscert.files import whoami
from vmscert.findings import Check, Finding
from vmscert.network.looks import VERIFIED
from vmscert.pages import sheet
from vmscert.pictures.site_map import site_map
from vmscert.records.state import State
from vmscert.runbooks.certificates import key_way
from vmscert.runbooks.stages import Checks, Findings, Parts, Rows, Runbook
from vmscert.site.order import TRUST, ready, switch_off, switch_on, too_early
from vmscert.site.site import PFX, Connection, Site
from vmscert.windows.stores import Stores

Row = dict[str, object]


def who_trusts_whom(site: Site) -> list[Row]:
    """Each computer that needs the CA certificate, and the servers for whose sake."""
    servers = defaultdict(dict)
    for connection in site.connections:
        servers[connection.client][connection.server] = None
    nobody = ("nobody: it must trust its own certificate",)
    return [
        {
            "computer": host.name,
            "roles": host.roles,
            "trusts the CA because it talks to": tuple(servers[host.name]) or nobody,
            "and by its Data Collector, both ways, to": site.collected(host),
        }
        for host in site.clients
    ]


def plan_switching(site: Site, off: bool = False) -> list[Row]:
    """Each step in which encryption is switched on, or off: what it costs, and why not earlier."""
    windows = {row["group"]: row["window"] for row in facts("xprotect/certificate-groups")}
    called = {g: f"{g} (in the window: {name})" if name else g for g, name in windows.items()}
    # What happens to clients that do not trust the CA stands at the step of trust, once for all.
    trust = "it can't; whoever is left out goes dark with the first server that it calls"
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
            "if it came too early": trust
            if step.on and step.number == TRUST
            else "; ".join(too_early(site, step, (TRUST,))),
            **({"besides": "; ".join(step.also)} if clustered else {}),
            "this order is": step.sure,
        }
        for step in (switch_off if off else switch_on)(site)
    ]


def _spans(numbers: Iterable[int]) -> str:
    """Step numbers as people write them: 0, 2-5."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)


def verify_site(job: Job) -> list[Verification]:
    """Make every connection of the site for real: over the network or, rehearsed, on loopback."""
    state = job.state()
    return verify_links(job, state, job.site.connections, state.inventories)


def verify_links(
    job: Job, state: State, links: Sequence[Connection], stores: Mapping[str, Stores]
) -> list[Verification]:
    """Make these connections, as `verify_site` does, where computers hold what `stores` say."""
    right = state.thumbprints
    if not job.rehearsal:
        return list(verify_connections(job.site, stores, right, job.at, connections=links))
    served = {name: served_by(job, state, job.site[name]) for name in {c.server for c in links}}
    return list(verify_simulated(job.site, stores, served, right, job.at, links))


class Trust(Runbook):
    """Every computer that is no server gets the CA certificate."""

    def look(self) -> Parts:
        """Who trusts the CA for whose sake, and what no file can tell."""
        yield Rows(who_trusts_whom(self.job.site))
        yield Rows([{"ask before encryption is switched on": q} for q in self.job.site.questions])

    def roll_out(self) -> Parts:
        """Prepare the folder that brings the CA to many computers at once."""
        yield f"Prepared: {roll_out(self.job)}"


class Import(Runbook):
    """Every server gets the CA, its certificate, and a key that its service can read."""

    def look(self) -> Parts:
        """Which file goes to which server, and who must read the key."""
        rows = []
        for host in self.job.site.servers:
            windows = f"{host.name}.{'pfx' if host.enrolment == PFX else 'cer'}"
            files = [*([] if host.only_pem else [windows]), *host.pem_files]
            row = {"server": host.name, "file": ", ".join(files), "private key": key_way(host)}
            rows.append(row | {"the key must be readable by": host.accounts})
        yield Rows(rows)

    def result(self, state: State) -> Iterable[object]:
        """All that the inventories tell besides."""
        yield Findings(reported_findings(state))


class Encrypt(Import):
    """Every server encrypts with its certificate."""

    switches = True

    def ready(self, state: State) -> Iterable[object]:
        """What keeps the steps that are still to do, or that nothing does, in their order.

        A server is ready when all that call it will accept its newest certificate.
        """
        site, left = state.site, missing_groups(state)  # not bound to the newest certificates
        later = (step for step in switch_on(site) if step.number != TRUST)
        to_do = [step for step in later if {*step.groups} & {*left.get(step.host, ())}]
        checks = (ready(site, step, lost_callers(state, step)) for step in to_do)
        servers = ", ".join(dict.fromkeys(step.host for step in to_do)) or "no server"
        good = Check(f"all that call {servers} accept its newest certificate", True)
        yield Checks([check for check in checks if not check.ok] or [good])

    def look(self) -> Parts:
        """What is switched where, in which order, and what stands still meanwhile."""
        columns = ("step", "server", "switch", "downtime", "stands still", "if it came too early")
        yield Rows(plan_switching(self.job.site), columns=columns)


class OnTheWire(Runbook):
    """A runbook that is proven by handshakes: every client's with every server that it calls."""

    connections: Sequence[Verification] = ()

    def call(self, most: int = 100) -> Parts:
        """Make every connection of the site for real; of what verified, `most` rows are shown."""
        self.connections = verify_site(self.job)
        same: dict[tuple, list[Verification]] = defaultdict(list)
        for one in self.connections:
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
        verified = [row for row in rows if row["verdict"] == VERIFIED]
        rest = len(verified) - most
        more: Row = {"connection": f"and {rest} more", "verdict": VERIFIED}
        refused = [row for row in rows if row["verdict"] != VERIFIED]
        yield Rows([*refused, *verified[:most], *([more] if rest > 0 else [])])

    def verify(self) -> Parts:
        """Keep every handshake with the change, also what was refused; then stop where one was."""
        if not self.connections:
            yield from self.call()
        yield self.kept()
        yield Checks(self.achieved())

    def kept(self) -> str:
        """Keep every handshake with the change, as CSV for people and JSON for programs."""
        job, rows = self.job, [asdict(one) for one in self.connections]
        files = {
            "verification.csv": sheet(rows, [one.name for one in fields(Verification)]),
            "verification.json": json.dumps(rows, indent=1).encode(),
        }
        folder = job.change.folder if job.change else job.records.new_change(job.runbook, job.at)
        paths = [job.records.keep(folder, name, data) for name, data in files.items()]
        told = f"{sum(one.ok for one in self.connections)} of {len(rows)} TLS connections verified"
        job.records.note(job.number, "verified", at=job.at, note=told)
        named = (path.relative_to(job.records.folder).as_posix() for path in paths)
        return ", ".join(["one line more in ledger.csv", *named])

    def achieved(self) -> list[Check]:
        """What must hold at the end: every client that calls a server trusts it."""
        by_server: dict[str, list[Verification]] = defaultdict(list)
        for one in self.connections:
            by_server[one.server].append(one)
        checks = []
        for server, same in by_server.items():
            told = [f"{one.client} as {one.name}: {one.verdict}" for one in same if not one.ok]
            todo = f"{len(told)} refused, first {told[0]}" if told else ""
            checks.append(Check(f"{server}: {len(same)} handshakes verified", not told, todo))
        return checks


class Verify(OnTheWire):
    """Every client can talk to every server that it needs: it only looks, and then people do."""

    def close(self, accepted_by: str = "") -> Parts:
        """Sign the record, with what people have ticked so far, as accepted by somebody or not."""
        self.parameters = {**self.parameters, "outcome": close_sheet(self.job, accepted_by)}
        yield from super().close()

    def look(self) -> Parts:
        """Each server's ports, with how many clients call there and by how many names."""
        site, callers = self.job.site, defaultdict(set)
        for one in site.connections:
            callers[one.server, one.port].add(one.client)
        confirmed = {(one.server, one.port) for one in site.connections if one.confirmed}
        yield Rows([
            {
                "server": host.name,
                "port": port if (host.name, port) in confirmed else f"{port} (unconfirmed)",
                "certificate group": group,
                "clients": calling,
                "names": len(host.names),
                "handshakes": calling * len(host.names),
            }
            for host in site.servers
            for port, group in host.ports
            for calling in [len(callers[host.name, port])]
        ])  # fmt: skip

    def plan(self, **parameters: object) -> Parts:
        """What is going to be looked at: nobody has to approve that."""
        yield from super().plan(**parameters)
        assert self.begun_with is not None
        me, nobody = whoami()["user"], "nobody: it only looks"
        self.job = begin(self.job, self.begun_with, me, nobody, looks=True)

    def call(self, most: int = 100) -> Parts:
        """Make every connection of the site for real, and draw those that were refused."""
        yield from super().call(most)
        refused = [
            Finding(one.verdict, f"{one.client} → {one.server}", one.detail or one.verdict)
            for one in self.connections
            if not one.ok
        ]
        yield site_map(self.job.site, findings=refused)
