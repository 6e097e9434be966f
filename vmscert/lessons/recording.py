"""A real TLS connection in memory, recorded: every message, and every byte that a listener gets.

For lessons: what the server signs, and whether its private key opens what was recorded.
"""

import hashlib
import hmac
import ssl
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import dropwhile
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vmscert.certificates.authority import Issued
from vmscert.lessons.messages import Message, Reader, handshake_name, hello, message
from vmscert.network.tls import Handshake, InMemory, own_client_context, server_context

_SUITES = {
    ("1.3", "ECDHE"): "ECDHE+AESGCM:ECDHE+CHACHA20",
    ("1.2", "ECDHE"): "ECDHE+AESGCM:ECDHE+CHACHA20",
    ("1.2", "RSA"): "AES256-GCM-SHA384",
}
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# Content types, RFC 8446 appendix B.1; the last is OpenSSL's own, for the head of a record.
_CHANGE, _ALERT, _HANDSHAKE, _DATA, _HEADER = 20, 21, 22, 23, 0x100
_KEY_SHARE = 51  # the extension, RFC 8446 section 4.2.8
_WORDS = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"  # RFC 8446 section 4.4.3
_NONCE, _TAG = 8, 16  # bytes that AES-GCM puts in front of and behind a record, RFC 5288
_ANSWER = b"Here it is"
_NO_HANDSHAKE = ("ChangeCipherSpec", "Alert", "ApplicationData")  # no part of any checksum


@dataclass(frozen=True)
class Recording:
    """One connection from its first byte to its last."""

    messages: tuple[Message, ...]  # in the order in which the client sends and receives them
    result: Handshake  # how the handshake ended for the client
    version: str  # "1.3" or "1.2"
    key_exchange: str  # "ECDHE" or "RSA"
    wire: Mapping[str, bytes]  # by sender, "client" and "server": as a listener gets it
    said: Mapping[str, bytes]  # by sender: what the two programs told each other

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite, empty when the handshake was refused."""
        return self.result.cipher

    def first(self, name: str) -> Message:
        """Return the first message of this name; ValueError if it never came to that."""
        if found := next((one for one in self.messages if one.name == name), None):
            return found
        raise ValueError(f"There is no {name} in this recording: the handshake ended before it")


class Signed(NamedTuple):
    """What the server signed, its signature, and the RFC's name of the algorithm."""

    content: bytes
    signature: bytes
    scheme: str


def capture(
    issued: Issued,
    roots: Iterable[x509.Certificate],
    name: str,
    *,
    version: str = "1.3",
    key_exchange: str = "ECDHE",
    say: bytes = b"Show me camera 7",
) -> Recording:
    """Record how a client that trusts only `roots` calls a server by `name` and tells it `say`.

    The key exchange "RSA", for RSA key transport, is there in TLS 1.2 only.
    """
    if (version, key_exchange) not in _SUITES:
        raise ValueError(
            f"TLS {version} with {key_exchange} can't be recorded: choose 1.3 with ECDHE, or 1.2 "
            "with ECDHE or RSA"
        )
    client = _restrict(own_client_context(roots), version, key_exchange)
    heard = _tapped(client, version == "1.3")
    call = InMemory(client, name, _restrict(server_context(issued), version, key_exchange))
    result, said = call.shake_hands(), {}
    if result.ok:
        said = {"client": say, "server": _ANSWER}
        call.talk(**said)
    heard += ((who, "ApplicationData", True, data) for who, data in said.items())
    messages = tuple(message(*one, version, key_exchange) for one in heard)
    return Recording(messages, result, version, key_exchange, call.wire, said)


def signed_by_server(recording: Recording) -> Signed:
    """Return what the server signed in TLS 1.3 to prove that it holds the private key, and how.

    That is a hash of all messages up to its certificate. ValueError if the client hung up first.
    """
    if recording.version != "1.3":
        raise ValueError(
            "That is told of TLS 1.3; in RSA key transport the server signs nothing: it proves "
            "that it holds the key by opening the secret"
        )
    scheme, signed = Reader(recording.first("CertificateVerify").data[4:]).signature()
    return Signed(_WORDS + _transcript_hash(recording, "Certificate"), signed, scheme)


def key_shares(recording: Recording) -> dict[str, bytes]:
    """Return by sender the two public halves of ECDHE in TLS 1.3, new in each connection."""
    if recording.version != "1.3":
        raise ValueError(
            "That is told of TLS 1.3; in RSA key transport there are no halves: the client makes "
            "up the secret"
        )
    hellos = (recording.first(name).data for name in ("ClientHello", "ServerHello"))
    offered, chosen = (hello(data)[2][_KEY_SHARE] for data in hellos)
    # The group stands before the public key; what is offered is a list.
    return {"client": Reader(offered[4:]).vector(2), "server": Reader(chosen[2:]).vector(2)}


