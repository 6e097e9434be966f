"""What the guide's two scripts leave behind, for a rehearsal: a CA of one year, and what it issued.

As integrators reprint the older edition: no basicConstraints, a name that every site shares, and
an extended key usage that is critical.
"""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmscert.certificates.authority import Issued, new_key, request, thumbprint
from vmscert.changes.job import Job
from vmscert.files import write_once

_NAME = "VMS Certificate Authority"
_YEAR = timedelta(days=365)


def inherited_example(job: Job) -> Path:
    """Write into a rehearsal's folder what another technician left a year ago; return the place.

    ValueError on a real site: there its own files are wanted.
    """
    if not job.rehearsal:
        raise ValueError("This is a real site: name the folder of the other tool's files (FILES)")
    place = job.records.folder / "inherited"
    if not place.exists():
        _write(job, place)
    return place


def _write(job: Job, place: Path) -> None:
    made, key, password = job.at - timedelta(days=300), new_key(2048), job.secret("INHERITED")
    root = _root(key, made)
    with job.records.lock():
        for host in job.site.servers:
            leaf = _leaf(host.names[:2], root, key, made + timedelta(days=2))
            write_once(place / f"{host.name}.pfx", leaf.pfx(password, "3DES"))
        write_once(place / "ca-backup.pfx", Issued(root, key).pfx(password, "3DES"))
        write_once(place / "ca_thumbprint.txt", thumbprint(root).encode())
        from cryptography.hazmat.primitives.serialization import Encoding

        write_once(place / "root-authority-public.cer", root.public_bytes(Encoding.DER))


def _root(key: RSAPrivateKey, at: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return (
        _builder(name, name, key.public_key(), at)
        .add_extension(_usage("digital_signature", "key_cert_sign", "crl_sign"), True)
        .add_extension(x509.ExtendedKeyUsage(purposes), False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, SHA256())
    )


def _leaf(
    names: tuple[str, ...], root: x509.Certificate, ca_key: RSAPrivateKey, at: datetime
) -> Issued:
    csr, key = request(*names)
    san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = (
        _builder(csr.subject, root.subject, key.public_key(), at)
        .add_extension(_usage("digital_signature", "key_encipherment"), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True)
        .add_extension(san, False)
        .add_extension(above, False)
        .sign(ca_key, SHA256())
    )
    return Issued(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: RSAPublicKey, at: datetime
) -> x509.CertificateBuilder:
    serial = x509.random_serial_number()
    return x509.CertificateBuilder(issuer, subject, key, serial, at, at + _YEAR)


def _usage(*wanted: str) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in wanted for name in every})
