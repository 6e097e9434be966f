"""Keys for lessons: the same in every run, and never to be taken for real ones.

Such a key is derived from a word, so anybody can derive it. It says so itself: its modulus spells
`MARK` in plain letters, in every certificate and request that carries it. Whoever holds only the
public half can read that, and `authority` and `check` do.
"""

import hashlib
from functools import cache
from itertools import count
from math import gcd, prod
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

MARK = b"TEACHING KEY, ITS PRIVATE HALF IS PUBLIC"
WORDS = "teaching key, private half is public"  # what the subject of a certificate says
_EXPONENT = 65537
_TOP = 0xF0  # the first byte of the modulus, before the mark: a 2,048-bit number needs its top bit
# Trial division by a product: most candidates end in one gcd.
_SMALL = prod(n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))


@cache
def teaching_key(word: str) -> rsa.RSAPrivateKey:
    """Return the RSA key of 2,048 bits that belongs to this word.

    The first prime comes from the word; the second is chosen so that their product begins with
    the mark. OpenSSL checks the result, primes included, when it loads the numbers.
    """
    half = 128  # bytes of a prime
    drawn = hashlib.shake_256(f"vmscert lessons: {word}, 2048".encode()).digest(2 * half)
    p = _prime_from(int.from_bytes(b"\xff" + drawn[: half - 1]))
    begin = (bytes([_TOP]) + MARK + drawn[half:]).ljust(2 * half, b"\0")[: 2 * half]
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
    for n in count(start | 1, 2):
        # Fermat's test is enough: OpenSSL tests again.
        if gcd(n, _SMALL) == 1 and pow(2, n - 1, n) == 1 and gcd(n - 1, _EXPONENT) == 1:
            return n
    raise AssertionError("there is always a next prime")
