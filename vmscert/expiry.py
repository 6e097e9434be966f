"""What ends when: the warning that XProtect does not give."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

# Days before the end: time to plan and approve a change, to carry it out, to drop everything else.
PLAN, WARNING, CRITICAL = 90, 30, 14
STATUSES = ("expired", "critical", "warning", "plan", "ok")


@dataclass(frozen=True)
class Due:
    """When one certificate ends, and when to act. `days_left` is negative once it has ended."""

    label: str
    not_before: datetime
    not_after: datetime
    days_left: int
    share_left: float  # of its whole life, 0 to 1
    status: str  # one of STATUSES
    renew_on: datetime


def due(certificates: Iterable[tuple[str, x509.Certificate]], at: datetime) -> list[Due]:
    """Tell for (label, certificate) pairs what ends when, soonest first.

    Certificates that live shorter than `PLAN` days warn at a third and a sixth of their life.
    """
    return sorted((_due(*pair, at) for pair in certificates), key=lambda row: row.not_after)


def _due(label: str, certificate: x509.Certificate, at: datetime) -> Due:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    life = end - start
    plan, warning, critical = _thresholds(life)
    left = end - at
    if left < timedelta(0):
        status = "expired"
    elif left <= critical:
        status = "critical"
    elif left <= warning:
        status = "warning"
    else:
        status = "plan" if left <= plan else "ok"
    share = max(0.0, min(1.0, left / life)) if life else 0.0
    # Renewed half-way between planning and warning: weeks for approval, weeks to spare.
    return Due(label, start, end, left.days, share, status, end - (plan + warning) / 2)


def _thresholds(life: timedelta) -> tuple[timedelta, timedelta, timedelta]:
    if life < timedelta(days=PLAN):
        return life / 3, life / 3, life / 6
    return timedelta(days=PLAN), timedelta(days=WARNING), timedelta(days=CRITICAL)
