"""Writing: from the plain data of a picture to DOT, the language of Graphviz.

Labels are small tables.  An operation's first row is its call, with a dot for each tensor that goes
in, and the edges end at these dots: x - y and y - x are different pictures.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import chain

from .graph import Box, Item, Node, contents
from .health import EXPLODING, VANISHING, colours, legend
from .numbers import Numbers
from .view import View
from .words import FIRST_ONE, INFIX, plural, printable, result_of, share, short, shortened, title

LONGEST = 40  # characters of a name that are shown; its tooltip has it in full
DEEPEST = 12  # levels of indentation; without an end deep nesting would be quadratically long

# Kinds differ by shape and not by colour alone.  The fills are light tints of a colour-blind-safe
# palette (Okabe & Ito 2008): black text stays readable on them, in print too.
SHAPES = {
    "operation": ('shape=box style="rounded,filled"', "#ffffff"),
    "backward": ("shape=box style=filled", "#efe2f3"),
    "parameter": ('shape=cylinder margin="0.08,0.08" style=filled', "#fde7c2"),
    "input": ('shape=ellipse margin="0,0" style=filled', "#d6ebf8"),
    "constant": ("shape=note style=filled", "#e4e4e4"),
    "mask": ('shape=octagon margin="0,0" style=filled', "#d9efe4"),
    "forward": ('shape=box style="rounded,filled,dashed"', "#ffffff"),
    "box": ('shape=box3d margin="0.12,0.08" style=filled', "#e6ebf1"),
}
BOX_FILLS = "#f4f6f8", "#fcfdfe"  # by turns, from the outermost inwards
BLACK, ALARM = "#000000", "#b00020"
BACKWARD = "#7b3294"

HEADER = """\
digraph {
  graph [fontname=Helvetica fontsize=11 labeljust=l nodesep=0.2 ranksep=0.35 nslimit=10]
  node [fontname=Helvetica fontsize=10 margin="0.06,0.03" color="#444444"]
  edge [fontname=Helvetica fontsize=9 color="#444444" arrowsize=0.6]
"""
TABLE = '<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="1">'
MATRIX = '<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0">'
SPRING = '<TD COLSPAN="99"></TD>'  # takes the room that a table in a wider one has too much


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture shows.

    figures    the numbers of values and gradients
    health     colours by the size of the gradient, and their legend
    formulas   derivative rules on the edges
    mirrored   the backward pass runs against the forward pass, beside it
    ids        what the ids of elements begin with; None for no ids
    """

    figures: bool = True
    health: bool = False
    formulas: bool = False
    mirrored: bool = False
    ids: str | None = None


PLAIN = Look()


def write(view: View, look: Look = PLAIN) -> str:
    """The DOT text of a view: the same for the same program, byte for byte."""
    parts = statements(view, look), edges(view, look), caption(view, look), ["}\n"]
    return "".join(chain([HEADER], *parts))


def statements(view: View, look: Look) -> Iterator[str]:
    """The nodes in their boxes, each box where its first node stands."""
    items, hidden = contents(view.graph.nodes), view.hidden()
    opened = [iter(items[None])]  # not recursion: nobody says how deep boxes may nest
    while opened:
        indent = "  " * min(len(opened), DEEPEST)
        here = next(opened[-1], None)
        if isinstance(here, Node):
            yield f"{indent}n{here.number} [{attributes(here, look)}]\n"
        elif isinstance(here, Box) and here in hidden:
            yield f"{indent}b{here.number} [{summary(here, hidden[here], look)}]\n"
        elif isinstance(here, Box):
            fill = BOX_FILLS[(len(opened) - 1) % 2]
            name = title(here)
            yield (
                f"{indent}subgraph cluster_{here.number} {{\n"
                f'{indent}  label={label(name)} tooltip="{escaped(name)}"{identity(here, look)}\n'
                f'{indent}  style="rounded,filled" color="#8a8a8a" fillcolor="{fill}"\n'
            )
            opened.append(iter(items[here]))
        else:
            opened.pop()
            if opened:
                yield "  " * min(len(opened), DEEPEST) + "}\n"


def edges(view: View, look: Look) -> Iterator[str]:
    """One edge for each use of a node as an input."""
    leaves = leaving(view)
    for start, to, node, i in view.edges():
        tail, head = place(start), place(to)
        said = []
        if look.ids is not None:
            said.append(f'id="{look.ids}e{node.number}-{i}"')
        source = node.inputs[i]
        upwards = look.mirrored and node.backward
        if has_formula(to, node, i, look):
            rule = node.rules[i]
            said.append(f'label=<&#160;{clipped(rule)}> tooltip="{escaped(rule)}"')
        elif (start, to) in leaves:
            said.append(f"label=<&#160;{leaves[start, to]}>")
        port = f":i{i}" * isinstance(to, Node)
        if upwards:
            said.append(f'color="{BACKWARD}"')
            if isinstance(source, Node) and source.backward:
                tail, head = f"{head}{port}{':s' * bool(port)}", tail  # drawn against the ranks
                said.append("dir=back")
            else:
                head += port
                said.append("style=dashed constraint=false")
        else:
            head += port + ":n" * bool(port)
        yield f"  {tail} -> {head}{f' [{chr(32).join(said)}]' * bool(said)}\n"


def leaving(view: View) -> dict[tuple[Item, Item], str]:
    """What goes along edges out of closed boxes, if that was not computed there: "weight"."""
    leaves: dict[tuple[Item, Item], dict[Node, None]] = defaultdict(dict)
    for node in view.graph.nodes:
        for x in node.inputs:
            if isinstance(x, Node) and x.kind != "operation" and view.shown(x) is not x:
                leaves[view.shown(x), view.shown(node)][x] = None
    said = {}
    for pair, (first, *others) in leaves.items():
        name = first.name or first.kind
        said[pair] = plural(1 + len(others), first.kind) if others else clipped(name)
    return said


def has_formula(to: Item, node: Node, i: int, look: Look) -> bool:
    """Whether the rule of an edge stands on it: on those of the forward pass."""
    upwards = look.mirrored and node.backward
    return look.formulas and isinstance(to, Node) and i in node.rules and not upwards


def place(item: Item) -> str:
    """The name of an item in DOT."""
    return f"{'n' if isinstance(item, Node) else 'b'}{item.number}"


def identity(item: Item, look: Look) -> str:
    return "" if look.ids is None else f' id="{look.ids}{place(item)}"'


def caption(view: View, look: Look) -> Iterator[str]:
    """What stands below the picture: what was left out, and what colours and letters mean."""
    if look.ids is not None:
        return  # a page says it beside the picture
    rows = [escaped(view.note)] if view.note else []
    if look.health:
        used = {colours(node.gradient, node.value)[0] for node in view.graph.nodes}
        cells = "".join(
            f'<TD BGCOLOR="{fill}"><FONT COLOR="{ink}">&#160;{escaped(text)}&#160;</FONT></TD>'
            for text, fill, ink in legend(used)
        )
        rows.append(f"{TABLE}<TR><TD>√(Σg²/n) of the gradient:</TD>{cells}</TR></TABLE>")
        if any("gradient" in flag for node in view.graph.nodes for flag in node.flags):
            rows.append(f"vanishing: below {short(VANISHING)}, exploding: above {short(EXPLODING)}")
    if any(has_formula(to, node, i, look) for _, to, node, i in view.edges()):
        rows.append("on an edge: what goes back along it, if ḡ arrives (in, out: values)")
    if any(box.times > 1 for box in view.graph.boxes):
        rows.append(FIRST_ONE)
    if look.mirrored:
        rows.append("purple, upwards: the backward pass; dashed: what it uses of the forward pass")
    if rows:
        lines = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in rows)
        yield f"  label=<{TABLE}{lines}</TABLE>> labelloc=b\n"


