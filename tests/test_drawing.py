"""`draw`: right, the same every time, without recursion, and readable whatever the names are."""

import ast
import gc
import json
import os
import re
import subprocess
import sys
import unicodedata
import weakref
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import around, arrows, box_labels, network, neuron, node, plates, portable
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_reg.functional as F
from tinygrad_reg import Tensor, nn, optim, scope
from tinygrad_reg import drawing as drawing_package
from tinygrad_reg.drawing import Drawing, NoRendererError, draw, draw_backward
from tinygrad_reg.drawing.dot import Look
from tinygrad_reg.drawing.graph import Node
from tinygrad_reg.drawing.render import render
from tinygrad_reg.scope import Scope, current

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: bytes) -> list[str]:
    return [e.text.replace("\xa0", " ") for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# --- Golden pictures -----------------------------------------------------------------------------


def test_golden_neuron(golden):
    y = neuron()
    y.backward()
    golden("neuron.dot", draw(y).to_dot())
    golden("neuron.txt", f"{draw(y)}\n")


def test_golden_neuron_backward(golden):
    drawing = draw_backward(neuron(), side="both", formulas=True)
    golden("neuron_backward.dot", drawing.to_dot())
    golden("neuron_backward.txt", f"{drawing}\n")


def test_golden_network(golden):
    loss = network()
    golden("network_before_backward.dot", portable(draw(loss).to_dot()))
    golden("network_gradients.dot", portable(draw(loss, gradients=True, formulas=True).to_dot()))
    golden("network_depth_1.dot", portable(draw(loss, depth=1).to_dot()))
    loss.backward()
    golden("network.dot", portable(draw(loss).to_dot()))
    for name, depth in (("network_depth_1.txt", 1), ("network.txt", None)):
        columns_apart = re.sub(" {3,}", "  ", str(draw(loss, depth)))  # widths depend on digits
        golden(name, portable(columns_apart) + "\n")


# --- The same every time -------------------------------------------------------------------------


def every_picture() -> str:
    """All kinds of drawings of one network."""
    loss = network()
    loss.backward()
    drawings = [
        draw(loss),
        draw(loss, 0, gradients=True, formulas=True),
        draw(loss, fold=True),
        draw_backward(loss, side="both", formulas=True),
        draw_backward(loss, depth=1),
    ]
    return "\n".join(text for drawing in drawings for text in (drawing.to_dot(), str(drawing)))


def test_the_same_program_gives_the_same_bytes():
    assert every_picture() == every_picture()
    assert render(draw(network()).to_dot(), "svg") == render(draw(network()).to_dot(), "svg")


def test_two_processes_give_the_same_bytes():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_drawing import every_picture\n"
        "sys.stdout.buffer.write(every_picture().encode())\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == every_picture().encode()


def test_training_does_not_renumber():
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    x = Tensor(np.ones((4, 3), np.float32))

    def ids() -> list[tuple[str, str]]:
        return arrows(draw(model(x).sum()).to_dot())

    before = ids()
    model.weight.data = model.weight.data * 2
    assert ids() == before


def test_length_does_not_matter():
    x = Tensor(1.0, requires_grad=True)
    for _ in range(50_000):
        x = x + 1
    drawing = draw(x, None, gradients=True, formulas=True)
    dot = drawing.to_dot()
    assert "n50000 -> n50001:i0:n [" in dot
    assert ">50001.0<" in dot
    assert len(str(drawing).splitlines()) == 1 + 50_001
    assert len(Drawing(drawing.graph).view) == 2  # folded


def test_nesting_of_boxes_does_not_matter():
    x = Tensor(1.0, requires_grad=True)
    inner = None
    for _ in range(20_000):
        inner = Scope("box", inner)
        token = current.set(inner)
        x = x + 1
        current.reset(token)
    drawing = draw(x, None)
    dot = drawing.to_dot()
    assert dot.count("subgraph") == 20_000
    assert len(str(drawing)) < 10_000_000
    assert len(Drawing(drawing.graph).view) == 300
    token = current.set(inner)
    y = Tensor(1.0, requires_grad=True) + 1
    current.reset(token)
    assert draw(y).to_dot().count("subgraph") == 1


@pytest.mark.parametrize(
    "picture",
    [
        draw,
        lambda loss: draw(loss, 0, gradients=True, formulas=True, fold=True),
        draw_backward,
        lambda loss: draw_backward(loss, side="both"),
    ],
    ids=["draw", "gradients", "draw_backward", "both"],
)
def test_a_drawing_keeps_no_tensor_alive(picture):
    gc.disable()
    try:
        loss = network()
        drawing = picture(loss)
        gone = weakref.ref(loss)
        del loss
        assert gone() is None
    finally:
        gc.enable()
    assert drawing.to_dot()


def test_a_drawing_shows_the_moment_it_was_made():
    loss = network()
    drawing = draw(loss)
    dot, text = drawing.to_dot(), str(drawing)
    loss.backward()
    assert (drawing.to_dot(), str(drawing)) == (dot, text)
    assert draw(loss).to_dot() != dot


# --- Nodes and edges -----------------------------------------------------------------------------


def test_every_operation_and_leaf_is_there_once():
    drawn = plates(draw(network()).to_dot())
    assert list(drawn) == [f"n{i + 1}" for i in range(len(drawn))]
    shapes = [plate.attributes["shape"] for plate in drawn.values()]
    assert {shape: shapes.count(shape) for shape in shapes} == {
        # Two linear layers, batch norm, relu, dropout, cross-entropy, penalty, and the sum of both.
        "box": 3 + 9 + 1 + 1 + 6 + 2 + 1,
        "cylinder": 5,
        "ellipse": 1,
        "note": 3,  # 1/n, max, -target / n
        "octagon": 1,
    }


def test_the_result_is_framed_twice():
    def framed(drawing: Drawing) -> list[str]:
        found = plates(drawing.to_dot())
        return [name for name, p in found.items() if p.attributes.get("peripheries") == "2"]

    loss = network()
    assert framed(draw(loss)) == framed(draw(loss, 0)) == ["n33"]
    assert framed(draw(F.relu(loss), 0)) == ["b10"], "also in a closed box"


def kinds() -> tuple[Tensor, nn.Module]:
    """One graph with leaves of all kinds."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 4, rng=rng), nn.BatchNorm1d(4))
    model[0].bias.requires_grad = False
    model.eval()
    x = Tensor(rng.normal(size=(5, 4)).astype(np.float32), name="x")
    y = F.leaky_relu(F.dropout(model(x), rng=rng))
    return F.cross_entropy(y, rng.integers(0, 4, 5)), model


def test_kinds_of_leaves_are_told_apart():
    loss, model = kinds()
    drawing = draw(loss, model=model)
    told = {n.name: n.kind for n in drawing.graph.nodes if n.kind != "operation" and n.name}
    assert told == {
        "x": "input",
        "0.weight": "parameter",
        "0.bias": "parameter",  # frozen
        "1.running_mean": "constant",  # a buffer
        "1.weight": "parameter",
        "1.bias": "parameter",
        "mask": "mask",  # of dropout
        "max": "constant",
        "-target / n": "constant",
    }
    assert node(drawing, dtype="bool").kind == "mask"  # x > 0 in leaky_relu
    by_hand = Tensor(np.ones(2), name="mask") * Tensor(1.0, requires_grad=True)
    assert node(draw(by_hand), name="mask").kind == "input"
    assert around(node(drawing, name="1.running_mean")) == ["Sequential", "BatchNorm1d"]
    assert around(node(drawing, dtype="bool")) == ["leaky_relu"]
    assert around(node(drawing, name="x")) == []


def test_no_gradient_is_promised_where_none_flows():
    loss, model = kinds()
    promised = {"–" in line for p in plates(draw(loss).to_dot()).values() for line in p.lines}
    assert promised == {True, False}
    drawing = draw(loss, model=model)
    drawn = plates(drawing.to_dot())
    for n in drawing.graph.nodes:
        wanted = n.kind == "operation" or n.name in ("0.weight", "1.weight", "1.bias")
        assert ("grad –" in drawn[f"n{n.number}"]) == wanted, n


@pytest.mark.parametrize("gradients", [False, True])
def test_kinds_have_shapes_of_their_own(gradients):
    """So they are told apart without colours, which mean something else with gradients=True."""
    loss, _ = kinds()
    looks = {}
    for drawing in (
        draw(loss, gradients=gradients),
        draw(loss, 0, gradients=gradients),
        draw_backward(loss),
    ):
        drawn = plates(drawing.to_dot())
        for n in drawing.graph.nodes:
            kind = "backward" if n.kind == "operation" and n.backward else n.kind
            if f"n{n.number}" in drawn:
                attributes = drawn[f"n{n.number}"].attributes
                looks.setdefault(kind, set()).add((attributes["shape"], attributes["style"]))
        for name, plate in drawn.items():
            if name[0] == "b":
                looks.setdefault("box", set()).add(
                    (plate.attributes["shape"], plate.attributes["style"])
                )
    assert set(looks) == {
        "operation", "parameter", "input", "constant", "mask", "forward", "backward", "box",
    }  # fmt: skip
    (one_each,) = zip(*looks.values())
    assert len(set(one_each)) == len(looks)


def test_leaves_say_what_they_are():
    loss, model = kinds()
    drawing = draw(loss, model=model)
    drawn = plates(drawing.to_dot())
    for n in drawing.graph.nodes:
        if n.kind != "operation":
            assert drawn[f"n{n.number}"].lines[0] == f"{n.kind} {n.name or ''}".strip()


def test_the_order_of_operands_is_visible():
    x, y = Tensor(3.0, requires_grad=True, name="x"), Tensor(2.0, requires_grad=True, name="y")
    dot = draw((x - y) * (y - x)).to_dot()
    assert "n1 -> n3:i0:n\n  n2 -> n3:i1:n\n" in dot
    assert "n2 -> n4:i0:n\n  n1 -> n4:i1:n\n" in dot
    assert "n1 -> n2:i0:n\n  n1 -> n2:i1:n\n" in draw(x + x).to_dot()


def test_numbers_and_metadata_stand_in_the_call():
    def call(tensor: Tensor) -> str:
        drawing = draw(tensor)
        return plates(drawing.to_dot())[f"n{len(drawing.graph.nodes)}"].lines[0]

    x = Tensor(np.ones((3, 4)), requires_grad=True)
    assert call(x * 0.1) == "multiply • × 0.1"
    assert call(2 - x) == "subtract 2 − •"
    assert call(x @ x.T) == "matmul • @ •"
    assert call(np.maximum(x, 0)) == "maximum • , 0"
    assert call(x.sum(axis=1)) == "sum • , axis=1"
    assert call(x.sum()) == "sum •"
    assert call(x[1:, 0]) == "getitem • , index=(1:, 0)"
    assert call(x[..., ::2]) == "getitem • , index=(..., ::2)"
    assert call(x[[0, 2]]) == "getitem • , index=array(2,)"


def test_only_tensors_can_be_drawn():
    with pytest.raises(TypeError, match="draw: only tensors have graphs, not ndarray"):
        draw(np.ones(3))
    assert "input" in draw(Tensor(3.0)).to_dot()


# --- What nodes show -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (np.float32(0.1), "0.1"),
        ([[-2.5]], "-2.5"),
        (7, "7"),
        (True, "True"),
        ([], "empty"),
        (np.zeros((0, 3)), "empty"),
        ([1.0, -3.25], "1 -3.25"),
        ([1.23456789, 1e-7, 3e10], "1.235 1e-7 3e10"),
        ([123456, -7], "123456 -7"),
        ([-0.0, 0.0], "0 0"),
        ([True, False], "True False"),
        ([1.0, np.nan, -np.inf], "1 nan -inf"),
        ([[1, 2], [3, 4]], "1 2 3 4"),
        (np.ones((6, 1)), "1 1 1 1 1 1 ᵀ"),
        (np.arange(13), "6 ± 3.74; 0 … 12, norm 25.5, 8% zeros"),
        (np.full(20, 2.0**-22), "all 2.38e-7"),
        ([1e200, -1e200] * 8, "0 ± 1e200; -1e200 … 1e200, norm 4e200"),
        ([-0.0] * 20, "all 0"),
        ([0.0] + [1.0] * 999, "0.999 ± 0.0316; 0 … 1, norm 31.6, <1% zeros"),
        ([True, False, False, False] * 5, "25% true"),
        ([1.0, np.nan] * 9, "nan ± nan; nan … nan, norm nan"),
        ([1.0, np.inf] * 9, "inf ± nan; 1 … inf, norm inf"),
        (np.full(16, 60000, np.float16), "all 6e4"),
    ],
)
def test_values(data, text):
    lines = plates(draw(Tensor(data)).to_dot())["n1"].lines
    shown = " ".join(lines[2:]).removeprefix("value ").split(" ▲")[0]
    assert shown == text


def test_the_text_shows_numbers_exactly_and_arrays_by_their_statistics():
    def told(data: object) -> str:
        return str(draw(Tensor(data, name="x"))).splitlines()[1]

    assert told(0.1 + 0.2).endswith("  0.30000000000000004")
    assert told([1.0, 3.0]).endswith("  2 ± 1")
    assert told([]).endswith("  empty")
    assert told([1.0, np.nan]).endswith("  ▲ NaN value")


def test_shape_and_type():
    plate = plates(draw(Tensor(np.zeros((2, 3), np.float32))).to_dot())["n1"]
    assert plate.lines[1] == "shape (2, 3) float32"


def test_gradients_appear_with_backward_and_never_as_zero_before():
    loss = network()
    drawing = draw(loss)
    assert all(n.gradient is None for n in drawing.graph.nodes)
    for n in drawing.graph.nodes:
        assert ("grad –" in plates(drawing.to_dot())[f"n{n.number}"]) == (
            n.kind in ("operation", "parameter")
        )
    loss.backward()
    with_gradient = [n for n in draw(loss).graph.nodes if n.gradient is not None]
    assert [n.kind for n in with_gradient] == ["parameter"] * 5


def test_a_gradient_of_zero_is_not_a_missing_one():
    x = Tensor(-1.0, requires_grad=True)
    y = F.relu(x)
    y.backward()
    assert "grad 0.0" in plates(draw(y).to_dot())["n1"]
    assert plates(draw(y, gradients=True).to_dot())["n1"].alarms == ["zero gradient"]


def test_a_value_replaced_since_is_marked():
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    loss = model(np.ones((4, 3), np.float32)).sum()
    loss.backward()
    assert "replaced" not in draw(loss).to_dot()
    optim.SGD(model.parameters(), lr=0.1).step()
    drawing = draw(loss)
    assert drawing.to_dot().count("(replaced since)") == 2
    assert node(drawing, name="weight").replaced


# --- Boxes ---------------------------------------------------------------------------------------


def test_every_composite_and_module_has_its_box():
    assert box_labels(draw(network()).to_dot()) == [
        "Sequential (training)", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear",
        "cross_entropy", "log_softmax", "l2_penalty",
    ]  # fmt: skip


def test_the_mode_of_modules_is_visible_where_it_differs_from_that_around_it():
    def labels(model: nn.Module) -> list[str]:
        return box_labels(draw(model(Tensor(np.ones((3, 2), np.float32)))).to_dot())

    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(nn.Linear(2, 2), norm, nn.Sequential(nn.Dropout(0.5), nn.Tanh()))
    inside = ["Linear", "BatchNorm1d", "Sequential", "Dropout", "Tanh"]
    assert labels(model) == ["Sequential (training)", *inside]
    norm.eval()
    assert labels(model)[:3] == ["Sequential (training)", "Linear", "BatchNorm1d (eval)"]
    model.eval()
    norm.train()
    assert labels(model)[:3] == ["Sequential (eval)", "Linear", "BatchNorm1d (training)"]
    with scope("encoder"):
        assert labels(model.eval())[0] == "encoder · Sequential (eval)"
    closed = plates(draw(model.train()(Tensor(np.ones((3, 2), np.float32))), 0).to_dot())
    assert closed["b1"].lines[0] == "Sequential (training)"

    class Scoped(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            with scope("part"):
                return -self.layer(x)

    assert labels(Scoped()) == ["Scoped · part (training)", "Linear"]


def test_leaves_stand_where_they_belong():
    drawing = draw(network())
    assert around(node(drawing, name="x")) == []
    assert around(node(drawing, name="mask")) == ["Sequential", "Dropout"]
    assert around(node(drawing, name="-target / n")) == ["cross_entropy"]
    assert around(node(drawing, name="max")) == ["cross_entropy", "log_softmax"]
    # The penalty uses them too, but does not own them.
    assert around(node(drawing, name="weight", shape=(4, 5))) == ["Sequential", "Linear"]
    assert around(node(drawing, name="weight", shape=(5,))) == ["Sequential", "BatchNorm1d"]


def test_a_weight_used_by_several_boxes_stands_outside_them():
    cell = nn.Linear(3, 3, rng=np.random.default_rng(0))
    model = nn.Sequential(cell, nn.Tanh(), cell)
    drawing = draw(model(np.ones((2, 3), np.float32)))
    assert around(node(drawing, name="weight")) == ["Sequential"]
    twice = draw(cell(cell(np.ones((2, 3), np.float32))))
    assert around(node(twice, name="weight")) == []


def test_what_an_undrawn_module_computed_is_an_input():
    class Standardise(nn.Module):
        def forward(self, x):
            return (x - 1) / 2

    out = nn.Sequential(Standardise(), nn.Linear(2, 2))(Tensor([[1.0, 2.0]]))
    assert around(node(draw(out), kind="input")) == []


def test_boxes_with_nothing_but_a_box_become_one():
    def names(*nested: str) -> list[str]:
        x = Tensor(1.0, requires_grad=True)
        scopes = [scope(name) for name in nested]
        for one in scopes:
            one.__enter__()
        x = -x
        for one in reversed(scopes):
            one.__exit__(None, None, None)
        return box_labels(draw(x).to_dot())

    assert names("Linear", "linear") == ["Linear"]
    assert names("BatchNorm1d", "batch_norm") == ["BatchNorm1d"]
    assert names("encoder", "Linear", "linear") == ["encoder · Linear"]
    assert names("a", "b", "c") == ["a · b · c"]
    assert names("") == ['""']


def test_siblings_of_the_same_name_stay_apart():
    x = Tensor(1.0, requires_grad=True)
    assert draw(F.relu(F.relu(x))).to_dot().count("subgraph") == 2


# --- Names ---------------------------------------------------------------------------------------


def as_drawn(name: str) -> str:
    """A name as the picture should show it, with control characters as Python writes them."""
    hidden, turning = {"Cc", "Cs", "Zl", "Zp"}, {"LRE", "RLE", "PDF", "LRO", "RLO"}
    turning |= {"LRI", "RLI", "FSI", "PDI"}
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in hidden
        or unicodedata.bidirectional(c) in turning
        or c in "\ufffe\uffff\u200e\u200f\u061c"
        else c.replace("\xa0", " ")
        for c in name
    )


characters = st.characters() | st.sampled_from("\\<>&\"';:{}|#%NGETHL \n\t[]/=\u202e")
any_names = st.lists(st.text(characters, min_size=1, max_size=20), min_size=1, max_size=5)


def named(names: list[str]) -> Tensor:
    """A leaf called by the first name, an operation in a box for each, and a weight by the last."""
    x = Tensor(1.0, requires_grad=True, name=names[0])
    weight = nn.Parameter(0.5, name=names[-1])
    for i, name in enumerate(names, start=1):
        with scope(name):
            x = x * weight if i == len(names) else x * 2 + 1
        x.name = name
    return x + weight


HOSTILE = [
    "<", ">f8", "a<b>c", "a & b", "&amp;", "&lt;b&gt;", "&#60;", "&nbsp;", "]]>", "<!--", "-->",
    "</TABLE>>];", "</script>", "<lambda>", "<BR/>", "<?xml?>", "a::b", "n1:i0:n", "'", '"', '\\"',
    "\\", "\\\\", "\\N", "\\G", "\\L", "\\n", "\\l", "a\nb", "a\r\n", "\t", "\0", "\x1b[31m",
    "\x7f", "\ud800", "\udc80", "\u2028", "\u202ex\u202c", "\u200fx", "\u2067x\u2069", "\ufffe",
    "{a|b}", "${x} $title %s {}", "#3", "//", "/* */", "名前 عربي", "👩\u200d🔬", "e\u0301", "-",
    "0", "node", " ", "   ",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_stands_in_a_picture_is_text(text, tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    drawing = draw(model(np.ones((1, 2), np.float32))[:, 0].sum(), formulas=True)
    for n in drawing.graph.nodes:
        n.name = n.dtype = text
        n.operation = n.operation and text
        n.options = [(text, text) for _ in n.options]
        n.rules = dict.fromkeys(n.rules, text)
        n.flags = [text]
        n.inputs = [x if isinstance(x, Node) else text for x in n.inputs]
        n.value = n.gradient = replace(n.value, rows=((text,),), shape=())
    for box in drawing.graph.boxes:
        box.names = [text]
    for depth in (None, 0):
        again = Drawing(drawing.graph, Look(health=True, formulas=True), depth)
        again.view.note = text
        found = texts(render(again.to_dot(), "svg"))
        assert sum(as_drawn(text) in one for one in found) > 10
        dot = again.to_dot()
        told = str(again).splitlines()
        assert len(told) == 1 + len(plates(dot)) + len(box_labels(dot)) + 1
        assert told[-1].replace("\xa0", " ") == as_drawn(text)
    drawing.save(tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert {n["name"] for n in data["nodes"]} == {n["dtype"] for n in data["nodes"]}
    assert data["nodes"][0]["name"].replace("\xa0", " ") == as_drawn(text)
    assert f"<title>{escape(data['nodes'][0]['name'])}</title>" in page


def test_nothing_but_markup_escapes_and_only_constants_are_markup():
    """Where something else has to be, as a picture of Graphviz in a page, it is listed here."""
    by_hand = []
    for path in Path(drawing_package.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for item in ast.walk(tree):
            if isinstance(item, ast.ImportFrom) and item.module == "html":
                assert path.name == "markup.py"
            if isinstance(item, ast.Call) and ast.unparse(item.func) == "Markup":
                (argument,) = item.args
                if not isinstance(argument, ast.Constant) and path.name != "markup.py":
                    by_hand.append((path.name, ast.unparse(argument).split("(")[0]))
    assert sorted(by_hand) == [
        ("page.py", "ElementTree.tostring"),
        ("page.py", "f\"default-src 'none'; script-src '{fingerprint"),
        ("page.py", "script"),
        ("page.py", "style"),
        ("page.py", "text.replace"),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_tooltip_is_the_whole_name(text):
    name = text + "x" * 50
    svg = render(draw(Tensor(1.0, name=name)).to_dot(), "svg")
    titles = re.findall('xlink:title="(.*?)"', svg.decode())
    assert as_drawn(name) in [unescape(title).replace("\xa0", " ") for title in titles]


@settings(max_examples=60, deadline=None)
@given(any_names)
def test_any_name_is_drawn_as_it_is(names):
    opened = draw(named(names), gradients=True, formulas=True)
    drawn = texts(render(opened.to_dot(), "svg"))
    for name in names:  # on the node, on its box, and the first one on the leaf
        assert drawn.count(as_drawn(name)) >= 2 * names.count(name) + (name == names[0])
    closed = texts(render(draw(named(names), 0).to_dot(), "svg"))
    for name in names:
        assert any(as_drawn(name) in text for text in closed)
    assert f" {as_drawn(names[-1])}" in closed, "on the edge from the closed box"
    backward = texts(render(draw_backward(named(names), side="both").to_dot(), "svg"))
    assert set(map(as_drawn, names)) <= set(backward)


@settings(max_examples=60, deadline=None)
@given(any_names)
def test_any_name_stays_in_its_line_of_the_text(names):
    for depth in (None, 0):
        drawing = draw(named(names), depth, gradients=True)
        text, dot = str(drawing), drawing.to_dot()
        assert len(text.splitlines()) == 1 + len(plates(dot)) + len(box_labels(dot))
        assert not {unicodedata.category(c) for c in text.replace("\n", "")} & {"Cc", "Cs"}
        for name in names:
            assert as_drawn(name)[:20] in text.replace("\xa0", " ")


def test_the_text_tells_equal_names_apart():
    x, y = Tensor(1.0, requires_grad=True, name="x"), Tensor(2.0, name="x")
    z = x * y
    z.name = "z"
    told = [line.split("  ")[0] for line in str(draw(z)).splitlines()[1:]]
    assert told == ["x#1", "x#2", "z = multiply(x#1, x#2)"]


def test_a_long_name_is_shortened_and_its_tooltip_is_not():
    names = "begin" + "x" * 10_000 + "end", "BEGIN" + "X" * 10_000 + "END"
    x = Tensor(1.0, requires_grad=True, name=names[0])
    with scope(names[1]):
        y = -x
    for drawing in (draw(y), draw(y, 0, formulas=True), draw(y, gradients=True)):
        svg = render(drawing.to_dot(), "svg")
        assert {len(text) for text in texts(svg) if "…" in text and "1e3" not in text} == {40}
        for name in names:
            assert f'xlink:title="{name}"' in svg.decode()
        assert max(map(len, str(drawing).splitlines())) < 200


# --- Files and notebooks -------------------------------------------------------------------------


@pytest.fixture
def no_dot_program(monkeypatch):
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def no_pygraphviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("svg", b"<?xml"), ("png", b"\x89PNG\r\n"), ("pdf", b"%PDF-"), ("dot", b"digraph {\n")],
)
def test_save(tmp_path, suffix, start):
    drawing = draw(neuron())
    for path in (tmp_path / f"x.{suffix}", str(tmp_path / f"X.{suffix.upper()}")):
        drawing.save(path)
        assert Path(path).read_bytes().startswith(start)


SMALLEST = '<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>'


@pytest.fixture
def program(tmp_path, monkeypatch):
    """program(text) is the only `dot` on PATH from now on."""

    def install(text: str, mode: int = 0o755) -> None:
        path = tmp_path / "bin" / "dot"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.defpath}")

    return install


def test_the_dot_program_is_tried_first(tmp_path, program):
    heard = tmp_path / "heard"
    program(f"#!/bin/sh\n(echo $*; cat) > {heard}\necho '{SMALLEST}'")
    assert render("digraph {}", "svg").decode() == f"{SMALLEST}\n"
    assert heard.read_text() == "-Kdot -Tsvg\ndigraph {}"


# What a `dot` that fails may do, and what is said of it.
FAILING = {
    "exit code": ("#!/bin/sh\necho 'no  fonts\n' >&2; exit 3", r"exit status 3\. no fonts"),
    "half a picture": (f"#!/bin/sh\necho '{SMALLEST}'; exit 1", "exit status 1"),
    "signal": ("#!/bin/sh\nkill -SEGV $$", "exit status -11"),
    "nothing": ("#!/bin/sh\nexit 0", "0 bytes that are no SVG"),
    "garbage": ("#!/bin/sh\nhead -c 4096 /dev/urandom", "4096 bytes that are no SVG"),
    "text": ("#!/bin/sh\necho '<p>An error</p>'", "no SVG"),
    "an empty picture": (
        "#!/bin/sh\necho '<svg xmlns=\"http://www.w3.org/2000/svg\"/>'",
        "bytes that are no SVG",
    ),
    "cut off": (f"#!/bin/sh\necho '{SMALLEST[:-3]}'", "no SVG"),
    "no program": ("digraph {}", "Exec format error"),
    "not executable": ("#!/bin/sh\n", "PermissionError"),
}


@pytest.fixture(params=FAILING)
def failing(request, program):
    """A `dot` that fails; gives the pattern of what is said of it."""
    text, said = FAILING[request.param]
    program(text, 0o644 if request.param == "not executable" else 0o755)
    return f"`dot` (fails|gives).*{said}"


@pytest.mark.usefixtures("failing")
def test_pygraphviz_draws_where_dot_fails(tmp_path):
    pytest.importorskip("pygraphviz")
    drawing = draw(neuron())
    drawing.save(tmp_path / "x.svg")
    assert "relu" in texts((tmp_path / "x.svg").read_bytes())
    assert set(drawing._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}


@pytest.mark.usefixtures("no_pygraphviz")
def test_a_dot_that_fails_is_said_and_writes_no_file(failing, tmp_path):
    drawing = draw(neuron())
    for name in ("x.svg", "x.html"):
        with pytest.raises(NoRendererError, match=failing) as error:
            drawing.save(tmp_path / name)
        assert 'pip install "tinygrad_reg[draw]"' in str(error.value)
        assert "\n" not in str(error.value)
        assert not (tmp_path / name).exists()
    shown = drawing._repr_mimebundle_()
    assert set(shown) == {"text/plain"}
    assert str(drawing) in shown["text/plain"]
    assert re.search(failing, shown["text/plain"])


@pytest.mark.usefixtures("no_pygraphviz")
@pytest.mark.parametrize("format", ["png", "pdf"])
@pytest.mark.parametrize("size", [0, 30, -30])
def test_half_a_picture_is_none(format, size, program, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    whole = tmp_path / f"whole.{format}"
    Figure().savefig(whole)
    program(f"#!/bin/sh\ncat {whole}")
    assert render("digraph {}", format) == whole.read_bytes()
    whole.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(NoRendererError, match=f"to make {format.upper()}.* that are no"):
        render("digraph {}", format)


AGRAPH = """
from contextlib import nullcontext
class AGraph:
    def __new__(cls, string): return nullcontext(object.__new__(cls))
    def draw(self, format, prog): {}
"""


@pytest.mark.usefixtures("no_dot_program")
@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ImportError('libgvc.so.6: no such file')", "ImportError: libgvc.so.6: no such"),
        ("import pygraphviz_of_old", "ModuleNotFoundError: No module named 'pygraphviz_of_old'"),
        ("raise RuntimeError('of another NumPy')", "RuntimeError: of another NumPy"),
        ("pass", "AttributeError: .* 'AGraph'"),
        ("def AGraph(string): raise OSError(5, 'no plugins')", r"OSError: .* no plugins"),
        (AGRAPH.format("raise ValueError('Program dot not found')"), "ValueError: Program dot not"),
        (AGRAPH.format("return b''"), "0 bytes that are no SVG"),
        (AGRAPH.format("return None"), "TypeError"),
        (AGRAPH.format("return b'%PDF-'"), "5 bytes that are no SVG"),
    ],
)
def test_a_pygraphviz_that_fails_is_said(module, said, tmp_path, monkeypatch):
    (tmp_path / "pygraphviz.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pygraphviz", raising=False)
    drawing = draw(neuron())
    with pytest.raises(NoRendererError, match=f"pygraphviz (fails|gives).*{said}"):
        drawing.save(tmp_path / "x.svg")
    assert re.search(said, drawing._repr_mimebundle_()["text/plain"])
    assert not (tmp_path / "x.svg").exists()


@pytest.mark.usefixtures("failing")
def test_if_both_fail_both_are_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", ModuleType("pygraphviz"))
    with pytest.raises(NoRendererError, match=r"`dot` (fails|gives).*; pygraphviz fails: A"):
        render("digraph {}", "svg")


def test_pygraphviz_comes_second_and_keeps_boxes(no_dot_program):
    pytest.importorskip("pygraphviz")
    svg = ElementTree.fromstring(render(draw(network()).to_dot(), "svg"))
    groups = [group.get("class") for group in svg.iter(f"{SVG}g")]
    assert groups.count("cluster") == 9
    assert groups.count("node") == 33


def test_without_a_renderer_one_error_says_what_to_do(no_dot_program, no_pygraphviz, tmp_path):
    drawing = draw(neuron())
    with pytest.raises(NoRendererError) as error:
        drawing.save(tmp_path / "x.png")
    for remedy in ("`dot` is on PATH", 'pip install "tinygrad_reg[draw]"', '.save("x.dot")'):
        assert remedy in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    drawing.save(tmp_path / "x.dot")
    assert (tmp_path / "x.dot").read_text(encoding="utf-8") == drawing.to_dot()


@pytest.mark.parametrize("name", ["x.gif", "x", "svg", "x.svg.gz"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in one of \.svg, \.png, \.pdf, .*\.dot$"):
        draw(neuron()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [3, None, b"x.dot"])
def test_a_file_has_a_name(name):
    with pytest.raises(TypeError, match="draw: the name of a file must be text or a path, not"):
        draw(neuron()).save(name)


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "missing" / "x.dot"
    with pytest.raises(FileNotFoundError, match=r"cannot write here \(No such file") as error:
        draw(neuron()).save(path)
    assert str(path) in str(error.value)
    (tmp_path / "folder.dot").mkdir()
    with pytest.raises(IsADirectoryError, match="cannot write here"):
        draw(neuron()).save(tmp_path / "folder.dot")


def test_a_drawing_says_how_much_it_holds():
    assert repr(draw(neuron())) == "<Drawing: operations 4, leaves 3, boxes 1>"
