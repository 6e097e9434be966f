"""A CA that another tool made: audited, taken over, and how it is repaired without an outage."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmscert.agenda.gather import dark_to_come
from vmscert.certificates.authority import (
    SERVER,
    Authority,
    Issued,
    is_signed_by,
    new_key,
    request,
    subject_names,
    thumbprint,
)
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.reading import Reading
from vmscert.changes.job import Job, Stop
from vmscert.checks.documents import files_below, read
from vmscert.checks.expiry import PLAN
from vmscert.facts import doubt, facts
from vmscert.files import write_once
from vmscert.findings import Check
from vmscert.runbooks.stages import Checks, Parts, Rows, Runbook
from vmscert.site.site import Host
from vmscert.windows.stores import Stores

# What the guide's two scripts leave behind, as integrators reprint the older edition: no
# basicConstraints, a name that every site shares, a critical extended key usage.
_GUIDE_CA, _YEAR = "VMS Certificate Authority", timedelta(days=365)
_GUIDE_NAME = f"CN={_GUIDE_CA}"
_STRONG = 3072  # bits, as check_ca has it
_KEYS = (".pfx", ".p12", ".key", ".pem")


@dataclass(frozen=True)
class Inheritance:
    """What a folder of another tool holds: the CA, its key if it is there, and what it issued.

    `locked` are the names of files that did not open, `bare` those with a key that no password
    protects.
    """

    ca: x509.Certificate
    key: RSAPrivateKey | None
    certificates: tuple[x509.Certificate, ...]
    locked: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()

    def of(self, host: Host) -> tuple[x509.Certificate, ...]:
        """Return the certificates that carry a name of this server, oldest first."""
        wanted = {name.casefold() for name in host.names}
        mine = [one for one in self.certificates if wanted & _names(one)]
        return tuple(sorted(mine, key=lambda one: one.not_valid_before_utc))


def read_inheritance(job: Job, folder: str | Path) -> Inheritance:
    """Read the files that another tool left; ValueError if no CA, or more than one, is among them.

    The password of a PFX or of an encrypted key is asked for, or taken from
    VMSCERT_INHERITED_PASSWORD.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"{place} is no folder: name the one with the files of the other tool")
    paths = [path for path in files_below(place) if path.is_file()]
    locked = any(path.suffix.casefold() in _KEYS for path in paths)
    password = job.secret("INHERITED") if locked else ""
    every = (one for path in paths for one in read(path, lambda _: password).certificates)
    certificates = list(dict.fromkeys(every))
    locked = [path.name for path in paths if _stays_shut(path, password)]
    ca = _the_ca(place, certificates, locked)
    issued = (one for one in certificates if one != ca and is_signed_by(one, ca))
    bare = (path.name for path in paths if _opened(path, "") is not None)
    key = _key_of(ca, paths, password)
    return Inheritance(ca, key, tuple(issued), tuple(locked), tuple(bare))


def _the_ca(
    place: Path, certificates: list[x509.Certificate], locked: list[str]
) -> x509.Certificate:
    """The one CA among them; ValueError that says why nobody can tell which it is."""
    cas = [one for one in certificates if is_signed_by(one, one) and _signs(one, certificates)]
    if len(cas) == 1:
        return cas[0]
    named = ", ".join(f"{c.subject.rfc4514_string()} {thumbprint(c)}" for c in cas) or "none"
    why = f". The password does not open {', '.join(locked)}" if locked else ""
    if len(cas) > 1:
        why = ". The tool was used twice: put what belongs to each CA into a folder of its own"
    raise ValueError(f"{place} must hold one CA and what it issued, found: {named}{why}")


def audit(job: Job, found: Inheritance, key_in_user_store: bool = False) -> list[dict[str, str]]:
    """Return all that is wrong with an inherited CA and its certificates, and what to do first.

    `key_in_user_store` is what no file tells: whether the key lies in somebody's CurrentUser\\My;
    an inventory of that computer shows it, too.
    """
    stores = list(job.records.inventories().values())
    wrong = [("the CA", check) for check in _of_the_ca(found, key_in_user_store, stores)]
    wrong += [(name, "bare-key") for name in found.bare]
    wrong += [(name, "locked") for name in found.locked]
    for host in job.site.servers:
        wrong += [(host.name, check) for check in _of_a_server(job, found, host)]
    rows = {row["check"]: row for row in facts("inherited")}
    order = list(rows)
    wrong.sort(key=lambda pair: order.index(pair[1]))
    end = found.ca.not_valid_after_utc
    first = min([end, *(one.not_valid_after_utc for one in found.certificates)])
    days = {"end": end, "by": end - timedelta(days=PLAN), "first": first}
    said = {name: f"{day:%Y-%m-%d}" for name, day in days.items()}
    return [
        {
            "where": where,
            "what": row["what"] + doubt(row["tag"]),
            "why it matters": row["why"],
            "when": row["when"].format_map(said),
            "what to do": f"{row['remedy']} ({row['runbook']})",
        }
        for where, check in wrong
        for row in (rows[check],)
    ]


