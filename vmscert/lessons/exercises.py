"""What lessons call: a self-test of the reader's computer, checks that answer, and a quiz.

A quiz is plain HTML without a script, so it works in JupyterLab, in exported pages, and offline.
"""

import hashlib
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.util import find_spec
from operator import eq
from statistics import median
from timeit import repeat
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from vmscert.certificates.authority import LESSON, QUICK, Authority, Issued, create_authority
from vmscert.certificates.keys import teaching_key
from vmscert.facts import facts
from vmscert.findings import Check
from vmscert.network.looks import connect
from vmscert.network.servers import LOOPBACK, on_loopback
from vmscert.network.tls import handshake

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # the day on which every lesson plays
_BOX = "border: 1px solid #d8dee4; border-radius: 6px; padding: 4px 10px; margin: 4px 0"
_LIBRARIES = ("cryptography", "pandas", "ipywidgets", "jupyterlab")


def self_test(at: datetime) -> list[Check]:
    """Tell whether this computer can run the lessons and rehearsals; `at` is the present time."""
    ca = create_authority("self-test", at, QUICK)
    served, roots = ca.issue("localhost", at=at), [ca.certificate]
    try:
        with on_loopback({443: served}) as ports:
            talks = connect(LOOPBACK, ports[443], roots, "localhost").ok
    except OSError:
        talks = False
    shakes = handshake(served, roots, "localhost").ok
    installed, again = all(map(find_spec, _LIBRARIES)), "install the kit again, as its README says"
    newer = "install a newer Python, then the kit into it"
    firewall = f"allow connections to {LOOPBACK} in the firewall"
    return [
        Check("Python is 3.11 or newer", sys.version_info >= (3, 11), newer),
        Check("all libraries are installed", installed, again),
        Check("a handshake in memory succeeds", shakes, "compare this computer's clock"),
        Check("two programs on this computer can talk", talks, firewall),
    ]


def expect(answer: Any, wanted: Any, hints: Mapping[Any, str]) -> str:
    """Answer an exercise: right, a hint that fits the wrong answer, or an invitation.

    `wanted` is the right answer, a set of right ones, or a function that knows them; `hints` wrong
    answer → what to look at. Case and blanks around words do not count; a list counts as a tuple.
    """
    if answer is ...:
        return "Your turn: replace the three dots, and run both cells again."
    answer = _plain(answer)
    if _is_right(answer, wanted):
        return "Right."
    hint = hints.get(answer, "") if isinstance(answer, Hashable) else ""
    if not hint and isinstance(answer, tuple) and isinstance(wanted, tuple):
        hint = f"{sum(map(eq, answer, wanted))} of {len(wanted)} entries are right."
        if len(answer) != len(wanted):
            hint = f"It needs {len(wanted)} entries; there are {len(answer)}."
    return f"Not yet. {hint}".strip()


def lesson_ca(name: str = "Lesson root CA", word: str = "") -> Authority:
    """Return a CA for lessons, the same in every run; another `word` makes another key."""
    return create_authority(name, AT, QUICK, teaching_key(word or name), serial=1)


def lesson_server(
    ca: Authority, *names: str, key: rsa.RSAPrivateKey | None = None, **changes: Any
) -> Issued:
    """Return a server certificate for lessons, the same in every run; its first name is its key's.

    `changes` are other arguments of `Authority.issue`, such as `at` and `profile`.
    """
    serial = int.from_bytes(hashlib.sha256("|".join(names).encode()).digest()[:4])
    usual: dict[str, Any] = {"at": AT, "profile": LESSON, "serial": serial}
    return ca.issue(*names, key=key or teaching_key("".join(names[:1])), **(usual | changes))


def milliseconds(work: Callable[[], object], times: int = 5) -> float:
    """Return how long this takes on this computer: the median of several runs."""
    return median(repeat(work, number=1, repeat=times)) * 1000


def _plain(answer: Any) -> Any:
    if isinstance(answer, str):
        return answer.strip().lower()
    if isinstance(answer, list | tuple):
        return tuple(map(_plain, answer))
    return frozenset(map(_plain, answer)) if isinstance(answer, set) else answer


def _is_right(answer: Any, wanted: Any) -> bool:
    if callable(wanted):
        try:
            return bool(wanted(answer))
        except Exception:  # whatever somebody types: it is not right
            return False
    if isinstance(wanted, set | frozenset) and not isinstance(answer, frozenset):
        return isinstance(answer, Hashable) and answer in wanted
    return type(answer) is type(wanted) and answer == wanted


@dataclass(frozen=True)
class Quiz:
    """The questions of one lesson → their choices, rows of data/quiz.csv; a click answers."""

    questions: Mapping[str, Sequence[Mapping[str, str]]]

    def _repr_html_(self) -> str:
        shown = ""
        for number, (question, choices) in enumerate(self.questions.items(), 1):
            shown += f"<p><b>{number}. {escape(question)}</b></p>"
            for row in choices:
                verdict = "✔ Right." if row["right"] == "yes" else "✘ Not yet."
                shown += f'<details style="{_BOX}"><summary>{escape(row["choice"])}</summary>'
                shown += f"<p>{verdict} {escape(row['reply'])}</p></details>"
        return shown

    def __repr__(self) -> str:
        lines = []
        for number, (question, choices) in enumerate(self.questions.items(), 1):
            lines += [f"{number}. {question}", *(f"   ( ) {row['choice']}" for row in choices)]
        return "\n".join(lines)


def quiz(lesson: str) -> Quiz:
    """Return the quiz of a lesson, by its number: `quiz("01")`. ValueError if it has none."""
    questions: dict[str, list[Mapping[str, str]]] = {}
    for row in facts("quiz"):
        if row["lesson"] == lesson:
            questions.setdefault(row["question"], []).append(row)
    if not questions:
        known = ", ".join(sorted({row["lesson"] for row in facts("quiz")}))
        raise ValueError(f"data/quiz.csv: no questions for lesson {lesson!r}; it has {known}")
    return Quiz(questions)
