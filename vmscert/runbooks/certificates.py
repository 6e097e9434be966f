"""The CA and the certificates of servers: each deed once, doing only what is missing.

A run that was stopped at any point is continued by the next one. What people carry to the
computers is in `visits`, what they bring back in `returns`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from vmscert.certificates.authority import (
    ROOT,
    SERVER,
    Authority,
    Issued,
    Profile,
    create_authority,
    issue_all,
    read_pfx,
    thumbprint,
)
from vmscert.certificates.diagnosis import diagnose
from vmscert.changes.job import Job
from vmscert.checks.expiry import Due
from vmscert.checks.lacks import issued_findings, missing_ca, missing_certificates, missing_requests
from vmscert.checks.site import PHONES_LIMIT, check_ca
from vmscert.facts import pfx_encryption
from vmscert.findings import Finding
from vmscert.names import iso
from vmscert.records.state import State
from vmscert.runbooks.handbook import due_of
from vmscert.runbooks.stages import Deeds, Findings, Parts, Rows, Runbook
from vmscert.site.site import CSR, PFX, THIRD_PARTY, Host

CA_KEY_BITS = (3072, 4096)
SERVER_KEY_BITS = (2048, 3072, 4096)


def create_ca(job: Job, *, key_bits: int = ROOT.key_bits, years: int = 10) -> x509.Certificate:
    """Create the CA if there is none; return its certificate. Bits: 3072 or 4096."""
    job.permit()
    one_of("The CA's RSA key", key_bits, CA_KEY_BITS)
    with job.records.lock():  # looked at inside: a second run that waited finds it done
        if missing_ca(job.state()):
            profile = replace(ROOT, key_bits=key_bits, days=round(years * 365.25))
            password = job.secret("CA", new=True)
            authority = create_authority(ca_name(job), job.at, profile)
            job.records.save_authority(authority, password, job.at)
    return job.records.ca_certificate


def ca_name(job: Job) -> str:
    """Return a CA name that is unique to site and year; a rehearsal's says that it is one."""
    ending = f" VMS root {job.at:%Y}" + (" (rehearsal)" if job.rehearsal else "")
    return job.site.name[: 64 - len(ending)] + ending


def issue_certificates(
    job: Job, password: str = "", *, days: int = SERVER.days, key_bits: int = SERVER.key_bits
) -> list[dict[str, str]]:
    """Issue a certificate with a new key to every server that needs one; return one row for each.

    `password` is that of the PFX files; without one a person is asked. Servers that make their
    own keys are left to `sign_requests`.
    """
    job.permit()
    with job.records.lock():  # looked at inside: a second run that waited finds it done
        missing = missing_certificates(job.state())
        profile = replace(SERVER, days=days, key_bits=key_bits)
        mine = dict.fromkeys((n for n in missing if job.site[n].enrolment == PFX), profile)
        return list(_issue(job, mine, "issue", password))


