"""One folder brings the CA certificate to computers and phones, and says whom it misses."""

import hashlib
import plistlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest
import segno
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pages import HOSTILE, Seen

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.facts import DATA, facts
from vmscert.site.site import Host, Site
from vmscert.site.table import read_site
from vmscert.windows.rollout import apple_profile, readable_fingerprint, roll_out_files, unreached
from vmscert.windows.scripts import script_inputs

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
SITE = read_site(DATA / "sites" / "example.csv")
PAGES = ("README.html", "phones.html")
# What PowerShell takes for a quote or can't show is refused by scripts.quote, so not drawn here.
TEXTS = st.sampled_from([text for text in HOSTILE if text and "\n" not in text])


@cache
def ca(name: str = "Example VMS root 2026") -> x509.Certificate:
    return create_authority(name, AT, QUICK).certificate


@cache
def files() -> dict[str, bytes]:
    return roll_out_files(ca(), SITE, AT)


@cache
def replacing() -> dict[str, bytes]:
    """The folder while one CA takes over, an old one is to go, and two keys were stolen."""
    going = {"old_roots": (ca("Old root"),), "barred": (ca("Lost 1"), ca("Lost 2"))}
    return roll_out_files(ca(), SITE, AT, also=(ca("Next root"),), **going)


def without_phones() -> Site:
    return Site("lyon", tuple(host for host in SITE if "mobile server" not in host.roles))


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_the_folder_holds_what_each_way_needs():
    assert set(files()) == {
        "ca.cer", "trust.ps1", "detect.ps1", "detect-application.ps1", "ca.mobileconfig",
        "ca-sha256.svg",
        "phones.html", "phones.md", "README.html", "README.md",
    }  # fmt: skip
    assert files()["ca.cer"] == der(ca())


def test_the_same_ca_site_and_day_make_the_same_bytes():
    assert roll_out_files(ca(), SITE, AT.replace(hour=1)) == files()


def test_the_script_that_acts_carries_the_certificate_and_both_its_digests():
    inputs = script_inputs(files()["trust.ps1"])
    assert inputs["CaSha256"] == hashlib.sha256(der(ca())).hexdigest()
    assert inputs["CaThumbprint"] == thumbprint(ca())
    assert inputs["UsualAction"] == "Add"
    assert b"-----BEGIN" not in files()["trust.ps1"]


@pytest.mark.parametrize("name", ["trust.ps1", "detect.ps1", "detect-application.ps1"])
def test_a_script_needs_no_file_beside_it(name):
    assert script_inputs(files()[name])["CaThumbprint"] == thumbprint(ca())
    assert b"PSScriptRoot" not in files()[name]


def test_what_configuration_manager_takes_as_a_detection_method_is_short_enough():
    """32 KB: https://github.com/MicrosoftDocs/memdocs, create-applications.md."""
    assert len(files()["detect-application.ps1"]) < 32_000


@pytest.mark.parametrize("name", ["Société d\u2019État", "root\u202e\u200b", "a\x07b", "'; exit"])
def test_no_name_of_a_ca_keeps_the_folder_from_being_made(name):
    """What PowerShell takes for a quote, or what hides text, leaves the script and the profile."""
    made = roll_out_files(ca(name), Site("lyon\ud800\x07", SITE.hosts), AT)
    inputs = script_inputs(made["trust.ps1"])
    assert inputs["CaName"] in ("Société d'État", "root", "ab", "'; exit")
    assert plistlib.loads(made["ca.mobileconfig"])["PayloadDisplayName"].startswith("lyon VMS: ")


