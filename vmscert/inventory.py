"""What a Windows computer answers: its inventory, one JSON file that inventory.ps1 writes."""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.scripts import refuse_hiding
from vmscert.windows import UNKNOWN, LogLine, Personal, Service, Stores

INVENTORY_VERSION = 2
_LONGEST = 1e11  # seconds between two clocks: thousands of years, and no number that is none


def write_inventory(stores: Stores) -> bytes:
    """Return the inventory of a computer as JSON, the same bytes for the same stores."""
    return (json.dumps(_data(stores), indent=2, ensure_ascii=False) + "\n").encode()


def read_inventory(path: str | PathLike[str]) -> Stores:
    """Return what inventory.ps1 wrote about a computer.

    UTF-8 and UTF-16 with or without BOM are read. Raises ValueError with one sentence for a file
    that is anything but an inventory of this version.
    """
    path = Path(path)
    try:
        return parse_inventory(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: can't be read: {error.strerror}. Check the path") from None
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}. Run inventory.ps1 there again") from None


def parse_inventory(data: bytes) -> Stores:
    """Return what the bytes of an inventory say; ValueError with what is wrong with them."""
    return _stores(_json(data))


def _data(stores: Stores) -> dict[str, Any]:
    return {
        "vmscert_inventory": INVENTORY_VERSION,
        "host": stores.host,
        "at": stores.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "clock_source": stores.clock_source,
        "clock_offset": stores.clock_offset,
        "windows": stores.windows,
        "names": list(stores.names),
        "addresses": list(stores.addresses),
        "root": list(map(_encoded, stores.root)),
        "third_party_root": list(map(_encoded, stores.third_party_root)),
        "user_root": list(map(_encoded, stores.user_root)),
        "intermediate": list(map(_encoded, stores.intermediate)),
        "disallowed": list(map(_encoded, stores.disallowed)),
        "personal": list(map(_written, stores.personal)),
        "user_personal": list(map(_written, stores.user_personal)),
        "bindings": _sorted(stores.bindings),
        "https": _sorted(stores.https),
        "registered": _sorted(stores.registered),
        "services": list(map(asdict, stores.services)),
        "tls": _sorted(stores.tls),
        "request": stores.request,
        "given": _sorted(stores.given),
        "told_by": _sorted(stores.told_by),
        "unread": _sorted(stores.unread),
        "web_ports": _sorted(stores.web_ports),
        "log": [json.dumps(asdict(line), ensure_ascii=False) for line in stores.log],
    }


def _sorted(mapping: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(mapping.items()))


def _encoded(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _written(held: Personal) -> dict[str, Any]:
    return {
        "certificate": _encoded(held.certificate),
        "has_key": held.has_key,
        "readers": list(held.readers),
    }


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)  # finds out itself whether it is UTF-8 or UTF-16
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


def _stores(data: Any) -> Stores:
    version = _get(data, "vmscert_inventory", int)
    if version == 1:  # it told less, and what it did not tell nobody knows
        data = _data(Stores("", datetime.fromtimestamp(0, UTC))) | data
    elif version != INVENTORY_VERSION:
        raise ValueError(f"is an inventory of version {version}, not {INVENTORY_VERSION}")
    return Stores(
        host=_get(data, "host", str),
        at=_time(_get(data, "at", str)),
        windows=_get(data, "windows", str),
        root=_certificates(data, "root"),
        user_root=_certificates(data, "user_root"),
        personal=_personal(data, "personal"),
        user_personal=_personal(data, "user_personal"),
        bindings=_thumbprints(data, "bindings"),
        third_party_root=_of_others(data, "third_party_root"),
        intermediate=_of_others(data, "intermediate"),
        disallowed=_of_others(data, "disallowed"),
        https=_thumbprints(data, "https"),
        services=tuple(map(_service, _list(data, "services"))),
        names=_texts(data, "names"),
        addresses=_texts(data, "addresses"),
        registered=_mapping(data, "registered"),
        clock_offset=_offset(data, "clock_offset"),
        clock_source=_get(data, "clock_source", str),
        tls=_mapping(data, "tls"),
        request=_request(data),
        given=_told(data, "given"),
        told_by=_told(data, "told_by"),
        unread=_told(data, "unread"),
        web_ports=_told(data, "web_ports"),
        log=tuple(_log_line(line) for line in _texts(data, "log", hiding=True) if line.strip()),
    )


