"""The door of a room, the list of what it offers: a module is loaded when a name of it is used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def door(
    room: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a room; `homes` is module → its names."""
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def look_up(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"vmscert.{home_of[name]}"), name)

    return look_up, lambda: sorted(home_of), sorted(home_of)
