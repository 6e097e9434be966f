"""Simulated Windows computers follow the folders that people carry, as the real scripts do."""

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
from vmscert.windows.folder import pack
from vmscert.windows.inventory import write_inventory
from vmscert.windows.scripts import script_inputs, script_steps
from vmscert.windows.simulated import DEEDS, Computer, ScriptError
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

    def computer(host, **parts):
        here = Computer(replace(packed.site[host], **parts), tmp_path / "disks")

        def run(phase="Prepare", password=PASSWORD, **more):
            path = packed.state().handed_over[host] / "install.ps1"
            here.run(path, packed.at, password, phase, **more)
            return here.stores(packed.at)

        return run

    return computer


def test_every_step_of_the_table_is_written_as_powershell_and_its_change_is_simulated():
    written = {path.stem for path in (DATA / "windows" / "steps").glob("*.ps1")}
    assert set(ROWS) == written
    changes = {name for name, row in ROWS.items() if row["undo"] != "nothing to undo"}
    assert set(DEEDS) == changes | {
        "right-windows",
        "not-in-use",
    }  # these only look, and may refuse


def test_a_computer_does_the_steps_that_its_script_names_in_their_order(packed, at):
    data = (packed.state().handed_over[REC] / "install.ps1").read_bytes()
    steps = script_steps(data)
    wanted = [name for phases, name in steps if {"Check", "Prepare"} & set(phases.split("|"))]
    assert [line.step for line in at(REC)().log] == wanted
    assert wanted[-1] == "key-access"


def test_a_client_is_asked_for_nothing_that_only_servers_need(packed, at):
    steps = [line.step for line in at("vms-pc-01")().log]
    assert {ROWS[name]["kind"] for name in steps} == {"every"}
    files = {path.name for path in packed.state().handed_over["vms-pc-01"].iterdir()}
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


OLD = {"windows": "Windows Server 2016"}
BROKEN = {
    "right-windows": (OLD, {}, "call the password wrong"),
    "import-certificate": ({}, {"password": "not it"}, "password is not correct"),
    "enable-encryption": ({}, {"phase": "Encrypt"}, "does not hold the certificate"),
}


@pytest.mark.parametrize("step", BROKEN)
def test_a_computer_that_is_broken_at_a_step_stops_there_and_names_the_remedy(at, step):
    parts, how, why = BROKEN[step]
    with pytest.raises(ScriptError, match=f"^Step {step}: .*{why}") as stopped:
        at(REC, **parts)(**how)
    _, _, todo = str(stopped.value).partition("What to do: ")
    own = {"enable-encryption": "run install.ps1 without -Phase first."}
    assert todo == own.get(step, ROWS[step]["remedy"])


def test_the_script_allows_a_clock_the_skew_that_the_findings_allow_it():
    text = (DATA / "windows" / "steps" / "right-time.ps1").read_text("utf-8")
    assert re.findall(r"-gt (\d+)", text) == [str(CLOCK_SKEW)]
    assert re.findall(r"AddMinutes\(-(\d+)\)", text) == [str(CLOCK_SKEW // 60)]


def test_a_root_among_the_intermediates_is_no_trust_to_encrypt_with(packed, at):
    here = Computer(packed.site[REC], packed.records.folder / "misplaced")
    script = packed.state().handed_over[REC] / "install.ps1"
    here.run(script, packed.at, PASSWORD)
    root = here.stores(packed.at).root
    for intermediate in (root, ()):
        holding(here, packed, root=(), intermediate=intermediate)
        with pytest.raises(ScriptError, match="does not trust the certificate"):
            here.run(script, packed.at, phase="Encrypt")


def test_a_key_that_was_made_on_the_computer_never_leaves_it(packed, at):
    """The CSR way: request, sign, accept; no file of the site's folder holds the key."""
    host = "vms-mob-01"
    assert host not in packed.state().pfx
    here = simulated(packed, packed.site[host])
    run = packed.state().handed_over[host]
    assert {path.name for path in run.iterdir()} >= {f"{host}.cer", "accept.ps1"}
    here.run(run / "install.ps1", packed.at)
    (held,) = here.stores(packed.at).personal
    assert held.has_key
    assert here.key(held.certificate).public_key() == held.certificate.public_key()


def test_a_certificate_for_a_key_that_is_gone_is_refused(at):
    with pytest.raises(ScriptError, match=r"Windows did not take vms-mob-01\.cer.*request\.ps1"):
        at("vms-mob-01")()


def test_a_failed_visit_still_brings_the_log(at):
    run = at(REC)
    for phase in ("Encrypt", "Prepare"):
        with pytest.raises(ScriptError):
            run(phase, password="not it")
    told = [line.step for line in run().log if line.result == "failed"]
    assert told == ["enable-encryption", "import-certificate"]


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
    page = (job.state().handed_over["both"] / "README.md").read_text(encoding="utf-8")
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
    path = packed.state().handed_over["vms-ms-01"]
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

    def run(self, phase="Retire"):
        self.here.run(self.folder / "install.ps1", self.job.at, PASSWORD, phase)
        return self.stores

    def holding(self, **stores):
        holding(self.here, self.job, **stores)
        return self.stores

    @property
    def stores(self):
        return replace(
            self.here.stores(self.job.at), log=(), clock_source="", clock_offset=None, given={}
        )


def test_a_client_trusts_a_ca_no_longer_that_was_replaced(packed, tmp_path, old):
    root = old[0].certificate
    visit = Visited(packed, tmp_path, "vms-pc-01", old_roots=(root,))
    visit.holding(root=(root, packed.records.ca_certificate))
    after = visit.run()
    assert (after.root, after.disallowed) == ((packed.records.ca_certificate,), ())
    assert visit.run() == after


def test_a_stolen_ca_leaves_the_roots_and_is_barred(packed, tmp_path, old):
    stolen = (old[0].certificate, old[1])
    visit = Visited(packed, tmp_path, "vms-pc-01", barred=stolen)
    visit.holding(root=(packed.records.ca_certificate, stolen[0]))
    after = visit.run()
    assert (after.root, after.disallowed) == ((packed.records.ca_certificate,), stolen)
    assert visit.run() == after


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
    visit = Visited(packed, tmp_path, REC, old_roots=(old[0].certificate,))
    steps = [name for _, name in script_steps((visit.folder / "undo.ps1").read_bytes())]
    assert steps.index("undo-root-removal") < steps.index("undo-encryption")
