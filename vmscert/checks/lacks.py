"""What a site still lacks, read from files and inventories: host → what, for each runbook.

A stage holds when nothing is missing and no finding is bad whose rule stops it, as `data/rules.csv`
says.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from cryptography import x509

from vmscert.certificates.authority import is_signed_by, subject_names, thumbprint
from vmscert.certificates.reading import Reading
from vmscert.checks.acceptance import TrustStore, acceptance, bad, diagnosed
from vmscert.checks.site import check_site
from vmscert.facts import facts, pfx_encryption
from vmscert.findings import Finding
from vmscert.records.state import State
from vmscert.site.order import Step, callers
from vmscert.site.site import PFX, THIRD_PARTY, Host, Site
from vmscert.windows.folder import LOOK
from vmscert.windows.stores import UNKNOWN, Stores

_REQUEST = "request.ps1"


def missing_ca(state: State) -> dict[str, str]:
    """The CA's certificate and key; a CA that was adopted may have none."""
    there = state.has_authority or state.adopted_without_key
    return {} if there else {"CA": "ca.cer and ca.key are not there yet"}


def missing_certificates(state: State) -> dict[str, str]:
    """A certificate for every server, with the names of the table, from this CA."""
    return {host.name: why for host in state.site.servers if (why := _stale(state, host))}


def missing_requests(state: State) -> dict[str, str]:
    """A request from every server that makes its own key and has no certificate."""
    return {
        name: reason
        for name, reason in missing_certificates(state).items()
        if state.site[name].enrolment != PFX and name not in state.requests
    }


def missing_trust(state: State) -> dict[str, str]:
    """Every CA that they need in LocalMachine\\Root of all computers but servers."""
    lacking = lacking_roots(state)
    return {name: what for name, what in lacking.items() if not state.site[name].certified}


def missing_imports(state: State) -> dict[str, str]:
    """On every server the CA, its certificate, and a private key that is readable."""
    lacking = lacking_roots(state)
    found = {name: what for name, what in lacking.items() if state.site[name].certified}
    for host in state.site.servers:
        stores = state.inventories.get(host.name)
        held = stores and stores.find(state.thumbprints.get(host.name, ""))
        if not held:
            found[host.name] = "its certificate"
        elif not held.has_key:
            found[host.name] = "the private key"
        elif not all(map(held.readable_by, host.accounts)):
            found[host.name] = f"read access to the key for {', '.join(host.accounts)}"
    return found


def missing_encryption(state: State) -> dict[str, str]:
    """Every certificate group of every server bound to its certificate."""
    return {name: ", ".join(groups) for name, groups in missing_groups(state).items()}


def missing_groups(state: State) -> dict[str, list[str]]:
    """Return server → its certificate groups that do not use its newest certificate.

    As far as anybody can tell: one that does not say which certificate it uses was given it, if it
    says that; the wire has the last word.
    """
    found = {}
    for host in state.site.servers:
        held, label = state.inventories.get(host.name), state.thumbprints.get(host.name)
        used = held.used if held and label else {}
        if groups := [group for group in host.groups if used.get(group, "") != label]:
            found[host.name] = groups
    return found


def still_encrypting(state: State, adopted: bool = False) -> dict[str, str]:
    """Server → its groups that use a certificate of this site, or may; with `adopted`, any."""
    issued = [e for e in state.issued if adopted or e.action != "adopt"]
    silent, found = set(), {}  # who was to switch on, and has not told since how that went
    for entry in state.entries:
        if entry.command.startswith(PHASES["encrypt"].command) and entry.host:
            silent.add(entry.host)
        elif entry.action in ("brought back", "simulated"):
            silent.discard(entry.host)
    for host in state.site.servers:
        held = state.inventories.get(host.name)
        ours = {UNKNOWN, *(e.thumbprint for e in issued if e.host == host.name)}
        used = dict(held.used) if held else {}
        used |= dict.fromkeys(host.groups, UNKNOWN) if host.name in silent else {}
        if on := [group for group in host.groups if used.get(group) in ours]:
            found[host.name] = ", ".join(on)
    return found


