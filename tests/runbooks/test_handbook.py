"""The years after: the page tells where what lies, when to do what, and nothing that is secret."""

import re
import shutil
from dataclasses import replace
from datetime import timedelta

import lyon
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.changes.job import Job
from vmscert.facts import NOTEBOOKS, facts
from vmscert.pages import page
from vmscert.records.folder import Records
from vmscert.runbooks.handbook import handbook, write_handbook
from vmscert.runbooks.stages import STAGES, open_job

TO_COME = {"18", "19"}


@pytest.fixture(scope="module")
def job(site_folder):
    return open_job("16-verify-the-site", "data/sites/example.csv", site_folder)


@pytest.fixture
def small(lyon_secrets, tmp_path):
    return lyon.open_lyon(tmp_path / "lyon")


def rows(text, heading):
    """The cells of the table below a heading."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def test_the_dates_come_soonest_first_and_name_their_runbooks(job):
    found = rows(handbook(job), "What to do on which day")
    assert [row[-1] for row in found[1:]] == ["17", "18"]
    assert found[0][0] == "**now**"
    assert "none has passed yet" in found[0][1]
    assert "vms-ms-01" in found[1][1]
    ca = job.records.ca_certificate.not_valid_after_utc
    assert found[2][0] == f"`{ca - timedelta(days=397):%Y-%m-%d}`"
    assert f"ends on {ca:%Y-%m-%d}" in found[2][1]


def test_a_drill_that_passed_is_due_again_after_half_a_year_and_one_that_failed_at_once(small):
    small.records.note(
        "", "drill", at=lyon.AT, note="restore drill passed, 9 checks", result="passed"
    )
    assert "the last passed on 2026-11-23" in handbook(small)
    (row,) = [r for r in rows(handbook(small), "What to do on which day") if "drill" in r[1]]
    assert row[0] == "`2027-05-24`"
    failing = replace(small, records=Records(small.records.folder.parent / "other"))
    shutil.copytree(small.records.folder, failing.records.folder)
    failing.records.note(
        "", "drill", at=lyon.AT + lyon.DAY, note="restore drill failed: ca.key", result="failed"
    )
    assert "the last passed on 2026-11-23" in handbook(failing)


def test_what_is_late_is_due_now(small):
    later = replace(small, at=lyon.AT + 400 * lyon.DAY)
    found = rows(handbook(later), "What to do on which day")
    assert {row[0] for row in found if row[-1] == "17"} == {"**now**"}


def test_every_file_and_folder_of_the_site_is_explained_and_the_key_never_leaves(job):
    told = {row["path"].rstrip("/") for row in facts("folder")}
    unsaid = {"ledger.seal", "record.pem", "REHEARSAL.txt", "simulated", ".lock", ".lock.json"}
    there = {path.name for path in job.records.folder.iterdir()} - unsaid
    assert there <= told
    (key,) = [row for row in rows(handbook(job), "Where what lies") if "`ca.key`" in row]
    assert key[-1] == "**never**"


def test_the_runbooks_that_it_names_exist():
    there = {path.stem[:2] for path in NOTEBOOKS.glob("*.ipynb")} | TO_COME
    assert {n for row in facts("occasions") for n in row["runbooks"].split("|")} <= there
    assert all(row["source"] and row["tag"] for row in facts("occasions"))


def test_every_owner_is_named_with_the_computers(job):
    found = dict(rows(handbook(job), "Whom to ask")[:6])
    assert {host.owner for host in job.site} == set(found)
    assert found["Parking"] == "vms-lpr-01"


def test_it_tells_who_has_not_reported_and_what_is_unconfirmed(small, job):
    assert "No inventory has come back of ms, rec-1, mob, pc-1, web-1" in handbook(small)
    assert "The oldest inventory is that of" in handbook(job)
    assert "(second hand)" in handbook(job)


def test_it_leaves_questions_to_the_command_that_asks_them_however_many_there_are(job):
    text = handbook(job)
    assert "what no table answers, `vmscert check site.csv` asks" in text
    assert job.site.questions
    assert not [question for question in job.site.questions if question in text]


def test_it_tells_which_servers_go_dark_on_which_day_if_nobody_acts(job):
    found = rows(handbook(job), "What goes dark if nobody acts")
    end = min(one.not_valid_after_utc for one in job.state().current.values())
    assert found[0][0] == f"`{end:%Y-%m-%d}`"
    assert re.match(r"\d+ links, when these end: vms-", found[0][1])
    assert "vms-ms-01" in found[0][1]


def test_a_revocation_list_is_to_be_signed_anew_before_it_ends(small):
    crl = lyon.crl(lyon.site_ca(), lyon.AT, 30)
    (small.records.folder / "ca.crl").write_bytes(crl.public_bytes(Encoding.DER))
    (row,) = [r for r in rows(handbook(small), "What to do on which day") if " list" in r[1]]
    assert row[0] == f"`{crl.next_update_utc - 7 * lyon.DAY:%Y-%m-%d}`"
    assert row[-1] == "19"


def test_who_approved_and_carried_out_a_change_is_named(small):
    told = "plan 3f9a1c7e55d0, approved by Anna Berg, carried out by jo"
    small.records.note("17", "approve", at=lyon.AT, note=told)
    small.records.note("17", "verified", at=lyon.AT, note="15 of 15 TLS connections verified")
    newest = rows(handbook(small), "What was done last")[0]
    assert newest == ["`2026-11-23`", "17", "approve, verified", told]


def test_names_of_the_table_can_not_become_markup(small):
    bad = '"><script>alert(1)</script>](x)|'
    hosts = tuple(replace(host, owner=bad) for host in small.site.hosts)
    hostile = replace(small, site=replace(small.site, name=bad, hosts=hosts))
    made = page(handbook(hostile), bad).decode()
    assert "<script" not in made
    assert "href" not in made
    assert "alert(1)" in made


def test_a_large_site_still_prints_on_few_sheets(small):
    many = [replace(lyon.PC, name=f"pc-{n}", owner=f"owner {n}") for n in range(300)]
    site = replace(small.site, hosts=(*small.site.hosts, *many))
    text = handbook(replace(small, site=site))
    assert len(text.splitlines()) < 110
    assert "and 291 more" in text


def test_it_is_written_anew_in_place_with_nothing_secret(small):
    path = write_handbook(small)
    write_handbook(replace(small, at=lyon.AT + lyon.DAY))
    assert path.name == "the-years-after.html"
    told = path.read_text(encoding="utf-8")
    assert "Written on 2026-11-24" in told
    assert "default-src 'none'" in told
    beside = path.with_suffix(".md").read_text(encoding="utf-8")
    for secret in (lyon.CA_PASSWORD, lyon.PFX_PASSWORD, "PRIVATE KEY"):
        assert secret not in told + beside
    assert not re.search(r"https?://", told)


def test_a_ca_whose_key_is_not_here_is_told_at_the_top(tmp_path):
    records = Records(tmp_path / "adopted")
    records.adopt(lyon.site_ca().certificate, None, "", lyon.AT)
    told = handbook(Job(STAGES["11"]["name"], lyon.SITE, records, lyon.AT))
    assert "The key of the CA is not here" in told.split("##")[0]
