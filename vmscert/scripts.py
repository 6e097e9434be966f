"""The scripts that people run on Windows computers: templates of data/windows, filled in safely.

The kit changes no Windows computer itself: it fills in a script, and a person runs it there.
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

from vmscert.facts import DATA

# Control, format (with the bidi signs), surrogate, line and paragraph separator: what hides text.
_HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_CURLY = "\u2018\u2019\u201a\u201b"  # PowerShell takes them for the straight single quote
_INPUTS = re.compile(r"(?<=^# inputs: begin\n).*?(?=^# inputs: end\n)", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^# part: ([a-z-]+)\n", re.MULTILINE)
_LITERAL = r"'(?:[^']|'')*'"
_INPUT = re.compile(rf"\$([A-Za-z]\w*) = (?:({_LITERAL})|@\(((?:{_LITERAL}(?:, {_LITERAL})*)?)\))")


def quote(text: str) -> str:
    """Return the text as a PowerShell literal in single quotes, in which nothing is special.

    Raises ValueError for characters that end such a literal unseen, or that hide what it says.
    """
    refuse_hiding(text)
    if curly := set(text) & set(_CURLY):
        raise ValueError(
            f"{text!r} can't go into a script: PowerShell takes {curly.pop()!r} for a quote. "
            "Type the straight ' instead"
        )
    return "'" + text.replace("'", "''") + "'"


def script(name: str, **inputs: str | Sequence[str]) -> bytes:
    """Return data/windows/<name>.ps1 with its inputs filled in, ready to be carried to Windows.

    The inputs are texts, or lists of texts, with the names that the template gives them. Only its
    inputs block changes. UTF-8 with BOM and CRLF, because Windows PowerShell 5.1 reads a file
    without BOM in the code page of the computer. Raises ValueError for wrong or unsafe inputs.
    """
    template = _template(name)
    wanted = _read_inputs(template)
    if {key: isinstance(value, str) for key, value in inputs.items()} != {
        key: isinstance(value, str) for key, value in wanted.items()
    }:
        raise ValueError(f"{name}.ps1 takes {_described(wanted)}, not {_described(inputs)}")
    block = "".join(f"${key} = {_literal(inputs[key])}\n" for key in wanted)
    text = _INPUTS.sub(lambda _: block, template, count=1)
    return codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode()


def script_inputs(data: bytes) -> dict[str, str | list[str]]:
    """Return the inputs of a filled script, exactly as PowerShell would read them.

    Raises ValueError where the inputs block is missing or holds more than literals.
    """
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("The script is not UTF-8: make it again") from None
    return _read_inputs(text)


def refuse_hiding(text: str) -> None:
    """Raise ValueError for a text with a character that hides what it says."""
    hiding = next((c for c in text if unicodedata.category(c) in _HIDING), None)
    if hiding is not None:
        raise ValueError(f"{text!r} holds the invisible character U+{ord(hiding):04X}: remove it")


@cache
def _template(name: str) -> str:
    folder = DATA / "windows"
    text = (folder / f"{name}.ps1").read_text(encoding="utf-8-sig")
    return _PART.sub(
        lambda part: (folder / "parts" / f"{part[1]}.ps1").read_text(encoding="utf-8-sig"), text
    )


def _literal(value: str | Sequence[str]) -> str:
    return quote(value) if isinstance(value, str) else "@(" + ", ".join(map(quote, value)) + ")"


def _described(inputs: Mapping[str, str | Sequence[str]]) -> str:
    names = (f"{k} ({'text' if isinstance(v, str) else 'list'})" for k, v in inputs.items())
    return ", ".join(names) or "no inputs"


def _read_inputs(text: str) -> dict[str, str | list[str]]:
    block = _INPUTS.search(text)
    if block is None:
        raise ValueError("The script has no inputs block: make it again")
    return dict(map(_read_input, block[0].split("\n")[:-1]))


def _read_input(line: str) -> tuple[str, str | list[str]]:
    found = _INPUT.fullmatch(line)
    if found is None:
        raise ValueError(f"The line {line!r} is not an input of a script: make the script again")
    values = [_unquoted(literal) for literal in re.findall(_LITERAL, found[2] or found[3])]
    return found[1], values[0] if found[2] else values


def _unquoted(literal: str) -> str:
    text = literal[1:-1].replace("''", "'")
    quote(text)  # a curly quote would end the literal earlier for PowerShell than for us
    return text
