"""The password of new PFX files: strong, shown once, and in no text that stays."""

import math
from dataclasses import replace

import lyon
import pytest

from vmscert.certificates.keys import check_password
from vmscert.notebook import forms
from vmscert.notebook.forms import Password, new_password, pfx_password

FRESH = Password("dibu kelo rosi", "The password of the PFX files.", fresh=True)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A real site with nothing issued, and nobody who set a password."""
    lyon.secrets(monkeypatch)
    job = lyon.open_lyon(tmp_path / "records", number="12", issued=False)
    monkeypatch.delenv("VMSCERT_PFX_PASSWORD")
    return job


@pytest.fixture
def somebody(monkeypatch):
    """Somebody looks at the screen."""
    monkeypatch.setattr(forms, "_somebody_looks", lambda: True)


def test_a_new_password_is_five_words_of_three_syllables():
    for _ in range(200):
        words = new_password().split(" ")
        assert [len(word) for word in words] == [6] * 5
        for word in words:
            assert set(word[::2]) <= set("bdfghjklnprstv")
            assert set(word[1::2]) <= set("eiou")
    assert check_password(new_password())


def test_every_letter_comes_up_at_every_place_so_87_bits_are_random():
    many = [new_password().replace(" ", "") for _ in range(600)]
    counts = [len({one[place] for one in many}) for place in range(30)]
    assert counts == [14, 4] * 15
    assert 87 < sum(map(math.log2, counts)) < 88


def test_no_two_are_equal():
    assert len({new_password() for _ in range(500)}) == 500


def test_no_letter_lies_elsewhere_on_a_german_or_french_keyboard():
    assert not set("".join(new_password() for _ in range(200))) & set("aqwyzm;,.0123456789")


@pytest.mark.parametrize("say", [repr, str, "{}".format, "{!r}".format])
def test_no_text_of_a_password_says_it(say):
    assert FRESH.text not in say(FRESH)
    assert FRESH.text not in say([FRESH])


def test_a_cells_output_holds_no_password_and_the_screen_forgets_it(monkeypatch, capsys):
    """The form's content is kept by the front end only; what stays in the file is `about`."""
    kept = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: kept.append(data))
    FRESH._ipython_display_()
    assert FRESH.text not in str(kept) + capsys.readouterr().out
    shown, button = FRESH.form.form.children
    assert FRESH.text in shown.value
    button.click()
    assert shown.value == ""


def test_a_password_that_somebody_sees_is_new_and_says_that_it_is_kept_nowhere(job, somebody):
    first, second = pfx_password(job), pfx_password(job)
    assert first.fresh
    assert first.text != second.text
    assert "kept nowhere: write it down" in str(first)


def test_without_anybody_to_see_it_none_is_made(job):
    with pytest.raises(RuntimeError, match="set VMSCERT_PFX_PASSWORD for this run") as told:
        pfx_password(job)
    assert "Nobody is there to type the password for the PFX files" in str(told.value)


def test_a_run_that_has_one_takes_it_and_does_not_show_it(job, monkeypatch):
    monkeypatch.setenv("VMSCERT_PFX_PASSWORD", lyon.PFX_PASSWORD)
    found = pfx_password(job)
    assert (found.text, found.fresh) == (lyon.PFX_PASSWORD, False)
    assert str(found) == "The PFX files have the password of this run."


def test_a_short_one_of_a_run_is_refused(job, monkeypatch):
    monkeypatch.setenv("VMSCERT_PFX_PASSWORD", "short")
    with pytest.raises(ValueError, match="at least 12"):
        pfx_password(job)


def test_a_rehearsal_has_one_that_everybody_may_know(job, somebody):
    (job.records.folder / "REHEARSAL.txt").write_text("test")
    found = pfx_password(job)
    assert found.text == "for rehearsals only"
    assert not found.fresh
    assert "a rehearsal, which everybody may know" in str(found)


def test_where_no_pfx_is_made_there_is_no_password(job, somebody):
    keyless = replace(job, site=replace(job.site, hosts=(lyon.REC, lyon.MOB, lyon.PC)))
    assert pfx_password(keyless).text == ""
    assert "No PFX file is made in this run" in str(pfx_password(job, ["rec-1", "mob"]))
    assert pfx_password(job, ["rec-1", "ms"]).fresh
