"""`detect_anomaly`: who made the first NaN or infinity, forward or backward."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .memory import in_graph, is_husk
from .primitives import Array
from .scope import Block

if TYPE_CHECKING:
    from .backprop import Node

PACKAGE = str(Path(__file__).parent) + os.sep


class AnomalyError(FloatingPointError):
    """An operation, or its derivative, gave the first NaN or infinity."""


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """In this block, raise `AnomalyError` at the first NaN or infinity, forward or backward.

    The error names the operation, its inputs, its scope and the line of your program that called
    it.  For that, every result is searched and every line noted: a training step takes up to twice
    as long.  A leaf may hold NaN; the first operation that uses it is named, and says that its
    input had it already.  An infinity put there on purpose counts too: mask with a large number
    such as -1e9 while you search.  NumPy's own warnings are silent.

    >>> with detect_anomaly():
    ...     loss = objective(model, x, y)
    ...     loss.backward()
    """
    with np.errstate(all="ignore"), Block(inspects=True):
        yield


def inspect_result(out: Node, function: Any, inputs: Sequence[Any]) -> None:
    """Note where an operation was called, and refuse a result that is not finite."""
    out.line = users_line()
    if not is_finite(out._data):
        raise AnomalyError(
            f"{function.__name__} of shape {out._data.shape} gave {found(out._data)}\n"
            f"{origin(out)}\n{listed(inputs)}"
        )


def inspect_gradient(part: Array, x: Node, node: Node, arrived: Array) -> None:
    """Refuse a gradient that a rule made of a finite one."""
    if not is_finite(bare(part)):
        position = next(i for i, y in enumerate(node.inputs) if in_graph(y) is x)
        raise AnomalyError(
            f"backward: the gradient of {call(node)} with respect to input {position} has "
            f"{found(bare(part))}; what arrived was {summary(bare(arrived))}\n"
            f"{origin(node)}\n{listed(node.inputs)}"
        )


def inspect_sum(g: Array, x: Node) -> None:
    """Refuse a gradient given to `backward`, or a sum of finite ones, that is not finite."""
    if not is_finite(bare(g)):
        raise AnomalyError(
            f"backward: the gradient that arrives at {call(x)} has {found(bare(g))}\n{origin(x)}"
        )


def users_line() -> tuple[str, int]:
    """File and number of the line, outside of this package, that is being executed."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


# --- Words ---------------------------------------------------------------------------------------


def call(node: Node) -> str:
    name = f" {node.name!r}" if node.name else ""
    what = "the tensor" if node.function is None else node.function.__name__
    return f"{what}{name} of shape {node._data.shape}"


def origin(node: Node) -> str:
    place = f"  in {node.scope}\n" if node.scope and node.scope.path else ""
    try:
        file, number = node.line
    except AttributeError:
        return f"{place}  it was not computed under detect_anomaly() itself, so its line is unknown"
    return f"{place}  at {file}, line {number}: {linecache.getline(file, number).strip()}"


def listed(inputs: Sequence[Any]) -> str:
    lines = []
    for i, x in enumerate(inputs):
        name = f" {x.name!r}" if getattr(x, "name", None) else ""
        lines.append(f"  input {i}{name}: {summary(bare(x))}")
    return "\n".join(lines)


def summary(x: Any) -> str:
    """What numbers an array holds, in a few words."""
    if is_husk(x):
        return f"not kept under save_memory(), of shape {x.shape}"
    if not is_finite(x):
        return f"already {found(x)}"
    x = np.asarray(x)
    if x.size <= 1:
        return str(x.item()) if x.size else f"empty, of shape {x.shape}"
    return f"{x.min():.6g} to {x.max():.6g}, of shape {x.shape}"


def found(x: Any) -> str:
    x = np.asarray(x)
    kinds = {"nan": np.isnan(x), "inf": x == np.inf, "-inf": x == -np.inf}
    counts = [f"{np.count_nonzero(hits)} {kind}" for kind, hits in kinds.items() if hits.any()]
    if x.size == 1:
        return counts[0].split()[1]
    first = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
    return f"{' and '.join(counts)} among {x.size} numbers, the first at {first}"


def is_finite(x: Any) -> bool:
    return bool(np.isfinite(x).all())


def bare(x: Any) -> Any:
    return getattr(x, "_data", x)
