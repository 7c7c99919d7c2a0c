"""`save_memory`: the same gradients from less, and a clear word where that is too little."""

import asyncio
import gc
import tracemalloc
import weakref
from functools import partial

import numpy as np
import pytest
from catalogue import catalogue, each_entry, pull_back, sample

import tinygrad_reg as tg
from tinygrad_reg import (
    StaleValueError,
    Tensor,
    detect_anomaly,
    grad,
    memory,
    nn,
    optim,
    save_memory,
)
from tinygrad_reg import functional as F
from tinygrad_reg.blocks import observing
from tinygrad_reg.drawing.read import behind
from tinygrad_reg.graph import new_node
from tinygrad_reg.memory import arrays_read, is_placeholder, is_slim, placeholder, read_by
from tinygrad_reg.scope import Observer, program

MIB = 2**20


def leaf(*shape):
    return Tensor(np.random.default_rng(0).uniform(0.5, 1.5, shape), requires_grad=True)


# --- The same gradients --------------------------------------------------------------------------


@each_entry
def test_gradients_are_the_same_bit_for_bit(entry):
    leaves = entry.leaves()
    with np.errstate(all="ignore"):
        result = entry.f(*leaves)
        u = np.random.default_rng(0).uniform(0.5, 1.5, result.shape).astype(result.dtype)
        expected = pull_back(result, u, leaves)
        with save_memory():
            slim = entry.f(*leaves)
        found = pull_back(slim, u, leaves)
    np.testing.assert_array_equal(slim.data, result.data)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)


def train(steps, around):
    rng = np.random.default_rng(1)
    layers = [nn.Linear(5, 7, rng=rng), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.3, rng=rng)]
    model = nn.Sequential(*layers, nn.DropConnectLinear(7, 3, rng=rng))
    optimizer = optim.Adam(model.parameters())
    x, y = rng.standard_normal((9, 5)).astype(np.float32), rng.integers(3, size=9)
    for _ in range(steps):
        optimizer.zero_grad()
        with around():
            loss = F.cross_entropy(model(x), y) + F.l1_penalty(model.weights(), 0.1)
        loss.backward()
        optimizer.step()
    return model.state_dict()


def test_a_whole_training_is_the_same_bit_for_bit():
    slim, whole = train(5, save_memory), train(5, lambda: tg.scope("nothing"))
    for name in whole:
        np.testing.assert_array_equal(slim[name], whole[name])


def test_functions_to_gradient_functions_work_in_it():
    x = leaf(3).detach()
    with save_memory():
        value, g = tg.value_and_grad(lambda x: (x**3).sum())(x)
    np.testing.assert_allclose(value.data, (x.data**3).sum())
    np.testing.assert_allclose(g.data, 3 * x.data**2)


def test_it_is_a_decorator_and_holds_in_coroutines():
    @save_memory()
    def square(x):
        return x * x

    @save_memory()
    async def cube(x):
        await asyncio.sleep(0)
        return x * x * x

    x = leaf(2)
    assert is_slim(square(x).node)
    assert is_slim(asyncio.run(cube(x)).node)
    assert not is_slim((x * x).node)


def test_graphs_of_both_kinds_fit_together():
    x = leaf(3)
    with save_memory():
        inner = x.exp()
    outer = (inner * x).sum()
    outer.backward()
    np.testing.assert_allclose(x.grad.data, (x.data + 1) * np.exp(x.data))
    with pytest.raises(RuntimeError, match="behind this result of exp was recorded"):
        outer.backward()  # what was recorded in it serves once

    x.grad = None
    inner = x.exp()
    with save_memory():
        outer = (inner * x).sum()
    outer.backward()
    inner.sum().backward()  # recorded whole, so it is still there
    np.testing.assert_allclose(x.grad.data, (x.data + 2) * np.exp(x.data))


# --- From less -----------------------------------------------------------------------------------


def kept(f, *leaves):
    """Which arrays a node keeps: 0 is the result, 1, 2, … are the arguments."""
    with save_memory():
        node = f(*leaves).node
    arrays = [node.value, *node.values]
    return {i for i, x in enumerate(arrays) if not any(n == 0 for n in np.asarray(x).strides)}


