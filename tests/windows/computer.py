"""A Windows computer on which the real scripts run, in place of `windows.simulated.Computer`.

Its disk is a folder: the files of Windows and XProtect, the folders that were carried there, and
windows.json with all that Windows keeps elsewhere. A copy of that folder is another computer.
"""

import base64
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from workers import Workers

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.facts import facts, release
from vmscert.site.site import Host
from vmscert.windows.inventory import read_inventory
from vmscert.windows.simulated import ScriptError
from vmscert.windows.stores import Stores, account, principal

WORKERS = Workers()
_COMPONENTS = {row["role"]: row for row in facts("xprotect/components")}
_PORT = {"server": ("9000", "9001", "8990", "22337"), "mobile streaming media": ("8082",)}
_LATEST = {"Windows 10": "Windows 10 22H2", "Windows 11": "Windows 11 24H2"}
_BINDS = {row["code"] for row in facts("windows/exit-codes") if row["ends"] != "not bound"}


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a computer, or with the person at it; nothing, unless said.

    `clock` is how many seconds its clock is ahead, `configurator` what Server Configurator answers,
    `busy` whether another one is running. `framework` is the release number of its .NET Framework,
    `denied_accounts` those whom an entry of the key file denies to read it, `constrained` a
    PowerShell that a policy leaves a part of its language, `system` a script that SYSTEM runs,
    `stopped` services that do not start again after encryption was switched.
    """

    elevated: bool = True
    read_only: bool = False
    name: str = ""
    windows: str = ""
    clock: int = 0
    password: str = ""
    unknown_accounts: tuple[str, ...] = ()
    configurator: str = "0"
    busy: bool = False
    framework: int = 528049
    denied_accounts: tuple[str, ...] = ()
    constrained: bool = False
    system: bool = False
    stopped: bool = False


HEALTHY = Trouble()


@dataclass(frozen=True)
class Ran:
    """How one run of a script ended; `changes` is what it did to the computer, in order."""

    output: list[str]
    warnings: list[str]
    errors: list[str]
    error: str | None
    exit: int
    shown: list[str]
    asked: list[str]
    changes: list[str]

    @property
    def told(self) -> tuple[int, str, str]:
        """Exit code, what the person sees, what went wrong."""
        return self.exit, "\n".join(self.shown), self.error or "\n".join(self.errors)


class Computer:
    """A computer as a host of a site's table describes it; made when it is first named."""

    def __init__(self, host: Host, disk: Path, trouble: Trouble = HEALTHY):
        self.host, self.trouble, self.disk = host, trouble, disk / host.name
        self.state = self.disk / "inventory.json"
        if not self.disk.exists():
            _make(host, self.disk)

    def stores(self, at: datetime) -> Stores:
        """Return what the last inventory that was brought back says."""
        if self.state.exists():
            return replace(read_inventory(self.state), at=at)
        return Stores(self.host.name, at, windows=self.trouble.windows or self.host.windows)

    def run(
        self,
        script: Path,
        at: datetime,
        password: str = "",
        phase: str = "Prepare",
        turn: int = 1,
        by_hand: Sequence[str] = (),
        out_of_turn: bool = False,
        whole: bool = False,
    ) -> None:
        """Run a script of a folder as a person would; ScriptError with what PowerShell prints."""
        if out_of_turn:
            self.trouble = replace(self.trouble, configurator="1")
        given: dict[str, Any] = (
            {"Phase": phase, "Turn": str(turn)} if script.stem in ("install", "undo") else {}
        )
        given |= {"All": True} if whole else {}
        given |= {"ByHand": ", ".join(by_hand)} if by_hand else {}
        typed = self.trouble.password or password
        ran = self.visit(script, at, [typed] if typed else [], **given)
        if ran.error is not None:
            raise ScriptError(ran.error)

    def visit(
        self,
        script: Path,
        at: datetime,
        answers: Sequence[str] = (),
        culture: str = "en-US",
        snapshots: Path | None = None,
        snapshot_at: int = 0,
        die_at: int = 0,
        **parameters: str | bool,
    ) -> Ran:
        """Carry the folder of a script here, run the script in it, and bring the inventory back.

        `answers` are what the person types, one after the other. With `snapshots` a copy of the
        computer as a power failure before change n would leave it is kept in <snapshots>/<n>, of
        each change or of `snapshot_at`; with `die_at` the process really ends there.
        """
        here = self._carried(script)
        said = {"script": str(here), "parameters": parameters}
        try:
            kill = (snapshots, snapshot_at, die_at)
            return self._ask(said, at, answers, culture, kill, here.parent)
        finally:
            brought = here.parent / f"{self.host.name}.json"
            if brought.exists():
                shutil.copy(brought, self.state)

    def powershell(
        self, command: str, at: datetime, answers: Sequence[str] = (), culture: str = "en-US"
    ) -> Ran:
        """Run a text of PowerShell on this computer."""
        return self._ask({"command": command}, at, answers, culture, (None, 0, 0), self.disk)

    def _ask(
        self, said: dict[str, Any], at: datetime, answers: Sequence[str], culture: str,
        kill: tuple[Path | None, int, int], folder: Path,
    ) -> Ran:  # fmt: skip
        snapshots, snapshot_at, die_at = kill
        caption, build = _windows(self.trouble.windows) if self.trouble.windows else ("", 0)
        visit = {
            "disk": str(self.disk), "folder": str(folder), "host": self.disk.name,
            "at": at.isoformat(),
            "snapshots": str(snapshots or ""), "snapshot_at": snapshot_at, "die_at": die_at,
            "caption": caption, "build": build,
            "name": self.trouble.name, "ahead": self.trouble.clock,
            "elevated": self.trouble.elevated, "read_only": self.trouble.read_only,
            "unknown_accounts": [_sid(one) for one in self.trouble.unknown_accounts],
            "denied_accounts": [_sid(one) for one in self.trouble.denied_accounts],
            "answer": int(self.trouble.configurator), "binds": self.trouble.configurator in _BINDS,
            "busy": self.trouble.busy, "stopped": self.trouble.stopped,
            "system": self.trouble.system, "constrained": self.trouble.constrained,
            "framework": self.trouble.framework % HEALTHY.framework,
        }  # fmt: skip
        asked = {"visit": visit, "answers": list(answers), "culture": culture}
        return Ran(**WORKERS.ask(asked | said, self.disk))

    def _carried(self, script: Path) -> Path:
        """The script in this computer's copy of its folder, with what earlier runs left there."""
        here = self.disk / "carried" / script.parent.name
        here.mkdir(parents=True, exist_ok=True)
        left = {"log.jsonl", "before.json", f"{self.host.name}.json", f"{self.host.name}.req"}
        for path in here.iterdir():
            if path.name not in left:
                path.unlink()
        for path in script.parent.iterdir():
            if path.is_file():
                shutil.copy(path, here)
        return here / script.name

    @contextmanager
    def changed(self) -> Iterator[dict[str, Any]]:
        """Change what Windows holds: windows.json, as machine.cs describes it."""
        path = self.disk / "windows.json"
        windows = json.loads(path.read_bytes())
        yield windows
        path.write_text(json.dumps(windows, indent=1), encoding="utf-8")

    def speak(self, language: str) -> None:
        """Let this be a Windows of another language: "fr", "de" or "da"."""
        with self.changed() as windows:
            windows["language"] = language
            domain = {k: v for k, v in windows["accounts"].items() if v.startswith("S-1-5-21-")}
            windows["accounts"] = _accounts(language) | domain

    @property
    def windows(self) -> dict[str, Any]:
        """What Windows holds, to look at."""
        return json.loads((self.disk / "windows.json").read_bytes())

    def pfx(self, label: str) -> Path:
        """Return a place where no PFX lies: Windows keeps the key, and gives it away to nobody."""
        return self.disk / f"{label}.pfx"

    def key(self, certificate: x509.Certificate) -> RSAPrivateKey | None:
        """Return the private key that this computer has for a certificate."""
        return self.key_of(certificate.public_key())

    def key_of(self, public: object) -> RSAPrivateKey | None:
        """Return the private key that this computer has for a public one."""
        files = (self.disk / "ProgramData" / "Microsoft" / "Crypto").rglob("*_*")
        keys = (load_pem_private_key(path.read_bytes(), None) for path in files)
        found = next((key for key in keys if key.public_key() == public), None)
        return found if isinstance(found, RSAPrivateKey) else None

    def used(self) -> dict[str, str]:
        """Return certificate group → thumbprint that is really used, whatever a script can see."""
        windows = self.windows
        recorder = self.disk / "ProgramData/Milestone/XProtect Recording Server/RecorderConfig.xml"
        found = {"event server": windows["xprotect"]["event"].get("certificate", "")}
        for group, ports in _PORT.items():
            on = (windows["http"].get(f"0.0.0.0:{port}", "") for port in ports)
            found[group] = next(filter(None, on), "")
        if recorder.exists():
            element = ElementTree.parse(recorder).find("webserver/encryption")
            assert element is not None
            on = element.attrib["enabled"] == "true"
            found["streaming media"] = element.attrib["certificateHash"].upper() if on else ""
        return {group: label for group, label in found.items() if label}

    def served(self) -> dict[int, Issued | None]:
        """Return port → what a client finds there."""
        used, stores = self.used(), self.windows["stores"]
        above = tuple(map(_decoded, stores.get(r"LocalMachine\CA", [])))
        held = {thumbprint(one): one for one in map(_decoded, stores.get(r"LocalMachine\My", []))}
        opened = {label: Issued(one, self.key(one), above) for label, one in held.items()}
        return {port: opened.get(used.get(group, "")) for port, group in self.host.ports}


