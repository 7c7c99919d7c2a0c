"""Reading: from a tensor to the plain data of a picture of everything behind it.

Everything is read at once, so a drawing shows the numbers of the moment it was made, and keeps no
tensor alive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from ..nn import Parameter
from ..scope import Scope
from ..tensor import Tensor

Kind: TypeAlias = Literal["operation", "parameter", "input", "constant"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What an array looks like from afar.

    exact            its element as text, where it has just one, or "empty"
    mean, sd, norm   of all elements otherwise (sd divides by their number, norm is √Σx²)
    """

    exact: str | None = None
    mean: float = 0.0
    sd: float = 0.0
    norm: float = 0.0


@dataclass(slots=True, eq=False)
class Box:
    """A composite or a module, or several that would be one box in another and nothing else.

    names    from the outermost to the innermost
    parent   the box around it; None at the outermost level
    depth    how many boxes are around it, before any become one
    """

    names: list[str]
    parent: Box | None = field(repr=False)
    depth: int


@dataclass(slots=True, eq=False)
class Node:
    """A tensor: a leaf, or an operation together with its result.

    number      1, 2, 3, …, inputs before results
    kind        operation, parameter (a leaf that wants a gradient), constant (a leaf that a
                composite made for itself, or a condition), input (any other leaf)
    operation   name of the function; "" for a leaf
    inputs      what it was called with: nodes, and Python numbers as text
    options     metadata of the call, (key, value) as text
    value       of the result; `gradient` is None where there is none
    replaced    whether the value was replaced after an operation here had used it
    result      whether it is what was asked to be drawn
    box         the innermost box it stands in
    """

    number: int
    kind: Kind
    operation: str
    name: str | None
    shape: tuple[int, ...]
    dtype: str
    value: Numbers
    gradient: Numbers | None
    options: list[tuple[str, str]]
    replaced: bool = False
    result: bool = False
    inputs: list[Node | str] = field(default_factory=list, repr=False)
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by number, so inputs before results; boxes by first use, so outer before inner."""

    nodes: list[Node]
    boxes: list[Box]


def read(result: Tensor) -> Graph:
    """The graph behind a tensor."""
    nodes = {tensor: as_node(tensor, i) for i, tensor in enumerate(in_order(result), start=1)}
    nodes[result].result = True
    boxes: dict[Scope, Box] = {}
    users: dict[Tensor, list[Box | None]] = {}
    for tensor, node in nodes.items():
        if tensor.function is None:
            continue
        node.box = box_of(tensor.scope, boxes)
        for x in tensor.inputs:
            if isinstance(x, Tensor):
                node.inputs.append(nodes[x])
                nodes[x].replaced |= x.number > tensor.number
                users.setdefault(x, []).append(node.box)
            else:
                node.inputs.append(str(x))
    for tensor, node in nodes.items():
        inside = tensor.scope.path if tensor.scope else ()
        if node.kind == "input" and inside and inside[-1] in boxes:
            node.kind = "constant"  # made inside; a tensor made by hand has no scope
        if (isinstance(tensor, Parameter) or node.kind == "constant") and tensor in users:
            node.box = home(users[tensor])
    return Graph(list(nodes.values()), merged(list(boxes.values()), list(nodes.values())))


def in_order(result: Tensor) -> list[Tensor]:
    """Operations in the order of creation, each leaf right before its first use.

    The creation of leaves would not do: an optimizer renews parameters, and constants may be
    cached, but the second run of a program shall give the same picture as the first.
    """
    order: dict[Tensor, None] = {}
    for tensor in sorted(behind(result), key=lambda tensor: tensor.number):
        if tensor.function is not None:
            order.update((x, None) for x in tensor.inputs if isinstance(x, Tensor) and x.is_leaf)
            order[tensor] = None
    return list(order) or [result]


def behind(*results: Tensor) -> set[Tensor]:
    """The tensors and all tensors they were computed from."""
    seen = set(results)
    stack = list(results)
    while stack:
        for x in stack.pop().inputs:
            if isinstance(x, Tensor) and x not in seen:
                seen.add(x)
                stack.append(x)
    return seen


def as_node(tensor: Tensor, number: int) -> Node:
    """The node of a tensor, not yet connected."""
    function = tensor.function
    kind: Kind = "input"
    if function is not None:
        kind = "operation"
    elif tensor.requires_grad:
        kind = "parameter"
    elif tensor.dtype == bool:
        kind = "constant"
    return Node(
        number=number,
        kind=kind,
        operation="" if function is None else function.__name__,
        name=None if tensor.name is None else str(tensor.name),
        shape=tensor.shape,
        dtype=str(tensor.dtype),
        value=numbers(tensor),
        gradient=None if tensor.grad is None else numbers(tensor.grad),
        options=[] if function is None else [(k, as_text(v)) for k, v in tensor.metadata.items()],
    )


def numbers(tensor: Tensor) -> Numbers:
    """The numbers of a tensor, without overflow on the way."""
    array = np.asarray(tensor.data)
    if array.size <= 1:
        return Numbers(exact=str(array.reshape(-1)[0]) if array.size else "empty")
    x = array.astype(np.float64)
    scale = float(np.abs(x).max())
    if not 0 < scale < np.inf:
        scale = 1.0
    x /= scale
    with np.errstate(all="ignore"):  # where elements are infinite or nan, so are these
        mean, sd, norm = x.mean(), x.std(), np.sqrt((x * x).sum())
    return Numbers(None, float(mean) * scale, float(sd) * scale, float(norm) * scale)


def as_text(value: Any) -> str:
    """Metadata as in a program, except that index arrays are told by their shape only."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, slice):
        parts = [value.start, value.stop] + [value.step] * (value.step is not None)
        return ":".join("" if part is None else str(part) for part in parts)
    if isinstance(value, tuple):
        return f"({', '.join(map(as_text, value))}{',' * (len(value) == 1)})"
    return "..." if value is ... else str(value)


