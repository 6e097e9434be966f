"""One table describes a site: every dialect is read, every fault is told, all of them at once."""

import csv
import time
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from site_tables import (
    CLIENT,
    HEADER,
    MANAGEMENT,
    RECORDER,
    SMALL,
    as_csv,
    sites,
    table,
    without,
)

from vmscert.facts import facts
from vmscert.site import columns as columns_module
from vmscert.site import grid as grid_module
from vmscert.site import table as table_module
from vmscert.site.columns import COLUMNS
from vmscert.site.grid import SiteError
from vmscert.site.site import THIRD_PARTY, Host, Site, in_order, is_public
from vmscert.site.table import read_site

WIDE = "".join(chr(ord(sign) + 0xFEE0) for sign in "10.0")  # as East Asian keyboards write it
NETWORK_SERVICE = r"NT AUTHORITY\NETWORK SERVICE"
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def read(tmp_path):
    """Read a table that is written as lyon.csv first; text as UTF-8, bytes as they are."""

    def read_text(text):
        path = tmp_path / "lyon.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_site(path)

    return read_text


@pytest.fixture
def faults(read):
    """Return the sentences about a table that can't be used."""

    def told(text):
        with pytest.raises(SiteError) as caught:
            read(text)
        return list(caught.value.errors)

    return told


def lines(*rows):
    return "\n".join((HEADER, *rows, ""))


# What a table may look like


@given(site=sites(), delimiter=st.sampled_from(",;\t"), end=st.sampled_from(["\n", "\r\n", "\r"]),
       quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
       encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]))  # fmt: skip
@ONE_FOLDER
def test_a_site_written_in_any_dialect_reads_back_equal(
    tmp_path_factory, site, delimiter, end, quoting, encoding
):
    assume(all(not host.ports or len(host.fqdn) <= 64 for host in site))
    path = tmp_path_factory.getbasetemp() / "lyon.csv"
    path.write_bytes(as_csv(site, delimiter, end, quoting).encode(encoding))
    assert read_site(path) == site


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\n\n\n"), id="blank lines"),
        pytest.param(lambda text: "\n \n,,,\n" + text, id="blank lines before the first"),
        pytest.param(lambda text: text + ",,,,,,,,,\n", id="lines of delimiters"),
        pytest.param(lambda text: text.replace("\n", ",,,\n"), id="empty columns at the end"),
        pytest.param(lambda text: text.replace(",,,,\n", "\n"), id="cells cut off at the end"),
        pytest.param(lambda text: text.replace(",", ", "), id="spaces around cells"),
        pytest.param(lambda text: text.replace("ms,", "ms\u00a0,"), id="non-breaking space"),
        pytest.param(lambda text: text.replace(" server", "\u00a0 server"), id="odd inner space"),
        pytest.param(lambda text: text.replace("ms,", "ms\u200b,"), id="invisible space"),
        pytest.param(lambda text: text.replace("rec-1", "REC-1"), id="upper-case name"),
        pytest.param(lambda text: text.replace("rec-1", "rec\u20131"), id="en dash in a name"),
        pytest.param(lambda text: text.replace("10.0", WIDE), id="full-width digits"),
        pytest.param(lambda text: text.replace("recording", "Recording"), id="upper-case role"),
        pytest.param(lambda text: text.replace("none,", "None,"), id="upper-case none"),
        pytest.param(lambda text: text.replace("leave_off", " Leave Off "), id="header as a title"),
        pytest.param(lambda text: text.replace("|", " | "), id="spaces around the bar"),
        pytest.param(lambda text: text.replace("|", "¦"), id="the other bar of the keyboard"),
        pytest.param(lambda text: text.replace("lyon.local", "lyon.local."), id="dot at the end"),
        pytest.param(lambda text: "sep=,\n" + text, id="Excel's line with the delimiter"),
        pytest.param(lambda text: "\ufeff\ufeff" + text, id="two byte order marks"),
        pytest.param(lambda text: text.rstrip("\n"), id="no line end at the end"),
        pytest.param(lambda text: text.replace("Windows Server 2022", "2022"), id="short release"),
    ],
)  # fmt: skip
def test_what_excel_and_hands_do_to_a_table_does_not_matter(read, change):
    assert change(table()) != table()
    assert read(change(table())) == read(table())


