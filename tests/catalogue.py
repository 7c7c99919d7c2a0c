"""Every primitive and every composite, once: with sample inputs, and with PyTorch's name for it.

All gradient tests run over `entries`.  To enter a new function, add a line: its name, the
function, what its inputs are drawn from, and the same in PyTorch (SAME, if the text is the same).
Shapes have unequal sides, since a wrong axis goes unnoticed on a square.

Inputs keep away from kinks, where a difference quotient says nothing, except in entries that are
not `smooth`: there the catalogue only serves to compare with PyTorch's conventions.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_reg import Tensor, primitives
from tinygrad_reg import functional as F
from tinygrad_reg.tensor import constant, gradients

try:
    import torch
    from torch.nn import functional as TF
except ImportError:  # then nobody calls the functions that use it
    pass

Array = Any
Draw = Callable[[np.random.Generator], Array]
SAME = "the same text works in PyTorch"


@dataclass(frozen=True)
class Entry:
    """One function at one place.

    name     says what and how, and is unique
    f        from tensors to a tensor
    inputs   float64 arrays
    torch    f for PyTorch's tensors, or None where PyTorch has nothing like it
    smooth   whether f has derivatives there, and not conventions
    """

    name: str
    f: Callable[..., Tensor]
    inputs: tuple[Array, ...]
    torch: Callable[..., Any] | None
    smooth: bool

    def leaves(self, dtype: Any = np.float64) -> list[Tensor]:
        return [Tensor(x.astype(dtype), requires_grad=True) for x in self.inputs]

    def __repr__(self) -> str:
        return f"Entry({self.name})"


def pull_back(
    result: Tensor, u: Array, leaves: Sequence[Tensor], create_graph: bool = False
) -> list[Tensor]:
    """Jᵀu for each leaf, zero where the result does not depend on it."""
    arriving = u if isinstance(u, Tensor) else constant(u)
    found = gradients(result, arriving, set(leaves).__contains__, create_graph)
    return [found[x] if x in found else constant(0 * x._data) for x in leaves]


def like(shape_of: Any, seed: int = 0) -> Array:
    """Random numbers of the shape and type of an array or tensor."""
    return np.random.default_rng(seed).normal(size=shape_of.shape).astype(shape_of.dtype)


# --- What inputs are drawn from ------------------------------------------------------------------


def real(*shape: int) -> Draw:
    """Normal numbers at a distance of at least 0.1 from 0."""

    def draw(rng: np.random.Generator) -> Array:
        x = rng.normal(size=shape)
        return x + np.copysign(0.1, x)

    return draw


def positive(*shape: int) -> Draw:
    return lambda rng: rng.uniform(0.5, 2, shape)


def between_0_and_1(*shape: int) -> Draw:
    return lambda rng: rng.uniform(0.1, 0.9, shape)


def distinct(*shape: int) -> Draw:
    """Numbers at least 0.2 apart from each other and 0.1 from 0."""

    def draw(rng: np.random.Generator) -> Array:
        n = int(np.prod(shape))
        return 0.2 * (rng.permutation(n).reshape(shape) - n // 2) + 0.1

    return draw


def apart(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[Draw, Draw]:
    """Two arrays no elements of which are closer than 0.3."""
    return (
        lambda rng: 1.0 * rng.integers(-3, 3, left),
        lambda rng: rng.integers(-3, 3, right) + rng.uniform(0.3, 0.7, right),
    )


def probabilities(n: int, classes: int) -> Draw:
    return lambda rng: rng.dirichlet(np.ones(classes), n)


def given(values: Any) -> Draw:
    return lambda rng: np.array(values, dtype=np.float64)


# --- The entries ---------------------------------------------------------------------------------

entries: list[Entry] = []


def enter(
    name: str, f: Callable[..., Tensor], *draws: Draw, torch: Any = None, smooth: bool = True
) -> None:
    assert all(entry.name != name for entry in entries), f"two entries are called {name}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))  # whatever the other entries are
    inputs = tuple(np.asarray(draw(rng)) for draw in draws)
    entries.append(Entry(name, f, inputs, f if torch is SAME else torch, smooth))


# fmt: off
# Arithmetic

PAIRS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((4,), (3, 4)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((1, 3, 1), (2, 1, 4)),
    ((), (3, 4)),
    ((3, 4), ()),
    ((), ()),
    ((1,), (1, 1)),
    ((0, 4), (4,)),
]

for left, right in PAIRS:
    shapes = f"{left} and {right}"
    enter(f"add, {shapes}", lambda x, y: x + y, real(*left), real(*right), torch=SAME)
    enter(f"subtract, {shapes}", lambda x, y: x - y, real(*left), real(*right), torch=SAME)
    enter(f"multiply, {shapes}", lambda x, y: x * y, real(*left), real(*right), torch=SAME)
    enter(f"divide, {shapes}", lambda x, y: x / y, real(*left), positive(*right), torch=SAME)
    enter(f"power, {shapes}", lambda x, y: x**y, positive(*left), real(*right), torch=SAME)

enter("add, number on the right", lambda x: x + 2.5, real(3, 4), torch=SAME)
enter("add, number on the left", lambda x: 2.5 + x, real(3, 4), torch=SAME)
enter("add, the same twice", lambda x: x + x, real(3, 4), torch=SAME)
enter("subtract, number on the right", lambda x: x - 2, real(3, 4), torch=SAME)
enter("subtract, number on the left", lambda x: 2 - x, real(3, 4), torch=SAME)
enter("subtract, the same twice", lambda x: x - x, real(3, 4), torch=SAME)
enter("multiply, number on the right", lambda x: x * 2.5, real(3, 4), torch=SAME)
enter("multiply, number on the left", lambda x: 3 * x, real(3, 4), torch=SAME)
enter("multiply, the same twice", lambda x: x * x, real(3, 4), torch=SAME)
enter("multiply, array on the left", lambda x: like(x) * x, real(3, 4),
      torch=lambda x: torch.from_numpy(like(np.empty((3, 4)))) * x)
enter("divide, number on the right", lambda x: x / 2.5, real(3, 4), torch=SAME)
enter("divide, number on the left", lambda x: 2 / x, positive(3, 4), torch=SAME)
enter("divide, the same twice", lambda x: x / x, positive(3, 4), torch=SAME)
enter("divide, negative denominator", lambda x, y: x / y, real(3, 4), given([-2, -1, 0.5, 3]),
      torch=SAME)
for exponent in (-1.5, -1, 0, 0.5, 1, 2, 3):
    enter(f"power, number {exponent}", lambda x, n=exponent: x**n, positive(3, 4), torch=SAME)
enter("power, cube of negative numbers", lambda x: x**3, real(3, 4), torch=SAME)
enter("power, inverse of negative numbers", lambda x: x**-1, real(3, 4), torch=SAME)
enter("power, cube at 0", lambda x: x**3, given([0, -1, 2]), torch=SAME)
enter("power, number as base", lambda x: 2**x, real(3, 4), torch=SAME)
enter("power, base 0", lambda x, y: x**y, given([[0.0], [1]]), given([3, 4]),
      smooth=False)  # no difference quotient, since (-1e-6) ** 3.1 is NaN, as PyTorch's is here
enter("power, the same twice", lambda x: x**x, positive(3, 4), torch=SAME)
enter("negative", lambda x: -x, real(3, 4), torch=SAME)
enter("negative of 0-d", lambda x: -x, real(), torch=SAME)
enter("square", lambda x: np.square(x), real(3, 4), torch=lambda x: torch.square(x))
enter("square at 0", lambda x: x**2, given([0.0, 1]), torch=SAME)

# Functions of one variable

for shape in ((3, 4), (), (2, 1, 3)):
    enter(f"exp of {shape}", lambda x: F.exp(x), real(*shape), torch=lambda x: x.exp())
    enter(f"log of {shape}", lambda x: F.log(x), positive(*shape), torch=lambda x: x.log())
    enter(f"log1p of {shape}", lambda x: np.log1p(x), positive(*shape), torch=lambda x: x.log1p())
    enter(f"sqrt of {shape}", lambda x: F.sqrt(x), positive(*shape), torch=lambda x: x.sqrt())
    enter(f"tanh of {shape}", lambda x: F.tanh(x), real(*shape), torch=lambda x: x.tanh())
    enter(f"sin of {shape}", lambda x: np.sin(x), real(*shape), torch=lambda x: x.sin())
    enter(f"cos of {shape}", lambda x: np.cos(x), real(*shape), torch=lambda x: x.cos())
    enter(f"abs of {shape}", lambda x: F.abs(x), real(*shape), torch=lambda x: x.abs())
    enter(f"sign of {shape}", lambda x: np.sign(x), real(*shape), torch=lambda x: x.sign())
enter("log1p of nearly -1", lambda x: x.log1p(), given([-0.9, -0.5, 0]), torch=SAME)
enter("abs at 0", lambda x: abs(x), given([0.0, -1, 1]), torch=SAME, smooth=False)
enter("sign at 0", lambda x: np.sign(x) * x, given([0.0, -1, 1]), torch=lambda x: x.sign() * x,
      smooth=False)

# Choices

TIES = given([[1, 2, 3], [0, 0, 0]]), given([[1, 3, 2], [0, -1, 1]])

for name, ours, theirs in (
    ("maximum", lambda x, y: F.maximum(x, y), lambda x, y: torch.maximum(x, y)),
    ("minimum", lambda x, y: F.minimum(x, y), lambda x, y: torch.minimum(x, y)),
):
    for left, right in PAIRS:
        enter(f"{name}, {left} and {right}", ours, *apart(left, right), torch=theirs)
    enter(f"{name}, with ties", ours, *TIES, torch=theirs, smooth=False)
    enter(f"{name}, the same twice", lambda x, f=ours: f(x, x), real(3, 4),
          torch=lambda x, f=theirs: f(x, x))
enter("maximum, number on the right", lambda x: np.maximum(x, 0.05), real(3, 4),
      torch=lambda x: x.clamp(min=0.05))
enter("maximum, number on the left", lambda x: F.maximum(0.05, x), real(3, 4),
      torch=lambda x: x.clamp(min=0.05))
enter("minimum, number on the right", lambda x: F.minimum(x, -0.05), real(3, 4),
      torch=lambda x: x.clamp(max=-0.05))
enter("minimum, number on the left", lambda x: F.minimum(-0.05, x), real(3, 4),
      torch=lambda x: x.clamp(max=-0.05))

CHOICE = np.array([[True, False, True, False], [False] * 4, [True, True, False, True]])

for left, right in ((3, 4), (3, 4)), ((4,), (3, 1)), ((), (3, 4)), ((2, 3, 4), ()), ((0, 3, 4), ()):
    enter(f"where, {left} and {right}", lambda x, y: F.where(CHOICE, x, y), real(*left),
          real(*right), torch=lambda x, y: torch.where(torch.from_numpy(CHOICE), x, y))
enter("where, numbers", lambda x: np.where(CHOICE, x, 0.5) * F.where(CHOICE, -2, x), real(4),
      torch=lambda x: torch.where(torch.from_numpy(CHOICE), x, 0.5)
      * torch.where(torch.from_numpy(CHOICE), -2, x))
enter("where, a condition that broadcasts", lambda x, y: F.where(CHOICE[:, :1], x, y),
      real(2, 1, 4), real(1), torch=lambda x, y: torch.where(torch.from_numpy(CHOICE[:, :1]), x, y))
enter("where, a condition of x", lambda x: F.where(x > 0, x.exp(), x * x), real(3, 4),
      torch=lambda x: torch.where(x > 0, x.exp(), x * x))

# Products

for left, right in (
    ((4,), (4,)),
    ((4,), (4, 3)),
    ((3, 4), (4,)),
    ((3, 4), (4, 2)),
    ((3, 1), (1, 2)),
    ((1, 4), (4, 1)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((2, 3, 1, 4), (3, 4, 1)),
    ((4,), (2, 5, 4, 3)),
    ((0, 4), (4, 2)),
):
    enter(f"matmul, {left} and {right}", lambda x, y: x @ y, real(*left), real(*right), torch=SAME)
enter("matmul, with its own transpose", lambda x: x @ x.T, real(3, 4), torch=SAME)
enter("matmul, array on the left", lambda x: np.arange(6, dtype=x.dtype).reshape(2, 3) @ x,
      real(3, 4), torch=lambda x: torch.arange(6.0, dtype=x.dtype).reshape(2, 3) @ x)
for shape in (3, 4), (5,), ():
    enter(f"vdot of {shape}", lambda x, y: F.vdot(x, y), real(*shape), real(*shape),
          torch=lambda x, y: (x * y).sum())
    enter(f"sum_of_squares of {shape} and others", F.sum_of_squares,
          real(*shape), real(4), real(2, 3), torch=lambda *xs: sum((x * x).sum() for x in xs))
    enter(f"sum_of_squares of {shape}", lambda x: F.sum_of_squares(x), real(*shape),
          torch=lambda x: x.square().sum())
enter("vdot, the same twice", lambda x: np.vdot(x, x), real(3, 4), torch=lambda x: (x * x).sum())

# Reductions


def enter_reduction(name: str, draw: Draw, how: str, torch_name: str = "", **more: Any) -> None:
    """The function of F of this name and the method of PyTorch's tensors."""

    def theirs(x: Any) -> Any:
        dims = tuple(range(x.ndim)) if more["axis"] is None else more["axis"]
        correction = {"correction": more.get("ddof", 0)} if name == "var" else {}
        method = getattr(x, torch_name or name)
        return method(dim=dims, keepdim=more["keepdims"], **correction)

    enter(f"{name} {how}", lambda x: getattr(F, name)(x, **more), draw, torch=theirs)


