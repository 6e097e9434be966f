"""Pictures for troubleshooting: the path with the faults on it, and servers against findings."""

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509

from vmscert.certificates.diagnosis import Diagnosis
from vmscert.certificates.reading import Reading
from vmscert.findings import Finding
from vmscert.network.survey import Survey
from vmscert.pictures.canvas import WIDTH, Canvas, Picture, count, fit, worst

_BOX, _TALL, _BETWEEN, _LEFT, _MIDDLE = 300, 72, 30, 20, 350  # pixels
_WRAPPER = textwrap.TextWrapper(92, max_lines=3, placeholder=" …", break_on_hyphens=False)
_ENDINGS = {"untrusted-root", "root-recreated", "missing-intermediate", "no-certificate"}
_MOST_ROWS, _CELL, _ROW = 40, 96, 26

Chain = Sequence[x509.Certificate]


class _Step(NamedTuple):
    """One box of the path, and the findings beside it; without a certificate it is a gap."""

    one: Reading | None
    where: str
    findings: list[Finding]


def path_picture(
    diagnosis: Diagnosis, presented: Chain = (), trusted: Chain | None = None
) -> Picture:
    """Draw the path from root to leaf, with each finding beside the certificate that it is about.

    The verdict is that of the diagnosis. `presented` is what the server sent; what is not in the
    path stands below it. With the roots that the client has `trusted`, it is the way up as the
    client finds it, and judges nothing.
    """
    path, judged = diagnosis.path, trusted is None
    steps = _steps(diagnosis, trusted)
    why = "sent along, not needed" if judged else "trusted, but not on the way"
    others = presented if trusted is None else trusted
    besides = [f"{why}: {Reading(one).label}" for one in others if one not in path]
    height = 62 + sum(_height(step) + _BETWEEN for step in steps) + 22 * len(besides)
    canvas = Canvas("The path from the server's certificate to a root", height)
    worst_of_all = worst(one.severity for one in diagnosis.findings)
    refused = "not judged" if worst_of_all == "unjudged" else "refused"
    verdict = "trusted" if diagnosis.trusted else refused
    heading = f"This server is {verdict}" if judged else "The way up from the server"
    canvas.text(_LEFT, 32, heading, size=16, bold=True)
    y = 52.0
    for step in steps:
        _draw_step(canvas, step, presented, judged, y)
        y += _height(step) + _BETWEEN
    for number, words in enumerate(besides):
        canvas.text(_LEFT, y + 22 * number, words, colour="quiet")
    if not judged:
        labels = [step.one.label if step.one else "nobody that it trusts" for step in steps[::-1]]
        return canvas.picture(f"The way up: {', then '.join(labels)}.")
    bad = dict.fromkeys(one.code for one in diagnosis.findings if one.severity == "bad")
    said = f"{verdict}; {', '.join(bad) or 'nothing'} makes clients refuse."
    return canvas.picture(f"Path of {count(path, 'certificate')}, {said}")


def _steps(diagnosis: Diagnosis, trusted: Chain | None) -> list[_Step]:
    """The boxes from the top down; a gap on top if nothing that is trusted stands there."""
    found = diagnosis.findings if trusted is None else ()
    gap = [one for one in found if one.code in _ENDINGS and one.severity == "bad"]
    left = [one for one in found if one not in gap]
    closed = not gap if trusted is None else diagnosis.path[-1:] in {(one,) for one in trusted}
    steps = [] if closed and diagnosis.path else [_Step(None, "root", gap)]
    for place, certificate in reversed(list(enumerate(diagnosis.path))):
        one = Reading(certificate)
        where = "leaf" if place == 0 else "intermediate" if steps else "root"
        about = [f for f in left if f.where == where and f.detail.startswith(one.label)]
        left = [finding for finding in left if finding not in about]
        steps.append(_Step(one, where, about))
    steps[-1].findings.extend(left)  # what names nothing in the path is told at its leaf
    return steps


def _height(step: _Step) -> float:
    return max(_TALL, 8 + sum(22 + 15 * len(_WRAPPER.wrap(one.detail)) for one in step.findings))


