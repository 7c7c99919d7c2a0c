"""The plan of a program: in which memory each result is, and the Python code that computes it all.

Results are written into buffers that are there from the start, all in one block of memory.  Two
results share a place if the first is not needed any more when the second is computed.  What only
views memory that is there, as a transpose, is made once.

The new values of the state are computed last, in place: these calls are kept in a list, so that
they can be done to the end whatever happens (`run_all`).  Of large arrays they are done strip by
strip: all calls on the first rows, then all on the next, while they are in the cache.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ..errors import name_of
from ..nested import tree_leaves
from .passes import Program, guards_first, is_elementwise
from .recorder import Call, Draw, Method, Value, Writing, guard, part_of

FAILED = object()  # what a program gives if a guard did
SMALL = 1 << 15  # bytes of an array that is worth to be put beside others
ALIGNED = 64  # bytes: a line of the cache
STRIP = 1 << 17  # bytes of each array that are worked on at a time

# A strip may end anywhere: of these each element is computed in the same way, wherever it stands.
EXACT = {
    np.add, np.subtract, np.multiply, np.divide, np.negative, np.square, np.sqrt, np.abs, np.sign,
    np.maximum, np.minimum,
}  # fmt: skip

REDUCTIONS = {
    Method("sum"): np.add.reduce,
    Method("max"): np.maximum.reduce,
    Method("min"): np.minimum.reduce,
    Method("prod"): np.multiply.reduce,
}
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


def is_scalar(x: Any) -> bool:
    """Tell whether x is a number, or a scalar of NumPy."""
    if isinstance(x, Value):
        return x.type in (int, float) or (x.type is not np.ndarray and x.shape == ())
    return type(x) in (int, float)


def is_array(x: Any) -> bool:
    """Tell whether x is an array in a program, and no scalar."""
    return isinstance(x, Value) and x.type is np.ndarray and x.shape != ()


# --- Memory --------------------------------------------------------------------------------------


class Arena:
    """One block of memory, with places for arrays that are not all needed at the same time."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int, Value]] = []  # start, end and whose it is
        self.size = 0

    def place(self, owner: Value, nbytes: int) -> int:
        """The start of a free stretch: the smallest that is long enough."""
        nbytes = -(-nbytes // ALIGNED) * ALIGNED
        gaps, end = [], 0
        for start, stop, _ in sorted(self.taken, key=lambda stretch: stretch[0]):
            if start - end >= nbytes:
                gaps.append((start - end, end))
            end = max(end, stop)
        start = min(gaps)[1] if gaps else end
        self.taken.append((start, start + nbytes, owner))
        self.size = max(self.size, start + nbytes)
        return start

    def free(self, owner: Value) -> None:
        """Nobody needs the array of this value any more."""
        self.taken = [stretch for stretch in self.taken if stretch[2] is not owner]

    def hand_on(self, owner: Value, heir: Value) -> None:
        """The next owner writes its own array over that of the last."""
        self.taken = [(a, b, heir if who is owner else who) for a, b, who in self.taken]


def dense(value: Value) -> bool:
    """Tell whether the array has a stride for each element and no gaps, in whatever order."""
    expected = value.dtype.itemsize
    for n, stride in sorted(zip(value.shape, value.strides), key=lambda pair: (pair[1], pair[0])):
        if n != 1 and stride != expected:
            return False
        expected *= n
    return True


# --- The plan ------------------------------------------------------------------------------------


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
        Code that makes views and the list `commit`, each time the state has moved.
    source
        The code of the function `run`.
    names
        What both know: functions, constants, buffers.
    """

    def __init__(self, program: Program, state: dict[str, Value], written: Iterable[str]) -> None:
        self.state = state
        self.written = [*written]
        self.names: dict[str, Any] = {
            "FAILED": FAILED,
            "np": np,
            "partial": partial,
            "copyto": np.copyto,
        }
        self.texts: dict[Value, str] = {value: name for name, value in program.inputs.items()}
        self.constants: dict[Any, tuple[str, Any]] = {}
        self.base: dict[Value, Value] = {}  # whose memory a view shows
        self.bound: set[Value] = set(state.values())  # what is there before the run
        self.arena = Arena()
        self.places: dict[Value, int] = {}
        self.cells: dict[tuple[Any, Any], str] = {}
        self.setup: list[str] = []
        self.lines: list[str] = []
        self.commit: list[str] = []
        self.flat: dict[str, list[str]] = {}  # parts of the state that lie side by side
        self.slices: dict[Value, tuple[Value, int]] = {}  # results that lie side by side: where
        self.escaping = {
            x for name, out in program.outputs.items() if name not in state
            for x in tree_leaves(out) if isinstance(x, Value)
        }  # fmt: skip
        self.targets = {
            program.outputs[name]: name for name in reversed(self.written)
            if isinstance(program.outputs[name], Value)
        }  # fmt: skip

        self.finals = {name: program.outputs[name] for name in self.written}

        program = guards_first(program)
        late = self.deferred(program)
        early = [call for call in program.calls if call.result not in late]
        groups = in_components([call for call in program.calls if call.result in late])
        self.updates = self.joined(groups)
        self.order = [*early, *(call for group in self.updates for call in group)]
        self.find_ends(program)
        self.restore = self.restoring(early)
        for self.time, call in enumerate(early):
            self.write(call)
        self.write_updates(len(early))
        self.write_end(program)
        arguments = [name for name in program.inputs if name not in state]
        body = "".join(f"\n    {line}" for line in self.lines)
        self.source = f"def run({', '.join(arguments)}):{body}\n"
        commit = "".join(f"\n    {line}," for line in self.commit)
        self.setup.append(f"commit = [{commit}\n]")
        self.memory = self.allocate()

    def allocate(self) -> int:
        """Make the buffers; give the number of bytes that everything takes."""
        block = np.empty(self.arena.size + ALIGNED, np.uint8)
        shift = -block.ctypes.data % ALIGNED
        for key, (name, _) in self.constants.items():
            if isinstance(key, tuple) and key[0] == "buffer":
                _, start, shape, dtype, strides = key
                self.names[name] = np.ndarray(shape, dtype, block, start + shift, strides)
        arrays = {id(x): x for x in self.names.values() if isinstance(x, np.ndarray)}
        return block.nbytes + sum(x.nbytes for x in arrays.values() if x.base is None)

    def deferred(self, program: Program) -> set[Value]:
        """The results that only new values of the state are made of, element by element."""
        users = program.users()
        late: set[Value] = set()
        for call in reversed(program.calls):
            value = call.result
            used = users.get(value, [])
            if (
                is_elementwise(call)
                and is_array(value)
                and not call.errors
                and value not in self.escaping
                and (used or value in self.targets)
                and all(user.result in late for user in used)
                and self.has_buffer(value)
            ):
                late.add(value)
        for call in program.calls:  # what reads no state need not wait
            if not any(x in late or x in self.bound for x in call.inputs):
                late.discard(call.result)
        return late

    def joined(self, groups: list[list[Call]]) -> list[list[Call]]:
        """Groups of calls that do the same to small arrays, as one group on longer arrays.

        The arrays of several parameters then lie side by side, and so do their gradients.
        """
        alike: dict[Any, list[list[Call]]] = {}
        for group in groups:
            alike.setdefault(self.kind_of(group), []).append(group)
        result = []
        for kind, members in alike.items():
            result += [self.joined_group(members)] if kind and len(members) > 1 else members
        return result

    def kind_of(self, group: list[Call]) -> Any:
        """What groups that can be joined have in common; None if a group cannot."""
        shape, dtype = group[0].result.shape, group[0].result.dtype
        if prod(shape) * dtype.itemsize > SMALL:
            return None
        late = {call.result for call in group}
        numbers: dict[Value, int] = {}
        steps: list[Any] = [dtype]
        for call in group:
            steps.append(call.function)
            if call.options:
                return None
            for x in (*call.args, call.result):
                if isinstance(x, np.ndarray) and x.ndim:
                    return None  # a constant array fits the arrays of one group alone
                if not is_array(x):
                    steps.append(x if isinstance(x, Value) else repr(x))
                    continue
                if (x.shape, x.dtype, x.strides) != (shape, dtype, np.empty(shape, dtype).strides):
                    return None
                target = self.state.get(self.targets.get(x, ""))
                if target is not None and target not in numbers:
                    return None
                number = numbers.setdefault(x, len(numbers))
                old = self.texts.get(x) in self.written and x in self.bound
                if x in self.bound and not old:
                    return None
                steps.append((number, old, x in late, numbers.get(target) if target else None))
        return tuple(steps)

    def joined_group(self, groups: list[list[Call]]) -> list[Call]:
        """One group instead of several of the same kind."""
        sizes = [prod(group[0].result.shape) for group in groups]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        whole: dict[Value, Value] = {}
        late = {call.result for group in groups for call in group}

        def joined(parts: list[Any]) -> Any:
            x = parts[0]
            if not is_array(x):
                return x
            if x not in whole:
                value = whole[x] = Value(np.empty(sum(sizes), x.dtype))
                if x in self.bound:
                    name = f"f{len(self.flat)}"
                    self.flat[name] = [self.texts[part] for part in parts]
                    self.texts[value] = name
                    self.bound.add(value)
                elif x not in late:
                    for part, start in zip(parts, starts):
                        self.slices[part] = value, start * x.dtype.itemsize
            return whole[x]

        result = []
        for calls in zip(*groups):
            args = tuple(joined([*parts]) for parts in zip(*(call.args for call in calls)))
            call = calls[0].copy(args, {})
            call.result = joined([one.result for one in calls])
            call.result.call = call
            result.append(call)
        for parts in zip(*([call.result for call in group] for group in groups)):
            if parts[0] in self.targets:
                for part in parts:
                    self.texts[part] = self.targets[part]
                self.finals[self.texts[whole[self.state[self.targets[parts[0]]]]]] = whole[parts[0]]
        return result

    def find_ends(self, program: Program) -> None:
        """Find the last use of each value's memory."""
        self.ends: dict[Value, int] = {}
        for call in self.order:
            if call.is_view:
                x = next(x for x in call.inputs if x.type is np.ndarray)
                self.base[call.result] = self.base.get(x, x)
        for time, call in enumerate(self.order):
            for x in call.inputs:
                self.ends[self.base.get(x, x)] = time
        never = len(self.order) + 1
        for out in tree_leaves([*program.outputs.values(), *self.finals.values()]):
            if isinstance(out, Value):
                self.ends[self.base.get(out, out)] = never

    def restoring(self, early: list[Call]) -> dict[str, str]:
        """For generators that have drawn when a guard fails: where their state is kept."""
        guards = [i for i, call in enumerate(early) if call.function is guard]
        kept = {}
        for call in early[: guards[-1]] if guards else []:
            if isinstance(call.function, Draw):
                name = self.text(call.args[0])
                kept[name] = f"{name}_before"
        self.lines += [f"{kept[name]} = {name}.bit_generator.state" for name in kept]
        return kept

    # --- Words -----------------------------------------------------------------------------------

    def text(self, x: Any) -> str:
        """How the code calls a value or a constant."""
        if isinstance(x, Value):
            return self.texts[x]
        parts = tree_leaves(x) if isinstance(x, (tuple, list)) else []
        if any(isinstance(part, (Value, np.ndarray)) for part in parts):
            inside = ", ".join(map(self.text, x))
            return f"[{inside}]" if isinstance(x, list) else f"({inside},)"
        if isinstance(x, dict):
            return f"{{{', '.join(f'{k!r}: {self.text(y)}' for k, y in x.items())}}}"
        if x is None or type(x) in (bool, int, str):
            return repr(x)
        if isinstance(x, slice):
            return f"slice({self.text(x.start)}, {self.text(x.stop)}, {self.text(x.step)})"
        return self.constant(x)

    def constant(self, x: Any) -> str:
        """The name of a constant, the same for the same object."""
        if type(x) in (tuple, float, np.dtype) or isinstance(x, (np.generic, np.dtype)):
            key: Any = (type(x), repr(x))
        else:
            key = id(x)
        if key not in self.constants:
            name = f"c{len(self.constants)}"
            self.constants[key] = name, x
            self.names[name] = x
        return self.constants[key][0]

    def function(self, function: Any) -> str:
        """The name of a function."""
        name = name_of(function).replace(".", "_")
        while self.names.setdefault(name, function) is not function:
            name += "_"
        return name

    def call_text(self, function: Any, args: Iterable[Any], options: dict[str, Any]) -> str:
        words = [*map(self.text, args), *(f"{k}={self.text(x)}" for k, x in options.items())]
        return f"{self.function(function)}({', '.join(words)})"

    # --- Buffers ---------------------------------------------------------------------------------

    def has_buffer(self, value: Value) -> bool:
        """Tell whether a result can be written into a buffer of its own."""
        return (
            is_array(value)
            and value not in self.escaping
            and dense(value)
            and value.dtype != object
        )

    def destination(self, call: Call) -> str:
        """The buffer of a result: that of an argument which ends here, or a new one."""
        value = call.result
        if value in self.slices:
            return self.slice(value)
        if is_elementwise(call):
            for x in call.inputs:
                same = (x.shape, x.dtype, x.strides) == (value.shape, value.dtype, value.strides)
                ends = self.ends.get(x) == self.time and x not in self.slices
                if same and x in self.places and ends:
                    self.arena.hand_on(x, value)
                    self.places[value] = self.places[x]
                    return self.buffer(value)
        nbytes = prod(value.shape) * value.dtype.itemsize
        self.places[value] = self.arena.place(value, nbytes)
        return self.buffer(value)

    def slice(self, value: Value) -> str:
        """The place of a result beside others, with which it is used later."""
        whole, start = self.slices[value]
        if whole not in self.places:
            self.places[whole] = self.arena.place(whole, prod(whole.shape) * whole.dtype.itemsize)
            self.buffer(whole)
        self.places[value] = self.places[whole] + start
        return self.buffer(value)

    def buffer(self, value: Value) -> str:
        """The name of an array in the arena."""
        key = ("buffer", self.places[value], value.shape, value.dtype, value.strides)
        if key not in self.constants:
            self.constants[key] = f"b{len(self.constants)}", key
        name = self.constants[key][0]
        self.texts[value] = name
        self.bound.add(value)
        return name

    def free(self, call: Call) -> None:
        """Give back the buffers that were used for the last time."""
        for x in {self.base.get(x, x) for x in call.inputs}:
            if self.ends.get(x) == self.time and x in self.places:
                self.arena.free(x)
        if call.result not in self.ends and call.result in self.places:
            self.arena.free(call.result)

    # --- Code ------------------------------------------------------------------------------------

    def write(self, call: Call) -> None:
        """Write the code of one call."""
        if call.errors:
            self.lines.append(f"with np.errstate(**{call.errors!r}):")
        before = len(self.lines)
        value = call.result
        if call.function is guard:
            self.write_guard(*call.args)
        elif call.is_view and all(x in self.bound for x in call.inputs):
            self.texts[value] = f"v{len(self.texts)}"
            self.bound.add(value)
            text = self.call_text(call.function, call.args, call.options)
            self.setup.append(f"{self.texts[value]} = {text}")
        elif not self.write_into_buffer(call):
            self.texts[value] = f"t{len(self.texts)}"
            self.lines.append(f"{self.texts[value]} = {self.expression(call)}")
        if call.errors and len(self.lines) == before:
            self.lines.pop()
        elif call.errors:
            self.lines[before:] = [f"    {line}" for line in self.lines[before:]]
        self.free(call)

    def expression(self, call: Call) -> str:
        """A call whose result is not written into a buffer."""
        if call.function in OPERATORS:
            x, y = map(self.text, call.args)
            return f"{x} {OPERATORS[call.function]} {y}"
        if call.function in ON_SCALARS and not call.options and all(map(is_scalar, call.args)):
            x, y = map(self.text, call.args)
            return f"{x} {ON_SCALARS[call.function]} {y}"
        if call.function is operator.getitem:
            x, index = call.args
            return f"{self.text(x)}[{self.text(index)}]"
        if isinstance(call.function, Draw):
            inner = call.copy(call.args, call.options)
            inner.function = call.function.function
            return self.expression(inner)
        if isinstance(call.function, Method) and not isinstance(call.args[0], (int, float)):
            if call.function == Method("swapaxes") and len(call.args[0].shape) == 2:
                return f"{self.text(call.args[0])}.T"
            words = [*map(self.text, call.args[1:])]
            words += [f"{key}={self.text(x)}" for key, x in call.options.items()]
            return f"{self.text(call.args[0])}.{call.function.__name__}({', '.join(words)})"
        if call.function is part_of:
            return f"{self.text(call.args[0])}[{call.args[1]}]"
        return self.call_text(call.function, call.args, call.options)

    def write_guard(self, value: Value, outcome: Any) -> None:
        text = self.text(value)
        if type(outcome) is bool:
            wrong = f"not {text}" if outcome else text
        else:
            wrong = f"{text} != {outcome!r}"
        self.lines.append(f"if {wrong}:")
        for name, state in self.restore.items():
            self.lines.append(f"    {name}.bit_generator.state = {state}")
        self.lines.append("    return FAILED")

    def write_into_buffer(self, call: Call) -> bool:
        """Write the code of a call that writes into a buffer, if there is a way to do so."""
        if not self.has_buffer(call.result):
            return False
        function, args, options = call.function, call.args, call.options
        x: Any = args[0] if args else None
        if self.is_small_product(call):
            x, y = map(self.text, args)
            self.lines.append(f"{x}.dot({y}, {self.destination(call)})")
        elif isinstance(function, np.ufunc) and function.nout == 1 and "axes" not in options:
            is_mask = is_array(x) and x.dtype == bool and type(args[-1]) in (int, float)
            if function is np.multiply and is_mask and options == {"dtype": call.result.dtype}:
                self.write_scaled_mask(call)
                return True
            words = [*self.operands(call), out_text(function, self.destination(call))]
            words += [f"{key}={self.text(option)}" for key, option in options.items()]
            self.lines.append(f"{self.function(function)}({', '.join(words)})")
        elif function in REDUCTIONS and is_array(x) and set(options) <= {"axis", "keepdims"}:
            axis = options.get("axis", args[1] if len(args) > 1 else None)
            if len(args) > 2:
                return False
            words = [self.text(x), self.text(axis), "None", self.destination(call)]
            words.append(self.text(options.get("keepdims", False)))
            self.lines.append(f"{self.function(REDUCTIONS[function])}({', '.join(words)})")
        elif function == Method("astype") and is_array(x) and len(args) + len(options) == 2:
            text = self.text(x)
            self.lines.append(f"copyto({self.destination(call)}, {text}, 'unsafe')")
        elif function == Draw(Method("random")):
            dtype = options.get("dtype", args[2] if len(args) > 2 else np.float64)
            words = ["None", self.text(np.dtype(dtype).type), self.destination(call)]
            self.lines.append(f"{self.text(x)}.random({', '.join(words)})")
        elif isinstance(function, Writing) and (is_array(x) or isinstance(x, np.ndarray)):
            source, rest = self.text(x), [*map(self.text, args[1:])]
            out = self.destination(call)
            self.lines.append(f"copyto({out}, {source})")
            options_text = [f"{key}={self.text(option)}" for key, option in options.items()]
            words = [out, *rest, *options_text]
            self.lines.append(f"{self.function(function.function)}({', '.join(words)})")
        elif function is np.where and len(args) == 3:
            condition, chosen, other = map(self.text, args)
            out = self.destination(call)
            self.lines.append(f"copyto({out}, {other}, 'unsafe')")
            self.lines.append(f"copyto({out}, {chosen}, 'unsafe', {condition})")
        elif function is np.concatenate and len(args) == 1 and set(options) <= {"axis"}:
            text = self.text(x)
            out = self.destination(call)
            axis = self.text(options.get("axis", 0))
            self.lines.append(f"{self.function(function)}({text}, {axis}, {out})")
        else:
            return False
        return True

    def is_small_product(self, call: Call) -> bool:
        """Tell whether a small product of matrices is computed, for which `dot` takes less time."""
        if call.function is not np.matmul or call.options or len(call.args) != 2:
            return False
        x, y = call.args
        return (
            x.dtype == y.dtype
            and x.dtype.kind == "f"
            and len(x.shape) in (1, 2)
            and len(y.shape) == 2
            and 1 not in (*x.shape, *y.shape)  # to which NumPy's matmul does not apply BLAS
            and prod(call.result.shape) <= 1 << 12
            and all(dense(z) for z in (x, y))
            and call.result.strides == np.empty(call.result.shape, x.dtype).strides
        )

    def write_scaled_mask(self, call: Call) -> None:
        """Write a product of truths and a number as two steps, which take less time than one."""
        mask, number = call.args
        text = self.text(mask)
        operand = self.operand(number, call.result.dtype)
        out = self.destination(call)
        self.lines.append(f"copyto({out}, {text}, 'unsafe')")
        self.lines.append(f"{self.function(np.multiply)}({out}, {operand}, {out})")

    def operands(self, call: Call) -> list[str]:
        """The arguments of a ufunc; for numbers arrays of shape (), which NumPy takes faster."""
        kinds = {x.dtype for x in call.args if hasattr(x, "dtype")}
        dtype = kinds.pop() if len(kinds) == 1 else None
        if dtype is None or dtype.kind != "f" or call.function.signature:
            return [*map(self.text, call.args)]
        return [self.operand(x, dtype) for x in call.args]

    def operand(self, x: Any, dtype: Any) -> str:
        if type(x) in (int, float):
            with np.errstate(all="ignore"):
                key = ("number", repr(x), dtype)
                if key not in self.constants:
                    name = f"c{len(self.constants)}"
                    self.names[name] = np.array(x, dtype)
                    self.constants[key] = name, x
            return self.constants[key][0]
        return self.text(x)

    def cell(self, x: Value, dtype: Any) -> str:
        """An array of shape () for a number that is known when the state is written."""
        if (x, dtype) not in self.cells:
            name = self.cells[x, dtype] = f"n{len(self.cells)}"
            self.names[name] = np.empty((), dtype)
            self.lines.append(f"{name}.fill({self.text(x)})")
        return self.cells[x, dtype]

    # --- The new state ---------------------------------------------------------------------------

    def write_updates(self, start: int) -> None:
        """Write the list of calls that give the state its new values, in place."""
        for part in self.slices:
            if part not in self.places:  # it was computed in another place
                text = self.text(part)
                self.lines.append(f"copyto({self.slice(part)}, {text})")
        # Whose value is in the memory of each part of the state.
        self.occupants = {name: x for x, name in self.texts.items() if name in self.flat}
        self.occupants |= self.state
        self.writeable = {*self.written, *self.flat}
        self.time = start - 1
        for group in self.updates:
            temps = Temporaries(self) if in_strips(group) else None
            lines = []
            for call in group:
                self.time += 1
                words = [self.update_operand(x, call) for x in call.args]
                words.append(out_text(call.function, self.update_destination(call, temps)))
                words += [f"{key}={self.text(option)}" for key, option in call.options.items()]
                lines.append(f"partial({self.function(call.function)}, {', '.join(words)})")
                self.free(call)
            if temps is None:
                self.commit += lines
            else:
                self.names["strips"] = strips
                inside = "".join(f"\n        {line}," for line in lines)
                self.commit.append(
                    f"*strips({group[0].result.shape}, {temps.listed}, [{inside}\n    ])"
                )

    def update_operand(self, x: Any, call: Call) -> str:
        """An argument of such a call, which must be there before."""
        kinds = {y.dtype for y in call.args if is_array(y)}
        dtype = kinds.pop() if len(kinds) == 1 else np.dtype(np.float64)
        if not isinstance(x, Value):
            return self.operand(x, dtype)
        if x.shape is None:
            return self.cell(x, dtype)
        if x.shape == ():
            return self.cell(x, x.dtype)
        return self.text(x) if x in self.bound else self.kept(x)

    def kept(self, x: Value) -> str:
        """A buffer for an array that is not always in the same place."""
        name = self.cells.get((x, None))
        if name is None:
            name = self.cells[x, None] = f"n{len(self.cells)}"
            self.names[name] = np.empty(x.shape, x.dtype)
            self.lines.append(f"copyto({name}, {self.text(x)})")
        return name

    def update_destination(self, call: Call, temps: Temporaries | None) -> str:
        """The memory of the state itself, if its old value is not needed any more; or a buffer."""
        value = call.result
        candidates = [name for name, x in self.finals.items() if x is value]
        for x in call.inputs:
            name = self.texts.get(x)
            if name in self.occupants and self.occupants[name] is x and name in self.writeable:
                candidates.append(name)
        for name in candidates:
            old = self.occupants[name]
            alike = (old.shape, old.dtype, old.strides) == (value.shape, value.dtype, value.strides)
            if alike and self.ends.get(old, -1) <= self.time:
                self.occupants[name] = value
                self.texts[value] = name
                self.bound.add(value)
                return name
        return self.destination(call) if temps is None else temps.destination(value)

    def write_end(self, program: Program) -> None:
        """Copy new values that were computed elsewhere, and write what the run returns."""
        copies = []
        inside = {name for names in self.flat.values() for name in names}
        for name, new in self.finals.items():
            if name in inside or self.occupants[name] is new:
                continue
            is_state = isinstance(new, Value) and self.base.get(new, new) in self.state.values()
            if not isinstance(new, Value) or (new in self.bound and not is_state):
                text = self.text(new)
            else:
                text = self.kept(new)
            copies.append(f"partial(copyto, {name}, {text})")
        self.commit += copies
        self.results = {
            name: self.result(out)
            for name, out in program.outputs.items()
            if name not in self.state
        }
        self.lines.append(f"return ({''.join(f'{text}, ' for text in self.results.values())})")

    def result(self, out: Any) -> str:
        """A result, in memory that is not used again."""
        if isinstance(out, np.ndarray):
            return f"{self.text(out)}.copy()"
        if isinstance(out, Value) and is_array(out):
            base = self.base.get(out, out)
            if base.call is None or base in self.bound:
                return f"np.array({self.text(out)})"
        return self.text(out)


def out_text(function: Any, out: str) -> str:
    """The buffer as an argument; some functions want it by keyword (NumPy 2.4)."""
    return f"out={out}" if function in (np.maximum, np.minimum) else out


def in_components(calls: list[Call]) -> list[list[Call]]:
    """Sort calls into groups that have no array in common, and stay in their order."""
    group_of: dict[Any, list[Call]] = {}
    for call in calls:
        arrays = [x for x in (*call.inputs, call.result) if is_array(x)]
        groups = {id(group_of[x]): group_of[x] for x in arrays if x in group_of}
        merged = [one for group in groups.values() for one in group] + [call]
        for one in merged:
            for x in (*one.inputs, one.result):
                if is_array(x):
                    group_of[x] = merged
    position = {call: i for i, call in enumerate(calls)}
    groups = {id(group): sorted(group, key=position.__getitem__) for group in group_of.values()}
    return [groups[key] for key in groups]


def in_strips(group: list[Call]) -> bool:
    """Tell whether calls can be done strip by strip, and are worth it."""
    shape, dtype = group[0].result.shape, group[0].result.dtype
    whole = shape, dtype, np.empty(shape, dtype).strides
    for call in group:
        if call.function not in EXACT or call.options or call.result.shape != shape:
            return False
        for x in (*call.args, call.result):
            if not is_array(x) and not (isinstance(x, np.ndarray) and x.ndim):
                continue
            if x.shape == shape and (x.shape, x.dtype, x.strides) != whole:
                return False
            if x.shape != shape and len(x.shape) == len(shape) and x.shape[0] != 1:
                return False
    return bool(prod(shape) * dtype.itemsize > 2 * STRIP)


class Temporaries:
    """Buffers as long as a strip, for what is not needed after it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names: list[str] = []
        self.idle: list[str] = []
        self.own: dict[Value, str] = {}

    def destination(self, value: Value) -> str:
        """A buffer for a value."""
        for x in [x for x in self.own if self.plan.ends.get(x, -1) <= self.plan.time]:
            self.idle.append(self.own.pop(x))
        if not self.idle:
            name = f"s{len(self.plan.names)}"
            rows = rows_of_strip(value.shape, value.dtype)
            self.plan.names[name] = np.empty((rows, *value.shape[1:]), value.dtype)
            self.names.append(name)
            self.idle.append(name)
        name = self.own[value] = self.idle.pop()
        self.plan.texts[value] = name
        self.plan.bound.add(value)
        return name

    @property
    def listed(self) -> str:
        return f"[{', '.join(self.names)}]"


def rows_of_strip(shape: tuple[int, ...], dtype: Any) -> int:
    """The number of rows that are worked on at a time."""
    row: int = prod(shape[1:]) * dtype.itemsize
    return max(1, STRIP // row)


def strips(shape: tuple[int, ...], temporaries: list[Any], calls: list[Any]) -> list[Any]:
    """Calls of ufuncs on arrays of this shape, done on a few rows after the other."""
    rows = rows_of_strip(shape, next(x.dtype for x in calls[0].args if x.shape == shape))

    def part(x: Any, start: int) -> Any:
        if any(x is temporary for temporary in temporaries):
            return x[: shape[0] - start]
        return x[start : start + rows] if x.shape == shape else x

    return [
        partial(
            call.func,
            *(part(x, start) for x in call.args),
            **{key: part(x, start) for key, x in call.keywords.items()},
        )
        for start in range(0, shape[0], rows)
        for call in calls
    ]


# --- To run it -----------------------------------------------------------------------------------


run_one: Any = getattr(operator, "call", partial.__call__)  # new in Python 3.11


def run_all(calls: list[Any], before: Callable[[Any], None], results: Any) -> None:
    """Call before(results), which may be repeated, and then all calls, come what may.

    An error, and Ctrl-C, is raised when all are done.  Nothing can come between two of the calls,
    since `deque` runs them without the interpreter.
    """
    remaining = iter(calls)
    errors: list[BaseException] = []
    while len(errors) <= len(calls) + 1:
        try:
            before(results)
            deque(map(run_one, remaining), 0)
            break
        except BaseException as error:
            errors.append(error)
    if errors:
        raise errors[0]
