"""Roll the CA certificate out without walking: one folder for an administrator, and for phones."""

import base64
import hashlib
import plistlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from uuid import UUID, uuid5

import segno
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from vmscert.facts import UNCONFIRMED, doubt, facts, sureness
from vmscert.load import numbered
from vmscert.pages import Markdown, faces, literal, plain, rows_table, steps
from vmscert.scripts import quote, script
from vmscert.site import Host, Site
from vmscert.windows import thumbprint

_PHONES = ("iPhone and iPad", "Android")
_OLD, _STOLEN = "The old CA", "Stolen keys"  # ways that only a folder has where something goes
_NAMESPACE = UUID("2f1d3a3e-5b0c-4c55-9f0e-6f6d0a1d7a52")  # ours, drawn once: same CA, same UUIDs
_LONGEST_LISTS = 30  # computers, in the table of those that the policy misses
_STRAIGHT = str.maketrans(dict.fromkeys("\u2018\u2019\u201a\u201b", "'"))  # as quote() demands
_CONTENTS = {
    "ca.cer": "the CA certificate, for policies, Intune, Android",
    "trust.ps1": "a script that brings it to a Windows computer, with no other file",
    "detect.ps1": "for Intune: only looks, and ends with 1 where it is missing",
    "detect-application.ps1": "for an application of Configuration Manager: only looks, and is "
    "silent where it is missing",
    "ca.mobileconfig": "the profile for iPhone, iPad and Mac; not signed",
    "phones.html": "the page for people with phones; phones.md is the same text",
    "old-ca.cer": "a CA certificate that was replaced: out of policies and phones",
    "remove-old-ca.ps1": "a script that takes it away from a Windows computer",
    "barred.cer": "a certificate whose key was stolen, for policies",
    "bar.ps1": "a script after which a Windows computer never trusts it again",
}
Certificates = tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class _Rolled:
    """What one folder rolls out: CAs to trust, CAs to trust no longer, certificates to bar."""

    roots: Certificates
    old: Certificates
    barred: Certificates
    site: Site
    at: datetime


def roll_out_files(
    ca: x509.Certificate,
    site: Site,
    at: datetime,
    also: Iterable[x509.Certificate] = (),
    old_roots: Iterable[x509.Certificate] = (),
    barred: Iterable[x509.Certificate] = (),
) -> dict[str, bytes]:
    """Return file name → content of the folder with which an administrator rolls out this CA.

    While a CA is replaced, `also` is the other one that is to be trusted. `old_roots` are to be
    trusted no longer, `barred` are certificates never to be trusted again. The same bytes for the
    same certificates, site and day; `at` is an aware datetime. What phones need is left out where
    no phone meets a certificate of this CA.
    """
    rolled = _Rolled((ca, *also), tuple(old_roots), tuple(barred), site, at)
    files = _for_windows(rolled)
    if serves_phones(site):
        pictures = {_qr_name(n): _qr(one) for n, one in enumerate(rolled.roots)}
        files["ca.mobileconfig"] = profile(ca, site, also)
        files |= {name: picture.encode() for name, picture in pictures.items()}
        files |= faces("phones", _phones(rolled), f"{site.name}: phones", pictures)
    return files | faces("README", _readme(rolled, list(files)), f"{site.name}: roll-out")


def _for_windows(rolled: _Rolled) -> dict[str, bytes]:
    """The certificates, and the scripts that carry one each."""
    files: dict[str, bytes] = {}
    successors = [thumbprint(one) for one in rolled.roots]  # nobody is left without a CA to trust
    for number, one in enumerate(rolled.roots):
        files[numbered("ca", number)] = one.public_bytes(Encoding.DER)
        files[numbered("trust", number, "ps1")] = _script(one, "Add")
        for name in ("detect", "detect-application"):
            files[numbered(name, number, "ps1")] = script(name, **_known(one))
    for number, one in enumerate(rolled.old):
        files[numbered("old-ca", number)] = one.public_bytes(Encoding.DER)
        files[numbered("remove-old-ca", number, "ps1")] = _script(one, "Remove", successors)
    for number, one in enumerate(rolled.barred):
        files[numbered("barred", number)] = one.public_bytes(Encoding.DER)
        files[numbered("bar", number, "ps1")] = _script(one, "Bar")
    return files


