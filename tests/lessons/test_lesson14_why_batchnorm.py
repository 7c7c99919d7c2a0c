"""Lesson 14: why batch norm helps."""

import json

import numpy as np
import pytest
from data import load

from tinygrad_reg import Tensor, init


def test_noise_has_the_moments_it_should(quick):
    """Over many calls; and at each call every unit has its own, and every example nearly that."""
    rng = np.random.default_rng(0)
    shifts = np.array(
        [quick.module.noise(Tensor(np.zeros((60, 64))), rng).data for _ in range(300)]
    )
    units = shifts.mean(axis=1)
    assert units.var() == pytest.approx(1 / 12 + 0.2**2 / 12 / 60, rel=0.03)
    assert (shifts - units[:, None]).var() == pytest.approx(0.2**2 / 12, rel=0.03)
    huge = [quick.module.noise(Tensor(np.full((60, 64), 1e6)), rng).data / 1e6 for _ in range(300)]
    units = np.array(huge).mean(axis=1)
    assert units.mean() == pytest.approx(1.125, abs=0.003)
    assert units.var() == pytest.approx(0.25**2 / 12 + 0.1**2 / 60, rel=0.03)
    assert (np.array(huge) - units[:, None]).var() == pytest.approx(0.1**2, rel=0.03)


def test_the_walk_on_a_parabola_is_that_by_hand(quick):
    """L = ½ Σ aᵢ wᵢ²: the gradient at w - t g is (1 - t a) g, if all a are one."""
    w = [Tensor(np.array([3.0, 4.0]), requires_grad=True), Tensor([12.0], requires_grad=True)]

    def model(*weights):
        return sum((x**2).sum() for x in weights) * (0.5 * 7), "something else"

    walked = np.array([0.05, 0.1, 0.2, 0.4])
    losses = 0.5 * 7 * 13**2 * (1 - 7 * walked) ** 2
    expected = np.ptp(losses), 0.4 * 7 * 7 * 13, 7
    assert quick.module.walk(model, w) == pytest.approx(expected)
    assert all(x.grad is None for x in w)


@pytest.mark.parametrize("arm", ["no BN", "BN"])
def test_the_walk_in_the_network_is_that_of_pytorch(quick, arm):
    torch = pytest.importorskip("torch")
    rng, data = np.random.default_rng(1), load("digits", 1, dtype=float)
    x, y = data.x[:60], data.y[:60]
    weights = [init.he_normal(shape, rng, float) for shape in quick.module.SHAPES]
    norms = [rng.normal(1 - i % 2, 0.1, 64) for i in range(24)]
    theirs = [torch.tensor(w, requires_grad=True) for w in weights]
    fixed = [torch.tensor(v) for v in norms]

    def loss(ws):
        h = torch.tensor(x)
        for i in range(12):
            z, bias = h @ ws[i], fixed[2 * i + 1]
            if arm == "BN":
                z = torch.nn.functional.batch_norm(z, None, None, fixed[2 * i], bias, True)
            h = torch.relu(z if arm == "BN" else z + bias)
        return torch.nn.functional.cross_entropy(h @ ws[12], torch.tensor(y))

    here = torch.autograd.grad(loss(theirs), theirs)
    losses, changes = [], []
    for far in (0.05, 0.1, 0.2, 0.4):
        moved = [(w - far * g).detach().requires_grad_() for w, g in zip(theirs, here)]
        losses.append(loss(moved).item())
        there = torch.autograd.grad(loss(moved), moved)
        changes.append(torch.cat([(t - h).ravel() for t, h in zip(there, here)]).norm().item())
    steep = torch.cat([h.ravel() for h in here]).norm().item()
    ratios = [c / (f * steep) for c, f in zip(changes, (0.05, 0.1, 0.2, 0.4))]
    ours = [Tensor(w, requires_grad=True) for w in weights]

    def model(*ws):
        return quick.module.network(arm, None, [Tensor(v) for v in norms], x, y, *ws)

    expected = max(losses) - min(losses), max(changes), max(ratios)
    assert quick.module.walk(model, ours) == pytest.approx(expected, rel=1e-8)


def test_all_arms_get_the_same_weights_and_batches(quick, monkeypatch):
    network, seen = quick.module.network, {arm: [] for arm in quick.module.ARMS}

    def spy(arm, rng, norms, x, y, *weights):
        seen[arm].append((x, y, [w.data for w in weights]))
        return network(arm, rng, norms, x, y, *weights)

    monkeypatch.setattr(quick.module, "network", spy)
    monkeypatch.setattr(quick.module, "walk", lambda model, weights: [1.0, 1.0, 1.0])
    quick.module.one(4, 1)
    first, *others = seen.values()
    assert len(first) == 18
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(first[0][2], other[0][2]))
        assert not np.array_equal(first[1][2][0], other[1][2][0])  # but they learn otherwise
        for (x, y, _), (same_x, same_y, _) in zip(first, other, strict=True):
            assert np.array_equal(x, same_x)
            assert np.array_equal(y, same_y)


def test_shift_is_what_the_formulas_say(quick):
    """With BN nearly none, for γ and β hardly move; with noise that of the noise's own moments."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(-0.5, 0.5, (2, 100_000))
    deviation = np.sqrt(rng.uniform(1, 1.25, (2, 100_000)) ** 2 + 0.1**2 + 0.2**2 / 12)
    shift = np.hypot(*(np.diff(m, axis=0)[0] for m in (mean, deviation))) / deviation[0]
    _, bn, noisy = quick.numbers["shift"]
    assert noisy == pytest.approx(shift.mean(), abs=0.015)
    assert bn.max() < 0.02


def test_curves_and_claims_speak_of_the_same(quick):
    low, middle, high = np.log(quick.numbers["curves"])
    assert middle - low == pytest.approx(high - middle)
    less = middle[0] - middle[1]  # (steps, 3)
    assert quick.numbers["whole"].mean(axis=0) == pytest.approx(less.mean(axis=0))
    assert quick.numbers["half"].mean(axis=0) == pytest.approx(less[:9].mean(axis=0))


def test_each_claim_judges_its_own_difference(quick):
    """Numbers made up so that one after the other comes out."""

    def verdicts(whole=(0, 0, 0), half=0, shift=(0, 0, 0), learning=(0, 0, 0)):
        numbers = {
            "whole": np.tile(whole, (10, 1)),
            "half": np.tile([0, half, 0], (10, 1)),
            "shift": np.tile(shift, (10, 1)).T,
            "learning": np.tile(learning, (10, 1)).T,
        }
        return [i for i, row in enumerate(quick.module.claims(numbers)) if row.holds]

    assert verdicts() == []
    assert [verdicts(whole=row) for row in np.eye(3)] == [[0], [1], [3]]
    assert verdicts(half=1) == [2]
    assert verdicts(shift=(1, 2, 3)) == verdicts(shift=(2, 1, 3)) == [4]
    assert verdicts(shift=(1, 3, 2)) == verdicts(shift=(3, 1, 2)) == []
    assert verdicts(learning=(1, 2, 0)) == [5]
    assert verdicts(learning=(1, 4, 2)) == [5, 6]
    assert verdicts(learning=(1, 4, 3)) == [5, 6, 7]


def test_what_does_not_hold_is_known(quick):
    assert [row.should_hold for row in quick.outcome.claims] == [1, 0, 1, 0, 1, 1, 0, 0]
    saved = json.loads(quick.outcome.picture.with_name("result.json").read_text("utf-8"))
    assert [row["holds"] for row in saved["claims"]] == [None] * 8
