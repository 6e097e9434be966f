"""One table describes a site: it is read kindly, and all its faults are told at once."""

import csv
import difflib
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from vmscert.facts import HOME, facts, release
from vmscert.names import is_address, parse_name
from vmscert.site.site import ENROLMENTS, PFX, Host, Site, central_role

COLUMNS = (
    "name", "domain", "aliases", "cluster", "addresses", "roles", "account", "enrolment", "windows",
    "leave_off", "owner", "notes",
)  # fmt: skip
_REQUIRED = ("name", "roles")
_FREE_TEXT = ("account", "owner", "notes")  # kept as written; all other cells are read kindly
_LONGEST_CN = 64  # letters, RFC 5280 appendix A.1; the first name of a server becomes its CN
_LONGEST_SENTENCE = 1000  # letters, when a cell holds a whole file
_ABSENT = "none"  # the name of the row that declares client kinds this site does not have


class SiteError(ValueError):
    """A table that can't be used; `errors` are all its faults, one sentence each."""

    def __init__(self, errors: Iterable[str]):
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the sentences, not thirty lines of Python."""
        return list(self.errors)


def find_table(path: str | Path) -> Path:
    """Return where a site's table is: relative paths count from here, then from the kit."""
    near, kit = Path(path), HOME / path
    return near if near.exists() or not kit.exists() else kit


def read_site(path: str | Path) -> Site:
    """Read a site's table: CSV with `;`, `,` or tab, in UTF-8 or Excel's ANSI code page.

    Raises SiteError with every fault at once, each as `file, line: what, did you mean`. Where the
    first line or the quotes are wrong, nothing below can be judged: then only that is told.
    """
    path = find_table(path)
    reader = _Reader(path.name)
    hosts: list[tuple[int, Host]] = []
    absent: set[str] = set()
    for line, row in list(reader.rows(_text(path))):
        if row["name"].lower() == _ABSENT:
            absent.update(reader.roles(line, row))
        else:
            hosts.append((line, reader.host(line, row)))
    reader.check_twins(hosts)
    reader.check_clusters(hosts)
    site = Site(path.stem, tuple(host for _, host in hosts), frozenset(absent))
    reader.check_site(site, hosts)
    reader.stop_if_faulty()
    return site


