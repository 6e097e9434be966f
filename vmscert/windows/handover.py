"""The folder that one person carries to one computer: its files, and nothing that it doesn't need.

`pack()` makes them from a `Load`, the same bytes for the same load, so that a folder that is there
already can be compared with what it should be.
"""

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vmscert.certificates.authority import Issued, thumbprint
from vmscert.facts import facts
from vmscert.pages import faces
from vmscert.site.releases import least_build, pfx_encryption_of
from vmscert.windows.certreq import request_inf
from vmscert.windows.leaflet import leaflet
from vmscert.windows.load import Load, numbered
from vmscert.windows.pemfiles import pem_files, pem_folder, pem_page
from vmscert.windows.scripts import script, script_takes, steps_for
from vmscert.windows.stores import principal

Inputs = dict[str, str | list[str]]


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
    if load.host.only_pem:
        return pem_folder(load)
    inputs = _inputs(load)
    files = _certificates(load) | {"inventory.ps1": _script("inventory", inputs)}
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
    return files | faces("README", page, f"{load.host.name}: certificates for XProtect")


def made_at(install: Mapping[str, str | list[str]]) -> datetime:
    """Return when a folder was made, from the inputs of its install.ps1."""
    return datetime.fromisoformat(str(install["Made"]))


def _certificates(load: Load) -> dict[str, bytes]:
    """The certificates of the folder, each in a file with a plain name."""
    name, files = load.host.name, {name: _der(one) for name, one in load.authorities.items()}
    if load.pfx:
        files[f"{name}.pfx"] = load.pfx
    elif load.certificate is not None:
        files[f"{name}.cer"] = _der(load.certificate)
    return files


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
    on = [group for turn in load.switch_on for group in turn]
    inputs: Inputs = {
        "ComputerName": host.name,
        "Made": load.made.isoformat(),
        "ClockSource": load.clock_source,
        "CaFiles": [numbered("ca", n) for n in range(len(load.roots))],
        "CaThumbprints": list(map(thumbprint, load.roots)),
        "IntermediateFiles": [numbered("intermediate", n) for n in range(len(load.intermediates))],
        "IntermediateThumbprints": list(map(thumbprint, load.intermediates)),
        "RequestFile": f"{host.name}.req",
        "Groups": on,
        "GroupIds": [groups[group]["guid"] for group in on],
        "GroupReleases": [groups[group]["since"] for group in on],
        "Turns": [str(n) for n, turn in enumerate(load.switch_on, 1) for _ in turn],
        "UndoGroups": list(load.switch_off),
        "UndoGroupIds": [groups[group]["guid"] for group in load.switch_off],
        "Superseded": list(load.superseded),
        "OldCaFiles": [numbered("old-ca", n) for n in range(len(load.old_roots))],
        "OldCaThumbprints": list(map(thumbprint, load.old_roots)),
        "BarredFiles": [numbered("barred", n) for n in range(len(load.barred))],
        "BarredThumbprints": list(map(thumbprint, load.barred)),
    }
    return inputs | (_of_the_certificate(load, load.certificate) if load.certificate else {})


def _of_the_certificate(load: Load, certificate: x509.Certificate) -> Inputs:
    name = Issued(certificate, None).friendly_name
    return {
        "Thumbprint": thumbprint(certificate),
        "NotBefore": certificate.not_valid_before_utc.isoformat(),
        "FriendlyName": name,
        "NamePrefix": name.rpartition(" until ")[0] + " until ",
        "KeyMadeHere": "" if load.pfx else "yes",
        "PfxFile": f"{load.host.name}.pfx",
        "PfxHash": _sha256(load.pfx),
        "CertificateFile": f"{load.host.name}.cer",
        "Windows": load.host.windows or "a current Windows",
        "LeastBuild": least_build(pfx_encryption_of(load.pfx)),
        "Accounts": list(map(principal, load.host.accounts)),
        "Services": list(load.host.services),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest().upper()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
