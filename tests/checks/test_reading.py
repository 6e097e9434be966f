"""Whatever a technician has at hand is read, and nothing that it holds ends in a traceback."""

import base64
import json
import os
import random
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors
import pytest
from chains import MIDDLE, NAME, Chain, key, revocation_list
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from vmscert import anatomy, read
from vmscert.certificates.authority import thumbprint
from vmscert.checks.documents import in_use
from vmscert.checks.judging import judge
from vmscert.windows.inventory import write_inventory
from vmscert.windows.stores import Personal, Stores

LEAF, CA, ROOT = Chain().certificates()
PEM = b"".join(one.public_bytes(Encoding.PEM) for one in (LEAF, CA))
DER = LEAF.public_bytes(Encoding.DER)
KEY = key("leaf")
LABEL = thumbprint(LEAF)
REQUEST = (
    x509.CertificateSigningRequestBuilder(subject_name=LEAF.subject)
    .sign(KEY, hashes.SHA256())
    .public_bytes(Encoding.PEM)
)


def key_as(form, password=b"", encoding=Encoding.PEM):
    return KEY.private_bytes(
        encoding, form, BestAvailableEncryption(password) if password else NoEncryption()
    )


def pfx(password, key=KEY):
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", key, LEAF, [CA], encryption)


def told(document):
    """What a person is told, in lines."""
    return [document.about, *document.problems, *document.holds, *map(str, document.bindings)]


# What it is


PKCS8, OLD, SSH = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH)
KINDS = [
    ("a certificate", DER),
    ("2 times certificate", PEM),
    ("a P7B with 2 certificates", pkcs7.serialize_certificates([LEAF, CA], Encoding.DER)),
    ("a P7B with 1 certificate", pkcs7.serialize_certificates([LEAF], Encoding.PEM)),
    ("a certificate request (CSR)", REQUEST),
    ("a revocation list (CRL)", revocation_list(MIDDLE).public_bytes(Encoding.DER)),
    ("a private key", key_as(PKCS8)),
    ("a private key", key_as(OLD, encoding=Encoding.DER)),
    ("a private key", key_as(SSH)),
    ("an encrypted private key", key_as(PKCS8, b"secret")),
    ("an encrypted private key", key_as(PKCS8, b"secret", Encoding.DER)),
    ("an encrypted private key", key_as(OLD, b"secret")),
    (
        "a public key",
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ),
    ("a certificate, a private key", LEAF.public_bytes(Encoding.PEM) + key_as(PKCS8)),
]


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_it_says_what_a_thing_is(kind, data):
    document = read(data)
    assert (document.about, document.problems) == (kind, ())


def test_a_private_key_is_described_and_never_shown():
    document = read(KINDS[-1][1])
    assert document.keys == ("RSA 2048 private key, not encrypted",)
    assert str(KEY.private_numbers().d) not in repr(document)


def test_a_key_that_fits_no_certificate_beside_it_is_told():
    other = key("other").private_bytes(Encoding.PEM, PKCS8, NoEncryption())
    (problem,) = read(PEM + other).problems
    assert "belongs to none of the certificates" in problem