@pytest.mark.parametrize("written", ["a|b", "a, b", "a; b", "a\nb", " a |b| "])
def test_several_values_in_a_cell_may_be_written_as_people_write_them(read, written):
    site = read(table(f'rec-2,lyon.local,"{written}",,recording server,,,,,'))
    assert site["rec-2"].aliases == ("a", "b")


def test_columns_may_stand_in_any_order_and_only_name_and_roles_must_be_there(read):
    text = "\n".join(["roles;name", "Management Server | Event Server;ms", "|".join(
        without().split(",")[4].split("|")) + ";none"])  # fmt: skip
    assert read(text)["ms"].roles == ("management server", "event server")


def test_free_text_is_kept_as_written(read):
    row = r'rec-2,,,,recording server,LYON\Svc-Rec$,,,"Ümit, night","on the roof|½ floor  up"'
    host = read(table(row))["rec-2"]
    assert (host.account, host.owner) == (r"LYON\Svc-Rec$", "Ümit, night")
    assert host.notes == "on the roof|½ floor  up"


def test_a_name_with_an_umlaut_becomes_the_name_that_dns_knows(read):
    text = table("büro-1,,,,smart client,,,,,")
    assert (
        read(text).hosts[-1].name == read(text.encode("cp1252")).hosts[-1].name == "xn--bro-1-kva"
    )


# What is computed from it


@pytest.fixture
def lyon(read):
    """Two recorders, one of them not yet encrypting media; clients; nothing in a workgroup."""
    return read(
        lines(
            "ms,lyon.local,vms|vms.example.com,10.0.0.1,management server|event server,,,,,",
            r"rec-1,lyon.local,,10.0.0.2,recording server,LYON\svc-rec,2016,,,",
            "rec-2,,,10.0.0.3,recording server,,,streaming media,,",
            "mob,lyon.local,,,mobile server,,,,,",
            "pc,lyon.local,,,smart client|management client|mobile client,,,,,",
            "acs,lyon.local,,,mip integration,,,,,",
            without("mobile server", "smart client", "management client", "mip integration"),
        )
    )


def test_a_computer_is_called_by_full_name_short_name_aliases_and_addresses(lyon):
    assert lyon["ms"].names == ("ms.lyon.local", "ms", "vms", "vms.example.com", "10.0.0.1")


def test_a_computer_in_a_workgroup_has_no_full_name(lyon):
    assert (lyon["rec-2"].fqdn, lyon["rec-2"].names) == ("rec-2", ("rec-2", "10.0.0.3"))


def test_a_connection_needs_trust_where_a_client_calls_an_encrypted_port(lyon):
    found = {(c.client, c.server, c.port, c.group) for c in lyon.connections}
    assert found >= {
        ("pc", "rec-1", 7563, "streaming media"),
        ("acs", "rec-1", 7563, "streaming media"),
        ("mob", "rec-1", 7563, "streaming media"),
        ("ms", "rec-1", 7563, "streaming media"),
        ("ms", "rec-1", 9001, "server"),
        ("ms", "rec-2", 9001, "server"),
        ("rec-2", "ms", 9000, "server"),
        ("pc", "ms", 443, "server"),
        ("pc", "ms", 22331, "event server"),
        ("pc", "mob", 8082, "mobile streaming media"),
    }


def test_connections_are_every_fact_applied_to_every_pair_of_computers(lyon):
    expected = {
        (client.name, server.name, int(fact["port"]), fact["group"])
        for client in lyon
        for server in lyon
        for fact in facts("xprotect/connections")
        if fact["client"] in client.roles and fact["server"] in server.roles
        if fact["group"] not in server.left_off
    }
    found = [(c.client, c.server, c.port, c.group) for c in lyon.connections]
    assert sorted(found) == sorted(expected)


def test_media_left_unencrypted_asks_for_no_trust_and_no_group(lyon):
    assert not [c for c in lyon.connections if (c.server, c.group) == ("rec-2", "streaming media")]
    assert lyon["rec-1"].groups == ("server", "streaming media")
    assert lyon["rec-2"].groups == ("server",)
    assert 7563 in dict(lyon["rec-1"].ports)
    assert 7563 not in dict(lyon["rec-2"].ports)


