"""What people bring besides certificates, judged: listings, events, lists, bindings, requests.

Each judgement yields findings; what can't be judged is a finding itself, `not-judged`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import AuthorityInformationAccessOID

from vmscert.certificates.authority import Issued, is_signed_by, thumbprint
from vmscert.certificates.diagnosis import diagnose, ends_soon
from vmscert.certificates.foreign import loaded
from vmscert.certificates.reading import Reading, made_by, moment, quotable, reason, spelled_out
from vmscert.certificates.words import described, spki
from vmscert.checks.expiry import kind_of
from vmscert.findings import Finding
from vmscert.names import parse_name
from vmscert.network.tls import Roots
from vmscert.symptoms import explain
from vmscert.windows.listings import Listed
from vmscert.windows.pasted import Binding, Event, unseen
from vmscert.windows.stores import Stores

_SERVERS = {"", "MY", "WEBHOSTING"}  # stores in which a certificate needs its key
_ROOTS = {"ROOT", "AUTHROOT"}
# A thumbprint with whatever was copied along: signs that nobody sees stand in it or beside it.
_UNSEEN = r"[\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
_DIGIT = rf"[0-9a-fA-F](?:[ :]|{_UNSEEN}){{0,9}}"
_COPIED = re.compile(rf"{_UNSEEN}{{0,9}}(?<![0-9a-fA-F])(?:{_DIGIT}){{40}}(?![0-9a-fA-F])")
_SUCCESS = "00000000"
_OTHER_USES = {"wrong-eku", "name-mismatch", "no-san"}
_SECTION = re.compile(r"^\s*\[(\w+)\]\s*$", re.MULTILINE)
_LINE = re.compile(r"^\s*([\w.%]+)\s*=\s*(\"[^\"]*\"|[^;\r\n]*)", re.MULTILINE)
_SERVER_AUTH = {"1.3.6.1.5.5.7.3.1", "2.5.29.37.0", "serverAuth"}
_SAN = re.compile(r"\b(?:dns|ipaddress)=([^&\"\s;,]+)", re.IGNORECASE)
_WEAKEST = 2048  # bits of an RSA key
_SIGNS = 0x80  # digitalSignature


def hidden_signs(text: str) -> Iterator[Finding]:
    """Tell of each sign in or beside a thumbprint that nobody sees."""
    for number, line in enumerate([] if text.isascii() else text.split("\n"), 1):
        for copied in _COPIED.finditer(line):
            if odd := unseen(copied[0]):
                clean = re.sub("[^0-9A-F]", "", copied[0].upper())
                signs = ", ".join(
                    f"{code} ({name}) at place {place}" for place, code, name in odd[:5]
                )
                where = f"line {number}" if "\n" in text.strip() else "the thumbprint"
                detail = (
                    f"holds {signs}: netsh, the registry and scripts take it for a part of the "
                )
                yield Finding("invisible-character", where, f"{detail}thumbprint; paste {clean}")


def judge_entry(one: Listed, name: str, at: datetime) -> Iterator[Finding]:
    """Tell what is wrong with a certificate as a program listed it."""
    where = quotable(one.label)
    if one.muddled:
        text = "the dates of several certificates stand here without a line that parts them"
        yield Finding("not-judged", where, text)
    yield from _dates(one, where, at)
    yield from _stored(one, where)
    yield from odd_names(one.names, where)
    if one.whole and not one.names and one.issuer != one.subject:
        yield Finding("no-san", where, "no subject alternative name is listed")
    if name and one.names and name.lower() not in one.names:
        listed = ", ".join(map(quotable, one.names[:5]))
        text = f"was issued to {listed}, but clients ask for {quotable(name)}"
        yield Finding("name-mismatch", where, text)
    if 0 < one.bits < 2048:
        yield Finding("weak-key", where, f"its key has {one.bits} bits")
    if one.weak_hash:
        yield Finding("weak-signature", where, f"is signed with {one.weak_hash}")


def _dates(one: Listed, where: str, at: datetime) -> Iterator[Finding]:
    if not one.ends:
        yield Finding(
            "not-judged", where, "no end that could be read is listed: list the dates too"
        )
        return
    dates = f"its dates are {quotable(one.printed, 120)}"
    if at > one.ends[1]:
        yield Finding("expired", where, f"{dates}: it has ended")
    elif at >= one.ends[0]:
        text = f"{dates}: whether it has ended depends on the order of day and month or on the zone"
        yield Finding("not-judged", where, text)
    elif one.starts and at < one.starts[0]:
        yield Finding("not-yet-valid", where, f"{dates}: it has not begun")
    elif one.starts and at < one.starts[1]:
        text = f"{dates}: whether it has begun depends on the order of day and month or on the zone"
        yield Finding("not-judged", where, text)
    else:
        yield from ends_soon(where, one.ends[0], at)


def _stored(one: Listed, where: str) -> Iterator[Finding]:
    """Tell what is wrong with the store, and with the key that a certificate of My needs."""
    own = bool(one.subject) and one.subject == one.issuer
    if one.location.casefold() == "currentuser":
        yield Finding("wrong-store", where, f"it lies in CurrentUser\\{one.store.capitalize()}")
    if one.store in _ROOTS and one.issuer and not own:
        text = f"it lies in {one.store.capitalize()}, where only roots belong: another issued it"
        yield Finding("wrong-store", where, text, "dubious")
    elif one.store == "CA" and own:
        text = "it lies in CA (Intermediate), but is a root"
        yield Finding("wrong-store", where, text, "dubious")
    elif one.store == "DISALLOWED":
        yield Finding("disallowed", where, "it lies in Disallowed (Untrusted Certificates)")
    if one.store not in _SERVERS or (own and not one.store):
        return
    if one.key in ("key-missing", "key-not-readable"):
        yield Finding(one.key, where, f"the listing says: {quotable(one.said)}")
    elif one.numbered and not one.key:
        said = "; ".join(f"“{quotable(text)}”" for text in one.unknown[:3]) or "nothing"
        text = f"whether its private key is there: the listing says {said}, which is not known here"
        yield Finding("not-judged", where, text)


def judge_binding(one: Binding, known: Collection[str]) -> Iterator[Finding]:
    """Tell what is wrong with a binding; its certificate is judged where it was brought, too."""
    where = f"{one.address}:{one.port}" if one.port else one.address
    if one.misplaced:
        yield Finding("wrong-store", where, f"its certificate is looked for in {one.store}")
    if one.thumbprint and one.thumbprint not in known:
        text = f"{one.thumbprint} is in use there, and that certificate is not among what was given"
        yield Finding("not-judged", where, f"{text}: name its file or a listing of My besides")


def judge_event(one: Event) -> Iterator[Finding]:
    """Tell what an event of Windows means."""
    about = quotable(f"{one.provider} {one.number}: {one.text or f'result {one.code}'}", 200)
    about += f"; subject {quotable(one.subject)}" if one.subject else ""
    about += f"; asked for {quotable(one.server)}" if one.server else ""
    if one.code == _SUCCESS:
        return
    code = f" 0x{one.code}" if one.code else ""
    causes = explain(f"{one.provider} {one.number} {one.text}{code}").causes
    where = quotable(one.computer)
    if causes:
        yield Finding(causes[0].code, where, about)
    else:
        yield Finding("not-judged", where, f"what it means is not known here: {about}")


def judge_list(crl: x509.CertificateRevocationList, at: datetime) -> Iterator[Finding]:
    """Tell whether a revocation list holds today."""
    try:
        start, end = crl.last_update_utc, crl.next_update_utc
    except Exception as error:  # pyca raises many kinds
        yield Finding("not-judged", "crl", f"its dates can't be read: {reason(error)}")
        return
    if end and at > end:
        yield Finding("crl-unusable", "crl", f"the list ended on {moment(end)}")
    elif at < start:
        yield Finding("crl-unusable", "crl", f"the list begins on {moment(start)}")


def judge_inventory(
    stores: Stores,
    roots: Roots | None,
    at: datetime,
    crls: Iterable[x509.CertificateRevocationList],
) -> Iterator[Finding]:
    """Tell what is wrong with the certificates of a computer's own, wherever they are used."""
    trusted = (*stores.trusted, *(roots or ())) or roots
    used = {*stores.bindings.values(), *stores.https.values()}
    for held in stores.personal:
        read = Reading(held.certificate)
        where = f"{stores.host}: {read.label}"
        asked = next(iter(read.names), read.label.strip("'"))
        serves = kind_of(held.certificate) != "certificate" or thumbprint(held.certificate) in used
        chain = held.certificate, *stores.intermediate
        for found in diagnose(chain, asked, trusted, at, crls=crls).findings:
            about_others = found.where != "leaf" and found.code in ("malformed", "chain-order")
            if not about_others and (serves or found.code not in _OTHER_USES):
                yield Finding(found.code, where, found.detail, found.severity, found.refused_by)
        if read.validity:
            yield from ends_soon(where, read.validity[1], at)
        if not held.has_key:
            yield Finding("key-missing", where, "it lies in My without a private key")
        elif not held.readers:
            yield Finding("not-judged", where, "who may read its private key is not told")
    for held in stores.user_personal:
        if kind_of(held.certificate) == "server":
            label = Reading(held.certificate).label
            yield Finding("wrong-store", stores.host, f"{label} lies in CurrentUser\\My")
    for what, why in stores.unread.items():
        yield Finding("not-judged", stores.host, f"{what} could not be read: {why}")
    if not stores.personal:
        yield Finding("no-certificate", stores.host, "LocalMachine\\My holds no certificate")


