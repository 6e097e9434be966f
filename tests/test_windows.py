"""What Windows computers are called, hold and are told.

`python tests/test_windows.py` writes the golden scripts anew: read what changed before you keep it.
"""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_powershell
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from vmscert.authority import QUICK, create_authority
from vmscert.facts import DATA, facts
from vmscert.releases import pfx_encryption, release
from vmscert.scripts import quote, script, script_inputs
from vmscert.windows import Personal, Stores, account, principal, thumbprint

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
LABEL = "0123456789ABCDEF0123456789ABCDEF01234567"
DIGEST = "0123456789abcdef" * 4
INPUTS: dict[str, dict] = {
    "trust": {"ComputerName": "vms-rec-01", "CaSha256": DIGEST, "CaThumbprint": LABEL},
    "import": {
        "ComputerName": "vms-rec-01",
        "PfxFile": f"{LABEL}.pfx",
        "PfxSha256": DIGEST,
        "Thumbprint": LABEL,
        "FriendlyName": "VMS vms-rec-01.example.local until 2027-12-24",
        "Accounts": ["S-1-5-20", "EXAMPLE\\svc-vms$"],
    },
    "enable": {
        "ComputerName": "vms-rec-01",
        "Thumbprint": LABEL,
        "Groups": ["server", "streaming media"],
        "GroupIds": [
            "84430eb7-847c-422d-aa00-7915cd0d7a65",
            "549df21d-047c-456b-958e-99e65dd8b3ec",
        ],
    },
    "inventory": {"ComputerName": "vms-rec-01", "ClockSource": "vms-mgmt-01"},
    "roll-out": {
        "UsualAction": "Add",
        "CaName": "Example VMS root 2026",
        "CaSha256": DIGEST,
        "CaThumbprint": LABEL,
        "CaCertificate": "MIIDMTCCAhmgAwIBAgIU",
    },
}
SCRIPTS = sorted(INPUTS)
HOSTILE = [
    "x'; Remove-Item C:\\ -Recurse #",
    "$(Remove-Item C:\\)",
    "`$x`n",
    '"; exit',
    "'",
    "''",
    "') #",
    "', '",
    "@('a')",
    "# inputs: end",
    "{0} {",
    "\\1 \\g<0>",
    "",
    "Système",
]
SPECIAL = "'`$\"();#@{}, \\|&\u2018\u2019\u201a\u201b\u201c\u202e\u200b\u2028\u0085\r\n\0\ud800é"
values = st.text(st.one_of(st.sampled_from(SPECIAL), st.characters()), max_size=12)


@cache
def certificate(name: str = "vms-rec-01") -> x509.Certificate:
    return create_authority(name, AT, QUICK).certificate


class TestThumbprint:
    held = Personal(certificate(), True)
    stores = Stores("vms-rec-01", AT, personal=(held,))

    def test_looks_as_windows_shows_it(self):
        """The SHA-1 of the certificate, 40 upper-case hex digits without blanks."""
        assert thumbprint(certificate()) == certificate().fingerprint(hashes.SHA1()).hex().upper()

    def test_finds_a_certificate_however_it_was_copied(self):
        """The dialog of Windows shows blanks and an invisible U+200E before the digits."""
        label = thumbprint(certificate())
        pasted = "\u200e" + " ".join(label.lower()[i : i + 2] for i in range(0, 40, 2))
        assert self.stores.find(pasted) == self.held
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
        assert row["tag"] in {"C", "G"}

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
            "S-1-5-20",
        ],
    )
    def test_are_one_in_every_spelling_and_language(self, text):
        assert account(text) == account("network service")
        assert principal(text) == "S-1-5-20"

    def test_that_differ_stay_apart(self):
        known = ["NETWORK SERVICE", "LOCAL SERVICE", "LocalSystem", "Administrators"]
        own = ["EXAMPLE\\network service", "EXAMPLE\\svc$", "EXAMPLE\\svc", "svc@example.local"]
        assert len({account(name) for name in known + own}) == len(known + own)

    def test_of_a_domain_are_themselves_whatever_their_case(self):
        assert account("EXAMPLE\\Svc-VMS$") == account("example\\svc-vms$")
        assert principal(" EXAMPLE\\Svc-VMS$ ") == "EXAMPLE\\Svc-VMS$"

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


class TestQuote:
    def test_doubles_the_straight_quote_and_leaves_the_rest(self):
        assert quote("it's $(x) `n") == "'it''s $(x) `n'"

    @pytest.mark.parametrize(
        "character",
        "\u2018\u2019\u201a\u201b\n\r\0\x1b\x85\u200e\u202e\u2066\u2028\u2029\ufeff\ud800",
    )
    def test_refuses_what_ends_or_hides_a_literal(self, character):
        with pytest.raises(ValueError, match=r"quote|invisible") as error:
            quote(f"vms{character}01")
        assert "\n" not in str(error.value)


