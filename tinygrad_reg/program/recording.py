"""One recorded call of a function, and the comparison of two."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import random
from ..blocks import observing
from ..errors import shown
from ..graph import Node, new_node
from ..nested import tree_map, tree_paths
from ..optim import Stateful
from ..scope import here
from ..tensor import Tensor, constant, tensor
from .passes import Program
from .recorder import (
    Parts,
    Recorded,
    RecordedArray,
    RecordedNumber,
    Tape,
    Value,
    recording,
)
from .state import GradPlace, Place, State

NUMBERS = (int, float)
PLAIN = (*NUMBERS, bool, complex, str)


@dataclass(frozen=True)
class Leaf:
    """A leaf of a result: an output of the program, as a tensor or as it is."""

    output: str
    is_tensor: bool = False
    wants_gradient: bool = False
    name: str | None = None

    def of(self, x: Any) -> Any:
        """The leaf, if this is the output."""
        if not self.is_tensor:
            return x
        return ended(x, self.name) if self.wants_gradient else constant(x, self.name)


def ended(array: Any, name: str | None = None) -> Tensor:
    """A tensor that wants a gradient and cannot have one, as its graph was inside a program."""
    inside = new_node(array, here())
    node = new_node(array, here(), name, compiled, [inside], [array], [(0, no_graph)], {})
    return tensor(array, node)


def compiled(x: Any) -> Any:
    """Stands in a graph for a compiled function."""
    return x


def no_graph(g: Any, out: Any, x: Any) -> Any:
    """The derivative rule of a compiled function: there is none."""
    raise RuntimeError(
        "backward: this tensor comes from a compiled function, which keeps no graph; call backward "
        "inside of it, or compile grad(f) or value_and_grad(f)"
    )


def is_number_array(x: Any) -> bool:
    """Tell whether x is an array or a scalar of NumPy's own classes, with numbers in it."""
    return (type(x) is np.ndarray or isinstance(x, np.generic)) and x.dtype.kind in "biuf"


