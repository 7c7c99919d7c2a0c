"""The plain data of a picture: nodes, and the boxes that they stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .numbers import Numbers

Kind: TypeAlias = Literal["operation", "parameter", "input", "constant", "mask", "forward"]


@dataclass(slots=True, eq=False)
class Box:
    """A composite or a module, or several that would be one box in another and nothing else.

    number     1, 2, 3, …, outer before inner
    names      from the outermost to the innermost
    parent     the box around it; None at the outermost level
    depth      how many boxes are around it
    training   whether the module that it is, or is in, was in training mode; None outside of them
    tells_mode whether that changes here
    times      how many identical boxes, one after the other, it stands for
    pair       whether it holds an operation and what its derivative rules compute
    """

    names: list[str]
    parent: Box | None = field(repr=False)
    depth: int = 0
    training: bool | None = None
    number: int = 0
    times: int = 1
    pair: bool = False
    tells_mode: bool = False

    @property
    def name(self) -> str:
        return " · ".join(filter(None, self.names))

    @property
    def path(self) -> tuple[Box, ...]:
        """The boxes from the outermost down to this one."""
        inward = [self]
        while inward[-1].parent is not None:
            inward.append(inward[-1].parent)
        return tuple(reversed(inward))


@dataclass(slots=True, eq=False)
class Node:
    """A tensor: a leaf, or an operation together with its result.

    number      1, 2, 3, …, inputs before results
    kind        operation; parameter (a leaf that wants a gradient, or belongs to a module), mask (a
                condition, or what dropout drops), constant (a leaf that a composite made for
                itself, or a buffer), input (any other leaf); forward: a value of the forward pass,
                in a picture of the backward pass alone
    function    what was called; None for a leaf
    operation   name of the function, which other functions may have, too; "" for a leaf
    name        how pictures call it, if it has a name
    inputs      what it was called with: nodes, and Python numbers as text
    options     metadata of the call, (key, value) as text
    value       of the result
    flows       whether a gradient flows to it
    gradient    None where there is none, or none yet
    rules       the derivative rule of each input that a gradient flows to, by position
    parts       what it handed on in the reverse sweep, (position, numbers)
    flags       what is alarming about it
    replaced    whether the value was replaced after an operation here had used it
    result      whether it is what was asked to be drawn
    backward    whether it was computed by a derivative rule
    box         the innermost box it stands in
    """

    number: int
    kind: Kind
    function: Callable[..., Any] | None
    operation: str
    name: str | None
    dtype: str
    value: Numbers
    flows: bool
    gradient: Numbers | None
    options: list[tuple[str, str]]
    rules: dict[int, str]
    parts: list[tuple[int, Numbers]]
    flags: list[str]
    replaced: bool = False
    result: bool = False
    backward: bool = False
    inputs: list[Node | str] = field(default_factory=list, repr=False)
    box: Box | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def told(self) -> list[tuple[str, str]]:
        """The options, except those that say what NumPy does anyway."""
        usual = {("axis", "None"), ("keepdims", "False")}
        return [option for option in self.options if option not in usual]


Item: TypeAlias = Node | Box


@dataclass(slots=True)
class Graph:
    """What pictures show.

    nodes   by number, so inputs before results
    boxes   by first use, so outer before inner
    sweep   the nodes in the order of the reverse sweep; empty if it was not asked for
    """

    nodes: list[Node]
    boxes: list[Box]
    sweep: list[Node] = field(default_factory=list)


# --- Boxes ---------------------------------------------------------------------------------------


def depth(box: Box | None) -> int:
    return -1 if box is None else box.depth


def numbered(boxes: list[Box]) -> list[Box]:
    """The boxes, outer before inner, with numbers and what follows from the boxes around them."""
    for number, box in enumerate(boxes, start=1):
        box.number, box.depth = number, depth(box.parent) + 1
        around = None if box.parent is None else box.parent.training
        box.tells_mode = box.training not in (None, around)
        box.training = around if box.training is None else box.training
    return boxes


def contents(nodes: Iterable[Node]) -> dict[Box | None, list[Item]]:
    """What stands directly in each box, and outside all (None), a box where its first node is.

    A leaf that is outside of the box in which it is used first stands before that box.
    """
    found: dict[Box | None, list[Item]] = {None: []}
    leaves: list[Node] = []
    for node in nodes:
        if node.kind != "operation":
            leaves.append(node)
            continue
        for leaf in leaves:
            if leaf.box not in found or found[leaf.box][-1:] != [holding(node, leaf.box)]:
                enter(leaf, found)
            else:
                found[leaf.box].insert(-1, leaf)
        leaves.clear()
        enter(node, found)
    for leaf in leaves:
        enter(leaf, found)
    return found


def enter(node: Node, found: dict[Box | None, list[Item]]) -> None:
    """Add a node to what stands in its box, and boxes that are new to what stands around them."""
    item: Item = node
    box = node.box
    while box is not None and box not in found:
        found[box] = [item]
        item, box = box, box.parent
    found[box].append(item)


def holding(x: Node, place: Box | None) -> Item | None:
    """What holds a node directly in a place: itself, or a box; None if it is elsewhere."""
    item: Item = x
    box = x.box
    while box is not None and (place is None or box.depth > place.depth):
        item, box = box, box.parent
    return item if box is place else None
