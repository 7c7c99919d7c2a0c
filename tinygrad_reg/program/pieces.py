"""A pass: sums of arrays that are zero but for a part.

The gradient of x[i] is such an array, and where many parts of x were used, as the time steps of a
sequence or the windows of a convolution, the engine adds up as many of them.  In a program each
part is added to one array, in place.

That is the same to the last bit, and to the sign of zero: a sum of zeros is -0 only if all of them
are.  So it starts from -0, to which everything can be added unchanged, and +0 is added at the end
where not all parts meet.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .passes import Program
from .recorder import Call, Value, Writing, add_part, is_uniform

SET_PART = Writing(operator.setitem)
ADD_PART = Writing(add_part)

Index = tuple[slice, ...]


def in_pieces(program: Program, exact: bool = True) -> Program:
    """Add parts to one array, where the engine adds arrays that are zero elsewhere.

    Unless the program is only to be read, the signs of zeros are kept.
    """
    users, outputs = program.users(), program.results
    parts: dict[Any, Call] = {}
    sums: dict[Any, list[tuple[Value, Call]]] = {}  # the parts in a value, and where each is added

    for call in program.calls:
        if is_part(call):
            parts[call.result] = call
        elif call.function is np.add and not call.options and not call.errors:
            x, y = call.args
            if not all(isinstance(z, Value) and users[z] == [call] for z in call.args):
                continue
            x, y = (y, x) if y in sums else (x, y)
            if y in parts and (x in sums or x in parts) and not outputs.intersection(call.args):
                before = sums.pop(x, None) or [(call.result, parts[x])]
                sums[call.result] = [*before, (call.result, parts[y])]

    steps: dict[Value, list[Call]] = {}
    for total, added in sums.items():
        start, corrections = start_and_end([x for _, x in added]) if exact else (0.0, [])
        if start is None:
            continue
        x = np.full(total.shape, start, total.dtype)
        todo = [(at, part, part.args[1:]) for at, part in added]
        todo += [(total, added[-1][1], (index, 0.0)) for index in corrections]
        for at, part, rest in todo:
            step = part.copy((x, *rest), {})
            step.function = ADD_PART
            step.result = x = Value(np.empty(total.shape, total.dtype), None, step)
            steps.setdefault(at, []).append(step)
        step.result, total.call = total, step
        for _, part in added:
            steps[part.result] = []
    calls = [one for call in program.calls for one in steps.get(call.result, [call])]
    return Program(calls, program.inputs, program.outputs)


def is_part(call: Call) -> bool:
    """Tell whether a part of zeros is set."""
    if call.function != SET_PART or not isinstance(call.args[0], np.ndarray):
        return False
    zeros = call.args[0]
    is_zero = is_uniform(zeros) and zeros.tobytes() == bytes(zeros.nbytes)
    return is_zero and ranges(call.args[1], zeros.shape) is not None


def ranges(index: Any, shape: tuple[int, ...]) -> list[range] | None:
    """What an index names along each axis; None unless it consists of slices."""
    parts = index if isinstance(index, tuple) else (index,)
    if sum(part is ... for part in parts) > 1:
        return None
    if ... in parts:
        i = parts.index(...)
        parts = (*parts[:i], *[slice(None)] * (len(shape) - len(parts) + 1), *parts[i + 1 :])
    parts = (*parts, *[slice(None)] * (len(shape) - len(parts)))
    if not all(isinstance(part, slice) for part in parts):
        return None
    return [range(n)[part] for n, part in zip(shape, parts)]


def start_and_end(parts: list[Call]) -> tuple[float | None, list[Index]]:
    """The zero to start from, and where to add +0 at the end; None if that is hard to say."""
    shape = parts[0].result.shape
    places = [ranges(call.args[1], shape) or [] for call in parts]
    common = [sorted(set(axes[0]).intersection(*axes[1:])) for axes in zip(*places)]
    if not all(common) or parts[0].result.dtype.kind != "f":
        return 0.0, []
    if any(axis[-1] - axis[0] >= len(axis) for axis in common):
        return None, []
    corrections = []
    for i, (axis, n) in enumerate(zip(common, shape)):
        inside = [slice(other[0], other[-1] + 1) for other in common[:i]]
        for outside in (slice(0, axis[0]), slice(axis[-1] + 1, n)):
            if outside.start < outside.stop:
                corrections.append((*inside, outside))
    return -0.0, corrections
