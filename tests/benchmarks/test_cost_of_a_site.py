"""Whatever is done on a site takes as long as the site is large, not as its square."""

import sys
import timeit
from dataclasses import replace
from itertools import pairwise
from time import process_time

import big_sites
import pytest
from big_sites import AT
from lyon import (
    check_issued,
    plan_certificates,
    plan_change,
    precheck,
    switching_checks,
    verify_stage,
)

from vmscert.agenda.gather import gather
from vmscert.changes.errands import board, loads
from vmscert.changes.job import Job
from vmscert.checks.expiry import due, due_of
from vmscert.checks.judging import check_path
from vmscert.cli import main as cli
from vmscert.runbooks.handbook import handbook
from vmscert.runbooks.replace import retirable
from vmscert.runbooks.returns import take_each
from vmscert.runbooks.visits import plan_switching
from vmscert.site.table import read_site

pytestmark = pytest.mark.benchmark
SIZES = (250, 500, 1000, 2000)
RUNS = 36
SMALL = 0.01  # seconds, in which nothing can be measured
SHAPES = {"servers": True, "clients": False}
LOOKS = {
    "read_site": lambda job: read_site(job.records.table),
    "board": board,
    "check": lambda job: check_path(job.records.folder, [], "", AT, str),
    "due": lambda job: gather([str(job.records.folder)], AT, str),
    "due of 5 of each": lambda job: due(_often(job), AT),
    "plan": lambda job: plan_switching(job.site),
    "plan of a renewal": lambda job: plan_change(job, [host.name for host in job.site.servers]),
    "plan of the switching": lambda job: plan_change(replace(job, runbook="15-enable-encryption")),
    "precheck": precheck,
    "verify_stage": lambda job: verify_stage(replace(job, runbook="15-enable-encryption")),
    "switching_checks": switching_checks,
    "plan_certificates": plan_certificates,
    "check_issued": check_issued,
    "due_certificates": lambda job: due_of(job.state(), AT),
    "retirable": lambda job: retirable(job, []),
    "handbook": handbook,
    "loads": lambda job: loads(job.state(), job.site.clients),
    "take back": lambda job: take_each(job, _brought(job)),
}


def _often(job):
    """Each certificate under five names, of which four are other servers'."""
    ends = job.state().current.values()
    return [(f"{n}", one) for n in range(5) for one in ends]


def _brought(job):
    """Inventories that are no newer than those that are there."""
    folder = job.records.folder / "inventory"
    return [(path.name, path.read_bytes()) for path in folder.glob("*.json")]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """(shape, computers) → a job on such a site."""
    home, made = tmp_path_factory.mktemp("sites"), {}

    def of(shape, computers):
        if (shape, computers) not in made:
            site = big_sites.site_of(computers, SHAPES[shape])
            records = big_sites.build(home / f"{shape}-{computers}", site, RUNS)
            made[shape, computers] = Job("17-renew-before-expiry", site, records, AT)
        return made[shape, computers]

    return of


def cost(work):
    """The least seconds of this process that it took: others on the machine add to each."""
    return min(timeit.repeat(work, timer=process_time, repeat=3, number=1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LOOKS)
def test_each_time_a_site_doubles_its_cost_grows_to_at_most_2_2_times(jobs, shape, name):
    seconds = [cost(lambda n=n: LOOKS[name](jobs(shape, n))) for n in SIZES]
    ratios = [more / less for less, more in pairwise(seconds)]
    print(f"\n{name}, {shape}: {told(seconds)} s, ratios {told(ratios)}")
    assert seconds[-1] <= max(seconds[0], SMALL) * 2.2 ** len(ratios)


def told(numbers):
    return " ".join(f"{one:.2f}" for one in numbers)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("computers", "most"), [(500, 1), (2000, 2)])
@pytest.mark.parametrize("name", ["board", "check", "due", "plan"])
def test_a_command_answers_while_somebody_waits(
    jobs, shape, computers, most, name, monkeypatch, capsys
):
    """After the program has started."""
    folder = jobs(shape, computers).records.folder
    more = {"board": ["--site", f"{folder}/site.csv", "--folder", str(folder)],
            "plan": [f"{folder}/site.csv"]}.get(name, [str(folder)])  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["vmscert", name, *more])

    def run():
        with pytest.raises(SystemExit):
            cli.main()

    taken = cost(run)
    capsys.readouterr()
    print(f"\n{name}, {computers} computers, {shape}: {taken:.2f} s")
    assert taken <= most
