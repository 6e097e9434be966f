"""The scripts that people run on Windows: harmless to what stands in a table, fit for 5.1 and 7."""

import codecs
import csv
import re

import folders
import powershell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmscert.facts import DATA, facts
from vmscert.windows.scripts import quote, script, script_inputs, script_steps, script_takes

ALL = folders.files(".ps1")
INSTALL = folders.folders()["server"]["install.ps1"]
STEPS = ["administrator", "right-computer", "key-access"]
INPUTS = {
    "ComputerName": "vms-rec-01",
    "Thumbprint": "0123456789ABCDEF0123456789ABCDEF01234567",
    "Accounts": ["S-1-5-20", "EXAMPLE\\svc-vms$"],
    "Services": [],
    "Made": "2026-11-26T22:00:00+00:00",
}
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
    "# part: run",
    "# steps: deeds",
    "{0} {",
    "\\1 \\g<0>",
    "",
    "Système",
]
SPECIAL = "'`$\"();#@{}, \\|&\u2018\u2019\u201a\u201b\u201c\u202e\u200b\u2028\u0085\r\n\0\ud800é"
values = st.text(st.one_of(st.sampled_from(SPECIAL), st.characters()), max_size=12)


def code(data):
    """The script around its inputs block."""
    before, _, rest = data.decode("utf-8-sig").partition("# inputs: begin\r\n")
    return before + rest.partition("\r\n# inputs: end\r\n")[2]


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
    @pytest.mark.parametrize("path", folders.read())
    def test_are_the_ones_that_people_have_read(self, path):
        """Compared to the byte, so no change of a script or page goes unseen."""
        assert (folders.GOLDEN / path).read_bytes() == folders.read()[path]

    def test_keep_no_golden_file_that_nobody_makes(self):
        kept = (path for path in folders.GOLDEN.rglob("*") if path.is_file())
        assert {path.relative_to(folders.GOLDEN).as_posix() for path in kept} == {*folders.read()}

    def test_give_their_inputs_and_their_steps_back(self):
        data = script("install", STEPS, **INPUTS)
        assert script_inputs(data) == INPUTS
        assert [name for _, name in script_steps(data)] == STEPS

    @pytest.mark.parametrize("value", HOSTILE)
    def test_hold_hostile_values_as_harmless_literals(self, value):
        inputs = INPUTS | {"Thumbprint": value, "Accounts": [value, value]}
        data = script("install", STEPS, **inputs)
        assert script_inputs(data) == inputs
        assert code(data) == code(script("install", STEPS, **INPUTS))
        assert powershell.strings(data).count(quote(value)) >= 3

    @given(text=values, names=st.lists(values, max_size=3))
    def test_give_any_value_back_or_refuse_it(self, text, names):
        inputs = INPUTS | {"ComputerName": text, "Accounts": names}
        try:
            data = script("install", STEPS, **inputs)
        except ValueError as error:
            assert re.search("quote|invisible", str(error))
        else:
            assert script_inputs(data) == inputs
            assert code(data) == code(script("install", STEPS, **INPUTS))

    @pytest.mark.parametrize(
        "wrong",
        [{}, {"Thumbprint": "x"}, INPUTS | {"More": "x"}, INPUTS | {"Thumbprint": ["x"]}],
        ids=["none", "too few", "too many", "a list for a text"],
    )
    def test_refuse_inputs_that_their_steps_do_not_have(self, wrong):
        with pytest.raises(ValueError, match=r"install\.ps1 takes ComputerName \(text\), "):
            script("install", STEPS, **wrong)

    def test_ask_for_nothing_that_their_steps_do_not_use(self):
        for path, data in ALL.items():
            text = code(data)
            unused = [name for name in script_inputs(data) if f"${name}" not in text]
            assert unused == [], path

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


