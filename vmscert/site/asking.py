"""What no table can answer: of which computers data/xprotect/questions.csv asks, and warns."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vmscert.facts import facts

if TYPE_CHECKING:
    from vmscert.site.site import Host

# What a computer may have → whether it has that, and what of it is told.
_HAVING: "dict[str, Callable[[Host, Sequence[int]], tuple[bool, Sequence[str]]]]" = {
    "": lambda host, ports: (True, ()),
    "no calls": lambda host, ports: (not host.calls, ()),
    "no via": lambda host, ports: (not host.via, ()),
    "several addresses": lambda host, ports: (len(host.addresses) > 1, host.addresses),
    "uncalled": lambda host, ports: (bool(ports), [f"port {port}" for port in ports]),
    "phone": lambda host, ports: (host.is_phone, ()),
}


def asked(host: "Host", row: dict[str, str], uncalled: Sequence[int]) -> str:
    """Return a computer with what of it a row asks about; nothing if the row is not about it.

    `uncalled` are those of its ports that no computer of the table calls.
    """
    via = {what: address for what, address in host.via if what == row["via"]}
    if bool(via) != bool(row["via"]):
        return ""
    if row["roles"] and set(row["roles"].split("|")).isdisjoint(host.roles):
        return ""
    if row["without_group"] and row["without_group"] in host.groups:
        return ""
    has, parts = _HAVING[row["having"]](host, uncalled)
    about = ", ".join(filter(None, (*via.values(), *parts)))
    return "" if not has else f"{host.name} ({about})" if about else host.name


def ways() -> list[str]:
    """Return what may lie between a server and who calls it, as the column 'via' names it."""
    return [row["via"] for row in facts("xprotect/questions") if row["via"]]
