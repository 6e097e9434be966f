"""What a CA puts into a certificate, what it refuses, and what the rest of the world says of it."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, ip_address
from itertools import product

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vmscert.certificates.authority import (
    QUICK,
    ROOT,
    SERVER,
    Authority,
    Issued,
    create_authority,
    is_signed_by,
    load_authority,
    new_key,
    request,
    subject_names,
)
from vmscert.certificates.keys import clear_key
from vmscert.names import is_address, parse_name
from vmscert.network.tls import handshake

NAMES = ("vms-rec-01.lyon.local", "vms-rec-01", "vms.example.org", "10.10.0.21", "fd00::21")
PASSWORD = "a PFX for one computer"
LONG = "a-name-of-a-computer-that-somebody-wanted-to-be-very-clear.lyon.local"  # 69 letters

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABELS | st.sampled_from(["münchen", "北京", "rec_1"]), max_size=3).map(
    lambda labels: ".".join([*labels, "local"])
)
SOME_NAMES = st.lists(HOSTS | st.ip_addresses().map(str), min_size=1, max_size=5, unique=True)


@pytest.fixture(scope="module")
def root(keys, at):
    """A CA at a fixed time."""
    return create_authority("Lyon VMS root 2026", at, QUICK, keys[1])


@pytest.fixture(scope="module")
def leaf(root, key, at):
    return root.issue(*NAMES, at=at, key=key).certificate


def extensions(certificate):
    """Extension's name → whether it is critical."""
    return {extension.oid._name: extension.critical for extension in certificate.extensions}


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def usages(certificate):
    """The key usages that are set, as the RFC's bits in order."""
    usage = extension(certificate, x509.KeyUsage)
    agreement = {"encipher_only", "decipher_only"} if not usage.key_agreement else set()
    names = [name for name in dir(usage) if not name.startswith("_") and name != "oid"]
    return {n for n in names if n not in agreement and getattr(usage, n) is True}


def common_names(signed):
    return [name.value for name in signed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def key_identifier(public_key):
    """RFC 5280, section 4.2.1.2, method 1: SHA-1 of the bits of the public key."""
    return hashlib.sha1(public_key.public_bytes(Encoding.DER, PublicFormat.PKCS1)).digest()


# The root


def test_a_root_is_called_as_it_is_told_and_signs_itself(root):
    certificate = root.certificate
    assert root.name == "Lyon VMS root 2026"
    assert certificate.subject.rfc4514_string() == "CN=Lyon VMS root 2026"
    assert certificate.issuer == certificate.subject
    assert is_signed_by(certificate, certificate)


def test_a_root_carries_what_every_client_asks_of_a_root(root):
    certificate, own = root.certificate, key_identifier(root.key.public_key())
    assert extensions(certificate) == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
    }
    assert extension(certificate, x509.BasicConstraints) == x509.BasicConstraints(True, None)
    assert usages(certificate) == {"key_cert_sign", "crl_sign"}
    assert extension(certificate, x509.SubjectKeyIdentifier).digest == own
    assert extension(certificate, x509.AuthorityKeyIdentifier).key_identifier == own


def test_a_root_is_4096_bits_strong_and_lives_ten_years(at):
    certificate = create_authority("Lyon VMS root 2026", at).certificate
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert certificate.public_key().key_size == 4096
    assert life.days == pytest.approx(10 * 365.25, abs=1)


def test_a_root_of_3072_bits_is_allowed_and_one_of_1024_is_not(at):
    strong = create_authority("Root", at, replace(ROOT, key_bits=3072))
    assert strong.certificate.public_key().key_size == 3072
    with pytest.raises(ValueError, match="1024 bits is too weak: 2048 is the least"):
        create_authority("Root", at, replace(ROOT, key_bits=1024))


@pytest.mark.parametrize("name", ["", "  ", "a" * 65])
def test_a_ca_name_that_no_certificate_can_hold_is_refused(name, at, key):
    with pytest.raises(ValueError, match="A CA name has 1 to 64 letters"):
        create_authority(name, at, QUICK, key)


@pytest.mark.parametrize("name", ["a" * 64, "Ümläut & Søn, Łódź", 'O="x", CN=y\\z'])
def test_a_ca_name_may_have_64_letters_of_any_kind(name, at, key):
    assert create_authority(f" {name} ", at, QUICK, key).name == name


