"""The attributes of tensors: the array and its shape, the name, whether a gradient is wanted.

This file knows no `Tensor`; it is a base class of it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from weakref import ref

import numpy as np
import numpy.typing as npt

from .checks import (
    check_bool,
    check_differentiable,
    check_leaf,
    check_same_shape,
    new_numeric_array,
)
from .data import Data
from .errors import lost_gradient, name_of, shown
from .graph import Node, next_number
from .nested import tree_map
from .primitives import Array, Shape
from .scope import here


class Attributes:
    """An array, its node, and what can be seen and set of them."""

    __slots__ = ("__weakref__", "_array", "node")

    _array: Array
    node: Node

    # --- The array -------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The array, read-only.

        Assign a new array of the same shape to replace it; it is copied, and takes the tensor's
        type if that is a float type.  `p.data -= t` with a tensor t does the same.  Only leaves can
        be given new data.  A graph that was recorded with the old data can no longer be
        differentiated: `backward` raises `StaleValueError`.
        """
        array = read_only(self._array)
        if not isinstance(array, np.ndarray):
            return array.view() if hasattr(array, "view") else array
        view = array.view(Data)
        view.owner = self
        return view

    @data.setter
    def data(self, new: Any) -> None:
        check_leaf("data", self.node.function, "only a leaf, made by hand, can be given new data")
        array = own_array("data: the new array", new)
        remedy = "make a new Tensor for another shape"
        check_same_shape("data: the new array", array.shape, self.shape, remedy)
        if self.requires_grad:
            check_differentiable(array.dtype)
        self.replace(array.astype(self.dtype, copy=False) if self.dtype.kind == "f" else array)

    def replace(self, array: Array) -> None:
        """`data = array` for optimizers: unchecked, and without a copy."""
        self._array = self.node.value = array
        self.node.replaced = next_number()

    @property
    def shape(self) -> Shape:
        """The number of elements along each axis."""
        shape: Shape = self._array.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._array.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self._array.size)

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self._array.dtype

    def item(self) -> Any:
        """The only element, as a Python number.

        In a training loop write `losses.append(loss.item())`: a list of tensors would keep the
        graphs of all steps.
        """
        if self._array.size != 1:
            raise ValueError(f"item: the tensor has {self.size} elements, shape {self.shape}")
        return self._array.item()

    def numpy(self) -> npt.NDArray[Any]:
        """A copy as a NumPy array, which you may change."""
        return np.array(self._array)

    # --- The node --------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """What pictures call it."""
        return self.node.name

    @name.setter
    def name(self, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Tensor: the name must be text, not {shown(name)}")
        self.node.name = name

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow here.  It can be changed for leaves only."""
        return self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        remedy = "it passes gradients on; use .detach() for one that does not"
        check_leaf("requires_grad", self.node.function, remedy)
        wanted = check_bool("Tensor: requires_grad", wanted)
        if wanted:
            check_differentiable(self.dtype)
        self.node.requires_grad = wanted

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self.node.function is None

    def __repr__(self) -> str:
        text = np.array2string(np.asarray(self._array), separator=", ", prefix="Tensor(")
        if self.dtype != np.float64 and self.dtype.kind == "f":
            text += f", dtype={self.dtype}"
        if self.node.function is not None:
            text += f", function={name_of(self.node.function)}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"Tensor({text}{f', name={self.name!r}' if self.name else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        remedy = "it is part of a graph; copy .detach() of it"
        check_leaf("copy", self.node.function, remedy, TypeError)
        state = None if self.node.grad is None else (None, {"grad": bare(self.node.grad)})
        return type(self), (self._array, self.requires_grad, self.name), state

    def _stay_in_graph(self, what: str) -> None:
        """Refuse a conversion that would lose a gradient; under `no_grad` nothing wants one."""
        if self.node.requires_grad and here().records:
            raise lost_gradient(what)


def own_array(what: str, data: Any) -> Array:
    """A numeric array that nothing else can change; another library's array as it is."""
    if isinstance(data, Attributes):
        data._stay_in_graph(what)
        return data._array
    if not isinstance(data, np.ndarray) and hasattr(data, "__array_function__"):
        return data.copy()  # another library's array: it stays what it is
    return new_numeric_array(what, data)


def weak(x: Any, others: Collection[Any]) -> Any:
    """A NumPy float, as a Python number if it meets a tensor of floats, whose type it then keeps.

    NumPy alone would make float64 of float32 * np.sqrt(2).
    """
    meets_floats = any(isinstance(t, Attributes) and t.dtype.kind == "f" for t in others)
    return float(x) if meets_floats and x.itemsize <= 8 else x


def reference(x: Any) -> Any:
    """A weak reference to an array, the same one each time; None for lists and numbers."""
    try:
        return ref(x)
    except TypeError:
        return None


def read_only(array: Array) -> Array:
    """A view of an array that neither itself nor through its bases can be made writeable."""
    if not isinstance(array, (np.ndarray, np.generic)):
        return array
    view = np.asarray(array)
    owner: Any = view
    while isinstance(owner, np.ndarray):
        owner.flags.writeable = False
        owner = owner.base
    return view.view()


def bare(x: Any) -> Any:
    """The array in a tensor, and in tensors inside tuples, lists and dictionaries."""
    return tree_map(lambda leaf: leaf._array if isinstance(leaf, Attributes) else leaf, x)
