"""A PowerShell script as its grammar sees it, and the style in which mistakes show."""

from collections.abc import Iterator
from functools import cache

import tree_sitter
import tree_sitter_powershell

from vmscert.facts import facts

# What a script may run that has no name: the deed of a step, a look, and the inventory beside it.
CALLS = {
    "& $Deed",
    "& $Look",
    "& $Looks[$Group]",
    "& $Test",
    "& $Script -ClockOffset $ClockOffset",
}


@cache
def tree(data: bytes) -> tree_sitter.Node:
    """The syntax tree of a script, without its BOM."""
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(data[3:].replace(b"\r\n", b"\n")).root_node


def offences(data: bytes) -> Iterator[str]:
    """Yield every breach of the style in which mistakes of a script show."""
    root = tree(data)
    known = {row["cmdlet"]: row["parameters"].split("|") for row in facts("windows/cmdlets")}
    known |= {text_of(f, "function_name"): parameters(f) for f in every(root, "function_statement")}
    if root.has_error:
        yield "syntax"
    for command in every(root, "command"):
        name = text_of(command, "command_name")
        if text(command).strip() in CALLS:
            continue
        if name not in known:
            yield f"unknown command {name or text(command)}"
        for parameter in set(given_parameters(command)) - set(known.get(name, ())):
            yield f"unknown parameter {parameter} of {name}"
    for node in every(root):
        lines = [n.start_point[0] for n in node.named_children if n.type != "comment"]
        together = node.type in {"program", "statement_list"} and len(lines) != len(set(lines))
        if together or node.type in {";", "&&", "||"}:
            yield "two statements in one line"
        if node.type == "expandable_string_literal":
            yield "variables in a text"


def every(node: tree_sitter.Node, kind: str = "") -> Iterator[tree_sitter.Node]:
    """Yield each node of a kind below this one."""
    for child in node.children:
        if kind in ("", child.type):
            yield child
        yield from every(child, kind)


def text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def text_of(node: tree_sitter.Node, kind: str) -> str:
    """The text of the first node of a kind below this one; nothing if there is none."""
    return next(map(text, every(node, kind)), "")


def given_parameters(command: tree_sitter.Node) -> list[str]:
    """The parameters of a command itself, without those of commands inside its arguments."""
    elements = [n for n in command.children if n.type == "command_elements"]
    own = [n for e in elements for n in e.children if n.type == "command_parameter"]
    return [text(parameter).lstrip("-") for parameter in own]


def parameters(function: tree_sitter.Node) -> list[str]:
    blocks = every(function, "param_block")
    return [text(name).lstrip("$") for block in blocks for name in every(block, "variable")]


def strings(data: bytes) -> list[str]:
    return [text(node) for node in every(tree(data), "verbatim_string_characters")]


def code(data: bytes) -> str:
    """The script around its inputs block."""
    before, _, rest = data.decode("utf-8-sig").partition("# inputs: begin\r\n")
    return before + rest.partition("\r\n# inputs: end\r\n")[2]
