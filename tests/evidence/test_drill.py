"""A restore drill finds what a backup lacks, on a copy, before anybody needs it."""

import json
import shutil
from dataclasses import replace

import lyon
import pytest
from command import vmscert
from site_tables import GUIDE_CLIENTS, as_csv

from vmscert.certificates.authority import QUICK, create_authority
from vmscert.evidence.drill import restore_drill
from vmscert.records.folder import Records, certificate_entries

LEDGER = "the ledger is unbroken"
AS_FAR = "it tells all that the site's own ledger tells"
KEY = "the key of the CA opens and belongs to its certificate"
TALLY = "files and ledger tell the same certificates"
PFX = "the newest PFX of every server opens"
ISSUES = "it issues a certificate that a client accepts over TLS"
PACKS = "a folder for a computer can be packed"


@pytest.fixture
def site(lyon_secrets, tmp_path, now):
    """A real site's folder, made now: OpenSSL's clock can't be set."""
    records = Records(tmp_path / "lyon")
    authority = create_authority("Lyon VMS root", now, QUICK, lyon.key("ca"))
    records.save_authority(authority, lyon.CA_PASSWORD, now)
    for host in (lyon.MS, lyon.REC):
        issued = authority.issue(*host.issued_names, at=now, key=lyon.key(host.name))
        records.save(host.name, issued, lyon.PFX_PASSWORD, "AES-256", at=now)
    here = {role for host in lyon.SITE for role in host.roles}
    described = replace(lyon.SITE, absent=GUIDE_CLIENTS - here)
    records.save_table(as_csv(described).encode())
    return records


@pytest.fixture
def backup(site, tmp_path):
    return shutil.copytree(site.folder, tmp_path / "medium" / "lyon")


def drill(backup, site, now, password=lyon.CA_PASSWORD, pfx=lyon.PFX_PASSWORD):
    checks = restore_drill(backup, site, password, now, pfx_password=pfx)
    return {check.what: check.todo for check in checks if not check.ok}


def test_a_whole_backup_passes_and_the_site_remembers_it(site, backup, now):
    before = lyon.tree(backup)
    assert drill(backup, site, now) == {}
    assert lyon.tree(backup) == before
    last = site.ledger.entries()[-1]
    assert (last.action, last.note) == ("drill", "restore drill passed, 9 checks")
    (report,) = site.folder.glob("drills/*.json")
    told = json.loads(report.read_bytes())
    assert told["result"] == "passed"
    assert {check["ok"] for check in told["looked at"]} == {True}


def test_a_drill_does_not_make_the_backup_old(site, backup, now):
    drill(backup, site, now)
    assert drill(backup, site, now) == {}


def test_nothing_of_the_copy_stays_and_no_password_is_written(site, backup, now, tmp_path):
    place = tmp_path / "temporary"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(place))
        drill(backup, site, now)
    assert list(place.iterdir()) == []
    for data, _ in lyon.tree(tmp_path).values():
        assert lyon.CA_PASSWORD.encode() not in data
        assert lyon.PFX_PASSWORD.encode() not in data


def test_a_missing_key_is_told(site, backup, now):
    (backup / "ca.key").unlink()
    found = drill(backup, site, now)
    assert set(found) == {KEY, ISSUES}
    assert found[KEY] == "ca.key is not in the backup: nothing could be renewed from this backup"
    assert "failed" in site.ledger.entries()[-1].note


def test_the_key_of_another_ca_is_told(site, backup, now):
    other = create_authority("Other", now, QUICK, lyon.key("other"))
    (backup / "ca.key").write_bytes(other.encrypted_key(lyon.CA_PASSWORD))
    assert "does not belong to the certificate" in drill(backup, site, now)[KEY]


def test_a_wrong_password_is_told_and_the_rest_is_still_looked_at(site, backup, now):
    found = drill(backup, site, now, password="not the password", pfx="nor this one")
    assert set(found) == {KEY, ISSUES, PFX}
    assert "from another backup" in found[KEY]
    assert "ms, " in found[PFX]
    assert "rec-1, " in found[PFX]


