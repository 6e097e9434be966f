"""The folder that one person carries to one computer: its files, and nothing that it doesn't need.

`pack()` makes them from a `Load`, the same bytes for the same load, to be compared with what is
there. A computer whose roles want PEM files, such as containers, gets nothing of Windows: people
copy the files of data/xprotect/pem-files.csv to where they are read and open the key there, and
`inventory.sh` looks at that.
"""

import hashlib
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.facts import DATA, facts, imports_pfx, least_build, pfx_encryption_of, sureness
from vmscert.names import parse_name
from vmscert.pages import faces, render
from vmscert.site.site import Host
from vmscert.windows.inventory import write_inventory
from vmscert.windows.scripts import request_inf, script, script_takes, steps_for
from vmscert.windows.stores import Stores, principal

LOOK = "inventory.sh"
_MADE = re.compile(r"^(?:made=|\$Made = )'?([^'\r\n]*)'?\r?$", re.MULTILINE)
_INPUTS = "# inputs: begin\n# inputs: end\n"
_TALK = 5  # minutes to log on, copy the folder, and read
Inputs = dict[str, str | list[str]]


def numbered(stem: str, number: int, ending: str = "cer") -> str:
    """Return the name of the first, second … file of a kind: ca.cer, ca-2.cer."""
    return f"{stem}.{ending}" if number == 0 else f"{stem}-{number + 1}.{ending}"


@dataclass(frozen=True)
class Load:
    """What is to be carried to one computer, made at one time."""

    host: Host
    site: str
    made: datetime
    roots: tuple[x509.Certificate, ...]  # the CAs that it has to trust
    certificate: x509.Certificate | None = None  # a server's
    intermediates: tuple[x509.Certificate, ...] = ()
    pfx: bytes = b""  # empty where the private key waits on the computer itself
    key: bytes = b""  # its private key in PEM, encrypted, where its roles want files
    asks: bool = False  # whether it is to make a request, as long as it has no certificate
    superseded: tuple[str, ...] = ()  # thumbprints of its older certificates
    clock_source: str = ""
    switch_on: tuple[tuple[str, ...], ...] = ()  # groups; between two turns others have theirs
    switch_off: tuple[tuple[str, ...], ...] = ()  # the same, on the way back
    old_roots: tuple[x509.Certificate, ...] = ()  # replaced CAs, to be trusted no longer
    barred: tuple[x509.Certificate, ...] = ()  # of stolen keys, never to be trusted again

    @property
    def brought(self) -> dict[str, dict[str, x509.Certificate]]:
        """What the scripts call it → file name → certificate, of each CA and of what is barred."""
        kinds = {"Ca": ("ca", self.roots), "Intermediate": ("intermediate", self.intermediates),
                 "OldCa": ("old-ca", self.old_roots),
                 "Barred": ("barred", self.barred)}  # fmt: skip
        return {
            kind: {numbered(stem, n): one for n, one in enumerate(held)}
            for kind, (stem, held) in kinds.items()
        }

    @property
    def kinds(self) -> set[str]:
        """The kinds of steps that this computer needs, as data/windows/steps.csv names them."""
        server = self.certificate is not None
        held = {"server": server, "pfx": bool(self.pfx), "csr": server and not self.pfx}
        held |= {"chain": bool(self.intermediates), "superseded": bool(self.superseded)}
        held |= {"old-root": bool(self.old_roots), "barred": bool(self.barred)}
        return {"every", *(kind for kind, holds in held.items() if holds)}


def pack(load: Load) -> dict[str, bytes]:
    """Return file name → bytes of the folder for one computer; no password stands in any of them.

    ValueError when a value of the table can't go into a script, or when the folder would bring a
    CA and take it away.
    """
    if both := set(load.roots) & {*load.old_roots, *load.barred}:
        raise ValueError(
            f"{load.host.name}: {thumbprint(both.pop())} is to be trusted and to go, in one "
            "folder: wait until no server needs this CA"
        )
    title = f"{load.host.name}: certificates for XProtect"
    if load.host.only_pem:
        files = pem_files(load) | {LOOK: _look_script(load)}
        return files | faces("README", pem_page(load, whole=True), title)
    inputs = _inputs(load)
    carried = {name: one for held in load.brought.values() for name, one in held.items()}
    if load.certificate is not None and not load.pfx:
        carried[f"{load.host.name}.cer"] = load.certificate
    files = {name: one.public_bytes(Encoding.DER) for name, one in carried.items()}
    if load.pfx:
        files[f"{load.host.name}.pfx"] = load.pfx
    files["inventory.ps1"] = _script("inventory", inputs)
    files["undo.ps1"] = _script("undo", _hashed(inputs, files), load.kinds)
    if load.asks:
        files["request.inf"] = request_inf(load.host.issued_names)
        files["request.ps1"] = _script("request", _hashed(inputs, files), {"every", "request"})
    if "csr" in load.kinds:
        files["accept.ps1"] = _script("accept", _hashed(inputs, files), load.kinds)
    files["install.ps1"] = _script("install", _hashed(inputs, files), load.kinds)
    page = leaflet(load)
    if load.host.pem_files:
        files, page = files | pem_files(load), page + pem_page(load)
    return files | faces("README", page, title)