# What is asked for


@dataclass(frozen=True)
class Wanted:
    """What is asked for; what is not said, or can't be read, is None."""

    kind: str
    common_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    key: str = ""
    rsa_bits: int = 0
    hashed: str = ""
    purposes: tuple[str, ...] | None = None
    usage: int | None = None  # the bits of the first byte of a key usage
    machine: bool | None = None  # whether the key goes into the computer's store
    exportable: bool | None = None
    unread: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """What is asked for, in a line."""
        names = ", ".join(map(quotable, self.names[:20])) or "no subject alternative name"
        common = ", ".join(map(quotable, self.common_names)) or "nobody by name"
        told = [
            f"{self.kind} for {common}",
            f"names: {names}",
            f"key: {quotable(self.key) or 'not said'}",
        ]
        if self.exportable is not None:
            told.append(f"the key can{'' if self.exportable else 'not'} be exported")
        return "; ".join(told)


def of_request(request: x509.CertificateSigningRequest) -> Wanted:
    """Return what a request asks for; never raises for what it holds."""
    told: dict[str, object] = {}
    unread: list[str] = []

    def key() -> None:
        public = request.public_key()
        told.update(key=described(public))
        told.update(rsa_bits=public.key_size if isinstance(public, RSAPublicKey) else 0)

    def subject() -> None:
        found = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        told.update(common_names=tuple(str(one.value) for one in found))

    def hashed() -> None:
        told.update(hashed=getattr(request.signature_hash_algorithm, "name", ""))

    def extensions() -> None:
        for one in request.extensions:
            match one.value:
                case x509.SubjectAlternativeName() as san:
                    kinds = (x509.DNSName, x509.IPAddress)
                    told.update(names=tuple(str(n.value) for n in san if isinstance(n, kinds)))
                case x509.ExtendedKeyUsage() as purposes:
                    told.update(purposes=tuple(each.dotted_string for each in purposes))
                case x509.KeyUsage() as usage:
                    told.update(usage=_SIGNS if usage.digital_signature else 0)

    for part, read in (("key", key), ("subject", subject), ("hash", hashed), ("names", extensions)):
        try:
            read()
        except Exception as error:  # pyca raises many kinds
            unread.append(f"its {part} can't be read: {reason(error)}")
    return Wanted("a request", unread=tuple(unread), **told)  # type: ignore[arg-type]


