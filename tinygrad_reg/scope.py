"""Which named piece of computation is running, and how: whether it is recorded, and inspected.

A scope is entered by a call of a composite of `functional` or a module of `nn`, and in the blocks
`with scope("name")`, `no_grad()` and `detect_anomaly()`.  Scopes nest, every tensor remembers the
one that it was made in, and pictures box by their names.  Each entry is an object of its own, so
that two dropouts stay two.  Every thread and every asyncio task has its own current scope.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial, wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Scope:
    """One entry into a piece of computation.

    name      what is computed there: "dropout", "Linear", …; None draws no box
    parent    the scope around it; None for the outermost, `program`
    training  in a call of a module, whether it is in training mode; None for anything else
    cause     in a backward pass, the number of the forward tensor whose gradient is pulled back
    records   whether operations are recorded
    inspects  whether results are searched for NaN and infinity
    keeps     whether graphs keep all results, and not only what one backward needs
    hold      when it is in force while it is current; None for always, which is nearly always
    """

    __slots__ = ("hold", "inspects", "keeps", "name", "parent", "records", "training")

    cause: int | None = None

    def __init__(
        self, name: str | None, parent: Scope | None, training: bool | None = None
    ) -> None:
        self.name = name
        self.parent = parent
        self.training = training
        self.hold: Hold | None = None
        if parent is None:
            self.records, self.inspects, self.keeps = True, False, True
        else:
            self.records = parent.records
            self.inspects = parent.inspects
            self.keeps = parent.keeps

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

    def __str__(self) -> str:
        """The names, "Sequential/Linear/linear"; nothing for the program."""
        return "/".join(str(scope.name) for scope in self.path)

    def __repr__(self) -> str:
        return f"Scope({self})"


class Backward(Scope):
    """Where the gradient of one tensor is added up and handed on, if that is recorded."""

    __slots__ = ("cause",)

    def __init__(self, name: str | None, scope: Scope | None, cause: int) -> None:
        super().__init__(name, scope)
        self.cause = cause
        self.records = True  # wherever the tensor was made
        self.inspects = False  # what rules compute is inspected when they are done


program = Scope(None, None)
current: ContextVar[Scope] = ContextVar("current", default=program)


def here() -> Scope:
    """The innermost scope in force."""
    scope = current.get()
    while scope.hold is not None and not scope.hold.in_force():
        scope = scope.hold.below
    return scope


def composite(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that everything it computes gets a scope with the function's name."""
    if not callable(function):
        raise TypeError(f"composite: this decorates functions, not {type(function).__name__}")
    name = getattr(function, "__name__", type(function).__name__)
    if suspends(function):
        return Block(name)(function)

    @wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:  # a block in fewer steps
        outside = current.get()
        token = current.set(Scope(name, outside) if outside.hold is None else enclosed(name))
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
    if not isinstance(name, str):
        raise TypeError(f"scope: the name must be text, not {type(name).__name__}")
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
        self,
        name: str | None = None,
        *,
        records: bool | None = None,
        inspects: bool | None = None,
        keeps: bool | None = None,
    ) -> None:
        self.name = name
        self.set = {"records": records, "inspects": inspects, "keeps": keeps}
        self.entered: list[Scope] = []

    def __enter__(self) -> None:
        scope = Scope(self.name, here())
        for flag, wanted in self.set.items():
            if wanted is not None:
                setattr(scope, flag, wanted)
        caller = sys._getframe(1)
        current.set(held(scope, caller if is_generator(caller) else None))
        self.entered.append(scope)

    def __exit__(self, *_: object) -> None:
        scope = self.entered.pop()
        if current.get() is scope:
            scope = below(scope)
            while scope.hold is not None and scope.hold.left:
                scope = scope.hold.below
            current.set(scope)
        else:  # something else was entered while a generator rested
            scope.hold = scope.hold or Hold(below(scope), None)
            scope.hold.left = True

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        block = partial(Block, self.name, **self.set)
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


# --- Generators ----------------------------------------------------------------------------------
# A generator shares the context variables of whoever runs it, so the block in which it rests stays
# current.  Hence these scopes know when they are in force.


class Hold:
    """When a scope is in force while it is current.

    below       what was current before
    generator   the frame of the generator in which its block stands: in force while that runs
    resting     generators that rested in a block when this scope was entered: when they go on, they
                are in that block, and not in this scope
    left        whether its block has been left
    """

    def __init__(self, below: Scope, generator: FrameType | None) -> None:
        self.below = below
        self.generator = generator
        self.resting = tuple(resting(below))
        self.left = False

    def in_force(self) -> bool:
        if self.left or any(map(is_running, self.resting)):
            return False
        return self.generator is None or is_running(self.generator)


def enclosed(name: str, training: bool | None = None) -> Scope:
    """A scope inside the one in force, about to be made current."""
    return held(Scope(name, here(), training))


def held(scope: Scope, generator: FrameType | None = None) -> Scope:
    """The scope, about to be made current, with a hold if it needs one."""
    before = current.get()
    if generator is not None or before.hold is not None:
        scope.hold = Hold(before, generator)
    return scope


def below(scope: Scope) -> Scope:
    """What was current before the scope."""
    return scope.hold.below if scope.hold is not None else scope.parent or program


def resting(scope: Scope) -> Iterator[FrameType]:
    """The generators that rest in a block: in this scope or one below."""
    while scope is not program:
        generator = scope.hold.generator if scope.hold is not None else None
        if generator is not None and not is_running(generator):
            yield generator
        scope = below(scope)


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
