"""`draw`: right, the same every time, without recursion, and readable whatever the names are."""

import gc
import os
import re
import subprocess
import sys
import unicodedata
import weakref
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_reg.functional as F
from tinygrad_reg import Tensor, nn, optim, scope
from tinygrad_reg.drawing import Drawing, NoRendererError, draw
from tinygrad_reg.drawing.graph import Node
from tinygrad_reg.drawing.render import render
from tinygrad_reg.scope import Scope, current

SVG = "{http://www.w3.org/2000/svg}"


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
        nn.Linear(4, 5, rng=rng),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Dropout(0.5, rng=rng),
        nn.Linear(5, 3, rng=rng),
    ).astype(np.float64)
    x = Tensor(rng.normal(size=(6, 4)), name="x")
    loss = F.cross_entropy(model(x), rng.integers(0, 3, 6)) + F.l2_penalty(model.weights(), 0.125)
    loss.name = "loss"
    return loss


def portable(dot: str) -> str:
    """Without digits that depend on the processor: NumPy's exp may differ in the last one."""

    def rounded(match: re.Match[str]) -> str:
        x = float(match.group())
        return (
            "0" if 0 < abs(x) < 1e-12 else f"{x:.6g}" if len(match.group()) > 8 else match.group()
        )

    return re.sub(r"(?<![#\w])-?\d+(\.\d+)?(e-?\d+)?\b", rounded, dot)


def node(drawing: Drawing, **wanted: object) -> Node:
    """The only node with these attributes."""
    (found,) = (
        n for n in drawing.graph.nodes if all(getattr(n, k) == v for k, v in wanted.items())
    )
    return found


def box(drawing: Drawing, **wanted: object) -> list[str]:
    """The names of the boxes around a node, from the outermost."""
    names = []
    place = node(drawing, **wanted).box
    while place is not None:
        names.append(" · ".join(place.names))
        place = place.parent
    return names[::-1]


