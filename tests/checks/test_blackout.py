"""What goes dark when: the links, by name, and the certificate that ends them."""

from dataclasses import replace
from datetime import timedelta
from time import perf_counter

import pytest
from cryptography import x509

from vmscert import open_job
from vmscert.agenda.gather import dark_to_come
from vmscert.certificates.authority import QUICK, SERVER, create_authority, thumbprint
from vmscert.certificates.diagnosis import diagnose
from vmscert.checks.acceptance import dark_findings, dark_links
from vmscert.checks.blackout import Issue, assumed, blackouts, dark, dark_rows
from vmscert.notebook import time_machine
from vmscert.pictures.site_map import site_map
from vmscert.practice.faults import remade
from vmscert.site.site import Host, Site
from vmscert.windows.stores import Personal, Stores

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MS = Host("ms", "lyon.local", roles=("management server",))
REC = Host("rec-1", "lyon.local", roles=("recording server",))
PC = Host("pc-1", "lyon.local", roles=("smart client",))
SITE = Site("lyon", (MS, REC, PC))


@pytest.fixture(scope="module")
def ca(at, keys):
    return create_authority("Lyon VMS root 2026", at, QUICK, keys[1])


@pytest.fixture(scope="module")
def issue(ca, at, key):
    def one(host, days):
        profile = replace(SERVER, days=days)
        return ca.issue(*host.issued_names, at=at, profile=profile, key=key).certificate

    return Issue({"ms": one(MS, 400), "rec-1": one(REC, 100)}, {}, (ca.certificate,))


@pytest.fixture(scope="module")
def stores(issue, at):
    return assumed(SITE, {}, issue, at)


def links(found):
    return {(link.client, link.server, link.port) for one in found for link in one.links}


def of(server):
    return {(c.client, c.server, c.port) for c in SITE.connections if c.server == server}


def test_what_ends_first_comes_first_and_takes_all_links_of_its_server(stores, issue):
    first, second = blackouts(SITE, stores)
    assert first.since == issue.certificates["rec-1"].not_valid_after_utc
    assert first.cause == "the certificate on rec-1"
    assert first.thumbprint == thumbprint(issue.certificates["rec-1"])
    assert links([first]) == of("rec-1")
    assert (first.servers, "pc-1" in first.clients) == (("rec-1",), True)
    assert links([second]) == of("ms")


def test_the_last_second_still_counts(stores):
    found = blackouts(SITE, stores)
    end = found[0].since
    assert dark(found, end) == []
    assert dark(found, end + SECOND) == found[:1]
    assert dark(found, end + 3000 * DAY) == found


def test_a_ca_that_ends_first_takes_every_link_with_it_on_one_day(issue, ca, at):
    end = at + 50 * DAY
    short = remade(ca.certificate, ca.key, end=end)
    stores = assumed(SITE, {}, replace(issue, roots=(short,)), at)
    (found,) = blackouts(SITE, stores)
    assert found.since == end.replace(microsecond=0)
    assert found.cause == "the CA 'Lyon VMS root 2026'"
    assert found.thumbprint == thumbprint(short)
    assert links([found]) == of("rec-1") | of("ms")


def test_a_client_that_trusts_the_longer_of_two_roots_of_one_key_stays_lit(issue, ca, at):
    short = remade(ca.certificate, ca.key, end=at + 50 * DAY)
    both = assumed(SITE, {}, replace(issue, roots=(short, ca.certificate)), at)
    assert both["pc-1"].trusted == (short, ca.certificate)
    assert blackouts(SITE, both)[0].cause == "the certificate on rec-1"


def test_the_cause_is_what_ends_that_second_and_not_a_root_that_never_worked(issue, ca, at):
    short = remade(ca.certificate, ca.key, end=at + 50 * DAY)
    no_ca = remade(ca.certificate, ca.key, having=x509.BasicConstraints(False, None), critical=True)
    (found,) = blackouts(SITE, assumed(SITE, {}, replace(issue, roots=(no_ca, short)), at))
    assert (found.since, found.thumbprint) == (short.not_valid_after_utc, thumbprint(short))


def test_a_former_ca_darkens_only_the_server_that_still_uses_it(issue, ca, at, key):
    former = create_authority("Lyon VMS root 2016", at, replace(QUICK, days=60), key)
    old = former.issue(*REC.issued_names, at=at, key=key).certificate
    old = remade(old, former.key, end=at + 90 * DAY)
    given = replace(
        issue,
        certificates={**issue.certificates, "rec-1": old},
        roots=(ca.certificate, former.certificate),
    )
    found = blackouts(SITE, assumed(SITE, {}, given, at))
    assert found[0].cause == "the CA 'Lyon VMS root 2016'"
    assert links(found[:1]) == of("rec-1")
    assert found[1].cause == "the certificate on ms"


