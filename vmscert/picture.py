"""Pictures as SVG text: the map of a site, and the timeline of expiry.

Pure: the same input gives the same bytes. Host names are other people's input; ElementTree escapes
them.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from xml.etree import ElementTree

from vmscert.expiry import Due
from vmscert.facts import facts
from vmscert.site import Host, Site
from vmscert.trust import OF_THE_CLIENT, Finding

INK, QUIET, LINE, PAPER = "#1f2933", "#66727f", "#d8dee4", "#ffffff"
BAD, DUBIOUS = "#c62828", "#b26a00"
# Colour-blind safe (Okabe and Ito), one for each certificate group in the table's order.
GROUP_COLOURS = ("#0072b2", "#009e73", "#8a4fbf", "#d55e00")
STATUS_COLOURS = {
    "ok": "#2e7d5b",
    "plan": "#0072b2",
    "warning": DUBIOUS,
    "critical": BAD,
    "expired": "#7a1c1c",
}
_FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
_LETTER = 6.4  # pixels, about, of one letter at 12 pixels
_MOST_COLUMNS = 7  # single servers in the map; more are drawn by kind
_MOST_NAMES = 3  # names in one label; more are counted


@dataclass(frozen=True)
class Picture:
    """An SVG that notebooks show, with words for those who can't see it."""

    svg: str
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        # An <img> is the one form that JupyterLab shows in a notebook it does not trust yet.
        data = base64.b64encode(self.svg.encode()).decode("ascii")
        source = f"data:image/svg+xml;base64,{data}"
        image = f'<img alt="{escape(self.alt)}" style="max-width: 100%" src="{source}">'
        return {"text/html": image, "text/plain": self.alt}


class _Canvas:
    def __init__(self, width: float, height: float, title: str):
        self.root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {width:g} {height:g}",
                "width": f"{width:g}",
                "height": f"{height:g}",
                "font-family": _FONT,
                "font-size": "12",
                "role": "img",
            },
        )
        ElementTree.SubElement(self.root, "title").text = _printable(title)
        self.box(0, 0, width, height, fill=PAPER, radius=10)

    def box(self, x, y, width, height, *, fill, radius=5.0, stroke="none") -> None:
        self._add("rect", x=x, y=y, width=width, height=height, rx=radius, fill=fill, stroke=stroke)

    def line(self, x1, y1, x2, y2, *, colour=LINE, width=1.0) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)

    def shape(self, points: str, colour: str) -> None:
        self._add("polygon", points=points, fill=colour)

    def text(self, x, y, words, *, colour=INK, size=12, anchor="start", bold=False) -> None:
        weight = {"font_weight": "600"} if bold else {}
        element = self._add("text", x=x, y=y, fill=colour, font_size=size, **weight)
        element.set("text-anchor", anchor)
        element.text = _printable(words)

    def _add(self, tag: str, **attributes) -> ElementTree.Element:
        written = {
            name.replace("_", "-"): f"{value:g}" if isinstance(value, int | float) else value
            for name, value in attributes.items()
        }
        return ElementTree.SubElement(self.root, tag, written)

    def picture(self, alt: str) -> Picture:
        return Picture(ElementTree.tostring(self.root, encoding="unicode"), _printable(alt))


# The map: who signs (columns), who trusts (rows), where they meet (ports)


def site_map(
    site: Site, *, findings: Iterable[Finding] = (), places: Sequence[str] = ()
) -> Picture:
    """Draw who signs, who trusts, and where they meet.

    The CA signs for the columns and is trusted by the rows; a pill in a cell is a port on which
    the row's computers call the column's server, coloured by certificate group. Findings colour
    what they concern. `places` are the places of encryption to show; all when empty.
    """
    found = list(findings)
    columns = _grouped(site.servers, found, len(site.servers) > _MOST_COLUMNS)
    rows = _grouped(site.clients, found, len(site.servers) > _MOST_COLUMNS, clients=True)
    left, top, row_height = 250, 150, 34
    column_width = max(104, min(150, (900 - left - 20) / max(1, len(columns))))
    width = left + column_width * len(columns) + 20
    height = top + row_height * len(rows) + 62
    canvas = _Canvas(max(width, 640), height, f"Who signs, who trusts: {site.name}")
    _draw_ca(canvas, site, left, top, width, height)
    for number, hosts in enumerate(columns):
        _draw_server(canvas, hosts, left + column_width * number, top, column_width, found)
    for number, hosts in enumerate(rows):
        _draw_client(canvas, hosts, top + row_height * number, left, width, found)
    cells = _cells(site, columns, rows, places)
    for (column, row), ports in cells.items():
        x = left + column_width * (column + 0.5)
        y = top + row_height * (row + 0.5)
        state = _state_of_link(rows[row], columns[column], found)
        _draw_ports(canvas, ports, x, y, column_width, state)
    _draw_legend(canvas, 40, height - 22)
    bad = sum(finding.severity == "bad" for finding in found)
    return canvas.picture(
        f"Map of {site.name}: one CA signs for {len(site.servers)} servers and is trusted by "
        f"{len(site.clients)} computers, over {len(site.connections)} connections; "
        f"{bad or 'no'} findings that make clients refuse."
    )


