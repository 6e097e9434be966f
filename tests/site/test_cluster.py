"""A cluster has one name and several nodes: each with a key of its own, each good for all names."""

from dataclasses import replace
from datetime import UTC, datetime

import lyon
import pytest

from vmscert import QUICK, create_authority
from vmscert.certificates.authority import thumbprint
from vmscert.changes.job import Job
from vmscert.checks.lacks import missing_certificates
from vmscert.checks.live import verify_connections
from vmscert.checks.site import check_site
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.network.targets import site_targets
from vmscert.practice import healthy
from vmscert.records.folder import Records
from vmscert.site.site import THIRD_PARTY, Connection, Host, Site

AT = datetime.now(UTC).replace(microsecond=0)
MANAGEMENT = ("management server",)
SITE = Site(
    "lyon",
    (
        Host("ms-1", "lyon.local", roles=MANAGEMENT, cluster=("vms", "10.0.0.9")),
        Host("ms-2", "lyon.local", roles=MANAGEMENT, cluster=("vms", "10.0.0.9")),
        Host("pc-1", "lyon.local", roles=("smart client",)),
    ),
)
LOGIN = Connection("pc-1", "ms-1", 443, "server")


@pytest.fixture(scope="module")
def lab():
    return healthy(SITE, create_authority("Lyon VMS root", AT, QUICK), AT)


@pytest.fixture(scope="module")
def verdicts(lab):
    """Return name → verdict of one client's connection to ms-1, where this certificate answers."""

    def seen(issued):
        expected = {name: thumbprint(one.certificate) for name, one in lab.served.items()}
        with on_loopback({443: issued}) as ports:
            there = (LOOPBACK, ports[443])
            calls = verify_connections(
                SITE, lab.stores, expected, AT, lambda _c, _name: there, [LOGIN]
            )
            return {one.name: one.verdict for one in calls}

    return seen


def test_every_node_has_a_key_of_its_own(lab):
    keys = {one.key.private_numbers() for one in lab.served.values()}
    assert len(keys) == len(lab.served) == 2


def test_a_healthy_cluster_has_no_finding_and_every_name_is_verified(lab):
    assert lab.check() == []
    assert {one.verdict for one in lab.verify()} == {"verified"}


def test_any_node_may_answer_to_the_name_of_the_cluster_and_only_itself_to_its_own(lab, verdicts):
    assert set(verdicts(lab.served["ms-1"]).values()) == {"verified"}
    assert verdicts(lab.served["ms-2"]) == {
        "ms-1.lyon.local": "wrong-certificate-served",
        "ms-1": "wrong-certificate-served",
        "vms": "verified",
        "10.0.0.9": "verified",
    }


def test_a_certificate_that_no_node_was_issued_is_wrong_by_every_name(lab, verdicts):
    stranger = lab.authority.issue(*SITE["ms-1"].issued_names, at=AT)
    assert set(verdicts(stranger).values()) == {"wrong-certificate-served"}


def test_a_node_without_the_name_of_the_cluster_is_found_in_its_inventory(lab):
    node = SITE["ms-2"]
    old = lab.serving(node, lab.authority.issue(*node.own_names, at=AT))
    found = check_site(SITE, old.stores, AT)
    assert {(one.code, one.where) for one in found} == {("name-mismatch", "ms-2")}


def test_a_new_node_asks_for_new_certificates_on_all_nodes(lab, tmp_path, lyon_secrets):
    job = Job("12-create-server-certificates", SITE, Records(tmp_path / "lyon"), AT)
    job.records.save_authority(lab.authority, lyon.CA_PASSWORD, AT)
    for name, issued in lab.served.items():
        job.records.save_signed(name, issued, at=AT)
    assert missing_certificates(job.state()) == {}
    third = replace(SITE["ms-2"], name="ms-3")
    more = replace(job, site=replace(SITE, hosts=(*SITE.hosts, third)))
    assert set(missing_certificates(more.state())) == {"ms-1", "ms-2", "ms-3"}


def test_a_survey_asks_for_the_cluster_once_and_for_each_node_by_its_names():
    wanted = [(one.host, one.name) for one in site_targets(SITE) if one.port == 443]
    assert wanted.count(("", "vms")) == 1
    assert {("ms-1", "ms-1"), ("ms-2", "ms-2.lyon.local")} <= set(wanted)
    assert len(wanted) == len(set(wanted))


def test_a_node_that_another_ca_signs_for_is_asked_for_no_internal_name():
    node = Host("n1", "lyon.local", ("n1.example.com",), roles=("mobile server",),
                cluster=("video.example.com",), enrolment=THIRD_PARTY)  # fmt: skip
    site = Site("lyon", (node, replace(node, name="n2", aliases=("n2.example.com",))))
    assert site["n1"].issued_names == ("n1.example.com", "video.example.com", "n2.example.com")