def open_recording(recording: Recording, key: rsa.RSAPrivateKey) -> bytes:
    """Return what the client said, for a listener who got the server's private key afterwards.

    That works for RSA key transport, from the wire alone; else ValueError with the reason.
    """
    if recording.key_exchange != "RSA":
        raise ValueError(
            "This recording stays closed: the certificate's key only signed the handshake, and "
            "the secret came from two halves of ECDHE that both sides have forgotten"
        )
    encrypted = Reader(recording.first("ClientKeyExchange").data[4:]).vector(2)
    if key.public_key() != recording.result.chain[0].public_key():
        raise ValueError("This recording stays closed: the key is not the one of its certificate")
    # The extended master secret of RFC 7627 section 4, which every OpenSSL agrees on; then the
    # client's AES-256 key and the 4 fixed bytes of its nonces, RFC 5246 section 6.3.
    premaster, seed = key.decrypt(encrypted, padding.PKCS1v15()), b"extended master secret"
    seed += _transcript_hash(recording, "ClientKeyExchange")
    master = _prf(premaster, seed, 48)
    # The random numbers stand behind a type, a length and a version.
    hellos = (recording.first(name).data for name in ("ClientHello", "ServerHello"))
    of_client, of_server = (data[6:38] for data in hellos)
    block = _prf(master, b"key expansion" + of_server + of_client, 72)
    return _opened(recording.wire["client"], block[:32], block[64:68])


def _tapped(context: ssl.SSLContext, in_13: bool) -> list[tuple[str, str, bool, bytes]]:
    """The list into which OpenSSL writes every message of this context, as `message` takes it.

    The wire shows those of TLS 1.3 encrypted, and Python has no public way to see them in clear;
    this private one stands there, unchanged, from Python 3.8 on.
    """
    sealed, heard = {"client": False, "server": False}, []

    def hear(_connection, direction, _version, content_type, _kind, data) -> None:
        sender = "client" if direction == "write" else "server"
        if content_type == _HANDSHAKE:
            heard.append((sender, handshake_name(data), sealed[sender], data))
        elif content_type == _ALERT:
            heard.append((sender, "Alert", sealed[sender], data))
        elif content_type == _HEADER:
            if changes := data[0] == _CHANGE:
                heard.append((sender, "ChangeCipherSpec", sealed[sender], b"\x01"))
            # In TLS 1.3, what is encrypted calls itself application data, RFC 8446 section 5.2.
            sealed[sender] = data[0] == _DATA if in_13 else sealed[sender] or changes

    context._msg_callback = hear  # type: ignore[attr-defined]
    return heard


def _restrict(context: ssl.SSLContext, version: str, key_exchange: str) -> ssl.SSLContext:
    """Let a side do what every OpenSSL does, or a lesson would read differently with each."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = _VERSIONS[version]
    context.set_ciphers(_SUITES[version, key_exchange])
    context.set_ecdh_curve("prime256v1")  # Python before 3.11.4 knows no X25519 here
    return context


def _transcript_hash(recording: Recording, last: str) -> bytes:
    """Hash all handshake messages up to the first of this name (RFC 8446 section 4.4.1)."""
    handshake = [one for one in recording.messages if one.name not in _NO_HANDSHAKE]
    end = handshake.index(recording.first(last)) + 1
    suite = recording.first("ServerHello").facts["cipher suite"]
    return hashlib.new(suite[-6:].lower(), b"".join(one.data for one in handshake[:end])).digest()


def _prf(secret: bytes, seed: bytes, size: int) -> bytes:
    """The pseudorandom function of RFC 5246 section 5, with SHA-384; the label leads the seed."""
    mixed, made = seed, b""
    while len(made) < size:
        mixed = hmac.digest(secret, mixed, "sha384")
        made += hmac.digest(secret, mixed + seed, "sha384")
    return made[:size]


def _opened(wire: bytes, key: bytes, fixed: bytes) -> bytes:
    """Decrypt the application data of one direction: AES-GCM as in RFC 5288 section 3."""
    reader, records, said = Reader(wire), [], b""
    while reader.more:  # content type, version and content of each record, RFC 5246 section 6.2
        kind, _version = reader.number(1), reader.number(2)
        records.append((kind, reader.vector(2)))
    sealed = list(dropwhile(lambda one: one[0] != _CHANGE, records))[1:]
    for number, (kind, data) in enumerate(sealed):
        head = struct.pack("!QBHH", number, kind, 0x0303, len(data) - _NONCE - _TAG)
        clear = AESGCM(key).decrypt(fixed + data[:_NONCE], data[_NONCE:], head)
        said += clear if kind == _DATA else b""
    return said
