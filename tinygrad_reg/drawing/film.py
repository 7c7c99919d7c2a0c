"""A film of a training run: the numbers of one graph, again and again."""

from __future__ import annotations

from itertools import zip_longest
from os import PathLike

from ..errors import shown
from ..files import write as write_file
from ..module import Module
from ..settings import check_int
from ..tensor import Tensor
from .dot import Look
from .graph import Graph, Node
from .page import write
from .picture import destination, draw, refuse_large_page
from .render import render
from .view import view
from .words import printable


class Film:
    """Records the graph of a training step now and then, and plays training as one page.

    Parameters
    ----------
    every
        How many calls of `record` there are for one frame.
    model
        Its parameters and buffers are called by their dotted names, "1.weight".

    Notes
    -----
    A frame holds statistics of values and gradients, not arrays.  It takes about as long as four
    steps of training, for it looks at every number.

    Examples
    --------
    In a training loop, between the loss and the optimizer's step::

        film = Film(every=10)
        for x, y in batches:
            loss = F.cross_entropy(model(x), y)
            film.record(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        film.save("training.html")
    """

    def __init__(self, every: int = 1, *, model: Module | None = None) -> None:
        if model is not None and not isinstance(model, Module):
            raise TypeError(f"Film: model must be a module, not {shown(model)}")
        self.every = check_int("Film: every", every, least=1)
        self.model = model
        self.steps = 0
        self.frames: list[tuple[str, Graph]] = []

    def record(self, loss: Tensor, label: str | None = None) -> None:
        """Take a frame of this step of training: of the first, and of each `every`-th after it.

        Parameters
        ----------
        loss
            Of a single element, before the optimizer's step: its graph is differentiated.
        label
            What the page calls the frame; by default "step 1", "step 2", ….

        Raises
        ------
        ValueError
            If the graph does not consist of the same operations as the first one (arrays may have
            other shapes).
        TypeError
            For a label that is no text.
        NoRendererError
            A RuntimeError: Graphviz is not there, or fails.
        TooLargeError
            A ValueError: Graphviz could not lay out the graph.

        Notes
        -----
        It also raises what `draw` raises.  After an error nothing is recorded.
        """
        if label is not None and not isinstance(label, str):
            raise TypeError(f"Film: a label must be text, not {shown(label)}")
        if self.steps % self.every == 0:
            graph = draw(loss, None, gradients=True, model=self.model).graph
            if self.frames:
                refuse_another(graph, self.frames[0][1])
            else:  # whatever would keep it from being saved is said before the training
                refuse_large_page("Film", graph, Look())
                render("digraph {}", "svg")
            self.frames.append((label or f"step {self.steps + 1}", graph))
        self.steps += 1

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page, .html.

        Parameters
        ----------
        path
            The name of the file.

        Raises
        ------
        ValueError
            For another suffix, and for a film without frames.
        OSError
            If the file cannot be written.
        """
        path = destination("Film", path, ("html",))
        if not self.frames:
            raise ValueError("Film: there is no frame yet; call record(loss) in the training loop")
        opening = view(self.frames[0][1], 1)  # layers are closed: their colours tell the story
        write_file(path, write(Look(health=True), self.frames, opening), "Film")


def refuse_another(graph: Graph, first: Graph) -> None:
    """ValueError if the graphs do not consist of the same calls."""
    for old, new in zip_longest(
        map(outline, first.nodes), map(outline, graph.nodes), fillvalue="nothing"
    ):
        if old != new:
            raise ValueError(
                "Film: the graph differs from that of the first frame: "
                f"{printable(new)} instead of {printable(old)}; make another Film for another graph"
            )


def outline(node: Node) -> str:
    """A call, whatever the shapes and the Python numbers in it, which may depend on them.

    The backward pass is the same, too: no parameter is frozen or thawed meanwhile.
    """
    inputs = ("…" if isinstance(x, str) else f"#{x.number}" for x in node.inputs)
    frozen = " without gradient" * (not node.flows)
    return f"{node.operation or node.kind}({', '.join(inputs)}){frozen}"
