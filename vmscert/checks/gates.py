"""Does a stage hold: nothing is missing, and no finding is bad whose rule stops it.

Which rule stops which stage is said in `data/rules.csv`. What is issued is judged for the
certificates that no computer may hold yet, what computers report for all the rest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from vmscert.certificates.diagnosis import diagnose
from vmscert.checks.acceptance import acceptance, bad
from vmscert.checks.lacks import MISSING, lacking_roots
from vmscert.checks.site import check_site
from vmscert.facts import facts
from vmscert.findings import Finding
from vmscert.records.state import State
from vmscert.site.order import Step, callers
from vmscert.site.site import Site


def lacks(state: State, stage: str) -> dict[str, str]:
    """Return computer → why it keeps a stage from holding: what is wrong or missing there."""
    return MISSING[stage](state) | {
        name: "; ".join(dict.fromkeys(one.detail for one in found))
        for name, found in stopping_findings(state, stage).items()
    }


def stopping_findings(state: State, stage: str) -> dict[str, list[Finding]]:
    """Return computer → the findings that keep a stage from holding, as its folder tells."""
    issued = issued_findings(state.site, state.current, state.issuers, state.at)
    return stopping(state.site, stage, reported_findings(state), issued)


@lru_cache(maxsize=4)  # every stage asks for the same
def reported_findings(state: State) -> list[Finding]:
    """Return all that is wrong with a site as far as its computers have reported."""
    return check_site(state.site, state.inventories, state.at, state.pfx_encryptions)


def issued_findings(
    site: Site,
    current: Mapping[str, x509.Certificate],
    issuers: Mapping[str, Sequence[x509.Certificate]],
    at: datetime,
) -> list[Finding]:
    """Return what a client that trusts its root would find wrong with each newest certificate.

    `current` is server → certificate, `issuers` server → the CAs above it, root last. Every name of
    the table is asked for.
    """
    return list(
        dict.fromkeys(
            Finding(one.code, host.name, one.detail, one.severity, one.refused_by)
            for host in site.servers
            if host.name in current
            for *between, root in [issuers[host.name]]
            for name in host.issued_names
            for one in diagnose([current[host.name], *between], name, [root], at).findings
        )
    )


def stopping(
    site: Site, stage: str, reported: Iterable[Finding], issued: Iterable[Finding] = ()
) -> dict[str, list[Finding]]:
    """Return computer → the bad findings about it that keep a stage from holding.

    `reported` are the findings of `check_site`, `issued` those of `issued_findings`: the stage that
    issues is stopped by certificates that it issued, not by older ones that are still in use.
    """
    (row,) = (row for row in facts("change/runbooks") if row["runbook"] == stage)
    found = list(reported)
    if row["judges"] == "issued":
        found = [*issued, *(one for one in found if one.rule.about == "computer")]
    told: dict[str, list[Finding]] = defaultdict(list)
    for one in bad(found):
        stages = one.rule.stages.split("|")
        if stage in stages and _concerns(site, row["computers"], one):
            told[one.where].append(one)
    return dict(told)


def _concerns(site: Site, computers: str, finding: Finding) -> bool:
    """Whether a finding is about a computer of the kind that a stage is for, if it has one."""
    of_servers = finding.where in site and site[finding.where].certified
    return computers in ("", "servers" if of_servers else "clients")


def lost_callers(state: State, step: Step) -> dict[str, str]:
    """Return computer → why it would go dark with a step, or why nobody can tell that it would not.

    The server is judged as it will be: with its newest certificate in the groups of the step.
    """
    server, newest = state.site[step.host], state.current.get(step.host)
    held = state.inventories.get(step.host)
    lost = {name: f"it lacks {what}" for name, what in lacking_roots(state).items()}
    if held is None or newest is None:
        return lost
    then = held.bound(newest, step.groups)
    for name in callers(state.site, step):
        if client := state.inventories.get(name):
            reasons = [
                reason.detail
                for group in step.groups
                for found in acceptance(server, then, group, client, state.at).values()
                for reason in bad(found)
            ]
            if reasons:
                lost[name] = "; ".join(dict.fromkeys(reasons))
    return lost
