"""Passes: small functions from a program to a simpler one that computes the same, bit for bit."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..nested import tree_leaves, tree_map
from .recorder import Call, Draw, Method, Value, guard, is_array, shape_of


@dataclass
class Program:
    """A list of calls, and what they are for.

    Attributes
    ----------
    calls
        In an order in which they can be computed.
    inputs
        Arguments and parts of the state, by name.
    outputs
        The results, and the new values of parts of the state, by name: values or constants.
    """

    calls: list[Call]
    inputs: dict[str, Value]
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def results(self) -> set[Value]:
        """The values among the outputs."""
        return {x for x in tree_leaves(self.outputs) if isinstance(x, Value)}

    def users(self) -> dict[Value, list[Call]]:
        """The calls that use a value."""
        users = defaultdict(list)
        for call in self.calls:
            for value in dict.fromkeys(call.inputs):
                users[value].append(call)
        return users

    def replaced(self, new: Callable[[Call], Any]) -> Program:
        """The program with other calls, or with something else in the place of their results.

        Parameters
        ----------
        new
            Is told each call, with arguments that are replaced already, and gives a call, whose
            result may be another value, or what stands for the result: a value, or a constant.
        """
        known: dict[Any, Any] = {}
        calls = []

        def current(x: Any) -> Any:
            return known.get(x, x) if isinstance(x, Value) else x

        for old in self.calls:
            call = old.copy(tree_map(current, old.args), tree_map(current, old.options))
            found = new(call)
            if isinstance(found, Call):
                calls.append(found)
                found = found.result
            if found is not old.result:
                known[old.result] = found
        outputs = {name: current(x) for name, x in self.outputs.items()}
        return Program(calls, self.inputs, outputs)


SAME_FOR_ALL: set[Any] = {np.empty_like, np.zeros_like, np.ones_like}


def constants(program: Program) -> Program:
    """Compute what depends on no input: once, and not in each run."""

    def new(call: Call) -> Any:
        x: Any = call.args[0] if call.args else None
        if call.function in SAME_FOR_ALL:
            return filled(call.result, 1 if call.function is np.ones_like else 0)
        if call.function is operator.pow and is_number(call.args[1], 0) and x.dtype is not None:
            return filled(call.result, 1)
        if call.function is shape_of and isinstance(x, np.ndarray):
            return x.shape
        if call.inputs or call.function is guard or isinstance(call.function, Draw):
            return call
        return call.function(*call.args, **call.options)

    return program.replaced(new)


def filled(value: Value, number: int) -> Any:
    """An array of equal numbers, or one of them, as the result of a call would be."""
    array = np.ndarray(value.shape, value.dtype, strides=value.strides)
    array.fill(number)
    return array if value.type is np.ndarray else array[()]


# If the result has the shape, type and strides of the argument, it is the same.
GIVE_BACK = {
    Method("reshape"), Method("transpose"), Method("astype"), np.array, np.positive, operator.pos,
}  # fmt: skip


def identities(program: Program) -> Program:
    """Leave out what gives its argument back: x * 1, x / 1, a reshape to the same shape."""

    def new(call: Call) -> Any:
        x, y = (*call.args, None, None)[:2]
        one_first = call.function is np.multiply and is_one(x, y)
        if one_first:
            x, y = y, x
        if not isinstance(x, Value) or (x.shape, x.dtype) != (call.result.shape, call.result.dtype):
            return call
        if call.function in (np.multiply, np.divide, operator.mul, operator.truediv):
            same = (one_first or is_one(y, x)) and not call.options
        else:
            same = call.function in GIVE_BACK
        alike = x.type is call.result.type and x.strides == call.result.strides
        return x if same and alike else call

    return program.replaced(new)


def is_number(x: Any, number: float) -> bool:
    """Tell whether x is this Python number."""
    return type(x) in (int, float) and x == number


def is_one(x: Any, other: Any) -> bool:
    """Tell whether a factor x changes nothing of another."""
    if isinstance(x, (np.ndarray, np.generic)) and isinstance(other, Value):
        return bool(np.all(x == 1))
    return is_number(x, 1)


def common_calls(program: Program) -> Program:
    """Compute the same call of the same arguments once."""
    known: dict[Any, Value] = {}

    def new(call: Call) -> Any:
        if call.function is guard or isinstance(call.function, Draw):
            return call
        details = tree_map(identity, (call.args, call.options))
        key = call.function, repr(details), tuple(call.errors.items())
        if key in known:
            return known[key]
        known[key] = call.result
        return call

    return program.replaced(new)


def identity(x: Any) -> Any:
    """What tells a value or an array from others."""
    return ("id", id(x)) if isinstance(x, (Value, np.ndarray)) else (type(x).__name__, x)


def is_elementwise(call: Call) -> bool:
    """Tell whether each element of the result comes from the elements at its place."""
    return isinstance(call.function, np.ufunc) and not call.function.signature


def broadcasts(call: Call, x: Any) -> bool:
    """Tell whether an argument is broadcast to the shape of the result, if it is smaller."""
    others = [y for y in call.args if y is not x]
    same = [isinstance(y, Value) and y.shape == call.result.shape for y in others]
    return is_elementwise(call) and any(same)


def rows(program: Program) -> Program:
    """Scale a row by a number where it was scaled by a column of equal numbers.

    A product of a constant column 1/n and a row is n times the same row.  Where all that use it
    broadcast it anyway, one row will do: so the backward pass of a mean over examples.
    """
    users = program.users()

    def new(call: Call) -> Any:
        x, y = (*call.args, None, None)[:2]
        if (
            call.function is np.multiply
            and isinstance(x, np.ndarray)
            and x.size > 1
            and isinstance(y, Value)
            and y.dtype == x.dtype == call.result.dtype
            and np.broadcast_shapes(y.shape, (1,) * x.ndim) == y.shape != call.result.shape
            and (x == x.flat[0]).all()
            and call.result not in program.results
            and users[call.result]
            and all(broadcasts(user, call.result) for user in users[call.result])
        ):
            row = call.copy((x.flat[0], y), call.options)
            row.result = Value(np.empty(y.shape, y.dtype), call.result.name, row)
            return row
        return call

    return program.replaced(new)


def without_dead_calls(program: Program) -> Program:
    """Leave out what nobody uses; draws stay, as generators must go on."""
    needed = program.results
    calls = []
    for call in reversed(program.calls):
        if call.result in needed or call.function is guard or isinstance(call.function, Draw):
            calls.append(call)
            needed.update(call.inputs)
    return Program(calls[::-1], program.inputs, program.outputs)


def without_certain_guards(program: Program) -> Program:
    """Leave out guards on constants, and those that stand there twice."""
    seen: set[Any] = set()

    def new(call: Call) -> Any:
        if call.function is not guard:
            return call
        value, outcome = call.args
        key = value, repr(outcome)
        if not isinstance(value, Value) or key in seen:
            return None
        seen.add(key)
        return call

    return program.replaced(new)


def guards_first(program: Program) -> Program:
    """Compute first what guards depend on, so that nothing is written before all have passed.

    Draws stay in their order.
    """
    made = {call.result: call for call in program.calls}
    before: dict[Call, Call] = {}
    last: dict[Any, Call] = {}
    for call in program.calls:
        if isinstance(call.function, Draw):
            if call.args[0] in last:
                before[call] = last[call.args[0]]
            last[call.args[0]] = call
    first: dict[Call, None] = {}
    for call in program.calls:
        if call.function is guard:
            stack = [call]
            while stack:
                one = stack.pop()
                if one not in first:
                    first[one] = None
                    stack += [made[x] for x in one.inputs if x in made]
                    stack += [before[one]] if one in before else []
    early = [call for call in program.calls if call in first]
    late = [call for call in program.calls if call not in first]
    return Program(early + late, program.inputs, program.outputs)


def sooner(program: Program) -> Program:
    """Compute a small result as soon as that lets go of large arrays, and not where it is used.

    So relu's mask, a byte per unit, is there before the units are forgotten.
    """
    position = {call.result: i for i, call in enumerate(program.calls)}
    users = program.users()
    outputs = program.results
    moved: dict[int, list[Call]] = {}
    for i, call in enumerate(program.calls):
        if not is_elementwise(call) or not is_array(call.result):
            continue
        arrays = [x for x in call.inputs if is_array(x)]
        ends = [x for x in arrays if x in position and x not in outputs and users[x][-1] is call]
        if sum(x.nbytes for x in ends) > call.result.nbytes:
            last = [position[x] for x in call.inputs if x in position]
            last += [position[user.result] for x in ends for user in users[x][:-1]]
            if max(last) < i - 1:
                moved.setdefault(max(last), []).append(call)
                position[call.result] = max(last)
    away = {call for calls in moved.values() for call in calls}
    calls = [
        one
        for i, call in enumerate(program.calls)
        for one in ([] if call in away else [call]) + moved.get(i, [])
    ]
    return Program(calls, program.inputs, program.outputs)


def repeats(program: Program) -> Program:
    """Broadcast where elements were repeated, if all that use the result broadcast anyway."""
    users = program.users()
    outputs = program.results
    views: set[Value] = set()

    def stretches(call: Call) -> bool:
        return call.result in views or is_elementwise(call)

    for call in reversed(program.calls):
        if call.function == Method("repeat") and call.options and call.options["axis"] is not None:
            x, n = call.args
            once = (
                isinstance(x, Value) and isinstance(n, int) and x.shape[call.options["axis"]] == 1
            )
            if once and call.result not in outputs and all(map(stretches, users[call.result])):
                views.add(call.result)

    def new(call: Call) -> Any:
        if call.result not in views:
            return call
        view = call.copy((call.args[0], call.result.shape), {})
        view.function, view.is_view = np.broadcast_to, True
        return view

    return program.replaced(new)


ALWAYS = (
    constants, identities, common_calls, rows, repeats, without_certain_guards, without_dead_calls,
)  # fmt: skip


def simplified(program: Program) -> Program:
    """The program after all passes that make it shorter."""
    for one_pass in (*ALWAYS, constants, common_calls, without_dead_calls):
        program = one_pass(program)
    return program
