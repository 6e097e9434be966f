"""What people do at the computers, and the proof that clients reach the servers then.

Trust in the CA, the import of certificates, encryption; and every connection made for real.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from vmscert.changes.acceptance import close_sheet
from vmscert.changes.change import begin
from vmscert.changes.errands import roll_out
from vmscert.changes.job import Job
from vmscert.changes.rehearsal import served_by
from vmscert.checks.acceptance import kinds_of, towards
from vmscert.checks.lacks import (
    PHASES,
    left_behind,
    lost_callers,
    missing_groups,
    reported_findings,
    still_encrypting,
    trusting,
)
from vmscert.checks.live import (
    BY_HAND,
    Progress,
    Verification,
    in_cells,
    in_lines,
    told_together,
    unheard,
    verify_connections,
    verify_simulated,
)
from vmscert.facts import facts
from vmscert.files import whoami
from vmscert.findings import Check, Finding
from vmscert.network.looks import VERIFIED
from vmscert.pages import sheet
from vmscert.pictures.site_map import site_map
from vmscert.records.state import State
from vmscert.runbooks.certificates import key_way
from vmscert.runbooks.stages import (
    RUNBOOKS,
    Checks,
    Deeds,
    Findings,
    Parts,
    Rows,
    Runbook,
    unbroken,
)
from vmscert.site.order import TRUST, ready, switch_off, switch_on, too_early, turns
from vmscert.site.site import PFX, Connection, Site, named
from vmscert.windows.stores import Stores

Row = dict[str, object]
_SHOWN = 3  # computers that a sentence names; the rest is counted


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
    besides = any(host.cluster or site.warnings(host) for host in site.servers)
    return [
        {
            "step": step.number,
            "server": step.host or f"all {len(site.clients)} clients",
            "switch": tuple(called[group] for group in step.groups) or ("trust the CA",),
            "downtime": f"{step.minutes} min"
            + ("" if step.minutes_sure == "confirmed" else f" ({step.minutes_sure})"),
            "stands still": step.dark,
            "after": _spans(step.waits_for),
            "run there": PHASES["off" if off else "encrypt" if step.host else "trust"].command
            + step.option,
            "if it came too early": trust
            if step.on and step.number == TRUST
            else "; ".join(too_early(site, step, (TRUST,))),
            **({"besides": "; ".join(step.also)} if besides else {}),
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


def verify_site(job: Job, progress: Progress = unheard) -> list[Verification]:
    """Make every connection of the site for real: over the network or, rehearsed, on loopback."""
    state = job.state()
    guessed = trusting(state)
    links = [*job.site.connections, *job.site.uncalled]
    found = verify_links(job, state, links, guessed | dict(state.inventories), progress)
    unseen = guessed.keys() - state.inventories.keys()
    text = "whoever trusts its CA may call: whether this client does, only a look at it tells"
    return [
        one._replace(verdict=BY_HAND, evidence=text) if one.ok and one.client in unseen else one
        for one in found
    ]


def verify_links(
    job: Job,
    state: State,
    links: Sequence[Connection],
    stores: Mapping[str, Stores],
    progress: Progress = unheard,
) -> list[Verification]:
    """Make these connections, as `verify_site` does, where computers hold what `stores` say."""
    right, how = state.thumbprints, {"connections": links, "progress": progress}
    if not job.rehearsal:
        return list(verify_connections(job.site, stores, right, job.at, **how))
    served = {name: served_by(job, state, job.site[name]) for name in {c.server for c in links}}
    return list(verify_simulated(job.site, stores, served, right, job.at, **how))


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


class SwitchOff(Runbook):
    """No server encrypts with a certificate of this site: the way back, as a change of its own."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Encryption off, and nothing else, unless what was brought for it is to go, too."""
        return ("off", "remove") if self.parameters.get("remove") else ("off",)

    def look(self) -> Parts:
        """What is switched off where, in which order, and what stands still meanwhile."""
        columns = ("step", "server", "switch", "downtime", "stands still", "run there")
        yield Rows(plan_switching(self.job.site, off=True), columns=columns)

    def deeds(self, state: State) -> Deeds:
        """Every turn of every server, in the order; then the computers at which something goes."""
        on = still_encrypting(state)
        for steps in turns(state.site, on=False):
            groups = ", ".join(group for one in steps for group in one.groups)
            if steps[0].host in on:
                yield {steps[0].host: groups}, PHASES["off"].command + steps[0].option
        if "remove" in self.phases:
            yield left_behind(state), PHASES["remove"].command

    def standing_still(self, state: State) -> Iterable[str]:
        """What stands still at each visit, and who waits in another state until its own turn."""
        on, steps = still_encrypting(state), switch_off(state.site)
        for step in (one for one in steps if one.host in on):
            same = (one for one in steps if {*one.groups} & {*step.groups})
            later = named([one.host for one in same if step.number in one.waits_for], _SHOWN)
            then = f"; until their own turn in another state than this: {later}" if later else ""
            yield f"{step.host}, {step.minutes} minutes ({step.minutes_sure}): {step.dark}{then}"

    def back(self) -> Parts:
        """Prepare what the plan has; only what nothing needs any more is taken away."""
        yield from self.visit(*self.phases)

    def verify(self) -> Parts:
        """What the inventories say now; the runbook stops where something is left."""
        state, checks = self.job.state(), []
        for phase in self.phases:
            left = PHASES[phase].lacking(state)
            told = "; ".join(f"{name}: {what}" for name, what in left.items())
            todo = f"{told}. Run {PHASES[phase].command} there, and bring the inventories back"
            ends = (
                RUNBOOKS[self.job.number]["closing"] if phase == "off" else "nothing else is left"
            )
            checks.append(Check(ends, not left, todo if left else ""))
        yield Checks([*checks, unbroken(state)])


