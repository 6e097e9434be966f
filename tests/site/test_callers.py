"""Who calls what, where the table says more: phones, calls of old programs, what lies between."""

import pytest
from site_tables import CLIENT, HEADER, MANAGEMENT, RECORDER, without

from vmscert.checks.live import Verification
from vmscert.facts import facts
from vmscert.runbooks.visits import plan_switching
from vmscert.site.asking import ways
from vmscert.site.grid import SiteError
from vmscert.site.table import read_site

MOBILE = "mob,lyon.local,video.lyon.example,10.0.0.5,mobile server,,,,IT,"
PHONES = "phones,,,,mobile client,,,,Guards,all of them"
SECOND = RECORDER.replace("rec-1", "rec-2").replace("0.2", "0.7")
OLD = "acs,,,,old mip integration,,,,,"


@pytest.fixture
def read(tmp_path):
    """Read a site of these lines; more columns are named by `also`."""

    def read_lines(*lines, also=""):
        there = [role for role in ("mobile server", "old mip integration") if role in str(lines)]
        absent = without("smart client", *there)
        path = tmp_path / "lyon.csv"
        path.write_text("\n".join((HEADER + also, MANAGEMENT, CLIENT, *lines, absent)), "utf-8")
        return read_site(path)

    return read_lines


def told(read, *lines, also=""):
    with pytest.raises(SiteError) as caught:
        read(*lines, also=also)
    return list(caught.value.errors)


@pytest.mark.parametrize("system", ["", "Android", "iOS 18"])
def test_a_phone_calls_and_trusts_but_no_folder_and_no_inventory_goes_to_and_fro(read, system):
    site = read(RECORDER, MOBILE, PHONES.replace(",,,,Guards", f",,{system},,Guards"))
    assert [host.name for host in site.phones] == ["phones"]
    assert "phones" not in {host.name for host in site.clients}
    assert {(one.client, one.server, one.port) for one in site.unseen} == {("phones", "mob", 8082)}
    assert not site.uncalled
    assert any(question.startswith("phones: ") for question in site.questions)


@pytest.mark.parametrize(
    "line", [PHONES.replace("mobile", "web"), "phones,,,,mobile client,,Windows 11,,,"]
)
def test_a_browser_and_what_runs_windows_is_a_computer_like_others(read, line):
    site = read(RECORDER, MOBILE, line)
    assert not site.phones
    assert "phones" in {host.name for host in site.clients}
    assert not site.unseen


def test_a_server_that_no_computer_calls_is_asked_about_and_called_all_the_same(read):
    site = read(RECORDER, MOBILE)
    (link,) = site.uncalled
    assert (link.client, link.server, link.port) == ("any mobile client or web client", "mob", 8082)
    assert site.unseen == site.uncalled
    assert [text for text in site.questions if text.startswith("mob (port 8082)")]
    assert any("no computer of the table calls it" in text for text in site.warnings(site["mob"]))


def test_an_old_program_darkens_only_the_servers_that_it_calls(read):
    left_off = RECORDER.replace("2022,", "2022,streaming media")
    (everywhere,) = [text for text in told(read, left_off, SECOND, OLD) if "HTTPS" in text]
    assert "of rec-2" in everywhere
    assert "write their names into 'calls' of acs" in everywhere
    site = read(left_off, SECOND, f"{OLD},rec-1", also=",calls")
    called = {one.server for one in site.connections if one.client == "acs"}
    assert called == {"ms"}  # and rec-1, without encryption
    assert "streaming media" in site["rec-2"].groups
    (here,) = told(read, RECORDER, SECOND, f"{OLD},rec-2", also=",calls")
    assert "would lose 'streaming media' of rec-2:" in here
    assert "'calls'" not in here


def test_every_computer_logs_in_whatever_it_calls_besides(read):
    smart = read(RECORDER, SECOND, "pc-2,,,,smart client,,,,,,rec-1.lyon.local", also=",calls")
    assert {one.server for one in smart.connections if one.client == "pc-2"} == {"ms", "rec-1"}


def test_what_only_phones_run_is_no_windows_of_other_computers(read):
    (text,) = told(read, RECORDER, "pc-2,,,,smart client,,Android,,,")
    assert "'Android' is not a known Windows release" in text


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        ("rec-9", "unknown computer in 'calls' 'rec-9'. Did you mean 'rec-1'?"),
        ("pc-1", "acs calls nothing on 'pc-1': take that out of 'calls', or look at the roles of"),
    ],
)
def test_a_called_computer_that_is_none_is_told(read, calls, sentence):
    left_off = RECORDER.replace("2022,", "2022,streaming media")
    (text,) = told(read, left_off, f"{OLD},{calls}", also=",calls")
    assert text.startswith(f"lyon.csv, line 5: {sentence}")


def test_what_lies_between_is_asked_about_and_warned_of_in_the_plan(read):
    assert any("/overridelocalmanagementserver" in text for text in read(RECORDER).questions)
    via = "mob,lyon.local,,,mobile server,,,,,,,proxy gw.lyon.example|tunnel"
    site = read(RECORDER, via, also=",calls,via")
    assert site["mob"].via == (("proxy", "gw.lyon.example"), ("tunnel", ""))
    assert len([one for one in site.questions if one.startswith("mob (gw.lyon.example): ")]) == 1
    rows = {row["server"]: row for row in plan_switching(site)}
    assert "through a proxy" in str(rows["mob"]["besides"])
    assert rows["rec-1"]["besides"] == ""
    assert told(read, RECORDER, via.replace("proxy", "poxy"), also=",calls,via") == [
        "lyon.csv, line 5: unknown way 'poxy'. Did you mean 'proxy'?"
    ]


def test_every_way_is_asked_about_and_warned_of():
    assert ways() == ["override", "proxy", "tunnel"]
    for row in facts("xprotect/questions"):
        assert bool(row["via"]) <= bool(row["plan"])


@pytest.mark.parametrize(
    ("client", "verdict", "stops"),
    [
        ("phones", "not-judged", False),
        ("any web client", "not-judged", False),
        ("phones", "name-mismatch", True),  # the server is wrong, whoever calls it
        ("pc-1", "not-judged", True),  # its inventory is still to come
        ("pc-1", "verified", False),
    ],
)
def test_only_what_an_inventory_or_a_server_could_mend_holds_a_runbook_up(
    read, client, verdict, stops
):
    site = read(RECORDER, MOBILE, PHONES)
    made = (client, "mob", "video.lyon.example", 8082, "mobile streaming media", "", "")
    assert Verification(*made, verdict).stops(site) is stops
