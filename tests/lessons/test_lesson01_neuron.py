"""Lesson 1: one neuron by hand."""

from html import unescape
from math import tanh

import pytest


def test_gradients_are_those_of_differences(quick):
    start, target, h = quick.module.START, quick.module.TARGET, 1e-6

    def loss(x1, x2, w1, w2, b):
        return (tanh(w1 * x1 + w2 * x2 + b) - target) ** 2

    for name, gradient in quick.numbers["gradients"].items():
        up, down = (loss(**start | {name: start[name] + step}) for step in (h, -h))
        assert gradient == pytest.approx((up - down) / (2 * h), rel=1e-8)


def test_only_the_sweep_that_waits_is_right(quick):
    assert quick.numbers["dc/da"] == 4
    assert quick.numbers["at every arrival"] == 6
    assert quick.numbers["at first arrival"] == 2


def test_its_picture_has_every_number(quick):
    text = unescape(quick.outcome.picture.read_text(encoding="utf-8"))
    for gradient in quick.numbers["gradients"].values():
        assert repr(gradient) in text
