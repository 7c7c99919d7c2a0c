"""Folding: what repeats is shown once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from .graph import Box, Graph, Item, Node, contents, holding, numbered

LONGEST = 8  # items of a block that repeats, at most


def folded(graph: Graph) -> Graph:
    """The graph with each run of identical blocks, one after the other in one box, shown once.

    A block is one item or a few, boxes or nodes, with the same names, functions, shapes, types and
    connections as those after it.  The first block stays, in a box that says how many there are,
    and what used a result of any of them now uses the first one's.
    """
    items = contents(graph.nodes)
    looks = looks_of(graph, items)
    left_out: dict[Node, tuple[Node, Box | None]] = {}  # its like that stays, and their run's box
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
                homes[item] = home
                if isinstance(item, Box):
                    homes[item] = replace(item, parent=home, times=times if is_box else item.times)
                    places.append(item)
                run = homes[item] if is_box else home
                for copy in here[start + period + i : start + period * times : period]:
                    for node, like in zip(nodes_in(copy, items), nodes_in(item, items)):
                        left_out[node] = like, run
    kept = {x: replace(x, box=homes[x]) for x in graph.nodes if x in homes and x not in left_out}

    def now(node: Node) -> Node:
        while node in left_out:  # a block that stays may itself be folded
            node, _ = left_out[node]
        return kept[node]

    copies: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        copies.setdefault(now(node), []).append(node)

    def source(node: Node, i: int) -> Node | str:
        """What a node that stays uses: nothing that has been left out of its own run.

        (A backward pass comes to the last block first, so the first one uses the second.)
        """
        uses = [user.inputs[i] for user in (node, *copies[kept[node]])]
        x = next((x for x in uses if not is_of_run(x, kept[node])), uses[0])
        return x if isinstance(x, str) else now(x)

    def is_of_run(x: Node | str, one: Node) -> bool:
        """Whether something was left out of a run that a node stands for."""
        if isinstance(x, str) or x not in left_out or one.box is None:
            return False
        _, run = left_out[x]
        return run in one.box.path

    for node, one in kept.items():
        one.inputs = [source(node, i) for i in range(len(node.inputs))]
        one.result = any(copy.result for copy in copies[one])
        one.flags = alarms(copies[one])
    return Graph(list(kept.values()), numbered(boxes_of(kept.values())))


def alarms(copies: list[Node]) -> list[str]:
    """What is alarming about any of them."""
    texts = [*dict.fromkeys(flag for node in copies for flag in node.flags)]
    times = Counter(flag.split(":")[0] for node in copies for flag in node.flags)
    if all(node.flags == texts for node in copies):
        return texts
    return [f"{what} in {n} of {len(copies)}" for what, n in times.items()]


def boxes_of(nodes: Iterable[Node]) -> list[Box]:
    """The boxes of nodes, outer before inner."""
    boxes: dict[Box, None] = {}
    for node in nodes:
        new = []
        box = node.box
        while box is not None and box not in boxes:
            new.append(box)
            box = box.parent
        boxes.update(dict.fromkeys(reversed(new)))
    return list(boxes)


def nodes_in(item: Item, items: dict[Box | None, list[Item]]) -> Iterator[Node]:
    """The node, or all nodes in the box."""
    stack = [item]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            yield item
        else:
            stack += reversed(items[item])


# --- What is alike -------------------------------------------------------------------------------


class Link(NamedTuple):
    """What an item uses that others may use, too.

    node       what is used
    at         where what holds it stands, operations and boxes being counted; -1 for leaves
    distance   how many of these it is back; 0 for leaves
    inside     which of the nodes of that item it is
    """

    node: Node
    at: int = -1
    distance: int = 0
    inside: int = 0


# A number; "own" for a leaf that nobody else uses; for what is outside of the box, which of that.
Connection: TypeAlias = Link | str | int


class Looks(NamedTuple):
    """What an item looks like: the same number for the same inside, and what it is connected to."""

    inside: int
    connections: tuple[Connection, ...]


def looks_of(graph: Graph, items: dict[Box | None, list[Item]]) -> dict[Item, Looks]:
    """What each item looks like."""
    known: dict[tuple[object, ...], int] = {}
    found: dict[Item, Looks] = {}
    uses: dict[Box, dict[Node, int]] = {}  # what a box uses from outside, numbered
    for place in [*reversed(graph.boxes), None]:  # inner before outer
        outside: dict[Node, int] = {}
        inputs: dict[Item, list[tuple[Node | str, Item | None]]] = {}
        for item in items[place]:
            used = item.inputs if isinstance(item, Node) else [*uses.pop(item)]
            inputs[item] = [(x, None if isinstance(x, str) else holding(x, place)) for x in used]
            for x, holder in inputs[item]:
                if isinstance(x, Node) and holder is None:
                    outside.setdefault(x, len(outside))
        if place is not None:
            uses[place] = outside
        computed = (item for item in items[place] if not is_leaf(item))
        index = {item: i for i, item in enumerate(computed)}
        users = Counter(holder for held in inputs.values() for holder in {x for _, x in held})
        within = {
            holder: {node: k for k, node in enumerate(nodes_in(holder, items))}
            for holder in users
            if holder is not None
        }
        for item in items[place]:
            connections: list[Connection] = []
            for x, holder in inputs[item]:
                if isinstance(x, str):
                    connections.append(x)
                elif holder is None:
                    connections.append(outside[x])
                elif is_leaf(x) and x is holder:
                    connections.append("own" if users[holder] == 1 else Link(x))
                else:
                    at = index[holder]
                    connections.append(Link(x, at, index[item] - at, within[holder][x]))
            inside: tuple[object, ...]
            if isinstance(item, Node):
                inside = (item.kind, item.function, item.shape, item.dtype, *item.options)
            else:
                inside = (*item.names, item.training, *(placed(found[x]) for x in items[item]))
            found[item] = Looks(known.setdefault(inside, len(known)), tuple(connections))
    return found


def is_leaf(item: Item) -> bool:
    return isinstance(item, Node) and item.kind != "operation"


def placed(looks: Looks) -> tuple[object, ...]:
    """What a part of a box looks like, wherever the box may be."""
    links = (x[2:] if isinstance(x, Link) else x for x in looks.connections)
    return looks.inside, *links


def alike(a: Connection, b: Connection, start: int, end: int) -> bool:
    """Whether an item and its like in the next block use the same, or what is equally far away.

    start, end   of the run so far: what stands there has its like in each block
    """
    if isinstance(a, Link) and isinstance(b, Link):
        if a.node is b.node:
            return not start <= a.at < end
        return a[2:] == b[2:] and 0 <= a.at < end
    return a == b


def repeats(a: Looks, b: Looks, start: int, end: int) -> bool:
    """Whether an item of a run is like the one in the next block."""
    return a.inside == b.inside and all(
        alike(x, y, start, end) for x, y in zip(a.connections, b.connections)
    )


def begins(a: Looks, b: Looks, start: int, end: int) -> bool:
    """Whether an item of a first block is like that of the second.

    Where the second uses something of the first, the first may use something from before.
    """

    def before(x: Connection) -> bool:
        return x.at < start if isinstance(x, Link) else x == "own" or isinstance(x, int)

    def in_first(x: Connection) -> bool:
        return isinstance(x, Link) and start <= x.at < (start + end) // 2

    return a.inside == b.inside and all(
        alike(x, y, start, end) or (before(x) and in_first(y))
        for x, y in zip(a.connections, b.connections)
    )


def tells_all(first: list[Looks], others: list[Looks], start: int) -> bool:
    """Whether the first block uses all that the others use from before the start.

    Such as x₀ and x₁ in xₖ₊₁ = f(xₖ, xₖ₋₁); for the others are not seen.
    """
    told = {x.node for looks in first for x in looks.connections if isinstance(x, Link)}
    return all(
        x.node in told or x.at >= start
        for looks in others
        for x in looks.connections
        if isinstance(x, Link)
    )


def runs(items: list[Item], looks: dict[Item, Looks]) -> Iterator[tuple[int, int, int]]:
    """Cut a sequence into runs (start, period, times): times blocks of period items that are alike.

    Operations that stand in no box of their own are a pattern from three times on.
    """
    here = [looks[item] for item in items]
    counted = [0, *accumulate(not is_leaf(item) for item in items)]  # as links count
    i = 0
    while i < len(items):
        best = 1, 1
        for period in range(1, min(LONGEST, (len(items) - i) // 2) + 1):
            block, start = items[i : i + period], counted[i]
            if all(map(is_leaf, block)):
                continue
            size = counted[i + period] - start
            end = start + 2 * size
            if not all(begins(here[n], here[n + period], start, end) for n in range(i, i + period)):
                continue
            j = i + period
            while j + period < len(items):
                end = start + size * ((j - i) // period + 2)
                if not repeats(here[j], here[j + period], start, end):
                    break
                j += 1
            times = 1 + (j - i) // period
            least = 2 if any(isinstance(item, Box) for item in block) else 3
            others = here[i + period : i + period * times]
            if not tells_all(here[i : i + period], others, start):
                continue
            if times >= least and period * times > best[0] * best[1]:
                best = period, times
        yield i, *best
        i += best[0] * best[1]