def judge_signature(request: x509.CertificateSigningRequest) -> Iterator[Finding]:
    """Tell of a request that was changed after it was signed."""
    fits = loaded(lambda: made_by(request.public_key(), request))
    if fits is False:
        text = "the request does not carry the signature of its own key: it was changed on the way"
        yield Finding("bad-signature", "leaf", text)
    elif fits is None:
        yield Finding("not-judged", "leaf", "its signature is of a kind that is not known here")


def answer_to(
    request: x509.CertificateSigningRequest,
    found: Sequence[x509.Certificate],
    names: Sequence[str],
    at: datetime,
    known: Iterable[x509.Certificate] = (),
) -> Issued:
    """Return what another CA answered to a request: its certificate, with the CAs up to the root.

    The first of those `found` that is for its key; a CA that was not sent may be one of those
    `known`. ValueError says what lacks, or why a client would refuse it as one of these names.
    """
    mine = [one for one in found if Reading(one).spki == spki(request.public_key())]
    path = [max(mine, key=lambda one: one.not_valid_before_utc)]
    # A root ends the way; the same CA may be there as another one's intermediate, too.
    above = sorted(dict.fromkeys((*found, *known)), key=lambda one: not Reading(one).self_signed)
    while not (top := Reading(path[-1])).self_signed:
        issuer = next((o for o in above if o not in path and is_signed_by(path[-1], o)), None)
        if issuer is None:
            places = top.get(x509.AuthorityInformationAccess) or ()
            urls = [quotable(spelled_out(one.access_location)) for one in places
                    if one.access_method == AuthorityInformationAccessOID.CA_ISSUERS]  # fmt: skip
            where = f"it is at {' or '.join(urls)}, as {top.label} says" if urls else "ask that CA"
            wanted = f"the certificate of {top.issuer_label}, which issued {top.label}"
            raise ValueError(f"lacks {wanted}: {where}; bring it together with the answer")
        path.append(issuer)
    if len(path) == 1:
        raise ValueError("is signed with its own key: no CA stands behind it")
    for name in names:
        diagnosis = diagnose(path, name, path[-1:], at)
        if bad := [one.detail for one in diagnosis.findings if one.severity == "bad"]:
            raise ValueError(f"would be refused as {name}: {'; '.join(bad)}")
    return Issued(path[0], None, tuple(path[1:]))


