"""A CA that another tool made: audited, taken over, and how it is repaired without an outage."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from vmscert.agenda.gather import dark_to_come
from vmscert.certificates.authority import (
    BACKDATE,
    QUICK,
    SERVER,
    Authority,
    Issued,
    create_authority,
    is_signed_by,
    subject_names,
    thumbprint,
)
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.foreign import StandIn
from vmscert.certificates.reading import Reading
from vmscert.certificates.words import bearable
from vmscert.changes.job import Job, Stop
from vmscert.checks.documents import files_below, read, tool_of
from vmscert.checks.expiry import PLAN
from vmscert.facts import doubt, facts
from vmscert.files import read_foreign, write_once
from vmscert.findings import Check
from vmscert.practice.faults import remade
from vmscert.runbooks.stages import Checks, Parts, Rows, Runbook, unbroken
from vmscert.site.site import Host
from vmscert.windows.stores import Stores

# What the guide's two scripts leave behind, as integrators reprint the older edition: no
# basicConstraints, a name that every site shares, a critical extended key usage.
_GUIDE_CA, _GUIDE_DAYS = "VMS Certificate Authority", 365
_STRONG = 3072  # bits, as check_ca has it
_PFX = (".pfx", ".p12")
_KEYS = (*_PFX, ".key", ".pem")


@dataclass(frozen=True)
class Inheritance:
    """What a folder of another tool holds: the CA, its key if it is there, and what it issued."""

    ca: x509.Certificate
    key: RSAPrivateKey | None
    certificates: tuple[x509.Certificate, ...]
    locked: tuple[str, ...] = ()  # the names of files that did not open
    bare: tuple[str, ...] = ()  # of files with a key that no password protects
    in_pem: bool = False  # the CA's key: where OpenSSL keeps it, and no Windows store does

    def of(self, host: Host) -> list[x509.Certificate]:
        """Return the certificates that carry a name of this server, oldest first."""
        wanted = {name.casefold() for name in host.names}
        every = ((one, Reading(one)) for one in self.certificates)
        named = ((one, {*map(str.casefold, (*it.names, *it.common_names))}) for one, it in every)
        mine = (one for one, names in named if wanted & names)
        return sorted(mine, key=lambda one: one.not_valid_before_utc)


def read_inheritance(job: Job, place: Path) -> Inheritance:
    """Read the files that another tool left; ValueError if no CA, or more than one, is among them.

    The password of a PFX or of an encrypted key is asked for, or taken from
    VMSCERT_INHERITED_PASSWORD.
    """
    if not place.is_dir():
        why = [one.detail for one in read(place).told] if place.is_file() else []
        text = "; ".join(why) or "name the one with the files of the other tool"
        raise ValueError(f"{place} is no folder: {text}")
    paths = {path: path.suffix.casefold() for path in files_below(place)}
    password = job.secret("INHERITED") if {*_KEYS} & {*paths.values()} else ""
    every: dict[x509.Certificate, None] = {}
    keys, locked, bare, odd = [], [], [], [tool_of(place)]
    for path, kind in paths.items():
        document = read(path, lambda _: password)
        found = document.certificates
        every |= dict.fromkeys(found)
        odd += (f"{path.name}: {one.detail}" for one in document.told if not found)
        keys.append(key := _opened(path, password))
        sealed = kind in _KEYS and b"ENCRYPTED" in read_foreign(path) and key is None
        if sealed or (kind in _PFX and not found):
            locked.append(path.name)
        if _opened(path, "") is not None:
            bare.append(path.name)
    ca = _the_ca(place, [*every], locked, "; ".join(filter(None, odd)))
    if isinstance(ca, StandIn):
        odd = "; ".join(ca.odd.values()) or "it is no DER"
        raise ValueError(f"The CA in {place} can't be used to sign: {odd}. Create a CA anew")
    mine = (one for one in keys if isinstance(one, RSAPrivateKey))
    key = next((one for one in mine if one.public_key() == ca.public_key()), None)
    of_it = (path for path, one in zip(paths, keys, strict=True) if one is not None and key
             and one.public_key() == key.public_key())  # fmt: skip
    in_pem = any(paths[path] not in _PFX for path in of_it)
    issued = (one for one in every if one != ca and is_signed_by(one, ca))
    return Inheritance(ca, key, tuple(issued), tuple(locked), tuple(bare), in_pem)


def _the_ca(
    place: Path, certificates: Sequence[x509.Certificate], locked: Sequence[str], odd: str
) -> x509.Certificate:
    """The one CA among them, which says so or has signed another; ValueError where none is it."""
    cas = [
        one
        for one in certificates
        if is_signed_by(one, one)
        and (Reading(one).is_ca or any(o != one and is_signed_by(o, one) for o in certificates))
    ]
    if len(cas) == 1:
        return cas[0]
    named = ", ".join(f"{c.subject.rfc4514_string()} {thumbprint(c)}" for c in cas) or "none"
    why = f". {odd}" if odd else ""
    why += f". The password does not open {', '.join(locked)}" if locked else ""
    if cas:
        why = ". The tool was used twice: put what belongs to each CA into a folder of its own"
    raise ValueError(f"{place} must hold one CA and what it issued, found: {named}{why}")


def _opened(path: Path, password: str) -> PrivateKeyTypes | None:
    """The private key in a file, with this password, or without one if the file has none."""
    data, kind = read_foreign(path), path.suffix.casefold()
    if not bearable(data):
        return None
    for secret in dict.fromkeys((password.encode() or None, None)):
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            if kind in _PFX:
                return pkcs12.load_key_and_certificates(data, secret)[0]
            if kind in _KEYS:
                return load_pem_private_key(data, secret)
    return None


def _of_the_ca(found: Inheritance, in_store: bool, stores: Iterable[Stores]) -> Iterator[str]:
    """The checks of data/inherited.csv that an inherited CA does not pass."""
    ca, read, key = found.ca, Reading(found.ca), found.ca.public_key()
    hashes = [Reading(one).signature_hash for one in (ca, *found.certificates)]
    held = [personal for one in stores for personal in one.user_personal]
    roots = [one for held in stores for one in (*held.trusted, *held.user_root)]
    wrong = {
        "short-root": (ca.not_valid_after_utc - ca.not_valid_before_utc).days < 2 * SERVER.days,
        "no-basic-constraints": not read.is_ca,
        "shared-name": ca.subject.rfc4514_string().startswith(f"CN={_GUIDE_CA}"),
        "root-purpose": read.get(x509.ExtendedKeyUsage) is not None,
        "odd-name": any(" " in name for name in read.names),
        "small-key": isinstance(key, RSAPublicKey) and key.key_size < _STRONG,
        "key-in-user-store": in_store or any(o.certificate == ca and o.has_key for o in held),
        "no-key": found.key is None,
        "sha-1": any(isinstance(one, SHA1) for one in hashes),
        # A root that a computer trusts has the name of this CA, and another key.
        "twin": any(o.subject == ca.subject and Reading(o).spki != read.spki for o in roots),
    }
    return (check for check, is_so in wrong.items() if is_so)


def _of_a_server(job: Job, found: Inheritance, host: Host) -> Iterator[str]:
    """The checks of data/inherited.csv that the newest certificate of a server does not pass."""
    if not (mine := found.of(host)):
        yield "no-certificate"
        return
    newest = mine[-1]
    if "extendedKeyUsage" in Reading(newest).critical:
        yield "critical-purpose"
    if newest.not_valid_after_utc > found.ca.not_valid_after_utc:
        yield "outlives-its-ca"
    judged = [diagnose([newest], name, [found.ca], job.at) for name in host.issued_names]
    bad = {one.code for answer in judged for one in answer.findings if one.severity == "bad"}
    if bad & {"name-mismatch", "no-san"} or not subject_names(newest):
        yield "lacks-names"
    if bad - {"name-mismatch", "no-san", "issuer-not-ca"}:
        yield "refused"


def _row(where: str, one: x509.Certificate) -> dict[str, str]:
    return {
        "where": where,
        "names": ", ".join(subject_names(one)) or one.subject.rfc4514_string(),
        "until": f"{one.not_valid_after_utc:%Y-%m-%d}",
        "private key": "stays where it is",
        "thumbprint": thumbprint(one),
    }


def inherited_example(job: Job) -> Path:
    """Write into a rehearsal's folder what another technician left a year ago; return the place.

    ValueError on a real site: there its own files are wanted.
    """
    if not job.rehearsal:
        raise ValueError("This is a real site: name the folder of the other tool's files (FILES)")
    place = job.records.folder / "inherited"
    if not place.exists():
        made, password = job.at - timedelta(days=300), job.secret("INHERITED")
        ca = _guide_ca(made + BACKDATE)
        files = {"ca-backup.pfx": ca.issued.pfx(password, "3DES")}
        files["ca_thumbprint.txt"] = thumbprint(ca.certificate).encode()
        files["root-authority-public.cer"] = ca.certificate.public_bytes(Encoding.DER)
        for host in job.site.servers:
            leaf = _guide_leaf(ca, host.names[:2], made + timedelta(days=2) + BACKDATE)
            files[f"{host.name}.pfx"] = leaf.pfx(password, "3DES")
        with job.records.lock():
            for name, data in files.items():
                write_once(place / name, data)
    return place


def _guide_ca(at: datetime) -> Authority:
    """A root as the guide's first script makes one: purposes, a name, no basic constraints."""
    ca = create_authority(_GUIDE_CA, at, replace(QUICK, days=_GUIDE_DAYS))
    purposes = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    name = x509.SubjectAlternativeName([x509.DNSName(_GUIDE_CA)])
    root = remade(ca.certificate, ca.key, having=usage, critical=True)
    root = remade(root, ca.key, having=x509.ExtendedKeyUsage(purposes))
    root = remade(root, ca.key, without=x509.BasicConstraints, having=name)
    return Authority(Issued(root, ca.key))


