"""The house keeps its shape: who imports whom, and who touches the world outside."""

import ast
import re
from pathlib import Path

import pytest

import vmscert

PACKAGE = Path(__file__).parents[1] / "vmscert"

# In import order; each module may import what stands at its right, and nothing else of the kit.
HOUSE = {
    "drawing": "",
    "extensions": "",
    "facts": "",
    "files": "",
    "formats": "",
    "keyfile": "",
    "names": "",
    "subtrees": "",
    "teaching": "",
    "textbook": "",
    "authority": "keyfile names teaching",
    "der": "extensions",
    "ledger": "files",
    "pages": "facts",
    "pasted": "facts",
    "quizzes": "facts",
    "releases": "facts",
    "rules": "facts",
    "scripts": "facts",
    "site": "facts",
    "cafiles": "authority files",
    "certreq": "authority facts names",
    "evidence": "facts files ledger",
    "fleet": "authority",
    "load": "site",
    "paths": "extensions rules subtrees",
    "picture": "drawing facts rules site",
    "planned": "files pages",
    "sitetable": "facts names releases site",
    "sketches": "der drawing",
    "switching": "facts rules site",
    "symptoms": "facts names rules",
    "tls": "authority facts names",
    "dissect": "authority extensions paths",
    "leaflet": "facts load pages releases scripts",
    "messages": "extensions facts paths",
    "reach": "names tls",
    "revocation": "paths rules subtrees",
    "rollout": "authority facts load pages scripts site",
    "simulate": "authority tls",
    "targets": "files names site sitetable",
    "windows": "authority facts names paths",
    "answer": "scripts windows",
    "computers": "authority facts paths releases rules site windows",
    "lesson": "authority reach rules simulate teaching tls",
    "trust": "extensions names paths revocation rules subtrees",
    "wire": "authority messages tls",
    "acceptance": "authority computers paths rules site trust windows",
    "expiry": "authority paths rules trust",
    "inventory": "answer files windows",
    "ladders": "drawing messages wire",
    "looks": "authority names paths reach rules targets tls trust",
    "watching": "facts scripts trust",
    "bands": "drawing expiry",
    "blackout": "acceptance authority computers expiry paths site trust windows",
    "check": "acceptance authority computers expiry paths rules site teaching trust windows",
    "overlap": "acceptance authority facts rules site switching windows",
    "pemfiles": "facts inventory load names pages windows",
    "records": "authority cafiles files inventory ledger names windows",
    "surveys": "authority looks names paths reach rules site targets tls",
    "verify": "acceptance authority looks reach rules simulate site targets windows",
    "visits": "authority certreq facts files inventory keyfile names releases scripts site windows",
    "compromise": "acceptance authority computers facts overlap site switching windows",
    "faults": "acceptance authority check fleet releases rules site verify windows",
    "handover": "authority certreq facts leaflet load pages pemfiles releases scripts windows",
    "state": "authority cafiles ledger records site windows",
    "troubles": "drawing paths rules surveys trust",
    "chainfaults": "authority faults looks rules simulate sitetable targets tls",
    "job": "facts keyfile records site state",
    "missing": "authority pemfiles releases site state trust windows",
    "reading": (
        "authority check facts files formats inventory looks pasted paths records rules "
        "sitetable state tls"
    ),
    "agenda": (
        "authority blackout check expiry inventory job names paths reach reading records "
        "site sitetable state surveys targets windows"
    ),
    "carrying": (
        "handover job ledger load missing names pemfiles rollout scripts site state "
        "switching"
    ),
    "gates": "acceptance check facts missing rules site state switching trust",
    "guidescripts": "authority files job",
    "inherited": "authority expiry facts job paths reading rules site trust windows",
    "practice": "authority faults looks names reading simulate site surveys targets",
    "recordkey": "evidence files job keyfile records",
    "replacing": "authority bands drawing job overlap site windows",
    "show": "facts job picture rules site",
    "sights": "chainfaults dissect drawing looks paths troubles",
    "changes": "evidence files job ledger pages planned recordkey records",
    "channels": "acceptance agenda bands blackout expiry names pages picture site trust",
    "drill": (
        "authority cafiles carrying handover keyfile names recordkey records releases "
        "rules site sitetable state tls trust"
    ),
    "exam": "chainfaults facts files job looks names rules sights simulate targets",
    "explorer": "show",
    "forms": "looks practice show surveys symptoms troubles",
    "passwords": "job missing show site",
    "rehearsal": "authority carrying job keyfile ledger names site state switching visits windows",
    "standings": "gates job ledger missing names pemfiles rules site state windows",
    "changeplans": "agenda changes compromise facts job missing planned state switching",
    "changerecord": "changes evidence files job ledger pages recordkey records",
    "deeds": (
        "authority check expiry fleet job missing names rehearsal releases site state "
        "trust verify windows"
    ),
    "examform": "chainfaults exam forms rules show",
    "terminal": "agenda blackout channels dissect expiry names reading rules standings surveys",
    "timemachine": "acceptance agenda blackout explorer job picture show",
    "execute": "changerecord evidence facts job records",
    "handbook": "agenda authority deeds facts files job ledger pages records site state",
    "plans": (
        "authority deeds expiry facts gates job looks missing releases rules site "
        "switching verify"
    ),
    "returns": "authority deeds inventory job ledger names paths reading site state",
    "runbook": "carrying changes deeds gates job missing records rehearsal rules sitetable state",
    "succession": "authority carrying deeds job missing records rehearsal rules state verify",
    "boardform": "job returns show standings",
    "cli": (
        "agenda changerecord channels drill evidence execute facts files formats job "
        "looks names plans reach reading records returns rollout rules runbook site "
        "sitetable standings state surveys switching symptoms targets terminal watching"
    ),
    "closing": "changerecord execute job",
}
# Who may reach outside the program, and how.
CLOCK = {"runbook", "cli"}
NETWORK = {"reach", "simulate", "surveys"}
PROCESSES = {"cli"}
FILES = {
    "facts",
    "files",
    "ledger",
    "sitetable",
    "targets",
    "scripts",
    "certreq",
    "inventory",
    "cafiles",
    "evidence",
    "changes",
    "changeplans",
    "changerecord",
    "recordkey",
    "inherited",
    "closing",
    "records",
    "state",
    "drill",
    "reading",
    "tls",
    "execute",
    "pemfiles",
    "carrying",
    "rehearsal",
    "returns",
    "visits",
    "runbook",
}
EDGE = {"closing", "show", "forms", "explorer", "examform", "boardform", "passwords"}
OTHER_WORDS = {
    "pandas": {"show", "plans", "surveys"},
    "ipywidgets": EDGE,
    "IPython": EDGE,
}


