"""The rest of NumPy in the catalogue: `more_primitives.py` and the files of `arrays`, by subject.

`conftest.py` imports this, so whoever runs over `catalogue` runs over these functions, too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from catalogue import (
    BOTH,
    Array,
    Shape,
    Strategy,
    alike,
    an_axis,
    axes,
    axes_with_elements,
    beside,
    distant,
    enter,
    fraction,
    generators,
    narrowed,
    nonzero,
    one_of,
    other,
    place,
    positive,
    products,
    real,
    several_of,
    shapes,
    some,
    truths,
)
from hypothesis import strategies as st

from tinygrad_reg import Tensor, more_primitives
from tinygrad_reg.operators import count_along
from tinygrad_reg.primitives import kept

try:
    import torch
    from torch.nn import functional as TF
except ImportError:  # then nobody calls the functions that use it
    pass

windows_of = np.lib.stride_tricks.sliding_window_view


# --- What inputs consist of ----------------------------------------------------------------------


def inside(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Numbers between -1 and 1, at least 0.1 from these and from 0."""
    return rng.choice([-1, 1], shape) * fraction(rng, shape)


def above_one(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Numbers from 1.1 to 3.1."""
    return 1 + positive(rng, shape)


def with_zeros(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """As `nonzero`, but some are 0."""
    return nonzero(rng, shape) * (rng.random(shape) < 0.8)


def uneven(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """As `nonzero`, but never whole, so that no two sums are the same."""
    return nonzero(rng, shape)


def invertible(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Matrices whose determinants are not close to 0, and have both signs."""
    *stack, n, _ = shape
    signs = rng.choice([-1, 1], (*stack, n, 1))
    return signs * (rng.uniform(-0.3, 0.3, shape) + np.eye(n) * rng.uniform(0.7, 1.3, n))


# --- What shapes inputs have ---------------------------------------------------------------------


@st.composite
def squares(draw: Any, n: int = 1, max_dims: int = 4) -> list[Shape]:
    """Matrices with as many rows as columns, and stacks of them."""
    *stack, side = draw(shapes(min_dims=1, max_dims=max_dims - 1))
    return [(*stack, min(side, 4), min(side, 4))] * n


@st.composite
def systems(draw: Any) -> list[Shape]:
    """Stacks of systems of equations, and what stands on the right: a vector, or columns."""
    *stack, columns, n = draw(shapes(min_dims=2))
    n = min(n, 4)
    matrices = (*draw(narrowed(stack)), n, n)
    return [matrices, draw(st.sampled_from([(n,), (*draw(narrowed(stack)), n, columns)]))]


@st.composite
def chains(draw: Any) -> list[Shape]:
    """Matrices to be multiplied, of which the first and the last may be vectors."""
    sides = draw(shapes(min_dims=4, max_dims=4))
    first, *between, last = pairwise(sides)
    return [
        draw(st.sampled_from([first, first[1:]])),
        *between,
        draw(st.sampled_from([last, last[:1]])),
    ]


def two(**limits: Any) -> Strategy[list[Shape]]:
    """Two shapes that have nothing to do with each other."""
    return st.tuples(shapes(**limits), shapes(**limits)).map(list)


@st.composite
def last_axis_alike(draw: Any) -> list[Shape]:
    """Two shapes with the same last axis, or numbers."""
    x, y = draw(two(max_dims=3))
    return [x, (*y[:-1], x[-1]) if x and y else y]


@st.composite
def with_inner_axis(draw: Any) -> list[Shape]:
    """The last axis of one is as long as the last but one of the other, or its only one."""
    x, y = draw(two(max_dims=3))
    if not x or not y:
        return [x, y]
    return [x, (*y[:-2], x[-1], *y[-1:]) if len(y) > 1 else x[-1:]]


@st.composite
def contracted(draw: Any) -> list[Shape]:
    """Two shapes: the last two axes of the first are, exchanged, the first two of the second."""
    x, y = draw(shapes(min_dims=2, max_dims=4)), draw(shapes(max_dims=2))
    return [x, (x[-1], x[-2], *y)]


@st.composite
def triples(draw: Any) -> list[Shape]:
    """Vectors of three elements, stacked along axes that broadcast."""
    shape = draw(shapes(max_dims=3))
    return [(*draw(narrowed(shape)), 3) for _ in range(2)]


@st.composite
def matrices_beside_vectors(draw: Any) -> list[Shape]:
    """What `vstack` and others take for rows or columns: all matrices, or all vectors."""
    shape = draw(shapes(max_dims=3))
    return [shape] * draw(st.integers(1, 3))


# --- What other arguments there are --------------------------------------------------------------


@st.composite
def axis_pairs(draw: Any, shape: Shape) -> tuple[int, int]:
    """Two different axes."""
    i, j = draw(several_of(len(shape), least=2))[:2]
    return i, j


def axis_or_none(shape: Shape, *others: Shape) -> Strategy[Any]:
    return one_of(len(shape)) | st.none()


def axis_of_elements_or_none(shape: Shape) -> Strategy[Any]:
    return axis_or_none(shape).filter(lambda axis: count_along("max", shape, axis) > 0)


@st.composite
def moves(draw: Any, shape: Shape) -> tuple[Any, Any]:
    """Axes, and where they go."""
    n = len(shape)
    source = draw(several_of(n))
    target = draw(several_of(n, least=n))[: len(source)]
    one = len(source) == 1 and draw(st.booleans())
    return (source[0], target[0]) if one else (source, target)


@st.composite
def turns(draw: Any, shape: Shape) -> tuple[Any, Any]:
    """By how much to roll, and along which axes."""
    along = draw(axes(shape).filter(lambda a: a != ()))
    if isinstance(along, tuple) and len(along) > 1:
        return tuple(draw(st.integers(-7, 7)) for _ in along), along
    return draw(st.integers(-7, 7)), along


@st.composite
def repeats(draw: Any, shape: Shape) -> tuple[Any, Any]:
    """How often elements are repeated: all, or each its own way; and along which axis."""
    axis = draw(axis_or_none(shape))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    each = st.lists(st.integers(0, 2), min_size=n, max_size=n)
    return draw(st.integers(0, 3) | each), axis


@st.composite
def chosen(draw: Any, shape: Shape) -> tuple[Any, Any]:
    """Positions along an axis, or in the flat array, in an array of any shape."""
    axis = draw(axis_or_none(shape))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    rng, pattern = draw(generators()), draw(shapes(max_dims=2))
    return (rng.integers(-n, n, pattern) if n else np.zeros((2, 0), int)), axis


@st.composite
def ranks(draw: Any, shape: Shape) -> tuple[Any, Any]:
    """For each line along an axis, positions on it."""
    axis = draw(one_of(len(shape)))
    n = shape[axis]
    sides = list(shape)
    sides[axis] = draw(st.integers(0, 3)) if n else 0
    return draw(generators()).integers(0, max(n, 1), sides), axis


@st.composite
def cuts(draw: Any, shape: Shape) -> tuple[Any, int]:
    """Into how many parts, or at which indices; and along which axis."""
    axis = draw(one_of(len(shape)))
    n = shape[axis]
    divisors = [d for d in range(1, 7) if n % d == 0]
    indices = st.lists(st.integers(-n, n + 1), max_size=3).map(sorted)
    return draw(st.sampled_from(divisors) | indices), axis


@st.composite
def uneven_cuts(draw: Any, shape: Shape) -> tuple[Any, int]:
    axis = draw(one_of(len(shape)))
    return draw(st.integers(1, 7) | st.lists(st.integers(0, 5), max_size=3).map(sorted)), axis


@st.composite
def margins(draw: Any, shape: Shape) -> Any:
    """How much wider: a number, a pair, or a pair for each axis."""
    n = st.integers(0, 3)
    pair = st.tuples(n, n)
    several = st.tuples(*(pair for _ in shape))
    return draw(n | pair | several if shape else several.filter(len) | n)


@st.composite
def windows(draw: Any, shape: Shape) -> tuple[Any, Any]:
    """Sizes of windows, and the axes that they have."""
    along = tuple(axis for axis in draw(several_of(len(shape))) if shape[axis])
    sizes = tuple(draw(st.integers(1, min(3, shape[axis]))) for axis in along)
    if len(along) == 1 and draw(st.booleans()):
        return sizes[0], along[0]
    return sizes, along


def signed(n: int) -> Callable[..., Strategy[int]]:
    return lambda *shapes: st.integers(-n, n)


# --- In PyTorch ----------------------------------------------------------------------------------


def flat_if_none(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of PyTorch along one axis; with None, of the flat tensor."""

    def theirs(x: Any, axis: Any, **how: Any) -> Any:
        return f(x.flatten(), 0, **how) if axis is None else f(x, axis, **how)

    return theirs


def together(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of PyTorch that reduces the last axis, for NumPy's axes."""

    def theirs(x: Any, axis: Any = None, keepdims: bool = False, **how: Any) -> Any:
        along = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        dims = sorted(a % x.ndim for a in along)
        rest = [a for a in range(x.ndim) if a not in dims]
        n = int(np.prod([x.shape[a] for a in dims]))
        flat = x.permute((*rest, *dims)).reshape(*(x.shape[a] for a in rest), n)
        result = f(flat, **how)
        before = result.shape[: result.ndim - len(rest)]  # of the shares of a quantile
        return result.reshape((*before, *kept(tuple(x.shape), tuple(dims)))) if keepdims else result

    return theirs


def moved(function: Callable[..., Any]) -> Callable[..., Any]:
    """For PyTorch: where NumPy's function puts elements, read off an array of positions."""

    def theirs(x: Any, *args: Any, **how: Any) -> Any:
        at = function(np.arange(x.numel()).reshape(x.shape), *args, **how)
        return x.flatten()[torch.from_numpy(np.array(at))]

    return theirs


def in_a_row(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function gives several of, in one row, each with a factor of its own."""

    def ours(*args: Any, **how: Any) -> Tensor:
        parts = function(*args, **how)
        return np.concatenate([(i * part).reshape(-1) for i, part in enumerate(parts, start=2)])

    return ours


def in_a_row_in_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    def theirs(*args: Any, **how: Any) -> Any:
        parts = function(*args, **how)
        return torch.cat([(i * part).flatten() for i, part in enumerate(parts, start=2)])

    return theirs


def root(x: Any, n: int) -> Any:
    return x.sign() * x.abs() ** (1 / n)


# fmt: off
# --- Functions of one variable -------------------------------------------------------------------

enter("positive", real)
enter("fabs", real, kinks=True, torch=lambda x: x.abs())
enter("reciprocal", nonzero)
enter("cbrt", nonzero, torch=lambda x: root(x, 3))
for name in ("expm1", "exp2", "sinh", "cosh", "arcsinh", "arctan", "rad2deg", "deg2rad"):
    enter(name, real)
enter("degrees", real, torch=lambda x: x.rad2deg())
enter("radians", real, torch=lambda x: x.deg2rad())
enter("log2", positive)
enter("log10", positive)
enter("arccosh", above_one)
for name in ("tan", "arcsin", "arccos", "arctanh"):
    enter(name, inside)
place("arctanh and arcsin of nearly 1", lambda x: np.arctanh(x) + np.arcsin(x), [-0.99, 0.98, 0],
      torch=lambda x: x.arctanh() + x.arcsin())
place("arctan and arcsinh of large numbers", lambda x: np.arctan(x) + np.arcsinh(x), [30, -50, 2],
      torch=lambda x: x.arctan() + x.arcsinh())
place("expm1 and log2 near 0 and 1", lambda x: np.expm1(x) + np.log2(1 + x), [1e-3, -1e-3, 0],
      torch=lambda x: x.expm1() + (1 + x).log2())

# --- Functions of two variables ------------------------------------------------------------------

enter("hypot", nonzero, real)
enter("arctan2", nonzero, real)
enter("logaddexp", real, real)
enter("logaddexp2", real, real)
enter("remainder", real, nonzero, kinks=True)
enter("fmod", real, nonzero, kinks=True)
enter("remainder, a number", nonzero, f=beside(operator.mod), n=[-0.75, 0.5], left=BOTH,
      kinks=True, torch=lambda x, n, left: torch.remainder(torch.full_like(x, n), x) if left
      else torch.remainder(x, n))
place("hypot at 0 in one of its arguments", np.hypot, [0, 0, 2], [3, -1, 0],
      torch=lambda x, y: torch.hypot(x, y))
place("arctan2 on the axes", np.arctan2, [0, 0, 2, -2], [3, 1, 0, 0],
      torch=lambda x, y: torch.arctan2(x, y))
place("logaddexp of far and of equal numbers", np.logaddexp, [50, -50, 3, 0], [-50, 50, 3, 0],
      torch=lambda x, y: torch.logaddexp(x, y))

# --- Choices -------------------------------------------------------------------------------------

enter("clip", real, other, other, kinks=True, torch=lambda *xs: torch.clamp(
          *torch.broadcast_tensors(*xs)))  # as PyTorch's derivative broadcasts some shapes wrongly
enter("clip, numbers", real, f=lambda x, low, high, method: (Tensor if method else np).clip(
          x, low, high), low=[None, -1, 0, 0.5], high=[None, 1, 0.75], method=BOTH, kinks=True,
      torch=lambda x, low, high, method: x if low is high is None else x.clamp(low, high))
enter("clip, by other names", real, f=lambda x, **bounds: x.clip(**bounds), min=[None, -1, 0.5],
      max=[1, 0.75], kinks=True, torch=lambda x, min, max: x.clamp(min, max))
enter("tril", real, at=alike(min_dims=2), k=signed(4), torch=lambda x, k: x.tril(k))
enter("triu", real, at=alike(min_dims=2), k=signed(4), torch=lambda x, k: x.triu(k))
enter("sort", real, kinks=True, f=lambda x, axis: np.sort(x, axis, stable=True),
      at=alike(min_dims=1), axis=axis_or_none,
      torch=flat_if_none(lambda x, axis: x.sort(dim=axis, stable=True).values))
enter("partition", distant, at=alike(min_dims=1, empty=False), axis=axis_or_none,
      f=lambda x, axis: np.take(np.partition(x, 0, axis), 0, axis),
      torch=flat_if_none(lambda x, axis: x.amin(axis)))
enter("where, a mask", real, real, f=lambda x, y: np.where(x > y, x, y), kinks=True,
      torch=lambda x, y: torch.where(x > y, x, y))

enter("take", real, f=lambda x, how, method: x.take(*how) if method else np.take(x, *how),
      how=chosen, method=BOTH, torch=lambda x, how, method: moved(np.take)(x, *how))
enter("take_along_axis", real, at=alike(min_dims=1), how=ranks,
      f=lambda x, how: np.take_along_axis(x, *how),
      torch=lambda x, how: torch.take_along_dim(x, torch.tensor(how[0]), how[1]))
enter("compress", real, at=alike(min_dims=1), axis=[0, -1], mask=lambda shape: truths((2,)),
      method=BOTH, f=lambda x, axis, mask, method: x.compress(mask[: x.shape[axis]], axis)
      if method else np.compress(mask[: x.shape[axis]], x, axis),
      torch=lambda x, axis, mask, method: x.index_select(
          axis, torch.from_numpy(np.flatnonzero(mask[: x.shape[axis]]))))
enter("extract", real, mask=truths, f=lambda x, mask: np.extract(mask, x),
      torch=lambda x, mask: x[torch.tensor(mask)].flatten())
enter("delete", real, at=alike(min_dims=1, empty=False), axis=axis_or_none, obj=[0, -1, [0]],
      torch=moved(np.delete))
enter("resize", real, at=alike(empty=False), new_shape=lambda shape: shapes(),
      torch=moved(np.resize))
enter("repeat", real, how=repeats, method=BOTH,
      f=lambda x, how, method: x.repeat(*how) if method else np.repeat(x, *how),
      torch=lambda x, how, method: torch.repeat_interleave(
          x, torch.tensor(how[0], dtype=torch.int64), how[1]))
enter("tile", real, at=alike(max_dims=3), f=np.tile, reps=[2, 1, (), (2, 1), (1, 3, 1, 2), 0],
      torch=lambda x, reps: torch.tile(x, reps if isinstance(reps, tuple) else (reps,)))
enter("roll", real, how=turns, f=lambda x, how: np.roll(x, *how),
      torch=lambda x, how: torch.roll(x, *how))
enter("flip", real, axis=axes, torch=lambda x, axis: x.flip(
          tuple(range(x.ndim)) if axis is None else axis))
enter("flipud", real, at=alike(min_dims=1))
enter("fliplr", real, at=alike(min_dims=2))
enter("rot90", real, at=alike(min_dims=2), k=signed(5), axes=axis_pairs,
      torch=lambda x, k, axes: torch.rot90(x, k, axes))
enter("diag", real, at=alike(min_dims=1, max_dims=2), k=signed(3),
      torch=lambda x, k: torch.diag(x, k))
enter("diagonal", real, at=alike(min_dims=2), offset=signed(3), axes=axis_pairs, method=BOTH,
      f=lambda x, offset, axes, method: (Tensor if method else np).diagonal(x, offset, *axes),
      torch=lambda x, offset, axes, method: lazily_diagonal(x, offset, *axes))
enter("linalg.diagonal", real, at=alike(min_dims=2), offset=signed(3),
      f=lambda x, offset: np.linalg.diagonal(x, offset=offset),
      torch=lambda x, offset: lazily_diagonal(x, offset, -2, -1))
enter("pad", real, at=alike(max_dims=3), pad_width=margins, f=lambda x, pad_width, value: np.pad(
          x, pad_width, constant_values=value), value=[0, 2.5],
      torch=lambda x, pad_width, value: torch.from_numpy(
          padded_zeros(x, pad_width, value)) + moved_in(x, pad_width))
enter("pad, by elements", real, at=alike(max_dims=3, empty=False), pad_width=margins,
      mode=["edge", "reflect", "symmetric", "wrap"], f=np.pad, torch=moved(np.pad))
enter("sliding_window_view", real, how=windows, f=lambda x, how: windows_of(x, *how),
      torch=lambda x, how: moved(windows_of)(x, *how))
enter("add_windows", real, how=windows, f=lambda x, how: added_windows(x, *how),
      torch=lambda x, how: counted_windows(x, *how))


def lazily_diagonal(x: Any, offset: int, axis1: int, axis2: int) -> Any:
    """PyTorch refuses an offset outside of the matrix, where NumPy finds a diagonal of length 0."""
    return moved(np.diagonal)(x, offset, axis1, axis2)


def padded_zeros(x: Any, pad_width: Any, value: float) -> Array:
    return np.pad(np.zeros(x.shape), pad_width, constant_values=value)


def moved_in(x: Any, pad_width: Any) -> Any:
    """The numbers of x with zeros around them, by PyTorch's `pad`, which counts axes backwards."""
    pairs = np.broadcast_to(pad_width, (x.ndim, 2))[::-1].ravel().tolist()
    return TF.pad(x, pairs) if pairs else x


def added_windows(x: Tensor, sizes: Any, axes: Any) -> Tensor:
    """All windows added in where they were: each element as often as there are windows with it."""
    found = windows_of(x, sizes, axes)
    return found.apply(more_primitives.add_windows, found, shape=x.shape, **found.node.metadata)


def counted_windows(x: Any, sizes: Any, axes: Any) -> Any:
    positions = np.arange(x.numel()).reshape(x.shape)
    counts = np.bincount(windows_of(positions, sizes, axes).ravel(), minlength=x.numel())
    return x * torch.from_numpy(counts.reshape(x.shape).astype(float))


# --- Reductions and running sums -----------------------------------------------------------------

enter("std", distant, at=alike(empty=False), axis=lambda shape: axes_with_elements(shape, least=2),
      keepdims=BOTH, ddof=[0, 1],
      torch=together(lambda x, ddof: x.std(-1, correction=ddof)))
enter("std, correction", distant, at=alike(min_dims=1, max_dims=2, empty=False).filter(
          lambda shapes: shapes[0][0] > 1), f=np.std, axis=[0], correction=[0, 1],
      torch=lambda x, axis, correction: x.std(axis, correction=correction))
enter("var, correction", distant, at=alike(min_dims=1, max_dims=2, empty=False).filter(
          lambda shapes: shapes[0][0] > 1), f=np.var, axis=[0], correction=[0, 1],
      torch=lambda x, axis, correction: x.var(axis, correction=correction))
enter("prod", with_zeros, axis=axes, keepdims=BOTH, at=alike(max_dims=3),
      torch=together(lambda x: x.prod(-1)))
enter("ptp", distant, axis=axes_with_elements, keepdims=BOTH,
      torch=together(lambda x: x.amax(-1) - x.amin(-1)))
enter("amax", distant, axis=axes_with_elements, keepdims=BOTH, torch=together(lambda x: x.amax(-1)))
enter("amin", distant, axis=axes_with_elements, keepdims=BOTH, torch=together(lambda x: x.amin(-1)))
enter("average", real, axis=axes_with_elements, keepdims=BOTH, torch=together(lambda x: x.mean(-1)))
enter("average, weights", real, positive, at=alike(2, min_dims=1, empty=False),
      axis=lambda shape, _: axes(shape), f=lambda x, w, axis: np.average(x, axis, w),
      torch=lambda x, w, axis: together(lambda x: x.sum(-1))(x * w, axis)
      / together(lambda x: x.sum(-1))(w, axis))
enter("average, weights of one axis", real, positive, f=lambda x, w, axis: in_a_row(np.average)(
          x, axis=axis, weights=w, returned=True),
      at=alike(min_dims=1, empty=False).map(lambda shapes: [shapes[0], shapes[0][:1]]), axis=[0],
      torch=lambda x, w, axis: in_a_row_in_torch(averaged)(x, w))
enter("cumsum", real, axis=axis_or_none, torch=flat_if_none(lambda x, axis: x.cumsum(axis)))
enter("recurrence", with_zeros, real, at=alike(2, min_dims=1, max_dims=3),
      axis=lambda shape, _: st.integers(0, len(shape) - 1), f=lambda x, y, axis: x.apply(
          more_primitives.recurrence, x, y, axis=axis), torch=lambda x, y, axis: horner(x, y, axis))
enter("cumprod", with_zeros, axis=axis_or_none, at=alike(max_dims=3),
      torch=flat_if_none(lambda x, axis: x.cumprod(axis)))
enter("diff", real, at=alike(min_dims=1), n=[0, 1, 2, 3], axis=an_axis,
      torch=lambda x, n, axis: torch.diff(x, n, axis))
enter("diff, with ends", real, real, real, f=lambda x, a, b, axis: np.diff(
          x, axis=axis, prepend=a, append=b), at=alike(3, min_dims=1),
      axis=lambda shape, *_: an_axis(shape),
      torch=lambda x, a, b, axis: torch.diff(x, 1, axis, prepend=a, append=b))
place("diff, a number in front", lambda x: np.diff(x, prepend=2.5, append=0), some(3, 4),
      torch=lambda x: torch.diff(x, prepend=2.5 + 0 * x[:, :1], append=0 * x[:, :1]))
enter("median", distant, at=alike(empty=False), axis=axes_with_elements, keepdims=BOTH,
      torch=together(lambda x: torch.quantile(x, 0.5, -1)))
enter("quantile", distant, at=alike(empty=False), axis=axes_with_elements, keepdims=BOTH,
      q=[0.3, 0, [1, 0.5, 0.9]],
      torch=together(lambda x, q: torch.quantile(x, torch.tensor(q, dtype=x.dtype), -1)))
enter("percentile", distant, at=alike(empty=False), axis=axes_with_elements, keepdims=BOTH,
      q=[30, 0, [100, 50, 90]],
      torch=together(lambda x, q: torch.quantile(x, torch.tensor(q, dtype=x.dtype) / 100, -1)))


def horner(x: Any, y: Any, axis: int) -> Any:
    """y₀ + x₀ (y₁ + x₁ (…)), for each element."""
    sums = [0 * y.sum(axis)]
    for factor, summand in zip(x.unbind(axis)[::-1], y.unbind(axis)[::-1]):
        sums.append(summand + factor * sums[-1])
    return torch.stack(sums[:0:-1], axis) if len(sums) > 1 else y + 0 * x


def averaged(x: Any, w: Any) -> Any:
    """The mean along the first axis with weights, and their sum at each element of it."""
    column = w.reshape(-1, *[1] * (x.ndim - 1))
    return (x * column).sum(0) / w.sum(), w.sum().expand(x.shape[1:])


# --- Shapes --------------------------------------------------------------------------------------

enter("reshape, by NumPy", real, f=lambda x: np.reshape(x, (-1, 1)),
      at=alike(empty=False), torch=lambda x: x.reshape(-1, 1))
enter("transpose, by NumPy", real, f=np.transpose, torch=lambda x: x.permute(
          tuple(range(x.ndim)[::-1])))
enter("ravel", real)
enter("flatten", real)
enter("copy", real, torch=lambda x: x.clone())
enter("full_like", real, f=lambda x: x * np.full_like(x, 3), torch=lambda x: 3 * x)
enter("conj", real, torch=lambda x: x.conj().clone())
enter("conjugate", real, torch=lambda x: x.conj().clone())
enter("round", real, f=lambda x, method: (x.round(1) if method else np.round(x, 1)) * x,
      method=BOTH, kinks=True, torch=lambda x, method: x.round(decimals=1) * x)
enter("moveaxis", real, how=moves, f=lambda x, how: np.moveaxis(x, *how),
      torch=lambda x, how: torch.moveaxis(x, *how))
enter("rollaxis", real, at=alike(min_dims=1), axis=an_axis, start=lambda shape: one_of(len(shape)),
      torch=moved(np.rollaxis))
enter("matrix_transpose", real, at=alike(min_dims=2), torch=lambda x: x.mT)
enter("linalg.matrix_transpose", real, at=alike(min_dims=2), f=np.linalg.matrix_transpose,
      torch=lambda x: x.mT)
enter("mT", real, at=alike(min_dims=2), f=lambda x: x.mT)
enter("T", real, at=alike(min_dims=1), f=lambda x: x.T,
      torch=lambda x: x.permute(tuple(range(x.ndim)[::-1])))
for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    enter(name, real)
    enter(f"{name}, several", real, at=two(max_dims=4), f=in_a_row(getattr(np, name)),
          torch=in_a_row_in_torch(lambda *xs, name=name: getattr(torch, name)(*xs)))
enter("broadcast_arrays", real, real, f=in_a_row(np.broadcast_arrays),
      torch=in_a_row_in_torch(lambda *xs: torch.broadcast_tensors(*xs)))

# --- Joining, and taking apart -------------------------------------------------------------------

enter("stack, by NumPy", real, at=alike(2), f=lambda *xs: np.stack(xs, axis=-1),
      torch=lambda *xs: torch.stack(xs, -1))
for name in ("vstack", "hstack", "dstack", "column_stack"):
    enter(name, real, at=matrices_beside_vectors(),
          f=lambda *xs, name=name: getattr(np, name)(xs),
          torch=lambda *xs, name=name: getattr(torch, name)(xs))
enter("append", real, real, f=np.append, torch=lambda x, y: torch.cat([x.flatten(), y.flatten()]))
enter("append along an axis", real, real, at=alike(2, min_dims=1), f=np.append,
      axis=lambda shape, _: an_axis(shape), torch=lambda x, y, axis: torch.cat([x, y], axis))
enter("split", real, at=alike(min_dims=1), how=cuts, f=lambda x, how: in_a_row(np.split)(x, *how),
      torch=lambda x, how: in_a_row_in_torch(torch.tensor_split)(x, *how))
enter("array_split", real, at=alike(min_dims=1), how=uneven_cuts,
      f=lambda x, how: in_a_row(np.array_split)(x, *how),
      torch=lambda x, how: in_a_row_in_torch(torch.tensor_split)(x, *how))
for name in ("vsplit", "hsplit", "dsplit"):
    enter(name, real, at=alike(min_dims=3), cut=[1, [1], [0, 2]],
          f=lambda x, cut, name=name: in_a_row(getattr(np, name))(x, indices_or_sections=cut),
          torch=lambda x, cut, name=name: in_a_row_in_torch(getattr(torch, name))(x, cut))
place("hsplit of a vector", lambda x: in_a_row(np.hsplit)(x, indices_or_sections=2), some(4),
      torch=lambda x: in_a_row_in_torch(lambda x: torch.hsplit(x, 2))(x))
enter("unstack", real, at=alike(min_dims=1, empty=False), axis=an_axis, f=in_a_row(np.unstack),
      torch=lambda x, axis: in_a_row_in_torch(lambda x: torch.unbind(x, axis))(x))

# --- Products ------------------------------------------------------------------------------------

enter("dot", real, real, at=with_inner_axis(), torch=lambda x, y: x * y if 0 in (x.ndim, y.ndim)
      else torch.tensordot(x, y, ([-1], [-2 if y.ndim > 1 else -1])))
enter("inner", real, real, at=last_axis_alike())
enter("outer", real, real, at=two(), f=np.outer,
      torch=lambda x, y: x.reshape(-1, 1) * y.reshape(1, -1))
enter("linalg.outer", real, real, at=two(min_dims=1, max_dims=1), f=np.linalg.outer,
      torch=lambda x, y: torch.outer(x, y))
for home in (np, np.linalg):
    at_home = "tensordot" if home is np else "linalg.tensordot"
    enter(at_home, real, real, at=contracted(), f=lambda x, y, axes, home=home: home.tensordot(
              x, y, axes=axes(x.ndim)),
          axes=[lambda n: ([n - 1, n - 2], [0, 1]), lambda n: ((-2, -1), (1, 0))],
          torch=lambda x, y, axes: torch.tensordot(x, y, axes(x.ndim)))
enter("tensordot, a number of axes", real, real, at=products(), f=lambda x, y: np.tensordot(
          x, np.ravel(y[..., :1] if y.ndim > 1 else y)[: x.shape[-1]], 1)
      if x.shape[-1] and y.size else np.tensordot(x, y, 0),
      torch=lambda x, y: torch.tensordot(x, (y[..., :1] if y.ndim > 1 else y).flatten()[
          : x.shape[-1]], 1) if x.shape[-1] and y.numel() else torch.tensordot(x, y, 0))
enter("kron", real, real, at=two(max_dims=3))
enter("cross", real, real, at=triples(), torch=lambda x, y: torch.linalg.cross(
          *torch.broadcast_tensors(x, y)))
enter("cross along another axis", real, real, at=triples(), f=lambda x, y: np.cross(
          np.moveaxis(x, -1, 0), y, axisa=0, axisc=0),
      torch=lambda x, y: torch.linalg.cross(*torch.broadcast_tensors(x, y)).movedim(-1, 0))
enter("linalg.cross", real, real, at=triples(), f=np.linalg.cross,
      torch=lambda x, y: torch.linalg.cross(*torch.broadcast_tensors(x, y)))
enter("vecdot", real, real, f=np.vecdot, at=last_axis_alike().filter(all).map(
          lambda shapes: [shapes[0], shapes[0][-1:]]), torch=lambda x, y: (x * y).sum(-1))
enter("linalg.vecdot", real, real, f=np.linalg.vecdot, at=alike(2, min_dims=1),
      axis=lambda shape, _: an_axis(shape), torch=lambda x, y, axis: (x * y).sum(axis))
enter("linalg.matmul", real, real, at=products(), f=np.linalg.matmul,
      torch=lambda x, y: torch.matmul(x, y))
enter("trace", real, at=alike(min_dims=2), offset=signed(3), axes=axis_pairs, method=BOTH,
      f=lambda x, offset, axes, method: (Tensor if method else np).trace(x, offset, *axes),
      torch=lambda x, offset, axes, method: lazily_diagonal(x, offset, *axes).sum(-1))
enter("linalg.trace", real, at=alike(min_dims=2), offset=signed(3),
      f=lambda x, offset: np.linalg.trace(x, offset=offset),
      torch=lambda x, offset: lazily_diagonal(x, offset, -2, -1).sum(-1))

# --- einsum --------------------------------------------------------------------------------------

SIZES = dict(zip("abcdij", (2, 3, 4, 5, 1, 0)))
SUBSCRIPTS = [
    "ab,bc->ac", "ab,bc", "ab,ab->a", "a,b->ba", "aab->b", "aba", "ab->", "ab->ba", "a,ab,b",
    "ca,cb,cd->ad", "abc,acd->abd", "bda,bca->dc", "ab,cd->", "ib,ab->a", "ai,ic->c", "aj,jb->ab",
    "ja,ab->jb", "...a,ab->...b", "...ab->...ba", "a...,...->a...", "aa,ab,bb->b", "a, a -> a",
]  # fmt: skip


def shapes_for(subscripts: str) -> list[Shape]:
    """Sizes for labels; those of dots are 3 and 1."""
    terms = subscripts.replace(" ", "").partition("->")[0].split(",")
    return [
        (*((3, 1) if "..." in term else ()), *(SIZES[label] for label in term if label != "."))
        if term.startswith("...") or "..." not in term
        else (*(SIZES[label] for label in term if label != "."), 3, 1)
        for term in terms
    ]


for subscripts in SUBSCRIPTS:
    enter(f"einsum {subscripts!r}", real, at=st.just(shapes_for(subscripts)),
          optimize=[False, True], f=lambda *xs, optimize, subscripts=subscripts: np.einsum(
              subscripts, *xs, optimize=optimize),
          torch=lambda *xs, optimize, subscripts=subscripts: torch.einsum(subscripts, *xs))
enter("einsum, lists of labels", real, at=st.just([(2, 3), (3, 4)]),
      f=lambda x, y, output: np.einsum(x, [0, 5], y, [5, 3], *output),
      torch=lambda x, y, output: torch.einsum(x, [0, 5], y, [5, 3], *output),
      output=[[], [[3, 0]], [[]], [[0, 5, 3]]])

# --- Linear algebra ------------------------------------------------------------------------------

enter("inv", invertible, at=squares(), f=np.linalg.inv, torch=lambda x: torch.linalg.inv(x))
enter("det", invertible, at=squares(), f=np.linalg.det, torch=lambda x: torch.linalg.det(x))
enter("cofactors", invertible, at=squares(), f=lambda x: x.apply(more_primitives.cofactors, x),
      torch=lambda x: torch.linalg.det(x)[..., None, None] * torch.linalg.inv(x).mT)
enter("slogdet", invertible, at=squares(), f=in_a_row(np.linalg.slogdet),
      torch=in_a_row_in_torch(lambda x: torch.linalg.slogdet(x)))
enter("solve", invertible, real, at=systems(), f=np.linalg.solve,
      torch=lambda x, y: torch.linalg.solve(x, y if y.ndim > 1 else y[:, None])[
          (..., 0) if y.ndim == 1 else ...])
enter("cholesky", real, at=squares(), upper=BOTH, f=lambda x, upper: np.linalg.cholesky(
          x @ x.mT + np.eye(x.shape[-1], dtype=x.dtype), upper=upper),
      torch=lambda x, upper: torch.linalg.cholesky(
          x @ x.mT + torch.eye(x.shape[-1], dtype=x.dtype), upper=upper))
enter("matrix_power", invertible, at=squares(), n=[0, 1, 2, 3, 5, -1, -2], f=np.linalg.matrix_power,
      torch=lambda x, n: torch.linalg.matrix_power(x, n))
enter("multi_dot", real, at=chains(), f=lambda *xs: np.linalg.multi_dot(xs),
      torch=lambda *xs: torch.linalg.multi_dot(xs))

VECTORS = [None, 2, 1, 3, 2.5, -1, np.inf, -np.inf, 0]
MATRICES = ["fro", 1, -1, np.inf, -np.inf]
enter("norm", distant, at=alike(min_dims=2, empty=False), keepdims=BOTH, f=np.linalg.norm,
      axis=lambda shape: axis_or_none(shape) | axis_pairs(shape),
      torch=together(lambda x: torch.linalg.vector_norm(x, 2, -1)))
enter("norm of vectors", uneven, at=alike(min_dims=1, empty=False), ord=VECTORS, axis=an_axis,
      keepdims=BOTH, f=np.linalg.norm,
      torch=lambda x, ord, axis, keepdims: torch.linalg.vector_norm(
          x, 2 if ord is None else ord, axis, keepdims))
for order in (None, 2, 4):
    place(f"norm of vectors, ord={order}, with a 0",  # where |x| has a kink, and x² has none
          lambda x, order=order: np.linalg.norm(x, order, axis=1), [[0, -0.3, 1.3], [2, 0, 1]],
          torch=lambda x, order=order: torch.linalg.vector_norm(x, order or 2, 1))
place("vector_norm, with a 0", np.linalg.vector_norm, [[0, -0.3, 1.3], [2, 0, 1]],
      torch=lambda x: torch.linalg.vector_norm(x))
enter("norm of matrices", uneven, at=alike(min_dims=2, empty=False), ord=MATRICES, keepdims=BOTH,
      axis=axis_pairs, f=np.linalg.norm,
      torch=lambda x, ord, axis, keepdims: torch.linalg.matrix_norm(x, ord, axis, keepdims))
enter("vector_norm", uneven, at=alike(empty=False), ord=VECTORS[1:], axis=axes, keepdims=BOTH,
      f=np.linalg.vector_norm, torch=together(
          lambda x, ord: torch.linalg.vector_norm(x, ord, -1)))
enter("matrix_norm", uneven, at=alike(min_dims=2, empty=False), ord=MATRICES, keepdims=BOTH,
      f=np.linalg.matrix_norm, torch=lambda x, ord, keepdims: torch.linalg.matrix_norm(
          x, ord, keepdim=keepdims))
# fmt: on