def _guide_leaf(ca: Authority, names: Sequence[str], at: datetime) -> Issued:
    """A certificate as the guide's second script makes one: it may outlive its CA."""
    issued = ca.issue(*names, at=at)
    end = issued.certificate.not_valid_before_utc + timedelta(days=_GUIDE_DAYS)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = remade(issued.certificate, ca.key, end=end, without=x509.BasicConstraints,
                  having=purpose, critical=True)  # fmt: skip
    return replace(issued, certificate=leaf, issuers=())


class Adopt(Runbook):
    """A CA that another tool made is known here: audited, watched, with a plan for its repair."""

    found: Inheritance

    def read(self, files: str) -> Parts:
        """What a folder of the other tool holds; a rehearsal makes one."""
        place = Path(files) if files else inherited_example(self.job)
        self.found = read_inheritance(self.job, place)
        name, number = self.found.ca.subject.rfc4514_string(), len(self.found.certificates)
        tool = tool_of(place)
        yield f"{name} and {number} certificates" + (f", in {tool}" if tool else "")

    def said(self, name: str, value: Any) -> Any:
        """As in any runbook; but a key that OpenSSL kept lies in nobody's store."""
        known = name == "key_in_user_store" and self.found.in_pem
        return value if known else super().said(name, value)

    def audit(self, key_in_user_store: bool | None = None) -> Parts:
        """All that is wrong with it, the most urgent first, and what to do.

        `key_in_user_store` is what no file tells: whether the key lies in somebody's
        CurrentUser\\My; an inventory of that computer shows it, too.
        """
        in_store = bool(self.said("key_in_user_store", key_in_user_store))
        job, found, rows = self.job, self.found, {row["check"]: row for row in facts("inherited")}
        stores = job.records.inventories().values()
        wrong = [("the CA", check) for check in _of_the_ca(found, in_store, stores)]
        wrong += [(name, "bare-key") for name in found.bare]
        wrong += [(name, "locked") for name in found.locked]
        for host in job.site.servers:
            wrong += [(host.name, check) for check in _of_a_server(job, found, host)]
        order, end = list(rows), found.ca.not_valid_after_utc
        first = min([end, *(one.not_valid_after_utc for one in found.certificates)])
        days = {"end": end, "by": end - timedelta(days=PLAN), "first": first}
        said = {name: f"{day:%Y-%m-%d}" for name, day in days.items()}
        told = [
            {
                "where": where,
                "what": row["what"] + doubt(row["tag"]),
                "why it matters": row["why"],
                "when": row["when"].format_map(said),
                "what to do": f"{row['remedy']} ({row['runbook']})",
            }
            for where, check in sorted(wrong, key=lambda pair: order.index(pair[1]))
            for row in [rows[check]]
        ]
        yield Rows(told, "Nothing is wrong.")

    def unmatched(self) -> Parts:
        """The certificates that no server of the table is called by: ask whose they are."""
        matched = {one for host in self.job.site.servers for one in self.found.of(host)}
        strange = (one for one in self.found.certificates if one not in matched)
        every = "Every certificate belongs to a computer of the table."
        yield Rows([_row("nobody in the table", one) for one in strange], every)

    def adopt(self) -> Parts:
        """File the CA and what it issued; what is here already stays.

        The CA's key is encrypted anew, under the password of the site's CA.
        """
        job, found = self.job, self.found
        job.permit()
        with job.records.lock():
            cas = job.state().cas
            if cas and found.ca not in cas.values():
                raise Stop(f"{job.folder} has another CA already: adopt into a new folder (FOLDER)")
            if not cas:
                authority = Authority(Issued(found.ca, found.key)) if found.key else None
                password = job.secret("CA", new=True) if authority else ""
                job.records.adopt(found.ca, authority, password, job.at)
            key = "encrypted anew" if found.key else "not here: this CA can't sign"
            rows = [_row("the CA", found.ca) | {"private key": key}]
            for host in job.site.servers:
                for one in found.of(host):
                    job.records.save_signed(host.name, Issued(one, None), at=job.at, action="adopt")
                    rows.append(_row(host.name, one))
        yield Rows(rows)

    def verify(self) -> Parts:
        """Read back from the files."""
        state, found = self.job.state(), self.found
        servers = (host for host in state.site.servers if found.of(host))
        lost = [host.name for host in servers if host.name not in state.current]
        filed = found.ca in state.cas.values()
        there = Check("the CA is filed", filed, "" if filed else "Run the cell above again")
        fitting = Check("every certificate that fits a server is filed", not lost, ", ".join(lost))
        yield Checks([there, fitting, unbroken(state)])

    def goes_dark(self) -> Parts:
        """What goes dark when, if nobody acts."""
        yield Rows(dark_to_come(self.job.state()), "Nothing goes dark.")
