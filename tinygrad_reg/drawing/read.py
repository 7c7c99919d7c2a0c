"""Reading: from tensors to the plain data of a picture of everything behind them.

Everything is read at once, so a drawing shows the numbers of the moment it was made, and keeps no
tensor alive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from .. import functional
from ..nn import Parameter
from ..scope import Scope
from ..tensor import Tensor
from .boxes import box_of, home, innermost_named, merged, pair_up
from .formulas import formulas, spelled
from .graph import Box, Graph, Kind, Node
from .health import dead_units, flags
from .numbers import numbers
from .play import Play


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
        elif node.kind == "input" and (tensor in names or innermost_named(tensor.scope) in boxes):
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
    if played is not None:
        gradient = played.gradients.get(tensor)
    else:
        gradient = None if tensor.grad is None else numbers(tensor.grad.data)
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
        options=[] if function is None else [(k, spelled(v)) for k, v in tensor.metadata.items()],
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
    scope = innermost_named(tensor.scope)
    return scope is None or scope.name == "relu" or not hasattr(functional, str(scope.name))
