"""NumPy's array functions on tensors: those that take several arrays, or are composed.

`np.stack([t, u])` comes here by NEP 18, and so do methods that are composed: `t.var()` calls
`np.var(t)`.  `functional` has the same functions for arguments that are no tensors yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import errors, primitives
from .blocks import composite
from .checks import check_shape
from .operators import Axis, Operand, count_along, plain
from .primitives import Shape
from .protocols import array_functions
from .settings import check_float, check_list
from .tensor import Tensor, apply, as_tensor


def reshape(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    return as_tensor(x).reshape(shape)


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes; by default, reverse them."""
    return as_tensor(x).transpose(axes)


def swapaxes(x: Operand, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes."""
    x = as_tensor(x)
    # An array of the shape (0, 1, 2, …) shows by its new shape where each axis went.
    order = shape_after(np.swapaxes, x, range(x.ndim), axis1=axis1, axis2=axis2)
    return x.transpose(order)


def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Tensor:
    """Insert an axis of size 1, or several."""
    x = as_tensor(x)
    return x.reshape(shape_after(np.expand_dims, x, x.shape, axis=axis))


def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """Remove axes of size 1: all of them, or those given."""
    x = as_tensor(x)
    return x.reshape(shape_after(np.squeeze, x, x.shape, axis=axis))


def shape_after(
    function: Callable[..., Any], x: Tensor, shape: Sequence[int], **options: Any
) -> Shape:
    """The shape that a function which moves no number would make of this shape."""
    try:
        result: Shape = function(np.broadcast_to(False, tuple(shape)), **options).shape
    except errors.NUMPY_ERRORS as error:
        raise errors.explained(error, function, [x], options) from error
    return result


def broadcast_to(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """Repeat x along new axes and along axes of size 1."""
    x, shape = as_tensor(x), check_shape("broadcast_to: shape", shape)
    pairs = zip(reversed(x.shape), reversed(shape))
    if x.ndim > len(shape) or not all(size in (1, wanted) for size, wanted in pairs):
        raise ValueError(
            f"broadcast_to of shape {x.shape}: to become {shape}, each axis, counted from the "
            "last, must have that size or size 1, and none can be dropped"
        )
    return apply(primitives.broadcast_to, x, shape=shape)


def where(condition: Operand, x: Operand, y: Operand) -> Tensor:
    """x where the condition holds, else y, element by element."""
    return apply(np.where, condition, x, y)


def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Join along an axis that exists; with None, as flat arrays."""
    arrays = check_list("concatenate", "arrays to join", arrays)
    if axis is None:
        return concatenate([as_tensor(a).reshape(-1) for a in arrays])
    return apply(primitives.concatenate, *arrays, axis=plain(axis))


@composite
def stack(arrays: Sequence[Operand], axis: int = 0) -> Tensor:
    """Join along a new axis."""
    arrays = check_list("stack", "arrays to join", arrays)
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


@composite
def var(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """Mean squared deviation from the mean; ddof=1 divides by n - 1 instead of n."""
    x = as_tensor(x)
    freedom = count_along("var", x.shape, axis) - check_float("var: ddof", ddof)
    squares = (x - x.mean(axis, keepdims=True)) ** 2
    return squares.sum(axis, keepdims) / max(freedom, 0.0)


def vdot(x: Operand, y: Operand) -> Tensor:
    """Σ xᵢ yᵢ over all elements of two tensors of the same shape."""
    x, y = as_tensor(x), as_tensor(y)
    if x.shape != y.shape:
        raise ValueError(f"vdot: shapes {x.shape} and {y.shape} differ")
    return apply(np.vdot, x, y)


def sum_of_squares(*arrays: Operand) -> Tensor:
    """Σ x² over all elements of all arrays: the squared norm, Euclidean or Frobenius."""
    return apply(primitives.sum_of_squares, *check_list("sum_of_squares", "arrays", arrays))


def maximum(x: Operand, y: Operand) -> Tensor:
    """The larger of two, element by element; equal elements share the gradient.

    A tie with a plain number goes to the number: the derivative of maximum(x, 0) at x = 0 is 0.
    """
    return apply(np.maximum, x, y)


def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of two, element by element; equal elements share the gradient, as in maximum."""
    return apply(np.minimum, x, y)


def of_method(name: str) -> Callable[..., Tensor]:
    """The function that calls a method of its first argument."""

    def function(x: Operand, *args: Any, **kwargs: Any) -> Tensor:
        result: Tensor = getattr(as_tensor(x), name)(*args, **kwargs)
        return result

    return function


array_functions.update(
    {
        np.sum: of_method("sum"),
        np.mean: of_method("mean"),
        np.max: of_method("max"),
        np.amax: of_method("max"),
        np.min: of_method("min"),
        np.amin: of_method("min"),
        np.var: var,
        np.reshape: reshape,
        np.transpose: transpose,
        np.swapaxes: swapaxes,
        np.expand_dims: expand_dims,
        np.squeeze: squeeze,
        np.broadcast_to: broadcast_to,
        np.where: where,
        np.concatenate: concatenate,
        np.stack: stack,
        np.vdot: vdot,
    }
)
