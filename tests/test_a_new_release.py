"""A new release of XProtect or Windows is rows in `data/`, and not a line of code.

It brings a fifth certificate group, a component with a port of its own that serves it, a new kind
of client and two releases of Windows. A copy of package and tables gets the rows that data/README
asks for; then a process that sees this copy alone does the work of a whole site.
"""

import ast
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from powershell import offences
from pwsh import run
from site_tables import GUIDE_CLIENTS, HEADER

from vmscert.facts import facts

HOME = Path(__file__).parents[1]
PACKAGE = HOME / "vmscert"
GUID = "00000000-0000-4000-8000-000000000005"
SERVICE = "Milestone XProtect Analytics Server"
ROWS = {
    "xprotect/components": [
        {"role": "analytics server", "component": "Analytics Server", "kind": "server"}
        | {"service": SERVICE, "account": r"NT AUTHORITY\NETWORK SERVICE"}
        | {"serves_tls": "yes", "https": "yes"},
        {"role": "watch client", "component": "XProtect for watches", "kind": "client"}
        | {"serves_tls": "no", "https": "yes"},
    ],
    "xprotect/certificate-groups": [
        {"group": "analytics", "name": "Analytics certificate", "guid": GUID, "place": "4"}
        | {"switched_on": "analytics server", "names_it": "yes"},
    ],
    "xprotect/encryption-places": [
        {"place": "4", "between": "analytics server", "and": "its clients", "groups": "analytics"}
        | {"meaning": "what was seen"},
    ],
    "xprotect/connections": [
        {"client": client, "server": server, "port": port, "group": group, "place": place}
        | {"plain_port": port, "plain_tag": "G", "purpose": "new"}
        for client, server, port, group, place in [
            ("watch client", "management server", "443", "server", "1"),
            ("watch client", "recording server", "7563", "streaming media", "2"),
            ("watch client", "analytics server", "7890", "analytics", "4"),
            ("analytics server", "management server", "443", "server", "1"),
            ("analytics server", "recording server", "7563", "streaming media", "2"),
        ]
    ],
    "xprotect/encryption-order": [
        {"on": "6", "off": "6", "role": "analytics server", "why": "it asks the recorders"},
    ],
    "xprotect/switching": [
        {"switch": "on", "role": "analytics server", "group": "analytics"}
        | {"waits_for": "recording server", "breaks": "{host} would see nothing of {other}"},
    ],
    "xprotect/downtimes": [
        {"role": "analytics server", "minutes": "7", "stops": "what is seen in pictures"},
    ],
    "windows/releases": [
        {"release": "Windows Server 2031", "aliases": "2031", "kind": "server", "build": "31000"}
        | {"pfx": "AES-256", "pki": "yes"},
        {"release": "Windows 13", "aliases": "13", "kind": "client", "build": "31001"}
        | {"pfx": "AES-256", "pki": "yes"},
    ],
}
HOSTS = [
    "ms,lyon.local,vms,10.0.0.1,management server,,Windows Server 2022,,IT,",
    "rec-1,lyon.local,,10.0.0.2,recording server,,Windows Server 2022,,IT,",
    "ana-1,lyon.local,,10.0.0.3,analytics server,,Windows Server 2031,,IT,",
    "watch-1,lyon.local,,10.0.0.4,watch client,,Windows 13,,Guards,",
    "pc-1,lyon.local,,10.0.0.5,smart client,,Windows 11,,Guards,",
]
WORK = """
import json
from vmscert import Records, open_job
from vmscert.changes.errands import board
from vmscert.facts import DATA
from vmscert.pictures.site_map import group_colours, site_map
from vmscert.runbooks.visits import verify_site

Records("records").begin_rehearsal()
job = open_job("16-verify-the-site", "site.csv", "records")
told = {
    "data": str(DATA),
    "links": [[c.client, c.server, c.port, c.group] for c in job.site.connections],
    "verified": [[o.client, o.server, o.port, o.verdict] for o in verify_site(job)],
    "board": {one.computer: one.state for one in board(job)},
    "map": site_map(job.site).svg,
    "colours": group_colours(),
}
print(json.dumps(told))
"""


