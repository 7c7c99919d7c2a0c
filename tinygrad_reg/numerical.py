"""The numerical gradient check: `gradcheck` compares gradients with difference quotients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .blocks import Block
from .checks import new_numeric_array
from .operators import Operand
from .random import generator
from .settings import check_callable, check_float, check_int, check_list
from .tensor import Recorder, Tensor, constant, gradients

DIRECTIONS = 3  # one could by bad luck be nearly orthogonal to an error

Float64: TypeAlias = npt.NDArray[np.float64]
Functions: TypeAlias = Callable[..., list[Tensor]]  # several tensors to several tensors


class GradientError(AssertionError):
    """A gradient is not the derivative of its function."""


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Operand | Sequence[Operand],
    order: int = 2,
    *,
    eps: float = 6e-6,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    rng: np.random.Generator | None = None,
) -> None:
    """Check the derivatives of f at the inputs, up to an order; silence means that they are right.

    Parameters
    ----------
    f
        Takes tensors, one for each input, and returns a tensor.
    inputs
        Arrays or tensors of float64.  A single one need not be in a list.
    order
        1 checks gradients, 2 also gradients of gradients, and so on.
    eps
        Half the step of the difference quotient.
    rtol
        Tolerated error, relative to Σ |vᵢ gᵢ|, see the notes.
    atol
        Tolerated error on top, for gradients that are zero or nearly so.
    rng
        Draws the directions; by default the same ones in every call.

    Raises
    ------
    GradientError
        For a wrong gradient.
    TypeError
        For inputs or results that are not float64.
    ValueError
        If f gives different results for the same inputs.

    Notes
    -----
    Let J be the Jacobian of f with respect to one of its inputs x.  For random u and v of the
    shapes of f(x) and x, one number is computed in two ways::

        ⟨u, J v⟩   as  ⟨u, f(x + eps v) - f(x - eps v)⟩ / (2 eps)
        ⟨v, Jᵀu⟩   as  ⟨v, g⟩  with the gradient g that `backward` gives when u arrives at f(x)

    for each input on its own, so that an error can name the argument, and along several directions,
    as in the tests of HIPS autograd.  Elements of u and v are ± a number from ½ to 1, so each
    element of a gradient is weighed by about 1.  A gradient of None counts as zero.

    Then the same is done with the function (x, u) ↦ Jᵀu in the place of f, which checks second
    derivatives by x and, by u, that J v itself is right; and so on.

    The step: the quotient is wrong by eps² |f‴| / 6, since it is no derivative, and by about
    2⁻⁵³ |f| / eps, since digits cancel in it.  The sum is smallest at eps = (3 · 2⁻⁵³ |f / f‴|)^⅓,
    which is 7e-6 where f and its derivatives are of size 1, and then some 1e-11: far below the
    tolerance, which is far below any error in a rule.  Higher orders want the same step, because
    each takes a single difference, of gradients that are exact, and never a difference of
    differences.  Keep a distance of eps from kinks.  Near singularities (log x at x = 1e-3) take a
    smaller eps, for a large f(x) a larger one.

    Examples
    --------
    >>> gradcheck(lambda x, y: (x @ y).tanh(), [np.ones((2, 3)), np.ones((3, 4))])
    """
    order = check_int("gradcheck: order", order, least=1)
    eps = check_float("gradcheck: eps", eps, "finite and above 0")
    rtol = check_float("gradcheck: rtol", rtol, "finite and 0 or more")
    atol = check_float("gradcheck: atol", atol, "finite and 0 or more")
    rng = generator(np.random.default_rng(0) if rng is None else rng)
    listed: Sequence[Any] = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    arguments = [Argument.of(x, i) for i, x in enumerate(check_list("gradcheck", "inputs", listed))]
    function = checked(f)
    with Block(records=True), np.errstate(invalid="ignore"):  # infinite gradients are reported, too
        refuse_randomness(function, arguments)
        for k in range(1, order + 1):
            findings: list[Finding] = []
            for _ in range(DIRECTIONS):
                arriving, found = compare(function, arguments, eps, rtol, atol, rng)
                findings += found
            report(findings, k)
            function = pulled_back(function, len(arguments))
            which = f"the gradient arriving at order {k}"
            arguments = arguments + [Argument(which, u) for u in arriving]


class Argument(NamedTuple):
    """One argument of a function: where it is checked, and what errors call it."""

    label: str
    data: Float64

    @classmethod
    def of(cls, x: Operand, position: int) -> Argument:
        name = f" ({x.name!r})" if isinstance(x, Tensor) and x.name else ""
        data = (
            x.numpy()
            if isinstance(x, Tensor)
            else new_numeric_array(f"gradcheck: input {position}", x)
        )
        if data.dtype != np.float64:
            raise TypeError(
                f"gradcheck: input {position}{name} is {data.dtype}, but must be float64: a "
                "difference quotient loses about half of the digits, and others have too few; use "
                "x.astype(np.float64), and keep inputs without gradient out of the list"
            )
        if not np.isfinite(data).all():
            raise ValueError(f"gradcheck: input {position}{name} has NaN or infinity in it")
        return cls(f"input {position}{name}", data)


class Finding(NamedTuple):
    """One number, ⟨u, J v⟩ = ⟨v, Jᵀu⟩, computed in two ways."""

    argument: Argument
    quotient: float
    gradient: float
    relative: float  # the relative error
    excess: float  # the error over what is tolerated; NaN for a gradient of NaN

    @property
    def wrong(self) -> bool:
        return not self.excess <= 1


def compare(
    function: Functions,
    arguments: list[Argument],
    eps: float,
    rtol: float,
    atol: float,
    rng: np.random.Generator,
) -> tuple[list[Float64], list[Finding]]:
    """Draw u, and compute ⟨u, J v⟩ in both ways for each argument; the result begins with u."""
    leaves = [Tensor(argument.data, requires_grad=True) for argument in arguments]
    results = function(*leaves)
    arriving = [direction(result.shape, rng) for result in results]
    pulled = vector_jacobian(results, [constant(u) for u in arriving], leaves)
    findings = []
    for i, (argument, gradient) in enumerate(zip(arguments, pulled)):
        v = direction(argument.data.shape, rng)
        ahead, behind = (values(function, arguments, i, step * v) for step in (eps, -eps))
        changes = zip(arriving, ahead, behind)
        quotient = sum(float(np.vdot(u, a - b)) for u, a, b in changes) / (2 * eps)
        terms = v * gradient.numpy()
        product = float(terms.sum())
        scale = max(abs(quotient), float(np.abs(terms).sum()))
        error = abs(quotient - product)
        excess = error / (atol + rtol * scale) if error else 0.0
        relative = error / max(abs(quotient), abs(product)) if error else 0.0
        findings.append(Finding(argument, quotient, product, relative, excess))
    return arriving, findings


def direction(shape: tuple[int, ...], rng: np.random.Generator) -> Float64:
    """Random numbers of random signs, none of them small."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1, shape)


