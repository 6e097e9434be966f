"""A change on a real site: planned, approved by somebody else, carried out, closed, proven."""

import contextlib
import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from lyon import (
    AT,
    CA_PASSWORD,
    DAY,
    PFX_PASSWORD,
    SITE,
    create_ca,
    numbered,
    open_lyon,
    plan_change,
    tree,
    visit,
)

from vmscert.changes.change import approve, begin, progress, read_plan, steps
from vmscert.changes.errands import hand_over, roll_out
from vmscert.changes.job import EXAMPLE, Job, Stop
from vmscert.changes.record import add_signed, close
from vmscert.evidence.proof import prove
from vmscert.records.folder import Records
from vmscert.records.ledger import Entry, Ledger, read_rows
from vmscert.records.sealed import PLAN, STEPS, details, problems, seal
from vmscert.runbooks.certificates import issue_certificates, renew_certificates, sign_requests
from vmscert.runbooks.stages import open_job
from vmscert.windows.stores import Stores

RECORD_PASSWORD = "canary of the record 44d1"
STEERING = {f".lock-{number}{kind}" for number in (12, 16) for kind in ("", ".json")}
ELSEWHERE = (
    "changes",
    "simulated",
)  # what is altered there, other tests tell; what a real site lacks
ANNA, BOB = "Anna Berg", "Bob Stone"

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture(autouse=True)
def record_password(monkeypatch):
    monkeypatch.setenv("VMSCERT_RECORD_PASSWORD", RECORD_PASSWORD)


@pytest.fixture
def job(tmp_path):
    """Runbook 12 of a real site that has a CA and nothing else; nobody has approved anything."""
    issued = open_lyon(tmp_path / "lyon", "12", issued=False)
    table = tmp_path / "lyon.csv"
    table.write_bytes(b"name,roles\n")
    issued.records.save_table(table.read_bytes())
    return replace(issued, change=None, table=table, clock=lambda: AT + DAY / 24)


def approved(job, plan=None, **more):
    plan = plan or plan_change(job)
    return approve(job, plan, f"{plan.hash} {ANNA}", BOB, **more)


def steps_of(begun):
    """The lines of the ledger that belong to a change."""
    return steps(begun.records, begun.change.folder, begun.change.plan)


def carried_out(job):
    """The whole of runbook 12, as far as it needs nobody at another computer."""
    begun = approved(job)
    issue_certificates(begun, PFX_PASSWORD)
    close(begun, "done")
    return begun


# The plan


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lines": "x", "more": 1}, "'lines' has the wrong value 'x'; 'more' is unknown"),
        ({"computers": [{"computer": 7}]}, "'computers[0].computer' has the wrong value '7'"),
        ({"dark": None, "back": None}, "'dark' has the wrong value 'None'; 'back' has"),
    ],
)
def test_a_plan_that_is_none_any_more_names_every_place_that_is_wrong(job, changes, told):
    data = json.loads(plan_change(job).data()) | changes
    with pytest.raises(ValueError, match=f"^plan.json: {re.escape(told)}.*Restore it from the"):
        read_plan(json.dumps(data).encode())


def test_a_plan_is_the_same_for_the_same_state_and_names_what_it_is_made_from(job):
    plan = plan_change(job, days=397)
    again = plan_change(replace(job, at=AT + DAY), days=397)
    assert plan == again
    (folder,) = job.records.changes()
    assert (details(folder) / PLAN).read_bytes() == plan.data()
    assert {"plan.html", "plan.md"} < {path.name for path in (folder / "details").iterdir()}
    assert plan.hash in (folder / "details/plan.md").read_text("utf-8")
    assert {row["computer"] for row in plan.computers} == {"ms", "rec-1", "mob"}


def test_a_plan_after_the_theft_of_the_ca_s_key_names_every_server(job):
    stolen = replace(job, runbook="19-answer-a-key-compromise")
    rows = plan_change(stolen, stolen="CA").computers
    renewed = {row["computer"] for row in rows if row["to do"].startswith("a new certificate")}
    assert renewed == {host.name for host in job.site.servers}