def still_needed(state: State) -> dict[str, tuple[str, ...]]:
    """Return computer → the servers for whose sake it has to keep certificate and CA."""
    on, met = still_encrypting(state, adopted=True), _met(state.site)
    found = {host.name: [s for s in on if host.name in {s} | met[s]] for host in state.site}
    return {name: tuple(servers) for name, servers in found.items() if servers}


def left_behind(state: State) -> dict[str, str]:
    """Computer → what undo.ps1 has not looked at yet, and for whose sake it is needed."""
    needed, found = still_needed(state), {}
    for name, held in state.inventories.items():
        done = [one.step for one in reversed(held.log) if one.result == "done"]
        if state.site[name].only_pem:
            continue
        if "undo-trust" not in done or "trust-root" in done[: done.index("undo-trust")]:
            servers = ", ".join(needed.get(name, ()))
            waits = f", needed as long as these may encrypt: {servers}" if servers else ""
            found[name] = f"what was brought is there{waits}"
    return found


def removable(state: State) -> dict[str, str]:
    """Of these, where nothing needs it any more."""
    needed = still_needed(state)
    return {name: what for name, what in left_behind(state).items() if name not in needed}


def missing_retirement(state: State) -> dict[str, str]:
    """When all is done: computers that still hold or trust what was replaced."""
    found = defaultdict(list)
    for name, labels in state.superseded.items():
        held = state.inventories.get(name)
        if held is None or state.thumbprints[name] not in held.bindings.values():
            continue  # it does not use the newest one yet
        if left := [label for label in labels if held.find(label)]:
            found[name].append(f"still there: {', '.join(left)}")
    for name, roots in surplus_roots(state).items():
        found[name].append(f"still trusted: {', '.join(map(thumbprint, roots))}")
    for name, barred in unbarred(state).items():
        found[name].append(f"not barred: {', '.join(map(thumbprint, barred))}")
    return {name: "; ".join(what) for name, what in found.items()}


def unbarred(state: State) -> dict[str, tuple[x509.Certificate, ...]]:
    """Return computer → what is to be barred there and is not yet in LocalMachine\\Disallowed.

    A certificate is barred where its server is called, a CA everywhere; nowhere as long as it or
    something that it issued is in use or needed there, nor where only PEM files say who is trusted.
    """
    stores, needed, met = state.inventories, needed_roots(state), _met(state.site)
    used = {label for held in stores.values() for label in held.bindings.values()}
    barred = [pair for pair in state.barred if thumbprint(pair[0]) not in used]
    only_pem, found = {host.name for host in state.site if host.only_pem}, {}
    for name, held in stores.items():
        here = (one for one, server in barred if not server or name in met[server])
        there = (*held.disallowed, *needed.get(name, ()))
        if name not in only_pem and (left := tuple(one for one in here if one not in there)):
            found[name] = left
    return found


def lacking_roots(state: State) -> dict[str, str]:
    """Return computer → what it lacks, where a root that it needs is not trusted."""
    stores = state.inventories
    return {
        name: "the CA certificate" if name in stores else _unheard(state, name)
        for name, roots in needed_roots(state).items()
        if name not in stores or not set(roots) <= set(stores[name].trusted)
    }


def _unheard(state: State, name: str) -> str:
    """Why nothing is known of a computer."""
    why = state.unheard.get(name)
    return f"its inventory {why}" if why else "no inventory came back"


@lru_cache(maxsize=4)  # every stage asks for the same
def needed_roots(state: State) -> dict[str, tuple[x509.Certificate, ...]]:
    """Return computer → the roots of all servers that it calls, and of its own certificate.

    While a CA is replaced these are both. Every server is among them, also one that is in nobody's
    connection: its Data Collector and the management server talk over TLS both ways.
    """
    met = _met(state.site)
    found: dict[str, dict[x509.Certificate, None]] = {host.name: {} for host in state.site.clients}
    for host in state.site.servers:
        roots = dict.fromkeys(roots_of(state, host))
        for name in ({host.name} | met[host.name]) & found.keys():  # no phones
            found[name] |= roots
    return {name: tuple(roots) for name, roots in found.items()}


def _met(site: Site) -> dict[str, set[str]]:
    """Server → the computers that call it, and itself."""
    found = defaultdict(set)
    for link in site.connections:
        found[link.server] |= {link.client, link.server}
    return found


