"""What is switched on before what, what it costs, and what breaks when somebody is too quick."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lyon import switching_checks, told
from site_tables import sites

from vmscert import open_job, read_site
from vmscert.facts import DATA, facts
from vmscert.runbooks.visits import Verify, plan_switching
from vmscert.site.order import TRUST, callers, ready, switch_off, switch_on, too_early
from vmscert.site.site import Host, Site

EXAMPLE = DATA / "sites" / "example.csv"
FEW = settings(max_examples=30)
DIRECTIONS = pytest.mark.parametrize("switch", [switch_on, switch_off])


@pytest.fixture(scope="module")
def example():
    return read_site(EXAMPLE)


def host(name, *roles, **more):
    return Host(name, "lyon.local", roles=roles, **more)


MANAGER = host("ms", "management server")
CLIENT = host("pc", "smart client")


def site(*hosts):
    return Site("lyon", hosts)


def visits(steps):
    return [(step.host, *step.groups) for step in steps if step.number != TRUST]


def step_of(steps, name, group="server"):
    (step,) = (one for one in steps if one.host == name and group in one.groups)
    return step


def before(steps, step):
    """The computers whose steps come before this one."""
    return {one.host for one in steps if one.number in step.waits_for}


# The order


def test_the_example_trusts_first_and_its_recorders_follow_the_management_server(example):
    steps = switch_on(example)
    assert (steps[0].number, steps[0].host, steps[0].groups) == (TRUST, "", ())
    assert visits(steps) == [
        ("vms-ms-01", "event server"),
        ("vms-ms-01", "server"),
        ("vms-rec-01", "server", "streaming media"),
        ("vms-rec-02", "server", "streaming media"),
        ("vms-rec-03", "server", "streaming media"),
        ("vms-mob-01", "mobile streaming media"),
    ]
    assert [step.waits_for for step in steps] == [(), (0,), (0, 1), (0, 2), (0, 2), (0, 2), (0,)]


def test_the_example_is_switched_off_from_the_management_server_to_the_event_server(example):
    steps = switch_off(example)
    assert visits(steps) == [
        ("vms-ms-01", "server"),
        ("vms-rec-01", "server", "streaming media"),
        ("vms-rec-02", "server", "streaming media"),
        ("vms-rec-03", "server", "streaming media"),
        ("vms-ms-01", "event server"),
        ("vms-mob-01", "mobile streaming media"),
    ]
    assert [step.waits_for for step in steps] == [(), (1,), (1,), (1,), (1, 2, 3, 4), ()]


@DIRECTIONS
@FEW
@given(drawn=sites())
def test_no_step_comes_before_what_it_waits_for(switch, drawn):
    steps = switch(drawn)
    first = TRUST if switch is switch_on else 1
    assert [step.number for step in steps] == [n + first for n in range(len(steps))]
    assert all(before < step.number for step in steps for before in step.waits_for)


@DIRECTIONS
@FEW
@given(drawn=sites())
def test_every_group_of_every_server_is_switched_once(switch, drawn):
    switched = [(step.host, group) for step in switch(drawn) for group in step.groups]
    assert sorted(switched) == sorted((one.name, g) for one in drawn.servers for g in one.groups)


@DIRECTIONS
@FEW
@given(drawn=sites(), data=st.data())
def test_a_step_is_too_early_exactly_while_something_that_it_waits_for_is_missing(
    switch, drawn, data
):
    step = data.draw(st.sampled_from(switch(drawn)))
    done = data.draw(st.sets(st.sampled_from([*step.waits_for, 10_000])))
    assert bool(too_early(drawn, step, done)) == bool(set(step.waits_for) - done)


def test_a_computer_with_all_roles_is_switched_group_by_group():
    alone = host("all", "recording server", "event server", "management server", "mobile server")
    groups = ["event server", "server", "streaming media", "mobile streaming media"]
    steps = switch_on(site(alone, CLIENT))
    assert visits(steps) == [("all", group) for group in groups]
    assert step_of(steps, "all", "streaming media").waits_for == (TRUST,)
    off = switch_off(site(alone, CLIENT))
    assert [group for _, group in visits(off)] == [groups[i] for i in (1, 2, 0, 3)]


def test_a_failover_recorder_follows_the_management_server_and_nobody_is_sure_of_it():
    stands_in = host("rec-9", "failover recording server")
    lyon = site(stands_in, MANAGER, host("rec-1", "recording server"), CLIENT)
    steps = switch_on(lyon)
    assert [name for name, *_ in visits(steps)] == ["ms", "rec-1", "rec-9"]
    step = step_of(steps, "rec-9")
    assert (before(steps, step), step.sure) == ({"", "ms"}, "unconfirmed")
    assert "(unconfirmed)" in too_early(lyon, step, {TRUST})[0]
    assert step_of(steps, "rec-1").sure == "second hand"


def test_a_log_server_of_its_own_comes_after_the_management_server():
    steps = switch_on(site(host("log", "log server"), MANAGER))
    assert [name for name, *_ in visits(steps)] == ["ms", "log"]
    assert before(steps, step_of(steps, "log")) == {"", "ms"}


def test_what_is_left_off_is_not_switched_and_waits_for_nothing():
    media = host("rec-1", "recording server", left_off=frozenset({"server"}))
    plain = host("rec-2", "recording server", left_off=frozenset({"streaming media"}))
    steps = switch_on(site(MANAGER, media, plain, CLIENT))
    assert visits(steps)[1:] == [("rec-1", "streaming media"), ("rec-2", "server")]
    assert step_of(steps, "rec-1", "streaming media").waits_for == (TRUST,)
    assert before(steps, step_of(steps, "rec-2")) == {"", "ms"}


# A cluster


@pytest.fixture(scope="module")
def cluster():
    nodes = [replace(MANAGER, name=f"ms-{n}", cluster=("vms",)) for n in (1, 2)]
    return site(*nodes, host("rec-1", "recording server"), CLIENT)


@DIRECTIONS
def test_the_nodes_of_a_cluster_go_one_after_the_other_and_recorders_after_all_of_them(
    switch, cluster
):
    steps = switch(cluster)
    first, second, recorder = (step_of(steps, name) for name in ("ms-1", "ms-2", "rec-1"))
    assert first.number in second.waits_for
    assert {first.number, second.number} <= set(recorder.waits_for)
    (text,) = too_early(cluster, second, {TRUST})
    assert text.startswith("ms-1 and ms-2 would stand still at the same time")


def test_the_passive_node_is_first_and_every_node_registers_again(cluster):
    first, second = (step_of(switch_on(cluster), name) for name in ("ms-1", "ms-2"))
    assert "passive" in first.also[0]
    assert not [text for text in second.also if "passive" in text]
    for step in (first, second):
        assert [text for text in step.also if "register this node again" in text]
    assert step_of(switch_on(cluster), "rec-1").also == ()


def test_only_the_nodes_of_management_servers_register_again():
    nodes = [host(f"ev-{n}", "event server", cluster=("ev",)) for n in (1, 2)]
    steps = switch_on(site(MANAGER, *nodes, CLIENT))
    first, second = (step_of(steps, node.name, "event server") for node in nodes)
    told = " ".join((*first.also, *second.also))
    assert "passive" in told
    assert "register" not in told


# Too early, and ready


def test_a_recorder_before_the_management_server_would_refuse(example):
    step = step_of(switch_on(example), "vms-rec-01")
    assert too_early(example, step, {TRUST, 1}) == (
        "vms-rec-01 would refuse: recorders can only be in the state that the management server "
        "is in (second hand)",
    )
    assert too_early(example, step, {TRUST, 2}) == ()


def test_a_client_that_does_not_trust_goes_dark(example):
    step = step_of(switch_on(example), "vms-mob-01", "mobile streaming media")
    assert callers(example, step) == ("vms-web-01",)
    assert too_early(example, step, ()) == (
        "vms-web-01 goes dark: it does not hold the CA certificate",
    )
    manager = step_of(switch_on(example), "vms-ms-01")
    (several,) = [text for text in too_early(example, manager, {1}) if "dark" in text]
    assert several.endswith(" more go dark: they do not hold the CA certificate")


def test_a_step_is_ready_when_all_that_call_there_trust_and_no_other_has_to(example):
    step = step_of(switch_on(example), "vms-rec-01")
    trusting = {*callers(example, step), "vms-rec-01"}
    assert "vms-web-01" not in trusting
    assert ready(example, step, {"vms-web-01": "goes dark: why"}).ok
    for name in trusting:
        bad = ready(example, step, {name: "goes dark: why"})
        assert not bad.ok
        assert bad.todo.startswith(f"{name} goes dark: why")
        assert "13-trust-the-ca-on-clients" in bad.todo


def test_what_stands_still_names_who_calls_there(example):
    step = step_of(switch_on(example), "vms-mob-01", "mobile streaming media")
    assert step.dark == "video on phones and in browsers; called by vms-web-01"
    assert step.ports == (8082,)


# What people read


def test_a_downtime_is_printed_as_unconfirmed_as_long_as_no_source_is_named(example):
    assert {row["tag"] for row in facts("xprotect/downtimes")} == {"G"}
    shown = [row["downtime"] for row in plan_switching(example)]
    assert shown[0] == "0 min"
    assert all(text.endswith(" min (unconfirmed)") for text in shown[1:])
    assert plan_switching(example)[0]["switch"] == ("trust the CA",)


def test_a_port_is_printed_as_unconfirmed_as_long_as_nobody_confirmed_a_connection_to_it(example):
    confirmed = {(one.server, one.port) for one in example.connections if one.confirmed}
    empty = SimpleNamespace(site=example, current={}, issuers={}, inventories={})
    job = SimpleNamespace(site=example, state=lambda: empty)
    shown = {(row["server"], row["port"]) for row in told(Verify(job).look())}
    every = {(server.name, port) for server in example.servers for port, _ in server.ports}
    assert confirmed and every - confirmed
    assert shown == confirmed | {
        (name, f"{port} (unconfirmed)") for name, port in every - confirmed
    }


def test_a_plan_names_a_group_as_the_window_does_where_that_differs(example):
    switched = [row["switch"] for row in plan_switching(example)]
    assert switched[1] == ("event server (in the window: Event server and add-ons)",)
    assert switched[2:4] == [("server",), ("server", "streaming media")]


def test_a_plan_names_runs_of_steps_by_their_ends(example):
    after = [row["after"] for row in plan_switching(example, off=True)]
    assert after == ["", "1", "1", "1", "1-4", ""]
    assert plan_switching(example)[3]["after"] == "0, 2"


def test_a_plan_says_once_what_becomes_of_clients_without_trust_and_clusters_alone_add_a_column(
    example,
):
    rows = plan_switching(example)
    assert ["dark" in row["if it came too early"] for row in rows] == [True] + [False] * 6
    assert "besides" not in rows[0]
    nodes = [
        Host(name, roles=("management server",), cluster=("vms",)) for name in ("ms-01", "ms-02")
    ]
    assert all("besides" in row for row in plan_switching(site(*nodes)))


def test_the_plan_of_a_site_without_servers_is_trust_alone():
    assert [row["step"] for row in plan_switching(site(CLIENT))] == [TRUST]
    assert plan_switching(site(CLIENT), off=True) == []


def test_a_runbook_is_held_while_a_client_of_the_next_connections_does_not_trust(tmp_path):
    job = open_job("15-enable-encryption", EXAMPLE, tmp_path)
    assert [check.ok for check in switching_checks(job)] == [True]
    forgotten = replace(job.records.inventories()["vms-web-01"], root=())
    job.records.save_inventory(forgotten)
    (bad,) = switching_checks(job)
    assert bad.what.startswith("vms-mob-01 and all that call it")
    assert bad.todo.startswith("vms-web-01 goes dark")


def test_the_command_prints_numbered_steps_for_people_and_for_programs(capsys):
    from vmscert.cli.change import plan

    plan(str(EXAMPLE), off=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in told] == list(range(7))
    assert told[3]["waits_for"] == [0, 2]
    assert told[3]["too_early"][1].startswith("vms-rec-01 would refuse")
    plan(str(EXAMPLE), off=True, as_json=False)
    assert "vms-rec-01" in capsys.readouterr().out
