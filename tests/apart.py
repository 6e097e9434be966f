"""Runs the tests of the real scripts in a process of their own, with all others that serve nothing.

Notebooks and the tests that serve run one after the other: servers of one would take the ports that
a kernel of another is about to use.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

REPORTS = "VMSCERT_REPORTS"  # where the other process writes how each of its tests ended
# These serve at 127.0.0.1, or start a kernel, a browser or a server of notebooks.
HERE = {
    f"test_{name}.py"
    for name in (
        "a_new_release", "browser", "calls", "carrying", "cli", "clients", "cluster", "exam",
        "execute",
        "faults", "looks", "notebooks", "on_the_wire", "pemfiles", "reach", "records", "runbook",
        "show", "succession", "survey", "symptoms", "tls", "troubles",
    )
}  # fmt: skip


class Writer:
    """In the other process: writes down each report as soon as there is one."""

    def __init__(self, config):
        self._config, self._path = config, Path(os.environ.pop(REPORTS))
        if sys.platform != "win32":  # where every event loop binds a socket of its own
            sys.addaudithook(_serve_nothing)

    def pytest_runtest_logreport(self, report):
        """Add one line."""
        hook = self._config.hook.pytest_report_to_serializable
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(hook(config=self._config, report=report)) + "\n")


def _serve_nothing(event, arguments):
    """Let a test fail that is in the wrong process."""
    if event == "socket.bind" and arguments[1][0] == "127.0.0.1":
        raise RuntimeError("This test serves at 127.0.0.1: name its file in HERE of tests/apart.py")


class Reader:
    """In the first process: starts the other one, and takes over how its tests ended."""

    def __init__(self, config, items):
        self._config, self._items = config, {item.nodeid for item in items}
        self._folder = Path(tempfile.mkdtemp(prefix="vmscert-apart-"))
        self._path, self._read_until = self._folder / "reports.jsonl", 0
        self._found = {}
        chosen = ["-m", config.option.markexpr, "-k", config.option.keyword]
        paths = sorted({str(item.path) for item in items}, reverse=True)  # the scripts first
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *paths],
            env=os.environ | {REPORTS: str(self._path)},
            stdout=(self._folder / "output.txt").open("wb"),
            stderr=subprocess.STDOUT,
            cwd=config.rootpath,
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """Tell how a test ended in the other process, as if it had run here."""
        if item.nodeid not in self._items:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(self, item):
        """Wait for the reports of one test; a test that did not run has failed."""
        while not self._has_ended(item):
            dead = self._process.poll() is not None
            self._read()
            if self._has_ended(item):
                break
            if dead:
                said = (self._folder / "output.txt").read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"{item.nodeid} did not run in its process:\n{said}")
            time.sleep(0.2)
        return self._found[item.nodeid]

    def _has_ended(self, item):
        reports = self._found.get(item.nodeid)
        return reports and reports[-1].when == "teardown"

    def _read(self):
        """Read the lines that came since the last time."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            file.seek(self._read_until)
            while (line := file.readline()).endswith("\n"):
                self._read_until = file.tell()
                self._keep(json.loads(line))

    def _keep(self, data):
        hook = self._config.hook.pytest_report_from_serializable
        report = hook(config=self._config, data=data)
        if isinstance(report.longrepr, list):  # why it was skipped: JSON knows no tuples
            report.longrepr = tuple(report.longrepr)
        self._found.setdefault(report.nodeid, []).append(report)

    def pytest_unconfigure(self):
        """Leave no process and no folder behind."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)  # Windows may still hold its files


def arrange(config, items):
    """Let tests begin in the other process now, if those of the scripts are among them.

    Not where somebody looks at one test after the other, or at none.
    """
    apart = {i for i in items if i.path.suffix == ".py" and i.path.name not in HERE}
    scripts = {item for item in apart if "windows" in item.path.parts[-2:]}
    alone = config.option.usepdb or config.option.collectonly or config.option.capture == "no"
    if REPORTS in os.environ:
        config.pluginmanager.register(Writer(config))
    elif scripts and len(apart) < len(items) and not alone:
        items.sort(key=apart.__contains__)
        config.pluginmanager.register(Reader(config, apart))