@pytest.mark.parametrize("path", ALL)
class TestEveryScript:
    def test_keeps_to_a_style_in_which_mistakes_show(self, path):
        """tree-sitter misses much that PowerShell refuses, so the style leaves little room."""
        assert list(powershell.offences(ALL[path])) == []

    def test_is_a_file_that_windows_powershell_reads_right(self, path):
        """BOM first, CRLF everywhere, and nothing but ASCII where no input stands."""
        data = ALL[path]
        assert data.startswith(codecs.BOM_UTF8)
        assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
        assert data[3:].isascii()

    def test_can_be_tried_without_harm(self, path):
        """Each change of Windows stands behind a question that -WhatIf answers with no."""
        text = ALL[path].decode("utf-8-sig")
        assert "[CmdletBinding(SupportsShouldProcess)]\r\nparam(" in text
        for deed in DEEDS:
            assert unasked(text, re.escape(deed)) == [], deed

    def test_asks_for_administrator_rights_before_it_does_anything(self, path):
        if path.partition("/")[2].startswith("detect"):
            assert not any(deed.encode() in ALL[path] for deed in DEEDS)
            return
        steps = script_steps(ALL[path])
        assert (steps[0][1] if steps else "administrator") == "administrator"
        assert "IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)" in (
            ALL[path].decode("utf-8-sig")
        )

    def test_touches_no_store_of_a_user(self, path):
        if not path.endswith("inventory.ps1"):
            assert b"CurrentUser" not in ALL[path]


def unasked(text, deed, seen=()):
    """The functions that do this without a question, in them or in all that call them."""
    found = []
    for one in re.finditer(deed, text):
        start = text.rfind("\r\nfunction ", 0, one.start())
        name = text[start + 11 : text.find(" {", start)]
        before = text[start : one.start()]
        if not re.search(r"ShouldProcess\(|if \(\$WhatIfPreference\)", before) and name not in seen:
            called = f"(?<!function ){name}" + r"(?= -|\r|\)| })"
            found += unasked(text, called, (*seen, name)) if start > 0 else [deed]
    return found


# What changes a computer; each stands in a function after its own ShouldProcess.
DEEDS = [
    "Import-Certificate -",
    "Import-PfxCertificate -",
    "certreq -",
    "Set-Acl -",
    "Remove-Item -",
    ".FriendlyName = ",
    "Invoke-ServerConfigurator -Arguments $Arguments",
    "$Store.Add(",
    "$Store.Remove(",
    "WriteEntry(",
]


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
    found = list(powershell.offences(INSTALL + line.encode() + b"\r\n"))
    assert (offence in found) if offence else not found


class TestScriptFacts:
    def test_every_listed_cmdlet_is_used(self):
        """A table that allows more than needed guards less."""
        roots = [powershell.tree(data) for data in ALL.values()]
        commands = [one for root in roots for one in powershell.every(root, "command")]
        used = {powershell.text_of(one, "command_name") for one in commands}
        assert {row["cmdlet"] for row in facts("windows/cmdlets")} <= used

    def test_the_exit_codes_of_server_configurator_are_those_of_the_table(self):
        found = re.findall(r"^    '(-?\d+)' = '(.*)'\r$", INSTALL.decode("utf-8-sig"), re.MULTILINE)
        sure = {"C": "", "C2": " (second hand)"}
        rows = facts("windows/exit-codes")
        told = [
            [(r["code"], r[what] + sure[r["tag"]]) for r in rows if r[what]]
            for what in ("meaning", "off", "ends")
        ]
        assert found == [*told[0], *told[1], *told[2]]
        for row in rows:
            assert all(f"# {source}\r\n" in INSTALL.decode() for source in row["source"].split("|"))

    def test_every_row_names_its_source(self):
        for path in (DATA / "windows").glob("*.csv"):
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    assert row["source"], path.name
                    assert row["tag"] in {"C", "C2", "E", "G", "I"}, path.name

    def test_every_part_is_used(self):
        used = {one.stem for one in (DATA / "windows" / "parts").glob("*.ps1")}
        texts = [path.read_text("utf-8") for path in (DATA / "windows").rglob("*.ps1")]
        assert used == {
            name for text in texts for name in re.findall(r"^# part: (.+)$", text, re.M)
        }

    def test_an_imported_key_can_not_be_exported_and_its_password_is_not_seen(self):
        assert b"-Exportable" not in INSTALL.replace(b"# -Exportable", b"")
        assert b"-AsSecureString" in INSTALL

    def test_a_step_takes_its_inputs_along(self):
        assert "PfxFile" in script_takes("install", ["import-certificate"])
        assert "PfxFile" not in script_takes("install", ["trust-root"])
