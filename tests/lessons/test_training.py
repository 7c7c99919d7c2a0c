"""The training step of the lessons."""

import numpy as np
import pytest
import training

from tinygrad_reg import functional as F
from tinygrad_reg import nn, optim


@pytest.mark.parametrize("penalised", [False, True])
def test_compiled_or_not_a_step_gives_the_same_bits(penalised, monkeypatch):
    x = np.random.default_rng(0).standard_normal((32, 5), dtype=np.float32)
    y = np.arange(32) % 3
    weights = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(training.tinygrad_reg, "compile", lambda step, *state: step)
        rng = np.random.default_rng(0)
        model = nn.Sequential(
            nn.Linear(5, 8, rng=rng), nn.ReLU(), nn.Dropout(rng=rng), nn.Linear(8, 3, rng=rng)
        )
        step = training.training_step(
            model,
            optim.Adam(model.parameters()),
            (lambda model=model: F.l2_penalty(model.weights(), 0.1)) if penalised else None,
        )
        for _ in range(12):
            assert step(x, y) is None
        weights.append([p.numpy().tobytes() for p in model.parameters()])
        assert hasattr(step, "programs") is compiled
    assert weights[0] == weights[1]
