"""The plan of a program: in which memory each result is, and the Python code that computes it all.

Results are written into buffers that are there from the start, all in one block of memory.  What
only views memory that is there, as a transpose, is made once.

First runs a function, up to the last decision and the last result.  Then comes the tail, a list of
calls that write into the state, too.  It is done to the end whatever happens (`run_all` in run.py).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from ..nested import tree_leaves
from .arena import Arena, dense
from .compare import described
from .forms import Form, Statement, by_ufunc, form_of
from .names import Names
from .order import Group, Order
from .passes import Program, is_elementwise
from .recorder import Call, Draw, Method, Value, Writing, guard, is_array, part_of
from .strips import in_strips, strip_of, strips

LARGE = 1 << 15  # bytes of an array that is worth to be let go in the middle of a run


class Failure:
    """What a program gives if a decision on a value was another one when it was recorded."""

    def __init__(self, call: Call) -> None:
        self.place = described(call)
        self.times = 0


OPERATORS = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/",
    operator.floordiv: "//", operator.mod: "%", operator.pow: "**", operator.lt: "<",
    operator.le: "<=", operator.eq: "==", operator.ne: "!=", operator.gt: ">", operator.ge: ">=",
}  # fmt: skip

# Of scalars operators give the same as these functions, sooner.
ON_SCALARS = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.less: "<",
    np.less_equal: "<=", np.equal: "==", np.not_equal: "!=", np.greater: ">",
    np.greater_equal: ">=",
}  # fmt: skip


class Plan:
    """Where everything is, and the code.

    Parameters
    ----------
    program
        What to compute.
    state
        The inputs that are arrays of the state, by name: they stay where they are.
    written
        The names of those that get new values.

    Attributes
    ----------
    setup
        Code that makes views and the list `tail`, each time the state has moved.
    source
        The code of the function `run`.
    known
        What both know: functions, constants, buffers.
    results
        For each output that is no array of the state the code that `run` returns.
    memory
        Bytes of buffers and constants.
    """

    def __init__(self, program: Program, state: dict[str, Value], written: Iterable[str]) -> None:
        self.state = state
        self.escaping = {
            x for name, out in program.outputs.items() if name not in state
            for x in tree_leaves(out) if isinstance(x, Value)
        }  # fmt: skip
        self.order = Order(program, state, [*written], self.is_plain)
        self.names = Names()
        self.names.texts.update({value: name for name, value in program.inputs.items()})
        self.names.texts.update(self.order.wholes)
        self.names.known.update(np=np, partial=partial, copyto=np.copyto, strips=strips)
        self.bound = {*state.values(), *self.order.wholes}  # what is there before the run
        self.arena = Arena()
        self.buffers: dict[tuple[Any, ...], str] = {}
        self.locals: dict[Value, list[str]] = {}  # names in `run` of arrays without a buffer
        self.cells: dict[tuple[Value, Any], str] = {}
        self.lines: list[str] = []
        self.tail: list[str] = []
        self.in_tail = False
        self.find_ends(program)
        self.restore = self.restoring()
        self.time = 0
        for call in self.order.early:
            self.write(call)
        self.write_tail()
        self.write_end(program)
        arguments = [name for name in program.inputs if name not in state]
        body = "".join(f"\n    {line}" for line in self.lines)
        self.source = f"def run({', '.join(arguments)}):{body}\n"
        self.setup = "\n".join([*self.names.setup, "tail = []", *self.tail])
        self.memory = self.allocate()

    def allocate(self) -> int:
        """Make the buffers; give the number of bytes that everything takes."""
        self.known = self.names.known
        arrays, nbytes = self.arena.made(self.buffers)
        self.known.update(arrays)
        owners = {id(x): x for x in self.known.values() if isinstance(x, np.ndarray)}
        return nbytes + sum(x.nbytes for x in owners.values() if x.base is None)

    # --- What is where ---------------------------------------------------------------------------

    def is_plain(self, call: Call) -> bool:
        """Tell whether a call only views an array, or its result can go into a buffer."""
        if call.function is guard or call.errors or call.result in self.escaping:
            return False
        draws = isinstance(call.function, Draw)
        return call.is_view or (not draws and self.buffered(call) is not None)

    def buffered(self, call: Call) -> Form | None:
        """The form in which a result goes into a buffer of its own; None if it cannot."""
        value = call.result
        is_ours = is_array(value) and value not in self.escaping and value.dtype != object
        return form_of(call) if is_ours and dense(value) else None

    def find_ends(self, program: Program) -> None:
        """Find the last use of each value's memory."""
        self.base: dict[Value, Value] = {}  # whose memory a view shows
        self.ends: dict[Value, int] = {}
        calls = self.order.calls
        for call in calls:
            if call.is_view:
                x = next(x for x in call.inputs if x.type is np.ndarray)
                self.base[call.result] = self.base.get(x, x)
        for time, call in enumerate(calls):
            for x in call.inputs:
                self.ends[self.base.get(x, x)] = time
        for out in tree_leaves([*program.outputs.values(), *self.order.finals.values()]):
            if isinstance(out, Value):
                self.ends[self.base.get(out, out)] = len(calls) + 1

    def has_ended(self, value: Value) -> bool:
        """Tell whether nobody needs a value after the call that is written now."""
        return self.ends.get(value, -1) <= self.time

    def restoring(self) -> dict[str, str]:
        """For generators that have drawn when a guard fails: where their state is kept."""
        early = self.order.early
        guards = [i for i, call in enumerate(early) if call.function is guard]
        kept = {}
        for call in early[: guards[-1]] if guards else []:
            if isinstance(call.function, Draw):
                name = self.names.text(call.args[0])
                kept[name] = f"{name}_before"
        self.lines += [f"{kept[name]} = {name}.bit_generator.state" for name in kept]
        return kept

    def destination(self, call: Call) -> str:
        """The buffer of a result: that of an argument which ends here, or a new one."""
        value = call.result
        if value in self.order.slices:
            return self.slice(value)
        if is_elementwise(call) or isinstance(call.function, Writing):
            inputs = call.inputs if is_elementwise(call) else [*call.args[:1]]
            for x in inputs:
                if not is_array(x) or x not in self.arena.places or x in self.order.slices:
                    continue
                same = (x.shape, x.dtype, x.strides) == (value.shape, value.dtype, value.strides)
                once = sum(self.base.get(y, y) is x for y in call.inputs) == 1
                if same and self.has_ended(x) and (once or is_elementwise(call)):
                    self.arena.hand_on(x, value)
                    return self.buffer(value)
        self.arena.place(value, self.time)
        return self.buffer(value)

    def slice(self, value: Value) -> str:
        """The place of a result beside others, with which it is used later."""
        whole, start = self.order.slices[value]
        if whole not in self.arena.places:
            self.arena.place(whole, self.time)
            self.buffer(whole)
        self.arena.put_inside(value, whole, start)
        return self.buffer(value)

    def buffer(self, value: Value) -> str:
        """The name of the array at the place of a value."""
        key = self.arena.array(value)
        if key not in self.buffers:
            self.buffers[key] = self.names.new("b")
        return self.bind(value, self.buffers[key])

    def bind(self, value: Value, name: str) -> str:
        """Note that a value is in memory that has this name."""
        self.names.texts[value] = name
        self.bound.add(value)
        return name

    def free(self, call: Call) -> None:
        """Give back the buffers that were used for the last time."""
        for x in {self.base.get(x, x) for x in call.inputs}:
            if self.has_ended(x):
                self.arena.free(x, self.time)
                if x in self.locals and is_array(x) and x.nbytes > LARGE and not self.in_tail:
                    self.lines.append(f"del {', '.join(self.locals.pop(x))}")
        if call.result not in self.ends:
            self.arena.free(call.result, self.time)

    # --- Code ------------------------------------------------------------------------------------

    def write(self, call: Call) -> None:
        """Write the code of one call."""
        before = len(self.lines)
        value = call.result
        form = self.buffered(call)
        if call.function is guard:
            self.write_guard(call)
        elif call.is_view and self.bound.issuperset(call.inputs):
            view = self.names.view(self.expression(call))
            self.bind(value, view)
        elif form is not None:
            out = self.destination(call)
            self.write_statements(form(call, out, self.names), call)
        else:
            name = self.names.texts[value] = self.names.new("t")
            self.lines.append(f"{name} = {self.expression(call)}")
            self.locals.setdefault(self.base.get(value, value), []).append(name)
        if call.errors and len(self.lines) > before:
            inside = [f"    {line}" for line in self.lines[before:]]
            self.lines[before:] = [f"with np.errstate(**{call.errors!r}):", *inside]
        self.free(call)
        self.time += 1

    def write_statements(self, statements: list[Statement], call: Call) -> None:
        """Write statements where they belong: into the function `run`, or into the tail."""
        for function, words in statements:
            listed = ", ".join(words)
            if not self.in_tail:
                self.lines.append(f"{function}({listed})")
            elif self.bound.issuperset(call.inputs):
                self.tail.append(f"tail.append(partial({function}, {listed}))")
            else:  # something in it is not always in the same place: `run` knows it
                place = self.names.new("at")
                self.tail.append(f"{place} = len(tail); tail.append(None)")
                self.lines.append(f"tail[{place}] = partial({function}, {listed})")

    def expression(self, call: Call) -> str:
        """A call whose result is not written into a buffer."""
        text, words = self.names.text, self.names.words
        if call.function in OPERATORS:
            x, y = map(text, call.args)
            return f"{x} {OPERATORS[call.function]} {y}"
        if call.function in ON_SCALARS and not call.options and all(map(is_scalar, call.args)):
            x, y = map(text, call.args)
            return f"{x} {ON_SCALARS[call.function]} {y}"
        if call.function is operator.getitem or call.function is part_of:
            x, index = call.args
            return f"{text(x)}[{text(index)}]"
        function = call.function.function if isinstance(call.function, Draw) else call.function
        if isinstance(function, Method) and not isinstance(call.args[0], (int, float)):
            x, *rest = call.args
            if function == Method("swapaxes") and len(x.shape) == 2:
                return f"{text(x)}.T"
            return f"{text(x)}.{function.__name__}({', '.join(words(rest, call.options))})"
        return f"{self.names.function(function)}({', '.join(words(call.args, call.options))})"

    def write_guard(self, call: Call) -> None:
        value, outcome = call.args
        text = self.names.text(value)
        if type(outcome) is bool:
            wrong = f"not {text}" if outcome else text
        else:
            wrong = f"{text} != {outcome!r}"
        self.lines.append(f"if {wrong}:")
        for name, state in self.restore.items():
            self.lines.append(f"    {name}.bit_generator.state = {state}")
        failure = self.names.new("failure")
        self.names.known[failure] = Failure(call)
        self.lines.append(f"    return {failure}")

    # --- The tail --------------------------------------------------------------------------------

    def write_tail(self) -> None:
        """Write the list of calls that give the state its new values, in place."""
        # Whose value is in the memory of each part of the state.
        self.occupants = self.state | {name: x for x, name in self.order.wholes.items()}
        self.writeable = {*self.order.written, *self.order.flat}
        self.in_tail = True
        for one in self.order.tail:
            if isinstance(one, Call):
                self.write(one)
            else:
                self.write_update(one)

    def write_update(self, group: Group) -> None:
        """Write the calls of an update, in strips if that is worth it."""
        in_parts = in_strips(group)
        self.start = self.time  # from now on, as the last strip needs what the first does
        temporaries: dict[Value, Value] = {}  # buffers as long as a strip, and whose they are
        calls = []
        for call in group:
            out = self.update_destination(call, temporaries if in_parts else None)
            texts = {x: self.names.text(x) for x in call.inputs if not is_array(x)}
            self.names.texts.update({x: self.cell(x, call) for x in texts})
            [(function, words)] = by_ufunc(call, out, self.names)
            self.names.texts.update(texts)
            calls.append(f"partial({function}, {', '.join(words)})")
            self.free(call)
            self.time += 1
        listed = ", ".join(calls)
        if not in_parts:
            self.tail.append(f"tail += [{listed}]")
            return
        for strip in temporaries:
            self.arena.free(strip, self.time)
        names = ", ".join(map(self.names.text, temporaries))
        self.tail.append(f"tail += strips({group[0].result.shape}, [{names}], [{listed}])")

    def cell(self, x: Value, call: Call) -> str:
        """An array of shape () for a number that is known before the tail."""
        others = [y.dtype for y in call.args if is_array(y)]
        dtype = x.dtype or np.result_type(*others, x.type(0))
        if (x, dtype) not in self.cells:
            name = self.cells[x, dtype] = self.names.new("n")
            self.names.known[name] = np.empty((), dtype)
            self.lines.append(f"{name}.fill({self.names.text(x)})")
        return self.cells[x, dtype]

    def update_destination(self, call: Call, temporaries: dict[Value, Value] | None) -> str:
        """The memory of the state itself, if its old value is not needed any more; or a buffer."""
        value = call.result
        candidates = [name for name, x in self.order.finals.items() if x is value]
        candidates += [name for name, x in self.occupants.items() if x in call.inputs]
        for name in candidates:
            old = self.occupants[name]
            alike = (old.shape, old.dtype, old.strides) == (value.shape, value.dtype, value.strides)
            if alike and name in self.writeable and self.has_ended(old):
                self.occupants[name] = value
                return self.bind(value, name)
        if temporaries is None:
            return self.destination(call)
        strip = next((one for one, x in temporaries.items() if self.has_ended(x)), None)
        if strip is None:
            strip = strip_of(value)
            self.arena.place(strip, self.start)
            self.buffer(strip)
        temporaries[strip] = value
        return self.bind(value, self.names.text(strip))

    def write_end(self, program: Program) -> None:
        """Copy new values that were computed elsewhere, and write what the run returns."""
        inside = {name for names in self.order.flat.values() for name in names}
        for name, new in self.order.finals.items():
            if name in inside or self.occupants[name] is new:
                continue
            copy = Call(np.copyto, (new,), {})
            text = self.names.text(new)
            if copy.inputs and self.base.get(new, new) in self.state.values():
                before = self.names.new("n")  # what is in the state now may change before
                self.names.known[before] = np.empty(new.shape, new.dtype)
                self.lines.append(f"copyto({before}, {text})")
                copy, text = Call(np.copyto, (), {}), before
            self.write_statements([("copyto", [name, text])], copy)
        self.results = {
            name: self.result(out)
            for name, out in program.outputs.items()
            if name not in self.state
        }
        self.lines.append(f"return ({''.join(f'{text}, ' for text in self.results.values())})")

    def result(self, out: Any) -> str:
        """A result, in memory that is not used again."""
        if isinstance(out, np.ndarray):
            return f"{self.names.text(out)}.copy()"
        if isinstance(out, Value) and out.type is np.ndarray:
            base = self.base.get(out, out)
            if base.call is None or base in self.bound:
                return f"np.array({self.names.text(out)})"
        return self.names.text(out)


def is_scalar(x: Any) -> bool:
    """Tell whether x is a number, or a scalar of NumPy."""
    if isinstance(x, Value):
        return x.type in (int, float) or (x.type is not np.ndarray and x.shape == ())
    return type(x) in (int, float)