WRAPPED = {
    "Windows line ends": PEM.replace(b"\n", b"\r\n"),
    "indented": b"\n".join(b"    " + line for line in PEM.splitlines()),
    "quoted": b"\n".join(b"> " + line for line in PEM.splitlines()),
    "text around": b"depth=0 CN = x\n---\n" + PEM + b"---\nServer certificate\n",
    "UTF-8 with mark": b"\xef\xbb\xbf" + PEM,
    "UTF-16": PEM.decode().encode("utf-16"),
    "UTF-16 without mark": PEM.decode().encode("utf-16-le"),
    "UTF-16 big endian": PEM.decode().encode("utf-16-be"),
    "doubled base64": base64.encodebytes(PEM),
    "tripled base64": base64.b64encode(base64.b64encode(PEM)),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_what_happened_to_it_on_the_way_does_not_matter(how):
    assert read(WRAPPED[how]).certificates == (LEAF, CA)


DUMP = [f"{n:04x}\t{DER[n : n + 16].hex(' ')}   ......" for n in range(0, len(DER), 16)]


@pytest.mark.parametrize(
    "text",
    [base64.encodebytes(DER).decode(), DER.hex(), DER.hex(" "), "\n".join(DUMP)],
    ids=["base64", "hex", "pairs", "dump"],
)
def test_bare_digits_are_read(text):
    assert read(text).certificates == (LEAF,)


def test_a_path_is_read_and_one_that_leads_nowhere_is_told(tmp_path):
    path = tmp_path / "server.cer"
    path.write_bytes(DER)
    assert read(path).certificates == read(str(path)).certificates == (LEAF,)
    with pytest.raises(ValueError, match=r"nowhere\.cer can't be read: .*Check the path"):
        read(tmp_path / "nowhere.cer")


# PFX


@pytest.mark.parametrize("password", ["", "secret", "pässwört"])
def test_a_pfx_opens_with_its_password_and_needs_none_if_it_has_none(password):
    asked = []
    document = read(pfx(password), lambda name: asked.append(name) or password)
    assert document.certificates == (LEAF, CA)
    assert document.keys == ("RSA 2048 private key",)
    assert len(asked) == bool(password)


@pytest.mark.parametrize(
    ("data", "password", "why"),
    [
        (pfx("secret"), "wrong", "the password does not open it"),
        (pfx("secret"), "", "its password is needed"),
        (pfx("secret")[:-40], "secret", "it is cut off"),
        (pfx("", key=None), "", "without a private key"),
    ],
)
def test_a_pfx_that_is_no_use_says_why(data, password, why):
    (problem,) = read(data, lambda _name: password).problems
    assert why in problem


@pytest.mark.parametrize("old", ["PBE-SHA1-RC2-40", "PBE-SHA1-3DES"])
def test_pfx_files_of_old_windows_open(openssl, tmp_path, old):
    (tmp_path / "x.pem").write_bytes(key_as(PKCS8) + LEAF.public_bytes(Encoding.PEM))
    made = openssl(
        *("pkcs12", "-export", "-legacy", "-certpbe", old, "-keypbe", old, "-macalg", "sha1"),
        *("-in", tmp_path / "x.pem", "-out", tmp_path / "x.pfx", "-passout", "env:PASSWORD"),
        password="secret",
    )
    if made.returncode:
        pytest.skip("this OpenSSL can't write it")
    assert read(tmp_path / "x.pfx", lambda _name: "secret").certificates == (LEAF,)


# What Windows says


NETSH = """
Liaisons de certificats SSL :
-------------------------

    IP:port                                 : 0.0.0.0:9000
    Hachage du certificat             : {sha1}
    ID de l'application                       : {{4dc3e181-e14b-4a21-b022-59fc669b0914}}
    Nom du magasin de certificats              : MY

    IP:Port                      : [::]:443
    Zertifikathash             : {other}
    Anwendungs-ID               : {{4dc3e181-e14b-4a21-b022-59fc669b0914}}
""".format


def test_bindings_are_read_in_any_language():
    first, second = read(NETSH(sha1=LABEL.lower(), other="AB" * 20)).bindings
    assert (first.address, first.port, first.thumbprint) == ("0.0.0.0", 9000, LABEL)
    assert (second.address, second.port, second.thumbprint) == ("[::]", 443, "AB" * 20)
    assert first.what == "management server"


def test_a_binding_is_tied_to_the_certificate_that_it_names():
    tied, unknown = in_use([read(NETSH(sha1=LABEL, other="AB" * 20)), read(DER)])
    assert NAME in tied
    assert "no certificate that was given here" in unknown


def test_the_configuration_of_a_recording_server_is_read():
    document = read(
        f"""<?xml version="1.0" encoding="utf-8"?><recorderconfig><webserver>
        <port>7563</port><encryption enabled="true" certificateHash="{LABEL}" /></webserver>
        </recorderconfig>"""
    )
    assert document.about == "RecorderConfig.xml of a recording server"
    (binding,) = document.bindings
    assert (binding.port, binding.thumbprint) == (7563, LABEL)


@pytest.mark.parametrize(("enabled", "label"), [("true", LABEL), ("false", "")], ids=["on", "off"])
def test_the_endpoints_of_an_event_server_are_read(enabled, label):
    text = f"""<ServiceEndpoints><CertificateEnabled>{enabled}</CertificateEnabled>
      <CertificateHash>{LABEL}</CertificateHash></ServiceEndpoints>"""
    (binding,) = read(text.encode("utf-16")).bindings
    assert binding.thumbprint == label


def test_an_xml_bomb_is_not_lit():
    bomb = '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><recorderconfig>&b;</recorderconfig>'
    assert "entities of its own" in read(bomb).about


def test_a_store_as_certutil_lists_it_is_read():
    spaced = bytes.fromhex(LABEL).hex(" ")
    text = f"""My "Eigene Zertifikate"
================ Zertifikat 0 ================
Seriennummer: 4d2f9a
Zertifikathash(sha1): {spaced}
CertUtil: -store-Befehl wurde erfolgreich ausgeführt."""
    assert read(text).about == "a certificate store as certutil lists it: 1 entry"


@pytest.mark.parametrize(
    "text",
    [f"\u200e{LABEL.lower()}", bytes.fromhex(LABEL).hex(" "), LABEL],
    ids=["dialog", "spaced", "plain"],
)
def test_a_thumbprint_is_read_whatever_was_copied_along(text):
    assert read(text).about == f"the thumbprint {LABEL}"


def test_an_inventory_is_read():
    at = datetime(2026, 11, 23, tzinfo=UTC)
    held = (Personal(LEAF, True),)
    stores = Stores("rec-01", at, root=(ROOT,), personal=held, bindings={"server": LABEL})
    document = read(write_inventory(stores))
    assert document.about.startswith("the inventory of rec-01: 1 certificate of its own")
    assert document.certificates == (LEAF, ROOT)
    assert str(document.bindings[0]) == f"rec-01 uses certificate {LABEL} (server)"


def test_a_folder_is_read_file_by_file(tmp_path):
    (tmp_path / "a.cer").write_bytes(DER)
    (tmp_path / "b.csr").write_bytes(REQUEST)
    (tmp_path / "letter.txt").write_text("Dear colleague", encoding="utf-8")
    document = read(tmp_path)
    assert document.about == (
        "a folder with a.cer: a certificate; b.csr: a certificate request (CSR)"
    )
    assert (document.certificates, len(document.requests)) == ((LEAF,), 1)


# What nobody can read


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"Dear colleague", "no certificate, key, PFX"),
        (os.urandom(600), "no certificate, key, PFX"),
        (DER[:-30], "no certificate, key, PFX"),
        (PEM[:300], "begins but does not end"),
        (PEM.replace(b"MII", b"MXX"), "block 1 (CERTIFICATE) can't be read"),
        (b'{"vmscert_inventory": 99}', "Run inventory.ps1 there again"),
        (b"{", "Run inventory.ps1 there again"),
    ],
    ids=["nothing", "blank", "letter", "noise", "cut DER", "cut PEM", "odd PEM", "JSON", "brace"],
)
def test_what_can_not_be_read_is_told_in_one_sentence(data, why):
    problems = read(data).problems
    assert why in problems[0]
    assert all(len(problem.splitlines()) == 1 for problem in problems)


