"""More functions in the table of `primitives.py`, by subject.  The core does without them.

The same conventions hold.  Poles are those of floating-point arithmetic here, too; and so is 0 / 0,
as in the derivatives of hypot(x, y) and of arctan2(y, x) at (0, 0).  Where x % y jumps, its
derivatives are those to the side on which its value lies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import float16

from .primitives import Array, Shape, elementwise, records_calls, sigmoid, structural

LOG_2, LOG_10 = math.log(2), math.log(10)  # Python numbers, which keep the type of float32

# fmt: off
# --- Functions of one variable -------------------------------------------------------------------

elementwise(np.positive,   lambda g, out, x: g)
elementwise(np.conjugate,  lambda g, out, x: g)  # tensors consist of real numbers
elementwise(np.fabs,       lambda g, out, x: g * np.sign(x))
elementwise(np.reciprocal, lambda g, out, x: -g * out * out)
elementwise(np.cbrt,       lambda g, out, x: g / (3 * out * out))
elementwise(np.expm1,      lambda g, out, x: g * (out + 1))
elementwise(np.exp2,       lambda g, out, x: g * out * LOG_2)
elementwise(np.log2,       lambda g, out, x: g / (x * LOG_2))
elementwise(np.log10,      lambda g, out, x: g / (x * LOG_10))

elementwise(np.tan,        lambda g, out, x: g * (1 + out * out))
elementwise(np.arcsin,     lambda g, out, x: g / np.sqrt((1 - x) * (1 + x)))
elementwise(np.arccos,     lambda g, out, x: -g / np.sqrt((1 - x) * (1 + x)))
elementwise(np.arctan,     lambda g, out, x: g / (1 + x * x))
elementwise(np.sinh,       lambda g, out, x: g * np.cosh(x))
elementwise(np.cosh,       lambda g, out, x: g * np.sinh(x))
elementwise(np.arcsinh,    lambda g, out, x: g / np.hypot(1, x))
elementwise(np.arccosh,    lambda g, out, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
elementwise(np.arctanh,    lambda g, out, x: g / ((1 - x) * (1 + x)))

for degrees in (np.degrees, np.rad2deg):
    elementwise(degrees,   lambda g, out, x: g * (180 / math.pi))
for radians in (np.radians, np.deg2rad):
    elementwise(radians,   lambda g, out, x: g * (math.pi / 180))

# --- Functions of two variables ------------------------------------------------------------------

elementwise(np.hypot,      lambda g, out, x, y: g * (x / out),
                           lambda g, out, x, y: g * (y / out))
elementwise(np.arctan2,    lambda g, out, y, x: g * x / (x * x + y * y),
                           lambda g, out, y, x: -g * y / (x * x + y * y))
elementwise(np.logaddexp,  lambda g, out, x, y: g * sigmoid(x - y),
                           lambda g, out, x, y: g * sigmoid(y - x))
elementwise(np.logaddexp2, lambda g, out, x, y: g * sigmoid((x - y) * LOG_2),
                           lambda g, out, x, y: g * sigmoid((y - x) * LOG_2))
elementwise(np.remainder,  lambda g, out, x, y: g,
                           lambda g, out, x, y: -g * np.floor_divide(x, y))
elementwise(np.fmod,       lambda g, out, x, y: g,
                           lambda g, out, x, y: -g * np.rint((x - out) / y))
# fmt: on


def clip(x: Array, low: Array, high: Array) -> Array:
    """min(max(x, low), high).  As in PyTorch, x has the gradient where it is kept, ties included.

    A bound has it where it takes the place of x.
    """
    return np.clip(x, low, high)


# fmt: off
elementwise(clip, lambda g, out, x, low, high: g * ((x >= low) & (x <= high)),
                  lambda g, out, x, low, high: g * ((x < low) & (low < high)),
                  lambda g, out, x, low, high: g * ((x > high) | (low > high)))
# fmt: on


# --- Sums and products of the first elements -----------------------------------------------------
# Along one axis, counted from the front.


def at(axis: int, index: Any) -> tuple[Any, ...]:
    """The index of a part along an axis."""
    return (*[slice(None)] * axis, index)


def backwards(x: Array, axis: int) -> Array:
    return x[at(axis, slice(None, None, -1))]


def cumsum(x: Array, *, axis: int) -> Array:
    if x.dtype.type is float16 and not records_calls(x):
        return x.cumsum(axis=axis, dtype=np.float32).astype(float16)
    return x.cumsum(axis=axis)


def sums_from_the_end(g: Array, out: Array, x: Array, *, axis: int) -> Array:
    """Each element is in all sums from its own on."""
    return backwards(cumsum(backwards(g, axis), axis=axis), axis)


def cumprod(x: Array, *, axis: int) -> Array:
    return x.cumprod(axis=axis)


def sums_of_products(g: Array, out: Array, x: Array, *, axis: int) -> Array:
    """For element k, outₖ₋₁ (gₖ + xₖ₊₁ (gₖ₊₁ + xₖ₊₂ (…))).  Nothing is divided, so x may be 0."""
    first = np.ones_like(out[at(axis, slice(0, 1))])
    before = np.concatenate([first, out[at(axis, slice(0, -1))]], axis=axis)
    return before * recurrence(next_along(x, axis), g, axis=axis)


def next_along(x: Array, axis: int) -> Array:
    """The next element along the axis, 0 for the last."""
    last = np.zeros_like(x[at(axis, slice(0, 1))])
    return np.concatenate([x[at(axis, slice(1, None))], last], axis=axis)


def recurrence(x: Array, y: Array, *, axis: int) -> Array:
    """s with sₖ = yₖ + xₖ sₖ₊₁ along an axis, from the last to the first.

    >>> recurrence(np.array([10, 10, 10]), np.array([1, 2, 3]), axis=0)
    array([321,  32,   3])
    """
    if records_calls(x):
        return x.apply(recurrence, x, y, axis=axis)
    if y.shape[axis] == 0:
        return y
    one = [at(axis, slice(k, k + 1)) for k in range(y.shape[axis])]
    sums = [y[one[-1]]]
    for k in reversed(range(len(one) - 1)):
        sums.append(y[one[k]] + x[one[k]] * sums[-1])
    return np.concatenate(sums[::-1], axis=axis)


def recurrence_right(g: Array, out: Array, x: Array, y: Array, *, axis: int) -> Array:
    """The same recurrence in the other direction: hₖ = gₖ + xₖ₋₁ hₖ₋₁."""
    x, g = backwards(x, axis), backwards(g, axis)
    return backwards(recurrence(next_along(x, axis), g, axis=axis), axis)


def recurrence_left(g: Array, out: Array, x: Array, y: Array, *, axis: int) -> Array:
    """With this h, hₖ sₖ₊₁."""
    return recurrence_right(g, out, x, y, axis=axis) * next_along(out, axis)


def prod(x: Array, *, axis: int) -> Array:
    """Π x along an axis, which keeps the size 1."""
    return x.prod(axis=axis, keepdims=True)


def products_of_others(x: Array, axis: int) -> Array:
    """The product of all other elements along the axis.  Nothing is divided, so x may be 0."""
    return products_before(x, axis) * backwards(products_before(backwards(x, axis), axis), axis)


def products_before(x: Array, axis: int) -> Array:
    """The product of all elements before each one along the axis, 1 for the first."""
    first = np.ones_like(x[at(axis, slice(0, 1))])
    before = x[at(axis, slice(0, -1))].cumprod(axis=axis)
    return np.concatenate([first, before], axis=axis)


structural(cumsum, sums_from_the_end)
structural(cumprod, sums_of_products)
structural(recurrence, recurrence_left, recurrence_right)
structural(prod, lambda g, out, x, *, axis: g * products_of_others(x, axis))


# --- Windows -------------------------------------------------------------------------------------


def sliding_window_view(x: Array, *, window_shape: Shape, axis: Shape) -> Array:
    """All windows of these sizes along these axes; positions inside come last."""
    return np.lib.stride_tricks.sliding_window_view(x, window_shape, axis)


def add_windows(g: Array, *, shape: Shape, window_shape: Shape, axis: Shape) -> Array:
    """Zeros of this shape, with each window added in where it was: the adjoint of these views.

    For each position inside a window one slice is added, for all windows at a time.
    """
    if records_calls(g):
        return g.apply(add_windows, g, shape=shape, window_shape=window_shape, axis=axis)
    if g.dtype.type is float16:
        wide = g.astype(np.float32)
        sums = add_windows(wide, shape=shape, window_shape=window_shape, axis=axis)
        return sums.astype(float16)
    out = np.zeros_like(g, shape=shape)
    for position in np.ndindex(*window_shape):
        place = [slice(None)] * len(shape)
        for i, start in zip(axis, position):
            begin = (place[i].start or 0) + start
            place[i] = slice(begin, begin + g.shape[i])
        inside = (..., *position)
        out[tuple(place)] += g[inside]
    return out


def windows_added(g: Array, out: Array, x: Array, *, window_shape: Shape, axis: Shape) -> Array:
    return add_windows(g, shape=x.shape, window_shape=window_shape, axis=axis)


def windows_taken(
    g: Array, out: Array, x: Array, *, shape: Shape, window_shape: Shape, axis: Shape
) -> Array:
    return np.lib.stride_tricks.sliding_window_view(g, window_shape, axis)


structural(sliding_window_view, windows_added)
structural(add_windows, windows_taken)


# --- Linear algebra ------------------------------------------------------------------------------
# Giles 2008, An extended collection of matrix derivative results.  All take stacks of matrices.


def log_abs_det(x: Array) -> Array:
    """log |det x|."""
    return np.linalg.slogdet(x)[1]


def cofactors(x: Array) -> Array:
    """det x · x⁻ᵀ, which there is for singular matrices, too: the derivatives of det x.

    With x = U S Vᵀ they are det U · det V · U S' Vᵀ, where S' has for each singular value the
    product of all others.
    """
    if records_calls(x):
        return x.apply(cofactors, x)
    u, s, vt = np.linalg.svd(x)
    others = np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(axis=-1)
    signs = (np.linalg.det(u) * np.linalg.det(vt))[..., None, None]
    return signs * (u * others[..., None, :]) @ vt


def cofactors_rule(g: Array, out: Array, x: Array) -> Array:
    """(Σ g · out) x⁻ᵀ - out gᵀ x⁻ᵀ.  A singular matrix has no inverse: NumPy raises an error."""
    inverse = np.linalg.inv(x.swapaxes(-1, -2))
    total = (g * out).sum(axis=(-2, -1), keepdims=True)
    return total * inverse - out @ g.swapaxes(-1, -2) @ inverse


def solve_left(g: Array, out: Array, x: Array, y: Array) -> Array:
    """The gradient with respect to x of x⁻¹ y is -(x⁻ᵀ g) outᵀ."""
    back = solve_right(g, out, x, y)
    if y.ndim == 1:
        return -(back[..., :, None] * out[..., None, :])
    return -(back @ out.swapaxes(-1, -2))


def solve_right(g: Array, out: Array, x: Array, y: Array) -> Array:
    """The gradient with respect to y is x⁻ᵀ g; a vector is one column."""
    transposed = x.swapaxes(-1, -2)
    if y.ndim == 1:
        return np.linalg.solve(transposed, g[..., None])[..., 0]
    return np.linalg.solve(transposed, g)


def cholesky_rule(g: Array, out: Array, x: Array) -> Array:
    """Of L⁻ᵀ Φ(Lᵀ g) L⁻¹ the symmetric part; Φ halves the diagonal, and drops what is above it.

    Murray 2016, Differentiation of the Cholesky decomposition, equation 10.
    """
    upper = out.swapaxes(-1, -2)
    product = upper @ g
    half = np.linalg.solve(upper, (np.tril(product) + np.tril(product, -1)) / 2)
    whole = np.linalg.solve(upper, half.swapaxes(-1, -2))
    return (whole + whole.swapaxes(-1, -2)) / 2


def log_abs_det_rule(g: Array, out: Array, x: Array) -> Array:
    return g[..., None, None] * np.linalg.inv(x.swapaxes(-1, -2))


def inv_rule(g: Array, out: Array, x: Array) -> Array:
    transposed = out.swapaxes(-1, -2)
    return -(transposed @ g @ transposed)


# fmt: off
structural(np.linalg.inv,      inv_rule)
structural(np.linalg.det,      lambda g, out, x: g[..., None, None] * cofactors(x))
structural(cofactors,          cofactors_rule)
structural(log_abs_det,        log_abs_det_rule)
elementwise(np.linalg.solve,   solve_left, solve_right)  # broadcasts the leading, batch axes
structural(np.linalg.cholesky, cholesky_rule)
# fmt: on
