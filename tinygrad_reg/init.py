"""Initial weights: functions of a shape (fan_in, fan_out) that give arrays.

All take `rng`, a numpy.random.Generator (default: the package's, see `seed`), and a dtype.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .random import generator

__all__ = ["Initializer", "he_normal", "lecun_normal", "xavier_uniform", "zeros"]


class Initializer(Protocol):
    def __call__(
        self,
        shape: tuple[int, ...],
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> npt.NDArray[Any]: ...


def lecun_normal(
    shape: tuple[int, ...],
    rng: np.random.Generator | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """Normal, mean 0, standard deviation 1/√fan_in (LeCun et al. 1998, Efficient BackProp, 4.6)."""
    return normal(shape, 1.0, rng, dtype)


def he_normal(
    shape: tuple[int, ...],
    rng: np.random.Generator | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """Normal, mean 0, standard deviation √(2/fan_in), for relu (He et al. 2015, equation 10)."""
    return normal(shape, 2.0, rng, dtype)


def xavier_uniform(
    shape: tuple[int, ...],
    rng: np.random.Generator | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """Uniform in ±√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16)."""
    bound = sqrt(6 / (shape[0] + shape[-1]))
    return generator(rng).uniform(-bound, bound, shape).astype(dtype)


def zeros(
    shape: tuple[int, ...],
    rng: np.random.Generator | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """All zero; for hidden layers a lesson rather than a method: they never learn."""
    return np.zeros(shape, dtype)


def normal(
    shape: tuple[int, ...], gain: float, rng: np.random.Generator | None, dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Normal with variance gain / fan_in."""
    return (generator(rng).standard_normal(shape) * sqrt(gain / shape[0])).astype(dtype)
