"""What people bring is judged, or named as not judged: nothing else is ever fine."""

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from chains import NAME, Chain, key, revocation_list
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

from vmscert import QUICK, create_authority, read
from vmscert.certificates.authority import SERVER, thumbprint
from vmscert.checks import documents
from vmscert.checks.judging import judge
from vmscert.windows.inventory import write_inventory
from vmscert.windows.stores import Personal, Stores

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)
LEAF, CA, ROOT = Chain().certificates()
LABEL = "AABBCCDDEEFF00112233445566778899AABBCCDD"
PROVIDER = """  Key Container = te-WebServer-1
  Unique container name: a11a37ef57bb64c3f31f8f99421d1550_e64079bf-f1d8-450e-ba59-2f4d921306df
  Provider = Microsoft Software Key Storage Provider
"""
PASSED = f"{PROVIDER}Encryption test passed\n"
CERTUTIL = """{store} "{called}"
================ {title} 0 ================
{labels[0]}: 9f8e7d6c5b
{labels[1]}: CN=Test Root CA
 {labels[2]}: {start}
 {labels[3]}: {end}
{labels[4]}: CN={name}
{hashed}: 11223344556677889900aabbccddeeff00112233
{key}CertUtil: -store
"""
ENGLISH = ("Serial Number", "Issuer", "NotBefore", "NotAfter", "Subject")
OTHERS = {
    "German": ("Seriennummer", "Aussteller", "Nicht vor", "Nicht nach", "Antragsteller"),
    "nobody's": ("Aaa", "Bbb", "Ccc", "Ddd", "Eee"),
}


def certutil(start="1/13/2026 12:00 AM", end="1/13/2028 12:00 AM", key=PASSED, **told):
    usual = {
        "store": "my",
        "called": "Personal",
        "title": "Certificate",
        "labels": ENGLISH,
        "name": "rec-01",
        "hashed": "Cert Hash(sha1)",
    }
    return CERTUTIL.format(start=start, end=end, key=key, **usual | told)


def codes(source, roots=None, name="", at=AT, **more):
    document = source if isinstance(source, documents.Document) else read(source)
    return {one.code for one in judge(document, roots, name, at, **more).findings}


# Listings


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        ("1/13/2026 12:00 AM", "1/13/2028 12:00 AM", set()),
        ("6/1/2024 12:00 AM", "6/1/2025 12:00 AM", {"expired"}),
        ("01.01.2026 01:00", "01.01.2028 01:00", set()),
        ("13-01-2024 01:00", "13-01-2026 01:00", {"expired"}),
        ("2026-01-01", "2026-11-30", {"not-judged"}),  # somewhere that day has not ended
        ("2026-01-01", "2026-11-29", {"expired"}),
        ("Jan  1 00:00:00 2025 GMT", "Dec  1 11:59:59 2026 GMT", {"expired"}),
        ("Jan  1 00:00:00 2025 GMT", "Dec  1 12:00:01 2026 GMT", {"expires-soon"}),
        ("1 janvier 2026 00:00", "15 déc. 2026 00:00", {"expires-soon"}),
        ("1 de junio de 2024, 0:00", "1 de junio de 2025, 0:00", {"expired"}),
        ("1/2/2026 12:00 AM", "12/10/2026 12:00 AM", {"not-judged"}),  # or on October 12
        ("13/2/2026 00:00", "12/10/2026 00:00", {"expired"}),  # now the order is known
        ("2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", {"not-yet-valid"}),
        ("6/1/2025 12:00\u202fAM", "\u200e6/1/2026 12:00\u202fAM", {"expired"}),
        ("soon", "some day", {"not-judged"}),
    ],
)
def test_dates_are_judged_in_each_form_and_only_where_every_reading_says_the_same(
    start, end, found
):
    assert codes(certutil(start, end)) == found


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_listing_is_read_whatever_its_labels_are(language, encoding):
    told = {"labels": OTHERS[language], "title": "Zertifikat", "hashed": "Hach(sha1)"}
    text = certutil("01.01.2024 01:00", "01.01.2025 01:00", **told).replace("\n", "\r\n")
    (entry,) = read(text.encode(encoding)).entries
    assert (entry.subject, entry.issuer) == ("CN=rec-01", "CN=Test Root CA")
    assert entry.thumbprint == "11223344556677889900AABBCCDDEEFF00112233"
    assert codes(text.encode(encoding)) == {"expired"}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("No key provider information\n", {"key-missing"}),
        ("  Provider = X\nMissing stored keyset\n", {"key-missing"}),
        ("  Provider = X\nAccess denied.\nEncryption test FAILED\n", {"key-not-readable"}),
        (f"{PROVIDER}Signature test FAILED\n", {"key-not-readable"}),
        (f"{PROVIDER}Verschlüsselungstest wurde durchgeführt\n", set()),
        (f"{PROVIDER}Noget gik galt\n", {"not-judged"}),
        ("", {"not-judged"}),
    ],
)
def test_a_key_is_there_only_if_a_known_sentence_says_so(key, found):
    assert codes(certutil(key=key)) == found
    if not found:
        assert "private keys" in judge(read(certutil(key=key)), None, "", AT).judged


