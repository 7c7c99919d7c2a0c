"""Functions whose body runs in pieces: generators, coroutines and asynchronous generators.

A call of such a function returns at once, and its body runs later, a piece at a time.  The current
scope is that of whoever runs a piece, so a decorator that enters one must do so for each piece.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from . import scope as scopes
from .scope import Scope


def runs_in_pieces(function: Callable[..., Any]) -> bool:
    """Tell whether a call of the function returns before its body has run."""
    kinds = (isgeneratorfunction, iscoroutinefunction, isasyncgenfunction)
    return any(is_kind(function) for is_kind in kinds)


def in_pieces(function: Callable[..., Any], start: Callable[[], Scope]) -> Callable[..., Any]:
    """Decorate such a function, so that its body has a current scope of its own.

    That is what `start()` gives when the body starts, until the body enters another.
    """
    inside: Callable[..., Any]
    if isgeneratorfunction(function):

        def inside(*args: Any, **kwargs: Any) -> Any:
            return (yield from run(function(*args, **kwargs), Piece(start())))

    elif iscoroutinefunction(function):

        async def inside(*args: Any, **kwargs: Any) -> Any:
            return await run(function(*args, **kwargs), Piece(start()))

    else:

        async def inside(*args: Any, **kwargs: Any) -> Any:
            items, piece = function(*args, **kwargs), Piece(start())
            step: Any = items.asend(None)
            try:
                while True:
                    item = await run(step, piece)
                    step = None  # as `resume` in `run`
                    try:
                        step = items.asend((yield item))
                    except BaseException as error:
                        step = items.athrow(error)
            except StopAsyncIteration:
                return
            finally:
                del step

    return wraps(function)(inside)


class Piece:
    """The scope that the piece before has left."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope


@types.coroutine
def run(body: Any, piece: Piece) -> Generator[Any, Any, Any]:
    """Run a generator or coroutine piece by piece, and pass on what goes in and comes out."""
    resume: Any = partial(body.send, None)
    try:
        while True:
            outside = scopes.here()
            try:
                scopes.enter(piece.scope)
                item = resume()
            finally:  # in one step, which Ctrl-C cannot split
                piece.scope = scopes.enter(outside).old_value
            resume = None  # it may hold an error, whose traceback holds this frame
            try:
                resume = partial(body.send, (yield item))
            except BaseException as error:  # GeneratorExit, too: what close() throws
                resume = partial(body.throw, error)
    except StopIteration as stop:
        return stop.value
    finally:
        del body, resume
