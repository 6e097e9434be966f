"""PowerShell processes that stay, in which one simulated computer after the other runs scripts."""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from queue import LifoQueue
from typing import Any

from pwsh import PWSH

HERE = Path(__file__).parent
SOURCES = [HERE / f"{name}.cs" for name in ("machine", "windows", "xprotect", "worker")]
AT_ONCE = 2


class KilledError(Exception):
    """The process ended in the middle of a script."""


class Workers:
    """Two PowerShell processes; whoever asks waits until one is free.

    To a process every disk lies in the same place: PowerShell compiles a script once for each path.
    """

    def __init__(self) -> None:
        self._free: LifoQueue[tuple[subprocess.Popen[str] | None, Path]] = LifoQueue()
        self._places = tempfile.TemporaryDirectory(prefix="vmscert-disk-")
        for number in range(AT_ONCE):
            self._free.put((None, Path(self._places.name, f"{number}")))

    def ask(self, request: dict[str, Any], disk: Path) -> dict[str, Any]:
        """Let one process do what is asked; KilledError where it did not survive that."""
        worker, place = self._free.get()
        try:
            worker = worker or _started()
            assert worker.stdin and worker.stdout
            place.unlink(missing_ok=True)
            place.symlink_to(disk, target_is_directory=True)
            worker.stdin.write(json.dumps(request).replace(str(disk), str(place)) + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                worker.wait()
                worker.stdin.close()
                worker.stdout.close()
                worker = None
                raise KilledError
            return json.loads(answer.replace(str(place), str(disk)))
        finally:
            self._free.put((worker, place))

    def close(self) -> None:
        """End the processes."""
        for _ in range(AT_ONCE):
            worker, _ = self._free.get()
            if worker:
                worker.communicate()
        self._places.cleanup()


def _started() -> subprocess.Popen[str]:
    serve = f"Add-Type -Path '{_assembly()}'; [Windows.Worker]::Serve('{HERE / 'windows.ps1'}')"
    # Counting what runs how often, for better code later, costs more here than it brings.
    return subprocess.Popen(
        _command(serve), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        env=os.environ | {"DOTNET_TieredPGO": "0"},
    )  # fmt: skip


def _assembly() -> Path:
    """The stand-ins, compiled once for each wording of their sources."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"vmscert-windows-{digest}.dll"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            new, names = Path(folder) / path.name, ",".join(f"'{one}'" for one in SOURCES)
            options = f"-OutputAssembly '{new}' -CompilerOptions '-nullable:enable'"
            subprocess.run(_command(f"Add-Type -Path {names} {options}"), check=True)
            new.replace(path)
    return path


def _command(text: str) -> list[str]:
    return [str(PWSH), "-NoProfile", "-NonInteractive", "-Command", text]
