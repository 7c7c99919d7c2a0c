"""Writing: from the plain data of a picture to DOT, the language of Graphviz.

Labels are small tables.  An operation's first row is its call, with a dot for each tensor that goes
in, and the edges end at these dots: x - y and y - x are different pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from itertools import chain, count

from .graph import Box, Graph, Node, Numbers

INFIX = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "power": "**", "matmul": "@"}
LONGEST = 40  # characters of a name that are shown; its tooltip has it in full
DEEPEST = 12  # levels of indentation, lest deeply nested boxes make the text quadratically long

# Control characters, line and paragraph separators, surrogates, and what is no character at all.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

# Kinds differ by shape and not by colour alone.  The fills are light tints of a colour-blind-safe
# palette (Okabe & Ito 2008): black text stays readable on them, in print too.
STYLES = {
    "operation": 'shape=box style="rounded,filled" fillcolor="#ffffff"',
    "parameter": 'shape=cylinder margin="0.08,0.08" style=filled fillcolor="#fde7c2"',
    "input": 'shape=ellipse margin="0,0" style=filled fillcolor="#d6ebf8"',
    "constant": 'shape=note style=filled fillcolor="#e4e4e4"',
}
BOX_FILLS = "#f4f6f8", "#fcfdfe"  # by turns, from the outermost inwards

HEADER = """\
digraph {
  graph [fontname=Helvetica fontsize=11 labeljust=l nodesep=0.2 ranksep=0.35]
  node [fontname=Helvetica fontsize=10 margin="0.06,0.03" color="#444444"]
  edge [color="#444444" arrowsize=0.6]
"""
TABLE = '<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="1">'
SPRING = '<TD COLSPAN="99"></TD>'  # takes the room that a table in a wider one has too much


def write(graph: Graph) -> str:
    """The DOT text of a graph: the same for the same program, byte for byte."""
    return "".join(chain([HEADER], statements(graph), edges(graph), ["}\n"]))


def statements(graph: Graph) -> Iterator[str]:
    """The nodes in their boxes, each box where its first node stands."""
    contents: dict[Box | None, list[Node | Box]] = {None: []}
    for node in graph.nodes:
        item: Node | Box = node
        box = node.box
        while box is not None and box not in contents:
            contents[box] = [item]
            item, box = box, box.parent
        contents[box].append(item)
    numbers = count(1)
    opened = [iter(contents[None])]  # not recursion: nobody says how deep boxes may nest
    while opened:
        indent = "  " * min(len(opened), DEEPEST)
        here = next(opened[-1], None)
        if isinstance(here, Node):
            yield f"{indent}n{here.number} [{attributes(here)}]\n"
        elif isinstance(here, Box):
            name = " · ".join(filter(None, here.names))
            fill = BOX_FILLS[(len(opened) - 1) % 2]
            yield (
                f"{indent}subgraph cluster_{next(numbers)} {{\n"
                f'{indent}  label={label(name)} tooltip="{escaped(name)}"\n'
                f'{indent}  style="rounded,filled" color="#8a8a8a" fillcolor="{fill}"\n'
            )
            opened.append(iter(contents[here]))
        else:
            opened.pop()
            if opened:
                yield "  " * min(len(opened), DEEPEST) + "}\n"


def edges(graph: Graph) -> Iterator[str]:
    """One edge for each use of a node as an input."""
    for node in graph.nodes:
        for i, x in enumerate(node.inputs):
            if isinstance(x, Node):
                yield f"  n{x.number} -> n{node.number}:i{i}:n\n"


# --- Labels --------------------------------------------------------------------------------------


def attributes(node: Node) -> str:
    """All that is said of a node."""
    rows = [call(node) if node.operation else leaf(node)]
    if node.operation and node.name:
        rows.append(row("name", bold(node.name)))
    rows.append(row("shape", f"{node.shape} {node.dtype}"))
    value = described(node.value, node.dtype) + " (replaced since)" * node.replaced
    rows += [row("value", value), row("grad", described(node.gradient, node.dtype))]
    extra = tooltip(node.name or "") + " peripheries=2" * node.result
    lines = "".join("\n    " + line for line in rows)
    return f"{STYLES[node.kind]}{extra} label=<{TABLE}{lines}</TABLE>>"


def leaf(node: Node) -> str:
    """What kind of leaf it is, and its name."""
    name = f" {bold(node.name)}" if node.name else ""
    return f'<TR><TD COLSPAN="2" ALIGN="LEFT">{node.kind}{name}</TD></TR>'


def call(node: Node) -> str:
    """The operation and its arguments: numbers as they are, and a port for each tensor."""
    separator = f" {INFIX[node.operation]} " if node.operation in INFIX else ", "
    cells = [f"<TD><B>{escaped(node.operation)}</B>&#160;&#160;</TD>"]
    text = ""
    for i, x in enumerate(node.inputs):
        text += separator if i else ""
        if isinstance(x, Node):
            cells += [f"<TD>{text}</TD>"] * bool(text) + [f'<TD PORT="i{i}">•</TD>']
            text = ""
        else:
            text += escaped(x)
    for key, value in node.options:
        if value not in ("None", "False"):  # what NumPy does anyway
            text += f", {escaped(key)}={shown(value)}"
    cells += [f"<TD>{text}</TD>"] * bool(text)
    return f'<TR><TD COLSPAN="2">{TABLE}<TR>{"".join(cells)}{SPRING}</TR></TABLE></TD></TR>'


def row(key: str, value: str) -> str:
    """One line of a node, below its title."""
    return (
        f'<TR><TD ALIGN="LEFT"><FONT COLOR="#555555">{key}&#160;</FONT></TD>'
        f'<TD ALIGN="LEFT">{value}</TD></TR>'
    )


def described(numbers: Numbers | None, dtype: str) -> str:
    """A scalar exactly, an array as mean ± sd and norm."""
    if numbers is None:
        return "–"
    if numbers.exact is not None:
        return numbers.exact
    if dtype == "bool":
        return f"{numbers.mean:.0%} true"
    return f"{short(numbers.mean)} ± {short(numbers.sd)}, norm {short(numbers.norm)}"


def short(x: float) -> str:
    """Three significant digits: 0.125, 1.2e-5."""
    return re.sub(r"e([+-])0*", r"e\1", f"{x:.3g}").replace("e+", "e")


def label(text: str) -> str:
    """A whole label; an empty one is said too, or the box would inherit that of the one around."""
    return f"<{shown(text)}>" if text else '""'


def bold(text: str) -> str:
    return f"<B>{shown(text)}</B>"


def tooltip(text: str) -> str:
    """A long name in full."""
    return f' tooltip="{escaped(text)}"' if len(text) > LONGEST else ""


def shown(text: str) -> str:
    """A name in a label, shortened in the middle if it is long."""
    half = LONGEST // 2
    return escaped(text if len(text) <= LONGEST else f"{text[:half]}…{text[1 - half :]}")


def escaped(text: str) -> str:
    r"""Text for labels and quoted strings, such that the picture shows exactly this text.

    Graphviz decodes HTML entities everywhere, and expands \N, \G and so on even in HTML-like
    labels, where a doubled backslash is a backslash.  What no picture can show (line breaks,
    control characters, halves of surrogate pairs) is written as in Python.
    """
    text = UNPRINTABLE.sub(lambda match: ascii(match.group())[1:-1], text)
    return escape(text).replace("\\", "\\\\")
