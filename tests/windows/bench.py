"""Computers as they are before or after a visit, made once: a test gets a copy."""

import base64
import json
import re
import shutil
from hashlib import sha1
from itertools import count
from threading import RLock

import one
from beside import Beside
from computer import HEALTHY, Computer
from cryptography import x509
from one import ASKING, LATER, PASSWORD, WAYS

from vmscert.certificates.authority import Issued
from vmscert.windows.simulated import ScriptError

# What the groups used before is gone.
FAILS = {"back-moved", "back-barred"}
_TELLS_NOTHING = re.compile(" undone$|^given (?!event server)")


class Bench:
    """Computers as they are before a way is gone, and the folders that they get."""

    def __init__(self, folder):
        self._folder, self._numbers, self._ready = folder, count(), {}
        self._shelf, self._lock = one.shelf(self.place()), RLock()

    def place(self):
        """A new place for a disk."""
        return self._folder / f"{next(self._numbers)}"

    def script(self, name):
        """The script of a way."""
        return self._shelf[WAYS[name].folder] / f"{WAYS[name].script}.ps1"

    def before(self, name, kind=Computer, trouble=HEALTHY):
        """A computer as it is before a way is gone."""
        way = WAYS[name]
        return self._copy(self._after(way.host, way.before), way.host, kind, trouble)

    def after(self, name, kind=Computer):
        """A computer as it is after a way was gone."""
        way = WAYS[name]
        return self._copy(self._after(way.host, (*way.before, name)), way.host, kind, HEALTHY)

    def go(self, computer, name):
        """Go a way; return why it failed, or nothing."""
        way = WAYS[name]
        try:
            computer.run(self.script(name), at(name), PASSWORD, way.phase or "Prepare", 1, way.seen,
                         whole=way.whole)  # fmt: skip
        except ScriptError as error:
            return str(error)
        return ""

    def visit(self, computer, name, answers=(PASSWORD,), **more):
        """Go a way on a computer that is no simulation; return all that was seen."""
        said = {"Phase": WAYS[name].phase} if WAYS[name].phase else {}
        said |= {"ByHand": ", ".join(WAYS[name].seen)} if WAYS[name].seen else {}
        said |= {"All": True} if WAYS[name].whole else {}
        return computer.visit(self.script(name), at(name), answers, **said, **more)

    def _after(self, host, ways):
        with self._lock:
            return self._once(host, ways)

    def _once(self, host, ways):
        if (host.name, ways) not in self._ready:
            folder = self._after(host, ways[:-1]) if ways else None
            here = self._copy(folder, host, Beside, HEALTHY)
            if ways:
                assert bool(self.go(here, ways[-1])) == (ways[-1] in FAILS)
            if ways == ("request",):
                self._answer(here)
            self._ready[host.name, ways] = here.disk.parent.parent
        return self._ready[host.name, ways]

    def _answer(self, here):
        """Let the CA answer the request that this computer made."""
        if "answered" not in self._shelf:
            csr = x509.load_pem_x509_csr(here.stores(at("request")).request.encode())
            signed = one.ca().sign(csr, ASKING.issued_names, one.AT + one.DAY)
            answer = Issued(signed.certificate, None)
            folder = self.place() / "answered"
            self._shelf["answered"] = one.carried(folder, ASKING, answer, made=one.AT + one.DAY)

    def _copy(self, folder, host, kind, trouble):
        place = self.place()
        if folder is not None:
            shutil.copytree(folder, place)
        return kind(host, place / "real", trouble)


def at(name):
    """When a way is gone."""
    return LATER + WAYS[name].days * one.DAY


def held(computer):
    """What a computer really holds and uses, and what this kit noted there."""
    windows = computer.windows
    rules = {
        path.rpartition("/")[2]: sorted((rule["sid"], rule["type"]) for rule in acl["access"])
        for path, acl in windows.get("acls", {}).items()
    }
    stores = {
        store.upper(): sorted(
            (labelled(held["der"]), held.get("friendly_name", ""), rules.get(held.get("key")))
            for held in certificates
        )
        for store, certificates in windows["stores"].items()
        if certificates and not store.endswith("REQUEST")  # each request has a key of its own
    }
    notes = computer.disk / "ProgramData/vmscert/before.json"
    noted = json.loads(notes.read_bytes()) if notes.exists() else {}
    # Of a group that says what it uses, what it was given tells nothing more.
    kept = {what: was for what, was in noted.items() if not _TELLS_NOTHING.search(what)}
    running = {service["name"]: service.get("state", "Running") for service in windows["services"]}
    return {"stores": stores, "used": computer.used(), "notes": kept, "services": running,
            "http": windows["http"]}  # fmt: skip


def apart(found, wanted):
    """Where two computers differ."""
    return {what: (found[what], wanted[what]) for what in found if found[what] != wanted[what]}


def labelled(der):
    """The beginning of a thumbprint."""
    return sha1(base64.b64decode(der), usedforsecurity=False).hexdigest()[:8].upper()
