"""Recorded arrays: arrays that compute as ever, and write down what is done to them.

The engine calls NumPy's functions on whatever arrays it is given.  Given these, the forward pass,
the reverse sweep and the optimizer write themselves down, one call after the other:

>>> tape = Tape()
>>> x = tape.array("x", np.array([1.0, 2.0]))
>>> y = np.exp(x) * 2
>>> for call in tape.calls:
...     print(call)
t0 = exp(x)
t1 = multiply(t0, 2)

What is written down is a list of calls, each with a new value as its result (in compilers: static
single assignment).  To write into an array gives it a new value under its old name.

Numbers that arrays give (`.item()`, `np.count_nonzero`) and numbers that change between calls, as a
learning rate, are recorded in the same way.  A decision on a value, an `if` or an index, cannot be
written down: it becomes a guard, with the outcome that it had.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from math import prod
from typing import Any
from weakref import ref

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..attributes import Attributes
from ..errors import full_name, name_of
from ..nested import tree_leaves, tree_map
from ..optim import Optimizer
from ..primitives import Number
from ..random import StandIn
from ..scope import Observer, Scope, here, program
from ..tensor import Tensor

Function = Callable[..., Any]


class RecordingError(TypeError):
    """Something was done to a recorded array that cannot be written down."""


# --- What is written down ------------------------------------------------------------------------


class Value:
    """A value of the program: an argument, a part of the state, or the result of a call.

    Its kind is known, and not its numbers, which differ from run to run.

    Attributes
    ----------
    name
        What programs call it; None for most results.
    call
        The call that computes it; None for arguments and state.
    type
        `np.ndarray`, or the class of a number or a tuple.
    shape, dtype, strides
        Of an array, or a NumPy scalar.
    """

    __slots__ = ("call", "dtype", "name", "shape", "strides", "type")

    def __init__(self, real: Any, name: str | None = None, call: Call | None = None) -> None:
        self.name = name
        self.call = call
        self.type = type(real)
        self.shape: Any = getattr(real, "shape", None)
        self.dtype: Any = getattr(real, "dtype", None)
        self.strides: Any = getattr(real, "strides", None)

    def __repr__(self) -> str:
        return self.name or "a result"

    @property
    def nbytes(self) -> int:
        """The size of an array."""
        return int(prod(self.shape) * self.dtype.itemsize)


def is_array(x: Any) -> bool:
    """Tell whether x is an array in a program, and no scalar."""
    return isinstance(x, Value) and x.type is np.ndarray and x.shape != ()


class Call:
    """One call: `result = function(*args, **options)`.

    Attributes
    ----------
    args, options
        What it was called with: values in the place of recorded arrays, and constants.
    is_view
        Whether the result shares the memory of an argument.
    scope
        Where it was made; of a derivative, where that of which it is one was.
    part
        "" in the forward pass, "backward of exp" in a derivative, "SGD" in an optimizer.
    where
        The line of the user's program, "train.py:12".
    errors
        NumPy's reactions to floating-point errors (`np.errstate`).
    """

    __slots__ = (
        "args", "errors", "function", "is_view", "options", "part", "result", "scope", "where",
    )  # fmt: skip

    def __init__(self, function: Function, args: Any, options: Any) -> None:
        self.function: Any = function
        self.args: tuple[Any, ...] = args
        self.options: dict[str, Any] = options
        self.is_view = False
        self.scope = program
        self.part = self.where = ""
        self.errors: dict[str, str] = {}
        self.result: Value

    @property
    def inputs(self) -> list[Value]:
        """The values among the arguments."""
        return [x for x in tree_leaves((self.args, self.options)) if isinstance(x, Value)]

    def copy(self, args: Any, options: Any) -> Call:
        """The same call with other arguments, for the same result."""
        other = Call(self.function, args, options)
        for name in ("errors", "is_view", "part", "result", "scope", "where"):
            setattr(other, name, getattr(self, name))
        return other

    def __str__(self) -> str:
        words = [*map(str, self.args), *(f"{k}={v}" for k, v in self.options.items())]
        return f"{self.result} = {name_of(self.function)}({', '.join(words)})"


class Made:
    """A function made of another one; two that are made of the same in the same way are equal."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.__name__ = name_of(function)

    def __call__(self, x: Any, *args: Any, **options: Any) -> Any:
        return self.function(x, *args, **options)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other)["function"] == self.function

    def __hash__(self) -> int:
        return hash((type(self), self.function))


