"""All the calculus there is: every primitive operation, with one derivative rule per argument.

The loss is the number that is differentiated.  A rule answers one question: given g, the gradient
of the loss with respect to the result, what is the gradient with respect to this argument?  It is
called as

    rule(g, out, *arguments, **metadata)

where `out` is the result, arrays are positional and metadata (axis, shape, …) is by keyword.  For
multiplication the two rules are the product rule:

    elementwise(np.multiply, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)

Rules are ordinary array code, so they run on whatever array they are given: on NumPy arrays during
`backward`, on tensors when the gradient itself is to be differentiated or drawn, on any other array
type that implements NumPy's protocols.  For that the table must be closed: a rule uses only what
stands in the table itself, array methods that lead there (`.sum`, `.reshape`, `.swapaxes`, …) and
comparisons, which give boolean arrays even of tensors.  A rule uses no NumPy float (`np.sqrt(2)`),
which would turn float32 into float64; Python numbers keep the type.

Where a function has a kink, the table takes a convention:

    |x|  at 0                          0, as sign(0) = 0
    maximum(x, y), minimum, max, min   equal extremes share the gradient equally
    maximum(x, 0), minimum(x, 0)       a tie with a Python number goes to the number: relu'(0) = 0

and PyTorch's at NaN: NaN is the extreme of what it stands among, so `max` and `min` hand all of the
gradient to it, and `maximum` and `minimum` to both arguments.  (For |NaN| it is NaN; PyTorch: 0.)

At poles the numbers are those of floating-point arithmetic: log 0 = -∞, 1/0 = ∞, 0/0 = NaN, and √x
has the derivative ∞ at 0.  There even a branch not taken gives NaN, as 0 · ∞: √(relu(x)) at x ≤ 0,
or where(x > 0, log x, 0) at 0.  Keep the pole out of the function, by √(relu(x) + 1e-12) or by
log(where(x > 0, x, 1)).  `detect_anomaly` finds the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import accumulate, count
from typing import Any

import numpy as np
from numpy import float16

Array = Any  # a NumPy array, a Tensor, or another array that speaks NumPy's protocols
Shape = tuple[int, ...]
Rule = Callable[..., Array]

# For each function, one rule per argument; None where no gradient flows.  `apply` looks them up.
table: dict[Callable[..., Array], Iterable[Rule | None]] = {}
# The functions whose arguments are broadcast: for them the sweep sums gradients to fit.
broadcasting: set[Callable[..., Array]] = set()


def elementwise(function: Callable[..., Array], *rules: Rule | None) -> None:
    """Enter a function that broadcasts its arguments (those of `matmul`: their batch axes).

    Its rules may give gradients of the result's shape; the reverse sweep then sums them to the
    argument's (`sum_to`).
    """
    table[function] = rules
    broadcasting.add(function)


def structural(function: Callable[..., Array], *rules: Rule | None) -> None:
    """Enter a function whose rules give gradients of exactly the arguments' shapes."""
    table[function] = rules


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), written so that no exponential overflows, and no digit is lost for x < 0."""
    if records_calls(x):
        return x.apply(sigmoid, x)
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


# --- Arithmetic ----------------------------------------------------------------------------------
# Functions that rules use and NumPy lacks stand below: `one_less`, `log_or_zero`, `share`.
# fmt: off

elementwise(np.add,      lambda g, out, x, y: g,
                         lambda g, out, x, y: g)
elementwise(np.subtract, lambda g, out, x, y: g,
                         lambda g, out, x, y: -g)
elementwise(np.multiply, lambda g, out, x, y: g * y,
                         lambda g, out, x, y: g * x)
elementwise(np.divide,   lambda g, out, x, y: g / y,
                         lambda g, out, x, y: -g * out / y)
elementwise(np.negative, lambda g, out, x: -g)
elementwise(np.square,   lambda g, out, x: 2 * x * g)
elementwise(np.power,    lambda g, out, x, y: g * (y * x ** one_less(y, x)),
                         lambda g, out, x, y: g * (out * log_or_zero(x, y)))

# --- Functions of one variable -------------------------------------------------------------------

elementwise(np.exp,      lambda g, out, x: g * out)
elementwise(np.log,      lambda g, out, x: g / x)
elementwise(np.log1p,    lambda g, out, x: g / (1 + x))
elementwise(np.sqrt,     lambda g, out, x: g / (2 * out))
elementwise(np.tanh,     lambda g, out, x: g * (1 - out * out))
elementwise(sigmoid,     lambda g, out, x: g * (out * (1 - out)))
elementwise(np.sin,      lambda g, out, x: g * np.cos(x))
elementwise(np.cos,      lambda g, out, x: -g * np.sin(x))
elementwise(np.abs,      lambda g, out, x: g * np.sign(x))
elementwise(np.sign,     None)

# --- Choices -------------------------------------------------------------------------------------

elementwise(np.maximum,  lambda g, out, x, y: share(g, out, x, y),
                         lambda g, out, x, y: share(g, out, y, x))
elementwise(np.minimum,  lambda g, out, x, y: share(g, out, x, y),
                         lambda g, out, x, y: share(g, out, y, x))
elementwise(np.where,    None,
                         lambda g, out, condition, x, y: np.where(condition, g, 0),
                         lambda g, out, condition, x, y: np.where(condition, 0, g))
# fmt: on


class Number:
    """Base class of what stands for a Python number: `program/` has such."""


def is_number(x: Array) -> bool:
    """Tell whether x is a Python number; a NumPy scalar counts as an array of shape ().

    `isinstance(x, float)` would not tell: np.float64 is a subclass of float.
    """
    return type(x) in (int, float) or isinstance(x, Number)


def share(g: Array, out: Array, mine: Array, other: Array) -> Array:
    """The part of g that goes to `mine`: all where the other lost, half where the two are equal."""
    won = g * (out != other).astype(g.dtype)
    return won if is_number(other) else won + g * (mine == other).astype(g.dtype) / 2


def one_less(y: Array, x: Array) -> Array:
    """y - 1, the exponent in y * x ** (y - 1); but 0 if y = 0 makes that 0: 0 * 0 ** -1 is NaN."""
    if is_number(y):
        return y - 1 if y != 0 else y
    return np.where((x < 0) | (x > 0) | (y != 0), y - 1, y)


def log_or_zero(x: Array, y: Array) -> Array:
    """log x, but 0 at x = 0 ≤ y: there x ** y is 0 for all y > 0, and does not change with y."""
    if is_number(x) and x != 0:  # np.log would make a NumPy float of it
        return math.log(x) if x > 0 else math.nan
    return np.log(np.where((x == 0) & (y >= 0), 1, x))


# --- Products ------------------------------------------------------------------------------------


def matmul_left(g: Array, out: Array, x: Array, y: Array) -> Array:
    """The gradient with respect to x is g yᵀ; a vector x is one row, a vector y one column."""
    if y.ndim == 1:
        return g[..., None] * y
    if y.ndim == 2 and x.ndim > 2:
        return (rows(g) @ y.swapaxes(-1, -2)).reshape(x.shape)
    return (g if x.ndim > 1 else g[..., None, :]) @ y.swapaxes(-1, -2)


def matmul_right(g: Array, out: Array, x: Array, y: Array) -> Array:
    """The gradient with respect to y is xᵀ g."""
    if y.ndim == 1:
        return x * g[..., None]
    if x.ndim == 1:
        return x[:, None] * g[..., None, :]
    if y.ndim == 2 and x.ndim > 2:
        return rows(x).swapaxes(-1, -2) @ rows(g)
    return x.swapaxes(-1, -2) @ g


def rows(x: Array) -> Array:
    """The rows of a stack of matrices, one below the other: one product instead of many."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


