"""Telling: a view as an indented text, for terminals without pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .dot import FIRST_ONE, UNPRINTABLE, result_of, short, title
from .graph import Graph, Node, contents
from .numbers import Numbers
from .view import View

LONGEST = 60  # characters of a name or a call


def tell(view: View) -> str:
    """Boxes as branches, operations in the order of the program, one in a line.

    Results are called by their names or numbers: "#7 = add(#6, bias)".
    """
    lines = list(branches(view, called(view.graph)))
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(lines[0]))]
    rows = ("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)
    notes = [view.note, FIRST_ONE * any(box.times > 1 for box in view.graph.boxes)]
    return "\n".join([*rows, *filter(None, notes)])


def called(graph: Graph) -> dict[Node, str]:
    """How to call each node: by its name, its number, or by both where a name is not unique."""
    times = Counter(node.name for node in graph.nodes)
    return {
        node: f"{node.name or ''}{f'#{node.number}' * (times[node.name] > 1 or not node.name)}"
        for node in graph.nodes
    }


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
            yield indent + branch + shortened(title(item)), "", "", "", ""
            deeper = ("│  " if left > 1 else "   ") if len(opened) > 1 else ""
            deeper = (indent + deeper)[-LONGEST:]  # lest deep nesting be quadratically long
            opened.append((deeper, iter(items[item]), len(items[item])))


def line(indent: str, what: str, node: Node, flags: list[str]) -> tuple[str, str, str, str, str]:
    gradient = brief(node.gradient) if node.gradient or node.flows else ""
    alarms = "; ".join(f"▲ {flag}" for flag in flags)
    return indent + shortened(what), str(node.shape), brief(node.value), gradient, alarms


def arguments(node: Node, names: dict[Node, str]) -> Iterator[str]:
    for x in node.inputs:
        yield names[x] if isinstance(x, Node) else x
    for key, value in node.told:
        yield f"{key}={value}"


def brief(numbers: Numbers | None) -> str:
    """A scalar exactly, an array as mean ± sd."""
    if numbers is None:
        return "–"
    if numbers.rows is not None and not numbers.rows:
        return "empty"
    if numbers.rows is not None and len(numbers.rows) == len(numbers.rows[0]) == 1:
        return numbers.rows[0][0]
    return f"{short(numbers.mean)} ± {short(numbers.sd)}"


def shortened(text: str) -> str:
    text = UNPRINTABLE.sub(lambda match: ascii(match.group())[1:-1], text)
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[1 - half :]}"
