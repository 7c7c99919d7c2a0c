"""How tensors answer Python and NumPy: conversions to numbers and arrays, and NumPy's functions.

A conversion would end the graph without a word.  So a tensor that wants a gradient refuses it, and
the error names the words for it: `.item()`, `.numpy()`, `.detach()`.

Functions of NumPy come here by two protocols: NEP 13 for ufuncs (`np.exp(t)`, `array * t`), NEP 18
for the others (`np.sum(t, axis=0)`, `np.concatenate([t, u])`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors, primitives
from .attributes import bare
from .operators import Operators, Result, without_gradient


class Protocols(Operators[Result]):
    """Conversions, and NumPy's functions on tensors."""

    __slots__ = ()

    # --- Conversions -----------------------------------------------------------------------------

    def _number(self, what: str) -> Any:
        """The only element, for a conversion to a Python number."""
        self._stay_in_graph(what)
        return self.item()

    # fmt: off
    def __float__(self) -> float: return float(self._number("float"))
    def __int__(self) -> int: return int(self._number("int"))
    def __trunc__(self) -> int: return int(self._number("trunc"))
    def __round__(self, n: int | None = None) -> Any: return round(self._number("round"), n)

    # To branch on a value loses no gradient, and neither does printing it.
    def __bool__(self) -> bool: return bool(self.item())
    def __format__(self, spec: str) -> str: return format(self.item(), spec) if spec else str(self)
    # fmt: on

    def __index__(self) -> int:
        self._stay_in_graph("index")
        return operator.index(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        self._stay_in_graph("conversion to an array")
        return np.array(self.data, dtype=dtype, copy=copy)

    # --- NumPy's functions -----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise errors.not_supported(f"{ufunc.__name__}.{method}", kwargs)
        if kwargs:
            raise errors.not_supported(ufunc.__name__, kwargs)
        if ufunc in without_derivative:
            return without_gradient(ufunc, *inputs)
        if ufunc not in primitives.table:
            raise errors.no_rule(ufunc)
        return self.apply(ufunc, *inputs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        if func in without_derivative:
            return without_gradient(func, *args, **bare(kwargs))
        if func not in array_functions:
            raise errors.no_rule(func)
        try:
            return array_functions[func](*args, **kwargs)
        except TypeError as error:
            if re.search("keyword|positional", str(error)):
                reason = str(error).removeprefix("Operators.")
                raise errors.not_supported(func.__name__, kwargs, f": {reason}") from None
            raise


# Integer or boolean results carry no gradient: these see arrays and give arrays.
without_derivative: set[Callable[..., Any]] = {
    np.allclose, np.argmax, np.argmin, np.argsort, np.array_equal, np.equal, np.greater,
    np.greater_equal, np.isclose, np.isfinite, np.isinf, np.isnan, np.less, np.less_equal, np.ndim,
    np.not_equal, np.shape, np.signbit, np.size,
}  # fmt: skip


# NumPy's functions that are no ufuncs, and what they call; `arrays.py` fills it.
array_functions: dict[Callable[..., Any], Callable[..., Any]] = {}
