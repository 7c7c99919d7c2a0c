"""Every primitive and every composite, once: where to try it, and what PyTorch calls it.

All gradient tests run over `catalogue`.  To enter a new function, add a line:

    enter("arctan", real)

that is its name, and what numbers each input consists of.  From this, Hypothesis draws entries: the
function at one place.  Shapes go from no axis to four, with sides of size 0 and 1 among them and
the others all unequal, since a wrong axis goes unnoticed on a square.  Numbers keep away from
kinks, where a difference quotient says nothing; or they are whole numbers, with zeros and ties.  If
the function has kinks there, such an entry only serves to compare conventions with PyTorch's.

`place` enters a function at one place only, which deserves a name: there is a single entry then.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

from tinygrad_reg import Tensor, primitives
from tinygrad_reg import functional as F
from tinygrad_reg.operators import count_along
from tinygrad_reg.tensor import Recorder, constant, gradients

try:
    import torch
    from torch.nn import functional as TF
except ImportError:  # then nobody calls the functions that use it
    pass

Array = Any
Shape = tuple[int, ...]
Strategy = st.SearchStrategy
SAME = "the same name, or the same text, works in PyTorch"


@dataclass(frozen=True)
class Entry:
    """One function at one place.

    name     says what and how
    inputs   float64 arrays
    smooth   whether f has derivatives there, and not conventions
    f        from tensors to a tensor
    torch    f for PyTorch's tensors, or None where PyTorch has nothing like it
    """

    name: str
    inputs: tuple[Array, ...]
    smooth: bool
    f: Callable[..., Tensor] = field(repr=False)
    torch: Callable[..., Any] | None = field(repr=False)

    def leaves(self, dtype: Any = np.float64) -> list[Tensor]:
        return [Tensor(x.astype(dtype), requires_grad=True) for x in self.inputs]


catalogue: dict[str, Strategy[Entry]] = {}


# --- For tests that run over it ------------------------------------------------------------------


def each_entry(test: Callable[[Entry], None]) -> Callable[..., None]:
    """Make of a test of one entry a test of each function of the catalogue, on drawn entries."""

    def on_drawn_entries(name: str, pytestconfig: pytest.Config) -> None:
        run(test, name, pytestconfig.getoption("examples"))

    on_drawn_entries.__doc__ = test.__doc__
    return pytest.mark.parametrize("name", catalogue)(on_drawn_entries)


def run(test: Callable[[Entry], None], name: str, n: int) -> None:
    """Call a test with n entries of a function, the same ones each time.

    They are drawn in tens, since from the eleventh on Hypothesis mostly varies what it drew before.
    """
    for start in range(0, n, 10):
        repeatable = seed(f"{test.__name__} {start}")
        ten = settings(
            max_examples=min(10, n - start),
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        repeatable(ten(given(catalogue[name])(test)))()


def sample(name: str, n: int) -> list[Entry]:
    """n entries of a function, the same ones each time."""
    entries = []

    def collect(entry: Entry) -> None:
        entries.append(entry)

    run(collect, name, n)
    return entries


def pull_back(
    result: Tensor, u: Array, leaves: Sequence[Tensor], create_graph: bool = False
) -> list[Tensor]:
    """Jᵀu for each leaf, zero where the result does not depend on it."""
    arriving = u if isinstance(u, Tensor) else constant(u)
    nodes = [x.node for x in leaves]
    found = gradients(result, arriving, nodes, Recorder() if create_graph else None)
    totals = [found.get(x, 0 * x.value) for x in nodes]
    return [g if isinstance(g, Tensor) else constant(g) for g in totals]


# --- What inputs consist of ----------------------------------------------------------------------
# Each is called as kind(rng, shape, whole): `whole` asks for whole numbers, if it has any.

Kind = Callable[[np.random.Generator, Shape, bool], Array]


def positive(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Numbers from 0.1 to 2.1, a little apart from each other and from whole numbers."""
    if whole:
        return rng.integers(1, 4, shape).astype(float)
    steps = rng.choice(2000, shape, replace=False) + rng.uniform(0.2, 0.4, shape)
    return 0.1 + steps / 1000


