"""The training step that most lessons take.  It runs twice as it stands, and then as a program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import tinygrad_reg
from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F


def training_step(
    model: nn.Module, optimizer: optim.Optimizer, penalty: Callable[[], Tensor] | None = None
) -> Callable[[npt.NDArray[np.floating], npt.NDArray[np.integer]], None]:
    """A function that learns from a mini-batch: inputs x and class labels y.

    The objective is the mean cross-entropy, plus a penalty if there is one.  The function is
    compiled, which gives the same numbers to the last bit.
    """

    def step(x: npt.NDArray[np.floating], y: npt.NDArray[np.integer]) -> None:
        objective = F.cross_entropy(model(x), y)
        if penalty is not None:
            objective = objective + penalty()
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()

    return tinygrad_reg.compile(step, model, optimizer)
