"""What an inventory tells of one computer: its stores, clock, services, addresses and TLS.

Each function yields findings about one computer; `check` puts those of a whole site together.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from cryptography import x509

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.paths import Reading
from vmscert.findings import Finding
from vmscert.site.releases import pfx_encryption
from vmscert.site.site import Host, Site, central_role
from vmscert.windows.stores import (
    CLOCK_SKEW,
    UNKNOWN,
    Chain,
    Personal,
    Stores,
    account,
    dns_names,
    leads_through,
    names_of,
)

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def serving(host: Host, stores: Stores, group: str) -> Personal | None:
    """Return what this computer serves in a certificate group: the bound one, else the best."""
    bound = stores.used.get(group)
    if bound and bound != UNKNOWN:
        return stores.find(bound)
    mine = [held for held in stores.personal if host.names[0] in dns_names(held.certificate)]
    return max(mine, key=lambda held: held.certificate.not_valid_before_utc, default=None)


def accounts(host: Host, stores: Stores) -> list[str]:
    """Return who must read the private key: the table's account, and who really runs the services.

    Without an account in the table, the usual one counts only where the inventory names no other.
    """
    wanted = {one.casefold() for one in host.services}
    running = [
        one.account
        for one in stores.services
        if one.account and not wanted.isdisjoint((one.name.casefold(), one.display.casefold()))
    ]
    told = () if running and not host.account else host.accounts
    return list({account(one): one for one in (*running, *told)}.values())


def check_computer(
    site: Site, host: Host, stores: Stores, encryption: str = ""
) -> Iterator[Finding]:
    """Yield what is wrong with a computer, whatever its certificates are.

    `encryption` is that of the PFX that was issued for it: "AES-256" or "3DES".
    """
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
    if host.ports:  # others may belong to another site, with a management server of its own
        yield from _registered(site, host, stores)


def check_roots(host: Host, stores: Stores, chains: Collection[Chain]) -> Iterator[Finding]:
    """Yield what is odd in the stores of a computer that meets these chains of certificates."""
    for one in stores.disallowed:
        if any(leads_through(chain, one) for chain in chains):
            server = any(one == chain[0] for chain in chains)
            what = "the certificate of a server" if server else "the CA certificate"
            text = f"{host.name} holds {what}, {thumbprint(one)}, in LocalMachine\\Disallowed"
            yield Finding("disallowed", host.name, text)
    issuers = {names_of(chain[-1])[1] for chain in chains} - {None}
    places = {
        "LocalMachine\\Root": stores.root,
        "LocalMachine\\AuthRoot": stores.third_party_root,
        "CurrentUser\\Root": stores.user_root,
    }
    for one in dict.fromkeys(stores.trusted):
        held = [place for place, roots in places.items() if one in roots]
        if len(held) > 1 and names_of(one)[0] in issuers:
            text = f"the CA certificate {thumbprint(one)} lies in {' and '.join(held)}"
            yield Finding("root-twice", host.name, f"{text} on {host.name}")
    for name in issuers:
        same = [Reading(one) for one in stores.trusted if names_of(one)[0] == name]
        if len({one.spki for one in same}) > 1:
            text = f"{host.name} trusts CAs with different keys that are all called {same[0].label}"
            yield Finding("root-twice", host.name, text)


def superseded(host: Host, stores: Stores, current: x509.Certificate) -> Iterator[Finding]:
    """Yield a finding for each certificate that `current` replaced and that nothing uses."""
    used = {*stores.bindings.values(), *stores.https.values()}
    for one in (held.certificate for held in stores.personal):
        label = thumbprint(one)
        same = host.names[0] in dns_names(one) and names_of(one)[1] == names_of(current)[1]
        older = one.not_valid_before_utc < current.not_valid_before_utc
        if same and older and not used & {label, UNKNOWN}:
            text = f"{host.name} still holds {label}, which {thumbprint(current)} replaced"
            yield Finding("superseded-left", host.name, text)


def _registered(site: Site, host: Host, stores: Stores) -> Iterator[Finding]:
    """Look whether every component calls a management server by one of its names."""
    managers = site.central
    known = {name.lower() for one in managers for name in one.names}
    for component, address in stores.registered.items():
        name = _host_of(address)
        at_home = host in managers and name in _LOOPBACK and not address.startswith("https")
        if known and name and name not in known and not at_home:
            text = f"the {component} on {host.name} calls the {central_role()} {name!r}, which "
            yield Finding("name-mismatch", host.name, text + "is none of its names in the table")


def _host_of(address: str) -> str:
    """The host in a URI, or in a host name with or without a port; empty where there is none."""
    try:
        return urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
