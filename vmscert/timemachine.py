"""The time machine of a notebook: a day, the map with its dark links in red, who and why."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vmscert.agenda import blackouts_of
from vmscert.blackout import Blackout, dark, dark_findings, dark_rows
from vmscert.explorer import Explorer, explore
from vmscert.job import Job
from vmscert.picture import site_map
from vmscert.show import table
from vmscert.site import Site

_MOST_DAYS = 60  # to choose from; a slider with more can't be set by hand


@dataclass(frozen=True)
class DarkDay:
    """A site as it will be on one day if nobody acts, as picture, table and plain text."""

    site: Site
    day: datetime
    blackouts: tuple[Blackout, ...]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        found = dark(self.blackouts, self.day)
        drawn = site_map(self.site, findings=dark_findings(found, self.day))._repr_mimebundle_()
        shown = table(dark_rows(found), empty="Nothing is dark.")
        head = f"{self.site.name} on {self.day:%Y-%m-%d}, if nobody acts:"
        return {
            "text/html": f"<p>{head}</p>{drawn['text/html']}{shown._repr_html_()}",
            "text/plain": f"{head}\n{drawn['text/plain']}\n{shown!r}",
        }


def time_machine(job: Job) -> Explorer:
    """Return a slider over today and each day on which links go dark, set to the first of them."""
    found = tuple(blackouts_of(job.state()))
    ends = {f"{one.since:%Y-%m-%d}": one.since + timedelta(seconds=1) for one in found}
    days = [job.at, *(day for day in ends.values() if day > job.at)][:_MOST_DAYS]
    shown = explore(lambda day: DarkDay(job.site, day, found), day=days)
    shown.form.children[0].value = days[1 if len(days) > 1 else 0]
    return shown