class OnTheWire(Runbook):
    """A runbook that is proven by handshakes: every client's with every server that it calls."""

    connections: Sequence[Verification] = ()

    def call(self, most: int = 100) -> Parts:
        """Make every connection of the site for real; of what verified, `most` rows are shown."""
        self.connections = verify_site(self.job, self.progress)
        same: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
        for one in told_together(self.connections):
            same[one["server"], one["port"], one["verdict"], one["detail"]].append(one)
        rows: list[Row] = []
        for (server, port, verdict, detail), group in same.items():
            clients = dict.fromkeys(name for one in group for name in one["clients"])
            rows.append({
                "connection": f"{named([*clients], 3)} → {server}:{port}",
                "names used": len({one["name"] for one in group}),
                "TLS": group[0]["tls"],
                "certificate": group[0]["thumbprint"][:8],
                "verdict": verdict,
                "detail": detail,
            })  # fmt: skip
        verified = [row for row in rows if row["verdict"] == VERIFIED]
        rest = len(verified) - most
        more: Row = {"connection": f"and {rest} more", "verdict": VERIFIED}
        refused = [row for row in rows if row["verdict"] != VERIFIED]
        yield Rows([*refused, *verified[:most], *([more] if rest > 0 else [])])
        yield f"{self.proven()}."

    def proven(self) -> str:
        """How much was verified, and by how many handshakes."""
        good = sum(one.ok for one in self.connections)
        made = len({one.handshake for one in self.connections})
        told = f"{good} of {len(self.connections)} TLS connections verified"
        return f"{told} by {made} handshakes, each for all clients that believe the same"

    def verify(self) -> Parts:
        """Keep every handshake with the change, also what was refused; then stop where one was."""
        if not self.connections:
            yield from self.call()
        yield self.kept()
        yield Checks(self.achieved())

    def kept(self) -> str:
        """Keep every handshake with the change, as CSV for people and JSON for programs."""
        job, rows = self.job, told_together(self.connections)
        table = sheet([*in_cells(rows)], [*(rows or [dict.fromkeys(Verification._fields)])[0]])
        files = {"verification.csv": table, "verification.json": in_lines(rows)}
        folder = job.change.folder if job.change else job.records.new_change(job.runbook, job.at)
        paths = [job.records.keep(folder, name, data) for name, data in files.items()]
        job.records.note(job.number, "verified", at=job.at, note=self.proven())
        kept = (path.relative_to(job.records.folder).as_posix() for path in paths)
        return ", ".join(["one line more in ledger.csv", *kept])

    def achieved(self) -> list[Check]:
        """What must hold at the end: every client that calls a server trusts it."""
        by_server: dict[str, list[Verification]] = defaultdict(list)
        for one in self.connections:
            by_server[one.server].append(one)
        checks = []
        for server, same in by_server.items():
            stops = [one for one in same if one.stops(self.job.site)]
            told = [f"{one.client} as {one.name}: {one.verdict}" for one in stops]
            todo = f"{len(told)} refused, first {told[0]}" if told else ""
            unseen = sum(one.verdict == BY_HAND for one in same)
            what = f"{server}: {len(same) - unseen} connections verified"
            what += f", {unseen} right but for what no inventory tells" if unseen else ""
            checks.append(Check(what, not told, todo))
        return checks


class Verify(OnTheWire):
    """Every client can talk to every server that it needs: it only looks, and then people do."""

    def close(self, accepted_by: str = "") -> Parts:
        """Sign the record, with what people have ticked so far, as accepted by somebody or not."""
        self.parameters = {**self.parameters, "outcome": close_sheet(self.job, accepted_by)}
        yield from super().close()

    def look(self) -> Parts:
        """Each server's ports: how many clients call by how many names, in how many handshakes."""
        state, callers = self.job.state(), defaultdict(set)
        for one in (*state.site.connections, *state.site.uncalled):
            callers[one.server, one.port].add(one.client)
        sure = {(one.server, one.port) for one in state.site.connections if one.confirmed}
        shown = {name: (one, *state.issuers[name]) for name, one in state.current.items()}
        kinds, different = kinds_of(state.inventories)

        @cache
        def met(server: str, kind: int | None) -> object:
            """What of the trust of such a client its handshake with this server depends on."""
            return kind if kind is None else towards(shown.get(server, ()), different[kind].trust)

        yield Rows([
            {
                "server": host.name,
                "port": port if (host.name, port) in sure else f"{port} (unconfirmed)",
                "certificate group": group,
                "clients": len(calling),
                "names": len(host.names),
                "connections": len(calling) * len(host.names),
                "handshakes": len({met(host.name, kinds.get(name)) for name in calling})
                * len(host.names),
            }
            for host in state.site.servers
            for port, group in host.ports
            for calling in [callers[host.name, port]]
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
