"""Functions along axes: sums, products, means, quantiles, differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import float16

from .. import more_primitives
from ..attributes import bare, own_array
from ..blocks import composite
from ..checks import check_bool
from ..errors import shown
from ..half import through_float32
from ..more_primitives import at
from ..operators import Axis, Operand, axes_of, axis_of, count_along, plain
from ..primitives import Shape, is_number, kept
from ..protocols import implements
from ..settings import check_float, check_int
from ..tensor import Tensor, apply, as_tensor
from .choices import sort, where
from .joining import concatenate, stack
from .shapes import broadcast_to, moveaxis


def of_method(name: str) -> Callable[..., Tensor]:
    """The function that calls a method of its first argument."""

    def function(a: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        result: Tensor = getattr(as_tensor(a), name)(axis, keepdims)
        return result

    return function


for function in (np.sum, np.mean, np.max, np.amax, np.min, np.amin):
    implements(function)(of_method(function.__name__.removeprefix("a")))


@implements(np.var)
@composite
@through_float32
def var(
    a: Operand,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    ddof: float = 0,
    correction: float | None = None,
) -> Tensor:
    """Mean squared deviation from the mean; ddof=1 divides by n - 1 instead of n."""
    x = as_tensor(a)
    if correction is not None and ddof != 0:
        raise ValueError("var: ddof and correction are two names for the same; give one of them")
    ddof = check_float("var: ddof", ddof if correction is None else correction)
    freedom = count_along("var", x.shape, axis) - ddof
    squares = (x - x.mean(axis, keepdims=True)) ** 2
    return squares.sum(axis, keepdims) / max(freedom, 0.0)


@implements(np.std)
@composite
@through_float32
def std(
    a: Operand,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    ddof: float = 0,
    correction: float | None = None,
) -> Tensor:
    """√var; its derivative is 0 where all elements are equal."""
    return root_or_zero(var(a, axis, keepdims=keepdims, ddof=ddof, correction=correction), 2)


def root_or_zero(x: Tensor, p: float) -> Tensor:
    """The pth root of x, with the derivative 0 at 0 instead of ∞."""
    zero = x == 0
    if np.any(zero):
        return where(zero, 0, root_or_zero(where(zero, 1, x), p))
    return x.sqrt() if p == 2 else x ** (1 / p)


@implements(np.ptp)
@composite
def ptp(a: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """max - min."""
    x = as_tensor(a)
    return x.max(axis, keepdims) - x.min(axis, keepdims)


@implements(np.average)
@composite
def average(
    a: Operand,
    axis: Axis = None,
    weights: Operand | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Σ w x / Σ w along the axis; with `returned`, the pair of that and Σ w."""
    x = as_tensor(a)
    if weights is None:
        mean = x.mean(axis, keepdims)
        total = as_tensor(np.full(mean.shape, x.size / max(mean.size, 1), mean.dtype))
        return (mean, total) if returned else mean
    w = as_tensor(weights)
    if w.shape != x.shape:
        axes = axes_of("average", x.shape, range(x.ndim) if axis is None else axis)
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ValueError(
                f"average: weights of shape {w.shape} fit neither the array of shape {x.shape} nor "
                f"its axes {axis}"
            )
        order = sorted(range(w.ndim), key=lambda i: axes[i])
        sides = [n if i in axes else 1 for i, n in enumerate(x.shape)]
        w = broadcast_to(w.transpose(order).reshape(sides), x.shape)
    dtype = np.result_type(x.dtype, w.dtype)
    if dtype == float16:
        x = x.astype(np.float32)
    w = w.astype(np.result_type(x.dtype, w.dtype))
    total = w.sum(axis, keepdims)
    if np.any(total == 0):
        raise ZeroDivisionError("average: weights sum to zero, so there is no average")
    mean = (x * w).sum(axis, keepdims) / total
    total = total.astype(mean.dtype)
    if dtype == float16:
        mean, total = mean.astype(dtype), total.astype(dtype)
    return (mean, total) if returned else mean


