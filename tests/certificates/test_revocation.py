"""Whether a certificate was revoked, as far as revocation lists tell."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from warnings import catch_warnings, simplefilter

import cryptography_vectors
import pytest
from chains import AT, DAY, MIDDLE, NAME, ROOT, Chain, codes, key_ids, revocation_list, usage
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.diagnosis import diagnose

LEAF, ISSUER = 4711, 77  # serial numbers
ODD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")


def scope(**only):
    fields = ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl")
    flags = {name: name in only for name in (*fields, "only_contains_attribute_certs")}
    names = only.get("full_name")
    return x509.IssuingDistributionPoint(names, None, only_some_reasons=None, **flags)


def judged(*lists, **changes):
    """The findings about a chain whose intermediate has a serial number of its own."""
    chain = replace(Chain(), lists=lists, **changes)
    return replace(chain, middle=replace(chain.middle, serial=ISSUER)).diagnose()


def test_lists_that_revoke_others_say_nothing():
    assert judged(revocation_list(MIDDLE, 1, 2), revocation_list(ROOT, 3)).findings == ()


def test_an_empty_list_says_nothing():
    assert judged(revocation_list(MIDDLE), revocation_list(ROOT)).findings == ()


@pytest.mark.parametrize(
    ("issuer", "serial", "where"), [(MIDDLE, LEAF, "leaf"), (ROOT, ISSUER, "intermediate")]
)
def test_whatever_is_on_the_list_of_its_issuer_is_revoked(issuer, serial, where):
    reason = x509.ReasonFlags.key_compromise
    diagnosis = judged(revocation_list(issuer, serial, reason=reason))
    (finding,) = diagnosis.findings
    assert (finding.code, finding.where, diagnosis.trusted) == ("revoked", where, False)
    assert f"{AT - 5 * DAY:%Y-%m-%d} (keyCompromise)" in finding.detail


def test_the_list_of_another_ca_does_not_count():
    assert judged(revocation_list(ROOT, LEAF), revocation_list("Another CA", LEAF)).findings == ()


UNUSABLE = {
    "ended on": revocation_list(MIDDLE, end=AT - DAY),
    "is valid from": revocation_list(MIDDLE, start=AT + DAY),
    "signature of that CA": revocation_list("other", LEAF, issuer=MIDDLE),
    "critical extension 1.2.3.4.5": revocation_list(MIDDLE, extensions=[ODD]),
    "other certificates": revocation_list(MIDDLE, extensions=[scope(only_contains_ca_certs=True)]),
    "only updates": revocation_list(MIDDLE, LEAF, extensions=[x509.DeltaCRLIndicator(3)]),
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_a_list_that_cannot_be_used_is_told_with_the_reason(why):
    diagnosis = judged(UNUSABLE[why])
    assert codes(diagnosis) == ["crl-unusable"]
    assert why in diagnosis.findings[0].detail
    assert not diagnosis.trusted


def test_a_good_list_makes_up_for_a_bad_one():
    bad = [one for why, one in UNUSABLE.items() if why != "only updates"]
    assert judged(*bad, revocation_list(MIDDLE)).findings == ()


def test_a_ca_that_may_not_sign_lists_has_none():
    chain = Chain(lists=(revocation_list(MIDDLE),))
    chain = replace(chain, middle=chain.middle.having(usage("key_cert_sign"), critical=True))
    (finding,) = chain.diagnose().findings
    assert (finding.code, "cRLSign" in finding.detail) == ("crl-unusable", True)


def test_an_update_revokes_and_takes_back():
    base = revocation_list(MIDDLE, LEAF)
    update = x509.DeltaCRLIndicator(7)
    back = x509.ReasonFlags.remove_from_crl
    assert codes(judged(base)) == ["revoked"]
    taken_back = revocation_list(MIDDLE, LEAF, reason=back, extensions=[update])
    assert judged(base, taken_back).findings == ()
    added = revocation_list(MIDDLE, LEAF, extensions=[update])
    assert codes(judged(revocation_list(MIDDLE), added)) == ["revoked"]


@pytest.mark.parametrize(("published", "code"), [("a", ["revoked"]), ("b", ["crl-unusable"])])
def test_a_list_counts_for_the_certificates_that_name_its_place(published, code):
    place = x509.UniformResourceIdentifier(f"http://ca.example.local/{published}.crl")
    named = x509.UniformResourceIdentifier("http://ca.example.local/a.crl")
    points = x509.CRLDistributionPoints([x509.DistributionPoint([named], None, None, None)])
    chain = Chain(lists=(revocation_list(MIDDLE, LEAF, extensions=[scope(full_name=[place])]),))
    assert codes(replace(chain, leaf=chain.leaf.having(points)).diagnose()) == code


def test_a_revoked_certificate_that_has_also_ended_gives_both():
    chain = Chain(lists=(revocation_list(MIDDLE, LEAF),))
    ended = replace(chain, leaf=replace(chain.leaf, end=AT - DAY))
    assert codes(ended.diagnose()) == ["expired", "revoked"]


def test_a_renewed_ca_of_the_same_name_signs_lists_for_the_older_one():
    """Both are trusted; the list carries the new key's signature."""
    chain = Chain()
    leaf, middle, root = chain.certificates()
    renewed = replace(chain.middle, key="other", serial=78).having(*key_ids("other", ROOT))
    other = replace(chain, middle=renewed).certificates()[1]
    newer = revocation_list("other", LEAF, issuer=MIDDLE)
    assert codes(diagnose([leaf, middle, other], NAME, [root], AT, crls=[newer])) == ["revoked"]


