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


def off(kink: float) -> Condition:
    return lambda x, *before: np.all(abs(x - kink) > 1e-4)


def apart(y: Array, x: Array) -> Any:
    """No element of y is close to the element of x that it meets."""
    axes = zip(x.shape[::-1], y.shape[::-1])
    return all(n == m or 1 in (n, m) for n, m in axes) and np.all(abs(x - y) > 1e-4)


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


def number(*choices: float) -> Callable[..., dict[str, Any]]:
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
            "from tinygrad_reg import Tensor, primitives",
            "from tinygrad_reg import functional as F",
            "",
            *(f"\n{inspect.getsource(function)}" for function in (leaf, agree, compare)),
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
    names: dict[str, Any] = {"torch": torch, "TF": torch.nn.functional}
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
