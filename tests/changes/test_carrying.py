"""What is carried to a computer is made once and stays as it is, until something has changed."""

import plistlib
import re
from dataclasses import replace

import lyon
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lyon import check_issued, plan_certificates, receive, told

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.changes.errands import hand_over, loads, roll_out, rolled_out
from vmscert.changes.job import Job
from vmscert.changes.rehearsal import simulated, walk
from vmscert.checks.lacks import (
    MISSING,
    lacking_roots,
    missing_certificates,
    missing_encryption,
    missing_imports,
    missing_requests,
    missing_retirement,
    missing_trust,
    needed_roots,
    reported_findings,
)
from vmscert.lessons.exercises import lesson_ca
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import issue_certificates, renew_certificates, sign_requests
from vmscert.runbooks.visits import Import, verify_site
from vmscert.site.site import CSR, THIRD_PARTY, Host, Site
from vmscert.windows.folder import pack
from vmscert.windows.scripts import script_inputs, wanted_names
from vmscert.windows.stores import Stores

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture
def job(tmp_path):
    return lyon.open_lyon(tmp_path / "records", number="12")


def ask(job, host="rec-1", *names, word=""):
    """Keep a request as if it had come back."""
    csr = x509.load_pem_x509_csr(lyon.csr_of(job.site[host], *names, word=word))
    job.records.save_request(host, csr)
    return csr


class TestFolders:
    def test_stay_to_the_byte_when_they_are_asked_for_again(self, job):
        hand_over(job, "trust")
        hand_over(job, "import", ["ms"])
        before = lyon.tree(job.records.folder / "hand-over")
        later = replace(job, at=job.at + 9 * lyon.DAY)
        again = [*hand_over(later, "trust"), *hand_over(later, "import", ["ms"])]
        assert lyon.tree(job.records.folder / "hand-over") == before
        assert {one.folder.rpartition("/")[2] for one in again} == {"2026-11-23"}

    @pytest.mark.parametrize(
        "change",
        [
            lambda job: renew_certificates(job, ["ms"], lyon.PFX_PASSWORD) and job,
            lambda job: lyon.changed(job, "ms", account="LYON\\svc-vms"),
            lambda job: lyon.changed(job, "ms", owner="Somebody else"),
        ],
        ids=["certificate", "account", "owner"],
    )
    def test_are_made_anew_where_something_has_changed_and_only_there(self, job, change):
        (old,) = hand_over(job, "import", ["ms"])
        (other,) = hand_over(job, "trust", ["pc-1"])
        before = lyon.tree(job.records.folder / old.folder)
        job = change(job)
        (new,) = hand_over(job, "import", ["ms"])
        assert new.folder == "hand-over/ms/2026-11-23-2"
        assert hand_over(job, "trust", ["pc-1"]) == [other]
        assert lyon.tree(job.records.folder / old.folder) == before

    def test_of_others_are_made_anew_when_the_management_server_moves(self, job):
        hand_over(job, "trust", ["pc-1"])
        (new,) = hand_over(lyon.changed(job, "ms", domain="paris.local"), "trust", ["pc-1"])
        assert new.folder == "hand-over/pc-1/2026-11-23-2"
        data = (job.records.folder / new.folder / "install.ps1").read_bytes()
        assert script_inputs(data)["ClockSource"] == "ms.paris.local"

    @pytest.mark.parametrize("name", ["install.ps1", "ca.cer", "README.md"])
    def test_that_lost_a_file_are_replaced_by_whole_ones(self, job, name):
        (old,) = hand_over(job, "trust", ["pc-1"])
        (job.records.folder / old.folder / name).unlink()
        (new,) = hand_over(job, "trust", ["pc-1"])
        assert (job.records.folder / new.folder / name).exists()
        assert not (job.records.folder / old.folder / name).exists()

    def test_are_for_those_who_need_them_in_the_order_of_encryption(self, job):
        wanted = {"trust": ["pc-1", "web-1"], "request": ["rec-1", "mob"]}
        found = {phase: [one.host for one in hand_over(job, phase)] for phase in wanted}
        assert found == wanted

    def test_that_ask_for_a_request_stay_while_it_is_under_way(self, job):
        first = hand_over(job, "request")
        assert hand_over(replace(job, at=job.at + lyon.DAY), "request") == first

    def test_are_prepared_for_who_is_named_though_nothing_is_left_to_do(self, job):
        lyon.carry_out(job)
        assert hand_over(job, "encrypt") == []
        assert [one.host for one in hand_over(job, "encrypt", ["ms"])] == ["ms"]

    def test_are_for_nobody_whose_certificate_is_still_to_come(self, job):
        """Else a folder without it would take the place of the one that asks for it."""
        assert [one.host for one in hand_over(job, "import", ["mob", "rec-1", "ms"])] == ["ms"]

    def test_for_a_stranger_are_refused(self, job):
        with pytest.raises(ValueError, match="pc-9: not in the table of lyon"):
            hand_over(job, "trust", ["pc-9", "pc-1"])

    def test_that_are_spoilt_stop_nobody(self, job):
        (old,) = hand_over(job, "trust", ["pc-1"])
        script = job.records.folder / old.folder / "install.ps1"
        for data in (script.read_bytes()[:900], b"# inputs: begin\n# inputs: end\n"):
            script.write_bytes(data)
            (new,) = hand_over(job, "trust", ["pc-1"])
            assert new.folder != old.folder

    def test_stay_when_somebody_puts_another_file_beside(self, job):
        (old,) = hand_over(job, "trust", ["pc-1"])
        (job.records.folder / old.folder / "Thumbs.db").write_bytes(b"x")
        assert hand_over(job, "trust", ["pc-1"]) == [old]

    def test_to_ask_with_are_for_those_who_make_their_own_keys(self, job):
        found = hand_over(job, "request", ["ms", "rec-1"])
        assert [(one.host, one.command) for one in found] == [("rec-1", "request.ps1")]

    def test_are_told_in_the_ledger_once(self, job):
        for _ in range(2):
            hand_over(job, "trust", ["pc-1"])
        told = [one for one in job.records.ledger.entries() if one.action == "hand over"]
        assert [(one.host, one.note) for one in told] == [
            ("pc-1", "install.ps1: hand-over/pc-1/2026-11-23")
        ]

    def test_hold_the_older_certificates_as_superseded(self, job):
        old = thumbprint(job.state().current["ms"])
        renew_certificates(job, ["ms"], lyon.PFX_PASSWORD)
        (load,) = loads(job.state(), [job.site["ms"]])
        assert load.superseded == (old,)
        assert "superseded" in load.kinds

    def test_of_a_real_site_are_not_walked(self, job):
        errands = hand_over(job, "trust")
        assert walk(job, errands) == errands
        assert not (job.records.folder / "simulated").exists()

    def test_of_a_value_that_no_script_takes_name_the_computer_and_leave_nothing(self, job):
        with pytest.raises(ValueError, match=r"^ms: .* invisible character U\+202E: remove it"):
            hand_over(lyon.changed(job, "ms", account="\u202ex"), "import", ["ms"])
        assert not (job.records.folder / "hand-over").exists()


