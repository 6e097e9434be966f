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
from typing import Any

from vmscert.changes.job import Stop
from vmscert.facts import DATA, facts
from vmscert.findings import Finding
from vmscert.names import shown
from vmscert.pictures.site_map import site_map
from vmscert.site.site import Site

_MOST_LISTED = 20  # computers named under the map
_MOST_FAILED = 3  # checks told in the line on which a notebook stops

Columns = Sequence[str] | Mapping[str, str | Callable[[Any], Any]] | None
Marks = Mapping[str, str] | None


class Shown(dict[str, str]):
    """Something to look at, media type → text, as a notebook or a form shows it."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return dict(self)

    def __repr__(self) -> str:
        return self["text/plain"]


def stack(*parts: Any, between: str = "\n") -> Shown:
    """Put pictures, tables and sentences one below the other."""
    bundles = [_bundle(part) for part in parts]
    plain = between.join(one["text/plain"] for one in bundles)
    return Shown({"text/html": "".join(one["text/html"] for one in bundles), "text/plain": plain})


def _bundle(part: Any) -> dict[str, str]:
    if hasattr(part, "_repr_mimebundle_"):
        return part._repr_mimebundle_()
    text = str(part)
    html = part._repr_html_() if hasattr(part, "_repr_html_") else f"<p>{escape(text)}</p>"
    return {"text/html": html, "text/plain": text}


def table(
    rows: Iterable[Any], columns: Columns = None, empty: str = "Nothing.", marks: Marks = None
) -> Shown:
    """Show dataclasses or mappings as a table with every word in full.

    `columns` chooses and orders; with titles, it is title → the name of a field or property, or
    what makes a cell of a row. `marks` is text → HTML, for a cell that says just that text.
    """
    import pandas as pd

    def cells(row: Any) -> Mapping[str, Any]:
        if not isinstance(columns, Mapping):
            return row if isinstance(row, Mapping) else asdict(row)
        get = row.__getitem__ if isinstance(row, Mapping) else partial(getattr, row)
        makers = columns.items()
        return {title: get(of) if isinstance(of, str) else of(row) for title, of in makers}

    written = [{title: _written(value) for title, value in cells(row).items()} for row in rows]
    frame = pd.DataFrame(written, columns=list(columns) if columns else None).fillna("")
    if frame.empty:
        return Shown({"text/html": f"<p>{empty}</p>", "text/plain": empty})
    head = _row("th", frame.columns, {}, ' style="text-align: right;"')
    body = "\n".join(_row("td", one, marks or {}) for one in frame.to_numpy())
    html = f"  <thead>\n{head}\n  </thead>\n  <tbody>\n{body}\n  </tbody>"
    html = f'<table class="dataframe">\n{html}\n</table>'
    return Shown({"text/html": html, "text/plain": frame.to_string(index=False)})


def _row(tag: str, cells: Iterable[str], marks: Mapping[str, str], style: str = "") -> str:
    # Styles stand in each cell: JupyterLab takes a <style> out of a notebook it does not trust yet.
    # Short texts stay on one line: a host name broken at its hyphen can't be read. In long ones a
    # key identifier may break, or the last column would be off the page.
    lines = [f"    <tr{style}>"]
    for cell in cells:
        text, flow = escape(str(cell), quote=False), "white-space: normal"
        if 0 < len(text) <= 40:
            flow = "white-space: nowrap"
        elif tag == "td" and re.search("[0-9A-F]{30}", text):
            flow = "overflow-wrap: anywhere"
        look = f"text-align: left; vertical-align: top; {flow}"
        lines.append(f'      <{tag} style="{look}">{marks.get(cell, text)}</{tag}>')
    return "\n".join([*lines, "    </tr>"])


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, set | frozenset):
        value = sorted(map(str, value))  # else each kernel would order it differently
    if isinstance(value, list | tuple):
        return shown(", ".join(map(str, value)))
    return "" if value is None else shown(str(value))


def findings_table(findings: Iterable[Finding]) -> Shown:
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


def require(checks: Iterable[Any]) -> Shown:
    """Show the checks if all of them hold; otherwise show them and stop the notebook.

    A check has `.what` (what should hold), `.ok`, and `.todo` (what to do when it does not).
    """
    checks = list(checks)
    columns: Mapping[str, str] = {"expected": "what", "holds": "ok"}
    failed = [check for check in checks if not check.ok]
    if not failed:
        return table(checks, columns, "Nothing to check.")
    from IPython.display import display

    display(table(checks, {**columns, "what to do": "todo"}))
    told = [f"not yet: {check.what}. {check.todo}" for check in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        told.append(f"and {len(failed) - _MOST_FAILED} more, in the table above")
    raise Stop(" ".join("; ".join(told).split()))


@dataclass(frozen=True)
class Form:
    """Controls, and below them what they say: in exported HTML they are blank, and it is there.

    `tell` makes something to look at of what stands in the controls now. `acts` is control → what
    is done when it is pressed or changed, before all is told anew; without it, that is nothing.
    """

    form: Any
    tell: Callable[[], Any]
    acts: Mapping[Any, Callable[[], Any]] | None = None

    def shown(self) -> dict[str, str]:
        """What stands below the controls now, media type → text."""
        return _bundle(self.tell())

    def after(self, act: Callable[[], Any] = lambda: None) -> dict[str, str]:
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
        parts = getattr(self.form, "children", [self.form])
        acts = dict.fromkeys(parts, lambda: None) if self.acts is None else self.acts
        for control, act in acts.items():
            listen = getattr(control, "on_click", None) or partial(control.observe, names="value")
            listen(lambda _event, act=act: said.update(self.after(act), raw=True))


class SiteChoice(Form):
    """A small form that says the same as the parameter cell; read `.site` and `.folder`."""

    @property
    def site(self) -> str:
        """The chosen table's path."""
        return self.form.children[0].value

    @property
    def folder(self) -> str:
        """The folder of the site's records; empty for the default."""
        return self.form.children[1].value.strip()


