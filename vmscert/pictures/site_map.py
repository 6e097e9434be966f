"""The map of a site: who signs, who trusts, where they meet. The same site gives the same bytes."""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, cycle

from vmscert.facts import facts
from vmscert.findings import OF_THE_CLIENT, Finding
from vmscert.pictures.canvas import WIDTH, Canvas, Picture, count, fit, pixels, worst
from vmscert.site.site import Host, Site

_SPARE = ("#5b4b9a", "#0f6674", "#3d5a1e", "#6d3b6d")  # for groups that the table gives no colour
_MOST_COLUMNS = 7  # single servers in the map; more are drawn by kind
_MOST_NAMES = 3  # names in one label; more are counted
_MOST_CALLERS, _MOST_CALLED = 8, 3  # drawn apart when single links are broken; more are counted
_LEFT, _TOP, _PILL, _LINE = 250, 150, 38, 20  # pixels: left of and above the cells; of one port

# (client, server) → the worst severity there; without a server of what the client trusts, without
# a client of what the server presents.
_Marks = Mapping[tuple[str, str], str]


def group_colours() -> dict[str, str]:
    """Return each certificate group's colour, as the table of groups has it, or one of its own."""
    spare = cycle(_SPARE)
    return {r["group"]: r["colour"] or next(spare) for r in facts("xprotect/certificate-groups")}


def site_map(
    site: Site, *, findings: Iterable[Finding] = (), places: Sequence[str] = ()
) -> Picture:
    """Draw who signs, who trusts, and where they meet.

    The CA signs for the columns and is trusted by the rows; a pill in a cell is a port on which
    the row's computers call the column's server, coloured by certificate group. Findings colour
    what they concern; where only some links of a cell are broken, the cell says how many.
    `places` are the places of encryption to show; all when empty.
    """
    found, colours = list(findings), group_colours()
    marks: dict[tuple[str, str], str] = defaultdict(str)
    for one in found:
        client, arrow, server = one.where.partition(" → ")
        there = (client, server) if arrow or one.code in OF_THE_CLIENT else ("", client)
        marks[there] = worst((marks[there], one.severity))
    grid = _Grid(site, marks, places)
    signs = [(group, colour, 6) for group, colour in colours.items()]
    signs += [("refused", "bad", 2), ("dubious", "dubious", 2)]
    width = max(grid.width, 700, 40 + sum(34 + pixels(words, 11) for words, _, _ in signs))
    canvas = Canvas(f"Who signs, who trusts: {site.name}", grid.height, width)
    servers, clients = count(site.servers, "server"), count(site.clients, "computer")
    _draw_ca(canvas, servers, clients, grid)
    for number, hosts in enumerate(grid.columns):
        _draw_server(canvas, hosts, grid, grid.x(number))
    for y, hosts in zip(grid.tops, grid.rows, strict=False):
        _draw_client(canvas, hosts, grid, y)
    for (column, row), cell in grid.cells.items():
        _draw_cell(canvas, cell, grid, column, row, colours)
    x, y = 40, grid.height - 22
    for words, colour, radius in signs:
        canvas.box(x, y - 9, 12, 12, fill=colour, radius=radius)
        canvas.text(x + 17, y + 1, words, colour="quiet", size=11)
        x += 34 + pixels(words, 11)
    bad = sum(finding.severity == "bad" for finding in found)
    told = f"{bad or 'no'} finding{'' if bad == 1 else 's'} that make clients refuse"
    met = f"{servers} and is trusted by {clients}, over {count(site.connections, 'connection')}"
    return canvas.picture(f"Map of {site.name}: one CA signs for {met}; {told}.")


@dataclass
class _Cell:
    """Where the computers of one row call those of one column."""

    ports: dict[int, str] = field(default_factory=dict)  # port → certificate group
    links: set[tuple[str, str]] = field(default_factory=set)  # (client, server)
    state: str = ""
    note: str = ""  # how many links are broken, when not all are


