"""Lesson 5: strengths of penalties, chosen on validation examples."""

import numpy as np
import pytest
from data import batches
from data import load as load_data
from scipy.stats import kstest

ALPHA, BETA = [0.03, 0.002], [0.0005, 0.004]


def by_hand(seed, epochs, alpha, beta):
    """The same training in NumPy, float64, with gradients by hand: accuracy and -loss."""
    data, rng = load_data("digits", seed, train=200, dtype=float), np.random.default_rng(seed)
    weights = [
        rng.normal(0, np.sqrt(2 / 64), (64, 64)).astype(np.float32).astype(float),
        rng.normal(0, np.sqrt(1 / 64), (64, 10)).astype(np.float32).astype(float),
    ]
    biases = [np.zeros(64), np.zeros(10)]
    velocity = [np.zeros_like(p) for p in (*weights, *biases)]

    def forward(x):
        z = x @ weights[0] + biases[0]
        logits = np.maximum(z, 0) @ weights[1] + biases[1]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return z, p / p.sum(axis=1, keepdims=True)

    for _ in range(epochs):
        for batch in batches(200, 32, rng):
            x, y = data.x[batch], data.y[batch]
            z, p = forward(x)
            d_logits = (p - np.eye(10)[y]) / len(y)
            d_z = d_logits @ weights[1].T * (z > 0)
            slopes = [
                x.T @ d_z + alpha[0] * weights[0] + beta[0] * np.sign(weights[0]),
                np.maximum(z, 0).T @ d_logits
                + alpha[1] * weights[1]
                + beta[1] * np.sign(weights[1]),
                d_z.sum(axis=0),
                d_logits.sum(axis=0),
            ]
            for v, slope, parameter in zip(velocity, slopes, (*weights, *biases)):
                v *= 0.9
                v += slope
                parameter -= 0.1 * v
    x, y = data.x_validation[:100], data.y_validation[:100]
    p = forward(x)[1]
    return np.mean(p.argmax(axis=1) == y), np.log(p[np.arange(100), y]).mean()


@pytest.mark.parametrize("alpha", [ALPHA, ALPHA[::-1]])
@pytest.mark.parametrize("beta", [BETA, BETA[::-1]])
def test_each_layer_is_trained_with_its_own_penalties(alpha, beta, quick):
    accuracy, minus_loss = quick.module.evaluate(7, 2, alpha, beta, "validation")
    expected = by_hand(7, 2, alpha, beta)
    assert minus_loss == pytest.approx(expected[1], rel=1e-5)
    assert accuracy == expected[0]


def test_what_is_tried_is_log_uniform_and_shared_or_not(quick):
    ends = {"alpha": quick.module.ALPHA, "beta": quick.module.BETA}
    assert [s["alpha"] + s["beta"] for s in quick.module.candidates("none", 0, 1, 9)] == [[0.0] * 4]
    for arm in "shared", "own":
        settings = quick.module.candidates(arm, 0, 1, 2000)
        drawn = {name: np.log([s[name] for s in settings]) for name in ends}
        for name, values in drawn.items():
            low, high = np.log(ends[name])
            for layer in 0, 1:
                assert kstest(values[:, layer], "uniform", (low, high - low)).pvalue > 1e-3
            assert np.all(values[:, 0] == values[:, 1]) == (arm == "shared")
        table = np.column_stack([*drawn["alpha"].T, *drawn["beta"].T])
        columns = table if arm == "own" else table[:, ::2]
        correlations = np.corrcoef(columns.T) - np.eye(columns.shape[1])
        assert np.abs(correlations).max() < 0.1
        assert settings == quick.module.candidates(arm, 0, 1, 2000)
        assert settings != quick.module.candidates(arm, 1, 1, 2000)


def test_the_best_by_accuracy_then_loss_is_chosen_on_validation_examples_for_each_seed(quick):
    lesson = quick.module
    for arm in lesson.ARMS:
        numbers, first = quick.numbers[arm], 0
        for seed in 0, 1:
            settings = lesson.candidates(arm, seed, epochs=5, n=4)
            scores = [tuple(lesson.evaluate(**setting)) for setting in settings]
            best = scores.index(max(scores))
            assert numbers["best"][seed] == first + best
            assert numbers["accuracy"][0][seed] == scores[best][0]
            on_test = lesson.evaluate(**settings[best] | {"part": "test"})
            assert numbers["accuracy"][1][seed] == on_test[0]
            first += len(settings)
        assert len(numbers["tried"]) == first


def test_test_examples_choose_nothing(quick, monkeypatch):
    def load(*args, **options):
        data = load_data(*args, **options)
        return data._replace(x_test=-data.x_test)

    monkeypatch.setattr(quick.module, "load", load)
    numbers = quick.module.run(quick=True, seeds=2)
    for arm in quick.module.ARMS:
        for name in "best", "tried":
            assert numbers[arm][name] == quick.numbers[arm][name]
        validation, test = numbers[arm]["accuracy"]
        assert validation == quick.numbers[arm]["accuracy"][0]
        assert test != quick.numbers[arm]["accuracy"][1]


def test_the_file_in_out_has_all_that_a_second_run_needs(quick):
    file = quick.outcome.picture.with_name("settings.jsonl")
    before = file.read_bytes()
    assert before.count(b"}") >= 2 * (1 + 4 + 4) + 2 * 3
    assert quick.module.run(quick=True, seeds=2, out=file.parent) == quick.numbers
    assert file.read_bytes() == before


def made(none, shared, own, same=True):
    """Numbers of ten seeds: accuracies on validation and test examples, ± 0.3 points of noise."""
    noise = 0.003 * np.resize([1, -1], 10)
    arms = {"none": none, "shared": shared, "own": own}
    accuracy = {arm: [v + 0 * noise, t + noise * (arm == "own")] for arm, (v, t) in arms.items()}
    return {"same bits": [True, same]} | {arm: {"accuracy": a} for arm, a in accuracy.items()}


@pytest.mark.parametrize(
    ("numbers", "holds"),
    [
        (made((0.9, 0.9), (0.95, 0.9), (0.95, 0.95)), [True, False, True, True]),
        (made((0.9, 0.9), (0.95, 0.95), (0.95, 0.92)), [True, True, False, True]),
        (made((0.9, 0.9), (0.9, 0.9), (0.89, 0.88), same=False), [False, True, False, False]),
        (made((0.9, 0.9), (0.9, 0.9), (0.9, 0.899)), [True, False, False, True]),
        (made((0.9, 0.9), (0.9, 0.9), (0.9, 0.894)), [False, True, False, True]),
    ],
)
def test_each_claim_can_hold_and_fail(numbers, holds, quick):
    assert [claim.holds for claim in quick.module.claims(numbers)] == holds