class TestRequests:
    def test_are_signed_with_all_names_of_the_table_though_they_ask_for_fewer(self, job):
        csr = ask(job, "rec-1", "rec-1.lyon.local")
        (row,) = sign_requests(job)
        issued = job.state().current["rec-1"]
        assert row["names"] == "rec-1.lyon.local, rec-1, 10.0.0.2"
        assert issued.public_key() == csr.public_key()
        assert "rec-1" not in job.state().pfx

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (lyon.csr_of(lyon.REC, *lyon.REC.names, "evil.com"), "asks for evil.com, which the"),
            (lyon.weak_request(lyon.REC), "RSA key is weak .1024 bits"),
            (lyon.csr_of(lyon.MS), "asks for ms.lyon.local, ms, which"),
        ],
        ids=["a name too many", "a weak key", "another host"],
    )
    def test_that_are_wrong_are_refused_in_their_row_and_their_computer_is_asked_again(
        self, job, data, why
    ):
        (first,) = hand_over(job, "request", ["rec-1"])
        job.records.save_request("rec-1", x509.load_pem_x509_csr(data))
        (row,) = sign_requests(job)
        assert row["until"].startswith("refused: The request")
        assert re.search(why, row["until"])
        assert "\n" not in row["until"]
        assert "rec-1" not in job.state().current
        assert job.state().requests.get("rec-1") is None
        assert (job.records.folder / "requests" / "rec-1.refused.req").exists()
        assert "rec-1" in missing_requests(job.state())
        (again,) = hand_over(job, "request", ["rec-1"])
        assert again.folder != first.folder

    def test_that_were_answered_do_not_take_the_place_of_one_that_waits(self, job):
        old = ask(job)
        sign_requests(job)
        new = ask(job, word="another key")
        job.records.save_request("rec-1", old)
        assert job.state().requests.get("rec-1") == new

    def test_with_a_wrong_signature_are_refused(self, job):
        job.records.save_request("rec-1", x509.load_der_x509_csr(lyon.forged_request(lyon.REC)))
        (row,) = sign_requests(job)
        assert "signature is wrong: it was changed on the way" in row["until"]
        assert "rec-1" not in job.state().current

    def test_whose_answer_a_killed_run_lost_are_answered_again_and_the_loss_is_noted(self, job):
        lost = lyon.site_ca().issue("rec-1", at=lyon.AT, key=lyon.key("lost"))
        job.records.note("12", "sign", lost.certificate, at=lyon.AT, host="rec-1")
        ask(job)
        assert [one.host for one in job.records.abandoned()] == ["rec-1"]
        assert len(sign_requests(job)) == 1
        assert job.records.abandoned() == ()
        assert job.state().current["rec-1"] != lost.certificate

    def test_are_signed_once(self, job):
        ask(job)
        assert len(sign_requests(job)) == 1
        assert sign_requests(job) == []
        ask(job)
        assert job.state().requests.get("rec-1") is None
        assert sign_requests(job) == []

    def test_with_a_new_key_are_new_ones(self, job):
        ask(job)
        sign_requests(job)
        ask(job, word="another key")
        (row,) = sign_requests(job)
        assert row["thumbprint"] == thumbprint(job.state().current["rec-1"])
        assert len(job.state().superseded.get("rec-1", ())) == 1

    def test_of_a_third_partys_server_are_not_signed_here(self, job):
        ask(job, "mob")
        assert sign_requests(job) == []

    def test_cost_no_password_where_none_waits(self, job, monkeypatch):
        monkeypatch.setenv("VMSCERT_CA_PASSWORD", "wrong, but nobody asks")
        assert sign_requests(job) == []

    def test_that_wait_are_no_longer_missing_the_certificate_is(self, job):
        assert set(missing_requests(job.state())) == {"rec-1", "mob"}
        ask(job)
        assert set(missing_requests(job.state())) == {"mob"}
        assert set(missing_certificates(job.state())) == {"rec-1", "mob"}

    def test_in_an_inventory_are_kept_until_they_are_answered(self, job):
        stores = Stores("rec-1", lyon.AT, request=lyon.csr_of(lyon.REC).decode())
        job.records.save_inventory(stores)
        assert job.state().requests.get("rec-1") is not None
        sign_requests(job)
        before = lyon.tree(job.records.folder / "requests")
        job.records.save_inventory(stores)
        assert lyon.tree(job.records.folder / "requests") == before

    def test_as_certreq_writes_them_are_read(self, job):
        text = lyon.csr_of(lyon.REC).decode().replace("CERTIFICATE", "NEW CERTIFICATE")
        job.records.save_inventory(Stores("rec-1", lyon.AT, request=text))
        assert job.state().requests.get("rec-1") is not None

    def test_that_are_broken_are_told_and_their_inventory_is_not_kept(self, job):
        with pytest.raises(ValueError, match=r"request of rec-1 can't be read: run request\.ps1"):
            job.records.save_inventory(Stores("rec-1", lyon.AT, request="-----BEGIN"))
        assert job.records.inventories() == {}


