"""One table describes a site: it is read kindly, and all its faults are told at once.

What is said of each fault stands in `data/table-faults.csv`.
"""

import csv
import difflib
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NoReturn

from vmscert.facts import HOME, facts, release
from vmscert.files import read_foreign
from vmscert.names import is_address, parse_name, printable
from vmscert.site.site import ENROLMENTS, PFX, Host, Site, central_role

COLUMNS = (
    "name", "domain", "aliases", "cluster", "addresses", "roles", "account", "enrolment", "windows",
    "leave_off", "owner", "notes",
)  # fmt: skip
_REQUIRED = ("name", "roles")
_FREE_TEXT = ("account", "owner", "notes")  # kept as written; all other cells are read kindly
_HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # what hides text, by Unicode's category
_CURLY = "\u2018\u2019\u201a\u201b"  # PowerShell takes them for the straight quote
_LONGEST_CN = 64  # letters, RFC 5280 appendix A.1; the first name of a server becomes its CN
_LONGEST_SENTENCE = 1000  # letters, when a cell holds a whole file
_ABSENT = "none"  # the name of the row that declares client kinds this site does not have
_SENTENCES = {row["fault"]: row["sentence"] for row in facts("table-faults")}


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
    try:
        data = read_foreign(path)
    except ValueError as error:
        raise SiteError([str(error)]) from None
    reader = _Reader(path.name)
    hosts: list[tuple[int, Host]] = []
    absent: set[str] = set()
    for line, row in list(reader.rows(reader.text(data))):
        if row["name"].lower() == _ABSENT:
            absent.update(reader.roles(line, row))
        else:
            hosts.append((line, reader.host(line, row)))
    reader.check_twins(hosts)
    reader.check_clusters(hosts)
    site = Site(path.stem, tuple(host for _, host in hosts), frozenset(absent))
    reader.check_site(site, hosts)
    if reader.faults:
        raise reader.error()
    return site


