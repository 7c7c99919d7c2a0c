"""Where do the formulas of backpropagation come from, if nobody wrote them down?

    python examples/lesson02_backprop.py

[CS4342] derives by hand, for an example x of class y (one-hot) and a network of one hidden layer,

    z = W1 x + b1,   h = relu(z),   ŷ = softmax(W2 h + b2),   f = -Σₖ yₖ log ŷₖ
    ∇W2 = (ŷ - y) hᵀ,  ∇b2 = ŷ - y,  ∇W1 = g xᵀ,  ∇b1 = g,   gᵀ = (ŷ - y)ᵀ W2 ⊙ relu'(zᵀ)

with relu'(0) = 0; a mini-batch takes the mean.  The engine only has a table of primitives with
their derivatives.  For each seed both get five networks of random sizes, in float64, with a hidden
unit whose z is exactly 0.  The engine also writes down what it did, as a NumPy program, which is
printed: among its lines are the formulas.  Then the table is tampered with: if exp' is doubled
there, each ŷ must count twice; if the derivative of maximum, then g.  Last, eˣ / Σ eˣ overflows,
but the engine first subtracts the largest x, which cancels out: four logits of ±10,000 are tried,
in all combinations.
"""

from __future__ import annotations

import re
from itertools import product
from unittest.mock import patch

import numpy as np
from ladder import Array, Claim, Numbers, lesson
from scipy.special import softmax

import tinygrad_reg
from tinygrad_reg import Tensor, draw
from tinygrad_reg import functional as F
from tinygrad_reg.drawing import Drawing
from tinygrad_reg.primitives import table

PRIMITIVES = ["add", "exp", "log", "matmul", "maximum", "subtract", "sum", "vdot"]
COMPOSED = {"linear", "relu", "softmax", "log_softmax", "cross_entropy"}


def random_network(rng: np.random.Generator) -> dict[str, Array]:
    n, inputs, hidden, classes = rng.integers(2, 9, 4)
    shapes = {"W1": (inputs, hidden), "b1": hidden, "W2": (hidden, classes), "b2": classes}
    network = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    network["W1"][:, 0] = network["b1"][0] = 0  # so z = 0 for this unit
    return network | {"x": rng.standard_normal((n, inputs)), "y": rng.integers(classes, size=n)}


def by_hand(network: dict[str, Array], exp: int = 1, relu: int = 1) -> dict[str, Array]:
    """The formulas, with examples as rows; ŷ counts `exp` times, and relu' `relu` times."""
    w1, b1, w2, b2, x, y = network.values()
    h = np.maximum(x @ w1 + b1, 0)
    error = (exp * softmax(h @ w2 + b2, axis=1) - np.eye(len(b2))[y]) / len(y)  # ŷ - y
    g = error @ w2.T * (relu * (h > 0))
    return {"W1": x.T @ g, "b1": g.sum(axis=0), "W2": h.T @ error, "b2": error.sum(axis=0)}


def by_engine(network: dict[str, Array]) -> tuple[Tensor, dict[str, Array]]:
    """The loss, and its gradients."""
    w1, b1, w2, b2 = (Tensor(network[name], True, name) for name in ("W1", "b1", "W2", "b2"))
    h = F.relu(F.linear(Tensor(network["x"], name="x"), w1, b1))
    logits = F.linear(h, w2, b2)
    loss = F.cross_entropy(logits, network["y"])
    h.name, logits.name, loss.name = "h", "logits", "f"
    loss.backward()
    return loss, {p.name: p.grad.data for p in (w1, b1, w2, b2)}


def by_program(network: dict[str, Array]) -> tuple[str, dict[str, Array]]:
    """What the engine writes down, and the gradients that NumPy alone computes from that."""
    parameters = [Tensor(network[name], True, name) for name in ("W1", "b1", "W2", "b2")]
    w1, b1, w2, b2 = parameters

    def gradients(x: Array, y: Array) -> list[Tensor]:
        for p in parameters:
            p.grad = None
        F.cross_entropy(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2), y).backward()
        return [p.grad for p in parameters]

    compiled = tinygrad_reg.compile(gradients, *parameters)
    for _ in range(2):  # recorded twice, and compared
        compiled(network["x"], network["y"])
    names: Numbers = {"np": np}
    exec(compiled.source, names)  # from here on, without the engine
    found = names["gradients"](network["x"], network["y"], **{p.name: p.data for p in parameters})
    return compiled.source, {p.name: g for p, g in zip(parameters, found)}


def largest_difference(networks: list[dict[str, Array]], **counts: int) -> float:
    found = [(by_engine(network)[1], by_hand(network, **counts)) for network in networks]
    return float(np.max([abs(ours[p] - hand[p]).max() for ours, hand in found for p in hand]))


def doubled(function: np.ufunc) -> patch.dict:
    """A block in which the derivatives of a primitive are twice what they should be."""
    twice = [lambda *args, rule=rule: 2 * rule(*args) for rule in table[function]]
    return patch.dict(table, {function: tuple(twice)})


