"""`compile`: programs give what the engine gives, bit for bit, and leave what it leaves."""

import math
import pickle
import re
import signal
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
from catalogue import catalogue, sample

import tinygrad_reg as tg
from tinygrad_reg import Tensor, nn, optim
from tinygrad_reg import functional as F
from tinygrad_reg.nested import tree_paths
from tinygrad_reg.program import order, pieces, strips
from tinygrad_reg.program.recorder import Call, same_bits
from tinygrad_reg.program.source import Writer

# --- Every function ------------------------------------------------------------------------------


def same(a, b):
    """Whether two arrays are the same to the last bit, NaN and the sign of zero included."""
    return same_bits(np.asarray(a), np.asarray(b))


def value_and_gradients(entry):
    """A function of arrays: the value of an entry, and its gradients, from a fixed one."""

    def f(*arrays):
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        result = entry.f(*leaves)
        if result.requires_grad:
            (result * np.cos(np.arange(float(result.size)).reshape(result.shape))).sum().backward()
        grads = [leaf.grad for leaf in leaves]
        return [result.detach(), *(g for g in grads if g is not None)]

    return f


@pytest.mark.parametrize("name", sorted(catalogue))
def test_programs_give_what_the_engine_gives(name):
    for entry in sample(name, 2):
        f = value_and_gradients(entry)
        step = tg.compile(f)
        rng = np.random.default_rng(0)
        for call in range(4):
            arrays = [np.array(x) for x in entry.inputs]
            for x in arrays:
                x *= 1 + 0.01 * (call % 2) * rng.random()  # others nearby: the same decisions
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected, found = f(*arrays), step(*arrays)
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                assert same(a._array, b._array), (name, call)
        assert len(step.programs) == 1, step.eager


# --- Random programs -----------------------------------------------------------------------------


def as_function(program):
    """A random program as a function of the numbers in its leaves: values and gradients."""
    programs = pytest.importorskip("programs")
    leaves = [k for k, line in program.items() if isinstance(line, programs.Leaf)]
    names = {"np": np, "Tensor": Tensor, "F": F, "gram": programs.gram}
    names |= {"primitives": tg.primitives, "more_primitives": tg.more_primitives}

    def f(*arrays):
        known = dict(names)
        for k, x in zip(leaves, arrays):
            known[f"x{k}"] = Tensor(x, requires_grad=program[k].requires_grad)
        for k, line in program.items():
            if k not in leaves:
                known[f"x{k}"] = eval(line.ours(), known)
        values = [known[f"x{k}"] for k in programs.unused(program)]
        loss = sum((v * v).sum() for v in values)
        if loss.requires_grad:
            loss.backward()
        grads = [known[f"x{k}"].grad for k in leaves]
        return [*(v.detach() for v in values), *(g for g in grads if g is not None)]

    return f, [np.array(program[k].numbers) for k in leaves]


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        n = metafunc.config.getoption("programs") // 5
        metafunc.parametrize("seed", range(n))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_random_programs_give_what_the_engine_gives(seed, dtype):
    draw_program = pytest.importorskip("programs").draw_program
    f, arrays = as_function(draw_program(seed))
    step = tg.compile(f)
    for call in range(4):
        for x in arrays:
            x *= 1 + 1e-4 * call
        given = [x.astype(dtype) for x in arrays]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, found = f(*given), step(*given)
        for a, b in zip(found, expected, strict=True):
            assert same(a._array, b._array), call
    assert len(step.programs) == 1, step.eager


# --- Parts of a gradient -------------------------------------------------------------------------

PARTS = {  # parts of x that are used, and how many times something is added in place
    "windows": ([np.s_[i : i + 4, j : j + 4] for i in range(3) for j in range(3)], 13),
    "rows": ([np.s_[i] for i in range(6)], 6),
    "all meet in the middle": ([np.s_[:4], np.s_[2:], np.s_[1:5]], 5),
    "every second": ([np.s_[::2], np.s_[1::2]], 2),
    "every second twice": ([np.s_[::2], np.s_[::2]], 0),  # hard to say where they do not meet
    "everything": ([np.s_[:], np.s_[...], np.s_[:]], 3),
    "row and column": ([np.s_[0], np.s_[-1], np.s_[:, 1], np.s_[..., 2:4]], 4),
    "the same twice": ([np.s_[:3], np.s_[:3]], 3),
    "one": ([np.s_[2]], 0),
    "by an array": ([np.array([0, 2]), np.s_[1:], np.s_[:2]], 4),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_gradient_are_added_in_place(name):
    parts, added = PARTS[name]

    def f(x, weights):
        t = Tensor(x, requires_grad=True)
        sum((t[i] * w).sum() for i, w in zip(parts, weights)).backward()
        return t.grad.T

    rng = np.random.default_rng(0)
    compiled = tg.compile(f)
    for _ in range(4):
        x = rng.normal(size=(6, 6))
        weights = [rng.normal(size=x[i].shape) for i in parts]
        weights = [np.where(rng.random(w.shape) < 0.7, -0.0, w) for w in weights]  # zeros' signs
        assert same(f(x, weights)._array, compiled(x, weights)._array)
    calls = compiled.programs[0].program.calls
    assert sum(call.function == pieces.ADD_PART for call in calls) == added


# --- Trainings -----------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def network(seed, p=0.5):
    tg.seed(seed)
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(p, rng=np.random.default_rng(1)),
        nn.DropConnectLinear(8, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3),
    )  # fmt: skip


