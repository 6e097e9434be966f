"""What happens on real computers, one by one: the scripts say what is so, and harm nothing."""

import json
import re
import shutil
from dataclasses import replace

import one
import pytest
from bench import apart, at, held, labelled
from computer import Computer, Trouble, encoded
from one import LATER, PASSWORD, SERVER, SERVICE

pytestmark = pytest.mark.usefixtures("windows")

FIRST, SECOND = one.label(SERVER), one.label(SERVER, 1)
MILESTONE = "ProgramData/Milestone"
RECORDER = f"{MILESTONE}/XProtect Recording Server/RecorderConfig.xml"
EVENT = f"{MILESTONE}/XProtect Event Server/config/ServiceEndpoints.xml"
MANAGEMENT = f"{MILESTONE}/XProtect Management Server/ServerConfig.xml"
NOTES = "ProgramData/vmscert/before.json"
SOFTWARE = r"HKEY_LOCAL_MACHINE\SOFTWARE"
PROGRAM = "Program Files/Milestone/Server Configurator/ServerConfigurator.exe"


def write(computer, path, text):
    (computer.disk / path).parent.mkdir(parents=True, exist_ok=True)
    (computer.disk / path).write_text(text, encoding="utf-8")


def edit(computer, path, old, new):
    text = (computer.disk / path).read_text(encoding="utf-8")
    assert old in text
    write(computer, path, text.replace(old, new))


