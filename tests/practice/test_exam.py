"""A gallery of real, broken servers to diagnose; the judge is the kit, and the score is fair."""

import re
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from html import unescape
from xml.etree import ElementTree

import pytest
from cryptography import x509

from vmscert.facts import facts
from vmscert.findings import RULES
from vmscert.notebook.exam import exam_form
from vmscert.notebook.forms import show_look
from vmscert.practice.gallery import Command, Gallery, Words, answer_sheet, draw_exam, open_gallery
from vmscert.practice.servers import SEEN, broken, healthy_stand

NOW = datetime.now(UTC).replace(microsecond=0)
SEED = 24
# What OpenSSL's command line prints for a fault; where it is content, others are not.
SAID = {
    "expired": "10 (certificate has expired)",
    "not-yet-valid": "9 (certificate is not yet valid",
    "name-mismatch": "62 (hostname mismatch)",
    "wrong-eku": "26 (",
    "weak-key": "66 (EE certificate key too weak)",
    "weak-signature": "68 (CA signature digest algorithm too weak)",
    "bad-signature": "7 (certificate signature failure)",
    "unknown-critical-extension": "34 (unhandled critical extension)",
    "self-signed": "18 (self",
    "name-constraint": "47 (permitted subtree violation)",
    "untrusted-root": "21 (unable to verify the first certificate)",
    "root-recreated": "21 (unable to verify the first certificate)",
    "missing-intermediate": "21 (unable to verify the first certificate)",
    "path-length": "25 (path length constraint exceeded)",
    "revoked": "23 (certificate revoked)",
    "crl-unusable": "12 (CRL has expired)",
    "chain-order": "0 (ok)",
    "leaf-is-ca": "0 (ok)",
    "malformed": "0 (ok)",
    "profile": "0 (ok)",
}


@pytest.fixture(scope="module")
def tour():
    """All stands, to look at; nobody answers here."""
    with open_gallery(at=NOW, seed=SEED) as gallery:
        yield gallery


@pytest.fixture(scope="module")
def stands():
    """One stand with one fault, one with two."""
    sound = healthy_stand(NOW)
    return [broken(sound, "expired"), broken(sound, "no-san", "wrong-eku")]


@pytest.fixture
def pair(stands):
    """A gallery of these two that nobody has answered yet, and their numbers."""
    with Gallery(stands) as gallery:
        yield gallery, 1, 2


def right(gallery):
    """Number → codes, as the answer sheet has them."""
    codes = {}
    for row in gallery.sheet():
        codes.setdefault(int(row["stand"]), []).append(row["rule"])
    return codes


def number_of(gallery, code):
    return next(number for number, codes in right(gallery).items() if codes == [code])


# The stands


def test_the_gallery_has_a_stand_for_each_fault_and_the_judge_finds_just_that(tour):
    assert sorted(right(tour).values()) == sorted([name] for name in SEEN)
    assert len(tour) >= 25


def test_the_number_of_a_stand_does_not_tell_its_fault(tour):
    dealt = [code for (code,) in right(tour).values()]
    with open_gallery(dealt[:3], at=NOW, seed=1) as again:
        assert [code for (code,) in right(again).values()] != dealt[:3]
    assert dealt != list(SEEN)


def test_what_a_trainee_sees_holds_no_verdict_and_all_certificates(tour):
    for number in tour.numbers:
        seen = tour.look(number)
        (finding,) = seen.look.findings
        code, certificates = finding.code, seen.look.handshake.chain
        said = seen.look.handshake.error  # in the client's own words
        shown = (repr(seen) + unescape(seen._repr_html_())).replace(said, "")
        assert not re.search(rf"(?<![\w-]){code}(?![\w-])", shown)
        assert RULES[code].meaning not in shown
        assert finding.detail not in shown
        assert repr(seen).count("Sent as number") == len(certificates)
        assert repr(seen).count("Trusted by the client") == len(seen.stand.roots)


def test_the_way_up_is_drawn_from_the_top_down_and_judges_nothing(tour):
    missing = drawn(tour, "missing-intermediate")
    assert missing.index("no certificate that the client trusts") < missing.index(
        "sent as number 1"
    )
    assert "trusted, but not on the way: 'Example VMS root'" in missing
    swapped = drawn(tour, "chain-order")
    places = [swapped.index(f"sent as number {number}") for number in (2, 3, 1)]
    assert places == sorted(places)
    assert swapped.index("trusted by the client") < places[0]


def drawn(gallery, code):
    picture = gallery.look(number_of(gallery, code)).picture()
    return "\n".join(ElementTree.fromstring(picture.svg).itertext())


