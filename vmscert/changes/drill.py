"""The restore drill: a backup of a site's folder proves, on a copy, that the site can live from it.

Everything happens in a temporary folder that is gone afterwards; the backup is only read. What is
proven is that the key opens, that a certificate which it signs is accepted over TLS, and that
nothing in the folder is missing or contradicts the ledger.
"""

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

from vmscert.certificates.authority import Authority, read_pfx
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.keys import decrypt_key
from vmscert.changes.change import known_keys
from vmscert.changes.errands import loads
from vmscert.facts import pfx_encryption, runbook_name
from vmscert.findings import Check
from vmscert.names import iso
from vmscert.network.tls import handshake
from vmscert.records.ca import CaFiles
from vmscert.records.folder import OF_OTHERS, Records, came_without_key, certificate_entries
from vmscert.records.ledger import DRILL
from vmscert.records.state import read_state
from vmscert.site.site import PFX, Host, Site
from vmscert.site.table import read_site
from vmscert.windows.folder import pack


@dataclass(frozen=True)
class _Restored:
    """A copy of the backup on which everything is tried, and the passwords for it."""

    records: Records
    password: str
    pfx_password: str
    at: datetime

    def authority(self) -> Authority:
        return self.records.authority(self.password)

    def site(self) -> Site:
        return read_site(self.records.table)


def restore_drill(
    backup: Path, records: Records | None, password: str, at: datetime, *, pfx_password: str = ""
) -> list[Check]:
    """Try on a copy whether a site could live from the backup of its folder; the backup stays.

    `records` is the site's own folder: the backup is compared with it, and the result goes into
    its ledger and its changes. Without `pfx_password` no PFX is opened. ValueError if the backup
    is not one of a site's folder, or is that folder itself.
    """
    if not any((backup / name).exists() for name in ("ca.cer", "ledger.csv")):
        raise ValueError(
            f"{backup} holds neither ca.cer nor ledger.csv: name the backup of a site's folder"
        )
    if records is not None and backup.resolve() == records.folder.resolve():
        raise ValueError(f"{backup} is the site's own folder: name its backup, in another place")
    if records is not None and not records.ledger.path.exists():
        raise ValueError(f"{records.folder} holds no ledger.csv: name the site's own folder")
    with TemporaryDirectory(prefix="vmscert-drill-") as place:
        copy = Records(Path(place) / backup.resolve().name)
        try:
            shutil.copytree(backup, copy.folder, ignore=shutil.ignore_patterns(".lock*"))
        except shutil.Error as error:
            source, _, why = error.args[0][0]
            raise OSError(f"{source} can't be read: {why}. Is the medium sound?") from None
        restored = _Restored(copy, password, pfx_password, at)
        checks = [_tried(what, look, copy) for what, look in _looks(restored, records)]
    if records is not None:
        _record(records, backup, checks, at)
    return checks


def _tried(what: str, look: Callable[[], str], copy: Records) -> Check:
    """Take a look and say what it found, in words that fit a backup."""
    try:
        problem = look()
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        problem = str(error)
    problem = problem.replace(f"{copy.folder}{os.sep}", "")
    problem = problem.replace("from the backup", "from another backup")
    return Check(what, not problem, problem)


