"""A CA that another tool made: audited, taken over, renewed, and replaced without an outage."""

import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from lyon import AT, CA_PASSWORD, DAY, PFX_PASSWORD, SITE, Approved, key, site_ca, told

from vmscert.changes.job import Job, Stop
from vmscert.checks.documents import read
from vmscert.checks.lacks import missing_ca, missing_certificates
from vmscert.practice.faults import _signed_with_sha1, remade
from vmscert.records.folder import Records
from vmscert.runbooks.adopt import Adopt, inherited_example, read_inheritance
from vmscert.runbooks.certificates import renew_certificates
from vmscert.runbooks.replace import create_next_ca
from vmscert.windows.stores import Personal, Stores

pytestmark = pytest.mark.usefixtures("lyon_secrets")
SECRET = "canary of the other tool 5b2d"


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What the guide's scripts leave for the servers of Lyon."""
    patch = pytest.MonkeyPatch()
    patch.setenv("VMSCERT_INHERITED_PASSWORD", SECRET)
    records = Records(tmp_path_factory.mktemp("guide") / "rehearsal")
    records.begin_rehearsal()
    yield inherited_example(Job("10-adopt-an-existing-ca", SITE, records, AT))
    patch.undo()


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("VMSCERT_INHERITED_PASSWORD", SECRET)
    return Job("10-adopt-an-existing-ca", SITE, Records(tmp_path / "lyon"), AT, change=Approved())


@pytest.fixture
def found(job, left):
    return read_inheritance(job, left)


def adoption(job, found):
    runbook = Adopt(job)
    runbook.found = found
    return runbook


def audit(job, found, key_in_user_store=False):
    return told(adoption(job, found).audit(key_in_user_store))


def adopt(job, found):
    return told(adoption(job, found).adopt())


def without(left, tmp_path, *names):
    copy = shutil.copytree(left, tmp_path / "files")
    for name in names:
        (copy / name).unlink()
    return copy


def test_the_files_tell_which_is_the_ca_and_whose_the_certificates_are(found):
    assert found.ca.subject.rfc4514_string() == "CN=VMS Certificate Authority"
    assert found.key is not None and found.key.public_key() == found.ca.public_key()
    assert {host.name: len(found.of(host)) for host in SITE.servers} == {
        "ms": 1, "rec-1": 1, "mob": 1,
    }  # fmt: skip


def test_the_audit_names_all_that_the_guides_scripts_do_wrong(job, found):
    faults = [(row["where"], row["what"]) for row in audit(job, found, key_in_user_store=True)]
    wanted = (
        "valid for less than two", "does not say that it is a CA", "every site that used",
        "made for servers and clients", "name with blanks", "less than 3072 bits",
        "personal store of a user",
    )  # fmt: skip
    for words in wanted:
        assert any(where == "the CA" and words in what for where, what in faults), words
    assert ("ms", "the certificate marks its extended key usage as critical") in faults
    assert ("ms", "the certificate says that it lasts longer than its CA") in faults
    assert ("rec-1", "the certificate lacks names that clients use") in faults
    assert ("ms", "the certificate lacks names that clients use") not in faults


def test_a_good_ca_has_no_fault_but_a_small_key(job, tmp_path):
    folder = tmp_path / "good"
    folder.mkdir()
    ca = site_ca()
    (folder / "ca.cer").write_bytes(ca.certificate.public_bytes(Encoding.DER))
    for host in SITE.servers:
        leaf = ca.issue(*host.issued_names, at=AT)
        (folder / f"{host.name}.pem").write_bytes(leaf.certificate.public_bytes(Encoding.PEM))
    rows = audit(job, read_inheritance(job, folder))
    assert [row["what"].partition(" (")[0] for row in rows] == [
        "the CA's key has less than 3072 bits", "the CA's key is not here",
    ]  # fmt: skip


def test_what_was_adopted_is_known_renewed_and_its_key_encrypted_anew(job, found):
    adopt(job, found)
    assert all(check.ok for check in told(adoption(job, found).verify()))
    assert not missing_ca(job.state())
    assert set(job.state().current) == {"ms", "rec-1", "mob"}
    assert "ms" not in missing_certificates(job.state())
    assert job.records.authority(CA_PASSWORD).certificate == found.ca
    (row,) = renew_certificates(replace(job, runbook="17-renew"), ["ms"], PFX_PASSWORD)
    assert "ends with the CA" in row["until"]
    assert job.state().issuer_of(job.state().current["ms"]) == found.ca


