"""Simulated Windows computers read the files a person carries, and fail where Windows fails."""

import shutil

import pytest

from vmscert import Computer, ScriptError, open_runbook
from vmscert.deeds import hand_over, walk
from vmscert.windows import thumbprint

EXAMPLE = "data/sites/example.csv"


@pytest.fixture
def job(tmp_path):
    """A rehearsal in which everything is handed over, and nobody has walked yet."""
    job = open_runbook("13-trust-the-ca-on-clients", EXAMPLE, tmp_path / "records")
    hand_over(job, "trust")
    hand_over(job, "import")
    hand_over(job, "enable")
    return job


def script(job, host, name):
    return job.records.folder / "hand-over" / host / f"{name}.ps1"


def computer(job, host):
    return Computer(job.site[host], job.records.folder / "simulated")


PASSWORD = "for rehearsals only"


def test_a_new_computer_trusts_nobody(job):
    stores = computer(job, "vms-rec-01").stores(job.at)
    assert (stores.root, stores.personal, stores.bindings) == ((), (), {})


def test_the_trust_script_puts_the_ca_into_the_root_store(job):
    rec = computer(job, "vms-rec-01")
    rec.run(script(job, "vms-rec-01", "trust"), job.at)
    assert rec.stores(job.at).root == (job.records.ca_certificate,)


def test_the_trust_script_twice_is_the_same_as_once(job):
    rec = computer(job, "vms-rec-01")
    for _ in range(2):
        rec.run(script(job, "vms-rec-01", "trust"), job.at)
    assert len(rec.stores(job.at).root) == 1


def test_the_import_script_brings_a_key_that_the_service_can_read(job):
    rec = computer(job, "vms-rec-02")
    rec.run(script(job, "vms-rec-02", "import"), job.at, PASSWORD)
    (held,) = rec.stores(job.at).personal
    assert held.certificate == job.records.current()["vms-rec-02"]
    assert held.readable_by(job.site["vms-rec-02"].accounts[0])


def test_a_wrong_pfx_password_is_refused_and_changes_nothing(job):
    rec = computer(job, "vms-rec-01")
    with pytest.raises(ScriptError, match="password is not correct"):
        rec.run(script(job, "vms-rec-01", "import"), job.at, "not the password")
    assert rec.stores(job.at).personal == ()


def test_an_old_windows_calls_the_password_of_an_aes_file_wrong(job):
    """The file of a current server, taken to Server 2016 under that server's name."""
    from dataclasses import replace

    old = replace(job.site["vms-rec-01"], windows="Windows Server 2016")
    rec = Computer(old, job.records.folder / "simulated")
    with pytest.raises(ScriptError, match="password is not correct"):
        rec.run(script(job, "vms-rec-01", "import"), job.at, PASSWORD)


def test_a_script_for_another_computer_is_refused(job):
    with pytest.raises(ScriptError, match="is for vms-rec-01, not vms-rec-02"):
        computer(job, "vms-rec-02").run(script(job, "vms-rec-01", "trust"), job.at)


def test_a_file_changed_on_the_way_is_refused(job):
    path = script(job, "vms-rec-01", "trust").with_name("ca.cer")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ScriptError, match="changed on the way"):
        computer(job, "vms-rec-01").run(script(job, "vms-rec-01", "trust"), job.at)


def test_encryption_without_the_certificate_is_refused(job):
    with pytest.raises(ScriptError, match="holds no certificate"):
        computer(job, "vms-rec-01").run(script(job, "vms-rec-01", "enable"), job.at)


def test_encryption_with_an_untrusted_chain_ends_with_minus_four(job):
    rec = computer(job, "vms-rec-01")
    rec.run(script(job, "vms-rec-01", "import"), job.at, PASSWORD)
    with pytest.raises(ScriptError, match="-4"):
        rec.run(script(job, "vms-rec-01", "enable"), job.at)


def test_encryption_binds_every_group_that_the_roles_need(job):
    rec = computer(job, "vms-rec-01")
    for name in ("trust", "import", "enable"):
        rec.run(script(job, "vms-rec-01", name), job.at, PASSWORD)
    label = thumbprint(job.records.current()["vms-rec-01"])
    assert rec.stores(job.at).bindings == dict.fromkeys(job.site["vms-rec-01"].groups, label)


def test_a_failed_script_is_an_errand_that_says_so(job):
    shutil.rmtree(job.records.folder / "simulated", ignore_errors=True)
    errands = walk(job, hand_over(job, "enable"))
    assert all(errand.result.startswith("failed: ") for errand in errands)


def test_a_pfx_lies_in_the_folder_of_its_own_server_only(job):
    paths = list((job.records.folder / "hand-over").rglob("*.pfx"))
    labels = {thumbprint(c): name for name, c in job.records.current().items()}
    assert sorted(labels[path.stem] for path in paths) == sorted(p.parent.name for p in paths)
