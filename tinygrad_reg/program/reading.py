"""Passes for reading: simpler words for the same, up to rounding."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..primitives import kept
from .passes import Program, broadcasts, is_elementwise, without_dead_calls
from .recorder import Call, Method, Value, guard


def for_reading(program: Program) -> Program:
    """The program without decisions, and with simpler words for what rounds a little otherwise."""
    calls = [call for call in program.calls if call.function is not guard]
    program = Program(calls, program.inputs, program.outputs)
    passes = sums_and_means, kept_axes, truths, outer_signs, broadcasting, numbers
    for one_pass in (*passes, without_dead_calls):
        program = one_pass(program)
    return program


def changed(call: Call, function: Any, args: Any, options: Any) -> Call:
    """Another call for the same result."""
    new = call.copy(args, options)
    new.function = function
    return new


def sums_and_means(program: Program) -> Program:
    """The product of a row of equal numbers and a matrix is a sum, or a mean."""

    def new(call: Call) -> Any:
        if call.function is not np.matmul or not isinstance(call.args[0], np.ndarray):
            return call
        row, x = call.args
        if row.ndim != 1 or not isinstance(x, Value) or not np.all(row == row[0]):
            return call
        if row[0] == 1:
            return changed(call, Method("sum"), (x,), {"axis": 0})
        if np.isclose(row[0] * row.size, 1):
            return changed(call, Method("mean"), (x,), {"axis": 0})
        return call

    return program.replaced(new)


def kept_axes(program: Program) -> Program:
    """A sum that is then given its axes back, and an axis that is taken away, in one call."""
    made = {call.result: call for call in program.calls}
    users = program.users()

    def new(call: Call) -> Any:
        x = call.args[0] if call.args else None
        inner: Any = made.get(x) if isinstance(x, Value) else None
        if call.function != Method("reshape") or inner is None or not inner.inputs:
            return call
        if inner.function not in [Method(name) for name in ("sum", "max", "min", "mean")]:
            return call
        axis = inner.options.get("axis")
        shape = inner.args[0].shape
        alone = len(users[inner.result]) == 1
        if alone and not inner.options.get("keepdims") and kept(shape, axis) == call.result.shape:
            return changed(call, inner.function, inner.args, {"axis": axis, "keepdims": True})
        return call

    return program.replaced(new)


def truths(program: Program) -> Program:
    """Truths are numbers in a product."""
    users = program.users()

    def new(call: Call) -> Any:
        x = call.args[0] if call.args else None
        if (
            call.function == Method("astype")
            and isinstance(x, Value)
            and x.dtype == bool
            and all(user.function in (np.multiply, np.divide) for user in users[call.result])
            and all(
                any(isinstance(y, Value) and y is not call.result and y.dtype == call.result.dtype
                    for y in user.args)
                for user in users[call.result]
            )
        ):  # fmt: skip
            return x
        if call.function is np.multiply and "dtype" in call.options and x is not None:
            return changed(call, np.multiply, call.args, {})
        return call

    return program.replaced(new)


def outer_signs(program: Program) -> Program:
    """A sum of negative numbers is a negative sum."""
    made = {call.result: call for call in program.calls}
    users = program.users()
    calls = []
    for call in program.calls:
        x = call.args[0] if call.args else None
        inner = made.get(x) if isinstance(x, Value) else None
        sums = call.function == Method("sum") and inner is not None
        if sums and inner.function is np.negative and len(users[inner.result]) == 1:  # type: ignore[union-attr]
            total = changed(call, Method("sum"), inner.args, call.options)  # type: ignore[union-attr]
            total.result = Value(np.empty(call.result.shape, call.result.dtype), None, total)
            calls.append(total)
            call = changed(call, np.negative, (total.result,), {})
        calls.append(call)
    return Program(calls, program.inputs, program.outputs)


def broadcasting(program: Program) -> Program:
    """What only gives an array the shape that it gets in the next step anyway is left out."""
    users = program.users()

    def new(call: Call) -> Any:
        x = call.args[0] if call.args else None
        wider = call.function is np.broadcast_to
        if call.function is operator.getitem and isinstance(x, Value):
            index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
            axes = len(call.result.shape) - len(x.shape)
            whole = {repr(part) for part in index} <= {"None", "Ellipsis", repr(slice(None))}
            wider = whole and call.result.shape == (1,) * axes + x.shape
        used = users[call.result]
        if wider and used and all(broadcasts(user, call.result) for user in used):
            return x
        return call

    return program.replaced(new)


def numbers(program: Program) -> Program:
    """An array of equal numbers is a number, beside an array of the same shape."""

    def new(call: Call) -> Any:
        if not is_elementwise(call):
            return call
        args = [
            x.flat[0].item()
            if isinstance(x, np.ndarray) and x.size > 1 and np.all(x == x.flat[0])
            and broadcasts(call, x) else x
            for x in call.args
        ]  # fmt: skip
        return changed(call, call.function, tuple(args), call.options)

    return program.replaced(new)