@implements(np.prod)
@composite
def prod(a: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Π x along an axis, several, or all (None)."""
    x, keepdims = as_tensor(a), check_bool("prod: keepdims", keepdims)
    if axis is None or (x.ndim == 0 and plain(axis) in (0, -1)):  # of a number there is an axis 0
        axis = tuple(range(x.ndim))
    axes = axes_of("prod", x.shape, axis)
    rest = without(axes, x.shape)
    sides = (*rest, count_along("prod", x.shape, axes))
    last = moveaxis(x, axes, range(-len(axes), 0)).reshape(sides)
    result = apply(more_primitives.prod, last, axis=len(rest))
    return result.reshape(kept(x.shape, axes) if keepdims else rest)


@implements(np.cumsum)
@composite
def cumsum(a: Operand, axis: int | None = None) -> Tensor:
    """Sums of the first 1, 2, … elements along an axis; None takes a flat array."""
    return running(more_primitives.cumsum, a, axis)


@implements(np.cumprod)
@composite
def cumprod(a: Operand, axis: int | None = None) -> Tensor:
    """Products of the first 1, 2, … elements along an axis; None takes a flat array."""
    return running(more_primitives.cumprod, a, axis)


def running(function: Callable[..., Any], a: Operand, axis: int | None) -> Tensor:
    """A primitive along one axis, counted from the front."""
    x = as_tensor(a)
    if axis is None or x.ndim == 0:
        x, axis = x.reshape(-1), 0 if axis is None else axis
    axis = axis_of(function.__name__, x.shape, axis)
    return apply(function, x, axis=axis)


@implements(np.diff)
@composite
def diff(
    a: Operand,
    n: int = 1,
    axis: int = -1,
    prepend: Operand | None = None,
    append: Operand | None = None,
) -> Tensor:
    """The nth differences between neighbours along an axis, x[1:] - x[:-1] for n = 1."""
    x, n = as_tensor(a), check_int("diff: n", n, least=0)
    if n == 0:
        return x
    axis = axis_of("diff", x.shape, axis)
    ends = [end if end is None else a_slice(end, x, axis) for end in (prepend, append)]
    x = concatenate([part for part in (ends[0], x, ends[1]) if part is not None], axis)
    for _ in range(n):
        after, before = x[at(axis, slice(1, None))], x[at(axis, slice(None, -1))]
        x = as_tensor(after != before) if x.dtype == bool else after - before
    return x


def a_slice(end: Operand, x: Tensor, axis: int) -> Tensor:
    """What is put before or after x along an axis: a number stands for a slice of it."""
    if np.ndim(bare(end)) > 0:
        return as_tensor(end)
    number = as_tensor(np.asarray(end, np.result_type(x.dtype, end)) if is_number(end) else end)
    return broadcast_to(number, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


# --- Quantiles -----------------------------------------------------------------------------------


@implements(np.median)
@composite
def median(a: Operand, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The element in the middle along the axis, or the mean of the two there; NaN if any is NaN."""
    return quantile(a, 0.5, axis, keepdims=keepdims)


@implements(np.percentile)
@composite
def percentile(a: Operand, q: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """`quantile` of q / 100."""
    shares = own_array("percentile: q", q) / 100
    if not np.all((shares >= 0) & (shares <= 1)):
        raise ValueError(f"percentile: q must be from 0 to 100, not {shown(q)}")
    return quantile(a, shares, axis, keepdims=keepdims)


@implements(np.quantile)
@composite
def quantile(a: Operand, q: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The number below which a share q of the elements lies, between neighbours on a line.

    Parameters
    ----------
    a
        Of any shape.
    q
        A share in [0, 1], or several, for which the result has a first axis.  It has no gradient.
    axis
        One, several, or all (None).
    keepdims
        Whether these axes are left with size 1.
    """
    x, shares = as_tensor(a), own_array("quantile: q", q).astype(float)
    if not np.all((shares >= 0) & (shares <= 1)):
        raise ValueError(f"quantile: q must be from 0 to 1, not {shown(q)}")
    axes = axes_of("quantile", x.shape, range(x.ndim) if axis is None else axis)
    n, rest = count_along("quantile", x.shape, axes), without(axes, x.shape)
    if n == 0:
        raise ValueError(f"quantile of shape {x.shape}, axis={axis}: there are no elements")
    line = sort(moveaxis(as_float(x), axes, range(len(axes))).reshape(n, *rest), axis=0)
    if np.isnan(line[-1]).any():  # sorting puts NaN last
        line = where(np.isnan(line[-1]), line[-1], line)
    found = [between(line, share * (n - 1)) for share in shares.ravel().tolist()]
    sides = kept(x.shape, axes) if keepdims else rest
    return (stack(found) if found else line[:0]).reshape(*shares.shape, *sides)


def between(line: Tensor, place: float) -> Tensor:
    """The number at a place along the first axis, on a line between its neighbours."""
    below = math.floor(place)
    part = place - below
    return line[below] * (1 - part) + line[below + 1] * part if part else line[below]


def without(axes: Shape, shape: Shape) -> Shape:
    """A shape without some of its axes."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def as_float(x: Operand) -> Tensor:
    """A tensor of floats: integers and booleans become float64."""
    x = as_tensor(x)
    return x if x._array.dtype.kind == "f" else x.astype(np.float64)
