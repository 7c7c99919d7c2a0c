"""`Tensor`: an array, and the node that remembers the call that made it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import RLock
from typing import Any

import numpy as np

from . import errors
from .attributes import own_array, reference, weak
from .checks import check_bool, check_same_shape
from .graph import Node, new_node, sweep, tell
from .operators import Operand
from .primitives import Array, Number, table
from .protocols import Protocols
from .scope import Scope, enter, here, program

SCALARS = (int, float, np.integer, np.floating, np.bool_, Number)
new = object.__new__
accumulating = RLock()  # several threads may bring gradients to one leaf


def apply(function: Callable[..., Array], *inputs: Operand, **metadata: Any) -> Tensor:
    """Compute function(*inputs, **metadata), and remember the call if a gradient is wanted.

    Parameters
    ----------
    function
        A function of the table in `primitives.py`.
    inputs
        Tensors, numbers, or what arrays can be made of.
    metadata
        Everything that is no array: axis, shape, ….
    """
    sources: list[Any] = []  # a node for each array; a number stands for itself
    values: list[Any] = []
    edges = []
    for x, rule in zip(inputs, table[function]):
        node: Any
        if isinstance(x, Tensor):
            node, value = x.node, x._array
            if node.requires_grad and rule is not None:
                edges.append((len(sources), rule))
        elif isinstance(x, SCALARS):  # stays one: as an array, a Python number could widen the type
            node = value = weak(x, inputs) if isinstance(x, np.floating) else x
        else:
            value = own_array(f"{errors.name_of(function)}: operands", x)
            node = new_node(value, here())
            node.origin = reference(x)
        sources.append(node)
        values.append(value)
    try:
        result = function(*values, **metadata)
    except errors.NUMPY_ERRORS as error:
        raise errors.explained(error, function, values, metadata) from error
    scope = here()
    if edges and scope.records:
        node = new_node(result, scope, None, function, sources, values, edges, metadata)
    else:
        node = new_node(result, scope)
    if scope.observers:
        tell(scope.observers, "computed", node, function, sources)
    out = new(Tensor)  # as `tensor` does, without the call: a small step takes 1 % less
    out._array = result
    out.node = node
    return out


def tensor(array: Array, node: Node) -> Tensor:
    """The tensor of an array and its node."""
    out = new(Tensor)
    out._array = array
    out.node = node
    return out


def constant(array: Array, name: str | None = None) -> Tensor:
    """A tensor without gradient.  The array is not copied, so nothing else may change it."""
    return tensor(array, new_node(array, here(), name))


def as_tensor(x: Operand) -> Tensor:
    """x itself, or a tensor made of it."""
    if not isinstance(x, Tensor):
        origin, x = reference(x), Tensor(x)
        x.node.origin = origin
    return x


class Tensor(Protocols["Tensor"]):
    """An array that remembers the call that made it, so that gradients can flow back through it.

    Parameters
    ----------
    data
        A number, nested lists, an array, or a tensor that wants no gradient.  It is copied.
    requires_grad
        Whether `backward` leaves a gradient here, in `.grad`; for floats only.
    name
        What pictures call it.

    Notes
    -----
    The dtype is what NumPy gives the data (Python floats become float64).  Operators, indexing and
    NumPy's functions work on tensors and give tensors; comparisons give boolean arrays, `==` too,
    so ask `any(t is x for x in items)` rather than `t in items`.  Tensors hash by identity.

    A result keeps the whole graph behind it in memory: of a loss that is only to be looked at, keep
    the number, `loss.item()`.

    The array never changes once it is in a tensor: `.data` is read-only, and to replace it whole is
    the only way to change it.  That is what makes recorded graphs trustworthy.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x**2).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """

    __slots__ = ()

    apply = staticmethod(apply)  # for operators, and for functions that rules call
    constant = staticmethod(constant)

    def __init__(self, data: Operand, requires_grad: bool = False, name: str | None = None) -> None:
        self._array = own_array("Tensor: data", data)
        self.node = new_node(self._array, program)
        self.name = name  # this and the next are kept in the node: see `attributes.py`
        self.requires_grad = requires_grad

    # --- Backpropagation -------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has left here, None at first.  Assign None, or a gradient."""
        with accumulating:
            if not (self.node.grad is None or isinstance(self.node.grad, Tensor)):
                self.node.grad = constant(self.node.grad)
            grad: Tensor | None = self.node.grad
        return grad

    @grad.setter
    def grad(self, new: Operand | None) -> None:
        self.node.grad = None if new is None else self._checked("grad", new)

    def detach(self) -> Tensor:
        """The same array without the graph: a constant to everything computed from it."""
        return constant(self._array, self.name)

    def backward(self, gradient: Operand | None = None, create_graph: bool = False) -> None:
        """Add to `.grad` of every leaf that wants one the gradient with respect to that leaf.

        Parameters
        ----------
        gradient
            What arrives here: a vector-Jacobian product is computed, vᵀJ.  It has this tensor's
            shape, and may be left out for a single element, where it is 1.
        create_graph
            Whether to record the computation of the gradients, so that they can be differentiated
            (or drawn) in turn.

        Raises
        ------
        RuntimeError
            If no gradient flows here.
        ValueError
            If the gradient is missing, or has another shape.
        StaleValueError
            If a tensor in the graph was given new data meanwhile.

        Notes
        -----
        After an error no `.grad` has changed.  Threads may call this at once, also for graphs that
        share leaves: each gradient arrives, in whichever order.
        """
        if not self.requires_grad:
            raise RuntimeError(f"backward: {errors.NO_GRADIENT}")
        arriving = self._arriving(gradient)
        recorder = Recorder() if check_bool("backward: create_graph", create_graph) else None
        found = gradients(self, arriving, recorder=recorder)
        with accumulating:
            for leaf, g in found.items():
                if leaf.grad is not None:  # an array, or a tensor, which may have a graph itself
                    found[leaf] = (recorder or Recorder()).add(leaf, leaf.grad, g)
                    tell(here().observers, "summed", leaf, found[leaf])
            for leaf, g in found.items():  # only now, so that after an error no `.grad` has changed
                leaf.grad = g

    def _arriving(self, gradient: Operand | None) -> Tensor:
        """The gradient that arrives at this tensor, checked."""
        if gradient is None:
            if self.size != 1:
                raise errors.no_single_derivative(self.shape)
            return constant(self._array**0)  # 1, of the same shape, type and array library
        return self._checked("backward", gradient)

    def _checked(self, name: str, gradient: Operand) -> Tensor:
        """A gradient of this tensor's shape and type."""
        if not isinstance(gradient, Tensor):
            gradient = constant(own_array(f"{name}: the gradient", gradient))
        check_same_shape(f"{name}: the gradient", gradient.shape, self.shape, "it must be the same")
        return gradient if gradient.dtype == self.dtype else gradient.astype(self.dtype)


