"""The CA key at rest: it opens with its password, in any tool, and with nothing else."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vmscert.certificates.keys import check_password, clear_key, decrypt_key, encrypt_key

PASSWORD = "correct horse battery staple"
# What RFC 8018 and RFC 2898 call the parts, as bytes of DER.
PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
HMAC_SHA256 = bytes.fromhex("06082a864886f70d0209")
AES_256_CBC = bytes.fromhex("060960864801650304012a")
ROUNDS_600_000 = bytes.fromhex("02030927c0")


@pytest.fixture(scope="module")
def pem(key):
    return encrypt_key(key, PASSWORD)


def public(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def der(pem):
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def test_the_password_opens_the_file(pem, key):
    assert clear_key(key) == clear_key(decrypt_key(pem, PASSWORD))


def test_openssl_opens_the_file(pem, key, openssl, tmp_path):
    path = tmp_path / "ca.key"
    path.write_bytes(pem)
    asked = ("pkey", "-in", path, "-passin", "env:PASSWORD", "-pubout", "-outform", "DER")
    assert public(key) == openssl(*asked, password=PASSWORD).stdout
    assert openssl(*asked, password="correct horse battery stable").returncode != 0


def test_guessing_the_password_takes_600_000_rounds_a_guess(pem):
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert all(part in der(pem) for part in (PBKDF2, HMAC_SHA256, AES_256_CBC, ROUNDS_600_000))


def test_nothing_of_the_key_is_in_the_file(pem, key):
    numbers = key.private_numbers()
    secrets = (numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    for number in (*secrets, numbers.public_numbers.n):
        assert number.to_bytes(256).lstrip(b"\0") not in der(pem)


def test_the_same_key_and_password_never_make_the_same_file(key, monkeypatch):
    monkeypatch.setattr("vmscert.certificates.keys.ROUNDS", 1)
    files = {encrypt_key(key, PASSWORD) for _ in range(20)}
    assert len({der(file)[-64:] for file in files}) == 20


def test_a_password_may_have_any_letters(key, monkeypatch):
    monkeypatch.setattr("vmscert.certificates.keys.ROUNDS", 1)
    password = "Ein Gruß aus Kraków, 北京"
    assert public(key) == public(decrypt_key(encrypt_key(key, password), password))


def test_a_wrong_password_is_one_sentence_whatever_it_decrypts_to(key, monkeypatch):
    """One wrong password in 256 leaves something that looks like a padded text."""
    monkeypatch.setattr("vmscert.certificates.keys.ROUNDS", 1)
    pem = encrypt_key(key, PASSWORD)
    for guess in range(2000):
        with pytest.raises(ValueError, match=r"^The password does not open the key file: [^\n]*$"):
            decrypt_key(pem, f"guess {guess}")


def test_an_empty_password_is_told_as_such(pem):
    with pytest.raises(ValueError, match="The password is empty"):
        decrypt_key(pem, "")


@pytest.mark.parametrize("layout", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_clear_key_is_refused(key, layout):
    pem = key.private_bytes(Encoding.PEM, layout, NoEncryption())
    with pytest.raises(ValueError, match="The key file is not encrypted"):
        decrypt_key(pem, PASSWORD)


def test_a_key_that_is_not_rsa_is_refused():
    encryption = BestAvailableEncryption(PASSWORD.encode())
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    with pytest.raises(ValueError, match="does not hold an RSA key"):
        decrypt_key(pem, PASSWORD)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: b"",
        lambda pem: b"not a key at all",
        lambda pem: pem[: len(pem) // 2],
        lambda pem: pem.replace(b"ENCRYPTED PRIVATE", b"CERTIFICATE"),
        lambda pem: pem[:200] + b"AAAA" + pem[204:],
    ],
    ids=["empty", "other text", "half", "other label", "other bytes"],
)
def test_a_damaged_file_sends_the_reader_to_the_backup(pem, spoil):
    with pytest.raises(ValueError, match="restore the file from the backup"):
        decrypt_key(spoil(pem), PASSWORD)


def test_a_short_password_protects_no_ca_key(key):
    assert check_password("twelve chars") == "twelve chars"
    for refuse in (check_password, lambda password: encrypt_key(key, password)):
        with pytest.raises(ValueError, match="11 letters; a CA key needs at least 12") as refused:
            refuse("eleven char")
        assert "eleven char" not in str(refused.value)
