"""Was a certificate revoked, as far as the revocation lists (CRLs) at hand tell?

RFC 5280 section 6.3. What no list speaks of is not judged; lists of others are not looked at.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import Any

from cryptography import x509

from vmscert.certificates.paths import Path
from vmscert.certificates.reading import (
    FORGEABLE,
    Folded,
    Reading,
    called,
    folded,
    made_by,
    moments,
)
from vmscert.findings import Finding

_MOST_SIGNERS = 8  # certificates of one name that are tried on a list
# Critical extensions of a list that are heeded here; OpenSSL refuses others, too.
_KNOWN = {"authorityKeyIdentifier", "deltaCRLIndicator", "issuingDistributionPoint"}
_TAKEN_BACK = x509.ReasonFlags.remove_from_crl
# The reasons that a list can be limited to, RFC 5280 section 4.2.1.13.
_ALL = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, _TAKEN_BACK}


class RevocationList:
    """One list, its parts read when first asked for; reading may raise what pyca raises."""

    def __init__(self, crl: x509.CertificateRevocationList) -> None:
        self.crl = crl

    @cached_property
    def issuer(self) -> Folded | None:
        with suppress(Exception):  # pyca raises many kinds
            return folded(self.crl.issuer)
        return None  # it speaks of nobody

    @cached_property
    def scope(self) -> x509.IssuingDistributionPoint | None:
        return _extension(self.crl, x509.IssuingDistributionPoint)

    @cached_property
    def base(self) -> int | None:
        """The number of the list that this one only updates; None if it is complete."""
        return getattr(_extension(self.crl, x509.DeltaCRLIndicator), "crl_number", None)

    @cached_property
    def entries(self) -> dict[tuple[Folded | None, int], x509.RevokedCertificate]:
        """What an indirect list revokes, by issuer and serial number.

        An entry's issuer holds for the entries after it, until another one is named.
        """
        found, issuer = {}, self.issuer
        for entry in self.crl:
            named = _extension(entry, x509.CertificateIssuer)
            for name in named.get_values_for_type(x509.DirectoryName) if named else ():
                issuer = folded(name)
            found[issuer, entry.serial_number] = entry
        return found

    def entry(self, child: Reading) -> x509.RevokedCertificate | None:
        """Return what it says about a certificate, None if nothing."""
        if self.scope and self.scope.indirect_crl:
            return self.entries.get((child.issuer, child.serial))
        return self.crl.get_revoked_certificate_by_serial_number(child.serial)


def revocations(path: Path) -> Iterator[Finding]:
    """Tell which certificates of a path were revoked, and of which the lists can't tell it."""
    for child, issuer in pairwise(path.steps) if path.question.lists else ():
        # The lists of its issuer, and of those named in its stead.
        issuers = {child.issuer}.union(*map(_list_issuers, _points(child))) - {None}
        named = [one for one in path.question.lists if one.issuer in issuers]
        reasons = {one: _why_not(path, child, issuer, one) for one in named}
        usable = [one for one in named if not reasons[one]]
        covered = (one.scope and one.scope.only_some_reasons for one in usable)
        entry = None  # the last word of complete lists and their updates
        for one in sorted(usable, key=lambda one: one.base is not None):
            if found := one.entry(child):
                entry = None if _reason(found) is _TAKEN_BACK else found
        for one in usable:
            if isinstance(one.crl.signature_hash_algorithm, FORGEABLE):
                name = one.crl.signature_hash_algorithm.name.upper()
                text = f"signed its revocation list with {name}"
                yield path.fault("weak-signature", issuer, text, severity="dubious")
        if entry:
            why = f" ({reason.value})" if (reason := _reason(entry)) else ""
            text = f"was revoked on {entry.revocation_date_utc:%Y-%m-%d}{why}"
            text += f", says the revocation list of {issuer.label}"
            yield path.fault("revoked", child, text, "on the revocation list")
        elif named and frozenset().union(*(some or _ALL for some in covered)) != _ALL:
            why = next(filter(None, reasons.values()), "it lists only some reasons of revocation")
            text = f"can't be looked up in the revocation list of {child.issuer_label}: {why}"
            yield path.fault("crl-unusable", child, text, "revocation list unusable")