class EachPosition:
    """The rules of a function of any number of arrays: one rule, told the position 0, 1, 2, ….

    Each time someone goes through them, they start at 0 and never end: `zip(arrays, rules)`.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __iter__(self) -> Iterator[Rule]:
        return (partial(self.rule, position) for position in count())


def variadic(function: Callable[..., Array], rule: Rule) -> None:
    """Enter a function of any number of arrays, not broadcast; the rule gets a position first."""
    table[function] = EachPosition(rule)


def sum_of_squares(*arrays: Array) -> Array:
    """Σ x² over all elements of all arrays: the L2 penalty of a network as a single node."""
    total = np.vdot(arrays[0], arrays[0])
    for x in arrays[1:]:
        total = total + np.vdot(x, x)
    return total


# fmt: off
elementwise(np.matmul,   matmul_left, matmul_right)  # broadcasts the leading, batch axes
structural(np.vdot,      lambda g, out, x, y: g * y,  # Σ xᵢ yᵢ over all elements
                         lambda g, out, x, y: g * x)
variadic(sum_of_squares, lambda i, g, out, *arrays: 2 * g * arrays[i])
# fmt: on


# --- Reductions ----------------------------------------------------------------------------------
# Functions of our own, with metadata by keyword alone; in this file they hide Python's.  They call
# methods, which NumPy starts a microsecond sooner than its functions.


def sum(x: Array, *, axis: int | Shape | None, keepdims: bool) -> Array:
    if x.dtype.type is float16:  # NumPy may stop at 2048, as 2048 + 1 = 2048
        return x.sum(axis=axis, keepdims=keepdims, dtype=np.float32).astype(float16)
    return x.sum(axis=axis, keepdims=keepdims)


def max(x: Array, *, axis: int | Shape | None, keepdims: bool) -> Array:
    return x.max(axis=axis, keepdims=keepdims)


def min(x: Array, *, axis: int | Shape | None, keepdims: bool) -> Array:
    return x.min(axis=axis, keepdims=keepdims)


@lru_cache(maxsize=4096)
def kept(shape: Shape, axis: int | Shape | None) -> Shape:
    """The shape that a reduction over `axis` has with keepdims: `kept((3, 4), 1)` is `(3, 1)`."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = {a % len(shape) for a in axes if shape}  # of a number, NumPy allows the axis 0
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def spread(g: Array, out: Array, x: Array, *, axis: int | Shape | None, keepdims: bool) -> Array:
    """Every summand gets the whole gradient of its sum."""
    return broadcast_to(g if keepdims else g.reshape(kept(x.shape, axis)), shape=x.shape)


