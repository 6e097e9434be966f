"""The guide's three requirements and its warning, seen in what computers report."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vmscert import GALLERY, QUICK, check_ca, check_site, create_authority, healthy, read_site
from vmscert.authority import SERVER
from vmscert.facts import DATA


@pytest.fixture(scope="module")
def lab():
    at = datetime.now(UTC).replace(microsecond=0)
    site = read_site(DATA / "sites" / "example.csv")
    return healthy(site, create_authority("example VMS root", at, QUICK), at)


def codes(findings):
    return {finding.code for finding in findings}


def test_a_computer_that_has_not_reported_is_named_and_nothing_is_assumed_of_it(lab):
    stores = {name: held for name, held in lab.stores.items() if name != "vms-rec-01"}
    findings = check_site(lab.site, stores, lab.at)
    assert [(f.code, f.where) for f in findings] == [("not-reachable", "vms-rec-01")]


def test_a_site_that_has_not_reported_at_all_names_every_computer(lab):
    findings = check_site(lab.site, {}, lab.at)
    assert {f.where for f in findings} == {host.name for host in lab.site.clients}


def test_a_finding_stands_once_however_many_clients_meet_it(lab):
    findings = GALLERY["expired"](lab).check()
    assert len(findings) == len(set(findings))
    assert {f.where for f in findings} == {lab.server.name}


def test_a_group_that_is_left_off_needs_no_certificate_for_it(lab):
    server = lab.server
    off = replace(server, left_off=frozenset({"streaming media"}))
    site = replace(lab.site, hosts=tuple(off if h is server else h for h in lab.site))
    bindings = {"server": lab.stores[server.name].bindings["server"]}
    stores = lab.holding(server, bindings=bindings).stores
    assert check_site(site, stores, lab.at) == []


def test_a_bound_certificate_that_was_deleted_is_a_missing_certificate(lab):
    assert codes(lab.holding(lab.server, personal=()).check()) == {"no-certificate"}


def test_an_account_is_recognised_in_every_spelling(lab):
    held = lab.stores[lab.server.name].personal[0]
    for spelling in ("S-1-5-20", "network service", "AUTORITE NT\\SERVICE RÉSEAU"):
        readable = lab.holding(lab.server, personal=(replace(held, readers=(spelling,)),))
        assert readable.check() == []


@pytest.mark.parametrize(
    ("days", "expected"), [(31, set()), (30, {"expires-soon"}), (1, {"expires-soon"})]
)
def test_the_warning_that_xprotect_does_not_give_comes_thirty_days_before(lab, days, expected):
    issued = lab.authority.issue(
        *lab.server.names, at=lab.at, profile=replace(SERVER, days=days + 1)
    )
    assert codes(lab.serving(lab.server, issued).check()) == expected


def test_a_name_with_an_underscore_is_dubious(lab):
    odd = replace(lab.server, name="vms_rec_01")
    site = replace(lab.site, hosts=tuple(odd if h is lab.server else h for h in lab.site))
    other = healthy(site, lab.authority, lab.at)
    (finding,) = other.check()
    assert (finding.code, finding.severity) == ("name-not-portable", "dubious")


def test_a_fresh_ca_has_no_finding_but_a_short_key_is_one(lab):
    at = lab.at
    assert check_ca(create_authority("a", at).certificate, at) == []
    assert codes(check_ca(create_authority("a", at, QUICK).certificate, at)) == {"weak-key"}


def test_a_ca_of_one_year_is_told_at_once_and_an_ended_one_is_expired(lab):
    year = create_authority("a", lab.at, replace(QUICK, days=365)).certificate
    assert "expires-soon" in codes(check_ca(year, lab.at))
    assert "expired" in codes(check_ca(year, lab.at + timedelta(days=400)))
    assert "not-yet-valid" in codes(check_ca(year, lab.at - timedelta(days=3)))


def test_a_server_certificate_is_no_ca(lab):
    leaf = lab.served[lab.server.name].certificate
    assert "issuer-not-ca" in codes(check_ca(leaf, lab.at))
