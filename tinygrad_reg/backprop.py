"""The reverse sweep: from one tensor back through everything that it was computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import Any, Protocol, TypeVar

import numpy as np

from .anomaly import inspect_gradient, inspect_sum
from .errors import StaleValueError
from .memory import SlimNode, refusal
from .primitives import Array, Rule, Shape, broadcasting
from .scope import Backward, Scope, current, here


class Node(Protocol):
    """All that the sweep knows of a tensor: its array, and the call that made it.

    _data     the array, function(*values, **metadata)
    function  None for a leaf
    inputs    what the function was called with: tensors and Python numbers
    values    the same as arrays and Python numbers
    edges     those inputs that want a gradient, each with its rule; none for a leaf
    metadata  the keyword arguments; like `values`, there only if there are edges
    number    grows with every tensor made
    scope     where in the program it was made
    line      the user's line that made it, as (file, number), set under `detect_anomaly` alone
    """

    _data: Array
    function: Any
    inputs: Sequence[Any]
    values: Sequence[Any]
    edges: Sequence[tuple[Any, Rule]]
    metadata: dict[str, Any]
    number: int
    scope: Scope | None
    name: str | None
    line: tuple[str, int]


N = TypeVar("N", bound=Node)


def sweep(
    root: N, g: Array, create_graph: bool = False, since: int = 0
) -> Iterator[tuple[N, Array]]:
    """Yield (node, gradient) for root and all that it was computed from, the newest node first.

    g is the gradient that arrives at root.  Nodes numbered below `since` are left out.  With
    `create_graph`, g is a tensor and the rules run on tensors, so that gradients have graphs of
    their own; otherwise everything here is plain arrays.

    An operation can only use what exists already, so a node is always newer than its inputs, and
    taking the newest node that has a gradient is taking nodes in reverse topological order: when
    a node's turn comes, everything that used it has added its part to the gradient.  That sum is
    the multivariate chain rule.

    What was recorded under `save_memory` is released as soon as it has had its turn.
    """
    inspects = here().inspects
    if inspects:
        inspect_sum(g, root)
    gradients: dict[N, Array] = {root: g}
    queue = [(-root.number, root)]
    scopes: dict[N, Backward] = {}
    releases = isinstance(root, SlimNode)
    while queue:
        _, node = heappop(queue)
        g = gradients.pop(node)
        yield node, g
        if not node.edges:
            continue
        if create_graph:
            check_fresh(node)
            if isinstance(node, SlimNode):
                raise refusal(node.function.__name__)
            out, arguments = node, node.inputs
            outside = current.set(backward_scope(node, scopes))
        else:
            out, arguments = node._data, node.values
        metadata = node.metadata
        try:
            for x, rule in node.edges:
                if not since <= x.number < node.number:  # older than asked for, or replaced since
                    check_fresh(node)
                    continue
                part = rule(g, out, *arguments, **metadata)
                array = x._data
                if part.shape != array.shape or part.dtype is not array.dtype:
                    part = fit(part, array, node)
                if inspects:
                    inspect_gradient(part, x, node, g)
                if x in gradients:
                    if create_graph:  # the sum is x's, and not of the operation that used it last
                        current.set(backward_scope(x, scopes))
                    gradients[x] = gradients[x] + part  # not in place: a rule may hand on g itself
                    if create_graph:
                        current.set(scopes[node])
                    if inspects:
                        inspect_sum(gradients[x], x)
                else:
                    gradients[x] = part
                    heappush(queue, (-x.number, x))
        finally:
            if create_graph:
                current.reset(outside)
        if releases and isinstance(node, SlimNode):
            node.release()


def backward_scope(node: N, scopes: dict[N, Backward]) -> Backward:
    """The scope of all that is done with the gradient of a node; that of a leaf draws no box."""
    if node not in scopes:
        name = None if node.function is None else f"∂ {node.function.__name__}"
        scopes[node] = Backward(name, node.scope, node.number)
    return scopes[node]


def fit(part: Array, x: Array, node: Node) -> Array:
    """Give a gradient the shape and type of what it is the gradient of.

    Where broadcasting stretched x to use it many times, the gradients of all uses add up.
    """
    if part.shape != x.shape:
        if node.function not in broadcasting:
            raise AssertionError(
                f"a rule of {node.function.__name__} gave a gradient of shape {part.shape} "
                f"for an argument of shape {x.shape}; mend it in primitives.py"
            )
        if type(part) is np.ndarray and part.shape[1:] == x.shape and x.ndim == 1:
            part = ones(len(part), part.dtype) @ part  # for a bias: the fastest way to add up rows
        else:
            part = part.sum(axis=stretched_axes(part.shape, x.shape)).reshape(x.shape)
    return part if part.dtype is x.dtype else part.astype(x.dtype)


@lru_cache(maxsize=64)
def ones(n: int, dtype: Any) -> Array:
    return np.ones(n, dtype)


@lru_cache(maxsize=4096)
def stretched_axes(shape: Shape, before: Shape) -> tuple[int, ...]:
    """The axes of `shape` that broadcasting added to `before` or stretched from size 1."""
    added = len(shape) - len(before)
    return tuple(i for i, n in enumerate(shape) if i < added or (before[i - added] == 1 and n != 1))


def check_fresh(node: Node) -> None:
    """Refuse to go on from values that have been replaced: the gradient would be of neither."""
    for x in node.inputs:
        if getattr(x, "number", 0) > node.number:
            label = f" {x.name!r}" if x.name else ""
            raise StaleValueError(
                f"backward needs the value that the tensor{label} of shape {x.shape} had in "
                f"{node.function.__name__}, but its data has been replaced since; call backward "
                "before changing it, or compute the result again"
            )


def reaches_beyond(root: Node, since: int) -> bool:
    """Whether root also depends on tensors with gradients that are older than `since`."""
    if root.number < since:
        return True
    seen = {root}
    stack = [root]
    while stack:
        for x, _ in stack.pop().edges:
            if x.number < since:
                return True
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return False
