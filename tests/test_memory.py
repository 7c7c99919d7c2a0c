"""`save_memory`: the same gradients from less, and a clear word where that is too little."""

import asyncio
import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from catalogue import each_entry, pull_back

import tinygrad_reg as tg
from tinygrad_reg import StaleValueError, Tensor, detect_anomaly, grad, nn, optim, save_memory
from tinygrad_reg import functional as F
from tinygrad_reg.memory import SlimNode, husk, is_husk, names_read, positions_read
from tinygrad_reg.primitives import EachPosition, table

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
    assert type(square(x).node) is SlimNode
    assert type(asyncio.run(cube(x)).node) is SlimNode
    assert (x * x).node is None


def test_graphs_of_both_kinds_fit_together():
    x = leaf(3)
    with save_memory():
        inner = x.exp()
    outer = (inner * x).sum()
    outer.backward()  # recorded whole, so it releases nothing
    outer.backward()
    np.testing.assert_allclose(x.grad.data, 2 * (x.data + 1) * np.exp(x.data))

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
    arrays = [node._data, *node.values]
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
        data = f().node._data
    if np.ndim(data):
        assert (0 in arrays) == (0 not in data.strides)


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
        lambda loss: loss.inputs[0],
        lambda loss: len(loss.edges),
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


# --- What rules read -----------------------------------------------------------------------------


def test_names_are_read_unless_it_is_for_their_shape_or_type():
    def rule(g, out, x, y, z, w):
        if x.ndim == 1 and y.dtype == g.dtype:
            return g.reshape(z.shape) * w.shape[0]
        return g + w[0]

    assert names_read(rule.__code__) & {"g", "out", "x", "y", "z", "w"} == {"g", "w"}
    assert positions_read(rule, 4) == {4}
    assert positions_read(lambda *arrays: arrays, 3) == {0, 1, 2, 3}
    assert positions_read(lambda g, *arrays: arrays, 3) == {0, 1, 2, 3}
    assert positions_read(lambda g, out, *arrays: g, 3) == set()
    assert positions_read(max, 2) == {0, 1, 2}  # not Python: everything, to be safe


def test_no_rule_of_the_table_reads_more_than_it_must():
    """Whoever writes a rule that reads its argument for its shape alone will see it here."""
    reads = {}
    for function, rules in table.items():
        rules = [next(iter(rules))] if isinstance(rules, EachPosition) else rules
        read = [positions_read(rule, 3) for rule in rules if rule is not None]
        reads[function.__name__] = frozenset().union(*read)
    assert {name for name, read in reads.items() if not read} == {
        "add", "subtract", "negative", "sign", "sum", "broadcast_to", "reshape", "transpose",
        "astype", "getitem", "scatter_add",
    }  # fmt: skip
    assert {name for name, read in reads.items() if 0 in read} == {
        "divide", "power", "exp", "sqrt", "tanh", "max", "min",
    }  # fmt: skip


def test_a_husk_has_shape_and_type_and_nothing_in_it():
    array = np.ones((3, 1, 4), np.float32)
    empty = husk(array)
    assert (empty.shape, empty.dtype) == (array.shape, array.dtype)
    assert np.isnan(empty).all()
    assert is_husk(empty)
    assert is_husk(husk(np.ones(())))
    for other in 2.5, np.float32(2.5), np.arange(3):
        assert husk(other) is other
        assert not is_husk(other)
    assert not is_husk(array)
