"""The textbook RSA is right on the public vectors, agrees with the library, and never crashes."""

import ast
import re
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from math import gcd, isqrt
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

import vmscert
from vmscert.lessons import textbook
from vmscert.lessons.textbook import (
    DECRYPTION_ERROR,
    OIDS,
    PrivateKey,
    PublicKey,
    eme_oaep_parts,
    eme_pkcs1_v1_5_parts,
    emsa_pkcs1_v1_5_encode,
    emsa_pkcs1_v1_5_parts,
    emsa_pss_parts,
    factor,
    i2osp,
    is_prime,
    key_from_primes,
    mgf1,
    os2ip,
    root,
    rsadp,
    rsaep,
    rsaes_pkcs1_v1_5_decrypt,
    rsaes_pkcs1_v1_5_encrypt,
    rsasp1,
    rsassa_pkcs1_v1_5_sign,
    rsassa_pkcs1_v1_5_verify,
    rsassa_pss_verify,
    rsavp1,
)

VECTORS = Path(cryptography_vectors.__file__).parent / "asymmetric" / "RSA"
PKCS1_SIGN = "pkcs1v15sign-vectors.txt"
PKCS1_CRYPT = "pkcs1v15crypt-vectors.txt"
PSS, PSS_INT = "pkcs-1v2-1d2-vec/pss-vect.txt", "pkcs-1v2-1d2-vec/pss-int.txt"
OAEP, OAEP_INT = "pkcs-1v2-1d2-vec/oaep-vect.txt", "pkcs-1v2-1d2-vec/oaep-int.txt"
OAEP_CUSTOM = [f"oaep-custom/oaep-{one}-{one}.txt" for one in OIDS]
OAEP_CUSTOM.remove("oaep-custom/oaep-sha1-sha1.txt")  # that is oaep-vect.txt
MADE_PKCS1 = [f"FIPS_186-2/SigGen15_186-{end}" for end in ("2.rsp", "3.rsp")]
MADE_PSS = [f"FIPS_186-2/SigGenPSS_186-{end}" for end in ("2.rsp", "3.rsp")]
OPEN_PKCS1 = "FIPS_186-2/SigGen15_186-2.txt"  # the vectors of the .rsp, with d, and here the salts
OPEN_PSS = "FIPS_186-2/SigGenPSS_186-2.txt"
JUDGED_PKCS1 = ["FIPS_186-2/SigVer15_186-3.rsp", "SigVer15EMTest.txt"]
JUDGED_PSS = ["FIPS_186-2/SigVerPSS_186-3.rsp"]
KEYS = "FIPS_186-2/KeyGenRSA.rsp"
# ANSI X9.31 is another padding, which RFC 8017 does not have: ours must refuse what is right there.
X931 = [
    f"FIPS_186-2/{name}"
    for name in ("SigGenRSA.rsp", "SigGenRSA_186-2.rsp", "SigGenRSA_186-2.txt", "SigVerRSA.rsp")
]
USED = {
    *(PKCS1_SIGN, PKCS1_CRYPT, PSS, PSS_INT, OAEP, OAEP_INT, OPEN_PKCS1, OPEN_PSS),
    *(*OAEP_CUSTOM, *MADE_PKCS1, *MADE_PSS, *JUDGED_PKCS1, *JUDGED_PSS, *X931, KEYS),
}
FEW = settings(max_examples=40)  # for what takes a private key in each example
SKIPPED = {
    "FIPS_186-2/Readme.txt": "tells what the files are, and holds no vector",
    "pkcs-1v2-1d2-vec/readme.txt": "tells what the files are, and holds no vector",
    "oaep-label.txt": "the textbook pads without a label",
    **{
        f"oaep-custom/oaep-{one}-{two}.txt": "the textbook pads with one hash"
        for one in OIDS
        for two in OIDS
        if one != two
    },
}


def blocks(name):
    """Every `# Title` of a file that stands above bytes, with these bytes."""
    text = (VECTORS / name).read_text(encoding="ascii")
    for title, body in re.findall(r"^# *(\S[^\n]*)\n((?:[0-9a-f \t]*\n)+)", text, re.MULTILINE):
        if digits := "".join(body.split()):
            yield title.strip().rstrip(":"), bytes.fromhex("0" * (len(digits) % 2) + digits)


@cache
def titled(name):
    """Every vector of a file with titles: what stands above it, with its key, as one dict."""
    found, now = [], {}
    for title, value in blocks(name):
        now[title] = value
        if title in {"Encryption", "Signature"}:
            found.append(dict(now))
    return found


@cache
def listed(name):
    """Every vector of a file with lines `name = value`, ended by S, or by Result where one is."""
    text = (VECTORS / name).read_text(encoding="ascii")
    last = next(end for end in ("Result", "S", "d") if f"\n{end} = " in text)
    found, now = [], {}
    for line in text.splitlines():
        field, _, value = map(str.strip, line.strip("[]").partition("="))
        if value and not line.startswith("#"):
            now[field] = value
        if field == last:
            found.append(dict(now))
    return found


def number(vector, title):
    return os2ip(vector[title])


def titled_key(vector):
    """The key of a vector, every number compared; whether p and q are prime, other tests ask."""
    public = "Public exponent" if "Public exponent" in vector else "Exponent"
    p, q, e = number(vector, "Prime 1"), number(vector, "Prime 2"), number(vector, public)
    key = PrivateKey(p, q, e)
    assert key.n == number(vector, "Modulus")
    return key