@pytest.fixture
def answered(job):
    """A site whose mobile server has a certificate of another CA."""
    ask(job, "mob")
    receive(job, "mob", lyon.answer_to(job))
    return job


class TestAnotherCa:
    def test_gives_a_certificate_that_nothing_is_missing_of(self, answered):
        assert set(missing_certificates(answered.state())) == {"rec-1"}
        leaf, between, root = lyon.other_ca()[0], *answered.state().issuers["mob"]
        assert (between, root) == (lyon.other_ca()[1], leaf.certificate)
        assert answered.records.ledger.entries()[-1].action == "receive"

    def test_is_trusted_by_the_server_and_its_clients_and_by_nobody_else(self, answered):
        own, other = lyon.site_ca().certificate, lyon.other_ca()[0].certificate
        assert needed_roots(answered.state()) == {
            "ms": (own,),
            "rec-1": (own,),
            "mob": (own, other),
            "pc-1": (own,),
            "web-1": (other,),
        }

    def test_is_rolled_out_to_phones_unless_they_know_it_or_nobody_does_yet(self, job):
        early = rolled_out(job.state())
        assert "phones.md" not in early and "ca-2.cer" not in early
        assert b"is still to come; make this folder again then" in early["README.md"]
        ask(job, "mob")
        root = lyon.other_ca()[0].certificate.public_bytes(Encoding.DER)
        public = x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.2"), None)
        receive(job, "mob", lyon.answer_to(job))
        made = rolled_out(job.state())
        assert made["ca-2.cer"] == root
        (sent,) = plistlib.loads(made["ca.mobileconfig"])["PayloadContent"]
        assert sent["PayloadContent"] == root
        ask(job, "mob", word="2")
        told = x509.CertificatePolicies([public])
        receive(job, "mob", lyon.answer_to(job, word="2", having=told))
        made = rolled_out(job.state())
        assert made["ca-2.cer"] == root and "phones.md" not in made
        assert b"its certificate says that a public CA signed it" in made["README.md"]

    def test_travels_with_the_cas_between(self, answered):
        (load,) = loads(answered.state(), [answered.site["mob"]])
        assert load.intermediates == (lyon.other_ca()[1],)
        assert load.pfx == b""
        assert {"csr", "chain", "server"} < load.kinds
        (errand,) = hand_over(answered, "import", ["mob"])
        names = {path.name for path in (answered.records.folder / errand.folder).iterdir()}
        assert names >= {"mob.cer", "ca.cer", "ca-2.cer", "intermediate.cer", "accept.ps1"}

    def test_leaves_ours_to_be_asked_of_clients_before_anything_is_issued(self, tmp_path):
        early = lyon.open_lyon(tmp_path / "early", issued=False)
        assert needed_roots(early.state())["pc-1"] == (early.records.ca_certificate,)

    def test_is_not_asked_of_clients_before_its_certificate_is_there(self, job):
        assert needed_roots(job.state())["web-1"] == ()
        assert lyon.other_ca()[0].certificate not in needed_roots(job.state())["mob"]

    def test_is_asked_for_the_aliases_alone_by_which_clients_call(self, job):
        """A public CA signs no name that only the site knows; without an alias, all are asked."""
        mob = job.site["mob"]
        assert mob.names == mob.issued_names == ("video.example.com",)
        assert replace(mob, aliases=()).names == ("mob.lyon.local", "mob")
        (load,) = loads(job.state(), [mob], asks=True)
        assert wanted_names(pack(load)["request.inf"]) == ("video.example.com",)

    @pytest.mark.parametrize("name", ["ms", "rec-1"])
    def test_is_missing_where_the_table_changes_its_mind(self, job, name):
        """From a PFX, or from a request that the site's own CA had signed."""
        ask(job)
        sign_requests(job)
        changed = lyon.changed(job, name, enrolment=THIRD_PARTY)
        assert name in missing_certificates(changed.state())

    def test_may_add_names_of_its_own(self, job):
        ask(job, "mob")
        names = (*job.site["mob"].issued_names, "www.video.example.com")
        receive(job, "mob", lyon.answer_to(job, names=names))
        assert "mob" not in missing_certificates(job.state())

    def test_is_asked_again_when_the_table_gets_a_name_that_the_certificate_lacks(self, answered):
        job = lyon.changed(answered, "mob", aliases=("video.example.com", "new.example.com"))
        assert missing_certificates(job.state())["mob"] == "its names in the table have changed"

    def test_is_asked_again_when_its_certificate_ended(self, answered):
        end = answered.state().current["mob"].not_valid_after_utc
        later = replace(answered, at=end + lyon.DAY)
        assert "ended on" in missing_certificates(later.state())["mob"]

    def test_answers_none_of_the_sites_own_servers(self, job):
        ask(job, "rec-1")
        with pytest.raises(ValueError, match="rec-1 has no certificate of another CA: see 'enrol"):
            receive(job, "rec-1", lyon.answer_to(job, "rec-1"))

    @pytest.mark.parametrize(
        ("parts", "why"),
        [
            ({"names": ("mob.lyon.local", "mob")}, r"refused as video\.example\.com: .*issued to"),
            ({"end": lyon.AT - lyon.DAY / 2}, r"refused as video\.example\.com: .*ended on"),
            ({"issuer": lyon.other_ca()[0].certificate.subject}, "lacks .*'Other issuing CA'"),
        ],
        ids=["a missing name", "expired", "a wrong issuer"],
    )
    def test_is_refused_in_a_sentence_where_clients_would_refuse_it(self, job, parts, why):
        ask(job, "mob")
        before = lyon.tree(job.records.folder)
        answer = lyon.answer_to(job, **{k: v for k, v in parts.items() if k != "issuer"})
        if "issuer" in parts:
            answer = (answer[0], answer[2])  # the CA between is missing
        with pytest.raises(ValueError, match=why) as refused:
            receive(job, "mob", answer)
        assert "\n" not in str(refused.value)
        assert lyon.tree(job.records.folder) == before

    def test_has_to_show_its_root(self, job):
        ask(job, "mob")
        with pytest.raises(ValueError, match="mob lacks the certificate of 'Other root'"):
            receive(job, "mob", lyon.answer_to(job)[:2])

    def test_has_its_way_to_the_root_kept_nearest_first_and_nothing_besides(self, job):
        ask(job, "mob")
        leaf, between, root = lyon.answer_to(job)
        stranger = lesson_ca("Stranger").certificate
        receive(job, "mob", [stranger, root, leaf, between])
        assert job.state().issuers["mob"] == (between, root)

    def test_makes_certificates_that_a_check_finds_nothing_bad_in(self, answered):
        ask(answered)
        sign_requests(answered)
        assert [one for one in check_issued(answered) if one.severity == "bad"] == []
        late = replace(answered, at=answered.at + 900 * lyon.DAY)
        bad = [one for one in check_issued(late) if one.code == "expired"]
        assert {one.where for one in bad} == {host.name for host in answered.site.servers}


