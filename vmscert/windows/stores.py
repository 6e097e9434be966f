"""What a Windows computer holds, and what certificates and accounts are called there."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, lru_cache

from cryptography import x509

from vmscert.certificates.authority import is_signed_by, thumbprint
from vmscert.certificates.reading import Reading
from vmscert.facts import facts
from vmscert.names import is_address

Chain = tuple[x509.Certificate, ...]

# Stands for a thumbprint where a service encrypts and does not say with which certificate.
UNKNOWN = "UNKNOWN"
CLOCK_SKEW = 300  # seconds; what Kerberos allows, RFC 4120, so that a domain minds it too


@dataclass(frozen=True)
class Personal:
    """A certificate of the store My, whether its private key is there, and who may read the key."""

    certificate: x509.Certificate
    has_key: bool
    readers: tuple[str, ...] = ()

    def readable_by(self, name: str) -> bool:
        """Tell whether this account, in any spelling, is among the readers of the private key."""
        wanted, readers = account(name), set(map(account, self.readers))
        if "\\" not in wanted and not principal(name).startswith("S-1-"):
            readers |= {reader.rpartition("\\")[2] for reader in readers}  # nobody said of where
        return self.has_key and wanted in readers


@dataclass(frozen=True)
class Service:
    """A Windows service of XProtect: its account is a SID where that is well known, else a name."""

    name: str
    display: str
    account: str
    state: str


@dataclass(frozen=True)
class LogLine:
    """What the install script noted of one step, in its words; a spoilt line is in `detail`."""

    at: str
    step: str
    result: str
    detail: str


@dataclass(frozen=True)
class Stores:
    """What one Windows computer holds at one moment; `at` is an aware datetime.

    The fields stand in the order in which the script writes them, so that people can compare. The
    stores are those of LocalMachine, those of `user_…` CurrentUser's, where no service looks.
    """

    host: str
    at: datetime
    clock_source: str = ""
    clock_offset: float | None = None  # seconds ahead of the source; None if nobody measured it
    windows: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    root: tuple[x509.Certificate, ...] = ()  # Root
    third_party_root: tuple[x509.Certificate, ...] = ()  # AuthRoot
    user_root: tuple[x509.Certificate, ...] = ()
    intermediate: tuple[x509.Certificate, ...] = ()  # CA
    disallowed: tuple[x509.Certificate, ...] = ()  # Disallowed
    personal: tuple[Personal, ...] = ()  # My
    user_personal: tuple[Personal, ...] = ()
    # Certificate group → thumbprint in use, or UNKNOWN; one that is not encrypted is not in it.
    bindings: Mapping[str, str] = field(default_factory=dict)
    https: Mapping[str, str] = field(default_factory=dict)  # "address:port" → thumbprint there
    registered: Mapping[str, str] = field(default_factory=dict)  # component → its management server
    services: tuple[Service, ...] = ()
    tls: Mapping[str, str] = field(default_factory=dict)  # changed: "TLS 1.2 Server" → "off"
    request: str = ""  # for a certificate, in PEM, if one was made there
    given: Mapping[str, str] = field(default_factory=dict)  # group → thumbprint that we gave last
    told_by: Mapping[str, str] = field(default_factory=dict)  # group → file or program that said it
    unread: Mapping[str, str] = field(default_factory=dict)  # what could not be read → why
    web_ports: Mapping[str, str] = field(default_factory=dict)  # of the management server's site
    log: tuple[LogLine, ...] = ()

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The roots that every user and service of this computer trusts, from both stores."""
        return self.root + self.third_party_root

    @property
    def used(self) -> dict[str, str]:
        """Certificate group → thumbprint in use; of one that does not say it, what it was given.

        UNKNOWN is left where nobody gave it one, or where the group could not be read.
        """
        unsaid = {one for one, label in self.bindings.items() if label == UNKNOWN} - {*self.unread}
        return {**self.bindings, **{one: self.given[one] for one in unsaid & {*self.given}}}

    def trusting(self, *roots: x509.Certificate) -> "Stores":
        """Return the stores with more roots."""
        return replace(self, root=tuple(dict.fromkeys((*self.root, *roots))))

    def without(self, *certificates: x509.Certificate) -> "Stores":
        """Return the stores that neither trust nor know these CAs any more."""
        roots, known = (
            tuple(one for one in held if one not in certificates)
            for held in (self.root, self.intermediate)
        )
        return replace(self, root=roots, intermediate=known)

    def knowing(self, *intermediates: x509.Certificate) -> "Stores":
        """Return the stores with more CAs that are no roots."""
        known = dict.fromkeys((*self.intermediate, *intermediates))
        return replace(self, intermediate=tuple(known))

    def holding(self, held: Personal) -> "Stores":
        """Return the stores with a certificate in LocalMachine\\My, in place of the same one."""
        others = (one for one in self.personal if one.certificate != held.certificate)
        return replace(self, personal=(*others, held))

    def serving(
        self, certificate: x509.Certificate, groups: Iterable[str], readers: Iterable[str]
    ) -> "Stores":
        """Return the stores that use a certificate in these groups; the ones before stay there."""
        held = Personal(certificate, True, tuple(readers))
        return self.holding(held).bound(certificate, groups)

    def bound(self, certificate: x509.Certificate, groups: Iterable[str]) -> "Stores":
        """Return the stores whose groups use a certificate, whether it is there or not."""
        used = dict.fromkeys(groups, thumbprint(certificate))
        return replace(self, bindings={**self.bindings, **used})

    def barring(self, *certificates: x509.Certificate) -> "Stores":
        """Return the stores that never trust these certificates again."""
        return replace(self, disallowed=tuple(dict.fromkeys((*self.disallowed, *certificates))))

    def find(self, label: str) -> Personal | None:
        """Return the certificate of LocalMachine\\My with this thumbprint."""
        return next((p for p in self.personal if thumbprint(p.certificate) == label), None)


