"""Reading: from tensors to the plain data of a picture of everything behind them.

Everything is read at once, so a drawing shows the numbers of the moment it was made, and keeps no
tensor alive.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import numpy as np

from .. import functional
from ..nn import Parameter
from ..scope import Scope
from ..tensor import Tensor
from .formulas import formulas
from .health import dead_units, flags
from .numbers import Numbers, numbers
from .play import Play

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
    operation   name of the function; "" for a leaf
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


def read(
    results: Iterable[Tensor],
    names: Mapping[Tensor, str] | None = None,
    played: Play | None = None,
    *,
    rules: bool = False,
    seed: Tensor | None = None,
    ends: Collection[Tensor] = (),
) -> Graph:
    """The graph behind tensors.

    names    what to call tensors instead of their own names; leaves among them are not inputs
    played   a reverse sweep, for gradients that are in no `.grad`
    rules    whether to write down derivative rules
    seed     where a backward pass began: what is newer belongs to it
    ends     where to stop: tensors to be shown without what they were computed from
    """
    names, wanted = names or {}, dict.fromkeys(results)
    tensors = in_order(wanted, ends)
    same = copies(tensor for tensor in tensors if tensor not in wanted)
    nodes = {
        tensor: as_node(tensor, i, names, played, rules, tensor in ends)
        for i, tensor in enumerate((x for x in tensors if x not in same), start=1)
    }
    boxes: dict[Scope, Box] = {}
    users: dict[Tensor, list[Node]] = {}
    for tensor, node in nodes.items():
        node.result = tensor in wanted
        node.backward = seed is not None and tensor.number >= seed.number
        node.flows &= not node.backward
        if node.kind != "operation":
            continue
        node.box = box_of(tensor.scope, boxes)
        for x in tensor.inputs:
            if isinstance(x, Tensor):
                x = same.get(x, x)
                node.inputs.append(nodes[x])
                nodes[x].replaced |= x.number > tensor.number
                users.setdefault(x, []).append(node)
            else:
                node.inputs.append(str(x))
    pair_up(nodes, boxes)
    for tensor, node in nodes.items():
        if tensor is seed:
            node.kind = "input"
        elif node.kind == "input" and (tensor in names or named(tensor.scope) in boxes):
            node.kind = "constant"  # made inside; a tensor made by hand has no scope
        belongs = isinstance(tensor, Parameter) or node.kind in ("constant", "mask", "forward")
        if belongs and node.kind != "operation" and tensor in users:
            forward = [user.box for user in users[tensor] if not user.backward]
            node.box = home(forward or [user.box for user in users[tensor]])
    swept = [nodes[tensor] for tensor in played.parts] if played else []
    return Graph(list(nodes.values()), merged(list(boxes.values()), list(nodes.values())), swept)


def in_order(results: Iterable[Tensor], ends: Collection[Tensor]) -> list[Tensor]:
    """Operations in the order of creation, each leaf right before its first use.

    The creation of leaves would not do: an optimizer renews parameters, and constants may be
    cached, but the second run of a program shall give the same picture as the first.
    """
    order: dict[Tensor, None] = {}
    for tensor in sorted(behind(*results, ends=ends), key=lambda tensor: tensor.number):
        if tensor.function is not None and tensor not in ends:
            for x in tensor.inputs:
                if isinstance(x, Tensor) and (x.is_leaf or x in ends):
                    order[x] = None
            order[tensor] = None
    order.update((result, None) for result in results)
    return list(order)


def behind(*results: Tensor, ends: Collection[Tensor] = ()) -> set[Tensor]:
    """The tensors and all tensors they were computed from, not going on beyond the ends."""
    seen = set(results)
    stack = [result for result in seen if result not in ends]
    while stack:
        for x in stack.pop().inputs:
            if isinstance(x, Tensor) and x not in seen:
                seen.add(x)
                if x not in ends:
                    stack.append(x)
    return seen


def copies(tensors: Iterable[Tensor]) -> dict[Tensor, Tensor]:
    """Nameless arrays that occur again: each later one, and the first.

    An operation makes a tensor of each array that it is given, so x + f(x) has made two of x.
    """
    first: dict[tuple[Any, ...], Tensor] = {}
    same = {}
    for x in tensors:
        if x.is_leaf and not x.requires_grad and x.name is None and x.size > 1:
            array = np.ascontiguousarray(x.data)
            key = x.shape, array.dtype.str, blake2b(array.tobytes()).digest()
            if first.setdefault(key, x) is not x:
                same[x] = first[key]
    return same


def as_node(
    tensor: Tensor,
    number: int,
    names: Mapping[Tensor, str],
    played: Play | None,
    rules: bool,
    forward: bool,
) -> Node:
    """The node of a tensor, not yet connected."""
    function = tensor.function
    if forward and function is not None:
        kind: Kind = "forward"
    elif function is not None:
        kind = "operation"
    elif tensor.requires_grad or isinstance(tensor, Parameter):
        kind = "parameter"
    elif tensor.dtype == bool or (tensor.name == "mask" and tensor.scope is not None):
        kind = "mask"
    else:
        kind = "input"
    name = names.get(tensor, tensor.name)
    value = numbers(tensor.data)
    gradient = None if tensor.grad is None else numbers(tensor.grad.data)
    if played is not None:
        gradient = played.gradients.get(tensor)
    alarms = flags(value, gradient, sizes=played is not None)
    if is_relu(tensor):
        alarms += filter(None, [dead_units(tensor.data)])
    return Node(
        number=number,
        kind=kind,
        operation="" if function is None else function.__name__,
        name=None if name is None else str(name),
        dtype=str(tensor.dtype),
        value=value,
        flows=tensor.requires_grad,
        gradient=gradient,
        options=[] if function is None else [(k, as_text(v)) for k, v in tensor.metadata.items()],
        rules=formulas(tensor, names) if rules and kind == "operation" else {},
        parts=played.parts.get(tensor, []) if played else [],
        flags=alarms,
    )


def is_relu(tensor: Tensor) -> bool:
    """Whether this is max(x, 0), and not in a composite that uses it for something else."""
    if tensor.function is not np.maximum or not any(
        isinstance(x, (int, float)) and x == 0 for x in tensor.inputs
    ):
        return False
    scope = named(tensor.scope)
    return scope is None or scope.name == "relu" or not hasattr(functional, str(scope.name))


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
    new = []
    scope = named(scope)
    while scope is not None and scope not in boxes:
        new.append(scope)
        scope = named(scope.parent)
    box = None if scope is None else boxes[scope]
    for scope in reversed(new):
        box = boxes[scope] = Box([str(scope.name)], box, depth(box) + 1, scope.training)
    return box


def named(scope: Scope | None) -> Scope | None:
    """The innermost scope with a name."""
    while scope is not None and scope.name is None:
        scope = scope.parent
    return scope


def pair_up(nodes: Mapping[Tensor, Node], boxes: Mapping[Scope, Box]) -> None:
    """Put each operation into the box of its derivative rules, if these are here."""
    by_number = {tensor.number: node for tensor, node in nodes.items()}
    for scope, box in boxes.items():
        node = by_number.get(scope.cause or 0)
        if node is not None and node.kind == "operation" and node.box is box.parent:
            node.box, box.names, box.pair = box, [node.operation], True


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
    """Make one box of every box that holds one other box and nothing else; number what is left."""
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
        if idea(box.names[-1]) != idea(child.names[0]) and not child.pair:
            box.names += child.names
        child.names, child.parent = box.names, box.parent
        child.training = box.training if child.training is None else child.training
    return numbered(kept)


def numbered(boxes: list[Box]) -> list[Box]:
    """The boxes, outer before inner, with numbers and what follows from the boxes around them."""
    for number, box in enumerate(boxes, start=1):
        box.number, box.depth = number, depth(box.parent) + 1
        around = None if box.parent is None else box.parent.training
        box.tells_mode = box.training not in (None, around)
        box.training = around if box.training is None else box.training
    return boxes


def idea(name: str) -> str:
    """What the module BatchNorm1d and the function batch_norm have in common: batchnorm."""
    return re.sub(r"\d+d$", "", name).replace("_", "").lower()


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
