"""Teaching keys are the same in every run, and nobody can take them for real ones."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from vmscert.certificates.authority import (
    LESSON,
    create_authority,
    load_authority,
    new_key,
    request,
)
from vmscert.certificates.keys import MARK, WORDS, is_teaching, teaching_key
from vmscert.checks.site import check_ca, check_site
from vmscert.facts import DATA
from vmscert.lessons.exercises import AT, lesson_ca, lesson_server
from vmscert.site.table import read_site
from vmscert.windows.stores import Stores


def numbers(key):
    return key.private_numbers()


@settings(max_examples=5)
@given(st.text(max_size=30))
def test_a_key_has_its_size_and_spells_in_its_modulus_that_it_is_for_lessons(word):
    public = teaching_key(word).public_key()
    assert public.key_size == 2048
    assert MARK in public.public_numbers().n.to_bytes(256)
    assert is_teaching(public)


def test_a_word_gives_the_same_key_each_time_and_another_word_another_key():
    first = teaching_key("root")
    teaching_key.cache_clear()
    assert numbers(teaching_key("root")) == numbers(first)
    assert numbers(teaching_key("root ")) != numbers(first)


def test_a_random_key_and_a_key_of_another_kind_are_no_teaching_keys(key):
    assert not is_teaching(key.public_key())
    assert not is_teaching(None)


def test_whoever_holds_the_certificate_can_read_what_it_is():
    recorder = lesson_server(lesson_ca(), "vms-rec-01").certificate
    units = recorder.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
    assert [unit.value for unit in units] == [WORDS]
    assert MARK in recorder.public_bytes(Encoding.DER)
    assert WORDS in lesson_ca().certificate.subject.rfc4514_string().replace("\\,", ",")


def test_a_request_says_it_too():
    csr, _ = request("vms-rec-01", key=teaching_key("request"))
    assert WORDS.encode() in csr.public_bytes(Encoding.DER)


def test_a_lesson_certificate_is_the_same_to_the_byte_in_every_run():
    def made():
        teaching_key.cache_clear()
        ca = lesson_ca()
        return [ca.certificate, lesson_server(ca, "vms-rec-01", "10.10.0.21").certificate]

    assert made() == made()


def test_a_real_ca_issues_nothing_for_a_teaching_key(ca, now):
    with pytest.raises(ValueError, match="This key is for lessons"):
        ca.issue("vms-rec-01", at=now, key=teaching_key("x"), profile=LESSON)
    csr, _ = request("vms-rec-01", key=teaching_key("x"))
    with pytest.raises(ValueError, match="This key is for lessons"):
        ca.sign(csr, ["vms-rec-01"], now)


def test_check_refuses_a_teaching_ca_as_the_ca_of_a_site(ca, now):
    assert "teaching-key" in {finding.code for finding in check_ca(lesson_ca().certificate, AT)}
    assert "teaching-key" not in {finding.code for finding in check_ca(ca.certificate, now)}


def test_a_teaching_ca_is_not_loaded_from_a_folder():
    taught = lesson_ca()
    with pytest.raises(ValueError, match="'Lesson root CA' is a CA for lessons"):
        load_authority(
            taught.certificate.public_bytes(Encoding.DER),
            taught.encrypted_key("a long password"),
            "a long password",
        )


def test_a_computer_that_trusts_a_teaching_ca_is_told():
    site = read_site(DATA / "sites" / "example.csv")
    host = site.clients[0].name
    held = Stores(host, AT, root=(lesson_ca().certificate,))
    (finding,) = [f for f in check_site(site, {host: held}, AT) if f.code == "teaching-key"]
    assert (finding.where, finding.severity) == (host, "bad")


def test_the_subject_of_a_teaching_ca_hides_no_name_of_a_real_one():
    """The mark is a part of the name: it can't be trusted under the name of another CA."""
    real = create_authority("Lyon VMS root", AT, key=new_key(2048))
    assert lesson_ca("Lyon VMS root").certificate.subject != real.certificate.subject