@pytest.mark.parametrize("stolen", ["CA", "rec-1"])
def test_a_plan_after_a_theft_names_all_who_bar_what_was_stolen_and_counts_each_once(job, stolen):
    plan = plan_change(replace(job, runbook="19-answer-a-key-compromise"), stolen=stolen)
    barring = {row["computer"] for row in plan.computers if "bar what was" in row["to do"]}
    calling = {link.client for link in job.site.connections if link.server == "rec-1"} | {"rec-1"}
    assert barring == ({host.name for host in job.site.clients} if stolen == "CA" else calling)
    assert len(barring) < len(plan.computers)
    assert f"on {len(barring)} computers**" in plan.markdown()


@pytest.mark.parametrize("what", ["table", "ledger", "parameter"])
def test_another_state_makes_another_plan(job, what):
    before = plan_change(job, days=397)
    if what == "table":
        job.table.write_bytes(b"name,roles\nnew,smart client\n")
    elif what == "ledger":
        job.records.note("16", "look", at=AT)
    after = plan_change(job, days=398 if what == "parameter" else 397)
    assert after.hash != before.hash
    assert len(job.records.changes()) == 1  # nobody had approved the one before


# Approval


def test_nothing_happens_on_a_real_site_without_an_approved_plan(job):
    before = tree(job.records.folder)
    deeds = (
        lambda: create_ca(job),
        lambda: issue_certificates(job, PFX_PASSWORD),
        lambda: sign_requests(job),
        lambda: renew_certificates(job, ["ms"], PFX_PASSWORD),
        lambda: hand_over(job, "trust"),
        lambda: roll_out(job),
    )
    for deed in deeds:
        with pytest.raises(Stop, match="no plan of this run is approved"):
            deed()
    assert tree(job.records.folder) == before


@pytest.mark.parametrize(
    ("given", "by", "emergency", "sentence"),
    [
        ("", BOB, "", "is not approved. Let somebody else read"),
        ("{hash}", BOB, "", "does not say who approved"),
        ("{hash} by  ", BOB, "", "does not say who approved"),
        ("0123456789ab Anna Berg", BOB, "", "was approved, but the plan is"),
        ("{hash} Bob Stone", BOB, "", "both approves and carries out"),
        ("{hash} bob  STONE", BOB, "", "both approves and carries out"),
        ("{hash} Bob", BOB, "", "both approves and carries out"),
        ("{hash} Bob Stone", BOB, "urgent!", "EMERGENCY is not a reason"),
    ],
)
def test_what_is_no_approval_is_refused_in_a_sentence(job, given, by, emergency, sentence):
    plan = plan_change(job)
    with pytest.raises(Stop, match=sentence):
        approve(job, plan, given.format(hash=plan.hash), by, emergency)
    assert not any("approve" in entry.action for entry in job.records.ledger.entries())


def test_somebody_elses_approval_lets_it_happen_and_stands_in_the_record(job):
    begun = approved(job)
    assert issue_certificates(begun, PFX_PASSWORD)
    first = steps_of(begun)[0]
    assert (first.action, first.approved_by, first.carried_out_by) == ("approve", ANNA, BOB)
    assert first.time == "2026-11-23T23:00:00Z"
    assert first.digest.startswith(begun.change.plan.hash)
    assert "approved by Anna Berg" in first.note


def test_in_an_emergency_one_person_may_do_both_with_a_written_reason(job):
    plan = plan_change(job)
    reason = "all cameras are dark and nobody answers"
    begun = approve(job, plan, f"{plan.hash} {BOB}", BOB, reason)
    assert issue_certificates(begun, PFX_PASSWORD)
    assert steps_of(begun)[0].emergency == reason
    close(begun, "done")
    assert reason in (begun.change.folder / "details/record.md").read_text("utf-8")


@pytest.mark.parametrize("what", ["table", "ledger"])
def test_an_approval_is_void_when_table_or_ledger_changed_since(job, what):
    plan = plan_change(job)
    if what == "table":
        job.table.write_bytes(b"name,roles\nnew,smart client\n")
    else:
        job.records.note("17", "renew", at=AT)
    with pytest.raises(Stop, match="since the plan was made"):
        approve(job, plan, f"{plan.hash} {ANNA}", BOB)


