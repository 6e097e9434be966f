"""What ends when: the warning that XProtect does not give."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from vmscert.certificates.authority import SERVER, thumbprint
from vmscert.certificates.diagnosis import WARNING
from vmscert.certificates.foreign import loaded
from vmscert.certificates.reading import Reading
from vmscert.findings import Finding

if TYPE_CHECKING:
    from vmscert.records.state import State

Signed = x509.Certificate | x509.CertificateRevocationList

# Days before the end: time to plan and approve a change, and to drop everything else. Between them
# is WARNING, the time to carry it out.
PLAN, CRITICAL = 90, 14
STATUSES = ("expired", "critical", "warning", "plan", "ok", "replaced", "not-yet-valid")
EARLY = STATUSES[-1]
_IN_USE = ("in use on", "served at")  # how a place begins where a certificate meets clients


class Sight(NamedTuple):
    """A certificate or revocation list, where it was met, and what the site's table says of it."""

    label: str
    signed: Signed
    where: str = ""
    owner: str = ""
    note: str = ""


@dataclass(frozen=True)
class Due:
    """When one certificate ends, or a revocation list by its nextUpdate, and when to act."""

    label: str
    not_before: datetime
    not_after: datetime
    days_left: int  # negative once it has ended
    share_left: float  # of its whole life, 0 to 1
    status: str  # of STATUSES; "replaced": nothing uses it since a newer one has all of its names
    renew_on: datetime
    kind: str = "server"  # "CA", "server", "CRL", or "certificate" for any other purpose
    names: tuple[str, ...] = ()
    thumbprint: str = ""  # SHA-1, as Windows shows it; empty for a CRL
    fingerprint: str = ""  # SHA-256, 64 hex digits
    serial: str = ""  # hex digits; the number of a CRL
    subject: str = ""  # common name
    issuer: str = ""  # common name
    owner: str = ""
    note: str = ""
    findings: tuple[Finding, ...] = ()  # what will hurt, and is told at once
    where: tuple[str, ...] = ()  # "issued", "in use on vms-rec-01", "served at vms-rec-01:7563"

    @property
    def thresholds(self) -> tuple[timedelta, timedelta, timedelta]:
        """How long before its end it is "plan", "warning" and "critical"."""
        return _thresholds(self.not_after - self.not_before)

    @property
    def quiet(self) -> bool:
        """Whether nobody has to act because of it."""
        return self.status in ("ok", "replaced")


def due(met: Iterable[Sight | tuple[str, Signed]], at: datetime) -> list[Due]:
    """Tell what ends when, soonest first; a certificate is one row, however often it was met.

    What has no end that can be read has no row: `lasts()` tells.
    """
    seen: dict[str, list[Sight]] = defaultdict(list)
    for one in met:
        sight = one if isinstance(one, Sight) else Sight(*one)
        seen[fingerprint(sight.signed)].append(sight)
    told = [_due(same, key, at) for key, same in seen.items() if lasts(same[0].signed)]
    by_name: dict[str, list[Due]] = defaultdict(list)
    for row in told:
        for name in row.names if row.kind == "server" else ():
            by_name[name].append(row)
    for place, row in enumerate(told):
        # What no client meets rests once a newer one has all of its names.
        used = not row.where or any(one.startswith(_IN_USE) for one in row.where)
        if row.kind == "server" and row.names and not used:
            later = (one for one in by_name[row.names[0]] if one.not_before > row.not_before)
            if any(set(row.names) <= set(one.names) and one.status != EARLY for one in later):
                told[place] = replace(row, status="replaced")
    return sorted(told, key=lambda row: row.not_after)


def due_of(state: "State", on: datetime) -> list[Due]:
    """Tell what ends when, seen from a day: the CA and every server's newest certificate."""
    servers = ((name, one) for name, one in state.current.items() if name in state.site)
    return due([("CA", state.signing_ca), *servers], on)


