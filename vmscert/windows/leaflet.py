"""The page in each folder: what the person at the computer does, sees, and can take back."""

from vmscert.facts import facts, sureness
from vmscert.pages import render
from vmscert.site.releases import imports_pfx
from vmscert.windows.load import Load
from vmscert.windows.scripts import steps_for

_TALK = 5  # minutes to log on, copy the folder, and read


def leaflet(load: Load) -> str:
    """Return the page as Markdown, short enough to print on one sheet."""
    rows = steps_for("install", load.kinds)
    asking = steps_for("request", {"request"}) if load.asks else []
    checks = [row for row in rows if row["undo"] == "nothing to undo"]
    deeds = [row for row in rows if row not in checks]
    order = sorted(facts("xprotect/encryption-order"), key=lambda row: int(row["off"]))
    return render(
        "leaflet.md",
        load=load,
        asking=asking,
        checks=checks,
        deeds=deeds,
        minutes=_TALK + sum(int(row["minutes"]) for row in [*asking, *rows]),
        phases={phase for row in deeds for phase in row["phase"].split("|")},
        by_hand=load.pfx and not imports_pfx(load.host.windows),
        order=order,
        sure=sureness(*(row["tag"] for row in order)),
    )
