"""Pictures: `draw` and `draw_backward` make them, `Drawing` shows and saves them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..checks import check_bool
from ..errors import NO_GRADIENT, StaleValueError, shown
from ..files import write as write_file
from ..graph import Node as GraphNode
from ..graph import sweep
from ..module import Module
from ..program import Compiled
from ..program.run import Runnable
from ..scope import entered, here
from ..settings import check_callable, check_choice, check_int
from ..tensor import Recorder, Tensor
from .dot import PLAIN, Look, write
from .graph import Graph
from .numbers import numbers
from .page import write as write_page
from .play import Play, play
from .program import read_program
from .read import behind, read
from .render import NoRendererError, render
from .text import tell
from .view import BROWSABLE, LARGEST, Collapse, Depth, View, view

FORMATS = "svg", "png", "pdf", "html", "dot"


class TooLargeError(ValueError):
    """Laying the picture out would take very long."""


@np.errstate(all="ignore")  # what overflows or is NaN is to be seen
def draw(
    tensor: Tensor | Compiled[..., Any] | Runnable,
    depth: Depth = "auto",
    *,
    collapse: Collapse | None = None,
    fold: bool = False,
    gradients: bool = False,
    formulas: bool = False,
    model: Module | None = None,
) -> Drawing:
    """Draw the graph behind a tensor, with the numbers it has at this moment.

    Parameters
    ----------
    tensor
        The result.  Or a compiled function, or one of its `programs`: then all that it does, the
        forward pass, the backward pass and the optimizer's step, without numbers.
    depth
        How many levels of boxes are open: 0 closes the outermost, None opens all, and "auto" opens
        as many as leave the picture readable (300 nodes).
    collapse
        Decides for single boxes: it gets a `Box`, and returns True to close it, False to open it,
        None to leave it to `depth`; lambda box: box.name == "l2_penalty" or None.
    fold
        Whether to show a run of identical blocks once, with "× 12".
    gradients
        Whether to compute the gradient of every node (of a tensor with a single element), colour
        the nodes by its size, and flag what vanishes or explodes.  No `.grad` is touched.
    formulas
        Whether to write on each edge the derivative rule that goes back along it, with ḡ for the
        gradient that arrives and out for the result: "ḡ · y" towards x in x * y.
    model
        Its parameters and buffers are called by their dotted names, "1.weight".

    Returns
    -------
    Drawing
        In Jupyter it shows itself, `print` shows its text, `.save("x.svg")` writes a file, and
        `draw(loss, gradients=True).save("x.html")` plays the backward pass step by step.

    Raises
    ------
    TypeError
        If this is not a tensor.
    ValueError
        With `gradients`, if it has several elements or no gradient flows into it.
    StaleValueError
        With `gradients`, if data in the graph was replaced since.
    RuntimeError
        For a graph that was recorded under `save_memory`.

    Notes
    -----
    Every operation and every leaf is a node with its name, shape and type, value and gradient: a
    few numbers in full, many as mean ± sd, smallest … largest, norm (√Σx²) and share of zeros; "–"
    where a gradient would flow, but is not known.  (Without `gradients`, only leaves have them,
    after `backward`.)  Edges run from inputs to results, from the top to the bottom; the tensor
    itself is framed twice.  Composites, modules and `scope("name")` are boxes with their names,
    where a box in a box with nothing else becomes one.

        rounded box   an operation, written as a call: • stands for what arrives there
        cylinder      a parameter: a leaf that wants a gradient, or belongs to a module
        ellipse       an input: any other tensor made by hand
        sheet         a constant that a composite made for itself, or a buffer
        octagon       a mask: a condition, or what dropout keeps
        solid box     a closed box, in the place of all that is in it

    Examples
    --------
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(draw(x * x + 1))
                         shape  value  gradient
    x  parameter         ()     3.0    –
    #2 = multiply(x, x)  ()     9.0    –
    #3 = add(#2, 1)      ()     10.0   –
    """
    gradients = check_bool("draw: gradients", gradients)
    formulas = check_bool("draw: formulas", formulas)
    if isinstance(tensor, (Compiled, Runnable)):
        if gradients or formulas or model is not None:
            raise ValueError(
                "draw: the program of a compiled function has its backward pass in it, and names "
                "of its own: gradients, formulas and model are for graphs of tensors"
            )
        program = tensor.latest if isinstance(tensor, Compiled) else tensor
        look = Look(figures=False)
        return Drawing(read_program(program), look, *checked("draw", depth, collapse, fold))
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: only tensors have graphs, not {type(tensor).__name__}")
    if gradients:
        refuse_without_gradient("draw", tensor)
    names = dotted_names("draw", model)
    behind(tensor.node)  # refuses graphs of save_memory, before a sweep uses them up
    with drawn_in_time("draw"):
        played = play(tensor) if gradients else None
    graph = read([tensor.node], names, played, rules=gradients or formulas)
    look = Look(health=gradients, formulas=formulas)
    return Drawing(graph, look, *checked("draw", depth, collapse, fold))


@np.errstate(all="ignore")
def draw_backward(
    tensor: Tensor,
    wrt: Tensor | Iterable[Tensor] | None = None,
    *more: Tensor,
    side: Literal["backward", "both"] = "backward",
    depth: Depth = "auto",
    collapse: Collapse | None = None,
    fold: bool = False,
    formulas: bool = False,
    model: Module | None = None,
) -> Drawing:
    """Draw the graph of a gradient computation: what `backward` does.

    Parameters
    ----------
    tensor
        The result, of a single element.
    wrt, more
        The tensors whose gradients are wanted, leaves or not, in a list or one after the other; by
        default, all leaves that want one.
    side
        "backward" draws the backward pass alone: the values of the forward pass that it uses are
        dashed.  "both" draws it beside the forward pass, and against it: from the result up to the
        inputs.
    depth, collapse, fold, formulas, model
        As for `draw`.

    Raises
    ------
    TypeError
        For what is no tensor.
    ValueError
        For a tensor of several elements, and for a `wrt` that it does not depend on.

    Notes
    -----
    What the derivative rules of an operation compute stands in a box with its name ("∂ multiply"),
    inside the boxes of the operation, and with side="both" together with it.  No `.grad` is
    touched.  A gradient that was computed with create_graph is a tensor like any other, so this
    also draws how it is differentiated again.

    Examples
    --------
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(draw_backward(x * x))
                                    shape  value  gradient
    ∂out/∂out  input                ()     1.0
    x  parameter                    ()     3.0    6.0
    ∂ multiply
    ├─ #3 = multiply(∂out/∂out, x)  ()     3.0
    └─ #4 = multiply(∂out/∂out, x)  ()     3.0
    ∂out/∂x = add(#3, #4)           ()     6.0
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw_backward: only tensors have graphs, not {type(tensor).__name__}")
    check_choice("draw_backward: side", side, ("backward", "both"))
    formulas = check_bool("draw_backward: formulas", formulas)
    view = checked("draw_backward", depth, collapse, fold)
    refuse_without_gradient("draw_backward", tensor)
    given = wrt is not None or more
    wanted = [x.node for x in several_tensors(wrt, more)] if given else None
    names = dotted_names("draw_backward", model)

    root = tensor.node
    seed = Tensor(tensor.data**0, requires_grad=True)  # so that all that is done to it is recorded
    with drawn_in_time("draw_backward"), entered(here()):
        steps = sweep(root, seed, Recorder(), observers=here().observers)
        found = {node: g.node for node, g in steps}
    if wanted is None:
        wanted = [x for x in found if x.function is None]
    for x in wanted:
        if x not in found:
            raise ValueError(
                f"draw_backward: no gradient flows to {shown_node(x)}: the result was not "
                "computed from it, or it does not require one"
            )
    own, asked = called(root, names) or "out", set(wanted)
    labels: dict[GraphNode, list[str]] = {}
    for x in reversed(found):
        if x is root or x in asked or called(x, names):
            by = own if x is root else called(x, names) or "…"
            labels.setdefault(found[x], []).append(f"∂{own}/∂{by}")
    names |= {g: ", ".join(text) for g, text in labels.items()}
    results = [found[x] for x in wanted]
    known = Play({x: numbers(g.value) for x, g in found.items()})
    both = side == "both"
    graph = read(
        [*results, root] if both else results,
        names,
        known,
        rules=formulas,
        seed=seed.node,
        ends=() if both else behind(root),
    )
    return Drawing(graph, Look(formulas=formulas, mirrored=both), *view)


def dotted_names(name: str, model: Module | None) -> dict[GraphNode, str]:
    """What a model calls the nodes of its tensors; where several names are of one, the first."""
    if model is None:
        return {}
    if not isinstance(model, Module):
        raise TypeError(f"{name}: model must be a module, not {shown(model)}")
    return {x.node: path for path, x in reversed([*model.named_tensors()])}


def several_tensors(wrt: Any, more: Sequence[Any]) -> list[Tensor]:
    """The tensors to differentiate by, at least one."""
    in_list = isinstance(wrt, Iterable) and not isinstance(wrt, Tensor)
    tensors = [*(wrt if in_list else [wrt]), *more]
    if not tensors:
        raise ValueError("draw_backward: wrt is empty; name at least one tensor")
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"draw_backward: wrt must be a tensor or several, not {shown(x)}; give the "
                '.parameters() of a module, and everything else by keyword, e.g. side="both"'
            )
    return tensors


