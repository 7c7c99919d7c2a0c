"""Pictures tell things apart by what they are, not by what they are equal to."""

import gc
import json
import weakref

import numpy as np
import pytest
from drawn import node, nodes

import tinygrad_reg.functional as F
from tinygrad_reg import Film, Tensor, draw, draw_backward, nn, scope
from tinygrad_reg.primitives import elementwise


def parameter(data=(1.0, 2.0), name="w"):
    return Tensor(data, requires_grad=True, name=name)


def inputs(result):
    """How many inputs a picture shows."""
    return len(nodes(draw(result), kind="input"))


# --- Tensors and arrays --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [[0.0, 0.0], [np.nan, 1.0], [[1.0]], 3.0, [True, False], [1, 2], []]
)
def test_tensors_of_the_same_numbers_are_two(data):
    w = parameter(np.ones(np.shape(data)))
    a, b = Tensor(data), Tensor(data)
    for result in (w * a + w * b, F.relu(w * a) + F.relu(w * b)):
        graph = draw(result.sum()).graph
        assert len([n for n in graph.nodes if n.kind in ("input", "mask")]) == 2
        both = draw_backward(result.sum(), side="both").graph
        assert len([n for n in both.nodes if n.kind in ("input", "mask")]) == 2 + 1  # and the seed
    assert len([n for n in draw((w * a + w * a).sum()).graph.nodes if n.kind != "operation"]) == 2


def test_the_order_of_equal_tensors_is_that_of_their_use():
    w, a, b = parameter(), Tensor([0.0, 0.0]), Tensor([0.0, 0.0])
    drawing = draw((w * b + w * a).sum())
    first, second = nodes(drawing, operation="multiply")
    assert first.inputs[1] is not second.inputs[1]


@pytest.mark.parametrize(
    "array",
    [np.zeros(2), np.array([np.nan, 1.0]), np.ones((3, 2)), np.array(2.0), np.array([1, 2])],
)
def test_an_array_used_twice_is_one_and_its_copy_another(array):
    w = parameter()
    assert inputs((w * array + w * array).sum()) == 1
    assert inputs((w * array + w * array.copy()).sum()) == 2
    assert inputs((w * array + w * Tensor(array)).sum()) == 2
    assert inputs((w * array.tolist() + w * array.tolist()).sum()) == (2 if array.ndim else 0)


def test_arrays_that_live_one_after_the_other_are_several():
    w = parameter()
    total = w
    for _ in range(50):  # each in the memory of the one before
        total = total + w * np.zeros(2)
    gc.collect()
    assert inputs(total.sum()) == 50


def test_an_array_that_was_written_into_is_another():
    w, array = parameter(), np.zeros(2)
    first = w * array
    array[0] = 1.0
    second = w * array
    array[0] = 0.0
    third = w * array
    drawing = draw((first + second + third).sum())
    assert [n.value.rows for n in nodes(drawing, kind="input")] == [
        (("0.0", "0.0"),),
        (("1.0", "0.0"),),
    ]