def made_at(script: bytes) -> datetime:
    """Return when a folder was made, as its install.ps1 or inventory.sh says; ValueError if not."""
    found = _MADE.search(script.decode())
    if found is None:
        raise ValueError("The script does not say when it was made: make the folder again")
    return datetime.fromisoformat(found[1])


def _script(name: str, inputs: Inputs, kinds: Collection[str] = ()) -> bytes:
    """A script with the steps that these kinds need, and those of the inputs that it takes."""
    steps = [row["step"] for row in steps_for(name, kinds)]
    try:
        return script(name, steps, **{key: inputs[key] for key in script_takes(name, steps)})
    except ValueError as error:
        raise ValueError(f"{inputs['ComputerName']}: {error}") from None


def _hashed(inputs: Inputs, files: Mapping[str, bytes]) -> Inputs:
    """The inputs with the SHA-256 of the files beside the script.

    A PFX is looked at when it is imported: people delete it before the later visits.
    """
    lasting = {name: _sha256(data) for name, data in files.items() if not name.endswith(".pfx")}
    return inputs | {"Files": list(lasting), "Hashes": list(lasting.values())}


def _inputs(load: Load) -> Inputs:
    """Everything that a script of this computer may ask for."""
    host, groups = load.host, {row["group"]: row for row in facts("xprotect/certificate-groups")}
    on, off = ([g for turn in of for g in turn] for of in (load.switch_on, load.switch_off))
    inputs: Inputs = {
        "ComputerName": host.name,
        "Made": load.made.isoformat(),
        "ClockSource": load.clock_source,
        "RequestFile": f"{host.name}.req",
        "Groups": on,
        "GroupIds": [groups[group]["guid"] for group in on],
        "GroupReleases": [groups[group]["since"] for group in on],
        "Turns": [str(n) for n, turn in enumerate(load.switch_on, 1) for _ in turn],
        "UndoGroups": off,
        "UndoGroupIds": [groups[group]["guid"] for group in off],
        "UndoTurns": [str(n) for n, turn in enumerate(load.switch_off, 1) for _ in turn],
        "Thumbprint": "",
        "Superseded": list(load.superseded),
    }
    for kind, held in load.brought.items():
        inputs[f"{kind}Files"] = list(held)
        inputs[f"{kind}Thumbprints"] = list(map(thumbprint, held.values()))
    if (certificate := load.certificate) is None:
        return inputs
    name = Issued(certificate, None).friendly_name
    return inputs | {
        "Thumbprint": thumbprint(certificate),
        "NotBefore": certificate.not_valid_before_utc.isoformat(),
        "FriendlyName": name,
        "NamePrefix": name.rpartition(" until ")[0] + " until ",
        "KeyMadeHere": "" if load.pfx else "yes",
        "PfxFile": f"{host.name}.pfx",
        "PfxHash": _sha256(load.pfx),
        "CertificateFile": f"{host.name}.cer",
        "Windows": host.windows or "a current Windows",
        "LeastBuild": least_build(pfx_encryption_of(load.pfx)),
        "Accounts": list(map(principal, host.accounts)),
        "Services": list(host.services),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest().upper()


def leaflet(load: Load) -> str:
    """Return the page as Markdown, short enough to print on one sheet."""
    asking = steps_for("request", {"request"}) if load.asks else []
    rows, order = steps_for("install", load.kinds), facts("xprotect/encryption-order")
    return render(
        "leaflet.md",
        load=load,
        asking=asking,
        rows=rows,
        minutes=_TALK + sum(int(row["minutes"]) for row in [*asking, *rows]),
        by_hand=load.pfx and not imports_pfx(load.host.windows),
        order=sorted(order, key=lambda row: int(row["off"])),
        sure=sureness(*(row["tag"] for row in order)),
    )


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
        files=pem_files(load),
    )


def _look_script(load: Load) -> bytes:
    """What looks at the files in their place, and writes an inventory in the form of any other."""
    host = load.host
    names = {"host": str(parse_name(host.name)), "name": str(parse_name(host.fqdn))}
    files = {holds: name for name, holds in host.pem_files.items()}
    inputs = names | {"made": load.made.isoformat()} | files
    template = (DATA / "containers" / LOOK).read_text(encoding="utf-8")
    block = "".join(f"{key}={shlex.quote(value)}\n" for key, value in inputs.items())
    text = template.replace(_INPUTS, _INPUTS.replace("# inputs: end", f"{block}# inputs: end"))
    # The inventory of a computer that holds nothing, with what the script saw to be filled in.
    inventory = write_inventory(Stores(inputs["host"], load.made)).decode()
    seen = {"at": '"$at"', "root": "[$root]", "https": "{$https}",
            "personal": '[{"certificate": $leaf, "has_key": true, "readers": []}]'}  # fmt: skip
    for name, filled in seen.items():
        empty = re.compile(f'(?<="{name}": ).*(?=,$)', re.MULTILINE)
        inventory, times = empty.subn(filled, inventory)
        assert times == 1, name
    return text.replace("# inventory\n", inventory).encode()
