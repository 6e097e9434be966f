"""How a PFX is encrypted, as anybody can read without its password, and which Windows opens that.

RFC 7292: an outer sequence with the parts, which are encrypted each for itself, and the MAC over
all. `data/windows/pfx-schemes.csv` says what Windows makes of each scheme.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vmscert.facts import facts

_DEEPEST = 12  # values within values; a PFX has eight or so
_PBES2 = "1.2.840.113549.1.5.13"
_SCHEMES = "1.2.840.113549.1.12.1.", "2.16.840.1.101.3.4.1.", "1.2.840.113549.3.7"  # encryptions
_ENCRYPTED_DATA, _SHROUDED_KEY = "1.2.840.113549.1.7.6", "1.2.840.113549.1.12.10.1.2"


@dataclass(frozen=True)
class Pfx:
    """The schemes of a PFX, by name, or by number where none is known; empty for what is clear."""

    certificates: tuple[str, ...]
    key: tuple[str, ...]
    mac: str
    iterations: int  # of the MAC

    @property
    def about(self) -> str:
        """What encrypts it, in one line."""
        parts = {"certificates": self.certificates, "key": self.key}
        told = [f"{part}: {', '.join(map(_called, how))}" for part, how in parts.items() if how]
        if not self.key:
            told.append("no encrypted key")
        if not self.certificates:
            told.append("certificates not encrypted, or none")
        return "; ".join((*told, f"MAC: {_called(self.mac) or 'none'}, {self.iterations} rounds"))

    @property
    def opened_by(self) -> str:
        """Which Windows releases can open it, in a sentence; empty if nobody knows."""
        known = [_rows().get(oid, {}).get("opens") for oid in self._schemes]
        if None in known:
            return ""
        if "AES-256" not in known:
            return "every Windows can open it"
        releases = [row for row in facts("windows/releases") if row["pfx"] == "AES-256"]
        oldest = [
            min(
                (r for r in releases if r["kind"] == kind and r["build"]),
                key=lambda r: int(r["build"]),
            )
            for kind in ("server", "client")
        ]
        named = " and ".join(row["release"] for row in oldest)
        return f"{named} or later can open it; older ones call its password wrong"

    @property
    def unknown(self) -> str:
        """The schemes of which nobody knows what Windows makes of them."""
        return ", ".join(oid for oid in self._schemes if oid not in _rows())

    @property
    def _schemes(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (*self.certificates, *self.key, self.mac))))


def pfx_schemes(data: bytes) -> Pfx | None:
    """Return how a PFX is encrypted, None for what is none or can't be read."""
    try:
        (_, content), *_ = _values(data)
        _, (_, safe), *mac = list(_values(content))
        certificates, key = [], []
        for kind, oids in _encrypted(safe, 0):
            (key if kind == "key" else certificates).extend(oids)
        hashed, rounds = "", 1
        if mac:
            (_, digest), _, *times = list(_values(mac[0][1]))
            hashed = next(_oids(digest, 0))
            rounds = int.from_bytes(times[0][1], "big") if times else 1
    except (ValueError, IndexError, StopIteration):
        return None
    return Pfx(tuple(dict.fromkeys(certificates)), tuple(dict.fromkeys(key)), hashed, rounds)


def _rows() -> dict[str, dict[str, str]]:
    return {row["oid"]: row for row in facts("windows/pfx-schemes")}


def _called(oid: str) -> str:
    return _rows().get(oid, {}).get("name", oid)


def _encrypted(data: bytes, depth: int) -> Iterator[tuple[str, list[str]]]:
    """Yield what is encrypted below a value, and by which schemes."""
    children = list(_values(data)) if depth < _DEEPEST else []
    first = _oid(children[0][1]) if children and children[0][0] == 6 else ""
    if first in (_ENCRYPTED_DATA, _SHROUDED_KEY):
        found = [oid for _, child in children[1:] for oid in _oids(child, depth)]
        yield "key" if first == _SHROUDED_KEY else "certificates", _ciphers(found)
        return
    for tag, child in children:
        inner = tag & 0x20 or (tag == 4 and child[:1] == b"\x30")
        if inner:
            yield from _encrypted(child, depth + 1)


def _ciphers(oids: list[str]) -> list[str]:
    found = [oid for oid in oids if oid.startswith(_SCHEMES)]
    return found or [oid for oid in oids if oid != _PBES2][:1]


def _oids(data: bytes, depth: int) -> Iterator[str]:
    for tag, child in _values(data):
        if tag == 6:
            yield _oid(child)
        elif tag & 0x20 and depth < _DEEPEST:
            yield from _oids(child, depth + 1)


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each DER value; ValueError for what is none."""
    place = 0
    while place < len(data):
        tag, size, place = data[place], data[place + 1], place + 2
        if size & 0x80:
            width = size & 0x7F
            size, place = int.from_bytes(data[place : place + width], "big"), place + width
        if place + size > len(data):
            raise ValueError("it is cut off")
        yield tag, data[place : place + size]
        place += size


def _oid(data: bytes) -> str:
    numbers, value = [data[0] // 40, data[0] % 40] if data[0] < 80 else [2, data[0] - 80], 0
    for byte in data[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(map(str, numbers))
