"""The house keeps its shape: who imports whom, and who touches the world outside."""

import ast
import re
from pathlib import Path

import pytest

import vmscert

PACKAGE = Path(__file__).parents[1] / "vmscert"

# In import order; each module may import what stands at its right, and nothing else of the kit.
HOUSE = {
    "facts": "",
    "names": "",
    "files": "",
    "keyfile": "",
    "releases": "facts",
    "pages": "",
    "site": "facts",
    "sitetable": "facts names releases site",
    "teaching": "",
    "authority": "keyfile names teaching",
    "windows": "facts",
    "scripts": "facts",
    "certreq": "authority facts names",
    "load": "site",
    "leaflet": "facts load pages releases scripts",
    "inventory": "scripts windows",
    "pemfiles": "facts inventory load names pages windows",
    "handover": "authority certreq facts leaflet load pages pemfiles releases scripts windows",
    "rollout": "facts load pages scripts site windows",
    "tls": "authority names",
    "reach": "names tls",
    "rules": "facts",
    "extensions": "",
    "subtrees": "",
    "paths": "extensions rules subtrees",
    "symptoms": "facts reach rules",
    "revocation": "paths rules subtrees",
    "trust": "extensions names paths revocation rules subtrees",
    "expiry": "authority paths rules windows",
    "ledger": "files",
    "fleet": "authority keyfile",
    "computers": "authority facts names paths releases rules site subtrees windows",
    "check": "authority computers expiry paths site teaching trust windows",
    "cafiles": "authority files",
    "evidence": "facts files",
    "planned": "pages",
    "blackout": "computers expiry paths site trust windows",
    "records": "authority cafiles files inventory ledger windows",
    "state": "authority cafiles ledger records site windows",
    "targets": "names reach site sitetable",
    "verify": "computers reach site tls trust windows",
    "surveys": "check names paths reach site targets tls trust verify windows",
    "simulate": "authority site tls verify windows",
    "visits": (
        "authority certreq computers facts files inventory keyfile ledger records releases scripts "
        "site windows"
    ),
    "faults": "authority check fleet releases simulate site trust verify windows",
    "job": "facts keyfile records site state",
    "missing": "authority job pemfiles releases site state trust windows",
    "switching": "facts job site",
    "dark": "authority computers paths site trust windows",
    "overlap": "authority computers dark facts job site switching windows",
    "bands": "drawing overlap",
    "replacing": "authority job overlap site windows",
    "compromise": "authority dark facts overlap site switching windows",
    "carrying": "handover job ledger load missing pemfiles rollout scripts site state switching",
    "rehearsal": (
        "authority carrying job keyfile ledger records site state switching visits windows"
    ),
    "recordkey": "evidence files job keyfile records",
    "changes": "evidence files job ledger pages planned recordkey records",
    "changerecord": "changes evidence files job ledger pages recordkey records",
    "changeplans": "agenda changes compromise facts job missing planned state switching",
    "closing": "changerecord execute job",
    "deeds": (
        "authority check expiry fleet job ledger missing records rehearsal releases simulate "
        "site state trust verify windows"
    ),
    "succession": "authority carrying deeds job missing records rehearsal state verify windows",
    "drill": (
        "authority cafiles carrying handover job keyfile ledger recordkey records releases site "
        "sitetable state tls trust"
    ),
    "handbook": "agenda authority deeds facts files job ledger pages records site state",
    "runbook": "carrying changes deeds job missing records rehearsal sitetable state",
    "dissect": "extensions paths windows",
    "formats": "",
    "pasted": "facts",
    "reading": (
        "check facts formats inventory pasted paths records site sitetable state trust windows"
    ),
    "agenda": (
        "blackout check expiry inventory job paths reach reading records site sitetable state "
        "surveys targets windows"
    ),
    "watching": "expiry facts scripts",
    "channels": "agenda blackout expiry ledger pages picture",
    "passwords": "job missing site",
    "standings": "job ledger missing pemfiles site state windows",
    "returns": "authority deeds inventory job ledger paths reading site state",
    "lesson": "authority reach runbook simulate teaching tls",
    "textbook": "",
    "messages": "extensions paths",
    "wire": "authority messages names tls",
    "ladders": "drawing messages wire",
    "der": "extensions",
    "quizzes": "facts",
    "plans": "check deeds expiry facts job missing releases site switching trust verify windows",
    "inherited": "authority expiry facts job paths reading site trust windows",
    "guidescripts": "authority files job windows",
    "execute": "changerecord evidence facts job records",
    "drawing": "",
    "picture": "drawing expiry facts site trust",
    "troubles": "drawing paths surveys trust",
    "practice": "authority faults reach reading simulate site surveys targets tls trust verify",
    "sketches": "der drawing",
    "show": "facts job picture site trust",
    "chainfaults": "authority faults reach rules simulate sitetable tls trust verify",
    "sights": "chainfaults dissect drawing forms paths practice trust",
    "exam": "chainfaults facts files job practice rules show sights simulate",
    "examform": "chainfaults exam rules show sights",
    "boardform": "job returns show standings",
    "explorer": "show",
    "timemachine": "agenda blackout explorer job picture show site",
    "forms": "practice reach reading show surveys symptoms troubles",
    "terminal": (
        "agenda blackout channels dissect expiry formats job reach reading standings surveys tls "
        "trust"
    ),
    "cli": (
        "agenda changerecord channels drill evidence execute facts files job ledger plans reach "
        "reading records returns rollout runbook site sitetable standings state surveys "
        "switching symptoms targets terminal trust verify watching"
    ),
}
# Who may reach outside the program, and how.
CLOCK = {"runbook", "cli"}
NETWORK = {"chainfaults", "reach", "simulate", "surveys"}
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
