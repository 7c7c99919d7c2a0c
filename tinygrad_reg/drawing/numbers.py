"""What arrays look like from afar: a few in full, many by their statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FEW = 12  # elements, at most, that are shown one by one


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of an array.

    shape      its shape
    rows       all elements as text, exactly, along the last axis, if they are few; otherwise None
    mean, sd   of all elements (sd divides by their number)
    low, high  the smallest and the largest
    rms        √(Σx² / n): the size of an element, whatever their number n
    zeros      the share of elements that are exactly 0
    """

    shape: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...] | None
    mean: float
    sd: float
    low: float
    high: float
    rms: float
    zeros: float

    @property
    def norm(self) -> float:
        """√Σx²."""
        return self.rms * math.sqrt(math.prod(self.shape))

    @property
    def exact(self) -> str | None:
        """The only element as text, "empty" if there is none, None if there are several."""
        if 0 in self.shape:
            return "empty"
        return self.rows[0][0] if self.rows and math.prod(self.shape) == 1 else None

    @property
    def finite(self) -> bool:
        """Whether there is neither NaN nor infinity."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def numbers(data: Any) -> Numbers:
    """The numbers of an array (of NumPy's, or of a library that can be made NumPy's)."""
    array: npt.NDArray[Any] = np.asarray(data)
    rows = None
    if array.size <= FEW:
        lines = array.reshape(-1, array.shape[-1] if array.ndim and array.size else 1)
        rows = tuple(tuple(map(str, line)) for line in lines)
    if array.size <= 1:  # by far the most frequent case in large graphs
        only = float(array.reshape(-1)[0]) if array.size else 0.0
        zero = float(only == 0 and array.size == 1)
        return Numbers(array.shape, rows, only, 0.0, only, only, abs(only), zero)
    with np.errstate(all="ignore"):  # where elements are infinite or NaN, so are these
        x = array.astype(np.float64)
        low, high = float(x.min()), float(x.max())
        scale = max(-low, high)
        if 1e-150 < scale < 1e150 or not 0 < scale < np.inf:
            scale = 1.0  # squares neither overflow nor vanish, or nothing helps
        else:
            x /= scale
        mean, sd, rms = float(x.mean()), float(x.std()), float(np.sqrt(np.vdot(x, x) / x.size))
    if rms > 0:
        rms = max(rms * scale, math.ulp(0.0))  # smaller than any float, but not zero
    zeros = 1 - int(np.count_nonzero(array)) / array.size
    return Numbers(array.shape, rows, mean * scale, sd * scale, low, high, rms, zeros)
