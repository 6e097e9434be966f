"""Whether the clock of this laptop can be right, by the times that are at hand.

What was noted before, here or at another computer, is past: a clock that shows less is behind.
Nothing proves that one is ahead; a person is told how long ago the newest thing was.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from vmscert.records.ledger import Entry
from vmscert.records.state import State

OFF = timedelta(days=2)  # by more, a clock is wrong; time zones and slow clocks are less
_QUIET = timedelta(days=60)  # in which nothing was noted: a clock may have run ahead
BROUGHT_BACK = "brought back"  # the deed of a line: a file came from its computer


class Clue(NamedTuple):
    """A time that is past, and what says so."""

    at: datetime
    what: str


def noted_at(line: Entry) -> datetime | None:
    """Return the time of a line of the ledger, unless it was changed by hand to be none."""
    with suppress(ValueError):
        return datetime.fromisoformat(line.time)
    return None


def clues(state: State) -> Iterator[Clue]:
    """Yield the times of a site's inventories and of its ledger, if it has any.

    Lines that were noted while a clock was ahead count no more once an inventory came back after
    them whose computer had the time of its own line: two clocks say more than one.
    """
    yield from (Clue(one.at, f"the inventory of {n}") for n, one in state.inventories.items())
    noted: list[datetime] = []
    for one in state.entries:
        if time := noted_at(one):
            held = state.inventories.get(one.host) if one.action == BROUGHT_BACK else None
            if held and abs(held.at - time) < OFF:
                noted = [earlier for earlier in noted if earlier < time + OFF]
            noted.append(time)
    if noted:
        yield Clue(max(noted), "a line of the ledger")


def of_the_kit(written: datetime | None) -> list[Clue]:
    """Return what the newest file of this kit says, where that is to be compared with a clock."""
    return [Clue(written, "a file of this kit")] if written else []


def behind(now: datetime, found: Iterable[Clue]) -> str:
    """Return why a clock that shows this time is behind, with what to do, or nothing."""
    newest = max(found, default=Clue(now, ""))
    if newest.at <= now + OFF:
        return ""
    told = f"the clock of this laptop says {now:%Y-%m-%d}, but {newest.what} is of "
    told += f"{newest.at:%Y-%m-%d}, {(newest.at - now).days} days later"
    return f"{told}: set the clock; if it is right, first bring back an inventory made today"


def long_ago(now: datetime, found: Iterable[Clue]) -> str:
    """Return how old the newest thing is where that is odd: so a clock looks that runs ahead."""
    newest = max(found, default=Clue(now, ""))
    what = f"nothing here is younger than {newest.at:%Y-%m-%d}, {newest.what}"
    return what if newest.at < now - _QUIET else ""
