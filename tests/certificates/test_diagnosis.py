"""Whether a client would trust a server, and every reason why not."""

import json
import shutil
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import combinations, pairwise
from pathlib import Path

import cryptography_vectors
import pytest
from chains import (
    AT,
    CLIENT,
    DAY,
    FAULTS,
    MIDDLE,
    NAME,
    ROOT,
    Chain,
    ca,
    codes,
    damaged,
    key,
    key_ids,
    named,
    of,
    only,
    san,
    server,
    signed,
    usage,
    vectors,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from served import BROKEN, MADE, PLANS, served

from vmscert.certificates import foreign
from vmscert.certificates.authority import Issued
from vmscert.certificates.diagnosis import diagnose
from vmscert.certificates.reading import Reading
from vmscert.facts import NOTEBOOKS, facts
from vmscert.findings import RULES, SEVERITIES, Finding, finding_of
from vmscert.network.tls import handshake


def code_of(fault):
    return fault.split(",")[0]


def test_a_healthy_chain_is_trusted_without_a_finding():
    diagnosis = Chain().diagnose()
    assert diagnosis.trusted
    assert diagnosis.findings == ()
    assert diagnosis.path == Chain().certificates()


@pytest.mark.parametrize("asked", [NAME, "VMS-Rec-01.Example.Local.", "vms-rec-01", "10.10.0.21"])
def test_each_of_its_names_is_accepted_in_every_spelling(asked):
    assert Chain(asks=asked).diagnose().findings == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_as_exactly_its_rule(fault):
    diagnosis = FAULTS[fault](Chain()).diagnose()
    assert codes(diagnosis) == [code_of(fault)]
    assert diagnosis.trusted == (diagnosis.findings[0].severity == "dubious")


# Faults that decide the same thing twice, or where one hides the thing that the other changes.
ENDS = {"untrusted-root", "root-recreated", "self-signed", "missing-intermediate"}
SENT = {"missing-intermediate", "self-signed", "chain-order"}
UNSEEN = {"middle": {"missing-intermediate", "self-signed"}, "root": {*ENDS}}
CHANGED = {
    "issuer-not-ca": "middle",
    "issuer-key-usage": "middle",
    "path-length": "root",
    "name-constraint": "root",
}


def together(one, other):
    """Whether two faults can be in one chain, each to be seen."""
    pair = {code_of(one), code_of(other)}
    for fault, by in ((one, other), (other, one)):
        part = CHANGED.get(fault) or (fault.partition(", ")[2] or None)
        if code_of(by) in UNSEEN.get(part, ()):
            return False
    return not (
        len(pair) == 1
        or pair <= ENDS
        or pair <= SENT
        or pair <= {"no-san", "name-mismatch"}  # no name at all is a mismatch too
        or pair <= {"issuer-not-ca", "issuer-key-usage"}  # what is no CA need not sign
        or pair <= {"bad-signature", "self-signed"}  # nobody checks what nobody trusts
        or pair <= {"bad-signature", "missing-intermediate"}  # whose signature? nobody can tell
        or pair <= {"self-signed", "profile"}  # a root needs no authority key identifier
    )


PAIRS = [pair for pair in combinations(FAULTS, 2) if together(*pair)]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_faults_in_one_chain_are_both_found_and_nothing_else(one, other):
    chain = FAULTS[other](FAULTS[one](Chain()))
    assert codes(chain.diagnose()) == sorted([code_of(one), code_of(other)])


# Names


def single(*texts, asks=NAME, common=None):
    """A leaf with these names, issued by the intermediate of a healthy chain."""
    chain = Chain(asks=asks)
    return replace(chain, leaf=replace(server(MIDDLE, *texts), subject=common or texts[0]))


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        ("*.example.local", "vms-rec-01.example.local"),
        ("EXAMPLE.local", "example.LOCAL"),
        ("xn--bcher-kva.example", "bücher.example"),
        ("10.10.0.21", "10.10.0.21"),
        ("fe80::1", "FE80:0:0:0:0:0:0:1"),
    ],
)
def test_a_name_is_accepted_as_rfc_9525_says(offered, asked):
    assert single(offered, asks=asked).diagnose().findings == ()


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        ("*.example.local", "example.local"),
        ("*.example.local", "a.b.example.local"),
        ("*.local", "example.local"),
        ("vms-rec-01.example.local", "evil-vms-rec-01.example.local"),
        ("10.10.0.21", "10.10.0.22"),
        ("vms-rec-01", "not a host name"),
    ],
)
def test_a_name_is_refused_as_rfc_9525_says(offered, asked):
    assert codes(single(offered, asks=asked).diagnose()) == ["name-mismatch"]


