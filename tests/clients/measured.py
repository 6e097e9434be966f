"""What the TLS clients of this computer do, beside what `data/clients.csv` says that they do.

    python tests/clients/measured.py [CLIENT ...] [--case TEXT] [--all]

serves every case on loopback, lets each client that is found call it, and prints where they and the
table differ; with --all each verdict, with what the client said. Clients that are not there, and
cells that nobody measured, are named.
"""

import argparse
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from chains import AT, ROOT, revocation_list  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding  # noqa: E402
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError  # noqa: E402
from served import MADE, PLANS, Served, served  # noqa: E402

from vmscert.facts import facts  # noqa: E402
from vmscert.names import parse_name  # noqa: E402

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>fine</p>\r\n"


@dataclass(frozen=True)
class Job:
    """One server to call: where, and what the client holds."""

    case: str
    served: Served
    port: int
    folder: Path

    @property
    def roots(self):
        return self.folder / "roots.pem"

    @property
    def lists(self):
        """The file of revocation lists; None where the client has none to look into."""
        return self.folder / "lists.pem" if self.served.crls else None

    @property
    def line(self):
        return "\t".join(map(str, (self.port, self.served.asks, self.roots, self.lists or "-")))


# Servers


def settings(one, folder):
    """A server's settings, as careless as needed to serve it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if one.old:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    file = folder / "server.pem"
    file.write_bytes(b"".join(map(pem, one.sent)) + one.key_pem)
    context.load_cert_chain(file)
    return context


def pem(der):
    return ssl.DER_cert_to_PEM_cert(der).encode()


def serve(listener, context):
    """Answer every caller, one after the other, until the listener is closed."""
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        caller.settimeout(5)
        with suppress(OSError), caller:
            tls = context.wrap_socket(caller, server_side=True) if context else caller
            with tls:
                tls.recv(4096)
                tls.sendall(ANSWER)


def stop(listener):
    """Wake the thread that waits for callers, where closing alone does not."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(cases):
    """Serve cases on loopback while the block runs; gives a job for each."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        jobs = []
        for number, case in enumerate(cases):
            one, folder = served(case), Path(place, str(number))
            folder.mkdir()
            (folder / "roots.pem").write_bytes(b"".join(map(pem, one.roots)))
            if one.crls:  # some clients want a list of every CA
                lists = (*one.crls, revocation_list(ROOT))
                text = b"".join(each.public_bytes(Encoding.PEM) for each in lists)
                (folder / "lists.pem").write_bytes(text)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(stop, listener)
            context = None if one.plain else settings(one, folder)
            threading.Thread(target=serve, args=(listener, context), daemon=True).start()
            jobs.append(Job(case, one, listener.getsockname()[1], folder))
        yield jobs


# Clients: each takes all jobs and gives a line for each, which begins with the verdict.


def verdict(accepted, said=""):
    return "accepts" if accepted else f"refuses {' '.join(said.split())}"


def run(*command, text="", **environment):
    """Run a program; its exit code and what it said."""
    found = subprocess.run(
        [str(part) for part in command],
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        timeout=300,
    )
    return found.returncode, found.stdout.decode(errors="replace")


def each(ask):
    """A client that is started anew for each job."""
    return lambda jobs: [ask(job) for job in jobs]


def is_address(name):
    return not isinstance(parse_name(name), str)


@each
def openssl(job):
    name, more = job.served.asks, []
    if job.lists:
        more = ["-crl_check", "-crl_check_all", "-CRL", job.lists]  # reads one list of a file
        text = job.lists.read_text().partition("-----END X509 CRL-----\n")
        (job.folder / "first.pem").write_text(text[0] + text[1])
        more = ["-crl_check", "-CRL", job.folder / "first.pem"]
    wanted = ["-verify_ip", name] if is_address(name) else ["-verify_hostname", name]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{job.port}", "-CAfile", job.roots]
    command += ["-no-CApath", "-no-CAstore", "-verify_return_error", *wanted, *more]
    code, said = run(*command, *([] if is_address(name) else ["-servername", name]))
    return verdict(code == 0, said.rpartition("verify error")[2][:90])


@each
def curl(job):
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "9", "--cacert", job.roots]
    command += ["--crlfile", job.lists] if job.lists else []
    code, said = run(
        *command, "--connect-to", f"::127.0.0.1:{job.port}", f"https://{job.served.asks}/"
    )
    return verdict(code == 0, said)


@each
def gnutls(job):
    command = ["gnutls-cli", "127.0.0.1", "-p", job.port, "--x509cafile", job.roots]
    command += ["--x509crlfile", job.lists] if job.lists else []
    name = job.served.asks
    command += [] if is_address(name) else ["--sni-hostname", name]
    code, said = run(*command, "--verify-hostname", name)
    status = [line for line in said.splitlines() if "Status" in line or "***" in line]
    return verdict(code == 0, " ".join(status)[:160])


def nss_store(folder, job):
    """Make a certificate store of NSS that trusts the roots of a job."""
    folder.mkdir(parents=True)
    run("certutil", "-N", "-d", f"sql:{folder}", "--empty-password")
    for number, root in enumerate(job.served.roots):
        file = job.folder / "root.der"
        file.write_bytes(root)
        command = "certutil", "-A", "-d", f"sql:{folder}", "-n", f"root {number}", "-t", "C,,"
        run(*command, "-i", file)


@each
def nss(job):
    folder = job.folder / "nss"
    nss_store(folder, job)
    for one in job.served.crls:
        issuer, file = job.folder / "issuer.der", job.folder / "list.der"
        issuer.write_bytes(job.served.sent[1])
        run("certutil", "-A", "-d", f"sql:{folder}", "-n", "issuer", "-t", ",,", "-i", issuer)
        file.write_bytes(one.public_bytes(Encoding.DER))
        run("crlutil", "-I", "-d", f"sql:{folder}", "-i", file)
    command = ["tstclnt", "-h", "127.0.0.1", "-p", job.port, "-a", job.served.asks, "-Q"]
    code, said = run(*command, "-d", f"sql:{folder}")
    return verdict(code == 0, said[-160:])


@each
def chromium(job):
    home = job.folder / "home"
    nss_store(home / ".pki" / "nssdb", job)
    command = [next(filter(shutil.which, CHROMIUM)), "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--host-resolver-rules=MAP * 127.0.0.1", f"--user-data-dir={home / 'profile'}"]
    url = f"https://{job.served.asks}:{job.port}/"
    said = run(*command, "--no-proxy-server", "--dump-dom", url, HOME=home)[1]
    at = said.find("ERR_")
    return verdict("<p>fine</p>" in said, said[at : at + 60] if at >= 0 else said[-60:])


def at_once(*command):
    """A client that is started once and reads all jobs."""
    return lambda jobs: run(*command, text="\n".join(job.line for job in jobs))[1].splitlines()


def mono(jobs):
    """Mono trusts a store of its user, so it is started for each job."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "ask.exe")
        run("mcs", f"-out:{program}", HERE / "Ask.cs")
        said = []
        for job in jobs:
            run("cert-sync", "--user", job.roots, HOME=job.folder)
            said += run("mono", program, text=job.line, HOME=job.folder)[1].splitlines()[:1]
    return said


