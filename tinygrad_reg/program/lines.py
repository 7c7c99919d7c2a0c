"""Lines: the calls of a program as Python, with names for what is used twice.

What is used once is written where it is used, if the line stays short.
"""

from __future__ import annotations

import base64
import keyword
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import full_name
from ..nested import tree_leaves
from ..random import random_bits
from .recorder import Call, Draw, Method, UfuncAt, Value, Writing, add_part, is_uniform, part_of

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


class Update(NamedTuple):
    """Several calls that are written as one of a function: `p, m = adam(p, m, d_p, lr)`."""

    name: str
    args: list[Value]
    outputs: list[Value]
    heading: str
    options: Any = None


class Lines:
    """Writes calls down, line by line.

    Parameters
    ----------
    names
        What values are called that are there before.
    final
        What results are called that are asked for.
    outputs
        All that is used after the last line.
    taken
        Names that mean something else.
    in_full
        Whether large constants are written out, too.

    Attributes
    ----------
    lines
        The code.
    constants
        The arrays that it names, as they are too large to be written where they are used.
    """

    def __init__(
        self,
        names: Mapping[Value, str],
        final: dict[Value, str],
        outputs: Any,
        taken: Iterable[str] = (),
        in_full: bool = False,
    ) -> None:
        self.texts = {value: Text(name) for value, name in names.items()}
        self.final = final
        self.outputs = outputs
        self.taken = {"np", *taken, *names.values(), *final.values()}
        self.in_full = in_full
        self.constants: dict[str, Any] = {}
        self.lines: list[str] = []
        self.own: set[Any] = set()  # arrays that were made here, to be written into
        self.heading = ""
        self.count = 0

    def write(self, calls: Iterable[Call | Update]) -> None:
        """Write lines for these calls."""
        calls = [*calls]
        everything = [(call.args, call.options) for call in calls]
        leaves = tree_leaves([everything, self.outputs])
        self.uses = Counter(x for x in leaves if isinstance(x, Value))  # that are still to come
        for call in calls:
            if isinstance(call, Update):
                self.write_update(call)
            elif isinstance(call.function, Writing):
                self.write_writing(call)
            else:
                self.write_call(call)

    def write_call(self, call: Call) -> None:
        """Write a call where it is used, or in a line of its own."""
        value = call.result
        text = self.expression(call)
        once = self.uses[value] <= 1 or (call.is_view and len(text.text) < 16)
        short = len(text.text) < LONGEST - 24 and not isinstance(call.function, Draw)
        if once and short and value not in self.final:
            self.texts[value] = text
        else:
            self.write_heading(heading_of(call))
            self.lines.append(wrapped(f"{self.new_name(value)} = {text.text}"))

    def write_writing(self, call: Call) -> None:
        """Write into an array if nobody needs its old value any more, and otherwise into a copy."""
        x, *rest = call.args
        self.write_heading(heading_of(call))
        text = self.argument(x)
        ended = isinstance(x, Value) and x in self.own and not self.uses[x]
        if ended and not self.is_needed(text.text):
            name = text.text
            self.texts[call.result] = text
        else:
            name = self.new_name(call.result)
            is_new = isinstance(x, np.ndarray) and is_uniform(x)
            self.lines.append(f"{name} = {text.at_least(ATOM)}{'' if is_new else '.copy()'}")
        self.own.add(call.result)
        function = call.function.function
        if function in (operator.setitem, add_part):
            sign = "=" if function is operator.setitem else "+="
            index, new = index_text(rest[0], self.argument), self.argument(rest[1])
            self.lines.append(f"{name}[{index}] {sign} {new.text}")
            return
        where = [self.index(rest.pop(0))] if isinstance(function, UfuncAt) else []
        words = [name, *where, *(self.argument(y).text for y in rest)]
        self.lines.append(f"{function_name(function)}({', '.join(words)})")

    def write_update(self, update: Update) -> None:
        """Write a call of a function that stands for several."""
        self.write_heading(update.heading)
        args = ", ".join(self.argument(x).text for x in update.args)
        names = ", ".join(map(self.new_name, update.outputs))
        self.lines.append(wrapped(f"{names} = {update.name}({args})"))

    def write_heading(self, heading: str) -> None:
        """Write a comment where another part of the network begins."""
        if heading != self.heading:
            self.heading = heading
            if heading:
                self.lines.append(f"# {heading}")

    def new_name(self, value: Value) -> str:
        """The name of a value: that of its part of the state, or t0, t1, …."""
        if value in self.final:
            name = self.final[value]
            if self.is_needed(name):
                name = unique(f"new_{name}", self.taken)
        else:
            name = unique(f"t{self.count}", self.taken)
            self.count += 1
        self.texts[value] = Text(name)
        return name

    def is_needed(self, name: str) -> bool:
        """Tell whether what has this name now is used later on."""
        word = re.compile(rf"\b{name}\b")
        return any(self.uses[x] > 0 and word.search(y.text) for x, y in self.texts.items())

    @property
    def definitions(self) -> list[str]:
        """The lines that make the large constants."""
        return [f"{name} = {self.of_constant(x)}" for name, x in self.constants.items()]

    # --- Expressions -----------------------------------------------------------------------------

    def argument(self, x: Any) -> Text:
        """A value or a constant."""
        if isinstance(x, Value):
            self.uses[x] -= 1
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
            kind = "" if x.dtype == np.float64 else f", np.{x.dtype.name}"
            if is_uniform(x) and x.flat[0] in (0, 1) and not np.signbit(x.flat[0]):
                return Text(f"np.{'ones' if x.flat[0] else 'zeros'}({shape}{kind})")
            return Text(f"np.full({shape}, {self.argument(x.flat[0]).text}{kind})")
        if x.ndim == 1 and x.dtype == np.int64 and np.array_equal(x, np.arange(x.size)):
            return Text(f"np.arange({x.size})")
        if x.size <= 8:
            return Text(f"np.array({x.tolist()}{kind})")
        known = [name for name, y in self.constants.items() if y is x]
        name = known[0] if known else unique(f"c{len(self.constants)}", self.taken)
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


# --- Words ---------------------------------------------------------------------------------------


def unique(name: str, taken: set[str]) -> str:
    """A name that is not taken yet, made of letters, digits and underscores; from now on it is."""
    digits = re.match(r"(\d+)\.(.+)", name)
    name = f"{digits[2]}_{digits[1]}" if digits else name  # "0.weight" is weight_0
    name = re.sub(r"\W+", "_", name).strip("_") or "x"
    if keyword.iskeyword(name) or name[0].isdigit():
        name = f"_{name}"
    base, n = name, 1
    while name in taken:
        n += 1
        name = f"{base}_{n}"
    taken.add(name)
    return name


def heading_of(call: Call) -> str:
    """The part of the network, of the sweep, or the optimizer."""
    if call.part:
        return call.part
    path = [str(scope.name) for scope in call.scope.path]
    names = [name for name in path if name != "Sequential"]
    modules = [name for name in names if name[0].isupper()]
    return modules[-1] if modules else " / ".join(names)


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


def wrapped(line: str, indent: int = 8) -> str:
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
