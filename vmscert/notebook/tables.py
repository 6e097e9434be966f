"""What notebooks show: tables, the stop sign, and forms with what they say below.

pandas, IPython and ipywidgets load when they are first needed.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmscert.changes.job import Stop
from vmscert.facts import DATA, facts
from vmscert.findings import Finding
from vmscert.pictures.site_map import site_map
from vmscert.site.site import Site

_DEFAULT_FOLDER = "data/records/<site>"
_MOST_LISTED = 20  # computers named under the map
_MOST_FAILED = 3  # checks told in the line on which a notebook stops

if TYPE_CHECKING:
    import pandas as pd

Columns = Sequence[str] | Mapping[str, str | Callable[[Any], Any]]


class Shown(dict[str, str]):
    """Something to look at, media type → text, as a notebook or a form shows it."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return dict(self)

    def __repr__(self) -> str:
        return self["text/plain"]


def stack(*parts: Any, between: str = "\n") -> Shown:
    """Put pictures, tables and sentences one below the other."""
    bundles = [_bundle(part) for part in parts]
    html = "".join(one["text/html"] for one in bundles)
    return Shown(
        {"text/html": html, "text/plain": between.join(one["text/plain"] for one in bundles)}
    )


def _bundle(part: Any) -> dict[str, str]:
    if hasattr(part, "_repr_mimebundle_"):
        return part._repr_mimebundle_()
    text = str(part)
    html = part._repr_html_() if hasattr(part, "_repr_html_") else f"<p>{escape(text)}</p>"
    return {"text/html": html, "text/plain": text}


@dataclass(frozen=True)
class Table:
    """Rows to look at, with every word in full; `.frame` is the pandas DataFrame behind them.

    `marks` is text → the HTML that a cell which says just that has instead. Styles stand in each
    cell: JupyterLab takes a <style> out of a notebook that it does not trust yet.
    """

    frame: "pd.DataFrame"
    empty: str = "Nothing."
    marks: Mapping[str, str] | None = None

    def _repr_html_(self) -> str:
        if self.frame.empty:
            return f"<p>{self.empty}</p>"
        head = _row("th", self.frame.columns, {}).replace("<tr>", '<tr style="text-align: right;">')
        body = "\n".join(_row("td", cells, self.marks or {}) for cells in self.frame.to_numpy())
        return (
            f'<table class="dataframe">\n  <thead>\n{head}\n  </thead>\n'
            f"  <tbody>\n{body}\n  </tbody>\n</table>"
        )

    def __repr__(self) -> str:
        return self.empty if self.frame.empty else self.frame.to_string(index=False)


def _row(tag: str, cells: Iterable[str], marks: Mapping[str, str]) -> str:
    lines = [_cell(tag, escape(str(one), quote=False), marks.get(one, "")) for one in cells]
    return "\n".join(["    <tr>", *lines, "    </tr>"])


def _cell(tag: str, text: str, mark: str) -> str:
    # Short texts stay on one line: a host name broken at its hyphen can't be read. In long ones a
    # key identifier may break, or the last column would be off the page.
    flow = "white-space: normal"
    if 0 < len(text) <= 40:
        flow = "white-space: nowrap"
    elif tag == "td" and re.search("[0-9A-F]{30}", text):
        flow = "overflow-wrap: anywhere"
    style = f"text-align: left; vertical-align: top; {flow}"
    return f'      <{tag} style="{style}">{mark or text}</{tag}>'


def table(
    rows: Iterable[Any],
    columns: Columns | None = None,
    empty: str = "Nothing.",
    marks: Mapping[str, str] | None = None,
) -> Table:
    """Show dataclasses or mappings as a table; `columns` chooses and orders.

    With titles, it is title → the name of a field or property, or what makes a cell of a row.
    """
    import pandas as pd

    def cells(row: Any) -> Mapping[str, Any]:
        if not isinstance(columns, Mapping):
            return row if isinstance(row, Mapping) else asdict(row)
        get = row.__getitem__ if isinstance(row, Mapping) else partial(getattr, row)
        makers = columns.items()
        return {title: get(of) if isinstance(of, str) else of(row) for title, of in makers}

    written = [{title: _written(value) for title, value in cells(row).items()} for row in rows]
    frame = pd.DataFrame(written, columns=list(columns) if columns else None)
    return Table(frame.fillna(""), empty, marks)