def test_what_is_no_servers_store_needs_no_key_and_holds_no_server():
    missing = "Missing stored keyset\n"
    root = certutil(store="Root", called="Trusted Root", name="Test Root CA", key=missing)
    assert codes(root) == set()
    assert codes(certutil(store="Root", called="Trusted Root", key=missing)) == {"wrong-store"}
    assert codes(f"C:\\> certutil -user -store my\n{certutil()}") == {"wrong-store"}


def test_of_two_entries_the_second_counts_as_well():
    second = certutil(end="1/13/2025 12:00 AM", start="1/13/2024 12:00 AM").replace(" 0 =", " 1 =")
    assert codes(certutil() + second) == {"expired"}


PROPERTIES = """Subject       : CN=rec-01
Issuer        : CN=VMS CA
Thumbprint    : AABBCCDDEEFF00112233445566778899AABBCCDD
NotBefore     : 13.01.2026 00:00:00
NotAfter      : {end} 00:00:00
HasPrivateKey : {key}
PSParentPath  : Microsoft.PowerShell.Security\\Certificate::{place}\\My
""".format


@pytest.mark.parametrize(
    ("end", "key", "place", "found"),
    [
        ("13.01.2028", "True", "LocalMachine", set()),
        ("13.01.2028", "False", "LocalMachine", {"key-missing"}),
        ("13.06.2026", "True", "LocalMachine", {"expired"}),
        ("13.01.2028", "True", "CurrentUser", {"wrong-store"}),
    ],
)
def test_what_powershell_lists_is_judged(end, key, place, found):
    good = PROPERTIES(end="13.01.2028", key="True", place="LocalMachine")
    assert codes(f"{good}\n{PROPERTIES(end=end, key=key, place=place)}") == found


def test_a_table_of_powershell_is_judged_row_by_row_and_without_dates_is_not():
    head = "Subject      NotAfter            HasPrivateKey\n"
    head += "-------      --------            -------------\n"
    good, old = "CN=a         2028-01-13 00:00:00          True\n", ""
    old = good.replace("2028", "2025").replace("CN=a", "CN=b")
    assert codes(head + good) == set()
    assert codes(head + good + old) == {"expired"}
    bare = f"Thumbprint                                Subject\n{'-' * 40}  -------\n"
    assert codes(f"{bare}{LABEL}  CN=rec-01\n") == {"not-judged"}