class Training:
    """A network and everything that its step changes."""

    def __init__(self, make_optimizer, zero="first", penalty=0.01):
        self.model = network(0)
        self.optimizer = make_optimizer(self.model.parameters())
        self.zero, self.penalty = zero, penalty
        self.schedule = optim.CosineAnnealingLR(self.optimizer, T_max=30)

    def step(self, x, y):
        if self.zero == "first":
            self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        if self.penalty:
            loss = loss + F.l2_penalty(self.model.weights(), self.penalty)
            loss = loss + F.l1_penalty(self.model.weights(), [0.001, 0.002, 0.003])
        loss.backward()
        self.optimizer.step()
        if self.zero == "last":
            self.model.zero_grad()
        return loss

    def state(self):
        model = self.model.state_dict()
        optimizer = self.optimizer.state_dict()
        grads = {k: p.grad for k, p in self.model.named_parameters()}
        generators = [
            self.model[3].rng.bit_generator.state,
            tg.random.generator().bit_generator.state,
        ]
        return model, optimizer, grads, generators, self.schedule.state_dict()


def assert_same(a, b):
    """The same state, bit for bit."""
    a, b = tree_paths(a), tree_paths(b)
    assert [*a] == [*b]
    for path, x, y in zip(a, a.values(), b.values()):
        assert type(x) is type(y), path
        if isinstance(x, Tensor):
            x, y = x._array, y._array
        numbers = isinstance(x, (np.ndarray, np.generic, float))
        assert same(x, y) if numbers else x == y, path


def trained_in_lockstep(eager, compiled, batches, around=lambda training, i: None):
    """Train twins, and compare all that changes after each step."""
    step = tg.compile(compiled.step, compiled.model, compiled.optimizer, compiled.schedule)
    default = {}
    for i, (x, y) in enumerate(batches):
        results = []
        for training, run in ((eager, eager.step), (compiled, step)):
            if training in default:  # each has a default generator of its own
                tg.random.generator().bit_generator.state = default[training]
            else:
                tg.seed(7)
            around(training, i)
            loss = run(x, y)
            results.append((loss.item(), training.state()))
            default[training] = tg.random.generator().bit_generator.state
        assert_same(*results)
    return step


def batches(n, size=20):
    return [(X[i % 3 * 20 :][:size], Y[i % 3 * 20 :][:size]) for i in range(n)]


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "Adam with decay": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
}