@pytest.mark.parametrize("pattern", ["vms*.example.local", "*ms.example.local", "vms.*.local", "*"])
def test_a_star_that_is_not_the_whole_first_label_is_no_wildcard(pattern):
    odd = x509.SubjectAlternativeName([x509.DNSName(pattern)])
    chain = Chain(asks="vms.example.local")
    chain = replace(chain, leaf=chain.leaf.having(odd))
    assert codes(chain.diagnose()) == ["name-mismatch"]


def test_a_mismatch_shows_the_name_asked_beside_the_names_offered():
    (finding,) = Chain(asks="vms-rec-02").diagnose().findings
    assert "vms-rec-02" in finding.detail
    assert "vms-rec-01.example.local, vms-rec-01, 10.10.0.21" in finding.detail


def test_a_short_name_asked_of_a_full_name_is_a_mismatch_that_says_so():
    (finding,) = single(NAME, asks="vms-rec-01").diagnose().findings
    assert finding.code == "name-mismatch"
    assert "not the short one" in finding.detail


def test_an_address_written_as_a_dns_name_is_a_mismatch_that_says_so():
    chain = Chain(asks="10.10.0.21")
    wrong = x509.SubjectAlternativeName([x509.DNSName("10.10.0.21")])
    (finding,) = replace(chain, leaf=chain.leaf.having(wrong)).diagnose().findings
    assert "as a DNS name" in finding.detail
    assert "Mono 6.8" not in finding.refused_by


def test_a_common_name_that_does_not_fit_either_is_a_mismatch():
    chain = FAULTS["no-san"](Chain(asks="vms-rec-01"))
    assert codes(chain.diagnose()) == ["name-mismatch"]


def test_names_are_those_of_the_subject_alternative_name():
    leaf, middle, _ = single("VMS-Rec-01.Example.local", "10.10.0.21").certificates()
    assert Reading(leaf).names == ("vms-rec-01.example.local", "10.10.0.21")
    assert Reading(middle).names == ()


# What real clients were seen to do


# What clients do there, no finding of a diagnosis says yet: nothing is found, or it names no case.
UNTOLD = {
    "name with an underscore",  # told of a file or of a site, not of a handshake
    "RSA exponent 1",  # its key can not be read here: malformed, and as bad
    "RSA exponent 3",  # everybody accepts it
}
CHAINS = [row for row in facts("clients") if row["rule"] not in ("tls-too-old", "not-encrypted")]


def test_every_measured_case_is_served_here():
    assert {row["case"] for row in facts("clients")} == {*PLANS, *MADE}


@pytest.mark.parametrize("row", CHAINS, ids=lambda row: row["case"])
def test_a_measured_case_is_told_with_its_rule_and_those_who_refuse(row, request):
    if row["case"] in UNTOLD:
        request.applymarker(pytest.mark.xfail(reason="not told yet", strict=True))
    one = served(row["case"])
    sent, roots = map(certificates, (one.sent, one.roots))
    (found,) = diagnose(sent, one.asks, roots, AT, crls=one.crls).findings
    told = finding_of(row["rule"], found.where, found.detail, row["case"])
    assert found == told
    assert set(told.refused_by) == {client for client in row if row[client] == "refuses"}


def certificates(ders):
    return list(map(foreign.certificate, ders))


# Other judges. They stop at the first fault they meet, so only their verdicts are compared.


def pyca_accepts(sent, roots, name, folder):
    """cryptography's own verifier."""
    builder = PolicyBuilder().store(Store(roots)).time(AT)
    try:
        builder.build_server_verifier(x509.DNSName(name)).verify(sent[0], sent[1:])
    except VerificationError:
        return False
    return True


def handshake_accepts(sent, roots, name, folder):
    """OpenSSL in a real TLS handshake with host check, in memory."""
    return handshake(Issued(sent[0], key("leaf"), tuple(sent[1:])), roots, name).ok


