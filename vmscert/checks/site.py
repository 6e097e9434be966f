"""The guide's three requirements and its warning, checked for a whole site.

A server certificate is issued to the names that clients use, trusted on all computers that talk to
the server, and its private key is readable by the service account.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from vmscert.certificates.authority import SERVER, is_signed_by, thumbprint
from vmscert.certificates.diagnosis import ends_soon
from vmscert.certificates.keys import is_teaching
from vmscert.certificates.reading import Reading
from vmscert.checks.acceptance import offers, refusals, service, serving
from vmscert.checks.expiry import kind_of, lasts
from vmscert.facts import pfx_encryption
from vmscert.findings import Finding
from vmscert.site.site import Host, Site, central_role, meets_phones
from vmscert.windows.stores import (
    CLOCK_SKEW,
    UNKNOWN,
    Chain,
    Stores,
    dns_names,
    leads_through,
    names_of,
)

PHONES_LIMIT = timedelta(days=825)  # Apple's limit for TLS servers, support page 103769
# Every server certificate that a shorter root signs after its first renewal is cut short by it, so
# that root must be replaced on every computer more often than one certificate on one server.
_SHORTEST_ROOT = timedelta(days=2 * SERVER.days)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_STRONG_CA = 3072  # bits; a root lives ten years, NIST SP 800-57 asks for 128-bit strength


def check_site(
    site: Site, stores: Mapping[str, Stores], at: datetime, pfx: Mapping[str, str] | None = None
) -> list[Finding]:
    """Return every finding about a site: its computers and servers first, then each connection.

    `stores` is host name → what that computer holds. A computer without an entry has not
    reported; nothing is assumed of it. `pfx` is host name → encryption of the PFX issued for it.
    """
    found = [
        Finding("not-reachable", host.name, f"no inventory of {host.name} has come back")
        for host in site.clients
        if host.name not in stores
    ]
    for held in stores.values():
        for label in (thumbprint(one) for one in held.trusted if is_teaching(Reading(one).key)):
            text = f"{held.host} trusts a CA for lessons, {label}: remove it"
            found.append(Finding("teaching-key", held.host, text))
    for host in site.clients:
        if held := stores.get(host.name):
            found += _computer(site, host, held, (pfx or {}).get(host.name, ""))
            found += dict.fromkeys(_server(host, held, at))
    found += _connections(site, stores, at)
    told: dict[tuple[str, str, str], Finding] = {}
    for one in found:  # one cause is told once, as bad as it is for the worst of the names
        key = one.code, one.where, one.detail
        if key not in told or one.severity == "bad":
            told[key] = one
    return list(told.values())


def _computer(site: Site, host: Host, stores: Stores, encryption: str) -> Iterator[Finding]:
    """What is wrong with a computer, whatever its certificates are."""
    off = stores.clock_offset or 0
    if abs(off) > CLOCK_SKEW:
        side, source = "ahead of" if off > 0 else "behind", stores.clock_source or "its source"
        text = f"the clock of {host.name} is {abs(off) / 60:.0f} minutes {side} {source}"
        yield Finding("clock-off", host.name, text)
    for side in ("Client", "Server") if host.ports else ("Client",):
        if stores.tls.get(f"TLS 1.2 {side}") == "off":
            text = f"TLS 1.2 is switched off in the registry of {host.name}, side {side.lower()}"
            yield Finding("tls-too-old", host.name, text)
    with suppress(ValueError):  # a release that nobody knows: nothing is assumed of it
        if encryption == "AES-256" and pfx_encryption(stores.windows) == "3DES":
            text = f"{host.name} runs {stores.windows}; its PFX was written with {encryption}"
            yield Finding("pfx-too-new-for-windows", host.name, text)
    # Others than servers may belong to another site, with a management server of its own.
    known = {name.lower() for one in site.central for name in one.names} if host.ports else ()
    for component, address in stores.registered.items() if known else ():
        name = _host_of(address)
        at_home = host in site.central and name in _LOOPBACK and not address.startswith("https")
        if name and name not in known and not at_home:
            text = f"the {component} on {host.name} calls the {central_role()} {name!r}, which "
            yield Finding("name-mismatch", host.name, text + "is none of its names in the table")


def _host_of(address: str) -> str:
    """The host in a URI, or in a host name with or without a port; empty where there is none."""
    try:
        return urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""


def _server(host: Host, stores: Stores, at: datetime) -> Iterator[Finding]:
    """What is wrong with one server: certificate, key, encryption, and its near future."""
    for group in host.groups:
        if group in stores.unread:
            why = stores.unread[group]
            text = f"what {group} uses on {host.name} could not be read: {why}"
            yield Finding("not-reachable", host.name, text)
    port = stores.web_ports.get("WebSiteSecurePort", "")
    if host.ports and port and port not in {str(number) for number, _ in host.ports}:
        text = f"the web site of {host.name} is set to port {port}, where no client was judged"
        yield Finding("not-reachable", host.name, text)
    odd = [name for name in host.names if "_" in name]
    for group in host.groups:
        yield from service(host, stores, group)[1]
        if held := serving(host, stores, group):
            yield from _superseded(host, stores, held.certificate)
            yield from ends_soon(host.name, held.certificate.not_valid_after_utc, at)
            if meets_phones(group):
                yield from _too_long(host, held.certificate)
            if odd:
                text = f"{', '.join(odd)} contains an underscore, which some TLS clients refuse"
                yield Finding("name-not-portable", host.name, text)
            cas = (*stores.intermediate, *stores.trusted)
            yield from _outlives(host.name, held.certificate, cas)


def _superseded(host: Host, stores: Stores, current: x509.Certificate) -> Iterator[Finding]:
    """Each certificate that `current` replaced and that nothing uses."""
    used = {*stores.bindings.values(), *stores.https.values()}
    for one in (held.certificate for held in stores.personal if held.certificate != current):
        label = thumbprint(one)
        same = host.names[0] in dns_names(one) and names_of(one)[1] == names_of(current)[1]
        older = one.not_valid_before_utc < current.not_valid_before_utc
        if same and older and not used & {label, UNKNOWN}:
            text = f"{host.name} still holds {label}, which {thumbprint(current)} replaced"
            yield Finding("superseded-left", host.name, text)


def check_ca(certificate: x509.Certificate, at: datetime) -> list[Finding]:
    """Return the findings about a CA certificate by itself, before anybody trusts it."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    read, told = Reading(certificate), []
    if not read.is_ca:
        told.append(
            (
                "issuer-not-ca",
                "the certificate does not say that it is a CA; phones "
                "may not install it as one (unconfirmed)",
            )
        )
    if at < start:
        told.append(("not-yet-valid", f"the CA is valid from {start:%Y-%m-%d %H:%M} UTC"))
    if at > end:
        told.append(("expired", f"the CA ended on {end:%Y-%m-%d %H:%M} UTC"))
    elif end - at < timedelta(days=365):
        text = f"the CA ends on {end:%Y-%m-%d}, and every server certificate with it"
        told.append(("expires-soon", text))
    told += ((one.code, one.detail) for one in _short_lived(certificate))
    if is_teaching(read.key):
        told.append(("teaching-key", "its modulus spells that it is a key for lessons"))
    if isinstance(read.key, RSAPublicKey) and read.key.key_size < _STRONG_CA:
        text = f"the CA's key has {read.key.key_size} bits; {_STRONG_CA} last ten years"
        told.append(("weak-key", text))
    return [Finding(code, "root", text) for code, text in told]


