"""The time machine of a notebook: a day, the map with its dark links in red, who and why."""

from datetime import datetime, timedelta

from vmscert.agenda.gather import outlook_of
from vmscert.changes.job import Job
from vmscert.checks.acceptance import dark_findings, dark_links
from vmscert.checks.blackout import Outlook, dark, dark_rows
from vmscert.notebook.explorer import Explorer, explore
from vmscert.notebook.tables import Shown, stack, table
from vmscert.pictures.site_map import site_map

_MOST_DAYS = 60  # to choose from; a slider with more can't be set by hand


def dark_day(outlook: Outlook, day: datetime) -> Shown:
    """Show a site as it will be on one day if nobody acts, as picture, table and plain text."""
    site, ended = outlook.site, dark(outlook.blackouts, day)
    links = dark_links(site, outlook.stores, day)
    return stack(
        f"{site.name} on {day:%Y-%m-%d}, if nobody acts:",
        site_map(site, findings=dark_findings(links)),
        table(dark_rows(ended, links), empty="Nothing is dark."),
    )


def time_machine(job: Job) -> Explorer:
    """Return a slider over today and each day on which links go dark, set to the first of them."""
    outlook = outlook_of(job.state())
    ends = {f"{one.since:%Y-%m-%d}": one.since + timedelta(seconds=1) for one in outlook.blackouts}
    days = [job.at, *(day for day in ends.values() if day > job.at)][:_MOST_DAYS]
    shown = explore(lambda day: dark_day(outlook, day), day=days)
    shown.form.children[0].value = days[1 if len(days) > 1 else 0]
    return shown