# The server certificate


def test_a_server_certificate_carries_what_every_client_asks_of_a_server(leaf, root, key):
    assert extensions(leaf) == {
        "subjectAltName": False,
        "basicConstraints": True,
        "keyUsage": True,
        "extendedKeyUsage": False,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
    }
    assert extension(leaf, x509.BasicConstraints) == x509.BasicConstraints(False, None)
    assert usages(leaf) == {"digital_signature", "key_encipherment"}
    assert list(extension(leaf, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert extension(leaf, x509.SubjectKeyIdentifier).digest == key_identifier(key.public_key())


def test_a_server_certificate_points_at_its_ca(leaf, root):
    pointer = extension(leaf, x509.AuthorityKeyIdentifier)
    assert leaf.issuer == root.certificate.subject
    assert pointer.key_identifier == key_identifier(root.key.public_key())
    assert pointer.authority_cert_issuer is None
    assert is_signed_by(leaf, root.certificate)
    assert not is_signed_by(root.certificate, leaf)


def test_names_are_dns_names_and_addresses_are_ip_addresses_in_the_order_given(leaf):
    san = extension(leaf, x509.SubjectAlternativeName)
    assert list(san) == [
        x509.DNSName("vms-rec-01.lyon.local"),
        x509.DNSName("vms-rec-01"),
        x509.DNSName("vms.example.org"),
        x509.IPAddress(IPv4Address("10.10.0.21")),
        x509.IPAddress(ip_address("fd00::21")),
    ]
    assert subject_names(leaf) == NAMES


def test_a_name_that_is_said_twice_is_there_once(root, key, at):
    issued = root.issue("VMS.lyon.local", "vms.lyon.local.", "münchen.local", at=at, key=key)
    assert issued.names == ("vms.lyon.local", "xn--mnchen-3ya.local")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (NAMES, ["vms-rec-01.lyon.local"]),
        (("10.0.0.1", "vms"), ["vms"]),
        (("10.0.0.1", "10.0.0.2"), ["10.0.0.1"]),
        ((LONG, "vms-rec-01"), ["vms-rec-01"]),
        ((LONG[-64:], "vms-rec-01"), [LONG[-64:]]),
        ((LONG, "10.0.0.1"), ["10.0.0.1"]),
    ],
)
def test_the_common_name_is_the_first_dns_name_that_fits(root, key, at, names, expected):
    """At most 64 letters; an address only where no name fits."""
    certificate = root.issue(*names, at=at, key=key).certificate
    assert common_names(certificate) == expected
    assert len(list(certificate.subject)) == 1
    assert extensions(certificate)["subjectAltName"] is False


def test_without_a_name_that_fits_the_subject_is_empty_and_the_names_are_critical(root, key, at):
    """RFC 5280, section 4.2.1.6."""
    certificate = root.issue(LONG, at=at, key=key).certificate
    assert list(certificate.subject) == []
    assert extensions(certificate)["subjectAltName"] is True
    assert subject_names(certificate) == (LONG,)


def test_a_certificate_for_nobody_is_refused(root, key, at):
    with pytest.raises(ValueError, match="needs at least one name: none was given"):
        root.issue(at=at, key=key)


def test_a_bad_name_is_refused_by_name(root, key, at):
    with pytest.raises(ValueError, match="'vms rec' is not a host name"):
        root.issue("vms.lyon.local", "vms rec", at=at, key=key)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_server_gets_a_new_key_of_the_strength_that_its_profile_asks(root, at, bits):
    profile = replace(SERVER, key_bits=bits)
    one, other = (root.issue("vms", at=at, profile=profile) for _ in range(2))
    assert one.certificate.public_key().key_size == bits
    assert one.key.public_key() == one.certificate.public_key() != other.certificate.public_key()


def test_a_key_that_is_handed_in_is_used(leaf, key):
    assert leaf.public_key() == key.public_key()


def test_a_friendly_name_tells_computer_and_end(root, key, at):
    issued = root.issue(*NAMES, at=at, key=key)
    assert issued.friendly_name == "VMS vms-rec-01.lyon.local until 2027-12-24"
    assert root.issued.friendly_name == "VMS CN=Lyon VMS root 2026 until 2036-11-22"