def adopt(job: Job, found: Inheritance) -> list[dict[str, str]]:
    """Take over the CA and what it issued into the records; one row for each certificate.

    The CA's key is encrypted anew, under the password of the site's CA. What is here already stays.
    """
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
    return rows


def unmatched(job: Job, found: Inheritance) -> list[dict[str, str]]:
    """Return the certificates that no server of the table is called by: ask whose they are."""
    matched = {one for host in job.site.servers for one in found.of(host)}
    return [_row("nobody in the table", one) for one in found.certificates if one not in matched]


def _of_the_ca(found: Inheritance, in_store: bool, stores: Iterable[Stores]) -> Iterator[str]:
    ca, key = found.ca, found.ca.public_key()
    if ca.not_valid_after_utc - ca.not_valid_before_utc < timedelta(days=2 * SERVER.days):
        yield "short-root"
    if not _says_ca(ca):
        yield "no-basic-constraints"
    if ca.subject.rfc4514_string().startswith(_GUIDE_NAME):
        yield "shared-name"
    if _extension(ca, x509.ExtendedKeyUsage):
        yield "root-purpose"
    if any(" " in name for name in Reading(ca).names):
        yield "odd-name"
    if isinstance(key, RSAPublicKey) and key.key_size < _STRONG:
        yield "small-key"
    held = (personal for one in stores for personal in one.user_personal)
    if in_store or any(one.certificate == ca and one.has_key for one in held):
        yield "key-in-user-store"
    if found.key is None:
        yield "no-key"
    if any(isinstance(one.signature_hash_algorithm, SHA1) for one in (ca, *found.certificates)):
        yield "sha-1"
    roots = (one for held in stores for one in (*held.trusted, *held.user_root))
    if any(one.subject == ca.subject and Reading(one).spki != Reading(ca).spki for one in roots):
        yield "twin"  # a root that a computer trusts has the name of this CA, and another key


def _of_a_server(job: Job, found: Inheritance, host: Host) -> Iterator[str]:
    mine = found.of(host)
    if not mine:
        yield "no-certificate"
        return
    newest = mine[-1]
    purpose = _extension(newest, x509.ExtendedKeyUsage)
    if purpose is not None and purpose.critical:
        yield "critical-purpose"
    if newest.not_valid_after_utc > found.ca.not_valid_after_utc:
        yield "outlives-its-ca"
    judged = [diagnose([newest], name, [found.ca], job.at) for name in host.issued_names]
    bad = {one.code for answer in judged for one in answer.findings if one.severity == "bad"}
    if bad & {"name-mismatch", "no-san"} or not subject_names(newest):
        yield "lacks-names"
    if {one for one in bad if one not in ("name-mismatch", "no-san", "issuer-not-ca")}:
        yield "refused"


def _row(where: str, one: x509.Certificate) -> dict[str, str]:
    return {
        "where": where,
        "names": ", ".join(subject_names(one)) or one.subject.rfc4514_string(),
        "until": f"{one.not_valid_after_utc:%Y-%m-%d}",
        "private key": "stays where it is",
        "thumbprint": thumbprint(one),
    }


def _names(certificate: x509.Certificate) -> set[str]:
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    told = (*Reading(certificate).names, *(str(one.value) for one in common))
    return {name.casefold() for name in told}


def _signs(ca: x509.Certificate, certificates: Iterable[x509.Certificate]) -> bool:
    """Whether it is a CA: it says so, as newer ones do, or it has signed another certificate."""
    return _says_ca(ca) or any(one != ca and is_signed_by(one, ca) for one in certificates)


def _says_ca(certificate: x509.Certificate) -> bool:
    found = _extension(certificate, x509.BasicConstraints)
    return found is not None and found.value.ca


def _extension(certificate: x509.Certificate, kind: type) -> x509.Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None