def of_public_ca(certificate: x509.Certificate) -> bool:
    """Whether it says that a CA signed it which phones and browsers trust by themselves."""
    (row,) = (row for row in facts("change/other-cas") if row["ca"] == "public")
    told = Reading(certificate).get(x509.CertificatePolicies) or ()
    held = {one.policy_identifier.dotted_string for one in told}
    return not held.isdisjoint(row["policies"].split("|"))


def roots_of(state: State, host: Host) -> Iterator[x509.Certificate]:
    """Yield the roots of a server's newest certificate, of what it serves, and what comes next."""
    yield from state.issuers.get(host.name, ())[-1:]
    signing = () if host.enrolment == THIRD_PARTY else (state.signing_ca, state.next_ca)
    held = state.inventories.get(host.name)
    used = map(held.find, dict.fromkeys(held.bindings.values())) if held else ()
    served = (state.issuer_of(one.certificate) for one in used if one)
    yield from (one for one in (*signing, *served) if one is not None)


def trusting(state: State) -> dict[str, Stores]:
    """Return what is assumed of clients that tell nobody: each trusts the roots that it needs."""
    found: dict[str, dict[x509.Certificate, None]] = defaultdict(dict)
    for link in state.site.unseen:
        found[link.client] |= dict.fromkeys(roots_of(state, state.site[link.server]))
    return {name: Stores(name, state.at, root=tuple(roots)) for name, roots in found.items()}


def surplus_roots(state: State) -> dict[str, tuple[x509.Certificate, ...]]:
    """Return computer → the CAs that were replaced, which it still trusts and needs no more."""
    found = {}
    for name, roots in needed_roots(state).items():
        held = state.inventories[name].root if name in state.inventories else ()
        if left := tuple(one for one in state.former_cas if one in held and one not in roots):
            found[name] = left
    return found


def _stale(state: State, host: Host) -> str:
    """Why this server needs a certificate, or nothing."""
    certificate = state.current.get(host.name)
    if certificate is None:
        return "no certificate yet"
    if host.enrolment == THIRD_PARTY:  # another CA may add some names of its own
        asked = diagnosed((certificate,), host.issued_names, TrustStore(()), state.at).values()
        named = {"name-mismatch", "no-san"}.isdisjoint(one.code for told in asked for one in told)
    else:
        named = set(subject_names(certificate)) == set(host.issued_names)
    if not named:
        return "its names in the table have changed"
    if certificate.not_valid_after_utc <= state.at:
        return f"its certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}"
    ours = is_signed_by(certificate, state.signing_ca)
    if host.enrolment == THIRD_PARTY and ours:
        return "the table wants a certificate of another CA"
    if host.enrolment != THIRD_PARTY and not ours:
        return "its certificate is of another CA"
    return _wrong_pfx(state, host)


def _wrong_pfx(state: State, host: Host) -> str:
    """Why the PFX that was made for this server is of no use to it, or nothing."""
    made = state.pfx_encryptions.get(host.name)  # nothing where the key is there
    if made is None:
        return ""
    if host.pem_files and host.name not in state.keys:
        return f"its key is in a PFX only, and it wants {', '.join(host.pem_files)}"
    if host.enrolment != PFX:
        return "its private key was made here, and the table wants one that is made there"
    wanted = pfx_encryption(host.windows)
    too_new = wanted == "3DES" and made != wanted
    return f"its PFX can't be opened by {host.windows}" if too_new else ""


def unanswered(state: State) -> dict[str, str]:
    """Servers that were asked for a request, or are to be, and have no answer; also to renew."""
    found = missing_certificates(state)
    for entry in state.entries:
        if entry.action == "hand over" and entry.command == _REQUEST:
            found.setdefault(entry.host, "a new certificate: its request is under way")
        elif entry.action in ("sign", "receive"):
            found.pop(entry.host, None)
    own = {host.name for host in state.site.servers if host.enrolment != PFX}
    return {name: what for name, what in found.items() if name in own}


