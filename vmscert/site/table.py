"""One table describes a site: it is read kindly, and all its faults are told at once.

What is said of each fault stands in `data/table-faults.csv`; `columns` finds its cells.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from vmscert.facts import HOME, facts, release
from vmscert.files import read_foreign
from vmscert.names import is_address, parse_name, printable
from vmscert.site.asking import ways
from vmscert.site.columns import FREE_TEXT, is_of_phones, rows_of
from vmscert.site.grid import Faults, SiteError, decoded, split_cell, table_roles
from vmscert.site.site import ENROLMENTS, PFX, Host, Site, central_role, named

_HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # what hides text, by Unicode's category
_CURLY = "\u2018\u2019\u201a\u201b"  # PowerShell takes them for the straight quote
_LONGEST_CN = 64  # letters, RFC 5280 appendix A.1; the first name of a server becomes its CN
_AND = next(row["words"] for row in facts("table-words") if row["kind"] == "and")
_ABSENT = "none"  # the name of the row that declares client kinds this site does not have


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
    reader = _Reader(faults := Faults(path.name))
    hosts: list[tuple[int, Host]] = []
    absent: set[str] = set()
    for line, row in list(rows_of(decoded(data, faults), faults)):
        if reader.is_absent(line, row):
            absent.update(reader.roles(line, row))
        else:
            hosts.append((line, reader.host(line, row)))
    reader.tell_idle()
    reader.check_twins(hosts)
    reader.check_clusters(hosts)
    site = Site(path.stem, tuple(host for _, host in hosts), frozenset(absent))
    reader.check_site(site, hosts)
    if faults.told:
        raise faults.error()
    return site


class _Reader:
    """Reads the rows of one table, and knows what is wrong with them."""

    def __init__(self, faults: Faults) -> None:
        self.say, self.known = faults.say, faults.known
        self.idle: list[tuple[int, str]] = []  # (line, computer) of those without a role
        self.unclear = False  # whether some word may stand for any role

    def is_absent(self, line: int, row: dict[str, str]) -> bool:
        """Whether a row declares client kinds that this site does not have."""
        name = row["name"].lower()
        words = (r["words"].split("|") for r in facts("table-words") if r["means"] == _ABSENT)
        if name in chain.from_iterable(words) and not (row["domain"] or row["addresses"]):
            self.say(line, "misspelt", kind="name", word=name, near=_ABSENT)
            return True
        return name == _ABSENT

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
            cluster=tuple(self.parsed(line, name) for name in split_cell(row["cluster"])),
            addresses=self.addresses(line, row["addresses"]),
            roles=tuple(roles),
            account=row["account"],
            enrolment=(self.known(line, "enrolment", words, ENROLMENTS) or [PFX])[0],
            windows=row["windows"]
            and self.parsed(line, row["windows"], lambda text: _release(text, roles)),
            left_off=frozenset(self.left_off(line, row["leave_off"], roles)),
            owner=row["owner"],
            notes=row["notes"],
            calls=tuple(self.parsed(line, name) for name in split_cell(row["calls"])),
            via=tuple(self.way(line, text) for text in split_cell(row["via"].lower())),
        )
        if host.certified and (letters := len(host.fqdn)) > _LONGEST_CN:
            self.say(line, "long-name", name=host.fqdn, letters=letters, most=_LONGEST_CN)
        if host.pem_files and host.enrolment != PFX:
            key = next(name for name, holds in host.pem_files.items() if holds == "key")
            self.say(line, "key-as-file", host=host.name, key=key)
        return host

    def check_signs(self, line: int, row: dict[str, str]) -> None:
        """Complain about what no script takes; owner and notes may have several lines."""
        for column in FREE_TEXT:
            text, allowed = row[column], "" if column == "account" else "\r\n\t"
            for sign in dict.fromkeys(c for c in text if c not in allowed):
                code = f"U+{ord(sign):04X}"
                if unicodedata.category(sign) in _HIDING:
                    fault = "line-break" if sign in "\r\n" else "hidden-sign"
                    self.say(line, fault, column=column, sign=code, text=printable(text))
                elif column == "account" and sign in _CURLY:
                    self.say(line, "curly-quote", column=column, sign=sign, text=printable(text))

    def roles(self, line: int, row: dict[str, str]) -> list[str]:
        roles = split_cell(re.sub(rf" ({_AND}) ", "|", row["roles"].lower()), "/+&")
        if not roles:
            self.idle.append((line, row["name"] or "this computer"))
        known = self.known(line, "role", roles, table_roles())
        self.unclear |= len(known) < len(set(roles))
        return known

    def tell_idle(self) -> None:
        """Complain about computers without a role, of which a merged cell leaves several."""
        fault = "no-role" if len(self.idle) == 1 else "no-roles"
        hosts = named([name for _, name in self.idle])
        for line, _ in self.idle:
            self.say(line, fault, host=hosts)

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
        for alias in filter(is_address, split_cell(text)):
            self.say(line, "alias-is-address", alias=alias)
        return tuple(
            self.parsed(line, alias) for alias in split_cell(text) if not is_address(alias)
        )

    def way(self, line: int, text: str) -> tuple[str, str]:
        """What lies between a server and who calls it, and the address there, if it is told."""
        what, _, address = text.partition(" ")
        known = self.known(line, "way", [what], ways())
        return (known or [what])[0], self.parsed(line, address) if address else ""

    def addresses(self, line: int, text: str) -> tuple[str, ...]:
        found, parts = [], split_cell(text)
        for address in re.split(r"[|¦]", text):
            if "," in address and is_address(meantime := address.strip().replace(",", ".")):
                self.say(line, "address-comma", address=address.strip(), near=meantime)
                parts = [one for one in split_cell(text.replace(address, "|")) if one]
        for address in parts:
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
        groups = self.known(line, "certificate group", split_cell(text.lower()), rows)
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
        if central not in roles and not self.unclear:  # which may be it
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
            self.check_calls(line, host, site)

    def check_https(self, line: int, host: Host, site: Site) -> None:
        """A client that can't speak HTTPS loses every port that speaks nothing else."""
        plain = (row for row in facts("xprotect/components") if row["https"] == "no")
        for row in plain:
            if row["role"] in host.roles and (lost := site.lost_without_https(host, row["role"])):
                servers, groups = (dict.fromkeys(names) for names in zip(*lost, strict=True))
                told = {"servers": ", ".join(servers), "groups": " | ".join(groups)}
                rule = row["rule"].replace("|", "; ")
                about = {"host": host.name, "component": row["component"], "rule": rule}
                self.say(line, "no-https" if host.calls else "no-https-anywhere", **about, **told)

    def check_calls(self, line: int, host: Host, site: Site) -> None:
        """Complain about called computers that nobody knows, or that serve this one nothing."""
        if not host.calls:
            return
        called = {name: one for one in site for name in one.names}
        served = {r["server"] for r in facts("xprotect/connections") if r["client"] in host.roles}
        for name in host.calls:
            if name not in called:
                self.known(line, "computer in 'calls'", [name], [one.name for one in site.servers])
            elif served.isdisjoint(called[name].roles):
                self.say(line, "calls-nothing", host=host.name, name=name)


def _is_name(text: str) -> bool:
    try:
        return isinstance(parse_name(text), str)
    except ValueError:
        return False


def _release(text: str, roles: list[str]) -> str:
    """The name of a Windows release; none for what only phones run."""
    phone = is_of_phones(text) and Host("", roles=tuple(roles)).is_phone
    return "" if phone else release(text)["release"]
