"""A page says the same in a browser, on paper and in an editor, and foreign text stays text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from vmscert.changes.change import Plan
from vmscert.facts import DATA
from vmscert.pages import faces, literal, page, plain, render

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "<https://evil.example>",
    "a | b",
    "a \\| b",
    "EXAMPLE\\svc",
    "`code` ``",
    "# heading",
    "1. step",
    "12) step",
    "2026. a year",
    "---",
    "[a]: b",
    "https://evil.example",
    "- item",
    "&amp; &lt;",
    "**bold** _it_ *it* ~~x~~",
    "ends with \\",
    "two\n\nparagraphs",
    "![x](qr.svg)",
    "| --- | --- |",
    "",
]
SPECIAL = "`|\\[]()<>!*_&;#-+.=~:{}\"'\n\t ab1é"
foreign = st.text(st.sampled_from(SPECIAL), max_size=12) | st.sampled_from(HOSTILE)
ASKING = {"src", "srcset", "action", "data", "poster", "background", "xlink:href"}


class Seen(HTMLParser):
    """The elements of a page, the text in each kind, and what it would ask others for."""

    def __init__(self, data: bytes):
        super().__init__()
        self.elements: list[str] = []
        self.asked: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.inside: list[str] = []
        self.feed(data.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.asked += [(k, v) for k, v in attrs if k in ASKING or k.startswith("on")]
        self.asked += [(k, v) for k, v in attrs if tag == "link" and k == "href"]
        self.inside.append(tag)
        if tag in ("td", "th", "p", "li", "title", "body"):
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in set(self.inside) & set(self.texts):
            self.texts[tag][-1] += data


def test_a_page_is_whole_and_asks_nobody_for_anything():
    seen = Seen(page("# Hello\n\nText, [another page](phones.html).", "Lyon & <b>"))
    assert seen.asked == []
    assert not {"script", "link", "iframe", "img"} & set(seen.elements)
    assert seen.texts["title"] == ["Lyon & <b>"]
    assert {"html", "style", "h1", "p", "a"} <= set(seen.elements)
    assert b'<html lang="en">' in page("", "x")
    assert b'<meta charset="utf-8">' in page("", "x")[:200]


def test_a_page_forbids_the_browser_to_load_anything():
    assert b"default-src 'none'" in page("", "x")


def test_a_page_loads_nothing_through_its_style():
    style = page("", "x").decode().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "@media print" in style


def test_html_in_the_text_stays_text():
    seen = Seen(page("a <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>", "x"))
    assert not {"script", "img"} & set(seen.elements)
    assert "<script>alert(1)</script>" in seen.texts["p"][0]


def test_a_link_never_runs_a_script():
    assert "a" not in Seen(page("[x](javascript:alert(1))", "x")).elements


def test_a_picture_of_ours_stands_in_the_page_itself():
    data = page("![the words](qr.svg)", "x", {"qr.svg": "<svg id='ours'></svg>"})
    assert b"<svg id='ours'></svg>" in data


@pytest.mark.parametrize("source", ["http://evil.example/x.png", "data:image/png;base64,AA", "y"])
def test_of_any_other_picture_only_the_words_are_shown(source):
    seen = Seen(page(f"![the words]({source})", "x", {"qr.svg": "<svg></svg>"}))
    assert seen.texts["p"] == ["the words"]
    assert not {"img", "svg"} & set(seen.elements)


def test_both_faces_say_the_same():
    both = faces("README", "# Été", "x")
    assert list(both) == ["README.html", "README.md"]
    assert both["README.md"].decode() == "# Été"
    assert "<h1>Été</h1>" in both["README.html"].decode()
    assert faces("README", "# Été", "x") == both


@given(foreign)
def test_foreign_text_stays_text_in_a_paragraph(text):
    shown = " ".join(text.split())
    for written in (literal(text), plain(text)):
        seen = Seen(page(f"{written}\n\nx{written}", "t", {"qr.svg": "<svg></svg>"}))
        assert seen.texts["p"] == ([shown] if shown else []) + [f"x{shown}"]
        assert set(seen.elements[8:]) <= {"p", "code"}


def plan_of(rows=(), text="x"):
    """A plan's page, in which everything that is put in is this text; these are its computers."""
    return Plan(
        text, text, text, {text: text}, text, 1, text, tuple(rows), (text,), text, (text,),
        text, text, text,
    ).markdown()  # fmt: skip


@given(foreign, foreign, foreign)
def test_foreign_text_stays_text_in_a_table(heading, one, two):
    rows = [
        {"computer": one or "1", f"x{heading}": two or "2"},
        {"computer": "1", f"x{heading}": "2"},
    ]
    seen = Seen(page(plan_of(rows), "t"))
    shown = [" ".join(text.split()) for text in ("computer", f"x{heading}", *rows[0].values())]
    assert seen.texts["th"][:2] == shown[:2]
    assert seen.texts["td"][:4] == [*shown[2:], "1", "2"]


@given(foreign)
def test_foreign_text_adds_nothing_to_a_page_but_text(text):
    row = {"computer": "x", "to do": "y"}
    usual, seen = (Seen(page(plan_of([row], one), "t")) for one in ("x", text.strip() or "x"))
    assert [e for e in seen.elements if e != "code"] == [e for e in usual.elements if e != "code"]
    assert seen.asked == []


def test_a_value_that_a_page_asks_for_and_nobody_gives_is_an_error():
    with pytest.raises(UndefinedError, match="subject"):
        render("mail.txt", rows=(), unknown=())


@pytest.mark.parametrize("path", sorted((DATA / "pages").iterdir()), ids=lambda path: path.name)
def test_no_template_lets_a_value_through_as_markup(path):
    """Only what the package calls Markup by name is markup."""
    assert path.name.endswith((".md.j2", ".html.j2", ".txt.j2"))
    assert not re.search(r"\|\s*safe\b|autoescape|markup\(", path.read_text(encoding="utf-8"), re.I)


@pytest.mark.parametrize("text", ["\ud800", "\0"])
def test_text_that_no_file_can_hold_is_replaced(text):
    for data in faces("README", text, text).values():
        assert data.decode()
