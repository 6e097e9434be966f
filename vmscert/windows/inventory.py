"""What a Windows computer answers: its inventory, one JSON file that inventory.ps1 writes.

Pydantic loads slowly: who reads no inventory goes without this module.
"""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, BaseModel, BeforeValidator, StrictBool, TypeAdapter

from vmscert.certificates import foreign
from vmscert.files import fitting, read_foreign, read_json
from vmscert.windows.scripts import refuse_hiding
from vmscert.windows.stores import UNKNOWN, LogLine, Personal, Service, Stores

VERSION = 2


def write_inventory(stores: Stores) -> bytes:
    """Return the inventory of a computer as JSON, the same bytes for the same stores."""
    told: dict[str, Any] = {"vmscert_inventory": VERSION}
    for name, value in vars(stores).items():
        told[name] = dict(sorted(value.items())) if isinstance(value, Mapping) else value
    told["log"] = [json.dumps(vars(line), ensure_ascii=False) for line in stores.log]
    text = json.dumps(told, indent=2, ensure_ascii=False, default=_written)
    return f"{text}\n".encode()


def _written(value: Any) -> Any:
    if isinstance(value, x509.Certificate | foreign.StandIn):
        return base64.b64encode(value.public_bytes(Encoding.DER)).decode("ascii")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return vars(value)


def read_inventory(path: str | PathLike[str]) -> Stores:
    """Return what inventory.ps1 wrote about a computer, in UTF-8 or UTF-16.

    ValueError for anything but an inventory of this version: all that is wrong, in one sentence.
    """
    path = Path(path)
    data = read_foreign(path)
    try:
        return parse_inventory(data)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}. Run inventory.ps1 there again") from None


def parse_inventory(data: bytes) -> Stores:
    """Return what the bytes of an inventory say; ValueError with what is wrong with them."""
    told = read_json(data)
    version = told.get("vmscert_inventory") if isinstance(told, dict) else None
    if type(version) is not int:
        raise ValueError("is not a complete inventory: 'vmscert_inventory' is missing")
    if version == 1:  # it told less, and what it did not tell nobody knows
        told = json.loads(write_inventory(Stores("", datetime.fromtimestamp(0, UTC)))) | told
    elif version != VERSION:
        raise ValueError(f"is an inventory of version {version}, not {VERSION}")
    return Stores(**dict(fitting(_readable_ones(told), ANSWER)))


def _readable_ones(told: dict[str, Any]) -> dict[str, Any]:
    """The same without certificates that nobody can read, which are noted as unread."""
    places = {"root": "LocalMachine\\Root", "user_root": "CurrentUser\\Root"}
    places |= {"personal": "LocalMachine\\My", "user_personal": "CurrentUser\\My"}
    for key, place in places.items():
        if isinstance(told.get(key), list) and any(map(_is_riddle, told[key])):
            kept = [one for one in told[key] if not _is_riddle(one)]
            unread = {**(told.get("unread") or {}), place: "a certificate there can't be read"}
            told = {**told, key: kept, "unread": unread}
    return told


def _is_riddle(held: Any) -> bool:
    """Whether an entry of a store holds bytes, and these are no certificate."""
    text = held.get("certificate") if isinstance(held, dict) else held
    with suppress(ValueError, TypeError):
        der = base64.b64decode(text or "", validate=True)
        return bool(der) and foreign.certificate(der) is None
    return False


_LONGEST = 1e11  # seconds between two clocks: thousands of years, and no number that is none


def _all_shown(service: Service) -> Service:
    for text in astuple(service):
        refuse_hiding(text)
    return service


def _in_one_line(text: str) -> str:
    """Windows' messages have several lines, and a log hides nothing in them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _list(found: Any) -> Any:
    """ConvertTo-Json may write a list of no or one value as null or as that value."""
    return [] if found is None else [found] if isinstance(found, str | dict) else found


def _certificate(text: str) -> x509.Certificate:
    found = None
    with suppress(ValueError):
        found = foreign.certificate(base64.b64decode(text, validate=True))
    if found is None:
        raise ValueError(f"{text[:20]!r} is no certificate that can be read")
    return found


def _readable(texts: tuple[str, ...]) -> tuple[x509.Certificate, ...]:
    """The certificates that others put into a store; an odd one, which is not ours, is left out."""
    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(_certificate(text))
    return tuple(found)


def _thumbprint(text: str) -> str:
    label = text.upper()
    if not re.fullmatch("[0-9A-F]{40}", label) and label != UNKNOWN:
        raise ValueError(f"{text[:50]!r} is no thumbprint")
    return label


def _utc(text: str) -> datetime:
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    raise ValueError(f"{text[:40]!r} is not a UTC time")


def _seconds(found: Any) -> float | None:
    """ConvertTo-Json may write them without a decimal point; null if nobody measured."""
    if found is not None and not (type(found) in (int, float) and abs(found) < _LONGEST):
        raise ValueError(f"{str(found)[:40]!r} is no number of seconds")
    return found


def _log(texts: tuple[str, ...]) -> tuple[LogLine, ...]:
    """The log of the install script; what a stopped run left half written is kept whole."""
    lines = []
    for text in filter(str.strip, texts):
        try:
            line = astuple(_LINE.validate_python(json.loads(text)))
        except (ValueError, RecursionError):
            line = ("", "", "unreadable", text)
        lines.append(LogLine(*map(_in_one_line, line)))
    return tuple(lines)


_LINE = TypeAdapter(LogLine)
_LISTED = BeforeValidator(_list)
_Text = Annotated[str, AfterValidator(refuse_hiding)]
_Texts = Annotated[tuple[_Text, ...], _LISTED]
_Certificates = Annotated[tuple[Annotated[str, AfterValidator(_certificate)], ...], _LISTED]
_Others = Annotated[_Texts, AfterValidator(_readable)]
_Thumbprints = dict[_Text, Annotated[_Text, AfterValidator(_thumbprint)]]
_Told = Annotated[str, AfterValidator(_in_one_line)]
_Later = Annotated[dict[_Told, _Told], BeforeValidator(lambda found: found or {})]


class _Held(BaseModel):
    certificate: Annotated[_Text, AfterValidator(_certificate)]
    has_key: StrictBool
    readers: _Texts


_Personal = Annotated[_Held, AfterValidator(lambda held: Personal(**dict(held)))]
_Personals = Annotated[tuple[_Personal, ...], _LISTED]


class Answer(BaseModel):
    """The fields of `Stores`, under their names; those that have a value here came later."""

    host: _Text
    at: Annotated[_Text, AfterValidator(_utc)]
    windows: _Text
    root: _Certificates
    user_root: _Certificates
    personal: _Personals
    user_personal: _Personals
    bindings: _Thumbprints
    third_party_root: _Others
    intermediate: _Others
    disallowed: _Others
    https: _Thumbprints
    services: Annotated[tuple[Annotated[Service, AfterValidator(_all_shown)], ...], _LISTED]
    names: _Texts
    addresses: _Texts
    registered: dict[_Text, _Text]
    clock_offset: Annotated[Any, AfterValidator(_seconds)]
    clock_source: _Text
    tls: dict[_Text, _Text]
    request: Annotated[str | None, AfterValidator(lambda text: (text or "").strip())]
    given: _Later = {}
    told_by: _Later = {}
    unread: _Later = {}
    web_ports: _Later = {}
    log: Annotated[tuple[str, ...], _LISTED, AfterValidator(_log)]


ANSWER = TypeAdapter(Answer)
