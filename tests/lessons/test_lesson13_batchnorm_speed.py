"""Lesson 13: batch norm speeds up training."""

import json
from itertools import cycle

import numpy as np
import pytest
from data import batches, load
from scipy.special import expit, softmax


def test_both_networks_start_from_the_same_small_gaussian_weights(quick):
    plain, bn = (quick.module.network(norm, 3).weights() for norm in (False, True))
    assert [w.shape for w in plain] == [(64, 100), (100, 100), (100, 100), (100, 10)]
    for a, b in zip(plain, bn):
        assert np.array_equal(a.data, b.data)
        assert a.data.std() == pytest.approx(0.1, rel=0.1)


def by_hand(norm, rate, seed, steps):
    """Training in NumPy: accuracy on validation data, and percentiles of the last hidden layer."""
    data, rng, draw = load("digits", seed), np.random.default_rng(seed), np.random.default_rng(seed)
    shapes = (64, 100), (100, 100), (100, 100), (100, 10)
    weights = [0.1 * draw.standard_normal(shape) for shape in shapes]
    biases = [np.zeros(shape[1]) for shape in shapes]
    scales, means, variances = np.ones((3, 100)), np.zeros((3, 100)), np.ones((3, 100))
    for _, batch in zip(range(steps), batches(len(data.y), 60, rng)):
        h, layers, n = data.x[batch].astype(float), [], len(batch)
        for i in range(3):
            before, normal, deviation = h, h @ weights[i], 1.0
            if norm:
                mean, variance = normal.mean(axis=0), normal.var(axis=0)
                deviation = np.sqrt(variance + 1e-5)
                normal = (normal - mean) / deviation
                means[i] += 0.1 * (mean - means[i])
                variances[i] += 0.1 * (variance * n / (n - 1) - variances[i])
            h = expit(scales[i] * normal + biases[i])
            layers.append((before, normal, deviation, h))
        g = (softmax(h @ weights[3] + biases[3], axis=1) - np.eye(10)[data.y[batch]]) / n
        back = g @ weights[3].T
        weights[3] -= rate * h.T @ g
        biases[3] -= rate * g.sum(axis=0)
        for i in (2, 1, 0):
            before, normal, deviation, h = layers[i]
            g = back * h * (1 - h)
            down, up = g.sum(axis=0), (g * normal).sum(axis=0)
            if norm:
                g = scales[i] / deviation * (g - down / n - normal * up / n)
                scales[i] -= rate * up
            back = g @ weights[i].T
            weights[i] -= rate * before.T @ g
            biases[i] -= rate * down
    h = data.x_validation
    for i in range(3):
        z = (h @ weights[i] - means[i]) / np.sqrt(variances[i] + 1e-5 * norm)
        z = scales[i] * z + biases[i]
        h = expit(z)
    guess = (h @ weights[3] + biases[3]).argmax(axis=1)
    return np.mean(guess == data.y_validation), np.percentile(z, (15, 50, 85), axis=0)


@pytest.mark.parametrize("norm", [False, True])
def test_training_is_that_by_hand(quick, norm):
    found = quick.module.train(norm, 1.0, 5, 1)
    accuracy, percentiles = by_hand(norm, 1.0, 5, 15)
    assert found["accuracy"][2] == pytest.approx(accuracy, abs=1 / 360 + 1e-9)
    distances = np.abs(percentiles - found["typical unit"][2][:, None]).max(axis=0)
    assert distances.min() < 1e-4  # one of the 100 units is that one


def test_wandering_is_that_of_all_units_over_time(quick, monkeypatch):
    """Percentiles made up: unit u has the median ±u, and a spread of 2 ± u."""
    signs, units = cycle([1.0, -1.0]), np.arange(100) / 100

    def percentile(values, percent, axis):
        assert (percent, axis) == ((15, 50, 85), 0)
        assert values.shape == (360, 100)
        s = next(signs)
        return s * units + np.array([-1 - s * units / 2, 0 * units, 1 + s * units / 2])

    monkeypatch.setattr(np, "percentile", percentile)
    found = quick.module.train(False, 1.0, 0, 10)  # 180 steps: 36 looks
    assert found["centre"] == pytest.approx(units.mean())
    assert found["spread"] == pytest.approx(units.mean())
    assert np.abs(found["typical unit"][:, 1]) == pytest.approx(units[50])


def test_steps_are_the_first_to_the_goal_or_the_budget(quick):
    for arm in quick.module.ARMS:
        for steps, accuracy in zip(quick.numbers[arm]["steps"], quick.numbers[arm]["accuracy"]):
            reached = np.flatnonzero(accuracy >= 0.95)
            assert steps == (5 * (reached[0] + 1) if len(reached) else 5 * 18)


def test_rates_are_the_best_on_validation_data(quick, monkeypatch):
    """Runs made up: best without BN is the first of two rates, with BN the second."""

    def made_up(one, seed, seeds, rates, epochs):
        assert rates == (1.0, 3.0)
        means = [[0.6, 0.5], [0.7, 0.8]]
        return [
            [[{"accuracy": np.full(4, m + d), "typical unit": m} for m in ms] for ms in means]
            for d in (-0.1, 0.1)
        ]

    monkeypatch.setattr(quick.module, "each_seed", made_up)
    numbers = quick.module.run(quick=True)
    assert numbers["validation"] == pytest.approx(np.array([[0.6, 0.5], [0.7, 0.8]]))
    chosen = [(numbers[arm]["rate"], numbers[arm]["typical unit"]) for arm in quick.module.ARMS]
    assert chosen == [(1.0, 0.6), (1.0, 0.7), (3.0, 0.8)]
    assert numbers["BN, its best rate"]["accuracy"].shape == (2, 4)


def test_claims_judge_paired_differences_in_the_right_direction(quick):
    """Numbers made up so that only one thing is better with BN."""
    rng = np.random.default_rng(0)
    for better, better_by in (("steps", -50), ("test", 0.02), ("centre", -0.3), ("spread", -0.3)):
        numbers = json.loads(json.dumps(quick.numbers, default=lambda a: np.asarray(a).tolist()))
        base = {name: rng.normal(size=10) for name in ("steps", "test", "centre", "spread")}
        for i, arm in enumerate(quick.module.ARMS):
            numbers[arm] |= {
                name: v + (i > 0) * better_by * (name == better) for name, v in base.items()
            }
        found = [row.holds for row in quick.module.claims(numbers)]
        names = ["steps", "test", "centre", "spread"] * 2
        assert found == [name == better for name in names]