def nonzero(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """As `positive`, of both signs."""
    return rng.choice([-1, 1], shape) * positive(rng, shape, whole)


def real(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """As `nonzero`, but whole numbers may be 0."""
    return rng.integers(-2, 3, shape).astype(float) if whole else nonzero(rng, shape)


def other(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """As `real`, but what is not whole is also a little apart from all such numbers there."""
    x = real(rng, shape, whole)
    return x if whole else x + np.copysign(0.0005, x)


def distant(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Numbers at least 0.2 apart from each other, and 0.1 from 0."""
    n = int(np.prod(shape))
    return 0.2 * (rng.permutation(n).reshape(shape) - n // 2) + 0.1


def fraction(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Numbers from 0.1 to 0.9."""
    return rng.uniform(0.1, 0.9, shape)


def distribution(rng: np.random.Generator, shape: Shape, whole: bool = False) -> Array:
    """Rows of probabilities."""
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


# --- What shapes inputs have ---------------------------------------------------------------------


@st.composite
def shapes(draw: Any, min_dims: int = 0, max_dims: int = 4, empty: bool = True) -> Shape:
    """Unequal sides of 2 to 6, but some of size 1, and a few of size 0 where that is wanted."""
    ndim = draw(st.sampled_from([n for n in (2, 3, 4, 1, 2, 3, 0, 5) if min_dims <= n <= max_dims]))
    sides = draw(st.permutations([2, 3, 4, 5, 6]))[:ndim]
    return tuple(draw(st.sampled_from(8 * [n] + 3 * [1] + empty * [0])) for n in sides)


@st.composite
def narrowed(draw: Any, shape: Sequence[int]) -> Shape:
    """A shape that broadcasts to this one."""
    kept = shape[draw(st.sampled_from([0, 0, *range(len(shape) + 1)])) :]
    return tuple(draw(st.sampled_from([n, n, 1])) for n in kept)


@st.composite
def broadcasting(draw: Any, n: int) -> list[Shape]:
    """Shapes that broadcast against each other."""
    shape = draw(shapes())
    return [draw(narrowed(shape)) for _ in range(n)]


def alike(n: int = 1, **limits: Any) -> Strategy[list[Shape]]:
    """The same shape for all."""
    return shapes(**limits).map(lambda shape: [shape] * n)


@st.composite
def joinable(draw: Any) -> list[Shape]:
    """One to four shapes that are the same except along one axis."""
    shape = draw(shapes(min_dims=1))
    axis = draw(st.sampled_from(range(len(shape))))
    lengths = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    return [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]


@st.composite
def products(draw: Any) -> list[Shape]:
    """Matrices, vectors, and stacks of matrices that broadcast."""
    *stacks, n, inner, m = draw(shapes(min_dims=3, max_dims=5))
    matrices = (*draw(narrowed(stacks)), n, inner), (*draw(narrowed(stacks)), inner, m)
    return [draw(st.sampled_from([shape, shape, (inner,)])) for shape in matrices]


@st.composite
def layers(draw: Any) -> list[Shape]:
    """Examples, weights and biases."""
    *examples, fan_in, fan_out = draw(shapes(min_dims=2))
    return [(*examples, fan_in), (fan_in, fan_out), (fan_out,)]


@st.composite
def batches(draw: Any) -> list[Shape]:
    """A mini-batch of two examples or more, and two numbers for each feature."""
    shape = draw(shapes(min_dims=2, empty=False))
    assume(shape[0] * np.prod(shape[2:]) > 1)
    return [shape, shape[1:2], shape[1:2]]


# --- What other arguments there are, for inputs of these shapes ----------------------------------


def one_of(ndim: int) -> Strategy[int]:
    """An axis, counted from the front or from the back."""
    return st.integers(-ndim, ndim - 1) if ndim else st.nothing()


@st.composite
def several_of(draw: Any, ndim: int, least: int = 0) -> tuple[int, ...]:
    """Axes in any order, each counted from the front or from the back."""
    axes = draw(st.permutations(range(ndim)))[: draw(st.integers(least, ndim))]
    return tuple(axis - draw(st.sampled_from([0, ndim])) for axis in axes)


def an_axis(shape: Shape) -> Strategy[int]:
    return one_of(len(shape))


def axes(shape: Shape) -> Strategy[Any]:
    """One axis, some, or all."""
    return one_of(len(shape)) | several_of(len(shape)) | st.none()


def axes_with_elements(shape: Shape, least: int = 1) -> Strategy[Any]:
    """The same, where something is to be found along them."""
    return axes(shape).filter(lambda axis: count_along("mean", shape, axis) >= least)


def an_axis_with_elements(shape: Shape) -> Strategy[int]:
    return an_axis(shape).filter(lambda axis: shape[axis] > 0)


def joint(*shapes: Shape) -> Strategy[int]:
    """An axis along which arrays of these shapes can be joined."""
    unequal = [axis for axis, sides in enumerate(zip(*shapes)) if len(set(sides)) > 1]
    ndim = len(shapes[0])
    return one_of(ndim).filter(lambda axis: unequal in ([], [axis % ndim]))


@st.composite
def another_shape(draw: Any, shape: Shape) -> Shape:
    """Sides exchanged, merged, and of size 1 left out and put in; one of them perhaps as -1."""
    new = [n for n in draw(st.permutations(shape)) if n != 1]
    if len(new) > 1 and draw(st.booleans()):
        new[:2] = [new[0] * new[1]]
    for _ in range(draw(st.integers(0, 2))):
        new.insert(draw(st.integers(0, len(new))), 1)
    if new and 0 not in new and draw(st.booleans()):
        new[draw(st.integers(0, len(new) - 1))] = -1
    return tuple(new)


@st.composite
def wider(draw: Any, shape: Shape) -> Shape:
    """A shape that this one broadcasts to."""
    return (
        *draw(shapes(max_dims=1)),
        *(draw(st.sampled_from([7, 0])) if n == 1 else n for n in shape),
    )


def slices_and_integers(shape: Shape) -> Strategy[Any]:
    return basic_indices(shape, allow_newaxis=True)


@st.composite
def positions(draw: Any, shape: Shape) -> Any:
    """Lists or arrays of positions that broadcast, among slices, integers, "..." and a new axis."""
    pattern = draw(shapes(max_dims=2))
    parts = []
    for n in shape:
        part = st.slices(n)
        if n:
            array = draw(generators()).integers(-n, n, draw(narrowed(pattern)))
            part = st.sampled_from([array, array.tolist()]) | part | one_of(n)
        parts.append(draw(part))
    start = draw(st.integers(0, len(parts)))
    stop = start + draw(st.integers(0, 2))
    parts[start:stop] = draw(st.sampled_from([[...], [..., None], [None, ...]]))
    return parts[0] if len(parts) == 1 else tuple(parts)


@st.composite
def masks(draw: Any, shape: Shape) -> Any:
    """A mask of one axis or several, or of none, perhaps after slices."""
    start = draw(st.integers(0, len(shape)))
    stop = draw(st.sampled_from(range(len(shape), start - 1, -1)))
    mask = draw(truths(shape[start:stop])) & draw(st.sampled_from([True, False]))
    return (*(draw(st.slices(n)) for n in shape[:start]), mask) if start else mask


def mask_for(shape: Shape) -> Strategy[Array]:
    """A mask that broadcasts to an array of this shape."""
    return narrowed(shape).flatmap(truths)


def truths(shape: Shape) -> Strategy[Array]:
    return generators().map(lambda rng: rng.random(shape) < 0.5)


def labels(shape: Shape) -> Strategy[Array]:
    """A class for each row of logits."""
    return generators().map(lambda rng: rng.integers(0, shape[-1], shape[:-1]))


def signs(shape: Shape) -> Strategy[Array]:
    return generators().map(lambda rng: rng.choice([-1.0, 1.0], shape))


def generators() -> Strategy[np.random.Generator]:
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


BOTH = [False, True]
REDUCTIONS = ["mean", "sum", "none"]


# --- Entering functions --------------------------------------------------------------------------


def enter(
    name: str,
    *kinds: Kind,
    at: Strategy[list[Shape]] | None = None,
    f: Callable[..., Tensor] | None = None,
    torch: Any = SAME,
    kinks: bool = False,
    **options: Any,
) -> None:
    """Enter a function that is to be tried at many places.

    name      of an operation; more words may say how it is called
    kinds     what each input consists of; a single one may stand for all
    at        the shapes of the inputs; by default any that broadcast against each other
    f         the function; by default that of this name in `functional`, NumPy or `Tensor`
    torch     the same in PyTorch
    kinks     whether it has kinks, or ties, at whole numbers
    options   keyword arguments, each with the values to choose from, or with a function from the
              shapes to a strategy
    """
    if at is None:
        at = broadcasting(len(kinds)) if len(kinds) > 1 else alike()
    word = name.split()[0].strip(",")
    twin = (f or in_torch(word)) if torch is SAME else torch

    @st.composite
    def entries(draw: Any) -> Entry:
        shapes = draw(at)
        keywords = {
            key: draw(values(*shapes) if callable(values) else st.sampled_from(values))
            for key, values in options.items()
        }
        function = f or draw(st.sampled_from(named(word, F, np, Tensor)))
        rng, whole = draw(generators()), draw(st.booleans())
        one_each = kinds if len(kinds) > 1 else kinds * len(shapes)
        return Entry(
            ", ".join([name, *(f"{key}={value!r}" for key, value in keywords.items())]),
            tuple(np.asarray(kind(rng, shape, whole)) for kind, shape in zip(one_each, shapes)),
            not (kinks and whole),
            partial(function, **keywords),
            twin and partial(twin, **keywords),
        )

    put(name, entries())


def place(
    name: str, f: Callable[..., Tensor], *inputs: Any, torch: Any = SAME, smooth: bool = True
) -> None:
    """Enter a function at one place that deserves a name."""
    arrays = tuple(np.asarray(x, dtype=float) for x in inputs)
    put(name, st.just(Entry(name, arrays, smooth, f, f if torch is SAME else torch)))


def put(name: str, entries: Strategy[Entry]) -> None:
    assert name not in catalogue, f"{name} is entered twice"
    catalogue[name] = entries


def named(name: str, *homes: Any) -> list[Callable[..., Any]]:
    """What has this name in several modules or classes."""
    return [getattr(home, name) for home in homes if hasattr(home, name)]


def in_torch(name: str) -> Callable[..., Any]:
    return lambda *xs, **keywords: named(name, TF, torch)[0](*xs, **keywords)


def some(*shape: int) -> Array:
    """Numbers in this shape, the same ones each time."""
    return real(np.random.default_rng(0), shape)


def like(x: Any) -> Array:
    """The same in the shape and of the type of a tensor, of ours or of PyTorch's."""
    return some(*x.shape).astype(str(x.dtype).removeprefix("torch."))


# fmt: off
# Arithmetic

enter("add", real, real)
enter("subtract", real, real)
enter("multiply", real, real)
enter("divide", real, nonzero)
enter("power", positive, nonzero, torch=lambda x, y: x**y)
enter("negative", real)
enter("square", real)


def beside(sign: Callable[..., Any]) -> Callable[..., Any]:
    """An operator between a tensor and a number on either side."""
    return lambda x, n, left: sign(n, x) if left else sign(x, n)


enter("add, a number", real, f=beside(operator.add), n=[-2, 0, 2.5], left=BOTH)
enter("subtract, a number", real, f=beside(operator.sub), n=[-2, 0, 2.5], left=BOTH)
enter("multiply, a number", real, f=beside(operator.mul), n=[-2, 0, 2.5], left=BOTH)
enter("divide, a number", nonzero, f=beside(operator.truediv), n=[-2, 2.5], left=BOTH)
enter("power, a number as base", positive, f=lambda x, n: n**x, n=[0.5, 1, 2, 3.0])
enter("power, a number as exponent", positive, f=lambda x, n: x**n, n=[-1.5, 0.5, 2.5])
enter("power, a natural exponent", real, f=lambda x, n: x**n, n=[0, 1, 2, 3, 3.0])
enter("power, a negative exponent", nonzero, f=lambda x, n: x**n, n=[-1, -2, -3.0])

place("x + x", lambda x: x + x, some(3, 4))
place("x - x", lambda x: x - x, some(3, 4))
place("x * x", lambda x: x * x, some(3, 4))
place("x / x", lambda x: x / x, some(3, 4))
place("x ** x", lambda x: x**x, [0.3, 1, 2])
place("+x", lambda x: +x, some(3, 4))
place("power, exponent 0", lambda x, y: x**y, [0.5, 1, 3], [0, 0, 0],
      torch=lambda x, y: (y * x.log()).exp())  # PyTorch's own has no ∂²/∂y∂x there
place("multiply, an array on the left", lambda x: like(x) * x, some(3, 4),
      torch=lambda x: torch.from_numpy(like(x)) * x)
place("power, 0 as base", lambda x, y: x**y, [[0], [1]], [3, 4],
      torch=None, smooth=False)  # (-1e-6) ** 3.1 is NaN, and so is PyTorch's second derivative

# Functions of one variable

enter("exp", real)
enter("log", positive)
enter("log1p", positive)
enter("sqrt", positive)
enter("tanh", real)
enter("sin", real)
enter("cos", real)
enter("abs", real, kinks=True)
enter("sign", real, kinks=True)
place("log1p of nearly -1", lambda x: x.log1p(), [-0.9, -0.5, 0])
place("abs, as Python's function", lambda x: abs(x), some(3, 4))

# Choices

enter("maximum", real, other, kinks=True)
enter("minimum", real, other, kinks=True)
# A tie goes to the number, as in this text, though not in PyTorch's clamp.
enter("maximum, a number", real, f=beside(lambda x, y: F.maximum(x, y)), kinks=True,
      torch=lambda x, n, left: torch.where(x > n, x, n), n=[0, 1, -0.5], left=BOTH)
enter("minimum, a number", real, f=beside(lambda x, y: F.minimum(x, y)), kinks=True,
      torch=lambda x, n, left: torch.where(x < n, x, n), n=[0, 1, -0.5], left=BOTH)
enter("where", nonzero, real, real, f=lambda c, x, y: F.where(c > 0, x, y),
      torch=lambda c, x, y: torch.where(c > 0, x, y))
place("maximum, the same twice", lambda x: np.maximum(x, x), some(3, 4),
      torch=lambda x: torch.maximum(x, x))
place("where, numbers", lambda x: np.where(x > 1, x, 0.5) * F.where(x > 0, -2, x), some(3, 4),
      torch=lambda x: torch.where(x > 1, x, 0.5) * torch.where(x > 0, -2, x))

# Products

enter("matmul", real, at=products())
enter("vdot", real, at=alike(2), torch=lambda x, y: (x * y).sum())
enter("sum_of_squares", real, real, real, torch=lambda *xs: sum((x * x).sum() for x in xs))
place("matmul, with its own transpose", lambda x: x @ x.T, some(3, 4))
place("matmul, an array on the left", lambda x: like(x).T @ x, some(3, 4),
      torch=lambda x: torch.from_numpy(like(x)).T @ x)
place("vdot, the same twice", lambda x: np.vdot(x, x), some(3, 4), torch=lambda x: (x * x).sum())

# Reductions


def reduced(method: str) -> Callable[..., Any]:
    """What reduces PyTorch's tensors, along NumPy's axes."""

    def theirs(x: Any, axis: Any, keepdims: bool, ddof: int | None = None) -> Any:
        along = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        dims = (0, *(1 + a % x.ndim for a in along))  # one more, since no axes would mean all
        correction = {} if ddof is None else {"correction": ddof}
        result = getattr(x[None], method)(dim=dims, keepdim=keepdims, **correction)
        return result[0] if keepdims else result

    return theirs


enter("sum", real, axis=axes, keepdims=BOTH, torch=reduced("sum"))
enter("mean", real, axis=axes_with_elements, keepdims=BOTH, torch=reduced("mean"))
enter("var", real, at=alike(empty=False), axis=lambda shape: axes_with_elements(shape, least=2),
      keepdims=BOTH, ddof=[0, 1], torch=reduced("var"))
enter("max", real, axis=axes_with_elements, keepdims=BOTH, torch=reduced("amax"), kinks=True)
enter("min", real, axis=axes_with_elements, keepdims=BOTH, torch=reduced("amin"), kinks=True)
place("var of single elements", lambda x: x.var(axis=1), some(3, 1),
      torch=lambda x: x.var(1, correction=0))

# Shapes and types

enter("reshape", real, shape=another_shape, f=lambda x, shape: F.reshape(x, shape),
      torch=lambda x, shape: x.reshape(shape))
enter("transpose", real, f=lambda x, axes: F.transpose(x, axes),
      axes=lambda shape: several_of(len(shape), least=len(shape)) | st.none(),
      torch=lambda x, axes: x.permute(axes or tuple(range(x.ndim)[::-1])))
enter("swapaxes", real, at=alike(min_dims=1), axis1=an_axis, axis2=an_axis,
      torch=lambda x, axis1, axis2: x.swapaxes(axis1, axis2))
enter("expand_dims", real, axis=lambda shape: one_of(len(shape) + 1),
      torch=lambda x, axis: x.unsqueeze(axis))
enter("squeeze", real, axis=lambda shape: axes(shape).filter(
          lambda axis: axis is None or count_along("squeeze", shape, axis) == 1),
      torch=lambda x, axis: x.reshape(np.squeeze(np.empty(x.shape), axis).shape))
enter("broadcast_to", real, at=alike(max_dims=3), shape=wider,
      torch=lambda x, shape: x.broadcast_to(shape))
enter("sum_to", real, at=alike(), shape=narrowed,
      f=lambda x, shape: x.apply(primitives.sum_to, x, shape=shape),
      torch=lambda x, shape: x.sum_to_size(shape))
enter("astype", real, f=lambda x: (x.astype(np.longdouble) ** 3).astype(x.dtype),
      torch=lambda x: x**3)
place("astype of fewer digits and back", lambda x: (x.astype(np.float16) ** 3).astype(x.dtype),
      [0.5, -2, 1], torch=lambda x: (x.half() ** 3).to(x.dtype), smooth=False)

# Indices


def places(x: Any, index: Any) -> Any:
    """Where NumPy finds what an index asks for, if x is laid out flat."""
    return torch.from_numpy(np.array(np.arange(x.numel()).reshape(x.shape)[index]))


def put_back(x: Tensor, index: Any) -> Tensor:
    """Zeros, and at the index what x has there."""
    found = x[index]
    return found.apply(primitives.scatter_add, found, index=index, shape=x.shape)


def put_back_in_torch(x: Any, index: Any) -> Any:
    at, flat = places(x, index), x.flatten()
    zeros = torch.zeros_like(flat)
    return zeros.index_put((at,), flat[at], accumulate=True).reshape(x.shape)


for index in slices_and_integers, positions, masks:
    how = f"at {index.__name__}".replace("_", " ")
    enter(f"getitem {how}", real, f=lambda x, index: x[index], index=index,
          torch=lambda x, index: x.flatten()[places(x, index)])
    enter(f"scatter_add {how}", real, f=put_back, torch=put_back_in_torch, index=index)
place("getitem, an integer beside a slice backwards", lambda x: x[1, ::-1], some(2, 3, 3),
      torch=lambda x: x[1].flip(0))
place("getitem, a NumPy integer", lambda x: x[np.int64(1)], some(3, 4), torch=lambda x: x[1])
place("getitem, an empty list", lambda x: x[[]], some(3, 4))
place("getitem, row by row", lambda x: sum(row * row[0] for row in x), some(3, 4))

# Joining

enter("concatenate", real, at=joinable(), axis=joint,
      f=lambda *xs, axis: F.concatenate(xs, axis),
      torch=lambda *xs, axis: torch.cat(xs, axis))
enter("concatenate, flat", real, real, real, f=lambda *xs: np.concatenate(xs, axis=None),
      torch=lambda *xs: torch.cat([x.flatten() for x in xs]))
enter("stack", real, at=alike(3), f=lambda *xs, axis: F.stack(xs, axis),
      axis=lambda shape, *others: one_of(len(shape) + 1),
      torch=lambda *xs, axis: torch.stack(xs, axis))
place("concatenate, one twice, and an array", lambda x: np.concatenate([x, like(x), x]),
      some(2, 3), torch=lambda x: torch.cat([x, torch.from_numpy(like(x)), x]))

# Activations

FAR = [[0, -1, 2, -0.5], [1, 0, 30, -30]]


def softplus_in_torch(x: Any) -> Any:
    """By default it calls itself the identity from 20 on, which is wrong in the ninth digit."""
    return TF.softplus(x, threshold=40)


enter("relu", real, kinks=True)
enter("leaky_relu", real, kinks=True, negative_slope=[0.01, 0.3, 0, 2])
enter("sigmoid", real)
enter("softplus", real, torch=softplus_in_torch)
enter("softmax", real, at=alike(min_dims=1), axis=an_axis_with_elements,
      torch=lambda x, axis: x.softmax(axis))
enter("log_softmax", real, at=alike(min_dims=1), axis=an_axis_with_elements,
      torch=lambda x, axis: x.log_softmax(axis))
enter("logsumexp", real, axis=axes_with_elements, keepdims=BOTH, torch=reduced("logsumexp"))
place("sigmoid far from 0", lambda x: F.sigmoid(x), FAR, torch=lambda x: x.sigmoid())
place("softplus far from 0", lambda x: F.softplus(x), FAR, torch=softplus_in_torch)

# Losses

enter("cross_entropy", real, at=alike(min_dims=1, max_dims=2, empty=False), target=labels,
      reduction=REDUCTIONS, label_smoothing=[0, 0.2, 1],
      torch=lambda x, target, **how: TF.cross_entropy(x, torch.tensor(target), **how))
enter("cross_entropy of probabilities", real, distribution,
      at=alike(2, min_dims=1, max_dims=2, empty=False), reduction=REDUCTIONS,
      label_smoothing=[0, 0.2, 1])
enter("binary_cross_entropy_with_logits", real, fraction, at=alike(2, empty=False),
      reduction=REDUCTIONS)
enter("mse_loss", real, real, at=alike(2, empty=False), reduction=REDUCTIONS)
enter("hinge_loss", real, at=alike(empty=False), kinks=True, target=signs, reduction=REDUCTIONS,
      torch=lambda x, target, reduction: reduced_in_torch(
          TF.relu(1 - x * torch.tensor(target)), reduction))
BITS = [[0, 1, 0, 1], [1, 0, 1, 0]]
place("binary_cross_entropy_with_logits far from 0",
      lambda x: F.binary_cross_entropy_with_logits(x, BITS), FAR,
      torch=lambda x: TF.binary_cross_entropy_with_logits(x, torch.tensor(BITS, dtype=x.dtype)))


def reduced_in_torch(losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else getattr(losses, reduction)()


# Layers


def normed(x: Tensor, weight: Tensor, bias: Tensor, scale: bool, shift: bool, known: bool,
           **how: Any) -> Tensor:
    """Batch norm with or without weight, bias and running estimates."""
    running = map(Tensor, estimates(x)) if known else (None, None)
    return F.batch_norm(x, *running, weight if scale else None, bias if shift else None, **how)


def normed_in_torch(x: Any, weight: Any, bias: Any, scale: bool, shift: bool, known: bool,
                    training: bool, eps: float) -> Any:
    running = map(torch.from_numpy, estimates(x.detach().numpy())) if known else (None, None)
    return TF.batch_norm(x, *running, weight if scale else torch.ones_like(weight),
                         bias if shift else None, training=training or not known, eps=eps)


def estimates(x: Any) -> tuple[Array, Array]:
    """Running mean and variance of the features."""
    n = x.shape[1]
    return np.linspace(-0.2, 0.3, n, dtype=x.dtype), np.linspace(0.5, 2, n, dtype=x.dtype)


def dropped_in_torch(x: Any, p: float, mask: Array, training: bool, mode: str = "inverted") -> Any:
    """PyTorch takes no mask."""
    if not training:
        return x if mode == "inverted" else x * (1 - p)
    return x * torch.tensor(mask) / (1 - p if mode == "inverted" else 1)


enter("linear", real, at=layers(), torch=lambda x, w, b: TF.linear(x, w.T, b))
enter("linear, without bias", real, at=layers(), f=lambda x, w, b: F.linear(x, w),
      torch=lambda x, w, b: TF.linear(x, w.T))
enter("batch_norm", distant, real, real, at=batches(), f=normed, torch=normed_in_torch,
      scale=BOTH, shift=BOTH, known=BOTH, training=BOTH, eps=[1e-5, 0.1])
enter("dropout", real, p=[0, 0.2, 0.5], training=BOTH, mode=["inverted", "vanilla"],
      mask=mask_for, torch=dropped_in_torch)
enter("dropconnect", real, p=[0, 0.2, 0.5], training=BOTH, mask=mask_for, torch=dropped_in_torch)

# Penalties

enter("l1_penalty", real, real, kinks=True, beta=[0.3, [0, 2]],
      f=lambda *ws, beta: F.l1_penalty(ws, beta),
      torch=lambda *ws, beta: sum(w.abs().sum() * b for w, b in zip(ws, np.broadcast_to(beta, 2))))
enter("l2_penalty", real, real, alpha=[0.3, [0, 2]],
      f=lambda *ws, alpha: F.l2_penalty(ws, alpha),
      torch=lambda *ws, alpha: sum(
          w.square().sum() * a / 2 for w, a in zip(ws, np.broadcast_to(alpha, 2))))
place("l1_penalty of one tensor", lambda w: F.l1_penalty(w, 0.3), some(3, 4),
      torch=lambda w: 0.3 * w.abs().sum())
place("l2_penalty of one tensor", lambda w: F.l2_penalty(w, 0.3), some(3, 4),
      torch=lambda w: 0.15 * w.square().sum())

# All together

BATCH_MASK = np.arange(24).reshape(6, 4) % 3 > 0
BATCH_LABELS = np.array([0, 2, 1, 1, 0, 2])


def network(x: Tensor, w1: Tensor, gamma: Tensor, beta: Tensor, w2: Tensor) -> Tensor:
    hidden = F.relu(F.batch_norm(x @ w1, None, None, gamma, beta, training=True))
    loss = F.cross_entropy(F.dropout(hidden, 0.5, mask=BATCH_MASK) @ w2, BATCH_LABELS)
    return loss + F.l2_penalty([w1, w2], 0.1) + F.l1_penalty(w1, 0.2)


def network_in_torch(x: Any, w1: Any, gamma: Any, beta: Any, w2: Any) -> Any:
    hidden = TF.relu(TF.batch_norm(x @ w1, None, None, gamma, beta, training=True))
    logits = dropped_in_torch(hidden, 0.5, BATCH_MASK, training=True) @ w2
    penalty = 0.05 * (w1.square().sum() + w2.square().sum()) + 0.2 * w1.abs().sum()
    return TF.cross_entropy(logits, torch.from_numpy(BATCH_LABELS)) + penalty


place("a network", network, some(6, 5), some(5, 4), some(4), some(4), some(4, 3),
      torch=network_in_torch)
# fmt: on
