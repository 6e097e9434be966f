"""Revocation lists, for those who have a place for them: made, kept, and what OpenSSL says."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lyon import AT, CA_PASSWORD, DAY, key, open_lyon, site_ca

from vmscert.authority import (
    QUICK,
    SERVER,
    Revoked,
    create_authority,
    list_number,
    listed,
    next_list,
    request,
)
from vmscert.trust import diagnose

URL = "http://pki.lyon.local/vms.crl"


@pytest.fixture(scope="module")
def leaf():
    return site_ca().issue("ms", at=AT, key=key("ms")).certificate


def revoked(leaf, reason="keyCompromise", at=AT):
    return Revoked(leaf.serial_number, at, reason)


def test_a_list_says_what_was_revoked_when_and_why_and_by_whom(leaf):
    crl = site_ca().revocation_list([revoked(leaf)], AT, 30, 7)
    assert listed(crl) == (Revoked(leaf.serial_number, AT, "keyCompromise"),)
    assert crl.issuer == site_ca().certificate.subject
    assert crl.is_signature_valid(site_ca().certificate.public_key())
    assert crl.next_update_utc == AT + 30 * DAY
    assert list_number(crl) == 7
    above = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = site_ca().certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert above.key_identifier == own.value.digest


def test_a_client_that_looks_into_the_list_refuses_what_is_on_it(leaf):
    roots = [site_ca().certificate]
    empty, full = (site_ca().revocation_list(r, AT, 30, 1) for r in ([], [revoked(leaf)]))
    assert diagnose([leaf], "ms", roots, AT, crls=[empty]).findings == ()
    assert diagnose([leaf], "ms", roots, AT, crls=[full]).codes == {"revoked"}


def test_openssl_agrees(now, openssl, tmp_path, ca, key):
    issued = [ca.issue(name, at=now, key=key).certificate for name in ("one", "two")]
    crl = ca.revocation_list([Revoked(issued[0].serial_number, now)], now, 5, 1)
    files = {"ca": ca.certificate, "crl": crl, "0": issued[0], "1": issued[1]}
    for name, one in files.items():
        (tmp_path / name).write_bytes(one.public_bytes(Encoding.PEM))
    asked = ("verify", "-CAfile", tmp_path / "ca", "-crl_check", "-CRLfile", tmp_path / "crl")
    bad, good = (openssl(*asked, tmp_path / name) for name in "01")
    assert b"certificate revoked" in bad.stderr
    assert good.returncode == 0


def test_what_was_revoked_stays_so_and_numbers_grow(leaf):
    first = next_list(site_ca(), None, [revoked(leaf)], AT, 30)
    later = Revoked(4711, AT + DAY, "superseded")
    again = revoked(leaf, "superseded", AT + DAY)
    second = next_list(site_ca(), first, [later, again], AT + DAY, 30)
    assert set(listed(second)) == {revoked(leaf), later}
    assert (list_number(first), list_number(second)) == (1, 2)
    empty = next_list(site_ca(), None, [], AT, 30)
    assert list_number(next_list(site_ca(), empty, [], AT, 30)) == 2


@pytest.mark.parametrize("reason", ["stolen", "removeFromCRL", "unspecified"])
def test_a_reason_that_a_full_list_does_not_give_is_refused(leaf, reason):
    with pytest.raises(ValueError, match="is no reason to revoke"):
        site_ca().revocation_list([revoked(leaf, reason)], AT, 30, 1)


def test_a_ca_that_may_not_sign_lists_signs_none():
    bare = create_authority("Bare", AT, replace(QUICK, key_usage=("key_cert_sign",)), key("bare"))
    with pytest.raises(ValueError, match="cRLSign"):
        bare.revocation_list([], AT, 30, 1)
    with pytest.raises(ValueError, match="1 or more"):
        site_ca().revocation_list([], AT, 0, 1)


def test_a_certificate_names_the_place_of_the_list_only_if_its_profile_does(leaf):
    kind = x509.CRLDistributionPoints
    assert not any(isinstance(one.value, kind) for one in leaf.extensions)
    profile = replace(SERVER, crl_url=URL)
    issued = site_ca().issue("ms", at=AT, key=key("ms"), profile=profile).certificate
    csr, _ = request("ms", key=key("ms"))
    signed = site_ca().sign(csr, ["ms"], AT, profile).certificate
    for one in (issued, signed):
        (place,) = one.extensions.get_extension_for_class(kind).value
        assert [name.value for name in place.full_name] == [URL]


@pytest.mark.parametrize("url", ["https://pki/x.crl", "pki/x.crl", "http://a b", "http://é/x"])
def test_a_place_that_clients_can_t_fetch_from_is_refused(url):
    with pytest.raises(ValueError, match="no place for a revocation list"):
        site_ca().issue("ms", at=AT, key=key("ms"), profile=replace(SERVER, crl_url=url))


@pytest.fixture
def lyon_job(tmp_path, lyon_secrets):
    return open_lyon(tmp_path)


def test_a_list_lies_beside_its_ca_and_the_ledger_says_whom_it_revoked(lyon_job):
    records, leaf = lyon_job.records, lyon_job.state().current["ms"]
    assert records.crl is None
    crl = next_list(site_ca(), None, [revoked(leaf)], AT, 30)
    assert records.save_crl(crl, AT).name == "ca.crl"
    assert records.crl == crl
    line, last = records.ledger.entries()[-2:]
    assert (line.action, line.host, line.serial) == ("revoke", "ms", f"{leaf.serial_number:X}")
    assert line.note == "keyCompromise"
    assert (last.action, last.note) == ("CRL", "number 1, 1 revoked")
    records.save_crl(next_list(site_ca(), crl, [], AT + DAY, 30), AT + DAY)
    assert [e.action for e in records.ledger.entries()].count("revoke") == 1
    assert records.ledger.problems() == ()
    assert set(lyon_job.state().current) == {"ms"}  # a revoked certificate is not an issued one


def test_a_list_that_is_older_or_another_ca_s_is_not_kept(lyon_job):
    records = lyon_job.records
    records.save_crl(site_ca().revocation_list([], AT, 30, 5), AT)
    before = records.ledger.entries()
    with pytest.raises(ValueError, match="number 5 is there already"):
        records.save_crl(site_ca().revocation_list([], AT, 30, 5), AT)
    other = create_authority(site_ca().name, AT, QUICK, key("other"))
    with pytest.raises(ValueError, match="not signed by the CA"):
        records.save_crl(other.revocation_list([], AT, 30, 6), AT)
    assert records.ledger.entries() == before


def test_a_list_stays_with_its_ca_when_another_one_takes_over(lyon_job):
    records = lyon_job.records
    records.save_crl(site_ca().revocation_list([], AT, 30, 1), AT)
    following = create_authority("Next", AT + timedelta(hours=1), QUICK, key("next"))
    records.save_next(following, CA_PASSWORD, AT)
    records.promote(AT)
    assert records.crl is None
    assert len(list(records.folder.glob("former/*/ca.crl"))) == 1
    records.save_crl(following.revocation_list([], AT + DAY, 30, 1), AT + DAY)
