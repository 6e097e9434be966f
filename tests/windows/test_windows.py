"""What Windows computers, their releases and their accounts are called."""

from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.facts import facts, pfx_encryption, release
from vmscert.windows.stores import Personal, Stores, account, principal

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
LABEL = "0123456789ABCDEF0123456789ABCDEF01234567"


@cache
def certificate(name: str = "vms-rec-01") -> x509.Certificate:
    return create_authority(name, AT, QUICK).certificate


class TestThumbprint:
    held = Personal(certificate(), True)
    stores = Stores("vms-rec-01", AT, personal=(held,))

    def test_looks_as_windows_shows_it(self):
        """The SHA-1 of the certificate, 40 upper-case hex digits without blanks."""
        assert thumbprint(certificate()) == certificate().fingerprint(hashes.SHA1()).hex().upper()

    def test_finds_a_certificate(self):
        assert self.stores.find(thumbprint(certificate())) == self.held
        assert self.stores.find(LABEL) is None

    def test_does_not_find_what_lies_in_the_store_of_a_user(self):
        of_a_user = Stores("vms-rec-01", AT, user_personal=(self.held,))
        assert of_a_user.find(thumbprint(certificate())) is None


class TestReleases:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Windows Server 2022", "Windows Server 2022"),
            ("server 2022", "Windows Server 2022"),
            ("2022", "Windows Server 2022"),
            ("Microsoft Windows Server 2012 R2 Standard", "Windows Server 2012 R2"),
            ("Microsoft Windows Server 2019 Standard, build 17763", "Windows Server 2019"),
            ("Microsoft Windows 10 Professionnel, build 19045", "Windows 10 22H2"),
            ("Microsoft Windows 11 Pro, build 26300", "Windows 11 26H2"),
            ("Microsoft Windows 11 Pro, build 28000", "Windows 11 26H1"),
            ("Microsoft Windows 11 Pro, build 99999", "Windows 11"),
            ("Windows 10 Pro, version 22H2", "Windows 10 22H2"),
            ("Win10 1703", "Windows 10 1703"),
            ("Windows 10 Enterprise LTSC 2021", "Windows 10 21H2"),
            (" windows 11 ", "Windows 11"),
            ("windows 8.1", "Windows 8.1"),
        ],
    )
    def test_are_known_by_the_names_people_and_windows_use(self, text, expected):
        assert release(text)["release"] == expected

    @pytest.mark.parametrize(
        "text", ["Windows 10 22H3", "Debian 11", "Windows", "22H2", "Windwos 11"]
    )
    def test_that_are_unknown_are_refused(self, text):
        with pytest.raises(ValueError, match="is not a known Windows release"):
            release(text)

    def test_that_are_misspelt_are_suggested(self):
        with pytest.raises(ValueError, match="Did you mean 'Windows Server 2022'"):
            release("Windos Server 2022")

    @pytest.mark.parametrize("row", facts("windows/releases"), ids=lambda row: row["release"])
    def test_have_names_that_mean_only_them(self, row):
        for name in (row["release"], *filter(None, row["aliases"].split("|"))):
            assert release(name) == row
        assert row["kind"] == ("server" if "Server" in row["release"] else "client")
        assert row["source"]
        assert row["tag"] in {"C", "C2", "G"}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "AES-256"),
            ("Windows Server 2019", "AES-256"),
            ("Windows Server 2016", "3DES"),
            ("Windows 10 1709", "AES-256"),
            ("Windows 10 1703", "3DES"),
            ("Windows 10", "3DES"),
            ("Windows 11", "AES-256"),
        ],
    )
    def test_decide_how_a_pfx_is_encrypted(self, text, expected):
        """AES needs Windows 10 1709 or Server 2019; a bare "Windows 10" may be older."""
        assert pfx_encryption(text) == expected

    def test_all_but_the_two_oldest_have_the_cmdlets_for_certificates(self):
        without = {row["release"] for row in facts("windows/releases") if row["pki"] != "yes"}
        assert without == {"Windows 7", "Windows Server 2008 R2"}

    def test_with_a_build_follow_the_limits_that_microsoft_names(self):
        first = {"client": 16299, "server": 17763}
        for row in facts("windows/releases"):
            if row["build"]:
                modern = int(row["build"]) >= first[row["kind"]]
                assert row["pfx"] == ("AES-256" if modern else "3DES"), row["release"]


