"""Lesson 4: L2 and L1 penalties."""

import numpy as np
import pytest
from data import load
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import tinygrad_reg.functional as F
from tinygrad_reg import grad


def test_its_check_of_gradients_finds_a_single_wrong_bit(quick, monkeypatch):
    x, y, *_ = load("digits", 0, dtype=np.float64)
    assert quick.numbers["wrong"] == quick.module.wrong_entries(x, y) == [0, 0]
    monkeypatch.setattr(F, "l2_penalty", lambda w, alpha: (w * w).sum() * (0.5 * alpha + 1e-16))
    monkeypatch.setattr(F, "l1_penalty", lambda w, beta: (w.abs() + (w == 0) * w).sum() * beta)
    assert all(wrong > 50 for wrong in quick.module.wrong_entries(x, y))  # the latter: sign(0) = 1


def test_each_matrix_has_a_strength_of_its_own():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 6)), rng.integers(0, 3, 20)
    weights = [rng.integers(-2, 3, shape) / 4 for shape in ((6, 5), (5, 3))]

    def loss(a, b):
        penalties = F.l2_penalty([a, b], [0.3, 0.07]) + F.l1_penalty([a, b], [0.02, 0.5])
        return F.cross_entropy(F.relu(x @ a) @ b, y) + penalties

    a, b = leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    logits = torch.relu(torch.tensor(x) @ a) @ b
    their_loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    their_loss = their_loss + 0.15 * (a**2).sum() + 0.035 * (b**2).sum()
    (their_loss + 0.02 * a.abs().sum() + 0.5 * b.abs().sum()).backward()
    for ours, theirs in zip(grad(loss, (0, 1))(*weights), leaves):
        np.testing.assert_allclose(ours.data, theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_the_optima_are_those_of_the_objectives_by_hand(quick):
    x, y, *_ = load("digits", 0, dtype=np.float64)
    found = quick.numbers["softmax"]
    w, b = np.split(found["theta"].reshape(65, 10), [64])
    p = softmax(x @ w + b, axis=1)
    assert found["ours"] == pytest.approx(log_loss(y, p) + 0.005 * np.sum(w**2), rel=1e-12)
    assert np.abs(x.T @ (p - np.eye(10)[y]) / len(y) + 0.01 * w).max() < 1e-5

    x, y, *_ = load("diabetes", 0, dtype=np.float64)
    centred = x - x.mean(axis=0)
    w = np.linalg.solve(centred.T @ centred + len(y) * 0.005 * np.eye(10), centred.T @ y)
    b = y.mean() - x.mean(axis=0) @ w
    np.testing.assert_allclose(quick.numbers["ridge"]["theta"], [*w, b], atol=1e-3)


@pytest.mark.parametrize("wrong", ["factor 2 in C", "penalised intercept"])
def test_another_objective_would_be_noticed(quick, wrong):
    x, y, *_ = load("digits", 0, dtype=np.float64)
    if wrong == "factor 2 in C":
        rival = LogisticRegression(C=2 / (len(y) * 0.01), tol=1e-8, max_iter=1000).fit(x, y)
        theirs = np.vstack([rival.coef_.T, rival.intercept_])
    else:
        ones = np.column_stack([x, np.ones(len(x))])
        c = 1 / (len(y) * 0.01)
        rival = LogisticRegression(C=c, tol=1e-8, max_iter=1000, fit_intercept=False).fit(ones, y)
        theirs = rival.coef_.T
    compared = quick.module.compare(F.cross_entropy, x, y, theirs)
    rows = quick.module.claims(quick.numbers | {"softmax": compared})
    assert [row.holds for row in rows if "ridge" in row.text] == [False]


def test_a_step_of_each_arm_is_as_by_hand(quick):
    data = load("digits", 0)
    x, y, train = data.x.astype(np.float64), np.eye(10)[data.y], quick.module.train
    w = train(data, 0, 0, 0, 0, 0).astype(np.float64)
    p = softmax(x @ w, axis=1)  # biases begin with 0
    down = w - 0.2 * x.T @ (p - y) / len(y)
    expected = {
        "no penalty": down,
        "L2": down - 0.2 * 0.5 * w,
        "L1": down - 0.2 * 0.5 * np.sign(w),
        "L1, proximal": down - np.clip(down, -0.2 * 0.5, 0.2 * 0.5),
    }
    for name, arm in quick.module.ARMS.items():
        found = train(data, 0, 1, *(0.5 * each for each in arm))
        np.testing.assert_allclose(found, expected[name], atol=1e-6)


def test_proximal_steps_end_at_the_optimum_of_the_l1_penalty(quick):
    """There |∂loss/∂w| ≤ β where w = 0, and ∂loss/∂w = -β sign(w) elsewhere."""
    data, beta = load("digits", 0, dtype=np.float64, train=200), 0.03
    w = quick.module.train(data, 0, 2000, 0, 0, beta)
    y = np.eye(10)[data.y]

    def loss(b):
        logits = data.x @ w + b
        slope = (softmax(logits, axis=1) - y).mean(axis=0)
        return np.mean(logsumexp(logits, axis=1) - (y * logits).sum(axis=1)), slope

    b = minimize(loss, np.zeros(10), jac=True, tol=1e-10).x
    slopes = data.x.T @ (softmax(data.x @ w + b, axis=1) - y) / len(y)
    zero = w == 0
    assert 0.5 < zero.mean() < 0.95
    assert np.abs(slopes[zero]).max() < 1.02 * beta
    np.testing.assert_allclose(slopes[~zero], -beta * np.sign(w[~zero]), rtol=0.02)


def test_gradient_steps_jump_over_zero(quick):
    data = load("digits", 0)
    zero = quick.module.train(data, 0, 200, 0, 0, 3e-3) == 0
    paths = np.array([quick.module.train(data, 0, 200 + i, 0, 3e-3, 0)[zero] for i in range(8)])
    assert np.all(paths != 0)
    assert np.mean(np.any(np.diff(np.sign(paths), axis=0), axis=0)) > 0.9
    assert np.abs(paths).max() < 0.01


def test_claims_about_averages_can_fail(quick):
    numbers = {key: np.concatenate([value] * 5) for key, value in quick.numbers.items()
               if isinstance(value, np.ndarray)}  # fmt: skip
    numbers = quick.numbers | numbers
    assert all(row.holds for row in quick.module.claims(numbers))
    swapped = {key: numbers[key][:, [1, 0, 3, 2]] for key in ("w²", "small", "zero")}
    rows = quick.module.claims(numbers | swapped | {"hover": numbers["hover"] + 2})
    assert [row.holds for row in rows] == [True, True, False, True, False, False]
    flat = numbers | {"small": numbers["small"][:, [0, 2, 1, 3]]}
    assert [row.holds for row in quick.module.claims(flat)].count(False) == 1
