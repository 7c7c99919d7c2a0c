"""Programs that are run: what connects the code of a plan with arguments and state."""

from __future__ import annotations

import operator
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import random
from ..errors import name_of
from ..graph import next_number
from ..nested import tree_map
from ..scope import here
from ..tensor import Tensor
from .block import Block
from .passes import Program, simplified
from .pieces import in_pieces
from .plan import Failure, Plan
from .recorder import is_array
from .recording import NUMBERS, Leaf, Outline, Recording
from .source import Writer
from .state import GradPlace, ItemPlace, Place, TensorPlace

OTHER = object()  # what a program gives that was made for other arguments, or another state
MOVED = object()  # … and one whose arrays of the state are elsewhere now


class Runnable:
    """A program, bound to a state.

    Attributes
    ----------
    operations
        The number of calls.
    memory
        Bytes of buffers and constants.
    source
        The program as a person would write it.
    """

    def __init__(
        self,
        recording: Recording,
        function: Callable[..., Any],
        owned: dict[tuple[str, ...], Block],
    ) -> None:
        self.recording = recording
        self.function = function
        self.owned = owned
        self.program = in_pieces(simplified(recording.program))
        used = {x for call in self.program.calls for x in call.inputs}
        used |= self.program.results
        self.inputs = {name: x for name, x in self.program.inputs.items() if x in used}
        self.program = Program(self.program.calls, self.inputs, self.program.outputs)
        self.fixed = {  # arrays of the state that stay where they are
            name: value
            for name, value in self.inputs.items()
            if isinstance(recording.sources.get(name), (TensorPlace, ItemPlace))
            and value.type is np.ndarray
            and value.shape != ()
        }
        self.written = [name for name in recording.writes if name in self.fixed]
        # A new value may be computed from everything but the old one.
        for name, place in recording.writes.items():
            value = recording.program.inputs.get(name)
            is_new = name not in self.fixed and value is not None
            if is_new and not isinstance(place, GradPlace) and is_array(value):
                self.fixed[name] = self.inputs[name] = value  # type: ignore[assignment]
                self.written.append(name)
        plan = Plan(self.program, self.fixed, self.written)
        self.plan = plan
        self.memory = plan.memory
        self.operations = len(self.program.calls)
        self.names: dict[str, Any] = dict(plan.known)
        self.names.update(
            OTHER=OTHER, MOVED=MOVED, getrefcount=sys.getrefcount, here=here, Tensor=Tensor,
            generator=random.generator, next_number=next_number,
        )  # fmt: skip
        self.setup = plan.setup
        self.own = {**plan.order.flat, **{name: [name] for name in self.written}}
        for names in plan.order.flat.values():
            for name in names:
                del self.own[name]
        self.whole = {name: (w, i) for w, names in self.own.items() for i, name in enumerate(names)}
        self.order = {name: i for i, name in enumerate(plan.results)}
        self.single = recording.result if type(recording.result) is Leaf else None
        exec(plan.source, self.names)
        self.write_code()
        self.tail: list[Any] = []
        self.bind()

    def __repr__(self) -> str:
        name, size = name_of(self.function), self.memory / 2**20
        return f"<program of {name}: {self.operations} operations, {size:.1f} MiB>"

    @property
    def source(self) -> str:
        return Writer(self.recording, self.function).source

    # --- Code ------------------------------------------------------------------------------------

    def place(self, name: str) -> Any:
        """Where a part of the state is."""
        recording = self.recording
        return recording.writes.get(name, recording.sources.get(name))

    def write_code(self) -> None:
        """Write `enter`, which looks whether the program serves, and `finish`, which writes."""
        self.enter_lines: list[str] = []
        arguments = [f"x{i}" for i in range(len(self.recording.leaves))]
        for name, x in zip(arguments, self.recording.leaves.values()):
            self.check_argument(name, x)
        self.check_settings()
        for name in self.inputs:
            source = self.recording.sources.get(name)
            if name in self.fixed:
                self.check_place(name, self.place(name))
            elif isinstance(source, Place):
                self.read(name, source)
            elif name.startswith("g"):
                self.names[f"own_{name}"] = source
                text = "generator()" if source is None else f"own_{name}"
                self.enter_lines.append(f"{name} = {text}")
        given = [name for name in self.inputs if name not in self.fixed]
        self.enter_lines.append(f"return run({', '.join(given)})")
        body = "".join(f"\n    {line}" for line in self.enter_lines)
        self.entry = f"def enter({', '.join(arguments)}):{body}\n"
        exec(self.entry, self.names)
        self.enter = self.names["enter"]
        self.write_finish()

    def check(self, wrong: str, result: str = "OTHER") -> None:
        self.enter_lines += [f"if {wrong}:", f"    return {result}"]

    def check_argument(self, name: str, x: Any) -> None:
        """An argument is of the kind that it was."""
        wrong = f"type({name}) is not type_{name}"
        if isinstance(x, Outline):
            array = x.array
            if x.tensor:
                self.names[f"tensor_{name}"] = x.tensor
                self.check(
                    f"type({name}) is not tensor_{name} or {name}.node.function is not None"
                    f" or {name}.node.requires_grad is not {x.requires_grad}"
                )
                self.enter_lines.append(f"{name} = {name}._array")
            self.names[f"type_{name}"] = array.type
            self.names[f"dtype_{name}"] = array.dtype
            self.check(
                f"{wrong} or {name}.shape != {array.shape} or {name}.strides != {array.strides}"
                f" or {name}.dtype != dtype_{name}"
            )
            return
        self.names[f"type_{name}"] = type(x)
        if type(x) in NUMBERS:
            self.check(wrong)
        else:
            self.names[f"old_{name}"] = x
            equal = "True" if x.__hash__ is None else f"{name} != old_{name}"
            self.check(f"{wrong} or {name} is not old_{name} and {equal}")

    def check_settings(self) -> None:
        """Modes, settings and parameters are those that they were."""
        recording = self.recording
        wrong = [f"here().records is not {recording.records}"]
        owners: dict[int, str] = {}
        for owner, attribute, x in recording.settings:
            text = owners.setdefault(id(owner), f"o{len(owners)}")
            self.names[text] = owner
            self.names[f"{text}_{attribute}"] = x
            wrong.append(f"{text}.{attribute} is not {text}_{attribute}")
        if not recording.any_grads:
            for i, place in enumerate(recording.places):
                if isinstance(place, GradPlace):
                    self.names[f"node_w{i}"] = place.tensor.node
                    given = "is None" if recording.grads[place.name] else "is not None"
                    wrong.append(f"node_w{i}.grad {given}")
        self.check(" or ".join(wrong))

    def check_place(self, name: str, place: Any) -> None:
        """An array of the state is where it was, and nobody else looks at it."""
        if isinstance(place, TensorPlace):
            self.names[f"tensor_{name}"] = place.tensor
            wrong = f"tensor_{name}._array is not at_{name}"
            whole, i = self.whole.get(name, ("", 0))
            if whole:
                wrong += f" or getrefcount(at_{name}) != block_{whole}.counts[{i + 1}]"
                if i == 0 and whole != name:
                    wrong += f" or getrefcount(at_{whole}) != block_{whole}.counts[0]"
        else:
            self.names[f"inside_{name}"] = place.container()
            wrong = f"inside_{name}[{place.path[-1]!r}] is not at_{name}"
        self.names.setdefault(f"at_{name}", None)
        self.check(wrong, "MOVED")

    def read(self, name: str, place: Place) -> None:
        """A number of the state, or a gradient, is read in each run."""
        self.names[f"place_{name}"] = place
        self.names[f"type_{name}"] = self.inputs[name].type
        if isinstance(place, ItemPlace):
            self.names[f"inside_{name}"] = place.container()
            self.enter_lines.append(f"{name} = inside_{name}[{place.path[-1]!r}]")
        else:
            self.enter_lines.append(f"{name} = place_{name}.get()")
        wrong = f"type({name}) is not type_{name}"
        if self.inputs[name].dtype is not None:
            self.names[f"dtype_{name}"] = self.inputs[name].dtype
            wrong += (
                f" or {name}.dtype != dtype_{name} or {name}.shape != {self.inputs[name].shape}"
            )
        self.check(wrong)

    def write_finish(self) -> None:
        """Write the function that writes results into the state; to repeat it does no harm."""
        lines = ["now = next_number()"]
        for name in self.recording.writes:
            place = self.place(name)
            new = f"results[{self.order[name]}]" if name in self.order else ""
            if isinstance(place, GradPlace):
                self.names[f"node_{name}"] = place.tensor.node
                lines.append(f"node_{name}.grad = {new}")
            elif isinstance(place, TensorPlace):
                self.names[f"node_{name}"] = place.tensor.node
                self.names[f"tensor_{name}"] = place.tensor
                if new:
                    lines.append(f"tensor_{name}._array = node_{name}.value = {new}")
                lines.append(f"node_{name}.replaced = now")
            elif new:
                self.names[f"inside_{name}"] = place.container()
                lines.append(f"inside_{name}[{place.path[-1]!r}] = {new}")
        body = "".join(f"\n    {line}" for line in lines)
        exec(f"def finish(results):{body}\n", self.names)
        self.finish = self.names["finish"]

    # --- To run it -------------------------------------------------------------------------------

    def __call__(self, leaves: Any) -> Any:
        """The result for these leaves of the arguments; a `Failure`, or OTHER, if there is none."""
        if len(leaves) != len(self.recording.leaves):
            return OTHER
        results = self.enter(*leaves)
        if results is MOVED and self.bind():
            results = self.enter(*leaves)
        if type(results) is not tuple:
            return results if type(results) is Failure else OTHER
        run_all(self.tail, self.finish, results)
        if self.single is not None:
            return self.single.of(results[self.order[self.single.output]])
        return tree_map(
            lambda x: x.of(results[self.order[x.output]]) if type(x) is Leaf else x,
            self.recording.result,
        )

    def bind(self) -> bool:
        """Look where the arrays of the state are, and make views of them; False if they differ."""
        for name, value in self.fixed.items():
            array = self.place(name).get()
            kind = (type(array), getattr(array, "strides", 0), getattr(array, "dtype", 0))
            if kind != (np.ndarray, value.strides, value.dtype) or array.shape != value.shape:
                return False
            if name not in self.written:
                self.names[name] = self.names[f"at_{name}"] = array
            del array
        for whole, names in self.own.items():
            places = [self.place(name) for name in names]
            block = self.owned.setdefault(tuple(place.name for place in places), Block())
            block.take(places)
            self.names[f"block_{whole}"] = block
            self.names[f"at_{whole}"] = block.array
            self.names[whole] = block.writeable()
            self.names.update({f"at_{name}": part for name, part in zip(names, block.parts)})
            alone = len(names) == 1
            self.names.update(zip(names, [self.names[whole]] if alone else block.parts))
        exec(self.setup, self.names)
        self.tail = self.names["tail"]
        for whole, names in self.own.items():
            block = self.names[f"block_{whole}"]
            counted = [f"getrefcount(at_{name})" for name in (whole, *names)]
            block.counts = eval(f"[{', '.join(counted)}]", self.names)
        return True


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