for shape, axis in (
    ((3, 4), None),
    ((3, 4), 0),
    ((3, 4), -1),
    ((2, 3, 4), 1),
    ((2, 3, 4), (0, 2)),
    ((2, 3, 4), (-1, 0)),
    ((2, 3, 4), (-2,)),
    ((2, 1, 4), 1),
    ((1, 1), None),
    ((), None),
):
    for keepdims in False, True:
        how = f"of {shape} over {axis}" + (" with keepdims" if keepdims else "")
        enter_reduction("sum", real(*shape), how, axis=axis, keepdims=keepdims)
        enter_reduction("mean", real(*shape), how, axis=axis, keepdims=keepdims)
        enter_reduction("max", distinct(*shape), how, "amax", axis=axis, keepdims=keepdims)
        enter_reduction("min", distinct(*shape), how, "amin", axis=axis, keepdims=keepdims)
        if shape:
            enter_reduction("var", real(*shape), how, axis=axis, keepdims=keepdims)
enter_reduction("var", real(3, 4), "of (3, 4), unbiased", axis=0, keepdims=False, ddof=1)
enter("sum over no axis", lambda x: x.sum(axis=()) * x, real(3, 4), torch=lambda x: x * x)
enter("sum of nothing", lambda x: np.sum(x, axis=0), real(0, 4), torch=lambda x: x.sum(0))
TIED = given([[1, 3, 3], [2, 2, 2]])
enter("max, with ties", lambda x: F.max(x, axis=1), TIED, torch=lambda x: x.amax(1), smooth=False)
enter("min, with ties", lambda x: F.min(x, axis=1), TIED, torch=lambda x: x.amin(1), smooth=False)
enter("max of everything, with ties", lambda x: np.max(x), TIED, torch=lambda x: x.amax((0, 1)),
      smooth=False)

