"""What notebooks show: tables, pictures, small forms, and the stop sign.

The only module with IPython and ipywidgets; pandas and they load when they are first needed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmscert.facts import DATA, facts
from vmscert.picture import Picture, site_map, timeline
from vmscert.site import Site
from vmscert.trust import Finding

_LEFT = 'style="text-align: left; vertical-align: top;'

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Picture",
    "SiteChoice",
    "Stop",
    "Table",
    "choose_site",
    "encryption_switches",
    "findings_table",
    "require",
    "site_map",
    "table",
    "timeline",
]


@dataclass(frozen=True)
class Table:
    """Rows to look at, with every word in full; `.frame` is the pandas DataFrame behind them."""

    frame: "pd.DataFrame"
    empty: str = "Nothing."

    def _repr_html_(self) -> str:
        if self.frame.empty:
            return f"<p>{self.empty}</p>"
        html = self.frame.to_html(index=False, border=0)
        # Short texts stay on one line: a host name broken at its hyphen can't be read.
        html = re.sub(r"<t([dh])>(?=[^<]{1,40}<)", f'<t\\1 {_LEFT} white-space: nowrap">', html)
        return re.sub(r"<t([dh])>", f'<t\\1 {_LEFT} white-space: normal">', html)

    def __repr__(self) -> str:
        return self.empty if self.frame.empty else self.frame.to_string(index=False)


def table(
    rows: Iterable[Any], columns: Sequence[str] | None = None, empty: str = "Nothing."
) -> Table:
    """Show dataclasses or mappings as a table; `columns` chooses and orders."""
    import pandas as pd

    # Whole words everywhere: a name that ends in "..." can't be compared.
    pd.set_option("display.max_colwidth", None)
    written = [{key: _written(value) for key, value in _items(row).items()} for row in rows]
    frame = pd.DataFrame(written, columns=list(columns) if columns else None)
    return Table(frame, empty)


def findings_table(findings: Iterable[Finding]) -> Table:
    """Show findings with their meaning and what to do about them."""
    return table(
        (
            {
                "where": finding.where,
                "rule": finding.code,
                "severity": finding.severity,
                "what was found": finding.detail,
                "what to do": f"{finding.rule.remedy_text} ({finding.rule.remedy})",
            }
            for finding in findings
        ),
        empty="No finding.",
    )


class Stop(Exception):  # noqa: N818 - what people read in red is this name
    """A check failed: the notebook stops here, with one line that says what to do."""

    def _render_traceback_(self) -> list[str]:
        return [f"Stop: {self}"]


def require(checks: Iterable[Any]) -> Table:
    """Show the checks if all of them hold; otherwise show them and stop the notebook.

    A check has `.what` (what should hold), `.ok`, and `.todo` (what to do when it does not).
    """
    checks = list(checks)
    shown = table({"expected": c.what, "holds": c.ok, "what to do": c.todo} for c in checks)
    failed = [check for check in checks if not check.ok]
    if failed:
        from IPython.display import display

        display(shown)
        raise Stop("; ".join(f"not yet: {check.what}. {check.todo}" for check in failed))
    return Table(shown.frame.drop(columns="what to do", errors="ignore"))


@dataclass(frozen=True)
class SiteChoice:
    """A small form that says the same as the parameter cell; read `.site` and `.folder`."""

    form: Any

    @property
    def site(self) -> str:
        """The chosen table's path."""
        return self.form.children[0].value

    @property
    def folder(self) -> str:
        """The folder of the site's records; empty for the default."""
        return self.form.children[1].value.strip()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.form)


def choose_site(site: str, folder: str = "") -> SiteChoice:
    """Return a form to choose a site's table, set to the parameters of the notebook."""
    import ipywidgets as widgets

    _show_errors_as_sentences()
    # As in the parameter cell, so that the two can be compared.
    tables = [f"data/sites/{path.name}" for path in sorted((DATA / "sites").glob("*.csv"))]
    if str(site) not in tables:
        tables.append(str(site))
    names = [(Path(one).stem, one) for one in tables]
    wide = {"description_width": "80px"}
    return SiteChoice(
        widgets.VBox(
            [
                widgets.Dropdown(options=names, value=str(site), description="Site", style=wide),
                widgets.Text(
                    value=str(folder),
                    placeholder="data/records/<site>",
                    description="Records in",
                    style=wide,
                ),
            ]
        )
    )


def _show_errors_as_sentences() -> None:
    """In this notebook, an error of ours is the sentence it says, not thirty lines of Python."""
    from IPython.core.getipython import get_ipython

    def show(shell, kind, error, trace, tb_offset=None):
        lines = [f"{kind.__name__}: {error}"]
        shell._showtraceback(kind, error, lines)
        return lines

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((ValueError, OSError, RuntimeError), show)


def encryption_switches(site: Site) -> Any:
    """Return the three places of encryption as switches, with the map of what they encrypt."""
    import ipywidgets as widgets

    rows = facts("xprotect/encryption-places")
    switches = {
        row["place"]: widgets.Checkbox(
            value=True,
            description=f"{row['place']}: {row['between']} and {row['and']}",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        for row in rows
    }
    shown = widgets.HTML()

    def redraw(_change: object = None) -> None:
        on = [place for place, switch in switches.items() if switch.value]
        drawn = site_map(site, places=on or ["none"])
        shown.value = drawn._repr_mimebundle_()["text/html"] + _must_trust(site, on)

    for switch in switches.values():
        switch.observe(redraw, "value")
    redraw()
    return widgets.VBox([*switches.values(), shown])


def _must_trust(site: Site, places: Sequence[str]) -> str:
    place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
    names = {c.client for c in site.connections if place_of[c.group] in places}
    return (
        f"<p>{len(names)} of {len(site)} computers lose contact unless they trust the CA.</p>"
        if names
        else "<p>Nothing is encrypted; nobody needs the CA.</p>"
    )


def _items(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    return asdict(row)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    return str(value)
