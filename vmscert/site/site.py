"""Who is on a site; who talks to whom, and who needs what, is computed from it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from vmscert.facts import doubt, facts
from vmscert.names import is_address
from vmscert.site.asking import asked

# How a server comes to its certificate: the CA makes the key and sends it in a PFX; or the server
# makes its key and sends a request, to the site's CA or to another one.
ENROLMENTS = PFX, CSR, THIRD_PARTY = ("pfx", "csr", "third party")


@dataclass(frozen=True)
class Host:
    """One computer as the network and Windows know it."""

    name: str
    domain: str = ""
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    account: str = ""
    windows: str = ""
    left_off: frozenset[str] = frozenset()
    owner: str = ""
    notes: str = ""
    enrolment: str = PFX
    cluster: tuple[str, ...] = ()  # names and addresses that it shares with the other nodes
    fellows: tuple[str, ...] = ()  # the names of the other nodes; the site fills them in
    calls: tuple[str, ...] = ()  # names of the servers that it calls as a client; empty: all
    via: tuple[tuple[str, str], ...] = ()  # what lies between it and its callers: what, address

    @property
    def fqdn(self) -> str:
        """The full name; the short one in a workgroup."""
        return f"{self.name}.{self.domain}" if self.domain else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and address by which a client may call this computer, full name first."""
        return tuple(dict.fromkeys((*self.called, *self.cluster)))

    @property
    def called(self) -> tuple[str, ...]:
        """Those of its own names and addresses by which clients call it.

        Where another CA signs, these are the aliases alone, if there are any: a public CA signs no
        names that only a site knows. `unsigned` are the rest.
        """
        return (self.enrolment == THIRD_PARTY and self.aliases) or self.own_names

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names and addresses that no other computer has, full name first."""
        return tuple(dict.fromkeys((self.fqdn, self.name, *self.aliases, *self.addresses)))

    @property
    def issued_names(self) -> tuple[str, ...]:
        """What its certificate must carry: its names, and those of the other nodes of a cluster."""
        return tuple(dict.fromkeys((*self.names, *self.fellows)))

    @property
    def unsigned(self) -> tuple[str, ...]:
        """Its own names and addresses that its certificate lacks: who calls by them refuses it."""
        return tuple(name for name in self.own_names if name not in self.issued_names)

    @property
    def internal(self) -> tuple[str, ...]:
        """The names of its certificate that no public CA signs."""
        return tuple(name for name in self.issued_names if not is_public(name))

    @cached_property
    def ports(self) -> tuple[tuple[int, str], ...]:
        """(port, certificate group) of every encrypted port that this computer serves."""
        rows = self._facts("connections", role="server")
        served = {(int(r["port"]), r["group"]) for r in rows if r["group"] not in self.left_off}
        return tuple(sorted(served))

    @property
    def has_cameras(self) -> bool:
        """Whether cameras are recorded here day by day."""
        return any(row["cameras"] == "yes" for row in self._facts("components"))

    @property
    def perhaps_in_dmz(self) -> bool:
        """Whether computers of its kind often stand outside the domain."""
        return any(row["dmz"] == "yes" for row in self._facts("components"))

    @property
    def meets_phones(self) -> bool:
        """Whether phones call one of its certificate groups."""
        return any(row["phones"] == "yes" for row in self._group_rows)

    @property
    def is_phone(self) -> bool:
        """Whether nobody can bring an inventory from it: it is a phone, and no Windows computer."""
        kinds = self._facts("components")
        return not self.windows and bool(kinds) and all(row["phone"] == "yes" for row in kinds)

    @property
    def pem_files(self) -> dict[str, str]:
        """Name of each PEM file that its roles want → "roots", "certificate" or "key"."""
        return {row["file"]: row["holds"] for row in self._facts("pem-files")}

    @property
    def only_pem(self) -> bool:
        """Whether all its roles want PEM files: then no Windows script makes sense on it."""
        wanting = {row["role"] for row in facts("xprotect/pem-files")}
        return bool(self.roles) and wanting.issuperset(self.roles)

    @property
    def certified(self) -> bool:
        """Whether it needs a server certificate."""
        return bool(self.ports or self.pem_files)

    @property
    def groups(self) -> tuple[str, ...]:
        """The certificate groups to switch on in this computer's Server Configurator."""
        return tuple(row["group"] for row in self._group_rows)

    @property
    def unsaid_groups(self) -> tuple[str, ...]:
        """Those of its certificate groups that do not say which certificate they use."""
        return tuple(row["group"] for row in self._group_rows if row["names_it"] == "no")

    @property
    def accounts(self) -> tuple[str, ...]:
        """The Windows accounts that run its services and must read the private key."""
        if self.account.startswith(".\\"):  # of this computer, under its NetBIOS name
            return (f"{self.name[:15].upper()}{self.account[1:]}",)
        usual = (row["account"] for row in self.serving if row["account"])
        return (self.account,) if self.account else tuple(dict.fromkeys(usual))

    @property
    def services(self) -> tuple[str, ...]:
        """The Windows services of this computer that serve TLS, as far as their names are known."""
        names = (name for row in self.serving for name in row["service"].split("|"))
        return tuple(dict.fromkeys(filter(None, names)))

    @property
    def serving(self) -> list[dict[str, str]]:
        """The rows of data/xprotect/components.csv for its roles that serve TLS."""
        return [row for row in self._facts("components") if row["serves_tls"] == "yes"]

    @property
    def _group_rows(self) -> list[dict[str, str]]:
        served = {group for _, group in self.ports}
        return [row for row in facts("xprotect/certificate-groups") if row["group"] in served]

    def _facts(self, table: str, role: str = "role") -> list[dict[str, str]]:
        """The rows of a table of the product that are about its roles, in file order."""
        return [row for row in facts(f"xprotect/{table}") if row[role] in self.roles]


