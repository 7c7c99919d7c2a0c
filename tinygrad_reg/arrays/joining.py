"""Functions that join arrays, take them apart, or put something at their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import errors, primitives
from ..attributes import bare
from ..blocks import composite
from ..more_primitives import at
from ..operators import Operand, axis_of, plain
from ..protocols import implements
from ..settings import check_list
from ..tensor import Tensor, apply, as_tensor
from .shapes import atleast_1d, atleast_2d, atleast_3d, expand_dims, moveaxis


@implements(np.concatenate)
def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Join along an axis that exists; with None, as flat arrays."""
    arrays = check_list("concatenate", "arrays to join", arrays)
    if axis is None:
        return concatenate([as_tensor(a).reshape(-1) for a in arrays])
    return apply(primitives.concatenate, *arrays, axis=plain(axis))


@implements(np.stack)
@composite
def stack(arrays: Sequence[Operand], axis: int = 0) -> Tensor:
    """Join along a new axis."""
    arrays = check_list("stack", "arrays to join", arrays)
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


@implements(np.vstack)
@composite
def vstack(tup: Sequence[Operand]) -> Tensor:
    """Join along the first axis, vectors as rows."""
    return concatenate([atleast_2d(a) for a in check_list("vstack", "arrays to join", tup)])


@implements(np.hstack)
@composite
def hstack(tup: Sequence[Operand]) -> Tensor:
    """Join along the second axis, vectors along their only one."""
    tensors = [atleast_1d(a) for a in check_list("hstack", "arrays to join", tup)]
    return concatenate(tensors, axis=0 if tensors[0].ndim == 1 else 1)


@implements(np.dstack)
@composite
def dstack(tup: Sequence[Operand]) -> Tensor:
    """Join along the third axis."""
    return concatenate([atleast_3d(a) for a in check_list("dstack", "arrays to join", tup)], axis=2)


@implements(np.column_stack)
@composite
def column_stack(tup: Sequence[Operand]) -> Tensor:
    """Join along the second axis, vectors as columns."""
    tensors = [as_tensor(a) for a in check_list("column_stack", "arrays to join", tup)]
    return concatenate([x.reshape(-1, 1) if x.ndim < 2 else x for x in tensors], axis=1)


@implements(np.append)
@composite
def append(arr: Operand, values: Operand, axis: int | None = None) -> Tensor:
    """Join two arrays; without an axis, as flat arrays."""
    return concatenate([arr, values], axis)


# --- Parts ---------------------------------------------------------------------------------------


def parts(function: Callable[..., Any], ary: Operand, sections: Any, axis: int) -> list[Tensor]:
    """The parts along an axis into which a function of NumPy divides a line of that length."""
    x, sections = as_tensor(ary), bare(sections)
    axis = axis_of(function.__name__, x.shape, axis)
    try:
        stretches = function(np.arange(x.shape[axis]), sections)
    except (*errors.NUMPY_ERRORS, ZeroDivisionError) as error:
        options = {"indices_or_sections": sections, "axis": axis}
        raise errors.explained(error, function, [x], options) from error
    slices = [slice(s[0], s[-1] + 1) if len(s) else slice(0, 0) for s in map(list, stretches)]
    return [x[at(axis, part)] for part in slices]


@implements(np.split)
@composite
def split(ary: Operand, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts along an axis: so many of equal size, or those that end at these indices."""
    return parts(np.split, ary, indices_or_sections, axis)


@implements(np.array_split)
@composite
def array_split(ary: Operand, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts along an axis: so many of nearly equal size, or those that end at these indices."""
    return parts(np.array_split, ary, indices_or_sections, axis)


@implements(np.vsplit)
@composite
def vsplit(ary: Operand, indices_or_sections: Any) -> list[Tensor]:
    """Parts along the first axis."""
    return parts(np.split, with_axes("vsplit", ary, 2), indices_or_sections, 0)


@implements(np.hsplit)
@composite
def hsplit(ary: Operand, indices_or_sections: Any) -> list[Tensor]:
    """Parts along the second axis, or of a vector along its only one."""
    x = with_axes("hsplit", ary, 1)
    return parts(np.split, x, indices_or_sections, min(1, x.ndim - 1))


@implements(np.dsplit)
@composite
def dsplit(ary: Operand, indices_or_sections: Any) -> list[Tensor]:
    """Parts along the third axis."""
    return parts(np.split, with_axes("dsplit", ary, 3), indices_or_sections, 2)


def with_axes(name: str, ary: Operand, n: int) -> Tensor:
    """A tensor of n axes or more."""
    x = as_tensor(ary)
    if x.ndim < n:
        raise ValueError(f"{name}: the array must have {n} axes or more, but has shape {x.shape}")
    return x


@implements(np.unstack)
@composite
def unstack(x: Operand, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts along an axis, without that axis."""
    return tuple(moveaxis(x, axis, 0))