def openssl_accepts(sent, roots, name, folder):
    """`openssl verify`, as strict as Python is by default from 3.13 on."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not on the PATH")
    for file, certificates in {"root": roots, "leaf": sent[:1], "more": sent[1:]}.items():
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
        (folder / file).write_bytes(pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    command += ["-no-CApath", "-no-CAstore", "-attime", str(int(AT.timestamp()))]
    command += ["-verify_hostname", name, "-CAfile", folder / "root"]
    command += ["-untrusted", folder / "more"] if sent[1:] else []
    return subprocess.run([*command, folder / "leaf"], capture_output=True).returncode == 0


JUDGES = {"pyca": pyca_accepts, "handshake": handshake_accepts, "openssl": openssl_accepts}
# All that judges refuse though we call it dubious. What we call bad, all of them refuse.
DISAGREEMENTS = {
    ("no-san", "pyca"): "it does not read the common name; most clients do",
    ("no-san", "handshake"): "our client is told not to read the common name, as browsers do",
    ("leaf-is-ca", "pyca"): "it follows the CA/Browser Forum; OpenSSL does not mind",
    ("profile", "pyca"): "it wants an authority key identifier; most clients do not",
    ("profile", "openssl"): "as strict, it wants one too",
    ("profile, root", "pyca"): "it wants a key usage in a root; most clients do not",
    ("profile, root", "openssl"): "as strict, it wants one too",
}
# A server can't start with the private key of another certificate than the one it sends first.
IMPOSSIBLE = {("chain-order", "handshake")}


@pytest.mark.parametrize("judge", JUDGES)
def test_every_other_judge_accepts_the_healthy_chain(judge, tmp_path):
    assert JUDGES[judge](*Chain().parts(), NAME, tmp_path)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("fault", FAULTS)
def test_other_judges_refuse_what_we_call_bad_and_little_else(fault, judge, tmp_path):
    if (fault, judge) in IMPOSSIBLE:
        pytest.skip("no server can present this")
    chain = FAULTS[fault](Chain())
    accepts = JUDGES[judge](*chain.parts(), chain.asks, tmp_path)
    agrees = accepts == chain.diagnose().trusted
    assert agrees == ((fault, judge) not in DISAGREEMENTS)


# The certificates that the guide's scripts make


GUIDE = "VMS Certificate Authority"


@pytest.mark.parametrize("edition", ["older", "newer"])
def test_certificates_of_the_guides_scripts_are_trusted(edition):
    root = ca(GUIDE).having(usage("digital_signature", "key_cert_sign", "crl_sign"), critical=True)
    root = root.having(x509.SubjectAlternativeName([x509.DNSName(GUIDE)]))
    root = root.having(x509.ExtendedKeyUsage([*CLIENT, ExtendedKeyUsageOID.SERVER_AUTH]))
    root = root.without(x509.AuthorityKeyIdentifier)
    if edition == "older":
        root = root.without(x509.BasicConstraints)
    leaf = server(GUIDE, NAME)
    leaf = leaf.having(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
    diagnosis = diagnose([signed(leaf, root)], NAME, [signed(root, root)], AT)
    assert diagnosis.trusted
    assert codes(diagnosis) == (["issuer-not-ca"] if edition == "older" else [])


# Where a path ends, and which path is taken


def test_a_server_that_presents_nothing_gives_one_finding():
    diagnosis = diagnose([], NAME, [], AT)
    assert (diagnosis.trusted, diagnosis.path, codes(diagnosis)) == (False, (), ["no-certificate"])


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        diagnose([], NAME, [], AT.replace(tzinfo=None))


def test_a_recreated_root_is_told_with_both_key_identifiers():
    (finding,) = FAULTS["root-recreated"](Chain()).diagnose().findings
    for holder in (ROOT, "other"):
        assert key_ids(holder, holder)[0].digest.hex().upper() in finding.detail


def test_a_recreated_root_is_known_even_without_key_identifiers():
    bare = of("middle", lambda p: p.without(x509.AuthorityKeyIdentifier))
    found = FAULTS["root-recreated"](bare(Chain())).diagnose()
    assert codes(found) == ["profile", "root-recreated"]


def test_an_intermediate_that_the_client_holds_itself_need_not_be_sent():
    chain = FAULTS["missing-intermediate"](Chain())
    _, middle, _ = chain.certificates()
    assert chain.diagnose(intermediates=[middle]).findings == ()


def test_a_root_that_is_sent_along_does_no_harm():
    leaf, middle, root = Chain().certificates()
    assert diagnose([leaf, middle, root], NAME, [root], AT).findings == ()
    assert codes(diagnose([leaf, middle, root], NAME, [], AT)) == ["untrusted-root"]


def test_intermediates_out_of_order_are_dubious():
    low = ca("low", MIDDLE)
    leaf = signed(server("low", NAME), low)
    chain = [leaf, signed(ca(MIDDLE, ROOT), ca(ROOT)), signed(low, ca(MIDDLE))]
    diagnosis = diagnose(chain, NAME, [signed(ca(ROOT), ca(ROOT))], AT)
    assert (diagnosis.trusted, codes(diagnosis)) == (True, ["chain-order"])


def test_a_self_signed_certificate_that_the_client_trusts_is_fine():
    plan = server("leaf", NAME)
    certificate = signed(plan, plan)
    assert diagnose([certificate], NAME, [certificate], AT).findings == ()


def test_a_trusted_intermediate_is_dubious_since_some_clients_want_a_root():
    leaf, middle, _ = Chain().certificates()
    diagnosis = diagnose([leaf, middle], NAME, [middle], AT)
    assert (diagnosis.trusted, codes(diagnosis)) == (True, ["untrusted-root"])


def test_of_a_renewed_and_an_expired_ca_with_one_key_the_valid_one_is_taken():
    leaf, middle, root = Chain().certificates()
    old = signed(replace(ca(MIDDLE, ROOT), end=AT - DAY), ca(ROOT))
    for sent in ([leaf, old, middle], [leaf, middle, old]):
        diagnosis = diagnose(sent, NAME, [root], AT)
        assert diagnosis.path == (leaf, middle, root)
        assert diagnosis.findings == ()


def test_of_two_cross_signed_ways_the_one_to_a_trusted_root_is_taken():
    leaf, middle, root = Chain().certificates()
    stranger = ca("A strange root")
    crossed = signed(ca(MIDDLE, "A strange root"), stranger)
    assert diagnose([leaf, crossed, middle], NAME, [root], AT).findings == ()
    other = diagnose([leaf, crossed, middle], NAME, [signed(stranger, stranger)], AT)
    assert (other.trusted, other.path[1]) == (True, crossed)


def test_a_way_without_name_constraint_is_taken_if_there_is_one():
    leaf, middle, root = Chain().certificates()
    narrow = signed(ca(MIDDLE, ROOT).having(only("example.org"), critical=True), ca(ROOT))
    assert diagnose([leaf, narrow, middle], NAME, [root], AT).findings == ()


@pytest.mark.parametrize(
    ("permitted", "excluded", "fits"),
    [
        ([x509.DNSName("example.local"), x509.DNSName("vms-rec-01")], None, True),
        ([x509.DNSName("other.local")], None, False),
        ([x509.DNSName("ample.local")], None, False),
        (None, [x509.DNSName("example.local")], False),
        (None, [x509.DNSName("other.local")], True),
        ([x509.IPAddress(ip_network("10.10.0.0/24"))], None, True),
        ([x509.IPAddress(ip_network("10.11.0.0/16"))], None, False),
        (None, [x509.IPAddress(ip_network("10.0.0.0/8"))], False),
        (None, [x509.DirectoryName(named(NAME))], False),
        ([x509.RFC822Name("example.local")], None, True),
    ],
)
def test_name_constraints_hold_for_names_addresses_and_subjects(permitted, excluded, fits):
    limits = x509.NameConstraints(permitted, excluded)
    chain = of("middle", lambda plan: plan.having(limits, critical=True))(Chain())
    assert codes(chain.diagnose()) == ([] if fits else ["name-constraint"])


@pytest.mark.parametrize("kind", [ec.SECP256R1, ed25519.Ed25519PrivateKey])
def test_chains_of_other_keys_are_judged_too(kind):
    made = kind.generate() if kind is ed25519.Ed25519PrivateKey else ec.generate_private_key(kind())
    algorithm = None if kind is ed25519.Ed25519PrivateKey else hashes.SHA256()
    own = x509.SubjectKeyIdentifier.from_public_key(made.public_key())
    issuer = x509.AuthorityKeyIdentifier(own.digest, None, None)
    plans = [ca(ROOT).having(own), server(ROOT, NAME).having(issuer)]
    built = []
    for plan in plans:
        public = made.public_key() if plan.subject == ROOT else key("leaf").public_key()
        builder = x509.CertificateBuilder(
            named(ROOT), named(plan.subject), public, 1, plan.start, plan.end
        )
        for value, critical in plan.extensions.values():
            if not isinstance(value, x509.AuthorityKeyIdentifier) or plan.subject != ROOT:
                builder = builder.add_extension(value, critical)
        built.append(builder.sign(made, algorithm))
    root, leaf = built
    assert diagnose([leaf], NAME, [root], AT).findings == ()
    assert codes(diagnose([damaged(leaf)], NAME, [root], AT)) == ["bad-signature"]


# Hostile certificates


def seconds(*arguments, **more):
    start = time.process_time()
    diagnosis = diagnose(*arguments, **more)
    return time.process_time() - start, diagnosis


def test_an_ordinary_chain_takes_less_than_20_milliseconds():
    (leaf, middle), roots = Chain().parts()
    spent = min(seconds([leaf, middle], NAME, roots, AT)[0] for _ in range(5))
    assert spent < 0.02


def test_ten_thousand_names_and_five_thousand_constraints_are_quick():
    many = san(*(f"h{n}.example.local" for n in range(9_999)), NAME)
    limits = x509.NameConstraints([x509.DNSName(f"h{n}.org") for n in range(5_000)], None)
    chain = of("leaf", lambda plan: plan.having(many))(Chain())
    chain = of("middle", lambda plan: plan.having(limits))(chain)
    (sent, roots) = chain.parts()
    spent, diagnosis = seconds(sent, NAME, roots, AT)
    assert codes(diagnosis) == ["name-constraint"]
    assert spent < 1


def test_a_name_of_64_kibibytes_is_quick_and_told_in_short():
    long = ca("x" * 64)
    attribute = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "y" * 65_536, _validate=False)
    name = x509.Name([attribute])
    builder = x509.CertificateBuilder(name, name, key("leaf").public_key(), 1, long.start, long.end)
    certificate = builder.sign(key("leaf"), hashes.SHA256())
    spent, diagnosis = seconds([certificate], NAME, [], AT)
    assert spent < 1
    assert all(len(finding.detail) < 300 for finding in diagnosis.findings)


def test_a_maze_of_hundreds_of_cas_of_one_name_and_key_is_quick():
    maze = [signed(replace(ca(MIDDLE), serial=n + 1), ca(MIDDLE)) for n in range(300)]
    leaf, middle, root = Chain().certificates()
    spent, diagnosis = seconds([leaf, *maze, middle], NAME, [root], AT)
    assert diagnosis.path == (leaf, middle, root)
    assert spent < 1


def test_hundreds_of_layers_with_two_ways_each_are_quick():
    layers = [f"layer {n}" for n in range(60)]
    shared = key(ROOT)
    plans = [replace(ca(ROOT), subject=layer, key=ROOT) for layer in layers]
    ladder = [
        signed(replace(low, serial=n), high, signer=shared)
        for low, high in pairwise(plans)
        for n in (1, 2)
    ]
    leaf = signed(server(ROOT, NAME), plans[0], signer=shared)
    spent, diagnosis = seconds([leaf, *ladder], NAME, [], AT)
    assert "untrusted-root" in codes(diagnosis)
    assert spent < 1


def test_cas_that_sign_each_other_in_a_circle_end_somewhere():
    one, other = ca("one", "other"), ca("other", "one")
    circle = [signed(one, other), signed(other, one)]
    leaf = signed(server("one", NAME), one)
    spent, diagnosis = seconds([leaf, *circle], NAME, [], AT)
    assert codes(diagnosis) == ["untrusted-root"]
    assert spent < 1


def test_an_issuer_whose_own_issuer_is_trusted_stands_below_a_root():
    """The certificate says so itself, in the long form of its authority key identifier."""
    chain = Chain(middle=replace(ca("Lyon", ROOT), key=MIDDLE), sends_middle=False)
    above = x509.AuthorityKeyIdentifier(b"", [x509.DirectoryName(named(ROOT))], 4711)
    chain = replace(chain, leaf=chain.leaf.having(above))
    assert codes(chain.diagnose()) == ["missing-intermediate"]


def test_an_issuer_with_the_serial_number_zero_is_read_without_a_warning(recwarn):
    """As old public roots have it; whoever checks a folder of roots wants no library's murmur."""
    zero = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(named(MIDDLE))], 0)
    assert "malformed" not in Chain(leaf=server(MIDDLE, NAME).having(zero)).diagnose().codes
    assert not recwarn.list