class TestProfile:
    def test_brings_this_root_and_can_be_removed(self):
        told = plistlib.loads(apple_profile(ca(), SITE))
        (root,) = told["PayloadContent"]
        assert root["PayloadType"] == "com.apple.security.root"
        assert root["PayloadContent"] == der(ca())
        assert told["PayloadType"] == "Configuration"
        assert told["PayloadRemovalDisallowed"] is False
        assert SITE.name in told["PayloadDisplayName"]

    def test_has_identifiers_of_its_own_for_each_ca(self):
        told = [plistlib.loads(apple_profile(one, SITE)) for one in (ca(), ca("Another root"))]
        ids = [one["PayloadUUID"] for one in told]
        ids += [one["PayloadContent"][0]["PayloadUUID"] for one in told]
        assert len(set(ids)) == 4
        assert told[0]["PayloadIdentifier"] != told[1]["PayloadIdentifier"]


class TestPhones:
    def test_are_left_out_where_no_phone_meets_a_certificate_of_this_ca(self):
        names = set(roll_out_files(ca(), without_phones(), AT))
        scripts = {"trust.ps1", "detect.ps1", "detect-application.ps1"}
        assert names == {"ca.cer", *scripts, "README.html", "README.md"}

    def test_need_nothing_where_the_mobile_server_has_a_public_certificate(self):
        hosts = tuple(
            replace(host, left_off=frozenset({"mobile streaming media"})) for host in SITE
        )
        assert "phones.html" in files()
        assert "phones.html" not in roll_out_files(ca(), Site("lyon", hosts), AT)

    def test_trust_the_ca_that_signed_what_they_call(self):
        """A CA of the house: its root and no other; one that is public: nothing at all."""
        house = ca("House root")
        met = {"vms-mob-01": (ca(), house), "vms-web-01": (house,)}
        met = {host.name: met.get(host.name, (ca(),)) for host in SITE.clients}
        made = roll_out_files(ca(), SITE, AT, needed=met, phones=(house,))
        (root,) = plistlib.loads(made["ca.mobileconfig"])["PayloadContent"]
        assert root["PayloadContent"] == der(house) == made["ca-2.cer"]
        assert readable_fingerprint(house) in made["phones.md"].decode()
        assert "its file is `ca-2.cer`" in made["phones.md"].decode()
        assert readable_fingerprint(ca()) not in made["phones.md"].decode()
        text = made["README.md"].decode()
        assert "12 computers must trust one CA certificate" in text
        (other,) = re.findall(r"`House root` is the root of another CA.*", text)
        assert re.findall(r"'(.+?)'", other) == [
            "vms-mob-01.example.local", "vms-web-01.example.local"
        ]  # fmt: skip
        assert text.count("vms-web-01") == 1
        assert script_inputs(made["trust-2.ps1"])["CaThumbprint"] == thumbprint(house)
        because = [("vms-mob-01", "a public CA signed it")]
        made = roll_out_files(ca(), SITE, AT, needed=met, phones=(), without=because)
        assert not {"phones.html", "ca.mobileconfig"} & {*made}
        assert "`vms-mob-01` need nothing of this folder: a public CA" in made["README.md"].decode()

    def test_show_the_fingerprint_in_pairs(self):
        lines = readable_fingerprint(ca()).split("\n")
        assert [len(line.split()) for line in lines] == [8] * 4
        assert bytes.fromhex("".join(lines)) == ca().fingerprint(hashes.SHA256())
        assert readable_fingerprint(ca()) in files()["phones.html"].decode()

    def test_show_the_fingerprint_as_a_code_in_the_page_itself(self):
        """The dark modules of the drawing are those of the code of this fingerprint."""
        svg = files()["ca-sha256.svg"].decode()
        assert svg in files()["phones.html"].decode()
        text = ca().fingerprint(hashes.SHA256()).hex().upper()
        assert dark_modules(svg) == sum(map(sum, segno.make(text, error="m").matrix))
        assert svg not in roll_out_files(ca("Another root"), SITE, AT)["phones.html"].decode()

    def test_are_told_the_limit_of_android_and_that_the_profile_is_not_signed(self):
        text = files()["phones.md"].decode()
        assert "Android 7" in text
        assert "Not Signed" in text
        assert "Certificate Trust Settings" in text
        assert "mobile.example.com" in text


