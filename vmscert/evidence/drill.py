"""The restore drill: a backup of a site's folder proves, on a copy, that the site can live from it.

All happens in a temporary folder; the backup is only read. Proven is that the key opens, that what
it signs is accepted over TLS, and that nothing is missing or contradicts the ledger.
"""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

from vmscert.certificates.authority import read_pfx
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.keys import decrypt_key
from vmscert.changes.change import MADE_KEY
from vmscert.changes.errands import loads
from vmscert.changes.job import RUNBOOK_FOR
from vmscert.evidence.proof import certificate_problems
from vmscert.facts import facts, pfx_encryption
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


def restore_drill(
    backup: Path, records: Records | None, password: str, at: datetime, *, pfx_password: str = ""
) -> list[Check]:
    """Try on a copy whether a site could live from the backup of its folder; the backup stays.

    `records` is the site's own folder: the backup is compared with it, and the result goes into
    its ledger and its changes. Without `pfx_password` no PFX is opened. ValueError if the backup
    is not one of a site's folder, or is that folder itself.
    """
    if not any((backup / name).exists() for name in ("ca.cer", "ledger.csv")):
        about = f"{backup} holds neither ca.cer nor ledger.csv"
        raise ValueError(f"{about}: name the backup of a site's folder")
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
        checks = [*_Trial(copy, records, password, pfx_password, at).checks()]
    if records is not None:
        bad = "; ".join(check.what for check in checks if not check.ok)
        result, whole = ("failed", f"failed: {bad}") if bad else ("passed", "passed")
        told = {"drill": iso(at), "backup": str(backup.resolve()), "result": whole,
                "looked at": [asdict(check) for check in checks]}  # fmt: skip
        data = json.dumps(told, indent=1, ensure_ascii=False).encode()
        note = f"restore drill {whole}, {len(checks)} checks"
        records.note("", DRILL, at=at, note=note, result=result)
        records.keep(records.folder / "drills", f"{at:%Y-%m-%d}.json", data)
    return checks


@dataclass(frozen=True)
class _Trial:
    """A copy of a backup, on which all is tried: a look returns what is wrong and what to do."""

    copy: Records
    own: Records | None
    password: str
    pfx_password: str
    at: datetime

    def checks(self) -> Iterator[Check]:
        """What should hold, and what was found, in words that fit a backup."""
        looks: dict[str, Callable[[], str | None] | None] = {
            "the ledger is unbroken": self.ledger,
            "it tells all that the site's own ledger tells": self.as_far if self.own else None,
            "the key of the CA opens and belongs to its certificate": self.opens,
            "files and ledger tell the same certificates": self.tallies,
            "no serial number was given twice": self.serials,
            "table and inventories can be read": self.readable,
            "the newest PFX of every server opens": self.pfx_files if self.pfx_password else None,
            "it issues a certificate that a client accepts over TLS": self.issues,
            "a folder for a computer can be packed": self.packs,
        }
        for what, look in looks.items():
            if look is None:
                continue
            try:
                problem = look() or ""
            except (ValueError, LookupError, OSError, RuntimeError) as error:
                problem = str(error)
            problem = problem.replace(f"{self.copy.folder}{os.sep}", "")
            problem = problem.replace("from the backup", "from another backup")
            yield Check(what, not problem, problem)

    @property
    def site(self) -> Site:
        return read_site(self.copy.table)

    @property
    def server(self) -> Host:
        """One server, if possible one whose key is made here."""
        return min(self.site.servers, key=lambda host: host.enrolment != PFX)

    def ledger(self) -> str:
        if not self.copy.ledger.path.exists():
            return "ledger.csv is not in the backup: nobody can tell what was issued"
        return "; ".join(self.copy.ledger.problems())

    def as_far(self) -> str:
        """What the site's own ledger tells and the backup does not; a drill changes no file."""
        assert self.own
        held, known = self.copy.ledger.entries(), self.own.ledger.entries()
        same = len([*takewhile(lambda pair: pair[0] == pair[1], zip(held, known, strict=False))])
        if same < len(held):
            return f"the two ledgers differ from line {same + 2} on: is it the backup of this site?"
        lost = [entry for entry in known[same:] if entry.action != DRILL]
        if not lost:
            return ""
        hosts = ", ".join(dict.fromkeys(e.host for e in certificate_entries(lost)))
        what = f", with the certificates of {hosts}" if hosts else ""
        since = f"{len(lost)} line{'s' * (len(lost) > 1)} since {lost[0].day} would be lost"
        return f"{since}{what}: copy the site's folder again, all of it"

    def opens(self) -> str | None:
        keyless = came_without_key(self.copy.ledger.entries())
        for ca in (CaFiles(self.copy.folder), CaFiles(self.copy.folder / "next")):
            if ca.cer.exists() and not ca.key.exists() and not keyless:
                return f"{ca.key} is not in the backup: nothing could be renewed from this backup"
            if ca.complete:
                ca.open(self.password)
        self.copy.authority(self.password)

    def tallies(self) -> str:
        broken, entries = self.copy.abandoned(), self.copy.ledger.entries()
        lines = [f"servers/{one.host}/{one.thumbprint} is not whole" for one in broken]
        lines += certificate_problems(self.copy, entries)
        keys = any(one.action == MADE_KEY for one in entries)
        if keys and not (self.copy.folder / "record.key").exists():
            lines.append("record.key is missing")
        return f"{'; '.join(lines)}: copy the folder again, all of it" if lines else ""

    def serials(self) -> str:
        given = defaultdict(set)
        for entry in certificate_entries(self.copy.ledger.entries()):
            if entry.action not in OF_OTHERS:  # other CAs have serial numbers of their own
                given[entry.serial].add(entry.thumbprint)
        twice = ", ".join(serial for serial, labels in given.items() if len(labels) > 1)
        return f"{twice} stands for two certificates: run {RUNBOOK_FOR['CA']}" if twice else ""

    def readable(self) -> None:
        read_site(self.copy.table)
        self.copy.inventories()

    def pfx_files(self) -> str:
        bad, state = [], read_state(self.copy, Site("", ()), self.at)
        for host, path in (*state.pfx.items(), *state.keys.items()):
            try:
                if path.suffix == ".pfx":
                    read_pfx(path, self.pfx_password)
                else:
                    decrypt_key(path.read_bytes(), self.pfx_password)
            except ValueError as error:
                told = str(error).removeprefix(f"{path.name}: ")
                bad.append(f"{host}, {path.name}: {told}")
        rows = facts("change/runbooks")
        made = [r["runbook"] for r in rows if r["phase"] == "request" or "server" in r["ends"]]
        more = f"Each run of {' and '.join(made)} has a password of its own; lost: vmscert lost"
        return f"{'; '.join(bad)}. {more}" if bad else ""

    def issues(self) -> str:
        """Renew the certificate of one server, and let a client call it."""
        host, authority = self.server, self.copy.authority(self.password)
        password, encryption = token_urlsafe(18), pfx_encryption(self.server.windows)
        new = authority.issue(*host.issued_names, at=self.at)
        path = self.copy.save(host.name, new, password, encryption, at=self.at, action="renew")
        issued, roots = read_pfx(path, password, *new.issuers), [authority.certificate]
        diagnoses = [diagnose(issued.chain, name, roots, self.at) for name in host.issued_names]
        bad = [f.detail for one in diagnoses if not one.trusted for f in one.findings]
        return "; ".join(dict.fromkeys(bad)) or handshake(issued, roots, host.issued_names[0]).error

    def packs(self) -> None:
        for load in loads(read_state(self.copy, self.site, self.at), [self.server]):
            pack(load)