def told_at_once(
    certificate: x509.Certificate, cas: Iterable[x509.Certificate], host: Host | None = None
) -> list[Finding]:
    """Return what will hurt on a day that can be told today; `host` presents it, where known."""
    found = [*_short_lived(certificate)]
    found += _outlives(host.name if host else "leaf", certificate, cas)
    if host and host.meets_phones:
        found += _too_long(host, certificate)
    return found


def _connections(site: Site, stores: Mapping[str, Stores], at: datetime) -> Iterator[Finding]:
    """Why clients refuse, what is odd in stores about what is met, and the roots above that."""
    for _, reasons in refusals(site, stores, at):
        for found in reasons.values():
            yield from found
    served = {key: chain for key, (chain, _) in offers(site, stores).items() if chain}
    every, reported = set(served.values()), [stores[h.name] for h in site if h.name in stores]
    above = _issuers(every)
    odd = {held.host: held for held in reported if any(_odd_roots(held, every, above))}
    met: dict[str, dict[Chain, None]] = defaultdict(dict)
    for link in site.connections if odd else ():
        if chain := served.get((link.server, link.group)):
            met[link.server][chain] = None
            met[link.client][chain] = None
    for name, held in odd.items():  # as far as it concerns what this computer meets itself
        yield from _odd_roots(held, met[name], _issuers(met[name]))
    for root in dict.fromkeys(root for held in stores.values() for root in held.trusted):
        if Reading(root).subject in above:
            yield from _short_lived(root)


