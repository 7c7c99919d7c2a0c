"""Checks of settings: numbers in a range, one of several names, lists.

As in `checks.py`, a check is told `what` it checks, and returns it in one type.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable
from math import inf, nextafter
from numbers import Real
from typing import Any

import numpy as np

from .errors import shape_of, shown
from .primitives import Number

# Each range of floats in words: its least number, and the least above it.
RANGES = {
    "finite": (-sys.float_info.max, inf),
    "finite and above 0": (nextafter(0, 1), inf),
    "finite and 0 or more": (0.0, inf),
    "in [0, 1]": (0.0, nextafter(1, 2)),
    "in [0, 1)": (0.0, 1.0),
}


def check_float(what: str, value: Any, allowed: str = "finite") -> float:
    """A Python float: a NumPy float would turn float32 into float64."""
    least, above = RANGES[allowed]
    if type(value) is float and least <= value < above:
        return value
    if type(value) is np.ndarray and value.ndim == 0:
        value = value.item()
    if isinstance(value, Number) and least <= value < above:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    if not isinstance(value, Real):
        remedy = "; use .item()" if hasattr(value, "item") and shape_of(value) == () else ""
        raise TypeError(f"{what} must be a number, not {shown(value)}{remedy}")
    try:
        x = float(value)
    except OverflowError:
        x = inf
    if not least <= x < above:
        raise ValueError(f"{what} must be {allowed}, not {shown(value)}")
    return x


def check_int(what: str, value: Any, least: int | None = None) -> int:
    """A whole number, `least` or more."""
    try:
        n = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be a whole number, not {shown(value)}") from None
    if least is not None and n < least:
        raise ValueError(f"{what} must be {least} or more, not {n}")
    return n


def check_choice(what: str, value: Any, choices: tuple[str, ...]) -> None:
    """One of these texts."""
    if not (isinstance(value, str) and value in choices):
        listed = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{what} must be {listed}, not {shown(value)}")


def check_callable(what: str, value: Any) -> None:
    """A function."""
    if not callable(value):
        raise TypeError(f"{what} must be a function, not {shown(value)}")


def check_list(name: str, what: str, values: Iterable[Any]) -> list[Any]:
    """A list of at least one element."""
    try:
        iterator = iter(values)
    except TypeError:
        raise TypeError(f"{name}: {what} must come in a list, not as {shown(values)}") from None
    found = list(iterator)
    if not found:
        raise ValueError(f"{name}: there are no {what}")
    return found
