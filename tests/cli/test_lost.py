"""`vmscert lost`: a password, a key, a folder or a stick is gone, and what comes of it."""

from dataclasses import replace
from datetime import UTC, datetime

import lyon
import pytest
from command import vmscert

from vmscert.changes.change import approve
from vmscert.changes.errands import board, hand_over, mark_carried
from vmscert.changes.record import close
from vmscert.cli import printing as terminal
from vmscert.facts import facts
from vmscert.files import write_atomic
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import issue_certificates
from vmscert.runbooks.replace import create_next_ca
from vmscert.runbooks.stages import open_job

TABLE = (
    "name,domain,aliases,roles,enrolment,owner\n"
    "ms,lyon.local,,management server|recording server,,IT\n"
    "rec-1,lyon.local,,recording server,csr,IT\n"
    "rec-2,lyon.local,,recording server,,IT\n"
    "rec-3,lyon.local,,recording server,,IT\n"
    "pc-1,lyon.local,,smart client,,Guards\n"
    "none,,,dlna server|event server|interconnect site|lpr server|management client|"
    "mip integration|mobile server|old mip integration|open network bridge,,\n"
)
WHY = "the paper was thrown away"
NEW = "another password 5511"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal in which nothing is folded."""
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "width", 200)
    lyon.secrets(monkeypatch)


@pytest.fixture
def job(tmp_path):
    """A real site whose CA and certificates are made; nothing was carried anywhere."""
    table = tmp_path / "lyon.csv"
    table.write_text(TABLE)
    Records(tmp_path / "lyon").save_authority(lyon.site_ca(), lyon.CA_PASSWORD, lyon.AT)
    opened = open_job("12-create-server-certificates", table, tmp_path / "lyon", lyon.AT)
    opened = replace(opened, change=lyon.Approved())
    issue_certificates(opened, lyon.PFX_PASSWORD)
    return opened


def lost(job, what, *more, **environment):
    """Run the command for this site; return what it ended with and what it printed."""
    place = ("--site", job.table, "--folder", job.records.folder)
    ran = vmscert("lost", what, *place, *more, folder=job.table.parent, **environment)
    return ran.returncode, ran.stdout + ran.stderr


def carried_in(job, host):
    """Bring a server its folder, and its inventory back."""
    (errand,) = hand_over(job, "import", [host])
    lyon.visit(job, errand)


def last_line(job):
    return job.records.ledger.entries()[-1]


def test_what_can_be_lost_is_listed_and_a_word_that_is_none_is_told(tmp_path):
    listed = vmscert("lost", folder=tmp_path)
    assert listed.returncode == 0
    assert all(row["lost"] in listed.stdout for row in facts("lost"))
    wrong = vmscert("lost", "pfx-pasword", folder=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "try pfx-password" in wrong.stderr


@pytest.mark.parametrize("what", dict.fromkeys(row["lost"] for row in facts("lost")))
def test_each_tells_tonight_and_this_week_and_changes_nothing(job, what):
    before = lyon.tree(job.records.folder)
    code, told = lost(job, what)
    assert code == 0
    assert "Tonight" in told
    assert "This week" in told
    assert lyon.tree(job.records.folder) == before


def test_every_sentence_has_its_source_and_how_sure_it_is():
    for row in facts("lost"):
        assert row["source"]
        assert row["tag"] in {"C", "C2", "E", "G", "I"}
        assert row["part"] in {"means", "tonight", "week"}


def test_a_pfx_that_was_imported_needs_no_password_and_is_left_alone(job):
    carried_in(job, "rec-2")
    before = job.state().thumbprints
    code, told = lost(job, "pfx-password", "--because", WHY)
    assert code == 0
    assert "Given up, since the password is lost: ms, rec-3." in told
    assert "vmscert run 12 " in told
    assert job.state().thumbprints == {"rec-2": before["rec-2"]}
    assert issue_certificates(job, NEW)  # as runbook 12 does: those and only those
    now = job.state().thumbprints
    assert now["rec-2"] == before["rec-2"]
    assert {now["ms"], now["rec-3"]}.isdisjoint(before.values())
    assert WHY in " ".join(one.note for one in job.records.ledger.entries())


def test_a_folder_that_nobody_can_use_any_more_is_carried_nowhere(job):
    def next_at(host):
        stands = board(lyon.numbered(job, "14"))
        return next(one.next for one in stands if one.computer == host)

    hand_over(job, "import")
    assert next_at("rec-2").startswith("carry hand-over/rec-2/")
    lost(job, "pfx-password", "--because", WHY)
    assert next_at("rec-2") == "prepare its folder"
    issue_certificates(job, NEW)
    (errand,) = hand_over(job, "import", ["rec-2"])
    assert errand.folder.endswith("-2")  # a new one: what was handed over is never changed


def test_a_certificate_that_was_given_up_and_is_adopted_later_counts_again(job):
    before = job.state()
    lost(job, "pfx-password", "--host", "rec-2", "--because", WHY)
    assert "rec-2" not in job.state().thumbprints
    job.records.note("", "adopt", before.current["rec-2"], at=lyon.AT, host="rec-2")
    assert job.state().thumbprints == before.thumbprints


def test_what_was_carried_and_never_told_of_is_asked_for_first(job):
    hand_over(job, "import")
    mark_carried(job, ["rec-2"])
    _, told = lost(job, "pfx-password", "--because", WHY)
    assert "Given up, since the password is lost: ms, rec-3." in told
    _, told = lost(job, "pfx-password", "--host", "rec-2", "--because", WHY)
    assert "Given up, since the password is lost: rec-2." in told


def test_a_renewal_whose_password_is_lost_is_made_again_by_the_runbook_that_renews(job):
    for host in ("ms", "rec-2", "rec-3"):
        carried_in(job, host)
    before = job.state().thumbprints
    lyon.certificates.renew_certificates(job, ["rec-3"], lyon.PFX_PASSWORD)
    _, told = lost(job, "pfx-password", "--because", WHY)
    assert "vmscert run 17 " in told
    assert "(rec-3)" in told
    assert job.state().thumbprints == before  # what it serves, until the next renewal


def test_the_password_of_the_ca_is_lost_and_the_first_day_on_which_it_matters_is_told(job):
    _, told = lost(job, "ca-password")
    ends = job.state().current["ms"].not_valid_after_utc
    assert f"{ends:%Y-%m-%d}  ms" in told
    assert "vmscert run 18 " in told
    code, told = lost(job, "ca-password", "--because", WHY)
    assert (code, "does nothing here" in told) == (2, True)


def test_a_ca_key_that_is_there_is_not_lost(job):
    _, told = lost(job, "ca-key", "--because", WHY)
    assert "it is not lost" in told
    assert last_line(job).action == "issue"


def test_a_ca_whose_key_is_gone_can_be_replaced_and_one_that_is_found_signs_again(job):
    key = job.records.folder / "ca.key"
    kept = key.read_bytes()
    key.unlink()
    assert lyon.precheck(lyon.numbered(job, "13"))[3].ok is False  # "the CA exists"
    lost(job, "ca-key", "--because", WHY)
    assert (last_line(job).action, last_line(job).note) == ("lose the key of the CA", WHY)
    later = replace(lyon.numbered(job, "13"), at=datetime.now(UTC))  # as the command did
    assert lyon.precheck(later)[3].ok
    with pytest.raises(FileNotFoundError, match="18-replace-the-ca"):
        job.records.authority(lyon.CA_PASSWORD)
    write_atomic(key, kept)
    assert job.records.authority(lyon.CA_PASSWORD)
    key.unlink()
    create_next_ca(job)
    job.records.promote(lyon.AT)
    assert issue_certificates(job, NEW)  # the new CA signs


def closed_change(job, number, day):
    """A change of a real site, approved and closed, whose record is signed."""
    mine = replace(lyon.numbered(job, number), change=None, at=lyon.AT + day * lyon.DAY)
    plan = lyon.plan_change(mine)
    begun = approve(mine, plan, f"{plan.hash} Anna Berg", "Bob Stone")
    return close(begun, "done")


def test_a_new_record_key_leaves_old_records_proven_and_says_why_it_came(job, monkeypatch):
    monkeypatch.setenv("VMSCERT_RECORD_PASSWORD", "the first password 1")
    folder = job.records.folder
    closed_change(job, "13", 1)
    old = {name: (folder / name).read_bytes() for name in ("record.key", "record.pem")}
    code, told = lost(job, "record-password", "--because", WHY)
    assert (code, "nothing is lost" in told) == (2, True)
    assert (folder / "record.key").read_bytes() == old["record.key"]

    monkeypatch.setenv("VMSCERT_RECORD_PASSWORD", NEW)
    with pytest.raises(ValueError, match="vmscert lost"):
        closed_change(job, "14", 2)
    code, told = lost(job, "record-password", "--because", WHY)
    assert code == 0, told
    (aside,) = folder.glob("former/record-*")
    assert {name: (aside / name).read_bytes() for name in old} == old
    made = [one for one in job.records.ledger.entries() if one.action == "create record key"]
    assert len(made) == 2
    assert WHY in made[1].note
    today = (datetime.now(UTC) - lyon.AT).days + 1  # the command asked the real clock
    closed_change(job, "14", today)
    verified = vmscert("records", "verify", folder, folder=folder.parent)
    assert verified.returncode == 0, verified.stderr
    assert "2 change records, signed and unbroken" in verified.stdout
    assert not [path for path in folder.rglob("*") if NEW.encode() in _bytes(path)]


def _bytes(path):
    return path.read_bytes() if path.is_file() else b""


def test_a_stick_is_told_by_computer_with_what_lies_on_it(job):
    hand_over(job, "import", ["ms", "rec-2"])
    hand_over(job, "trust", ["pc-1"])
    _, told = lost(job, "stick", "--host", "rec-2")
    newest = job.state().thumbprints["rec-2"][:8]
    assert f"rec-2.pfx, AES-256, {newest}, the newest: not imported" in told
    assert "ms.pfx" not in told
    assert "pc-1" not in told
    assert "vmscert run 19 " in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--host", "rec-9"), "rec-9: not in the table"),
        (("--folder", "elsewhere"), "elsewhere holds no ledger.csv"),
    ],
)
def test_what_is_named_wrongly_is_one_sentence(job, more, said):
    code, told = lost(job, "pfx-password", *more, "--because", WHY)
    assert code == 2
    assert said in told.splitlines()[-1]
    assert last_line(job).action == "issue"


def test_a_reason_without_a_site_does_nothing(tmp_path):
    ran = vmscert("lost", "record-password", "--because", WHY, folder=tmp_path)
    assert (ran.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "name it with --site" in ran.stderr
