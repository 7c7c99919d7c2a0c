"""`detect_anomaly`: the first NaN or infinity, with operation, scope and line; and what to expect
of dangerous inputs without it."""

import asyncio
import gc
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import numpy as np
import pytest

from tinygrad_reg import AnomalyError, Tensor, detect_anomaly, grad, nn, optim, scope
from tinygrad_reg import functional as F


def message(f):
    """What is said of f, when it runs under detect_anomaly."""
    with pytest.raises(AnomalyError) as caught, detect_anomaly():
        f()
    return str(caught.value)


def leaf(*values, name="x"):
    return Tensor(np.array(values), requires_grad=True, name=name)


FORWARD = {
    "log 0": (lambda: leaf(1.0, 0.0).log(), r"log of shape \(2,\) gave 1 -inf among 2 numbers, "
              r"the first at \(1,\)", r"input 0 'x': 0 to 1, of shape \(2,\)"),
    "log of a negative number": (lambda: leaf(-1.0).log(), "gave nan", "input 0 'x': -1.0"),
    "0/0": (lambda: leaf(0.0) / leaf(0.0, name="y"), "divide .* gave nan", "input 1 'y': 0.0"),
    "1/0": (lambda: 1 / leaf(0.0), "divide .* gave inf", "input 0: 1"),
    "0 ** -1": (lambda: leaf(0.0) ** -1, "power .* gave inf", "input 1: -1"),
    "sqrt of a negative number": (lambda: leaf(-4.0, 4.0).sqrt(), "sqrt .* gave 1 nan", "-4 to 4"),
    "an exponential too large": (lambda: leaf(1.0, 800.0).exp(), "exp .* gave 1 inf", "1 to 800"),
    "float32 too small": (lambda: leaf(1e200).astype(np.float32), "astype .* gave inf", "1e\\+200"),
    "two kinds": (lambda: leaf(0.0, np.nan, np.inf, np.inf) * 1,
                  r"1 nan and 2 inf among 4 numbers, the first at \(1,\)", "x"),
    "data that is NaN already": (lambda: nn.Linear(2, 3)(Tensor([[1, np.nan]], name="data")),
                                 "matmul of .* gave 3 nan among 3", "'data': already 1 nan among"),
    "nothing recorded": (lambda: np.log(Tensor(0.0)), "log .* gave -inf", "input 0: 0.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARD)
def test_the_first_bad_result_is_named_with_its_inputs(name):
    f, what, inputs = FORWARD[name]
    said = message(f)
    assert re.search(what, said.splitlines()[0])
    assert re.search(inputs, "".join(s for s in said.splitlines() if s.startswith("  input")))


BACKWARD = {
    "sqrt 0": (lambda: leaf(0.0, 4.0).sqrt().sum().backward(), r"sqrt of shape \(2,\) with respect "
               r"to input 0 has 1 inf among 2 numbers, the first at \(0,\); what arrived was 1 to"),
    "a power at 0": (lambda: (leaf(0.0) ** 0.5).backward(), "power .* input 0 has inf"),
    "what the user passes": (lambda: (leaf(1.0) * 2).backward([np.nan]),
                             r"arrives at multiply of shape \(1,\) has nan"),
    "a sum of finite parts": (lambda: overflowing().backward([1e308]), "arrives at the tensor 'x'"),
    "a sum over two calls of backward": (lambda: twice(1e308), "arrives at the tensor 'x' .* inf"),
    "second order": (lambda: grad(grad(lambda x: x**1.5))(0.0), "power .* input 0 has inf"),
    "recorded": (lambda: leaf(0.0).sqrt().backward(create_graph=True), "sqrt .* input 0 has inf"),
}  # fmt: skip


def overflowing():
    x = leaf(0.5)
    return x + x


def twice(g):
    x = leaf(0.5)
    for _ in range(2):
        (x * 1).backward([g])


@pytest.mark.parametrize("name", BACKWARD)
def test_the_first_bad_gradient_is_named_with_the_operation_that_made_it(name):
    f, what = BACKWARD[name]
    assert re.search(what, message(f).splitlines()[0])


def test_scope_and_line_are_those_of_the_call_even_if_the_gradient_is_at_fault():
    def loss(x):
        with scope("encoder"):
            return F.mse_loss(x.sqrt(), [0.0, 2.0])  # here it is called

    class Model(nn.Module):
        def forward(self, x):
            return loss(x)

    said = message(lambda: Model()(leaf(0.0, 4.0)).backward())
    number = next(
        i
        for i, line in enumerate(Path(__file__).read_text().splitlines(), start=1)
        if line.endswith("# here it is called")
    )
    assert said.splitlines()[1] == "  in Model/encoder"
    assert said.splitlines()[2].startswith(f"  at {__file__}, line {number}: return F.mse_loss(x")


def test_a_gradient_that_overflows_by_what_was_there_leaves_what_was_there():
    x, y = leaf(0.5), leaf(0.5)
    x.grad = y.grad = [1e308]
    root = x * 1 + y * 1
    message(lambda: root.backward([1e308]))
    np.testing.assert_array_equal([x.grad.data, y.grad.data], [[1e308], [1e308]])


def test_inputs_are_shown_as_they_were_in_the_call():
    x = leaf(0.0)

    def f():
        root = x.sqrt()
        x.data = [4.0]
        root.node.edges = [(0, lambda g, out, x: g / out)]
        x.node.replaced = 0
        root.backward()

    assert "input 0 'x': 0.0" in message(f)


def test_an_operation_recorded_before_is_named_without_its_line():
    root = leaf(0.0).sqrt()
    assert "its line is unknown" in message(root.backward)


def test_a_sound_training_step_passes_with_the_same_numbers():
    def train():
        rng = np.random.default_rng(0)
        model = nn.Sequential(
            nn.Linear(4, 8, rng=rng), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5, rng=rng),
            nn.Linear(8, 3, rng=rng),
        )  # fmt: skip
        optimizer = optim.Adam(model.parameters())
        x, y = rng.normal(size=(16, 4)).astype(np.float32), rng.integers(0, 3, 16)
        for _ in range(3):
            loss = F.cross_entropy(model(x), y) + F.l1_penalty(model.weights(), 1e-3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return {name: array.tobytes() for name, array in model.state_dict().items()}

    with detect_anomaly():
        inspected = train()
    assert inspected == train()


def test_it_ends_with_its_block_and_nothing_is_half_done():
    x = leaf(0.0, 4.0)
    root = x.sqrt().sum()
    message(root.backward)
    assert x.grad is None
    with np.errstate(divide="ignore"):
        root.backward()
    np.testing.assert_array_equal(x.grad.data, [np.inf, 0.25])


def test_it_works_as_a_decorator():
    @detect_anomaly()
    def f(x):
        return x.log()

    with pytest.raises(AnomalyError, match="log"):
        f(Tensor(0.0))
    with np.errstate(divide="ignore"):
        assert Tensor(0.0).log().item() == -np.inf


# --- What the table promises of dangerous inputs -------------------------------------------------


def value_and_slope(f, x):
    with np.errstate(all="ignore"):
        leaf = Tensor(float(x), requires_grad=True)
        y = f(leaf)
        y.backward()
    return y.item(), leaf.grad.item()


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (lambda x: x.log(), 0, -np.inf, np.inf),
        (lambda x: x.log(), -1, np.nan, -1),
        (lambda x: x.sqrt(), 0, 0, np.inf),
        (lambda x: F.relu(x).sqrt(), -1, 0, np.nan),
        (lambda x: (F.relu(x) + 1e-12).sqrt(), -1, 1e-6, 0),
        (lambda x: x / x, 0, np.nan, np.nan),
        (lambda x: 1 / x, 0, np.inf, -np.inf),
        (lambda x: F.where(x > 0, x.log(), 0.0), 0, 0, np.nan),
        (lambda x: F.where(x > 0, F.where(x > 0, x, 1.0).log(), 0.0), 0, 0, 0),
        (lambda x: x.exp(), 1000, np.inf, np.inf),
        (lambda x: F.sigmoid(x), -1000, 0, 0),
        (lambda x: F.softplus(x), 1000, 1000, 1),
        (lambda x: F.logsumexp(F.stack([x, -x])), 1e4, 1e4, 1),
    ],
)
def test_dangerous_inputs_have_the_documented_outcome(f, x, value, slope):
    np.testing.assert_allclose(value_and_slope(f, x), (value, slope), rtol=1e-12)


def test_a_generator_that_ends_in_another_thread_changes_nothing_there():
    def items():
        with detect_anomaly():
            yield 1

    def use():
        left = items()
        next(left)
        with ThreadPoolExecutor(1) as pool, np.errstate(over="raise"):
            return pool.submit(lambda: (list(left), np.geterr()["over"])).result()

    assert copy_context().run(use) == ([], "warn")


def test_an_asynchronous_generator_may_be_left_by_a_break():
    async def items():
        with detect_anomaly():
            yield 1

    async def use():
        failures = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context))
        async for _ in items():
            break
        gc.collect()
        await asyncio.sleep(0)
        await loop.shutdown_asyncgens()
        gc.collect()
        return failures

    assert asyncio.run(use()) == []
