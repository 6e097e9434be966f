"""What notebooks show: whole words, true pictures, and one line where they stop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from vmscert import QUICK, Finding, Host, Site, create_authority, due, read_site
from vmscert.facts import DATA
from vmscert.picture import BAD, DUBIOUS, site_map, timeline
from vmscert.runbook import Check
from vmscert.show import Stop, choose_site, encryption_switches, findings_table, require, table

AT = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def site():
    return read_site(DATA / "sites" / "example.csv")


def words(picture):
    """Every text of a picture, which must be well-formed."""
    root = ElementTree.fromstring(picture.svg)
    return [element.text for element in root.iter(f"{SVG}text")]


def many(count):
    """A site of one management server, 20 recorders, and otherwise smart clients."""
    servers = [Host("ms", roles=("management server",))]
    servers += [Host(f"rec-{n}", roles=("recording server",)) for n in range(20)]
    clients = [Host(f"pc-{n}", roles=("smart client",)) for n in range(count - 21)]
    return Site("big", (*servers, *clients))


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

    @pytest.mark.parametrize(("severity", "colour"), [("bad", BAD), ("dubious", DUBIOUS)])
    def test_a_finding_colours_its_server_and_nothing_without_it(self, site, severity, colour):
        found = Finding("expired", "vms-rec-01", "", severity)
        assert site_map(site, findings=[found]).svg.count(colour) > site_map(site).svg.count(colour)

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


class TestTimeline:
    def rows(self, days):
        profile = replace(QUICK, days=days)
        ca = create_authority("a", AT, profile).certificate
        return due([("CA", create_authority("a", AT, QUICK).certificate), ("rec-01", ca)], AT)

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


class TestTable:
    def test_long_words_are_shown_whole_in_text_and_html(self):
        shown = table([{"names": ("x" * 80, "y" * 80)}])
        for text in (repr(shown), shown._repr_html_()):
            assert "x" * 80 in text
            assert "y" * 80 in text

    def test_markup_in_a_cell_is_escaped(self):
        assert "<script>" not in table([{"a": "<script>"}])._repr_html_()

    def test_nothing_says_so(self):
        assert findings_table([])._repr_html_() == "<p>No finding.</p>"

    def test_a_finding_comes_with_what_to_do(self):
        shown = repr(findings_table([Finding("key-missing", "vms-rec-01", "no key")]))
        assert "14-import-server-certificates" in shown


class TestRequire:
    def test_checks_that_hold_are_shown(self):
        assert "the CA exists" in repr(require([Check("the CA exists", True)]))

    def test_a_failed_check_stops_with_what_and_what_to_do(self):
        with pytest.raises(Stop, match=r"^not yet: the CA exists\. run 11 first$"):
            require(
                [Check("the table is read", True), Check("the CA exists", False, "run 11 first")]
            )

    def test_a_notebook_stops_with_one_line(self):
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(
                    "from vmscert import Check, require\nrequire([Check('a', False, 'do b')])"
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

    def test_a_switch_changes_the_map_and_who_must_trust(self, site):
        form = encryption_switches(site)
        *switches, shown = form.children
        assert f"of {len(site)} computers" in shown.value
        before = shown.value
        switches[2].value = False
        assert shown.value != before
        for switch in switches:
            switch.value = False
        assert "Nothing is encrypted" in shown.value
