"""The key that signs change records: Ed25519, encrypted, and not the CA's.

Who may close a change need not be able to sign certificates; and who has the CA can't rewrite what
others did with it.
"""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vmscert.certificates.keys import encrypt_key, open_key
from vmscert.changes.job import Job
from vmscert.files import write_atomic, write_once
from vmscert.records.evidence import PUBLIC, public_pem
from vmscert.records.folder import Records

_KEY = "record.key"
_MADE = "create record key"


def record_key(job: Job) -> Ed25519PrivateKey:
    """Return this site's record key; it is made, and noted in the ledger, when it is first needed.

    ValueError for a wrong password, RuntimeError if nobody is there to type one.
    """
    path = job.records.folder / _KEY
    password = job.secret("RECORD", new=not path.exists())
    with job.records.lock():
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            encrypted = encrypt_key(key, password)
            digest = sha256(public_pem(key)).hexdigest()
            note = f"SHA-256 {digest}"
            job.records.note(job.number, _MADE, at=job.at, note=note, digest=digest)
            write_atomic(path.with_name(PUBLIC), public_pem(key))
            write_once(path, encrypted)
    return open_record_key(job.records, password)


def open_record_key(records: Records, password: str) -> Ed25519PrivateKey:
    """Open the record key; ValueError in one sentence where it does not open."""
    path = records.folder / _KEY
    try:
        key = open_key(path.read_bytes(), password)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is not a key that signs records: restore it from the backup")
    return key


def known_keys(records: Records) -> set[str]:
    """Return the SHA-256 of every record.pem that the ledger knows."""
    return {entry.digest for entry in records.ledger.entries() if entry.action == _MADE}