def python(flags):
    """Python's ssl with `create_default_context` and these flags, whatever this Python's are."""

    @each
    def ask(job):
        context = ssl.create_default_context(cafile=job.roots)
        context.verify_flags = ssl.VerifyFlags(flags)
        if job.lists:
            context.load_verify_locations(job.lists)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        try:
            with (
                socket.create_connection(("127.0.0.1", job.port), 5) as plain,
                context.wrap_socket(plain, server_hostname=job.served.asks),
            ):
                return verdict(True)
        except OSError as error:
            return verdict(False, str(error))

    return ask


@each
def pyca(job):
    """The chain is given to it; it looks into no list."""
    if job.served.old or job.served.plain:
        return ""
    try:
        leaf, *more = map(x509.load_der_x509_certificate, job.served.sent)
        roots = list(map(x509.load_der_x509_certificate, job.served.roots))
        name = parse_name(job.served.asks)
        asked = x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
        builder = PolicyBuilder().store(Store(roots)).time(AT)
        builder.build_server_verifier(asked).verify(leaf, more)
    except (VerificationError, ValueError, x509.InvalidVersion, x509.DuplicateExtension) as error:
        return verdict(False, str(error))
    return verdict(True)


CHROMIUM = os.environ.get("VMSCERT_CHROMIUM", ""), "chromium", "google-chrome", "chrome"
STRICT = 0x8000 | 0x80000 | 0x20  # trusted first, and since Python 3.13 partial chain and strict
CLIENTS = {  # column of the table → the program that must be there, and how it is asked
    "OpenSSL 3": (["openssl"], openssl),
    "curl 7.88": (["curl"], curl),
    "Python 3.11": ([], python(0x8000)),
    "Python 3.13 (strict)": ([], python(STRICT)),
    "Node 20": (["node"], at_once("node", HERE / "ask.js")),
    "GnuTLS 3.7": (["gnutls-cli"], gnutls),
    "NSS 3.87": (["tstclnt", "certutil"], nss),
    "Java 17": (["java"], at_once("java", HERE / "Ask.java")),
    "pyca/cryptography": ([], pyca),
    "Chromium": (["certutil"], chromium),
    "Mono 6.8": (["mono", "mcs", "cert-sync"], mono),
}


def found_here(client):
    programs = all(map(shutil.which, CLIENTS[client][0]))
    return programs and (client != "Chromium" or any(map(shutil.which, CHROMIUM)))


def measured(clients, cases):
    """Yield client, case and what the client said, of every case."""
    with serving(cases) as jobs:
        for client in clients:
            said = CLIENTS[client][1](jobs)
            assert len(said) == len(jobs), f"{client} did not answer every call: {said}"
            yield from ((client, job.case, line) for job, line in zip(jobs, said, strict=True))


def differences(clients, cases=None):
    """Yield what differs from the table: client, case, the table's word, what the client said."""
    table = {row["case"]: row for row in facts("clients")}
    for client, case, said in measured(clients, ["", *(cases or table)]):
        expected = table[case][client] if case else "accepts"
        if said.partition(" ")[0] != expected:
            yield client, case or "nothing wrong", expected, said


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("client", nargs="*", help="a column of the table; all if none is named")
    parser.add_argument("--case", default="", help="only cases with this text in their name")
    parser.add_argument("--all", action="store_true", help="print every verdict")
    asked = parser.parse_args()
    wanted = asked.client or list(CLIENTS)
    if unknown := set(wanted) - set(CLIENTS):
        parser.error(f"{', '.join(unknown)} is no column here. There are {', '.join(CLIENTS)}")
    clients = [client for client in wanted if found_here(client)]
    cases = [case for case in (*PLANS, *MADE) if asked.case in case]
    if missing := set(wanted) - set(clients):
        print("Not on this computer:", ", ".join(sorted(missing)))
    if asked.all:
        for row in measured(clients, ["", *cases]):
            print("\t".join(row), flush=True)
        return
    count = 0
    for client, case, expected, said in differences(clients, cases):
        count += 1
        print(f"{client} · {case}: the table says {expected or 'nothing'}, seen: {said[:120]}")
    print(f"{count} differences in {len(clients)} clients and {len(cases)} cases")


if __name__ == "__main__":
    main()
