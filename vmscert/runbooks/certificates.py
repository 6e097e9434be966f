"""The CA and the certificates of servers: each deed once, doing only what is missing.

A run that was stopped at any point is continued by the next one. What people carry to the
computers is in `visits`, what they bring back in `returns`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

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
from vmscert.changes.job import Job
from vmscert.checks.claims import answer_to
from vmscert.checks.lacks import issued_findings, missing_ca, missing_certificates, missing_requests
from vmscert.checks.site import PHONES_LIMIT, check_ca
from vmscert.facts import pfx_encryption
from vmscert.names import iso
from vmscert.records.folder import ABANDON
from vmscert.records.state import State
from vmscert.runbooks.stages import Deeds, Findings, Parts, Rows, Runbook
from vmscert.site.site import CSR, PFX, THIRD_PARTY, Host

CA_KEY_BITS = (3072, 4096)
SERVER_KEY_BITS = (2048, 3072, 4096)
Keys = Mapping[str, RSAPrivateKey | None]  # server → the key that it is to keep


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
        return list(_issue(job, mine, "issue", password, {}))


def sign_requests(job: Job, *, days: int = 0) -> list[dict[str, str]]:
    """Answer every request that came back: the key stays on its computer. One row for each.

    The table decides which names the certificate carries; a request that asks for others, or
    whose key is weak, is refused, and its row says why. Without `days` a certificate lasts as long
    as the one before.
    """
    job.permit()
    with job.records.lock():
        state, rows = job.state(), []
        own = (host for host in job.site.servers if host.enrolment == CSR)
        waiting = {host.name: host for host in own if host.name in state.requests}
        if not waiting:
            return []
        authority = job.records.authority(job.secret("CA", opens=job.records.authority))
        _note_abandoned(job)
        for name, host in waiting.items():
            profile = _as_before(state, name, days)
            try:
                issued = authority.sign(state.requests[name], host.issued_names, job.at, profile)
            except ValueError as error:
                job.records.refuse_request(name)
                job.records.note(job.number, "refuse", at=job.at, host=name, note=str(error))
                rows.append({"server": name, "names": "", "until": f"refused: {error}"})
            else:
                job.records.save_signed(name, issued, at=job.at, runbook=job.number)
                rows.append(_issued_row(name, issued, "the key stays there"))
        return rows


def receive(
    job: Job,
    host: str,
    csr: x509.CertificateSigningRequest,
    found: Sequence[x509.Certificate],
    known: Iterable[x509.Certificate] = (),
) -> Issued:
    """Keep what another CA answered to a server's request: its certificate and the CAs above.

    One of those `found` is for the key of the request, CAs may be among those `known`. ValueError
    if a client would find anything wrong with it under any name of the table.
    """
    if job.site[host].enrolment != THIRD_PARTY:
        raise ValueError(f"{host} has no certificate of another CA: see 'enrolment' in the table")
    try:
        at = job.clock() if job.clock else job.at  # the CA may have answered since it was opened
        issued = answer_to(csr, found, job.site[host].issued_names, at, known)
    except ValueError as error:
        raise ValueError(f"The answer for {host} {error}") from None
    job.records.save_signed(host, issued, at=job.at, runbook=job.number, action="receive")
    return issued


def renew_certificates(
    job: Job, hosts: Iterable[str], password: str = "", *, days: int = 0, new_key: bool = True
) -> list[dict[str, str]]:
    """Issue new certificates to these servers; the old ones stay, as the way back.

    With the names of the table; with the key size of the old one, and its life unless another is
    given; with a new key, unless the old one, whose PFX is here, is to be kept. What this change
    has renewed already is left as it is.
    """
    job.permit()
    with job.records.lock():
        state = job.state()
        wanted = set(hosts) - renewed(job, state)
        mine = [host.name for host in job.site if host.name in wanted and host.enrolment == PFX]
        profiles = {name: _as_before(state, name, days) for name in mine}
        keys = {}
        for name in () if new_key else mine:
            if name not in state.pfx:
                raise ValueError(f"The key of {name} is not here: renew it with a new one")
            keys[name] = read_pfx(state.pfx[name], job.secret("PFX")).key
        return list(_issue(job, profiles, "renew", password, keys))


def renewed(job: Job, state: State) -> set[str]:
    """Return the servers whose newest certificate was renewed in this change, in whatever way."""
    lines = state.entries[job.change.plan.lines :] if job.change else ()
    ways = ("renew", "sign", "receive")
    made = {(one.host, one.thumbprint) for one in lines if one.action in ways}
    return {host for host, label in state.thumbprints.items() if (host, label) in made}


def _as_before(state: State, name: str, days: int) -> Profile:
    """What a server's new certificate contains: what the old one did, unless it says otherwise.

    One that ended with its CA does not hand that on, and none is too long for phones.
    """
    old = state.current.get(name)
    if old is None:
        return replace(SERVER, days=days or SERVER.days)
    life = (old.not_valid_after_utc - old.not_valid_before_utc).days
    capped = any(old.not_valid_after_utc >= one.not_valid_after_utc for one in state.issuers[name])
    if state.site[name].meets_phones:
        life = min(life, PHONES_LIMIT.days)
    size = getattr(old.public_key(), "key_size", 0)
    bits = next((bits for bits in SERVER_KEY_BITS if bits >= size), SERVER.key_bits)
    return replace(SERVER, days=days or (SERVER.days if capped else max(life, 1)), key_bits=bits)


def _issue(
    job: Job, profiles: Mapping[str, Profile], action: str, password: str, keys: Keys
) -> Iterator[dict[str, str]]:
    """Issue to these servers, one row for each; the caller holds the folder's lock."""
    if not profiles:
        return
    for profile in profiles.values():
        _one_of("A server's RSA key", profile.key_bits, SERVER_KEY_BITS)
    authority = job.records.authority(job.secret("CA", opens=job.records.authority))
    password = password or job.secret("PFX", new=True)
    _note_abandoned(job)
    for name, issued in _made(job, authority, profiles, keys):
        encryption = pfx_encryption(job.site[name].windows)
        job.records.save(
            name, issued, password, encryption,
            at=job.at, runbook=job.number, action=action, pem=bool(job.site[name].pem_files),
        )  # fmt: skip
        yield _issued_row(name, issued, f"in a PFX, {encryption}")


