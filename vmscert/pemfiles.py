"""The folder for a computer whose roles want PEM files, such as containers: files, a page, a look.

Nothing of Windows is in it: people copy the files to where they are read and open the key there,
and `inventory.sh` looks at that and writes an inventory like those of Windows computers. Which
files, under which names, stands in data/xprotect/pem-files.csv.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from shlex import quote

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.facts import DATA, UNCONFIRMED
from vmscert.inventory import write_inventory
from vmscert.load import Load
from vmscert.names import parse_name
from vmscert.pages import Markdown, faces, literal, plain, rows_table, steps
from vmscert.windows import Stores

LOOK = "inventory.sh"
_MADE = re.compile(r"^made='?([^'\n]*)'?$", re.MULTILINE)
_INPUTS = "# inputs: begin\n# inputs: end\n"
_ABOUT = {
    "roots": "the CA certificates that are trusted, in PEM",
    "certificate": "the server certificate that XProtect is shown, in PEM",
    "key": "its private key: PKCS #8 in PEM, encrypted with the password of the PFX files",
}


def pem_folder(load: Load) -> dict[str, bytes]:
    """Return file name → bytes of the whole folder, with no Windows script in it."""
    title = f"{load.host.name}: certificates for XProtect"
    files = pem_files(load) | {LOOK: _script(load)}
    return files | faces("README", _page(load, files), title)


def pem_files(load: Load) -> dict[str, bytes]:
    """Return file name → bytes of the PEM files; those of which nothing is there yet are left out.

    The certificate has the CAs between it and the root below it.
    """
    chain = (load.certificate, *load.intermediates) if load.certificate else ()
    pem = {holds: b"".join(one.public_bytes(Encoding.PEM) for one in held)
           for holds, held in (("roots", load.roots), ("certificate", chain))}  # fmt: skip
    pem["key"] = load.key
    return {name: pem[holds] for name, holds in load.host.pem_files.items() if pem[holds]}


def pem_page(load: Load) -> str:
    """Return the section of a Windows computer's page that tells of the PEM files in its folder."""
    files = pem_files(load)
    told = steps(_deeds(load, "", looks=False))
    head = "## The PEM files\n\nThe scripts leave them alone: they go to the containers by hand.\n"
    return f"\n{head}\n{rows_table(_listed(load, files))}\n{told}\n{_unconfirmed(load)}"


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


def _page(load: Load, files: dict[str, bytes]) -> str:
    host = load.host
    about = {
        "Computer": literal(host.fqdn),
        "Runs": plain(", ".join(host.roles)),
        "Its names": plain(", ".join(host.issued_names)),
        "Site, responsible": plain(", ".join(filter(None, [load.site, host.owner]))),
        "Folder made": plain(f"{load.made:%Y-%m-%d %H:%M} UTC"),
        "You need": plain(
            "an account that may write where the containers read their certificates, openssl, "
            "and the password of the PFX files"
        ),
        **{
            f"SHA-256 of CA no. {number}": literal(one.fingerprint(SHA256()).hex(" ", 2).upper())
            for number, one in enumerate(load.roots, 1)
        },
    }
    parts = [
        f"# {plain(host.name)}: certificates for XProtect\n",
        rows_table([{"This folder is for": plain(k), "": v} for k, v in about.items()]),
        "**What changes.** The containers trust the CA, and show XProtect a certificate of it. "
        "They stand still while they are started again. There is no PowerShell in this folder: "
        "containers read files, and look into no store of Windows.\n",
        rows_table(_listed(load, files)),
        "## What to do\n",
        steps(_deeds(load, host.name, looks=True)),
        "## The way back\n",
        "Put the files back that you kept, and start the containers again.\n",
        _unconfirmed(load),
    ]
    return "\n".join(parts)


def _listed(load: Load, files: dict[str, bytes]) -> list[dict[str, str]]:
    kinds = load.host.pem_files
    return [
        {"file": literal(name), "what it is": plain(_ABOUT[kinds[name]])}
        for name in files
        if name in kinds
    ]


def _deeds(load: Load, computer: str, *, looks: bool) -> Iterator[str]:
    """What a person does at the Docker host, in steps; the key is open only where it is read."""
    named = {holds: name for name, holds in load.host.pem_files.items()}
    roots, leaf, key = named["roots"], named["certificate"], named["key"]
    yield (
        "Copy the whole folder there, and go into it with `cd`. `FOLDER` stands below for the one "
        "from which the containers read their certificates: their manual names it."
    )
    yield (
        f"Look at what came: `openssl verify -CAfile {roots} -untrusted {leaf} {leaf}` says "
        f"`{leaf}: OK`, and `sha256sum --check SHA256SUMS` says OK of every file."
    )
    yield (
        f"Keep what is in `FOLDER` now, in another place: it is the way back. Copy `{roots}` and "
        f"`{leaf}` into `FOLDER`."
    )
    if load.key:
        yield (
            f"Open the private key there, and nowhere else; it asks for the password of the PFX "
            f"files:\n`(umask 077; openssl pkey -in {key} -out FOLDER/{key})`\n"
            f"Let only the account of the containers read `FOLDER/{key}`."
        )
    else:
        yield f"The private key stays as it is: `FOLDER/{key}` was made by somebody else."
    yield "Start the containers again."
    if looks:
        yield (
            f"Type `sh {LOOK} FOLDER PORT`, with the port at which the containers serve, if you "
            f"know it: it compares, calls them there, and writes {literal(f'{computer}.json')}. "
            f"Without a port nobody has judged what they serve.\n"
            f"**Bring back** {literal(f'{computer}.json')}. It holds no private key."
        )
    if load.key:
        yield f"Delete `{key}` of this folder here: it does hold one."


def _unconfirmed(load: Load) -> Markdown:
    """What nobody has read anywhere of the files in their place."""
    several = " that they read several CAs from one file;" if len(load.roots) > 1 else ""
    return Markdown(
        f"Not confirmed by any source: that the containers want their key in clear;{several} at "
        f"which port they serve; who runs them ({UNCONFIRMED}). Their manual decides.\n"
    )
