"""Small tables of sites for tests, and whole sites that hypothesis draws."""

import csv
import io
from dataclasses import replace

from hypothesis import strategies as st

from vmscert.facts import facts
from vmscert.site.columns import COLUMNS
from vmscert.site.site import ENROLMENTS, Host, Site

# These four may be left out.
OPTIONAL = ("cluster", "enrolment", "calls", "via")
HEADER = ",".join(column for column in COLUMNS if column not in OPTIONAL)
# name, domain, aliases, addresses, roles, account, windows, leave_off, owner, notes
MANAGEMENT = "ms,lyon.local,vms,10.0.0.1,management server|event server|log server,,,,IT,"
RECORDER = "rec-1,lyon.local,,10.0.0.2,recording server,,Windows Server 2022,,IT,"
CLIENT = "pc-1,lyon.local,,10.0.0.3,smart client,,Windows 11,,Guards,"
# What the guide lists as clients; servers among them name themselves.
GUIDE_CLIENTS = frozenset(
    row["role"]
    for row in facts("xprotect/components")
    if row["guide"] and row["role"] != "management server"
)
ROLES = tuple(row["role"] for row in facts("xprotect/components") if row["kind"] != "implied")


def without(*present):
    """The line that declares every client kind absent but those that are present."""
    kinds = sorted(GUIDE_CLIENTS - set(present) - {"event server"})
    return f"none,,,,{'|'.join(kinds)},,,,,"


SMALL = (HEADER, MANAGEMENT, RECORDER, CLIENT, without("smart client"))


def table(*lines, end="\n"):
    """A table as text; SMALL plus these lines."""
    return end.join((*SMALL, *lines, ""))


def as_csv(site, delimiter=",", end="\r\n", quoting=csv.QUOTE_MINIMAL):
    """Write a site as the table it would be read from."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(COLUMNS)
    writer.writerows(map(_row, site))
    if site.absent:
        writer.writerow(["none", "", "", "", "", "|".join(sorted(site.absent)), *[""] * 6])
    return text.getvalue()


def _row(host):
    lists = map("|".join, (host.aliases, host.cluster, host.addresses, host.roles))
    left_off = "|".join(sorted(host.left_off))
    rest = (host.account, host.enrolment, host.windows, left_off, host.owner, host.notes)
    return [host.name, host.domain, *lists, *rest]


# ASCII and the Latin letters whose cp1252 bytes can't be taken for UTF-8.
_LETTERS = st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.characters(
    min_codepoint=0xC0, max_codepoint=0xFF
)
_TEXT = st.text(_LETTERS, max_size=12).map(str.strip)
_LABEL = st.from_regex(r"[a-z][a-z0-9_-]{0,10}[a-z0-9]", fullmatch=True).filter(
    lambda name: name != "none" and not name.startswith("xn--")
)
_DOMAIN = st.just("") | st.lists(_LABEL, min_size=1, max_size=3).map(".".join)
_ADDRESS = st.ip_addresses().map(str).filter(lambda text: "%" not in text)
_WINDOWS = st.just("") | st.sampled_from([row["release"] for row in facts("windows/releases")])
_HTTPS_ROLES = [row["role"] for row in facts("xprotect/components") if row["https"] != "no"]


@st.composite
def sites(draw):
    """A site without faults: a management server or a cluster of two, and up to five others."""
    count = draw(st.integers(1, 6))
    many = 2 * count + 2
    names = iter(draw(st.lists(_LABEL, min_size=many, max_size=many, unique=True)))
    addresses = iter(draw(st.lists(_ADDRESS, min_size=count, max_size=count, unique=True)))
    first = ["management server"]
    hosts = tuple(
        draw(_hosts(next(names), next(names), next(addresses), first if not i else []))
        for i in range(count)
    )
    if draw(st.booleans()):
        hosts = (*_cluster(hosts[0], next(names), next(names)), *hosts[1:])
    missing = GUIDE_CLIENTS - {role for host in hosts for role in host.roles}
    return Site("lyon", hosts, frozenset(missing))


def _cluster(host, name, shared):
    """A computer and a second node beside it."""
    node = replace(host, cluster=(shared,))
    return node, replace(node, name=name, aliases=(), addresses=())


@st.composite
def _hosts(draw, name, alias, address, first):
    known = [role for role in _HTTPS_ROLES if role in ROLES and role != "management server"]
    more = draw(st.lists(st.sampled_from(known), min_size=not first, max_size=3, unique=True))
    roles = tuple(dict.fromkeys((*first, *more)))
    served = {group for _, group in Host(name, roles=roles).ports} - {"server"}
    domain = draw(_DOMAIN)
    return Host(
        name,
        domain,
        draw(st.sampled_from([(), (alias,)])),
        draw(st.sampled_from([(), (address,)])),
        roles,
        draw(_TEXT),
        draw(_WINDOWS),
        frozenset(draw(st.sets(st.sampled_from(sorted(served))))) if served else frozenset(),
        draw(_TEXT),
        draw(_TEXT),
        draw(st.sampled_from(ENROLMENTS[:1] if Host(name, roles=roles).pem_files else ENROLMENTS)),
    )
