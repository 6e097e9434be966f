"""`data/clients.csv` is true of the clients that are quick to ask; each family has one voice."""

import ssl
from datetime import UTC, datetime

import pytest
from measured import CLIENTS, differences, found_here, serving

from vmscert.certificates import foreign
from vmscert.facts import facts
from vmscert.findings import finding_of
from vmscert.network.looks import look_at
from vmscert.network.survey import survey
from vmscert.network.targets import Target

QUICK = "OpenSSL 3", "Python 3.11", "Python 3.13 (strict)", "pyca/cryptography"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("client", QUICK)
def test_a_client_does_what_the_table_says(client):
    if not found_here(client):
        pytest.skip(f"{client} is not on this computer")
    if client != "pyca/cryptography" and ssl.OPENSSL_VERSION_INFO[:2] != (3, 0):
        pytest.skip(f"measured with OpenSSL 3.0, and this is {ssl.OPENSSL_VERSION}")
    assert list(differences([client])) == []


def test_a_wrong_cell_of_the_table_is_seen(monkeypatch):
    (row,) = [row for row in facts("clients") if row["case"] == "expired"]
    monkeypatch.setitem(row, "pyca/cryptography", "accepts")
    ((client, case, expected, said),) = differences(["pyca/cryptography"], ["expired"])
    assert (client, case, expected) == ("pyca/cryptography", "expired", "accepts")
    assert said.startswith("refuses")


def test_every_program_of_the_table_has_a_family_and_can_be_asked_or_says_where_it_was():
    columns = [
        name for name in facts("clients")[0] if name not in ("case", "rule", "source", "tag")
    ]
    programs = {row["client"]: row["source"] for row in facts("programs")}
    assert list(programs) == columns
    here = {name for name, source in programs.items() if source == "tests/clients/measured.py"}
    assert here == set(CLIENTS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_kit_says_of_each_server_what_most_families_of_clients_do():
    now, cases = datetime.now(UTC), ["", *(row["case"] for row in facts("clients"))]
    accepted = {case: finding_of("profile", "", "", case).severity == "dubious" for case in cases}
    with serving(cases) as jobs:
        for job in jobs:
            roots = [foreign.certificate(der) for der in job.served.roots]
            target = Target("127.0.0.1", job.port, job.served.asks)
            one = look_at(target, roots, now, crls=job.served.crls)
            assert one.trusted == accepted[job.case], (job.case, one.detail)
            if not job.served.crls:  # a survey looks into no list
                assert survey([target], roots, now).seen[0].trusted == one.trusted, job.case


@pytest.mark.parametrize(
    ("case", "severity"),
    [
        ("trusted CA that is no root", "dubious"),  # seven programs of fourteen, three on OpenSSL
        ("root's AKI names another serial", "dubious"),  # OpenSSL and Mono against all others
        ("explicit policy required by a CA", "bad"),  # all families but OpenSSL's and .NET's
        ("AKI names another key", "bad"),
        ("RSA exponent 3", "dubious"),  # nobody refuses
    ],
)
def test_programs_of_one_family_do_not_outvote_the_others(case, severity):
    assert finding_of("profile", "leaf", "", case).severity == severity
