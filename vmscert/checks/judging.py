"""Judges what a document holds: what is wrong, what was judged, and what was not, and why.

Certificates are judged as if a server had sent them; a CA by itself as one that is to be trusted.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from vmscert.certificates.diagnosis import ends_soon
from vmscert.certificates.reading import Reading
from vmscert.certificates.words import counted
from vmscert.checks.claims import (
    judge_binding,
    judge_entry,
    judge_event,
    judge_inventory,
    judge_list,
    judge_signature,
    judge_wanted,
    odd_names,
    of_request,
)
from vmscert.checks.documents import AskPassword, Document, is_site_folder, label_of, read
from vmscert.checks.expiry import kind_of
from vmscert.checks.site import PHONES_LIMIT, check_ca, check_site, told_at_once
from vmscert.facts import doubt
from vmscert.findings import Finding, worst_first
from vmscert.network.looks import Look, judged
from vmscert.network.tls import Handshake
from vmscert.records.folder import Records
from vmscert.records.state import read_state
from vmscert.site.table import read_site
from vmscert.windows.stores import Stores

# What is said of a server's certificate, and of no CA by itself.
_OF_SERVERS = {"name-mismatch", "no-san", "leaf-is-ca", "wrong-eku", "chain-order", "self-signed"}


@dataclass(frozen=True)
class Judgement:
    """What is wrong with a document, what was judged of it, and what a person may add for more."""

    document: Document
    findings: tuple[Finding, ...]
    judged: tuple[str, ...]  # in words; nothing is fine that is not among them
    besides: tuple[str, ...] = ()  # what was not judged, since nobody asked


def check_path(
    path: Path,
    roots: Iterable[x509.Certificate] | None,
    name: str,
    at: datetime,
    ask: AskPassword,
    crls: Iterable[x509.CertificateRevocationList] = (),
    beside: Iterable[Document] = (),
) -> Judgement:
    """Return what a path is, and the findings about it; without `roots`, nobody named any."""
    if is_site_folder(path):  # its CA, and what computers reported against its table
        records = Records(path)
        state = read_state(records, read_site(records.table), at)
        found = check_ca(state.signing_ca, at)
        found += check_site(state.site, state.inventories, at, state.pfx_encryptions)
        about = f"a site's folder: {len(state.site)} computers, {counted(state.current)}"
        judged = ("the CA", f"{len(state.inventories)} inventories", "every connection")
        if not state.inventories:
            why = "no computer has told what it holds: bring the inventories back"
            found.append(Finding("not-judged", path.name, why))
        return Judgement(Document(about), tuple(dict.fromkeys(found)), judged)
    if path.suffix.lower() == ".csv":
        site = read_site(path)
        about = f"a site of {len(site)} computers, {len(site.connections)} connections"
        outside = (f"{r['what']}: {r['why']}{doubt(r['tag'])}. {r['ask']}" for r in site.outside)
        told = (one for host in site.servers for one in odd_names(tuple(host.names), host.name))
        judged = ("the table: names, addresses, roles, connections",)
        document = Document(about, questions=site.questions, outside=tuple(outside))
        return Judgement(document, tuple(told), judged)
    return judge(read(path, ask), roots, name, at, crls, beside)


def judge(
    document: Document,
    roots: Iterable[x509.Certificate] | None,
    name: str,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList] = (),
    beside: Iterable[Document] = (),
) -> Judgement:
    """Judge all that a document holds; what is in others `beside` it counts as known."""
    roots, lists = roots if roots is None else list(roots), [*document.crls, *crls]
    known = document.thumbprints.union(*(one.thumbprints for one in beside))
    computers = {one for held in document.inventories for one in _held(held)}
    free = [one for one in dict.fromkeys(document.certificates) if one not in computers]
    wanted = [*map(of_request, document.requests), *document.wanted]
    found = [*document.told]
    found += _certificates(free, document, roots, name, at, lists)
    for held in document.inventories:
        found += judge_inventory(held, roots, at, lists)
    for entry in document.entries:
        found += judge_entry(entry, name, at)
    for binding in document.bindings:
        found += judge_binding(binding, known)
    for event in document.events:
        found += judge_event(event)
    for one in wanted:
        found += judge_wanted(one)
    for request in document.requests:
        found += judge_signature(request)
    for crl in document.crls:
        found += judge_list(crl, at)
    for pfx in document.pfx:
        if not pfx.opened_by:
            text = f"which Windows can open it: nobody knows of {pfx.unknown or 'its encryption'}"
            found.append(Finding("not-judged", "pfx", text))
    judged = {
        "dates, names, key": bool(free),
        "signatures": bool(free and (roots or len(free) > 1)),
        "whom clients trust": bool(free and roots),
        f"the name {name}": bool(free and name),
        "revocation": bool(free and lists),
        "what the computer holds: dates, names, keys, stores": bool(document.inventories),
        "dates": any(one.ends for one in document.entries),
        "private keys": any(one.key for one in document.entries),
        "the store": any(one.store for one in document.entries),
        "what is in use where": bool(document.bindings),
        "what the events say": bool(document.events),
        "what is asked for: names, key, use": bool(wanted),
        "the dates of the revocation list": bool(document.crls),
        "which Windows opens it": any(one.opened_by for one in document.pfx),
        "the thumbprint's characters": any(one.code == "invisible-character" for one in found),
    }
    words = tuple(what for what, was in judged.items() if was)
    if not free and not document.inventories and document.keys:
        found += _keys_alone(document.keys)
        words += ("whether the key is encrypted", "its size")
    if not words and not found and not document.problems:
        why = f"{document.about} by itself says nothing about a certificate: give the file of one"
        found.append(Finding("not-judged", "all", why))
    besides = ["whom clients trust (name the CA with --root)"] if free and not roots else []
    besides += ["the name that clients use (--name)"] if free and not name else []
    if document.entries:
        besides.append("what is not listed: signatures, whom clients trust")
    return Judgement(document, worst_first(dict.fromkeys(found)), words, tuple(besides))


def _held(stores: Stores) -> tuple[x509.Certificate, ...]:
    return (*(one.certificate for one in stores.personal), *stores.trusted)


def _keys_alone(keys: Iterable[str]) -> Iterator[Finding]:
    for key in keys:
        size = re.search(r"RSA (\d+)", key)
        if size and int(size[1]) < 2048:
            yield Finding("weak-key", "key", f"{key}: {size[1]} bits are too few")
        clear = "; it lies there in clear, and whoever reads it is the server" * ("not enc" in key)
        why = f"{key}{clear}: to which certificate it belongs is not told, bring that too"
        yield Finding("not-judged", "key", why)


def look_into(
    found: Document,
    roots: Iterable[x509.Certificate] | None,
    name: str,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> Look:
    """Look at the certificates of a document as if a server had sent them, or at a CA alone.

    Without a name, the first one in its certificate is asked for.
    """
    if not found.certificates:
        return Look(Handshake("", False), place="; ".join((found.about, *found.problems)))
    leaf, roots = found.certificates[0], roots if roots is None else list(roots)
    if not name and len(found.certificates) == 1 and _stands_alone(leaf):
        seen = Handshake(_asked(leaf), True, chain=found.certificates)
        return Look(seen, None, tuple(_ca(leaf, (), roots, at)), place=found.about)
    lists = [*found.crls, *crls]
    return replace(_look(found.certificates, roots, name, at, lists), place=found.about)


def _look(
    chain: Sequence[x509.Certificate],
    roots: list[x509.Certificate] | None,
    name: str,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList],
) -> Look:
    seen = Handshake(name or _asked(chain[0]), True, chain=tuple(chain))
    look = judged(seen, roots, at, crls=crls)
    # It stands for a server's: that a root should live longer is said of roots.
    later = told_at_once(chain[0], (*chain[1:], *(roots or ())))
    later = (one for one in later if one.code != "short-lived-root")
    return replace(look, findings=(*look.findings, *later))


def _asked(leaf: x509.Certificate) -> str:
    return next(iter(Reading(leaf).names), label_of(leaf))


def _stands_alone(one: x509.Certificate) -> bool:
    """Whether a certificate is a CA by itself, or looks like a root and like nothing else."""
    read = Reading(one)
    use = read.get(x509.ExtendedKeyUsage)
    return kind_of(one) == "CA" and (read.is_ca or not use) and not read.trouble


def _ca(
    ca: x509.Certificate,
    others: Iterable[x509.Certificate],
    roots: list[x509.Certificate] | None,
    at: datetime,
) -> Iterator[Finding]:
    """What is wrong with a CA by itself, and below the roots that were named."""
    read = Reading(ca)
    yield from check_ca(ca, at)
    if roots and ca not in roots and read.self_signed:
        text = f"{read.label} is none of the CAs that --root names"
        yield Finding("untrusted-root", "root", text)
    elif not read.self_signed:
        for one in _look((ca, *others), roots, "", at, ()).findings:
            if one.code not in {*_OF_SERVERS, "expired", "not-yet-valid"}:
                yield one


def _certificates(
    free: Sequence[x509.Certificate],
    found: Document,
    roots: list[x509.Certificate] | None,
    name: str,
    at: datetime,
    crls: list[x509.CertificateRevocationList],
) -> Iterator[Finding]:
    """Judge each server's certificate with the CAs beside it, and each CA that is in no chain."""
    leaves = [one for one in free if not _stands_alone(one)] or (list(free[:1]) if name else [])
    cas = [one for one in free if one not in leaves]
    fits = name and any(name.lower() in Reading(one).names for one in leaves)
    # What lies in a folder or a P7B has no order.
    unordered = len(leaves) > 1 or found.about.startswith(("a folder", "a P7B"))
    met: set[x509.Certificate] = set()
    for leaf in leaves:
        read = Reading(leaf)
        asked = "" if fits and name.lower() not in read.names else name
        look = _look((leaf, *cas), roots, asked, at, crls)
        met.update(look.diagnosis.path if look.diagnosis else ())
        several = f" of {read.label}" if len(leaves) > 1 else ""
        for one in (*look.findings, *_of_a_server(leaf, at)):
            nobody_asked = not roots and one.code == "not-judged" and one.where == "root"
            if not nobody_asked and not (unordered and one.code == "chain-order"):
                yield replace(one, where=f"{one.where}{several}")
    if len(leaves) == 1 and free[0] != leaves[0] and " times certificate" in found.about:
        text = "the server's own certificate is not the first one in the file"
        yield Finding("chain-order", "leaf", text)
    for ca in cas:
        if not Reading(ca).is_ca:  # in doubt it is told what a server with it would meet, too
            yield from _look((ca,), roots, "", at, crls).findings
        if ca not in met:
            several = f" {Reading(ca).label}" if len(free) > 1 else ""
            for one in _ca(ca, cas, roots, at):
                if roots or (one.code, one.where) != ("not-judged", "root"):
                    yield replace(one, where=f"{one.where}{several}")


def _of_a_server(leaf: x509.Certificate, at: datetime) -> Iterator[Finding]:
    """What will hurt, or what some clients refuse, whoever serves it: its end, length, names."""
    read = Reading(leaf)
    if read.validity:
        yield from ends_soon("leaf", read.validity[1], at)
    if (
        read.validity
        and read.serves
        and (life := read.validity[1] - read.validity[0]) > PHONES_LIMIT
    ):
        text = (
            f"is valid for {life.days} days; iPhones and Macs refuse more than {PHONES_LIMIT.days}"
        )
        yield Finding("too-long-for-phones", "leaf", text)
    for one in odd_names(read.names, "leaf"):
        if one.code == "name-not-portable":
            yield one
