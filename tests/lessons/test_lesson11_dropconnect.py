"""Lesson 11: DropConnect."""

import numpy as np
import pytest
from data import load
from masks import kept
from scipy.special import softmax

from tinygrad_reg import Tensor


def test_gradients_of_masked_weights_are_those_by_hand(quick):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((32, 12)), rng.standard_normal((12, 10))
    y = np.eye(10)[rng.integers(0, 10, 32)]
    numbers = quick.numbers
    rows = np.repeat(numbers["inputs"][:, None], 10, axis=1)
    for name, mask in ("single", numbers["single"]), ("rows", rows), ("inputs", rows):
        assert 0 < mask.sum() < mask.size
        by_hand = 2 * mask * (x.T @ (softmax(x @ (2 * mask * w), axis=1) - y) / 32)
        np.testing.assert_allclose(numbers["gradients"][name], by_hand, rtol=1e-12, atol=1e-14)
    assert len(np.unique(numbers["single"], axis=1).T) > 1  # its columns differ


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9])
def test_masks_average_to_the_whole_layer(quick, p):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(3), rng.standard_normal((3, 2))
    found = quick.module.every_mask(1, p)
    for name, networks in ("dropout", 8), ("DropConnect", 64):
        np.testing.assert_allclose(found[name]["mean"], x @ w, rtol=1e-12)
        assert found[name]["networks"] == networks


def test_one_mask_is_for_all_examples_and_for_training(quick):
    layer = quick.module.OneMask(0.4, rng=np.random.default_rng(0))
    x = Tensor(np.ones((50, 1000)))
    rows = layer(x).numpy()
    assert (rows == rows[0]).all()
    assert np.mean(rows[0] == 0) == pytest.approx(0.4, abs=0.05)
    np.testing.assert_allclose(np.unique(rows), [0, 1 / 0.6])
    assert (layer(x).numpy() != rows).any()
    assert (layer.eval()(x).numpy() == 1).all()


@pytest.mark.parametrize("method", ["none", "dropout", "dropout, one mask", "DropConnect"])
def test_its_networks_are_those_of_pytorch(quick, method):
    torch = pytest.importorskip("torch")
    seed, p, steps = 1, {"none": 0.0}.get(method, 0.4), 60
    data = load("digits", seed)
    rng, order, noise = (np.random.default_rng([seed, part]) for part in range(3))
    n = len(data.y)
    by = noise.integers(1, 10, n)
    y = torch.tensor(np.where(noise.random(n) < 0.2, (data.y + by) % 10, data.y))
    sizes = (64, 128), (128, 128), (128, 10)
    w = [torch.tensor(rng.standard_normal(s) / np.sqrt(s[0]), dtype=torch.float32) for s in sizes]
    b = [torch.zeros(s[1]) for s in sizes]
    parameters = [each.requires_grad_() for each in (*w, *b)]

    def mask(*shape):  # OneMask draws by itself
        one = method == "dropout, one mask"
        stays = rng.random(shape) >= p if one else kept(rng, shape, p)
        return torch.tensor(stays / (1 - p), dtype=torch.float32)

    def logits(x, training):
        h = x @ w[0] + b[0]
        for i in 1, 2:
            h, weight = torch.relu(h), w[i]
            if training and method == "dropout":
                h = h * mask(*h.shape)
            if training and method == "dropout, one mask":
                h = h * mask(h.shape[1])
            if training and method == "DropConnect":
                weight = weight * mask(*weight.shape)
            h = h @ weight + b[i]
        return h

    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for _ in range(steps):
        batch = order.permutation(n)[:32]
        loss = torch.nn.functional.cross_entropy(
            logits(torch.tensor(data.x[batch]), True), y[torch.tensor(batch)]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    ours = quick.numbers["errors"][1, quick.numbers["arms"].index((method, p))]
    for part, error in zip((data[2:4], data[4:]), ours):
        found = logits(torch.tensor(part[0]), False).detach().numpy().argmax(axis=1)
        assert error == pytest.approx(100 * np.mean(found != part[1]), abs=0.6)


def fake(module, monkeypatch, errors_of):
    """What `run` makes of errors_of(method, p), validation and test, in ten seeds with noise."""
    rng = np.random.default_rng(0)

    def errors(one, seed, seeds, arms, steps):
        mean = np.array([errors_of(*arm) for arm in arms])
        return mean + rng.normal(0, 0.1, (seeds, *mean.shape))

    monkeypatch.setattr(module, "each_seed", errors)
    return module.run()


def test_p_is_chosen_on_validation_examples(quick, monkeypatch):
    def errors_of(method, p):
        return 10 + abs(p - 0.6), 10 + abs(p - 0.2)  # the test set would rather have 0.2

    best = fake(quick.module, monkeypatch, errors_of)["best"]
    assert {method: each["p"] for method, each in best.items()} == {
        "none": 0, "dropout": 0.6, "dropout, one mask": 0.6, "DropConnect": 0.6
    }  # fmt: skip
    for method in quick.module.METHODS:
        assert best[method]["test"] == pytest.approx(10.4, abs=0.5)


@pytest.mark.parametrize("order", [(3, 2, 1), (1, 1, 1), (1, 2, 3)])
def test_verdicts_are_those_of_the_errors(quick, monkeypatch, order):
    none, dropout, dropconnect = order
    level = {"none": none, "dropout": dropout, "DropConnect": dropconnect, "dropout, one mask": 5}
    numbers = fake(quick.module, monkeypatch, lambda method, p: 2 * (10 + level[method],))
    verdicts = [claim.holds for claim in quick.module.claims(numbers)]
    assert verdicts == [True, True, dropout < none, dropconnect < none, dropconnect < dropout]


def test_a_mask_that_leaks_is_noticed(quick):
    numbers = dict(quick.numbers)
    leak = numbers["gradients"]["single"].copy()
    leak[~numbers["single"]] = 1e-30
    numbers["gradients"] = numbers["gradients"] | {"single": leak}
    assert quick.module.claims(numbers)[0].holds is False
