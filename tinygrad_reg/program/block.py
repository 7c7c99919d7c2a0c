"""Blocks: arrays of the state that programs own, so that they can be written in place."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .state import Place, TensorPlace


class Block:
    """Arrays of the state that are ours, one beside the other in a block of memory.

    If somebody else holds one of them, as `t.data` does, they get a new block, and what is held
    does not change any more.

    Attributes
    ----------
    array
        The whole block; the array itself, if there is one only.
    parts
        The arrays.
    counts
        How many references there are to the block and to each array, if nobody else holds them.
    """

    def __init__(self) -> None:
        self.array: Any = None
        self.parts: list[Any] = []
        self.counts: list[int] = []

    def take(self, places: list[Place]) -> None:
        """Move the arrays at these places into the block, unless they are there."""
        arrays = [place.get() for place in places]
        is_ours = bool(self.parts) and self.is_alone(places)
        moved = [x for x, part in zip(arrays, self.parts) if x is not part]
        if is_ours and not moved:
            return
        if not is_ours or any(np.may_share_memory(x, self.array) for x in moved):
            self.make(arrays)
        whole = self.writeable()
        if len(arrays) == 1:
            np.copyto(whole, arrays[0])
        else:
            np.concatenate([array.ravel() for array in arrays], out=whole)
        for place, part in zip(places, self.parts):
            place.put(part)

    def make(self, arrays: list[Any]) -> None:
        """Make a new block for arrays like these."""
        if len(arrays) == 1:
            self.array = np.empty_like(arrays[0])
            self.parts = [self.array]
        else:
            self.array = np.empty(sum(array.size for array in arrays), arrays[0].dtype)
            ends = np.cumsum([array.size for array in arrays])
            self.parts = [
                self.array[end - array.size : end].reshape(array.shape)
                for end, array in zip(ends, arrays)
            ]

    def is_alone(self, places: list[Place]) -> bool:
        """Tell whether nobody else looks at the arrays."""
        if not isinstance(places[0], TensorPlace):
            return True
        now = [sys.getrefcount(self.array)]
        now += [sys.getrefcount(self.parts[i]) for i in range(len(self.parts))]
        return all(a <= b for a, b in zip(now, self.counts))

    def writeable(self) -> Any:
        """A view of the block to write into; whoever looks at `t.data` makes it read-only."""
        self.array.flags.writeable = True
        return self.array.view()
