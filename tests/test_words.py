"""The glossary is whole, and no lesson uses an acronym before it says what it stands for."""

import re
import unicodedata
from functools import cache
from pkgutil import resolve_name

import nbformat
import pytest

from vmscert.facts import NOTEBOOKS, facts

WORDS = facts("words")
LESSONS = sorted([*NOTEBOOKS.glob("0*.ipynb"), *NOTEBOOKS.glob("24*.ipynb")])
NUMBERS = {"00", "01", "02", "03", "04", "05", "06", "24"}
TAGS = {"C", "C2", "E", "G", "I"}
NEEDED = ["term", "french", "meaning", "lesson", "source", "tag"]
COLUMNS = {*NEEDED, "stands_for", "windows", "guide", "library"}

# The wording rules of the course: our word, the field's French.
AGREED = {
    "certificate": "certificat",
    "private key": "clé privée",
    "PFX": "certificat avec clé privée",
    "root": "certificat racine",
    "issue": "émettre",
    "trust store": "magasin de confiance",
    "renew": "renouveler",
    "replace the root": "remplacer la racine",
}
# Where the short names of the column `library` live.
HOMES = {
    "x509": "cryptography.x509",
    "verification": "cryptography.x509.verification",
    "ocsp": "cryptography.x509.ocsp",
    "rsa": "cryptography.hazmat.primitives.asymmetric.rsa",
    "padding": "cryptography.hazmat.primitives.asymmetric.padding",
    "x25519": "cryptography.hazmat.primitives.asymmetric.x25519",
    "hashes": "cryptography.hazmat.primitives.hashes",
    "hmac": "cryptography.hazmat.primitives.hmac",
    "aead": "cryptography.hazmat.primitives.ciphers.aead",
    "serialization": "cryptography.hazmat.primitives.serialization",
    "pkcs7": "cryptography.hazmat.primitives.serialization.pkcs7",
    "pkcs12": "cryptography.hazmat.primitives.serialization.pkcs12",
    "vmscert": "vmscert",
}
# Names that nobody spells out, and words that only look like acronyms.
NEVER_TOLD = {
    "OK": "an English word",
    "PC": "better known than what it stands for",
    "USB": "better known than what it stands for",
    "NET": "the end of .NET, a name",
    "NIST": "an office, known by this name alone",
    "X25519": "the name of a curve",
    "CER": "the ending of a file name",
}
# Told in one lesson, mere names in those after it.
TOLD_ONCE = {
    "RSA": "three surnames",
    "SHA": "a family name: SHA-256",
    "AES": "the name of a cipher",
    "GCM": "the name of a mode",
    "ASN": "the name of a language: ASN.1",
    "PKCS": "a family name: PKCS #1",
    "RFC": "comes with its number",
}

ACRONYM = re.compile(r"\b\d?[A-Z][A-Z0-9]+(?=s?\b)")
# What is no prose: code, pictures, tags, addresses, formulas, releases such as 2019 R1.
NO_PROSE = [
    re.compile(r"^ *(```+|~~~+).*?^ *\1", re.DOTALL | re.MULTILINE),
    re.compile(r"(`+)(?:(?!\n\s*\n|`).)+\1", re.DOTALL),
    re.compile(r"!\[[^\]]*\]\([^)]*\)"),
    re.compile(r"(?<=\])\([^)]*\)"),
    re.compile(r"<!--.*?-->|</?[a-zA-Z][^>]*>", re.DOTALL),
    re.compile(r"https?://\S+"),
    re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL),
    re.compile(r"\b20\d\d R\d\b"),
]


def plain(text):
    """Markdown without what is no prose."""
    for pattern in NO_PROSE:
        text = pattern.sub(" ", text)
    return text


def paragraphs(text):
    """The paragraphs of a Markdown text; a heading belongs to what follows it."""
    joined = re.sub(r"^(#+ .*)\n\s*\n", r"\1\n", plain(text), flags=re.MULTILINE)
    return [part for part in re.split(r"\n\s*\n", joined) if part.strip()]


def is_told(stands_for, paragraph):
    """Whether every word of one of the readings, split at `|`, stands in the paragraph."""
    return any(
        all(_form(word).search(paragraph) for word in re.findall(r"[^\W\d_]+", reading))
        for reading in stands_for.split("|")
    )