def test_a_batch_is_one_input_to_all_layers_that_use_it():
    class Skip(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return x + self.layer(x)

    batch = np.ones((4, 3), np.float32)
    assert inputs(Skip()(batch).sum()) == 1


def test_no_picture_keeps_an_array_alive():
    class Array(np.ndarray):
        """With a place for what is called when it is gone."""

    array = np.ones(3).view(Array)
    gone = []
    weakref.finalize(array, gone.append, True)
    result = (parameter(np.ones(3)) * array).sum()
    drawing = draw(result)
    del array
    gc.collect()
    assert gone
    assert inputs(result) == len(nodes(drawing, kind="input")) == 1


# --- Numbers -------------------------------------------------------------------------------------


def test_numbers_are_shown_as_they_are():
    w = parameter()
    numbers = [0, 0.0, -0.0, False, np.float64(0), np.int64(0), float("nan"), float("nan")]
    total = w
    for number in numbers:
        total = total + number
    shown = [n.inputs[1] for n in nodes(draw(total), operation="add")]
    assert shown == ["0", "0.0", "-0.0", "False", "0.0", "0", "nan", "nan"]


@pytest.mark.parametrize("zero", [0, 0.0, -0.0, False, np.float64(0), np.float32(0), np.int64(0)])
def test_a_relu_is_one_with_any_zero(zero):
    x = parameter(-np.ones((3, 2), np.float32))
    assert node(draw(np.maximum(x, zero)), operation="maximum").flags == ["dead: 2 of 2 units"]


# --- What repeats --------------------------------------------------------------------------------


def test_what_repeats_does_not_depend_on_whether_leaves_are_equal():
    def outline(shifts):
        x = parameter()
        for shift in shifts:
            with scope("step"):
                x = np.tanh(x + shift)
        graph = draw(x.sum(), fold=True).view.graph
        return [(box.name, box.times) for box in graph.boxes], [n.kind for n in graph.nodes]

    equal, others = ([Tensor([k, 1.0]) for k in ks] for ks in ([1.0] * 6, np.arange(6.0)))
    assert outline(equal) == outline(others)
    assert outline(equal)[0] == [("repeated", 6), ("step", 1)]
    assert outline(equal[:1] * 6)[0] == [("step", 6)]  # the same one each time


@pytest.mark.usefixtures("open_table")
def test_functions_of_one_name_are_several():
    first, second = (lambda x: 2 * x), (lambda x: 3 * x)
    for function in (first, second):
        elementwise(function, lambda g, out, x: g)
    x = parameter()
    for _ in range(4):
        x = x.apply(second, x.apply(first, x))
    folded = draw(x, fold=True).view.graph
    assert [box.times for box in folded.boxes] == [4]
    assert len([n for n in folded.nodes if n.kind == "operation"]) == 2


@pytest.mark.usefixtures("open_table")
def test_only_numpys_own_functions_have_signs():
    def add(x, y):
        return x - y

    elementwise(add, lambda g, out, x, y: g, lambda g, out, x, y: -g)
    w = parameter()
    drawing = draw(w.apply(add, w, w) + w)
    assert ">, <" in drawing.to_dot()
    assert drawing.to_dot().count("> + <") == 1


# --- Names ---------------------------------------------------------------------------------------


def test_a_name_that_might_be_a_number_is_told_apart():
    names = "#3", "x", "x", "x#2", " ", "a\nb", "a\\nb"
    x = parameter(1.0, "#3")
    for name in names:
        x = x * parameter(1.0, name)
    references = [line.split(" = ")[0].split("  ")[0] for line in str(draw(x)).splitlines()[1:]]
    assert len(set(references)) == len(references) == len(draw(x).graph.nodes)
    assert {"#3#1", "#3#2", "x#4", "x#6", "x#2#8"} <= set(references)


# --- Films ---------------------------------------------------------------------------------------


def test_batches_that_happen_to_be_equal_are_the_same_graph():
    w, film = parameter(), Film()
    for a, b in (([1.0, 2.0], [3.0, 4.0]), ([0.0, 0.0], [0.0, 0.0])):
        film.record((w * Tensor(a) + w * Tensor(b)).sum())
        film.record((w * np.array(a) + w * np.array(b)).sum())
    assert len(film.frames) == 4
    same = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="the graph differs"):
        film.record((w * same + w * same).sum())


def test_metadata_of_a_film_is_that_of_the_frame(tmp_path):
    film = Film()
    for n in (4, 3):
        film.record((parameter(np.ones((n, 2))).reshape(2 * n) ** 2).sum())
    film.save(tmp_path / "film.html")
    page = (tmp_path / "film.html").read_text(encoding="utf-8")
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert data["nodes"][1]["call"] == "reshape(w, shape=(8,))"
    assert [frame["nodes"]["2"].get("call") for frame in data["frames"]] == [
        None,
        "reshape(w, shape=(6,))",
    ]