def cut_short(computer, path):
    text = (computer.disk / path).read_text(encoding="utf-8")
    write(computer, path, text[: len(text) // 2])


def inventory(bench, computer):
    """What the inventory says now."""
    ran = bench.visit(computer, "inventory")
    assert ran.error is None
    return json.loads(computer.state.read_bytes())


def key_file(computer, label=FIRST):
    """The file of a private key, on the disk and in windows.json."""
    mine = computer.windows["stores"][r"LocalMachine\My"]
    name = next(one["key"] for one in mine if label.startswith(labelled(one["der"])))
    path = computer.disk / "ProgramData/Microsoft/Crypto/Keys" / name
    return path, path.relative_to(computer.disk).as_posix()


def rules(computer, kind):
    return computer.windows["acls"][key_file(computer)[1]][kind]


def off_by_hand(computer, *groups):
    """Somebody switches these groups off in the window of Server Configurator."""
    with computer.changed() as windows:
        if "server" in groups:
            windows["http"] = {}
            edit(computer, RECORDER, 'serverEncryption enabled="true"',
                 'serverEncryption enabled="false"')  # fmt: skip
        if "event server" in groups:
            windows["xprotect"]["event"] = {}
            edit(computer, EVENT, "true", "false")


# What is in use


@pytest.mark.parametrize(
    ("path", "group"), [(RECORDER, "server"), (EVENT, "event server")], ids=["recorder", "event"]
)
def test_a_broken_file_is_unknown_for_its_group_with_the_reason_and_the_rest_is_read(
    bench, path, group
):
    here = bench.after("encrypt")
    cut_short(here, path)
    told = inventory(bench, here)
    other = ({"server", "event server"} - {group}).pop()
    assert told["bindings"][group] == "unknown"
    assert told["unread"][group]
    assert other not in told["unread"]
    assert told["bindings"][other] in (FIRST, "unknown")


def test_a_drive_that_is_gone_is_told_and_keeps_nothing_else_from_being_read(bench):
    here = bench.after("encrypt")
    with here.changed() as windows:
        windows["registry"][rf"{SOFTWARE}\WOW6432Node\Milestone\XProtect Mobile Server"] = {
            "INSTALLATIONFOLDER": "<disk>/gone/Mobile Server"
        }
    told = inventory(bench, here)
    assert told["bindings"]["mobile streaming media"] == "unknown"
    assert "is not there" in told["unread"]["mobile streaming media"]
    assert told["bindings"]["server"] == FIRST


def test_a_file_that_is_half_written_for_a_while_is_waited_for(bench):
    here = bench.before("encrypt")
    with here.changed() as windows:
        windows["xprotect"]["half_written"] = 40
    assert bench.visit(here, "encrypt").error is None
    assert here.used() == {"server": FIRST, "event server": FIRST}


def test_a_group_that_cannot_be_read_is_not_switched(bench):
    here = bench.before("encrypt")
    cut_short(here, RECORDER)
    used = here.windows["http"]
    error = bench.visit(here, "encrypt").error
    assert "What server uses now can not be read" in error
    assert here.windows["http"] == used


def test_off_with_a_hash_left_is_off(bench):
    here = bench.after("encrypt")
    off_by_hand(here, "server")
    assert "server" not in inventory(bench, here)["bindings"]


def test_where_two_places_differ_nobody_knows_and_both_are_named(bench):
    here = bench.after("encrypt")
    with here.changed() as windows:
        windows["http"]["0.0.0.0:9001"] = SECOND
    told = inventory(bench, here)
    assert told["bindings"]["server"] == "unknown"
    assert FIRST in told["told_by"]["server"]
    assert f"http.sys, port 9001: {SECOND}" in told["told_by"]["server"]


# Undo


def test_undo_of_a_renewal_lets_the_event_server_use_what_it_used_before(bench):
    here = bench.after("encrypt-renewed")
    again = bench.visit(here, "encrypt-renewed")
    assert not [what for what in again.changes if "services" in what]
    assert bench.visit(here, "back-renewed").error is None
    assert here.used() == {"server": FIRST, "event server": FIRST}
    error = here.visit(bench.script("undo-renewed"), LATER + 31 * one.DAY).error
    assert "event server does not say what it uses" in error
    assert "run this again with -ByHand" in error
    assert bench.visit(here, "undo-renewed").error is None
    assert apart(held(here), held(bench.before("prepare-renewed"))) == {}


def test_what_an_event_server_used_before_this_kit_is_for_a_person_to_choose(bench):
    here = bench.before("encrypt")
    with here.changed() as windows:
        windows["xprotect"]["event"] = {"certificate": "AB" * 20}
    edit(here, EVENT, "false", "true")
    assert bench.visit(here, "encrypt").error is None
    error = bench.visit(here, "off").error
    assert "event server did not say which certificate it used before" in error
    off_by_hand(here, "event server")
    assert bench.visit(here, "off").error is None
    assert here.used() == {}
    assert bench.visit(here, "undo").error is None
    assert not here.windows["stores"][r"LocalMachine\My"]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("http", {"0.0.0.0:443": FIRST}),
        ("http", {"vms.example.local:443": FIRST}),
        ("RDP", {"SSLCertificateSHA1Hash": list(bytes.fromhex(FIRST))}),
        ("SQL", {"Certificate": FIRST.lower()}),
        ("WinRM", {"certThumbprint": FIRST}),
    ],
)
@pytest.mark.parametrize("way", ["undo", "retire-renewed"])
def test_what_something_else_uses_stays_with_its_readers_and_is_named(bench, way, where, value):
    keys = {
        "RDP": r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server"
               r"\WinStations\RDP-Tcp",
        "SQL": rf"{SOFTWARE}\Microsoft\Microsoft SQL Server\MSSQL16.X\MSSQLServer"
               r"\SuperSocketNetLib",
        "WinRM": rf"{SOFTWARE}\Microsoft\Windows\CurrentVersion\WSMAN\Listener\L1",
    }  # fmt: skip
    here = bench.before(way)
    with here.changed() as windows:
        if where == "http":
            windows["http"] |= value
        else:
            windows["registry"][keys[where]] = value
    readers = rules(here, "access")
    error = bench.visit(here, way).error
    assert "uses it" in error
    assert rules(here, "access") == readers


def test_undo_takes_no_access_from_a_group_that_was_switched_by_hand(bench):
    """The event server of a computer that was only prepared was given the certificate by hand."""
    here = bench.before("undo-prepared")
    with here.changed() as windows:
        windows["xprotect"]["event"] = {"certificate": FIRST}
    edit(here, EVENT, "false", "true")
    readers = rules(here, "access")
    assert "event server does not say what it uses" in bench.visit(here, "undo-prepared").error
    assert rules(here, "access") == readers


def test_after_the_old_one_is_retired_the_new_one_stays_and_undo_says_so_each_time(bench):
    here = bench.after("retire-renewed")
    for _ in range(2):
        error = bench.visit(here, "back-renewed").error
        assert f"{FIRST}, which it used before, is gone from this computer" in error
    assert here.used()["server"] == SECOND
    assert key_file(here, SECOND)