class TestScripts:
    @pytest.mark.parametrize("name", SCRIPTS)
    def test_are_the_ones_that_people_have_read(self, name):
        """Compared to the byte, so no change of a script goes unseen."""
        assert (GOLDEN / f"{name}.ps1").read_bytes() == script(name, **INPUTS[name])

    @pytest.mark.parametrize("name", SCRIPTS)
    def test_give_their_inputs_back(self, name):
        assert script_inputs(script(name, **INPUTS[name])) == INPUTS[name]

    @pytest.mark.parametrize("value", HOSTILE)
    def test_hold_hostile_values_as_harmless_literals(self, value):
        inputs = INPUTS["import"] | {"FriendlyName": value, "Accounts": [value, value]}
        data = script("import", **inputs)
        assert script_inputs(data) == inputs
        assert strings(data).count(quote(value)) >= 3

    @given(text=values, names=st.lists(values, max_size=3))
    def test_give_any_value_back_or_refuse_it(self, text, names):
        inputs = INPUTS["import"] | {"ComputerName": text, "Accounts": names}
        try:
            data = script("import", **inputs)
        except ValueError as error:
            assert re.search("quote|invisible", str(error))
        else:
            assert script_inputs(data) == inputs
            assert code(data) == code(script("import", **INPUTS["import"]))

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            {"CaSha256": "x"},
            INPUTS["trust"] | {"More": "x"},
            INPUTS["trust"] | {"CaSha256": ["x"]},
        ],
        ids=["none", "too few", "too many", "a list for a text"],
    )
    def test_refuse_inputs_that_the_template_does_not_have(self, wrong):
        with pytest.raises(ValueError, match=r"trust\.ps1 takes ComputerName \(text\), "):
            script("trust", **wrong)

    @pytest.mark.parametrize(
        "block",
        [
            "$A = Get-Date",
            "$A = 'a' + 'b'",
            "$A = 'a'; Remove-Item C:\\",
            "$A = 'it's'",
            '$A = "a"',
            "$A = @('a' 'b')",
            "$A = 'a\u2019b'",
            "Remove-Item C:\\",
        ],
    )
    def test_with_anything_but_literals_as_inputs_are_not_read(self, block):
        text = f"# inputs: begin\n{block}\n# inputs: end\n"
        with pytest.raises(ValueError, match=r"not an input|quote"):
            script_inputs(text.encode())

    @pytest.mark.parametrize("data", [b"", b"Write-Output 1\r\n", b"\xff\xfe"])
    def test_without_inputs_are_not_read(self, data):
        with pytest.raises(ValueError, match="make it again"):
            script_inputs(data)


@pytest.mark.parametrize("name", SCRIPTS)
class TestEveryScript:
    def test_keeps_to_a_style_in_which_mistakes_show(self, name):
        """tree-sitter misses much that PowerShell refuses, so the style leaves little room."""
        assert list(offences(script(name, **INPUTS[name]))) == []

    def test_is_a_file_that_windows_powershell_reads_right(self, name):
        """BOM first, CRLF everywhere, and nothing but ASCII where no input stands."""
        data = script(name, **INPUTS[name])
        assert data.startswith(b"\xef\xbb\xbf")
        assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
        assert data[3:].isascii()

    def test_starts_with_its_checks_and_can_be_tried_without_harm(self, name):
        text = script(name, **INPUTS[name]).decode("utf-8-sig")
        assert "[CmdletBinding(SupportsShouldProcess)]\r\nparam(" in text
        deeds = ["Import-Certificate -", "Import-PfxCertificate -", "Set-Acl -", "WriteAllText("]
        deeds += ["$Store.Add(", "$Store.Remove("]
        places = [text.find(deed) for deed in (*deeds, "/enableencryption /")]
        last_check = "-notcontains $ComputerName"
        if "ComputerName" not in INPUTS[name]:  # for any computer
            last_check = "-notcontains $Action"
        assert 0 < text.find("IsInRole(") < text.find(last_check)
        assert max(places) > 0
        for place in filter(lambda place: place > 0, places):
            assert text.find(last_check) < text.rfind("ShouldProcess(", 0, place)