@dataclass(frozen=True)
class Phase:
    """One visit to a computer: what is run there, who is to be prepared for it, who lacks it."""

    command: str
    needed: Callable[[State], dict[str, str]]
    lacking: Callable[[State], dict[str, str]]

    def command_at(self, host: Host) -> str:
        """Return what is run at this computer: where PEM files lie, a script that only looks."""
        if host.only_pem:
            return LOOK
        # Before something is removed, a person sees what the groups use that do not say it.
        silent = ", ".join(host.unsaid_groups) if self.command.endswith(" -Phase Retire") else ""
        return f"{self.command} -ByHand '{silent}'" if silent else self.command


PHASES = {
    "request": Phase(_REQUEST, missing_requests, unanswered),
    "trust": Phase("install.ps1", missing_trust, missing_trust),
    "import": Phase("install.ps1", missing_imports, missing_imports),
    "encrypt": Phase("install.ps1 -Phase Encrypt", missing_encryption, missing_encryption),
    "retire": Phase("install.ps1 -Phase Retire", missing_retirement, missing_retirement),
    "off": Phase("undo.ps1 -Phase Off -All", still_encrypting, still_encrypting),
    "remove": Phase("undo.ps1 -All", removable, left_behind),
}
_OF_PHASE = {phase: visit.needed for phase, visit in PHASES.items()}
_OF_PHASE |= {"": missing_ca, "request": missing_certificates}
# The number of a runbook that leaves something behind → what of that is missing.
MISSING: dict[str, Callable[[State], dict[str, str]]] = {
    row["runbook"]: _OF_PHASE[row["phase"]] for row in facts("change/runbooks") if row["achieved"]
}


def lacks(state: State, stage: str) -> dict[str, str]:
    """Return computer → why it keeps a stage from holding: what is wrong or missing there."""
    return MISSING[stage](state) | {
        name: "; ".join(dict.fromkeys(one.detail for one in found))
        for name, found in stopping_findings(state, stage).items()
    }


def stopping_findings(state: State, stage: str) -> dict[str, list[Finding]]:
    """Return computer → the bad findings about it that keep a stage from holding.

    The stage that issues is stopped by certificates that it issued, not by older ones still in use.
    """
    (row,) = (row for row in facts("change/runbooks") if row["runbook"] == stage)
    site, found = state.site, reported_findings(state)
    if row["judges"] == "issued":
        found = [*issued_findings(state), *(one for one in found if one.rule.about == "computer")]
    told: dict[str, list[Finding]] = defaultdict(list)
    for one in bad(found):
        kind = "servers" if one.where in site and site[one.where].certified else "clients"
        if stage in one.rule.stages.split("|") and row["computers"] in ("", kind):
            told[one.where].append(one)
    return dict(told)


@lru_cache(maxsize=4)  # every stage asks for the same
def reported_findings(state: State) -> list[Finding]:
    """Return all that is wrong with a site as far as its computers have reported."""
    found = check_site(state.site, state.inventories, state.at, state.pfx_encryptions)
    return [
        replace(one, detail=f"the inventory of {one.where} {state.unheard[one.where]}")
        if one.where in state.unheard
        else one
        for one in found
    ]


def issued_findings(state: State) -> Iterator[Finding]:
    """Yield what a client that trusts its root would find wrong with each newest certificate."""
    for host in state.site.servers:
        if host.name in state.current:
            *between, root = state.issuers[host.name]
            chain = (state.current[host.name], *between)
            answers = diagnosed(chain, host.issued_names, TrustStore((root,)), state.at).values()
            told = (replace(one, where=host.name) for found in answers for one in found)
            yield from dict.fromkeys(told)


def lost_callers(state: State, step: Step) -> dict[str, str]:
    """Return computer → why it goes dark, or may, when a step takes the newest certificate."""
    server, newest = state.site[step.host], state.current.get(step.host)
    stores, held = state.inventories, state.inventories.get(step.host)
    lost = {
        name: f"goes dark: it lacks {what}"
        if name in stores
        else f"may go dark, nobody knows: {what}"
        for name, what in lacking_roots(state).items()
    }
    if held and newest:
        then = held.bound(newest, step.groups)
        for client in filter(None, map(stores.get, callers(state.site, step))):
            answers = (acceptance(server, then, group, client, state.at) for group in step.groups)
            found = (one.detail for told in answers for of in told.values() for one in bad(of))
            if reasons := "; ".join(dict.fromkeys(found)):
                lost[client.host] = f"goes dark: {reasons}"
    return lost
