"""Certificates read part by part, and the ways up from a server's certificate to a trusted root.

Nothing here judges; nothing here raises for what a certificate holds, or takes long over a maze.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from heapq import heappop, heappush
from itertools import count

from cryptography import x509

from vmscert.certificates.reading import Folded, Reading, allowing, aware, made_by
from vmscert.findings import Finding, finding_of

# Bounds of the search, far above any honest set of certificates.
_MOST_STEPS = 1000  # certificates looked at, over all paths
_MOST_VISITS = 3  # of one certificate, each by another way
_MOST_CHECKS = 400  # signature checks, in units of one RSA 4096 check


class Trusted:
    """The roots that a client trusts, found by their subject and by the parts of it."""

    def __init__(self, roots: tuple[x509.Certificate, ...]) -> None:
        self.roots = roots
        self.readings = {one: Reading(one) for one in roots}
        self.anchors = frozenset(self.readings.values())
        self.named: dict[Folded | None, list[Reading]] = defaultdict(list)
        for one in self.readings.values():
            self.named[one.subject].append(one)
        self.parts = {part for name in self.named for rdn in name or () for part in rdn}


_RECENT: deque[Trusted] = deque(maxlen=32)  # thousands of roots are read once, not for each server


def trusted(roots: Iterable[x509.Certificate]) -> Trusted:
    """Return roots ready to be found in, the same ones for equal roots."""
    held = tuple(roots)
    for one in tuple(_RECENT):
        if one.roots == held:  # quick: each is compared with itself, or the first one differs
            return one
    made = Trusted(held)
    _RECENT.append(made)
    return made


class Question:
    """What is asked, and all certificates at hand, each read once."""

    def __init__(self, name, at, presented, roots, intermediates, lists=()) -> None:
        self.name, self.at, self.lists = name, aware(at), tuple(lists)
        self.nobody_told, self.trusted = roots is None, trusted(roots or ())
        # One object for equal certificates, however many there are.
        once = cache(lambda one: self.trusted.readings.get(one) or Reading(one))
        self.presented, more = (
            list(dict.fromkeys(map(once, held))) for held in (presented, intermediates)
        )
        self.anchors = self.trusted.anchors
        self._known: dict[Folded | None, list[Reading]] = defaultdict(list)
        for one in dict.fromkeys((*self.presented, *more)):
            if one not in self.anchors:
                self._known[one.subject].append(one)
        self._fits: dict[tuple[Reading, bytes], bool | None] = {}
        self._issuers: dict[Reading, list[Reading]] = {}
        self._handicaps: dict[Reading, int] = {}
        self._checks = _MOST_CHECKS

    @cached_property
    def leaf(self) -> Reading:
        """The server's own certificate: the first, unless that issued another one sent along."""
        leaf = self.presented[0]
        for one in self.presented:
            if one.issuer == leaf.subject != one.subject:
                leaf = one
        return leaf

    def named(self, subject: Folded | None) -> list[Reading]:
        """Return all certificates of one name, the trusted ones first."""
        return [*self.trusted.named.get(subject, ()), *self._known.get(subject, ())]

    def paths(self) -> Iterator["Path"]:
        """Yield ways up from the leaf, the least faulty first, each to an anchor or a dead end.

        Each certificate is continued a few times at most, so that no maze takes long.
        """
        tick, visits = count(), Counter[Reading]()
        heap: list[tuple[int, int, int, tuple[Reading, ...]]] = [(0, 0, next(tick), (self.leaf,))]
        for _ in range(_MOST_STEPS):
            if not heap:
                return
            cost, _, _, steps = heappop(heap)
            top = steps[-1]
            visits[top] += 1
            anchored = top in self.anchors
            through = {(one.subject, one.spki) for one in steps}
            above = [] if anchored and top.self_signed else self.issuers(top)
            issuers = [one for one in above if (one.subject, one.spki) not in through]
            if anchored or not issuers:
                yield Path(self, steps, anchored)
            if visits[top] > _MOST_VISITS:
                continue
            for issuer in issuers:
                more = self.handicap(issuer) + (points_at(top, issuer) is False)
                heappush(heap, (cost + more, -len(steps), next(tick), (*steps, issuer)))

    def issuers(self, child: Reading) -> list[Reading]:
        """Return who may have issued a certificate, the likeliest first.

        Those whose key fits; else those that can't be checked; else those that seem to be it.
        """
        if child in self._issuers:
            return self._issuers[child]

        def unlikeliness(one: Reading) -> tuple:
            stranger = one.issuer not in self.trusted.named
            pointed = points_at(child, one) is True
            return not pointed, one not in self.anchors, self.handicap(one), stranger

        likely = sorted([] if child.issuer is None else self.named(child.issuer), key=unlikeliness)
        right = next((one.spki for one in likely if self.fits(child, one)), None)
        if right is not None:
            found = [one for one in likely if one.spki == right]
        elif not (found := [one for one in likely if self.fits(child, one) is None]):
            # Their key does not fit: the child was changed. An anchor must be pointed at.
            found = [one for one in likely if points_at(child, one) or one not in self.anchors]
            found = [one for one in found if points_at(child, one) is not False]
        self._issuers[child] = found
        return found

    def handicap(self, one: Reading) -> int:
        """The number of faults that a certificate would bring into a path as an issuer."""
        if one not in self._handicaps:
            start, end = one.validity or (self.at, self.at)
            limits = one.get(x509.NameConstraints)
            forbids = limits and not all(map(allowing(limits), self.leaf.general_names))
            sound = start <= self.at <= end, one.is_ca, one.signs, one.serves, one.readable
            odd = one.forgeable and one not in self.anchors, one.unknown, forbids
            self._handicaps[one] = sum(map(bool, odd)) + sum(not each for each in sound)
        return self._handicaps[one]

    def fits(self, child: Reading, issuer: Reading) -> bool | None:
        """Tell whether the issuer's key made the child's signature; None if it can't be checked."""
        known = (child, issuer.spki)
        if known not in self._fits:
            if self._checks <= 0:
                return False
            self._checks -= max(1, (getattr(issuer.key, "key_size", 0) // 4096) ** 2)
            self._fits[known] = _fits(child, issuer)
        return self._fits[known]


@dataclass(frozen=True)
class Path:
    """A way up from the leaf; `anchored` if it ends in a certificate that the client trusts."""

    question: Question
    steps: tuple[Reading, ...]
    anchored: bool

    @property
    def leaf(self) -> Reading:
        return self.steps[0]

    @property
    def top(self) -> Reading:
        return self.steps[-1]

    def fault(
        self, code: str, one: Reading, text: str, case: str = "", severity: str = ""
    ) -> Finding:
        """Return a finding about one certificate of this path, or one sent along with it."""
        root = one in self.question.anchors or one.self_signed
        where = "leaf" if one is self.leaf else "root" if root else "intermediate"
        return finding_of(code, where, f"{one.label} {text}", case, severity)


@lru_cache(maxsize=8192)  # under every name, on every day, the same signature
def _fits(child: Reading, issuer: Reading) -> bool | None:
    """Tell whether a key made a certificate's signature; None if nobody here can check it."""
    return made_by(issuer.key, child.certificate)


def points_at(child: Reading, issuer: Reading) -> bool | None:
    """Whether the authority key identifier is that of this issuer; None if there is none."""
    return child.issuer_key_id == issuer.key_id if child.issuer_key_id else None