X, Y = leaf(3, 3), leaf(3, 3)
CONSTANT = Tensor(np.ones((3, 3)))


@pytest.mark.parametrize(
    ("f", "arrays"),
    [
        (lambda: X + Y, set()),
        (lambda: X - Y, set()),
        (lambda: -X, set()),
        (lambda: X * Y, {1, 2}),
        (lambda: X * CONSTANT, {2}),
        (lambda: CONSTANT * X, {1}),
        (lambda: X / Y, {0, 2}),
        (lambda: X.exp(), {0}),
        (lambda: X.log(), {1}),
        (lambda: X.sqrt(), {0}),
        (lambda: X.tanh(), {0}),
        (lambda: X**2, {1}),
        (lambda: X @ Y, {1, 2}),
        (lambda: CONSTANT @ X, {1}),
        (lambda: X @ CONSTANT, {2}),
        (lambda: X.sum(axis=0), set()),
        (lambda: X.max(axis=0), {0, 1}),
        (lambda: X.reshape(9), set()),
        (lambda: X.T, set()),
        (lambda: X[1:], set()),
        (lambda: X.astype(np.float32), set()),
        (lambda: np.broadcast_to(X, (2, 3, 3)), set()),
        (lambda: np.vdot(X, Y), {1, 2}),
        (lambda: F.sum_of_squares(X, Y), {1, 2}),
    ],
)
def test_it_keeps_what_rules_read(f, arrays):
    assert kept(f) - {0} == arrays - {0}
    with save_memory():
        value = f().node.value
    if np.ndim(value):
        assert (0 in arrays) == (0 not in value.strides)