CHROMIUM = """Issued To
Common Name (CN)\trec-01
Issued By
Common Name (CN)\tVMS CA
Validity Period
Issued On\tMonday, June 1, 2026 at 12:00:00\u202fAM
Expires On\tTuesday, June 1, {year} at 12:00:00\u202fAM
"""
GERMAN = """Ausgestellt für
Allgemeiner Name (CN)\trec-01
Ausgestellt von
Allgemeiner Name (CN)\tVMS CA
Ausgestellt am\tMontag, 1. Juni 2025 um 02:00:00
Läuft ab am\tDienstag, 1. Juni {year} um 02:00:00
"""
FIREFOX = """Subject Name
Common Name
rec-01
Issuer Name
Common Name
VMS CA
Validity
Not Before
Mon, 01 Jun 2026 00:00:00 GMT
Not After
Tue, 01 Jun {year} 00:00:00 GMT
"""


@pytest.mark.parametrize("viewer", [GERMAN, CHROMIUM, FIREFOX])
def test_what_a_browser_shows_is_judged(viewer):
    text = viewer.replace("Juni 2025", "Juni 2024").replace("2026", "2024")
    (entry,) = read(text.format(year=2027)).entries
    assert (entry.subject, entry.issuer) == ("CN=rec-01", "CN=VMS CA")
    assert codes(text.format(year=2027)) == set()
    assert codes(text.format(year=2025)) == {"expired"}


def test_openssl_says_the_same_of_a_certificate_as_its_text_does(openssl, tmp_path):
    made = openssl(
        *("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=rec_01/O=x"),
        *("-addext", "subjectAltName=DNS:rec_01", "-addext", "basicConstraints=CA:FALSE"),
        *("-days", "400", "-keyout", tmp_path / "k", "-out", tmp_path / "c"),
    )
    assert not made.returncode, made.stderr
    text = openssl("x509", "-in", tmp_path / "c", "-noout", "-text").stdout
    now = datetime.now(UTC)
    assert {"weak-key", "name-not-portable"} <= codes(text, at=now) <= codes(tmp_path / "c", at=now)
    assert "expired" in codes(text, at=now + timedelta(days=401))
    dates = openssl("x509", "-in", tmp_path / "c", "-noout", "-subject", "-dates").stdout
    assert codes(dates, at=now + timedelta(days=401)) == {"expired"}


@pytest.mark.skipif(not shutil.which("keytool"), reason="there is no keytool")
def test_keytool_is_read_in_a_language_that_it_knows(tmp_path):
    store = ("-keystore", str(tmp_path / "k.p12"), "-storepass", "changeit")
    named = ("-dname", "CN=rec-01", "-ext", "san=dns:rec-01", "-validity", "400")
    made = ("keytool", "-genkeypair", "-alias", "r", "-keyalg", "RSA", "-keysize", "1024", *named)
    subprocess.run([*made, *store], check=True, capture_output=True)
    german = ("-J-Duser.language=de", "-J-Dfile.encoding=UTF-8", "-J-Dstdout.encoding=UTF-8")
    listed = subprocess.run(
        ["keytool", "-list", "-v", *store, *german], check=True, capture_output=True
    ).stdout
    (entry,) = read(listed).entries
    assert (entry.subject, entry.names, entry.bits) == ("CN=rec-01", ("rec-01",), 1024)
    now = datetime.now(UTC)
    assert codes(listed, at=now + timedelta(minutes=1)) == {"weak-key"}
    assert "expired" in codes(listed, at=now + timedelta(days=401))


def test_a_log_with_dates_and_names_is_no_listing():
    log = "2026-12-01 10:00:00 refused CN=rec-01\n2026-12-02 10:00:00 refused CN=rec-01 again\n"
    assert not read(log).entries


# Thumbprints, bindings, events


@pytest.mark.parametrize("sign", "\u200e\u200b\ufeff\u00a0\u2060")
@pytest.mark.parametrize("place", [0, 16])
def test_a_sign_that_nobody_sees_is_the_finding_and_the_clean_thumbprint_is_given(sign, place):
    found = judge(read(LABEL[:place] + sign + LABEL[place:]), None, "", AT).findings
    assert {one.code for one in found} == {"invisible-character", "not-judged"}
    (told,) = (one.detail for one in found if one.code == "invisible-character")
    assert f"U+{ord(sign):04X}" in told and f"paste {LABEL}" in told
    assert f"place {place + 1}:" in told
    command = f"netsh http add sslcert ipport=0.0.0.0:9000 certhash={sign}{LABEL} appid={{x}}"
    assert "invisible-character" in codes(command)


