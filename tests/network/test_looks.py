"""One server, one answer: whoever looks at it, and from wherever."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from chains import AT, Chain

from vmscert.certificates.authority import SERVER, thumbprint
from vmscert.checks.documents import Document
from vmscert.checks.judging import look_into
from vmscert.checks.live import verify_connections
from vmscert.network.looks import judged, look_at
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.network.survey import survey
from vmscert.network.targets import Target
from vmscert.network.tls import Handshake
from vmscert.practice.gallery import open_gallery
from vmscert.practice.servers import SEEN

NOW = datetime.now(UTC).replace(microsecond=0)
NAME = "rec-01.lyon.local"


@pytest.fixture(scope="module")
def met():
    """Fault → what a client meets at a server with it."""
    with open_gallery(at=NOW, seed=1) as gallery:
        every = [gallery.look(number) for number in gallery.numbers]
        (found,) = zip(*(one.look.codes for one in every), strict=True)
        yield dict(zip(found, every, strict=True))


@pytest.mark.parametrize("fault", SEEN)
def test_a_survey_finds_what_a_look_finds_but_for_revocation(met, fault):
    look, stand = met[fault].look, met[fault].stand
    (one,) = survey([look.target], stand.roots, NOW).seen
    looked = judged(look.handshake, stand.roots, NOW, target=look.target)
    assert one.findings == looked.findings
    assert one.verdict == looked.verdict


@pytest.mark.parametrize("fault", SEEN)
def test_a_connection_of_a_site_gets_the_verdict_of_a_look(met, fault):
    look, stand = met[fault].look, met[fault].stand
    site, name, place = stand.site, stand.client.name, (LOOPBACK, look.target.port)
    stores = {name: replace(stand.stores[name], root=stand.roots, third_party_root=())}
    links = site.connections[:1]
    seen = verify_connections(site, stores, {}, NOW, lambda _c, _name: place, links)
    (verdict,) = [one.verdict for one in seen if one.name == stand.name]
    without_lists = judged(look.handshake, stand.roots, NOW, target=look.target)
    assert verdict == without_lists.verdict


def test_what_openssl_refuses_and_most_clients_accept_is_verified_and_told(met):
    look = met["no-san"].look
    assert (look.verdict, look.handshake.ok) == ("verified", False) and look.handshake.error
    (told,) = look.findings
    assert (told.code, told.severity) == ("no-san", "dubious") and told.refused_by


def test_what_openssl_refuses_and_nobody_can_explain_is_a_finding():
    sent, roots = Chain().parts()
    odd = Handshake(Chain().asks, False, chain=tuple(sent), error="too odd", verify_code=1)
    (finding,) = judged(odd, roots, AT).findings
    assert (finding.code, finding.severity, finding.detail) == ("profile", "bad", "too odd")


def test_another_certificate_than_expected_and_an_end_that_is_near_are_told_by_every_look(
    ca, key, now
):
    issued = ca.issue(NAME, at=now, key=key, profile=replace(SERVER, days=10))
    with on_loopback({1: issued}) as ports:
        target = Target(LOOPBACK, ports[1], NAME, "rec-01")
        look = look_at(target, [ca.certificate], now)
        told = judged(look.handshake, [ca.certificate], now, target=target, expected=["A", "B"])
    assert (look.codes, look.verdict) == ({"expires-soon"}, "verified")
    assert [one.code for one in told.findings] == ["wrong-certificate-served", "expires-soon"]
    label = thumbprint(issued.certificate)
    assert told.detail == f"rec-01 presents {label}, issued to it was A or B"


def test_a_file_is_judged_as_if_a_server_had_sent_it():
    sent, roots = Chain().parts()
    document = Document("2 certificates", tuple(sent))
    look = look_into(document, roots, "elsewhere", AT)
    assert (look.verdict, look.about) == ("name-mismatch", "2 certificates, asked for elsewhere")
    server = judged(Handshake("elsewhere", True, chain=tuple(sent)), roots, AT)
    assert set(server.findings) <= set(look.findings)
    assert look_into(document, roots, "", AT).handshake.name == Chain().asks


def test_a_ca_alone_is_judged_as_a_ca():
    _, roots = Chain().parts()
    look = look_into(Document("a certificate", tuple(roots)), [], "", AT)
    assert look.diagnosis is None
    assert not look.codes & {"no-san", "leaf-is-ca", "untrusted-root"}


def test_where_nothing_could_be_seen_there_is_no_diagnosis():
    look = look_at(Target(LOOPBACK, 1, NAME), [], NOW, timeout=0.5)
    assert (look.presented, look.diagnosis, look.verdict) == ((), None, "not-reachable")
    assert look.about == f"{LOOPBACK}:1, asked for {NAME}: no TLS"
