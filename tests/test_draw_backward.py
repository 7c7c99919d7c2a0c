"""`draw_backward`: the picture of a gradient computation is a program that computes it."""

from bisect import bisect
from collections import Counter

import numpy as np
import pytest
from drawn import around, arrows, exactly, network, neuron, node, plates, run, small_network
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_reg.functional as F
from tinygrad_reg import Tensor, nn, scope
from tinygrad_reg.drawing import draw, draw_backward
from tinygrad_reg.drawing.read import behind
from tinygrad_reg.graph import sweep
from tinygrad_reg.scope import current, entered
from tinygrad_reg.tensor import Recorder

ARRAY = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])
WEIGHT = np.array([[1.0, -2.0], [0.5, 0.25], [-1.5, 3.0]])


def leaf(data, name):
    return Tensor(data, requires_grad=True, name=name)


# name: (program of x, its gradient)
CLOSED_FORMS = {
    "power": (lambda x: (x**3).sum(), lambda x: 3 * x**2),
    "product": (lambda x: (x * np.sin(x)).sum(), lambda x: np.sin(x) + x * np.cos(x)),
    "sum": (lambda x: (x + x).sum(), lambda x: np.full_like(x, 2)),
    "quotient": (lambda x: (1 / x).sum(), lambda x: -1 / x**2),
    "relu": (lambda x: F.relu(x).sum(), lambda x: (x > 0) * 1.0),
    "norm": (lambda x: np.sqrt((x * x).sum()), lambda x: x / np.linalg.norm(x)),
    "matmul": (
        lambda x: ((x @ WEIGHT) ** 2).sum() / 2,
        lambda x: x @ WEIGHT @ WEIGHT.T,
    ),
    "logsumexp": (
        lambda x: F.logsumexp(x).sum(),
        lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    ),
    "rows": (lambda x: x[1:, ::2].sum(), lambda x: np.array([[0, 0, 0], [1.0, 0, 1]])),
    "mean": (lambda x: ((x - x.mean()) ** 2).sum(), lambda x: 2 * (x - x.mean())),
}


def gradients(drawing):
    """The results of a picture of a backward pass, and what they are when it is executed."""
    values = run(drawing.graph)
    for n, array in values.items():
        np.testing.assert_allclose(exactly(n.value), array, rtol=1e-12, atol=1e-15)
    return {n.name: values[n] for n in drawing.graph.nodes if n.result and n.backward}


# --- The numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["backward", "both"])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_picture_computes_the_gradient(name, side):
    function, gradient = CLOSED_FORMS[name]
    drawing = draw_backward(function(leaf(ARRAY, "x")), side=side)
    (found,) = gradients(drawing).values()
    np.testing.assert_allclose(found, gradient(ARRAY), rtol=1e-12)


@pytest.mark.parametrize("side", ["backward", "both"])
def test_the_picture_of_a_network_computes_the_gradients_of_all_parameters(side):
    loss, model = small_network()
    found = gradients(draw_backward(loss, model.parameters(), side=side, model=model))
    loss.backward()
    assert list(found) == [f"∂out/∂{name}" for name, _ in reversed(list(model.named_parameters()))]
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(found[f"∂out/∂{name}"], parameter.grad.data, rtol=1e-12)


@pytest.mark.parametrize("side", ["backward", "both"])
@pytest.mark.parametrize("name", ["power", "product", "quotient", "norm", "logsumexp"])
def test_second_order_works_too(name, side):
    """The derivative of v · ∇f(x), against differences of the closed form of ∇f."""
    function, gradient = CLOSED_FORMS[name]
    x = leaf(ARRAY, "x")
    function(x).backward(create_graph=True)
    first, x.grad = x.grad, None
    v = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])
    drawing = draw_backward((first * v).sum(), x, side=side)
    (found,) = gradients(drawing).values()
    step = 1e-6
    by_differences = (gradient(ARRAY + step * v) - gradient(ARRAY - step * v)) / (2 * step)
    np.testing.assert_allclose(found, by_differences, rtol=1e-6, atol=1e-8)  # symmetric: H v
    assert x.grad is None


def test_second_order_of_a_cube_is_exact_and_its_two_passes_are_told_apart():
    x = leaf(2.0, "x")
    (x**3).backward(create_graph=True)
    first, x.grad = x.grad, None
    drawing = draw_backward(first, side="both")
    assert gradients(drawing) == {"∂out/∂x": 12.0}  # 6 x
    values = {n.operation: (exactly(n.value), n.backward) for n in drawing.graph.nodes}
    assert values["square"] == (4.0, False), "the first backward pass is now the forward pass"
    forward = [n for n in drawing.graph.nodes if n.kind == "operation" and not n.backward]
    assert [float(exactly(n.value)) for n in forward] == [4.0, 12.0, 12.0]
    assert [float(exactly(n.gradient)) for n in forward] == [3.0, 1.0, 1.0]


