"""What runbooks do, in order, on a real folder: a rehearsal from nothing to renewed."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lyon import Approved, create_ca, plan_change, precheck, told, verify_stage

import vmscert
from vmscert import SERVER, SiteError, open_job
from vmscert.changes.change import approve
from vmscert.changes.errands import hand_over
from vmscert.changes.rehearsal import walk
from vmscert.facts import DATA, NOTEBOOKS
from vmscert.runbooks.certificates import issue_certificates, renew_certificates, sign_requests
from vmscert.runbooks.replace import Renew
from vmscert.runbooks.stages import RUNBOOKS, STAGES, Runbook, runbook_of
from vmscert.runbooks.visits import OnTheWire, verify_site

EXAMPLE = DATA / "sites" / "example.csv"
PACKAGE = Path(vmscert.__file__).parent
LONG_ENOUGH = "a password that nobody uses"


@pytest.fixture
def own_site(tmp_path):
    """The example's computers as somebody's own site: a real one, not a rehearsal."""
    table = tmp_path / "lyon.csv"
    table.write_bytes(EXAMPLE.read_bytes())
    return table


@pytest.fixture
def passwords(monkeypatch):
    monkeypatch.setenv("VMSCERT_CA_PASSWORD", LONG_ENOUGH)
    monkeypatch.setenv("VMSCERT_PFX_PASSWORD", LONG_ENOUGH)


def runbook(number, site, folder):
    """A runbook that somebody approved, if it is a real site's."""
    opened = open_job(STAGES[number]["name"], site, folder)
    return replace(opened, change=None if opened.rehearsal else Approved())


@pytest.mark.parametrize("row", RUNBOOKS.values(), ids=lambda row: row["runbook"])
def test_a_row_of_the_table_has_its_class_and_its_notebook(row, own_site, tmp_path):
    job = open_job(row["name"], own_site, tmp_path / "records")
    assert isinstance(runbook_of(job), Runbook)
    assert (NOTEBOOKS / f"{row['name']}.ipynb").exists()
    assert row["name"].startswith(f"{row['runbook']}-")
    assert row["closing"]
    assert {*row["not_awaited"].split("|")} <= {"", *STAGES}


def failed(checks):
    return [check for check in checks if not check.ok]


def test_any_runbook_of_the_example_can_be_opened_first(tmp_path):
    job = open_job("16-verify-the-site", EXAMPLE, tmp_path)
    assert failed(precheck(job)) == []
    assert all(one.ok for one in verify_site(job))


def test_the_example_is_always_a_rehearsal_and_its_ca_says_so(tmp_path):
    job = runbook("12", EXAMPLE, tmp_path)
    assert job.rehearsal
    assert "rehearsal" in job.records.ca_certificate.subject.rfc4514_string()


def test_a_real_site_is_not_carried_out_by_opening_a_runbook(own_site, tmp_path, passwords):
    job = runbook("15", own_site, tmp_path / "records")
    assert not job.records.has_authority
    (first,) = failed(precheck(job))
    assert "Run 11-create-the-ca-certificate first" in first.todo


def test_a_real_site_waits_for_people(own_site, tmp_path, passwords):
    job = runbook("13", own_site, tmp_path / "records")
    create_ca(job)
    issue_certificates(job)
    errands = walk(job, hand_over(job, "trust"))
    assert {errand.result for errand in errands} == {"to do"}
    assert failed(verify_stage(job))


def test_a_real_folder_never_becomes_a_rehearsal(own_site, tmp_path, passwords):
    create_ca(runbook("11", own_site, tmp_path / "records"))
    with pytest.raises(ValueError, match="holds a real site"):
        runbook("12", EXAMPLE, tmp_path / "records")


def test_every_deed_twice_is_the_same_as_once(rehearsed):
    job = open_job("16-verify-the-site", EXAMPLE, rehearsed)
    before = {path: path.read_bytes() for path in (rehearsed / "servers").rglob("*.*")}
    ca = (rehearsed / "ca.key").read_bytes()
    create_ca(job)
    assert issue_certificates(job) == []
    assert hand_over(job, "trust") == hand_over(job, "import") == hand_over(job, "encrypt") == []
    assert before == {path: path.read_bytes() for path in (rehearsed / "servers").rglob("*.*")}
    assert ca == (rehearsed / "ca.key").read_bytes()


def test_a_name_that_is_added_to_the_table_asks_for_a_new_certificate(rehearsed):
    job = open_job("16-verify-the-site", EXAMPLE, rehearsed)
    host = replace(job.site["vms-rec-01"], aliases=("rec.example.com",))
    hosts = tuple(host if one.name == host.name else one for one in job.site)
    job = replace(job, site=replace(job.site, hosts=hosts), runbook=STAGES["12"]["name"])
    (row,) = issue_certificates(job)
    assert "rec.example.com" in row["names"]


def test_an_old_windows_gets_a_3des_file_and_the_others_aes(tmp_path):
    job = runbook("12", EXAMPLE, tmp_path)
    rows = {row["server"]: row["private key"] for row in issue_certificates(job)}
    assert rows["vms-rec-02"] == "in a PFX, 3DES"
    assert rows["vms-rec-01"] == "in a PFX, AES-256"


