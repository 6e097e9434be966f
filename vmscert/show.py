"""What notebooks show: tables, pictures, small forms, and the stop sign.

The only module with IPython and ipywidgets; pandas and they load when they are first needed.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmscert.facts import DATA, facts
from vmscert.job import Stop
from vmscert.picture import Picture, site_map, timeline
from vmscert.site import Site
from vmscert.trust import Finding

_DEFAULT_FOLDER = "data/records/<site>"
_MOST_LISTED = 20  # computers named under the map
_MOST_FAILED = 3  # checks told in the line on which a notebook stops
_LEFT = 'style="text-align: left; vertical-align: top;'

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EncryptionSwitches",
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
        # Short texts stay on one line: a host name broken at its hyphen can't be read. In long ones
        # a key identifier may break, or the last column would be off the page.
        html = re.sub(r"<t([dh])>(?=[^<]{1,40}<)", f'<t\\1 {_LEFT} white-space: nowrap">', html)
        html = re.sub(r"<td>(?=[^<]*[0-9A-F]{30})", f'<td {_LEFT} overflow-wrap: anywhere">', html)
        return re.sub(r"<t([dh])>", f'<t\\1 {_LEFT} white-space: normal">', html)

    def __repr__(self) -> str:
        return self.empty if self.frame.empty else self.frame.to_string(index=False)


def table(
    rows: Iterable[Any], columns: Sequence[str] | None = None, empty: str = "Nothing."
) -> Table:
    """Show dataclasses or mappings as a table; `columns` chooses and orders."""
    import pandas as pd

    written = [{key: _written(value) for key, value in _items(row).items()} for row in rows]
    frame = pd.DataFrame(written, columns=list(columns) if columns else None)
    return Table(frame.fillna(""), empty)


def findings_table(findings: Iterable[Finding]) -> Table:
    """Show findings with their meaning and what to do about them."""
    return table(
        (
            {
                "where": finding.where,
                "rule": finding.code,
                "severity": finding.severity,
                "what was found": finding.detail,
                "meaning": finding.rule.meaning,
                "what to do": f"{finding.rule.remedy_text} ({finding.rule.remedy})",
            }
            for finding in findings
        ),
        empty="No finding.",
    )


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
        raise Stop(_line(failed))
    return Table(shown.frame.drop(columns="what to do", errors="ignore"), "Nothing to check.")


def _line(failed: Sequence[Any]) -> str:
    """What failed and what to do; the table above the line has all of it."""
    told = [f"not yet: {check.what}. {check.todo}" for check in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        told.append(f"and {len(failed) - _MOST_FAILED} more, in the table above")
    return " ".join("; ".join(told).split())


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

    def __str__(self) -> str:
        return f"Site: {self.site}; records in: {self.folder or _DEFAULT_FOLDER}"

    def _ipython_display_(self) -> None:
        display_with_words(self.form, self.form.children, lambda: {"text/plain": str(self)})


def choose_site(site: str, folder: str = "") -> SiteChoice:
    """Return a form to choose a site's table, set to the parameters of the notebook."""
    import ipywidgets as widgets

    show_errors_as_sentences()
    # As in the parameter cell, so that the two can be compared.
    tables = [f"data/sites/{path.name}" for path in sorted((DATA / "sites").glob("*.csv"))]
    names = [(Path(one).stem, one) for one in tables]
    if str(site) not in tables:
        names.append((str(site), str(site)))  # whole: its stem may be that of another table
    wide = {"description_width": "80px"}
    return SiteChoice(
        widgets.VBox(
            [
                widgets.Dropdown(options=names, value=str(site), description="Site", style=wide),
                widgets.Text(
                    value=str(folder),
                    placeholder=_DEFAULT_FOLDER,
                    description="Records in",
                    style=wide,
                ),
            ]
        )
    )


def show_errors_as_sentences() -> None:
    """In this notebook, an error of ours is the sentence it says, not thirty lines of Python."""
    from IPython.core.getipython import get_ipython

    def show(shell, kind, error, trace, tb_offset=None):
        lines = [f"{kind.__name__}: {error}"]
        shell._showtraceback(kind, error, lines)
        return lines

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((ValueError, OSError, RuntimeError), show)


@dataclass(frozen=True)
class EncryptionSwitches:
    """The three places of encryption as switches, with the map of what they encrypt."""

    site: Site
    form: Any

    @property
    def places(self) -> list[str]:
        """The places of encryption that are switched on."""
        rows = facts("xprotect/encryption-places")
        switched = zip(rows, self.form.children, strict=True)
        return [row["place"] for row, switch in switched if switch.value]

    def shown(self) -> dict[str, str]:
        """The map and who must trust the CA, for what is switched on."""
        bundle = site_map(self.site, places=self.places or ["none"])._repr_mimebundle_()
        words = _must_trust(self.site, self.places)
        return {
            "text/html": f"{bundle['text/html']}<p>{escape(words)}</p>",
            "text/plain": f"{bundle['text/plain']} {words}",
        }

    def _ipython_display_(self) -> None:
        display_with_words(self.form, self.form.children, self.shown)


def encryption_switches(site: Site) -> EncryptionSwitches:
    """Return the three places of encryption as switches, with the map of what they encrypt."""
    import ipywidgets as widgets

    switches = [
        widgets.Checkbox(
            value=True,
            description=f"{row['place']}: {row['between']} and {row['and']}",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        for row in facts("xprotect/encryption-places")
    ]
    return EncryptionSwitches(site, widgets.VBox(switches))


def display_with_words(form: Any, inputs: Iterable[Any], say: Callable[[], dict]) -> None:
    """Display a form, and below it what it says now: in exported HTML the form itself is blank."""
    from IPython.display import DisplayHandle, display

    # Without the widget's own text, which an exported page would print: VBox(children=(…
    display(form._repr_mimebundle_() | {"text/plain": ""}, raw=True)
    said = DisplayHandle()
    said.display(say(), raw=True)
    for one in inputs:
        one.observe(lambda _change: said.update(say(), raw=True), "value")


def _must_trust(site: Site, places: Sequence[str]) -> str:
    place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
    names = {c.client for c in site.connections if place_of[c.group] in places}
    if not names:
        return "Nothing is encrypted; nobody needs the CA."
    who = [host.name for host in site if host.name in names]
    listed = ", ".join(who[:_MOST_LISTED]) + (" …" if len(who) > _MOST_LISTED else "")
    return f"{len(who)} of {len(site)} computers lose contact unless they trust the CA: {listed}."


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
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(str, value)))  # else each kernel would order it differently
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
