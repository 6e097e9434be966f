"""What a person types, and what is given to be typed."""

import shlex
import subprocess

import pytest

from vmscert.changes import job as module
from vmscert.changes.job import forget, secret, shell_word

ODD = ["a b", "it's", "$(echo gone)", "`date`", "$HOME", 'a "b"', "\u2018x\u2019; echo gone", "a;b"]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    for what in ("CA", "PFX", "RECORD", "INHERITED"):
        monkeypatch.delenv(f"VMSCERT_{what}_PASSWORD", raising=False)
    forget()
    yield
    forget()


def typing(monkeypatch, *words):
    left = [*words]
    monkeypatch.setattr("getpass.getpass", lambda _label: left.pop(0))
    return left


def opens_with(right):
    def opens(password):
        if password != right:
            raise ValueError("wrong")
        return True

    return opens


@pytest.mark.parametrize("text", ODD)
def test_a_word_to_be_typed_is_one_word_and_no_code_in_a_posix_shell(text, monkeypatch):
    monkeypatch.setattr(module.os, "name", "posix")
    assert shlex.split(shell_word(text)) == [text]


@pytest.mark.powershell
def test_a_word_to_be_typed_is_one_word_and_no_code_in_powershell(monkeypatch, pwsh):
    monkeypatch.setattr(module.os, "name", "nt")
    words = [shell_word(text) for text in ODD]
    monkeypatch.undo()
    command = "; ".join(f"[Console]::Out.Write({word} + '\n')" for word in words)
    said = subprocess.run(
        [pwsh, "-NoProfile", "-Command", command], capture_output=True, check=True, encoding="utf-8"
    )
    assert said.stdout.split("\n")[:-1] == ODD


def test_a_new_key_gets_no_old_password_unasked(monkeypatch, capsys):
    new = "a new one for the CA"
    left = typing(monkeypatch, "the record key's own", new, new)
    assert secret("RECORD", False, opens=opens_with("the record key's own"))
    assert secret("CA", False, new=True) == new
    assert left == []
    assert "typed before" not in capsys.readouterr().out


def test_one_new_password_is_enough_for_both_keys_of_a_site_and_that_is_said(monkeypatch, capsys):
    typing(monkeypatch, "long enough for two", "long enough for two")
    assert secret("RECORD", False, new=True) == secret("CA", False, new=True)
    said = capsys.readouterr().out
    assert "The password typed before is that of the CA's private key, too." in said


def test_a_wrong_password_is_asked_for_again_and_the_next_run_asks_anew(monkeypatch):
    left = typing(monkeypatch, "not the right one", "the right one it is", "the right one it is")
    assert secret("CA", False, opens=opens_with("the right one it is")) == "the right one it is"
    assert secret("CA", False, opens=opens_with("the right one it is")) == "the right one it is"
    assert len(left) == 1
    forget()
    assert secret("CA", False, opens=opens_with("the right one it is"))
    assert left == []
