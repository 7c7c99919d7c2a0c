"""The backward pass, written down step by step: what arrives at each node, and what it hands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..graph import Node, sweep
from ..scope import Observer, here
from ..tensor import Tensor
from .numbers import Numbers, numbers


@dataclass(slots=True, eq=False)
class Play(Observer):
    """A reverse sweep, as numbers.

    gradients   of each node that the sweep came to, in its order
    parts       what each of them handed on: (position of the input, numbers); the gradient of an
                input is the sum of all that was handed to it
    arrived     the parts that have been handed to a node so far
    """

    gradients: dict[Node, Numbers] = field(default_factory=dict)
    parts: dict[Node, list[tuple[int, Numbers]]] = field(default_factory=dict)
    arrived: dict[Node, list[Numbers]] = field(default_factory=dict)

    def summed(self, node: Node, g: Any) -> None:
        came = self.arrived.pop(node, [])
        self.gradients[node] = came[0] if len(came) == 1 else numbers(g)
        self.parts[node] = []

    def pulled(self, node: Node, position: int, g: Any, part: Any) -> None:
        known = numbers(part)
        self.parts[node].append((position, known))
        self.arrived.setdefault(node.inputs[position], []).append(known)


def play(result: Tensor) -> Play:
    """Sweep back from a result of a single element; no `.grad` is touched.

    Only observers in force here are told, and not those of the block in which the graph was
    recorded: outside of `detect_anomaly`, a picture may show what it refuses.
    """
    played = Play()
    observers = *here().observers, played
    for _ in sweep(result.node, result._array**0, observers=observers):
        pass
    return played