class Recording:
    """A call of a function, written down.

    Attributes
    ----------
    program
        What was written down.
    sources
        Where each part of the state comes from: a place, or a generator (None: the package's own).
    result
        The result, with a `Leaf` in the place of each array and number.
    problem
        Why no program can be made of it; "" if one can.
    grads
        For each tensor of the state whether it had a gradient, by the name of that.
    """

    def __init__(self, state: State, args: Any, kwargs: Any) -> None:
        self.tape = Tape()
        self.state = state
        self.arguments: Any = (args, kwargs)
        self.leaves = tree_paths(self.arguments)
        self.records = here().records
        self.outside = random.replaced.get()
        self.places = [*state.places()]
        self.before = [place.get() for place in self.places]
        pairs = [*zip(self.places, self.before)]
        self.kinds: list[Any] = [(path, kind_of(x)) for path, x in self.leaves.items()]
        self.kinds += [(p.name, kind_of(x)) for p, x in pairs if not isinstance(p, GradPlace)]
        self.grads = {p.name: x is not None for p, x in pairs if isinstance(p, GradPlace)}
        self.settings = [*state.settings()]
        self.sources: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.real: dict[str, Any] = {}  # the real outputs of this call
        self.writes: dict[str, Place] = {}  # the outputs that are new values of the state
        self.generators: list[tuple[np.random.Generator, Any]] = []
        self.gradients: dict[Any, Value] = {}
        self.any_grads = False  # whether it makes no difference which gradients there were
        self.program: Program
        self.result: Any = None

    @property
    def problem(self) -> str:
        return self.tape.problem

    def run(self, function: Callable[..., Any]) -> Any:
        """Call the function with recorded arrays in its arguments and in the state."""
        try:
            recording.set(self.tape)
            random.replaced.set(self.stand_in)
            self.call(function)
        finally:
            self.end()
        self.program = Program(self.tape.calls, self.tape.inputs, self.outputs)
        replace_recorded(self.tape)
        real, self.real = self.real, {}
        return tree_map(lambda x: x.of(real[x.output]) if type(x) is Leaf else x, self.result)

    def call(self, function: Callable[..., Any]) -> None:
        leaves = iter([self.argument(f"x{i}", x) for i, x in enumerate(self.leaves.values())])
        args, kwargs = tree_map(lambda _: next(leaves), self.arguments)
        parts = [
            self.part_of_state(f"w{i}", place, x)
            for i, (place, x) in enumerate(zip(self.places, self.before))
        ]
        for place, part in zip(self.places, parts):
            if part is not None:
                place.put(part)
        parts_of_sweep = Parts(self.tape)
        with observing(parts_of_sweep):
            result = function(*args, **kwargs)
        self.gradients = parts_of_sweep.gradients
        self.result = tree_map(self.leaf, result)
        for i, (place, old) in enumerate(zip(self.places, parts)):
            self.find_write(f"w{i}", place, old)
        self.put_tuples_back()
        now = {(id(owner), name): x for owner, name, x in self.state.settings()}
        self.settings = [
            (owner, name, x) for owner, name, x in self.settings if now.get((id(owner), name)) is x
        ]

    def end(self) -> None:
        """Record no more."""
        recording.set(None)
        random.replaced.set(self.outside)
        self.tape.closed = True

    def undo(self) -> None:
        """Put the state back, as it was before the call."""
        self.end()  # which Ctrl-C may have prevented
        for place, x in zip(self.places, self.before):
            place.put(x)
        self.put_tuples_back()
        for generator, state in self.generators:
            generator.bit_generator.state = state
        replace_recorded(self.tape)

    def put_tuples_back(self) -> None:
        """Put back the tuples that had to be made anew for the numbers in them."""
        for owner, name, x in self.settings:
            if isinstance(owner, Stateful) and isinstance(x, tuple) and vars(owner)[name] == x:
                vars(owner)[name] = x

    # --- What goes in ----------------------------------------------------------------------------

    def argument(self, name: str, x: Any) -> Any:
        """A recorded argument; what is neither array nor number is a setting."""
        if isinstance(x, Tensor):
            if x.node.function is not None or not is_number_array(x._array):
                self.tape.problem = "it was called with a tensor that has a graph"
                return x
            array = self.tape.argument(name, x._array)
            inside = Tensor.__new__(type(x))
            inside._array, inside.node = array, new_node(array, here(), x.name)
            inside.node.requires_grad = x.requires_grad
            return inside
        if is_number_array(x):
            return self.tape.argument(name, x)
        if type(x) in NUMBERS:
            return self.tape.number(name, x)
        if hasattr(x, "__array_function__") or hasattr(x, "__array__"):
            self.tape.problem = f"it was called with {shown(x)}, which is not an array of NumPy"
        return x

    def part_of_state(self, name: str, place: Place, x: Any) -> Any:
        """A recorded part of the state; None for a gradient that is not there."""
        if x is None:
            return None
        if type(x) not in NUMBERS and not is_number_array(x):
            self.tape.problem = f"{place.name} is {shown(x)}, which is not an array of NumPy"
            return x
        self.sources[name] = place
        make = self.tape.number if type(x) in NUMBERS else self.tape.array
        return make(name, x)

    def stand_in(self, generator: np.random.Generator) -> Any:
        """The recorded generator in the place of one from which the function draws."""
        known = self.tape.generators.get(id(generator))
        if known is not None:
            return known
        self.generators.append((generator, generator.bit_generator.state))
        name = f"g{len(self.generators) - 1}"
        self.sources[name] = None if generator is random._default else generator
        return self.tape.generator(name, generator)

    # --- What comes out --------------------------------------------------------------------------

    def leaf(self, x: Any) -> Any:
        """A leaf of the result."""
        if isinstance(x, Tensor):
            if any(x is tensor for tensor in self.state.tensors.values()):
                return x
            if isinstance(x._array, RecordedArray):
                return Leaf(self.output(x._array), True, x.requires_grad, x.name)
            return Leaf(self.output(x._array), True, False, x.name)
        if isinstance(x, (RecordedArray, RecordedNumber, np.ndarray, np.generic, *PLAIN)):
            return Leaf(self.output(x))  # also of a constant, as it must be the same in all calls
        return x

    def output(self, x: Any, name: str | None = None) -> str:
        """The name of an output of the program."""
        name = name or f"y{len(self.outputs)}"
        is_recorded = isinstance(x, Recorded)
        self.outputs[name] = x.value if is_recorded else x
        real = x.real if is_recorded else x
        shared = isinstance(real, np.ndarray) and (x.value.call is None or real.base is not None)
        self.real[name] = np.array(real) if is_recorded and shared else real
        return name

    def find_write(self, name: str, place: Place, old: Any) -> None:
        """Find out whether a part of the state has a new value, and put the real one there."""
        new = place.get()
        if isinstance(new, Tensor):
            self.tape.problem = f"{place.name} has a graph"
            new = new._array
        unchanged = new is old
        if isinstance(new, Recorded):
            unchanged = name in self.tape.inputs and new.value is self.tape.inputs[name]
        if not unchanged or new is None:
            self.output(new, name)
            self.writes[name] = place
        if isinstance(new, Recorded):
            place.put(new.real)

    # --- To compare ------------------------------------------------------------------------------

    def forget(self) -> None:
        """Let go of the arrays that arguments and state were in this call."""
        self.arguments = None
        self.leaves = {path: outline(x) for path, x in self.leaves.items()}
        self.before = [None] * len(self.before)

    def loosen(self, other: Recording) -> None:
        """Note that another call did the same, which may have found other gradients."""
        self.any_grads |= self.grads != other.grads

    def same_call(self, other: Recording) -> bool:
        """Tell whether the same program should serve for both calls."""
        return bool(self.signature == other.signature)

    @property
    def signature(self) -> Any:
        """What is the same in all calls for which the same program serves, gradients apart."""
        settings = [(id(owner), name, id(x)) for owner, name, x in self.settings]
        return self.records, self.kinds, settings