class Method(Made):
    """A method of arrays as a function: Method("sum")(x, axis=0) is x.sum(axis=0)."""

    def __init__(self, name: str) -> None:
        self.function = self.__name__ = name

    def __call__(self, x: Any, *args: Any, **options: Any) -> Any:
        return getattr(x, self.__name__)(*args, **options)


class UfuncAt(Made):
    """`ufunc.at` of a ufunc."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self.function = ufunc
        self.__name__ = f"{ufunc.__name__}.at"

    def __call__(self, x: Any, *args: Any, **options: Any) -> Any:
        self.function.at(x, *args)


class Writing(Made):
    """A function that writes into its first argument, as one that gives a new array instead."""

    def __call__(self, x: Any, *args: Any, **options: Any) -> Any:
        new = np.array(x)  # with the order of the axes that x has in memory
        self.function(new, *args, **options)
        return new


class Draw(Made):
    """A function of a generator; the order of draws matters, as each changes the generator."""


def guard(value: Any, outcome: Any) -> None:
    """Stands in a program where a decision was made on a value."""


def add_part(x: Any, index: Any, y: Any) -> None:
    """Add to a part of an array."""
    x[index] += y


def part_of(results: Any, i: int) -> Any:
    """One of several results."""
    return results[i]


def shape_of(x: Any) -> Any:
    """The shape of an array, for guards."""
    return np.shape(x)


# --- The tape ------------------------------------------------------------------------------------

recording: ContextVar[Tape | None] = ContextVar("recording", default=None)
HERE = os.path.dirname(os.path.dirname(__file__))
LIBRARIES = HERE, os.path.dirname(np.__file__), os.path.dirname(operator.__file__)

# They look at types and shapes alone, so their results are no part of a program.
OF_SHAPES: set[Function] = {
    np.can_cast, np.common_type, np.iscomplexobj, np.isrealobj, np.may_share_memory,
    np.min_scalar_type, np.ndim, np.result_type, np.shape, np.shares_memory, np.size,
}  # fmt: skip
# They write into their first argument.
WRITE: set[Function] = {
    np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask,
}  # fmt: skip
# The shapes of their results hang on the numbers in arrays.
SHAPED_BY_VALUES = {
    np.argwhere, np.bincount, np.compress, np.delete, np.extract, np.flatnonzero, np.intersect1d,
    np.nonzero, np.repeat, np.setdiff1d, np.trim_zeros, np.union1d, np.unique, np.unique_all,
    np.unique_counts, np.unique_inverse, np.unique_values, Method("nonzero"), Method("compress"),
    Method("repeat"), np.setxor1d, np.insert,
}  # fmt: skip


class Tape:
    """Everything that is done to recorded arrays, call by call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.inputs: dict[str, Value] = {}
        self.problem = ""  # why no program can be made of it
        self.closed = False  # from then on recorded arrays compute, and record nothing
        self.part = ""  # what is differentiated, and in which scope that was computed
        self.scope: Scope | None = None
        self.generators: dict[int, RecordedGenerator] = {}
        self.constants: dict[int, tuple[Any, Any]] = {}
        self.handles: list[ref[RecordedArray]] = []
        self.errors: dict[str, Any] = {**np.geterr()}

    # --- What goes in ----------------------------------------------------------------------------

    def input(self, name: str, real: Any) -> Value:
        """A new argument, or part of the state."""
        value = self.inputs[name] = Value(real, name)
        return value

    def array(self, name: str, real: Any) -> RecordedArray:
        """A recorded array that goes into the program."""
        return RecordedArray(self, self.input(name, real), real)

    def argument(self, name: str, real: Any) -> RecordedArray:
        """A recorded array that belongs to the caller, so that nothing may write into it."""
        array = self.array(name, real)
        array.is_argument = True
        return array

    def number(self, name: str, real: Any) -> RecordedNumber:
        """A recorded number that goes into the program."""
        return RecordedNumber(self, self.input(name, real), real)

    def generator(self, name: str, real: np.random.Generator) -> RecordedGenerator:
        """A recorded generator, the same one each time."""
        if id(real) not in self.generators:
            value = self.input(name, real)
            self.generators[id(real)] = RecordedGenerator(self, value, real)
        return self.generators[id(real)]

    # --- What is done ----------------------------------------------------------------------------

    def call(self, function: Function, args: Any, options: Any) -> Any:
        """Call the function on the real arrays, and write that down."""
        real_args, real_options = tree_map(real, args), tree_map(real, options)
        result = function(*real_args, **real_options)
        if self.closed or function in OF_SHAPES:
            return result
        values = [x for x in tree_leaves((args, options)) if isinstance(x, Recorded)]
        if not values:
            return result
        call = Call(function, tree_map(self.value, args), tree_map(self.value, options))
        call.result = Value(result, f"t{len(self.calls)}", call)
        base = getattr(result, "base", None)
        viewed = [x for x in values if base is not None and np.may_share_memory(result, x.real)]
        call.is_view = bool(viewed)
        self.note(call)
        recorded = self.recorded(result, call.result, viewed[0] if viewed else None)
        if hangs_on_values(function, args):
            for array in tree_leaves(recorded):
                self.guard(self.call(shape_of, (array,), {}), array.shape)
        return recorded

    def note(self, call: Call) -> None:
        """Write a call down, with all that is known of where it was made."""
        call.scope = self.scope or here()
        if len(here().observers) > 1:  # `Parts` is one
            self.problem = "an observer watches it, as detect_anomaly and save_memory do"
        call.part, call.where = self.part, ""
        for frame in frames():  # a user's optimizer stands between its calls and `step`
            if frame.f_code is Optimizer.step.__code__:
                call.part = type(frame.f_locals["self"]).__name__
            elif frame.f_code is Tensor.backward.__code__ and not call.part:
                call.part = "backward"
            elif not call.where and not frame.f_code.co_filename.startswith(LIBRARIES):
                call.where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        now: dict[str, Any] = {**np.geterr()}
        call.errors = {key: now[key] for key in now if now[key] != self.errors[key]}
        self.calls.append(call)

    def guard(self, value: Recorded, outcome: Any) -> None:
        """Write down a decision: in later runs the value must have this outcome again."""
        if not self.closed:
            call = Call(guard, (value.value, outcome), {})
            call.result = Value(None, None, call)
            self.note(call)

    def value(self, x: Any) -> Any:
        """The value of a recorded array; everything else is a constant, which nobody may change."""
        if isinstance(x, Recorded):
            if x.tape is not self:
                raise RecordingError(f"{x.what} was recorded in another call of a compiled step")
            return x.value
        if not isinstance(x, np.ndarray):
            return x
        if id(x) not in self.constants:
            self.constants[id(x)] = (x, x.copy())
        original, copy = self.constants[id(x)]
        if not same_bits(original, copy):
            self.problem = (
                self.problem or "an array that is no argument was changed in the course of it"
            )
        return copy

    def recorded(self, result: Any, value: Value, viewed: Any = None) -> Any:
        """A result that goes on recording."""
        if isinstance(result, (np.ndarray, np.generic)):
            array = RecordedArray(self, value, result)
            if viewed is not None:
                array.memory = viewed.memory
                array.version = viewed.version
            return array
        if type(result) in (bool, int, float):
            return RecordedNumber(self, value, result)
        if value.call is not None and value.call.function is shape_of:
            return RecordedNumber(self, value, result)
        if isinstance(result, (tuple, list)):
            parts = [self.part_of(result, value, i) for i in range(len(result))]
            if hasattr(result, "_fields"):
                return type(result)(*parts)
            return type(result)(parts)
        if result is None:
            return None
        raise RecordingError(
            f"{full_name(value.call.function if value.call else None)} gives "
            f"{type(result).__name__}, which cannot be recorded"
        )

    def part_of(self, results: Any, value: Value, i: int) -> Any:
        call = Call(part_of, (value, i), {})
        call.result = Value(results[i], f"t{len(self.calls)}", call)
        self.note(call)
        return self.recorded(results[i], call.result)


