"""Words: how numbers, names and calls are written, in pictures, texts and pages alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .graph import Box, Graph, Node

INFIX: dict[Callable[..., Any] | None, str] = {
    np.add: "+",
    np.subtract: "−",
    np.multiply: "×",
    np.divide: "÷",
    np.power: "**",
    np.matmul: "@",
}
FIRST_ONE = "×: a block that repeats, one after the other; numbers are those of the first one"

# Control characters, line and paragraph separators, surrogates, and what is no character at all;
# and the marks that turn the direction of writing, for they turn what stands beside the name, too.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def title(box: Box) -> str:
    """The name of a box, with how many it stands for, and the mode where a module was called."""
    mode = (" (training)" if box.training else " (eval)") * box.tells_mode
    return box.name + f" × {box.times}" * (box.times > 1) + mode


def result_of(nodes: list[Node]) -> Node:
    """What a closed box gives: the last that its operations compute in the forward pass."""
    return max(nodes, key=lambda node: (node.kind == "operation", not node.backward, node.number))


def references(graph: Graph) -> dict[Node, str]:
    """How to call each node: by its name, its number, or by both where a name is not enough.

    It is not if it is that of several nodes, cannot be seen, or might be that of another: "x#3".
    """
    names = {node: printable(node.name or "") for node in graph.nodes}
    times = Counter(names.values())
    return {
        node: f"{name}#{node.number}"
        if times[name] > 1 or not name.strip() or re.search(r"#\d+$", name)
        else name
        for node, name in names.items()
    }


def arguments(node: Node, names: dict[Node, str]) -> Iterator[str]:
    """What it was called with: "#3", "0.5", "axis=1"."""
    for x in node.inputs:
        yield names[x] if isinstance(x, Node) else x
    for key, value in node.told:
        yield f"{key}={value}"


def plural(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def share(x: float) -> str:
    """A share, never called nothing or all if it is not."""
    return "<1%" if 0 < x < 0.01 else ">99%" if 0.99 < x < 1 else f"{x:.0%}"


def short(x: float, digits: int = 3) -> str:
    """A few significant digits: 0.125, 1.2e-5."""
    return re.sub(r"e([+-])0*", r"e\1", f"{x + 0.0:.{digits}g}").replace("e+", "e")


def printable(text: str) -> str:
    """Text in which what cannot be shown is as in Python: "\\n", "\\x00", "\\ud800".

    Those are line breaks, control characters, halves of pairs, and marks of direction.
    """
    return UNPRINTABLE.sub(lambda match: ascii(match.group())[1:-1], text)


def shortened(text: str, longest: int) -> str:
    """A long text without its middle."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[1 - half :]}"
