"""A command that only reads a date must not wait for Jupyter."""

import subprocess
import sys

import pytest
from measure import seconds

HEAVY = ("pandas", "IPython", "jupyter", "jupyterlab", "ipykernel", "ipywidgets", "nbformat")
KIT = "import vmscert"
WORK = "from vmscert import Records, create_authority, due, handshake, read_site, survey"


def python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


@pytest.mark.benchmark
def test_import_costs_at_most_a_quarter_of_a_second():
    """The best of several starts: what the machine can do when nothing disturbs it."""
    rounds = [[seconds(lambda c=code: python(c)) for code in ("", KIT, WORK)] for _ in range(10)]
    bare, kit, work = map(min, zip(*rounds, strict=True))
    print(f"\nbare Python {bare:.3f} s, {KIT} {kit - bare:+.3f} s, {WORK} {work - bare:+.3f} s")
    assert kit - bare <= 0.25


@pytest.mark.parametrize(
    "code",
    [KIT, WORK, "import vmscert.cli.main"],
)
def test_neither_the_kit_nor_its_command_line_loads_pandas_or_jupyter(code):
    told = python(f"import sys\n{code}\nprint(*sys.modules)").stdout
    loaded = {module.split(".")[0] for module in told.split()}
    assert "vmscert" in loaded
    assert loaded.isdisjoint(HEAVY)