def test_forward_values_have_their_gradients_beside_them():
    drawing = draw_backward(neuron(), side="both")
    known = draw(neuron(), gradients=True)
    for n in known.graph.nodes:
        if n.flows:
            (there,) = (m for m in drawing.graph.nodes if (m.name or m.operation, m.backward) == (
                n.name or n.operation, False,
            ))  # fmt: skip
            assert there.gradient == n.gradient
    drawn = plates(drawing.to_dot())
    for n in drawing.graph.nodes:
        told = any(line.startswith("grad ") for line in drawn[f"n{n.number}"].lines)
        assert told == (n.name != "x" and not n.backward)


# --- What is asked for ---------------------------------------------------------------------------


def two_layers():
    w, v = leaf(2.0, "w"), leaf(3.0, "v")
    h = w * Tensor(5.0, name="x")
    h.name = "h"
    y = h * v
    y.name = "y"
    return w, v, h, y


def test_by_default_all_leaves_are_asked_for():
    *_, y = two_layers()
    assert gradients(draw_backward(y)) == {"∂y/∂v": 10.0, "∂y/∂w": 15.0}


def test_one_or_several_leaves_or_intermediate_results_may_be_asked_for():
    w, v, h, y = two_layers()
    assert gradients(draw_backward(y, w)) == {"∂y/∂w": 15.0}
    assert gradients(draw_backward(y, h)) == {"∂y/∂h": 3.0}
    assert gradients(draw_backward(y, (x for x in [h, v]))) == {"∂y/∂h": 3.0, "∂y/∂v": 10.0}
    assert gradients(draw_backward(y, [w, w])) == {"∂y/∂w": 15.0}
    assert gradients(draw_backward(y, y)) == {"∂y/∂y": 1.0}
    assert len(draw_backward(y, h).graph.nodes) < len(draw_backward(y, w).graph.nodes)


def test_only_what_is_asked_for_is_framed():
    w, v, _, y = two_layers()
    for wrt in ([w], [v], [w, v]):
        framed = [p for p in plates(draw_backward(y, wrt).to_dot()).values()
                  if "peripheries" in p.attributes]  # fmt: skip
        assert len(framed) == len(wrt)


def test_a_gradient_that_is_passed_on_is_one_node_with_all_its_names():
    a, b = leaf(1.0, "a"), leaf(2.0, "b")
    y = a + b
    y.name = "y"
    drawing = draw_backward(y)
    assert gradients(drawing) == {"∂y/∂a, ∂y/∂b, ∂y/∂y": 1.0}
    assert len(plates(drawing.to_dot())) == 1
    assert gradients(draw_backward(y, side="both")) == {"∂y/∂a, ∂y/∂b, ∂y/∂y": 1.0}


def test_what_has_no_name_is_called_in_general():
    x = Tensor(2.0, requires_grad=True)
    assert gradients(draw_backward(x * x)) == {"∂out/∂…": 4.0}


def test_names_of_a_model_are_used():
    model = nn.Linear(1, 1, rng=np.random.default_rng(0))
    drawing = draw_backward(model([[2.0]]).sum(), model=model, side="both")
    names = " ".join(str(n.name) for n in drawing.graph.nodes).split()
    assert {"weight", "bias", "∂out/∂weight", "∂out/∂bias"} <= set(names)


# --- Where it stands -----------------------------------------------------------------------------


def caused(loss):
    """What the rules of each operation compute, as the sweep itself does: between its steps."""
    starts, names, found = [], [], []
    with entered(current.get()):
        for x, g in sweep(loss.node, Tensor(1.0, requires_grad=True), Recorder()):
            starts.append(Tensor(0.0).node.number)
            names.append(x.function.__name__ if x.function else "")
            found.append(g.node)
    made = [g for g in behind(*found) if g.function and g.number > starts[0]]
    return Counter((names[bisect(starts, g.number) - 1], g.function.__name__) for g in made)


@pytest.mark.parametrize("side", ["backward", "both"])
def test_every_backward_node_stands_in_the_box_of_the_operation_that_caused_it(side):
    drawing = draw_backward(network(), side=side)
    forward = {n.box: n.operation for n in drawing.graph.nodes if not n.backward}
    boxes = Counter()
    for n in drawing.graph.nodes:
        if n.kind == "operation" and n.backward and n.operation != "add":
            cause = n.box.names[-1].removeprefix("∂ ") if side == "backward" else forward[n.box]
            boxes[cause, n.operation] += 1
    expected = caused(network())
    sums = Counter({pair: count for pair, count in expected.items() if pair[1] == "add"})
    assert boxes == expected - sums
    assert sums.total() == sum(n.operation == "add" and n.backward for n in drawing.graph.nodes)


def test_gradients_of_a_reused_value_are_added_up_where_it_was_computed():
    x = leaf(2.0, "x")
    with scope("inner"):
        y = np.exp(x)
    with scope("outer"):
        z = y * 3 + y
    drawing = draw_backward(z)
    total = node(drawing, operation="add")
    assert around(total) == ["inner · ∂ exp"]
    assert exactly(total.value) == 4
    both = draw_backward(x * x, side="both")
    (total,) = (n for n in both.graph.nodes if n.operation == "add")
    assert around(total) == [], "a leaf was computed nowhere"


