"""What a notebook shows: tables, pictures, forms. The only folder with pandas' and Jupyter's looks.

It decides nothing: what it shows was computed below.
`tables` shows rows and has the base of all forms; `runbook` is what a runbook's cells call.
"""

from vmscert.door import door

__getattr__, __dir__, __all__ = door(
    "vmscert.notebook",
    {
        "notebook.board": "board_form",
        "notebook.exam": "exam_form",
        "notebook.explorer": "explore time_machine",
        "notebook.forms": "error_box look_form show_look sieve",
        "notebook.passwords": "pfx_password",
        "notebook.runbook": "open_runbook",
        "notebook.tables": "choose_site encryption_switches findings_table require stack table",
        "pictures.bands": "lifetimes timeline",
        "pictures.bytes": "bars blocks_picture bytes_picture scatter",
        "pictures.ladder": "ladder",
        "pictures.path": "heat_map path_picture",
        "pictures.site_map": "site_map",
        "runbooks.visits": "who_trusts_whom",
    },
)