def share_extremes(
    g: Array, out: Array, x: Array, *, axis: int | Shape | None, keepdims: bool
) -> Array:
    """The elements equal to the extreme share its gradient equally."""
    shape = kept(x.shape, axis)
    hits = (x == out.reshape(shape)) | (x != x)  # if any is NaN, so is out
    hits = hits.astype(np.float32 if g.dtype.type is float16 else g.dtype)
    return g.reshape(shape) * (hits / hits.sum(axis=axis, keepdims=True))


structural(sum, spread)
structural(max, share_extremes)
structural(min, share_extremes)


# --- Shapes, types and indices -------------------------------------------------------------------


def records_calls(x: Array) -> bool:
    """Tell whether x has a function `apply` of its own to make calls with, as tensors have.

    NumPy's functions find that out by NumPy's protocols (NEP 13 and 18), and methods of tensors
    know.  Those functions of this file that rules call by name ask here.
    """
    return hasattr(x, "apply")


def broadcast_to(x: Array, *, shape: Shape) -> Array:
    """x repeated along new axes and along axes of size 1.

    >>> broadcast_to(np.array([1, 2]), shape=(3, 2))
    array([[1, 2],
           [1, 2],
           [1, 2]])
    """
    if records_calls(x):
        return x.apply(broadcast_to, x, shape=shape)
    if x.ndim < len(shape):
        x = x.reshape((1,) * (len(shape) - x.ndim) + x.shape)
    for axis, n in enumerate(shape):
        if x.shape[axis] != n:
            x = x.repeat(n, axis=axis)
    return x


def sum_to(x: Array, *, shape: Shape) -> Array:
    """Σ x along all axes that broadcasting `shape` to x's shape would add or stretch.

    What was broadcast was used many times, and the gradients of all uses add up.  The reverse sweep
    calls this for functions that broadcast.

    >>> sum_to(np.array([[1, 2], [3, 4], [5, 6]]), shape=(2,))
    array([ 9, 12])
    """
    if records_calls(x):
        return x.apply(sum_to, x, shape=shape)
    if len(shape) == 1 and x.ndim > 1 and x.shape[-1:] == shape:
        x = x if x.ndim == 2 else rows(x)
        return ones(x.shape[0], x.dtype) @ x  # a bias: a product sums rows twice as fast
    return sum(x, axis=stretched(shape, x.shape), keepdims=False).reshape(shape)