@pytest.mark.parametrize("side", ["backward", "both"])
def test_backward_boxes_stand_inside_the_boxes_of_their_operations(side):
    x = leaf(ARRAY, "x")
    with scope("outer"):
        y = F.softplus(x * 2)
    drawing = draw_backward((y * y).sum(), side=side)
    boxes = {(*around(n), n.operation) for n in drawing.graph.nodes if n.backward and n.box}
    mark = "" if side == "both" else "∂ "
    assert ("outer", f"{mark}multiply", "multiply") in boxes
    assert ("outer", "softplus", f"{mark}exp", "multiply") in boxes
    assert any(path[0] == f"{mark}multiply" for path in boxes)


def test_both_sides_stand_in_one_box():
    drawing = draw_backward(neuron(), side="both")
    for name, operation in (("∂y/∂w", "multiply"), ("∂y/∂c", "maximum")):
        backward = next(n for n in drawing.graph.nodes if n.name and name in n.name)
        (forward,) = (n for n in drawing.graph.nodes if n.operation == operation and not n.backward)
        assert around(backward) == around(forward)


def test_the_backward_pass_alone_shows_the_forward_values_it_uses():
    *_, y = two_layers()
    drawing = draw_backward(y)
    used = {n.name: n.kind for n in drawing.graph.nodes if n.kind != "operation"}
    assert used == {"∂y/∂y": "input", "h": "forward", "v": "parameter", "x": "input"}
    forward = plates(drawing.to_dot())[f"n{node(drawing, name='h').number}"]
    assert forward.lines[0] == "forward: multiply h"
    assert forward.attributes["style"] == "rounded,filled,dashed"


def test_against_the_forward_pass_arrows_point_from_result_to_inputs():
    """Purple arrows are written the other way round, so that Graphviz lays them out upwards."""
    dot = draw_backward(neuron(), side="both").to_dot()
    drawn = plates(dot)
    purple = [line for line in dot.splitlines() if "->" in line and "#7b3294" in line]
    assert purple
    for line in purple:
        assert ("dir=back" in line) != ("constraint=false" in line)
    backward = {name for name, p in drawn.items() if p.attributes["fillcolor"] == "#efe2f3"}
    for line in purple:
        (start, to), *_ = arrows(line.split(" [")[0] + "\n")
        assert (start if "dir=back" in line else to) in backward


# --- Nothing else --------------------------------------------------------------------------------


def test_several_tensors_may_come_one_after_the_other():
    w, v, _, y = two_layers()
    model = nn.Sequential(nn.ReLU())
    expected = draw_backward(y, [w, v]).to_dot()
    assert draw_backward(y, w, v).to_dot() == expected
    assert draw_backward(y, *iter([w, v])).to_dot() == expected
    assert draw_backward(y, w, v, side="both").to_dot() != expected
    for wrong in ((w, "both"), (w, None), (None, w), (w, [v]), (model[0],), (model,)):
        with pytest.raises(TypeError, match=r"wrt must be .*\.parameters\(\) .* by keyword"):
            draw_backward(y, *wrong)


@pytest.mark.parametrize("depth", [Tensor([1.0, 2.0]), np.ones(2), nn.ReLU(), 1.5, [1]])
def test_a_depth_that_is_none_is_refused(depth):
    *_, y = two_layers()
    for picture in (draw, draw_backward):
        with pytest.raises(TypeError, match="depth must be a whole number, not"):
            picture(y, depth=depth)


def test_wrong_calls_say_what_to_do():
    *_, y = two_layers()
    other = Tensor(1.0, requires_grad=True, name="other")
    constant = Tensor(1.0)
    for wrt, error, message in (
        (3, TypeError, "wrt must be .*tensor.* not 3"),
        ([3], TypeError, "wrt must be .*tensor.* not 3"),
        ("w", TypeError, "wrt must be .*tensor"),
        ([], ValueError, "wrt"),
        (other, ValueError, r"no gradient flows to 'other' of shape \(\)"),
        ([constant], ValueError, r"no gradient flows to a tensor of shape \(\).*require"),
    ):
        with pytest.raises(error, match=f"^draw_backward: {message}"):
            draw_backward(y, wrt)
    for side in ("forward", 2, None):
        with pytest.raises(ValueError, match=r'^draw_backward: side must be "backward" or "both"'):
            draw_backward(y, side=side)
    with pytest.raises(TypeError, match="draw_backward: only tensors have graphs, not ndarray"):
        draw_backward(np.ones(3))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(CLOSED_FORMS)), min_size=1, max_size=4), st.booleans())
def test_sums_of_programs_add_their_gradients_in_the_picture(names, both):
    x = leaf(ARRAY, "x")
    y = sum((CLOSED_FORMS[name][0](x) for name in names), Tensor(0.0))
    drawing = draw_backward(y, side="both" if both else "backward")
    (found,) = gradients(drawing).values()
    expected = sum(CLOSED_FORMS[name][1](ARRAY) for name in names)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
