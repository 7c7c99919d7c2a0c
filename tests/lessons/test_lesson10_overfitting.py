"""Lesson 10: dropout against overfitting."""

import numpy as np
import pytest
from data import load
from masks import kept


def trained_by_hand(seed, wrong, n, width, keep, steps):
    """The same training without any of the package: backpropagation and Adam written out."""
    data = load("digits", seed, n)
    first, order, noise = (np.random.default_rng([seed, part]) for part in range(3))
    by, where = noise.integers(1, 10, n), noise.random(n) < wrong
    y = np.where(where, (data.y + by) % 10, data.y)
    sizes = (64, width), (width, width), (width, 10)
    w = [first.standard_normal(s) / np.sqrt(s[0]) for s in sizes]
    parameters = [*w, *(np.zeros(s[1]) for s in sizes)]
    m, v = ([np.zeros_like(a) for a in parameters] for _ in range(2))
    for t in range(1, steps + 1):
        batch = order.permutation(n)[:32]
        x, k = data.x[batch], len(batch)
        h, slopes = [x], []
        for i in range(2):
            z = h[i] @ parameters[i] + parameters[3 + i]
            drop = kept(first, z.shape, 1 - keep) / keep if keep < 1 else 1
            h.append(np.maximum(z, 0) * drop)
            slopes.append((z > 0) * drop)
        e = np.exp(h[2] @ parameters[2] + parameters[5])
        g = (e / e.sum(axis=1, keepdims=True) - np.eye(10)[y[batch]]) / k
        gradients = [None] * 6
        for i in 2, 1, 0:
            gradients[i], gradients[3 + i] = h[i].T @ g, g.sum(axis=0)
            if i:
                g = g @ parameters[i].T * slopes[i - 1]
        rate = 3e-3 * (1 + np.cos(np.pi * (t - 1) / steps)) / 2
        for i in range(6):
            m[i] = 0.9 * m[i] + 0.1 * gradients[i]
            v[i] = 0.999 * v[i] + 0.001 * gradients[i] ** 2
            step = m[i] / (1 - 0.9**t) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
            parameters[i] = parameters[i] - rate * step
    errors = []
    for x, labels in (data.x, y), data[2:4], data[4:]:
        for i in range(3):
            x = x @ parameters[i] + parameters[3 + i]
            x = np.maximum(x, 0) if i < 2 else x
        errors.append(100 * np.mean(x.argmax(axis=1) != labels))
    return errors


@pytest.mark.parametrize(
    "arm",
    [
        {"wrong": 0.0, "n": 200, "width": 128, "keep": 1.0},
        {"wrong": 0.2, "n": 200, "width": 128, "keep": 0.5},
        {"wrong": 0.2, "n": 20, "width": 128, "keep": 0.5},
        {"wrong": 0.0, "n": 200, "width": 8, "keep": 0.5},
    ],
    ids=str,
)
def test_its_networks_are_those_of_backpropagation_by_hand(quick, arm):
    errors = quick.numbers["errors"][1, quick.numbers["arms"].index(arm)]
    # One training example, and two of the others, may fall on the other side by rounding.
    assert errors == pytest.approx(trained_by_hand(11, **arm, steps=60), abs=0.6)


def test_each_arm_is_trained_once_and_is_what_its_sweep_says(quick):
    arms = quick.numbers["arms"]
    assert len({tuple(arm.items()) for arm in arms}) == len(arms) == 2 * (3 + 2 * 2 + 2 * 2)
    for name, others in ("keep", "n width"), ("n", "width keep"), ("width", "n keep"):
        values = quick.numbers["sweeps"][name]
        along = quick.module.arms_along(name, values, 0.2, 0.5)
        assert [arm[name] for arm in along] == values
        for other in others.split():
            assert {arm[other] for arm in along} == {quick.module.HERE[other]}


def numbers_of(module, part_of):
    """Numbers as `run` leaves them, of ten seeds: part_of(part, **arm) plus a little noise."""
    sweeps = {"keep": [0.1, 0.3, 0.5, 0.7, 1.0], "n": [20, 100, 200, 1000], "width": [8, 128, 512]}
    arms = []
    for name, wrong, keep in [(s, w, k) for s in sweeps for w in module.LABELS for k in (0.5, 1.0)]:
        arms += [a for a in module.arms_along(name, sweeps[name], wrong, keep) if a not in arms]
    mean = np.array([[part_of(part, **arm) for part in range(3)] for arm in arms])
    noise = np.random.default_rng(0).normal(0, 0.1, (10, *mean.shape))
    return {"sweeps": sweeps, "arms": arms, "errors": mean + noise}


def as_srivastava_saw_it(part, wrong, n, width, keep):
    """U-shaped in keep; the gain is largest at n = 100, and grows with width."""
    if part == 0:
        return 10 * (1 - keep)
    if (n, width) == (200, 128):
        return 10 + 20 * (keep - 0.7) ** 2
    gain = {20: 0, 100: 3, 200: 1, 1000: 0}[n] if width == 128 else np.log(width / 128)
    return 10 - gain * (keep < 1)


def test_its_claims_are_true_of_what_the_sources_saw_and_not_where_dropout_does_nothing(quick):
    def verdicts(numbers):
        return [claim.holds for claim in quick.module.claims(numbers)]

    seen = numbers_of(quick.module, as_srivastava_saw_it)
    assert verdicts(seen) == [True] * 10
    assert verdicts(seen | {"errors": seen["errors"][:9]}) == [None] * 10  # nine seeds are too few
    assert verdicts(numbers_of(quick.module, lambda part, **arm: 10)) == [False] * 10


def test_half_of_a_claim_is_not_enough(quick):
    def half_seen(part, **arm):
        if part == 0:
            return 5  # few units do not fit the training examples worse
        if arm["n"] == 20:
            return as_srivastava_saw_it(part, **arm | {"n": 100})  # as much gain as there
        return as_srivastava_saw_it(part, **arm)

    claims = quick.module.claims(numbers_of(quick.module, half_seen))
    assert [claim.holds for claim in claims] == [True, False, False, True, True] * 2


def test_what_is_compared_is_chosen_on_validation_examples(quick):
    def misleading(part, wrong, n, width, keep):
        best_keep, best_n = ((0.9, 9), (0.3, 100), (0.7, 200))[part]
        return 10 + abs(keep - best_keep) + (1 if keep == 1 and n == best_n else 0)

    for claim in quick.module.claims(numbers_of(quick.module, misleading)):
        if "better than to keep all" in claim.text:
            assert claim.measured.endswith("at 0.3")
        if "middling" in claim.text:
            assert " at 20, " in claim.measured
            assert " at 100, " in claim.measured