def test_servers_need_a_certificate_and_servers_and_clients_need_the_ca(lyon):
    assert [host.name for host in lyon.servers] == ["ms", "rec-1", "rec-2", "mob"]
    assert [host.name for host in lyon.clients] == ["ms", "rec-1", "rec-2", "mob", "pc", "acs"]


def test_a_computer_that_calls_nobody_needs_no_ca(read):
    row = "mob,,,,mobile client,,,,,"  # there is no mobile server in the small site
    assert "mob" not in [host.name for host in read(table(row)).clients]


def test_the_account_of_the_table_reads_the_key_instead_of_the_default_one(lyon):
    assert lyon["rec-1"].accounts == (r"LYON\svc-rec",)
    assert lyon["rec-2"].accounts == (NETWORK_SERVICE,)


def test_a_question_is_left_to_a_person_for_every_integration(lyon):
    (row,) = (r for r in facts("xprotect/components") if r["role"] == "mip integration")
    assert [q for q in lyon.questions if q.startswith(f"acs ({row['component']}): ")]
    assert not [q for q in lyon.questions if q.startswith("pc ")]


def asked(site, name):
    """The questions about a computer that are about nothing but its role."""
    return [one for one in site.questions if name in one.partition(":")[0].split(", ")]


def test_whether_a_data_collector_alone_needs_the_server_group_is_asked_and_never_assumed(read):
    site = read(
        lines(
            "ms,lyon.local,,,management server|event server,,,,,",
            "mob,lyon.local,,,mobile server,,,,,",
            "es,lyon.local,,,event server,,,,,",
            "lpr,lyon.local,,,lpr server,,,,,",
            "rec,lyon.local,,,recording server|mobile server,,,,,",
            without("mobile server", "lpr server"),
        )
    )
    (question,) = asked(site, "mob")
    assert question.startswith("mob, es, lpr: does the group 'Server certificate' have to be")
    assert question.endswith("(unconfirmed)")
    assert "server" not in {group for name in ("mob", "es", "lpr") for group in site[name].groups}
    assert not asked(site, "rec")


def test_a_data_collector_and_the_management_server_talk_both_ways(lyon):
    assert lyon.collected(lyon["mob"]) == ("ms",)
    assert lyon.collected(lyon["ms"]) == ("rec-1", "rec-2", "mob")
    assert lyon.collected(lyon["pc"]) == ()


def test_a_failover_recorder_has_two_services_and_is_asked_about_hot_standby(read):
    site = read(table("rec-9,,,,failover recording server,,,,,"))
    assert site["rec-9"].services == (
        "Milestone XProtect Failover Server",
        "Milestone XProtect Recording Server",
    )
    (question,) = asked(site, "rec-9")
    assert "hot standby" in question


def test_the_other_site_of_a_federation_trusts_this_one_and_the_rest_is_asked(read):
    site = read(table("br-ms,,,,federated site,,,,,"))
    assert site["br-ms"] in site.clients
    assert site["br-ms"] not in site.servers
    (question,) = [one for one in site.questions if one.startswith("br-ms (")]
    assert "trust the other's CA" in question
    assert "New-VmsTrustedIssuer" in question


def test_certificates_that_others_make_are_named_where_their_roles_are(lyon, read):
    assert "SQL Server" in {row["what"] for row in lyon.outside}
    assert "applications of the AI Bridge" not in {row["what"] for row in lyon.outside}
    bridge = read(table("aib,,,,ai bridge,,,,,"))
    assert "applications of the AI Bridge" in {row["what"] for row in bridge.outside}


@pytest.mark.parametrize("way", ["csr", "third party"])
def test_the_key_of_a_computer_that_wants_it_as_a_file_is_made_here(faults, way):
    header = f"{HEADER},enrolment"
    rows = [f"{row}," for row in (MANAGEMENT, RECORDER, CLIENT, without("smart client"))]
    told = faults("\n".join((header, *rows, f"aib,,,,ai bridge,,,,,,{way}", "")))
    assert told == [
        "lyon.csv, line 6: aib wants its private key as the file server.key, so the key is made "
        "here: leave 'enrolment' empty"
    ]


