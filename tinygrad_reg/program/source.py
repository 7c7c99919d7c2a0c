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

The values are those of the engine up to rounding: sums of negative numbers, means and axes of size
1 are written more simply.  What an optimizer does to each of many parameters becomes a function.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import name_of
from ..nested import tree_map
from .lines import Lines, Update, unique, wrapped
from .passes import Program, simplified
from .pieces import in_pieces
from .reading import for_reading
from .recorder import Call, Value, is_array
from .recording import Leaf, Recording
from .state import GradPlace, ItemPlace, TensorPlace


class Writer:
    """Writes a recorded call down as a function that needs NumPy alone.

    Attributes
    ----------
    source
        The code.
    program
        What it says.
    names
        The names of arguments and parts of the state.
    arguments
        Those that the function has: the keys of `names`, in its order.
    final
        The names of gradients, of new values of the state, and of the result.
    """

    def __init__(
        self, recording: Recording, function: Callable[..., Any], in_full: bool = False
    ) -> None:
        self.recording = recording
        self.in_full = in_full  # large constants, too
        self.taken: set[str] = {"np"}
        self.names = self.name_inputs(function)
        gradients = {f"gradient {name}": x for x, name in self.name_gradients().items()}
        outputs = recording.program.outputs | gradients
        program = simplified(Program(recording.program.calls, recording.program.inputs, outputs))
        self.program = for_reading(in_pieces(program, exact=False))
        self.final = self.name_results()
        self.source = self.written(identifier(name_of(function)))

    # --- Names -----------------------------------------------------------------------------------

    def unique(self, name: str) -> str:
        """A name that is no other's."""
        return unique(name, self.taken)

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

    def name_results(self) -> dict[Value, str]:
        """Names of new values of the state, of gradients, and of the result."""
        final: dict[Value, str] = {}
        outputs = self.program.outputs
        for name, place in self.recording.writes.items():
            if isinstance(outputs[name], Value) and not isinstance(place, GradPlace):
                final.setdefault(outputs[name], self.names[name])
        for name, x in outputs.items():
            if name.startswith("gradient ") and isinstance(x, Value):
                final.setdefault(x, name.removeprefix("gradient "))
        leaf = self.recording.result
        if isinstance(leaf, Leaf) and isinstance(outputs[leaf.output], Value):
            x = outputs[leaf.output]
            final.setdefault(x, self.unique("result" if x.shape else "loss"))
        return final

    # --- Lines -----------------------------------------------------------------------------------

    def written(self, name: str) -> str:
        """The function, with what it needs before it."""
        program = self.program
        calls, functions = with_functions(self)
        used = {x for call in program.calls for x in call.inputs} | program.results
        inputs = [key for key, x in program.inputs.items() if x in used or key[0] == "x"]
        self.arguments = inputs
        arguments = [self.names[key] for key in inputs if key[0] == "x"]
        state = [self.names[key] for key in inputs if key[0] != "x"]
        listed = ", ".join([*arguments, *(["*", *state] if state else [])])
        known = {x: self.names[key] for key, x in program.inputs.items()}
        body = Lines(known, self.final, [*program.outputs.values()], self.taken, self.in_full)
        body.write(calls)
        body.lines.append(wrapped(f"return {self.result(body)}"))
        head = wrapped(f"def {name}({listed}):", 4)
        return "\n".join([*body.definitions, *functions, head, *(f"    {x}" for x in body.lines)])

    def result(self, body: Lines) -> str:
        """What the function returns: its results, and the new values of the state."""
        outputs = self.program.outputs

        def leaf(x: Any) -> str:
            if not isinstance(x, Leaf):
                return "None" if x is None else repr(x) if isinstance(x, str) else "..."
            return body.argument(outputs[x.output]).text

        new = {
            self.names[key]: body.argument(outputs[key]).text
            for key, place in self.recording.writes.items()
            if not isinstance(place, GradPlace)
        }
        state = f", dict({', '.join(f'{key}={x}' for key, x in new.items())})" if new else ""
        return with_brackets(self.recording.result, leaf) + state


# --- Optimizers ----------------------------------------------------------------------------------


def updates(writer: Writer) -> dict[str, list[Call]]:
    """The calls that an optimizer makes for a parameter, by the name of the parameter.

    Those of numbers alone, as of 1 - β, may belong to several.
    """
    made = {call.result: call for call in writer.program.calls}
    position = {call: i for i, call in enumerate(writer.program.calls)}
    owners: dict[Call, dict[str, None]] = {}
    for key, place in writer.recording.writes.items():
        waiting = [writer.program.outputs[key]] if isinstance(place, TensorPlace) else []
        while waiting:
            x = waiting.pop()
            call = made.get(x) if isinstance(x, Value) else None
            is_new = call is not None and writer.names[key] not in owners.get(call, ())
            if call is not None and is_new and is_of_optimizer(call):
                owners.setdefault(call, {})[writer.names[key]] = None
                waiting += call.inputs
    found: dict[str, list[Call]] = {}
    for call in sorted(owners, key=lambda call: (len(owners[call]) == 1, position[call])):
        if len(owners[call]) == 1 or not is_array(call.result):
            for name in owners[call]:
                found.setdefault(name, []).append(call)
    return found