def _key_of(ca: x509.Certificate, paths: Iterable[Path], password: str) -> RSAPrivateKey | None:
    """The CA's private key, out of a PFX or an encrypted key file, if one of them opens."""
    for path in paths:
        key = _opened(path, password)
        if isinstance(key, RSAPrivateKey) and key.public_key() == ca.public_key():
            return key
    return None


def _opened(path: Path, password: str) -> PrivateKeyTypes | None:
    """The private key in a file, with this password, or without one if the file has none."""
    data, kind = path.read_bytes(), path.suffix.casefold()
    for secret in dict.fromkeys((password.encode() or None, None)):
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            if kind in (".pfx", ".p12"):
                return pkcs12.load_key_and_certificates(data, secret)[0]
            if kind in _KEYS:
                return load_pem_private_key(data, secret)
    return None


def _stays_shut(path: Path, password: str) -> bool:
    """Whether a file has a password, and another one."""
    kind = path.suffix.casefold()
    if kind in (".pfx", ".p12"):
        return not read(path, lambda _: password).certificates
    is_key = kind in _KEYS and b"ENCRYPTED" in path.read_bytes()
    return is_key and _opened(path, password) is None


def verify_adoption(job: Job, found: Inheritance) -> list[Check]:
    """Return what must hold once a CA was taken over, read back from the files."""
    state = job.state()
    lost = [h.name for h in job.site.servers if found.of(h) and h.name not in state.current]
    problems = "; ".join(state.problems)
    adopted = found.ca in state.cas.values()
    return [
        Check("the CA is filed", adopted, "" if adopted else "Run the cell above again"),
        Check("every certificate that fits a server is filed", not lost, ", ".join(lost)),
        Check("the ledger is unbroken", not problems, problems),
    ]


def inherited_example(job: Job) -> Path:
    """Write into a rehearsal's folder what another technician left a year ago; return the place.

    ValueError on a real site: there its own files are wanted.
    """
    if not job.rehearsal:
        raise ValueError("This is a real site: name the folder of the other tool's files (FILES)")
    place = job.records.folder / "inherited"
    if not place.exists():
        _leave_behind(job, place)
    return place


def _leave_behind(job: Job, place: Path) -> None:
    made, key, password = job.at - timedelta(days=300), new_key(2048), job.secret("INHERITED")
    root = _guide_root(key, made)
    with job.records.lock():
        for host in job.site.servers:
            leaf = _guide_leaf(host.names[:2], root, key, made + timedelta(days=2))
            write_once(place / f"{host.name}.pfx", leaf.pfx(password, "3DES"))
        write_once(place / "ca-backup.pfx", Issued(root, key).pfx(password, "3DES"))
        write_once(place / "ca_thumbprint.txt", thumbprint(root).encode())
        write_once(place / "root-authority-public.cer", root.public_bytes(Encoding.DER))


def _guide_root(key: RSAPrivateKey, at: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _GUIDE_CA)])
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return (
        _builder(name, name, key.public_key(), at)
        .add_extension(_usage("digital_signature", "key_cert_sign", "crl_sign"), True)
        .add_extension(x509.ExtendedKeyUsage(purposes), False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_GUIDE_CA)]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, SHA256())
    )


def _guide_leaf(
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


class Adopt(Runbook):
    """A CA that another tool made is known here: audited, watched, with a plan for its repair."""

    found: Inheritance

    def read(self, files: str) -> Parts:
        """What a folder of the other tool holds; a rehearsal makes one."""
        self.found = read_inheritance(self.job, files or inherited_example(self.job))
        name, number = self.found.ca.subject.rfc4514_string(), len(self.found.certificates)
        yield f"{name} and {number} certificates"

    def audit(self, key_in_user_store: bool) -> Parts:
        """All that is wrong with it, the most urgent first."""
        yield Rows(audit(self.job, self.found, key_in_user_store), "Nothing is wrong.")

    def unmatched(self) -> Parts:
        """The certificates of no server of the table."""
        every = "Every certificate belongs to a computer of the table."
        yield Rows(unmatched(self.job, self.found), every)

    def adopt(self) -> Parts:
        """File the CA and its certificates."""
        yield Rows(adopt(self.job, self.found))

    def verify(self) -> Parts:
        """Read back from the files."""
        yield Checks(verify_adoption(self.job, self.found))

    def goes_dark(self) -> Parts:
        """What goes dark when, if nobody acts."""
        yield Rows(dark_to_come(self.job.state()), "Nothing goes dark.")
