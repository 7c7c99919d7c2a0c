"""The backward pass, written down step by step: what arrives at each node, and what it hands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..backprop import fit, sweep
from ..primitives import Rule, table
from ..tensor import Tensor
from .numbers import Numbers, numbers


@dataclass(slots=True)
class Play:
    """A reverse sweep, as numbers.

    gradients   of each tensor that the sweep came to, in its order
    parts       what each of them handed on: (position of the input, numbers); the gradient of an
                input is the sum of all that was handed to it
    """

    gradients: dict[Tensor, Numbers] = field(default_factory=dict)
    parts: dict[Tensor, list[tuple[int, Numbers]]] = field(default_factory=dict)


def play(result: Tensor) -> Play:
    """Sweep back from a result of a single element.  Nobody's `.grad` is touched.

    A rule runs twice here: once in the sweep, which keeps only sums, and once for its part alone.
    """
    played = Play()
    arrived: dict[Tensor, list[Numbers]] = {}
    for node, g in sweep(result, result.data**0):
        came = arrived.pop(node, [])
        played.gradients[node] = came[0] if len(came) == 1 else numbers(g)
        played.parts[node] = []
        for i, x, rule in pulling(node):
            part = fit(rule(g, node._data, *node.values, **node.metadata), x._data, node)
            played.parts[node].append((i, numbers(part)))
            arrived.setdefault(x, []).append(played.parts[node][-1][1])
    return played


def pulling(node: Tensor) -> Iterator[tuple[int, Tensor, Rule]]:
    """The edges along which a gradient flows: position of the input, the input, and its rule."""
    edges = iter(node.edges)
    if node.function is None:
        return
    edge = next(edges, None)
    for i, (x, rule) in enumerate(zip(node.inputs, table[node.function])):
        if edge is not None and rule is not None and x is edge[0]:
            yield i, *edge
            edge = next(edges, None)
