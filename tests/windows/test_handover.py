"""The folder for one computer: what it needs, nothing else, and nothing that a name could start."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import folders
import lyon
import powershell
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key, pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from vmscert.certificates.authority import QUICK, create_authority, new_key
from vmscert.changes.errands import hand_over
from vmscert.facts import facts
from vmscert.runbooks.certificates import renew_certificates
from vmscert.windows.folder import leaflet, made_at, pack
from vmscert.windows.scripts import (
    request_inf,
    script_inputs,
    script_steps,
    steps_for,
    wanted_names,
)

SERVER = folders.loads()["server"]
EVERY = {"install.ps1", "undo.ps1", "inventory.ps1", "README.html", "README.md"}
NEEDS = {
    "server": EVERY | {"ca.cer", "vms-rec-01.pfx"},
    "asking": EVERY | {"ca.cer", "request.ps1", "request.inf"},
    "answered": EVERY | {"ca.cer", "intermediate.cer", "vms-rec-01.cer", "accept.ps1"},
    "client": EVERY | {"ca.cer"},
    "retired": EVERY | {"ca.cer", "old-ca.cer", "barred.cer"},
}
ROWS = {row["step"]: row for row in facts("windows/steps")}
HOSTILE = [
    "x'; Remove-Item C:\\ -Recurse #",
    "$(Remove-Item C:\\)",
    "` | <script>alert(1)</script> | `",
    "[a](javascript:x) ![b](http://c/d) <http://e>",
    "\u2018; exit #",
    "\u202ecod",
    "a\r\n# Heading\r\n\r\n    code",
    "\0",
    "&lt;b&gt; &#60; ~~~ ```",
]
hostile = st.sampled_from(HOSTILE) | st.text(st.sampled_from("'\"`$<>|&#[]()!\\\u2019\n\0é "))


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A real site whose folders are made: for each kind of computer one."""
    with pytest.MonkeyPatch.context() as patch:
        lyon.secrets(patch)
        job = lyon.open_lyon(tmp_path_factory.mktemp("lyon") / "records")
        for phase in ("request", "trust", "import"):
            hand_over(job, phase)
        yield job


class TestFolder:
    @pytest.mark.parametrize("kind", NEEDS)
    def test_holds_what_its_computer_needs_and_nothing_else(self, kind):
        assert set(folders.folders()[kind]) == NEEDS[kind]

    def test_names_several_cas_as_its_page_does(self):
        load = replace(SERVER, roots=SERVER.roots * 2, intermediates=SERVER.roots * 2)
        files = pack(load)
        assert {"ca.cer", "ca-2.cer", "intermediate.cer", "intermediate-2.cer"} < set(files)
        assert "SHA-256 of ca-2.cer |" in files["README.md"].decode()

    def test_is_the_same_for_the_same_load_and_says_when_it_was_made(self):
        files = pack(SERVER)
        assert files == folders.folders()["server"]
        assert made_at(files["install.ps1"]) == folders.MADE

    def test_has_sums_that_sha256sum_checks(self, job):
        folder = job.state().handed_over["ms"]
        program = shutil.which("sha256sum")
        if program is None:
            pytest.skip("NOT SHOWN: there is no `sha256sum` on this machine to ask")
        command = [program, "--check", "--strict", "SHA256SUMS"]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert told.returncode == 0
        named = {line.removesuffix(": OK") for line in told.stdout.splitlines()}
        assert named == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}

    def test_of_a_server_with_a_pfx_is_the_only_place_of_its_key(self, job):
        paths = [*job.records.folder.rglob("*.pfx")]
        assert {path.parts[-3] if "hand-over" in path.parts else path.parts[-2] for path in paths} \
            == {"ms"}  # fmt: skip
        assert {path.name for path in paths if "hand-over" in path.parts} == {"ms.pfx"}

    def test_holds_no_password_in_any_byte(self, job):
        for name, (data, _) in lyon.tree(job.records.folder).items():
            for word in (lyon.PFX_PASSWORD, lyon.CA_PASSWORD):
                assert word.encode() not in data, name
                assert word.encode("utf-16-le") not in data, name
            with pytest.raises((ValueError, TypeError)):
                load_der_private_key(data, None)

    @pytest.mark.parametrize("kind", ["old_roots", "barred"])
    def test_never_brings_a_ca_that_it_takes_away(self, kind):
        with pytest.raises(ValueError, match=r"^vms-rec-01: [0-9A-F]{40} is to be trusted and to"):
            pack(replace(SERVER, **{kind: SERVER.roots}))

    def test_names_several_cas_that_are_to_go_as_its_page_does(self):
        going = folders.loads()["retired"]
        files = pack(replace(going, old_roots=going.old_roots * 2, barred=going.barred * 2))
        assert {"old-ca.cer", "old-ca-2.cer", "barred.cer", "barred-2.cer"} < set(files)
        inputs = script_inputs(files["undo.ps1"])
        assert inputs["OldCaFiles"] == ["old-ca.cer", "old-ca-2.cer"]
        assert inputs["BarredFiles"] == ["barred.cer", "barred-2.cer"]
        assert "SHA-256 of barred-2.cer |" in files["README.md"].decode()

    def test_is_refused_in_one_sentence_that_names_the_computer(self):
        load = replace(SERVER, host=replace(SERVER.host, account="x\u2019"))
        with pytest.raises(ValueError, match=r"^vms-rec-01: '.*' can't go into a script: Power"):
            pack(load)


