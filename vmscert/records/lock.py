"""Who has the folder of a site: one run at a time, and what a killed one left is cleared away."""

import getpass
import json
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vmscert.files import sweep

_PATIENCE = 20  # seconds to wait for another run before saying so
_RUN = secrets.token_hex(8)  # tells this run from one before it that had the same number


class FolderLock:
    """The lock of one folder; who takes it again while holding it keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / ".lock", timeout=_PATIENCE)
        # Windows lets nobody read a locked file itself.
        self._holder = folder / ".lock.json"

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Keep other runs out, and say whether it was not held already; RuntimeError names whose.

        Drafts of a killed run go where another one had the lock last: to look through a large
        folder takes long, and whoever ends in peace leaves nothing there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        newly = not self._lock.is_locked
        try:
            self._lock.acquire()
        except Timeout:
            raise RuntimeError(
                f"{self.folder} is in use by {self._told()}: wait until it ends, then run again"
            ) from None
        try:
            me = {**whoami(), "process": os.getpid(), "run": _RUN}
            if newly and self._signed() != me:
                sweep(self.folder)
                self._holder.write_text(json.dumps(me), encoding="utf-8")
            yield newly
        finally:
            self._lock.release()

    def _signed(self) -> dict[str, Any]:
        """Who had the lock last, or has it."""
        try:
            return dict(json.loads(self._holder.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _told(self) -> str:
        told = self._signed()
        if not {"user", "machine", "process"} <= set(told):
            return "another run"
        return f"{told['user']} on {told['machine']} (process {told['process']})"


def whoami() -> dict[str, str]:
    """Return who runs this, and on which computer, as far as the system tells."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name is set, and nobody knows the number
        user = "unknown"
    return {"user": user, "machine": platform.node()}
