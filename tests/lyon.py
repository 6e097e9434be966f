"""A small real site of each way to a certificate: what people would carry, carried by tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from types import SimpleNamespace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import QUICK, create_authority, new_key, request
from vmscert.changes.errands import hand_over
from vmscert.changes.job import Job
from vmscert.changes.rehearsal import simulated
from vmscert.checks.lacks import issued_findings
from vmscert.practice.faults import remade
from vmscert.records.folder import Records
from vmscert.records.state import read_state
from vmscert.runbooks import certificates
from vmscert.runbooks.certificates import issue_certificates, sign_requests
from vmscert.runbooks.returns import take_each
from vmscert.runbooks.stages import STAGES, Runbook, runbook_of
from vmscert.runbooks.visits import Encrypt
from vmscert.site.site import CSR, THIRD_PARTY, Host, Site
from vmscert.windows.inventory import write_inventory

AT = datetime(2026, 11, 23, 22, tzinfo=UTC)
DAY = timedelta(days=1)
CA_PASSWORD = "canary of the CA 7f3a"
PFX_PASSWORD = "canary of the PFX 9c1e"
CLUSTER = ("vms.lyon.local", "10.0.0.9")  # name and address that nodes share
MS = Host("ms", "lyon.local", roles=("management server",), owner="IT")
REC = Host("rec-1", "lyon.local", addresses=("10.0.0.2",), roles=("recording server",), owner="IT",
           enrolment=CSR)  # fmt: skip
MOB = Host("mob", "lyon.local", ("video.example.com",), roles=("mobile server",), owner="DMZ",
           enrolment=THIRD_PARTY)  # fmt: skip
PC = Host("pc-1", "lyon.local", roles=("smart client",), owner="Guards")
WEB = Host("web-1", "lyon.local", roles=("web client",), owner="Guards")
SITE = Site("lyon", (MS, REC, MOB, PC, WEB))


@cache
def key(word):
    """One key for each word, made once."""
    return new_key(2048)


@cache
def site_ca():
    return create_authority("Lyon VMS root 2026", AT, QUICK, key("ca"))


def crl(authority, at, days, number=7):
    """The revocation list of a CA that has revoked nothing, for some days from `at`."""
    builder = x509.CertificateRevocationListBuilder(
        authority.certificate.subject, at, at + days * DAY
    ).add_extension(x509.CRLNumber(number), critical=False)
    return builder.sign(authority.key, SHA256())


def secrets(monkeypatch):
    """Let runs find their passwords, and cost less than they should."""
    monkeypatch.setenv("VMSCERT_CA_PASSWORD", CA_PASSWORD)
    monkeypatch.setenv("VMSCERT_PFX_PASSWORD", PFX_PASSWORD)
    monkeypatch.setattr("vmscert.certificates.keys.ROUNDS", 10)
    monkeypatch.setattr("vmscert.runbooks.replace.ROOT", QUICK)
    made = count()
    monkeypatch.setattr(
        "vmscert.certificates.authority.new_key", lambda _bits: key(f"server {next(made)}")
    )


class Approved:
    """Stands for a change that somebody approved, where that is not what is tested."""

    folder = None
    plan = SimpleNamespace(lines=0)

    def demand(self, job):
        pass


def open_lyon(folder, number="16", site=SITE, issued=True):
    """A job on a real site that has a CA and the certificates that it makes itself."""
    records = Records(folder)
    records.save_authority(site_ca(), CA_PASSWORD, AT)
    runbook = STAGES[number]["name"] if number in STAGES else "16-verify"
    job = Job(runbook, site, records, AT, change=Approved())
    if issued:
        issue_certificates(job, PFX_PASSWORD)
    return job


def seen(records, site=SITE):
    """What the folder of a site says now."""
    return read_state(records, site, AT)


def numbered(job, number):
    return replace(job, runbook=STAGES[number]["name"])


def changed(job, name, **parts):
    """The job, after somebody changed one computer's line of the table."""
    host = replace(job.site[name], **parts)
    hosts = (host if one.name == name else one for one in job.site)
    return replace(job, site=replace(job.site, hosts=tuple(hosts)))