def serves_phones(site: Site) -> bool:
    """Tell whether phones meet a certificate of the site's own CA."""
    return any("mobile streaming media" in host.groups for host in site)


def profile(ca: x509.Certificate, site: Site, also: Iterable[x509.Certificate] = ()) -> bytes:
    """Return an unsigned configuration profile that brings roots to iPhone, iPad and Mac.

    Keys: https://developer.apple.com/documentation/devicemanagement/certificateroot
    """
    roots = (ca, *also)
    whole = {
        **_payload("Configuration", ca, site),
        "PayloadDescription": f"Trusts the servers of {_visible(site.name)}. SHA-256 "
        + ", ".join(map(_digest, roots)),
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [
            {
                **_payload("com.apple.security.root", one, site),
                "PayloadCertificateFileName": numbered("ca", number),
                "PayloadContent": one.public_bytes(Encoding.DER),
            }
            for number, one in enumerate(roots)
        ],
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
    if host.only_pem:
        yield "a file says whom it trusts, no store of Windows", "its hand-over folder"
    elif not host.domain:
        yield "no domain", "remoting without a domain, or its hand-over folder"
    elif host.domain != home:
        yield "another domain", "a policy of that domain, or remoting with an account of it"
    elif "mobile server" in host.roles:
        yield "perhaps in a DMZ, outside the domain", "ask; else its hand-over folder"


def _script(ca: x509.Certificate, action: str, successors: Iterable[str] = ()) -> bytes:
    der = ca.public_bytes(Encoding.DER)
    return script(
        "roll-out",
        UsualAction=action,
        CaSha256=hashlib.sha256(der).hexdigest(),
        CaCertificate=base64.b64encode(der).decode("ascii"),
        Successors=list(successors),
        **_known(ca),
    )


def _known(ca: x509.Certificate) -> dict[str, str]:
    """What tells a CA certificate apart: for people, and for Windows."""
    return {"CaName": _visible(ca_name(ca)), "CaThumbprint": thumbprint(ca)}


def _visible(text: str) -> str:
    """The text without what hides, and with straight quotes: fit for scripts and property lists."""
    return "".join(filter(str.isprintable, text.translate(_STRAIGHT)))


def _payload(kind: str, ca: x509.Certificate, site: Site) -> dict[str, object]:
    digest = _digest(ca)
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadDisplayName": _visible(f"{site.name} VMS: {ca_name(ca)}"),
        "PayloadIdentifier": f"vmscert.{digest[:16].lower()}.{kind}",
        "PayloadUUID": str(uuid5(_NAMESPACE, f"{kind} {digest}")).upper(),
    }


def _digest(ca: x509.Certificate) -> str:
    return hashlib.sha256(ca.public_bytes(Encoding.DER)).hexdigest().upper()


def _qr_name(number: int) -> str:
    return numbered("ca", number, "svg").replace(".svg", "-sha256.svg")


def _qr(ca: x509.Certificate) -> str:
    """The SHA-256 as a QR code: SVG that stands in a page, or in a file of its own."""
    text = BytesIO()
    segno.make(_digest(ca), error="m").save(
        text, kind="svg", scale=4, xmldecl=False, light="#fff", title="SHA-256 as a QR code"
    )
    return text.getvalue().decode().strip()


# The pages


