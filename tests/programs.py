"""Random programs, written down in our spelling and beside it in PyTorch's, run in both.

A program is a text: what is executed is what is printed, so a program that fails runs just as well
outside the tests.  Programs are drawn operation by operation, with values known while drawing:
PyTorch says which shapes fit, and operands are such that results are well conditioned and no kink
is near, where a difference in the last digit would decide between two derivatives.

To enter a new operation, add a line: the text, the text in PyTorch (or SAME), a condition for each
operand, and what draws the rest.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tinygrad_reg import Tensor

torch = pytest.importorskip(
    "torch", reason='PyTorch is not installed: the oracle is silent; pip install -e ".[oracle]"'
)

Array = Any
Condition = Callable[..., Any]
SAME = "the same text works in PyTorch"


@dataclass(frozen=True)
class Operation:
    """One function, as a text with {0}, {1}, … for operands and {names} for all else.

    ours         in our spelling
    theirs       in PyTorch's
    conditions   one for each operand: whether a value may be it, given the operands before it
    draw         from (rng, *operands) to what the names stand for
    """

    ours: str
    theirs: str
    conditions: tuple[Condition, ...]
    draw: Callable[..., dict[str, Any]]


# --- What operands must be like ------------------------------------------------------------------
# Each is told a value and the operands before it.


def real(x: Array, *before: Array) -> bool:
    return True


def positive(x: Array) -> Any:
    return np.all(x > 0.2)


def nonzero(x: Array, *before: Array) -> Any:
    return np.all(abs(x) > 0.2)


def inside(x: Array) -> Any:
    return np.all(abs(x) < 0.95)


def above_one(x: Array) -> Any:
    return np.all(x > 1.2)


def away_from_origin(y: Array, x: Array) -> Any:
    """Nowhere are x and y both close to 0."""
    return fits(y, x) and np.all(abs(x) + abs(y) > 0.2)


def fits(y: Array, x: Array) -> bool:
    """The shapes broadcast."""
    return all(n == m or 1 in (n, m) for n, m in zip(x.shape[::-1], y.shape[::-1]))


def divisor(y: Array, x: Array) -> Any:
    """Not close to 0, and no element of x close to a multiple of y."""
    if not fits(y, x) or not nonzero(y):
        return False
    return np.all(abs(x / y - np.round(x / y)) > 1e-4)


def no_multiple_of(n: float) -> Condition:
    return lambda x: divisor(np.array(n), x)


def off(kink: float) -> Condition:
    return lambda x, *before: np.all(abs(x - kink) > 1e-4)


def apart(y: Array, x: Array) -> Any:
    """No element of y is close to the element of x that it meets."""
    return fits(y, x) and np.all(abs(x - y) > 1e-4)


def distinct(x: Array) -> Any:
    return x.size and np.all(np.diff(np.sort(x, axis=None)) > 1e-4)


def filled(x: Array) -> bool:
    return x.size > 0


def with_axes(x: Array) -> bool:
    return x.ndim > 0


def rows(x: Array) -> bool:
    return with_axes(x) and filled(x)


def grid(x: Array) -> bool:
    return x.ndim > 1 and filled(x)


def matrix(x: Array) -> bool:
    return x.ndim == 2 and filled(x)


def rectangular(x: Array) -> bool:
    return x.ndim == 2


def at_least_matrix(x: Array) -> bool:
    return x.ndim > 1


def vector_or_matrix(x: Array) -> bool:
    return x.ndim in (1, 2)


def rows_unlike(x: Array) -> Any:
    """Distinct numbers, and axes."""
    return with_axes(x) and distinct(x)


def lengths(x: Array) -> Any:
    """Rows none of which is close to 0."""
    return rows(x) and np.all(np.sum(x * x, axis=-1) > 0.04)


def spread_out(x: Array) -> Any:
    """Rows of two elements or more, with a standard deviation."""
    return rows(x) and x.shape[-1] > 1 and np.all(np.std(x, axis=-1) > 0.1)


def same_length(y: Array, x: Array) -> bool:
    return x.ndim > 0 and y.ndim > 0 and x.shape[-1] == y.shape[-1]


def small(y: Array, *before: Array) -> bool:
    return y.size <= 6


def alike(y: Array, x: Array) -> bool:
    return y.shape == x.shape and filled(y)


def factor(y: Array, x: Array) -> bool:
    """y has as many rows as x has columns; a vector is one column."""
    return y.ndim > 0 and y.shape[-2:][0] == x.shape[-1]


def joinable(y: Array, x: Array) -> bool:
    return bool(axes_to_join(x, y))


def axes_to_join(x: Array, y: Array) -> list[int]:
    """The axes along which x and y can be joined: all others have the same sizes."""

    def others(shape: tuple[int, ...], a: int) -> tuple[int, ...]:
        return shape[:a] + shape[a + 1 :]

    axes = range(x.ndim if x.ndim == y.ndim else 0)
    return [a for a in axes if others(x.shape, a) == others(y.shape, a)]


def batch(x: Array) -> bool:
    """Two values or more for each feature."""
    return x.ndim in (2, 3) and x.size >= 2 * x.shape[1] > 0


def per_feature(w: Array, x: Array, *before: Array) -> bool:
    return w.shape == x.shape[1:2]


def weight(w: Array, x: Array) -> bool:
    return w.ndim == 2 and factor(w, x)


def bias(b: Array, x: Array, w: Array) -> bool:
    return b.shape == w.shape[1:]


# --- What is drawn beside operands ---------------------------------------------------------------


def nothing(rng: Any, *operands: Array) -> dict[str, Any]:
    return {}


def number(*choices: Any) -> Callable[..., dict[str, Any]]:
    return lambda rng, *operands: {"n": choices[rng.integers(len(choices))]}


def some_axis(rng: Any, n: int) -> int:
    return int(rng.integers(-n, n))


def coin(rng: Any, p: float = 0.5) -> bool:
    return bool(rng.random() < p)


def one_axis(rng: Any, x: Array) -> dict[str, Any]:
    return {"axis": some_axis(rng, x.ndim), "keepdims": coin(rng)}


def new_axis(rng: Any, x: Array, *others: Array) -> dict[str, Any]:
    return {"axis": some_axis(rng, x.ndim + 1)}


def reduced(rng: Any, x: Array) -> dict[str, Any]:
    """No axis, one or several; PyTorch calls all of them a tuple."""
    kind = rng.integers(3) if x.ndim else 0
    every = tuple(range(x.ndim))
    if kind == 0:
        axis, dims = None, every
    elif kind == 1:
        axis = dims = some_axis(rng, x.ndim)
    else:
        some = rng.permutation(x.ndim)[: rng.integers(1, x.ndim + 1)]
        axis = dims = tuple(int(a) - x.ndim * coin(rng) for a in some)
    return {"axis": axis, "dims": dims, "keepdims": coin(rng)}


def along(rng: Any, x: Array, *others: Array) -> dict[str, Any]:
    return {"axis": some_axis(rng, x.ndim)}


def cut(rng: Any, x: Array) -> dict[str, Any]:
    """A part of several along an axis."""
    n = int(rng.integers(1, 4))
    return {**along(rng, x), "n": n, "i": int(rng.integers(n))}


def shifted(rng: Any, x: Array) -> dict[str, Any]:
    return {**along(rng, x), "n": int(rng.integers(-4, 5))}


def ends(rng: Any, x: Array) -> dict[str, Any]:
    """How much to put at the ends of the last axis, in NumPy's words and in PyTorch's."""
    before, after = map(int, rng.integers(0, 3, 2))
    return {
        "width": [(0, 0)] * (x.ndim - 1) + [(before, after)],
        "ends": (before, after),
        "n": [0, 0.5][rng.integers(2)],
    }


def chosen(rng: Any, x: Array) -> dict[str, Any]:
    """Indices along an axis."""
    axis = some_axis(rng, x.ndim)
    return {"axis": axis, "rows": positions(rng, x.shape[axis], rng.integers(1, 4))}


def quantities(rng: Any, x: Array) -> dict[str, Any]:
    """How often to repeat each element along an axis."""
    axis = some_axis(rng, x.ndim)
    return {"axis": axis, "counts": rng.integers(0, 3, x.shape[axis]).tolist()}


def reshaped(rng: Any, x: Array) -> dict[str, Any]:
    shapes = [(x.size,), (1, x.size), x.shape[::-1], (*x.shape, 1)]
    shapes += [(n, -1) for n in (1, 2, 3, 4) if x.size and x.size % n == 0]
    return {"shape": shapes[rng.integers(len(shapes))]}


def permuted(rng: Any, x: Array) -> dict[str, Any]:
    return {"axes": tuple(int(a) - x.ndim * coin(rng) for a in rng.permutation(x.ndim))}


def two_axes(rng: Any, x: Array) -> dict[str, Any]:
    return {"i": some_axis(rng, x.ndim), "j": some_axis(rng, x.ndim)}


def stretched(rng: Any, x: Array) -> dict[str, Any]:
    more = (2,) if coin(rng) else ()
    return {"shape": more + tuple(3 if n == 1 and coin(rng) else n for n in x.shape)}


def shrunk(rng: Any, x: Array) -> dict[str, Any]:
    narrower = tuple(1 if coin(rng) else n for n in x.shape)
    return {"shape": narrower[int(rng.integers(x.ndim + 1)) :]}


def joined(rng: Any, x: Array, y: Array) -> dict[str, Any]:
    fit = axes_to_join(x, y)
    return {"axis": fit[rng.integers(len(fit))] - x.ndim * coin(rng)}


def basic_index(rng: Any, x: Array) -> dict[str, Any]:
    parts = list(rng.choice(["0", "-1", ":", "1:", ":-1", "::2", "-2:"], rng.integers(x.ndim + 1)))
    for special in "None", "...":
        if coin(rng):
            parts.insert(rng.integers(len(parts) + 1), special)
    return {"index": ", ".join(parts) or "..."}


def positions(rng: Any, n: int, shape: Any) -> Any:
    return rng.integers(-n, n, shape).tolist()


def index_arrays(rng: Any, x: Array) -> dict[str, Any]:
    """Indices into the first axis and, of a shape that broadcasts to theirs, into the last."""
    n = rng.integers(1, 4)
    return {
        "rows": positions(rng, x.shape[0], (2, n) if coin(rng) else n),
        "columns": positions(rng, x.shape[-1], n),
    }


def mask(rng: Any, x: Array, *others: Array) -> dict[str, Any]:
    return {"mask": (rng.random(x.shape) < 0.6).tolist()}


def mask_of_rows(rng: Any, x: Array) -> dict[str, Any]:
    return mask(rng, x[(..., *(0,) * (x.ndim - 1))])


def places(rng: Any, x: Array) -> dict[str, Any]:
    """Where the rows of x go in an array with another number of rows, and the slice for them."""
    n = int(rng.integers(2, 5))
    return {
        "rows": positions(rng, n, x.shape[0]),
        "shape": (n, *x.shape[1:]),
        "stop": len(x) + 1,
        "longer": (len(x) + 2, *x.shape[1:]),
    }


def labels(rng: Any, x: Array) -> dict[str, Any]:
    n, classes = x.shape
    return {"labels": rng.integers(classes, size=n).tolist(), "s": [0.0, 0.1][rng.integers(2)]}


# --- The operations ------------------------------------------------------------------------------

operations: list[Operation] = []


def enter(ours: str, theirs: str, *conditions: Condition, draw: Any = nothing) -> None:
    operations.append(Operation(ours, ours if theirs is SAME else theirs, conditions, draw))


# fmt: off
enter("{0} + {1}", SAME, real, real)
enter("{0} - {1}", SAME, real, real)
enter("{0} * {1}", SAME, real, real)
enter("{0} / {1}", SAME, real, nonzero)
enter("{0} ** {1}", SAME, positive, off(0))  # at 0, PyTorch's ∂²/∂x∂y of x ** y is 0, not 1/x
enter("-{0}", SAME, real)
enter("{n} - {0}", SAME, real, draw=number(1, 0.5))
enter("{n} * {0}", SAME, real, draw=number(-1.5, 0.5, 3))
enter("{n} / {0}", SAME, nonzero, draw=number(1, 2.5))
enter("{0} ** {n}", SAME, positive, draw=number(-1.5, 0.5, 2.5))
enter("{0} ** {n}", SAME, nonzero, draw=number(-2, -1, 0, 1, 2, 3))
enter("{n} ** {0}", SAME, real, draw=number(0.5, 2))
enter("np.square({0})", "torch.square({0})", real)
enter("np.exp({0})", "torch.exp({0})", real)
enter("np.log({0})", "torch.log({0})", positive)
enter("np.log1p({0})", "torch.log1p({0})", positive)
enter("np.sqrt({0})", "torch.sqrt({0})", positive)
enter("np.tanh({0})", "torch.tanh({0})", real)
enter("np.sin({0})", "torch.sin({0})", real)
enter("np.cos({0})", "torch.cos({0})", real)
enter("abs({0})", SAME, off(0))
enter("np.sign({0})", "torch.sign({0})", off(0))
enter("np.positive({0})", "torch.positive({0})", real)
enter("{0}.conj()", "{0}.conj().clone()", real)
enter("np.fabs({0})", "torch.abs({0})", off(0))
enter("np.reciprocal({0})", "torch.reciprocal({0})", nonzero)
enter("np.cbrt({0})", "{0} ** (1 / 3)", positive)
enter("np.expm1({0})", "torch.expm1({0})", real)
enter("np.exp2({0})", "torch.exp2({0})", real)
enter("np.log2({0})", "torch.log2({0})", positive)
enter("np.log10({0})", "torch.log10({0})", positive)
enter("np.tan({0})", "torch.tan({0})", inside)
enter("np.arcsin({0})", "torch.arcsin({0})", inside)
enter("np.arccos({0})", "torch.arccos({0})", inside)
enter("np.arctan({0})", "torch.arctan({0})", real)
enter("np.sinh({0})", "torch.sinh({0})", real)
enter("np.cosh({0})", "torch.cosh({0})", real)
enter("np.arcsinh({0})", "torch.arcsinh({0})", real)
enter("np.arccosh({0})", "torch.arccosh({0})", above_one)
enter("np.arctanh({0})", "torch.arctanh({0})", inside)
enter("np.degrees({0} / 60)", "torch.rad2deg({0} / 60)", real)
enter("np.rad2deg({0} / 60)", "torch.rad2deg({0} / 60)", real)
enter("np.radians({0} * 60)", "torch.deg2rad({0} * 60)", real)
enter("np.deg2rad({0} * 60)", "torch.deg2rad({0} * 60)", real)

enter("np.hypot({0}, {1})", "torch.hypot({0}, {1})", real, away_from_origin)
enter("np.arctan2({0}, {1})", "torch.arctan2({0}, {1})", off(0), away_from_origin)
enter("np.logaddexp({0}, {1})", "torch.logaddexp({0}, {1})", real, real)
enter("np.logaddexp2({0}, {1})", "torch.logaddexp2({0}, {1})", real, real)
enter("{0} % {1}", SAME, real, divisor)
enter("{0} % 0.75", SAME, no_multiple_of(0.75))
enter("np.fmod({0}, {1})", "torch.fmod({0}, {1})", real, divisor)

enter("np.clip({0}, -0.4, 0.9)", "{0}.clamp(-0.4, 0.9)", lambda x: off(-0.4)(x) and off(0.9)(x))
enter("{0}.clip(max=0.9)", "{0}.clamp(max=0.9)", off(0.9))
enter("np.clip({0}, {1}, {1} + 0.5)",  # of one shape, as PyTorch's derivative broadcasts wrongly
      "torch.clamp({0}, {1}, {1} + 0.5)", real, lambda y, x: alike(y, x) and apart(y, x)
      and apart(y + 0.5, x))
enter("np.maximum({0}, {1})", "torch.maximum({0}, {1})", real, apart)
enter("np.minimum({0}, {1})", "torch.minimum({0}, {1})", real, apart)
enter("np.maximum({0}, 0.3)", "{0}.clamp(min=0.3)", off(0.3))
enter("np.minimum(0.3, {0})", "{0}.clamp(max=0.3)", off(0.3))
enter("np.where({0} > 0.3, {0}, {1})", "torch.where({0} > 0.3, {0}, {1})", off(0.3), real)
enter("np.where(np.array({mask}), {0}, {1})", "torch.where(torch.tensor({mask}), {0}, {1})",
      filled, real, draw=mask)
enter("np.where(np.array({mask}), {0}, 0.5)", "torch.where(torch.tensor({mask}), {0}, 0.5)",
      filled, draw=mask)

enter("{0} @ {1}", SAME, with_axes, factor)
enter("np.vdot({0}, {1})", "({0} * {1}).sum()", real, alike)
enter("F.sum_of_squares({0}, {1})", "{0}.square().sum() + {1}.square().sum()", real, real)

enter("np.sum({0}, axis={axis}, keepdims={keepdims})", "{0}.sum({dims}, {keepdims})",
      real, draw=reduced)
enter("np.max({0}, axis={axis}, keepdims={keepdims})", "{0}.amax({dims}, {keepdims})",
      distinct, draw=reduced)
enter("np.min({0}, axis={axis}, keepdims={keepdims})", "{0}.amin({dims}, {keepdims})",
      distinct, draw=reduced)
enter("np.mean({0}, axis={axis}, keepdims={keepdims})", "{0}.mean({dims}, {keepdims})",
      filled, draw=reduced)
enter("np.var({0}, axis={axis}, keepdims={keepdims})",
      "{0}.var({dims}, keepdim={keepdims}, correction=0)", rows, draw=reduced)
enter("np.std({0}, axis=-1, ddof={n})", "{0}.std(-1, correction={n})", spread_out,
      draw=number(0, 1))
enter("np.prod({0}, axis={axis}, keepdims={keepdims})", "{0}.prod({axis}, {keepdims})",
      with_axes, draw=one_axis)
enter("np.prod({0})", "{0}.prod()", real)
enter("np.cumsum({0}, axis={axis})", "{0}.cumsum({axis})", with_axes, draw=along)
enter("np.cumprod({0}, axis={axis})", "{0}.cumprod({axis})", with_axes, draw=along)
enter("np.ptp({0}, axis=-1)", "{0}.amax(-1) - {0}.amin(-1)", rows_unlike)
enter("np.median({0}, axis=-1)", "{0}.quantile(0.5, -1)", rows_unlike)
enter("np.quantile({0}, [0.3, 0.8], axis={axis}, keepdims={keepdims})",
      "{0}.quantile(torch.tensor([0.3, 0.8], dtype={0}.dtype), {axis}, {keepdims})",
      rows_unlike, draw=one_axis)
enter("np.average({0}, weights={1})", "({0} * {1}).sum() / {1}.sum()", real,
      lambda w, x: alike(w, x) and positive(w))
enter("np.diff({0}, axis={axis})", "torch.diff({0}, dim={axis})", with_axes, draw=along)
enter("np.sort({0}, axis={axis})", "{0}.sort({axis}).values", rows_unlike, draw=along)
enter("np.linalg.norm({0}, axis=-1)", "torch.linalg.norm({0}, dim=-1)", lengths)
enter("np.linalg.norm({0}, {n}, axis=-1)", "torch.linalg.norm({0}, {n}, dim=-1)",
      lambda x: lengths(x) and nonzero(x), draw=number(1, 3))

enter("np.dot({0}, {1})", "{0} @ {1}", vector_or_matrix,
      lambda y, x: vector_or_matrix(y) and factor(y, x))
enter("np.inner({0}, {1})", "torch.inner({0}, {1})", with_axes, same_length)
enter("np.outer({0}, {1})", "torch.outer({0}.flatten(), {1}.flatten())", small, small)
enter("np.kron({0}, {1})", "torch.kron({0}, {1})", small, small)
enter("np.tensordot({0}, {1}, axes=([-1], [-1]))", "torch.tensordot({0}, {1}, ([-1], [-1]))",
      with_axes, same_length)
enter("np.einsum('...a,...a->...', {0}, {1})", "torch.einsum('...a,...a->...', {0}, {1})",
      with_axes, same_length)
enter("np.einsum('ab,cb->ca', {0}, {1})", "torch.einsum('ab,cb->ca', {0}, {1})", rectangular,
      lambda y, x: rectangular(y) and same_length(y, x))
enter("np.einsum('ab,ab,a->b', {0}, {1}, {0}[:, 0])",
      "torch.einsum('ab,ab,a->b', {0}, {1}, {0}[:, 0])", matrix, alike)

enter("{0}.reshape({shape})", SAME, real, draw=reshaped)
enter("{0}.transpose({axes})", "{0}.permute({axes})", real, draw=permuted)
enter("{0}.swapaxes({i}, {j})", SAME, with_axes, draw=two_axes)
enter("np.broadcast_to({0}, {shape})", "{0}.broadcast_to({shape})", real, draw=stretched)
enter("np.expand_dims({0}, {axis})", "{0}.unsqueeze({axis})", real, draw=new_axis)
enter("np.squeeze({0})", "{0}.squeeze()", real)
enter("{0}.astype(np.longdouble)", "{0}.double()", real)  # more digits, which PyTorch does not have
enter("{0}.astype(np.float64)", "{0}.double()", real)

enter("{0}[{index}]", SAME, with_axes, draw=basic_index)
enter("{0}[..., ::-1]", "{0}.flip(-1)", with_axes)
enter("{0}[np.array({rows})]", "{0}[torch.tensor({rows})]", rows, draw=index_arrays)
enter("{0}[..., np.array({rows})]", "{0}[..., torch.tensor({rows})]", rows,
      draw=lambda rng, x: index_arrays(rng, x.T))
enter("{0}[np.array({rows}), ..., np.array({columns})]",
      "{0}[torch.tensor({rows}), ..., torch.tensor({columns})]", grid, draw=index_arrays)
enter("{0}[np.array({mask})]", "{0}[torch.tensor({mask})]", filled, draw=mask)
enter("{0}[np.array({mask})]", "{0}[torch.tensor({mask})]", grid, draw=mask_of_rows)
enter("primitives.scatter_add({0}, index=np.array({rows}), shape={shape})",
      "{0}.new_zeros({shape}).index_put((torch.tensor({rows}),), {0}, accumulate=True)",
      rows, draw=places)
enter("primitives.scatter_add({0}, index=slice(1, {stop}), shape={longer})",
      "{0}.new_zeros({longer}).slice_scatter({0}, 0, 1, {stop})", rows, draw=places)
enter("{0}.apply(primitives.sum_to, {0}, shape={shape})", "{0}.sum_to_size({shape})",
      real, draw=shrunk)
enter("np.concatenate([{0}, {1}], axis={axis})", "torch.cat([{0}, {1}], {axis})",
      with_axes, joinable, draw=joined)
enter("np.concatenate([{0}, {1}, {0}], axis={axis})", "torch.cat([{0}, {1}, {0}], {axis})",
      with_axes, joinable, draw=joined)
enter("np.stack([{0}, {1}], axis={axis})", "torch.stack([{0}, {1}], {axis})",
      real, alike, draw=new_axis)
enter("np.take({0}, {rows}, axis={axis})", "{0}.index_select({axis}, torch.tensor({rows}))",
      rows, draw=chosen)
enter("np.repeat({0}, {counts}, axis={axis})",
      "{0}.repeat_interleave(torch.tensor({counts}, dtype=int), {axis})", rows, draw=quantities)
enter("np.tile({0}, {n})", "{0}.tile({n})", small, draw=number((2,), (2, 1), (1, 3)))
enter("np.roll({0}, {n}, axis={axis})", "{0}.roll({n}, {axis})", with_axes, draw=shifted)
enter("np.flip({0}, axis={axis})", "{0}.flip({axis})", with_axes, draw=along)
enter("np.moveaxis({0}, {i}, {j})", "{0}.movedim({i}, {j})", with_axes, draw=two_axes)
enter("np.array_split({0}, {n}, axis={axis})[{i}]", "{0}.tensor_split({n}, {axis})[{i}]",
      with_axes, draw=cut)
enter("np.pad({0}, {width}, constant_values={n})", "TF.pad({0}, {ends}, value={n})", with_axes,
      draw=ends)
enter("np.diag({0}, {n})", "torch.diag({0}, {n})", lambda x: matrix(x) and min(x.shape) > 1,
      draw=number(-1, 0, 1))
enter("np.diag({0})", "torch.diag({0})", lambda x: x.ndim == 1)
enter("np.tril({0}, {n})", "torch.tril({0}, {n})", at_least_matrix, draw=number(-1, 0, 1))
enter("np.trace({0})", "{0}.trace()", rectangular)
enter("np.vstack([{0}, {1}])", "torch.vstack([{0}, {1}])", real, alike)
enter("np.hstack([{0}, {1}])", "torch.hstack([{0}, {1}])", real, alike)
enter("np.lib.stride_tricks.sliding_window_view({0}, 2, axis={axis})", "{0}.unfold({axis}, 2, 1)",
      lambda x: with_axes(x) and min(x.shape) > 1, draw=along)
enter("{0}.apply(more_primitives.recurrence, {0}, {1}, axis=0)",
      "{0}.flip(0).cumprod(0).flip(0) * 0 + ({1} + {0} * torch.cat([{1}[1:], 0 * {1}[:1]]))",
      lambda x: with_axes(x) and x.shape[0] == 2, alike)

enter("np.linalg.inv(gram({0}))", "torch.linalg.inv(gram({0}))", matrix)
enter("np.linalg.solve(gram({0}), {1}.astype(np.float64))", "torch.linalg.solve(gram({0}), {1})",
      matrix, lambda y, x: rectangular(y) and y.shape[0] == x.shape[1])
enter("np.linalg.cholesky(gram({0}))", "torch.linalg.cholesky(gram({0}))", matrix)
enter("np.linalg.det(gram({0} / 3))", "torch.linalg.det(gram({0} / 3))", matrix)
enter("np.linalg.slogdet(gram({0}))[1]", "torch.linalg.slogdet(gram({0}))[1]", matrix)

enter("F.relu({0})", "TF.relu({0})", off(0))
enter("F.leaky_relu({0}, 0.2)", "TF.leaky_relu({0}, 0.2)", off(0))
enter("F.sigmoid({0})", "TF.sigmoid({0})", real)
enter("F.softplus({0})", "TF.softplus({0}, threshold=40)", real)
enter("F.softmax({0}, {axis})", "TF.softmax({0}, {axis})", rows, draw=one_axis)
enter("F.log_softmax({0}, {axis})", "TF.log_softmax({0}, {axis})", rows, draw=one_axis)
enter("F.logsumexp({0}, {axis}, {keepdims})", "{0}.logsumexp({axis}, {keepdims})",
      rows, draw=one_axis)
enter("F.linear({0}, {1}, {2})", "TF.linear({0}, {1}.T, {2})", rows, weight, bias)
enter("F.batch_norm({0}, None, None, training=True, eps=0.1)",
      "TF.batch_norm({0}, None, None, training=True, eps=0.1)", batch)
enter("F.batch_norm({0}, None, None, {1}, {2}, training=True, eps=0.1)",
      # PyTorch reads past the end of a weight that is one number, broadcast.
      "TF.batch_norm({0}, None, None, {1}.contiguous(), {2}, training=True, eps=0.1)",
      batch, per_feature, per_feature)
enter("F.dropout({0}, 0.5, mask={mask})", "{0} * torch.tensor({mask}) * 2", filled, draw=mask)
enter("F.cross_entropy({0}, {labels}, label_smoothing={s})",
      "TF.cross_entropy({0}, torch.tensor({labels}), label_smoothing={s})", matrix, draw=labels)
enter("F.binary_cross_entropy_with_logits({0}, F.sigmoid({1}))",
      "TF.binary_cross_entropy_with_logits({0}, TF.sigmoid({1}))", filled, alike)
enter("F.mse_loss({0}, {1})", "TF.mse_loss({0}, {1})", filled, alike)
enter("F.l1_penalty([{0}, {1}], [0.3, 2])", "0.3 * {0}.abs().sum() + 2 * {1}.abs().sum()",
      off(0), off(0))
enter("F.l2_penalty({0}, 0.3)", "0.15 * {0}.square().sum()", real)
# fmt: on


# --- Programs ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaf:
    """A line that makes two equal leaves, x7 and PyTorch's t7."""

    numbers: Array
    requires_grad: bool = True
    operands: tuple[int, ...] = ()

    def text(self, k: int) -> str:
        shown = self.numbers.tolist() if self.numbers.size else f"np.zeros({self.numbers.shape})"
        return f"x{k}, t{k} = leaf({shown}{'' if self.requires_grad else ', requires_grad=False'})"