class _Grid:
    """What stands where."""

    def __init__(self, site: Site, marks: _Marks, places: Sequence[str]) -> None:
        broken = [link for link in marks if all(link)]
        callers, called = {client for client, _ in broken}, {server for _, server in broken}
        apart = called if len(called) <= _MOST_CALLED else set()
        if len(site.servers) <= _MOST_COLUMNS:
            apart = {host.name for host in site.servers}
        self.marks, self.columns = marks, _grouped(site.servers, marks, apart)
        apart = apart | callers if len(callers) <= _MOST_CALLERS else apart
        self.rows = _grouped((*site.clients, *site.phones), marks, apart)
        self.cells = self._cells(site, places)
        self.column_width = max(90, min(180, (WIDTH - _LEFT - 20) / max(1, len(self.columns))))
        heights = [34.0] * len(self.rows)
        for (_, row), cell in self.cells.items():
            heights[row] = max(heights[row], 14 + self.tall(cell))
        self.tops = list(accumulate(heights, initial=_TOP))  # of each row, and where the last ends
        self.width, self.height = self.x(len(self.columns)) + 20, self.tops[-1] + 62

    def _cells(self, site: Site, places: Sequence[str]) -> dict[tuple[int, int], _Cell]:
        column_of = {host.name: n for n, hosts in enumerate(self.columns) for host in hosts}
        row_of = {host.name: n for n, hosts in enumerate(self.rows) for host in hosts}
        place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
        cells: dict[tuple[int, int], _Cell] = defaultdict(_Cell)
        for c in site.connections:
            if not places or place_of[c.group] in places:
                cell = cells[column_of[c.server], row_of[c.client]]
                cell.ports[c.port] = c.group
                cell.links.add((c.client, c.server))
        # A cell is coloured for what its computers hold, or for its broken links, counted.
        for (column, row), cell in cells.items():
            broken = cell.links & self.marks.keys()
            held = [(host.name, "") for host in self.rows[row]]
            held += [("", host.name) for host in self.columns[column]]
            cell.state = worst(self.marks.get(key, "") for key in held)
            if broken and cell.state != "bad":
                if not cell.state and len(broken) < len(cell.links):
                    cell.note = f"{len(broken)} of {len(cell.links)}"
                cell.state = worst((cell.state, *(self.marks[link] for link in broken)))
        return cells

    def x(self, column: float) -> float:
        return _LEFT + self.column_width * column

    def lines(self, cell: _Cell) -> list[list[tuple[int, str]]]:
        """The ports of a cell, as many in a line as fit."""
        ports, most = sorted(cell.ports.items()), int((self.column_width - 8) // _PILL)
        return [ports[n : n + most] for n in range(0, len(ports), most)]

    def tall(self, cell: _Cell) -> int:
        return _LINE * len(self.lines(cell)) + (10 if cell.note else 0)

    def colour(self, hosts: Iterable[Host], healthy: str) -> str:
        """That of the worst of what these computers trust and present."""
        keys = (key for host in hosts for key in ((host.name, ""), ("", host.name)))
        return worst(self.marks.get(key, "") for key in keys) or healthy


def _grouped(hosts: Sequence[Host], marks: _Marks, apart: set[str]) -> list[list[Host]]:
    """Those who do the same and stand the same together; those named in `apart` alone."""
    groups: dict[object, list[Host]] = {}
    for host in hosts:
        state = marks.get((host.name, "")), marks.get(("", host.name))
        same = (frozenset(host.roles), host.ports, state)
        groups.setdefault(host.name if host.name in apart else same, []).append(host)
    return list(groups.values())


def _draw_ca(canvas: Canvas, servers: str, clients: str, grid: _Grid) -> None:
    canvas.box(18, 18, 166, 48, fill="ink", radius=8)
    canvas.text(30, 39, "Certificate authority", colour="paper", bold=True)
    canvas.text(30, 56, "ca.cer goes to every row", colour="#c9d3dc", size=11)
    right, bottom = grid.width - 20, grid.height - 52
    canvas.line(184, 42, right - 6, 42, colour="ink", width=1.5)
    canvas.shape(f"{right},42 {right - 8},38 {right - 8},46", "ink")
    canvas.text(_LEFT, 34, f"signs for {servers}", colour="quiet")
    canvas.line(28, 66, 28, bottom - 6, colour="ink", width=1.5)
    canvas.shape(f"28,{bottom} 24,{bottom - 8} 32,{bottom - 8}", "ink")
    canvas.text(40, _TOP - 14, f"trusted by {clients}", colour="quiet")


def _draw_server(canvas: Canvas, hosts: Sequence[Host], grid: _Grid, x: float) -> None:
    width, stroke = grid.column_width, grid.colour(hosts, "line")
    middle = x + width / 2
    canvas.box(x + 4, 58, width - 8, _TOP - 66, fill="#f3f6f8", stroke=stroke)
    words = fit(_label(hosts), width - 14, bold=True)
    canvas.text(middle, 78, words, anchor="middle", bold=True)
    # A long role takes two lines; what does not fit into three is told by three dots. Phones know a
    # server by a name of its own.
    letters = int((width - 12) / 5.9)
    public = hosts[0].aliases if len(hosts) == 1 and hosts[0].meets_phones else ()
    lines = [line for name in (*hosts[0].roles, *public) for line in textwrap.wrap(name, letters)]
    lines = lines if len(lines) <= 3 else [*lines[:2], f"{lines[2]} …"]
    for line, words in enumerate(lines):
        canvas.text(middle, 96 + 15 * line, words, colour="quiet", size=10, anchor="middle")


def _draw_client(canvas: Canvas, hosts: Sequence[Host], grid: _Grid, y: float) -> None:
    room, names = _LEFT - 44 - 6, ", ".join(host.name for host in hosts)
    canvas.line(40, y, grid.width - 16, y)
    listed = len(hosts) <= _MOST_NAMES and pixels(names, 12, bold=True) <= room
    words = fit(names if listed else _label(hosts), room, bold=True)
    canvas.text(44, y + 15, words, bold=True, colour=grid.colour(hosts, "ink"))
    roles = textwrap.shorten(", ".join(hosts[0].roles), 34, placeholder=" …")
    canvas.text(44, y + 28, roles, colour="quiet", size=10)


def _draw_cell(
    canvas: Canvas, cell: _Cell, grid: _Grid, column: int, row: int, colours: Mapping[str, str]
) -> None:
    # Square where something is wrong: nobody needs to tell the colours apart.
    middle, radius = grid.x(column + 0.5), 2 if cell.state else 9
    y = (grid.tops[row] + grid.tops[row + 1] - grid.tall(cell) + _LINE) / 2
    for line in grid.lines(cell):
        left = middle - _PILL * len(line) / 2
        for port, group in line:
            fill, x = cell.state or colours[group], left + _PILL / 2
            canvas.box(left + 1, y - 9, _PILL - 2, 18, fill=fill, radius=radius)
            canvas.text(x, y + 3.5, str(port), colour="paper", size=9.5, anchor="middle")
            left += _PILL
        y += _LINE
    if cell.note:
        canvas.text(middle, y - 1, cell.note, colour=cell.state, size=10, anchor="middle")


def _label(hosts: Sequence[Host]) -> str:
    return hosts[0].name if len(hosts) == 1 else f"{len(hosts)} computers"