@dataclass
class _Reader:
    """Reads one table and collects what is wrong with it."""

    file: str
    faults: list[tuple[int | None, str]] = field(default_factory=list)

    def say(self, line: int | None, fault: str, **told: object) -> None:
        """Note a fault, with what belongs into its sentence; without a line, of the whole table."""
        where = f"{self.file}, line {line}" if line else self.file
        text = _SENTENCES[fault].format(**told)
        if len(text) > _LONGEST_SENTENCE:
            text = f"{text[:400]} … {text[-200:]}"
        self.faults.append((line, f"{where}: {text}"))

    def error(self) -> SiteError:
        """Return all that was found so far, line by line, what is wrong with the table last."""
        ordered = sorted(self.faults, key=lambda fault: (fault[0] is None, fault[0] or 0))
        return SiteError(text for _, text in ordered)

    def fail(self, line: int | None, fault: str, **told: object) -> NoReturn:
        """Stop at a fault after which nothing else can be judged."""
        self.say(line, fault, **told)
        raise self.error()

    def text(self, data: bytes) -> str:
        """Return what a file says, in UTF-8 or in what Excel on a Western Windows calls "CSV"."""
        if data.startswith(b"PK"):
            self.fail(None, "workbook")
        if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
            self.fail(None, "binary")
        wrong = 0
        for encoding in ("utf-8-sig", "cp1252"):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                wrong = error.start
        self.fail(data[:wrong].count(b"\n") + 1, "encoding")

    def rows(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (line, column → text) of every row that is not blank, the first line aside."""
        lines = (line for line in text.splitlines() if line.strip("; ,\t") and not _is_sep(line))
        # The sign between the cells of the first line that has any.
        delimiter = max(";,\t", key=next(lines, "").count)
        table = self.cells(text, delimiter)
        columns = self.columns(*next(table, (1, [])))
        for line, cells in table:
            if len(cells) == 1 < len(columns) and any(other in cells[0] for other in ";,\t"):
                self.fail(line, "other-delimiter", delimiter=delimiter)
            for column, cell in zip_longest(columns, cells, fillvalue=""):
                if cell and not column:
                    self.say(line, "no-column-name", cell=cell, delimiter=delimiter)
            row = dict.fromkeys(COLUMNS, "") | dict(zip(columns, cells, strict=False))
            yield line, {c: row[c] if c in _FREE_TEXT else _plain(row[c]) for c in COLUMNS}

    def cells(self, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yield (line on which it begins, cells) of every row that is not blank."""
        lines = io.StringIO(text, newline="")
        table = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        line = 1
        try:
            for row in table:
                cells = [cell.strip() for cell in row]
                if any(cells) and not _is_sep(cells[0]):
                    yield line, cells
                line = table.line_num + 1
        except csv.Error as error:
            self.fail(line, "quotes", error=error)

    def columns(self, line: int, header: list[str]) -> list[str]:
        """Return the columns that the first line names; a column without a name is ""."""
        columns = ["_".join(_plain(cell).lower().split()) for cell in header]
        named = list(filter(None, columns))
        if not named:
            self.fail(None, "empty")
        if not set(named) & set(COLUMNS):
            self.fail(line, "no-columns", columns=", ".join(COLUMNS))
        self.known(line, "column", named, COLUMNS)
        missing = [column for column in _REQUIRED if column not in named]
        for column in missing:
            self.say(line, "column-missing", column=column)
        if missing or len(set(named)) < len(named):
            raise self.error()
        return columns

    def known(self, line: int, kind: str, found: list[str], allowed: Iterable[str]) -> list[str]:
        """Return what is allowed, once each; complain about the rest."""
        allowed = tuple(allowed)
        for word, times in Counter(found).items():
            if word not in allowed:
                near = difflib.get_close_matches(word.lower(), allowed, n=1, cutoff=0.65)
                told = {"near": near[0]} if near else {"known": ", ".join(allowed)}
                self.say(line, "misspelt" if near else "unknown", kind=kind, word=word, **told)
            elif times > 1:
                self.say(line, "twice", kind=kind, word=word)
        return [word for word in dict.fromkeys(found) if word in allowed]

    def parsed(self, line: int, text: str, parse: Callable[[str], object] = parse_name) -> str:
        try:
            return str(parse(text))
        except ValueError as error:
            self.say(line, "refused" if text else "no-name", error=error)
            return text.lower()

    def host(self, line: int, row: dict[str, str]) -> Host:
        roles = self.roles(line, row)
        self.check_signs(line, row)
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
            windows=row["windows"] and self.parsed(line, row["windows"], _release),
            left_off=frozenset(self.left_off(line, row["leave_off"], roles)),
            owner=row["owner"],
            notes=row["notes"],
        )
        if host.certified and (letters := len(host.fqdn)) > _LONGEST_CN:
            self.say(line, "long-name", name=host.fqdn, letters=letters, most=_LONGEST_CN)
        if host.pem_files and host.enrolment != PFX:
            key = next(name for name, holds in host.pem_files.items() if holds == "key")
            self.say(line, "key-as-file", host=host.name, key=key)
        return host

    def check_signs(self, line: int, row: dict[str, str]) -> None:
        """Complain about what no script takes; owner and notes may have several lines."""
        for column in _FREE_TEXT:
            text, allowed = row[column], "" if column == "account" else "\r\n\t"
            for sign in dict.fromkeys(c for c in text if c not in allowed):
                code = f"U+{ord(sign):04X}"
                if unicodedata.category(sign) in _HIDING:
                    fault = "line-break" if sign in "\r\n" else "hidden-sign"
                    self.say(line, fault, column=column, sign=code, text=printable(text))
                elif column == "account" and sign in _CURLY:
                    self.say(line, "curly-quote", column=column, sign=sign, text=printable(text))

    def roles(self, line: int, row: dict[str, str]) -> list[str]:
        roles = _list(row["roles"].lower())
        if not roles:
            self.say(line, "no-role", host=row["name"] or "this computer")
        rows = facts("xprotect/components")
        return self.known(line, "role", roles, [r["role"] for r in rows if r["kind"] != "implied"])

    def name(self, line: int, text: str, roles: list[str]) -> str:
        if is_address(text):
            fault = "central-is-address" if central_role() in roles else "name-is-address"
            self.say(line, fault, address=text, role=central_role())
            return text
        name = self.parsed(line, text)
        reserved = {row["name"]: row for row in facts("windows/reserved-names")}
        if name.partition(".")[0] in reserved:
            self.say(line, "reserved-name", name=name)
        short, _, domain = name.partition(".")
        if domain and _is_name(name):
            self.say(line, "full-name", name=name, short=short, domain=domain)
        return name

    def aliases(self, line: int, text: str) -> tuple[str, ...]:
        for alias in filter(is_address, _list(text)):
            self.say(line, "alias-is-address", alias=alias)
        return tuple(self.parsed(line, alias) for alias in _list(text) if not is_address(alias))

    def addresses(self, line: int, text: str) -> tuple[str, ...]:
        found = []
        for address in _list(text):
            if is_address(address) and "%" not in address:  # a zone: of one computer only
                found.append(str(parse_name(address)))
            elif re.fullmatch(r"[\d.,eE+]+", address):
                self.say(line, "address-is-number", address=address)
            else:
                fault = "address-is-name" if _is_name(address) else "no-address"
                self.say(line, fault, address=address)
        return tuple(found)

    def left_off(self, line: int, text: str, roles: list[str]) -> list[str]:
        mine = {group for _, group in Host("", roles=tuple(roles)).ports}
        rows = {row["group"]: row for row in facts("xprotect/certificate-groups")}
        groups = self.known(line, "certificate group", _list(text.lower()), rows)
        for group in groups:
            if group not in mine:
                self.say(line, "left-off-unserved", group=group)
            if rows[group]["together"] == "yes":
                self.say(line, "left-off-alone", group=group, role=central_role())
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
                    fault = "duplicate"
                    if name in (*host.cluster, *other.cluster):
                        fault = "cluster-is-computer"
                    elif set(host.aliases) & set(other.aliases) and host.serving == other.serving:
                        fault = "duplicate-node"
                    what = "address" if is_address(name) else "name"
                    self.say(line, fault, what=what, name=name, other=other.name, first=first)

    def check_clusters(self, hosts: list[tuple[int, Host]]) -> None:
        """Complain about clusters of one node, and about nodes that differ from the first one."""
        nodes: dict[str, list[tuple[int, Host]]] = defaultdict(list)
        for line, host in hosts:
            for name in host.cluster:
                nodes[name].append((line, host))
        for line, host in hosts:
            others = [one for name in host.cluster for one in nodes[name] if one[1] is not host]
            first, other = min(others, key=lambda one: one[0], default=(line, host))
            told = {"host": host.name, "other": other.name, "first": first}
            if host.cluster and not others:
                self.say(line, "one-node", host=host.name, cluster=host.cluster[0])
            if first < line and set(host.cluster) != set(other.cluster):
                self.say(line, "other-cluster", cluster="|".join(other.cluster), **told)
            if first < line and host.serving != other.serving:
                self.say(line, "other-roles", **told)

    def check_site(self, site: Site, hosts: list[tuple[int, Host]]) -> None:
        if not hosts:
            self.say(None, "no-computer")
            return
        roles, central = {role for host in site for role in host.roles}, central_role()
        if central not in roles:
            self.say(None, "no-central", role=central)
        # The kinds that the guide lists as clients, less the servers, which name themselves.
        guide = {row["role"] for row in facts("xprotect/components") if row["guide"]}
        if forgotten := guide - {central} - roles - site.absent:
            self.say(None, "kinds-forgotten", kinds=" | ".join(sorted(forgotten)), absent=_ABSENT)
        for role in sorted(site.absent & roles):
            self.say(None, "kind-absent", role=role, absent=_ABSENT)
        managers = [one for one in hosts if central in one[1].roles]
        for line, host in managers[1:]:
            first, other = managers[0]
            if not set(host.cluster) & set(other.cluster):
                told = {"host": host.name, "other": other.name}
                self.say(line, "two-centrals", role=central, first=first, **told)
        for line, host in hosts:
            self.check_https(line, host, site)

    def check_https(self, line: int, host: Host, site: Site) -> None:
        """A client that can't speak HTTPS loses every port that speaks nothing else."""
        plain = (row for row in facts("xprotect/components") if row["https"] == "no")
        for row in plain:
            if row["role"] in host.roles and (lost := site.lost_without_https(row["role"])):
                servers, groups = (dict.fromkeys(names) for names in zip(*lost, strict=True))
                told = {"servers": ", ".join(servers), "groups": " | ".join(groups)}
                rule = row["rule"].replace("|", "; ")
                about = {"host": host.name, "component": row["component"], "rule": rule}
                self.say(line, "no-https", **about, **told)


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


def _release(text: str) -> str:
    return release(text)["release"]