# Shapes and types

for shape in (2, 6), (-1,), (4, 1, 3), (2, -1):
    enter(f"reshape to {shape}", lambda x, s=shape: F.reshape(x, s), real(3, 4),
          torch=lambda x, s=shape: x.reshape(s))
enter("reshape to 0-d", lambda x: x.reshape(()), real(1, 1), torch=SAME)
enter("reshape of 0-d", lambda x: np.reshape(x, (1, 1)), real(), torch=lambda x: x.reshape(1, 1))
enter("transpose", lambda x: F.transpose(x), real(3, 4), torch=lambda x: x.T)
for axes in (2, 0, 1), (1, 2, 0), (0, -1, 1), (-1, 0, -2), (0, 1, 2):
    enter(f"transpose by {axes}", lambda x, a=axes: np.transpose(x, a), real(2, 3, 4),
          torch=lambda x, a=axes: x.permute(a))
enter("swapaxes", lambda x: x.swapaxes(0, -1), real(2, 3, 4), torch=SAME)
enter("expand_dims", lambda x: F.expand_dims(x, -1) * F.expand_dims(x, 1), real(3, 4),
      torch=lambda x: x.unsqueeze(-1) * x.unsqueeze(1))
enter("squeeze", lambda x: F.squeeze(x), real(1, 3, 1), torch=lambda x: x.squeeze())
enter("squeeze of one axis", lambda x: F.squeeze(x, -1), real(1, 3, 1),
      torch=lambda x: x.squeeze(-1))
