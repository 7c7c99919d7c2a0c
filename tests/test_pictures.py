"""The gallery: its pictures show what their docstrings say."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tinygrad_reg.drawing import Drawing
from tinygrad_reg.drawing.graph import Node

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import pictures  # noqa: E402
from pictures import PICTURES, README, main  # noqa: E402

PARAMETERS = {"W1", "b1", "W2", "b2"}


@pytest.fixture(scope="module")
def gallery() -> dict[str, Drawing]:
    return {name: picture() for name, picture in PICTURES.items()}


def node(drawing: Drawing, what: str) -> Node:
    """The first node of this name, or of this operation."""
    return next(x for x in drawing.graph.nodes if what in (x.name, x.operation))


def value(x: Node) -> np.ndarray:
    return np.array(x.value.rows, float)


def gradient(x: Node) -> np.ndarray:
    return np.array(x.gradient.rows, float)


def parts(drawing: Drawing, what: str) -> list[np.ndarray]:
    """What arrives at a node in the backward pass, use by use."""
    return [
        np.array(part.rows, float)
        for user in drawing.graph.nodes
        for i, part in user.parts
        if user.inputs[i] is node(drawing, what)
    ]


def fills(drawing: Drawing) -> dict[str, str]:
    """The colours of the nodes and closed boxes, by what stands first in bold on them."""
    looks = re.findall(r'fillcolor="(#\w+)".*?<B>(.*?)</B>', drawing.to_dot(), flags=re.DOTALL)
    return {title: fill for fill, title in looks}


def texts(path: Path) -> list[str]:
    """What is written in an SVG, without digits that depend on the processor."""
    found = [
        text.text or "" for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]
    return [re.sub(r"-?\d+\.\d{6,}", lambda m: f"{float(m.group()):.6g}", text) for text in found]


# --- What there is to see ------------------------------------------------------------------------


def test_the_neuron_has_a_number_at_each_node_and_a_rule_on_each_edge(gallery):
    drawing = gallery["neuron"]
    assert value(node(drawing, "loss")) == pytest.approx(0.8275977199026484, rel=1e-12)
    dot = drawing.to_dot()
    assert "ḡ · (1 − out · out)" in dot
    assert "2 · ḡ · weight" in dot
    way_back = [x for x in drawing.graph.nodes if x.flows]
    assert all(x.gradient is not None for x in way_back)
    assert sum(len(x.rules) for x in way_back) == dot.count(" -> ") - len(["x", "target"])


@pytest.mark.parametrize(("name", "what"), [("neuron", "weight"), ("reuse", "a")])
def test_the_gradient_of_what_is_used_twice_is_the_sum_of_two(gallery, name, what):
    first, second = parts(gallery[name], what)
    np.testing.assert_allclose(first + second, gradient(node(gallery[name], what)))


def test_a_gradient_of_1_comes_back_along_each_edge_of_a_plus_a(gallery):
    drawing = gallery["reuse"]
    assert parts(drawing, "a") == [1, 1]
    assert gradient(node(drawing, "a")) == 2
    assert len(re.findall(r"n1 -> n2\S+ \[label=<&#160;ḡ>", drawing.to_dot())) == 2


def test_cross_entropy_open_and_closed_is_the_same_with_the_gradient_softmax_minus_target(gallery):
    closed, opened = gallery["cross_entropy_closed"], gallery["cross_entropy_open"]
    logits = np.array([[2.0, 1.0, -1.0]])
    expected = np.exp(logits) / np.exp(logits).sum() - [0, 1, 0]
    for drawing in closed, opened:
        np.testing.assert_allclose(gradient(node(drawing, "logits")), expected, rtol=1e-12)
    assert len(closed.view) == 2
    assert ">6 operations<" in closed.to_dot()
    assert len(opened.view) == 9  # the six, the logits and two constants
    assert "ḡ · out" in opened.to_dot()


def test_one_output_of_batch_norm_gives_every_example_a_gradient(gallery):
    normalised, g = np.array([-1.5, -0.5, 0, 0.5, 1.5]), np.array([1.0, 0, 0, 0, 0])
    expected = 2 / 2 * (g - g.mean() - normalised * (g * normalised).mean())  # γ/σ · …
    found = gradient(node(gallery["batch_norm"], "z")).ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.all(found != 0)


def test_each_box_in_batch_norm_is_an_operation_and_its_derivative(gallery):
    drawing = gallery["batch_norm"]
    assert set(drawing.view.closed) == {box for box in drawing.graph.boxes if box.pair}
    for box, nodes in drawing.view.hidden().items():
        assert {x.backward for x in nodes if x.kind == "operation"} == {True, False}, box
    assert "dir=back" in drawing.to_dot()


def test_the_slope_and_the_slope_of_the_slope_are_found(gallery):
    drawing = gallery["second_order"]
    assert value(node(drawing, "slope")) == 300
    assert value(node(drawing, "∂slope/∂x")) == 60
    assert node(drawing, "∂slope/∂x").backward
    assert not node(drawing, "slope").backward


def test_dropout_stops_numbers_and_gradients_at_the_same_places(gallery):
    drawing = gallery["dropout"]
    mask = node(drawing, "mask")
    assert mask.kind == "mask"
    dropped = value(mask) == 0
    np.testing.assert_array_equal(dropped, [[False, True, False], [True, True, False]])
    np.testing.assert_array_equal(value(node(drawing, "multiply")) == 0, dropped)
    np.testing.assert_array_equal(gradient(node(drawing, "hidden")) == 0, dropped)


def test_a_unit_that_all_examples_lose_teaches_its_weights_nothing(gallery):
    into, out_of = (gradient(node(gallery["dropout"], name)) for name in ("W1", "W2"))
    np.testing.assert_array_equal(np.all(into == 0, axis=0), [False, True, False])
    np.testing.assert_array_equal(np.all(out_of == 0, axis=1), [False, True, False])


def test_the_digits_have_one_colour_and_no_alarm(gallery):
    drawing = gallery["digits"]
    layers = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    colours = re.findall(
        rf'fillcolor="(#\w+)" label=<[^\n]*\n[^\n]*<B>(?:{"|".join(layers)})</B>', drawing.to_dot()
    )
    assert len(colours) == 2 * len(layers) + 1
    assert len(set(colours)) == 1
    assert not any(x.flags for x in drawing.graph.nodes)


def test_twelve_residual_blocks_are_drawn_once_and_the_gradient_gets_through(gallery):
    drawing = gallery["residual"]
    assert "Residual × 12" in drawing.to_dot()
    (block,) = (box for box in drawing.view.graph.boxes if box.times == 12)
    first, *_, last = (
        x for x in drawing.graph.nodes if x.operation == "add" and x.shape == (16, 8)
    )
    assert block.name == "Residual"
    assert first.gradient.rms >= last.gradient.rms > 0


@pytest.mark.parametrize(
    ("name", "without", "at_relu"),
    [
        ("zero_everything", {"W1", "b1", "W2"}, ["zero gradient", "dead: 3 of 3 units"]),
        ("zero_first_layer", {"W1", "b1", "W2"}, ["dead: 3 of 3 units"]),
        ("zero_last_layer", {"W1", "b1"}, ["zero gradient"]),
    ],
)
def test_zero_initialisations_show_who_gets_a_gradient_and_where_it_dies(
    gallery, name, without, at_relu
):
    drawing = gallery[name]
    flagged = {x.name for x in drawing.graph.nodes if "zero gradient" in x.flags}
    assert flagged & PARAMETERS == without
    assert node(drawing, "maximum").flags == at_relu
    grey = {title for title, fill in fills(drawing).items() if fill == "#c8c8c8"}
    assert grey & PARAMETERS == without


def test_zero_initialisations_look_different(gallery):
    looks = [fills(gallery[name]) for name in PICTURES if name.startswith("zero")]
    for look in looks:
        assert looks.count(look) == 1


# --- The script ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_is_drawn_the_same_again_with_a_sentence_that_says_what_to_see(
    gallery, name, tmp_path, capsys
):
    main(["--only", name, "--out", str(tmp_path), "--format", "dot", "svg"])
    assert (tmp_path / f"{name}.dot").read_text(encoding="utf-8") == gallery[name].to_dot()
    assert texts(tmp_path / f"{name}.svg")
    lines = capsys.readouterr().out.splitlines()
    for line, format in zip(lines, ("dot", "svg"), strict=True):
        path, _, sentence = line.partition(": ")
        assert path == str(tmp_path / f"{name}.{format}")
        assert 60 < len(sentence) < 200
        assert sentence.endswith(".")


def test_draws_all_by_default_in_the_order_of_teaching(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Drawing, "save", lambda drawing, path: None)
    monkeypatch.chdir(tmp_path)
    main([])
    files = [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert files == [str(Path("runs", "pictures", f"{name}.svg")) for name in PICTURES]


def test_readme_has_the_pictures_of_today(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "HERE", tmp_path)
    main(["--readme"])
    fresh, committed = tmp_path / "pictures", EXAMPLES / "pictures"
    names = sorted(f"{name}.svg" for name in README)
    for folder in fresh, committed:
        assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert texts(committed / name) == texts(fresh / name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "neuron", "neurone"], "no picture is called 'neurone', only neuron, reuse"),
        (["--only", "reuse", "--format", "gif"], "reuse.gif' must end in one of .svg, .png"),
        (["--only", "reuse", "--out", __file__], "test_pictures.py"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not list(tmp_path.rglob("*.*"))