def _why_not(path: Path, child: Reading, issuer: Reading, one: RevocationList) -> str:
    """Say why a list can't be used for a certificate; empty if it can."""
    try:
        return next(filter(None, _faults(path, child, issuer, one)), "")
    except Exception as error:  # pyca raises many kinds for odd lists
        return f"it can't be read in full: {str(error).splitlines()[0][:100] if str(error) else ''}"


def _faults(path: Path, child: Reading, issuer: Reading, one: RevocationList) -> Iterator[str]:
    start, end, at = one.crl.last_update_utc, one.crl.next_update_utc, path.question.at
    if at < start:
        yield "it is valid from {}, which is after {}".format(*moments(start, at))
    elif end and at > end:
        yield "it ended on {}, before {}".format(*moments(end, at))
    yield _unsigned(path, issuer, one)
    unknown = [e.oid for e in one.crl.extensions if e.critical and called(e.oid) not in _KNOWN]
    yield f"it has the critical extension {unknown[0].dotted_string}" if unknown else ""
    yield "" if _covers(one, child) else "it is made for other certificates of this CA"
    complete = (o.crl for o in path.question.lists if o.issuer == one.issuer and o.base is None)
    numbers = (getattr(_extension(crl, x509.CRLNumber), "crl_number", -1) for crl in complete)
    if one.base is not None and all(number < one.base for number in numbers):
        yield "it only updates a list that is not at hand"
    one.entry(child)  # raises if it can't be read


def _unsigned(path: Path, issuer: Reading, one: RevocationList) -> str:
    # The list's issuer: part of the path, trusted, or issued by what is.
    above, question, right = {*path.steps, *path.question.anchors}, path.question, []
    known = question.named(one.issuer)
    named = [it for it in known if it in above or not above.isdisjoint(question.issuers(it))]
    for signer in list(dict.fromkeys([issuer, *named]))[:_MOST_SIGNERS]:
        if signer.subject == one.issuer and made_by(signer.key, one.crl):
            right.append(signer)
    if not right:
        return "it does not carry the signature of that CA"
    allowed = (getattr(signer.get(x509.KeyUsage), "crl_sign", True) for signer in right)
    return "" if any(allowed) else "the CA's key usage has no cRLSign"


def _covers(one: RevocationList, child: Reading) -> bool:
    """Whether a certificate is within the list's scope, RFC 5280 section 6.3.3 (b)."""
    scope = one.scope
    if scope is None:
        return one.issuer == child.issuer
    wrong_kind = scope.only_contains_user_certs if child.is_ca else scope.only_contains_ca_certs
    stranger = one.issuer != child.issuer and not scope.indirect_crl
    if wrong_kind or scope.only_contains_attribute_certs or stranger:
        return False
    places, published = _places(scope, one.issuer), []
    for point in _points(child):
        issuers = _list_issuers(point)
        published.append(_places(point, (issuers or [child.issuer])[0]) or set(issuers))
    return not places or any(places & point for point in published or [{child.issuer}])


def _points(child: Reading) -> list[x509.DistributionPoint]:
    return list(child.get(x509.CRLDistributionPoints) or ())


def _list_issuers(point: x509.DistributionPoint) -> list[Folded]:
    names = point.crl_issuer or ()
    return [folded(name.value) for name in names if isinstance(name, x509.DirectoryName)]


def _places(where: Any, issuer: Folded | None) -> set:
    """Where a list is published, by its scope or a certificate's point, ready to be compared."""
    if where.relative_name is not None:
        return {(issuer or ()) + folded(x509.Name([where.relative_name]))}
    full = where.full_name or ()
    return {folded(name.value) if isinstance(name, x509.DirectoryName) else name for name in full}


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    with suppress(Exception):  # it is revoked all the same
        return getattr(_extension(entry, x509.CRLReason), "reason", None)
    return None


def _extension(one: x509.CertificateRevocationList | x509.RevokedCertificate, kind: Any) -> Any:
    with suppress(x509.ExtensionNotFound):
        return one.extensions.get_extension_for_class(kind).value
    return None
