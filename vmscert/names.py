"""What computers are called: is a text a DNS name or an IP address, and which port is meant?"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

# RFC 1123 letters, digits and hyphens, and the underscore that Windows lets through.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_ALLOWED = "letters, digits and inner hyphens, 1 to 63 of them"
_LONGEST = 253  # letters of a DNS name, RFC 1035 section 2.3.4


@lru_cache(maxsize=8192)  # a site asks for the same names again and again
def parse_name(text: str) -> str | IPv4Address | IPv6Address:
    """Return an IP address, or the DNS name in lower case and ASCII (RFC 5890 A-labels).

    A trailing dot is dropped; `*` may be the whole left-most label (RFC 9525).
    Raises ValueError with one sentence when the text is neither.
    """
    name = text.strip().removesuffix(".").lower()
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return _host_name(text, name)
    if "%" in name:
        raise ValueError(f"{text!r} names a network card of one computer: leave out what follows %")
    return address


def _host_name(text: str, name: str) -> str:
    ascii_name = name if name.isascii() else _to_ascii(name)
    labels = ascii_name.removeprefix("*.").split(".")
    wrong = [label for label in labels if not _LABEL.fullmatch(label)]
    why = f"look at {wrong[0]!r} (allowed are {_ALLOWED})" if wrong else ""
    if not ascii_name:
        why = "it is empty"
    elif len(ascii_name) > _LONGEST:
        why = f"it has {len(ascii_name)} letters, at most {_LONGEST} are allowed"
    if why:
        raise ValueError(f"{text!r} is not a host name: {why}")
    if labels[-1].isdigit():
        raise ValueError(f"{text!r} ends in a number like an IP address, but is not a valid one")
    return ascii_name


def _to_ascii(name: str) -> str:
    import idna  # only for the rare name that needs it: it loads large tables

    try:
        return ".".join(
            label if label.isascii() else idna.encode(label, uts46=True).decode("ascii")
            for label in name.split(".")  # one by one: IDNA knows neither `*` nor the underscore
        )
    except idna.IDNAError as error:
        raise ValueError(f"{name!r} is not a host name: {error}") from None


def is_address(text: str) -> bool:
    """Tell whether the text is an IP address."""
    try:
        return not isinstance(parse_name(text), str)
    except ValueError:
        return False


def parse_host(address: str) -> str:
    """Return a host name in ASCII or an IP address, also one with a scope; else ValueError."""
    address = address.strip().strip("[]")
    with suppress(ValueError):
        return str(ip_address(address))
    return str(parse_name(address))


def check_port(port: int) -> int:
    """Return the port, or raise ValueError: the network would silently take another one."""
    if not 0 < port < 1 << 16:
        raise ValueError(f"Port {port} does not exist: ports are 1 to 65535")
    return port


def endpoint(text: str, port: int = 443) -> tuple[str, int]:
    """Return (address, port) of what people paste: `host`, `host:port`, `[::1]:443`, or a URL."""
    given = text.strip()
    with suppress(ValueError):
        return str(ip_address(given)), port  # IPv6 without brackets, too
    try:
        parts = urlsplit(given if "//" in given else f"//{given}")
        default = 80 if parts.scheme == "http" else port
        asked = default if parts.port is None else parts.port
        return parse_host(parts.hostname or ""), check_port(asked)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}. Write HOST:PORT") from None


def spelled(where: tuple[str, int]) -> str:
    """Return `host:port`, with brackets around IPv6."""
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def iso(at: datetime) -> str:
    """Return a time as the ledger writes it: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(text: str) -> str:
    """Return a text of several lines as a table or a terminal may show it: nothing in it steers."""
    return "\n".join(map(printable, text.expandtabs().splitlines()))


def printable(text: str) -> str:
    """Return a text without the letters that only steer, and that XML does not allow."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
