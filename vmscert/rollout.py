"""Roll the CA certificate out without walking: one folder for an administrator, and for phones."""

import base64
import hashlib
import plistlib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from io import BytesIO
from uuid import UUID, uuid5

import segno
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from vmscert.facts import UNCONFIRMED, facts, sureness
from vmscert.pages import Markdown, faces, literal, plain, rows_table, steps
from vmscert.scripts import quote, script
from vmscert.site import Host, Site
from vmscert.windows import thumbprint

_PHONES = ("iPhone and iPad", "Android")
_NAMESPACE = UUID("2f1d3a3e-5b0c-4c55-9f0e-6f6d0a1d7a52")  # ours, drawn once: same CA, same UUIDs
_LONGEST_LISTS = 30  # computers, in the table of those that the policy misses
_QR = "ca-sha256.svg"
_STRAIGHT = str.maketrans(dict.fromkeys("\u2018\u2019\u201a\u201b", "'"))  # as quote() demands
_CONTENTS = {
    "ca.cer": "the CA certificate, for policies, Intune, Android",
    "trust.ps1": "a script that brings it to a Windows computer, with no other file",
    "detect.ps1": "the same script, which only looks unless it is told otherwise",
    "ca.mobileconfig": "the profile for iPhone, iPad and Mac; not signed",
    "phones.html": "the page for people with phones; phones.md is the same text",
}


def roll_out_files(ca: x509.Certificate, site: Site, at: datetime) -> dict[str, bytes]:
    """Return file name → content of the folder with which an administrator rolls out this CA.

    The same bytes for the same CA, site and day; `at` is an aware datetime. What phones need is
    left out where no phone meets a certificate of this CA.
    """
    files = {
        "ca.cer": ca.public_bytes(Encoding.DER),
        "trust.ps1": _script(ca, "Add"),
        "detect.ps1": _script(ca, "Detect"),
    }
    if serves_phones(site):
        files |= {"ca.mobileconfig": profile(ca, site), _QR: _qr(ca).encode()}
        files |= faces("phones", _phones(ca, site, at), f"{site.name}: phones", {_QR: _qr(ca)})
    return files | faces("README", _readme(ca, site, at, list(files)), f"{site.name}: roll-out")


def serves_phones(site: Site) -> bool:
    """Tell whether phones meet a certificate of the site's own CA."""
    return any("mobile streaming media" in host.groups for host in site)


def profile(ca: x509.Certificate, site: Site) -> bytes:
    """Return an unsigned configuration profile that brings this root to iPhone, iPad and Mac.

    Keys: https://developer.apple.com/documentation/devicemanagement/certificateroot
    """
    name = _visible(f"{site.name} VMS: {ca_name(ca)}")
    root = {
        **_payload("com.apple.security.root", ca, name),
        "PayloadCertificateFileName": "ca.cer",
        "PayloadContent": ca.public_bytes(Encoding.DER),
    }
    whole = {
        **_payload("Configuration", ca, name),
        "PayloadDescription": f"Trusts the servers of {_visible(site.name)}. SHA-256 {_digest(ca)}",
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [root],
    }
    return plistlib.dumps(whole)


def fingerprint(ca: x509.Certificate) -> str:
    """Return the SHA-256 in pairs, eight in a line, to be compared by eye."""
    digest = _digest(ca)
    pairs = [digest[i : i + 2] for i in range(0, 64, 2)]
    return "\n".join(" ".join(pairs[i : i + 8]) for i in range(0, 32, 8))


def ca_name(ca: x509.Certificate) -> str:
    """Return what people call this CA: its common name, or the whole subject without one."""
    common = ca.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else ca.subject.rfc4514_string()


def home_domain(site: Site) -> str:
    """Return the DNS domain of the management server, else the one of most computers."""
    servers = [host.domain for host in site if "management server" in host.roles]
    most = Counter(host.domain for host in site.clients).most_common(1)
    return servers[0] if servers else next((domain for domain, _ in most), "")


