"""The commands, as a person types them: what they print, where results lie, how they exit."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
import typer
from command import vmscert, vmscert_process
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert import QUICK, create_authority
from vmscert.agenda.channels import notification_script
from vmscert.certificates.authority import thumbprint
from vmscert.cli import change
from vmscert.cli import main as cli
from vmscert.cli import printing as terminal
from vmscert.facts import DATA
from vmscert.network.servers import on_loopback
from vmscert.windows.scripts import script_inputs

EXAMPLE = DATA / "sites" / "example.csv"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal in which no table is folded."""
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "width", 200)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a CA, a good and an expired certificate, a PFX, and things that are neither."""
    folder = tmp_path_factory.mktemp("files")
    now = datetime.now(UTC)
    ca = create_authority("example VMS root", now, QUICK)
    good = ca.issue("vms-rec-01.example.local", "vms-rec-01", at=now)
    (folder / "ca.cer").write_bytes(ca.certificate.public_bytes(Encoding.DER))
    (folder / "good.pem").write_bytes(good.certificate.public_bytes(Encoding.PEM))
    (folder / "good.pfx").write_bytes(good.pfx("a good password"))
    (folder / "letter.cer").write_text("Dear colleague", encoding="utf-8")
    return folder


def test_rehearse_ends_in_verified_connections_and_names_the_folder(tmp_path):
    """With every way to a certificate: in a PFX, by a request here, at a public CA, at another."""
    text = EXAMPLE.read_text("utf-8").replace(",csr,", ",third party,")
    others = {",recording server,,,": "third party", ",failover recording server,,,": "csr"}
    for roles, way in others.items():
        text = text.replace(roles, f"{roles[:-1]}{way},", 1)
    (tmp_path / "site.csv").write_text(text, "utf-8")
    ran = vmscert_process("rehearse", "site.csv", "--json", "--folder", "out", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["verified"] is True
    assert {one["verdict"] for one in answer["connections"]} == {"verified"}
    wanted = {"client", "server", "name", "port", "group", "tls", "thumbprint", "verdict"}
    assert wanted <= set(answer["connections"][0])
    changes = {path.name[11:13] for path in (tmp_path / "out" / "changes").iterdir()}
    assert changes == {"11", "12", "13", "14", "15", "16", "17"}
    assert answer["files"] == str((tmp_path / "out").resolve())
    found = {}
    for name, folder in (("vms-mob-01", "Public CA"), ("vms-rec-01", "Company CA")):
        place = tmp_path / "out" / "simulated" / folder
        root = x509.load_der_x509_certificate((place / "ca.cer").read_bytes())
        assert "(rehearsal)" in root.subject.rfc4514_string()
        assert b"ENCRYPTED" in (place / "ca.key").read_bytes()
        held = (tmp_path / "out" / "servers" / name).glob("*.cer")
        mine = [x509.load_der_x509_certificate(one.read_bytes()) for one in held]
        assert {one.issuer for one in mine} == {root.subject}
        found[name] = {(one.not_valid_after_utc - one.not_valid_before_utc).days for one in mine}
    assert found == {"vms-mob-01": {199}, "vms-rec-01": {730}}


def test_a_rehearsal_that_is_stopped_is_not_verified(tmp_path):
    """Somebody made a folder where the table is kept."""
    out = tmp_path / "out"
    (out / "site.csv").mkdir(parents=True)
    ran = vmscert_process("rehearse", "--json", "--folder", out, folder=tmp_path)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["verified"] is False
    assert "11-create-the-ca-certificate: " in ran.stderr
    assert "Traceback" not in ran.stderr


def test_rehearse_tells_every_fault_of_a_table_and_makes_nothing(tmp_path):
    table = tmp_path / "lyon.csv"
    table.write_text("name;roles\nvms-01;recoding server\n;smart client\n", encoding="utf-8")
    ran = vmscert("rehearse", table, "--folder", tmp_path / "out", folder=tmp_path)
    assert ran.returncode == 2
    assert "lyon.csv, line 2: unknown role 'recoding server'. Did you mean" in ran.stderr
    assert "lyon.csv, line 3:" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["run", "12", "--set", "SITE=x.csv"], "--set SITE: give it as --site"),
        (["run", "12", "--set", "FOLDER=x"], "--set FOLDER: give it as --folder"),
        (["lab", "--site", "nowhere.csv"], "nowhere.csv is no file: name the site's table"),
    ],
)
def test_what_names_no_site_or_names_it_twice_is_told_before_anything_is_made(
    tmp_path, given, said
):
    ran = vmscert(*given, folder=tmp_path)
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_stops_with_one_line_where_a_precheck_fails(tmp_path):
    table = tmp_path / "lyon.csv"
    table.write_bytes(EXAMPLE.read_bytes())
    ran = vmscert_process(
        "run", "14", "--site", table, "--folder", tmp_path / "out", folder=tmp_path
    )
    assert ran.returncode == 1
    assert "Run 11-create-the-ca-certificate first" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_check_finds_nothing_wrong_with_a_good_certificate(files):
    ran = vmscert_process(
        "check", "good.pem", "--root", "ca.cer", "--name", "vms-rec-01", folder=files
    )
    assert (ran.returncode, "nothing found" in ran.stdout) == (0, True), ran.stdout + ran.stderr


def test_check_says_what_was_judged_and_is_never_fine_where_something_was_not(files, tmp_path):
    ran = vmscert("check", "good.pem", folder=files)
    assert ran.returncode == 0, ran.stdout
    assert "  judged: dates, names, key" in ran.stdout
    assert "not judged here: whom clients trust (name the CA with --root)" in ran.stdout
    netsh = tmp_path / "netsh.txt"
    label = thumbprint(x509.load_der_x509_certificate((files / "ca.cer").read_bytes()))
    app = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
    netsh.write_text(f"IP:Port : 0.0.0.0:9000\nHash : {label}\nId : {app}\n", "utf-8")
    alone = vmscert("check", netsh, "--json", folder=files)
    assert alone.returncode == 1
    (answer,) = json.loads(alone.stdout).values()
    assert [one["code"] for one in answer["findings"]] == ["not-judged"]
    assert answer["judged"] == ["what is in use where"]
    assert "not-judged" not in vmscert("check", netsh, "ca.cer", folder=files).stdout


def test_check_names_the_rule_that_a_wrong_name_breaks(files):
    ran = vmscert(
        "check", "good.pem", "--root", "ca.cer", "--name", "vms-rec-02", "--json", folder=files
    )
    assert ran.returncode == 1
    (answer,) = json.loads(ran.stdout).values()
    assert [finding["code"] for finding in answer["findings"]] == ["name-mismatch"]


def test_check_opens_a_pfx_with_a_password_that_is_on_no_command_line(files):
    ran = vmscert("check", "good.pfx", folder=files, VMSCERT_PFX_PASSWORD="a good password")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    wrong = vmscert("check", "good.pfx", folder=files, VMSCERT_PFX_PASSWORD="another password")
    assert wrong.returncode == 2
    assert "good.pfx: the password does not open it" in wrong.stderr


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("letter.cer", "letter.cer: it is no certificate"),
        ("nowhere.cer", "nowhere.cer can't be read"),
    ],
)
def test_check_says_one_sentence_about_what_is_no_certificate(files, path, sentence):
    ran = vmscert("check", path, folder=files)
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_check_reads_a_site_table_and_a_site_folder(site_folder):
    table = vmscert("check", EXAMPLE, folder=site_folder)
    assert table.returncode == 0
    folder = vmscert("check", site_folder, folder=site_folder)
    assert folder.returncode == 0, folder.stdout + folder.stderr


def test_check_asks_of_a_table_what_no_table_can_answer_and_finds_no_fault_in_that(tmp_path):
    ran = vmscert("check", EXAMPLE, folder=tmp_path)
    assert ran.returncode == 0
    assert "ask: vms-mob-01, vms-lpr-01: does the group 'Server certificate'" in ran.stdout
    assert "not made here: SQL Server: it encrypts on its own" in ran.stdout
    (answer,) = json.loads(vmscert("check", EXAMPLE, "--json", folder=tmp_path).stdout).values()
    assert answer["findings"] == []
    assert any("hot standby" in question for question in answer["ask"])
    assert any("federated sites" in one for one in answer["outside"])


def test_board_takes_back_what_people_brought_and_tells_who_goes_where(site_folder, tmp_path):
    copy = tmp_path / "site"
    shutil.copytree(site_folder, copy)
    (copy / "inventory" / "vms-pc-01.json").rename(tmp_path / "stick.json")
    ran = vmscert("board", "--site", EXAMPLE, "--folder", copy, "--json", folder=tmp_path)
    assert ran.returncode == 1
    first = json.loads(ran.stdout)[0]
    assert (first["computer"], first["lacks"]) == ("vms-pc-01", "no inventory came back")
    ran = vmscert("board", "stick.json", "--site", EXAMPLE, "--folder", copy, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "vms-pc-01: inventory of" in ran.stderr
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    ran = vmscert("board", "photo.jpg", "--site", EXAMPLE, "--folder", copy, folder=tmp_path)
    assert ran.returncode == 1
    assert "not kept: photo.jpg is something else" in ran.stderr


def test_roll_out_writes_a_folder_whole_and_never_into_another(site_folder, tmp_path):
    ran = vmscert("roll-out", EXAMPLE, "--folder", site_folder, "--to", "out", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "README.html" in ran.stdout
    sums = (tmp_path / "out" / "SHA256SUMS").read_text(encoding="utf-8").split()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert sorted([*sums[1::2], "SHA256SUMS"]) == names
    assert (tmp_path / "out" / "ca.cer").read_bytes() == (site_folder / "ca.cer").read_bytes()
    again = vmscert("roll-out", EXAMPLE, "--folder", site_folder, "--to", "out", folder=tmp_path)
    assert again.returncode == 2
    assert "not an empty folder" in again.stderr
    (tmp_path / "file").touch()
    below = vmscert("roll-out", EXAMPLE, "--folder", site_folder, "--to", "file/x", folder=tmp_path)
    assert below.returncode == 2
    assert below.stderr.endswith("Check the path and who may use it\n")
    absent = vmscert("roll-out", "absent.csv", "--to", "other", folder=tmp_path)
    assert (absent.returncode, absent.stderr.split(":")[0]) == (2, "absent.csv can't be read")


def test_check_finds_in_a_site_folder_what_only_the_inventories_tell(site_folder, tmp_path):
    """Here a clock that is wrong, and a Windows older than the PFX that was issued for it."""
    copy = tmp_path / "site"
    shutil.copytree(site_folder, copy)
    file = copy / "inventory" / "vms-rec-01.json"
    old = "Microsoft Windows Server 2016 Standard, build 14393"
    told = json.loads(file.read_text("utf-8")) | {"windows": old, "clock_offset": -900.0}
    file.write_text(json.dumps(told), "utf-8")
    ran = vmscert("check", copy, folder=tmp_path)
    assert ran.returncode == 1
    assert "clock-off" in ran.stdout
    assert "pfx-too-new-for-windows" in ran.stdout


def test_due_lists_the_ca_and_every_server_soonest_first(site_folder):
    ran = vmscert("due", site_folder, "--json", folder=site_folder)
    rows = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert rows[-1]["label"] == "CA"
    assert "vms-rec-01" in {row["label"] for row in rows}


def test_due_seen_from_next_year_finds_what_is_ending(site_folder):
    year = datetime.now(UTC).year + 1
    ran = vmscert("due", site_folder, "--on", f"{year}-12-31", folder=site_folder)
    assert ran.returncode == 1
    assert "expired" in ran.stdout or "critical" in ran.stdout


def test_due_mixes_sites_files_and_servers_and_never_takes_silence_for_health(files, site_folder):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{nobody.getsockname()[1]}"
        asked = ("due", site_folder, files / "good.pem", closed)
        ran = vmscert(*asked, "--json", folder=files)
        watched = vmscert(*asked, "--nagios", folder=files)
    rows = {row["label"]: row for row in json.loads(ran.stdout)}
    assert ran.returncode == 1
    assert rows["vms-rec-01.example.local"]["where"] == ["good.pem"]
    assert rows["vms-rec-01"]["owner"] == "IT operations"
    assert rows["127.0.0.1"]["status"] == "unknown"
    assert watched.returncode == 3
    assert watched.stdout.startswith("CERTIFICATES UNKNOWN - ")


def test_due_asks_a_server_what_it_serves(looked_at, tmp_path):
    place = f"127.0.0.1:{looked_at[1][1]}"
    ran = vmscert("due", place, "--json", folder=tmp_path)
    assert [row["where"] for row in json.loads(ran.stdout)] == [[f"served at {place}"]]


def test_due_is_a_time_machine(site_folder):
    year = datetime.now(UTC).year + 2
    ran = vmscert("due", site_folder, "--on", f"{year}-06-30", folder=site_folder)
    assert f"Dark on {year}-06-30" in ran.stdout
    assert "vms-rec-01 has been dark since" in ran.stdout
    now = vmscert("due", site_folder, folder=site_folder)
    assert "vms-rec-01 goes dark on" in now.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["nowhere.cer"], ["--on", "soon", "."], ["--odd", "."], ["x", "--timeout", "a"]],
)
def test_a_monitoring_system_gets_one_line_and_unknown_whatever_goes_wrong(
    monkeypatch, capsys, tmp_path, arguments
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vmscert", "due", *arguments, "--nagios"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert (ended.value.code, told.err) == (3, "")
    assert re.fullmatch(r"CERTIFICATES UNKNOWN - .+\n", told.out)


def test_due_writes_every_file_and_prints_what_is_asked_for_as_a_dash(site_folder, tmp_path):
    names = {"--ics": "a.ics", "--prometheus": "a.prom", "--csv": "a.csv", "--html": "a.html"}
    pairs = [part for pair in names.items() for part in pair]
    ran = vmscert("due", site_folder, *pairs, folder=tmp_path)
    assert ran.returncode == 0
    assert "days left" in ran.stdout
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    printed = vmscert("due", site_folder, "--csv", "-", folder=tmp_path)
    assert printed.stdout.encode() == (tmp_path / "a.csv").read_bytes().replace(b"\r\n", b"\n")


def test_due_mails_once_and_is_silent_then(site_folder, tmp_path):
    day = f"{datetime.now(UTC).year + 1}-12-01"
    asked = ("due", site_folder, "--mail", "--remember", "told.json", "--on", day)
    first, again = (vmscert(*asked, folder=tmp_path) for _ in range(2))
    assert first.stdout.startswith("Subject: Certificates: ")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (tmp_path / "told.json").write_text("[]")
    assert "no memory" in vmscert(*asked, folder=tmp_path).stderr


def test_due_logs_every_run_of_the_mail_also_one_that_could_not_look(site_folder, tmp_path):
    day = f"{datetime.now(UTC).year + 1}-12-01"
    asked = ("due", "--mail", "--remember", "told.json", "--log", "logs/due.log", "--on", day)
    for _ in range(2):
        vmscert(*asked, site_folder, folder=tmp_path)
    assert vmscert(*asked, "absent.csv", folder=tmp_path).returncode == 2
    told = (tmp_path / "logs" / "due.log").read_text("utf-8")
    first, again, failed = re.split(r"^(?=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ )", told, flags=re.M)[1:]
    assert "Subject: Certificates: " in first
    assert again.endswith("Z nothing new\n")
    assert "could not look: " in failed


class TestWatching:
    """What lets computers watch by themselves is written as a file, byte by byte."""

    def test_the_script_for_windows_is_written_as_windows_powershell_reads_it(self, tmp_path):
        ran = vmscert("due", "--windows", "new/notify.ps1", folder=tmp_path)
        assert (ran.returncode, ran.stdout) == (0, "")
        assert (tmp_path / "new" / "notify.ps1").read_bytes() == notification_script()
        assert "powershell -ExecutionPolicy Bypass" in ran.stderr

    def test_what_is_printed_says_that_a_file_is_right(self, tmp_path):
        for option in ("--windows", "--schedule"):
            ran = vmscert("due", EXAMPLE, option, "-", folder=tmp_path)
            assert ran.stdout
            assert "Name a file instead of -" in ran.stderr

    def test_the_daily_run_has_whole_paths_and_every_option(self, tmp_path):
        shutil.copy(EXAMPLE, tmp_path / "lyon.csv")
        more = ("--live", "--folder", "kept", "--remember", "told.json", "--log", "due.log")
        asked = ("due", "lyon.csv", "rec-01:7563", "--schedule", "daily", *more)
        assert vmscert(*asked, folder=tmp_path).returncode == 0
        line = (tmp_path / "daily").read_text("utf-8").splitlines()[-1]
        program, *words = shlex.split(line.removeprefix("0 7 * * * "))
        assert Path(program).is_absolute()
        assert words == [
            "due", f"{tmp_path}/lyon.csv", "rec-01:7563", "--live", "--folder", f"{tmp_path}/kept",
            "--mail", "--remember", f"{tmp_path}/told.json", "--log", f"{tmp_path}/due.log",
        ]  # fmt: skip

    def test_on_windows_the_daily_run_is_a_script_for_its_task_scheduler(self, tmp_path):
        program = mock.patch("vmscert.cli.due._own_program", return_value="C:\\kit\\vmscert.exe")
        with mock.patch.object(sys, "platform", "win32"), program:
            ran = vmscert("due", EXAMPLE, "--schedule", "schedule.ps1", folder=tmp_path)
        assert ran.returncode == 0
        inputs = script_inputs((tmp_path / "schedule.ps1").read_bytes())
        assert inputs["Program"] == "C:\\kit\\vmscert.exe"
        assert inputs["Log"] == f"{tmp_path}/vmscert-due.log"
        assert f'--log" "{inputs["Log"]}"' in inputs["Arguments"]

    @pytest.mark.parametrize(
        "more", [(), ("--schedule", "daily"), ("--schedule", "daily", "--windows", "notify.ps1")]
    )
    def test_without_a_site_there_is_nothing_to_look_at(self, tmp_path, more):
        ran = vmscert("due", *more, folder=tmp_path)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "nothing to look at: name sites' tables" in ran.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_site_that_is_not_there_is_told_before_anything_is_written(self, tmp_path):
        ran = vmscert("due", "absent.csv", "--schedule", "daily", folder=tmp_path)
        assert (ran.returncode, "absent.csv does not exist" in ran.stderr) == (2, True)
        assert not (tmp_path / "daily").exists()

    @pytest.mark.skipif(os.name == "nt", reason="there is no cron on Windows")
    def test_cron_runs_the_line_and_the_log_tells_of_it(self, site_folder, tmp_path):
        """As cron does it: sh, next to no environment, another folder, each % given back."""
        odd = tmp_path / "o'ps 100% $HOME"
        shutil.copytree(site_folder, odd / "site")
        program = odd / "vmscert"
        program.write_text(
            f"#!/bin/sh\nexec {sys.executable} -c "
            "'from vmscert.cli.main import main; main()' \"$@\"\n"
        )
        program.chmod(0o755)
        with mock.patch("shutil.which", return_value=str(program)):
            ran = vmscert("due", "site", "--schedule", "daily", folder=odd)
        assert ran.returncode == 0
        fields = (odd / "daily").read_text("utf-8").splitlines()[-1].split(" ", 5)
        assert fields[:5] == ["0", "7", "*", "*", "*"]
        command, environment = fields[5].replace("\\%", "%"), {"HOME": "/", "PATH": "/usr/bin:/bin"}
        ran = subprocess.run(
            ["/bin/sh", "-c", command], env=environment, cwd="/", capture_output=True, timeout=120
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
        assert (odd / "vmscert-due.log").read_text("utf-8").endswith("Z nothing new\n")
        assert (odd / "vmscert-told.json").exists()


def test_records_verify_finds_a_changed_line(site_folder, tmp_path):

    copy = tmp_path / "copy"
    shutil.copytree(site_folder, copy)
    assert vmscert("records", "verify", copy, folder=tmp_path).returncode == 0
    ledger = copy / "ledger.csv"
    ledger.write_bytes(ledger.read_bytes().replace(b"vms-rec-01", b"vms-rec-09", 1))
    ran = vmscert("records", "verify", copy, folder=tmp_path)
    assert ran.returncode == 1
    assert "ledger.csv, line" in ran.stderr


def test_a_folder_that_is_no_site_is_told_in_one_sentence(tmp_path):
    for command in (["records", "verify"], ["due"], ["check"]):
        ran = vmscert(*command, tmp_path, folder=tmp_path)
        assert ran.returncode == 2, command
        assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr


def test_an_unknown_runbook_names_those_that_exist(tmp_path):
    ran = vmscert("run", "42", folder=tmp_path)
    assert ran.returncode == 2
    assert "12-create-server-certificates" in ran.stderr


def test_a_file_where_the_records_belong_is_told_and_left_alone(tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear colleague", encoding="utf-8")
    ran = vmscert("rehearse", "--folder", letter, folder=tmp_path)
    assert ran.returncode == 2
    assert "letter.txt is a file: name a folder for the records" in ran.stderr.replace("\n", " ")
    assert letter.read_text(encoding="utf-8") == "Dear colleague"


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    """A root in a file, and ports: a good server, one with another name, one without TLS."""
    now = datetime.now(UTC)
    authority = create_authority("Lyon VMS root", now, QUICK)
    good = authority.issue("localhost", "127.0.0.1", at=now)
    other = authority.issue("other.lyon.local", at=now)
    root = tmp_path_factory.mktemp("root") / "ca.cer"
    root.write_bytes(authority.certificate.public_bytes(Encoding.DER))
    with on_loopback({1: good, 2: other, 3: None}) as ports:
        yield root, ports


def test_connect_shows_one_server(looked_at, tmp_path):
    root, ports = looked_at
    good = vmscert("connect", f"127.0.0.1:{ports[1]}", "--root", root, folder=tmp_path)
    assert (good.returncode, "nothing found" in good.stdout) == (0, True)
    bad = vmscert(
        "connect", f"https://127.0.0.1:{ports[2]}/", "--root", root, "--json", folder=tmp_path
    )
    told = json.loads(bad.stdout)
    assert (bad.returncode, told["trusted"], told["tls"]) == (1, False, "TLSv1.3")
    assert [finding["code"] for finding in told["findings"]] == ["name-mismatch"]
    plain = vmscert("connect", f"127.0.0.1:{ports[3]}", folder=tmp_path)
    assert (plain.returncode, "bad not-encrypted" in plain.stdout) == (1, True)
    unknown = vmscert("connect", f"127.0.0.1:{ports[1]}", folder=tmp_path)
    assert (unknown.returncode, "unjudged not-judged" in unknown.stdout) == (1, True)


def test_survey_shows_all_servers_and_writes_the_table(looked_at, tmp_path):
    root, ports = looked_at
    list_of_servers = tmp_path / "servers.txt"
    list_of_servers.write_text("\n".join(f"127.0.0.1:{port}" for port in ports.values()))
    table = tmp_path / "seen.csv"
    ran = vmscert("survey", list_of_servers, "--root", root, "--csv", table, folder=tmp_path)
    assert (ran.returncode, "1 of 3 endpoints verified." in ran.stdout) == (1, True)
    assert "name-mismatch: 1 endpoint" in ran.stdout
    assert len(table.read_text(encoding="utf-8-sig").splitlines()) == 4
    told = json.loads(
        vmscert("survey", list_of_servers, "--root", root, "--json", folder=tmp_path).stdout
    )
    assert {row["verdict"] for row in told["endpoints"]} == {
        *("verified", "name-mismatch", "not-encrypted")
    }


@pytest.mark.parametrize("given", [[], ["rec-01:70000"], ["10.0.0.0/4"]])
def test_survey_of_nothing_useful_is_one_sentence(given, tmp_path):
    ran = vmscert("survey", *given, folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.strip().splitlines()) == 1


def test_explain_takes_a_text_a_file_or_what_is_piped(tmp_path):
    text = "The remote certificate is invalid ...: RemoteCertificateNameMismatch"
    typed = vmscert("explain", text, folder=tmp_path)
    assert (typed.returncode, "1. name-mismatch" in typed.stdout) == (0, True)
    (tmp_path / "error.log").write_text(text, encoding="utf-8")
    read = vmscert("explain", "error.log", "--json", folder=tmp_path)
    assert json.loads(read.stdout)["causes"][0]["code"] == "name-mismatch"
    assert vmscert("explain", "-2146762487", folder=tmp_path).returncode == 0
    unknown = vmscert("explain", "nothing", "known", folder=tmp_path)
    assert (unknown.returncode, unknown.stdout.count("•")) == (1, 3)


def test_a_rehearsal_tells_of_names_that_some_clients_refuse(tmp_path, monkeypatch, capsys):
    table = tmp_path / "lyon.csv"
    table.write_text((DATA / "sites" / "example.csv").read_text("utf-8"), "utf-8")
    text = table.read_text("utf-8").replace("vms-rec-03", "vms_rec_03")
    table.write_text(text, "utf-8")
    monkeypatch.setattr(change, "_carry_out", lambda path, records: False)
    with pytest.raises(typer.Exit):
        change.rehearse(str(table), str(tmp_path / "records"), True)
    assert "vms_rec_03 contains an underscore" in " ".join(capsys.readouterr().err.split())
