"""The parameters of a runbook: what they mean, what stands for them, and who has to say them.

They are `data/change/parameters.csv`. The notebook's own cell says the same, for people to fill in.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vmscert.facts import facts

_KINDS = {"text": str, "path": str, "number": int, "yes or no": bool}
_WANTED = {"text": "a text", "path": "a path", "number": "a number", "yes or no": "yes or no"}
_SAID = {"yes": True, "true": True, "no": False, "false": False, "": None}


def parameters(runbook: str) -> dict[str, dict[str, str]]:
    """Return name → row of the table, for each parameter of a runbook, in the notebook's order."""
    number, rows = runbook[:2], facts("change/parameters")
    return {row["name"]: row for row in rows if number in (row["runbooks"] or number).split("|")}


def usual_parameters(runbook: str) -> dict[str, object]:
    """Return name → what stands for each parameter of a runbook that nobody sets."""
    return {n: _value(row["kind"], row["default"]) for n, row in parameters(runbook).items()}


def parameter_cell(runbook: str, values: Mapping[str, object]) -> str:
    """Return the cell of a runbook's parameters, with these values in place of what stands there.

    ValueError for one that the runbook does not have, or of another type.
    """
    rows, usual, lines = parameters(runbook), usual_parameters(runbook), []
    if unknown := values.keys() - rows.keys():
        named = ", ".join(sorted(unknown))
        raise ValueError(f"The notebook has no parameter {named}: it has {', '.join(rows)}")
    for name, row in rows.items():
        kind, value = _KINDS[row["kind"]], usual[name]
        note = kind.__name__ if value is not None else f"{kind.__name__} | None"
        if name in values:
            value = values[name]
            if type(value) is not kind:
                raise ValueError(f"Parameter {name} is {_WANTED[row['kind']]}, not {value!r}")
        written = repr(value) if not isinstance(value, str) else _quoted(value)
        lines.append(f"{name}: {note} = {written}  # {row['meaning']}")
    return "\n".join(lines)


def read_settings(runbook: str, settings: Iterable[str]) -> dict[str, object]:
    """Return name → value of texts such as `DAYS=90`; relative paths count from here."""
    rows, found = parameters(runbook), dict[str, object]()
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name not in rows:
            raise ValueError(f"--set {text}: write NAME=VALUE with one of {', '.join(rows)}")
        kind = rows[name]["kind"]
        try:
            found[name] = _value(kind, value)
        except (ValueError, KeyError):
            raise ValueError(f"--set {text}: {name} is {_WANTED[kind]}") from None
        if kind == "path" and value:
            found[name] = str(Path(value).resolve())
    return found


def example(runbook: str, name: str) -> object:
    """Return what a rehearsal takes for a parameter that only a person can know."""
    row = parameters(runbook)[name]
    return _value(row["kind"], row["example"])


def _value(kind: str, text: str) -> object:
    if kind == "yes or no":
        return _SAID[text.lower()]
    return _KINDS[kind](text)


def _quoted(text: str) -> str:
    """The text as Python writes it, in double quotes where that is as short."""
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)