@dataclass(frozen=True)
class Step:
    """A line that computes x9 from x4 and x7, say, and t9 from t4 and t7."""

    operation: Operation
    operands: tuple[int, ...]
    metadata: dict[str, Any]

    def ours(self) -> str:
        return self.operation.ours.format(*(f"x{i}" for i in self.operands), **self.metadata)

    def theirs(self) -> str:
        return self.operation.theirs.format(*(f"t{i}" for i in self.operands), **self.metadata)

    def text(self, k: int) -> str:
        return f"{f'x{k} = {self.ours()}':<42} ; t{k} = {self.theirs()}"


Program = dict[int, "Leaf | Step"]  # by the number of the line, which is also that of its value


def unused(program: Program) -> list[int]:
    used = {i for line in program.values() for i in line.operands}
    return [k for k in program if k not in used]


# The functions of a program are printed with it, so that it runs by itself.


def leaf(numbers, requires_grad=True):
    """The same numbers twice."""
    numbers = np.array(numbers, dtype=np.float64)
    return Tensor(numbers, requires_grad), torch.tensor(numbers, requires_grad=requires_grad)


def gram(x):
    """xᵀ x + 1, which is positive definite, in the type that LAPACK has."""
    if isinstance(x, Tensor):
        return (x.T @ x).astype(np.float64) + np.eye(x.shape[1])
    return x.T @ x + torch.eye(x.shape[1])