@contextmanager
def drawn_in_time(name: str) -> Iterator[None]:
    """Let a StaleValueError speak of the picture: `backward` was not called."""
    try:
        yield
    except StaleValueError as error:
        raise StaleValueError(
            f"{name}: {error} (a picture with gradients is drawn before optimizer.step())"
        ) from None


def refuse_without_gradient(name: str, tensor: Tensor) -> None:
    """Gradients start at a single number through which gradients flow."""
    if tensor.size != 1:
        raise ValueError(
            f"{name}: gradients are those of a single number, and this tensor has the shape "
            f"{tensor.shape}; reduce it first, as by t.sum()"
        )
    if not tensor.requires_grad:
        raise ValueError(f"{name}: {NO_GRADIENT}")


def called(node: GraphNode, names: dict[GraphNode, str]) -> str | None:
    return names.get(node, node.name)


def shown_node(x: GraphNode) -> str:
    shape = x.value.shape
    return f"{x.name!r} of shape {shape}" if x.name else f"a tensor of shape {shape}"


def checked(
    name: str, depth: Depth, collapse: Collapse | None, fold: bool
) -> tuple[Depth, Collapse | None, bool]:
    """How much of a graph is to be shown, checked."""
    if isinstance(depth, str):
        if depth != "auto":
            raise ValueError(f'{name}: depth must be a whole number, None or "auto", not {depth!r}')
    elif depth is not None:
        depth = check_int(f"{name}: depth", depth, least=0)
    if collapse is not None:
        check_callable(f"{name}: collapse", collapse)
    return depth, collapse, check_bool(f"{name}: fold", fold)


