"""Scopes: which named part of a program is running, and under which settings.

>>> with entered(Scope("encoder", here())):
...     with entered(Scope("layer", here())):
...         str(here())
'encoder/layer'

Whatever is computed remembers the scope in which it was made, and pictures draw scopes as boxes.
Two settings belong to a scope, and a new one takes them over from the scope around it: whether
operations are recorded, and who observes them.

The layers of `nn.py` and the functions of `functional.py` enter a scope for each call, and so do
the `with` blocks of `blocks.py`: `scope("name")`, `no_grad()`, `observing(…)`.

The current scope is a context variable, so each thread and each asyncio task has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any


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
    cause
        For pictures: the number of the node whose gradient is handed on here, if one is.
    """

    __slots__ = ("block", "cause", "name", "observers", "parent", "records", "training")

    def __init__(
        self, name: str | None, parent: Scope | None, training: bool | None = None
    ) -> None:
        self.name = name
        self.parent = parent
        self.training = training
        self.block: Any = None
        self.cause: int | None = None
        self.records: bool = parent is None or parent.records
        self.observers: tuple[Observer, ...] = () if parent is None else parent.observers

    @property
    def outward(self) -> list[Scope]:
        """This scope, the one around it, and so on to the program."""
        scopes = [self]
        while scopes[-1].parent is not None:
            scopes.append(scopes[-1].parent)
        return scopes

    @property
    def path(self) -> tuple[Scope, ...]:
        """The scopes with names from the outermost down to this one."""
        return tuple(scope for scope in reversed(self.outward) if scope.name is not None)

    def __str__(self) -> str:
        """The names, "Sequential/Linear/linear"; "" for the program."""
        return "/".join(str(scope.name) for scope in self.path)


program = Scope(None, None)
current: ContextVar[Scope] = ContextVar("current", default=program)
here = current.get  # the current scope
enter = current.set  # makes a scope the current one; `.old_value` of the result is the one before


class entered:  # noqa: N801 - as those of contextlib
    """Make a scope the current one in a `with` block."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __enter__(self) -> None:
        self.outside = here()
        enter(self.scope)

    def __exit__(self, *_: object) -> None:
        enter(self.outside)


class Observer:
    """Hears what happens in a block, at four moments.  By default it does nothing.

    Nodes and the reverse sweep are those of `graph.py`.  What was recorded in a block is still
    watched by the observers of that block when a sweep passes through it later.
    """

    def computed(self, node: Any, function: Callable[..., Any], inputs: list[Any]) -> None:
        """A function of these inputs computed the value of a node; the call is recorded or not."""

    def summed(self, node: Any, g: Any) -> None:
        """In a reverse sweep, g is the complete gradient of a node.

        If a leaf has a `.grad` already, `backward` then calls this once more with the total.
        """

    def pulled(self, node: Any, position: int, g: Any, part: Any) -> None:
        """The rule for the input at this position turned g into a part of that input's gradient."""

    def passed(self, node: Any) -> None:
        """The sweep has passed a node: its gradient has been handed on to all its inputs."""


def joined(observers: Sequence[Observer], others: Sequence[Observer]) -> tuple[Observer, ...]:
    """Both, without repetitions."""
    if not observers:
        return tuple(others)
    return tuple({id(observer): observer for observer in (*observers, *others)}.values())