def hangs_on_values(function: Function, args: Any) -> bool:
    """Tell whether the shape of a result depends on the numbers in arrays."""
    if function is np.where:
        return len(args) == 1
    if function in (np.repeat, Method("repeat")):
        return isinstance(args[1], Recorded) if len(args) > 1 else True
    if function is operator.getitem:
        return any(isinstance(x, RecordedArray) and x.dtype == bool for x in tree_leaves(args[1]))
    return function in SHAPED_BY_VALUES


def same_bits(x: Any, y: Any) -> bool:
    """Tell whether two arrays are the same, bit for bit."""
    if (x.shape, x.dtype) != (y.shape, y.dtype):
        return False
    if x.dtype == np.longdouble:  # some of its bytes mean nothing
        return np.array_equal(x, y, equal_nan=True) and bool(np.all(np.signbit(x) == np.signbit(y)))
    return bool(np.all(x == y)) if x.dtype.hasobject else x.tobytes() == y.tobytes()


def is_uniform(x: Any) -> bool:
    """Tell whether all elements of an array are the same, bit for bit."""
    return bool(x.size and x.dtype.kind in "biuf" and x.tobytes() == x.flat[0].tobytes() * x.size)


def frames() -> Iterator[Any]:
    """The frames of the functions that are running, from the innermost on."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back  # type: ignore[assignment]


class Parts(Observer):
    """Tells a tape which derivative is being computed, and what the gradients of leaves are.

    Attributes
    ----------
    gradients
        For each leaf of a graph its last gradient.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.gradients: dict[Any, Value] = {}

    def summed(self, node: Any, g: Any) -> None:
        if node.function is not None:
            names = [scope.name for scope in node.scope.path]
            self.tape.part = f"backward of {names[-1] if names else name_of(node.function)}"
            self.tape.scope = node.scope
        elif isinstance(g, RecordedArray):
            self.gradients[node] = g.value

    def passed(self, node: Any) -> None:
        self.tape.part, self.tape.scope = "", None


