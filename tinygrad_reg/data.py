"""The array that `t.data` gives: a view that nobody can write to.

`p.data -= lr * p.grad` works all the same: where NumPy would write into the array, the tensor gets
a new one.  An older view does not show that, and cannot change the tensor any more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .primitives import records_calls

SIGNS: dict[Any, str] = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}


class Data(np.ndarray[Any, np.dtype[Any]]):
    """A read-only view of a tensor's array.  What is computed from it are ordinary arrays."""

    owner: Any  # the tensor; None for a part or a copy of a view

    def __array_finalize__(self, base: Any) -> None:
        self.owner = None

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] = (), **kwargs: Any
    ) -> Any:
        with_tensor = any(map(records_calls, inputs))
        if any(isinstance(x, Data) and not x.flags.writeable for x in out):
            if self.owner is None or not with_tensor or inputs[0] is not self:
                raise ValueError(read_only_error(SIGNS.get(ufunc, "-")))
            if self.size > 0 and not np.may_share_memory(self, self.owner._array):
                raise ValueError(
                    "this view shows data that the tensor no longer has, since that was replaced "
                    "meanwhile; take the view anew, view = p.data, or write p.data itself"
                )
            self.owner.data = ufunc(np.asarray(self), *inputs[1:], **kwargs)
            return self.owner.data
        if with_tensor:
            return NotImplemented  # so NumPy asks the tensor
        if out:
            kwargs["out"] = tuple(map(ordinary, out))
        return getattr(ufunc, method)(*map(ordinary, inputs), **kwargs)

    def __setitem__(self, index: Any, value: Any) -> None:
        if not self.flags.writeable:
            raise ValueError(read_only_error("-"))
        super().__setitem__(index, value)

    def __repr__(self) -> str:
        return repr(np.asarray(self))


def ordinary(x: Any) -> Any:
    """A view as an array of NumPy's own class."""
    return np.asarray(x) if isinstance(x, Data) else x


def read_only_error(sign: str) -> str:
    """The text of the error for writing into a tensor's array."""
    return (
        "data of a tensor is read-only, since graphs rely on its values; replace it whole: write "
        f"p.data = p.data {sign} … for p.data {sign}= …, or change a copy, a = p.numpy(), and "
        "assign that, p.data = a"
    )