@pytest.mark.parametrize("what", ["table", "ledger", "another ledger"])
def test_an_approval_is_void_even_between_two_cells(job, what):
    begun = approved(job)
    if what == "table":
        job.table.write_bytes(b"name,roles\nnew,smart client\n")
    elif what == "ledger":
        job.records.note("17", "renew", at=AT)
    else:
        path = job.records.ledger.path
        path.write_bytes(path.read_bytes().replace(b"create CA", b"create CB"))
        lines = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join([lines[0], *lines[2:]]), "utf-8")
    with pytest.raises((Stop, ValueError), match=r"void|were sealed|is not the"):
        issue_certificates(begun, PFX_PASSWORD)


def test_what_people_bring_back_meanwhile_makes_no_approval_void(job):
    begun = approved(job)
    job.records.note("17", "brought back", at=AT, host="ms")
    assert issue_certificates(begun, PFX_PASSWORD)


def test_a_void_change_is_left_and_a_new_plan_begins_another(job):
    first = approved(job)
    job.records.note("17", "renew", at=AT)
    plan = plan_change(job)
    assert plan.hash != first.change.plan.hash
    second = approved(job, plan)
    assert second.change.folder != first.change.folder
    assert steps_of(first)[-1].action == "abandoned"
    assert issue_certificates(second, PFX_PASSWORD)


def test_a_rehearsal_needs_nobody(tmp_path):
    records = Records(tmp_path / "rehearsal")
    records.begin_rehearsal()
    records.save_table(b"name,roles\n")
    rehearsed = Job("11-create-the-ca-certificate", SITE, records, AT)
    begun = approve(rehearsed, plan_change(rehearsed), "", "", "")
    assert "rehearsal" in steps_of(begun)[0].note


# Steps


def test_every_line_of_the_ledger_is_a_step_with_its_own_time_and_result(job):
    begun = carried_out(job)
    found = steps_of(begun)
    assert [step.action for step in found] == [
        "approve", "create record key", "issue", "close", "seal record",
    ]  # fmt: skip
    assert {step.change for step in found} == {begun.change.folder.name}
    assert all(step.user and step.machine == platform.node() for step in found)
    assert {step.time for step in found} == {"2026-11-23T23:00:00Z"}
    assert (found[2].host, found[2].encryption) == ("ms", "AES-256")
    copied = [
        Entry(*row[:-1])
        for row in read_rows((details(begun.change.folder) / STEPS).read_text("utf-8"))
    ]
    assert copied == found[:-1]


def test_a_change_that_was_stopped_goes_on_where_it_was(job):
    begun = approved(job)
    issue_certificates(begun, PFX_PASSWORD)
    later = replace(job, records=Records(job.records.folder), at=AT + DAY)
    plan = plan_change(later)
    assert plan == begun.change.plan
    again = approved(later, plan)
    assert again.change.folder == begun.change.folder
    done = {row["computer"]: row["so far"] for row in progress(again)}
    assert "issue" in done["ms"]
    assert done["rec-1"] == "nothing yet"
    assert issue_certificates(again, PFX_PASSWORD) == []
    assert steps_of(again)[-1].action == "go on"


def test_a_change_that_was_stopped_goes_on_with_its_own_parameters_only(job):
    approved(job, plan_change(job, days=397))
    later = replace(job, records=Records(job.records.folder))
    with pytest.raises(Stop, match="has begun with other parameters: DAYS = 397"):
        plan_change(later, days=398)


class Killed(BaseException):
    """The run is gone, whatever it was about to do."""


def test_a_run_that_is_killed_at_any_write_leaves_one_truth_and_goes_on(job, monkeypatch, tmp_path):
    """The ledger is the only chain: no second one can lag behind it."""
    for nth in count(1):
        table, folder = tmp_path / f"{nth}.csv", tmp_path / f"{nth}"
        shutil.copy(job.table, table)
        shutil.copytree(job.records.folder, folder)
        mine = replace(job, records=Records(folder), table=table)
        left = count(1 - nth)

        def die(_number, left=left):
            if next(left) == 0:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr("vmscert.files.os.fsync", die)
            try:
                carried_out(mine)
                break
            except Killed:
                pass
        again = replace(mine, records=Records(folder))
        if not again.records.changes() or prove(again.records)[:3][1] == 0:
            carried_out(again)
        assert again.records.ledger.problems() == ()
        assert prove(again.records)[:3] == ([], 1, [])
        (kept,) = again.records.changes()
        copied = (details(kept) / STEPS).read_bytes()
        assert again.records.ledger.since(1).encode().startswith(copied)
        assert copied.count(b",issue,ms,") in (1, 2)  # what reached no file is done anew
    assert nth > 15


