"""One block of memory for all results: those not needed at the same time share a place."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .recorder import Value

ALIGNED = 64  # bytes: a line of the cache


class Arena:
    """The block, and who is where at this point of the program.

    Attributes
    ----------
    places
        For each value that has, or had, a place: where it starts.
    size
        The length of the block, in bytes.
    """

    def __init__(self) -> None:
        self.places: dict[Value, int] = {}
        self.size = 0
        self.taken: list[tuple[int, int, Value]] = []  # start, end and whose it is

    def place(self, owner: Value) -> None:
        """Give a value the smallest free stretch that is long enough."""
        nbytes = -(-prod(owner.shape) * owner.dtype.itemsize // ALIGNED) * ALIGNED
        gaps, end = [], 0
        for start, stop, _ in sorted(self.taken, key=lambda stretch: stretch[0]):
            if start - end >= nbytes:
                gaps.append((start - end, end))
            end = max(end, stop)
        start = min(gaps)[1] if gaps else end
        self.taken.append((start, start + nbytes, owner))
        self.size = max(self.size, start + nbytes)
        self.places[owner] = start

    def put_inside(self, part: Value, owner: Value, offset: int) -> None:
        """Give a value a place inside that of another."""
        self.places[part] = self.places[owner] + offset

    def hand_on(self, owner: Value, heir: Value) -> None:
        """Let a value be written over another that nobody needs any more."""
        self.taken = [(a, b, heir if who is owner else who) for a, b, who in self.taken]
        self.places[heir] = self.places[owner]

    def free(self, owner: Value) -> None:
        """Nobody needs this value any more."""
        self.taken = [stretch for stretch in self.taken if stretch[2] is not owner]

    def arrays(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Make the block, and the arrays in it: by name, of a start, shape, type and strides."""
        block = np.empty(self.size + ALIGNED, np.uint8)
        shift = -block.ctypes.data % ALIGNED
        arrays = {
            name: np.ndarray(shape, dtype, block, start + shift, strides)
            for name, (start, shape, dtype, strides) in wanted.items()
        }
        return arrays, block.nbytes


def dense(value: Value) -> bool:
    """Tell whether an array has no gaps in memory, in whatever order its axes are."""
    expected = value.dtype.itemsize
    for n, stride in sorted(zip(value.shape, value.strides), key=lambda pair: (pair[1], pair[0])):
        if n != 1 and stride != expected:
            return False
        expected *= n
    return True
