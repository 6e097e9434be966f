"""What a Windows computer answers: what inventory.ps1 reads, writes, and how it is read back."""

import base64
import json
import re
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509

from vmscert.certificates.authority import QUICK, create_authority, thumbprint
from vmscert.windows.inventory import parse_inventory, read_inventory, write_inventory
from vmscert.windows.scripts import script
from vmscert.windows.stores import LogLine, Personal, Service, Stores

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
LABEL = "0123456789ABCDEF0123456789ABCDEF01234567"
SCRIPT = script("inventory", ComputerName="vms-rec-01", ClockSource="").decode("utf-8-sig")


@cache
def certificate(name: str = "vms-rec-01") -> x509.Certificate:
    return create_authority(name, AT, QUICK).certificate


def stores(**changes) -> Stores:
    """What a computer may answer, with something of everything."""
    held = Personal(certificate(), True, ("S-1-5-18", "EXAMPLE\\Jérôme"))
    label = thumbprint(certificate())
    return Stores(
        **{
            "host": "vms-rec-01",
            "at": AT,
            "windows": "Microsoft Windows Server 2022 Standard, build 20348",
            "root": (certificate("root"),),
            "personal": (held,),
            "user_personal": (Personal(certificate("user"), False),),
            "bindings": {"streaming media": label, "server": label},
            "third_party_root": (certificate("third"),),
            "user_root": (certificate("root"),),
            "intermediate": (certificate("middle"),),
            "disallowed": (certificate("bad"),),
            "https": {"0.0.0.0:9001": label, "[::]:443": LABEL},
            "services": (Service("MilestoneRS", "XProtect Rec\u00e9", "S-1-5-20", "Running"),),
            "names": ("VMS-REC-01", "vms-rec-01.example.local"),
            "addresses": ("10.10.0.21", "fe80::1"),
            "registered": {"recording server": "https://vms-mgmt-01:443/"},
            "clock_offset": -1.5,
            "clock_source": "vms-mgmt-01",
            "tls": {"TLS 1.2 Server": "on", "TLS 1.0 Server": "off"},
            "log": (LogLine("2026-11-23T11:59:00Z", "trust", "done", "it\u2019s there"),),
            **changes,
        }
    )


