"""Does a stage hold: the findings that stop it, as `data/rules.csv` says of each rule.

What is issued is judged for the certificates that no computer may hold yet, what computers hold for
all the rest. What is merely not there is told by `missing`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from cryptography import x509

from vmscert.facts import facts
from vmscert.rules import Finding
from vmscert.site import Site
from vmscert.trust import diagnose


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
) -> dict[str, str]:
    """Return computer → what is wrong there, of that which keeps a stage from holding.

    `reported` are the findings of `check_site`, `issued` those of `issued_findings`: the stage that
    issues is stopped by certificates that it issued, not by older ones that are still in use.
    """
    (row,) = (row for row in facts("change/runbooks") if row["runbook"] == stage)
    found = [*issued, *(one for one in reported if one.rule.about == "computer")]
    if row["judges"] == "reported":
        found = list(reported)
    told: dict[str, list[str]] = defaultdict(list)
    for one in found:
        stages = one.rule.stages.split("|")
        if one.severity == "bad" and stage in stages and _concerns(site, row["computers"], one):
            told[one.where].append(one.detail)
    return {where: "; ".join(dict.fromkeys(details)) for where, details in told.items()}


def _concerns(site: Site, computers: str, finding: Finding) -> bool:
    """Whether a finding is about a computer of the kind that a stage is for, if it has one."""
    of_servers = any(host.name == finding.where for host in site.servers)
    return computers in ("", "servers" if of_servers else "clients")
