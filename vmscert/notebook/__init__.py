"""What a notebook shows: tables, pictures, forms. The only folder with pandas' and Jupyter's looks.

It decides nothing: what it shows was computed below.
`tables` shows rows and has the base of all forms; `runbook` is what a runbook's cells call.
"""

from vmscert.door import door

__getattr__, __dir__, __all__ = door(
    "vmscert.notebook",
    {
        "notebook.board": "board_form explore time_machine",
        "notebook.exam": "exam_form",
        "notebook.forms": "error_box look_form pfx_password show_look sieve",
        "notebook.runbook": "open_runbook",
        "notebook.tables": "choose_site encryption_switches findings_table require stack table",
        "pictures.bands": "lifetimes timeline",
        "pictures.bytes": "bars blocks_picture bytes_picture ladder scatter",
        "pictures.path": "heat_map path_picture",
        "pictures.site_map": "site_map",
        "runbooks.visits": "who_trusts_whom",
    },
)
