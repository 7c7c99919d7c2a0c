"""Lesson 9: what dropout updates, recounted with plain NumPy."""

from itertools import product

import numpy as np
import pytest


def test_the_truth_table(quick):
    both = np.zeros((10, 10))
    for mask in product((0, 1), repeat=10):
        both += np.outer(mask, mask)
    np.testing.assert_array_equal(quick.numbers["networks with both"], both)
    assert set(np.diag(both)) == {512}


def test_every_mask_that_was_drawn_is_counted_and_none_of_100_units_twice(quick):
    batch, example, small = quick.numbers["runs"]
    examples, epochs = len(quick.module.load("digits", 0).y), 5
    for runs, drawn in (batch, epochs * round(examples / 32)), (example, epochs * examples):
        for run in runs:
            times, many = run["networks"]
            assert (times.tolist(), many.tolist()) == ([1], [drawn])
    for run in small:
        times, many = run["networks"]
        assert times @ many == 10 * round(examples / 32)
        assert many.sum() == 2**4
        assert 2 <= times.min() < times.max()


@pytest.mark.parametrize("kind", ["weights", "units"])
def test_what_is_there_is_what_probability_says_and_what_is_updated_was_there(quick, kind):
    batch, example, _ = quick.numbers["runs"]
    present = {"weights": 1 / 4, "units": 1 / 2}[kind]
    for runs, expected in (batch, present), (example, 1 - (1 - present) ** 32):
        for run in runs:
            there, gradient, updated = run[f"share of {kind}"]
            assert there == pytest.approx(expected, abs=0.02)
            assert there >= gradient >= updated > 0.6 * there
    assert all(run["errors"] <= 6 for run in batch)
    assert all(run["stray"] == 0 for runs in quick.numbers["runs"] for run in runs)


def by_hand(module, seed, units, per_example):
    """One epoch in NumPy: the share of steps in which a weight is there, and has a gradient."""
    data, rng = module.load("digits", seed), np.random.default_rng(seed)
    sizes = (64, units), (units, units), (units, 10)
    w = [rng.standard_normal(size) / np.sqrt(size[0]) for size in sizes]
    b = [np.zeros(size[1]) for size in sizes]
    there, gradient, steps = np.zeros((units, units)), np.zeros((units, units)), 0
    for batch in module.batches(len(data.y), 32, rng):
        masks = rng.random((2, len(batch) if per_example else 1, units)) >= 0.5
        m1, m2 = (np.broadcast_to(m, (len(batch), units)) for m in masks)
        x, y = data.x[batch], np.eye(10)[data.y[batch]]
        z1 = x @ w[0] + b[0]
        h1 = np.maximum(z1, 0) * m1 * 2
        z2 = h1 @ w[1] + b[1]
        h2 = np.maximum(z2, 0) * m2 * 2
        e = np.exp(h2 @ w[2] + b[2])
        d3 = (e / e.sum(axis=1, keepdims=True) - y) / len(batch)
        d2 = d3 @ w[2].T * m2 * 2 * (z2 > 0)
        d1 = d2 @ w[1].T * m1 * 2 * (z1 > 0)
        there += np.einsum("ni,nj->ij", m1.astype(int), m2.astype(int)) > 0
        gradient += np.einsum("ni,nj->ij", (h1 > 0).astype(int), (d2 != 0).astype(int)) > 0
        for i, (source, d) in enumerate(((x, d1), (h1, d2), (h2, d3))):
            w[i] = w[i] - 0.1 * source.T @ d
            b[i] = b[i] - 0.1 * d.sum(axis=0)
        steps += 1
    return there.mean() / steps, gradient.mean() / steps


@pytest.mark.parametrize("per_example", [False, True])
def test_the_counts_are_those_of_backpropagation_by_hand(quick, per_example):
    counted = quick.module.train(3, 8, per_example, epochs=1)["share of weights"]
    np.testing.assert_allclose(counted[:2], by_hand(quick.module, 3, 8, per_example), rtol=1e-9)


def test_to_be_there_for_some_example_is_not_to_be_updated(quick):
    for run in quick.numbers["runs"][1]:
        there, _, updated = run["share of weights"]
        assert updated < there - 0.1
    claim = quick.claim("One mask for each example")
    assert claim.holds is None
    assert not claim.should_hold
