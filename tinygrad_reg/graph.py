"""The graph behind a result, and the reverse sweep that differentiates it.

Each call of a function of the table makes a node.  It remembers the value, the function, its inputs
and, for each input that wants a gradient, the derivative rule.  Here is `x * y + x`:

>>> x = Tensor(3.0, requires_grad=True, name="x")
>>> y = Tensor(4.0, requires_grad=True, name="y")
>>> product = x * y
>>> total = product + x

1. Recording.  The nodes, in the order in which they were made.  An operation can only use what
   exists already, so each node is newer than its inputs, and has a larger number:

>>> for node in (x.node, y.node, product.node, total.node):
...     made_by = node.function.__name__ if node.function else "a leaf"
...     print(f"{made_by:8} = {node.value.item():4} from {[x.value.item() for x in node.inputs]}")
a leaf   =  3.0 from []
a leaf   =  4.0 from []
multiply = 12.0 from [3.0, 4.0]
add      = 15.0 from [12.0, 3.0]

2. The sweep.  It starts with the gradient 1 at `total`, and goes from the newest node to the
   oldest.  At each node it asks the rules what to hand on to the inputs:

>>> class Trace(Observer):
...     def summed(self, node, g):
...         print(f"{node.name or node.function.__name__}: the gradient is {g.item()}")
...     def pulled(self, node, position, g, part):
...         x = node.inputs[position]
...         print(f"    {part.item()} for {x.name or x.function.__name__}")
>>> with observing(Trace()):
...     total.backward()
add: the gradient is 1.0
    1.0 for multiply
    1.0 for x
multiply: the gradient is 1.0
    4.0 for x
    3.0 for y
y: the gradient is 3.0
x: the gradient is 5.0

3. The chain rule.  x was used twice, and its gradient is the sum over both uses: 1 from the
   addition and y = 4 from the product, as d(x y + x)/dx = y + 1.  When the turn comes to x,
   everything that used x is newer and has had its turn, so the sum is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from . import errors
from .primitives import Array, Rule, broadcasting, sum_to
from .scope import Observer, Scope, here

next_number = count(1).__next__


class Node:
    """A value, and the call that made it: `value = function(*values, **metadata)`.

    A node knows its inputs and nothing newer, so a graph is freed with its last result.

    Attributes
    ----------
    value
        The array.
    function
        What was called; None for a leaf, which was made by hand.
    inputs
        What it was called with: nodes and Python numbers.
    values
        The same as arrays and numbers.
    edges
        (position, rule) for each input that wants a gradient; none for a leaf.
    metadata
        The keyword arguments of the call: axis, shape, ….
    requires_grad
        Whether it wants a gradient: a leaf if it was asked to, a result if it has edges.
    number
        Grows with each node made.
    replaced
        For a leaf, what the number was when its value was last replaced; 0 if never.
    grad
        For a leaf, the sum of all gradients that `backward` has brought here: an array, or a
        tensor if the backward pass was recorded.
    scope
        Where in the program it was made; for a tensor made by hand, `program`.
    name
        What pictures call it.
    """

    __slots__ = (
        "__weakref__", "edges", "function", "grad", "inputs", "metadata", "name", "number",
        "replaced", "requires_grad", "scope", "value", "values",
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
    node = Node()  # without an `__init__`: a quarter faster
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
    lift: Any = None,
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
    lift
        How to run the rules on tensors, so that what they compute is recorded: a
        `tensor.Recorder`.  By default they run on arrays.
    since
        Leaves out all nodes with smaller numbers.
    observers
        Who is told of each step.  By default those in force here, and those of the block in which
        a node was recorded.

    Raises
    ------
    StaleValueError
        If an input of the graph was given new data after it had been used.
    """
    in_force: Iterable[Observer] = here().observers if observers is None else observers
    gradients = {root: g}
    queue = [(-root.number, root)]
    while queue:
        _, node = heappop(queue)  # the newest of those that have a gradient
        g = gradients.pop(node)
        told = in_force
        if node.scope.observers and observers is None:
            told = {**dict.fromkeys(in_force), **dict.fromkeys(node.scope.observers)}
        if told:
            tell(told, "summed", node, g)
        yield node, g
        if not node.edges:
            continue

        out, arguments = (node.value, node.values) if lift is None else lift.operands(node)
        for position, rule in node.edges:
            x = node.inputs[position]
            if x.number < since:
                continue
            if x.replaced > node.number:
                raise errors.stale(x, node.function)
            part, value = rule(g, out, *arguments, **node.metadata), x.value
            if part.shape != value.shape or part.dtype is not value.dtype:
                part = fit(part, value, node, lift)
            if told:
                tell(told, "pulled", node, position, g, part)

            if x not in gradients:
                heappush(queue, (-x.number, x))
            elif lift is None:
                part = gradients[x] + part  # not in place: a rule may hand on g itself
            else:
                part = lift.add(x, gradients[x], part)
            gradients[x] = part
        if told:
            tell(told, "passed", node)


def tell(observers: Iterable[Observer], moment: str, *what: Any) -> None:
    """Call the method of this name of each observer."""
    for observer in observers:
        getattr(observer, moment)(*what)


def fit(part: Array, value: Array, node: Node, lift: Any = None) -> Array:
    """Give a gradient the shape and type of what it is the gradient of.

    A function that broadcasts uses an element of a smaller argument many times; `sum_to` adds up
    the gradients of all uses.
    """
    if part.shape != value.shape:
        if node.function not in broadcasting:
            raise errors.wrong_rule(node.function, part.shape, value.shape)
        part = (sum_to if lift is None else lift.sum_to)(part, shape=value.shape)
    return part if part.dtype is value.dtype else part.astype(value.dtype)
