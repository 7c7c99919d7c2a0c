"""More functions in the table of `primitives.py`, by subject.  The core does without them.

The same conventions hold.  Poles are those of floating-point arithmetic here, too; and so is 0 / 0,
as in the derivative of hypot(x, y) at (0, 0).
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
                           lambda g, out, x, y: -g * np.floor(x / y))
elementwise(np.fmod,       lambda g, out, x, y: g,
                           lambda g, out, x, y: -g * np.trunc(x / y))
# fmt: on


def clip(x: Array, low: Array, high: Array) -> Array:
    """min(max(x, low), high).  As in PyTorch, x has the gradient where it is kept, ties included.

    A bound has it where it takes the place of x.
    """
    return np.clip(x, low, high)


# fmt: off
elementwise(clip, lambda g, out, x, low, high: g * (out == x),
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
    if x.shape[axis] == 0:
        return g
    one = [at(axis, slice(k, k + 1)) for k in range(x.shape[axis])]
    rest = g[one[-1]]  # what is in brackets, from the inside
    parts = []
    for k in reversed(range(1, len(one))):
        parts.append(out[one[k - 1]] * rest)
        rest = g[one[k - 1]] + x[one[k]] * rest
    return np.concatenate([rest, *parts[::-1]], axis=axis)


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
structural(prod, lambda g, out, x, *, axis: g * products_of_others(x, axis))


# --- Windows -------------------------------------------------------------------------------------


def windows(x: Array, *, sizes: Shape, axes: Shape) -> Array:
    """All windows of these sizes along these axes; positions inside come last."""
    return np.lib.stride_tricks.sliding_window_view(x, sizes, axes)


def add_windows(g: Array, *, sizes: Shape, axes: Shape, shape: Shape) -> Array:
    """Zeros of this shape, with each window added in where it was: the adjoint of `windows`.

    For each position inside a window one slice is added, for all windows at a time.
    """
    if records_calls(g):
        return g.apply(add_windows, g, sizes=sizes, axes=axes, shape=shape)
    if g.dtype.type is float16:
        wide = g.astype(np.float32)
        return add_windows(wide, sizes=sizes, axes=axes, shape=shape).astype(float16)
    out = np.zeros_like(g, shape=shape)
    for position in np.ndindex(*sizes):
        place = [slice(None)] * len(shape)
        for axis, start in zip(axes, position):
            begin = (place[axis].start or 0) + start
            place[axis] = slice(begin, begin + g.shape[axis])
        inside = (..., *position)
        out[tuple(place)] += g[inside]
    return out


structural(
    windows,
    lambda g, out, x, *, sizes, axes: add_windows(g, sizes=sizes, axes=axes, shape=x.shape),
)
structural(
    add_windows,
    lambda g, out, x, *, sizes, axes, shape: np.lib.stride_tricks.sliding_window_view(
        g, sizes, axes
    ),
)


# --- Linear algebra ------------------------------------------------------------------------------
# Giles 2008, An extended collection of matrix derivative results.  All take stacks of matrices.


def log_abs_det(x: Array) -> Array:
    """log |det x|."""
    return np.linalg.slogdet(x)[1]


def cofactors(x: Array) -> Array:
    """det x · x⁻ᵀ, which there is for singular matrices, too: the derivatives of det x."""
    if records_calls(x):
        return np.linalg.det(x)[..., None, None] * np.linalg.inv(x).swapaxes(-1, -2)
    u, s, vt = np.linalg.svd(x)
    others = np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(axis=-1)
    signs = (np.linalg.det(u) * np.linalg.det(vt))[..., None, None]
    return signs * (u * others[..., None, :]) @ vt


def solve_left(g: Array, out: Array, x: Array, y: Array) -> Array:
    """The gradient with respect to x of x⁻¹ y is -(x⁻ᵀ g) outᵀ."""
    back = solve_right(g, out, x, y)
    if y.ndim == 1:
        return -back[..., :, None] * out[..., None, :]
    return -back @ out.swapaxes(-1, -2)


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
    n = x.shape[-1]
    phi = np.tri(n, dtype=g.dtype) - np.eye(n, dtype=g.dtype) / 2
    upper = out.swapaxes(-1, -2)
    half = np.linalg.solve(upper, (upper @ g) * phi)
    whole = np.linalg.solve(upper, half.swapaxes(-1, -2))
    return (whole + whole.swapaxes(-1, -2)) / 2


def log_abs_det_rule(g: Array, out: Array, x: Array) -> Array:
    return g[..., None, None] * np.linalg.inv(x.swapaxes(-1, -2))


def inv_rule(g: Array, out: Array, x: Array) -> Array:
    transposed = out.swapaxes(-1, -2)
    return -transposed @ g @ transposed


# fmt: off
structural(np.linalg.inv,      inv_rule)
structural(np.linalg.det,      lambda g, out, x: g[..., None, None] * cofactors(x))
structural(log_abs_det,        log_abs_det_rule)
elementwise(np.linalg.solve,   solve_left, solve_right)  # broadcasts the leading, batch axes
structural(np.linalg.cholesky, cholesky_rule)
# fmt: on