def destination(name: str, path: str | PathLike[str], formats: Iterable[str]) -> Path:
    """Where to save, checked."""
    if not isinstance(path, (str, PathLike)):
        raise TypeError(f"{name}: the name of a file must be text or a path, not {shown(path)}")
    path = Path(path)
    if path.suffix[1:].lower() not in formats:
        known = ", ".join(f".{format}" for format in formats)
        one = "one of " * (len(list(formats)) > 1)
        raise ValueError(f"{name}: the name {str(path)!r} must end in {one}{known}")
    return path


def refuse_too_large(name: str, view: View, look: Look, advice: str) -> None:
    """TooLargeError for a view that would keep Graphviz busy for long."""
    effort = view.effort(labelled=look.formulas)
    if effort > LARGEST:
        raise TooLargeError(
            f"{name}: Graphviz would take very long to lay out {len(view):,} nodes, with edges "
            f'across {effort:,} levels (the limit is {LARGEST:,}); {advice}put scope("name") '
            "around parts of your program, so that they can be closed"
        )


def refuse_large_page(name: str, graph: Graph, look: Look) -> None:
    """TooLargeError for a graph whose outermost boxes and nodes alone are too many for a page."""
    outermost = view(graph, 0)
    refuse_too_large(name, outermost, look, "")
    if len(outermost) > BROWSABLE:
        raise TooLargeError(
            f"{name}: a page of {len(outermost):,} nodes would answer slowly (the limit is "
            f'{BROWSABLE:,}); put scope("name") around parts of your program, so that they can be '
            "closed"
        )