def test_a_cut_ledger_is_told(site, backup, now):
    lines = (backup / "ledger.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (backup / "ledger.csv").write_text("".join(lines[:-1]), encoding="utf-8", newline="")
    found = drill(backup, site, now)
    assert "4 lines were sealed" not in found[LEDGER]
    assert "3 lines were sealed, 2 are left" in found[LEDGER]
    assert "1 line since" in found[AS_FAR]
    assert "rec-1" in found[TALLY]


def test_a_missing_and_a_damaged_certificate_are_told(site, backup, now):
    (one,) = backup.glob("servers/ms/*.cer")
    one.unlink()
    (other,) = backup.glob("servers/rec-1/*.cer")
    other.write_bytes(other.read_bytes()[:-9])
    found = drill(backup, site, now)
    assert f"servers/ms/{one.stem} is not whole" in found[TALLY]
    assert "is damaged" in found[TALLY]


def test_a_certificate_that_the_ledger_does_not_know_is_told(site, backup, now):
    stranger = lyon.site_ca().issue("x", at=lyon.AT, key=lyon.key("x")).certificate
    path = backup / "servers" / "x" / "ABCD.cer"
    path.parent.mkdir()
    path.write_bytes(stranger.tbs_certificate_bytes)
    assert "ABCD.cer is in no line" in drill(backup, site, now)[TALLY]


def test_a_missing_key_of_the_change_records_is_told(site, backup, now):
    site.note("11", "create record key", at=now, note="SHA-256 00")
    shutil.copytree(site.folder, backup, dirs_exist_ok=True)
    assert "record.key is missing" in drill(backup, site, now)[TALLY]


def test_an_older_backup_says_what_would_be_lost(site, backup, now):
    authority = site.authority(lyon.CA_PASSWORD)
    issued = authority.issue("mob", at=now, key=lyon.key("mob"))
    site.save("mob", issued, lyon.PFX_PASSWORD, "AES-256", at=now, action="renew")
    site.note("16", "verified", at=now)
    told = drill(backup, site, now)[AS_FAR]
    assert told.startswith("2 lines since ")
    assert "with the certificates of mob: copy" in told


def test_the_backup_of_another_folder_is_told(site, backup, now):
    other = Records(backup)
    other.note("16", "verified", at=now, note="which the site does not know")
    assert "differ from line 5 on" in drill(backup, site, now)[AS_FAR]


def test_a_table_that_is_missing_stops_only_what_needs_it(site, backup, now):
    (backup / "site.csv").unlink()
    found = drill(backup, site, now)
    assert set(found) == {"table and inventories can be read", ISSUES, PACKS}


def test_a_serial_number_that_stands_for_two_certificates_is_told(site, backup, now):
    first = certificate_entries(site.ledger.entries())[0]
    site.note_all([replace(first, thumbprint="F" * 40)])
    shutil.rmtree(backup)
    shutil.copytree(site.folder, backup)
    assert first.serial in drill(backup, site, now)["no serial number was given twice"]


def test_without_the_site_s_own_folder_nothing_is_compared_and_nothing_noted(site, backup, now):
    before = lyon.tree(site.folder)
    assert drill(backup, None, now) == {}
    assert lyon.tree(site.folder) == before


@pytest.mark.parametrize("wrong", ["itself", "nothing", "no site"])
def test_what_would_prove_nothing_is_refused_in_a_sentence(site, backup, now, tmp_path, wrong):
    (tmp_path / "empty").mkdir()
    given = {
        "itself": (site.folder, site),
        "nothing": (tmp_path / "empty", site),
        "no site": (backup, Records(tmp_path / "empty")),
    }
    with pytest.raises(ValueError, match="name "):
        restore_drill(*given[wrong], lyon.CA_PASSWORD, now)


def test_the_command_exits_with_0_1_or_2(site, backup, tmp_path):
    secrets = {"VMSCERT_CA_PASSWORD": lyon.CA_PASSWORD}
    command = ("records", "drill", backup, "--folder", site.folder)
    ran = vmscert(*command, folder=tmp_path, **secrets)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("✔") == 9
    (backup / "ca.key").unlink()
    ran = vmscert(*command, folder=tmp_path, **secrets)
    assert ran.returncode == 1
    assert "ca.key is not in the backup" in ran.stdout
    ran = vmscert("records", "drill", tmp_path / "nowhere", folder=tmp_path, **secrets)
    assert ran.returncode == 2
