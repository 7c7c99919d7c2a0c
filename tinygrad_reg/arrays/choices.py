"""Functions that choose among elements: by a condition, by size, or by where they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Signature, signature
from typing import Any

import numpy as np

from .. import errors, more_primitives, primitives
from ..attributes import bare
from ..blocks import composite
from ..checks import check_shape
from ..errors import shown
from ..operators import Axis, Operand, axes_of, axis_of
from ..primitives import Array
from ..protocols import implements, wants_gradient
from ..settings import check_int
from ..tensor import Tensor, apply, as_tensor

# --- By a condition, or by size ------------------------------------------------------------------


def where(condition: Operand, x: Operand, y: Operand) -> Tensor:
    """x where the condition holds, else y, element by element."""
    return apply(np.where, condition, x, y)


@implements(np.where)
def where_or_indices(condition: Operand, *values: Operand) -> Any:
    """`where`; of a condition alone, the indices at which it holds."""
    return where(condition, *values) if values else np.nonzero(bare(condition))


def maximum(x: Operand, y: Operand) -> Tensor:
    """The larger of two, element by element; equal elements share the gradient.

    A tie with a plain number goes to the number: the derivative of maximum(x, 0) at x = 0 is 0.
    """
    return apply(np.maximum, x, y)


def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of two, element by element; equal elements share the gradient, as in maximum."""
    return apply(np.minimum, x, y)


@implements(np.clip)
def clip(
    a: Operand,
    a_min: Operand | None = None,
    a_max: Operand | None = None,
    *,
    min: Operand | None = None,
    max: Operand | None = None,
) -> Tensor:
    """The nearest numbers from a_min to a_max; None is no bound.

    The derivative is 1 where x is kept, also at the bounds themselves, and 0 elsewhere.
    """
    x = as_tensor(a)
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ValueError("clip: min and max are other names for a_min and a_max; give one of them")
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if x.dtype.kind != "f" and (low is None or high is None):  # infinity would make floats of them
        x = x if low is None else maximum(x, low)
        return x if high is None else minimum(x, high)
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    return apply(more_primitives.clip, x, low, high)


@implements(np.tril)
@composite
def tril(m: Operand, k: int = 0) -> Tensor:
    """The lower triangle of matrices, and 0 above the kth diagonal."""
    x = as_tensor(m)
    return where(lower_triangle("tril", x, check_int("tril: k", k)), x, np.zeros((), x.dtype))


@implements(np.triu)
@composite
def triu(m: Operand, k: int = 0) -> Tensor:
    """The upper triangle of matrices, and 0 below the kth diagonal."""
    x = as_tensor(m)
    below = lower_triangle("triu", x, check_int("triu: k", k) - 1)
    return where(below, np.zeros((), x.dtype), x)


def lower_triangle(name: str, x: Tensor, k: int) -> Array:
    """True on and below the kth diagonal of a matrix of this shape, or with this vector as rows."""
    if x.ndim == 0:
        raise ValueError(f"{name} of shape (): one axis or more are needed")
    rows, columns = x.shape[-2:] if x.ndim > 1 else 2 * x.shape
    return np.tri(rows, columns, k, bool)


@implements(np.sort)
@composite
def sort(a: Operand, axis: int | None = -1, *, stable: bool | None = None) -> Tensor:
    """Sorted along an axis; None takes a flat array.  Equal elements keep their order."""
    return in_order("sort", as_tensor(a), axis, lambda x: np.argsort(x, axis=-1, stable=True))


@implements(np.partition)
@composite
def partition(a: Operand, kth: Any, axis: int | None = -1) -> Tensor:
    """The kth smallest in its place along an axis, with all smaller elements before it."""
    return in_order("partition", as_tensor(a), axis, lambda x: np.argpartition(x, kth, axis=-1))


def in_order(name: str, x: Tensor, axis: int | None, order: Callable[..., Any]) -> Tensor:
    """The elements along an axis in an order: a function from an array to indices."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = axis_of(name, x.shape, axis)
    indices = np.moveaxis(order(np.moveaxis(x._array, axis, -1)), -1, axis)
    return take_along_axis(x, indices, axis)


# --- By where they stand -------------------------------------------------------------------------


def by_positions(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """The same function of NumPy for tensors: it moves elements, leaves some out, or repeats some.

    An array of positions shows where each element went: what the function does with
    [[0, 1], [2, 3]] it does with [[a, b], [c, d]].
    """

    @composite
    @wraps(function)
    def rearranged(x: Operand, *args: Any, **options: Any) -> Tensor:
        x, args, options = as_tensor(x), bare(args), bare(options)
        try:
            places = function(np.arange(x.size).reshape(x.shape), *args, **options)
        except (*errors.NUMPY_ERRORS, AttributeError) as error:
            raise errors.explained_call(error, function, [x, *args], options) from error
        flat = x.reshape(-1)
        if x.size == 0:  # resized, that becomes zeros
            flat = apply(primitives.scatter_add, flat, index=slice(0), shape=(1,))
        return flat[places]

    vars(rearranged)["__signature__"] = without_out(signature(function))
    return rearranged


def without_out(signature: Signature) -> Signature:
    """A signature of NumPy without `out`; what comes after that must be given by name."""
    parameters = list(signature.parameters.values())
    names = list(signature.parameters)
    if "out" in names:
        i = names.index("out")
        later = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters[i + 1 :]]
        parameters = parameters[:i] + later
    return signature.replace(parameters=parameters)


def rearranging(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Implement a function by positions."""
    return implements(function)(by_positions(function))


