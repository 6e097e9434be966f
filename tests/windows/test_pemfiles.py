"""Containers get PEM files, whose key is never in clear before it lies where they read it."""

import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import lyon
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lyon import AT
from test_pages import HOSTILE

from vmscert.certificates.authority import QUICK, Issued, create_authority, thumbprint
from vmscert.changes.errands import SETTLED, board, hand_over, loads
from vmscert.changes.job import Job
from vmscert.changes.rehearsal import walk
from vmscert.checks.lacks import (
    MISSING,
    lacking_roots,
    missing_certificates,
    missing_imports,
    missing_retirement,
    unbarred,
)
from vmscert.evidence.drill import restore_drill
from vmscert.facts import facts
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import issue_certificates, renew_certificates
from vmscert.runbooks.compromise import compromise_plan
from vmscert.runbooks.visits import Import, verify_site
from vmscert.site.order import switch_on
from vmscert.site.site import Host, Site
from vmscert.windows.folder import LOOK, made_at, pack
from vmscert.windows.inventory import read_inventory
from vmscert.windows.rollout import unreached
from vmscert.windows.stores import Personal, Stores

NAMES = {row["holds"]: row["file"] for row in facts("xprotect/pem-files")}
ROOTS, LEAF, KEY = NAMES["roots"], NAMES["certificate"], NAMES["key"]
BRIDGE = Host(
    "aib-01", "lyon.local", addresses=("10.0.0.7",), roles=("ai bridge",), owner="Analytics"
)
SITE = Site("lyon", (lyon.MS, BRIDGE, lyon.PC))

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture
def job(tmp_path):
    return lyon.open_lyon(tmp_path / "records", number="14", site=SITE)


@pytest.fixture
def today(tmp_path, now):
    """The same site, made now: OpenSSL's clock can't be set."""
    now = now.replace(microsecond=0)
    records = Records(tmp_path / "today")
    ca = create_authority("Lyon VMS root", now, QUICK, lyon.key("ca"))
    records.save_authority(ca, lyon.CA_PASSWORD, now)
    job = Job("14-import-server-certificates", SITE, records, now, change=lyon.Approved())
    issue_certificates(job, lyon.PFX_PASSWORD)
    return job


def folder_of(job, phase="import"):
    (errand,) = hand_over(job, phase, ["aib-01"])
    return job.records.folder / errand.folder


def load_of(job, **parts):
    """What is carried there now, with some parts changed."""
    (load,) = loads(job.state(), [job.site["aib-01"]])
    return replace(load, **parts)


def standing(job):
    return next(one for one in board(job) if one.computer == "aib-01")