@cache
def recovered(n, e, d):
    """The key with these numbers, for files that keep the primes to themselves."""
    return PrivateKey(*rsa.rsa_recover_prime_factors(n, e, d), e)


def listed_key(vector):
    return recovered(*(int(vector[field], 16) for field in "ned"))


def listed_public(vector):
    return PublicKey(int(vector["n"], 16), int(vector["e"], 16))


def told(vector):
    """What is signed, with the name of the hash."""
    return bytes.fromhex(vector["Msg"]), vector["SHAAlg"].lower()


def signature(vector):
    return bytes.fromhex(vector["S"])


def encrypting(key, em):
    """The ciphertext that opens to this encoding, right or wrong."""
    return i2osp(rsaep(key.public, os2ip(em)), key.k)


def signing(key, em):
    """The signature that opens to this encoding, right or wrong."""
    return i2osp(rsasp1(key, os2ip(em)), key.k)


def pss_signed(key, message, salt=bytes(32), hash_name="sha256"):
    return signing(key, emsa_pss_parts(message, key.n.bit_length() - 1, salt, hash_name)["EM"])


# The public vectors


def test_every_public_vector_file_is_used_or_skipped_for_a_written_reason():
    there = {path.relative_to(VECTORS).as_posix() for path in VECTORS.rglob("*.*")}
    assert there == USED | set(SKIPPED)
    assert not USED & set(SKIPPED)


COUNTS = dict.fromkeys([PKCS1_SIGN, PKCS1_CRYPT], 300) | dict.fromkeys(
    [PSS, OAEP, *OAEP_CUSTOM], 60
)
COUNTS_LISTED = dict.fromkeys([*MADE_PKCS1, *MADE_PSS, OPEN_PKCS1, OPEN_PSS], 250) | dict(
    zip([*JUDGED_PKCS1, *JUDGED_PSS, *X931], [450, 150, 450, 200, 200, 200, 360], strict=True)
)


def test_no_vector_of_a_file_is_overlooked():
    assert {name: len(titled(name)) for name in COUNTS} == COUNTS
    assert {name: len(listed(name)) for name in COUNTS_LISTED} == COUNTS_LISTED


def test_pkcs1_v1_5_signatures_come_out_as_in_the_vectors_and_verify():
    for vector in titled(PKCS1_SIGN):
        key, message = titled_key(vector), vector["Message to be signed"]
        assert rsassa_pkcs1_v1_5_sign(key, message, "sha1") == vector["Signature"]
        assert rsassa_pkcs1_v1_5_verify(key.public, message, vector["Signature"], "sha1")


def test_pkcs1_v1_5_ciphertexts_come_out_as_in_the_vectors_and_decrypt():
    for vector in titled(PKCS1_CRYPT):
        key, message = titled_key(vector), vector["Message"]
        em = eme_pkcs1_v1_5_parts(message, key.k, vector["Seed"])["EM"]
        assert encrypting(key, em) == vector["Encryption"]
        assert rsaes_pkcs1_v1_5_decrypt(key, vector["Encryption"]) == message


def test_pss_signatures_come_out_as_in_the_vectors_and_verify():
    for vector in titled(PSS):
        key, message = titled_key(vector), vector["Message to be signed"]
        assert pss_signed(key, message, vector["Salt"], "sha1") == vector["Signature"]
        assert rsassa_pss_verify(key.public, message, vector["Signature"], "sha1")


def test_oaep_ciphertexts_come_out_as_in_the_vectors():
    for vector in titled(OAEP):
        key = titled_key(vector)
        em = eme_oaep_parts(vector["Message"], key.k, vector["Seed"], "sha1")["EM"]
        assert encrypting(key, em) == vector["Encryption"]


@pytest.mark.parametrize("name", OAEP_CUSTOM)
def test_oaep_pads_with_every_hash_as_in_the_vectors(name):
    """One message of each key of each file, another in the next file: all 240 take too long."""
    hash_name = name.rpartition("-")[2].removesuffix(".txt")
    size = LIBRARY[hash_name].digest_size
    for vector in titled(name)[OAEP_CUSTOM.index(name) :: 6]:
        key = titled_key(vector)
        em = i2osp(rsadp(key, os2ip(vector["Encryption"])), key.k)
        seed = textbook._xor(em[1 : size + 1], mgf1(em[size + 1 :], size, hash_name))
        assert eme_oaep_parts(vector["Message"], key.k, seed, hash_name)["EM"] == em


@pytest.mark.parametrize("name", MADE_PKCS1)
def test_pkcs1_v1_5_signatures_of_every_hash_and_size_verify(name):
    for vector in listed(name):
        message, hash_name = told(vector)
        key = listed_public(vector)
        assert rsassa_pkcs1_v1_5_verify(key, message, signature(vector), hash_name)
        assert not rsassa_pkcs1_v1_5_verify(key, message + b"!", signature(vector), hash_name)


@pytest.mark.parametrize("name", MADE_PSS)
def test_pss_signatures_of_every_hash_and_size_verify(name):
    for vector in listed(name):
        message, hash_name = told(vector)
        key = listed_public(vector)
        assert rsassa_pss_verify(key, message, signature(vector), hash_name)
        assert not rsassa_pss_verify(key, message + b"!", signature(vector), hash_name)