def test_adopting_twice_is_the_same_as_once(job, found):
    adopt(job, found)
    before = job.records.ledger.entries()
    adopt(job, found)
    assert job.records.ledger.entries() == before


def test_a_ca_without_its_key_is_watched_and_can_be_replaced(job, left, tmp_path):
    found = read_inheritance(job, without(left, tmp_path, "ca-backup.pfx"))
    assert found.key is None
    assert any("not here" in row["what"] for row in audit(job, found))
    adopt(job, found)
    assert not missing_ca(job.state())
    with pytest.raises(FileNotFoundError, match="run 18-replace-the-ca"):
        renew_certificates(job, ["ms"], PFX_PASSWORD)
    create_next_ca(replace(job, runbook="18-replace-the-ca"))
    job.records.promote(AT + DAY)
    assert job.records.former_cas == (found.ca,)
    job.records.authority(CA_PASSWORD)


def test_a_wrong_password_leaves_the_key_where_it_is(job, left, monkeypatch):
    monkeypatch.setenv("VMSCERT_INHERITED_PASSWORD", "not the right one")
    with pytest.raises(ValueError, match="must hold one CA and what it issued, found: none"):
        read_inheritance(job, left)


def test_certificates_of_nobody_are_told(job, left):
    smaller = replace(job, site=replace(SITE, hosts=tuple(h for h in SITE if h.name != "rec-1")))
    rows = told(adoption(smaller, read_inheritance(smaller, left)).unmatched())
    assert [row["where"] for row in rows] == ["nobody in the table"]
    assert "rec-1" in rows[0]["names"]


def test_a_site_that_has_another_ca_adopts_none(job, found):
    job.records.save_authority(site_ca(), CA_PASSWORD, AT)
    with pytest.raises(Stop, match="has another CA already: adopt into a new folder"):
        adopt(job, found)


def test_nothing_is_adopted_without_approval(job, found):
    with pytest.raises(Stop):
        adopt(replace(job, change=None), found)


def test_no_password_and_no_clear_key_is_written(job, found):
    adopt(job, found)
    for path in job.records.folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert SECRET.encode() not in data and CA_PASSWORD.encode() not in data
        assert not re.search(rb"BEGIN (RSA )?PRIVATE KEY", data)


def test_a_short_password_of_the_other_tool_is_good_enough(job, monkeypatch):
    monkeypatch.setenv("VMSCERT_INHERITED_PASSWORD", "1234")
    assert job.secret("INHERITED") == "1234"
    with pytest.raises(ValueError, match="has 4 letters"):
        monkeypatch.setenv("VMSCERT_CA_PASSWORD", "1234")
        job.secret("CA")


def test_a_file_with_another_password_is_told_and_hides_no_other(job, left, tmp_path):
    folder = without(left, tmp_path, "ms.pfx")
    other = site_ca().issue("ms", at=AT, key=key("ms"))
    (folder / "ms.pfx").write_bytes(other.pfx("another password", "3DES"))
    found = read_inheritance(job, folder)
    assert found.locked == ("ms.pfx",)
    rows = {row["where"]: row for row in audit(job, found) if "does not open" in row["what"]}
    assert "run this runbook again" in rows["ms.pfx"]["what to do"]
    assert found.key is not None


def test_a_key_in_clear_is_taken_over_encrypted_and_told(job, left, tmp_path):
    """mkcert and easy-rsa may leave the CA's key like that."""
    folder = without(left, tmp_path, "ca-backup.pfx")
    ca_key = read_inheritance(job, left).key
    clear = ca_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "rootCA-key.pem").write_bytes(clear)
    found = read_inheritance(job, folder)
    assert found.bare == ("rootCA-key.pem",)
    assert ("rootCA-key.pem", "a private key lies in this file and no password protects it") in [
        (row["where"], row["what"]) for row in audit(job, found)
    ]
    adopt(job, found)
    assert b"ENCRYPTED" in (job.records.folder / "ca.key").read_bytes()
    assert job.records.authority(CA_PASSWORD).certificate == found.ca


def test_a_key_in_an_encrypted_pem_is_taken_over_too(job, left, tmp_path):
    folder = without(left, tmp_path, "ca-backup.pfx")
    ca_key, secret = read_inheritance(job, left).key, BestAvailableEncryption(SECRET.encode())
    pem = ca_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    (folder / "ca.key").write_bytes(pem)
    found = read_inheritance(job, folder)
    assert (found.key is not None, found.bare, found.locked) == (True, (), ())


