"""The Windows that stands in behaves as the domain reference says of the real one."""

import json
import re
import shutil
import time
from dataclasses import replace

import pytest
from computer import HEALTHY, Computer, Trouble, encoded
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates
from workers import KilledError

from vmscert import open_job
from vmscert.certificates.authority import thumbprint
from vmscert.changes.errands import hand_over
from vmscert.facts import DATA, facts
from vmscert.site.site import Host
from vmscert.windows.scripts import request_inf
from vmscert.windows.simulated import ScriptError

pytestmark = pytest.mark.usefixtures("windows")

REC = Host("vms-rec-01", "example.local", roles=("recording server",))
ALL = Host("all", "example.local", roles=(
    "management server", "recording server", "event server", "mobile server"))  # fmt: skip
GUID = {row["group"]: row["guid"] for row in facts("xprotect/certificate-groups")}
PASSWORD = "for tests only"
ROOT, MY = r"Cert:\LocalMachine\Root", r"Cert:\LocalMachine\My"
AES = BestAvailableEncryption(PASSWORD.encode())
TRIPLE_DES = (
    PrivateFormat.PKCS12.encryption_builder()
    .kdf_rounds(1000)
    .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
    .hmac_hash(SHA1())
    .build(PASSWORD.encode())
)


@pytest.fixture
def here(tmp_path):
    return Computer(REC, tmp_path)


@pytest.fixture
def run(now):
    """Run a text of PowerShell on a computer; ScriptError with the error that stopped it."""

    def run(computer, *lines, answers=()):
        stop = "$ErrorActionPreference = 'Stop'; Set-StrictMode -Version 2.0"
        ran = computer.powershell("\n".join([stop, *lines]), now, answers)
        if ran.error is not None:
            raise ScriptError(ran.error)
        return ran.output

    return run


@pytest.fixture(scope="module")
def leaf(ca, key, now):
    return ca.issue("vms-rec-01.example.local", at=now, key=key)


def put(computer, store, *certificates):
    with computer.changed() as windows:
        held = [{"der": encoded(one)} for one in certificates]
        windows["stores"].setdefault(store, []).extend(held)


def pfx(computer, issued, encryption: KeySerializationEncryption = AES, name="leaf.pfx"):
    path = computer.disk / name
    data = serialize_key_and_certificates(b"", issued.key, issued.certificate, None, encryption)
    path.write_bytes(data)
    return path


def importing(path):
    return (
        "$Password = Read-Host -Prompt 'Password' -AsSecureString",
        f"Import-PfxCertificate -FilePath '{path}' -CertStoreLocation '{MY}' -Password $Password",
    )


@pytest.fixture
def holding(here, leaf, ca, run):
    """A recorder that trusts the CA, and holds a certificate with its key."""
    put(here, r"LocalMachine\Root", ca.certificate)
    run(here, *importing(pfx(here, leaf)), answers=[PASSWORD])
    return here


def key_file(computer):
    (path,) = (computer.disk / "ProgramData/Microsoft/Crypto/Keys").iterdir()
    return path


# Certificate stores


def test_a_root_in_two_stores_shows_again_after_it_was_removed_once(here, ca, run):
    put(here, r"LocalMachine\Root", ca.certificate)
    put(here, r"LocalMachine\AuthRoot", ca.certificate)
    root = rf"{ROOT}\{thumbprint(ca.certificate)}"
    look = f"Test-Path -LiteralPath '{root}'"
    remove = f"Remove-Item -LiteralPath '{root}'"
    assert run(here, look, remove, look, remove, look) == ["True", "True", "False"]


def test_what_a_policy_brought_is_shown_and_stays(here, ca, run):
    put(here, r"LocalMachine\Root by policy", ca.certificate)
    root = rf"{ROOT}\{thumbprint(ca.certificate)}"
    assert run(here, f"Test-Path -LiteralPath '{root}'") == ["True"]
    with pytest.raises(ScriptError, match="Access is denied"):
        run(here, f"Remove-Item -LiteralPath '{root}'")


def test_a_user_sees_the_roots_of_the_computer_and_not_the_other_way_round(here, ca, stranger, run):
    put(here, r"LocalMachine\Root", ca.certificate)
    put(here, r"CurrentUser\Root", stranger.certificate)
    count = "@(Get-ChildItem -LiteralPath 'Cert:\\{}\\Root').Count"
    assert run(here, *map(count.format, ("CurrentUser", "LocalMachine"))) == ["2", "1"]