def told(parts, number=0):
    """What one part of what a runbook tells holds: its rows, checks or findings."""
    return next(iter(vars([*parts][number]).values()))


def plan_change(job, due=(), **parameters):
    """The plan of a job's runbook; `due` are the servers that runbook 17 has found to be."""
    runbook = runbook_of(job)
    runbook.due = list(due)
    return next(Runbook.plan(runbook, **parameters))


def precheck(job):
    return told(Runbook(job).precheck())


def verify_stage(job):
    return told(Runbook(job).verify())


def create_ca(job, **parameters):
    list(certificates.CreateTheCa(job, parameters).create_ca())


def switching_checks(job):
    return told(Encrypt(job).ready(job.state()))


def plan_certificates(job):
    return told(certificates.CreateCertificates(job).look())


def check_issued(job):
    state = job.state()
    return list(issued_findings(state))


def receive(job, host, answer):
    """Keep another CA's answer to what a server asked for."""
    return certificates.receive(job, host, job.state().requests[host], answer)


def take_back(job, name, data):
    """Keep one file that somebody brought; ValueError says why it was not kept."""
    ((sentence, kept),) = take_each(job, [(name, data)])
    if not kept:
        raise ValueError(sentence.removeprefix("not kept: "))
    return sentence


def visit(job, errand, script="install", **more):
    """Run a script of an errand's folder on a simulated computer, and report back."""
    here = simulated(job, job.site[errand.host])
    try:
        here.run(job.records.folder / errand.folder / f"{script}.ps1", job.at, PFX_PASSWORD, **more)
    finally:
        job.records.save_inventory(here.stores(job.at))


def carry_out(job):
    """Do all that runbooks 12 to 15 leave to people, with every way to a key."""
    for errand in hand_over(job, "request"):
        visit(job, errand, script="request")
    sign_requests(job)
    root, between = other_ca()
    leaf = root.sign(job.state().requests.get("mob"), job.site["mob"].issued_names, AT).certificate
    leaf = remade(leaf, key("issuing"), issuer=between.subject)
    receive(job, "mob", (leaf, between, root.certificate))
    for phase, more in (("trust", {}), ("import", {}), ("encrypt", {"phase": "Encrypt"})):
        for errand in hand_over(job, phase):
            visit(job, errand, **more)


def csr_of(host, *names, word=""):
    """A request for the names of a computer, or for these, in PEM."""
    csr, _ = request(*(names or host.issued_names), key=key(word or host.name))
    return csr.public_bytes(Encoding.PEM)


def inventory_of(job, name, **parts):
    """The inventory that a computer writes now, with some parts changed."""
    return write_inventory(replace(simulated(job, job.site[name]).stores(job.at), **parts))


@cache
def other_ca(at=AT):
    """A root of somebody else, and the CA below it that answers requests."""
    root = create_authority("Other root", at, QUICK, key("other root"))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Other issuing CA")])
    between = remade(root.certificate, root.key, subject=name, key=key("issuing").public_key())
    return root, between


def answer_to(job, host="mob", *, names=None, word="", **parts):
    """What another CA answers: leaf, issuing CA, root."""
    root, between = other_ca()
    wanted = names or job.site[host].issued_names
    leaf = root.issue(*wanted, at=AT, key=key(word or host)).certificate
    leaf = remade(leaf, key("issuing"), issuer=between.subject, **parts)
    return leaf, between, root.certificate


def pem(*certificates):
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def weak_request(host):
    """A request with a key of 1,024 bits, which new_key() would refuse."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.DNSName(host.fqdn)])
    signed = builder.add_extension(names, False).sign(generate_private_key(65537, 1024), SHA256())
    return signed.public_bytes(Encoding.PEM)


def forged_request(host):
    """A request whose signature is of other bytes."""
    der = bytearray(x509.load_pem_x509_csr(csr_of(host)).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return bytes(der)


def tree(folder):
    """Every file in a folder as path → (bytes, time of its last change)."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in paths
    }
