"""What a Windows computer answers: its inventory, one JSON file that inventory.ps1 writes."""

import base64
import json
import re
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.scripts import refuse_hiding
from vmscert.windows import Personal, Stores

INVENTORY_VERSION = 1


def write_inventory(stores: Stores) -> bytes:
    """Return the inventory of a computer as JSON, the same bytes for the same stores."""
    data = {
        "vmscert_inventory": INVENTORY_VERSION,
        "host": stores.host,
        "at": stores.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "windows": stores.windows,
        "root": list(map(_encoded, stores.root)),
        "user_root": list(map(_encoded, stores.user_root)),
        "personal": list(map(_written, stores.personal)),
        "user_personal": list(map(_written, stores.user_personal)),
        "bindings": dict(sorted(stores.bindings.items())),
        "request": stores.request,
        "intermediate": list(map(_encoded, stores.intermediate)),
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


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
    if version != INVENTORY_VERSION:
        raise ValueError(f"is an inventory of version {version}, not {INVENTORY_VERSION}")
    return Stores(
        host=_get(data, "host", str),
        at=_time(_get(data, "at", str)),
        windows=_get(data, "windows", str),
        root=_certificates(data, "root"),
        user_root=_certificates(data, "user_root"),
        personal=_personal(data, "personal"),
        user_personal=_personal(data, "user_personal"),
        bindings=_bindings(_get(data, "bindings", dict)),
        request=data.get("request", ""),
        intermediate=_certificates(data, "intermediate") if "intermediate" in data else (),
    )


def _get(data: Any, key: str, kind: type) -> Any:
    """One value of a JSON object, of the right kind and with nothing hidden in its text."""
    if not isinstance(data, dict) or key not in data:
        raise ValueError(f"is not a complete inventory: {key!r} is missing")
    if type(data[key]) is not kind:
        raise ValueError(f"has a wrong value for {key!r}: {str(data[key])[:40]!r}")
    if kind is str:
        refuse_hiding(data[key])
    return data[key]


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"has a wrong value for 'at': {text!r} is not a UTC time")
    return at.astimezone(UTC)


def _certificates(data: Any, key: str) -> tuple[x509.Certificate, ...]:
    return tuple(_certificate(text, key) for text in _get(data, key, list))


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
            tuple(_get({"readers": name}, "readers", str) for name in _get(entry, "readers", list)),
        )
        for entry in _get(data, key, list)
    )


def _bindings(data: dict[str, Any]) -> dict[str, str]:
    labels = {group: _get(data, group, str).upper() for group in data}
    for group, label in labels.items():
        if not re.fullmatch("[0-9A-F]{40}", label):
            raise ValueError(f"has a wrong thumbprint for {group!r}: {label[:50]!r}")
    return labels