def test_nobody_but_an_administrator_changes_a_store_of_the_computer(here, ca, run):
    put(here, r"LocalMachine\Root", ca.certificate)
    here.trouble = Trouble(elevated=False)
    with pytest.raises(ScriptError, match="Access is denied"):
        run(here, rf"Remove-Item -LiteralPath '{ROOT}\{thumbprint(ca.certificate)}'")


def test_what_is_barred_is_not_trusted_whatever_else_is(holding, ca, leaf, run):
    build = (
        "$Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)",
        "$Chain.ChainPolicy.RevocationMode = 'NoCheck'",
        rf"$Chain.Build((Get-Item -LiteralPath '{MY}\{thumbprint(leaf.certificate)}'))",
    )
    assert run(holding, *build) == ["True"]
    put(holding, r"LocalMachine\Disallowed", ca.certificate)
    assert run(holding, *build) == ["False"]


# Private keys


def test_a_pfx_brings_the_leaf_alone_and_a_key_that_system_and_administrators_read(
    holding, leaf, run
):
    shown = f"@(Get-ChildItem -LiteralPath '{MY}') | ForEach-Object {{ $_.HasPrivateKey }}"
    assert run(holding, shown) == ["True"]
    assert holding.key(leaf.certificate) is not None
    acl = f"(Get-Acl -LiteralPath '{key_file(holding)}').Access.IdentityReference.Value"
    assert run(holding, acl) == ["S-1-5-18", "S-1-5-32-544"]


def test_an_old_windows_calls_the_password_of_an_aes_file_wrong(tmp_path, leaf, run):
    old = Computer(replace(REC, windows="Windows Server 2016"), tmp_path)
    with pytest.raises(ScriptError, match="network password is not correct"):
        run(old, *importing(pfx(old, leaf)), answers=[PASSWORD])
    run(old, *importing(pfx(old, leaf, TRIPLE_DES)), answers=[PASSWORD])
    assert old.key(leaf.certificate) is not None


@pytest.mark.parametrize(
    ("name", "answers", "why"),
    [
        ("leaf.pfx", ["another"], "network password is not correct"),
        ("leaf.pfx", [], "Nobody answers: Password"),
        ("leaf [1].pfx", [PASSWORD], "could not be found"),
    ],
)
def test_what_else_stops_an_import(here, leaf, run, name, answers, why):
    with pytest.raises(ScriptError, match=why):
        run(here, *importing(pfx(here, leaf, name=name)), answers=answers)


def test_windows_7_has_no_command_that_imports_a_pfx(tmp_path, leaf, run):
    seven = Computer(Host("pc", windows="Windows 7"), tmp_path)
    with pytest.raises(ScriptError, match="not recognized"):
        run(seven, *importing(pfx(seven, leaf, TRIPLE_DES)), answers=[PASSWORD])


def test_a_key_goes_with_its_certificate_only_where_that_is_said(holding, leaf, run):
    label = rf"{MY}\{thumbprint(leaf.certificate)}"
    path = key_file(holding)
    run(holding, f"Remove-Item -LiteralPath '{label}'")
    assert path.exists()
    run(holding, *importing(pfx(holding, leaf)), answers=[PASSWORD])
    run(holding, f"Remove-Item -LiteralPath '{label}' -DeleteKey")
    assert [*path.parent.iterdir()] == [path]


def test_keys_come_in_two_kinds_and_can_be_gone_or_shut(holding, leaf, run):
    get = (
        rf"$Certificate = Get-Item -LiteralPath '{MY}\{thumbprint(leaf.certificate)}'",
        "$Key = [System.Security.Cryptography.X509Certificates.RSACertificateExtensions]"
        "::GetRSAPrivateKey($Certificate)",
    )
    kind = "$Key -is [System.Security.Cryptography.RSACng]"
    path = key_file(holding)
    assert run(holding, *get, kind, "$Key.Key.UniqueName") == ["True", path.name]
    with holding.changed() as windows:
        windows["unreadable_keys"] = [path.name]
    with pytest.raises(ScriptError, match="Access is denied"):
        run(holding, *get)
    with holding.changed() as windows:
        windows["unreadable_keys"] = []
        windows["stores"][r"LocalMachine\My"][0]["capi"] = True
    with pytest.raises(ScriptError, match="Keyset does not exist"):
        run(holding, *get)
    old = holding.disk / "ProgramData/Microsoft/Crypto/RSA/MachineKeys" / path.name
    old.parent.mkdir(parents=True)
    shutil.move(path, old)
    name = "$Key.CspKeyContainerInfo.UniqueKeyContainerName"
    assert run(holding, *get, kind, name) == ["False", path.name]