# Both


@pytest.fixture(params=["root", "leaf"])
def certificate(request, root, leaf):
    return {"root": root.certificate, "leaf": leaf}[request.param]


def test_every_certificate_is_of_version_3_and_signed_with_sha_256(certificate):
    assert certificate.version is x509.Version.v3
    assert certificate.signature_hash_algorithm.name == "sha256"
    assert certificate.signature_algorithm_oid._name == "sha256WithRSAEncryption"
    assert certificate.public_key().public_numbers().e == 65537


def test_every_certificate_is_valid_a_day_before_it_is_made(certificate, at):
    """Clocks differ: a recorder's may be late."""
    assert certificate.not_valid_before_utc == at - timedelta(days=1)


def test_serial_numbers_are_random_and_long(root, key, at):
    """Over 64 bits, at most 20 bytes, positive: RFC 5280, section 4.1.2.2."""
    made = [root.issue("vms", at=at, key=key).certificate for _ in range(20)]
    made += [create_authority("Root", at, QUICK, key).certificate for _ in range(20)]
    serials = {certificate.serial_number for certificate in made}
    assert len(serials) == 40
    assert all(64 < serial.bit_length() <= 159 for serial in serials)
    assert max(serials).bit_length() > 150


def test_same_key_serial_and_time_make_the_same_bytes(root, keys, key, at):
    """Lessons print certificates: their readers must see the same ones."""
    roots = {create_authority("Root", at, QUICK, keys[1], serial=7).certificate for _ in range(2)}
    leaves = {root.issue("vms", at=at, key=key, serial=8).certificate for _ in range(2)}
    assert [len(roots), len(leaves)] == [1, 1]


# Time


def test_a_server_certificate_lives_397_days_and_is_not_capped(root, key, at):
    issued = root.issue("vms", at=at, key=key)
    assert issued.certificate.not_valid_after_utc == at - timedelta(days=1) + timedelta(days=397)
    assert not issued.capped


@pytest.mark.parametrize("days", [3653 - 396, 3652 - 1])
def test_a_server_certificate_ends_with_its_ca_and_says_so(root, key, at, days):
    issued = root.issue("vms", at=at + timedelta(days), key=key)
    assert issued.certificate.not_valid_after_utc == root.certificate.not_valid_after_utc
    assert issued.capped


def test_a_server_certificate_that_just_fits_is_not_capped(root, key, at):
    issued = root.issue("vms", at=at + timedelta(3653 - 397, seconds=-1), key=key)
    assert issued.certificate.not_valid_after_utc < root.certificate.not_valid_after_utc
    assert not issued.capped


def test_a_server_certificate_is_never_older_than_its_ca(root, key, at):
    early = at - timedelta(hours=20)
    certificate = root.issue("vms", at=early, key=key).certificate
    assert certificate.not_valid_before_utc == root.certificate.not_valid_before_utc


@pytest.mark.parametrize("days", [-1.01, -400, 3652, 5000])
def test_a_ca_signs_only_while_it_is_valid_itself(root, key, at, days):
    with pytest.raises(ValueError, match="'Lyon VMS root 2026' is valid from 2026-11-22 to 2036-"):
        root.issue("vms", at=at + timedelta(days), key=key)


def test_a_time_without_a_zone_is_refused_everywhere(root, leaf, key):
    naive = datetime(2026, 11, 23, 12)
    csr, _ = request("vms", key=key)
    for act in (
        lambda: create_authority("Root", naive, QUICK, key),
        lambda: root.issue("vms", at=naive, key=key),
        lambda: root.sign(csr, ["vms"], naive),
        lambda: root.renew(leaf, naive),
    ):
        with pytest.raises(ValueError, match="has no time zone: say UTC"):
            act()


def test_the_same_moment_in_another_zone_makes_the_same_certificate(root, keys, key, at):
    paris = (at + timedelta(microseconds=123)).astimezone(timezone(timedelta(hours=1)))
    made = {root.issue("vms", at=time, key=key, serial=1).certificate for time in (at, paris)}
    made_roots = {create_authority("R", t, QUICK, key, 1).certificate for t in (at, paris)}
    assert [len(made), len(made_roots)] == [1, 1]


