"""What lessons call: a self-test of the reader's computer, and checks that answer."""

import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from vmscert.authority import QUICK, create_authority
from vmscert.reach import connect
from vmscert.runbook import Check
from vmscert.simulate import LOOPBACK, serving
from vmscert.tls import handshake

_LIBRARIES = ("cryptography", "pandas", "ipywidgets", "jupyterlab")


def self_test(at: datetime) -> list[Check]:
    """Tell whether this computer can run the lessons and rehearsals; `at` is the present time."""
    return [
        Check(
            "Python is 3.11 or newer",
            sys.version_info >= (3, 11),
            "install a newer Python, then the kit into it",
        ),
        Check(
            "all libraries are installed",
            all(map(find_spec, _LIBRARIES)),
            "install the kit again, as its README says",
        ),
        Check("a handshake in memory succeeds", _handshake(at), "compare this computer's clock"),
        Check(
            "two programs on this computer can talk",
            _loopback(at),
            f"allow connections to {LOOPBACK} in the firewall",
        ),
    ]


def expect(answer: Any, wanted: Any, hints: Mapping[Any, str]) -> str:
    """Answer an exercise: right, a hint that fits the wrong answer, or an invitation.

    `wanted` is the right answer, or a set of right answers; `hints` wrong answer → what to look at.
    """
    if answer is ...:
        return "Your turn: replace the three dots, and run both cells again."
    if isinstance(answer, str):
        answer = answer.strip().lower()
    if answer in wanted if isinstance(wanted, set | frozenset) else answer == wanted:
        return "Right."
    hint = hints.get(answer, "") if isinstance(answer, int | str) else ""
    return f"Not yet. {hint}".strip()


def _handshake(at: datetime) -> bool:
    ca = create_authority("self-test", at, QUICK)
    return handshake(ca.issue("localhost", at=at), [ca.certificate], "localhost").ok


def _loopback(at: datetime) -> bool:
    ca = create_authority("self-test", at, QUICK)
    try:
        with serving({443: ca.issue("localhost", at=at)}) as ports:
            return connect(LOOPBACK, ports[443], [ca.certificate], "localhost").ok
    except OSError:
        return False
