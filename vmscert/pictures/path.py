"""Pictures for troubleshooting: the path with the faults on it, and servers against findings."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from vmscert.certificates.diagnosis import Diagnosis
from vmscert.certificates.reading import Reading
from vmscert.findings import Finding
from vmscert.network.survey import Survey
from vmscert.pictures.canvas import (
    BAD,
    COLOURS,
    GOOD,
    INK,
    LINE,
    PAPER,
    QUIET,
    WIDTH,
    Canvas,
    Picture,
    count,
    fit,
    worst,
)

_BOX, _TALL, _BETWEEN, _LEFT, _MIDDLE = 300, 72, 30, 20, 350  # pixels
_WRAPPER = textwrap.TextWrapper(92, max_lines=3, placeholder=" …", break_on_hyphens=False)
_ENDINGS = {"untrusted-root", "root-recreated", "missing-intermediate", "no-certificate"}
_MOST_ROWS, _CELL, _ROW = 40, 96, 26

Chain = Sequence[x509.Certificate]


@dataclass(frozen=True)
class _Step:
    """One box of the path, and the findings beside it; without a certificate it is a gap."""

    one: Reading | None
    where: str
    findings: list[Finding]

    @property
    def height(self) -> float:
        return max(_TALL, 8 + sum(22 + 15 * len(_WRAPPER.wrap(f.detail)) for f in self.findings))


def path_picture(
    diagnosis: Diagnosis, presented: Chain = (), trusted: Chain | None = None
) -> Picture:
    """Draw the path from root to leaf, with each finding beside the certificate that it is about.

    `presented` is what the server sent; what is not in the path stands below it. With the roots
    that the client has `trusted`, it is the way up as the client finds it, and judges nothing.
    """
    path, judged = diagnosis.path, trusted is None
    steps = _steps(diagnosis, trusted)
    others, why = presented, "sent along, not needed"
    if trusted is not None:
        others, why = trusted, "trusted, but not on the way"
    besides = [f"{why}: {Reading(one).label}" for one in others if one not in path]
    height = 62 + sum(step.height + _BETWEEN for step in steps) + 22 * len(besides)
    canvas = Canvas(WIDTH, height, "The path from the server's certificate to a root")
    verdict = "trusted" if diagnosis.trusted else "refused"
    heading = f"This server is {verdict}" if judged else "The way up from the server"
    canvas.text(_LEFT, 32, heading, size=16, bold=True)
    y = 52.0
    for step in steps:
        _draw_step(canvas, step, presented, judged, y)
        y += step.height + _BETWEEN
    for words in besides:
        canvas.text(_LEFT, y, words, colour=QUIET)
        y += 22
    if not judged:
        labels = [step.one.label if step.one else "nobody that it trusts" for step in steps[::-1]]
        return canvas.picture(f"The way up: {', then '.join(labels)}.")
    bad = [finding.code for finding in diagnosis.findings if finding.severity == "bad"]
    return canvas.picture(
        f"Path of {count(path, 'certificate')}, {verdict}; "
        f"{', '.join(dict.fromkeys(bad)) or 'nothing'} makes clients refuse."
    )


def _steps(diagnosis: Diagnosis, trusted: Chain | None) -> list[_Step]:
    """The boxes from the top down; a gap on top if nothing that is trusted stands there."""
    found = diagnosis.findings if trusted is None else ()
    gap = [finding for finding in found if finding.code in _ENDINGS and finding.severity == "bad"]
    left = [finding for finding in found if finding not in gap]
    open_end = bool(gap) if trusted is None else diagnosis.path[-1:] not in {(o,) for o in trusted}
    steps = [_Step(None, "root", gap)] if open_end or not diagnosis.path else []
    for place, certificate in reversed(list(enumerate(diagnosis.path))):
        one = Reading(certificate)
        where = "leaf" if place == 0 else "intermediate" if steps else "root"
        about = [f for f in left if f.where == where and f.detail.startswith(one.label)]
        left = [finding for finding in left if finding not in about]
        steps.append(_Step(one, where, about))
    if steps:  # what names nothing in the path is told at its leaf
        steps[-1].findings.extend(left)
    return steps


def _draw_step(canvas: Canvas, step: _Step, presented: Chain, judged: bool, y: float) -> None:
    if step.one:
        _draw_certificate(canvas, step, step.one, presented, judged, y)
    else:
        for start in range(_LEFT, _LEFT + _BOX, 12):  # a dashed frame
            for edge in (y, y + _TALL):
                canvas.line(start, edge, start + 6, edge, colour=BAD)
        canvas.text(_LEFT + 14, y + 41, "no certificate that the client trusts", colour=BAD)
    if judged and not step.findings:
        canvas.text(_MIDDLE, y + 40, "nothing wrong here", colour=GOOD)
    top = y + 14
    for finding in step.findings:
        canvas.text(_MIDDLE, top, finding.code, colour=COLOURS[finding.severity], bold=True)
        for line in _WRAPPER.wrap(finding.detail):
            top += 15
            canvas.text(_MIDDLE, top, line, size=11)
        top += 22
    if step.where != "leaf":
        foot, middle = y + step.height + _BETWEEN, _LEFT + _BOX / 2
        canvas.line(middle, y + _TALL, middle, foot, colour=LINE, width=2)


def _draw_certificate(
    canvas: Canvas, step: _Step, one: Reading, presented: Chain, judged: bool, y: float
) -> None:
    state = worst([finding.severity for finding in step.findings])
    colour = COLOURS[state] if judged else QUIET
    canvas.box(_LEFT, y, _BOX, _TALL, fill=PAPER, stroke=colour)
    canvas.box(_LEFT, y, 6, _TALL, fill=colour, radius=2)
    canvas.text(_LEFT + 16, y + 20, fit(one.label.strip("'"), _BOX - 30, bold=True), bold=True)
    sent = one.certificate in presented
    if judged:
        by = "trusted by the client" if step.where == "root" else "held by the client"
        by = "sent by the server" if sent and step.where != "root" else by
        start, end = one.validity or (None, None)
        below = f"{start:%Y-%m-%d} to {end:%Y-%m-%d}" if end else "dates that can't be read"
    else:
        number = list(presented).index(one.certificate) + 1 if sent else 0
        by = f"sent as number {number}" if sent else "trusted by the client"
        issuer = "itself" if one.self_signed else one.issuer_label
        below = fit(f"issued by {issuer}", _BOX - 30, 11)
    canvas.text(_LEFT + 16, y + 38, f"{step.where}, {by}", colour=QUIET, size=11)
    canvas.text(_LEFT + 16, y + 56, below, colour=INK, size=11)


def heat_map(survey: Survey) -> Picture:
    """Draw computers against findings: how many endpoints of each have each."""
    computer = {one.target: one.target.host or one.target.address for one in survey.seen}
    cells: dict[tuple[str, str], list[str]] = {}
    for one in survey.seen:
        for code, severity in {(f.code, f.severity) for f in one.findings}:
            cells.setdefault((computer[one.target], code), []).append(severity)
    hosts = sorted(set(computer.values()))
    codes = list(dict.fromkeys(row["finding"] for row in survey.remedies()))
    shown = hosts[:_MOST_ROWS]
    width = max(WIDTH, 220 + _CELL * len(codes))
    canvas = Canvas(width, 90 + _ROW * len(shown) + 20, "Servers against findings")
    canvas.text(20, 30, "Endpoints with each finding", size=16, bold=True)
    for column, code in enumerate(codes):
        x, words = 214 + _CELL * column + (_CELL - 8) / 2, code.split("-")
        half = (len(words) + 1) // 2
        for line, part in enumerate(("-".join(words[:half]), "-".join(words[half:]))):
            canvas.text(x, 52 + 14 * line, part, size=11, anchor="middle")
    for number, host in enumerate(shown):
        y = 78 + _ROW * number
        canvas.text(200, y + 17, fit(host, 180), anchor="end")
        for column, code in enumerate(codes):
            _draw_cell(canvas, cells.get((host, code), []), 214 + _CELL * column, y)
    if len(hosts) > len(shown):
        words = f"and {len(hosts) - len(shown)} more"
        canvas.text(20, 100 + _ROW * len(shown), words, colour=QUIET)
    good = sum(one.trusted for one in survey.seen)
    return canvas.picture(
        f"{count(hosts, 'computer')}, {good} of {len(survey.seen)} endpoints verified; findings: "
        f"{', '.join(codes) or 'none'}."
    )


def _draw_cell(canvas: Canvas, severities: Sequence[str], x: float, y: float) -> None:
    fill = COLOURS[worst(severities)] if severities else "#eef1f4"
    canvas.box(x, y, _CELL - 8, _ROW - 4, fill=fill, radius=3)
    if severities:
        middle = x + (_CELL - 8) / 2
        canvas.text(middle, y + 16, str(len(severities)), colour=PAPER, anchor="middle", bold=True)
