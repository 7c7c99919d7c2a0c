"""Writing: one page of HTML that shows a graph and plays its backward pass.

The page is a file of its own: pictures, numbers, style (page.css) and script (page.js) stand in it,
and its content security policy allows nothing else: no network, no other script, no other style.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any, TypeAlias
from xml.etree import ElementTree

from .dot import SHAPES, Look
from .dot import write as dot
from .graph import Box, Graph, Node
from .health import colours, legend
from .markup import Content, Markup, joined, safe, tag
from .numbers import Numbers
from .render import render
from .view import BROWSABLE, LARGEST, View, view
from .words import INFIX, arguments, printable, references, short, title

Frame: TypeAlias = tuple[str, Graph]  # what the moment is called, and the graph with its numbers

WIDEST, HIGHEST = 1600, 1100  # points; larger pictures have to be zoomed into
DIGITS = 5  # of statistics
BETWEEN = 1000  # nodes, at most, of all pictures in which one box is open beyond its depth
DEPTHS = 4  # levels of boxes that open all at once, before all of them do
MARGIN = 8  # around a picture, for what page.js writes at its edges
SVG = "{http://www.w3.org/2000/svg}"
SPACE = "{http://www.w3.org/XML/1998/namespace}space"
OWN_ID = re.compile(r"v\d+-")
BUTTONS = {
    "To the start": "M3 3h2v10H3zM14 3v10L6 8z",
    "Back": "M11 3v10L4 8z",
    "Play": "M4 2v12l9-6z",
    "Forward": "M5 3v10l7-5z",
    "To the end": "M11 3h2v10h-2zM2 3v10l8-5z",
}
PAUSE = "M4 3h3v10H4zM9 3h3v10H9z"
SWATCH = "M1 1h20v12H1z"  # of a colour
LEGEND = {
    "operation": ("operation", "M5 2h18q4 0 4 4v6q0 4-4 4H5q-4 0-4-4V6q0-4 4-4z"),
    "backward": ("derivative rule", "M1 2h26v14H1z"),
    "forward": ("forward value", "M5 2h18q4 0 4 4v6q0 4-4 4H5q-4 0-4-4V6q0-4 4-4z"),
    "parameter": ("parameter", "M3 4v10c0 3 22 3 22 0V4c0-3-22-3-22 0c0 3 22 3 22 0"),
    "input": ("input", "M1 9a13 7.5 0 0 1 26 0a13 7.5 0 0 1-26 0"),
    "constant": ("constant", "M2 2h18l6 5v9H2zM20 2v5h6"),
    "mask": ("mask", "M8 1h12l7 5v6l-7 5H8l-7-5V6z"),
    "box": ("closed box", "M1 5h22v11H1zM1 5l4-4h22v11l-4 4M23 5l4-4"),
}


def write(look: Look, frames: Sequence[Frame], opening: View | None = None) -> str:
    """The text of the page.

    frames    at least one, of the same graph; if there are several, pictures have no numbers, and
              the page shows those of the frame
    opening   which boxes are closed at first, if that can be laid out; by default, as many as leave
              a window readable

    Boxes can be opened down to the depth that Graphviz can lay out; the outermost are always shown.
    There is a picture for each depth and for each box opened from there; for other combinations of
    open boxes, page.js covers boxes of the one that comes next.

    Raises NoRendererError without Graphviz.
    """
    _, graph = frames[0]
    style, script, page = (
        files(__package__).joinpath(f"page.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js", "html")
    )
    known = look.figures
    look = replace(look, figures=known and len(frames) == 1)
    if opening is not None and not is_feasible(opening, look):
        opening = None
    depths = list(levels(graph, look))
    more = [*between(graph, depths, look), *([opening] if opening else [])]
    by_closed: dict[frozenset[Box], View] = {}
    for one in [*depths, *more]:
        by_closed.setdefault(frozenset(one.closed), one)
    pictures = [
        slim(render(dot(view, replace(look, ids=f"v{k}-")), "svg"))
        for k, view in enumerate(by_closed.values())
    ]
    if opening is None:
        readable = (
            k for k, picture in enumerate(pictures[: len(depths)]) if fits_a_window(picture)
        )
        seen = max(readable, default=0)
    else:
        seen = list(by_closed).index(frozenset(opening.closed))
    name = ", ".join(node.name for node in graph.nodes if node.result and node.name) or "graph"
    data = payload(graph, look, frames, opening, known) | {"depths": len(depths)}
    return filled(
        page,
        title=name,
        policy=Markup(
            f"default-src 'none'; script-src '{fingerprint(script)}'; "
            f"style-src '{fingerprint(style)}'; base-uri 'none'; form-action 'none'"
        ),
        style=Markup(style),
        script=Markup(script),
        buttons=joined(*(button(name, path) for name, path in BUTTONS.items())),
        views=joined(*(framed(picture, k == seen) for k, picture in enumerate(pictures))),
        legend=joined(*explained(graph, look, frames)),
        data=script_data(data),
    )


def filled(template: str, **parts: Content) -> str:
    """The template with each $part in its place."""
    return Template(template).substitute({name: safe(part) for name, part in parts.items()})


def script_data(data: Any) -> Markup:
    """Data as JSON for a script element, which "</script>" in a name would end."""
    text = json.dumps(shown(data), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def shown(data: Any) -> Any:
    """Data with all text printable, as pictures have it."""
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {key: shown(value) for key, value in data.items()}
    return [*map(shown, data)] if isinstance(data, (list, tuple)) else data


def fingerprint(text: str) -> str:
    """How a content security policy calls an inline script or style."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


