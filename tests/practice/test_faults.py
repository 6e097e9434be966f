"""Every fault that has a name can be made, and exactly its rule finds it."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations

import pytest

from vmscert import QUICK, RULES, create_authority, read_site
from vmscert.facts import DATA
from vmscert.network.servers import Loopback
from vmscert.practice import GALLERY, healthy
from vmscert.practice.servers import SEEN, WIRE, answer_of, broken, call, healthy_stand

# Faults that only the wire shows: the inventory of the computer looks as it should.
ON_THE_WIRE = {"wrong-certificate-served"}
# Faults of two different computers or of different kinds, which must not hide each other.
PAIRS = list(
    combinations(["expired", "untrusted-root", "key-not-readable", "too-long-for-phones"], 2)
)
# Computers that are enough to tell the broken one from its neighbours.
FEW = ("vms-rec-01", "vms-rec-02", "vms-pc-01", "vms-pc-02")


@pytest.fixture(scope="module")
def lab():
    at = datetime.now(UTC).replace(microsecond=0)
    site = read_site(DATA / "sites" / "example.csv")
    return healthy(site, create_authority("example VMS root", at, QUICK), at)


@pytest.fixture(scope="module")
def small(lab):
    """The same site with four computers, for what is done over and over."""
    site = replace(lab.site, hosts=tuple(lab.site[name] for name in FEW))
    return healthy(site, lab.authority, lab.at)


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


# What the connections of a site show; the other faults of a site are those of the computer behind
# a perfect handshake, or need a client that is called one by one: see below.
VISIBLE = [
    "expired",
    "not-yet-valid",
    "name-mismatch",
    "wrong-eku",
    "self-signed",
    "bad-signature",
    "unknown-critical-extension",
    "issuer-not-ca",
    "issuer-key-usage",
    "name-constraint",
    "untrusted-root",
    "root-recreated",
    "disallowed",
    "not-encrypted",
    "wrong-certificate-served",
]
OF_THE_CA = {"issuer-not-ca", "issuer-key-usage", "name-constraint"}


@pytest.mark.parametrize("name", VISIBLE)
def test_a_real_handshake_shows_the_fault_where_it_is_and_nowhere_else(small, name):
    refused = [one for one in GALLERY[name](small).verify() if not one.ok]
    assert {one.verdict for one in refused} == {name}
    if name in {"untrusted-root", "root-recreated", "disallowed"}:
        assert {one.client for one in refused} == {small.client.name}
    else:
        servers = {host.name for host in small.site.servers}
        at_all = name in OF_THE_CA
        assert {one.server for one in refused} == (servers if at_all else {small.server.name})


def test_a_forgotten_client_is_named_in_the_finding(lab):
    (finding,) = GALLERY["untrusted-root"](lab).check()[:1]
    assert finding.where == lab.client.name


def test_a_finding_names_the_runbook_that_repairs_it(lab):
    (finding,) = GALLERY["key-not-readable"](lab).check()
    assert finding.rule.remedy == "14-import-server-certificates"


# One server as one client meets it


@pytest.fixture(scope="module")
def stand(lab):
    return healthy_stand(lab.at)


def found(stand):
    """What the client finds when it calls the stand over real TLS."""
    with Loopback(answer_of(stand)) as port:
        return call(stand, port)


def test_a_healthy_stand_is_accepted_without_a_finding(stand):
    seen = found(stand)
    assert seen.handshake.ok
    assert seen.findings == ()


@pytest.mark.parametrize("name", SEEN)
def test_a_real_server_with_a_fault_is_found_as_exactly_its_rule(stand, name):
    assert found(broken(stand, name)).codes == {name}


@pytest.mark.parametrize("name", sorted(WIRE))
def test_a_fault_of_the_wire_has_the_name_of_a_rule_and_a_sentence(name):
    assert name in RULES
    assert WIRE[name].__doc__.endswith(".")


def test_every_fault_of_a_certificate_can_be_seen_by_a_client_and_has_one_name():
    assert len(SEEN) == len(set(SEEN)) == 27
    assert {name for name in GALLERY if RULES[name].about == "path"} < set(SEEN)
    assert not set(GALLERY) & set(WIRE)


@pytest.mark.parametrize("name", sorted(WIRE))
def test_a_fault_leaves_the_healthy_stand_untouched(stand, name):
    before = (stand.issued, stand.roots, stand.crls, stand.answers)
    WIRE[name](stand)
    assert (stand.issued, stand.roots, stand.crls, stand.answers) == before


# Each pair in the order in which one would undo the other, which has to be turned around.
@pytest.mark.parametrize(
    "pair",
    [
        ("bad-signature", "expired"),
        ("malformed", "no-san"),
        ("missing-intermediate", "wrong-eku"),
        ("revoked", "leaf-is-ca"),
        ("tls-too-old", "name-mismatch"),
    ],
)
def test_two_faults_of_one_stand_are_found_as_both_in_whatever_order_they_are_named(stand, pair):
    assert found(broken(stand, *pair)).codes == set(pair)


@pytest.mark.parametrize(
    "pair", [("expired", "not-reachable"), ("expired", "not-yet-valid"), ("revoked", "self-signed")]
)
def test_faults_that_hide_each_other_are_refused(stand, pair):
    with pytest.raises(ValueError, match=f"can't show all of {pair[0]}, {pair[1]}"):
        broken(stand, *pair)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("Expird", "Did you mean 'expired'"), ("xyzzy", "There are bad-signature, ")],
)
def test_what_no_client_sees_is_refused_with_what_there_is(stand, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        broken(stand, name)


def test_a_server_that_is_closed_answers_nobody(stand):
    with Loopback(answer_of(stand)) as port:
        pass
    assert call(stand, port).codes == {"not-reachable"}