def test_undo_accepts_what_a_person_chose_since(bench):
    here = bench.after("encrypt")
    off_by_hand(here, "server", "event server")
    assert bench.visit(here, "off").error is None
    assert bench.visit(here, "undo").error is None
    assert apart(held(here), held(bench.before("prepare"))) == {}


def test_what_is_used_is_not_taken_away_and_off_a_second_time_says_what_is_so(bench):
    here = bench.after("encrypt")
    before, error = held(here), bench.visit(here, "undo").error
    assert error.startswith(f"Step not-in-use: {FIRST} stays, and so does its CA")
    assert error.count("What to do: Run undo.ps1 -Phase Off first") == 1
    assert apart(held(here), before) == {}
    for said in ("server uses no certificate now", "server was not changed: it uses no certif"):
        ran = bench.visit(here, "off")
        assert (ran.error, said in "".join(ran.output)) == (None, True)


def test_off_leaves_another_certificate_that_a_person_chose_since(bench):
    here, other = bench.after("encrypt"), "AB" * 20
    edit(here, RECORDER, FIRST.lower(), other)
    with here.changed() as windows:
        windows["http"] = dict.fromkeys(windows["http"], other)
    ran = bench.visit(here, "off")
    assert ran.error is None
    assert f"server uses {other}, which somebody chose since: it stays so" in "".join(ran.output)
    assert here.used() == {"server": other}


def test_a_folder_that_was_made_anew_switches_off_with_the_notes_of_all(bench):
    here = bench.after("encrypt")
    anew = one.carried(bench.place() / "off anew", SERVER, one.issued(SERVER), made=LATER)
    refused = here.visit(anew / "undo.ps1", LATER, Phase="Off").error
    assert f"run undo.ps1 of the folder that was made {one.AT.isoformat()}" in refused
    for phase in ("Off", "Remove"):
        assert here.visit(anew / "undo.ps1", LATER, Phase=phase, All=True).error is None
    assert (here.used(), here.windows["stores"][r"LocalMachine\My"]) == ({}, [])


def test_undo_takes_only_what_install_brought(bench):
    """A policy had brought the CA, and somebody the PFX, whose key one more may read."""
    here = bench.after("prepare")
    (here.disk / NOTES).unlink()
    with here.changed() as windows:
        windows["acls"][key_file(here)[1]]["access"][-1]["sid"] = "S-1-5-19"
    before = held(here)
    bench.visit(here, "prepare")
    assert len(rules(here, "access")) == 4
    assert bench.visit(here, "undo-prepared").error is None
    assert apart(held(here), before) == {}


@pytest.mark.parametrize("there", [True, False], ids=["there", "not there"])
@pytest.mark.parametrize("kind", ["old_roots", "barred"])
def test_undo_brings_a_ca_back_that_was_trusted_and_lets_others_bar_theirs(bench, kind, there):
    client = replace(SERVER, name="pc-1", roles=(), account="", left_off=frozenset())
    here, old, new = Computer(client, bench.place()), one.ca().certificate, one.ca("second")
    going = {"of": "second", kind: (old,)}
    folder = one.carried(bench.place() / "going", client, **going)
    with here.changed() as windows:
        roots = [new.certificate, *([old] if there else [])]
        windows["stores"][r"LocalMachine\Root"] = [{"der": encoded(root)} for root in roots]
        windows["stores"][r"LocalMachine\Disallowed"] = [{"der": encoded(old)}] * (not there)
    before = held(here)
    assert here.visit(folder / "install.ps1", LATER, Phase="Retire").error is None
    assert (held(here)["stores"] != before["stores"]) == there
    assert here.visit(folder / "undo.ps1", LATER).error is None
    assert apart(held(here), before) == {}


