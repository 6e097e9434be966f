"""Roll the CA certificate out without walking: one folder for an administrator, and for phones."""

import base64
import plistlib
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from itertools import compress
from typing import Any
from uuid import UUID, uuid5

import segno
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import thumbprint
from vmscert.certificates.reading import Reading
from vmscert.facts import UNCONFIRMED, facts, sureness
from vmscert.pages import Markup, faces, literal, render
from vmscert.site.site import Site
from vmscert.windows.folder import numbered
from vmscert.windows.scripts import quote, script

# Ways with a place of their own: on the page for phones, or only where something goes.
_ELSEWHERE = ("iPhone and iPad", "Android", "The old CA", "Stolen keys")
_NAMESPACE = UUID("2f1d3a3e-5b0c-4c55-9f0e-6f6d0a1d7a52")  # ours, drawn once: same CA, same UUIDs
_LONGEST_LISTS = 30  # computers, in the table of those that the policy misses
_STRAIGHT = str.maketrans(dict.fromkeys("\u2018\u2019\u201a\u201b", "'"))  # as quote() demands
# Why a policy may miss a computer, the first that holds → what to do instead.
_INSTEAD = {
    "a file says whom it trusts, no store of Windows": "its hand-over folder",
    "no domain": "remoting without a domain, or its hand-over folder",
    "another domain": "a policy of that domain, or remoting with an account of it",
    "perhaps in a DMZ, outside the domain": "ask; else its hand-over folder",
}
# What is called so in texts: how its files are called, its script, and what that does.
_KINDS = {
    "ca": ("ca", "trust", "Add"),
    "old": ("old-ca", "remove-old-ca", "Remove"),
    "barred": ("barred", "bar", "Bar"),
}
Certificates = tuple[x509.Certificate, ...]


def roll_out_files(
    ca: x509.Certificate,
    site: Site,
    at: datetime,
    also: Iterable[x509.Certificate] = (),
    old_roots: Iterable[x509.Certificate] = (),
    barred: Iterable[x509.Certificate] = (),
    needed: Mapping[str, Iterable[x509.Certificate]] | None = None,
    phones: Iterable[x509.Certificate] | None = None,
    without: Iterable[tuple[str, str]] = (),
) -> dict[str, bytes]:
    """Return file name → content of the folder with which an administrator rolls out this CA.

    While a CA is replaced, `also` is the other one to trust. `old_roots` are to be trusted no
    longer, `barred` never again. `needed` is computer → roots, also of other CAs, which go to
    those alone; without a word all need this CA. The same bytes for the same certificates, site
    and day; `at` is an aware datetime.
    `phones` have to trust some of these, without a word all of this site's; none for the servers
    `without`, each with why. What they need is left out where that is nothing.
    """
    called = {"ca": (ca, *also), "old": tuple(old_roots), "barred": tuple(barred)}
    others, apart = defaultdict[x509.Certificate, list[str]](list), dict(without)
    own = site
    if needed is not None:
        for name, root in ((name, one) for name, roots in needed.items() for one in roots):
            others[root].append(name)
        mine = {name for one in called["ca"] for name in others.pop(one, ())}
        own = replace(site, hosts=tuple(host for host in site if host.name in mine))
    every, files = (*called["ca"], *others), dict[str, bytes]()
    for kind, held in (called | {"ca": every}).items():
        stem, name, action = _KINDS[kind]
        for number, one in enumerate(held):
            files[numbered(stem, number)] = one.public_bytes(Encoding.DER)
            files[numbered(name, number, "ps1")] = _script(one, action, called["ca"])
            for looks in ("detect", "detect-application") if kind == "ca" else ():
                files[numbered(looks, number, "ps1")] = script(looks, **_known(one))
    roots = [
        {
            "name": _name(one),
            "until": one.not_valid_after_utc,
            "lines": readable_fingerprint(one).split("\n"),
            "sha256": readable_fingerprint(one).replace("\n", " "),
            "thumbprint": thumbprint(one),
            "picture": numbered("ca", number, "svg").replace(".svg", "-sha256.svg"),
            "file": numbered("ca", number),
            "script": numbered("trust", number, "ps1"),
        }
        for number, one in enumerate(every)
    ]
    met = tuple(called["ca"] if phones is None else phones)
    mobile = [host for host in site if host.meets_phones and host.name not in apart]
    named = ((one, name) for one in mobile for name in (one.fqdn, *one.aliases))
    names = [name for one, name in named if name not in one.unsigned]
    if names and met:
        shown = [(row, one) for row, one in zip(roots, every, strict=True) if one in met]
        pictures = {row["picture"]: _qr(one) for row, one in shown}
        files["ca.mobileconfig"] = apple_profile(met[0], site, met[1:])
        files |= {name: picture.encode() for name, picture in pictures.items()}
        ways = _ways(called | {"ca": met})
        page = render(
            "phones.md", site=site, names=names, at=at, roots=[row for row, _ in shown], ways=ways
        )
        files |= faces("phones", page, f"{site.name}: phones", pictures)
    ours, theirs = roots[: len(called["ca"])], roots[len(called["ca"]) :]
    for row, (_, computers) in zip(theirs, others.items(), strict=True):
        row["computers"] = [Markup(quote(site[name].fqdn)) for name in computers]
    page = _readme(own, list(files), at=at, roots=ours, others=theirs, without=apart,
                   ways=_ways(called), old=called["old"], barred=called["barred"])  # fmt: skip
    return files | faces("README", page, f"{site.name}: roll-out")