class Drawing:
    """A picture of a graph: what `draw` gives.  It does not change when the tensors do."""

    def __init__(
        self,
        graph: Graph,
        look: Look = PLAIN,
        depth: Depth = "auto",
        collapse: Collapse | None = None,
        fold: bool = False,
    ) -> None:
        self.graph = graph
        self.look = look
        self.fold = fold
        self.opened = depth != "auto" or collapse is not None
        self.view: View = view(graph, depth, collapse, fold, labelled=look.formulas)

    def to_dot(self) -> str:
        """The picture as DOT text: the same for the same program, byte for byte."""
        return write(self.view, self.look)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a file: a picture for .svg, .png and .pdf, text for .dot (needs no Graphviz).

        .html is a page that works offline: boxes open and close, every number can be looked at,
        and with gradients=True the backward pass plays step by step (but not with fold=True).

        Parameters
        ----------
        path
            The name of the file; its suffix says what is written.

        Raises
        ------
        ValueError
            For another suffix.
        NoRendererError
            A RuntimeError: Graphviz is needed, and neither the `dot` program nor pygraphviz is
            there, or both fail.
        TooLargeError
            A ValueError: to lay it out would take very long.
        OSError
            If the file cannot be written.
        """
        path = destination("draw", path, FORMATS)
        format = path.suffix[1:].lower()
        if format == "html":
            graph = self.view.graph if self.fold else self.graph
            refuse_large_page("draw", graph, self.look)
            opening = self.view if self.opened else None
            picture = write_page(self.look, [("", graph)], opening).encode()
        elif format == "dot":
            picture = self.to_dot().encode()
        else:
            picture = self.rendered(format)
        write_file(path, picture, "draw")

    def rendered(self, format: str) -> bytes:
        """The picture as the bytes of a file."""
        advice = "close boxes by a smaller depth=, show repetitions once by fold=True, "
        advice += '.save("x.dot"), or '
        refuse_too_large("draw", self.view, self.look, advice)
        return render(self.to_dot(), format)

    def __str__(self) -> str:
        """The picture as indented text, for a terminal."""
        return tell(self.view, self.look.figures)

    def __repr__(self) -> str:
        operations = sum(node.kind == "operation" for node in self.graph.nodes)
        leaves, boxes = len(self.graph.nodes) - operations, len(self.graph.boxes)
        return f"<Drawing: operations {operations}, leaves {leaves}, boxes {boxes}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What Jupyter shows: SVG, no wider than the page, or text that says why there is none."""
        try:
            svg = self.rendered("svg").decode()
            svg = svg.replace("<svg ", '<svg style="max-width: 100%; height: auto" ', 1)
            return {"image/svg+xml": svg, "text/plain": str(self)}
        except (NoRendererError, TooLargeError) as error:
            return {"text/plain": f"{self}\n{error}"}
