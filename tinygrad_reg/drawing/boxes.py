"""Boxing: from the scopes of a program to the boxes of a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..graph import Node as GraphNode
from ..scope import Scope
from .graph import Box, Node, depth, numbered


def box_of(scope: Scope | None, boxes: dict[Scope, Box]) -> Box | None:
    """The box of a scope; it and those around it are made when first asked for."""
    new = []
    scope = innermost_named(scope)
    while scope is not None and scope not in boxes:
        new.append(scope)
        scope = innermost_named(scope.parent)
    box = None if scope is None else boxes[scope]
    for scope in reversed(new):
        box = boxes[scope] = Box([str(scope.name)], box, depth(box) + 1, scope.training)
    return box


def innermost_named(scope: Scope | None) -> Scope | None:
    """The innermost scope with a name."""
    while scope is not None and scope.name is None:
        scope = scope.parent
    return scope


def pair_up(nodes: Mapping[GraphNode, Node], boxes: Mapping[Scope, Box]) -> None:
    """Put each operation into the box of its derivative rules, if these are here."""
    by_number = {source.number: node for source, node in nodes.items()}
    for scope, box in boxes.items():
        node = by_number.get(scope.cause or 0)
        if node is not None and node.kind == "operation" and node.box is box.parent:
            node.box, box.names, box.pair = box, [node.operation], True


def home(users: list[Box | None]) -> Box | None:
    """Where a parameter or constant stands: in the innermost box common to its deepest users.

    A layer stands deeper than a penalty on its weights, so the weights are drawn in the layer.
    """
    deepest = max(depth(box) for box in users)
    place, *others = (box for box in users if depth(box) == deepest)
    for other in others:
        while place is not other:  # both equally deep, all the way up
            if depth(place) > depth(other):
                place = place.parent if place else None
            else:
                other = other.parent if other else None
    return place


def merged(boxes: list[Box], nodes: list[Node]) -> list[Box]:
    """Make one box of every box that holds one other box and nothing else; number what is left."""
    occupied = {node.box for node in nodes}
    inside: dict[Box, list[Box]] = {box: [] for box in boxes}
    for box in boxes:
        if box.parent is not None:
            inside[box.parent].append(box)
    kept = []
    for box in boxes:  # outer before inner
        if box in occupied or len(inside[box]) != 1:
            kept.append(box)
            continue
        (child,) = inside[box]
        if idea(box.names[-1]) != idea(child.names[0]) and not child.pair:
            box.names += child.names
        child.names, child.parent = box.names, box.parent
        child.training = box.training if child.training is None else child.training
    return numbered(kept)


def idea(name: str) -> str:
    """What the module BatchNorm1d and the function batch_norm have in common: batchnorm."""
    return re.sub(r"\d+d$", "", name).replace("_", "").lower()