@pytest.mark.parametrize("what", ["key set", "certificate", "XProtect", "key entry"])
def test_undo_ends_where_something_is_gone_already(bench, what):
    here = bench.after("prepare")
    path, relative = key_file(here)
    with here.changed() as windows:
        if what == "key set":
            path.unlink()
        elif what == "certificate":
            windows["stores"][r"LocalMachine\My"] = []
        elif what == "key entry":
            windows["acls"][relative]["access"] = windows["acls"][relative]["access"][:2]
        else:
            windows["services"] = []
            shutil.rmtree(here.disk / "Program Files")
            edit(here, EVENT, "false", "true")
    assert bench.visit(here, "undo-prepared").error is None
    assert not here.windows["stores"][r"LocalMachine\My"]


# Notes


@pytest.mark.parametrize("text", ["", "null", "{", "[]", '{"a": 1}'])
@pytest.mark.parametrize("way", ["prepare", "encrypt", "off", "undo", "retire-renewed"])
def test_broken_notes_are_named_and_nothing_is_changed(bench, way, text):
    here = bench.before(way)
    write(here, NOTES, text)
    before = held_without_notes(here)
    error = bench.visit(here, way).error
    assert "before.json, in which install.ps1 noted how things were, is broken" in error
    assert held_without_notes(here) == before


def held_without_notes(computer):
    path = computer.disk / NOTES
    text = path.read_text()
    path.unlink()
    found = held(computer)
    path.write_text(text)
    return found


def test_notes_outlive_their_folder_and_serve_a_second_copy_of_it(bench):
    here = bench.after("encrypt")
    shutil.rmtree(here.disk / "carried")
    copy = bench.place() / "copied again"
    shutil.copytree(bench.script("undo").parent, copy)
    for phase in ("Off", "Remove"):
        assert here.visit(copy / "undo.ps1", at("undo"), Phase=phase).error is None
    assert apart(held(here), held(bench.before("prepare"))) == {}


def test_only_administrators_may_write_notes(bench):
    here = bench.after("prepare")
    allowed = here.windows["acls"]["ProgramData/vmscert"]["access"]
    assert [rule["sid"] for rule in allowed] == ["S-1-5-18", "S-1-5-32-544"]


def test_without_notes_undo_fails_loudly_and_names_where_they_were(bench):
    here = bench.after("prepare")
    (here.disk / NOTES).unlink()
    before = held(here)
    error = bench.visit(here, "undo").error
    assert "no notes of how VMS-1 was before" in error
    assert "before.json back from a backup" in error
    assert apart(held(here), before) == {}


def test_a_folder_that_was_made_anew_points_to_the_one_whose_notes_count(bench):
    here = bench.after("prepare")
    anew = one.carried(bench.place() / "anew", SERVER, one.issued(SERVER), made=one.AT + one.DAY)
    assert here.visit(anew / "install.ps1", LATER + one.DAY).error is None
    error = here.visit(anew / "undo.ps1", LATER + one.DAY).error
    assert f"run undo.ps1 of the folder that was made {one.AT.isoformat()}" in error


def test_an_older_folder_is_refused(bench):
    here = bench.after("encrypt-renewed")
    before = held(here)
    for way in ("prepare", "encrypt", "undo"):
        assert "A newer certificate is here already" in bench.visit(here, way).error
    assert apart(held(here), before) == {}


# Server Configurator


@pytest.mark.parametrize("way", ["encrypt", "undo", "retire-moved", "retire-barred"])
def test_while_a_server_configurator_runs_nothing_is_changed(bench, way):
    here = bench.before(way, trouble=Trouble(busy=True))
    before = held(here)
    assert "A Server Configurator is running" in bench.visit(here, way).error
    assert apart(held(here), before) == {}


@pytest.mark.parametrize("code", ["20", "100", "100000", "300000"])
def test_a_registration_that_failed_stays_open_until_it_is_done(bench, code):
    here = bench.before("encrypt", trouble=Trouble(configurator=code))
    for _ in range(2):
        assert f"answered {code}" in bench.visit(here, "encrypt").error
    here.trouble = Trouble()
    ran = bench.visit(here, "encrypt")
    assert ran.error is None
    assert "server uses" in ran.output[-2]
    assert "is registered now" in ran.output[-2]
    assert "is registered now" not in "".join(bench.visit(here, "encrypt").output)


