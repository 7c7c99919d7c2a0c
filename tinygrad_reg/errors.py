"""What is said about wrong calls: the operation, the shapes or values, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import primitives


class StaleValueError(RuntimeError):
    """A tensor was given new data between an operation that used it and its derivative."""


def refuse_gradient_of(dtype: Any) -> None:
    if dtype.kind != "f":
        raise TypeError(
            f"requires_grad: only floats have gradients, this tensor is {dtype}; "
            "make it of floats, e.g. Tensor([1.0, 2.0]) or data.astype(np.float32)"
        )


def at_least_zero(what: str, value: float) -> float:
    if not value >= 0:
        raise ValueError(f"{what} must be 0 or more, not {value}")
    return float(value)  # a NumPy float would turn float32 into float64


def from_front(name: str, axis: int, ndim: int) -> int:
    """An axis counted from the front, checked."""
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"{name}: axis {axis} does not exist with {ndim} dimensions")
    return axis % ndim


def no_rule(function: Callable[..., Any]) -> TypeError:
    return TypeError(
        f"np.{function.__name__} has no derivative rule, so it does not work on tensors; the "
        "functions that do are in tinygrad_reg/primitives.py, where one line adds another; "
        "without gradient, use it on t.numpy()"
    )


def keywords(kwargs: dict[str, Any]) -> str:
    return f" with {', '.join(kwargs)}=" if kwargs else ""


def explained(
    error: Exception, function: Callable[..., Any], values: Sequence[Any], metadata: dict[str, Any]
) -> Exception:
    """NumPy's complaint about a call, with what was called on what."""
    shapes = [np.shape(value) for value in values]
    name = function.__name__
    kinds = (np.exceptions.AxisError, IndexError, ValueError, TypeError)
    kind = next(kind for kind in kinds if isinstance(error, kind))
    listed = " and ".join(map(str, shapes))
    if function is np.matmul and kind is ValueError:
        return kind(
            f"matmul: shapes {listed} do not fit: the last axis of the first must be as long as "
            "the last but one of the second (or its only one), and axes before must broadcast"
        )
    if function in primitives.broadcasting and not metadata and not fit_together(shapes):
        return ValueError(
            f"{name}: shapes {listed} do not broadcast: counted from the last axis, sizes must be "
            "equal or 1; reshape one of them, e.g. t.reshape(-1, 1)"
        )
    details = "".join(f", {key}={value!r}" for key, value in metadata.items())
    return kind(f"{name} of shape {listed}{details}: {error}")


def fit_together(shapes: Sequence[tuple[int, ...]]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True
