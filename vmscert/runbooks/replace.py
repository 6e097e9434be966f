"""The overlap of a site's own CAs, as its records know them: simulated and drawn by runbook 18."""

from collections.abc import Sequence
from dataclasses import replace

from vmscert.certificates.authority import is_signed_by
from vmscert.changes.job import Job
from vmscert.pictures.bands import bands
from vmscert.pictures.canvas import Picture
from vmscert.runbooks.overlap import Day, Overlap, planned_stores, stand_ins
from vmscert.site.site import THIRD_PARTY
from vmscert.windows.stores import Stores


def overlap_of(job: Job) -> Overlap:
    """Return the change from the CA that signs now to the next one, before any is switched.

    Stand-ins take the place of the next CA, if it is there, and of what it will sign. After the
    next CA has taken over, its certificates are real, and the one before it is the old one.
    """
    state = job.state()
    mine = [host for host in job.site.servers if host.enrolment != THIRD_PARTY]
    roots = [above[-1] for above in state.issuers.values()]
    old, current = state.signing_ca, state.current
    stores = planned_stores(
        job.site, state.inventories, list(dict.fromkeys((old, *roots))), current, job.at
    )
    former = state.former_cas[-1:]
    if state.next_ca is None and any(
        one in held.root for one in former for held in stores.values()
    ):
        made = {h.name: current[h.name] for h in mine if h.name in current}
        leaves = {name: one for name, one in made.items() if is_signed_by(one, old)}
        return Overlap(job.site, stores, former[0], old, leaves)
    orders = {host.name: host.issued_names for host in mine}
    new, leaves = stand_ins(orders, state.next_ca or "the next CA", job.at)
    known = {name: _standing(held, state.next_ca, new) for name, held in stores.items()}
    return Overlap(job.site, known, old, new, leaves)


def _standing(held: Stores, real, stand_in) -> Stores:
    """The stores, with the stand-in where the real root is."""
    return replace(held, root=tuple(stand_in if one == real else one for one in held.root))


def overlap_picture(days: Sequence[Day]) -> Picture:
    """Draw the days of an overlap: who trusts and who serves what, the visits, what is dark."""
    counts = {
        "trust the old root": [day.old for day in days],
        "trust the new root": [day.new for day in days],
        "serve the old CA's": [day.on_old for day in days],
        "serve the new CA's": [day.on_new for day in days],
        "computers visited": [sum(bool(visit.host) for visit in day.visits) for day in days],
        "dark links": [len(day.dark) for day in days],
    }
    began: dict[str, Day] = {}
    for day in days:
        for visit in day.visits:
            began.setdefault(visit.action, day)
    parts = [f"{action} from {day.at:%Y-%m-%d}" for action, day in began.items()]
    dark = [day for day in days if day.dark]
    parts.append(
        f"{len(dark)} of {len(days)} days with dark links, the first {dark[0].at:%Y-%m-%d}"
        if dark
        else f"no dark link on any of {len(days)} days"
    )
    at = [day.at for day in days]
    return bands(at, counts, "The overlap, day by day", "; ".join(parts))