@pytest.mark.parametrize(
    ("way", "code", "says"),
    [
        ("encrypt", "1", "Encrypt the event server first"),
        ("off", "1", "Switch the management server off first"),
        ("encrypt", "50", "can not read the private key"),
        ("encrypt", "-4", "another Server Configurator is running, or this computer does not tru"),
        ("off", "100", "nothing is encrypted any more"),
    ],
)
def test_a_refusal_is_explained_by_what_was_done_and_is_not_waited_for(bench, way, code, says):
    here = bench.before(way, trouble=Trouble(configurator=code))
    assert says in bench.visit(here, way).error
    log = json.loads(here.state.read_bytes())["log"][-4:]
    first, last = (json.loads(line)["at"] for line in (log[0], log[-1]))
    assert last[:13] == first[:13]
    assert int(last[14:16]) - int(first[14:16]) <= 5


def test_encrypt_before_prepare_says_what_comes_first(bench):
    here = bench.before("prepare")
    error = here.visit(bench.script("encrypt"), at("encrypt"), Phase="Encrypt").error
    assert "run install.ps1 without -Phase first" in error


@pytest.mark.parametrize("where", ["nowhere", "beside a service", "in the registry"])
def test_server_configurator_is_looked_for_beside_the_services(bench, where):
    here = bench.before("encrypt")
    folder = here.disk / "D/XProtect"
    if where != "nowhere":
        (folder / "Server Configurator").mkdir(parents=True)
        shutil.copy(here.disk / PROGRAM, folder / "Server Configurator")
    shutil.rmtree(here.disk / "Program Files")
    with here.changed() as windows:
        if where == "beside a service":
            windows["services"][0]["path_name"] = (
                '"<disk>/D/XProtect/Recording Server/VideoOS.Recorder.Service.exe" -service'
            )
        elif where == "in the registry":
            key = rf"{SOFTWARE}\WOW6432Node\Milestone\XProtect Mobile Server"
            windows["registry"][key] = {"INSTALLATIONFOLDER": "<disk>/D/XProtect/Mobile Server"}
            write(here, "D/XProtect/Mobile Server/VideoOS.MobileServer.Service.exe.config", "<a/>")
    error = bench.visit(here, "encrypt").error
    if where == "nowhere":
        assert "Server Configurator is not installed here" in error
    else:
        assert error is None
    assert bool(here.used()) == (where != "nowhere")


def test_all_groups_are_looked_for_before_the_first_is_switched(bench):
    here = bench.before("encrypt")
    with here.changed() as windows:
        windows["xprotect"]["components"] = ["recording server"]
    error = bench.visit(here, "encrypt").error
    assert "does not list the group event server" in error
    assert here.used() == {}


@pytest.mark.parametrize("turn", ["0", "3"])
def test_a_turn_that_is_forgotten_or_not_there_is_refused_with_those_that_are(bench, turn):
    here = bench.before("encrypt")
    turns = tuple((group,) for group in SERVER.groups)
    folder = one.carried(bench.place() / "turns", SERVER, one.issued(SERVER), switch_on=turns)
    ran = here.visit(folder / "install.ps1", at("encrypt"), Phase="Encrypt", Turn=turn)
    assert "has these turns: 1, 2" in ran.error
    assert here.used() == {}


@pytest.mark.parametrize("services", ["XProtect", "IIS"])
def test_services_that_stay_stopped_are_started(bench, services):
    here = bench.before("encrypt")
    with here.changed() as windows:
        if services == "IIS":
            windows["xprotect"]["components"].append("management server")
            windows["services"] += [{"name": name, "display_name": name}
                                    for name in ("W3SVC", "WAS")]  # fmt: skip
        left = [one_service["name"] for one_service in windows["services"]][-2:]
        windows["xprotect"]["leaves_stopped"] = left
    ran = bench.visit(here, "encrypt")
    assert ran.error is None
    assert {f"start {name}" for name in left} <= set(ran.changes)
    assert {service.get("state") for service in here.windows["services"]} == {"Running"}


@pytest.mark.parametrize(("seconds", "error"), [(1150, ""), (1500, "still works after 20 minutes")])
def test_server_configurator_gets_twenty_minutes(bench, seconds, error):
    here = bench.before("encrypt")
    with here.changed() as windows:
        windows["xprotect"]["seconds"] = seconds
    ran = bench.visit(here, "encrypt")
    assert error in (ran.error or "")
    assert bool(ran.error) == bool(error)