for shape, wide in ((4,), (3, 4)), ((3, 1), (2, 3, 4)), ((), (3,)), ((1, 3, 1), (2, 3, 1)):
    enter(f"broadcast {shape} to {wide}", lambda x, s=wide: F.broadcast_to(x, s), real(*shape),
          torch=lambda x, s=wide: x.broadcast_to(s))
enter("broadcast to the same shape", lambda x: np.broadcast_to(x, (3, 4)), real(3, 4),
      torch=lambda x: x * 1)
enter("astype of more digits and back", lambda x: (x.astype(np.longdouble) ** 3).astype(x.dtype),
      real(3, 4), torch=lambda x: x**3)

# Indexing

MASK = np.array([[True, False, True, True], [False] * 4, [False, True, False, True]])

INDICES: dict[str, Any] = {
    "an integer": 1,
    "a negative integer": -1,
    "a NumPy integer": np.int64(1),
    "two integers": (1, -2),
    "all integers": (1, 2, 0),
    "a slice": slice(1, None),
    "a slice with a step": (slice(None), slice(None, None, 2)),
    "an empty slice": slice(2, 2),
    "an ellipsis": (..., 0),
    "nothing": (),
    "a new axis": (slice(None), None),
    "a new axis and an integer": (None, 1, ..., None),
    "a list": [2, 0],
    "an empty list": [],
    "a list with repeats": [2, 0, 2, 2],
    "negative positions": np.array([-1, 0, 2]),
    "a matrix of positions": np.array([[0, 1], [2, 0]]),
    "a 0-d array": np.array(1),
    "pairs": ([0, 1, 1], [2, 0, 0]),
    "pairs that broadcast": (np.array([[0], [2]]), np.array([1, 1, 3])),
    "a slice and a list": (slice(None), [0, 0, 3]),
    "a list and a slice": ([0, 2, 0], slice(1, 3)),
    "lists apart from each other": ([0, 1, 1], slice(None), [1, 0, 0]),
    "an integer beside a list": (1, [1, 0, 1]),
    "a mask": MASK,
    "a mask of rows": np.array([True, False, True]),
    "a mask and an integer": (np.array([True, False, True]), 2),
    "a mask of nothing": np.zeros((3, 4), bool),
}