@lru_cache(maxsize=4096)  # a site has few accounts, and each server is asked for its own
def account(text: str) -> str:
    """Return one key for all the spellings of an account, to compare accounts by.

    Well-known accounts: data/windows/accounts.csv; any other is itself, whatever its case, where
    svc@lyon.example and lyon.example\\svc count as LYON\\svc, as Windows usually calls a domain.
    """
    if known := _well_known().get(_folded(text)):
        return known[1]
    text = text.strip().casefold()
    domain, separator, name = text.rpartition("\\")
    if not separator:
        name, separator, domain = text.partition("@")
    return f"{domain.partition('.')[0]}\\{name}" if separator else text


def principal(text: str) -> str:
    """Return what names an account to any Windows: a well-known one by SID, others as written.

    A French Windows does not know the English name of NETWORK SERVICE, but it knows S-1-5-20.
    """
    return _well_known().get(_folded(text), (text.strip(), ""))[0]


@cache
def _well_known() -> dict[str, tuple[str, str]]:
    """Folded spelling → (SID, key) of every well-known account.

    People mix languages: the name that they see, behind the authority that they know.
    """
    rows, found = facts("windows/accounts"), {}
    for row in rows:
        authorities = {one["authority"] for one in rows if one["sid"] == row["sid"]}
        full = (f"{authority}\\{row['name']}" for authority in authorities)
        for spelling in (row["sid"], row["name"], *full):
            found[_folded(spelling)] = row["sid"], row["account"]
    return found


def _folded(text: str) -> str:
    """The text without case, accents and blanks, in which spellings of one account differ."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if not (c.isspace() or unicodedata.combining(c)))


def presented(certificate: x509.Certificate, stores: Stores) -> Chain:
    """Return what Windows sends: the certificate, and intermediates above it that it holds.

    Nothing above what one of its own roots signed (second hand): so a cross certificate stays
    behind at a server that trusts the new root itself; see data/cross-signing.csv.
    """
    chain = [certificate]
    above = [one for one in stores.intermediate if not Reading(one).self_signed]
    while not any(is_signed_by(chain[-1], root) for root in stores.trusted):
        issuer = next((one for one in above if is_signed_by(chain[-1], one)), None)
        if issuer is None:
            break
        above.remove(issuer)
        chain.append(issuer)
    return tuple(chain)


def leads_through(chain: Chain, one: x509.Certificate) -> bool:
    """Tell whether a certificate is in a chain, or is what issued its last one."""
    above = names_of(chain[-1])[1] == names_of(one)[0] and is_signed_by(chain[-1], one)
    return above or one in chain


def dns_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names to which a certificate is issued, in lower case."""
    return [name for name in Reading(certificate).names if not is_address(name)]


@lru_cache(maxsize=1 << 12)  # every computer of a site holds the same few
def names_of(certificate: x509.Certificate) -> tuple[object, object]:
    """Return subject and issuer of a certificate, to compare names by."""
    read = Reading(certificate)
    return read.subject, read.issuer
