"""A run without PowerShell says so last, and fails where it has to have one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pwsh import NEEDED, VARIABLE

HERE = Path(__file__).parent
CHECKED = "windows/test_five_one.py::test_every_script_keeps_to_what_windows_powershell_has"


@pytest.mark.parametrize(("needed", "code"), [("", 0), ("1", 1)])
def test_a_run_without_powershell_says_what_it_left_out(needed, code):
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / CHECKED]
    none = os.environ | {VARIABLE: "no such program", NEEDED: needed}
    done = subprocess.run(words, env=none, cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    last = done.stdout.splitlines()[-3 if needed else -2 :]
    assert last[0].startswith("1 tests were skipped for want of PowerShell")
    assert ("this run failed" in last[1]) == bool(needed)
