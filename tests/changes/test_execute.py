"""A runbook without a browser: what is left when its kernel dies."""

from datetime import UTC, datetime

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from vmscert.changes import execute as module
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
