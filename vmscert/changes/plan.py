"""The plan of one change: what it starts from, what it will do, who goes dark, and the way back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from vmscert.files import fitting, read_json
from vmscert.pages import render

_SHORT = 12  # hex digits that people type: 48 bits, far more than anybody tries out in a night

Row = Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """What one runbook is going to do on one site, and from which state; it knows no time.

    `table` is the SHA-256 of the site's table, `lines` and `ledger` the length of the ledger and
    its last hash: where one of them has changed, this is no longer the plan.
    """

    runbook: str
    site: str
    why: str
    parameters: Mapping[str, Any]
    table: str
    lines: int
    ledger: str
    computers: tuple[Row, ...]
    files: tuple[str, ...]
    untouched: str
    dark: tuple[str, ...]
    back: str
    trigger: str
    deadline: str
    __pydantic_config__: ClassVar = {"extra": "forbid"}  # for read_plan

    @property
    def hash(self) -> str:
        """The beginning of the SHA-256 of plan.json, for people to type."""
        return hashlib.sha256(self.data()).hexdigest()[:_SHORT]

    def data(self) -> bytes:
        """Return the plan as plan.json holds it: the same bytes for the same plan."""
        told = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, default=str)
        return told.encode(errors="replace")

    def _repr_markdown_(self) -> str:
        return plan_markdown(self)

    def __repr__(self) -> str:
        return plan_markdown(self)


def read_plan(data: bytes) -> Plan:
    """Return the plan of a plan.json; ValueError names every place that is wrong in another."""
    from pydantic import TypeAdapter

    try:
        return fitting(read_json(data), TypeAdapter(Plan))
    except ValueError as error:
        raise ValueError(f"plan.json: {error}. Restore it from the backup") from None


def plan_markdown(plan: Plan) -> str:
    """Return the plan as a text for the person who approves it."""
    # Columns in which nothing stands are left out.
    used = {key for row in plan.computers for key, value in row.items() if value}
    rows = [{key: row.get(key, "") for key in row if key in used} for row in plan.computers]
    return render("plan.md", plan=plan, computers=rows)
