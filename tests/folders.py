"""Folders of five kinds of computers, the same in every run, and what they look like.

`python tests/folders.py` writes the golden files anew: read what changed before you keep it.
"""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from vmscert.agenda.channels import notification_script, scheduled_task
from vmscert.lessons.exercises import lesson_ca, lesson_server
from vmscert.site.site import Host, Site
from vmscert.windows.folder import Load, pack
from vmscert.windows.rollout import roll_out_files

GOLDEN = Path(__file__).parent / "golden"
MADE = datetime(2026, 11, 26, 22, tzinfo=UTC)
CLOCK = "vms-ms-01.example.local"
SERVER = Host(
    "vms-rec-01", "example.local", addresses=("10.10.0.21",), roles=("recording server",),
    account="EXAMPLE\\svc-vms$", windows="Windows Server 2022", owner="IT operations",
)  # fmt: skip
CLIENT = Host("vms-pc-01", "example.local", roles=("smart client",), windows="Windows 11")
READ = {  # what somebody read before it was kept; what the others hold is among it
    "server": ("install.ps1", "undo.ps1", "inventory.ps1", "README.md"),
    "asking": ("request.ps1", "request.inf", "README.md"),
    "answered": ("accept.ps1", "README.md"),
    "client": ("install.ps1", "README.md"),
    "retired": ("install.ps1", "undo.ps1", "README.md"),
    "roll-out": ("trust.ps1", "detect.ps1", "detect-application.ps1", "README.md"),
    "watch": ("notify.ps1", "schedule.ps1"),
}


@cache
def loads():
    """A server with a PFX and one with a key of its own, first asking, then answered; a client.

    Last a client whose CA was replaced, and which is never to trust another one again.
    """
    ca, between = lesson_ca("Example VMS root 2026"), lesson_ca("Example VMS issuing CA")
    issued = lesson_server(ca, *SERVER.names)
    old, stolen = lesson_ca("Example VMS root 2016"), lesson_ca("Example VMS lost CA")
    about = {"host": SERVER, "site": "example", "made": MADE, "roots": (ca.certificate,)}
    about["clock_source"] = CLOCK
    about |= {"switch_on": (SERVER.groups,), "switch_off": (SERVER.groups,)}
    return {
        "server": Load(
            **about, certificate=issued.certificate, pfx=b"a PFX is new each time",
            superseded=("0123456789ABCDEF0123456789ABCDEF01234567",),
        ),
        "asking": Load(**about, asks=True),
        "answered": Load(
            **about, certificate=issued.certificate, intermediates=(between.certificate,)
        ),
        "client": Load(CLIENT, "example", MADE, (ca.certificate,), clock_source=CLOCK),
        "retired": Load(
            CLIENT, "example", MADE, (ca.certificate,), clock_source=CLOCK,
            old_roots=(old.certificate,), barred=(stolen.certificate,),
        ),
    }  # fmt: skip


@cache
def folders():
    """Kind of folder → file name → bytes."""
    found = {kind: pack(load) for kind, load in loads().items()}
    site = Site("example", (SERVER, CLIENT))
    ca = lesson_ca("Example VMS root 2026").certificate
    watch = {
        "notify.ps1": notification_script(),
        "schedule.ps1": scheduled_task(
            r"C:\kit\vmscert.exe", ["due", r"D:\lyon.csv"], r"D:\vmscert-due.log"
        ),
    }
    return found | {"roll-out": roll_out_files(ca, site, MADE), "watch": watch}


def files(*endings):
    """`kind/name` → bytes of every file with one of these endings."""
    return {
        f"{kind}/{name}": data
        for kind, folder in folders().items()
        for name, data in folder.items()
        if name.endswith(endings)
    }


def read():
    """`kind/name` → bytes of what is kept as a golden file."""
    return {
        f"{kind}/{name}": folders()[kind][name] for kind, names in READ.items() for name in names
    }


if __name__ == "__main__":
    for path, data in read().items():
        (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / path).write_bytes(data)