@pytest.mark.parametrize("nth", [1, 5, 10, 11])
def test_a_signature_that_is_interrupted_is_ended_by_whoever_comes_next(job, monkeypatch, nth):
    """Once the ledger was told of it: nobody needs a key, and what was added is not lost."""
    begun, left, move = approved(job), count(1 - nth), Path.replace

    def die(path, target):
        if ".signing" in path.parts and "draft" not in str(path) and next(left) == 0:
            raise Killed
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with contextlib.suppress(Killed):
            close(begun, "done", {"notebook.ipynb": b"{}"})
    assert (job.records.folder / "changes/.signing").exists() == (nth < 11)
    assert prove(Records(job.records.folder))[:3] == ([], 1, [])
    assert (begun.change.folder / "details/notebook.ipynb").read_bytes() == b"{}"
    assert not (job.records.folder / "changes/.signing").exists()


# The closed record


@pytest.fixture
def closed(job):
    return carried_out(job)


def verified(folder):
    """What the script in the record says, with nothing but Python and OpenSSL."""
    run = subprocess.run(
        [sys.executable, "-I", folder / "verify.py"], capture_output=True, text=True, cwd="/"
    )
    return run.returncode, run.stdout + run.stderr


def test_a_closed_record_holds_all_that_an_auditor_asks_for(closed):
    folder = closed.change.folder
    assert {path.name for path in folder.iterdir()} == {
        "record.html", "verify.py", "SHA256SUMS", "SHA256SUMS.sig", "record.pem", "details",
    }  # fmt: skip
    assert {path.name for path in (folder / "details").iterdir()} == {
        "plan.json", "plan.md", "plan.html", "before.json", "steps.csv",
        "files.csv", "versions.json", "record.md",
    }  # fmt: skip
    text = (folder / "details/record.md").read_text("utf-8")
    for told in (ANNA, BOB, "Way back", "does not prove", closed.change.plan.hash):
        assert told in text
    files = (folder / "details/files.csv").read_text("utf-8-sig")
    assert "servers/ms/" in files and ".pfx" in files and "record.key" in files


def test_a_closed_record_is_proven_by_the_kit_and_without_it(closed, openssl):
    assert problems(closed.change.folder) == ()
    assert prove(closed.records)[:3] == ([], 1, [])
    code, told = verified(closed.change.folder)
    assert (code, "11 files and 4 steps are as signed" in told) == (0, True)


def test_the_record_key_is_not_the_cas_and_is_encrypted(closed):
    text = (closed.records.folder / "record.key").read_bytes()
    assert b"ENCRYPTED PRIVATE KEY" in text.splitlines()[0]
    assert (closed.change.folder / "record.pem").read_bytes() != (
        closed.records.folder / "ca.cer"
    ).read_bytes()
    with pytest.raises(ValueError, match=r"record\.key: The password does not open"):
        add_signed(closed.records, closed.change.folder, {}, "another password", AT)


def altered(folder, name):
    """Yield copies of a record in each of which one file is not as it was."""
    for how in ("cut", "flip", "remove", "append"):
        copy = shutil.copytree(folder, folder.parent.parent / f"{name.replace('/', '-')}-{how}")
        path = copy / name
        data = bytearray(path.read_bytes())
        if how == "remove":
            path.unlink()
        else:
            data = {
                "cut": data[:-1], "flip": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
                "append": data + b"\n",
            }[how]  # fmt: skip
            path.write_bytes(data)
        yield copy


def test_a_record_in_which_anything_is_changed_is_found_out_by_the_kit(closed):
    folder = closed.change.folder
    for name in tree(folder):
        for copy in altered(folder, name):
            if name == "SHA256SUMS.sig" and not (copy / name).exists():
                continue  # not signed at all: the command says so, and the ledger misses it
            assert problems(copy), copy.name


