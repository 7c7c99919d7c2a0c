"""`save_memory`: graphs that hold no more than the reverse sweep will read.

A recorded tensor keeps what it was computed from, so that the graph can be drawn, differentiated
again, and to any order.  One reverse sweep needs less: of x * y it reads both arrays, of exp(x) the
result, of x + y nothing.  Which arrays a derivative rule reads stands in the rule, and is looked up
there.  So under `save_memory` a result is two objects: the tensor, which holds its array and goes
when nobody wants it, and a node behind it, which holds what rules read and stays in the graph.
"""

from __future__ import annotations

import dis
from collections.abc import Sequence
from functools import lru_cache
from inspect import CO_VARARGS
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from .primitives import Array, Rule
from .scope import Block, Scope

if TYPE_CHECKING:
    from .tensor import Tensor


def save_memory() -> Block:
    """Record graphs for one `backward` and nothing else, in about half the memory.

    An intermediate result is freed when nothing in the program refers to it and no derivative rule
    reads it, and what rules read is freed as `backward` passes it.  Gradients are the same, bit for
    bit.  Such a graph can't be drawn, nor differentiated twice or to a higher order: RuntimeError.

    It pays where layers and mini-batches are large; a small step takes longer.  Works as a context
    manager around the forward pass and as a decorator, like `no_grad`.  Under `detect_anomaly`
    everything is recorded all the same.

    >>> with save_memory():
    ...     loss = F.cross_entropy(model(x), y)
    >>> loss.backward()
    """
    return Block(keeps=False)


class SlimNode:
    """What the reverse sweep needs of a result (see `backprop.Node`), without its tensor."""

    __slots__ = (
        "_data", "edges", "function", "inputs", "line", "metadata", "name", "number", "scope",
        "values",
    )  # fmt: skip

    line: tuple[str, int]

    def __init__(self, result: Tensor) -> None:
        read: set[int] = set()
        for _, rule in result.edges:
            read |= positions_read(rule, len(result.values))
        self._data = result._data if 0 in read else husk(result._data)
        self.values: Sequence[Any] = [
            x if i in read else husk(x) for i, x in enumerate(result.values, start=1)
        ]
        self.inputs: Sequence[Any] = [in_graph(x) for x in result.inputs]
        self.edges: Sequence[tuple[Any, Rule]] = result.edges
        self.function: Any = result.function
        self.metadata: dict[str, Any] = result.metadata
        self.number = result.number
        self.scope: Scope | None = result.scope
        self.name = result.name

    def release(self) -> None:
        """Let go of what came before: this node has had its turn in a sweep."""
        self.inputs = self.values = self.edges = Forgotten(self)


class Forgotten(Sequence[Any]):
    """In the place of inputs and edges that are not there: to ask for them is an error."""

    def __init__(self, node: SlimNode) -> None:
        self.operation = node.function.__name__

    def __getitem__(self, _: Any) -> Any:
        raise refusal(self.operation)

    def __len__(self) -> int:
        raise refusal(self.operation)


def refusal(operation: str) -> RuntimeError:
    return RuntimeError(
        f"the graph behind this result of {operation} was recorded under "
        "save_memory(), for one backward() and nothing else; to draw it, or to differentiate it "
        "twice or to a higher order, record it outside of that"
    )


def slim_down(result: Tensor) -> None:
    """Leave all that a recorded result remembers to a node behind it."""
    result.node = node = SlimNode(result)
    result.inputs = result.values = result.edges = Forgotten(node)
    result.metadata = {}


def in_graph(x: Any) -> Any:
    """What stands for an operand in graphs: itself, but for results of `save_memory`."""
    node = getattr(x, "node", None)
    return x if node is None else node


# --- What rules read -----------------------------------------------------------------------------


def positions_read(rule: Rule, count: int) -> frozenset[int]:
    """Of which arrays a rule reads the numbers: 0 is the result, 1, 2, … are `count` arguments."""
    code = getattr(getattr(rule, "func", rule), "__code__", None)
    if code is None:
        return frozenset(range(count + 1))
    bound = len(getattr(rule, "args", ()))  # of a variadic rule the position comes first, filled in
    return positions_in(code, bound + 1, count)  # then g


@lru_cache(maxsize=1024)
def positions_in(code: CodeType, skipped: int, count: int) -> frozenset[int]:
    """The same of its code, whose first parameters are to be skipped."""
    names = list(code.co_varnames[skipped : code.co_argcount])
    if code.co_flags & CO_VARARGS:
        names += [code.co_varnames[code.co_argcount + code.co_kwonlyargcount]] * (count + 1)
    read = names_read(code)
    return frozenset(i for i, name in enumerate(names[: count + 1]) if name in read)


def names_read(code: CodeType) -> frozenset[str]:
    """The names that a function uses for more than their shape or type."""
    found: set[str] = set()
    instructions = list(dis.get_instructions(code))
    for instruction, following in zip(instructions, [*instructions[1:], None]):
        names = instruction.argval
        names = names if isinstance(names, tuple) else (names,)  # some load two at once
        if following is not None and following.opname == "LOAD_ATTR":
            names = names[: -1 if following.argval in ("shape", "ndim", "dtype") else None]
        found.update(name for name in names if isinstance(name, str))
    return frozenset(found)


def husk(array: Array) -> Array:
    """An array of the same shape and type that takes no memory: one NaN, seen from everywhere."""
    if type(array) is not np.ndarray or array.dtype.kind != "f":
        return array
    return np.ndarray(array.shape, array.dtype, nan(array.dtype), strides=(0,) * array.ndim)


def is_husk(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype.kind == "f" and x.base is nan(x.dtype)


@lru_cache(maxsize=8)
def nan(dtype: Any) -> Array:
    return np.full((), np.nan, dtype)