class TestWay:
    """From nothing to encrypted, by hand: three servers, each with another way to its key."""

    def test_leads_through_what_is_missing(self, answered):
        job = answered
        ask(job)
        # The keys of lyon.py's requests are on no simulated disk: only the PFX can be imported.
        sign_requests(job)
        (ms,) = hand_over(job, "import", ["ms"])
        assert missing_imports(job.state())["ms"] == "its certificate"
        lyon.visit(job, ms)
        assert "ms" not in missing_imports(job.state())
        assert missing_encryption(job.state())["ms"] == "server"
        (ms,) = hand_over(job, "encrypt", ["ms"])
        lyon.visit(job, ms, phase="Encrypt")
        assert "ms" not in missing_encryption(job.state())
        assert {"ms"} == set(job.records.inventories())
        assert {"rec-1", "mob"} == set(missing_encryption(job.state()))

    def test_of_a_client_ends_when_its_inventory_shows_every_root(self, answered):
        (web,) = hand_over(answered, "trust", ["web-1"])
        assert missing_trust(answered.state())["web-1"] == "no inventory came back"
        answered.records.save_inventory(Stores("web-1", lyon.AT))
        assert missing_trust(answered.state())["web-1"] == "the CA certificate"
        lyon.visit(answered, web)
        assert "web-1" not in missing_trust(answered.state())
        assert "web-1" not in lacking_roots(answered.state())

    def test_that_changes_from_a_pfx_to_a_key_of_its_own_asks_for_a_new_certificate(self, job):
        ms = replace(job.site["ms"], enrolment=CSR)
        hosts = tuple(ms if one.name == "ms" else one for one in job.site)
        changed = replace(job, site=replace(job.site, hosts=hosts))
        assert "was made here" in missing_certificates(changed.state())["ms"]
        assert "ms" in missing_requests(changed.state())

    def test_ends_with_the_removal_of_what_was_replaced(self, job):
        (one,) = hand_over(job, "import", ["ms"])
        lyon.visit(job, one)
        renew_certificates(job, ["ms"], lyon.PFX_PASSWORD)
        (one,) = hand_over(job, "import", ["ms"])
        lyon.visit(job, one)
        assert missing_retirement(job.state()) == {}  # the old one may still be in use
        lyon.visit(job, one, phase="Encrypt")
        (old,) = job.state().superseded.get("ms", ())
        assert missing_retirement(job.state()) == {"ms": f"still there: {old}"}
        (one,) = hand_over(job, "retire")
        lyon.visit(job, one, phase="Retire")
        assert missing_retirement(job.state()) == {}

    def test_misses_a_key_and_who_may_read_it(self, job):
        (one,) = hand_over(job, "import", ["ms"])
        lyon.visit(job, one)
        here = simulated(job, job.site["ms"])
        stores = here.stores(job.at)
        (held,) = stores.personal
        for broken, why in [
            (replace(held, has_key=False), "the private key"),
            (replace(held, readers=()), "read access to the key for "),
        ]:
            job.records.save_inventory(replace(stores, personal=(broken,)))
            assert missing_imports(job.state())["ms"].startswith(why)

    def test_is_planned_in_words(self, answered):
        keys = {row["server"]: row["private key"] for row in plan_certificates(answered)}
        assert keys == {
            "ms": "made here, travels in a PFX, AES-256",
            "rec-1": "made there, stays there; its request is signed here",
            "mob": "made there, stays there; another CA signs",
        }
        files = {row["server"]: row["file"] for row in told(Import(answered).look())}
        assert files == {"ms": "ms.pfx", "rec-1": "rec-1.cer", "mob": "mob.cer"}

    def test_is_seen_in_the_findings(self, job):
        assert {(one.code, one.where) for one in reported_findings(job.state())} == {
            ("not-reachable", host.name) for host in job.site.clients
        }
        job.records.save_inventory(Stores("pc-1", lyon.AT))
        assert ("not-reachable", "pc-1") not in {
            (one.code, one.where) for one in reported_findings(job.state())
        }


