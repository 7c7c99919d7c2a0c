"""One block of memory for all results: those not needed at the same time share a place.

While the code is written, an arena notes from when to when each result is needed.  Then it lays
them out: the largest first, each as far to the front as it can go ("greedy by size", Pisarchyk &
Lee 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from .recorder import Value

ALIGNED = 64  # bytes: a line of the cache


@dataclass(eq=False)
class Stretch:
    """A stretch of the block, used from the first to the last of these times."""

    nbytes: int
    first: int
    last: float = inf
    start: int = 0

    @property
    def end(self) -> int:
        return self.start + self.nbytes


class Arena:
    """A block of memory, and who has which stretch of it.

    Attributes
    ----------
    places
        For each value that has, or had, a place: the stretch, and how far inside it.
    """

    def __init__(self) -> None:
        self.places: dict[Value, tuple[Stretch, int]] = {}
        self.stretches: list[Stretch] = []

    def place(self, owner: Value, time: int) -> None:
        """Give a value a stretch of its own, from this time on."""
        nbytes = -(-owner.nbytes // ALIGNED) * ALIGNED
        self.stretches.append(Stretch(nbytes, time))
        self.places[owner] = self.stretches[-1], 0

    def put_inside(self, part: Value, owner: Value, offset: int) -> None:
        """Give a value a place inside that of another."""
        self.places[part] = self.places[owner][0], offset

    def hand_on(self, owner: Value, heir: Value) -> None:
        """Let a value be written over another that nobody needs any more."""
        self.places[heir] = self.places.pop(owner)

    def free(self, owner: Value, time: int) -> None:
        """Nobody needs this value after this time."""
        if owner in self.places:
            self.places[owner][0].last = time

    def array(self, owner: Value) -> tuple[Any, ...]:
        """What tells the array of a value from others: its place, shape, type and strides."""
        return *self.places[owner], owner.shape, owner.dtype, owner.strides

    def lay_out(self) -> int:
        """Find a place for each stretch; give the length of the block."""
        done: list[Stretch] = []
        for stretch in sorted(self.stretches, key=lambda one: -one.nbytes):
            others = [x for x in done if x.first <= stretch.last and stretch.first <= x.last]
            stretch.start = 0
            for other in sorted(others, key=lambda one: one.start):
                if other.start - stretch.start >= stretch.nbytes:
                    break
                stretch.start = max(stretch.start, other.end)
            done.append(stretch)
        return max((stretch.end for stretch in done), default=0)

    def made(self, arrays: dict[tuple[Any, ...], str]) -> tuple[dict[str, Any], int]:
        """The arrays by name, and the number of bytes of the block in which they are."""
        block = np.empty(self.lay_out() + ALIGNED, np.uint8)
        shift = -block.ctypes.data % ALIGNED
        views = {
            name: np.ndarray(shape, dtype, block, shift + stretch.start + offset, strides)
            for (stretch, offset, shape, dtype, strides), name in arrays.items()
        }
        return views, block.nbytes


def dense(value: Value) -> bool:
    """Tell whether an array has no gaps in memory, in whatever order its axes are."""
    expected = value.dtype.itemsize
    for n, stride in sorted(zip(value.shape, value.strides), key=lambda pair: (pair[1], pair[0])):
        if n != 1 and stride != expected:
            return False
        expected *= n
    return True


def in_order(value: Value) -> bool:
    """Tell whether an array has its axes in their order in memory, as a new one has."""
    return bool(value.strides == np.empty(value.shape, value.dtype).strides)
