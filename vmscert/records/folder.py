"""The folder of one site: its CA, what was issued, what computers report, and the ledger.

    ca.cer                             public; goes to every computer
    ca.key                             PKCS #8, encrypted; goes nowhere
    ca.crl                             its revocation list, if it has one; public
    next/                              the CA that will take over, as long as both are trusted
    former/<thumbprint>/               a CA that signed before; former/record-<time>/, a record key
    servers/<host>/<thumbprint>.cer    what was issued; .pfx (.key) beside it; never overwritten
    hand-over/<host>/<date>/           what one person carries to one computer; never changed
    roll-out/<date>/                   the CA for many computers at once, and for phones
    drop/                              where people put what they bring back
    requests/<host>.req                what a computer asks for that made its own key
    inventory/<host>.json              what was found there
    acceptance/<sheet>.csv             what people saw after the handshakes, and who they were
    site.csv                           the site's table, as the last runbook read it
    ledger.csv, ledger.seal            the story, chained by hashes (.ledger.next: is being written)
    drills/<date>.json                 what a restore drill found
    changes/<date>-<runbook>/          the record of one change, which `sealed` describes
    .lock, .lock-<runbook>             who writes now; who has the change of a runbook

Files are the state, the ledger is the story. Everything is written whole, under a lock; every
certificate is in the ledger before it is in a file, so that none ever leaves the CA unrecorded.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import Authority, Issued, thumbprint
from vmscert.facts import DATA
from vmscert.files import (
    Claim,
    FolderLock,
    free,
    whoami,
    with_sums,
    write_atomic,
    write_folder,
    write_once,
)  # fmt: skip
from vmscert.names import iso
from vmscert.records.ca import CaFiles, read_certificate
from vmscert.records.ledger import RUNBOOK_OF, SEALED, Entry, Ledger
from vmscert.records.sealed import CLOSED_ALREADY, details, finish_signing, is_sealed, is_signing
from vmscert.windows.inventory import read_inventory, write_inventory
from vmscert.windows.stores import Stores

_DATED = re.compile(r"(\d{4}-\d\d-\d\d)(?:-(\d\d-[a-z-]*[a-z]))?(?:-(\d+))?")
_REHEARSAL = "REHEARSAL.txt"
_ISSUED = ("issue", "renew")  # with a key that is kept in a PFX
OF_OTHERS = ("receive", "adopt")  # that another CA signed, or this one before it was this site's
_CERTIFICATES = (*_ISSUED, "sign", *OF_OTHERS)  # of servers; the later ones have their keys there
CREATE_CA, ADOPT_CA, PROMOTE_CA = "create CA", "adopt CA", "promote CA"
LOSE_KEY = "lose the key of the CA"
ABANDON = "abandon"  # a certificate that never came to use, and never will
_NO_KEY = "without its key"


def certificate_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the lines of a ledger that tell of a server's certificate, oldest first."""
    return tuple(entry for entry in entries if entry.action in _CERTIFICATES)


def came_without_key(entries: Iterable[Entry]) -> bool:
    """Whether the CA was taken over without its key, or has lost it since."""
    made = [e for e in entries if e.action in (CREATE_CA, ADOPT_CA, PROMOTE_CA, LOSE_KEY)]
    return bool(made) and (made[-1].action == LOSE_KEY or made[-1].key == _NO_KEY)


