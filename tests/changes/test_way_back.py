"""The way back: encryption goes off in its order, certificates last, and nobody goes dark."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import lyon
import pytest

from vmscert import open_job
from vmscert.changes.errands import board, hand_over
from vmscert.changes.rehearsal import walk
from vmscert.checks.acceptance import dark_links
from vmscert.checks.lacks import (
    PHASES,
    left_behind,
    missing_groups,
    still_encrypting,
    still_needed,
)
from vmscert.facts import DATA
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import renew_certificates
from vmscert.runbooks.stages import runbook_of
from vmscert.runbooks.visits import SwitchOff
from vmscert.site.order import switch_off
from vmscert.windows.simulated import ScriptError

TABLES = Path(__file__).parents[1] / "windows" / "sites"
SITES = {name: TABLES / f"{name}.csv" for name in ("mueller", "nordhavn")}
SITES["example"] = DATA / "sites" / "example.csv"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    monkeypatch.setattr("vmscert.certificates.keys.ROUNDS", 10)
    made = count()
    monkeypatch.setattr(
        "vmscert.certificates.authority.new_key", lambda _bits: lyon.key(next(made))
    )


def rehearsed(table, folder, number="20-switch-encryption-off"):
    """A job on a site whose computers have followed runbooks 11 to 15."""
    Records(folder).begin_rehearsal()
    return open_job(number, table, folder)


def off(job, before, most=None):
    """Switch off, visit by visit; after each nobody may be dark who was not before."""
    for errand in hand_over(job, "off")[:most]:
        (done,) = walk(job, [errand])
        assert done.result == "done", done
        assert dark(job) <= before, errand
        yield errand, job.records.inventories()


def dark(job):
    """The links that are dark now; a server whose other CA has not answered may have some."""
    return {one.connection for one in dark_links(job.site, job.records.inventories(), job.at)}


def apart(job, stores):
    """The computers whose server group is in another state than the management server's."""
    heads = {h.name for h in job.site.central}
    on = {name for name, held in stores.items() if "server" in held.bindings}
    mine = {h.name for h in job.site.servers if "server" in h.groups}
    return (mine - on if heads & on else mine & on) - heads


@pytest.mark.parametrize("name", SITES)
def test_a_site_goes_on_half_back_on_again_and_all_back_and_no_link_is_dark_unnamed(name, tmp_path):
    job = rehearsed(SITES[name], tmp_path / name)
    sites, before = still_encrypting(job.state()), dark(job)
    left = missing_groups(job.state())  # where another CA has not answered
    assert sites
    # Half back, and on again.
    half = len([*hand_over(job, "off")]) // 2
    for errand, stores in off(job, before, half):
        assert errand.host in sites
        assert stores
    assert still_encrypting(job.state()).keys() < sites.keys()
    told = walk(job, hand_over(job, "encrypt"))
    assert {one.result for one in told} == {"done"}
    assert not job.state().switched_off
    assert missing_groups(job.state()) == left
    # All back, in the order of the plan, which names who waits in another state than the others.
    steps = [(s.host, s.option) for s in switch_off(job.site) if s.host in sites]
    named = "\n".join(runbook_of(job).standing_still(job.state()))
    gone = [*off(job, before)]
    ran = [(one.host, one.command.removeprefix("undo.ps1 -Phase Off -All")) for one, _ in gone]
    assert ran == [*dict.fromkeys(steps)]
    for _, stores in gone:
        assert not apart(job, stores) or "in another state than this" in named
    assert not still_encrypting(job.state())
    # Then what was brought.
    told = walk(job, hand_over(job, "remove"))
    assert {one.result for one in told} == {"done"}
    assert dark(job) <= before
    state = job.state()
    assert not left_behind(state)
    for name, held in state.inventories.items():
        assert not held.bindings
        only = job.site[name].only_pem or (held.root, held.disallowed) == ((), ())
        assert only, name
        keyed = [one for one in held.personal if one.certificate == state.current.get(name)]
        assert not keyed or job.site[name].enrolment != "pfx"


# A real site, with every way to a key


@pytest.fixture
def on(tmp_path, monkeypatch):
    """A site on which everything encrypts."""
    lyon.secrets(monkeypatch)
    job = lyon.open_lyon(tmp_path, "15", issued=False)
    lyon.issue_certificates(job, lyon.PFX_PASSWORD)
    lyon.carry_out(job)
    assert not missing_groups(job.state())
    return job


