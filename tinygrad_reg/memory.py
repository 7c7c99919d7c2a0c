"""`save_memory`: graphs that hold no more than the reverse sweep will read.

A recorded node keeps what it was computed from, so that the graph can be drawn, differentiated
again, and to any order.  One reverse sweep needs less: of x * y it reads both arrays, of exp(x) the
result, of x + y nothing.  What a derivative rule reads is found by running it once on symbols,
which note what is done to them (`symbols.py`).  All other arrays are let go: then an intermediate
result is freed when nothing in the program refers to it, while its node stays in the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .blocks import Block, observing
from .errors import name_of
from .graph import Node
from .primitives import Array, Rule
from .scope import Observer
from .symbols import Symbol, spelled
from .tensor import Tensor


def keep_freed_memory() -> None:
    """Have the C library keep what a training step frees, for the next one.

    glibc hands freed memory back to the system above twice the largest block that it has seen
    freed.  To fault it in again costs a step of [784, 256, 256, 10], batch 128, up to 8 % (246 page
    faults; 0.6 after this).  So it is shown one large block, in which nothing is written.
    """
    np.empty(31 << 20, np.uint8)


def save_memory() -> Block:
    """Record graphs for one `backward` and nothing else, in about half the memory.

    An intermediate result is freed when nothing in the program refers to it and no derivative rule
    reads it, and what rules read is freed as `backward` passes it.  Gradients are the same, bit for
    bit.  Such a graph cannot be drawn, nor differentiated twice or to a higher order: RuntimeError.

    It pays where layers and mini-batches are large; a small step takes longer.  A context manager
    around the forward pass, and a decorator, like `no_grad`.  Where another observer watches, as
    under `detect_anomaly`, everything is kept, for it may want to look.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> with save_memory():
    ...     loss = (x.exp() * x).sum()
    >>> loss.backward()
    >>> loss.backward()
    Traceback (most recent call last):
    RuntimeError: the graph behind this result of sum was recorded under save_memory(), …
    """
    return observing(saver)


class MemorySaver(Observer):
    """Lets go of arrays that no derivative rule reads, and of a node when a sweep has passed it."""

    def computed(self, node: Node, function: Callable[..., Any], inputs: list[Any]) -> None:
        if is_slim(node):
            read = arrays_read(node)
            if 0 not in read:
                node.value = placeholder(node.value)
            node.values = [
                x if i in read else placeholder(x) for i, x in enumerate(node.values, start=1)
            ]

    def summed(self, node: Node, g: Any) -> None:
        recorded = isinstance(g, Tensor)
        if is_slim(node) and (recorded or not node.edges):
            raise refusal(node)

    def passed(self, node: Node) -> None:
        if is_slim(node):
            node.inputs = node.values = node.edges = ()


saver = MemorySaver()


def is_slim(node: Node) -> bool:
    """Tell whether a node keeps no more than one reverse sweep reads."""
    observers = node.scope.observers
    return node.function is not None and len(observers) == 1 and observers[0] is saver


def refusal(node: Node) -> RuntimeError:
    """The error for asking more of a graph than was kept."""
    return RuntimeError(
        f"the graph behind this result of {name_of(node.function)} was recorded under "
        "save_memory(), for one backward() and nothing else; to draw it, or to differentiate it "
        "twice or to a higher order, record it outside of that"
    )


# --- What rules read -----------------------------------------------------------------------------

MOST_KNOWN = 4096
known: dict[Any, frozenset[int]] = {}


def arrays_read(node: Node) -> frozenset[int]:
    """The arrays of which its rules read the numbers: 0 is the result, 1, 2, … the arguments.

    That may depend on everything but the numbers in arrays.
    """
    kinds = [(x.shape, x.dtype) if hasattr(x, "shape") else (type(x), x) for x in node.values]
    details = [(key, spelled(value)) for key, value in node.metadata.items()]
    rules = [(getattr(rule, "func", rule), getattr(rule, "args", ())) for _, rule in node.edges]
    key = tuple(rules), tuple(kinds), tuple(details)
    read = known.get(key)
    if read is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        read = known[key] = frozenset().union(*(read_by(rule, node) for _, rule in node.edges))
    return read


def read_by(rule: Rule, node: Node) -> frozenset[int]:
    """The same for one rule: what stands in the formula that it gives for symbols."""
    arrays = [node.value, *node.values]
    names = [f"<{i}>" for i in range(len(arrays))]
    symbols = [
        Symbol(name, x.shape, x.dtype) if hasattr(x, "shape") else x
        for name, x in zip(names, arrays)
    ]
    g = Symbol("g", node.value.shape, node.value.dtype)
    try:
        text = rule(g, *symbols, **node.metadata).text
    except Exception:  # a rule may do what symbols cannot follow
        return frozenset(range(len(arrays)))
    return frozenset(i for i, name in enumerate(names) if name in text)


# --- Placeholders --------------------------------------------------------------------------------

NANS = {np.dtype(kind): np.full((), np.nan, kind) for kind in (np.float16, np.float32, np.float64)}


def placeholder(array: Array) -> Array:
    """An array of the same shape and type in no memory: one NaN, with strides of zero."""
    if type(array) is not np.ndarray or array.dtype not in NANS:
        return array
    return np.ndarray(array.shape, array.dtype, NANS[array.dtype], strides=(0,) * array.ndim)


def is_placeholder(x: Any) -> bool:
    """Tell whether an array has been let go."""
    return type(x) is np.ndarray and x.base is not None and x.base is NANS.get(x.dtype)