# --- Labels --------------------------------------------------------------------------------------


def attributes(node: Node, look: Look) -> str:
    """All that is said of a node."""
    operation = node.kind == "operation"
    kind = "backward" if operation and node.backward else node.kind
    rows = [] if operation else [leaf(node)]
    if operation and node.name:
        rows.append(row("name", bold(node.name)))
    rows.append(row("shape", f"{node.shape} {node.dtype}"))
    if look.figures:
        rows.append(row("value", described(node.value, node.dtype)))
        if node.replaced:
            rows.append(row("", "(replaced since)"))
        if node.flows:
            rows.append(row("grad", described(node.gradient, node.dtype)))
        rows += map(alarm, node.flags)
    if kind == "parameter":
        rows.insert(0, f'<TR><TD HEIGHT="{2 * sum(map(lines_of, rows))}"></TD></TR>')
    if operation:
        rows.insert(len(rows) if node.backward and look.mirrored else 0, call_row(node))
    extra = tooltip(node.name or "") + " peripheries=2" * node.result + identity(node, look)
    return plate(kind, rows, node, bool(node.flags), extra, look)


def summary(box: Box, nodes: list[Node], look: Look) -> str:
    """All that is said of a closed box."""
    operations = sum(node.kind == "operation" for node in nodes)
    last = result_of(nodes)
    rows = [f'<TR><TD COLSPAN="2" ALIGN="LEFT">{bold(title(box))}</TD></TR>']
    if last.name and last.kind == "operation":
        rows.append(row("name", bold(last.name)))
    rows.append(row("", plural(operations, "operation")))
    parameters = [node for node in nodes if node.kind == "parameter"]
    if parameters:
        size = sum(math.prod(node.shape) for node in parameters)
        rows.append(row("", f"{plural(len(parameters), 'parameter')}, {plural(size, 'number')}"))
    rows.append(row("out", f"{last.shape} {last.dtype}"))
    flags = Counter(flag for node in nodes for flag in node.flags)
    if look.figures:
        rows.append(row("value", described(last.value, last.dtype)))
        if last.flows:
            rows.append(row("grad", described(last.gradient, last.dtype)))
        rows += (
            alarm(flag + f", {count} times" * (count > 1)) for flag, count in flags.most_common(3)
        )
    extra = tooltip(title(box)) + identity(box, look)
    extra += " peripheries=2" * any(node.result for node in nodes)
    return plate("box", rows, last, bool(flags), extra, look)