def unreached(site: Site) -> list[dict[str, str]]:
    """Return a row for each computer that a Group Policy of the home domain may not reach."""
    return [
        {"computer": literal(host.fqdn), "who": host.owner, "why": why, "instead": instead}
        for host in site.clients
        for why, instead in _obstacle(host, home_domain(site))
    ]


def _obstacle(host: Host, home: str) -> Iterator[tuple[str, str]]:
    """Why a policy of the home domain may not reach a computer, and what to do; or nothing."""
    if not host.domain:
        yield "no domain", "remoting without a domain, or its hand-over folder"
    elif host.domain != home:
        yield "another domain", "a policy of that domain, or remoting with an account of it"
    elif "mobile server" in host.roles:
        yield "perhaps in a DMZ, outside the domain", "ask; else its hand-over folder"


def _script(ca: x509.Certificate, action: str) -> bytes:
    der = ca.public_bytes(Encoding.DER)
    return script(
        "roll-out",
        UsualAction=action,
        CaName=_visible(ca_name(ca)),
        CaSha256=hashlib.sha256(der).hexdigest(),
        CaThumbprint=thumbprint(ca),
        CaCertificate=base64.b64encode(der).decode("ascii"),
    )


def _visible(text: str) -> str:
    """The text without what hides, and with straight quotes: fit for scripts and property lists."""
    return "".join(filter(str.isprintable, text.translate(_STRAIGHT)))


def _payload(kind: str, ca: x509.Certificate, name: str) -> dict[str, object]:
    digest = _digest(ca)
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadDisplayName": name,
        "PayloadIdentifier": f"vmscert.{digest[:16].lower()}.{kind}",
        "PayloadUUID": str(uuid5(_NAMESPACE, f"{kind} {digest}")).upper(),
    }


def _digest(ca: x509.Certificate) -> str:
    return hashlib.sha256(ca.public_bytes(Encoding.DER)).hexdigest().upper()


def _qr(ca: x509.Certificate) -> str:
    """The SHA-256 as a QR code: SVG that stands in a page, or in a file of its own."""
    text = BytesIO()
    segno.make(_digest(ca), error="m").save(
        text, kind="svg", scale=4, xmldecl=False, light="#fff", title="SHA-256 as a QR code"
    )
    return text.getvalue().decode().strip()


# The pages


def _readme(ca: x509.Certificate, site: Site, at: datetime, files: list[str]) -> str:
    ways = [name for name in _ways() if name not in _PHONES]
    parts = [
        f"# Trust the CA of {plain(site.name)} everywhere",
        f"{len(site.clients)} computers must trust one CA certificate, each in the store "
        "**Trusted Root Certification Authorities of the computer**. It holds no secret. Whoever "
        "controls it decides which servers are believed: take it from this folder only.",
        _about(ca, at),
        "## What is in this folder",
        rows_table(
            [
                {"file": literal(name), "what it is": _CONTENTS[name]}
                for name in files
                if name in _CONTENTS
            ]
        ),
        "## Which way for whom",
        rows_table([_reach(name) for name in ways]),
        "What is marked (unconfirmed) was read in no source: try it on one computer first.",
        "## Who is not reached by a policy",
        _missed(site),
        *(_way(name, ca, _block(site) if name == "PowerShell Remoting" else "") for name in ways),
        "## Afterwards",
        "`trust.ps1` with `Detect` says what a computer trusts; only a connection shows that it "
        "works. Bring back the inventories, then verify the site with runbook 16.",
    ]
    return "\n\n".join(parts) + "\n"


