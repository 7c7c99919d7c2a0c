"""`detect_anomaly`: which operation made the first NaN or infinity, forward or backward."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .attributes import bare
from .blocks import observing
from .errors import name_of
from .graph import Node
from .memory import is_placeholder
from .scope import Observer

PACKAGE = os.path.dirname(__file__) + os.sep

# The user's line that computed a node, as (file, number).
lines: WeakKeyDictionary[Node, tuple[str, int]] = WeakKeyDictionary()


class AnomalyError(FloatingPointError):
    """An operation, or its derivative, gave the first NaN or infinity."""


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """In a `with` block, raise `AnomalyError` at the first NaN or infinity, forward or backward.

    The error names the operation, its inputs, its scope and the line of your program that called
    it.  For that, every result is searched and every line noted: a training step takes up to twice
    as long.  A graph that was recorded in the block is still searched when `backward` is called
    after it.

    A leaf may hold NaN; the first operation that uses it is named, and the error says that its
    input had it already.  An infinity put there on purpose counts too: mask with a large number
    such as -1e9 while you search.  NumPy's own warnings are silent in the block.

    Examples
    --------
    >>> x = Tensor([1.0, 0.0], name="x")
    >>> with detect_anomaly():
    ...     y = np.log(x)
    Traceback (most recent call last):
    AnomalyError: log of shape (2,) gave 1 -inf among 2 numbers, the first at (1,)
    ...
      input 0 'x': 0 to 1, of shape (2,)
    """
    silence = np.errstate(all="ignore")
    silence.__enter__()
    try:
        with observing(AnomalySearch()):
            yield
    finally:
        with suppress(ValueError):  # a generator that ends in another thread or task: not in force
            silence.__exit__(None, None, None)


class AnomalySearch(Observer):
    """Raises `AnomalyError` for the first value, gradient, or part of one that is not finite."""

    def computed(self, node: Node, function: Callable[..., Any], inputs: list[Any]) -> None:
        lines[node] = users_line()
        if not is_finite(node.value):
            raise AnomalyError(
                f"{name_of(function)} of shape {node.value.shape} gave {found(node.value)}\n"
                f"{origin(node)}\n{listed(inputs, node.values)}"
            )

    def summed(self, node: Node, g: Any) -> None:
        if not is_finite(bare(g)):
            raise AnomalyError(
                f"backward: the gradient that arrives at {call(node)} has {found(bare(g))}\n"
                f"{origin(node)}"
            )

    def pulled(self, node: Node, position: int, g: Any, part: Any) -> None:
        if not is_finite(bare(part)):
            raise AnomalyError(
                f"backward: the gradient of {call(node)} with respect to input {position} has "
                f"{found(bare(part))}; what arrived was {summary(bare(g))}\n"
                f"{origin(node)}\n{listed(node.inputs, node.values)}"
            )


def users_line() -> tuple[str, int]:
    """File and number of the line, outside of this package, that is being executed."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


# --- Texts ---------------------------------------------------------------------------------------


def call(node: Node) -> str:
    """What made a node, with its name and shape."""
    name = f" {node.name!r}" if node.name else ""
    what = "the tensor" if node.function is None else name_of(node.function)
    return f"{what}{name} of shape {node.value.shape}"


def origin(node: Node) -> str:
    """The scopes and the line that a node comes from."""
    place = f"  in {node.scope}\n" if node.scope.path else ""
    if node not in lines:
        return f"{place}  it was not computed under detect_anomaly() itself, so its line is unknown"
    file, number = lines[node]
    return f"{place}  at {file}, line {number}: {linecache.getline(file, number).strip()}"


def listed(inputs: Sequence[Any], values: Sequence[Any]) -> str:
    """The inputs of a call, one in a line; a call that was not recorded has kept no values."""
    values = values or [x.value if isinstance(x, Node) else x for x in inputs]
    texts = []
    for i, (x, value) in enumerate(zip(inputs, values)):
        name = f" {x.name!r}" if isinstance(x, Node) and x.name else ""
        texts.append(f"  input {i}{name}: {summary(value)}")
    return "\n".join(texts)


def summary(x: Any) -> str:
    """Which numbers an array holds, in a few words."""
    if is_placeholder(x):
        return f"not kept under save_memory(), of shape {x.shape}"
    if not is_finite(x):
        return f"already {found(x)}"
    x = np.asarray(x)
    if x.size <= 1:
        return str(x.item()) if x.size else f"empty, of shape {x.shape}"
    return f"{x.min():.6g} to {x.max():.6g}, of shape {x.shape}"


def found(x: Any) -> str:
    """How many NaNs and infinities an array holds, and where the first is."""
    x = np.asarray(x)
    kinds = {"nan": np.isnan(x), "inf": x == np.inf, "-inf": x == -np.inf}
    counts = [f"{np.count_nonzero(hits)} {kind}" for kind, hits in kinds.items() if hits.any()]
    if x.size == 1:
        return counts[0].split()[1]
    first = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
    return f"{' and '.join(counts)} among {x.size} numbers, the first at {first}"


def is_finite(x: Any) -> bool:
    """Tell whether an array holds neither NaN nor infinity."""
    return bool(np.isfinite(x).all())
