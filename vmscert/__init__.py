"""TLS certificates for the XProtect video management system: runbooks, lessons, diagnosis.

Everything that a notebook or a script calls is importable from here.
"""

from importlib import import_module
from typing import Any

# Where each public name lives. Modules load when a name of theirs is first used, so that
# `import vmscert` costs next to nothing.
_HOMES = {
    "agenda": "Agenda Unknown gather goes_dark",
    "blackout": "Blackout blackouts dark_rows",
    "timemachine": "time_machine",
    "authority": (
        "LESSON QUICK ROOT SERVER Authority Issued Profile create_authority read_pfx request "
        "thumbprint"
    ),
    "boardform": "board_form",
    "changeplans": "plan_change",
    "changes": "Change approve begin progress",
    "closing": "close_change",
    "carrying": "Errand hand_over roll_out",
    "check": "check_ca check_host check_site",
    "der": "certificate_fields",
    "chainfaults": "SEEN",
    "exam": "answer_sheet draw_exam open_gallery",
    "examform": "exam_form",
    "expiry": "Due Sight due",
    "explorer": "Explorer explore",
    "faults": "GALLERY Lab fault healthy",
    "fleet": "issue_all",
    "forms": "error_box look_form show_look sieve",
    "job": "Job",
    "ladders": "ladder",
    "ledger": "Entry Ledger",
    "lesson": "AT expect lesson_ca lesson_server milliseconds self_test",
    "names": "parse_name",
    "dissect": "Anatomy anatomy",
    "pasted": "Binding",
    "returns": "take_back",
    "reading": "Document read read_roots",
    "records": "Records",
    "rehearsal": "walk",
    "picture": "Picture site_map",
    "plans": (
        "check_inventories check_issued connection_checks connection_findings connection_rows "
        "describe_ca due_servers "
        "plan_certificates plan_imports plan_switching record_verification "
        "renewal_view switching_checks who_serves_what who_trusts_whom"
    ),
    "bands": "lifetimes timeline",
    "compromise": "compromise_plan compromise_rows own_trust revocation_rows",
    "acceptance": "DarkLink dark_links refusals",
    "replacing": "overlap_of overlap_picture",
    "overlap": (
        "RIGHT SERVERS_FIRST Overlap cross_signing_rows overlap_rows plan_overlap "
        "planned_stores proof simulate_days stand_ins"
    ),
    "deeds": (
        "ca_name create_ca due_certificates issue_certificates receive renew_certificates "
        "sign_requests verify_site"
    ),
    "quizzes": "Quiz quiz",
    "passwords": "Password pfx_password",
    "looks": "Look",
    "practice": "look practice_survey",
    "runbook": "open_runbook precheck verify_stage",
    "show": ("choose_site encryption_switches findings_table require table"),
    "simulate": "serving",
    "site": "Connection Host Site",
    "sitetable": "SiteError read_site",
    "reach": "connect",
    "standings": "Standing board mark_carried",
    "succession": (
        "answer_compromise bar_certificates create_next_ca dark_links_now retirable "
        "retirement_checks switch_ca walk_and_survey"
    ),
    "surveys": "Survey survey",
    "sketches": "bars blocks_picture bytes_picture scatter",
    "switching": "Step callers ready switch_off switch_on too_early",
    "symptoms": "Explanation explain",
    "targets": "Target read_targets site_targets",
    "troubles": "heat_map path_picture",
    "teaching": "is_teaching teaching_key",
    "tls": "Handshake handshake",
    "trust": "Diagnosis diagnose",
    "rules": "RULES Check Finding Rule",
    "visits": "Computer ScriptError Trouble",
    "verify": "Verification verify_connections verify_simulated",
    "wire": "Recording capture key_shares open_recording signed_by_server",
    "handbook": "write_handbook",
    "guidescripts": "inherited_example",
    "inherited": "Inheritance adopt audit read_inheritance unmatched verify_adoption",
    "inventory": "read_inventory write_inventory",
    "windows": "LogLine Personal Service Stores",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vmscert' has no attribute {name!r}")
    return getattr(import_module(f"vmscert.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