class TestFolder:
    def test_holds_the_files_that_containers_want_under_their_names_and_no_windows_script(
        self, job
    ):
        names = {path.name for path in folder_of(job).iterdir()}
        assert {ROOTS, LEAF, KEY} == {"vms-authority.crt", "server.crt", "server.key"}
        assert names == {ROOTS, LEAF, KEY, LOOK, "README.md", "README.html", "SHA256SUMS"}

    def test_holds_an_encrypted_key_that_fits_the_certificate_and_a_chain_to_the_root(
        self, today, openssl
    ):
        folder = folder_of(today)
        chain = ("-CAfile", folder / ROOTS, "-untrusted", folder / LEAF)
        for name in BRIDGE.names:
            check = ("-verify_ip" if name[0].isdigit() else "-verify_hostname", name)
            told = openssl("verify", "-x509_strict", *chain, *check, folder / LEAF)
            assert told.returncode == 0, told.stderr
        assert "ENCRYPTED PRIVATE" in (folder / KEY).read_text().splitlines()[0]
        inside = ("pkey", "-in", folder / KEY, "-pubout", "-passin", "env:PASSWORD")
        opened = openssl(*inside, password=lyon.PFX_PASSWORD)
        assert opened.stdout == openssl("x509", "-in", folder / LEAF, "-noout", "-pubkey").stdout
        for wrong in ("", "another password"):
            assert openssl(*inside, password=wrong).returncode != 0

    def test_stays_to_the_byte_and_is_made_anew_with_a_new_certificate(self, job):
        first = folder_of(job)
        assert folder_of(replace(job, at=AT + lyon.DAY)) == first
        renew_certificates(job, ["aib-01"], lyon.PFX_PASSWORD)
        second = folder_of(job)
        assert second != first
        (leaf,) = x509.load_pem_x509_certificates((second / LEAF).read_bytes())
        key = load_pem_private_key((second / KEY).read_bytes(), lyon.PFX_PASSWORD.encode())
        assert leaf == job.state().current["aib-01"]
        assert key.public_key() == leaf.public_key()

    def test_says_on_its_page_what_to_type_and_what_nobody_knows(self, job):
        page = (folder_of(job) / "README.md").read_text()
        assert f"`(umask 077; openssl pkey -in {KEY} -out FOLDER/{KEY})`" in page
        assert f"`openssl verify -CAfile {ROOTS} -untrusted {LEAF} {LEAF}`" in page
        assert "at which port they serve" in page
        assert "powershell -" not in page
        assert "aib-01.lyon.local, aib-01, 10.0.0.7" in page

    def test_of_a_computer_whose_key_somebody_else_made_brings_the_rest(self, job):
        load = load_of(job, key=b"")
        files = pack(load)
        assert KEY not in files
        assert "was made by somebody else" in files["README.md"].decode()

    def test_has_all_cas_in_one_file_while_two_are_trusted(self, job):
        both = (lyon.site_ca().certificate, lyon.other_ca()[0].certificate)
        files = pack(load_of(job, roots=both))
        assert tuple(x509.load_pem_x509_certificates(files[ROOTS])) == both
        assert "several CAs from one file" in files["README.md"].decode()

    @pytest.mark.parametrize("name", ["$(id)", "a'b", "a b", "`id`", "a\nb"])
    def test_of_a_name_that_is_none_is_refused(self, job, name):
        load = load_of(job)
        with pytest.raises(ValueError, match="not a host name"):
            pack(replace(load, host=replace(load.host, name=name)))

    @pytest.mark.parametrize("text", HOSTILE)
    def test_takes_owner_and_site_as_text_of_its_page_alone(self, job, text):
        load = load_of(job)
        files = pack(replace(load, site=text, host=replace(load.host, owner=text)))
        assert files[LOOK] == pack(load)[LOOK]
        assert b"<script" not in files["README.html"]

    def test_of_a_windows_computer_that_has_containers_too_has_both(self, tmp_path):
        both = replace(BRIDGE, roles=("event server", "ai bridge"))
        site = replace(SITE, hosts=(lyon.MS, both, lyon.PC))
        job = lyon.open_lyon(tmp_path / "both", number="14", site=site)
        folder = folder_of(job)
        names = {path.name for path in folder.iterdir()}
        assert {ROOTS, LEAF, KEY, "install.ps1", "aib-01.pfx"} < names
        assert LOOK not in names
        assert "## The PEM files" in (folder / "README.md").read_text()
        assert folder_of(replace(job, at=AT + lyon.DAY)) == folder


class TestTable:
    def test_makes_it_a_server_that_nothing_switches_and_nobody_is_known_to_call(self):
        assert BRIDGE in SITE.servers
        assert (BRIDGE.ports, BRIDGE.groups) == ((), ())
        assert not [c for c in SITE.connections if c.server == "aib-01"]
        assert not [step for step in switch_on(SITE) if step.host == "aib-01"]

    def test_asks_for_its_port_and_tells_which_files_go_there(self, job):
        (question,) = [one for one in SITE.questions if one.startswith("aib-01")]
        assert "which port" in question
        rows = {row["server"]: row["file"] for row in lyon.told(Import(job).look())}
        assert rows == {"ms": "ms.pfx", "aib-01": f"{ROOTS}, {LEAF}, {KEY}"}

    def test_says_that_no_policy_of_windows_reaches_it(self):
        (row,) = [one for one in unreached(SITE) if "aib-01" in one["computer"]]
        assert "no store of Windows" in row["why"]

    def test_that_makes_a_server_into_one_with_containers_asks_for_a_new_certificate(self, job):
        changed = lyon.changed(job, "ms", roles=("management server", "ai bridge"))
        assert missing_certificates(changed.state())["ms"].startswith("its key is in a PFX only")