def test_signatures_of_every_hash_and_size_come_out_as_in_the_vectors():
    """All are opened; one of ten is also signed up to 2048 bits: finding longer primes is slow."""
    for i, vector in enumerate(listed(OPEN_PKCS1)):
        public, (message, hash_name) = listed_public(vector), told(vector)
        em = i2osp(rsavp1(public, os2ip(signature(vector))), public.k)
        assert em == emsa_pkcs1_v1_5_encode(message, public.k, hash_name)
        if i % 10 == 0 and public.k <= 256:
            key = listed_key(vector)
            assert rsassa_pkcs1_v1_5_sign(key, message, hash_name) == signature(vector)
    for i, vector in enumerate(listed(OPEN_PSS)):
        public, (message, hash_name) = listed_public(vector), told(vector)
        salt = bytes.fromhex(vector["SaltVal"])
        em = i2osp(rsavp1(public, os2ip(signature(vector))), public.k)
        assert em == emsa_pss_parts(message, 8 * public.k - 1, salt, hash_name)["EM"]
        if i % 10 == 0 and public.k <= 256:
            key = listed_key(vector)
            assert pss_signed(key, message, salt, hash_name) == signature(vector)


@pytest.mark.parametrize("name", JUDGED_PKCS1)
def test_pkcs1_v1_5_accepts_and_refuses_exactly_what_the_vectors_say(name):
    for vector in listed(name):
        message, hash_name = told(vector)
        seen = rsassa_pkcs1_v1_5_verify(
            listed_public(vector), message, signature(vector), hash_name
        )
        assert seen == vector["Result"].startswith("P"), vector["Result"]


@pytest.mark.parametrize("name", JUDGED_PSS)
def test_pss_accepts_and_refuses_exactly_what_the_vectors_say(name):
    for vector in listed(name):
        message, hash_name = told(vector)
        seen = rsassa_pss_verify(listed_public(vector), message, signature(vector), hash_name)
        assert seen == vector["Result"].startswith("P"), vector["Result"]


def test_the_vectors_to_be_judged_hold_every_kind_of_fault():
    kinds = Counter(v["Result"][:4] for name in JUDGED_PKCS1[:1] + JUDGED_PSS for v in listed(name))
    assert kinds == {"P": 150, **{f"F ({kind}": 150 for kind in range(1, 6)}}


@pytest.mark.parametrize("name", X931)
def test_a_right_signature_of_another_standard_is_refused(name):
    for vector in listed(name):
        message, hash_name = told(vector)
        key = listed_public(vector)
        assert not rsassa_pkcs1_v1_5_verify(key, message, signature(vector), hash_name)
        assert not rsassa_pss_verify(key, message, signature(vector), hash_name)


def test_keys_from_the_primes_of_the_vectors_have_their_numbers():
    """All n and d; whether p and q are prime is asked in one of twelve, since that takes long."""
    for i, vector in enumerate(listed(KEYS)):
        p, q, e, n, d = (int(vector[field], 16) for field in ("p", "q", "e", "n", "d"))
        key = PrivateKey(p, q, e) if i % 12 else key_from_primes(p, q, e)
        assert (key.n, key.d) == (n, d)


# Every intermediate value


def test_oaep_shows_every_intermediate_value_of_the_vector():
    value = dict(blocks(OAEP_INT))
    message, seed = value["Message to be encrypted"], value["seed"]
    key = key_from_primes(
        number(value, "Prime 1"), number(value, "Prime 2"), number(value, "Public exponent")
    )
    parts = eme_oaep_parts(message, key.k, seed, "sha1")
    db = value["DB = pHash || Padding || M"]
    assert parts == {
        "lHash": value["pHash = Hash(encoding parameters)"],
        "PS": db[20 : -len(message) - 1],
        "DB": db,
        "seed": seed,
        "dbMask": value["dbMask = MGF(seed, length(DB))"],
        "maskedDB": value["maskedDB = DB xor dbMask"],
        "seedMask": value["seedMask = MGF(maskedDB, length(seed))"],
        "maskedSeed": value["maskedSeed = seed xor seedMask"],
        "EM": b"\0" + value["EM = maskedSeed || maskedDB"],  # version 2.0 wrote no leading zero
    }
    assert encrypting(key, parts["EM"]) == value["Ciphertext, the RSA encryption of EM"]


def test_decryption_in_two_halves_comes_out_as_in_the_vector():
    value = dict(blocks(OAEP_INT))
    key = key_from_primes(
        number(value, "Prime 1"), number(value, "Prime 2"), number(value, "Public exponent")
    )
    c = number(value, "c, the ciphertext")
    assert rsadp(key, c) == number(value, "m = m2 + q*h (= EM)") == pow(c, key.d, key.n)
    assert key.n == number(value, "Modulus")
    assert key.d == number(value, "Private exponent") % key.lambda_n


