"""A recorded connection: what was said, who proves what, and what a listener can open."""

import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import QUICK, Authority, create_authority
from vmscert.lessons.messages import message, sent_certificates
from vmscert.lessons.recording import capture, key_shares, open_recording, signed_by_server
from vmscert.network.tls import client_context, handshake
from vmscert.pictures.bytes import ladder
from vmscert.pictures.canvas import WIDTH, pixels
from vmscert.practice.faults import remade

NAME = "vms-rec-01.lyon.local"
MODES = {
    "TLS 1.3": {},
    "TLS 1.2": {"version": "1.2"},
    "RSA": {"version": "1.2", "key_exchange": "RSA"},
}
SAY = b"Open the gate of the north car park"
each_mode = pytest.mark.parametrize("mode", MODES)
ecdhe = pytest.mark.parametrize("mode", ["TLS 1.3", "TLS 1.2"])

# Who says what, as RFC 8446 section 2 and RFC 5246 section 7.3 draw it; * is encrypted.
HANDSHAKES = {
    "TLS 1.3": """
        client ClientHello
        server ServerHello
        server ChangeCipherSpec
        server EncryptedExtensions *
        server Certificate *
        server CertificateVerify *
        server Finished *
        client ChangeCipherSpec
        client Finished *
        server NewSessionTicket *
        server NewSessionTicket *
        client ApplicationData *
        server ApplicationData *
    """,
    "TLS 1.2": """
        client ClientHello
        server ServerHello
        server Certificate
        server ServerKeyExchange
        server ServerHelloDone
        client ClientKeyExchange
        client ChangeCipherSpec
        client Finished *
        server NewSessionTicket
        server ChangeCipherSpec
        server Finished *
        client ApplicationData *
        server ApplicationData *
    """,
    "RSA": """
        client ClientHello
        server ServerHello
        server Certificate
        server ServerHelloDone
        client ClientKeyExchange
        client ChangeCipherSpec
        client Finished *
        server NewSessionTicket
        server ChangeCipherSpec
        server Finished *
        client ApplicationData *
        server ApplicationData *
    """,
}


@pytest.fixture(scope="module")
def issued(ca, key, now):
    return ca.issue(NAME, "10.10.0.21", at=now, key=key)


@pytest.fixture(scope="module")
def recorded(issued, ca):
    """One recording of each mode."""
    return {mode: called(issued, ca, mode) for mode in MODES}


def called(issued, ca, mode, name=NAME, say=SAY):
    return capture(issued, [ca.certificate], name, **MODES[mode], say=say)


def names(recording):
    return [one.name for one in recording.messages]


def facts(recording):
    return [(one.sender, one.name, dict(one.facts), one.says) for one in recording.messages]


def words(picture):
    return "\n".join(ElementTree.fromstring(picture.svg).itertext())


def with_one_bit_changed(recording, name):
    """The recording as if somebody had changed the random number of one hello on the way."""
    changed = recording.first(name)
    data = changed.data[:20] + bytes([changed.data[20] ^ 1]) + changed.data[21:]
    messages = [replace(m, data=data) if m is changed else m for m in recording.messages]
    return replace(recording, messages=tuple(messages))


# What was said


@each_mode
def test_the_messages_come_as_the_rfcs_draw_them(recorded, mode):
    seen = [
        f"{one.sender} {one.name}{' *' if one.protected else ''}" for one in recorded[mode].messages
    ]
    assert seen == [line.strip() for line in HANDSHAKES[mode].strip().splitlines()]


@each_mode
def test_a_listener_finds_what_travels_in_clear_and_nothing_of_the_rest(recorded, mode):
    recording = recorded[mode]
    for one in recording.messages:
        assert (one.data in recording.wire[one.sender]) is not one.protected, one.name


def test_a_listener_sees_the_certificate_in_tls_1_2_but_not_in_1_3(recorded, issued):
    der = issued.certificate.public_bytes(Encoding.DER)
    seen = {mode: der in recorded[mode].wire["server"] for mode in MODES}
    assert seen == {"TLS 1.3": False, "TLS 1.2": True, "RSA": True}


def test_the_name_that_the_client_asks_for_is_in_clear_in_every_mode(recorded):
    assert all(NAME.encode() in one.wire["client"] for one in recorded.values())


@each_mode
def test_what_is_told_is_the_same_in_two_runs_though_no_secret_is(recorded, issued, ca, mode):
    one, other = recorded[mode], called(issued, ca, mode)
    assert facts(one) == facts(other)
    assert ladder(one) == ladder(other)
    assert one.first("ClientHello").data != other.first("ClientHello").data
    assert one.first("Finished").data != other.first("Finished").data


