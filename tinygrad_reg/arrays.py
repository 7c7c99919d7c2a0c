"""NumPy's array functions for tensors: those that take several, or are no methods in NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import primitives
from .errors import from_front, several, sizes
from .scope import composite
from .tensor import Axis, Operand, Tensor, apply, array_functions, as_tensor


def reshape(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    return as_tensor(x).reshape(shape)


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes; by default, reverse them."""
    return as_tensor(x).transpose(axes)


def where(condition: Operand, x: Operand, y: Operand) -> Tensor:
    """x where the condition holds, else y, element by element."""
    return apply(np.where, condition, x, y)


def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Join along an axis that exists; with None, as flat arrays."""
    arrays = several("concatenate", "arrays to join", arrays)
    if axis is None:
        return concatenate([as_tensor(a).reshape(-1) for a in arrays])
    return apply(primitives.concatenate, *arrays, axis=axis)


@composite
def stack(arrays: Sequence[Operand], axis: int = 0) -> Tensor:
    """Join along a new axis."""
    tensors = [as_tensor(a) for a in several("stack", "arrays to join", arrays)]
    axis = from_front("stack", axis, tensors[0].ndim + 1)
    return concatenate([expand_dims(t, axis) for t in tensors], axis)


def expand_dims(x: Operand, axis: int) -> Tensor:
    """Insert an axis of size 1."""
    x = as_tensor(x)
    at = from_front("expand_dims", axis, x.ndim + 1)
    return x.reshape(*x.shape[:at], 1, *x.shape[at:])


def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """Remove axes of size 1: all of them, or those given."""
    x = as_tensor(x)
    if axis is None:
        drop = {i for i, n in enumerate(x.shape) if n == 1}
    else:
        axes = axis if isinstance(axis, tuple) else (axis,)
        drop = {from_front("squeeze", a, x.ndim) for a in axes}
    if any(x.shape[i] != 1 for i in drop):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} is not of size 1")
    return x.reshape(tuple(n for i, n in enumerate(x.shape) if i not in drop))


def broadcast_to(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """Repeat x along new axes and along axes of size 1."""
    x, shape = as_tensor(x), sizes("broadcast_to: shape", shape)
    if len(shape) < x.ndim:
        raise ValueError(f"broadcast_to: shape {x.shape} has more axes than {shape}")
    return apply(primitives.broadcast_to, x, shape=shape)


def vdot(x: Operand, y: Operand) -> Tensor:
    """Σ xᵢ yᵢ over all elements of two tensors of the same shape."""
    x, y = as_tensor(x), as_tensor(y)
    if x.shape != y.shape:
        raise ValueError(f"vdot: shapes {x.shape} and {y.shape} differ")
    return apply(np.vdot, x, y)


def sum_of_squares(*arrays: Operand) -> Tensor:
    """Σ x² over all elements of all arrays: the squared norm, Euclidean or Frobenius."""
    return apply(primitives.sum_of_squares, *several("sum_of_squares", "arrays", arrays))


def maximum(x: Operand, y: Operand) -> Tensor:
    """The larger of two, element by element; equal elements share the gradient.

    A tie with a plain number goes to the number: the derivative of maximum(x, 0) at x = 0 is 0.
    """
    return apply(np.maximum, x, y)


def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of two, element by element; equal elements share the gradient, as in maximum."""
    return apply(np.minimum, x, y)


# What np.sum(t), np.where(c, t, u), … call (NEP 18).
array_functions.update(
    {
        np.sum: Tensor.sum,
        np.mean: Tensor.mean,
        np.var: Tensor.var,
        np.max: Tensor.max,
        np.amax: Tensor.max,
        np.min: Tensor.min,
        np.amin: Tensor.min,
        np.reshape: reshape,
        np.transpose: transpose,
        np.swapaxes: Tensor.swapaxes,
        np.broadcast_to: broadcast_to,
        np.concatenate: concatenate,
        np.expand_dims: expand_dims,
        np.squeeze: squeeze,
        np.stack: stack,
        np.vdot: vdot,
        np.where: where,
    }
)
