"""The ledger tells when a line of it was changed, removed, added or moved, and when it was not."""

import csv
import json
import os
import re
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import vmscert
from vmscert.names import iso
from vmscert.records.ledger import COLUMNS, Entry, Ledger

FIRST = Entry("2026-11-23T04:05:06Z", "11", "create CA", note='"Lyon", root')
LINES = [
    FIRST,
    Entry("2026-11-23T04:06:00Z", "12", "issue", "rec-1", "1E23", "AB12", "2027-11-23T00:00:00Z"),
    Entry("2026-11-23T04:06:01Z", "12", "issue", "rec-2", "5F", "CD34", "2027-11-23T00:00:00Z"),
    Entry(
        "2026-11-23T04:07:00Z",
        "13",
        "hand over",
        "pc-1",
        note="trust.ps1: to do",
        change="2026-11-23-13-trust",
        user="anna",
        command="trust.ps1",
        folder="hand-over/pc-1",
    ),
]
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def ledger(tmp_path):
    """Four lines, written by two runs."""
    ledger = Ledger(tmp_path)
    ledger.append(*LINES[:2])
    Ledger(tmp_path).append(*LINES[2:])
    return ledger


def lines(ledger):
    return ledger.path.read_bytes().splitlines(keepends=True)


def found(ledger, data):
    """What is told about a ledger with these bytes; the true bytes are put back."""
    true = ledger.path.read_bytes()
    ledger.path.write_bytes(data)
    try:
        return ledger.problems()
    finally:
        ledger.path.write_bytes(true)


def test_a_ledger_that_nobody_touched_has_no_problem(ledger):
    assert ledger.problems() == ()
    assert ledger.entries() == tuple(LINES)


def test_no_ledger_is_no_problem(tmp_path):
    assert Ledger(tmp_path).problems() == ()
    assert Ledger(tmp_path).entries() == ()


def test_appending_nothing_writes_nothing(tmp_path):
    Ledger(tmp_path).append()
    assert not list(tmp_path.iterdir())


def test_lines_that_are_there_stay_as_they_are(ledger):
    before = ledger.path.read_bytes()
    ledger.append(replace(FIRST, action="verify"))
    assert ledger.path.read_bytes().startswith(before)


# What was done to it


@given(data=st.data())
@ONE_FOLDER
def test_any_changed_byte_is_found(ledger, data):
    true = ledger.path.read_bytes()
    place = data.draw(st.integers(0, len(true) - 1))
    byte = data.draw(st.integers(0, 255))
    assume(byte != true[place])
    assert found(ledger, true[:place] + bytes([byte]) + true[place + 1 :])


@given(data=st.data())
@ONE_FOLDER
def test_any_bytes_put_in_or_taken_out_are_found(ledger, data):
    true = ledger.path.read_bytes()
    start = data.draw(st.integers(0, len(true) - 1))
    end = data.draw(st.integers(start, len(true)))
    changed = true[:start] + data.draw(st.binary(max_size=20)) + true[end:]
    assume(changed != true)
    assert found(ledger, changed)


@pytest.mark.parametrize(
    ("true", "changed"),
    [(b"rec-1", b'"rec-1"'), (b"create CA", b"create  CA"), (b"to do,", b"to do ,")],
)
def test_a_line_that_says_the_same_in_other_bytes_is_found(ledger, true, changed):
    assert found(ledger, ledger.path.read_bytes().replace(true, changed))


def test_a_single_line_end_of_another_kind_is_found(ledger):
    header, first, *rest = lines(ledger)
    assert found(ledger, b"".join([header, first.replace(b"\n", b"\r\n"), *rest]))


@pytest.mark.parametrize("number", range(5))
def test_a_removed_line_is_found(ledger, number):
    left = lines(ledger)
    del left[number]
    assert found(ledger, b"".join(left))


@pytest.mark.parametrize("number", range(5))
def test_a_line_written_twice_is_found(ledger, number):
    more = lines(ledger)
    assert found(ledger, b"".join([*more[:number], more[number], *more[number:]]))


