"""What to look at: endpoints out of a site's table, a list, or what somebody types."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from pathlib import Path

from vmscert.files import foreign_text, is_file, read_foreign
from vmscert.names import check_port, endpoint, parse_host, parse_name
from vmscert.site.site import Site
from vmscert.site.table import read_site

_MOST = 1 << 17  # endpoints in one list: a mistyped network must not fill the memory
_MOST_FAULTS = 20  # told at once; a file with more is none of ours


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint to look at; `host` is the computer of the site's table, if it comes from one."""

    address: str
    port: int
    name: str
    host: str = ""

    @property
    def computer(self) -> str:
        """The computer of the site's table, or the address where there is none."""
        return self.host or self.address


NOWHERE = Target("", 0, "")


def site_targets(site: Site) -> list[Target]:
    """Return every port of every server of a site, by each of its names.

    A cluster's name is no computer's: whichever node is active answers.
    """
    found = (
        Target(name, port, name, "" if name in host.cluster else host.name)
        for host in site.servers
        for port, _group in host.ports
        for name in host.names
    )
    return list(dict.fromkeys(found))


def read_targets(texts: Iterable[str]) -> list[Target]:
    """Return what lines like these mean, each target once.

    `rec-01`, `rec-01:7563`, `rec-01:7000-7010`, `10.0.0.1-20:443`, `10.0.0.0/28:443`, a URL, or
    the path of a file of such lines, of a CSV with the columns address, port and name, or of a
    site's table. Lines that begin with # and empty ones are passed over. ValueError names every
    line that is wrong.
    """
    texts = list(texts)
    sites = [text for text in texts if is_table(Path(text))]
    found = dict.fromkeys(target for site in sites for target in site_targets(read_site(site)))
    faults = []
    for where, text in _lines(text for text in texts if text not in sites):
        try:
            place, _, name = text.partition(" ")
            host, ports = _ports(place)
            called = str(parse_name(name)) if name.strip() else ""
            for address in _addresses(host):
                found |= dict.fromkeys(Target(address, port, called or address) for port in ports)
        except ValueError as error:
            faults.append(f"{where}{error}")
        if len(found) > _MOST:
            raise ValueError(f"More than {_MOST} endpoints: name a smaller network or port range")
    if more := faults[_MOST_FAULTS:]:
        faults[_MOST_FAULTS:] = [f"and {len(more)} lines more"]
    if faults:
        raise ValueError("\n".join(faults))
    return list(found)


def is_table(path: Path) -> bool:
    """Whether a file is a site's table: its first line names the column of roles."""
    if not is_file(path):
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return bool(re.search(r"\broles\b", lines.readline(4096), re.IGNORECASE))


def _lines(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (place, text): files are opened, all else is a target itself."""
    for text in texts:
        path = Path(text)
        for where, line in _of_file(path) if is_file(path) else [("", text)]:
            if line.strip() and not line.lstrip().startswith("#"):
                yield where, line.strip()


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (place, line), those of a CSV as `address:port name`."""
    lines = foreign_text(read_foreign(path)).splitlines() or [""]
    if not re.search(r"\baddress\b", lines[0], re.IGNORECASE):
        yield from ((f"{path.name}, line {number}: ", line) for number, line in enumerate(lines, 1))
        return
    rows = csv.DictReader(lines, delimiter=max(";,\t", key=lines[0].count))
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    for row in rows:
        address, port, name = ((row.get(key) or "").strip() for key in ("address", "port", "name"))
        host = (f"[{address}]" if ":" in address else address) + (f":{port}" if port else "")
        yield f"{path.name}, line {rows.line_num}: ", f"{host} {name}"


def _ports(where: str) -> tuple[str, range]:
    """Split off the ports: one, or a range of them."""
    if several := re.fullmatch(r"(.+):([0-9]+)-([0-9]+)", where):
        first, last = check_port(int(several[2])), check_port(int(several[3]))
        if last < first:
            raise ValueError(f"{where!r}: the range of ports runs backwards")
        return several[1].strip("[]"), range(first, last + 1)
    many = re.fullmatch(r"([0-9.]+-[0-9.]+|[0-9a-fA-F.:]+/[0-9]+)(?::([0-9]+))?", where)
    host, port = (many[1], check_port(int(many[2] or 443))) if many else endpoint(where)
    return host, range(port, port + 1)


def _addresses(host: str) -> Iterator[str]:
    """Yield the addresses of `10.0.0.0/28` or `10.0.0.1-20`; of anything else, itself."""
    if "/" in host:
        network = ip_network(host, strict=False)
        if network.num_addresses > _MOST:
            raise ValueError(f"{host!r} has {network.num_addresses} addresses: name a smaller one")
        yield from map(str, network.hosts())
    elif several := re.fullmatch(r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)-([0-9.]+)", host):
        first, last = IPv4Address(several[1]), several[2]
        kept = several[1].split(".")[: 4 - len(last.split("."))]
        more = int(IPv4Address(".".join([*kept, last]))) - int(first)
        if more < 0:
            raise ValueError(f"{host!r}: the range of addresses runs backwards")
        if more > _MOST:
            raise ValueError(f"{host!r} has {more} addresses: name a smaller range")
        yield from (str(first + number) for number in range(more + 1))
    else:
        yield parse_host(host)
