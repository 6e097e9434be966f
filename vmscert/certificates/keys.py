"""Private keys: at rest, where guessing the password is slow, and for lessons.

cryptography's own PKCS #8 encryption derives the key with 2,048 PBKDF2 rounds and offers no
choice; the key of a CA deserves more. The file made here is RFC 8018 PBES2, which every tool reads.
A key for lessons is derived from a word, by anybody, and says so itself: its modulus spells `MARK`
in every certificate and request that carries it, where `authority` and `check` read it.
"""

import hashlib
import os
import secrets
from base64 import b64encode
from functools import cache
from itertools import count
from math import gcd, prod
from textwrap import wrap
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ObjectIdentifier

# OWASP's figure for PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet); about 0.15 s a guess.
ROUNDS = 600_000
SHORTEST_PASSWORD = 12  # letters; NIST SP 800-63B asks for at least 8, a CA key lives ten years

_PBES2 = ObjectIdentifier("1.2.840.113549.1.5.13")
_PBKDF2 = ObjectIdentifier("1.2.840.113549.1.5.12")
_HMAC_SHA256 = ObjectIdentifier("1.2.840.113549.2.9")
_AES_256_CBC = ObjectIdentifier("2.16.840.1.101.3.4.1.42")
MARK = b"TEACHING KEY, ITS PRIVATE HALF IS PUBLIC"
WORDS = "teaching key, private half is public"  # what the subject of a certificate says
_EXPONENT = 65537
# Trial division by a product: most candidates end in one gcd.
_SMALL = prod(n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))


@asn1.sequence
class _Algorithm:  # AlgorithmIdentifier, RFC 5280 section 4.1.1.2
    algorithm: ObjectIdentifier
    parameters: asn1.TLV


@asn1.sequence
class _Pbkdf2Parameters:
    salt: bytes
    iterations: int
    prf: _Algorithm


@asn1.sequence
class _Pbes2Parameters:
    kdf: _Algorithm
    encryption: _Algorithm


@asn1.sequence
class _EncryptedPrivateKeyInfo:
    algorithm: _Algorithm
    data: bytes


# Letters that lie at the same place on English, French and German keyboards, and that nobody takes
# for another one when they are read aloud.
_CONSONANTS, _VOWELS = "bdfghjklnprstv", "eiou"


def new_password() -> str:
    """Return a password of 87 random bits in ASCII: five words of three syllables to read aloud."""
    any_of = secrets.choice
    words = [[any_of(_CONSONANTS) + any_of(_VOWELS) for _ in range(3)] for _ in range(5)]
    return " ".join(map("".join, words))


def check_password(password: str) -> str:
    """Return the password, or raise ValueError when it is too short to protect a CA key."""
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(
            f"The password has {len(password)} letters; a CA key needs at least "
            f"{SHORTEST_PASSWORD}. Four or five random words are easy to type at night."
        )
    return password


def encrypt_key(key: RSAPrivateKey | Ed25519PrivateKey, password: str) -> bytes:
    """Return the key as PEM `ENCRYPTED PRIVATE KEY`: PBES2, PBKDF2-SHA256, AES-256 (RFC 8018)."""
    salt, iv = os.urandom(16), os.urandom(16)
    secret = PBKDF2HMAC(hashes.SHA256(), 32, salt, ROUNDS).derive(check_password(password).encode())
    prf = _algorithm(_HMAC_SHA256, asn1.Null())
    rounds = _Pbkdf2Parameters(salt=salt, iterations=ROUNDS, prf=prf)
    kdf, cipher = _algorithm(_PBKDF2, rounds), _algorithm(_AES_256_CBC, iv)
    padder = padding.PKCS7(8 * len(iv)).padder()
    encryptor = Cipher(algorithms.AES256(secret), modes.CBC(iv)).encryptor()
    data = encryptor.update(padder.update(clear_key(key)) + padder.finalize())
    info = _EncryptedPrivateKeyInfo(
        algorithm=_algorithm(_PBES2, _Pbes2Parameters(kdf=kdf, encryption=cipher)),
        data=data + encryptor.finalize(),
    )
    lines = wrap(b64encode(asn1.encode_der(info)).decode("ascii"), 64)
    label = "ENCRYPTED PRIVATE KEY-----"
    return "\n".join([f"-----BEGIN {label}", *lines, f"-----END {label}", ""]).encode()


def _algorithm(oid: ObjectIdentifier, parameters: Any) -> _Algorithm:
    written = asn1.decode_der(asn1.TLV, asn1.encode_der(parameters))
    return _Algorithm(algorithm=oid, parameters=written)


def decrypt_key(pem: bytes, password: str) -> RSAPrivateKey:
    """Return the RSA key of an encrypted PKCS #8 file; ValueError if it won't open, or is none."""
    key = open_key(pem, password)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("The key file does not hold an RSA key")
    return key


def open_key(pem: bytes, password: str) -> PrivateKeyTypes:
    """Return the key of an encrypted PKCS #8 file of any kind; ValueError as `decrypt_key`."""
    try:
        # Its arithmetic is not checked again, which would cost as much as making one: the authority
        # that loads it compares its public half with the certificate instead.
        return serialization.load_pem_private_key(
            pem, password.encode(), unsafe_skip_rsa_key_validation=True
        )
    except TypeError:  # a password for a clear key, or none for an encrypted one
        reason = "The key file is not encrypted; a CA key must be"
        if not password:
            reason = "The password is empty: type the one that the key file was made with"
        raise ValueError(reason) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "The password does not open the key file: type it again, restore the file from the "
            "backup if it is damaged, or see vmscert lost"
        ) from None


def clear_key(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS #8 DER, for memory only: never write it to a file."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@cache
def teaching_key(word: str) -> rsa.RSAPrivateKey:
    """Return the RSA key of 2,048 bits that belongs to this word; OpenSSL checks its primes."""
    # The first comes from the word, the second from the mark, with which their product begins.
    half = 128  # bytes of a prime
    drawn = hashlib.shake_256(f"vmscert lessons: {word}, 2048".encode()).digest(2 * half)
    p = _prime_from(int.from_bytes(b"\xff" + drawn[: half - 1]))
    # A 2,048-bit number needs its top bit before the mark.
    begin = (b"\xf0" + MARK + drawn[half:]).ljust(2 * half, b"\0")[: 2 * half]
    q = _prime_from(int.from_bytes(begin) // p)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, public).private_key()


def is_teaching(public_key: Any) -> bool:
    """Tell whether a public key is one for lessons, whose private half anybody can derive."""
    if not isinstance(public_key, rsa.RSAPublicKey):
        return False
    n = public_key.public_numbers().n
    return n.to_bytes((n.bit_length() + 7) // 8)[1 : 1 + len(MARK)] == MARK


def _prime_from(start: int) -> int:
    """The first number from here on that is prime and fits the exponent."""
    return next(
        n
        for n in count(start | 1, 2)
        # Fermat's test is enough: OpenSSL tests again.
        if gcd(n, _SMALL) == 1 and pow(2, n - 1, n) == 1 and gcd(n - 1, _EXPONENT) == 1
    )