def test_a_site_is_a_collection_of_computers(lyon):
    assert len(lyon) == len(list(lyon)) == 6
    assert lyon["mob"] in list(lyon)
    with pytest.raises(KeyError):
        lyon["nobody"]


def test_encryption_is_switched_on_at_the_management_server_before_its_recorders(lyon):
    names = [host.name for host in in_order(reversed(lyon.hosts))]
    assert names.index("ms") < names.index("rec-1") < names.index("mob") < names.index("pc")


# A table with a cluster


CLUSTER_HEADER = f"{HEADER},cluster"
NODES = (
    "ms-1,lyon.local,vms-old,10.0.0.1,management server|log server,,,,,,vms|10.0.0.9",
    "ms-2,lyon.local,,10.0.0.2,log server|management server,,,,,,10.0.0.9|VMS",
)
OTHERS = ("es,,,,event server,,,,,", without())


def clustered(*nodes):
    return "\n".join((CLUSTER_HEADER, *nodes, *OTHERS, ""))


def test_the_nodes_of_a_cluster_share_its_names_and_addresses(read):
    site = read(clustered(*NODES))
    assert {"vms", "10.0.0.9"} <= set(site["ms-1"].names) & set(site["ms-2"].names)
    assert site.nodes(site["ms-1"]) == (site["ms-1"], site["ms-2"])
    assert site.nodes(site["es"]) == (site["es"],)


def test_a_node_is_issued_the_names_of_the_cluster_and_of_all_nodes(read):
    site = read(clustered(*NODES))
    node = site["ms-2"]
    assert node.names == ("ms-2.lyon.local", "ms-2", "10.0.0.2", "10.0.0.9", "vms")
    others = ("ms-1.lyon.local", "ms-1", "vms-old", "10.0.0.1")
    assert node.issued_names == (*node.names, *others)
    assert set(site["ms-1"].issued_names) == set(node.issued_names)


def test_without_a_cluster_a_computer_is_issued_the_names_by_which_it_is_called(lyon):
    assert all(host.issued_names == host.names for host in lyon)


def test_a_site_that_loses_a_node_forgets_its_names(read):
    site = read(clustered(*NODES))
    assert "ms-2" not in replace(site, hosts=site.hosts[:1])["ms-1"].issued_names


@pytest.mark.parametrize(
    ("nodes", "sentences"),
    [
        pytest.param(
            NODES[:1],
            ["line 2: ms-1 is the only node of cluster 'vms': add the other nodes, with the same "
             "'cluster'"],
            id="one node",
        ),
        pytest.param(
            (NODES[0], NODES[1].replace("|VMS", "")),
            ["line 3: the cluster of ms-2 and ms-1 is written differently on line 2: write "
             "'vms|10.0.0.9' on both"],
            id="other names",
        ),
        pytest.param(
            (NODES[0], NODES[1].replace("log server|", "")),
            ["line 3: ms-2 and ms-1 on line 2 are nodes of one cluster, but serve different roles: "
             "write the same server roles on both"],
            id="other roles",
        ),
        pytest.param(
            tuple(node.lower().replace("vms|", "es|").replace("|vms", "|es") for node in NODES),
            ["line 4: 'es' is the name of a cluster and of one computer, see ms-1 on line 2: the "
             "cluster needs names of its own, in 'cluster' of each node"],
            id="the name of a computer",
        ),
        pytest.param(
            (NODES[0].replace("vms-old", "vms"), NODES[1]),
            ["line 3: 'vms' is the name of a cluster and of one computer, see ms-1 on line 2: the "
             "cluster needs names of its own, in 'cluster' of each node"],
            id="an alias",
        ),
        pytest.param(
            (NODES[0], NODES[1].replace(".2,", ".1,")),
            ["line 3: duplicate address '10.0.0.1': ms-1 on line 2 has it"],
            id="an address of a node",
        ),
        pytest.param(
            (NODES[0], NODES[1].replace("VMS", "v m s")),
            ["line 3: 'v m s' is not a host name: look at 'v m s' (allowed are letters, digits and "
             "inner hyphens, 1 to 63 of them)",
             "line 3: the cluster of ms-2 and ms-1 is written differently on line 2: write "
             "'vms|10.0.0.9' on both"],
            id="no name",
        ),
    ],
)  # fmt: skip
def test_a_cluster_that_is_none_is_told(faults, nodes, sentences):
    assert faults(clustered(*nodes)) == [f"lyon.csv, {sentence}" for sentence in sentences]


