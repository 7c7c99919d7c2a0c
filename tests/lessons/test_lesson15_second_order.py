"""Lesson 15: Hessians, their top eigenvalue, and a penalty on a gradient."""

from copy import deepcopy
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, eigsh

from tinygrad_reg import Tensor


def rival(torch, theta, x, y, sizes, norm, penalty):
    """The lesson's loss, written for PyTorch."""

    def losses(x):
        start = 0
        for n, m in pairwise(sizes):
            z = x @ theta[start : start + n * m].reshape(n, m)
            start += n * m
            normalised = (z - z.mean(0)) / torch.sqrt(z.var(0, unbiased=False) + 1e-5)
            x = torch.tanh(normalised if norm else z)
        return torch.nn.functional.cross_entropy(z, y, reduction="none")

    if not penalty:
        return losses(x).mean()
    x = x.clone().requires_grad_()
    value = losses(x)
    (slopes,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return value.mean() + penalty * (slopes**2).sum() / len(y)


@pytest.mark.parametrize("arm", [0, 1, 2])
def test_the_hessian_is_pytorchs(quick, arm):
    torch = pytest.importorskip("torch")
    from data import moons

    lesson = quick.module
    *_, norm, penalty = lesson.ARMS[-3:][arm]
    x, y = moons(64, 0.2, seed=0)
    f = partial(
        rival,
        torch,
        x=torch.tensor(x.astype(float)),
        y=torch.tensor(y),
        sizes=lesson.SMALL,
        norm=norm,
        penalty=penalty,
    )
    theta = torch.tensor(lesson.first_weights(lesson.SMALL, 0))
    expected = torch.autograd.functional.hessian(f, theta).numpy()
    found = quick.numbers["small"][arm]["hessian"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("arm", [0, 1, 5])
def test_the_top_eigenvalue_is_lanczos_with_pytorch(quick, arm):
    torch = pytest.importorskip("torch")
    from data import load

    data, (depth, scale, norm, _) = load("digits", 0, dtype=np.float64), quick.module.ARMS[arm]
    sizes = [64, *[32] * depth, 10]
    x, y = torch.tensor(data.x[:64]), torch.tensor(data.y[:64])
    f = partial(rival, torch, x=x, y=y, sizes=sizes, norm=norm, penalty=0)
    theta = torch.tensor(scale * quick.module.first_weights(sizes, 0))

    def times(v):
        return torch.autograd.functional.vhp(f, theta, torch.tensor(v.ravel()))[1].numpy()

    h = LinearOperator((len(theta), len(theta)), matvec=times, dtype=np.float64)
    (expected,) = eigsh(h, k=1, which="LM", v0=np.ones(len(theta)), return_eigenvectors=False)
    assert quick.numbers["seeds"][0]["tops"][arm][0] == pytest.approx(abs(expected), rel=1e-2)


def test_power_iteration_finds_a_negative_eigenvalue_too(quick):
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))
    matrix = rotation @ np.diag([3.0, -5, 1, 0, 0.1, -2]) @ rotation.T

    def f(theta):
        return (theta @ matrix * theta).sum() / 2

    v = np.arange(6.0)
    np.testing.assert_allclose(quick.module.hessian_times(f, np.ones(6), v), matrix @ v)
    assert quick.module.top_eigenvalue(f, np.ones(6)) == pytest.approx(5, rel=1e-3)


def test_with_batch_norm_the_hessian_goes_as_the_inverse_square_of_the_scale(quick):
    from data import moons

    lesson = quick.module
    x, y = moons(64, 0.2, seed=0)
    f = partial(lesson.loss, x=x.astype(float), y=y, sizes=lesson.SMALL, norm=True, penalty=0)
    theta = lesson.first_weights(lesson.SMALL, 0)
    scaled = np.where(np.arange(theta.size) < 12, 2 * theta, theta)  # the first layer, W twice
    assert f(Tensor(scaled)).item() == pytest.approx(f(Tensor(theta)).item(), rel=1e-4)
    before, after = (
        np.array([lesson.hessian_times(f, t, v)[:12] for v in np.eye(theta.size)[:12]])
        for t in (theta, scaled)
    )
    np.testing.assert_allclose(after, before / 4, rtol=0, atol=1e-3 * np.abs(before).max())


def test_the_penalty_is_the_mean_square_of_each_examples_slope(quick):
    lesson, sizes = quick.module, [3, 5, 2]
    rng = np.random.default_rng(5)
    theta = lesson.first_weights(sizes, 5)
    w1, w2 = theta[:15].reshape(3, 5), theta[15:].reshape(5, 2)
    x, y, squares = rng.standard_normal((7, 3)), rng.integers(0, 2, 7), []
    for one, label in zip(x, y):
        h = np.tanh(one @ w1)
        z = h @ w2
        p = np.exp(z) / np.exp(z).sum()
        squares.append(np.sum((w1 @ ((1 - h**2) * (w2 @ (p - np.eye(2)[label])))) ** 2))
    with_it, without = (
        lesson.loss(Tensor(theta), x, y, sizes, False, penalty).item() for penalty in (0.3, 0)
    )
    assert with_it - without == pytest.approx(0.3 * np.mean(squares), rel=1e-10)


def test_the_arms_are_paired(quick):
    for found in quick.numbers["seeds"]:
        tops = np.array(found["tops"])
        assert tops[6, 0] == tops[0, 0]  # the same weights, the same loss
        assert tops[6, -1] != tops[0, -1]  # but trained otherwise
        slope, wrong = np.array(found["ends"]).T
        np.testing.assert_allclose(wrong * 3.6, np.round(wrong * 3.6), atol=1e-9)  # of 360
        assert not np.allclose(slope * 3.6, np.round(slope * 3.6))
    again = quick.module.one_seed(1, quick.module.EVERY)
    np.testing.assert_array_equal(again["tops"], quick.numbers["seeds"][1]["tops"])


def test_the_claims_can_fail(quick):
    small, noise = quick.numbers["small"], np.linspace(-0.1, 0.1, 10)

    def verdicts(tops, ends, small=small):
        """Of ten seeds alike but for a little noise in the first arm."""
        first = np.eye(len(tops))[:, :1]
        seeds = [
            {"tops": np.array(tops) * 10 ** (e * first), "ends": np.array(ends) + e * first[:2]}
            for e in noise
        ]
        return [c.holds for c in quick.module.claims({"small": small, "seeds": seeds})]

    ends = [[2.0, 5.0], [1.0, 4.0]]  # slope and error, without the penalty and with it
    smoother = [[4.0, 3], [2, 1], [8, 9], [6, 5], [8, 9], [7, 8], [1, 1]]  # at the start, the end
    assert verdicts(smoother, ends) == [True] * 9
    rougher = [[2.0, 3], [4, 1], [8, 9], [9, 10], [8, 9], [7, 10], [1, 1]]
    assert verdicts(rougher, ends)[1:7] == [False, True, False, False, True, False]
    assert verdicts(smoother, ends[::-1])[7:] == [False, False]
    for i in range(4):
        wrong = deepcopy(small)
        wrong[1]["errors"][i] = 0.1
        assert verdicts(smoother, ends, wrong) == [False] + [True] * 8