def agree(what, ours, theirs):
    """Assert that arrays agree up to 1e-9 of the largest number in them, or of 1."""
    theirs = [t.numpy(force=True) for t in theirs]
    scale = max([1.0] + [abs(t).max(initial=0) for t in theirs])
    for x, t in zip(ours, theirs):
        assert x.shape == t.shape, f"{what}: shape {x.shape}, in PyTorch {t.shape}"
        error = abs(x.numpy() - t).max(initial=0) / scale
        assert error < 1e-9, f"{what}: {x.numpy()}, in PyTorch {t}, which is {error:.0e} off"


def compare(leaves, results):
    """Values, then gradient and Hessian-vector product of Σ weights · v² over all v given."""
    xs, ts = zip(*leaves)
    agree("values", *zip(*results))
    rng = np.random.default_rng(0)
    loss = expected_loss = 0
    for x, t in (*leaves, *results):
        weights = np.array(rng.normal(size=x.shape))
        loss = loss + (weights * x * x).sum()
        expected_loss = expected_loss + (torch.tensor(weights) * t * t).sum()

    expected = torch.autograd.grad(expected_loss, ts, create_graph=True)
    loss.backward()
    agree("gradient", [x.grad for x in xs], expected)
    for x in xs:
        x.grad = None
    loss.backward(create_graph=True)
    gradient = [x.grad for x in xs]
    agree("gradient, recorded", gradient, expected)

    directions = [np.array(rng.normal(size=x.shape)) for x in xs]
    for x in xs:
        x.grad = None
    for g, direction in zip(gradient, directions):
        g.backward(direction)
    products = torch.autograd.grad(expected, ts, [torch.tensor(d) for d in directions])
    agree("Hessian-vector product", [x.grad for x in xs], products)


