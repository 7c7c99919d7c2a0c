"""The rule on each edge of a graph as text: for x * y towards x "ḡ · y", for exp(x) "ḡ · out".

The rules of `primitives.table` run on symbols, which write down what is done to them
(`symbols.py`).  So there is no second list of derivatives: a rule that is changed or added reads
here as it stands in the table.

    ḡ, out         the gradient that arrives, and the result
    in, in₁, in₂   arguments without names of their own
    Σ(…), Σ₀₁(…)   where broadcasting has stretched the argument: the gradients of all its uses are
                   added up
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import name_of
from ..graph import Node
from ..primitives import Rule, broadcasting, sum_to
from ..symbols import SUBSCRIPTS, Symbol

LONGEST = 20  # characters of a name that stands in formulas
SIGNS = frozenset("()[],=≠<>≤≥∨∧+-−·*/@")


def formulas(node: Node, names: Mapping[Node, str] | None = None) -> dict[int, str]:
    """The rules of a node's edges as text, by the positions of their inputs in its call.

    names   what to call nodes instead of their own names
    """
    called = symbol_names(node.inputs, names or {})
    arrays = [("ḡ", node), ("out", node), *((called.get(x), x) for x in node.inputs)]
    symbols = [
        Symbol(str(name), x.value.shape, x.value.dtype) if isinstance(x, Node) else x
        for name, x in arrays
    ]
    return {position: formula(node, position, rule, symbols) for position, rule in node.edges}


def formula(node: Node, position: int, rule: Rule, symbols: Sequence[Any]) -> str:
    """What a rule does with symbols, and the sum over all uses if the argument was stretched."""
    try:
        part = rule(*symbols, **node.metadata)
        if node.function in broadcasting:
            part = part.apply(sum_to, part, shape=node.inputs[position].value.shape)
        return str(part.text)
    except Exception:  # a rule may do whatever arrays can, and symbols cannot do all of it
        return f"rule of {name_of(node.function)}(ḡ, …)"


def symbol_names(inputs: Sequence[Any], names: Mapping[Node, str]) -> dict[Node, str]:
    """What nodes are called: by their own names if these can be read, else in, or in₁, in₂, …"""
    nodes = {x: i for i, x in reversed([*enumerate(inputs, start=1)]) if isinstance(x, Node)}
    own = {x: str(names.get(x) or x.name or "") for x in nodes}
    found: dict[Node, str] = {}
    taken = {"ḡ", "out"}
    for x in sorted(nodes, key=lambda x: (not readable(own[x]), nodes[x])):
        position = str(nodes[x]).translate(SUBSCRIPTS)
        name = own[x] if readable(own[x]) else "in" + position * (len(nodes) > 1)
        while name in taken:
            name += position
        found[x] = name
        taken.add(name)
    return found


def readable(name: str) -> bool:
    """Tell whether a name is one short word, and not a number or something to calculate."""
    return (
        len(name) <= LONGEST
        and name.split() == [name]
        and SIGNS.isdisjoint(name)
        and any(map(str.isalpha, name))
    )
