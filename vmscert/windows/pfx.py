"""How a PFX is encrypted, as anybody can read without its password, and which Windows opens that.

RFC 7292: an outer sequence with the parts, which are encrypted each for itself, and the MAC over
all. `data/windows/pfx-schemes.csv` says what Windows makes of each scheme.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from vmscert.ber import Value, values
from vmscert.facts import facts

_DEEPEST = 12  # values within values; a PFX has eight or so
_OID = b"\x06"
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
        whole = next(values(data))
        _, safe, *mac = values(whole.content)
        certificates, key = [], []
        for kind, oids in _encrypted(safe.content, 0):
            (key if kind == "key" else certificates).extend(oids)
        hashed, rounds = "", 1
        if mac:
            digest, _, *times = values(mac[0].content)
            hashed = next(_oids(digest.content, 0))
            rounds = int.from_bytes(times[0].content) if times else 1
    except (ValueError, IndexError, StopIteration):
        return None
    return Pfx(tuple(dict.fromkeys(certificates)), tuple(dict.fromkeys(key)), hashed, rounds)


def _rows() -> dict[str, dict[str, str]]:
    return {row["oid"]: row for row in facts("windows/pfx-schemes")}


def _called(oid: str) -> str:
    return _rows().get(oid, {}).get("name", oid)


def _encrypted(data: bytes, depth: int) -> Iterator[tuple[str, list[str]]]:
    """Yield what is encrypted below a value, and by which schemes."""
    children = list(values(data)) if depth < _DEEPEST else []
    first = _oid(children[0]) if children and children[0].head == _OID else ""
    if first in (_ENCRYPTED_DATA, _SHROUDED_KEY):
        found = [oid for child in children[1:] for oid in _oids(child.content, depth)]
        yield "key" if first == _SHROUDED_KEY else "certificates", _ciphers(found)
        return
    for one in children:
        if one.head[0] & 0x20 or (one.head == b"\x04" and one.content[:1] == b"\x30"):
            yield from _encrypted(one.content, depth + 1)


def _ciphers(oids: list[str]) -> list[str]:
    found = [oid for oid in oids if oid.startswith(_SCHEMES)]
    return found or [oid for oid in oids if oid != _PBES2][:1]


def _oids(data: bytes, depth: int) -> Iterator[str]:
    for one in values(data):
        if one.head == _OID:
            yield _oid(one)
        elif one.head[0] & 0x20 and depth < _DEEPEST:
            yield from _oids(one.content, depth + 1)


def _oid(value: Value) -> str:
    return asn1.decode_der(ObjectIdentifier, value.whole).dotted_string