def dark_modules(svg: str) -> int:
    """The modules that segno draws: horizontal strokes, each as long as its run of modules."""
    path = re.search(r'<path[^>]*class="qrline"[^>]* d="([^"]*)"', svg)
    assert path
    return sum(map(int, re.findall(r"h(\d+)", path[1])))


class TestReadme:
    @pytest.mark.parametrize("name", PAGES)
    def test_asks_nobody_for_anything(self, name):
        seen = Seen(files()[name])
        assert seen.asked == []
        assert not {"script", "link", "img", "iframe"} & set(seen.elements)

    def test_names_every_computer_in_lines_to_be_copied(self):
        text = files()["README.md"].decode()
        lines = re.findall(r"^    '(.*)',?$", text, re.MULTILINE)
        assert sorted(lines) == sorted(host.fqdn for host in SITE.clients)
        assert text.count("-FilePath .\\trust.ps1 -ArgumentList Detect") == 2

    def test_asks_for_an_account_where_yours_does_not_count(self):
        hosts = (
            Host("ms", "lyon.local", roles=("management server",)),
            Host("rec", "paris.local", roles=("recording server",)),
            Host("pc", roles=("smart client",)),
        )
        text = roll_out_files(ca(), Site("lyon", hosts), AT)["README.md"].decode()
        acts = re.findall(r"'([\w.]+)'\n\)\n.*\nInvoke-Command (.*)\n", text)
        assert acts == [
            ("ms.lyon.local", "-ComputerName $Computers -FilePath .\\trust.ps1"),
            ("rec.paris.local", "-ComputerName $Computers -Credential (Get-Credential) "
                                "-FilePath .\\trust.ps1"),
            ("pc", "-ComputerName $Computers -Credential (Get-Credential) -UseSSL "
                   "-FilePath .\\trust.ps1"),
        ]  # fmt: skip

    def test_says_whom_a_policy_does_not_reach_and_why(self):
        assert [(row["computer"], row["why"]) for row in unreached(SITE)] == [
            ("vms-mob-01.example.local", "perhaps in a DMZ, outside the domain"),
            ("hq-rec-01.hq.example.com", "another domain"),
        ]
        alone = Site("lyon", (Host("ms", roles=("management server",)),))
        assert [row["why"] for row in unreached(alone)] == ["no domain"]

    def test_of_a_large_site_names_some_of_those_and_counts_the_rest(self):
        many = tuple(Host(f"pc-{i}", roles=("smart client",)) for i in range(40))
        text = roll_out_files(ca(), Site("lyon", (*SITE.hosts, *many)), AT)["README.md"].decode()
        assert "Of 53 computers, 42 may miss" in text
        assert "… and 12 more." in text

    def test_marks_every_fact_that_was_read_nowhere(self):
        seen = [Seen(replacing()[name]).texts for name in PAGES]
        texts = [one for texts in seen for one in (*texts["li"], *texts["p"])]
        marked = sum(one.strip().endswith("(unconfirmed)") for one in texts)
        rows = [
            row for row in facts("windows/roll-out") if row["step"] not in ("reaches", "misses")
        ]
        assert marked == sum(row["tag"] in ("G", "I") for row in rows) > 0

    def test_shows_every_step_of_the_table(self):
        seen = [Seen(replacing()[name]).texts for name in PAGES]
        shown = [text for texts in seen for text in (*texts["li"], *texts["p"])]
        for row in facts("windows/roll-out"):
            if row["step"] not in ("reaches", "misses"):
                start = re.split(r"[*`{]", row["text"])[0]
                assert any(one.startswith(start) for one in shown), row["text"]


