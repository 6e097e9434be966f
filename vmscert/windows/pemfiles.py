"""The folder for a computer whose roles want PEM files, such as containers: files, a page, a look.

Nothing of Windows is in it: people copy the files to where they are read and open the key there,
and `inventory.sh` looks at that and writes an inventory like those of Windows computers. Which
files, under which names, stands in data/xprotect/pem-files.csv.
"""

import re
from datetime import datetime
from shlex import quote

from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.facts import DATA
from vmscert.names import parse_name
from vmscert.pages import faces, render
from vmscert.windows.inventory import write_inventory
from vmscert.windows.load import Load
from vmscert.windows.stores import Stores

LOOK = "inventory.sh"
_MADE = re.compile(r"^made='?([^'\n]*)'?$", re.MULTILINE)
_INPUTS = "# inputs: begin\n# inputs: end\n"


def pem_folder(load: Load) -> dict[str, bytes]:
    """Return file name → bytes of the whole folder, with no Windows script in it."""
    title = f"{load.host.name}: certificates for XProtect"
    files = pem_files(load) | {LOOK: _script(load)}
    return files | faces("README", pem_page(load, whole=True), title)


def pem_files(load: Load) -> dict[str, bytes]:
    """Return file name → bytes of the PEM files; those of which nothing is there yet are left out.

    The certificate has the CAs between it and the root below it.
    """
    chain = (load.certificate, *load.intermediates) if load.certificate else ()
    pem = {holds: b"".join(one.public_bytes(Encoding.PEM) for one in held)
           for holds, held in (("roots", load.roots), ("certificate", chain))}  # fmt: skip
    pem["key"] = load.key
    return {name: pem[holds] for name, holds in load.host.pem_files.items() if pem[holds]}


def pem_page(load: Load, *, whole: bool = False) -> str:
    """Return the section of a Windows computer's page about its PEM files, or a whole page."""
    return render(
        "pem-files.md",
        load=load,
        whole=whole,
        look=LOOK,
        named={holds: name for name, holds in load.host.pem_files.items()},
        files=list(pem_files(load)),
    )


def looked_from(script: bytes) -> datetime:
    """Return when a folder was made, as its inventory.sh says; ValueError where it says nothing."""
    found = _MADE.search(script.decode())
    if found is None:
        raise ValueError(f"{LOOK} does not say when it was made: make the folder again")
    return datetime.fromisoformat(found[1])


def _script(load: Load) -> bytes:
    """What looks at the files in their place, and writes an inventory in the form of any other."""
    host = load.host
    inputs = {
        "host": str(parse_name(host.name)),
        "name": str(parse_name(host.fqdn)),
        "made": load.made.isoformat(),
        **{holds: name for name, holds in host.pem_files.items()},
    }
    template = (DATA / "containers" / LOOK).read_text(encoding="utf-8")
    block = "".join(f"{key}={quote(value)}\n" for key, value in inputs.items())
    text = template.replace(_INPUTS, _INPUTS.replace("# inputs: end", f"{block}# inputs: end"))
    # The inventory of a computer that holds nothing, with what the script saw to be filled in.
    inventory = write_inventory(Stores(inputs["host"], load.made)).decode()
    leaf = '"personal": [{"certificate": $leaf, "has_key": true, "readers": []}]'
    for empty, filled in (
        (r'"at": "[^"]*"', '"at": "$at"'),
        (r'"root": \[\]', '"root": [$root]'),
        (r'"personal": \[\]', leaf),
        (r'"https": {}', '"https": {$https}'),
    ):
        inventory, times = re.subn(empty, filled, inventory)
        assert times == 1, empty
    return text.replace("# inventory\n", inventory).encode()