@lru_cache(maxsize=64)
def ones(n: int, dtype: Any) -> Array:
    return np.ones(n, dtype)


@lru_cache(maxsize=4096)
def stretched(shape: Shape, wider: Shape) -> Shape:
    """The axes that broadcasting adds or stretches: `stretched((3, 1), (2, 3, 4))` is `(0, 2)`."""
    added = len(wider) - len(shape)
    return tuple(i for i, n in enumerate(wider) if i < added or (shape[i - added] == 1 and n != 1))


def reshape(x: Array, *, shape: Shape) -> Array:
    return x.reshape(shape)


def transpose(x: Array, *, axes: Shape) -> Array:
    return x.transpose(axes)


def inverse(axes: Shape) -> Shape:
    """The permutation that undoes `axes`: `inverse((1, 2, 0))` is `(2, 0, 1)`."""
    counted = [axis % len(axes) for axis in axes]  # from the front
    return tuple(counted.index(i) for i in range(len(axes)))


def astype(x: Array, *, dtype: Any) -> Array:
    return x.astype(dtype)


def getitem(x: Array, *, index: Any) -> Array:
    return x[index]


def scatter_add(g: Array, *, index: Any, shape: Shape) -> Array:
    """Zeros of this shape, with g added in at the index: the derivative of indexing, transposed.

    >>> scatter_add(np.array([1, 2, 3]), index=np.array([0, 2, 2]), shape=(4,))
    array([1, 0, 5, 0])
    """
    if records_calls(g):
        return g.apply(scatter_add, g, index=index, shape=shape)
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts):
        place, out = as_slices(parts), np.zeros_like(g, shape=shape)
        out[place] = g.reshape(out[place].shape)
        return out
    if g.dtype.type is float16:
        return scatter_add(g.astype(np.float32), index=index, shape=shape).astype(float16)
    if is_labels(index) and len(shape) == 2:  # of single elements, `add.at` is five times as fast
        n, width = shape
        places = index.astype(np.intp)[..., None] % n * width + np.arange(width, like=index)
        flat = scatter_add(g.reshape(-1), index=places.reshape(-1), shape=(n * width,))
        return flat.reshape(shape)
    out = np.zeros_like(g, shape=shape)
    np.add.at(out, index, g)  # an index array may name an element more than once
    return out


def is_labels(index: Any) -> bool:
    """Tell whether an index is one array of integers, as the numbers of words in an embedding."""
    return hasattr(index, "dtype") and index.ndim > 0 and index.dtype.kind in "iu"


def as_slices(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same elements without dropping or adding an axis: `[None, 2, :]` becomes `[2:3, :]`.

    Some arrays, as Dask's, can be assigned to at slices only.
    """
    return tuple(
        slice(part, part + 1 or None) if type(part) is int else part  # [-1:0] would be empty
        for part in parts
        if part is not None
    )


def concatenate(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis=axis)


def own_stretch(position: int, g: Array, out: Array, *arrays: Array, axis: int) -> Array:
    """The part of a concatenation's gradient that belongs to one of the arrays."""
    ends = list(accumulate(a.shape[axis] for a in arrays))
    stretch = slice(ends[position] - arrays[position].shape[axis], ends[position])
    return g[(slice(None),) * (axis % out.ndim) + (stretch,)]


# fmt: off
elementwise(broadcast_to,    lambda g, out, x, *, shape: g)  # the sweep sums it to x's shape
structural(sum_to,           lambda g, out, x, *, shape: broadcast_to(g, shape=x.shape))
structural(reshape,          lambda g, out, x, *, shape: g.reshape(x.shape))
structural(transpose,        lambda g, out, x, *, axes: g.transpose(inverse(axes)))
structural(astype,           lambda g, out, x, *, dtype: g.astype(x.dtype))
structural(getitem,          lambda g, out, x, *, index: scatter_add(g, index=index, shape=x.shape))
structural(scatter_add,      lambda g, out, x, *, index, shape: g[index])
variadic(concatenate,        own_stretch)
# fmt: on