# --- Recorded arrays, numbers and generators -----------------------------------------------------


class Recorded:
    """A real array, number or generator, and the value that stands for it on a tape."""

    what: str
    tape: Tape
    value: Value
    real: Any


class RecordedValue(Recorded):
    """An array or a number: what can be decided on, and what it refuses to become."""

    def __bool__(self) -> bool:
        return bool(self.decide(bool))

    def __index__(self) -> int:
        return int(self.decide(operator.index))

    def decide(self, on: Function) -> Any:
        """The outcome of a decision on the value, which is a guard from now on."""
        outcome = on(self.real)
        self.tape.guard(self, outcome)
        return outcome

    def leaves(self, what: str) -> None:
        """Refuse to become something that cannot be recorded."""
        if not self.tape.closed:
            shape = f" of shape {self.real.shape}" if hasattr(self.real, "shape") else ""
            raise RecordingError(
                f"{what} {self.what}{shape} inside a compiled step, which cannot be recorded: use "
                "NumPy's functions, and .item() for a number; return what is to be looked at"
            )

    def __float__(self) -> float:
        self.leaves("a Python number is made of")
        return float(self.real)

    def __int__(self) -> int:
        self.leaves("a Python number is made of")
        return int(self.real)


def real(x: Any) -> Any:
    """What is inside a recorded array, number or generator."""
    return x.real if isinstance(x, Recorded) else x


class Memory:
    """The memory that an array and its views share: how often something was written into it."""

    writes = 0


