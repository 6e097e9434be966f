"""Times two ways to do a thing side by side, so that a busy machine slows both alike."""

from statistics import median
from time import perf_counter


def seconds(work):
    """Run `work()` once and return how long it took."""
    start = perf_counter()
    work()
    return perf_counter() - start


def side_by_side(one, other, rounds):
    """Run both in turn, `rounds` times; return the median seconds of each."""
    pairs = [(seconds(one), seconds(other)) for _ in range(rounds)]
    return tuple(map(median, zip(*pairs, strict=True)))