def _form(word):
    """A word in any case and number: authority, Authorities."""
    stem = rf"{word[:-1]}\w*" if len(word) > 5 else f"{word}s?"
    return re.compile(rf"\b{stem}\b", re.IGNORECASE)


def readings(words):
    """Acronym → what it can stand for, of all terms that contain it."""
    told = {}
    for row in words:
        for acronym in ACRONYM.findall(row["term"]) if row["stands_for"] else ():
            told.setdefault(acronym, []).append(row["stands_for"])
    return told


def unresolved(text, words, known=()):
    """Each acronym that a text uses before it says what it stands for, with the paragraph."""
    told, seen, so_far, found = readings(words), set(known), [], []
    for paragraph in paragraphs(text):
        so_far.append(paragraph)
        for acronym in dict.fromkeys(ACRONYM.findall(paragraph)):
            if acronym in seen:
                continue
            seen.add(acronym)
            wanted = told.get(acronym, [])
            if not any(is_told(reading, part) for reading in wanted for part in so_far):
                found.append(_complaint(acronym, wanted, paragraph))
    return found


def _complaint(acronym, wanted, paragraph):
    where = re.sub(r"\s+", " ", paragraph).strip()
    begin = max(0, where.find(acronym) - 60)
    lack = f"say {wanted[0]!r} here or before" if wanted else "data/words.csv has no such term"
    return f"{acronym}: {lack}: …{where[begin : begin + 140]}…"


@cache
def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def known_in(path):
    """The acronyms that this lesson need not resolve, since all know them or a lesson told them."""
    before = [part for one in LESSONS if one.stem < path.stem for part in paragraphs(prose(one))]
    told = readings(WORDS)
    return {*NEVER_TOLD} | {
        name
        for name in TOLD_ONCE
        if any(is_told(reading, part) for reading in told[name] for part in before)
    }


def terms(is_wrong):
    """The terms whose row is wrong: a test says of which rows it complains."""
    return [row["term"] for row in WORDS if is_wrong(row)]


def test_every_word_has_all_columns_and_none_is_empty_that_counts():
    assert terms(lambda row: set(row) != COLUMNS or None in row.values()) == []
    assert terms(lambda row: not all(row[name] for name in NEEDED)) == []
    assert terms(lambda row: any(value != value.strip() for value in row.values())) == []


def test_every_lesson_and_every_tag_exists():
    assert {row["lesson"] for row in WORDS} <= NUMBERS
    assert {row["tag"] for row in WORDS} <= TAGS


def test_every_meaning_is_one_sentence_of_at_most_30_words():
    one = re.compile(r"(?!.*[.?!] [A-Z])[A-Z].*[.?]")
    assert terms(lambda row: not one.fullmatch(row["meaning"])) == []
    assert terms(lambda row: len(row["meaning"].split()) > 30) == []


def test_the_vendors_words_stay_in_the_column_of_the_guide():
    vendors = re.compile(r"\b(SSL|private|public) certificates?\b", re.IGNORECASE)
    ours = ["term", "stands_for", "meaning"]
    assert terms(lambda row: any(vendors.search(row[name]) for name in ours)) == []


def test_every_acronym_among_the_terms_is_resolved_in_the_table():
    told = readings(WORDS)
    assert terms(lambda row: not set(ACRONYM.findall(row["term"])) <= set(told)) == []


def test_a_source_names_a_section_in_one_way():
    way = re.compile(r"RFC \d{4}( section \d+(\.\d+)*| appendix [A-Z](\.\d+)*)?|(?!RFC).+")
    assert terms(lambda row: not way.fullmatch(row["source"])) == []


def test_what_was_read_nowhere_is_not_called_confirmed():
    unread = ("general knowledge", "inferred")
    assert terms(lambda row: row["source"].startswith(unread) and row["tag"] not in "GI") == []


def test_every_name_in_the_library_can_be_imported():
    for name in filter(None, (row["library"] for row in WORDS)):
        home, _, rest = name.partition(".")
        assert resolve_name(f"{HOMES[home]}.{rest}") is not None


def test_no_word_stands_there_twice():
    every = [term.lower() for row in WORDS for term in row["term"].split(", ")]
    assert len(set(every)) == len(every)


