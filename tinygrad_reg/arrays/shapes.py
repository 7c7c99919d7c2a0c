"""Functions that give the elements another shape or order, and leave none out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from .. import errors, primitives
from ..attributes import bare
from ..checks import check_shape
from ..operators import Operand
from ..primitives import Shape
from ..protocols import implements, wants_gradient
from ..tensor import Tensor, apply, as_tensor, constant


@implements(np.reshape)
def reshape(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape; one size may be -1."""
    return as_tensor(x).reshape(shape)


@implements(np.ravel)
def ravel(x: Operand) -> Tensor:
    """All elements along a single axis."""
    return as_tensor(x).reshape(-1)


@implements(np.copy)
def copy(x: Operand) -> Tensor:
    """A tensor of its own with the same elements; gradients flow through."""
    x = as_tensor(x)
    return x.reshape(x.shape)


@implements(np.full_like)
def full_like(
    a: Operand,
    fill_value: Operand,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """An array of the same shape and type, all of it this constant."""
    if wants_gradient(fill_value):
        raise errors.no_gradient_through(np.full_like, "__call__", {}, None)
    options = {"dtype": dtype, "order": order, "shape": shape, "device": device}
    given = {key: x for key, x in options.items() if x is not None}  # Dask has not all
    array = np.full_like(bare(a), bare(fill_value), **given)
    return constant(array) if array.dtype.kind == "f" else array


@implements(np.transpose)
def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes; by default, reverse them."""
    return as_tensor(x).transpose(axes)


def shape_after(
    function: Callable[..., Any], x: Tensor, shape: Sequence[int], *args: Any, **options: Any
) -> Shape:
    """The shape that a function which moves no number would make of this shape."""
    try:
        result: Shape = function(np.broadcast_to(False, tuple(shape)), *args, **options).shape
    except errors.NUMPY_ERRORS as error:
        raise errors.explained_call(error, function, [x, *args], options) from error
    return result


def permuting(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Implement a function of NumPy that reorders axes."""

    @wraps(function)
    def permuted(x: Operand, *args: Any, **options: Any) -> Tensor:
        x = as_tensor(x)
        # An array of the shape (0, 1, 2, …) shows by its new shape where each axis went.
        return x.transpose(shape_after(function, x, range(x.ndim), *args, **options))

    return implements(function)(permuted)


swapaxes = permuting(np.swapaxes)
moveaxis = permuting(np.moveaxis)
rollaxis = permuting(np.rollaxis)
matrix_transpose = permuting(np.matrix_transpose)
permuting(np.linalg.matrix_transpose)


def regrouping(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Implement a function of NumPy that adds or removes axes of size 1."""

    @wraps(function)
    def regrouped(x: Operand, *args: Any, **options: Any) -> Tensor:
        x = as_tensor(x)
        return x.reshape(shape_after(function, x, x.shape, *args, **options))

    return implements(function)(regrouped)


expand_dims = regrouping(np.expand_dims)
squeeze = regrouping(np.squeeze)


def at_least(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Implement `atleast_1d` and the like, of one array or several.

    They serve to convert to arrays, as `np.asarray` does, above all in libraries like SciPy.  So
    where nothing wants a gradient they give arrays.
    """

    def widened(x: Operand) -> Tensor:
        x = as_tensor(x)
        return x.reshape(shape_after(function, x, x.shape))

    @implements(function)
    def convert(*arys: Operand) -> Any:
        if not wants_gradient(arys):
            return function(*map(bare, arys))
        wide = tuple(map(widened, arys))
        return wide[0] if len(wide) == 1 else wide

    return widened


atleast_1d, atleast_2d, atleast_3d = map(at_least, (np.atleast_1d, np.atleast_2d, np.atleast_3d))


@implements(np.broadcast_to)
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


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays: Operand) -> tuple[Tensor, ...]:
    """All arrays, repeated to a common shape."""
    tensors = [as_tensor(x) for x in arrays]
    shape = np.broadcast_shapes(*(x.shape for x in tensors))
    return tuple(broadcast_to(x, shape) for x in tensors)
