"""Handshakes: what a client that trusts only some roots makes of a server, by one name."""

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from vmscert.certificates.authority import QUICK, Authority, Issued, create_authority
from vmscert.certificates.keys import clear_key
from vmscert.network.looks import connect
from vmscert.network.servers import LOOPBACK, Loopback, greeting
from vmscert.network.tls import Handshake, client_context, handshake, server_context

NAME = "vms-rec-01.lyon.local"
NAMES = (NAME, "vms-rec-01", "10.10.0.21")
# X509_V_ERR_… of OpenSSL
NO_LOCAL_ISSUER, HOSTNAME_MISMATCH, IP_MISMATCH, HAS_EXPIRED = 20, 62, 64, 10


@pytest.fixture(scope="module")
def issued(ca, key, now):
    return ca.issue(*NAMES, at=now, key=key)


def on_a_socket(issued, roots, name):
    with Loopback(greeting(server_context(issued))) as port:
        return connect(LOOPBACK, port, roots, name)


@pytest.fixture(params=[handshake, on_a_socket], ids=["in memory", "on a socket"])
def meet(request):
    """Both ways to shake hands; they tell the same."""
    return request.param


@pytest.fixture(scope="module")
def middle(ca, keys, now):
    """A CA between the root and its servers."""
    return Authority(ca.issue("issuing-ca.lyon.local", at=now, profile=QUICK, key=keys[2]))


# Good


@pytest.mark.parametrize("name", [*NAMES, "VMS-REC-01.Lyon.local."])
def test_a_client_that_trusts_the_ca_is_content_with_each_name(meet, issued, ca, name):
    seen = meet(issued, [ca.certificate], name)
    content = Handshake(name, True, "TLSv1.3", seen.cipher, (issued.certificate,))
    assert replace(seen, seconds=0.0) == content
    assert seen.cipher.startswith("TLS_AES_")


def test_roots_may_be_many_and_come_from_anywhere(meet, issued, ca, stranger):
    roots = (authority.certificate for authority in (stranger, ca, ca))
    assert meet(issued, roots, NAME).ok


def test_a_server_sends_its_intermediates_but_not_the_root(meet, middle, ca, key, now):
    issued = middle.issue(NAME, at=now, key=key)
    seen = meet(issued, [ca.certificate], NAME)
    assert seen.ok
    assert seen.chain == (issued.certificate, middle.certificate)


def test_an_internationalised_name_is_called_as_people_write_it(meet, ca, key, now):
    issued = ca.issue("überwachung.lyon.local", at=now, key=key)
    assert meet(issued, [ca.certificate], "Überwachung.lyon.local").ok


# Refused by the client


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("vms-rec-02.lyon.local", HOSTNAME_MISMATCH, "Hostname mismatch"),
        ("10.10.0.22", IP_MISMATCH, "IP address mismatch"),
    ],
)
def test_a_name_that_is_not_in_the_certificate_is_refused(meet, issued, ca, name, code, said):
    seen = meet(issued, [ca.certificate], name)
    assert not seen.ok
    assert (seen.verify_code, seen.rule) == (code, "")
    assert seen.error.startswith(said)


def test_a_common_name_is_no_name(meet, ca, key):
    """Browsers and phones look at the subjectAltName only."""
    name, issuer = x509.NameAttribute(NameOID.COMMON_NAME, NAME), ca.certificate
    bare = x509.CertificateBuilder(
        issuer.subject,
        x509.Name([name]),
        key.public_key(),
        7,
        issuer.not_valid_before_utc,
        issuer.not_valid_after_utc,
    ).sign(ca.key, hashes.SHA256())
    seen = meet(Issued(bare, key, ca.issued.chain), [issuer], NAME)
    assert seen.verify_code == HOSTNAME_MISMATCH


@pytest.mark.parametrize("roots", ["another root", "no root"])
def test_a_root_that_the_client_does_not_know_is_refused(meet, issued, stranger, roots):
    trusted = [stranger.certificate] if roots == "another root" else []
    seen = meet(issued, trusted, NAME)
    assert not seen.ok
    assert (seen.verify_code, seen.rule) == (NO_LOCAL_ISSUER, "")
    assert seen.error == "unable to get local issuer certificate"


def test_an_expired_certificate_is_refused(meet, keys, key, now):
    """OpenSSL asks the real clock."""
    before = now - timedelta(days=400)
    old = create_authority("Root of last year", before, QUICK, keys[2])
    seen = meet(old.issue(NAME, at=before, key=key), [old.certificate], NAME)
    assert (seen.verify_code, seen.error) == (HAS_EXPIRED, "certificate has expired")