def test_pss_shows_every_intermediate_value_of_the_vector():
    value = dict(blocks(PSS_INT))
    key = titled_key(value)
    salt, message = value["salt"], value["Message to be signed"]
    parts = emsa_pss_parts(message, key.n.bit_length() - 1, salt, "sha1")
    db = value["DB = 00...00 01 || salt"]
    assert parts == {
        "mHash": value["Message hash"],
        "M'": value["inBlock = 00 00 00 00 00 00 00 00 || messageHash || salt"],
        "H": value["hash = Hash(inBlock)"],
        "PS": db[: -len(salt) - 1],
        "DB": db,
        "dbMask": value["dbMask = MGF(hash, outputLen - digestLen - 1)"],
        "maskedDB": value["maskedDB = dbMask  xor DB"],
        "EM": value["EM = maskedDB || hash || bc"],
    }
    assert signing(key, parts["EM"]) == value["Signature, the RSA decryption of EM"]
    assert key.d == number(value, "Exponent") % key.lambda_n


def test_parts_come_in_the_order_in_which_they_arise():
    oaep, pss = eme_oaep_parts(b"m", 128, bytes(32)), emsa_pss_parts(b"m", 1023, bytes(32))
    assert " ".join(oaep) == "lHash PS DB seed dbMask maskedDB seedMask maskedSeed EM"
    assert " ".join(pss) == "mHash M' H PS DB dbMask maskedDB EM"
    assert " ".join(emsa_pkcs1_v1_5_parts(b"m", 64)) == "H T PS EM"
    assert " ".join(eme_pkcs1_v1_5_parts(b"m", 16, b"1" * 12)) == "PS EM"


# RFC 8017 section 9.2 note 1, as printed there.
PREFIXES = {
    "sha1": "30 21 30 09 06 05 2b 0e 03 02 1a 05 00 04 14",
    "sha224": "30 2d 30 0d 06 09 60 86 48 01 65 03 04 02 04 05 00 04 1c",
    "sha256": "30 31 30 0d 06 09 60 86 48 01 65 03 04 02 01 05 00 04 20",
    "sha384": "30 41 30 0d 06 09 60 86 48 01 65 03 04 02 02 05 00 04 30",
    "sha512": "30 51 30 0d 06 09 60 86 48 01 65 03 04 02 03 05 00 04 40",
}


@pytest.mark.parametrize("hash_name", OIDS)
def test_a_digest_info_starts_as_the_rfc_prints_it(hash_name):
    parts = emsa_pkcs1_v1_5_parts(b"abc", 128, hash_name)
    assert parts["T"] == bytes.fromhex(PREFIXES[hash_name]) + parts["H"]


# Primes and keys

# The smallest composites that pass the first 1, 2, 3 … prime bases (OEIS A014233).
STRONG_PSEUDOPRIMES = [
    2_047,
    1_373_653,
    25_326_001,
    3_215_031_751,
    2_152_302_898_747,
    3_474_749_660_383,
    341_550_071_728_321,
    3_825_123_056_546_413_051,
    318_665_857_834_031_151_167_461,
    3_317_044_064_679_887_385_961_981,
]
CARMICHAEL = [561, 1105, 1729, 2465, 2821, 6601, 8911, 10585, 15841, 29341, 101_101, 825_265]
# Arnault 1995: n passes every prime base below 307.
P1 = int(
    "29674495668685510550154174642905332730771991799853043350995075531276838753171770199594238596"
    "428121188033664754218345562493168782883"
)
ARNAULT = P1 * (313 * (P1 - 1) + 1) * (353 * (P1 - 1) + 1)


def sieve(end):
    """All primes below `end`, by crossing out multiples."""
    left = bytearray([0, 0] + [1] * (end - 2))
    for i in range(2, isqrt(end) + 1):
        left[i * i :: i] = bytes(len(left[i * i :: i]))
    return [i for i, prime in enumerate(left) if prime]


def test_the_primes_below_ten_thousand_are_those_of_a_sieve():
    assert [n for n in range(-5, 10_000) if is_prime(n)] == sieve(10_000)


@pytest.mark.parametrize("n", STRONG_PSEUDOPRIMES + CARMICHAEL)
def test_a_composite_that_deceives_simpler_tests_is_found_out(n):
    assert pow(2, n - 1, n) == 1
    assert not is_prime(n)


def test_a_composite_made_to_deceive_fixed_bases_is_found_out():
    assert not any(textbook._is_witness(base, ARNAULT) for base in textbook._PRIMES)
    assert not is_prime(ARNAULT)


@pytest.mark.parametrize("exponent", [61, 89, 107, 127, 521, 607, 1279])
def test_large_primes_are_prime_and_their_products_are_not(exponent):
    prime = 2**exponent - 1
    assert is_prime(prime)
    assert not is_prime(prime * (2**127 - 1))
    assert not is_prime(prime - 2**10)


@given(st.integers(2, 2**48), st.integers(2, 2**48))
def test_no_product_is_prime(one, other):
    assert not is_prime(one * other)


def test_a_tiny_key_has_the_numbers_that_one_reckons_by_hand():
    key = key_from_primes(61, 53, 17)
    assert (key.n, key.lambda_n, key.d, key.k) == (3233, 780, 413, 2)
    assert key.public == PublicKey(3233, 17)
    assert key.public.k == 2


def test_a_tiny_key_brings_every_number_back():
    key = key_from_primes(61, 53, 17)
    for m in range(key.n):
        assert rsadp(key, rsaep(key.public, m)) == m == rsavp1(key.public, rsasp1(key, m))
        assert rsasp1(key, m) == pow(m, key.d, key.n)


