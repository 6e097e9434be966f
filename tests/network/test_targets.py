"""What people type, paste or keep in files, as endpoints to look at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmscert import read_site, read_targets, site_targets
from vmscert.facts import DATA


def spelled(*texts):
    return [f"{t.address} {t.port} {t.name}" for t in read_targets(texts)]


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("rec-01", ["rec-01 443 rec-01"]),
        ("rec-01:7563", ["rec-01 7563 rec-01"]),
        ("rec-01:7000-7002", [f"rec-01 {port} rec-01" for port in (7000, 7001, 7002)]),
        ("10.0.0.9-11:80", [f"10.0.0.{n} 80 10.0.0.{n}" for n in (9, 10, 11)]),
        (
            "10.0.0.254-1.1",
            [f"{a} 443 {a}" for a in ("10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1")],
        ),
        ("10.0.0.0/30:9", ["10.0.0.1 9 10.0.0.1", "10.0.0.2 9 10.0.0.2"]),
        ("https://rec-01:8443/x", ["rec-01 8443 rec-01"]),
        ("[::1]:9", ["::1 9 ::1"]),
        ("10.0.0.1:443 rec-01.lyon.local", ["10.0.0.1 443 rec-01.lyon.local"]),
        ("", []),
    ],
)
def test_a_line_means_one_endpoint_or_many(text, targets):
    assert spelled(text) == targets


def test_every_target_stands_there_once():
    assert spelled("rec-01", "REC-01:443", "https://rec-01/") == ["rec-01 443 rec-01"]


def test_a_file_of_lines_may_have_comments_and_blanks(tmp_path):
    path = tmp_path / "servers.txt"
    path.write_text("# Lyon\n\nrec-01\n rec-02:7563\n", encoding="utf-8-sig")
    assert spelled(str(path)) == ["rec-01 443 rec-01", "rec-02 7563 rec-02"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_a_csv_names_its_columns(tmp_path, encoding, comma):
    path = tmp_path / "servers.csv"
    rows = [["Address", "Port", "Name"], ["10.0.0.1", "7563", "rec-01"], ["::1", "", ""]]
    path.write_text("\r\n".join(map(comma.join, rows)), encoding=encoding)
    assert spelled(str(path)) == ["10.0.0.1 7563 rec-01", "::1 443 ::1"]


def test_all_wrong_lines_are_told_at_once_with_their_place(tmp_path):
    path = tmp_path / "servers.txt"
    path.write_text("rec-01:70000\nrec-02\nrec 03\n10.0.0.9-3\n", encoding="utf-8")
    with pytest.raises(ValueError) as told:
        read_targets([str(path)])
    lines = str(told.value).splitlines()
    wrong = [f"servers.txt, line {number}" for number in (1, 3, 4)]
    assert [line.partition(":")[0] for line in lines] == wrong


def test_a_file_of_something_else_is_told_in_a_few_lines(tmp_path):
    path = tmp_path / "noise"
    path.write_text("no host!\n" * 1000, encoding="utf-8")
    with pytest.raises(ValueError, match=r"and 980 lines more$"):
        read_targets([str(path)])


@pytest.mark.parametrize("text", ["10.0.0.0/8", "::/64", "10.0.0.1-11.0.0.1", "rec:9-1"])
def test_a_range_that_was_mistyped_is_refused(text):
    with pytest.raises(ValueError, match=r"name a smaller|runs backwards"):
        read_targets([text])


@given(st.text(max_size=40))
def test_any_text_gives_targets_or_one_sentence(text):
    try:
        found = read_targets([text])
    except ValueError as error:
        assert str(error).strip()
    else:
        assert all(0 < target.port < 65536 for target in found)


def test_a_site_is_looked_at_by_every_name_of_every_port():
    site = read_site(DATA / "sites" / "example.csv")
    targets = site_targets(site)
    wanted = {(h.name, p, n) for h in site.servers for p, _ in h.ports for n in h.names}
    assert {(t.host, t.port, t.name) for t in targets} == wanted
    assert len(targets) == len(wanted)


def test_the_table_of_a_site_is_a_list_of_targets():
    path = DATA / "sites" / "example.csv"
    assert read_targets([str(path)]) == site_targets(read_site(path))
