"""The operators and methods of tensors: what makes a `Tensor` look like an array.

Each hands its operands on to `self.apply`, with the function of the table that it stands for.  This
file knows no `Tensor`; it is a base class of it, and the type variable `Result` stands for it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numpy import float16

from . import errors, primitives
from .attributes import Attributes, bare
from .checks import check_dtype, check_shape, new_array
from .primitives import Array, Number, Shape

Result = TypeVar("Result")
Operand: TypeAlias = "Attributes | int | float | npt.ArrayLike"
Axis: TypeAlias = int | tuple[int, ...] | None


class Operators(Attributes, Generic[Result]):
    """Operators, methods and indexing.  Comparisons give arrays, everything else gives tensors."""

    __slots__ = ()

    apply: Callable[..., Result]
    detach: Callable[[], Result]

    # --- Arithmetic ------------------------------------------------------------------------------
    # fmt: off

    def __add__(self, other: Operand) -> Result: return self.apply(np.add, self, other)
    def __radd__(self, other: Operand) -> Result: return self.apply(np.add, other, self)
    def __sub__(self, other: Operand) -> Result: return self.apply(np.subtract, self, other)
    def __rsub__(self, other: Operand) -> Result: return self.apply(np.subtract, other, self)
    def __mul__(self, other: Operand) -> Result: return self.apply(np.multiply, self, other)
    def __rmul__(self, other: Operand) -> Result: return self.apply(np.multiply, other, self)
    def __truediv__(self, other: Operand) -> Result: return self.apply(np.divide, self, other)
    def __rtruediv__(self, other: Operand) -> Result: return self.apply(np.divide, other, self)
    def __matmul__(self, other: Operand) -> Result: return self.apply(np.matmul, self, other)
    def __rmatmul__(self, other: Operand) -> Result: return self.apply(np.matmul, other, self)
    def __rpow__(self, other: Operand) -> Result: return self.apply(np.power, other, self)
    def __neg__(self) -> Result: return self.apply(np.negative, self)
    def __pos__(self) -> Result: return self  # type: ignore[return-value]
    def __abs__(self) -> Result: return self.apply(np.abs, self)

    def __pow__(self, exponent: Operand) -> Result:
        keeps_type = type(exponent) is int or self.dtype.kind == "f"  # 3 ** 2.0 is a float
        if keeps_type and isinstance(exponent, (int, float, Number)) and exponent == 2:
            return self.apply(np.square, self)  # as NumPy's ** does; it is much faster than pow
        return self.apply(np.power, self, exponent)

    # Comparisons have no derivative: they give boolean arrays.
    def __lt__(self, other: Operand) -> Array: return without_gradient(operator.lt, self, other)
    def __le__(self, other: Operand) -> Array: return without_gradient(operator.le, self, other)
    def __gt__(self, other: Operand) -> Array: return without_gradient(operator.gt, self, other)
    def __ge__(self, other: Operand) -> Array: return without_gradient(operator.ge, self, other)
    def __eq__(self, other: object) -> Array: return without_gradient(operator.eq, self, other)
    def __ne__(self, other: object) -> Array: return without_gradient(operator.ne, self, other)
    __hash__ = object.__hash__

    # --- Functions of one variable ---------------------------------------------------------------

    def exp(self) -> Result: return self.apply(np.exp, self)
    def log(self) -> Result: return self.apply(np.log, self)
    def log1p(self) -> Result: return self.apply(np.log1p, self)
    def sqrt(self) -> Result: return self.apply(np.sqrt, self)
    def tanh(self) -> Result: return self.apply(np.tanh, self)
    def abs(self) -> Result: return self.apply(np.abs, self)
    # fmt: on

    # --- Reductions ------------------------------------------------------------------------------

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Result:
        """Σ x along an axis, several, or all (None); keepdims leaves size 1 there."""
        return self.apply(primitives.sum, self, axis=plain(axis), keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Result:
        """The largest elements; where several are equal they share the gradient."""
        return self.apply(primitives.max, self, axis=plain(axis), keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Result:
        """The smallest elements; where several are equal they share the gradient."""
        return self.apply(primitives.min, self, axis=plain(axis), keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Result:
        """Σ x / n over the n elements along the axis."""
        if self._array.dtype.type is float16:  # the sum could overflow
            wide: Any = self.astype(np.float32)
            result: Result = wide.mean(axis, keepdims).astype(float16)
            return result
        count = count_along("mean", self.shape, axis)
        return self.apply(np.divide, self.sum(axis, keepdims), count)

    # --- Shapes, types and indices ---------------------------------------------------------------

    def reshape(self, *shape: int | Sequence[int]) -> Result:
        """`t.reshape(2, 3)` or `t.reshape((2, 3))`; one size may be -1."""
        sizes = check_shape("reshape: sizes", shape[0] if len(shape) == 1 else shape)
        return self.apply(primitives.reshape, self, shape=sizes)

    def transpose(self, *axes: int | Sequence[int] | None) -> Result:
        """Reorder the axes; without arguments, reverse them."""
        order: Any = axes[0] if len(axes) == 1 else axes or None
        order = range(self.ndim)[::-1] if order is None else order
        return self.apply(primitives.transpose, self, axes=check_shape("transpose: axes", order))

    @property
    def T(self) -> Result:  # noqa: N802
        """The transpose: axes in reverse order."""
        return self.transpose()

    def astype(self, dtype: npt.DTypeLike) -> Result:
        """Another type; gradients flow back in the old one, and not at all through integers."""
        dtype = check_dtype("astype: dtype", dtype)
        x = self if dtype.kind == "f" else self.detach()
        return self.apply(primitives.astype, x, dtype=dtype)

    def __getitem__(self, index: Any) -> Result:
        return self.apply(primitives.getitem, self, index=frozen_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "assignment into a tensor is impossible, since graphs rely on its values; build a new "
            "one, e.g. np.where(mask, new, t) or np.concatenate(...), or replace t.data whole"
        )

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len: a tensor of shape () has no length")
        return len(self._array)

    def __iter__(self) -> Iterator[Result]:
        return (self[i] for i in range(len(self)))


def without_gradient(function: Callable[..., Any], *operands: Any, **options: Any) -> Any:
    """Call a function that has no derivative on the arrays in tensors."""
    values = bare(operands)
    try:
        return function(*values, **options)
    except errors.NUMPY_ERRORS as error:
        raise errors.explained(error, function, values, options) from error


def plain(axis: Any) -> Any:
    """An axis, or several, as Python numbers: it may be a tensor or an array of shape ()."""
    if isinstance(axis, tuple):
        return tuple(map(plain, axis))
    return axis.item() if getattr(axis, "ndim", None) == 0 else axis


def count_along(name: str, shape: Shape, axis: Axis) -> int:
    """The number of elements that a reduction over `axis` takes together."""
    return prod(shape if axis is None else (shape[a] for a in axes_of(name, shape, axis)))


def axes_of(name: str, shape: Shape, axis: Any) -> Shape:
    """One axis or several, counted from the front."""
    axes: Shape = counted(np.lib.array_utils.normalize_axis_tuple, name, shape, axis)
    return axes


def axis_of(name: str, shape: Shape, axis: Any) -> int:
    """A single axis, counted from the front."""
    return int(counted(np.lib.array_utils.normalize_axis_index, name, shape, axis))


def counted(normalize: Callable[..., Any], name: str, shape: Shape, axis: Any) -> Any:
    """What a function of NumPy makes of an axis; its errors say which function has that axis."""
    try:
        return normalize(plain(axis), len(shape))
    except errors.NUMPY_ERRORS as error:
        what = f"{name} of shape {shape}, axis={errors.shown(axis)}"
        raise errors.rephrased(error, what) from error


def frozen_index(index: Any) -> Any:
    """An index that nothing can change later: with copies of lists, arrays and tensors."""
    if isinstance(index, tuple):
        return tuple(map(frozen_index, index))
    if isinstance(index, slice):
        return slice(*map(plain, (index.start, index.stop, index.step)))
    index = bare(plain(index))
    if isinstance(index, (list, np.ndarray)):
        array = new_array("getitem: the index", index)
        empty = isinstance(index, list) and array.size == 0  # NumPy makes an array of floats of it
        return array.astype(int) if empty else array
    return index