def sign_requests(job: Job, *, days: int = 0) -> list[dict[str, str]]:
    """Answer every request that came back: the key stays on its computer. One row for each.

    The table decides which names the certificate carries; a request that asks for others, or
    whose key is weak, is refused, and its row says why. Without `days` a certificate lasts as long
    as the one before.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        waiting = [
            (host, state.requests[host.name])
            for host in job.site.servers
            if host.enrolment == CSR and host.name in state.requests
        ]
        if not waiting:
            return []
        authority = job.records.authority(job.secret("CA"))
        _note_abandoned(job)
        return [
            _signed(job, authority, host, csr, _as_before(state, host.name, days))
            for host, csr in waiting
        ]


def receive(job: Job, host: str, answer: Iterable[x509.Certificate]) -> dict[str, str]:
    """Keep what another CA answered to a server's request: its certificate and the CAs above.

    ValueError if the certificate is not for the key of the request, or if a client that trusts
    the root would find anything wrong with it under any name of the table.
    """
    issued = receive_answer(job, host, job.state().requests.get(host), answer)
    return _issued_row(host, issued, "the key stays there")


def receive_answer(
    job: Job,
    host: str,
    csr: x509.CertificateSigningRequest | None,
    answer: Iterable[x509.Certificate],
) -> Issued:
    """Keep an answer, as `receive` does, to a request that was read already."""
    if job.site[host].enrolment != THIRD_PARTY:
        raise ValueError(f"{host} has no certificate of another CA: see 'enrolment' in the table")
    found = list(answer)
    mine = [one for one in found if csr is not None and one.public_key() == csr.public_key()]
    if not mine:
        raise ValueError(f"No certificate here fits the request of {host}: bring the CA's answer")
    issued = Issued(mine[0], None, tuple(one for one in found if one not in mine))
    issued = replace(issued, issuers=_path_above(job, host, issued))
    job.records.save_signed(host, issued, at=job.at, runbook=job.number, action="receive")
    return issued


def renew_certificates(
    job: Job,
    hosts: Iterable[str],
    password: str = "",
    *,
    days: int = 0,
    new_key: bool = True,
) -> list[dict[str, str]]:
    """Issue new certificates to these servers; the old ones stay, as the way back.

    With the names of the table; with the key size of the old one, and its life unless another is
    given; with a new key, unless the old one, whose PFX is here, is to be kept. What this change
    has renewed already is left as it is.
    """
    job.permit()
    wanted = set(hosts)
    if strangers := sorted(name for name in wanted if name not in job.site):
        raise ValueError(f"{', '.join(strangers)}: not in the table of {job.site.name}")
    with job.records.lock():
        state = job.state()
        wanted -= _renewed(job, state)
        mine = [host.name for host in job.site if host.name in wanted and host.enrolment == PFX]
        profiles = {name: _as_before(state, name, days) for name in mine}
        keys = {} if new_key else {name: _kept_key(job, state, name) for name in mine}
        return list(_issue(job, profiles, "renew", password, keys))


def _renewed(job: Job, state: State) -> set[str]:
    """The servers whose newest certificate was renewed in this change."""
    lines = state.entries[job.change.plan.lines :] if job.change else ()
    new = {(entry.host, entry.thumbprint) for entry in lines if entry.action == "renew"}
    return {host for host, label in state.thumbprints.items() if (host, label) in new}


def _as_before(state: State, name: str, days: int) -> Profile:
    """What a server's new certificate contains: what the old one did, unless it says otherwise.

    One that ended with its CA does not hand that on, and none is too long for phones.
    """
    old = state.current.get(name)
    if old is None:
        return replace(SERVER, days=days or SERVER.days)
    life = (old.not_valid_after_utc - old.not_valid_before_utc).days
    above = state.issuers[name]
    capped = any(old.not_valid_after_utc >= one.not_valid_after_utc for one in above)
    if state.site[name].meets_phones:
        life = min(life, PHONES_LIMIT.days)
    size = getattr(old.public_key(), "key_size", 0)
    bits = next((bits for bits in SERVER_KEY_BITS if bits >= size), SERVER.key_bits)
    return replace(
        SERVER,
        days=days or (SERVER.days if capped else max(life, 1)),
        key_bits=bits,
    )


def _kept_key(job: Job, state: State, name: str) -> RSAPrivateKey:
    """The private key of a server's newest certificate, out of its PFX."""
    path = state.pfx.get(name)
    if path is None:
        raise ValueError(f"The key of {name} is not here: renew it with a new one")
    key = read_pfx(path, job.secret("PFX")).key
    assert key is not None
    return key


def due_certificates(job: Job, on: datetime) -> list[Due]:
    """Tell what ends when, seen from a day: the CA and every server's newest certificate."""
    return due_of(job.state(), on)


def _issue(
    job: Job,
    profiles: Mapping[str, Profile],
    action: str,
    password: str,
    keys: Mapping[str, RSAPrivateKey] | None = None,
) -> Iterator[dict[str, str]]:
    """Issue to these servers, one row for each; the caller holds the folder's lock."""
    if not profiles:
        return
    for profile in profiles.values():
        one_of("A server's RSA key", profile.key_bits, SERVER_KEY_BITS)
    authority = job.records.authority(job.secret("CA"))
    password = password or job.secret("PFX", new=True)
    _note_abandoned(job)
    for name, issued in _made(job, authority, profiles, keys or {}):
        encryption = pfx_encryption(job.site[name].windows)
        job.records.save(
            name, issued, password, encryption,
            at=job.at, runbook=job.number, action=action, pem=bool(job.site[name].pem_files),
        )  # fmt: skip
        yield _issued_row(name, issued, f"in a PFX, {encryption}")


def _made(
    job: Job,
    authority: Authority,
    profiles: Mapping[str, Profile],
    keys: Mapping[str, RSAPrivateKey],
) -> Iterator[tuple[str, Issued]]:
    """Certificates with new keys, made on every core, then those for keys that are kept."""
    names = {name: job.site[name].issued_names for name in profiles}
    for profile in dict.fromkeys(profiles.values()):
        alike = {n: names[n] for n in profiles if profiles[n] == profile and n not in keys}
        yield from issue_all(authority, alike, job.at, profile=profile)
    for name, key in keys.items():
        yield name, authority.issue(*names[name], at=job.at, profile=profiles[name], key=key)


def _note_abandoned(job: Job) -> None:
    """Note what a killed run recorded but never finished: nobody shall look for its files."""
    job.records.note_all(
        replace(entry, time=iso(job.at), action="abandon", note="never reached a file")
        for entry in job.records.abandoned()
    )


def _signed(
    job: Job,
    authority: Authority,
    host: Host,
    csr: x509.CertificateSigningRequest,
    profile: Profile,
) -> dict[str, str]:
    """Answer one request; the row says why where it is refused."""
    try:
        issued = authority.sign(csr, host.issued_names, job.at, profile)
    except ValueError as error:
        job.records.refuse_request(host.name)
        job.records.note(job.number, "refuse", at=job.at, host=host.name, note=str(error))
        return {"server": host.name, "names": "", "until": f"refused: {error}"}
    job.records.save_signed(host.name, issued, at=job.at, runbook=job.number)
    return _issued_row(host.name, issued, "the key stays there")