class TestReplacing:
    def test_brings_a_certificate_and_a_script_for_each_that_comes_or_goes(self):
        assert set(replacing()) - set(files()) == {
            "ca-2.cer", "trust-2.ps1", "detect-2.ps1", "detect-application-2.ps1",
            "ca-2-sha256.svg",
            "old-ca.cer", "remove-old-ca.ps1",
            "barred.cer", "bar.ps1", "barred-2.cer", "bar-2.ps1",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "action", "label"),
        [
            ("trust-2.ps1", "Add", "Next root"),
            ("remove-old-ca.ps1", "Remove", "Old root"),
            ("bar.ps1", "Bar", "Lost 1"),
            ("bar-2.ps1", "Bar", "Lost 2"),
        ],
    )
    def test_gives_each_script_its_certificate_and_its_deed(self, name, action, label):
        inputs = script_inputs(replacing()[name])
        assert (inputs["UsualAction"], inputs["CaName"]) == (action, label)
        assert inputs["CaThumbprint"] == thumbprint(ca(label))

    def test_an_old_ca_goes_only_where_its_successors_are_trusted(self):
        successors = [thumbprint(ca()), thumbprint(ca("Next root"))]
        assert script_inputs(replacing()["remove-old-ca.ps1"])["Successors"] == successors
        for name in ("trust.ps1", "trust-2.ps1", "bar.ps1"):
            assert script_inputs(replacing()[name])["Successors"] == []

    def test_brings_phones_both_cas_to_trust_and_none_that_goes(self):
        told = plistlib.loads(replacing()["ca.mobileconfig"])
        brought = [one["PayloadContent"] for one in told["PayloadContent"]]
        assert brought == [der(ca()), der(ca("Next root"))]
        assert len({one["PayloadUUID"] for one in told["PayloadContent"]}) == 2
        page = replacing()["phones.html"].decode()
        assert page.count("<svg") == 2
        assert readable_fingerprint(ca("Next root")) in page
        assert readable_fingerprint(ca("Old root")) not in page

    def test_says_what_goes_and_who_honours_it_and_else_says_nothing_of_it(self):
        text = replacing()["README.md"].decode()
        assert "It takes `Old root` out of LocalMachine" in text
        assert "It puts `Lost 1`, `Lost 2` into" in text
        assert all(row["program"] in text for row in facts("windows/disallowed"))
        usual = files()["README.md"].decode()
        for word in ("## The old CA", "## Stolen keys", "ca-2.cer", "Disallowed"):
            assert word in text
            assert word not in usual


@settings(max_examples=15)
@given(TEXTS, TEXTS, TEXTS)
def test_foreign_text_stays_text_in_every_page(name, owner, title):
    hosts = [Host(name, "lyon.local", (name,), roles=("mobile server",), owner=owner)]
    hosts += [Host("ms", "other.local", roles=("management server",))]
    odd, even = ca("<b>`|*root*"), ca("root")
    made = roll_out_files(odd, Site(title, tuple(hosts)), AT, (odd,), (odd,), (odd,))
    usual = roll_out_files(even, Site("x", (Host("y", "z", ("y",), roles=hosts[0].roles),
                           hosts[1])), AT, (even,), (even,), (even,))  # fmt: skip
    for page in PAGES:
        seen, plain = Seen(made[page]), Seen(usual[page])
        assert without_code(seen) == without_code(plain)
        assert seen.asked == []
    assert owner in Seen(made["README.html"]).texts["td"]
    assert f"{name}.lyon.local" in Seen(made["README.html"]).texts["td"]


def without_code(seen: Seen) -> list[str]:
    """The elements of a page but code, which a text with a backtick does without."""
    return [name for name in seen.elements if name != "code"]


def test_facts_of_the_roll_out_are_markdown_with_steps_in_order():
    for way in {row["way"] for row in facts("windows/roll-out")}:
        rows = [row["step"] for row in facts("windows/roll-out") if row["way"] == way]
        numbers = [int(step) for step in rows if step.isdigit()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert set(rows) <= {"reaches", "misses", "first", "note", *map(str, numbers)}