class RecordedArray(RecordedValue, NDArrayOperatorsMixin):
    """An array, the name it has in a program, and the tape on which that is written."""

    __array_priority__ = 1000
    __hash__ = object.__hash__
    what = "an array"

    def __init__(self, tape: Tape, value: Value, real: Any) -> None:
        self.tape = tape
        self.current = value
        self.real = real
        self.memory = Memory()
        self.version = 0
        tape.handles.append(ref(self))

    @property
    def value(self) -> Value:  # type: ignore[override]
        """What it is called in the program now."""
        if self.version != self.memory.writes:
            raise RecordingError(
                f"an array of shape {self.shape} shares memory with one that was written into "
                "since, which cannot be recorded; write into a copy, or look at it before"
            )
        return self.current

    def become(self, new: Any) -> Any:
        """Take the value of another array: what writing into this one amounts to.

        What is written into a part, a[i], is written into the array a, too.
        """
        if self.is_argument:
            raise RecordingError(
                f"the argument {self.value.name} was written into; in a compiled step, write into "
                "a copy"
            )
        if new.shape != self.shape or new.dtype != self.dtype:
            new = self.tape.call(Writing(np.copyto), (self, new), {"casting": "same_kind"})
        if type(self.real) is np.ndarray and isinstance(new.real, np.generic):
            # Of an array of shape () ufuncs give a scalar.
            new = self.tape.call(np.array, (new,), {})
        if self.parent is not None:
            whole, index = self.parent
            whole.become(
                self.tape.call(Writing(operator.setitem), (whole, decided(index), new), {})
            )
        else:
            self.memory.writes += 1
        self.version = self.memory.writes
        self.current, self.real = new.value, new.real
        return self

    is_argument = False
    parent: tuple[RecordedArray, Any] | None = None  # the array of which it is a part, and where

    # --- What can be seen of it ------------------------------------------------------------------

    shape = property(lambda self: self.real.shape)
    dtype = property(lambda self: self.real.dtype)
    ndim = property(lambda self: self.real.ndim)
    size = property(lambda self: self.real.size)
    itemsize = property(lambda self: self.real.itemsize)
    nbytes = property(lambda self: self.real.nbytes)
    T = property(lambda self: self.transpose())

    def __len__(self) -> int:
        return len(self.real)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # --- What is done to it ----------------------------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        if any(isinstance(x, Attributes) for x in inputs):
            return NotImplemented  # a tensor knows what to do
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "at":
            if not isinstance(inputs[0], RecordedArray):
                raise unrecorded(f"{full_name(ufunc)}.at")
            return inputs[0].become(self.tape.call(Writing(UfuncAt(ufunc)), inputs, options))
        if out is not None and ("where" in options or len(out) > 1):
            raise RecordingError(f"{name_of(ufunc)} with out= and where= cannot be recorded")
        result = self.tape.call(function, inputs, options)
        if out is None:
            return result
        if not isinstance(out[0], RecordedArray):
            raise unrecorded(full_name(ufunc))
        return out[0].become(result)

    def __array_function__(self, function: Function, types: Any, args: Any, options: Any) -> Any:
        if any(issubclass(kind, Attributes) for kind in types):
            return NotImplemented
        if function in WRITE:
            if not isinstance(args[0], RecordedArray):
                raise unrecorded(full_name(function))
            args[0].become(self.tape.call(Writing(function), args, options))
            return None
        if not any(isinstance(x, Recorded) for x in tree_leaves((args, options))):
            return function(*args, **options)  # it was only called like= this one
        if "out" in options:
            raise RecordingError(f"{full_name(function)} with out= cannot be recorded")
        return self.tape.call(function, args, options)

    def __pow__(self, other: Any) -> Any:
        return self.power(self, other)  # for some exponents NumPy's ** is not np.power

    def __rpow__(self, other: Any) -> Any:
        return self.power(other, self)

    def __ipow__(self, other: Any) -> Any:
        return self.become(self.power(self, other))

    def power(self, x: Any, y: Any) -> Any:
        if isinstance(x, Attributes) or isinstance(y, Attributes):
            return NotImplemented
        return self.tape.call(operator.pow, (x, y), {})

    def __getitem__(self, index: Any) -> Any:
        part = self.tape.call(operator.getitem, (self, decided(index)), {})
        if isinstance(part, RecordedArray) and part.memory is self.memory:
            part.parent = self, index
        return part

    def __setitem__(self, index: Any, new: Any) -> None:
        parent = getattr(new, "parent", None)
        if parent is not None and parent[0] is self and parent[1] is index:
            return  # the last step of a[i] += x, which has written into a already
        self.become(self.tape.call(Writing(operator.setitem), (self, decided(index), new), {}))

    def view(self) -> RecordedArray:
        """The same value in another hand: writing into one does not show in the other."""
        return RecordedArray(self.tape, self.value, self.real)

    def copy(self) -> RecordedArray:
        """A copy, with the strides of one that NumPy makes."""
        flags = getattr(self.real, "flags", None)
        if flags is None or flags.c_contiguous or flags.f_contiguous:
            return self.view()
        copy: RecordedArray = self.tape.call(np.array, (self,), {})
        return copy

    # --- What leaves it --------------------------------------------------------------------------

    def item(self) -> Any:
        """The only element, as a recorded number."""
        return self.tape.call(Method("item"), (self,), {})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self.leaves("a real array is made of")
        return np.array(self.real, dtype=dtype, copy=copy)

    def tolist(self) -> Any:
        self.leaves("a list is made of")
        return self.real.tolist()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a recorded array has no attribute {name!r}")

    def __reduce__(self) -> Any:
        self.leaves("a copy, or a pickle, is made of")
        return self.real.__reduce__()


