"""The tables of facts are whole: every row has its source, and they fit each other."""

import re
import ssl

import pytest

from vmscert.facts import DATA, facts
from vmscert.findings import RULES

TABLES = sorted(path.stem for path in (DATA / "xprotect").glob("*.csv"))
TAGS = {"C", "C2", "E", "G", "I"}

# The clients that the guide lists, in its order, as roles of the tables.
GUIDE_CLIENTS = [
    "smart client",
    "management client",
    "management server",
    "mobile server",
    "event server",
    "lpr server",
    "open network bridge",
    "dlna server",
    "interconnect site",
    "mip integration",
    "old mip integration",
]


def column(table, name):
    return [row[name] for row in facts(f"xprotect/{table}")]


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_source_a_tag_and_a_release(table):
    for row in facts(f"xprotect/{table}"):
        assert row["source"]
        assert row["tag"] in TAGS
        assert row["since"]


@pytest.mark.parametrize("table", TABLES)
def test_no_row_has_more_or_fewer_cells_than_columns(table):
    assert all(None not in row and None not in row.values() for row in facts(f"xprotect/{table}"))


def test_every_client_of_the_guide_is_there_and_says_so():
    listed = {row["role"] for row in facts("xprotect/components") if row["guide"]}
    assert listed == set(GUIDE_CLIENTS)


def test_there_is_one_role_with_which_all_others_register():
    assert column("components", "central").count("yes") == 1


@pytest.mark.parametrize("role", GUIDE_CLIENTS)
def test_every_client_of_the_guide_starts_a_connection(role):
    assert role in column("connections", "client")


@pytest.mark.parametrize("role", sorted(set(GUIDE_CLIENTS) - {"management server"}))
def test_every_client_of_the_guide_fetches_streams_from_recording_servers(role):
    rows = facts("xprotect/connections")
    groups = {r["group"] for r in rows if (r["client"], r["server"]) == (role, "recording server")}
    assert "streaming media" in groups


def test_the_management_server_is_a_client_for_its_three_reasons():
    (row,) = [r for r in facts("xprotect/components") if r["role"] == "management server"]
    assert all(word in row["guide"] for word in ("System Monitor", "images", "AVI clips"))


def test_an_older_integration_comes_with_all_three_rules():
    (row,) = [r for r in facts("xprotect/components") if r["role"] == "old mip integration"]
    rebuild, add, ask = row["rule"].split("|")
    assert "2019 R1" in rebuild
    assert "HTTPS" in add
    assert "vendor" in ask
    assert (row["https"], row["left_to_person"]) == ("no", "yes")


def test_the_three_places_of_encryption_are_there_and_every_group_has_one():
    assert column("encryption-places", "place") == ["1", "2", "3"]
    grouped = {
        (group, row["place"])
        for row in facts("xprotect/encryption-places")
        for group in row["groups"].split("|")
    }
    assert grouped == {(r["group"], r["place"]) for r in facts("xprotect/certificate-groups")}


def test_connections_speak_of_roles_groups_and_places_that_exist():
    roles, groups = set(column("components", "role")), set(column("certificate-groups", "group"))
    for row in facts("xprotect/connections"):
        assert {row["client"], row["server"]} <= roles
        assert row["group"] in groups
        assert 0 < int(row["port"]) < 65536


def test_a_connection_stands_in_the_place_of_its_group():
    place = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
    assert all(row["place"] == place[row["group"]] for row in facts("xprotect/connections"))


def test_no_connection_stands_there_twice():
    keys = [(r["client"], r["server"], r["port"]) for r in facts("xprotect/connections")]
    assert len(keys) == len(set(keys))


def test_a_port_without_encryption_says_itself_how_sure_it_is():
    rows = facts("xprotect/connections")
    assert {row["plain_tag"] for row in rows} <= TAGS
    # A community tool expects these open only when they are encrypted.
    doubted = {row["plain_tag"] for row in rows if row["plain_port"] in ("9000", "9001")}
    assert doubted == {"I"}


