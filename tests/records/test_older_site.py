"""The folder of a site that was kept before the ledger had columns and was the only chain.

`older-site.zip` was made by the kit of those days: runbook 12 is closed, runbook 17 has begun and
renewed one of two servers. Its keys are derived from words, its passwords are those of `lyon.py`.
"""

import csv
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import lyon
import pytest
from lyon import plan_change
from typer.testing import CliRunner

from vmscert.changes.change import approve, progress
from vmscert.changes.job import Job
from vmscert.changes.record import add_signed, close
from vmscert.cli import main as cli
from vmscert.evidence.drill import restore_drill
from vmscert.evidence.proof import prove
from vmscert.facts import DATA
from vmscert.records.folder import Records
from vmscert.records.sealed import STEPS, count_steps, details, problems
from vmscert.runbooks.certificates import renew_certificates
from vmscert.site.site import Site

RECORD_PASSWORD = "canary of the record 44d1"
CLOSED, OPEN = "2026-11-23-12-create-server-certificates", "2026-11-24-17-renew-before-expiry"

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("VMSCERT_RECORD_PASSWORD", RECORD_PASSWORD)
    with ZipFile(Path(__file__).with_name("older-site.zip")) as packed:
        packed.extractall(tmp_path / "lyon")
    site = Site("lyon", (lyon.MS, lyon.REC))
    records = Records(tmp_path / "lyon")
    return Job("17-renew-before-expiry", site, records, datetime(2026, 11, 25, 22, tzinfo=UTC))


def checked(script, *arguments):
    run = subprocess.run(
        [sys.executable, "-I", script, *arguments], capture_output=True, text=True, cwd="/"
    )
    return run.returncode, run.stdout + run.stderr


def gone_on(job):
    plan = plan_change(job, ["ms", "rec-1"])
    return approve(job, plan, f"{plan.hash} Anna Berg", "Bob Stone")


def test_its_ledger_and_its_records_are_whole(job, openssl):
    assert job.records.ledger.problems() == ()
    assert prove(job.records)[:3] == ([], 1, [f"changes/{OPEN}"])
    folder = job.records.folder / "changes" / CLOSED
    assert count_steps(folder) == 7
    for script, more in ((folder / "verify.py", ()), (DATA / "change" / "verify.py", (folder,))):
        code, told = checked(script, *more)
        assert (code, "13 files and 7 steps are as signed" in told) == (0, True), told


def test_the_script_of_today_knows_its_key_from_another(job, openssl):
    folder, script = job.records.folder / "changes" / CLOSED, DATA / "change" / "verify.py"
    true = sha256((folder / "record.pem").read_bytes()).hexdigest()
    assert checked(script, folder, true)[0] == 0
    other = "0" * 64
    assert checked(script, folder, other) == (1, f"record.pem is not the key {other}\n")


def test_the_command_finds_it_whole(job):
    told = CliRunner().invoke(cli.app, ["records", "verify", str(job.records.folder)])
    assert told.exit_code == 0
    for line in ("13 lines, unbroken", "1 change record, signed", f"changes/{OPEN}: not closed"):
        assert line in told.output
    folder = job.records.folder / "changes" / CLOSED
    told = CliRunner().invoke(cli.app, ["records", "verify", str(folder)])
    assert (told.exit_code, "7 steps, signed and unbroken" in told.output) == (0, True)


@pytest.mark.parametrize("name", [CLOSED, OPEN])
def test_a_step_that_is_changed_or_left_out_is_found_as_before(job, name):
    path = job.records.folder / "changes" / name / "steps.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for wrong in (lines[1:], [lines[0].replace(b"12", b"13", 1), *lines[1:]]):
        path.write_bytes(b"".join(wrong))
        assert any("steps.jsonl" in told for told in problems(path.parent))


def test_a_changed_file_of_it_is_found_by_the_script_of_today(job, openssl):
    folder = job.records.folder / "changes" / CLOSED
    (folder / "record.md").write_bytes(b"nicer")
    assert checked(DATA / "change" / "verify.py", folder) == (1, "record.md was changed\n")


def drilled(backup, site, job):
    """What a drill looked at → what it found; its table says nothing, and its CA's time is over."""
    checks = restore_drill(backup, site, lyon.CA_PASSWORD, job.at, pfx_password=lyon.PFX_PASSWORD)
    return {check.what: check.todo for check in checks}


def test_what_its_notes_say_is_known(job):
    assert job.state().pfx_encryptions == {"ms": "AES-256"}
    found = drilled(job.records.folder, None, job)
    assert found["files and ledger tell the same certificates"] == ""
    assert found["the newest PFX of every server opens"] == ""
    (job.records.folder / "record.key").unlink()
    found = drilled(job.records.folder, None, job)
    assert "record.key is missing" in found["files and ledger tell the same certificates"]


def test_its_open_change_goes_on_and_is_closed_in_the_one_chain(job, openssl):
    before = job.records.ledger.head()
    begun = gone_on(job)
    assert begun.change.folder.name == OPEN
    so_far = {row["computer"]: row["so far"] for row in progress(begun)}
    assert so_far["ms"] == "2026-11-24T22:00:00Z renew: PFX AES-256"
    assert renew_certificates(begun, ["ms"], lyon.PFX_PASSWORD) == []
    folder = close(begun, "done")
    assert job.records.ledger.problems() == ()
    assert job.records.ledger.head(before[0]) == before
    assert prove(job.records)[:3] == ([], 2, [])
    with (details(folder) / STEPS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["action"] for row in rows] == ["approve", "renew", "go on", "close"]
    assert [row["change"] for row in rows] == ["", "", OPEN, OPEN]
    code, told = checked(folder / "verify.py")
    assert (code, "4 steps are as signed" in told) == (0, True), told


def test_its_closed_record_takes_a_file_more_and_stays_proven(job, openssl):
    folder = job.records.folder / "changes" / CLOSED
    add_signed(job.records, folder, {"more.html": b""}, RECORD_PASSWORD, job.at)
    assert prove(job.records)[0] == []
    assert checked(folder / "verify.py")[0] == 0
    (folder / "more.html").unlink()
    assert prove(job.records)[0] == [f"changes/{CLOSED}: more.html is missing"]


def test_a_backup_of_it_is_a_backup_of_the_site_that_went_on(job, tmp_path):
    going_on = Records(tmp_path / "going on")
    with ZipFile(Path(__file__).with_name("older-site.zip")) as packed:
        packed.extractall(going_on.folder)
    close(gone_on(replace(job, records=going_on)), "done")
    found = drilled(job.records.folder, going_on, job)
    assert found["the ledger is unbroken"] == ""
    told = found["it tells all that the site's own ledger tells"]
    assert told.startswith("3 lines since 2026-11-25 would be lost:")
