"""Symbols: arrays without numbers, which write down what is done to them.

A derivative rule is plain array code.  Run on symbols, it gives its own formula: for x * y towards
x "ḡ · y".  Pictures show these formulas, and `save_memory` learns from them what a rule reads.

>>> g, x = Symbol("ḡ", (3,), float), Symbol("x", (3,), float)
>>> (g * np.cos(x) / 2).text
'ḡ · cos(x) / 2'

    Σ(…), Σ₀₁(…)   the sum over all axes, or over these
    xᵀ             the last two axes exchanged
    x = y, ∨       1 where it is true, else 0; or

Not shown are broadcasting, reshapes that only add or remove axes of size 1 (so axes that were
summed over still count), changes of type that make numbers of truths or give a gradient the type of
its argument, and "or NaN", which is x ≠ x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .errors import name_of
from .more_primitives import recurrence
from .primitives import Shape, broadcast_to, broadcasting, kept, stretched, sum_to

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# How firmly a text holds together: where a firmer one is needed, it is put in brackets.
OR, AND, COMPARISON, SUM, MATMUL, PRODUCT, POWER, ATOM = range(8)

# The sign, the firmness it gives, and those it needs on its left and right.  Where brackets would
# change nothing, as in a · (b / c), there are none; but around @ beside · they help the reader.
INFIX = {
    np.bitwise_or: ("∨", OR, OR, OR),
    np.bitwise_and: ("∧", AND, AND, AND),
    np.equal: ("=", COMPARISON, SUM, SUM),
    np.not_equal: ("≠", COMPARISON, SUM, SUM),
    np.greater: (">", COMPARISON, SUM, SUM),
    np.greater_equal: ("≥", COMPARISON, SUM, SUM),
    np.less: ("<", COMPARISON, SUM, SUM),
    np.less_equal: ("≤", COMPARISON, SUM, SUM),
    np.add: ("+", SUM, SUM, SUM),
    np.subtract: ("−", SUM, SUM, MATMUL),
    np.matmul: ("@", MATMUL, POWER, POWER),
    np.multiply: ("·", PRODUCT, PRODUCT, PRODUCT),
    np.divide: ("/", PRODUCT, PRODUCT, POWER),
    np.power: ("**", POWER, ATOM, ATOM),
}


def reduction(name: str) -> Callable[..., Symbol]:
    """A method of symbols."""

    def reduced(x: Symbol, axis: Any = None, keepdims: bool = False) -> Symbol:
        given = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = sorted({a % x.ndim for a in given})
        if not axes:
            return x
        digits = "".join(map(str, axes)).translate(SUBSCRIPTS) if len(axes) < x.ndim else ""
        shape = kept(x.shape, axis)
        if not keepdims:
            shape = tuple(n for i, n in enumerate(shape) if i not in axes)
        return Symbol(f"{name}{digits}({x.text})", shape, x.dtype)

    return reduced


@dataclass(eq=False, slots=True)
class Symbol(NDArrayOperatorsMixin):
    """An array that consists of the text of how it is computed.

    shape      None if it cannot be told
    firmness   how firmly the text holds together
    """

    text: str
    shape: Any
    dtype: Any
    firmness: int = ATOM

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Operators, and NumPy's functions of single elements."""
        if method != "__call__" or options:
            return NotImplemented
        x, y = inputs[0], inputs[-1]
        dtype = np.result_type(*(getattr(x, "dtype", x) for x in inputs))
        shape = common_shape(inputs) if ufunc.signature is None else None
        if ufunc is np.matmul:
            shape = product_shape(x, y)
        if ufunc is np.negative:
            return Symbol(f"−{operand(x, PRODUCT)}", shape, dtype, PRODUCT)
        if ufunc is np.power and isinstance(y, (int, float)) and y in range(-99, 100):
            exponent = str(int(y)).translate(SUPERSCRIPTS)
            return x if y == 1 else Symbol(operand(x, ATOM) + exponent, shape, dtype, POWER)
        if ufunc is np.not_equal and x is y:
            return Symbol("NaN", shape, bool)
        if ufunc is np.bitwise_or and written(y) == "NaN":
            return x
        if ufunc in INFIX:
            sign, firmness, left, right = INFIX[ufunc]
            text = f"{operand(x, left)} {sign} {operand(y, right, firmness > COMPARISON)}"
            return Symbol(text, shape, dtype if firmness > COMPARISON else bool, firmness)
        return Symbol(call(ufunc, inputs, {}), shape, dtype)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, inputs: Any, options: dict[str, Any]
    ) -> Any:
        """NumPy's other functions."""
        if function in (np.sum, np.max, np.min, np.reshape, np.transpose, np.swapaxes):
            return getattr(Symbol, function.__name__)(*inputs, **options)
        return self.apply(function, *inputs, **options)

    def apply(self, function: Callable[..., Any], *inputs: Any, **options: Any) -> Symbol:
        """A call of a function of the table for which there is no sign."""
        if function is broadcast_to:
            return Symbol(self.text, options["shape"], self.dtype, self.firmness)
        if function is sum_to:
            shape = options["shape"]
            axes = stretched(shape, self.shape)
            summed = self.sum(axes) if any(self.shape[axis] != 1 for axis in axes) else self
            return Symbol(summed.text, shape, self.dtype, summed.firmness)
        shape = options.get("shape") or shape_of(function, inputs, options)
        dtype = np.result_type(self.dtype, *(x.dtype for x in inputs if isinstance(x, Symbol)))
        return Symbol(call(function, inputs, options), shape, dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    sum, max, min = map(reduction, ("Σ", "max", "min"))

    def cumsum(self, axis: int) -> Symbol:
        return self.apply(np.cumsum, self, axis=axis)

    def cumprod(self, axis: int) -> Symbol:
        return self.apply(np.cumprod, self, axis=axis)

    def reshape(self, *sizes: Any) -> Symbol:
        shape = unpacked(sizes)
        if -1 in shape:
            shape = tuple(self.size // -prod(shape) if n == -1 else n for n in shape)
        if [n for n in shape if n != 1] == [n for n in self.shape if n != 1]:
            return Symbol(self.text, shape, self.dtype, self.firmness)
        return Symbol(f"reshape({self.text}, {written(shape)})", shape, self.dtype)

    def transpose(self, *axes: Any) -> Symbol:
        there = tuple(range(self.ndim))
        order = unpacked(axes) or there[::-1]
        if order == there:
            return self
        shape = tuple(self.shape[axis] for axis in order)
        if order == (*there[:-2], *there[:-3:-1]):
            return Symbol(f"{operand(self, ATOM)}ᵀ", shape, self.dtype, POWER)
        return Symbol(f"transpose({self.text}, {written(order)})", shape, self.dtype)

    @property
    def T(self) -> Symbol:  # noqa: N802
        return self.transpose()

    def swapaxes(self, axis1: int, axis2: int) -> Symbol:
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self.transpose(order)

    def astype(self, dtype: Any) -> Symbol:
        if self.dtype == bool:
            return Symbol(self.text, self.shape, dtype, self.firmness)
        return Symbol(f"{np.dtype(dtype)}({self.text})", self.shape, dtype)

    def __getitem__(self, index: Any) -> Symbol:
        shape = np.broadcast_to(True, self.shape)[index].shape
        text = listed(index)
        whole = {":", "...", "None"}.issuperset(text.split(", "))
        if whole and shape == (1,) * (len(shape) - self.ndim) + self.shape:
            return Symbol(self.text, shape, self.dtype, self.firmness)  # as broadcasting would do
        return Symbol(f"{operand(self, ATOM)}[{text}]", shape, self.dtype)

    def refuse(self, *_: Any) -> Any:
        raise TypeError("a symbol has no numbers")

    __array__ = __bool__ = __iter__ = refuse


KEEPING_THE_SHAPE = (
    np.cumprod, np.cumsum, np.flip, np.linalg.inv, np.ones_like, np.tril, np.zeros_like,
    recurrence,
)  # fmt: skip


def shape_of(
    function: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]
) -> Shape | None:
    """The shape of a result, if it can be told."""
    if function in KEEPING_THE_SHAPE:
        shape: Shape = inputs[0].shape
        return shape
    if function is np.concatenate:
        axis, arrays = options["axis"], inputs[0]
        length = sum(x.shape[axis] for x in arrays)
        return (*arrays[0].shape[:axis], length, *arrays[0].shape[axis + 1 :])
    if function is np.linalg.solve:  # as its first argument, inverted, times the second
        return product_shape(*inputs)
    return common_shape(inputs) if function in broadcasting else None


def common_shape(inputs: Sequence[Any]) -> Shape | None:
    """The shape that inputs are broadcast to, if theirs are known."""
    shapes = [getattr(x, "shape", ()) for x in inputs]
    return None if None in shapes else np.broadcast_shapes(*shapes)


def product_shape(x: Any, y: Any) -> Shape:
    """The shape of x @ y."""
    columns = y.shape[-1:] if y.ndim > 1 else ()
    return (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), *x.shape[-2:-1], *columns)