def _issuers(chains: Iterable[Chain]) -> set[object]:
    return {names_of(chain[-1])[1] for chain in chains} - {None}


def _odd_roots(
    stores: Stores, chains: Collection[Chain], issuers: Collection[object]
) -> Iterator[Finding]:
    """What is odd in the stores of a computer that meets these chains, under these issuers."""
    host = stores.host
    for one in stores.disallowed:
        if any(leads_through(chain, one) for chain in chains):
            server = any(one == chain[0] for chain in chains)
            what = "the certificate of a server" if server else "the CA certificate"
            text = f"{host} holds {what}, {thumbprint(one)}, in LocalMachine\\Disallowed"
            yield Finding("disallowed", host, text)
    places = {
        "LocalMachine\\Root": stores.root,
        "LocalMachine\\AuthRoot": stores.third_party_root,
        "CurrentUser\\Root": stores.user_root,
    }
    for one in dict.fromkeys(stores.trusted):
        held = [place for place, roots in places.items() if one in roots]
        if len(held) > 1 and names_of(one)[0] in issuers:
            text = f"the CA certificate {thumbprint(one)} lies in {' and '.join(held)} on {host}"
            yield Finding("root-twice", host, text)
    for name in issuers:
        same = [Reading(one) for one in stores.trusted if names_of(one)[0] == name]
        if len({one.spki for one in same}) > 1:
            text = f"{host} trusts CAs with different keys that are all called {same[0].label}"
            yield Finding("root-twice", host, text)


def _too_long(host: Host, certificate: x509.Certificate) -> Iterator[Finding]:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if life > PHONES_LIMIT:
        text = f"the certificate on {host.name} is valid for {life.days} days; iPhones refuse more "
        yield Finding("too-long-for-phones", host.name, f"{text}than {PHONES_LIMIT.days}")


def _outlives(
    where: str, certificate: x509.Certificate, cas: Iterable[x509.Certificate]
) -> Iterator[Finding]:
    """Tell of a CA that ends before a certificate that it issued: on that day both are dead."""
    mine = lasts(certificate)
    for ca in cas:
        until = lasts(ca)
        if mine and until and until[1] < mine[1] and is_signed_by(certificate, ca):
            text = f"it ends on {mine[1]:%Y-%m-%d}, but its CA {Reading(ca).label} does so already"
            yield Finding("ca-ends-first", where, f"{text} on {until[1]:%Y-%m-%d}")


def _short_lived(certificate: x509.Certificate) -> Iterator[Finding]:
    span, read = lasts(certificate), Reading(certificate)
    if span and kind_of(certificate) == "CA" and read.self_signed:
        life = span[1] - span[0]
        if life < _SHORTEST_ROOT:
            text = f"the root {read.label} is valid for {life.days} days, until {span[1]:%Y-%m-%d}"
            yield Finding("short-lived-root", "root", text)