# Renewal, loading


def test_a_renewal_keeps_the_names_and_changes_key_life_and_serial(root, leaf, at):
    later = at + timedelta(days=360)
    renewed = root.renew(leaf, later).certificate
    assert subject_names(renewed) == subject_names(leaf)
    assert renewed.public_key() not in (leaf.public_key(), root.key.public_key())
    assert renewed.serial_number != leaf.serial_number
    assert renewed.not_valid_after_utc == later + timedelta(days=396)


def test_a_renewal_keeps_the_size_of_a_larger_key(root, at):
    old = root.issue("vms-rec-01", at=at, profile=replace(SERVER, key_bits=3072))
    assert root.renew(old.certificate, at).certificate.public_key().key_size == 3072


def test_an_authority_is_loaded_from_its_certificate_and_its_encrypted_key(root, key, at):
    der = root.certificate.public_bytes(Encoding.DER)
    loaded = load_authority(
        der, root.encrypted_key("correct horse battery"), "correct horse battery"
    )
    assert loaded.certificate == root.certificate
    assert is_signed_by(loaded.issue("vms", at=at, key=key).certificate, root.certificate)


def test_a_key_of_another_ca_is_refused(root, stranger):
    der = root.certificate.public_bytes(Encoding.DER)
    with pytest.raises(ValueError, match="does not belong to the certificate of 'Lyon VMS root"):
        load_authority(
            der, stranger.encrypted_key("correct horse battery"), "correct horse battery"
        )


def test_a_ca_without_its_key_cannot_sign(root, key, at):
    with pytest.raises(ValueError, match="The private key of 'Lyon VMS root 2026' is not here"):
        Authority(Issued(root.certificate, None)).issue("vms", at=at, key=key)


