"""Initial weights: functions of a shape (fan_in, fan_out) that give arrays.

All take `rng`, a numpy.random.Generator (by default the package's, see `seed`), and a float dtype.

>>> lecun_normal((300, 200), rng=np.random.default_rng(0)).std().round(3) == np.float32(0.058)
np.True_
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .checks import check_dtype, check_shape
from .errors import NUMPY_ERRORS, rephrased
from .random import generator

__all__ = ["Initializer", "he_normal", "lecun_normal", "xavier_uniform", "zeros"]

Shape = tuple[int, ...]
Array = npt.NDArray[Any]
Float = np.dtype[Any]


class Initializer(Protocol):
    """A function that draws an initial weight."""

    def __call__(
        self,
        shape: Shape,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> Array: ...


def initializer(draw: Callable[[Shape, np.random.Generator, Float], Array]) -> Initializer:
    """Decorate a function: give it defaults, and check arguments before anything is drawn."""
    name = draw.__name__

    def checked(
        shape: Shape,
        rng: np.random.Generator | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> Array:
        shape = check_shape(f"{name}: shape", shape)
        if not shape or min(shape) < 1:
            raise ValueError(f"{name}: shape must be (fan_in, fan_out), not {shape}")
        rng, dtype = generator(rng), check_dtype(f"{name}: dtype", dtype, "f")
        try:
            return draw(shape, rng, dtype)
        except NUMPY_ERRORS as error:
            raise rephrased(error, f"{name} of shape {shape}") from error

    checked.__name__, checked.__qualname__, checked.__doc__ = name, name, draw.__doc__
    return checked


@initializer
def lecun_normal(shape: Shape, rng: np.random.Generator, dtype: Float) -> Array:
    """Normal, mean 0, standard deviation 1/√fan_in (LeCun et al. 1998, Efficient BackProp, 4.6)."""
    return normal(shape, 1.0, rng, dtype)


@initializer
def he_normal(shape: Shape, rng: np.random.Generator, dtype: Float) -> Array:
    """Normal, mean 0, standard deviation √(2/fan_in), for relu (He et al. 2015, equation 10)."""
    return normal(shape, 2.0, rng, dtype)


@initializer
def xavier_uniform(shape: Shape, rng: np.random.Generator, dtype: Float) -> Array:
    """Uniform in ±√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16)."""
    bound = sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-bound, bound, shape).astype(dtype)


@initializer
def zeros(shape: Shape, rng: np.random.Generator, dtype: Float) -> Array:
    """All zero.  Hidden layers that start so never learn."""
    return np.zeros(shape, dtype)


def normal(shape: Shape, gain: float, rng: np.random.Generator, dtype: Float) -> Array:
    """Normal with variance gain / fan_in."""
    return (rng.standard_normal(shape) * sqrt(gain / shape[0])).astype(dtype)