def test_a_site_with_every_way_to_a_key_is_verified_over_real_connections(tmp_path, now):
    records = Records(tmp_path / "records")
    records.begin_rehearsal()
    own = create_authority("Lyon rehearsal", now, QUICK, lyon.key("ca"))
    records.save_authority(own, lyon.CA_PASSWORD, now)
    job = Job("15-enable-encryption", lyon.SITE, records, now)
    issue_certificates(job)
    walk(job, hand_over(job, "request"))
    sign_requests(job)
    leaf, (other,) = job.state().current["mob"], job.state().issuers["mob"]
    assert "rehearsal" in other.subject.rfc4514_string() and other != own.certificate
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 199
    for phase in ("trust", "import", "encrypt"):
        assert {one.result for one in walk(job, hand_over(job, phase))} == {"done"}
    assert [missing(job.state()) for missing in MISSING.values()] == [{}] * 5
    seen = verify_site(job)
    assert {one.verdict for one in seen} == {"verified"}
    assert {one.thumbprint for one in seen if one.server == "mob"} == {thumbprint(leaf)}
    stores = records.inventories()
    stores["web-1"] = replace(stores["web-1"], root=(own.certificate,))
    records.save_inventory(stores["web-1"])
    assert {one.client for one in verify_site(job) if not one.ok} == {"web-1"}