def texts(svg: bytes) -> list[str]:
    return [e.text.replace("\xa0", " ") for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def count_nodes(dot: str) -> int:
    return len(re.findall(r"^ *n\d+ \[", dot, re.M))


# --- The text ------------------------------------------------------------------------------------


def test_golden_neuron(golden):
    y = neuron()
    y.backward()
    golden("neuron.dot", draw(y).to_dot())


def test_golden_network(golden):
    loss = network()
    golden("network_before_backward.dot", portable(draw(loss).to_dot()))
    loss.backward()
    golden("network.dot", portable(draw(loss).to_dot()))


def test_gradients_appear_with_backward_and_never_as_zero_before():
    loss = network()
    before = draw(loss)
    dot = before.to_dot()
    assert all(n.gradient is None for n in before.graph.nodes)
    assert dot.count(">–<") == count_nodes(dot)
    loss.backward()
    assert before.to_dot() == dot, "a drawing shows the moment it was made"
    after = draw(loss)
    with_gradient = [n for n in after.graph.nodes if n.gradient is not None]
    assert [n.kind for n in with_gradient] == ["parameter"] * 6


def test_a_gradient_of_zero_is_not_a_missing_one():
    x = Tensor(-1.0, requires_grad=True)
    y = F.relu(x)
    y.backward()
    assert node(draw(y), kind="parameter").gradient.exact == "0.0"


def test_every_operation_and_leaf_is_there_once():
    dot = draw(network()).to_dot()
    drawn = re.findall(r"^ *(n\d+) \[", dot, re.M)
    assert sorted(drawn, key=lambda name: int(name[1:])) == [f"n{i + 1}" for i in range(len(drawn))]
    # Two linear layers, batch norm, relu, dropout, cross-entropy, penalty, and the sum of both.
    assert len(re.findall("shape=box", dot)) == 4 + 9 + 1 + 1 + 6 + 2 + 1
    assert len(re.findall("shape=cylinder", dot)) == 6
    assert len(re.findall("shape=ellipse", dot)) == 1
    assert len(re.findall("shape=note", dot)) == 4  # 1/n, mask, max, -target / n
    assert dot.count("peripheries=2") == 1
    assert dot.count("{") == dot.count("}")


def test_the_same_program_gives_the_same_bytes():

    def pictures() -> tuple[str, bytes]:
        loss = network()
        loss.backward()
        dot = draw(loss).to_dot()
        return dot, render(dot, "svg")

    assert pictures() == pictures()


def test_training_does_not_renumber():
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    x = Tensor(np.ones((4, 3), np.float32))

    def ids() -> list[str]:
        return re.findall(r"n\d+ ->.*", draw(model(x).sum()).to_dot())

    before = ids()
    model.weight.data = model.weight.data * 2
    assert ids() == before


def test_two_processes_give_the_same_bytes():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_drawing import draw, network\n"
        "loss = network(); loss.backward()\n"
        "sys.stdout.buffer.write(draw(loss).to_dot().encode())\n"
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
    assert runs[0] == runs[1]
    assert runs[0].startswith(b"digraph")


def test_depth_does_not_matter():
    x = Tensor(1.0, requires_grad=True)
    for _ in range(200_000):
        x = x + 1
    dot = draw(x).to_dot()
    assert "n200000 -> n200001:i0:n\n" in dot
    assert ">200001.0<" in dot


def test_depth_of_boxes_does_not_matter():
    x = Tensor(1.0, requires_grad=True)
    inner = None
    for _ in range(20_000):
        inner = Scope("box", inner)
        token = current.set(inner)
        x = x + 1
        current.reset(token)
    dot = draw(x).to_dot()
    assert dot.count("subgraph") == 20_000
    assert len(dot) < 25_000_000
    token = current.set(inner)
    y = Tensor(1.0, requires_grad=True) + 1
    current.reset(token)
    assert draw(y).to_dot().count("subgraph") == 1


def test_a_drawing_keeps_no_tensor_alive():
    gc.disable()
    try:
        loss = network()
        drawing = draw(loss)
        gone = weakref.ref(loss)
        del loss
        assert gone() is None
    finally:
        gc.enable()
    assert drawing.to_dot()


def test_the_order_of_operands_is_visible():
    x, y = Tensor(3.0, requires_grad=True, name="x"), Tensor(2.0, requires_grad=True, name="y")
    dot = draw((x - y) * (y - x)).to_dot()
    assert "n1 -> n3:i0:n\n  n2 -> n3:i1:n\n" in dot
    assert "n2 -> n4:i0:n\n  n1 -> n4:i1:n\n" in dot
    assert "n1 -> n2:i0:n\n  n1 -> n2:i1:n\n" in draw(x + x).to_dot()


def test_numbers_and_metadata_stand_in_the_call():
    x = Tensor(np.ones((3, 4)), requires_grad=True)
    assert '<TD PORT="i0">•</TD><TD> × 0.1</TD>' in draw(x * 0.1).to_dot()
    assert '<TD>2 − </TD><TD PORT="i1">•</TD>' in draw(2 - x).to_dot()
    assert "<TD>, 0</TD>" in draw(np.maximum(x, 0)).to_dot()
    assert "<TD>, axis=1</TD>" in draw(x.sum(axis=1)).to_dot()
    assert "axis" not in draw(x.sum()).to_dot()
    assert "<TD>, index=(1:, 0)</TD>" in draw(x[1:, 0]).to_dot()
    assert "<TD>, index=(..., ::2)</TD>" in draw(x[..., ::2]).to_dot()
    assert "<TD>, index=array(2,)</TD>" in draw(x[[0, 2]]).to_dot()


def test_only_tensors_can_be_drawn():
    with pytest.raises(TypeError, match="draw: only tensors have graphs, not ndarray"):
        draw(np.ones(3))
    assert "input" in draw(Tensor(3.0)).to_dot()


# --- Numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (np.float32(0.1), "0.1"),
        ([[-2.5]], "-2.5"),
        (7, "7"),
        (True, "True"),
        ([], "empty"),
        ([1.0, 3.0], "2 ± 1, norm 3.16"),
        ([3e-7, 3e-7], "3e-7 ± 0, norm 4.24e-7"),
        ([1e200, -1e200], "0 ± 1e200, norm 1.41e200"),
        ([0, 10], "5 ± 5, norm 10"),
        ([True, False, False, False], "25% true"),
        ([1.0, np.nan], "nan ± nan, norm nan"),
        ([1.0, np.inf], "inf ± nan, norm inf"),
        (np.float16([60000, 60000]), "6e4 ± 0, norm 8.49e4"),
    ],
)
def test_values(data, text):
    assert f">{text}</TD>" in draw(Tensor(data)).to_dot()


def test_shape_and_type():
    assert ">(2, 3) float32<" in draw(Tensor(np.zeros((2, 3), np.float32))).to_dot()


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
    dot = draw(network()).to_dot()
    labels = re.findall(r"^ *label=<(.*?)> tooltip", dot, re.M)
    assert labels == [
        "Sequential", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear",
        "cross_entropy", "log_softmax", "l2_penalty",
    ]  # fmt: skip


def test_leaves_stand_where_they_belong():
    drawing = draw(network())
    assert box(drawing, name="x") == []
    assert box(drawing, name="mask") == ["Sequential", "Dropout"]
    assert box(drawing, name="-target / n") == ["cross_entropy"]
    assert box(drawing, name="max") == ["cross_entropy", "log_softmax"]
    # The penalty uses them too, but does not own them.
    assert box(drawing, name="weight", shape=(4, 5)) == ["Sequential", "Linear"]
    assert box(drawing, name="weight", shape=(5,)) == ["Sequential", "BatchNorm1d"]


