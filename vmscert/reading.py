"""Reads what a technician has at hand: certificate files, PFX files, a site's folder, its table."""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from vmscert.authority import subject_names
from vmscert.check import check_ca, check_site
from vmscert.records import Records
from vmscert.site import read_site
from vmscert.trust import Finding, diagnose

AskPassword = Callable[[Path], str]
# What can't be judged of a certificate alone, when nobody says which CA the clients trust.
_NEEDS_A_ROOT = {"untrusted-root", "missing-intermediate"}


def read_certificates(path: Path, ask: AskPassword) -> list[x509.Certificate]:
    """Return the certificates in a .cer, .crt, .pem or .pfx file, in their order.

    `ask` is called for the password of a PFX. Raises ValueError with one sentence for anything
    else, FileNotFoundError for a path that leads nowhere.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}. Check the path") from None
    if path.suffix.lower() in (".pfx", ".p12"):
        return _from_pfx(path, data, ask(path))
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        raise ValueError(
            f"{path.name} holds no certificate that can be read: a .cer, .pem or .pfx is wanted"
        ) from None


def check_path(
    path: Path, roots: Iterable[x509.Certificate], name: str, at: datetime, ask: AskPassword
) -> tuple[str, list[Finding]]:
    """Return what a path is, in a few words, and the findings about it."""
    if path.is_dir():
        return _check_folder(path, at)
    if path.suffix.lower() == ".csv":
        site = read_site(path)
        return f"a site of {len(site)} computers, {len(site.connections)} connections", []
    return _check_chain(read_certificates(path, ask), list(roots), name, at)


def labelled(path: Path, ask: AskPassword) -> list[tuple[str, x509.Certificate]]:
    """Return (label, certificate) for every certificate in a file or in a site's folder."""
    if not path.is_dir():
        return [(_label(one), one) for one in read_certificates(path, ask)]
    records = Records(path)
    return [("CA", records.ca_certificate), *records.current().items()]


def _check_folder(path: Path, at: datetime) -> tuple[str, list[Finding]]:
    """A site's folder: its CA, and what computers reported against its table."""
    records = Records(path)
    findings = check_ca(records.ca_certificate, at)
    site = read_site(records.table)
    findings += check_site(site, records.inventories(), at)
    return (
        f"a site's folder: {len(site)} computers, {len(records.current())} certificates",
        findings,
    )


def _check_chain(
    chain: list[x509.Certificate], roots: list[x509.Certificate], name: str, at: datetime
) -> tuple[str, list[Finding]]:
    leaf = chain[0]
    names = subject_names(leaf)
    if _is_root(leaf) and len(chain) == 1 and not names:
        return f"a CA certificate, {_label(leaf)}", check_ca(leaf, at)
    diagnosis = diagnose(chain, name or (names[0] if names else _label(leaf)), roots, at)
    findings = [f for f in diagnosis.findings if roots or f.code not in _NEEDS_A_ROOT]
    untold = "" if roots else "; which CA clients trust was not told (--root)"
    return f"a certificate for {', '.join(names) or _label(leaf)}{untold}", findings


def _from_pfx(path: Path, data: bytes, password: str) -> list[x509.Certificate]:
    try:
        _, leaf, others = pkcs12.load_key_and_certificates(data, password.encode())
    except ValueError:
        raise ValueError(f"{path.name}: the password is wrong, or the file is no PFX") from None
    if leaf is None:
        raise ValueError(f"{path.name} holds no certificate")
    return [leaf, *others]


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def _label(certificate: x509.Certificate) -> str:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else f"serial {certificate.serial_number:X}"
