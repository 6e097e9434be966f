"""Checks answer with what fits the answer; lessons' certificates work; a choice is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmscert.facts import facts
from vmscert.lessons.exercises import AT, expect, lesson_ca, lesson_server, milliseconds, quiz
from vmscert.network.tls import handshake
from vmscert.notebook.board import explore
from vmscert.pictures.bands import lifetimes
from vmscert.pictures.bytes import bars, blocks_picture, scatter

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.sets(st.text()),
    st.dictionaries(st.text(), st.integers()),
)


class TestExpect:
    def test_without_an_answer_it_invites(self):
        assert expect(..., 7, {}).startswith("Your turn")

    @pytest.mark.parametrize(
        ("answer", "wanted"),
        [
            (7, 7),
            (" The CA ", "the ca"),
            (["A", "b"], ("a", "b")),
            ({"B", "a"}, frozenset({"a", "b"})),
            ("two", {"one", "two"}),
            (["x"], frozenset({("x",), ("y",)})),
            (8, lambda n: n % 2 == 0),
        ],
    )
    def test_case_blanks_and_the_kind_of_brackets_do_not_count(self, answer, wanted):
        assert expect(answer, wanted, {}) == "Right."

    def test_true_is_not_one(self):
        assert expect(True, 1, {}) == "Not yet."
        assert expect(1, True, {}) == "Not yet."

    def test_a_wrong_answer_gets_its_own_hint(self):
        assert expect("Recorder", "ca", {"recorder": "Who signed it?"}) == "Not yet. Who signed it?"

    def test_of_several_entries_it_says_how_many_are_right(self):
        assert expect([True, False], (True, True), {}) == "Not yet. 1 of 2 entries are right."
        assert expect([True], (True, True), {}) == "Not yet. It needs 2 entries; there are 1."

    @given(ANYTHING, st.sampled_from([7, "ca", (1, 2), frozenset({"a"}), lambda x: x.spam]))
    def test_whatever_somebody_types_is_answered(self, answer, wanted):
        assert expect(answer, wanted, {"x": "y"}).startswith(("Right.", "Not yet."))


def test_a_lesson_certificate_is_accepted_by_its_names_and_by_no_other():
    ca = lesson_ca()
    recorder = lesson_server(ca, "vms-rec-01", "10.10.0.21")
    for name in ("vms-rec-01", "10.10.0.21"):
        assert handshake(recorder, [ca.certificate], name).ok
    assert not handshake(recorder, [ca.certificate], "vms-rec-02").ok


def test_a_server_without_a_name_is_told():
    with pytest.raises(ValueError, match="name"):
        lesson_server(lesson_ca())


def test_a_client_that_verifies_nothing_takes_any_certificate():
    recorder = lesson_server(lesson_ca(), "vms-rec-01")
    assert not handshake(recorder, [], "vms-rec-02").ok
    careless = handshake(recorder, [], "vms-rec-02", verify=False)
    assert careless.ok
    assert careless.chain == (recorder.certificate,)


def test_a_server_that_is_its_own_ca_is_self_signed():
    alone = lesson_server(lesson_ca("vms-rec-05"), "vms-rec-05").certificate
    assert alone.issuer == alone.subject
    alone.verify_directly_issued_by(alone)


def test_milliseconds_are_those_of_the_work():
    assert milliseconds(lambda: sum(range(200_000))) > milliseconds(lambda: None)


class TestQuiz:
    @pytest.mark.parametrize("lesson", sorted({row["lesson"] for row in facts("quiz")}))
    def test_each_question_has_one_right_choice_and_each_choice_a_reply(self, lesson):
        for choices in quiz(lesson).questions.values():
            assert [row["right"] for row in choices].count("yes") == 1
            assert all(row["reply"].endswith((".", "?")) for row in choices)

    def test_a_wrong_choice_names_a_misconception_that_the_table_knows(self):
        known = {row["name"] for row in facts("misconceptions")} | {""}
        assert {row["misconception"] for row in facts("quiz")} <= known

    def test_the_words_of_an_exported_page_do_not_give_the_answers_away(self):
        text = repr(quiz("01"))
        assert "( )" in text
        assert "Right" not in text

    def test_a_choice_opens_with_a_click_without_any_script(self):
        html = quiz("01")._repr_html_()
        assert html.count("<details") == sum(map(len, quiz("01").questions.values()))
        assert "<script" not in html

    def test_a_lesson_without_questions_says_which_have_some(self):
        with pytest.raises(ValueError, match=r"no questions for lesson '99'; it has 00, 01"):
            quiz("99")

    def test_right_choices_do_not_all_stand_at_one_place(self):
        """Or people would learn the place."""
        places = {
            [row["right"] for row in choices].index("yes")
            for lesson in {row["lesson"] for row in facts("quiz")}
            for choices in quiz(lesson).questions.values()
        }
        assert places >= {0, 1, 2}


class TestExplorer:
    def test_it_shows_the_first_choice_and_follows_the_control(self):
        explorer = explore(
            lambda bits: bars({"24 bits": 3, f"{bits} bits": 9}, "t", "s"), bits=[24, 32]
        )
        assert "24 bits" in explorer.shown()["text/plain"]
        explorer.form.children[0].value = 32
        assert "32 bits 9" in explorer.shown()["text/plain"]

    def test_words_are_chosen_from_a_list_and_days_with_a_slider(self):
        explorer = explore(lambda field, day: (field, day), field=["a", "b"], day=[AT])
        assert [type(one).__name__ for one in explorer.form.children] == [
            "Dropdown",
            "SelectionSlider",
        ]
        assert [one.value for one in explorer.form.children] == ["a", AT]


@pytest.mark.parametrize(
    "picture",
    [
        blocks_picture({"EM": bytes(10), "<b>": b""}, "<title>"),
        scatter([(0, 0), (1, 5)], "dots", "x", "y"),
        bars({"a": 0.0, "b & c": 1e6}, "costs", "ms", "a"),
        lifetimes({"CA": (AT, AT.replace(year=2036))}, AT.replace(year=2040), "over", "when"),
    ],
)
def test_a_sketch_is_a_picture_with_words(picture):
    from xml.etree import ElementTree

    assert ElementTree.fromstring(picture.svg).tag.endswith("svg")
    assert len(picture.alt) > 10
