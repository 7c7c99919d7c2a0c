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

Ctrl-C can come between any two steps of the interpreter.  A decorated function and a call of a
module are left all the same: `enter` is a single step, and tells what it replaced.  A `with` block
is not left if Ctrl-C comes in the instant in which Python calls its `__exit__`; whatever is around
it then leaves it, too.  A program that catches KeyboardInterrupt and goes on does best to compute
inside a function that is decorated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from . import scope as scopes  # by its name, so that decorated functions can be pickled
from .errors import name_of
from .generators import in_pieces, runs_in_pieces
from .scope import Observer, Scope, enter, here, joined, program

P = ParamSpec("P")
R = TypeVar("R")


def stay(left: Scope, found: Any) -> None:
    """Undo leaving a scope if that had happened already.

    It has if a block around it ended meanwhile, the block of a generator.

    Parameters
    ----------
    left
        The scope that was left.
    found
        What was current before: `enter(outside).old_value`.
    """
    if isinstance(found, Scope) and left not in found.outward:
        enter(found)


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

    def outside(self) -> Scope:
        """The scope around the innermost entry of this block; the current one if there is none."""
        for scope in here().outward:
            if scope.block is self:
                return scope.parent or program
        return here()

    def __enter__(self) -> None:
        outside = here()
        try:
            enter(self.entry())
        except BaseException:  # Ctrl-C, after which `with` does not call __exit__
            enter(outside)
            raise

    def __exit__(self, *_: object) -> None:
        outside = None
        try:
            outside = self.outside()
            enter(outside)
        except BaseException:  # Ctrl-C
            enter(outside or self.outside())
            raise

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if runs_in_pieces(function):
            return in_pieces(function, self.entry)

        @wraps(function)
        def scoped(*args: P.args, **kwargs: P.kwargs) -> R:
            outside = scopes.here()
            inside = self.entry()
            try:
                scopes.enter(inside)
                return function(*args, **kwargs)
            finally:
                found = scopes.enter(outside).old_value
                if found is not inside:
                    stay(inside, found)

        return scoped


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
        outside = scopes.here()
        inside = Scope(name, outside)
        try:
            scopes.enter(inside)
            return function(*args, **kwargs)
        finally:
            found = scopes.enter(outside).old_value
            if found is not inside:
                stay(inside, found)

    return scoped