def lasts(signed: Signed) -> tuple[datetime, datetime] | None:
    """Return from when to when something holds; a CRL until its nextUpdate, if it names one."""
    if not isinstance(signed, x509.CertificateRevocationList):
        return Reading(signed).validity
    span = loaded(lambda: (signed.last_update_utc, signed.next_update_utc))
    return span if span and span[1] else None


def fingerprint(signed: Signed) -> str:
    """Return the SHA-256 of a certificate or revocation list, as 64 upper-case hex digits."""
    return signed.fingerprint(SHA256()).hex().upper()


@lru_cache(maxsize=1 << 14)
def kind_of(certificate: x509.Certificate) -> str:
    """Return "CA", "server" or "certificate": what it says of itself that it is for."""
    read = Reading(certificate)
    # A root that an old script made may not say that it is one; it has a name, and signs itself.
    if read.is_ca or (not read.names and read.common_names and read.self_signed):
        return "CA"
    return "server" if read.serves else "certificate"


def _due(sights: Sequence[Sight], sha256: str, at: datetime) -> Due:
    """One certificate with all its places, and the first word on everything else."""
    signed = sights[0].signed
    is_list = isinstance(signed, x509.CertificateRevocationList)
    told = _of_crl(signed) if is_list else _of_certificate(signed)
    start, end = lasts(signed) or (at, at)
    plan, warning, critical = _thresholds(end - start)
    # Time for approval, weeks to spare. No certificate outlives its CA: the next CA signs before
    # a server certificate would be cut short, and was brought to every computer by then.
    is_ca = told["kind"] == "CA"
    ahead = (plan + warning) / 2 + timedelta(days=SERVER.days if is_ca else 0)
    renew_on = max(start, end - ahead)
    limits = zip(STATUSES, (-timedelta.resolution, critical, warning, plan), strict=False)
    early = "plan" if is_ca and at >= renew_on else "ok"
    return Due(
        label=sights[0].label,
        not_before=start,
        not_after=end,
        days_left=(end - at).days,
        share_left=max(0.0, min(1.0, (end - at) / (end - start))) if end > start else 0.0,
        status=EARLY
        if at < start
        else next((s for s, limit in limits if end - at <= limit), early),
        renew_on=renew_on,
        fingerprint=sha256,
        owner=next((one.owner for one in sights if one.owner), ""),
        note=next((one.note for one in sights if one.note), ""),
        where=tuple(dict.fromkeys(one.where for one in sights if one.where)),
        **told,
    )


def _of_certificate(certificate: x509.Certificate) -> dict[str, Any]:
    read = Reading(certificate)
    return {
        "kind": kind_of(certificate),
        "names": read.names,
        "thumbprint": thumbprint(certificate),
        "serial": f"{read.serial:X}",
        "subject": read.label.strip("'"),
        "issuer": read.issuer_label.strip("'"),
    }


def _of_crl(crl: x509.CertificateRevocationList) -> dict[str, Any]:
    found = loaded(lambda: crl.extensions) or ()
    numbers = [one.value.crl_number for one in found if one.oid == x509.CRLNumber.oid]
    serial = "".join(f"{one:X}" for one in numbers)
    return {"kind": "CRL", "issuer": issuer_of(crl), "serial": serial}


def issuer_of(crl: x509.CertificateRevocationList) -> str:
    """Return the common name of a list's issuer, else all of its name."""
    name = loaded(lambda: crl.issuer)
    named = loaded(name.get_attributes_for_oid, x509.NameOID.COMMON_NAME) if name else ()
    return str(named[0].value) if named else (name.rfc4514_string() if name else "nobody")


def _thresholds(life: timedelta) -> tuple[timedelta, timedelta, timedelta]:
    # A short one is told of when a third and a sixth of its life is left, not from its first day.
    limits = (PLAN, life / 3), (WARNING, life / 3), (CRITICAL, life / 6)
    plan, warning, critical = (min(timedelta(days=days), part) for days, part in limits)
    return plan, warning, critical