@each_mode
def test_every_message_has_a_fact_and_one_sentence(recorded, mode):
    for one in recorded[mode].messages:
        assert one.facts, one.name
        assert re.fullmatch(r"[A-Z][^{}]+\.", one.says), one.name


def test_the_hellos_tell_what_is_offered_and_what_is_chosen(recorded):
    hello = recorded["TLS 1.3"].first("ClientHello").facts
    assert hello == {
        "asks for": NAME,
        "offers": "TLS 1.3, TLS 1.2",
        "sends": "its half of ECDHE (secp256r1)",
        "knows": "9 cipher suites",
        "ECDHE groups": "secp256r1",
        "accepts signatures by": "RSA-PSS, RSA PKCS #1, ECDSA, EdDSA",
    }
    assert recorded["TLS 1.3"].first("ServerHello").facts == {
        "chooses": "TLS 1.3",
        "cipher suite": "TLS_AES_256_GCM_SHA384",
        "sends": "its half of ECDHE (secp256r1)",
    }
    chosen = recorded["RSA"].first("ServerHello").facts
    assert chosen == {"chooses": "TLS 1.2", "cipher suite": "TLS_RSA_WITH_AES_256_GCM_SHA384"}


def test_what_the_hellos_tell_is_what_openssl_agreed_on(recorded):
    agreed = {mode: (one.result.version, one.cipher) for mode, one in recorded.items()}
    assert agreed == {
        "TLS 1.3": ("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        "TLS 1.2": ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"),
        "RSA": ("TLSv1.2", "AES256-GCM-SHA384"),
    }


def test_where_the_secret_comes_from_is_told_of_both_key_exchanges(recorded):
    halves = recorded["TLS 1.2"]
    assert halves.first("ServerKeyExchange").facts == {
        "sends": "its half of ECDHE",
        "signs": "this half and both random numbers",
    }
    assert halves.first("ClientKeyExchange").facts == {"sends": "its half of ECDHE"}
    transport = recorded["RSA"].first("ClientKeyExchange").facts
    assert transport["encrypted with"] == "the RSA key of the certificate"


@each_mode
def test_the_certificate_is_told_with_its_issuer_and_names(recorded, ca, mode):
    assert recorded[mode].first("Certificate").facts == {
        "certificate of": NAME,
        "issued by": ca.name,
        "good for": f"{NAME}, 10.10.0.21",
    }


@each_mode
def test_the_intermediates_that_were_sent_along_are_told(ca, keys, now, mode):
    middle = Authority(ca.issue("issuing-ca.lyon.local", at=now, profile=QUICK, key=keys[2]))
    recording = called(middle.issue(NAME, at=now, key=keys[0]), ca, mode)
    assert recording.first("Certificate").facts["also sent"] == "issuing-ca.lyon.local"
    sent = sent_certificates(recording.first("Certificate").data)
    chain = [one.public_bytes(Encoding.DER) for one in recording.result.chain]
    assert list(sent) == chain


def test_who_calls_an_address_names_nobody(issued, ca):
    recording = called(issued, ca, "TLS 1.3", "10.10.0.21")
    assert recording.result.ok
    assert recording.first("ClientHello").facts["asks for"] == "no name"


@each_mode
def test_what_the_two_programs_said_is_kept_however_long(issued, ca, mode):
    long = b"camera " * 5000  # several records
    recording = called(issued, ca, mode, say=long)
    assert recording.said == {"client": long, "server": recording.messages[-1].data}
    assert recording.messages[-2].data == long
    assert b"camera camera" not in recording.wire["client"]


def test_a_recording_leaves_the_settings_of_other_clients_alone(issued, ca):
    shared = client_context((ca.certificate,))
    listening = shared._msg_callback
    called(issued, ca, "RSA")
    assert shared is client_context((ca.certificate,))
    assert shared._msg_callback is listening
    assert handshake(issued, [ca.certificate], NAME).version == "TLSv1.3"


@pytest.mark.parametrize(("version", "how"), [("1.3", "RSA"), ("1.1", "ECDHE"), ("1.2", "DHE")])
def test_what_can_not_be_recorded_is_refused_in_one_sentence(issued, ca, version, how):
    with pytest.raises(ValueError, match=f"TLS {version} with {how} can't be recorded"):
        capture(issued, [ca.certificate], NAME, version=version, key_exchange=how)


# Refused


@pytest.fixture(scope="module")
def expired(issued, ca, now):
    old = remade(
        issued.certificate,
        ca.key,
        start=now - timedelta(days=9),
        end=now - timedelta(days=1),
    )
    return replace(issued, certificate=old)