@given(order=st.permutations(range(4)))
@ONE_FOLDER
def test_any_other_order_of_the_lines_is_found(ledger, order):
    assume(order != [0, 1, 2, 3])
    header, *rest = lines(ledger)
    assert found(ledger, header + b"".join(rest[number] for number in order))


@pytest.mark.parametrize("left", range(5))
def test_lines_cut_off_at_the_end_are_found(ledger, left):
    cut = b"".join(lines(ledger)[:left])
    assert found(ledger, cut) == (f"ledger.csv: 4 lines were sealed, {max(0, left - 1)} are left",)


def test_a_ledger_that_was_deleted_is_found(ledger):
    ledger.path.unlink()
    assert ledger.problems() == ("ledger.csv: 4 lines were sealed, 0 are left",)


def test_a_line_forged_at_the_end_in_place_of_the_true_one_is_found(ledger, tmp_path):
    """Its hash is right: anybody can compute one. The seal remembers another."""
    other = Ledger(tmp_path / "other")
    other.append(*LINES[:3], replace(LINES[3], host="pc-9"))
    assert found(ledger, other.path.read_bytes()) == (
        "ledger.csv, line 5: is not the line that was sealed",
    )


def test_the_sentence_names_the_first_line_that_is_wrong(ledger):
    changed = ledger.path.read_bytes().replace(b"rec-1", b"rec-7")
    assert found(ledger, changed)[0] == (
        "ledger.csv, line 3: was changed, or a line before it was changed, removed, added or moved"
    )


@pytest.mark.parametrize(
    "save",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    ],
    ids=["comma", "semicolon", "byte order mark"],
)
def test_a_ledger_saved_in_excel_is_told_and_not_continued(ledger, save):
    ledger.path.write_bytes(save(ledger.path.read_text("utf-8")).encode())
    sentence = (
        "ledger.csv, line 1: is not as it was written: was it saved in Excel? Restore "
        "ledger.csv and ledger.seal from the backup"
    )
    assert ledger.problems() == (sentence,)
    with pytest.raises(ValueError, match="saved in Excel"):
        ledger.append(FIRST)


def test_a_ledger_in_another_encoding_is_told(ledger):
    assert found(ledger, ledger.path.read_bytes().replace(b"Lyon", b"Ly\xf4n")) == (
        "ledger.csv: was saved in another encoding. Restore ledger.csv and ledger.seal from the "
        "backup",
    )


def test_a_line_that_is_no_line_is_told(ledger):
    assert found(ledger, ledger.path.read_bytes() + b"\n") == (
        "ledger.csv, line 6: was changed, 0 cells, not 21. Restore ledger.csv and ledger.seal from "
        "the backup",
    )


# The seal


@pytest.mark.parametrize("seal", [None, b"", b"{}", b"[]", b'{"lines": 1e999, "hash": ""}'])
def test_a_lost_or_spoilt_seal_is_told_and_not_replaced(ledger, seal):
    if seal is None:
        ledger.seal.unlink()
    else:
        ledger.seal.write_bytes(seal)
    sentence = "ledger.csv: the seal is missing or spoilt, so lines may have been cut off unseen"
    assert ledger.problems() == (sentence,)
    with pytest.raises(ValueError, match=r"the seal is missing or spoilt.*from the backup"):
        ledger.append(FIRST)


@given(seal=st.binary(max_size=60))
@ONE_FOLDER
def test_no_seal_but_the_true_one_hides_a_cut(ledger, seal):
    cut = b"".join(lines(ledger)[:3])
    true = ledger.seal.read_bytes()
    ledger.seal.write_bytes(seal)
    assert found(ledger, cut)
    ledger.seal.write_bytes(true)


def test_a_cut_is_not_covered_up_by_the_next_run(ledger):
    ledger.path.write_bytes(b"".join(lines(ledger)[:-1]))
    with pytest.raises(ValueError, match=r"4 lines were sealed, 3 are left.*from the backup"):
        ledger.append(FIRST)
    assert len(ledger.entries()) == 3


