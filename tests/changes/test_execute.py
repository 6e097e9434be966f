"""A runbook without a browser: what is left when it stops, dies, or is ended."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from vmscert.changes import execute as module
from vmscert.facts import NOTEBOOKS
from vmscert.records.folder import Records

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_kernel_that_dies_ends_in_a_sentence_and_what_ran_until_then_is_kept(
    tmp_path, monkeypatch, capfd
):
    first = new_code_cell("SITE: str = ''", metadata={"tags": ["parameters"]})
    dies = new_code_cell("import os; print('so far'); os.write(2, b'odd'); os._exit(3)")
    nbformat.write(new_notebook(cells=[first, dies]), tmp_path / "deadly.ipynb")
    monkeypatch.setattr(module, "NOTEBOOKS", tmp_path)
    with pytest.raises(module.NotebookError, match=r"Kernel died: open the notebook with vmscert"):
        module.execute("deadly", {}, Records(tmp_path / "out"), AT)
    (kept,) = (tmp_path / "out").rglob("stopped.ipynb")
    assert nbformat.read(kept, 4).cells[0].execution_count == 1
    assert capfd.readouterr().err == ""


LIE = "every server has a certificate: yes"


def test_of_a_run_that_stopped_nothing_stands_below_the_stop_and_nobody_elses_parameters_count(
    tmp_path, monkeypatch
):
    name = "13-trust-the-ca-on-clients"
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    for number, cell in enumerate(notebook.cells):  # as somebody left it who works at another site
        if cell.cell_type == "code":
            cell.outputs = [new_output("stream", text=LIE)]
            cell.execution_count = 70 + number
            cell.source = cell.source.replace('APPROVED: str = ""', 'APPROVED: str = "leaked"')
    nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(module, "NOTEBOOKS", tmp_path)
    table = tmp_path / "lyon.csv"
    table.write_bytes((NOTEBOOKS.parent / "data/sites/example.csv").read_bytes())
    given = {"SITE": str(table), "FOLDER": str(tmp_path / "records")}
    records = Records(tmp_path / "records")
    with pytest.raises(module.NotebookError, match=r"the CA exists.* Run 11-create-the-ca"):
        module.execute(name, given, records, AT)
    (kept,) = records.folder.rglob("stopped.ipynb")
    cells = [one for one in nbformat.read(kept, as_version=4).cells if one.cell_type == "code"]
    assert [one.execution_count for one in cells] == [1, 2, 3] + [None] * (len(cells) - 3)
    assert not any(one.outputs for one in cells[3:])
    assert cells[2].outputs[-1].ename == "Stop"
    for path in records.folder.rglob("stopped.*"):
        assert LIE.encode() not in path.read_bytes()
        assert b"leaked" not in path.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="on Windows no process can be sent a Ctrl-C alone")
def test_a_run_that_is_ended_says_so_in_a_sentence_and_leaves_no_kernel(tmp_path):
    command = [sys.executable, "-c", "from vmscert.cli.main import main; main()", "run", "11"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path / "records")],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env=os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path / "kernels")},
    ) as run:
        end = time.monotonic() + 60
        while not list((tmp_path / "records").glob("changes/*/details/plan.html")):
            assert time.monotonic() < end
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert "Ended by you: what was done stays done" in said
    assert "Traceback" not in said
    assert run.returncode == 130
    assert list((tmp_path / "kernels").glob("kernel-*.json")) == []
