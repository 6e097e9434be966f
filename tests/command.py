"""The command `vmscert`, as people type it: in a process of its own, or in this one."""

import io
import os
import subprocess
import sys
from contextlib import chdir
from unittest import mock

import pytest

from vmscert.cli import main as cli


def vmscert_process(*arguments, folder, **environment):
    """Run the real command in a folder and a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from vmscert.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        timeout=240,
    )


def vmscert(*arguments, folder, **environment):
    """Run the command in this process, which saves the second that starting one takes."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    argv = ["vmscert", *map(str, arguments)]
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.multiple(sys, argv=argv, stdout=out, stderr=err, stdin=io.StringIO()),
        chdir(folder),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    written = [stream.buffer.getvalue() for stream in (out, err) if not stream.flush()]
    told = (text.decode().replace("\r\n", "\n") for text in written)
    return subprocess.CompletedProcess(argv, ended.value.code, *told)
