"""Files are written whole or not at all, and what holds a key is never overwritten."""

import errno
import os
import stat
import sys

import pytest

from vmscert import files
from vmscert.files import sha256sums, sweep, write_atomic, write_folder, write_once

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights in the folder")


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_a_file_is_written_with_the_folders_above_it(tmp_path):
    write_atomic(tmp_path / "servers" / "rec" / "a.cer", b"new")
    assert (tmp_path / "servers" / "rec" / "a.cer").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", ["ledger.csv", "ca.key"])
def test_a_write_that_fails_at_any_step_leaves_the_old_file_and_no_draft(
    tmp_path, monkeypatch, step, failure, name
):
    def fail(*_):
        raise failure

    write_atomic(tmp_path / name, b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(failure)):
        write_atomic(tmp_path / name, b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"old"}


def test_a_file_that_another_program_holds_is_told_in_a_sentence(tmp_path, monkeypatch):
    """Windows refuses to replace a ledger that is open in Excel."""

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Access is denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match=r"ledger\.csv can't be written: close it where"):
        write_atomic(tmp_path / "ledger.csv", b"new")
    assert not list(tmp_path.iterdir())


@posix
def test_only_the_owner_reads_a_file_with_a_key(tmp_path):
    before = os.umask(0)
    try:
        for name in ("ca.key", "a.pfx", "ca.cer", "ledger.csv"):
            write_atomic(tmp_path / name, b"")
    finally:
        os.umask(before)
    assert modes(tmp_path) == {
        "ca.key": 0o600,
        "a.pfx": 0o600,
        "ca.cer": 0o644,
        "ledger.csv": 0o644,
    }


@posix
def test_a_key_is_never_readable_by_others_not_even_as_a_draft(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(os, "fsync", lambda _: seen.update(modes(tmp_path)))
    write_atomic(tmp_path / "ca.key", b"new")
    assert list(seen.values()) == [0o600]


def test_a_file_with_a_key_is_not_overwritten(tmp_path):
    write_once(tmp_path / "ca.key", b"old")
    with pytest.raises(FileExistsError, match=r"ca\.key exists: it is never overwritten\. Move"):
        write_once(tmp_path / "ca.key", b"new")
    assert (tmp_path / "ca.key").read_bytes() == b"old"


def test_writing_the_same_bytes_again_does_nothing(tmp_path, monkeypatch):
    write_once(tmp_path / "ca.key", b"old")
    monkeypatch.delattr(os, "replace")
    write_once(tmp_path / "ca.key", b"old")


def test_sweeping_removes_the_drafts_of_a_killed_run_and_nothing_else(tmp_path):
    kept = ["ca.key", "draft", "my.draft", ".lock", "servers/rec/a.pfx"]
    for name in [*kept, ".ca.key.0a1b2c3d.draft", "servers/rec/.a.pfx.0a1b2c3d.draft"]:
        write_atomic(tmp_path / name, b"")
    sweep(tmp_path)
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == sorted(kept)


def test_a_list_of_sums_is_sorted_and_names_each_file():
    listed = sha256sums({"b": b"", "a": b"x"}).decode().splitlines()
    assert [line.split("  ")[1] for line in listed] == ["a", "b"]
    assert listed[1].startswith("e3b0c44298fc1c149afbf4c8996fb924")


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_folder_that_fails_at_any_of_its_files_leaves_nothing(tmp_path, monkeypatch, failure, at):
    real, calls = files._write, iter(range(1, 9))

    def fail(path, data, mode):
        real(path, data[: len(data) // 2], mode)
        if next(calls) == at:
            raise failure

    monkeypatch.setattr(files, "_write", fail)
    with pytest.raises(type(failure)):
        write_folder(tmp_path / "rec" / "today", {"a": b"aa", "b.pfx": b"bb", "c": b"cc"})
    assert [path for path in tmp_path.rglob("*") if path.name != "rec"] == []


def test_a_folder_appears_with_all_its_files_at_once(tmp_path, monkeypatch):
    seen = []
    real = files._write

    def look(path, data, mode):
        seen.append((tmp_path / "today").exists())
        real(path, data, mode)

    monkeypatch.setattr(files, "_write", look)
    write_folder(tmp_path / "today", {"a": b"1", "b": b"2"})
    assert seen == [False, False]
    assert {path.name: path.read_bytes() for path in (tmp_path / "today").iterdir()} == {
        "a": b"1",
        "b": b"2",
    }


def test_a_finished_folder_is_not_written_again(tmp_path):
    write_folder(tmp_path / "today", {"a": b"1"})
    with pytest.raises(FileExistsError, match=r"today exists: a finished folder is never changed"):
        write_folder(tmp_path / "today", {"a": b"2", "b": b"3"})
    assert [path.read_bytes() for path in (tmp_path / "today").iterdir()] == [b"1"]
    assert len(list(tmp_path.iterdir())) == 1


def test_sweeping_removes_a_folder_that_was_half_made(tmp_path):
    write_atomic(tmp_path / "rec" / ".today.0a1b2c3d.draft" / "a.pfx", b"half")
    sweep(tmp_path)
    assert list((tmp_path / "rec").iterdir()) == []