def choose_site(site: str, folder: str = "") -> SiteChoice:
    """Return a form to choose a site's table, set to the parameters of the notebook."""
    import ipywidgets as widgets

    show_errors_as_sentences()
    # As in the parameter cell, so that the two can be compared.
    tables = [f"data/sites/{path.name}" for path in sorted((DATA / "sites").glob("*.csv"))]
    names = [(Path(one).stem, one) for one in tables]
    if site not in tables:
        names.append((site, site))  # whole: its stem may be that of another table
    wide, usual = {"description_width": "80px"}, "data/records/<site>"
    sites = widgets.Dropdown(options=names, value=site, description="Site", style=wide)
    records = widgets.Text(folder, placeholder=usual, description="Records in", style=wide)

    def told() -> Shown:
        where = f"Site: {choice.site}; records in: {choice.folder or usual}"
        return Shown({"text/plain": where})

    choice = SiteChoice(widgets.VBox([sites, records]), told)
    return choice


def show_errors_as_sentences() -> None:
    """In this notebook, an error of ours is the sentence it says, not thirty lines of Python."""
    from IPython.core.getipython import get_ipython

    def show(shell, kind, error, trace, tb_offset=None):
        lines = [f"{kind.__name__}: {error}"]
        shell._showtraceback(kind, error, lines)
        return lines

    if shell := get_ipython():
        shell.set_custom_exc((ValueError, OSError, RuntimeError), show)


def encryption_switches(site: Site) -> Form:
    """Return the three places of encryption as switches, with the map of what they encrypt.

    Below the map stands who must trust the CA, for what is switched on.
    """
    import ipywidgets as widgets

    places = facts("xprotect/encryption-places")
    place_of = {row["group"]: row["place"] for row in facts("xprotect/certificate-groups")}
    names = [f"{row['place']}: {row['between']} and {row['and']}" for row in places]
    wide = widgets.Layout(width="auto")
    switches = [widgets.Checkbox(True, description=n, indent=False, layout=wide) for n in names]

    def told() -> Shown:
        on = [r["place"] for r, one in zip(places, switches, strict=True) if one.value]
        callers = {c.client for c in site.connections if place_of[c.group] in on}
        who = [host.name for host in site if host.name in callers]
        listed = ", ".join(who[:_MOST_LISTED]) + (" …" if len(who) > _MOST_LISTED else "")
        many = f"{len(who)} of {len(site)} computers"
        words = f"{many} lose contact unless they trust the CA: {listed}."
        words = words if who else "Nothing is encrypted; nobody needs the CA."
        return stack(site_map(site, places=on or ["none"]), words, between=" ")

    return Form(widgets.VBox(switches), told)
