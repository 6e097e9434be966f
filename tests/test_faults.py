"""Every fault that has a name can be made, and exactly its rule finds it."""

from datetime import UTC, datetime
from itertools import combinations

import pytest

from vmscert import GALLERY, QUICK, RULES, create_authority, healthy, read_site
from vmscert.facts import DATA

# Faults that only the wire shows: the inventory of the computer looks as it should.
ON_THE_WIRE = {"wrong-certificate-served"}
# Faults of two different computers or of different kinds, which must not hide each other.
PAIRS = list(
    combinations(["expired", "untrusted-root", "key-not-readable", "too-long-for-phones"], 2)
)


@pytest.fixture(scope="module")
def lab():
    at = datetime.now(UTC).replace(microsecond=0)
    site = read_site(DATA / "sites" / "example.csv")
    return healthy(site, create_authority("example VMS root", at, QUICK), at)


def codes(findings):
    return {finding.code for finding in findings}


def test_a_healthy_lab_has_no_finding(lab):
    assert lab.check() == []


def test_a_healthy_lab_verifies_every_connection_over_real_tls(lab):
    seen = lab.verify()
    calls = {(one.client, one.server, one.port, one.group) for one in seen}
    assert calls == {(c.client, c.server, c.port, c.group) for c in lab.site.connections}
    assert {one.verdict for one in seen} == {"verified"}


@pytest.mark.parametrize("name", sorted(set(GALLERY) - ON_THE_WIRE))
def test_a_fault_is_found_as_exactly_its_rule(lab, name):
    assert codes(GALLERY[name](lab).check()) == {name}


@pytest.mark.parametrize("name", sorted(GALLERY))
def test_a_fault_has_the_name_of_a_rule_and_a_sentence(name):
    assert name in RULES
    assert GALLERY[name].__doc__.endswith(".")


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_faults_are_found_as_both(lab, one, other):
    assert codes(GALLERY[other](GALLERY[one](lab)).check()) == {one, other}


@pytest.mark.parametrize("name", sorted(GALLERY))
def test_a_fault_leaves_the_healthy_lab_untouched(lab, name):
    before = (lab.served, lab.stores)
    GALLERY[name](lab)
    assert (lab.served, lab.stores) == before


# What a TLS client sees; the others are faults of the computer behind a perfect handshake.
VISIBLE = [
    "expired",
    "not-yet-valid",
    "name-mismatch",
    "wrong-eku",
    "self-signed",
    "bad-signature",
    "untrusted-root",
    "root-recreated",
    "not-encrypted",
    "wrong-certificate-served",
]


@pytest.mark.parametrize("name", VISIBLE)
def test_a_real_handshake_shows_the_fault_where_it_is_and_nowhere_else(lab, name):
    broken = GALLERY[name](lab)
    refused = [one for one in broken.verify() if not one.ok]
    assert {one.verdict for one in refused} == {name}
    at_client = name in {"untrusted-root", "root-recreated"}
    where = {one.client if at_client else one.server for one in refused}
    assert where == {lab.client.name if at_client else lab.server.name}


def test_a_forgotten_client_is_named_in_the_finding(lab):
    (finding,) = GALLERY["untrusted-root"](lab).check()[:1]
    assert finding.where == lab.client.name


def test_a_finding_names_the_runbook_that_repairs_it(lab):
    (finding,) = GALLERY["key-not-readable"](lab).check()
    assert finding.rule.remedy == "14-import-server-certificates"