@pytest.mark.parametrize("code", sorted(SAID))
def test_the_command_lets_openssl_see_the_fault(tour, code):
    if sys.platform == "win32" or not shutil.which("openssl"):
        pytest.skip("NOT SHOWN: there is no `openssl` and `sh` on this machine to ask")
    command = tour.command(number_of(tour, code), windows=False)
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20)
    assert f"Verify return code: {SAID[code]}" in ran.stdout


def test_the_command_of_windows_needs_no_dev_null_and_keeps_a_folder_with_spaces_whole(
    tmp_path, monkeypatch
):
    with open_gallery(["crl-unusable"], at=NOW) as gallery:
        assert gallery.command(1, windows=False).endswith(" -crl_check </dev/null")
        command = gallery.command(1, windows=True)
        assert command.startswith("echo Q | openssl s_client -connect 127.0.0.1:")
        assert "/dev/null" not in command
    monkeypatch.setenv("VMSCERT_RECORDS", str(tmp_path / "a b"))
    with open_gallery(["expired"], at=NOW) as gallery:
        assert re.search(r'-CAfile "[^"]*/a b/[^"]*/stand-01.pem"', gallery.command(1, True))
        assert re.search(r"-CAfile '[^']*/a b/[^']*/stand-01.pem'", gallery.command(1, False))


def test_its_files_hold_public_certificates_only_and_go_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("VMSCERT_RECORDS", str(tmp_path))
    gallery = open_gallery(["untrusted-root", "revoked"], at=NOW)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".pem", ".crl"}
    for path in files:
        assert b"PRIVATE" not in path.read_bytes()
        if path.suffix == ".pem":
            assert x509.load_pem_x509_certificates(path.read_bytes())
    gallery.close()
    assert [one.name for one in tmp_path.rglob("*")] == ["gallery-of-faults"]


def test_a_path_below_the_current_folder_is_written_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VMSCERT_RECORDS", str(tmp_path))
    with open_gallery(["expired"], at=NOW) as gallery:
        assert " -CAfile gallery-of-faults/stands-" in gallery.command(1)


