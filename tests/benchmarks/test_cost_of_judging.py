"""One chain judged, however many roots are trusted; many files looked through."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from measure import seconds, side_by_side

from vmscert.agenda.gather import gather
from vmscert.certificates.diagnosis import diagnose

AT = datetime(2026, 12, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name, issuer, number, *extensions):
    subject, above = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer)
    )
    span = AT - timedelta(days=9), AT + timedelta(days=900)
    builder = x509.CertificateBuilder(above, subject, KEY.public_key(), number, *span)
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def root(number):
    return certificate(f"Root {number}", f"Root {number}", 7, x509.BasicConstraints(True, None))


def leaf(number):
    name = f"rec-{number}.lyon.local"
    return certificate(
        name, "Root 0", number + 1, x509.SubjectAlternativeName([x509.DNSName(name)])
    )


@pytest.mark.benchmark
def test_a_chain_costs_hardly_more_with_thousands_of_roots_than_with_one():
    roots = [root(number) for number in range(3000)]
    chain = [leaf(0), root(0)]

    def judge(held):
        for _ in range(50):
            diagnose(chain, "rec-0.lyon.local", held, AT)

    many, one = side_by_side(lambda: judge(list(roots)), lambda: judge(roots[:1]), 9)
    print(
        f"\n{many * 20:.3f} ms with 3,000 roots, {one * 20:.3f} ms with one: {many / one:.2f} times"
    )
    assert many / one <= 3 and many / 50 <= 0.001


@pytest.mark.benchmark
def test_a_file_costs_a_fraction_of_a_millisecond_however_many_there_are(tmp_path):
    for number in range(10_000):
        # Each is read once: a certificate that was read before costs half as much.
        part = "warm" if number < 100 else "few" if number < 1000 else "many"
        place = tmp_path / part / f"{number}.cer"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(leaf(number).public_bytes(Encoding.DER))

    def due(folder):
        return lambda: gather([str(tmp_path / folder)], AT, lambda _: "")

    due("warm")()  # loads what is loaded once
    few = seconds(due("few")) / 900
    many = seconds(due("many")) / 9000
    print(f"\n{few * 1e3:.3f} ms of 900, {many * 1e3:.3f} ms of 9,000: {many / few:.2f} times")
    assert many / few <= 1.5
