"""Simulated Windows computers, and real TLS servers that stand in for XProtect's on loopback.

A simulated computer reads the very files that a person would carry to the real one: the script
with its inputs, `ca.cer`, the PFX with its password. It fails where Windows is known to fail.
"""

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from vmscert.authority import Issued
from vmscert.files import write_atomic
from vmscert.inventory import read_inventory, write_inventory
from vmscert.records import read_pfx
from vmscert.releases import pfx_encryption
from vmscert.scripts import script_inputs
from vmscert.site import Host, Site
from vmscert.tls import server_context
from vmscert.verify import Verification, verify_connections
from vmscert.windows import Personal, Stores, thumbprint

LOOPBACK = "127.0.0.1"
_SYSTEM = ("NT AUTHORITY\\SYSTEM", "BUILTIN\\Administrators")  # who reads a new machine key
# pbeWithSHA1And3-KeyTripleDES-CBC, RFC 7292 appendix C: what every Windows can open
_OID_3DES = bytes.fromhex("060a2a864886f70d010c0103")


class ScriptError(Exception):
    """A script stopped on a simulated computer; the text is what a person would read there."""


class Computer:
    """One simulated Windows computer; its disk is a folder of the rehearsal."""

    def __init__(self, host: Host, disk: Path):
        self.host = host
        self._state = disk / host.name / "state.json"

    def stores(self, at: datetime) -> Stores:
        """Return what the computer holds, as its inventory would say at this time."""
        if self._state.exists():
            return replace(read_inventory(self._state), at=at)
        return Stores(self.host.name, at, self.host.windows)

    def run(self, script: Path, at: datetime, password: str = "") -> None:
        """Do what the script does; ScriptError where the real one would stop."""
        inputs = script_inputs(script.read_bytes())
        if inputs["ComputerName"] != self.host.name:
            raise ScriptError(f"this script is for {inputs['ComputerName']}, not {self.host.name}")
        deed = {"trust": self._trust, "import": self._import, "enable": self._enable}
        self._save(deed[script.stem](script.parent, inputs, self.stores(at), password))

    def pfx(self, label: str) -> Path:
        """Return where the private key of this thumbprint is kept, still inside its PFX."""
        return self._state.parent / f"{label}.pfx"

    def _trust(self, folder: Path, inputs: Mapping, stores: Stores, _password: str) -> Stores:
        data = _verified(folder / "ca.cer", str(inputs["CaSha256"]))
        root = x509.load_der_x509_certificate(data)
        return replace(stores, root=tuple(dict.fromkeys((*stores.root, root))))

    def _import(self, folder: Path, inputs: Mapping, stores: Stores, password: str) -> Stores:
        path = folder / str(inputs["PfxFile"])
        data = _verified(path, str(inputs["PfxSha256"]))
        if pfx_encryption(self.host.windows) == "3DES" and _OID_3DES not in data:
            raise ScriptError("The specified network password is not correct.")
        try:
            issued = read_pfx(path, password)
        except ValueError as error:
            raise ScriptError(f"The specified network password is not correct ({error})") from None
        write_atomic(self.pfx(thumbprint(issued.certificate)), data)
        held = Personal(issued.certificate, True, (*_SYSTEM, *inputs["Accounts"]))
        others = (p for p in stores.personal if p.certificate != held.certificate)
        return replace(stores, personal=(*others, held))

    def _enable(self, _folder: Path, inputs: Mapping, stores: Stores, _password: str) -> Stores:
        label = str(inputs["Thumbprint"])
        held = stores.find(label)
        if held is None or not held.has_key:
            raise ScriptError(f"LocalMachine\\My holds no certificate {label} with a private key")
        if not any(root.subject == held.certificate.issuer for root in stores.trusted):
            raise ScriptError("Server Configurator ended with -4: the chain is not trusted here")
        bindings = dict(stores.bindings) | dict.fromkeys(inputs["Groups"], label)
        return replace(stores, bindings=bindings)

    def _save(self, stores: Stores) -> None:
        write_atomic(self._state, write_inventory(stores))


def verify_simulated(
    site: Site,
    stores: Mapping[str, Stores],
    served: Mapping[str, Mapping[int, Issued | None]],
    expected: Mapping[str, str],
    at: datetime,
) -> Iterator[Verification]:
    """Make every connection of a simulated site over real TLS, one server computer at a time.

    `served` is host → port → the certificate behind it, None where the port speaks plain HTTP.
    """
    for host in site.servers:
        calls = [c for c in site.connections if c.server == host.name]
        with serving(served[host.name]) as ports:
            yield from verify_connections(
                site,
                stores,
                expected,
                at,
                endpoint=lambda c, _name, ports=ports: (LOOPBACK, ports[c.port]),
                connections=calls,
            )


@contextmanager
def serving(ports: Mapping[int, Issued | None]) -> Iterator[dict[int, int]]:
    """Run a server on loopback for each port → certificate; yield port → port on loopback.

    XProtect's own port numbers are often taken or need rights on a laptop, so free ones are used.
    Without a certificate a port speaks plain HTTP, like a server whose encryption is off.
    """
    contexts = {issued.certificate: server_context(issued) for issued in ports.values() if issued}
    listeners = {port: _listen() for port in ports}
    with ThreadPoolExecutor(4 + len(ports)) as threads:
        stop = threading.Event()
        for port, listener in listeners.items():
            issued = ports[port]
            context = contexts[issued.certificate] if issued else None
            threads.submit(_serve, listener, context, threads, stop)
        try:
            yield {port: listener.getsockname()[1] for port, listener in listeners.items()}
        finally:
            stop.set()
            for listener in listeners.values():
                wake(listener)


def _listen() -> socket.socket:
    return socket.create_server((LOOPBACK, 0), backlog=128)


def _serve(
    listener: socket.socket,
    context: ssl.SSLContext | None,
    threads: ThreadPoolExecutor,
    stop: threading.Event,
) -> None:
    with listener:
        while not stop.is_set():
            plain, _ = listener.accept()
            if stop.is_set():
                plain.close()
            else:
                threads.submit(greet, plain, context)


def greet(plain: socket.socket, context: ssl.SSLContext | None) -> None:
    """Shake hands and hang up; what the client makes of it is the client's to tell."""
    plain.settimeout(10)
    with plain, suppress(OSError):
        if context is None:
            plain.recv(1024)
            plain.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.recv(1)  # wait for the client to leave: a reset would swallow the handshake


def wake(listener: socket.socket) -> None:
    """Call a server that waits for a call, so that it sees that it is to end."""
    with suppress(OSError):
        socket.create_connection(listener.getsockname(), timeout=1).close()


def _verified(path: Path, digest: str) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest.lower():
        raise ScriptError(f"{path.name} was changed on the way: its SHA-256 differs")
    return data