class TestInventory:
    def test_is_read_back_as_it_was_written(self, tmp_path):
        path = tmp_path / "vms-rec-01.json"
        path.write_bytes(write_inventory(stores()))
        assert read_inventory(path) == stores()

    def test_is_the_same_for_the_same_stores(self):
        other = stores(bindings=dict(sorted(stores().bindings.items())))
        assert write_inventory(stores()) == write_inventory(other)

    def test_has_the_keys_that_the_script_writes(self):
        """In the same order, so that files of both can be compared by eye."""
        data = json.loads(write_inventory(stores()))
        keys = re.findall(r"^    (\w+) = ", SCRIPT.split("$Inventory =")[1], re.MULTILINE)
        assert keys == list(data)
        assert keys_written_by("Get-Personal") == list(data["personal"][0])
        assert keys_written_by("Get-XProtectService") == list(data["services"][0])

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
    def test_is_read_in_every_encoding_of_powershell(self, encoding, tmp_path):
        path = tmp_path / "vms-rec-01.json"
        path.write_bytes(write_inventory(stores()).decode().encode(encoding))
        assert read_inventory(path) == stores()

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"vmscert_inventory": 3}, "version 3, not 2"),
            ({"host": ...}, "'host' is missing"),
            ({"host": None}, "'host' has the wrong value 'None'"),
            ({"host": 7}, "'host' has the wrong value '7'"),
            ({"host": "vms\u202e01"}, "U\\+202E"),
            ({"host": "vms\ud800"}, "U\\+D800"),
            ({"at": "yesterday"}, "'at': 'yesterday' is not a UTC time"),
            ({"at": "2026-11-23T12:00:00"}, "is not a UTC time"),
            ({"at": "0001-01-01T00:00:00+14:00"}, "is not a UTC time"),
            ({"root": 7}, "'root' has the wrong value '7'"),
            ({"root": ...}, "'root' is missing"),
            ({"root": "*"}, r"'root\[0\]': '\*' is no certificate that can be read"),
            ({"root": ["*"]}, r"'root\[0\]': '\*' is no certificate that can be read"),
            ({"root": [7]}, r"'root\[0\]' has the wrong value '7'"),
            ({"personal": ["x"]}, r"'personal\[0\]' has the wrong value 'x'"),
            ({"personal": [{"has_key": True, "readers": [7]}]}, r"\[0\].certificate' is missing"),
            ({"personal": [{"certificate": "", "has_key": True, "readers": []}]}, "no cert"),
            ({"personal": [{"certificate": "", "has_key": 1, "readers": []}]}, "_key' has"),
            ({"bindings": {"server": "12"}}, "'bindings.server': '12' is no thumbprint"),
            ({"bindings": []}, "'bindings' has the wrong value"),
            ({"https": {"0.0.0.0:443": None}}, "'https.0.0.0.0:443' has the wrong value"),
            ({"https": {"0\u202e:443": LABEL}}, "U\\+202E"),
            ({"disallowed": [7]}, r"'disallowed\[0\]' has the wrong value"),
            ({"services": ["x"]}, r"'services\[0\]' has the wrong value"),
            ({"services": [{"name": "x", "display": "", "account": None}]}, r"\[0\].account' has"),
            ({"names": [7]}, r"'names\[0\]' has the wrong value"),
            ({"addresses": ["10.0.0.1\u200b"]}, "U\\+200B"),
            ({"clock_offset": "1"}, "'clock_offset': '1' is no number of seconds"),
            ({"clock_offset": True}, "'True' is no number of seconds"),
            ({"clock_offset": float("nan")}, "'nan' is no number of seconds"),
            ({"clock_offset": -(10**400)}, "is no number of seconds"),
            ({"clock_offset": ...}, "'clock_offset' is missing"),
            ({"tls": {"TLS 1.2 Server": 1}}, "'tls.TLS 1.2 Server' has the wrong value '1'"),
            ({"log": [{}]}, r"'log\[0\]' has the wrong value"),
            ({"request": 0}, "'request' has the wrong value '0'"),
            ({"services": [dict.fromkeys(("name", "display", "account", "state"), "\u202e")]}, "U"),
        ],
    )
    def test_that_is_broken_is_refused_in_one_sentence(self, changes, reason, tmp_path):
        data = json.loads(write_inventory(stores())) | changes
        path = tmp_path / "vms-rec-01.json"
        path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))
        with pytest.raises(
            ValueError, match=rf"^vms-rec-01\.json: .*{reason}.*inventory\.ps1 there again$"
        ):
            read_inventory(path)

    def test_tells_every_place_that_is_wrong_and_of_many_the_first_five(self):
        wrong = json.loads(write_inventory(stores())) | {"host": 7, "names": ["a", 8]}
        wrong["personal"][0]["readers"].append(9)
        del wrong["windows"]
        told_of = (
            "'host' has the wrong value '7'; 'windows' is missing; "
            "'personal[0].readers[2]' has the wrong value '9'; 'names[1]' has the wrong value '8'"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(told_of)}$"):
            told(wrong)
        with pytest.raises(ValueError, match=r"'names\[1\]' has .*; and 3 more$"):
            told(wrong | {"addresses": [1, 2, 3, 4]})

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff\xff", b"[" * 100_000])
    def test_that_is_no_inventory_is_refused(self, data, tmp_path):
        path = tmp_path / "vms-rec-01.json"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"is not JSON|is not a complete inventory"):
            read_inventory(path)

    def test_of_the_version_before_is_read_and_nothing_is_assumed_of_the_rest(self):
        data = json.loads(write_inventory(stores()))
        older = ["host", "at", "windows", "root", "user_root", "personal", "user_personal"]
        first = {key: data[key] for key in (*older, "bindings")} | {"vmscert_inventory": 1}
        kept = {key: getattr(stores(), key) for key in (*older, "bindings")}
        assert told(first) == Stores(**kept)

    def test_may_write_a_list_of_none_or_one_as_powershell_does(self):
        """ConvertTo-Json unwraps what nobody kept in an array."""
        data = json.loads(write_inventory(stores()))
        for key in ("root", "personal", "names", "services", "log"):
            alone = data | {key: data[key][0]}
            assert len(getattr(told(alone), key)) == 1
            assert getattr(told(data | {key: None}), key) == ()
        data["personal"][0]["readers"] = "S-1-5-20"
        assert told(data).personal[0].readers == ("S-1-5-20",)

    def test_leaves_out_an_odd_certificate_that_windows_or_others_put_there(self):
        """One of hundreds that this kit can't read must not hide the rest."""
        data = json.loads(write_inventory(stores()))
        for key in ("third_party_root", "intermediate", "disallowed"):
            data[key].append(base64.b64encode(b"0").decode())
        assert told(data) == stores()

    def test_trusts_the_roots_of_both_stores_of_the_computer(self):
        assert stores().trusted == (certificate("root"), certificate("third"))

    def test_knows_of_no_clock_that_nobody_compared(self):
        assert told(json.loads(write_inventory(stores(clock_offset=None)))).clock_offset is None
        assert told(json.loads(write_inventory(stores(clock_offset=3)))).clock_offset == 3

    def test_tells_the_log_of_the_install_script_in_one_line_a_step(self):
        line = {
            "at": "1",
            "step": "trust",
            "result": "failed",
            "detail": "Access\r\n is\u200e denied",
        }
        data = json.loads(write_inventory(stores())) | {"log": [json.dumps(line), " "]}
        assert told(data).log == (LogLine("1", "trust", "failed", "Access is denied"),)

    @pytest.mark.parametrize("text", ['{"at": "1", "st', "[]", '{"at": 1}', "[" * 100_000])
    def test_keeps_a_line_of_the_log_that_a_stopped_run_left_half_written(self, text):
        data = json.loads(write_inventory(stores())) | {"log": [text]}
        assert told(data).log == (LogLine("", "", "unreadable", text),)

    def test_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="can't be read: No such file"):
            read_inventory(tmp_path / "nobody.json")