def test_the_french_keeps_to_the_wording_rules_and_its_accents_are_whole_letters():
    french = {row["term"]: row["french"] for row in WORDS}
    assert {term: french[term].partition(" (")[0] for term in AGREED} == AGREED
    assert all(unicodedata.is_normalized("NFC", word) for word in french.values())


def test_lessons_come_in_order():
    lessons = [row["lesson"] for row in WORDS if row["lesson"] != "24"]
    assert lessons == sorted(lessons)


TLS_ONLY = [{"term": "TLS", "stands_for": "Transport Layer Security"}]
HTTPS_TOO = [*TLS_ONLY, {"term": "HTTPS", "stands_for": "HTTP over TLS|Hypertext Secure"}]


@pytest.mark.parametrize(
    "text",
    [
        "XProtect encrypts with TLS (Transport Layer Security).",
        "**Transport layer security (TLS)** it is. TLS again.",
        "Transport Layer\nSecurity is old.\n\nTLS is its name.",
        "# TLS\n\nThat is transport layer security.",
        "| **Goal** | TLS |\n|---|---|\n| **Why** | transport layer security |",
        "Run `TLS` and\n\n```\nTLS\n```\n\n<img alt='TLS'> [link](TLS.ipynb) https://TLS",
    ],
    ids=["brackets", "bold", "earlier", "heading", "table", "no prose"],
)
def test_an_acronym_is_resolved_at_or_before_its_first_use(text):
    assert unresolved(text, TLS_ONLY) == []


@pytest.mark.parametrize(
    "text",
    [
        "TLS encrypts.",
        "TLS encrypts.\n\nTransport Layer Security, that is.",
        "The transport is secure.\n\nA layer of security: TLS.",
        "| **Goal** | TLS |\n|---|---|\n\nTransport layer security.",
        "See [05 · TLS](05.ipynb).",
    ],
    ids=["never", "too late", "in pieces", "card", "link"],
)
def test_an_acronym_that_comes_too_early_is_named_with_its_paragraph(text):
    (complaint,) = unresolved(text, TLS_ONLY)
    assert complaint.startswith("TLS: say 'Transport Layer Security' here or before: …")
    assert "TLS" in complaint.partition(": …")[2]


def test_an_acronym_that_the_table_lacks_is_named_too():
    assert unresolved("Two XYZs meet.", TLS_ONLY) == [
        "XYZ: data/words.csv has no such term: …Two XYZs meet.…"
    ]


def test_each_acronym_is_named_once_and_known_ones_are_not():
    assert len(unresolved("TLS. TLS.\n\nTLS.", TLS_ONLY)) == 1
    assert unresolved("TLS.", TLS_ONLY, known={"TLS"}) == []


def test_one_of_several_readings_is_enough():
    first = "HTTPS is HTTP over TLS, transport layer security."
    assert unresolved(first, HTTPS_TOO, known={"HTTP"}) == []
    assert unresolved("HTTPS: hypertext, secure.", HTTPS_TOO) == []
    assert len(unresolved("HTTPS is secure.", HTTPS_TOO)) == 1


def test_a_name_that_a_lesson_told_is_known_in_those_after_it_and_not_in_itself():
    rsa, later = NOTEBOOKS / "01-a-key-pair.ipynb", NOTEBOOKS / "06-who-talks-to-whom.ipynb"
    assert "RSA" not in known_in(rsa)
    assert {"RSA", "OK"} <= known_in(later)
    assert "TLS" not in known_in(later)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_resolves_every_acronym_at_or_before_its_first_use(path):
    found = unresolved(prose(path), WORDS, known_in(path))
    assert not found, "\n" + "\n".join(found)


def test_the_glossary_of_the_trainers_page_is_the_table():
    page = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    columns = ("term", "stands_for", "french", "meaning", "lesson")
    lines = [" | ".join(row[column].replace("|", " or ") for column in columns) for row in WORDS]
    assert page.split("|---|---|---|---|---|\n")[-1] == "".join(f"| {line} |\n" for line in lines)


def test_the_trainers_page_names_every_lesson():
    page = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in LESSONS if f"]({path.name})" not in page] == []
