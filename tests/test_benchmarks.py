"""What the benchmarks time is right: the same step as the one derived by hand, and as PyTorch's."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import train_step


@pytest.mark.parametrize("size", ["small", "medium"])
def test_all_contenders_compute_the_same_steps(size):
    names = ["hand", "ours", "compiled", "saving"]
    if importlib.util.find_spec("torch"):
        names.append("torch")
    assert 0 < train_step.greatest_difference(size, names) < train_step.TOLERANCE