class Records:
    """One site's folder; made when the first file is written."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.table = self.folder / "site.csv"  # as the last runbook read it
        if self.folder.is_file():
            raise NotADirectoryError(f"{self.folder} is a file: name a folder for the records")
        self.ledger = Ledger(self.folder)
        self._change, self._clock = "", None
        self._lock = FolderLock(self.folder)
        self._ca, self._next = CaFiles(self.folder), CaFiles(self.folder / "next")

    def within(self, change: str, clock: Callable[[], datetime] | None = None) -> "Records":
        """Return this folder, whose new lines are a change's and tell the time of `clock`."""
        mine = copy(self)
        mine._change, mine._clock = change, clock
        return mine

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out while files change; finish first what a killed run left half done."""
        with self._lock.hold() as newly:
            if newly:
                self._settle()
            yield

    @property
    def rehearsal(self) -> bool:
        """Whether this folder is a rehearsal's: simulated computers, a CA for nothing else."""
        return (self.folder / _REHEARSAL).exists()

    def begin_rehearsal(self) -> None:
        """Mark a new folder as a rehearsal's; ValueError when it holds a real site already."""
        if self.rehearsal:
            return
        if any(path.exists() for path in (self._ca.cer, self._ca.key, self.ledger.path)):
            elsewhere = "rehearse in another folder (--folder)"
            raise ValueError(f"{self.folder} holds a real site: {elsewhere}")
        write_atomic(self.folder / _REHEARSAL, (DATA / "change" / _REHEARSAL).read_bytes())

    def save_table(self, data: bytes) -> None:
        """Keep the table beside what was made from it."""
        with self.lock():
            write_atomic(self.table, data)

    # The CAs

    @property
    def has_authority(self) -> bool:
        """Whether the CA is complete: certificate and key."""
        return self._ca.complete

    @property
    def ca_certificate(self) -> x509.Certificate:
        """The CA that signs now; FileNotFoundError says which runbook makes it."""
        return self._ca.certificate

    @property
    def next_ca(self) -> x509.Certificate | None:
        """The CA that will take over, if there is one."""
        return self._next.certificate if self._next.complete else None

    @property
    def former_cas(self) -> tuple[x509.Certificate, ...]:
        """The CAs that signed before, oldest first."""
        found = (CaFiles(path.parent).certificate for path in self.folder.glob("former/*/ca.cer"))
        return tuple(sorted(found, key=lambda one: one.not_valid_before_utc))

    def authority(self, password: str) -> Authority:
        """Open the CA; ValueError for a wrong password or a key of another certificate."""
        if not self._ca.key.exists() and came_without_key(self.ledger.entries()):
            why = f"The key of the CA in {self._ca.cer} is not here, so it can't sign"
            raise FileNotFoundError(f"{why}: run {RUNBOOK_OF[PROMOTE_CA]['name']}")
        return self._ca.open(password)

    def save_authority(self, authority: Authority, password: str, at: datetime) -> None:
        """Write a new CA; FileExistsError when one is there, even half of one that was used."""
        key = authority.encrypted_key(password)
        with self.lock():
            used = any(one.action in (*_ISSUED, "sign") for one in self.ledger.entries())
            if self._ca.key.exists() or (self._ca.cer.exists() and used):
                restore = "If one of ca.cer and ca.key is missing, restore it from the backup"
                never = "its key is never overwritten"
                raise FileExistsError(f"{self.folder} has a CA already: {never}. {restore}")
            number = RUNBOOK_OF[CREATE_CA]["runbook"]
            if self._ca.cer.exists():
                why = "its key was not saved"
                self.note(number, ABANDON, self.ca_certificate, at=at, note=why)
            self.note(number, CREATE_CA, authority.certificate, at=at, note=authority.name)
            self._ca.write(authority.certificate, key)

    def adopt(
        self, ca: x509.Certificate, authority: Authority | None, password: str, at: datetime
    ) -> None:
        """Take over a CA that another tool made, with its key if it could be had; no second one."""
        key = authority.encrypted_key(password) if authority else None
        with self.lock():
            if self._ca.cer.exists():
                raise FileExistsError(f"{self.folder} has a CA already: adopt into a new folder")
            about = "with its key" if key else _NO_KEY
            note = f"{ca.subject.rfc4514_string()}, {about}"
            self.note("", ADOPT_CA, ca, at=at, note=note, key=about)
            self._ca.write(ca, key)

    def save_next(self, authority: Authority, password: str, at: datetime) -> None:
        """Write the CA that will take over; FileExistsError when one is waiting already."""
        key = authority.encrypted_key(password)
        with self.lock():
            if self._next.key.exists():
                raise FileExistsError(f"{self._next.key} exists: a CA is waiting to take over")
            self.note("", "create next CA", authority.certificate, at=at, note=authority.name)
            self._next.write(authority.certificate, key)

    def promote(self, at: datetime) -> None:
        """Let the next CA sign from now on; the one before stays in `former/`."""
        with self.lock():
            if self.next_ca is None:
                missing = f"{self._next.cer} is missing"
                raise FileNotFoundError(f"{missing}: no CA is waiting to take over")
            self.note("", PROMOTE_CA, self.next_ca, at=at, note="signs from now on")
            self._settle()

    def _settle(self) -> None:
        """Finish a signature and a promotion as the ledger tells it, where a killed run left it."""
        if is_signing(changes := self.folder / "changes"):
            finish_signing(changes, {e.digest for e in self.ledger.entries() if e.action == SEALED})
        if not self._next.cer.exists():  # moves last: as long as it waits, there is something to do
            return
        promoted = [e.thumbprint for e in self.ledger.entries() if e.action == PROMOTE_CA]
        if promoted[-1:] == [thumbprint(self._next.certificate)]:
            if self._ca.cer.exists():
                self._ca.move_to(self.folder / "former" / thumbprint(self._ca.certificate))
            self._next.move_to(self.folder)

    # Server certificates

    def save(
        self, host: str, issued: Issued, password: str, encryption: str, *, at: datetime,
        runbook: str = "", action: str = "issue", pem: bool = False,
    ) -> Path:  # fmt: skip
        """Record and write one server's certificate and PFX, whose path is returned.

        With `pem` its key is kept in PEM, too, under the same password. `runbook` as in `note`.
        """
        pfx = issued.pfx(password, encryption)
        key = issued.encrypted_key(password) if pem else b""
        path = self.certificate_file(host, thumbprint(issued.certificate))
        about = {"note": f"PFX {encryption}" + (", ends with the CA" if issued.capped else "")}
        about |= {"host": host, "encryption": encryption}
        with self.lock():
            self.note(runbook, action, issued.certificate, at=at, **about)
            write_once(path, issued.certificate.public_bytes(Encoding.DER))
            if pem:
                write_once(path.with_suffix(".key"), key)
            write_once(path.with_suffix(".pfx"), pfx)
        return path.with_suffix(".pfx")

    def save_signed(
        self, host: str, issued: Issued, *, at: datetime, runbook: str = "", action: str = "sign"
    ) -> Path:
        """Record and write a certificate whose key is on its computer, with the CAs above it."""
        path = self.certificate_file(host, thumbprint(issued.certificate))
        above = b"".join(one.public_bytes(Encoding.PEM) for one in issued.issuers)
        with self.lock():
            if action != "adopt" or not path.exists():
                about = {"host": host, "note": "key stays there"}
                self.note(runbook, action, issued.certificate, at=at, **about)
            if above:
                write_once(path.with_suffix(".issuers.pem"), above)
            write_once(path, issued.certificate.public_bytes(Encoding.DER))
        return path

    def abandoned(self) -> tuple[Entry, ...]:
        """Return certificates that a killed run recorded but that never became complete files."""
        entries = self.ledger.entries()
        told = {one.thumbprint for one in entries if one.action == ABANDON}
        known = (one for one in certificate_entries(entries) if one.thumbprint not in told)
        return tuple(one for one in known if not self.is_complete(one))

    def certificate_file(self, host: str, label: str) -> Path:
        """Return where the certificate with this thumbprint lies."""
        return self.folder / "servers" / host / f"{label}.cer"

    def is_complete(self, entry: Entry) -> bool:
        """Whether the certificate of which a line tells is on disk, with its key if it was made."""
        path = self.certificate_file(entry.host, entry.thumbprint)
        kept_there = entry.action not in _ISSUED
        return path.exists() and (kept_there or path.with_suffix(".pfx").exists())

    # What goes out and what comes back

    def hand_over(self, host: str, files: Mapping[str, bytes], at: datetime) -> Path:
        """Make a new folder for one computer, with its list of SHA-256; older ones stay as is."""
        return self._write_dated(self.folder / "hand-over" / host, files, at)

    def roll_out(self, files: Mapping[str, bytes], at: datetime) -> Path:
        """Return the newest roll-out folder if it holds just these files, else a new one."""
        newest = newest_folder(self.folder / "roll-out")
        if newest and {p.name: p.read_bytes() for p in newest.iterdir()} == with_sums(files):
            return newest
        return self._write_dated(self.folder / "roll-out", files, at)

    def _write_dated(self, place: Path, files: Mapping[str, bytes], at: datetime) -> Path:
        with self.lock():
            folder = free(place / f"{at:%Y-%m-%d}")
            write_folder(folder, with_sums(files))
        return folder

    def dropped(self) -> list[Path]:
        """Return the files that people put into the folder `drop`; make it if it is missing."""
        place = self.folder / "drop"
        place.mkdir(parents=True, exist_ok=True)
        return sorted(path for path in place.iterdir() if not path.is_dir())

    def put_away(self, path: Path) -> None:
        """Move a dropped file that was taken in to `drop/taken`; nothing there is overwritten."""
        with self.lock():
            taken = self.folder / "drop" / "taken"
            taken.mkdir(exist_ok=True)
            path.rename(free(taken / path.name))

    def save_request(self, host: str, csr: x509.CertificateSigningRequest) -> None:
        """Keep what a computer asks for, unless it is answered; the newest request counts."""
        if not self.is_answered(host, csr):
            path = self.folder / "requests" / f"{host}.req"
            with self.lock():
                write_atomic(path, csr.public_bytes(Encoding.PEM))

    def refuse_request(self, host: str) -> None:
        """Put a request aside that can't be signed: its computer is asked again."""
        with self.lock():
            path = self.folder / "requests" / f"{host}.req"
            path.rename(free(path.with_name(f"{host}.refused.req")))

    def is_answered(
        self, host: str, csr: x509.CertificateSigningRequest, opened=read_certificate
    ) -> bool:
        """Tell whether a certificate for the key of this request was issued already."""
        made, key = self.folder.glob(f"servers/{host}/*.cer"), csr.public_key()
        return any(opened(path).public_key() == key for path in made)

    def save_inventory(self, stores: Stores) -> None:
        """Keep what a computer reported, and its request with it; neither if that can't be read."""
        host, request = stores.host, stores.request
        try:
            csr = x509.load_pem_x509_csr(request.encode()) if request else None
        except ValueError:
            wrong = f"The request of {host} can't be read"
            raise ValueError(f"{wrong}: run request.ps1 there again") from None
        with self.lock():
            write_atomic(self.folder / "inventory" / f"{host}.json", write_inventory(stores))
            if csr is not None:
                self.save_request(host, csr)

    def inventory(self, host: str) -> Stores | None:
        """Return what a computer's inventory file says, if one came back."""
        path = self.folder / "inventory" / f"{host}.json"
        return read_inventory(path) if path.exists() else None

    def inventories(self) -> dict[str, Stores]:
        """Return host → what its inventory file says; ValueError names a file that won't open."""
        found = map(read_inventory, sorted(self.folder.glob("inventory/*.json")))
        return {stores.host: stores for stores in found}

    # The story

    def keep(self, folder: Path, name: str, data: bytes) -> Path:
        """Keep a file; one of that name stays, the new gets a number.

        One of a change goes to its details. ValueError where it is closed: nothing is added there.
        """
        with self.lock():
            if is_sealed(folder):
                raise ValueError(f"{folder.name} {CLOSED_ALREADY}")
            place = details(folder) if folder.parent == self.folder / "changes" else folder
            write_once(path := free(place / name), data)
        return path

    def new_change(self, runbook: str, at: datetime) -> Path:
        """Make the folder for a change that begins: `changes/<date>-<runbook>/`."""
        with self.lock():
            folder = free(self.folder / "changes" / f"{at:%Y-%m-%d}-{runbook}")
            folder.mkdir(parents=True)
        return folder

    def changes(self, runbook: str = "") -> list[Path]:
        """Return the folders of all changes, or of those with one runbook, oldest first."""
        found = _dated(self.folder / "changes")
        return [path for _, name, _, path in found if name and runbook in ("", name)]

    def owner(self, runbook: str) -> Claim:
        """Return who has the change of a runbook that is under way, to ask or to become it."""
        return Claim(self.folder / f".lock-{runbook[:2]}")

    def note(
        self, runbook: str, action: str, certificate: x509.Certificate | None = None, /,
        *, at: datetime, **about: str,
    ) -> None:  # fmt: skip
        """Add one line to the ledger; `about` names other columns of it.

        `runbook` is the number of the one that did it; empty for the one whose deed it is, if any.
        """
        runbook = runbook or RUNBOOK_OF.get(action, {}).get("runbook", "")
        if certificate is not None:
            about["serial"] = f"{certificate.serial_number:X}"
            about["thumbprint"] = thumbprint(certificate)
            about["not_after"] = iso(certificate.not_valid_after_utc)
        self.note_all([Entry(iso(at), runbook, action, **about)])

    def note_all(self, entries: Iterable[Entry]) -> None:
        """Add lines to the ledger, all or none, with who writes them and for which change."""
        told = {"change": self._change, **whoami()}
        if self._clock:
            told["time"] = iso(self._clock())
        with self.lock():
            self.ledger.append(*(replace(entry, **told) for entry in entries))


def newest_folder(place: Path) -> Path | None:
    """Return the newest folder of a date in a place; the tenth of a day comes after the second."""
    return next((path for _, name, _, path in reversed(_dated(place)) if not name), None)


def _dated(place: Path) -> list[tuple[str, str, int, Path]]:
    """The (day, runbook or nothing, number, folder) of a place, oldest first; no copy of a hand."""
    named = ((_DATED.fullmatch(path.name), path) for path in place.glob("*/"))
    return sorted((name[1], name[2] or "", int(name[3] or 1), path) for name, path in named if name)
