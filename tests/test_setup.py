"""What the kit needs is written once, and every way to install it says the same."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

HOME = Path(__file__).parents[1]
# Not surely on conda-forge, so pip brings them there too.
ONLY_ON_PYPI = {"cryptography-vectors", "playwright", "tree-sitter", "tree-sitter-powershell"}


def text(name):
    return (HOME / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(text("pyproject.toml"))["project"]


@pytest.fixture(scope="module")
def conda():
    return yaml.safe_load(text("environment.yml"))


def bounds(requirements):
    """Name → versions of requirements, whether pip's or conda's way of writing them."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(one.name): one.specifier for one in parsed}


def test_conda_and_pip_install_the_same_versions(project, conda):
    extras = project["optional-dependencies"]
    asked = bounds(project["dependencies"] + extras["test"])
    found = bounds(line for line in conda["dependencies"] if isinstance(line, str))
    assert found.pop("python") == SpecifierSet(project["requires-python"])
    assert found.pop("pip") == SpecifierSet()
    assert found == {name: asked[name] for name in asked.keys() - ONLY_ON_PYPI}


def test_conda_installs_the_kit_itself_with_what_only_pypi_has(project, conda):
    assert conda["name"] == project["name"]
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    assert conda["dependencies"][-1] == {"pip": ["-e .[test]"]}


def imported(source):
    """The top-level module of every import in Python source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def notebook_code():
    for path in (HOME / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        yield TransformerManager().transform_cell("\n".join(code))  # %magic and !programs


def test_every_library_that_the_kit_imports_is_declared(project):
    declared = set(bounds(project["dependencies"]))
    modules = [path.read_text(encoding="utf-8") for path in (HOME / "vmscert").glob("*.py")]
    names = set(chain.from_iterable(map(imported, [*modules, *notebook_code()])))
    foreign = names - sys.stdlib_module_names - {"vmscert"}
    providers = packages_distributions()
    brought = {name: set(map(canonicalize_name, providers[name])) for name in foreign}
    assert not [name for name in foreign if not brought[name] & declared]


def test_ci_calls_the_test_command_of_the_readme_as_it_stands():
    commands = re.findall(r"^\s*(python -m .*\bpytest)$", text("README.md"), re.MULTILINE)
    assert commands
    assert text(".ci/run").splitlines()[-1] == commands[0]


def test_the_workflow_tests_the_oldest_python_on_linux_and_windows(project):
    job = yaml.safe_load(text(".github/workflows/tests.yml"))["jobs"]["tests"]
    matrix = job["strategy"]["matrix"]
    assert f">={matrix['python'][0]}" == project["requires-python"]
    assert matrix["os"] == ["ubuntu-latest", "windows-latest"]
    assert job["steps"][-1]["run"] == "bash .ci/run"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The kit as a wheel holds it, built beside a real site's table and its records."""
    source, dist, unpacked = (tmp_path_factory.mktemp(name) for name in ("src", "dist", "site"))
    for name in ("data", "notebooks", "vmscert"):
        shutil.copytree(HOME / name, source / name, ignore=private)
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(HOME / name, source)
    (source / "data/records/lyon").mkdir(parents=True)
    (source / "data/records/lyon/ledger.csv").touch()
    (source / "data/sites/lyon.csv").touch()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    zipfile.ZipFile(next(dist.glob("*.whl"))).extractall(unpacked)
    return unpacked


def private(folder, names):
    """What a checkout holds beside the kit: caches, records, own tables."""
    sites = set(names) - {"example.csv"} if Path(folder).name == "sites" else set()
    return sites | {"records", "__pycache__", ".ipynb_checkpoints"}


def shipped(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_wheel_carries_all_facts_and_notebooks(wheel, tmp_path):
    for name in ("data", "notebooks"):
        shutil.copytree(HOME / name, tmp_path / name, ignore=private)
        assert shipped(wheel / "vmscert" / name) == shipped(tmp_path / name)


def test_a_wheel_carries_no_records_and_no_real_site(wheel):
    assert not [name for name in shipped(wheel) if "lyon" in name]


def test_the_kit_finds_its_facts_in_a_wheel(wheel):
    code = "from vmscert.facts import HOME, facts; print(HOME, len(facts('xprotect/components')))"
    told = subprocess.check_output([sys.executable, "-c", code], cwd=wheel, text=True)
    home, rows = told.rsplit(maxsplit=1)
    assert Path(home) == wheel / "vmscert"
    assert int(rows) > 0