def test_renewal_serves_new_certificates_and_keeps_the_old_ones(rehearsed):
    job = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    old = job.state().current
    renewal = Renew(job)
    assert {row.label for row in told(renewal.ends(90), 1)} == {"CA", *old}
    due = renewal.due
    assert set(due) == set(old)
    walk(job, hand_over(job, "request", due))
    renew_certificates(job, due)
    sign_requests(job)
    walk(job, hand_over(job, "import"))
    walk(job, hand_over(job, "encrypt"))
    new = job.state().current
    assert all(old[name] != new[name] for name in old)
    assert all(one.ok for one in verify_site(job))
    stores = job.records.inventories()
    assert all(old[name] in {held.certificate for held in stores[name].personal} for name in old)


def test_a_certificate_that_was_renewed_but_not_installed_is_seen_on_the_wire(rehearsed):
    job = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    renew_certificates(job, ["vms-rec-01"])
    runbook = OnTheWire(job)
    runbook.connections = verify_site(job)
    seen = [one for one in runbook.connections if not one.ok]
    assert {(one.server, one.verdict) for one in seen} == {
        ("vms-rec-01", "wrong-certificate-served")
    }
    assert [one.what.partition(":")[0] for one in failed(runbook.achieved())] == ["vms-rec-01"]


def test_a_site_without_its_ca_key_says_where_to_get_it(rehearsed):
    job = open_job("13-trust-the-ca-on-clients", EXAMPLE, rehearsed)
    (rehearsed / "ca.key").unlink()
    with pytest.raises(FileNotFoundError, match="restore it from the backup"):
        job.records.authority(LONG_ENOUGH)
    with pytest.raises(FileExistsError, match="never overwritten"):
        create_ca(replace(job, runbook=STAGES["11"]["name"]))


def test_a_short_password_is_refused_before_anything_is_made(own_site, tmp_path, monkeypatch):
    monkeypatch.setenv("VMSCERT_CA_PASSWORD", "short")
    job = runbook("11", own_site, tmp_path / "records")
    with pytest.raises(ValueError, match="at least 12"):
        create_ca(job)
    assert not job.records.has_authority


def test_a_run_with_nobody_to_ask_says_so(own_site, tmp_path, monkeypatch):
    for what in ("CA", "PFX"):
        monkeypatch.delenv(f"VMSCERT_{what}_PASSWORD", raising=False)

    def nobody(_prompt):
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    with pytest.raises(RuntimeError, match="VMSCERT_CA_PASSWORD"):
        create_ca(runbook("11", own_site, tmp_path / "records"))


def test_a_table_that_is_wrong_opens_no_runbook_and_makes_no_folder(tmp_path):
    table = tmp_path / "lyon.csv"
    table.write_text("name,roles\nvms-ms-01,management servr\n", encoding="utf-8")
    with pytest.raises(SiteError, match="Did you mean 'management server'"):
        open_job(STAGES["11"]["name"], table, tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_the_same_moment_is_used_throughout_a_run(tmp_path):
    at = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
    job = open_job("13-trust-the-ca-on-clients", EXAMPLE, tmp_path, at)
    assert {entry.time for entry in job.records.ledger.entries()} == {"2026-11-23T22:00:00Z"}


def test_a_damaged_ca_certificate_is_told_with_the_way_back(rehearsed):
    job = open_job("13-trust-the-ca-on-clients", EXAMPLE, rehearsed)
    (rehearsed / "ca.cer").write_bytes(b"not a certificate")
    with pytest.raises(ValueError, match=r"ca\.cer is damaged: restore it from the backup"):
        precheck(job)


def test_a_renewal_is_like_the_certificate_before_unless_it_says_otherwise(rehearsed):
    job = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    strong = replace(SERVER, key_bits=3072)
    ca, name = job.records.authority(job.secret("CA")), "vms-rec-01"
    first = ca.issue(*job.site[name].issued_names, at=job.at, profile=strong)
    job.records.save(name, first, job.secret("PFX"), "AES-256", at=job.at)
    renew_certificates(job, [name, "vms-rec-02"], days=200)
    renew_certificates(job, [name])
    current = job.state().current
    for name, bits in (("vms-rec-01", 3072), ("vms-rec-02", 2048)):
        life = current[name].not_valid_after_utc - current[name].not_valid_before_utc
        assert (life.days, current[name].public_key().key_size) == (200, bits)
    assert current["vms-rec-01"].public_key() != first.certificate.public_key()


def test_a_renewal_keeps_the_key_only_where_it_is_told_to(rehearsed):
    job = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    old = job.state().current["vms-rec-01"]
    renew_certificates(job, ["vms-rec-01"], new_key=False)
    new = job.state().current["vms-rec-01"]
    assert new.public_key() == old.public_key()
    assert new.serial_number != old.serial_number


def test_what_a_change_has_renewed_is_not_renewed_by_it_again(rehearsed):
    job = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    begun = approve(job, plan_change(job, ["vms-rec-01"]))
    assert len(renew_certificates(begun, ["vms-rec-01"])) == 1
    assert renew_certificates(begun, ["vms-rec-01"]) == []
    again = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    begun = approve(again, plan_change(again, ["vms-rec-01"]))
    assert renew_certificates(begun, ["vms-rec-01", "vms-rec-02"])[0]["server"] == "vms-rec-02"
