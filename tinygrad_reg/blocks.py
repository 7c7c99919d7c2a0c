"""Blocks and decorators that enter a scope: `scope`, `no_grad`, `observing` and `composite`.

>>> with scope("encoder"), no_grad():
...     str(here()), here().records
('encoder', False)

The current scope is a context variable, and a generator shares those of whoever runs it.  So a
block around a `yield` stays in force for the caller while the generator rests; and for good if the
generator is closed elsewhere: in another thread, or by the event loop after `break` in an `async
for`.  Put the block around the loop instead, or decorate the generator, whose body then has a scope
of its own.

To leave a block is to go back to the scope around it, and so to leave all blocks inside it, too.
Generators that have finished leave nothing behind, in whichever order they finish.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from .errors import name_of
from .generators import in_pieces, runs_in_pieces
from .scope import Observer, Scope, current, enter, here, joined, program, undo

P = ParamSpec("P")
R = TypeVar("R")


def leave(scope: Scope) -> None:
    """Go back to the scope around this one, unless that has happened already.

    It has if a block around it ended meanwhile, the block of a generator.
    """
    if scope in here().outward:
        enter(scope.parent or program)


class Block:
    """A `with` block in a scope of its own.  As a decorator it is put around a function's body.

    The same block may be entered several times, also by several threads, or within itself.

    Parameters
    ----------
    name
        The name of the scope.
    records
        Whether operations are recorded; by default as around the block.
    observer
        Who else is told of operations and derivatives.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        records: bool | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.records = records
        self.observer = observer

    def entry(self) -> Scope:
        """A new scope with these settings inside the current one."""
        scope = Scope(self.name, here())
        scope.block = self
        if self.records is not None:
            scope.records = self.records
        if self.observer is not None:
            scope.observers = joined(scope.observers, [self.observer])
        return scope

    def __enter__(self) -> None:
        enter(self.entry())

    def __exit__(self, *_: object) -> None:
        for scope in here().outward:
            if scope.block is self:
                enter(scope.parent or program)
                break

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if runs_in_pieces(function):
            return in_pieces(function, current, self.entry)

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return inside


def scope(name: str) -> Block:
    """Give everything computed in a `with` block a box of this name in pictures.

    Also a decorator: `@scope("encoder")`.

    Parameters
    ----------
    name
        The name of the box.

    Examples
    --------
    >>> with scope("encoder"):
    ...     str(here())
    'encoder'
    """
    if not isinstance(name, str):
        raise TypeError(f"scope: the name must be text, not {type(name).__name__}")
    return Block(name)


def no_grad() -> Block:
    """Compute without recording: results carry no graph, and nothing wants a gradient.

    A context manager, `with no_grad():`, and a decorator, `@no_grad()`.  It holds for the current
    thread or asyncio task alone.

    Examples
    --------
    >>> x = Tensor(3.0, requires_grad=True)
    >>> with no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return Block(records=False)


def observing(observer: Observer) -> Block:
    """Tell an observer of every operation in a `with` block, and of every derivative.

    Also a decorator: `@observing(observer)`.

    Parameters
    ----------
    observer
        An object with the four methods of `scope.Observer`.

    Examples
    --------
    >>> class Count(Observer):
    ...     operations = 0
    ...     def computed(self, node, function, inputs):
    ...         self.operations += 1
    >>> count = Count()
    >>> with observing(count):
    ...     y = Tensor([1.0, 2.0]) * 3 + 1
    >>> count.operations
    2
    """
    return Block(observer=observer)


def composite(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that everything it computes gets a scope with the function's name.

    Examples
    --------
    >>> @composite
    ... def square(x):
    ...     return str(here())
    >>> square(3)
    'square'
    """
    if not callable(function):
        raise TypeError(f"composite: this decorates functions, not {type(function).__name__}")
    name = name_of(function)
    if runs_in_pieces(function):
        return Block(name)(function)

    @wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:  # as a `Block`, in fewer steps
        inside = Scope(name, here())
        token = enter(inside)
        try:
            return function(*args, **kwargs)
        finally:
            if here() is inside:
                undo(token)
            else:
                leave(inside)

    return scoped
