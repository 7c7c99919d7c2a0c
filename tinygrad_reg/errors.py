"""The texts of errors: the operation, the shapes or values, and the remedy."""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np

from .primitives import broadcasting, table
from .scope import here

# What NumPy raises if a call makes no sense; OverflowError for numbers that fit into no array.
NUMPY_ERRORS = TypeError, ValueError, IndexError, MemoryError, OverflowError

NO_GRADIENT = (
    "no gradient flows into this tensor: nothing it was computed from has requires_grad=True, or "
    "it was computed under no_grad()"
)


class StaleValueError(RuntimeError):
    """A tensor was given new data between an operation that used it and its derivative."""


# --- Errors of NumPy, with what was called -------------------------------------------------------


def explained(
    error: Exception, function: Callable[..., Any], values: Sequence[Any], metadata: dict[str, Any]
) -> Exception:
    """An error of NumPy about a call, with the function, the shapes and the remedy."""
    shapes = [shape_of(value) for value in values]
    name, listed = name_of(function), " and ".join(map(str, shapes))
    if function is np.matmul and isinstance(error, ValueError):
        return ValueError(
            f"matmul: shapes {listed} do not fit: the last axis of the first must be as long as "
            "the last but one of the second (or its only one), and axes before must broadcast"
            f"{in_scope()}"
        )
    if function in broadcasting and "could not be broadcast" in str(error):
        return ValueError(
            f"{name}: shapes {listed} do not broadcast: counted from the last axis, sizes must be "
            f"equal or 1; reshape one of them, e.g. t.reshape(-1, 1){in_scope()}"
        )
    details = "".join(f", {key}={shown(value)}" for key, value in metadata.items())
    return rephrased(error, f"{name} of shape {listed}{details}")


def explained_call(
    error: Exception, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]
) -> Exception:
    """An error of NumPy about a call, with the shapes of arrays and all else by name."""
    try:
        given: dict[str, Any] = dict(signature(function).bind(*args, **options).arguments)
    except (TypeError, ValueError):  # functions written in C need not have a signature
        given = {**{f"argument {i}": x for i, x in enumerate(args)}, **options}
    arrays = [x for x in given.values() if is_array(x)]
    details = {name: x for name, x in given.items() if not is_array(x)}
    return explained(error, function, arrays, details)


def is_array(x: Any) -> bool:
    """Tell whether x has a shape; the class np.float32 has an attribute of that name, too."""
    return isinstance(getattr(x, "shape", None), tuple)


def rephrased(error: Exception, what: str) -> Exception:
    """An error of NumPy with what it is about in front, and where that was called."""
    kinds = np.exceptions.AxisError, np.linalg.LinAlgError, IndexError, TypeError, MemoryError
    kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
    return kind(f"{what}: {error}{in_scope()}")


def shape_of(value: Any) -> Any:
    """The shape of whatever NumPy takes for an array; () for a ragged list."""
    try:
        return np.shape(value)
    except ValueError:
        return ()


# --- Errors of our own ---------------------------------------------------------------------------


def lost_gradient(what: str) -> TypeError:
    """A conversion would end the graph without a word."""
    return TypeError(
        f"{what}: this tensor would lose its gradient; if that is meant, write .item() for a "
        "number, .numpy() for an array, or .detach() for a tensor without graph; otherwise use "
        "functions that work on tensors: np.sqrt(t) for math.sqrt(t), np.stack([t, u]) for "
        "np.array([t, u])"
    )


def stale(x: Any, function: Any) -> StaleValueError:
    """The value of a node has been replaced since a function was called with it."""
    name = f" {x.name!r}" if x.name else ""
    return StaleValueError(
        f"backward needs the value that the tensor{name} of shape {x.value.shape} had in "
        f"{name_of(function)}, but its data has been replaced since; call backward before "
        "changing it, or compute the result again"
    )


def wrong_rule(function: Any, shape: Any, expected: Any) -> AssertionError:
    """A derivative rule gave a gradient of another shape than its argument has."""
    return AssertionError(
        f"a rule of {name_of(function)} gave a gradient of shape {shape} for an argument of shape "
        f"{expected}; mend it in primitives.py"
    )


def no_single_derivative(shape: Any) -> ValueError:
    """`backward` of several elements was given no gradient."""
    return ValueError(
        f"backward: a tensor of shape {shape} has no single derivative; reduce it first, as in "
        "t.sum().backward(), or pass the gradient that arrives, t.backward(gradient) of shape "
        f"{shape}"
    )


def no_gradient_through(
    function: Any, method: str, kwargs: dict[str, Any], unknown: list[str] | None
) -> TypeError:
    """A function of NumPy, or this way to call it, has no derivative rule."""
    name = full_name(function) + (f".{method}" if method != "__call__" else "")
    if "out" in kwargs:
        return TypeError(
            f"{name} with out= is not supported where a gradient is wanted: an array keeps none, "
            "so write a = a + t for a += t, or write into it what .numpy(), .item() or .detach() "
            "takes out of the graph"
        )
    arguments = unknown or list(kwargs)
    if function in table or unknown:
        listed = ", ".join(name if "=" in name else f"{name}=" for name in arguments)
        return TypeError(
            f"{name}{f' with {listed}' if listed else ''} is not supported where a gradient is "
            f"wanted, only plain {full_name(function)}; where none is, give it .detach()"
        )
    return TypeError(
        f"{name} has no derivative rule, so the gradient of this tensor would be lost; "
        "a line in tinygrad_reg/more_primitives.py adds a rule; where no gradient is wanted, give "
        "it .detach() (or .numpy(), or .item())"
    )


# --- Words ---------------------------------------------------------------------------------------


def full_name(function: Any) -> str:
    """A function with its module, as a program calls it: np.linalg.norm, scipy.special.expit."""
    name = name_of(function)
    module = getattr(function, "__module__", None)
    if isinstance(function, np.ufunc):  # which does not know its module
        modules = [m for m in ("numpy", "scipy.special") if m in sys.modules]
        module = next((m for m in modules if getattr(sys.modules[m], name, 0) is function), None)
    return re.sub(r"^numpy\b", "np", f"{module}.{name}" if module else name)


def shown(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if getattr(value, "shape", ()):
        return f"{type(value).__name__} of shape {value.shape}"
    if value is None or isinstance(value, (str, bytes, Real, complex, list, tuple, slice)):
        return reprlib.repr(value)
    return type(value).__name__


def name_of(function: Any) -> str:
    """The name of a function: of a partial that of the function in it, of an object its class's."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", "") or type(function).__name__)


def in_scope() -> str:
    """Where in the program: the scopes around a call, " (in Linear/linear)"."""
    scopes = str(here())
    return f" (in {scopes})" if scopes else ""
