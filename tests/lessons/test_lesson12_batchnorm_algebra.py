"""Lesson 12: the algebra of batch norm."""

import numpy as np
import pytest
from data import load
from scipy.special import softmax

EPS, LR = 0.01, 0.2


@pytest.fixture
def drawn(quick):
    """z, g and the twenty mini-batches that the lesson drew with seed 0."""
    rng = np.random.default_rng(0)
    z, batches = 3 + rng.standard_normal((8, 3)) * [0.1, 1, 10], rng.standard_normal((20, 8, 3))
    assert np.array_equal(z, quick.numbers["algebra"]["recovery"][1])
    return z, rng.standard_normal((8, 3)), batches


def test_the_gradient_is_that_of_section_3(quick, drawn):
    z, g, _ = drawn
    m, mean, variance = len(z), z.mean(axis=0), z.var(axis=0)
    d_variance = np.sum(g * (z - mean) * -0.5 * (variance + EPS) ** -1.5, axis=0)
    d_mean = np.sum(g * -1 / np.sqrt(variance + EPS), axis=0)
    d_mean = d_mean + d_variance * np.sum(-2 * (z - mean), axis=0) / m
    dz = g / np.sqrt(variance + EPS) + d_variance * 2 * (z - mean) / m + d_mean / m
    for found in quick.numbers["algebra"]["gradient"]:
        np.testing.assert_allclose(found, dz, rtol=0, atol=1e-12)


def test_pytorch_finds_the_same(quick, drawn):
    torch = pytest.importorskip("torch")
    pairs, (z, g, batches) = quick.numbers["algebra"], map(torch.tensor, drawn)
    z.requires_grad_()
    torch.nn.functional.batch_norm(z, None, None, training=True, eps=EPS).backward(g)
    np.testing.assert_allclose(pairs["gradient"][0], z.grad.numpy(), rtol=0, atol=1e-12)
    layer = torch.nn.BatchNorm1d(3, dtype=torch.float64)
    for batch in batches:
        layer(batch)
    for key, theirs in (("mean", layer.running_mean), ("variance", layer.running_var)):
        for found in pairs[f"running {key}"]:
            np.testing.assert_allclose(found, theirs.numpy(), rtol=0, atol=1e-12)


def test_in_training_another_example_matters_and_in_eval_mode_not(quick, drawn):
    z, _, _ = drawn
    pairs, moved = quick.numbers["algebra"], z.copy()
    moved[5] += [1e-6, 1e-5, 1e-4]
    rise = quick.module.normalise(moved).data[0] - quick.module.normalise(z).data[0]
    np.testing.assert_allclose(
        rise / [1e-6, 1e-5, 1e-4], pairs["training"][0][4], rtol=1e-3, atol=1e-8
    )
    assert np.abs(pairs["training"][0]).min() > 1e-4
    assert not pairs["evaluation"][0].any()


def test_constants_add_what_normalising_undoes(quick, drawn):
    z, g, _ = drawn
    constants = quick.numbers["algebra"]["μ, σ² constant"][0]
    np.testing.assert_allclose(constants, g / np.sqrt(z.var(axis=0) + EPS), rtol=1e-12)
    for right, wrong, x in zip(quick.numbers["algebra"]["gradient"][0].T, constants.T, z.T):
        basis = np.stack([np.ones(8), (x - x.mean()) / np.sqrt(x.var() + EPS)], axis=1)
        weights = np.linalg.lstsq(basis, wrong - right)[0]
        np.testing.assert_allclose(basis @ weights, wrong - right, atol=1e-12)
        assert right @ wrong > 0  # still downhill


def test_b_alone_grows_as_by_hand(quick):
    x, y, *_ = load("digits", 0, 300, np.float64)
    rng = np.random.default_rng(0)
    w1, w2 = (rng.standard_normal((n, m)) / np.sqrt(n) for n, m in ((64, 32), (32, 10)))
    z = x @ w1
    s = np.sqrt(z.var(axis=0) + EPS)
    hidden = np.maximum((z - z.mean(axis=0)) / s, 0)
    p = softmax(hidden @ w2, axis=1)
    g = (p - np.eye(10)[y]) @ w2.T * (hidden > 0) / 300
    right, constants = quick.numbers["b alone"][:, 0]
    steps = 50 * np.arange(len(constants))
    expected = LR * np.abs(g.sum(axis=0) / s).mean() * steps
    np.testing.assert_allclose(constants[:, 1], expected, rtol=1e-10)
    np.testing.assert_allclose(right[:, 1], 0, atol=1e-12)
    loss = -np.log(p[np.arange(300), y]).mean()
    np.testing.assert_allclose(np.stack([right, constants])[:, :, 2], loss, rtol=1e-12)


def test_both_gradients_start_from_the_same_and_only_b_moves_alone(quick):
    alone, every = quick.numbers["b alone"], quick.numbers["all"]
    for found in (*alone, *every):
        np.testing.assert_allclose(found[:, 0], alone[0, :, 0], rtol=1e-12)
    assert np.ptp(alone[..., 0], axis=-1).max() == 0
    assert np.ptp(every[..., 0], axis=-1).min() > 0
    assert len(np.unique(every[0, :, 0, 2])) == 2  # another seed, other weights


@pytest.mark.parametrize("seed", range(5))
def test_the_algebra_holds_for_other_numbers(quick, seed):
    pairs = quick.module.algebra(np.random.default_rng(100 + seed))
    rows = quick.module.claims(quick.numbers | {"algebra": pairs})
    assert all(row.holds for row in rows[:5])


def test_each_claim_can_fail(quick):
    numbers, claims = quick.numbers, quick.module.claims
    numbers = numbers | {
        key: np.concatenate([numbers[key]] * 5, axis=1) for key in ("b alone", "all")
    }
    assert [row.holds for row in claims(numbers)] == [True] * 7 + [False]
    pairs = numbers["algebra"]
    for key, (found, claimed) in pairs.items():
        other = np.array(claimed) if key == "μ, σ² constant" else np.array(found) + 1e-6
        rows = claims(numbers | {"algebra": pairs | {key: [other, claimed]}})
        assert [row.holds for row in rows].count(False) == 2, key
    swapped = {key: numbers[key][::-1] for key in ("b alone", "all")}
    assert [row.holds for row in claims(numbers | swapped)][5:] == [False, False, False]
    blown = numbers["all"] * [1, 1, -1]
    assert claims(numbers | {"all": blown})[-1].holds
