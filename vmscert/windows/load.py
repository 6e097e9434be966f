"""What is to be carried to one computer."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from vmscert.site.site import Host


def numbered(stem: str, number: int, ending: str = "cer") -> str:
    """Return the name of the first, second … file of a kind: ca.cer, ca-2.cer."""
    return f"{stem}.{ending}" if number == 0 else f"{stem}-{number + 1}.{ending}"


@dataclass(frozen=True)
class Load:
    """What is to be carried to one computer, made at one time.

    `roots` are the CAs that it has to trust. A server has a certificate with its PFX, or without
    where the private key waits on the computer itself; as long as it has none, it is to make a
    request if `asks` is true. `superseded` are thumbprints of its older certificates. `switch_on`
    is its certificate groups, turn by turn: between two turns other computers have theirs;
    `switch_off` the order back. `old_roots` are CAs that were replaced: it is to trust them no
    longer. `barred` are certificates whose key was stolen: it is never to trust them again.
    """

    host: Host
    site: str
    made: datetime
    roots: tuple[x509.Certificate, ...]
    certificate: x509.Certificate | None = None
    intermediates: tuple[x509.Certificate, ...] = ()
    pfx: bytes = b""
    key: bytes = b""  # its private key in PEM, encrypted, where its roles want files
    asks: bool = False
    superseded: tuple[str, ...] = ()
    clock_source: str = ""
    switch_on: tuple[tuple[str, ...], ...] = ()
    switch_off: tuple[str, ...] = ()
    old_roots: tuple[x509.Certificate, ...] = ()
    barred: tuple[x509.Certificate, ...] = ()

    @property
    def authorities(self) -> dict[str, x509.Certificate]:
        """File name → certificate of every CA that the folder brings, and of what it bars."""
        stems = {"ca": self.roots, "intermediate": self.intermediates,
                 "old-ca": self.old_roots, "barred": self.barred}  # fmt: skip
        return {
            numbered(stem, n): one for stem, held in stems.items() for n, one in enumerate(held)
        }

    @property
    def kinds(self) -> set[str]:
        """The kinds of steps that this computer needs, as data/windows/steps.csv names them."""
        found = {
            "every": True,
            "server": self.certificate is not None,
            "pfx": bool(self.pfx),
            "csr": self.certificate is not None and not self.pfx,
            "chain": bool(self.intermediates),
            "superseded": bool(self.superseded),
            "old-root": bool(self.old_roots),
            "barred": bool(self.barred),
        }
        return {kind for kind, holds in found.items() if holds}