def values(
    function: Functions, arguments: list[Argument], position: int, step: Float64
) -> list[Float64]:
    """The results with one argument moved by a step."""
    moved = [x.data + step if i == position else x.data for i, x in enumerate(arguments)]
    return [result.numpy() for result in function(*(Tensor(x, requires_grad=True) for x in moved))]


def vector_jacobian(
    results: Sequence[Tensor],
    arriving: Sequence[Tensor],
    leaves: Sequence[Tensor],
    create_graph: bool = False,
) -> list[Tensor]:
    """Jᵀu for each leaf, summed over the results; zero for a leaf that no result depends on.

    No `.grad` is touched, for f may look at the parameters of a model.
    """
    totals = [constant(np.zeros(leaf.shape)) for leaf in leaves]
    nodes = [leaf.node for leaf in leaves]
    for result, u in zip(results, arriving):
        recorder = Recorder() if create_graph else None
        found = gradients(result, u, nodes, recorder)
        totals = [t + found[x] if x in found else t for t, x in zip(totals, nodes)]
    return totals


def pulled_back(function: Functions, n: int) -> Functions:
    """The function (x, u) ↦ Jᵀu, for n arguments x and as many u as the function has results."""

    def gradient_function(*arguments: Tensor) -> list[Tensor]:
        leaves, arriving = arguments[:n], arguments[n:]
        return vector_jacobian(function(*leaves), arriving, leaves, create_graph=True)

    return gradient_function


def checked(f: Callable[..., Tensor]) -> Functions:
    """f with a list of one result, which is a tensor of float64."""
    check_callable("gradcheck: f", f)

    def function(*arguments: Tensor) -> list[Tensor]:
        result: Any = f(*arguments)
        if not isinstance(result, Tensor):
            raise TypeError(f"gradcheck: f returned {type(result).__name__}, not a tensor")
        if result.dtype != np.float64:
            raise TypeError(
                f"gradcheck: f returned {result.dtype} for inputs of float64; differences of such "
                "numbers say nothing, so check f without the conversion"
            )
        return [result]

    return function


def refuse_randomness(function: Functions, arguments: list[Argument]) -> None:
    """Differences between two random results would say nothing about a derivative."""
    first, second = (
        function(*(Tensor(x.data, requires_grad=True) for x in arguments))[0].numpy()
        for _ in range(2)
    )
    if not np.array_equal(first, second, equal_nan=True):
        raise ValueError(
            "gradcheck: f gave two different results for the same inputs; fix what is random in "
            "it, e.g. give dropout a mask, or an rng made inside f, np.random.default_rng(0)"
        )


def report(findings: list[Finding], order: int) -> None:
    """Raise GradientError for the worst finding, if any is wrong."""
    wrong = [finding for finding in findings if finding.wrong]
    if not wrong:
        return
    worst = max(wrong, key=lambda f: np.inf if np.isnan(f.excess) else f.excess)
    labels = list(dict.fromkeys(finding.argument.label for finding in wrong))
    labels.remove(worst.argument.label)
    others = f"; wrong too: {', '.join(labels)}" if labels else ""
    raise GradientError(
        f"gradcheck, order {order}: the gradient with respect to {worst.argument.label}, of shape "
        f"{worst.argument.data.shape}, is wrong: along a random direction it gives "
        f"{worst.gradient:.10g}, but the difference quotient {worst.quotient:.10g}; relative error "
        f"{worst.relative:.2g}, {worst.excess:.2g} times what is tolerated{others}"
    )