class TestAccounts:
    @pytest.mark.parametrize(
        "text",
        [
            "NETWORK SERVICE",
            "NT AUTHORITY\\NETWORK SERVICE",
            "NT AUTHORITY\\NetworkService",
            "nt authority\\network service",
            "AUTORITE NT\\SERVICE RÉSEAU",
            "Autorite NT\\Service reseau",
            "NT-AUTORITÄT\\Netzwerkdienst",
            "NETVÆRKSTJENESTE",
            "Network Service",
            "Service réseau",
            "Netværkstjeneste",
            "NT-MYNDIGHED\\Netværkstjeneste",
            "NT AUTHORITY\\Service réseau",
            "NT AUTHORITY\\Netzwerkdienst",
            "S-1-5-20",
        ],
    )
    def test_are_one_in_every_spelling_and_language(self, text):
        assert account(text) == account("network service")
        assert principal(text) == "S-1-5-20"

    @pytest.mark.parametrize(
        ("text", "sid"),
        [
            ("Local System", "S-1-5-18"),
            ("Local System account", "S-1-5-18"),
            ("Système", "S-1-5-18"),
            ("Système local", "S-1-5-18"),
            ("NT AUTHORITY\\Système", "S-1-5-18"),
            ("Lokales System", "S-1-5-18"),
            ("NT-AUTORITÄT\\System", "S-1-5-18"),
            ("Lokalt system", "S-1-5-18"),
            ("NT-MYNDIGHED\\SYSTEM", "S-1-5-18"),
            ("Local Service", "S-1-5-19"),
            ("Service local", "S-1-5-19"),
            ("Lokaler Dienst", "S-1-5-19"),
            ("Lokal tjeneste", "S-1-5-19"),
            ("NT AUTHORITY\\Lokal tjeneste", "S-1-5-19"),
            ("Administrateurs", "S-1-5-32-544"),
            ("VORDEFINIERT\\Administratoren", "S-1-5-32-544"),
        ],
    )
    def test_are_known_as_the_window_of_a_service_and_people_write_them(self, text, sid):
        assert principal(text) == sid

    def test_that_differ_stay_apart(self):
        known = ["NETWORK SERVICE", "LOCAL SERVICE", "LocalSystem", "Administrators"]
        own = ["EXAMPLE\\network service", "EXAMPLE\\svc$", "EXAMPLE\\svc", "svc@lyon.local"]
        assert len({account(name) for name in known + own}) == len(known + own)

    def test_of_a_domain_are_themselves_whatever_their_case(self):
        assert account("EXAMPLE\\Svc-VMS$") == account("example\\svc-vms$")
        assert principal(" EXAMPLE\\Svc-VMS$ ") == "EXAMPLE\\Svc-VMS$"

    @pytest.mark.parametrize("text", ["svc@example.local", "example.local\\Svc", "EXAMPLE\\svc"])
    def test_of_a_domain_are_one_in_every_way_to_write_it(self, text):
        assert account(text) == "example\\svc"

    def test_without_a_domain_may_be_of_any(self):
        held = Personal(certificate(), True, ("VMS-REC-01\\svc",))
        assert held.readable_by("svc")
        assert not held.readable_by("other")
        assert not Personal(certificate(), True, ("X\\network service",)).readable_by("S-1-5-20")

    def test_of_one_spelling_belong_to_one_account(self):
        """No row of the table takes a spelling away from another account."""
        for row in facts("windows/accounts"):
            for name in (row["sid"], row["name"], f"{row['authority']}\\{row['name']}"):
                assert account(name) == row["account"]

    def test_read_a_key_under_any_of_their_names(self):
        held = Personal(certificate(), True, ("S-1-5-20", "EXAMPLE\\svc"))
        assert held.readable_by("AUTORITE NT\\SERVICE RÉSEAU")
        assert held.readable_by("example\\SVC")
        assert not held.readable_by("EXAMPLE\\svc$")

    def test_read_no_key_that_is_not_there(self):
        assert not Personal(certificate(), False, ("S-1-5-20",)).readable_by("S-1-5-20")
