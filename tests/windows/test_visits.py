"""Simulated Windows computers follow the folders that people carry, and fail as Windows does."""

import re
from dataclasses import replace

import pytest
from site_tables import HEADER, without

from vmscert import QUICK, create_authority, open_job
from vmscert.certificates.authority import thumbprint
from vmscert.changes.errands import hand_over, loads
from vmscert.changes.rehearsal import simulated, walk
from vmscert.facts import DATA, facts
from vmscert.files import write_atomic
from vmscert.records.folder import Records
from vmscert.runbooks.certificates import renew_certificates
from vmscert.windows.folder import pack
from vmscert.windows.inventory import write_inventory
from vmscert.windows.scripts import script_inputs, script_steps
from vmscert.windows.simulated import Computer
from vmscert.windows.steps import STEPS, ScriptError, Trouble
from vmscert.windows.stores import CLOCK_SKEW, UNKNOWN, Personal

EXAMPLE = DATA / "sites" / "example.csv"
PASSWORD = "for rehearsals only"
REC = "vms-rec-01"
SERVICE = "EXAMPLE\\svc-recorder"  # whom the table names for vms-rec-02
ROWS = {row["step"]: row for row in facts("windows/steps")}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A rehearsal in which every folder is made, and nobody has walked yet."""
    job = open_job("13-trust-the-ca-on-clients", EXAMPLE, tmp_path_factory.mktemp("visits"))
    for phase in ("trust", "import"):
        hand_over(job, phase)
    return job


def holding(computer, job, **stores):
    """The computer, after others put something into its stores."""
    found = replace(computer.stores(job.at), **stores)
    write_atomic(computer.state, write_inventory(found))
    return computer


@pytest.fixture
def at(packed, tmp_path):
    """A computer with an empty disk, and the folder that is carried there."""

    def computer(host, **trouble):
        here = Computer(packed.site[host], tmp_path / "disks", Trouble(**trouble))

        def run(phase="Prepare", script="install", password=PASSWORD):
            path = packed.records.handed_over(host) / f"{script}.ps1"
            here.run(path, packed.at, password, phase)
            return here.stores(packed.at)

        return run

    return computer


def test_every_step_of_the_table_is_simulated_and_written_as_powershell():
    written = {path.stem for path in (DATA / "windows" / "steps").glob("*.ps1")}
    assert set(ROWS) == set(STEPS) == written


def test_a_computer_does_the_steps_that_its_script_names_in_their_order(packed, at):
    data = (packed.records.handed_over(REC) / "install.ps1").read_bytes()
    steps = script_steps(data)
    wanted = [name for phases, name in steps if {"Check", "Prepare"} & set(phases.split("|"))]
    assert [line.step for line in at(REC)().log] == wanted
    assert wanted[-1] == "key-access"


def test_a_client_is_asked_for_nothing_that_only_servers_need(packed, at):
    steps = [line.step for line in at("vms-pc-01")().log]
    assert {ROWS[name]["kind"] for name in steps} == {"every"}
    files = {path.name for path in packed.records.handed_over("vms-pc-01").iterdir()}
    assert files == {"ca.cer", "install.ps1", "undo.ps1", "inventory.ps1", "README.html",
                     "README.md", "SHA256SUMS"}  # fmt: skip


def test_a_server_trusts_the_ca_and_holds_a_key_that_its_service_reads(packed, at):
    stores = at("vms-rec-02")()
    assert stores.root == (packed.records.ca_certificate,)
    (held,) = stores.personal
    assert held.certificate == packed.state().current["vms-rec-02"]
    assert held.readable_by(packed.site["vms-rec-02"].accounts[0])


def test_encryption_binds_every_group_that_the_roles_need(packed, at):
    run = at(REC)
    run()
    label = thumbprint(packed.state().current[REC])
    assert run("Encrypt").bindings == dict.fromkeys(packed.site[REC].groups, label)


def test_each_script_twice_is_the_same_as_once(at):
    run = at(REC)
    first = [replace(run(phase), log=()) for phase in ("Prepare", "Encrypt")][-1]
    again = [replace(run(phase), log=()) for phase in ("Prepare", "Encrypt")][-1]
    assert first == again


def test_undo_leaves_a_computer_as_it_was(at):
    run = at(REC)
    run()
    run("Encrypt")
    stores = run(script="undo")
    assert (stores.root, stores.personal, stores.bindings) == ((), (), {})


def test_undo_touches_nothing_that_was_there_before(packed, tmp_path):
    """Group Policy had brought the CA already: it stays when this folder's changes are undone."""
    folder = packed.records.handed_over(REC)
    trusted = (packed.records.ca_certificate,)
    here = holding(Computer(packed.site[REC], tmp_path), packed, root=trusted)
    here.run(folder / "install.ps1", packed.at, PASSWORD)
    here.run(folder / "undo.ps1", packed.at)
    stores = here.stores(packed.at)
    assert (stores.root, stores.personal) == (trusted, ())