def encoded(certificate: x509.Certificate) -> str:
    """Return a certificate as windows.json holds it."""
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _decoded(held: dict[str, Any]) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(held["der"]))


def _make(host: Host, disk: Path) -> None:
    """Install Windows and the XProtect components of this host's roles."""
    servers = [role for role in host.roles if _COMPONENTS[role]["serves_tls"] == "yes"]
    caption, build = _windows(host.windows or ("Windows Server 2022" if servers else "Windows 11"))
    windows = {
        "name": host.name[:15].upper(), "dns_name": host.name, "domain": host.domain,
        "caption": caption, "build": build, "addresses": list(host.addresses),
        "user": r"EXAMPLE\installer", "user_sid": _sid(r"EXAMPLE\installer"),
        "missing_commands": ["Import-PfxCertificate"] if build < 9200 else [],
        "accounts": _accounts("en") | {one: _sid(one) for one in host.accounts},
        "registry": {
            rf"HKEY_LOCAL_MACHINE\SOFTWARE\{key}": values
            for key, values in _registry(host.roles).items()
        },
        "services": [_service(host, role) for role in servers],
        "xprotect": {"components": servers, "event": {}},
        "stores": {}, "http": {},
    }  # fmt: skip
    for path, text in _files(host.roles, bool(servers)).items():
        (disk / path).parent.mkdir(parents=True, exist_ok=True)
        (disk / path).write_text(text, encoding="utf-8")
    disk.mkdir(parents=True, exist_ok=True)
    (disk / "windows.json").write_text(json.dumps(windows, indent=1), encoding="utf-8")