def test_a_registration_with_override_is_told_where_it_can_be_seen(bench):
    here = bench.before("encrypt", trouble=Trouble(configurator="1"))
    write(here, MANAGEMENT, "<server><WebApiConfig><Port>9000</Port></WebApiConfig></server>")
    edit(here, RECORDER, "<address></address>", "<address>vms-ms.example.local</address>")
    assert "/overridelocalmanagementserver" in bench.visit(here, "encrypt").error


# Keys and accounts


def test_a_key_set_that_is_gone_stops_encrypt_and_is_brought_again_by_prepare(bench):
    here = bench.before("encrypt")
    key_file(here)[0].unlink()
    error = bench.visit(here, "encrypt").error
    assert f"The private key of {FIRST} on vms-1 is missing or does not open" in error
    assert bench.visit(here, "prepare").error is None
    assert bench.visit(here, "encrypt").error is None


def test_encrypt_gives_access_to_the_account_that_a_service_runs_as_by_now(bench):
    here = bench.before("encrypt")
    audit = [{"sid": "S-1-1-0", "rights": 1, "type": "Failure", "inherited": False}]
    with here.changed() as windows:
        windows["services"][0] |= {"start_name": r"NT AUTHORITY\LocalService", "sid": "S-1-5-19"}
        windows["acls"][key_file(here)[1]]["audit"] = audit
    assert bench.visit(here, "encrypt").error is None
    assert "S-1-5-19" in [rule["sid"] for rule in rules(here, "access")]
    assert rules(here, "audit") == audit


def test_the_running_account_is_granted_before_the_unknown_one_is_told(bench):
    here = bench.before("prepare", trouble=Trouble(unknown_accounts=(SERVICE,)))
    with here.changed() as windows:
        for service in windows["services"]:
            service |= {"start_name": r"NT AUTHORITY\NetworkService", "sid": "S-1-5-20"}
    assert f"The account {SERVICE} is unknown on vms-1" in bench.visit(here, "prepare").error
    assert [rule["sid"] for rule in rules(here, "access")][-1] == "S-1-5-20"


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("fr", r"AUTORITE NT\SERVICE RÉSEAU"),
        ("fr", r"NT AUTHORITY\NetworkService"),
        ("de", r"NT-AUTORITÄT\NETZWERKDIENST"),
        ("da", r"NT-MYNDIGHED\NETVÆRKSTJENESTE"),
    ],
)
def test_accounts_have_the_names_of_every_language(bench, language, name):
    host = replace(SERVER, name="vms-3", account=name)
    here = Computer(host, bench.place())
    here.speak(language)
    with here.changed() as windows:
        for service in windows["services"]:
            service["start_name"] = name
    folder = one.carried(bench.place() / "spoken", host, one.issued(host))
    ran = here.visit(folder / "install.ps1", LATER, [PASSWORD])
    assert ran.error is None
    (held_one,) = here.windows["stores"][r"LocalMachine\My"]
    (acl,) = (a for path, a in here.windows["acls"].items() if path.endswith(held_one["key"]))
    assert [rule["sid"] for rule in acl["access"]] == ["S-1-5-18", "S-1-5-32-544", "S-1-5-20"]


def test_square_brackets_in_a_path_are_taken_as_they_are(bench):
    here = bench.before("prepare")
    folder = bench.place() / "first [1]"
    shutil.copytree(bench.script("prepare").parent, folder)
    ran = here.visit(folder / "install.ps1", LATER, [PASSWORD])
    assert ran.error is None
    assert not (here.disk / "ProgramData/vmscert/import.pfx").exists()


def test_a_management_server_keeps_the_key_that_a_login_provider_may_use(bench):
    here = bench.before("retire-renewed")
    write(here, MANAGEMENT, "<server><WebApiConfig><Port>9000</Port></WebApiConfig></server>")
    path = key_file(here)[0]
    ran = bench.visit(here, "retire-renewed")
    assert ran.error is None
    assert "in case a login provider uses it" in "".join(ran.output)
    assert path.exists()


