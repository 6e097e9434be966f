"""The scripts that people run on Windows computers: templates of data/windows, filled in safely.

The kit changes no Windows computer itself: it fills in a script, and a person runs it there.
"""

import codecs
import re
import textwrap
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from vmscert.certificates.authority import LONGEST_COMMON_NAME, SERVER
from vmscert.facts import DATA, doubt, facts
from vmscert.names import is_address, parse_name

# Control, format (with the bidi signs), surrogate, line and paragraph separator: what hides text.
_HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_CURLY = "\u2018\u2019\u201a\u201b"  # PowerShell takes them for the straight single quote
_INPUTS = re.compile(r"(?<=^# inputs: begin\n).*?(?=^# inputs: end\n)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^# inputs: begin\n(.*?)# inputs: end\n", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^# part: ([a-z-]+)\n", re.MULTILINE)
_FACTS = re.compile(r"^# facts: (\w+) ([a-z/-]+) (\w+) (\w+)\n", re.MULTILINE)
_STEP = re.compile(r"^ *Invoke-Step -In '([\w|]+)' -Name '([a-z-]+)' ", re.MULTILINE)
_LITERAL = r"'(?:[^']|'')*'"
_INPUT = re.compile(rf"\$([A-Za-z]\w*) = (?:({_LITERAL})|@\(((?:{_LITERAL}(?:, {_LITERAL})*)?)\))")


def quote(text: str) -> str:
    """Return the text as a PowerShell literal in single quotes, in which nothing is special.

    ValueError for characters that end such a literal unseen, or that hide what it says.
    """
    refuse_hiding(text)
    if curly := set(text) & set(_CURLY):
        raise ValueError(
            f"{text!r} can't go into a script: PowerShell takes {curly.pop()!r} for a quote. "
            "Type the straight ' instead"
        )
    return "'" + text.replace("'", "''") + "'"


def script(name: str, steps: Sequence[str] = (), /, **inputs: str | Sequence[str]) -> bytes:
    """Return data/windows/<name>.ps1 with these steps and inputs, ready to be carried to Windows.

    `steps` are names of data/windows/steps.csv, the inputs texts or lists of texts under the names
    that template and steps give them; ValueError for wrong or unsafe ones. UTF-8 with BOM and CRLF:
    Windows PowerShell 5.1 reads a file without BOM in the code page of the computer.
    """
    template = _assembled(name, tuple(steps))
    wanted = _read_inputs(template)
    if _kinds(inputs) != _kinds(wanted):
        raise ValueError(f"{name}.ps1 takes {_described(wanted)}, not {_described(inputs)}")
    block = ""
    for key in wanted:
        value = inputs[key]
        several = f"@({', '.join(map(quote, value))})"
        block += f"${key} = {quote(value) if isinstance(value, str) else several}\n"
    text = _INPUTS.sub(lambda _: block, template, count=1)
    return codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode()


def steps_for(name: str, kinds: Collection[str]) -> list[dict[str, str]]:
    """Return the rows of data/windows/steps.csv that a script has for these kinds of computers."""
    rows = (row for row in facts("windows/steps") if name in row["script"].split("|"))
    return [row for row in rows if row["kind"] in kinds]


def script_takes(name: str, steps: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the inputs that a script with these steps takes."""
    return tuple(_read_inputs(_assembled(name, tuple(steps))))


def script_steps(data: bytes) -> list[tuple[str, str]]:
    """Return (phase, step) of every step that a filled script runs, in its order."""
    return _STEP.findall(_text(data))


def script_inputs(data: bytes) -> dict[str, str | list[str]]:
    """Return the inputs of a script as PowerShell reads them; ValueError for no or odd inputs."""
    return _read_inputs(_text(data))


def refuse_hiding(text: str) -> str:
    """Return a text; ValueError where a character hides what it says."""
    if text.isascii() and text.isprintable():
        return text
    hiding = next((c for c in text if unicodedata.category(c) in _HIDING), None)
    if hiding is not None:
        raise ValueError(f"{text!r} holds the invisible character U+{ord(hiding):04X}: remove it")
    return text


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("The script is not UTF-8: make it again") from None


@cache
def _assembled(name: str, steps: tuple[str, ...]) -> str:
    """A template with its steps, and with each part and each input that these need, once."""
    rows = {row["step"]: row for row in facts("windows/steps")}
    ordered = sorted(steps, key=lambda step: rows[step]["phase"] != "Check")
    text = _read(name).replace("# steps\n", _read("steps"))
    text = text.replace("# steps: functions\n", "\n".join(_read(f"steps/{one}") for one in steps))
    run = ""
    for row in map(rows.__getitem__, ordered):
        (deed,) = re.findall(r"^function (Step-\w+)", _read(f"steps/{row['step']}"), re.MULTILINE)
        run += f"Invoke-Step -In {quote(row['phase'])} -Name {quote(row['step'])}"
        run += f" -Deed {{ {deed} }} -Remedy {quote(row['remedy'])}\n"
    text = text.replace("    # steps: run\n", textwrap.indent(run, "    "))
    # The inputs of all steps stand in the first block, and the other blocks go.
    first, *rest = _BLOCK.split(_with_facts(_with_parts(text)))  # text, inputs, text … text
    lines = dict.fromkeys(line for block in rest[::2] for line in block.split("\n")[:-1])
    block = "\n".join(["# inputs: begin", *lines, "# inputs: end", ""])
    return first + block + "".join(rest[1::2])


def _with_parts(text: str) -> str:
    """Put each part where it is named first, with the parts that it names itself."""
    seen: set[str] = set()

    def fill(part: re.Match) -> str:
        if part[1] in seen:
            return ""
        seen.add(part[1])
        return _PART.sub(fill, _read(f"parts/{part[1]}")) + "\n"

    return re.sub(r"\n{3,}", "\n\n", _PART.sub(fill, text))


def _with_facts(text: str) -> str:
    """Write a table of data/ as a hashtable where a part asks for it, each source once."""
    told: set[str] = set()

    def fill(asked: re.Match) -> str:
        name, table, key, value = asked.groups()
        rows = [row for row in facts(table) if row[value]]
        sources = dict.fromkeys(one for row in rows for one in row["source"].split("|"))
        said = "".join(f"# {source}\n" for source in sources if source not in told)
        told.update(sources)
        pairs = ((quote(row[key]), quote(row[value] + doubt(row["tag"]))) for row in rows)
        lines = "".join(f"    {left} = {right}\n" for left, right in pairs)
        return f"{said}${name} = @{{\n{lines}}}\n"

    return _FACTS.sub(fill, text)


@cache
def _read(name: str) -> str:
    return (DATA / "windows" / f"{name}.ps1").read_text(encoding="utf-8-sig")


def _kinds(inputs: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    return {k: "text" if isinstance(value, str) else "list" for k, value in inputs.items()}


def _described(inputs: Mapping[str, str | Sequence[str]]) -> str:
    return ", ".join(f"{k} ({kind})" for k, kind in _kinds(inputs).items()) or "no inputs"


def _read_inputs(text: str) -> dict[str, str | list[str]]:
    block = _INPUTS.search(text)
    if block is None:
        raise ValueError("The script has no inputs block: make it again")
    inputs: dict[str, str | list[str]] = {}
    for line in block[0].split("\n")[:-1]:
        found = _INPUT.fullmatch(line)
        if found is None:
            raise ValueError(
                f"The line {line!r} is not an input of a script: make the script again"
            )
        literals = re.findall(_LITERAL, found[2] or found[3])
        values = [literal[1:-1].replace("''", "'") for literal in literals]
        for text in values:
            quote(text)  # a curly quote would end the literal earlier for PowerShell than for us
        inputs[found[1]] = values[0] if found[2] else values
    return inputs


def request_inf(names: tuple[str, ...]) -> bytes:
    """Return request.inf for `certreq -new`: an RSA key of the machine, and these names as text.

    The first that fits becomes the common name; ValueError for a name that is none. Keys of the
    file: https://learn.microsoft.com/windows-server/administration/windows-commands/certreq_1
    """
    checked = [str(parse_name(name)) for name in names]
    fitting = (n for n in checked if len(n) <= LONGEST_COMMON_NAME and not is_address(n))
    if not (common := next(fitting, "")):
        raise ValueError(f"A request needs a host name, not only {', '.join(checked) or 'nothing'}")
    text = (DATA / "windows" / "request.inf").read_text(encoding="ascii")
    text = text.replace("<common name>", common).replace("<bits>", str(SERVER.key_bits))
    pairs = (f"{'ipaddress' if is_address(name) else 'dns'}={name}" for name in checked)
    lines = '&"\n_continue_ = "'.join(pairs)
    text = text.replace("<names>", f'_continue_ = "{lines}"')
    return text.replace("\n", "\r\n").encode("ascii")


def wanted_names(inf: bytes) -> tuple[str, ...]:
    """Return the names that a request.inf of ours asks for."""
    return tuple(re.findall(r'^_continue_ = "\w+=([^"&]+)&?"', inf.decode("ascii"), re.MULTILINE))
