"""What the JSON of an inventory may hold, field by field, and what becomes of each.

Loading pydantic takes as long as reading a hundred inventories: who reads none does without.
"""

import base64
import json
import re
from contextlib import suppress
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Annotated, Any

from cryptography import x509
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainValidator,
    StrictBool,
    TypeAdapter,
)

from vmscert.windows.scripts import refuse_hiding
from vmscert.windows.stores import UNKNOWN, LogLine, Personal, Service

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
    try:
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except ValueError:
        raise ValueError(f"{text[:20]!r} is no certificate that can be read") from None


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
_Mapping = dict[_Text, _Text]
_Certificate = Annotated[str, AfterValidator(_certificate)]
_Certificates = Annotated[tuple[_Certificate, ...], _LISTED]
_Others = Annotated[_Texts, AfterValidator(_readable)]
_Thumbprints = dict[_Text, Annotated[_Text, AfterValidator(_thumbprint)]]
_Told = Annotated[str, AfterValidator(_in_one_line)]
_Request = Annotated[str | None, AfterValidator(lambda text: (text or "").strip())]
_Later = Annotated[dict[_Told, _Told], BeforeValidator(lambda found: found or {})]


class _Held(BaseModel):
    certificate: Annotated[_Text, AfterValidator(_certificate)]
    has_key: StrictBool
    readers: _Texts


_Personal = Annotated[_Held, AfterValidator(lambda held: Personal(**dict(held)))]
_Personals = Annotated[tuple[_Personal, ...], _LISTED]
_Service = Annotated[Service, AfterValidator(_all_shown)]


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
    services: Annotated[tuple[_Service, ...], _LISTED]
    names: _Texts
    addresses: _Texts
    registered: _Mapping
    clock_offset: Annotated[Any, PlainValidator(_seconds)]
    clock_source: _Text
    tls: _Mapping
    request: _Request
    given: _Later = {}
    told_by: _Later = {}
    unread: _Later = {}
    web_ports: _Later = {}
    log: Annotated[tuple[str, ...], _LISTED, AfterValidator(_log)]


ANSWER = TypeAdapter(Answer)
