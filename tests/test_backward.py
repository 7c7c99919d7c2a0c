"""The reverse sweep: what it adds up, in which order, at which cost, and what it leaves behind."""

import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_reg as tg
from tinygrad_reg import Tensor, nn, optim, primitives
from tinygrad_reg import functional as F
from tinygrad_reg.graph import sweep


def leaf(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def test_a_reused_value_gets_the_sum_of_its_gradients():
    a = Tensor(3.0, requires_grad=True)
    b = a + a
    c = b * b + b
    c.backward()
    assert a.grad.item() == 2 * (2 * 6) + 2


def test_gradients_accumulate_over_calls_until_they_are_forgotten():
    a = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        (a * 3).sum().backward()
    np.testing.assert_array_equal(a.grad.data, [6, 6])
    a.grad = None
    (a * 3).sum().backward()
    np.testing.assert_array_equal(a.grad.data, [3, 3])


def test_gradients_that_begin_as_one_array_stay_independent():
    # add hands the same g to both: adding to one of them in place would change the other.
    a, b = leaf(3), leaf(3)
    ((a + b) + a).sum().backward()
    (a + b).sum().backward()
    np.testing.assert_array_equal(a.grad.data, [3, 3, 3])
    np.testing.assert_array_equal(b.grad.data, [2, 2, 2])


def test_the_same_graph_can_be_swept_twice():
    a = leaf(2, 3)
    loss = (a.exp() * a).sum()
    loss.backward()
    once = a.grad.numpy()
    loss.backward()
    np.testing.assert_array_equal(a.grad.data, 2 * once)


def test_a_given_gradient_makes_a_vector_jacobian_product():
    a = leaf(3)
    (a * Tensor([1.0, 2.0, 3.0])).backward([1.0, 10.0, 100.0])
    np.testing.assert_array_equal(a.grad.data, [1, 20, 300])


def test_intermediate_results_keep_no_gradient():
    a = leaf(3)
    b = a * 2
    b.sum().backward()
    assert b.grad is None


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda t: t.backward(), ValueError, r"shape \(2, 3\) has no single derivative.*\.sum\(\)"),
        (lambda t: t.backward(np.ones(3)), ValueError, r"gradient has shape \(3,\), the tensor"),
        (lambda t: t.detach().backward(), RuntimeError, "no gradient flows into this tensor"),
    ],
)
def test_wrong_calls_of_backward_say_what_to_do(call, kind, words):
    with pytest.raises(kind, match=words):
        call(leaf(2, 3))