def test_a_bad_extension_does_not_hide_the_others():
    chain = Chain(asks="elsewhere", leaf=server(MIDDLE, NAME).having(BROKEN))
    diagnosis = chain.diagnose()
    assert codes(diagnosis) == ["malformed", "name-mismatch"]
    assert "authorityInfoAccess is odd: it is not valid DER" in diagnosis.findings[1].detail


def test_decoys_with_other_keys_and_the_right_name_are_seen_through():
    leaf, middle, root = Chain().certificates()
    decoys = [
        signed(replace(ca(MIDDLE), key=f"decoy {n % 3}", serial=n + 1), ca(MIDDLE))
        for n in range(300)
    ]
    spent, diagnosis = seconds([leaf, *decoys, middle], NAME, [root], AT)
    assert diagnosis.path == (leaf, middle, root)
    assert spent < 1


def test_keys_of_16384_bits_are_quick():
    modulus = (1 << 16_383) + 0x10001
    giant = rsa.RSAPublicNumbers(65537, modulus).public_key()
    giants = [signed(replace(ca(MIDDLE), serial=n + 1), ca(ROOT), public=giant) for n in range(60)]
    leaf, middle, root = Chain().certificates()
    spent, diagnosis = seconds([leaf, *giants, middle], NAME, [root], AT)
    assert diagnosis.trusted
    assert spent < 1


