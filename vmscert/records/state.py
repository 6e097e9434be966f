"""One site as its folder told it at one moment: every file read once, and nothing changes any more.

Whatever only looks takes a `State`. Whatever acts makes a new one before it looks again.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from itertools import takewhile
from pathlib import Path

from cryptography import x509

from vmscert.certificates.authority import is_signed_by, thumbprint
from vmscert.records.ca import CaFiles, read_certificate
from vmscert.records.folder import (
    ABANDON,
    Records,
    came_without_key,
    certificate_entries,
    newest_folder,
)
from vmscert.records.ledger import BAR, SWITCH_OFF, SWITCH_ON, Entry, Ledger
from vmscert.site.site import Site
from vmscert.windows.stores import Stores


@dataclass(frozen=True, eq=False)
class State:
    """What a site's table, ledger, CAs, certificates and inventories say at one moment.

    `issued` are the lines of the ledger whose certificates are whole in files, oldest first, and
    `certificates` (host, thumbprint) → the certificate of such a line. The others are by host, but
    for `lists`, file name → the bytes of a revocation list.
    """

    site: Site  # without a computer where no table is there
    at: datetime
    folder: Path
    story: str  # the ledger as it stands in its file
    entries: tuple[Entry, ...]
    ca: x509.Certificate | None  # signs now
    has_authority: bool  # whether its key is here, too
    next_ca: x509.Certificate | None
    former_cas: tuple[x509.Certificate, ...]  # oldest first
    issued: tuple[Entry, ...]
    certificates: Mapping[tuple[str, str], x509.Certificate]
    above: Mapping[str, tuple[x509.Certificate, ...]]  # host → the CAs that came with its newest
    pfx: Mapping[str, Path]  # with the key of its newest certificate, where it is here
    keys: Mapping[str, Path]  # the same in PEM
    requests: Mapping[str, x509.CertificateSigningRequest]  # that nobody has answered
    inventories: Mapping[str, Stores]
    unheard: Mapping[str, str]  # computer → why its inventory tells nothing
    lists: Mapping[str, bytes]
    handed_over: Mapping[str, Path]  # the newest folder that was made for it

    @property
    def crl(self) -> x509.CertificateRevocationList | None:
        """The newest revocation list of the CA that signs now, if there is one."""
        data = self.lists.get("ca.crl")
        return x509.load_der_x509_crl(data) if data else None

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each line of the ledger that was changed, removed, added or moved."""
        return Ledger(self.folder).problems(self.story)

    @property
    def signing_ca(self) -> x509.Certificate:
        """The CA that signs now; FileNotFoundError says which runbook makes it."""
        return self.ca or CaFiles(self.folder).certificate

    @cached_property
    def adopted_without_key(self) -> bool:
        """Whether the CA was taken over without its key, or has lost it; not once it is back."""
        return not self.has_authority and came_without_key(self.entries)

    @cached_property
    def cas(self) -> dict[str, x509.Certificate]:
        """Label → every CA of this site: "CA" signs now, the others will or did."""
        found = {"CA": self.ca, "next CA": self.next_ca}
        found |= {f"former CA {thumbprint(one)[:8]}": one for one in self.former_cas}
        return {label: one for label, one in found.items() if one is not None}

    def issuer_of(self, certificate: x509.Certificate) -> x509.Certificate | None:
        """Return which CA of this site signed a certificate, if one did."""
        return next((ca for ca in self.cas.values() if is_signed_by(certificate, ca)), None)

    @cached_property
    def thumbprints(self) -> dict[str, str]:
        """Host → the thumbprint of its newest certificate that is complete on disk."""
        return {entry.host: entry.thumbprint for entry in self.issued}

    @cached_property
    def current(self) -> dict[str, x509.Certificate]:
        """Host → the newest certificate that was issued and is complete on disk."""
        return {host: self.certificates[host, one] for host, one in self.thumbprints.items()}

    @cached_property
    def issuers(self) -> dict[str, tuple[x509.Certificate, ...]]:
        """Host → the CAs above its newest certificate, nearest first, root last."""
        return {
            host: self.above.get(host) or (self.issuer_of(one) or self.signing_ca,)
            for host, one in self.current.items()
        }

    @cached_property
    def asked_since(self) -> dict[str, datetime]:
        """Host → since when its request, which nobody has answered, is here."""
        found: dict[str, datetime] = {}
        for entry in self.entries:
            if entry.action in ("sign", "receive", "refuse") or entry.command == "request.ps1":
                found.pop(entry.host, None)
            elif entry.action in ("brought back", "simulated") and entry.host in self.requests:
                found.setdefault(entry.host, datetime.fromisoformat(entry.time))
        return found

    @cached_property
    def met_cas(self) -> tuple[x509.Certificate, ...]:
        """Every CA that the site's computers trust or know, and those above its certificates."""
        held = ((*one.trusted, *one.intermediate) for one in self.inventories.values())
        return tuple(dict.fromkeys(one for part in (*self.issuers.values(), *held) for one in part))

    @cached_property
    def superseded(self) -> dict[str, tuple[str, ...]]:
        """Host → the thumbprints of its older certificates, oldest first, if it has any."""
        labels: dict[str, dict[str, None]] = defaultdict(dict)
        for entry in self.issued:
            labels[entry.host][entry.thumbprint] = None
        return {host: tuple(found)[:-1] for host, found in labels.items() if len(found) > 1}

    @cached_property
    def barred(self) -> tuple[tuple[x509.Certificate, str], ...]:
        """(certificate, its server or nothing for a CA) of everything that was barred."""
        cas = {thumbprint(ca): ca for ca in self.cas.values()}
        return tuple(
            (self.certificates[e.host, e.thumbprint] if e.host else cas[e.thumbprint], e.host)
            for e in self.entries
            if e.action == BAR
        )

    @cached_property
    def switched_off(self) -> tuple[Entry, ...]:
        """The lines that say that encryption was to go off, since it was last to be on."""
        told = [one for one in self.entries if one.action in (SWITCH_OFF, SWITCH_ON)]
        later = takewhile(lambda one: one.action == SWITCH_OFF, reversed(told))
        return tuple(later)[::-1]

    @cached_property
    def pfx_encryptions(self) -> dict[str, str]:
        """Host → encryption of the PFX of its newest complete certificate."""
        noted = {(entry.host, entry.thumbprint): entry.encryption for entry in self.issued}
        return {host: noted[host, path.stem] for host, path in self.pfx.items()}


