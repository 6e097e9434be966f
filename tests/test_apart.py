"""Tests that run in a process of their own are told as if they had run with the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = "from apart import arrange as pytest_collection_modifyitems\n"
HERE = "def test_here(): pass\n"
SCRIPTS = """import pytest

def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="not today")
def test_left_out(): pass
"""


@pytest.fixture
def run(tmp_path):
    def run(scripts):
        (tmp_path / "windows").mkdir()
        (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (tmp_path / "test_cli.py").write_text(HERE, encoding="utf-8")
        (tmp_path / "windows" / "test_scripts.py").write_text(scripts, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-rfs", "-c", os.devnull, "--rootdir", "."]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", timeout=60
        )

    return run


def test_each_test_ends_as_it_ended_there(run):
    done = run(SCRIPTS)
    assert done.returncode == 1
    assert "1 failed, 2 passed, 1 skipped" in done.stdout
    assert "assert 1 == 2" in done.stdout
    assert "FAILED windows/test_scripts.py::test_bad" in done.stdout


def test_a_process_that_dies_is_never_taken_for_tests_that_passed(run):
    done = run("import os\n\ndef test_dies(): os._exit(3)\ndef test_after(): pass\n")
    assert done.returncode != 0
    assert "did not run in its process" in done.stdout + done.stderr
