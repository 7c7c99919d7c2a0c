"""The graph behind a result, and the reverse sweep that differentiates it.

Each recorded call of a function of the table makes a node.  It remembers the value, the function,
its inputs and, for each input that wants a gradient, the derivative rule.  Here is `x * y + x`:

>>> x = Tensor(3.0, requires_grad=True, name="x")
>>> y = Tensor(4.0, requires_grad=True, name="y")
>>> product = x * y
>>> total = product + x

1. Recording.  The nodes, in the order in which they were made.  An operation can only use what
   exists already, so each node is newer than its inputs, and has a larger number:

>>> for node in (x.node, y.node, product.node, total.node):
...     made_by = node.function.__name__ if node.function else "a leaf"
...     print(made_by, node.value, "from", [float(source.value) for source in node.inputs])
a leaf 3.0 from []
a leaf 4.0 from []
multiply 12.0 from [3.0, 4.0]
add 15.0 from [12.0, 3.0]

2. The sweep.  The gradient of a node is the derivative of the loss with respect to it.  The sweep
   starts at `total`, whose gradient is 1 if `total` itself is the loss; here let the loss be
   10 * total, so the gradient is 10.  From the newest node to the oldest, the sweep asks the rules
   of each what to hand on to its inputs:

>>> class Trace(Observer):
...     def summed(self, node, g):
...         print(f"{node.name or node.function.__name__}: the gradient is {g}")
...     def pulled(self, node, position, g, part):
...         source = node.inputs[position]
...         print(f"    {part} for {source.name or source.function.__name__}")
>>> with observing(Trace()):
...     total.backward(10.0)
add: the gradient is 10.0
    10.0 for multiply
    10.0 for x
multiply: the gradient is 10.0
    40.0 for x
    30.0 for y
y: the gradient is 30.0
x: the gradient is 50.0

3. The chain rule.  Along a path derivatives multiply: `multiply` hands on its 10 times y = 4 to x,
   and 10 times x = 3 to y.  Over paths they add up: x was used twice and gets 40 + 10 = 50, as
   d(10 (x y + x))/dx = 10 (y + 1).  When the turn comes to x, everything that used x is newer and
   has had its turn, so the sum is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from . import errors
from .primitives import Array, Rule, broadcasting, sum_to
from .scope import Observer, Scope, here, joined

next_number = count(1).__next__  # the clock: it ticks when a node is made, or given a new value


class Node:
    """A value, and the call that made it: `value = function(*values, **metadata)`.

    A node knows its inputs and nothing newer, so a graph is freed with its last result.

    Attributes
    ----------
    value
        The array, the same as its tensor holds.
    function
        What was called; None for a leaf: data, or a result that was not recorded.
    inputs
        What it was called with: nodes and numbers.
    values
        Their values in that call, which stay when an input is given new data later.
    edges
        (position, rule) for each input that wants a gradient; none for a leaf.
    metadata
        The keyword arguments of the call: axis, shape, ….
    requires_grad
        Whether it wants a gradient: a leaf if it was told to, a recorded result always.
    number
        The clock's reading when it was made: see `next_number`.
    replaced
        The clock's reading when its value was last replaced, for a leaf; 0 if never.
    grad
        For a leaf, the sum of all gradients that `backward` has brought here: an array, or a
        tensor if the backward pass was recorded.
    scope
        Where it was made; for `Tensor(…)` itself, `program`.
    name
        What pictures call it.
    origin
        For pictures: a weak reference to the array that a leaf is a copy of, if a call made the
        leaf for an operand; else not set.
    """

    __slots__ = (
        "__weakref__", "edges", "function", "grad", "inputs", "metadata", "name", "number",
        "origin", "replaced", "requires_grad", "scope", "value", "values",
    )  # fmt: skip

    value: Array
    function: Callable[..., Array] | None
    inputs: Sequence[Any]
    values: Sequence[Any]
    edges: Sequence[tuple[int, Rule]]
    metadata: dict[str, Any]
    requires_grad: bool
    number: int
    replaced: int
    grad: Any
    scope: Scope
    name: str | None
    origin: Any


def new_node(
    value: Array,
    scope: Scope,
    name: str | None = None,
    function: Callable[..., Array] | None = None,
    inputs: Sequence[Any] = (),
    values: Sequence[Any] = (),
    edges: Sequence[tuple[int, Rule]] = (),
    metadata: Any = None,
) -> Node:
    """Make a node: a leaf, or the node of a recorded call."""
    node = Node()  # by an `__init__` a small training step would take 2 % longer
    node.value = value
    node.function = function
    node.inputs = inputs
    node.values = values
    node.edges = edges
    node.metadata = metadata
    node.requires_grad = function is not None
    node.number = next_number()
    node.replaced = 0
    node.grad = None
    node.scope = scope
    node.name = name
    return node


# --- The reverse sweep ---------------------------------------------------------------------------


def sweep(
    root: Node,
    g: Array,
    recorder: Any = None,
    since: int = 0,
    observers: Sequence[Observer] | None = None,
) -> Iterator[tuple[Node, Array]]:
    """Yield each node that wants a gradient, with that gradient, from the newest to the oldest.

    Parameters
    ----------
    root
        Where to start.
    g
        The gradient that arrives there.
    recorder
        A `tensor.Recorder`, to run the rules on tensors and so record what they compute.  By
        default they run on arrays.
    since
        Nodes with smaller numbers are left out: `gradient.py` asks for nothing older.
    observers
        Who is told of each step.  By default those in force here, and those of the block in which
        a node was recorded.

    Raises
    ------
    StaleValueError
        If an input of the graph was given new data after it had been used.
    """
    in_force: Sequence[Observer] = here().observers if observers is None else observers
    sums = {root: g}  # of the parts that have arrived so far
    queue = [(-root.number, root)]  # heappop takes the smallest, so the newest
    while queue:
        _, node = heappop(queue)
        g = sums.pop(node)  # complete, as everything that used the node is newer
        watching = in_force
        if node.scope.observers and observers is None:
            watching = joined(in_force, node.scope.observers)
        if watching:
            tell(watching, "summed", node, g)
        yield node, g
        if not node.edges:
            continue

        out, arguments = (node.value, node.values) if recorder is None else recorder.begin(node)
        for position, rule in node.edges:
            x = node.inputs[position]
            if x.number < since:
                continue
            if x.replaced > node.number:  # x has been given new data since this call
                raise errors.stale(x, node.function)
            part = rule(g, out, *arguments, **node.metadata)
            if part.shape != x.value.shape or part.dtype is not x.value.dtype:
                part = fitted(part, x.value, node.function)
            if watching:
                tell(watching, "pulled", node, position, g, part)

            if x not in sums:
                sums[x] = part
                heappush(queue, (-x.number, x))
            elif recorder is None:
                sums[x] = sums[x] + part  # not in place: a rule may hand on g itself
            else:
                sums[x] = recorder.add(x, sums[x], part)
        if watching:
            tell(watching, "passed", node)


def tell(observers: Iterable[Observer], moment: str, *what: Any) -> None:
    """Call the method of this name of each observer."""
    for observer in observers:
        getattr(observer, moment)(*what)


def fitted(part: Array, value: Array, function: Any) -> Array:
    """Give a gradient the shape and type of what it is the gradient of.

    A function that broadcasts uses an element of a smaller argument many times; `sum_to` adds up
    the gradients of all uses.
    """
    if part.shape != value.shape:
        if function not in broadcasting:
            raise errors.wrong_rule(function, part.shape, value.shape)
        part = sum_to(part, shape=value.shape)
    return part if part.dtype is value.dtype else part.astype(value.dtype)
