"""FOR LESSONS ONLY: slow, leaks timing, never for real keys.

RSA as RFC 8017 (PKCS #1 v2.2) writes it, under the RFC's own names, to be read beside it. Each
padding is `…_parts()`: a dict of every intermediate value in the order in which it arises, "EM" the
last. Real programs take a library: fast, and equally long at work whatever the secret is.
"""

import hashlib
import secrets
from dataclasses import dataclass
from math import gcd, lcm

# Hash → the bytes of its object identifier, RFC 8017 appendix B.1.
OIDS = {
    "sha1": bytes.fromhex("2b 0e 03 02 1a"),  # 1.3.14.3.2.26
    "sha224": bytes.fromhex("60 86 48 01 65 03 04 02 04"),  # 2.16.840.1.101.3.4.2.4
    "sha256": bytes.fromhex("60 86 48 01 65 03 04 02 01"),
    "sha384": bytes.fromhex("60 86 48 01 65 03 04 02 02"),
    "sha512": bytes.fromhex("60 86 48 01 65 03 04 02 03"),
}
# One text for whatever is wrong: who learns which check failed can decrypt without the key, by
# asking about many changed ciphertexts (a padding oracle; Bleichenbacher 1998, Manger 2001).
DECRYPTION_ERROR = "decryption error"
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_PROVEN = 3_317_044_064_679_887_385_961_981  # up to here these bases suffice (Sorenson, Webster)
_ROUNDS = 20


def i2osp(x: int, length: int) -> bytes:
    """Integer to octet string, section 4.1; ValueError when `length` bytes do not hold it."""
    if not 0 <= x < 256**length:
        raise ValueError(f"integer too large: it does not fit into {length} bytes")
    return x.to_bytes(length)


def os2ip(octets: bytes) -> int:
    """Octet string to integer, section 4.2."""
    return int.from_bytes(octets)


