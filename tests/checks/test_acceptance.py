"""Whoever tells whether a client accepts a server says the same of every link: the whole gallery.

Each fault by itself and a hundred seeded pairs of them are made at a small site, and everybody is
asked. What one says is compared with `acceptance`, link by link and name by name, and with what a
diagnosis of the bare certificates would say.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from vmscert import QUICK, RULES, create_authority, read_site
from vmscert.checks.acceptance import (
    acceptance,
    bad,
    dark_findings,
    dark_links,
    each_link,
    refusals,
    service,
)
from vmscert.checks.blackout import blackouts
from vmscert.checks.lacks import stopping_findings
from vmscert.facts import DATA, pfx_encryption
from vmscert.pictures.site_map import site_map
from vmscert.practice import GALLERY, healthy
from vmscert.runbooks.overlap import WAIT, Overlap, Visit, simulate_days
from vmscert.windows.stores import Stores, presented

FEW = ("vms-rec-01", "vms-rec-02", "vms-pc-01", "vms-pc-02")
PAIRS = [tuple(Random(seed).sample(sorted(GALLERY), 2)) for seed in range(100)]
CASES = [(), *((name,) for name in sorted(GALLERY)), *PAIRS]


@pytest.fixture(scope="module")
def sound():
    at = datetime.now(UTC).replace(microsecond=0)
    site = read_site(DATA / "sites" / "example.csv")
    site = replace(site, hosts=tuple(site[name] for name in FEW))
    return healthy(site, create_authority("example VMS root", at, QUICK), at)


def lab_with(sound, faults):
    """The site with these faults; one that needs a computer that is not here is left out."""
    lab = sound
    for name in sorted(faults, key="malformed".__eq__):  # of which nothing else can be made
        try:
            lab = GALLERY[name](lab)
        except StopIteration:
            continue
    return lab


@pytest.fixture(scope="module", params=CASES, ids=lambda faults: "+".join(faults) or "sound")
def lab(request, sound):
    return lab_with(sound, request.param)


def told(lab):
    """(connection, name) → the codes for which that client refuses, asked one by one."""
    return {
        (link, name): [one.code for one in bad(found)]
        for link in lab.site.connections
        for name, found in acceptance(
            lab.site[link.server],
            lab.stores[link.server],
            link.group,
            lab.stores[link.client],
            lab.at,
        ).items()
    }


def switched(lab, link):
    return link.group in lab.stores[link.server].bindings


def test_all_at_once_say_what_each_says_by_itself(lab):
    many = {
        (link, name): [one.code for one in bad(found)]
        for link, reasons in refusals(lab.site, lab.stores, lab.at)
        for name, found in reasons.items()
    }
    assert {key: codes for key, codes in told(lab).items() if codes} == {
        key: codes for key, codes in many.items() if codes
    }


def test_what_is_dark_is_what_is_refused_where_encryption_is_on(lab):
    refused = {key for key, codes in told(lab).items() if codes and switched(lab, key[0])}
    dark = dark_links(lab.site, lab.stores, lab.at)
    assert {link[:2] for link in dark} == refused
    assert all(one.why.code in told(lab)[one[:2]] for one in dark)
    where = {f"{link.client} → {link.server}" for link, _ in refused}
    assert {one.where for one in dark_findings(dark)} == where
    calm = "no findings that make" in site_map(lab.site, findings=dark_findings(dark)).alt
    assert calm == (not refused)


def test_the_check_of_a_site_tells_each_reason_and_no_other_that_makes_clients_refuse(lab):
    found = set(bad(lab.check()))
    reasons = {
        one
        for _, answers in refusals(lab.site, lab.stores, lab.at)
        for told_of_name in answers.values()
        for one in bad(told_of_name)
    }
    assert reasons <= found
    beside = {one.code for one in found - reasons}
    assert beside <= {code for code, rule in RULES.items() if rule.about == "computer"}


def test_an_overlap_of_two_cas_begins_with_the_darkness_of_today(lab):
    root = lab.authority.certificate
    leaves = {name: one.certificate for name, one in lab.served.items()}
    overlap = Overlap(lab.site, lab.stores, root, root, leaves)
    (day, *_) = simulate_days(overlap, [Visit(lab.at, WAIT)])
    assert day.dark == dark_links(lab.site, lab.stores, lab.at)


def test_a_link_is_lit_until_the_day_that_is_told_and_dark_from_then_on(lab):
    found = blackouts(lab.site, lab.stores)
    ends = {link: one.since for one in found for link in one.links}
    for link in lab.site.connections:
        codes = [told(lab)[link, name] for name in lab.site[link.server].names]
        if switched(lab, link) and not all(codes):
            assert ends[link] >= lab.at
        elif link in ends:  # once it worked, or one day it will
            assert ends[link] < lab.at or any("not-yet-valid" in one for one in codes)
    for one in found:
        before = {link[0] for link in dark_links(lab.site, lab.stores, one.since)}
        after = {link[0] for link in dark_links(lab.site, lab.stores, one.since + SECOND)}
        assert set(one.links) <= after
        partly = {link for link in one.links if link in before}
        assert all(len(answers(lab, link, one.since)) > 1 for link in partly)


SECOND = timedelta(seconds=1)


def answers(lab, link, at):
    """The different verdicts that the names of one server get: by some it may never be accepted."""
    server, held = lab.site[link.server], lab.stores[link.server]
    found = acceptance(server, held, link.group, lab.stores[link.client], at)
    return {bool(bad(one)) for one in found.values()}


# What of a client decides


@pytest.fixture(scope="module")
def link(sound):
    return next(
        one
        for one in sound.site.connections
        if (one.client, one.server) == ("vms-pc-01", "vms-rec-01")
    )


def codes_of(sound, link, client, at=None, held=None):
    server = sound.site[link.server]
    held = held or sound.stores[link.server]
    found = acceptance(server, held, link.group, client, at or sound.at)
    return {one.code for name in found for one in found[name]}


def test_a_client_whose_clock_is_past_the_end_refuses_and_its_clock_is_named(sound, link):
    end = sound.served["vms-rec-01"].certificate.not_valid_after_utc
    late = replace(sound.stores["vms-pc-01"], clock_offset=3 * 3600.0)
    assert codes_of(sound, link, late, end - timedelta(hours=1)) == {"clock-off"}
    assert codes_of(sound, link, late, end - timedelta(hours=4)) == set()
    right = replace(late, clock_offset=30.0)
    assert codes_of(sound, link, right, end) == set()


def test_what_is_barred_beside_another_trusted_way_up_does_no_harm(sound, link):
    """Two roots with one key: Windows is to trust one and never the other."""
    from vmscert.practice.faults import remade

    twin = remade(sound.authority.certificate, sound.authority.key)
    held = sound.stores["vms-pc-01"]
    both = held.trusting(twin).barring(sound.authority.certificate)
    assert codes_of(sound, link, both) == set()
    assert codes_of(sound, link, held.barring(sound.authority.certificate)) == {"disallowed"}
    mine = sound.served["vms-rec-01"].certificate
    assert codes_of(sound, link, both.barring(mine)) == {"disallowed"}


def test_an_intermediate_that_the_client_holds_need_not_be_sent(sound, link, key):
    from cryptography import x509

    from vmscert.practice.faults import remade

    root, top = sound.authority.certificate, sound.authority.key
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Lyon issuing CA")])
    between = remade(root, top, subject=name, key=key.public_key())
    leaf = remade(sound.served["vms-rec-01"].certificate, key, issuer=name)
    server, held = sound.site["vms-rec-01"], sound.stores["vms-rec-01"]
    alone = replace(held, personal=()).serving(leaf, server.groups, server.accounts)
    client = sound.stores["vms-pc-01"]
    assert codes_of(sound, link, client, held=alone) == {"missing-intermediate"}
    assert codes_of(sound, link, client.knowing(between), held=alone) == set()
    assert codes_of(sound, link, client, held=alone.knowing(between)) == set()
    assert presented(leaf, alone.knowing(between)) == (leaf, between)
    # Windows sends nothing above what one of its own roots signed (second hand).
    assert presented(leaf, alone.knowing(between).trusting(between)) == (leaf,)


def test_a_service_that_can_t_use_its_key_is_refused_by_everybody(sound, link):
    held = sound.stores["vms-rec-01"]
    dumb = replace(held, personal=tuple(replace(one, readers=()) for one in held.personal))
    assert codes_of(sound, link, sound.stores["vms-pc-01"], held=dumb) == {"key-not-readable"}
    gone = replace(held, personal=tuple(replace(one, has_key=False) for one in held.personal))
    assert codes_of(sound, link, sound.stores["vms-pc-01"], held=gone) == {"key-missing"}


def test_encryption_that_is_off_hides_no_other_reason(sound, link):
    """Before it is switched on, everybody wants to know who would go dark."""
    off = replace(sound.stores["vms-rec-01"], bindings={})
    bare = Stores("vms-pc-01", sound.at)
    assert codes_of(sound, link, bare, held=off) == {"not-encrypted", "untrusted-root"}
    assert service(sound.site["vms-rec-01"], off, link.group)[0] != ()


def test_each_server_is_judged_once_for_all_computers_that_believe_the_same(sound):
    asked = []
    found = [*each_link(sound.site, sound.stores, lambda *one: asked.append(one))]
    assert len(found) == len(sound.site.connections)
    assert len(asked) == len({(link.server, link.group) for link in sound.site.connections})


# The gates: a stage is red for each finding of its own that is bad, and for no other


class Seen:
    """What a state of the records would say of a lab."""

    def __init__(self, lab):
        self.site, self.at, self.inventories, self.unheard = lab.site, lab.at, lab.stores, {}
        self.current = {name: one.certificate for name, one in lab.served.items()}
        self.issuers = dict.fromkeys(self.current, (lab.authority.certificate,))
        self.pfx_encryptions = {h.name: pfx_encryption(h.windows) for h in lab.site.servers}


def red(lab):
    """Stage → the computers that keep it from holding, of everything that is not merely missing."""
    seen = Seen(lab)
    return {stage: set(stopping_findings(seen, stage)) for stage in ("12", "13", "14", "15")}


def test_each_bad_finding_turns_a_stage_red_that_its_rule_names_and_no_stage_is_red_without(lab):
    found, stages = bad(lab.check()), red(lab)
    for one in found:
        named = one.rule.stages.split("|")
        assert any(one.where in stages[stage] for stage in named), one
    for stage, computers in stages.items():
        if stage != "12":  # which also judges what was issued, whoever holds it
            of_it = {one.where for one in found if stage in one.rule.stages.split("|")}
            assert computers <= of_it


@pytest.mark.parametrize(
    ("fault", "stage", "computer"),
    [
        ("key-not-readable", "14", "vms-rec-01"),
        ("no-certificate", "14", "vms-rec-01"),
        ("disallowed", "13", "vms-pc-01"),
        ("clock-off", "13", "vms-pc-01"),
        ("pfx-too-new-for-windows", "12", "vms-rec-01"),
        ("untrusted-root", "13", "vms-pc-01"),
        ("not-encrypted", "15", "vms-rec-01"),
        ("wrong-eku", "12", "vms-rec-01"),
    ],
)
def test_a_fault_stops_the_stage_that_would_repair_it(sound, fault, stage, computer):
    assert computer in red(GALLERY[fault](sound))[stage]
    assert not any(red(sound).values())


def test_an_older_certificate_that_is_still_in_use_does_not_stop_the_stage_that_renews_it(sound):
    """Else nobody could carry the new one there."""
    ended = GALLERY["expired"](sound)
    renewed = replace(ended, served=sound.served)
    assert red(renewed)["12"] == set()
    assert red(renewed)["15"] == {"vms-rec-01"}