def _looks(restored: _Restored, records: Records | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield what should hold, and what looks: nothing if it holds, else why not and what to do."""
    copy = restored.records
    yield "the ledger is unbroken", partial(_ledger, copy)
    if records is not None:
        yield "it tells all that the site's own ledger tells", partial(_as_far, copy, records)
    yield "the key of the CA opens and belongs to its certificate", partial(_opens, restored)
    yield "files and ledger tell the same certificates", partial(_tallies, copy)
    yield "no serial number was given twice", partial(_serials, copy)
    yield "table and inventories can be read", partial(_readable, restored)
    if restored.pfx_password:
        yield "the newest PFX of every server opens", partial(_pfx_files, restored)
    yield "it issues a certificate that a client accepts over TLS", partial(_issues, restored)
    yield "a folder for a computer can be packed", partial(_packs, restored)


def _ledger(copy: Records) -> str:
    if not copy.ledger.path.exists():
        return "ledger.csv is not in the backup: nobody can tell what was issued"
    return "; ".join(copy.ledger.problems())


def _as_far(copy: Records, records: Records) -> str:
    """What the site's own ledger tells and the backup does not; a drill changes no file of it."""
    held, known = copy.ledger.entries(), records.ledger.entries()
    same = len([*takewhile(lambda pair: pair[0] == pair[1], zip(held, known, strict=False))])
    if same < len(held):
        return f"the two ledgers differ from line {same + 2} on: is it the backup of this site?"
    lost = [entry for entry in known[same:] if entry.action != DRILL]
    if not lost:
        return ""
    hosts = ", ".join(dict.fromkeys(e.host for e in certificate_entries(lost)))
    what = f", with the certificates of {hosts}" if hosts else ""
    since = f"{len(lost)} line{'s' * (len(lost) > 1)} since {lost[0].day}"
    return f"{since} would be lost{what}: copy the site's folder again, all of it"


def _opens(restored: _Restored) -> str:
    copy = restored.records
    for ca in (CaFiles(copy.folder), CaFiles(copy.folder / "next")):
        if ca.cer.exists() and not ca.key.exists() and not came_without_key(copy.ledger.entries()):
            return f"{ca.key} is not in the backup: nothing could be renewed from this backup"
        if ca.complete:
            ca.open(restored.password)
    restored.authority()
    return ""


def _tallies(copy: Records) -> str:
    told = {(e.host, e.thumbprint) for e in certificate_entries(copy.ledger.entries())}
    lines = [f"servers/{one.host}/{one.thumbprint} is not whole" for one in copy.abandoned()]
    for path in sorted(copy.folder.glob("servers/*/*.cer")):
        if (path.parent.name, path.stem) not in told:
            lines.append(f"{path} is in no line")
        # Its name is its SHA-1, as Windows shows it.
        if hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest().upper() != path.stem:
            lines.append(f"{path} is damaged")
    if known_keys(copy) and not (copy.folder / "record.key").exists():
        lines.append("record.key is missing")
    return f"{'; '.join(lines)}: copy the folder again, all of it" if lines else ""


def _serials(copy: Records) -> str:
    given = defaultdict(set)
    for entry in certificate_entries(copy.ledger.entries()):
        if entry.action not in OF_OTHERS:  # other CAs have serial numbers of their own
            given[entry.serial].add(entry.thumbprint)
    twice = [serial for serial, labels in given.items() if len(labels) > 1]
    told = f"{', '.join(twice)} stands for two certificates: run {runbook_name('18')}"
    return told if twice else ""


def _readable(restored: _Restored) -> str:
    restored.site()
    restored.records.inventories()
    return ""


def _pfx_files(restored: _Restored) -> str:
    bad, state = [], read_state(restored.records, Site("", ()), restored.at)
    for host, path in state.pfx.items():
        try:
            read_pfx(path, restored.pfx_password)
        except ValueError as error:
            bad.append(f"{host}, {error}")
    for host, path in state.keys.items():
        try:
            decrypt_key(path.read_bytes(), restored.pfx_password)
        except ValueError as error:
            bad.append(f"{host}, {path.name}: {error}")
    return f"{'; '.join(bad)}. Each run of 12 and 17 has a password of its own" if bad else ""


def _issues(restored: _Restored) -> str:
    """Renew the certificate of one server, as runbook 17 does, and let a client call it."""
    host, authority = _server(restored.site()), restored.authority()
    password, at = token_urlsafe(18), restored.at
    new = authority.issue(*host.issued_names, at=at)
    path = restored.records.save(
        host.name, new, password, pfx_encryption(host.windows), at=at, action="renew"
    )
    issued, roots = read_pfx(path, password, *new.issuers), [authority.certificate]
    diagnoses = [diagnose(issued.chain, name, roots, at) for name in host.issued_names]
    bad = [f.detail for one in diagnoses if not one.trusted for f in one.findings]
    return "; ".join(dict.fromkeys(bad)) or handshake(issued, roots, host.issued_names[0]).error


def _packs(restored: _Restored) -> str:
    site = restored.site()
    for load in loads(read_state(restored.records, site, restored.at), [_server(site)]):
        pack(load)
    return ""


def _server(site: Site) -> Host:
    """One server, if possible one whose key is made here."""
    return min(site.servers, key=lambda host: host.enrolment != PFX)


def _record(records: Records, backup: Path, checks: list[Check], at: datetime) -> None:
    """Write the result into the site's ledger, and what was looked at beside its changes."""
    bad = "; ".join(check.what for check in checks if not check.ok)
    result, whole = ("failed", f"failed: {bad}") if bad else ("passed", "passed")
    told = {"drill": iso(at), "backup": str(backup.resolve()), "result": whole}
    told |= {"looked at": [asdict(check) for check in checks]}
    data = json.dumps(told, indent=1, ensure_ascii=False).encode()
    note = f"restore drill {whole}, {len(checks)} checks"
    records.note("", DRILL, at=at, note=note, result=result)
    records.keep(records.folder / "drills", f"{at:%Y-%m-%d}.json", data)