def test_an_intermediate_that_ends_is_named(issue, ca, at, key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Lyon issuing CA")])
    between = remade(ca.certificate, ca.key, subject=name, key=key.public_key(), end=at + 20 * DAY)
    leaf = remade(issue.certificates["rec-1"], key, issuer=name)
    given = replace(
        issue,
        certificates={**issue.certificates, "rec-1": leaf},
        above={"rec-1": (between, ca.certificate)},
    )
    found = blackouts(SITE, assumed(SITE, {}, given, at))
    assert found[0].cause == "the intermediate CA 'Lyon issuing CA'"
    assert links(found[:1]) == of("rec-1")


def test_a_link_that_never_worked_does_not_go_dark(stores, issue, at):
    without = {**stores, "pc-1": Stores("pc-1", at)}
    assert all("pc-1" not in one.clients for one in blackouts(SITE, without))


def test_who_has_not_reported_is_assumed_to_hold_what_was_issued_and_is_named(stores):
    found = blackouts(SITE, stores, reported=["rec-1", "ms"])
    assert found[0].assumed == ("pc-1",)
    assert blackouts(SITE, stores, reported=stores)[0].assumed == ()


def test_a_server_that_reported_before_its_certificate_came_is_taken_to_have_it(issue, at, ca):
    early = {"rec-1": Stores("rec-1", at, root=(ca.certificate,))}
    held = assumed(SITE, early, issue, at)["rec-1"]
    assert [one.certificate for one in held.personal] == [issue.certificates["rec-1"]]
    own = Personal(issue.certificates["rec-1"], True)
    kept = replace(early["rec-1"], personal=(own,))
    assert assumed(SITE, {"rec-1": kept}, issue, at)["rec-1"] == kept


def test_every_dark_link_is_one_that_the_diagnosis_refuses_and_no_other(stores):
    """Looking at few moments tells the same as looking at each day."""
    found = blackouts(SITE, stores)
    start = min(one.since for one in found) - 3 * DAY
    for day in (start + n * 40 * DAY for n in range(10)):
        told = links(dark(found, day))
        for link in SITE.connections:
            chain = [stores[link.server].personal[0].certificate]
            roots = stores[link.client].trusted
            trusted = diagnose(chain, SITE[link.server].names[0], roots, day).trusted
            assert ((link.client, link.server, link.port) in told) != trusted


def test_the_map_turns_red_link_by_link(stores):
    found = blackouts(SITE, stores)
    days = (found[0].since, found[0].since + SECOND, found[1].since + SECOND)
    told = [dark_findings(dark_links(SITE, stores, day)) for day in days]
    before, first, second = (site_map(SITE, findings=one) for one in told)
    assert "no findings that make" in before.alt
    assert len({before.svg, first.svg, second.svg}) == 3
    where = {one.where for one in told[1]}
    assert where == {f"{client} → {server}" for client, server, _ in of("rec-1")}


def test_rows_name_the_day_the_cause_and_everybody(stores):
    (first, _) = dark_rows(blackouts(SITE, stores))
    assert first["because"] == "the certificate on rec-1 ends"
    assert first["servers"] == ("rec-1",)
    assert "pc-1" in first["clients"]


def test_a_large_site_costs_far_less_than_one_diagnosis_a_link(ca, at, key):
    """Each server is judged once for all of its clients."""
    servers = [replace(REC, name=f"rec-{n}") for n in range(50)]
    clients = [replace(PC, name=f"pc-{n}") for n in range(500)]
    site = Site("large", (MS, *servers, *clients))
    profiles = [replace(SERVER, days=100 + n) for n in range(51)]
    made = {
        host.name: ca.issue(host.fqdn, host.name, at=at, profile=one, key=key).certificate
        for host, one in zip(site.servers, profiles, strict=True)
    }
    stores = assumed(site, {}, Issue(made, {}, (ca.certificate,)), at)
    begun = perf_counter()
    found = blackouts(site, stores)
    took = perf_counter() - begun
    assert len(found) == 51
    one = list(made.values())[:20]
    begun = perf_counter()
    for certificate in one:
        diagnose([certificate], "x", [ca.certificate], at)
    apiece = (perf_counter() - begun) / len(one)
    assert took < apiece * len(site.connections) / 4


@pytest.fixture(scope="module")
def job(site_folder):
    return open_job("16-verify-the-site", "data/sites/example.csv", site_folder)


class TestTheTimeMachine:
    def test_begins_on_the_first_dark_day_and_says_all_of_it_in_plain_text(self, job):
        first = dark_to_come(job.state())[0]
        machine = time_machine(job)
        said = machine.shown()["text/plain"]
        assert f"{machine.form.children[0].value:%Y-%m-%d}" == str(first["dark from"])[:10]
        for word in ("vms-rec-01", "vms-web-01", "the certificate on vms-mob-01 ends"):
            assert word in said
        assert "<svg" in machine.shown()["text/html"] or "<img" in machine.shown()["text/html"]

    def test_shows_today_without_a_dark_link(self, job):
        machine = time_machine(job)
        machine.form.children[0].value = job.at
        assert "Nothing is dark." in machine.shown()["text/plain"]