def gradients(
    root: Tensor,
    arriving: Tensor,
    wanted: Collection[Node] | None = None,
    recorder: Recorder | None = None,
    since: int = 0,
) -> dict[Node, Array]:
    """The gradients of a tensor with respect to nodes behind it: arrays, or tensors if recorded.

    Parameters
    ----------
    root
        What to differentiate.
    arriving
        The gradient that arrives there, of the same shape.
    wanted
        The nodes whose gradients are wanted; by default all leaves.
    recorder
        Records the computation.
    since
        Nodes with smaller numbers are left out.
    """
    outside = here()
    steps = sweep(root.node, arriving._array if recorder is None else arriving, recorder, since)
    try:
        return {
            node: g
            for node, g in steps
            if (node.function is None if wanted is None else node in wanted)
        }
    finally:
        enter(outside)  # leave the scope that `Recorder.begin` entered last


class Recorder:
    """Runs the rules of a sweep on tensors, so that derivatives can be differentiated in turn.

    What is done with the gradient of a node is recorded in a scope of its own, "∂ exp" beside exp.
    """

    def __init__(self) -> None:
        self.scopes: dict[Node, Scope] = {}

    def begin(self, node: Node) -> tuple[Tensor, list[Any]]:
        """Give the result and the arguments of a node as tensors, for its rules, which run next.

        They run in the scope of the node's gradient, which stays current until the next `begin`.
        """
        for x in node.inputs:  # constants, too: in what is recorded they stand for the new value
            if isinstance(x, Node) and x.replaced > node.number:
                raise errors.stale(x, node.function)
        enter(self.scope(node))
        pairs = zip(node.inputs, node.values)
        arguments = [tensor(value, x) if isinstance(x, Node) else x for x, value in pairs]
        return tensor(node.value, node), arguments

    def add(self, node: Node, total: Tensor, part: Tensor) -> Tensor:
        """Add to the gradient of a node, in its own scope and not in that of its last user."""
        outside = here()
        try:
            enter(self.scope(node))
            return total + part
        finally:
            enter(outside)

    def scope(self, node: Node) -> Scope:
        """The scope for all that is done with the gradient of a node; for a leaf it has no name."""
        if node not in self.scopes:
            name = None if node.function is None else f"∂ {errors.name_of(node.function)}"
            scope = self.scopes[node] = Scope(name, node.scope)
            scope.records = True  # a leaf may have been made under `no_grad`
            scope.observers = ()  # they hear of the derivatives, and not of each step to them
            scope.cause = node.number
        return self.scopes[node]