@pytest.mark.parametrize(
    ("p", "q", "e", "said"),
    [
        (60, 53, 17, "p is not an odd prime"),
        (61, 51, 17, "q is not an odd prime"),
        (2, 53, 17, "p is not an odd prime"),
        (0, 53, 17, "p is not an odd prime"),
        (61, -53, 17, "q is not an odd prime"),
        (STRONG_PSEUDOPRIMES[-1], 53, 17, "p is not an odd prime"),
        (61, 61, 17, "p and q are equal"),
        (61, 53, 13, "shares a factor"),
        (61, 53, 4, "shares a factor"),
        (61, 53, 1, "at least 3"),
        (61, 53, 0, "at least 3"),
        (61, 53, -17, "at least 3"),
        (61, 53, 65537, "smaller than n"),
    ],
)
def test_numbers_that_make_no_key_are_refused_in_one_sentence(p, q, e, said):
    sentence = refusal(key_from_primes, p, q, e)
    assert said in sentence
    assert "\n" not in sentence and len(sentence) < 100


@given(st.sampled_from(sieve(300)[1:]), st.sampled_from(sieve(300)[1:]), st.integers(3, 2000))
def test_every_key_that_is_made_decrypts_what_it_encrypts(p, q, e):
    try:
        key = key_from_primes(p, q, e)
    except ValueError:
        assert p == q or e >= p * q or gcd(e, (p - 1) * (q - 1)) > 1
        return
    for m in {0, 1, 2, p, q, key.n - 1, key.n // 2}:
        assert rsadp(key, rsaep(key.public, m)) == m


# The bare operations


@pytest.mark.parametrize("number_", [-1, 3233, 10**9])
def test_a_number_outside_the_modulus_is_refused(number_):
    key = key_from_primes(61, 53, 17)
    for verb, half in ((rsaep, "public"), (rsavp1, "public"), (rsadp, "private"), (rsasp1, "")):
        with pytest.raises(ValueError, match="representative out of range"):
            verb(key.public if half == "public" else key, number_)


@given(st.binary())
def test_bytes_become_a_number_and_come_back(octets):
    assert i2osp(os2ip(octets), len(octets)) == octets


@pytest.mark.parametrize(("x", "length"), [(256, 1), (-1, 4), (1, 0), (2**64, 8)])
def test_a_number_that_does_not_fit_is_refused(x, length):
    assert "integer too large" in refusal(i2osp, x, length)


def test_bytes_are_read_with_the_most_significant_first():
    assert os2ip(bytes.fromhex("8c6950")) == 9_202_000
    assert i2osp(9_202_000, 4) == bytes.fromhex("008c6950")
    assert (os2ip(b""), i2osp(0, 0)) == (0, b"")


@given(st.binary(max_size=80), st.integers(0, 300), st.sampled_from(list(OIDS)))
def test_a_longer_mask_starts_like_the_shorter(seed, length, hash_name):
    mask = mgf1(seed, length, hash_name)
    assert len(mask) == length
    assert mgf1(seed, 400, hash_name).startswith(mask)


def test_an_unknown_hash_is_named_with_those_there_are():
    key = key_from_primes(61, 53, 17)
    wanted = "unknown hash 'md5': take one of sha1, sha224, sha256, sha384, sha512"
    for call in (
        lambda: mgf1(b"", 1, "md5"),
        lambda: emsa_pkcs1_v1_5_parts(b"", 128, "md5"),
        lambda: emsa_pss_parts(b"", 1023, b"", "md5"),
        lambda: eme_oaep_parts(b"", 128, b"", "md5"),
        lambda: rsassa_pss_verify(key.public, b"", b"", "md5"),
        lambda: rsassa_pkcs1_v1_5_verify(key.public, b"", b"", "md5"),
    ):
        assert refusal(call) == wanted


# Against the library

LIBRARY = {name: getattr(hashes, name.upper())() for name in OIDS}
PKCS1 = padding.PKCS1v15()


def first_key(name):
    return titled_key(titled(name)[0])


BIG = first_key(PSS)  # 1024 bits
ODD = titled_key(titled(PSS)[6])  # 1025 bits: here EM of PSS is a byte shorter than n


@pytest.fixture(scope="module")
def ours(key):
    """The key of the library, 2048 bits, as one of ours."""
    numbers = key.private_numbers()
    return key_from_primes(numbers.p, numbers.q, numbers.public_numbers.e)


def pss(hash_name, salt_length):
    return padding.PSS(padding.MGF1(LIBRARY[hash_name]), salt_length)


def test_a_key_has_the_same_numbers_as_in_the_library(keys):
    for key in keys:
        theirs = key.private_numbers()
        mine = PrivateKey(theirs.p, theirs.q, theirs.public_numbers.e)
        assert (mine.n, mine.d) == (theirs.public_numbers.n, theirs.d)
        assert mine.k * 8 == key.key_size


@pytest.mark.parametrize("hash_name", OIDS)
def test_pkcs1_v1_5_signatures_are_those_of_the_library(key, ours, hash_name):
    signed = rsassa_pkcs1_v1_5_sign(ours, b"message", hash_name)
    assert signed == key.sign(b"message", PKCS1, LIBRARY[hash_name])
    assert rsassa_pkcs1_v1_5_verify(ours.public, b"message", signed, hash_name)


@pytest.mark.parametrize("hash_name", OIDS)
@pytest.mark.parametrize("salt_length", [0, 7, "hash", "longest"])
def test_pss_signatures_verify_on_both_sides(key, ours, hash_name, salt_length):
    size = LIBRARY[hash_name].digest_size
    length = {"hash": size, "longest": 256 - size - 2}.get(salt_length, salt_length)
    theirs = key.sign(b"message", pss(hash_name, length), LIBRARY[hash_name])
    assert rsassa_pss_verify(ours.public, b"message", theirs, hash_name)
    signed = pss_signed(ours, b"message", bytes(length), hash_name)
    key.public_key().verify(signed, b"message", pss(hash_name, length), LIBRARY[hash_name])


def test_pkcs1_v1_5_encryption_is_read_on_both_sides(key, ours):
    encrypted = rsaes_pkcs1_v1_5_encrypt(ours.public, b"message")
    assert key.decrypt(encrypted, PKCS1) == b"message"
    assert rsaes_pkcs1_v1_5_decrypt(ours, key.public_key().encrypt(b"message", PKCS1)) == b"message"


@pytest.mark.parametrize("hash_name", OIDS)
def test_oaep_is_read_by_the_library(key, ours, hash_name):
    oaep = padding.OAEP(padding.MGF1(LIBRARY[hash_name]), LIBRARY[hash_name], None)
    seed = bytes(range(LIBRARY[hash_name].digest_size))
    em = eme_oaep_parts(b"message", ours.k, seed, hash_name)["EM"]
    assert key.decrypt(encrypting(ours, em), oaep) == b"message"


@FEW
@given(change=st.integers(1, 2**2047), message=st.binary(max_size=40))
def test_the_library_and_the_textbook_refuse_the_same_changed_signatures(
    key, ours, change, message
):
    signed = key.sign(message, pss("sha256", 32), LIBRARY["sha256"])
    changed = i2osp(os2ip(signed) ^ change, 256)
    assert not rsassa_pss_verify(ours.public, message, changed)
    with pytest.raises(InvalidSignature):
        key.public_key().verify(changed, message, pss("sha256", 32), LIBRARY["sha256"])


# Round trips, and chance


def test_padding_for_encrypting_is_drawn_anew_each_time():
    drawn = [rsaes_pkcs1_v1_5_encrypt(BIG.public, b"message") for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_drawn_padding_is_never_zero():
    padded = [rsaes_pkcs1_v1_5_encrypt(BIG.public, b"") for _ in range(30)]
    assert [rsaes_pkcs1_v1_5_decrypt(BIG, one) for one in padded] == [b""] * 30


@FEW
@pytest.mark.parametrize("key", [BIG, ODD], ids=["1024 bits", "1025 bits"])
@given(data=st.data())
def test_a_message_of_any_length_comes_back(key, data):
    message = data.draw(st.binary(max_size=key.k - 11))
    assert rsaes_pkcs1_v1_5_decrypt(key, rsaes_pkcs1_v1_5_encrypt(key.public, message)) == message


@FEW
@pytest.mark.parametrize("key", [BIG, ODD], ids=["1024 bits", "1025 bits"])
@given(message=st.binary(max_size=300), salt=st.binary(max_size=94))
def test_a_signature_of_any_message_verifies(key, message, salt):
    signed = pss_signed(key, message, salt)
    assert rsassa_pss_verify(key.public, message, signed)
    assert not rsassa_pss_verify(key.public, message + b"\0", signed)
    signed = rsassa_pkcs1_v1_5_sign(key, message)
    assert rsassa_pkcs1_v1_5_verify(key.public, message, signed)
    assert not rsassa_pkcs1_v1_5_verify(key.public, message + b"\0", signed)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: eme_oaep_parts(bytes(63), 128, bytes(32)), "message too long: 63 bytes, and 62"),
        (lambda: eme_oaep_parts(b"", 128, b"short"), "32 bytes"),
        (lambda: rsaes_pkcs1_v1_5_encrypt(BIG.public, bytes(118)), "message too long: 118 bytes"),
        (lambda: eme_pkcs1_v1_5_parts(b"", 128, b"short"), "125 bytes"),
        (lambda: eme_pkcs1_v1_5_parts(b"", 128, bytes(125)), "none of them zero"),
        (lambda: emsa_pss_parts(b"", 1023, bytes(95)), "1 bytes too short"),
        (lambda: emsa_pss_parts(b"", 1023, bytes(64), "sha512"), "2 bytes too short"),
        (lambda: rsassa_pkcs1_v1_5_sign(TINY, b""), "length too short"),
        (lambda: rsaes_pkcs1_v1_5_encrypt(TINY.public, b""), "message too long"),
    ],
)
def test_what_does_not_fit_a_key_is_refused_in_words(call, said):
    assert said in refusal(call)


