"""Lesson 6: dropout by hand, beside NumPy and PyTorch."""

import re
from html import unescape

import numpy as np
import pytest


def test_the_worked_example_and_its_gradients_by_hand(quick):
    w1, w2 = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), np.array([[1, 2, 3], [4, 5, 6]])
    m = np.array([1, 0, 1])

    def hidden(x):
        return m * np.maximum(w1 @ (m * x), 0)

    np.testing.assert_array_equal(quick.numbers["prediction"], w2 @ hidden(np.array([0, 1, 2])))
    np.testing.assert_array_equal(quick.numbers["prediction"], [60, 132])
    x = np.array([1, 1, 2])  # all units positive: relu' = 1
    g = m * (np.ones(2) @ w2)
    np.testing.assert_array_equal(quick.numbers["gradients"][0], np.outer(g, m * x))
    np.testing.assert_array_equal(quick.numbers["gradients"][1], np.outer(np.ones(2), hidden(x)))


def test_momentum_alone_moves_what_is_dropped(quick):
    assert quick.numbers["moved"] == {"plain": 0, "momentum": 7}
    claim = quick.claim("whatever the optimizer")
    assert claim.holds is False
    assert not claim.should_hold


def test_one_call_has_one_mask_and_two_calls_have_two(quick):
    p = quick.module.P
    assert quick.numbers["wrong gradients"] == 0
    sd = np.sqrt(0.52 * 0.48 / 10_000)
    assert quick.numbers["two calls agree"] == pytest.approx(p**2 + (1 - p) ** 2, abs=5 * sd)


def test_a_thinned_network_is_the_whole_one_with_zeros(quick):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    x, w1, w2 = rng.standard_normal(20), rng.standard_normal((20, 20)), rng.standard_normal((20, 3))
    m1, m2 = rng.random(20) < 0.6, rng.random(20) < 0.6
    whole = [torch.tensor(w, requires_grad=True) for w in (w1, w2)]
    hidden = torch.relu((torch.tensor(x) * torch.tensor(m1)) @ whole[0]) * torch.tensor(m2)
    logits = hidden @ whole[1]
    torch.nn.functional.cross_entropy(logits, torch.tensor(2)).backward()
    ours = quick.module.thinned(x, 2, w1, w2, m1, m2)
    for mine, theirs in zip(ours, [logits.detach(), *(w.grad for w in whole)]):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-12, atol=1e-14)


def test_each_example_has_a_network_and_absent_parameters_count_as_zeros(quick):
    assert quick.numbers["networks"] == 32
    assert quick.numbers["rows"] < 1e-14
    assert quick.numbers["average"] < 1e-15
    assert quick.numbers["over"] > 1e-3  # another average would have been noticed


def test_its_picture_has_the_lecture_s_numbers(quick):
    svg = unescape(quick.outcome.picture.read_text(encoding="utf-8"))
    texts = [text.strip() for text in re.findall("<text.*?>(.*?)</text>", svg)]
    assert texts.count("dropout") == 2
    assert {"x", "W1", "W2", "ŷ", "60", "132"} <= set(texts)
    assert {"68", "82", "96"} <= set(texts)  # 82 arrives at the first mask, and goes no further
