"""What the benchmarks time is right: the same step as the one derived by hand, and as PyTorch's."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import networks
import train_step


@pytest.mark.parametrize("size", ["small", "medium"])
def test_all_contenders_compute_the_same_steps(size):
    names = ["hand", "ours", "compiled", "saving"]
    if importlib.util.find_spec("torch"):
        names.append("torch")
    assert 0 < train_step.greatest_difference(size, names) < train_step.TOLERANCE


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_gpt_an_lstm_and_a_cnn_are_pytorchs_compiled_or_not(name):
    names = ["eager", "compiled"] + ["torch"] * bool(importlib.util.find_spec("torch"))
    assert 0 < networks.greatest_difference(name, names) < networks.TOLERANCE


def test_networks_that_differ_are_noticed(monkeypatch):
    monkeypatch.setattr(networks, "train_step", lambda *_: (lambda x, y: np.float64(1), None))
    with pytest.raises(networks.DisagreementError, match="does not learn"):
        networks.greatest_difference("cnn", ["eager"])
    losses = iter(np.arange(8.0, 0, -1))  # the second contender goes on where the first stopped
    monkeypatch.setattr(networks, "train_step", lambda *_: (lambda x, y: next(losses), None))
    monkeypatch.setitem(networks.CONTENDERS, "other", networks.CONTENDERS["eager"])
    with pytest.raises(networks.DisagreementError, match="losses differ by 4"):
        networks.greatest_difference("cnn", ["eager", "other"])