# Odd certificates


@pytest.mark.filterwarnings("ignore")
def test_no_certificate_however_odd_makes_it_raise():
    odd = list(vectors())
    assert len(odd) > 400
    for certificate in odd:
        for roots in ([], [certificate]):
            diagnosis = diagnose([certificate, *odd[:2]], NAME, roots, AT)
            assert diagnosis.as_dict()["path"]
            assert isinstance(Reading(certificate).names, tuple)
            odd_or_worse = bool({"malformed", "profile"} & diagnosis.codes)
            assert odd_or_worse >= (not readable(certificate))


def readable(certificate):
    try:
        return [certificate.subject, certificate.issuer, certificate.extensions] != []
    except Exception:
        return False


# PKITS, the test suite of NIST for RFC 5280; the chains about policies and CRLs are not for us.


def pkits(name):
    folder = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs"
    return x509.load_der_x509_certificate((folder / f"{name}.crt").read_bytes())


PKITS_AT = datetime(2015, 1, 1, tzinfo=UTC)
PKITS = {
    # The leaf, the intermediates, the code that has to be found ("" for a good chain).
    "ValidCertificatePathTest1EE": ("GoodCACert", ""),
    "InvalidCASignatureTest2EE": ("BadSignedCACert", "bad-signature"),
    "InvalidEESignatureTest3EE": ("GoodCACert", "bad-signature"),
    "InvalidCAnotBeforeDateTest1EE": ("BadnotBeforeDateCACert", "not-yet-valid"),
    "InvalidEEnotBeforeDateTest2EE": ("GoodCACert", "not-yet-valid"),
    "Validpre2000UTCnotBeforeDateTest3EE": ("GoodCACert", ""),
    "ValidGeneralizedTimenotBeforeDateTest4EE": ("GoodCACert", ""),
    "InvalidCAnotAfterDateTest5EE": ("BadnotAfterDateCACert", "expired"),
    "InvalidEEnotAfterDateTest6EE": ("GoodCACert", "expired"),
    "InvalidNameChainingTest1EE": ("GoodCACert", "untrusted-root"),
    "ValidNameChainingWhitespaceTest3EE": ("GoodCACert", ""),
    "ValidNameChainingCapitalizationTest5EE": ("GoodCACert", ""),
    "InvalidMissingbasicConstraintsTest1EE": ("MissingbasicConstraintsCACert", "issuer-not-ca"),
    "InvalidcAFalseTest2EE": ("basicConstraintsCriticalcAFalseCACert", "issuer-not-ca"),
    "InvalidcAFalseTest3EE": ("basicConstraintsNotCriticalcAFalseCACert", "issuer-not-ca"),
    "ValidbasicConstraintsNotCriticalTest4EE": ("basicConstraintsNotCriticalCACert", ""),
    "InvalidpathLenConstraintTest5EE": (
        "pathLenConstraint0subCACert pathLenConstraint0CACert",
        "path-length",
    ),
    "ValidpathLenConstraintTest7EE": ("pathLenConstraint0CACert", ""),
    "InvalidkeyUsageCriticalkeyCertSignFalseTest1EE": (
        "keyUsageCriticalkeyCertSignFalseCACert",
        "issuer-key-usage",
    ),
    "ValidkeyUsageNotCriticalTest3EE": ("keyUsageNotCriticalCACert", ""),
    "ValidDNnameConstraintsTest1EE": ("nameConstraintsDN1CACert", ""),
    "InvalidDNnameConstraintsTest2EE": ("nameConstraintsDN1CACert", "name-constraint"),
    "InvalidDNnameConstraintsTest7EE": ("nameConstraintsDN3CACert", "name-constraint"),
    "ValidDNSnameConstraintsTest30EE": ("nameConstraintsDNS1CACert", ""),
    "InvalidDNSnameConstraintsTest31EE": ("nameConstraintsDNS1CACert", "name-constraint"),
    "InvalidDNSnameConstraintsTest33EE": ("nameConstraintsDNS2CACert", "name-constraint"),
    "InvalidUnknownCriticalCertificateExtensionTest2EE": (
        "GoodCACert",
        "unknown-critical-extension",
    ),
    "ValidUnknownNotCriticalCertificateExtensionTest1EE": ("GoodCACert", ""),
}
NOT_ABOUT_TLS = {"name-mismatch", "no-san", "weak-key", "profile"}


