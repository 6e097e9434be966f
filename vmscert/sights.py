"""What a trainee sees of a stand in the gallery of faults: words, a picture, and no verdict.

The verdict comes with the solution only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from cryptography import x509

from vmscert.chainfaults import Stand
from vmscert.dissect import anatomy
from vmscert.drawing import BAD, LINE, PAPER, QUIET, Canvas, Picture, fit
from vmscert.forms import shown_look
from vmscert.looks import Look
from vmscert.paths import Reading, moment
from vmscert.trust import Diagnosis

_TALL, _STEP, _WIDE = 46, 64, 430  # pixels: a box, from one box to the next, and its width


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
        return "".join([*lines, self._picture(), *certificates])

    def _picture(self) -> str:
        if self.look.diagnosis is None:
            return ""
        drawn = way_up(self.look.diagnosis, self.sent, self.trusted)
        return drawn._repr_mimebundle_()["text/html"]


@dataclass(frozen=True)
class Solution:
    """What is wrong at a stand: the path with its faults, and a table of findings."""

    about: str
    look: Look

    def _repr_html_(self) -> str:
        return shown_look(self.look, self.about)["text/html"]

    def __repr__(self) -> str:
        return shown_look(self.look, self.about)["text/plain"]


def _about_list(crl: x509.CertificateRevocationList) -> str:
    start, end = crl.last_update_utc, crl.next_update_utc
    until = moment(end) if end else "any day"
    serials = ", ".join(f"{entry.serial_number:X}" for entry in crl) or "none"
    return (
        f"The client holds a revocation list of {crl.issuer.rfc4514_string()}, from "
        f"{moment(start)} to {until}. Serial numbers on it: {serials}."
    )


def way_up(
    diagnosis: Diagnosis,
    presented: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
) -> Picture:
    """Draw the way that a client finds from the server's certificate upwards; it judges nothing."""
    path = [Reading(one) for one in reversed(diagnosis.path)]
    boxes = path if diagnosis.path and diagnosis.path[-1] in roots else [None, *path]
    unused = [f"trusted, but not on the way: {Reading(one).label}" for one in roots]
    unused = [text for text, one in zip(unused, roots, strict=True) if one not in diagnosis.path]
    canvas = Canvas(900, 30 + _STEP * len(boxes) + 22 * len(unused), "The way up from the server")
    for place, one in enumerate(boxes):
        _draw_step(canvas, 16 + _STEP * place, one, _held(one, presented))
        if place:
            middle, top = 20 + _WIDE / 2, 16 + _STEP * place
            canvas.line(middle, top - _STEP + _TALL, middle, top, width=2)
    for place, text in enumerate(unused):
        canvas.text(20, 24 + _STEP * len(boxes) + 22 * place, text, colour=QUIET)
    labels = [one.label if one else "nobody that the client trusts" for one in reversed(boxes)]
    return canvas.picture(f"The way up: {', then '.join(labels)}.")


def _held(one: Reading | None, presented: Sequence[x509.Certificate]) -> str:
    if one is None:
        return ""
    if one.certificate in presented:
        return f"sent as number {presented.index(one.certificate) + 1}"
    return "trusted by the client"


def _draw_step(canvas: Canvas, y: float, one: Reading | None, held: str) -> None:
    if one is None:
        for start in range(20, 20 + _WIDE, 12):  # a dashed frame
            canvas.line(start, y, start + 6, y, colour=BAD)
            canvas.line(start, y + _TALL, start + 6, y + _TALL, colour=BAD)
        canvas.text(36, y + 28, "here the client finds nobody that it trusts", colour=BAD)
        return
    canvas.box(20, y, _WIDE, _TALL, fill=PAPER, stroke=LINE)
    canvas.text(36, y + 20, fit(one.label.strip("'"), _WIDE - 30, bold=True), bold=True)
    issued = f"issued by {'itself' if one.self_signed else one.issuer_label}"
    canvas.text(36, y + 37, fit(issued, _WIDE - 30, 11), size=11)
    canvas.text(36 + _WIDE, y + 28, held, colour=QUIET)
