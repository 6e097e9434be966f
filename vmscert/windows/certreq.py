"""The request that a Windows computer makes for itself: its private key never leaves it."""

import re

from vmscert.certificates.authority import LONGEST_COMMON_NAME, SERVER
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
    pairs = [f"{'ipaddress' if is_address(name) else 'dns'}={name}" for name in checked]
    lines = '&"\n_continue_ = "'.join(pairs)
    text = text.replace("<names>", f'_continue_ = "{lines}"')
    return text.replace("\n", "\r\n").encode("ascii")


def wanted_names(inf: bytes) -> tuple[str, ...]:
    """Return the names that a request.inf of ours asks for."""
    return tuple(re.findall(r'^_continue_ = "\w+=([^"&]+)&?"', inf.decode("ascii"), re.MULTILINE))
