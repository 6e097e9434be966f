"""One CA takes over from another, and no link goes dark on the way."""

import shutil
from dataclasses import replace

import pytest
from cryptography import x509
from lyon import AT, CA_PASSWORD, DAY, PFX_PASSWORD, Approved, key, open_lyon, site_ca

from vmscert import open_job
from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.changes.errands import hand_over, loads
from vmscert.changes.job import EXAMPLE, Stop
from vmscert.changes.rehearsal import walk
from vmscert.checks.lacks import lacking_roots, missing_retirement, unbarred
from vmscert.runbooks.certificates import issue_certificates, renew_certificates, sign_requests
from vmscert.runbooks.compromise import AnswerCompromise
from vmscert.runbooks.replace import ReplaceTheCa, create_next_ca, retirable, switch_ca
from vmscert.runbooks.visits import verify_site
from vmscert.windows.stores import Personal, Stores


@pytest.fixture(scope="module")
def replaced(site_folder, tmp_path_factory):
    """The example after all visits of runbook 18 but the last; and what was dark after each."""
    folder = shutil.copytree(site_folder, tmp_path_factory.mktemp("replaced") / "site")
    job = open_job("18-replace-the-ca", EXAMPLE, folder)
    create_next_ca(job)
    walked = ReplaceTheCa(job).walked
    rows = walked(hand_over(job, "trust", ["vms-pc-01", "vms-mob-01"]))
    walk(job, hand_over(job, "trust", lacking_roots(job.state())))
    switch_ca(job)
    issue_certificates(job)
    walk(job, hand_over(job, "request"))
    sign_requests(job)
    walk(job, hand_over(job, "import"))
    rows += walked(hand_over(job, "encrypt"))
    return folder, rows


@pytest.fixture
def job(replaced, tmp_path):
    folder = shutil.copytree(replaced[0], tmp_path / "site")
    return open_job("18-replace-the-ca", EXAMPLE, folder)


def test_no_link_is_dark_after_any_visit(replaced):
    rows = replaced[1]
    assert len(rows) == 2 + 5  # a client and a server trust, and each server is switched
    assert {row["dark links"] for row in rows} == {"none"}
    assert {row["result"] for row in rows} == {"done"}


def test_the_old_root_goes_last_and_still_nothing_is_dark(job):
    old = job.records.former_cas
    wanted = retirable(job, verify_site(job))
    assert set(wanted) == {host.name for host in job.site.clients}
    walk(job, hand_over(job, "retire", wanted))
    assert all(one.ok for one in verify_site(job))
    assert missing_retirement(job.state()) == {}
    assert not any(set(old) & set(held.root) for held in job.records.inventories().values())


def test_a_root_that_goes_too_early_would_be_seen(job):
    """The survey can fail: without the new root at one client, its links are dark."""
    held = job.records.inventories()["vms-pc-01"]
    job.records.save_inventory(replace(held, root=job.records.former_cas))
    links = verify_site(job)
    assert {one.client for one in links if not one.ok} == {"vms-pc-01"}
    assert "vms-pc-01" not in retirable(job, links)


def note_stolen(job, name):
    list(AnswerCompromise(job, {"stolen": name, "reason": "a stolen disk"}).note_stolen())


@pytest.mark.usefixtures("lyon_secrets")
class TestOnARealSite:
    @pytest.fixture
    def real(self, tmp_path):
        return open_lyon(tmp_path / "lyon")

    def test_the_ca_is_not_switched_as_long_as_a_computer_does_not_trust_the_next(
        self, real, monkeypatch
    ):
        monkeypatch.setattr("vmscert.certificates.authority.new_key", lambda _bits: key("heir"))
        create_next_ca(real)
        with pytest.raises(Stop, match="5 computers do not trust the next CA yet, first ms"):
            switch_ca(real)
        assert real.records.next_ca is not None

    def test_a_second_run_makes_no_second_heir(self, real, monkeypatch):
        monkeypatch.setattr("vmscert.certificates.authority.new_key", lambda _bits: key("heir"))
        create_next_ca(real)
        first = real.records.next_ca
        create_next_ca(real)
        assert first and real.records.next_ca == first
        assert first.subject != site_ca().certificate.subject
        real.records.promote(AT)
        create_next_ca(real)
        assert (real.records.ca_certificate, real.records.next_ca) == (first, None)

    def test_nothing_is_done_without_approval(self, real):
        for deed in (create_next_ca, switch_ca, lambda job: note_stolen(job, "ms")):
            with pytest.raises(Stop):
                deed(replace(real, change=None))

    def test_the_old_certificate_stays_as_the_way_back_for_some_days(self, real):
        renew_certificates(real, ["ms"], PFX_PASSWORD)
        new = thumbprint(real.state().current["ms"])
        old = real.state().superseded["ms"]
        both = (real.records.folder / "servers/ms").glob("*.cer")
        held = tuple(Personal(x509.load_der_x509_certificate(p.read_bytes()), True) for p in both)
        real.records.save_inventory(Stores("ms", AT, personal=held, bindings={"server": new}))
        assert missing_retirement(real.state()) == {"ms": f"still there: {old[0]}"}
        assert retirable(real, [], 7) == []
        assert retirable(replace(real, at=AT + 8 * DAY), [], 7) == ["ms"]

    def test_a_stolen_certificate_is_barred_only_when_it_is_out_of_use(self, real):
        stolen = real.state().current["ms"]
        used = {"server": thumbprint(stolen)}
        holds = (Personal(stolen, True),)
        real.records.save_inventory(Stores("ms", AT, personal=holds, bindings=used))
        real.records.save_inventory(Stores("pc-1", AT))
        note_stolen(real, "ms")
        told = real.records.ledger.entries()
        note_stolen(real, "ms")
        assert real.records.ledger.entries() == told
        assert unbarred(real.state()) == {}
        real.records.save_inventory(Stores("ms", AT, personal=holds))
        assert unbarred(real.state()) == {"ms": (stolen,), "pc-1": (stolen,)}
        (load,) = loads(real.state(), [real.site["pc-1"]])
        assert load.barred == (stolen,)
        real.records.save_inventory(Stores("pc-1", AT, disallowed=(stolen,)))
        assert set(unbarred(real.state())) == {"ms"}

    def test_a_stolen_ca_is_barred_where_nothing_needs_it_any_more(self, real):
        old = real.records.ca_certificate
        with pytest.raises(Stop, match="the CA's own key was stolen, and it signs still: run 18-"):
            note_stolen(real, "CA")
        real.records.save_inventory(Stores("pc-1", AT, root=(old,)))
        assert unbarred(real.state()) == {}
        real.records.save_next(create_authority("heir", AT, QUICK, key("heir")), CA_PASSWORD, AT)
        real.records.promote(AT)
        assert unbarred(real.state()) == {}  # the servers' newest certificates are still its own
        issue_certificates(real, PFX_PASSWORD)
        assert unbarred(real.state()) == {"pc-1": (old,)}
        assert isinstance(real.change, Approved)