def huge_logits() -> Numbers:
    """The largest error of softmax, cross-entropy and its gradient; the naive formula's NaN."""
    values = np.repeat([*product((-1e4, 1e4), repeat=4)], 4, axis=0)
    x, y = Tensor(values, requires_grad=True), np.tile(np.eye(4), (16, 1))
    top = values == values.max(axis=1, keepdims=True)
    p = top / top.sum(axis=1, keepdims=True)  # for e⁻²⁰⁰⁰⁰ is 0
    f = values.max(axis=1) - (values * y).sum(axis=1) + np.log(top.sum(axis=1))
    losses = F.cross_entropy(x, y, "none")
    losses.sum().backward()
    errors = np.c_[F.softmax(x).data - p, x.grad.data - (p - y), (losses.data - f) / (1 + f)]
    x.grad = None
    with np.errstate(all="ignore"):
        naive = -(y * np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))).sum(axis=1)
        naive.sum().backward()
    nan = np.isnan(naive.data) & np.isnan(x.grad.data).all(axis=1)
    return {"huge error": float(np.abs(errors).max()), "naive NaN": int(nan.sum())}


def run(quick: bool = False, seed: int = 0, seeds: int = 10) -> Numbers:
    rngs = [np.random.default_rng(s) for s in range(seed, seed + seeds)]
    networks = [random_network(rng) for rng in rngs for _ in range(5)]
    loss, gradients = by_engine(networks[0])
    numbers = {"networks": len(networks), "first": networks[0], "gradients": gradients}
    numbers["difference"] = largest_difference(networks)
    numbers["text"], written = by_program(networks[0])
    hand = by_hand(networks[0])
    numbers["program"] = float(max(abs(written[p] - hand[p]).max() for p in hand))
    with doubled(np.exp):
        numbers["exp doubled"] = largest_difference(networks, exp=2)
    with doubled(np.maximum):
        numbers["maximum doubled"] = largest_difference(networks, relu=2)
    numbers["graph"] = sorted({node.operation for node in draw(loss).graph.nodes} - {""})
    numbers["table"] = sorted(function.__name__ for function in table)
    return numbers | huge_logits()


def lines_of(program: str) -> list[str]:
    """The gradients that a program computes, in its order."""
    return re.findall(r"^    (d_\w+) = ", program, re.MULTILINE)


def claims(numbers: Numbers) -> list[Claim]:
    return [
        Claim(
            "Backprop gives ∇W2 = (ŷ - y) hᵀ, ∇b2 = ŷ - y, ∇W1 = g xᵀ, ∇b1 = g.",
            "[CS4342], where do these come from?",
            "engine and formulas differ by at most 1e-12",
            f"{numbers['difference']:.0e} in {numbers['networks']} networks",
            numbers["difference"] <= 1e-12,
        ),
        Claim(
            "The engine has no such formula: the loss is composed of primitives.",
            "tinygrad_reg, README",
            f"{', '.join(PRIMITIVES)}; none of {', '.join(sorted(COMPOSED))} is in the table",
            f"{', '.join(numbers['graph'])}, of {len(numbers['table'])} in the table",
            numbers["graph"] == PRIMITIVES and not COMPOSED & {*numbers["table"]},
        ),
        Claim(
            "Yet it can write them down: its step, as a NumPy program, has a line for each.",
            "tinygrad_reg, compile",
            "d_b2, d_W2, d_b1, d_W1; run by NumPy alone, at most 1e-12 from the formulas",
            f"{', '.join(lines_of(numbers['text']))}; {numbers['program']:.0e}",
            lines_of(numbers["text"]) == ["d_b2", "d_W2", "d_b1", "d_W1"]
            and numbers["program"] <= 1e-12,
        ),
        Claim(
            "They follow from the table: with 2 exp' in it ŷ becomes 2ŷ, and with 2 relu' g 2g.",
            "the chain rule",
            "with either rule doubled, at most 1e-12 from the formulas so changed",
            f"{numbers['exp doubled']:.0e} and {numbers['maximum doubled']:.0e}",
            numbers["exp doubled"] <= 1e-12 and numbers["maximum doubled"] <= 1e-12,
        ),
        Claim(
            "Softmax and cross-entropy are right for logits of ±10,000, where eˣ / Σ eˣ is not.",
            "tinygrad_reg, docstring of cross_entropy",
            "values and gradients to 1e-12; by the naive formula all 64 are NaN",
            f"{numbers['huge error']:.0e}; {numbers['naive NaN']} are NaN",
            numbers["huge error"] <= 1e-12 and numbers["naive NaN"] == 64,
        ),
    ]


def picture(numbers: Numbers) -> Drawing:
    """A network small enough to check each number by hand: ŷ is (¼, ¾), and y is (1, 0)."""
    network = {"W1": [[1.0, -1.0], [0.5, 0.5]], "b1": [0.0, -1.0], "W2": [[0.5, -0.5], [1.0, 2.0]]}
    network |= {"b2": [-1.0, 1 + np.log(3)], "x": [[1.0, 2.0]], "y": [0]}
    return draw(by_engine(network)[0], gradients=True, formulas=True)


main = lesson(run, claims, picture)

if __name__ == "__main__":
    main()
