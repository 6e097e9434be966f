"""Where PowerShell is, and how a test gives it a script."""

import os
import shutil
import subprocess
from pathlib import Path

VARIABLE = "VMSCERT_PWSH"
NEEDED = "VMSCERT_NEEDS_POWERSHELL"
_found = shutil.which(os.environ.get(VARIABLE) or "pwsh")
PWSH = _found and str(Path(_found).absolute())
WANTED = (
    "for want of PowerShell 7. Install it (https://aka.ms/install-powershell, or with the .NET SDK "
    f"`dotnet tool install --global PowerShell`), or name its program in {VARIABLE}"
)


def run(script: Path, *arguments: str | Path, program: str | None = PWSH) -> str:
    """Return what a script prints in PowerShell; an error of it is one of the test."""
    assert program is not None, WANTED
    command = [program, "-NoProfile", "-NonInteractive", "-File", script, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
