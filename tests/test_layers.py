"""The house keeps its shape: who imports whom, and who touches the world outside."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import vmscert
from vmscert import lessons, notebook, practice
from vmscert.facts import facts

PACKAGE = Path(__file__).parents[1] / "vmscert"
MOST_FILES = 9  # in one folder, beside its `__init__`
# Who may reach outside the program, and how.
CLOCK = {
    "cli.change",
    "cli.due",
    "cli.printing",
    "cli.trouble",
    "runbooks.stages",
}
NETWORK = {
    "network.calls",
    "network.servers",
}
FILES = {
    "cli.lab",
    "cli.change",
    "cli.due",
    "cli.lost",
    "cli.main",
    "cli.trouble",
    "certificates.authority",
    "changes.acceptance",
    "changes.change",
    "evidence.drill",
    "changes.errands",
    "changes.execute",
    "changes.next",
    "evidence.proof",
    "changes.record",
    "changes.rehearsal",
    "checks.documents",
    "facts",
    "files",
    "network.targets",
    "network.tls",
    "records.ca",
    "records.folder",
    "records.ledger",
    "records.sealed",
    "records.state",
    "runbooks.adopt",
    "runbooks.returns",
    "runbooks.stages",
    "site.table",
    "windows.folder",
    "windows.inventory",
    "windows.scripts",
    "windows.simulated",
}
EDGE = {
    "changes.execute",
    "notebook.acceptance",
    "notebook.board",
    "notebook.exam",
    "notebook.forms",
    "notebook.runbook",
    "notebook.tables",
}
OTHER_WORDS = {
    "pandas": {"notebook.tables", "network.survey"},
    "ipywidgets": EDGE,
    "IPython": EDGE,
}


def modules():
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.parts) for path in paths if path.name != "__init__")


def text(module):
    return (PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def tree(module):
    return ast.parse(text(module))


def imported(module):
    """Every module that is imported."""
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


def test_no_arrow_runs_up_in_the_house(capsys):
    """The layers stand in pyproject.toml."""
    code = lint_imports(config_filename=str(PACKAGE.parent / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def folders():
    return sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_a_folder_is_small_and_its_first_file_says_what_it_answers(folder):
    assert len(list(folder.glob("*.py"))) - 1 <= MOST_FILES
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert told and len(told.splitlines()) >= 3


@pytest.mark.parametrize(
    ("room", "most"), [(vmscert, 50), (lessons, 25), (practice, 25), (notebook, 30)]
)
def test_a_door_is_small_and_leads_somewhere(room, most):
    assert len(room.__all__) <= most
    assert all(getattr(room, name) is not None for name in dir(room))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        room.nothing  # noqa: B018


def test_every_folder_of_the_house_has_its_tests():
    tests = Path(__file__).parent
    assert all(list((tests / folder.name).glob("test_*.py")) for folder in folders())


@pytest.mark.parametrize("module", sorted(set(modules()) - CLOCK))
def test_nobody_asks_the_clock_but_those_who_may(module):
    assert not {"now", "utcnow", "today"} & set(called(module))
    assert not re.search(r"^\s*(import time|from time import .*\btime)\b", text(module), re.M)


@pytest.mark.parametrize("module", sorted(set(modules()) - NETWORK))
def test_nobody_opens_a_socket_but_those_who_may(module):
    assert not {"socket", "socketserver", "urllib.request", "http.client", "requests"} & set(
        imported(module)
    )


@pytest.mark.parametrize("module", modules())
def test_nobody_starts_a_process(module):
    assert "subprocess" not in set(imported(module))


@pytest.mark.parametrize(
    "module",
    sorted(set(modules()) - FILES - {"network.servers", "notebook.tables", "pages"}),
)
def test_nobody_reads_or_writes_files_but_those_who_may(module):
    names = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink"}
    assert not names & set(called(module))


@pytest.mark.parametrize("word", sorted(OTHER_WORDS))
def test_heavy_libraries_stay_at_the_edge(word):
    users = {name for name in modules() if any(i.split(".")[0] == word for i in imported(name))}
    assert users <= OTHER_WORDS[word]


def test_a_public_name_has_one_meaning():
    """Commands are called as what they print: they alone may share a name with it."""
    homes = defaultdict(list)
    for module in modules():
        if module.split(".")[0] != "cli":
            for node in tree(module).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                    homes[node.name].append(module)
    assert {name: many for name, many in homes.items() if len(many) > 1} == {}


def test_no_code_knows_the_number_or_the_name_of_a_runbook():
    """It asks data/change/runbooks.csv; only what is read as a text tells one."""
    numbers = "|".join(row["runbook"] for row in facts("change/runbooks"))
    told = re.compile(rf"(?:{numbers})(?:-[a-z-]+)?|.*\brunbooks? (?:{numbers})\b.*")
    found = {
        (module, node.value)
        for module in set(modules()) - {"pictures.canvas"}  # pixels are numbers, too
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if told.fullmatch(node.value) and node.value not in docstrings(module)
    }
    assert found == set()


def docstrings(module):
    """The texts that are no code: each of a module, a class or a function."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = (node for node in ast.walk(tree(module)) if isinstance(node, kinds))
    return {ast.get_docstring(node, clean=False) for node in nodes}
