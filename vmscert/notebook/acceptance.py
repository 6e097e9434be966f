"""The sheet to tick after the handshakes, as a form: what people looked at, and who they are."""

from dataclasses import replace
from html import escape

from vmscert.changes.acceptance import NO, YES, Tick, keep_sheet, sheet_of
from vmscert.changes.job import Job
from vmscert.notebook.tables import Form, Shown, stack, table

_COLUMNS = ("no", "on", "do", "when", "right", "who", "remark")
_SAYS = {"not looked at": "", "right": YES, "not right": NO}


def acceptance_form(job: Job) -> Form:
    """Return a line for each look; what is chosen there is kept at once, with the name above."""
    import ipywidgets as widgets

    found = sheet_of(job)
    folder = f"{job.folder}/acceptance"
    who = widgets.Text(placeholder="your name or initials, first", description="Who looks")
    button = widgets.Button(description="Keep", icon="check")
    line = widgets.Layout(width="100%")

    def row(one: Tick) -> widgets.HBox:
        told = f"<b>{one.no} · {escape(one.on)}:</b> {escape(one.do)}. <i>{escape(one.when)}</i>"
        says = widgets.Dropdown(
            options=[*_SAYS.items()], value=one.right, layout=widgets.Layout(width="130px")
        )
        remark = widgets.Text(one.remark, placeholder="remark")
        return widgets.HBox([says, remark, widgets.HTML(told)], layout=line)

    rows = [row(one) for one in found.ticks]

    def keep() -> None:
        ticks = []
        for one, shown in zip(sheet_of(job).ticks, rows, strict=True):
            says, remark, _ = shown.children
            new = replace(one, right=says.value, remark=remark.value.strip())
            # Whoever changes a look has made it; what others said before stays theirs.
            ticks.append(replace(new, who=who.value.strip()) if new != one else one)
        if any(one.right and not one.who for one in ticks):
            raise ValueError("Nobody says who looked: write your name or initials above")
        keep_sheet(job, replace(found, ticks=tuple(ticks)))

    def shown() -> Shown:
        filled = sheet_of(job)
        where = f"To print: {folder}/{filled.number}.html; to fill in a spreadsheet: .csv beside it"
        ticked = [one for one in filled.ticks if one.right]
        return stack(filled.outcome(), where, table(ticked, _COLUMNS, "Nothing is ticked yet."))

    return Form(widgets.VBox([who, *rows, button]), shown, {button: keep})