def apple_profile(ca: x509.Certificate, site: Site, also: Iterable[x509.Certificate] = ()) -> bytes:
    """Return an unsigned configuration profile that brings roots to iPhone, iPad and Mac.

    Keys: https://developer.apple.com/documentation/devicemanagement/certificateroot
    """
    roots = (ca, *also)
    content = [
        {
            **_payload("com.apple.security.root", one, site),
            "PayloadCertificateFileName": numbered("ca", number),
            "PayloadContent": one.public_bytes(Encoding.DER),
        }
        for number, one in enumerate(roots)
    ]
    told = f"Trusts the servers of {_visible(site.name)}. SHA-256 {', '.join(map(_digest, roots))}"
    whole = {"PayloadDescription": told, "PayloadRemovalDisallowed": False}
    whole |= {**_payload("Configuration", ca, site), "PayloadContent": content}
    return plistlib.dumps(whole)


def readable_fingerprint(ca: x509.Certificate) -> str:
    """Return the SHA-256 in pairs, eight in a line, to be compared by eye."""
    return textwrap.fill(ca.fingerprint(SHA256()).hex(" ").upper(), len("00 ") * 8)


def home_domain(site: Site) -> str:
    """Return the DNS domain of the management server, else the one of most computers."""
    domains = [host.domain for host in site.central[:1] or site.clients]
    return Counter(domains).most_common(1)[0][0] if domains else ""


def unreached(site: Site) -> list[dict[str, str]]:
    """Return a row for each computer that a Group Policy of the home domain may not reach."""
    home, rows = home_domain(site), []
    for host in site.clients:
        holds = (host.only_pem, not host.domain, host.domain != home, host.perhaps_in_dmz)
        if why := next(compress(_INSTEAD, holds), ""):
            about = {"computer": host.fqdn, "who": host.owner}
            rows.append({**about, "why": why, "instead": _INSTEAD[why]})
    return rows


def _script(ca: x509.Certificate, action: str, successors: Certificates) -> bytes:
    return script(
        "roll-out",
        UsualAction=action,
        CaSha256=_digest(ca).lower(),
        CaCertificate=base64.b64encode(ca.public_bytes(Encoding.DER)).decode("ascii"),
        # Nobody is left without a CA to trust.
        Successors=list(map(thumbprint, successors)) if action == "Remove" else [],
        **_known(ca),
    )


def _name(ca: x509.Certificate) -> str:
    """What people call this CA: its common name, or the whole subject without one."""
    return (Reading(ca).common_names or [ca.subject.rfc4514_string()])[0]


def _known(ca: x509.Certificate) -> dict[str, str]:
    """What tells a CA certificate apart: for people, and for Windows."""
    return {"CaName": _visible(_name(ca)), "CaThumbprint": thumbprint(ca)}


def _visible(text: str) -> str:
    """The text without what hides, and with straight quotes: fit for scripts and property lists."""
    return "".join(filter(str.isprintable, text.translate(_STRAIGHT)))


def _payload(kind: str, ca: x509.Certificate, site: Site) -> dict[str, object]:
    digest = _digest(ca)
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadDisplayName": _visible(f"{site.name} VMS: {_name(ca)}"),
        "PayloadIdentifier": f"vmscert.{digest[:16].lower()}.{kind}",
        "PayloadUUID": str(uuid5(_NAMESPACE, f"{kind} {digest}")).upper(),
    }


def _digest(ca: x509.Certificate) -> str:
    return ca.fingerprint(SHA256()).hex().upper()


def _qr(ca: x509.Certificate) -> str:
    """The SHA-256 as a QR code: SVG that stands in a page, or in a file of its own."""
    text = BytesIO()
    code = segno.make(_digest(ca), error="m")
    code.save(text, kind="svg", scale=4, xmldecl=False, light="#fff", title="SHA-256 as a QR code")
    return text.getvalue().decode().strip()


def _readme(site: Site, files: Iterable[str], **told: Any) -> str:
    home, domains = home_domain(site), defaultdict[str, list[Markup]](list)
    hosts = sorted(site.clients, key=lambda one: (one.domain != home, not one.domain, one.domain))
    for host in hosts:
        domains[host.domain].append(Markup(quote(host.fqdn)))
    return render(
        "roll-out.md",
        site=site,
        files={name: re.sub(r"-\d+(?=\.)", "", name) for name in files},
        everywhere=[way for way in told["ways"] if way not in _ELSEWHERE],
        home=home,
        domains=domains,
        missed=unreached(site),
        most=_LONGEST_LISTS,
        honours=facts("windows/disallowed"),
        **told,
    )


def _ways(called: Mapping[str, Certificates]) -> dict[str, dict[str, list[Markup]]]:
    """Way → kind of text → the texts, with the names of the certificates of this folder."""
    found: dict[str, dict[str, list[Markup]]] = defaultdict(lambda: defaultdict(list))
    for row in facts("windows/roll-out"):
        text = row["text"]
        for key, held in called.items():
            text = text.replace(f"{{{key}}}", ", ".join(literal(_name(one)) for one in held))
        text += f" ({UNCONFIRMED})" if sureness(row["tag"]) == UNCONFIRMED else ""
        kind = "steps" if row["step"].isdigit() else row["step"]
        found[row["way"]][kind].append(Markup(text))
    return found
