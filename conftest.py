"""Settings of a whole test run."""

import os
import shutil
import tempfile


def pytest_configure(config):
    """Keep the records that notebooks write away from those of the person who runs the tests."""
    config.records = tempfile.mkdtemp(prefix="vmscert-records-")
    os.environ["VMSCERT_RECORDS"] = config.records


def pytest_unconfigure(config):
    shutil.rmtree(config.records, ignore_errors=True)