@pytest.mark.parametrize("large", [False, True], ids=["small", "as if large"])
@pytest.mark.parametrize("zero", ["first", "last", "never"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trainings_leave_the_same_state(name, zero, large, monkeypatch, pytestconfig):
    make = OPTIMIZERS[name]
    if large:  # so that updates come early, and in strips
        monkeypatch.setattr(order, "SMALL", 0)
        monkeypatch.setattr(strips, "STRIP", 64)
    eager, compiled = Training(make, zero), Training(make, zero)
    steps = pytestconfig.getoption("steps")
    step = trained_in_lockstep(eager, compiled, batches(steps), scheduled)
    assert not step.eager
    assert len(step.programs) == 1
    plan = step.programs[0].plan
    assert ("strips(" in plan.setup) is large
    early = any(isinstance(one, Call) for one in plan.order.tail)
    assert early is large or (large and zero != "last")  # a gradient that stays is a result, too


def frozen(training, i):
    if i == 8:
        training.model[0].weight.requires_grad = False
    if i == 16:
        training.model[0].weight.requires_grad = True


def scheduled(training, i):
    if i:
        training.schedule.step()


def switched(training, i):
    training.model.train(i % 3 != 2)


def other_settings(training, i):
    if i == 8:
        training.model[3].p = 0.3
        training.optimizer.lr = 0.05
        training.optimizer.momentum = 0.5


def loaded(training, i):
    if i == 3:
        training.saved = deepcopy((training.model.state_dict(), training.optimizer.state_dict()))
    if i == 8:
        training.model.load_state_dict(training.saved[0])
        training.optimizer.load_state_dict(training.saved[1])


def replaced(training, i):
    if i == 8:
        training.model[0].weight.data = training.model[0].weight.numpy() * 2
        training.model[1].running_mean.data = np.ones(8, np.float32)
        training.optimizer.velocity[0] = training.optimizer.velocity[0] * 2
    if i == 12:
        training.model[3].rng = np.random.default_rng(5)


def swapped(training, i):
    if i == 8:  # two arrays that the program has side by side
        a, b = training.model[1].weight, training.model[1].bias
        a.data, b.data = b._array, a._array


def seeded(training, i):
    if i == 8:
        tg.seed(11)


def held(training, i):
    training.held = [p.data for p in training.model.parameters()]  # somebody looks all the time


@pytest.mark.parametrize(
    "around",
    [frozen, scheduled, switched, other_settings, loaded, replaced, swapped, seeded, held],
    ids=lambda f: f.__name__,
)
def test_what_changes_in_the_course_of_a_training_changes_the_program(around):
    make = OPTIMIZERS["momentum"]
    eager, compiled = Training(make), Training(make)
    step = trained_in_lockstep(eager, compiled, batches(25), around)
    assert step.programs
    assert not step.eager


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_of_shape_0(name):
    results = []
    for compiled in (False, True):
        p = Tensor(2.0, requires_grad=True)
        optimizer = OPTIMIZERS[name]([p])

        def train_step(x, p=p, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (p * x) ** 3
            loss.backward()
            optimizer.step()
            return loss

        step = tg.compile(train_step, optimizer) if compiled else train_step
        losses = [step(1 + i / 10).item() for i in range(6)]
        results.append((losses, p._array, optimizer.state_dict()))
    assert_same(*results)
    assert len(step.programs) == 1


def test_batches_of_two_sizes_have_a_program_each():
    make = OPTIMIZERS["Adam"]
    eager, compiled = Training(make), Training(make)
    sizes = [(X[:n], Y[:n]) for n in [20, 20, 7] * 8]
    step = trained_in_lockstep(eager, compiled, sizes)
    assert len(step.programs) == 2


def test_a_schedule_may_be_stepped_inside():
    class Scheduled(Training):
        def step(self, x, y):
            loss = super().step(x, y)
            self.schedule.step()
            return loss

    make = OPTIMIZERS["AdamW"]
    eager, compiled = Scheduled(make), Scheduled(make)
    step = trained_in_lockstep(eager, compiled, batches(40))
    assert len(step.programs) == 1


def alike(start):
    """An array of which only a part is shown by its repr, as are most long arrays."""
    x = np.ones((40, 40))
    x[10] = start
    return x


@pytest.mark.parametrize(
    "strengths",
    [[np.arange(40.0)] * 2, [alike(2), alike(2)], [alike(2), alike(3)]],
    ids=["the same row", "equal", "different"],
)
def test_small_parameters_may_meet_constant_arrays(strengths):
    class Pulled(optim.Optimizer):
        """Its steps hang on the parameters, and on a constant array for each."""

        def update(self, i, p, g):
            return self.lr * (g + p * strengths[i])

    states = []
    for compiled in (False, True):
        p, q = (Tensor(np.ones((40, 40)), requires_grad=True) for _ in range(2))
        optimizer = Pulled([p, q], lr=0.1)

        def train_step(x, p=p, q=q, optimizer=optimizer):
            optimizer.zero_grad()
            ((p @ x) ** 2).sum().backward()
            ((q @ x) ** 2).sum().backward()
            optimizer.step()

        step = tg.compile(train_step, optimizer) if compiled else train_step
        for i in range(5):
            step(np.full((40, 40), float(i)))
        states.append([p.numpy(), q.numpy()])
    assert len(step.programs) == 1
    assert_same(*states)


def test_long_index_arrays_in_tuples_are_told_apart():
    first = np.arange(3000) % 2000
    second = first.copy()
    second[1000] = 7  # their repr is the same
    f = lambda x: x[first, :] * 2 - x[second, :]  # noqa: E731
    step, x = tg.compile(f), np.random.default_rng(0).normal(size=(2000, 2))
    for _ in range(3):
        assert same(step(x), f(x))
    assert step.programs


# --- State and results ---------------------------------------------------------------------------


def small():
    """A parameter, its optimizer, and a step that is compiled and has a program."""
    p = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="p")
    optimizer = optim.SGD([p], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = ((p * x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile(step, optimizer)
    for _ in range(3):
        compiled(np.ones(3))
    assert compiled.programs
    return p, compiled


def test_data_taken_before_a_call_stays_as_it_was():
    p, step = small()
    for _ in range(3):
        before, copy = p.data, p.numpy()
        detached = p.detach()
        step(np.ones(3))
        assert same(before, copy)
        assert same(detached._array, copy)
        assert not same(p.data, copy)


def test_a_graph_recorded_before_a_call_counts_as_replaced():
    p, step = small()
    square = (p * p).sum()
    values = [np.array(x) for x in square.node.inputs[0].values]
    step(np.ones(3))
    assert all(map(same, square.node.inputs[0].values, values))
    with pytest.raises(tg.StaleValueError):
        square.backward()


def test_results_are_fresh():
    _, step = small()
    first, second = step(np.ones(3)), step(np.ones(3))
    assert first.item() != second.item()
    f = tg.compile(lambda x: [x * 2, x, x.T, (x + 1).reshape(-1)])
    x = np.arange(6.0).reshape(2, 3)
    for _ in range(4):
        results = f(x)
        for result in results:
            result[...] = -1
        assert same(x, np.arange(6.0).reshape(2, 3))


def test_a_result_of_shape_0_is_fresh_where_it_is_a_view():
    f = tg.compile(lambda x: F.logsumexp(Tensor(x), axis=-1).reshape(()))
    results = [f(np.array([[1.0, i]])) for i in range(5)]
    assert len({x.item() for x in results}) == 5


@pytest.mark.parametrize("large", [False, True])
def test_a_result_may_view_what_an_update_needs(large, monkeypatch):
    if large:  # so that the gradient is computed among the updates, unless it is a result
        monkeypatch.setattr(order, "SMALL", 0)
    results = []
    for compiled in (False, True):
        p, q = (Tensor(np.eye(4, 5), requires_grad=True) for _ in range(2))
        optimizer = optim.SGD([p, q], lr=0.1)

        def f(x, p=p, q=q, optimizer=optimizer):
            ((x @ p) ** 2).sum().backward()
            ((x @ q) ** 2).sum().backward()
            view = p.grad.T[1:]
            optimizer.step()
            optimizer.zero_grad()
            return view

        step = tg.compile(f, optimizer) if compiled else f
        results.append([step(np.full((3, 4), i + 1.0)).numpy() for i in range(5)])
    assert all(map(same, *results))


def test_gradients_of_small_parameters_may_be_views(monkeypatch):
    monkeypatch.setattr(order, "SMALL", 100)  # the weight's update comes early, the others last
    states = []
    for compiled in (False, True):
        w = Tensor(np.ones((4, 5)), requires_grad=True)
        a, b, c = (Tensor(np.full(5, i + 1.0), requires_grad=True) for i in range(3))
        optimizer = optim.SGD([w, a, b, c], lr=0.01, momentum=0.9)

        def f(x, w=w, a=a, b=b, c=c, optimizer=optimizer):
            z = np.concatenate([a, b, c]).reshape(3, 5)  # so that gradients are parts of an array
            ((x @ w) @ z.T).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        step = tg.compile(f, optimizer) if compiled else f
        for i in range(6):
            step(np.full((3, 4), i + 1.0))
        states.append([p.numpy() for p in (w, a, b, c)])
    assert all(map(same, *states))


def test_parts_of_the_state_may_change_places():
    states = []
    for compiled in (False, True):
        a, b = Tensor(np.arange(3.0), name="a"), Tensor(np.arange(3.0) + 10, name="b")

        def f(x, a=a, b=b):
            a.data, b.data = b.data, a.data + x

        step = tg.compile(f, a, b) if compiled else f
        for i in range(6):
            step(np.full(3, float(i)))
        states.append([a.numpy(), b.numpy()])
    assert all(map(same, *states))


def test_a_generator_of_the_users_own_may_be_drawn_from_by_the_package():
    def f(x, rng):
        drawn = tg.random.generator(rng)
        kept = drawn.random(x.shape, dtype=np.float32) < 0.5
        return x * kept, drawn.normal(size=3), drawn.random(4), drawn.integers(0, 9, 5)

    rngs = [np.random.default_rng(3) for _ in range(2)]
    compiled = tg.compile(lambda x: f(x, rngs[1]), rngs[1])
    for i in range(5):
        x = np.full((4, 3), i, np.float32)
        assert all(map(same, f(x, rngs[0]), compiled(x)))
    assert len(compiled.programs) == 1


def test_an_array_may_be_written_into_by_what_is_computed_from_it():
    def f(x):
        t = x * 2
        t[1:] = t[:-1] + 0
        np.add.at(t, np.array([0, 1]), t[2:4])
        u = t * 1.5
        u[...] = u.T
        return u + 1

    compiled = tg.compile(f)
    for i in range(4):
        x = np.arange(16.0).reshape(4, 4) + i
        assert same(compiled(x), f(x))


def test_gradients_that_a_call_left_are_not_written_over():
    p, step = small()
    grad = p.grad
    copy = grad.numpy()
    step(np.ones(3))
    assert same(grad._array, copy)
    assert p.grad is not grad


def test_a_result_wants_a_gradient_and_says_that_it_has_no_graph():
    _, step = small()
    loss = step(np.ones(3))
    assert loss.requires_grad
    with pytest.raises(TypeError, match="lose its gradient"):
        float(loss)
    with pytest.raises(RuntimeError, match="compiled function, which keeps no graph"):
        (loss * 2).backward()
    with pytest.raises(RuntimeError, match="compiled function, which keeps no graph"):
        tg.grad(lambda x: (x * step(np.ones(3))).sum())(np.ones(2))


def test_results_of_any_shape_come_back():
    Pair = namedtuple("Pair", "a b")
    p = Tensor([1.0, 2.0], requires_grad=True)

    def f(x, n):
        y = p * x
        return {
            "loss": y.sum(),
            "rest": Pair([y.detach(), y.sum().item()], (x, n, "text", None)),
            "p": p,
        }

    step = tg.compile(f, p)
    for _ in range(4):
        found, expected = step(np.ones(2), 0.5), f(np.ones(2), 0.5)
        assert found["p"] is p
        assert isinstance(found["rest"], Pair)
        assert_same({**found, "p": 0}, {**expected, "p": 0})
    assert len(step.programs) == 1


def test_value_and_grad_and_second_derivatives():
    def f(x, y):
        return (np.sin(x) * y**3).sum()

    for make in (
        lambda: tg.value_and_grad(f),
        lambda: tg.grad(lambda x: tg.grad(f)(x, x).sum()),
        lambda: tg.value_and_grad(f, argnum=(0, 1)),
    ):
        eager, step = make(), tg.compile(make())
        n = 1 if "lambda" in str(getattr(eager, "__name__", "")) else 2
        for i in range(4):
            args = [np.arange(3.0) + i, np.ones(3) * i][:n]
            try:
                expected = eager(*args)
            except TypeError:
                args = args[:1]
                expected = eager(*args)
            assert_same(step(*args), expected)
        assert len(step.programs) == 1


def test_a_model_in_eval_mode():
    model = network(0).eval()
    step = tg.compile(model, model)
    for i in range(4):
        assert same(step(X[i:])._array, model(X[i:])._array)
        assert same(step(X)._array, model(X)._array)
    assert len(step.programs) == 1


# --- Guards --------------------------------------------------------------------------------------


def test_a_failing_guard_sends_the_call_to_the_engine():
    make = OPTIMIZERS["momentum"]
    eager, compiled = Training(make), Training(make)
    given = batches(12)
    strange = X[:20].copy()
    strange[3, 2] = np.nan
    given[6] = strange, Y[:20]
    step = trained_in_lockstep(eager, compiled, given)
    assert len(step.programs) == 1


def test_decisions_that_keep_falling_otherwise_are_told_once():
    def f(x):
        return x * 2 if x.sum() > 0 else x * 3

    step = tg.compile(f)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for i in range(60):
            sign = 1 if i < 2 or i % 3 == 0 else -1
            assert step(np.full(3, sign))[0] == (2 if sign > 0 else -3)
    assert len(told) == 1
    text = str(told[0].message)
    assert "f: a decision on a value (test_compile.py:" in text
    assert "in 20 of 3" in text
    assert "use np.where" in text
    assert told[0].filename == __file__


def test_labels_out_of_range_raise_the_error_of_the_engine():
    eager, compiled = Training(OPTIMIZERS["SGD"]), Training(OPTIMIZERS["SGD"])
    step = trained_in_lockstep(eager, compiled, batches(5))
    wrong = Y[:20].copy()
    wrong[0] = 3
    tg.seed(0)
    with pytest.raises(ValueError, match="class indices must be from 0 to 2") as expected:
        eager.step(X[:20], wrong)
    after = eager.state()
    tg.seed(0)
    with pytest.raises(ValueError, match="class indices") as found:
        step(X[:20], wrong)
    assert str(found.value) == str(expected.value)
    assert_same(compiled.state(), after)


def test_decisions_on_values_are_guards():
    def f(x, k):
        if x.sum() > 0:
            return x * 2
        return x[:k]

    step = tg.compile(f)
    for x in [np.ones(4)] * 4 + [-np.ones(4)] * 4 + [np.ones(4)]:
        assert same(step(x, 2), f(x, 2))
    step = tg.compile(lambda x, k: x[k] + x[:k].sum())
    for k in [1, 1, 1, 2, 3, 1]:
        assert step(np.arange(4.0), k) == np.arange(k + 1.0).sum()
    mask = tg.compile(lambda x: x[x > 0])
    for x in [np.ones(4)] * 4 + [np.array([1.0, -1, 1, -1]), np.ones(4)]:
        assert same(mask(x), x[x > 0])


# --- What differs between calls ------------------------------------------------------------------


def test_a_mask_of_the_users_own_generator_is_an_error_that_says_so():
    rng = np.random.default_rng(0)
    p = Tensor(np.ones(3), requires_grad=True)
    step = tg.compile(lambda x: (p * x * rng.random(3)).sum(), p)
    step(np.ones(3))
    with pytest.raises(tg.RecordingError, match=r"shape \(3,\).*test_compile.py:\d+.*generator"):
        step(np.ones(3))


def test_weights_of_a_model_that_is_not_named_are_an_error():
    training = Training(OPTIMIZERS["SGD"])
    training.model[3].p = training.model[6].p = 0  # nothing is random
    step = tg.compile(training.step, training.optimizer)  # the running averages are missing
    step(X[:20], Y[:20])
    before = [p.numpy() for p in training.model.parameters()]
    with pytest.raises(tg.RecordingError, match="neither an argument nor a part of the state"):
        step(X[:20], Y[:20])
    assert all(map(same, before, [p.numpy() for p in training.model.parameters()]))


def test_a_counter_is_an_error_and_late_changes_are_found():
    count = [0]

    def f(x):
        count[0] += 1
        return x * count[0]

    step = tg.compile(f)
    step(np.ones(2))
    with pytest.raises(tg.RecordingError, match="neither an argument"):
        step(np.ones(2))

    factor = [2.0]
    step = tg.compile(lambda x: x * factor[0])
    for i in range(9):
        step(np.ones(2))
        factor[0] = 2.0 if i < 5 else 3.0
    with pytest.raises(tg.RecordingError, match="neither an argument"):
        step(np.ones(2))


# --- Where the function runs as it is ------------------------------------------------------------


@pytest.mark.parametrize("block", [tg.detect_anomaly, tg.save_memory])
def test_functions_that_are_watched_run_as_they_are(block):
    p = Tensor([1.0, 2.0], requires_grad=True)

    def inside(x):
        with block():
            loss = (p * x).sum()
            loss.backward()
        return loss.item()

    step = tg.compile(inside, p)
    with pytest.warns(UserWarning, match="not compiled: an observer watches it"):
        step(np.ones(2))
    around = tg.compile(lambda x: (p * x).sum(), p)
    for _ in range(4):
        assert step(np.ones(2)) == 3
        with block():
            assert around(np.ones(2)).item() == 3
    assert not step.programs
    assert not around.programs


def test_arrays_of_objects_have_no_buffer():
    more = np.frompyfunc(lambda a: a + 1, 1, 1)

    def f(x):
        return more(x).astype(float) * 2

    compiled = tg.compile(f)
    for i in range(4):
        assert same(compiled(np.full(3, i)), f(np.full(3, i)))
    assert len(compiled.programs) == 1


def test_where_no_program_can_be_made_the_step_is_done_once_and_stays_eager(monkeypatch):
    p = Tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (p * x).sum().backward()
        optimizer.step()

    def broken(*_):
        raise KeyError("a fault of the planner")

    monkeypatch.setattr(tg.program.compiled, "Runnable", broken)
    compiled = tg.compile(step, optimizer)
    compiled(np.ones(1))
    with pytest.warns(UserWarning, match="no program can be made of it .KeyError: 'a fault"):
        compiled(np.ones(1))
    compiled(np.ones(1))
    assert p.data == 1 - 3 * 0.5


def test_a_note_follows_the_eighth_program():
    f = tg.compile(lambda x: x + 1)
    for n in range(1, 8):
        for _ in range(2):
            f(np.ones(n))
    assert len(f.programs) == 7
    f(np.ones(8))
    with pytest.warns(UserWarning, match="has 8 programs now, one for each") as told:
        f(np.ones(8))
    assert told[0].filename == __file__
    for n in range(9, 11):
        for _ in range(2):
            f(np.ones(n))  # told once


def test_a_compiled_function_in_another_is_recorded_with_it():
    inner = tg.compile(lambda x: np.sin(x) * 2)
    outer = tg.compile(lambda x: inner(x) + inner(x + 1))
    for i in range(4):
        x = np.arange(3.0) + i
        assert same(outer(x), np.sin(x) * 2 + np.sin(x + 1) * 2)
    assert outer.programs
    assert not inner.programs


def test_threads_may_call_one_compiled_function():
    step = tg.compile(lambda x: (np.sin(x) * 2 + x).sum())
    arrays = [np.arange(50.0) + i for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(step, arrays)]
    assert [*map(float, found)] == [float((np.sin(x) * 2 + x).sum()) for x in arrays]


def test_errors_and_conversions_name_the_place_and_leave_the_state():
    p = Tensor([1.0, 2.0], requires_grad=True)
    for convert in (np.asarray, lambda x: float(x[0]), lambda x: math.sqrt(x.sum().item())):
        optimizer = optim.SGD([p], lr=0.1)

        def step(x, convert=convert, optimizer=optimizer):
            (p * x).sum().backward()
            optimizer.step()
            return convert(x)

        before = p.numpy()
        with pytest.raises(tg.RecordingError, match="cannot be recorded"):
            tg.compile(step, optimizer)(np.ones(2))
        assert same(p.numpy(), before)
        assert p.grad is None


def into(x, write):
    """Write what is computed from x into an array of the function's own."""
    y = np.zeros(3)
    write(y, x)
    return y


REFUSED = {
    "int": (lambda x: int(x.sum()), "a Python number is made of an array of shape \\(\\)"),
    "tolist": (lambda x: (x * 2).tolist(), "a list is made of"),
    "asarray": (lambda x: np.array(x * 2), "a real array is made of"),
    "pickle": (lambda x: pickle.dumps(x * 2), "a copy, or a pickle, is made of"),
    "unknown": (lambda x: x.byteswap(), "a recorded array has no attribute 'byteswap'"),
    "out": (lambda x: into(x, lambda y, x: np.add(x, 1, out=y)), "np.add writes what a compiled"),
    "at": (lambda x: into(x, lambda y, x: np.add.at(y, [0], x[:1])), "add.at writes what"),
    "copyto": (lambda x: into(x, lambda y, x: np.copyto(y, x)), "np.copyto writes what"),
    "where": (lambda x: np.add(x * 1, 1, out=x * 2, where=x > 0), "with out= and where= cannot"),
    "function out": (lambda x: np.cumsum(x, out=x * 2), "np.cumsum with out= cannot be recorded"),
    "method out": (lambda x: x.sum(out=x[0]), r"\.sum with out= cannot be recorded"),
    "argument": (lambda x: x.__setitem__(0, 1), "the argument x0 was written into"),
    "drawing": (
        lambda x: tg.random.generator().random(out=x * 2), "of a generator with out= cannot be"
    ),
    "stale view": (
        lambda x: [t := x * 1, v := t[1:], t.__setitem__(0, 5), v + 1], "shares memory with one"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_down_is_refused_in_words(name):
    function, words = REFUSED[name]
    step = tg.compile(function)
    if name == "unknown":  # it may be asked whether an array has it: then it runs as it is
        with pytest.warns(UserWarning, match=words):
            step(np.ones(3))
        return
    with pytest.raises(tg.RecordingError, match=words):
        step(np.ones(3))


def test_what_two_calls_did_otherwise_is_told():
    calls = []

    def longer(x):
        calls.append(1)
        y = x * 2
        return y + 1 if len(calls) % 2 else y

    def counting(x):
        calls.append(1)
        return x * 2, len(calls)

    for function, words in [
        (longer, "only one of two calls went on with np.add .test_compile.py"),
        (counting, "a result, or a new value of the state, was 1 in one call and 2 in another"),
    ]:
        calls.clear()
        step = tg.compile(function)
        step(np.ones(3))
        with pytest.raises(tg.RecordingError, match=words):
            step(np.ones(3))


def test_a_compiled_function_is_pickled_without_its_programs():
    step = tg.compile(np.sin)
    for _ in range(3):
        step(np.ones(2))
    copy = pickle.loads(pickle.dumps(step))
    assert step.programs
    assert not copy.programs
    assert same(copy(np.ones(2)), np.sin(np.ones(2)))


def test_a_copy_of_a_compiled_function_has_programs_of_its_own():
    _, step = small()
    other = deepcopy(step)  # the function is the same, and goes on with the same parameter
    assert not other.programs
    losses = [f(np.ones(3)).item() for _ in range(3) for f in (step, other)]
    assert losses == sorted(losses, reverse=True)
    assert len(other.programs) == 1
    model = nn.Sequential(nn.Linear(3, 2)).eval()
    one = tg.compile(model)
    two = deepcopy(one)  # and here all is copied
    model[0].weight.data = model[0].weight.numpy() * 2
    x = np.ones((1, 3), np.float32)
    for _ in range(3):
        assert same(one(x)._array, model(x)._array)
        assert not np.any(two(x)._array == model(x)._array)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a collection
@pytest.mark.parametrize("recorded", [False, True])
def test_ctrl_c_comes_before_a_step_or_after_it(recorded):
    p, q = (Tensor(np.zeros(400), requires_grad=True) for _ in range(2))
    optimizer = optim.Adam([p, q], lr=1.0)

    def train_step(x):
        optimizer.zero_grad()
        ((p + q) * x).sum().backward()
        optimizer.step()

    def interrupt(*_):
        raise KeyboardInterrupt

    step = tg.compile(train_step, optimizer)
    for _ in range(3):
        step(np.ones(400))
    assert step.programs
    step.calls = 10_000  # nothing is recorded any more
    reach = 5000 if recorded else 60  # µs, in which the signals come
    interrupted, old = 0, signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(400):
            try:
                step.calls = 9 if recorded else 10_000
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + i * 37 % reach))
                step(np.ones(400))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            steps = optimizer.steps[0]
            assert optimizer.steps == [steps, steps]
            assert np.ptp(p.data) == np.ptp(q.data) == 0
            assert p.data[0] == q.data[0] == pytest.approx(-steps)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert interrupted > 20


# --- Source --------------------------------------------------------------------------------------


def executed(source, name):
    """The function that a source defines."""
    names = {"np": np}
    exec(source, names)
    return names[name]


@pytest.mark.parametrize("name", sorted(catalogue))
def test_the_source_computes_what_the_engine_does(name):
    for entry in sample(name, 1):
        f = value_and_gradients(entry)
        step = tg.compile(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):
                expected = step(*entry.inputs)
            writer = Writer(step.programs[0].recording, f, in_full=True)
            found = executed("import base64\n" + writer.source, "f")(*entry.inputs)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b._array, rtol=1e-9, atol=1e-12, err_msg=writer.source)


def lecture():
    rng = np.random.default_rng(0)
    parameters = [
        Tensor(rng.normal(size=(4, 6)), True, "W1"), Tensor(np.zeros(6), True, "b1"),
        Tensor(rng.normal(size=(6, 3)), True, "W2"), Tensor(np.zeros(3), True, "b2"),
    ]  # fmt: skip
    W1, b1, W2, b2 = parameters  # noqa: N806 - the lecture's names
    optimizer = optim.SGD(parameters, lr=0.1)

    def train_step(x, y):
        optimizer.zero_grad()
        hidden = F.relu(F.linear(x, W1, b1))
        loss = F.cross_entropy(F.linear(hidden, W2, b2), y) + F.l2_penalty([W1, W2], 0.01)
        loss.backward()
        optimizer.step()
        return loss

    step = tg.compile(train_step, optimizer)
    given = rng.normal(size=(5, 4)), np.eye(3)[[0, 1, 2, 0, 1]]
    for _ in range(3):
        step(*given)
    return step, given, parameters


def test_the_source_of_the_lectures_network_reads_like_its_lines():
    step, _, _ = lecture()
    assert (
        step.source.splitlines()[-16:]
        == """\
    # backward of log_softmax
    t6 = t2 + (-t2).sum(axis=1, keepdims=True) / t5 * t4
    # backward of linear
    d_b2 = t6.sum(axis=0)
    d_W2 = 0.01 * W2 + t0.T @ t6
    # backward of relu
    t7 = t6 @ W2.T * (t0 != 0)
    # backward of linear
    d_b1 = t7.sum(axis=0)
    d_W1 = 0.01 * W1 + x.T @ t7
    # SGD
    W1 = W1 - lr * d_W1
    b1 = b1 - lr * d_b1
    W2 = W2 - lr * d_W2
    b2 = b2 - lr * d_b2
    return loss, dict(W1=W1, b1=b1, W2=W2, b2=b2)""".splitlines()
    )


def test_a_saved_program_needs_numpy_alone(tmp_path):
    step, given, parameters = lecture()
    step.save(tmp_path / "step.py")
    state = {p.name: p.numpy() for p in parameters}
    program = executed((tmp_path / "step.py").read_text("utf-8"), "train_step")
    assert "tinygrad" not in (tmp_path / "step.py").read_text("utf-8").split("\n", 1)[1]
    for _ in range(3):
        loss, state = program(*given, **state, lr=0.1)
        np.testing.assert_allclose(loss, step(*given).item(), rtol=1e-12)
    for p in parameters:
        np.testing.assert_allclose(state[p.name], p.data, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_source_of_a_training_leaves_the_same_state(name):
    training = Training(OPTIMIZERS[name])
    training.model[3].p = training.model[4].p = training.model[6].p = 0
    step = tg.compile(training.step, training.model, training.optimizer)
    for _ in range(3):
        step(X[:20], Y[:20])
    recording = step.programs[0].recording
    writer = Writer(recording, training.step, in_full=True)
    # One function serves for all parameters, unless it would be of a single line.
    functions = writer.source.count(f"def {type(training.optimizer).__name__.lower()}(p, g, ")
    assert functions == (name != "SGD")
    program = executed("import base64\n" + writer.source, "step")
    places = dict(zip((f"w{i}" for i in range(len(recording.places))), recording.places))
    state = {writer.names[k]: deepcopy(places[k].get()) for k in writer.arguments if k in places}
    loss, new = program(X[:20], Y[:20], **state)
    np.testing.assert_allclose(loss, step(X[:20], Y[:20]).item(), rtol=1e-5)
    for key, place in recording.writes.items():
        # A bias before batch norm has no gradient but rounding, which Adam makes large.
        if writer.names[key] in new and "bias_0" not in writer.names[key]:
            np.testing.assert_allclose(
                new[writer.names[key]], place.get(), rtol=1e-3, atol=1e-5, err_msg=place.name
            )


class Coupled(optim.Optimizer):
    """Each parameter also moves with what the one before has just done."""

    def __init__(self, parameters, watched=False):
        super().__init__(parameters, lr=0.1, weight_decay=0.0)
        self.velocity = self.zeros()
        self.watched = watched
        self.last = None

    def update(self, i, p, g):
        self.velocity[i] *= 0.5
        self.velocity[i] += g
        step = self.lr * (self.velocity[i] * 2 + 1)
        if i and not self.watched:
            step = step + self.last
        self.last = step
        return step * 1.5


@pytest.mark.parametrize("watched", [False, True])
def test_the_source_of_an_optimizer_that_couples_parameters(watched):
    parameters = [Tensor(np.arange(3.0) + i, True, f"p{i}") for i in range(8)]
    optimizer = Coupled(parameters, watched)

    def train_step(x):
        optimizer.last = None
        optimizer.zero_grad()
        sum((p * x * (i + 1)).sum() for i, p in enumerate(parameters)).backward()
        optimizer.step()
        last, optimizer.last = optimizer.last, None
        return last

    step = tg.compile(train_step, optimizer)
    x = np.arange(1.0, 4.0)
    for _ in range(2):
        step(x)
    assert step.programs, step.eager
    writer = Writer(step.programs[0].recording, train_step)
    assert ("def coupled(" in writer.source) is watched
    program = executed(writer.source, "train_step")
    state = {p.name: p.numpy() for p in parameters}
    state |= {f"velocity_p{i}": np.array(v) for i, v in enumerate(optimizer.velocity)}
    result, new = program(x, **state, lr=0.1)
    np.testing.assert_allclose(result, step(x))
    for p in parameters:
        np.testing.assert_allclose(new[p.name], p.data)


# --- Pictures ------------------------------------------------------------------------------------


def test_a_picture_of_a_program_shows_both_passes_and_the_optimizer(tmp_path):
    training = Training(OPTIMIZERS["momentum"], zero="last")
    step = tg.compile(training.step, training.model, training.optimizer)
    with pytest.raises(RuntimeError, match="no program yet"):
        tg.draw(step)
    for _ in range(2):
        step(X[:20], Y[:20])
    text = str(tg.draw(step, depth=0))
    boxes = re.findall(r"= (.*)\[…\]", text)
    assert boxes == ["forward pass", "backward pass", "SGD"]
    text = str(tg.draw(step, depth=1))
    for name in ["Sequential (training)", "l1_penalty", "each parameter"]:
        assert f"= {name}[…]" in text  # the network, a penalty, and the updates of parameters
    text = str(tg.draw(step, depth=2))
    assert "= weight_0[…]" in text
    assert "= bias_7[…]" in text
    drawing = tg.draw(step.programs[0], depth=None)
    assert "velocity_bias_0" in str(drawing)
    operations = [node for node in drawing.graph.nodes if node.kind == "operation"]
    assert len(operations) == len(Writer(step.programs[0].recording, training.step).program.calls)
    for format in ("dot", "html"):
        drawing.save(tmp_path / f"x.{format}")
        assert not re.search(r"\bnan\b", (tmp_path / f"x.{format}").read_text("utf-8"))


def test_pictures_of_programs_have_no_gradients_to_be_computed():
    _, step = small()
    for options in ({"gradients": True}, {"formulas": True}, {"model": nn.Linear(1, 1)}):
        with pytest.raises(ValueError, match="has its backward pass in it"):
            tg.draw(step, **options)