def script(program: Program) -> str:
    """The program as a Python file."""

    def pairs(numbers: Sequence[int]) -> str:
        return "[" + ", ".join(f"(x{k}, t{k})" for k in numbers) + "]"

    leaves = [k for k, line in program.items() if isinstance(line, Leaf) and line.requires_grad]
    return "\n".join(
        [
            "import numpy as np",
            "import torch",
            "from torch.nn import functional as TF",
            "",
            "from tinygrad_reg import Tensor, more_primitives, primitives",
            "from tinygrad_reg import functional as F",
            "",
            *(f"\n{inspect.getsource(function)}" for function in (leaf, gram, agree, compare)),
            "",
            *(line.text(k) for k, line in program.items()),
            f"compare({pairs(leaves)}, {pairs(unused(program))})",
            "",
        ]
    )


def run(program: Program) -> tuple[dict[str, Any], Exception | None]:
    """The names that the script leaves behind, and how it failed, if it did."""
    names: dict[str, Any] = {}
    try:
        exec(script(program), names)
    except Exception as error:
        return names, error
    return names, None


# --- Drawing and shrinking them ------------------------------------------------------------------


def draw_program(seed: int) -> Program:
    """A program of 5 to 60 steps."""
    rng = np.random.default_rng(seed)
    program: Program = {}
    names: dict[str, Any] = {"torch": torch, "TF": torch.nn.functional, "gram": gram}
    sizes = [1, *rng.choice([2, 3, 4], 2, replace=False)]

    def add(line: Leaf | Step, value: Any) -> None:
        names[f"t{len(program)}"] = value
        program[len(program)] = line

    for i in range(rng.integers(2, 6)):
        shape = [0 if coin(rng, 0.03) else rng.choice(sizes) for _ in range(rng.integers(4))]
        numbers = np.round(rng.uniform(0.3, 2, shape) if coin(rng) else rng.normal(size=shape), 2)
        add(Leaf(numbers, requires_grad=i == 0 or coin(rng, 0.8)), torch.tensor(numbers))

    length = len(program) + rng.integers(5, 61)
    while len(program) < length:
        step = draw_step(rng, program, names)
        if step is None:
            continue
        try:
            value = eval(step.theirs(), names)
        except (RuntimeError, IndexError):  # the shapes do not fit
            continue
        if value.numel() <= 48 and torch.all(value.abs() < 10):
            add(step, value)
    return program