class TestLook:
    """inventory.sh, run by a real shell with a real OpenSSL."""

    @pytest.fixture
    def bridge(self, today, tmp_path, openssl):
        return Bridge(today, folder_of(today), tmp_path / "it's here", openssl)

    def test_says_what_is_missing_step_by_step_and_writes_nothing(self, bridge):
        told = bridge.look(bridge.place / "nowhere")
        assert "is no folder" in told.stderr
        assert f"{ROOTS} is not the one of this folder" in bridge.look().stderr
        bridge.copy(ROOTS, LEAF)
        assert f"{KEY} is missing" in bridge.look().stderr
        bridge.copy(KEY)
        assert "does not open without a password" in bridge.look().stderr
        bridge.open_key(bridge.openssl("genpkey", "-algorithm", "RSA").stdout)
        assert f"{KEY} does not fit {LEAF}" in bridge.look().stderr
        assert not bridge.answer.exists()

    def test_brings_an_inventory_back_and_what_they_serve_is_not_judged(self, bridge):
        job = bridge.job
        assert missing_imports(job.state())["aib-01"] == "its certificate"
        bridge.install()
        told = bridge.look()
        assert told.returncode == 0, told.stderr
        assert "NOT JUDGED" in told.stdout
        lyon.take_back(job, "aib-01.json", bridge.answer.read_bytes())
        assert "aib-01" not in {**missing_imports(job.state()), **lacking_roots(job.state())}
        assert (standing(job).state, standing(job).lacks) == ("not judged", "")
        assert standing(job).state in SETTLED
        assert LOOK in standing(job).next

    def test_holds_no_private_key_and_all_that_an_inventory_has(self, bridge):
        bridge.install()
        bridge.look()
        text = bridge.answer.read_text()
        assert "PRIVATE KEY" not in text
        stores = read_inventory(bridge.answer)
        assert stores.root == (bridge.job.records.ca_certificate,)
        (held,) = stores.personal
        assert held.certificate == bridge.job.state().current["aib-01"]
        assert set(json.loads(text)) >= {"vmscert_inventory", "log", "https"}

    def test_calls_the_port_that_a_person_knows(self, bridge):
        job = bridge.job
        bridge.install()
        with bridge.serving(LEAF) as port:
            told = bridge.look(bridge.place, f"{LOOPBACK}:{port}")
        assert f"{LOOPBACK}:{port} shows {LEAF}." in told.stdout, told.stderr
        lyon.take_back(job, "aib-01.json", bridge.answer.read_bytes())
        assert standing(job).state == "verified"
        label = thumbprint(job.state().current["aib-01"])
        assert job.records.inventories()["aib-01"].https == {f"{LOOPBACK}:{port}": label}

    def test_is_not_content_with_another_certificate_or_none(self, bridge):
        bridge.install()
        with bridge.serving(None) as port:
            told = bridge.look(bridge.place, f"{LOOPBACK}:{port}")
        assert "shows another certificate" in told.stderr
        assert "nothing answers over TLS" in bridge.look(bridge.place, "1").stderr
        assert "is no port" in bridge.look(bridge.place, "$(id)").stderr
        assert not bridge.answer.exists()

    def test_tells_of_a_key_that_everybody_can_read(self, bridge):
        bridge.install()
        assert "LOOK:" not in bridge.look().stdout
        (bridge.place / KEY).chmod(0o644)
        assert "everybody on this computer can read" in bridge.look().stdout

    def test_is_plain_shell_that_says_when_it_was_made(self, bridge):
        script = (bridge.folder / LOOK).read_bytes()
        assert made_at(script) == bridge.job.at
        assert b"\r" not in script
        assert script.isascii()
        with pytest.raises(ValueError, match="make the folder again"):
            made_at(b"#!/bin/sh\n")