def findings_table(findings: Iterable[Finding]) -> Table:
    """Show findings with their meaning and what to do about them."""
    columns = {
        "where": "where",
        "rule": "code",
        "severity": "severity",
        "what was found": "detail",
        "meaning": lambda one: one.rule.meaning,
        "what to do": lambda one: f"{one.rule.remedy_text} ({one.rule.remedy})",
    }
    return table(findings, columns, "No finding.")


def require(checks: Iterable[Any]) -> Table:
    """Show the checks if all of them hold; otherwise show them and stop the notebook.

    A check has `.what` (what should hold), `.ok`, and `.todo` (what to do when it does not).
    """
    checks = list(checks)
    columns: Columns = {"expected": "what", "holds": "ok"}
    failed = [check for check in checks if not check.ok]
    if not failed:
        return table(checks, columns, "Nothing to check.")
    from IPython.display import display

    display(table(checks, {**columns, "what to do": "todo"}))
    told = [f"not yet: {check.what}. {check.todo}" for check in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        told.append(f"and {len(failed) - _MOST_FAILED} more, in the table above")
    raise Stop(" ".join("; ".join(told).split()))


class Form:
    """Controls, and below them what they say: in exported HTML they are blank, and it is there.

    A form has its controls in `.form`, and says what is `shown()` for them.
    """

    form: Any

    def shown(self) -> dict[str, str]:
        """What stands below the controls now, media type → text."""
        raise NotImplementedError

    def acts(self) -> Mapping[Any, Callable[[], Any]]:
        """Each control → what is done when it is pressed or changed, before all is shown anew."""
        return dict.fromkeys(getattr(self.form, "children", [self.form]), lambda: None)

    def after(self, act: Callable[[], Any]) -> dict[str, str]:
        """What to show after an act: what is to be seen now, or the sentence why nothing is."""
        try:
            act()
            return self.shown()
        except (ValueError, OSError) as error:
            return stack(error)

    def _ipython_display_(self) -> None:
        from IPython.display import DisplayHandle, display

        if self.form is not None:
            # Without the widget's own text, which an exported page would print: VBox(children=(…
            display(self.form._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        said = DisplayHandle()
        said.display(self.shown(), raw=True)
        for control, act in self.acts().items():
            listen = getattr(control, "on_click", None) or partial(control.observe, names="value")
            listen(lambda _event, act=act: said.update(self.after(act), raw=True))


@dataclass(frozen=True)
class SiteChoice(Form):
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

    def shown(self) -> dict[str, str]:
        """The site and the folder that are chosen now."""
        chosen = f"Site: {self.site}; records in: {self.folder or _DEFAULT_FOLDER}"
        return {"text/plain": chosen}


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
    sites = widgets.Dropdown(options=names, value=str(site), description="Site", style=wide)
    records = widgets.Text(
        value=str(folder), placeholder=_DEFAULT_FOLDER, description="Records in", style=wide
    )
    return SiteChoice(widgets.VBox([sites, records]))


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
class EncryptionSwitches(Form):
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
        place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
        names = {c.client for c in self.site.connections if place_of[c.group] in self.places}
        who = [host.name for host in self.site if host.name in names]
        listed = ", ".join(who[:_MOST_LISTED]) + (" …" if len(who) > _MOST_LISTED else "")
        many = f"{len(who)} of {len(self.site)} computers"
        words = f"{many} lose contact unless they trust the CA: {listed}."
        return stack(
            site_map(self.site, places=self.places or ["none"]),
            words if who else "Nothing is encrypted; nobody needs the CA.",
            between=" ",
        )


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
