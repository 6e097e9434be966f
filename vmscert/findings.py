"""What can be wrong, and how it is told: rules, findings, and the answer of a diagnosis.

Three answers: what no finding speaks against is accepted, "bad" is refused, and "unjudged" says
what nobody looked at, and why. Where real clients differ, `data/clients.csv` decides: what at least
half of those measured refuse is bad, what fewer refuse is dubious. Programs on the library of one
family share one voice in that, so that many programs on OpenSSL do not outvote all others
(`data/programs.csv`). A client that is not in the table stays unknown.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from statistics import fmean
from typing import Any

from vmscert.facts import facts

# "bad": clients refuse. "unjudged": nobody knows. "dubious": some refuse, or it will hurt later.
SEVERITIES = ("bad", "unjudged", "dubious")
# Findings about what the client trusts, not about what the server presents.
OF_THE_CLIENT = frozenset({"untrusted-root", "root-recreated", "self-signed", "not-reachable"})


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong, what it means, and the notebook that repairs it."""

    code: str
    about: str  # "path": the certificates and who trusts them; "computer": what surrounds them
    severity: str  # of SEVERITIES
    meaning: str
    impact: str
    diagnosis: str  # where to look to know that it is this
    check: str  # what looks there: "connect", "check", "inventory", "due" or "site"
    stages: str  # the numbers of the runbooks whose stage does not hold while it is bad, by "|"
    remedy: str
    remedy_text: str
    source: str


RULES: Mapping[str, Rule] = {row["code"]: Rule(**row) for row in facts("rules")}
_CASES = {row["case"]: row for row in facts("clients")}
_FAMILIES = {row["client"]: row["family"] for row in facts("programs")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule; `detail` is the evidence, in one sentence.

    `where` is "leaf", "intermediate" or "root", or the name of a computer. `severity` is the
    rule's unless given. `refused_by` names clients that were seen to refuse; others are unknown.
    """

    code: str
    where: str
    detail: str
    severity: str = ""
    refused_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", self.severity or self.rule.severity)

    @property
    def rule(self) -> Rule:
        """The rule that is broken."""
        return RULES[self.code]

    def as_dict(self) -> dict[str, Any]:
        """Return the finding with its rule's meaning and remedy, ready for JSON."""
        told = {key: getattr(self.rule, key) for key in ("meaning", "remedy", "remedy_text")}
        return {**asdict(self), "refused_by": list(self.refused_by), **told}


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by their severity; those of one severity stay as they are."""
    return tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity)))


def finding_of(code: str, where: str, detail: str, case: str = "", severity: str = "") -> Finding:
    """Return a finding; a case that was measured brings its severity and who refuses."""
    if case and not severity:
        severity = "bad" if _refused(case) >= 0.5 else "dubious"
    return Finding(code, where, detail, severity, clients(case, "refuses"))


@cache
def _refused(case: str) -> float:
    """Return the share of families that refuse; a family is divided as its programs are."""
    voices = defaultdict(list)
    for client, found in _CASES[case].items():
        if client in _FAMILIES and found:
            voices[_FAMILIES[client]].append(found == "refuses")
    return fmean(map(fmean, voices.values()))


def is_measured(case: str) -> bool:
    """Whether real clients were asked about a case."""
    return case in _CASES


def clients(case: str, verdict: str) -> tuple[str, ...]:
    """Return the clients of which this was seen in a case: "refuses" or "accepts"."""
    return tuple(client for client, found in _CASES.get(case, {}).items() if found == verdict)


@dataclass(frozen=True)
class Check:
    """One line of a precheck or a verification: what should hold, whether it does, what to do."""

    what: str
    ok: bool
    todo: str = ""