def test_the_longest_that_fits_is_taken():
    assert len(eme_oaep_parts(bytes(62), 128, bytes(32))["EM"]) == 128
    assert len(rsaes_pkcs1_v1_5_encrypt(BIG.public, bytes(117))) == 128
    assert len(emsa_pss_parts(b"", 1023, bytes(94))["EM"]) == 128


# Malformed input: refuse, never crash

TINY = key_from_primes(61, 53, 17)
SIGNED = {
    rsassa_pss_verify: pss_signed(BIG, b"message"),
    rsassa_pkcs1_v1_5_verify: rsassa_pkcs1_v1_5_sign(BIG, b"message"),
}
ENCRYPTED = rsaes_pkcs1_v1_5_encrypt(BIG.public, b"message")


def refusal(call, *arguments, **named):
    """The text of the ValueError; every other exception goes through."""
    with pytest.raises(ValueError) as refused:
        call(*arguments, **named)
    assert refused.type is ValueError
    return str(refused.value)


def decrypted(key, ciphertext):
    """What comes out, or None; every refusal has the one text."""
    try:
        return rsaes_pkcs1_v1_5_decrypt(key, ciphertext)
    except ValueError as error:
        assert str(error) == DECRYPTION_ERROR
        return None


MALFORMED = {
    "empty": lambda good, n: b"",
    "one byte short": lambda good, n: good[1:],
    "one byte cut off": lambda good, n: good[:-1],
    "a zero before": lambda good, n: b"\0" + good,
    "a zero behind": lambda good, n: good + b"\0",
    "twice": lambda good, n: good + good,
    "zero": lambda good, n: bytes(len(good)),
    "one": lambda good, n: i2osp(1, len(good)),
    "n": lambda good, n: i2osp(n, len(good)),
    "n - 1": lambda good, n: i2osp(n - 1, len(good)),
    "n - good": lambda good, n: i2osp(n - os2ip(good), len(good)),
    "all ones": lambda good, n: b"\xff" * len(good),
    "backwards": lambda good, n: good[::-1],
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_signature_or_ciphertext_is_refused(change):
    for verify, good in SIGNED.items():
        assert verify(BIG.public, b"message", good)
        assert verify(BIG.public, b"message", change(good, BIG.n)) is False
    assert decrypted(BIG, ENCRYPTED) == b"message"
    assert decrypted(BIG, change(ENCRYPTED, BIG.n)) is None


def test_a_number_that_is_right_but_for_a_multiple_of_n_is_refused():
    """Whoever forgets to compare with n accepts two signatures for one."""
    signed = (pss_signed(BIG, b"message", bytes(length)) for length in range(32))
    good = next(one for one in signed if os2ip(one) + BIG.n < 256**BIG.k)
    assert rsassa_pss_verify(BIG.public, b"message", good)
    assert not rsassa_pss_verify(BIG.public, b"message", i2osp(os2ip(good) + BIG.n, BIG.k))
    encrypted = (rsaes_pkcs1_v1_5_encrypt(BIG.public, bytes(i)) for i in range(64))
    good = next(one for one in encrypted if os2ip(one) + BIG.n < 256**BIG.k)
    assert decrypted(BIG, good) is not None
    assert decrypted(BIG, i2osp(os2ip(good) + BIG.n, BIG.k)) is None


@given(
    st.integers(-(2**20), 2**600),
    st.integers(-3, 2**20),
    st.binary(max_size=80),
    st.sampled_from(list(OIDS)),
)
@example(0, 0, b"", "sha1")
@example(1, 0, b"\0", "sha1")
@example(2, -1, b"\1", "sha1")
@example(2**592 - 2, 3, bytes(74), "sha1")
def test_no_bytes_verify_by_chance_with_any_key(n, e, octets, hash_name):
    key = PublicKey(n, e)
    fitting = octets[: key.k].rjust(key.k, b"\0")
    for tried in (octets, fitting):
        assert rsassa_pss_verify(key, b"message", tried, hash_name) is False
        try:
            assert rsassa_pkcs1_v1_5_verify(key, b"message", tried, hash_name) is False
        except ValueError as error:
            assert "length too short" in str(error)


@given(st.binary(max_size=140))
@example(b"")
def test_random_bytes_are_no_ciphertext(octets):
    for tried in (octets, octets[:128].rjust(128, b"\x01")):
        assert decrypted(TINY, tried) is None
        assert isinstance(decrypted(BIG, tried), bytes | None)


@FEW
@pytest.mark.parametrize("key", [BIG, ODD], ids=["1024 bits", "1025 bits"])
@given(bit=st.integers(0, 1014), salt=st.binary(max_size=30))
def test_one_changed_bit_anywhere_in_the_padding_is_refused(key, bit, salt):
    em = i2osp(os2ip(emsa_pss_parts(b"m", key.n.bit_length() - 1, salt)["EM"]) ^ 1 << bit, key.k)
    assert not rsassa_pss_verify(key.public, b"m", signing(key, em))
    em = i2osp(os2ip(emsa_pkcs1_v1_5_encode(b"m", key.k)) ^ 1 << bit, key.k)
    assert not rsassa_pkcs1_v1_5_verify(key.public, b"m", signing(key, em))


@pytest.mark.parametrize(
    "em",
    [
        b"\x00\x02" + b"\xaa" * 7 + b"\x00" + b"m" * 118,  # seven bytes of padding, not eight
        b"\x00\x02" + b"\x00" + b"m" * 125,
        b"\x00\x02" + b"\xaa" * 126,  # no end of the padding
        b"\x00\x01" + b"\xaa" * 100 + b"\x00" + b"m" * 25,
        b"\x00\x00" + b"\xaa" * 100 + b"\x00" + b"m" * 25,
        b"\x01\x02" + b"\xaa" * 100 + b"\x00" + b"m" * 25,
    ],
)
def test_malformed_pkcs1_v1_5_padding_is_refused_with_the_one_text(em):
    assert decrypted(BIG, encrypting(BIG, em)) is None


def pss_em(db, trailer=b"\xbc"):
    """An encoding of any DB whose H fits the salt behind the first 01."""
    salt = db.partition(b"\x01")[2]
    h = emsa_pss_parts(b"m", 1023, salt)["H"]
    masked = textbook._fitted(textbook._xor(db, mgf1(h, len(db), "sha256")), 1023)
    return masked + h + trailer


@pytest.mark.parametrize(
    "em",
    [
        pss_em(bytes(60) + b"\x02\x01" + b"salt" * 8 + b"!"),  # not zero before the 01
        pss_em(bytes(95)),  # no 01
        pss_em(bytes(62) + b"\x01" + b"salt" * 8, trailer=b"\xcc"),
        pss_em(bytes(61) + b"\x01" + b"salt" * 8),  # too short
        b"\xbc" * 33,
        b"\xbc",
        b"",
    ],
)
def test_malformed_pss_padding_is_refused(em):
    assert not rsassa_pss_verify(BIG.public, b"m", signing(BIG, em))


def test_well_formed_pss_padding_is_taken_for_its_message():
    signed = signing(BIG, pss_em(bytes(62) + b"\x01" + b"salt" * 8))
    assert rsassa_pss_verify(BIG.public, b"m", signed)
    assert not rsassa_pss_verify(BIG.public, b"another", signed)


def test_a_bit_that_the_encoding_does_not_have_is_refused():
    ems = (emsa_pss_parts(b"m", 1023, bytes([i]))["EM"] for i in range(64))
    good, bad = next((e, b) for e in ems if os2ip(b := bytes([e[0] | 0x80]) + e[1:]) < BIG.n)
    assert rsassa_pss_verify(BIG.public, b"m", signing(BIG, good))
    assert not rsassa_pss_verify(BIG.public, b"m", signing(BIG, bad))


# What an attacker does


@pytest.fixture(scope="module")
def cube_key():
    """A key with e = 3, for which no p - 1 may be a multiple of 3."""
    return key_from_primes(2**767 + 699, 2**767 + 6045, 3)


def test_a_forgery_by_cube_root_does_not_verify(cube_key):
    """Bleichenbacher 2006: right at the front, garbage behind, made without the private key."""
    key = cube_key.public
    front = b"\x00\x01" + b"\xff" * 8 + b"\x00" + emsa_pkcs1_v1_5_parts(b"pay", key.k)["T"]
    forged = root(os2ip(front.ljust(key.k, b"\xff")), 3)
    assert i2osp(rsavp1(key, forged), key.k).startswith(front)
    assert not rsassa_pkcs1_v1_5_verify(key, b"pay", i2osp(forged, key.k))


@given(st.integers(0, 2**300), st.integers(1, 20))
def test_a_root_is_the_largest_whose_power_does_not_exceed(n, k):
    assert root(n, k) ** k <= n < (root(n, k) + 1) ** k


@given(st.integers(0, 2**300), st.integers(1, 7))
def test_the_root_of_a_power_is_what_was_raised(r, k):
    assert root(r**k, k) == r
    assert r < 1 or root(r**k - 1, k) == r - 1 or k == 1


@pytest.mark.parametrize(("n", "k"), [(-1, 3), (8, 0), (8, -2)])
def test_a_root_that_does_not_exist_is_refused(n, k):
    assert "root" in refusal(root, n, k)


def test_a_short_message_without_padding_is_read_without_the_key(cube_key):
    encrypted = rsaep(cube_key.public, os2ip(b"PIN 4711"))
    assert i2osp(root(encrypted, 3), 8) == b"PIN 4711"


def test_every_composite_below_ten_thousand_is_factored_and_every_prime_refused():
    primes = set(sieve(10_000))
    for n in set(range(4, 10_000)) - primes:
        found, steps = factor(n)
        assert 1 < found <= n // found and n % found == 0
        assert 0 <= steps < 100
    for n in primes | {-4, 0, 1}:
        assert "no two factors" in refusal(factor, n)


def test_factoring_takes_the_same_steps_every_time():
    assert factor(61 * 53) == factor(61 * 53)
    assert factor(61 * 53)[0] == 53
    assert factor(3_221_225_473 * 4_294_967_291) == (3_221_225_473, 40_631)


def test_factoring_takes_more_steps_for_longer_factors():
    primes = [2**10 - 3, 2**16 - 15, 2**22 - 3, 2**28 - 57, 2**34 - 41]
    steps = [factor(p * (2**89 - 1))[1] for p in primes]
    assert all(2 * one < two for one, two in pairwise(steps))


# The place of the textbook


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_textbook_needs_only_the_standard_library_and_says_what_it_is_for():
    names = {name.split(".")[0] for name in imported(Path(textbook.__file__))}
    assert names <= sys.stdlib_module_names
    assert "FOR LESSONS ONLY" in textbook.__doc__


def test_no_module_imports_the_textbook():
    for path in Path(vmscert.__file__).parent.rglob("*.py"):
        assert not any("textbook" in name for name in imported(path)), path.name
