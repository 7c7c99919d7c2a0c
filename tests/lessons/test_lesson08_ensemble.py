"""Lesson 8: the ensemble of all thinned networks."""

from copy import deepcopy
from itertools import product

import numpy as np
import pytest
from masks import kept
from scipy.special import logsumexp, softmax


@pytest.fixture(scope="module")
def wine():
    from data import load

    return load("wine", 7, dtype=np.float64)


def forward(model, x, masks, p):
    """Logits by NumPy; masks for the two hidden layers, what is kept is divided by 1 - p."""
    a, b, c = (model[i] for i in (0, 3, 6))
    for layer, mask in zip((a, b), masks):
        x = np.maximum(x @ layer.weight.numpy() + layer.bias.numpy(), 0) * mask / (1 - p)
    return x @ c.weight.numpy() + c.bias.numpy()


@pytest.mark.parametrize(("where", "p"), [("first", 0.5), ("last", 0.5), ("last", 0.2)])
def test_the_members_vote_as_they_would_one_by_one(quick, wine, where, p):
    drop = [p, 0] if where == "first" else [0, p]
    model = quick.module.train(wine, [13, 10, 10, 3], drop, 5, seed=7)
    x = wine.x_test[:4]
    geometric, arithmetic, alike, total = 0.0, 0.0, 0.0, 0.0
    for mask in product((0, 1), repeat=10):
        w = p ** mask.count(0) * (1 - p) ** mask.count(1)
        one = np.array(mask), np.full(10, 1 - p)  # the other layer keeps its units as they are
        z = forward(model, x, one if where == "first" else one[::-1], p)
        log = z - logsumexp(z, axis=1, keepdims=True)
        geometric, arithmetic = geometric + w * log, arithmetic + w * np.exp(log)
        alike, total = alike + log / 1024, total + w
    assert total == pytest.approx(1)
    found = quick.module.vote(model, p, x)
    expected = {
        "geometric": softmax(geometric, axis=1),
        "arithmetic": arithmetic,
        "w alike": softmax(alike, axis=1),
        "scaled": softmax(forward(model, x, (1 - p, 1 - p), p), axis=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values.ravel(), rtol=0, atol=1e-12, err_msg=name)


def test_weighing_all_alike_is_dropping_with_one_half(quick, wine):
    model = quick.module.train(wine, [13, 10, 10, 3], [0, 0.2], 20, seed=3)
    logits, bias = model(wine.x_test).numpy(), model[6].bias.numpy()
    expected = softmax(bias + 0.5 / 0.8 * (logits - bias), axis=1).ravel()
    found = quick.module.vote(model, 0.2, wine.x_test)
    np.testing.assert_allclose(found["w alike"], expected, rtol=0, atol=1e-12)
    assert np.abs(expected - found["scaled"]).max() > 0.01


def test_exact_before_a_linear_layer_and_only_there(quick):
    for found in quick.numbers["seeds"]:
        for where, equal in (("last", True), ("last, p = 0.2", True), ("first", False)):
            off = np.abs(found[where]["geometric"] - found[where]["scaled"]).max()
            assert off < 1e-12 if equal else off > 1e-3
            rows = found[where]["geometric"].reshape(-1, 3)
            np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)


def test_random_passes_are_averaged_and_then_judged(quick, wine, monkeypatch):
    lesson, passes, draws, n, p = quick.module, 6, 3, 36, 0.5
    monkeypatch.setattr(lesson, "PASSES", passes)
    monkeypatch.setattr(lesson, "DRAWS", draws)
    model = lesson.train(wine, [13, 10, 10, 3], [p, p], 2, seed=1)
    rng = deepcopy(model[2].rng)
    assert model[2].rng is model[5].rng
    errors = lesson.test_errors(model, wine.x_test, wine.y_test)
    wrong = np.zeros(passes)
    for _ in range(draws):
        first, second = (kept(rng, (passes * n, 10), p) for _ in range(2))
        mean = np.zeros((n, 3))
        for k in range(passes):
            rows = slice(k * n, (k + 1) * n)
            z = forward(model, wine.x_test, (first[rows], second[rows]), p)
            mean = (k * mean + softmax(z, axis=1)) / (k + 1)
            wrong[k] += np.count_nonzero(mean.argmax(axis=1) != wine.y_test)
    np.testing.assert_allclose(errors[0], 100 * wrong / (draws * n))
    scaled = forward(model, wine.x_test, (1 - p, 1 - p), p).argmax(axis=1)
    np.testing.assert_allclose(errors[1], 100 * np.mean(scaled != wine.y_test))


def test_the_claims_can_fail(quick):
    seed = quick.numbers["seeds"][0]

    def verdicts(mc, **changes):
        """Of ten seeds alike, but for errors of weight scaling of 2 ± 0.5 %."""
        errors = [
            np.stack([e + np.asarray(mc), np.full(100, e)]) for e in np.linspace(1.2, 2.8, 10)
        ]
        seeds = [deepcopy(seed) | changes | {"errors": each} for each in errors]
        return [claim.holds for claim in quick.module.claims({"seeds": seeds})]

    falling = np.r_[3.0, np.full(48, 1.0), np.zeros(51)]
    assert verdicts(falling)[4:] == [True, False]
    assert verdicts(falling - 0.1 * (np.arange(100) >= 50))[4:] == [True, True]
    assert verdicts(falling - 0.9 * (np.arange(100) >= 50))[4:] == [True, False]  # not within sd
    assert verdicts(falling + 0.9 * (np.arange(100) >= 49))[4:] == [False, False]
    assert verdicts(falling * 0)[4:] == [False, False]
    for error in (1e-9, -1e-9):
        last = seed["last"] | {"geometric": seed["last"]["geometric"] + error}
        assert verdicts(falling, last=last)[0] is False
    first = seed["first"] | {"geometric": seed["first"]["scaled"]}
    assert verdicts(falling, first=first)[2:4] == [False, True]
    first = seed["first"] | {"arithmetic": seed["first"]["scaled"]}
    assert verdicts(falling, first=first)[2:4] == [True, False]
    unlike = seed["last, p = 0.2"] | {"w alike": seed["last, p = 0.2"]["scaled"]}
    assert verdicts(falling, **{"last, p = 0.2": unlike})[1] is False
