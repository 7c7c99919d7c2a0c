"""The program of a step as a person would write it: expressions, names, and no buffers.

>>> @compile
... def f(x, w):
...     return np.tanh(x @ w).sum()
>>> for _ in range(2):
...     _ = f(np.ones((2, 3)), np.ones(3))
>>> print(f.source)
def f(x, w):
    loss = np.tanh(x @ w).sum()
    return loss

What is used once is written where it is used, if the line stays short.  The values are those of the
engine up to rounding: sums of negative numbers, means and axes of size 1 are written more simply.
"""

from __future__ import annotations

import base64
import inspect
import keyword
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import full_name, name_of
from ..nested import tree_leaves
from ..primitives import kept
from ..random import random_bits
from .passes import Program, broadcasts, is_elementwise, simplified, without_dead_calls
from .recorder import Call, Draw, Method, UfuncAt, Value, Writing, guard, part_of
from .recording import Leaf, Recording
from .state import GradPlace, ItemPlace, TensorPlace

LONGEST = 72  # characters of a line, before a part of it gets a name

# How firmly a text holds together: where a firmer one is needed, it is put in brackets.
COMPARISON, SUM, PRODUCT, SIGN, POWER, ATOM = range(6)

# The sign, the firmness it gives, and those it needs on its left and right.
SIGNS: dict[Any, tuple[str, int, int, int]] = {
    np.add: ("+", SUM, SUM, SUM),
    np.subtract: ("-", SUM, SUM, PRODUCT),
    np.multiply: ("*", PRODUCT, PRODUCT, SIGN),
    np.divide: ("/", PRODUCT, PRODUCT, SIGN),
    np.matmul: ("@", PRODUCT, PRODUCT, SIGN),
    np.power: ("**", POWER, ATOM, POWER),
    np.equal: ("==", COMPARISON, SUM, SUM),
    np.not_equal: ("!=", COMPARISON, SUM, SUM),
    np.greater: (">", COMPARISON, SUM, SUM),
    np.greater_equal: (">=", COMPARISON, SUM, SUM),
    np.less: ("<", COMPARISON, SUM, SUM),
    np.less_equal: ("<=", COMPARISON, SUM, SUM),
}
OPERATORS = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply,
    operator.truediv: np.divide, operator.pow: np.power, operator.eq: np.equal,
    operator.ne: np.not_equal, operator.gt: np.greater, operator.ge: np.greater_equal,
    operator.lt: np.less, operator.le: np.less_equal,
}  # fmt: skip


class Text(NamedTuple):
    """A piece of code, and how firmly it holds together."""

    text: str
    firmness: int = ATOM

    def at_least(self, needed: int) -> str:
        """The text, in brackets if it is too loose."""
        return self.text if self.firmness >= needed else f"({self.text})"