@pytest.mark.parametrize("leaf", PKITS)
def test_the_chains_of_pkits_are_judged_as_nist_says(leaf):
    issuers, code = PKITS[leaf]
    chain = [pkits(leaf), *map(pkits, issuers.split())]
    diagnosis = diagnose(chain, NAME, [pkits("TrustAnchorRootCertificate")], PKITS_AT)
    assert set(diagnosis.codes) - NOT_ABOUT_TLS == ({code} - {""})


# The table of rules


def test_every_rule_says_what_it_means_and_which_notebook_repairs_it():
    existing = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    for rule in RULES.values():
        assert rule.about in {"path", "computer"}
        assert rule.severity in SEVERITIES
        assert rule.meaning.endswith(".") and rule.remedy_text.endswith(".")
        assert rule.remedy in existing
        assert rule.source


def test_a_finding_has_its_rules_severity_unless_told_otherwise():
    assert Finding("no-san", "leaf", "…").severity == "dubious"
    assert Finding("no-san", "leaf", "…", "bad").severity == "bad"
    assert Finding("expired", "vms-rec-01", "…").as_dict()["remedy"] == "17-renew-before-expiry"


def test_a_diagnosis_is_ready_for_json():
    diagnosis = FAULTS["no-san"](Chain()).diagnose()
    told = json.loads(json.dumps(diagnosis.as_dict()))
    assert told["trusted"] is True
    assert [one["label"] for one in told["path"]] == [f"{name!r}" for name in (NAME, MIDDLE, ROOT)]
    assert told["findings"][0]["refused_by"] == ["pyca/cryptography", "Chromium"]


def test_what_is_bad_stands_before_what_is_dubious():
    chain = FAULTS["expired"](FAULTS["profile"](FAULTS["leaf-is-ca"](Chain())))
    severities = [finding.severity for finding in chain.diagnose().findings]
    assert severities == ["bad", "dubious", "dubious"]


def test_without_a_named_root_trust_is_not_judged_and_all_else_is():
    """Nobody named a root: that is not a client that trusts nobody."""
    sent, _ = Chain().parts()
    told = diagnose(sent, NAME, None, AT)
    assert [(f.code, f.where, f.severity) for f in told.findings] == [
        ("not-judged", "root", "unjudged")
    ]
    assert "no root was named" in told.findings[0].detail and not told.trusted
    assert "untrusted-root" in diagnose(sent, NAME, (), AT).codes
    other = diagnose(sent, "other.example", None, AT)
    assert [f.code for f in other.findings] == ["name-mismatch", "not-judged"]