def test_undo_takes_access_away_that_was_given_to_a_key_that_was_there(packed, tmp_path):
    """Somebody had imported the PFX by hand; only the access of the service is ours to undo."""
    mine = packed.state().current[REC]
    here = Computer(packed.site[REC], tmp_path)
    holding(here, packed, personal=(Personal(mine, True, ("S-1-5-18", "EXAMPLE\\admin")),))
    folder = packed.records.handed_over(REC)
    here.run(folder / "install.ps1", packed.at, PASSWORD)
    (held,) = here.stores(packed.at).personal
    assert held.readable_by("NETWORK SERVICE")
    here.run(folder / "undo.ps1", packed.at)
    (held,) = here.stores(packed.at).personal
    assert held.readers == ("S-1-5-18", "EXAMPLE\\admin")


BROKEN = {
    "writable-folder": ({"read_only": True}, "Prepare", "is denied"),
    "administrator": ({"elevated": False}, "Prepare", "Administrator rights are missing"),
    "right-computer": ({"name": "vms-rec-09"}, "Prepare", "this computer is vms-rec-09"),
    "right-time": ({"clock": 400}, "Prepare", "400 seconds off"),
    "right-windows": ({"windows": "Windows Server 2016"}, "Prepare", "call the password wrong"),
    "import-certificate": ({"password": "not it"}, "Prepare", "password is not correct"),
    "key-access": ({"unknown_accounts": (SERVICE,)}, "Prepare", "is unknown on vms-rec-02"),
    "powershell": ({"framework": 379893}, "Prepare", "a .NET Framework before 4.6"),
    "no-configurator": ({"busy": True}, "Encrypt", "nothing is changed"),
    "enable-encryption": ({}, "Encrypt", "does not hold the certificate"),
}


@pytest.mark.parametrize("step", BROKEN)
def test_a_computer_that_is_broken_at_a_step_stops_there_and_names_the_remedy(at, step):
    trouble, phase, why = BROKEN[step]
    with pytest.raises(ScriptError, match=f"^Step {step}: .*{why}") as stopped:
        at("vms-rec-02" if step == "key-access" else REC, **trouble)(phase)
    _, _, todo = str(stopped.value).partition("What to do: ")
    own = {
        "enable-encryption": "run install.ps1 without -Phase first.",
        "powershell": "install .NET Framework 4.8.",
    }
    assert todo == own.get(step, ROWS[step]["remedy"])


@pytest.mark.parametrize("code", ["-1", "-2", "-3", "-4", "1", "10000", "20000", "77"])
def test_server_configurator_that_did_nothing_is_told_in_words(at, code):
    run = at(REC, configurator=code)
    run()
    known = {row["code"]: row["meaning"] for row in facts("windows/exit-codes")}
    meaning = re.escape(known.get(code, "a code that nobody has explained"))
    with pytest.raises(ScriptError, match=f"answered {code}: {meaning}"):
        run("Encrypt")