def add_rows(tables):
    for name, rows in ROWS.items():
        path = tables / f"{name}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file))
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            known = {"since": "2031 R1", "source": "release notes", "tag": "C"}
            for row in rows:
                writer.writerow({k: v for k, v in known.items() if k in columns} | row)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The kit of the new release: a copy of package and tables, with rows more."""
    place = tmp_path_factory.mktemp("new")
    for folder in ("vmscert", "data"):
        shutil.copytree(HOME / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    add_rows(place / "data")
    absent = sorted(GUIDE_CLIENTS - {"smart client"})
    lines = [HEADER, *HOSTS, f"none,,,,{'|'.join(absent)},,,,,"]
    (place / "site.csv").write_text("\n".join(lines), encoding="utf-8")
    return place


def python(home, code, *arguments):
    """What Python prints that sees this copy of the kit only."""
    environment = os.environ | {"PYTHONPATH": str(home), "PYTHONUTF8": "1", "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *arguments]
    ran = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, encoding="utf-8", timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def vmscert(home, *arguments):
    return python(home, "from vmscert.cli.main import main; main()", *arguments)


@pytest.fixture(scope="module")
def done(home):
    """What a site of the new release tells after runbooks 11 to 15 on simulated computers."""
    return json.loads(python(home, WORK))


@pytest.fixture(scope="module")
def folder(home, done):
    """What was carried to the new server to import its certificate and to encrypt."""
    *_, last = sorted((home / "records" / "hand-over" / "ana-1").iterdir())
    return last


def test_the_copy_was_asked_and_knows_who_calls_whom(home, done):
    assert done["data"] == str(home / "data")
    assert ["watch-1", "ana-1", 7890, "analytics"] in done["links"]
    assert {client for client, server, *_ in done["links"] if server == "rec-1"} == {
        "ms", "ana-1", "watch-1", "pc-1",
    }  # fmt: skip


def test_the_plan_has_the_new_server_in_its_place(home):
    steps = json.loads(vmscert(home, "plan", "site.csv", "--json"))
    assert [one["host"] for one in steps] == ["", "ms", "rec-1", "ana-1"]
    recorder, mine = steps[-2:]
    assert (mine["groups"], mine["ports"], mine["minutes"]) == (["analytics"], [7890], 7)
    assert recorder["number"] in mine["waits_for"]
    assert "ana-1 would see nothing of rec-1" in mine["too_early"]
    backwards = json.loads(vmscert(home, "plan", "site.csv", "--off", "--json"))
    assert [one["host"] for one in backwards][-1] == "ana-1"


def test_every_connection_is_verified_over_tls_and_the_board_says_so(done):
    met = {(client, server, port) for client, server, port, _ in done["verified"]}
    assert met == {(client, server, port) for client, server, port, _ in done["links"]}
    assert {verdict for *_, verdict in done["verified"]} == {"verified"}
    assert done["board"] == dict.fromkeys(("ms", "rec-1", "ana-1", "watch-1", "pc-1"), "verified")


def test_check_finds_nothing_wrong_with_table_and_folder(home, done):
    told = json.loads(vmscert(home, "check", "site.csv", "records", "--json"))
    assert told["site.csv"]["about"] == (f"a site of 5 computers, {len(done['links'])} connections")
    assert [one["findings"] for one in told.values()] == [[], []]


def test_the_map_draws_the_group_in_a_colour_of_its_own(done):
    colour = done["colours"]["analytics"]
    assert list(done["colours"].values()).count(colour) == 1
    assert f'fill="{colour}"' in done["map"]
    assert all(f">{words}<" in done["map"] for words in ("7890", "analytics"))


def test_the_new_server_gets_a_folder_with_its_group_and_a_page(folder):
    script = (folder / "install.ps1").read_text(encoding="utf-8-sig")
    assert all(
        text in script
        for text in (GUID, "'analytics'", SERVICE, "'2031 R1'", "Windows Server 2031")
    )
    assert "ana-1" in (folder / "README.html").read_text(encoding="utf-8")
    for path in folder.glob("*.ps1"):
        assert list(offences(path.read_bytes())) == []


def test_the_new_servers_scripts_are_powershell(folder, tmp_path, pwsh):
    """Real PowerShell parses each of them without an error."""
    look = tmp_path / "look.ps1"
    look.write_text(
        "param([string]$Folder)\n"
        "foreach ($File in Get-ChildItem $Folder -Filter *.ps1) {\n"
        "    $Errors = $null\n"
        "    $Parser = [System.Management.Automation.Language.Parser]\n"
        "    $null = $Parser::ParseFile($File.FullName, [ref]$null, [ref]$Errors)\n"
        "    '{0} {1}' -f $File.Name, $Errors.Count\n"
        "}\n",
        encoding="utf-8",
    )
    counted = dict(line.split() for line in run(look, folder, program=pwsh).splitlines())
    assert counted == dict.fromkeys(("install.ps1", "inventory.ps1", "undo.ps1"), "0")


def test_no_code_spells_a_role_or_a_certificate_group():
    words = {row["role"] for row in facts("xprotect/components")}
    words |= {row["group"] for row in facts("xprotect/certificate-groups")}
    words -= {"server"}  # a kind of certificate, too, and a side of TLS
    spelled = [
        f"{path.relative_to(HOME)}, line {node.lineno}: {node.value!r}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in words
    ]
    assert spelled == []
