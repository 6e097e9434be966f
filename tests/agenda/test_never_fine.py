"""A folder of good certificates and one thing that nobody can judge is never fine."""

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from chains import AT, DAY, Chain, signed
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.agenda.channels import nagios
from vmscert.agenda.gather import gather
from vmscert.checks.judging import check_path
from vmscert.files import read_foreign

CERTUTIL = """my "Personal"
================ Certificat 0 ================
Numéro de série : 9f8e7d6c5b
Émetteur: CN=Root
 NotBefore: 01/06/2024 00:00
 NotAfter: 01/06/2025 00:00
Objet: CN=rec-01
Hach. cert. (sha1): 11223344556677889900aabbccddeeff00112233
"""


@pytest.fixture
def folder(tmp_path, ca, key, now):
    leaf = ca.issue("rec-01.lyon.local", at=now, key=key).certificate
    (tmp_path / "rec-01.cer").write_bytes(leaf.public_bytes(Encoding.DER))
    (tmp_path / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    return tmp_path


def code(folder):
    return nagios(gather([str(folder)], AT, lambda _: ""))[0]


LIARS = {
    "listing.txt": CERTUTIL.encode("cp1252"),
    "store.jks": b"\xfe\xed\xfe\xed\0\0\0\2",
    "events.evtx": b"ElfFile\0" + bytes(100),
    "cut.cer": Chain().certificates()[0].public_bytes(Encoding.DER)[:300],
    "UPPER.CER": b"nothing of ours",
    "cut.pem": b"-----BEGIN CERTIFICATE-----\nMIIB",
    "empty.crt": b"",
    "thumb.txt": b"aabbccddeeff00112233445566778899aabbccdd",
}


def test_good_ones_alone_are_fine_and_what_is_none_of_ours_disturbs_nobody(folder):
    (folder / "notes.txt").write_text("call Anna about camera 7")
    assert code(folder) == 0


@pytest.mark.parametrize("name", LIARS)
def test_what_nobody_can_judge_is_never_fine(folder, name):
    (folder / name).write_bytes(LIARS[name])
    assert code(folder) in (2, 3)  # critical, or unknown
    judgement = check_path(folder, None, "", AT, lambda _: "")
    assert {one.severity for one in judgement.findings} & {"bad", "unjudged"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among files")
def test_a_pipe_is_one_sentence_at_once(folder):
    os.mkfifo(folder / "x.pfx")
    begun = datetime.now(UTC)
    assert code(folder) == 3
    with pytest.raises(ValueError, match=r"x\.pfx is no file, but a pipe or a device"):
        read_foreign(folder / "x.pfx")
    assert (datetime.now(UTC) - begun).total_seconds() < 2


def test_a_file_of_gigabytes_is_one_sentence_at_once(folder):
    with (folder / "dump.pem").open("wb") as file:
        file.truncate(3 << 30)
    assert code(folder) == 3
    with pytest.raises(ValueError, match=r"dump\.pem is larger than 16 MB"):
        read_foreign(folder / "dump.pem")


def test_the_one_that_ended_is_found_among_a_thousand_good_ones(folder):
    chain = Chain()
    ended = signed(replace(chain.leaf, start=AT - 9 * DAY, end=AT - DAY), chain.middle)
    good = (folder / "rec-01.cer").read_bytes()
    for number in range(1000):
        (folder / f"a{number:04}.cer").write_bytes(good)
    (folder / "z.cer").write_bytes(ended.public_bytes(Encoding.DER))
    assert code(folder) == 2
    judgement = check_path(folder, None, "", AT, lambda _: "")
    assert "expired" in {one.code for one in judgement.findings}