def undo(job, phase, hosts=None, **more):
    """People follow the errands of a phase on the way back."""
    how = {"phase": {"off": "Off", "remove": "Remove"}[phase], "whole": True}
    for errand in hand_over(job, phase, hosts):
        lyon.visit(job, errand, script="undo", **how, **more)
        job.records.note(job.number, "brought back", at=job.at, host=errand.host)


def test_nothing_is_taken_away_anywhere_while_a_server_that_is_called_encrypts(on):
    pc = "pc-1"
    assert "rec-1" in still_needed(on.state())[pc]
    with pytest.raises(ValueError, match=f"^{pc} keeps certificate and CA, .*rec-1"):
        hand_over(on, "remove", [pc])
    assert hand_over(on, "remove") == []
    undo(on, "off", ["ms", "rec-1"])
    with pytest.raises(ValueError, match=r"^mob keeps certificate and CA, for the sake of mob: "):
        hand_over(on, "remove", ["mob"])
    assert [one.host for one in hand_over(on, "remove")] == ["ms", "rec-1", pc]
    # What a computer says itself.
    errand, *_ = hand_over(on, "off")
    with pytest.raises(ScriptError, match=r"^Step not-in-use: .* stays, and so does its CA"):
        lyon.visit(on, errand, script="undo", phase="Remove")
    assert dark(on) == set()


def test_a_server_that_never_told_or_not_since_it_was_to_encrypt_may_do_so(on):
    undo(on, "off")
    assert not still_encrypting(on.state())
    hand_over(on, "encrypt", ["rec-1"])
    assert still_encrypting(on.state()).keys() == {"rec-1"}
    (on.records.folder / "inventory" / "rec-1.json").unlink()
    assert still_encrypting(on.state())["rec-1"] == "server, streaming media"
    assert "rec-1" in still_needed(on.state())["pc-1"]


def test_a_site_that_was_switched_off_on_purpose_is_no_failure_and_can_be_switched_on(on):
    undo(on, "off")
    rows = {one.computer: one for one in board(on)}
    assert {one.state for one in rows.values()} == {"switched off"}
    assert rows["ms"].lacks == f"encryption: switched off on purpose, {lyon.AT:%Y-%m-%d}"
    gate = lyon.precheck(lyon.numbered(on, "15"))
    assert all(check.ok for check in gate)
    (*_, last) = lyon.precheck(replace(on, runbook="16-verify-the-site"))
    assert "Encryption was switched off on purpose" in last.todo
    for errand in hand_over(on, "encrypt"):
        lyon.visit(on, errand, phase="Encrypt")
    assert {one.state for one in board(on)} == {"verified"}


def test_who_is_half_back_is_told_what_is_next(on):
    undo(on, "off", ["ms"])
    rows = {one.computer: one for one in board(on)}
    assert (rows["ms"].state, rows["rec-1"].state) == ("switched off", "no folder yet")
    runbook = SwitchOff(replace(on, runbook="20-switch-encryption-off"), {"remove": True})
    planned = [(*found, deed) for found, deed in runbook.deeds(on.state())]
    command = PHASES["off"].command
    assert planned[:2] == [("rec-1", command), ("mob", command)]
    assert {*planned[2][:-1]} == {"ms", "rec-1", "mob", "pc-1", "web-1"}
    first, second, _ = lyon.told(runbook.verify())
    assert first.todo.startswith(
        "rec-1: server, streaming media; mob: mobile streaming media. Run "
    )
    assert "pc-1: what was brought is there, needed as long as these may encrypt: rec-1" in (
        second.todo
    )
    hand_over(on, "off")
    (rec,) = (one for one in board(on) if one.computer == "rec-1")
    assert rec.lacks == "server, streaming media"
    assert rec.next.endswith(f"run {PHASES['off'].command}")


def test_after_a_renewal_the_way_back_is_to_the_first_folder(on):
    renew_certificates(on, ["ms"], lyon.PFX_PASSWORD)
    for phase, more in (("import", {}), ("encrypt", {"phase": "Encrypt"})):
        for errand in hand_over(on, phase):
            lyon.visit(on, errand, **more)
    assert not missing_groups(on.state())
    undo(on, "off")
    assert not still_encrypting(on.state())
