"""Lesson 7: vanilla and inverted dropout, beside closed forms and plain NumPy."""

from itertools import product

import numpy as np
import pytest
from masks import kept


def test_all_masks_are_there_once(quick):
    assert {tuple(m) for m in quick.module.MASKS.tolist()} == set(product((0, 1), repeat=10))
    assert len(quick.module.MASKS) == 1024


@pytest.mark.parametrize("p", ["0.2", "0.5", "0.8"])
def test_both_sides_are_the_closed_form(quick, p):
    x, z, keep = quick.numbers["x"], quick.numbers["all units"], 1 - float(p)
    for mode, scale in ("vanilla", keep), ("inverted", 1):
        side = quick.numbers["sides"][mode][p]
        for average_or_test in 0, 1:
            np.testing.assert_allclose(side["x"][average_or_test], scale * x, rtol=0, atol=1e-12)
            np.testing.assert_allclose(side["z"][average_or_test], scale * z, rtol=0, atol=1e-12)


def test_behind_a_relu_the_average_over_masks_is_what_numpy_finds_and_more_than_at_test_time(quick):
    rng = np.random.default_rng(3)
    x, w, p = rng.standard_normal(10), rng.standard_normal((10, 4)), 0.3
    side = quick.module.both_sides(x, w, p, "inverted")
    average = np.zeros(4)
    for mask in product((0, 1), repeat=10):
        probability = (1 - p) ** sum(mask) * p ** (10 - sum(mask))
        average += probability * np.maximum(x * mask / (1 - p) @ w, 0)
    np.testing.assert_allclose(side["relu"], [average, np.maximum(x @ w, 0)], rtol=1e-12)
    for sides in quick.numbers["sides"].values():
        for each in sides.values():
            assert np.all(each["relu"][0] > each["relu"][1])


def test_the_spread_over_masks_is_that_of_a_sum_of_coins(quick):
    # Var z = p / (1 - p) · Σ (xᵢ wᵢ)² for inverted dropout, (1 - p)² times that for vanilla.
    vanilla, inverted = (quick.numbers["sides"][m]["0.5"]["each z"] for m in quick.module.MODES)
    np.testing.assert_array_equal(inverted, 2 * vanilla)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(10), rng.standard_normal((10, 100)) / np.sqrt(10)
    terms = x * w[:, (x @ w).argmax()]
    np.testing.assert_allclose(inverted.var(), np.sum(terms**2))


def test_rescaled_both_train_the_same_network_and_else_another(quick):
    rescaled, as_it_is = quick.numbers["apart"]["0.5"]
    assert rescaled == 0
    assert as_it_is > 0.1
    rescaled, as_it_is = quick.numbers["apart"]["0.2"]
    assert 0 < rescaled < 1e-9  # p = 0.2 rounds differently: these really are two trainings
    assert as_it_is > 0.1


def test_training_is_that_of_torch(quick):
    torch = pytest.importorskip("torch")
    data = quick.module.load("digits", 0, dtype=np.float64)
    rng = np.random.default_rng(0)
    shapes = (64, 32), (32, 32), (32, 10)
    w = [torch.tensor(rng.standard_normal(s) / np.sqrt(s[0]), requires_grad=True) for s in shapes]
    b = [torch.zeros(s[1], dtype=torch.float64, requires_grad=True) for s in shapes]
    optimizer = torch.optim.SGD([*w, *b], lr=0.2)
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    for batch in quick.module.batches(len(y), 32, rng):
        h = x[batch]
        for weight, bias in zip(w[:2], b):
            h = torch.relu(h @ weight + bias)
            h = h * torch.tensor(kept(rng, h.shape, 0.2)) / 0.8
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(h @ w[2] + b[2], y[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        h = torch.tensor(data.x_validation)
        for weight, bias in zip(w[:2], b):
            h = torch.relu(h @ weight + bias)
        theirs = (h @ w[2] + b[2]).numpy()
    ours = quick.module.train("inverted", 0.2, 1.0, 0, epochs=1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert np.mean(ours.argmax(axis=1) == data.y_validation) > 0.5  # it does learn