@pytest.mark.parametrize(
    ("line", "offence"),
    [
        ("if ($A) {", "syntax"),
        ("$A = Get-Date", "unknown command Get-Date"),
        ("Get-Item -LiteralPth 'x'", "unknown parameter LiteralPth of Get-Item"),
        ("$A = @(Get-Item -Pth 'x')", "unknown parameter Pth of Get-Item"),
        ("$A = 1; $B = 2", "two statements in one line"),
        ("Write-Output 1 && Write-Output 2", "two statements in one line"),
        ("$A = { $B = 1\n$C = 2 }", ""),
        ('$A = "$B: x"', "variables in a text"),
    ],
)
def test_an_offence_in_a_script_would_be_seen(line, offence):
    """The guard of the scripts is itself able to fail."""
    found = list(offences(script("trust", **INPUTS["trust"]) + line.encode() + b"\r\n"))
    assert (offence in found) if offence else not found


class TestScriptFacts:
    def test_every_listed_cmdlet_is_used(self):
        """A table that allows more than needed guards less."""
        roots = [tree(script(name, **INPUTS[name])) for name in SCRIPTS]
        used = {text_of(c, "command_name") for root in roots for c in every(root, "command")}
        assert {row["cmdlet"] for row in facts("windows/cmdlets")} <= used

    def test_the_exit_codes_of_server_configurator_are_those_of_the_table(self):
        text = script("enable", **INPUTS["enable"]).decode("utf-8-sig")
        found = re.findall(r"^    '(-?\d+)' = '(.*)'\r$", text, re.MULTILINE)
        assert found == [(row["code"], row["meaning"]) for row in facts("windows/exit-codes")]

    def test_every_row_names_its_source(self):
        for path in (DATA / "windows").glob("*.csv"):
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    assert row["source"], path.name
                    assert row["tag"] in {"C", "C2", "G"}, path.name

    def test_no_root_goes_to_the_store_of_a_user(self):
        for name in set(SCRIPTS) - {"inventory"}:
            assert b"CurrentUser" not in script(name, **INPUTS[name])

    def test_an_imported_key_can_not_be_exported_and_its_password_is_not_seen(self):
        text = script("import", **INPUTS["import"])
        assert b"-Exportable" not in text
        assert b"-AsSecureString" in text


@cache
def tree(data: bytes) -> tree_sitter.Node:
    """The syntax tree of a script, without its BOM."""
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(data[3:].replace(b"\r\n", b"\n")).root_node


def offences(data: bytes) -> Iterator[str]:
    """Yield every breach of the style in which mistakes of a script show."""
    root = tree(data)
    known = {row["cmdlet"]: row["parameters"].split("|") for row in facts("windows/cmdlets")}
    known |= {text_of(f, "function_name"): parameters(f) for f in every(root, "function_statement")}
    if root.has_error:
        yield "syntax"
    for command in every(root, "command"):
        name = text_of(command, "command_name")
        if name not in known:
            yield f"unknown command {name}"
        for parameter in set(given_parameters(command)) - set(known.get(name, ())):
            yield f"unknown parameter {parameter} of {name}"
    for node in every(root):
        lines = [n.start_point[0] for n in node.named_children if n.type != "comment"]
        together = node.type in {"program", "statement_list"} and len(lines) != len(set(lines))
        if together or node.type in {";", "&&", "||"}:
            yield "two statements in one line"
        if node.type == "expandable_string_literal":
            yield "variables in a text"


def every(node: tree_sitter.Node, kind: str = "") -> Iterator[tree_sitter.Node]:
    """Yield each node of a kind below this one."""
    for child in node.children:
        if kind in ("", child.type):
            yield child
        yield from every(child, kind)


def text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def text_of(node: tree_sitter.Node, kind: str) -> str:
    return text(next(every(node, kind)))


def given_parameters(command: tree_sitter.Node) -> list[str]:
    """The parameters of a command itself, without those of commands inside its arguments."""
    elements = [n for n in command.children if n.type == "command_elements"]
    own = [n for e in elements for n in e.children if n.type == "command_parameter"]
    return [text(parameter).lstrip("-") for parameter in own]


def parameters(function: tree_sitter.Node) -> list[str]:
    blocks = every(function, "param_block")
    return [text(name).lstrip("$") for block in blocks for name in every(block, "variable")]


def strings(data: bytes) -> list[str]:
    return [text(node) for node in every(tree(data), "verbatim_string_characters")]


def code(data: bytes) -> str:
    """The script around its inputs block."""
    before, _, rest = data.decode("utf-8-sig").partition("# inputs: begin\r\n")
    return before + rest.partition("\r\n# inputs: end\r\n")[2]


if __name__ == "__main__":
    for name in SCRIPTS:
        (GOLDEN / f"{name}.ps1").write_bytes(script(name, **INPUTS[name]))