# --- Data ----------------------------------------------------------------------------------------


def payload(
    graph: Graph, look: Look, frames: Sequence[Frame], opening: View | None, known: bool
) -> dict[str, Any]:
    """What page.js reads: the graph, and what changes from frame to frame."""
    names = references(graph)
    return {
        "closed": opening and [box.number for box in graph.boxes if box in opening.closed],
        "hint": hint(graph) if known else "",
        "figures": known,  # whether there are numbers to be shown
        "nodes": [lasting(node, names) for node in graph.nodes],
        "boxes": [
            {"id": box.number, "label": title(box), "box": box.parent and box.parent.number}
            for box in graph.boxes
        ],
        "sweep": [node.number for node in graph.sweep],
        "frames": [
            {
                "label": label + reached(moment) * (len(frames) > 1),
                "nodes": {
                    node.number: state(node, look, known) | changed(node, first, names)
                    for node, first in zip(moment.nodes, graph.nodes)
                },
                "parts": {
                    node.number: [(i, packed(part)) for i, part in node.parts]
                    for node in moment.nodes
                    if node.parts
                },
            }
            for label, moment in frames
        ],
    }


def lasting(node: Node, names: dict[Node, str]) -> dict[str, Any]:
    """What stays the same."""
    return {
        "id": node.number,
        "kind": node.kind,
        "label": names[node] if node.name else f"{node.operation or node.kind} {names[node]}",
        "call": call_text(node, names) if node.kind == "operation" else "",
        "operation": node.operation,
        "name": node.name,
        "dtype": node.dtype,
        "flows": node.flows,
        "backward": node.backward,
        "box": node.box and node.box.number,
        "inputs": [x.number if isinstance(x, Node) else x for x in node.inputs],
        "result": node.result,
        "rules": node.rules,
    }


def hint(graph: Graph) -> str:
    """What to do if the backward pass cannot be played, where it could be."""
    if graph.sweep or any(node.backward for node in graph.nodes):
        return ""
    if any(box.times > 1 for box in graph.boxes):
        return "Repetitions are shown once; without fold=True, the backward pass can be played."
    return "No gradients were computed: draw(loss, gradients=True) plays the backward pass."


def reached(graph: Graph) -> str:
    """What the result is, if that is a single number: ", loss 0.123"."""
    results = [node for node in graph.nodes if node.result]
    if len(results) != 1 or results[0].shape != ():
        return ""
    return f", {results[0].name or 'result'} {short(results[0].value.mean)}"


def changed(node: Node, first: Node, names: dict[Node, str]) -> dict[str, Any]:
    """What its call and its rules are in this frame, if numbers or metadata in them are others."""
    inputs = [y if isinstance(x, str) else x for x, y in zip(first.inputs, node.inputs)]
    if (inputs, node.options, node.rules) == (first.inputs, first.options, first.rules):
        return {}
    now = replace(first, inputs=inputs, options=node.options)
    return {"call": call_text(now, names), "rules": node.rules}


def call_text(node: Node, names: dict[Node, str]) -> str:
    """How it was called: "x @ weight", "sum(#3, axis=0)"."""
    given = list(arguments(node, names))
    if node.function in INFIX and len(given) == 2:
        return f" {INFIX[node.function]} ".join(given)
    return f"{node.operation}({', '.join(given)})"


def state(node: Node, look: Look, known: bool) -> dict[str, Any]:
    """What changes from frame to frame."""
    looks = dict(zip(("fill", "ink"), colours(node.gradient, node.value))) if look.health else {}
    return looks | {
        "shape": str(node.shape),
        "value": packed(node.value) if known else None,
        "gradient": packed(node.gradient),
        "flags": node.flags,
    }


def packed(numbers: Numbers | None) -> dict[str, Any] | None:
    """The elements as text if they are few, otherwise statistics."""
    if numbers is None:
        return None
    if numbers.rows is not None:
        return {"rows": numbers.rows}
    found = numbers.mean, numbers.sd, numbers.norm, numbers.low, numbers.high, numbers.zeros
    return {"stats": [rounded(x) for x in found]}


def rounded(x: float) -> float | str:
    """A number for JSON, which has neither NaN nor infinities."""
    close = float(f"{x:.{DIGITS}g}")  # infinite just below the largest float, too
    return close if math.isfinite(close) else str(x)


