"""The health of a network at a glance: colours for the sizes of gradients, and flags.

The size of a gradient is its root mean square, √(Σg² / n), so that large and small arrays compare.
It is taken of the drawn result, whose own gradient is 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from .numbers import Numbers

VANISHING, EXPLODING = 1e-8, 1e3

# ColorBrewer's RdYlBu (Brewer 2002), safe for colour-blind eyes: blue is small, pale is what most
# networks have, red is large.  One colour for each power of ten.
COLOURS = (
    "#313695", "#4575b4", "#74add1", "#abd9e9", "#e0f3f8",
    "#ffffbf",
    "#fee090", "#fdae61", "#f46d43", "#d73027", "#a50026",
)  # fmt: skip
DARK = 0, 1, 9, 10  # the ink on these is white
FIRST = -7  # log₁₀ of the first; what is beyond an end takes the end's colour
NONE, ZERO, NOT_FINITE = "#ffffff", "#c8c8c8", "#d8a6ff"


def colours(gradient: Numbers | None, value: Numbers | None = None) -> tuple[str, str]:
    """(fill, ink) of a node with this gradient, and this value."""
    if any(x is not None and not x.finite for x in (gradient, value)):
        return NOT_FINITE, "#000000"
    if gradient is None or 0 in gradient.shape:
        return NONE, "#000000"
    if gradient.rms == 0:
        return ZERO, "#000000"
    step = min(max(math.floor(math.log10(gradient.rms)) - FIRST, 0), len(COLOURS) - 1)
    return COLOURS[step], ink(step)


def legend(used: Collection[str] = ()) -> list[tuple[str, str, str]]:
    """(text, fill, ink) of each colour, or of those from the smallest to the largest in use."""
    scale = [(f"1e{FIRST + i}", fill, ink(i)) for i, fill in enumerate(COLOURS)]
    scale[0] = f"< 1e{FIRST + 1}", *scale[0][1:]
    scale[-1] = f"≥ {scale[-1][0]}", *scale[-1][1:]
    apart = [("0", ZERO, "#000000"), ("NaN, ∞", NOT_FINITE, "#000000")]
    if used:
        inside = [i for i, (_, fill, _) in enumerate(scale) if fill in used]
        scale = scale[inside[0] : inside[-1] + 1] if inside else []
        apart = [cell for cell in apart if cell[1] in used]
    return sorted(apart + scale, key=lambda cell: (cell[1] == NOT_FINITE, cell[1] != ZERO))


def ink(step: int) -> str:
    """The colour of text on a colour."""
    return "#ffffff" if step in DARK else "#000000"


def flags(value: Numbers, gradient: Numbers | None, sizes: bool = True) -> list[str]:
    """What is alarming about a node, in words; whether the gradient's size is, too."""
    found = []
    for what, x in (("value", value), ("gradient", gradient)):
        if x is not None and not x.finite:
            found.append(f"{'NaN' if math.isnan(x.low) else 'infinite'} {what}")
    if sizes and gradient is not None and gradient.finite and 0 not in gradient.shape:
        if gradient.rms == 0:
            found.append("zero gradient")
        elif gradient.rms < VANISHING:
            found.append("vanishing gradient")
        elif gradient.rms > EXPLODING:
            found.append("exploding gradient")
    return found


def dead_units(activation: npt.NDArray[Any]) -> str | None:
    """Which units of a relu let no gradient through, for any example: those that gave only 0.

    Units are along the last axis, examples along the others; a vector is one example, and dead if
    nothing of it is alive.
    """
    alive = ~(np.asarray(activation) <= 0)  # NaN is not dead, but has a flag of its own
    if alive.size == 0 or (alive.ndim < 2 and alive.any()):
        return None
    units = alive.reshape(-1, alive.shape[-1] if alive.ndim else 1)
    dead = int(np.count_nonzero(~units.any(axis=0)))
    return f"dead: {dead} of {units.shape[1]} units" if dead else None
