"""DNS name or IP address: one answer, or one sentence."""

from ipaddress import ip_address

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from vmscert.names import endpoint, is_address, parse_host, parse_name, spelled

LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
LETTERS = st.sampled_from(["münchen", "straße", "рекордер", "βόλος", "北京", "ελλάδα"])
HOSTS = st.lists(LABELS | LETTERS, max_size=5).map(lambda labels: ".".join([*labels, "local"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vms-rec-01", "vms-rec-01"),
        ("VMS-Rec-01.Example.LOCAL", "vms-rec-01.example.local"),
        ("  vms-rec-01.example.local.\n", "vms-rec-01.example.local"),
        ("rec_01.example.local", "rec_01.example.local"),
        ("1und1", "1und1"),
        ("*.example.local", "*.example.local"),
        ("a" * 63 + ".local", "a" * 63 + ".local"),
        ("münchen.local", "xn--mnchen-3ya.local"),
        ("MÜNCHEN.local", "xn--mnchen-3ya.local"),
        ("xn--mnchen-3ya.local", "xn--mnchen-3ya.local"),
        ("straße.local", "xn--strae-oqa.local"),
        ("*.münchen.local", "*.xn--mnchen-3ya.local"),
        ("rec_01.münchen.local", "rec_01.xn--mnchen-3ya.local"),
        ("münchen。local", "xn--mnchen-3ya.local"),
    ],
)
def test_a_host_name_is_told_in_one_way(text, expected):
    """Lower case, ASCII, no dot at the end; the underscore that Windows lets through stays."""
    assert expected == parse_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.10.0.21", "10.10.0.21"),
        (" 10.10.0.21 ", "10.10.0.21"),
        ("FE80:0:0::1", "fe80::1"),
        ("[::1]", "::1"),
    ],
)
def test_an_ip_address_is_an_address_and_no_name(text, expected):
    assert ip_address(expected) == parse_name(text)
    assert is_address(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (" . ", "it is empty"),
        ("vms rec", "look at 'vms rec'"),
        ("https://vms/", "look at 'https://vms/'"),
        ("vms:443", "look at 'vms:443'"),
        ("-vms", "look at '-vms'"),
        ("vms-.local", "look at 'vms-'"),
        ("vms..local", "look at ''"),
        ("vms.local..", "look at ''"),
        ("*", r"look at '\*'"),
        ("vms.*.local", r"look at '\*'"),
        ("rec*.local", r"look at 'rec\*'"),
        ("a" * 64, "1 to 63"),
        (".".join(["a" * 63] * 4), "it has 255 letters, at most 253"),
        ("10.10.0.256", "like an IP address"),
        ("10.10.0", "like an IP address"),
        ("010.010.000.021", "like an IP address"),
        ("fe80::1%eth0", "leave out what follows %"),
        ("vms\x00.local", "look at"),
        ("vms\u2024local", "is not a host name"),
    ],
)
def test_anything_else_is_refused_with_the_text_and_a_reason(text, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        parse_name(text)
    assert repr(text) in str(refused.value) or not text.isascii()
    assert not is_address(text)


@given(st.text() | st.text("abcü.-_*:[]%0123456789/ ", max_size=40))
@example("\u2488com").via("a letter that IDNA maps to digit and dot")
def test_whatever_somebody_types_is_a_name_or_one_sentence(text):
    """No other exception, no line break; and a name that a certificate can carry."""
    try:
        name = parse_name(text)
    except ValueError as refused:
        assert type(refused) is ValueError
        assert len(str(refused).splitlines()) == 1
    else:
        assert x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


@given(HOSTS)
def test_a_name_that_was_told_once_is_told_the_same_again(host):
    once = parse_name(host)
    assert once == parse_name(once) == parse_name(once.upper() + ".")


@given(st.ip_addresses())
def test_every_ip_address_is_read_as_itself(address):
    assert address == parse_name(str(address)) == parse_name(f"[{address}]")
    assert is_address(str(address))


@given(HOSTS)
def test_no_host_name_is_taken_for_an_address(host):
    assert not is_address(host)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("rec-01", ("rec-01", 443)),
        ("rec-01:7563", ("rec-01", 7563)),
        (" REC-01.lyon.local.:7563 ", ("rec-01.lyon.local", 7563)),
        ("https://rec-01:8443/installation?x=1", ("rec-01", 8443)),
        ("https://rec-01/", ("rec-01", 443)),
        ("http://rec-01/ManagementServer", ("rec-01", 80)),
        ("10.10.0.21:443", ("10.10.0.21", 443)),
        ("[fe80::1]:443", ("fe80::1", 443)),
        ("::1", ("::1", 443)),
        ("https://[::1]:9000", ("::1", 9000)),
        ("bücher.example:1", ("xn--bcher-kva.example", 1)),
    ],
)
def test_what_people_paste_is_an_endpoint(text, where):
    assert endpoint(text) == where


@pytest.mark.parametrize("text", ["", ":443", "rec-01:70000", "rec-01:x", "rec 01", "[::1"])
def test_what_is_no_endpoint_is_told_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"is no address: .*Write HOST:PORT$"):
        endpoint(text)


def test_an_endpoint_is_spelled_as_people_read_it():
    assert spelled(("rec-01", 443)) == "rec-01:443"
    assert spelled(("::1", 443)) == "[::1]:443"
    assert parse_host("[FE80::1%eth0]") == "fe80::1%eth0"


def test_port_0_is_no_other_port():
    with pytest.raises(ValueError, match="Port 0 does not exist"):
        endpoint("localhost:0")
