"""A gallery of broken servers to diagnose, and an exam drawn from it.

Every stand is a real server on loopback. What is wrong there is never looked up: it is called when
it opens, and what the kit finds then is the right answer. A seed draws the same exam again.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from itertools import combinations, islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from cryptography import x509

from vmscert.certificates.reading import Reading
from vmscert.certificates.words import anatomy
from vmscert.changes.job import records_folder
from vmscert.facts import HOME, facts
from vmscert.files import write_atomic
from vmscert.findings import RULES
from vmscert.names import spelled
from vmscert.network.looks import Look
from vmscert.network.servers import LOOPBACK, Loopback
from vmscert.network.targets import NOWHERE
from vmscert.pages import render
from vmscert.pictures.canvas import Picture
from vmscert.pictures.path import path_picture
from vmscert.practice.servers import (
    SEEN,
    Stand,
    answer_of,
    broken,
    call,
    chosen,
    healthy_stand,
    pem,
)

_FIRST, _LATER = 2, 1  # points for a fault: named at the first try, or after a hint or a mistake
_MOST_PAIRS = len(SEEN) // 4  # stands with two faults, no fault twice; some faults go with no other
Row = dict[str, object]
_WHERE = {
    "leaf": "the server's own certificate",
    "intermediate": "a CA between the server and the root",
    "root": "the root, or who trusts it",
}


class Words(str):
    """A text that a notebook shows as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p>{escape(self)}</p>"


class Command(Words):
    """A line for a terminal."""

    def _repr_html_(self) -> str:
        return f'<p><code style="overflow-wrap: anywhere">{escape(self)}</code></p>'


