"""TLS certificates for the XProtect video management system: runbooks, lessons, diagnosis.

Everything that a notebook or a script calls is importable from here.
"""

from importlib import import_module
from typing import Any

# Where each public name lives. Modules load when a name of theirs is first used, so that
# `import vmscert` costs next to nothing.
_HOMES = {
    "agenda.gather": "Agenda Unknown gather goes_dark",
    "checks.blackout": "Blackout blackouts dark_rows",
    "certificates.authority": (
        "LESSON QUICK ROOT SERVER Authority Issued Profile create_authority read_pfx request "
        "thumbprint issue_all"
    ),
    "notebook.board": "board_form",
    "changes.change": "Change approve begin progress",
    "changes.closing": "close_change",
    "changes.errands": "Errand Standing board hand_over mark_carried roll_out",
    "checks.site": "check_ca check_host check_site",
    "lessons.der": "certificate_fields",
    "practice.gallery": "answer_sheet draw_exam open_gallery",
    "notebook.exam": "exam_form",
    "checks.expiry": "Due Sight due",
    "notebook.explorer": "Explorer explore time_machine",
    "practice.faults": "GALLERY Lab fault healthy",
    "notebook.forms": "error_box look_form show_look sieve",
    "changes.job": "Job",
    "pictures.ladder": "ladder",
    "records.ledger": "Entry Ledger",
    "lessons.exercises": ("AT Quiz expect lesson_ca lesson_server milliseconds quiz self_test"),
    "names": "parse_name",
    "certificates.words": "Anatomy anatomy",
    "runbooks.returns": "take_back",
    "checks.documents": "Document read read_roots",
    "records.folder": "Records",
    "changes.rehearsal": "walk",
    "pictures.site_map": "Picture site_map",
    "pictures.bands": "lifetimes timeline",
    "runbooks.compromise": ("bar_certificates compromise_plan compromise_rows own_trust"),
    "runbooks.certificates": (
        "ca_name check_issued create_ca describe_ca due_certificates issue_certificates "
        "plan_certificates receive renew_certificates sign_requests"
    ),
    "runbooks.visits": (
        "check_inventories connection_checks connection_rows plan_imports "
        "plan_switching switching_checks verify_site who_serves_what "
        "who_trusts_whom"
    ),
    "checks.acceptance": "DarkLink dark_links refusals",
    "runbooks.replace": (
        "create_next_ca due_servers overlap_of overlap_picture renewal_view "
        "retirable retirement_checks switch_ca walk_and_survey"
    ),
    "runbooks.overlap": (
        "RIGHT SERVERS_FIRST Overlap cross_signing_rows overlap_rows plan_overlap "
        "planned_stores proof simulate_days stand_ins"
    ),
    "notebook.passwords": "Password pfx_password",
    "network.looks": "Look",
    "practice.servers": "SEEN look practice_survey",
    "runbooks.stages": "open_runbook plan_change precheck verify_stage",
    "notebook.tables": ("choose_site encryption_switches findings_table require table"),
    "network.servers": "serving",
    "site.site": "Connection Host Site",
    "site.table": "SiteError read_site",
    "network.reach": "connect",
    "network.survey": "Survey survey",
    "pictures.bytes": "bars blocks_picture bytes_picture scatter",
    "site.order": "Step callers ready switch_off switch_on too_early",
    "certificates.symptoms": "Explanation explain",
    "network.targets": "Target read_targets site_targets",
    "pictures.path": "heat_map path_picture",
    "certificates.keys": "is_teaching teaching_key",
    "network.tls": "Handshake handshake",
    "certificates.diagnosis": "Diagnosis diagnose",
    "findings": "RULES Check Finding Rule",
    "windows.simulated": "Computer",
    "windows.steps": "ScriptError Trouble",
    "checks.live": "Verification verify_connections verify_simulated",
    "lessons.recording": "Recording capture key_shares open_recording signed_by_server",
    "runbooks.handbook": "write_handbook",
    "runbooks.adopt": (
        "Inheritance adopt audit inherited_example read_inheritance unmatched verify_adoption"
    ),
    "windows.inventory": "Binding read_inventory write_inventory",
    "windows.stores": "LogLine Personal Service Stores",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vmscert' has no attribute {name!r}")
    return getattr(import_module(f"vmscert.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