def test_a_thumbprint_alone_is_not_judged():
    assert codes(LABEL) == codes(f"\r\n{LABEL.lower()}\r\n") == {"not-judged"}


def test_a_binding_is_fine_only_beside_its_certificate_and_in_a_store_of_servers():
    text = f"IP:Port : 0.0.0.0:9000\nHash : {thumbprint(LEAF)}\n"
    text += "App : {4dc3e181-e14b-4a21-b022-59fc669b0914}\n"
    beside = [read(LEAF.public_bytes(Encoding.DER))]
    assert codes(text) == {"not-judged"}
    assert codes(text, beside=beside) == set()
    assert codes(f"{text}Lager : Root\n", beside=beside) == {"wrong-store"}


EVENT = """<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>
<Provider Name="Microsoft-Windows-CAPI2"/><EventID>11</EventID><Computer>sc-01</Computer></System>
<UserData><X><Certificate subjectName="rec-01"/>
<SSLAdditionalPolicyInfo serverName="10.0.0.1"/><Result value="{code}">Wort</Result></X>
</UserData></Event>"""


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("800B010F", {"name-mismatch"}),
        ("800B0101", {"expired"}),
        ("0", set()),
        ("81234567", {"not-judged"}),
    ],
)
def test_an_event_is_judged_by_its_result(code, found):
    document = read(EVENT.format(code=code))
    assert codes(document) == found
    (event,) = document.events
    assert (event.server, event.subject, event.computer) == ("10.0.0.1", "rec-01", "sc-01")
    assert codes(f"<Events>{EVENT.format(code=code)}</Events>") == found


@pytest.mark.parametrize("begin", ["feedfeed00000002", "cececece00000002", "456c6646696c6500"])
def test_what_is_not_read_is_named_for_what_it_is(begin):
    document = read(bytes.fromhex(begin) + bytes(40))
    assert "Java keystore" in document.about or "event log" in document.about
    assert codes(document) == {"not-judged"}


# What is asked for


def request(*names, common="rec-01", bits="leaf"):
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
    builder = x509.CertificateSigningRequestBuilder(subject)
    if names:
        san = x509.SubjectAlternativeName(map(x509.DNSName, names))
        builder = builder.add_extension(san, False)
    return builder.sign(key(bits), hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_request_is_shown_and_judged():
    assert codes(request("rec-01", "rec-01.example.local")) == set()
    assert codes(request()) == {"no-san"}
    assert codes(request("rec_01")) == {"name-not-portable"}
    assert codes(request("*.example.local")) == {"name-mismatch"}
    assert codes(request("rec 01")) == {"name-mismatch"}
    (told,) = read(request("rec-01")).holds
    assert "rec-01" in told and "RSA 2048" in told


INF = """[Version]
Signature="$Windows NT$"
[NewRequest]
Subject = "CN=rec-01" ; the computer
KeyLength = 2048 ; or 4096
MachineKeySet = TRUE
KeyUsage = 0xa0
[Extensions]
2.5.29.17 = "{text}"
_continue_ = "dns=rec-01.example.local&"
_continue_ = "ipaddress=10.0.0.1"
[EnhancedKeyUsageExtension]
OID=1.3.6.1.5.5.7.3.1
"""


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("", "", set()),
        ("KeyLength = 2048", "KeyLength = 1024", {"weak-key"}),
        ("KeyLength = 2048", ";KeyLength = 2048", {"not-judged"}),
        ("MachineKeySet = TRUE", "MachineKeySet = FALSE", {"wrong-store"}),
        ("0xa0", "0x20", {"wrong-eku"}),
        ("7.3.1", "7.3.2", {"wrong-eku"}),
        ("dns=rec-01", "dns=rec_01", {"name-not-portable"}),
        ("_continue_", ";_continue_", {"no-san"}),
    ],
)
def test_a_certreq_inf_is_judged_before_anybody_asks_for_it(before, after, found):
    document = read(INF.replace(before, after).replace("\n", "\r\n"))
    assert "certreq" in document.about
    assert codes(document) == found


