"""Windows PowerShell 5.1 has all that the scripts use, as far as its tables and the parser tell."""

import five_one
import pytest

from vmscert.facts import facts

# One line each, and what is said of it.
PLANTED = {
    "if ($A) {": "error in line 1: Missing closing '}' in statement block or type definition.",
    "Get-Clipboard -AsHtml": "Get-Clipboard of 5.1 has no parameter AsHtml",
    "Get-Uptime": "5.1 has no command Get-Uptime",
    "dir": "5.1 has no command dir",
    "& $Program": "5.1 has no command & $Program",
    "Get-Item -LiteralPath 'x' -ErrorAction 'Stop'": "",
    "netsh http show sslcert": "",
    "function Get-Own { param($Given) }\nGet-Own -Given 1": "",
    "function Get-Own { param($Given) }\nGet-Own -Other 1": "Get-Own of 5.1 has no parameter Other",
    "@(1) | ForEach-Object -Parallel { $_ }": "ForEach-Object of 5.1 has no parameter Parallel",
    "$true ? 1 : 2": "newer than 5.1: TernaryExpression",
    "$A ?? 1": "newer than 5.1: QuestionQuestion",
    "$A ??= 1": "newer than 5.1: QuestionQuestionEquals",
    "${A}?.Message": "newer than 5.1: NullConditional",
    "${A}?[0]": "newer than 5.1: NullConditional",
    "Write-Output 1 && Write-Output 2": "newer than 5.1: PipelineChain",
    "Write-Output 1 || Write-Output 2": "newer than 5.1: PipelineChain",
    "Write-Output 1 &": "newer than 5.1: Background",
    "Write-Output 1\n| Sort-Object": "newer than 5.1: a line begins with a pipe",
    "function Get-Own { clean { 1 } }": "newer than 5.1: CleanBlock",
    "$A = $IsWindows": "newer than 5.1: $IsWindows",
    "$A = 0b11": "newer than 5.1: number 0b11",
    "$A = 12u": "newer than 5.1: number 12u",
    "$A = 12L + 0x1F + 1.5e3 + 4kb": "",
    '$A = "`e[0m"': "newer than 5.1: escape `e",
    "$A = '`e'": "",
    "[System.IO.File]::ReadAllText('x')": "",
    "[System.IO.File]::ReadAllText('x', 1, 2)": (
        "static method System.IO.File.ReadAllText(3): no row of net-members.csv"
    ),
    "[System.Half]$A": "type System.Half: no row of net-members.csv",
    "[System.Random]::new(1)": "new System.Random.new(1): no row of net-members.csv",
    "$A.Trim()": "",
    "$A.Trim(1, 2)": "method Trim(2): no row of net-members.csv",
    "$A.Extra = 1": "write Extra: no row of net-members.csv",
    "$A.$Name": "read computed: $Name: no row of net-members.csv",
    "$A.Credentials": "read Credentials: no row of net-members.csv",
    "[CmdletBinding(Other)]param()": (
        "write System.Management.Automation.CmdletBindingAttribute.Other: no row of net-members.csv"
    ),
}
ONLY_7 = {"net462": "no", "ps7": "yes"}
ONLY_5 = {"net462": "yes", "ps7": "no"}


@pytest.fixture(scope="module")
def planted(pwsh):
    """What the parser sees in each planted line, and in two that look before they call."""
    lines = [*PLANTED, "$A.Trim()", "if ($PSVersionTable.PSEdition -eq 'Core') { $A.Trim() }"]
    found = five_one.parsed({f"{n}.ps1": line.encode() for n, line in enumerate(lines)})
    return {line: found[f"{n}.ps1"] for n, line in enumerate(lines)}


def test_every_script_keeps_to_what_windows_powershell_has(pwsh):
    found = {name: [*five_one.offences(one)] for name, one in five_one.scripts().items()}
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize("line", PLANTED)
def test_what_it_lacks_would_be_found(planted, line):
    found = [*five_one.offences(planted[line])]
    assert PLANTED[line] in found if PLANTED[line] else not found


@pytest.mark.parametrize("only", [ONLY_7, ONLY_5], ids=["only 7 has", "only 5.1 has"])
def test_what_one_of_them_lacks_needs_a_question_which_it_is(planted, monkeypatch, only):
    trim = {"use": "method", "type": "System.String", "member": "Trim", "arguments": "0"}
    edition = {"use": "read", "type": "x", "member": "PSEdition", "arguments": ""} | ONLY_7
    monkeypatch.setattr(five_one, "members", lambda: [trim | only, edition | {"net462": "yes"}])
    alone, guarded = "$A.Trim()", list(planted)[-1]
    assert "no question for PSEdition" in next(five_one.offences(planted[alone]))
    assert [*five_one.offences(planted[guarded])] == []


def test_what_can_only_be_set_is_not_read(planted, monkeypatch):
    credentials = {"use": "read", "type": "x", "member": "Credentials", "arguments": ""}
    both = {"net462": "yes", "ps7": "yes"}
    for readable, found in (("no", 1), ("yes", 0)):
        row = credentials | both | {"readable": readable}
        monkeypatch.setattr(five_one, "members", lambda row=row: [row])
        assert len([*five_one.offences(planted["$A.Credentials"])]) == found


class TestTables:
    def test_hold_no_member_that_no_script_uses(self, pwsh):
        """A table that allows more than needed guards less."""
        wanted = five_one.all_uses(five_one.scripts().values())
        rows = [row for row in five_one.members() if not any(one.fits(row) for one in wanted)]
        assert rows == []

    def test_say_of_each_member_what_has_it(self):
        for row in five_one.members():
            told = {row[name] for name in ("net45", "net462", "net48", "ps7")}
            assert told <= {"yes", "no", "not checked"}, row
            assert (row["type"], row["member"]) not in five_one.set_only() or (
                row["use"] == "write"
            ), row

    def test_allow_no_cmdlet_that_windows_powershell_lacks(self):
        """The list of what scripts may use agrees with what 5.1 says of itself."""
        for row in facts("windows/cmdlets"):
            if row["cmdlet"] not in five_one.PROGRAMS:
                given = {*row["parameters"].split("|")} - {""}
                assert given <= five_one.commands()[row["cmdlet"]], row["cmdlet"]
