"""The last cell of a runbook: the notebook as it ran goes into the record, which is then signed."""

import os
from pathlib import Path
from typing import Any

from vmscert.changes.execute import page
from vmscert.changes.job import Job, Stop
from vmscert.changes.record import close

# Set by Jupyter for the kernel of a notebook that somebody has open; nothing else has it.
_OPENED = "JPY_SESSION_NAME"
_BY_RUN = "vmscert run adds the notebook as it ran"


def close_change(job: Job, note: str) -> str:
    """Finish a change: sign its record, with the notebook as it ran; say where it is.

    A notebook that somebody has open must be saved first: Stop otherwise, on a real site. What ran
    without a browser is added by `vmscert run` when it has come to its end.
    """
    saved, why_not = _saved_notebook()
    if not saved and why_not != _BY_RUN and not job.rehearsal:
        raise Stop(f"{why_not}: save it with Ctrl-S, then run this cell again")
    folder = close(job, note, saved)
    place = folder.relative_to(job.records.folder).as_posix()
    without = "" if saved or why_not == _BY_RUN else f" Without the notebook: {why_not}."
    return (
        f"Closed and signed: {job.folder}/{place}/record.html.{without}\n"
        f"Check it with: vmscert records verify {job.folder}"
    )


def _saved_notebook() -> tuple[dict[str, bytes], str]:
    """The notebook of this kernel as its file holds it, or why there is none."""
    opened = os.environ.get(_OPENED)
    if not opened or not Path(opened).is_file():
        return {}, _BY_RUN
    import nbformat

    notebook = nbformat.reads(Path(opened).read_text(encoding="utf-8"), as_version=4)
    if not _is_what_ran(notebook):
        return {}, f"{Path(opened).name} on the disk is not what has run here"
    written = nbformat.writes(notebook).encode()
    return {"notebook.ipynb": written, "notebook.html": page(notebook)}, ""


def _is_what_ran(notebook: Any) -> bool:
    """Whether each code cell above the one that is running was saved as this kernel ran it."""
    from IPython.core.getipython import get_ipython

    history = getattr(get_ipython(), "history_manager", None)
    ran = history.input_hist_raw if history else []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    mine = ran[-1].strip() if ran else ""
    above = cells[: next((n for n, cell in enumerate(cells) if cell.source.strip() == mine), 0)]
    counted = [(cell.execution_count or 0, cell.source.strip()) for cell in above]
    return bool(above) and all(
        0 < count < len(ran) and ran[count].strip() == source for count, source in counted
    )
