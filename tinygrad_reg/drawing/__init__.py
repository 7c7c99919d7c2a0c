"""Pictures of graphs: read (`graph.py`), written as DOT (`dot.py`), rendered (`render.py`)."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import shown
from ..tensor import Tensor
from .dot import write
from .graph import Graph, read
from .render import NoRendererError, render

__all__ = ["Drawing", "NoRendererError", "draw"]

FORMATS = "svg", "png", "pdf", "dot"


def draw(tensor: Tensor) -> Drawing:
    """The graph behind a tensor, with the numbers it has at this moment.

    Every operation and every leaf is a node with its name, shape and type, value and gradient: a
    single number exactly, an array as mean ± sd and norm (√Σx²), "–" where there is no gradient.
    (Only leaves have gradients, after `backward`.)  Edges run from inputs to results, from the top
    to the bottom; the tensor itself is framed twice.  Composites, modules and `scope("name")` are
    boxes with their names, where a box in a box with nothing else becomes one.

        rounded box   an operation, written as a call: • stands for what arrives there
        cylinder      a parameter: any leaf with requires_grad=True
        ellipse       an input: any other tensor made by hand
        sheet         a constant that a composite made for itself, such as a dropout mask

    In Jupyter the drawing shows itself; elsewhere `draw(loss).save("loss.svg")`.

    Raises TypeError if this is not a tensor.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: only tensors have graphs, not {type(tensor).__name__}")
    return Drawing(read(tensor))


class Drawing:
    """A picture of a graph: what `draw` gives.  It does not change when the tensors do."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def to_dot(self) -> str:
        """The picture as DOT text: the same for the same program, byte for byte."""
        return write(self.graph)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a file: a picture for .svg, .png and .pdf, text for .dot (needs no Graphviz).

        Raises ValueError for another suffix, NoRendererError (a RuntimeError) if Graphviz is
        needed and neither the `dot` program nor pygraphviz is there, and OSError if the file
        cannot be written.
        """
        if not isinstance(path, (str, PathLike)):
            raise TypeError(f"draw: the name of a file must be text or a path, not {shown(path)}")
        path = Path(path)
        format = path.suffix[1:].lower()
        if format not in FORMATS:
            known = ", ".join(f".{known}" for known in FORMATS)
            raise ValueError(f"draw: the name {str(path)!r} must end in one of {known}")
        dot = self.to_dot()
        picture = dot.encode() if format == "dot" else render(dot, format)
        try:
            path.write_bytes(picture)
        except OSError as error:
            raise OSError(
                error.errno,
                f"draw: cannot write here ({error.strerror}); save into a folder that exists and "
                "is yours to write to",
                str(path),
            ) from None

    def __repr__(self) -> str:
        operations = sum(node.kind == "operation" for node in self.graph.nodes)
        leaves, boxes = len(self.graph.nodes) - operations, len(self.graph.boxes)
        return f"<Drawing: operations {operations}, leaves {leaves}, boxes {boxes}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What Jupyter shows: SVG, or without a renderer text that says how to get one."""
        try:
            picture = render(self.to_dot(), "svg").decode()
        except NoRendererError as error:
            return {"text/plain": f"{self!r}\n{error}"}
        return {"image/svg+xml": picture, "text/plain": repr(self)}