@pytest.mark.parametrize("code", ["20", "100", "100000", "300000"])
def test_server_configurator_that_bound_but_could_not_register_is_no_success(at, code):
    """The group uses the certificate; whoever looks at nothing else would go home too early."""
    run = at(REC, configurator=code)
    run()
    with pytest.raises(ScriptError, match=f"uses .*, but Server Configurator answered {code}"):
        run("Encrypt")


def test_a_code_of_runs_that_had_worked_is_believed_by_what_is_seen(at):
    run = at(REC, configurator="200000")
    run()
    stores = run("Encrypt")
    assert len(stores.bindings) == 2
    assert "answered 200000" in stores.log[-1].detail


def test_the_script_allows_a_clock_the_skew_that_the_findings_allow_it():
    text = (DATA / "windows" / "steps" / "right-time.ps1").read_text("utf-8")
    assert re.findall(r"-gt (\d+)", text) == [str(CLOCK_SKEW)]
    assert re.findall(r"AddMinutes\(-(\d+)\)", text) == [str(CLOCK_SKEW // 60)]


def test_a_clock_before_the_folder_was_made_is_wrong_whoever_else_answers(at):
    with pytest.raises(ScriptError, match="before this folder was made"):
        at("vms-ms-01", clock=-3600)()


def test_a_file_that_changed_on_the_way_is_refused(packed, at, tmp_path):
    folder = packed.records.handed_over(REC)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    here = Computer(packed.site[REC], tmp_path / "disk")
    (tmp_path / "ca.cer").write_bytes((folder / "ca.cer").read_bytes() + b"\0")
    with pytest.raises(ScriptError, match=r"ca\.cer has changed since it was made"):
        here.run(tmp_path / "install.ps1", packed.at, PASSWORD)
    (tmp_path / "ca.cer").write_bytes((folder / "ca.cer").read_bytes())
    (tmp_path / f"{REC}.pfx").write_bytes((folder / f"{REC}.pfx").read_bytes() + b"\0")
    with pytest.raises(ScriptError, match=r"Step import-certificate: .* has changed since it was"):
        here.run(tmp_path / "install.ps1", packed.at, PASSWORD)
    (tmp_path / "ca.cer").unlink()
    with pytest.raises(ScriptError, match=r"ca\.cer is missing beside this script"):
        here.run(tmp_path / "install.ps1", packed.at, PASSWORD)
    assert here.stores(packed.at).personal == ()


def test_a_root_among_the_intermediates_is_no_trust_to_encrypt_with(packed, at):
    here = Computer(packed.site[REC], packed.records.folder / "misplaced")
    script = packed.records.handed_over(REC) / "install.ps1"
    here.run(script, packed.at, PASSWORD)
    root = here.stores(packed.at).root
    for intermediate in (root, ()):
        holding(here, packed, root=(), intermediate=intermediate)
        with pytest.raises(ScriptError, match="does not trust the certificate"):
            here.run(script, packed.at, phase="Encrypt")


def test_an_old_folder_does_not_bring_an_old_certificate_back(packed, tmp_path):
    """The computer got a newer certificate meanwhile; the folder on the old stick refuses."""
    later = packed.at.replace(year=packed.at.year + 1)
    newer = packed.records.authority(PASSWORD).issue(*packed.site[REC].names, at=later)
    held = (Personal(newer.certificate, True),)
    here = holding(Computer(packed.site[REC], tmp_path), packed, personal=held)
    with pytest.raises(ScriptError, match="Step newest-certificate: A newer certificate"):
        here.run(packed.records.handed_over(REC) / "install.ps1", packed.at, PASSWORD)


def test_a_key_that_was_made_on_the_computer_never_leaves_it(packed, at):
    """The CSR way: request, sign, accept; no file of the site's folder holds the key."""
    host = "vms-mob-01"
    assert host not in packed.state().pfx
    here = simulated(packed, packed.site[host])
    run = packed.records.handed_over(host)
    assert {path.name for path in run.iterdir()} >= {f"{host}.cer", "accept.ps1"}
    here.run(run / "install.ps1", packed.at)
    (held,) = here.stores(packed.at).personal
    assert held.has_key
    assert here.key(held.certificate).public_key() == held.certificate.public_key()


def test_a_certificate_for_a_key_that_is_gone_is_refused(at):
    with pytest.raises(ScriptError, match=r"Windows did not take vms-mob-01\.cer.*request\.ps1"):
        at("vms-mob-01")()


def test_a_failed_visit_is_an_errand_that_says_so_and_still_brings_the_log(packed):
    """But for want of rights there is no inventory, as the real script can write none."""
    troubles = {"vms-pc-02": Trouble(clock=-4000), "vms-adm-01": Trouble(elevated=False)}
    ended = {one.host: one.result for one in walk(packed, hand_over(packed, "trust"), troubles)}
    assert ended["vms-pc-02"].startswith("failed: Step right-time")
    assert ended["vms-adm-01"].startswith("failed: Step administrator")
    assert ended["vms-pc-01"] == "done"
    back = packed.records.inventories()
    last = back["vms-pc-02"].log[-1]
    assert (last.step, last.result) == ("right-time", "failed")
    assert "vms-adm-01" not in back


def test_undo_of_a_renewal_goes_back_to_the_certificate_before(rehearsed):
    job = open_job("17-renew-before-expiry", EXAMPLE, rehearsed)
    old = thumbprint(job.state().current[REC])
    renew_certificates(job, [REC])
    for phase in ("import", "encrypt"):
        assert {one.result for one in walk(job, hand_over(job, phase, [REC]))} == {"done"}
    here = simulated(job, job.site[REC])
    assert old not in here.stores(job.at).bindings.values()
    here.run(job.records.handed_over(REC) / "undo.ps1", job.at)
    assert here.stores(job.at).bindings == dict.fromkeys(job.site[REC].groups, old)


def test_a_computer_with_two_turns_waits_for_the_other_in_between(tmp_path):
    """Event and recording server on one computer, the management server on another."""
    table = tmp_path / "two.csv"
    rows = [
        HEADER,
        "ms,lyon.local,,10.0.0.1,management server,,,,IT,",
        "both,lyon.local,,10.0.0.2,event server|recording server,,,,IT,",
        without("management server"),
    ]
    table.write_text("\n".join(rows), encoding="utf-8")
    records = Records(tmp_path / "records")
    records.begin_rehearsal()
    job = open_job("15-enable-encryption", table, records.folder)
    errands = walk(job, hand_over(job, "encrypt"))
    assert [(one.host, one.command.rpartition("-Phase ")[2], one.result) for one in errands] == [
        ("both", "Encrypt -Turn 1", "done"),
        ("ms", "Encrypt", "done"),
        ("both", "Encrypt -Turn 2", "done"),
    ]
    page = (records.handed_over("both") / "README.md").read_text(encoding="utf-8")
    assert "install.ps1 -Phase Encrypt -Turn 2`" in page
    assert hand_over(job, "encrypt") == []


def test_a_pfx_lies_in_the_folder_of_its_own_server_only_and_no_key_twice(packed):
    paths = list((packed.records.folder / "hand-over").rglob("*.pfx"))
    assert {path.parent.parent.name for path in paths} == {path.stem for path in paths}
    keys = [one.public_key().public_numbers().n for one in packed.state().current.values()]
    assert len(set(keys)) == len(keys) == 5


def test_a_server_that_is_switched_on_out_of_turn_is_refused_and_in_turn_it_is_not(tmp_path):
    """A recorder before the management server: the answer is 1, and nothing changes."""
    job = open_job("15-enable-encryption", EXAMPLE, tmp_path)
    (early,) = walk(job, hand_over(job, "encrypt", [REC]))
    assert early.result.startswith("failed: Step enable-encryption: ")
    assert "answered 1: it refused and changed nothing" in early.result
    assert job.records.inventories()[REC].bindings == {}
    assert {errand.result for errand in walk(job, hand_over(job, "encrypt"))} == {"done"}


def test_an_event_server_is_switched_on_before_the_management_server_beside_it(packed):
    path = packed.records.handed_over("vms-ms-01")
    there, back = (script_inputs((path / f"{n}.ps1").read_bytes()) for n in ("install", "undo"))
    assert there["Groups"] == ["event server", "server"]
    assert back["UndoGroups"] == ["server", "event server"]


@pytest.fixture(scope="module")
def old(packed):
    """A CA of another time, with the certificate of a recorder that it issued."""
    authority = create_authority("Example VMS root 2016", packed.at, QUICK)
    return authority, authority.issue(*packed.site[REC].names, at=packed.at).certificate


class Visited:
    """One computer with a folder of its own, in which CAs and certificates are to go."""

    def __init__(self, job, disk, host, **load):
        (usual,) = loads(job.state(), [job.site[host]])
        self.load, self.job, self.folder = replace(usual, **load), job, disk / "folder"
        self.folder.mkdir()
        for name, data in pack(self.load).items():
            (self.folder / name).write_bytes(data)
        self.here = Computer(job.site[host], disk)

    def run(self, phase="Retire", script="install"):
        self.here.run(self.folder / f"{script}.ps1", self.job.at, PASSWORD, phase)
        return self.stores

    def holding(self, **stores):
        holding(self.here, self.job, **stores)
        return self.stores

    @property
    def stores(self):
        return replace(
            self.here.stores(self.job.at), log=(), clock_source="", clock_offset=None, given={}
        )


def test_a_client_trusts_a_ca_no_longer_that_was_replaced_and_undo_brings_it_back(
    packed, tmp_path, old
):
    root = old[0].certificate
    visit = Visited(packed, tmp_path, "vms-pc-01", old_roots=(root,))
    before = visit.holding(root=(root, packed.records.ca_certificate))
    after = visit.run()
    assert (after.root, after.disallowed) == ((packed.records.ca_certificate,), ())
    assert visit.run() == after
    undone = visit.run(script="undo")
    assert set(undone.root) == set(before.root)
    assert visit.run() == after


def test_what_was_never_trusted_is_not_brought_by_undo(packed, tmp_path, old):
    visit = Visited(packed, tmp_path, "vms-pc-01", old_roots=(old[0].certificate,), barred=old[1:])
    before = visit.holding(root=(packed.records.ca_certificate,))
    visit.run()
    assert visit.run(script="undo") == before


def test_a_stolen_ca_leaves_the_roots_and_is_barred_until_undo(packed, tmp_path, old):
    stolen = (old[0].certificate, old[1])
    visit = Visited(packed, tmp_path, "vms-pc-01", barred=stolen)
    before = visit.holding(root=(packed.records.ca_certificate, stolen[0]))
    after = visit.run()
    assert (after.root, after.disallowed) == ((packed.records.ca_certificate,), stolen)
    assert visit.run() == after
    assert visit.run(script="undo") == before


def test_what_others_had_barred_stays_barred_after_undo(packed, tmp_path, old):
    visit = Visited(packed, tmp_path, "vms-pc-01", barred=old[1:])
    before = visit.holding(root=(packed.records.ca_certificate,), disallowed=old[1:])
    visit.run()
    assert visit.run(script="undo") == before


@pytest.mark.parametrize("kind", ["old_roots", "barred"])
@pytest.mark.parametrize("used", ["bound", "of Windows", "unknown"])
def test_a_ca_stays_while_a_certificate_of_it_may_be_in_use(packed, tmp_path, old, kind, used):
    root, mine = old[0].certificate, old[1]
    visit = Visited(packed, tmp_path, REC, **{kind: (root,)})
    told = {
        "bound": {"bindings": {"server": thumbprint(mine)}},
        "of Windows": {"https": {"0.0.0.0:443": thumbprint(mine)}},
        "unknown": {"bindings": {"event server": UNKNOWN}},
    }
    roots = (packed.records.ca_certificate, root)
    before = visit.holding(root=roots, personal=(Personal(mine, True),), **told[used])
    step = {"old_roots": "remove-root", "barred": "bar-certificate"}[kind]
    with pytest.raises(ScriptError, match=f"^Step {step}: {thumbprint(mine)} may still") as stopped:
        visit.run()
    assert str(stopped.value).endswith(ROWS[step]["remedy"])
    assert visit.stores == before


def test_a_barred_certificate_is_refused_while_it_is_in_use_itself(packed, tmp_path, old):
    visit = Visited(packed, tmp_path, REC, barred=old[1:])
    label = thumbprint(old[1])
    held = (Personal(old[1], True),)
    visit.holding(personal=held, bindings={"server": label})
    with pytest.raises(ScriptError, match=f"^Step bar-certificate: {label} may still be in use"):
        visit.run()
    visit.holding(personal=held, bindings={})
    assert visit.run().disallowed == old[1:]


@pytest.mark.parametrize("kind", ["old_roots", "barred"])
def test_a_ca_stays_until_its_successor_is_trusted(packed, tmp_path, old, kind):
    root = old[0].certificate
    visit = Visited(packed, tmp_path, "vms-pc-01", **{kind: (root,)})
    before = visit.holding(root=(root,))
    label = thumbprint(packed.records.ca_certificate)
    with pytest.raises(ScriptError, match=f"stays, because {label} of this folder is not in"):
        visit.run()
    assert visit.stores == before
    visit.run("Prepare")
    assert visit.run().root == (packed.records.ca_certificate,)


def test_a_root_that_lies_among_the_third_party_roots_too_is_taken_from_both(packed, tmp_path, old):
    """The guide puts the CA there, and Windows shows it in LocalMachine\\Root, too."""
    root = old[0].certificate
    visit = Visited(packed, tmp_path, "vms-pc-01", old_roots=(root,))
    visit.holding(root=(packed.records.ca_certificate, root), third_party_root=(root,))
    assert visit.run().trusted == (packed.records.ca_certificate,)
    assert root in visit.run(script="undo").root


@pytest.mark.parametrize("barred", ["root", "leaf"])
def test_nothing_is_encrypted_with_a_certificate_that_windows_is_never_to_trust(
    packed, tmp_path, barred
):
    visit = Visited(packed, tmp_path, REC)
    visit.run("Prepare")
    mine = {"root": packed.records.ca_certificate, "leaf": packed.state().current[REC]}
    visit.holding(disallowed=(mine[barred],))
    with pytest.raises(ScriptError, match="does not trust the certificate"):
        visit.run("Encrypt")
    visit.holding(disallowed=())
    assert visit.run("Encrypt").bindings


def test_undo_trusts_the_old_ca_again_before_it_goes_back_to_the_old_certificate(
    packed, tmp_path, old
):
    """From the old CA to the new one and back: the computer is as it was."""
    root, mine = old[0].certificate, old[1]
    visit = Visited(packed, tmp_path, REC, old_roots=(root,))
    groups = dict.fromkeys(packed.site[REC].groups, thumbprint(mine))
    before = visit.holding(root=(root,), personal=(Personal(mine, True),), bindings=groups)
    for phase in ("Prepare", "Encrypt", "Retire"):
        after = visit.run(phase)
    assert after.root == (packed.records.ca_certificate,)
    assert visit.run(script="undo") == before
    steps = [name for _, name in script_steps((visit.folder / "undo.ps1").read_bytes())]
    assert steps.index("undo-root-removal") < steps.index("undo-encryption")
