"""Reading programs: from what `compile` has written down to the plain data of a picture."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np

from ..errors import name_of
from ..nested import tree_leaves
from ..program.recorder import Call, Value
from ..program.recording import Leaf
from ..program.run import Runnable
from ..program.source import Writer, updates
from ..program.state import TensorPlace
from ..scope import Scope
from ..symbols import spelled
from .boxes import box_of, home, merged
from .graph import Box, Graph, Kind, Node
from .numbers import Numbers

FORWARD, BACKWARD = "forward pass", "backward pass"
EACH = "each parameter"  # a box around those of parameters, which may be many


def read_program(runnable: Runnable) -> Graph:
    """The graph of a program: the one that its source says in words, without numbers.

    It stands in boxes: the forward pass, the backward pass with those of the modules and functions
    whose derivatives it computes, and the optimizer.
    """
    writer = Writer(runnable.recording, runnable.function)
    program = writer.program
    results = {
        program.outputs[x.output]
        for x in tree_leaves(runnable.recording.result)
        if isinstance(x, Leaf) and isinstance(program.outputs[x.output], Value)
    }
    owners: dict[Call, list[str]] = {}
    for name, calls in updates(writer).items():
        for call in calls:
            owners.setdefault(call, []).append(name)
    nodes: list[Node] = []
    known: dict[Any, Node] = {}
    users: dict[Node, list[Node]] = {}
    boxes: dict[Scope, Box] = {}
    scopes: dict[Any, Scope] = {}

    def leaf(x: Any, kind: Kind, name: str | None) -> Node:
        key = x if isinstance(x, Value) else id(x)
        if key not in known:
            known[key] = empty_node(len(nodes) + 1, kind, None, name, x)
            nodes.append(known[key])
        return known[key]

    def argument(x: Any) -> list[Node | str]:
        """What an operation is called with: nodes, and numbers as text."""
        if isinstance(x, Value):
            if x not in known:
                key = names[x]
                leaf(x, kind_of_input(runnable, key, x), writer.names[key])
            return [known[x]]
        if isinstance(x, np.ndarray) and x.ndim:
            return [leaf(x, "constant", None)]
        if isinstance(x, (list, tuple)) and any(isinstance(y, Value) for y in tree_leaves(x)):
            return [y for part in x for y in argument(part)]
        return [str(x) if isinstance(x, (np.ndarray, np.generic)) else spelled(x)]

    names = {x: key for key, x in program.inputs.items()}
    for call in program.calls:
        inputs = [y for x in call.args for y in argument(x)]
        options = [(key, x) for key, x in call.options.items()]
        node = empty_node(len(nodes) + 1, "operation", call, writer.final.get(call.result), None)
        node.inputs = inputs + [y for _, x in options if is_drawn(x) for y in argument(x)]
        node.options = [(key, spelled(x)) for key, x in options if not is_drawn(x)]
        node.backward = call.part.startswith("backward")
        node.result = call.result in results
        node.box = box_of(shadow(call, scopes, owners.get(call, [])), boxes)
        known[call.result] = node
        nodes.append(node)
        for x in node.inputs:
            if isinstance(x, Node) and x.kind != "operation":
                users.setdefault(x, []).append(node)
    for x, found in users.items():
        if x.kind in ("parameter", "constant"):
            forward = [user for user in found if in_forward_pass(user)]
            x.box = home([user.box for user in forward or found])
            several = len({user.box for user in found}) > 1
            if x.shape == () and several and not forward and x.box is not None:
                x.box = x.box.path[0]  # a number for all parameters, as a learning rate
    return Graph(nodes, merged([*boxes.values()], nodes))


def is_drawn(x: Any) -> bool:
    """Tell whether an option is drawn as a node."""
    return isinstance(x, (Value, np.ndarray))


def empty_node(number: int, kind: Kind, call: Call | None, name: str | None, x: Any) -> Node:
    """A node without numbers, for an operation or a leaf."""
    value = x if call is None else call.result
    function = None if call is None else getattr(call.function, "function", call.function)
    shape = value.shape or ()
    return Node(
        number=number,
        kind=kind,
        function=function if callable(function) else None,
        operation="" if call is None else name_of(call.function),
        name=name,
        dtype=str(value.dtype or getattr(value, "type", type(value)).__name__),
        value=Numbers(shape, None, nan, nan, nan, nan, nan, nan),
        flows=False,
        gradient=None,
        options=[],
        rules={},
        parts=[],
        flags=[],
    )


def kind_of_input(runnable: Runnable, key: str, x: Value) -> Kind:
    """What an input is: a parameter, something else of the state, or an argument."""
    place = runnable.place(key)
    if isinstance(place, TensorPlace):
        return "parameter" if place.tensor.requires_grad else "constant"
    if key.startswith("x"):
        return "mask" if x.dtype == bool else "input"
    return "constant"


def pass_of(call: Call) -> str:
    """The forward pass, the backward pass, or the optimizer."""
    return BACKWARD if call.part.startswith("backward") else call.part or FORWARD


def in_forward_pass(node: Node) -> bool:
    """Tell whether a node stands in the box of the forward pass."""
    return node.box is not None and node.box.path[0].names[0] == FORWARD


def shadow(call: Call, scopes: dict[Any, Scope], parameters: list[str]) -> Scope:
    """The scope of a call, inside that of the forward pass, the backward pass or the optimizer."""
    part = pass_of(call)
    scope = scopes.setdefault(part, Scope(part, None))
    path: list[tuple[Any, Any, Any]] = [(one, one.name, one.training) for one in call.scope.path]
    if part not in (FORWARD, BACKWARD):
        alone = [EACH, *parameters] if len(parameters) == 1 else []  # others are for several
        path = [(name, name, None) for name in alone]
    for key, name, training in path:
        scope = scopes.setdefault((scope, key), Scope(name, scope, training))
    return scope
