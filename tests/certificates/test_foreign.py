"""Certificates that OpenSSL reads and cryptography does not; OpenSSL itself is asked here."""

import random
import ssl
from datetime import UTC, datetime

import pytest
from chains import AT, NAME, Chain, key, vectors
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import MD5, SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.ber import rounds, tlv, values
from vmscert.certificates import foreign
from vmscert.certificates.authority import is_signed_by, thumbprint
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.reading import made_by
from vmscert.certificates.words import read_der

SUBJECT, EXTENSIONS = 5, 7  # places in TBSCertificate


def openssl_reads(der):
    """Whether OpenSSL, as clients use it, takes these bytes for a certificate."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):
        return False
    return True


def with_part(der, place, change):
    """The certificate with one part changed, each length made anew; its signature is old."""
    tbs, *rest = values(next(values(der)).content)
    parts = [one.whole for one in values(tbs.content)]
    parts[place] = change(parts[place])
    return tlv(b"\x30", tlv(b"\x30", b"".join(parts)) + b"".join(one.whole for one in rest))


def replaced(old, new):
    """A change of some bytes, whose number stays."""
    assert len(old) == len(new)

    def change(part):
        assert old in part
        return part.replace(old, new, 1)

    return change


def extension(oid, change):
    """A change of one extension, which is given as (critical as written, value), or added."""

    def changed(part):
        listed = next(values(next(values(part)).content))
        wanted, held, found = tlv(b"\x06", bytes.fromhex(oid)), [], (b"", b"")
        for one in values(listed.content):
            number, *between, value = values(one.content)
            if number.whole == wanted:
                found = b"".join(each.whole for each in between), value.content
            else:
                held.append(one.whole)
        flag, told = change(*found)
        held.append(tlv(b"\x30", wanted + flag + tlv(b"\x04", told)))
        return tlv(b"\xa3", tlv(b"\x30", b"".join(held)))

    return changed


BASIC, USAGE, AKI, SAN, EKU = "551d13", "551d0f", "551d23", "551d11", "551d25"
FALSE = bytes.fromhex("010100")
ODD = {
    "letters in a PrintableString": (SUBJECT, lambda part: printable(part, b"rec&*@_01")),
    "a TeletexString": (SUBJECT, lambda part: printable(part, "Zürich".encode("latin-1"), 0x14)),
    "a number for a name": (SUBJECT, lambda part: printable(part, b"\0\x80", 0x03)),
    "version 66": (0, replaced(b"\x02\x01\x02", b"\x02\x01\x41")),
    "a TRUE of 01": (EXTENSIONS, extension(USAGE, lambda flag, told: (b"\x01\x01\x01", told))),
    "critical FALSE": (EXTENSIONS, extension(EKU, lambda flag, told: (FALSE, told))),
    "FALSE in basicConstraints": (
        EXTENSIONS,
        extension(BASIC, lambda flag, told: (flag, tlv(b"\x30", FALSE))),
    ),
    "a path length without a CA": (
        EXTENSIONS,
        extension(BASIC, lambda flag, told: (flag, bytes.fromhex("3003020100"))),
    ),
    "decipherOnly": (
        EXTENSIONS,
        extension(USAGE, lambda flag, told: (flag, bytes.fromhex("030307a080"))),
    ),
    "an issuer in the key identifier": (
        EXTENSIONS,
        extension(AKI, lambda flag, told: (flag, appended(told, bytes.fromhex("a104a4023000")))),
    ),
    "an address of five bytes": (
        EXTENSIONS,
        extension(SAN, lambda flag, told: (flag, appended(told, bytes.fromhex("87050a0a0a0a0a")))),
    ),
    "an X.400 name": (
        EXTENSIONS,
        extension(SAN, lambda flag, told: (flag, appended(told, bytes.fromhex("a3023000")))),
    ),
}


def appended(sequence, more):
    return tlv(b"\x30", next(values(sequence)).content + more)


def printable(_, text, tag=0x13):
    kind = bytes.fromhex("0603550403")
    return tlv(b"\x30", tlv(b"\x31", tlv(b"\x30", kind + tlv(bytes([tag]), text))))


@pytest.fixture(scope="module")
def chain():
    return Chain().certificates()


@pytest.mark.parametrize("what", ODD)
def test_what_openssl_reads_is_read_and_its_oddity_told(chain, what):
    leaf, middle, root = chain
    der = with_part(leaf.public_bytes(Encoding.DER), *ODD[what])
    assert openssl_reads(der)
    one = foreign.certificate(der)
    assert one.public_bytes(Encoding.DER) == der
    assert thumbprint(one) != thumbprint(leaf)
    told = diagnose([one, middle], NAME, [root], AT)
    odd = [f for f in told.findings if f.code == "profile"]
    assert [(f.where, f.severity) for f in odd] == [("leaf", "dubious")]
    # Whoever changes a byte breaks the signature; nothing else is wrong.
    assert told.codes == {"profile", "bad-signature"}


def test_an_odd_certificate_is_trusted_where_its_signature_is_right():
    leaf, middle, root = Chain().certificates()
    der = with_part(leaf.public_bytes(Encoding.DER), *ODD["version 66"])
    tbs, algorithm, _ = values(next(values(der)).content)
    odd = resigned(tbs.whole, algorithm.whole, Chain().middle)
    one = foreign.certificate(odd)
    assert isinstance(one, foreign.StandIn)
    told = diagnose([one, middle], NAME, [root], AT)
    assert told.trusted and told.codes == {"profile"}


def resigned(tbs, algorithm, plan, made=None):
    signature = key(plan.key).sign(tbs, padding.PKCS1v15(), made or SHA256())
    return tlv(b"\x30", tbs + algorithm + tlv(b"\x03", b"\0" + signature))


@pytest.mark.filterwarnings("ignore")
def test_of_changed_certificates_openssl_reads_nearly_all_can_be_judged():
    """One to three bytes of honest certificates changed; what OpenSSL reads is no riddle here."""
    chosen = random.Random(17)
    honest = [one.public_bytes(Encoding.DER) for one in vectors()][:200]
    read, riddles, lenient, refused = 0, 0, 0, 0
    for _ in range(1500):
        der = bytearray(chosen.choice(honest))
        for _ in range(chosen.randint(1, 3)):
            der[chosen.randrange(len(der))] = chosen.choice(
                (chosen.randrange(256), 0, 1, 0x0C, 255)
            )
        der = bytes(der)
        one = foreign.certificate(der)
        if one is not None:
            told = diagnose([one], NAME, None, AT)
            assert told.findings
        if openssl_reads(der):
            read += 1
            riddles += one is None
        else:
            refused += 1
            lenient += one is not None and "malformed" not in told.codes
    assert read > 500 and refused > 100
    assert riddles / read < 0.02
    assert lenient / refused < 0.05


def test_what_no_client_reads_is_none():
    leaf = Chain().certificates()[0].public_bytes(Encoding.DER)
    for damaged in (leaf[:-1], b"", b"\x30", b"\x30\x80" * 10_000, leaf[:200], bytes(500)):
        assert foreign.certificate(damaged) is None
    assert foreign.certificate(leaf + b"rest") is not None  # OpenSSL passes over what follows


@pytest.mark.parametrize(("number", "made"), [("04", MD5()), ("05", SHA1())])
def test_signatures_are_verified_by_arithmetic_whatever_their_hash(chain, number, made):
    """SHA-1 and MD5 protect nothing any more, but a right signature is no wrong one."""
    leaf, middle, root = chain
    how = bytes.fromhex("2a864886f70d0101")
    old, new = how + b"\x0b", how + bytes.fromhex(number)
    tbs, algorithm, _ = values(next(values(leaf.public_bytes(Encoding.DER))).content)
    told = tbs.whole.replace(old, new, 1), algorithm.whole.replace(old, new)
    weak = foreign.certificate(resigned(*told, Chain().middle, made))
    assert made_by(middle.public_key(), weak) and is_signed_by(weak, middle)
    assert not made_by(root.public_key(), weak)
    assert diagnose([weak, middle], NAME, [root], AT).codes == {"weak-signature"}


def test_two_names_of_the_algorithm_make_a_signature_wrong(chain):
    leaf, middle, _ = chain
    tbs, algorithm, signature = values(next(values(leaf.public_bytes(Encoding.DER))).content)
    other = algorithm.whole.replace(bytes.fromhex("01010b"), bytes.fromhex("01010c"))
    changed = foreign.certificate(tlv(b"\x30", tbs.whole + other + signature.whole))
    assert made_by(middle.public_key(), leaf) and not made_by(middle.public_key(), changed)


def test_an_odd_certificate_is_found_in_a_p7b(chain):
    der = with_part(chain[0].public_bytes(Encoding.DER), *ODD["version 66"])
    data = bytes.fromhex("06092a864886f70d010701")
    inside = tlv(b"\x02", b"\1") + tlv(b"\x31", b"") + tlv(b"\x30", data) + tlv(b"\xa0", der)
    inside += tlv(b"\x31", b"")
    kind = bytes.fromhex("06092a864886f70d010702")
    found = read_der(tlv(b"\x30", kind + tlv(b"\xa0", tlv(b"\x30", inside))), str)
    assert found.kinds == ["a P7B with 1 certificate"]


def test_rounds_of_a_password_are_counted_before_anybody_waits_for_them():
    many = tlv(b"\x30", tlv(b"\x04", b"salt") + tlv(b"\x02", (2**31 - 1).to_bytes(4)))
    assert rounds(tlv(b"\x30", tlv(b"\x04", many))) == 2**31 - 1
    bomb = tlv(b"\x30", b"\x02\x01\x03" + tlv(b"\x30", b"") + many)
    begun = datetime.now(UTC)
    (problem,) = read_der(bomb, lambda: "Test1234").problems
    assert "2147483647 times" in problem
    assert (datetime.now(UTC) - begun).total_seconds() < 2


def test_what_is_encrypted_is_never_taken_for_a_number_of_rounds():
    """Bytes that look like a salt and a number by chance are no bomb."""
    chance = tlv(b"\x04", b"salt") + tlv(b"\x02", b"\x7f" * 8) + b"and what follows is no value"
    assert rounds(tlv(b"\x30", tlv(b"\x04", chance))) == 0
