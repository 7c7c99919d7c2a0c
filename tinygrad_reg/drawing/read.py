"""Reading: from recorded nodes to the plain data of a picture of everything behind them.

Everything is read at once, so a drawing shows the numbers of the moment it was made, and keeps no
array alive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from .. import functional
from ..attributes import bare
from ..errors import name_of
from ..graph import Node as GraphNode
from ..memory import is_slim, refusal
from ..module import Parameter
from ..scope import Scope, program
from ..symbols import spelled
from .boxes import box_of, home, innermost_named, merged, pair_up
from .formulas import formulas
from .graph import Box, Graph, Kind, Node
from .health import dead_units, flags
from .numbers import numbers
from .play import Play


def read(
    results: Iterable[GraphNode],
    names: Mapping[GraphNode, str] | None = None,
    played: Play | None = None,
    *,
    rules: bool = False,
    seed: GraphNode | None = None,
    ends: Collection[GraphNode] = (),
) -> Graph:
    """The graph behind recorded nodes.

    names    what to call them instead of their own names; leaves among them are not inputs
    played   a reverse sweep, for gradients that are in no `.grad`
    rules    whether to write down derivative rules
    seed     where a backward pass began: what is newer belongs to it
    ends     where to stop: nodes to be shown without what they were computed from
    """
    names, wanted = names or {}, dict.fromkeys(results)
    sources = in_order(wanted, ends)
    same = copies(x for x in sources if x not in wanted)
    nodes = {
        x: as_node(x, i, names, played, rules, x in ends)
        for i, x in enumerate((x for x in sources if x not in same), start=1)
    }
    boxes: dict[Scope, Box] = {}
    users: dict[GraphNode, list[Node]] = {}
    for source, node in nodes.items():
        node.result = source in wanted
        node.backward = seed is not None and source.number >= seed.number
        node.flows &= not node.backward
        if node.kind != "operation":
            continue
        node.box = box_of(source.scope, boxes)
        for x in source.inputs:
            if isinstance(x, GraphNode):
                x = same.get(x, x)
                node.inputs.append(nodes[x])
                nodes[x].replaced |= x.replaced > source.number
                users.setdefault(x, []).append(node)
            else:
                node.inputs.append(str(x))
    pair_up(nodes, boxes)
    for source, node in nodes.items():
        if source is seed:
            node.kind = "input"
        elif node.kind == "input" and (source in names or innermost_named(source.scope) in boxes):
            node.kind = "constant"  # made inside; the scope of a tensor made by hand is the program
        belongs = source in Parameter.nodes or node.kind in ("constant", "mask", "forward")
        if belongs and node.kind != "operation" and source in users:
            forward = [user.box for user in users[source] if not user.backward]
            node.box = home(forward or [user.box for user in users[source]])
    swept = [nodes[source] for source in played.parts] if played else []
    return Graph(list(nodes.values()), merged(list(boxes.values()), list(nodes.values())), swept)


def in_order(results: Iterable[GraphNode], ends: Collection[GraphNode]) -> list[GraphNode]:
    """Operations in the order of creation, each leaf right before its first use.

    The creation of leaves would not do: constants may be cached, but the second run of a program
    gives the same picture as the first.
    """
    order: dict[GraphNode, None] = {}
    for node in sorted(behind(*results, ends=ends), key=lambda node: node.number):
        if node.function is not None and node not in ends:
            for x in node.inputs:
                if isinstance(x, GraphNode) and (x.function is None or x in ends):
                    order[x] = None
            order[node] = None
    order.update((result, None) for result in results)
    return list(order)


def behind(*results: GraphNode, ends: Collection[GraphNode] = ()) -> set[GraphNode]:
    """The nodes and all that they were computed from, not going on beyond the ends."""
    seen = set(results)
    stack = [result for result in seen if result not in ends]
    while stack:
        node = stack.pop()
        if is_slim(node):
            raise refusal(node)
        for x in node.inputs:
            if isinstance(x, GraphNode) and x not in seen:
                seen.add(x)
                if x not in ends:
                    stack.append(x)
    return seen


def copies(nodes: Iterable[GraphNode]) -> dict[GraphNode, GraphNode]:
    """Leaves of an array that is used again: each later one, and the first.

    An operation makes a leaf of each array that it is given, so x + f(x) has made two of x.  They
    are one as long as nobody has written into the array.  Other arrays with the same numbers are
    other arrays, and so are tensors.
    """
    first: dict[tuple[Any, ...], GraphNode] = {}
    same = {}
    for x in nodes:
        origin = getattr(x, "origin", None)
        if origin is not None and not x.requires_grad and x.name is None:
            array = np.ascontiguousarray(x.value)
            content = array.shape, array.dtype.str, blake2b(array.tobytes()).digest()
            key = id(origin), *content  # of the reference, which lives as long as its leaf
            if first.setdefault(key, x) is not x:
                same[x] = first[key]
    return same


def as_node(
    source: GraphNode,
    number: int,
    names: Mapping[GraphNode, str],
    played: Play | None,
    rules: bool,
    forward: bool,
) -> Node:
    """The node of a picture for a recorded one, not yet connected."""
    function = source.function
    if forward and function is not None:
        kind: Kind = "forward"
    elif function is not None:
        kind = "operation"
    elif source.requires_grad or source in Parameter.nodes:
        kind = "parameter"
    elif source.value.dtype == bool or (source.name == "mask" and source.scope is not program):
        kind = "mask"
    else:
        kind = "input"
    name = names.get(source, source.name)
    value = numbers(source.value)
    if played is not None:
        gradient = played.gradients.get(source)
    else:
        gradient = None if source.grad is None else numbers(bare(source.grad))
    alarms = flags(value, gradient, sizes=played is not None)
    if is_relu(source):
        alarms += filter(None, [dead_units(source.value)])
    return Node(
        number=number,
        kind=kind,
        function=function,
        operation="" if function is None else name_of(function),
        name=None if name is None else str(name),
        dtype=str(source.value.dtype),
        value=value,
        flows=source.requires_grad,
        gradient=gradient,
        options=[] if function is None else [(k, spelled(v)) for k, v in source.metadata.items()],
        rules=formulas(source, names) if rules and kind == "operation" else {},
        parts=played.parts.get(source, []) if played else [],
        flags=alarms,
    )


def is_relu(node: GraphNode) -> bool:
    """Tell whether this is max(x, 0), and not in a composite that uses it for something else."""
    numbers = (x for x in node.inputs if not isinstance(x, GraphNode))
    if node.function is not np.maximum or not any(x == 0 for x in numbers):
        return False
    scope = innermost_named(node.scope)
    return scope is None or scope.name == "relu" or not hasattr(functional, str(scope.name))