def _get(data: Any, key: str, kind: type, hiding: bool = False) -> Any:
    """One value of a JSON object, of the right kind and with nothing hidden in its text."""
    if not isinstance(data, dict) or key not in data:
        raise ValueError(f"is not a complete inventory: {key!r} is missing")
    if type(data[key]) is not kind:
        raise ValueError(f"has a wrong value for {key!r}: {str(data[key])[:40]!r}")
    if kind is str and not hiding:
        refuse_hiding(data[key])
    return data[key]


def _list(data: Any, key: str) -> list[Any]:
    """A list; ConvertTo-Json may write one of no or one value as null or as that value."""
    found = data.get(key, ...) if isinstance(data, dict) else ...
    if found is None or isinstance(found, str | dict):
        return [] if found is None else [found]
    return _get(data, key, list)


def _mapping(data: Any, key: str) -> dict[str, str]:
    found = _get(data, key, dict)
    for name in found:
        refuse_hiding(name)
    return {name: _get(found, name, str) for name in found}


def _request(data: dict[str, Any]) -> str:
    """The text of a request; scripts before this version wrote null where there was none."""
    return "" if data.get("request", ...) is None else _get(data, "request", str, True).strip()


def _told(data: dict[str, Any], key: str) -> dict[str, str]:
    """What earlier scripts did not tell yet; sentences of Windows have several lines."""
    found = _get({key: data.get(key) or {}}, key, dict)
    return {_in_one_line(name): _in_one_line(_get(found, name, str, True)) for name in found}


def _texts(data: Any, key: str, hiding: bool = False) -> tuple[str, ...]:
    return tuple(_get({key: text}, key, str, hiding) for text in _list(data, key))


def _offset(data: dict[str, Any], key: str) -> float | None:
    """Seconds, which ConvertTo-Json may write without a decimal point; null if not measured."""
    if data.get(key, ...) is None:
        return None
    found = _get(data, key, int if type(data.get(key)) is int else float)
    if not abs(found) < _LONGEST:
        raise ValueError(f"has a wrong value for {key!r}: {str(found)[:40]}")
    return found


def _service(entry: Any) -> Service:
    return Service(*(_get(entry, part.name, str) for part in fields(Service)))


def _log_line(text: str) -> LogLine:
    """One line of the install script's log; what a stopped run left half written is kept whole."""
    try:
        entry = json.loads(text)
        parts = [_get(entry, part.name, str, hiding=True) for part in fields(LogLine)]
    except (ValueError, RecursionError):
        parts = ["", "", "unreadable", text]
    return LogLine(*map(_in_one_line, parts))


def _in_one_line(text: str) -> str:
    """Windows' messages have several lines, and a log hides nothing in them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"has a wrong value for 'at': {text!r} is not a UTC time")
    return at.astimezone(UTC)


def _certificates(data: Any, key: str) -> tuple[x509.Certificate, ...]:
    return tuple(_certificate(text, key) for text in _list(data, key))


def _of_others(data: Any, key: str) -> tuple[x509.Certificate, ...]:
    """The certificates that others put into a store; an odd one, which is not ours, is left out."""
    found = []
    for text in _texts(data, key):
        with suppress(ValueError):
            found.append(_certificate(text, key))
    return tuple(found)


def _certificate(text: Any, where: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except (TypeError, ValueError):
        raise ValueError(f"holds a broken certificate in {where!r}: {str(text)[:20]!r}") from None


def _personal(data: Any, key: str) -> tuple[Personal, ...]:
    return tuple(
        Personal(
            _certificate(_get(entry, "certificate", str), key),
            _get(entry, "has_key", bool),
            _texts(entry, "readers"),
        )
        for entry in _list(data, key)
    )


def _thumbprints(data: Any, key: str) -> dict[str, str]:
    labels = {place: label.upper() for place, label in _mapping(data, key).items()}
    for place, label in labels.items():
        if not re.fullmatch("[0-9A-F]{40}", label) and label != UNKNOWN:
            raise ValueError(f"has a wrong thumbprint for {place!r}: {label[:50]!r}")
    return labels
