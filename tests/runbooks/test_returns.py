"""What people bring back is kept if a computer of the site has it to say, and told if not."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import lyon
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AuthorityInformationAccessOID
from lyon import take_back

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.changes.errands import hand_over
from vmscert.notebook.board import board_form
from vmscert.practice.faults import remade
from vmscert.runbooks.certificates import sign_requests
from vmscert.runbooks.returns import take_dropped, take_each
from vmscert.site.site import THIRD_PARTY, Site
from vmscert.windows.stores import Stores

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture
def job(tmp_path):
    return lyon.open_lyon(tmp_path / "records", number="12", issued=False)


@pytest.fixture
def waiting(job):
    """A site whose mobile server waits for the answer of another CA."""
    take_back(job, "mob.req", lyon.csr_of(lyon.MOB))
    return job


def kept(job):
    """What was kept, without the ledger."""
    found = lyon.tree(job.records.folder)
    return {name for name in found if name.startswith(("inventory", "requests", "servers"))}


class TestInventory:
    def test_is_kept_and_told_with_its_time(self, job):
        told = take_back(job, "pc-1.json", lyon.inventory_of(job, "pc-1"))
        assert told == "pc-1: inventory of 2026-11-23 22:00 UTC"
        assert set(job.records.inventories()) == {"pc-1"}
        entry = job.records.ledger.entries()[-1]
        assert (entry.action, entry.host, entry.note) == ("brought back", "pc-1", "pc-1.json")

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_is_read_as_windows_writes_it(self, job, encoding):
        data = lyon.inventory_of(job, "pc-1").decode().encode(encoding)
        assert take_back(job, "pc-1.json", data).startswith("pc-1: inventory")

    def test_that_is_older_is_not_kept(self, job):
        newer = lyon.inventory_of(job, "pc-1", at=lyon.AT + lyon.DAY, windows="Windows 11")
        take_back(job, "pc-1.json", newer)
        told = take_back(job, "pc-1.json", lyon.inventory_of(job, "pc-1"))
        assert told == "pc-1: a newer inventory of 2026-11-24 22:00 UTC is there already"
        assert job.records.inventories()["pc-1"].windows == "Windows 11"

    def test_from_the_future_is_refused_before_it_shuts_out_all_later_ones(self, job):
        ahead = lyon.inventory_of(job, "pc-1", at=lyon.AT + 400 * lyon.DAY)
        with pytest.raises(ValueError, match="still to come: set the clock of pc-1"):
            take_back(job, "pc-1.json", ahead)
        assert job.records.inventories() == {}

    def test_that_is_newer_replaces_the_one_before(self, job):
        take_back(job, "a.json", lyon.inventory_of(job, "pc-1"))
        take_back(job, "b.json", lyon.inventory_of(job, "pc-1", at=lyon.AT + lyon.DAY))
        assert job.records.inventories()["pc-1"].at == lyon.AT + lyon.DAY

    def test_brings_the_request_along(self, job):
        request = lyon.csr_of(lyon.REC).decode()
        take_back(job, "rec-1.json", lyon.inventory_of(job, "rec-1", request=request))
        assert job.state().requests.get("rec-1") is not None


def odd(job, **parts):
    return json.dumps(json.loads(lyon.inventory_of(job, "pc-1")) | parts).encode()


WRONG = {
    "of an unknown computer": (
        lambda job: lyon.inventory_of(job, "pc-1", host="pc-9"),
        "x.json is of pc-9, which is not in the table of lyon",
    ),
    "of a path": (
        lambda job: lyon.inventory_of(job, "pc-1", host="../../pc-1"),
        "x.json is of ../../pc-1, which is not in the table of lyon",
    ),
    "broken": (lambda job: lyon.inventory_of(job, "pc-1")[:-9], "x.json: is not JSON. Run inv"),
    "another": (lambda _: b'{"a": 1}', "x.json: is not a complete inventory: 'vmscert_inventory'"),
    "of a later version": (
        lambda job: odd(job, vmscert_inventory=3),
        "x.json: is an inventory of version 3, not 2. Run inventory.ps1 there again",
    ),
    "with a broken request": (
        lambda job: odd(job, request="-----BEGIN NEW CERTIFICATE REQUEST-----"),
        "The request of pc-1 can't be read: run request.ps1 there again",
    ),
    "empty": (lambda _: b"", "x.json is empty: bring the .json file that the script wrote"),
    "a PDF": (lambda _: b"%PDF-1.7\n%\xe2\xe3\n", "x.json is something else: bring the .json file"),
    "zeros": (lambda _: bytes(99), "x.json is something else: bring the .json file"),
    "a request of a computer with a PFX": (
        lambda _: lyon.csr_of(lyon.MS),
        "x.json asks for ms.lyon.local, ms: no server of the table that makes its own key has",
    ),
    "an answer that nobody asked for": (
        lambda job: lyon.pem(*lyon.answer_to(job)),
        "x.json fits no request that waits for an answer: is it another server's?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_no_computer_has_to_say_is_told_in_one_sentence_and_not_kept(job, name):
    make, why = WRONG[name]
    with pytest.raises(ValueError) as refused:
        take_back(job, "x.json", make(job))
    assert str(refused.value).startswith(why)
    assert "\n" not in str(refused.value)
    assert kept(job) == set()
    assert job.records.ledger.entries()[-1].action == "create CA"


class TestRequest:
    def test_is_kept_for_its_server(self, job):
        told = take_back(job, "any name.txt", lyon.csr_of(lyon.REC))
        assert told == "rec-1: a request for rec-1.lyon.local, rec-1, 10.0.0.2"
        assert kept(job) == {"requests/rec-1.req"}

    def test_in_der_is_kept_too(self, job):
        der = x509.load_pem_x509_csr(lyon.csr_of(lyon.REC)).public_bytes(Encoding.DER)
        assert take_back(job, "rec-1.req", der).startswith("rec-1: a request")

    def test_of_a_node_of_a_cluster_is_its_own_though_it_names_the_others(self, tmp_path):
        node = replace(lyon.REC, addresses=(), cluster=lyon.CLUSTER)
        site = Site("lyon", (lyon.MS, node, replace(node, name="rec-2"), lyon.PC))
        job = lyon.open_lyon(tmp_path / "records", "12", site, issued=False)
        for name in ("rec-2", "rec-1"):
            assert take_back(job, "x.req", lyon.csr_of(site[name])).startswith(f"{name}: a req")
        assert len(sign_requests(job)) == 2
        keys = {name: one.public_key() for name, one in job.state().current.items()}
        assert keys == {name: lyon.key(name).public_key() for name in ("rec-1", "rec-2")}


SHAPES = {
    "PEM": lambda chain: lyon.pem(*chain),
    "PEM, root first": lambda chain: lyon.pem(*chain[::-1]),
    "P7B": lambda chain: pkcs7.serialize_certificates(list(chain), Encoding.DER),
    "P7B in PEM": lambda chain: pkcs7.serialize_certificates(list(chain[::-1]), Encoding.PEM),
}


def at_place(url):
    """The extension in which a certificate says where that of its issuer is."""
    place = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)]
    )


def openssl(*command):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not on the PATH")
    subprocess.run(["openssl", *command], check=True, capture_output=True)


def root_key():
    return lyon.other_ca()[0].key


def archive(files):
    """A ZIP archive with these names as they are."""
    held = BytesIO()
    with ZipFile(held, "w", ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return held.getvalue()


def pfx(_):
    return Issued(lyon.site_ca().certificate, lyon.key("ca")).pfx("secret", "AES-256")


ODD_ANSWERS = {
    "a PFX": (pfx, "mob.x is a PFX .*a private key has no place in an answer"),
    "CAs only": (lambda chain: lyon.pem(*chain[1:]), "CAs only: bring the one that was issued to"),
    "a bomb": (lambda _: archive({"a": bytes(17 << 20)}), "unpacked, it is larger than 16 MB"),
    "cut off": (lambda chain: archive({"a.cer": lyon.pem(*chain)})[:-9], "damaged: copy it again"),
    "archives only": (
        lambda chain: archive({"a.zip": archive({"a.cer": lyon.pem(*chain)})}),
        "a.zip is a ZIP archive: it is an archive within an archive",
    ),
    "many files": (lambda _: archive(dict.fromkeys(map(str, range(501)), b"")), "501 files, more"),
}  # fmt: skip


class TestAnswer:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_is_taken_in_any_wrapping_and_order(self, waiting, shape):
        chain = lyon.answer_to(waiting)
        told = take_back(waiting, "answer.p7b", SHAPES[shape](chain))
        assert told.startswith("mob: its certificate until 20")
        assert waiting.state().current["mob"] == chain[0]
        assert waiting.state().issuers["mob"] == chain[1:]
        assert waiting.state().requests.get("mob") is None

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_is_taken_from_several_files_that_come_together(self, waiting, order):
        chain = lyon.answer_to(waiting)
        files = {f"{n}.cer": chain[n].public_bytes(Encoding.DER) for n in order}
        first, *others = told_by_board(waiting, files)["text/plain"].splitlines()[:3]
        assert first.startswith("mob: its certificate until")
        assert others == [f"mob: what {n}.cer holds is there already" for n in order[1:]]
        assert waiting.state().issuers["mob"] == chain[1:]

    @pytest.mark.parametrize("sent", [slice(0, 1), slice(0, 2)], ids=["all CAs", "the root"])
    def test_that_lacks_cas_says_which_and_where_its_certificate_says_they_are(self, waiting, sent):
        leaf, between, root = lyon.answer_to(waiting, having=at_place("http://pki.example.com/1"))
        between = remade(between, root_key(), having=at_place("http://pki.example.com/2"))
        with pytest.raises(ValueError, match="lacks the certificate of ") as refused:
            take_back(waiting, "mob.cer", lyon.pem(*(leaf, between)[sent]))
        assert f"it is at http://pki.example.com/{sent.stop}, as '" in str(refused.value)
        assert "mob" not in waiting.state().current
        assert waiting.state().requests.get("mob") is not None
        stores = Stores("web-1", lyon.AT, root=(root,), intermediate=(between,))
        waiting.records.save_inventory(stores)  # a computer of the site has them: no need to ask
        assert take_back(waiting, "mob.cer", lyon.pem(leaf)).startswith("mob: its certificate")
        assert waiting.state().issuers["mob"] == (between, root)

    def test_is_taken_as_the_openssl_command_makes_it(self, waiting, tmp_path):
        asked, answer = waiting.records.folder / "requests" / "mob.req", tmp_path / "mob.pem"
        root, key = tmp_path / "root.pem", tmp_path / "root.key"
        new = "req -x509 -newkey rsa:2048 -nodes -days 3000 -subj /CN=House"
        openssl(*new.split(), "-keyout", key, "-out", root)
        (tmp_path / "ext").write_text("subjectAltName=DNS:video.example.com")
        sign = ("x509", "-req", "-in", asked, "-CA", root, "-CAkey", key, "-days", "90")
        openssl(*sign, "-CAcreateserial", "-extfile", tmp_path / "ext", "-out", answer)
        openssl("x509", "-in", answer, "-text", "-out", tmp_path / "told.pem")
        job, text = replace(waiting, clock=lambda: datetime.now(UTC)), tmp_path / "told.pem"
        told = take_back(job, "mob.pem", text.read_bytes() + root.read_bytes())
        assert "below 'House'" in told

    def test_in_an_archive_is_taken_and_what_others_add_to_it_is_not(self, waiting):
        leaf, between, root = (one.public_bytes(Encoding.DER) for one in lyon.answer_to(waiting))
        held = {
            "A/": b"",
            "A\\mob.cer": leaf,
            "../../ca.crt": between,
            "A/root.crt": root,
            "__MACOSX/A/._mob.cer": b"\0\5\x16\7",
            "A/.DS_Store": b"Bud1",
            "A/read.txt": b"Hi",
        }
        told = take_back(waiting, "mob.zip", archive(held))
        assert told.startswith("mob: its certificate until 20")
        assert "read.txt" not in told and "_mob" not in told
        assert take_back(waiting, "mob.zip", archive(held)).count("is there already") == 3

    @pytest.mark.parametrize("name", ODD_ANSWERS)
    def test_that_is_none_is_refused_in_a_sentence_that_says_what_is_wanted(self, waiting, name):
        make, why = ODD_ANSWERS[name]
        with pytest.raises(ValueError, match=why) as refused:
            take_back(waiting, "mob.x", make(lyon.answer_to(waiting)))
        assert "\n" not in str(refused.value)
        assert waiting.state().requests.get("mob") is not None

    def test_that_comes_twice_is_there_already(self, waiting):
        data = lyon.pem(*lyon.answer_to(waiting))
        take_back(waiting, "answer.pem", data)
        before = lyon.tree(waiting.records.folder)
        assert take_back(waiting, "answer.pem", data) == (
            "mob: what answer.pem holds is there already"
        )
        assert lyon.tree(waiting.records.folder) == before

    def test_for_another_key_fits_no_request(self, waiting):
        answer = lyon.pem(*lyon.answer_to(waiting, word="another key"))
        with pytest.raises(ValueError, match=r"fits no request .* since 2026-11-23: have its CA"):
            take_back(waiting, "mob.pem", answer)

    def test_of_a_second_request_follows_the_first(self, waiting):
        take_back(waiting, "1.pem", lyon.pem(*lyon.answer_to(waiting)))
        first = waiting.state().current["mob"]
        take_back(waiting, "2.req", lyon.csr_of(lyon.MOB, word="second"))
        take_back(waiting, "2.pem", lyon.pem(*lyon.answer_to(waiting, word="second")))
        assert waiting.state().current["mob"] != first
        assert waiting.state().superseded.get("mob", ()) == (thumbprint(first),)

    def test_goes_to_the_server_whose_key_it_is_for(self, tmp_path):
        other = replace(lyon.REC, enrolment=THIRD_PARTY)
        site = Site("lyon", (lyon.MS, other, lyon.MOB, lyon.PC, lyon.WEB))
        job = lyon.open_lyon(tmp_path / "records", "12", site, issued=False)
        for host in (lyon.MOB, other):
            take_back(job, "x.req", lyon.csr_of(host))
        assert take_back(job, "x", lyon.pem(*lyon.answer_to(job))).startswith("mob: ")
        assert take_back(job, "x", lyon.pem(*lyon.answer_to(job, "rec-1"))).startswith("rec-1: ")


def told_by_board(job, files):
    """What the board shows after these files, name → bytes, came back together."""
    form = board_form(job)
    upload = form.form.children[1].children[1]
    told = {"type": "", "size": 0, "last_modified": job.at}
    upload.value = [told | {"name": name, "content": data} for name, data in files.items()]
    return form.after(form.acts[upload])


class TestDropZone:
    def test_keeps_what_is_good_though_something_beside_it_is_odd(self, job):
        files = {"a.pdf": b"%PDF", "pc-1.json": lyon.inventory_of(job, "pc-1")}
        assert told_by_board(job, files)["text/plain"].splitlines()[:2] == [
            "not kept: a.pdf is something else: bring the .json file that the script wrote",
            "pc-1: inventory of 2026-11-23 22:00 UTC",
        ]

    def test_shows_what_came_as_text_and_the_board(self, job):
        shown = told_by_board(job, {"<img src=x>.pdf": b"%PDF"})
        assert "<img" not in shown["text/html"]
        assert "&lt;img src=x&gt;.pdf is something else" in shown["text/html"]
        assert "rec-1" in shown["text/plain"]

    def test_notes_who_carries_what(self, job):
        hand_over(job, "request")
        form = board_form(job)
        form.shown()
        _, chosen, button = form.form.children[0].children
        chosen.value = ("rec-1",)
        assert form.after(form.acts[button])["text/plain"].startswith("rec-1: carried\n")
        assert job.records.ledger.entries()[-1].action == "carried"


def test_a_wrong_answer_stops_no_right_one_that_comes_with_it(waiting):
    mob = waiting.site["mob"]
    other = replace(mob, name="mob2", aliases=("video2.example.com",))
    job = replace(waiting, site=replace(waiting.site, hosts=(*waiting.site.hosts, other)))
    take_back(job, "mob2.req", lyon.csr_of(other))
    wrong = lyon.pem(*lyon.answer_to(job, names=("elsewhere.example.com",)))
    right = lyon.pem(*lyon.answer_to(job, "mob2"))
    told = take_each(job, [("mob.pem", wrong), ("mob2.pem", right)])
    assert [kept for _, kept in told] == [False, True]
    assert set(job.state().current) == {"mob2"}


class TestDropFolder:
    def drop(self, job, **files):
        job.records.dropped()
        for name, data in files.items():
            (job.records.folder / "drop" / f"{name}.json").write_bytes(data)

    def test_is_emptied_of_what_was_kept_and_keeps_what_is_odd(self, job):
        self.drop(job, a=lyon.inventory_of(job, "pc-1"), b=b"{}")
        told = take_dropped(job)
        assert told[0].startswith("pc-1: inventory")
        assert told[1].startswith("not kept: b.json: ")
        assert [path.name for path in job.records.dropped()] == ["b.json"]
        assert (job.records.folder / "drop" / "taken" / "a.json").exists()

    def test_loses_nothing_when_a_file_of_the_same_name_comes_again(self, job):
        for data in (lyon.inventory_of(job, "pc-1"), lyon.inventory_of(job, "ms")):
            self.drop(job, a=data)
            assert len(take_dropped(job)) == 1
        taken = job.records.folder / "drop" / "taken"
        assert {path.name for path in taken.iterdir()} == {"a.json", "a-2.json"}

    def test_is_taken_in_when_the_board_is_shown_and_named_there(self, job):
        self.drop(job, a=lyon.inventory_of(job, "pc-1"))
        form = board_form(job)
        told = form.shown()["text/plain"]
        assert told.startswith("pc-1: inventory of 2026-11-23 22:00 UTC\n")
        assert job.records.dropped() == []
        returning = form.form.children[1].children[0]
        assert returning.value.count("/drop</code>") == 1
