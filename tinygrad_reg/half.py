"""float16, which ends at 65504 and has few digits below 6e-5.

Squares, sums over many examples and numbers like 1/n leave that range on the way to results that
are inside it.  So what sums or squares is computed in float32, and the result rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
from numpy import float16

from .tensor import Tensor, as_tensor

P = ParamSpec("P")


def is_half_array(x: Any) -> bool:
    """Tell whether x is an array of float16, and no tensor."""
    return getattr(getattr(x, "dtype", None), "type", None) is float16


def through_float32(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorate a function: with a first argument of float16 it computes in float32.

    The result is rounded to float16 once.

    Examples
    --------
    >>> @through_float32
    ... def length(x):
    ...     return (x * x).sum().sqrt()
    >>> length(Tensor(np.full(4, 300, np.float16)))  # 300² is more than float16 can hold
    Tensor(600., dtype=float16)
    """
    name = function.__code__.co_varnames[0]

    @wraps(function)
    def computed(*args: Any, **kwargs: Any) -> Any:
        x: Any = args[0] if args else kwargs.get(name)
        half = x._array.dtype.type is float16 if isinstance(x, Tensor) else is_half_array(x)
        if not half:
            return function(*args, **kwargs)
        wide = as_tensor(x).astype(np.float32)
        args, kwargs = ((wide, *args[1:]), kwargs) if args else (args, {**kwargs, name: wide})
        return function(*args, **kwargs).astype(float16)

    return computed
