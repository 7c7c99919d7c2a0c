"""`np.linalg` on tensors: norms, inverses, determinants, and what is composed of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce, wraps
from typing import Any, NamedTuple

import numpy as np

from .. import errors, more_primitives
from ..attributes import bare
from ..blocks import composite
from ..checks import check_bool
from ..half import through_float32
from ..operators import Axis, Operand, axes_of
from ..primitives import kept
from ..protocols import implements, wants_gradient
from ..settings import check_float, check_int, check_list
from ..tensor import Tensor, apply, as_tensor, constant
from .choices import diagonal
from .products import cross, dot, outer, tensordot
from .reductions import as_float, root_or_zero, without
from .shapes import matrix_transpose, moveaxis


def of_matrices(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Implement a function of `np.linalg` that stands in the table."""

    @wraps(function)
    def of_tensors(*arrays: Operand) -> Tensor:
        return apply(function, *map(as_float, arrays))

    return implements(function)(of_tensors)


inv = of_matrices(np.linalg.inv)
det = of_matrices(np.linalg.det)
solve = of_matrices(np.linalg.solve)


@implements(np.linalg.cholesky)
def cholesky(a: Operand, /, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L Lᵀ = a, or its transpose."""
    x = as_float(a)
    if check_bool("cholesky: upper", upper):  # which reads the upper triangle
        return matrix_transpose(apply(np.linalg.cholesky, matrix_transpose(x)))
    return apply(np.linalg.cholesky, x)


class SlogdetResult(NamedTuple):
    """The sign of a determinant, a constant, and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


@implements(np.linalg.slogdet)
@composite
def slogdet(a: Operand) -> SlogdetResult:
    """The sign of det a, a constant, and log |det a|."""
    x = as_float(a)
    logabsdet = apply(more_primitives.log_abs_det, x)
    return SlogdetResult(constant(np.linalg.slogdet(x._array).sign), logabsdet)


# --- Norms ---------------------------------------------------------------------------------------


@implements(np.linalg.norm)
@composite
@through_float32
def norm(x: Operand, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors (one axis) or matrices (two); by default Euclidean or Frobenius.

    Where it is 0 its derivative is 0.  For vectors and ord < 1 there are poles at elements of 0.

    Parameters
    ----------
    x
        Of any shape; an axis of None takes all elements together if ord is None, too.
    ord
        As NumPy's.  The norms 2, -2 and "nuc" of matrices, which need singular values, have no
        gradient.
    axis
        One or two.
    keepdims
        Whether they are left with size 1.
    """
    t, ord = as_float(x), checked_order(ord)
    if ord is None and axis is None:
        return root_or_zero((t * t).sum(None, keepdims), 2)
    axes = axes_of("norm", t.shape, range(t.ndim) if axis is None else axis)
    if len(axes) == 1:
        return norm_of_vectors(t, ord, axes[0], keepdims)
    if len(axes) == 2:
        return norm_of_matrices(t, ord, axes, keepdims)
    raise ValueError(f"norm of shape {t.shape}, ord={ord!r}: name one axis or two")


def checked_order(ord: Any) -> Any:
    """The order of a norm, by which nothing is differentiated."""
    if wants_gradient(ord):
        raise errors.lost_gradient("norm: ord")
    return bare(ord)


def norm_of_vectors(x: Tensor, ord: Any, axis: int, keepdims: bool) -> Tensor:
    """(Σ |x|ᵖ)^(1/p), or its limit for p = ∞ and -∞; for p = 0 how many are not 0."""
    if ord == math.inf:
        return x.abs().max(axis, keepdims)
    if ord == -math.inf:
        return x.abs().min(axis, keepdims)
    if ord == 0:
        return as_tensor((x != 0).sum(axis=axis, keepdims=keepdims)).astype(x.dtype)
    p = check_float("norm: ord, of vectors,", 2 if ord is None else ord)
    powers = x * x if p == 2 else x.abs() ** p  # |x| has a kink at 0, x² has none
    total = powers.sum(axis, keepdims)
    return root_or_zero(total, p) if p > 0 else total ** (1 / p)


def norm_of_matrices(x: Tensor, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """The greatest or least sum of a column or row, or Frobenius."""
    if ord in (None, "fro", "f"):
        return root_or_zero((x * x).sum(axes, keepdims), 2)
    if ord in (1, -1, math.inf, -math.inf):
        summed, other = axes if abs(ord) == 1 else axes[::-1]
        sums = x.abs().sum(summed, keepdims=True)
        extreme = sums.max(other, keepdims=True) if ord > 0 else sums.min(other, keepdims=True)
        return extreme if keepdims else extreme.squeeze(axes)
    if wants_gradient(x):
        raise errors.no_gradient_through(np.linalg.norm, "__call__", {}, [f"ord={ord!r}"])
    return as_tensor(np.linalg.norm(x._array, ord, axes, keepdims))


@implements(np.linalg.vector_norm)
@composite
@through_float32
def vector_norm(
    x: Operand, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2
) -> Tensor:
    """The norm of all elements along one axis or several; see `norm`."""
    t, ord = as_float(x), checked_order(ord)
    axes = axes_of("vector_norm", t.shape, range(t.ndim) if axis is None else axis)
    flat = moveaxis(t, axes, range(-len(axes), 0)).reshape(*without(axes, t.shape), -1)
    result = norm_of_vectors(flat, ord, -1, keepdims=False)
    return result.reshape(kept(t.shape, axes)) if keepdims else result


@implements(np.linalg.matrix_norm)
@composite
def matrix_norm(x: Operand, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norm of matrices, in the last two axes; see `norm`."""
    return norm(x, ord, (-2, -1), keepdims)


# --- Products ------------------------------------------------------------------------------------


@implements(np.trace)
@composite
def trace(a: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal of two axes."""
    return diagonal(a, offset, axis1, axis2).sum(-1)


@implements(np.linalg.trace)
def matrix_trace(x: Operand, /, *, offset: int = 0) -> Tensor:
    """The sum of a diagonal of the last two axes."""
    return trace(x, offset, -2, -1)


@implements(np.linalg.matrix_power)
@composite
def matrix_power(a: Operand, n: int) -> Tensor:
    """The product of n times the same matrix; of its inverse for n < 0."""
    x, n = as_tensor(a), check_int("matrix_power: n", n)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power of shape {x.shape}: matrices must be square")
    if n < 0:
        x, n = inv(x), -n
    power = None
    while n:  # x, x², x⁴, …, of which those are multiplied that n consists of
        if n % 2:
            power = x if power is None else power @ x
        n //= 2
        if n:
            x = x @ x
    if power is None:
        return as_tensor(np.zeros_like(x._array) + np.eye(x.shape[-1], dtype=x.dtype))
    return power


@implements(np.linalg.multi_dot)
@composite
def multi_dot(arrays: Sequence[Operand]) -> Tensor:
    """The product of matrices, from left to right."""
    factors = [as_tensor(x) for x in check_list("multi_dot", "arrays to multiply", arrays)]
    if len(factors) < 2 or not all(x.ndim in (1, 2) for x in factors):
        shapes = [x.shape for x in factors]
        raise ValueError(f"multi_dot of shapes {shapes}: two matrices or more are needed")
    product: Tensor = reduce(dot, factors)
    return product


@implements(np.linalg.outer)
def outer_of_vectors(x: Operand, y: Operand, /) -> Tensor:
    """The products of all elements of a vector with all of another."""
    if as_tensor(x).ndim != 1 or as_tensor(y).ndim != 1:
        raise ValueError("outer: np.linalg.outer takes vectors; np.outer takes arrays of any shape")
    return outer(x, y)


implements(np.linalg.tensordot)(lambda x, y, /, *, axes=2: tensordot(x, y, axes))
implements(np.linalg.cross)(lambda x, y, /, *, axis=-1: cross(x, y, axis=axis))
implements(np.linalg.matmul)(lambda x, y, /: as_tensor(x) @ y)


@implements(np.vecdot)
@composite
def vecdot(x: Operand, y: Operand) -> Tensor:
    """Σ x y over the last axis."""
    return vecdot_along(x, y)


@implements(np.linalg.vecdot)
@composite
@through_float32
def vecdot_along(x: Operand, y: Operand, /, *, axis: int = -1) -> Tensor:
    """Σ x y over an axis."""
    x, y = as_tensor(x), as_tensor(y)
    x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"vecdot: vectors of {x.shape[-1]} and of {y.shape[-1]} elements")
    if x.dtype.kind != "f" and y.dtype.kind != "f":  # for them NumPy's sums have types of their own
        return as_tensor(np.vecdot(x._array, y._array))
    return (x * y).sum(-1)