def test_intermediate_results_are_freed_when_nothing_reads_them():
    def chain(x):
        h = x
        for _ in range(10):
            h = h + 1  # ten arrays of 1 MiB that no rule reads
        return h.sum()

    x = Tensor(np.ones(MIB // 8), requires_grad=True)

    def held(around):
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        with around():
            loss = chain(x)
        return (tracemalloc.get_traced_memory()[0] - before) / MIB, loss

    tracemalloc.start()
    try:
        whole, _ = held(lambda: tg.scope("nothing"))
        slim, _ = held(save_memory)
    finally:
        tracemalloc.stop()
    assert whole > 9.9
    assert slim < 0.1


def test_backward_frees_what_rules_have_read():
    x = Tensor(np.ones(MIB // 8), requires_grad=True)
    with save_memory():
        h = x
        for _ in range(10):
            h = h.tanh()  # ten arrays of 1 MiB, each read by its rule
        loss = h.sum()
    del h
    gc.collect()
    tracemalloc.start()
    try:
        loss.backward()
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now < 1.1 * MIB  # x.grad: what was freed had been there before the tracing
    assert most < 5 * MIB  # a few temporary arrays, but not one for each operation


def test_a_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(3)
        with save_memory():
            h = x * x
            loss = h.exp().sum()
        nodes = weakref.ref(h), weakref.ref(loss)
        del h
        loss.backward()
        del loss
        assert [node() for node in nodes] == [None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- Where that is too little --------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda loss: loss.backward(create_graph=True),
        lambda loss: (loss * 2).backward(create_graph=True),
        tg.draw,
        lambda loss: tg.draw(loss * 2),
        lambda loss: tg.draw(loss, gradients=True),
        lambda loss: tg.draw_backward(loss, LEAF),
        lambda loss: tg.Film().record(loss),
    ],
)
def test_it_can_be_used_for_nothing_else(use):
    with save_memory():
        loss = (LEAF.exp() * LEAF).sum()
    with pytest.raises(RuntimeError, match=r"result of sum .* save_memory\(\).* outside of that"):
        use(loss)
    assert LEAF.grad is None


LEAF = leaf(2, 3)


def test_it_serves_once():
    x = leaf(2, 3)
    with save_memory():
        shared = x.exp()
        first, second = shared.sum(), (shared * x).sum()
    first.backward()
    once = x.grad.numpy()
    for result, operation in (first, "sum"), (second, "exp"):
        with pytest.raises(RuntimeError, match=f"behind this result of {operation} was recorded"):
            result.backward()
        np.testing.assert_array_equal(x.grad.data, once)
    assert first.item() == np.exp(x.data).sum()  # results stay


def test_gradients_in_it_have_no_gradients():
    for x in 2.0, leaf(3) * 2:  # the gradient at a result would go on to what it was made of
        with save_memory(), pytest.raises(RuntimeError, match="save_memory"):
            grad(lambda x: grad(lambda x: (x**3).sum())(x).sum())(x)


def test_a_value_that_was_replaced_is_noticed():
    x = leaf(3)
    with save_memory():
        loss = (x * x).sum()
    x.data = np.zeros(3)
    with pytest.raises(StaleValueError, match="in multiply"):
        loss.backward()
    assert x.grad is None


def test_detect_anomaly_records_everything():
    x = Tensor([1.0, 0.0], requires_grad=True, name="x")
    with save_memory(), detect_anomaly():
        y = x.sqrt()
        with pytest.raises(tg.AnomalyError, match=r"gradient of sqrt.*(?s:.)*input 0 'x': 0 to 1"):
            y.sum().backward()
    assert "sqrt" in str(tg.draw(y))


def test_detect_anomaly_finds_what_was_recorded_before_it():
    x = Tensor([1.0, 0.0], requires_grad=True)
    with save_memory():
        slim = x * 1
        after = slim.sqrt().sum()
    mixed = slim.sqrt().sum()
    for result in after, mixed:
        with detect_anomaly(), pytest.raises(tg.AnomalyError, match="sqrt") as error:
            result.backward()
        assert "with respect to input 0 has 1 inf" in str(error.value)
        last = str(error.value).splitlines()[-1]
        assert last == "  input 0: not kept under save_memory(), of shape (2,)" or result is mixed


def test_an_attempt_to_draw_leaves_the_graph_for_its_backward():
    x = leaf(3)
    with save_memory():
        loss = (x * x).sum()
        for draw in tg.draw, tg.draw_backward:
            with pytest.raises(RuntimeError, match="save_memory"):
                draw(loss)
        with pytest.raises(RuntimeError, match="save_memory"):
            tg.draw(loss, gradients=True)
    loss.backward()
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)


def test_where_another_observer_watches_everything_is_kept():
    class Watch(Observer):
        def pulled(self, node, position, g, part):
            seen.append(node.inputs[position].value)

    seen = []
    x = leaf(3)
    with save_memory(), observing(Watch()):
        loss = (x + 1).exp().sum()
    loss.backward()
    assert np.isfinite(np.concatenate([np.ravel(value) for value in seen])).all()
    tg.draw(loss)


@pytest.mark.parametrize("f", [np.multiply, np.maximum, np.power], ids=lambda f: f.__name__)
def test_a_result_whose_memory_was_freed_is_a_constant_of_later_graphs(f):
    """Its node has forgotten the value; the tensor has not."""
    x = leaf(3)
    with save_memory():
        h = x + 1
    found = grad(lambda w: f(w, h).sum())(Tensor([1.0, 2.0, 3.0]))
    expected = grad(lambda w: f(w, h.numpy()).sum())(Tensor([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(found.data, expected.data)


# --- What rules read -----------------------------------------------------------------------------


def node_of(rule, *arrays, **metadata):
    """A node whose first input has this rule."""
    node = new_node(np.ones(3), program, None, np.exp, arrays, arrays, [(0, rule)], metadata)
    return rule, node


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        (lambda g, out, x, y: g, set()),
        (lambda g, out, x, y: g * y, {2}),
        (lambda g, out, x, y: g * out, {0}),
        (lambda g, out, x, y: g.reshape(x.shape).astype(y.dtype), set()),
        (lambda g, out, x, y: g * x.ndim + y.shape[0], set()),
        (lambda g, out, x, y: np.where(x > 0, g, 0), {1}),
        (lambda g, out, x, y: g if x.ndim == 1 else g * y, set()),
        (lambda g, out, *arrays: g * arrays[1], {2}),
        (partial(lambda i, g, out, *arrays: g * arrays[i], 0), {1}),
        (lambda g, out, x, y: g if x[0] > 0 else -g, {0, 1, 2}),  # symbols cannot follow it
        (lambda g, out, x, y: g * float(x[0]), {0, 1, 2}),
    ],
)
def test_what_a_rule_reads_is_found_by_running_it_on_symbols(rule, read):
    assert read_by(*node_of(rule, np.ones(3), np.ones(3))) == read


def test_no_rule_of_the_table_reads_more_than_it_must():
    """Whoever writes a rule that reads its argument for its shape alone will see it here."""
    reads = {}
    for entry in (entry for name in catalogue for entry in sample(name, 5)):
        for node in behind(entry.f(*entry.leaves()).node):
            if node.edges:
                name = node.function.__name__
                reads[name] = reads.get(name, frozenset()) | arrays_read(node)
    assert {name for name, read in reads.items() if not read} == {
        "add", "subtract", "negative", "positive", "conjugate", "degrees", "rad2deg", "radians",
        "deg2rad", "sum", "cumsum", "broadcast_to", "sum_to", "reshape", "transpose", "astype",
        "getitem", "scatter_add", "concatenate", "sliding_window_view", "add_windows",
    }  # fmt: skip
    assert {name for name, read in reads.items() if 0 in read} == {
        "divide", "power", "exp", "sqrt", "tanh", "max", "min", "maximum", "minimum", "sigmoid",
        "reciprocal", "cbrt", "expm1", "exp2", "tan", "hypot", "fmod", "cumprod", "recurrence",
        "inv", "cofactors", "solve", "cholesky",
    }  # fmt: skip


def test_what_a_rule_reads_may_depend_on_shapes_and_keywords():
    def rule(g, out, x, y, *, swap):
        return g * (y if swap or x.ndim == 2 else x)

    nodes = [
        node_of(rule, np.ones(shape), np.ones(shape), swap=swap)[1]
        for shape in ((3,), (1, 3))
        for swap in (False, True)
    ]
    assert [arrays_read(node) for node in nodes] == [{1}, {2}, {2}, {2}]


def test_what_is_known_of_rules_is_bounded(monkeypatch):
    monkeypatch.setattr(memory, "MOST_KNOWN", 10)
    for n in range(1, 30):
        with save_memory():
            leaf(n) * leaf(n)
    assert len(memory.known) <= 10


def test_a_placeholder_has_shape_and_type_and_nothing_in_it():
    array = np.ones((3, 1, 4), np.float32)
    empty = placeholder(array)
    assert (empty.shape, empty.dtype) == (array.shape, array.dtype)
    assert np.isnan(empty).all()
    assert is_placeholder(empty)
    assert is_placeholder(placeholder(np.ones(())))
    for other in 2.5, np.float32(2.5), np.arange(3):
        assert placeholder(other) is other
        assert not is_placeholder(other)
    assert not is_placeholder(array)


def test_what_is_read_may_depend_on_types_and_numbers():
    def by_type(g, out, x, y):
        return g if x.dtype == np.float32 else g * x

    def by_number(g, out, x, y):
        return g if y == 1 else g * x

    assert arrays_read(node_of(by_type, np.ones(3, np.float32), 1)[1]) == set()
    assert arrays_read(node_of(by_type, np.ones(3), 1)[1]) == {1}
    assert arrays_read(node_of(by_number, np.ones(3), 1)[1]) == set()
    assert arrays_read(node_of(by_number, np.ones(3), 2)[1]) == {1}


def test_an_observer_that_equals_everything_is_not_taken_for_the_saver():
    class Equal(Observer):
        def __eq__(self, other):
            return True

        __hash__ = None

    x = Tensor([1.0, 2.0], requires_grad=True)
    with observing(Equal()):
        y = (x.exp() * x).sum()
    assert not is_slim(y.node)
    assert "exp" in str(tg.draw(y))