@dataclass(frozen=True)
class Connection:
    """One client computer that must trust one server computer, on one port."""

    client: str
    server: str
    port: int
    group: str
    confirmed: bool = field(default=True, compare=False)  # whether the port was read in a source


@dataclass(frozen=True)
class Site:
    """The computers of one site; `site["vms-rec-01"]` is one of them."""

    name: str
    hosts: tuple[Host, ...]
    absent: frozenset[str] = frozenset()  # client kinds declared not to exist here

    def __post_init__(self) -> None:
        def fellows(host: Host) -> tuple[str, ...]:
            others = (node for node in self.nodes(host) if node.name != host.name)
            return tuple(name for other in others for name in other.called)

        hosts = (replace(h, fellows=fellows(h)) if h.cluster else h for h in self.hosts)
        object.__setattr__(self, "hosts", tuple(hosts))

    def __getitem__(self, name: str) -> Host:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    @cached_property
    def _by_name(self) -> dict[str, Host]:
        return {host.name: host for host in self.hosts}

    def nodes(self, host: Host) -> tuple[Host, ...]:
        """The nodes of a computer's cluster, itself among them; without a cluster it is alone."""
        shared = set(host.cluster)
        return tuple(one for one in self.hosts if shared & set(one.cluster)) if shared else (host,)

    @cached_property
    def connections(self) -> tuple[Connection, ...]:
        """Every encrypted connection of the site, also those that stay inside one computer."""
        found: dict[tuple[str, str, int, str], bool] = defaultdict(bool)
        for row, server in self._served:
            for client in self._callers(row["client"], server):
                key = (client.name, server.name, int(row["port"]), row["group"])
                found[key] |= row["tag"].startswith("C")
        return tuple(Connection(*key, confirmed) for key, confirmed in found.items())

    def _callers(self, role: str, server: Host) -> Iterator[Host]:
        """The computers that call a server in this role; some say that they call only a few."""
        for client in self._by_role[role]:
            told = client.calls and _is_client(role) and central_role() not in server.roles
            if not told or not set(client.calls).isdisjoint(server.names):
                yield client

    @property
    def _served(self) -> Iterator[tuple[dict[str, str], Host]]:
        """Every kind of connection, with each server that serves it."""
        for row in facts("xprotect/connections"):
            for server in self._by_role[row["server"]]:
                if row["group"] not in server.left_off:
                    yield row, server

    @cached_property
    def callers(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(server, certificate group) → the computers that call there."""
        found: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        for connection in self.connections:
            found[connection.server, connection.group][connection.client] = None
        return {called: tuple(clients) for called, clients in found.items()}

    @cached_property
    def servers(self) -> tuple[Host, ...]:
        """The computers that need a server certificate."""
        return tuple(host for host in self.hosts if host.certified)

    @cached_property
    def clients(self) -> tuple[Host, ...]:
        """The computers that need the CA certificate: every client, and every server too.

        Phones need it as well, but no folder and no inventory goes to and fro.
        """
        callers = {connection.client for connection in self.connections}
        calling = (host for host in self.hosts if host.certified or host.name in callers)
        return tuple(host for host in calling if not host.is_phone)

    @property
    def phones(self) -> tuple[Host, ...]:
        """The clients that nobody can judge from here: somebody looks at the device."""
        return tuple(host for host in self.hosts if host.is_phone)

    @property
    def unseen(self) -> tuple[Connection, ...]:
        """The connections of clients from which no inventory comes: phones, and whoever calls."""
        phones = {host.name for host in self.phones}
        return (*(link for link in self.connections if link.client in phones), *self.uncalled)

    @cached_property
    def uncalled(self) -> tuple[Connection, ...]:
        """A connection to each port that no computer of the table calls, by whoever may call it."""
        kinds = defaultdict[tuple[str, int, str], list[str]](list)
        for row, server in self._served:
            if (server.name, row["group"]) not in self.callers:
                kinds[server.name, int(row["port"]), row["group"]].append(row["client"])
        return tuple(Connection(f"any {' or '.join(who)}", *at) for at, who in kinds.items())

    @cached_property
    def questions(self) -> tuple[str, ...]:
        """What no table can answer: a person asks, before encryption is switched on."""
        found = [
            f"{host.name} ({row['component']}): {row['rule'].replace('|', '; ')}"
            for row in facts("xprotect/components")
            if row["left_to_person"] == "yes"
            for host in self._by_role[row["role"]]
        ]
        for row in facts("xprotect/questions"):
            if asked := [*filter(None, (self._asked(host, row) for host in self.hosts))]:
                found.append(f"{named(asked)}: {row['question']}{doubt(row['tag'])}")
        for host in (one for one in self.servers if one.enrolment == THIRD_PARTY):
            if host.unsigned:
                found.append(
                    f"{host.name}: another CA signs {named(host.issued_names)} and nothing else: "
                    f"does any client or server call it {named(host.unsigned)}? It would refuse, "
                    f"so name that among the aliases too, and let a CA of your own house sign"
                )
            if host.internal:
                found.append(
                    f"{host.name}: no public CA signs {named(host.internal)}: is the other CA one "
                    f"of your own house? If not, name only public names among the aliases"
                )
        return tuple(found)

    def warnings(self, host: Host) -> tuple[str, ...]:
        """What a plan says of this computer before its encryption is switched."""
        rows = (r for r in facts("xprotect/questions") if r["plan"] and self._asked(host, r))
        return tuple(f"{row['plan']}{doubt(row['tag'])}" for row in rows)

    def _asked(self, host: Host, row: dict[str, str]) -> str:
        ports = [link.port for link in self.uncalled if link.server == host.name]
        return asked(host, row, ports)

    def collected(self, host: Host) -> tuple[str, ...]:
        """The computers with which what is installed beside its roles talks over TLS, both ways.

        It is in no connection, since nobody has confirmed its port; the CA is trusted for its sake.
        """
        found: dict[str, None] = {}
        for managers, carriers in self._collecting:
            if host.name in managers:
                found |= carriers
            elif host.name in carriers:
                found |= managers
        return tuple(name for name in found if name != host.name)

    @cached_property
    def _collecting(self) -> list[tuple[dict[str, None], dict[str, None]]]:
        """For each component that is installed beside roles: whom it talks to, and who has it."""
        rows = (row for row in facts("xprotect/components") if row["installed_with"])
        both = ((self._with_any(r["talks_to"]), self._with_any(r["installed_with"])) for r in rows)
        return [(_names(managers), _names(carriers)) for managers, carriers in both]

    @property
    def outside(self) -> tuple[dict[str, str], ...]:
        """The rows of data/xprotect/outside.csv that concern it: certificates of others."""
        return tuple(row for row in facts("xprotect/outside") if self._with_any(row["roles"]))

    def lost_without_https(self, host: Host, role: str) -> list[tuple[str, str]]:
        """(server, certificate group) of every port that it calls over HTTPS only, in this role.

        Where plain HTTP has a port of its own, as at the management server, that one stays.
        """
        return [
            (server.name, row["group"])
            for row, server in self._served
            if row["client"] == role and row["plain_port"] in ("", row["port"])
            if host in self._callers(role, server)
        ]

    @property
    def central(self) -> list[Host]:
        """The computers where all others register and log in, and whose clock is the reference."""
        return self._by_role[central_role()]

    def _with_any(self, roles: str) -> list[Host]:
        """Return the computers that have any of these roles, which are separated by `|`."""
        wanted = set(roles.split("|"))
        return [host for host in self.hosts if not wanted.isdisjoint(host.roles)]

    @cached_property
    def _by_role(self) -> dict[str, list[Host]]:
        index = defaultdict(list)
        for host in self.hosts:
            for role in host.roles:
                index[role].append(host)
        return index


def is_public(name: str) -> bool:
    """Whether a public CA could sign this name, as far as its form tells: no address, no ending
    that only a site knows."""
    inside = tuple(f".{row['ending']}" for row in facts("private-endings"))
    return "." in name and not is_address(name) and not name.lower().endswith(inside)


def _names(hosts: Iterable[Host]) -> dict[str, None]:
    return dict.fromkeys(host.name for host in hosts)


def central_role() -> str:
    """Return the role with which all others register: every site has it."""
    return next(row["role"] for row in facts("xprotect/components") if row["central"] == "yes")


def _is_client(role: str) -> bool:
    rows = facts("xprotect/components")
    return any(row["kind"] == "client" for row in rows if row["role"] == role)


def meets_phones(group: str) -> bool:
    """Return whether phones call the ports of this certificate group."""
    rows = facts("xprotect/certificate-groups")
    return any(row["phones"] == "yes" for row in rows if row["group"] == group)


def named(names: Sequence[str], most: int = 8) -> str:
    """Return the first of these names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def in_order(hosts: Iterable[Host]) -> list[Host]:
    """Sort computers into the order in which encryption may be switched on; clients come last."""
    order = {row["role"]: int(row["on"]) for row in facts("xprotect/encryption-order")}
    last = len(order) + 1
    return sorted(hosts, key=lambda host: min(order.get(role, last) for role in host.roles))
