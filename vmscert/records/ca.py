"""Where one CA lies: its certificate, and its private key, encrypted."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import Authority, load_authority
from vmscert.facts import runbook_name
from vmscert.files import write_atomic, write_once


@dataclass(frozen=True)
class CaFiles:
    """`ca.cer`, `ca.key`, `ca.crl` of a folder. Who writes holds the lock of the records."""

    folder: Path

    @property
    def cer(self) -> Path:
        """The certificate, DER: public."""
        return self.folder / "ca.cer"

    @property
    def key(self) -> Path:
        """The private key, encrypted PKCS #8."""
        return self.folder / "ca.key"

    @property
    def crl(self) -> Path:
        """The newest revocation list, DER: public; many CAs have none."""
        return self.folder / "ca.crl"

    @property
    def complete(self) -> bool:
        """Whether both are there."""
        return self.cer.exists() and self.key.exists()

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate; FileNotFoundError or ValueError in a sentence where it can't be read."""
        if not self.cer.exists():
            raise FileNotFoundError(f"{self.cer} is missing: run {runbook_name('11')} first")
        try:
            return x509.load_der_x509_certificate(self.cer.read_bytes())
        except ValueError:
            raise ValueError(f"{self.cer} is damaged: restore it from the backup") from None

    def open(self, password: str) -> Authority:
        """Open the CA; ValueError for a wrong password or a key of another certificate."""
        certificate = self.certificate
        if not self.key.exists():
            raise FileNotFoundError(f"{self.key} is missing: restore it from the backup")
        der = certificate.public_bytes(Encoding.DER)
        return load_authority(der, self.key.read_bytes(), password)

    def write(self, certificate: x509.Certificate, encrypted_key: bytes | None) -> None:
        """Write a CA, its key last; a key that is there already is never overwritten."""
        write_atomic(self.cer, certificate.public_bytes(Encoding.DER))
        if encrypted_key is not None:
            write_once(self.key, encrypted_key)

    def move_to(self, other: "CaFiles") -> None:
        """Move the files to a place that is free, the key first: what was begun can be gone on."""
        other.folder.mkdir(parents=True, exist_ok=True)
        mine, others = (self.key, self.crl, self.cer), (other.key, other.crl, other.cer)
        for source, target in zip(mine, others, strict=True):
            if source.exists():
                if target.exists():
                    raise FileExistsError(f"{target} exists: a CA is never overwritten")
                source.rename(target)