@pytest.mark.parametrize(
    "unit",
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"{4dc3e181-e14b-4a21-b022-59fc669b0914} a-",
        b"<a>",
        b"MII",
        "\u200b".encode(),
        b"CN=a 1/1/2026 ",
        b"a: 1/1/2026\n",
    ],
    ids=["beginnings", "endless line", "nested", "base64", "unseen", "dates", "lines of dates"],
)
def test_what_repeats_without_an_end_is_read_in_a_moment(unit):
    data = LABEL.encode() + b"\n" + unit * (300_000 // len(unit))
    begun = time.process_time()
    assert read(data).about
    assert time.process_time() - begun < 5


def vectors():
    root = Path(cryptography_vectors.__file__).parent
    for folder in ("x509", "pkcs12", "pkcs7", "asymmetric", "keys"):
        yield from (p for p in sorted((root / folder).rglob("*")) if p.is_file())


def test_a_thousand_odd_files_are_told_without_a_traceback():
    files = [path for path in vectors() if path.suffix not in {".py", ".txt", ".rsp"}]
    assert len(files) > 1000
    at = datetime(2015, 1, 1, tzinfo=UTC)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in files:
            document = read(path, lambda _name: "cryptography")
            judge(document, [ROOT], NAME, at)
            assert all(map(str.isprintable, told(document))), path.name
            for certificate in document.certificates[:1]:
                assert all(text.isprintable() for _, text in anatomy(certificate).fields)


LISTED = f"""my "Personal"
== Certificate 0 ==
Issuer: CN=a
 NotBefore: 6/1/2026 12:00 AM
 NotAfter: 6/1/2027 12:00 AM
Subject: CN=b
Cert Hash(sha1): {LABEL}
Missing stored keyset
"""
ASKED = '[NewRequest]\nSubject="CN=a"\nKeyLength=2048\n[EnhancedKeyUsageExtension]\nOID=1.3.6.1\n'
EVENT = "<Event><System><Provider Name='Schannel'/><EventID>36887</EventID></System></Event>"
PASTED = [text.encode() for text in (LISTED, ASKED, EVENT)]
SEEDS = [*(data for _, data in KINDS), *WRAPPED.values(), pfx("secret"), pfx(""), *PASTED]


def mutated(data, chance):
    """Flip, cut, repeat, or splice in what belongs elsewhere."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0 if changed:
                changed[place % len(changed)] = chance.randrange(256)
            case 1:
                del changed[place : place + chance.randrange(1, 80)]
            case 2:
                changed[place:place] = changed[: chance.randrange(1, 60)]
            case _:
                other = chance.choice(SEEDS)
                start = chance.randrange(len(other))
                changed[place:place] = other[start : start + chance.randrange(1, 200)]
    return bytes(changed)


@pytest.mark.parametrize("seed", range(8))
def test_no_mutation_brings_a_traceback(seed):
    chance = random.Random(seed)
    at = datetime(2026, 11, 23, tzinfo=UTC)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            document = read(mutated(chance.choice(SEEDS), chance), lambda _name: "secret")
            found = judge(document, [ROOT], NAME, at)
            assert found.findings or found.judged or document.problems
            assert all(one.detail.isprintable() for one in found.findings)
            assert all(map(str.isprintable, told(document)))
            for certificate in document.certificates:
                assert str(anatomy(certificate))


def names_nothing(text):
    """A text such as "/" names a folder, which is looked through to its end."""
    try:
        return not Path(text).exists()
    except (OSError, ValueError):
        return True


@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).filter(names_nothing)))
@settings(max_examples=150)
def test_any_bytes_and_any_text_are_something(data):
    about = read(data).about
    assert about and about.isprintable()


# One certificate, taken apart


def test_the_anatomy_says_first_what_matters():
    rows = dict(anatomy(LEAF).rows)
    assert rows["for"] == NAME
    assert rows["names"] == f"{NAME}, vms-rec-01, 10.10.0.21"
    assert rows["issued by"] == MIDDLE
    assert rows["valid"].endswith("200 days")
    assert rows["may be used"] == "serverAuth; key usage: digitalSignature, keyEncipherment"
    assert rows["key"] == "RSA, 2048 bits, exponent 65537"
    assert rows["thumbprint"] == LABEL


def test_every_extension_is_among_all_fields():
    fields = dict(anatomy(CA).fields)
    assert fields["basicConstraints, critical"] == "CA"
    assert fields["keyUsage, critical"] == "keyCertSign, cRLSign"
    assert len(fields["subjectKeyIdentifier"]) == 40
    assert fields["SHA-256"] == CA.fingerprint(hashes.SHA256()).hex().upper()


def test_foreign_text_stays_text():
    evil = "<script>alert(1)</script>\x1b[31m\u202e"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, evil)])
    start, end = LEAF.not_valid_before_utc, LEAF.not_valid_after_utc
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, start, end)
    shown = anatomy(builder.sign(KEY, hashes.SHA256()))
    assert "<script>" not in shown._repr_html_()
    assert "\x1b" not in str(shown)
    assert "\u202e" not in json.dumps(shown.rows, ensure_ascii=False)


def test_a_file_that_is_locked_does_not_hide_the_others_of_its_folder(tmp_path, monkeypatch):
    for name in ("a.cer", "b.cer"):
        (tmp_path / name).write_bytes(LEAF.public_bytes(Encoding.DER))
    opened = Path.open

    def locked(path, *how, **more):
        if path.name == "a.cer":
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **more)

    monkeypatch.setattr(Path, "open", locked)
    document = read(tmp_path)
    assert document.certificates == (LEAF,)
    (told,) = judge(document, None, "", datetime(2026, 11, 23, tzinfo=UTC)).findings
    assert (told.code, told.where) == ("not-judged", "a.cer")
    assert "a.cer can't be read: Permission denied" in told.detail


def test_a_key_of_openpgp_is_nothing_of_ours():
    pgp = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBGP\n-----END PGP PUBLIC KEY BLOCK-----\n"
    assert read(pgp).about == "something else"
    assert read(pgp + LEAF.public_bytes(Encoding.PEM)).about == "a certificate"
