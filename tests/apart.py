"""Runs the tests of the real scripts in a process of their own, beside all the others.

All other tests run one after the other: servers of one would take the ports that a notebook's
kernel of another is about to use. Those of the scripts wait for PowerShell most of the time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

REPORTS = "VMSCERT_REPORTS"  # where the other process writes how each of its tests ended


class Writer:
    """In the other process: writes down each report as soon as there is one."""

    def __init__(self, config):
        self._config, self._path = config, Path(os.environ[REPORTS])

    def pytest_runtest_logreport(self, report):
        """Add one line."""
        hook = self._config.hook.pytest_report_to_serializable
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(hook(config=self._config, report=report)) + "\n")


class Reader:
    """In the first process: starts the other one, and takes over how its tests ended."""

    def __init__(self, config, items):
        self._config, self._items = config, {item.nodeid for item in items}
        self._folder = Path(tempfile.mkdtemp(prefix="vmscert-apart-"))
        self._path, self._lines = self._folder / "reports.jsonl", 0
        self._found = {}
        chosen = ["-m", config.option.markexpr, "-k", config.option.keyword]
        folder = sorted({str(item.path.parent) for item in items})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *folder],
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
        while True:
            ended = self._process.poll() is not None
            self._read()
            reports = self._found.get(item.nodeid, [])
            if reports and reports[-1].when == "teardown":
                return reports
            if ended:
                said = (self._folder / "output.txt").read_text("utf-8", "replace")[-2000:]
                raise RuntimeError(f"{item.nodeid} did not run in its process:\n{said}")
            time.sleep(0.2)

    def _read(self):
        """Read the lines that came since the last time."""
        if not self._path.exists():
            return
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
        hook = self._config.hook.pytest_report_from_serializable
        for line in lines[self._lines :]:
            report = hook(config=self._config, data=json.loads(line))
            if isinstance(report.longrepr, list):  # why it was skipped: JSON knows no tuples
                report.longrepr = tuple(report.longrepr)
            self._found.setdefault(report.nodeid, []).append(report)
        self._lines = len(lines)

    def pytest_unconfigure(self):
        """Leave no process behind."""
        self._process.kill()
        self._process.wait()


def arrange(config, items):
    """Let the tests of the scripts begin now, beside the others, if there are others.

    Not where somebody looks at one test after the other, or at none.
    """
    scripts = [item for item in items if "windows" in item.path.parts[-2:]]
    alone = config.option.usepdb or config.option.collectonly or config.option.capture == "no"
    if REPORTS in os.environ:
        config.pluginmanager.register(Writer(config))
    elif scripts and len(scripts) < len(items) and not alone:
        items.sort(key=set(scripts).__contains__)
        config.pluginmanager.register(Reader(config, scripts))
