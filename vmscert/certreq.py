"""The request that a Windows computer makes for itself: its private key never leaves it."""

import re

from vmscert.authority import LONGEST_COMMON_NAME, SERVER
from vmscert.facts import DATA
from vmscert.names import is_address, parse_name


def request_inf(names: tuple[str, ...]) -> bytes:
    """Return request.inf for `certreq -new`: an RSA key of the machine, and these names as text.

    The first name that fits becomes the common name. The keys of the file are Microsoft's
    (https://learn.microsoft.com/windows-server/administration/windows-commands/certreq_1). Raises
    ValueError for a name that is none: nothing else can get into the file.
    """
    checked = [str(parse_name(name)) for name in names]
    fitting = (n for n in checked if len(n) <= LONGEST_COMMON_NAME and not is_address(n))
    if not (common := next(fitting, "")):
        raise ValueError(f"A request needs a host name, not only {', '.join(checked) or 'nothing'}")
    text = (DATA / "windows" / "request.inf").read_text(encoding="ascii")
    text = text.replace("<common name>", common).replace("<bits>", str(SERVER.key_bits))
    text = text.replace("<names>", "\n".join(_alternative_names(checked)))
    return text.replace("\n", "\r\n").encode("ascii")


def _alternative_names(names: list[str]) -> list[str]:
    kinds = ["ipaddress" if is_address(name) else "dns" for name in names]
    pairs = [f"{kind}={name}" for kind, name in zip(kinds, names, strict=True)]
    return [f'_continue_ = "{pair}&"' for pair in pairs[:-1]] + [f'_continue_ = "{pairs[-1]}"']


def wanted_names(inf: bytes) -> tuple[str, ...]:
    """Return the names that a request.inf of ours asks for."""
    return tuple(re.findall(r'^_continue_ = "\w+=([^"&]+)&?"', inf.decode("ascii"), re.MULTILINE))
