"""The guide's three requirements and its warning, seen in what computers report."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from vmscert import QUICK, check_ca, check_site, create_authority, read_site
from vmscert.certificates.authority import SERVER, thumbprint
from vmscert.checks.acceptance import serving
from vmscert.facts import DATA
from vmscert.practice import GALLERY, healthy
from vmscert.practice.faults import remade
from vmscert.windows.stores import UNKNOWN, Personal, Service


@pytest.fixture(scope="module")
def lab():
    at = datetime.now(UTC).replace(microsecond=0)
    site = read_site(DATA / "sites" / "example.csv")
    return healthy(site, create_authority("example VMS root", at, QUICK), at)


def codes(findings):
    return {finding.code for finding in findings}


def test_a_computer_that_has_not_reported_is_named_and_nothing_is_assumed_of_it(lab):
    stores = {name: held for name, held in lab.stores.items() if name != "vms-rec-01"}
    findings = check_site(lab.site, stores, lab.at)
    assert [(f.code, f.where) for f in findings] == [("not-reachable", "vms-rec-01")]


def test_a_site_that_has_not_reported_at_all_names_every_computer(lab):
    findings = check_site(lab.site, {}, lab.at)
    assert {f.where for f in findings} == {host.name for host in lab.site.clients}


def test_a_finding_stands_once_however_many_clients_meet_it(lab):
    findings = GALLERY["expired"](lab).check()
    assert len(findings) == len(set(findings))
    assert {f.where for f in findings} == {lab.server.name}


def test_a_group_that_is_left_off_needs_no_certificate_for_it(lab):
    server = lab.server
    off = replace(server, left_off=frozenset({"streaming media"}))
    site = replace(lab.site, hosts=tuple(off if h is server else h for h in lab.site))
    bindings = {"server": lab.stores[server.name].bindings["server"]}
    stores = lab.holding(server, bindings=bindings).stores
    assert check_site(site, stores, lab.at) == []


def test_a_group_that_could_not_be_read_is_told_with_the_reason_and_never_fine(lab):
    """Half-written XML, a drive that is gone: the inventory says why."""
    broken = lab.holding(
        lab.server, bindings={"server": UNKNOWN, "streaming media": UNKNOWN},
        unread={"streaming media": "Unexpected end of file"},
    )  # fmt: skip
    (finding,) = broken.check()
    assert finding.code == "not-reachable"
    assert finding.detail == (
        f"what streaming media uses on {lab.server.name} could not be read: Unexpected end of file"
    )


def test_a_web_site_on_another_port_is_told_for_nobody_looked_there(lab):
    management = lab.site["vms-ms-01"]
    assert lab.holding(management, web_ports={"WebSiteSecurePort": "443"}).check() == []
    (finding,) = lab.holding(management, web_ports={"WebSiteSecurePort": "8443"}).check()
    assert (finding.code, finding.where) == ("not-reachable", "vms-ms-01")
    assert "port 8443" in finding.detail


def test_a_group_that_says_nothing_uses_what_it_was_given(lab):
    server, held = lab.server, lab.stores[lab.server.name]
    silent = replace(held, bindings=dict.fromkeys(server.groups, UNKNOWN))
    assert silent.used["server"] == UNKNOWN
    label = held.bindings["server"]
    assert replace(silent, given={"server": label}).used["server"] == label
    unread = replace(silent, given={"server": label}, unread={"server": "cut short"})
    assert unread.used["server"] == UNKNOWN


def test_a_bound_certificate_that_was_deleted_is_a_missing_certificate(lab):
    assert codes(lab.holding(lab.server, personal=()).check()) == {"no-certificate"}


def test_an_account_is_recognised_in_every_spelling(lab):
    held = lab.stores[lab.server.name].personal[0]
    for spelling in ("S-1-5-20", "network service", "AUTORITE NT\\SERVICE RÉSEAU"):
        readable = lab.holding(lab.server, personal=(replace(held, readers=(spelling,)),))
        assert readable.check() == []


@pytest.mark.parametrize(
    ("days", "expected"), [(31, set()), (30, {"expires-soon"}), (1, {"expires-soon"})]
)
def test_the_warning_that_xprotect_does_not_give_comes_thirty_days_before(lab, days, expected):
    issued = lab.authority.issue(
        *lab.server.names, at=lab.at, profile=replace(SERVER, days=days + 1)
    )
    assert codes(lab.serving(lab.server, issued).check()) == expected


def test_a_name_with_an_underscore_is_dubious(lab):
    odd = replace(lab.server, name="vms_rec_01")
    site = replace(lab.site, hosts=tuple(odd if h is lab.server else h for h in lab.site))
    other = healthy(site, lab.authority, lab.at)
    (finding,) = other.check()
    assert (finding.code, finding.severity) == ("name-not-portable", "dubious")


def test_a_fresh_ca_has_no_finding_but_a_short_key_is_one(lab):
    at = lab.at
    assert check_ca(create_authority("a", at).certificate, at) == []
    assert codes(check_ca(create_authority("a", at, QUICK).certificate, at)) == {"weak-key"}


def test_a_ca_of_one_year_is_told_at_once_and_an_ended_one_is_expired(lab):
    year = create_authority("a", lab.at, replace(QUICK, days=365)).certificate
    assert "expires-soon" in codes(check_ca(year, lab.at))
    assert "expired" in codes(check_ca(year, lab.at + timedelta(days=400)))
    assert "not-yet-valid" in codes(check_ca(year, lab.at - timedelta(days=3)))


def test_a_server_certificate_is_no_ca(lab):
    leaf = lab.served[lab.server.name].certificate
    assert "issuer-not-ca" in codes(check_ca(leaf, lab.at))


# What an inventory tells of one computer


@pytest.fixture(scope="module")
def older_ca(lab):
    """A CA of the same name with another key."""
    key = lab.served[lab.server.name].key
    return create_authority(lab.authority.name, lab.at, key=key).certificate


@pytest.fixture(scope="module")
def stranger(lab):
    """A root that has nothing to do with this site."""
    return create_authority("Somebody else", lab.at, QUICK).certificate


@pytest.fixture(scope="module")
def older(lab):
    """A certificate for the server that the CA issued a year ago."""
    new, year = lab.served[lab.server.name].certificate, timedelta(days=365)
    return remade(new, lab.authority.key, start=new.not_valid_before_utc - year)


def found(lab):
    return [(finding.code, finding.where) for finding in lab.check()]


@pytest.mark.parametrize(
    ("offset", "words"),
    [(None, ""), (300.0, ""), (-300.0, ""), (301.0, "5 minutes ahead of ms"), (-7200.0, "behind")],
)
def test_a_clock_may_differ_by_five_minutes(lab, offset, words):
    off = lab.holding(lab.client, clock_offset=offset, clock_source="ms").check()
    assert [f.code for f in off] == (["clock-off"] if words else [])
    assert all(words in f.detail and f.severity == "bad" for f in off)


def test_a_root_among_the_third_party_roots_counts(lab):
    ca = lab.authority.certificate
    assert found(lab.holding(lab.client, root=(), third_party_root=(ca,))) == []


def test_a_root_in_a_store_that_nobody_trusts_is_in_the_wrong_one(lab):
    ca, client = lab.authority.certificate, lab.client
    held = Personal(ca, False)
    places = {"user_root": (ca,), "intermediate": (ca,), "personal": (held,)}
    named = ("CurrentUser\\Root", "LocalMachine\\CA", "LocalMachine\\My")
    for (store, held), name in zip(places.items(), named, strict=True):
        (finding,) = lab.holding(client, root=(), **{store: held}).check()
        assert (finding.code, finding.where) == ("wrong-store", client.name)
        assert name in finding.detail


def test_an_intermediate_in_a_store_is_no_root_in_the_wrong_one(lab):
    """The CA's key, certified by somebody else: trusting that takes somebody else's root."""
    other = create_authority("Somebody else", lab.at, QUICK)
    cross = remade(lab.authority.certificate, other.key, issuer=other.certificate.subject)
    broken = lab.holding(lab.client, root=(), intermediate=(cross,))
    assert found(broken) == [("untrusted-root", lab.client.name)]


@pytest.mark.parametrize("bindings", [{}, {"server": UNKNOWN}], ids=["unbound", "unknown"])
def test_what_nobody_says_is_served_is_the_newest_certificate_of_its_own_names(
    lab, older, bindings
):
    names = (lab.server.name, next(one.name for one in lab.site.servers if one != lab.server))
    own, other = (lab.served[name].certificate for name in names)
    held = tuple(Personal(one, True) for one in (older, own, other))
    stores = lab.holding(lab.server, personal=held, bindings=bindings).stores[lab.server.name]
    assert serving(lab.server, stores, "server").certificate == own
    bound = replace(stores, bindings={"server": thumbprint(older)})
    assert serving(lab.server, bound, "server").certificate == older


def test_a_stranger_in_the_wrong_store_does_not_hide_that_the_root_is_missing(lab, stranger):
    broken = lab.holding(lab.client, root=(), user_root=(stranger,), intermediate=(stranger,))
    assert found(broken) == [("untrusted-root", lab.client.name)]


def test_a_root_that_lies_in_two_stores_is_told_with_both(lab):
    ca = lab.authority.certificate
    for more in ({"third_party_root": (ca,)}, {"user_root": (ca,)}):
        (finding,) = lab.holding(lab.client, **more).check()
        assert (finding.code, finding.severity) == ("root-twice", "dubious")
        assert "LocalMachine\\Root and " in finding.detail


def test_two_roots_of_one_name_are_told_though_the_right_one_is_among_them(lab, older_ca):
    client, ca = lab.client, lab.authority.certificate
    assert found(lab.holding(client, root=(older_ca, ca))) == [("root-twice", client.name)]


def test_roots_that_this_site_does_not_need_may_lie_where_they_like(lab, stranger):
    ca = lab.authority.certificate
    more = {"root": (ca, stranger), "third_party_root": (stranger,), "user_root": (stranger,)}
    assert found(lab.holding(lab.client, **more)) == []


def test_a_ca_that_was_renewed_with_its_key_is_no_second_ca(lab):
    ca = lab.authority.certificate
    renewed = remade(ca, lab.authority.key, end=ca.not_valid_after_utc + timedelta(days=3650))
    assert found(lab.holding(lab.client, root=(ca, renewed))) == []


def test_what_windows_is_never_to_trust_matters_to_who_meets_it(lab, stranger):
    leaf = lab.served[lab.server.name].certificate
    for client in (lab.client, lab.server):
        assert found(lab.holding(client, disallowed=(leaf, stranger))) == [
            ("disallowed", client.name)
        ]
    assert found(lab.holding(lab.client, disallowed=(stranger,))) == []


def test_an_old_ca_of_the_same_name_may_be_barred_without_harm(lab, older_ca):
    assert found(lab.holding(lab.client, disallowed=(older_ca,))) == []


def test_a_certificate_that_was_replaced_is_told_once_and_not_while_something_uses_it(lab, older):
    server, new = lab.server, lab.stores[lab.server.name].personal
    both = lab.holding(server, personal=(*new, Personal(older, True, server.accounts)))
    assert found(both) == [("superseded-left", server.name)]
    label = thumbprint(older)
    assert found(both.holding(server, https={"0.0.0.0:443": label})) == []
    bound = dict.fromkeys(server.groups, label)
    assert found(both.holding(server, bindings=bound)) == []  # the new one waits for its turn


def test_an_older_certificate_of_another_ca_or_computer_was_not_replaced(lab, older, stranger):
    server, new = lab.server, lab.stores[lab.server.name].personal
    key = lab.authority.key
    other_name = x509.SubjectAlternativeName([x509.DNSName("iis.example.local")])
    strangers = (remade(older, key, issuer=stranger.subject), remade(older, key, having=other_name))
    for one in strangers:
        assert found(lab.holding(server, personal=(*new, Personal(one, True)))) == []


def test_tls_that_is_switched_off_matters_on_the_side_that_is_used(lab):
    client, server = lab.client, lab.server
    assert found(lab.holding(client, tls={"TLS 1.2 Server": "off", "TLS 1.1 Client": "off"})) == []
    assert found(lab.holding(client, tls={"TLS 1.2 Client": "on"})) == []
    assert found(lab.holding(client, tls={"TLS 1.2 Client": "off"})) == [
        ("tls-too-old", client.name)
    ]
    assert found(lab.holding(server, tls={"TLS 1.2 Server": "off"})) == [
        ("tls-too-old", server.name)
    ]


def recorder(account):
    return Service("Milestone XProtect Recording Server", "", account, "Running")


def test_the_account_that_really_runs_the_service_has_to_read_the_key(lab):
    server = lab.server
    other = lab.holding(server, services=(recorder("EXAMPLE\\svc-vms"),))
    (finding,) = other.check()
    assert (finding.code, finding.where) == ("key-not-readable", server.name)
    assert "EXAMPLE\\svc-vms" in finding.detail
    (held,) = other.stores[server.name].personal
    readers = ("example\\SVC-VMS",)
    readable = other.holding(server, personal=(replace(held, readers=readers),))
    assert found(readable) == []  # the usual account, which runs nothing here, need not


def test_an_account_in_the_table_has_to_read_the_key_whatever_runs_now(lab):
    planned = replace(lab.server, account="EXAMPLE\\planned")
    site = replace(lab.site, hosts=tuple(planned if h is lab.server else h for h in lab.site))
    lab = replace(lab, site=site).holding(planned, services=(recorder("S-1-5-20"),))
    (finding,) = lab.check()
    assert finding.code == "key-not-readable"
    assert "EXAMPLE\\planned" in finding.detail


def test_a_service_that_serves_nothing_here_needs_no_key(lab):
    strangers = (
        Service("Milestone XProtect Mobile Server", "", "EXAMPLE\\mobile", "Running"),
        Service("VideoOS.Something", "Milestone helper", "EXAMPLE\\helper", "Running"),
        recorder(""),
    )
    assert found(lab.holding(lab.server, services=strangers)) == []


def test_a_service_is_known_by_its_display_name_too(lab):
    host = next(h for h in lab.site if "event server" in h.roles)
    one = Service("MilestoneEventServerService", "Milestone XProtect Event Server", "X\\y", "")
    assert "key-not-readable" in codes(lab.holding(host, services=(one,)).check())


@pytest.mark.parametrize(
    "address",
    [
        "https://VMS-MS-01:443/",
        "http://vms-ms-01.example.local/IDP",
        "vms-ms-01:9000",
        "vms-ms-01",
        "10.10.0.11",
        "",
        "http://[broken",
    ],
)
def test_a_component_may_call_the_management_server_by_any_of_its_names(lab, address):
    assert found(lab.holding(lab.server, registered={"recording server": address})) == []


@pytest.mark.parametrize("address", ["https://old-mgmt/", "vms-ms-01.old.local", "10.9.9.9:80"])
def test_a_component_that_calls_the_management_server_otherwise_is_told(lab, address):
    (finding,) = lab.holding(lab.server, registered={"recording server": address}).check()
    assert (finding.code, finding.where) == ("name-mismatch", lab.server.name)
    assert "the recording server on vms-rec-01 calls" in finding.detail


def test_a_management_server_may_call_itself_localhost_as_long_as_it_does_not_encrypt(lab):
    host = next(h for h in lab.site if "management server" in h.roles)
    own = "management server, identity provider"
    assert found(lab.holding(host, registered={own: "http://localhost/IDP"})) == []
    for other, address in ((host, "https://localhost/IDP"), (lab.server, "http://localhost/")):
        assert found(lab.holding(other, registered={own: address})) == [
            ("name-mismatch", other.name)
        ]


def test_a_computer_of_another_site_has_a_management_server_of_its_own(lab):
    host = next(h for h in lab.site if "interconnect site" in h.roles)
    assert found(lab.holding(host, registered={"recording server": "hq-mgmt-01"})) == []


@pytest.mark.parametrize(
    ("windows", "pfx", "expected"),
    [
        ("Microsoft Windows Server 2016 Standard, build 14393", "AES-256", True),
        ("Microsoft Windows Server 2016 Standard, build 14393", "3DES", False),
        ("Microsoft Windows Server 2016 Standard, build 14393", None, False),
        ("Microsoft Windows Server 2022 Standard, build 20348", "AES-256", False),
        ("Microsoft Windows Server 2099 Standard, build 99999", "AES-256", False),
        ("", "AES-256", False),
    ],
)
def test_the_windows_that_is_really_there_has_to_open_the_pfx(lab, windows, pfx, expected):
    stores = lab.holding(lab.server, windows=windows).stores
    issued = {lab.server.name: pfx} if pfx else None
    findings = check_site(lab.site, stores, lab.at, issued)
    assert codes(findings) == ({"pfx-too-new-for-windows"} if expected else set())


def test_a_server_presents_the_intermediates_that_windows_finds_for_it(lab):
    """They lie in LocalMachine\\CA; a client that trusts the root above them goes on."""
    server, key = lab.server, lab.served[lab.server.name].key
    own = create_authority("Issuing CA", lab.at, QUICK, key).certificate
    middle = remade(own, lab.authority.key, issuer=lab.authority.certificate.subject)
    leaf = remade(lab.served[server.name].certificate, key, issuer=own.subject)
    below = lab.serving(server, replace(lab.served[server.name], certificate=leaf))
    assert found(below.holding(server, intermediate=(lab.authority.certificate, middle))) == []
    assert codes(below.check()) == {"missing-intermediate"}