@pytest.mark.parametrize("sealed", [0, 2])
def test_a_crash_between_the_ledger_and_its_seal_is_no_problem(tmp_path, monkeypatch, sealed):
    ledger = Ledger(tmp_path)
    ledger.append(*LINES[:sealed])
    write_seal = Ledger._write_seal

    def crash(self, lines, last):
        if lines > sealed:
            raise KeyboardInterrupt
        write_seal(self, lines, last)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_write_seal", crash)
        with pytest.raises(KeyboardInterrupt):
            ledger.append(LINES[2])
    assert ledger.problems() == ()
    ledger.append(LINES[3])
    assert ledger.problems() == ()
    assert ledger.entries() == (*LINES[:sealed], *LINES[2:])


def killed(ledger, monkeypatch, cut, *entries):
    """Let a run die while it writes these lines: what is left of them are `cut` bytes."""
    before = len(ledger.path.read_bytes())

    def die(number):
        os.ftruncate(number, before + cut)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vmscert.records.ledger.os.fsync", die)
        with pytest.raises(KeyboardInterrupt):
            ledger.append(*entries)
    return len(ledger.path.read_bytes()) - before


@pytest.mark.parametrize("cut", [0, 1, 60, 160])
@pytest.mark.parametrize("same", [True, False])
def test_part_of_a_line_that_a_killed_run_left_is_no_problem_and_goes(
    ledger, monkeypatch, cut, same
):
    assert killed(ledger, monkeypatch, cut, replace(FIRST, note="Ly\u00f6n" * 30)) == cut
    assert Ledger(ledger.path.parent).problems() == ledger.problems() == ()
    assert ledger.entries() == tuple(LINES)
    (ledger if same else Ledger(ledger.path.parent)).append(FIRST)
    assert ledger.problems() == ()
    assert ledger.entries() == (*LINES, FIRST)
    assert {path.name for path in ledger.path.parent.iterdir()} == {"ledger.csv", "ledger.seal"}


def test_lines_of_which_a_killed_run_has_written_some_go_all(ledger, monkeypatch):
    one = len(lines(ledger)[1])
    assert killed(ledger, monkeypatch, 2 * one, *[FIRST] * 3) == 2 * one
    assert ledger.problems() == ()
    ledger.append(LINES[1])
    assert ledger.entries() == (*LINES, LINES[1])


def test_lines_that_a_killed_run_has_written_to_their_end_stay(ledger, monkeypatch):
    one = len(lines(ledger)[1])
    killed(ledger, monkeypatch, 3 * one, *[FIRST] * 3)
    ledger.append(LINES[1])
    assert ledger.entries() == (*LINES, *[FIRST] * 3, LINES[1])


def test_what_one_killed_run_has_written_is_not_lost_when_the_next_one_is_killed(
    ledger, monkeypatch
):
    killed(ledger, monkeypatch, len(lines(ledger)[1]), FIRST)
    killed(Ledger(ledger.path.parent), monkeypatch, 60, LINES[1])
    assert ledger.problems() == ()
    assert ledger.entries() == (*LINES, FIRST)


def test_a_part_of_a_line_that_no_killed_run_left_is_found(ledger):
    sentence = "ledger.csv: the last line is not whole. Restore ledger.csv and ledger.seal from the"
    assert found(ledger, ledger.path.read_bytes() + b"2026") == (f"{sentence} backup",)


def test_what_a_killed_run_left_covers_up_no_change_of_a_line_that_was_sealed(ledger, monkeypatch):
    killed(ledger, monkeypatch, 60, FIRST)
    true = ledger.path.read_bytes()
    assert found(ledger, true.replace(b"rec-1", b"rec-7"))
    assert found(ledger, b"".join([*lines(ledger)[:4], b"2026"]))


