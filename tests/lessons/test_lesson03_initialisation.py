"""Lesson 3: zeros, and the size of the first weights."""

from copy import deepcopy
from unittest.mock import patch

import numpy as np
import pytest
from data import batches, load
from scipy.special import softmax

from tinygrad_reg import Tensor, init, nn
from tinygrad_reg import functional as F
from tinygrad_reg.primitives import table

FIRST = {
    "all = 0": {"b2": 1},
    "W1 = b1 = 0": {"b2": 1},
    "W2 = b2 = 0": {"W2": 1, "b2": 1, "W1": 2, "b1": 2},
    "none": {"W1": 1, "b1": 1, "W2": 1, "b2": 1},
}


def examples(seed):
    """Its training examples: about half of the digits 5 to 9 are left out."""
    data = load("digits", seed)
    kept = [i for i, label in enumerate(data.y) if label < 5 or i % 2 == 0]
    return data.x[kept], data.y[kept]


def test_what_moves_and_when(quick):
    assert [seed["first"] for seed in quick.numbers["seeds"]] == [FIRST, FIRST]
    all_of_them, first_layer, last_layer, none = quick.module.ZERO.values()
    assert all_of_them == [*first_layer, *last_layer]
    assert (first_layer, last_layer, none) == (["W1", "b1"], ["W2", "b2"], [])


@pytest.mark.parametrize("case", ["all = 0", "W1 = b1 = 0"])
def test_b2_is_what_sgd_on_b2_alone_makes_of_it(case, quick):
    _, y = examples(seed=1)
    rng = np.random.default_rng(1)
    start = [init.lecun_normal(shape, rng) for shape in ((64, 32), (32,), (32, 10), (10,))]
    b2 = start[3].astype(float) * (case != "all = 0")
    for _ in range(60):
        for batch in batches(len(y), 32, rng):
            b2 -= 0.1 * np.mean(softmax(b2) - np.eye(10)[y[batch]], axis=0)
    np.testing.assert_allclose(quick.numbers["seeds"][1]["b2"][case], b2, atol=1e-5)


def test_the_frequencies_are_not_what_zero_logits_would_give(quick):
    for seed, found in enumerate(quick.numbers["seeds"]):
        _, y = examples(seed)
        frequencies = [np.mean(y == k) for k in range(10)]
        np.testing.assert_allclose(found["frequencies"], frequencies)
        assert max(frequencies) > 0.13
        assert min(frequencies) < 0.075


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_norms_are_those_of_backprop_by_hand(activation, quick):
    slope = {"tanh": lambda z: 1 - np.tanh(z) ** 2, "relu": lambda z: z > 0}[activation]
    function = {"tanh": np.tanh, "relu": lambda z: z * (z > 0)}[activation]
    data = load("digits", seed=0)
    for scale, found in zip(quick.module.SCALES[activation], quick.numbers["seeds"][0][activation]):
        rng = np.random.default_rng(0)
        shapes = [(64, 64)] * 11 + [(64, 10)]
        weights = [scale / 8 * rng.standard_normal(shape) for shape in shapes]
        h, z = data.x, []
        for w in weights:
            z.append(h @ w)
            h = function(z[-1])
        g = softmax(z[-1], axis=1) - np.eye(10)[data.y]
        norms = [np.mean(np.sum(g**2, axis=1)) ** 0.5]
        for w, z_before in zip(weights[:0:-1], z[-2::-1]):
            g = g @ w.T * slope(z_before)
            norms.insert(0, np.mean(np.sum(g**2, axis=1)) ** 0.5)
        np.testing.assert_allclose(found, norms, rtol=1e-6)


def test_relu_halves_the_mean_square_in_each_of_eleven_layers(quick):
    for found in quick.numbers["seeds"]:
        relu = np.array(found["relu"])
        lecun, he = relu[1, 0] / relu[1, -1], relu[3, 0] / relu[3, -1]
        assert lecun / he == pytest.approx(2**-5.5, rel=0.3)


def test_the_gradients_of_weights_are_small_in_all_layers_alike():
    # As the docstring says in parentheses.
    data, rng = load("digits", seed=0, dtype=np.float64), np.random.default_rng(0)
    widths = [64] * 11 + [10]
    layers = [nn.Linear(64, width, rng=rng, dtype=np.float64) for width in widths]
    for layer in layers:
        layer.weight.data = layer.weight.data / 10
    h = Tensor(data.x)
    for layer in layers[:-1]:
        h = layer(h).tanh()
    F.cross_entropy(layers[-1](h), data.y).backward()
    norms = [np.linalg.norm(layer.weight.grad.data) for layer in layers]
    assert max(norms) < 1e-9
    assert max(norms) < 10 * min(norms)


def test_with_a_slope_of_relu_at_zero_the_first_claim_would_fail(quick):
    x, y = examples(seed=0)
    with patch.dict(table, {np.maximum: (lambda g, out, x, y: g * (x >= y), None)}):
        _, first = quick.module.train(["W1", "b1"], x[:64], y[:64], seed=0)
    assert first == {"b1": 1, "b2": 1, "W1": 1, "W2": 2}


def changed(quick, **values):
    """The verdicts for ten seeds like the first, but with these values, by paths with dots."""
    numbers = {"seeds": [deepcopy(quick.numbers["seeds"][0]) for _ in range(10)]}
    for seed in numbers["seeds"]:
        seed.update(values)
    return [claim.holds for claim in quick.module.claims(numbers)]


def test_each_claim_can_fail(quick):
    assert changed(quick) == [True] * 5
    found = quick.numbers["seeds"][0]
    late = FIRST | {"W1 = b1 = 0": {"b2": 1, "W1": 1500}}
    assert changed(quick, first=late)[0] is False
    assert changed(quick, b2=found["b2"] | {"all = 0": np.zeros(10)})[1] is False
    assert changed(quick, right={"none": 0.97, "W2 = b2 = 0": 0.94})[2] is False
    tanh, relu = found["tanh"], found["relu"]
    for wrong in ([tanh[1], *tanh[1:]], [tanh[0], tanh[0], tanh[2]], [*tanh[:2], tanh[1]]):
        assert changed(quick, tanh=wrong)[3] is False
    for wrong in ([*relu[:3], relu[1]], [relu[0], relu[3], *relu[2:]]):
        assert changed(quick, relu=wrong)[4] is False


def test_two_seeds_judge_no_average(quick):
    assert [claim.holds for claim in quick.outcome.claims] == [True, True, None, True, True]
