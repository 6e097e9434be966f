"""Pasted errors: what is known is found whatever happened to it, and causes are ranked."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest
from chains import AT, DAY, MIDDLE, NAME, Chain, key, key_ids, only, server
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from vmscert.certificates.authority import Issued
from vmscert.facts import facts
from vmscert.findings import RULES
from vmscert.network.servers import on_loopback
from vmscert.symptoms import QUESTIONS, explain

ROWS = facts("symptoms")
NOBODY_SAYS_IT = {
    *(
        "addresses-differ",
        "ca-ends-first",
        "chain-order",
        "clock-off",
        "expires-soon",
        "invisible-character",
        "name-not-portable",
        "not-judged",
        "short-lived-root",
        "signed-again",
        "weak-cipher",
    ),
    *("root-twice", "superseded-left", "teaching-key", "unusual-key"),
}


# The table


def test_there_are_many_texts_each_with_its_source():
    assert len(ROWS) >= 150
    for row in ROWS:
        assert row["source"], row["text"]
        assert row["tag"] in {"C", "C2", "E"}
        assert row["rules"] or row["besides"], row["text"]
        assert set(filter(None, row["rules"].split("|"))) <= set(RULES)


def test_each_text_stands_there_once():
    twice = [text for text, n in Counter(row["text"].casefold() for row in ROWS).items() if n > 1]
    assert twice == []


def test_every_rule_that_a_client_can_meet_has_a_text():
    told = {code for row in ROWS for code in row["rules"].split("|")}
    assert set(RULES) - told == NOBODY_SAYS_IT


def test_the_words_of_many_programs_and_four_languages_are_there():
    assert {"OpenSSL", "Windows", "Schannel", ".NET", "WinHTTP", "Java", "Go", "Node", "curl"} <= {
        row["program"] for row in ROWS
    }
    assert {row["language"] for row in ROWS} == {"en", "de", "fr", "da"}


# Finding them


def sample(row):
    near = row["near"].partition("|")[0]
    return f"{near} {row['text'].replace('{}', 'rec-01')}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:40])
def test_every_text_is_found_and_its_likeliest_cause_comes_first(row):
    found = explain(sample(row))
    assert row["text"] in {symptom.text for symptom in found.symptoms}
    if row["rules"]:
        assert found.causes[0].code in row["rules"].split("|")


@given(st.sampled_from(ROWS), st.data())
@settings(max_examples=60)
def test_what_logs_and_clipboards_do_to_a_text_does_not_matter(row, data):
    words = sample(row).split(" ")
    gap = st.sampled_from([" ", "\n", "\r\n   ", "\n2026-11-23 12:30:15.123 ", "\n> ", "\u00a0"])
    text = words[0] + "".join(data.draw(gap) + word for word in words[1:])
    change = data.draw(st.sampled_from([str, str.upper, lambda t: "\0".join(t)]))
    wrapped = f"prefix: {change(text)} ---> suffix"
    assert row["text"] in {symptom.text for symptom in explain(wrapped).symptoms}


def test_a_text_is_found_at_either_end_of_a_long_log():
    noise = "2026-11-23 12:30:15 INFO nothing to see here\n" * 100_000
    error = "SEC_E_WRONG_PRINCIPAL\n"
    for log in (error + noise, noise + error):
        assert [cause.code for cause in explain(log).causes] == ["name-mismatch"]


def test_a_log_that_repeats_its_errors_for_hours_is_read_in_a_moment():
    log = "certificate has expired; self-signed certificate in certificate chain\n" * 30_000
    begun = time.process_time()
    codes = {cause.code for cause in explain(log).causes}
    assert codes == {"expired", "untrusted-root"}
    assert time.process_time() - begun < 5


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text):
    answer = explain(text)
    assert json.dumps(answer.as_dict())
    assert str(answer) and answer._repr_html_()


def test_an_unknown_text_gets_three_questions():
    answer = explain("The flux capacitor is empty")
    assert (answer.known, answer.causes) == (False, ())
    assert answer.as_dict()["questions"] == list(QUESTIONS)
    assert all(question in str(answer) for question in QUESTIONS)


@pytest.mark.parametrize("number", ["0x800B0109", "800b0109", "-2146762487", "2148204809"])
def test_a_number_is_known_in_every_spelling(number):
    (symptom,) = explain(f"Fehler {number}.").symptoms
    assert "untrusted-root" in symptom.rules


def test_an_event_number_counts_in_the_event_log_only():
    assert not explain("connected from port 36884").known
    assert explain("Schannel, Ereignis 36884").causes[0].code == "name-mismatch"


def test_a_longer_text_hides_the_shorter_one_in_it():
    found = explain("self-signed certificate in certificate chain").symptoms
    assert [symptom.text for symptom in found] == ["self-signed certificate in certificate chain"]


def test_the_inner_error_decides_what_the_wrapper_left_open():
    text = (
        "The SSL connection could not be established, see inner exception. ---> The remote "
        "certificate is invalid according to the validation procedure: "
        "RemoteCertificateNameMismatch"
    )
    assert [cause.code for cause in explain(text).causes] == ["name-mismatch"]


def test_one_text_with_many_causes_ranks_them_and_tells_them_apart():
    causes = explain("unable to get local issuer certificate").causes
    assert [cause.code for cause in causes] == [
        *("untrusted-root", "missing-intermediate", "root-recreated")
    ]
    assert len({cause.rule.diagnosis for cause in causes}) == 3


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("GET https://rec-01.lyon.local:7563/x certificate has expired", "rec-01.lyon.local:7563"),
        ("certificate has expired: 10.0.0.5:443", "10.0.0.5:443"),
        ("at verify.go:123 certificate has expired", "HOST:PORT"),
        ("12:30:15 certificate has expired", "HOST:PORT"),
        ("https://x;rm -rf / certificate has expired", "HOST:PORT"),
    ],
)
def test_the_command_names_the_server_of_the_text(text, place):
    assert explain(text).causes[0].check == f"vmscert connect {place} --root ca.cer"


def test_pasted_markup_stays_text():
    assert "<script>" not in explain("<script>certificate has expired")._repr_html_()
    assert "\x1b" not in str(explain("\x1b[31mcertificate has expired"))


# Errors made on purpose, in the words of the programs that are here


def mended(chain, **changes):
    return replace(chain, leaf=replace(chain.leaf, **changes))


CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
FAULTS = {
    "expired": mended(Chain(), start=AT - 9 * DAY, end=AT - DAY),
    "not-yet-valid": mended(Chain(), start=AT + DAY),
    "name-mismatch": replace(Chain(), leaf=server(MIDDLE, "other.example.local")),
    "untrusted-root": mended(Chain(trusts="nobody"), serial=6),
    "missing-intermediate": mended(Chain(sends_middle=False), serial=5),
    "root-recreated": mended(Chain(trusts="namesake"), serial=7),
    "wrong-eku": replace(Chain(), leaf=Chain().leaf.having(CLIENT)),
    "name-constraint": replace(
        Chain(), root=Chain().root.having(only("example.org"), critical=True)
    ),
    "self-signed": replace(
        Chain(), alone=True, leaf=Chain().leaf.having(key_ids("leaf", "leaf")[1])
    ),
    "not-encrypted": None,
}
# What a program's words leave open: the planted fault is among the first four.
OPEN = {
    *(("openssl", fault) for fault in ("missing-intermediate", "root-recreated")),
    *(("python", fault) for fault in ("missing-intermediate", "root-recreated")),
    *(("curl", fault) for fault in ("missing-intermediate", "root-recreated")),
    *(("node", fault) for fault in ("untrusted-root", "root-recreated")),
    *(("gnutls", fault) for fault in ("missing-intermediate", "root-recreated", "self-signed")),
    *(("java", fault) for fault in ("missing-intermediate", "self-signed")),
}
# What a program does not mind, or does not tell in words that say anything.
SILENT = {
    ("node", "name-constraint"): "it says UNSPECIFIED",
    ("java", "name-constraint"): "it does not look at a root's constraints",
}


def openssl(port, root):
    call = f"-connect 127.0.0.1:{port} -verify_hostname {NAME} -verify_return_error"
    return ["openssl", "s_client", *call.split(), "-CAfile", root]


def curl(port, root):
    place = f"{NAME}:{port}"
    return ["curl", "-sS", "--cacert", root, "--resolve", f"{place}:127.0.0.1", f"https://{place}/"]


def gnutls(port, root):
    where = f"-p {port} --sni-hostname {NAME} --verify-hostname {NAME} 127.0.0.1"
    return ["gnutls-cli", "--x509cafile", root, *where.split()]


def node(port, root):
    trusted = f"ca:require('fs').readFileSync({str(root)!r})"
    options = f"{{host:'127.0.0.1',port:{port},servername:'{NAME}',{trusted}}}"
    return ["node", "-e", f"require('tls').connect({options},()=>process.exit(0))"]


def python(port, root):
    script = (
        "import socket,ssl;c=ssl.create_default_context(cafile=%r);"
        "c.wrap_socket(socket.create_connection(('127.0.0.1',%d)),server_hostname=%r)"
    )
    return [sys.executable, "-c", script % (str(root), port, NAME)]


JAVA = """
import java.io.*; import java.net.*; import java.security.*; import java.security.cert.*;
import javax.net.ssl.*;
public class Client {
  public static void main(String[] a) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12"); store.load(null, null);
    store.setCertificateEntry("root",
        CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(a[0])));
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX"); trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    int port = Integer.parseInt(a[2]);
    SSLSocket socket = (SSLSocket) context.getSocketFactory()
        .createSocket(new Socket("127.0.0.1", port), a[1], port, true);
    SSLParameters how = socket.getSSLParameters();
    how.setEndpointIdentificationAlgorithm("HTTPS"); socket.setSSLParameters(how);
    socket.startHandshake();
  }
}
"""


def java(port, root):
    program = root.parent / "Client.java"
    program.write_text(JAVA, encoding="utf-8")
    return ["java", "-XX:TieredStopAtLevel=1", program, root, NAME, port]


CLIENTS = {f.__name__: f for f in (openssl, python, curl, node, gnutls, java)}
PROGRAMS = {"gnutls": "gnutls-cli", "python": sys.executable}
SLOW = {"java"}  # a second for each call: the faults that its own words tell apart


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Fault → (port, file of the root that the client trusts)."""
    folder = tmp_path_factory.mktemp("faulty")
    served, roots = {}, {}
    for number, (fault, chain) in enumerate(FAULTS.items()):
        (leaf, *middle), (root,) = (chain or Chain()).parts()
        served[number] = Issued(leaf, key("leaf"), tuple(middle)) if chain else None
        roots[fault] = folder / f"{fault}.pem"
        roots[fault].write_bytes(root.public_bytes(Encoding.PEM))
    with on_loopback(served) as ports:
        yield {fault: (ports[n], roots[fault]) for n, fault in enumerate(FAULTS)}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_program_really_says_leads_to_the_fault(client, fault, faulty):
    if shutil.which(PROGRAMS.get(client, client)) is None:
        pytest.skip(f"NOT SHOWN: there is no {client} on this machine to ask")
    if (client, fault) in SILENT:
        pytest.skip(SILENT[client, fault])
    if client in SLOW and fault not in {"expired", "name-mismatch", "untrusted-root", "wrong-eku"}:
        pytest.skip("it would take a second")
    command = list(map(str, CLIENTS[client](*faulty[fault])))
    ran = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
    )
    said = ran.stderr + ran.stdout
    causes = [cause.code for cause in explain(said).causes]
    assert fault in causes[: 4 if (client, fault) in OPEN else 1], said[-600:]