class Outline(NamedTuple):
    """What is known of an array, or a tensor, without its numbers."""

    array: Value
    tensor: type | None = None
    requires_grad: bool = False


def outline(x: Any) -> Any:
    """An argument without its numbers; what is neither array nor tensor is as it is."""
    if isinstance(x, Tensor):
        return Outline(Value(x._array), type(x), x.requires_grad)
    return Outline(Value(x)) if is_number_array(x) else x


def kind_of(x: Any) -> Any:
    """The kind of an argument or a part of the state; of a setting what it is."""
    if isinstance(x, Tensor):
        return type(x), x.requires_grad, kind_of(x._array)
    if is_number_array(x):
        return type(x), x.shape, x.dtype, x.strides
    return type(x) if type(x) in NUMBERS else (type(x), id(x) if x.__hash__ is None else x)


def replace_recorded(tape: Tape) -> None:
    """Put real arrays in the place of recorded ones that somebody has kept.

    A function may keep what it computes, in a list of losses or an attribute; so may its graph.
    """
    found = (handle() for handle in tape.handles)
    alive = {id(x): x for x in found if x is not None}
    if not alive:
        return
    for holder in gc.get_referrers(*alive.values()):
        if isinstance(holder, Tensor) and id(holder._array) in alive:
            holder._array = alive[id(holder._array)].real
        elif isinstance(holder, Node):
            for name in ("value", "grad"):
                inside = getattr(holder, name, None)  # Ctrl-C may leave a node half made
                if id(inside) in alive:
                    setattr(holder, name, alive[id(inside)].real)
        elif type(holder) is list:
            holder[:] = [alive[id(x)].real if id(x) in alive else x for x in holder]
        elif type(holder) is dict and holder is not alive:
            for key, x in holder.items():
                if id(x) in alive:
                    holder[key] = alive[id(x)].real
