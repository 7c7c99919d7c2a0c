"""Telling: a view as an indented text, for terminals without pictures."""

from __future__ import annotations

from collections.abc import Iterator

from .graph import Node, contents
from .numbers import Numbers
from .view import View
from .words import FIRST_ONE, arguments, printable, references, result_of, short, shortened, title

LONGEST = 60  # characters of a name or a call


def tell(view: View, figures: bool = True) -> str:
    """Boxes as branches, operations in the order of the program, one in a line.

    Results are called by their names or numbers: "#7 = add(#6, bias)".  Without `figures`, no
    numbers of values and gradients.
    """
    cells = branches(view, references(view.graph))
    lines = [tuple(map(printable, line if figures else line[:2])) for line in cells]
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(lines[0]))]
    rows = ("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)
    notes = [view.note, FIRST_ONE * any(box.times > 1 for box in view.graph.boxes)]
    return "\n".join([*rows, *map(printable, filter(None, notes))])


def branches(view: View, names: dict[Node, str]) -> Iterator[tuple[str, str, str, str, str]]:
    """(what, shape, value, gradient, alarms) of each line."""
    items, hidden = contents(view.graph.nodes), view.hidden()
    yield "", "shape", "value", "gradient", ""
    opened = [("", iter(items[None]), len(items[None]))]
    while opened:
        indent, here, left = opened.pop()
        item = next(here, None)
        if item is None:
            continue
        opened.append((indent, here, left - 1))
        branch = ("├─ " if left > 1 else "└─ ") if len(opened) > 1 else ""
        if isinstance(item, Node):
            what = f"{names[item]}  {item.kind}"
            if item.kind == "operation":
                what = f"{names[item]} = {item.operation}({', '.join(arguments(item, names))})"
            yield line(indent + branch, what, item, item.flags)
        elif item in hidden:
            nodes = hidden[item]
            last = result_of(nodes)
            flags = dict.fromkeys(flag for node in nodes for flag in node.flags)
            yield line(indent + branch, f"{names[last]} = {title(item)}[…]", last, list(flags))
        else:
            yield indent + branch + fitted(title(item)), "", "", "", ""
            deeper = ("│  " if left > 1 else "   ") if len(opened) > 1 else ""
            deeper = (indent + deeper)[-LONGEST:]  # deep nesting would be quadratically long
            opened.append((deeper, iter(items[item]), len(items[item])))


def line(indent: str, what: str, node: Node, flags: list[str]) -> tuple[str, str, str, str, str]:
    gradient = brief(node.gradient) if node.gradient or node.flows else ""
    alarms = "; ".join(f"▲ {flag}" for flag in flags)
    return indent + fitted(what), str(node.shape), brief(node.value), gradient, alarms


def brief(numbers: Numbers | None) -> str:
    """A scalar exactly, an array as mean ± sd."""
    if numbers is None:
        return "–"
    if numbers.exact is not None:
        return numbers.exact
    return f"{short(numbers.mean)} ± {short(numbers.sd)}"


def fitted(text: str) -> str:
    """A name or a call, shortened in the middle if it is long."""
    return shortened(text, LONGEST)
