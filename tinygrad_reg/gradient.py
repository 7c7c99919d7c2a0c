"""Gradients of functions: `grad` and `value_and_grad` make one function out of another."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from .blocks import Block
from .checks import check_shape
from .graph import Node
from .scope import here
from .settings import check_callable, check_float
from .tensor import Recorder, Tensor, constant, gradients


def value_and_grad(
    f: Callable[..., Tensor], argnum: int | tuple[int, ...] = 0
) -> Callable[..., tuple[Tensor, Any]]:
    """Make the function that gives (f(*args), the gradient of f there) from one forward pass.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor with a single element.
    argnum
        The positional argument to differentiate by.  A number gives one gradient, of that
        argument's shape; a tuple of numbers gives a tuple of gradients.

    Returns
    -------
    function
        Its arguments may be tensors, arrays or numbers; it touches no `.grad`.  A gradient can be
        differentiated again by whatever it depends on: grad(grad(f)) is the second derivative.

    Raises
    ------
    TypeError
        If f does not return a tensor.
    ValueError
        If that has several elements, or there is no argument `argnum`.

    Examples
    --------
    >>> value_and_grad(lambda x: x**3)(2.0)
    (Tensor(8.), Tensor(12.))
    """
    check_callable("grad: what to differentiate", f)
    several = np.iterable(argnum)
    positions = check_shape("grad: argnum", argnum)
    if not positions:
        raise ValueError("grad: argnum is an empty tuple; name at least one argument")

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        if any(not -len(args) <= p < len(args) for p in positions):
            raise ValueError(f"grad: no argument {argnum} among {len(args)} positional ones")
        may_continue = here().records
        with Block(records=True):  # under `no_grad`, too
            watched = {p % len(args): watch(args[p], may_continue) for p in positions}
            value = f(*(watched.get(p, a) for p, a in enumerate(args)), **kwargs)
        check_scalar(value)
        targets = [watched[p % len(args)].node for p in positions]
        since = min(node.number for node in targets)
        # The gradient has a gradient itself only if f also saw something older that wants one.
        create_graph = may_continue and value.requires_grad and reaches_beyond(value.node, since)
        recorder = Recorder() if create_graph else None
        one = constant(value._array**0)
        found = gradients(value, one, targets, recorder, since)
        results = tuple(as_gradient(found.get(node), node) for node in targets)
        return value if create_graph else value.detach(), results if several else results[0]

    return value_and_gradient


def grad(f: Callable[..., Tensor], argnum: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """Make the gradient function of f: `value_and_grad` without the value.

    Parameters
    ----------
    f
        Takes tensors and returns a tensor with a single element.
    argnum
        The positional argument to differentiate by, or several.

    Examples
    --------
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
    if not isinstance(x, Tensor):
        data = check_float("grad: an argument", x) if isinstance(x, (int, np.integer)) else x
        return Tensor(data, requires_grad=True)
    if x.requires_grad and may_continue:
        return x.reshape(x.shape)  # a new node in the graph that x belongs to
    return Tensor(x.detach(), requires_grad=True, name=x.name)


def as_gradient(g: Any, node: Node) -> Tensor:
    """A gradient as a tensor, zero where none flows."""
    if isinstance(g, Tensor):
        return g
    return constant(np.zeros_like(node.value) if g is None else g)


def check_scalar(value: Any) -> None:
    """Require a tensor with a single element."""
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


def reaches_beyond(root: Node, since: int) -> bool:
    """Tell whether a gradient flows from root to nodes with numbers smaller than `since`."""
    seen = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        if node.number < since:
            return True
        for position, _ in node.edges:
            x = node.inputs[position]
            if x not in seen:
                seen.add(x)
                stack.append(x)
    return False