@dataclass
class _Reader:
    """Reads one table and collects what is wrong with it."""

    file: str
    faults: list[tuple[int | None, str]] = field(default_factory=list)

    def say(self, line: int | None, text: str) -> None:
        where = f"{self.file}, line {line}" if line else self.file
        if len(text) > _LONGEST_SENTENCE:
            text = f"{text[:400]} … {text[-200:]}"
        self.faults.append((line, f"{where}: {text}"))

    def stop_if_faulty(self) -> None:
        """Raise SiteError with what was found so far, line by line, the whole table last."""
        if self.faults:
            ordered = sorted(self.faults, key=lambda fault: (fault[0] is None, fault[0] or 0))
            raise SiteError(text for _, text in ordered)

    def rows(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (line, column → text) of every row that is not blank, the first line aside."""
        # The sign between the cells of the first line that has any.
        lines = (line for line in text.splitlines() if line.strip("; ,\t") and not _is_sep(line))
        delimiter = max(";,\t", key=next(lines, "").count)
        table = self.cells(text, delimiter)
        columns = self.columns(*next(table, (1, [])))
        for line, cells in table:
            self.check_shape(line, columns, cells, delimiter)
            row = dict(zip(columns, cells, strict=False))
            texts = {column: row.get(column, "") for column in COLUMNS}
            yield line, {c: t if c in _FREE_TEXT else _plain(t) for c, t in texts.items()}

    def cells(self, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yield (line on which it begins, cells) of every row that is not blank."""
        table = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        line = 1
        try:
            for row in table:
                cells = [cell.strip() for cell in row]
                if any(cells) and not _is_sep(cells[0]):
                    yield line, cells
                line = table.line_num + 1
        except csv.Error as error:
            text = f"can't be split into cells ({error}): look for a quote without its pair"
            self.say(line, text)
            self.stop_if_faulty()

    def columns(self, line: int, header: list[str]) -> list[str]:
        """Return the columns that the first line names; a column without a name is ""."""
        columns = ["_".join(_plain(cell).lower().split()) for cell in header]
        named = list(filter(None, columns))
        if not named:
            raise SiteError([f"{self.file}: the table is empty: copy example.csv and fill it in"])
        if not set(named) & set(COLUMNS):
            self.say(line, f"names no column of a site's table: write {', '.join(COLUMNS)}")
            self.stop_if_faulty()
        self.known(line, "column", named, COLUMNS)
        missing = [column for column in _REQUIRED if column not in named]
        for column in missing:
            self.say(line, f"column {column!r} is missing: the first line names the columns")
        if missing or len(set(named)) < len(named):
            self.stop_if_faulty()
        return columns

    def check_shape(self, line: int, columns: list[str], cells: list[str], delimiter: str) -> None:
        if len(cells) == 1 < len(columns) and any(other in cells[0] for other in ";,\t"):
            self.say(line, f"separate the cells by {delimiter!r}, as the first line does")
            self.stop_if_faulty()
        for column, cell in zip_longest(columns, cells, fillvalue=""):
            if cell and not column:
                text = f"{cell!r} stands under no column name: clear it, or put quotes around text "
                self.say(line, f"{text}that contains {delimiter!r}")

    def known(self, line: int, kind: str, found: list[str], allowed: Iterable[str]) -> list[str]:
        """Return what is allowed, once each; complain about the rest."""
        allowed = tuple(allowed)
        for word, times in Counter(found).items():
            if word not in allowed:
                near = difflib.get_close_matches(word.lower(), allowed, n=1, cutoff=0.65)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(allowed)}"
                self.say(line, f"unknown {kind} {word!r}. {hint}")
            elif times > 1:
                self.say(line, f"{kind} {word!r} stands there twice: keep one")
        return [word for word in dict.fromkeys(found) if word in allowed]

    def roles(self, line: int, row: dict[str, str]) -> list[str]:
        roles = _list(row["roles"].lower())
        if not roles:
            self.say(line, f"{row['name'] or 'this computer'} has no role: what runs on it?")
        rows = facts("xprotect/components")
        known = [row["role"] for row in rows if row["kind"] != "implied"]
        return self.known(line, "role", roles, known)

    def host(self, line: int, row: dict[str, str]) -> Host:
        roles = self.roles(line, row)
        words = list(filter(None, [" ".join(row["enrolment"].lower().split())]))
        host = Host(
            name=self.name(line, row["name"], roles),
            domain=self.parsed(line, row["domain"].strip(".")) if row["domain"] else "",
            aliases=self.aliases(line, row["aliases"]),
            cluster=tuple(self.parsed(line, name) for name in _list(row["cluster"])),
            addresses=self.addresses(line, row["addresses"]),
            roles=tuple(roles),
            account=row["account"],
            enrolment=(self.known(line, "enrolment", words, ENROLMENTS) or [PFX])[0],
            windows=self.windows(line, row["windows"]),
            left_off=frozenset(self.left_off(line, row["leave_off"], roles)),
            owner=row["owner"],
            notes=row["notes"],
        )
        if host.certified and len(host.fqdn) > _LONGEST_CN:
            said = f"{host.fqdn!r} has {len(host.fqdn)} letters; a certificate's common name holds "
            self.say(line, f"{said}{_LONGEST_CN}: give the server a shorter name")
        if host.pem_files and host.enrolment != PFX:
            key = next(name for name, holds in host.pem_files.items() if holds == "key")
            said = f"{host.name} wants its private key as the file {key}, so the key is made here"
            self.say(line, f"{said}: leave 'enrolment' empty")
        return host

    def name(self, line: int, text: str, roles: list[str]) -> str:
        if is_address(text):
            if central_role() in roles:
                self.say(
                    line,
                    f"the {central_role()} is known by its IP address {text} only: its identity "
                    f"provider checks its own certificate by name. Write its host name here",
                )
            else:
                self.say(line, f"{text} is an IP address where a host name belongs: move it to "
                               f"'addresses' and write the computer's name here")  # fmt: skip
            return text
        name = self.parsed(line, text)
        short, _, domain = name.partition(".")
        if domain and _is_name(name):
            said = f"{name!r} is a full name. Did you mean name {short!r}, domain {domain!r}?"
            self.say(line, said)
        return name

    def parsed(self, line: int, text: str) -> str:
        try:
            return str(parse_name(text))
        except ValueError as error:
            self.say(line, str(error) if text else "the computer has no name: write its host name")
            return text.lower()

    def windows(self, line: int, text: str) -> str:
        try:
            return release(text)["release"] if text else ""
        except ValueError as error:
            self.say(line, str(error))
            return text

    def aliases(self, line: int, text: str) -> tuple[str, ...]:
        for alias in filter(is_address, _list(text)):
            self.say(line, f"{alias} is an IP address where a name belongs: move it to 'addresses'")
        return tuple(self.parsed(line, alias) for alias in _list(text) if not is_address(alias))

    def addresses(self, line: int, text: str) -> tuple[str, ...]:
        found = []
        for address in _list(text):
            if is_address(address) and "%" not in address:  # a zone: of one computer only
                found.append(str(parse_name(address)))
                continue
            why = ": names belong in 'name' or 'aliases'" if _is_name(address) else ""
            if re.fullmatch(r"[\d.,eE+]+", address):
                why = ": four numbers from 0 to 255 are wanted. If Excel changed it, format it "
                why += "as text"
            self.say(line, f"{address!r} is not an IP address{why}")
        return tuple(found)

    def left_off(self, line: int, text: str, roles: list[str]) -> list[str]:
        mine = {group for _, group in Host("", roles=tuple(roles)).ports}
        groups = [row["group"] for row in facts("xprotect/certificate-groups")]
        groups = self.known(line, "certificate group", _list(text.lower()), groups)
        for group in groups:
            if group not in mine:
                self.say(line, f"'leave_off' names {group!r}, which these roles do not serve")
        for row in facts("xprotect/certificate-groups"):
            if row["together"] == "yes" and row["group"] in groups:
                self.say(
                    line,
                    f"{row['group']!r} can't be left off on one computer: the {central_role()} and "
                    f"all its recording servers switch together",
                )
        return groups

    def check_twins(self, hosts: list[tuple[int, Host]]) -> None:
        """Complain about names and addresses of two computers; the nodes of a cluster may share."""
        seen: dict[str, tuple[int, Host]] = {}
        for line, host in hosts:
            for name in (*host.own_names, *host.cluster) if host.name else ():
                first, other = seen.setdefault(name, (line, host))
                if host.name == other.name:  # the short name says it all
                    shared = name not in (host.name, *host.aliases, *host.addresses)
                else:  # the nodes of a cluster share its names and addresses, and nothing else
                    shared = name in host.cluster and name in other.cluster
                    shared &= name not in (*host.own_names, *other.own_names)
                if other is not host and not shared:
                    self.say(line, _twins(name, host, other, first))

    def check_clusters(self, hosts: list[tuple[int, Host]]) -> None:
        """Complain about clusters of one node, and about nodes that differ from the first one."""
        nodes: dict[str, list[tuple[int, Host]]] = defaultdict(list)
        for line, host in hosts:
            for name in host.cluster:
                nodes[name].append((line, host))
        for line, host in hosts:
            others = [one for name in host.cluster for one in nodes[name] if one[1] is not host]
            first, other = min(others, key=lambda one: one[0], default=(line, host))
            if host.cluster and not others:
                said = f"{host.name} is the only node of cluster {host.cluster[0]!r}: add the other"
                self.say(line, f"{said} nodes, with the same 'cluster'")
            if first >= line:
                continue
            if set(host.cluster) != set(other.cluster):
                said = f"the cluster of {host.name} and {other.name} is written differently on line"
                self.say(line, f"{said} {first}: write {'|'.join(other.cluster)!r} on both")
            if _serving(host) != _serving(other):
                said = f"{host.name} and {other.name} on line {first} are nodes of one cluster, but"
                said += " serve different roles: write the same server roles on both"
                self.say(line, said)

    def check_site(self, site: Site, hosts: list[tuple[int, Host]]) -> None:
        if not hosts:
            self.say(None, "the table has no computer: write one line for each")
            return
        roles, central = {role for host in site for role in host.roles}, central_role()
        if central not in roles:
            self.say(None, f"no computer has the role {central!r}: every site has one")
        # The kinds that the guide lists as clients, less the servers, which name themselves.
        guide = {row["role"] for row in facts("xprotect/components") if row["guide"]}
        if forgotten := guide - {central} - roles - site.absent:
            names = " | ".join(sorted(forgotten))
            self.say(
                None,
                f"client kinds of the guide that no line mentions: {names}. Add these computers, "
                f"or, if the site has none, one line with the name '{_ABSENT}' and these roles",
            )
        for role in sorted(site.absent & roles):
            self.say(None, f"{role!r} has a line, and the line '{_ABSENT}' says there is none")
        managers = [one for one in hosts if central in one[1].roles]
        for line, host in managers[1:]:
            first, other = managers[0]
            if not set(host.cluster) & set(other.cluster):
                self.say(
                    line,
                    f"{host.name} is a {central}, as {other.name} on line {first} is: if "
                    f"they are a cluster, write its name into 'cluster' of both; else give each "
                    f"site its own table, and where the sites are federated, write each one's "
                    f"{central} into the other's table as 'federated site'",
                )
        for line, host in hosts:
            self.check_https(line, host, site)

    def check_https(self, line: int, host: Host, site: Site) -> None:
        """A client that can't speak HTTPS loses every port that speaks nothing else."""
        plain = (row for row in facts("xprotect/components") if row["https"] == "no")
        for row in plain:
            lost = site.lost_without_https(row["role"]) if row["role"] in host.roles else []
            if lost:
                servers = ", ".join(dict.fromkeys(server for server, _ in lost))
                groups = " | ".join(dict.fromkeys(group for _, group in lost))
                said = f"{host.name} ({row['component']}) can't speak HTTPS and would lose "
                said += f"{groups!r} of {servers}: {row['rule'].replace('|', '; ')}. Until then "
                self.say(line, f"{said}write {groups!r} into 'leave_off' of these servers")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SiteError([f"{path}: can't be read: {error.strerror}. Check the path"]) from None
    if data.startswith(b"PK"):
        raise SiteError([f"{path.name}: is a workbook, not CSV: save it as 'CSV UTF-8'"])
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise SiteError([f"{path.name}: wrong encoding (UTF-16 or binary): save it as 'CSV UTF-8'"])
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8-sig")
    try:
        return data.decode("cp1252")  # what Excel on a Western Windows calls "CSV"
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        said = [f"{path.name}, line {line}: wrong encoding: save the table as 'CSV UTF-8'"]
        raise SiteError(said) from None