def test_no_list_however_damaged_makes_it_raise():
    good = revocation_list(MIDDLE, LEAF, reason=x509.ReasonFlags.superseded)
    der = good.public_bytes(Encoding.DER)
    for place in range(0, len(der), 3):
        changed = bytearray(der)
        changed[place] ^= 0x15
        try:
            odd = x509.load_der_x509_crl(bytes(changed))
        except (ValueError, x509.InvalidVersion):
            continue
        assert {*codes(judged(odd))} <= {"revoked", "crl-unusable"}


def test_ten_thousand_entries_take_less_than_a_second():
    long = revocation_list(MIDDLE, *range(10_000, 20_000))
    sent, roots = Chain().parts()
    begun = time.process_time()
    assert diagnose(sent, NAME, roots, AT, crls=[long]).trusted
    assert time.process_time() - begun < 1


# PKITS, the test suite of NIST for RFC 5280, certificates and lists together.

PKITS = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
PKITS_AT = datetime(2015, 1, 1, tzinfo=UTC)
POLICIES = re.compile(r"(?i)polic|UserNotice")  # TLS clients do not ask for any
NOT_JUDGED = {
    "InvalidMissingCRLTest1EE": "no list speaks of it",
    "InvalidWrongCRLTest6EE": "no list speaks of it",
    "InvalidBadCRLIssuerNameTest5EE": "no list speaks of it",
    "InvalidIDPwithindirectCRLTest26EE": "no list speaks of it",
    "InvalidcRLIssuerTest35EE": "no list speaks of it",
    "InvalidSeparateCertificateandCRLKeysTest21EE": "the signer of the list was revoked itself",
    "ValidDSASignaturesTest4EE": "NIST allows SHA-1, clients do not",
}
NOT_ABOUT_TLS = {"name-mismatch", "no-san", "profile"}


def pkits(kind, load):
    with catch_warnings():
        simplefilter("ignore")  # some serial numbers are not positive, on purpose
        for file in sorted((PKITS / kind).iterdir()):
            try:
                yield file.stem, load(file.read_bytes())
            except ValueError:  # DSA keys without parameters, which pyca does not load
                continue


@pytest.fixture(scope="module")
def nist():
    certificates = dict(pkits("certs", x509.load_der_x509_certificate))
    return certificates, [crl for _, crl in pkits("crls", x509.load_der_x509_crl)]


LEAVES = sorted(
    file.stem
    for file in (PKITS / "certs").iterdir()
    if re.match(r"(Invalid|Valid).*EE$", file.stem)
    and not POLICIES.search(file.stem)
    and file.stem not in {*NOT_JUDGED, "ValidDSAParameterInheritanceTest5EE"}
)


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_chains_of_pkits_get_the_verdict_of_nist(leaf, nist):
    certificates, lists = nist
    pool = [one for name, one in certificates.items() if not name.endswith("EE")]
    root = [certificates["TrustAnchorRootCertificate"]]
    findings = diagnose(
        [certificates[leaf]], NAME, root, PKITS_AT, intermediates=pool, crls=lists
    ).findings
    bad = {one.code for one in findings if one.severity == "bad"} - NOT_ABOUT_TLS
    assert bool(bad) == leaf.startswith("Invalid")