# Certificates, keys, lists, inventories


def test_every_certificate_of_a_bundle_and_of_a_folder_is_judged(tmp_path):
    ca = create_authority("R", AT - timedelta(days=900), QUICK)
    good = ca.issue("good.example.local", at=AT).certificate
    old = ca.issue("old.example.local", at=AT - timedelta(days=800)).certificate
    for both in ([good, old], [old, good]):
        assert codes(pkcs7.serialize_certificates(both, Encoding.DER)) == {"expired"}
        assert codes(b"".join(one.public_bytes(Encoding.PEM) for one in both)) == {"expired"}
    for name, one in (("a.cer", good), ("b.cer", ca.certificate)):
        (tmp_path / name).write_bytes(one.public_bytes(Encoding.DER))
    assert codes(tmp_path) == codes(tmp_path, [ca.certificate]) == set()
    assert "untrusted-root" in codes(tmp_path, [ROOT])
    (tmp_path / "z.cer").write_bytes(old.public_bytes(Encoding.DER))
    assert codes(tmp_path, [ca.certificate], "good.example.local") == {"expired"}


def test_a_limit_that_is_met_and_a_file_that_is_odd_are_never_fine(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.cer").write_bytes(LEAF.public_bytes(Encoding.DER))
    assert "not-judged" not in codes(tmp_path)
    monkeypatch.setattr(documents, "_MOST_FILES", 2)
    (told,) = (o for o in judge(read(tmp_path), None, "", AT).findings if o.code == "not-judged")
    assert "first 2 files" in told.detail
    monkeypatch.undo()
    (tmp_path / "c.cer").write_bytes(b"junk")
    assert "not-judged" in codes(tmp_path)


def selfsigned(*extensions):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rec-01")])
    end = AT + timedelta(days=800)
    made = x509.CertificateBuilder(name, name, key("leaf").public_key(), 7, AT, end)
    for one in extensions:
        made = made.add_extension(one, False)
    return made.sign(key("leaf"), hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_that_signed_itself_is_judged_as_a_server_where_a_name_is_asked_for():
    plain = selfsigned()
    wanted = {"self-signed", "no-san"}
    assert wanted <= codes(plain, [ROOT], "rec-01")
    assert not {"issuer-not-ca", "weak-key"} & codes(plain, [ROOT], "rec-01")
    assert {"self-signed", "name-mismatch"} <= codes(plain, [ROOT], "elsewhere")
    assert wanted | {"issuer-not-ca"} <= codes(plain)  # in doubt, both are told
    ca = selfsigned(x509.BasicConstraints(True, None))
    assert "leaf-is-ca" in codes(ca, [ROOT], "rec-01")
    assert "untrusted-root" in codes(ca, [ROOT]) and "leaf-is-ca" not in codes(ca, [ROOT])
    assert "untrusted-root" not in codes(ca)


def test_what_phones_refuse_is_told_of_a_certificate():
    ca = create_authority("R", AT, QUICK)
    long = ca.issue("rec-01", at=AT, profile=_lasting(900)).certificate
    assert codes(long.public_bytes(Encoding.DER)) >= {"too-long-for-phones"}
    short = ca.issue("rec-01", at=AT, profile=_lasting(800)).certificate
    assert codes(short.public_bytes(Encoding.DER)) == set()


def _lasting(days):
    return replace(SERVER, days=days)


OLD = ("-legacy", "-macalg", "sha1", "-keypbe", "PBE-SHA1-3DES", "-certpbe")


@pytest.mark.parametrize(
    ("how", "opens"),
    [
        (("-certpbe", "AES-256-CBC", "-keypbe", "AES-256-CBC"), "Windows Server 2019"),
        ((*OLD, "PBE-SHA1-3DES"), "every"),
        ((*OLD, "PBE-SHA1-RC2-40"), "every"),
        (("-certpbe", "CAMELLIA-256-CBC", "-keypbe", "AES-256-CBC"), ""),
    ],
    ids=["AES", "3DES", "RC2", "Camellia"],
)
def test_a_pfx_says_which_windows_opens_it_before_anybody_types_its_password(
    openssl, tmp_path, how, opens
):
    pem = key("leaf").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "x.pem").write_bytes(pem + LEAF.public_bytes(Encoding.PEM))
    made = openssl(
        *("pkcs12", "-export", *how, "-in", tmp_path / "x.pem", "-out", tmp_path / "x.pfx"),
        *("-passout", "env:PASSWORD"),
        password="secret",
    )
    if made.returncode:
        pytest.skip("this OpenSSL can't write it")
    document = read(tmp_path / "x.pfx")
    assert any(opens in line for line in document.holds)
    assert document.pfx[0].opened_by.startswith(opens)
    assert ("not-judged" in codes(document)) == (not opens)


def test_a_key_or_a_list_alone_says_what_was_judged():
    clear = key("leaf").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    hidden = BestAvailableEncryption(b"x")
    shut = key("leaf").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
    public = key("leaf").public_key()
    public = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert codes(clear) == codes(shut) == codes(public) == {"not-judged"}
    assert "in clear" in judge(read(clear), None, "", AT).findings[0].detail
    bag = pkcs12.serialize_key_and_certificates(b"x", key("leaf"), None, [], NoEncryption())
    assert read(bag).problems
    crl = revocation_list("R")
    data, ended = crl.public_bytes(Encoding.DER), crl.next_update_utc + timedelta(1)
    assert codes(data, at=crl.last_update_utc) == set()
    assert codes(data, at=ended) == {"crl-unusable"}


def test_every_certificate_of_a_computers_own_is_judged():
    ca = create_authority("R", AT - timedelta(days=900), QUICK)
    good = ca.issue("rec-01", at=AT).certificate
    old = ca.issue("rec-01", at=AT - timedelta(days=800)).certificate

    def held(*personal, **more):
        stores = Stores("rec-01", AT, root=(ca.certificate,), personal=personal, **more)
        return codes(write_inventory(stores))

    fine = Personal(good, True, ("NETWORK SERVICE",))
    assert held(fine) == set()
    assert held(fine, Personal(old, True, ("X",))) == {"expired"}
    assert held(Personal(good, False)) == {"key-missing"}
    assert held(Personal(good, True)) == {"not-judged"}
    assert held(fine, unread={"server": "denied"}) == {"not-judged"}
    assert held(fine, user_personal=(fine,)) == {"wrong-store"}
    assert held() == {"no-certificate"}


def test_what_was_judged_is_said_and_nothing_else():
    judged = judge(read(LEAF.public_bytes(Encoding.DER)), None, "", AT)
    assert "signatures" not in judged.judged
    assert any("--root" in one for one in judged.besides)
    whole = judge(read(LEAF.public_bytes(Encoding.DER)), [CA, ROOT], NAME, AT)
    assert {"signatures", "whom clients trust", f"the name {NAME}"} <= set(whole.judged)
    assert not whole.besides


def test_a_listing_of_ten_thousand_lines_is_read_in_a_moment():
    entry = certutil().splitlines()
    text = "\n".join(entry[:1] + entry[1:] * 1000)
    begun = datetime.now(UTC)
    assert len(read(text).entries) == 1000
    assert datetime.now(UTC) - begun < timedelta(seconds=4)


def test_a_request_that_was_changed_on_the_way_is_told():
    """Its signature is looked at by arithmetic."""
    csr = x509.load_pem_x509_csr(request("rec-01"))
    der = bytearray(csr.public_bytes(Encoding.DER))
    der[-1] ^= 1
    assert codes(bytes(der)) == {"bad-signature"}