def old_ca(key, at):
    """A CA as old scripts made them: no key usage, no key identifiers."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "VMS Certificate Authority")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, at, at + timedelta(400))
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return Authority(Issued(builder.sign(key, hashes.SHA256()), key))


def test_a_ca_that_an_old_script_made_still_signs(keys, key, now):
    """The pointer to its key is computed where the CA does not tell it."""
    old = old_ca(keys[2], now - timedelta(days=1))
    issued = old.issue("vms", at=now, key=key)
    pointer = extension(issued.certificate, x509.AuthorityKeyIdentifier).key_identifier
    assert pointer == key_identifier(old.key.public_key())
    assert handshake(issued, [old.certificate], "vms").ok


# What others say


@settings(max_examples=30)
@given(names=SOME_NAMES, other=HOSTS | st.ip_addresses().map(str))
def test_a_client_accepts_a_server_by_each_of_its_names_and_by_no_other(ca, key, now, names, other):
    """Real handshakes, in memory."""
    issued = ca.issue(*names, at=now, key=key)
    assume(parse_name(other) not in map(parse_name, names))
    for name in names:
        assert handshake(issued, [ca.certificate], name).ok
    refused = handshake(issued, [ca.certificate], other)
    assert refused.verify_code == (64 if is_address(other) else 62)  # X509_V_ERR_…_MISMATCH


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("a.lyon.local", True),
        ("A.LYON.local", True),
        ("lyon.local", False),
        ("a.b.lyon.local", False),
    ],
)
def test_a_wildcard_stands_for_one_label(ca, key, now, name, accepted):
    """RFC 9525, section 6.3."""
    issued = ca.issue("*.lyon.local", at=now, key=key)
    assert handshake(issued, [ca.certificate], name).ok == accepted


def test_a_client_accepts_a_server_whose_subject_is_empty(ca, key, now):
    assert handshake(ca.issue(LONG, at=now, key=key), [ca.certificate], LONG).ok


@pytest.fixture
def files(tmp_path, ca):
    """Write a certificate beside its CA; return both paths."""

    def written(certificate):
        paths = tmp_path / "root.pem", tmp_path / "server.pem"
        for path, one in zip(paths, (ca.certificate, certificate), strict=True):
            path.write_bytes(one.public_bytes(Encoding.PEM))
        return paths

    return written


@pytest.mark.parametrize("names", [NAMES, (LONG,), ("10.0.0.1", "fd00::1"), ("münchen.local",)])
def test_openssl_accepts_each_name_and_refuses_strangers(openssl, ca, key, now, files, names):
    """`openssl verify -x509_strict`."""
    root, server = files(ca.issue(*names, at=now, key=key).certificate)

    def accepts(name):
        option = "-verify_ip" if is_address(name) else "-verify_hostname"
        strict = ("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root)
        return openssl(*strict, option, parse_name(name), server).returncode == 0

    assert [name for name in names if not accepts(name)] == []
    assert [name for name in ("vms-rec-02", "10.10.0.22", "fd00::22") if accepts(name)] == []


def pyca_accepts(root, certificate, name, time):
    address = parse_name(name)
    subject = x509.DNSName(address) if isinstance(address, str) else x509.IPAddress(address)
    policy = PolicyBuilder().store(Store([root])).time(time)
    try:
        policy.build_server_verifier(subject).verify(certificate, [])
    except VerificationError:
        return False
    return True


def test_the_verifier_of_cryptography_accepts_each_name_and_refuses_strangers(root, leaf, at):
    accepted = [name for name in NAMES if pyca_accepts(root.certificate, leaf, name, at)]
    assert accepted == list(NAMES)
    for name in ("vms-rec-02.lyon.local", "10.10.0.22", "fd00::22"):
        assert not pyca_accepts(root.certificate, leaf, name, at)
    assert not pyca_accepts(root.certificate, leaf, NAMES[0], at + timedelta(days=397))


# Requests that were made on the server itself


@pytest.fixture(scope="module")
def sign(root, at):
    """Let the CA answer a request of the computer with NAMES."""
    return lambda csr: root.sign(csr, NAMES, at)


def asks_for(key, *names, common=None, more=(), algorithm=None):
    """A request with these names, and whatever else somebody may put into one."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody else"))
    builder = x509.CertificateSigningRequestBuilder(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for value in more:
        builder = builder.add_extension(value, critical=True)
    return builder.sign(key, algorithm or hashes.SHA256())


def test_openssl_accepts_the_request_that_the_kit_makes(openssl, key, tmp_path):
    csr, made_for = request(*NAMES, key=key)
    path = tmp_path / "server.csr"
    path.write_bytes(csr.public_bytes(Encoding.PEM))
    assert openssl("req", "-in", path, "-verify", "-noout").returncode == 0
    assert subject_names(csr) == NAMES
    assert made_for is key


def test_a_request_comes_with_a_new_key_of_its_own():
    (csr, one), (_, other) = request("vms"), request("vms")
    assert csr.public_key() == one.public_key() != other.public_key()


def test_the_answer_to_a_request_is_accepted_by_every_name(ca, key, now):
    csr, _ = request("vms-rec-01", key=key)
    answer = ca.sign(csr, NAMES, now)
    on_the_server = replace(answer, key=key)
    assert all(handshake(on_the_server, [ca.certificate], name).ok for name in NAMES)


def test_the_answer_takes_the_key_from_the_request_and_nothing_else(sign, root, key, at):
    """Not its subject, not its wish to be a CA, not its other kinds of names."""
    greedy = asks_for(
        key,
        x509.DNSName("vms-rec-01"),
        x509.RFC822Name("boss@lyon.local"),
        x509.UniformResourceIdentifier("https://elsewhere.example"),
        common="vms-rec-01.lyon.local",
        more=[
            x509.BasicConstraints(ca=True, path_length=None),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
        ],
        algorithm=hashes.SHA512(),
    )
    answer = sign(greedy).certificate
    usual = root.issue(*NAMES, at=at, key=key, serial=answer.serial_number).certificate
    assert answer == usual


@pytest.mark.parametrize(
    "csr_of",
    [
        lambda key: asks_for(key),
        lambda key: asks_for(key, common="VMS-Rec-01.lyon.local"),
        lambda key: asks_for(key, x509.DNSName("vms-rec-01"), common="vms.example.org"),
        lambda key: asks_for(key, x509.IPAddress(ip_address("10.10.0.21")), common="10.10.0.21"),
    ],
    ids=["no names at all", "common name only", "some names", "address"],
)
def test_whatever_names_of_its_own_a_request_holds_the_answer_carries_all(sign, root, key, csr_of):
    """The site's table decides."""
    answer = sign(csr_of(key))
    assert answer.names == NAMES
    assert answer.chain == (answer.certificate, root.certificate)
    assert answer.key is None


@pytest.mark.parametrize(
    ("csr_of", "strangers"),
    [
        (lambda key: asks_for(key, x509.DNSName("vms-rec-02")), "vms-rec-02"),
        (lambda key: asks_for(key, x509.DNSName("*.lyon.local")), r"\*\.lyon\.local"),
        (lambda key: asks_for(key, x509.IPAddress(ip_address("10.10.0.22"))), r"10\.10\.0\.22"),
        (lambda key: asks_for(key, common="Somebody Else"), "Somebody Else"),
        (
            lambda key: asks_for(
                key,
                x509.DNSName("vms-rec-01"),
                x509.DNSName("bank.example"),
                x509.IPAddress(ip_address("fd00::22")),
                x509.DNSName("bank.example"),
                common="other.example",
            ),
            "bank.example, fd00::22, other.example",
        ),
    ],
    ids=["name", "wildcard", "address", "common name", "several"],
)
def test_names_that_the_table_does_not_give_are_refused_and_all_listed(
    sign, key, csr_of, strangers
):
    message = f"The request asks for {strangers}, which the site's table does not give"
    with pytest.raises(ValueError, match=message):
        sign(csr_of(key))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), "is not RSA"),
        (lambda: rsa.generate_private_key(65537, 1024), r"weak \(1024 bits, exponent 65537\)"),
        (lambda: rsa.generate_private_key(3, 2048), r"weak \(2048 bits, exponent 3\)"),
    ],
    ids=["EC", "RSA 1024", "RSA exponent 3"],
)
def test_a_key_that_xprotect_or_a_client_would_refuse_is_refused(sign, make, reason):
    with pytest.raises(ValueError, match=reason):
        sign(asks_for(make(), x509.DNSName("vms-rec-01")))