def test_two_management_servers_are_a_cluster_or_two_sites(faults):
    told = faults(clustered(*(node.rpartition(",")[0] for node in NODES)))
    assert told == [
        "lyon.csv, line 3: ms-2 is a management server, as ms-1 on line 2 is: if they are a "
        "cluster, write its name into 'cluster' of both; else give each site its own table, and "
        "where the sites are federated, write each one's management server into the other's table "
        "as 'federated site'"
    ]


def test_an_alias_of_two_like_servers_is_told_where_a_cluster_belongs(faults):
    nodes = (node.rpartition(",")[0].replace("local,,", "local,vms-old,") for node in NODES)
    assert faults(clustered(*nodes))[0] == (
        "lyon.csv, line 3: duplicate name 'vms-old': ms-1 on line 2 has it. If they are nodes of a "
        "cluster, write it into 'cluster' of both"
    )


# What is told about a table that can't be used


REST = "rec-9,lyon.local,,10.0.0.9,recording server,,,,,"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            REST.replace("recording", "recoding"),
            "unknown role 'recoding server'. Did you mean 'recording server'?",
        ),
        (
            REST.replace("recording server", "recording server|recording server"),
            "role 'recording server' stands there twice: keep one",
        ),
        (REST.replace("recording server", ""), "rec-9 has no role: what runs on it?"),
        (REST.replace("rec-9", ""), "the computer has no name: write its host name"),
        (REST.replace("rec-9", "REC-1"), "duplicate name 'rec-1': rec-1 on line 3 has it"),
        (REST.replace("0.9", "0.2"), "duplicate address '10.0.0.2': rec-1 on line 3 has it"),
        (REST.replace("l,,", "l,VMS,"), "duplicate name 'vms': ms on line 2 has it"),
        (
            REST.replace("rec-9", "rec 9"),
            "'rec 9' is not a host name: look at 'rec 9' (allowed are letters, digits and inner "
            "hyphens, 1 to 63 of them)",
        ),
        (
            REST.replace("rec-9", "rec-9.lyon.local"),
            "'rec-9.lyon.local' is a full name. Did you mean name 'rec-9', domain 'lyon.local'?",
        ),
        (
            REST.replace("rec-9", "01.02.2026"),
            "'01.02.2026' ends in a number like an IP address, but is not a valid one",
        ),
        (
            REST.replace("rec-9", "10.0.0.8"),
            "10.0.0.8 is an IP address where a host name belongs: move it to 'addresses' and write "
            "the computer's name here",
        ),
        (
            REST.replace("l,,", "l,10.0.0.8,"),
            "10.0.0.8 is an IP address where a name belongs: move it to 'addresses'",
        ),
        (
            REST.replace("10.0.0.9", "10.0.0.299"),
            "'10.0.0.299' is not an IP address: four numbers from 0 to 255 are wanted. If Excel "
            "changed it, format it as text",
        ),
        (
            REST.replace("10.0.0.9", "recorder"),
            "'recorder' is not an IP address: names belong in 'name' or 'aliases'",
        ),
        (REST.replace("10.0.0.9", "fe80::1%3"), "'fe80::1%3' is not an IP address"),
        (
            REST.replace("rec-9", "r" * 60),
            f"'{'r' * 60}.lyon.local' has 71 letters; a certificate's common name holds 64: give "
            f"the server a shorter name",
        ),
        (
            REST.replace("server,,,", "server,,Windoze 9,"),
            "'Windoze 9' is not a known Windows release. Did you mean 'Windows 7'?",
        ),
        (
            REST.replace("server,,,", "server,,,streming media"),
            "unknown certificate group 'streming media'. Did you mean 'streaming media'?",
        ),
        (
            REST.replace("server,,,", "server,,,event server"),
            "'leave_off' names 'event server', which these roles do not serve",
        ),
        (
            REST.replace("server,,,", "server,,,server"),
            "'server' can't be left off on one computer: the management server and all its "
            "recording servers switch together",
        ),
        (
            REST + "near the door, left",
            "'left' stands under no column name: clear it, or put quotes around text that "
            "contains ','",
        ),
        (REST.replace(",", ";"), "separate the cells by ',', as the first line does"),
        (
            REST.replace("10.0.0.9", '"10.0.0.9'),
            "can't be split into cells (unexpected end of data): look for a quote without its pair",
        ),
    ],
)  # fmt: skip
def test_a_bad_line_is_told_with_its_file_and_line_and_what_to_do(faults, row, sentence):
    assert faults(table(row)) == [f"lyon.csv, line 6: {sentence}"]