def draw_step(rng: Any, program: Program, names: dict[str, Any]) -> Step | None:
    """An operation and operands that meet its conditions, or None where there are none."""
    operation = operations[rng.integers(len(operations))]
    operands: list[int] = []
    values: list[Array] = []
    for condition in operation.conditions:
        order = rng.permutation(len(program)).tolist()
        if coin(rng, 0.6):  # for programs deep rather than wide
            order = rng.permutation(unused(program)).tolist() + order
        for k in order:
            value = names[f"t{k}"].numpy()
            if condition(value, *values):
                operands.append(k)
                values.append(value)
                break
        else:
            return None
    return Step(operation, tuple(operands), operation.draw(rng, *values))


def shrunk(program: Program) -> Program:
    """What remains of a failing program if everything goes that it fails without.

    From the last line to the first, and again while that helps: a line that nobody uses is left
    out, one that is used becomes a leaf with the same numbers, rounded if that will do.
    """
    names, error = run(program)
    length = len(program)
    for k in reversed(program):
        if k in unused(program):
            candidates = [{i: line for i, line in program.items() if i != k}]
        else:
            numbers = names[f"t{k}"].numpy(force=True)
            candidates = [{**program, k: Leaf(n)} for n in (np.round(numbers, 2), numbers)]
        for candidate in candidates:
            if type(run(candidate)[1]) is type(error):
                program = candidate
                break
    return shrunk(program) if len(program) < length else program