def _grouped(
    hosts: Sequence[Host], findings: Sequence[Finding], by_kind: bool, clients: bool = False
) -> list[list[Host]]:
    """Hosts one by one, or those of the same roles and state together; clients always together."""
    groups: dict[object, list[Host]] = {}
    for host in hosts:
        together = by_kind or (clients and not host.ports)
        kind = (host.roles, _state([host], findings)) if together else host.name
        groups.setdefault(kind, []).append(host)
    return list(groups.values())


def _cells(site, columns, rows, places) -> dict[tuple[int, int], dict[int, str]]:
    column_of = {host.name: n for n, hosts in enumerate(columns) for host in hosts}
    row_of = {host.name: n for n, hosts in enumerate(rows) for host in hosts}
    place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
    cells: dict[tuple[int, int], dict[int, str]] = {}
    for c in site.connections:
        if not places or place_of[c.group] in places:
            cell = cells.setdefault((column_of[c.server], row_of[c.client]), {})
            cell[c.port] = c.group
    return cells


def _draw_ca(canvas, site, left, top, width, height) -> None:
    canvas.box(18, 18, 166, 48, fill=INK, radius=8)
    canvas.text(30, 39, "Certificate authority", colour=PAPER, bold=True)
    canvas.text(30, 56, "ca.cer goes to every row", colour="#c9d3dc", size=11)
    middle = 42
    canvas.line(184, middle, width - 26, middle, colour=INK, width=1.5)
    arrow = width - 20
    canvas.shape(f"{arrow},{middle} {arrow - 8},{middle - 4} {arrow - 8},{middle + 4}", INK)
    canvas.text(left, middle - 8, f"signs for {len(site.servers)} servers", colour=QUIET)
    bottom = height - 52
    canvas.line(28, 66, 28, bottom - 6, colour=INK, width=1.5)
    canvas.shape(f"28,{bottom} 24,{bottom - 8} 32,{bottom - 8}", INK)
    canvas.text(40, top - 14, f"trusted by {len(site.clients)} computers", colour=QUIET)


def _draw_server(canvas, hosts, x, top, width, findings) -> None:
    colour = _colour(_state(hosts, findings), LINE)
    canvas.box(x + 4, 58, width - 8, top - 66, fill="#f3f6f8", stroke=colour)
    fits = int((width - 16) / _LETTER)
    canvas.text(x + width / 2, 78, _cut(_label(hosts), fits), anchor="middle", bold=True)
    for number, role in enumerate(hosts[0].roles[:3]):
        words = _cut(role, int((width - 14) / 5.3))
        canvas.text(x + width / 2, 96 + 15 * number, words, colour=QUIET, size=10, anchor="middle")


def _draw_client(canvas, hosts, y, left, width, findings) -> None:
    state = _state(hosts, findings)
    canvas.line(40, y, width - 16, y)
    label = ", ".join(host.name for host in hosts) if len(hosts) <= _MOST_NAMES else _label(hosts)
    canvas.text(44, y + 15, _cut(label, 32), bold=True, colour=_colour(state, INK))
    roles = ", ".join(hosts[0].roles)
    canvas.text(44, y + 28, _cut(roles, 34), colour=QUIET, size=10)


def _draw_ports(canvas, ports: Mapping[int, str], x, y, width, state) -> None:
    size = min(38, (width - 10) / len(ports))
    start = x - size * len(ports) / 2
    for number, (port, group) in enumerate(sorted(ports.items())):
        colour = _colour(state, _group_colours()[group])
        left, middle = start + size * number + 1, start + size * (number + 0.5)
        # Square where something is wrong: nobody needs to tell the colours apart.
        canvas.box(left, y - 9, size - 2, 18, fill=colour, radius=2 if state else 9)
        letters = 10 if size >= 30 else 8
        canvas.text(middle, y + 3.5, str(port), colour=PAPER, size=letters, anchor="middle")