def test_a_management_server_without_a_name_is_told_why_that_fails(faults):
    assert faults("\n".join(SMALL).replace("ms,lyon.local", "10.0.0.1,")) == [
        "lyon.csv, line 2: the management server is known by its IP address 10.0.0.1 only: its "
        "identity provider checks its own certificate by name. Write its host name here"
    ]


def test_a_site_without_a_management_server_is_told(faults):
    es = "es,,,,event server,,,,,"
    assert faults(lines(RECORDER, CLIENT, es, without("smart client"))) == [
        "lyon.csv: no computer has the role 'management server': every site has one"
    ]


def test_a_forgotten_client_kind_is_told_with_the_way_to_say_there_is_none(faults):
    line = without("smart client", "lpr server", "dlna server")
    assert faults(lines(MANAGEMENT, RECORDER, CLIENT, line)) == [
        "lyon.csv: client kinds of the guide that no line mentions: dlna server | lpr server. Add "
        "these computers, or, if the site has none, one line with the name 'none' and these roles"
    ]


def test_a_client_kind_that_is_declared_absent_and_has_a_line_is_told(faults):
    assert faults(table("lpr,,,,lpr server,,,,,")) == [
        "lyon.csv: 'lpr server' has a line, and the line 'none' says there is none"
    ]


def test_a_client_that_cannot_speak_https_is_told_with_the_rules_and_the_way_out(faults, read):
    old = "acs,,,,old mip integration,,,,,"
    kinds = without("smart client", "old mip integration")
    (row,) = (r for r in facts("xprotect/components") if r["role"] == "old mip integration")
    (sentence,) = faults(lines(MANAGEMENT, RECORDER, CLIENT, old, kinds))
    assert sentence == (
        f"lyon.csv, line 5: acs ({row['component']}) can't speak HTTPS and would lose 'streaming "
        f"media' of rec-1: {row['rule'].replace('|', '; ')}. Until then write 'streaming media' "
        f"into 'leave_off' of these servers. If it calls only some of them, write their names into "
        f"'calls' of acs: the others may encrypt"
    )
    left_off = RECORDER.replace("2022,", "2022,streaming media")
    assert read(lines(MANAGEMENT, left_off, CLIENT, old, kinds))["rec-1"].groups == ("server",)


@pytest.mark.parametrize(
    ("header", "sentences"),
    [
        (HEADER.replace("owner", "ownr"), ["unknown column 'ownr'. Did you mean 'owner'?"]),
        (
            HEADER.replace("owner", "phone"),
            [f"unknown column 'phone'. Known are: {', '.join(COLUMNS)}"],
        ),
        (
            HEADER.replace("roles", "rolls"),
            ["unknown column 'rolls'. Did you mean 'roles'?"],
        ),
        (HEADER.replace("notes", "Name"), ["column 'name' stands there twice: keep one"]),
        (RECORDER, [f"names no column of a site's table: write {', '.join(COLUMNS)}"]),
    ],
)
def test_a_bad_first_line_is_told_without_an_echo_from_every_line_below(faults, header, sentences):
    text = table().replace(HEADER, header)
    assert faults(text) == [f"lyon.csv, line 1: {sentence}" for sentence in sentences]


