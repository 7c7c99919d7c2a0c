"""Which named piece of computation is running, and how: whether it is recorded, and inspected.

A scope is entered by a call of a composite of `functional` or a module of `nn`, and in the blocks
`with scope("name")`, `no_grad()` and `detect_anomaly()`.  Scopes nest, every tensor remembers the
one that it was made in, and pictures box by their names.  Each entry is numbered, so that two
dropouts stay two.  Every thread and every asyncio task has its own current scope.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial, wraps
from itertools import count
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

entries = count(1)


class Scope:
    """One entry into a piece of computation.

    name      what is computed there: "dropout", "Linear", …; None draws no box
    parent    the scope around it; None for the outermost, `program`
    cause     in a backward pass, the number of the forward tensor whose gradient is pulled back
    number    which entry it is, counted over the whole program
    records   whether operations are recorded
    inspects  whether results are searched for NaN and infinity

    Generators can leave a scope current that is not in force.  For those, see `here`:

    rests     says whether it is out of force just now; None if it never is
    below     what was current before it: its parent, or a scope that rested
    generator the frame of the generator that it is a block of
    """

    __slots__ = (
        "below", "cause", "generator", "inspects", "name", "number", "parent", "records", "rests",
    )  # fmt: skip

    def __init__(self, name: str | None, parent: Scope | None, cause: int | None = None) -> None:
        self.name = name
        self.parent = parent
        self.below: Scope = parent or self
        self.cause = cause
        self.number = next(entries)
        self.records: bool = parent is None or parent.records
        self.inspects: bool = parent is not None and parent.inspects
        self.rests: Callable[[], bool] | None = None
        self.generator: FrameType | None = None

    @property
    def path(self) -> tuple[Scope, ...]:
        """The scopes with names from the outermost down to this one."""
        inward: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            if scope.name is not None:
                inward.append(scope)
            scope = scope.parent
        return tuple(reversed(inward))

    def __repr__(self) -> str:
        return "/".join(f"{scope.name}#{scope.number}" for scope in self.path)


program = Scope(None, None)
current: ContextVar[Scope] = ContextVar("current", default=program)


def here() -> Scope:
    """The innermost scope in force."""
    scope = current.get()
    while scope.rests is not None and scope.rests():
        scope = scope.below
    return scope


def enclosed(name: str | None) -> Scope:
    """A scope inside the one in force, to be made current."""
    below = current.get()
    if below.rests is None:
        return Scope(name, below)
    scope = Scope(name, here())
    scope.below = below
    generators = tuple(suspended(below))
    if generators:  # should one of them run on in this scope, it is in its own and not in this
        scope.rests = lambda: any(map(is_running, generators))
    return scope


def composite(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that everything it computes gets a scope with the function's name."""
    name = function.__name__
    if suspends(function):
        return Block(name)(function)

    @wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:  # a block in fewer steps
        token = current.set(enclosed(name))
        try:
            return function(*args, **kwargs)
        finally:
            current.reset(token)

    return scoped


def scope(name: str) -> Block:
    """Give everything computed in the `with` block a box of this name in pictures.

    >>> with scope("encoder"):
    ...     code = np.tanh(x @ weight)
    """
    return Block(name)


def no_grad() -> Block:
    """Compute without recording: results carry no graph.  For this thread or asyncio task alone.

    Works as a context manager, `with no_grad():`, and as a decorator, `@no_grad()`.
    """
    return Block(records=False)


class Block:
    """A `with` block in a scope of its own; as a decorator, around whatever the function runs.

    In a generator, the block holds while the generator runs, and not for its caller while it rests
    at a `yield`; except under `contextlib.contextmanager`, where resting is what it is for.
    """

    def __init__(
        self, name: str | None = None, *, records: bool | None = None, inspects: bool | None = None
    ) -> None:
        self.name = name
        self.records = records
        self.inspects = inspects
        self.entered: list[Scope] = []

    def __enter__(self) -> None:
        scope = enclosed(self.name)
        scope.records = scope.records if self.records is None else self.records
        scope.inspects = scope.inspects if self.inspects is None else self.inspects
        if is_generator(frame := sys._getframe(1)):
            elsewhere = scope.rests
            scope.generator = frame
            scope.rests = lambda: not is_running(frame) or (elsewhere is not None and elsewhere())
        self.entered.append(scope)
        current.set(scope)

    def __exit__(self, *_: object) -> None:
        scope = self.entered.pop()
        scope.generator, scope.rests = None, for_ever  # others may have been entered meanwhile
        below = current.get()
        while below.rests is for_ever:
            below = below.below
        current.set(below)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        block = partial(Block, self.name, records=self.records, inspects=self.inspects)
        inside: Any
        if inspect.isasyncgenfunction(function):

            async def inside(*args: Any, **kwargs: Any) -> Any:
                with block():
                    async with aclosing(function(*args, **kwargs)) as items:
                        async for item in items:
                            yield item

        elif inspect.iscoroutinefunction(function):

            async def inside(*args: Any, **kwargs: Any) -> Any:
                with block():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            def inside(*args: Any, **kwargs: Any) -> Any:
                with block():
                    return (yield from function(*args, **kwargs))

        else:

            def inside(*args: Any, **kwargs: Any) -> Any:
                with block():
                    return function(*args, **kwargs)

        return wraps(function)(inside)


def suspends(function: Callable[..., Any]) -> bool:
    """Whether the function's body runs in pieces, and after the call."""
    return (
        inspect.isgeneratorfunction(function)
        or inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
    )


def is_generator(frame: FrameType) -> bool:
    """Whether a frame is a generator's, unless `contextlib` runs it."""
    flags = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
    caller = frame.f_back
    managed = caller is not None and caller.f_globals.get("__name__") == "contextlib"
    return bool(frame.f_code.co_flags & flags) and not managed


def is_running(generator: FrameType) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not generator:
        frame = frame.f_back
    return frame is not None


def suspended(scope: Scope) -> Iterator[FrameType]:
    """The generators that rest in a block, in this scope or one below."""
    while scope is not program:
        if scope.generator is not None and not is_running(scope.generator):
            yield scope.generator
        scope = scope.below


def for_ever() -> bool:
    """How a scope rests that has been left."""
    return True
