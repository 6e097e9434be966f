"""What notebooks show: whole words, true pictures, and one line where they stop."""

import csv
import json
import re
import shutil
import unicodedata
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from vmscert import QUICK, SERVER, Finding, Host, Site, create_authority, due, read_site
from vmscert.changes.job import Stop
from vmscert.checks.expiry import Due
from vmscert.facts import DATA, facts
from vmscert.findings import Check
from vmscert.notebook.forms import look_form
from vmscert.notebook.tables import choose_site, encryption_switches, findings_table, require, table
from vmscert.pictures.bands import timeline
from vmscert.pictures.canvas import COLOURS
from vmscert.pictures.site_map import _SPARE, group_colours, site_map

AT = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def site():
    return read_site(DATA / "sites" / "example.csv")


def texts(picture):
    """Every text element of a picture, which must be well-formed."""
    return list(ElementTree.fromstring(picture.svg).iter(f"{SVG}text"))


def words(picture):
    return [element.text for element in texts(picture)]


def many(count):
    """A site of one management server, 20 recorders, and otherwise smart clients."""
    servers = [Host("ms", roles=("management server",))]
    servers += [Host(f"rec-{n}", roles=("recording server",)) for n in range(20)]
    clients = [Host(f"pc-{n}", roles=("smart client",)) for n in range(count - 21)]
    return Site("big", (*servers, *clients))


def reds(picture):
    return picture.svg.count(f'fill="{COLOURS["bad"]}"')