def test_set_acl_clears_the_audit_and_set_access_control_does_not(holding, run):
    path = key_file(holding)
    relative = path.relative_to(holding.disk).as_posix()
    audit = [{"sid": "S-1-1-0", "rights": 1, "type": "Failure", "inherited": False}]
    with holding.changed() as windows:
        windows["acls"][relative]["audit"] = audit
    acl = (
        f"$Acl = [System.Security.AccessControl.FileSecurity]::new('{path}', 'Access')",
        "$Who = [System.Security.Principal.SecurityIdentifier]::new('S-1-5-20')",
        "$Rule = [System.Security.AccessControl.FileSystemAccessRule]::new($Who, 'Read', 'Allow')",
        "$Acl.AddAccessRule($Rule)",
    )
    run(holding, *acl, f"[System.IO.File]::SetAccessControl('{path}', $Acl)")
    assert holding.windows["acls"][relative]["audit"] == audit
    assert holding.windows["acls"][relative]["access"][-1]["sid"] == "S-1-5-20"
    run(holding, *acl, "$null = $Acl.RemoveAccessRule($Rule)",
        f"Set-Acl -LiteralPath '{path}' -AclObject $Acl")  # fmt: skip
    assert holding.windows["acls"][relative]["audit"] == []
    assert len(holding.windows["acls"][relative]["access"]) == 2


def test_a_windows_knows_its_accounts_by_the_names_of_its_own_language(here, run):
    sid = (
        "[System.Security.Principal.NTAccount]::new('{}')"
        ".Translate([System.Security.Principal.SecurityIdentifier]).Value"
    )
    assert run(here, sid.format(r"NT AUTHORITY\NETWORK SERVICE")) == ["S-1-5-20"]
    here.speak("fr")
    assert run(here, sid.format(r"AUTORITE NT\SERVICE RÉSEAU")) == ["S-1-5-20"]
    with pytest.raises(ScriptError, match="could not be translated"):
        run(here, sid.format(r"NT AUTHORITY\NETWORK SERVICE"))


def test_a_request_is_answered_where_its_key_waits_and_its_ca_is_trusted(here, ca, now, run):
    inf = here.disk / "request.inf"
    inf.write_bytes(request_inf(("rec", "::1")))
    req, cer = here.disk / "rec.req", here.disk / "rec.cer"
    run(here, f"certreq -new -q -machine '{inf}' '{req}'")
    csr = x509.load_pem_x509_csr(req.read_bytes())
    assert csr.is_signature_valid
    signed = ca.sign(csr, ("rec", "::1"), now).certificate
    cer.write_bytes(signed.public_bytes(Encoding.DER))
    accept = f"certreq -accept -q -machine '{cer}'"
    assert "0x800b0109" in " ".join(run(here, accept))
    put(here, r"LocalMachine\Root", ca.certificate)
    assert run(here, accept) == [""]
    assert here.key(signed) is not None
    assert "0x80092004" in " ".join(run(here, accept))


# Clock and settings


def test_waiting_takes_no_time_and_the_clock_goes_on(here, run):
    here.trouble = Trouble(clock=3600)
    began = time.monotonic()
    then, wait = "$Then = [System.DateTime]::UtcNow", "[System.Threading.Thread]::Sleep(600000)"
    assert run(here, then, wait, "([System.DateTime]::UtcNow - $Then).TotalMinutes") == ["10"]
    assert time.monotonic() - began < 30