def _files(roles: Sequence[str], server: bool) -> dict[str, str]:
    """The files of XProtect; where each lies and what it says is Milestone's."""
    milestone, found = "ProgramData/Milestone", {}
    if server:
        found["Program Files/Milestone/Server Configurator/ServerConfigurator.exe"] = "25.3.1.1"
    if {"recording server", "failover recording server"} & set(roles):
        found[f"{milestone}/XProtect Recording Server/RecorderConfig.xml"] = """<recorderconfig>
  <server><address></address><authorizationserveraddress></authorizationserveraddress></server>
  <webapi><port>9001</port></webapi>
  <serverEncryption enabled="false" certificateHash="" />
  <webserver><port>7563</port><encryption enabled="false" certificateHash="" /></webserver>
</recorderconfig>
"""
    if "management server" in roles:
        found[f"{milestone}/XProtect Management Server/ServerConfig.xml"] = """<server>
  <WebApiConfig><Port>9000</Port><AuthorizationServerUri></AuthorizationServerUri></WebApiConfig>
</server>
"""
    if "event server" in roles:
        found[f"{milestone}/XProtect Event Server/config/ServiceEndpoints.xml"] = (
            "<ServiceEndpoints><CertificateEnabled>false</CertificateEnabled></ServiceEndpoints>\n"
        )
    if "mobile server" in roles:
        found["Program Files/Milestone/XProtect Mobile Server/"
              "VideoOS.MobileServer.Service.exe.config"] = """<configuration>
  <ManagementServer><Address><add key="Ip" value="" /></Address></ManagementServer>
  <HttpSecureMetaChannel><Address><add key="Port" value="8082" /><add key="Ip" value="+" />
  </Address></HttpSecureMetaChannel>
</configuration>
"""  # fmt: skip
    return found


def _registry(roles: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        r"Microsoft\NET Framework Setup\NDP\v4\Full": {"Release": 528049}
    }
    if "management server" in roles:
        found[r"VideoOS\Installation\Server"] = {"WebSitePort": 80, "WebSiteSecurePort": 443}
    if "mobile server" in roles:
        folder = "<disk>/Program Files/Milestone/XProtect Mobile Server"
        found[r"WOW6432Node\Milestone\XProtect Mobile Server"] = {"INSTALLATIONFOLDER": folder}
    return found


def _service(host: Host, role: str) -> dict[str, str]:
    name = _COMPONENTS[role]["service"]
    start = host.account or _COMPONENTS[role]["account"]
    return {"name": name, "display_name": name, "start_name": start, "sid": _sid(host.accounts[0])}


def _accounts(language: str) -> dict[str, str]:
    """The names that a Windows of this language has for its own accounts."""
    rows = (row for row in facts("windows/accounts") if row["language"] == language)
    return {rf"{row['authority']}\{row['name']}": row["sid"] for row in rows}


def _sid(name: str) -> str:
    """The SID of an account, well known or made from its name."""
    known = principal(name)
    made = f"S-1-5-21-1004336348-1177238915-682003330-{zlib.crc32(account(name).encode())}"
    return known if known.startswith("S-1-") else made


def _windows(text: str) -> tuple[str, int]:
    """What Windows says of itself: name and build."""
    row = release(_LATEST.get(release(text)["release"], text))
    return f"Microsoft {row['release']}", int(row["build"])
