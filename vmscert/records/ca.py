"""Where one CA lies: its certificate, and its private key, encrypted."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates import foreign
from vmscert.certificates.authority import Authority, load_authority
from vmscert.files import write_atomic, write_once
from vmscert.records.ledger import RUNBOOK_OF


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate of the records; ValueError in a sentence where it is none any more."""
    if (found := foreign.certificate(path.read_bytes())) is None:
        raise ValueError(f"{path} is damaged: restore it from the backup")
    return found


class CaFiles:
    """`ca.cer`, `ca.key` (encrypted PKCS #8), `ca.crl` of a folder; many CAs have no list.

    Who writes holds the lock of the records.
    """

    def __init__(self, folder: Path) -> None:
        self.cer, self.key, self.crl = (folder / f"ca.{kind}" for kind in ("cer", "key", "crl"))

    @property
    def complete(self) -> bool:
        """Whether certificate and key are there."""
        return self.cer.exists() and self.key.exists()

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate; FileNotFoundError or ValueError in a sentence where it can't be read."""
        if not self.cer.exists():
            made_by = RUNBOOK_OF["create CA"]["name"]
            raise FileNotFoundError(f"{self.cer} is missing: run {made_by} first")
        return read_certificate(self.cer)

    def open(self, password: str) -> Authority:
        """Open the CA; ValueError for a wrong password or a key of another certificate."""
        der = self.certificate.public_bytes(Encoding.DER)
        if not self.key.exists():
            raise FileNotFoundError(f"{self.key} is missing: restore it from the backup")
        return load_authority(der, self.key.read_bytes(), password)

    def write(self, certificate: x509.Certificate, encrypted_key: bytes | None) -> None:
        """Write a CA, its key last; a key that is there already is never overwritten."""
        write_atomic(self.cer, certificate.public_bytes(Encoding.DER))
        if encrypted_key is not None:
            write_once(self.key, encrypted_key)

    def move_to(self, folder: Path) -> None:
        """Move the files to a place that is free, the key first: what was begun can be gone on."""
        folder.mkdir(parents=True, exist_ok=True)
        for source in filter(Path.exists, (self.key, self.crl, self.cer)):
            target = folder / source.name
            if target.exists():
                raise FileExistsError(f"{target} exists: a CA is never overwritten")
            source.rename(target)
