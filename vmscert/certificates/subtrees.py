"""Names as RFC 5280 compares them, and the subtrees that name constraints permit or exclude.

A subtree is a tuple, kind first; a name lies in it if the tuple is among those around the name.
So thousands of names and subtrees cost two set look-ups a name.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

Folded = tuple[frozenset, ...]  # a directory name as comparing sees it
_DEEPEST = 64  # parts of a directory name


def folded(name: x509.Name) -> Folded:
    """Return a name without what comparing ignores: case and spaces (RFC 5280 section 7.1)."""
    return tuple(
        frozenset((part.oid, " ".join(str(part.value).casefold().split())) for part in rdn)
        for rdn in name.rdns
    )


def allowing(constraints: x509.NameConstraints) -> Callable[[x509.GeneralName], bool]:
    """Return the test whether a name is allowed (RFC 5280 section 4.2.1.10)."""
    permitted = set(map(_subtree, constraints.permitted_subtrees or ()))
    excluded = set(map(_subtree, constraints.excluded_subtrees or ()))
    kinds = {kind for kind, *_ in permitted}

    def allows(name: x509.GeneralName) -> bool:
        around = set(_around(name))
        inside = any(kind in kinds for kind, *_ in around) <= bool(around & permitted)
        return inside and not around & excluded

    return allows


def _subtree(base: x509.GeneralName) -> tuple:
    value = base.value
    match base:
        case x509.DNSName():
            return "DNS", value.lower().rstrip(".")
        case x509.RFC822Name() | x509.UniformResourceIdentifier():
            return type(base).__name__, value.lower()
        case x509.IPAddress():
            shift = value.max_prefixlen - value.prefixlen
            return "IP", value.version, value.prefixlen, int(value.network_address) >> shift
        case x509.DirectoryName():
            return "directory", folded(value)
    return type(base).__name__, value


def _around(name: x509.GeneralName) -> Iterator[tuple]:
    value: Any = name.value
    match name:
        case x509.DNSName():
            yield from (("DNS", tail) for tail in _domains(value, itself=True))
        case x509.RFC822Name():
            hosts = [value.lower(), *_domains(value.rpartition("@")[2], itself=False)]
            yield from (("RFC822Name", host) for host in hosts)
        case x509.UniformResourceIdentifier():
            address = ""
            with suppress(ValueError):
                address = urlsplit(value).hostname or ""
            hosts = _domains(address, itself=False)
            yield from (("UniformResourceIdentifier", host) for host in hosts)
        case x509.IPAddress() if not hasattr(value, "netmask"):  # eight bytes would be a network
            for length in range(value.max_prefixlen + 1):
                yield "IP", value.version, length, int(value) >> (value.max_prefixlen - length)
        case x509.DirectoryName():
            parts = folded(value)
            ends = range(min(len(parts), _DEEPEST) + 1)
            yield from (("directory", parts[:end]) for end in ends)
        case _:
            yield type(name).__name__, value


def _domains(host: str, itself: bool) -> Iterator[str]:
    """Yield every constraint that a host meets; one without a dot in front holds for its subdomains
    only if `itself`, as in DNS names.
    """
    labels = host.lower().rstrip(".").split(".")
    tails = [".".join(labels[start:]) for start in range(len(labels) + 1)]
    yield from tails if itself else tails[:1]
    yield from (f".{tail}" for tail in tails[1:])
