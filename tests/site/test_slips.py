"""A table in which something slipped is one fault, told in the words of whoever filled it in."""

import csv
import io

import pytest

from vmscert.facts import facts
from vmscert.site.columns import COLUMNS
from vmscert.site.grid import SiteError, meant, table_roles
from vmscert.site.table import read_site

# A site with something in every column; a small one that leaves most of them empty.
FULL = """\
Name;Domain;Aliases;Cluster;Addresses;Roles;Account;Enrolment;Windows;Leave_off;Owner;Notes
MS1;kiel.local;;vms.kiel.local|vms;10.2.0.1;management server|event server;;;2022;;IT;1st
MS2;kiel.local;;vms.kiel.local|vms;10.2.0.2;management server|event server;;;2022;;IT;
REC1;kiel.local;;;10.2.1.1;recording server;KIEL\\svc-rec;csr;Server 2019;streaming media;Guards;
REC2;kiel.local;;;10.2.1.2;recording server;;;Windows Server 2016;streaming media;Guards;roof
MOB;kiel.local;video.kiel.example;;10.2.2.1;mobile server;;third party;Windows Server 2022;;IT;
PC1;kiel.local;;;10.2.9.1;smart client|management client;;;Windows 11;;Guards;
ACS;kiel.local;;;10.2.9.2;old mip integration;;;Windows 10;;Doors;
none;;;;;dlna server|interconnect site|lpr server|mip integration|open network bridge;;;;;;
"""
SLIM = """\
Name;Domain;Aliases;Addresses;Roles;Windows;Owner;Notes
AIO;;;10.3.0.1;Management Server|Recording Server|event server;Windows Server 2019;Bakery;all in one
REC1;;;10.3.0.2;Recording Server;Windows Server 2016;;
MOB;;video.bakery.example;10.3.0.3;mobile server;Windows Server 2022;;
PC1;;;10.3.0.4;Smart Client|management client;Windows 10;;
PC2;;;10.3.0.5;Smart Client;Win 11;;
none;;;;dlna server|interconnect site|lpr server|mip integration|old mip integration|\
open network bridge;;;no such
"""


def told(text, folder):
    """All that is told of a table, or nothing where it is read."""
    path = folder / "kiel.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        read_site(path)
    except SiteError as error:
        return list(error.errors)
    return []


@pytest.fixture
def faults(tmp_path):
    return lambda text: told(text, tmp_path)


def cells(text):
    return list(csv.reader(io.StringIO(text), delimiter=";"))


def text_of(rows):
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("name", [one for one in cells(FULL)[0] if one not in ("Owner", "Notes")])
def test_a_name_that_the_first_line_lacks_is_one_fault_and_named(faults, name):
    (header, *rows), column = cells(FULL), name.lower()
    place = header.index(name)
    (sentence,) = faults(text_of([header[:place] + header[place + 1 :], *rows]))
    assert sentence.startswith("kiel.csv, line 1: the first line has no name for the column ")
    assert sentence.endswith(f"Did you mean {column!r}?")
    header[place] = ""
    assert faults(text_of([header, *rows])) == [sentence]


@pytest.mark.parametrize("text", [FULL, SLIM], ids=["full", "slim"])
def test_whatever_name_the_first_line_lacks_is_told_in_one_sentence(faults, text):
    header, *rows = cells(text)
    for place in range(len(header)):
        assert len(faults(text_of([header[:place] + header[place + 1 :], *rows]))) <= 1


@pytest.mark.parametrize("text", [FULL, SLIM], ids=["full", "slim"])
def test_cells_that_all_lines_lack_are_told_in_one_sentence(faults, text):
    header, *rows = cells(text)
    for place in range(header.index("Windows")):
        sentences = faults(text_of([header, *(row[:place] + row[place + 1 :] for row in rows)]))
        assert len(sentences) == 1
        assert "one column too far left" in sentences[0]


def test_a_line_that_slipped_by_a_cell_is_one_fault_and_says_where(faults):
    header, *rows = cells(SLIM)
    more = [header, rows[0], ["REC1", "", "", "", *rows[1][3:]], *rows[2:]]
    assert faults(text_of(more)) == [
        "kiel.csv, line 3: there is a ';' too many before 'addresses', so that all cells after it "
        "stand one column too far right"
    ]
    less = [header, rows[0], ["REC1", "", *rows[1][3:]], *rows[2:]]
    assert faults(text_of(less)) == [
        "kiel.csv, line 3: a ';' is missing before '10.3.0.2', so that all cells after it stand "
        "one column too far left"
    ]


def test_roles_that_the_delimiter_cut_into_cells_are_told_with_what_to_write(faults):
    (sentence,) = faults(SLIM.replace("Client|man", "Client;man"))
    assert sentence == (
        "kiel.csv, line 5: 'roles' is cut into several cells: write "
        "'Smart Client|management client' instead, in one"
    )