def test_a_record_in_which_anything_is_changed_is_found_out_without_the_kit(closed, openssl):
    folder = closed.change.folder
    for name in (
        "details/steps.csv",
        "details/plan.json",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "record.pem",
    ):
        for copy in altered(folder, name):
            assert verified(copy)[0] == 1, copy.name
    (folder / "more.txt").write_bytes(b"")
    assert verified(folder) == (1, "more.txt is missing, or is not part of the record\n")


def test_every_step_that_is_changed_removed_doubled_or_moved_is_found(closed):
    path = details(closed.change.folder) / STEPS
    lines = path.read_bytes().splitlines(keepends=True)
    for n in range(len(lines)):
        without, double = [*lines[:n], *lines[n + 1 :]], [*lines[: n + 1], *lines[n:]]
        swapped = [*without[: n - 1], lines[n], *without[n - 1 :]] if n else without
        other = [*lines[:n], lines[n].replace(b"e", b"i", 1), *lines[n + 1 :]]
        for wrong in (without, double, swapped, other):
            path.write_bytes(b"".join(wrong))
            assert any(STEPS in told for told in problems(closed.change.folder))


def test_steps_that_were_changed_and_signed_again_with_the_key_do_not_follow(closed, openssl):
    folder = closed.change.folder
    path = details(folder) / STEPS
    true = path.read_bytes()
    header, *lines = true.splitlines(keepends=True)
    for wrong in ([lines[0].replace(ANNA.encode(), b"Zoe"), *lines[1:]], lines[1:], lines[::-1]):
        path.write_bytes(header + b"".join(wrong))
        for name in ("SHA256SUMS", "SHA256SUMS.sig"):
            (folder / name).unlink(missing_ok=True)
        seal(folder, closed.change.key, {}, lambda digest: None)
        assert problems(folder)[0].startswith("steps.csv, line 2: was changed, or")
        code, told = verified(folder)
        assert code == 1 and told.startswith("step 1 is out of order\n")
    path.write_bytes(true)


def test_lines_of_another_ledger_are_no_steps_of_this_one(closed, job, tmp_path):
    other = Ledger(tmp_path)
    other.append(*job.records.ledger.entries())
    plan = json.loads((details(closed.change.folder) / PLAN).read_bytes())
    assert other.head(plan["lines"]) == (plan["lines"], plan["ledger"])
    for path in (job.records.ledger.path, job.records.ledger.seal):
        path.unlink()
    entries = [*other.entries()]
    entries[2] = replace(entries[2], time="2026-11-23T23:00:01Z")
    job.records.ledger.append(*entries)
    assert prove(closed.records)[:3] == (
        [f"changes/{closed.change.folder.name}: steps.csv is not of this ledger"], 1, [],
    )  # fmt: skip


def test_a_plan_that_is_changed_after_its_approval_is_found_while_the_change_is_open(job):
    begun = approved(job)
    path = details(begun.change.folder) / PLAN
    path.write_bytes(path.read_bytes().replace(b'"lyon"', b'"lion"'))
    name = f"changes/{begun.change.folder.name}"
    assert prove(job.records)[:3] == (
        [f"{name}: plan.json is not what was approved"],
        0,
        [name],
    )


def test_a_record_that_vanished_lost_its_signature_or_was_signed_by_another_is_missed(
    closed, tmp_path
):
    folder = closed.change.folder
    (folder / "SHA256SUMS.sig").rename(tmp_path / "kept")
    assert "its signature is gone" in prove(closed.records)[:3][0][0]
    (tmp_path / "kept").rename(folder / "SHA256SUMS.sig")
    forged = shutil.copytree(folder, tmp_path / "forged")
    shutil.rmtree(folder)
    assert "is missing now" in prove(closed.records)[:3][0][0]
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    for name in ("SHA256SUMS", "SHA256SUMS.sig", "record.pem"):
        (forged / name).unlink()
    seal(forged, Ed25519PrivateKey.generate(), {}, lambda digest: None)
    assert problems(forged) == ()  # whole by itself, but
    shutil.copytree(forged, folder)
    told = " ".join(prove(closed.records)[:3][0])
    assert "is not the record key that the ledger knows" in told
    assert "is not the record whose signature the ledger knows" in told


