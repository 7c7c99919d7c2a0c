"""Which named piece of computation is running: every tensor remembers it, and pictures box by it.

A scope is entered by a call of a composite of `functional` or a module of `nn`, and in a block
`with scope("name")`.  Scopes nest, and each entry is numbered, so that two dropouts stay two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import count
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

entries = count(1)


class Scope:
    """One entry into a named piece of computation.

    name      what is computed there: "dropout", "Linear", …
    parent    the scope around it, or None
    cause     in a backward pass, the number of the forward tensor whose gradient is pulled back
    number    which entry it is, counted over the whole program
    """

    __slots__ = ("cause", "name", "number", "parent")

    def __init__(self, name: str, parent: Scope | None, cause: int | None = None) -> None:
        self.name = name
        self.parent = parent
        self.cause = cause
        self.number = next(entries)

    @property
    def path(self) -> tuple[Scope, ...]:
        """The scopes from the outermost down to this one."""
        inward = [self]
        while inward[-1].parent is not None:
            inward.append(inward[-1].parent)
        return tuple(reversed(inward))

    def __repr__(self) -> str:
        return "/".join(f"{scope.name}#{scope.number}" for scope in self.path)


current: ContextVar[Scope | None] = ContextVar("current", default=None)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Give everything computed in the `with` block a box of this name in pictures.

    >>> with scope("encoder"):
    ...     code = np.tanh(x @ weight)
    """
    token = current.set(Scope(name, current.get()))
    try:
        yield
    finally:
        current.reset(token)


def composite(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that everything it computes gets a scope with the function's name."""
    name = function.__name__

    @wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:
        token = current.set(Scope(name, current.get()))
        try:
            return function(*args, **kwargs)
        finally:
            current.reset(token)

    return scoped
