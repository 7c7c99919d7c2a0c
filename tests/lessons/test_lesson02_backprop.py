"""Lesson 2: the formulas of backpropagation."""

import re
from html import unescape
from math import exp
from unittest.mock import patch

import numpy as np
import pytest

from tinygrad_reg import functional as F
from tinygrad_reg.primitives import table


def test_gradients_are_the_lectures_one_example_at_a_time(quick):
    network = {name: np.array(value) for name, value in quick.numbers["first"].items()}
    w1, w2 = network["W1"].T, network["W2"].T  # (hidden, inputs), as in the lecture
    terms = {"W1": [], "b1": [], "W2": [], "b2": []}
    for x, label in zip(network["x"], network["y"]):
        z = w1 @ x + network["b1"]
        h = np.array([max(v, 0.0) for v in z])
        e = [exp(v) for v in w2 @ h + network["b2"]]
        error = np.array([v / sum(e) - (k == label) for k, v in enumerate(e)])
        g = np.array([error @ w2[:, j] if z[j] > 0 else 0.0 for j in range(len(z))])
        terms["W2"].append(np.outer(error, h).T)
        terms["b2"].append(error)
        terms["W1"].append(np.outer(g, x).T)
        terms["b1"].append(g)
    for name, gradient in quick.numbers["gradients"].items():
        np.testing.assert_allclose(gradient, np.mean(terms[name], axis=0), atol=1e-13)


def test_gradients_are_pytorchs(quick):
    torch = pytest.importorskip("torch")
    network = {name: torch.tensor(value) for name, value in quick.numbers["first"].items()}
    w1, b1, w2, b2 = (network[name].requires_grad_() for name in ("W1", "b1", "W2", "b2"))
    logits = torch.relu(network["x"] @ w1 + b1) @ w2 + b2
    torch.nn.functional.cross_entropy(logits, network["y"]).backward()
    for name, gradient in quick.numbers["gradients"].items():
        np.testing.assert_allclose(gradient, network[name].grad.numpy(), atol=1e-13)


def test_a_hidden_unit_of_each_network_has_a_z_of_zero(quick):
    network = quick.numbers["first"]
    assert np.count_nonzero(network["x"] @ network["W1"] + network["b1"] == 0) == len(network["x"])
    assert np.all(network["W1"][:, 1:] != 0)


@pytest.mark.parametrize(
    ("primitive", "rules"),
    [
        (np.exp, [lambda g, out, x: g]),
        (np.log, [lambda g, out, x: g * x]),
        (np.maximum, [lambda g, out, x, y: g * (x >= y), None]),  # relu'(0) = 1
        (np.matmul, [table[np.matmul][0], lambda g, out, x, y: -(x.T @ g)]),
    ],
)
def test_the_first_claim_fails_for_an_engine_with_one_wrong_rule(primitive, rules, quick):
    with patch.dict(table, {primitive: tuple(rules)}):
        numbers = quick.module.run(quick=True, seeds=1)
    assert quick.module.claims(numbers)[0].holds is False


def test_a_fused_cross_entropy_would_be_noticed(quick):
    def cross_entropy(x):
        raise NotImplementedError

    with patch.dict(table, {cross_entropy: ()}):
        numbers = quick.module.run(quick=True, seeds=1)
    assert quick.module.claims(numbers)[1].holds is False


def test_the_program_that_is_printed_has_the_lectures_lines(quick):
    lines = [line.strip() for line in quick.numbers["text"].splitlines()]
    assert "d_W2 = t0.T @ t6" in lines  # h (ŷ - y), with examples as rows
    assert "d_b1 = t7.sum(axis=0)" in lines
    assert quick.numbers["text"] in quick.printed
    assert quick.numbers["program"] < 1e-13


def test_the_claim_about_the_program_fails_for_a_wrong_rule(quick):
    with quick.module.doubled(np.exp):
        numbers = quick.module.run(quick=True, seeds=1)
    assert quick.module.claims(numbers)[2].holds is False


def test_doubled_rules_are_undone_and_count_twice(quick):
    before = dict(table)
    with quick.module.doubled(np.exp):
        network = quick.module.random_network(np.random.default_rng(5))
        assert quick.module.largest_difference([network]) > 0.01
        assert quick.module.largest_difference([network], exp=2) < 1e-14
    assert table == before
    assert quick.numbers["exp doubled"] < 1e-13
    assert quick.numbers["maximum doubled"] < 1e-13


def test_the_last_claim_fails_for_the_naive_softmax(quick, monkeypatch):
    assert quick.numbers["huge error"] < 1e-15
    assert quick.numbers["naive NaN"] == 64
    monkeypatch.setattr(F, "softmax", lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))
    with np.errstate(all="ignore"):
        numbers = quick.numbers | quick.module.huge_logits()
    assert np.isnan(numbers["huge error"])
    assert quick.module.claims(numbers)[4].holds is not True


def test_its_picture_has_the_numbers_of_the_hand(quick):
    nodes = {node.name: node for node in quick.module.picture({}).graph.nodes}

    def row(numbers):
        return [float(number) for line in numbers.rows for number in line]

    h = [1 * 1.0 + 2 * 0.5, 0]  # the other z is 1 · -1 + 2 · 0.5 - 1 < 0
    error = [1 / 4 - 1, 3 / 4]  # ŷ - y
    g = error[0] * 0.5 + error[1] * -0.5
    assert row(nodes["h"].value) == h
    assert row(nodes["W2"].gradient) == pytest.approx([*np.outer(h, error).flat], abs=1e-15)
    assert row(nodes["b2"].gradient) == pytest.approx(error)
    assert row(nodes["logits"].gradient) == pytest.approx(error)
    assert row(nodes["W1"].gradient) == pytest.approx([g, 0, 2 * g, 0])
    text = re.sub(r"\s+<", "<", unescape(quick.outcome.picture.read_text(encoding="utf-8")))
    assert all(f">{number:g}<" in text for number in (*h, *error, h[0] * error[0], g, 2 * g))
