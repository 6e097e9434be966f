"""What a trainee sees of a stand in the gallery of faults: words, a picture, and no verdict.

The verdict comes with the solution only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from cryptography import x509

from vmscert.certificates.reading import Reading, moment
from vmscert.certificates.words import anatomy
from vmscert.network.looks import Look
from vmscert.pictures.canvas import Picture
from vmscert.pictures.path import path_picture
from vmscert.practice.chains import Stand


class Words(str):
    """A text that a notebook shows as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p>{escape(self)}</p>"


class Command(Words):
    """A line for a terminal."""

    def _repr_html_(self) -> str:
        return f'<p><code style="overflow-wrap: anywhere">{escape(self)}</code></p>'


@dataclass(frozen=True)
class Encounter:
    """What the kit's tools show of a stand, without a verdict: that is left to the trainee."""

    about: str
    stand: Stand
    look: Look

    @property
    def sent(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the server sent, in their order."""
        return self.look.presented

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The CA certificates that the client trusts."""
        return self.stand.roots

    def lines(self) -> list[str]:
        """What was asked, what the client says, and the revocation lists that it holds."""
        return [self.about, self._said(), *map(_about_list, self.stand.crls)]

    def _said(self) -> str:
        seen = self.look.handshake
        if seen.rule:
            told = filter(None, (seen.error, seen.hint))
            return f"This client gives up: {'. '.join(told)}."
        spoken = f"They speak {seen.version}, {seen.cipher}."
        if not seen.ok:
            return f"This client refuses: {seen.error.rstrip('.')}. {spoken}"
        lists = ", but looks into no revocation list" if self.stand.crls else ""
        return f"This client accepts the server{lists}. Others may refuse it. {spoken}"

    def certificates(self) -> Iterator[tuple[str, x509.Certificate]]:
        """What the server sent and what the client trusts, each with the words for that."""
        for number, one in enumerate(self.sent, 1):
            yield f"Sent as number {number}", one
        for one in self.trusted:
            yield "Trusted by the client", one

    def __repr__(self) -> str:
        told = [f"{place}\n{anatomy(one)}" for place, one in self.certificates()]
        return "\n\n".join(["\n".join(self.lines()), *told])

    def _repr_html_(self) -> str:
        lines = (f"<p>{escape(line)}</p>" for line in self.lines())
        certificates = (
            f"<details><summary>{place}: {escape(Reading(one).label)}</summary>"
            f"{anatomy(one)._repr_html_()}</details>"
            for place, one in self.certificates()
        )
        drawn = self.picture()
        shown = drawn._repr_mimebundle_()["text/html"] if drawn else ""
        return "".join([*lines, shown, *certificates])

    def picture(self) -> Picture | None:
        """The way up that the client finds; None where the server showed no certificate."""
        seen = self.look.diagnosis
        return path_picture(seen, self.sent, self.trusted) if seen else None


def _about_list(crl: x509.CertificateRevocationList) -> str:
    start, end = crl.last_update_utc, crl.next_update_utc
    until = moment(end) if end else "any day"
    serials = ", ".join(f"{entry.serial_number:X}" for entry in crl) or "none"
    return (
        f"The client holds a revocation list of {crl.issuer.rfc4514_string()}, from "
        f"{moment(start)} to {until}. Serial numbers on it: {serials}."
    )