def test_all_faults_are_told_at_once_in_the_order_of_the_lines(faults):
    text = lines(
        RECORDER,
        "10.0.0.7,,,,recording server,,,,,",
        "rec-1,,,10.0.0.2,recoding server,,,,,",
        "pc 1,,,300.1.1.1,smart client,,Windoze,,,",
        without("smart client", "lpr server"),
        "es,,,,event server,,,,,",
    ).replace("notes", "remarks")
    told = [sentence.split(":")[0] for sentence in faults(text)]
    assert told == [f"lyon.csv, line {n}" for n in (1, 3, 4, 4, 4, 5, 5, 5)] + ["lyon.csv"] * 2


def test_a_fault_after_text_with_line_breaks_is_told_with_the_line_on_which_it_begins(faults):
    note = '"first floor\nsecond door\nleft"'
    (sentence,) = faults(table(f"rec-8,,,,recording server,,,,,{note}", f"r 9,,,,lpr,,,,{note},")[
        :-1].replace("|lpr server", "").replace(",lpr,", ",lpr server,"))  # fmt: skip
    assert sentence.startswith("lyon.csv, line 9: 'r 9'")


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("rec-8,,,,recording server,EX\\svc\u2019,,,,", "'account' holds the curly quote \u2019"),
        ('rec-8,,,,recording server,"EX\\a\nb",,,,', "'account' has a line break"),
        ("rec-8,,,,recording server,EX\\a\u202eb,,,,", "'account' holds the sign U+202E"),
        ("con,,,,recording server,,,,,", "'con' is a name that Windows keeps"),
    ],
)
def test_what_no_script_and_no_windows_takes_is_told_of_the_table(faults, cells, told):
    (sentence,) = faults(table(cells))
    assert told in sentence
    assert sentence.startswith("lyon.csv, line ")


def test_every_sentence_about_a_table_is_said_somewhere():
    modules = (one.__file__ for one in (table_module, columns_module, grid_module))
    code = "".join(Path(str(one)).read_text(encoding="utf-8") for one in modules)
    assert [row["fault"] for row in facts("table-faults") if f'"{row["fault"]}"' not in code] == []


# What is no table at all


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "lyon.csv: the table is empty: copy example.csv and fill it in"),
        (b"\r\n ;;; \r\n", "lyon.csv: the table is empty: copy example.csv and fill it in"),
        (HEADER.encode(), "lyon.csv: the table has no computer: write one line for each"),
        (
            table().encode().replace(b"IT", b"I\0T"),
            "lyon.csv: is binary, not CSV: save it as 'CSV UTF-8'",
        ),
        (
            table().encode("cp1252").replace(b"Guards", b"Gu\x81rds"),
            "lyon.csv, line 4: wrong encoding: save the table as 'CSV UTF-8'",
        ),
    ],
)
def test_a_file_that_is_no_table_is_told_in_one_sentence(faults, data, sentence):
    assert faults(data) == [sentence]


def test_an_excel_workbook_is_told_how_to_be_saved(tmp_path):
    with ZipFile(tmp_path / "lyon.xlsx", "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(SiteError, match=r"lyon.xlsx: is a workbook, not CSV: save it as 'CSV UTF"):
        read_site(tmp_path / "lyon.xlsx")


def test_a_path_that_leads_nowhere_is_told(tmp_path):
    with pytest.raises(SiteError, match=r"nowhere\.csv can't be read: .*\. Check the path"):
        read_site(tmp_path / "nowhere.csv")
    with pytest.raises(SiteError, match=r"is a folder that can't be looked into"):
        read_site(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 1_000_000, id="one long line"),
        pytest.param("," * 1_000_000, id="a million commas"),
        pytest.param(table("n" * 100_000 + ",,,,recording server,,,,,"), id="one long name"),
        pytest.param(table("rec-9,,,," + "x" * 100_000), id="one long role"),
        pytest.param(table("rec-9,,,,recording server,,,,," + "x" * 200_000), id="one long note"),
        pytest.param(table('rec-9,,,,"' * 20_000), id="unpaired quotes"),
    ],
)
def test_huge_nonsense_is_told_in_a_sentence_that_can_be_read(faults, text):
    for sentence in faults(text):
        assert sentence.startswith("lyon.csv")
        assert len(sentence) < 1100


