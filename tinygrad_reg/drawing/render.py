"""Rendering: from DOT to the bytes of a picture, by Graphviz."""

from __future__ import annotations

from subprocess import CalledProcessError
from xml.etree import ElementTree

from .words import printable, shortened

SVG = "{http://www.w3.org/2000/svg}"
LONGEST = 300  # characters of what a program says that are repeated


class NoRendererError(RuntimeError):
    """Graphviz is not there, or fails."""


def render(dot: str, format: str) -> bytes:
    """The picture as "svg", "png" or "pdf", laid out by the `dot` program or else by pygraphviz.

    Raises NoRendererError if neither gives a whole picture, with what they say.
    """
    failures = []
    for name, renderer in (("`dot`", by_program), ("pygraphviz", by_pygraphviz)):
        try:
            picture = renderer(dot, format)
        except Exception as error:  # a broken installation may raise whatever there is
            failures.append(f"{name} fails: {reason(error)}")
            continue
        if picture is not None and is_whole(picture, format):
            return picture
        if picture is not None:
            failures.append(f"{name} gives {len(picture)} bytes that are no {format.upper()}")
    found = f" ({'; '.join(failures)})" if failures else ""
    raise NoRendererError(
        f"draw: to make {format.upper()}, install Graphviz so that its program `dot` is on PATH, "
        f'or pip install "tinygrad_reg[draw]"{found}; without either, .to_dot() gives and '
        '.save("x.dot") writes the picture as text'
    ) from None


def by_program(dot: str, format: str) -> bytes | None:
    """The picture that the program `dot` makes; None if it is not there."""
    import graphviz  # type: ignore[import-untyped]  # loads slowly, and DOT and text need none

    try:
        return bytes(graphviz.pipe("dot", format, dot.encode(), quiet=True))
    except graphviz.ExecutableNotFound:
        return None


def by_pygraphviz(dot: str, format: str) -> bytes | None:
    """The picture that pygraphviz makes, whose wheels bring Graphviz along; None without it."""
    try:
        import pygraphviz  # type: ignore[import-untyped]  # an optional extra
    except ModuleNotFoundError as error:
        if error.name != "pygraphviz":  # it is there, but something that it needs is not
            raise
        return None
    with pygraphviz.AGraph(string=dot) as graph:
        return bytes(graph.draw(format=format, prog="dot"))


def reason(error: Exception) -> str:
    """What went wrong, in one line: the error, and what the program said."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, CalledProcessError):
        text = f"exit status {error.returncode}. {(error.stderr or b'').decode(errors='replace')}"
    return shortened(printable(" ".join(text.split())), LONGEST)


def is_whole(picture: bytes, format: str) -> bool:
    """Tell whether these bytes are a picture from the beginning to the end."""
    if format == "svg":
        try:
            root = ElementTree.fromstring(picture)
        except ElementTree.ParseError:
            return False
        return root.tag == f"{SVG}svg" and len(root) > 0
    start, end = {"png": (b"\x89PNG\r\n", b"IEND\xaeB`\x82"), "pdf": (b"%PDF-", b"%%EOF")}[format]
    return picture.startswith(start) and picture.rstrip().endswith(end)
