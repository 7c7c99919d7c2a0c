"""Graphs worth drawing, and readers of their pictures.

A picture says of every operation what it was called with, so it is a program: `run` executes it,
with functions of whatever library is to be the judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_reg.functional as F
from tinygrad_reg import Tensor, nn
from tinygrad_reg.drawing import Drawing
from tinygrad_reg.drawing.graph import Box, Graph, Node
from tinygrad_reg.drawing.numbers import Numbers
from tinygrad_reg.primitives import table

# --- Graphs --------------------------------------------------------------------------------------


def neuron() -> Tensor:
    """y = b + b, b = relu(w x + c), with numbers that come out exactly."""
    x = Tensor(2.0, name="x")
    w = Tensor(0.75, requires_grad=True, name="w")
    c = Tensor(-0.25, requires_grad=True, name="c")
    b = F.relu(w * x + c)
    b.name = "b"
    y = b + b
    y.name = "y"
    return y


def network() -> Tensor:
    """The loss of two layers with batch norm, dropout, softmax cross-entropy and L2."""
    rng = np.random.default_rng(1)
    model = nn.Sequential(
        nn.Linear(4, 5, bias=False, rng=rng),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Dropout(0.5, rng=rng),
        nn.Linear(5, 3, rng=rng),
    ).astype(np.float64)
    x = Tensor(rng.normal(size=(6, 4)), name="x")
    loss = F.cross_entropy(model(x), rng.integers(0, 3, 6)) + F.l2_penalty(model.weights(), 0.125)
    loss.name = "loss"
    return loss


def small_network() -> tuple[Tensor, nn.Module]:
    """The same, so small that pictures show all its leaves in full; and its model."""
    rng = np.random.default_rng(2)
    model = nn.Sequential(
        nn.Linear(3, 3, bias=False, rng=rng), nn.BatchNorm1d(3), nn.Sigmoid(),
        nn.Dropout(0.25, rng=rng), nn.Linear(3, 2, rng=rng), nn.ReLU(), nn.Linear(2, 3, rng=rng),
    ).astype(np.float64)  # fmt: skip
    x = Tensor(rng.normal(size=(4, 3)), name="x")
    loss = F.cross_entropy(model(x), rng.integers(0, 3, 4)) + F.l2_penalty(model.weights(), 0.125)
    return loss, model


class Residual(nn.Module):
    """x + tanh(x @ weight + bias)"""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        self.layer = nn.Linear(width, width, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x).tanh()


def residual_network(blocks: int = 12) -> Tensor:
    rng = np.random.default_rng(3)
    model = nn.Sequential(*(Residual(3, rng) for _ in range(blocks)))
    return model(Tensor(rng.normal(size=(4, 3)).astype(np.float32), name="x")).sum()


# --- Readers of drawings -------------------------------------------------------------------------


def nodes(drawing: Drawing, **wanted: object) -> list[Node]:
    """All nodes with these attributes."""
    return [n for n in drawing.graph.nodes if all(getattr(n, k) == v for k, v in wanted.items())]


def node(drawing: Drawing, **wanted: object) -> Node:
    """The only node with these attributes."""
    (found,) = nodes(drawing, **wanted)
    return found


def around(item: Node | Box | None) -> list[str]:
    """The names of the boxes around an item, from the outermost."""
    names = []
    place = item.box if isinstance(item, Node) else item.parent if item else None
    while place is not None:
        names.append(place.name)
        place = place.parent
    return names[::-1]


def exactly(numbers: Numbers | None) -> np.ndarray[Any, Any]:
    """The array that was shown in full."""
    assert numbers is not None
    assert numbers.rows is not None
    flat = [{"True": 1.0, "False": 0.0}.get(x, x) for row in numbers.rows for x in row]
    return np.array(flat, float).reshape(numbers.shape)


# --- Pictures as programs ------------------------------------------------------------------------

OURS = {function.__name__: function for function in table}


def run(
    graph: Graph,
    functions: Mapping[str, Callable[..., Any]] = OURS,
    leaf: Callable[[Node, Any], Any] = lambda node, array: array,
) -> dict[Node, Any]:
    """What each node is if the picture is executed, from leaves shown in full.

    leaf   makes the argument of `functions` of an array
    """
    results: dict[Node, Any] = {}
    for node in graph.nodes:
        if node.kind == "operation":
            inputs = [results[x] if isinstance(x, Node) else value(x) for x in node.inputs]
            options = {key: value(text) for key, text in node.options}
            results[node] = functions[node.operation](*inputs, **options)
        else:
            array = exactly(node.value)
            results[node] = leaf(node, array.astype(bool) if node.dtype == "bool" else array)
    return results


def value(text: str) -> Any:
    """What a number or metadata was: "1:" in an index, too."""
    names = {"inf": np.inf, "nan": np.nan, "float64": np.float64, "float32": np.float32}
    if ":" in text or "..." in text:
        return eval(f"_[{text.removeprefix('(').removesuffix(')')}]", {"_": np.s_})
    return eval(text, names)


# --- Readers of DOT ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plate:
    """What DOT says of a node or a closed box.

    attributes   of Graphviz
    lines        of text, each the cells of a table's row
    """

    attributes: dict[str, str]
    lines: list[str]

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    @property
    def alarms(self) -> list[str]:
        return [line.removeprefix("▲ ") for line in self.lines if line.startswith("▲ ")]


def plates(dot: str) -> dict[str, Plate]:
    """By the names that they have in DOT, n1 or b1; each is there once."""
    found = {}
    for name, before, label in re.findall(
        r"^ *([nb]\d+) \[(.*?) label=<((?:.|\n)*?)>\]$", dot, re.M
    ):
        assert name not in found
        attributes = re.findall(r'(\w+)=("[^"]*"|\S+)', before)
        found[name] = Plate({k: v.strip('"') for k, v in attributes}, plain(label).splitlines())
    return found


def plain(label: str) -> str:
    """The text of an HTML-like label, its rows as lines."""
    text = label.replace("\n    ", "").replace("</TR>", "\n").replace('<BR ALIGN="LEFT"/>', "; ")
    text = re.sub("<[^>]*>", "", text.replace("</TD><TD", "</TD> <TD"))
    text = text.replace("&#160;", " ").replace("&lt;", "<").replace("&gt;", ">")
    lines = (" ".join(line.split()) for line in text.replace("&amp;", "&").split("\n"))
    return "\n".join(filter(None, lines))


def arrows(dot: str) -> list[tuple[str, str]]:
    """(from, to) of each edge as it is written."""
    return re.findall(r"^  ([nb]\d+)(?::\w+)* -> ([nb]\d+)\b", dot, re.M)


def box_labels(dot: str) -> list[str]:
    """Of open boxes."""
    return [a or b for a, b in re.findall(r'^ *label=(?:<(.*?)>|(".*?")) tooltip', dot, re.M)]


def portable(text: str) -> str:
    """Without digits that depend on the processor: NumPy's exp may differ in the last one."""

    def rounded(match: re.Match[str]) -> str:
        x = float(match.group())
        if abs(x) < 1e-12:
            return "0"
        return f"{x:.6g}" if len(match.group()) > 8 else match.group()

    return re.sub(r"(?<![#\w.])-?\d+(\.\d+)?(e-?\d+)?\b", rounded, text)