def _readme(rolled: _Rolled, files: list[str]) -> str:
    site, told = rolled.site, _names(rolled)
    which = "one CA certificate" if len(rolled.roots) == 1 else "these CA certificates"
    ways = [name for name in _ways() if name not in (*_PHONES, _OLD, _STOLEN)]
    parts = [
        f"# Trust the CA of {plain(site.name)} everywhere",
        f"{len(site.clients)} computers must trust {which}, each in the store "
        "**Trusted Root Certification Authorities of the computer**. A CA certificate holds no "
        "secret. Whoever controls it decides which servers are believed: take it from this folder "
        "only.",
        *(_about(ca) for ca in rolled.roots),
        f"This page was made on {rolled.at:%Y-%m-%d}.",
        _both(rolled),
        "## What is in this folder",
        rows_table(list(_contents(files))),
        "## Which way for whom",
        rows_table([_reach(name) for name in ways]),
        "What is marked (unconfirmed) was read in no source: try it on one computer first.",
        "## Who is not reached by a policy",
        _missed(site),
        *(_way(name, told, _block(site) if name == "PowerShell Remoting" else "") for name in ways),
        _way(_OLD, told) if rolled.old else "",
        _way(_STOLEN, told, _who_honours()) if rolled.barred else "",
        "## Afterwards",
        "`trust.ps1` with `Detect` says what a computer trusts; only a connection shows that it "
        "works. Bring back the inventories, then verify the site with runbook 16.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _both(rolled: _Rolled) -> str:
    """What to know while one CA takes over from another."""
    if len(rolled.roots) == 1:
        return ""
    return (
        "One CA takes over from another, and until then every computer must trust both. What "
        "follows is written for `ca.cer`, `trust.ps1`, `detect.ps1` and "
        "`detect-application.ps1`: do the same with `ca-2.cer`, `trust-2.ps1` and the "
        "others of this number."
    )


def _contents(files: Iterable[str]) -> Iterator[dict[str, str]]:
    for name in files:
        first = re.sub(r"-\d+(?=\.)", "", name)
        if first in _CONTENTS:
            yield {"file": literal(name), "what it is": _CONTENTS[first]}


def _who_honours() -> str:
    """Which programs honour the store in which a certificate is barred."""
    return rows_table(
        [
            {
                "who": row["program"],
                "refuses it": row["honours"],
                "why": row["what"] + doubt(row["tag"]),
            }
            for row in facts("windows/disallowed")
        ]
    )


def _names(rolled: _Rolled) -> dict[str, str]:
    """What the texts of the table call the certificates of this folder."""
    called = {"ca": rolled.roots, "old": rolled.old, "barred": rolled.barred}
    return {
        key: ", ".join(literal(ca_name(one)) for one in certificates)
        for key, certificates in called.items()
    }


def _phones(rolled: _Rolled) -> str:
    servers = [host for host in rolled.site if "mobile streaming media" in host.groups]
    names = ", ".join(literal(name) for host in servers for name in (host.fqdn, *host.aliases))
    parts = [
        f"# Phones and the CA of {plain(rolled.site.name)}",
        f"A phone must trust the CA of the mobile server ({names}) before the app connects. A "
        "mobile server with a certificate of a public CA needs nothing of this page.",
        *(
            f"{literal(ca_name(ca))} is valid until {ca.not_valid_after_utc:%Y-%m-%d}."
            for ca in rolled.roots
        ),
        f"This page was made on {rolled.at:%Y-%m-%d}; what is marked (unconfirmed) was read in no "
        "source.",
        "## Compare before you trust",
        "Whoever can make you install another CA can read along. Compare this fingerprint with "
        "what the phone shows, pair by pair, or scan the code with a second device.",
        *(_to_compare(number, ca) for number, ca in enumerate(rolled.roots)),
        *(_way(name, _names(rolled)) for name in _PHONES),
    ]
    return "\n\n".join(parts) + "\n"


def _to_compare(number: int, ca: x509.Certificate) -> str:
    picture = f"![The same SHA-256 as a QR code]({_qr_name(number)})"
    return f"{literal(ca_name(ca))}:\n\n```\n{fingerprint(ca)}\n```\n\n{picture}"


def _about(ca: x509.Certificate) -> str:
    return (
        f"- CA: {literal(ca_name(ca))}, valid until {ca.not_valid_after_utc:%Y-%m-%d}\n"
        f"- SHA-256: {literal(' '.join(fingerprint(ca).split()))}\n"
        f"- Thumbprint, as Windows calls the SHA-1: {literal(thumbprint(ca))}"
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


def _way(name: str, told: Mapping[str, str], block: str = "") -> str:
    """The section of one way: what to know first, its steps, what to type, what else to know."""
    rows = _ways()[name]
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