def test_newest_first_is_reverse_topological_order():
    a = leaf(2)
    b = a * 2
    c = b + a
    d = c * b
    order = [node for node, _ in sweep(d.node, np.ones(2))]
    assert [id(node) for node in order] == [id(t.node) for t in (d, c, b, a)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_tie_with_a_result_of_shape_is_shared_in_every_type(dtype, create_graph):
    # The value of a 0-d tensor is a NumPy scalar, of which float64's is also a Python float.
    x = Tensor(np.array([1, 3], dtype), requires_grad=True)
    np.minimum(x, x.max()).sum().backward(create_graph=create_graph)  # the identity
    np.testing.assert_array_equal(x.grad.data, [1, 1])
    x, y = (Tensor(np.array(2, dtype), requires_grad=True) for _ in range(2))
    np.maximum(x * 1, y * 1).backward(create_graph=create_graph)
    assert (x.grad.item(), y.grad.item()) == (0.5, 0.5)


def test_accumulated_gradients_keep_their_graph_under_no_grad():
    x = Tensor(2.0, requires_grad=True)
    y = x**3
    with tg.no_grad():
        y.backward(create_graph=True)
        y.backward(create_graph=True)
    first, x.grad = x.grad, None
    first.backward()
    assert x.grad.item() == 2 * 6 * 2


def test_a_gradient_that_nobody_needs_is_not_computed(monkeypatch):
    calls = []
    left, right = primitives.table[np.matmul]
    counted = tuple(
        lambda *args, rule=rule, side=side: calls.append(side) or rule(*args)
        for side, rule in (("input", left), ("weight", right))
    )
    monkeypatch.setitem(primitives.table, np.matmul, counted)
    x, weight = Tensor(np.ones((5, 3))), leaf(3, 2)
    (x @ weight).sum().backward()
    assert calls == ["weight"]


def test_grad_computes_nothing_for_parameters(monkeypatch):
    calls = []
    left, right = primitives.table[np.matmul]
    spy = (left, lambda *args: calls.append("weight") or right(*args))
    monkeypatch.setitem(primitives.table, np.matmul, spy)
    weight = leaf(3, 2)
    tg.grad(lambda x: (x @ weight).sum())(np.ones((5, 3)))
    assert calls == []


def test_a_wrong_shape_from_a_rule_is_caught_where_nothing_is_broadcast(monkeypatch):
    monkeypatch.setitem(primitives.table, primitives.reshape, (lambda g, out, x, shape: g,))
    with pytest.raises(AssertionError, match="a rule of reshape gave a gradient of shape"):
        leaf(2, 3).reshape(6).sum().backward()


def test_a_million_operations_deep_there_is_no_recursion():
    x = y = Tensor(1.0, requires_grad=True)
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1
    del y  # frees the whole chain, which must not overflow the stack either


def test_backward_runs_each_rule_once_however_many_paths_there_are(monkeypatch):
    calls = []
    rules = primitives.table[np.add]
    counted = tuple(lambda *args, rule=rule: calls.append(1) or rule(*args) for rule in rules)
    monkeypatch.setitem(primitives.table, np.add, counted)
    for n in 50, 500:
        y = Tensor(1.0, requires_grad=True)
        for _ in range(n):
            y = y + y
        calls.clear()
        y.backward()
        assert len(calls) == 2 * n  # so the work grows as the graph does: benchmarks/depth.py


def test_a_diamond_with_2_to_the_60_paths_takes_60_steps():
    x = y = Tensor(1.0, requires_grad=True)
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_a_graph_is_freed_with_its_last_result_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        a = leaf(3)
        b = a * 2
        inner = weakref.ref(b)
        loss = (b * b).sum()
        loss.backward(create_graph=True)
        a.grad = None
        del b, loss
        assert inner() is None
    finally:
        gc.enable()


def test_1000_training_steps_leave_memory_flat_with_the_garbage_collector_off():
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(8, 16, rng=rng), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5, rng=rng),
        nn.Linear(16, 3, rng=rng),
    )  # fmt: skip
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = rng.standard_normal((32, 8), dtype=np.float32), rng.integers(0, 3, 32)

    def steps(n):
        for _ in range(n):
            loss = F.cross_entropy(model(Tensor(x)), y) + F.l2_penalty(model.weights(), 1e-4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    steps(10)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        steps(1100)  # Python 3.10 grows caches at the 1,024th call of a function
        before, _ = tracemalloc.get_traced_memory()
        steps(1000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 1024  # a single node with its array is larger


def test_no_grad_is_for_one_thread_alone():
    t = leaf(2)
    inside, done = threading.Event(), threading.Event()
    recorded = []

    def other():
        inside.wait()
        recorded.append(not (t * 2).is_leaf)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with tg.no_grad():
        inside.set()
        done.wait()
        assert (t * 2).is_leaf
    thread.join()
    assert recorded == [True]


def test_backward_nodes_carry_the_scope_of_the_node_that_caused_them():
    x = leaf(3)
    with tg.scope("block"):
        y = (x.exp() * x).sum()
    exp = next(node for node, _ in sweep(y.node, np.float64(1)) if node.function is np.exp)
    y.backward(create_graph=True)
    history = [node for node, _ in sweep(x.grad.node, np.ones(3))]
    caused = [node for node in history if node.scope.cause == exp.number]
    assert caused
    assert all([s.name for s in node.scope.path] == ["block", "∂ exp"] for node in caused)


def test_scopes_nest_stay_apart_and_end_with_their_block():
    x = leaf(2)

    class Twice(nn.Module):
        def __init__(self):
            self.first, self.second = nn.ReLU(), nn.ReLU()

        def forward(self, x):
            return self.second(self.first(x))

    inner, outer = Twice()(x), x + 1
    steps = sweep(inner.node, np.ones(2))
    paths = [node.scope.path for node, _ in steps if node.function]
    assert [[s.name for s in path] for path in paths] == [["Twice", "ReLU", "relu"]] * 2
    assert paths[0][0] is paths[1][0]
    assert paths[0][1] is not paths[1][1]
    assert outer.node.scope.path == ()

    with pytest.raises(ValueError, match="probability of dropping"):
        F.dropout(x, 2.0)
    assert (x + 1).node.scope.path == ()


def test_the_gradients_of_a_reused_tensor_are_added_up_in_its_own_scope():
    x = leaf(3)
    with tg.scope("block"):
        h = x.exp()
    y = (h * h * x).sum()
    y.backward(create_graph=True)
    history = [node for node, _ in sweep(x.grad.node, np.ones(3))]
    (at_h,) = (n for n in history if n.function is np.add and n.scope.cause == h.node.number)
    assert str(at_h.scope) == "block/∂ exp"
    (at_x,) = (n for n in history if n.function is np.add and n.scope.cause == x.node.number)
    assert str(at_x.scope) == "", "a leaf stands outside of all boxes"


def test_second_order_of_a_leaf_that_was_made_under_no_grad():
    with tg.no_grad():
        w = Tensor(3.0).detach()
    w.requires_grad = True
    y = w**3 + w**2
    y.backward(create_graph=True)
    g, w.grad = w.grad, None
    (g * w).backward()
    assert w.grad.item() == 93.0  # of 3 w³ + 2 w²: 9 w² + 4 w
