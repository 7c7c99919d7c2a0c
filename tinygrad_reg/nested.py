"""Values inside tuples, lists and dictionaries, nested in any way: trees, with values as leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def tree_map(f: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with f(leaf) in the place of each leaf.

    >>> tree_map(abs, {"a": -1, "b": [2, (-3,)]})
    {'a': 1, 'b': [2, (3,)]}
    """
    if isinstance(tree, (tuple, list)):
        parts = [tree_map(f, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if isinstance(tree, dict):
        return {key: tree_map(f, part) for key, part in tree.items()}
    return f(tree)


def tree_leaves(tree: Any) -> list[Any]:
    """All leaves, from left to right."""
    leaves: list[Any] = []
    tree_map(leaves.append, tree)
    return leaves
