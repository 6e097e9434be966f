"""A folder of records loses nothing: not to a kill, not to a second run, not to a wrong hand."""

import hashlib
import json
import multiprocessing
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import killed_run
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lyon import precheck, seen
from site_tables import HEADER, MANAGEMENT, RECORDER, without
from typer.testing import CliRunner

from vmscert import files
from vmscert.certificates.authority import (
    QUICK,
    create_authority,
    new_key,
    read_pfx,
    request,
    thumbprint,
)
from vmscert.certificates.keys import clear_key
from vmscert.changes.job import Job
from vmscert.cli import main as cli
from vmscert.evidence.proof import prove
from vmscert.records.folder import Records
from vmscert.records.ledger import Entry
from vmscert.site.table import read_site
from vmscert.windows.stores import Stores

AT = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
CA_PASSWORD = "canary of the CA 7f3a"
PFX_PASSWORD = "canary of the PFX 9c1e"
PASSWORDS = {"VMSCERT_CA_PASSWORD": CA_PASSWORD, "VMSCERT_PFX_PASSWORD": PFX_PASSWORD}
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES = multiprocessing.get_context("forkserver" if FORKS else "spawn")
LEAVE = 2 if FORKS else 9  # starting a process takes Windows a second
if FORKS:
    PROCESSES.set_forkserver_preload(["vmscert.runbooks.stages"])


@pytest.fixture(scope="module")
def keys():
    """The keys of a CA and three servers, once for all runs."""
    return [new_key(2048) for _ in range(4)]


@pytest.fixture(scope="module")
def ca(keys):
    return create_authority("Lyon VMS root 2026", AT, QUICK, keys[0])


@pytest.fixture
def folder(tmp_path):
    return Records(tmp_path / "lyon")


@pytest.fixture
def lyon(folder, ca, monkeypatch):
    """A folder with a CA and a certificate for rec-1."""
    monkeypatch.setattr("vmscert.certificates.keys.ROUNDS", 10)
    folder.save_authority(ca, CA_PASSWORD, AT)
    return folder


@pytest.fixture
def issue(ca, keys):
    """Issue to a host, as of a number of days later."""

    def issued(host, days=0):
        return ca.issue(host, at=AT + timedelta(days), key=keys[1])

    return issued


def save(lyon, host, issued, **more):
    return lyon.save(host, issued, PFX_PASSWORD, "AES-256", at=AT, **more)