class Bridge:
    """A person at the Docker host: the folder that was carried, and where containers read."""

    def __init__(self, job, folder, place, openssl):
        if shutil.which("sh") is None:
            pytest.skip("NOT SHOWN: there is no `sh` on this machine to ask")
        self.job, self.folder, self.place, self.openssl = job, folder, place, openssl
        place.mkdir()
        self.answer = folder / "aib-01.json"

    def look(self, *arguments):
        command = ["sh", self.folder / LOOK, *(arguments or (self.place,))]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def copy(self, *names):
        for name in names:
            shutil.copyfile(self.folder / name, self.place / name)

    def open_key(self, clear):
        (self.place / KEY).write_bytes(clear)
        (self.place / KEY).chmod(0o600)

    def install(self):
        """What the page says: copy two files, open the third."""
        self.copy(ROOTS, LEAF)
        opened = self.openssl("pkey", "-in", self.folder / KEY, "-passin", "env:PASSWORD",
                              password=lyon.PFX_PASSWORD)  # fmt: skip
        self.open_key(opened.stdout)

    @contextmanager
    def serving(self, name):
        """Serve the installed certificate, or another one, on a free port of this computer."""
        if name is None:
            ca = create_authority("Another", self.job.at, QUICK)
            issued = ca.issue("aib-01", at=self.job.at)
        else:
            (leaf,) = x509.load_pem_x509_certificates((self.place / name).read_bytes())
            key = load_pem_private_key((self.place / KEY).read_bytes(), None)
            issued = Issued(leaf, key)
        with on_loopback({443: issued}) as ports:
            yield ports[443]


def test_a_site_with_an_ai_bridge_is_rehearsed_to_its_end(tmp_path, now):
    records = Records(tmp_path / "records")
    records.begin_rehearsal()
    own = create_authority("Lyon rehearsal", now, QUICK, lyon.key("ca"))
    records.save_authority(own, lyon.CA_PASSWORD, now)
    job = Job("15-enable-encryption", SITE, records, now)
    issue_certificates(job)
    for phase in ("trust", "import", "encrypt"):
        assert {one.result for one in walk(job, hand_over(job, phase))} == {"done"}
    assert [missing(job.state()) for missing in MISSING.values()] == [{}] * 5
    assert {one.verdict for one in verify_site(job)} == {"verified"}
    assert {one.client for one in verify_site(job)} >= {"pc-1"}


def test_what_was_stolen_is_barred_in_the_stores_of_windows_and_never_where_files_say_whom_to_trust(
    job,
):
    old = job.records.ca_certificate
    new = create_authority("Lyon VMS root 2027", AT, QUICK, lyon.key("next"))
    job.records.save_next(new, lyon.CA_PASSWORD, AT)
    job.records.promote(AT)
    renew_certificates(job, ["ms", "aib-01"], lyon.PFX_PASSWORD)
    job.records.note("", "bar", old, at=AT, note="stolen")
    for name in ("aib-01", "pc-1"):
        job.records.save_inventory(Stores(name, AT, root=(old, new.certificate)))
    assert unbarred(job.state()) == {"pc-1": (old,)}
    assert missing_retirement(job.state())["aib-01"] == f"still trusted: {thumbprint(old)}"
    folder = folder_of(job, "retire")
    assert x509.load_pem_x509_certificates((folder / ROOTS).read_bytes()) == [new.certificate]


@pytest.mark.parametrize("stolen", ["aib-01", "CA"])
def test_a_stolen_key_means_a_new_certificate_here_too(job, stolen):
    ca, held = lyon.site_ca().certificate, job.state().current["aib-01"]
    stores = {"aib-01": Stores("aib-01", AT, root=(ca,), personal=(Personal(held, True),))}
    kind = "CA" if stolen == "CA" else "server"
    rows = [row for row in facts("compromise") if row["stolen"] == kind]
    steps = zip(rows, compromise_plan(SITE, stores, stolen, ca, AT), strict=True)
    servers = {one.computers for row, one in steps if row["where"] in ("server", "servers")}
    assert servers == {("aib-01",)}


def test_a_drill_opens_its_key_file(job, tmp_path):
    job.records.save_table(b"name;roles\nms;management server\n")
    backup = tmp_path / "backup"
    shutil.copytree(job.records.folder, backup)
    (path,) = lyon.seen(Records(backup)).keys.values()
    path.write_bytes(path.read_bytes()[:-200])
    checks = restore_drill(backup, None, lyon.CA_PASSWORD, AT, pfx_password=lyon.PFX_PASSWORD)
    (told,) = [one.todo for one in checks if "PFX" in one.what]
    assert told.startswith(f"aib-01, {path.name}: The password does not open the key file")


def test_no_key_of_the_records_or_folders_is_in_clear(job):
    folder_of(job)
    for name, (data, _) in lyon.tree(job.records.folder).items():
        assert not re.search(rb"-----BEGIN (RSA )?PRIVATE KEY", data), name