@pytest.mark.parametrize("between", [", ", "/", " + ", " & ", " und ", " and ", " et ", "\n", "\t"])
def test_roles_may_be_separated_as_people_write_them(faults, between):
    rows = [[cell.replace("|", between) for cell in row] for row in cells(SLIM)]
    assert faults(text_of(rows)) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.encode("utf-16"), id="Unicode text of Excel"),
        pytest.param(lambda text: b"\xfe\xff" + text.encode("utf-16-be"), id="UTF-16, big end"),
        pytest.param(lambda text: text.replace(";", "\t").encode("utf-16"), id="UTF-16, tabs"),
        pytest.param(lambda text: '"sep=;"\n' + text, id="quoted line with the delimiter"),
        pytest.param(lambda text: "Site of the bakery, Kiel\n\n" + text, id="a title above"),
        pytest.param(lambda text: "Bakery;;;;;;;\n" + text, id="a title in merged cells"),
        pytest.param(lambda text: "".join(f'"{one}"\n' for one in text.splitlines()), id="quoted"),
        pytest.param(lambda text: text.partition("\n")[0] + "\n" + text, id="first line twice"),
        pytest.param(lambda text: text.replace("REC1", "\u201cREC1\u201d"), id="quotes of Word"),
    ],
)
def test_what_spreadsheets_do_to_a_whole_table_does_not_matter(faults, change):
    assert faults(change(SLIM)) == []


def test_cells_that_a_spreadsheet_merged_are_told_together(faults):
    text = SLIM.replace("10.3.0.4;Smart Client|management client", "10.3.0.4;").replace(
        "10.3.0.5;Smart Client", "10.3.0.5;"
    )
    assert faults(text)[0] == (
        "kiel.csv, lines 5, 6: no role: what runs on PC1, PC2? A spreadsheet keeps a merged cell's "
        "text in its first line only: fill in each line"
    )


def test_the_same_fault_of_several_lines_is_one_sentence(faults):
    assert faults(SLIM.replace("Smart Client", "SC")) == [
        "kiel.csv, lines 5, 6: unknown role 'sc'. Did you mean 'smart client'?"
    ]


@pytest.mark.parametrize(
    ("written", "role"),
    [
        ("Aufzeichnungsserver", "recording server"),
        ("Aufzeichnugsserver", "recording server"),
        ("Serveur d\u2019enregistrement", "recording server"),
        ("optageserver", "recording server"),
        ("Servidor de grabacion", "recording server"),
        ("REC", "recording server"),
        ("ms", "management server"),
        ("Managment Server", "management server"),
        ("SmartClient", "smart client"),
        ("SC", "smart client"),
        ("LPR", "lpr server"),
        ("MIP SDK 2018 R2", "old mip integration"),
        ("MIP SDK 2021 R1", "mip integration"),
        ("iPhone", "mobile client"),
        ("coffee machine", ""),
        ("x" * 100_000, ""),
    ],
)
def test_what_people_call_a_role_is_understood(written, role):
    assert meant("role", written, table_roles()) == role


@pytest.mark.parametrize("word", ["Managment Server", "Hauptserver", "hovedmaskine"])
def test_a_mistyped_role_is_not_also_a_missing_management_server(faults, word):
    (sentence,) = faults(SLIM.replace("Management Server", word))
    assert f"unknown role {word.lower()!r}" in sentence


def test_a_first_line_in_another_language_is_told_once_for_each_name(faults):
    header = "Rechnername;Dom\u00e4ne;Aliase;IP-Adressen;Rollen;Betriebssystem;Verantwortlich;Notiz"
    sentences = faults(SLIM.replace(SLIM.partition("\n")[0], header))
    assert len(sentences) == 8
    assert sentences[4] == "kiel.csv, line 1: unknown column 'rollen'. Did you mean 'roles'?"


def test_none_in_another_language_is_no_computer(faults):
    assert faults(SLIM.replace("none;", "keine;")) == [
        "kiel.csv, line 7: unknown name 'keine'. Did you mean 'none'?"
    ]


def test_an_address_with_a_comma_is_one_fault(faults):
    assert faults(SLIM.replace("10.3.0.5", "10.3.0,5")) == [
        "kiel.csv, line 6: '10.3.0,5' is not an IP address. Did you mean '10.3.0.5'?"
    ]


def test_cells_without_a_name_above_them_are_told_together(faults):
    text = SLIM.replace("2016;;", "2016;;;left").replace("Win 11;;", "Win 11;;;right")
    assert faults(text) == [
        "kiel.csv, lines 3, 6: 'left', 'right' stand under no column name, since the first line "
        "has 8 names: perhaps it lacks one. Write it there, or clear these cells"
    ]


def test_every_word_means_something_that_a_table_may_hold():
    kinds = {
        "role": table_roles(),
        "column": COLUMNS,
        "name": ["none"],
        "enrolment": ["pfx", "csr", "third party"],
        "certificate group": [row["group"] for row in facts("xprotect/certificate-groups")],
        "and": ["|"],
        "windows": ["phone"],
    }
    seen = {}
    for row in facts("table-words"):
        assert row["means"] in kinds[row["kind"]]
        assert row["source"]
        assert row["tag"] in {"C", "G"}
        for word in row["words"].split("|"):  # one word has one meaning
            assert seen.setdefault((row["kind"], word.lower()), row["means"]) == row["means"]