def read_state(records: Records, site: Site, at: datetime) -> State:
    """Read the folder of a site; ValueError names a file that can't be read."""
    folder, story = records.folder, records.ledger.text()
    entries, file = records.ledger.entries(story), records.certificate_file
    said = {(e.host, e.thumbprint): e.action for e in entries}  # last: it may be adopted again
    known = (e for e in certificate_entries(entries) if said[e.host, e.thumbprint] != ABANDON)
    issued = tuple(filter(records.is_complete, known))
    newest = {entry.host: file(entry.host, entry.thumbprint) for entry in issued}
    told = (*issued, *(entry for entry in entries if entry.action == BAR and entry.host))
    opened = cache(read_certificate)
    pfx, paths = _beside(newest, ".pfx"), folder.glob("requests/*.req")
    asked = {p.stem: x509.load_pem_x509_csr(p.read_bytes()) for p in paths if p.stem in site}
    made = {place.name: newest_folder(place) for place in folder.glob("hand-over/*")}
    ca = records.ca_certificate if CaFiles(folder).cer.exists() else None
    reported = records.inventories()
    unheard = {name: why for name, held in reported.items() if (why := too_old(held, ca))}
    # The folder of a certificate that was given up since is of no use to anybody.
    last = {e.host: e.action for e in entries if e.action in ("hand over", ABANDON)}
    return State(
        site=site,
        at=at,
        folder=folder,
        story=story,
        entries=entries,
        ca=ca,
        has_authority=records.has_authority,
        next_ca=records.next_ca,
        former_cas=records.former_cas,
        issued=issued,
        certificates={(e.host, e.thumbprint): opened(file(e.host, e.thumbprint)) for e in told},
        above={
            host: tuple(x509.load_pem_x509_certificates(path.read_bytes()))
            for host, path in _beside(newest, ".issuers.pem").items()
        },
        pfx=pfx,
        keys=_beside(pfx, ".key"),
        requests={h: csr for h, csr in asked.items() if not records.is_answered(h, csr, opened)},
        inventories={name: held for name, held in reported.items() if name not in unheard},
        unheard=unheard,
        lists={path.name: path.read_bytes() for path in sorted(folder.glob("*.crl"))},
        handed_over={h: one for h, one in made.items() if one and last.get(h) != ABANDON},
    )


def too_old(held: Stores, ca: x509.Certificate | None) -> str:
    """Return why an inventory tells nothing of a site with this CA, or nothing."""
    if ca is None or held.at >= (born := ca.not_valid_before_utc):
        return ""
    return f"is of {held.at:%Y-%m-%d}, before there was the CA, which is of {born:%Y-%m-%d}"


def _beside(paths: Mapping[str, Path], suffix: str) -> dict[str, Path]:
    """Host → the file of this kind beside its file, where there is one."""
    found = {host: path.with_suffix(suffix) for host, path in paths.items()}
    return {host: path for host, path in found.items() if path.exists()}