class Writer:
    """Writes a recorded call down as a function that needs NumPy alone, line by line.

    Attributes
    ----------
    source
        The code.
    constants
        The arrays that it names and that are too large to be written out.
    arguments
        The names of its arguments: those of the function, then those of the state.
    """

    def __init__(
        self, recording: Recording, function: Callable[..., Any], in_full: bool = False
    ) -> None:
        self.recording = recording
        self.in_full = in_full  # large constants, too
        self.texts: dict[Value, Text] = {}
        self.taken: set[str] = {"np"}
        self.constants: dict[str, Any] = {}
        self.lines: list[str] = []
        self.heading = ""
        self.names = self.name_inputs(function)
        gradients = {f"gradient {name}": x for x, name in self.name_gradients().items()}
        outputs = recording.program.outputs | gradients
        program = simplified(Program(recording.program.calls, recording.program.inputs, outputs))
        self.program = for_reading(program)
        self.final: dict[Value, str] = {}
        for name, place in recording.writes.items():
            x = self.program.outputs[name]
            if isinstance(x, Value) and not isinstance(place, GradPlace):
                self.final.setdefault(x, self.names[name])
        for name, x in self.program.outputs.items():
            if name.startswith("gradient ") and isinstance(x, Value):
                self.final.setdefault(x, name.removeprefix("gradient "))
        leaf = recording.result
        if isinstance(leaf, Leaf) and isinstance(self.program.outputs[leaf.output], Value):
            x = self.program.outputs[leaf.output]
            self.final.setdefault(x, self.unique("result" if x.shape else "loss"))
        self.write(name_of(function))

    # --- Names -----------------------------------------------------------------------------------

    def unique(self, name: str) -> str:
        """A name that is no other's, made of letters, digits and underscores."""
        digits = re.match(r"(\d+)\.(.+)", name)
        name = f"{digits[2]}_{digits[1]}" if digits else name  # "0.weight" is weight_0
        name = re.sub(r"\W+", "_", name).strip("_") or "x"
        if keyword.iskeyword(name) or name[0].isdigit():
            name = f"_{name}"
        base, n = name, 1
        while name in self.taken:
            n += 1
            name = f"{base}_{n}"
        self.taken.add(name)
        return name

    def name_inputs(self, function: Callable[..., Any]) -> dict[str, str]:
        """Names of arguments and of parts of the state."""
        recording, names = self.recording, {}
        try:
            parameters = [*inspect.signature(function).parameters]
        except (TypeError, ValueError):
            parameters = []
        for i, path in enumerate(recording.leaves):
            kind, first, *rest = path
            known = kind == 0 and first < len(parameters)
            word = parameters[first] if known else f"x{first}" if kind == 0 else first
            names[f"x{i}"] = self.unique("_".join(map(str, (word, *rest))))
        tensors = {}
        for i, place in enumerate(recording.places):
            if isinstance(place, TensorPlace):
                given = place.tensor.name
                alone = sum(t.name == given for t in recording.state.tensors.values()) == 1
                names[f"w{i}"] = self.unique(given if given and alone else place.name)
                tensors[place.tensor.node] = names[f"w{i}"]
        for i, place in enumerate(recording.places):
            if isinstance(place, GradPlace):
                names[f"w{i}"] = self.unique(f"d_{tensors[place.tensor.node]}")
            elif isinstance(place, ItemPlace):
                word, *rest = place.path
                trained = getattr(place.owner, "parameters", [])
                if isinstance(getattr(place.owner, word), list) and len(rest) == 1:
                    rest = [tensors[trained[rest[0]].node]]  # one for each parameter
                names[f"w{i}"] = self.unique("_".join(map(str, (word, *rest))))
        for i in range(len(recording.generators)):
            names[f"g{i}"] = self.unique("rng")
        return names

    def name_gradients(self) -> dict[Value, str]:
        """Names of the gradients of parameters."""
        return {
            value: self.names[f"w{i}"]
            for i, place in enumerate(self.recording.places)
            if isinstance(place, GradPlace)
            for node, value in self.recording.gradients.items()
            if node is place.tensor.node
        }

    # --- Lines -----------------------------------------------------------------------------------

    def write(self, name: str) -> None:
        """Write the function."""
        program = self.program
        used = {x for call in program.calls for x in call.inputs} | program.results
        for key, value in program.inputs.items():
            self.texts[value] = Text(self.names[key])
        self.uses: dict[Value, int] = {}  # how often a value will still be used
        everything = [(call.args, call.options) for call in program.calls]
        for x in tree_leaves([*everything, *program.outputs.values()]):
            if isinstance(x, Value):
                self.uses[x] = self.uses.get(x, 0) + 1
        self.count = 0
        for call in program.calls:
            self.write_call(call)
        inputs = [key for key, x in program.inputs.items() if x in used or key[0] == "x"]
        arguments = [self.names[key] for key in inputs if key[0] == "x"]
        state = [self.names[key] for key in inputs if key[0] != "x"]
        self.arguments = inputs
        self.write_return()
        listed = ", ".join([*arguments, *(["*", *state] if state else [])])
        head = wrapped(f"def {identifier(name)}({listed}):")
        constants = [f"{key} = {self.of_constant(x)}" for key, x in self.constants.items()]
        body = [f"    {line}" for line in self.lines]
        self.source = "\n".join([*constants, head, *body])

    def write_return(self) -> None:
        """Write what the function returns: its results, and the new values of the state."""
        outputs = self.program.outputs

        def leaf(x: Any) -> str:
            if not isinstance(x, Leaf):
                return "None" if x is None else repr(x) if isinstance(x, str) else "..."
            return self.argument(outputs[x.output]).text

        result = with_brackets(self.recording.result, leaf)
        new = {
            self.names[key]: self.argument(outputs[key]).text
            for key, place in self.recording.writes.items()
            if not isinstance(place, GradPlace)
        }
        if new:
            result += f", dict({', '.join(f'{key}={x}' for key, x in new.items())})"
        self.lines.append(wrapped(f"return {result}", 8))

    def write_call(self, call: Call) -> None:
        """Write a call where it is used, or in a line of its own."""
        value = call.result
        if isinstance(call.function, Writing):
            self.write_heading(call)
            name = self.new_name(value)
            self.lines.append(f"{name} = {self.argument(call.args[0]).at_least(ATOM)}.copy()")
            rest = [self.argument(x).text for x in call.args[1:]]
            if call.function.function is operator.setitem:
                self.lines.append(f"{name}[{index_text(call.args[1], self.argument)}] = {rest[1]}")
            else:
                inner = call.function.function
                if isinstance(inner, UfuncAt):
                    rest[0] = self.index(call.args[1])
                listed = ", ".join([name, *rest])
                self.lines.append(f"{function_name(inner)}({listed})")
            return
        text = self.expression(call)
        once = self.uses.get(value, 0) <= 1 or (call.is_view and len(text.text) < 16)
        short = len(text.text) < LONGEST - 24 and not isinstance(call.function, Draw)
        if once and short and value not in self.final:
            self.texts[value] = text
            return
        self.write_heading(call)
        name = self.new_name(value)
        self.lines.append(f"{name} = {text.text}")

    def write_heading(self, call: Call) -> None:
        """Write a comment where another part of the network begins."""
        heading = heading_of(call)
        if heading != self.heading:
            self.heading = heading
            if heading:
                self.lines.append(f"# {heading}")

    def new_name(self, value: Value) -> str:
        """The name of a value: that of its part of the state, or t0, t1, …."""
        if value in self.final:
            name = self.final[value]
            if self.is_needed(name):
                name = self.unique(f"new_{name}")
        else:
            name = self.unique(f"t{self.count}")
            self.count += 1
        self.texts[value] = Text(name)
        return name

    def is_needed(self, name: str) -> bool:
        """Tell whether what has this name now is used later on."""
        word = re.compile(rf"\b{name}\b")
        return any(self.uses.get(x, 0) > 0 and word.search(y.text) for x, y in self.texts.items())

    # --- Expressions -----------------------------------------------------------------------------

    def argument(self, x: Any) -> Text:
        """A value or a constant."""
        if isinstance(x, Value):
            self.uses[x] = self.uses.get(x, 0) - 1
            return self.texts[x]
        if isinstance(x, (list, tuple)):
            inside = ", ".join(self.argument(y).text for y in x)
            return Text(
                f"[{inside}]" if isinstance(x, list) else f"({inside}{',' * (len(x) == 1)})"
            )
        if isinstance(x, np.ndarray):
            return self.constant(x)
        if type(x) in (int, float) or isinstance(x, np.generic):
            return number(x)
        if isinstance(x, (type, np.dtype)):
            return Text(f"np.{np.dtype(x).name}")
        if isinstance(x, slice):
            parts = ", ".join(str(part) for part in (x.start, x.stop, x.step))
            return Text(f"slice({parts})")
        return Text(repr(x))

    def constant(self, x: Any) -> Text:
        """An array that does not change: by a formula, written out, or by a name."""
        if x.ndim == 0:
            return self.argument(x.item())
        usual = x.size and x.dtype in (np.float64, np.int64, bool)
        kind = "" if usual else f", np.{x.dtype.name}"
        if not x.size:
            return Text(f"np.empty({x.shape}{kind})")
        if x.size > 1 and np.all(x == x.flat[0]):
            shape = x.shape if x.ndim > 1 else x.shape[0]
            return Text(f"np.full({shape}, {self.argument(x.flat[0]).text}{kind})")
        if x.ndim == 1 and x.dtype == np.int64 and np.array_equal(x, np.arange(x.size)):
            return Text(f"np.arange({x.size})")
        if x.size <= 8:
            return Text(f"np.array({x.tolist()}{kind})")
        known = [name for name, y in self.constants.items() if y is x]
        name = known[0] if known else self.unique(f"c{len(self.constants)}")
        self.constants[name] = x
        return Text(name)

    def of_constant(self, x: Any) -> str:
        """The code that makes a large array."""
        if self.in_full:
            data = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
            return (
                f"np.frombuffer(base64.b64decode({data!r}), np.{x.dtype.name}).reshape({x.shape})"
            )
        return f"...  # an array of {x.dtype} of shape {x.shape}, a constant"

    def index(self, index: Any) -> str:
        """An index as an argument of a function."""
        if index is None or isinstance(index, (slice, type(...), tuple)):
            return f"np.s_[{index_text(index, self.argument)}]"
        return self.argument(index).text

    def expression(self, call: Call) -> Text:
        """The code of a call."""
        function = OPERATORS.get(call.function, call.function)
        args, options = call.args, call.options
        if function in SIGNS and not options:
            sign, firmness, left, right = SIGNS[function]
            x, y = self.argument(args[0]).at_least(left), self.argument(args[1]).at_least(right)
            return Text(f"{x} {sign} {y}" if sign != "**" else f"{x}**{y}", firmness)
        if function in (np.negative, operator.neg):
            return Text(f"-{self.argument(args[0]).at_least(SIGN)}", SIGN)
        if function is np.square:
            return Text(f"{self.argument(args[0]).at_least(ATOM)}**2", POWER)
        if function is operator.getitem:
            return Text(
                f"{self.argument(args[0]).at_least(ATOM)}[{index_text(args[1], self.argument)}]"
            )
        if function is part_of:
            return Text(f"{self.argument(args[0]).at_least(ATOM)}[{args[1]}]")
        if isinstance(function, Method):
            return self.method(call)
        if isinstance(function, Draw):
            return self.draw(call)
        words = [self.argument(x).text for x in args]
        words += [f"{key}={self.argument(x).text}" for key, x in options.items()]
        return Text(f"{function_name(function)}({', '.join(words)})")

    def method(self, call: Call) -> Text:
        """A call of a method."""
        name, (x, *rest), options = call.function.__name__, call.args, call.options
        text = self.argument(x).at_least(ATOM)
        if is_transposition(call):
            return Text(f"{text}.T")
        words = [self.argument(y).text for y in rest]
        if "axis" in options:
            axis = options["axis"]
            options = {
                **options,
                "axis": axis[0] if type(axis) is tuple and len(axis) == 1 else axis,
            }
        words += [
            f"{key}={self.argument(y).text}"
            for key, y in options.items()
            if (key, y) not in (("axis", None), ("keepdims", False))
        ]
        return Text(f"{text}.{name}({', '.join(words)})")

    def draw(self, call: Call) -> Text:
        """A draw from a generator."""
        generator, *rest = call.args
        text = self.argument(generator).text
        if call.function.function is random_bits:
            words = -(-rest[0] // 4)
            cut = f"[:{rest[0]}]" if rest[0] % 4 else ""
            return Text(f"{text}.bit_generator.random_raw({words}).view(np.uint16){cut}")
        words_ = [self.argument(x).text for x in rest]
        words_ += [f"{key}={self.argument(x).text}" for key, x in call.options.items()]
        return Text(f"{text}.{call.function.__name__}({', '.join(words_)})")


# --- Passes for reading: the same up to rounding -------------------------------------------------


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


# --- Words ---------------------------------------------------------------------------------------


def heading_of(call: Call) -> str:
    """The part of the network, of the sweep, or the optimizer."""
    if call.part:
        return call.part
    path = [str(scope.name) for scope in call.scope.path]
    names = [name for name in path if name != "Sequential"]
    modules = [name for name in names if name[0].isupper()]
    return modules[-1] if modules else " / ".join(names)


def identifier(name: str) -> str:
    """A name for the function."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else "program"


def function_name(function: Any) -> str:
    """A function as a program calls it."""
    if isinstance(function, UfuncAt):
        return f"np.{function.__name__}"
    name = full_name(function)
    return {"builtins.round": "round", "_operator.abs": "abs"}.get(name, name)


def is_transposition(call: Call) -> bool:
    """Tell whether the last two axes of a matrix, or all axes, are exchanged."""
    (x, *rest), name = call.args, call.function.__name__
    if name == "swapaxes":
        return len(x.shape) == 2 and {rest[0] % 2, rest[1] % 2} == {0, 1}
    if name == "transpose":
        axes = rest[0] if len(rest) == 1 else rest
        return tuple(axes) == tuple(range(len(x.shape)))[::-1]
    return False


def index_text(index: Any, argument: Callable[[Any], Text]) -> str:
    """An index without its brackets."""
    if isinstance(index, tuple):
        inside = ", ".join(index_text(part, argument) for part in index)
        return f"{inside}," if len(index) == 1 else inside or "()"
    if isinstance(index, slice):
        parts = [index.start, index.stop] + [index.step] * (index.step is not None)
        return ":".join("" if part is None else str(part) for part in parts)
    return "..." if index is ... else argument(index).text


def number(x: Any) -> Text:
    """A number: 1 / n as such if it is one, and otherwise to 12 digits if it has more than 8."""
    if isinstance(x, np.generic) and x.dtype.kind == "f":
        kind: Any = type(x)
        x = float(str(x))  # 0.1 also if it is a float32
    else:
        kind, x = float, x.item() if isinstance(x, np.generic) else x
    if not np.isfinite(x):
        return Text({"inf": "np.inf", "-inf": "-np.inf"}.get(str(x), "np.nan"), SIGN)
    text = repr(x)
    if len(text) > 8 and type(x) is float:
        n = round(1 / x) if x and abs(1 / x) < 1e6 else 0
        if abs(n) > 1 and kind(1 / n) == kind(x):
            return Text(f"{'-' * (n < 0)}1 / {abs(n)}", PRODUCT)
        text = repr(float(f"{x:.12g}"))
    return Text(text, SIGN if x < 0 else ATOM)


def with_brackets(tree: Any, leaf: Callable[[Any], str]) -> str:
    """A result as code."""
    if isinstance(tree, dict):
        inside = ", ".join(f"{key!r}: {with_brackets(x, leaf)}" for key, x in tree.items())
        return f"{{{inside}}}"
    if isinstance(tree, (list, tuple)):
        inside = ", ".join(with_brackets(x, leaf) for x in tree)
        if isinstance(tree, list):
            return f"[{inside}]"
        return f"({inside}{',' * (len(tree) == 1)})"
    return leaf(tree)


def wrapped(line: str, indent: int = 4) -> str:
    """A long line, broken after commas."""
    if len(line) <= 96:
        return line
    pieces, current = [], ""
    for word in line.split(", "):
        if len(current) + len(word) > 88:
            pieces.append(current.rstrip() + ",")
            current = " " * indent
        current += ("" if not current.strip() else ", ") + word
    return "\n".join([*pieces, current])
