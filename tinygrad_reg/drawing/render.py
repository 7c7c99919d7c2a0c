"""Rendering: from DOT to the bytes of a picture, by Graphviz."""

from __future__ import annotations

from types import ModuleType


class NoRendererError(RuntimeError):
    """Graphviz is not there."""


def render(dot: str, format: str) -> bytes:
    """The picture as "svg", "png" or "pdf", laid out by the `dot` program or else by pygraphviz.

    Raises NoRendererError if there is neither.
    """
    import graphviz  # type: ignore[import-untyped]  # loads slowly, and DOT and text need none

    picture: bytes
    try:
        picture = graphviz.pipe("dot", format, dot.encode())
    except graphviz.ExecutableNotFound:
        with pygraphviz(format).AGraph(string=dot) as graph:
            picture = graph.draw(format=format, prog="dot")
    return picture


def pygraphviz(format: str) -> ModuleType:
    """The module, whose wheels bring Graphviz along; it is an optional extra."""
    try:
        import pygraphviz as module  # type: ignore[import-untyped]
    except ImportError:
        raise NoRendererError(
            f"draw: to make {format.upper()}, install Graphviz so that its program `dot` is on "
            'PATH, or pip install "tinygrad_reg[draw]"; without either, .to_dot() gives and '
            '.save("x.dot") writes the picture as text'
        ) from None
    return module  # type: ignore[no-any-return]