def test_two_cas_of_one_name_are_told_apart_by_a_person(job, left, tmp_path):
    folder = without(left, tmp_path)
    again = remade(read_inheritance(job, left).ca, key("twin"), key=key("twin").public_key())
    (folder / "second.cer").write_bytes(again.public_bytes(Encoding.DER))
    leaf = remade(read_inheritance(job, left).of(SITE["ms"])[0], key("twin"))
    (folder / "leaf.cer").write_bytes(leaf.public_bytes(Encoding.DER))
    with pytest.raises(ValueError, match="The tool was used twice: put what belongs"):
        read_inheritance(job, folder)


def test_a_computer_that_trusts_another_ca_of_the_same_name_is_found(job, found):
    twin = remade(found.ca, key("twin"), key=key("twin").public_key())
    words = "another CA of the same name"
    assert not any(words in row["what"] for row in audit(job, found))
    job.records.save_inventory(Stores("pc-1", AT, root=(found.ca, twin)))
    assert any(words in row["what"] for row in audit(job, found))


def test_the_key_in_a_user_s_store_is_seen_in_an_inventory(job, found):
    job.records.save_inventory(Stores("pc-1", AT, user_personal=(Personal(found.ca, True),)))
    assert any("personal store of a user" in row["what"] for row in audit(job, found))


def test_what_presses_says_by_which_day(job, found):
    end = found.ca.not_valid_after_utc
    (row,) = [row for row in audit(job, found) if "less than two" in row["what"]]
    assert f"the CA ends on {end:%Y-%m-%d}" in row["when"]
    assert f"begin by {end - 90 * DAY:%Y-%m-%d}" in row["when"]


def test_a_signature_with_sha_1_is_told(job, found):
    old = _signed_with_sha1(found.certificates[0], found.key)
    assert not any("SHA-1" in row["what"] for row in audit(job, found))
    rows = audit(job, replace(found, certificates=(*found.certificates[1:], old)))
    assert any("SHA-1" in row["what"] for row in rows)


FOLDERS = {
    "mkcert": ("rootCA.pem", "rootCA-key.pem", False),
    "easy-rsa (pki)": ("ca.crt", "private/ca.key", True),
}


@pytest.mark.parametrize("tool", FOLDERS)
def test_the_folder_of_another_tool_is_adopted_and_named(job, tmp_path, tool):
    cer, private, sealed = FOLDERS[tool]
    how = BestAvailableEncryption(SECRET.encode()) if sealed else NoEncryption()
    form = key("ca").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    leaf = site_ca().issue("mob.lyon.local", at=AT, key=key("mob"))
    held = {
        cer: site_ca().certificate.public_bytes(Encoding.PEM),
        private: form,
        "issued/mob.crt": b"Certificate:\n" + leaf.certificate.public_bytes(Encoding.PEM),
    }
    for name, data in held.items():
        path = tmp_path / "left" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (about,) = Adopt(job).read(str(tmp_path / "left"))
    assert about.startswith(f"CN=Lyon VMS root 2026 and 1 certificates, in a folder of {tool}: ")
    found = read_inheritance(job, tmp_path / "left")
    assert found.key.public_key() == found.ca.public_key()
    assert found.bare == (() if sealed else (private,))
    assert read(tmp_path / "left").told[0].detail.startswith(f"it is a folder of {tool}: ")


def test_a_database_of_another_tool_is_named_with_how_to_export(job, tmp_path):
    place = tmp_path / "left"
    (place / "DataBase").mkdir(parents=True)
    with closing(sqlite3.connect(place / "ca.xdb")) as database:
        database.execute("CREATE TABLE x509super (item INTEGER)")
        database.commit()
    for path in (place, place / "ca.xdb"):
        with pytest.raises(ValueError, match=r"a database of XCA .* Export > File as PKCS#12"):
            read_inheritance(job, path)
    (place / "DataBase" / "House.edb").write_bytes(bytes(4) + bytes.fromhex("efcdab89") + bytes(9))
    (place / "DataBase" / "certbkxp.dat").write_bytes(b"x")
    (place / "House.p12").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"none\. a backup of AD Certificate Services: .*edb"):
        read_inheritance(job, place)