def _made(
    job: Job, authority: Authority, profiles: Mapping[str, Profile], keys: Keys
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
        replace(entry, time=iso(job.at), action=ABANDON, note="never reached a file")
        for entry in job.records.abandoned()
    )


def _issued_row(name: str, issued: Issued, key: str) -> dict[str, str]:
    return {
        "server": name,
        "names": ", ".join(issued.names),
        "until": issued.until,
        "private key": key,
        "thumbprint": thumbprint(issued.certificate),
    }


def _one_of(what: str, value: int, allowed: tuple[int, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{what} has one of {allowed} bits, not {value!r}")


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
        """Create the CA, unless the site has one. Bits: 3072 or 4096."""
        job, key_bits = self.job, self.parameters.get("key_bits", ROOT.key_bits)
        job.permit()
        _one_of("The CA's RSA key", key_bits, CA_KEY_BITS)
        with job.records.lock():  # looked at inside: a second run that waited finds it done
            if missing_ca(job.state()):
                days = round(self.parameters.get("years", 10) * 365.25)
                password = job.secret("CA", new=True)
                profile = replace(ROOT, key_bits=key_bits, days=days)
                authority = create_authority(ca_name(job), job.at, profile)
                job.records.save_authority(authority, password, job.at)
        yield from ()

    def result(self, state: State) -> Iterable[object]:
        """The CA as its file says it, and what is wrong with it."""
        ca = state.signing_ca
        key = ca.public_key()
        told = {
            "name": ca.subject.rfc4514_string(),
            "valid from": f"{ca.not_valid_before_utc:%Y-%m-%d}",
            "valid to": f"{ca.not_valid_after_utc:%Y-%m-%d}",
            "key": f"RSA {key.key_size}" if isinstance(key, RSAPublicKey) else "not RSA",
            "thumbprint (SHA-1, as Windows shows it)": thumbprint(ca),
            "fingerprint (SHA-256)": ca.fingerprint(SHA256()).hex(" ", 2).upper(),
        }
        yield Rows([{"the CA's": part, "is": value} for part, value in told.items()])
        yield Findings(check_ca(ca, state.at))

    def rehearse(self) -> None:
        """Create the CA."""
        list(self.create_ca())


class CreateCertificates(Runbook):
    """Every server gets a certificate with all the names that clients use for it."""

    issues = True

    def look(self) -> Parts:
        """What each server's certificate will contain, and what is to be done."""
        missing = missing_certificates(self.job.state())
        others = any(host.unsigned for host in self.job.site.servers)
        yield Rows([
            {
                "server": host.name,
                "names": host.issued_names,
                **({"refused as": host.unsigned} if others else {}),
                "Windows": host.windows or "not in the table",
                "private key": key_way(host),
                "to do": f"issue: {missing[host.name]}" if host.name in missing else "nothing",
            }
            for host in self.job.site.servers
        ])  # fmt: skip

    def issue(self) -> Parts:
        """Issue what is missing and whose key is made here."""
        yield Rows(issue_certificates(self.job, self.pfx_password(), **self.parameters))

    def sign_requests(self) -> Parts:
        """Answer the requests that came back."""
        yield Rows(sign_requests(self.job, days=self.parameters.get("days", 0)))

    def result(self, state: State) -> Iterable[object]:
        """What a client that trusts its root would find wrong with any of them, by any name."""
        yield Findings([*issued_findings(state)])

    def rehearse(self) -> None:
        """Every way to a certificate that a rehearsal has: in a PFX, or for a key made there."""
        for deed in (self.issue(), self.visit("request"), self.sign_requests()):
            list(deed)

    def deeds(self, state: State) -> Deeds:
        """A certificate for each server that needs one, or a request first."""
        yield missing_certificates(state), "a new certificate"
        yield missing_requests(state), "make a key and a request"