@dataclass(frozen=True)
class Encounter:
    """What the kit's tools show of a stand, without a verdict: that is left to the trainee."""

    about: str
    stand: Stand
    look: Look

    @property
    def sent(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the server sent, in their order."""
        return self.look.presented

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates that the client trusts."""
        return self.stand.roots

    def lines(self) -> list[str]:
        """What was asked, what the client says, and the revocation lists that it holds."""
        seen, lists = self.look.handshake, self.stand.crls
        return render("encounter.txt", about=self.about, seen=seen, lists=lists).splitlines()

    def certificates(self) -> list[tuple[str, x509.Certificate]]:
        """What the server sent and what the client trusts, each with the words for that."""
        sent = [(f"Sent as number {number}", one) for number, one in enumerate(self.sent, 1)]
        return sent + [("Trusted by the client", one) for one in self.trusted]

    def picture(self) -> Picture | None:
        """The way up that the client finds; None where the server showed no certificate."""
        seen = self.look.diagnosis
        return path_picture(seen, self.sent, self.trusted) if seen else None

    def __repr__(self) -> str:
        told = (f"{place}\n{anatomy(one)}" for place, one in self.certificates())
        return "\n\n".join(["\n".join(self.lines()), *told])

    def _repr_html_(self) -> str:
        drawn = self.picture()
        shown = [f"<p>{escape(line)}</p>" for line in self.lines()]
        shown += [drawn._repr_mimebundle_()["text/html"]] if drawn else []
        for place, one in self.certificates():
            label, fields = escape(Reading(one).label), anatomy(one)._repr_html_()
            shown.append(f"<details><summary>{place}: {label}</summary>{fields}</details>")
        return "".join(shown)


@dataclass
class _Opened:
    """One stand with its server, and how far a trainee has come with it."""

    stand: Stand
    first: Look  # when it was opened: what it showed is the right answer
    file: Path
    points: dict[str, int] = field(default_factory=dict)
    worth: int = _FIRST  # points for what is found next
    tried: bool = False
    level: int = 0  # of the hints to the fault that is to be found next

    @property
    def address(self) -> str:
        return spelled((LOOPBACK, self.first.target.port))

    @property
    def left(self) -> list[str]:
        return sorted(self.first.codes - set(self.points))

    @property
    def state(self) -> str:
        if not self.left:
            return "solved"
        return f"{len(self.points)} found" if self.points else "tried" if self.tried else "open"


class Gallery(AbstractContextManager):
    """Numbered stands, each with a server that runs until `close()`, and the trainee's score.

    `with` closes it, too; the end of the program does in any case.
    """

    def __init__(self, stands: Iterable[Stand]) -> None:
        self._exit = ExitStack()
        parent = records_folder(Path("gallery-of-faults"))  # beside the records of sites
        parent.mkdir(parents=True, exist_ok=True)
        place = self._exit.enter_context(TemporaryDirectory(prefix="stands-", dir=parent))
        self._stands = {
            number: self._open(stand, Path(place, f"stand-{number:02}.pem"))
            for number, stand in enumerate(stands, 1)
        }

    def _open(self, stand: Stand, file: Path) -> _Opened:
        port = self._exit.enter_context(Loopback(answer_of(stand)))
        write_atomic(file, pem(stand.roots))
        if stand.crls:
            write_atomic(file.with_suffix(".crl"), pem(stand.crls))
        return _Opened(stand, call(stand, port), file)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers and remove the files with the CA certificates."""
        self._exit.close()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the stands."""
        return tuple(self._stands)

    def __len__(self) -> int:
        return len(self._stands)

    def rows(self) -> list[Row]:
        """Return where each stand is, and how far you have come with it."""
        return [
            {
                "stand": number,
                "address": one.address,
                "clients ask for": one.stand.name,
                "state": one.state,
            }
            for number, one in self._stands.items()
        ]

    def _at(self, number: int) -> _Opened:
        if number not in self._stands:
            raise ValueError(f"There is no stand {number}: they are 1 to {len(self)}")
        return self._stands[number]

    def where(self, number: int) -> Words:
        """Say where a stand is, and by which name its clients ask for it."""
        one = self._at(number)
        return Words(f"Stand {number}: {one.address}, asked for {one.stand.name}")

    def command(self, number: int, windows: bool = os.name == "nt") -> Command:
        """Return the line that lets OpenSSL look at a stand: for a shell, or for Windows."""
        one = self._at(number)
        name, file = one.stand.name, _near(one.file)
        words = ["openssl", "s_client", "-connect", one.address, "-servername", name]
        words += ["-verify_hostname", name, "-CAfile", file.as_posix()]
        if one.stand.crls:
            words += ["-CRL", file.with_suffix(".crl").as_posix(), "-crl_check"]
        if windows:
            # cmd and PowerShell have no /dev/null.
            return Command("echo Q | " + " ".join(f'"{w}"' if " " in w else w for w in words))
        return Command(shlex.join(words) + " </dev/null")

    def look(self, number: int) -> Encounter:
        """Call a stand now, and show what the client sees; the verdict is left to you."""
        one = self._at(number)
        return Encounter(self.where(number), one.stand, call(one.stand, one.first.target.port))

    def answer(self, number: int, *codes: str) -> Words:
        """Say what is wrong at a stand, with one rule code or several; ValueError for no code."""
        one = self._at(number)
        given, right = {chosen(str(code), RULES) for code in codes}, one.first.codes
        if not given:
            return Words('Your turn: name what is wrong, as in gallery.answer(1, "expired").')
        worth, one.tried, one.worth = one.worth, True, min(one.worth, _LATER)
        if wrong := sorted(given - right):
            told = (f"It is not {code}: {_correction(code, right)}" for code in wrong)
            return Words(f"Not yet. {' '.join(told)}")
        one.points = dict.fromkeys(given, worth) | one.points  # none twice
        one.level = 0
        if one.left:
            found = ", ".join(sorted(one.points))
            return Words(f"Right so far: {found}. {len(one.left)} more to find at this stand.")
        return Words(f"Right: {', '.join(sorted(right))}." if len(right) > 1 else "Right.")

    def hint(self, number: int) -> Words:
        """Say where to look; asked again, what kind of fault it is. It costs a point, once."""
        one = self._at(number)
        if not one.left:
            return Words("This stand is solved.")
        one.worth, one.level = min(one.worth, _LATER), one.level + 1
        code = one.left[0]
        if one.level == 1:
            return Words(RULES[code].diagnosis)
        finding = next(found for found in one.first.findings if found.code == code)
        where = _WHERE.get(finding.where, "the server or the network, not with a certificate")
        who, what = "Most" if finding.severity == "bad" else "Some", finding.rule.impact
        return Words(f"It lies with {where}. {who} clients refuse. What happens: {what}")

    def solution(self, number: int) -> Look:
        """Return all that is wrong; what was not found yet gives no points any more."""
        one = self._at(number)
        one.worth, place = 0, f"Stand {number}: {one.address}"
        return replace(self.look(number).look, target=NOWHERE, place=place)

    def score(self) -> Words:
        """Say how far you have come: 2 points for a fault at the first try, 1 after a hint."""
        stands = self._stands.values()
        points = sum(sum(one.points.values()) for one in stands)
        most = sum(_FIRST * len(one.first.codes) for one in stands)
        solved = sum(not one.left for one in stands)
        return Words(f"{points} of {most} points; {solved} of {len(self)} stands solved.")

    def sheet(self) -> list[Row]:
        """Return the answer sheet, for the trainer."""
        return [
            {
                "stand": number,
                "rule": rule.code,
                "meaning": rule.meaning,
                "what to do": f"{rule.remedy_text} ({rule.remedy})",
            }
            for number, one in self._stands.items()
            for rule in map(RULES.__getitem__, sorted(one.first.codes))
        ]


def _near(file: Path) -> Path:
    """Return the path as seen from here, which is short where it lies here or within the kit."""
    file = file.resolve()
    if any(file.is_relative_to(place) for place in (Path.cwd(), HOME)):
        with suppress(ValueError):  # Windows: on another drive than we are
            return Path(os.path.relpath(file))
    return file


def _correction(answered: str, right: Iterable[str]) -> str:
    """Return what fits this confusion; where it is a new one, how to see that it is not that."""
    hints = {(row["answered"], row["right"]): row["hint"] for row in facts("confusions")}
    fitting = (hints[answered, code] for code in sorted(right) if (answered, code) in hints)
    return next(fitting, f"check it yourself. {RULES[answered].diagnosis}")


def open_gallery(
    names: Iterable[str | Sequence[str]] = SEEN, *, at: datetime, seed: int | None = None
) -> Gallery:
    """Open a stand for each fault; all that a TLS client sees if none is named.

    Several names together, `("expired", "no-san")`, are one stand with several faults. A seed deals
    the same numbers again. `at` is the present time: OpenSSL has no other. ValueError for what is
    no fault, and for faults that hide each other.
    """
    dealt = [(one,) if isinstance(one, str) else one for one in names]
    Random(seed).shuffle(dealt)
    sound = healthy_stand(at)
    return Gallery(broken(sound, *one) for one in dealt)


def draw_exam(seed: int, count: int = 10, composed: int = 3, *, at: datetime) -> Gallery:
    """Draw an exam of `count` stands, of which `composed` have two faults that both show.

    A seed draws the same faults in the same order on any computer; keys are new each time. No fault
    comes twice where there are enough. ValueError for more than there are.
    """
    if not (0 <= composed <= min(count, _MOST_PAIRS) and count - composed <= len(SEEN)):
        raise ValueError(
            f"{count} stands, {composed} of them with two faults, can't be drawn: there are "
            f"{len(SEEN)} stands with one fault and {_MOST_PAIRS} with two"
        )
    random, sound = Random(seed), healthy_stand(at)
    pairs = dict(islice(_pairs(random, sound), composed))
    free = [name for name in SEEN if not any(name in pair for pair in pairs)]
    alone = random.sample(free if len(free) >= count - composed else SEEN, count - composed)
    stands = [*pairs.values(), *(broken(sound, name) for name in alone)]
    random.shuffle(stands)
    return Gallery(stands)


def _pairs(random: Random, sound: Stand) -> Iterator[tuple[tuple[str, str], Stand]]:
    """Yield two faults and the stand that shows both, no fault twice."""
    pairs, taken = list(combinations(SEEN, 2)), set[str]()
    random.shuffle(pairs)
    for pair in pairs:
        if taken.isdisjoint(pair):
            with suppress(ValueError):  # one hides the other
                yield pair, broken(sound, *pair)
                taken.update(pair)


def answer_sheet(seed: int, count: int = 10, composed: int = 3, *, at: datetime) -> list[Row]:
    """Return the answers to an exam, for the trainer: drawn anew, looked at, and closed."""
    with draw_exam(seed, count, composed, at=at) as exam:
        return exam.sheet()
