"""Runs the kit's scripts on a real Windows, and looks with Windows' own tools at what they did.

    python tests/windows/real_windows.py powershell
    python tests/windows/real_windows.py pwsh

It changes the certificate stores, key files and HTTPS bindings of the computer on which it runs:
start it as administrator, on one that is thrown away, such as a build server's. A job of
.github/workflows/tests.yml does. It has been run nowhere yet: whoever reads its first output, trust
neither side before you have understood a difference.
"""

import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.site.site import Host
from vmscert.windows.folder import Load, pack
from vmscert.windows.inventory import read_inventory
from vmscert.windows.scripts import quote

PASSWORD = "VMSCERT_PFX_PASSWORD"
# What asks for a password without showing it, asks the console, whatever stands at its input; a
# build server has none. A function is found before the command of its name.
TYPED = f"""function Read-Host {{
    $Typed = [System.Security.SecureString]::new()
    foreach ($Sign in $env:{PASSWORD}.ToCharArray()) {{ $Typed.AppendChar($Sign) }}
    $Typed
}}
"""
CONFIGURATION = """<recorderconfig>
  <webapi><port>9001</port></webapi>
  <webserver><port>7563</port><encryption enabled="false" certificateHash="" /></webserver>
</recorderconfig>
"""


def server_load(name: str, at: datetime, password: str) -> Load:
    """What is carried to a recording server of this name."""
    host = Host(name, roles=("recording server",))
    ca = create_authority(f"{name} root {at:%Y-%m-%d %H:%M}", at, QUICK)
    issued = ca.issue(*host.issued_names, at=at)
    return Load(
        host,
        "real-windows",
        at,
        roots=(ca.certificate,),
        certificate=issued.certificate,
        pfx=issued.pfx(password),
        switch_on=(host.groups,),
        switch_off=(host.groups[::-1],),
    )


def command(program: str, script: Path, *arguments: str, typed: bool = False) -> list[str]:
    """The command line of one run; with `typed`, the password of the environment is typed in."""
    start = [program, "-NoProfile", "-ExecutionPolicy", "Bypass"]
    if not typed:
        return [*start, "-File", str(script), *arguments]
    call = " ".join(("&", quote(str(script)), *arguments))
    return [*start, "-Command", f"{TYPED}{call}; exit $LASTEXITCODE"]


def run(*words: str, secret: Mapping[str, str] | None = None) -> str:
    """Return what a program prints; the end of everything where it fails."""
    done = subprocess.run(
        words,
        env=os.environ | (secret or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    text = done.stdout.decode(errors="replace")
    print(f"> {words[0]} {words[-1]}\n{text}", flush=True)
    if done.returncode:
        sys.exit(f"{words[0]} ended with {done.returncode}")
    return text


class Computer:
    """This computer: what Windows' own tools say that it holds."""

    def __init__(self, program: str, load: Load):
        self.program, self.load = program, load
        self._data = Path(os.environ["PROGRAMDATA"])
        self.configuration = self._data / "Milestone/XProtect Recording Server/RecorderConfig.xml"

    def install_configurator(self) -> None:
        """Put the program that plays Server Configurator where the scripts look for it."""
        folder = Path(os.environ["PROGRAMFILES"], "Milestone/Server Configurator")
        folder.mkdir(parents=True)
        framework = Path(os.environ["SYSTEMROOT"], "Microsoft.NET/Framework64/v4.0.30319")
        source = Path(__file__).with_name("ServerConfigurator.cs")
        out = folder / "ServerConfigurator.exe"
        run(str(framework / "csc.exe"), "/nologo", f"/out:{out}", str(source))
        self.configuration.parent.mkdir(parents=True)
        self.configuration.write_text(CONFIGURATION, "utf-8")

    def held(self, store: str) -> set[str]:
        """Those of the folder's certificates that a store of the computer holds."""
        text = re.sub(r"\s", "", run("certutil", "-store", store)).upper()
        ours = (*self.load.roots, self.load.certificate)
        return {label for one in ours if one and (label := thumbprint(one)) in text}

    def key_files(self) -> set[Path]:
        """Every file with a private key of the computer."""
        places = ("Keys", "RSA/MachineKeys")
        return {one for p in places for one in (self._data / "Microsoft/Crypto" / p).iterdir()}

    def may_read(self, file: Path, account: str) -> bool:
        """Whether the access list of a file names an account, by its short name of SDDL."""
        ask = f"(Get-Acl -LiteralPath {quote(str(file))}).Sddl"
        return f";;;{account})" in run(self.program, "-NoProfile", "-Command", ask)

    def state(self) -> dict[str, Any]:
        """All that the scripts may change."""
        return {
            **{store: self.held(store) for store in ("My", "Root", "CA", "Disallowed")},
            "keys": self.key_files(),
            "https": run("netsh", "http", "show", "sslcert"),
            "configuration": self.configuration.read_text("utf-8"),
        }


def expect(holds: bool, sentence: str) -> None:
    """Say what was seen; the end of everything where it was not."""
    if not holds:
        sys.exit(f"NOT SO: {sentence}")
    print(f"SEEN: {sentence}", flush=True)


def rehearse(program: str, folder: Path) -> None:
    """Carry a folder to this computer, follow it to its end, and back."""
    secret = {PASSWORD: secrets.token_urlsafe(16)}
    load = server_load(
        socket.gethostname().lower(), datetime.now(UTC).replace(microsecond=0), secret[PASSWORD]
    )
    for name, data in pack(load).items():
        (folder / name).write_bytes(data)
    computer, ours = Computer(program, load), thumbprint(load.certificate or load.roots[0])
    computer.install_configurator()
    before = computer.state()

    run(*command(program, folder / "install.ps1", "-WhatIf"))
    expect(computer.state() == before, "install.ps1 -WhatIf changes nothing")

    run(*command(program, folder / "install.ps1", typed=True), secret=secret)
    prepared = computer.state()
    expect(prepared["Root"] == {thumbprint(load.roots[0])}, "the CA is trusted")
    expect(prepared["My"] == {ours}, "the certificate is in LocalMachine\\My")
    keys = prepared["keys"] - before["keys"]
    expect(len(keys) == 1, "one private key was brought")
    expect(all(computer.may_read(key, "NS") for key in keys), "NETWORK SERVICE may read it")

    run(*command(program, folder / "install.ps1"))
    expect(computer.state() == prepared, "a second run changes nothing and asks for no password")

    run(*command(program, folder / "install.ps1", "-Phase", "Encrypt"))
    encrypted = computer.state()
    expect(ours.lower() in encrypted["https"].lower(), "Windows serves HTTPS with the certificate")
    expect(ours in encrypted["configuration"], "the recording server was given the certificate")

    run(*command(program, folder / "inventory.ps1"))
    told = read_inventory(folder / f"{load.host.name}.json")
    held = next((one for one in told.personal if thumbprint(one.certificate) == ours), None)
    expect(held is not None and held.readable_by("S-1-5-20"), "the inventory tells who may read")
    expect({*told.bindings.values()} == {ours}, "the inventory tells what the groups use")
    expect({*told.bindings} == {*load.host.groups}, "the inventory tells of both groups")

    run(*command(program, folder / "undo.ps1", "-WhatIf"))
    expect(computer.state() == encrypted, "undo.ps1 -WhatIf changes nothing")

    run(*command(program, folder / "undo.ps1"))
    expect(computer.state() == before, "after undo.ps1 all is as before")


if __name__ == "__main__":
    rehearse(sys.argv[1], Path(mkdtemp()))