def test_a_weight_used_by_several_boxes_stands_outside_them():
    cell = nn.Linear(3, 3, rng=np.random.default_rng(0))
    model = nn.Sequential(cell, nn.Tanh(), cell)
    drawing = draw(model(np.ones((2, 3), np.float32)))
    assert box(drawing, name="weight") == ["Sequential"]
    twice = draw(cell(cell(np.ones((2, 3), np.float32))))
    assert box(twice, name="weight") == []


def test_a_condition_is_a_constant():
    drawing = draw(F.leaky_relu(Tensor([1.0, -1.0], requires_grad=True, name="x")))
    assert box(drawing, kind="constant", dtype="bool") == ["leaky_relu"]
    assert box(drawing, name="x") == []


def test_what_an_undrawn_module_computed_is_an_input():
    class Standardise(nn.Module):
        def forward(self, x):
            return (x - 1) / 2

    out = nn.Sequential(Standardise(), nn.Linear(2, 2))(Tensor([[1.0, 2.0]]))
    assert box(draw(out), kind="input") == []


def test_boxes_with_nothing_but_a_box_become_one():
    def names(*nested: str) -> list[str]:
        x = Tensor(1.0, requires_grad=True)
        scopes = [scope(name) for name in nested]
        for one in scopes:
            one.__enter__()
        x = -x
        for one in reversed(scopes):
            one.__exit__(None, None, None)
        return re.findall(r"^ *label=<?(.*?)>? tooltip", draw(x).to_dot(), re.M)

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
    """A name as the picture shall show it: itself, but control characters as Python writes them."""
    hidden = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in hidden or c in "\ufffe\uffff"
        else c.replace("\xa0", " ")
        for c in name
    )


characters = st.characters() | st.sampled_from("\\<>&\"';:{}|#%NGETHL \n\t[]/=")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(characters, min_size=1, max_size=20), min_size=1, max_size=5))
def test_any_name_is_drawn_as_it_is(names):
    x = Tensor(1.0, requires_grad=True, name=names[0])
    for name in names:
        with scope(name):
            x = -x
        x.name = name
    drawn = texts(render(draw(x).to_dot(), "svg"))
    for name in names:  # on the node, on its box, and the first one on the leaf
        assert drawn.count(as_drawn(name)) >= 2 * names.count(name) + (name == names[0])


def test_a_long_name_is_shortened_and_its_tooltip_is_not():
    x = Tensor(1.0, requires_grad=True, name="begin" + "x" * 10_000 + "end")
    with scope("BEGIN" + "X" * 10_000 + "END"):
        y = -x
    svg = render(draw(y).to_dot(), "svg")
    assert {len(text) for text in texts(svg) if "…" in text} == {40}
    for name in ("begin" + "x" * 10_000 + "end", "BEGIN" + "X" * 10_000 + "END"):
        assert f'xlink:title="{name}"' in svg.decode()


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


def test_the_dot_program_is_tried_first(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho $*; cat\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert render("digraph {}", "svg") == b"-Kdot -Tsvg\ndigraph {}"


def test_pygraphviz_comes_second_and_keeps_boxes(no_dot_program):
    pytest.importorskip("pygraphviz")
    svg = ElementTree.fromstring(render(draw(network()).to_dot(), "svg"))
    groups = [group.get("class") for group in svg.iter(f"{SVG}g")]
    assert groups.count("cluster") == 9
    assert groups.count("node") == 35


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


def test_notebooks_show_svg():
    bundle = draw(neuron())._repr_mimebundle_(include=None, exclude=None)
    assert "</svg>" in bundle["image/svg+xml"]
    assert bundle["text/plain"] == "<Drawing: operations 4, leaves 3, boxes 1>"


def test_notebooks_without_a_renderer_show_text(no_dot_program, no_pygraphviz):
    bundle = draw(neuron())._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert bundle["text/plain"].startswith("<Drawing: operations 4, leaves 3, boxes 1>\n")
    assert "tinygrad_reg[draw]" in bundle["text/plain"]


@pytest.mark.parametrize("name", ["x.gif", "x", "svg", "x.svg.gz"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in one of \.svg, \.png, \.pdf, \.dot"):
        draw(neuron()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "missing" / "x.dot"
    with pytest.raises(FileNotFoundError, match=r"cannot write here \(No such file") as error:
        draw(neuron()).save(path)
    assert str(path) in str(error.value)
    (tmp_path / "folder.dot").mkdir()
    with pytest.raises(IsADirectoryError, match="cannot write here"):
        draw(neuron()).save(tmp_path / "folder.dot")
