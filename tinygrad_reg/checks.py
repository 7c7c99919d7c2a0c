"""Checks of arrays and of what goes with them: types, shapes, truths.

A check is told `what` it checks, the operation and the argument ("dropout: p"), and returns the
argument in the one type that the rest of the program may count on.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import Any

import numpy as np

from .errors import NUMPY_ERRORS, in_scope, name_of, rephrased, shown
from .primitives import Array


def check_bool(what: str, value: Any) -> bool:
    """True or False."""
    if isinstance(value, (int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{what} must be True or False, not {shown(value)}")


def check_shape(what: str, shape: Any) -> tuple[int, ...]:
    """A shape: several whole numbers, or one."""
    try:
        return tuple(map(operator.index, shape if np.iterable(shape) else (shape,)))
    except TypeError:
        raise TypeError(f"{what} must be whole numbers, not {shown(shape)}") from None


def check_dtype(what: str, dtype: Any, kinds: str = "fbiu") -> np.dtype[Any]:
    """A type of real numbers or booleans; of floats with `kinds` "f"."""
    found = None
    if dtype is not None:  # NumPy would make float64 of it
        with suppress(TypeError, ValueError):
            found = np.dtype(dtype)
    if isinstance(found, np.dtype) and found.kind in kinds:
        return np.dtype(found.type)  # in the byte order of this machine
    wanted = "float type" if kinds == "f" else "type of real numbers or booleans"
    raise TypeError(f"{what} must be a {wanted}, e.g. np.float32, not {found or shown(dtype)}")


def check_differentiable(dtype: Any) -> None:
    """A type that can have gradients."""
    if dtype.kind != "f":
        raise TypeError(
            f"requires_grad: only floats have gradients, this tensor is {dtype}; "
            "make it of floats, e.g. Tensor([1.0, 2.0]) or data.astype(np.float32)"
        )


def check_leaf(what: str, function: Any, remedy: str, kind: type[Exception] = ValueError) -> None:
    """A tensor that is not the result of a function."""
    if function is not None:
        raise kind(f"{what}: this tensor is the result of {name_of(function)}; {remedy}")


def check_same_shape(what: str, shape: Any, expected: Any, remedy: str) -> None:
    """The shape that the tensor has."""
    if shape != expected:
        raise ValueError(f"{what} has shape {shape}, the tensor {expected}; {remedy}")


def new_array(what: str, data: Any) -> Array:
    """A new NumPy array."""
    if type(data) is not np.ndarray:
        kinds = {type(data), *map(type, data)} if isinstance(data, (list, tuple)) else {type(data)}
        if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
            raise TypeError(
                f"{what} must not be masked, or its mask is lost; use .filled(value){in_scope()}"
            )
    try:
        return np.array(data)
    except (*NUMPY_ERRORS, RuntimeError) as error:
        raise rephrased(error, f"{what}: no array can be made of this") from error


def new_numeric_array(what: str, data: Any) -> Array:
    """A new NumPy array of real numbers or booleans, in the byte order of this machine."""
    array = new_array(what, data)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{what} must be real numbers or booleans, not {type(data).__name__} of dtype "
            f"{array.dtype}{in_scope()}"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.type)