def mgf1(seed: bytes, length: int, hash_name: str) -> bytes:
    """Stretch a seed into a mask of `length` bytes: hashes of seed and counter, appendix B.2.1."""
    blocks = -(-length // len(_hash(hash_name, b"")))
    return b"".join(_hash(hash_name, seed + i2osp(i, 4)) for i in range(blocks))[:length]


def _hash(hash_name: str, data: bytes) -> bytes:
    if hash_name not in OIDS:
        raise ValueError(f"unknown hash {hash_name!r}: take one of {', '.join(OIDS)}")
    return hashlib.new(hash_name, data).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _octets(bits: int) -> int:
    return -(-bits // 8)


def is_prime(n: int) -> bool:
    """Miller-Rabin: look for a witness that n is composite (FIPS 186-5 appendix B.3.1).

    Certain below 3.3e24. Above, a composite passes each of 20 bases, drawn from a hash of n, with a
    chance of at most 1/4, so all of them with 4^-20, one in a million million.
    """
    if n < 2 or any(n % p == 0 for p in _PRIMES):
        return n in _PRIMES
    bases, length = list(_PRIMES), _octets(n.bit_length())
    if n >= _PROVEN:
        drawn = (i2osp(n, length) + i2osp(i, 1) for i in range(_ROUNDS))
        bases += [2 + os2ip(mgf1(one, length + 8, "sha256")) % (n - 3) for one in drawn]
    return not any(_is_witness(base, n) for base in bases)


def _is_witness(base: int, n: int) -> bool:
    """Whether base^(n - 1), taken by repeated squaring, shows that the odd n is composite."""
    twos = ((n - 1) & (1 - n)).bit_length() - 1  # n - 1 = odd * 2^twos
    x = pow(base, (n - 1) >> twos, n)
    if x in (1, n - 1):
        return False
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return False
    return True


@dataclass(frozen=True)
class PublicKey:
    """What everybody may know, section 3.1: the modulus n and the public exponent e."""

    n: int
    e: int

    @property
    def k(self) -> int:
        """The length of n in bytes, and so of every ciphertext and signature."""
        return _octets(self.n.bit_length())


@dataclass(frozen=True)
class PrivateKey:
    """What only the owner knows, section 3.2: two primes; all else follows from them and e."""

    p: int
    q: int
    e: int = 65537

    @property
    def n(self) -> int:
        """The modulus."""
        return self.p * self.q

    @property
    def lambda_n(self) -> int:
        """λ(n): the powers of any number repeat after this many steps, modulo n."""
        return lcm(self.p - 1, self.q - 1)

    @property
    def d(self) -> int:
        """The private exponent: the smallest inverse of e modulo λ(n), as libraries choose it."""
        return pow(self.e, -1, self.lambda_n)

    @property
    def k(self) -> int:
        """The length of n in bytes."""
        return self.public.k

    @property
    def public(self) -> PublicKey:
        """The half to give away."""
        return PublicKey(self.n, self.e)


def key_from_primes(p: int, q: int, e: int = 65537) -> PrivateKey:
    """Make a key pair from two primes; ValueError for what is no RSA key by section 3."""
    for name, prime in (("p", p), ("q", q)):
        if prime == 2 or not is_prime(prime):
            raise ValueError(f"{name} is not an odd prime number: RSA needs two of them")
    if p == q:
        raise ValueError("p and q are equal: everybody can take the square root of n")
    if not 3 <= e < p * q:
        raise ValueError("e must be at least 3 and smaller than n: take another e or longer primes")
    key = PrivateKey(p, q, e)
    if gcd(e, key.lambda_n) != 1:
        raise ValueError("e shares a factor with p - 1 or q - 1, so no d undoes it: take another e")
    return key


def rsaep(key: PublicKey, m: int) -> int:
    """Encrypt a number: m^e mod n, section 5.1.1."""
    return pow(_in_range("message", m, key.n), key.e, key.n)


def rsadp(key: PrivateKey, c: int) -> int:
    """Decrypt a number: c^d mod n, in two halves, section 5.1.2 step 2b: four times as fast."""
    _in_range("ciphertext", c, key.n)
    d_p, d_q = pow(key.e, -1, key.p - 1), pow(key.e, -1, key.q - 1)
    m_1, m_2 = pow(c, d_p, key.p), pow(c, d_q, key.q)
    h = (m_1 - m_2) * pow(key.q, -1, key.p) % key.p
    return m_2 + key.q * h


def rsasp1(key: PrivateKey, m: int) -> int:
    """Sign a number, section 5.2.1: what rsadp does, with another purpose."""
    return rsadp(key, _in_range("message", m, key.n))


def rsavp1(key: PublicKey, s: int) -> int:
    """Open a signed number, section 5.2.2: what rsaep does, with another purpose."""
    return rsaep(key, _in_range("signature", s, key.n))


def _in_range(what: str, number: int, n: int) -> int:
    if not 0 <= number < n:
        raise ValueError(f"{what} representative out of range: it must lie between 0 and n - 1")
    return number


def eme_oaep_parts(
    message: bytes, k: int, seed: bytes, hash_name: str = "sha256"
) -> dict[str, bytes]:
    """Pad a message to k bytes, section 7.1.1 step 2, without a label: no byte stays as it was."""
    parts = {"lHash": _hash(hash_name, b"")}
    length = len(parts["lHash"])
    if len(message) > k - 2 * length - 2:
        raise ValueError(f"message too long: {len(message)} bytes, and {k - 2 * length - 2} fit")
    if len(seed) != length:
        raise ValueError(f"the seed must be as long as the hash, {length} bytes")
    parts["PS"] = bytes(k - len(message) - 2 * length - 2)
    parts["DB"] = parts["lHash"] + parts["PS"] + b"\x01" + message
    parts["seed"] = seed
    parts["dbMask"] = mgf1(seed, k - length - 1, hash_name)
    parts["maskedDB"] = _xor(parts["DB"], parts["dbMask"])
    parts["seedMask"] = mgf1(parts["maskedDB"], length, hash_name)
    parts["maskedSeed"] = _xor(seed, parts["seedMask"])
    parts["EM"] = b"\x00" + parts["maskedSeed"] + parts["maskedDB"]
    return parts


def eme_pkcs1_v1_5_parts(message: bytes, k: int, padding_bytes: bytes) -> dict[str, bytes]:
    """Pad a message to k bytes with at least 8 random ones, none zero, section 7.2.1 step 2."""
    if len(message) > k - 11:
        raise ValueError(f"message too long: {len(message)} bytes, and {k - 11} fit")
    if len(padding_bytes) != k - len(message) - 3 or 0 in padding_bytes:
        raise ValueError(f"the padding must be {k - len(message) - 3} bytes, none of them zero")
    return {"PS": padding_bytes, "EM": b"\x00\x02" + padding_bytes + b"\x00" + message}


def rsaes_pkcs1_v1_5_encrypt(key: PublicKey, message: bytes) -> bytes:
    """RSAES-PKCS1-V1_5-ENCRYPT, section 7.2.1; the padding is drawn."""
    drawn = bytes(1 + secrets.randbelow(255) for _ in range(key.k - len(message) - 3))
    em = eme_pkcs1_v1_5_parts(message, key.k, drawn)["EM"]
    return i2osp(rsaep(key, os2ip(em)), key.k)


def rsaes_pkcs1_v1_5_decrypt(key: PrivateKey, ciphertext: bytes) -> bytes:
    """RSAES-PKCS1-V1_5-DECRYPT, section 7.2.2; one ValueError for all that is malformed."""
    em = b""
    if len(ciphertext) == key.k and os2ip(ciphertext) < key.n:
        em = i2osp(rsadp(key, os2ip(ciphertext)), key.k)
    padding, zero, message = em[2:].partition(b"\x00")
    if em[:2] != b"\x00\x02" or not zero or len(padding) < 8:
        raise ValueError(DECRYPTION_ERROR)
    return message


def emsa_pss_parts(
    message: bytes, em_bits: int, salt: bytes, hash_name: str = "sha256"
) -> dict[str, bytes]:
    """Pad the hash of a message to `em_bits` bits, with a salt: EMSA-PSS-ENCODE, section 9.1.1."""
    parts = {"mHash": _hash(hash_name, message)}
    free = _octets(em_bits) - len(parts["mHash"]) - len(salt) - 2
    if free < 0:
        raise ValueError(f"encoding error: the key is {-free} bytes too short for hash and salt")
    parts["M'"] = bytes(8) + parts["mHash"] + salt
    parts["H"] = _hash(hash_name, parts["M'"])
    parts["PS"] = bytes(free)
    parts["DB"] = parts["PS"] + b"\x01" + salt
    parts["dbMask"] = mgf1(parts["H"], free + 1 + len(salt), hash_name)
    parts["maskedDB"] = _fitted(_xor(parts["DB"], parts["dbMask"]), em_bits)
    parts["EM"] = parts["maskedDB"] + parts["H"] + b"\xbc"
    return parts


def _fitted(octets: bytes, bits: int) -> bytes:
    """Set the leftmost bits to zero that a message of so many bits does not have."""
    return bytes([octets[0] & 0xFF >> -bits % 8]) + octets[1:]


def rsassa_pss_verify(
    key: PublicKey, message: bytes, signature: bytes, hash_name: str = "sha256"
) -> bool:
    """RSASSA-PSS-VERIFY, sections 8.1.2 and 9.1.2, with any salt; False for whatever is none."""
    em_bits, m_hash = key.n.bit_length() - 1, _hash(hash_name, message)
    em = _recovered(key, signature, _octets(em_bits))
    masked_db, h = em[: -len(m_hash) - 1], em[-len(m_hash) - 1 : -1]
    if not masked_db or em[-1] != 0xBC:
        return False
    db = _fitted(_xor(masked_db, mgf1(h, len(masked_db), hash_name)), em_bits)
    padding, one, salt = db.partition(b"\x01")
    if masked_db != _fitted(masked_db, em_bits) or any(padding) or not one:
        return False
    return _hash(hash_name, bytes(8) + m_hash + salt) == h


def _recovered(key: PublicKey, signature: bytes, em_length: int) -> bytes:
    """Return the EM in a signature; of a malformed one nothing, which no encoding equals."""
    try:
        return i2osp(rsavp1(key, os2ip(signature)), em_length) if len(signature) == key.k else b""
    except ValueError:
        return b""


def emsa_pkcs1_v1_5_parts(
    message: bytes, em_len: int, hash_name: str = "sha256"
) -> dict[str, bytes]:
    """Pad the hash of a message to `em_len` bytes: EMSA-PKCS1-v1_5, section 9.2.

    T names the hash beside its value, in DER: DigestInfo, section 9.2 step 2 and appendix A.2.4.
    """
    digest = _hash(hash_name, message)
    algorithm = _der(0x30, _der(0x06, OIDS[hash_name]) + _der(0x05, b""))  # OID, NULL
    t = _der(0x30, algorithm + _der(0x04, digest))
    if em_len < len(t) + 11:
        raise ValueError(
            f"intended encoded message length too short: {hash_name} needs a key of at least "
            f"{len(t) + 11} bytes"
        )
    ps = b"\xff" * (em_len - len(t) - 3)
    return {"H": digest, "T": t, "PS": ps, "EM": b"\x00\x01" + ps + b"\x00" + t}


def _der(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content  # one byte of length: nothing here reaches 128


def emsa_pkcs1_v1_5_encode(message: bytes, em_len: int, hash_name: str = "sha256") -> bytes:
    """EMSA-PKCS1-v1_5-ENCODE, section 9.2."""
    return emsa_pkcs1_v1_5_parts(message, em_len, hash_name)["EM"]


def rsassa_pkcs1_v1_5_sign(key: PrivateKey, message: bytes, hash_name: str = "sha256") -> bytes:
    """RSASSA-PKCS1-V1_5-SIGN, section 8.2.1: the same message always gives the same signature."""
    em = emsa_pkcs1_v1_5_encode(message, key.k, hash_name)
    return i2osp(rsasp1(key, os2ip(em)), key.k)


def rsassa_pkcs1_v1_5_verify(
    key: PublicKey, message: bytes, signature: bytes, hash_name: str = "sha256"
) -> bool:
    """RSASSA-PKCS1-V1_5-VERIFY, section 8.2.2; False for any bytes that are no such signature.

    ValueError for a key that is too short for the hash.
    """
    # Whoever searches the EM for its parts instead of comparing all of it may overlook what stands
    # between them: with e = 3 a cube root forges such a signature (Bleichenbacher 2006).
    return _recovered(key, signature, key.k) == emsa_pkcs1_v1_5_encode(message, key.k, hash_name)


def root(n: int, k: int) -> int:
    """Return the largest r with r^k <= n, by halving: undoes m^k where no modulus was reached."""
    if n < 0 or k < 1:
        raise ValueError("a root needs n of at least 0 and k of at least 1")
    low, high = 0, 2 ** (n.bit_length() // k + 1)  # low^k <= n < high^k throughout
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**k <= n else (low, middle)
    return low


def factor(n: int) -> tuple[int, int]:
    """Return the smaller of two factors of n, and how many steps it took: Pollard's rho.

    The steps grow like the root of that factor. Raises ValueError when n has no two factors.
    """
    if n < 4 or is_prime(n):
        raise ValueError("n has no two factors larger than 1")
    if n % 2 == 0:
        return 2, 0
    found, steps, c = n, 0, 0
    while found == n:  # both met modulo n itself, which tells nothing: walk differently
        found, c, slow, fast = 1, c + 1, 2, 2
        while found == 1:  # x → x² + c, slowly and fast, until both meet modulo a factor of n
            slow = (slow * slow + c) % n
            fast = (fast * fast + c) % n
            fast = (fast * fast + c) % n
            found, steps = gcd(slow - fast, n), steps + 1
    return min(found, n // found), steps