def test_a_line_costs_no_look_at_those_before(ledger, monkeypatch):
    ledger.append(FIRST)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "text", lambda self: pytest.fail("the ledger was read"))
        ledger.append(LINES[1], LINES[2])
    assert ledger.entries() == (*LINES, FIRST, *LINES[1:3])


def test_a_ledger_that_somebody_else_wrote_is_looked_at_again(ledger):
    ledger.append(FIRST)
    Ledger(ledger.path.parent).append(LINES[1])
    ledger.append(LINES[2])
    assert ledger.entries() == (*LINES, FIRST, *LINES[1:3])
    assert ledger.problems() == ()


# What it holds


@given(note=st.text(st.characters(codec="utf-8"), max_size=60))
@ONE_FOLDER
def test_any_note_survives_as_one_line(tmp_path_factory, note):
    ledger = Ledger(tmp_path_factory.mktemp("notes"))
    ledger.append(replace(FIRST, note=note), FIRST)
    assert ledger.problems() == ()
    assert ledger.entries()[0].note.removeprefix("'") == " ".join(note.split()).removeprefix("'")
    assert len(ledger.path.read_bytes().decode().split("\n")) == 4


@pytest.mark.parametrize("note", ["=cmd|' /c calc'!A1", "+1", "-4: refused", "@SUM(A1)", " \t=1"])
def test_a_note_that_excel_would_run_as_a_formula_is_only_text(tmp_path, note):
    ledger = Ledger(tmp_path)
    ledger.append(replace(FIRST, note=note))
    with ledger.path.open(encoding="utf-8", newline="") as file:
        _, cells = csv.reader(file)
    assert cells[COLUMNS.index("note")] == f"'{note.strip()}"


def test_every_program_that_reads_csv_reads_the_ledger(ledger):
    with ledger.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["note"] for row in rows] == [entry.note for entry in LINES]


@pytest.mark.parametrize("column", [field.name for field in fields(Entry)])
def test_every_column_comes_back_as_it_was_written(tmp_path, column):
    ledger = Ledger(tmp_path)
    told = replace(FIRST, **{"user": "anna", column: 'said "so"; twice, Zoë'})
    ledger.append(told, FIRST)
    assert ledger.entries()[0] == told
    assert ledger.problems() == ()
    other = replace(told, **{column: "something else"})
    ledger.path.write_bytes(ledger.path.read_bytes().replace('""so""; twice, Zoë'.encode(), b"no"))
    assert ledger.problems() != () and other != told


def test_what_is_moved_to_another_column_is_found(ledger):
    assert found(ledger, ledger.path.read_bytes().replace(b",trust.ps1,hand", b"trust.ps1,,hand"))


def test_a_note_is_read_by_people_only():
    """Only the ledger itself takes one apart, of a line from before there were columns."""
    parsed = re.compile(r"\.note\.\w+\(|\bin \w+\.note\b|\.note\s*[!=]=")
    sources = {
        path: path.read_text("utf-8") for path in Path(vmscert.__file__).parent.rglob("*.py")
    }
    assert len(sources) > 20
    found = {
        path.name: parsed.findall(text) for path, text in sources.items() if parsed.search(text)
    }
    assert found == {}
    for wrong in ('last.note.endswith("x")', '"passed" in e.note', "one.note == note"):
        assert parsed.search(wrong)


# A ledger that was begun when there were eight columns

