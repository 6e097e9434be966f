"""A run of runbooks 11 to 16 in a process of its own, which dies at the n-th file it writes.

Only what costs time is left out: keys are handed in and not checked again, passwords are stretched
less, and nothing waits for the disk. A run that lives can leave, beside its folder, what one that
was killed at some of its writes would have left.
"""

import json
import os
import shutil
import signal
import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from vmscert import files
from vmscert.certificates import authority
from vmscert.certificates import keys as key_file
from vmscert.certificates.authority import Issued
from vmscert.changes.record import close
from vmscert.network import servers as simulate
from vmscert.records.folder import Records
from vmscert.records.ledger import Ledger
from vmscert.runbooks.stages import open_job, runbook_of


def run(folder, table, at, keys, passwords, die_at=0, writes=None, leave=0):
    """Rehearse the site in this folder; die in the middle of write `die_at`, counted from 1.

    Of every `leave`-th write a folder `killed-<number>` is left, with half of it.
    """
    made = iter([load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
                 for der in keys] * 9)  # fmt: skip
    authority.new_key = lambda _bits: next(made)
    key_file.ROUNDS = 10
    simulate.read_pfx = lambda pfx, _password: _beside(folder, pfx)
    files.os.fsync = _mortal(die_at, writes, leave, Ledger(folder))
    os.environ.update(passwords)
    Records(folder).begin_rehearsal()
    job = open_job("16-verify-the-site", table, folder, at)
    runbook = runbook_of(job)
    list(runbook.plan())
    close(runbook.job, "looked")


def _beside(folder, pfx):
    (path,) = folder.glob(f"servers/*/{pfx.stem}.cer")
    return Issued(x509.load_der_x509_certificate(path.read_bytes()), None)


def hold(folder, ready, seconds):
    """Keep the folder locked, and nothing else."""
    with Records(folder).lock():
        ready.set()
        time.sleep(seconds)


def _mortal(die_at, writes, leave, ledger):
    """What stands for os.fsync: it counts, and once it cuts in half what was written and kills."""
    count = iter(range(1, 10_000))

    def fsync(number):
        nth, folder = next(count), ledger.path.parent
        if writes is not None:
            writes.value = nth
        half = (_kept(number, ledger) + os.fstat(number).st_size) // 2
        if nth == die_at:
            os.ftruncate(number, half)
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        if leave and nth % leave == 1:
            left = folder.with_name(f"killed-{nth}")
            shutil.copytree(folder, left, ignore=shutil.ignore_patterns(".lock*"))
            files = (path for path in folder.rglob("*") if path.is_file())
            same = next(p for p in files if os.path.samestat(os.fstat(number), p.stat()))
            os.truncate(left / same.relative_to(folder), half)

    return fsync


def _kept(number, ledger):
    """How many bytes of a file were there before: of all but the ledger a draft is written."""
    if not ledger.path.exists() or not os.path.samestat(os.fstat(number), ledger.path.stat()):
        return 0
    lines = json.loads(ledger.seal.read_bytes())["lines"]
    return len(b"".join(ledger.path.read_bytes().splitlines(keepends=True)[: 1 + lines]))