@pytest.mark.parametrize("way", ["pfx", "csr"])
def test_the_nodes_of_a_cluster_have_a_key_each_and_all_names_whichever_way(tmp_path, way):
    node = Host(
        "ms-1", "lyon.local", roles=("management server",), cluster=lyon.CLUSTER, enrolment=way
    )
    site = Site("lyon", (node, replace(node, name="ms-2"), lyon.PC))
    job = lyon.open_lyon(tmp_path / "records", site=site)
    if way == "csr":
        for name in ("ms-1", "ms-2"):
            ask(job, name)
        sign_requests(job)
    current = job.state().current
    assert missing_certificates(job.state()) == {}
    assert len({one.public_key().public_numbers().n for one in current.values()}) == 2
    for one in current.values():
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {"ms-1.lyon.local", "ms-2", "vms.lyon.local"} < set(
            names.get_values_for_type(x509.DNSName)
        )
    errands = hand_over(job, "import")
    ending = {"pfx": ".pfx", "csr": ".cer"}[way]
    for one in errands:
        names = {path.name for path in (job.records.folder / one.folder).iterdir()}
        assert f"{one.host}{ending}" in names
    assert [one.host for one in errands] == ["ms-1", "ms-2"]


def test_a_rollout_folder_is_made_once_a_day(job):
    first = roll_out(job)
    assert first == roll_out(job) == "roll-out/2026-11-23"
    assert roll_out(replace(job, at=job.at + lyon.DAY)) == "roll-out/2026-11-24"


def test_a_visit_with_a_mistyped_password_is_told_and_reported(job, monkeypatch):
    job.records.folder.joinpath("REHEARSAL.txt").write_text("test")
    errands = hand_over(job, "import", ["ms"])
    monkeypatch.setenv("VMSCERT_PFX_PASSWORD", "not what was shown")
    (errand,) = walk(job, errands)
    assert errand.result.startswith("failed: Step import-certificate: The specified network pass")
    entry = job.records.ledger.entries()[-1]
    assert (entry.action, entry.host) == ("simulated", "ms")
    assert entry.note == f"install.ps1: {errand.result}"
