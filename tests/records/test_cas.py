"""Several CAs in one folder: one signs, one waits, one signed before; no key is ever lost."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lyon import AT, CA_PASSWORD, crl, key, open_lyon, site_ca

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.checks.lacks import missing_ca, missing_certificates, needed_roots, surplus_roots
from vmscert.files import write_atomic
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import issue_certificates
from vmscert.windows.stores import Personal, Stores

pytestmark = pytest.mark.usefixtures("lyon_secrets")


@pytest.fixture(scope="module")
def heir():
    return create_authority("Lyon VMS root 2036", AT, QUICK, key("heir"))


@pytest.fixture
def job(tmp_path):
    return open_lyon(tmp_path / "lyon")


def test_a_next_ca_waits_beside_the_one_that_signs(job, heir):
    job.records.save_next(heir, CA_PASSWORD, AT)
    assert job.state().cas == {"CA": site_ca().certificate, "next CA": heir.certificate}
    assert job.records.authority(CA_PASSWORD).certificate == site_ca().certificate
    with pytest.raises(FileExistsError, match="a CA is waiting to take over"):
        job.records.save_next(heir, CA_PASSWORD, AT)


def test_a_promoted_ca_signs_and_the_one_before_keeps_its_key(job, heir):
    job.records.save_next(heir, CA_PASSWORD, AT)
    job.records.promote(AT)
    old = site_ca().certificate
    label = thumbprint(old)
    assert job.state().cas == {"CA": heir.certificate, f"former CA {label[:8]}": old}
    assert job.records.authority(CA_PASSWORD).key.public_key() == heir.certificate.public_key()
    assert (job.records.folder / "former" / label / "ca.key").exists()
    assert job.state().issuer_of(job.state().current["ms"]) == old


def test_nobody_is_promoted_where_nobody_waits(job):
    with pytest.raises(FileNotFoundError, match="no CA is waiting"):
        job.records.promote(AT)


def test_a_revocation_list_stays_with_its_ca_when_another_one_takes_over(job, heir):
    made = crl(site_ca(), AT, 30)
    (job.records.folder / "ca.crl").write_bytes(made.public_bytes(Encoding.DER))
    assert job.state().crl == made
    job.records.save_next(heir, CA_PASSWORD, AT)
    job.records.promote(AT)
    assert job.state().crl is None
    assert len(list(job.records.folder.glob("former/*/ca.crl"))) == 1


@pytest.mark.parametrize("move", [1, 2, 3, 4])
def test_a_promotion_that_is_killed_at_any_move_is_finished_by_the_next_run(
    job, heir, monkeypatch, move
):
    job.records.save_next(heir, CA_PASSWORD, AT)
    moves = iter(range(1, 9))
    rename = Path.rename

    def mortal(path, target):
        if path.suffix in (".cer", ".key") and next(moves) == move:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", mortal)
        with pytest.raises(KeyboardInterrupt):
            job.records.promote(AT)
    again = Records(job.records.folder)
    with again.lock():
        pass
    assert again.ca_certificate == heir.certificate
    assert again.next_ca is None
    assert again.former_cas == (site_ca().certificate,)
    again.authority(CA_PASSWORD)


def test_after_a_promotion_every_certificate_of_the_old_ca_is_to_be_replaced(job, heir):
    assert set(missing_certificates(job.state())) == {"rec-1", "mob"}  # their keys are made there
    job.records.save_next(heir, CA_PASSWORD, AT)
    job.records.promote(AT)
    assert missing_certificates(job.state())["ms"] == "its certificate is of another CA"
    issue_certificates(job, CA_PASSWORD)
    assert "ms" not in missing_certificates(job.state())


def test_both_roots_are_needed_from_when_the_next_ca_waits_until_nothing_of_the_old_is_used(
    job, heir
):
    old, new = site_ca().certificate, heir.certificate
    issued = job.state().current["ms"]
    job.records.save_next(heir, CA_PASSWORD, AT)
    assert needed_roots(job.state())["pc-1"] == (old, new)
    used = {"server": thumbprint(issued)}
    trusting = {"root": (old, new)}
    job.records.save_inventory(Stores("ms", AT, personal=(Personal(issued, True),), bindings=used,
                                      **trusting))  # fmt: skip
    job.records.save_inventory(Stores("pc-1", AT, **trusting))
    job.records.promote(AT)
    issue_certificates(job, CA_PASSWORD)
    assert needed_roots(job.state())["pc-1"] == (new, old)  # ms still serves what the old CA signed
    assert surplus_roots(job.state()) == {}
    job.records.save_inventory(Stores("ms", AT, **trusting))
    assert needed_roots(job.state())["pc-1"] == (new,)
    assert surplus_roots(job.state()) == {"ms": (old,), "pc-1": (old,)}


def test_a_ca_is_adopted_without_its_key_and_says_so_when_it_should_sign(tmp_path, job):
    records = Records(tmp_path / "inherited")
    records.adopt(site_ca().certificate, None, CA_PASSWORD, AT)
    assert records.ca_certificate == site_ca().certificate
    with pytest.raises(FileNotFoundError, match="run 18-replace-the-ca"):
        records.authority(CA_PASSWORD)
    with pytest.raises(FileExistsError, match="adopt into a new folder"):
        records.adopt(site_ca().certificate, site_ca(), CA_PASSWORD, AT)


def test_a_ca_is_adopted_with_its_key_encrypted(tmp_path):
    records = Records(tmp_path / "inherited")
    records.adopt(site_ca().certificate, site_ca(), CA_PASSWORD, AT)
    assert records.authority(CA_PASSWORD).name == site_ca().name
    assert b"ENCRYPTED PRIVATE KEY" in (records.folder / "ca.key").read_bytes()


def test_a_site_that_adopted_a_ca_needs_no_other_one(tmp_path, job):
    records = Records(tmp_path / "inherited")
    inherited = type(job)(job.runbook, job.site, records, AT)
    assert missing_ca(inherited.state())
    records.adopt(site_ca().certificate, None, CA_PASSWORD, AT)
    assert not missing_ca(inherited.state())


def test_a_damaged_next_ca_is_named(job, heir):
    job.records.save_next(heir, CA_PASSWORD, AT)
    write_atomic(job.records.folder / "next" / "ca.cer", b"no certificate")
    with pytest.raises(ValueError, match=r"next.ca\.cer is damaged"):
        _ = job.state().cas