def _draw_step(canvas: Canvas, step: _Step, presented: Chain, judged: bool, y: float) -> None:
    if step.one:
        _draw_certificate(canvas, step, step.one, presented, judged, y)
    else:
        for start in range(_LEFT, _LEFT + _BOX, 12):  # a dashed frame
            for edge in (y, y + _TALL):
                canvas.line(start, edge, start + 6, edge, colour="bad")
        canvas.text(_LEFT + 14, y + 41, "no certificate that the client trusts", colour="bad")
    if judged and not step.findings:
        canvas.text(_MIDDLE, y + 40, "nothing wrong here", colour="good")
    top = y + 14
    for finding in step.findings:
        canvas.text(_MIDDLE, top, finding.code, colour=finding.severity, bold=True)
        for line in _WRAPPER.wrap(finding.detail):
            top += 15
            canvas.text(_MIDDLE, top, line, size=11)
        top += 22
    if step.where != "leaf":
        foot, middle = y + _height(step) + _BETWEEN, _LEFT + _BOX / 2
        canvas.line(middle, y + _TALL, middle, foot, width=2)


def _draw_certificate(
    canvas: Canvas, step: _Step, one: Reading, presented: Chain, judged: bool, y: float
) -> None:
    colour = (worst(finding.severity for finding in step.findings) or "good") if judged else "quiet"
    canvas.box(_LEFT, y, _BOX, _TALL, fill="paper", stroke=colour)
    canvas.box(_LEFT, y, 6, _TALL, fill=colour, radius=2)
    sent, by = one.certificate in presented, "trusted by the client"
    if judged:
        if step.where != "root":
            by = "sent by the server" if sent else "held by the client"
        start, end = one.validity or (None, None)
        below = f"{start:%Y-%m-%d} to {end:%Y-%m-%d}" if end else "dates that can't be read"
    else:
        by = f"sent as number {presented.index(one.certificate) + 1}" if sent else by
        issuer = "itself" if one.self_signed else one.issuer_label
        below = fit(f"issued by {issuer}", _BOX - 30, 11)
    canvas.text(_LEFT + 16, y + 20, fit(one.label.strip("'"), _BOX - 30, bold=True), bold=True)
    canvas.text(_LEFT + 16, y + 38, f"{step.where}, {by}", colour="quiet", size=11)
    canvas.text(_LEFT + 16, y + 56, below, size=11)


def heat_map(survey: Survey) -> Picture:
    """Draw computers against findings: how many endpoints of each have each."""
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in survey.seen:
        for code, severity in {(f.code, f.severity) for f in one.findings}:
            cells[one.target.computer, code].append(severity)
    hosts = sorted({one.target.computer for one in survey.seen})
    codes = list(dict.fromkeys(row["finding"] for row in survey.remedies()))
    shown, middle = hosts[:_MOST_ROWS], (_CELL - 8) / 2
    width = max(WIDTH, 220 + _CELL * len(codes))
    canvas = Canvas("Servers against findings", 110 + _ROW * len(shown), width)
    canvas.text(20, 30, "Endpoints with each finding", size=16, bold=True)
    for column, code in enumerate(codes):
        words = code.split("-")
        half = (len(words) + 1) // 2
        for line, part in enumerate((words[:half], words[half:])):
            x, y = 214 + _CELL * column + middle, 52 + 14 * line
            canvas.text(x, y, "-".join(part), size=11, anchor="middle")
    for number, host in enumerate(shown):
        y = 78 + _ROW * number
        canvas.text(200, y + 17, fit(host, 180), anchor="end")
        for column, code in enumerate(codes):
            x, found = 214 + _CELL * column, cells[host, code]
            canvas.box(x, y, _CELL - 8, _ROW - 4, fill=worst(found) or "#eef1f4", radius=3)
            if found:
                many = str(len(found))
                canvas.text(x + middle, y + 16, many, colour="paper", anchor="middle", bold=True)
    if len(hosts) > len(shown):
        words = f"and {len(hosts) - len(shown)} more"
        canvas.text(20, 100 + _ROW * len(shown), words, colour="quiet")
    good = sum(one.trusted for one in survey.seen)
    verified = f"{count(hosts, 'computer')}, {good} of {len(survey.seen)} endpoints verified"
    return canvas.picture(f"{verified}; findings: {', '.join(codes) or 'none'}.")
