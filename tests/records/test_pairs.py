"""Two people on one folder at once: each change has one owner, and what is signed stays."""

import multiprocessing
import os
import re
from collections import defaultdict

import pairs
import pytest

from vmscert import files
from vmscert.changes.change import approve, keep_plan
from vmscert.changes.job import Job, Stop
from vmscert.changes.record import close, keep_run
from vmscert.evidence.proof import prove
from vmscert.facts import facts
from vmscert.records.folder import Records
from vmscert.records.sealed import is_sealed
from vmscert.site.site import Site

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES = multiprocessing.get_context("forkserver" if FORKS else "spawn")
NAMES = {row["runbook"]: row["name"] for row in facts("change/runbooks")}
NUMBER = int(os.environ.get("VMSCERT_PAIRS") or (50 if FORKS else 5))
KINDS = [("12", "12"), ("16", "16"), ("12", "13"), ("12", "12"), ("14", "16")]
PEOPLE = ("Bob Stone", "Piet Jansen")


def start(target, *arguments):
    process = PROCESSES.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def new_site(folder):
    folder.mkdir()
    (folder / "site.csv").write_bytes(b"name,roles\n")
    return Records(folder)


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    """Sites on which two people began at the same moment; site → who → how it ended."""
    home, both, told = tmp_path_factory.mktemp("pairs"), PROCESSES.Barrier(2), PROCESSES.Queue()
    for number in range(NUMBER):
        new_site(home / f"{number}")
    for n, who in enumerate(PEOPLE):
        sites = [(f"{m}", NAMES[KINDS[m % len(KINDS)][n]]) for m in range(NUMBER)]
        start(pairs.work, home, who, sites, both, told)
    ended = defaultdict(dict)
    for _ in range(2 * NUMBER):
        name, who, how = told.get(timeout=60)
        ended[name][who] = how
    return {home / name: ends for name, ends in ended.items()}


def test_of_two_at_once_nothing_that_is_signed_breaks_and_nothing_is_lost(carried_out):
    for folder, ends in carried_out.items():
        records = Records(folder)
        proof, entries = prove(records), records.ledger.entries()
        closed = {who for who, how in ends.items() if how == "closed"}
        assert (proof.wrong, proof.closed) == ([], len(closed)), (folder, ends, proof)
        for who in closed:
            noted = [one for one in entries if one.note.startswith(f"{who} ")]
            assert [one.note for one in noted] == [f"{who} {n}" for n in range(pairs.DEEDS)]
            (change,) = {one.change for one in noted}
            inside = folder / "changes" / change / "details"
            assert [p.read_text("utf-8") for p in inside.glob("notebook*")] == [
                f"{who} on {folder.name}"
            ]
            assert [p.read_text("utf-8") for p in inside.glob("seen*")] == [who]


def test_of_two_at_once_one_at_least_ends_and_the_other_is_told_why_not(carried_out):
    said = []
    for folder, ends in carried_out.items():
        kind = KINDS[int(folder.name) % len(KINDS)]
        most = 0 if kind == ("12", "13") else 1  # deeds of either make the other plan void
        assert [*ends.values()].count("closed") >= most, (kind, ends)
        said += [how for how in ends.values() if how != "closed"]
    for how in said:
        assert re.match(
            "Stop: .*(is carried out by|is closed and|since the plan was|is not kept)", how
        )


# One after the other


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("VMSCERT_RECORD_PASSWORD", "canary of the record 44d1")
    return Job(NAMES["12"], Site("lyon", ()), new_site(tmp_path / "lyon"), pairs.AT)


def planned(job):
    return keep_plan(job, pairs.planned(job))


def approved(job, plan):
    return approve(job, plan, f"{plan.hash} Anna Berg", "Piet Jansen")


def test_the_change_of_a_run_that_was_killed_is_gone_on_with(job):
    ready, plan = PROCESSES.Event(), planned(job)
    other = start(pairs.hold, job.records.folder, ready)
    assert ready.wait(30)
    told = rf"{plan.runbook} is carried out by Bob Stone \(.* process {other.pid}\) since"
    with pytest.raises(Stop, match=told):
        approved(job, plan)
    other.kill()
    other.join()
    begun = approved(job, plan)
    close(begun, "done")
    assert prove(job.records)[:2] == ([], 1)
    assert [e.action for e in job.records.ledger.entries()][:3] == [
        "approve", "create record key", "go on",
    ]  # fmt: skip


def test_a_run_whose_change_another_one_was_given_does_nothing_more(job):
    """A share that was out of reach gives the lock to the next; the note tells whose it is."""
    begun = approved(job, planned(job))
    note = job.records.folder / ".lock-12.json"
    note.write_text(note.read_text("utf-8").replace('"run": "', '"run": "not '), "utf-8")
    for deed in (begun.permit, lambda: close(begun, "done")):
        with pytest.raises(Stop, match="is carried out by Piet Jansen"):
            deed()
    assert not is_sealed(begun.change.folder)


def test_what_ran_of_one_who_was_refused_is_not_kept_in_the_change_of_the_other(job, monkeypatch):
    begun = approved(job, planned(job))
    for text in (b"1", b"2"):
        (kept,) = keep_run(job.records, job.runbook, "mine", {"stopped.ipynb": text}, pairs.AT)
        assert begun.change.folder not in kept.parents
    assert [path.read_bytes() for path in job.records.folder.rglob("stopped*")] == [b"2"]
    folder = close(begun, "done")
    run = files._RUN
    monkeypatch.setattr(files, "_RUN", "late")
    with pytest.raises(Stop, match="is closed and signed"):
        approved(begun, begun.change.plan)
    (kept,) = keep_run(job.records, job.runbook, "late", {"stopped.ipynb": b"2"}, pairs.AT)
    assert kept.parents[1] != folder
    (kept,) = keep_run(job.records, job.runbook, run, {"notebook.ipynb": b"3"}, pairs.AT)
    assert kept.parent == folder / "details"
    assert prove(job.records)[:2] == ([], 1)


def test_a_change_that_is_closed_takes_no_deed_no_file_and_no_second_signature(job):
    begun = approved(job, planned(job))
    folder = close(begun, "done")
    before = {p: p.read_bytes() for p in job.records.folder.rglob("*") if p.is_file()}
    deeds = (
        lambda: close(begun, "again"),
        begun.permit,
        lambda: begun.records.keep(folder, "more.csv", b""),
        lambda: approved(begun, begun.change.plan),
    )
    for deed in deeds:
        with pytest.raises((Stop, ValueError), match="is closed and signed: run the notebook from"):
            deed()
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("spoilt", ["", "[]", '{"runs": 7}', '{"since": 3, "runs": {"x": []}}'])
def test_a_note_that_nobody_can_read_stops_nobody(job, spoilt):
    (job.records.folder / ".lock-12.json").write_text(spoilt, "utf-8")
    close(approved(job, planned(job)), "done")
    assert prove(job.records)[:2] == ([], 1)