# --- Boxes ---------------------------------------------------------------------------------------


def box_of(scope: Scope | None, boxes: dict[Scope, Box]) -> Box | None:
    """The box of a scope; it and those around it are made when first asked for."""
    box = None
    for one in scope.path if scope else ():
        if one not in boxes:
            boxes[one] = Box([str(one.name)], box, box.depth + 1 if box else 0)
        box = boxes[one]
    return box


def home(users: list[Box | None]) -> Box | None:
    """Where a parameter or constant stands: in the innermost box common to its deepest users.

    A layer stands deeper than a penalty on its weights, so the weights are drawn in the layer.
    """
    deepest = max(depth(box) for box in users)
    place, *others = (box for box in users if depth(box) == deepest)
    for other in others:
        while place is not other:  # both equally deep, all the way up
            if depth(place) > depth(other):
                place = place.parent if place else None
            else:
                other = other.parent if other else None
    return place


def depth(box: Box | None) -> int:
    return -1 if box is None else box.depth


def merged(boxes: list[Box], nodes: list[Node]) -> list[Box]:
    """Make one box of every box that holds one other box and nothing else."""
    occupied = {node.box for node in nodes}
    inside: dict[Box, list[Box]] = {box: [] for box in boxes}
    for box in boxes:
        if box.parent is not None:
            inside[box.parent].append(box)
    kept = []
    for box in boxes:  # outer before inner
        if box in occupied or len(inside[box]) != 1:
            kept.append(box)
            continue
        (child,) = inside[box]
        if idea(box.names[-1]) != idea(child.names[0]):
            box.names += child.names
        child.names, child.parent = box.names, box.parent
    return kept


def idea(name: str) -> str:
    """What the module BatchNorm1d and the function batch_norm have in common: batchnorm."""
    return re.sub(r"\d+d$", "", name).replace("_", "").lower()
