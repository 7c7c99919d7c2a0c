"""Gradients of functions: `grad` and `value_and_grad` make one function out of another."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from .backprop import reaches_beyond
from .errors import number, refuse_uncallable, sizes
from .memory import in_graph
from .scope import Block, here
from .tensor import Tensor, constant, gradients


def value_and_grad(
    f: Callable[..., Tensor], argnum: int | tuple[int, ...] = 0
) -> Callable[..., tuple[Tensor, Any]]:
    """The function that gives (f(*args), the gradient of f there) from one forward pass.

    f        takes tensors and returns a tensor with a single element
    argnum   the positional argument to differentiate by: a number gives one gradient, of that
             argument's shape; a tuple of numbers gives a tuple of gradients

    Arguments may be tensors, arrays or numbers, and nobody's `.grad` is touched.  A gradient can be
    differentiated again by whatever it depends on: grad(grad(f)) is the second derivative.

    Raises TypeError if f does not return a tensor, ValueError if that has several elements or there
    is no argument `argnum`.

    >>> value_and_grad(lambda x: x**3)(2.0)
    (Tensor(8.), Tensor(12.))
    """
    refuse_uncallable("grad: what to differentiate", f)
    several = np.iterable(argnum)
    positions = sizes("grad: argnum", argnum)
    if not positions:
        raise ValueError("grad: argnum is an empty tuple; name at least one argument")

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        if any(not -len(args) <= p < len(args) for p in positions):
            raise ValueError(f"grad: no argument {argnum} among {len(args)} positional ones")
        may_continue = here().records
        with Block(records=True):
            watched = {p % len(args): watch(args[p], may_continue) for p in positions}
            value = f(*(watched.get(p, a) for p, a in enumerate(args)), **kwargs)
        check_scalar(value)
        targets = [watched[p % len(args)] for p in positions]
        since = min(x.number for x in targets)
        # The gradient has a gradient itself only if f also saw something older that wants one.
        create_graph = may_continue and value.requires_grad
        create_graph = create_graph and reaches_beyond(in_graph(value), since)
        one = constant(value._data**0)
        found = gradients(value, one, set(targets).__contains__, create_graph, since)
        results = tuple(
            found[x] if x in found else constant(np.zeros_like(x._data)) for x in targets
        )
        return value if create_graph else value.detach(), results if several else results[0]

    return value_and_gradient


def grad(f: Callable[..., Tensor], argnum: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The gradient function of f: `value_and_grad` without the value.

    >>> grad(grad(lambda x: x**3))(2.0)
    Tensor(12.)
    """
    both = value_and_grad(f, argnum)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def watch(x: Any, may_continue: bool) -> Tensor:
    """A tensor equal to x that only this call of f sees: no other gradient can get mixed in."""
    if isinstance(x, Tensor) and x.requires_grad and may_continue:
        return x.reshape(x.shape)  # a new node in the graph that x belongs to
    name = x.name if isinstance(x, Tensor) else None
    if isinstance(x, (int, np.integer)):
        x = number("grad: an argument", x)
    return Tensor(x, requires_grad=True, name=name)


def check_scalar(value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"grad: the function returned {type(value).__name__}, not a tensor; gradients flow "
            "through tensors only, so don't make numbers of them inside (.item(), float, math.exp)"
        )
    if value.size != 1:
        raise ValueError(
            f"grad: the function returned a tensor of shape {value.shape}; it must have a single "
            "element, so reduce it, e.g. by .sum()"
        )
