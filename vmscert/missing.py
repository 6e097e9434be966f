"""What a site still lacks, read from files and inventories: host → what, for each runbook."""

from collections.abc import Callable

from cryptography import x509

from vmscert.authority import is_signed_by, subject_names
from vmscert.job import Job
from vmscert.site import Host
from vmscert.windows import thumbprint


def missing_ca(job: Job) -> dict[str, str]:
    """Runbook 11: the CA's certificate and key."""
    return {} if job.records.has_authority else {"CA": "ca.cer and ca.key are not there yet"}


def missing_certificates(job: Job) -> dict[str, str]:
    """Runbook 12: a certificate for every server, with the names of the table, from this CA."""
    current = job.records.current()
    found = {host.name: _stale(job, host, current.get(host.name)) for host in job.site.servers}
    return {name: reason for name, reason in found.items() if reason}


def missing_trust(job: Job) -> dict[str, str]:
    """Runbook 13: the CA certificate among the roots that every client and server trusts."""
    ca, stores = job.records.ca_certificate, job.records.inventories()
    return {
        host.name: "the CA certificate" if host.name in stores else "no inventory came back"
        for host in job.site.clients
        if host.name not in stores or ca not in stores[host.name].trusted
    }


def missing_imports(job: Job) -> dict[str, str]:
    """Runbook 14: certificate and readable private key in LocalMachine\\My of every server."""
    current, stores = job.records.current(), job.records.inventories()
    found = {}
    for host in job.site.servers:
        label = thumbprint(current[host.name]) if host.name in current else ""
        held = stores[host.name].find(label) if host.name in stores else None
        if held is None:
            found[host.name] = "its certificate"
        elif not held.has_key:
            found[host.name] = "the private key"
        elif not all(map(held.readable_by, host.accounts)):
            found[host.name] = f"read access to the key for {', '.join(host.accounts)}"
    return found


def missing_encryption(job: Job) -> dict[str, str]:
    """Runbook 15: every certificate group of every server bound to its certificate."""
    current, stores = job.records.current(), job.records.inventories()
    found = {}
    for host in job.site.servers:
        label = thumbprint(current[host.name]) if host.name in current else ""
        bindings = stores[host.name].bindings if host.name in stores else {}
        groups = [group for group in host.groups if bindings.get(group) != label]
        if groups:
            found[host.name] = ", ".join(groups)
    return found


def _stale(job: Job, host: Host, certificate: x509.Certificate | None) -> str:
    """Why this server needs a certificate, or nothing."""
    if certificate is None:
        return "no certificate yet"
    if set(subject_names(certificate)) != set(host.names):
        return "its names in the table have changed"
    if certificate.not_valid_after_utc <= job.at:
        return f"its certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}"
    ca = job.records.ca_certificate
    return "" if is_signed_by(certificate, ca) else "its certificate is of another CA"


MISSING: dict[str, Callable[[Job], dict[str, str]]] = {
    "11": missing_ca,
    "12": missing_certificates,
    "13": missing_trust,
    "14": missing_imports,
    "15": missing_encryption,
}