def _draw_legend(canvas, x, y) -> None:
    for group, colour in _group_colours().items():
        canvas.box(x, y - 9, 12, 12, fill=colour, radius=6)
        canvas.text(x + 17, y + 1, group, colour=QUIET, size=11)
        x += 32 + _LETTER * len(group)
    for words, colour in (("refused", BAD), ("dubious", DUBIOUS)):
        canvas.box(x, y - 9, 12, 12, fill=colour, radius=2)
        canvas.text(x + 17, y + 1, words, colour=QUIET, size=11)
        x += 34 + _LETTER * len(words)


def _state(hosts: Iterable[Host], findings: Iterable[Finding]) -> str:
    names = {host.name for host in hosts}
    return _worst(f for f in findings if f.where in names)


def _state_of_link(clients, servers, findings) -> str:
    """What is wrong between them: named as a link, at the server, or at the client."""
    callers, called = {host.name for host in clients}, {host.name for host in servers}
    links = {f"{one} → {other}" for one in callers for other in called}
    return _worst(
        finding
        for finding in findings
        if finding.where in (callers if finding.code in OF_THE_CLIENT else called)
        or finding.where in links
    )


def _worst(findings: Iterable[Finding]) -> str:
    severities = {finding.severity for finding in findings}
    return "bad" if "bad" in severities else "dubious" if severities else ""


def _colour(state: str, otherwise: str) -> str:
    return {"bad": BAD, "dubious": DUBIOUS}.get(state, otherwise)


def _group_colours() -> dict[str, str]:
    groups = [row["group"] for row in facts("xprotect/certificate-groups")]
    return dict(zip(groups, GROUP_COLOURS, strict=True))


def _label(hosts: Sequence[Host]) -> str:
    return hosts[0].name if len(hosts) == 1 else f"{len(hosts)} computers"


# The timeline


def timeline(rows: Sequence[Due], at: datetime) -> Picture:
    """Draw one bar for each certificate from its first day to its last, and the day `at`.

    The axis covers the servers' lives; a bar that goes on, as the CA's does, ends in an arrow.
    """
    ordered = sorted(rows, key=lambda row: row.not_after, reverse=True)
    start, end = _span(rows, at)
    left, width, row_height, top = 150, 900, 26, 44
    height = top + row_height * len(rows) + 22
    canvas = _Canvas(width, height, "What ends when")

    def place(day: datetime) -> float:
        return left + (min(max(day, start), end) - start) / (end - start) * (width - left - 170)

    for tick in _months(start, end):
        canvas.line(place(tick), top - 8, place(tick), height - 16)
        canvas.text(place(tick), top - 14, f"{tick:%Y-%m}", colour=QUIET, size=10, anchor="middle")
    for number, row in enumerate(ordered):
        y = top + row_height * number
        x, colour = place(row.not_before), STATUS_COLOURS[row.status]
        canvas.text(left - 10, y + 14, _cut(row.label, 20), anchor="end", bold=row.label == "CA")
        canvas.box(x, y + 4, max(3, place(row.not_after) - x), 13, fill=colour, radius=3)
        tip = place(row.not_after)
        if row.not_after > end:
            canvas.shape(f"{tip + 9},{y + 10.5} {tip},{y + 4} {tip},{y + 17}", colour)
        words = f"{row.not_after:%Y-%m-%d}  {row.status}"
        canvas.text(tip + 14, y + 14, words, colour=colour, size=11)
    canvas.line(place(at), top - 8, place(at), height - 16, colour=INK, width=1.5)
    canvas.text(place(at), height - 5, f"seen on {at:%Y-%m-%d}", size=10, anchor="middle")
    return canvas.picture(
        "; ".join(f"{r.label} ends {r.not_after:%Y-%m-%d}: {r.status}" for r in rows)
    )


def _span(rows: Sequence[Due], at: datetime) -> tuple[datetime, datetime]:
    """From the first day to a little past the last server's, so that the CA does not flatten it."""
    servers = [row.not_after for row in rows if row.label != "CA"] or [r.not_after for r in rows]
    start = min([at, *(row.not_before for row in rows)])
    last = max([at, *servers])
    return start, last + max((last - start) / 12, timedelta(days=1))


def _months(start: datetime, end: datetime) -> list[datetime]:
    """The first days of months, few enough to be read."""
    step = (end - start).days // 30 // 8 + 1
    months = [start.year * 12 + start.month + n * step for n in range(10)]
    days = [
        start.replace(year=m // 12, month=m % 12 + 1, day=1, hour=0, minute=0, second=0)
        for m in months
    ]
    return [day for day in days if start <= day <= end]


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"


def _printable(text: str) -> str:
    """Without characters that XML does not allow."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