def test_an_edwards_key_is_refused(sign):
    names = x509.SubjectAlternativeName([x509.DNSName("vms-rec-01")])
    builder = x509.CertificateSigningRequestBuilder(x509.Name([])).add_extension(names, False)
    with pytest.raises(ValueError, match="is not RSA"):
        sign(builder.sign(ed25519.Ed25519PrivateKey.generate(), None))


def test_a_request_with_one_wrong_bit_anywhere_is_refused(sign, key):
    """Either it is no request any more, or the CA says in one sentence why it won't sign."""
    der = asks_for(key, x509.DNSName("vms-rec-01")).public_bytes(Encoding.DER)
    padding = len(der) - 257  # how many bits at the end do not count: says nothing, changes nothing
    wrong = 0
    for byte, bit in product(set(range(len(der))) - {padding}, range(8)):
        flipped = bytearray(der)
        flipped[byte] ^= 1 << bit
        try:
            csr = x509.load_der_x509_csr(bytes(flipped))
        except (ValueError, x509.InvalidVersion):
            continue
        with pytest.raises(ValueError, match=r"^The request('s| can't) [^\n]+\. Make it again$"):
            sign(csr)
        wrong += 1
    assert wrong > 4 * len(der)


@pytest.mark.parametrize("names", ["3003020100", "3005a303020100"], ids=["no SAN", "X.400"])
def test_names_that_cannot_be_read_are_refused(sign, key, names):
    odd = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex(names))
    with pytest.raises(ValueError, match="The request's names can't be read"):
        sign(asks_for(key, more=[odd]))


def test_two_lists_of_names_in_one_request_are_refused(sign, key):
    """Which of them the CA reads is nothing that a requester may choose."""
    san, ian = (bytes.fromhex(f"0603551d{last}") for last in ("11", "12"))
    names = [x509.DNSName("vms-rec-01")]
    csr = asks_for(key, *names, more=[x509.IssuerAlternativeName(names)])
    body = csr.tbs_certrequest_bytes
    twice = body.replace(ian, san)
    signature = key.sign(twice, PKCS1v15(), hashes.SHA256())
    der = csr.public_bytes(Encoding.DER).replace(body, twice).replace(csr.signature, signature)
    with pytest.raises(ValueError, match="The request's names can't be read: Duplicate"):
        sign(x509.load_der_x509_csr(der))