def in_torch(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(in_torch, index))
    return torch.from_numpy(index) if isinstance(index, np.ndarray) else index


for name, index in INDICES.items():
    enter(f"getitem, {name}", lambda x, i=index: x[i], real(3, 4, 2),
          torch=lambda x, i=index: x[in_torch(i)])
enter("getitem, a mask without elements", lambda x: x[np.zeros((0, 4), bool)], real(0, 4),
      torch=lambda x: x[torch.zeros(0, 4, dtype=torch.bool)])
enter("getitem, backwards", lambda x: x[::-1, ::-2], real(3, 4),
      torch=lambda x: x.flip(0, 1)[:, ::2])
enter("getitem, an integer and a list apart", lambda x: x[1, :, [1, 0, 1]], real(3, 4, 2),
      torch=lambda x: x[1][:, [1, 0, 1]].T)  # NumPy puts the axis of the list first
enter("getitem, row by row", lambda x: sum(row * row[0] for row in x), real(3, 4), torch=SAME)


def scattered(x: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    return x.apply(primitives.scatter_add, x, index=index, shape=shape)


enter("scatter_add at a slice", lambda x: scattered(x, slice(1, 3), (4, 3)), real(2, 3),
      torch=lambda x: torch.zeros(4, 3, dtype=x.dtype).index_add(0, torch.tensor([1, 2]), x))
enter("scatter_add with repeats", lambda x: scattered(x, np.array([2, 0, 2]), (4, 2)), real(3, 2),
      torch=lambda x: torch.zeros(4, 2, dtype=x.dtype).index_add(0, torch.tensor([2, 0, 2]), x))

# Joining

for axis, shapes in (
    (0, [(1, 3), (2, 3), (4, 3)]),
    (1, [(2, 1), (2, 3), (2, 4)]),
    (-1, [(2, 3, 1), (2, 3, 4)]),
    (-2, [(2, 3, 2), (2, 1, 2)]),
    (0, [(2,), (0,), (3,)]),
):
    enter(f"concatenate {shapes} along {axis}", lambda *xs, a=axis: F.concatenate(xs, axis=a),
          *(real(*shape) for shape in shapes), torch=lambda *xs, a=axis: torch.cat(xs, a))
enter("concatenate, flat", lambda x, y: np.concatenate([x, y], axis=None), real(2, 3), real(),
      torch=lambda x, y: torch.cat([x.reshape(-1), y.reshape(-1)]))
enter("concatenate, one twice, and an array", lambda x: F.concatenate([x, like(x), x]), real(2, 3),
      torch=lambda x: torch.cat([x, torch.from_numpy(like(np.empty((2, 3)))), x]))
for axis in 0, 1, -1, -2:
    enter(f"stack along {axis}", lambda x, y, a=axis: F.stack([x, y, x], axis=a), real(2, 3),
          real(2, 3), torch=lambda x, y, a=axis: torch.stack([x, y, x], a))
enter("stack of 0-d", lambda x, y: np.stack([x, y]), real(), real(),
      torch=lambda x, y: torch.stack([x, y]))

# Activations

WITH_0 = given([[0, -1, 2, -0.5], [1, 0, 30, -30]])

enter("relu", lambda x: F.relu(x), real(3, 4), torch=lambda x: TF.relu(x))
enter("relu at 0", lambda x: F.relu(x), WITH_0, torch=lambda x: TF.relu(x), smooth=False)
enter("leaky_relu", lambda x: F.leaky_relu(x), real(3, 4), torch=lambda x: TF.leaky_relu(x))
enter("leaky_relu, slope 0.3, at 0", lambda x: F.leaky_relu(x, 0.3), WITH_0,
      torch=lambda x: TF.leaky_relu(x, 0.3), smooth=False)
for draw, where_ in (real(3, 4), ""), (WITH_0, " at 0"), (real(), " of 0-d"):
    enter(f"sigmoid{where_}", lambda x: F.sigmoid(x), draw, torch=lambda x: TF.sigmoid(x))
    # PyTorch's softplus calls itself the identity from 20 on, which is wrong in the ninth digit.
    enter(f"softplus{where_}", lambda x: F.softplus(x), draw,
          torch=lambda x: TF.softplus(x, threshold=40))
for shape, axis in ((3, 4), -1), ((3, 4), 0), ((2, 3, 4), 1), ((4,), -1), ((3, 1), -1):
    how = f"of {shape} along {axis}"
    enter(f"softmax {how}", lambda x, a=axis: F.softmax(x, axis=a), real(*shape),
          torch=lambda x, a=axis: TF.softmax(x, a))
    enter(f"log_softmax {how}", lambda x, a=axis: F.log_softmax(x, axis=a), real(*shape),
          torch=lambda x, a=axis: TF.log_softmax(x, a))
    for keepdims in False, True:
        enter(f"logsumexp {how}, keepdims={keepdims}",
              lambda x, a=axis, k=keepdims: F.logsumexp(x, axis=a, keepdims=k), real(*shape),
              torch=lambda x, a=axis, k=keepdims: x.logsumexp(a, k))
enter("softmax, with ties", lambda x: F.softmax(x), TIED, torch=lambda x: TF.softmax(x, -1))
enter("logsumexp, with ties", lambda x: F.logsumexp(x), TIED, torch=lambda x: x.logsumexp(-1))
enter("logsumexp over everything", lambda x: F.logsumexp(x, axis=None), real(3, 4),
      torch=lambda x: x.logsumexp((0, 1)))
enter("logsumexp over everything with keepdims", lambda x: F.logsumexp(x, None, keepdims=True),
      real(3, 4), torch=lambda x: x.logsumexp((0, 1), True))

# Losses

LABELS = np.array([2, 0, 2])

for reduction in "mean", "sum", "none":
    for smoothing in 0.0, 0.2:
        how = f"{reduction}, label_smoothing={smoothing}"
        keywords = {"reduction": reduction, "label_smoothing": smoothing}
        enter(f"cross_entropy of labels, {how}",
              lambda x, k=keywords: F.cross_entropy(x, LABELS, **k), real(3, 4),
              torch=lambda x, k=keywords: TF.cross_entropy(x, torch.from_numpy(LABELS), **k))
        enter(f"cross_entropy of probabilities, {how}",
              lambda x, y, k=keywords: F.cross_entropy(x, y, **k), real(3, 4), probabilities(3, 4),
              torch=lambda x, y, k=keywords: TF.cross_entropy(x, y, **k))
    enter(f"cross_entropy of one example, {reduction}",
          lambda x, r=reduction: F.cross_entropy(x, 1, r), real(4),
          torch=lambda x, r=reduction: TF.cross_entropy(x, torch.tensor(1), reduction=r))
    enter(f"binary_cross_entropy_with_logits, {reduction}",
          lambda x, y, r=reduction: F.binary_cross_entropy_with_logits(x, y, r), real(3, 4),
          between_0_and_1(3, 4),
          torch=lambda x, y, r=reduction: TF.binary_cross_entropy_with_logits(x, y, reduction=r))
    enter(f"mse_loss, {reduction}", lambda x, y, r=reduction: F.mse_loss(x, y, r), real(3, 4),
          real(3, 4), torch=lambda x, y, r=reduction: TF.mse_loss(x, y, reduction=r))
    enter(f"hinge_loss, {reduction}",
          lambda x, r=reduction: F.hinge_loss(x, np.sign(like(x)), r), real(3, 4),
          torch=lambda x, r=reduction: torch_hinge_loss(x, r))
enter("binary_cross_entropy_with_logits at 0",
      lambda x: F.binary_cross_entropy_with_logits(x, np.array([[0.0, 1, 0, 1], [1, 0, 1, 0]])),
      WITH_0, torch=lambda x: TF.binary_cross_entropy_with_logits(
          x, torch.tensor([[0.0, 1, 0, 1], [1, 0, 1, 0]], dtype=x.dtype)))
enter("cross_entropy with ties", lambda x: F.cross_entropy(x, LABELS[:2]), TIED,
      torch=lambda x: TF.cross_entropy(x, torch.from_numpy(LABELS[:2])))


def torch_hinge_loss(x: Any, reduction: str) -> Any:
    """PyTorch's hinge_embedding_loss is another one."""
    losses = (1 - x * torch.from_numpy(np.sign(like(np.empty(x.shape))))).clamp(min=0)
    return losses if reduction == "none" else getattr(losses, reduction)()


# Layers

enter("linear", lambda x, w, b: F.linear(x, w, b), real(3, 4), real(4, 2), real(2),
      torch=lambda x, w, b: TF.linear(x, w.T, b))
enter("linear without bias", lambda x, w: F.linear(x, w), real(3, 4), real(4, 2),
      torch=lambda x, w: TF.linear(x, w.T))
enter("linear of one example", lambda x, w, b: F.linear(x, w, b), real(4), real(4, 2), real(2),
      torch=lambda x, w, b: TF.linear(x, w.T, b))
enter("linear of many axes", lambda x, w, b: F.linear(x, w, b), real(2, 3, 4), real(4, 5), real(5),
      torch=lambda x, w, b: TF.linear(x, w.T, b))

for shape in (5, 3), (2, 3, 4), (2, 3, 2, 2):
    enter(f"batch_norm of {shape}, training",
          lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
          real(*shape), real(3), real(3),
          torch=lambda x, w, b: TF.batch_norm(x, None, None, w, b, training=True))
    enter(f"batch_norm of {shape}, training, with running estimates",
          lambda x, w, b: F.batch_norm(x, *estimates(x), w, b, training=True),
          real(*shape), real(3), real(3),
          torch=lambda x, w, b: TF.batch_norm(x, None, None, w, b, training=True))
    enter(f"batch_norm of {shape}, eval",
          lambda x, w, b: F.batch_norm(x, *estimates(x), w, b, eps=0.01),
          real(*shape), real(3), real(3),
          torch=lambda x, w, b: TF.batch_norm(x, *torch_estimates(), w, b, eps=0.01))
enter("batch_norm, training, without weight and bias",
      lambda x: F.batch_norm(x, None, None, training=True), real(5, 3),
      torch=lambda x: TF.batch_norm(x, None, None, training=True))
enter("batch_norm, training, without weight",
      lambda x, b: F.batch_norm(x, None, None, None, b, training=True), real(5, 3), real(3),
      torch=lambda x, b: TF.batch_norm(x, None, None, torch.ones_like(b), b, training=True))
enter("batch_norm, training, without bias",
      lambda x, w: F.batch_norm(x, None, None, w, training=True), real(5, 3), real(3),
      torch=lambda x, w: TF.batch_norm(x, None, None, w, training=True))
enter("batch_norm, eval, without weight and bias",
      lambda x: F.batch_norm(x, *estimates(x)), real(5, 3),
      torch=lambda x: TF.batch_norm(x, *torch_estimates()))
enter("batch_norm, eval, without estimates", lambda x: F.batch_norm(x, None, None), real(5, 3),
      torch=lambda x: TF.batch_norm(x, None, None, training=True))


def estimates(x: Tensor) -> tuple[Tensor, Tensor]:
    """Running mean and variance of three features."""
    return (
        Tensor(np.array([0.1, -0.2, 0.3], dtype=x.dtype)),
        Tensor(np.array([0.5, 1, 2], dtype=x.dtype)),
    )


def torch_estimates() -> tuple[Any, Any]:
    double = {"dtype": torch.float64}
    return torch.tensor([0.1, -0.2, 0.3], **double), torch.tensor([0.5, 1, 2], **double)


def torch_dropout(x: Any, mask: Array, scale: float) -> Any:
    """PyTorch takes no mask."""
    return x * torch.from_numpy(mask) * scale


enter("dropout, inverted", lambda x: F.dropout(x, 0.2, mask=MASK), real(3, 4),
      torch=lambda x: torch_dropout(x, MASK, 1.25))
enter("dropout, vanilla", lambda x: F.dropout(x, 0.2, mode="vanilla", mask=MASK), real(3, 4),
      torch=lambda x: torch_dropout(x, MASK, 1))
enter("dropout, inverted, eval", lambda x: F.dropout(x, 0.2, training=False), real(3, 4),
      torch=lambda x: TF.dropout(x, 0.2, training=False))
enter("dropout, vanilla, eval", lambda x: F.dropout(x, 0.2, training=False, mode="vanilla"),
      real(3, 4), torch=lambda x: x * 0.8)
enter("dropout, a mask that broadcasts", lambda x: F.dropout(x, 0.5, mask=MASK[:, 3:]), real(3, 4),
      torch=lambda x: torch_dropout(x, MASK[:, 3:], 2))
enter("dropconnect", lambda x, w: x @ F.dropconnect(w, 0.2, mask=MASK), real(2, 3), real(3, 4),
      torch=lambda x, w: x @ torch_dropout(w, MASK, 1.25))
enter("dropconnect, eval", lambda w: F.dropconnect(w, 0.2, training=False), real(3, 4),
      torch=lambda w: w * 1)

# Penalties

enter("l1_penalty", lambda w: F.l1_penalty(w, 0.3), real(3, 4), torch=lambda w: 0.3 * w.abs().sum())
enter("l1_penalty at 0", lambda w: F.l1_penalty(w, 0.3), WITH_0,
      torch=lambda w: 0.3 * w.abs().sum(), smooth=False)
enter("l1_penalty, one strength", lambda w, v: F.l1_penalty([w, v], 0.3), real(3, 4), real(4, 2),
      torch=lambda w, v: 0.3 * (w.abs().sum() + v.abs().sum()))
enter("l1_penalty, one for each", lambda w, v: F.l1_penalty([w, v], [0.3, 2]), real(3, 4),
      real(4, 2), torch=lambda w, v: 0.3 * w.abs().sum() + 2 * v.abs().sum())
enter("l2_penalty", lambda w: F.l2_penalty(w, 0.3), real(3, 4),
      torch=lambda w: 0.15 * w.square().sum())
enter("l2_penalty, one strength", lambda w, v: F.l2_penalty([w, v], 0.3), real(3, 4), real(4, 2),
      torch=lambda w, v: 0.15 * (w.square().sum() + v.square().sum()))
enter("l2_penalty, one for each", lambda w, v: F.l2_penalty([w, v], [0.3, 2]), real(3, 4),
      real(4, 2), torch=lambda w, v: 0.15 * w.square().sum() + v.square().sum())

# All together

BATCH_MASK = np.arange(24).reshape(6, 4) % 3 > 0
BATCH_LABELS = np.array([0, 2, 1, 1, 0, 2])


def network(x: Tensor, w1: Tensor, gamma: Tensor, beta: Tensor, w2: Tensor) -> Tensor:
    hidden = F.relu(F.batch_norm(x @ w1, None, None, gamma, beta, training=True))
    loss = F.cross_entropy(F.dropout(hidden, 0.5, mask=BATCH_MASK) @ w2, BATCH_LABELS)
    return loss + F.l2_penalty([w1, w2], 0.1) + F.l1_penalty(w1, 0.2)


def torch_network(x: Any, w1: Any, gamma: Any, beta: Any, w2: Any) -> Any:
    hidden = TF.relu(TF.batch_norm(x @ w1, None, None, gamma, beta, training=True))
    logits = torch_dropout(hidden, BATCH_MASK, 2) @ w2
    penalty = 0.05 * (w1.square().sum() + w2.square().sum()) + 0.2 * w1.abs().sum()
    return TF.cross_entropy(logits, torch.from_numpy(BATCH_LABELS)) + penalty


enter("a network", network, real(6, 5), real(5, 4), positive(4), real(4), real(4, 3),
      torch=torch_network)
# fmt: on
