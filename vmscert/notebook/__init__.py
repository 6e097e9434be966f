"""What a notebook shows: tables, pictures, forms. The only folder with pandas' and Jupyter's looks.

It decides nothing: what it shows was computed below.
`tables` shows rows and has the base of all forms; `runbook` is what a runbook's cells call.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "board": "board_form",
    "exam": "exam_form",
    "explorer": "explore time_machine",
    "forms": "error_box look_form show_look sieve",
    "passwords": "pfx_password",
    "runbook": "open_runbook",
    "tables": "choose_site encryption_switches findings_table require stack table",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vmscert.notebook' has no attribute {name!r}")
    return getattr(import_module(f"vmscert.notebook.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
