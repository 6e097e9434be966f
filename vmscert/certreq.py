"""The request that a Windows computer makes for itself: its private key never leaves it."""

import re

from vmscert.authority import LONGEST_COMMON_NAME, SERVER
from vmscert.names import is_address, parse_name

_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"


def request_inf(names: tuple[str, ...], key_bits: int = SERVER.key_bits) -> bytes:
    """Return request.inf for `certreq -new`: an RSA key of the machine, and these names as text.

    The first name that fits becomes the common name. The keys of the file are Microsoft's
    (https://learn.microsoft.com/windows-server/administration/windows-commands/certreq_1). Raises
    ValueError for a name that is none: nothing else can get into the file.
    """
    checked = [str(parse_name(name)) for name in names]
    fitting = (n for n in checked if len(n) <= LONGEST_COMMON_NAME and not is_address(n))
    if not (common := next(fitting, "")):
        raise ValueError(f"A request needs a host name, not only {', '.join(checked) or 'nothing'}")
    lines = [
        "[Version]",
        'Signature = "$Windows NT$"',
        "",
        "[NewRequest]",
        f'Subject = "CN={common}"',
        f'FriendlyName = "VMS {common}"',
        "RequestType = PKCS10",
        'ProviderName = "Microsoft Software Key Storage Provider"',
        "KeyAlgorithm = RSA",
        f"KeyLength = {key_bits}",
        "HashAlgorithm = SHA256",
        "MachineKeySet = TRUE",
        "Exportable = FALSE",
        'KeyUsage = "CERT_DIGITAL_SIGNATURE_KEY_USAGE | CERT_KEY_ENCIPHERMENT_KEY_USAGE"',
        "",
        "[Extensions]",
        f'2.5.29.37 = "{{text}}{_SERVER_AUTH}"',
        '2.5.29.17 = "{text}"',
        *_alternative_names(checked),
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def _alternative_names(names: list[str]) -> list[str]:
    kinds = ["ipaddress" if is_address(name) else "dns" for name in names]
    pairs = [f"{kind}={name}" for kind, name in zip(kinds, names, strict=True)]
    return [f'_continue_ = "{pair}&"' for pair in pairs[:-1]] + [f'_continue_ = "{pairs[-1]}"']


def wanted_names(inf: bytes) -> tuple[str, ...]:
    """Return the names that a request.inf of ours asks for."""
    return tuple(re.findall(r'^_continue_ = "\w+=([^"&]+)&?"', inf.decode("ascii"), re.MULTILINE))