def _is_sep(text: str) -> bool:
    """Whether this is the line by which people tell Excel the delimiter."""
    return text.lower().startswith("sep=")


def _plain(text: str) -> str:
    """Undo what Excel, Word and web pages do to names: odd spaces, hyphens, wide or no letters."""
    if text.isascii():
        return text
    seen = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return "".join("-" if unicodedata.category(c) == "Pd" else c for c in seen).strip()


def _list(text: str) -> list[str]:
    """Split at `|`; at what people write instead of it, too, since no value can contain that."""
    return [" ".join(part.split()) for part in re.split(r"[|¦,;\r\n]", text) if part.strip()]


def _is_name(text: str) -> bool:
    try:
        return isinstance(parse_name(text), str)
    except ValueError:
        return False


def _twins(name: str, host: Host, other: Host, line: int) -> str:
    """Say that a name of this computer is also one of another, on that line."""
    what = "address" if is_address(name) else "name"
    if name in (*host.cluster, *other.cluster):
        said = f"{name!r} is the {what} of a cluster and of one computer, see {other.name} on line "
        return f"{said}{line}: the cluster needs {what}s of its own, in 'cluster' of each node"
    said = f"duplicate {what} {name!r}: {other.name} on line {line} has it"
    if set(host.aliases) & set(other.aliases) and _serving(host) == _serving(other):
        said += ". If they are nodes of a cluster, write it into 'cluster' of both"
    return said


def _serving(host: Host) -> set[str]:
    rows = facts("xprotect/components")
    return {row["role"] for row in rows if row["serves_tls"] == "yes"} & set(host.roles)
