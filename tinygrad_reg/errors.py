"""What is said about wrong calls: the operation, the shapes or values, and the remedy.

A check of one argument is told `what` it is, the operation and the argument ("dropout: p"), and
returns it in the one type that the rest of the program may count on.
"""

from __future__ import annotations

import operator
import reprlib
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from math import inf, nextafter
from numbers import Real
from typing import Any

import numpy as np

from . import primitives
from .scope import here

# What NumPy raises if a call makes no sense; OverflowError, of numbers that fit into no array.
COMPLAINTS = TypeError, ValueError, IndexError, MemoryError, OverflowError

# What is said of a range, its least number, and the least above it.
RANGES = {
    "finite": (-sys.float_info.max, inf),
    "finite and above 0": (nextafter(0, 1), inf),
    "finite and 0 or more": (0.0, inf),
    "in [0, 1]": (0.0, nextafter(1, 2)),
    "in [0, 1)": (0.0, 1.0),
}


class StaleValueError(RuntimeError):
    """A tensor was given new data between an operation that used it and its derivative."""


# --- Checks of one argument ----------------------------------------------------------------------


def number(what: str, value: Any, allowed: str = "finite") -> float:
    """A Python float, for a NumPy float would turn float32 into float64."""
    least, above = RANGES[allowed]
    if type(value) is float and least <= value < above:
        return value
    if type(value) is np.ndarray and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real):
        raise TypeError(f"{what} must be a number, not {shown(value)}")
    try:
        x = float(value)
    except OverflowError:
        x = inf
    if not least <= x < above:
        raise ValueError(f"{what} must be {allowed}, not {shown(value)}")
    return x


def whole(what: str, value: Any, least: int | None = None) -> int:
    try:
        n = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be a whole number, not {shown(value)}") from None
    if least is not None and n < least:
        raise ValueError(f"{what} must be {least} or more, not {n}")
    return n


def flag(what: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, (int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{what} must be True or False, not {shown(value)}")


def one_of(what: str, value: Any, choices: tuple[str, ...]) -> None:
    if not (isinstance(value, str) and value in choices):
        listed = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{what} must be {listed}, not {shown(value)}")


def refuse_uncallable(what: str, value: Any) -> None:
    if not callable(value):
        raise TypeError(f"{what} must be a function, not {shown(value)}")


NO_GRADIENT = (
    "no gradient flows into this tensor: nothing it was computed from has requires_grad=True, or "
    "it was computed under no_grad()"
)


def several(name: str, what: str, values: Iterable[Any]) -> list[Any]:
    """A list with something in it."""
    try:
        iterator = iter(values)
    except TypeError:
        raise TypeError(f"{name}: {what} must come in a list, not as {shown(values)}") from None
    found = list(iterator)
    if not found:
        raise ValueError(f"{name}: there are no {what}")
    return found


def sizes(what: str, shape: Any) -> tuple[int, ...]:
    """A shape: several whole numbers, or one."""
    try:
        return tuple(map(operator.index, shape if np.iterable(shape) else (shape,)))
    except TypeError:
        raise TypeError(f"{what} must be whole numbers, not {shown(shape)}") from None


def float_type(what: str, dtype: Any) -> np.dtype[Any]:
    found = None
    if dtype is not None:  # of which NumPy makes float64
        with suppress(TypeError, ValueError):
            found = np.dtype(dtype)
    if isinstance(found, np.dtype) and found.kind == "f":
        return found
    raise TypeError(f"{what} must be a float type, e.g. np.float32, not {found or shown(dtype)}")


def new_array(what: str, data: Any) -> primitives.Array:
    """A new NumPy array."""
    if type(data) is not np.ndarray:
        kinds = {type(data), *map(type, data)} if isinstance(data, (list, tuple)) else {type(data)}
        if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
            raise TypeError(
                f"{what} must not be masked, or its mask is lost; use .filled(value){inside()}"
            )
    try:
        return np.array(data)
    except (*COMPLAINTS, RuntimeError) as error:
        raise retold(error, f"{what}: no array can be made of this") from error


def numbers(what: str, data: Any) -> primitives.Array:
    """A new array of real numbers or booleans."""
    array = new_array(what, data)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{what} must be real numbers or booleans, not {type(data).__name__} of dtype "
            f"{array.dtype}{inside()}"
        )
    return array


def from_front(name: str, axis: int, ndim: int) -> int:
    """An axis counted from the front."""
    axis = whole(f"{name}: an axis", axis)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(
            f"{name}: axis {axis} does not exist with {ndim} dimensions{inside()}"
        )
    return axis % ndim


def refuse_gradient_of(dtype: Any) -> None:
    if dtype.kind != "f":
        raise TypeError(
            f"requires_grad: only floats have gradients, this tensor is {dtype}; "
            "make it of floats, e.g. Tensor([1.0, 2.0]) or data.astype(np.float32)"
        )


# --- Words ---------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if getattr(value, "shape", ()):
        return f"{type(value).__name__} of shape {value.shape}"
    if value is None or isinstance(value, (str, bytes, Real, complex, list, tuple, slice)):
        return reprlib.repr(value)
    return type(value).__name__


def inside() -> str:
    """Where in the program: the scopes around a call."""
    scopes = str(here())
    return f" (in {scopes})" if scopes else ""


def keywords(kwargs: dict[str, Any]) -> str:
    return f" with {', '.join(kwargs)}=" if kwargs else ""


def no_rule(function: Callable[..., Any]) -> TypeError:
    return TypeError(
        f"np.{function.__name__} has no derivative rule, so it does not work on tensors; the "
        "functions that do are in tinygrad_reg/primitives.py, where one line adds another; "
        "without gradient, use it on t.numpy()"
    )


def retold(error: Exception, what: str) -> Exception:
    """A complaint with what it is about in front, and where that was called."""
    kinds = np.exceptions.AxisError, IndexError, TypeError, MemoryError
    kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
    return kind(f"{what}: {error}{inside()}")


def explained(
    error: Exception, function: Callable[..., Any], values: Sequence[Any], metadata: dict[str, Any]
) -> Exception:
    """NumPy's complaint about a call, with what was called on what."""
    shapes = [shape_of(value) for value in values]
    name = function.__name__
    listed = " and ".join(map(str, shapes))
    if function is np.matmul and isinstance(error, ValueError):
        return ValueError(
            f"matmul: shapes {listed} do not fit: the last axis of the first must be as long as "
            "the last but one of the second (or its only one), and axes before must broadcast"
            f"{inside()}"
        )
    elementwise = function in primitives.broadcasting and not metadata
    if elementwise and isinstance(error, ValueError) and not fit_together(shapes):
        return ValueError(
            f"{name}: shapes {listed} do not broadcast: counted from the last axis, sizes must be "
            f"equal or 1; reshape one of them, e.g. t.reshape(-1, 1){inside()}"
        )
    details = "".join(f", {key}={shown(value)}" for key, value in metadata.items())
    return retold(error, f"{name} of shape {listed}{details}")


def shape_of(value: Any) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except ValueError:  # a ragged list, of which the complaint is
        return ()


def fit_together(shapes: Sequence[tuple[int, ...]]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True