def public_keys(job):
    """Every public key of what was issued, in .cer and .pfx; once for each certificate."""
    held = {}
    for path in job.records.folder.glob("servers/*/*.cer"):
        held[path.stem] = x509.load_der_x509_certificate(path.read_bytes()).public_key()
    for path in job.records.folder.glob("servers/*/*.pfx"):
        key, _, _ = pkcs12.load_key_and_certificates(path.read_bytes(), lyon.PFX_PASSWORD.encode())
        assert key.public_key() == held[path.stem]
    return [key.public_numbers().n for key in held.values()]


def test_no_two_certificates_share_a_key_not_even_after_renewal(tmp_path, monkeypatch):
    lyon.secrets(monkeypatch)
    monkeypatch.setattr("vmscert.certificates.authority.new_key", new_key)
    site = replace(lyon.SITE, hosts=(lyon.MS, replace(lyon.REC, enrolment="pfx"), lyon.PC))
    job = lyon.open_lyon(tmp_path / "records", site=site)
    renew_certificates(job, ["ms", "rec-1"], lyon.PFX_PASSWORD)
    keys = public_keys(job)
    assert len(keys) == len(set(keys)) == 4


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, data):
        super().__init__()
        self.seen, self.attributes, self.said = set(), set(), []
        self.feed(data.decode())

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}

    def handle_data(self, data):
        self.said.append(data)

    def handle_comment(self, data):
        self.seen.add("comment")


USUAL = Page(folders.folders()["server"]["README.html"])
SCRIPTS = [name for name in folders.folders()["server"] if name.endswith(".ps1")]