def unpacked(sizes: tuple[Any, ...]) -> Shape:
    """`reshape(2, 3)` is `reshape((2, 3))`."""
    return tuple(sizes[0]) if sizes and isinstance(sizes[0], (tuple, list)) else sizes


# --- Text ----------------------------------------------------------------------------------------


def operand(x: Any, needed: int, signed: bool = False) -> str:
    """The text of x, in brackets if it is too loose, or has a sign and follows another one."""
    text = written(x)
    negative = text.startswith("−")
    firmness = x.firmness if isinstance(x, Symbol) else PRODUCT if negative else ATOM
    return f"({text})" if firmness < needed or (negative and signed) else text


def call(function: Callable[..., Any], inputs: Sequence[Any], options: dict[str, Any]) -> str:
    """The text of a call; shapes and indices are known by their looks."""
    words = [*map(written, inputs)]
    for key, value in options.items():
        text = f"[{listed(value)}]" if key == "index" else written(value)
        words.append(text if key in ("index", "shape") else f"{key}={text}")
    return f"{name_of(function)}({', '.join(words)})"


def listed(index: Any) -> str:
    """An index without its brackets."""
    parts = index if isinstance(index, tuple) and index else (index,)
    return ", ".join(map(written, parts))


def written(x: Any) -> str:
    """A symbol, a number or a part of an index, as formulas have it."""
    return spelled(x, in_formulas)


def in_formulas(x: Any) -> str:
    if isinstance(x, Symbol):
        return x.text
    text = f"{x:.6g}" if isinstance(x, (float, np.floating)) else str(x)
    return text.replace("-", "−")


def spelled(x: Any, single: Callable[[Any], str] = str) -> str:
    """Metadata as in a program, except that index arrays are told by their shape only.

    single   writes what does not consist of other things
    """
    if isinstance(x, slice):
        parts = [x.start, x.stop] + [x.step] * (x.step is not None)
        return ":".join("" if part is None else spelled(part, single) for part in parts)
    if isinstance(x, (list, tuple)):
        inside = ", ".join(spelled(part, single) for part in x)
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' * (len(x) == 1)})"
    if isinstance(x, np.ndarray) and x.ndim:
        return f"array{x.shape}"
    return "..." if x is ... else single(x)
