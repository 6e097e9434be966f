"""Two people at work on one site at once, each in a process of their own.

A run plans, has its plan approved, notes what it did, keeps a file, closes its change, and what ran
is kept as `vmscert run` keeps a notebook. Keys and notebooks, which take long, are left out.
"""

import os
import random
import time
from contextlib import nullcontext
from datetime import UTC, datetime

from vmscert import files
from vmscert.certificates import keys
from vmscert.changes.change import Plan, approve, begin, keep_plan, plan_under_way, sha256
from vmscert.changes.job import Job
from vmscert.changes.record import close, keep_run
from vmscert.records.folder import Records
from vmscert.site.site import Site

AT = datetime(2026, 11, 23, 22, tzinfo=UTC)
DEEDS = 3


def work(home, me, sites, together, told):
    """Carry out a runbook on one site after the other, each time together with the other one."""
    keys.ROUNDS = 10
    files.os.fsync = lambda number: None  # nobody is killed here
    os.environ["VMSCERT_RECORD_PASSWORD"] = "canary of the record 44d1"
    chance = random.Random(f"{me} {home}")
    for name, runbook in sites:
        files._RUN = f"{me} on {name}"  # each time it is another run
        records = Records(home / name)
        job = Job(runbook, Site(name, ()), records, AT)
        together.wait(60)
        time.sleep(chance.choice((0, 0, 0.002, 0.02)))
        try:
            ended = carry_out(job, me, chance)
        except Exception as error:
            ended = f"{type(error).__name__}: {error}"
        name_of = "notebook" if ended == "closed" else "stopped"
        keep_run(records, runbook, files._RUN, {f"{name_of}.ipynb": files._RUN.encode()}, AT)
        together.wait(60)  # also a kernel that stopped lives on for a while
        records.owner(runbook).let_go()
        told.put((name, me, ended))


def carry_out(job, me, chance):
    """One change, in deeds between which the other one may come."""
    records, looks = job.records, job.number == "16"
    plan = plan_under_way(job, {}) or keep_plan(job, planned(job))
    if looks:
        job = begin(job, plan, me, "nobody: it only looks", looks=True)
    else:
        job = approve(job, plan, f"{plan.hash} Anna Berg", me)
    for deed in range(DEEDS):
        with nullcontext() if looks else records.lock():
            if not looks:
                job.permit()
            job.records.note(
                job.number, "verified" if looks else "issue", at=AT, note=f"{me} {deed}"
            )
        time.sleep(chance.choice((0, 0, 0.002)))
    records.keep(job.change.folder, "seen.csv", me.encode())
    close(job, f"done by {me}")
    return "closed"


def planned(job):
    lines, last = job.records.ledger.head()
    table = sha256(job.records.table.read_bytes())
    told = dict.fromkeys(("why", "untouched", "back", "trigger", "deadline"), "")
    return Plan(runbook=job.runbook, site=job.site.name, parameters={}, table=table, lines=lines,
                ledger=last, computers=(), files=(), dark=(), **told)  # fmt: skip


def hold(folder, ready):
    """Begin a change, and neither end it nor oneself."""
    os.environ["VMSCERT_RECORD_PASSWORD"] = "canary of the record 44d1"
    job = Job("12-create-server-certificates", Site("lyon", ()), Records(folder), AT)
    plan = keep_plan(job, planned(job))
    approve(job, plan, f"{plan.hash} Anna Berg", "Bob Stone")
    ready.set()
    time.sleep(600)