def unrecorded(name: str) -> RecordingError:
    """Something recorded is written into an array that is not."""
    return RecordingError(
        f"{name} writes what a compiled step computes into an array that is neither an argument "
        "nor a part of the state, which cannot be recorded; compute a new array"
    )


def method(name: str) -> Any:
    """A method of recorded arrays."""
    function = Method(name)

    def recorded(self: RecordedArray, *args: Any, **options: Any) -> Any:
        if options.get("out") is not None:
            raise RecordingError(f".{name} with out= cannot be recorded")
        return self.tape.call(function, (self, *args), options)

    return recorded


METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip",
    "compress", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max", "mean", "min", "nonzero",
    "prod", "ravel", "repeat", "reshape", "round", "searchsorted", "squeeze", "std", "sum",
    "swapaxes", "take", "trace", "transpose", "var",
)  # fmt: skip
for name in METHODS:
    setattr(RecordedArray, name, method(name))


class RecordedNumber(RecordedValue, Number):
    """A Python number, and the name it has in a program."""

    what = "a number"

    def __init__(self, tape: Tape, value: Value, real: Any) -> None:
        self.tape = tape
        self.value = value
        self.real = real

    # NumPy asks this one when it meets an array.
    __array_ufunc__ = RecordedArray.__array_ufunc__
    __array_function__ = RecordedArray.__array_function__

    def copy(self) -> RecordedNumber:
        """Itself, as numbers do not change."""
        return self

    item = copy

    def __hash__(self) -> int:
        return hash(self.__index__() if isinstance(self.real, int) else float(self))

    def __repr__(self) -> str:  # printing happens in recorded calls alone
        return repr(self.real)

    def __format__(self, spec: str) -> str:
        return format(self.real, spec)

    def __reduce__(self) -> Any:
        return type(self.real), (self.real,)


def on_numbers(function: Function, reflected: bool = False) -> Any:
    """An operator of recorded numbers."""

    def recorded(self: RecordedNumber, *others: Any) -> Any:
        if not all(isinstance(x, (int, float, RecordedNumber)) for x in others):
            return NotImplemented
        args = (*others, self) if reflected else (self, *others)
        return self.tape.call(function, args, {})

    return recorded


for name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]:
    setattr(RecordedNumber, f"__{name}__", on_numbers(getattr(operator, name)))
    setattr(RecordedNumber, f"__r{name}__", on_numbers(getattr(operator, name), reflected=True))
for name in ["lt", "le", "eq", "ne", "gt", "ge", "neg", "pos", "abs"]:
    setattr(RecordedNumber, f"__{name}__", on_numbers(getattr(operator, name)))
RecordedNumber.__round__ = on_numbers(round)  # type: ignore[attr-defined]


class RecordedGenerator(Recorded, StandIn):
    """A random generator whose draws are written down."""

    what = "a generator"

    def __init__(self, tape: Tape, value: Value, real: np.random.Generator) -> None:
        self.tape = tape
        self.value = value
        self.real = real

    def draw(self, function: Function, *args: Any, **options: Any) -> Any:
        """Call a function of the generator, and write that down."""
        if options.get("out") is not None:
            raise RecordingError(f"{name_of(function)} of a generator with out= cannot be recorded")
        return self.tape.call(Draw(function), (self, *args), options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("shuffle", "bit_generator", "spawn"):
            raise AttributeError(f"a recorded generator has no attribute {name!r}")
        return partial(self.draw, Method(name))


def decided(index: Any) -> Any:
    """An index in which numbers are decided, so that shapes are known."""
    if isinstance(index, tuple):
        return tuple(map(decided, index))
    if isinstance(index, slice):
        return slice(*map(decided, (index.start, index.stop, index.step)))
    return operator.index(index) if isinstance(index, RecordedNumber) else index