def plate(kind: str, rows: list[str], node: Node, alarming: bool, extra: str, look: Look) -> str:
    """The attributes of a node with these rows, coloured like `node`."""
    shape, fill = SHAPES[kind]
    ink = BLACK
    if look.health:
        fill, ink = colours(node.gradient, node.value)
        extra += f' fontcolor="{ink}"' * (ink != BLACK)
    if alarming and look.figures:
        extra += f' color="{ALARM if ink == BLACK else BLACK}" penwidth=3'
    lines = "".join("\n    " + line for line in rows)
    return f'{shape} fillcolor="{fill}"{extra} label=<{TABLE}{lines}</TABLE>>'


def leaf(node: Node) -> str:
    """What kind of leaf it is, and its name."""
    name = f" {bold(node.name)}" if node.name else ""
    kind = f"forward: {escaped(node.operation)}" if node.kind == "forward" else node.kind
    return f'<TR><TD COLSPAN="2" ALIGN="LEFT">{kind}{name}</TD></TR>'


def call_row(node: Node) -> str:
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
    text += "".join(f", {escaped(key)}={clipped(value)}" for key, value in node.told)
    cells += [f"<TD>{text}</TD>"] * bool(text)
    return f'<TR><TD COLSPAN="2">{TABLE}<TR>{"".join(cells)}{SPRING}</TR></TABLE></TD></TR>'


def row(key: str, value: str) -> str:
    """One line of a node, below its title."""
    return f'<TR><TD ALIGN="LEFT">{key}&#160;</TD><TD ALIGN="LEFT">{value}</TD></TR>'


def alarm(text: str) -> str:
    return f'<TR><TD COLSPAN="2" ALIGN="LEFT"><B>▲ {escaped(text)}</B></TD></TR>'


def described(numbers: Numbers | None, dtype: str) -> str:
    """A scalar exactly, a small array in full, a larger one by its statistics."""
    if numbers is None:
        return "–"
    if numbers.exact is not None:
        return numbers.exact
    if numbers.rows is None:
        if dtype == "bool":
            return f"{escape(share(numbers.mean))} true"
        if numbers.low == numbers.high:
            return f"all {short(numbers.low)}"
        more = f"{short(numbers.low)} … {short(numbers.high)}, norm {short(numbers.norm)}"
        more += f", {escape(share(numbers.zeros))} zeros" * (numbers.zeros > 0)
        return f'{short(numbers.mean)} ± {short(numbers.sd)}<BR ALIGN="LEFT"/>{more}'
    tall = len(numbers.rows) > max(4, len(numbers.rows[0]))
    lines = list(zip(*numbers.rows)) if tall else list(numbers.rows)
    cells = [
        "".join(f'<TD ALIGN="RIGHT">{element(x)}&#160;&#160;</TD>' for x in line) for line in lines
    ]
    cells[0] += "<TD>ᵀ</TD>" * tall
    return MATRIX + "".join(f"<TR>{line}</TR>" for line in cells) + "</TABLE>"


def element(text: str) -> str:
    """An element of an array: a float to four digits."""
    return short(float(text), 4) if re.search(r"\d[.e]", text) else text


def label(text: str) -> str:
    """A whole label; an empty one is said too, or the box would inherit that of the one around."""
    return f"<{clipped(text)}>" if text else '""'


def bold(text: str) -> str:
    return f"<B>{clipped(text)}</B>" if text else '""'


def lines_of(row: str) -> int:
    """How many lines a row has: the rim of a cylinder grows with its height, and needs room."""
    return max(1, row.count("<TR>") - 1) + row.count("<BR")


def tooltip(text: str) -> str:
    """A long name in full."""
    return f' tooltip="{escaped(text)}"' if len(text) > LONGEST else ""


def clipped(text: str) -> str:
    """A name in a label, shortened in the middle if it is long."""
    return escaped(shortened(text, LONGEST))


def escaped(text: str) -> str:
    r"""Text for labels and quoted strings, such that the picture shows exactly this text.

    Graphviz decodes HTML entities everywhere, and expands \N, \G and so on even in HTML-like
    labels, where a doubled backslash is a backslash.  What no picture can show (line breaks,
    control characters, halves of surrogate pairs) is written as in Python.
    """
    return escape(printable(text)).replace("\\", "\\\\")