def test_files_have_streams_and_the_registry_has_bytes(here, run):
    path = here.disk / "notify.ps1"
    path.write_text("")
    (here.disk / "notify.ps1:Zone.Identifier").write_text("[ZoneTransfer]")
    with here.changed() as windows:
        windows["registry"][r"HKEY_LOCAL_MACHINE\SYSTEM\RDP-Tcp"] = {"Hash": [1, 255]}
    assert run(
        here,
        f"[bool](Get-Item -LiteralPath '{path}' -Stream 'Zone.Identifier')",
        r"[Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SYSTEM\RDP-Tcp', 'Hash', $null)",
        r"$null -eq [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\None', 'Hash', 1)",
    ) == ["True", "1", "255", "True"]


@pytest.mark.parametrize("language", ["en", "fr", "de", "da"])
def test_netsh_tells_places_and_hashes_between_labels_of_its_language(here, run, language):
    bound = {"0.0.0.0:443": "AB" * 20, "[::]:9000": "CD" * 20, "vms.example.local:443": "EF" * 20}
    here.speak(language)
    with here.changed() as windows:
        windows["http"] = bound
    lines = run(here, "netsh http show sslcert")
    values = {line.partition(": ")[2] for line in lines}
    assert set(bound) <= values
    assert {label.lower() for label in bound.values()} <= values


# Server Configurator


def configure(arguments, wait="$Process.WaitForExit()"):
    return (
        "$Programs = Join-Path -Path $env:ProgramFiles -ChildPath '*\\Server Configurator\\*.exe'",
        "$Start = [System.Diagnostics.ProcessStartInfo]::new("
        f"(Get-ChildItem -Path $Programs).FullName, '/quiet {arguments}')",
        "$Process = [System.Diagnostics.Process]::Start($Start)",
        wait,
    )


def switching(group, certificate):
    label = thumbprint(certificate)
    return f"/enableencryption /certificategroup={GUID[group]} /thumbprint={label}"


CODE = "$Process.ExitCode"


@pytest.fixture
def ready(holding, leaf, run):
    """A recorder whose service may read the key, too."""
    relative = key_file(holding).relative_to(holding.disk).as_posix()
    with holding.changed() as windows:
        windows["acls"][relative]["access"].append({"sid": "S-1-5-20", "rights": 131209})
    return holding


def test_server_configurator_switches_and_services_restart(ready, leaf, run):
    on = configure(switching("streaming media", leaf.certificate))
    state = "(Get-CimInstance -ClassName Win32_Service).State"
    later = "[System.Threading.Thread]::Sleep(60000)"
    assert run(ready, *on, CODE, state, later, state) == ["0", "Stopped", "Running"]
    assert ready.used() == {"streaming media": thumbprint(leaf.certificate)}
    off = configure(f"/disableencryption /certificategroup={GUID['streaming media']}")
    assert run(ready, *off, CODE) == ["0"]
    assert run(ready, *off, CODE) == ["1"]
    assert ready.used() == {}


def test_what_is_installed_is_listed_and_programs_tell_their_version(tmp_path, run):
    listing = configure("/listcertificategroups")
    text = "$Process.StandardOutput.ReadToEndAsync().Result"
    version = "(Get-ChildItem -Path $Programs).VersionInfo.FileMajorPart"
    listed, major = run(Computer(ALL, tmp_path), *listing, text, version)
    assert [guid for guid in GUID.values() if guid not in listed] == []
    assert major == "25"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"busy": True}, "-4"), ({"stuck": True}, "10000"), ({"administrator": False}, "100")],
)
def test_what_server_configurator_answers_where_something_is_wrong(ready, leaf, run, change, code):
    with ready.changed() as windows:
        windows["xprotect"] |= change
    on = configure(switching("server", leaf.certificate))
    assert run(ready, *on, CODE) == [code]
    assert bool(ready.used()) == (code == "100")


def test_it_refuses_certificates_that_are_not_trusted_readable_or_there(holding, ca, leaf, run):
    on = configure(switching("server", leaf.certificate))
    assert run(holding, *on, CODE) == ["50"]
    with holding.changed() as windows:
        del windows["stores"][r"LocalMachine\Root"]
    assert run(holding, *on, CODE) == ["-4"]
    assert run(holding, *configure(switching("server", ca.certificate)), CODE) == ["-3"]
    assert run(holding, *configure("/what"), CODE) == ["-2"]