@each_mode
@pytest.mark.parametrize(
    ("server", "name", "trusted", "alert"),
    [
        ("issued", "vms-rec-02.lyon.local", "ca", "bad_certificate"),
        ("issued", NAME, "stranger", "unknown_ca"),
        ("expired", NAME, "ca", "certificate_expired"),
    ],
    ids=["name", "untrusted", "expired"],
)
def test_a_refused_handshake_ends_with_the_clients_alert(
    request, mode, server, name, trusted, alert
):
    server, trusted = map(request.getfixturevalue, (server, trusted))
    recording = called(server, trusted, mode, name)
    last = recording.messages[-1]
    assert (last.sender, last.facts) == ("client", {"alert": alert, "level": "fatal"})
    assert names(recording)[-2] == "Certificate"
    assert recording.wire["client"].endswith(last.data)
    usual = handshake(server, [trusted.certificate], name)
    assert recording.result.verify_code == usual.verify_code is not None
    assert recording.said == {}


@each_mode
def test_who_was_refused_before_has_neither_signed_nor_told_anything(issued, stranger, mode):
    recording = called(issued, stranger, mode)
    with pytest.raises(ValueError, match=r"signs nothing|the handshake ended before"):
        signed_by_server(recording)
    with pytest.raises(ValueError, match=r"stays closed|the handshake ended before"):
        open_recording(recording, issued.key)


# Who proves what


def verify(recording, public_key):
    content, signature, scheme = signed_by_server(recording)
    assert scheme == "rsa_pss_rsae_sha256"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    public_key.verify(signature, content, pss, hashes.SHA256())


def test_the_servers_signature_verifies_with_the_key_of_its_certificate(recorded):
    recording = recorded["TLS 1.3"]
    verify(recording, recording.result.chain[0].public_key())


def test_it_does_not_verify_with_another_key(recorded, ca):
    with pytest.raises(InvalidSignature):
        verify(recorded["TLS 1.3"], ca.certificate.public_key())


@pytest.mark.parametrize("name", ["ClientHello", "ServerHello", "Certificate"])
def test_it_does_not_verify_when_a_message_was_changed(recorded, issued, name):
    changed = with_one_bit_changed(recorded["TLS 1.3"], name)
    with pytest.raises(InvalidSignature):
        verify(changed, issued.certificate.public_key())


def test_in_rsa_key_transport_the_server_signs_nothing(recorded):
    with pytest.raises(ValueError, match="signs nothing"):
        signed_by_server(recorded["RSA"])


def test_the_halves_of_ecdhe_are_new_each_time_while_the_certificate_stays(recorded, issued, ca):
    one, other = recorded["TLS 1.3"], called(issued, ca, "TLS 1.3")
    halves = {*key_shares(one).values(), *key_shares(other).values()}
    assert [len(half) for half in halves] == [65, 65, 65, 65]  # of secp256r1: 04, x, y
    assert one.result.chain == other.result.chain
    for sender, half in key_shares(one).items():
        assert half in one.wire[sender]


def test_in_rsa_key_transport_there_are_no_halves(recorded):
    with pytest.raises(ValueError, match="no halves"):
        key_shares(recorded["RSA"])


# What a listener opens who gets the key afterwards


@pytest.mark.parametrize("say", [SAY, b"camera " * 5000, b""], ids=["short", "long", "nothing"])
def test_the_servers_key_opens_a_recording_of_rsa_key_transport(issued, ca, say):
    assert open_recording(called(issued, ca, "RSA", say=say), issued.key) == say


def test_opening_takes_the_wire_and_not_what_the_recording_knows(recorded, issued):
    forgetful = [m for m in recorded["RSA"].messages if not m.protected]
    blind = replace(recorded["RSA"], messages=tuple(forgetful), said={})
    assert open_recording(blind, issued.key) == SAY


@ecdhe
def test_it_opens_nothing_that_came_from_ecdhe_and_says_why(recorded, issued, mode):
    with pytest.raises(ValueError, match=r"only signed the handshake.*forgotten"):
        open_recording(recorded[mode], issued.key)


def test_another_key_opens_nothing(recorded, ca):
    with pytest.raises(ValueError, match="not the one of its certificate"):
        open_recording(recorded["RSA"], ca.key)


# Bytes that are no good


@pytest.mark.parametrize("mode", ["TLS 1.3", "RSA", "TLS 1.2"])
def test_a_message_that_was_cut_is_a_value_error_or_reads_as_far_as_it_goes(recorded, mode):
    refused = 0
    for one in recorded[mode].messages:
        for end in (*range(4, min(len(one.data), 120)), len(one.data) - 1):
            try:
                message(one.sender, one.name, False, one.data[:end], "1.3", "ECDHE")
            except ValueError:
                refused += 1
    assert refused > 100


