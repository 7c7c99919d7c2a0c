"""The methods of NumPy's arrays, on tensors: each calls NumPy's function of the same name.

`t.clip(0, 1)` is `np.clip(t, 0, 1)`, which comes back to the tensor by NumPy's protocols.  So what
a method gives, and whether it has a gradient, is written down once, with the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from .operators import Axis, Operand, Operators, Result
from .primitives import Array


class Methods(Operators[Result]):
    """Methods and operators that lead to NumPy's functions."""

    __slots__ = ()

    def _tensor(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Result:
        """Call a function that gives a tensor; NumPy's own types do not know it."""
        result: Result = function(*args, **kwargs)
        return result

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function that gives whole numbers or truths, in arrays."""
        return function(*args, **kwargs)

    # fmt: off
    # --- Operators -------------------------------------------------------------------------------

    def __mod__(self, other: Operand) -> Result: return self._tensor(np.remainder, self, other)
    def __rmod__(self, other: Operand) -> Result: return self._tensor(np.remainder, other, self)
    def __floordiv__(self, other: Operand) -> Any: return self._call(np.floor_divide, self, other)
    def __rfloordiv__(self, other: Operand) -> Any: return self._call(np.floor_divide, other, self)
    def __divmod__(self, other: Operand) -> Any: return self // other, self % other
    def __rdivmod__(self, other: Operand) -> Any: return other // self, other % self

    # Of whole numbers and truths: these give arrays.
    def __and__(self, other: Operand) -> Array: return self._call(np.bitwise_and, self, other)
    def __rand__(self, other: Operand) -> Array: return self._call(np.bitwise_and, other, self)
    def __or__(self, other: Operand) -> Array: return self._call(np.bitwise_or, self, other)
    def __ror__(self, other: Operand) -> Array: return self._call(np.bitwise_or, other, self)
    def __xor__(self, other: Operand) -> Array: return self._call(np.bitwise_xor, self, other)
    def __rxor__(self, other: Operand) -> Array: return self._call(np.bitwise_xor, other, self)
    def __lshift__(self, other: Operand) -> Array: return self._call(np.left_shift, self, other)
    def __rlshift__(self, other: Operand) -> Array: return self._call(np.left_shift, other, self)
    def __rshift__(self, other: Operand) -> Array: return self._call(np.right_shift, self, other)
    def __rrshift__(self, other: Operand) -> Array: return self._call(np.right_shift, other, self)
    def __invert__(self) -> Array: return self._call(np.invert, self)
    def __contains__(self, x: Any) -> bool: return bool(np.any(self == x))
    # fmt: on

    # --- Reductions ------------------------------------------------------------------------------

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Result:
        """Mean squared deviation from the mean; ddof=1 divides by n - 1 instead of n."""
        return self._tensor(np.var, self, axis, keepdims=keepdims, ddof=ddof)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Result:
        """The square root of `var`; its derivative is 0 where all elements are equal."""
        return self._tensor(np.std, self, axis, keepdims=keepdims, ddof=ddof)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Result:
        """Π x along an axis, several, or all (None)."""
        return self._tensor(np.prod, self, axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Result:
        """Sums of the first 1, 2, … elements along an axis; None takes a flat array."""
        return self._tensor(np.cumsum, self, axis)

    def cumprod(self, axis: int | None = None) -> Result:
        """Products of the first 1, 2, … elements along an axis; None takes a flat array."""
        return self._tensor(np.cumprod, self, axis)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Array:
        """Whether all elements are true, that is not 0."""
        return self._call(np.all, self, axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Array:
        """Whether any element is true, that is not 0."""
        return self._call(np.any, self, axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Array:
        """The index of the largest element: an array of integers, and not a tensor."""
        return self._call(np.argmax, self, axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Array:
        """The index of the smallest element: an array of integers, and not a tensor."""
        return self._call(np.argmin, self, axis, keepdims=keepdims)

    # --- Element by element, and products --------------------------------------------------------

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Result:
        """The nearest numbers between min and max."""
        return self._tensor(np.clip, self, min, max)

    def round(self, decimals: int = 0) -> Result:
        """Rounded, as a constant: its derivative is 0."""
        return self._tensor(np.round, self, decimals)

    def conj(self) -> Result:
        """The tensor itself, as it consists of real numbers."""
        return self._tensor(np.conjugate, self)

    def conjugate(self) -> Result:
        """The tensor itself, as it consists of real numbers."""
        return self._tensor(np.conjugate, self)

    def dot(self, other: Operand) -> Result:
        """Σ x y over the last axis of x and the last but one of y."""
        return self._tensor(np.dot, self, other)

    # --- Shapes ----------------------------------------------------------------------------------

    def swapaxes(self, axis1: int, axis2: int) -> Result:
        """Exchange two axes."""
        return self._tensor(np.swapaxes, self, axis1, axis2)

    def squeeze(self, axis: Axis = None) -> Result:
        """Remove axes of size 1: all of them, or those given."""
        return self._tensor(np.squeeze, self, axis)

    def ravel(self) -> Result:
        """All elements along a single axis."""
        return self._tensor(np.ravel, self)

    def flatten(self) -> Result:
        """All elements along a single axis."""
        return self._tensor(np.ravel, self)

    @property
    def mT(self) -> Result:  # noqa: N802
        """The last two axes exchanged."""
        return self._tensor(np.matrix_transpose, self)

    # --- Choices ---------------------------------------------------------------------------------

    def take(self, indices: Any, axis: int | None = None, mode: str = "raise") -> Result:
        """The elements with these indices along an axis; None takes a flat array."""
        return self._tensor(np.take, self, indices, axis, mode=mode)

    def compress(self, condition: Any, axis: int | None = None) -> Result:
        """The elements along an axis where the condition holds."""
        return self._tensor(np.compress, condition, self, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Result:
        """Each element several times, along an axis; None takes a flat array."""
        return self._tensor(np.repeat, self, repeats, axis)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Result:
        """The elements of a diagonal of two axes, along a new last one."""
        return self._tensor(np.diagonal, self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Result:
        """The sum of a diagonal of two axes."""
        return self._tensor(np.trace, self, offset, axis1, axis2)

    def nonzero(self) -> Any:
        """The indices of elements that are not 0."""
        return self._call(np.nonzero, self)

    def argsort(self, axis: int | None = -1, *, stable: bool | None = None) -> Array:
        """The indices that would sort along an axis; None takes a flat array."""
        return self._call(np.argsort, self, axis, stable=stable)

    def argpartition(self, kth: Any, axis: int | None = -1) -> Array:
        """The indices that would put the kth smallest element in its place, smaller ones before."""
        return self._call(np.argpartition, self, kth, axis)

    def searchsorted(self, v: Any, side: str = "left", sorter: Any = None) -> Array:
        """The indices at which to insert v into this sorted tensor."""
        return self._call(np.searchsorted, self, v, side, sorter)

    # --- Copies, and what would change a tensor --------------------------------------------------

    def copy(self) -> Result:
        """A tensor of its own with the same elements; gradients flow through."""
        return self._tensor(np.copy, self)

    def sort(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as NumPy's method sorts in place; `np.sort(t)` gives a sorted tensor."""
        raise never_in_place("sort", "np.sort(t) gives a sorted tensor")

    def partition(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as NumPy's method works in place; `np.partition(t, kth)` gives a new tensor."""
        raise never_in_place("partition", "np.partition(t, kth) gives a new one")

    def fill(self, value: Any) -> NoReturn:
        """Refused, as tensors never change; assign to `data`."""
        raise never_in_place("fill", "t.data = np.full(t.shape, value) replaces the data")

    def put(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as tensors never change; `np.where` gives a new one."""
        raise never_in_place("put", "np.where(mask, new, t) gives a new one")


def never_in_place(name: str, remedy: str) -> TypeError:
    """The error for a method that would change a tensor."""
    return TypeError(f"{name}: tensors never change, since graphs rely on their values; {remedy}")