OLD = ("time", "runbook", "action", "host", "serial", "thumbprint", "not_after", "note")
NOTED = [
    ("hand over", "install.ps1 -Phase Encrypt: hand-over/ms/2026-11-23",
     {"command": "install.ps1 -Phase Encrypt", "folder": "hand-over/ms/2026-11-23"}),
    ("issue", "PFX AES-256", {"encryption": "AES-256"}),
    ("renew", "PFX 3DES, ends with the CA", {"encryption": "3DES"}),
    ("adopt CA", "CN=Old, O=Lyon, without its key", {"key": "without its key"}),
    ("adopt CA", "CN=Old, with its key", {"key": "with its key"}),
    ("create record key", "SHA-256 aa7b", {"digest": "aa7b"}),
    ("seal record", "changes/2026-11-23-12-create: SHA256SUMS a9c3",
     {"change": "2026-11-23-12-create", "digest": "a9c3"}),
    ("approve", "plan eaa312fc4dc6, approved by Anna Berg, carried out by Bob Stone",
     {"approved_by": "Anna Berg", "carried_out_by": "Bob Stone"}),
    ("go on", "plan eaa312fc4dc6, approved by A, B, carried out by C; emergency: it burns",
     {"approved_by": "A, B", "carried_out_by": "C", "emergency": "it burns"}),
    ("drill", "restore drill passed, 9 checks", {"result": "passed"}),
    ("drill", "restore drill failed: no line passed, 9 checks", {"result": "failed"}),
    ("verified", "PFX AES-256", {}),
]  # fmt: skip


@pytest.fixture
def older(tmp_path):
    """A ledger of those days, written by nothing of the kit."""
    ledger, last = Ledger(tmp_path), sha256(b"vmscert ledger 1").hexdigest()
    with ledger.path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*OLD, "hash"))
        for action, note, _ in NOTED:
            row = ("2026-11-23T04:05:06Z", "12", action, "", "", "", "", note)
            last = sha256(json.dumps([last, *row]).encode()).hexdigest()
            writer.writerow((*row, last))
    ledger.seal.write_text(json.dumps({"lines": len(NOTED), "hash": last}))
    return ledger


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_ledger_of_eight_columns_tells_what_its_notes_told(older, goes_on):
    if goes_on:
        older.append(LINES[3])
    assert older.problems() == ()
    for (action, note, told), entry in zip(NOTED, older.entries(), strict=False):
        expected = {"time": "2026-11-23T04:05:06Z", "runbook": "12", "action": action}
        assert {name: value for name, value in asdict(entry).items() if value} == {
            **expected, "note": note, **told,
        }  # fmt: skip


def test_a_ledger_of_eight_columns_gets_the_others_and_keeps_every_hash(older):
    before, heads = older.path.read_text("utf-8"), [older.head(n) for n in range(len(NOTED) + 1)]
    older.append(LINES[3])
    assert [older.head(n) for n in range(len(NOTED) + 1)] == heads
    with older.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    known = csv.DictReader(before.splitlines())
    assert [{name: row[name] for name in (*OLD, "hash")} for row in rows[:-1]] == list(known)
    assert older.entries()[-1] == LINES[3]


@pytest.mark.parametrize("goes_on", [False, True])
@given(data=st.data())
@ONE_FOLDER
def test_any_changed_byte_of_a_ledger_of_eight_columns_is_found(older, goes_on, data):
    if goes_on and older.head()[0] == len(NOTED):
        older.append(LINES[3])
    test_any_changed_byte_is_found.hypothesis.inner_test(older, data)


def test_a_line_that_was_changed_in_a_ledger_of_eight_columns_stays_found_when_it_goes_on(older):
    older.path.write_bytes(older.path.read_bytes().replace(b"verified", b"renewed ", 1))
    told = older.problems()
    assert told and "line 13" in told[0]
    older.append(LINES[3])
    assert older.problems() == told


def test_a_run_killed_while_a_ledger_gets_its_columns_leaves_the_old_one(older, monkeypatch):
    before = older.path.read_bytes()

    def die(_number):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vmscert.files.os.fsync", die)
        with pytest.raises(KeyboardInterrupt):
            older.append(LINES[3])
    assert older.path.read_bytes() == before
    assert older.problems() == ()


def test_times_are_utc_to_the_second_whatever_the_clock_shows():
    at = datetime(2026, 11, 23, 5, 6, 7, 999, timezone(timedelta(hours=1)))
    assert iso(at) == iso(at.astimezone(UTC)) == "2026-11-23T04:06:07Z"
