"""The time machine of a notebook: a day, the map with its dark links in red, who and why."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from vmscert.agenda import of_records
from vmscert.blackout import Blackout, dark, dark_findings, dark_rows
from vmscert.explorer import Explorer, explore
from vmscert.job import Job
from vmscert.picture import site_map
from vmscert.show import Shown, stack, table
from vmscert.site import Site

_MOST_DAYS = 60  # to choose from; a slider with more can't be set by hand


def dark_day(site: Site, day: datetime, blackouts: Iterable[Blackout]) -> Shown:
    """Show a site as it will be on one day if nobody acts, as picture, table and plain text."""
    found = dark(blackouts, day)
    return stack(
        f"{site.name} on {day:%Y-%m-%d}, if nobody acts:",
        site_map(site, findings=dark_findings(found, day)),
        table(dark_rows(found), empty="Nothing is dark."),
    )


def time_machine(job: Job) -> Explorer:
    """Return a slider over today and each day on which links go dark, set to the first of them."""
    found = of_records(job.site, job.records, job.at).blackouts
    ends = {f"{one.since:%Y-%m-%d}": one.since + timedelta(seconds=1) for one in found}
    days = [job.at, *(day for day in ends.values() if day > job.at)][:_MOST_DAYS]
    shown = explore(lambda day: dark_day(job.site, day, found), day=days)
    shown.form.children[0].value = days[1 if len(days) > 1 else 0]
    return shown