def test_a_certificate_that_can_not_be_read_is_told_as_one():
    der = b"\x30\x03\x02\x01\x00"
    listed = len(der).to_bytes(3) + der
    data = b"\x0b" + (len(listed) + 3).to_bytes(3) + len(listed).to_bytes(3) + listed
    told = message("server", "Certificate", False, data, "1.2", "ECDHE").facts
    assert told == {"certificate of": "nobody: it is not valid DER"}


def test_what_nobody_knows_is_told_as_a_number():
    alert = message("server", "Alert", False, b"\x03\xfa", "1.2", "ECDHE")
    assert alert.facts == {"alert": "250", "level": "3"}


# The ladder


@each_mode
def test_the_ladder_names_every_message_in_its_order(recorded, mode):
    text = words(ladder(recorded[mode])).splitlines()
    known = set(names(recorded[mode]))
    assert [line for line in text if line in known] == names(recorded[mode])
    assert "The client trusts the server" in text


@each_mode
def test_arrows_point_from_the_sender_to_the_other_side(recorded, mode):
    svg = ElementTree.fromstring(ladder(recorded[mode]).svg)
    tips = [float(one.get("points").split(",")[0]) for one in svg.iter() if one.get("points")]
    seen = ["client" if tip > WIDTH / 3 else "server" for tip in tips]
    assert seen == [one.sender for one in recorded[mode].messages]


@each_mode
def test_what_is_encrypted_has_another_colour_and_what_was_refused_a_third(
    recorded, issued, stranger, mode
):
    def colours(recording):
        svg = ElementTree.fromstring(ladder(recording).svg)
        return [one.get("fill") for one in svg.iter() if one.get("points")]

    fills = colours(recorded[mode])
    by_kind = {
        (one.protected, fill) for one, fill in zip(recorded[mode].messages, fills, strict=True)
    }
    assert len(by_kind) == 2
    assert colours(called(issued, stranger, mode))[-1] not in fills


@pytest.mark.parametrize("upto", [0, 1, 6, 13, 99, -1])
def test_a_slider_draws_so_many_boldly_and_tells_of_the_last(recorded, upto):
    recording = recorded["TLS 1.3"]
    picture = ladder(recording, upto)
    told = max(0, min(upto, 13))
    svg = ElementTree.fromstring(picture.svg)
    numbers = [one for one in svg.iter() if (one.text or "").isdigit()]
    faint = [one for one in numbers if one.get("fill") == "#b4bcc4"]
    assert (len(numbers), len(faint)) == (13, 13 - told)
    assert f"{told} of 13 messages" in picture.alt
    text = words(picture).replace("\n", " ")
    sentences = [f"{n}. {one.name}: {one.says}" for n, one in enumerate(recording.messages, 1)]
    assert [one for one in sentences if one in text] == sentences[max(told - 1, 0) : told]


def test_the_picture_keeps_its_size_while_the_slider_moves(recorded):
    heights = {
        ElementTree.fromstring(ladder(recorded["RSA"], n).svg).get("height") for n in range(13)
    }
    assert len(heights) == 1


def test_the_words_for_who_can_not_see_tell_the_whole_story(recorded, issued, ca):
    alt = ladder(recorded["RSA"]).alt
    assert alt.startswith(
        "TLS 1.2 with RSA key transport. The client trusts the server. 12 messages: client "
        "ClientHello, server ServerHello, "
    )
    assert "client Finished (encrypted)" in alt
    refused = ladder(called(issued, ca, "TLS 1.3", "vms-rec-02.lyon.local")).alt
    assert "The client refuses: Hostname mismatch" in refused
    assert refused.endswith("client Alert.")


def overflowing(picture):
    """Every text that may reach beyond the right edge, measured rather too wide."""
    for one in ElementTree.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text"):
        wide = pixels(one.text or "", float(one.get("font-size")))
        if one.get("text-anchor") == "start" and float(one.get("x")) + wide > WIDTH:
            yield one.text


@pytest.fixture(scope="module")
def hostile(keys, now):
    """A CA whose name is markup, control characters and far too wide."""
    name = "<script>alert('W')</script>&\x1b[31m" + "W" * 30
    return create_authority(name, now, QUICK, keys[1])


@each_mode
def test_a_hostile_name_is_only_text_and_stays_inside(hostile, key, now, ca, mode):
    long = ".".join(["w" * 60] * 3 + ["local"])
    for trusted in (hostile, ca):
        recording = called(hostile.issue(long, at=now, key=key), trusted, mode, long)
        for upto in (None, *range(len(recording.messages) + 1)):
            picture = ladder(recording, upto)
            assert "<script>" not in picture.svg
            assert "\x1b" not in picture.svg + picture.alt
            assert list(overflowing(picture)) == []


@each_mode
def test_no_text_reaches_beyond_the_picture(recorded, mode):
    for upto in range(len(recorded[mode].messages) + 1):
        assert list(overflowing(ladder(recorded[mode], upto))) == []
