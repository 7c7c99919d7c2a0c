"""Numbers, gradients and alarms in pictures: right, and telling what is the matter."""

import json
import math
import re
from html import unescape

import numpy as np
import pytest
from drawn import exactly, network, neuron, node, plates, run, small_network
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tinygrad_reg.functional as F
from tinygrad_reg import (
    AnomalyError,
    StaleValueError,
    Tensor,
    detect_anomaly,
    no_grad,
    optim,
    scope,
)
from tinygrad_reg.drawing import Film, draw, draw_backward
from tinygrad_reg.drawing.health import EXPLODING, VANISHING, colours, dead_units, legend
from tinygrad_reg.drawing.numbers import FEW, Numbers, numbers
from tinygrad_reg.graph import sweep

# --- Numbers -------------------------------------------------------------------------------------


shapes = array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.float64, shapes, elements=st.integers(-1000, 1000).map(lambda n: n / 7))
    | arrays(np.float32, shapes, elements=st.floats(-1e3, 1e3, width=32))
    | arrays(np.float16, shapes, elements=st.floats(-1e3, 1e3, width=16))
    | arrays(np.int64, shapes)
    | arrays(np.bool_, shapes)
)
def test_numbers_are_numpys(array):
    found, x = numbers(array), array.astype(np.float64)
    assert found.shape == x.shape
    assert (found.low, found.high) == (x.min(), x.max())
    np.testing.assert_allclose(
        [found.mean, found.sd, found.norm, found.rms, found.zeros],
        [x.mean(), x.std(), np.linalg.norm(x), np.sqrt(np.mean(x * x)), np.mean(x == 0)],
        rtol=1e-12,
        atol=1e-12 * np.abs(x).max(),
    )
    if array.size > FEW:
        assert found.rows is None
    else:
        assert [text for row in found.rows for text in row] == [str(x) for x in array.ravel()]
        assert {len(row) for row in found.rows} == {array.shape[-1] if array.ndim else 1}


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, shapes, elements=st.floats(-1, 1)), st.sampled_from([1e-200, 1e200]))
def test_numbers_neither_overflow_nor_vanish(array, scale):
    array = np.where(np.abs(array) < 1e-6, 0, array)
    found, small = numbers(array * scale), numbers(array)
    for field in ("mean", "sd", "low", "high", "norm", "rms"):
        exact = getattr(small, field)
        assert getattr(found, field) / scale == pytest.approx(exact, rel=1e-12, abs=1e-15)
    assert found.zeros == small.zeros


@pytest.mark.parametrize("n", [1, 3, FEW, FEW + 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_of_what_is_not_finite(bad, n):
    array = np.ones(n)
    array[-1] = bad
    with np.errstate(invalid="ignore"):
        expected = [array.mean(), array.min(), array.max(), np.linalg.norm(array)]
    found = numbers(array)
    np.testing.assert_array_equal([found.mean, found.low, found.high, found.norm], expected)
    assert found.zeros == 0


@pytest.mark.parametrize("few", [0.0, 5e-324])
def test_the_smallest_float_is_not_nothing(few):
    found = numbers(np.array([5e-324] + [few] * 200))
    assert (found.rms, found.high) == (5e-324, 5e-324)
    x = Tensor(np.ones(13), requires_grad=True)
    drawing = draw((x * np.array([5e-324] + [few] * 12)).sum(), gradients=True)
    assert drawing.graph.nodes[0].flags == ["vanishing gradient"]
    assert colours(drawing.graph.nodes[0].gradient)[0] == colours(numbers(np.array(1e-9)))[0]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (2, 0, 3)])