def of_inf(text: str) -> Wanted | None:
    """Return what the .inf of certreq asks for, None if a text is none."""
    if not any(name.casefold() == "newrequest" for name in _SECTION.findall(text)):
        return None
    body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(";"))
    pairs = [(key.casefold(), value.strip().strip('"')) for key, value in _LINE.findall(body)]
    said = dict(reversed(pairs))
    bits, usage = said.get("keylength", ""), said.get("keyusage", "")
    number = re.match(r"0x([0-9a-f]+)", usage, re.IGNORECASE)
    flags = {"true": True, "1": True, "false": False, "0": False}
    purposes = tuple(v for k, v in pairs if k == "oid") + (
        ("1.3.6.1.5.5.7.3.1",) * ("1.3.6.1.5.5.7.3.1" in said.get("2.5.29.37", ""))
    )
    rsa = "ec" not in said.get("keyalgorithm", "").casefold()
    return Wanted(
        "a certreq .inf that asks",
        common_names=tuple(re.findall(r"CN\s*=\s*([^,\"+]+)", said.get("subject", ""))),
        names=tuple(_SAN.findall(body)),
        key=f"{'RSA' if rsa else said.get('keyalgorithm', '')} {bits}".strip() if bits else "",
        rsa_bits=int(bits) if bits.isdigit() and rsa else 0,
        hashed=said.get("hashalgorithm", ""),
        purposes=purposes or None,
        usage=int(number[1], 16) & 0xFF if number else None,
        machine=flags.get(said.get("machinekeyset", "false").casefold()),
        exportable=flags.get(said.get("exportable", "").casefold()),
    )


def judge_wanted(one: Wanted) -> Iterator[Finding]:
    """Tell what clients would refuse in a certificate that was issued as it is asked for."""
    where = "leaf"
    for text in one.unread:
        yield Finding("not-judged", where, text)
    if 0 < one.rsa_bits < _WEAKEST:
        yield Finding("weak-key", where, f"asks for a key of {one.rsa_bits} bits only", "bad")
    elif not one.key and not one.unread:
        yield Finding("not-judged", where, "does not say how long its key is")
    if one.hashed.casefold().replace("-", "") in ("md5", "sha1"):
        yield Finding("weak-signature", where, f"is signed with {one.hashed.upper()}", "dubious")
    if not one.names and not any("names" in text for text in one.unread):
        yield Finding("no-san", where, "asks for no subject alternative name")
    yield from odd_names((*one.names, *(one.common_names if not one.names else ())), where)
    if one.purposes is not None and _SERVER_AUTH.isdisjoint(one.purposes):
        yield Finding(
            "wrong-eku", where, f"asks for {quotable(', '.join(one.purposes))}, not for serverAuth"
        )
    if one.usage is not None and not one.usage & _SIGNS:
        yield Finding(
            "wrong-eku", where, "asks for a key usage without digitalSignature", "dubious"
        )
    if one.machine is False:
        text = "has no MachineKeySet = TRUE, so the key goes to the user, where no service looks"
        yield Finding("wrong-store", where, text)


def odd_names(names: tuple[str, ...], where: str) -> Iterator[Finding]:
    """Tell which names some clients, or all, refuse, whoever issues a certificate for them."""
    for name in dict.fromkeys(names):
        try:
            parse_name(name)
        except ValueError as error:
            yield Finding(
                "name-mismatch", where, f"no client can ask for {quotable(name)}: {error}"
            )
            continue
        if "_" in name:
            text = f"{quotable(name)} contains an underscore, which Java and others refuse"
            yield Finding("name-not-portable", where, text)
        if name.startswith("*."):
            text = f"{quotable(name)} covers neither short names nor addresses that clients use"
            yield Finding("name-mismatch", where, text, "dubious")