def is_of_optimizer(call: Call) -> bool:
    """Tell whether an optimizer made a call, and not the forward or the backward pass."""
    return bool(call.part) and not call.part.startswith("backward")


class Alike(NamedTuple):
    """What one optimizer does to one parameter.

    `kind` is the same for parameters to which the same is done; `roles` and `new` say what inputs
    and outputs are: "p", "g", "velocity".
    """

    kind: Any
    inputs: list[Value]
    roles: list[str]
    outputs: list[Value]
    new: list[str]
    calls: list[Call]


def update_of(writer: Writer, calls: list[Call]) -> Alike:
    """Find the inputs and the outputs of an update, and what they are."""
    key_of = {x: key for key, x in writer.program.inputs.items()}
    inside = {call.result for call in calls}
    outputs = {key: x for key, x in writer.program.outputs.items() if isinstance(x, Value)}
    new = {
        role_of(writer, key): outputs[key]
        for key, place in writer.recording.writes.items()
        if not isinstance(place, GradPlace) and outputs.get(key) in inside
    }
    roles: dict[Value, str] = {}
    for x in (x for call in calls for x in call.inputs if x not in inside):
        own = role_of(writer, key_of[x]) if x in key_of else "g" if x in writer.final else "x"
        roles.setdefault(x, own)
    ranks = {"p": 0, "g": 1} | dict.fromkeys(new.keys() - {"p"}, 2)
    inputs = sorted(roles, key=lambda x: ranks.get(roles[x], 3))
    numbers = {x: i for i, x in enumerate([*inputs, *(call.result for call in calls)])}

    def encoded(x: Any) -> Any:
        return numbers[x] if isinstance(x, Value) else (type(x), id(x) if is_large(x) else repr(x))

    steps = [(call.function, repr(tree_map(encoded, (call.args, call.options)))) for call in calls]
    names: set[str] = set()
    named = [unique(roles[x], names) for x in inputs]
    kind = calls[0].part, tuple(steps), tuple(named), tuple(new)
    return Alike(kind, inputs, named, [*new.values()], [*new], calls)


def is_large(x: Any) -> bool:
    """Tell whether a constant is an array, which its repr does not tell from others."""
    return isinstance(x, np.ndarray) and x.ndim > 0


def role_of(writer: Writer, key: str) -> str:
    """What a part of the state is to an optimizer."""
    place = writer.recording.places[int(key[1:])] if key[0] == "w" else None
    if isinstance(place, TensorPlace):
        return "p"
    if isinstance(place, ItemPlace) and isinstance(vars(place.owner)[place.path[0]], list):
        return str(place.path[0])  # one for each parameter
    return writer.names[key]


def is_closed(writer: Writer, update: Alike, users: dict[Value, list[Call]]) -> bool:
    """Tell whether nobody else needs what is computed on the way, or outputs before the end."""
    results = writer.program.results.difference(update.outputs)
    position = {call: i for i, call in enumerate(writer.program.calls)}
    end = max(position[call] for call in update.calls)
    for call in update.calls:
        others = [user for user in users.get(call.result, []) if user not in update.calls]
        if is_array(call.result) and call.result in results:
            return False
        early = any(position[user] < end for user in others)
        if is_array(call.result) and others and (early or call.result not in update.outputs):
            return False
    return True


def with_functions(writer: Writer) -> tuple[list[Call | Update], list[str]]:
    """The calls, and functions for those that are made alike for several parameters."""
    users = writer.program.users()
    alike: dict[Any, list[Alike]] = {}
    for calls in updates(writer).values():
        update = update_of(writer, calls)
        if is_closed(writer, update, users):
            alike.setdefault(update.kind, []).append(update)
    instead: dict[Call, list[Update]] = {}
    functions: list[str] = []
    for members in alike.values():
        first = members[0]
        part = first.calls[0].part
        body = Lines(
            dict(zip(first.inputs, first.roles)), dict(zip(first.outputs, first.new)), first.outputs
        )
        body.write(first.calls)
        lines = body.lines[1:]  # without the heading
        if body.constants or len(lines) * len(members) <= len(lines) + len(members) + 2:
            continue
        name = unique(part.lower(), writer.taken)
        returned = ", ".join(body.argument(x).text for x in first.outputs)
        functions += [f"def {name}({', '.join(first.roles)}):"]
        functions += [f"    {line}" for line in (*lines, f"return {returned}")] + ["", ""]
        for one in members:
            instead |= {call: [] for call in one.calls}
            instead[one.calls[-1]] = [Update(name, one.inputs, one.outputs, part)]
    for call in reversed(writer.program.calls):  # some numbers may be needed elsewhere, too
        used = any(user not in instead for user in users.get(call.result, []))
        if instead.get(call) == [] and used and not is_array(call.result):
            del instead[call]
    items = [x for call in writer.program.calls for x in instead.get(call, [call])]
    return items, functions


# --- Words ---------------------------------------------------------------------------------------


def identifier(name: str) -> str:
    """A name for the function."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else "program"


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