def modules():
    return sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def text(module):
    return (PACKAGE / f"{module}.py").read_text(encoding="utf-8")


def tree(module):
    return ast.parse(text(module))


def imported(module):
    """Every module that is imported, with `vmscert.` cut off for our own."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def called(module):
    """The dotted name of everything that is called or looked up on an object."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_every_module_has_its_place_in_the_house():
    assert set(modules()) <= set(HOUSE)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_stands_below_it(module):
    ours = {name.removeprefix("vmscert.") for name in imported(module) if "vmscert" in name}
    assert ours <= set(HOUSE[module].split())


def test_no_public_name_is_hidden_by_a_module():
    assert not set(vmscert.__all__) & set(modules())


def test_the_house_has_no_cycle():
    order = list(HOUSE)
    settled = {name: set(below.split()) for name, below in HOUSE.items()}
    while order:
        free = [name for name in order if not settled[name] & set(order)]
        assert free, f"a cycle among {order}"
        order = [name for name in order if name not in free]


@pytest.mark.parametrize("module", sorted(set(modules()) - CLOCK))
def test_nobody_asks_the_clock_but_those_who_may(module):
    assert not {"now", "utcnow", "today"} & set(called(module))
    assert not re.search(r"^\s*(import time|from time import .*\btime)\b", text(module), re.M)


@pytest.mark.parametrize("module", sorted(set(modules()) - NETWORK))
def test_nobody_opens_a_socket_but_those_who_may(module):
    assert not {"socket", "socketserver", "urllib.request", "http.client", "requests"} & set(
        imported(module)
    )


@pytest.mark.parametrize("module", sorted(set(modules()) - PROCESSES))
def test_nobody_starts_a_process_but_those_who_may(module):
    assert "subprocess" not in set(imported(module))


@pytest.mark.parametrize("module", sorted(set(modules()) - FILES - {"simulate", "show", "cli"}))
def test_nobody_reads_or_writes_files_but_those_who_may(module):
    names = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink"}
    assert not names & set(called(module))


@pytest.mark.parametrize("word", sorted(OTHER_WORDS))
def test_heavy_libraries_stay_at_the_edge(word):
    users = {name for name in modules() if any(i.split(".")[0] == word for i in imported(name))}
    assert users <= OTHER_WORDS[word]