class TestScript:
    def test_finds_address_and_thumbprint_of_a_binding_in_any_language(self):
        """The two patterns of the script, tried here on the output of two Windows languages."""
        address, digest = re.findall(r"\$Line -match '(.*)'\)", SCRIPT)
        lines = [
            "    IP:port                      : 0.0.0.0:9000",
            f"    Hachage du certificat        : {LABEL.lower()}",
            "    ID de l'application          : {84430eb7-847c-422d-aa00-7915cd0d7a65}",
            "    Revocation Freshness Time    : 0",
            "    IP:port                      : [::]:9001",
            f"    Zertifikathash               : {LABEL}",
            "    Hostname:port                : vms-mgmt-01.example.local:443",
        ]
        found = [m[1] for line in lines if (m := re.search(address, line))]
        assert found == ["0.0.0.0:9000", "[::]:9001", "vms-mgmt-01.example.local:443"]
        assert [n for n, line in enumerate(lines) if re.search(digest, line)] == [1, 5]

    def test_writes_one_file_and_changes_nothing_else(self):
        assert SCRIPT.count("WriteAllText(") == 1
        deeds = re.findall(r"\b(?:Set|New|Remove|Add|Import|Start|Stop|Invoke)-\w+", SCRIPT)
        assert deeds == ["Set-StrictMode"]
        assert not re.search(r"\.(Add|Delete|SetValue|Export)\(", SCRIPT)

    def test_reads_no_private_key(self):
        """It asks for the key's object only to know whether it opens, and in which file it lies."""
        assert "Export" not in SCRIPT
        assert SCRIPT.count("GetRSAPrivateKey(") == 1
        assert re.findall(r"ReadAll\w+\(.*\)|Get-Content", SCRIPT) == [
            "ReadAllText($Path))",
            r"ReadAllText($Files.Event) -match '\b[0-9A-Fa-f]{40}\b')",
            "ReadAllLines($Log)",
            "ReadAllText($Request)",
        ]

    def test_reads_ports_where_the_products_keep_them_and_falls_back_to_the_usual_ones(self):
        for port in ("9001", "9000", "8082"):
            assert re.search(rf"Get-Setting .* -Default '{port}'", SCRIPT)


def told(data: dict) -> Stores:
    """What an inventory of this data says."""
    return parse_inventory(json.dumps(data).encode())


def keys_written_by(function: str) -> list[str]:
    """The keys of the one ordered table that a function of the script returns."""
    body = SCRIPT.split(f"function {function} ")[1].split("\r\n}")[0]
    return re.findall(r"^ +(\w+) = ", body.split("[ordered]@{")[1], re.MULTILINE)


def test_a_certificate_that_nobody_can_read_hides_no_other():
    told = json.loads(write_inventory(stores()))
    garbage = base64.b64encode(b"no certificate").decode()
    told["personal"].append({"certificate": garbage, "has_key": True, "readers": []})
    told["root"].append(garbage)
    found = parse_inventory(json.dumps(told).encode())
    assert (found.personal, found.root) == (stores().personal, stores().root)
    assert set(found.unread) == {"LocalMachine\\My", "LocalMachine\\Root"}
