"""What no table can answer: of which computers data/xprotect/questions.csv asks, and warns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vmscert.facts import facts

if TYPE_CHECKING:
    from vmscert.site.site import Host


def asked(host: "Host", row: dict[str, str], uncalled: Sequence[int]) -> str:
    """Return a computer with what of it a row asks about; nothing if the row is not about it.

    `uncalled` are those of its ports that no computer of the table calls.
    """
    told = {  # what a computer may have → whether it has, and what of that is told
        "": (True, ()),
        "no calls": (not host.calls, ()),
        "no via": (not host.via, ()),
        "several addresses": (len(host.addresses) > 1, host.addresses),
        "uncalled": (bool(uncalled), [f"port {port}" for port in uncalled]),
        "phone": (host.is_phone, ()),
    }
    having, parts = told[row["having"]]
    via = {what: address for what, address in host.via if what == row["via"]}
    having &= bool(via) == bool(row["via"]) and row["without_group"] not in host.groups
    if not having or (row["roles"] and set(row["roles"].split("|")).isdisjoint(host.roles)):
        return ""
    about = ", ".join(filter(None, (*via.values(), *parts)))
    return f"{host.name} ({about})" if about else host.name


def ways() -> list[str]:
    """Return what may lie between a server and who calls it, as the column 'via' names it."""
    return [row["via"] for row in facts("xprotect/questions") if row["via"]]