take = rearranging(np.take)
take_along_axis = rearranging(np.take_along_axis)
diagonal = rearranging(np.diagonal)
for function in (
    np.delete, np.linalg.diagonal, np.repeat, np.resize, np.roll, np.rot90, np.tile,
):  # fmt: skip
    rearranging(function)


@implements(np.compress)
def compress(condition: Operand, a: Operand, axis: int | None = None) -> Tensor:
    """The elements along an axis where the condition holds; None takes a flat array."""
    if np.ndim(bare(condition)) != 1:
        raise ValueError(f"compress: the condition must have one axis, not {shown(condition)}")
    return take(a, np.flatnonzero(bare(condition)), axis)


@implements(np.extract)
def extract(condition: Operand, arr: Operand) -> Tensor:
    """The elements where the condition holds, as a flat array."""
    return take(arr, np.flatnonzero(bare(condition)))


@implements(np.flip)
def flip(m: Operand, axis: Axis = None) -> Tensor:
    """In reverse order along an axis, several, or all (None)."""
    x = as_tensor(m)
    axes = range(x.ndim) if axis is None else axes_of("flip", x.shape, axis)
    step = [slice(None, None, -1 if i in axes else None) for i in range(x.ndim)]
    return x[tuple(step)]


@implements(np.flipud)
def flipud(m: Operand) -> Tensor:
    """In reverse order along the first axis."""
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Operand) -> Tensor:
    """In reverse order along the second axis."""
    return flip(m, 1)


@implements(np.diag)
@composite
def diag(v: Operand, k: int = 0) -> Tensor:
    """The kth diagonal of a matrix, or the matrix with this kth diagonal, and 0 elsewhere."""
    x, k = as_tensor(v), check_int("diag: k", k)
    if x.ndim not in (1, 2):
        raise ValueError(f"diag of shape {x.shape}: one axis or two are needed; see np.diagonal")
    if x.ndim == 2:
        return diagonal(x, k)
    rows = np.arange(x.size) + max(-k, 0)
    n = x.size + abs(k)
    index = rows, rows + k
    return apply(primitives.scatter_add, x, index=index, shape=(n, n))


@implements(np.pad)
@composite
def pad(
    array: Operand, pad_width: Any, mode: Any = "constant", *, constant_values: Any = np._NoValue
) -> Tensor:
    """Wider at both ends of each axis, by constants ("constant") or by elements of the array.

    Parameters
    ----------
    array
        Of any shape.
    pad_width
        How many before and after: a number, a pair, or a pair for each axis.
    mode
        "constant", "edge", "reflect", "symmetric" or "wrap", as NumPy has them.  Its other modes
        have no gradient.
    constant_values
        Numbers, in the forms of `pad_width`; by default 0.
    """
    x, pad_width = as_tensor(array), bare(pad_width)
    given = constant_values is not np._NoValue
    options = {"constant_values": constant_values} if given else {}
    if mode != "constant":
        if mode in ("edge", "reflect", "symmetric", "wrap"):
            return padded_by_elements(x, pad_width, mode, **options)
        if wants_gradient(x):
            raise errors.no_gradient_through(np.pad, "__call__", {}, [f"mode={shown(mode)}"])
        return as_tensor(np.pad(x._array, pad_width, mode, **options))
    frame = np.pad(np.zeros(x.shape, x.dtype), pad_width, **options)
    if isinstance(pad_width, dict):  # of the axes that are padded
        pad_width = [pad_width.get(i, pad_width.get(i - x.ndim, 0)) for i in range(x.ndim)]
        pad_width = [np.broadcast_to(width, 2) for width in pad_width]
    before = np.broadcast_to(pad_width, (x.ndim, 2))[:, 0].tolist()
    index = tuple(slice(start, start + n) for start, n in zip(before, x.shape))
    inside = apply(primitives.scatter_add, x, index=index, shape=frame.shape)
    return inside + frame if np.any(frame) else inside


padded_by_elements = by_positions(np.pad)


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Operand, window_shape: int | Sequence[int], axis: int | Sequence[int] | None = None
) -> Tensor:
    """All windows of a shape along some axes (None: all); positions inside come last.

    The derivative adds shifted slices, one for each position inside a window.
    """
    x = as_tensor(x)
    sizes = check_shape("sliding_window_view: window_shape", bare(window_shape))
    each = range(x.ndim) if axis is None else check_shape("sliding_window_view: axis", axis)
    axes = tuple(axis_of("sliding_window_view", x.shape, i) for i in each)
    return apply(more_primitives.sliding_window_view, x, window_shape=sizes, axis=axes)