def test_what_was_changed_after_closing_is_never_signed_anew(closed):
    folder = closed.change.folder
    (folder / "details/record.md").write_bytes(b"nicer")
    with pytest.raises(ValueError, match=r"details/record\.md was changed\. It is not signed anew"):
        add_signed(closed.records, folder, {"notebook.ipynb": b"{}"}, RECORD_PASSWORD, AT)


def test_the_notebook_is_added_to_a_closed_record_and_signed_with_it(closed):
    folder = closed.change.folder
    add_signed(closed.records, folder, {"notebook.ipynb": b"{}"}, RECORD_PASSWORD, AT)
    assert prove(closed.records)[:3] == ([], 1, [])
    (folder / "details/notebook.ipynb").write_bytes(b"[]")
    assert problems(folder) == ("details/notebook.ipynb was changed",)


def test_a_closed_change_is_over_and_the_next_run_begins_another(closed, job):
    again = replace(job, records=Records(job.records.folder))
    plan = plan_change(again)
    assert plan.hash != closed.change.plan.hash
    assert len(job.records.changes()) == 2


def test_whatever_is_changed_at_a_site_is_told_or_named_as_not_compared(job):
    """Every file, one after the other: a byte flipped; and cut, removed, or a line added."""
    begun = approved(job)
    for errand in hand_over(begun, "request"):
        visit(begun, errand, script="request")
    issue_certificates(begun, PFX_PASSWORD)
    close(begun, "done")
    close(looks_only(replace(job, runbook="16-verify-the-site")), "looked")
    (job.records.folder / "drop").mkdir()
    (job.records.folder / "drop/note.txt").write_bytes(b"from somebody's stick")
    true = prove(job.records)
    assert true[:3] == ([], 2, [])
    (told,) = true.told
    assert (
        told.startswith("not compared: lines of the ledger that no record has signed, the last 1; ")
        and " drop/, " in told
    )
    silent = set()
    names = (name for name in tree(job.records.folder) if name.partition("/")[0] not in ELSEWHERE)
    for number, name in enumerate(names):
        path = job.records.folder / name
        data = path.read_bytes()
        flipped = data[:-5] + bytes(one ^ 1 for one in data[-5:-4]) + data[-4:]
        for wrong in (flipped, (data[:-1], None, data + b"\n")[number % 3]):
            path.unlink()
            if wrong is not None:
                path.write_bytes(wrong)
            if wrong != data and not job.records.ledger.problems() and prove(job.records) == true:
                silent.add(name)
            path.write_bytes(data)
    (sums,) = job.records.folder.glob("hand-over/rec-1/*/SHA256SUMS")
    for more in (sums.with_name("more.ps1"), job.records.folder / "servers/ms/more.pfx"):
        more.write_bytes(b"")
        name = more.relative_to(job.records.folder).as_posix()
        assert any(one.startswith(name) for one in prove(job.records).wrong)
        more.unlink()
    assert silent <= {"drop/note.txt", "ledger.seal", ".lock", ".lock.json", *STEERING}
    assert prove(job.records) == true


def hashed_anew(ledger, entries):
    """What somebody does who knows the format: other lines, with hashes and a seal that fit."""
    for path in (ledger.path, ledger.seal):
        path.unlink()
    Ledger(ledger.path.parent).append(*entries)
    assert Ledger(ledger.path.parent).problems() == ()


@pytest.mark.parametrize("gone", [0, 1, 3])
def test_a_line_that_is_missing_is_found_even_where_all_hashes_were_made_anew(closed, gone):
    close(looks_only(replace(closed, change=None, runbook="16-verify-the-site")), "looked")
    ledger = closed.records.ledger
    hashed_anew(ledger, [one for n, one in enumerate(ledger.entries()) if n != gone])
    wrong = prove(Records(closed.records.folder)).wrong
    assert any("the ledger is not the one from which plan.json was made" in one for one in wrong)


def test_what_the_ledger_tells_of_a_change_that_is_open_is_not_wrong(closed, job):
    """What came back since, and a table that somebody edited."""
    records = closed.records
    records.save_inventory(Stores("rec-1", AT))
    looks = replace(job, runbook="16-verify-the-site", change=None)
    close(looks_only(looks), "looked")
    records.save_inventory(Stores("rec-1", AT + DAY))
    assert "inventory/rec-1.json was changed since" in prove(records).wrong[0]
    records.note("14", "brought back", at=AT, host="rec-1")
    records.table.write_bytes(b"name,roles\nnew,smart client\n")
    wrong, _, _, told = prove(records)
    assert (wrong, told[0].partition(", as people")[0]) == (
        [], "not compared: inventory/rec-1.json was changed, site.csv was changed",
    )  # fmt: skip


