"""What a Windows computer answers: its inventory, one JSON file that inventory.ps1 writes."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.files import fitting, read_json
from vmscert.windows import Personal, Stores

VERSION = 2


def write_inventory(stores: Stores) -> bytes:
    """Return the inventory of a computer as JSON, the same bytes for the same stores."""
    return (json.dumps(_data(stores), indent=2, ensure_ascii=False) + "\n").encode()


def read_inventory(path: str | PathLike[str]) -> Stores:
    """Return what inventory.ps1 wrote about a computer.

    UTF-8 and UTF-16 with or without BOM are read. Raises ValueError for a file that is anything but
    an inventory of this version: one sentence, with every place that is wrong.
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
    from vmscert.answer import ANSWER

    told = read_json(data)
    version = told.get("vmscert_inventory") if isinstance(told, dict) else None
    if type(version) is not int:
        raise ValueError("is not a complete inventory: 'vmscert_inventory' is missing")
    if version == 1:  # it told less, and what it did not tell nobody knows
        told = _data(Stores("", datetime.fromtimestamp(0, UTC))) | told
    elif version != VERSION:
        raise ValueError(f"is an inventory of version {version}, not {VERSION}")
    return Stores(**dict(fitting(told, ANSWER)))


def _data(stores: Stores) -> dict[str, Any]:
    return {
        "vmscert_inventory": VERSION,
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