def test_an_answer_that_was_told_comes_and_binds_as_the_table_says(ready, leaf, run):
    on = configure(switching("server", leaf.certificate))
    for code, bound in (("-1", False), ("77", False), ("100000", True)):
        ready.trouble = Trouble(configurator=code)
        assert run(ready, *on, CODE) == [code]
        assert bool(ready.used()) == bound


def test_it_takes_its_time_and_leaves_services_stopped_and_files_half_written(ready, leaf, run):
    with ready.changed() as windows:
        (service,) = windows["services"]
        windows["xprotect"] |= {
            "seconds": 1200, "half_written": 20, "leaves_stopped": [service["name"]],
        }  # fmt: skip
    on = configure(switching("streaming media", leaf.certificate), "$Process.WaitForExit(300000)")
    config = ready.disk / "ProgramData/Milestone/XProtect Recording Server/RecorderConfig.xml"
    read = f"(Select-Xml -LiteralPath '{config}' -XPath '/*').Node.Name"
    try_read = f"try {{ {read} }} catch {{ 'half' }}"
    later = "[System.Threading.Thread]::Sleep(60000)"
    state = "(Get-CimInstance -ClassName Win32_Service).State"
    start = f"Start-Service -Name '{service['name']}'"
    wait = "$Process.WaitForExit(1200000)"
    said = run(ready, *on, wait, try_read, later, read, state, start, state)
    assert said == ["False", "True", "half", "recorderconfig", "Stopped", "Running"]


# Visits


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    job = open_job("13-trust-the-ca-on-clients", DATA / "sites" / "example.csv",
                       tmp_path_factory.mktemp("packed"))  # fmt: skip
    hand_over(job, "import")
    return job


@pytest.fixture
def prepare(packed):
    """Run install.ps1 of the recorder's folder; the password is typed unless others are."""

    def prepare(computer, answers=None, **more):
        script = packed.state().handed_over[REC.name] / "install.ps1"
        typed = [packed.secret("PFX")] if answers is None else answers
        return computer.visit(script, packed.at, typed, **more)

    return prepare


def files(computer):
    """Every file of a computer's disk, but for the inventory that a person took away."""
    found = {path for path in computer.disk.rglob("*") if path.is_file()} - {computer.state}
    return {path.relative_to(computer.disk).as_posix(): _content(path) for path in found}


def _content(path):
    """What a file says: the entries of a JSON file may come in any order."""
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return path.read_bytes()


def test_a_computer_that_really_dies_is_as_its_copy_before_that_change(prepare, tmp_path):
    ran = prepare(Computer(REC, tmp_path / "whole"), snapshots=tmp_path / "copies")
    assert ran.error is None
    half = next(n for n, what in enumerate(ran.changes, 1) if re.match("half .*before.json", what))
    for change in (1, half):
        dead = Computer(REC, tmp_path / f"dead-{change}")
        with pytest.raises(KilledError):
            prepare(dead, die_at=change)
        assert files(dead) == files(Computer(REC, tmp_path / "copies" / f"{change}"))


def test_what_if_changes_nothing_and_asks_for_no_password(here, prepare):
    before = files(here)
    ran = prepare(here, [], WhatIf=True)
    assert (ran.error, ran.asked, ran.changes) == (None, [], [])
    after = files(here)
    assert {name: after[name] for name in before} == before


def test_who_confirms_is_asked_for_each_change_and_may_say_no(here, prepare, packed):
    no = prepare(here, ["n"] * 9, Confirm=True)
    assert no.error is None
    assert len(no.asked) >= 2
    assert here.windows["stores"].get(r"LocalMachine\Root", []) == []
    yes = prepare(here, ["y", "y", packed.secret("PFX"), *["y"] * 9], Confirm=True)
    assert yes.error is None
    assert len(here.windows["stores"][r"LocalMachine\My"]) == 1


@pytest.mark.parametrize("culture", ["fr-FR", "de-DE", "da-DK", "th-TH", "ar-SA"])
def test_scripts_run_in_the_culture_of_the_person(here, prepare, culture):
    ran = prepare(here, culture=culture)
    assert ran.error is None


def test_a_folder_that_cannot_be_written_to_stays_as_it_is(here, prepare):
    here.trouble = Trouble(read_only=True)
    assert "is denied" in str(prepare(here).error)
    assert here.trouble != HEALTHY
    assert here.windows["stores"] == {}