def test_a_request_from_a_computer_without_names_is_refused(root, key, at):
    with pytest.raises(ValueError, match="needs at least one name"):
        root.sign(asks_for(key), [], at)


# PFX: what Windows imports


@pytest.fixture(scope="module")
def issued(root, key, at):
    return root.issue(*NAMES, at=at, key=key)


@pytest.fixture(scope="module", params=["AES-256", "3DES"])
def encryption(request):
    return request.param


@pytest.fixture(scope="module")
def pfx(issued, encryption):
    return issued.pfx(PASSWORD, encryption)


def test_a_pfx_holds_key_certificate_and_friendly_name_but_never_the_root(pfx, issued):
    """Windows would put the root into the store of the server certificate."""
    opened = pkcs12.load_pkcs12(pfx, PASSWORD.encode())
    assert clear_key(opened.key) == clear_key(issued.key)
    assert opened.cert.certificate == issued.certificate
    assert opened.cert.friendly_name == b"VMS vms-rec-01.lyon.local until 2027-12-24"
    assert opened.additional_certs == []


def test_a_pfx_brings_the_intermediates_along(root, key, keys, at):
    middle = root.issue("issuing-ca.lyon.local", at=at, profile=QUICK, key=keys[2])
    issued = Authority(middle).issue("vms", at=at, key=key)
    assert issued.chain == (issued.certificate, middle.certificate, root.certificate)
    opened = pkcs12.load_pkcs12(issued.pfx(PASSWORD), PASSWORD.encode())
    assert [one.certificate for one in opened.additional_certs] == [middle.certificate]


def test_only_the_password_opens_a_pfx(pfx):
    for wrong in ("", "a PFX for one Computer", PASSWORD + " "):
        with pytest.raises(ValueError):
            pkcs12.load_pkcs12(pfx, wrong.encode())


def test_nothing_of_the_key_is_in_a_pfx(pfx, key):
    numbers = key.private_numbers()
    for number in (numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp):
        assert number.to_bytes(256).lstrip(b"\0") not in pfx
    assert clear_key(key) not in pfx


def test_the_same_pfx_is_never_made_twice(issued, encryption, pfx):
    assert issued.pfx(PASSWORD, encryption)[-40:] != pfx[-40:]


@pytest.mark.parametrize("legacy", [False, True], ids=["", "-legacy"])
def test_openssl_opens_a_pfx_and_finds_the_encryption_that_was_asked_for(
    openssl, pfx, encryption, tmp_path, legacy
):
    if legacy and openssl("list", "-providers", "-provider", "legacy").returncode:
        pytest.skip("NOT SHOWN: this OpenSSL has no legacy provider")
    path = tmp_path / "server.pfx"
    path.write_bytes(pfx)
    asked = ("pkcs12", "-in", path, "-passin", "env:PASSWORD", "-info", "-noout")
    asked += ("-legacy",) if legacy else ()
    expected = {
        "AES-256": ("MAC: sha256", "PBES2, PBKDF2, AES-256-CBC"),
        "3DES": ("MAC: sha1", "pbeWithSHA1And3-KeyTripleDES-CBC"),
    }[encryption]
    told = openssl(*asked, password=PASSWORD)
    assert told.returncode == 0
    assert all(part.encode() in told.stderr for part in expected)
    assert openssl(*asked, password="another password").returncode != 0


@pytest.mark.parametrize("password", ["", "Grüße", "пароль", "two\nlines", "zero\0"])
def test_a_pfx_password_that_some_clients_cannot_type_is_refused(issued, password):
    with pytest.raises(ValueError, match="must be printable ASCII") as refused:
        issued.pfx(password)
    assert not password or password not in str(refused.value)


def test_there_is_no_pfx_of_a_key_that_stayed_on_the_server(sign, key):
    with pytest.raises(ValueError, match="was made on the server and is not here: no PFX"):
        sign(request("vms-rec-01", key=key)[0]).pfx(PASSWORD)


def test_a_weak_key_is_never_made():
    with pytest.raises(ValueError, match="1024 bits is too weak"):
        new_key(1024)
