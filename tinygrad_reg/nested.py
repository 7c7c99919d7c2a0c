"""Values inside tuples, lists and dictionaries, nested in any way: trees, with values as leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any


def tree_map(f: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with f(leaf) in the place of each leaf.

    >>> tree_map(abs, {"a": -1, "b": [2, (-3,)]})
    {'a': 1, 'b': [2, (3,)]}
    """
    if isinstance(tree, (tuple, list)):
        return with_parts(tree, [tree_map(f, part) for part in tree])
    if isinstance(tree, dict):
        return with_parts(tree, [tree_map(f, part) for part in tree.values()])
    return f(tree)


def with_parts(tree: Any, parts: list[Any]) -> Any:
    """A container of the same kind, with the same keys or names, and other parts."""
    if isinstance(tree, dict):
        same = copy(tree)  # so that a defaultdict keeps its default
        same.update(zip(tree, parts))
        return same
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def tree_leaves(tree: Any) -> list[Any]:
    """All leaves, from left to right."""
    return list(tree_paths(tree).values())


def tree_paths(tree: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """All leaves, by the keys and indices that lead to them.

    >>> tree_paths({"a": -1, "b": [2, (-3,)]})
    {('a',): -1, ('b', 0): 2, ('b', 1, 0): -3}
    """
    parts: Iterable[tuple[Any, Any]]
    if isinstance(tree, dict):
        parts = tree.items()
    elif isinstance(tree, (tuple, list)):
        parts = enumerate(tree)
    else:
        return {path: tree}
    return {
        inner: leaf for key, part in parts for inner, leaf in tree_paths(part, (*path, key)).items()
    }
