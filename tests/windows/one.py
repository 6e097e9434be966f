"""Folders for one computer, without a site around it: what it gets first, and what comes later."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import lyon

from vmscert.certificates.authority import QUICK, Authority, Issued, create_authority, thumbprint
from vmscert.site.site import CSR, Host
from vmscert.windows.folder import Load, pack

AT, DAY, PASSWORD = lyon.AT, lyon.DAY, "for tests only"
LATER = AT + timedelta(hours=1)
SERVICE = r"EXAMPLE\svc-vms$"
SERVER = Host(
    "vms-1", "example.local", roles=("recording server", "event server"), account=SERVICE,
    windows="Windows Server 2022", left_off=frozenset({"streaming media"}),
)  # fmt: skip
ASKING = Host("vms-2", "example.local", roles=("recording server",), account=SERVICE, enrolment=CSR)


def ca(name: str = "first") -> Authority:
    """A CA of this name; the same, whoever asks."""
    return _ca(name)


@cache
def _ca(name: str) -> Authority:
    return create_authority(f"The {name} CA", AT, QUICK, lyon.key(f"ca {name}"))


def issued(host: Host, number: int = 0, of: str = "first") -> Issued:
    """The first, second … certificate of a host, each a month after the one before."""
    return _issued(host, number, of)


@cache
def _issued(host: Host, number: int, of: str) -> Issued:
    key = lyon.key(f"server {number}")
    return ca(of).issue(*host.issued_names, at=AT + 30 * number * DAY, key=key)


def carried(folder: Path, host: Host, certificate: Issued | None = None, **load) -> Path:
    """Make a folder for a host as the runbooks do, with what else its load has; return it."""
    of = load.pop("of", "first")
    one = certificate.certificate if certificate else None
    groups = host.groups
    about = {
        "made": AT, "roots": (ca(of).certificate,), "certificate": one,
        "pfx": _pfx(certificate) if certificate and certificate.key else b"",
        "switch_on": (groups,), "switch_off": (groups[::-1],),
    }  # fmt: skip
    folder.mkdir(parents=True)
    for name, data in pack(Load(host, "one", **(about | load))).items():
        (folder / name).write_bytes(data)
    return folder


@cache
def _pfx(certificate: Issued) -> bytes:
    return certificate.pfx(PASSWORD)


def label(host: Host, number: int = 0, of: str = "first") -> str:
    """The thumbprint of the first, second … certificate of a host."""
    return thumbprint(issued(host, number, of).certificate)


def shelf(folder: Path) -> dict[str, Path]:
    """Make every folder that the two hosts may get: first, then renewed, then of another CA."""
    old, month, later = (label(SERVER),), AT + 30 * DAY, AT + 60 * DAY
    moved = {"roots": (ca("second").certificate,), "made": later, "superseded": old}
    of_second = issued(SERVER, 2, "second")
    return {
        "first": carried(folder / "first", SERVER, issued(SERVER)),
        "renewed": carried(
            folder / "renewed", SERVER, issued(SERVER, 1), made=month, superseded=old
        ),
        "moved": carried(
            folder / "moved", SERVER, of_second, **moved, old_roots=(ca().certificate,)
        ),
        "barred": carried(
            folder / "barred", SERVER, of_second, **moved,
            barred=(ca().certificate, issued(SERVER).certificate),
        ),
        "asking": carried(folder / "asking", ASKING, asks=True),
    }  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One visit: which script of which folder, how many days after the first, and what went before.

    `seen` is what a person has looked at in the window of Server Configurator, `whole` is -All.
    """

    folder: str
    script: str
    phase: str = ""
    days: int = 0
    before: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    host: Host = SERVER
    whole: bool = False


_EVENT = ("event server",)
_ON = ("prepare", "encrypt")
_RENEWED = (*_ON, "prepare-renewed", "encrypt-renewed")
_MOVED = (*_ON, "prepare-moved", "encrypt-moved")
_BARRED = (*_ON, "prepare-barred", "encrypt-barred")
WAYS = {
    "prepare": Way("first", "install", "Prepare"),
    "encrypt": Way("first", "install", "Encrypt", 0, ("prepare",)),
    "off": Way("first", "undo", "Off", 1, _ON),
    "undo": Way("first", "undo", "Remove", 1, (*_ON, "off")),
    "undo-prepared": Way("first", "undo", "Remove", 1, ("prepare",)),
    "inventory": Way("first", "inventory", "", 1, _ON),
    "prepare-renewed": Way("renewed", "install", "Prepare", 30, _ON),
    "encrypt-renewed": Way("renewed", "install", "Encrypt", 30, _RENEWED[:3]),
    "retire-renewed": Way("renewed", "install", "Retire", 31, _RENEWED, _EVENT),
    "back-renewed": Way("renewed", "undo", "Off", 31, _RENEWED),
    "undo-renewed": Way("renewed", "undo", "Remove", 31, (*_RENEWED, "back-renewed"), _EVENT),
    "off-renewed": Way("renewed", "undo", "Off", 31, _RENEWED, whole=True),
    "all-gone": Way("renewed", "undo", "Remove", 32, (*_RENEWED, "off-renewed"), whole=True),
    "prepare-moved": Way("moved", "install", "Prepare", 60, _ON),
    "encrypt-moved": Way("moved", "install", "Encrypt", 60, _MOVED[:3]),
    "retire-moved": Way("moved", "install", "Retire", 61, _MOVED, _EVENT),
    "back-moved": Way("moved", "undo", "Off", 62, (*_MOVED, "retire-moved")),
    "prepare-barred": Way("barred", "install", "Prepare", 60, _ON),
    "encrypt-barred": Way("barred", "install", "Encrypt", 60, _BARRED[:3]),
    "retire-barred": Way("barred", "install", "Retire", 61, _BARRED, _EVENT),
    "back-barred": Way("barred", "undo", "Off", 62, (*_BARRED, "retire-barred")),
    "request": Way("asking", "request", host=ASKING),
    "accept": Way("answered", "accept", "", 1, ("request",), host=ASKING),
    "prepare-answered": Way("answered", "install", "Prepare", 1, ("request",), host=ASKING),
    "undo-answered": Way(
        "answered", "undo", "Remove", 2, ("request", "prepare-answered"), host=ASKING
    ),
}