@pytest.mark.parametrize("name", [NAME, "vms-rec-02"], ids=["unknown root", "wrong name"])
def test_what_the_server_presented_is_there_even_when_it_is_refused(
    meet, middle, ca, key, now, name
):
    issued = middle.issue(NAME, at=now, key=key)
    roots = [ca.certificate] if name != NAME else []
    seen = meet(issued, roots, name)
    assert not seen.ok
    assert seen.chain == (issued.certificate, middle.certificate)


def test_a_missing_intermediate_is_refused(meet, middle, ca, key, now):
    alone = replace(middle.issue(NAME, at=now, key=key), issuers=())
    seen = meet(alone, [ca.certificate], NAME)
    assert (seen.verify_code, len(seen.chain)) == (NO_LOCAL_ISSUER, 1)


def test_every_python_judges_alike(meet, keys, key, now):
    """Python 3.13 is stricter by default than 3.11: it would refuse this root of an old script."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "VMS Certificate Authority")])
    start, end = now - timedelta(days=100), now + timedelta(days=100)
    builder = x509.CertificateBuilder(name, name, keys[2].public_key(), 1, start, end)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    old = Authority(Issued(builder.sign(keys[2], hashes.SHA256()), keys[2]))
    assert meet(old.issue(NAME, at=now, key=key), [old.certificate], NAME).ok
    assert client_context((old.certificate,)).verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST


def test_a_certificate_that_only_openssl_can_read_is_told_not_thrown(meet, issued, ca, monkeypatch):
    """Whatever stands at the other end, the answer is a Handshake."""

    def unreadable(_der):
        raise x509.InvalidVersion("4 is not a valid X509 version", 4)

    monkeypatch.setattr(x509, "load_der_x509_certificate", unreadable)
    seen = meet(issued, [ca.certificate], NAME)
    assert (seen.ok, seen.rule, seen.chain) == (False, "malformed", ())
    assert seen.error.startswith("A certificate that the server sent can't be read: ")


# Settings


def test_a_server_of_ours_speaks_tls_1_2_and_1_3_only(issued, ca):
    context = server_context(issued)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Loopback(greeting(context)) as port:
        assert connect(LOOPBACK, port, [ca.certificate], NAME).version == "TLSv1.2"


def test_a_name_that_is_none_is_the_callers_mistake(issued, ca):
    with pytest.raises(ValueError, match="'vms rec' is not a host name"):
        handshake(issued, [ca.certificate], "vms rec")


# The key


def test_the_key_of_a_server_touches_the_disk_encrypted_and_for_a_moment(issued, key, monkeypatch):
    load, seen = ssl.SSLContext.load_cert_chain, []

    def watched(context, file, keyfile=None, password=None):
        seen.append((Path(file), Path(file).read_bytes(), password))
        load(context, file, keyfile, password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    server_context(issued)
    server_context(issued)
    (path, pem, password), (_, _, other) = seen
    assert not path.exists()
    assert not path.parent.exists()
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem
    assert b"-----BEGIN PRIVATE KEY-----" not in pem
    assert clear_key(load_pem_private_key(pem, password.encode())) == clear_key(key)
    assert password != other
    assert len(password) >= 32


def test_nothing_stays_on_the_disk_when_a_key_does_not_fit(issued, keys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ssl.SSLError):
        server_context(replace(issued, key=keys[2]))
    assert list(tmp_path.iterdir()) == []


def test_a_server_cannot_run_without_its_key(issued):
    with pytest.raises(ValueError, match="can't run without its private key"):
        server_context(replace(issued, key=None))


def test_openssl_as_a_client_agrees(openssl, issued, ca, tmp_path):
    """`openssl s_client`, told to stop at the first error."""
    root = tmp_path / "root.pem"
    root.write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    with Loopback(greeting(server_context(issued))) as port:
        call = (
            "s_client",
            "-connect",
            f"{LOOPBACK}:{port}",
            "-CAfile",
            root,
            "-verify_return_error",
        )
        good = openssl(*call, "-verify_hostname", NAME)
        wrong = openssl(*call, "-verify_hostname", "vms-rec-02.lyon.local")
    assert good.returncode == 0
    assert b"Verify return code: 0 (ok)" in good.stdout
    assert wrong.returncode != 0
