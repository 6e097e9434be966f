"""A key was stolen: the order of the steps, and who goes dark in any other order."""

import pytest
from lyon import AT, SITE
from test_overlap import overlap_of

from vmscert.facts import facts
from vmscert.runbooks.compromise import CA, compromise_plan, own_trust


@pytest.fixture(scope="module")
def overlap():
    return overlap_of()


def plan(overlap, stolen, **more):
    return compromise_plan(SITE, overlap.stores, stolen, overlap.old, AT, **more)


def step(measures, word):
    return next(one for one in measures if word in one.action)


def test_after_a_server_s_key_the_new_certificate_is_served_before_the_old_one_is_barred(overlap):
    measures = plan(overlap, "rec-1")
    words = ("issue", "install", "verify", "Disallowed", "own", "retire")
    assert [one.number for one in measures] == [1, 2, 3, 4, 5, 6]
    assert all(word in one.action for word, one in zip(words, measures, strict=True))
    assert step(measures, "install").computers == ("rec-1",)
    calling = {c.client for c in SITE.connections if c.server == "rec-1"} | {"rec-1"}
    assert set(step(measures, "Disallowed").computers) == calling


def test_barring_it_first_darkens_that_server_for_all_that_call_it_and_no_other(overlap):
    dark = step(plan(overlap, "rec-1"), "Disallowed").dark
    links = {link.connection for link in dark}
    assert links == {c for c in SITE.connections if c.server == "rec-1"}
    assert all("holds the certificate of a server" in link.why.detail for link in dark)


def test_after_the_ca_s_key_the_old_root_is_barred_last_since_it_darkens_everything(overlap):
    measures = plan(overlap, CA)
    bar, serve = step(measures, "Disallowed"), step(measures, "issue")
    assert step(measures, "trust the new").number < serve.number < bar.number
    assert {link.connection for link in bar.dark} == set(SITE.connections)
    assert {link.connection for link in serve.dark} == set(SITE.connections)
    assert serve.computers == ("ms", "rec-1", "mob")
    assert set(bar.computers) == {host.name for host in SITE.clients}


@pytest.mark.parametrize("stolen", [CA, "rec-1"])
def test_with_a_thief_at_work_he_is_shut_out_first_and_the_price_is_told(overlap, stolen):
    first, *rest = plan(overlap, stolen, at_work=True)
    assert "Disallowed" in first.action
    assert first.first and first.dark
    rows = [one.row() for one in (first, *rest)]
    assert rows[0]["dark until the servers are done"].startswith(f"{len(set(links(first)))} links")
    assert not any(row["dark if it comes first"] for row in rows)


def links(measure):
    return (link.connection for link in measure.dark)


def test_servers_of_another_ca_are_left_out(overlap):
    ours = {name: held for name, held in overlap.stores.items() if name != "mob"}
    measures = compromise_plan(SITE, ours, CA, overlap.old, AT)
    assert step(measures, "issue").computers == ("ms", "rec-1")
    assert step(compromise_plan(SITE, ours, CA, overlap.new, AT), "issue").computers == ()


def test_clients_that_do_not_look_into_disallowed_are_named_and_unconfirmed(overlap):
    kinds = {row["client"]: row for row in own_trust(SITE)}
    assert kinds["Firefox"]["computers"] == ("web-1",)
    assert "unconfirmed" in kinds["Java program"]["what to do"]
    assert step(plan(overlap, CA), "own").computers == ("web-1",)


def test_a_name_that_is_no_server_is_refused(overlap):
    with pytest.raises(ValueError, match="'pc-1' is no server of lyon"):
        plan(overlap, "pc-1")


def test_rows_name_few_computers_and_count_the_rest(overlap):
    rows = [one.row() for one in plan(overlap, CA)]
    assert rows[0]["at"] == "the laptop"
    assert rows[1]["at"] == "ms, rec-1, mob and 2 more"
    assert rows[4]["dark if it comes first"].startswith(f"{len(SITE.connections)} links: ")


def test_every_step_of_the_table_has_its_number_and_a_known_place():
    for kind in {row["stolen"] for row in facts("compromise")}:
        steps = [row for row in facts("compromise") if row["stolen"] == kind]
        assert [int(row["step"]) for row in steps] == [*range(1, len(steps) + 1)]
        places = {"laptop", "server", "servers", "all", "callers", "own trust"}
        assert {row["where"] for row in steps} <= places
