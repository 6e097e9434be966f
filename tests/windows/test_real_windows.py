"""What real_windows.py needs can be had here, as far as it can be tried without Windows."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import real_windows
import yaml

from vmscert.facts import facts
from vmscert.windows.folder import pack
from vmscert.windows.scripts import script_inputs

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
WORKFLOW = Path(__file__).parents[2] / ".github/workflows/tests.yml"
THUMBPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"
ON = f"/quiet /enableencryption /thumbprint={THUMBPRINT} /certificategroup="
OFF = "/quiet /disableencryption /certificategroup="
SERVER, STREAMING = (row["guid"] for row in facts("xprotect/certificate-groups")[:2])
# What Server Configurator is asked, and its exit code.
ASKED = [
    ("/listcertificategroups", "0"),
    (ON + SERVER, "0"),
    (OFF + SERVER, "0"),
    (OFF + STREAMING, "0"),
    (ON + STREAMING, "0"),
    (ON + "another", "-3"),
    ("/enableencryption /thumbprint=x /certificategroup=" + SERVER, "-3"),
    ("/unknown", "-2"),
]


def test_the_folder_is_for_a_recording_server_of_the_name_of_this_computer():
    files = pack(real_windows.server_load("runner-1", AT, "a password"))
    inputs = script_inputs(files["install.ps1"])
    assert {"install.ps1", "undo.ps1", "inventory.ps1", "runner-1.pfx", "ca.cer"} <= {*files}
    assert inputs["ComputerName"] == "runner-1"
    assert inputs["Groups"] == ["server", "streaming media"]
    assert inputs["Turns"] == ["1", "1"]
    assert inputs["Accounts"] == ["S-1-5-20"]


def test_the_workflow_runs_it_in_both_powershells():
    job = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["scripts"]
    assert job["runs-on"].startswith("windows-")
    assert job["strategy"]["matrix"]["powershell"] == ["powershell", "pwsh"]
    called = "python tests/windows/real_windows.py ${{ matrix.powershell }}"
    assert job["steps"][-1]["run"] == called


def test_a_password_is_typed_where_there_is_no_console(pwsh, tmp_path):
    asks = tmp_path / "it's.ps1"
    asks.write_text(
        "param([string]$Phase)\n"
        "$Typed = Read-Host -Prompt 'Password' -AsSecureString\n"
        "'{0}: {1}' -f $Phase, [System.Net.NetworkCredential]::new('', $Typed).Password\n"
    )
    words = real_windows.command(pwsh, asks, "-Phase", "Prepare", typed=True)
    told = real_windows.run(*words, secret={real_windows.PASSWORD: "p'a$s"})
    assert told == f"Prepare: p'a$s{os.linesep}"


def test_a_script_that_fails_ends_it(pwsh, tmp_path):
    fails = tmp_path / "fails.ps1"
    fails.write_text("throw 'no'\n")
    for typed in (True, False):
        with pytest.raises(SystemExit, match="ended with 1"):
            real_windows.run(*real_windows.command(pwsh, fails, typed=typed))


@pytest.mark.skipif(os.name == "nt", reason="real_windows.py runs it with the real netsh there")
def test_what_plays_server_configurator_compiles_and_does_what_it_is_asked(pwsh, tmp_path):
    file = tmp_path / "Milestone/XProtect Recording Server/RecorderConfig.xml"
    file.parent.mkdir(parents=True)
    file.write_text(real_windows.CONFIGURATION)
    netsh = tmp_path / "netsh"
    netsh.write_text('#!/bin/sh\necho "$2 $5" >> "$ProgramData/netsh.log"\n')
    netsh.chmod(0o755)
    source = Path(real_windows.__file__).with_name("ServerConfigurator.cs")
    asks = tmp_path / "asks.ps1"
    asks.write_text(
        f"Add-Type -LiteralPath '{source}'\n"
        + "".join(f"[ServerConfigurator]::Main(-split '{line}')\n" for line, _ in ASKED)
    )
    paths = {"ProgramData": str(tmp_path), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    told = real_windows.run(*real_windows.command(pwsh, asks), secret=paths).splitlines()
    assert [line for line in told if "group with ID" not in line] == [code for _, code in ASKED]
    listed = [line.rpartition(" ")[2] for line in told if "group with ID" in line]
    assert listed == [SERVER, STREAMING]
    assert f'certificateHash="{THUMBPRINT}"' in file.read_text()
    assert (tmp_path / "netsh.log").read_text().splitlines() == [
        "delete ",
        f"add certhash={THUMBPRINT}",
        "delete ",
    ]