def test_a_new_record_key_is_told_and_one_that_the_ledger_does_not_know_is_wrong(closed, job):
    (closed.records.folder / "record.key").unlink()
    looks = replace(job, runbook="16-verify-the-site", change=None)
    close(looks_only(looks), "looked")
    wrong, _, _, told = prove(closed.records)
    assert wrong == []
    who = f"another record key since 2026-11-23, made by .+ on {platform.node()}: SHA-256"
    assert re.match(who + r" \w{64}; records that it signed: 1$", told[0])
    with pytest.raises(ValueError, match="was signed with another key"):
        add_signed(closed.records, closed.change.folder, {"a": b""}, RECORD_PASSWORD, AT)


def test_a_change_that_only_looks_needs_no_approval(job):
    looking = looks_only(replace(job, runbook="16-verify-the-site"))
    close(looking, "looked")
    assert prove(job.records)[:3] == ([], 1, [])


def test_a_change_that_only_looks_may_not_do_anything(job):
    looking = looks_only(job)
    with pytest.raises(Stop, match="only looks, and nobody approved a change"):
        issue_certificates(looking, PFX_PASSWORD)
    assert job.state().current == {}


def looks_only(job):
    return begin(job, plan_change(job), "Piet Jansen", "nobody: it only looks", looks=True)


def test_no_secret_is_in_any_byte_of_a_change(job):
    """The canaries are every password, and every private key in DER, PEM and hex."""
    begun = approved(job)
    for errand in hand_over(begun, "request"):
        visit(begun, errand, script="request")
    issue_certificates(begun, PFX_PASSWORD)
    sign_requests(begun)
    close(begun, "done")
    from base64 import b64encode

    from lyon import key

    from vmscert.certificates.keys import clear_key
    from vmscert.changes.change import open_record_key

    clear = [clear_key(key(word)) for word in ("ca", "server 0", "server 1")]
    clear.append(clear_key(open_record_key(job.records, RECORD_PASSWORD)))
    middle = [der[len(der) // 2 :][:48] for der in clear]
    canaries = [p.encode() for p in (CA_PASSWORD, PFX_PASSWORD, RECORD_PASSWORD)]
    canaries += [p.encode("utf-16-le") for p in (CA_PASSWORD, PFX_PASSWORD, RECORD_PASSWORD)]
    canaries += [*middle, *(one.hex().encode() for one in middle)]
    canaries += [b64encode(der)[len(der) // 3 :][:40] for der in clear]
    written = {path: data for path, (data, _) in tree(job.records.folder).items()}
    assert len(written) > 20
    assert [path for path, data in written.items() if any(one in data for one in canaries)] == []


def test_hostile_names_are_text_in_plan_and_record(job):
    hostile = replace(job.site["ms"], owner="<script>alert(1)</script> | `x` [a](b)")
    hosts = tuple(hostile if host.name == "ms" else host for host in job.site)
    job = replace(job, site=replace(job.site, hosts=hosts))
    begun = approve(job, plan := plan_change(job), f"{plan.hash} <img src=x>", BOB)
    close(begun, "done")
    for page in ("plan.html", "record.html"):
        text = next(begun.change.folder.rglob(page)).read_text("utf-8")
        assert "<script>" not in text and "<img" not in text


def test_a_real_runbook_that_is_run_to_its_end_without_approval_changes_nothing(
    tmp_path, monkeypatch
):
    table = tmp_path / "lyon.csv"
    table.write_bytes(EXAMPLE.read_bytes())
    opened = open_job("11-create-the-ca-certificate", table, tmp_path / "records",
                          datetime(2026, 11, 26, tzinfo=UTC))  # fmt: skip
    with pytest.raises(Stop):
        approve(opened, plan_change(opened, years=10))
    with pytest.raises(Stop):
        create_ca(opened)
    assert not opened.records.has_authority
    assert opened.records.ledger.entries() == ()
    assert numbered(opened, "12").change is None
