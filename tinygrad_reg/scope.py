"""Scopes: which named part of a program is running, and under which settings.

Every node remembers the scope in which it was made, and pictures draw scopes as boxes.  A call of a
composite or a module enters one, and so do the blocks of `blocks.py`: `scope("name")`, `no_grad()`,
`observing(…)`.  Scopes nest, and each entry is an object of its own: two dropouts stay two.

>>> with entered(Scope("encoder", here())):
...     with entered(Scope("layer", here())):
...         str(here())
'encoder/layer'

The current scope is a context variable, so each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Observer:
    """Is told what happens in a block, at four moments.  By default it ignores them.

    Nodes are those of `graph.py`.  A graph that was recorded in a block is still watched by the
    observers of that block when a reverse sweep passes through it later.
    """

    def computed(self, node: Any, function: Callable[..., Any], inputs: list[Any]) -> None:
        """A function of these inputs gave the value of a node, which is recorded or not."""

    def summed(self, node: Any, g: Any) -> None:
        """In a reverse sweep, g is the complete gradient of a node."""

    def pulled(self, node: Any, position: int, g: Any, part: Any) -> None:
        """A derivative rule made of g its part of the gradient of the input at this position."""

    def passed(self, node: Any) -> None:
        """A node has handed on its gradient to all its inputs."""


class Scope:
    """One entry into a part of the program.

    Attributes
    ----------
    name
        What is computed there: "dropout", "Linear", …; None draws no box.
    parent
        The scope around it; None for the outermost, `program`.
    training
        In a call of a module, whether it is in training mode; None elsewhere.
    records
        Whether operations are recorded, so that gradients can flow back.
    observers
        Who is told of operations and derivatives.
    block
        The `with` block that entered it, if one did.
    left
        Whether that block has been left.
    cause
        In a recorded backward pass, the number of the node whose gradient is handed on.
    """

    __slots__ = ("block", "cause", "left", "name", "observers", "parent", "records", "training")

    def __init__(
        self, name: str | None, parent: Scope | None, training: bool | None = None
    ) -> None:
        self.name = name
        self.parent = parent
        self.training = training
        self.block: Any = None
        self.left = False
        self.cause: int | None = None
        if parent is None:
            self.records = True
            self.observers: tuple[Observer, ...] = ()
        else:
            self.records = parent.records
            self.observers = parent.observers

    @property
    def path(self) -> tuple[Scope, ...]:
        """The scopes with names from the outermost down to this one."""
        outward = [self]
        while outward[-1].parent is not None:
            outward.append(outward[-1].parent)
        return tuple(scope for scope in reversed(outward) if scope.name is not None)

    def __str__(self) -> str:
        """The names, "Sequential/Linear/linear"; nothing for the program."""
        return "/".join(str(scope.name) for scope in self.path)


program = Scope(None, None)
current: ContextVar[Scope] = ContextVar("current", default=program)
here = current.get  # the current scope
enter = current.set  # makes a scope the current one; what it gives is for `leave`
leave = current.reset


@contextmanager
def entered(scope: Scope) -> Iterator[None]:
    """Make a scope the current one in a `with` block."""
    outside = here()
    enter(scope)
    try:
        yield
    finally:
        enter(nearest_open(outside))


def nearest_open(scope: Scope) -> Scope:
    """The scope itself, or the nearest around it whose block has not been left meanwhile."""
    while scope.left:
        scope = scope.parent or program
    return scope
