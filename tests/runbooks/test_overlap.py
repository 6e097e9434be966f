"""A new CA takes over: the right order leaves no link dark, and every wrong one shows its day."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lyon import AT, DAY, REC, SITE, key
from site_tables import sites

from vmscert.certificates.authority import QUICK, create_authority
from vmscert.certificates.diagnosis import diagnose
from vmscert.checks.acceptance import dark_links, service
from vmscert.runbooks.overlap import (
    A_DAY,
    REMOVE,
    RIGHT,
    SERVERS_FIRST,
    SWITCH,
    TRUST,
    WAIT,
    Overlap,
    _after,
    overlap_picture,
    overlap_rows,
    plan_overlap,
    planned_stores,
    proof,
    simulate_days,
    stand_ins,
)

ORDERS = {host.name: host.issued_names for host in SITE.servers}


def overlap_of(site=SITE, born=AT - 300 * DAY, **more):
    """The site under an old CA, and what shall follow it."""
    orders = {host.name: host.issued_names for host in site.servers}
    old, leaves = stand_ins(orders, "Old root", born)
    new, made = stand_ins(orders, "New root", AT)
    return Overlap(site, planned_stores(site, {}, [old], leaves, AT), old, new, made, **more)


@pytest.fixture(scope="module")
def overlap():
    return overlap_of()


def simulated(overlap, order=RIGHT, start=AT, a_day=2, **more):
    return simulate_days(overlap, plan_overlap(overlap, start, a_day, order=order, **more))


def held(days):
    return [check.ok for check in proof(days)]


def test_in_the_right_order_no_day_has_a_dark_link(overlap):
    days = simulated(overlap)
    assert held(days) == [True, True]
    assert [*days[-1].counts.values()] == [0, 5, 0, 3, 0, 0]


def test_the_parts_follow_each_other_and_no_day_has_more_visits_than_people_can_make(overlap):
    visits = plan_overlap(overlap, AT, 2, waiting=3)
    by_action = {a: [v.at for v in visits if v.action == a] for a in (TRUST, SWITCH, WAIT, REMOVE)}
    assert [(min(days) - AT).days for days in by_action.values()] == [0, 3, 5, 8]
    assert max(sum(v.at == day for v in visits) for day in by_action[TRUST]) == 2
    assert [v.host for v in visits if v.action == SWITCH] == ["ms", "rec-1", "mob"]


def test_servers_before_clients_show_who_goes_dark_from_the_first_day(overlap):
    days = simulated(overlap, SERVERS_FIRST)
    assert not proof(days)[0].ok
    assert f"{AT:%Y-%m-%d}: rec-1 → ms" in proof(days)[0].todo
    assert "does not trust" in proof(days)[0].todo


def test_the_old_root_taken_away_too_early_is_two_faults(overlap):
    days = simulated(overlap, (TRUST, REMOVE, SWITCH, WAIT))
    assert held(days) == [False, False]
    assert "ms, rec-1, mob still present it" in proof(days)[1].todo


def test_an_overlap_that_begins_too_late_is_dark_when_the_old_certificates_end(overlap):
    end = overlap.stores["ms"].personal[0].certificate.not_valid_after_utc
    assert held(simulated(overlap, start=end - 10 * DAY)) == [True, True]
    late = simulated(overlap, start=end - 2 * DAY)
    assert "ended on" in proof(late)[0].todo
    assert late[2].dark == ()  # its last moment is good
    assert late[3].dark


def test_what_ends_overnight_counts_though_that_day_s_visit_repairs_it(overlap):
    end = overlap.stores["ms"].personal[0].certificate.not_valid_after_utc
    days = simulated(overlap, start=end - 3 * DAY + timedelta(minutes=1), a_day=9)
    assert held(days) == [True, True]
    days = simulated(overlap, start=end - 3 * DAY + timedelta(minutes=1), a_day=2)
    dark = {link.connection.server for day in days for link in day.dark}
    assert dark == {"ms", "rec-1", "mob"}
    assert days[3].dark and not days[5].dark


def test_an_old_ca_that_ends_darkens_its_servers():
    key_of = {"key": key("short")}
    short = replace(QUICK, days=30)
    old = create_authority("Short root", AT, short, **key_of)
    leaves = {h: old.issue(*n, at=AT, **key_of).certificate for h, n in ORDERS.items()}
    overlap = overlap_of()
    overlap = replace(
        overlap, old=old.certificate,
        stores=planned_stores(SITE, {}, [old.certificate], leaves, AT),
    )  # fmt: skip
    assert held(simulated(overlap, start=AT + 10 * DAY)) == [True, True]
    assert not proof(simulated(overlap, start=AT + 26 * DAY))[0].ok


def test_a_plan_that_is_made_again_leaves_out_what_was_done(overlap):
    visits = plan_overlap(overlap, AT, 2)
    half = simulate_halfway(overlap, visits, 4)
    again = plan_overlap(half, AT + 4 * DAY, 2)
    done = {(v.action, v.host) for v in visits if v.at < AT + 4 * DAY}
    assert not done & {(v.action, v.host) for v in again}
    assert {(v.action, v.host) for v in visits} - done == {(v.action, v.host) for v in again}
    assert held(simulate_days(half, again)) == [True, True]


def simulate_halfway(overlap, visits, days):
    """The overlap as its computers stand after some days."""
    stores = dict(overlap.stores)
    for visit in visits:
        if visit.at < AT + days * A_DAY and visit.host:
            stores[visit.host] = _after(overlap, stores, visit)
    return replace(overlap, stores=stores)


def test_stores_that_were_reported_count_before_what_was_planned(overlap):
    lagging = replace(overlap.stores["pc-1"], root=())
    stores = planned_stores(SITE, {"pc-1": lagging}, [overlap.old], {}, AT)
    assert stores["pc-1"] is lagging
    assert stores["web-1"].root == (overlap.old,)


def test_stand_ins_have_the_name_and_dates_of_the_root_that_they_stand_for():
    real = create_authority("Real root", AT, QUICK, key("real")).certificate
    root, leaves = stand_ins(ORDERS, real, AT)
    assert (root.subject, root.not_valid_before_utc, root.not_valid_after_utc) == (
        real.subject, real.not_valid_before_utc, real.not_valid_after_utc
    )  # fmt: skip
    assert root.public_key() != real.public_key()
    assert set(leaves) == {"ms", "rec-1", "mob"}


def test_a_link_is_told_with_port_name_and_reason_and_others_are_not(overlap):
    stores = {**overlap.stores, "pc-1": replace(overlap.stores["pc-1"], root=())}
    links = dark_links(SITE, stores, AT)
    assert {link.connection.client for link in links} == {"pc-1"}
    assert {link.name for link in links if link.connection.server == "rec-1"} == {*REC.names}
    assert all("does not trust the CA" in link.why.detail for link in links)
    port = dict(REC.ports)
    assert {link.connection.port for link in links if link.connection.server == "rec-1"} <= {*port}


def test_nothing_is_assumed_of_computers_that_have_not_reported_or_do_not_encrypt(overlap):
    assert dark_links(SITE, {}, AT) == ()
    plain = {name: replace(held, root=(), bindings={}) for name, held in overlap.stores.items()}
    assert dark_links(SITE, plain, AT) == ()


def test_a_barred_certificate_darkens_whoever_barred_it(overlap):
    mine = overlap.stores["pc-1"]
    leaf = overlap.stores["ms"].personal[0].certificate
    for barred, word in (
        (leaf, "the certificate of a server"),
        (overlap.old, "the CA certificate"),
    ):
        links = dark_links(
            SITE, {**overlap.stores, "pc-1": replace(mine, disallowed=(barred,))}, AT
        )
        assert {link.connection.client for link in links} == {"pc-1"}
        assert all(word in link.why.detail for link in links if link.connection.server == "ms")


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(sites(), st.integers(1, 4), st.integers(0, 400))
def test_what_is_dark_on_any_day_is_what_a_diagnosis_at_that_moment_refuses(site, a_day, late):
    """Verdicts are remembered between the moments at which something begins or ends."""
    overlap = overlap_of(site)
    stores = dict(overlap.stores)
    for visit in plan_overlap(overlap, AT + late * DAY, a_day, order=SERVERS_FIRST):
        if visit.host:
            stores[visit.host] = _after(overlap, stores, visit)
        refused = {
            (link, name)
            for link in site.connections
            for held, client in [(stores[link.server], stores[link.client])]
            for chain in [service(site[link.server], held, link.group)[0]]
            for name in site[link.server].names
            if not diagnose(chain, name, client.trusted, visit.at).trusted
        }
        assert {link[:2] for link in dark_links(site, stores, visit.at)} == refused


def test_the_days_are_rows_and_a_picture_in_words_for_those_who_can_t_see_it(overlap):
    days = simulated(overlap, SERVERS_FIRST)
    rows = overlap_rows(days)
    assert len(rows) == len(days)
    assert rows[0]["at"] == "ms, rec-1"
    assert rows[0]["dark links"] == len(days[0].dark) > 0
    assert "days with dark links, the first 2026-11-23" in overlap_picture(days, "x").alt
    assert "no dark link on any" in overlap_picture(simulated(overlap), "x").alt
    assert overlap_picture(days, "x") == overlap_picture(days, "x")


def test_no_visit_a_day_is_no_plan(overlap):
    with pytest.raises(ValueError, match="0 visits a day"):
        plan_overlap(overlap, AT, 0)


def test_a_server_of_another_ca_is_left_as_it_is(overlap):
    ours = {name: leaf for name, leaf in overlap.leaves.items() if name != "mob"}
    visits = plan_overlap(replace(overlap, leaves=ours), AT, 5)
    assert {v.host for v in visits if v.action == SWITCH} == {"ms", "rec-1"}
