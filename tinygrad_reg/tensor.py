"""`Tensor`: an array that remembers the call that made it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import primitives
from .anomaly import inspect_result
from .backprop import sweep
from .errors import (
    COMPLAINTS,
    NO_GRADIENT,
    explained,
    flag,
    from_front,
    keywords,
    new_array,
    no_rule,
    number,
    numbers,
    refuse_gradient_of,
    retold,
    shown,
    sizes,
)
from .memory import SlimNode, in_graph, slim_down
from .primitives import Array, Rule, Shape, table
from .scope import Block, Scope, composite, current, here

Operand: TypeAlias = "Tensor | int | float | npt.ArrayLike"
Axis: TypeAlias = int | tuple[int, ...] | None

NUMBERS = (int, float, np.generic)
next_number = count(1).__next__


def apply(function: Callable[..., Array], *inputs: Operand, **metadata: Any) -> Tensor:
    """Compute function(*inputs, **metadata), and remember the call if a gradient is wanted."""
    values: list[Array] = []
    edges: list[tuple[Any, Rule]] = []
    for x, rule in zip(inputs, table[function]):
        if isinstance(x, Tensor):
            values.append(x._data)
            if x._requires_grad and rule is not None:
                edges.append((x if x.node is None else x.node, rule))  # in_graph, faster
        elif isinstance(x, NUMBERS):  # stays one, for Python's numbers widen no type
            values.append(x)
        else:
            what = f"{function.__name__}: operands"
            return apply(function, *(as_operand(x, what) for x in inputs), **metadata)
    try:
        data = function(*values, **metadata)
    except COMPLAINTS as error:
        raise explained(error, function, values, metadata) from error
    scope = current.get()
    if scope.hold is not None:
        scope = here()
    out = Tensor.__new__(Tensor)
    out._data = data
    out.number = next_number()
    out.name = out._grad = out.node = None
    out.scope = scope
    if edges and scope.records:
        out._requires_grad = True
        out.function = function
        out.inputs = inputs
        out.values = values
        out.edges = edges
        out.metadata = metadata
        if not scope.keeps and not scope.inspects:
            slim_down(out)
    else:
        out._requires_grad = False
        out.function = None
        out.inputs = out.edges = ()
    if scope.inspects:
        inspect_result(out, function, inputs)
    return out


def as_operand(x: Operand, what: str) -> Operand:
    return x if isinstance(x, (Tensor, *NUMBERS)) else constant(owned_array(x, what))


def constant(data: Array, name: str | None = None) -> Tensor:
    """A tensor without gradient around an array that nobody else will change: it is not copied."""
    out = Tensor.__new__(Tensor)
    out._data = data
    out.number = next_number()
    out.name = name
    out._grad = out.function = out.node = None
    out._requires_grad = False
    out.inputs = out.edges = ()
    scope = current.get()
    out.scope = scope if scope.hold is None else here()
    return out


def accumulate(found: list[tuple[Tensor, Tensor]]) -> None:
    """Add gradients to `.grad` of their leaves."""
    for leaf, g in found:
        leaf._grad = g if leaf._grad is None else leaf._grad + g


def gradients(
    root: Tensor,
    arriving: Tensor,
    wanted: Callable[[Tensor], bool],
    create_graph: bool = False,
    since: int = 0,
) -> dict[Tensor, Tensor]:
    """The gradients of root with respect to the wanted ones of the tensors behind it."""
    if create_graph:
        with Block(records=True):
            steps = sweep(in_graph(root), arriving, create_graph=True, since=since)
            return {node: g for node, g in steps if wanted(node)}
    steps = sweep(in_graph(root), arriving._data, since=since)
    return {node: constant(g) for node, g in steps if wanted(node)}


class Tensor:
    """An array that remembers the call that made it, so that gradients can flow back through it.

    data            a number, nested lists, an array or a tensor; it is copied
    requires_grad   whether `backward` shall leave a gradient here, in `.grad`; floats only
    name            how pictures call it

    The dtype is what NumPy gives the data (Python floats become float64).  Operators, indexing and
    NumPy's functions work on tensors and give tensors; comparisons give bare boolean arrays, `==`
    too, so ask `any(t is x for x in items)` rather than `t in items`.  Tensors hash by identity.

    The array never changes once it is in a tensor: `.data` is read-only, and to replace it whole is
    the only way to change it.  That is what makes recorded graphs trustworthy.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x**2).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_grad",
        "_requires_grad",
        "edges",
        "function",
        "inputs",
        "line",
        "metadata",
        "name",
        "node",
        "number",
        "scope",
        "values",
    )

    _data: Array
    _requires_grad: bool
    _grad: Tensor | None
    name: str | None
    # The call that made it: see `backprop.Node`.
    number: int
    function: Callable[..., Array] | None
    inputs: Sequence[Any]
    values: Sequence[Array]
    edges: Sequence[tuple[Any, Rule]]
    metadata: dict[str, Any]
    scope: Scope | None
    line: tuple[str, int]
    # What stands in graphs for a result of `save_memory`; nearly always that is the tensor itself.
    node: SlimNode | None

    apply = staticmethod(apply)

    def __init__(self, data: Operand, requires_grad: bool = False, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Tensor: the name must be text, not {shown(name)}")
        self._data = owned_array(data, "Tensor: data")
        self.number = next_number()
        self.name = name
        self._grad = self.function = self.scope = self.node = None
        self.inputs = self.edges = ()
        self._requires_grad = flag("Tensor: requires_grad", requires_grad)
        if requires_grad:
            refuse_gradient_of(self._data.dtype)

    # --- What it holds ---------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The array, read-only.  Assign a new array of the same shape to replace it (by a copy, of
        the same type if that is a float type).

        Only leaves can be given new data.  A graph that was recorded with the old data can no
        longer be differentiated: `backward` then raises `StaleValueError`.
        """
        if not isinstance(self._data, (np.ndarray, np.generic)):
            return self._data
        array = np.asarray(self._data)
        owner: Any = array
        while isinstance(owner, np.ndarray):  # all the way down, lest a view be made writeable
            owner.flags.writeable = False
            owner = owner.base
        return array.view()

    @data.setter
    def data(self, new: Operand) -> None:
        if self.function is not None:
            raise ValueError(
                f"data: this tensor is the result of {self.function.__name__}; only leaves, which "
                "were made by hand, can be given new data"
            )
        array = owned_array(new, "data: the new array")
        if array.shape != self.shape:
            raise ValueError(
                f"data: the new array has shape {array.shape}, the tensor {self.shape}; "
                "make a new Tensor for another shape"
            )
        if self._requires_grad:
            refuse_gradient_of(array.dtype)
        self.replace(array.astype(self.dtype, copy=False) if self.dtype.kind == "f" else array)

    def replace(self, array: Array) -> None:
        """`data = array` for optimizers: unchecked, and without a copy."""
        self._data = array
        self.number = next_number()  # newer now than any operation that used the old array

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.function is not None:
            raise ValueError(
                f"requires_grad: this tensor is the result of {self.function.__name__} and passes "
                "gradients on; use .detach() for one that does not"
            )
        if flag("requires_grad", wanted):
            refuse_gradient_of(self.dtype)
        self._requires_grad = bool(wanted)

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has left here, None at first.  Assign None or a gradient of its shape."""
        return self._grad

    @grad.setter
    def grad(self, new: Operand | None) -> None:
        self._grad = None if new is None else self._fitting("grad", new)

    @property
    def shape(self) -> Shape:
        shape: Shape = self._data.shape
        return shape

    @property
    def ndim(self) -> int:
        return len(self._data.shape)

    @property
    def size(self) -> int:
        return int(self._data.size)

    @property
    def dtype(self) -> Any:
        return self._data.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by hand and not by a recorded operation."""
        return self.function is None

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self._data.size != 1:
            raise ValueError(f"item: the tensor has {self.size} elements, shape {self.shape}")
        return self._data.item()

    def numpy(self) -> npt.NDArray[Any]:
        """A copy as a NumPy array, which you may change."""
        return np.array(self._data)

    def detach(self) -> Tensor:
        """The same array without the graph: a constant to everything computed from it."""
        return constant(self._data, self.name)

    def __repr__(self) -> str:
        text = np.array2string(np.asarray(self._data), separator=", ", prefix="Tensor(")
        if self.dtype != np.float64 and self.dtype.kind == "f":
            text += f", dtype={self.dtype}"
        if self.function is not None:
            text += f", function={self.function.__name__}"
        elif self._requires_grad:
            text += ", requires_grad=True"
        return f"Tensor({text}{f', name={self.name!r}' if self.name else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.function is not None:
            raise TypeError(
                f"copy: this tensor is the result of {self.function.__name__} and part of a graph; "
                "copy .detach() of it"
            )
        state = (None, {"_grad": self._grad.detach()}) if self._grad is not None else None
        return type(self), (self._data, self._requires_grad, self.name), state

    # --- Backpropagation -------------------------------------------------------------------------

    def backward(self, gradient: Operand | None = None, create_graph: bool = False) -> None:
        """Add to `.grad` of every leaf the gradient of this tensor with respect to that leaf.

        gradient       what arrives here: a vector-Jacobian product is computed, vᵀJ.  It has this
                       tensor's shape, and may be left out for a single element, where it is 1.
        create_graph   record the computation of the gradients, so that they can be differentiated
                       (or drawn) in turn.

        Raises RuntimeError if no gradient flows here, ValueError for a gradient of another shape or
        a missing one, and StaleValueError if a tensor in the graph was given new data meanwhile.
        Then no `.grad` has changed.
        """
        if not self._requires_grad:
            raise RuntimeError(f"backward: {NO_GRADIENT}")
        arriving = self._arriving(gradient)
        if flag("backward: create_graph", create_graph):
            with Block(records=True):
                steps = sweep(in_graph(self), arriving, create_graph=True)
                accumulate([(leaf, g) for leaf, g in steps if leaf.function is None])
        else:
            steps = sweep(in_graph(self), arriving._data)
            accumulate([(leaf, constant(g)) for leaf, g in steps if leaf.function is None])

    def _arriving(self, gradient: Operand | None) -> Tensor:
        """The gradient that arrives at this tensor, checked."""
        if gradient is None:
            if self.size != 1:
                raise ValueError(
                    f"backward: a tensor of shape {self.shape} has no single derivative; reduce it "
                    "first, as in t.sum().backward(), or pass the gradient that arrives, "
                    f"t.backward(gradient) of shape {self.shape}"
                )
            return constant(self._data**0)  # 1, of the same shape, type and array library
        return self._fitting("backward", gradient)

    def _fitting(self, name: str, gradient: Operand) -> Tensor:
        """A gradient of this tensor's shape and type."""
        if not isinstance(gradient, Tensor):
            gradient = constant(owned_array(gradient, f"{name}: the gradient"))
        if gradient.shape != self.shape:
            raise ValueError(
                f"{name}: the gradient has shape {gradient.shape}, the tensor {self.shape}; "
                "they must be the same"
            )
        return gradient if gradient.dtype == self.dtype else gradient.astype(self.dtype)

    # --- Operators -------------------------------------------------------------------------------
    # fmt: off

    def __add__(self, other: Operand) -> Tensor: return apply(np.add, self, other)
    def __radd__(self, other: Operand) -> Tensor: return apply(np.add, other, self)
    def __sub__(self, other: Operand) -> Tensor: return apply(np.subtract, self, other)
    def __rsub__(self, other: Operand) -> Tensor: return apply(np.subtract, other, self)
    def __mul__(self, other: Operand) -> Tensor: return apply(np.multiply, self, other)
    def __rmul__(self, other: Operand) -> Tensor: return apply(np.multiply, other, self)
    def __truediv__(self, other: Operand) -> Tensor: return apply(np.divide, self, other)
    def __rtruediv__(self, other: Operand) -> Tensor: return apply(np.divide, other, self)
    def __matmul__(self, other: Operand) -> Tensor: return apply(np.matmul, self, other)
    def __rmatmul__(self, other: Operand) -> Tensor: return apply(np.matmul, other, self)
    def __rpow__(self, other: Operand) -> Tensor: return apply(np.power, other, self)
    def __neg__(self) -> Tensor: return apply(np.negative, self)
    def __pos__(self) -> Tensor: return self
    def __abs__(self) -> Tensor: return apply(np.abs, self)

    def __pow__(self, exponent: Operand) -> Tensor:
        if isinstance(exponent, (int, float)) and exponent == 2:
            return apply(np.square, self)  # what NumPy's own ** does: much faster than pow
        return apply(np.power, self, exponent)

    # Comparisons have no derivative: they give bare boolean arrays.
    def __lt__(self, other: Operand) -> Array: return compared(operator.lt, self, other)
    def __le__(self, other: Operand) -> Array: return compared(operator.le, self, other)
    def __gt__(self, other: Operand) -> Array: return compared(operator.gt, self, other)
    def __ge__(self, other: Operand) -> Array: return compared(operator.ge, self, other)
    def __eq__(self, other: object) -> Array: return compared(operator.eq, self, other)
    def __ne__(self, other: object) -> Array: return compared(operator.ne, self, other)
    __hash__ = object.__hash__

    # --- Functions of one variable ---------------------------------------------------------------

    def exp(self) -> Tensor: return apply(np.exp, self)
    def log(self) -> Tensor: return apply(np.log, self)
    def log1p(self) -> Tensor: return apply(np.log1p, self)
    def sqrt(self) -> Tensor: return apply(np.sqrt, self)
    def tanh(self) -> Tensor: return apply(np.tanh, self)
    def abs(self) -> Tensor: return apply(np.abs, self)
    # fmt: on

    # --- Reductions ------------------------------------------------------------------------------

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Σ x along an axis, several, or all (None); keepdims leaves size 1 there."""
        return apply(primitives.sum, self, axis=plain(axis), keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest elements; where several are equal they share the gradient."""
        return apply(primitives.max, self, axis=plain(axis), keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest elements; where several are equal they share the gradient."""
        return apply(primitives.min, self, axis=plain(axis), keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Σ x / n along the axis, where n elements come together."""
        return self.sum(axis, keepdims) / count_along(self._data.shape, axis)

    @composite
    def var(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Mean squared deviation from the mean; ddof=1 divides by n - 1 instead of n."""
        squares = (self - self.mean(axis, keepdims=True)) ** 2
        freedom = count_along(self.shape, axis) - number("var: ddof", ddof)
        return squares.sum(axis, keepdims) / max(freedom, 0.0)

    def argmax(self, axis: int | None = None) -> Array:
        """Where the largest element is: a bare array of integers, like a comparison."""
        try:
            return self._data.argmax(axis)
        except COMPLAINTS as error:
            raise explained(error, np.argmax, [self._data], {"axis": axis}) from error

    # --- Shapes, types and indices ---------------------------------------------------------------

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """`t.reshape(2, 3)` or `t.reshape((2, 3))`; one size may be -1."""
        shape = sizes("reshape: sizes", shape[0] if len(shape) == 1 else shape)
        return apply(primitives.reshape, self, shape=shape)

    def transpose(self, *axes: int | Sequence[int] | None) -> Tensor:
        """Reorder the axes; without arguments, reverse them."""
        order: Sequence[int] = range(self.ndim)[::-1]
        if axes and axes[0] is not None:
            order = sizes("transpose: axes", axes[0] if len(axes) == 1 else axes)
        counted = tuple(from_front("transpose", axis, self.ndim) for axis in order)
        return apply(primitives.transpose, self, axes=counted)

    @property
    def T(self) -> Tensor:  # noqa: N802
        return self.transpose()

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Exchange two axes."""
        i, j = (from_front("swapaxes", axis, self.ndim) for axis in (axis1, axis2))
        order = list(range(self.ndim))
        order[i], order[j] = j, i
        return self.transpose(order)

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """Another type; gradients flow back in the old one, and not at all through integers."""
        try:
            dtype = np.dtype(dtype)
        except COMPLAINTS as error:
            raise retold(error, "astype") from error
        if dtype.kind == "f":
            return apply(primitives.astype, self, dtype=dtype)
        if dtype.kind not in "biu":
            raise TypeError(f"astype: tensors hold real numbers or booleans, not {dtype}")
        return constant(self._data.astype(dtype))

    def __getitem__(self, index: Any) -> Tensor:
        return apply(primitives.getitem, self, index=frozen_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "assignment into a tensor is impossible, since graphs rely on its values; build a new "
            "one, e.g. np.where(mask, new, t) or np.concatenate(...), or replace t.data whole"
        )

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len: a tensor of shape () has no length")
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    # --- Python numbers --------------------------------------------------------------------------

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    # --- NumPy's protocols -----------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if self._requires_grad:
            raise TypeError(
                "this tensor would lose its gradient by turning into an array; say so with "
                ".detach() or .numpy(), or use a function that works on tensors"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    @property
    def _mask(self) -> Any:
        """What np.ma asks for in `masked * t`, where it takes `_data` and forgets the gradient."""
        if self._requires_grad:
            raise TypeError(
                "this tensor would lose its gradient in a masked array; use masked.filled(value)"
            )
        return np.ma.nomask

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NEP 13: np.exp(t), np.add(array, t), array * t, …"""
        if method != "__call__" or kwargs:
            what = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
            raise TypeError(f"{what}{keywords(kwargs)} is not supported on tensors")
        if ufunc in without_derivative:
            return compared(ufunc, *inputs)
        if ufunc not in table:
            raise no_rule(ufunc)
        return apply(ufunc, *inputs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """NEP 18: np.sum(t, axis=0), np.where(c, t, u), np.concatenate([t, u]), …"""
        if func in without_derivative:
            try:
                return func(*bare(args), **bare(kwargs))
            except COMPLAINTS as error:
                raise retold(error, f"np.{func.__name__}") from error
        if func not in array_functions:
            raise no_rule(func)
        implementation = array_functions[func]
        try:
            return implementation(*args, **kwargs)
        except TypeError as error:
            if re.search("keyword|positional", str(error)):
                raise TypeError(
                    f"np.{func.__name__}{keywords(kwargs)} is not supported on tensors: {error}"
                ) from None
            raise


# NumPy's functions that are no ufuncs, and what they call for tensors: see `arrays.py`.
array_functions: dict[Callable[..., Any], Callable[..., Any]] = {}

# Integer or boolean results carry no gradient: these see bare arrays and give bare arrays.
without_derivative: set[Callable[..., Any]] = {
    np.allclose, np.argmax, np.argmin, np.argsort, np.array_equal, np.equal, np.greater,
    np.greater_equal, np.isclose, np.isfinite, np.isinf, np.isnan, np.less, np.less_equal, np.ndim,
    np.not_equal, np.shape, np.signbit, np.size,
}  # fmt: skip


# --- Conversions ---------------------------------------------------------------------------------


def as_tensor(x: Operand) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)


def bare(x: Any) -> Any:
    """The array in a tensor, and in tensors inside tuples, lists and dictionaries."""
    if isinstance(x, Tensor):
        return x._data
    if isinstance(x, (tuple, list)):
        return type(x)(map(bare, x))
    return {key: bare(value) for key, value in x.items()} if isinstance(x, dict) else x


def as_float(x: Operand) -> Tensor:
    """A tensor of floats: integers and booleans become float64."""
    x = as_tensor(x)
    return x if x._data.dtype.kind == "f" else x.astype(np.float64)


def compared(compare: Callable[..., Array], *operands: object) -> Array:
    """What comparing the arrays gives: no tensor, since it has no derivative."""
    values = bare(operands)
    try:
        return compare(*values)
    except COMPLAINTS as error:
        raise explained(error, compare, values, {}) from error


def owned_array(data: Any, what: str) -> Array:
    """A numeric array that nobody else can change."""
    if isinstance(data, Tensor):
        return data._data
    if not isinstance(data, np.ndarray) and hasattr(data, "__array_function__"):
        return data.copy()  # another library's array: it stays what it is
    return numbers(what, data)


def plain(axis: Any) -> Any:
    """An axis that may be a NumPy array without axes as a number."""
    return axis.item() if type(axis) is np.ndarray and axis.ndim == 0 else axis


def count_along(shape: Shape, axis: Axis) -> int:
    """How many elements a reduction over `axis` takes together."""
    if axis is None:
        return prod(shape)
    return prod(shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))


def frozen_index(index: Any) -> Any:
    """An index that will stay as it is: with arrays of our own for lists, arrays and tensors."""
    if isinstance(index, tuple):
        return tuple(map(frozen_index, index))
    if isinstance(index, np.integer):
        return int(index)
    if isinstance(index, (list, np.ndarray, Tensor)):
        array = new_array("getitem: the index", bare(index))
        empty = isinstance(index, list) and array.size == 0  # NumPy makes an array of floats of it
        return array.astype(int) if empty else array
    return index