def live(markdown):
    """The kinds of markup of a text: what a reader of Markdown would act upon."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown.decode())
    inner = [child for token in tokens for child in token.children or ()]
    return {token.type for token in (*tokens, *inner)}


class TestHostileValues:
    @settings(max_examples=25)
    @given(account=hostile)
    def test_of_an_account_are_a_harmless_literal_or_refused(self, account):
        load = replace(SERVER, host=replace(SERVER.host, account=account, notes=account))
        try:
            files = pack(load)
        except ValueError as error:
            assert re.match("vms-rec-01: .*(quote|invisible)", str(error))
            return
        wanted = [account.strip()] if account else ["S-1-5-20"]
        assert script_inputs(files["install.ps1"])["Accounts"] == wanted
        for name in SCRIPTS:
            assert powershell.code(files[name]) == powershell.code(pack(SERVER)[name])

    @pytest.mark.parametrize("account", [HOSTILE[0], HOSTILE[1], HOSTILE[2]])
    def test_of_an_account_leave_every_script_in_the_house_style(self, account):
        files = pack(replace(SERVER, host=replace(SERVER.host, account=account)))
        for name in SCRIPTS:
            assert list(powershell.offences(files[name])) == [], name

    @settings(max_examples=25)
    @given(owner=hostile, site=hostile)
    def test_of_owner_and_site_are_text_on_the_page(self, owner, site):
        load = replace(SERVER, host=replace(SERVER.host, owner=owner), site=site)
        files = pack(load)
        page = Page(files["README.html"])
        assert page.seen == USUAL.seen
        assert page.attributes == USUAL.attributes
        said = " ".join("".join(page.said).split())
        for text in (owner, site):
            assert " ".join(text.replace("\0", "\ufffd").split()) in said
        assert live(files["README.md"]) == live(folders.folders()["server"]["README.md"])

    @pytest.mark.parametrize("name", HOSTILE[:5])
    def test_of_a_ca_that_goes_reach_no_script_and_no_page(self, name):
        ca = create_authority(name, folders.MADE, QUICK).certificate
        usual = folders.loads()["retired"]
        files = pack(replace(usual, old_roots=(ca,), barred=(ca,)))
        for path, data in files.items():
            assert name.encode() not in data or path.endswith(".cer"), path
        for path in SCRIPTS:
            assert powershell.code(files[path]) == powershell.code(pack(usual)[path])

    def test_of_owner_and_site_reach_no_script(self):
        load = replace(SERVER, host=replace(SERVER.host, owner="canary 1"), site="canary 1")
        files = pack(load)
        assert [name for name, data in files.items() if b"canary 1" in data] == [
            "README.html",
            "README.md",
        ]


class TestRequestInf:
    NAMES = ("rec-1.lyon.local", "rec-1", "10.0.0.2", "2001:db8::1")

    def test_asks_for_all_names_and_no_others_and_gives_them_back(self):
        inf = request_inf(self.NAMES)
        assert wanted_names(inf) == self.NAMES
        lines = [line for line in inf.decode().split("\r\n") if line.startswith("_continue_")]
        assert lines == [
            '_continue_ = "dns=rec-1.lyon.local&"',
            '_continue_ = "dns=rec-1&"',
            '_continue_ = "ipaddress=10.0.0.2&"',
            '_continue_ = "ipaddress=2001:db8::1"',
        ]

    def test_lets_no_key_be_exported_and_keeps_it_with_the_machine(self):
        text = request_inf(self.NAMES).decode()
        assert re.findall("(?i)^Exportable.*$", text, re.M) == ["Exportable = FALSE\r"]
        assert "MachineKeySet = TRUE" in text
        assert "KeyLength = 2048" in text

    @pytest.mark.parametrize(
        "name", ['x"&dns=evil', "a b", "x\r\nExportable = TRUE", "", "%s", "a&b", "1.2.3.4.5"]
    )
    def test_refuses_what_is_no_name(self, name):
        with pytest.raises(ValueError, match=r"not a host name|ends in a number"):
            request_inf(("rec-1", name))

    @pytest.mark.parametrize("names", [(), ("10.0.0.2",)])
    def test_needs_a_host_name(self, names):
        with pytest.raises(ValueError, match="needs a host name"):
            request_inf(names)

    def test_has_the_first_host_name_that_fits_as_its_common_name(self):
        names = (f"{'a' * 60}.lyon.local", "10.0.0.2", "rec-1")
        assert b'Subject = "CN=rec-1"\r\n' in request_inf(names)


class TestSteps:
    @pytest.mark.parametrize("step", ROWS)
    def test_tell_all_that_a_person_wants_to_know(self, step):
        row = ROWS[step]
        wanted = ("title", "expected", "remedy", "undo", "source", "tag", "minutes", "phase")
        assert [name for name in wanted if not row[name]] == []
        assert row["remedy"].endswith(".")

    @pytest.mark.parametrize("path", folders.files(".ps1"))
    def test_of_a_script_are_those_of_its_kind_checks_first_then_in_the_tables_order(self, path):
        kind, name = path.split("/")
        if kind in ("roll-out", "watch") or name == "inventory.ps1":
            return
        stem = name.removesuffix(".ps1")
        load = folders.loads()[kind]
        rows = steps_for(stem, load.kinds | ({"request"} if stem == "request" else set()))
        ordered = sorted(rows, key=lambda row: row["phase"] != "Check")
        wanted = [(row["phase"], row["step"]) for row in ordered]
        assert script_steps(folders.folders()[kind][name]) == wanted
        assert len(wanted) > 3

    @pytest.mark.parametrize("kind", NEEDS)
    def test_of_its_visits_are_all_on_the_page_with_what_they_say_and_how_they_are_undone(
        self, kind
    ):
        files = folders.folders()[kind]
        page = files["README.md"].decode()
        steps = [one for name in ("request.ps1", "install.ps1") if name in files
                 for one in script_steps(files[name])]  # fmt: skip
        deeds = [ROWS[name] for _, name in steps if ROWS[name]["undo"] != "nothing to undo"]
        listed = re.findall(r"^\| `([a-z-]+)` \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
        assert listed == [(r["step"], r["title"], r["expected"], r["undo"]) for r in deeds]
        assert [name for _, name in steps if ROWS[name]["title"] not in page] == []

    def test_of_no_kind_are_none(self):
        assert steps_for("install", set()) == []


class TestPage:
    def test_of_a_client_speaks_of_no_certificate_of_its_own(self):
        text = leaflet(folders.loads()["client"])
        assert "nothing is encrypted here yet" in text
        assert "Second visit" not in text
        assert "password" not in text.replace("the password of an", "")

    def test_of_a_client_whose_ca_was_replaced_says_what_goes_and_when(self):
        text = leaflet(folders.loads()["retired"])
        assert "At the last visit: The computer no longer trusts the CAs" in text
        assert "| Last, when the plan says so |" in text
        assert "A week later" not in text

    def test_of_a_server_that_asks_says_that_its_key_stays(self):
        text = leaflet(folders.loads()["asking"])
        assert "The private key stays here" in text
        assert ".\\request.ps1`" in text
        assert ".pfx" not in text

    def test_of_an_old_windows_says_what_is_done_by_hand(self):
        old = replace(folders.loads()["server"], host=replace(folders.SERVER, windows="Windows 7"))
        assert "import `vms-rec-01.pfx` by hand first, in mmc" in leaflet(old)
        assert "by hand first" not in leaflet(folders.loads()["server"])

    def test_of_an_event_server_asks_a_person_to_look_before_something_goes(self):
        events = replace(folders.SERVER, roles=("event server",))
        page = leaflet(replace(folders.loads()["server"], host=events))
        assert "install.ps1 -Phase Retire -ByHand 'event server'`" in page
        assert "shows the new one for event server" in page

    def test_of_a_computer_with_one_turn_names_none(self):
        load = folders.loads()["server"]
        assert "-Turn" not in leaflet(load)
        page = leaflet(replace(load, switch_on=(("server",), ("streaming media",))))
        assert "-Phase Encrypt -Turn 1`" in page
        assert "-Phase Encrypt -Turn 2`" in page

    def test_shows_the_fingerprint_that_people_compare(self):
        from cryptography.hazmat.primitives.hashes import SHA256

        (root,) = SERVER.roots
        assert root.fingerprint(SHA256()).hex(" ", 2).upper() in leaflet(SERVER)

    def test_reminds_of_what_the_table_does_not_tell(self):
        load = replace(SERVER, host=replace(SERVER.host, windows="", owner=""))
        assert "| Windows | not in the site's table |" in leaflet(load)