def _phones(ca: x509.Certificate, site: Site, at: datetime) -> str:
    servers = [host for host in site if "mobile streaming media" in host.groups]
    names = ", ".join(literal(name) for host in servers for name in (host.fqdn, *host.aliases))
    parts = [
        f"# Phones and the CA of {plain(site.name)}",
        f"A phone must trust the CA of the mobile server ({names}) before the app connects. A "
        "mobile server with a certificate of a public CA needs nothing of this page.",
        f"{literal(ca_name(ca))} is valid until {ca.not_valid_after_utc:%Y-%m-%d}. This page was "
        f"made on {at:%Y-%m-%d}; what is marked (unconfirmed) was read in no source.",
        "## Compare before you trust",
        "Whoever can make you install another CA can read along. Compare this fingerprint with "
        "what the phone shows, pair by pair, or scan the code with a second device.",
        f"```\n{fingerprint(ca)}\n```",
        f"![The same SHA-256 as a QR code]({_QR})",
        *(_way(name, ca) for name in _PHONES),
    ]
    return "\n\n".join(parts) + "\n"


def _about(ca: x509.Certificate, at: datetime) -> str:
    return (
        f"- CA: {literal(ca_name(ca))}, valid until {ca.not_valid_after_utc:%Y-%m-%d}\n"
        f"- SHA-256: {literal(' '.join(fingerprint(ca).split()))}\n"
        f"- Thumbprint, as Windows calls the SHA-1: {literal(thumbprint(ca))}\n"
        f"- This page was made on {at:%Y-%m-%d}"
    )


def _missed(site: Site) -> str:
    home, rows = home_domain(site), unreached(site)
    where = f"in {literal(home)}" if home else "in a domain"
    intro = (
        f"Of {len(site.clients)} computers, {len(rows)} may miss a policy {where}. The table of "
        "the site holds DNS names; whether a computer is a member of the domain, it can't tell."
    )
    more = len(rows) - _LONGEST_LISTS
    rest = f"… and {more} more." if more > 0 else ""
    return "\n\n".join(filter(None, [intro, rows_table(rows[:_LONGEST_LISTS]), rest]))


def _way(name: str, ca: x509.Certificate, block: str = "") -> str:
    """The section of one way: what to know first, its steps, what to type, what else to know."""
    rows = _ways()[name]
    told = {"ca": literal(ca_name(ca))}
    done = steps(_told(row, told) for row in rows if row["step"].isdigit())
    first = "\n>\n".join(f"> {_told(row, told)}" for row in rows if row["step"] == "first")
    notes = "\n".join(f"- {_told(row, told)}" for row in rows if row["step"] == "note")
    return "\n\n".join(filter(None, [f"## {name}", first, done, block, notes]))


def _told(row: Mapping[str, str], told: Mapping[str, str]) -> str:
    text = row["text"]
    for key, value in told.items():
        text = text.replace(f"{{{key}}}", value)
    return text + (f" ({UNCONFIRMED})" if sureness(row["tag"]) == UNCONFIRMED else "")


def _reach(name: str) -> dict[str, str]:
    told = {row["step"]: Markdown(_told(row, {})) for row in _ways()[name]}
    return {"way": name, "reaches": told["reaches"], "misses": told["misses"]}


def _ways() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in facts("windows/roll-out"):
        found.setdefault(row["way"], []).append(row)
    return found


def _block(site: Site) -> str:
    """PowerShell lines for the computers of this site, one group for each domain."""
    home = home_domain(site)
    groups: dict[str, list[str]] = {}
    for host in site.clients:
        groups.setdefault(host.domain, []).append(host.fqdn)
    ordered = sorted(groups, key=lambda domain: (domain != home, not domain, domain))
    return "\n\n".join(_lines(domain, home, groups[domain]) for domain in ordered)


def _lines(domain: str, home: str, names: list[str]) -> str:
    where = f"Domain {plain(domain)}" if domain else "Without a domain"
    how = "" if domain == home else " -Credential (Get-Credential)"
    how += "" if domain else " -UseSSL"
    start = f"Invoke-Command -ComputerName $Computers{how} -FilePath .\\trust.ps1"
    listed = ",\n".join(f"    {quote(name)}" for name in names)
    lines = [f"$Computers = @(\n{listed}\n)", f"{start} -ArgumentList Detect", start]
    return "\n".join([f"{where}:", "", "```powershell", *lines, "```"])
