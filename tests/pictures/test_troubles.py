"""What troubleshooting notebooks show: pictures, forms, and servers to practise on."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from chains import AT, DAY, NAME, Chain, ca, only, signed
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from IPython.display import DisplayHandle

from vmscert import read_site
from vmscert.certificates.diagnosis import diagnose
from vmscert.facts import DATA
from vmscert.network.looks import judged
from vmscert.network.tls import Handshake
from vmscert.notebook import (
    bars,
    error_box,
    heat_map,
    lifetimes,
    look_form,
    path_picture,
    show_look,
    sieve,
    site_map,
)
from vmscert.practice import look
from vmscert.practice.servers import practice_survey
from vmscert.site.site import Host, Site

NOW = datetime.now(UTC)
GOOD = "ECDHE-RSA-AES256-GCM-SHA384"


def words(picture):
    return "\n".join(ElementTree.fromstring(picture.svg).itertext())


def drawn(chain, *more):
    sent, roots = chain.parts()
    presented = [*sent, *more]
    return path_picture(diagnose(presented, chain.asks, roots, AT), presented)


# The path


def test_a_healthy_path_is_drawn_from_root_to_leaf():
    text = words(drawn(Chain()))
    places = [text.index(part) for part in ("VMS root", "VMS intermediate", NAME)]
    assert places == sorted(places)
    assert "This server is trusted" in text
    assert text.count("nothing wrong here") == 3


def test_each_fault_stands_beside_its_certificate():
    chain = Chain()
    chain = replace(
        chain,
        root=chain.root.having(only("example.org"), critical=True),
        middle=replace(chain.middle, end=AT - DAY),
        leaf=chain.leaf.without(x509.SubjectAlternativeName),
    )
    text = words(drawn(chain))
    order = ["name-constraint", "VMS intermediate", "expired", "no-san"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "chain",
    [Chain(trusts="nobody"), Chain(trusts="namesake"), Chain(sends_middle=False)],
    ids=["untrusted", "recreated", "missing"],
)
def test_what_the_client_lacks_is_a_gap_on_top(chain):
    text = words(drawn(chain))
    assert text.index("no certificate that the client trusts") < text.index(NAME)


def test_what_was_sent_for_nothing_stands_below():
    other = signed(ca("Another CA"), ca("Another CA"))
    assert "sent along, not needed: 'Another CA'" in words(drawn(Chain(), other))


def test_a_server_that_presents_nothing_is_drawn_too():
    assert "no certificate that the client trusts" in words(
        path_picture(diagnose([], NAME, [], AT))
    )


def test_a_hostile_name_is_only_text():
    evil = replace(Chain().leaf, subject="<script>\x1b[31m" + "x" * 50)
    svg = drawn(replace(Chain(), leaf=evil)).svg
    assert "<script>" not in svg
    assert "\x1b" not in svg


# A look at one server or file


def test_without_anything_to_look_at_a_practice_server_is_broken_three_times():
    seen = look(NOW)
    codes = [finding.code for finding in seen.findings]
    assert codes == ["root-recreated", "expired", "name-mismatch"]


def test_a_file_is_looked_at_like_a_server(tmp_path):
    leaf, middle, root = Chain().certificates()
    file, roots = tmp_path / "server.pem", tmp_path / "ca.cer"
    file.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, middle)))
    roots.write_bytes(root.public_bytes(Encoding.DER))
    assert look(AT, file=file, roots=roots).findings == ()
    wrong = look(AT, file=file, roots=roots, name="elsewhere").findings
    assert [finding.code for finding in wrong] == ["name-mismatch"]
    nothing = look(AT, file=b"Dear colleague")
    assert (nothing.diagnosis, "no certificate, key" in nothing.about) == (None, True)


def test_the_form_shows_picture_findings_and_what_to_do():
    shown = look_form(NOW).shown()
    assert "data:image/svg+xml;base64," in shown["text/html"]
    assert "13-trust-the-ca-on-clients" in shown["text/html"]
    assert "root-recreated" in shown["text/plain"]


@pytest.mark.parametrize(
    ("roots", "ended", "verdict"),
    [
        ("all", {}, "trusted"),
        ("all", {"rule": "tls-too-old", "error": "TLS 1.0"}, "refused; tls-too-old"),
        ("all", {"rule": "client-certificate", "error": "wanted"}, "refused; client-certificate"),
        ("nobody's", {}, "not judged"),
    ],
)
def test_the_verdict_above_the_picture_is_that_of_the_whole_look(roots, ended, verdict):
    sent, trusted = Chain().parts()
    seen = Handshake(Chain().asks, not ended, "TLSv1.2", "", tuple(sent), **ended)
    told = judged(replace(seen, cipher=GOOD), None if roots != "all" else trusted, AT)
    assert f" certificates, {verdict}" in show_look(told)["text/plain"]


def test_what_stands_below_the_form_follows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("VMSCERT_RECORDS", str(tmp_path))
    leaf, middle, _root = Chain().certificates()
    paths = []
    for name, some in (("one.pem", [leaf]), ("two.pem", [leaf, middle])):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in some))
    form = look_form(AT, file=str(paths[0]))
    below = form.then(lambda seen: f"{len(seen.presented)} sent")
    told = []
    monkeypatch.setattr(DisplayHandle, "display", lambda _, what, **_more: None)
    monkeypatch.setattr(DisplayHandle, "update", lambda _, what, **_more: told.append(what))
    form._ipython_display_()
    below._ipython_display_()
    assert below.shown()["text/plain"] == "1 sent"
    form.form.children[3].value = str(paths[1])
    assert below.shown()["text/plain"] == "1 sent"  # until somebody presses
    (button,) = form.acts
    button.click()
    assert [one["text/plain"] == "2 sent" for one in told] == [False, True]
    keep = form.keep(AT)
    (write,) = keep.acts.values()
    assert "Nothing is kept yet" in keep.shown()["text/plain"]
    assert "Written to" in keep.after(write)["text/plain"]
    (kept,) = tmp_path.glob("looks/*.json")
    answer = json.loads(kept.read_text("utf-8"))
    assert len(answer["presented"]) == 2
    assert [one["code"] for one in answer["findings"]] == [f.code for f in form.look().findings]


def test_a_mistake_in_the_form_is_one_sentence():
    form = look_form(NOW, server="rec-01:70000")
    assert "is no address" in form.after(lambda: None)["text/plain"]


# The error box and the survey


def test_the_answer_follows_the_box():
    box = error_box("certificate has expired")
    assert "expired" in box.shown()["text/plain"]
    box.form.value = "Hostname mismatch"
    assert "name-mismatch" in box.shown()["text/plain"]


@pytest.fixture(scope="module")
def found():
    return practice_survey(read_site(DATA / "sites" / "example.csv"), NOW)


def test_the_practice_site_has_four_faults_and_real_names(found):
    assert {row["finding"] for row in found.remedies()} == {
        *("expired", "name-mismatch", "expires-soon", "not-encrypted")
    }
    assert {one.target.port for one in found.seen} >= {443, 7563, 9000, 8082}


def test_the_heat_map_counts_endpoints(found):
    text = words(heat_map(found))
    counted = [int(number) for number in re.findall(r"^\d+$", text, re.MULTILINE)]
    assert sum(counted) == sum(row["endpoints"] for row in found.remedies())


def sifted(form):
    """The words of each row that is shown now."""
    return [line.split() for line in form.shown()["text/plain"].splitlines()[2:]]


def test_the_table_can_be_sifted_and_sorted(found):
    form = sieve(found)
    show, having, order = form.form.children
    many = len(found.seen)
    assert form.shown()["text/plain"].startswith(f"{many} of {many} endpoints\n")
    show.value = "expired"
    assert sifted(form) and all("expired" in row for row in sifted(form))
    show.value, having.value, order.value = "all", "vms-ms-01", "port"
    assert {row[0] for row in sifted(form)} == {"vms-ms-01"}
    ports = [int(row[2]) for row in sifted(form)]
    assert ports == sorted(ports) and len(ports) > 1
    having.value = "no such text"
    assert "No endpoint like that." in form.shown()["text/html"]


def test_every_colour_that_a_picture_names_is_one(found):
    site = read_site(DATA / "sites" / "example.csv")
    lives = {"CA": (AT, AT + DAY)}
    pictures = (drawn(Chain()), drawn(Chain(trusts="nobody")), heat_map(found), site_map(site))
    for picture in (*pictures, lifetimes(lives, AT, "", ""), bars({"a": 1}, "", "", "a")):
        colours = re.findall(r'(?:fill|stroke)="([^"]*)"', picture.svg)
        assert [one for one in colours if not re.fullmatch("#[0-9a-f]{6}|none", one)] == []


def test_a_site_with_a_cluster_can_be_practised_on():
    nodes = [
        Host(name, "lyon.local", roles=("management server",), cluster=("vms",))
        for name in ("ms-1", "ms-2")
    ]
    found = practice_survey(Site("lyon", (*nodes, Host("pc-1", roles=("smart client",)))), NOW)
    assert {one.target.host for one in found.seen} == {"ms-1", "ms-2"}