def _path_above(job: Job, host: str, issued: Issued) -> tuple[x509.Certificate, ...]:
    """The CAs above an answer, nearest first; ValueError with all that a client would find."""
    roots = [one for one in issued.issuers if one.subject == one.issuer]
    if not roots:
        raise ValueError(f"The answer for {host} lacks the root: bring it together with it")
    path: tuple[x509.Certificate, ...] = ()
    for name in job.site[host].issued_names:
        diagnosis = diagnose(issued.chain, name, roots, job.at)
        if bad := [one.detail for one in diagnosis.findings if one.severity == "bad"]:
            raise ValueError(f"The answer for {host} would be refused as {name}: {'; '.join(bad)}")
        path = diagnosis.path[1:]
    return path


def _issued_row(name: str, issued: Issued, key: str) -> dict[str, str]:
    return {
        "server": name,
        "names": ", ".join(issued.names),
        "until": issued.until,
        "private key": key,
        "thumbprint": thumbprint(issued.certificate),
    }


def one_of(what: str, value: int, allowed: tuple[int, ...]) -> None:
    """Raise ValueError for a key size that is not one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{what} has one of {allowed} bits, not {value!r}")


def describe_ca(job: Job) -> list[dict[str, object]]:
    """The CA as its file says it, with the fingerprint that people compare by eye."""
    ca = job.records.ca_certificate
    key = ca.public_key()
    told = {
        "name": ca.subject.rfc4514_string(),
        "valid from": f"{ca.not_valid_before_utc:%Y-%m-%d}",
        "valid to": f"{ca.not_valid_after_utc:%Y-%m-%d}",
        "key": f"RSA {key.key_size}" if isinstance(key, RSAPublicKey) else "not RSA",
        "thumbprint (SHA-1, as Windows shows it)": thumbprint(ca),
        "fingerprint (SHA-256)": ca.fingerprint(hashes.SHA256()).hex(" ", 2).upper(),
    }
    return [{"the CA's": part, "is": value} for part, value in told.items()]


def plan_certificates(job: Job) -> list[dict[str, object]]:
    """Each server, the names its certificate will carry, and what is to be done."""
    missing = missing_certificates(job.state())
    return [
        {
            "server": host.name,
            "names": host.issued_names,
            "Windows": host.windows or "not in the table",
            "private key": key_way(host),
            "to do": f"issue: {missing[host.name]}" if host.name in missing else "nothing",
        }
        for host in job.site.servers
    ]


def check_issued(job: Job) -> list[Finding]:
    """What a client that trusts its root would find wrong with each certificate, by any name."""
    return list(issued_findings(job.state()))


def key_way(host: Host) -> str:
    """Where a server's private key is made, and how it travels."""
    if host.only_pem:
        return "made here, travels as an encrypted PEM file"
    if host.enrolment == PFX:
        return f"made here, travels in a PFX, {pfx_encryption(host.windows)}"
    signer = "another CA signs" if host.enrolment == THIRD_PARTY else "its request is signed here"
    return f"made there, stays there; {signer}"


class CreateTheCa(Runbook):
    """A site gets a certificate authority of its own."""

    def name(self, key_bits: int, years: int) -> Parts:
        """The name that the CA will have, and what its key will be."""
        yield Rows([{"CA": ca_name(self.job), "key": f"RSA {key_bits}", "years": years}])

    def create_ca(self) -> Parts:
        """Create the CA, unless the site has one."""
        create_ca(self.job, **self.parameters)
        yield from ()

    def verify(self) -> Parts:
        """The CA as its file says it, and what is wrong with it."""
        yield from super().verify()
        yield Rows(describe_ca(self.job))
        yield Findings(check_ca(self.job.records.ca_certificate, self.job.at))

    def rehearse(self) -> None:
        """Create the CA."""
        create_ca(self.job)


class CreateCertificates(Runbook):
    """Every server gets a certificate with all the names that clients use for it."""

    issues = True

    def look(self) -> Parts:
        """What each server's certificate will contain, and what is to be done."""
        yield Rows(plan_certificates(self.job))

    def issue(self) -> Parts:
        """Issue what is missing and whose key is made here."""
        password = self.pfx_password()
        yield Rows(issue_certificates(self.job, password, **self.parameters))

    def sign_requests(self) -> Parts:
        """Answer the requests that came back."""
        yield Rows(sign_requests(self.job, days=self.parameters.get("days", 0)))

    def verify(self) -> Parts:
        """What a client would find wrong with any of them, under any name."""
        yield from super().verify()
        yield Findings(check_issued(self.job))

    def rehearse(self) -> None:
        """Every way to a certificate that a rehearsal has: in a PFX, or for a key made there."""
        for deed in (self.issue(), self.visit("request"), self.sign_requests()):
            list(deed)

    def deeds(self, state: State, hosts: list[str] | None) -> Deeds:
        """A certificate for each server that needs one, or a request first."""
        yield missing_certificates(state), "a new certificate"
        yield missing_requests(state), "make a key and a request"