def boxes(picture):
    """(x, y, width, height) of every box."""
    root = ElementTree.fromstring(picture.svg)
    return [
        tuple(float(rect.get(side, 0)) for side in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
    ]


def overlap(one, other):
    return all(abs(one[n] - other[n]) < (one, other)[one[n] > other[n]][n + 2] for n in (0, 1))


def reach(element):
    """From where to where a text goes, drawn with letters of common widths."""
    bold = 1.08 if element.get("font-weight") else 1
    ems = sum(1 if unicodedata.east_asian_width(c) == "W" or c in "Wm" else 0.58
              for c in element.text)  # fmt: skip
    wide = ems * float(element.get("font-size")) * bold
    start = float(element.get("x")) - {"start": 0, "middle": wide / 2, "end": wide}[
        element.get("text-anchor")
    ]  # fmt: skip
    return start, start + wide


def contrast_with_white(colour):
    """The contrast ratio of WCAG 2.2 between this colour and white."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    light = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 1.05 / (sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), light, strict=True)) + 0.05)


def bar(label, days):
    """A certificate that ends in so many days, as the timeline draws it."""
    end = AT + timedelta(days=days)
    return Due(label, AT - timedelta(days=30), end, days, 0.5, "ok", end)


class TestSiteMap:
    def test_it_names_every_computer_of_a_small_site(self, site):
        shown = " ".join(words(site_map(site)))
        assert all(host.name in shown for host in site.clients)

    def test_it_draws_every_connection_as_a_port(self, site):
        ports = sorted(w for w in words(site_map(site)) if w.isdigit())
        # The two control-room computers are one row.
        cells = {(c.client if c.client != "vms-pc-02" else "vms-pc-01", c.server, c.port)
                 for c in site.connections}  # fmt: skip
        assert ports == sorted(str(port) for _, _, port in cells)

    def test_it_is_the_same_to_the_byte_every_time(self, site):
        assert site_map(site).svg == site_map(site).svg

    def test_a_host_name_can_not_become_markup(self):
        host = Host('<script>"&', roles=("recording server", "management server"))
        picture = site_map(Site('"><img src=x onerror=1>', (host,)))
        assert '<script>"&' in words(picture)
        assert "<script>" not in picture.svg
        assert "<img src=x" not in picture._repr_mimebundle_()["text/html"]

    @pytest.mark.parametrize("severity", ["bad", "dubious"])
    def test_a_finding_colours_its_server_and_nothing_without_it(self, site, severity):
        found = Finding("expired", "vms-rec-01", "", severity)
        pictures = site_map(site), site_map(site, findings=[found])
        plain, coloured = (picture.svg.count(COLOURS[severity]) for picture in pictures)
        assert coloured > plain

    def test_a_forgotten_client_stands_apart_from_its_kind(self, site):
        found = Finding("untrusted-root", "vms-pc-02", "")
        assert "vms-pc-01, vms-pc-02" in words(site_map(site))
        assert {"vms-pc-01", "vms-pc-02"} <= set(words(site_map(site, findings=[found])))

    def test_a_site_of_500_is_drawn_by_kind_and_stays_small(self, site):
        picture = site_map(many(500))
        assert len(picture.svg) < 3 * len(site_map(site).svg)
        assert "479 computers" in words(picture)

    def test_a_place_shows_only_its_own_connections(self, site):
        ports = {word for word in words(site_map(site, places=["3"])) if word.isdigit()}
        assert ports == {"8082"}

    def test_one_broken_link_colours_one_cell(self):
        found = Finding("expired", "pc-100 → rec-7", "")
        picture = site_map(many(500), findings=[found])
        assert reds(picture) == reds(site_map(many(500))) + 1
        assert {"pc-100", "rec-7"} <= set(words(picture))

    def test_many_broken_links_are_counted_not_drawn_one_by_one(self):
        found = [Finding("expired", f"pc-{n} → rec-{n % 5}", "") for n in range(40)]
        picture = site_map(many(500), findings=found)
        assert "40 of 9580" in words(picture)
        assert len(picture.svg) < 2 * len(site_map(many(500)).svg)

    def test_a_server_that_all_refuse_stands_apart_and_needs_no_count(self):
        found = [Finding("expired", f"pc-{n} → rec-3", "") for n in range(479)]
        shown = words(site_map(many(500), findings=found))
        assert "rec-3" in shown
        assert not any(" of " in word for word in shown)

    def test_a_server_that_leaves_a_port_off_is_not_drawn_with_those_that_serve_it(self):
        site = many(60)
        plain = replace(site["rec-0"], left_off=frozenset({"streaming media"}))
        hosts = tuple(plain if host.name == "rec-0" else host for host in site)
        assert "rec-0" in words(site_map(Site("big", hosts)))

    def test_the_order_of_roles_makes_no_other_kind(self):
        roles = ("smart client", "management client")
        pair = Host("pc-a", roles=roles), Host("pc-b", roles=roles[::-1])
        shown = words(site_map(Site("x", (Host("ms", roles=("management server",)), *pair))))
        assert "pc-a, pc-b" in shown

    @pytest.mark.parametrize("name", ["W" * 63, "漢" * 30, "rec-in-building-a-of-lyon-0123456789"])
    def test_no_name_is_wider_than_its_place(self, name):
        server = Host(f"{name}-1", roles=("management server", "recording server"))
        client = Host(f"{name}-2", roles=("smart client",))
        picture = site_map(Site("x", (server, client)))
        heads = [(x, x + width) for x, _, width, height in boxes(picture) if height == 84]
        named = [e for e in texts(picture) if e.get("font-weight") and e.text[0] == name[0]]
        assert len(named) == 3  # one column, two rows
        for element in named:
            left, right = reach(element)
            places = heads if element.get("text-anchor") == "middle" else [(40, 250)]
            assert any(start <= left and right <= end for start, end in places)

    def test_the_legend_ends_before_the_picture(self):
        picture = site_map(Site("x", (Host("ms", roles=("management server",)),)))
        width = float(ElementTree.fromstring(picture.svg).get("width", 0))
        assert all(reach(element)[1] <= width for element in texts(picture))

    def test_names_that_differ_at_their_end_still_differ_when_cut(self):
        servers = [Host(f"recorder-in-building-a-{n}", roles=("recording server",)) for n in (1, 2)]
        site = Site("x", (Host("ms", roles=("management server",)), *servers))
        assert len([w for w in set(words(site_map(site))) if "…" in w and w[-1] in "12"]) >= 2

    def test_ports_of_one_computer_with_every_role_do_not_overlap(self):
        roles = ("management server", "event server", "log server", "recording server",
                 "mobile server")  # fmt: skip
        site = Site("x", (Host("vms", roles=roles), Host("pc", roles=("smart client",))))
        pills = [box for box in boxes(site_map(site)) if box[3] == 18]
        assert len(pills) == len({(c.client, c.port) for c in site.connections})
        assert not any(overlap(a, b) for a, b in combinations(pills, 2))
        for port in (element for element in texts(site_map(site)) if element.text.isdigit()):
            left, right = reach(port)
            assert any(x <= left and right <= x + width for x, _, width, _ in pills)

    def test_white_words_can_be_read_on_every_colour(self):
        colours = (*group_colours().values(), *_SPARE, COLOURS["bad"], COLOURS["dubious"])
        assert min(map(contrast_with_white, colours)) >= 4.5


class TestGroupOfARelease:
    """A release brings a group that the table did not have: a row, and no line of code."""

    @pytest.fixture
    def newer(self, tmp_path, monkeypatch):
        tables = shutil.copytree(DATA, tmp_path / "data")
        group = {"group": "wall", "name": "Video wall certificate", "place": "2", "names_it": "yes"}
        group |= {"switched_on": "recording server", "since": "2030 R1", "tag": "G"}
        link = {"client": "smart client", "server": "recording server", "port": "7799"}
        link |= {"group": "wall", "place": "2", "plain_tag": "G", "tag": "G"}
        for name, row in {"certificate-groups": group, "connections": link}.items():
            path = tables / f"xprotect/{name}.csv"
            columns = next(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            with path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, columns).writerow(row)
        monkeypatch.setattr("vmscert.facts.DATA", tables)
        facts.cache_clear()
        yield read_site(tables / "sites" / "example.csv")
        facts.cache_clear()

    def test_it_is_drawn_with_a_colour_of_its_own_and_stands_in_the_legend(self, newer):
        picture, colours = site_map(newer), group_colours()
        assert {"7799", "wall"} <= set(words(picture))
        assert list(colours.values()).count(colours["wall"]) == 1
        assert f'fill="{colours["wall"]}"' in picture.svg
        width = float(ElementTree.fromstring(picture.svg).get("width", 0))
        assert all(reach(element)[1] <= width for element in texts(picture))

    def test_its_clients_are_counted_among_those_who_must_trust(self, newer):
        shown = encryption_switches(newer)
        for switch, on in zip(shown.form.children, (False, True, False), strict=True):
            switch.value = on
        assert "vms-pc-01" in shown.shown()["text/plain"]
        assert "7799" in words(site_map(newer, places=["2"]))


class TestTimeline:
    def rows(self, days):
        ca = create_authority("a", AT, QUICK)
        server = ca.issue("rec-01", at=AT, profile=replace(SERVER, days=days), key=ca.key)
        return due([("CA", ca.certificate), ("rec-01", server.certificate)], AT)

    def test_it_says_day_and_status_in_words(self):
        shown = words(timeline(self.rows(20), AT))
        assert "2026-12-12  ok" in shown
        assert "seen on 2026-11-23" in shown

    @pytest.mark.parametrize("days", [1, 30, 397, 3000])
    def test_months_never_stand_on_each_other(self, days):
        months = [word for word in words(timeline(self.rows(days), AT)) if len(word) == 7]
        assert len(months) <= 10

    def test_an_ended_certificate_is_drawn_before_the_day(self):
        ended = due([("rec-01", create_authority("a", AT, QUICK).certificate)],
                    AT + timedelta(days=4000))  # fmt: skip
        assert any("expired" in word for word in words(timeline(ended, AT + timedelta(days=4000))))

    def test_the_ca_stands_on_top_then_what_ends_soonest(self):
        rows = [bar("late", 400), bar("CA", 300), bar("soon", 5)]
        shown = [word for word in words(timeline(rows, AT)) if word in ("late", "CA", "soon")]
        assert shown == ["CA", "soon", "late"]

    def test_of_many_the_soonest_are_drawn_and_the_rest_is_counted(self):
        picture = timeline([bar("CA", 3650), *(bar(f"rec-{n}", 100 + n) for n in range(500))], AT)
        assert {"rec-0", "and 461 more"} <= set(words(picture))
        assert "rec-499" not in words(picture)
        assert len(picture.alt) < 2000

    def test_no_certificate_is_drawn_too(self):
        assert timeline([], AT).alt == "No certificate."


class TestTable:
    def test_long_words_are_shown_whole_in_text_and_html(self):
        shown = table([{"names": ("x" * 80, "y" * 80)}])
        for text in shown.values():
            assert "x" * 80 in text
            assert "y" * 80 in text

    def test_a_key_identifier_in_a_long_text_may_break_and_alone_may_not(self):
        identifier = "0123456789ABCDEF" * 2 + "01234567"
        shown = table([{"text": f"was signed with the key {identifier}", "key": identifier}])
        text, alone = re.findall(r"<td style=[^>]*>", shown["text/html"])
        assert "overflow-wrap: anywhere" in text
        assert "white-space: nowrap" in alone

    def test_markup_in_a_cell_is_escaped(self):
        assert "<script>" not in table([{"a": "<script>"}])["text/html"]

    def test_a_cell_that_a_row_does_not_have_is_empty(self):
        assert "NaN" not in repr(table([{"a": "x", "b": 1}, {"a": None}]))

    @pytest.mark.parametrize("of", [lambda host: host, asdict])
    def test_columns_rename_choose_order_and_compute(self, of):
        hosts = [of(Host("rec-1", owner="Ann"))]
        shown = table(hosts, {"who": "owner", "computer": "name", "always": lambda _: True})
        assert repr(shown).split() == ["who", "computer", "always", "Ann", "rec-1", "yes"]

    def test_a_mark_replaces_a_cell_that_says_just_that(self):
        shown = table([{"a": "done", "b": "done so far"}], marks={"done": "<b>✓</b>"})
        assert "><b>✓</b></td>" in shown["text/html"]
        assert ">done so far</td>" in shown["text/html"]
        assert "<b>" not in repr(shown)

    def test_a_set_is_written_in_one_order(self):
        groups = frozenset({"streaming media", "event server", "server"})
        assert "event server, server, streaming media" in repr(table([{"groups": groups}]))

    def test_a_table_leaves_the_readers_own_pandas_alone(self):
        with pd.option_context("display.max_colwidth", 33):
            repr(table([{"a": "x"}]))
            assert pd.get_option("display.max_colwidth") == 33

    def test_nothing_says_so(self):
        assert findings_table([])["text/html"] == "<p>No finding.</p>"

    def test_a_finding_comes_with_what_to_do(self):
        shown = repr(findings_table([Finding("key-missing", "vms-rec-01", "no key")]))
        assert "14-import-server-certificates" in shown
        assert Finding("key-missing", "", "").rule.meaning in shown


class TestRequire:
    def test_checks_that_hold_are_shown(self):
        assert "the CA exists" in repr(require([Check("the CA exists", True)]))

    def test_a_failed_check_stops_with_what_and_what_to_do(self):
        with pytest.raises(Stop, match=r"^not yet: the CA exists\. run 11 first$"):
            require(
                [Check("the table is read", True), Check("the CA exists", False, "run 11 first")]
            )

    def test_many_failed_checks_still_stop_with_one_line(self):
        checks = [Check(f"rec-{n} is reached", False, "read\nthe log") for n in range(60)]
        with pytest.raises(Stop) as stopped:
            require(checks)
        assert "\n" not in str(stopped.value)
        assert str(stopped.value).endswith("and 57 more, in the table above")

    def test_a_notebook_stops_with_one_line(self):
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(
                    "from vmscert.findings import Check\nfrom vmscert.notebook import require\n"
                    "require([Check('a', False, 'do b')])"
                )
            ]
        )
        with pytest.raises(CellExecutionError):
            NotebookClient(notebook, timeout=60).execute()
        error = notebook.cells[0].outputs[-1]
        assert (error.ename, error.traceback) == ("Stop", ["Stop: not yet: a. do b"])


class TestForms:
    def test_the_form_says_the_same_as_the_parameters(self):
        choice = choose_site("data/sites/example.csv", "D:/vault/lyon")
        assert (choice.site, choice.folder) == ("data/sites/example.csv", "D:/vault/lyon")

    def test_a_table_elsewhere_is_kept_and_a_choice_is_read_back(self):
        choice = choose_site("D:/tables/lyon.csv")
        assert (choice.site, choice.folder) == ("D:/tables/lyon.csv", "")
        choice.form.children[0].value = "data/sites/example.csv"
        assert choice.site == "data/sites/example.csv"

    def test_two_tables_of_the_same_name_can_be_told_apart(self):
        labels = [label for label, _ in choose_site("D/example.csv").form.children[0].options]
        assert len(set(labels)) == len(labels)

    def test_a_switch_changes_the_map_and_who_must_trust(self, site):
        chosen = encryption_switches(site)
        before = chosen.shown()
        assert f"of {len(site)} computers" in before["text/plain"]
        chosen.form.children[2].value = False
        after = chosen.shown()
        assert all(after[kind] != before[kind] for kind in ("text/html", "text/plain"))
        for switch in chosen.form.children:
            switch.value = False
        assert "Nothing is encrypted" in chosen.shown()["text/plain"]

    def test_an_exported_page_says_what_the_forms_say_now(self):
        cells = [
            "from vmscert import read_site",
            "from vmscert.notebook import choose_site, encryption_switches",
            "choice = choose_site('data/sites/example.csv'); choice",
            "from vmscert.facts import DATA, facts\n"
            "switches = encryption_switches(read_site(DATA / 'sites/example.csv')); switches",
            "choice.form.children[1].value = 'D:/' + 'vault'\n"
            "for switch in switches.form.children: switch.value = False",
        ]
        notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
        NotebookClient(notebook, timeout=60).execute()
        shown = HTMLExporter().from_notebook_node(notebook)[0]
        assert "records in: D:/vault" in shown
        assert "Nothing is encrypted" in shown


def test_the_whole_answer_of_a_look_is_kept_in_a_file_and_the_next_one_in_another(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("VMSCERT_RECORDS", str(tmp_path))
    file, at = tmp_path / "note.txt", datetime(2026, 12, 1, tzinfo=UTC)
    file.write_text("nothing of ours")
    form = look_form(at, file=str(file))
    kept = form.keep(at)
    assert "Nothing is kept yet" in kept.shown()["text/plain"]
    (write,) = kept.acts.values()
    first = kept.after(write)["text/plain"]
    assert kept.after(write)["text/plain"] == first  # the same answer once
    (path,) = tmp_path.rglob("*.json")
    assert path.name in first
    told = json.loads(path.read_text("utf-8"))
    assert (told["verdict"], told["trusted"]) == ("not-judged", False)
    (look_again,) = form.acts.values()
    look_again()  # as pressing Look does
    file.write_bytes(create_authority("Lyon", at, QUICK).certificate.public_bytes(Encoding.PEM))
    kept.after(write)
    assert len(list(tmp_path.rglob("*.json"))) == 2