@pytest.mark.parametrize("table", ["questions", "outside", "pem-files"])
def test_what_is_asked_and_left_to_others_speaks_of_roles_and_groups_that_exist(table):
    for row in facts(f"xprotect/{table}"):
        roles = row["roles"] if "roles" in row else row["role"]
        assert set(filter(None, roles.split("|"))) <= set(column("components", "role"))
        assert row.get("without_group", "") in {"", *column("certificate-groups", "group")}


def test_what_is_asked_begins_with_a_question():
    assert all("?" in text for text in column("questions", "question"))
    assert all("?" in text for text in column("outside", "ask"))


def test_each_role_that_wants_pem_files_wants_one_of_each_kind():
    kinds = {row["role"]: [] for row in facts("xprotect/pem-files")}
    for row in facts("xprotect/pem-files"):
        kinds[row["role"]].append(row["holds"])
    assert all(sorted(held) == ["certificate", "key", "roots"] for held in kinds.values())


def test_a_component_that_is_installed_beside_others_says_with_which_and_whom_it_talks_to():
    roles = set(column("components", "role"))
    for row in facts("xprotect/components"):
        assert bool(row["installed_with"]) == bool(row["talks_to"]) == (row["kind"] == "implied")
        if row["installed_with"]:
            assert {*row["installed_with"].split("|"), row["talks_to"]} <= roles


def test_group_identifiers_are_guids():
    guid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert all(guid.fullmatch(text) for text in column("certificate-groups", "guid"))


def test_what_waits_for_what_speaks_of_roles_and_groups_that_exist_and_agrees_with_the_order():
    order = {row["role"]: row for row in facts("xprotect/encryption-order")}
    switched = {
        r["group"]: r["switched_on"].split("|") for r in facts("xprotect/certificate-groups")
    }
    for row in facts("xprotect/switching"):
        assert row["role"] in switched[row["group"]]
        first, then = order[row["waits_for"]], order.get(row["role"])
        assert then is None or int(first[row["switch"]]) < int(then[row["switch"]])


def test_every_role_that_is_switched_has_a_downtime():
    switched = {
        role for text in column("certificate-groups", "switched_on") for role in text.split("|")
    }
    assert sorted(column("downtimes", "role")) == sorted(switched)
    assert all(int(text) > 0 for text in column("downtimes", "minutes"))


def test_whoever_serves_tls_is_switched_on_somewhere_and_has_a_place_in_the_order():
    serving = {
        row["role"]
        for row in facts("xprotect/components")
        if row["serves_tls"] == "yes" and row["kind"] != "implied"
        if row["role"] not in column("pem-files", "role")  # no Server Configurator runs there
    }
    switched = {
        role for text in column("certificate-groups", "switched_on") for role in text.split("|")
    }
    assert serving == switched
    # The log server shares a computer with the management server, and is switched with it.
    assert serving - set(column("encryption-order", "role")) == {"log server"}


@pytest.mark.parametrize("table", sorted(path.stem for path in (DATA / "tls").glob("*.csv")))
def test_every_row_about_tls_has_a_source_and_a_tag(table):
    for row in facts(f"tls/{table}"):
        assert row["source"]
        assert row["tag"] in TAGS
        assert None not in row
        assert None not in row.values()


def test_every_reason_of_openssl_means_a_problem_that_breaks_a_rule():
    problems = {row["problem"]: row["rule"] for row in facts("tls/problems")}
    assert set(problems.values()) <= set(RULES)
    assert {row["problem"] for row in facts("tls/reasons")} <= set(problems)


def test_cipher_suites_have_the_numbers_that_openssl_gives_them():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    known = {one["id"] & 0xFFFF: one["name"] for one in context.get_ciphers()}
    for row in facts("tls/numbers"):
        if row["what"] == "cipher suite":  # the RFC's name has words that OpenSSL leaves out
            assert letters(known[int(row["number"], 0)]) in letters(row["name"])


def letters(name):
    return re.sub("[_-]|WITH", "", name)
