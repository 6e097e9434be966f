"""Pictures as SVG text: the map of a site, and the timeline of expiry.

Pure: the same input gives the same bytes. Host names are other people's input; ElementTree escapes
them.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from vmscert.drawing import (
    BAD,
    DUBIOUS,
    INK,
    LINE,
    PAPER,
    QUIET,
    WIDTH,
    Canvas,
    Picture,
    count,
    fit,
    pixels,
)
from vmscert.expiry import Due
from vmscert.facts import facts
from vmscert.site import Host, Site
from vmscert.trust import OF_THE_CLIENT, Finding

# One for each certificate group in the table's order. White text on each has a contrast of 4.5 or
# more (WCAG 2.2, 1.4.3), and none comes near the two alarms, also for the colour-blind.
GROUP_COLOURS = ("#0072b2", "#00805e", "#a8327d", "#4b5563")
STATUS_COLOURS = {
    "ok": "#2e7d5b",
    "plan": "#0072b2",
    "warning": DUBIOUS,
    "critical": BAD,
    "expired": "#7a1c1c",
    "replaced": QUIET,
}
_MOST_COLUMNS = 7  # single servers in the map; more are drawn by kind
_MOST_NAMES = 3  # names in one label; more are counted
_MOST_CALLERS, _MOST_CALLED = 8, 3  # drawn apart when single links are broken; more are counted
_MOST_BARS = 40  # in the timeline; the rest ends later and is counted


# The map: who signs (columns), who trusts (rows), where they meet (ports)

_LEFT, _TOP, _PILL, _LINE = 250, 150, 38, 20  # pixels: left of and above the cells; of one port


def site_map(
    site: Site, *, findings: Iterable[Finding] = (), places: Sequence[str] = ()
) -> Picture:
    """Draw who signs, who trusts, and where they meet.

    The CA signs for the columns and is trusted by the rows; a pill in a cell is a port on which
    the row's computers call the column's server, coloured by certificate group. Findings colour
    what they concern; where only some links of a cell are broken, the cell says how many.
    `places` are the places of encryption to show; all when empty.
    """
    found = list(findings)
    grid = _grid(site, _marks(found), places)
    canvas = Canvas(max(grid.width, 700), grid.height, f"Who signs, who trusts: {site.name}")
    _draw_ca(canvas, site, grid)
    for number, hosts in enumerate(grid.columns):
        _draw_server(canvas, hosts, grid, number)
    for number, hosts in enumerate(grid.rows):
        _draw_client(canvas, hosts, grid, number)
    for (column, row), cell in grid.cells.items():
        _draw_cell(canvas, cell, grid, column, row)
    _draw_legend(canvas, 40, grid.height - 22)
    bad = sum(finding.severity == "bad" for finding in found)
    return canvas.picture(
        f"Map of {site.name}: one CA signs for {count(site.servers, 'server')} and is trusted by "
        f"{count(site.clients, 'computer')}, over {count(site.connections, 'connection')}; "
        f"{bad or 'no'} finding{'' if bad == 1 else 's'} that make clients refuse."
    )


@dataclass(frozen=True)
class _Marks:
    """The worst severity that findings give: to computers by name, to (client, server) links."""

    callers: dict[str, str] = field(default_factory=dict)  # what they trust is wrong
    called: dict[str, str] = field(default_factory=dict)  # what they present is wrong
    links: dict[tuple[str, str], str] = field(default_factory=dict)

    def of(self, hosts: Iterable[Host]) -> str:
        both = (self.callers, self.called)
        return _worst(marks.get(host.name, "") for host in hosts for marks in both)


def _marks(findings: Iterable[Finding]) -> _Marks:
    marks = _Marks()
    for finding in findings:
        client, arrow, server = finding.where.partition(" → ")
        if arrow:
            _mark(marks.links, (client, server), finding.severity)
        elif finding.code in OF_THE_CLIENT:
            _mark(marks.callers, finding.where, finding.severity)
        else:
            _mark(marks.called, finding.where, finding.severity)
    return marks


def _mark(marks: dict, key: object, severity: str) -> None:
    marks[key] = _worst((marks.get(key, ""), severity))


@dataclass
class _Cell:
    """Where the computers of one row call those of one column."""

    ports: dict[int, str] = field(default_factory=dict)  # port → certificate group
    links: set[tuple[str, str]] = field(default_factory=set)  # (client, server)
    state: str = ""
    note: str = ""  # how many links are broken, when not all are


@dataclass(frozen=True)
class _Grid:
    """What stands where."""

    columns: list[list[Host]]
    rows: list[list[Host]]
    cells: dict[tuple[int, int], _Cell]
    marks: _Marks

    @property
    def column_width(self) -> float:
        return max(90, min(180, (WIDTH - _LEFT - 20) / max(1, len(self.columns))))

    @property
    def width(self) -> float:
        return _LEFT + self.column_width * len(self.columns) + 20

    @property
    def height(self) -> float:
        return self.y(len(self.rows)) + 62

    @property
    def ports_in_line(self) -> int:
        return int((self.column_width - 8) // _PILL)

    def x(self, column: float) -> float:
        return _LEFT + self.column_width * column

    def y(self, row: int) -> float:
        return _TOP + sum(self.row_heights[:row])

    @cached_property
    def row_heights(self) -> list[float]:
        heights = [34.0] * len(self.rows)
        for (_, row), cell in self.cells.items():
            lines = -(-len(cell.ports) // self.ports_in_line)
            heights[row] = max(heights[row], 14 + _LINE * lines + (10 if cell.note else 0))
        return heights


def _grid(site: Site, marks: _Marks, places: Sequence[str]) -> _Grid:
    by_kind = len(site.servers) > _MOST_COLUMNS
    callers = _if_few({client for client, _ in marks.links}, _MOST_CALLERS)
    called = _if_few({server for _, server in marks.links}, _MOST_CALLED)
    single = set() if by_kind else {host.name for host in site.servers}
    columns = _grouped(site.servers, marks, called | single)
    rows = _grouped(site.clients, marks, callers | single | (called if by_kind else set()))
    return _Grid(columns, rows, _cells(site, columns, rows, places, marks), marks)


def _if_few(names: set[str], most: int) -> set[str]:
    return names if len(names) <= most else set()


def _grouped(hosts: Sequence[Host], marks: _Marks, apart: set[str]) -> list[list[Host]]:
    """Those who do the same and stand the same together; those named in `apart` alone."""
    groups: dict[object, list[Host]] = {}
    for host in hosts:
        state = marks.callers.get(host.name), marks.called.get(host.name)
        same = (frozenset(host.roles), host.ports, state)
        groups.setdefault(host.name if host.name in apart else same, []).append(host)
    return list(groups.values())


def _cells(site, columns, rows, places, marks) -> dict[tuple[int, int], _Cell]:
    column_of = {host.name: n for n, hosts in enumerate(columns) for host in hosts}
    row_of = {host.name: n for n, hosts in enumerate(rows) for host in hosts}
    place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
    cells: dict[tuple[int, int], _Cell] = {}
    for c in site.connections:
        if not places or place_of[c.group] in places:
            cell = cells.setdefault((column_of[c.server], row_of[c.client]), _Cell())
            cell.ports[c.port] = c.group
            cell.links.add((c.client, c.server))
    for (column, row), cell in cells.items():
        _judge(cell, columns[column], rows[row], marks)
    return cells


def _judge(cell: _Cell, servers: list[Host], clients: list[Host], marks: _Marks) -> None:
    """Colour all of a cell for what its computers hold, or for its broken links, counted."""
    broken = cell.links & marks.links.keys()
    cell.state = _worst(
        (
            *(marks.callers.get(host.name, "") for host in clients),
            *(marks.called.get(host.name, "") for host in servers),
        )
    )
    if broken and cell.state != "bad":
        if not cell.state and len(broken) < len(cell.links):
            cell.note = f"{len(broken)} of {len(cell.links)}"
        cell.state = _worst((cell.state, *(marks.links[link] for link in broken)))


def _draw_ca(canvas, site, grid) -> None:
    canvas.box(18, 18, 166, 48, fill=INK, radius=8)
    canvas.text(30, 39, "Certificate authority", colour=PAPER, bold=True)
    canvas.text(30, 56, "ca.cer goes to every row", colour="#c9d3dc", size=11)
    middle, arrow = 42, grid.width - 20
    canvas.line(184, middle, arrow - 6, middle, colour=INK, width=1.5)
    canvas.shape(f"{arrow},{middle} {arrow - 8},{middle - 4} {arrow - 8},{middle + 4}", INK)
    canvas.text(_LEFT, middle - 8, f"signs for {count(site.servers, 'server')}", colour=QUIET)
    bottom = grid.height - 52
    canvas.line(28, 66, 28, bottom - 6, colour=INK, width=1.5)
    canvas.shape(f"28,{bottom} 24,{bottom - 8} 32,{bottom - 8}", INK)
    words = f"trusted by {count(site.clients, 'computer')}"
    canvas.text(40, _TOP - 14, words, colour=QUIET)


def _draw_server(canvas, hosts, grid, number) -> None:
    width, x = grid.column_width, grid.x(number)
    colour = _colour(grid.marks.of(hosts), LINE)
    canvas.box(x + 4, 58, width - 8, _TOP - 66, fill="#f3f6f8", stroke=colour)
    words = fit(_label(hosts), width - 14, bold=True)
    canvas.text(x + width / 2, 78, words, anchor="middle", bold=True)
    for line, words in enumerate(_role_lines(hosts[0].roles, int((width - 12) / 5.9))):
        canvas.text(x + width / 2, 96 + 15 * line, words, colour=QUIET, size=10, anchor="middle")


def _draw_client(canvas, hosts, grid, number) -> None:
    y, room = grid.y(number), _LEFT - 44 - 6
    canvas.line(40, y, grid.width - 16, y)
    names = ", ".join(host.name for host in hosts)
    listed = len(hosts) <= _MOST_NAMES and pixels(names, 12, bold=True) <= room
    words = fit(names if listed else _label(hosts), room, bold=True)
    canvas.text(44, y + 15, words, bold=True, colour=_colour(grid.marks.of(hosts), INK))
    roles = textwrap.shorten(", ".join(hosts[0].roles), 34, placeholder=" …")
    canvas.text(44, y + 28, roles, colour=QUIET, size=10)


def _draw_cell(canvas, cell: _Cell, grid, column, row) -> None:
    ports, middle = sorted(cell.ports.items()), grid.x(column + 0.5)
    lines = [ports[n : n + grid.ports_in_line] for n in range(0, len(ports), grid.ports_in_line)]
    tall = _LINE * len(lines) + (10 if cell.note else 0)
    y = grid.y(row) + (grid.row_heights[row] - tall + _LINE) / 2
    for number, line in enumerate(lines):
        _draw_ports(canvas, line, middle, y + _LINE * number, cell.state)
    if cell.note:
        colour, y = _colour(cell.state, QUIET), y + _LINE * len(lines)
        canvas.text(middle, y - 1, cell.note, colour=colour, size=10, anchor="middle")


def _draw_ports(canvas, ports: Sequence[tuple[int, str]], middle, y, state) -> None:
    start = middle - _PILL * len(ports) / 2
    for number, (port, group) in enumerate(ports):
        colour, left = _colour(state, _group_colours()[group]), start + _PILL * number
        # Square where something is wrong: nobody needs to tell the colours apart.
        canvas.box(left + 1, y - 9, _PILL - 2, 18, fill=colour, radius=2 if state else 9)
        words = str(port)
        canvas.text(left + _PILL / 2, y + 3.5, words, colour=PAPER, size=9.5, anchor="middle")


def _draw_legend(canvas, x, y) -> None:
    signs = [(group, colour, 6) for group, colour in _group_colours().items()]
    for words, colour, radius in (*signs, ("refused", BAD, 2), ("dubious", DUBIOUS, 2)):
        canvas.box(x, y - 9, 12, 12, fill=colour, radius=radius)
        canvas.text(x + 17, y + 1, words, colour=QUIET, size=11)
        x += 34 + pixels(words, 11)


def _worst(severities: Iterable[str]) -> str:
    known = set(severities) - {""}
    return "bad" if "bad" in known else "dubious" if known else ""


def _colour(state: str, otherwise: str) -> str:
    return {"bad": BAD, "dubious": DUBIOUS}.get(state, otherwise)


def _group_colours() -> dict[str, str]:
    groups = [row["group"] for row in facts("xprotect/certificate-groups")]
    return dict(zip(groups, GROUP_COLOURS, strict=True))


def _label(hosts: Sequence[Host]) -> str:
    return hosts[0].name if len(hosts) == 1 else f"{len(hosts)} computers"


def _role_lines(roles: Iterable[str], letters: int, most: int = 3) -> list[str]:
    """The roles, a long one on two lines; what does not fit is told by three dots."""
    lines = [line for role in roles for line in textwrap.wrap(role, letters)]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} …"]


# The timeline


def timeline(rows: Sequence[Due], at: datetime) -> Picture:
    """Draw one bar for each certificate from its first day to its last, and the day `at`.

    The CA stands on top, then what ends soonest. The axis covers the servers' lives; a bar that
    goes on, as the CA's does, ends in an arrow.
    """
    ordered = sorted(rows, key=lambda row: (row.label != "CA", row.not_after))
    shown, rest = ordered[:_MOST_BARS], ordered[_MOST_BARS:]
    axis = _Axis(*_span(ordered, at))
    bottom = _FIRST_BAR + _BAR * (len(shown) + bool(rest))
    canvas = Canvas(WIDTH, bottom + 22, "What ends when")
    for tick in _months(axis.start, axis.end):
        x = axis.x(tick)
        canvas.line(x, _FIRST_BAR - 8, x, bottom + 6)
        canvas.text(x, _FIRST_BAR - 14, f"{tick:%Y-%m}", colour=QUIET, size=10, anchor="middle")
    for number, row in enumerate(shown):
        _draw_bar(canvas, row, axis, _FIRST_BAR + _BAR * number)
    _draw_rest(canvas, rest, bottom - 12)
    canvas.line(axis.x(at), _FIRST_BAR - 8, axis.x(at), bottom + 6, colour=INK, width=1.5)
    canvas.text(axis.x(at), bottom + 17, f"seen on {at:%Y-%m-%d}", size=10, anchor="middle")
    told = [f"{row.label} ends {row.not_after:%Y-%m-%d}: {row.status}" for row in shown]
    more = [f"and {len(rest)} more"] if rest else []
    return canvas.picture("; ".join(told + more) or "No certificate.")


_FIRST_BAR, _BAR = 44, 26  # pixels: the top of the first bar, and from one to the next
_BARS_FROM, _BARS_TO = 170, 730  # pixels: names stand at the left of it, dates at the right


@dataclass(frozen=True)
class _Axis:
    start: datetime
    end: datetime

    def x(self, day: datetime) -> float:
        share = (min(max(day, self.start), self.end) - self.start) / (self.end - self.start)
        return _BARS_FROM + share * (_BARS_TO - _BARS_FROM)


def _draw_bar(canvas, row: Due, axis: _Axis, y: float) -> None:
    x, tip, colour = axis.x(row.not_before), axis.x(row.not_after), STATUS_COLOURS[row.status]
    bold = row.label == "CA"
    label = fit(row.label, _BARS_FROM - 24, bold=bold)
    canvas.text(_BARS_FROM - 10, y + 14, label, anchor="end", bold=bold)
    canvas.box(x, y + 4, max(3, tip - x), 13, fill=colour, radius=3)
    if row.not_after > axis.end:
        canvas.shape(f"{tip + 9},{y + 10.5} {tip},{y + 4} {tip},{y + 17}", colour)
    words = f"{row.not_after:%Y-%m-%d}  {row.status}"
    canvas.text(_BARS_TO + 22, y + 14, words, colour=colour, size=11)


def _draw_rest(canvas, rows: Sequence[Due], y: float) -> None:
    if rows:
        canvas.text(_BARS_FROM - 10, y, f"and {len(rows)} more", colour=QUIET, anchor="end")
        words = f"from {rows[0].not_after:%Y-%m-%d} on"
        canvas.text(_BARS_TO + 22, y, words, colour=QUIET, size=11)


def _span(rows: Sequence[Due], at: datetime) -> tuple[datetime, datetime]:
    """From the first day to a little past the last server's, so that the CA does not flatten it."""
    servers = [row.not_after for row in rows if row.label != "CA"] or [r.not_after for r in rows]
    start = min([at, *(row.not_before for row in rows)])
    last = max([at, *servers])
    return start, last + max((last - start) / 12, timedelta(days=1))


def _months(start: datetime, end: datetime) -> list[datetime]:
    """The first days of months, few enough to be read; a year that is cut begins in January."""
    wanted = (end - start).days / 30 / 8
    step = next((n for n in (1, 2, 3, 4, 6, 12, 24, 60) if n >= wanted), 120)
    first = (start.year * 12 + start.month - 1) // step * step
    months = [first + n * step for n in range(12)]
    days = [
        start.replace(year=m // 12, month=m % 12 + 1, day=1, hour=0, minute=0, second=0)
        for m in months
    ]
    return [day for day in days if start <= day <= end]