def test_numbers_of_nothing(shape):
    found = numbers(np.zeros(shape))
    assert found == Numbers(shape, (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert found.rms == 0


def test_few_elements_are_exact():
    assert numbers(np.float32([0.1, 123456.7, -0.0])).rows == (("0.1", "123456.7", "-0.0"),)
    assert numbers(2**53 + np.arange(2)).rows == (("9007199254740992", "9007199254740993"),)
    assert numbers(np.array([[True], [False]])).rows == (("True",), ("False",))
    assert numbers(0.1 + 0.2).rows == (("0.30000000000000004",),)
    assert numbers(np.arange(8.0).reshape(2, 2, 2)).rows[2] == ("4.0", "5.0")


# --- Gradients of everything ---------------------------------------------------------------------


def in_pytorch(drawing):
    """The picture, executed by PyTorch: its tensors by nodes, after `backward`."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the oracle is silent")
    functions = {
        "sum": lambda x, axis, keepdims: torch.sum(x, axis, keepdims) if axis else torch.sum(x),
        "sum_of_squares": lambda *xs: sum((x * x).sum() for x in xs),
        "vdot": lambda x, y: (x * y).sum(),
        "maximum": lambda x, y: torch.clamp(x, min=y),
        "power": torch.pow,
        "where": lambda condition, *xs: torch.where(condition, *xs),
        "reshape": lambda x, shape: torch.reshape(x, shape),
        "getitem": lambda x, index: x[index],
    }

    class Functions(dict):
        def __missing__(self, name):
            return getattr(torch, name)

    def leaf(node, array):
        tensor = torch.from_numpy(array)
        return tensor.requires_grad_() if node.flows else tensor

    tensors = run(drawing.graph, Functions(functions), leaf)
    for tensor in tensors.values():
        if tensor.requires_grad:
            tensor.retain_grad()
    next(reversed(tensors.values())).backward()
    return tensors


def reused():
    x = Tensor([[1.0, -2.0, 0.5]], requires_grad=True, name="x")
    y = np.exp(x) * x - x / (x * x + 1)
    return (y * y[:, 1:2] + x).sum()


@pytest.mark.parametrize("program", [neuron, lambda: small_network()[0], reused])
def test_values_and_gradients_of_all_nodes_are_those_that_pytorch_finds_by_the_picture(program):
    drawing = draw(program(), gradients=True)
    tensors = in_pytorch(drawing)
    flowing = 0
    for n, tensor in tensors.items():
        np.testing.assert_allclose(exactly(n.value), tensor.detach(), rtol=1e-11, atol=1e-14)
        if tensor.requires_grad:
            flowing += 1
            np.testing.assert_allclose(exactly(n.gradient), tensor.grad, rtol=1e-11, atol=1e-14)
        else:
            assert n.gradient is None
            assert not n.flows
    assert flowing > 4


def test_gradients_of_leaves_are_those_of_backward():
    loss = network()
    drawing = draw(loss, gradients=True)
    loss.backward()
    left = draw(loss)
    for there, here in zip(drawing.graph.nodes, left.graph.nodes):
        if here.gradient is not None:
            assert there.gradient == here.gradient


def test_parts_add_up_to_gradients():
    """At every node, what its users hand on, plus the 1 that everything begins with."""
    drawing = draw(small_network()[0], gradients=True)
    arrived = {n: np.ones(n.shape) * n.result for n in drawing.graph.nodes}
    for n in drawing.graph.nodes:
        positions = [i for i, _ in n.parts]
        assert positions == [
            i for i, x in enumerate(n.inputs) if not isinstance(x, str) and x.flows
        ]
        for i, part in n.parts:
            arrived[n.inputs[i]] = arrived[n.inputs[i]] + exactly(part)
    for n, total in arrived.items():
        if n.flows:
            np.testing.assert_allclose(exactly(n.gradient), total, rtol=1e-12, atol=1e-15)


def test_a_value_used_twice_gets_two_parts():
    drawing = draw(neuron(), gradients=True)
    y = node(drawing, name="y")
    assert [(i, exactly(part)) for i, part in y.parts] == [(0, 1), (1, 1)]
    assert exactly(node(drawing, name="b").gradient) == 2


def test_the_sweep_is_in_its_true_order():
    loss = network()
    drawing = draw(loss, gradients=True)
    true = [float(np.sum(x.value)) for x, _ in sweep(loss.node, np.ones(()))]
    np.testing.assert_allclose(
        [n.value.mean * math.prod(n.shape) for n in drawing.graph.sweep], true, atol=1e-12
    )
    seen = set()
    users = {n: [m for m in drawing.graph.nodes if n in m.inputs] for n in drawing.graph.nodes}
    for n in drawing.graph.sweep:
        assert seen.issuperset(users[n]), "all users had their turn before"
        seen.add(n)
    assert seen == {n for n in drawing.graph.nodes if n.flows}
    assert draw(loss).graph.sweep == []


@pytest.mark.parametrize("picture", [lambda x: draw(x, gradients=True), draw_backward])
def test_no_gradient_is_touched(picture):
    loss, model = small_network()
    picture(loss)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    before = {p: p.grad for p in model.parameters()}
    values = {p: p.grad.numpy() for p in model.parameters()}
    picture(loss)
    for p in model.parameters():
        assert p.grad is before[p]
        np.testing.assert_array_equal(p.grad.numpy(), values[p])


def test_gradients_of_a_picture_are_of_its_result_alone():
    """Not what has been added up in `.grad`."""
    x = Tensor(3.0, requires_grad=True, name="x")
    y = x * x
    y.backward()
    y.backward()
    assert exactly(node(draw(y), name="x").gradient) == 12
    assert exactly(node(draw(y, gradients=True), name="x").gradient) == 6
    x.requires_grad = False
    z = x * Tensor(1.0, requires_grad=True)
    assert node(draw(z, gradients=True), name="x").gradient is None


@pytest.mark.parametrize("picture", [lambda x: draw(x, gradients=True), draw_backward])
def test_gradients_do_not_depend_on_where_they_are_asked_for(picture):
    loss = network()
    expected = picture(loss).to_dot()
    with no_grad():
        assert picture(loss).to_dot() == expected
    with detect_anomaly():
        assert picture(loss).to_dot() == expected


def test_anomalies_are_detected_in_pictures_too():
    x = Tensor(0.0, requires_grad=True)
    y = np.sqrt(x)
    with np.errstate(divide="ignore"):
        assert "infinite gradient" in draw(y, gradients=True).graph.nodes[0].flags
        with detect_anomaly(), pytest.raises(AnomalyError, match="sqrt"):
            draw(y, gradients=True)


@pytest.mark.parametrize("picture", [lambda x: draw(x, gradients=True), draw_backward])
def test_stale_values_have_no_gradients(picture):
    loss, model = small_network()
    loss.backward()
    optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(StaleValueError, match="compute the result again"):
        picture(loss)
    assert draw(loss).to_dot()


@pytest.mark.parametrize("name", ["draw", "draw_backward"])
def test_gradients_are_those_of_a_single_number(name):
    picture = {"draw": lambda x: draw(x, gradients=True), "draw_backward": draw_backward}[name]
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match=rf"^{name}: .*single number.*shape \(2,\).*t\.sum\(\)"):
        picture(x * 2)
    with no_grad():
        loss = x.sum()
    with pytest.raises((ValueError, RuntimeError), match=f"^{name}: .*requires_grad=True.*no_grad"):
        picture(loss)
    assert picture((x * 2).sum().reshape(1, 1))


def test_gradients_of_a_leaf_and_of_a_gradient():
    x = Tensor(2.0, requires_grad=True, name="x")
    drawing = draw(x, gradients=True)
    assert exactly(drawing.graph.nodes[0].gradient) == 1
    (x**3).backward(create_graph=True)
    first, x.grad = x.grad, None
    drawing = draw(first, gradients=True)  # 3 x²
    assert exactly(node(drawing, name="x").gradient) == 12  # 6 x
    drawn = plates(drawing.to_dot())
    for n in drawing.graph.nodes:
        assert any(line.startswith("grad ") for line in drawn[f"n{n.number}"].lines) == (
            n.kind != "input"
        )


# --- Colours -------------------------------------------------------------------------------------


def fill(tensor, name="x"):
    """The colour of a leaf, by gradients."""
    drawing = draw(tensor, gradients=True)
    return plates(drawing.to_dot())[f"n{node(drawing, name=name).number}"].attributes["fillcolor"]


def cells(tensor):
    """(text, fill, ink) of each cell of the legend, from the picture."""
    dot = draw(tensor, gradients=True).to_dot()
    found = re.findall(r'BGCOLOR="(#\w+)"><FONT COLOR="(#\w+)">&#160;(.*?)&#160;<', dot)
    return [(unescape(text), fill, ink) for fill, ink, text in found]


def with_gradients(*sizes):
    xs = [Tensor(1.0, requires_grad=True, name="x") for _ in sizes]
    return sum(x * size for x, size in zip(xs, sizes))


def scale():
    """The whole legend."""
    sizes = 10.0 ** np.arange(-12, 9)
    return cells(with_gradients(0.0, *sizes, np.nan))


def test_the_legend_says_what_colours_mean():
    (nothing, zero, _), *steps, (bad, not_finite, _) = scale()
    assert (nothing, bad) == ("0", "NaN, ∞")
    assert steps[0][0] == f"< {steps[1][0]}"
    assert steps[-1][0].startswith("≥ 1e")
    bounds = [0.0, *(float(text.removeprefix("≥ ")) for text, _, _ in steps[1:])]
    assert bounds == sorted(set(bounds))
    x = Tensor(1.0, requires_grad=True, name="x")
    many = Tensor(np.ones((4, 25)), requires_grad=True, name="x")
    for exponent in range(-12, 9):
        for factor in (1.01, 9.9):
            size = factor * 10.0**exponent
            expected = [fill for bound, (_, fill, _) in zip(bounds, steps) if bound <= size][-1]
            assert fill(x * size) == fill(x * -size) == expected
            assert fill((many * size).sum()) == expected, "the number of elements does not matter"
    assert fill(x * 0) == zero
    assert fill(x * np.nan) == fill(x * np.inf) == not_finite
    assert len({zero, not_finite, *(fill for _, fill, _ in steps)}) == len(steps) + 2


def test_the_legend_goes_from_the_smallest_to_the_largest_in_use():
    whole = scale()
    texts = [text for text, _, _ in whole]
    assert [text for text, _, _ in legend()] == texts
    one = texts.index("1e0")
    assert cells(with_gradients(2.0)) == whole[one : one + 1]
    assert cells(with_gradients(2e-4, 0.0)) == [whole[0], *whole[one - 4 : one + 1]]
    assert cells(with_gradients(1.0, np.inf)) == [whole[one], whole[-1]]


def luminance(colour):
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_the_scale_goes_from_dark_to_light_to_dark_and_text_stays_readable():
    inks = {fill: ink for _, fill, ink in legend()}
    light = [luminance(fill) for _, fill, _ in scale()[1:-1]]
    top = light.index(max(light))
    assert light[: top + 1] == sorted(light[: top + 1])
    assert light[top:] == sorted(light[top:], reverse=True)
    for fill, ink in inks.items():
        bright, dark = sorted([luminance(fill), luminance(ink)], reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (fill, ink)  # WCAG 2, level AA


def test_colours_are_for_gradients_and_for_what_is_not_finite():
    assert {n.gradient for n in draw(network()).graph.nodes} == {None}
    for program in (network, lambda: with_gradients(0.0, *10.0 ** np.arange(-9, 6), np.nan)):
        drawing = draw(program(), gradients=True)
        drawn = plates(drawing.to_dot())
        for n in drawing.graph.nodes:
            fill, ink = colours(n.gradient, n.value)
            attributes = drawn[f"n{n.number}"].attributes
            assert attributes["fillcolor"] == fill
            assert attributes.get("fontcolor", "#000000") == ink
            finite = np.isfinite(n.value.norm)
            assert (n.gradient is None and finite) == (fill == "#ffffff")


# --- Alarms --------------------------------------------------------------------------------------


def alarms(tensor, name="x", **options):
    drawing = draw(tensor, **options)
    plate = plates(drawing.to_dot())[f"n{node(drawing, name=name).number}"]
    assert plate.alarms == node(drawing, name=name).flags
    assert ("penwidth" in plate.attributes) == bool(plate.alarms)
    return plate.alarms


@pytest.mark.parametrize(
    ("gradient", "alarm"),
    [
        (1.0, []),
        (0.0, ["zero gradient"]),
        (-0.0, ["zero gradient"]),
        (VANISHING * 0.99, ["vanishing gradient"]),
        (-VANISHING * 1.01, []),
        (5e-324, ["vanishing gradient"]),
        (EXPLODING * 0.99, []),
        (-EXPLODING * 1.01, ["exploding gradient"]),
        (1e306, ["exploding gradient"]),
        (np.inf, ["infinite gradient"]),
        (-np.inf, ["infinite gradient"]),
        (np.nan, ["NaN gradient"]),
    ],
)
def test_alarms_of_gradients(gradient, alarm):
    for shape in ((), (3,), (6, 5)):
        x = Tensor(np.ones(shape), requires_grad=True, name="x")
        y = (x * gradient).sum()
        assert alarms(y, gradients=True) == alarm
        assert alarms(y) == []


@pytest.mark.parametrize(
    ("value", "alarm"),
    [
        (1e300, []),
        (1.7e308, []),
        (np.inf, ["infinite value"]),
        (-np.inf, ["infinite value"]),
        (np.nan, ["NaN value"]),
    ],
)
def test_alarms_of_values(value, alarm):
    for shape in ((), (3,), (6, 5)):
        assert alarms(Tensor(np.full(shape, value), name="x")) == alarm
    assert alarms(Tensor([np.inf, np.nan, 1.0], name="x")) == ["NaN value"]


def test_the_size_of_gradients_that_backward_has_left_is_not_judged():
    """They may be of another result, or a sum over several."""
    x = Tensor(1.0, requires_grad=True, name="x")
    y = x * 1e4
    y.backward()
    assert alarms(y) == []
    x.grad = np.nan
    assert alarms(y) == ["NaN gradient"]


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, array_shapes(max_dims=4, max_side=4), elements=st.floats(-3, 1)))
def test_dead_units_are_those_that_let_no_gradient_through(data):
    x = Tensor(data, requires_grad=True)
    y = F.relu(x)
    y.sum().backward()
    through = x.grad.numpy()
    if data.ndim == 1:
        through = through.reshape(1, -1)
        dead, units = (0 if through.any() else through.size), through.size
    else:
        units = data.shape[-1]
        dead = sum(not through[..., i].any() for i in range(units))
    expected = [f"dead: {dead} of {units} units"] if dead else []
    drawing = draw(y.sum())
    assert node(drawing, operation="maximum").flags == expected
    assert dead_units(y.data) == (expected[0] if expected else None)


def test_only_a_relu_has_dead_units():
    x = Tensor(-np.ones((3, 2)), requires_grad=True)
    floor = Tensor(np.zeros((3, 2)), requires_grad=True)
    for y in (np.maximum(x, -2), np.maximum(x, floor), x * 0, F.softplus(x)):
        assert not any("dead" in flag for n in draw(y).graph.nodes for flag in n.flags)
    for y in (np.maximum(x, 0), np.maximum(0.0, x), F.relu(x)):
        assert any(n.flags == ["dead: 2 of 2 units"] for n in draw(y).graph.nodes)


# --- The three zero initialisations --------------------------------------------------------------

NAMES = "W1", "b1", "W2", "b2"


def zero_initialised(*zero):
    """One hidden layer, relu, softmax; some of the parameters are zero, all others are not."""
    rng = np.random.default_rng(5)
    sizes = {"W1": (4, 5), "b1": (5,), "W2": (5, 3), "b2": (3,)}
    parameters = {
        name: Tensor(rng.normal(size=n) * (name not in zero), requires_grad=True, name=name)
        for name, n in sizes.items()
    }
    x, labels = Tensor(rng.normal(size=(8, 4)), name="x"), np.array([0, 0, 0, 0, 1, 1, 1, 2])

    def loss():
        w1, b1, w2, b2 = parameters.values()
        return F.cross_entropy(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2), labels)

    return loss, list(parameters.values())


def read(loss):
    """What somebody sees who has nothing but the picture: which parameters get a gradient, whether
    one arrives at the relu, and whether its units are dead."""
    dot = draw(loss, gradients=True).to_dot()
    grey = legend()[0][1]
    seen = {}
    for plate in plates(dot).values():
        name = plate.lines[0].removeprefix("parameter ")
        name = "relu" if name.startswith("maximum") else name
        if name in (*NAMES, "relu"):
            assert ("zero gradient" in plate.alarms) == (plate.attributes["fillcolor"] == grey)
            seen[name] = "zero gradient" not in plate.alarms
            if name == "relu":
                seen["dead"] = "dead: 5 of 5 units" in plate.alarms
    return {name for name, flows in seen.items() if flows}


@pytest.mark.parametrize(
    ("zero", "first", "second"),
    [
        (NAMES, {"b2", "dead"}, {"b2", "dead"}),
        (("W1", "b1"), {"b2", "relu", "dead"}, {"b2", "relu", "dead"}),
        (("W2", "b2"), {"W2", "b2"}, {"W1", "b1", "W2", "b2", "relu"}),
        ((), {"W1", "b1", "W2", "b2", "relu"}, {"W1", "b1", "W2", "b2", "relu"}),
    ],
    ids=["all", "W1 and b1", "W2 and b2", "none"],
)
def test_zero_initialisations_are_recognised_from_their_pictures(zero, first, second):
    """[CS4342]: with all zero only b2 ever changes; with W1 and b1 zero the same, as h = 0 kills
    ∇W2 and relu'(0) = 0 kills what arrives at the relu; with W2 and b2 zero, step 1 moves only
    these, and from step 2 on all move."""
    loss, parameters = zero_initialised(*zero)
    optimizer = optim.SGD(parameters, lr=0.1)
    for expected in (first, second):
        seen = read(loss())
        assert seen == expected
        before = {p.name: p.numpy() for p in parameters}
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        moved = {p.name for p in parameters if np.any(p.numpy() != before[p.name])}
        assert moved == seen & set(NAMES), "the picture says what moves"


def test_a_closed_box_counts_its_alarms():
    loss, _ = zero_initialised("W1", "b1")
    closed = plates(draw(loss(), 0, gradients=True).to_dot())
    (relu,) = (plate for plate in closed.values() if plate.lines[0] == "relu")
    assert relu.alarms == ["dead: 5 of 5 units"]
    x = Tensor(1.0, requires_grad=True)
    for box, times in (("once", 1), ("thrice", 3)):
        with scope(box):
            for _ in range(times):
                x = x * 1e4
    drawing = draw(x * 1e-30, 0, gradients=True)
    by_name = {plate.lines[0]: plate.alarms for plate in plates(drawing.to_dot()).values()}
    assert by_name["thrice"] == ["vanishing gradient, 3 times"]
    assert by_name["once"] == ["vanishing gradient"]


# --- Where NumPy raises --------------------------------------------------------------------------

LARGEST, SMALLEST = np.finfo(float).max, 5e-324
EXTREMES = {
    "nan": [np.nan] * 20,
    "infinite": [1.0, np.inf, -np.inf] * 5,
    "few": [np.nan, np.inf, -np.inf, SMALLEST, LARGEST],
    "huge": [LARGEST, -LARGEST] * 10,
    "denormal": [SMALLEST] + [0.0] * 20,
    "both": [SMALLEST, LARGEST] * 10,
    "none": np.zeros((0, 3)),
    "float16": np.full(20, 65504, np.float16),
    "smallest float16": np.full(20, 6e-8, np.float16),
    "float32": np.array([3e38, -3e38, 1e-45] * 5, np.float32),
    "longdouble": np.full(20, np.finfo(np.longdouble).max),
    "integers": np.full(20, -(2**63)),
    "unsigned": np.full(20, 2**64 - 1, np.uint64),
    "bool": [True, False] * 10,
    "number": LARGEST,
    "number that is none": np.nan,
    "small number": SMALLEST,
    "half a number": np.float16(65504),
}
EXTREME_FUNCTIONS = {
    "multiply": lambda x: x * 1e300 * 1e-300,
    "divide": lambda x: 1 / x,
    "square": lambda x: x**2,
    "exp": lambda x: np.exp(x),
    "log": lambda x: np.log(x),
    "root": lambda x: x**0.5,
    "relu": F.relu,
}


def all_pictures(loss: Tensor) -> list[str]:
    drawings = [draw(loss)]
    if loss.requires_grad:
        drawings += [
            draw(loss, gradients=True, formulas=True),
            draw_backward(loss, formulas=True),
            draw_backward(loss, side="both"),
        ]
    return [text for drawing in drawings for text in (drawing.to_dot(), str(drawing))]


@pytest.mark.parametrize("function", EXTREME_FUNCTIONS)
@pytest.mark.parametrize("extreme", EXTREMES)
def test_pictures_do_not_depend_on_what_numpy_raises(extreme, function):
    data = np.asarray(EXTREMES[extreme])
    with np.errstate(all="ignore"):
        x = Tensor(data, requires_grad=data.dtype.kind == "f", name="x")
        loss = EXTREME_FUNCTIONS[function](x).sum()
        as_usual = all_pictures(loss)
    with np.errstate(all="raise"):
        assert all_pictures(loss) == as_usual


@pytest.mark.parametrize("extreme", EXTREMES)
def test_pages_films_and_notebooks_do_not_depend_on_what_numpy_raises(extreme, tmp_path):
    data = np.asarray(EXTREMES[extreme])
    with np.errstate(all="ignore"):
        loss = (Tensor(data, requires_grad=data.dtype.kind == "f") ** 2).sum()
    with np.errstate(all="raise"):
        assert "image/svg+xml" in draw(loss)._repr_mimebundle_()
        if loss.requires_grad:
            film = Film()
            film.record(loss)
            film.record(loss)
            film.save(tmp_path / "film.html")
            draw(loss, gradients=True).save(tmp_path / "x.html")
    for page in tmp_path.iterdir():
        text = page.read_text(encoding="utf-8")
        data = text.partition('id="data">')[2].partition("</script>")[0]
        json.loads(data, parse_constant=pytest.fail)  # browsers know no Infinity
