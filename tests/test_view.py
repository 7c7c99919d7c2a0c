"""Which boxes of a picture are open, and what repeats: nothing is lost, and pictures stay small."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from drawn import (
    Residual,
    arrows,
    box_labels,
    network,
    plates,
    residual_network,
    small_network,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_reg.functional as F
from tinygrad_reg import Film, Tensor, nn, scope
from tinygrad_reg.drawing import Drawing, TooLargeError, draw, draw_backward
from tinygrad_reg.drawing.fold import folded as folded_graph
from tinygrad_reg.drawing.graph import Box, Node
from tinygrad_reg.drawing.render import render
from tinygrad_reg.drawing.view import BROWSABLE, LARGEST, READABLE

ARRAY = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])


def first_lines(drawing: Drawing) -> list[str]:
    return [plate.lines[0] for plate in plates(drawing.to_dot()).values()]


# --- Depth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "items", "labels"),
    [
        (0, 5, []),
        (1, 12, ["Sequential (training)", "cross_entropy", "l2_penalty"]),
        (2, 32, [
            "Sequential (training)", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear",
            "cross_entropy", "log_softmax", "l2_penalty",
        ]),
    ],
)  # fmt: skip
def test_depth_is_the_number_of_open_levels(depth, items, labels):
    drawing = draw(network(), depth)
    assert box_labels(drawing.to_dot()) == labels
    if depth < 2:
        assert len(plates(drawing.to_dot())) == len(drawing.view) == items


def test_beyond_the_deepest_box_all_is_open():
    loss = network()
    everything = draw(loss, None).to_dot()
    assert draw(loss, 2).to_dot() == draw(loss, 99).to_dot() == draw(loss).to_dot() == everything
    assert draw(neuron := Tensor(1.0) + Tensor(2.0, requires_grad=True), 0).to_dot() == (
        draw(neuron, None).to_dot()
    ), "where there are no boxes, none is closed"


def test_a_closed_network_is_five_nodes():
    assert first_lines(draw(network(), 0)) == [
        "input x", "Sequential (training)", "cross_entropy", "l2_penalty", "add • + •",
    ]  # fmt: skip


def test_a_closed_box_sums_up_what_is_in_it():
    loss, _ = small_network()
    drawing = draw(loss, 1, gradients=True)
    norm = next(p for p in plates(drawing.to_dot()).values() if p.lines[0] == "BatchNorm1d")
    last = [n for n in drawing.graph.nodes if n.box and n.box.name == "BatchNorm1d"][-1]
    assert norm.lines[1:4] == ["9 operations", "2 parameters, 6 numbers", "out (4, 3) float64"]
    opened = plates(draw(loss, gradients=True).to_dot())[f"n{last.number}"]
    assert last.operation == "add"
    for line in opened.lines:
        if line.startswith(("value", "grad")):
            assert line in norm
    assert norm.attributes["fillcolor"] == opened.attributes["fillcolor"]


def test_collapse_decides_for_single_boxes_whatever_the_depth():
    loss = network()

    def only(name: str, close: bool):
        return lambda box: close if box.name == name else None

    assert "l2_penalty" in first_lines(draw(loss, collapse=only("l2_penalty", True)))
    assert "BatchNorm1d" in first_lines(draw(loss, None, collapse=only("BatchNorm1d", True)))
    opened = draw(loss, 0, collapse=only("cross_entropy", False))
    assert box_labels(opened.to_dot()) == ["cross_entropy"]
    assert "log_softmax" in first_lines(opened), "what is inside is left to the depth"
    assert box_labels(draw(loss, 0, collapse=lambda box: False).to_dot()) == box_labels(
        draw(loss, None).to_dot()
    )
    assert first_lines(draw(loss, None, collapse=lambda box: True)) == first_lines(draw(loss, 0))


def test_collapse_is_told_about_boxes_from_the_outermost():
    asked: list[Box] = []
    draw(network(), collapse=lambda box: asked.append(box))
    assert [(box.name, box.depth, box.training) for box in asked[:2]] == [
        ("Sequential", 0, True), ("Linear", 1, True),
    ]  # fmt: skip
    assert [box.number for box in asked] == list(range(1, 10))
    asked.clear()
    draw(network(), collapse=lambda box: asked.append(box) or True)
    assert [box.name for box in asked] == ["Sequential", "cross_entropy", "l2_penalty"]


# --- Edges of closed boxes -----------------------------------------------------------------------


def assert_complete(drawing: Drawing) -> None:
    """Every node and every edge of the graph has its place in the picture, and nothing else has."""
    view, dot = drawing.view, drawing.to_dot()
    shown = view.graph.nodes
    drawn, arrowed = set(plates(dot)), arrows(dot)

    def place(n):
        item = view.shown(n)
        return f"{'b' if isinstance(item, Box) else 'n'}{item.number}"

    assert drawn == {place(n) for n in shown}
    assert len(drawn) == len(view)
    assert {end for arrow in arrowed for end in arrow} <= drawn
    wanted = {
        (place(x), place(n))
        for n in shown
        for x in n.inputs
        if not isinstance(x, str) and (place(x) != place(n) or place(n)[0] == "n")
    }
    if drawing.look.mirrored:
        wanted |= {(to, start) for start, to in wanted}
        assert set(arrowed) <= wanted
    else:
        assert set(arrowed) == wanted
        to_boxes = [arrow for arrow in arrowed if arrow[1][0] == "b"]
        assert len(to_boxes) == len(set(to_boxes)), "each pair once"
    assert dot.count("{") - dot.count("}") == 0
    labels = box_labels(dot)
    assert len(labels) == dot.count("subgraph")


@pytest.mark.parametrize("depth", [0, 1, 2, None])
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("program", [network, residual_network])
def test_every_edge_is_represented(program, depth, fold):
    assert_complete(draw(program(), depth, fold=fold))
    assert_complete(draw_backward(program(), depth=depth, fold=fold))
    assert_complete(draw_backward(program(), side="both", depth=depth, fold=fold))


def test_edges_between_closed_boxes_are_drawn_once():
    with scope("a"):
        x = Tensor(1.0, requires_grad=True) * 2
        y = x + 1
    with scope("b"):
        z = (x * y) * (x + y)
    assert arrows(draw(z, 0).to_dot()) == [("n1", "b1"), ("b1", "b2")]
    opened = draw(z, 0, collapse=lambda box: False if box.name == "b" else None)
    assert Counter(arrows(opened.to_dot()))["b1", "n4"] == 2, "each operand has its own"


def test_an_edge_that_leaves_a_closed_box_says_which_leaf_goes_along_it():
    """Otherwise a penalty would seem to be one of activations."""

    def labels(loss: Tensor, **options: object) -> list[str]:
        dot = draw(loss, 0, **options).to_dot()
        return re.findall("label=<&#160;(.*?)>", dot)

    loss, model = small_network()
    assert labels(loss) == ["3 parameters"]
    assert labels(model[0](Tensor(ARRAY)).sum() + F.l2_penalty(model[0].weight, 1)) == ["weight"]
    one = model[0](Tensor(ARRAY)).sum() + F.l2_penalty(model[0].weight, 1)
    assert labels(one, model=model) == ["0.weight"]
    assert labels(model(Tensor(ARRAY)).sum()) == []


# --- Folding -------------------------------------------------------------------------------------


def folded(tensor: Tensor, **options: object) -> list[str]:
    """The labels of the boxes that stand for several."""
    labels = box_labels(draw(tensor, None, fold=True, **options).to_dot())
    return [label for label in labels if "×" in label]


X = Tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), name="x")


def layers(*widths: int) -> list[nn.Linear]:
    rng = np.random.default_rng(1)
    return [nn.Linear(n, m, rng=rng) for n, m in pairwise(widths)]


def test_twelve_residual_blocks_are_one_times_twelve():
    drawing = draw(residual_network(12), fold=True)
    assert box_labels(drawing.to_dot()) == ["Sequential (training)", "Residual × 12", "Linear"]
    assert "×: a block that repeats" in drawing.to_dot()
    assert len(drawing.graph.nodes) == 74, "the drawing knows them all"
    assert len(drawing.view) == 8  # x; weight, matmul, bias, add, tanh, add; sum
    one = draw(residual_network(1))
    assert [n.operation for n in drawing.view.graph.nodes] == [n.operation for n in one.graph.nodes]
    assert first_lines(draw(residual_network(12), 1, fold=True)) == [
        "input x", "Residual × 12", "sum •",
    ]  # fmt: skip


def test_not_folded_unless_asked_for():
    assert "×" not in "".join(box_labels(draw(residual_network(12)).to_dot()))


def test_blocks_of_several_modules_are_found():
    model = nn.Sequential(*(m for layer in layers(*[3] * 6) for m in (layer, nn.ReLU())))
    drawing = draw(model(X), fold=True)
    assert box_labels(drawing.to_dot()) == [
        "Sequential (training)", "repeated × 5", "Linear", "ReLU",
    ]  # fmt: skip


def test_loops_without_modules_are_found():
    h = Tensor([1.0, 2.0], requires_grad=True)
    w = Tensor([2.0, 3.0], requires_grad=True)
    for _ in range(10):
        h = np.tanh(h * w)
    drawing = draw(h.sum(), fold=True)
    assert box_labels(drawing.to_dot()) == ["repeated × 10"]
    assert len(drawing.view) == 5
    assert len(draw((h * 2 * 2).sum(), fold=True).view) == 7, "two alike are no pattern yet"


@pytest.mark.parametrize(
    "program",
    [
        lambda: nn.Sequential(*layers(3, 4, 3, 4))(X),
        lambda: nn.Sequential(*layers(3, 3), nn.ReLU(), *layers(3, 3), nn.Tanh())(X),
        lambda: nn.Sequential(layers(3, 3)[0], nn.Linear(3, 3, bias=False))(X),
        lambda: nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval())(X),
        lambda: F.relu(F.sigmoid(F.relu(F.softplus(X * Tensor(1.0, requires_grad=True))))),
        lambda: sum((X * Tensor(1.0, requires_grad=True) * i for i in (1, 2)), Tensor(0.0)),
    ],
    ids=["widths", "operations", "parameters", "modes", "names", "numbers"],
)
def test_what_differs_is_not_folded(program):
    assert folded(program().sum()) == []


def test_blocks_that_are_connected_differently_are_not_folded():
    def block(x: Tensor, y: Tensor) -> Tensor:
        with scope("block"):
            return x - y

    def chain(*back: int) -> Tensor:
        """Each block uses the one before, and one so many blocks back."""
        made = [Tensor(1.0, requires_grad=True) * n for n in (2, 3)]
        for n in back:
            made.append(block(made[-1], made[-n]))
        return made[-1]

    assert folded(chain(2, 2, 2, 2, 2)) == ["block × 5"]
    assert not {"× 3", "× 4", "× 5", "× 6"} & {
        label[-3:] for label in folded(chain(2, 2, 3, 2, 4, 3))
    }
    shared = Tensor(2.0, requires_grad=True) * 3
    x = Tensor(1.0, requires_grad=True) * 2
    for _ in range(12):
        x = block(x, shared)
    assert folded(x) == ["block × 12"], "what all use is no difference"


def test_only_what_a_first_block_begins_with_may_differ():
    x = Tensor(1.0, requires_grad=True) * 2
    x = np.tanh(x) - x
    for _ in range(3):
        t = np.tanh(x)
        x = t - t
    assert folded(x) == ["repeated × 3"]


def test_shared_weights_stay_single():
    (cell,) = layers(3, 3)
    h = X
    for _ in range(5):
        h = cell(h)
    drawing = draw(h.sum(), fold=True)
    assert folded(h.sum()) == ["Linear × 5 (training)"]
    assert [n.name for n in drawing.view.graph.nodes if n.kind == "parameter"] == ["weight", "bias"]


def test_repetitions_within_repetitions():
    model = nn.Sequential(*(nn.Sequential(*layers(3, 3, 3, 3), nn.Tanh()) for _ in range(4)))
    drawing = draw(model(X).sum(), fold=True)
    assert box_labels(drawing.to_dot()) == [
        "Sequential (training)", "Sequential × 4", "Linear × 3", "Tanh",
    ]  # fmt: skip
    assert len(drawing.view) == 1 + 4 + 1 + 1


def test_leaves_alone_do_not_fold():
    leaves = [Tensor(1.0, requires_grad=True) for _ in range(20)]
    drawing = draw(F.sum_of_squares(*leaves), fold=True)
    assert len(drawing.view) == 21
    assert folded(F.l2_penalty([p for layer in layers(*[3] * 9) for p in [layer.weight]], 1)) == []


def test_the_result_of_what_is_folded_is_framed():
    h = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(10):
        h = np.tanh(h)
    drawing = draw(h, fold=True)
    framed = [p for p in plates(drawing.to_dot()).values() if "peripheries" in p.attributes]
    assert [p.lines[0] for p in framed] == ["tanh •"]


def test_penalties_on_folded_weights_keep_their_edges():
    rng = np.random.default_rng(0)
    model = nn.Sequential(*(Residual(3, rng) for _ in range(6)))
    loss = model(X).sum() + F.l2_penalty(model.weights(), 0.1)
    drawing = draw(loss, fold=True)
    assert_complete(drawing)
    graph = drawing.view.graph
    (weight,) = (n for n in graph.nodes if n.name == "weight")
    (penalty,) = (n for n in graph.nodes if n.operation == "sum_of_squares")
    assert penalty.inputs == [weight] * 6


# Programs: operations on what was made so far, counted back, in boxes, and in loops.
operation = st.tuples(
    st.sampled_from(["add", "multiply", "relu", "weight", "constant", "shared"]),
    st.integers(1, 4),
    st.integers(1, 4),
)
program = st.recursive(
    st.lists(operation, min_size=1, max_size=3),
    lambda inner: st.lists(
        operation
        | st.tuples(st.just("box"), st.sampled_from("ab"), inner)
        | st.tuples(st.just("loop"), st.integers(2, 5), inner),
        min_size=1,
        max_size=3,
    ),
    max_leaves=8,
)


def execute(program: list) -> Tensor:
    made = [Tensor(0.5, requires_grad=True, name="x")]
    shared = Tensor(0.25, requires_grad=True, name="shared")

    def perform(steps: list) -> None:
        for kind, first, second in steps:
            if kind == "box":
                with scope(first):
                    perform(second)
                continue
            if kind == "loop":
                for _ in range(first):
                    perform(second)
                continue
            x, y = made[-min(first, len(made))], made[-min(second, len(made))]
            if kind == "relu":
                made.append(F.relu(x))
            elif kind == "weight":
                made.append(x * Tensor(0.5, requires_grad=True))
            elif kind == "constant":
                made.append(x - np.float64(second))
            elif kind == "shared":
                made.append(x * shared)
            else:
                made.append(np.tanh(x + y if kind == "add" else x * y))

    perform(program)
    return made[-1]


@settings(max_examples=60, deadline=None)
@given(program, st.sampled_from([0, 1, 2, None, "auto"]), st.booleans())
def test_any_program_gives_a_valid_picture(steps, depth, fold):
    result = execute(steps)
    drawing = draw(result, depth, fold=fold, gradients=True)
    assert_complete(drawing)
    assert len(drawing.view) <= len(draw(result, depth).view)
    assert str(drawing)
    both = draw_backward(result, side="both", depth=depth, fold=fold)
    assert_complete(both)
    for dot in (drawing.to_dot(), both.to_dot()):
        assert render(dot, "svg").count(b'class="node"') == len(plates(dot))


def looks(x: Node | str) -> tuple[object, ...]:
    return (x,) if isinstance(x, str) else (x.kind, x.operation, x.shape, x.dtype, *x.options)


@settings(max_examples=60, deadline=None)
@given(program, st.booleans())
def test_folding_loses_nothing_but_repetitions(steps, backward):
    """What stays uses what it used, or the like of it, and is used; unfolded, all is there."""
    result = execute(steps)
    drawing = draw_backward(result, side="both", fold=True) if backward else draw(result, fold=True)
    whole = {node.number: node for node in drawing.graph.nodes}
    kept = folded_graph(drawing.graph).nodes
    total = Counter()
    for node in kept:
        total[looks(node)] += int(
            np.prod([box.times for box in node.box.path] if node.box else [1])
        )
        assert looks(node) == looks(whole[node.number])
        before = whole[node.number].inputs
        if not node.backward:  # a backward pass comes to a block from what follows the last one
            assert [looks(x) for x in node.inputs] == [looks(x) for x in before]
        assert [getattr(x, "shape", x) for x in node.inputs] == [
            getattr(x, "shape", x) for x in before
        ]
    assert total == Counter(map(looks, whole.values()))
    used = {x for node in kept for x in node.inputs if isinstance(x, Node)}
    idle = {node for node in kept if node not in used and not node.result}
    for node in idle:  # what only other blocks use seems idle in the one that stays
        assert any(box.times > 1 for box in (node.box.path if node.box else ()))


# --- Pictures that fit ---------------------------------------------------------------------------


def blocks(n: int, operations: int = 10) -> Tensor:
    """So many boxes, which differ in a number, with so many operations each."""
    x = Tensor(1.0, requires_grad=True)
    for i in range(n):
        with scope(f"block {i}"):
            for _ in range(operations // 2):
                x = (x * i).tanh()
    return x


def test_up_to_the_limit_all_is_open():
    drawing = draw(blocks(29) * 1.5 * 2)
    assert len(drawing.view) == 293 <= READABLE
    assert drawing.view.note == ""
    assert drawing.to_dot() == draw(blocks(29) * 1.5 * 2, None).to_dot()


def test_beyond_the_limit_boxes_are_closed_and_the_picture_says_so():
    drawing = draw(blocks(31))
    assert len(drawing.view) == 32
    assert "311 nodes" in drawing.view.note
    assert "depth=None" in drawing.view.note
    assert drawing.view.note in drawing.to_dot()
    assert str(drawing).endswith("\n" + drawing.view.note)
    assert len(draw(blocks(31), None).view) == 311


def test_only_as_many_levels_are_closed_as_needed():
    x = Tensor(1.0, requires_grad=True)
    for i in range(20):
        with scope(f"outer {i}"):
            for j in range(3):
                with scope(f"inner {j}"):
                    for _ in range(3):
                        x = (x * (i + j)).tanh()
    drawing = draw(x)
    assert len(draw(x, None).view) == 361
    assert len(drawing.view) == 61
    assert box_labels(drawing.to_dot()) == [f"outer {i}" for i in range(20)]


def test_collapse_holds_in_pictures_that_fit_too():
    drawing = draw(blocks(31), collapse=lambda box: False if box.name == "block 7" else None)
    assert box_labels(drawing.to_dot()) == ["block 7"]


def test_what_repeats_is_folded_where_closing_is_not_enough():
    x = Tensor(1.0, requires_grad=True)
    for _ in range(1000):
        x = F.relu(x * 2)
    drawing = draw(x)
    assert len(drawing.view) == 3
    assert "what repeats is shown once" in drawing.view.note


def test_a_note_claims_nothing_that_did_not_happen():
    x = Tensor(1.0, requires_grad=True)
    for i in range(400):
        x = x * i
    drawing = draw(x)
    assert len(drawing.view) == 401
    assert "are closed" not in drawing.view.note
    assert "shown once" not in drawing.view.note
    assert 'scope("name")' in drawing.view.note


def test_ten_thousand_operations_in_modules_are_few_nodes():
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        *(
            nn.Sequential(*(Residual(2, rng) for _ in range(40)), *layers(2, 3), *layers(3, 2))
            for _ in range(60)
        )
    )
    loss = model(Tensor(np.ones((3, 2), np.float32))).sum()
    drawing = draw(loss, gradients=True)
    assert sum(n.kind == "operation" for n in drawing.graph.nodes) == 9841
    assert len(drawing.view) == 62
    assert len(plates(drawing.to_dot())) == 62
    assert len(draw(loss, 0).view) == 3
    assert box_labels(draw(loss, fold=True).to_dot()) == [
        "Sequential (training)", "Sequential × 60", "Residual × 40", "Linear", "Linear", "Linear",
    ]  # fmt: skip


# --- Pictures that do not ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> Drawing:
    """A chain, a little too long."""
    x = Tensor(1.0, requires_grad=True)
    for _ in range(LARGEST + 1):
        x = x + 1
    return draw(x, None)


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_too_large_a_layout_is_refused_with_advice(large, suffix, tmp_path):
    with pytest.raises(TooLargeError) as error:
        large.save(tmp_path / f"x.{suffix}")
    for advice in ("depth=", "fold=True", 'scope("name")', '.save("x.dot")', f"{LARGEST:,}"):
        assert advice in str(error.value)
    assert not list(tmp_path.iterdir())
    large.save(tmp_path / "x.dot")
    assert (tmp_path / "x.dot").read_text(encoding="utf-8") == large.to_dot()


def test_formulas_on_edges_take_room():
    x = Tensor(1.0, requires_grad=True)
    for _ in range(LARGEST * 3 // 4):
        x = x + 1
    drawing = draw(x, None, formulas=True)
    assert drawing.view.effort() < LARGEST
    with pytest.raises(TooLargeError):
        drawing.rendered("svg")


def test_a_notebook_shows_the_text_of_what_is_too_large(large):
    bundle = large._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert bundle["text/plain"].startswith(str(large))
    assert "fold=True" in bundle["text/plain"]


def test_the_advice_works(large):
    drawing = Drawing(large.graph, fold=True)
    assert render(drawing.to_dot(), "svg")
    assert drawing.rendered("svg")


# --- Wrong calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("picture", [draw, draw_backward])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": -1}, "depth must be 0 or more, not -1"),
        ({"depth": 1.5}, "depth must be a whole number.* not 1.5"),
        ({"depth": "all"}, "depth must be a whole number, None or \"auto\", not 'all'"),
        ({"depth": [1]}, "depth must be a whole number"),
        ({"collapse": 3}, "collapse must be a function, not 3"),
        ({"collapse": "relu"}, "collapse must be a function, not 'relu'"),
        ({"fold": "x"}, "fold must be True or False, not 'x'"),
        ({"fold": None}, "fold must be True or False, not None"),
        ({"formulas": 2}, "formulas must be True or False, not 2"),
        ({"model": 3}, "model must be a module, not 3"),
        ({"model": nn.ReLU}, "model must be a module, not the class ReLU"),
    ],
)
def test_wrong_options_are_refused(picture, options, message):
    x = Tensor(2.0, requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=f"^{picture.__name__}: {message}"):
        picture(F.relu(x), **options)


def test_gradients_are_wanted_or_not():
    with pytest.raises(TypeError, match=r"^draw: gradients must be True or False, not 2"):
        draw(F.relu(Tensor(2.0, requires_grad=True)), gradients=2)


def test_errors_of_collapse_are_its_own():
    with pytest.raises(ZeroDivisionError):
        draw(F.relu(Tensor(2.0, requires_grad=True)), collapse=lambda box: 1 / 0)


# --- What folding must not hide ------------------------------------------------------------------


def alternating(n: int, first: Tensor, second: Tensor) -> Tensor:
    """Blocks that use one thing or the other by turns."""
    h = first * 1
    for i in range(n):
        with scope("block"):
            h = np.tanh(h * (first if i % 2 == 0 else second))
    return h


@pytest.mark.parametrize("n", [6, 30])
def test_blocks_that_use_different_things_are_not_one(n):
    a, b = (Tensor(x, requires_grad=True) for x in (1.0, 2.0))
    for one, other in ((a, b), (a * 2, b * 3)):
        view = draw(alternating(n, one, other), None, fold=True).view
        times = {box.times for box in view.graph.boxes}
        assert times in ({1, n // 2 - 1}, {1, n // 2}), "pairs of blocks repeat"
        used = [x for node in view.graph.nodes for x in node.inputs if isinstance(x, Node)]
        assert all(node in used for node in view.graph.nodes if not node.result)


def test_alarms_of_all_folded_blocks_are_told():
    rng = np.random.default_rng(0)
    model = nn.Sequential(*(m for _ in range(12) for m in (nn.Linear(3, 3, rng=rng), nn.ReLU())))
    for i in (3, 7):
        model[2 * i].weight.data = np.zeros((3, 3))
        model[2 * i].bias.data = -np.ones(3)
    view = draw(model(X).sum(), None, fold=True).view
    whole = draw(model(X).sum(), None).graph.nodes
    n = sum(flag.startswith("dead") for node in whole for flag in node.flags)
    assert 2 <= n < 12
    (relu,) = (node for node in view.graph.nodes if node.operation == "maximum")
    assert relu.flags == [f"dead in {n} of 12"]
    assert f"dead in {n} of 12" in draw(model(X).sum(), 0, fold=True).to_dot()


@pytest.mark.parametrize("fold", [False, True])
def test_nothing_is_its_own_input_when_both_passes_are_folded(fold):
    z = w = Tensor(2.0, requires_grad=True)
    for _ in range(5):
        with scope("step"):
            z = z * w
    view = draw_backward(z, side="both", fold=fold, depth=None).view
    waiting = {node: {x for x in node.inputs if isinstance(x, Node)} for node in view.graph.nodes}
    while waiting:  # what nothing waits for can be computed
        ready = [node for node, inputs in waiting.items() if not inputs & waiting.keys()]
        assert ready, "a circle"
        for node in ready:
            del waiting[node]


# --- What it is not, and what nobody named -------------------------------------------------------


def test_an_array_that_is_used_twice_is_one_leaf():
    array = np.array([[1.0, 2.0, 3.0]])
    (layer,) = layers(3, 3)
    graph = draw((array + layer(array)).sum()).graph
    assert [node.kind for node in graph.nodes].count("input") == 1
    assert "constant" not in [node.kind for node in graph.nodes]
    other = draw((np.ones((1, 3)) + layer(array)).sum()).graph
    assert len(other.nodes) == len(graph.nodes) + 1


def test_a_tensor_without_a_graph_says_why():
    note = "no operation was recorded: nothing behind this tensor requires a gradient"
    assert note in draw(Tensor([1.0]) * 2).to_dot()
    assert note in str(draw(Tensor([1.0]) * 2))
    assert note not in draw(Tensor([1.0], requires_grad=True)).to_dot()


def test_a_box_without_a_name_can_be_closed():
    with scope(""):
        y = (Tensor(1.0, requires_grad=True) * 2).tanh()
    svg = draw(y, 0).rendered("svg").decode()
    assert "2 operations" in svg


def test_a_new_axis_is_told():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert "index=None" in str(draw(x[None]))
    assert "index=None" in draw(x[None]).to_dot()


def test_auto_closes_what_could_not_be_laid_out():
    rng = np.random.default_rng(0)
    x = total = Tensor(1.0, requires_grad=True)
    for _ in range(5):
        with scope("stage"):
            for _ in range(20):
                with scope("step"):
                    total = total + x * float(rng.normal())
    assert len(draw(total, 1).view) < READABLE
    assert draw(total, 1).view.effort(labelled=True) > LARGEST
    drawing = draw(total, formulas=True)
    assert drawing.view.effort(labelled=True) <= LARGEST
    assert box_labels(drawing.to_dot()) == []


def test_a_page_of_too_many_nodes_is_refused_with_advice(tmp_path):
    x = Tensor(1.0, requires_grad=True)
    for i in range(BROWSABLE):
        x = x + i % 7
    with pytest.raises(TooLargeError, match=r'draw: a page of 1,501 nodes .* scope\("name"\)'):
        draw(x).save(tmp_path / "x.html")
    with pytest.raises(TooLargeError, match="Film: a page of 1,501 nodes"):
        Film().record(x)
    assert not list(tmp_path.iterdir())


def test_collapse_must_decide():
    with pytest.raises(TypeError, match=r"collapse: must return True, False or None, not 'no'"):
        draw(network(), collapse=lambda box: "no")
