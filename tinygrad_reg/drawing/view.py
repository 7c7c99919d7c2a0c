"""Choosing: which boxes of a graph are open.

A closed box is one node of the picture, in the place of everything in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from ..errors import shown
from .fold import folded
from .graph import Box, Graph, Item, Node

Depth: TypeAlias = int | Literal["auto"] | None
Collapse: TypeAlias = Callable[[Box], bool | None]

READABLE = 300  # nodes; a picture with more is a wall
BROWSABLE = 1500  # nodes of a picture in a page; with more, each step takes a second
LARGEST = 5000  # levels that all edges cross, see `View.effort`: takes Graphviz some seconds


@dataclass(slots=True)
class View:
    """A graph of which some boxes are closed.

    closed   the closed ones: box → the outermost closed box around it, perhaps itself
    note     what was left out, and how to see it
    """

    graph: Graph
    closed: dict[Box, Box] = field(default_factory=dict)
    note: str = ""

    def shown(self, node: Node) -> Item:
        """What stands for a node: itself, or the closed box that it is in."""
        return node if node.box is None else self.closed.get(node.box, node)

    def hidden(self) -> dict[Box, list[Node]]:
        """The nodes in each closed box that is shown."""
        inside: dict[Box, list[Node]] = {}
        for node in self.graph.nodes:
            item = self.shown(node)
            if isinstance(item, Box):
                inside.setdefault(item, []).append(node)
        return inside

    def edges(self) -> Iterator[tuple[Item, Item, Node, int]]:
        """(from, to, and the node and position of its input that it stands for), each pair once
        where it ends at a closed box."""
        seen = set()
        for node in self.graph.nodes:
            to = self.shown(node)
            for i, x in enumerate(node.inputs):
                if isinstance(x, str):
                    continue
                start = self.shown(x)
                if isinstance(to, Box):
                    pair = start, to, node.backward
                    if start is to or pair in seen:
                        continue
                    seen.add(pair)
                yield start, to, node, i

    def __len__(self) -> int:
        """How many nodes the picture has."""
        return len({self.shown(node) for node in self.graph.nodes})

    def effort(self, labelled: bool = False) -> int:
        """How much there is to lay out: the levels that all edges cross, taken together.

        Graphviz bends an edge at every level that it crosses, so what takes it long is neither many
        nodes nor a deep graph, but many edges across many levels.  A leaf stands on the level
        above its first user; labels of edges take a level of their own.
        """
        levels: dict[Item, int] = {}
        edges = list(self.edges())
        for start, to, _, _ in edges:  # inputs come before results
            levels[to] = max(levels.get(to, 0), levels.get(start, 0) + 1)
        tops: dict[Item, int] = {}
        for start, to, _, _ in edges:
            if start not in levels:
                tops[start] = min(tops.get(start, levels[to]), levels[to] - 1)
        levels |= tops
        crossed = sum(max(1, levels[to] - levels[start]) for start, to, _, _ in edges)
        return crossed * 2 if labelled else crossed


def view(
    graph: Graph,
    depth: Depth = "auto",
    collapse: Collapse | None = None,
    fold: bool = False,
    labelled: bool = False,
) -> View:
    """Close the boxes that stand in `depth` others or more, except where `collapse` says otherwise.

    "auto" closes as many levels as it takes to come down to READABLE nodes that can be laid out,
    and if that is not enough also folds what repeats.

    labelled   whether edges have labels, which takes longer to lay out
    """
    if fold:
        graph = folded(graph)
    if depth != "auto":
        return closing(graph, depth, collapse)
    whole = closing(graph, None, collapse)
    if is_readable(whole, labelled):
        if len(graph.nodes) == 1 and not graph.nodes[0].flows:
            whole.note = "no operation was recorded: nothing behind this tensor requires a gradient"
        return whole
    done = []
    chosen = fitting(graph, collapse, labelled)
    if chosen.closed:
        done.append("boxes are closed")
    if not is_readable(chosen, labelled) and not fold:
        repeating = fitting(folded(graph), collapse, labelled)
        if len(repeating) < len(chosen):
            chosen = repeating
            done.append("what repeats is shown once")
    chosen.note = f"{len(whole):,} nodes"
    if done:
        chosen.note += f": {' and '.join(done)} to fit; depth=None opens all"
    if not is_readable(chosen, labelled):
        chosen.note += '; scope("name") around parts of the program makes boxes that can be closed'
    return chosen


def fitting(graph: Graph, collapse: Collapse | None, labelled: bool) -> View:
    """The view of the greatest depth that is readable, or of depth 0."""
    depths = range(2 + max((box.depth for box in graph.boxes), default=-1))
    unreadable = bisect_left(
        depths, True, key=lambda depth: not is_readable(closing(graph, depth, collapse), labelled)
    )
    return closing(graph, max(unreadable - 1, 0), collapse)


def is_readable(view: View, labelled: bool) -> bool:
    """Whether it is neither a wall nor too much to lay out."""
    return len(view) <= READABLE and view.effort(labelled) <= LARGEST


def closing(graph: Graph, depth: int | None, collapse: Collapse | None) -> View:
    """The view of one depth."""
    closed: dict[Box, Box] = {}
    for box in graph.boxes:  # outer before inner
        if box.parent in closed:
            closed[box] = closed[box.parent]
            continue
        wanted = collapse(box) if collapse is not None else None
        if wanted is not None and not isinstance(wanted, (bool, np.bool_)):
            raise TypeError(f"collapse: must return True, False or None, not {shown(wanted)}")
        if wanted if wanted is not None else depth is not None and box.depth >= depth:
            closed[box] = box
    return View(graph, closed)
