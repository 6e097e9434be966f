"""What a Windows computer answers: its inventory, one JSON file that inventory.ps1 writes."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.files import fitting, read_json
from vmscert.windows.stores import Stores

VERSION = 2
# The fields of Stores in the order in which the script writes them, so that people can compare.
_ORDER = (
    "host", "at", "clock_source", "clock_offset", "windows", "names", "addresses", "root",
    "third_party_root", "user_root", "intermediate", "disallowed", "personal", "user_personal",
    "bindings", "https", "registered", "services", "tls", "request", "given", "told_by", "unread",
    "web_ports", "log",
)  # fmt: skip


def write_inventory(stores: Stores) -> bytes:
    """Return the inventory of a computer as JSON, the same bytes for the same stores."""
    told: dict[str, Any] = {"vmscert_inventory": VERSION}
    for name in _ORDER:
        value = getattr(stores, name)
        told[name] = dict(sorted(value.items())) if isinstance(value, Mapping) else value
    told["log"] = [json.dumps(vars(line), ensure_ascii=False) for line in stores.log]
    text = json.dumps(told, indent=2, ensure_ascii=False, default=_written)
    return f"{text}\n".encode()


def _written(value: Any) -> Any:
    if isinstance(value, x509.Certificate):
        return base64.b64encode(value.public_bytes(Encoding.DER)).decode("ascii")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return vars(value)


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
    from vmscert.windows.answer import ANSWER

    told = read_json(data)
    version = told.get("vmscert_inventory") if isinstance(told, dict) else None
    if type(version) is not int:
        raise ValueError("is not a complete inventory: 'vmscert_inventory' is missing")
    if version == 1:  # it told less, and what it did not tell nobody knows
        told = json.loads(write_inventory(Stores("", datetime.fromtimestamp(0, UTC)))) | told
    elif version != VERSION:
        raise ValueError(f"is an inventory of version {version}, not {VERSION}")
    return Stores(**dict(fitting(told, ANSWER)))
