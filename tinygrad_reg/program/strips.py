"""Strips: elementwise calls on large arrays, all of them on a few rows, then on the next.

A strip of every array fits into the cache.  The optimizer's chain on 1024² weights then takes a
third of the time.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from .recorder import Call, Value, is_array

STRIP = 1 << 17  # bytes of each array that are worked on at a time

# A strip may end anywhere: of these each element is computed in the same way, wherever it stands.
EXACT = {
    np.add, np.subtract, np.multiply, np.divide, np.negative, np.square, np.sqrt, np.abs, np.sign,
    np.maximum, np.minimum,
}  # fmt: skip


def in_strips(group: list[Call]) -> bool:
    """Tell whether calls can be done strip by strip, and are worth it."""
    shape, dtype = group[0].result.shape, group[0].result.dtype
    strides = np.empty(shape, dtype).strides
    for call in group:
        if call.function not in EXACT or call.options or call.result.shape != shape:
            return False
        for x in (*call.args, call.result):
            if not is_array(x) and not (isinstance(x, np.ndarray) and x.ndim):
                continue
            if x.shape == shape and (x.dtype, x.strides) != (dtype, strides):
                return False
            if x.shape != shape and len(x.shape) == len(shape) and x.shape[0] != 1:
                return False
    return group[0].result.nbytes > 2 * STRIP


def rows_of_strip(shape: tuple[int, ...], dtype: Any) -> int:
    """The number of rows that are worked on at a time."""
    row: int = prod(shape[1:]) * dtype.itemsize
    return max(1, STRIP // row)


def strips(shape: tuple[int, ...], temporaries: list[Any], calls: list[Any]) -> list[Any]:
    """Calls of ufuncs on arrays of this shape, as calls on their strips."""
    rows = rows_of_strip(shape, next(x.dtype for x in calls[0].args if x.shape == shape))

    def part(x: Any, start: int) -> Any:
        if any(x is temporary for temporary in temporaries):
            return x[: shape[0] - start]
        return x[start : start + rows] if x.shape == shape else x

    return [
        partial(
            call.func,
            *(part(x, start) for x in call.args),
            **{key: part(x, start) for key, x in call.keywords.items()},
        )
        for start in range(0, shape[0], rows)
        for call in calls
    ]


def strip_of(value: Value) -> Value:
    """A value as long as a strip of this one."""
    rows = rows_of_strip(value.shape, value.dtype)
    return Value(np.empty((rows, *value.shape[1:]), value.dtype))
