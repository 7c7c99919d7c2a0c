"""Writing: from the plain data of a picture to DOT, the language of Graphviz.

Labels are small tables.  An operation's first row is its call, with a dot for each tensor that goes
in, and the edges end at these dots: x - y and y - x are different pictures.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from .graph import Box, Item, Node, contents
from .health import EXPLODING, VANISHING, colours, legend
from .markup import Content, Markup, joined, safe, tag
from .numbers import Numbers
from .view import View
from .words import FIRST_ONE, INFIX, plural, result_of, share, short, shortened, title

Attributes: TypeAlias = dict[str, Content]

LONGEST = 40  # characters of a name that are shown; its tooltip has it in full
DEEPEST = 12  # levels of indentation; without an end deep nesting would be quadratically long

# Kinds differ by shape and not by colour alone.  The fills are light tints of a colour-blind-safe
# palette (Okabe & Ito 2008): black text stays readable on them, in print too.
SHAPES: dict[str, tuple[Attributes, str]] = {
    "operation": ({"shape": "box", "style": "rounded,filled"}, "#ffffff"),
    "backward": ({"shape": "box", "style": "filled"}, "#efe2f3"),
    "parameter": ({"shape": "cylinder", "margin": "0.08,0.08", "style": "filled"}, "#fde7c2"),
    "input": ({"shape": "ellipse", "margin": "0,0", "style": "filled"}, "#d6ebf8"),
    "constant": ({"shape": "note", "style": "filled"}, "#e4e4e4"),
    "mask": ({"shape": "octagon", "margin": "0,0", "style": "filled"}, "#d9efe4"),
    "forward": ({"shape": "box", "style": "rounded,filled,dashed"}, "#ffffff"),
    "box": ({"shape": "box3d", "margin": "0.12,0.08", "style": "filled"}, "#e6ebf1"),
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
SPACE = Markup("&#160;")
LINE_BREAK = Markup('<BR ALIGN="LEFT"/>')
SPRING = tag("TD", COLSPAN=99)  # takes the room that a table in a wider one has too much


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
            yield f"{indent}{place(here)} [{written(attributes(here, look))}]\n"
        elif isinstance(here, Box) and here in hidden:
            yield f"{indent}{place(here)} [{written(summary(here, hidden[here], look))}]\n"
        elif isinstance(here, Box):
            name = title(here)
            fill = BOX_FILLS[(len(opened) - 1) % 2]
            text = {"label": label(name), "tooltip": name} | identity(here, look)
            fillings = {"style": "rounded,filled", "color": "#8a8a8a", "fillcolor": fill}
            yield f"{indent}subgraph cluster_{here.number} {{\n"
            yield f"{indent}  {written(text)}\n{indent}  {written(fillings)}\n"
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
        said: Attributes = {}
        if look.ids is not None:
            said["id"] = f"{look.ids}e{node.number}-{i}"
        source = node.inputs[i]
        upwards = look.mirrored and node.backward
        if has_formula(to, node, i, look):
            rule = node.rules[i]
            said |= {"label": joined(SPACE, clipped(rule)), "tooltip": rule}
        elif (start, to) in leaves:
            said["label"] = joined(SPACE, leaves[start, to])
        port = f":i{i}" * isinstance(to, Node)
        if upwards:
            said["color"] = BACKWARD
            if isinstance(source, Node) and source.backward:
                tail, head = f"{head}{port}{':s' * bool(port)}", tail  # drawn against the ranks
                said["dir"] = "back"
            else:
                head += port
                said |= {"style": "dashed", "constraint": "false"}
        else:
            head += port + ":n" * bool(port)
        yield f"  {tail} -> {head}{f' [{written(said)}]' * bool(said)}\n"


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


def identity(item: Item, look: Look) -> Attributes:
    return {} if look.ids is None else {"id": f"{look.ids}{place(item)}"}


def written(attributes: Mapping[str, Content]) -> str:
    r"""Attributes as DOT has them: text in quotes, markup in <>, single words as they are.

    Graphviz decodes the entities of HTML in all of them, and expands \N, \G and so on: in markup
    once, so that a doubled backslash is a backslash, and in text twice.
    """
    said = []
    for key, value in attributes.items():
        if isinstance(value, Markup):
            text = f"<{safe(value)}>".replace("\\", 2 * "\\")
        elif key not in ("label", "tooltip") and re.fullmatch("[a-z0-9]+", str(value)):
            text = str(value)
        else:
            text = f'"{safe(value)}"'.replace("\\", 4 * "\\")
        said.append(f"{key}={text}")
    return " ".join(said)


def caption(view: View, look: Look) -> Iterator[str]:
    """What stands below the picture: what was left out, and what colours and letters mean."""
    if look.ids is not None:
        return  # a page says it beside the picture
    rows: list[Content] = [view.note] if view.note else []
    if look.health:
        used = {colours(node.gradient, node.value)[0] for node in view.graph.nodes}
        cells = (
            tag("TD", tag("FONT", SPACE, text, SPACE, COLOR=ink), BGCOLOR=fill)
            for text, fill, ink in legend(used)
        )
        rows.append(table(tag("TR", tag("TD", "√(Σg²/n) of the gradient:"), *cells)))
        if any("gradient" in flag for node in view.graph.nodes for flag in node.flags):
            rows.append(f"vanishing: below {short(VANISHING)}, exploding: above {short(EXPLODING)}")
    if any(has_formula(to, node, i, look) for _, to, node, i in view.edges()):
        rows.append("on an edge: what goes back along it, if ḡ arrives (in, out: values)")
    if any(box.times > 1 for box in view.graph.boxes):
        rows.append(FIRST_ONE)
    if look.mirrored:
        rows.append("purple, upwards: the backward pass; dashed: what it uses of the forward pass")
    if rows:
        lines = table(*(tag("TR", tag("TD", row, ALIGN="LEFT")) for row in rows))
        yield f"  {written({'label': lines, 'labelloc': 'b'})}\n"


# --- Labels --------------------------------------------------------------------------------------


def attributes(node: Node, look: Look) -> Attributes:
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
        rows.insert(0, tag("TR", tag("TD", HEIGHT=2 * sum(map(lines_of, rows)))))
    if operation:
        rows.insert(len(rows) if node.backward and look.mirrored else 0, call_row(node))
    extra = tooltip(node.name or "")
    if node.result:
        extra["peripheries"] = 2
    return plate(kind, rows, node, bool(node.flags), extra | identity(node, look), look)


def summary(box: Box, nodes: list[Node], look: Look) -> Attributes:
    """All that is said of a closed box."""
    operations = sum(node.kind == "operation" for node in nodes)
    last = result_of(nodes)
    rows = [wide_row(bold(title(box)))]
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
    extra = tooltip(title(box)) | identity(box, look)
    if any(node.result for node in nodes):
        extra["peripheries"] = 2
    return plate("box", rows, last, bool(flags), extra, look)


def plate(
    kind: str, rows: list[Markup], node: Node, alarming: bool, extra: Attributes, look: Look
) -> Attributes:
    """The attributes of a node with these rows, coloured like `node`."""
    shape, fill = SHAPES[kind]
    ink = BLACK
    if look.health:
        fill, ink = colours(node.gradient, node.value)
    found = shape | {"fillcolor": fill} | extra
    if ink != BLACK:
        found["fontcolor"] = ink
    if alarming and look.figures:
        found |= {"color": ALARM if ink == BLACK else BLACK, "penwidth": 3}
    return found | {"label": table(*(joined(Markup("\n    "), row) for row in rows))}


def table(*rows: Markup, padding: int = 1) -> Markup:
    """A table without lines."""
    return tag("TABLE", *rows, BORDER=0, CELLSPACING=0, CELLPADDING=padding)


def row(key: str, value: Content) -> Markup:
    """One line of a node, below its title."""
    return tag("TR", tag("TD", key, SPACE, ALIGN="LEFT"), tag("TD", value, ALIGN="LEFT"))


def wide_row(*content: Content) -> Markup:
    """A line of a node as wide as both columns."""
    return tag("TR", tag("TD", *content, COLSPAN=2, ALIGN="LEFT"))


def leaf(node: Node) -> Markup:
    """What kind of leaf it is, and its name."""
    kind = f"forward: {node.operation}" if node.kind == "forward" else node.kind
    return wide_row(kind, " ", bold(node.name)) if node.name else wide_row(kind)


def alarm(text: str) -> Markup:
    return wide_row(tag("B", f"▲ {text}"))


def call_row(node: Node) -> Markup:
    """The operation and its arguments: numbers as they are, and a port for each tensor."""
    separator = f" {INFIX[node.function]} " if node.function in INFIX else ", "
    cells = [tag("TD", tag("B", node.operation), SPACE, SPACE)]
    text = ""
    for i, x in enumerate(node.inputs):
        text += separator if i else ""
        if isinstance(x, Node):
            cells += [tag("TD", text)] * bool(text) + [tag("TD", "•", PORT=f"i{i}")]
            text = ""
        else:
            text += x
    text += "".join(f", {key}={clipped(value)}" for key, value in node.told)
    cells += [tag("TD", text)] * bool(text)
    return tag("TR", tag("TD", table(tag("TR", *cells, SPRING)), COLSPAN=2))


def described(numbers: Numbers | None, dtype: str) -> Content:
    """A scalar exactly, a small array in full, a larger one by its statistics."""
    if numbers is None:
        return "–"
    if numbers.exact is not None:
        return numbers.exact
    if numbers.rows is None:
        if dtype == "bool":
            return f"{share(numbers.mean)} true"
        if numbers.low == numbers.high:
            return f"all {short(numbers.low)}"
        more = f"{short(numbers.low)} … {short(numbers.high)}, norm {short(numbers.norm)}"
        more += f", {share(numbers.zeros)} zeros" * (numbers.zeros > 0)
        return joined(f"{short(numbers.mean)} ± {short(numbers.sd)}", LINE_BREAK, more)
    tall = len(numbers.rows) > max(4, len(numbers.rows[0]))
    lines = list(zip(*numbers.rows)) if tall else list(numbers.rows)
    cells = [[tag("TD", element(x), SPACE, SPACE, ALIGN="RIGHT") for x in line] for line in lines]
    if tall:
        cells[0].append(tag("TD", "ᵀ"))
    return table(*(tag("TR", *line) for line in cells), padding=0)


def element(text: str) -> str:
    """An element of an array: a float to four digits."""
    return short(float(text), 4) if re.search(r"\d[.e]", text) else text


def label(text: str) -> Content:
    """A whole label; an empty one is said too, or the box would inherit that of the one around."""
    return joined(clipped(text)) if text else ""


def bold(text: str) -> Content:
    return tag("B", clipped(text)) if text else '""'


def lines_of(row: Markup) -> int:
    """How many lines a row has: the rim of a cylinder grows with its height, and needs room."""
    return max(1, row.source.count("<TR>") - 1) + row.source.count("<BR")


def tooltip(text: str) -> Attributes:
    """A long name in full."""
    return {"tooltip": text} if len(text) > LONGEST else {}


def clipped(text: str) -> str:
    """A name in a label, shortened in the middle if it is long."""
    return shortened(text, LONGEST)
