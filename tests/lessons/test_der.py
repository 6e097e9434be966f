"""Every byte of a certificate has its field."""

from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from vmscert.lessons.exercises import lesson_ca, lesson_server
from vmscert.lessons.messages import WRAPPING, certificate_fields
from vmscert.pictures.bytes import bytes_picture


@pytest.fixture(scope="module")
def certificate():
    return lesson_server(lesson_ca(), "vms-rec-01.example.local", "vms-rec-01").certificate


@pytest.fixture(scope="module")
def der(certificate):
    return certificate.public_bytes(Encoding.DER)


def part(der, name):
    (field,) = [field for field in certificate_fields(der) if field.name == name]
    return der[field.start : field.end]


def test_the_fields_cover_every_byte_once_and_in_order(der):
    fields = certificate_fields(der)
    assert fields[0].start == 0
    assert fields[-1].end == len(der)
    assert all(one.end == two.start for one, two in pairwise(fields))


def test_the_fields_stand_where_the_library_reads_them(der, certificate):
    assert part(der, "subject") == certificate.subject.public_bytes()
    assert part(der, "issuer") == certificate.issuer.public_bytes()
    n = certificate.public_key().public_numbers().n
    assert part(der, "modulus").endswith(n.to_bytes(256))
    assert part(der, "signatureValue").endswith(certificate.signature)
    assert b"vms-rec-01.example.local" in part(der, "subjectAltName")


def test_every_extension_is_named_as_in_the_rfc(der):
    named = [field.name for field in certificate_fields(der)]
    wanted = ["subjectAltName", "basicConstraints", "keyUsage", "subjectKeyIdentifier"]
    wanted += ["authorityKeyIdentifier", "extendedKeyUsage"]
    assert [name for name in named if name in wanted] == wanted


@given(st.binary(max_size=60))
def test_bytes_that_are_no_certificate_are_refused_in_one_sentence(data):
    with pytest.raises(ValueError, match="no DER certificate"):
        certificate_fields(data)


@given(st.data())
def test_a_certificate_that_was_cut_or_changed_is_read_or_refused(der, data):
    at = data.draw(st.integers(0, len(der) - 1))
    changed = bytearray(der)
    changed[at] ^= data.draw(st.integers(1, 255))
    for odd in (bytes(changed), der[:at]):
        try:
            fields = certificate_fields(odd)
        except ValueError:
            continue
        assert fields[-1].end == len(odd)


def test_the_picture_names_every_field_and_its_size(der):
    fields = certificate_fields(der)
    picture = bytes_picture(der, fields, "modulus")
    assert "modulus stands out" in picture.alt
    for field in fields:
        assert (f"{field.name} {field.size}" in picture.alt) == (field.name != WRAPPING)


def test_a_certificate_with_an_elliptic_curve_key_has_its_fields_too(ca, now):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert len(part(der, "subjectPublicKey")) == 68