def test_a_root_that_lies_in_two_stores_goes_from_both(bench):
    here = bench.before("retire-moved")
    with here.changed() as windows:
        windows["stores"][r"LocalMachine\AuthRoot"] = [{"der": encoded(one.ca().certificate)}]
    assert bench.visit(here, "retire-moved").error is None
    stores = held(here)["stores"]
    assert len(stores[r"LOCALMACHINE\ROOT"]) == 1
    assert r"LOCALMACHINE\AUTHROOT" not in stores


# Requests


def test_a_request_is_compared_with_the_key_that_waits(bench):
    here = bench.after("request")
    assert "its private key is in LocalMachine\\REQUEST" in "".join(
        bench.visit(here, "request").output
    )
    with here.changed() as windows:
        windows["stores"][r"LocalMachine\REQUEST"] = []
    assert "What to do: delete vms-2.req" in bench.visit(here, "request").error


def test_the_only_key_of_a_signed_certificate_goes_only_where_that_is_asked_for(bench):
    here = bench.before("undo-answered")
    ran = bench.visit(here, "undo-answered")
    assert ran.error is None
    assert "undo.ps1 -RemoveKey removes both" in "".join(ran.output)
    assert here.windows["stores"][r"LocalMachine\My"]
    assert bench.visit(here, "undo-answered", RemoveKey=True).error is None
    assert not here.windows["stores"][r"LocalMachine\My"]


# Inventories, and what PowerShell needs


def test_no_inventory_of_the_visit_before_stays(bench):
    here = bench.after("prepare")
    old = here.state.read_bytes()
    here.trouble = Trouble(clock=-86400 * 90)
    assert bench.visit(here, "encrypt").error
    assert json.loads(here.state.read_bytes())["at"] != json.loads(old)["at"]


def test_the_clock_is_asked_once_a_visit(bench):
    here = bench.before("prepare", trouble=Trouble(clock=17))
    folder = one.carried(bench.place() / "clock", SERVER, one.issued(SERVER), clock_source="vms-ms")
    with here.changed() as windows:
        windows["clock_answers"] = 1
    assert here.visit(folder / "install.ps1", LATER, [PASSWORD]).warnings == []
    assert json.loads(here.state.read_bytes())["clock_offset"] == 17


@pytest.mark.parametrize("name", ["ca.cer", "vms-1.pfx"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_file_that_is_not_as_it_was_made_is_refused(bench, name, how):
    here, folder = bench.before("prepare"), bench.place() / "first"
    shutil.copytree(bench.script("prepare").parent, folder)
    if how == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes() + b"\0")
    error = here.visit(folder / "install.ps1", LATER, [PASSWORD]).error
    assert name in error
    assert ("has changed since it was made" if how == "changed" else "is missing") in error
    assert not here.windows["stores"][r"LocalMachine\My"]


@pytest.mark.parametrize("seconds", [400, -400])
def test_a_clock_that_is_off_is_told_with_the_clock_that_was_asked(bench, seconds):
    here = bench.before("prepare", trouble=Trouble(clock=seconds))
    folder = one.carried(bench.place() / "clock", SERVER, one.issued(SERVER), clock_source="vms-ms")
    error = here.visit(folder / "install.ps1", LATER, [PASSWORD]).error
    assert f"{seconds} seconds off that of vms-ms" in error


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"missing_commands": ["Import-PfxCertificate"]}, "has no command to import a PFX file"),
        ({"powershell64_bit": False}, "This is the 32-bit PowerShell"),
        ({"missing_commands": ["Cert:"]}, "does not find the certificate stores"),
        ({"execution_policy": "RemoteSigned", "marked": True}, "still marked as from the Internet"),
    ],
)
def test_what_powershell_lacks_is_told_before_anything_is_touched(bench, change, says):
    here = bench.before("prepare")
    before, marked = held(here), change.pop("marked", False)
    with here.changed() as windows:
        windows |= change
    script = bench.script("prepare")
    if marked:
        folder = bench.place() / "marked"
        shutil.copytree(script.parent, folder)
        (folder / "undo.ps1:Zone.Identifier").write_text("[ZoneTransfer]")
        script = folder / script.name
    error = here.visit(script, LATER, [PASSWORD], Phase="Prepare").error
    assert says in error
    assert re.search("What to do|start this script", error)
    assert apart(held(here), before) == {}