# --- Pieces of the page --------------------------------------------------------------------------


def button(name: str, path: str) -> Markup:
    shapes, kind = [tag("path", d=path, **{"class": "start"})], {}
    if name == "Play":
        shapes, kind = [*shapes, tag("path", d=PAUSE, **{"class": "pause"})], {"class": "play"}
    icon = tag("svg", *shapes, viewBox="0 0 16 16", aria_hidden="true")
    return tag("button", icon, type="button", aria_label=name, **kind)


def explained(graph: Graph, look: Look, frames: Sequence[Frame]) -> Iterator[Markup]:
    """The legend: the shapes that are there, and what the colours mean."""
    kinds = {"backward" if node.backward else node.kind for node in graph.nodes}
    yield tag(
        "ul",
        *(
            explanation(text, "0 0 28 18", path, "none" if look.health else SHAPES[kind][1])
            for kind, (text, path) in LEGEND.items()
            if kind in kinds or (kind == "box" and graph.boxes)
        ),
    )
    yield tag("p", "Values flow down along the arrows; gradients flow back up against them.")
    if look.health:
        yield tag("p", "Numbers on edges: what goes back there, or the norm ‖…‖ of an array.")
        yield tag("p", "Colours: size of the gradient, √(Σḡ²/n), from")
        used = {
            colours(node.gradient, node.value)[0] for _, moment in frames for node in moment.nodes
        }
        scale = (explanation(text, "0 0 22 14", SWATCH, fill) for text, fill, _ in legend(used))
        yield tag("ul", *scale, **{"class": "scale"})


def explanation(text: str, size: str, path: str, fill: str) -> Markup:
    """A line of the legend: a shape, and what it means."""
    shape = tag("svg", tag("path", d=path, fill=fill), viewBox=size, aria_hidden="true")
    return tag("li", shape, text)


# --- Pictures ------------------------------------------------------------------------------------


def levels(graph: Graph, look: Look) -> Iterator[View]:
    """Views with more and more open boxes, from none to all, as far as they can be laid out."""
    deepest = 1 + max((box.depth for box in graph.boxes), default=-1)
    for depth in sorted({*range(min(deepest, DEPTHS)), deepest}):
        opened = view(graph, depth)
        if depth > 0 and not is_feasible(opened, look):
            return
        yield opened


def between(graph: Graph, depths: Sequence[View], look: Look) -> Iterator[View]:
    """Views in which one more box is open than in those, so that a click finds its picture."""
    nodes = 0
    for depth, closed in enumerate(depths[:-1]):
        for box in closed.hidden():
            opened = view(graph, depth, partial(opens, box))
            nodes += len(opened)
            if nodes > BETWEEN:
                return
            if is_feasible(opened, look):
                yield opened


def is_feasible(view: View, look: Look) -> bool:
    """Whether Graphviz can lay it out, and a page show it."""
    return view.effort(look.formulas) <= LARGEST and len(view) <= BROWSABLE


def opens(box: Box, other: Box) -> bool | None:
    """A `collapse` that opens one box."""
    return False if other is box else None


def slim(svg: bytes) -> ElementTree.Element:
    """Graphviz's picture for a place in a page.

    Attributes that nearly every text repeats are said once, at the root.  The white ground and the
    caption go, for the page has its own; so do tooltips, and the ids that Graphviz makes up, which
    every picture would repeat.
    """
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        if not OWN_ID.match(element.get("id", "")):
            element.attrib.pop("id", None)
        element.attrib.pop(SPACE, None)  # page.css says it
    for group in list(root.iter("g")):
        found: list[ElementTree.Element] = []
        for child in group:
            found += child if child.tag == "a" else [child]  # a tooltip wraps what it is of
        if group.get("class") == "graph":
            found = [child for child in found if child.tag == "g"]
        group[:] = [child for child in found if child.tag != "title"]
    texts = list(root.iter("text"))
    usual = {
        name: Counter(text.get(name, "") for text in texts).most_common(1)[0][0]
        for name in ("font-family", "font-size", "text-anchor")
    }
    for text in texts:
        text.attrib = {k: v for k, v in text.attrib.items() if usual.get(k) != v}
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    room = f"{left - MARGIN:g} {top - MARGIN:g} {width + 2 * MARGIN:g} {height + 2 * MARGIN:g}"
    root.attrib = {"viewBox": room, **usual}
    return root


def fits_a_window(picture: ElementTree.Element) -> bool:
    """Whether its text can be read when all of it is seen in a window of usual size."""
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    return width <= WIDEST and height <= HIGHEST


def framed(picture: ElementTree.Element, seen: bool) -> Markup:
    """A picture in its place in the page, seen at first or not."""
    svg = Markup(ElementTree.tostring(picture, encoding="unicode"))  # this escapes text, too
    return tag("div", svg, "\n", **{"class": "view"} | ({} if seen else {"hidden": ""}))
