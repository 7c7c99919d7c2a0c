"""Folding: what repeats is shown once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from .graph import Box, Graph, Item, Node, contents, holding, numbered

LONGEST = 8  # items of a block that repeats, at most
MANY = 3  # what so many items use may well be used by each block, such as an encoder's result

Signature: TypeAlias = tuple[int, tuple[int | str, ...]]  # what it looks like, and its connections


def folded(graph: Graph) -> Graph:
    """The graph with each run of identical blocks, one after the other in one box, shown once.

    A block is one item or a few, boxes or nodes, with the same names, operations, shapes, types and
    connections as those after it.  The first block stays, in a box that says how many there are,
    and what used a result of any of them now uses the first one's.
    """
    items = contents(graph.nodes)
    looks = signatures(graph, items)
    twins: dict[Node, Node] = {}  # left out → its like in the block that stays
    homes: dict[Item | None, Box | None] = {None: None}  # of nodes; and the new boxes, by the old
    places: list[Box | None] = [None]
    while places:
        place = places.pop()
        here = items[place]
        for start, period, times in runs(here, looks):
            home, block = homes[place], here[start : start + period]
            is_box = period == 1 and isinstance(block[0], Box)
            if times > 1 and not is_box:
                home = Box(["repeated"], home, times=times)
            for i, item in enumerate(block):
                if isinstance(item, Box):
                    homes[item] = replace(item, parent=home, times=times if is_box else item.times)
                    places.append(item)
                else:
                    homes[item] = home
                for copy in here[start + period + i : start + period * times : period]:
                    twins.update(zip(nodes_in(copy, items), nodes_in(item, items)))
    kept = {x: replace(x, box=homes[x]) for x in graph.nodes if x in homes and x not in twins}

    def now(node: Node) -> Node:
        while node in twins:  # a block that stays may itself be folded
            node = twins[node]
        return kept[node]

    for node in kept.values():
        node.inputs = [x if isinstance(x, str) else now(x) for x in node.inputs]
    for old, new in twins.items():
        now(new).result |= old.result
    boxes: dict[Box, None] = {}
    for node in kept.values():
        if node.box is not None and node.box not in boxes:
            boxes.update(dict.fromkeys(node.box.path))
    return Graph(list(kept.values()), numbered(list(boxes)))


def nodes_in(item: Item, items: dict[Box | None, list[Item]]) -> Iterator[Node]:
    """The node, or all nodes in the box."""
    stack = [item]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            yield item
        else:
            stack += reversed(items[item])


def signatures(graph: Graph, items: dict[Box | None, list[Item]]) -> dict[Item, Signature]:
    """What each item looks like, and what it uses."""
    known: dict[tuple[object, ...], int] = {}
    found: dict[Item, Signature] = {}
    uses: dict[Box, dict[Node, None]] = {}  # what a box uses from elsewhere
    for place in [*reversed(graph.boxes), None]:  # inner before outer
        elsewhere: dict[Node, None] = {}
        inputs: dict[Item, list[Item | str | None]] = {}
        for item in items[place]:
            used = item.inputs if isinstance(item, Node) else list(uses.pop(item))
            inputs[item] = [x if isinstance(x, str) else holding(x, place) for x in used]
            elsewhere.update(
                (x, None)
                for x, holder in zip(used, inputs[item])
                if isinstance(x, Node) and not holder
            )
        if place is not None:
            uses[place] = elsewhere
        index = {item: i for i, item in enumerate(items[place])}
        users = Counter(holder for holders in inputs.values() for holder in {*holders})
        for item, i in index.items():
            looks: tuple[object, ...]
            if isinstance(item, Node):
                looks = (item.kind, item.operation, item.shape, item.dtype, *item.options)
            else:
                looks = (*item.names, item.training, *(found[part] for part in items[item]))
            connections = tuple(connection(x, i, index, users) for x in inputs[item])
            found[item] = known.setdefault(looks, len(known)), connections
    return found


def connection(
    x: Item | str | None, i: int, index: dict[Item, int], users: Counter[Item | str | None]
) -> int | str:
    """What the item at i uses: a neighbour, by how far back it is, a number, or what many use."""
    if isinstance(x, str):
        return x
    if x is None or users[x] >= MANY or (isinstance(x, Node) and x.kind != "operation"):
        return "common"
    return min(i - index[x], LONGEST + 1)


def runs(items: list[Item], signatures: dict[Item, Signature]) -> Iterator[tuple[int, int, int]]:
    """Cut a sequence into runs (start, period, times): times blocks of period identical items.

    Operations that stand in no box of their own are a pattern from three times on.
    """
    signs = [signatures[item] for item in items]
    i = 0
    while i < len(items):
        best = 1, 1
        for period in range(1, min(LONGEST, (len(items) - i) // 2) + 1):
            block = items[i : i + period]
            boxed = any(isinstance(item, Box) for item in block)
            if not boxed and all(isinstance(x, Node) and x.kind != "operation" for x in block):
                continue  # leaves alone are no pattern
            if not all(begins(signs[i + k], signs[i + period + k], k) for k in range(period)):
                continue
            j = i + period
            while j + period < len(items) and signs[j] == signs[j + period]:
                j += 1
            times = 1 + (j - i) // period
            if times >= (2 if boxed else 3) and period * times > best[0] * best[1]:
                best = period, times
        yield i, *best
        i += best[0] * best[1]


def begins(first: Signature, second: Signature, k: int) -> bool:
    """Whether the item at k of a first block is like that of the second.

    Only what it uses from before the block may differ: the second block may use the first one.
    """
    return first[0] == second[0] and all(
        a == b or not (inside(a, k) or inside(b, k)) for a, b in zip(first[1], second[1])
    )


def inside(connection: int | str, k: int) -> bool:
    """Whether a connection of the item at k of a block is not to what comes before the block."""
    return connection <= k if isinstance(connection, int) else connection != "common"