def tree(folder):
    """Every file in a folder as path → bytes."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


# A run that is killed


def start(target, *arguments, **named):
    process = PROCESSES.Process(target=target, args=arguments, kwargs=named)
    process.start()
    return process


class Site:
    """Three servers, and runs of their runbooks in processes of their own."""

    def __init__(self, home, keys):
        self.table = home / "lyon.csv"
        other = RECORDER.replace("-1", "-2").replace("0.2", "0.3").replace("2022", "2016")
        self.table.write_text("\n".join((HEADER, MANAGEMENT, RECORDER, other, without(), "")))
        self.home, self.keys = home, [clear_key(key) for key in keys]
        numbers = [key.private_numbers() for key in keys]
        self.primes = [n.to_bytes(128, "big") for pair in numbers for n in (pair.p, pair.q)]

    def start(self, name, **more):
        return start(killed_run.run, self.home / name, self.table, AT, self.keys, PASSWORDS, **more)

    def run(self, name, **more):
        process = self.start(name, **more)
        process.join()
        return process.exitcode

    def records(self, name):
        return Records(self.home / name)


@pytest.fixture(scope="module")
def site(tmp_path_factory, keys):
    return Site(tmp_path_factory.mktemp("killed"), keys)


@pytest.fixture(scope="module")
def writes(site):
    """How many files a run writes that nobody kills; what one that is killed leaves lies beside."""
    count = PROCESSES.Value("i")
    assert site.run("whole", writes=count, leave=LEAVE) == 0
    return count.value


def check_complete(site, name):
    """Everything is there, in the ledger, and nothing else."""
    lyon = site.records(name)
    job = Job("16-verify-the-site", read_site(site.table), lyon, AT)
    assert [check for check in precheck(job) if not check.ok] == []
    assert lyon.ledger.problems() == ()
    assert lyon.abandoned() == ()
    problems, closed, still_open = prove(lyon)[:3]
    assert (problems, still_open) == ([], []) and closed
    assert not list(lyon.folder.rglob("*.draft"))
    issued = {e.thumbprint for e in lyon.ledger.entries() if e.action == "issue"}
    assert {path.stem for path in lyon.folder.glob("servers/*/*")} <= issued


def check_secrets(site, name):
    """No password and no part of a key stands in clear in any file, drafts among them."""
    for path, data in tree(site.home / name).items():
        assert not [p for p in PASSWORDS.values() if p.encode() in data], path
        assert not [p for p in PASSWORDS.values() if p.encode("utf-16-le") in data], path
        assert not re.search(rb"BEGIN (RSA )?PRIVATE KEY", data), path
        assert not [prime for prime in site.primes if prime in data], path


def key_files(folder):
    """Every file with a key; what lies in a draft is half a copy, and swept away."""
    kept = {name: data for name, data in tree(folder).items() if ".draft/" not in name}
    return {name: data for name, data in kept.items() if name.endswith((".key", ".pfx"))}


def run_all(site, deaths):
    """Run in folders of their own at once; folder → the write at which its run dies, or 0."""
    runs = [site.start(name, die_at=number) for name, number in deaths.items()]
    for process in runs:
        process.join()
    return [process.exitcode for process in runs]


def check_killed(site, folders):
    """Let other runs finish what runs have left that were killed in the middle of one write."""
    before = {}
    for name in folders:
        assert site.records(name).ledger.problems() == ()
        check_secrets(site, name)
        before[name] = key_files(site.home / name)
    assert set(run_all(site, dict.fromkeys(folders, 0))) == {0}
    for name in folders:
        check_complete(site, name)
        after = key_files(site.home / name)
        assert {path: after.get(path) for path in before[name]} == before[name]
        shutil.rmtree(site.home / name)


def test_a_run_that_is_killed_at_any_write_is_continued_by_the_next_one(site, writes):
    """Every other write of a run, one after the other: the site is complete, no key changed.

    Between two writes that differ there are always some that do not: the files of one folder.
    """
    assert writes > 60
    left = [f"killed-{number}" for number in range(1, writes + 1, LEAVE)]
    for first in range(0, len(left), 2):
        check_killed(site, left[first : first + 2])


def test_a_process_that_is_killed_leaves_what_the_next_one_continues(site, writes):
    """The same with the system's own kill, at some of the writes."""
    deaths = {f"dead-{number}": number for number in range(2, writes, writes // 5)}
    assert not {0, 1} & set(run_all(site, deaths)), "a run was not killed"
    check_killed(site, [*deaths])


def test_a_run_that_is_killed_again_and_again_still_ends(site, writes):
    """Each run may write 25 files only before it dies; a folder, which is all or none, takes 8."""
    deaths = 0
    while site.run("again", die_at=25) != 0:
        deaths += 1
        assert deaths < writes
    assert deaths > 2
    check_complete(site, "again")


def test_a_run_that_nobody_kills_writes_no_secret_in_clear(site, writes):
    check_complete(site, "whole")
    check_secrets(site, "whole")
    for path in seen(site.records("whole")).pfx.values():
        assert read_pfx(path, PFX_PASSWORD).names[0]


def test_a_second_run_of_a_finished_site_issues_nothing(site, writes):
    before = seen(site.records("whole")).current, key_files(site.home / "whole")
    assert site.run("whole") == 0
    assert (seen(site.records("whole")).current, key_files(site.home / "whole")) == before


# Two runs at once


def test_two_runs_at_once_leave_one_whole_site(site):
    """The slower one waits or stops with a sentence; the next run finds nothing broken."""
    pair = [site.start("both") for _ in range(2)]
    for process in pair:
        process.join()
    assert 0 in {process.exitcode for process in pair}
    assert site.records("both").ledger.problems() == ()
    assert site.run("both") == 0
    check_complete(site, "both")


def test_a_run_waits_until_another_one_is_done(site):
    ready = PROCESSES.Event()
    other = start(killed_run.hold, site.home / "busy", ready, 0.4)
    assert ready.wait(20)
    site.records("busy").note("11", "look", at=AT)
    assert not other.is_alive() or other.join() is None
    assert len(site.records("busy").ledger.entries()) == 1


def test_a_run_that_waits_too_long_says_who_is_in_the_way(site, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    ready = PROCESSES.Event()
    other = start(killed_run.hold, site.home / "busy", ready, 60)
    assert ready.wait(20)
    with pytest.raises(RuntimeError, match=r"busy is in use by \w+ on .* \(process \d+\): wait"):
        site.records("busy").note("11", "look", at=AT)
    other.kill()
    other.join()
    site.records("busy").note("11", "look", at=AT)  # a killed run locks nobody out


# The CA


def test_a_new_folder_has_no_authority_and_says_which_runbook_makes_one(folder):
    assert not folder.has_authority
    with pytest.raises(FileNotFoundError, match=r"ca\.cer is missing: run 11-create-the-ca"):
        folder.authority(CA_PASSWORD)


def test_the_ca_opens_with_its_password_only(lyon, ca):
    assert lyon.has_authority
    assert lyon.ca_certificate == lyon.authority(CA_PASSWORD).certificate == ca.certificate
    with pytest.raises(ValueError, match="The password does not open the key file"):
        lyon.authority("another password")


def test_a_second_ca_is_refused_and_the_first_one_stays(lyon, keys):
    other = create_authority("Lyon VMS root 2027", AT, QUICK, keys[1])
    before = tree(lyon.folder)
    with pytest.raises(FileExistsError, match="lyon has a CA already: its key is never overwritt"):
        lyon.save_authority(other, CA_PASSWORD, AT)
    assert tree(lyon.folder) == before


@pytest.mark.parametrize("lost", ["ca.cer", "ca.key"])
def test_half_a_ca_that_was_used_is_restored_and_never_made_anew(lyon, issue, ca, lost):
    save(lyon, "rec-1", issue("rec-1"))
    (lyon.folder / lost).unlink()
    with pytest.raises(FileExistsError, match=r"restore it from the backup"):
        lyon.save_authority(ca, CA_PASSWORD, AT)
    with pytest.raises(FileNotFoundError, match=re.escape(f"{lost} is missing")):
        lyon.authority(CA_PASSWORD)


def test_a_key_of_another_ca_is_not_taken_for_this_ones(lyon, keys, tmp_path):
    other = Records(tmp_path / "other")
    other.save_authority(create_authority("Other", AT, QUICK, keys[1]), CA_PASSWORD, AT)
    shutil.copy(other.folder / "ca.key", lyon.folder)
    with pytest.raises(ValueError, match="does not belong to the certificate of 'Lyon VMS root"):
        lyon.authority(CA_PASSWORD)


# Server certificates


def test_a_certificate_lies_under_its_thumbprint_and_in_the_ledger(lyon, issue):
    issued = issue("rec-1")
    path = save(lyon, "rec-1", issued)
    label = thumbprint(issued.certificate)
    assert path == lyon.folder / "servers" / "rec-1" / f"{label}.pfx"
    assert path.with_suffix(".cer").read_bytes() == issued.certificate.public_bytes(Encoding.DER)
    end = f"{issued.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    serial = f"{issued.certificate.serial_number:X}"
    assert lyon.ledger.entries()[-1] == Entry(
        "2026-11-23T04:05:06Z", "12", "issue", "rec-1", serial, label, end, "PFX AES-256",
        encryption="AES-256", **files.whoami(),
    )  # fmt: skip


def test_the_newest_certificate_is_the_current_one_and_the_older_one_stays(lyon, issue):
    first, second = issue("rec-1"), issue("rec-1", days=300)
    save(lyon, "rec-1", first)
    save(lyon, "rec-1", second, runbook="17", action="renew")
    assert seen(lyon).current == {"rec-1": second.certificate}
    assert len(list(lyon.folder.glob("servers/rec-1/*"))) == 4


def test_a_certificate_whose_pfx_never_reached_the_disk_is_not_current_but_abandoned(lyon, issue):
    save(lyon, "rec-1", issue("rec-1"))
    save(lyon, "rec-1", issue("rec-1", days=1)).unlink()
    assert list(seen(lyon).current) == ["rec-1"]
    assert seen(lyon).current["rec-1"].not_valid_before_utc < AT
    (lost,) = lyon.abandoned()
    lyon.note_all([replace(lost, action="abandon")])
    assert lyon.abandoned() == ()


def test_a_certificate_that_ends_with_its_ca_is_noted_as_such(lyon, ca, keys):
    late = ca.certificate.not_valid_after_utc - timedelta(days=30)
    save(lyon, "rec-1", ca.issue("rec-1", at=late, key=keys[1]))
    assert lyon.ledger.entries()[-1].note == "PFX AES-256, ends with the CA"


def test_a_certificate_that_can_not_be_written_down_is_not_written(lyon, issue):
    """Nothing leaves the CA that the ledger does not know."""
    lyon.ledger.seal.unlink()
    with pytest.raises(ValueError, match="the seal is missing"):
        save(lyon, "rec-1", issue("rec-1"))
    assert not (lyon.folder / "servers").exists()


def test_a_pfx_opens_with_its_password_only(lyon, issue, keys):
    save(lyon, "rec-1", issue("rec-1"))
    opened = read_pfx(seen(lyon).pfx["rec-1"], PFX_PASSWORD, lyon.ca_certificate)
    assert opened.key.private_numbers() == keys[1].private_numbers()
    assert opened.chain == (seen(lyon).current["rec-1"], lyon.ca_certificate)
    with pytest.raises(ValueError, match=r"\.pfx: the password is wrong, or the file is not a PFX"):
        read_pfx(seen(lyon).pfx["rec-1"], "another password")


def test_the_ledger_tells_how_the_newest_pfx_of_each_server_is_encrypted(lyon, issue, ca):
    save(lyon, "rec-1", issue("rec-1"))
    late = (ca.certificate.not_valid_after_utc - AT).days - 1  # its certificate ends with the CA
    save(lyon, "rec-2", issue("rec-2", days=late))
    assert seen(lyon).pfx_encryptions == {"rec-1": "AES-256", "rec-2": "AES-256"}
    lyon.save("rec-1", issue("rec-1", days=1), PFX_PASSWORD, "3DES", at=AT, action="renew")
    lyon.note("14", "looked at", seen(lyon).current["rec-1"], at=AT, host="rec-1", note="by hand")
    assert seen(lyon).pfx_encryptions == {"rec-1": "3DES", "rec-2": "AES-256"}


# Certificates for keys that never leave their computer


@pytest.fixture
def sign(ca, keys):
    """Sign a request of rec-1 with one of the keys."""

    def signed(number=1):
        csr, _ = request("rec-1", key=keys[number])
        return csr, ca.sign(csr, ["rec-1"], AT)

    return signed


def test_a_signed_certificate_lies_without_a_pfx_and_with_the_cas_above_it(lyon, sign, ca):
    _, issued = sign()
    path = lyon.save_signed("rec-1", issued, at=AT)
    assert sorted(tree(lyon.folder / "servers")) == [
        f"rec-1/{path.stem}.cer",
        f"rec-1/{path.stem}.issuers.pem",
    ]
    assert seen(lyon).thumbprints == {"rec-1": path.stem}
    assert seen(lyon).pfx == {} == seen(lyon).pfx_encryptions
    assert seen(lyon).issuers["rec-1"] == (ca.certificate,)
    assert lyon.ledger.entries()[-1].action == "sign"
    assert lyon.ledger.entries()[-1].note == "key stays there"


def test_a_certificate_of_another_ca_has_that_one_above_it(lyon, keys):
    other = create_authority("Other", AT, QUICK, keys[2])
    issued = other.issue("mob", at=AT, key=keys[1])
    lyon.save_signed("mob", issued, at=AT, action="receive")
    assert seen(lyon).issuers["mob"] == (other.certificate,)


def test_a_certificate_with_a_pfx_has_the_sites_ca_above_it(lyon, issue, ca):
    save(lyon, "rec-1", issue("rec-1"))
    assert seen(lyon).issuers["rec-1"] == (ca.certificate,)


def test_the_newest_certificate_counts_whichever_way_it_came(lyon, issue, sign):
    first, (_, second), third = issue("rec-1"), sign(2), issue("rec-1", days=5)
    assert seen(lyon).superseded.get("rec-1", ()) == ()
    save(lyon, "rec-1", first)
    lyon.save_signed("rec-1", second, at=AT)
    assert seen(lyon).current == {"rec-1": second.certificate}
    assert seen(lyon).pfx == {}
    assert seen(lyon).superseded.get("rec-1", ()) == (thumbprint(first.certificate),)
    save(lyon, "rec-1", third)
    assert seen(lyon).current == {"rec-1": third.certificate}
    assert seen(lyon).superseded.get("rec-1", ()) == tuple(
        thumbprint(one.certificate) for one in (first, second)
    )


def test_a_certificate_that_was_signed_but_never_written_is_abandoned_and_may_be_signed_again(
    lyon, sign
):
    csr, issued = sign()
    lyon.save_request("rec-1", csr)
    lyon.save_signed("rec-1", issued, at=AT).unlink()
    assert seen(lyon).current == {}
    assert [entry.action for entry in lyon.abandoned()] == ["sign"]
    assert seen(lyon).requests.get("rec-1") == csr


def test_a_request_waits_until_a_certificate_for_its_key_is_there(lyon, sign):
    (csr, issued), (newer, _) = sign(), sign(2)
    assert seen(lyon).requests.get("rec-1") is None
    lyon.save_request("rec-1", csr)
    assert seen(lyon).requests.get("rec-1") == csr
    lyon.save_signed("rec-1", issued, at=AT)
    assert lyon.is_answered("rec-1", csr)
    assert seen(lyon).requests.get("rec-1") is None
    lyon.save_request("rec-1", newer)
    assert not lyon.is_answered("rec-1", newer)
    assert seen(lyon).requests.get("rec-1") == newer


def test_an_answer_to_one_computer_is_none_to_another(lyon, sign):
    csr, issued = sign()
    lyon.save_signed("rec-1", issued, at=AT)
    assert not lyon.is_answered("rec-2", csr)


def test_a_ca_that_only_signed_requests_was_used_and_is_never_made_anew(lyon, sign, ca):
    lyon.save_signed("rec-1", sign()[1], at=AT)
    (lyon.folder / "ca.key").unlink()
    with pytest.raises(FileExistsError, match="restore it from the backup"):
        lyon.save_authority(ca, CA_PASSWORD, AT)


def test_a_file_that_is_no_pfx_is_told(tmp_path):
    (tmp_path / "a.pfx").write_bytes(b"no PFX")
    with pytest.raises(ValueError, match=r"a\.pfx: the password is wrong, or the file is not a"):
        read_pfx(tmp_path / "a.pfx", PFX_PASSWORD)


# What goes out and what comes back


def test_a_hand_over_folder_lists_the_sums_of_its_files(lyon):
    folder = lyon.hand_over("rec-1", {"ca.cer": b"certificate", "install.ps1": b"script"}, AT)
    assert folder == lyon.folder / "hand-over" / "rec-1" / "2026-11-23"
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("ca.cer", "install.ps1")
    }


def test_a_finished_folder_is_never_changed_and_a_new_one_gets_another_date(lyon):
    first = lyon.hand_over("rec-1", {"A.pfx": b"old"}, AT)
    before = tree(first)
    second = lyon.hand_over("rec-1", {"B.pfx": b"new"}, AT)
    third = lyon.hand_over("rec-1", {"C.pfx": b"newer"}, AT + timedelta(days=9))
    assert tree(first) == before
    names = [folder.name for folder in (first, second, third)]
    assert names == ["2026-11-23", "2026-11-23-2", "2026-12-02"]
    assert seen(lyon).handed_over["rec-1"] == third
    assert seen(lyon).handed_over.get("rec-2") is None


def test_the_tenth_folder_of_a_day_is_newer_than_the_second(lyon):
    made = [lyon.hand_over("rec-1", {"n": bytes([number])}, AT) for number in range(10)]
    assert seen(lyon).handed_over["rec-1"] == made[-1]
    assert made[-1].name == "2026-11-23-10"


def test_a_copy_of_a_folder_that_somebody_made_is_none_of_the_kits(lyon):
    """Windows calls it "2026-11-23 - Copy"; a person may call it anything."""
    made = lyon.hand_over("rec-1", {"n": b""}, AT)
    for name in ("2026-11-23 - Copy", "2026-11-23-old", "2027-01-01 new", "9999-99-99-x.zip"):
        (made.parent / name).mkdir()
    assert seen(lyon).handed_over["rec-1"] == made


def test_a_roll_out_folder_is_made_anew_only_when_it_would_differ(lyon):
    first = lyon.roll_out({"ca.cer": b"1"}, AT)
    before = tree(first)
    assert lyon.roll_out({"ca.cer": b"1"}, AT + timedelta(days=9)) == first
    second = lyon.roll_out({"ca.cer": b"2"}, AT)
    assert [first.name, second.name] == ["2026-11-23", "2026-11-23-2"]
    assert tree(first) == before
    assert sorted(tree(second)) == ["SHA256SUMS", "ca.cer"]


def test_the_newest_inventory_of_a_computer_is_kept(folder, ca):
    empty = Stores("rec-1", AT, windows="Windows Server 2022")
    trusting = replace(empty, at=AT + timedelta(days=1), root=(ca.certificate,))
    folder.save_inventory(empty)
    folder.save_inventory(trusting)
    assert folder.inventories() == {"rec-1": trusting}


def test_an_inventory_that_can_not_be_read_is_named(folder):
    folder.save_inventory(Stores("rec-1", AT))
    (folder.folder / "inventory/rec-1.json").write_text("[]")
    with pytest.raises(ValueError, match=r"rec-1\.json"):
        folder.inventories()


def test_what_is_kept_with_a_change_is_never_overwritten(folder):
    change = folder.new_change("16-verify-the-site", AT)
    paths = [folder.keep(change, "run.html", bytes([n])) for n in range(3)]
    assert [path.name for path in paths] == ["run.html", "run-2.html", "run-3.html"]
    assert change == folder.folder / "changes" / "2026-11-23-16-verify-the-site"
    assert {path.parent for path in paths} == {change / "details"}
    assert paths[0].read_bytes() == b"\0"


def test_each_change_has_a_folder_of_its_own_and_they_come_in_their_order(folder):
    made = [folder.new_change("16-verify-the-site", AT) for _ in range(11)]
    other = folder.new_change("17-renew-before-expiry", AT)
    (folder.folder / "changes" / "copy of 2026-11-23-16-verify-the-site").mkdir()
    assert folder.changes("16-verify-the-site") == made
    assert folder.changes() == [*made, other]


def test_the_table_is_kept_beside_what_was_made_from_it(folder):
    folder.save_table(b"name;roles")
    assert folder.table.read_bytes() == b"name;roles"


# Rehearsals, locks, drafts


def test_a_rehearsal_says_so_in_its_folder(folder):
    assert not folder.rehearsal
    folder.begin_rehearsal()
    folder.begin_rehearsal()
    assert folder.rehearsal
    assert "Never install this CA" in (folder.folder / "REHEARSAL.txt").read_text("utf-8")


@pytest.mark.parametrize("lost", [None, "ca.cer", "ca.key"])
def test_a_real_site_never_becomes_a_rehearsal(lyon, lost):
    if lost:
        (lyon.folder / lost).unlink()
    with pytest.raises(ValueError, match="lyon holds a real site: rehearse in another folder"):
        lyon.begin_rehearsal()
    assert not lyon.rehearsal


def test_whoever_takes_the_lock_clears_away_the_drafts_of_a_killed_run(folder):
    draft = folder.folder / "servers/rec-1/.A.pfx.01234567.draft"
    with folder.lock():
        draft.parent.mkdir(parents=True)
        draft.write_bytes(b"half")
        folder.note("11", "look", at=AT)
        assert draft.exists()  # a lock inside a lock may be in the middle of a write
    with folder.lock():
        assert draft.exists()  # nobody else was here since, so nobody was killed
    holder = folder.folder / ".lock.json"
    holder.write_text(json.dumps(json.loads(holder.read_text("utf-8")) | {"run": "killed"}))
    with folder.lock():
        assert not draft.exists()


# vmscert records verify


def test_verifying_says_that_a_ledger_is_unbroken_or_names_the_changed_line(lyon):
    def verify():
        told = CliRunner().invoke(cli.app, ["records", "verify", str(lyon.folder)])
        return told.exit_code, told.output.strip()

    lyon.note("16", "look", at=AT)
    code, told = verify()
    assert (code, told.splitlines()[:2]) == (
        0, ["✔ 2 lines, unbroken", "✔ 0 change records, signed and unbroken"],
    )  # fmt: skip
    assert "not compared: every file, as no whole record tells of one" in told
    text = lyon.ledger.path.read_text("utf-8")
    lyon.ledger.path.write_bytes(text.replace("create CA", "create CB").encode())
    wrong = "was changed, or a line before it was changed, removed, added or moved"
    code, told = verify()
    assert (code, told.splitlines()[0]) == (1, f"ledger.csv, line 2: {wrong}")
    assert "not compared: the records and files" in told