@given(data=st.binary(max_size=300))
@ONE_FOLDER
def test_no_bytes_end_in_anything_but_a_site_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(data)
    with pytest.raises(SiteError):
        read_site(path)


@given(data=st.data())
@ONE_FOLDER
def test_a_table_with_garbage_in_it_is_read_or_told(tmp_path_factory, data):
    text = table(REST)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 40, len(text))))
    garbage = data.draw(st.text(st.characters(codec="utf-8"), max_size=8) | st.just('"'))
    path = tmp_path_factory.getbasetemp() / "garbage.csv"
    path.write_bytes((text[:start] + garbage + text[end:]).encode())
    try:
        site = read_site(path)
    except SiteError as error:
        assert all(sentence.startswith("garbage.csv") for sentence in error.errors)
    else:
        assert len(site.connections) >= 0 and all(host.names for host in site)


def big(count):
    recorders = [
        f"rec-{i},,,10.{i >> 8}.{i & 255}.1,recording server,,2022,,," for i in range(9, count)
    ]
    return table(*recorders)


def test_reading_costs_no_more_for_each_computer_of_a_large_site(read):
    def seconds(text):
        begun = time.perf_counter()
        read(text)
        return time.perf_counter() - begun

    read(big(20))
    small = min(seconds(big(100)) for _ in range(3))
    large = min(seconds(big(500)) for _ in range(3))
    assert large < 5 * small * 2


def test_ten_thousand_lines_are_read(read):
    site = read(big(10_000))
    assert len(site.servers) == 9_991 + 2


# The way to a certificate

WITH_WAYS = f"{HEADER},enrolment"


def ways(*found):
    """A table whose three computers have these words under 'enrolment'."""
    rows = zip((MANAGEMENT, RECORDER, CLIENT), found, strict=True)
    return "\n".join((WITH_WAYS, *(f"{row},{way}" for row, way in rows), without("smart client")))


def test_a_server_gets_a_pfx_unless_the_table_says_another_way(read):
    hosts = read(ways("", "CSR", "Third  Party"))
    assert [host.enrolment for host in hosts] == ["pfx", "csr", "third party"]
    assert {host.enrolment for host in read(table())} == {"pfx"}


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("crs", "unknown enrolment 'crs'. Did you mean 'csr'?"),
        ("thirdparty", "unknown enrolment 'thirdparty'. Did you mean 'third party'?"),
        ("acme", "unknown enrolment 'acme'. Known are: pfx, csr, third party"),
    ],
)
def test_an_unknown_way_to_a_certificate_is_told_with_what_was_meant(faults, word, answer):
    assert faults(ways("", word, "")) == [f"lyon.csv, line 3: {answer}"]


NAMES = {
    "video.example.com": True, "xn--bcher-kva.example.dk": True, "video.nordhavn.dk": True,
    "vms": False, "vms.lyon.local": False, "VMS.LYON.LAN": False, "a.corp": False,
    "10.0.0.9": False, "8.8.8.8": False, "2001:db8::1": False, "host.home.arpa": False,
    "a.localdomain": False, "local.example.com": True, "notlocal.com": True,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_public_ca_signs_names_of_the_public_dns_and_no_other(name):
    assert is_public(name) is NAMES[name]


@pytest.mark.parametrize(
    ("aliases", "asked"),
    [
        (("video.example.com",), ["call it mob.lyon.local, mob, 10.0.0.4?"]),
        (
            ("video.example.com", "mob.lyon.local"),
            ["call it mob, 10.0.0.4?", "signs mob.lyon.local"],
        ),
        ((), ["signs mob.lyon.local, mob, 10.0.0.4: is the other CA one"]),
    ],
    ids=["public", "both", "internal"],
)
def test_what_another_ca_does_not_sign_is_asked_and_not_hidden(aliases, asked):
    mob = Host(
        "mob", "lyon.local", aliases, ("10.0.0.4",), ("mobile server",), enrolment=THIRD_PARTY
    )
    told = [one for one in Site("lyon", (mob,)).questions if "CA" in one]
    assert len(told) == len(asked)
    assert all(part in text for part, text in zip(asked, told, strict=True))