def test_a_closed_gallery_answers_nobody():
    with open_gallery(["expired"], at=NOW) as gallery:
        address = re.search(r"127.0.0.1:(\d+)", gallery.where(1))
        port = int(address[1])
        socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_program_that_forgets_to_close_it_ends_all_the_same():
    code = (
        "from datetime import UTC, datetime\n"
        "from vmscert.practice.gallery import open_gallery\n"
        "gallery = open_gallery(['expired'], at=datetime.now(UTC))\n"
        "print(gallery.look(1).look.codes)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (ran.stdout.strip(), ran.stderr, ran.returncode) == ("{'expired'}", "", 0)


# Answers


def test_the_right_answer_at_the_first_try_is_worth_two_points(pair):
    gallery, one, _ = pair
    assert gallery.answer(one, "Expired ") == "Right."
    assert gallery.score() == "2 of 6 points; 1 of 2 stands solved."


def test_after_a_wrong_answer_the_right_one_is_worth_one_point(pair):
    gallery, one, _ = pair
    assert gallery.answer(one, "not-yet-valid").startswith("Not yet. It is not not-yet-valid: look")
    assert gallery.answer(one, "expired") == "Right."
    assert gallery.score().startswith("1 of 6 points")


def test_after_a_hint_it_is_worth_one_and_after_the_solution_nothing(pair):
    gallery, one, two = pair
    assert gallery.hint(one) == RULES["expired"].diagnosis
    assert "the server's own certificate. Most clients refuse" in gallery.hint(one)
    gallery.answer(one, "expired")
    assert gallery.score().startswith("1 of 6 points")
    gallery.solution(two)
    assert gallery.answer(two, "no-san", "wrong-eku") == "Right: no-san, wrong-eku."
    assert gallery.score() == "1 of 6 points; 2 of 2 stands solved."


def test_both_faults_of_a_composed_stand_at_once_are_worth_two_points_each(pair):
    gallery, _, two = pair
    assert gallery.answer(two, "wrong-eku", "no-san").startswith("Right: ")
    assert gallery.score().startswith("4 of 6 points")


def test_a_part_of_the_answer_gets_its_part_of_the_points_and_its_own_hints(pair):
    gallery, _, two = pair
    said = gallery.answer(two, "no-san")
    assert said == "Right so far: no-san. 1 more to find at this stand."
    assert gallery.score() == "2 of 6 points; 0 of 2 stands solved."
    assert gallery.hint(two) == RULES["wrong-eku"].diagnosis
    gallery.answer(two, "no-san", "wrong-eku")
    assert gallery.score() == "3 of 6 points; 1 of 2 stands solved."
    assert gallery.hint(two) == "This stand is solved."


def test_who_names_everything_gets_nothing_for_it(pair):
    gallery, _, two = pair
    said = gallery.answer(two, *SEEN)
    assert said.startswith("Not yet.")
    assert "It is not no-san" not in said
    assert gallery.score().startswith("0 of 6 points")


def test_a_right_answer_given_twice_counts_once(pair):
    gallery, one, _ = pair
    gallery.answer(one, "expired")
    assert gallery.answer(one, "expired") == "Right."
    assert gallery.score().startswith("2 of 6 points")


def test_without_an_answer_there_is_an_invitation_and_no_try_is_lost(pair):
    gallery, one, _ = pair
    assert gallery.answer(one).startswith("Your turn")
    gallery.answer(one, "expired")
    assert gallery.score().startswith("2 of 6 points")


def test_a_slip_of_the_pen_is_one_sentence_and_costs_nothing(pair):
    gallery, one, _ = pair
    with pytest.raises(ValueError, match=r"'expird' is not the code .* mean 'expired'"):
        gallery.answer(one, "expird")
    with pytest.raises(ValueError, match="There is no stand 3: they are 1 to 2"):
        gallery.answer(3, "expired")
    with pytest.raises(ValueError, match="'7' is not the code of a fault"):
        gallery.answer(one, 7)
    gallery.answer(one, "expired")
    assert gallery.score().startswith("2 of 6 points")


def test_the_solution_shows_path_rule_and_remedy(pair):
    gallery, one, _ = pair
    solution = show_look(gallery.solution(one))
    assert "data:image/svg+xml" in solution["text/html"]
    for text in solution.values():
        assert "17-renew-before-expiry" in text


def test_the_list_of_stands_tells_how_far_one_has_come(pair):
    gallery, one, two = pair
    gallery.answer(one, "expired")
    gallery.answer(two, "no-san")
    state = {row["stand"]: row["state"] for row in gallery.rows()}
    assert state == {one: "solved", two: "1 found"}


def test_words_are_shown_without_quotes_and_as_text_only():
    assert repr(Words("It's right.")) == "It's right."
    assert Words("<b>")._repr_html_() == "<p>&lt;b&gt;</p>"
    assert "&lt;/dev/null" in Command("openssl </dev/null")._repr_html_()


# Confusions


@pytest.mark.parametrize("row", facts("confusions"), ids=lambda r: f"{r['answered']}-{r['right']}")
def test_a_hint_to_a_confusion_is_about_two_faults_and_names_neither(row):
    assert {row["answered"], row["right"]} <= set(SEEN)
    assert row["answered"] != row["right"]
    assert row["right"] not in row["hint"]
    assert RULES[row["right"]].meaning not in row["hint"]
    assert len(row["hint"].split()) <= 30


def test_each_confusion_stands_once_and_every_fault_is_confused_with_another():
    asked = [(row["answered"], row["right"]) for row in facts("confusions")]
    assert len(asked) == len(set(asked))
    assert {right for _, right in asked} == set(SEEN)


def test_every_hint_is_said_to_the_confusion_that_it_was_written_for(tour):
    hints = {(row["answered"], row["right"]): row["hint"] for row in facts("confusions")}
    for (answered, code), hint in hints.items():
        said = tour.answer(number_of(tour, code), answered)
        assert said == f"Not yet. It is not {answered}: {hint}"


def test_a_confusion_without_a_hint_gets_the_way_to_check_it(pair):
    gallery, one, _ = pair
    said = gallery.answer(one, "leaf-is-ca")
    assert (
        said == f"Not yet. It is not leaf-is-ca: check it yourself. {RULES['leaf-is-ca'].diagnosis}"
    )


# The exam


def test_the_same_seed_draws_the_same_exam_and_the_sheet_needs_nobody_to_open_it():
    with draw_exam(7, 4, 1, at=NOW) as exam:
        drawn = right(exam)
    assert answer_sheet(7, 4, 1, at=NOW) == right_rows(drawn)
    with draw_exam(8, 4, 1, at=NOW) as other:
        assert right(other) != drawn


def right_rows(drawn):
    return [
        {
            "stand": number,
            "rule": code,
            "meaning": RULES[code].meaning,
            "what to do": f"{RULES[code].remedy_text} ({RULES[code].remedy})",
        }
        for number, codes in drawn.items()
        for code in codes
    ]


def test_an_exam_has_as_many_stands_as_asked_for_and_so_many_with_two_faults():
    with draw_exam(SEED, 8, 6, at=NOW) as exam:
        codes = right(exam)
    assert sorted(map(len, codes.values())) == [1, 1, 2, 2, 2, 2, 2, 2]
    drawn = [code for found in codes.values() for code in found]
    assert len(drawn) == len(set(drawn))


@pytest.mark.parametrize(("count", "composed"), [(5, 6), (40, 0), (10, 7), (3, -1)])
def test_an_exam_that_cannot_be_drawn_is_refused_in_one_sentence(count, composed):
    with pytest.raises(ValueError, match=f"{count} stands, {composed} of them .* can't be drawn"):
        draw_exam(0, count, composed, at=NOW)


def test_an_unknown_fault_is_refused_before_any_server_runs():
    with pytest.raises(ValueError, match="Did you mean 'expired'"):
        open_gallery(["expierd"], at=NOW)


# The form


@pytest.fixture
def form(pair):
    gallery, one, _ = pair
    made = exam_form(gallery)
    control(made, "Where").value = one
    return made


def control(form, name):
    """The list or the button that is named so."""
    above, what, check = form.form.children
    (found,) = [one for one in (*above.children, what, check) if one.description == name]
    return found


def clicked(form, word):
    """Press a button, and return what stands below the form then."""
    return form.after(form.acts[control(form, word)])["text/plain"]


def test_the_form_tells_where_the_stand_is_and_how_to_look_at_it_without_a_button(form):
    for text in form.shown().values():
        assert f"Stand {control(form, 'Where').value}" in text
        assert "openssl s_client" in text
        assert "0 of 6 points" in text


def test_the_form_leads_through_look_hint_answer_and_solution(form):
    assert "certificate has expired" in clicked(form, "Look")
    assert RULES["expired"].diagnosis in clicked(form, "Hint")
    assert "Your turn" in clicked(form, "Check")
    control(form, "What").value = ("not-yet-valid",)
    assert "Not yet." in clicked(form, "Check")
    control(form, "What").value = ("expired",)
    assert "Right." in clicked(form, "Check")
    assert "1 of 6 points" in clicked(form, "Check")
    assert "17-renew-before-expiry" in clicked(form, "Solution")


def test_each_choice_of_the_form_has_its_meaning_beside_it(form):
    choices = control(form, "What").options
    assert list(choices) == [(f"{code}: {RULES[code].meaning}", code) for code in sorted(SEEN)]


class Handle:
    """The place below a form; `texts` holds what stood there."""

    def __init__(self):
        self.texts = []

    def display(self, data, raw):
        self.texts.append(data["text/plain"])

    update = display


@pytest.fixture
def below(form, monkeypatch):
    """What stood below the form since a notebook showed it."""
    handle = Handle()
    monkeypatch.setattr("IPython.display.DisplayHandle", lambda: handle)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    form._ipython_display_()
    return handle.texts


def test_what_was_seen_stays_below_what_is_said(form, below):
    for word in ("Look", "Hint", "Solution", "Check"):
        control(form, word).click()
    first, looked, hinted, solved, checked = below
    assert "openssl s_client" in first
    assert "certificate has expired" not in first
    assert "openssl s_client" in looked and "certificate has expired" in looked
    assert RULES["expired"].diagnosis in hinted and "certificate has expired" in hinted
    assert RULES["expired"].diagnosis in solved and "17-renew-before-expiry" in solved
    assert "Your turn" in checked and "17-renew-before-expiry" in checked


def test_another_stand_begins_with_nothing_chosen_and_nothing_seen(form, below):
    control(form, "Look").click()
    control(form, "What").value = ("expired",)
    stand = control(form, "Where")
    stand.value = next(n for _, n in stand.options if n != stand.value)
    assert control(form, "What").value == ()
    assert f"Stand {control(form, 'Where').value}" in below[-1]
    assert "Sent as number" in below[-2] and "Sent as number" not in below[-1]


def test_a_mistake_in_the_form_is_one_sentence(form):
    def fail():
        raise ValueError("There is no stand 3")

    assert form.after(fail)["text/html"] == "<p>There is no stand 3</p>"


def test_names_that_stand_together_are_one_stand_with_all_of_these_faults():
    with open_gallery([("bad-signature", "expired")], at=NOW) as gallery:
        assert right(gallery) == {1: ["bad-signature", "expired"]}
